"""Everything that can happen to the company, one at a time: by name, or at random.

A change is made on a company under its lock; `Sandbox.apply` and `Sandbox.change` also let the servers show it. The
verbs by noun: `change_records` (make, edit, move on), `change_links` (associations, lines, formulas), `change_fates`
(delete, restore, erase, merge), `change_office` (people, teams, stages, rates, stamps).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from syncagent.sandbox import change_pick_fates as fates
from syncagent.sandbox import change_pick_records as records
from syncagent.sandbox.change_pick import Chooser, Done, who
from syncagent.sandbox.company import Company
from syncagent.sandbox.model import Entity

__all__ = ["KINDS", "Change", "random_change", "who"]


@dataclass(frozen=True, slots=True)
class Change:
    """What was done: the name of the kind of change, a sentence for failure messages, and what it was done to."""

    kind: str
    text: str
    entities: tuple[Entity, ...] = ()

    def __str__(self) -> str:
        return self.text


#: Every kind of change with how often it is chosen.
_WEIGHTS: dict[Callable[[Chooser, int], Done], int] = {
    records.new_account: 2, records.new_contact: 3, records.new_lead: 3, records.new_deal: 4, records.new_ticket: 3,
    records.new_activity: 4, records.new_survey: 2, records.new_paper: 4, records.pay: 2, records.rename: 4,
    records.edit_deal: 4, records.edit_other: 5, records.move_deal: 6, records.move_ticket: 6, records.move_lead: 4,
    records.finish: 2, records.give: 4, records.link: 4, records.link_activity: 2, records.move_contact: 2,
    records.line: 5, records.drift: 3,
    fates.delete: 6, fates.undelete: 4, fates.erase: 3, fates.merge: 7, fates.rename_user: 1, fates.rename_team: 1,
    fates.deactivate: 1, fates.label_stage: 1, fates.remove_stage: 1, fates.set_rate: 1, fates.burst: 3,
    fates.stamp_ahead: 1,
}  # fmt: skip
KINDS = {kind.__name__: kind for kind in _WEIGHTS}


def random_change(rng: random.Random, company: Company, at: int, kinds: tuple[str, ...] = ()) -> Change:
    """Do one thing that is possible now, stamped `at` (epoch seconds), among `kinds` (all of KINDS when empty).

    The same generator on the same company does the same thing. Where a kind is not possible now, another is tried.
    """
    able = {kind: weight for kind, weight in _WEIGHTS.items() if not kinds or kind.__name__ in kinds}
    while able:
        kind = rng.choices(list(able), list(able.values()))[0]
        done = kind(Chooser(rng, company), at)
        if done is not None:
            return Change(kind.__name__, f"{kind.__name__}: {done[0]}", tuple(done[1]))
        if rng.random() < 0.2:  # not possible with what was chosen; after a few goes: not possible
            del able[kind]
    return Change("nothing", "nothing: no such change is possible in this company now")

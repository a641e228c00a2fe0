"""Everything that can happen to the company, one at a time: by name, or at random.

A change is made on a company under its lock; `Sandbox.apply` and `Sandbox.change` also let the servers show it. The
verbs by noun: `records` (make, edit, move on), `links` (associations, lines, formulas), `fates`
(delete, restore, erase, merge), `office` (people, teams, stages, rates, stamps).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from syncagent.sandbox.change import pick_fates as of_fates
from syncagent.sandbox.change import pick_records as of_records
from syncagent.sandbox.change.pick import Chooser, Done, who
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
    of_records.new_account: 2, of_records.new_contact: 3, of_records.new_lead: 3, of_records.new_deal: 4,
    of_records.new_ticket: 3, of_records.new_activity: 4, of_records.new_survey: 2, of_records.new_paper: 4,
    of_records.pay: 2, of_records.rename: 4, of_records.edit_deal: 4, of_records.edit_other: 5,
    of_records.move_deal: 6, of_records.move_ticket: 6, of_records.move_lead: 4, of_records.finish: 2,
    of_records.give: 4, of_records.link: 4, of_records.link_activity: 2, of_records.move_contact: 2,
    of_records.answer: 3, of_records.relate: 3, of_records.line: 5, of_records.drift: 3, of_fates.delete: 6,
    of_fates.undelete: 4, of_fates.erase: 3, of_fates.merge: 7, of_fates.rename_user: 1, of_fates.rename_team: 1,
    of_fates.deactivate: 1, of_fates.label_stage: 1, of_fates.remove_stage: 1, of_fates.label_pipeline: 1,
    of_fates.set_rate: 1, of_fates.burst: 3, of_fates.stamp_ahead: 1,
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

"""What is wrong with an action list where it names other KPIs, or says of its lines what nobody knows of them."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from scorecards.checks import Problem
from scorecards.definition import Kpi
from scorecards.reasons import WORD
from scorecards.relations import Language
from scorecards.slots import Action


def unknown_words(action: Action) -> Iterator[Problem]:
    """The words of a reason its lines have nothing for: a line of `per` is no record, a record has no figure."""
    for word in sorted(set(re.findall(WORD, action.reason))):
        place = "action.reason"
        if action.per is None and word in ("figure", "before"):
            yield place, f"{{{word}}} is that of one line of per.", "Name action.per, or say {measure} or a column."
        elif action.per is not None and word == "before" and not action.fallen:
            yield place, "{before} is known of what has fallen alone.", "Set action.fallen = true, or take it away."
        elif action.per is not None and word == "limit" and action.below is None:
            yield place, "{limit} is what the lines are below.", "Set action.below, or take it away."
        elif action.per is not None and word not in ("figure", "before", "limit"):
            yield place, f"{{{word}}} is of a record, and a line of per is none.", "Take it away, or say {figure}."


def of_others(action: Action, kpis: Mapping[str, Kpi], language: Language) -> Iterator[Problem]:
    """(path below [kpi.NAME], sentence, mend) of each KPI that is not there, or has no rows to list."""
    named = [("action.kpi", name) for name in action.kpi]
    named += [("action.without.kpi", action.without.kpi)] if action.without is not None else []
    for path, name in named:
        other = kpis.get(name)
        if other is None:
            close = get_close_matches(name, list(kpis), n=3)
            mend = f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(sorted(kpis))}."
            yield path, f"no KPI is called {name!r}.", mend
        elif other.of is None:
            yield path, f"{name} counts no rows of its own.", "Name a KPI that says of which table it is."
    other = kpis.get(action.without.kpi) if action.without is not None else None
    relation = language.relation(other.of) if other is not None and other.of else None
    if action.without is not None and relation is not None:
        by = action.without.by
        if language.column(relation, by) is None:
            yield "action.without.by", f"{relation.name} have no column {by!r}.", language.near(relation, by)

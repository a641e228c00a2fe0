"""What is wrong with an action list where it names other KPIs: those whose rows it lists, and those it leaves out."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from scorecards.checks import Problem
from scorecards.definition import Kpi
from scorecards.relations import Language
from scorecards.slots import Action


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

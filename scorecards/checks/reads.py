"""Whether how a KPI is to read is how it can: its unit, and the form in which it is written."""

from collections.abc import Iterator, Mapping

from scorecards.checks import Problem
from scorecards.compiler import Compiler
from scorecards.definition import Kpi, Reporting
from scorecards.figures import is_two_sided
from scorecards.reading import unit_of
from scorecards.takes import near

#: What a value may be in: the public units.
UNITS = ("count", "ratio", "money", "seconds", "days", "months", "score", "number", "per_100")
#: How a unit is written; who names that in `format` says what is so anyway.
_WRITTEN = {"ratio": "percent", "count": "number", "number": "number", "score": "number", "per_100": "number"}


def problems(kpi: Kpi, kpis: Mapping[str, Kpi], reporting: Reporting) -> Iterator[Problem]:
    """What is wrong with `unit` and `format`."""
    if kpi.unit is not None:
        if kpi.unit not in UNITS:
            yield "unit", f"not one of {', '.join(UNITS)}.", near(kpi.unit, UNITS) or 'Write "number".'
            return
        if kpi.duration is not None and kpi.unit != ("days" if kpi.duration.unit == "d" else "seconds"):
            mend = 'Write duration = { unit = "d" } for days, and take unit away.'
            yield "unit", "a duration is in seconds, or in what its own unit says.", mend
        if is_two_sided(kpi) and kpi.headline == "share" and kpi.unit != "ratio":
            yield "unit", "a share is a ratio, whatever it is a share of.", "Take it away."
    if kpi.format is not None:
        yield from _format(kpi, kpis, reporting)


def _format(kpi: Kpi, kpis: Mapping[str, Kpi], reporting: Reporting) -> Iterator[Problem]:
    """A statement's value is what `format` says; any other KPI's is known, and `format` may say no other."""
    known = (reporting.currency, "percent", "number", "months")
    said = str(kpi.format)
    if said not in known:
        is_currency = len(said) == 3 and said.isalpha() and said.isupper()
        why = f"amounts are in {reporting.currency}, the currency of [agent]" if is_currency else ""
        yield "format", why or f"not one of {', '.join(known)}.", near(said, known) or "Take it away."
        return
    if kpi.sql is not None:
        if said == "months":
            yield "format", "would be ignored: months are of days, and a statement says of none.", "Take it away."
        return
    if not _is_whole(kpi, kpis, frozenset()):
        return  # said where it stands
    unit = unit_of(kpi, kpis, Compiler(reporting, as_of=0, today="", one_rate=lambda table: None))
    fitting = {"money": reporting.currency, "days": "months"}.get(unit) or _WRITTEN.get(unit)
    if said != fitting:
        what = {"ratio": "a rate", "money": "money", "count": "a count"}.get(unit, f"in {unit}")
        mend = f'Write "{fitting}", or take it away.' if fitting else "Take it away."
        if kpi.operands:
            mend = f'{mend} Where it is something else, say so: unit = "number".'
        yield "format", f"would be ignored: the value is {what}.", mend


def _is_whole(kpi: Kpi, kpis: Mapping[str, Kpi], seen: frozenset[str]) -> bool:
    """Are the KPIs it is made of there, and none of them made of it?"""
    names = {operand.partition(".")[0] for operand in kpi.operands}
    here = seen | {kpi.id}
    return not names & here and all(name in kpis and _is_whole(kpis[name], kpis, here) for name in names)

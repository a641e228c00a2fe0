"""What a KPI in the file says against what the cache has; the language's own checker, and what only the agent knows."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from scorecards.catalogue import BUILTINS
from scorecards.checks import parameters
from scorecards.checks.kpi import problems
from scorecards.compiler import Compiler
from scorecards.definition import Kpi, Reporting
from scorecards.reading import unit_of_part
from scorecards.signal.history import keeps_no_past
from syncagent.config.problems import did_you_mean, has_step, own_sentence
from syncagent.config.toml import KeyPath
from syncagent.schema import TABLES

#: (path below [kpi.NAME], what is wrong, what to do)
Mistake = tuple[KeyPath, str, str]

#: Units as a sentence names them.
_UNITS = {"ratio": "a rate", "count": "a number", "seconds": "a time", "days": "days", "score": "a score"}


def mistakes(kpi: Kpi, written: Mapping[str, Any], kpis: Mapping[str, Kpi], reporting: Reporting) -> Iterator[Mistake]:
    """Everything wrong with what `written` (the table in the file) makes of `kpi`."""
    params = written.get("params", {})
    for place, message, mend in problems(kpi, kpis, reporting):
        path = place_of(place, written)
        if path == ("weight",) and "field" in written:  # a share of a sum: its field is what rows weigh
            path = ("field",)
        if path[0] not in written and (name := parameters.filled_by(kpi, str(path[0]), params)):
            path = ("params", name)
        if path[0] in written:
            what, hint = own_sentence(re.sub(r"^is .{1,80}?, (?=the column )", "", message))
            yield path, what, mend or hint
        elif "of" in written and not kpi.builtin:  # what a KPI of one's own lacks is its own
            yield ("of",), own_sentence(message)[0], mend
        elif "of" in written:  # a built-in over another table: what it says itself does not fit any more
            yield ("of",), f"{place} of the built-in does not fit: {message}".rstrip("."), "Give it a name of its own."
    yield from _closed_lists(kpi, written)
    if "changes" in written and (reason := keeps_no_past(kpi)):
        yield ("changes",), f"there is no usual range to begin anew: {reason}", "Take changes away."
    declared = BUILTINS[kpi.id] if kpi.builtin else kpi
    for name, message, mend in parameters.problems(declared, params, kpis, reporting.tables):
        yield ("params", name), message, mend
    yield from _units_added(kpi, written, kpis, reporting)


def place_of(text: str, table: Any) -> KeyPath:
    """`where.owner.team.not` as a path within `table`, whose keys may hold dots themselves."""
    path: KeyPath = ()
    words = text.split(".")
    while words:
        for length in range(len(words), 0, -1):
            step = ".".join(words[:length])
            if has_step(table, step) or length == 1:
                break
        table = table[step] if has_step(table, step) else None
        path = (*path, step)
        words = words[length:]
    return path


def _units_added(
    kpi: Kpi, written: Mapping[str, Any], kpis: Mapping[str, Kpi], reporting: Reporting
) -> Iterator[Mistake]:
    """A sum of money and a rate, or of hours and deals, is a number of nothing."""
    if kpi.calc is None or "calc" not in written:
        return
    units: dict[str, str] = {}
    compiler = Compiler(reporting, as_of=0, today="1970-01-01", one_rate=lambda _: None)
    for said in kpi.operands:
        if said.partition(".")[0] not in kpis:
            continue
        try:
            unit = unit_of_part(said, kpis, compiler)
        except (KeyError, RecursionError):  # not there, or made of itself: told at its own place
            continue
        if unit != "number":
            units.setdefault(unit, said)
    if len(units) > 1:
        said = ", ".join(f"{name} is {_UNITS.get(unit, unit)}" for unit, name in units.items())
        yield ("calc",), f"adds up what has no unit in common: {said}", "Name KPIs of one unit, or write a ratio."


def _closed_lists(kpi: Kpi, written: Mapping[str, Any]) -> Iterator[Mistake]:
    """Values a filter waits for in a column that never holds them."""
    choices = TABLES[kpi.of].choices if kpi.of is not None and kpi.of in TABLES else {}
    for slot in ("where", "share"):
        filters = written.get(slot)
        for name, wanted in filters.items() if isinstance(filters, Mapping) else ():
            path: KeyPath = (slot, name)
            if isinstance(wanted, Mapping) and "not" in wanted:
                path, wanted = (*path, "not"), wanted["not"]
            for index, value in enumerate(wanted if isinstance(wanted, list) else [wanted]):
                if name in choices and isinstance(value, str) and value not in choices[name]:
                    mend = did_you_mean(value, choices[name]) or f"It is {', '.join(choices[name])}."
                    yield (*path, index) if isinstance(wanted, list) else path, f"{name} is never that", mend

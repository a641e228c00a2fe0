"""A KPI's definition in words: its formula as one sentence, and how its rows are narrowed, phrase by phrase.

Made from the definition that is computed, so that neither can say anything else. Knows no rows.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from scorecards.conditions import in_words
from scorecards.definition import Kpi
from scorecards.slots import Deadline

_AGGREGATES = {"avg": "mean", "distinct": "number of different", "min": "smallest", "max": "largest"}
_SUFFIXES = {
    "value": "{}",
    "previous": "{} of the previous period",
    "base": "{} of the period compared with",
    "change": "change of {} against the period compared with",
    "target": "target of {}",
    "gap": "what {} still lacks to its target",
    "opening": "{} at the start of the period",
    "mean": "mean of {} at the start and at the end of the period",
    "n": "rows of {}",
    "numerator": "numerator of {}",
    "denominator": "denominator of {}",
}
_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def formula(kpi: Kpi, kpis: Mapping[str, Kpi]) -> str:
    """What is computed, such as "opportunities that are won, over opportunities (closed)"."""
    if kpi.sql is not None:
        return "as its own SQL statement says"
    if kpi.ratio is not None:
        top, bottom = (
            " × ".join(_operand(name, kpis) for name in side) for side in (kpi.ratio.tops, kpi.ratio.bottoms)
        )
        days = " × days of the period" if kpi.ratio.times == "period_days" else ""
        times = f" × {kpi.ratio.times:g}" if not days and kpi.ratio.times != 1 else days
        earlier = f" {span(kpi.ratio.lag)} earlier" if kpi.ratio.lag else ""
        return f"{top} ÷ {bottom}{earlier}{times}"
    if kpi.calc is not None:
        added = " + ".join(_operand(name, kpis) for name in kpi.calc.plus)
        return "".join([added, *(f" − {_operand(name, kpis)}" for name in kpi.calc.minus)])
    said = _counted(kpi)
    return f"{said}, at the end of the period" if kpi.stock is not None else said


def filters(kpi: Kpi) -> list[str]:
    """What is counted and how it is narrowed, as short phrases."""
    if kpi.operands or kpi.sql is not None:
        return []
    said = [f"over {_plain(kpi.of or '')} that are not deleted, merged, duplicates or tests"]
    said += in_words(kpi.where)
    if kpi.date is not None and kpi.stock is None:
        said.append(f"placed in the period by {_plain(kpi.date)}")
    if kpi.stock is not None:
        closed = f" and not closed ({_plain(kpi.stock.closes)})" if kpi.stock.closes else ""
        said.append(f"there at the end of the period ({_plain(kpi.stock.opens)}){closed}")
    for name, only in kpi.out.items():
        said.append(f"left out as {_plain(name)}: {' and '.join(in_words(only))}")
    for word, chosen in (("latest", kpi.latest_per), ("first", kpi.first_per)):
        if chosen:
            said.append(f"only the {word} of each {' and '.join(map(_plain, chosen))}")
    return [*said, *_waits(kpi)]


def _waits(kpi: Kpi) -> Iterator[str]:
    """When a row can be judged, and which are still open."""
    if kpi.cohort is not None:
        yield f"younger than {span(kpi.cohort.within)} when asked: too young to be judged"
    if kpi.mature is not None:
        after = f" after {_plain(kpi.mature.after)}" if kpi.mature.after else ""
        yield f"only once {span(kpi.mature.wait)} have passed{after}"
    if kpi.duration is not None and kpi.duration.unfinished == "exclude":
        yield f"without {_plain(kpi.duration.to)} still waiting, and counted beside the value"
    if kpi.deadline is not None:
        void = f"; ended before it by {_plain(kpi.deadline.void)}: left out" if kpi.deadline.void else ""
        yield f"not due yet: left out{void}"


def _counted(kpi: Kpi) -> str:
    rows = _rows(kpi)
    if kpi.retain is not None:
        kept = "no longer are" if kpi.retain.headline == "lost" else "still are"
        held = f"{_plain(kpi.retain.opens)} to {_plain(kpi.retain.closes)}"
        of = _plain(kpi.retain.key.removesuffix("_id"))
        return f"{of}s in {rows} ({held}) on the first day of the period that {kept} on its last ÷ all on the first"
    if kpi.filled is not None:
        return f"weights of the required fields filled of {rows} ÷ weights required: {_required(kpi)}"
    if (top := _on_top(kpi)) is not None:
        if kpi.weight != "count":
            return f"{_plain(kpi.weight)} of {rows} {top} ÷ {_plain(kpi.weight)} of all of them"
        return f"number of {rows} {top}" if _is_count(kpi) else f"{rows} {top} ÷ all of them"
    if kpi.per is not None:
        inner = _aggregate(kpi.per.agg, kpi.per.field, rows)
        return f"{_AGGREGATES.get(kpi.agg, kpi.agg)} over the days of the period of the {inner} of a day"
    if kpi.duration is not None:
        slot = kpi.duration
        so_far = ", so far where it has not ended" if slot.unfinished == "so_far" else ""
        within = f", ends within {span(slot.within)}" if slot.within is not None else ""
        time = f"time from {_plain(slot.from_)} to {_plain(slot.to)} ({slot.clock} clock{within})"
        paused = f", less the time they were {' or '.join(slot.pause_on)}" if slot.pause_on else ""
        return f"{_AGGREGATES.get(kpi.agg, kpi.agg)} {time} of {rows}{paused}{so_far}"
    said = _aggregate(kpi.agg, kpi.field, rows)
    if kpi.scale is not None:
        said = f"{said} × {kpi.scale:g}"
    return f"{said} ÷ different {_plain(kpi.per_distinct.removesuffix('_id'))}s" if kpi.per_distinct else said


def _on_top(kpi: Kpi) -> str | None:
    """What sets the rows on the numerator's side apart; None of a KPI with one side."""
    if kpi.share is not None:
        without = ""
        if kpi.unless is not None:
            without = f" and without {_plain(kpi.unless.reaches)} within {span(kpi.unless.within)}"
        return f"{_such(kpi.share)}{without}"
    if kpi.cohort is not None:
        at_once = f", or {_such(kpi.cohort.or_)} at once" if kpi.cohort.or_ else ""
        return f"that reach {_plain(kpi.cohort.reaches)} within {span(kpi.cohort.within)}{at_once}"
    return f"with {_limit(kpi.deadline)}" if kpi.deadline is not None else None


def _such(where: Mapping[str, Any]) -> str:
    """ "that are won", "with days since contact at most 30"."""
    are = all(isinstance(wanted, bool) and name.startswith("is_") for name, wanted in where.items())
    return f"{'that are' if are else 'with'} {' and '.join(in_words(where))}"


def _limit(deadline: Deadline) -> str:
    done = f"{_plain(deadline.to)}{' by the end of the day of' if deadline.by == 'day' else ' by'}"
    if deadline.due is not None:
        grace = f" plus {span(deadline.grace)}" if deadline.grace else ""
        return f"{done} {_plain(deadline.due)}{grace}"
    within = deadline.within
    assert within is not None  # a deadline has one of the two
    long = f"{within.business_days} business days" if within.business_days else span(within.seconds)
    own = "".join(f", {name} {span(seconds)}" for name, seconds in within.of.items())
    by = f" (by {_plain(within.by or '')}{own})" if own else ""
    clock = "" if within.business_days else f" ({deadline.clock} clock)"
    return f"{_plain(deadline.to)} within {long}{by} of {_plain(deadline.from_ or '')}{clock}"


def _aggregate(agg: str, field: str | None, rows: str) -> str:
    if agg == "count" or field is None:
        return f"number of {rows}"
    if agg == "distinct":
        return f"number of different {_plain(field.removesuffix('_id'))}s of {rows}"
    return f"{_AGGREGATES.get(agg, agg)} of {_plain(field)} of {rows}"


def _is_count(kpi: Kpi) -> bool:
    return kpi.headline == "count" and kpi.share is not None


def _required(kpi: Kpi) -> str:
    assert kpi.filled is not None  # the caller looked
    said = []
    for name, rule in kpi.filled.required.items():
        only = f" where {' and '.join(in_words(rule['where']))}" if isinstance(rule, dict) and "where" in rule else ""
        said.append(f"{_plain(name)} {rule['weight'] if isinstance(rule, dict) else rule:g}{only}")
    return ", ".join(said)


def _operand(said: str, kpis: Mapping[str, Kpi]) -> str:
    """A KPI another is made of: by its title, a hidden one by its own formula."""
    name, _, suffix = said.partition(".")
    part = kpis.get(name)
    if part is None:
        return name
    placed = f", by {_plain(part.date)}" if part.date is not None and part.stock is None else ""
    words = f"({formula(part, kpis)}{placed})" if part.hidden else part.title
    return _SUFFIXES.get(suffix or "value", "{}").format(words)


def _rows(kpi: Kpi) -> str:
    narrowed = in_words(kpi.where)
    return f"{_plain(kpi.of or '')} ({', '.join(narrowed)})" if narrowed else _plain(kpi.of or "")


def span(seconds: int) -> str:
    """A length of time in its largest whole unit: "90 days", "4 hours"."""
    for size, name in _UNITS:
        if seconds >= size and seconds % size == 0:
            count = seconds // size
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{seconds} seconds"


def _plain(name: str) -> str:
    return name.replace("_", " ")

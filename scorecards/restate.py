"""Values told before that are different now, with the records that made them so.

Readers were told a value of a whole period; the CRM's records of that period changed since (a late close, a deletion,
a merge). The new value is compared with the one told, and the records behind the one with those behind the other. What
was told under another definition is not compared. `syncagent.told` keeps what was told.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from scorecards.asked import table_of
from scorecards.definition import Kpi, Reporting
from scorecards.explain import measured
from scorecards.faces import Face, faces
from scorecards.periods import Slice, Span
from scorecards.plan import Plan, plan
from scorecards.question import question_of
from scorecards.reading import unit_of
from scorecards.segments import segments_of, sources_of
from scorecards.tally import records
from scorecards.told import ChangedRecord, Parts, Restated, Told, pack
from scorecards.values import SHOWN, KpiResult, SegmentValue
from scorecards.version import definition_of, short_hash

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator
    from scorecards.slots import Granularity

#: Records of one value that are kept to compare with: beyond, a value is restated without naming them.
MOST_RECORDS = 20_000
#: Records named for one restated value.
MOST_NAMED = 50
#: A smaller change is no news: this part of the value told, and at least so much by its unit.
NEWS_SHARE = 0.005
_LEAST: Mapping[str, float] = {
    "ratio": 0.001,
    "count": 1.0,
    "money": 1.0,
    "seconds": 60.0,
    "days": 0.1,
    "months": 0.1,
    "score": 0.05,
    "per_100": 0.1,
}
#: Statuses that say a value is gone; any other one says that it cannot be told just now.
_GONE = ("no_denominator", "too_few")
#: id -> its rows then and now.
Changes = Mapping[str, tuple[list[list[Any]], list[list[Any]]]]


def _split_of(kpi: Kpi, reporting: Reporting) -> str:
    """What its segments are, as a short hash."""
    return short_hash({name: reporting.dimensions.get(name) for name in kpi.by})


def is_news(before: float | None, now: float | None, unit: str) -> bool:
    """Whether a change is more than rounding or late cents."""
    if before is None or now is None:
        return before is not now
    least = max(_LEAST.get(unit, 0.0), NEWS_SHARE * abs(before))
    change = abs(now - before)
    return change > 0 and change >= least * (1 - 1e-9)


def with_restated(
    evaluator: "Evaluator",
    kpi: Kpi,
    result: KpiResult,
    told: Sequence[Told],
    *,
    granularity: "Granularity | None" = None,
    keep: bool = False,
) -> KpiResult:
    """The result with what it restates; `keep`: and with what is to be kept of it as told (`syncagent.told`).

    `granularity` is the scorecard's, as the result was asked for; without one the result's own period is meant.
    """
    definition = definition_of(kpi, evaluator.kpis, evaluator.reporting)
    others = [one.sent_at for one in told if one.definition != definition]
    result = replace(result, definition=definition, redefined=max(others, default=None))
    period = result.period
    if period is None or result.granularity == "all" or result.status not in (*SHOWN, *_GONE):
        return result
    asked = None if granularity else Span(period.start, period.end, cast("Granularity", result.granularity))
    chosen = plan(kpi, evaluator.reporting, as_of=evaluator.as_of, period=asked, granularity=granularity)
    if not chosen.series:  # what is only known as it is now has no past to compare with
        return result
    slices = {(s.span.start, s.span.end): s for s in (*chosen.series, chosen.main) if s.complete}
    values = {(p.start, p.end): p.value for p in result.series if p.status in (*SHOWN, *_GONE)}
    values[period.start, period.end] = result.value
    comparable = sorted((one for one in told if one.definition == definition), key=lambda one: one.start)
    restated: list[Restated] = []
    kept: list[Told] = []
    for one in comparable:
        place = (one.start, one.end)
        if place not in slices or place not in values:
            continue
        found, now = _compared(
            evaluator, kpi, one, chosen, slices[place], values[place], is_newest=one is comparable[-1]
        )
        restated += found
        if now is not None:
            kept.append(now)
    is_known = any((one.start, one.end) == (period.start, period.end) for one in comparable)
    if keep and period.complete and result.value is not None and not is_known:
        # Where it is known and no news, it stays as told: many small changes would else never be news.
        kept.append(
            Told(
                period.start,
                period.end,
                definition,
                result.value,
                _by_segment(result.segments),
                pack(parts_of(evaluator, kpi, chosen.main)),
                result.as_of,
                _split_of(kpi, evaluator.reporting),
            )
        )
    return replace(result, restated=tuple(restated), told=tuple(kept) if keep else ())


def restated_since(evaluator: "Evaluator", kpi: Kpi, result: KpiResult, told: Sequence[Told]) -> KpiResult:
    """The result with what it restates of its own period: what is news now, else what was told as such last."""
    found = with_restated(evaluator, kpi, result, [one for one in told if _is_of(one, result)])
    known = [
        said for one in told if _is_of(one, result) and one.definition == found.definition for said in one.restated
    ]
    return replace(found, restated=found.restated or tuple(known))


def _is_of(one: Told, result: KpiResult) -> bool:
    return result.period is not None and (one.start, one.end) == (result.period.start, result.period.end)


def _compared(
    evaluator: "Evaluator", kpi: Kpi, one: Told, chosen: Plan, slice_: Slice, value: float | None, *, is_newest: bool
) -> tuple[list[Restated], Told | None]:
    """What is news about a period told, and what is told of it from now on; nothing where nothing is news."""
    unit = unit_of(kpi, evaluator.kpis, evaluator.compiler)
    changed: list[tuple[str | None, str | None, float | None, float | None]] = []
    if is_news(one.value, value, unit):
        changed.append((None, None, one.value, value))
    segments, split = one.segments, _split_of(kpi, evaluator.reporting)
    if (changed or is_newest) and (kpi.by or kpi.sql):  # a split costs a look at every row of the period
        segments = _by_segment(segments_of(evaluator, kpi, replace(chosen, main=slice_), kpi.by))
        for by in sorted({*one.segments, *segments}) if one.split == split else ():
            then, now = one.segments.get(by, {}), segments.get(by, {})
            for name in sorted({*then, *now}):
                if is_news(then.get(name), now.get(name), unit):
                    changed.append((by, name, then.get(name), now.get(name)))
    if not changed:
        return [], None
    earlier, parts = one.parts, parts_of(evaluator, kpi, slice_)
    period = slice_.period(evaluator.reporting.timezone)
    found = [
        Restated(
            period,
            by,
            segment,
            before,
            after,
            one.sent_at,
            *_named(evaluator, kpi, slice_, _changes(kpi, earlier, parts, by, segment)),
        )
        for by, segment, before, after in changed
    ]
    told = Told(one.start, one.end, one.definition, value, segments, pack(parts), evaluator.as_of, split, tuple(found))
    return found, told


def _by_segment(segments: Sequence[SegmentValue]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for part in segments:
        if part.value is not None:
            found.setdefault(part.by, {})[part.segment] = part.value
    return found


# --- the records behind a value ----------------------------------------------------------------------------------


def parts_of(evaluator: "Evaluator", kpi: Kpi, slice_: Slice) -> Parts | None:
    """What each record adds to the value: rows of (side, hit, measure, weight, segment of each dimension).

    Records that are left out are not there. None where there are too many to keep, or the statement names none.
    """
    if kpi.sql is not None:
        if "record_id" not in kpi.sql.lower():
            return None
        found: dict[str, list[list[Any]]] = {}
        for record in evaluator.asked.records(kpi, slice_):
            found.setdefault(record["id"], []).append([0, record["role"], record["measure"], None])
        return _sorted(found) if len(found) <= MOST_RECORDS else None
    found = {}
    for side, (part, at) in enumerate(sources_of(evaluator, kpi, slice_)):
        relation = evaluator.compiler.relation(part, evaluator.customer_model(part))
        by = kpi.by if part.retain is None else ()  # who stays is of a segment that no single span says
        show = [relation.split_by(evaluator.reporting.dimensions.get(name, {})) or name for name in by]
        rows = evaluator.compiler.rows(part, relation, question_of(part), show=show, movements=True)
        for row in records(evaluator.conn, rows, at, only="why IS NULL", order="NULL", limit=MOST_RECORDS + 1):
            names = [str(row[f"c{number}"] or "(none)") for number in range(len(show))]
            found.setdefault(row["id"], []).append([side, row["hit"], _measure(part, row), row["y"], *names])
        if len(found) > MOST_RECORDS:
            return None
    return _sorted(found)


def _sorted(found: Mapping[str, list[list[Any]]]) -> Parts:
    return {id_: sorted(rows, key=repr) for id_, rows in found.items()}


def _measure(part: Kpi, row: Mapping[str, Any]) -> Any:
    """The measure in the value's unit; of a text (what a distinct count looks at) only whether it is the same."""
    found = measured(part, row)
    return hashlib.sha256(found.encode()).hexdigest()[:8] if isinstance(found, str) else found


def _changes(kpi: Kpi, then: Parts | None, now: Parts | None, by: str | None, segment: str | None) -> Changes | None:
    """The records whose part in the value (of one segment) is not what it was, by what they measured then and now."""
    if then is None or now is None:
        return None
    column = 4 + kpi.by.index(by) if by in kpi.by else None
    if column is not None and any(
        len(row) <= column for parts in (then, now) for rows in parts.values() for row in rows
    ):
        return None  # of which segment each was is not kept

    def of(parts: Parts, id_: str) -> list[list[Any]]:
        rows = parts.get(id_, [])
        return [list(row[:4]) for row in rows if column is None or row[column] == segment]

    pairs = {id_: (of(then, id_), of(now, id_)) for id_ in {*then, *now}}
    return {id_: pair for id_, pair in pairs.items() if pair[0] != pair[1]}


def _named(
    evaluator: "Evaluator", kpi: Kpi, slice_: Slice, changes: Changes | None
) -> tuple[tuple[ChangedRecord, ...] | None, int | None]:
    """The records that weigh most, with their faces, and how many there are."""
    if changes is None:
        return None, None
    heaviest = sorted(changes, key=lambda id_: (-abs(_sum(changes[id_][1]) - _sum(changes[id_][0])), id_))[:MOST_NAMED]
    tables: dict[str, list[str]] = {}
    sides = [] if kpi.sql is not None else [part for part, _ in sources_of(evaluator, kpi, slice_)]
    for id_ in heaviest:
        side = (changes[id_][0] or changes[id_][1])[0][0]
        table = _table(evaluator, sides[side]) if sides else table_of(id_)
        tables.setdefault(table, []).append(id_)
    known: dict[str, Face] = {}
    for table, ids in tables.items():
        if table in evaluator.reporting.tables:
            known |= faces(evaluator, table, ids)
    made = []
    for id_ in heaviest:
        before, after = changes[id_]
        face = known.get(id_, Face())
        change = "changed" if before and after else "added" if after else "gone"
        made.append(
            ChangedRecord(
                id_, face.title, face.url, change, _sum(before) if before else None, _sum(after) if after else None
            )
        )
    return tuple(made), len(changes)


def _table(evaluator: "Evaluator", kpi: Kpi) -> str:
    return evaluator.compiler.relation(kpi, evaluator.customer_model(kpi)).records


def _sum(rows: Sequence[Sequence[Any]]) -> float:
    """What a record measured, all its rows together; 1 each where nothing is measured."""
    return sum(row[2] if isinstance(row[2], int | float) else 1 for row in rows)

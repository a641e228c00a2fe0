"""Values told before that are different now, as the mail says them: a line each, with the records that weigh most."""

from scorecards.render.clean import clean, safe_url
from scorecards.render.format import Formatter
from scorecards.render.message import Issue
from scorecards.render.view import Changed, Detail, Item
from scorecards.render.written import written_value
from scorecards.told import ChangedRecord, Restated
from scorecards.values import KpiResult

#: Restated values shown, and records under each.
_SHOWN = 5
_RECORDS = 3
#: Units in which a record's own measure says something; of a count each record is one.
_MEASURED = ("money", "seconds", "days", "months", "score", "number")


def restated(issue: Issue, fmt: Formatter, detail: Detail) -> tuple[tuple[Changed, ...], str]:
    """What the issue restates, the whole of a KPI before its segments, and how many are not shown."""
    told = [(result, one) for result in issue.results for one in _of(result)]
    shown = told[: _SHOWN if detail.rows else 2]
    more = len(told) - len(shown)
    return tuple(_changed(result, one, fmt, detail) for result, one in shown), (
        fmt.words("more", n=fmt.number(more)) if more else ""
    )


def redefined(issue: Issue, fmt: Formatter) -> tuple[str, ...]:
    """A sentence for each KPI whose earlier values are those of another definition."""
    return tuple(
        fmt.words("redefined", name=clean(result.title) or result.kpi, when=fmt.instant(result.redefined))
        for result in issue.results
        if result.redefined is not None
    )


def _of(result: KpiResult) -> list[Restated]:
    """The newest period first; segments only of a period whose whole is as it was."""
    whole = {one.period for one in result.restated if one.segment is None}
    kept = [one for one in result.restated if one.segment is None or one.period not in whole]
    return sorted(kept, key=lambda one: one.period.start, reverse=True)


def _changed(result: KpiResult, one: Restated, fmt: Formatter, detail: Detail) -> Changed:
    words = fmt.words
    label = f"{clean(result.title) or result.kpi}, {fmt.dates(one.period)}"
    if one.segment is not None:
        label += f", {clean(one.segment, 40) or words('none_segment')}"
    before, now = (
        words("no_value") if value is None else written_value(result, fmt, value) or ""
        for value in (one.before, one.now)
    )
    records = one.records or ()
    items = tuple(_item(record, result, fmt) for record in records[: min(_RECORDS, detail.rows)])
    total = one.total or 0
    said = words("was_now", before=before, now=now, when=fmt.instant(one.sent_at))
    if one.records is None:
        cause = words("r_unnamed")
    else:
        cause = words("r_count", total, n=fmt.number(total))
    return Changed(label, said, cause, items)


def _item(record: ChangedRecord, result: KpiResult, fmt: Formatter) -> Item:
    amount = ""
    if result.unit in _MEASURED:
        sides = [written_value(result, fmt, side) for side in (record.before, record.now) if side is not None]
        amount = " → ".join(dict.fromkeys(side for side in sides if side))
    return Item(
        title=clean(record.title) or clean(record.id.rpartition(":")[2]) or fmt.words("no_name"),
        url=safe_url(record.url),
        reason=fmt.words(f"r_{record.change}"),
        owner="",
        amount=amount,
    )

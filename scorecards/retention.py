"""Who was a customer on which day: retention over many periods from one look at each day.

The row statement of the compiler says the same of one period, record by record; this counts sets, so that a
series of periods that share their borders reads each border once.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from scorecards.definition import Kpi
from scorecards.facts import LIVE
from scorecards.kept import packed, unpacked
from scorecards.periods import Slice
from scorecards.tally import Tally

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator

#: A day as text, an instant as seconds, or nobody knows.
Moment = str | int | None
#: The form of question, where answers are kept.
_FORM = "retained"


def retained(evaluator: "Evaluator", kpi: Kpi, slices: Sequence[Slice]) -> list[Tally]:
    """Per slice: n customers at its start, hits of them still there at its end (as known at as_of)."""
    rows, keeper = evaluator.rows(kpi), evaluator.answers.keeper
    said = [keeper.kept(rows, slice_, _FORM) if keeper is not None else None for slice_ in slices]
    missing = [slice_ for slice_, one in zip(slices, said, strict=True) if one is None]
    found = dict(zip(missing, _counted(evaluator, kpi, missing), strict=True)) if missing else {}
    if keeper is not None:
        for slice_, tally in found.items():
            if (packing := packed({"": tally})) is not None:
                keeper.keep(rows, slice_, _FORM, packing)
    return [found[s] if one is None else unpacked(one)[""] for s, one in zip(slices, said, strict=True)]


def _counted(evaluator: "Evaluator", kpi: Kpi, slices: Sequence[Slice]) -> list[Tally]:
    relation = evaluator.compiler.relation(kpi, evaluator.customer_model(kpi))
    rows = evaluator.compiler.spans(kpi, relation)
    spans = [tuple(row) for row in evaluator.conn.execute(rows.sql, rows.values)]
    live = {row[0] for row in evaluator.conn.execute(f"SELECT id FROM accounts a WHERE {LIVE.format('a')}")}
    known = [span for span in spans if span[0] in live and span[1] is not None]
    lacking = [(opens, closes) for key, opens, closes in spans if key is None or opens is None]
    found: dict[tuple[date, int], set[str]] = {}

    def active(day: date, at: int) -> set[str]:
        if (day, at) not in found:
            said = day.isoformat()  # made once: a day's customers are looked for among all spans there are
            found[day, at] = {
                key
                for key, opens, closes in known
                if opens <= (said if type(opens) is str else at)
                and (closes is None or closes > (said if type(closes) is str else at))
            }
        return found[day, at]

    tallies = []
    for slice_ in slices:
        first = (slice_.day_start, slice_.since)
        start, end = active(*first), active(slice_.at_day, slice_.at)
        kept = len(start & end)
        tally = Tally(n=len(start), hits=kept, x=Decimal(len(start)), x_hit=Decimal(kept))
        if many := sum(_covers(opens, closes, *first) for opens, closes in lacking):
            tally.excluded["null"] = many
        tallies.append(tally)
    return tallies


def _covers(opens: Moment, closes: Moment, day: date, at: int) -> bool:
    return _until(opens, day, at) and not (closes is not None and _until(closes, day, at))


def _until(moment: Moment, day: date, at: int) -> bool:
    """Had it come by the beginning of a day? What nobody knows the time of may have."""
    return moment is None or moment <= (day.isoformat() if isinstance(moment, str) else at)  # type: ignore[operator]

"""Who was a customer from when to when: unbroken runs of contracts, and of purchases that follow each other in time.

A contract covers the days [start, end); a purchase makes a customer from the day after it for so many days. What
adjoins is one run. A run has a version for each time it was learnt to be another: a purchase more makes it longer, one
taken back shorter, or two. One set of rows for contracts, and one for each lookback and kind of purchase KPIs ask for.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import groupby
from operator import itemgetter

from scorecards.facts.fact import ITS_IDS, LIVE, Book, Fact, Row, epoch, table
from scorecards.periods import FOREVER, FOREVER_AGO

#: Whether an order is a purchase, whatever it is called where it was cancelled: {0} its row.
NOT_CANCELLED = "COALESCE(lower({0}.status), '') NOT IN ('cancelled', 'canceled')"
#: The rows made of contracts.
CONTRACTS = "contracts"
#: Days [start, end) as ordinals, and from when to when they were known.
_Spell = tuple[int, int, int, int]
_BEYOND = date.max.toordinal()
_READ = f"""
    SELECT * FROM (
        SELECT w.id AS account, 'contracts' AS kind, c.id, c.start_date AS day, c.end_date AS last, c.created_at,
               NULL AS known_from, NULL AS known_to
        FROM temp.wanted w CROSS JOIN contracts c ON c.account_id IN ({ITS_IDS.format("w")})
        WHERE {LIVE.format("c")} AND c.start_date IS NOT NULL
        UNION ALL
        SELECT w.id, 'deals', o.id, o.outcome_date, NULL, NULL, o.known_from, o.known_to
        FROM temp.wanted w CROSS JOIN fact_opportunities o ON o.account_id = w.id
        WHERE o.state = 'won' AND o.outcome_date IS NOT NULL
        UNION ALL
        SELECT w.id, 'orders', o.id, o.order_date, o.cancelled_date, o.created_at, NULL, NULL
        FROM temp.wanted w CROSS JOIN orders o ON o.account_id IN ({ITS_IDS.format("w")})
        WHERE {LIVE.format("o")} AND o.order_date IS NOT NULL AND {NOT_CANCELLED.format("o")}
    ) ORDER BY account, kind, day, id, known_from
"""


def made_of(lookback_days: int, purchases: Iterable[str]) -> str:
    """What names the rows of one lookback and kind of purchase: "deals+orders 365"."""
    return f"{'+'.join(sorted(purchases))} {lookback_days}"


def _runs(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    for account, group in groupby(rows, itemgetter(0)):
        held = list(group)
        contracts = [spell for row in held if row[1] == CONTRACTS and (spell := _contract(row))]
        yield from _versions(account, CONTRACTS, contracts)
        for name in book.reporting.customer_spans:
            kinds, days = name.split(" ")
            bought = [row for row in held if row[1] in kinds.split("+")]
            yield from _versions(account, name, [_purchase(row, int(days), book) for row in bought])


def _contract(row: Row) -> _Spell | None:
    start, end = _ordinal(row[3]), _BEYOND if row[4] is None else _ordinal(row[4])
    return (start, end, _since(row[5]), FOREVER) if start < end else None


def _purchase(row: Row, days: int, book: Book) -> _Spell:
    """It is known once its day is over; an order until the day it was cancelled is."""
    day = _ordinal(row[3])
    over = book.last_second(row[3])
    known = (row[6], row[7]) if row[1] == "deals" else (_since(row[5]), _until(row[4], book))
    return day + 1, day + 1 + days, max(over, known[0]), known[1]


def _since(created_at: str | None) -> int:
    at = epoch(created_at)
    return FOREVER_AGO if at is None else at


def _until(day: str | None, book: Book) -> int:
    return FOREVER if day is None else book.last_second(day)


def _versions(account: str, name: str, spells: list[_Spell]) -> Iterator[Row]:
    """Runs of spells that overlap or adjoin, as they were known from time to time."""
    # What comes at an instant before what goes: a deal edited is the same purchase.
    events = [(known, 0, start, end) for start, end, known, until in spells if known < until]
    events += [(until, 1, start, end) for start, end, known, until in spells if known < until < FOREVER]
    runs: list[tuple[int, int, int]] = []  # (start, end, known since), apart from each other
    held: list[tuple[int, int]] = []
    for at, goes, start, end in sorted(events):
        if not goes:
            insort(held, (start, end))
        else:
            held.pop(bisect_left(held, (start, end)))
        low = bisect_left(runs, start, key=itemgetter(1))  # the first run that ends no earlier than this begins
        high = bisect_right(runs, end, key=itemgetter(0))  # past the last that begins no later than this ends
        before = runs[low:high]
        first, last = min([start, *(run[0] for run in before)]), max([end, *(run[1] for run in before)])
        after = list(_joined(held, first, last)) if goes else [(first, last)]
        kept = {run[:2]: run for run in before}
        for run in before:
            if run[:2] not in after and run[2] < at:
                yield account, name, run[2], at, _day(run[0]), _day(run[1])
        runs[low:high] = [kept.get(run, (*run, at)) for run in after]
    for first, last, since in runs:
        yield account, name, since, FOREVER, _day(first), _day(last)


def _joined(held: list[tuple[int, int]], first: int, last: int) -> Iterator[tuple[int, int]]:
    """The runs of what is held of the days from `first` to `last`."""
    start = end = None
    for opens, closes in held[bisect_left(held, (first,)) : bisect_right(held, (last, _BEYOND))]:
        if start is None or end is None or opens > end:
            if start is not None and end is not None:
                yield start, end
            start, end = opens, closes
        end = max(end, closes)
    if start is not None and end is not None:
        yield start, end


def _ordinal(day: str) -> int:
    return date.fromisoformat(day).toordinal()


def _day(ordinal: int) -> str:
    return date.fromordinal(min(ordinal, _BEYOND)).isoformat()


_COLUMNS = ("account_id", "made_of", "known_from", "known_to", "start_date", "end_date")


FACT = Fact(
    kind="customer_spans",
    name="fact_customer_spans",
    columns=_COLUMNS,
    ddl=table(
        "fact_customer_spans",
        _COLUMNS,
        "(account_id)",
        "(made_of, known_to, known_from, start_date, end_date, account_id)",
    ),
    read=_READ,
    derive=_runs,
    unit="account_id",
    follows={"contracts": ("account_id",), "orders": ("account_id",)},
    uses=("customer_spans",),
    anchors=("start_date", "end_date"),
)

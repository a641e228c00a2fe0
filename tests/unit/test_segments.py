"""Segments of ratios, sums and retention of KPIs, against a naive reading of random rows; what cannot be split."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.checks.kpi import problems
from scorecards.definition import Kpi, build, override
from scorecards.evaluate import Evaluator
from scorecards.periods import Span
from scorecards.split import counted, why_whole
from scorecards.values import KpiResult
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

AS_OF = datetime(2026, 11, 21, 12, tzinfo=UTC)
MAY, JUNE = Span(date(2026, 5, 1), date(2026, 6, 1), "month"), Span(date(2026, 6, 1), date(2026, 7, 1), "month")
REGIONS = ("north", "south", "", None)
WON = {"of": "opportunities", "date": "outcome_date", "where": {"is_won": True}, "n_min": 0}
MADE: dict[str, dict[str, Any]] = {
    "won": WON,
    "closed": {**WON, "where": {"is_closed": True}},
    "bookings": {**WON, "agg": "sum", "field": "amount"},
    "per_deal": {"ratio": {"top": "bookings", "bottom": "closed"}, "n_min": 0},
    "growth": {"ratio": {"top": "bookings.change", "bottom": "bookings.base"}, "n_min": 0,
               "params": {"compare": "previous"}},
    "lost_or_twice": {"calc": {"plus": ["closed", "closed.previous"], "minus": ["won"]}},
    "nested": {"ratio": {"top": "lost_or_twice", "bottom": "closed", "times": 100}, "n_min": 0},
}  # fmt: skip
KPIS = {**BUILTINS, **{name: build(name, table) for name, table in MADE.items()}}
SPLIT = REPORTING.model_copy(
    update={"dimensions": {"region": {"opportunities": "account.industry", "customer_spans": "account.industry"}}}
)


class World:
    """Random deals and contracts of accounts that are of a region."""

    def __init__(self, conn: sqlite3.Connection, seed: int) -> None:
        self.conn, self.random = conn, Random(seed)
        pick = self.random.choice
        self.region = {f"A{number}": pick(REGIONS) for number in range(14)}
        for id_, region in self.region.items():
            put(conn, "accounts", id_, industry=region)
        self.deals = []
        for number in range(60):
            account = pick([None, *self.region])
            day = date(2026, 4, 20) + timedelta(days=self.random.randrange(80))
            state, amount = pick(["won", "won", "lost"]), self.random.randrange(1, 10**6)
            put(conn, "opportunities", f"D{number}", account_id=account, state=state, close_date=day.isoformat(),
                amount_minor=amount, currency="EUR", created_at="2026-01-01T00:00:00Z")  # fmt: skip
            self.deals.append((self.region.get(account or "") or "(none)", state, day, amount / 100))
        self.spans = []
        for number in range(24):
            account = pick(list(self.region))
            start = date(2026, 3, 1) + timedelta(days=self.random.randrange(100))
            end = pick([None, start + timedelta(days=self.random.randrange(90))])
            put(conn, "contracts", f"C{number}", account_id=account, start_date=start.isoformat(),
                end_date=end and end.isoformat())  # fmt: skip
            self.spans.append((account, start, end or date.max))
        facts.refresh(conn, SPLIT)

    def result(self, kpi: Kpi, span: Span = JUNE, by: str = "region") -> KpiResult:
        found = Evaluator(self.conn, {**KPIS, kpi.id: kpi}, SPLIT, as_of=AS_OF).evaluate(kpi, period=span, by=[by])
        assert found.status != "error", found.reason
        return found

    def counted(self, span: Span, states: tuple[str, ...] = ("won", "lost")) -> Counter[str]:
        return Counter(r for r, state, day, _ in self.deals if state in states and span.start <= day < span.end)

    def booked(self, span: Span) -> dict[str, float]:
        found: dict[str, float] = defaultdict(float)
        for region, state, day, amount in self.deals:
            if state == "won" and span.start <= day < span.end:
                found[region] += amount
        return found


@pytest.fixture(params=range(4))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    conn = open_cache(tmp_path)
    yield World(conn, request.param)
    conn.close()


def values(result: KpiResult) -> dict[str, float | None]:
    return {part.segment: part.value for part in result.segments}


def test_a_ratio_of_kpis_by_segment(world: World) -> None:
    """Each segment's sum over its own count; the tops and bottoms of all add up to the whole's."""
    found, booked, closed = world.result(KPIS["per_deal"]), world.booked(JUNE), world.counted(JUNE)
    assert values(found) == pytest.approx({name: booked[name] / n for name, n in closed.items()})
    for side, whole in (("numerator", found.numerator), ("denominator", found.denominator), ("n", found.n)):
        assert sum(getattr(part, side) or 0 for part in found.segments) == pytest.approx(whole)
    assert [part.n for part in found.segments] == sorted((part.n or 0 for part in found.segments), reverse=True)


def test_growth_and_sums_of_kpis_by_segment(world: World) -> None:
    """A segment's growth is on what it was itself; what sold nothing before has none. Operands may be nested."""
    now, then = world.booked(JUNE), world.booked(MAY)
    expected = {name: (now[name] - then[name]) / then[name] if then[name] else None for name in {*now, *then}}
    growth = values(world.result(KPIS["growth"]))
    assert {name: value for name, value in growth.items() if value is not None} == pytest.approx(
        {name: value for name, value in expected.items() if value is not None}
    )
    closed, before, won = world.counted(JUNE), world.counted(MAY), world.counted(JUNE, ("won",))
    sums = {name: closed[name] + before[name] - won[name] for name in {*closed, *before}}
    assert values(world.result(KPIS["lost_or_twice"])) == sums
    nested = values(world.result(KPIS["nested"]))
    assert {name: nested[name] for name in closed} == pytest.approx(
        {name: 100 * sums[name] / n for name, n in closed.items()}
    )


@pytest.mark.parametrize("name", ["customer_retention_rate", "customer_attrition_rate"])
def test_who_stayed_by_segment(world: World, name: str) -> None:
    """Customers at the start by region, and those of them still there at the end."""
    kpi = override(BUILTINS[name], {"n_min": 0})
    start, end = ({a for a, s, e in world.spans if s <= day < e} for day in (JUNE.start, JUNE.end))
    there = Counter(world.region[a] or "(none)" for a in start)
    kept = Counter(world.region[a] or "(none)" for a in (start & end if "retention" in name else start - end))
    found = world.result(kpi)
    assert {p.segment: (p.numerator, p.n) for p in found.segments} == {r: (kept[r], n) for r, n in there.items()}
    assert (sum(there.values()), sum(kept.values())) == (found.n, found.numerator)


def test_one_who_is_in_twice_is_of_the_contract_begun_last(tmp_path: Path) -> None:
    """Split by what differs from contract to contract, each customer still counts once; ties by the segment's name."""
    conn = open_cache(tmp_path)
    for account in "AB":
        put(conn, "accounts", account)
    for number, said in enumerate(["A 01 EUR", "A 03 USD", "A 07 GBP", "B 02 USD", "B 02 EUR"]):
        account, month, currency = said.split()
        put(conn, "contracts", f"C{number}", account_id=account, start_date=f"2026-{month}-01", end_date="2027-01-01",
            currency=currency)  # fmt: skip
    facts.refresh(conn, SPLIT)
    slot = {"opens": "start_date", "closes": "end_date", "key": "account_id"}
    kpi = build("kept", {"of": "contracts", "n_min": 0, "retain": slot})
    found = Evaluator(conn, KPIS, SPLIT, as_of=AS_OF).evaluate(kpi, period=JUNE, by=["currency"])
    assert found.status != "error", found.reason
    assert [(part.segment, part.n) for part in found.segments] == [("EUR", 1), ("USD", 1)]
    conn.close()


@pytest.mark.parametrize("name", ["per_deal", "growth", "lost_or_twice", "nested", "customer_retention_rate"])
def test_their_drivers_add_up_to_the_change(world: World, name: str) -> None:
    """By segment too, whatever they are made of."""
    kpi = override(KPIS[name], {"n_min": 0}) if name in BUILTINS else KPIS[name]
    found = world.result(kpi)
    change = found.comparisons[0].change
    assert (found.drivers is None) == (change is None)
    if found.drivers is not None:
        assert found.drivers["form"] == ("sum" if name == "lost_or_twice" else "rate")
        told = sum(item["effect"] for item in found.drivers["items"]) + found.drivers["rest"]
        assert told == pytest.approx(change, abs=1e-9)


def test_what_is_set_for_the_whole_is_not_split(tmp_path: Path) -> None:
    """A goal has no segments: said when the KPI is configured so, and no segment is made up."""
    conn = open_cache(tmp_path)
    to_go = build("to_go", {"ratio": {"top": "bookings", "bottom": "bookings.target"}, "by": ["region"]})
    deeper = build("deeper", {"calc": {"plus": ["to_go"]}, "by": ["region"]})
    every = {**KPIS, "to_go": to_go, "deeper": deeper}
    assert why_whole(to_go, every) == why_whole(deeper, every) == "bookings.target is set for the whole"
    assert [path for path, _, _ in problems(deeper, every, SPLIT)] == ["by"]
    evaluator = Evaluator(conn, every, SPLIT, as_of=AS_OF)
    assert evaluator.evaluate(to_go, period=JUNE).segments == ()
    conn.close()


def test_a_dimension_must_say_a_column_for_all_a_kpi_is_made_of() -> None:
    """Revenue by region is, costs by region are not: the table that lacks it is named."""
    kpi = override(BUILTINS["net_profit"], {"by": ["region"]})
    said = problems(kpi, {**KPIS, "net_profit": kpi}, SPLIT)
    assert [(path, mend) for path, _, mend in said] == [("by", 'Add costs = "COLUMN" to region in [dimension].')]
    assert [part.of for part in counted(kpi, KPIS)] == ["opportunities", "costs"]
    assert problems(override(BUILTINS["sales_growth"], {"by": ["region"]}), KPIS, SPLIT) == []

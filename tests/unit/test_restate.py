"""What was told and is different now: whatever changes in the records, those that explain it are named, once."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scorecards.catalogue import BUILTINS
from scorecards.definition import Hours, Kpi, Reporting, build, override
from scorecards.evaluate import Evaluator
from scorecards.periods import Span, parse_period
from scorecards.restate import is_news, with_restated
from scorecards.slots import Granularity
from scorecards.told import Told
from scorecards.values import KpiResult
from scorecards.version import definition_of
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

SENT = datetime(2026, 11, 2, 7, tzinfo=UTC)
NEXT = datetime(2026, 12, 1, 7, tzinfo=UTC)
OCTOBER = "2026-10"
BY_OWNER = REPORTING.model_copy(update={"dimensions": {"owner": {"opportunities": "owner_id"}}})

Deal = tuple[str, int, int, str, bool]
deals = st.tuples(
    st.sampled_from(["won", "lost", "open"]),
    st.integers(9, 11),  # the month it closes in
    st.integers(1, 400),
    st.sampled_from(["ann", "bob", ""]),
    st.booleans(),  # deleted
)
worlds = st.dictionaries(st.sampled_from("abcdefgh"), deals, max_size=8)


def load(cache: sqlite3.Connection, world: Mapping[str, Deal]) -> None:
    """The deals as they are now; one that is not there any more was deleted."""
    for id_ in "abcdefgh":
        if id_ not in world:
            cache.execute("UPDATE opportunities SET is_deleted = 1 WHERE id = ?", (id_,))
            continue
        state, month, amount, owner, is_deleted = world[id_]
        put(
            cache,
            "opportunities",
            id_,
            name=f"Deal {id_}",
            url=f"https://crm.test/{id_}",
            state=state,
            close_date=f"2026-{month:02d}-15",
            amount_minor=amount * 100,
            currency="EUR",
            created_at="2026-01-05T00:00:00Z",
            owner_id=owner or None,
            is_deleted=int(is_deleted),
        )
    facts.refresh(cache, REPORTING)


def asked(
    cache: sqlite3.Connection,
    kpi: Kpi,
    as_of: datetime,
    told: Sequence[Told] = (),
    period: str | None = OCTOBER,
    reporting: Reporting = BY_OWNER,
) -> KpiResult:
    kpis = {**BUILTINS, kpi.id: kpi}
    evaluator = Evaluator(cache, kpis, reporting, as_of=as_of)
    span: Span | None = parse_period(period) if period else None
    granularity: Granularity | None = None if period else "month"
    result = evaluator.evaluate(kpi, period=span, granularity=granularity)
    return with_restated(evaluator, kpi, result, told, granularity=granularity, keep=True)


def won(deal: Deal | None) -> float:
    """What a deal adds to October, worked out without the engine."""
    return 0 if deal is None or deal[4] or deal[0] != "won" or deal[1] != 10 else deal[2]


WON = build(
    "won",
    {
        "of": "opportunities",
        "agg": "sum",
        "field": "amount",
        "date": "outcome_date",
        "where": {"is_won": True},
        "by": ["owner"],
        "n_min": 0,
    },
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """One cache for all examples: each loads its own deals over those of the one before."""
    with closing(open_cache(tmp_path_factory.mktemp("shared"))) as conn:
        yield conn


@settings(max_examples=40)
@given(before=worlds, after=worlds)
@example(before={"a": ("won", 10, 100, "ann", False)}, after={"a": ("won", 10, 100, "bob", False)})
@example(before={"a": ("won", 10, 399, "ann", False)}, after={"a": ("won", 10, 400, "ann", False)})
def test_exactly_the_records_that_explain_the_difference_are_named(
    shared: sqlite3.Connection, before: Mapping[str, Deal], after: Mapping[str, Deal]
) -> None:
    """Of the whole and of each segment: replacing what they measured then by what they measure now gives the value."""
    load(shared, before)
    first = asked(shared, WON, SENT)
    assert first.restated == ()
    load(shared, after)
    then = asked(shared, WON, NEXT, first.told, period=None)
    again = asked(shared, WON, NEXT, then.told, period=None)

    def sums(world: Mapping[str, Deal], owner: str | None) -> dict[str, float]:
        return {id_: won(deal) for id_, deal in world.items() if won(deal) and owner in (None, deal[3] or "(none)")}

    october = [one for one in then.restated if one.period.start.month == 10]
    assert len(october) == len(then.restated)
    found = {one.segment: one for one in october}
    for owner in (None, "ann", "bob", "(none)"):
        old, new = sums(before, owner), sums(after, owner)
        told, now = sum(old.values()), sum(new.values())
        if not is_news(told, now, "money"):
            assert owner not in found or not (old and new)
            continue
        one = found[owner]
        assert (one.before or 0, one.now or 0, one.sent_at) == (told, now, SENT)
        assert one.records is not None
        assert {r.id for r in one.records} == {id_ for id_ in {*old, *new} if old.get(id_) != new.get(id_)}
        assert one.total == len(one.records)
        assert told + sum((r.now or 0) - (r.before or 0) for r in one.records) == now
        for record in one.records:
            assert (record.before or 0, record.now or 0) == (old.get(record.id, 0), new.get(record.id, 0))
            assert (record.title, record.url) == (f"Deal {record.id}", f"https://crm.test/{record.id}")
            assert record.change == ("gone" if record.id not in new else "changed" if record.id in old else "added")
    assert again.restated == ()  # said once


_OF_DEALS: dict[str, Any] = {"of": "opportunities", "date": "outcome_date", "n_min": 0}
#: Forms in which a record's part does not hang on other records (of "the first of each" it does).
SHAPES: dict[str, dict[str, Any]] = {
    "count": {**_OF_DEALS, "where": {"is_won": True}},
    "mean": {**_OF_DEALS, "agg": "avg", "field": "amount", "where": {"is_won": True}},
    "median": {**_OF_DEALS, "agg": "median", "field": "amount"},
    "largest": {**_OF_DEALS, "agg": "max", "field": "amount"},
    "owners": {**_OF_DEALS, "agg": "distinct", "field": "owner_id"},
    "share": {**_OF_DEALS, "share": {"is_won": True}},
    "share of money": {**_OF_DEALS, "share": {"is_won": True}, "weight": "amount"},
    "days": {**_OF_DEALS, "agg": "avg", "duration": {"from": "created_at", "to": "outcome_date", "unit": "d"}},
    "open": {
        "of": "opportunities",
        "agg": "sum",
        "field": "amount",
        "stock": {"opens": "created_at", "closes": "outcome_date"},
        "n_min": 0,
    },
}


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=15)
@given(before=worlds, after=worlds)
def test_the_records_named_make_the_difference_and_the_others_none(
    shared: sqlite3.Connection, shape: str, before: Mapping[str, Deal], after: Mapping[str, Deal]
) -> None:
    """Whatever is measured: what became of them alone gives the new value, and of all the others alone the old one."""
    kpi = build("any", SHAPES[shape])
    load(shared, before)
    told = asked(shared, kpi, SENT).told
    load(shared, after)
    for one in asked(shared, kpi, NEXT, told, period=None).restated:
        named = {record.id for record in one.records or ()}
        for chosen, value in ((named, one.now), ({*"abcdefgh"} - named, one.before)):
            load(shared, {id_: deal for id_, deal in before.items() if id_ not in chosen} | _of(after, chosen))
            assert asked(shared, kpi, NEXT).value == pytest.approx(value)


def _of(world: Mapping[str, Deal], ids: set[str]) -> dict[str, Deal]:
    return {id_: deal for id_, deal in world.items() if id_ in ids}


@pytest.fixture
def cache(tmp_path: Path) -> Any:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def world(*amounts: int, state: str = "won", month: int = 10) -> dict[str, Deal]:
    return {id_: (state, month, amount, "ann", False) for id_, amount in zip("abcdefgh", amounts, strict=False)}


def test_what_was_to_date_when_sent_is_no_news(cache: sqlite3.Connection) -> None:
    load(cache, world(100, month=11))
    running = asked(cache, override(BUILTINS["won_revenue"], {"partial": "to_date"}), SENT, period="2026-11")
    assert running.period is not None
    assert not running.period.complete
    assert running.told == ()


def test_small_changes_add_up_to_news(cache: sqlite3.Connection) -> None:
    """What is told stays what the reader knows: three times 0.3 % is news in the end."""
    kpi = override(BUILTINS["won_revenue"], {})
    load(cache, world(10_000))
    told = asked(cache, kpi, SENT).told
    said = []
    for amount in (10_030, 10_060, 10_090):
        load(cache, world(amount))
        found = asked(cache, kpi, NEXT, told, period=None)
        said.append([(one.before, one.now) for one in found.restated])
        told = [*(one for one in found.told if one.start.month == 10)] or told
    assert said == [[], [(10_000, 10_060)], []]


def test_another_definition_is_said_and_not_compared(cache: sqlite3.Connection) -> None:
    load(cache, world(100, 50))
    first = asked(cache, BUILTINS["won_revenue"], SENT)
    changed = override(BUILTINS["won_revenue"], {"where": {"is_won": True, "name": {"not": ["Deal b"]}}})
    found = asked(cache, changed, NEXT, first.told, period=None)
    assert (found.restated, found.redefined) == ((), SENT)
    assert found.to_json()["definition"] == {"hash": found.definition, "changed_since": "2026-11-02T07:00:00Z"}


@pytest.mark.parametrize(
    ("table", "is_same"),
    [
        ({"target": {"want": "up", "value": 5}}, True),
        ({"name": "Bookings", "group": "Money", "by": ["owner"]}, True),
        ({"n_min": 3}, False),
        ({"where": {}}, False),
    ],
)
def test_a_definition_is_what_makes_the_value(table: dict[str, Any], is_same: bool) -> None:
    plain, other = BUILTINS["won_revenue"], override(BUILTINS["won_revenue"], table)
    assert (definition_of(plain, BUILTINS, REPORTING) == definition_of(other, BUILTINS, REPORTING)) is is_same


_ELSEWHERE = """
from datetime import date, timedelta
from scorecards.catalogue import BUILTINS
from scorecards.definition import Hours, Reporting
from scorecards.version import definition_of
days = frozenset(date(2026, 1, 1) + timedelta(number) for number in range(40))
print(definition_of(BUILTINS["first_response_time"], BUILTINS, Reporting(hours=Hours(holidays=days))))
"""


def test_a_definition_is_the_same_in_every_process() -> None:
    """A set of holidays has another order in each: after every restart all KPIs would have been defined otherwise."""
    said = {
        subprocess.run(
            [sys.executable, "-c", _ELSEWHERE],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1


def test_only_what_counts_business_time_depends_on_holidays() -> None:
    closed = REPORTING.model_copy(update={"hours": Hours(holidays=frozenset({date(2026, 1, 1)}))})
    for kpi, is_same in ((BUILTINS["won_revenue"], True), (BUILTINS["first_response_time"], False)):
        assert (definition_of(kpi, BUILTINS, REPORTING) == definition_of(kpi, BUILTINS, closed)) is is_same


def test_a_ratio_has_the_definition_of_what_it_is_made_of() -> None:
    ratio = build("r", {"ratio": {"top": "won_revenue", "bottom": "lost_opportunities"}})
    changed = {**BUILTINS, "won_revenue": override(BUILTINS["won_revenue"], {"n_min": 9})}
    assert definition_of(ratio, BUILTINS, REPORTING) != definition_of(ratio, changed, REPORTING)
    elsewhere = REPORTING.model_copy(update={"timezone": "America/New_York"})
    assert definition_of(ratio, BUILTINS, REPORTING) != definition_of(ratio, BUILTINS, elsewhere)


def test_a_rate_names_those_that_changed_sides(cache: sqlite3.Connection) -> None:
    load(cache, {**world(1, 1, 1), "d": ("lost", 10, 1, "ann", False), "e": ("lost", 10, 1, "ann", False)})
    kpi = override(BUILTINS["win_rate"], {"n_min": 1})
    told = asked(cache, kpi, SENT).told
    load(cache, {**world(1, 1, 1, 1), "e": ("lost", 11, 1, "ann", False)})
    (one,) = asked(cache, kpi, NEXT, told, period=None).restated
    assert (one.before, one.now) == (0.6, 1.0)
    assert {(r.id, r.change) for r in one.records or ()} == {("d", "changed"), ("e", "gone")}


def test_a_ratio_of_kpis_names_the_records_of_both(cache: sqlite3.Connection) -> None:
    tops = {"of": "opportunities", "date": "outcome_date", "where": {"is_won": True}}
    kpis = {
        "wins": build("wins", {**tops, "period": "month"}),
        "losses": build("losses", {**tops, "where": {"is_won": False, "is_closed": True}, "period": "month"}),
        "odds": build("odds", {"ratio": {"top": "wins", "bottom": "losses"}, "n_min": 1, "unit": "number"}),
    }

    def ask(as_of: datetime, told: Sequence[Told] = ()) -> KpiResult:
        evaluator = Evaluator(cache, kpis, REPORTING, as_of=as_of)
        result = evaluator.evaluate(kpis["odds"], granularity="month")
        return with_restated(evaluator, kpis["odds"], result, told, granularity="month", keep=True)

    load(cache, {**world(1, 1, 1), "d": ("lost", 10, 1, "ann", False)})
    told = ask(SENT).told
    assert told[0].value == 3
    load(cache, {**world(1, 1), "c": ("lost", 10, 1, "ann", False), "d": ("lost", 10, 1, "ann", False)})
    (one,) = ask(NEXT, told).restated
    assert (one.before, one.now, [r.id for r in one.records or ()]) == (3, 1, ["c"])


def test_a_statement_names_what_it_names(cache: sqlite3.Connection) -> None:
    sql = (
        "WITH w AS (SELECT id, amount_minor / 100.0 AS v FROM opportunities"
        " WHERE state = 'won' AND is_deleted = 0 AND close_date >= :start_date AND close_date < :end_date)"
        " SELECT NULL AS record_id, SUM(v) AS value FROM w UNION ALL SELECT id, v FROM w"
    )
    kpi = build("own", {"sql": sql})
    load(cache, world(100, 50))
    told = asked(cache, kpi, SENT).told
    load(cache, world(100, 80))
    (one,) = asked(cache, kpi, NEXT, told, period=None).restated
    assert (one.before, one.now) == (150, 180)
    assert [(r.id, r.before, r.now) for r in one.records or ()] == [("b", 50, 80)]


def test_a_value_that_is_gone_is_restated_once(cache: sqlite3.Connection) -> None:
    kpi = override(BUILTINS["win_rate"], {"n_min": 1})
    load(cache, world(1, 1))
    told = asked(cache, kpi, SENT).told
    load(cache, {})
    found = asked(cache, kpi, NEXT, told, period=None)
    assert [(one.before, one.now) for one in found.restated] == [(1.0, None)]
    assert asked(cache, kpi, NEXT, found.told, period=None).restated == ()


@pytest.mark.parametrize(
    ("before", "now", "unit", "is_it"),
    [
        (41, 44, "count", True),
        (1000, 1001, "count", False),
        (0, 1, "count", True),
        (0.31, 0.3104, "ratio", False),
        (0.31, 0.3116, "ratio", True),
        (1000.0, 1000.4, "money", False),
        (100_000.0, 100_400.0, "money", False),
        (100_000.0, 100_500.0, "money", True),
        (3600, 3610, "seconds", False),
        (0.0, 0.0, "ratio", False),
        (None, None, "ratio", False),
        (None, 1, "count", True),
    ],
)
def test_rounding_and_late_cents_are_no_news(before: float | None, now: float | None, unit: str, is_it: bool) -> None:
    assert is_news(before, now, unit) is is_it


def test_a_segment_of_a_ratio_names_its_own_records(shared: sqlite3.Connection) -> None:
    """Ann sold more in October than was told: her growth is restated with her deal, Bob's is not."""
    sold: dict[str, Deal] = {id_: ("won", 9, 100, owner, False) for id_, owner in (("a", "ann"), ("b", "bob"))}
    sold |= {id_: ("won", 10, 200, owner, False) for id_, owner in (("c", "ann"), ("d", "bob"))}
    load(shared, sold)
    params = {"compare": "previous_period"}
    growth = override(BUILTINS["sales_growth"], {"by": ["owner"], "n_min": 0, "period": "month", "params": params})
    first = asked(shared, growth, SENT)
    load(shared, {**sold, "c": ("won", 10, 300, "ann", False)})
    then = asked(shared, growth, NEXT, first.told, period=None)
    assert {one.segment: (one.before, one.now) for one in then.restated} == {None: (1.0, 1.5), "ann": (1.0, 2.0)}
    assert [[record.id for record in one.records or ()] for one in then.restated] == [["c"], ["c"]]

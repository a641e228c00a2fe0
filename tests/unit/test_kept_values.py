"""Values kept of complete periods equal values computed, whatever changed and whenever they are asked for."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scorecards.catalogue import BUILTINS
from scorecards.compiler import Rows
from scorecards.definition import Hours, Kpi, Reporting, build, override
from scorecards.evaluate import Evaluator
from scorecards.facts import FACTS
from scorecards.kept import Bounds, Grounds, bounds_beside, grounds, packed, unpacked
from scorecards.periods import Slice, cut, parse_period
from scorecards.tally import Tally
from scorecards.values import KpiResult
from syncagent import facts, kept
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, START, Change, changes, put

SPLIT = REPORTING.model_copy(
    update={
        "dimensions": {
            "account": {"opportunities": "account.name", "tickets": "account.name", "activities": "account_id"},
            "state": {"opportunities": "state", "tickets": "status_category", "activities": "type"},
        }
    }
)


@contextmanager
def reading(conn: sqlite3.Connection) -> Iterator[None]:
    conn.execute("BEGIN")
    try:
        yield
    finally:
        conn.execute("ROLLBACK")


def asked(
    conn: sqlite3.Connection,
    as_of: datetime,
    kpis: Sequence[Kpi] = tuple(BUILTINS.values()),
    reporting: Reporting = SPLIT,
    *,
    stores: bool = True,
) -> tuple[list[KpiResult], kept.Shelf]:
    """The KPIs by what is kept; what was computed is stored afterwards."""
    with reading(conn):
        shelf = kept.Shelf(conn, reporting, as_of)
        evaluator = Evaluator(conn, BUILTINS, reporting, as_of=as_of, keeper=shelf)
        found = [evaluator.evaluate(kpi, by=("account", "state")) for kpi in kpis]
    if stores:
        kept.store(conn, shelf)
    return found, shelf


def computed(
    conn: sqlite3.Connection, as_of: datetime, kpis: Sequence[Kpi] = tuple(BUILTINS.values())
) -> list[KpiResult]:
    evaluator = Evaluator(conn, BUILTINS, SPLIT, as_of=as_of)
    return [evaluator.evaluate(kpi, by=("account", "state")) for kpi in kpis]


# -- what each rule is for ------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
WON = BUILTINS["won_revenue"].model_copy(update={"n_min": 0})
OCTOBER = cut(parse_period("2026-10"), NOW, ZoneInfo(REPORTING.timezone))
#: From January 2023 on: as far back as the months up to October 2026 are judged by.
PERIODS = 46


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Deals won in August, September and October, of two owners and two accounts."""
    conn = open_cache(tmp_path)
    put(conn, "users", "U a", name="Ann", team="East")
    put(conn, "users", "U b", name="Bob", team="West")
    put(conn, "accounts", "A a", name="Acme")
    put(conn, "accounts", "A b", name="Beta")
    for number, day in enumerate(("2026-08-10", "2026-09-10", "2026-10-10", "2026-10-20")):
        won(conn, f"D {number}", day)
    facts.refresh(conn, REPORTING)
    yield conn
    conn.close()


def won(conn: sqlite3.Connection, id_: str, day: str, **more: Any) -> None:
    values = {"state": "won", "created_at": "2026-06-01T00:00:00Z", "amount_minor": 10000, "currency": "EUR"}
    values |= {"close_date": day, "owner_id": "U a", "account_id": "A a", "custom": '{"region": "north"}'}
    put(conn, "opportunities", id_, **{**values, **more})


def look(
    conn: sqlite3.Connection, kpi: Kpi = WON, as_of: datetime = NOW, *, by: Sequence[str] = (), month: str = ""
) -> list[str]:
    """Ask with what is kept and without: the values are the same. Returns the months that were computed."""
    span = parse_period(month) if month else None
    with reading(conn):
        shelf = Shelf(conn, REPORTING, as_of)
        shelf.computed = []
        evaluator = Evaluator(conn, {**BUILTINS, kpi.id: kpi}, REPORTING, as_of=as_of, keeper=shelf)
        found = evaluator.evaluate(kpi, by=by, period=span)
    assert found == Evaluator(conn, {**BUILTINS, kpi.id: kpi}, REPORTING, as_of=as_of).evaluate(kpi, by=by, period=span)
    assert found.status != "error", found.reason
    kept.store(conn, shelf)
    return sorted(set(shelf.computed))


def point(conn: sqlite3.Connection, kpi: Kpi, as_of: datetime) -> list[str]:
    """The same of October's figure alone."""
    with reading(conn):
        shelf = Shelf(conn, REPORTING, as_of)
        shelf.computed = []
        found = Evaluator(conn, BUILTINS, REPORTING, as_of=as_of, keeper=shelf).figures(kpi, [OCTOBER])
    assert found == Evaluator(conn, BUILTINS, REPORTING, as_of=as_of).figures(kpi, [OCTOBER])
    kept.store(conn, shelf)
    return shelf.computed


class Shelf(kept.Shelf):
    """Also tells what it was asked to keep."""

    computed: list[str]

    def keep(self, rows: Rows, slice_: Slice, form: str, said: bytes) -> None:
        self.computed.append(slice_.span.start.isoformat()[:7])
        super().keep(rows, slice_, form, said)


def own(**slots: Any) -> Kpi:
    return build("own", {"of": "opportunities", "date": "outcome_date", "n_min": 0, **slots})


def test_what_the_crm_makes_of_an_amount_is_no_stale_one(cache: sqlite3.Connection) -> None:
    """The amount is the same, and so is all that follows from it: what the CRM converts it to is another."""
    for home in (90.0, 95.0):
        won(cache, "D chf", "2026-10-05", currency="CHF", home_amount=home, home_currency="EUR")
        facts.refresh(cache, REPORTING)
        assert look(cache, month="2026-10")
        assert look(cache, month="2026-10") == []


def test_what_was_asked_once_is_not_computed_again(cache: sqlite3.Connection) -> None:
    assert len(look(cache)) == PERIODS
    assert look(cache) == []
    assert look(cache, as_of=NOW + timedelta(days=3)) == []


def test_a_record_costs_the_months_it_was_in_and_is_in(cache: sqlite3.Connection) -> None:
    look(cache)
    won(cache, "D 0", "2026-09-30")
    facts.refresh(cache, REPORTING)
    assert look(cache) == ["2026-08", "2026-09"]


def test_a_record_that_is_gone_costs_its_month(cache: sqlite3.Connection) -> None:
    look(cache)
    cache.execute("DELETE FROM opportunities WHERE id = 'D 1'")
    facts.refresh(cache, REPORTING)
    assert look(cache) == ["2026-09"]


def test_the_record_behind_a_fact_costs_its_month(cache: sqlite3.Connection) -> None:
    """The fact's own row is the same; what is read of the record is not."""
    north = own(where={"custom.region": "north"})
    look(cache, north)
    put(cache, "opportunities", "D 1", custom='{"region": "south"}')
    assert len(look(cache, north)) == PERIODS, "changed, and not followed yet"
    facts.refresh(cache, REPORTING)
    assert look(cache, north) == ["2026-09"]
    assert look(cache, north) == []


def test_a_record_referred_to_costs_what_reads_it(cache: sqlite3.Connection) -> None:
    """Whose values read a table beside their own rows' are computed anew when anything in that table changes."""
    assert look(cache, by=["owner.name"]) != []
    assert look(cache, by=["owner.name"]) == []
    put(cache, "users", "U a", name="Anna")
    assert look(cache, by=["owner.name"]) == ["2026-09", "2026-10"], "the split and the drivers, not the series"
    facts.refresh(cache, REPORTING)
    assert look(cache, by=["owner.name"]) == ["2026-09", "2026-10"]
    assert look(cache, by=["owner.name"]) == []


def test_a_merge_costs_what_follows_it(cache: sqlite3.Connection) -> None:
    """Answers say whose they are by a contact that another stands for now; no row of theirs changed."""
    for id_ in ("C a", "C b"):
        put(cache, "contacts", id_, created_at="2026-01-01T00:00:00Z")
    put(cache, "survey_responses", "R", responded_at="2026-10-05T00:00:00Z", contact_id="C a", score=5)
    facts.refresh(cache, REPORTING)
    answers = build("own", {"of": "survey_responses", "date": "responded_at", "n_min": 0})
    look(cache, answers, by=["contact_id"])
    assert look(cache, answers, by=["contact_id"]) == []
    put(cache, "contacts", "C a", merged_into="C b")
    facts.refresh(cache, REPORTING)
    assert look(cache, answers, by=["contact_id"]) == ["2026-09", "2026-10"]


def test_rates_cost_what_they_convert(cache: sqlite3.Connection) -> None:
    won(cache, "D 9", "2026-10-11", currency="USD")
    put(cache, "fx_rates", "F", currency="USD", valid_from="2026-01-01", rate_to_reporting=0.9)
    facts.refresh(cache, REPORTING)
    look(cache)
    assert look(cache) == []
    put(cache, "fx_rates", "F", rate_to_reporting=0.8)
    assert len(look(cache)) == PERIODS


def test_an_instant_passed_costs_the_months_it_is_said_of(cache: sqlite3.Connection) -> None:
    """Lost in November, deals won in September say something else before than after: in either order."""
    put(cache, "opportunity_stage_history", "H 0", opportunity_id="D 1", changed_at="2026-09-10T08:00:00Z", state="won")
    put(
        cache, "opportunity_stage_history", "H 1", opportunity_id="D 1", changed_at="2026-11-10T08:00:00Z", state="lost"
    )
    put(cache, "opportunities", "D 1", state="lost")
    facts.refresh(cache, REPORTING)
    before, after = datetime(2026, 11, 5, tzinfo=UTC), NOW
    look(cache, as_of=after)
    assert look(cache, as_of=before) == ["2026-09"]
    assert look(cache, as_of=after) == ["2026-09"]
    assert look(cache, as_of=after + timedelta(days=1)) == []


def test_customers_known_since_cost_the_months_they_were_in(cache: sqlite3.Connection) -> None:
    """Spans are not placed by a day of their own: whatever becomes known, all of them are asked anew."""
    kept_ones = BUILTINS["customer_retention_rate"].model_copy(update={"n_min": 0, "period": "month"})
    late = {"opportunity_id": "D 3", "changed_at": "2026-11-10T08:00:00Z", "state": "won"}
    put(cache, "opportunity_stage_history", "H", **late)
    facts.refresh(cache, REPORTING)
    before = datetime(2026, 11, 5, tzinfo=UTC)
    assert look(cache, kept_ones, before) != []
    assert look(cache, kept_ones, before) == []
    assert look(cache, kept_ones, NOW) != []
    assert look(cache, kept_ones, NOW + timedelta(days=1)) == []


def test_a_list_of_records_is_kept_as_well(cache: sqlite3.Connection) -> None:
    lost = own(where={"is_won": True}, action={"label": "Look at", "show": ["amount"], "order": "-amount", "limit": 2})
    look(cache, lost)
    assert look(cache, lost) == []
    look(cache, BUILTINS["outreach_volume"])  # its list leaves out whom another KPI's rows name
    assert look(cache, BUILTINS["outreach_volume"]) == []
    won(cache, "D 8", "2026-10-11", amount_minor=99999999)
    facts.refresh(cache, REPORTING)
    assert "2026-10" in look(cache, lost)


def test_a_cohort_that_grows_old_is_computed_anew(cache: sqlite3.Connection) -> None:
    for number in range(3):
        put(cache, "leads", f"L {number}", created_at=f"2026-10-{10 + number}T00:00:00Z", status_category="open")
    facts.refresh(cache, REPORTING)
    waits = build("own", {"of": "leads", "date": "created_at", "agg": "count", "mature": "35d", "n_min": 0})
    before, after = datetime(2026, 11, 14, 12, tzinfo=UTC), datetime(2026, 11, 15, 12, tzinfo=UTC)
    assert "2026-10" in point(cache, waits, before)
    assert point(cache, waits, before) == []
    assert "2026-10" in point(cache, waits, after), "another one is old enough"


def test_stocks_cost_the_instants_after_what_changed(cache: sqlite3.Connection) -> None:
    pipeline = BUILTINS["pipeline_open_value"].model_copy(update={"n_min": 0, "period": "month", "action": None})
    put(cache, "opportunities", "D o", state="open", created_at="2026-08-15T00:00:00Z", amount_minor=5)
    facts.refresh(cache, REPORTING)
    look(cache, pipeline)
    assert look(cache, pipeline) == []
    put(cache, "opportunities", "D o", amount_minor=7)
    facts.refresh(cache, REPORTING)
    assert look(cache, pipeline)[0] == "2026-08"


def test_rows_that_say_something_of_each_other_cost_all_their_months(cache: sqlite3.Connection) -> None:
    """The 51st lead of one minute makes all of them imported."""
    made = {"created_at": "2026-09-05T10:00:00Z", "status_category": "open"}
    for number in range(50):
        put(cache, "leads", f"L {number}", **made)
    facts.refresh(cache, REPORTING)
    by_hand = build("own", {"of": "leads", "date": "converted_date", "where": {"is_imported": False}, "n_min": 0})
    put(cache, "leads", "L 0", status_category="converted", converted_date="2026-10-05")
    facts.refresh(cache, REPORTING)
    look(cache, by_hand)
    put(cache, "leads", "L 50", **made)
    facts.refresh(cache, REPORTING)
    assert look(cache, by_hand) == ["2026-10"]


def test_what_moved_a_stock_is_of_its_own_units(cache: sqlite3.Connection) -> None:
    """Two KPIs read the same rows and say their amounts in other units."""
    open_value = BUILTINS["pipeline_open_value"]
    put(cache, "opportunities", "D open", state="open", created_at="2026-09-01T00:00:00Z", amount_minor=500)
    facts.refresh(cache, REPORTING)
    look(cache, open_value, month="2026-09")
    look(cache, open_value.model_copy(update={"id": "thousands", "scale": 0.001}), month="2026-09")


def test_how_long_an_answer_holds_is_its_own(cache: sqlite3.Connection) -> None:
    """Two stocks differ in a value alone: one rests on a record that came between the days they are asked for."""
    for name, came in (("Zoe", "2026-06-01"), ("Yan", "2026-11-15")):
        put(cache, "users", name, name=name)
        put(cache, "opportunities", f"D {name}", state="open", owner_id=name, created_at=f"{came}T00:00:00Z")
    facts.refresh(cache, REPORTING)
    whose = {
        name: build(name, {"of": "opportunities", "where": {"owner.name": name}, "n_min": 0}) for name in ("Zoe", "Yan")
    }
    both = build("both", {"calc": {"plus": ["Zoe", "Yan"]}, "period": "month", "n_min": 0})
    kpis, values = {**BUILTINS, **whose, "both": both}, []
    for as_of in (NOW, NOW - timedelta(days=11)):
        with reading(cache):
            shelf = kept.Shelf(cache, REPORTING, as_of)
            evaluator = Evaluator(cache, kpis, REPORTING, as_of=as_of, keeper=shelf)
            values.append(evaluator.evaluate(both, period=parse_period("2026-10")).value)
        kept.store(cache, shelf)
    assert values == [2, 1]


@given(days=st.lists(st.none() | st.integers(0, 9), max_size=12), at=st.integers(0, 10))
def test_how_long_a_table_stays_past_is_found_by_any_index_or_none(days: list[int | None], at: int) -> None:
    kinds: dict[str, Callable[[int], Any]] = {
        "at": int,
        "day": "2026-01-{:02}".format,
        "text": "1970-01-01T00:00:{:02}Z".format,
    }
    values = {"known_at": at, "known_day": f"2026-01-{at:02}"}
    with closing(sqlite3.connect(":memory:")) as conn:
        conn.create_function("stamp", 1, kinds["text"], deterministic=True)
        for kind, said in kinds.items():
            rows = [None if day is None else said(day) for day in days]
            past = [one for one in rows if one is not None and one < said(at)]
            coming = [one for one in rows if one is not None and one >= said(at)]
            expected: Bounds = {kind: (max(past, default=None), min(coming, default=None))}
            for index in ("", "(c)", "(c, d)", "(d, c)", "(c) WHERE c IS NULL"):
                conn.execute("DROP TABLE IF EXISTS t")
                conn.execute("CREATE TABLE t (c, d)")
                conn.executemany("INSERT INTO t VALUES (?, 0)", [(one,) for one in rows])
                if index:
                    conn.execute(f"CREATE INDEX by_c ON t{index}")
                assert bounds_beside(conn, kind, "t", "c", values) == expected


def test_other_settings_are_another_question(cache: sqlite3.Connection) -> None:
    look(cache)
    with reading(cache):
        closed = REPORTING.model_copy(update={"hours": Hours(weekly={})})
        shelf = kept.Shelf(cache, closed, NOW)
        Evaluator(cache, BUILTINS, closed, as_of=NOW, keeper=shelf).evaluate(WON)
    assert not shelf.hits


def test_facts_built_anew_leave_nothing_kept(cache: sqlite3.Connection) -> None:
    look(cache)
    facts.refresh(cache, REPORTING.model_copy(update={"timezone": "Asia/Tokyo"}))
    assert cache.execute("SELECT COUNT(*) FROM kept_values").fetchone()[0] == 0


def test_while_facts_are_built_nothing_is_given_or_taken(cache: sqlite3.Connection) -> None:
    look(cache)
    cache.execute("INSERT INTO facts_meta VALUES ('building', '')")
    with reading(cache):
        assert not kept.Shelf(cache, REPORTING, NOW).is_open


def test_outside_of_a_transaction_nothing_is_given_or_taken(cache: sqlite3.Connection) -> None:
    assert not kept.Shelf(cache, REPORTING, NOW).is_open


def test_what_was_computed_from_an_earlier_state_is_not_stored(cache: sqlite3.Connection) -> None:
    with reading(cache):
        shelf = kept.Shelf(cache, REPORTING, NOW)
        Evaluator(cache, BUILTINS, REPORTING, as_of=NOW, keeper=shelf).evaluate(WON)
    won(cache, "D 1", "2026-09-11")
    facts.refresh(cache, REPORTING)
    assert shelf.puts
    assert kept.store(cache, shelf) == 0


@pytest.mark.parametrize("name", ["sync_success_rate", "data_sync_lag", "report_latency", "upsell_revenue"])
def test_what_cannot_be_told_of_is_never_kept(cache: sqlite3.Connection, name: str) -> None:
    """The agent's own book, which nothing watches; a comparison with as_of of rows beside the slice's."""
    assert rests_of(cache, BUILTINS[name]) is None
    assert point(cache, BUILTINS[name], NOW) == point(cache, BUILTINS[name], NOW)
    assert cache.execute("SELECT COUNT(*) FROM kept_values").fetchone()[0] == 0


def rests_of(conn: sqlite3.Connection, kpi: Kpi, by: str | None = None) -> Grounds | None:
    """What a KPI's statement rests on."""
    tables = {row[1] for row in conn.execute("PRAGMA table_list")}
    watched = {*kept.WATCHED, *(fact.name for fact in FACTS.values())}
    return grounds(Evaluator(conn, {}, REPORTING, as_of=NOW).rows(kpi, by), watched, tables - watched)


def test_a_statement_says_itself_what_it_rests_on(cache: sqlite3.Connection) -> None:
    """Facts change by day, unless read a second time; the record behind them too, where its changes mark the row."""
    deals, mails = rests_of(cache, WON), rests_of(cache, BUILTINS["email_response_rate"])
    assert deals == Grounds(frozenset(), "fact_opportunities", "outcome_date")
    assert mails is not None
    assert (mails.source, "fact_sent_mails" in mails.tables) == ("", True)
    behind = rests_of(cache, own(where={"custom.region": "north"}))
    assert behind == Grounds(frozenset(), "fact_opportunities", "outcome_date", "opportunities")
    beside = build("own", {"of": "approaches", "date": "occurred_at", "where": {"subject": "Hello"}})
    assert rests_of(cache, beside) == Grounds(frozenset({"activities"}), "fact_approaches", "occurred_at")
    split = rests_of(cache, WON, "owner.name")
    assert split == Grounds(frozenset({"users", "aliases"}), "fact_opportunities", "outcome_date")


@pytest.mark.parametrize("name", ["new_customers", "customers_worth"])
def test_purchases_of_both_kinds_are_kept(cache: sqlite3.Connection, name: str) -> None:
    """Deals and orders are looked up side by side: each under a name of its own, or no turn of them could be told."""
    both = override(BUILTINS[name], {"n_min": 0, "params": {"purchases": ["deals", "orders"]}})
    assert look(cache, both) != []
    assert look(cache, both) == []


def test_a_period_that_still_runs_is_not_kept(cache: sqlite3.Connection) -> None:
    to_date = WON.model_copy(update={"partial": "to_date"})
    look(cache, to_date)
    assert "2026-11" in look(cache, to_date)


def test_what_was_asked_for_the_longest_ago_makes_room(cache: sqlite3.Connection) -> None:
    look(cache)
    _, shelf = asked(cache, NOW + timedelta(days=1), [WON], REPORTING, stores=False)
    held = cache.execute("SELECT SUM(bytes) FROM kept_values").fetchone()[0]
    late = own(agg="count")
    _, other = asked(cache, NOW + timedelta(days=2), [late], REPORTING, stores=False)
    kept.store(cache, other, most_bytes=held)
    assert cache.execute("SELECT SUM(bytes) FROM kept_values").fetchone()[0] <= held
    assert look(cache, late, NOW + timedelta(days=2)) == []
    assert shelf.hits
    assert look(cache) != []


@given(
    values=st.none()
    | st.lists(st.integers(-(2**70), 2**70))
    | st.lists(st.floats(allow_nan=False))
    | st.lists(st.text()),
    sums=st.tuples(
        st.decimals(allow_nan=False, allow_infinity=False), st.decimals(allow_nan=False, allow_infinity=False)
    ),
    keys=st.sets(st.text() | st.integers()),
)
def test_tallies_come_back_as_they_were(
    values: list[Any] | None, sums: tuple[Decimal, Decimal], keys: set[Any]
) -> None:
    given_ = {"": Tally(3, 2, *sums, Decimal("1.50"), {"null": 1}, values, keys, 7), "é": Tally(values=[1, 2])}
    said = packed(given_)
    assert said is not None
    found = unpacked(said)
    for one in (*given_.values(), *found.values()):
        one.values = sorted(one.values) if one.values is not None else None
    assert found == given_
    assert all(type(a) is type(b) for a, b in zip(found[""].values or (), given_[""].values or (), strict=True))


# -- all of them together -------------------------------------------------------------------------------------

moments = st.integers(40 * 24, 330 * 24).map(lambda h: START + timedelta(hours=h))
steps = st.tuples(st.lists(changes, max_size=4), st.booleans(), moments)


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(begin=st.lists(changes, min_size=25, max_size=40), then=st.lists(steps, min_size=2, max_size=5))
def test_what_is_kept_is_what_would_be_computed(
    tmp_path_factory: pytest.TempPathFactory, begin: list[Change], then: list[tuple[list[Change], bool, datetime]]
) -> None:
    """Every built-in KPI, after any changes, followed by facts or not yet, at as_of's in any order."""
    with closing(open_cache(tmp_path_factory.mktemp("cache"))) as conn:
        for name, id_, values in begin:
            put(conn, name, id_, **values)
        facts.refresh(conn, SPLIT)
        for batch, is_followed, as_of in then:
            for name, id_, values in batch:
                put(conn, name, id_, **values)
            if is_followed:
                facts.refresh(conn, SPLIT)
            found, _ = asked(conn, as_of)
            for one, other in zip(found, computed(conn, as_of), strict=True):
                assert one == other, (one.kpi, one.reason, other.reason)

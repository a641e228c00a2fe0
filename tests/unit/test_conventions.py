"""The conventions G1 to G18 of docs/definitions.md, each with what would be another number if it did not hold.

Others are held where the thing itself is tested: the business clock (G7) in test_team_calendars and test_periods, money
(G10) in test_exchange, how numbers are written (G11) in test_format, the pool of small segments (G15) in test_drivers,
the beginning of history (G17) in test_kpi_language.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import fmean, median, quantiles
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi, Reporting, build, override
from scorecards.definition import TestRows as Rules
from scorecards.evaluate import Evaluator, evaluate
from scorecards.figures import N_MIN_DURATION, N_MIN_QUANTILE, N_MIN_RATIO, N_MIN_SURVEY, n_min
from scorecards.periods import parse_period
from scorecards.render import render
from scorecards.render.format import get
from scorecards.render.rows import maturity_words, written_change
from scorecards.values import KpiResult
from syncagent import facts, issues
from syncagent.config import load_config
from syncagent.store import open_cache
from tests.fakes import every_table
from tests.fakes.issue import issue
from tests.unit.facts.frame import REPORTING, put

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)
UTC_REPORTING = REPORTING.model_copy(update={"timezone": "UTC"})


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path_factory.mktemp("full"))) as conn:
        every_table.fill(conn)
        facts.refresh(conn, REPORTING)
        yield conn


def asked(
    conn: sqlite3.Connection,
    kpi: str | dict[str, Any],
    period: str | None = "2026-10",
    *,
    as_of: datetime = AS_OF,
    reporting: Reporting = UTC_REPORTING,
    by: tuple[str, ...] = (),
    **table: Any,
) -> KpiResult:
    facts.refresh(conn, reporting)
    made: Kpi = build("own", kpi) if isinstance(kpi, dict) else override(BUILTINS[kpi], {"n_min": 1, **table})
    span = parse_period(period) if period else None
    return evaluate(conn, made, {**BUILTINS, made.id: made}, reporting, as_of=as_of, period=span, by=by)


def ticket(conn: sqlite3.Connection, id_: str, created: str, **more: Any) -> None:
    put(conn, "tickets", id_, **{"created_at": created, "status_category": "open", **more})


def won(conn: sqlite3.Connection, id_: str, day: str | None, amount: int | None = 100, **more: Any) -> None:
    put(conn, "opportunities", id_, **{"state": "won", "close_date": day, "amount_minor": amount, "currency": "EUR",
        "created_at": "2026-01-01T00:00:00Z", **more})  # fmt: skip


def stage(conn: sqlite3.Connection, deal: str, at: str, state: str, **more: Any) -> None:
    put(conn, "opportunity_stage_history", f"{deal} {at}", opportunity_id=deal, changed_at=at, state=state, **more)


CAME = {"of": "tickets", "date": "created_at"}
AMOUNTS = {"of": "opportunities", "agg": "sum", "field": "amount", "date": "outcome_date", "where": {"is_won": True}}


# -- G1, G2: which day, and what is known ---------------------------------------------------------------------


def test_g1_an_instant_belongs_to_its_local_day_on_both_sides_of_a_change_of_clocks(cache: sqlite3.Connection) -> None:
    """October of Berlin begins at 22:00 UTC and ends at 23:00 UTC: it is an hour longer than its days."""
    for at in ("2026-09-30T21:59:59Z", "2026-09-30T22:00:00Z", "2026-10-31T22:59:59Z", "2026-10-31T23:00:00Z"):
        ticket(cache, at, at)
    berlin = asked(cache, CAME, reporting=REPORTING, by=("id",))
    assert {one.segment for one in berlin.segments} == {"2026-09-30T22:00:00Z", "2026-10-31T22:59:59Z"}
    assert {one.segment for one in asked(cache, CAME, by=("id",)).segments} == {
        "2026-10-31T22:59:59Z", "2026-10-31T23:00:00Z"
    }  # fmt: skip


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_g1_a_date_stays_its_date_in_every_zone(cache: sqlite3.Connection, zone: str) -> None:
    """It is never made midnight UTC, which is another day 14 hours away."""
    won(cache, "first", "2026-10-01")
    won(cache, "last", "2026-10-31")
    reporting = REPORTING.model_copy(update={"timezone": zone})
    assert asked(cache, AMOUNTS, reporting=reporting).value == 2


def test_g1_periods_are_days_of_the_agent_whatever_zone_a_scorecard_is_sent_in(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        '[agent]\ntimezone = "Europe/Berlin"\n[mail]\nhost = "localhost"\nfrom = "a@acme.test"\n'
        '[scorecard.far]\nsend = "day 1 of month 06:00"\ntimezone = "Pacific/Auckland"\nkpis = ["won_revenue"]\n'
        'to = ["a@acme.test"]\n',
        encoding="utf-8",
    )
    config = load_config(path, environ={})
    sent = datetime(2026, 10, 31, 17, tzinfo=UTC)  # 06:00 on 1 November in Auckland, still October in Berlin
    period = issues.period_of(config, config.scorecards["far"], sent)
    assert (period.start, period.timezone) == (date(2026, 9, 1), "Europe/Berlin")


def test_g2_what_happens_at_the_instant_itself_is_not_known_yet(cache: sqlite3.Connection) -> None:
    ticket(cache, "before", "2026-11-20T11:59:59Z")
    ticket(cache, "at", "2026-11-20T12:00:00Z")
    assert asked(cache, CAME, "2026-11", by=("id",)).segments[0].segment == "before"
    assert asked(cache, CAME, "2026-11").value == 1
    assert asked(cache, CAME, "2026-11", as_of=AS_OF + timedelta(seconds=1)).value == 2
    assert asked(cache, "ticket_backlog", None).value == 1


def test_g2_a_date_counts_once_its_local_day_is_over(cache: sqlite3.Connection) -> None:
    won(cache, "W", "2026-11-20")
    over = datetime(2026, 11, 20, 23, tzinfo=UTC)  # midnight in Berlin
    for moment, value in ((over - timedelta(seconds=1), 0), (over, 1)):
        assert asked(cache, AMOUNTS, "2026-11", as_of=moment, reporting=REPORTING).value == value


def test_g2_opening_and_in_and_out_make_the_closing_stock(cache: sqlite3.Connection) -> None:
    random = Random(7)
    for number in range(60):
        day = datetime(2026, 8, 1, tzinfo=UTC) + timedelta(hours=random.randrange(24 * 92))
        closed = day + timedelta(hours=random.randrange(1, 24 * 40)) if random.random() < 0.7 else None
        ticket(cache, f"t{number}", f"{day:%Y-%m-%dT%H:%M:%SZ}", status_category="closed" if closed else "open",
               closed_at=f"{closed:%Y-%m-%dT%H:%M:%SZ}" if closed else None)  # fmt: skip
    stocks = [asked(cache, "ticket_backlog", month).value or 0 for month in ("2026-09", "2026-10")]
    came = asked(cache, CAME).value or 0
    gone = asked(cache, {"of": "tickets", "date": "last_closed_at"}).value or 0
    assert stocks[0] + came - gone == stocks[1]


# -- G3, G4: which rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "out",
    [{"is_deleted": 1}, {"merged_into": "kept"}, {"is_test": 1}, {"source": "hubspot", "sf_opportunity_id": "kept"}],
)
def test_g3_only_live_rows_count(cache: sqlite3.Connection, out: dict[str, Any]) -> None:
    won(cache, "kept", "2026-10-05")
    won(cache, "out", "2026-10-06", 900, **out)
    assert asked(cache, AMOUNTS).value == 1


def test_g3_what_is_deleted_now_is_gone_from_every_period(cache: sqlite3.Connection) -> None:
    won(cache, "W", "2026-09-05")
    assert asked(cache, AMOUNTS, "2026-09").value == 1
    put(cache, "opportunities", "W", is_deleted=1)
    assert asked(cache, AMOUNTS, "2026-09").value == 0


def test_g3_merges_are_followed_over_ten_steps_and_no_further(cache: sqlite3.Connection) -> None:
    put(cache, "accounts", "a0")
    for step in range(1, 12):
        put(cache, "accounts", f"a{step}", merged_into=f"a{step - 1}")
    for step in (10, 11):
        ticket(cache, f"t{step}", "2026-10-05T00:00:00Z", account_id=f"a{step}")
    found = {one.segment for one in asked(cache, CAME, by=("account_id",)).segments}
    assert "a0" in found
    assert "a10" not in found
    assert "a11" in found  # too far: it stands for itself, and the log says so


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        (Rules(), 3),
        (Rules(names=("*demo*",)), 2),
        (Rules(pipelines=("sandbox",)), 2),
        (Rules(owners=("qa@acme.test",)), 2),
        (Rules(names=("nothing",)), 3),
    ],
)
def test_g4_a_rule_makes_a_row_a_test(cache: sqlite3.Connection, rules: Rules, left: int) -> None:
    put(cache, "users", "qa", email="qa@acme.test")
    won(cache, "a", "2026-10-05", name="A Demo deal")
    won(cache, "b", "2026-10-05", pipeline="Sandbox")
    won(cache, "c", "2026-10-05", owner_id="qa")
    won(cache, "own word", "2026-10-05", is_test=1)
    reporting = UTC_REPORTING.model_copy(update={"test_rows": rules})
    assert asked(cache, AMOUNTS, reporting=reporting).value == left


def test_g4_a_domain_makes_tests_of_the_people_in_it(cache: sqlite3.Connection) -> None:
    """So colleagues kept as contacts are no customers, once the own domain is named."""
    for id_, mail in (("us", "kim@acme.test"), ("them", "kim@other.test")):
        put(cache, "contacts", id_, email_norm=mail)
    named = UTC_REPORTING.model_copy(update={"test_rows": Rules(domains=("acme.test",))})
    assert asked(cache, "contactability_rate", None).denominator == 2
    assert asked(cache, "contactability_rate", None, reporting=named).denominator == 1


def test_g4_people_who_are_tests_are_nobody_to_talk_with(cache: sqlite3.Connection) -> None:
    """Named or linked, alone or beside a customer, whose the conversation then is; and again when the rule is gone."""
    for id_, mail in (("us", "kim@acme.test"), ("them", "kim@other.test")):
        put(cache, "contacts", id_, email_norm=mail, account_id=f"account of {id_}")
    put(cache, "leads", "our lead", email_norm="lee@acme.test")
    said = {"type": "email", "direction": "outbound", "status": "completed", "occurred_at": "2026-10-05T10:00:00Z"}
    put(cache, "activities", "internal", **said, contact_id="us")
    put(cache, "activities", "internal too", **said, lead_id="our lead")
    put(cache, "activities", "beside", **said, contact_id="us")
    put(cache, "activity_links", "link", activity_id="beside", object="contacts", object_id="them")
    put(cache, "activities", "to nobody known", **said)
    put(cache, "activities", "logged", type="email", direction="inbound", occurred_at="2026-01-05T10:00:00Z")
    named = UTC_REPORTING.model_copy(update={"test_rows": Rules(domains=("acme.test",))})

    def counted(reporting: Reporting) -> tuple[float | None, float | None]:
        people = asked(cache, "conversation_rate", reporting=reporting).denominator
        return people, asked(cache, "email_response_rate", reporting=reporting).denominator

    assert counted(UTC_REPORTING) == (3, 4)
    assert counted(named) == (1, 2)
    assert counted(UTC_REPORTING) == (3, 4)


def test_g4_what_is_a_test_persons_counts_no_more_than_he_does(cache: sqlite3.Connection) -> None:
    """Tickets, answers, invitations and campaign mails; with a customer beside him it is the customer's."""
    for id_, mail in (("us", "kim@acme.test"), ("them", "kim@other.test")):
        put(cache, "contacts", id_, email_norm=mail, account_id=f"account of {id_}")
        put(cache, "accounts", f"account of {id_}")
        at = "2026-10-05T10:00:00Z"
        for account in (None, "account of us", "account of them"):
            name = f"{id_} for {account}"
            put(cache, "tickets", name, created_at=at, contact_id=id_, account_id=account, status_category="open")
        put(cache, "survey_responses", f"R {id_}", responded_at=at, contact_id=id_, score=5, survey_type="csat")
        put(cache, "survey_invitations", f"I {id_}", sent_at=at, contact_id=id_, survey_type="csat")
        put(cache, "email_events", f"E {id_}", send_id=id_, type="delivered", occurred_at=at, contact_id=id_)
    answer = {"responded_at": "2026-10-05T10:00:00Z", "score": 5, "survey_type": "csat"}
    put(cache, "survey_responses", "to his ticket", ticket_id="us for None", **answer)
    put(cache, "survey_responses", "own word", contact_id="them", is_test=1, **answer)
    put(cache, "tickets", "nobody's", created_at="2026-10-05T10:00:00Z", status_category="open")
    named = UTC_REPORTING.model_copy(update={"test_rows": Rules(domains=("acme.test",))})

    def counted(reporting: Reporting) -> list[float | None]:
        relations = ("tickets", "survey_responses", "survey_invitations", "campaign_sends")
        return [asked(cache, {"of": of}, "all", reporting=reporting).value for of in relations]

    assert counted(UTC_REPORTING) == [7, 3, 2, 2]
    assert counted(named) == [5, 1, 1, 1]
    changes = cache.total_changes
    facts.refresh(cache, named)
    assert cache.total_changes - changes < 20  # what is marked already is not written again
    put(cache, "contacts", "us", email_norm="kim@other.test")
    assert counted(named) == [7, 3, 2, 2]
    put(cache, "contacts", "us", email_norm="kim@acme.test")
    assert counted(named) == [5, 1, 1, 1]
    assert counted(UTC_REPORTING) == [7, 3, 2, 2]


# -- G5, G6, G8, G9: values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("empty", "status"), [(0, "ok"), (1, "ok"), (2, "partial")])
def test_g5_nothing_is_not_zero_and_below_nine_tenths_is_said(
    cache: sqlite3.Connection, empty: int, status: str
) -> None:
    """Of ten rows one may be empty; the zero is a value."""
    for number in range(10):
        won(cache, f"d{number}", "2026-10-05", None if number < empty else 0 if number == 9 else 100)
    found = asked(cache, {**AMOUNTS, "agg": "avg", "n_min": 1})
    assert (found.status, found.n, found.details["excluded_null"]) == (status, 10 - empty, empty)
    assert found.value == pytest.approx((9 - empty) / (10 - empty))
    assert found.coverage == pytest.approx((10 - empty) / 10)
    assert ("covers 80%" in str(found.reason)) is (status == "partial")


def test_g6_a_negative_time_is_out_zero_is_a_value_and_no_end_still_waits(
    cache: sqlite3.Connection,
) -> None:
    for id_, answered in (("-", "2026-10-05T09:59:59Z"), ("0", "2026-10-05T10:00:00Z"), ("1", "2026-10-05T10:00:08Z"),
                          ("?", None)):  # fmt: skip
        ticket(cache, id_, "2026-10-05T10:00:00Z", first_response_at=answered)
    found = asked(cache, "first_response_time", params={"clock": "calendar", "stat": "mean"})
    assert (found.value, found.n) == (4, 2)
    assert (found.details["excluded_negative"], found.details["unanswered"]) == (1, 1)
    assert found.coverage == 1.0  # neither lowers it


@pytest.mark.parametrize(("clock", "other"), [("calendar", "business"), ("business", "calendar")])
def test_g7_a_duration_has_the_other_clock_beside_it(cache: sqlite3.Connection, clock: str, other: str) -> None:
    """Of a KPI of one's own too: Friday 17:00 to Monday 10:00 are 65 hours, 2 of them open."""
    ticket(cache, "t", "2026-10-09T17:00:00Z", first_response_at="2026-10-12T10:00:00Z")
    seconds = {"calendar": 65 * 3600, "business": 2 * 3600}
    slot = {"from": "created_at", "to": "first_response_at", "clock": clock}
    found = asked(cache, {**CAME, "agg": "avg", "duration": slot, "n_min": 1})
    assert (found.value, found.details[f"{other}_mean"]) == (seconds[clock], seconds[other])


@pytest.mark.parametrize("seed", range(5))
def test_g8_g9_quantiles_interpolate_and_stand_beside_the_mean(cache: sqlite3.Connection, seed: int) -> None:
    """As type 7 has it; and a total is made of rows, never of the values of its parts."""
    random = Random(seed)
    waits = [random.randrange(1, 10_000) for _ in range(random.randrange(2, 30))]
    start = datetime(2026, 10, 5, tzinfo=UTC)
    for number, wait in enumerate(waits):
        ticket(cache, f"t{number}", f"{start:%Y-%m-%dT%H:%M:%SZ}", priority=random.choice(["high", "low"]),
               first_response_at=f"{start + timedelta(seconds=wait):%Y-%m-%dT%H:%M:%SZ}")  # fmt: skip
    slot = {"from": "created_at", "to": "first_response_at"}
    p90 = quantiles(waits, n=10, method="inclusive")[8]
    for agg, value in (("avg", fmean(waits)), ("median", median(waits)), ("p90", p90)):
        found = asked(cache, {**CAME, "agg": agg, "duration": slot, "n_min": 1}, by=("priority",))
        assert found.value == pytest.approx(value)
        if agg != "p90":
            beside = [found.details[name] for name in ("mean", "median", "p90")]
            assert beside == pytest.approx([fmean(waits), median(waits), p90])
        assert sum(one.n or 0 for one in found.segments) == len(waits)


# -- G11 to G13: what is said of a figure ---------------------------------------------------------------------


def test_g11_changes_are_made_of_unrounded_values_and_of_rates_said_in_points(cache: sqlite3.Connection) -> None:
    """One of three after one of six: 33.3 % less 16.7 % is 16.7 points, not 16.6."""
    for number in range(9):
        won(cache, f"d{number}", "2026-10-05" if number < 3 else "2026-09-05",
            state="won" if number in (0, 3) else "lost")  # fmt: skip
    found = asked(cache, "win_rate")
    change = next(one.change for one in found.comparisons if one.against == "previous")
    assert change == pytest.approx(1 / 3 - 1 / 6, abs=1e-12)
    said = written_change(found, get("en-GB", "EUR", "UTC")) or ""
    assert said.replace("\xa0", " ") == "+16.7 pp"


@pytest.mark.parametrize(
    ("kpi", "least"),
    [
        ({**CAME, "share": {"priority": "high"}}, N_MIN_RATIO),
        ({**CAME, "agg": "avg", "duration": {"from": "created_at", "to": "first_response_at"}}, N_MIN_DURATION),
        ({**CAME, "agg": "median", "duration": {"from": "created_at", "to": "first_response_at"}}, N_MIN_DURATION),
        ({**CAME, "agg": "p90", "duration": {"from": "created_at", "to": "first_response_at"}}, N_MIN_QUANTILE),
    ],
)
def test_g12_one_row_fewer_than_it_takes_is_too_few(cache: sqlite3.Connection, kpi: dict[str, Any], least: int) -> None:
    for number in range(least - 1):
        ticket(cache, f"t{number}", "2026-10-05T10:00:00Z", first_response_at="2026-10-05T11:00:00Z", priority="high")
    found = asked(cache, kpi)
    assert (found.status, found.value, found.verdict, found.n) == ("too_few", None, None, least - 1)
    assert found.signal is None or found.signal.result in ("none", "too_few_points")
    ticket(cache, "last", "2026-10-05T10:00:00Z", first_response_at="2026-10-05T11:00:00Z", priority="high")
    assert asked(cache, kpi).status == "ok"


def test_g12_answers_need_ten_and_growth_five_on_each_side() -> None:
    assert N_MIN_SURVEY == n_min(BUILTINS["csat_score"]) == 10
    assert n_min(BUILTINS["sales_growth"]) == 5
    assert n_min(BUILTINS["won_revenue"]) == 0


def test_g12_the_first_status_that_fits_is_said(cache: sqlite3.Connection) -> None:
    """not_configured, no_data, no_denominator, too_few, stale, partial, ok: each as what went before is mended."""
    assert asked(cache, "survey_rating").status == "not_configured"
    rate = {"of": "opportunities", "agg": "avg", "field": "amount", "date": "outcome_date", "n_min": 2}

    def status() -> str:
        facts.refresh(cache, UTC_REPORTING)
        made = build("own", rate)
        evaluator = Evaluator(cache, {"own": made}, UTC_REPORTING, as_of=AS_OF)
        return evaluator.evaluate(made, period=parse_period("2026-10"), max_age_s=3600).status

    assert status() == "no_data"  # nothing was ever synced
    won(cache, "elsewhere", "2026-01-05")
    assert status() == "no_denominator"
    won(cache, "without", "2026-10-05", None)
    won(cache, "one", "2026-10-05")
    assert status() == "too_few"
    won(cache, "two", "2026-10-05")
    cache.execute("INSERT INTO sources (source_name, crm) VALUES ('sf', 'salesforce')")
    cache.execute(
        "INSERT INTO sync_state (source_name, stream, ok_at) VALUES ('sf', 'opportunities', '2026-11-20T10:00:00Z')"
    )
    assert status() == "stale"
    cache.execute("UPDATE sync_state SET ok_at = '2026-11-20T11:30:00Z'")
    assert status() == "partial"
    put(cache, "opportunities", "without", amount_minor=100)
    assert status() == "ok"


def test_g12_a_rate_has_its_wilson_interval(cache: sqlite3.Connection) -> None:
    """Eight of ten: 49.0 to 94.3 %, as published tables have it."""
    for number in range(10):
        won(cache, f"d{number}", "2026-10-05", state="won" if number < 8 else "lost")
    low, high = asked(cache, "win_rate").details["wilson"]
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)


def test_g13_a_whole_period_is_compared_with_the_one_before_and_the_one_a_year_ago(cache: sqlite3.Connection) -> None:
    for day, count in (("2026-10-31", 1), ("2026-09-30", 2), ("2025-10-31", 3)):
        for number in range(count):
            won(cache, f"{day} {number}", day)
    found = asked(cache, AMOUNTS)
    assert (found.value, [(one.against, one.value) for one in found.comparisons]) == (
        1,
        [("previous", 2), ("year_ago", 3)],
    )


def test_g13_a_running_one_with_as_many_whole_days(cache: sqlite3.Connection) -> None:
    """On 20 November at noon 19 days are over: October counts to the 19th; of instants, to noon of the 20th."""
    for day in ("2026-11-19", "2026-11-20", "2026-10-19", "2026-10-20", "2025-11-19", "2025-11-20"):
        won(cache, day, day)
        for hour in (11, 13):
            ticket(cache, f"{day} {hour}", f"{day}T{hour}:00:00Z")
    dates, instants = asked(cache, AMOUNTS, "2026-11"), asked(cache, CAME, "2026-11")
    assert [dates.value, *(one.value for one in dates.comparisons)] == [1, 1, 1]
    assert [instants.value, *(one.value for one in instants.comparisons)] == [3, 3, 3]


# -- G14, G15: parts and the whole ----------------------------------------------------------------------------

ADDITIVE = sorted(name for name, kpi in BUILTINS.items() if kpi.additivity in ("A", "S") and kpi.of is not None)


@pytest.mark.parametrize("name", ADDITIVE)
def test_g14_what_adds_up_does(full: sqlite3.Connection, name: str) -> None:
    """Over segments, (none) among them; what is no stock over time too: a range is the sum of its months."""
    kpi = override(BUILTINS[name], {"n_min": 0})
    evaluator = Evaluator(full, {**BUILTINS, name: kpi}, REPORTING, as_of=every_table.AS_OF)
    columns = evaluator.compiler.relation(kpi).own
    by = next(column for column in ("owner_id", "account_id", "contact_id", "source", "id") if column in columns)
    whole = evaluator.evaluate(kpi, period=parse_period("2025-06-01..2026-09-01"), by=(by,))
    assert whole.value
    assert sum(one.value or 0 for one in whole.segments) == pytest.approx(whole.value)
    if kpi.additivity == "A":
        parts = ("2025-06-01..2026-03-01", "2026-03", "2026-04-01..2026-09-01")
        values = [evaluator.evaluate(kpi, period=parse_period(part)).value or 0 for part in parts]
        assert sum(values) == pytest.approx(whole.value)


def test_g14_a_total_of_rates_is_made_of_rows(cache: sqlite3.Connection) -> None:
    """One of one and none of nine are one of ten, not the half that the mean of both would be."""
    for number in range(10):
        won(cache, f"d{number}", "2026-10-05", state="won" if not number else "lost",
            owner_id="u" if not number else "v")  # fmt: skip
    found = asked(cache, "win_rate", by=("owner_id",))
    assert sorted(one.value or 0 for one in found.segments) == [0, 1]
    assert found.value == 0.1


def test_g15_a_row_without_a_segment_is_in_none_and_the_owner_is_todays(cache: sqlite3.Connection) -> None:
    """An empty text is none as well; who owned a deal earlier nobody kept, so the past goes with it."""
    put(cache, "users", "u", name="Kim")
    put(cache, "users", "v", name="Lee")
    for id_, owner in (("a", "u"), ("b", None), ("c", "never synced"), ("d", "v")):
        won(cache, id_, "2026-10-05", owner_id=owner)
    put(cache, "users", "v", name="")

    def split() -> dict[str, Any]:
        return {one.segment: one.value for one in asked(cache, AMOUNTS, by=("owner.name",)).segments}

    assert split() == {"Kim": 1, "(none)": 3}
    put(cache, "opportunities", "b", owner_id="u")
    assert split() == {"Kim": 2, "(none)": 2}
    found = {by: asked(cache, AMOUNTS, by=(by,)) for by in ("owner.name", "owner_team", "pipeline")}
    assert {by: one.details.get("owners") for by, one in found.items()} == {
        "owner.name": "today", "owner_team": "today", "pipeline": None
    }  # fmt: skip
    note = "Owners and teams are those a record has today, also for what was before."
    for by, one in found.items():
        told = render(issue([one], freshness=()))
        assert (note in told.text, note in told.html) == (by != "pipeline", by != "pipeline")


# -- G16, G18: deals and cohorts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "close_date", "history", "day"),
    [
        ("won", "2026-10-05", [], "2026-10-05"),  # without history: the close date
        ("lost", "2026-10-05", [], "2026-10-05"),
        ("won", "2026-10-05", [("2026-10-09T10:00:00Z", "won")], "2026-10-05"),  # entered late
        ("won", "2026-10-20", [("2026-10-09T10:00:00Z", "won")], "2026-10-09"),  # left in the future
        ("lost", "2026-10-05", [("2026-10-09T10:00:00Z", "lost")], "2026-10-09"),
        ("lost", "2026-12-31", [("2026-10-09T10:00:00Z", "lost")], "2026-10-09"),
        ("won", None, [("2026-10-09T22:30:00Z", "won")], "2026-10-10"),  # the local day of the change
        ("won", "2026-12-31", [], None),  # closes in the future: open until then
        ("won", None, [], None),
        ("open", "2026-10-05", [("2026-10-09T10:00:00Z", "won"), ("2026-10-11T10:00:00Z", "open")], None),  # reopened
        # closed again: the last unbroken run of its state; an edit after closing is none
        ("lost", "2026-10-05", [("2026-10-09T10:00:00Z", "lost"), ("2026-10-11T10:00:00Z", "open"),
                                ("2026-10-12T10:00:00Z", "lost"), ("2026-10-14T10:00:00Z", "lost")], "2026-10-12"),
    ],
)  # fmt: skip
def test_g16_the_day_a_deal_was_decided(
    cache: sqlite3.Connection, state: str, close_date: str | None, history: list[tuple[str, str]], day: str | None
) -> None:
    won(cache, "d", close_date, state=state)
    for at, then in history:
        stage(cache, "d", at, then)
    decided = {"of": "opportunities", "date": "outcome_date", "where": {"is_closed": True}}
    found = asked(cache, decided, reporting=REPORTING)
    # Where no deal says anything of when it was decided nothing is known, rather than that none was.
    assert (found.value, found.status) in ((int(day is not None), "ok"), *([(None, "no_data")] if not day else []))
    if day is not None:
        assert asked(cache, decided, day, reporting=REPORTING).value == 1


def test_g16_a_closed_deal_of_a_future_day_is_flagged(cache: sqlite3.Connection) -> None:
    won(cache, "d", "2026-12-31")
    flagged = {"of": "opportunities", "where": {"future_close": {"set": True}}}
    assert asked(cache, flagged, None).value == 1
    assert asked(cache, flagged, None, as_of=datetime(2027, 1, 2, tzinfo=UTC)).value == 0


@pytest.mark.parametrize(("hours", "sides"), [(-1, (0, 0, 2)), (0, (1, 2, 0))])
def test_g18_the_young_leave_both_sides_even_if_they_succeeded(
    cache: sqlite3.Connection, hours: int, sides: tuple[int, int, int]
) -> None:
    """A lead of 90 days to the second has had its time."""
    put(cache, "leads", "old", created_at="2026-03-05T10:00:00Z", status_category="open")
    for id_, state, day in (("a", "converted", "2026-10-07"), ("b", "open", None)):
        put(cache, "leads", id_, created_at="2026-10-05T10:00:00Z", status_category=state, converted_date=day)
    as_of = datetime(2026, 10, 5, 10, tzinfo=UTC) + timedelta(days=90, hours=hours)
    found = asked(cache, "lead_conversion_rate", as_of=as_of)
    assert (found.numerator or 0, found.denominator or 0, found.details["immature"]) == sides
    said = "" if sides[2] == 0 else "0 of 2 leads have had 90 days"
    assert maturity_words(found, get("en-GB", "EUR", "UTC")) == said


@pytest.mark.parametrize(
    ("name", "what", "time"),
    [
        ("first_purchase_retention_rate", "purchases", {"seconds": 365 * 86400}),
        ("conversation_rate", "people", {"seconds": 14 * 86400}),
        ("survey_response_rate", "survey invitations", {"seconds": 14 * 86400}),
        ("full_resolution_rate", "tickets", {"seconds": 7 * 86400}),
        ("detractor_followup_rate", "answers", {"business_days": 5}),
    ],
)
def test_g18_each_says_how_many_have_had_their_time(
    full: sqlite3.Connection, name: str, what: str, time: dict[str, int]
) -> None:
    """Those judged, of those and the young; of what is judged at once nothing is said."""
    found = asked(full, name, "2026-01-01..2026-11-01", as_of=every_table.AS_OF, reporting=REPORTING)
    said = found.details["maturity"]
    assert {key: said[key] for key in said if key not in ("mature", "of", "rows")} == time
    assert (said["rows"], said["of"] - said["mature"]) == (what, found.details["immature"])
    assert said["mature"] == found.n
    assert said["of"] > 0
    assert "maturity" not in asked(full, "win_rate", as_of=every_table.AS_OF, reporting=REPORTING).details

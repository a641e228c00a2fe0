"""The records that need a hand: who is on each KPI's list, in which order, and what is said of them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.checks.kpi import problems
from scorecards.definition import build, override
from scorecards.evaluate import evaluate
from scorecards.periods import parse_period
from scorecards.values import ActionList, KpiResult
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

AS_OF = datetime(2026, 11, 2, 9, tzinfo=UTC)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def told(cache: sqlite3.Connection, name: str, period: str = "2026-10", **table: Any) -> KpiResult:
    facts.refresh(cache, REPORTING)
    kpi = override(BUILTINS[name], {"n_min": 0, **table})
    result = evaluate(cache, kpi, {**BUILTINS, name: kpi}, REPORTING, as_of=AS_OF, period=parse_period(period))
    assert result.status != "error", result.reason
    return result


def listed(cache: sqlite3.Connection, name: str, period: str = "2026-10", **table: Any) -> ActionList:
    found = told(cache, name, period, **table).actions
    assert found is not None
    return found


def said(found: ActionList) -> list[tuple[str, str]]:
    return [(row.title, row.reason) for row in found.rows]


def account(cache: sqlite3.Connection, id_: str, **values: Any) -> None:
    put(cache, "accounts", id_, name=id_.title(), url=f"https://crm.test/{id_}", created_at="2020-01-01T00:00:00Z",
        **values)  # fmt: skip


def won(cache: sqlite3.Connection, who: str, day: str, amount: int = 100, **values: Any) -> None:
    number = cache.execute("SELECT COUNT(*) FROM opportunities").fetchone()[0]
    put(cache, "opportunities", f"D{number}", account_id=who, state="won", close_date=day, name=f"Deal {number}",
        amount_minor=amount * 100, currency="EUR", created_at=f"{day}T06:00:00Z", **values)  # fmt: skip


def call(cache: sqlite3.Connection, id_: str, at: str, **values: Any) -> None:
    how = {"type": "call", "direction": "outbound", "status": "completed", "connected": 1} | values
    put(cache, "activities", id_, occurred_at=at, subject=id_, **how)


def test_customers_lost_are_listed_by_what_they_paid(cache: sqlite3.Connection) -> None:
    for name in ("large", "small", "kept", "gone long ago"):
        account(cache, name)
    won(cache, "large", "2025-08-10", 900)
    won(cache, "small", "2025-08-12", 50)
    won(cache, "small", "2025-09-12", 25)
    won(cache, "kept", "2025-08-10", 5000)
    won(cache, "kept", "2026-08-01", 5000)
    won(cache, "gone long ago", "2024-01-01", 5000)
    for name in ("customer_retention_rate", "customer_attrition_rate"):
        result = told(cache, name, "2026-Q3")
        found = result.actions
        assert found is not None
        assert result.numerator == {"customer_retention_rate": 1, "customer_attrition_rate": 2}[name]
        assert [(row.id, row.title, row.url, row.amount) for row in found.rows] == [
            ("large", "Large", "https://crm.test/large", 900),
            ("small", "Small", "https://crm.test/small", 75),
        ]
        assert said(found)[0][1] == "customer until 11 Aug 2026"


def test_a_contract_says_what_a_lost_customer_paid(cache: sqlite3.Connection) -> None:
    account(cache, "left")
    account(cache, "stayed")
    put(cache, "contracts", "C1", account_id="left", start_date="2026-01-01", end_date="2026-08-01",
        mrr_minor=10000, currency="EUR")  # fmt: skip
    put(cache, "contracts", "C2", account_id="stayed", start_date="2026-01-01", mrr_minor=10000, currency="EUR")
    found = listed(cache, "customer_retention_rate", "2026-Q3")
    assert [(row.id, row.amount) for row in found.rows] == [("left", 1200)]


@pytest.mark.parametrize("seed", range(3))
def test_who_is_lost_is_who_the_rate_counts_as_lost(cache: sqlite3.Connection, seed: int) -> None:
    random = Random(seed)
    bought: dict[str, list[date]] = {}
    for number in range(12):
        account(cache, f"a{number}")
        for _ in range(random.randrange(4)):
            day = date(2024, 6, 1) + timedelta(random.randrange(850))
            bought.setdefault(f"a{number}", []).append(day)
            won(cache, f"a{number}", day.isoformat())

    def is_customer(days: list[date], at: date) -> bool:
        return any(day < at <= day + timedelta(365) for day in days)

    lost = {
        name
        for name, days in bought.items()
        if is_customer(days, date(2026, 7, 1)) and not is_customer(days, date(2026, 10, 1))
    }
    action = {"missed": True, "limit": 50, "order": "-yearly_revenue"}
    found = listed(cache, "customer_retention_rate", "2026-Q3", action=action)
    assert ({row.id for row in found.rows}, found.total) == (lost, len(lost))


def test_new_customers_nobody_spoke_to_after_they_bought(cache: sqlite3.Connection) -> None:
    for name in ("greeted", "sold and left", "earlier"):
        account(cache, name)
        won(cache, name, "2026-10-05")
    won(cache, "earlier", "2026-01-05")
    call(cache, "on the day", "2026-10-05T10:00:00Z", account_id="sold and left")
    call(cache, "later", "2026-10-07T10:00:00Z", account_id="greeted")
    assert said(listed(cache, "new_customers")) == [("Sold And Left", "bought 5 Oct 2026, no contact since")]


def test_customers_who_bought_only_once(cache: sqlite3.Connection) -> None:
    """Neither who came back, if late, nor who still has time to."""
    for name in ("once", "twice", "late"):
        account(cache, name)
        won(cache, name, "2025-07-05")
    account(cache, "young")
    won(cache, "young", "2026-07-05")
    won(cache, "twice", "2025-10-05")
    won(cache, "late", "2026-10-05")
    assert said(listed(cache, "first_purchase_retention_rate", "2025-Q3")) == [
        ("Once", "bought 5 Jul 2025, and never again")
    ]
    assert said(listed(cache, "first_purchase_retention_rate", "2026-Q3")) == []


def test_buyers_who_have_not_come_back(cache: sqlite3.Connection) -> None:
    for name, days in {
        "lapsed": ["2025-01-05", "2025-03-05", "2025-03-05"],
        "here": ["2025-01-05", "2026-10-05"],
        "long gone": ["2022-01-05"],
    }.items():
        account(cache, name)
        for day in days:
            won(cache, name, day)
    found = listed(cache, "return_client_rate")
    assert (said(found), found.total) == ([("Lapsed", "last bought 5 Mar 2025")], 1)


def test_customers_nothing_more_was_sold_to(cache: sqlite3.Connection) -> None:
    for name in ("grown", "not grown", "no customer"):
        account(cache, name)
    won(cache, "grown", "2026-02-01", type="new")
    won(cache, "grown", "2026-04-01", type="upsell")
    won(cache, "not grown", "2026-03-01", 70, type="new")
    won(cache, "no customer", "2024-01-01", type="new")
    found = listed(cache, "upsell_revenue")
    assert [(row.id, row.amount, row.reason) for row in found.rows] == [
        ("not grown", 70, "customer since 2 Mar 2026")
    ]  # fmt: skip
    assert [row.id for row in listed(cache, "upsell_revenue", params={"types": ["extra"]}).rows] == [
        "grown",
        "not grown",
    ]


def test_customers_who_bought_less(cache: sqlite3.Connection) -> None:
    for name, before, now in (("fell", 500, 200), ("fell far", 900, 0), ("rose", 100, 300), ("new", 0, 50)):
        account(cache, name)
        for day, amount in (("2026-09-10", before), ("2026-10-10", now)):
            if amount:
                won(cache, name, day, amount)
    won(cache, "nobody", "2026-09-10", 900)
    found = listed(cache, "sales_growth", params={"compare": "previous"})
    assert [(row.title, row.amount, row.reason) for row in found.rows] == [
        ("Fell Far", -900, "0 after 900 in the period compared with"),
        ("nobody", -900, "0 after 900 in the period compared with"),
        ("Fell", -300, "200 after 500 in the period compared with"),
    ]
    assert found.rows[0].url == "https://crm.test/fell far"


def test_open_leads_stand_under_either_way_to_count_conversions(cache: sqlite3.Connection) -> None:
    for name, status in (("old", "open"), ("new", "open"), ("done", "converted")):
        at = "2026-10-01T00:00:00Z" if name == "old" else "2026-10-20T00:00:00Z"
        done = {"converted_date": "2026-10-22"} if status == "converted" else {}
        put(cache, "leads", name, name=name.title(), status_category=status, created_at=at, **done)
    for mode in ("cohort", "period"):
        found = listed(cache, "lead_conversion_rate", params={"mode": mode})
        assert [row.title for row in found.rows] == ["Old", "New"], mode


def sent(cache: sqlite3.Connection, campaign: str, mails: int, clicked: int) -> None:
    """A campaign's mails, all delivered, so many of them clicked."""
    for number in range(mails):
        send = {"campaign_id": campaign, "send_id": f"{campaign} {number}", "contact_id": f"P{number}"}
        put(
            cache, "email_events", f"{campaign} d{number}", type="delivered", occurred_at="2026-10-05T10:00:00Z", **send
        )
        if number < clicked:
            put(cache, "email_events", f"{campaign} c{number}", type="click", occurred_at="2026-10-06T10:00:00Z",
                link_kind="content", **send)  # fmt: skip


def test_campaigns_below_the_median(cache: sqlite3.Connection) -> None:
    """Of the four with rows enough, two are under the median of 20 %; one of three mails is not judged."""
    for campaign, mails, clicked in (("a", 10, 1), ("b", 10, 3), ("c", 10, 0), ("d", 20, 6), ("tiny", 3, 0)):
        sent(cache, campaign, mails, clicked)
    found = listed(cache, "email_click_through_rate", n_min=5)
    assert (said(found), found.total) == (
        [("c", "0.0% clicked, median 20.0%"), ("a", "10.0% clicked, median 20.0%")],
        2,
    )
    assert listed(cache, "email_click_through_rate", n_min=50).rows == ()


def test_partners_without_a_deal_in_half_a_year(cache: sqlite3.Connection) -> None:
    account(cache, "quiet", kind="partner")
    account(cache, "active", kind="partner")
    account(cache, "unmarked")
    account(cache, "customer", kind="customer")
    won(cache, "customer", "2026-08-01", partner_account_id="active")
    won(cache, "customer", "2026-01-01", partner_account_id="unmarked")
    call(cache, "C", "2026-10-07T10:00:00Z", account_id="unmarked")
    assert said(listed(cache, "partner_revenue_share", "2026-Q3")) == [
        ("Quiet", "last contact: never"),
        ("Unmarked", "last contact: 7 Oct 2026"),  # after the quarter, and known to who reads of it
    ]


def test_accounts_in_work_nobody_approached(cache: sqlite3.Connection) -> None:
    for name in ("approached", "forgotten", "no deal"):
        account(cache, name)
    for name in ("approached", "forgotten"):
        put(cache, "opportunities", f"O {name}", account_id=name, state="open", created_at="2026-05-01T00:00:00Z")
    call(cache, "C", "2026-10-07T10:00:00Z", account_id="approached")
    call(cache, "D", "2026-09-07T10:00:00Z", account_id="forgotten")
    assert said(listed(cache, "outreach_volume")) == [("Forgotten", "last contact by us: 7 Sep 2026")]


def test_missed_calls_nobody_returned(cache: sqlite3.Connection) -> None:
    for name in ("kim", "lee", "ray"):
        put(cache, "contacts", name)
        call(cache, f"from {name}", "2026-10-05T10:00:00Z", direction="inbound", connected=0, contact_id=name)
    call(cache, "answered", "2026-10-05T11:00:00Z", direction="inbound", contact_id="kim")
    call(cache, "back to lee", "2026-10-06T10:00:00Z", contact_id="lee")
    call(cache, "earlier to ray", "2026-10-04T10:00:00Z", contact_id="ray")
    assert said(listed(cache, "calls_handled")) == [
        ("from kim", "called 5 Oct 2026, in vain"),
        ("from ray", "called 5 Oct 2026, in vain"),
    ]


def test_the_longest_calls_are_those_above_the_quantile(cache: sqlite3.Connection) -> None:
    put(cache, "users", "ann", name="Ann")
    for number in range(1, 21):
        call(cache, f"C{number}", "2026-10-05T10:00:00Z", duration_s=number * 60, wrap_s=60, owner_id="ann")
    for name in ("average_call_length", "average_handling_time"):
        result = told(cache, name)
        assert result.actions is not None
        assert [row.id for row in result.actions.rows] == ["C20", "C19"]  # the 90th percentile is 18.1 minutes
        assert result.actions.rows[0].owner == "Ann"
    assert listed(cache, "average_call_length").rows[0].reason == "took 20 minutes"


def test_amounts_are_listed_above_a_sum_in_major_units_whatever_their_currency(cache: sqlite3.Connection) -> None:
    put(cache, "fx_rates", "R", currency="USD", valid_from="2020-01-01", rate_to_reporting=0.5)
    won(cache, "a", "2026-10-05", 900)
    won(cache, "a", "2026-10-05", 500)
    put(cache, "opportunities", "dollars", state="won", close_date="2026-10-05", amount_minor=120000, currency="USD")
    action = {"label": "large", "above": 500, "order": "-amount"}
    found = listed(cache, "won_revenue", action=action)
    assert [(row.id, row.amount) for row in found.rows] == [("D0", 900), ("dollars", 600)]
    assert [row.id for row in listed(cache, "won_revenue", action=action | {"above": "median"}).rows] == ["D0"]


def test_repeat_complainers(cache: sqlite3.Connection) -> None:
    for name, complaints in {"angry": 3, "cross": 2, "calm": 1}.items():
        account(cache, name)
        for number in range(complaints):
            put(cache, "tickets", f"{name} {number}", account_id=name, category="complaint",
                created_at="2026-10-05T10:00:00Z")  # fmt: skip
    put(cache, "tickets", "nobody", category="complaint", created_at="2026-10-05T10:00:00Z")
    assert said(listed(cache, "complaining_customers")) == [("Angry", "3 complaints"), ("Cross", "2 complaints")]


def test_the_busiest_days(cache: sqlite3.Connection) -> None:
    for day, many in ((5, 4), (6, 3), (7, 1), (8, 1), (9, 1)):
        for number in range(many):
            call(cache, f"C {day} {number}", f"2026-10-0{day}T10:00:00Z", account_id=f"A{number}")
    put(cache, "tickets", "T", account_id="A0", created_at="2026-10-01T00:00:00Z")
    result = told(cache, "peak_customer_capacity")
    assert result.details["p95"] == pytest.approx(0.55)  # of 90 days, 85 of them without anybody
    assert result.actions is not None
    assert said(result.actions)[:2] == [
        ("5 Oct 2026", "4 different customers"),
        ("6 Oct 2026", "3 different customers"),
    ]
    assert result.actions.total == 5


def test_what_customers_said_of_all_kinds(cache: sqlite3.Connection) -> None:
    for number, comment in enumerate(["too slow", "", "great"]):
        put(cache, "survey_responses", f"R{number}", survey_type="csat", score=3, comment=comment,
            responded_at=f"2026-10-0{number + 1}T10:00:00Z")  # fmt: skip
    put(cache, "tickets", "T", category="idea", subject="A dark mode", created_at="2026-10-02T10:00:00Z")
    result = told(cache, "voc_comment_count")
    found = result.actions
    assert found is not None
    assert (result.value, found.total) == (3, 3)
    assert [row.reason for row in found.rows] == ["great", "idea of 2 Oct 2026", "too slow"]
    assert found.rows[1].title == "A dark mode"


def test_without_tickets_the_comments_stand_alone(cache: sqlite3.Connection) -> None:
    put(cache, "survey_responses", "R", survey_type="csat", score=3, comment="fine",
        responded_at="2026-10-01T10:00:00Z")  # fmt: skip
    assert [row.reason for row in listed(cache, "voc_comment_count").rows] == ["fine"]


@pytest.mark.parametrize(
    ("action", "path", "said"),
    [
        ({"kpi": "leaverz"}, "action.kpi", "no KPI is called 'leaverz'."),
        ({"kpi": "net_profit"}, "action.kpi", "net_profit counts no rows of its own."),
        ({"per": "acount_id"}, "action.per", "tickets have no column 'acount_id'."),
        ({"without": {"kpi": "x", "by": "id"}}, "action.without.kpi", "no KPI is called 'x'."),
        ({"without": {"kpi": "leavers", "by": "nay"}}, "action.without.by", "users have no column 'nay'."),
        (
            {"without": {"kpi": "leavers", "by": "id", "key": "nay"}},
            "action.without.key",
            "tickets have no column 'nay'.",
        ),
    ],
)
def test_a_list_that_names_what_is_not_there_is_refused(action: dict[str, Any], path: str, said: str) -> None:
    kpi = build("mine", {"of": "tickets", "action": action})
    assert [(p, s) for p, s, _ in problems(kpi, BUILTINS, REPORTING)] == [(path, said)]


@pytest.mark.parametrize(
    "action",
    [
        {"above": "much"},
        {"above": "p0"},
        {"fallen": True},
        {"below": "median"},
        {"below": "few", "per": "owner_id"},
        {"below": 3, "fallen": True, "per": "owner_id"},
    ],
)
def test_a_list_that_cannot_be_made_is_refused(action: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="above|fallen|below|quantile"):
        build("mine", {"of": "tickets", "action": action})


def invoice(cache: sqlite3.Connection, id_: str, due: str, amount: int, paid: str | None = None) -> None:
    account(cache, "A")
    put(cache, "invoices", id_, account_id="A", issued_date="2026-08-01", due_date=due, amount_minor=amount * 100,
        currency="EUR", status="open", created_at="2026-08-01T06:00:00Z")  # fmt: skip
    if paid is not None:
        put(cache, "payments", f"P{id_}", invoice_id=id_, paid_date=paid, amount_minor=amount * 100, currency="EUR",
            created_at=f"{paid}T06:00:00Z")  # fmt: skip


def test_who_owes_money_is_told_as_of_now_not_of_the_quarter(cache: sqlite3.Connection) -> None:
    """Nobody is to run after an invoice paid since; one that fell due since is overdue."""
    invoice(cache, "paid since", "2026-09-15", 1000, "2026-10-20")
    invoice(cache, "still owed", "2026-09-20", 50)
    invoice(cache, "due since", "2026-10-10", 70)
    found = told(cache, "average_collection_period", "2026-Q3")
    assert found.numerator == 1120, "the figure is that of the quarter's end"
    assert found.actions is not None
    assert [(row.id, row.reason) for row in found.actions.rows] == [
        ("due since", "due 10 Oct 2026"),
        ("still owed", "due 20 Sep 2026"),
    ]


def test_whose_time_ends_soon_is_told_as_of_now(cache: sqlite3.Connection) -> None:
    for name, until in (("ended since", "2026-10-14"), ("ends soon", "2026-12-20"), ("stays", "2027-05-01")):
        account(cache, name)
        put(cache, "contracts", name, account_id=name, start_date="2025-01-01", end_date=until)
    found = told(cache, "active_customers", "2026-Q3")
    assert found.value == 3
    assert found.actions is not None
    assert [row.id for row in found.actions.rows] == ["ends soon"]


def test_open_now_is_of_the_moment_whatever_the_period(cache: sqlite3.Connection) -> None:
    """Of tickets, accounts and leads alike: closed since is not listed, come since is."""
    for name, born, closed in (
        ("closed since", "2026-09-01", "2026-10-20"), ("open", "2026-09-02", None), ("come since", "2026-10-15", None),
    ):  # fmt: skip
        more = {"closed_at": f"{closed}T10:00:00Z", "status_category": "closed"} if closed else {}
        put(cache, "tickets", name, subject=name, created_at=f"{born}T10:00:00Z", **more)
    found = told(cache, "ticket_backlog", "2026-09")
    assert found.value == 2
    assert found.actions is not None
    assert [row.title for row in found.actions.rows] == ["open", "come since"]


def test_no_list_of_a_stock_is_of_the_past() -> None:
    """A stock taken at a period's end lists what is to be done now, unless it tells of the period itself."""
    of_the_period = {"outreach_volume", "average_retention_period", "crm_adoption_rate"}
    late = []
    for name, kpi in BUILTINS.items():
        if kpi.action is None or name in of_the_period:
            continue
        listed_of = [BUILTINS[other] for other in kpi.action.kpi] or [kpi]
        if any(one.stock is not None and one.stock.at != "now" for one in listed_of) and not kpi.action.open_now:
            late.append(name)
    assert late == []


def test_how_old_a_contact_may_be_hangs_on_the_tier(cache: sqlite3.Connection) -> None:
    """Figure and list alike; who is of another tier, or of none, is judged by the number for all."""
    for name, tier, last in (
        ("gold quiet", "gold", "2026-10-15"), ("gold fresh", "gold", "2026-10-28"), ("silver", "silver", "2026-10-15"),
        ("no tier", None, "2026-10-15"), ("stale", None, "2026-09-15"),
    ):  # fmt: skip
        account(cache, name, kind="customer", tier=tier)
        call(cache, f"C {name}", f"{last}T10:00:00Z", account_id=name)
    params = {"fresh_days": {"value": 30, "by": "tier", "of": {"gold": 10}}}
    found = told(cache, "relationship_freshness", params=params)
    assert found.actions is not None
    assert (found.numerator, found.denominator) == (3, 5)
    assert [row.id for row in found.actions.rows] == ["stale", "gold quiet"]
    assert found.about.endswith("in the last 30 (tier gold: 10) days.")


@pytest.mark.parametrize("missed", [False, True])
def test_a_list_of_customers_names_those_one_can_place(cache: sqlite3.Connection, missed: bool) -> None:
    """A contract without an account is nobody's: it takes no place of the list, whatever is shown of the others."""
    for name, end in (("kept", None), ("gone", "2026-10-15")):
        account(cache, name)
        put(cache, "contracts", f"C {name}", account_id=name, start_date="2026-01-01", end_date=end)
    for name in ("A 1", "A 2", "A 3"):
        put(cache, "contracts", name, start_date="2026-01-01")
    facts.refresh(cache, REPORTING)
    for show in ([], ["start_date"]):
        action = {"label": "Customers", "show": show, "limit": 2, "missed": missed}
        retain = {"opens": "start_date", "closes": "end_date", "key": "account_id"}
        kpi = build("own", {"of": "contracts", "retain": retain, "n_min": 0, "action": action})
        result = evaluate(cache, kpi, {"own": kpi}, REPORTING, as_of=AS_OF, period=parse_period("2026-10"))
        assert result.actions is not None
        assert [row.id for row in result.actions.rows] == (["gone"] if missed else ["gone", "kept"])
        assert result.actions.total == len(result.actions.rows)

"""What a login may read only later, and what an org turns on in mid-life, is in every row without any comparison."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from syncagent import drift
from syncagent.sandbox import Sandbox
from syncagent.store import open_cache
from syncagent.sync import StreamReport, sync_source
from tests.fakes import one_box
from tests.fakes.truth_check import differences
from tests.integration import crm_cache

pytestmark = pytest.mark.slow

NAMES = {"hubspot": "hs", "salesforce": "sf"}
BUILD: dict[str, Callable[..., Any]] = {"hubspot": crm_cache.hubspot, "salesforce": crm_cache.salesforce}


@pytest.fixture(scope="module", autouse=True)
def _servers() -> Iterator[None]:
    yield
    one_box.stop()


@pytest.fixture
def box() -> Sandbox:
    return one_box.fresh_box(5)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(one_box.fresh_cache(tmp_path))) as cache:
        yield cache


def sync(cache: sqlite3.Connection, box: Sandbox, crm: str, *, times: int = 1, **more: Any) -> dict[str, StreamReport]:
    """Plain syncs a quarter of an hour apart; nothing is compared. The reports of the last one."""
    for _ in range(times):
        with closing(BUILD[crm](box)) as connector:
            reports = sync_source(connector, cache, clock=lambda: box.now, due=lambda _last, _now: False, **more)
        box.pass_time(900)
    return {report.stream: report for report in reports}


def wrong(cache: sqlite3.Connection, box: Sandbox, crm: str) -> list[str]:
    return differences(cache, box.truth(), NAMES[crm], crm)


def read_again(caplog: pytest.LogCaptureFixture) -> set[str]:
    """The streams that were read from their beginning for what they lacked."""
    said = [record for record in caplog.records if getattr(record, "action", "") == "read_again"]
    return {record.getMessage().split()[1].rstrip(":") for record in said}


@pytest.mark.parametrize("kind", ["companies", "contacts", "deals", "tickets", "invoices", "line_items", "leads"])
def test_an_object_hubspot_grants_later_is_linked_everywhere(
    box: Sandbox, cache: sqlite3.Connection, kind: str
) -> None:
    box.hubspot.schema.disable(kind)
    sync(cache, box, "hubspot")
    box.hubspot.schema.enable(kind)
    sync(cache, box, "hubspot", times=2)
    assert wrong(cache, box, "hubspot") == []


def test_an_object_hubspot_takes_away_for_a_while_is_linked_to_what_came_meanwhile(
    box: Sandbox, cache: sqlite3.Connection
) -> None:
    sync(cache, box, "hubspot")
    box.hubspot.schema.disable("companies")
    box.advance(timedelta(days=1))
    sync(cache, box, "hubspot")
    box.hubspot.schema.enable("companies")
    sync(cache, box, "hubspot", times=2)
    assert wrong(cache, box, "hubspot") == []


def test_what_may_be_read_as_before_is_not_read_again(
    box: Sandbox, cache: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    box.hubspot.schema.disable("invoices")
    sync(cache, box, "hubspot", times=2)
    assert read_again(caplog) == set()
    box.hubspot.schema.enable("invoices")
    sync(cache, box, "hubspot")
    assert read_again(caplog) == {"payments"}, "they are linked to invoices"
    caplog.clear()
    sync(cache, box, "hubspot")
    assert read_again(caplog) == set()


@pytest.mark.parametrize(
    "fields",
    [
        ("Task.WhoId", "Task.WhatId"),
        ("Task.IsClosed",),
        ("Task.TaskSubtype",),
        ("Event.WhoId",),
        ("Event.EndDateTime",),
        ("EmailMessage.Incoming",),
        ("EmailMessage.RelatedToId",),
        ("Lead.IsConverted",),
        ("User.UserRoleId",),
    ],
)
def test_a_field_salesforce_shows_later_is_in_all_that_is_worked_out_from_it(
    box: Sandbox, cache: sqlite3.Connection, fields: tuple[str, ...]
) -> None:
    box.salesforce.schema.hide(*fields)
    sync(cache, box, "salesforce")
    assert wrong(cache, box, "salesforce"), "it matters"
    box.salesforce.schema.show(*fields)
    sync(cache, box, "salesforce", times=2)
    assert wrong(cache, box, "salesforce") == []
    told = {f"{one.object}.{one.name}" for one in drift.changes(cache) if one.change == "added"}
    assert told >= set(fields)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("calls", "hs_call_disposition"),
        ("contacts", "email"),
        ("emails", "hs_email_direction"),
        ("companies", "lifecyclestage"),
        ("commerce_payments", "hs_latest_status"),
        ("feedback_submissions", "hs_survey_type"),
    ],
)
def test_a_property_hubspot_shows_later_is_in_all_that_is_worked_out_from_it(
    box: Sandbox, cache: sqlite3.Connection, kind: str, name: str
) -> None:
    box.hubspot.schema.hide(kind, name)
    sync(cache, box, "hubspot")
    assert wrong(cache, box, "hubspot"), "it matters"
    box.hubspot.schema.show(kind, name)
    sync(cache, box, "hubspot", times=2)
    assert wrong(cache, box, "hubspot") == []
    assert (kind, name) in {(one.object, one.name) for one in drift.changes(cache)}


def happens(box: Sandbox) -> None:
    rng = random.Random(2)
    for _ in range(120):
        box.change(rng)
    box.pass_time(2 * 3600)


@pytest.mark.parametrize("field", ["Task.WhoId", "EmailMessage.Incoming", "Lead.IsConverted"])
def test_a_field_salesforce_hides_for_a_while_is_in_what_came_meanwhile(
    box: Sandbox, cache: sqlite3.Connection, field: str
) -> None:
    sync(cache, box, "salesforce")
    box.salesforce.schema.hide(field)
    happens(box)
    sync(cache, box, "salesforce")
    assert wrong(cache, box, "salesforce"), "it matters"
    box.salesforce.schema.show(field)
    box.pass_time(3 * 3600)
    sync(cache, box, "salesforce", times=2)
    assert wrong(cache, box, "salesforce") == []


@pytest.mark.parametrize(
    ("kind", "name"),
    [("meetings", "hs_meeting_outcome"), ("tasks", "hs_task_status"), ("deals", "hs_is_closed_won")],
)
def test_a_property_hubspot_hides_for_a_while_is_in_what_came_meanwhile(
    box: Sandbox, cache: sqlite3.Connection, kind: str, name: str
) -> None:
    sync(cache, box, "hubspot")
    box.hubspot.schema.hide(kind, name)
    happens(box)
    sync(cache, box, "hubspot")
    box.hubspot.schema.show(kind, name)
    box.pass_time(3 * 3600)
    sync(cache, box, "hubspot", times=2)
    assert wrong(cache, box, "hubspot") == []


@pytest.mark.parametrize(
    "name",
    [
        "Account",
        "Contact",
        "Case",
        "User",
        "OpportunityStage",
        "CaseStatus",
        "CaseMilestone",
        "MilestoneType",
        "TaskRelation",
    ],
)
def test_an_object_salesforce_shows_later_is_in_every_row(box: Sandbox, cache: sqlite3.Connection, name: str) -> None:
    box.salesforce.schema.hide(name)
    sync(cache, box, "salesforce")
    box.salesforce.schema.show(name)
    sync(cache, box, "salesforce", times=2)
    assert wrong(cache, box, "salesforce") == []


def test_what_a_single_stream_was_read_without_is_known(box: Sandbox, cache: sqlite3.Connection) -> None:
    sync(cache, box, "hubspot")
    box.hubspot.schema.disable("companies")
    box.advance(timedelta(days=1))
    sync(cache, box, "hubspot", streams={"contacts", "opportunities", "tickets"})
    box.hubspot.schema.enable("companies")
    sync(cache, box, "hubspot", times=2)
    box.pass_time(5400)
    sync(cache, box, "hubspot")
    assert wrong(cache, box, "hubspot") == []


@pytest.mark.parametrize("kind", ["companies", "contacts", "line_items"])
def test_an_object_hubspot_takes_away_while_it_is_read_is_linked_once_it_is_back(
    box: Sandbox, cache: sqlite3.Connection, kind: str
) -> None:
    sync(cache, box, "hubspot", on_progress=lambda _: box.hubspot.schema.disable(kind))
    assert wrong(cache, box, "hubspot"), "it matters"
    box.hubspot.schema.enable(kind)
    sync(cache, box, "hubspot", times=2)
    assert wrong(cache, box, "hubspot") == []


def test_what_streams_that_failed_in_the_end_were_read_without_is_known(
    box: Sandbox, cache: sqlite3.Connection
) -> None:
    sync(cache, box, "hubspot", times=2)
    box.hubspot.schema.disable("companies")
    box.advance(timedelta(days=1))
    box.faults.hubspot.add("status", r"archived=true", times=None, status=500)
    assert sync(cache, box, "hubspot")["opportunities"].error
    box.faults.hubspot.clear()
    cache.execute("UPDATE sources SET failures = 0, rests_until = NULL")
    box.hubspot.schema.enable("companies")
    sync(cache, box, "hubspot", times=2)
    box.pass_time(5400)
    sync(cache, box, "hubspot")
    assert wrong(cache, box, "hubspot") == []


@pytest.mark.parametrize("times", [1, 40])
def test_who_the_users_are_is_asked_again_and_nothing_else_is(
    box: Sandbox, cache: sqlite3.Connection, caplog: pytest.LogCaptureFixture, times: int
) -> None:
    """Asked for in vain once, it is asked for in pieces; in vain for a whole sync, the sync has failed."""
    caplog.set_level("INFO")
    box.faults.salesforce.salesforce_error(400, "QUERY_TIMEOUT", path=r"UserType", times=times)
    failed = [report.stream for report in sync(cache, box, "salesforce").values() if report.error]
    assert bool(failed) == (times > 1)
    box.faults.salesforce.clear()
    sync(cache, box, "salesforce")
    assert wrong(cache, box, "salesforce") == []
    box.faults.salesforce.salesforce_error(400, "QUERY_TIMEOUT", path=r"UserType", times=times)
    sync(cache, box, "salesforce")
    box.faults.salesforce.clear()
    sync(cache, box, "salesforce")
    assert wrong(cache, box, "salesforce") == []
    assert read_again(caplog) == set()


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("name", "stream"),
    [
        ("TaskRelation", "activities"),
        ("EventRelation", "activities"),
        ("CaseMilestone", "tickets"),
        ("MilestoneType", "tickets"),
        ("CaseStatus", "tickets"),
        ("CaseHistory", "tickets"),
        ("OpportunityStage", "opportunities"),
        ("OpportunityHistory", "opportunities"),
        ("LeadHistory", "leads"),
    ],
)
def test_what_is_read_along_with_records_is_missed_when_it_is_lost_and_found_when_it_is_back(
    box: Sandbox, cache: sqlite3.Connection, name: str, stream: str, full: bool
) -> None:
    sync(cache, box, "salesforce", times=2)
    box.salesforce.schema.hide(name)
    for is_full in (False, full):
        happens(box)
        reports = sync(cache, box, "salesforce", full=is_full)
        assert reports[stream].withdrawn_at is not None
        assert f"{name} cannot be read" in (reports[stream].error or "")
        assert [one.stream for one in reports.values() if one.error] == [stream]
    box.salesforce.schema.show(name)
    box.pass_time(3 * 3600)
    reports = sync(cache, box, "salesforce", times=2)
    assert [one.stream for one in reports.values() if one.error] == []
    assert wrong(cache, box, "salesforce") == []


def test_several_currencies_turned_on_in_mid_life_are_told_and_in_every_amount(
    box: Sandbox, cache: sqlite3.Connection
) -> None:
    box.salesforce.schema.turn_off("multi_currency", "dated_rates")
    sync(cache, box, "salesforce")
    box.salesforce.schema.turn_on("multi_currency", "dated_rates")
    sync(cache, box, "salesforce", times=2)
    assert wrong(cache, box, "salesforce") == []
    told = {(one.object, one.name): {column for _, column in one.places} for one in drift.changes(cache)}
    assert told["Opportunity", "CurrencyIsoCode"] == {"currency", "amount_minor"}
    assert told["OpportunityHistory", "CurrencyIsoCode"] == {"currency", "amount_minor"}
    mixed = "SELECT count(*) FROM opportunity_stage_history WHERE currency <> 'EUR'"
    assert cache.execute(mixed).fetchone()[0] > 0


def test_the_currency_hubspot_shows_later_is_told_and_in_every_amount(box: Sandbox, cache: sqlite3.Connection) -> None:
    box.hubspot.schema.hide("deals", "deal_currency_code")
    sync(cache, box, "hubspot")
    box.hubspot.schema.show("deals", "deal_currency_code")
    sync(cache, box, "hubspot", times=2)
    assert wrong(cache, box, "hubspot") == []
    (told,) = [one for one in drift.changes(cache) if one.name == "deal_currency_code"]
    assert {column for _, column in told.places} == {"currency", "amount_minor"}


def test_a_history_without_a_currency_of_its_own_has_that_of_its_deal(box: Sandbox, cache: sqlite3.Connection) -> None:
    box.salesforce.schema.hide("OpportunityHistory.CurrencyIsoCode")
    sync(cache, box, "salesforce")
    assert wrong(cache, box, "salesforce") == []

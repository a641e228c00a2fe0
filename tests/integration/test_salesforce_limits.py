"""What Salesforce refuses or lacks, against the bundled server: each error acts as it should and loses only itself."""

import contextlib
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.errors import (
    AuthError,
    ConnectorError,
    NotReadable,
    RateLimited,
    SourceConfigError,
    StreamError,
    TransientError,
)
from connectors.tally import Tally, counted
from connectors.transport import Timeouts
from syncagent.sandbox import Sandbox, faults_mangle
from syncagent.sandbox.change import records
from syncagent.sandbox.salesforce.limits import ADDRESS_BYTES
from syncagent.sandbox.salesforce.server import VERSIONS
from tests.integration.crm_cache import NOW, MemoryCache, differences, salesforce

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)
ACCOUNTS = r"queryAll.*SELECT.Id.*FROM(\+|%20)Account"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox"), as_of=AS_OF, limits=False, size="tiny") as box:
        yield box


@pytest.fixture
def box(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The sandbox with a company, a schema and limits of its own."""
    sandbox.reset(seed=3, as_of=AS_OF)
    yield sandbox
    sandbox.reset(seed=3, as_of=AS_OF)


def _read(connector: Any, stream: str) -> MemoryCache:
    cache = MemoryCache()
    try:
        for page in connector.fetch_pages(stream, None, full=False, since=None, now=NOW):
            cache.apply(stream, page)
    finally:
        connector.close()
    return cache


def _live(box: Sandbox, table: str) -> set[str]:
    return box.truth().tables["salesforce", table].live


# -- each error does what it should ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "error", "hits"),
    [
        ("daily", RateLimited, 1),
        ("high_assurance", AuthError, 1),
        ("api_disabled", AuthError, 1),
        ("api_down", AuthError, 1),
        ("no_access", StreamError, 2),  # users are not needed, so the object itself is asked too
        ("retired", SourceConfigError, 1),
        ("unknown", StreamError, 3),
        ("lock", TransientError, 6),
        ("unavailable", TransientError, 6),
        ("metering", AuthError, 1),  # its next try would be half a minute away: more than this test's patience
        ("session", AuthError, 3),
    ],
)
def test_a_lasting_refusal_ends_as_its_code_says(
    box: Sandbox, name: str, error: type[ConnectorError], hits: int
) -> None:
    connector = salesforce(box, limits={"daily_share": 0.31} if name == "daily" else {})
    connector.check()
    before = sum(box.salesforce.calls.values())
    box.salesforce.refuse(name, times=None)
    with pytest.raises(error) as caught:
        _read(connector, "accounts")
    made = sum(box.salesforce.calls.values()) - before
    logins = connector.usage().logins - 1
    assert made - logins == hits
    assert logins <= 2
    assert not isinstance(caught.value, TransientError) or error in (RateLimited, TransientError)


@pytest.mark.parametrize("name", ["session", "lock", "unavailable", "unknown", "concurrent", "query_timeout"])
def test_a_passing_refusal_costs_nothing_but_time(box: Sandbox, name: str) -> None:
    for _ in range(2 if name == "unknown" else 1):
        box.salesforce.refuse(name, path="/services/data/v66.0/queryAll", after=3)
    assert set(_read(salesforce(box), "accounts").live("accounts")) == _live(box, "accounts")


@pytest.mark.parametrize("body", [b"[]", b"{}", b"<html>", b"", b'[{"errorCode":"INVALID_SESSION_ID"}]', b"[1]"])
def test_an_expired_session_is_seen_whatever_the_body(box: Sandbox, body: bytes) -> None:
    box.faults.salesforce.add("status", ACCOUNTS, status=401, body=body)
    connector = salesforce(box)
    assert set(_read(connector, "accounts").live("accounts")) == _live(box, "accounts")
    assert connector.usage().logins == 2


def test_an_allowance_of_the_app_s_own_is_kept_to(box: Sandbox) -> None:
    box.salesforce.limits.info = "api-usage=18/5000; per-app-api-usage=17/250(appName=ours)"
    connector = salesforce(box, limits={"daily_share": 0.81})
    connector.check()
    assert (connector.usage().daily_limit, connector.usage().daily_used) == (5000, 18)
    box.salesforce.limits.info = "per-app-api-usage=240/250(appName=ours); api-usage=19/5000"
    with pytest.raises(RateLimited, match="240 of 250"):
        _read(connector, "activities")


@pytest.mark.parametrize("name", ["malformed", "api-usage=9/0", "api-usage=-1/15000", "api-usage=" + "9" * 400 + "/1"])
def test_a_usage_header_that_makes_no_sense_is_not_believed(box: Sandbox, name: str) -> None:
    box.salesforce.limits.info = name
    assert _read(salesforce(box), "accounts").live("accounts")


def test_the_day_s_share_of_earlier_processes_counts(box: Sandbox) -> None:
    connector = salesforce(box, limits={"daily_share": 0.013})
    connector.check()
    connector.remember_calls([(3600.0, 1295)])  # 1,300 of 100,000 are ours
    with pytest.raises(RateLimited, match="share"):
        _read(connector, "activities")


def test_long_calls_over_the_limit_are_sent_fewer_at_once(box: Sandbox) -> None:
    """The server refuses more than two open calls; four streams at once come to their end all the same."""
    limits = box.salesforce.limits
    limits.long_calls, limits.long_after_s = 2, 0.0
    box.salesforce.latency = (0.01, 0.02)
    connector = salesforce(box, limits={"concurrent": 9})

    def read(stream: str) -> int:
        return sum(page.read for page in connector.fetch_pages(stream, None, full=False, since=None, now=NOW))

    try:
        with ThreadPoolExecutor(4) as threads:
            counts = list(threads.map(read, ["accounts", "tickets", "leads", "opportunities"]))
    finally:
        box.salesforce.latency = (0.0, 0.0)
        connector.close()
    assert all(counts)


# -- too much at once --------------------------------------------------------------------------------------------------


def test_a_query_that_takes_too_long_is_cut_into_windows(box: Sandbox) -> None:
    box.salesforce.limits.timeout_rows = 5
    box.salesforce.bulk.unsupported.update({"Task", "Event", "EmailMessage", "CaseComment"})
    cache = _read(salesforce(box), "activities")
    assert set(cache.live("activities")) == _live(box, "activities")
    assert len(cache.live("activities")) > 10


def test_what_cannot_even_be_counted_in_time_goes_to_a_job(box: Sandbox) -> None:
    box.faults.salesforce.salesforce_error(400, "QUERY_TIMEOUT", path=r"COUNT.*FROM(\+|%20)Case")
    cache = _read(salesforce(box), "tickets")
    assert box.salesforce.bulk.created == 1
    assert set(cache.live("tickets")) == _live(box, "tickets")


def test_too_many_links_at_once_are_split_by_time(box: Sandbox) -> None:
    box.salesforce.limits.too_large["Task"] = 3
    box.salesforce.bulk.unsupported.add("Task")
    assert set(_read(salesforce(box), "activities").live("activities")) == _live(box, "activities")


def test_too_many_links_in_one_second_name_the_permission_that_is_missing(box: Sandbox) -> None:
    box.salesforce.limits.too_large["Task"] = 0
    box.salesforce.bulk.unsupported.add("Task")
    with pytest.raises(StreamError, match="View All Data"):
        _read(salesforce(box), "activities")


def _wide(box: Sandbox, sobject: str, number: int = 900) -> dict[str, str]:
    """So many fields that no address holds them, mapped as custom ones."""
    return {f"w{place}": name for place, name in enumerate(box.salesforce.schema.add_many(sobject, number))}


def test_more_fields_than_an_address_holds_are_read_in_parts(box: Sandbox) -> None:
    fields = _wide(box, "Account")
    connector = salesforce(box, fields={"accounts": fields}, values={})
    cache = _read(connector, "accounts")
    row = next(iter(cache.live("accounts").values()))
    assert set(cache.live("accounts")) == _live(box, "accounts")
    assert set(row["custom"]) == set(fields)
    assert all(value is not None for value in row["custom"].values())
    assert row["name"]
    assert ADDRESS_BYTES == 16_384
    assert not box.salesforce.statuses[414] + box.salesforce.statuses[431]


def test_a_record_that_changes_between_two_parts_is_whole_in_the_end(box: Sandbox) -> None:
    fields = _wide(box, "Lead")
    lead = next(lead for lead in box.company.leads if lead.sf and not lead.deleted)
    connector, cache = salesforce(box, fields={"leads": fields}, values={}, streams=["leads"]), MemoryCache()
    reading = connector.fetch_pages("leads", None, full=False, since=None, now=NOW)
    box.faults.salesforce.add("hang", r"FROM(\+|%20)Lead.*", after=2, seconds=0.4)  # before the second part
    with ThreadPoolExecutor(1) as threads:
        found = threads.submit(lambda: list(reading))
        time.sleep(0.25)
        box.company.touch(lead, box.company.now + 2)
        box.salesforce.refresh([lead])
        for page in found.result():
            cache.apply("leads", page)
    box.company.now += 60
    cache.sync(connector)
    listed = {
        record["source_id"]: record
        for page in connector.reconcile_pages("leads", None, now=NOW)
        for record in page.records["leads"]
    }
    connector.close()
    assert set(cache.live("leads")) == set(listed) == _live(box, "leads")
    assert cache.live("leads")[lead.sf or ""]["updated_at"] == listed[lead.sf or ""]["updated_at"]
    assert all(value is not None for row in listed.values() for value in row["custom"].values())


# -- schema drift and permissions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["Lead.LeadSource", "Lead.Status", "Lead.LastModifiedById"])
def test_a_field_hidden_in_the_middle_is_dropped_and_the_rest_read(
    box: Sandbox, caplog: pytest.LogCaptureFixture, field: str
) -> None:
    connector = salesforce(box)
    connector.check()
    box.salesforce.schema.hide(field)
    with caplog.at_level(logging.WARNING):
        cache = _read(connector, "leads")
    assert set(cache.live("leads")) == _live(box, "leads")
    assert field.partition(".")[2] in caplog.text


def test_where_the_date_of_change_is_hidden_the_next_best_is_taken(box: Sandbox) -> None:
    cache, connector = MemoryCache(), salesforce(box, streams=["leads"])
    cache.sync(connector)
    box.salesforce.schema.hide("Lead.SystemModstamp")
    with pytest.raises(TransientError, match="SystemModstamp"):
        cache.sync(connector)
    cache.sync(connector, full=True)
    connector.close()
    assert set(cache.live("leads")) == _live(box, "leads")


def test_a_field_is_gone_from_what_is_offered_once_it_was_refused(box: Sandbox) -> None:
    connector = salesforce(box)
    assert "LeadSource" in {field.name for field in connector.fields("leads")}
    box.salesforce.schema.remove_field("Lead", "LeadSource")
    list(connector.fetch_pages("leads", None, full=False, since=None, now=NOW))
    offered = {field.name: field for field in connector.fields("leads")}
    connector.close()
    assert "LeadSource" not in offered
    assert offered["Status"].object == "Lead"


@pytest.mark.parametrize(
    ("hidden", "stream"),
    [
        ("OpportunityHistory", "opportunities"),
        ("OpportunityLineItem", "opportunities"),
        ("LeadHistory", "leads"),
        ("SurveySubject", "survey_invitations"),
        ("OrderItem", "orders"),
        ("Event", "activities"),
        ("Group", "users"),
        ("Case.Priority", "tickets"),
    ],
)
def test_what_a_login_may_not_read_is_all_that_is_lost_and_is_named(box: Sandbox, hidden: str, stream: str) -> None:
    box.salesforce.schema.hide(hidden)
    connector = salesforce(box)
    warnings = connector.check().warnings
    rows = _read(connector, stream).live(stream)
    assert any(hidden.rpartition(".")[2] in warning for warning in warnings)
    assert rows


@pytest.mark.parametrize("hidden", ["Lead", "Opportunity", "SurveyInvitation", "CurrencyType", "Contract"])
def test_a_stream_a_login_never_could_read_is_left_out_and_named(box: Sandbox, hidden: str) -> None:
    box.salesforce.schema.hide(hidden)
    connector, cache = salesforce(box), MemoryCache()
    warnings = connector.check().warnings
    cache.sync(connector)
    cache.reconcile(connector)
    names = {stream.name for stream in connector.streams()}
    left_out = names - cache.bookmarks.keys()
    assert len(left_out) == 1
    assert [connector.count(name) for name in left_out] == [None]
    assert not any(connector.fields(name) for name in left_out)
    connector.close()
    assert any(f"{hidden} cannot be read" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("hidden", "stream"),
    [
        ("Lead", "leads"),
        ("Task", "activities"),
        ("Event", "activities"),
        ("Group", "users"),
        ("OpportunityLineItem", "opportunities"),
        ("CurrencyType", "fx_rates"),
        ("DatedConversionRate", "fx_rates"),
    ],
)
def test_an_object_that_was_read_before_and_no_more_is_an_error_and_the_rest_is_read(
    box: Sandbox, hidden: str, stream: str
) -> None:
    box.salesforce.schema.turn_on("multi_currency", "dated_rates")
    cache, connector = MemoryCache(), salesforce(box)
    cache.sync(connector)
    before = {table: {key: dict(row) for key, row in rows.items()} for table, rows in cache.rows.items()}
    box.pass_time(600)
    box.salesforce.schema.hide(hidden)
    connector.check()
    assert stream in {one.name for one in connector.streams()}

    def read(full: bool) -> None:
        for page in connector.fetch_pages(stream, cache.bookmarks[stream], full=full, since=None, now=NOW):
            cache.apply(stream, page)

    for full in (False, True):
        with pytest.raises(StreamError, match="not"):
            read(full)
        assert cache.rows == before
    marks = cache.bookmarks[stream].get("feeds", {})
    assert all(mark["done"] for mark in marks.values() if mark), "what is lost is owed a read from the beginning"
    box.salesforce.schema.show(hidden)
    connector.check()
    cache.sync(connector)
    connector.close()
    assert cache.rows == before


def test_a_stream_that_was_asked_for_says_why_it_cannot_be_read(box: Sandbox) -> None:
    box.salesforce.schema.hide("Lead")
    connector = salesforce(box, streams=["leads", "accounts"])
    assert {stream.name for stream in connector.streams()} == {"leads", "accounts"}
    with pytest.raises(StreamError, match="permissions"):
        list(connector.fetch_pages("leads", None, full=False, since=None, now=NOW))
    with pytest.raises(StreamError, match="permissions"):  # never: there are none
        list(connector.reconcile_pages("leads", None, now=NOW))
    assert list(connector.read_ids("leads", ["00QJ800000000AAAAA"], now=NOW)) == []
    connector.close()


def test_stages_that_are_renamed_or_taken_away_are_known_from_their_deals(box: Sandbox) -> None:
    cache = MemoryCache()
    connector = salesforce(box)
    cache.sync(connector)
    box.salesforce.shown.change_status("OpportunityStage", "Qualification", MasterLabel="First talk")
    connector.check()  # as each sync begins: a new look at the org
    cache.sync(connector)
    connector.close()
    labels = {
        row["stage"]: row["label"] for row in cache.live("stage_defs").values() if row["object"] == "opportunities"
    }
    assert labels["Qualification"] == "First talk"


def test_the_version_of_the_api_and_when_it_ends_are_told(box: Sandbox) -> None:
    connector = salesforce(box, api_version="58.0")
    sunsets = connector.check().sunsets
    connector.close()
    assert sunsets[0].what == "Salesforce API version 58.0"
    assert sunsets[0].ends_on.year == 2026
    assert "api_version" in sunsets[0].mend


def test_a_version_the_org_has_not_is_named_with_those_it_has(box: Sandbox) -> None:
    """An org answers it like an object nobody may read."""
    connector = salesforce(box, api_version="99.0")
    with contextlib.closing(connector), pytest.raises(SourceConfigError) as caught:
        connector.check()
    assert str(caught.value) == (
        f"Salesforce has no API version 99.0 in this org. Set api_version to one of its own: {VERSIONS[0]} to"
        f" {VERSIONS[-1]}."
    )


def test_a_version_the_org_has_is_not_blamed_for_what_a_login_may_not_read(box: Sandbox) -> None:
    body = b'[{"errorCode":"NOT_FOUND","message":""}]'
    box.faults.salesforce.add("status", "/sobjects/Organization", status=404, times=None, body=body)
    with contextlib.closing(salesforce(box)) as connector, pytest.raises(NotReadable, match="permissions"):
        connector.check()


# -- polite and quick --------------------------------------------------------------------------------------------------


def test_calls_of_helpers_count_for_their_stream(box: Sandbox) -> None:
    connector = salesforce(box)
    connector.check()
    before, tally = connector.usage().calls, Tally()
    with counted(tally):
        list(connector.fetch_pages("opportunities", None, full=False, since=None, now=NOW))
    made = connector.usage().calls - before
    connector.close()
    assert tally.calls == made > 3


def test_a_hung_server_is_left_at_once_when_interrupted(box: Sandbox) -> None:
    box.faults.salesforce.add("hang", ACCOUNTS, seconds=30.0, times=None)
    connector = salesforce(box, timeouts=Timeouts(5.0, 60.0, 60.0))
    connector.check()
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(_read, connector, "accounts")
        time.sleep(0.3)
        began = time.monotonic()
        connector.interrupt()
        with pytest.raises(TransientError):
            reading.result()
    assert time.monotonic() - began < 15, "the server would have kept it for half a minute"


def test_nothing_new_costs_few_calls(box: Sandbox) -> None:
    cache, connector = MemoryCache(), salesforce(box)
    connector.check()
    cache.sync(connector)
    before = connector.usage().calls
    cache.sync(connector)
    made = connector.usage().calls - before
    connector.close()
    assert differences(cache, box.truth(), "salesforce") == []
    assert made <= 40


def test_what_came_before_an_error_is_not_asked_for_again(box: Sandbox) -> None:
    """Every second page fails for good: each sync brings one page, and all of them everything."""
    box.salesforce.limits.page_rows = 2
    users = -(-len(box.salesforce.rows.tables["User"]) // 2) - 1  # further pages of who the users are
    cache = MemoryCache()
    counts = []
    for _ in range(3):
        box.faults.salesforce.clear()
        box.faults.salesforce.add("status", r"query/01g", times=None, after=users, status=503, body=b"")
        connector = salesforce(box, streams=["accounts"])
        try:
            cache.sync(connector)
        except TransientError:
            counts.append(len(cache.live("accounts")))
        connector.close()
    assert counts[:2] == [2, 4]
    assert set(cache.live("accounts")) == _live(box, "accounts")


def test_a_line_s_field_that_vanishes_is_done_without(box: Sandbox) -> None:
    connector, cache = salesforce(box, streams=["orders"]), MemoryCache()
    connector.check()
    box.salesforce.schema.hide("OrderItem.Quantity")
    cache.sync(connector)
    for page in connector.reconcile_pages("orders", None, now=NOW):
        cache.apply("sweep", page)
    connector.close()
    assert cache.live("order_lines")
    assert all(row.get("quantity") is None for row in cache.live("order_lines").values())


@pytest.mark.parametrize("skew_s", [400 * 86_400, 600, -600, -400 * 86_400])
def test_a_vendor_s_clock_that_is_wrong_for_a_while_hides_nothing(box: Sandbox, skew_s: int) -> None:
    cache, connector = MemoryCache(), salesforce(box)

    def sync() -> None:
        for page in connector.fetch_pages("leads", cache.bookmarks.get("leads"), full=False, since=None, now=box.now):
            cache.apply("leads", page)

    box.salesforce.skew_s = skew_s
    sync()
    box.salesforce.skew_s = 0
    box.pass_time(300 if abs(skew_s) > 600 else 900)  # a clock that is 10 minutes ahead is made up for by far's hour
    lead = next(lead for lead in box.company.leads if lead.sf and not lead.deleted)
    box.apply(records.rename, lead, "After the clock was mended")
    sync()
    connector.close()
    assert cache.live("leads")[lead.sf or ""]["name"] == lead.name


@pytest.mark.parametrize("stream", ["opportunities", "fx_rates"])
def test_a_page_link_lost_beside_the_records_is_asked_for_anew(box: Sandbox, stream: str) -> None:
    box.salesforce.schema.turn_on("multi_currency", "dated_rates")
    box.salesforce.limits.page_rows = 2
    whole, cache = MemoryCache(), MemoryCache()
    faults: list[Any] = []
    for found in (whole, cache):
        connector = salesforce(box, streams=[stream])
        found.sync(connector)
        connector.close()
        faults.append(box.faults.salesforce.salesforce_error(400, "INVALID_QUERY_LOCATOR", path=r"/query/01g", times=2))
    assert faults[0].hits == 2
    assert cache.rows == whole.rows


def test_where_the_users_cannot_be_read_what_follows_from_them_stays(box: Sandbox) -> None:
    cache = MemoryCache()
    connector = salesforce(box, streams=["activities"])
    cache.sync(connector)
    connector.close()
    before = {key: dict(row) for key, row in cache.rows["activities"].items()}
    refused = box.faults.salesforce.salesforce_error(400, "QUERY_TIMEOUT", path=r"UserType", times=1)
    connector = salesforce(box, streams=["activities"])
    cache.sync(connector, full=True)
    assert cache.rows["activities"] == before
    anew = MemoryCache()
    anew.sync(connector)  # the same connector asks again
    connector.close()
    assert refused.hits == 1
    assert anew.rows["activities"] == before
    assert any(row["updated_by_kind"] for row in before.values())


@pytest.mark.parametrize("ahead_h", [2, 48])
def test_a_vendor_s_clock_that_is_ahead_once_hides_nothing_later(box: Sandbox, ahead_h: int) -> None:
    cache, connector = MemoryCache(), salesforce(box)

    def sync() -> None:
        for page in connector.fetch_pages("leads", cache.bookmarks.get("leads"), full=False, since=None, now=box.now):
            cache.apply("leads", page)

    sync()
    box.pass_time(700)
    box.salesforce.skew_s = ahead_h * 3600
    sync()
    box.salesforce.skew_s = 0
    lead = next(lead for lead in box.company.leads if lead.sf and not lead.deleted)
    box.pass_time(60)
    box.apply(records.rename, lead, "While the clock was wrong")
    for _ in range(ahead_h):
        box.pass_time(7200)
        sync()
    connector.close()
    assert cache.live("leads")[lead.sf or ""]["name"] == lead.name


@pytest.mark.parametrize("name", ["repeated_page", "fewer_rows"])
@pytest.mark.parametrize("path", [r"queryAll.*FROM(\+|%20)Lead.*ORDER", r"OpportunityHistory", r"FROM(\+|%20)User"])
def test_pages_that_repeat_or_lack_rows_are_asked_for_again(box: Sandbox, name: str, path: str) -> None:
    change = faults_mangle.fewer_rows(1) if name == "fewer_rows" else faults_mangle.repeated_page()
    box.salesforce.limits.page_rows = 3
    box.faults.salesforce.mangle(change, path if name == "fewer_rows" else r"query/01g", times=2)
    cache = MemoryCache()
    for _ in range(3):  # what is not made up for at once is at the next sync
        connector = salesforce(box)
        with contextlib.suppress(TransientError):
            cache.sync(connector)
        connector.close()
    assert differences(cache, box.truth(), "salesforce") == []


def test_a_count_that_stays_wrong_does_not_stop_a_stream_for_ever(box: Sandbox) -> None:
    box.faults.salesforce.mangle(faults_mangle.total_off(3), r"SELECT.Id.*FROM(\+|%20)Account", times=None)
    cache, tries = MemoryCache(), 0
    for _ in range(10):
        connector = salesforce(box, streams=["accounts"])
        tries += 1
        try:
            cache.sync(connector)
            break
        except TransientError:
            continue
        finally:
            connector.close()
    assert 3 < tries < 10
    assert set(cache.live("accounts")) == _live(box, "accounts")

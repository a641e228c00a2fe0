"""The Salesforce connector against the bundled server: what it reads is what the org holds, whatever breaks."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.errors import AuthError, ConnectorError, RateLimited, SourceConfigError, StreamError, TransientError
from connectors.transport import Timeouts
from syncagent.sandbox import Sandbox
from syncagent.sandbox.salesforce import server as sandbox_salesforce
from syncagent.sandbox.truth import Truth
from tests.integration.crm_cache import COLUMNS, NOW, MemoryCache, differences, salesforce

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox"), as_of=AS_OF, limits=False) as box:
        yield box


@pytest.fixture
def box(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The sandbox without faults, before and after."""
    sandbox.faults.clear()
    sandbox.salesforce.calls.clear()
    yield sandbox
    sandbox.faults.clear()


@cache
def _truth(box: Sandbox) -> Truth:
    """What the shared sandbox holds: it does not change."""
    return box.truth()


def _read(connector: Any, stream: str) -> MemoryCache:
    cache = MemoryCache()
    try:
        for page in connector.fetch_pages(stream, None, full=False, since=None, now=NOW):
            cache.apply(stream, page)
    finally:
        connector.close()
    return cache


def _logins(box: Sandbox) -> int:
    return box.salesforce.calls["POST /services/oauth2/token"]


def test_check_says_where_we_are_and_what_the_org_lacks(box: Sandbox) -> None:
    box.salesforce.schema.turn_off("record_types")
    connector = salesforce(box)
    identity = connector.check()
    connector.close()
    box.salesforce.schema.turn_on("record_types")
    assert (identity.instance, identity.timezone) == ("00DJ800000000MXMAY", "Europe/Berlin")
    assert identity.account == "maria.brandt@northwind.example"
    assert any("RecordTypeId" in warning for warning in identity.warnings)


@pytest.mark.slow
def test_a_first_load_a_second_one_and_three_days_later_equal_the_org(tmp_path: Path) -> None:
    with Sandbox(tmp_path, as_of=AS_OF, limits=False) as box:
        connector, cache = salesforce(box), MemoryCache()
        cache.sync(connector)
        assert differences(cache, box.truth(), "salesforce") == []
        before = cache.read
        cache.sync(connector)
        assert cache.read - before < 100  # what is new, and the lookback
        box.advance(timedelta(days=3))
        cache.sync(connector)
        connector.close()
        assert differences(cache, box.truth(), "salesforce") == []
        assert cache.rejects == []


@pytest.mark.slow
def test_a_read_broken_off_after_each_page_goes_on_from_its_bookmark(box: Sandbox) -> None:
    cache = MemoryCache()
    connector = salesforce(box)
    for _ in range(12):
        cache.sync(connector, stop_after=2)  # as if killed: the rest of each stream is never asked for
    connector.close()
    assert differences(cache, _truth(box), "salesforce") == []


def test_start_leaves_out_what_did_not_change_since(box: Sandbox) -> None:
    cache = _read(salesforce(box, start=date(2026, 6, 1)), "opportunities")
    assert cache.live("opportunities")
    assert all(row["updated_at"] >= "2026-06-01" for row in cache.live("opportunities").values())


def test_since_reads_again_from_that_day(box: Sandbox) -> None:
    connector, cache = salesforce(box, streams=["leads"]), MemoryCache()
    cache.sync(connector)
    before = cache.read
    cache.sync(connector, since=date(2026, 11, 1))
    connector.close()
    again = cache.read - before
    expected = sum(row["updated_at"] >= "2026-11-01" for row in cache.live("leads").values())
    assert again >= expected > 0


def test_own_fields_become_columns_or_custom(box: Sandbox) -> None:
    fields = {"opportunities": {"probability": "Probability", "next": "NextStep", "custom.won": "IsWon"}}
    cache = _read(salesforce(box, fields=fields, values={}), "opportunities")
    row = next(row for row in cache.live("opportunities").values() if row["state"] == "won")
    assert row["custom"] == {"next": None, "won": 1}
    assert row["probability"] in (1.0, 100.0)


def test_a_value_map_with_an_unknown_value_is_refused(box: Sandbox) -> None:
    connector = salesforce(box, values={"tickets": {"status_category": {"Waiting": "paused"}}})
    with pytest.raises(SourceConfigError, match="paused"):
        list(connector.fetch_pages("tickets", None, full=False, since=None, now=NOW))
    connector.close()


def test_fields_lists_what_the_org_offers_and_where_it_goes(box: Sandbox) -> None:
    connector = salesforce(box)
    offered = connector.fields("opportunities")
    connector.close()
    assert {one.column for one in offered if one.name == "StageName"} == {"stage", "state"}
    assert {one.column for one in offered if one.name == "IsWon"} == {"state"}
    assert {one.column for one in offered if one.name == "ForecastCategory"} == {""}


@pytest.mark.parametrize("auth", ["jwt", "session"])
def test_the_other_logins_work_too(box: Sandbox, auth: str) -> None:
    login: dict[str, Any] = {"client_secret": None, "auth": auth}
    if auth == "jwt":
        key = box.dir / "key.pem"
        box.write_config(box.dir / "config.toml")
        key.write_bytes((box.dir / "secrets" / "sf_private_key.pem").read_bytes())
        login |= {"username": sandbox_salesforce.USERNAME, "private_key_file": str(key)}
    else:
        first = salesforce(box)
        first.check()
        login |= {"session_id": first._client._token}
        first.close()
    connector = salesforce(box, **login)
    assert connector.check().instance == "00DJ800000000MXMAY"
    connector.close()


def test_a_wrong_secret_is_an_auth_error_told_once(box: Sandbox) -> None:
    connector = salesforce(box, client_secret="wrong")
    with pytest.raises(AuthError, match="refused the login"):
        connector.check()
    connector.close()
    assert _logins(box) == 1


def test_an_activity_has_the_account_it_was_logged_on(box: Sandbox) -> None:
    rows = _read(salesforce(box), "activities").live("activities")
    theirs = {**box.salesforce.rows.tables["Task"], **box.salesforce.rows.tables["Event"]}
    own = {key: row["AccountId"] for key, row in theirs.items() if row["AccountId"] and key in rows}
    assert own
    assert {key: rows[key]["account_id"] for key in own} == own


def _page_of(row: dict[str, Any]) -> bytes:
    return orjson.dumps({"done": True, "totalSize": 1, "records": [row]})


def test_a_deleted_meeting_was_deleted_when_it_was_not_when_it_ended(box: Sandbox) -> None:
    row = {"Id": "00UJ800000000AAMAQ", "IsDeleted": True, "SystemModstamp": "2026-11-01T08:00:00.000+0000"}
    row["EndDateTime"] = "2026-11-20T11:00:00.000+0000"
    box.faults.salesforce.add("status", r"Event.*ORDER.BY.EndDateTime", body=_page_of(row))
    done = {"at": "2026-11-20T10:00:00Z", "id": "", "done": True}
    marks = dict.fromkeys(("Task", "Event", "Event:EndDateTime", "EmailMessage", "CaseComment"), done)
    connector = salesforce(box)
    pages = list(connector.fetch_pages("activities", {"feeds": marks}, full=False, since=None, now=NOW))
    connector.close()
    deleted = {one.source_id: one.deleted_at for page in pages for one in page.tombstones}
    assert deleted["00UJ800000000AAMAQ"] == "2026-11-01T08:00:00Z"


def test_a_merge_that_was_undone_is_taken_back(box: Sandbox) -> None:
    rows = _read(salesforce(box), "contacts").live("contacts").values()
    assert all(row["merged_into"] is None for row in rows)


def test_where_no_history_is_kept_none_is_made_up(box: Sandbox) -> None:
    nothing = b'{"done": true, "totalSize": 0, "records": []}'
    box.faults.salesforce.add("status", r"CaseHistory.*Status", times=None, body=nothing)
    cache = _read(salesforce(box), "tickets")
    assert any(row["status_category"] == "closed" for row in cache.live("tickets").values())
    assert not cache.rows.get("ticket_status_history")


def test_a_first_read_begins_at_the_start_whatever_since_says(box: Sandbox) -> None:
    connector, cache = salesforce(box, streams=["leads"]), MemoryCache()
    cache.sync(connector, since=date(2026, 11, 1))
    connector.close()
    assert set(cache.live("leads")) == _truth(box).tables["salesforce", "leads"].live


# -- what breaks on the wire -------------------------------------------------------------------------------------------

LEADS = r"GET /services/data/v66.0/queryAll.*SELECT.Id.*Lead"
QUERY = r"GET /services/data/v66.0/queryAll.*SELECT.Id.*FROM(\+|%20)Account"  # few rows: what breaks is the wire


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "html"},
        {"kind": "html", "status": 503},
        {"kind": "status", "status": 500, "body": b""},
        {"kind": "status", "status": 200, "body": b'{"done": true}'},
        {"kind": "status", "status": 200, "body": b'{"done": false, "records": []}'},
        {"kind": "status", "status": 200, "body": b'{"done": true, "totalSize": 1, "records": [{"Name": "no id"}]}'},
        {"kind": "truncate"},
        {"kind": "cut"},
        {"kind": "reset"},
        {"kind": "drop"},
        {"kind": "hang", "seconds": 2.0},
        {"kind": "status", "status": 429, "body": b"[]", "headers": {"retry-after": "0"}},
        {"kind": "status", "status": 429, "body": b"[]"},
    ],
    ids=lambda fault: f"{fault['kind']}-{fault.get('status', '')}-{len(fault.get('body', b''))}",
)
def test_a_passing_fault_costs_a_retry_and_nothing_else(box: Sandbox, fault: dict[str, Any]) -> None:
    box.faults.salesforce.add(**{**fault, "path": QUERY, "times": 2})
    connector = salesforce(box)
    cache = _read(connector, "accounts")
    assert connector.usage().retries == 2
    assert set(cache.live("accounts")) == _truth(box).tables["salesforce", "accounts"].live


@pytest.mark.parametrize(
    ("kind", "more"),
    [("html", {}), ("truncate", {}), ("reset", {}), ("status", {"status": 500}), ("hang", {"seconds": 2.0})],
)
def test_a_lasting_fault_ends_in_a_transient_error_after_six_tries(
    box: Sandbox, kind: str, more: dict[str, Any]
) -> None:
    fault = box.faults.salesforce.add(kind, QUERY, times=None, **more)
    connector = salesforce(box, timeouts=Timeouts(1.0, 0.1, 2.0))
    with pytest.raises(TransientError) as caught:
        _read(connector, "accounts")
    assert fault.hits == 6
    assert "<" not in str(caught.value)  # no body of theirs in a message of ours


def test_a_drip_is_ended_by_the_deadline_of_the_whole_call(box: Sandbox) -> None:
    box.faults.salesforce.add("drip", QUERY, times=1, seconds=0.05)
    connector = salesforce(box, timeouts=Timeouts(1.0, 0.5, 0.7))
    began = time.monotonic()
    cache = _read(connector, "accounts")
    assert time.monotonic() - began < 10
    assert connector.usage().retries == 1
    assert cache.live("accounts")


def test_an_expired_session_is_renewed_once_and_the_same_page_asked_for_again(box: Sandbox) -> None:
    box.faults.salesforce.salesforce_error(401, "INVALID_SESSION_ID", path=QUERY)
    connector = salesforce(box)
    cache = _read(connector, "accounts")
    assert _logins(box) == 2
    assert connector.usage().retries == 0
    assert set(cache.live("accounts")) == _truth(box).tables["salesforce", "accounts"].live


@pytest.mark.parametrize("body", [b"", b"<html></html>", b"[]", b'{"error": "x"}'])
def test_a_401_of_any_shape_for_ever_ends_after_few_logins(box: Sandbox, body: bytes) -> None:
    box.faults.salesforce.add("status", r"/services/data/", times=None, status=401, body=body)
    connector = salesforce(box)
    for _ in range(3):
        with pytest.raises(AuthError):
            connector.check()
    connector.close()
    assert _logins(box) <= 3


@pytest.mark.parametrize(
    ("status", "code", "message", "error"),
    [
        (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", RateLimited),
        (400, "INSUFFICIENT_ACCESS", "", StreamError),
        (400, "INVALID_TYPE", "", StreamError),
        (400, "MALFORMED_QUERY", "", StreamError),
        (403, "API_DISABLED_FOR_ORG", "", AuthError),
        (410, "UNSUPPORTED_API_VERSION", "", SourceConfigError),
        (401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API", AuthError),
    ],
)
def test_errors_are_told_by_their_code(
    box: Sandbox, status: int, code: str, message: str, error: type[ConnectorError]
) -> None:
    fault = box.faults.salesforce.salesforce_error(status, code, message, path=QUERY, times=None)
    own_limiter = {"daily_share": 0.4}  # the day that ends here is nobody else's
    with pytest.raises(error):
        _read(salesforce(box, limits=own_limiter if error is RateLimited else {}), "accounts")
    assert fault.hits == 1


@pytest.mark.parametrize("code", ["UNABLE_TO_LOCK_ROW", "QUERY_TIMEOUT", "SERVER_UNAVAILABLE"])
def test_passing_errors_are_tried_again_by_their_code(box: Sandbox, code: str) -> None:
    box.faults.salesforce.salesforce_error(400, code, path=QUERY, times=2)
    assert _read(salesforce(box), "accounts").live("accounts")


def test_a_field_that_vanished_is_dropped_and_the_rest_read(box: Sandbox) -> None:
    box.faults.salesforce.salesforce_error(
        400, "INVALID_FIELD", "No such column 'LeadSource' on entity 'Lead'", path=LEADS
    )
    cache = _read(salesforce(box), "leads")
    assert cache.live("leads")
    assert all("source_channel" not in row for row in cache.live("leads").values())


def test_a_lost_page_link_is_replaced_by_the_bookmark(box: Sandbox) -> None:
    box.faults.salesforce.salesforce_error(400, "INVALID_QUERY_LOCATOR", path=r"queryAll/01g")
    box.faults.salesforce.salesforce_error(400, "INVALID_QUERY_LOCATOR", path=r"query/01g")
    cache = _read(salesforce(box), "leads")
    assert set(cache.live("leads")) == _truth(box).tables["salesforce", "leads"].live


def test_a_redirect_is_not_followed(box: Sandbox) -> None:
    box.faults.salesforce.add("status", QUERY, status=302, headers={"location": "http://127.0.0.1:1/"})
    with pytest.raises(StreamError, match="redirect"):
        _read(salesforce(box), "accounts")


def test_a_page_link_to_another_host_is_not_followed(box: Sandbox) -> None:
    row = b'{"Id": "00QJ800000000AAAAA", "SystemModstamp": "2026-01-01T00:00:00.000+0000"}'
    for link in (b"@127.0.0.1:1/services/data/x", b"https://127.0.0.1:1/services/data/x"):
        body = b'{"done": false, "totalSize": 2, "records": [' + row + b'], "nextRecordsUrl": "' + link + b'"}'
        box.faults.salesforce.add("status", QUERY, body=body)
        with pytest.raises(StreamError, match="elsewhere"):
            _read(salesforce(box), "accounts")


def test_the_server_s_count_of_calls_is_taken_from_its_headers(box: Sandbox) -> None:
    connector = salesforce(box)
    connector.check()
    usage = connector.usage()
    connector.close()
    assert usage.daily_limit == 100000
    assert usage.daily_used


def test_an_interrupt_ends_a_wait(box: Sandbox) -> None:
    box.faults.salesforce.add("status", QUERY, times=None, status=503, headers={"retry-after": "3"}, body=b"")
    box.faults.salesforce.add("status", QUERY, times=None, status=429, headers={"retry-after": "3"}, body=b"")
    connector = salesforce(box)
    threading.Timer(0.3, connector.interrupt).start()
    began = time.monotonic()
    with pytest.raises(TransientError):
        _read(connector, "accounts")
    assert time.monotonic() - began < 2.5


def test_no_column_is_unknown_to_the_tables() -> None:
    from connectors.salesforce import fields as data

    for name, fields in data.MAPS.items():
        assert {field.column for field in fields} <= set(COLUMNS[data.TABLES[name]])

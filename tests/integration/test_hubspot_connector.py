"""The HubSpot connector against the bundled server: what it reads is what the portal holds, whatever breaks."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
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
from connectors.transport import Timeouts
from syncagent.sandbox import Sandbox
from syncagent.sandbox.hubspot import gate as hs_gate
from syncagent.sandbox.truth import Truth
from tests.integration.crm_cache import COLUMNS, NOW, MemoryCache, differences, hubspot

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)
LIST = r"GET /crm/objects/2026-09/deals.*archived=false"
COMPANIES = r"GET /crm/objects/2026-09/companies.*archived=false"  # few, so that only the fault takes time


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox"), as_of=AS_OF, limits=False) as box:
        box.hubspot.per_10s = 100_000  # what its headers say: the client obeys them
        yield box


@pytest.fixture
def box(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The sandbox without faults, before and after."""
    sandbox.faults.clear()
    sandbox.hubspot.calls.clear()
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


def _all_deals(box: Sandbox) -> set[str]:
    return _truth(box).tables["hubspot", "opportunities"].live


def test_check_says_which_portal_it_is(box: Sandbox) -> None:
    connector = hubspot(box)
    identity = connector.check()
    connector.close()
    assert (identity.instance, identity.timezone, identity.currency) == ("139200411", "Europe/Berlin", "EUR")
    assert any("hs_resolution" not in warning for warning in identity.warnings) or not identity.warnings


@pytest.mark.slow
def test_a_first_load_a_second_one_and_three_days_later_equal_the_portal(tmp_path: Path) -> None:
    with Sandbox(tmp_path, as_of=AS_OF, limits=False) as box:
        box.hubspot.per_10s = 100_000
        connector, cache = hubspot(box), MemoryCache()
        cache.sync(connector)
        assert differences(cache, box.truth(), "hubspot") == []
        before = cache.read
        cache.sync(connector)
        assert cache.read - before < 200  # what is new, and the lookback
        box.advance(timedelta(days=3))
        cache.sync(connector)
        connector.close()
        assert differences(cache, box.truth(), "hubspot") == []
        assert cache.rejects == []


@pytest.mark.slow
def test_a_read_broken_off_after_each_page_goes_on_from_its_bookmark(box: Sandbox) -> None:
    cache = MemoryCache()
    connector = hubspot(box, streams=["users", "contacts", "opportunities", "tickets"])
    for _ in range(6):
        cache.sync(connector, stop_after=2)  # as if killed: the rest of each stream is never asked for
    connector.close()
    truth = _truth(box)
    for table in ("contacts", "opportunities", "tickets"):
        assert set(cache.live(table)) == truth.tables["hubspot", table].live


@pytest.mark.parametrize("stream", ["opportunities", "orders", "invoices"])
def test_what_the_portal_makes_of_an_amount_in_its_own_currency_is_kept(box: Sandbox, stream: str) -> None:
    rows = _read(hubspot(box), stream).live(stream).values()
    amounts = [row for row in rows if row["amount_minor"] is not None]
    assert amounts
    assert {row["home_currency"] for row in amounts} == {"EUR"}
    for row in amounts:
        if row["currency"] == "EUR":
            assert round(row["home_amount"] * 100) == row["amount_minor"]
    assert all(row["home_currency"] is None for row in rows if row["home_amount"] is None)


def test_deals_know_their_company_and_their_salesforce_twin(box: Sandbox) -> None:
    rows = _read(hubspot(box), "opportunities").live("opportunities")
    assert any(row["account_id"] for row in rows.values())
    assert {len(row["sf_opportunity_id"]) for row in rows.values() if row["sf_opportunity_id"]} == {18}
    assert {row["state"] for row in rows.values()} == {"open", "won", "lost"}


def test_contacts_can_stand_for_leads(box: Sandbox) -> None:
    connector = hubspot(box, leads="contacts", converted={"stages": ["opportunity", "customer"]})
    rows = _read(connector, "leads").live("leads")
    assert set(rows) == _truth(box).tables["hubspot", "contacts"].live
    assert {row["status_category"] for row in rows.values()} >= {"open", "converted"}


def test_since_reads_again_from_that_day(box: Sandbox) -> None:
    connector, cache = hubspot(box, streams=["tickets"]), MemoryCache()
    cache.sync(connector)
    before = cache.read
    cache.sync(connector, since=date(2026, 11, 1))
    connector.close()
    expected = sum(row["updated_at"] >= "2026-11-01" for row in cache.live("tickets").values())
    assert cache.read - before >= expected > 0


def test_a_first_read_begins_at_the_start_whatever_since_says(box: Sandbox) -> None:
    connector, cache = hubspot(box, streams=["leads"]), MemoryCache()
    cache.sync(connector, since=date(2026, 11, 1))
    connector.close()
    assert set(cache.live("leads")) == _truth(box).tables["hubspot", "leads"].live


def test_own_fields_become_columns_or_custom(box: Sandbox) -> None:
    fields = {"opportunities": {"forecast": "hs_manual_forecast_category", "days": "days_to_close"}}
    rows = _read(hubspot(box, fields=fields), "opportunities").live("opportunities")
    assert all(set(row["custom"]) == {"forecast", "days"} for row in rows.values())
    assert any(isinstance(row["custom"]["days"], float) for row in rows.values())


def test_a_value_map_with_an_unknown_value_is_refused(box: Sandbox) -> None:
    with pytest.raises(SourceConfigError, match="paused"):
        hubspot(box, values={"tickets": {"status_category": {"Waiting": "paused"}}})


def test_a_refresh_token_fetches_access_tokens(box: Sandbox) -> None:
    connector = hubspot(
        box,
        access_token=None,
        client_id=hs_gate.CLIENT_ID,
        client_secret=hs_gate.CLIENT_SECRET,
        refresh_token=hs_gate.REFRESH_TOKEN,
    )
    box.faults.hubspot.hubspot_error(401, "EXPIRED_AUTHENTICATION", path=LIST)
    cache = _read(connector, "opportunities")
    assert set(cache.live("opportunities")) == _all_deals(box)
    assert connector.usage().logins == 2


def test_a_portal_without_dated_paths_is_read_by_the_numbered_ones(box: Sandbox) -> None:
    box.faults.hubspot.add("status", r"/2026-09", times=None, status=404, body=b"{}")
    connector = hubspot(box, streams=["users", "opportunities"])
    cache = MemoryCache()
    cache.sync(connector)
    warnings = connector.check().warnings
    connector.close()
    assert set(cache.live("opportunities")) == _all_deals(box)
    assert any("2026-09" in warning for warning in warnings)


# -- what breaks on the wire -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "html"},
        {"kind": "html", "status": 502},
        {"kind": "status", "status": 500, "body": b""},
        {"kind": "status", "status": 200, "body": b"{}"},
        {"kind": "status", "status": 200, "body": b'{"results": null}'},
        {"kind": "status", "status": 200, "body": b'{"results": [{"properties": {}}]}'},
        {"kind": "truncate"},
        {"kind": "cut"},
        {"kind": "reset"},
        {"kind": "drop"},
        {"kind": "hang", "seconds": 2.0},
        {"kind": "status", "status": 429, "body": b"{}", "headers": {"retry-after": "0"}},
    ],
    ids=lambda fault: f"{fault['kind']}-{fault.get('status', '')}-{len(fault.get('body', b''))}",
)
def test_a_passing_fault_costs_a_retry_and_nothing_else(box: Sandbox, fault: dict[str, Any]) -> None:
    box.faults.hubspot.add(**{**fault, "path": COMPANIES, "times": 2})
    connector = hubspot(box)
    cache = _read(connector, "accounts")
    assert connector.usage().retries == 2
    assert set(cache.live("accounts")) == _truth(box).tables["hubspot", "accounts"].live


def test_a_429_without_retry_after_waits_as_its_policy_says(box: Sandbox) -> None:
    body = b'{"status":"error","message":"You have reached your secondly limit.","category":"RATE_LIMITS"}'
    box.faults.hubspot.add("status", COMPANIES, status=429, body=body)
    connector = hubspot(box, limits={"per_10s": 4000, "search_per_s": 90})
    began = time.monotonic()
    _read(connector, "accounts")
    assert time.monotonic() - began >= 1.0
    assert connector.usage().throttled == 1


def test_a_daily_limit_stops_the_stream_at_once(box: Sandbox) -> None:
    body = b'{"status":"error","message":"You have reached your daily limit.","policyName":"DAILY"}'
    fault = box.faults.hubspot.add("status", LIST, times=None, status=429, body=body)
    connector = hubspot(box, limits={"per_10s": 3000, "search_per_s": 80})
    with pytest.raises(RateLimited) as caught:
        _read(connector, "opportunities")
    assert fault.hits == 1
    assert (caught.value.retry_after_s or 0) >= 600


@pytest.mark.parametrize(
    ("kind", "more"),
    [("html", {}), ("truncate", {}), ("reset", {}), ("status", {"status": 500}), ("hang", {"seconds": 2.0})],
)
def test_a_lasting_fault_ends_in_a_transient_error_and_keeps_the_bookmark(
    box: Sandbox, kind: str, more: dict[str, Any]
) -> None:
    connector, cache = hubspot(box, streams=["opportunities"], timeouts=Timeouts(1.0, 0.1, 2.0)), MemoryCache()
    cache.sync(connector, stop_after=2)
    kept = dict(cache.bookmarks)
    box.faults.hubspot.add(kind, LIST, times=None, **more)
    with pytest.raises(TransientError):
        cache.sync(connector)
    assert cache.bookmarks == kept
    box.faults.clear()
    cache.sync(connector)
    connector.close()
    assert set(cache.live("opportunities")) == _all_deals(box)


@pytest.mark.parametrize(
    ("status", "category", "error"),
    [
        (401, "INVALID_AUTHENTICATION", AuthError),
        (401, "EXPIRED_AUTHENTICATION", AuthError),  # a fixed token cannot be renewed
        (403, "MISSING_SCOPES", StreamError),
        (403, "BANNED", AuthError),
        (400, "VALIDATION_ERROR", StreamError),
        (530, "", AuthError),
    ],
)
def test_errors_are_told_by_their_category(
    box: Sandbox, status: int, category: str, error: type[ConnectorError]
) -> None:
    fault = box.faults.hubspot.hubspot_error(status, category, path=COMPANIES, times=None)
    with pytest.raises(error):
        _read(hubspot(box), "accounts")
    assert fault.hits == (2 if status == 530 else 1)  # the edge has bad moments: one more try


def test_a_missing_scope_is_named(box: Sandbox) -> None:
    body = b'{"category":"MISSING_SCOPES","errors":[{"context":{"requiredScopes":["crm.objects.deals.read"]}}]}'
    box.faults.hubspot.add("status", LIST, times=None, status=403, body=body)
    with pytest.raises(StreamError, match=r"crm\.objects\.deals\.read"):
        _read(hubspot(box), "opportunities")


def test_a_portal_without_surveys_has_just_none(box: Sandbox) -> None:
    box.faults.hubspot.hubspot_error(403, "MISSING_SCOPES", path=r"feedback_submissions", times=None)
    with pytest.raises(NotReadable, match="feedback_submissions cannot be read"):
        _read(hubspot(box), "survey_responses")
    with pytest.raises(StreamError, match="feedback_submissions cannot be read") as caught:  # asked for by name
        _read(hubspot(box, streams=["survey_responses"]), "survey_responses")
    assert not isinstance(caught.value, NotReadable)


def test_pages_that_lead_in_a_circle_are_noticed(box: Sandbox) -> None:
    body = b'{"results": [{"id": "1", "properties": {}}], "paging": {"next": {"after": "1"}}}'
    box.faults.hubspot.add("status", LIST, times=None, status=200, body=body)
    with pytest.raises(TransientError, match="circle"):
        _read(hubspot(box), "opportunities")


@pytest.mark.slow
def test_both_limits_are_kept_without_one_refusal(tmp_path: Path) -> None:
    """With the portal's real limits: a first load, changes and a second one, and not a single 429."""
    with Sandbox(tmp_path, as_of=AS_OF) as box:
        connector, cache = hubspot(box, limits={}), MemoryCache()
        cache.sync(connector)
        box.advance(timedelta(days=3))
        cache.sync(connector)
        used = connector.usage()
        connector.close()
        assert (used.throttled, box.hubspot.count_429) == (0, 0)
        assert differences(cache, box.truth(), "hubspot") == []


def test_no_column_is_unknown_to_the_tables() -> None:
    from connectors.hubspot import fields as data

    for kind in (*data.TYPES.values(), data.LEADS_FROM_CONTACTS):
        assert {field.column for field in kind.fields} <= set(COLUMNS[kind.table])

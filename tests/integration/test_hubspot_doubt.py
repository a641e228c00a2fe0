"""What HubSpot leaves out, hides or gets wrong for a while changes nothing that is stored."""

import copy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import Any

import pytest

from connectors.errors import TransientError
from connectors.hubspot.fields import LEADS_FROM_CONTACTS, TYPES
from syncagent.sandbox import Sandbox
from syncagent.sandbox.change import records as change_records
from tests.integration.crm_cache import MemoryCache, hubspot

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox"), as_of=AS_OF, limits=False, size="tiny") as box:
        yield box


@pytest.fixture
def box(sandbox: Sandbox) -> Sandbox:
    """A tiny company of its own for each test."""
    sandbox.reset(seed=11, as_of=AS_OF)
    return sandbox


def _sync(box: Sandbox, cache: MemoryCache, stream: str, *, full: bool = False, **more: Any) -> None:
    """One pass over one stream, our clock being right."""
    connector = hubspot(box, **more)
    try:
        found = connector.fetch_pages(stream, cache.bookmarks.get(stream), full=full, since=None, now=box.now)
        for page in found:
            cache.apply(stream, page)
    finally:
        connector.close()


# -- clocks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [2, 48, 24 * 365 * 500])
def test_a_date_header_of_the_future_hides_no_change(box: Sandbox, hours: int) -> None:
    cache = MemoryCache()
    _sync(box, cache, "contacts")
    box.pass_time(700)
    at = box.now + timedelta(hours=hours)
    box.faults.hubspot.mangle(
        lambda document: document, headers={"date": formatdate(at.timestamp(), usegmt=True)}, times=None
    )
    _sync(box, cache, "contacts")
    box.faults.clear()
    box.pass_time(60)
    contact = next(one for one in box.company.contacts if one.hs and one.deleted is None and not one.merged_into)
    box.apply(change_records.set_title, contact, "Boss Of All")
    box.pass_time(600)
    _sync(box, cache, "contacts")
    assert cache.rows["contacts"][contact.hs or ""]["job_title"] == "Boss Of All"


@pytest.mark.parametrize("stream", ["contacts", "email_events"])
def test_a_position_in_the_future_begins_again_before_now(box: Sandbox, stream: str) -> None:
    cache = MemoryCache()
    _sync(box, cache, stream)
    box.pass_time(300)
    ahead_ms = int((box.now + timedelta(days=3)).timestamp() * 1000)
    marks = cache.bookmarks[stream].get("objects", {stream: cache.bookmarks[stream]})
    marks[stream] |= {"ms": ahead_ms, "far_ms": ahead_ms, "done": True}
    _sync(box, cache, stream)
    after = cache.bookmarks[stream].get("objects", {stream: cache.bookmarks[stream]})[stream]
    now_ms = int(box.now.timestamp() * 1000)
    assert after["ms"] <= now_ms + 1
    assert after["far_ms"] <= now_ms - 3_600_000


def test_the_gap_a_wrong_position_left_is_read(box: Sandbox) -> None:
    cache = MemoryCache()
    _sync(box, cache, "contacts")
    ahead_ms = int((box.now + timedelta(days=3)).timestamp() * 1000)
    cache.bookmarks["contacts"]["objects"]["contacts"] |= {"ms": ahead_ms, "far_ms": ahead_ms}
    contact = next(one for one in box.company.contacts if one.hs and one.deleted is None and not one.merged_into)
    box.apply(change_records.set_title, contact, "Boss Of All")
    box.pass_time(3600)
    _sync(box, cache, "contacts")
    assert cache.rows["contacts"][contact.hs or ""]["job_title"] == "Boss Of All"


# -- what is not answered ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["first", "middle"])
def test_a_property_that_one_answer_lacks_keeps_its_values(box: Sandbox, place: str) -> None:
    cache = MemoryCache()
    box.hubspot.store.pad("contacts", 300)
    _sync(box, cache, "contacts")
    before = {key: dict(row) for key, row in cache.live("contacts").items()}

    def strip(document: Any) -> Any:
        for one in document["results"]:
            for name in ("firstname", "lastname", "email", "jobtitle", "hs_email_optout", "createdate"):
                del one["properties"][name]
        return document

    path = r"GET /crm/objects/[^/]*/contacts\?.*" + ("after=" if place == "middle" else "limit=100&")
    fault = box.faults.hubspot.mangle(strip, path, times=1)
    _sync(box, cache, "contacts", full=True)
    assert fault.hits == 1
    assert {key: dict(row) for key, row in cache.live("contacts").items()} == before


# -- links -------------------------------------------------------------------------------------------------------------

LINKS = r"POST /crm/associations/.*batch/read"


@pytest.mark.parametrize("is_counted_only", [False, True])
def test_a_failure_without_a_name_is_not_an_answer_about_links(box: Sandbox, is_counted_only: bool) -> None:
    def fail(document: Any) -> Any:
        errors = [] if is_counted_only else [{"status": "error", "message": "An internal problem"}]
        return document | {"results": [], "numErrors": 1, "errors": errors}

    fault = box.faults.hubspot.mangle(fail, LINKS, times=None, status=207)
    with pytest.raises(TransientError):
        _sync(box, MemoryCache(), "opportunities")
    assert fault.hits > 1


def test_what_hubspot_cannot_say_of_an_id_leaves_its_links_and_lines(box: Sandbox) -> None:
    cache = MemoryCache()
    for stream in ("opportunities", "activities"):
        _sync(box, cache, stream)
    before = {
        table: {key: dict(row) for key, row in cache.rows.get(table, {}).items()}
        for table in ("opportunities", "opportunity_lines", "activities", "activity_links")
    }

    def unsaid(document: Any) -> Any:
        ids = [one["from"]["id"] for one in document["results"]]
        error = {"status": "error", "category": "OBJECT_NOT_FOUND", "context": {"ids": ids}}
        given = document.get("errors") or []
        return document | {"results": [], "numErrors": len(given) + 1, "errors": [*given, error] if ids else given}

    def doubt(document: Any) -> Any:
        return unsaid(document) if document["results"] else document

    fault = box.faults.hubspot.mangle(doubt, LINKS, times=None, status=207)
    for stream in ("opportunities", "activities"):
        _sync(box, cache, stream, full=True)
    assert fault.hits > 2
    assert any(before["opportunity_lines"].values())
    for table, rows in before.items():
        assert {key: dict(row) for key, row in cache.rows.get(table, {}).items()} == rows, table


@pytest.mark.parametrize("reason", ["no such object", "links forbidden"])
def test_links_that_cannot_be_read_keep_theirs_and_silence_no_others(box: Sandbox, reason: str) -> None:
    cache = MemoryCache()
    _sync(box, cache, "activities")
    kinds = ("calls", "emails", "meetings", "tasks", "notes")
    activity = next(key for key, row in cache.live("activities").items() if row["type"] == "call")
    for table in ("contacts", "leads"):
        key = f"{activity}:{table}:1"
        link = {"source_id": key, "activity_id": activity, "object": table, "object_id": "1", "is_deleted": 0}
        cache.rows.setdefault("activity_links", {})[key] = link
    if reason == "no such object":
        box.hubspot.schema.disable("leads")
    else:
        for kind in kinds:
            box.hubspot.schema.forbid_links(kind, "leads")
    connector = hubspot(box, streams=["activities"])
    cache.reconcile(connector)
    connector.close()
    assert f"{activity}:leads:1" in cache.live("activity_links")
    assert f"{activity}:contacts:1" not in cache.live("activity_links")


# -- what is hidden ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "name", "leads"),
    [
        ("accounts", "companies", "leads"),
        ("contacts", "contacts", "leads"),
        ("leads", "leads", "leads"),
        ("leads", "contacts", "contacts"),
        ("opportunities", "deals", "leads"),
        ("tickets", "tickets", "leads"),
        ("activities", "calls", "leads"),
        ("activities", "emails", "leads"),
        ("activities", "meetings", "leads"),
        ("activities", "tasks", "leads"),
        ("survey_responses", "feedback_submissions", "leads"),
        ("orders", "orders", "leads"),
        ("invoices", "invoices", "leads"),
        ("payments", "commerce_payments", "leads"),
    ],
)
def test_a_hidden_property_changes_no_value_that_is_stored(box: Sandbox, stream: str, name: str, leads: str) -> None:
    kind = LEADS_FROM_CONTACTS if leads == "contacts" else TYPES[name]
    cache = MemoryCache()
    _sync(box, cache, stream, leads=leads)
    before = copy.deepcopy(cache.rows)
    names = dict.fromkeys((*(one.theirs for one in kind.fields), *kind.extra, *filter(None, [kind.currency])))
    hidden = [one for one in names if one in box.hubspot.schema.types[name] and one != kind.cursor]
    assert hidden
    for one in hidden:
        box.hubspot.schema.hide(name, one)
        _sync(box, cache, stream, full=True, leads=leads)
        box.hubspot.schema.show(name, one)
        assert cache.rows == before, one


def test_lines_without_a_currency_of_their_own_have_their_deal_s(box: Sandbox) -> None:
    cache = MemoryCache()
    _sync(box, cache, "opportunities")
    deals = cache.live("opportunities")
    assert {deals[row["opportunity_id"]]["currency"] for row in cache.live("opportunity_lines").values()} - {"EUR"}
    before = copy.deepcopy(cache.rows)
    box.hubspot.schema.hide("line_items", "hs_line_item_currency_code")
    fresh = MemoryCache()
    _sync(box, fresh, "opportunities")
    assert fresh.rows == before
    box.hubspot.schema.hide("deals", "deal_currency_code")
    _sync(box, cache, "opportunities", full=True)
    assert cache.rows == before


def test_in_a_portal_with_one_currency_all_amounts_are_in_it(box: Sandbox) -> None:
    box.faults.hubspot.mangle(lambda one: one | {"additionalCurrencies": []}, path="/account-info", times=None)
    box.hubspot.schema.hide("deals", "deal_currency_code")
    cache = MemoryCache()
    _sync(box, cache, "opportunities")
    assert {row["currency"] for row in cache.live("opportunities").values()} == {"EUR"}


@pytest.mark.parametrize("kind", ["stage", "pipeline"])
def test_a_stage_or_pipeline_that_is_removed_changes_no_history(box: Sandbox, kind: str) -> None:
    cache = MemoryCache()
    for stream in ("opportunities", "tickets"):
        _sync(box, cache, stream)
    before = copy.deepcopy({table: rows for table, rows in cache.rows.items() if table != "stage_defs"})
    assert {row["state"] for row in cache.rows["opportunity_stage_history"].values()} > {"open"}
    if kind == "stage":
        for object_type, table in (("deals", "opportunity_stage_history"), ("tickets", "ticket_status_history")):
            column = "stage" if object_type == "deals" else "status"
            for stage in {row[column] for row in cache.rows[table].values()}:
                box.hubspot.schema.remove_stage(object_type, stage)
    else:
        for object_type in ("deals", "tickets"):
            for pipeline in box.hubspot.schema.pipelines(object_type):
                box.hubspot.schema.delete_pipeline(object_type, str(pipeline["id"]))
    for stream in ("opportunities", "tickets"):
        _sync(box, cache, stream, full=True)
    assert {table: rows for table, rows in cache.rows.items() if table != "stage_defs"} == before


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Daily", "Daily-Remaining", "Max", "Remaining", "Interval-Milliseconds"])
def test_a_limit_that_is_no_number_is_not_believed(box: Sandbox, name: str) -> None:
    headers = {f"x-hubspot-ratelimit-{name}": "\u00b2"}
    fault = box.faults.hubspot.mangle(lambda one: one, path="/owners", headers=headers, times=None)
    cache = MemoryCache()
    _sync(box, cache, "users")
    assert fault.hits
    assert cache.rows["users"]


@pytest.mark.parametrize(
    ("path", "slowed"), [(r"GET /crm/objects/[^/]*/contacts", "call"), (r"POST /crm/objects/.*/search", "search")]
)
def test_a_limit_by_the_second_slows_what_was_sent(box: Sandbox, path: str, slowed: str) -> None:
    fault = box.faults.hubspot.too_many(policy="SECONDLY", path=path)
    connector = hubspot(box)
    list(connector.fetch_pages("contacts", None, full=False, since=None, now=box.now))
    windows = connector._client._limiter.kinds
    connector.close()
    assert fault.hits == 1
    assert [kind for kind, (window,) in windows.items() if window._extra_s > 0] == [slowed]

"""Each limit and each version of a path that the settings name is seen in the calls that arrive."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from typing import Any

import pytest

from connectors import parse
from connectors.base import Connector
from connectors.errors import AuthError, ConnectorError, RateLimited, TransientError
from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.connector import HubSpotConnector
from connectors.hubspot.errors import NotThere
from connectors.hubspot.login import account_of
from connectors.limiter import forget
from connectors.salesforce.connector import SalesforceConnector
from syncagent.sandbox import Sandbox
from syncagent.sandbox.hubspot import gate as hs_gate
from syncagent.sandbox.salesforce import server as sandbox_salesforce
from tests.fakes import one_box
from tests.fakes.tap import Call, Tap
from tests.integration import crm_cache

FREE: dict[str, Any] = {"per_10s": 5_000, "search_per_s": 100}
OAUTH: dict[str, Any] = {
    "access_token": None,
    "client_id": hs_gate.CLIENT_ID,
    "client_secret": hs_gate.CLIENT_SECRET,
    "refresh_token": hs_gate.REFRESH_TOKEN,
}
PASSWORD: dict[str, Any] = {
    "auth": "password",
    "client_id": None,
    "client_secret": None,
    "username": sandbox_salesforce.USERNAME,
    "password": sandbox_salesforce.PASSWORD,
    "security_token": sandbox_salesforce.SECURITY_TOKEN,
}


@pytest.fixture(scope="module", autouse=True)
def _servers() -> Iterator[None]:
    yield
    one_box.stop()


@pytest.fixture
def box() -> Sandbox:
    return one_box.fresh_box(5)


def _make(box: Sandbox, crm: str, limits: dict[str, Any], **more: Any) -> Any:
    if crm == "hubspot":
        return crm_cache.hubspot(box, limits=FREE | limits, **more)
    return crm_cache.salesforce(box, limits=limits, **more)


def _read(connector: Connector, stream: str, *, bookmark: Any = None) -> Any:
    """A stream read from the bookmark on; the bookmark after it."""
    for page in connector.fetch_pages(stream, bookmark, full=False, since=None, now=crm_cache.NOW):
        bookmark = page.bookmark or bookmark
    return bookmark


def _asked(calls: list[Call], name: str) -> set[int]:
    return {int(call.query[name]) for call in calls if name in call.query} - {1}  # 1: whether there is any


# -- how much one call may ask for -------------------------------------------------------------------------------------


def test_hubspot_s_calls_ask_for_as_much_as_is_set_and_no_more(box: Sandbox) -> None:
    limits = {"search_page": 10, "list_page": 9, "batch": 7, "batch_with_history": 4, "links_batch": 6, "mail_page": 11}
    with Tap(box.hubspot_url) as tap, closing(_make(box, "hubspot", limits, base_url=tap.url)) as connector:
        for stream in ("users", "email_events", "fx_rates", "contacts"):
            _read(connector, stream)
        _read(connector, "opportunities", bookmark=_read(connector, "opportunities"))
        for stream, name in (("contacts", "contacts"), ("opportunities", "deals")):
            ids = [record.id for record in box.hubspot.store.ordered(name, False)][:20]
            assert sum(page.read for page in connector.read_ids(stream, ids, now=crm_cache.NOW)) == len(ids)
    batches = [call.json for call in tap.of("/batch/read") if "/objects/" in call.path]
    links = [len(call.json["inputs"]) for call in tap.of("/batch/read") if "/associations/" in call.path]
    lists = [call for call in tap.calls if call.method == "GET" and "/crm/objects/" in call.path]
    assert {call.json["limit"] for call in tap.of("/search")} == {1, 10}
    assert max(len(one["inputs"]) for one in batches if not one.get("propertiesWithHistory")) == 7
    assert max(len(one["inputs"]) for one in batches if one.get("propertiesWithHistory")) == 4
    assert max(links) == 6
    assert _asked([call for call in lists if "propertiesWithHistory" in call.query], "limit") == {4}
    assert _asked([call for call in lists if "propertiesWithHistory" not in call.query], "limit") == {9}
    assert _asked(tap.of("/owners/"), "limit") == _asked(tap.of("/exchange-rates"), "limit") == {9}
    assert _asked(tap.of("/email/public/"), "limit") == {11}


@pytest.mark.parametrize(
    ("limits", "raised"),
    [
        ({"search_page": 500, "batch": 80}, "limits.search_page to 500 (200 is documented): take it back."),
        (
            {"list_page": 500, "links_batch": 5000},
            "limits.list_page to 500 (100 is documented), limits.links_batch to 5000 (1000 is documented):"
            " take them back.",
        ),
    ],
)
def test_a_call_refused_for_what_the_settings_raised_says_so(box: Sandbox, limits: dict[str, Any], raised: str) -> None:
    """HubSpot's own words name no setting of ours."""
    mark = None
    if "search_page" in limits:
        with closing(_make(box, "hubspot", {})) as connector:
            mark = _read(connector, "contacts")
    with closing(_make(box, "hubspot", limits)) as connector, pytest.raises(ConnectorError) as caught:
        _read(connector, "contacts", bookmark=mark)
    assert str(caught.value).endswith(f" (HTTP 400, VALIDATION_ERROR). The settings raise {raised}")


def test_a_call_refused_under_the_usual_limits_blames_none(box: Sandbox) -> None:
    box.faults.hubspot.add("status", "/contacts", status=400, times=None, body=b'{"category":"VALIDATION_ERROR"}')
    with closing(_make(box, "hubspot", {"batch": 80})) as connector, pytest.raises(ConnectorError) as caught:
        _read(connector, "contacts")
    assert caught.value.mend == ""


@pytest.mark.parametrize(("limits", "are_there"), [({}, True), ({"address": 200}, False)])
def test_properties_that_hubspot_s_address_cannot_hold_are_not_put_there(
    box: Sandbox, limits: dict[str, Any], are_there: bool
) -> None:
    with Tap(box.hubspot_url) as tap, closing(_make(box, "hubspot", limits, base_url=tap.url)) as connector:
        _read(connector, "contacts")
    lists = [call.query["properties"] for call in tap.of("/contacts") if call.query.get("archived") == "false"]
    assert lists
    assert all((len(names) > 200) is are_there for names in lists)


def test_salesforce_s_pages_are_as_large_as_is_set(box: Sandbox) -> None:
    limits = {"page": 250}
    with Tap(box.salesforce_url) as tap, closing(_make(box, "salesforce", limits, base_url=tap.url)) as connector:
        _read(connector, "accounts")
    assert {call.headers["sforce-query-options"] for call in tap.of("/queryAll")} == {"batchSize=250"}


@pytest.mark.parametrize(("limits", "least", "most"), [({}, 8_000, 16_384), ({"address": 6_000}, 3_000, 6_000)])
def test_salesforce_s_addresses_are_as_long_as_is_set(
    box: Sandbox, limits: dict[str, Any], least: int, most: int
) -> None:
    names = box.salesforce.schema.add_many("Account", 400)
    wide = {"fields": {"accounts": {f"w{place}": name for place, name in enumerate(names)}}, "values": {}}
    with Tap(box.salesforce_url) as tap:
        with closing(_make(box, "salesforce", limits, base_url=tap.url, **wide)) as connector:
            _read(connector, "accounts")
        assert least < max(call.size for call in tap.of("/queryAll")) <= most


# -- how many calls, and when ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 3])
def test_no_more_of_hubspot_s_calls_run_at_once_than_is_set(box: Sandbox, at_once: int) -> None:
    box.hubspot.latency, box.hubspot.most_in_flight = (0.002, 0.004), 0
    streams = ("contacts", "accounts", "opportunities", "tickets", "orders")
    with closing(_make(box, "hubspot", {"at_once": at_once})) as connector, ThreadPoolExecutor(5) as threads:
        list(threads.map(lambda stream: _read(connector, stream), streams))
    assert box.hubspot.most_in_flight == at_once


def test_searches_that_wait_for_their_limit_hold_up_no_other_call(box: Sandbox) -> None:
    """Four searchers, two lanes, and one search a second."""
    settings = crm_cache.hubspot_settings(box, limits={"per_10s": 5000, "search_per_s": 1, "at_once": 2})
    forget(account_of(settings))
    client = HubSpotClient(settings, retry=crm_cache.quick_retry())
    over = threading.Event()

    def search() -> None:
        with suppress(TransientError):  # ended while it waits
            while not over.is_set():
                client.search("contacts", {"limit": 1})

    with closing(client), ThreadPoolExecutor(4) as threads:
        jobs = [threads.submit(search) for _ in range(4)]
        time.sleep(0.2)
        began = time.monotonic()
        for _ in range(40):
            client.get("account", "/details")
        took_s = time.monotonic() - began
        over.set()
        client.interrupt()
        for job in jobs:
            job.result()
    assert took_s < 4.0


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "limits"), [
    ("call", {"per_10s": 4, "window": "1s"}),
    ("search", {"search_per_s": 4, "search_window": "1s"}),
    ("search", {"search_per_s": 8, "search_window": "2s"}),
])  # fmt: skip
def test_hubspot_s_windows_are_as_long_as_is_set(box: Sandbox, kind: str, limits: dict[str, Any]) -> None:
    settings = crm_cache.hubspot_settings(box, limits=FREE | limits)
    forget(account_of(settings))
    client = HubSpotClient(settings, retry=crm_cache.quick_retry())
    began = time.monotonic()
    with closing(client):
        for _ in range(10):
            if kind == "search":
                client.search("contacts", {"limit": 1})
            else:
                client.get("account", "/details")
    # The tenth is in the third second of four calls each, or in the second stretch of eight.
    assert 1.4 < time.monotonic() - began < 6.0


@pytest.mark.parametrize("crm", ["hubspot", "salesforce"])
def test_what_stays_of_the_day_for_others_is_as_much_as_is_set(box: Sandbox, crm: str) -> None:
    box.hubspot.daily_limit = box.salesforce.limits.daily_limit = 1_000
    box.hubspot.daily_used = box.salesforce.limits.foreign = 600
    with closing(_make(box, crm, {"daily_share": 1, "daily_reserve": 0.2})) as connector:
        connector.check()
    with (
        closing(_make(box, crm, {"daily_share": 1, "daily_reserve": 0.5})) as connector,
        pytest.raises(RateLimited, match="nearly used up"),
    ):
        connector.check()  # the first answer tells


def test_hubspot_is_asked_for_no_more_tokens_than_is_set(box: Sandbox) -> None:
    box.faults.hubspot.unauthorized("object", path="/crm/|/account", times=None)
    limits = {"logins": 1, "login_window": "1h"}
    for number in range(3):
        made = _make(box, "hubspot", limits, same_login=number > 0, **OAUTH)
        with closing(made) as connector, pytest.raises(AuthError, match="once within 1 hour"):
            connector.check()
    assert box.hubspot.refreshes == 1


def test_salesforce_is_not_tried_more_often_than_is_set(box: Sandbox) -> None:
    before = box.salesforce.login.refused
    limits = {"logins": 2, "login_window": "2h"}
    for number in range(4):
        made = _make(box, "salesforce", limits, same_login=number > 0, client_secret="wrong")
        why = "2 times within 2 hours" if number >= 2 else "refused the login"
        with closing(made) as connector, pytest.raises(AuthError, match=why):
            connector.check()
    assert box.salesforce.login.refused - before == 2


# -- what shows late ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limits", "back"), [
    ({}, (600, 3660)), ({"lookback": "2m"}, (120, 3660)), ({"lookback": "1m", "lag": "30m"}, (60, 1800)),
])  # fmt: skip
def test_hubspot_is_searched_as_far_back_as_is_set(box: Sandbox, limits: dict[str, Any], back: tuple[int, int]) -> None:
    """Again a minute later: from the overlap on, and once more what is as old as the lag by now."""
    with closing(_make(box, "hubspot", limits)) as connector:
        bookmark = _read(connector, "orders")
    box.pass_time(60)
    with Tap(box.hubspot_url) as tap, closing(_make(box, "hubspot", limits, base_url=tap.url)) as connector:
        _read(connector, "orders", bookmark=bookmark)
    filters = [one for call in tap.of("/orders/search") for one in call.json["filterGroups"][0]["filters"]]
    begins = [int(one["value"]) for one in filters if one["operator"] == "GTE"]
    read_ms = bookmark["objects"]["orders"]["ms"]
    assert {round((read_ms - begin) / 1000) for begin in begins} == set(back)


@pytest.mark.parametrize(("limits", "back"), [
    ({}, (300, 3660)), ({"lookback": "2m"}, (120, 3660)), ({"lookback": "1m", "lag": "30m"}, (60, 1800)),
])  # fmt: skip
def test_salesforce_s_position_rests_as_far_back_as_is_set(
    box: Sandbox, limits: dict[str, Any], back: tuple[int, int]
) -> None:
    with closing(_make(box, "salesforce", limits)) as connector:
        mark = _read(connector, "orders")["feeds"]["Order"]
    rests = tuple(round((box.now - parse.to_datetime(mark[key])).total_seconds()) for key in ("at", "far"))
    assert rests == back


# -- versions of paths -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["2026-09", "v1"])
def test_hubspot_s_tokens_come_from_the_version_that_is_set(box: Sandbox, version: str) -> None:
    more = {"oauth_version": version, **OAUTH}
    with Tap(box.hubspot_url) as tap, closing(_make(box, "hubspot", {}, base_url=tap.url, **more)) as connector:
        connector.check()
    assert [call.path for call in tap.of("/oauth/")] == [f"/oauth/{version}/token"]


@pytest.mark.parametrize(("family", "path"), [
    ("objects", "/contacts"), ("associations", "/contacts/deals"), ("properties", "/contacts"), ("owners", ""),
    ("pipelines", "/deals"), ("account", "/details"), ("currencies", "/exchange-rates"),
    ("calling", "/dispositions"), ("mail", "/events"),
])  # fmt: skip
def test_each_of_hubspot_s_numbered_paths_is_of_the_version_that_is_set(box: Sandbox, family: str, path: str) -> None:
    with Tap(box.hubspot_url) as tap:
        settings = crm_cache.hubspot_settings(box, base_url=tap.url, api_path="v3", numbered={family: "v9"})
        client = HubSpotClient(settings, retry=crm_cache.quick_retry())
        with closing(client), suppress(NotThere):  # there is no such version yet
            client.get(family, path)
    assert ["v9" in call.path.split("/") for call in tap.calls] == [True]


def test_a_version_without_a_known_end_has_none(box: Sandbox) -> None:
    with closing(crm_cache.hubspot(box, numbered={"mail": "v5"})) as connector:
        ends = {one.what for one in connector.check().sunsets}
    assert not [what for what in ends if "mail events" in what]
    assert "HubSpot call dispositions v1" in ends


@pytest.mark.parametrize("version", ["62.0", "64.0"])
def test_salesforce_s_password_login_is_of_the_version_that_is_set(box: Sandbox, version: str) -> None:
    more = {"soap_version": version, **PASSWORD}
    with Tap(box.salesforce_url) as tap, closing(_make(box, "salesforce", {}, base_url=tap.url, **more)) as connector:
        connector.check()
    assert [call.path for call in tap.of("/Soap/")] == [f"/services/Soap/u/{version}"]


# -- two sources of one account ----------------------------------------------------------------------------------------


@pytest.fixture
def build(box: Sandbox) -> Iterator[Callable[..., Any]]:
    """Makes a source of its own name beside the others of its account."""
    crm_cache.hubspot(box, **OAUTH).close()  # the account is new
    crm_cache.salesforce(box).close()
    with ExitStack() as opened:

        def build(kind: Any, name: str, settings: Any) -> Any:
            given: dict[str, Any] = {"currency": "EUR", "timezone": "UTC", "columns": crm_cache.COLUMNS}
            connector = kind(name, settings, retry=crm_cache.quick_retry(), **given)
            opened.callback(connector.close)
            return connector

        yield build


def test_two_sources_of_a_portal_keep_to_the_strictest_of_each_limit(box: Sandbox, build: Callable[..., Any]) -> None:
    strict = {"at_once": 2, "logins": 1, "daily_reserve": 0.9}
    loose = build(HubSpotConnector, "loose", crm_cache.hubspot_settings(box, limits=FREE, **OAUTH))
    build(HubSpotConnector, "strict", crm_cache.hubspot_settings(box, same_login=True, limits=FREE | strict, **OAUTH))
    box.hubspot.latency, box.hubspot.most_in_flight = (0.002, 0.004), 0
    loose.check()
    together = threading.Barrier(6)

    def read(_: int) -> None:
        together.wait(5)
        _read(loose, "contacts")

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(read, range(6)))
    assert box.hubspot.most_in_flight == 2
    box.hubspot.expire_tokens()
    with pytest.raises(AuthError, match="once within 15 minutes"):
        loose.check()


def test_two_sources_of_an_org_share_the_count_of_vain_logins(box: Sandbox, build: Callable[..., Any]) -> None:
    wrong: dict[str, Any] = {"client_secret": "wrong", "same_login": True}
    crm_cache.salesforce_settings(box, client_secret="wrong")
    loose = build(SalesforceConnector, "loose", crm_cache.salesforce_settings(box, limits={"logins": 9}, **wrong))
    strict = build(SalesforceConnector, "strict", crm_cache.salesforce_settings(box, limits={"logins": 2}, **wrong))
    before = box.salesforce.login.refused
    for connector in (loose, strict, loose, strict):
        with pytest.raises(AuthError):
            connector.check()
    assert box.salesforce.login.refused - before == 2


@pytest.mark.parametrize("crm", ["hubspot", "salesforce"])
def test_a_source_that_is_closed_limits_nobody_s_logins(box: Sandbox, build: Callable[..., Any], crm: str) -> None:
    def source(name: str, logins: int) -> Any:
        more: dict[str, Any] = {"same_login": True, "limits": {"logins": logins}}
        if crm == "hubspot":
            return build(HubSpotConnector, name, crm_cache.hubspot_settings(box, **OAUTH | wrong | more))
        return build(SalesforceConnector, name, crm_cache.salesforce_settings(box, **wrong | more))

    wrong: dict[str, Any] = {"client_secret": "wrong"}
    crm_cache.hubspot_settings(box, **OAUTH | wrong)
    crm_cache.salesforce_settings(box, **wrong)
    strict, loose = source("strict", 1), source("loose", 3)
    for connector in (strict, loose):
        with pytest.raises(AuthError):
            connector.check()
    with pytest.raises(AuthError, match="once within"):
        loose.check()
    strict.close()
    for why in ("^(?!Logins)", "^(?!Logins)", "3 times within"):
        with pytest.raises(AuthError, match=why):
            loose.check()

"""Sources of one account share its limits, whatever each of them is set to: the strictest counts."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from connectors.base import Connector
from connectors.errors import RateLimited
from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.connector import HubSpotConnector
from connectors.salesforce.connector import SalesforceConnector
from syncagent.sandbox import Sandbox
from syncagent.sandbox.hubspot import gate as hs_gate
from tests.fakes import one_box
from tests.integration import crm_cache

MOST_A_DAY = 1000
OAUTH: dict[str, Any] = {
    "access_token": None,
    "client_id": hs_gate.CLIENT_ID,
    "client_secret": hs_gate.CLIENT_SECRET,
    "refresh_token": hs_gate.REFRESH_TOKEN,
}
FEW, MANY = {"daily_share": 0.012}, {"daily_share": 0.9}  # a check takes more calls than the few


@pytest.fixture(scope="module", autouse=True)
def _servers() -> Iterator[None]:
    yield
    one_box.stop()


@pytest.fixture
def box() -> Sandbox:
    box = one_box.fresh_box(5)
    box.salesforce.limits.daily_limit = box.hubspot.daily_limit = MOST_A_DAY
    return box


@pytest.fixture
def build(box: Sandbox) -> Iterator[Callable[..., Connector]]:
    """Makes a source by the name of its CRM, its own name and settings that differ."""
    crm_cache.salesforce(box).close()  # the accounts are new
    crm_cache.hubspot(box).close()
    with ExitStack() as opened:

        def build(crm: str, name: str, **more: Any) -> Connector:
            given: dict[str, Any] = {"currency": "EUR", "timezone": "UTC", "columns": crm_cache.COLUMNS}
            connector: Connector
            if crm == "hubspot":
                connector = HubSpotConnector(name, crm_cache.hubspot_settings(box, **more), **given)
            else:
                connector = SalesforceConnector(name, crm_cache.salesforce_settings(box, **more), **given)
            opened.callback(connector.close)
            return connector

        yield build


@pytest.mark.parametrize("crm", ["hubspot", "salesforce"])
def test_the_strictest_of_several_shares_of_an_account_counts(build: Callable[..., Connector], crm: str) -> None:
    loose = build(crm, "loose", limits=MANY)
    build(crm, "strict", limits=FEW)
    with pytest.raises(RateLimited, match="Our share"):
        loose.check()


@pytest.mark.parametrize("crm", ["hubspot", "salesforce"])
def test_a_share_that_is_raised_holds_at_once(build: Callable[..., Connector], crm: str) -> None:
    build(crm, "one", limits=FEW)
    mended = build(crm, "one", limits=MANY)
    mended.check()
    mended.check()


def test_two_apps_of_a_portal_share_its_day(build: Callable[..., Connector]) -> None:
    loose = build("hubspot", "loose", limits=MANY)
    loose.check()
    strict = build("hubspot", "strict", same_login=True, limits=FEW, **OAUTH)
    with suppress(RateLimited):
        strict.check()
    for connector in (strict, loose):
        with pytest.raises(RateLimited, match="Our share"):
            connector.check()
    strict.close()
    loose.check()


def test_two_apps_of_a_portal_share_its_searches_alone(build: Callable[..., Connector]) -> None:
    """Six of each at four a second take more than two seconds; calls are counted by app."""
    limits = {"limits": {"search_per_s": 4, "per_10s": 100}}
    apps = [build("hubspot", "one", **limits), build("hubspot", "other", **limits, **OAUTH)]
    clients: list[HubSpotClient] = [getattr(app, "_client") for app in apps]  # noqa: B009
    for app in apps:
        app.check()

    def search(client: HubSpotClient) -> None:
        for _ in range(6):
            client.search("contacts", {"limit": 1})

    began = time.monotonic()
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(search, clients))
    assert time.monotonic() - began > 1.9
    assert [client.usage().throttled for client in clients] == [0, 0]
    windows = [client._limiter.kinds for client in clients]
    assert windows[0]["search"] == windows[1]["search"]
    assert windows[0]["call"] != windows[1]["call"]


@pytest.mark.parametrize("crm", ["hubspot", "salesforce"])
def test_a_source_that_is_closed_holds_nobody_to_its_limits(build: Callable[..., Connector], crm: str) -> None:
    """One that was renamed, as far as anybody knows."""
    strict = build(crm, "strict", limits=FEW)
    with suppress(RateLimited):
        strict.check()
    with pytest.raises(RateLimited, match="Our share"):
        strict.check()
    strict.close()
    renamed = build(crm, "renamed", limits=MANY)
    renamed.check()


def test_two_apps_of_an_org_share_its_limits(build: Callable[..., Connector]) -> None:
    loose = build("salesforce", "loose", limits=MANY)
    build("salesforce", "strict", limits=FEW, client_id="another")
    with pytest.raises(RateLimited, match="Our share"):
        loose.check()


@pytest.mark.parametrize("crm", ["hubspot", "salesforce"])
@pytest.mark.parametrize("order", [("big", "small"), ("small", "big")])
def test_what_every_source_of_an_account_called_before_a_restart_counts(
    build: Callable[..., Connector], crm: str, order: tuple[str, str]
) -> None:
    """Whichever of them is read first by the new process."""
    spent = {"big": [(3600.0, 480)], "small": [(3600.0, 5)]}
    made = [build(crm, name, limits={"daily_share": 0.3}) for name in order]
    for connector in made:
        connector.remember_calls(spent[connector.name])
    with suppress(RateLimited):
        made[0].check()  # the first answer tells how many there are a day
    for connector in made:
        with pytest.raises(RateLimited, match="Our share"):
            connector.check()

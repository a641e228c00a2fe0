"""Sources of one account share its limits, whatever each of them is set to: the strictest counts."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from connectors.base import Connector
from connectors.errors import RateLimited
from connectors.hubspot.connector import HubSpotConnector
from connectors.salesforce.connector import SalesforceConnector
from syncagent.sandbox import Sandbox
from tests.fakes import one_box
from tests.integration import crm_cache

MOST_A_DAY = 1000
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

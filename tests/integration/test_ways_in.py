"""Each way to log in, from the login to the last row: what comes through it is what the CRM holds."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from connectors.base import Connector
from syncagent import reconcile
from syncagent.sandbox import Sandbox
from syncagent.sandbox.hubspot import gate as hs_gate
from syncagent.sandbox.salesforce import server as sandbox_salesforce
from syncagent.store import open_cache
from syncagent.sync import sync_source
from tests.fakes import one_box
from tests.fakes.truth_check import differences
from tests.integration import crm_cache

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _stopped() -> Any:
    yield
    one_box.stop()


def _jwt(box: Sandbox, folder: Any) -> Connector:
    box.write_config(folder / "config.toml")
    key = folder / "secrets" / "sf_private_key.pem"
    more: dict[str, Any] = {"username": sandbox_salesforce.USERNAME, "private_key_file": str(key)}
    return crm_cache.salesforce(box, auth="jwt", client_secret=None, **more)


def _session(box: Sandbox, folder: Any) -> Connector:
    first = crm_cache.salesforce(box)
    with closing(first):
        first.check()
        more: dict[str, Any] = {"session_id": first._client._token}
    return crm_cache.salesforce(box, auth="session", client_id=None, client_secret=None, **more)


def _password(box: Sandbox, folder: Any) -> Connector:
    more: dict[str, Any] = {
        "username": sandbox_salesforce.USERNAME,
        "password": sandbox_salesforce.PASSWORD,
        "security_token": sandbox_salesforce.SECURITY_TOKEN,
    }
    return crm_cache.salesforce(box, auth="password", client_id=None, client_secret=None, **more)


def _refreshed(box: Sandbox, folder: Any) -> Connector:
    more: dict[str, Any] = {
        "access_token": None,
        "client_id": hs_gate.CLIENT_ID,
        "client_secret": hs_gate.CLIENT_SECRET,
        "refresh_token": hs_gate.REFRESH_TOKEN,
    }
    return crm_cache.hubspot(box, **more)


@pytest.mark.parametrize(
    ("crm", "name", "way"),
    [
        ("salesforce", "sf", _jwt),
        ("salesforce", "sf", _session),
        ("salesforce", "sf", _password),
        ("hubspot", "hs", _refreshed),
    ],
)
def test_what_is_read_by_each_way_in_is_the_truth(
    crm: str, name: str, way: Callable[[Sandbox, Any], Connector], tmp_path: Any
) -> None:
    """A first load and a comparison; a token that can be renewed ends in the middle of both."""
    box = one_box.fresh_box(3)
    with closing(open_cache(one_box.fresh_cache(tmp_path))) as cache, closing(way(box, tmp_path)) as connector:
        for due in (reconcile.always, reconcile.always):
            if way in (_jwt, _refreshed):
                getattr(box.faults, crm).unauthorized("object", r"/query|/objects/", after=5)
            reports = sync_source(connector, cache, clock=lambda: box.now, due=due)
            assert [report.error for report in reports if report.error] == []
        assert differences(cache, box.truth(strict=True), name, crm) == []

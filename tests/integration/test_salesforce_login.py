"""The ways into Salesforce against the bundled server: what each sends, what refusals say, how often it tries."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.errors import AuthError, TransientError
from connectors.salesforce.connector import SalesforceConnector
from syncagent.sandbox import Sandbox
from syncagent.sandbox.salesforce import server as sandbox_salesforce
from tests.integration.crm_cache import NOW, salesforce, salesforce_settings

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)
SOAP = "POST /services/Soap/u/64.0"
TOKEN = "POST /services/oauth2/token"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox"), as_of=AS_OF, limits=False, size="tiny") as box:
        yield box


@pytest.fixture
def box(sandbox: Sandbox) -> Iterator[Sandbox]:
    def calm() -> None:
        login = sandbox.salesforce.login
        sandbox.faults.clear()
        sandbox.salesforce.calls.clear()
        login.soap_enabled, login.trusted_network, login.fresh_sessions_die = True, False, False
        sandbox.salesforce.move_instance(sandbox_salesforce.INSTANCE_URL)

    calm()
    yield sandbox
    calm()


def _by_password(box: Sandbox, **more: Any) -> Any:
    given = {
        "auth": "password",
        "client_id": None,
        "client_secret": None,
        "username": sandbox_salesforce.USERNAME,
        "password": sandbox_salesforce.PASSWORD,
        "security_token": sandbox_salesforce.SECURITY_TOKEN,
    }
    return salesforce(box, **{**given, **more})


def test_a_password_login_works_and_says_that_it_ends(box: Sandbox) -> None:
    connector = _by_password(box)
    identity = connector.check()
    pages = list(connector.fetch_pages("accounts", None, full=False, since=None, now=NOW))
    connector.close()
    assert identity.account == sandbox_salesforce.USERNAME
    assert any("2027-06-01" in warning for warning in identity.warnings)
    assert {sunset.what: sunset.ends_on for sunset in identity.sunsets}["Salesforce SOAP login"] == date(2027, 6, 1)
    assert pages[0].records["accounts"]
    assert box.salesforce.calls[SOAP] == 1  # of version 64, whatever version the data is read by


def test_refused_password_logins_are_counted(box: Sandbox) -> None:
    connector = _by_password(box, password="wrong")
    for _ in range(5):
        with pytest.raises(AuthError):
            connector.check()
    connector.close()
    assert box.salesforce.calls[SOAP] == 3


def test_a_trusted_network_needs_no_security_token(box: Sandbox) -> None:
    box.salesforce.login.trusted_network = True
    connector = _by_password(box, security_token=None)
    assert connector.check().instance
    connector.close()


@pytest.mark.parametrize(
    ("change", "code", "mend"),
    [
        ({"password": "wrong"}, "INVALID_LOGIN", "Check username"),
        ({"security_token": None}, "security token is missing", "Set security_token"),
        ({}, "SOAP login is disabled", "client_credentials"),
    ],
)
def test_a_refused_password_login_says_why(box: Sandbox, change: dict[str, Any], code: str, mend: str) -> None:
    box.salesforce.login.soap_enabled = bool(change)
    connector = _by_password(box, **change)
    with pytest.raises(AuthError) as caught:
        connector.check()
    connector.close()
    assert code in str(caught.value)
    assert mend in str(caught.value)
    assert "<" not in str(caught.value)
    assert sandbox_salesforce.PASSWORD not in str(caught.value)
    assert box.salesforce.calls[SOAP] == 1


@pytest.mark.parametrize("fault", [{"kind": "html"}, {"kind": "html", "status": 500}, {"kind": "truncate"}])
def test_a_soap_answer_that_is_none_is_asked_for_again(box: Sandbox, fault: dict[str, Any]) -> None:
    box.faults.salesforce.add(**fault, path="Soap")
    connector = _by_password(box)
    assert connector.check().instance
    connector.close()
    assert box.salesforce.calls[SOAP] == 2


def test_refused_logins_are_counted_over_all_threads(box: Sandbox) -> None:
    connector = salesforce(box, client_secret="wrong")

    def refused(_: int) -> bool:
        with pytest.raises(AuthError):
            connector.check()
        return True

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(refused, range(8)))
    connector.close()
    assert box.salesforce.calls[TOKEN] == 3


def test_sessions_that_die_at_once_end_after_three_logins(box: Sandbox) -> None:
    box.salesforce.login.fresh_sessions_die = True
    connector = salesforce(box)
    for _ in range(3):
        with pytest.raises(AuthError):
            connector.check()
    connector.close()
    assert box.salesforce.calls[TOKEN] == 3


def test_threads_whose_session_ends_together_log_in_once(box: Sandbox) -> None:
    connector = salesforce(box)
    connector.check()
    before = box.salesforce.calls[TOKEN]
    together = threading.Barrier(4)

    def read(stream: str) -> int:
        together.wait()
        return sum(page.read for page in connector.fetch_pages(stream, None, full=False, since=None, now=NOW))

    box.salesforce.expire_tokens()
    with ThreadPoolExecutor(4) as threads:
        counts = list(threads.map(read, ["accounts", "contacts", "leads", "tickets"]))
    connector.close()
    assert all(counts)
    assert box.salesforce.calls[TOKEN] == before + 1


def test_an_org_that_moved_is_followed_at_the_next_login(box: Sandbox) -> None:
    connector = salesforce(box)
    connector.check()
    box.salesforce.move_instance("https://northwind2.my.salesforce.com")
    box.salesforce.expire_tokens()
    pages = list(connector.fetch_pages("accounts", None, full=False, since=None, now=NOW))
    connector.close()
    record = pages[0].records["accounts"][0]
    assert record["url"].startswith("https://northwind2.my.salesforce.com/")


@pytest.mark.parametrize(
    ("error", "description", "expected"),
    [
        ("invalid_grant", "expired access/refresh token", "invalid_grant"),
        ("invalid_grant", "no client credentials user enabled", "no user to run as"),
        ("invalid_client_id", "client identifier invalid", "invalid_client_id"),
    ],
)
def test_a_refused_token_says_what_to_mend(box: Sandbox, error: str, description: str, expected: str) -> None:
    box.salesforce.refuse_login(error, description)
    connector = salesforce(box)
    with pytest.raises(AuthError) as caught:
        connector.check()
    connector.close()
    assert expected in str(caught.value)


def test_a_token_endpoint_that_is_down_is_a_passing_trouble(box: Sandbox) -> None:
    box.faults.salesforce.add("status", TOKEN, times=None, status=503, body=b"")
    connector = salesforce(box)
    with pytest.raises(TransientError):
        connector.check()
    box.faults.clear()
    assert connector.check().instance  # it did not count as a refused login
    connector.close()


def test_maintenance_pages_in_place_of_a_token_are_a_passing_trouble(box: Sandbox) -> None:
    box.faults.salesforce.add("html", TOKEN, times=4)
    connector = salesforce(box)
    assert connector.check().instance
    connector.close()
    assert box.salesforce.calls[TOKEN] == 5


def test_logins_are_counted_over_all_connectors_of_an_account(box: Sandbox) -> None:
    box.salesforce.login.fresh_sessions_die = True
    for number in range(3):
        connector = salesforce(box, same_login=number > 0)
        with pytest.raises(AuthError):
            connector.check()
        connector.close()
    assert box.salesforce.calls[TOKEN] == 3
    box.salesforce.login.fresh_sessions_die = False
    with closing(salesforce(box, same_login=True)) as more, pytest.raises(AuthError, match="3 times within 15 minutes"):
        more.check()
    other = salesforce(box)  # in another process
    assert other.check().instance
    other.close()


def test_logins_that_last_are_not_counted(box: Sandbox) -> None:
    for number in range(5):  # a connector for each sync
        connector = salesforce(box, same_login=number > 0)
        assert connector.check().instance
        connector.close()


def test_a_mended_secret_is_tried_at_once(box: Sandbox) -> None:
    for number in range(4):
        connector = salesforce(box, same_login=number > 0, client_secret="wrong")
        with pytest.raises(AuthError):
            connector.check()
        connector.close()
    assert box.salesforce.calls[TOKEN] == 3
    mended = salesforce(box)
    assert mended.check().instance
    mended.close()


def test_a_signed_login_refused_under_a_wrong_clock_is_not_tried_without_end(box: Sandbox) -> None:
    box.write_config(box.dir / "config.toml")
    key = str(box.dir / "secrets" / "sf_private_key.pem")
    box.salesforce.skew_s = 7200
    login: dict[str, Any] = {
        "auth": "jwt",
        "client_secret": None,
        "username": "nobody@northwind.example",
        "private_key_file": key,
    }
    connector = salesforce(box, **login)
    try:
        for _ in range(4):
            with pytest.raises(AuthError):
                connector.check()
    finally:
        box.salesforce.skew_s = 0
        connector.close()
    assert box.salesforce.calls[TOKEN] == 2 * 3, "each is signed by our clock, then by theirs"


def test_syncs_under_a_wrong_clock_go_on(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal before signing by Salesforce's clock belongs to a login that goes well."""
    box.write_config(box.dir / "config.toml")
    monkeypatch.setattr(box.salesforce.login, "clock", box.now.timestamp)  # theirs is days behind ours
    for number in range(5):  # a connector for each sync
        connector = _by_key(box, box.dir / "secrets" / "sf_private_key.pem", same_login=number > 0)
        assert connector.check().instance
        connector.close()
    assert box.salesforce.calls[TOKEN] == 2 * 5


def test_a_login_that_goes_well_forgets_those_refused(box: Sandbox) -> None:
    salesforce_settings(box)
    for _ in range(3):
        box.faults.salesforce.add("status", TOKEN, times=2, status=400, body=b'{"error": "invalid_grant"}')
        for _ in range(2):
            with closing(salesforce(box, same_login=True)) as connector, pytest.raises(AuthError):
                connector.check()
        with closing(salesforce(box, same_login=True)) as connector:
            assert connector.check().instance


def test_a_mended_key_file_is_tried_at_once(box: Sandbox, tmp_path: Path) -> None:
    box.write_config(box.dir / "config.toml")
    good = (box.dir / "secrets" / "sf_private_key.pem").read_bytes()
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key = tmp_path / "key.pem"
    key.write_bytes(
        other.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    for number in range(4):
        with closing(_by_key(box, key, same_login=number > 0)) as connector, pytest.raises(AuthError):
            connector.check()
    assert box.salesforce.calls[TOKEN] == 2 * 3
    key.write_bytes(good)
    with closing(_by_key(box, key)) as connector:
        assert connector.check().instance


def _by_key(box: Sandbox, key: Path, **more: Any) -> SalesforceConnector:
    given = {"client_secret": None, "username": sandbox_salesforce.USERNAME}
    return salesforce(box, auth="jwt", private_key_file=str(key), **{**given, **more})

"""The ways into the sandbox's Salesforce, and the ways they close."""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from simple_salesforce.exceptions import SalesforceAuthenticationFailed
from simple_salesforce.login import SalesforceLogin

from syncagent.sandbox.salesforce.server import CLIENT_ID, CLIENT_SECRET, PASSWORD, SECURITY_TOKEN, USERNAME
from tests.integration.salesforce_calls import Caller, running

ORG_QUERY = "SELECT Id FROM Organization"


@pytest.fixture(scope="module")
def caller() -> Iterator[Caller]:
    with running() as made:
        yield made


@pytest.fixture
def sf(caller: Caller) -> Caller:
    return caller.anew()


def soap_login(sf: Caller, **more: Any) -> tuple[str, str]:
    """What simple_salesforce makes of the answer: session and host."""
    known = {"username": USERNAME, "password": PASSWORD, "security_token": SECURITY_TOKEN, "sf_version": "64.0"}
    with requests.Session() as session:
        return SalesforceLogin(**{**known, **more}, scratch_url=sf.server.url, session=session)


def refused(sf: Caller, **more: Any) -> str:
    with pytest.raises(SalesforceAuthenticationFailed) as caught:
        soap_login(sf, **more)
    return str(caught.value.code)


def test_a_soap_login_opens_a_session(sf: Caller) -> None:
    session, host = soap_login(sf)
    assert host == "northwind.my.salesforce.com"
    sf.http.headers["Authorization"] = "Bearer " + session
    assert len(sf.rows(ORG_QUERY)) == 1


def test_soap_faults_have_the_vendors_codes(sf: Caller) -> None:
    assert refused(sf, password="wrong") == "INVALID_LOGIN"
    assert refused(sf, username="nobody@example.com") == "INVALID_LOGIN"
    assert refused(sf, security_token="") == "LOGIN_MUST_USE_SECURITY_TOKEN"
    assert refused(sf, sf_version="65.0") == "UNSUPPORTED_API_VERSION"
    assert refused(sf, sf_version="30.0") == "UNSUPPORTED_API_VERSION"
    sf.server.login.soap_enabled = False
    assert refused(sf) == "INVALID_OPERATION"
    assert (sf.server.logins, sf.server.login.refused) == (1, 6)


def test_from_a_trusted_network_the_password_alone_will_do(sf: Caller) -> None:
    sf.server.login.trusted_network = True
    assert soap_login(sf, security_token=None)[0]
    assert soap_login(sf, security_token=None, organizationId="00DJ800000000MX")[0]


def test_a_soap_fault_is_xml_with_status_500(sf: Caller) -> None:
    url = f"{sf.server.url}/services/Soap/u/64.0"
    reply = requests.post(url, data=b"<nonsense/>", headers={"SOAPAction": "login"}, timeout=5)
    assert (reply.status_code, reply.headers["Content-Type"]) == (500, "text/xml;charset=UTF-8")
    assert "<faultcode>sf:INVALID_LOGIN</faultcode>" in reply.text
    assert "[" not in reply.text


def test_keys_and_secrets_are_rotated(sf: Caller) -> None:
    sf.server.login.client_secret = "another"
    form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    url = f"{sf.server.url}/services/oauth2/token"
    assert requests.post(url, data=form, timeout=5).json()["error"] == "invalid_client"
    assert requests.post(url, data=form | {"client_secret": "another"}, timeout=5).status_code == 200


def test_a_signed_login_is_judged_by_the_vendors_clock(sf: Caller) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    login = sf.server.login
    login.public_key = public
    now = time.time()
    claims = {"iss": CLIENT_ID, "sub": USERNAME, "aud": "https://login.salesforce.com", "exp": int(now) + 180}
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": jwt.encode(claims, key, algorithm="RS256"),
    }
    url = f"{sf.server.url}/services/oauth2/token"
    assert requests.post(url, data=form, timeout=5).status_code == 200
    for theirs in (now + 600, now - 600):
        login.clock = partial(float, theirs)
        assert requests.post(url, data=form, timeout=5).json()["error"] == "invalid_grant"


def test_sessions_that_are_dead_when_given_out(sf: Caller) -> None:
    sf.server.login.fresh_sessions_die = True
    sf.log_in()
    assert sf.error(sf.query(ORG_QUERY)) == (401, "INVALID_SESSION_ID")


def test_the_org_moves(sf: Caller) -> None:
    sf.server.move_instance("https://northwind2.my.salesforce.com")
    assert sf.error(sf.query(ORG_QUERY)) == (401, "INVALID_SESSION_ID")
    form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    reply = requests.post(f"{sf.server.url}/services/oauth2/token", data=form, timeout=5).json()
    assert reply["instance_url"] == "https://northwind2.my.salesforce.com"


@pytest.mark.parametrize(("status", "times"), [(400, 2), (500, 1)])
def test_the_token_endpoint_fails(sf: Caller, status: int, times: int) -> None:
    fault = sf.server.refuse_login("invalid_grant", "no client credentials user enabled", status=status, times=times)
    form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    url = f"{sf.server.url}/services/oauth2/token"
    replies = [requests.post(url, data=form, timeout=5) for _ in range(times + 1)]
    assert [reply.status_code for reply in replies] == [status] * times + [200]
    assert replies[0].json()["error"] == "invalid_grant"
    assert fault.hits == times

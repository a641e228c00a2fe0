"""The sandbox's Salesforce over real HTTP: login, pages, deleted rows, describe, errors, faults on the wire."""

import base64
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from syncagent.config import load_config
from syncagent.sandbox import Sandbox
from syncagent.sandbox.salesforce.server import CLIENT_ID, CLIENT_SECRET, USERNAME
from syncagent.wiring import build_connector

AS_OF = datetime(2026, 11, 16, 6, 0, tzinfo=UTC)
TOKEN = "/services/oauth2/token"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox"), as_of=AS_OF) as running:
        yield running


@pytest.fixture(autouse=True)
def no_faults(sandbox: Sandbox) -> Iterator[None]:
    yield
    sandbox.faults.clear()


@pytest.fixture
def session(sandbox: Sandbox) -> Iterator[requests.Session]:
    reply = requests.post(
        sandbox.salesforce_url + TOKEN,
        data={"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET},
        timeout=5,
    )
    with requests.Session() as made:
        made.headers["Authorization"] = "Bearer " + reply.json()["access_token"]
        yield made


def query(sandbox: Sandbox, session: requests.Session, soql: str, *, everything: bool = False, **headers: str) -> Any:
    path = "queryAll" if everything else "query"
    url = f"{sandbox.salesforce_url}/services/data/v66.0/{path}"
    return session.get(url, params={"q": soql}, headers=headers, timeout=5)


def test_login_answers_like_the_vendor(sandbox: Sandbox) -> None:
    basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    reply = requests.post(
        sandbox.salesforce_url + TOKEN,
        data={"grant_type": "client_credentials"},
        headers={"Authorization": "Basic " + basic},
        timeout=5,
    ).json()
    assert reply["token_type"] == "Bearer"
    assert reply["instance_url"].startswith("https://")
    assert reply["id"].startswith("https://login.salesforce.com/id/00D")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"}, "invalid_client_id"),
        ({"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": "y"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "a.b"}, "invalid_grant"),
    ],
)
def test_wrong_login_is_refused(sandbox: Sandbox, form: dict[str, str], error: str) -> None:
    reply = requests.post(sandbox.salesforce_url + TOKEN, data=form, timeout=5)
    assert (reply.status_code, reply.json()["error"]) == (400, error)
    assert reply.json()["error_description"]


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({}, None),
        ({"sub": "someone@else.test"}, "invalid_grant"),
        ({"aud": "https://example.com"}, "invalid_grant"),
        ({"exp": int(time.time()) - 10}, "invalid_grant"),
        ({"exp": int(time.time()) + 3600}, "invalid_grant"),
        ({"iss": "nobody"}, "invalid_client_id"),
    ],
)
def test_jwt_login_checks_signature_and_claims(
    sandbox: Sandbox, tmp_path: Path, claims: dict[str, Any], error: str | None
) -> None:
    sandbox.write_config(tmp_path / "config.toml")
    key = (tmp_path / "secrets" / "sf_private_key.pem").read_bytes()
    good = {"iss": CLIENT_ID, "sub": USERNAME, "aud": "https://login.salesforce.com", "exp": int(time.time()) + 180}
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": jwt.encode(good | claims, key, algorithm="RS256"),
    }
    reply = requests.post(sandbox.salesforce_url + TOKEN, data=form, timeout=5)
    assert reply.json().get("error") == error
    assert ("access_token" in reply.json()) is (error is None)


def test_a_query_is_paged(sandbox: Sandbox, session: requests.Session) -> None:
    soql = "SELECT Id, SystemModstamp FROM Lead ORDER BY SystemModstamp, Id"
    page = query(sandbox, session, soql, everything=True, **{"Sforce-Query-Options": "batchSize=500"}).json()
    total, ids, stamps = page["totalSize"], [], []
    while True:
        assert page["done"] is ("nextRecordsUrl" not in page)
        ids += [record["Id"] for record in page["records"]]
        stamps += [record["SystemModstamp"] for record in page["records"]]
        if page["done"]:
            break
        assert len(page["records"]) == 500
        page = session.get(sandbox.salesforce_url + page["nextRecordsUrl"], timeout=5).json()
    assert len(ids) == len(set(ids)) == total > 2000
    assert stamps == sorted(stamps)


def test_query_all_holds_deleted_and_merged_rows(sandbox: Sandbox, session: requests.Session) -> None:
    soql = "SELECT Id, IsDeleted, MasterRecordId FROM Contact"
    live = query(sandbox, session, soql).json()["records"]
    every = query(sandbox, session, soql, everything=True).json()["records"]
    assert not any(record["IsDeleted"] for record in live)
    assert any(record["IsDeleted"] and record["MasterRecordId"] for record in every)
    expected = sandbox.truth().tables["salesforce", "contacts"]
    assert {record["Id"] for record in live} == expected.live
    assert {r["Id"]: r["MasterRecordId"] for r in every if r["MasterRecordId"]}.keys() == expected.merged.keys()


def test_describe_names_every_field_a_query_may_use(sandbox: Sandbox, session: requests.Session) -> None:
    for sobject in ("Lead", "Opportunity", "OpportunityHistory", "Case", "CaseHistory", "Task", "Survey_Response__c"):
        url = f"{sandbox.salesforce_url}/services/data/v66.0/sobjects/{sobject}/describe"
        fields = [field["name"] for field in session.get(url, timeout=5).json()["fields"]]
        reply = query(sandbox, session, f"SELECT {', '.join(fields)} FROM {sobject} LIMIT 1")
        assert set(reply.json()["records"][0]) == {"attributes", *fields}


def test_errors_have_the_vendors_shape(sandbox: Sandbox, session: requests.Session) -> None:
    reply = query(sandbox, session, "SELECT Nope FROM Lead")
    assert (reply.status_code, reply.json()[0]["errorCode"]) == (400, "INVALID_FIELD")
    lost = session.get(sandbox.salesforce_url + "/services/data/v66.0/query/01g000000000099AAA-2000", timeout=5)
    assert (lost.status_code, lost.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")
    old = session.get(sandbox.salesforce_url + "/services/data/v30.0/limits", timeout=5)
    assert (old.status_code, old.json()[0]["errorCode"]) == (410, "UNSUPPORTED_API_VERSION")
    early = session.get(sandbox.salesforce_url + "/services/data/v99.0/limits", timeout=5)
    assert early.status_code == 404


def test_a_dead_session_is_401(sandbox: Sandbox, session: requests.Session) -> None:
    sandbox.salesforce.expire_tokens()
    reply = query(sandbox, session, "SELECT Id FROM Lead")
    assert (reply.status_code, reply.json()[0]["errorCode"]) == (401, "INVALID_SESSION_ID")


def test_every_answer_tells_usage_and_the_companys_clock(sandbox: Sandbox, session: requests.Session) -> None:
    reply = query(sandbox, session, "SELECT COUNT() FROM Account")
    used, _, limit = reply.headers["Sforce-Limit-Info"].removeprefix("api-usage=").partition("/")
    assert int(used) > 0
    assert limit == "100000"
    assert reply.headers["Date"] == sandbox.now.strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert reply.json() == {
        "totalSize": len(sandbox.truth().tables["salesforce", "accounts"].live),
        "done": True,
        "records": [],
    }


def test_advance_shows_at_once(sandbox: Sandbox, session: requests.Session) -> None:
    begin = sandbox.now
    sandbox.advance(timedelta(hours=6))
    soql = f"SELECT Id, IsDeleted FROM Lead WHERE SystemModstamp > {begin:%Y-%m-%dT%H:%M:%SZ}"
    changed = query(sandbox, session, soql, everything=True).json()["records"]
    assert changed
    live = {record["Id"] for record in query(sandbox, session, "SELECT Id FROM Lead LIMIT 5000").json()["records"]}
    page = query(sandbox, session, "SELECT Id FROM Lead").json()
    while not page["done"]:
        page = session.get(sandbox.salesforce_url + page["nextRecordsUrl"], timeout=5).json()
        live |= {record["Id"] for record in page["records"]}
    assert live == sandbox.truth().tables["salesforce", "leads"].live


@pytest.mark.parametrize("kind", ["reset", "cut", "drop"])
def test_broken_connections_break(sandbox: Sandbox, session: requests.Session, kind: str) -> None:
    fault = sandbox.faults.salesforce.add(kind, "/query")
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        query(sandbox, session, "SELECT Id, Name FROM Lead")
    assert fault.hits == 1
    assert query(sandbox, session, "SELECT Id FROM Lead").status_code == 200


def test_spoiled_answers(sandbox: Sandbox, session: requests.Session) -> None:
    faults = sandbox.faults.salesforce
    faults.add("truncate", "/query")
    with pytest.raises(requests.exceptions.JSONDecodeError):
        query(sandbox, session, "SELECT Id FROM Lead").json()
    faults.add("html", "/query")
    reply = query(sandbox, session, "SELECT Id FROM Lead")
    assert (reply.status_code, reply.headers["content-type"][:9]) == (200, "text/html")
    faults.salesforce_error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", path="/query", after=1)
    assert query(sandbox, session, "SELECT Id FROM Lead").status_code == 200
    refused = query(sandbox, session, "SELECT Id FROM Lead")
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")


def test_silence_and_a_slow_drip(sandbox: Sandbox, session: requests.Session) -> None:
    sandbox.faults.salesforce.add("hang", "/limits", seconds=30)
    url = sandbox.salesforce_url + "/services/data/v66.0/limits"
    with pytest.raises(requests.Timeout):
        session.get(url, timeout=0.2)
    sandbox.faults.salesforce.add("drip", "/limits", seconds=0.002)
    began = time.monotonic()
    assert session.get(url, timeout=5).json()["DailyApiRequests"]["Max"] == 100_000
    assert time.monotonic() - began > 0.2


@pytest.mark.parametrize(
    ("source", "given", "other"),
    [
        ("sf", ("auth", "client_id", "client_secret"), 0),
        ("sf", ("auth", "client_id", "client_secret"), 1),
        ("hs", ("access_token",), 0),
    ],
)
def test_the_other_logins_of_the_written_configuration_work(
    sandbox: Sandbox, tmp_path: Path, source: str, given: tuple[str, ...], other: int
) -> None:
    """Its comments hold them, complete: take out the login that is there, take in one of them."""
    path = sandbox.write_config(tmp_path / "config.toml")
    before, mark, table = path.read_text().partition(f"[source.{source}]\n")
    table, end, after = table.partition("\n\n")
    lines = [line for line in table.splitlines() if line.split("=")[0].strip() not in given]
    groups = [
        [line[4:] for line in group] for is_login, group in groupby(lines, lambda line: line[:4] == "#   ") if is_login
    ]
    path.write_text(before + mark + "\n".join([*lines, *groups[other]]) + end + after)
    with closing(build_connector(load_config(path), source)) as connector:
        assert connector.check().instance


def test_an_edited_configuration_keeps_all_but_the_addresses(sandbox: Sandbox, tmp_path: Path) -> None:
    path = sandbox.write_config(tmp_path / "config.toml")
    written = path.read_text()
    own = '[source.mine]\ntype = "salesforce"\nbase_url = "https://gateway.acme.test"\n[web]\nport = 1\n'
    edited = written.replace('every         = "1m"', 'every         = "7m"') + own
    moved = edited.replace(sandbox.salesforce_url, "http://127.0.0.1:1").replace(
        sandbox.hubspot_url, "http://127.0.0.1:2"
    )
    path.write_text(moved.replace(f"= {sandbox.smtp_port}\n", "= 3\n"))
    assert sandbox.write_config(path).read_text() == edited

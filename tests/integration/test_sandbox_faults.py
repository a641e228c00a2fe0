"""Every fault the sandbox's servers can show on the wire, seen with a plain client."""

import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import requests

from syncagent.sandbox.faults import NOT_NOW, POLICIES, RETRY_AFTER, http_date
from syncagent.sandbox.faults_mangle import (
    AMOUNTS,
    HOSTILE,
    MANGLES,
    cyclic_token,
    fewer_rows,
    has_next,
    holds,
    last_page,
    link_to,
    repeated_page,
    total_off,
    with_value,
    without,
)
from syncagent.sandbox.generate import generate
from syncagent.sandbox.hubspot.gate import ACCESS_TOKEN
from syncagent.sandbox.hubspot.server import HubSpotServer
from tests.fakes.portal import Portal

AS_OF = datetime(2026, 11, 16, 6, 0, tzinfo=UTC)
CONTACTS, SEARCH = "/crm/v3/objects/contacts", "/crm/v3/objects/contacts/search"


@pytest.fixture(scope="module")
def served() -> Iterator[HubSpotServer]:
    server = HubSpotServer(generate(7, AS_OF, "tiny"), limits=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def portal(served: HubSpotServer) -> Iterator[Portal]:
    served.reset(served._company)
    served.limits = False
    with Portal(served) as portal:
        yield portal


def _raw(portal: Portal, path: str = CONTACTS, *, encoding: str = "identity") -> bytes:
    """Everything that comes over one connection, unread by any HTTP library."""
    with socket.create_connection(("127.0.0.1", portal.server.port), timeout=10) as wire:
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ACCESS_TOKEN}\r\nConnection: close\r\n"
        wire.sendall(f"{head}Accept-Encoding: {encoding}\r\n\r\n".encode())
        found = b""
        while piece := wire.recv(65_536):
            found += piece
        return found


# -- answers of another kind -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["list", "object", "html", "empty"])
def test_401_in_every_shape(portal: Portal, shape: str) -> None:
    portal.server.faults.unauthorized(shape)
    answer = portal.get(CONTACTS)
    assert answer.status_code == 401
    if shape in ("list", "object"):
        assert isinstance(answer.json(), list if shape == "list" else dict)
    else:
        assert (b"<html" in answer.content, answer.content == b"") == (shape == "html", shape == "empty")
    assert portal.get(CONTACTS).status_code == 200


def test_401_on_the_first_a_middle_and_the_last_page(portal: Portal) -> None:
    faults = portal.server.faults
    pages = len(portal.pages("contacts", limit=2))
    assert pages > 3
    for more in ({}, {"after": 1}, {"when": last_page}):
        faults.clear()
        fault = faults.unauthorized(path=CONTACTS, **more)
        codes: list[int] = []
        after: dict[str, str] = {}
        while True:
            answer = portal.get(CONTACTS, limit=2, **after)
            codes.append(answer.status_code)
            if answer.status_code == 401:
                continue
            if "paging" not in answer.json():
                break
            after = {"after": answer.json()["paging"]["next"]["after"]}
        assert (codes.count(401), fault.hits) == (1, 1)
        assert codes.index(401) == {(): 0, ("after",): 1, ("when",): pages - 1}[tuple(more)]


def test_401_for_ever(portal: Portal) -> None:
    portal.server.faults.unauthorized(times=None)
    assert {portal.get(CONTACTS).status_code for _ in range(5)} == {401}


@pytest.mark.parametrize("policy", POLICIES)
def test_429_of_each_limit_with_each_hint(portal: Portal, policy: str) -> None:
    hints = {**RETRY_AFTER, "date": http_date(AS_OF.timestamp() + 30)}
    for named in (True, False):
        for hint in hints.values():
            portal.server.faults.too_many(policy=policy, retry_after=hint, named=named, rate_headers=not named)
            answer = portal.get(CONTACTS)
            assert (answer.status_code, answer.headers.get("Retry-After")) == (429, hint)
            assert answer.json()["message"] == f"You have reached your {POLICIES[policy][1]} limit."
            assert answer.json().get("policyName") == (POLICIES[policy][0] if named else None)
            assert ("X-HubSpot-RateLimit-Remaining" in answer.headers) is not named
    assert hints["date"] == "Mon, 16 Nov 2026 06:00:30 GMT"


@pytest.mark.parametrize("status", [*NOT_NOW, 304])
def test_any_status(portal: Portal, status: int) -> None:
    portal.server.faults.add("status", status=status)
    assert portal.get(CONTACTS).status_code == status
    assert portal.server.statuses[status] == 1


@pytest.mark.parametrize(
    "to", ["http://127.0.0.2:9/x", "http://169.254.169.254/latest/meta-data", "file:///etc/passwd"]
)
def test_redirects(portal: Portal, to: str) -> None:
    portal.server.faults.redirect(to)
    answer = portal.get(CONTACTS)
    assert (answer.status_code, answer.headers["Location"]) == (302, to)


def test_a_page_of_html_with_200(portal: Portal) -> None:
    portal.server.faults.add("html")
    answer = portal.get(CONTACTS)
    assert (answer.status_code, answer.headers["Content-Type"][:9]) == (200, "text/html")


# -- a broken wire -----------------------------------------------------------------------------------------------------


def test_nobody_listens_for_a_while(portal: Portal) -> None:
    server = portal.server
    assert portal.get(CONTACTS).status_code == 200
    calls, port = server.calls.total(), server.port
    server.pause()
    begin = time.monotonic()
    with pytest.raises(requests.ConnectionError):
        portal.get(CONTACTS)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    assert time.monotonic() - begin < 5
    server.resume()
    assert (portal.get(CONTACTS).status_code, server.port, server.calls.total()) == (200, port, calls + 1)


@pytest.mark.parametrize("kind", ["drop", "cut", "chunk", "reset"])
def test_connections_that_end_too_early(portal: Portal, kind: str) -> None:
    portal.server.faults.add(kind)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        portal.get(CONTACTS)
    assert portal.get(CONTACTS).status_code == 200


def test_a_length_that_is_not_true(portal: Portal) -> None:
    portal.server.faults.add("wrong_length")
    head, _, body = _raw(portal).partition(b"\r\n\r\n")
    said = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    assert int(said.split()[1]) == len(body) // 2
    portal.server.faults.add("wrong_length")
    with pytest.raises(ValueError, match="Expecting|Unterminated|delimiter"):
        portal.get(CONTACTS).json()


def test_half_a_document(portal: Portal) -> None:
    portal.server.faults.add("truncate")
    answer = portal.get(CONTACTS)
    assert len(answer.content) == int(answer.headers["Content-Length"])
    with pytest.raises(ValueError, match="Expecting|Unterminated|delimiter"):
        answer.json()


def test_bad_gzip(portal: Portal) -> None:
    portal.server.faults.add("bad_gzip")
    with pytest.raises(requests.exceptions.ContentDecodingError):
        portal.get(CONTACTS)
    portal.server.faults.add("half_gzip")
    with pytest.raises(ValueError, match="Expecting|Unterminated|delimiter"):
        portal.get(CONTACTS, limit=100).json()


def test_silence_then_an_answer(portal: Portal) -> None:
    portal.server.faults.add("hang", seconds=0.3)
    begin = time.monotonic()
    assert portal.get(CONTACTS).status_code == 200
    assert time.monotonic() - begin >= 0.3


def test_a_black_hole_ends_with_the_server() -> None:
    server = HubSpotServer(generate(7, AS_OF, "tiny"), limits=False)
    server.start()
    server.faults.black_hole()
    failed: list[Exception] = []

    def call() -> None:
        try:
            requests.get(server.url + CONTACTS, timeout=30)
        except requests.RequestException as problem:
            failed.append(problem)

    thread = threading.Thread(target=call)
    thread.start()
    deadline = time.monotonic() + 5
    while not server.calls and time.monotonic() < deadline:
        time.sleep(0.01)
    begin = time.monotonic()
    server.stop()
    thread.join()
    assert time.monotonic() - begin < 5


def test_one_byte_at_a_time(portal: Portal) -> None:
    portal.server.faults.add("drip", seconds=0.0005)
    answer = portal.session.get(portal.server.url + CONTACTS, params={"limit": 1}, stream=True, timeout=5)
    pieces = [len(piece) for piece in answer.raw.stream(65_536)]
    assert sum(pieces) == int(answer.headers["Content-Length"])


def test_a_bomb_is_small_on_the_wire_and_true_gzip(portal: Portal) -> None:
    portal.server.faults.add("bomb", size=64 << 20)
    head, _, body = _raw(portal, encoding="gzip").partition(b"\r\n\r\n")
    assert b"content-encoding: gzip" in head.lower()
    assert len(body) < 1 << 20
    portal.server.faults.add("bomb", size=8 << 20)
    answer = portal.get(CONTACTS)
    assert (len(answer.content) > 8 << 20, answer.json()["results"]) == (True, [])


def test_a_flood_costs_the_server_no_memory(portal: Portal) -> None:
    """1 GB asked for; after 32 MB the client leaves. The server is in this process: its memory shows in ours."""
    portal.server.faults.add("flood")
    tracemalloc.start()
    try:
        with portal.session.get(portal.server.url + CONTACTS, stream=True, timeout=5) as answer:
            seen = 0
            for piece in answer.iter_content(1 << 16):
                seen += len(piece)
                if seen > 32 << 20:
                    break
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20
    assert portal.get(CONTACTS).status_code == 200


# -- spoiled documents -------------------------------------------------------------------------------------------------


def _mangled(portal: Portal, change: object, **more: object) -> requests.Response:
    portal.server.faults.clear()
    portal.server.faults.mangle(change, **more)  # type: ignore[arg-type]
    return portal.get(CONTACTS, limit=5, properties="firstname,email")


def test_documents_without_what_they_should_hold(portal: Portal) -> None:
    assert "results" not in _mangled(portal, "no_results").json()
    assert _mangled(portal, "null_results").json()["results"] is None
    assert isinstance(_mangled(portal, "results_no_list").json()["results"], dict)
    assert [_mangled(portal, name).json() for name in ("empty_object", "empty_list", "null", "text")] == [
        {}, [], None, "ok",
    ]  # fmt: skip
    assert all("id" not in row for row in _mangled(portal, "no_ids").json()["results"])
    assert all("properties" not in row for row in _mangled(portal, without("properties")).json()["results"])


def test_documents_in_another_charset_or_type(portal: Portal) -> None:
    portal.server.objects["contacts"][portal.all("contacts")[0]["id"]].props["firstname"] = "Zoë"
    for name in ("utf_16", "latin_1", "not_utf_8"):
        content = _mangled(portal, name).content
        with pytest.raises(UnicodeDecodeError):
            content.decode("utf-8")
    plain = _mangled(portal, lambda document: document, headers={"content-type": "text/plain"})
    assert (plain.headers["Content-Type"], len(plain.json()["results"])) == ("text/plain", 5)


def test_pages_that_are_wrong(portal: Portal) -> None:
    true = portal.get(CONTACTS, limit=5, properties="firstname,email").json()
    ids = [row["id"] for row in true["results"]]

    def shown(change: object) -> list[str]:
        return [row["id"] for row in _mangled(portal, change).json()["results"]]

    assert shown("empty_page") == []
    assert has_next(_mangled(portal, "empty_page").json())
    assert shown(fewer_rows(2)) == ids[:3]
    assert shown("doubled") == ids + ids
    assert shown("reversed") == ids[::-1]
    assert "paging" not in _mangled(portal, "no_more").json()
    assert _mangled(portal, link_to("http://evil.example/")).json()["paging"]["next"]["link"] == "http://evil.example/"
    portal.server.faults.clear()
    portal.server.faults.mangle(total_off(3), SEARCH)
    assert [portal.search("contacts")["total"] for _ in range(2)] == [len(portal.all("contacts")) + d for d in (3, 0)]


def test_tokens_that_lead_in_circles(portal: Portal) -> None:
    portal.server.faults.mangle(cyclic_token("5", "9"), times=None)
    tokens = [portal.get(CONTACTS, limit=2).json()["paging"]["next"]["after"] for _ in range(5)]
    assert tokens == ["5", "9", "5", "9", "5"]


def test_a_page_that_comes_again(portal: Portal) -> None:
    first, second, *_ = portal.pages("contacts", limit=2)
    portal.server.faults.mangle(repeated_page(), times=2)
    token = {"after": first[-1]["id"]}
    seen = [portal.get(CONTACTS, limit=2, **more).json()["results"] for more in ({}, token, token)]
    assert seen == [first, first, second]


def test_a_batch_that_is_answered_in_part(portal: Portal) -> None:
    ids = [row["id"] for row in portal.all("contacts")][:6]
    portal.server.faults.mangle("partly", status=207)
    answer = portal.read("contacts", ids)
    assert answer.status_code == 207
    missing = answer.json()["errors"][0]["context"]["ids"]
    assert (answer.json()["errors"][0]["category"], len(missing)) == ("INTERNAL_ERROR", 3)
    assert sorted([row["id"] for row in answer.json()["results"]] + missing) == sorted(ids)
    assert portal.read("contacts", ids).status_code == 200


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_arrives_as_it_is(portal: Portal, name: str) -> None:
    id_ = portal.all("contacts")[1]["id"]
    rows = _mangled(portal, with_value("firstname", HOSTILE[name], id_=id_), when=holds(id_)).json()["results"]
    assert [row["id"] for row in rows if row["properties"]["firstname"] == HOSTILE[name]] == [id_]


@pytest.mark.parametrize("name", AMOUNTS)
def test_amounts_nobody_has(portal: Portal, name: str) -> None:
    portal.server.faults.mangle(with_value("amount", AMOUNTS[name]), SEARCH.replace("contacts", "deals"))
    rows = portal.search("deals", properties=["amount"])["results"]
    assert {row["properties"]["amount"] for row in rows} == {AMOUNTS[name]}


def test_numbers_json_does_not_know(portal: Portal) -> None:
    content = _mangled(portal, with_value("score", float("nan"))).content
    assert b"NaN" in content
    assert all(name.isidentifier() for name in MANGLES)
    assert json.loads(content)["results"]


def test_a_fault_that_waits_for_another_answer_has_not_struck(portal: Portal) -> None:
    fault = portal.server.faults.mangle("empty_page", when=holds("no such id"))
    assert portal.get(CONTACTS).json()["results"]
    assert portal.server.faults.strike("GET /") is fault, "it still waits: its one time is not used up"

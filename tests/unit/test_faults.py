"""Which request a fault strikes, and what the ready-made changes do to answers of both CRMs."""

import json
import threading
from typing import Any

import pytest

from syncagent.sandbox.faults import Fault, Faults
from syncagent.sandbox.faults_mangle import (
    HOSTILE,
    MANGLES,
    SF_AMOUNTS,
    cyclic_token,
    fewer_rows,
    has_next,
    last_page,
    link_to,
    rows_of,
    total_off,
    with_value,
    without,
)
from syncagent.sandbox.http_answer import mangled


def _salesforce() -> dict[str, Any]:
    records = [{"Id": f"00{n}", "Amount": n} for n in range(4)]
    return {"totalSize": 9, "done": False, "nextRecordsUrl": "/services/data/v66.0/query/01g-4", "records": records}


def _hubspot() -> dict[str, Any]:
    results = [{"id": str(n), "properties": {"amount": str(n)}} for n in range(4)]
    return {"total": 9, "results": results, "paging": {"next": {"after": "4", "link": "https://api.hubapi.com/"}}}


def _events() -> dict[str, Any]:
    return {"hasMore": True, "offset": "4", "events": [{"id": "a"}, {"id": "b"}]}


# -- which request -----------------------------------------------------------------------------------------------------


def test_the_first_that_fits_strikes_as_often_as_asked() -> None:
    faults = Faults()
    owners = faults.add("drop", r"GET /owners", times=2)
    rest = faults.add("html", after=1, times=None)
    requests = ["GET /deals", "GET /owners?limit=1", "GET /owners", "GET /owners", "GET /deals", "GET /deals"]
    struck = [faults.strike(request) for request in requests]
    assert struck == [None, owners, owners, rest, rest, rest]
    faults.clear()
    assert faults.strike("GET /owners") is None


def test_a_declined_fault_waits_on() -> None:
    faults = Faults()
    fault = faults.mangle("empty_page", when=last_page)
    assert faults.strike("GET /") is fault
    faults.decline(fault)
    assert faults.strike("GET /") is fault
    assert faults.strike("GET /") is None


def test_many_threads_are_struck_no_oftener() -> None:
    faults = Faults()
    fault = faults.add("drop", times=50)
    struck: list[Fault | None] = []

    def ask() -> None:
        struck.extend(faults.strike("GET /") for _ in range(100))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (struck.count(fault), fault.hits) == (50, 50)


def test_an_unknown_change_is_refused_at_once() -> None:
    with pytest.raises(KeyError):
        Faults().mangle("no such thing")


# -- what becomes of a document ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [_salesforce, _hubspot])
@pytest.mark.parametrize("name", sorted(MANGLES.keys() - {"endless", "latin_1"}))
def test_every_ready_made_change_spoils_an_answer(make: Any, name: str) -> None:
    body = json.dumps(make()).encode()
    if (make, name) == (_salesforce, "partly"):
        return  # HubSpot's batches alone are answered in part
    assert mangled(Fault("mangle", change=MANGLES[name]), body) != body


def test_ways_on() -> None:
    for make in (_salesforce, _hubspot, _events):
        assert has_next(make())
        assert not last_page(make())
        change = cyclic_token("tok1", "tok2")
        tokens = [change(make()) for _ in range(3)]
        assert [("tok1" in json.dumps(t), has_next(t)) for t in tokens] == [(True, True), (False, True), (True, True)]
    assert last_page(MANGLES["no_more"](_salesforce()))
    assert link_to("http://evil.example/")(_salesforce())["nextRecordsUrl"] == "http://evil.example/"
    assert link_to("http://evil.example/")(_hubspot())["paging"]["next"]["link"] == "http://evil.example/"
    endless = MANGLES["endless"](_salesforce())
    assert (endless["done"], "nextRecordsUrl" in endless) == (False, False)


def test_counts_and_rows() -> None:
    assert total_off(-2)(_salesforce())["totalSize"] == 7
    assert total_off(1)(_hubspot())["total"] == 10
    assert [row["Id"] for row in rows_of(fewer_rows(3)(_salesforce()))] == ["000"]
    assert rows_of(fewer_rows(9)(_hubspot())) == []
    assert rows_of(MANGLES["doubled"](_events())) == _events()["events"] * 2
    assert all("Id" not in row for row in rows_of(MANGLES["no_ids"](_salesforce())))
    assert all("amount" not in row["properties"] for row in rows_of(without("amount")(_hubspot())))


def test_values_go_where_each_crm_keeps_them() -> None:
    assert [row["Amount"] for row in rows_of(with_value("Amount", 7, id_="002")(_salesforce()))] == [0, 1, 7, 3]
    assert [row["properties"]["amount"] for row in rows_of(with_value("amount", "7")(_hubspot()))] == ["7"] * 4


@pytest.mark.parametrize("name", SF_AMOUNTS)
def test_numbers_no_strict_writer_would_write(name: str) -> None:
    body = mangled(Fault("mangle", change=with_value("Amount", SF_AMOUNTS[name])), json.dumps(_salesforce()).encode())
    read = rows_of(json.loads(body))[0]["Amount"]
    assert read == SF_AMOUNTS[name] or (read != read and name == "nan")


def test_a_lone_surrogate_is_written_as_an_escape() -> None:
    body = mangled(Fault("mangle", change=with_value("Name", HOSTILE["surrogate"])), json.dumps(_salesforce()).encode())
    assert b"a\\ud800b" in body
    assert mangled(Fault("mangle", change=lambda _: b"as it is"), b"{}") == b"as it is"

"""The sandbox's SOQL: what it finds, how it answers, what it refuses."""

from typing import Any

import pytest

from syncagent.sandbox.salesforce.flood import Flood, Joined
from syncagent.sandbox.salesforce.plan import Plan
from syncagent.sandbox.salesforce.soql import SoqlError, parse
from syncagent.sandbox.salesforce.store import Store

NOW = 1_800_000_000


@pytest.fixture(scope="module")
def store() -> Store:
    rows = Store()
    rows.put("User", {"Id": "005000000000001AAA", "Name": "Ann", "ManagerId": None, "SystemModstamp": "2026"})
    rows.put("Group", {"Id": "00G000000000001AAA", "Name": "Queue", "SystemModstamp": "2026"})
    people = (
        # last name, status, created, owner, deleted
        ("Alpha", "Open", "2026-01-01T10:00:00.000+0000", "005000000000001AAA", False),
        ("beta", "open", "2026-01-02T10:00:00.000+0000", "00G000000000001AAA", False),
        ("Gamma", "Closed", "2026-01-02T10:00:00.000+0000", None, False),
        ("O'Neil", None, "2026-01-04T10:00:00.000+0000", None, True),
    )
    for number, (name, status, created, owner, is_deleted) in enumerate(people):
        rows.put(
            "Lead",
            {
                "Id": f"00Q00000000000{number}AAA",
                "LastName": name,
                "Status": status,
                "CreatedDate": created,
                "SystemModstamp": created,
                "ConvertedDate": "2026-01-03" if number == 2 else None,
                "IsConverted": number == 2,
                "OwnerId": owner,
                "IsDeleted": is_deleted,
            },
        )
    return rows


def plan(store: Store, soql: str, *, everything: bool = False) -> Plan:
    return Plan(parse(soql), store, include_deleted=everything, now=NOW, version="66.0")


def names(store: Store, where: str, *, everything: bool = True) -> list[Any]:
    soql = f"SELECT LastName FROM Lead{' WHERE ' if where else ''}{where} ORDER BY CreatedDate, Id"
    return [row["LastName"] for row in plan(store, soql, everything=everything).rows()]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("Status = 'open'", ["Alpha", "beta"]),
        ("Status != 'Open'", ["Gamma", "O'Neil"]),
        ("Status = null", ["O'Neil"]),
        ("Status IN ('Open', 'Closed') AND IsConverted = false", ["Alpha", "beta"]),
        ("Status NOT IN ('Open')", ["Gamma", "O'Neil"]),
        ("(LastName = 'Alpha' OR LastName = 'Gamma') AND Status LIKE 'Cl%'", ["Gamma"]),
        ("NOT (IsConverted = true)", ["Alpha", "beta", "O'Neil"]),
        ("LastName = 'O\\'Neil'", ["O'Neil"]),
        ("CreatedDate >= 2026-01-02T10:00:00Z AND CreatedDate < 2026-01-04T00:00:00.000+00:00", ["beta", "Gamma"]),
        ("CreatedDate > 2026-01-02T12:00:00+02:00", ["O'Neil"]),
        ("ConvertedDate <= 2026-01-03", ["Gamma"]),
        ("Owner.Name = 'ann'", ["Alpha"]),
        ("Owner.Type = 'Group'", []),
        ("Id > '00Q000000000001AAA'", ["Gamma", "O'Neil"]),
        ("CreatedDate = LAST_N_DAYS:3", []),
        ("CreatedDate > 2026-01-02T10:00:00Z", ["O'Neil"]),
        ("CreatedDate >= 2026-01-02T10:00:00Z AND CreatedDate <= 2026-01-02T10:00:00Z", ["beta", "Gamma"]),
        ("CreatedDate < 2026-01-02T10:00:00Z AND Status != null", ["Alpha"]),
        ("CreatedDate > 2026-01-02T10:00:00Z OR Status = 'Closed'", ["Gamma", "O'Neil"]),
        ("CreatedDate = 2026-01-02T10:00:00Z AND Id > '00Q000000000001AAA'", ["Gamma"]),
        ("NOT (CreatedDate >= 2026-01-02T10:00:00Z)", ["Alpha"]),
        ("CreatedDate > 2027-01-01T00:00:00Z", []),
        ("Id IN ('00Q000000000002AAA', '00Q000000000000AAA', '00Q000000000009AAA')", ["Alpha", "Gamma"]),
        ("Id IN ('00Q000000000001AAA', '00Q000000000001AAA') AND IsDeleted = false", ["beta"]),
        ("Id NOT IN ('00Q000000000001AAA', '00Q000000000002AAA')", ["Alpha", "O'Neil"]),
    ],
)
def test_conditions(store: Store, where: str, expected: list[str]) -> None:
    if where.startswith("Owner.Type"):
        expected = ["beta"]
    assert names(store, where) == expected


@pytest.mark.parametrize(
    ("order", "where", "expected"),
    [
        ("Id", "Id > '00Q000000000001AAA'", ["Gamma", "O'Neil"]),
        ("Id", "Id >= '00Q000000000001AAA' AND Id < '00Q000000000003AAA'", ["beta", "Gamma"]),
        ("CreatedDate, Id", "CreatedDate >= 2026-01-02T10:00:00Z AND Status != 'Closed'", ["beta", "O'Neil"]),
        ("CreatedDate DESC, Id", "CreatedDate >= 2026-01-02T10:00:00Z", ["O'Neil", "beta", "Gamma"]),
    ],
)
def test_bounds_on_what_the_answer_is_ordered_by(store: Store, order: str, where: str, expected: list[str]) -> None:
    found = plan(store, f"SELECT LastName FROM Lead WHERE {where} ORDER BY {order}", everything=True).rows()
    assert [row["LastName"] for row in found] == expected


def test_columns_are_spelled_as_describe_does(store: Store) -> None:
    made = plan(store, "SELECT id, owner.name, isconverted, CREATEDDATE FROM lead")
    assert [(name, kind) for name, _, kind in made.columns()] == [
        ("Id", "id"),
        ("Owner.Name", "string"),
        ("IsConverted", "boolean"),
        ("CreatedDate", "datetime"),
    ]


def test_query_leaves_deleted_rows_out(store: Store) -> None:
    assert names(store, "", everything=False) == ["Alpha", "beta", "Gamma"]


def test_order_limit_and_offset(store: Store) -> None:
    soql = "SELECT LastName FROM Lead ORDER BY CreatedDate DESC, Id ASC LIMIT 2 OFFSET 1"
    assert [row["LastName"] for row in plan(store, soql, everything=True).rows()] == ["beta", "Gamma"]


def test_nulls_come_first_unless_told(store: Store) -> None:
    first = plan(store, "SELECT LastName FROM Lead ORDER BY Status, Id", everything=True).rows()[0]
    last = plan(store, "SELECT LastName FROM Lead ORDER BY Status NULLS LAST, Id", everything=True).rows()[-1]
    assert first["LastName"] == last["LastName"] == "O'Neil"


def test_shape_nests_parents(store: Store) -> None:
    made = plan(store, "SELECT Id, owner.name, Owner.Type FROM lead WHERE LastName IN ('Alpha', 'Gamma') ORDER BY Id")
    alpha, gamma = (made.shape(row) for row in made.rows())
    assert alpha["attributes"] == {"type": "Lead", "url": "/services/data/v66.0/sobjects/Lead/00Q000000000000AAA"}
    assert (alpha["Owner"]["Name"], alpha["Owner"]["Type"]) == ("Ann", "User")
    assert gamma["Owner"] is None


def test_aggregates(store: Store) -> None:
    query = "SELECT Status, COUNT(Id) n, MAX(CreatedDate) FROM Lead WHERE Status != null GROUP BY Status"
    rows = plan(store, query).aggregate()
    assert [(row["Status"], row["n"]) for row in rows] == [("Open", 1), ("open", 1), ("Closed", 1)]
    assert rows[0]["expr1"] == "2026-01-01T10:00:00.000+0000"


@pytest.mark.parametrize(
    ("soql", "code", "words"),
    [
        ("SELECT Foo FROM Lead", "INVALID_FIELD", "No such column 'Foo' on entity 'Lead'"),
        ("SELECT Boss.Name FROM Lead", "INVALID_FIELD", "Didn't understand relationship 'Boss'"),
        ("SELECT Id FROM Foo", "INVALID_TYPE", "sObject type 'Foo' is not supported"),
        ("SELECT Id FROM Lead WHERE CreatedDate > '2026-01-01'", "INVALID_FIELD", "must be of type dateTime"),
        ("SELECT Id FROM Lead WHERE CreatedDate > 2026-01-01", "INVALID_FIELD", "must be of type dateTime"),
        ("SELECT Id FROM Lead WHERE IsConverted = 'true'", "INVALID_FIELD", "must be of type boolean"),
        ("SELECT Id FROM Lead WHERE", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id, FROM Lead", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id FROM Lead LIMIT x", "MALFORMED_QUERY", "unexpected token: 'x'"),
        ("SELECT Id FROM Lead; DROP", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id, (SELECT Id FROM Tasks) FROM Lead", "MALFORMED_QUERY", "subqueries"),
        (f"SELECT Id FROM Lead WHERE LastName = '{'x' * 100_000}'", "MALFORMED_QUERY", "longer than 100000 characters"),
    ],
)
def test_refusals(store: Store, soql: str, code: str, words: str) -> None:
    with pytest.raises(SoqlError) as caught:
        plan(store, soql)
    assert caught.value.code == code
    assert words in caught.value.message


def test_a_flood_is_a_sequence_before_the_real_rows() -> None:
    template = {"Id": "00Q000000000001AAA", "SystemModstamp": "2026", "LastName": "Alpha"}
    flood = Flood(template, 1_000_000, NOW)
    joined = Joined(flood, flood.within([]), [template])
    assert len(joined) == 1_000_001
    assert joined[-1] is template
    assert joined[7] == template | {"Id": "00QF00000000007MAA", "SystemModstamp": "2027-01-15T08:00:00.000+0000"}
    assert [row["Id"] for row in joined[999_999:]] == [flood.row(999_999)["Id"], template["Id"]]
    assert len(joined[10:20]) == len(list(joined[10:20])) == 10
    low, high = flood.row(250)["Id"], flood.row(500)["Id"]
    assert flood.within([lambda row: row["Id"] > low, lambda row: row["Id"] <= high]) == range(251, 501)
    assert not flood.within([lambda row: row["Id"] > "00QG"])
    with pytest.raises(IndexError):
        joined[1_000_001]

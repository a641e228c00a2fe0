"""How the Salesforce connector asks and what it makes of answers: field lists cut to size, bulk text, marks, rates."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast
from urllib.parse import quote_plus
from zoneinfo import ZoneInfo

import pytest

from connectors.errors import (
    AuthError,
    ConnectorError,
    NotReadable,
    RateLimited,
    SourceConfigError,
    StreamError,
    TransientError,
)
from connectors.retry import Retry
from connectors.salesforce.bulk import rows_of
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.errors import (
    DayIsOver,
    LostPosition,
    Metered,
    Mistake,
    SessionExpired,
    TooMuch,
    UnknownField,
    error_of,
    soap_error_of,
)
from connectors.salesforce.fields import EXTRA, MAPS, TABLES
from connectors.salesforce.login import sunsets
from connectors.salesforce.marks import grounded, grounded_passing, renewed
from connectors.salesforce.query import Select, by_room, id_list, length_of, merge
from connectors.salesforce.rates import _at, _series
from connectors.salesforce.schema import OrgSchema, parse_day_after
from connectors.salesforce.settings import OFFERED, SalesforceLimits, SalesforceSettings
from connectors.transport import Answer
from syncagent.schema import TABLES as OURS
from syncagent.schema import column_types

STAMPED = ("Id", "SystemModstamp")
LIMITS = SalesforceLimits()
ROOM = LIMITS.room


def _settings(**more: Any) -> SalesforceSettings:
    given = {
        "type": "salesforce",
        "instance_url": "https://a.my.salesforce.com",
        "client_id": "c",
        "client_secret": "s",
    }
    return SalesforceSettings(**{**given, **more})


def test_a_list_of_fields_that_fits_is_one_query() -> None:
    select = Select("Lead", (*STAMPED, "Name"), ("IsDeleted = false",), "SystemModstamp")
    assert [part.soql for part in select.parts(ROOM)] == [
        "SELECT Id, SystemModstamp, Name FROM Lead WHERE IsDeleted = false ORDER BY SystemModstamp ASC, Id ASC"
    ]


@pytest.mark.parametrize("by", ["Id", "SystemModstamp"])
def test_a_list_of_fields_that_does_not_fit_is_cut_and_nothing_is_left_out(by: str) -> None:
    names = (*STAMPED, *(f"A_Field_With_A_Long_Name_{number}__c" for number in range(2000)))
    parts = Select("Lead", names, ("IsDeleted = false",), by).parts(ROOM)
    row = {"Id": "00QJ800000000AAAAA", "SystemModstamp": "2026-01-01T00:00:00.000+0000"}
    assert len(parts) > 2
    assert {name for part in parts for name in part.names} == set(names)
    assert all(part.names[:2] == STAMPED for part in parts)
    assert all(len(quote_plus(part.over(row, row).soql)) <= ROOM for part in parts)


def test_ids_are_grouped_so_that_each_address_fits_and_nothing_else_gets_in() -> None:
    ids = [f"00QJ8{number:010d}AAA" for number in range(3000)]
    base = "SELECT Id, Name FROM Lead WHERE Id IN ()"
    groups = by_room(ids, base, ROOM)
    assert [one for group in groups for one in group] == ids
    assert all(length_of(base.replace("()", id_list(group))) <= ROOM for group in groups)
    with pytest.raises(StreamError):
        id_list(["x') OR (Name != '"])


def test_two_parts_of_a_record_become_one() -> None:
    row: dict[str, Any] = {"Id": "1", "Owner": {"Name": "A"}}
    merge(row, {"Id": "1", "Owner": {"Email": "b"}, "Amount": 2})
    assert row == {"Id": "1", "Owner": {"Name": "A", "Email": "b"}, "Amount": 2}


BULK_TYPES = {"IsWon": "boolean", "Amount": "currency", "Name": "string", "CloseDate": "date"}


def test_bulk_text_has_the_shape_of_rest() -> None:
    header = "Id,IsWon,Amount,Name,CloseDate,UserRole.Name,Manager.Name"
    text = header + '\n"1","true","1.0E7","a, ""b""\nc é 🎉","2026-01-02","R",""\n'
    assert list(rows_of(text.encode(), BULK_TYPES)) == [
        {
            "Id": "1",
            "IsWon": True,
            "Amount": 1e7,
            "Name": 'a, "b"\nc é 🎉',
            "CloseDate": "2026-01-02",
            "UserRole": {"Name": "R"},
        }
    ]


@pytest.mark.parametrize("text", ["Id,Name\n1\n", 'Id,Name\n1,"cut', "Id,Name\n1,2,3\n"])
def test_bulk_text_that_is_not_whole_is_no_answer(text: str) -> None:
    with pytest.raises(TransientError):
        list(rows_of(text.encode(), {}))


def test_bulk_text_of_any_length_and_of_nothing() -> None:
    long = "x" * 400_000
    assert [row["Name"] for row in rows_of(f'Id,Name\n1,"{long}"\n2,""\n'.encode(), {})] == [long, None]
    assert list(rows_of(b"", {})) == list(rows_of(b"Id,Name\n", {})) == []


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (401, "INVALID_SESSION_ID", "Session expired or invalid", SessionExpired),
        (401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API", AuthError),
        (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", DayIsOver),
        (403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.", RateLimited),
        (400, "QUERY_TIMEOUT", "", TooMuch),
        (400, "OPERATION_TOO_LARGE", "", TooMuch),
        (400, "INVALID_FIELD", "No such column 'X' on entity 'Y'", UnknownField),
        (400, "INVALID_TYPE", "", NotReadable),
        (400, "MALFORMED_QUERY", "", StreamError),
        (400, "INVALID_QUERY_LOCATOR", "", LostPosition),
        (403, "INSUFFICIENT_ACCESS_OR_READONLY", "", NotReadable),
        (400, "UNABLE_TO_LOCK_ROW", "", TransientError),
        (403, "API_DISABLED_FOR_ORG", "", AuthError),
        (401, "API_CURRENTLY_DISABLED", "", AuthError),
        (403, "TXN_SECURITY_METERING_ERROR", "", Metered),
        (401, "TXN_SECURITY_METERING_ERROR", "", Metered),
        (410, "", "", SourceConfigError),
        (503, "SERVER_UNAVAILABLE", "", TransientError),
        (500, "UNKNOWN_EXCEPTION", "", Mistake),
        (500, "APEX_ERROR", "", Mistake),
        (414, "", "", StreamError),
        (404, "", "", NotReadable),
    ],
)
def test_each_error_is_what_its_code_says(status: int, code: str, message: str, kind: type[ConnectorError]) -> None:
    body = json.dumps([{"errorCode": code, "message": message}]).encode()
    error = error_of(Answer(status, {}, body))
    assert type(error) is kind
    assert isinstance(error, DayIsOver) == ("TotalRequests" in message)


def test_a_refused_password_login_tells_passing_from_lasting() -> None:
    assert isinstance(soap_error_of("SERVER_UNAVAILABLE"), TransientError)
    assert "unlock" in str(soap_error_of("sf:PASSWORD_LOCKOUT"))
    assert isinstance(soap_error_of(None), AuthError)


@pytest.mark.parametrize(("version", "ends_on"), [("58.0", date(2026, 6, 1)), ("66.0", date(2029, 2, 1))])
def test_a_version_of_the_api_is_kept_three_years(version: str, ends_on: date) -> None:
    assert [one.ends_on for one in sunsets(_settings(api_version=version))] == [ends_on]


def test_a_contract_ends_on_the_day_after_its_last() -> None:
    assert parse_day_after("2026-12-31") == "2027-01-01"
    assert parse_day_after("2028-02-28") == "2028-02-29"


def test_marks_of_earlier_versions_go_on_where_they_were() -> None:
    at = "2026-11-20T12:00:00Z"
    done = renewed({"at": at, "id": "", "done": True}, LIMITS)
    assert (done["at"], done["far"]) == ("2026-11-20T11:50:00Z", "2026-11-20T10:59:00Z")
    broken_off = renewed({"at": at, "id": "001", "done": False}, LIMITS)
    assert (broken_off["at"], broken_off["id"]) == (at, "001")
    assert broken_off["hi"] > at
    assert renewed(None, LIMITS) == {}


CLOCK = datetime(2026, 11, 20, 12, tzinfo=UTC)
BACK = "2026-11-20T10:44:00Z"  # as much earlier as clocks may differ and a row may be late


def test_a_position_beyond_the_clock_goes_back() -> None:
    honest = {"at": "2026-11-20T11:55:00Z", "id": "", "done": True, "far": "2026-11-20T10:30:00Z"}
    assert grounded(honest, CLOCK, LIMITS.late) == honest
    ahead = {"at": "2026-11-22T11:55:00Z", "id": "", "done": True, "far": "2026-11-22T10:30:00Z"}
    assert grounded(ahead, CLOCK, LIMITS.late) == {"at": BACK, "id": "", "done": True, "far": BACK}
    assert grounded({**ahead, "far": "2026-11-20T09:00:00Z"}, CLOCK, LIMITS.late)["far"] == "2026-11-20T09:00:00Z"
    under_way = {**honest, "done": False, "hi": "2026-12-01T00:00:00Z", "far_to": "2026-12-01T00:00:00Z"}
    assert grounded(under_way, CLOCK, LIMITS.late) == {**under_way, "hi": BACK, "far_to": BACK}
    by_rest = {**honest, "rest_until": "2027-01-01T00:00:00Z"}
    assert grounded(by_rest, CLOCK, LIMITS.late)["rest_until"] == "2026-11-21T12:00:00Z"
    assert grounded({}, CLOCK, LIMITS.late) == {}


def test_what_came_to_pass_beyond_the_clock_is_looked_at_again() -> None:
    honest = {"at": "2026-11-20T12:00:00Z", "id": "", "done": True}
    assert grounded_passing(honest, CLOCK, LIMITS.late) == honest
    assert grounded_passing({**honest, "at": "2026-11-21T12:00:00Z"}, CLOCK, LIMITS.late) == {**honest, "at": BACK}


def test_a_vendor_s_clock_ahead_of_ours_is_believed_for_minutes_only() -> None:
    client = SalesforceClient(_settings(), retry=Retry())
    try:
        assert client.vendor_now(CLOCK) == CLOCK - timedelta(minutes=15)
        for ahead_min, believed_min in ((-600, -600), (10, 10), (120, -15), (60 * 24 * 40, -15)):
            client.last_answer_at = CLOCK + timedelta(minutes=ahead_min)
            assert client.vendor_now(CLOCK) == CLOCK + timedelta(minutes=believed_min)
    finally:
        client.close()


def test_a_rate_holds_from_its_day_on() -> None:
    rows = [{"StartDate": "2026-02-01", "ConversionRate": 2}, {"StartDate": "2026-01-01", "ConversionRate": 1}]
    series = _series([*rows, {"StartDate": "2026-03-01", "ConversionRate": None}, {"ConversionRate": "x"}])
    assert series == [("2026-01-01", 1.0), ("2026-02-01", 2.0)]
    assert [_at(series, day) for day in ("2025-12-31", "2026-01-31", "2026-02-01")] == [1.0, 1.0, 2.0]


def test_every_column_is_one_of_the_table_s_and_every_extra_one_of_a_mapped_object() -> None:
    for name, fields in MAPS.items():
        assert {field.column for field in fields} <= set(column_types(TABLES[name]))
    assert set(EXTRA) <= set(MAPS)
    for name, made in EXTRA.items():
        assert {column for columns in made.values() for column in columns} <= set(column_types(TABLES[name]))
    assert set(OFFERED) <= set(OURS)


def test_settings_have_their_defaults_and_take_tables_of_lines() -> None:
    settings = _settings(fields={"order_lines": {"note": "Note__c"}})
    assert (settings.bulk_from, settings.api_version) == (10_000, "66.0")


class Describing:
    """A client that describes one object."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def describe(self, name: str) -> dict[str, Any]:
        return {"fields": [{"name": one, "type": "string"} for one in self.names]}


def test_a_field_that_is_described_but_refused_is_left_out_and_still_offered() -> None:
    """Else it would come and go with every sync, and the stream be read again each time."""
    client = Describing("Id", "Name", "LeadSource", "SystemModstamp")
    columns = {name: column_types(name) for name in OURS}
    schema = OrgSchema(
        cast(SalesforceClient, client), _settings(), columns=columns, zone=ZoneInfo("UTC"), currency="EUR"
    )
    feeds, described = schema.feeds("Opportunity"), schema.describe("Opportunity")
    assert schema.forget("Opportunity", "LeadSource")
    assert "LeadSource" not in schema.wanted("Opportunity", "SystemModstamp")
    assert not schema.forget("Opportunity", "LeadSource"), "there is nothing more to go on without"
    assert (schema.feeds("Opportunity"), schema.describe("Opportunity")) == (feeds, described)
    client.names = ("Id", "Name", "SystemModstamp")
    schema.forget("Opportunity", "")
    assert "LeadSource" not in schema.feeds("Opportunity"), "what is not described any more is gone"

"""Bulk API 2.0 query jobs of the sandbox: their states, their CSV, and everything that goes wrong with them."""

from collections.abc import Iterator
from typing import Any

import pytest

from syncagent.sandbox.clock import DAY
from syncagent.sandbox.salesforce.bulk_csv import java_double
from tests.integration.salesforce_calls import Caller, running, table

LEADS = "SELECT Id, LastName FROM Lead"


@pytest.fixture(scope="module")
def caller() -> Iterator[Caller]:
    with running() as made:
        yield made


@pytest.fixture
def sf(caller: Caller) -> Caller:
    return caller.anew()


def test_a_job_runs_through_its_states(sf: Caller) -> None:
    sf.server.bulk.polls_needed = 2
    made = sf.make_job(LEADS).json()
    assert made["state"] == "UploadComplete"
    assert (made["object"], made["operation"], made["apiVersion"]) == ("Lead", "queryAll", 66.0)
    assert made["createdDate"].endswith(".000+0000")
    assert [sf.state(made["id"]) for _ in range(3)] == ["InProgress", "InProgress", "JobComplete"]
    done = sf.get(f"/jobs/query/{made['id']}").json()
    assert done["numberRecordsProcessed"] == len(sf.rows(LEADS))
    assert [job["id"] for job in sf.get("/jobs/query").json()["records"]] == [made["id"]]
    assert sf.server.bulk.created == 1


def test_results_come_page_by_page(sf: Caller) -> None:
    job = sf.finished_job("SELECT Id FROM CaseHistory")
    found, locators, locator = [], [], ""
    while locator != "null":
        page = sf.results(job, maxRecords=7, **({"locator": locator} if locator else {}))
        lines = table(page)
        assert page.headers["Content-Type"].startswith("text/csv")
        assert lines[0] == ["Id"]
        assert int(page.headers["Sforce-NumberOfRecords"]) == len(lines) - 1 <= 7
        found += [line[0] for line in lines[1:]]
        locator = page.headers["Sforce-Locator"]
        locators.append(locator)
    assert sorted(found) == sorted(row["Id"] for row in sf.rows("SELECT Id FROM CaseHistory"))
    assert len(set(locators)) == len(locators) > 2


def test_simple_salesforce_reads_a_job(sf: Caller) -> None:
    """The package's own bulk client gets through: what it needs of headers and documents is there."""
    from simple_salesforce.bulk2 import SFBulk2Handler

    bulk: Any = SFBulk2Handler(sf.log_in(), f"{sf.server.url}/services/data/v66.0/jobs/", session=sf.http)
    pages = list(bulk.Case.query_all("SELECT Id, Subject FROM Case", max_records=3, wait=0.001))
    assert sum(page.count("\n") - 1 for page in pages) == len(sf.rows("SELECT Id FROM Case"))
    client = bulk.Case._client
    job = client.create_job("query", "SELECT Id FROM Case")["id"]
    assert client.abort_job(job, True)["state"] == "Aborted"


def test_values_are_spelled_as_the_vendor_does(sf: Caller) -> None:
    server = sf.server
    first, second, *_ = server.rows.tables["Opportunity"]
    server.shown.put_in(first, Name='Line\r\none, "two"\x00', Amount=12_345_678.5, NextStep="", IsWon=True)
    server.shown.put_in(second, Name="x" * 130_000, Amount=None, CloseDate="2026-02-28", IsWon=False)
    fields = [
        "Id",
        "Name",
        "Amount",
        "IsWon",
        "CloseDate",
        "SystemModstamp",
        "Owner.Name",
        "Account.Owner.UserRole.Name",
    ]
    job = sf.finished_job(f"SELECT {', '.join(fields).lower()} FROM Opportunity")
    raw = sf.results(job).content.decode()
    header, *lines = table(sf.results(job))
    assert header == fields
    assert raw.startswith('"Id","Name"')
    by_id = {line[0]: line for line in lines}
    assert by_id[first][1:4] == ['Line\r\none, "two"\x00', "1.23456785E7", "true"]
    assert by_id[second][1:5] == ["x" * 130_000, "", "false", "2026-02-28"]
    for rest in (line for key, line in by_id.items() if key not in (first, second)):
        row = server.rows.tables["Opportunity"][rest[0]]
        assert rest[5] == row["SystemModstamp"].replace("+0000", "Z")
        assert rest[6] == server.rows.tables["User"][row["OwnerId"]]["Name"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0.0"), (12.5, "12.5"), (-3.0, "-3.0"), (9_999_999.0, "9999999.0"), (1e7, "1.0E7"), (1.5e9, "1.5E9"),
        (1e308, "1.0E308"), (0.0001, "1.0E-4"), (-123456789.25, "-1.2345678925E8"),
        (float(2**63), "9.223372036854776E18"),
    ],
)  # fmt: skip
def test_doubles_look_like_javas(number: float, text: str) -> None:
    assert java_double(number) == text
    assert float(text) == number


def test_delimiter_and_line_ending(sf: Caller) -> None:
    job = sf.finished_job("SELECT Id, Name FROM UserRole", columnDelimiter="PIPE", lineEnding="CRLF")
    lines = sf.results(job).content.decode().split("\r\n")
    assert lines[0] == '"Id"|"Name"'
    assert len(lines) == len(sf.rows("SELECT Id FROM UserRole")) + 2


def test_a_job_over_nothing_has_a_header_alone(sf: Caller) -> None:
    page = sf.results(sf.finished_job("SELECT Id FROM Lead WHERE LastName = 'Nobody at all'"))
    assert table(page) == [["Id"]]
    assert (page.headers["Sforce-Locator"], page.headers["Sforce-NumberOfRecords"]) == ("null", "0")


def test_query_leaves_deleted_rows_out(sf: Caller) -> None:
    contact = next(contact for contact in sf.server._company.contacts if contact.sf)
    contact.deleted = sf.server._company.now
    sf.server.refresh([contact])
    job = sf.finished_job("SELECT Id FROM Contact", operation="query")
    live = {line[0] for line in table(sf.results(job))[1:]}
    assert live == {row["Id"] for row in sf.rows("SELECT Id FROM Contact", everything=False)}
    assert live | {contact.sf} == {row["Id"] for row in sf.rows("SELECT Id FROM Contact")}


def test_a_job_shows_what_was_there_when_it_was_made(sf: Caller) -> None:
    server, company = sf.server, sf.server._company
    job = str(sf.make_job(LEADS).json()["id"])
    lead = next(lead for lead in company.leads if lead.sf and lead.deleted is None)
    lead.last = "Later"
    server.refresh([lead])
    while sf.state(job) != "JobComplete":
        pass
    assert "Later" not in sf.results(job).text
    assert "Later" in sf.results(sf.finished_job(LEADS)).text


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT COUNT(Id) FROM Lead", "FUNCTIONALITY_NOT_ENABLED"),
        ("SELECT Status, COUNT(Id) FROM Lead GROUP BY Status", "FUNCTIONALITY_NOT_ENABLED"),
        ("SELECT Id FROM Lead LIMIT 5 OFFSET 2", "FUNCTIONALITY_NOT_ENABLED"),
        ("SELECT Id, BillingAddress FROM Account", "FUNCTIONALITY_NOT_ENABLED"),
        ("SELECT Id FROM CaseStatus", "INVALIDENTITY"),
        ("SELECT Id, Nope FROM Lead", "INVALID_FIELD"),
        ("SELECT Id FROM Nope", "INVALID_TYPE"),
        ("SELECT FROM Lead", "MALFORMED_QUERY"),
    ],
)
def test_what_bulk_refuses(sf: Caller, soql: str, code: str) -> None:
    assert sf.error(sf.make_job(soql)) == (400, code)
    assert sf.server.bulk.created == 0


def test_order_by_is_taken(sf: Caller) -> None:
    job = sf.finished_job("SELECT CreatedDate FROM CaseHistory ORDER BY CreatedDate DESC, Id")
    stamps = [line[0] for line in table(sf.results(job))[1:]]
    assert stamps == sorted(stamps, reverse=True)


def test_aborting_and_deleting(sf: Caller) -> None:
    job = str(sf.make_job(LEADS).json()["id"])
    early = sf.call("DELETE", f"/jobs/query/{job}", timeout=5)
    assert sf.error(early) == (400, "INVALIDJOBSTATE")
    assert sf.error(sf.results(job)) == (400, "INVALIDJOBSTATE")
    aborted = sf.call("PATCH", f"/jobs/query/{job}", json={"state": "Aborted"}, timeout=5)
    assert aborted.json()["state"] == sf.state(job) == "Aborted"
    again = sf.call("PATCH", f"/jobs/query/{job}", json={"state": "Aborted"}, timeout=5)
    assert sf.error(again) == (400, "INVALIDJOBSTATE")
    gone = sf.call("DELETE", f"/jobs/query/{job}", timeout=5)
    assert (gone.status_code, gone.content) == (204, b"")
    assert sf.get(f"/jobs/query/{job}").status_code == 404
    assert (sf.server.bulk.aborted, sf.server.bulk.deleted) == (1, 1)


@pytest.mark.parametrize(("kind", "state"), [("failed", "Failed"), ("aborted", "Aborted"), ("stuck", "InProgress")])
def test_jobs_that_come_to_nothing(sf: Caller, kind: str, state: str) -> None:
    sf.server.bulk.fault(kind, sobject="Lead")
    assert sf.state(sf.finished_job("SELECT Id FROM Case")) == "JobComplete"
    job = sf.finished_job(LEADS)
    info = sf.get(f"/jobs/query/{job}").json()
    assert info["state"] == state
    assert ("errorMessage" in info) is (kind == "failed")
    assert sf.results(job).status_code == 400
    assert sf.state(sf.finished_job(LEADS)) == "JobComplete"  # it strikes once


def test_a_job_that_fails_after_its_first_page(sf: Caller) -> None:
    sf.server.bulk.fault("partial", after=1)
    job = sf.finished_job(LEADS)
    page = sf.results(job, maxRecords=1)
    assert page.status_code == 200
    lost = sf.results(job, maxRecords=1, locator=page.headers["Sforce-Locator"])
    assert sf.error(lost) == (400, "INVALIDJOBSTATE")
    assert sf.state(job) == "Failed"


def test_counts_that_are_wrong_or_missing(sf: Caller) -> None:
    bulk = sf.server.bulk
    number = len(sf.rows(LEADS))
    bulk.fault("count_wrong")
    assert sf.results(sf.finished_job(LEADS)).headers["Sforce-NumberOfRecords"] == str(number + 7)
    bulk.fault("count_missing")
    assert "Sforce-NumberOfRecords" not in sf.results(sf.finished_job(LEADS)).headers
    bulk.fault("short")
    page = sf.results(sf.finished_job(LEADS))
    assert (int(page.headers["Sforce-NumberOfRecords"]), len(table(page)) - 1) == (number, number - 1)


def test_results_that_are_gone(sf: Caller) -> None:
    bulk = sf.server.bulk
    bulk.fault("expired", after=1)
    job = sf.finished_job(LEADS)
    page = sf.results(job, maxRecords=1)
    locator = page.headers["Sforce-Locator"]
    assert [sf.results(job, maxRecords=1, locator=locator).status_code for _ in range(2)] == [404, 404]
    job = sf.finished_job(LEADS)
    sf.server._company.now += 8 * DAY  # results are kept seven days
    assert sf.results(job).status_code == 404


def test_a_session_that_ends_between_two_pages(sf: Caller) -> None:
    sf.server.bulk.fault("unauthorised", after=1)
    job = sf.finished_job(LEADS)
    locator = sf.results(job, maxRecords=1).headers["Sforce-Locator"]
    assert sf.error(sf.results(job, maxRecords=1, locator=locator)) == (401, "INVALID_SESSION_ID")
    assert sf.results(job, maxRecords=1, locator=locator).status_code == 200


def test_the_number_of_jobs_a_day_is_limited(sf: Caller) -> None:
    bulk = sf.server.bulk
    bulk.daily_jobs = 2
    for _ in range(2):
        sf.finished_job(LEADS)
    assert sf.error(sf.make_job(LEADS)) == (400, "LIMIT_EXCEEDED")
    sf.server._company.now += DAY + 1
    assert sf.make_job(LEADS).status_code == 200
    bulk.fault("limit")
    assert sf.error(sf.make_job(LEADS)) == (400, "LIMIT_EXCEEDED")
    bulk.fault("unsupported", sobject="Lead")
    assert sf.error(sf.make_job(LEADS)) == (400, "INVALIDENTITY")


def test_nonsense_is_refused(sf: Caller) -> None:
    assert sf.error(sf.call("POST", "/jobs/query", data=b"{", timeout=5)) == (400, "JSON_PARSER_ERROR")
    assert sf.error(sf.make_job(LEADS, operation="insert")) == (400, "INVALIDJOB")
    job = sf.finished_job(LEADS)
    assert sf.error(sf.results(job, locator="!!")) == (400, "INVALID_QUERY_LOCATOR")
    assert sf.get("/jobs/query/750000000000000AAA").status_code == 404
    with pytest.raises(ValueError, match="no such fault"):
        sf.server.bulk.fault("nonsense")

"""What the sandbox's Salesforce allows, how its pages come, and when it shows what."""

import threading
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from syncagent.sandbox.clock import DAY, sf_instant
from syncagent.sandbox.generate import generate
from tests.integration.salesforce_calls import AS_OF, Caller, running, table

LEADS = "SELECT Id, LastName, SystemModstamp FROM Lead"


@pytest.fixture(scope="module")
def caller() -> Iterator[Caller]:
    with running() as made:
        yield made


@pytest.fixture
def sf(caller: Caller) -> Caller:
    return caller.anew()


# -- limits ------------------------------------------------------------------------------------------------------------


def test_the_day_has_so_many_calls(sf: Caller) -> None:
    limits = sf.server.limits
    limits.daily_limit, limits.foreign = 100, 98
    assert sf.query(LEADS).headers["Sforce-Limit-Info"] == "api-usage=99/100"
    assert sf.query(LEADS).status_code == 200
    assert sf.error(sf.query(LEADS)) == (403, "REQUEST_LIMIT_EXCEEDED")
    sf.server._company.now += DAY + 1
    limits.foreign = 0
    assert sf.get("/limits").json()["DailyApiRequests"] == {"Max": 100, "Remaining": 99}


def test_the_usage_header_may_be_missing_or_nonsense(sf: Caller) -> None:
    sf.server.limits.info = None
    assert "Sforce-Limit-Info" not in sf.query(LEADS).headers
    sf.server.limits.info = "api-usage=many/-1;;"
    assert sf.query(LEADS).headers["Sforce-Limit-Info"] == "api-usage=many/-1;;"
    sf.server.limits.info = "api-usage={used}/{limit}; per-app-api-usage=17/250(appName=sample-app)"
    assert "per-app" in sf.query(LEADS).headers["Sforce-Limit-Info"]


def test_long_calls_at_once_are_limited(sf: Caller) -> None:
    sf.server.limits.long_calls, sf.server.limits.long_after_s = 2, 0.0
    sf.server.latency = (0.15, 0.15)
    answers: list[tuple[int, str]] = []

    def ask() -> None:
        reply = sf.get("/query", params={"q": LEADS})
        answers.append((reply.status_code, "" if reply.ok else reply.json()[0]["message"]))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [answer for answer in answers if answer[0] == 403]
    assert len(refused) == 2
    assert all(words.startswith("ConcurrentPerOrgLongTxn") for _, words in refused)
    assert sf.server.limits.refused_long == 2
    assert sf.query(LEADS).status_code == 200  # alone again


def test_short_calls_at_once_are_not(sf: Caller) -> None:
    sf.server.limits.long_calls = 1
    sf.server.latency = (0.05, 0.05)
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(sf.query(LEADS).status_code)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * 4


def test_addresses_have_a_length(sf: Caller) -> None:
    ids = ", ".join(f"'00Q{number:015d}'" for number in range(900))
    assert sf.query(f"SELECT Id FROM Lead WHERE Id IN ({ids})").status_code == 414
    padded = sf.get("/query", params={"q": LEADS}, headers={"X-Padding": "x" * 16_300})
    assert padded.status_code == 431
    assert padded.headers["Content-Type"].startswith("text/html")


def test_queries_that_find_too_much(sf: Caller) -> None:
    limits, number = sf.server.limits, len(sf.rows(LEADS))
    limits.timeout_rows = number - 1
    assert sf.error(sf.query(LEADS)) == (400, "QUERY_TIMEOUT")
    assert sf.query(f"{LEADS} LIMIT {number - 1}").status_code == 200
    assert sf.query("SELECT COUNT() FROM Lead").json()["totalSize"] == number
    assert sf.make_job(LEADS).status_code == 200
    limits.timeout_rows, limits.too_large = None, {"Lead": number - 1}
    assert sf.error(sf.query(LEADS)) == (400, "OPERATION_TOO_LARGE")


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("high_assurance", 401, "INVALID_SESSION_ID"),
        ("concurrent", 403, "REQUEST_LIMIT_EXCEEDED"),
        ("lock", 400, "UNABLE_TO_LOCK_ROW"),
        ("unavailable", 503, "SERVER_UNAVAILABLE"),
        ("api_disabled", 403, "API_DISABLED_FOR_ORG"),
        ("metering", 403, "TXN_SECURITY_METERING_ERROR"),
        ("no_access", 400, "INSUFFICIENT_ACCESS"),
        ("retired", 410, "UNSUPPORTED_API_VERSION"),
    ],
)
def test_errors_by_name(sf: Caller, name: str, status: int, code: str) -> None:
    sf.server.refuse(name, "/query", after=1)
    assert sf.query(LEADS).status_code == 200
    assert sf.error(sf.query(LEADS)) == (status, code)
    assert sf.query(LEADS).status_code == 200


# -- pages -------------------------------------------------------------------------------------------------------------


def test_a_result_stays_as_it_was_when_asked_for(sf: Caller) -> None:
    sf.server.limits.page_rows = 2
    page = sf.query(f"{LEADS} ORDER BY Id").json()
    leads = [lead for lead in sf.server._company.leads if lead.sf]
    for lead in leads:
        lead.last = "Later"
        lead.modified = sf.server._company.now
    sf.server.refresh(leads)
    rest = sf.get(page["nextRecordsUrl"]).json()
    assert page["totalSize"] == len(page["records"]) + len(rest["records"]) == len(leads)
    assert all(row["LastName"] != "Later" for row in rest["records"])
    assert all(row["LastName"] == "Later" for row in sf.rows(LEADS))


def test_locators_live_two_days(sf: Caller) -> None:
    sf.server.limits.page_rows = 1
    link = sf.query(LEADS).json()["nextRecordsUrl"]
    sf.server._company.now += 2 * DAY
    assert sf.get(link).status_code == 200
    sf.server._company.now += 1
    assert sf.error(sf.get(link)) == (400, "INVALID_QUERY_LOCATOR")


def test_more_rows_than_a_page_in_one_second(sf: Caller) -> None:
    server, company = sf.server, sf.server._company
    tickets = [ticket for ticket in company.tickets if ticket.sf and not ticket.erased]
    for ticket in tickets:
        ticket.modified = company.now
    server.refresh(tickets)
    server.limits.page_rows = 2
    rows = sf.rows(f"SELECT Id FROM Case WHERE SystemModstamp = {AS_OF:%Y-%m-%dT%H:%M:%SZ} ORDER BY Id")
    assert [row["Id"] for row in rows] == sorted(str(ticket.sf) for ticket in tickets)
    last = rows[2]["Id"]
    later = sf.rows(
        f"SELECT Id FROM Case WHERE SystemModstamp = {AS_OF:%Y-%m-%dT%H:%M:%SZ} AND Id > '{last}' ORDER BY Id"
    )
    assert [row["Id"] for row in later] == [row["Id"] for row in rows[3:]]


# -- when it shows -----------------------------------------------------------------------------------------------------


def test_a_late_commit_shows_later_under_its_own_stamp(sf: Caller) -> None:
    server, company = sf.server, sf.server._company
    lead = next(lead for lead in company.leads if lead.sf and lead.deleted is None)
    before = sf.rows(f"{LEADS} WHERE Id = '{lead.sf}'")
    changed_at = company.now
    server.hide_until(lead, changed_at + 59 * 60)
    lead.last, lead.modified = "Later", changed_at
    server.refresh([lead])
    company.now += 59 * 60 - 1
    assert sf.rows(f"{LEADS} WHERE Id = '{lead.sf}'") == before
    assert "Later" not in sf.results(sf.finished_job(LEADS)).text
    company.now += 1
    after = sf.rows(f"{LEADS} WHERE SystemModstamp >= {AS_OF:%Y-%m-%dT%H:%M:%SZ}")
    assert [(row["LastName"], row["SystemModstamp"]) for row in after] == [("Later", sf_instant(changed_at))]


def test_a_new_record_may_be_late_too(sf: Caller) -> None:
    server, company = sf.server, sf.server._company
    gone = next(lead for lead in company.leads if lead.sf)
    lead_id, gone.sf = gone.sf, None
    server.refresh([gone])
    gone.sf = lead_id
    server.shown.lag = lambda entity: company.now - entity.modified + 600
    server.refresh([gone])
    assert not sf.rows(f"{LEADS} WHERE Id = '{lead_id}'")
    company.now += 600
    assert len(sf.rows(f"{LEADS} WHERE Id = '{lead_id}'")) == 1


def test_a_clock_that_is_ahead(sf: Caller) -> None:
    server, company = sf.server, sf.server._company
    server.skew_s = server.shown.stamp_shift_s = 600
    lead = next(lead for lead in company.leads if lead.sf)
    lead.modified = company.now
    server.refresh([lead])
    reply = sf.query(f"{LEADS} WHERE Id = '{lead.sf}'")
    assert parsedate_to_datetime(reply.headers["Date"]).timestamp() == company.now + 600
    assert reply.json()["records"][0]["SystemModstamp"] == sf_instant(company.now + 600)


def test_the_server_shows_another_company(sf: Caller) -> None:
    server = sf.server
    server.bulk.fault("failed")
    server.schema.hide("Lead")
    server.limits.daily_limit = 1
    server.refuse("unavailable", times=None)
    server.latency = (1.0, 1.0)
    other = generate(11, AS_OF, size="tiny")
    address = server.url
    server.reset(other)
    assert sf.get("/query", params={"q": LEADS}).status_code == 401
    sf.log_in()
    assert server.url == address
    expected = {str(lead.sf) for lead in other.leads if lead.sf and not lead.erased}
    assert {row["Id"] for row in sf.rows(LEADS)} == expected
    assert {line[0] for line in table(sf.results(sf.finished_job(LEADS)))[1:]} == expected
    assert (server.logins, server.bulk.created) == (1, 1)


def test_an_emptied_bin_leaves_no_trace(sf: Caller) -> None:
    server, company = sf.server, sf.server._company
    gone, kept = [contact for contact in company.contacts if contact.sf and contact.deleted is None][:2]
    for contact, at in ((gone, company.now - 20 * DAY), (kept, company.now)):
        contact.deleted = contact.modified = at
    server.refresh([gone, kept])
    everyone = "SELECT Id, IsDeleted FROM Contact"
    assert {gone.sf, kept.sf} <= {row["Id"] for row in sf.rows(everyone) if row["IsDeleted"]}
    server.shown.empty_bin(older_than_s=15 * DAY)
    server.refresh([gone])
    assert gone.sf not in {row["Id"] for row in sf.rows(everyone)}
    assert kept.sf in {row["Id"] for row in sf.rows(everyone)}
    server.shown.empty_bin()
    assert not any(row["IsDeleted"] for row in sf.rows(everyone))


def without_link(page: dict[str, Any]) -> dict[str, Any]:
    """A page, of its link to the next only that there is one: each answer has a locator of its own."""
    return page | {"nextRecordsUrl": bool(page.get("nextRecordsUrl"))}


@pytest.mark.parametrize("change", ["endless", "no_more", "empty_page", "doubled", "reversed", "no_results", "no_ids"])
def test_pages_may_be_spoiled(sf: Caller, change: str) -> None:
    """The faults of the wire fit Salesforce's pages too."""
    sf.server.limits.page_rows = 2
    good = sf.query(f"{LEADS} ORDER BY Id").json()
    sf.server.faults.mangle(change, "/queryAll")
    spoiled, mended = (sf.query(f"{LEADS} ORDER BY Id").json() for _ in range(2))
    assert without_link(spoiled) != without_link(good)
    assert without_link(mended) == without_link(good)


def test_a_flood_of_rows_is_read_page_by_page_and_in_bulk(sf: Caller) -> None:
    """As many rows as wanted cost the server no memory: they come before all real ones, by stamp and by id."""
    real = [row["Id"] for row in sf.rows("SELECT Id FROM Lead ORDER BY SystemModstamp, Id")]
    sf.server.shown.flood("Lead", 5_000)
    total = 5_000 + len(real)
    assert sf.query("SELECT COUNT() FROM Lead").json()["totalSize"] == total
    rows = sf.rows("SELECT Id, SystemModstamp FROM Lead ORDER BY SystemModstamp, Id")
    assert len({row["Id"] for row in rows}) == len(rows) == total
    assert rows == sorted(rows, key=lambda row: (row["SystemModstamp"], row["Id"]))
    assert [row["Id"] for row in rows[5_000:]] == real
    job = sf.finished_job("SELECT Id FROM Lead")
    first = sf.results(job, maxRecords=4_000)
    rest = sf.results(job, maxRecords=4_000, locator=first.headers["Sforce-Locator"])
    assert [line[0] for line in table(first)[1:] + table(rest)[1:4]] == [row["Id"] for row in rows[:4_003]]
    middle = rows[2_345]
    stamp = middle["SystemModstamp"].replace("+0000", "Z")
    keyset = f"(SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND Id > '{middle['Id']}'))"
    after = sf.query(f"SELECT Id FROM Lead WHERE {keyset} ORDER BY SystemModstamp, Id LIMIT 3").json()["records"]
    assert [row["Id"] for row in after] == [row["Id"] for row in rows[2_346:2_349]]
    window = f"SystemModstamp >= {stamp} AND SystemModstamp <= {stamp}"
    same = [row for row in rows if row["SystemModstamp"] == middle["SystemModstamp"]]
    assert sf.query(f"SELECT COUNT() FROM Lead WHERE {window}").json()["totalSize"] == len(same) == 100
    assert len(sf.rows(f"SELECT Id FROM Lead WHERE Id > '{rows[4_990]['Id']}' ORDER BY Id")) == 9 + len(real)

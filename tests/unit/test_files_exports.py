"""Salesforce's and HubSpot's own exports, read without a mapping: the same rows their connectors would have made."""

from pathlib import Path
from typing import Any

import pytest

from connectors.base import Record, Reject
from connectors.errors import SourceConfigError, StreamError
from tests.unit.test_files import connector, fetch, rejects_of

DEAL = "006Ws000008kZ0pIAE"
ACCOUNT = "001Ws00000Ab1CdIAJ"


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Write an export, read it as one entry: (records, rejects)."""

    def write_and_read(header: str, *rows: str, table: str, **entry: Any) -> tuple[list[Record], list[Reject]]:
        path = tmp_path / "export.csv"
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8-sig")
        pages = fetch(connector({"path": str(path), "table": table, **entry}, timezone="Europe/Berlin"), table)
        return [row for page in pages for row in page.records.get(table, ())], rejects_of(pages)

    return write_and_read


def test_salesforce_opportunities_come_with_state_money_and_long_ids(read: Any) -> None:
    records, rejects = read(
        "Id,IsDeleted,AccountId,Name,StageName,Amount,Probability,CloseDate,Type,IsClosed,IsWon,CurrencyIsoCode,"
        "OwnerId,CreatedDate,SystemModstamp",
        f"{DEAL[:15]},0,{ACCOUNT},Big,Closed Won,1200.5,100,2026-10-28,New Business,1,1,USD,005A00000012345IAA,"
        "2026-01-02 09:30:00,2026-10-28T08:00:00.000Z",
        "006Ws000008kZ0qIAE,1,,Small,Verloren,,0,2026-10-29,,true,false,,,2026-01-02 09:30:00,2026-10-28 08:00:00",
        table="opportunities",
    )
    assert rejects == []
    assert records[0] == {
        "source": "salesforce", "source_id": DEAL, "account_id": ACCOUNT, "owner_id": "005A00000012345IAA",
        "name": "Big", "stage": "Closed Won", "state": "won", "amount_minor": 120050, "currency": "USD",
        "probability": 1.0, "close_date": "2026-10-28", "type": "newbusiness", "is_deleted": 0,
        "created_at": "2026-01-02T09:30:00Z", "updated_at": "2026-10-28T08:00:00Z",
    }  # fmt: skip
    assert [(r["state"], r["is_deleted"], r["currency"]) for r in records] == [("won", 0, "USD"), ("lost", 1, "EUR")]


def test_a_record_merged_away_in_salesforce_points_at_its_survivor_and_is_not_deleted(read: Any) -> None:
    records, _ = read(
        "Id,IsDeleted,MasterRecordId,Name,Type,SystemModstamp",
        f"001Ws00000Ab1CeIAJ,1,{ACCOUNT},Old,Customer - Direct,2026-10-28 08:00:00",
        table="accounts",
    )
    assert [(r["merged_into"], r["is_deleted"], r["kind"]) for r in records] == [(ACCOUNT, 0, "customer")]


def test_salesforce_cases_leads_and_histories_have_their_categories(read: Any) -> None:
    cases, _ = read(
        "Id,CaseNumber,Status,IsClosed,Priority,Origin,CreatedDate,ClosedDate,SystemModstamp",
        "500A0000001AAAA,1,New,0,High,Email,2026-01-01 00:00:00,,2026-01-01 00:00:00",
        "500A0000001AAAB,2,Waiting on Customer,0,Low,Web,2026-01-01 00:00:00,,2026-01-01 00:00:00",
        "500A0000001AAAC,3,Done,1,Low,Phone,2026-01-01 00:00:00,2026-01-02 00:00:00,2026-01-01 00:00:00",
        table="tickets",
    )
    assert [(c["status_category"], c["priority"], c["touchpoint"]) for c in cases] == [
        ("open", "high", "email"), ("pending", "low", "web"), ("closed", "low", "phone"),
    ]  # fmt: skip
    leads, _ = read(
        "Id,FirstName,LastName,Company,Status,IsConverted,ConvertedDate,SystemModstamp",
        "00QA0000001AAAA,Kim,Doe,Acme,Qualified,0,,2026-01-01 00:00:00",
        "00QA0000001AAAB,,Poe,Acme,Qualified,1,2026-02-01,2026-01-01 00:00:00",
        "00QA0000001AAAC,,Roe,Acme,Unqualified,0,,2026-01-01 00:00:00",
        table="leads",
    )
    assert [(lead["name"], lead["status_category"], lead["converted_date"]) for lead in leads] == [
        ("Kim Doe", "open", None), ("Poe", "converted", "2026-02-01"), ("Roe", "disqualified", None),
    ]  # fmt: skip
    stages, _ = read(
        "Id,OpportunityId,StageName,Amount,Probability,ForecastCategory,CloseDate,CreatedDate",
        f"008A0000001AAAA,{DEAL},Offer,10,40,Pipeline,2026-02-01,2026-01-01 00:00:00",
        f"008A0000001AAAB,{DEAL},Erledigt,10,100,Closed,2026-02-01,2026-01-02 00:00:00",
        f"008A0000001AAAC,{DEAL},Weg,10,0,Omitted,2026-02-01,2026-01-03 00:00:00",
        table="opportunity_stage_history",
    )
    assert [(s["opportunity_id"], s["state"]) for s in stages] == [(DEAL, "open"), (DEAL, "won"), (DEAL, "lost")]
    changes, _ = read(
        "CaseId,OwnerId,Status,PreviousUpdate,LastModifiedById,LastModifiedDate",
        "500A0000001AAAA,,New,,,2026-01-01 00:00:00",
        "500A0000001AAAA,,Closed,,,2026-01-05 00:00:00",
        table="ticket_status_history",
    )
    assert [(c["status_category"], c["changed_at"]) for c in changes] == [
        ("open", "2026-01-01T00:00:00Z"), ("closed", "2026-01-05T00:00:00Z"),
    ]  # fmt: skip


def test_a_field_history_gives_only_its_rows_about_the_status(read: Any) -> None:
    rows, rejects = read(
        "Id,CaseId,Field,OldValue,NewValue,CreatedDate",
        "017A0000001AAAA,500A0000001AAAA,created,,,2026-01-01 00:00:00",
        "017A0000001AAAB,500A0000001AAAA,Owner,a,b,2026-01-02 00:00:00",
        "017A0000001AAAC,500A0000001AAAA,Status,New,Closed,2026-01-03 00:00:00",
        table="ticket_status_history",
    )
    assert [(r["status"], r["status_category"]) for r in rows] == [("Closed", "closed")]
    assert rejects == []


def test_salesforce_tasks_and_events_are_activities_linked_by_the_prefix_of_their_ids(read: Any) -> None:
    tasks, _ = read(
        "Id,Subject,WhoId,WhatId,AccountId,ActivityDate,Status,IsClosed,TaskSubtype,CallType,CallDisposition,"
        "CallDurationInSeconds,CompletedDateTime,CreatedDate,SystemModstamp",
        f"00TA0000001AAAA,Call,003A0000001AAAA,{DEAL},{ACCOUNT},2026-01-05,Completed,1,Call,Outbound,No answer,30,"
        "2026-01-05 10:00:00,2026-01-05 09:00:00,2026-01-05 10:00:00",
        "00TA0000001AAAB,Todo,00QA0000001AAAA,,,2026-01-06,Not Started,0,Task,,,,,2026-01-05 09:00:00,2026-01-05",
        table="activities",
    )
    assert [(t["type"], t["status"], t.get("connected")) for t in tasks] == [
        ("call", "completed", 0), ("task", "open", None),
    ]  # fmt: skip
    assert (tasks[0]["opportunity_id"], tasks[0]["account_id"], tasks[0]["occurred_at"]) == (
        DEAL, ACCOUNT, "2026-01-05T10:00:00Z",
    )  # fmt: skip
    assert tasks[1]["lead_id"][:15] == "00QA0000001AAAA"
    events, _ = read(
        "Id,Subject,WhatId,WhoId,StartDateTime,EndDateTime,SystemModstamp",
        f"00UA0000001AAAA,Demo,{DEAL},,2026-10-05 10:00:00,2026-10-05 11:00:00,2026-10-05 11:00:00",
        "00UA0000001AAAB,Demo,,,2026-12-05 10:00:00,2026-12-05 11:00:00,2026-10-05 11:00:00",
        table="activities",
    )
    assert [(e["type"], e["status"], e["duration_s"]) for e in events] == [
        ("meeting", "completed", 3600), ("meeting", "scheduled", 3600),
    ]  # fmt: skip


def test_a_salesforce_report_is_recognised_by_its_labels_and_its_footer_is_no_bad_row(read: Any) -> None:
    records, rejects = read(
        "Opportunity ID,Opportunity Name,Stage,Amount,Close Date,Opportunity Owner,Won,Closed",
        f"{DEAL[:15]},Big,Closed Won,10,2026-10-28,Kim Doe,1,1",
        "",
        '"Opportunities this year"',
        '"Copyright © 2000-2026 salesforce.com, inc. All rights reserved."',
        '"Confidential Information - Do Not Distribute"',
        table="opportunities",
    )
    assert [(r["source_id"], r["owner_id"], r["state"]) for r in records] == [(DEAL, "Kim Doe", "won")]
    assert rejects == []


REPORT = "Lead ID,Last Name,Company / Account,Lead Status,Lead Owner"
FOOTER = (
    '"Grand Totals (1 records)","1"',
    '"Filtered By"',
    '"   Show: All leads"',
    '"Copyright (c) 2000-2026 salesforce.com, inc. All rights reserved."',
    '"Confidential Information - Do Not Distribute"',
    '"Generated By: Kim Doe"',
)


def test_the_footer_of_a_salesforce_report_is_left_out_and_told_once(read: Any, caplog: Any) -> None:
    caplog.set_level("INFO")
    records, rejects = read(REPORT, "00QA0000001AAAA,A,Acme,Open,Kim Doe", *FOOTER, table="leads")
    assert (len(records), rejects) == (1, [])
    assert [one.message for one in caplog.records] == [
        "export.csv: lines 3 to 8 left out: the footer of a Salesforce report"
    ]
    assert caplog.records[0].levelname == "INFO"


def test_what_stands_before_a_record_or_says_nothing_is_no_footer_of_a_report(read: Any) -> None:
    row = "00QA0000001AAAA,Total,Acme,Open,Kim Doe"
    _, rejects = read(REPORT, FOOTER[1], row, table="leads")
    assert [(one.place, one.reason) for one in rejects] == [
        ("export.csv line 2", "1 cell where the header has 5"),
    ]
    _, rejects = read(REPORT, row, "00QA0000001AAAB", *FOOTER, table="leads")
    assert [one.place for one in rejects] == ["export.csv line 3"]
    _, rejects = read(REPORT, row, "Grumble", table="leads")
    assert [one.place for one in rejects] == ["export.csv line 3"]


def test_hubspot_deals_come_with_state_owner_and_company_in_the_agents_zone(read: Any) -> None:
    header = (
        "Record ID,Deal Name,Pipeline,Deal Stage,Amount,Close Date,Create Date,Last Modified Date,Deal owner,Deal Type,"
        "Associated Company IDs (Primary),Is Closed Won"
    )
    records, rejects = read(
        header,
        "111,Big,Sales,Closed Won,1000,2026-10-28 23:30,2026-01-01 09:00,2026-10-29 09:00,Kim Doe,New Business,77,true",
        "112,Mid,Sales,Closed Lost,500.50,2026-10-28 23:30,2026-01-01 09:00,2026-10-29 09:00,,Existing Business,,false",
        "113,New,Sales,Contract Sent,,,2026-01-01 09:00,2026-10-29 09:00,,,,false",
        table="opportunities",
    )
    assert rejects == []
    assert [(r["state"], r["type"], r["amount_minor"]) for r in records] == [
        ("won", "newbusiness", 100000), ("lost", "existingbusiness", 50050), ("open", None, None),
    ]  # fmt: skip
    first = records[0]
    assert (first["source"], first["source_id"], first["owner_id"], first["account_id"]) == (
        "hubspot", "111", "Kim Doe", "77",
    )  # fmt: skip
    assert (first["close_date"], first["close_at"], first["created_at"]) == (
        "2026-10-28", "2026-10-28T22:30:00Z", "2026-01-01T08:00:00Z",
    )  # fmt: skip
    again, _ = read(header.lower(), "111,a,b,c,1,,,,,,,", table="opportunities")
    assert again[0]["source_id"] == "111"


def test_hubspot_tickets_companies_contacts_and_leads(read: Any) -> None:
    tickets, _ = read(
        "Ticket ID,Ticket name,Ticket status,Priority,Source,Create date,Close date,Associated Contact IDs",
        "1,a,New,HIGH,EMAIL,2026-01-01 09:00,,5;6",
        "2,b,Waiting on contact,LOW,CHAT,2026-01-01 09:00,,",
        "3,c,Closed,LOW,FORM,2026-01-01 09:00,2026-01-03 09:00,",
        table="tickets",
    )
    assert [(t["source_id"], t["status_category"], t["contact_id"]) for t in tickets] == [
        ("1", "open", "5"), ("2", "pending", None), ("3", "closed", None),
    ]  # fmt: skip
    companies, _ = read(
        "Record ID,Company name,Company Domain Name,Country/Region,Lifecycle Stage,Type,Salesforce Account ID",
        f"9,Acme,https://www.acme.com/de,Germany,Customer,,{ACCOUNT[:15]}",
        table="accounts",
    )
    assert [(c["domain_norm"], c["kind"], c["sf_account_id"], c["region"]) for c in companies] == [
        ("acme.com", "customer", ACCOUNT, "Germany"),
    ]  # fmt: skip
    header = "Record ID,First Name,Last Name,Email,Lifecycle Stage,Lead Status,Associated Company IDs"
    row = "5,Kim,Doe,KIM@acme.com,Opportunity,Connected,9;10"
    contacts, _ = read(header, row, table="contacts")
    assert [(c["email_norm"], c["lifecycle"], c["account_id"]) for c in contacts] == [
        ("kim@acme.com", "opportunity", "9"),
    ]  # fmt: skip
    leads, _ = read(header, row, table="leads")
    assert [(lead["name"], lead["status_category"]) for lead in leads] == [("Kim Doe", "converted")]


def test_owners_an_export_only_names_become_users_unless_a_file_gives_users(tmp_path: Path) -> None:
    deals = tmp_path / "deals.csv"
    deals.write_text("Record ID,Deal Name,Deal Stage,Deal owner\n1,a,New,Kim Doe\n2,b,New,Kim Doe\n3,c,New,\n")
    entry = {"path": str(deals), "table": "opportunities"}
    users = [row for page in fetch(connector(entry), "opportunities") for row in page.records.get("users", ())]
    assert users == [{"source_id": "Kim Doe", "source": "hubspot", "name": "Kim Doe"}]
    (tmp_path / "users.csv").write_text("source_id,name\nKim Doe,Kim\nSam Poe,Sam\n")
    both = connector(entry, {"path": str(tmp_path / "users.csv"), "table": "users"})
    assert all("users" not in page.records for page in fetch(both, "opportunities"))


@pytest.mark.parametrize("spelled", [str.upper, str.lower, str.title])
@pytest.mark.parametrize("export", ["auto", "salesforce"])
def test_data_loader_writes_field_names_in_any_case(read: Any, spelled: Any, export: str) -> None:
    header = "Id,Name,StageName,Amount,CloseDate,IsWon,IsClosed,OwnerId,Why__c"
    records, rejects = read(
        spelled(header),
        f"{DEAL[:15]},Big,Closed Won,10,2026-10-28,true,true,005A00000012345IAA,Price",
        table="opportunities", export=export, columns={"loss_reason": spelled("Why__c")},
    )  # fmt: skip
    assert rejects == []
    assert records == [
        {"source": "salesforce", "source_id": DEAL, "name": "Big", "stage": "Closed Won", "state": "won",
         "amount_minor": 1000, "currency": "EUR", "close_date": "2026-10-28", "owner_id": "005A00000012345IAA",
         "loss_reason": "Price"}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "header", "row"),
    [
        ("leads", "id,status,company,name", "1,Open,Acme,Kim"),
        ("contacts", "id,lastname,email,last_name", "1,Doe,kim@acme.test,Doe"),
        ("accounts", "id,name,industry,createddate,created_at", "1,Acme,Steel,,2026-01-01"),
        ("users", "id,username,isactive,name", "1,kim,1,Kim"),
    ],
)
def test_names_that_any_program_writes_in_another_case_are_no_salesforce_export(
    read: Any, table: str, header: str, row: str
) -> None:
    ((record,), rejects) = read(header, row, table=table)
    assert (record["source_id"], record.get("source"), rejects) == ("1", None, [])


@pytest.mark.parametrize("columns", [{}, {"owner_id": "Lead Owner"}])
def test_owners_a_salesforce_report_names_are_the_users_of_that_name_or_become_users(
    tmp_path: Path, columns: dict[str, str]
) -> None:
    (tmp_path / "leads.csv").write_text(
        "Lead ID,Last Name,Company / Account,Lead Status,Lead Owner\n"
        "00QA0000001AAAA,A,Acme,Open,Kim Doe\n00QA0000001AAAB,B,Acme,Open,Sam Poe\n00QA0000001AAAC,C,Acme,Open,Two\n"
    )
    (tmp_path / "User.csv").write_text(
        "Id,Username,Name,SystemModstamp\n005A00000012345IAA,kim@acme.test,Kim  doe,2026-01-01 00:00:00\n"
        "005A00000012346IAA,a@acme.test,Two,2026-01-01 00:00:00\n"
        "005A00000012347IAA,b@acme.test,Two,2026-01-01 00:00:00\n"
    )
    leads = {"path": str(tmp_path / "leads.csv"), "table": "leads", "columns": columns}
    both = fetch(connector(leads, {"path": str(tmp_path / "User.csv"), "table": "users"}), "leads")
    assert [row["owner_id"] for page in both for row in page.records["leads"]] == [
        "005A00000012345IAA", "Sam Poe", "Two",
    ]  # fmt: skip
    assert [row["name"] for page in both for row in page.records["users"]] == ["Sam Poe", "Two"]
    alone = fetch(connector(leads), "leads")
    assert [row["source_id"] for page in alone for row in page.records["users"]] == ["Kim Doe", "Sam Poe", "Two"]


def test_what_the_admin_maps_overrides_single_columns_and_values(read: Any) -> None:
    header = "Id,StageName,OwnerId,Rep__c,IsWon,IsClosed,CreatedDate,Why__c"
    row = f"{DEAL},Angebot,005A00000012345IAA,kim,0,0,2026-01-02 09:30:00,Price"
    records, _ = read(
        header, row, table="opportunities",
        columns={"owner_id": "Rep__c", "loss_reason": "Why__c"}, values={"state": {"Angebot": "won"}},
        extra={"IsWon": "boolean"}, timezone="America/New_York",
    )  # fmt: skip
    assert records == [
        {
            "source": "salesforce", "source_id": DEAL, "owner_id": "kim", "loss_reason": "Price", "stage": "Angebot",
            "state": "won", "created_at": "2026-01-02T14:30:00Z", "custom": {"IsWon": False},
        }
    ]  # fmt: skip
    with pytest.raises(StreamError, match="nothing says what identifies a row"):
        read(header, row, table="opportunities", columns={"owner_id": "Rep__c"}, export="none")


def test_a_file_of_our_own_names_is_no_export(read: Any) -> None:
    records, _ = read("source_id,stage,state,name", "1,Closed Won,open,x", table="opportunities")
    assert records == [{"source_id": "1", "stage": "Closed Won", "state": "open", "name": "x"}]


def test_check_and_fields_say_what_was_recognised(tmp_path: Path) -> None:
    path = tmp_path / "Opportunity.csv"
    path.write_text("Id,StageName,CreatedDate,Odd__c\n")
    source = connector({"path": str(path), "table": "opportunities"})
    assert source.check().account == "1 file (Salesforce Opportunity)"
    assert [(f.name, f.column, f.object) for f in source.fields("opportunities")] == [
        ("Id", "source_id", "Opportunity.csv (Salesforce Opportunity)"),
        ("StageName", "stage", "Opportunity.csv (Salesforce Opportunity)"),
        ("CreatedDate", "created_at", "Opportunity.csv (Salesforce Opportunity)"),
        ("Odd__c", "", "Opportunity.csv (Salesforce Opportunity)"),
    ]


@pytest.mark.parametrize("columns", [{}, {"status": "st"}])
def test_a_file_that_is_not_the_export_it_is_said_to_be_is_refused(tmp_path: Path, columns: dict[str, str]) -> None:
    (tmp_path / "t.csv").write_text("id,opened,st,subj\n1,2026-01-01,open,x\n")
    entry = {"path": str(tmp_path / "t.csv"), "table": "tickets", "export": "salesforce", "columns": columns}
    with pytest.raises(StreamError) as refused:
        fetch(connector(entry), "tickets")
    assert str(refused.value) == (
        "t.csv: it is no Salesforce export that feeds tickets. Export it again with the CRM's own column names,"
        ' or set export = "none" and map its columns.'
    )
    with pytest.raises(SourceConfigError, match="it is no Salesforce export that feeds tickets"):
        connector(entry).check()


@pytest.mark.parametrize("export", ["auto", "hubspot"])
@pytest.mark.parametrize(
    ("header", "table", "said"),
    [
        (
            "Record ID,Deal Name,Deal Stage,Amount",
            "tickets",
            "HubSpot deals export, which feeds opportunities, not t",
        ),
        (
            "Record ID,Ticket name,Ticket status",
            "accounts",
            "HubSpot tickets export, which feeds tickets, not acc",
        ),
        ("Record ID,Company name,Industry", "opportunities", "HubSpot companies export, which feeds accounts, not opp"),
    ],
)
def test_an_export_under_another_table_is_told_where_it_belongs(
    read: Any, header: str, table: str, said: str, export: str
) -> None:
    with pytest.raises(StreamError, match=f"it is a {said}"):
        read(header, "1,x,y,2", table=table, export=export)


def test_a_salesforce_export_under_another_table_too(read: Any) -> None:
    with pytest.raises(StreamError) as refused:
        read("Id,Name,StageName,Amount,CloseDate,IsWon", f"{DEAL},x,y,2,,", table="tickets")
    assert str(refused.value) == (
        "export.csv: it is a Salesforce Opportunity export, which feeds opportunities, not tickets."
        ' Set table = "opportunities".'
    )

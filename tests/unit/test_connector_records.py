"""What a vendor's objects mean: categories by the stage itself, dates that make no sense, links and their ranks."""

from collections.abc import Mapping
from typing import Any

import pytest

from connectors import parse
from connectors.errors import TransientError
from connectors.field_words import Custom, Offer
from connectors.fields import FieldMap
from connectors.hubspot.answers import check_associations, check_results, failures
from connectors.hubspot.fetch import _rank
from connectors.hubspot.fields import TYPES
from connectors.hubspot.portal import user_of
from connectors.hubspot.records import Known, Stage, finish
from connectors.salesforce.records import Known as SalesforceKnown
from connectors.salesforce.records import finish as finish_salesforce
from syncagent.schema import column_types

KNOWN = Known(
    stages={
        "tickets": {"4": Stage("Closed", 3, True, "closed"), "1": Stage("New", 0, False, "open")},
        "leads": {"q": Stage("Qualified", 2, True, "QUALIFIED"), "n": Stage("New", 0, False, "NEW")},
    },
    converted=frozenset({"qualified"}),
    now="2026-11-20T12:00:00Z",
)


def hubspot_record(name: str, props: Mapping[str, Any], values: Mapping[str, dict[str, Any]] | None = None) -> Any:
    """A HubSpot object as a finished record."""
    kind = TYPES[name]
    fields = FieldMap(
        kind.table,
        kind.fields,
        columns=column_types(kind.table),
        offer=Offer(None),
        custom=Custom({}, values or {}),
        currency="EUR",
        kinds={"local_day": parse.day, "date": parse.day, "none": lambda _v: None, "present": lambda _v: 1},
    )
    record = fields.record(props, "1", [])
    finish(name, record, props, fields, KNOWN)
    return record


def test_own_words_for_a_status_do_not_change_what_it_means() -> None:
    words = {"status": {"4": "Done", "1": "Fresh", "q": "Theirs"}}
    closed = hubspot_record("tickets", {"hs_pipeline_stage": "4"}, words)
    assert (closed["status"], closed["status_category"]) == ("Done", "closed")
    assert hubspot_record("tickets", {"hs_pipeline_stage": "1"}, words)["status_category"] == "open"
    assert hubspot_record("leads", {"hs_pipeline_stage": "q"}, words)["status_category"] == "converted"


def test_a_ticket_in_a_stage_that_is_gone_is_closed_when_hubspot_says_so() -> None:
    gone = {"hs_pipeline_stage": "77", "hs_is_closed": "true"}
    assert hubspot_record("tickets", gone)["status_category"] == "closed"
    assert hubspot_record("tickets", {**gone, "hs_is_closed": "false"})["status_category"] == "open"


@pytest.mark.parametrize("bad", ["22022-01-01T10:00:00Z", "soon", "0001-01-01T00:00:00Z", "99999999999999"])
def test_a_date_that_makes_no_sense_stops_nothing(bad: str) -> None:
    meeting = hubspot_record("meetings", {"hs_meeting_start_time": bad, "hs_timestamp": bad})
    assert meeting["occurred_at"] is None
    event: dict[str, Any] = {"occurred_at": "2026-11-01T10:00:00Z"}
    finish_salesforce("Event", event, {"EndDateTime": bad}, None, SalesforceKnown(now=KNOWN.now))  # type: ignore[arg-type]
    assert event["status"] == "completed"


def test_a_label_of_the_portal_s_own_is_not_the_primary_link() -> None:
    def link(to: int, type_id: int, category: str) -> dict[str, Any]:
        return {"toObjectId": to, "associationTypes": [{"category": category, "typeId": type_id}]}

    links = [link(10, 5, "USER_DEFINED"), link(20, 5, "HUBSPOT_DEFINED"), link(5, 341, "HUBSPOT_DEFINED")]
    assert [one for *_, one in sorted(map(_rank, links))] == ["20", "5", "10"]


def test_a_batch_that_failed_in_part_says_what_to_ask_for_again() -> None:
    gone = {"category": "OBJECT_NOT_FOUND", "context": {"ids": ["1", "2"]}}
    broken = {"category": "INTERNAL_ERROR", "context": {"ids": ["3"]}}
    assert failures({"results": [], "errors": [gone, broken]}) == ({"1", "2"}, {"3"}, False)
    lone = {"category": "OBJECT_NOT_FOUND", "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND"}
    assert failures({"errors": [lone | {"context": {"fromObjectId": ["1"]}}]}) == (set(), set(), False)
    assert failures({"results": [], "errors": [{"category": "INTERNAL_ERROR"}]}) == (set(), set(), True)
    assert failures({"results": []}) == (set(), set(), False)


@pytest.mark.parametrize("category", ["", "OBJECT_NOT_FOUND", "VALIDATION_ERROR", "INTERNAL_ERROR"])
def test_a_failure_that_names_no_ids_may_be_of_any(category: str) -> None:
    named = {"category": "OBJECT_NOT_FOUND", "context": {"ids": ["1", "2"]}}
    assert failures({"errors": [{"category": category, "message": "x"}]})[2]
    assert failures({"numErrors": 1})[2]
    assert failures({"numErrors": 3, "errors": [named]})[2]
    assert not failures({"numErrors": 1, "errors": [named]})[2]
    assert not failures({"numErrors": 2, "errors": [named]})[2]


@pytest.mark.parametrize("document", [None, [], {}, {"results": None}, {"results": [{}]}, {"results": [1]}])
def test_an_answer_without_whole_results_is_none(document: Any) -> None:
    with pytest.raises(TransientError):
        check_results(document)
    with pytest.raises(TransientError):
        check_associations(document)


def test_who_left_keeps_the_team_the_work_was_done_in() -> None:
    owner = {"id": 7, "firstName": "Ada", "teams": [{"name": "A"}, {"name": "B", "primary": True}]}
    assert user_of(owner, "1", is_active=True)["team"] == "B"
    assert "team" not in user_of({"id": 7}, "1", is_active=False)
    assert user_of({"id": 7}, "1", is_active=True)["team"] is None


@pytest.mark.parametrize(
    ("name", "props", "hidden", "columns"),
    [
        ("leads", {"hs_pipeline_stage": "q"}, "hs_pipeline_stage", {"status_category"}),
        ("companies", {"type": "PARTNER", "lifecyclestage": "customer"}, "type", {"kind"}),
        ("tickets", {"hs_pipeline_stage": "4", "hs_is_closed": "true"}, "hs_pipeline_stage", {"status_category"}),
        (
            "calls",
            {"hs_call_direction": "INBOUND", "hs_call_disposition": "busy", "hs_call_status": "COMPLETED"},
            "hs_call_disposition",
            {"connected"},
        ),
        ("emails", {"hs_email_direction": "INCOMING_EMAIL"}, "hs_email_direction", {"direction"}),
        ("meetings", {"hs_meeting_outcome": "NO_SHOW"}, "hs_meeting_outcome", {"status", "completed_at"}),
        ("tasks", {"hs_task_status": "COMPLETED"}, "hs_task_status", {"status", "completed_at", "occurred_at"}),
        ("feedback_submissions", {"hs_survey_type": "NPS"}, "hs_survey_type", {"survey_type", "scale_min"}),
        ("commerce_payments", {"hs_latest_status": "failed"}, "hs_latest_status", {"paid_date"}),
        ("notes", {"hs_object_source": "BOT"}, "hs_object_source", {"is_automated"}),
    ],
)
def test_what_is_worked_out_from_a_property_needs_it(
    name: str, props: dict[str, Any], hidden: str, columns: set[str]
) -> None:
    """Told and empty is a value; not told is none."""
    assert columns <= hubspot_record(name, props).keys()
    assert columns <= hubspot_record(name, props | {hidden: None}).keys()
    rest = {key: value for key, value in props.items() if key != hidden}
    assert not columns & hubspot_record(name, rest).keys()


def test_a_deal_without_its_flags_is_told_by_a_stage_that_is_known() -> None:
    flags = {"hs_is_closed_won": "false", "hs_is_closed": "true"}
    assert hubspot_record("deals", {"dealstage": "77", **flags})["state"] == "lost"
    assert "state" not in hubspot_record("deals", {"dealstage": "77"})
    assert "state" not in hubspot_record("deals", {"dealstage": "77", "hs_is_closed": "false"})
    assert hubspot_record("deals", {"hs_is_closed_won": "true"})["state"] == "won"

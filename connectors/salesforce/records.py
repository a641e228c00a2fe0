"""What a mapped Salesforce record still needs: states, categories, links. Pure functions of one row and its record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors import parse
from connectors.base import Record
from connectors.fields import FieldMap
from connectors.salesforce.fields import DISQUALIFIED, PREFIXES

Row = Mapping[str, Any]

_EMAILS = ("Email", "ListEmail")
_REACHED = ("connected", "answered", "contacted", "spoke", "reached")
_NOT_REACHED = ("no answer", "not connected", "busy", "voicemail", "voice mail", "wrong number", "left message")
_OUTSIDERS = ("CspLitePortal", "CustomerSuccess", "PowerCustomerSuccess", "PowerPartner", "Guest")


@dataclass(frozen=True, slots=True)
class StageMeta:
    """What OpportunityStage says of one stage."""

    order: int | None
    state: str


@dataclass(slots=True)
class Known:
    """What the org told beside the records: its stages, its case statuses, and who its users are."""

    stages: dict[str, StageMeta] = field(default_factory=dict)
    closed_statuses: dict[str, bool] = field(default_factory=dict)
    user_types: dict[str, str] = field(default_factory=dict)
    now: str = ""  # the vendor's clock when the read began

    def kind_of(self, user_id: Any) -> str | None:
        """human, integration or None (not known)."""
        user_type = self._type_of(user_id)
        if user_type in ("AutomatedProcess", "CloudIntegrationUser", "Integration"):
            return "integration"
        return "human" if user_type else None

    def is_outsider(self, user_id: Any) -> bool:
        return self._type_of(user_id) in _OUTSIDERS

    def _type_of(self, user_id: Any) -> str | None:
        return self.user_types.get(_id_or_none(user_id) or "")


def finish(name: str, record: Record, row: Row, fields: FieldMap, known: Known) -> None:
    """Complete `record` of object `name` in place."""
    match name:
        case "User":
            record["is_active"] = record.get("is_active")
        case "Group":
            record["is_active"] = 1
        case "Contact":
            for flag in ("bounced", "opted_out", "dnc"):
                record[flag] = record.get(flag) or 0
        case "Lead":
            record["status_category"] = lead_category(row, fields)
        case "Opportunity":
            record["state"] = "won" if row.get("IsWon") else "lost" if row.get("IsClosed") else "open"
        case "Case":
            record["status_category"] = case_category(row.get("Status"), bool(row.get("IsClosed")), fields)
        case "Task":
            _finish_task(record, row, fields)
        case "Event":
            _finish_event(record, row, known)
        case "EmailMessage":
            _finish_email(record, row, known)
        case "CaseComment":
            _finish_comment(record, row, known)
        case "SurveyInvitation":
            _finish_invitation(record, row)
        case "SurveyQuestionResponse":
            _finish_answer(record, row)
    if "LastModifiedById" in row:
        record["updated_by_kind"] = known.kind_of(row["LastModifiedById"])


def lead_category(row: Row, fields: FieldMap) -> str:
    """open, converted or disqualified."""
    if row.get("IsConverted"):
        return "converted"
    status = row.get("Status")
    mapped = fields.mapped("status_category", status)
    if mapped is not None:
        return str(mapped)
    return "disqualified" if str(status or "").strip().lower() in DISQUALIFIED else "open"


def case_category(status: Any, is_closed: bool, fields: FieldMap) -> str:
    """open, pending or closed."""
    if is_closed:
        return "closed"
    mapped = fields.mapped("status_category", status)
    return "open" if mapped is None else str(mapped)


def stage_state(row: Row, known: Known) -> str:
    """open, won or lost of one row of OpportunityHistory, from the stage's metadata, else from the row itself."""
    meta = known.stages.get(row.get("StageName") or "")
    if meta is not None:
        return meta.state
    if row.get("ForecastCategory") == "Closed":
        return "won"
    return "lost" if row.get("ForecastCategory") == "Omitted" and not row.get("Probability") else "open"


def link(record: Record, *ids: Any) -> None:
    """Put each id in the column its prefix stands for; all five columns are set."""
    for column in PREFIXES.values():
        record.setdefault(column, None)
    for given in ids:
        if isinstance(given, str) and given[:3] in PREFIXES:
            record[PREFIXES[given[:3]]] = parse.salesforce_id(given)


def _finish_task(record: Record, row: Row, fields: FieldMap) -> None:
    subtype = row.get("TaskSubtype")
    kind = "call" if subtype == "Call" else "email" if subtype in _EMAILS else "task"
    is_closed = bool(row.get("IsClosed"))
    direction = "outbound" if kind == "email" else "internal"
    if kind == "call":
        direction = str(row.get("CallType") or "Outbound").lower()
        direction = direction if direction in ("inbound", "outbound", "internal") else "outbound"
        record["connected"] = _connected(row.get("CallDisposition"), fields)
    if kind != "task":
        record["due_at"] = None  # a logged call or mail was never due
    record["type"], record["direction"] = kind, direction
    record["status"] = "completed" if is_closed else "open"
    record["completed_at"] = (record.get("completed_at") or record.get("created_at")) if is_closed else None
    record["occurred_at"] = record["completed_at"]
    record["is_public"] = int(kind != "task" and direction != "internal")
    link(record, row.get("AccountId"), row.get("WhatId"), row.get("WhoId"))


def _finish_event(record: Record, row: Row, known: Known) -> None:
    ends = row.get("EndDateTime")
    ends_at = parse.instant_or_none(ends) or record.get("occurred_at")
    is_over = bool(ends_at and known.now and ends_at <= known.now)
    record["type"], record["direction"], record["is_public"] = "meeting", "two_way", 1
    record["status"] = "completed" if is_over else "scheduled"
    record["completed_at"] = ends_at if is_over else None
    if ends_at and record.get("occurred_at"):
        record["duration_s"] = (parse.to_ms(ends_at) - parse.to_ms(record["occurred_at"])) // 1000
    link(record, row.get("AccountId"), row.get("WhatId"), row.get("WhoId"))


def _finish_email(record: Record, row: Row, known: Known) -> None:
    is_draft = str(row.get("Status") or "") in ("5", "Draft")
    incoming = bool(row.get("Incoming"))
    record["type"], record["direction"] = "email", "inbound" if incoming else "outbound"
    record["status"] = "open" if is_draft else "completed"
    record["is_public"] = int(not is_draft)
    record["bounced"] = record.get("bounced") or 0
    record["is_automated"] = int(not incoming and known.kind_of(row.get("CreatedById")) == "integration")
    record["owner_id"] = None if incoming else _id_or_none(row.get("CreatedById"))
    link(record, row.get("RelatedToId"), row.get("ParentId"))


def _finish_comment(record: Record, row: Row, known: Known) -> None:
    is_public = bool(row.get("IsPublished"))
    author = _id_or_none(row.get("CreatedById"))
    outsider = known.is_outsider(author)
    record["type"], record["status"], record["is_public"] = "note", "completed", int(is_public)
    record["direction"] = "inbound" if outsider else "outbound" if is_public else "internal"
    record["is_automated"] = int(known.kind_of(author) == "integration")
    record["owner_id"] = None if outsider else author
    link(record, row.get("ParentId"))


def _finish_invitation(record: Record, row: Row) -> None:
    if record.get("contact_id") is None:
        record["contact_id"] = _contact_in(row.get("ContactId"), row.get("ParticipantId"))
    kind = record.get("survey_type")
    record["survey_type"] = str(kind).strip().lower() if kind else "csat"


def _finish_answer(record: Record, row: Row) -> None:
    """One scored answer of Salesforce's own surveys: which scale it is on follows from the kind of question."""
    question, invitation = row.get("Question"), row.get("Invitation")
    kind = str((question or {}).get("QuestionType") or "").strip().lower()
    survey_type, low, high = _SCALES.get(kind, ("csat", 1.0, 5.0))
    if record.get("comment") is not None and record.get("score") is not None and _is_score(record):
        record["comment"] = None  # Salesforce repeats the score as text
    record.setdefault("survey_type", survey_type)
    record.setdefault("scale_min", low)
    record.setdefault("scale_max", high)
    if record.get("contact_id") is None:
        record["contact_id"] = _contact_in((invitation or {}).get("ParticipantId"))


def _is_score(record: Record) -> bool:
    try:
        return float(record["comment"]) == float(record["score"])
    except (TypeError, ValueError):
        return False


#: Survey type and scale by Salesforce's own kinds of questions.
_SCALES: Mapping[str, tuple[str, float, float]] = {
    "nps": ("nps", 0.0, 10.0),
    "csat": ("csat", 1.0, 5.0),
    "rating": ("csat", 1.0, 5.0),
    "starrating": ("csat", 1.0, 5.0),
    "slider": ("custom", 0.0, 100.0),
    "score": ("custom", 0.0, 10.0),
}


def _id_or_none(given: Any) -> str | None:
    """An id in its form of 18 characters, None for what is none."""
    try:
        return parse.salesforce_id(given) if isinstance(given, str) else None
    except ValueError:
        return None


def _contact_in(*ids: Any) -> str | None:
    for given in ids:
        if isinstance(given, str) and PREFIXES.get(given[:3]) == "contact_id":
            return parse.salesforce_id(given)
    return None


def _connected(disposition: Any, fields: FieldMap) -> int | None:
    """1 or 0 where the call's outcome says so, None where it does not."""
    if not disposition:
        return None
    mapped = fields.mapped("connected", disposition)
    if mapped is not None:
        return int(mapped)
    plain = str(disposition).strip().lower()
    if any(word in plain for word in _NOT_REACHED):
        return 0
    return 1 if any(word in plain for word in _REACHED) else None

"""What a mapped Salesforce record still needs: states, categories, links. Pure functions of one row and its record.

A row holds every field that was asked for. Where one is hidden from this login, what is worked out from it is left
absent, so that what is stored of it stays: a guess would rewrite what was known.
"""

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
    answer_types: tuple[str, ...] = ()  # ids of the milestone types that are a first response
    now: str = ""  # the vendor's clock when the read began

    def kind_of(self, user_id: Any) -> str | None:
        """human, integration or None (not known)."""
        user_type = self._type_of(user_id)
        if user_type in ("AutomatedProcess", "CloudIntegrationUser", "Integration"):
            return "integration"
        return "human" if user_type else None

    @property
    def has_users(self) -> bool:
        """Whether it is known who the users are: an org has one at least."""
        return bool(self.user_types)

    def is_outsider(self, user_id: Any) -> bool:
        return self._type_of(user_id) in _OUTSIDERS

    def _type_of(self, user_id: Any) -> str | None:
        return self.user_types.get(_id_or_none(user_id) or "")


def finish(name: str, record: Record, row: Row, fields: FieldMap, known: Known) -> None:
    """Complete `record` of object `name` in place."""
    match name:
        case "Group":
            record["is_active"] = 1
        case "Contact":
            for flag in ("bounced", "opted_out", "dnc"):
                _set(record, flag, (record[flag] or 0) if flag in record else None)
        case "Lead":
            _set(record, "status_category", lead_category(row, fields))
        case "Opportunity":
            _set(record, "state", deal_state(row, known))
        case "Case":
            _set(record, "status_category", _category_of_case(row, fields, known))
        case "Task":
            _finish_task(record, row, fields)
        case "Event":
            _finish_event(record, row, known)
        case "EmailMessage":
            _finish_email(record, row, known)
        case "CaseComment":
            _finish_comment(record, row, known)
        case "SurveyInvitation":
            _finish_invitation(record, row, fields)
        case "SurveyQuestionResponse":
            _finish_answer(record, row)
    if "LastModifiedById" in row and known.has_users:
        record["updated_by_kind"] = known.kind_of(row["LastModifiedById"])


def lead_category(row: Row, fields: FieldMap) -> str | None:
    """open, converted or disqualified; None where a field that tells is hidden."""
    if row.get("IsConverted"):
        return "converted"
    if "IsConverted" not in row or "Status" not in row:
        return None
    status = row["Status"]
    mapped = fields.mapped("status_category", status)
    if mapped is not None:
        return str(mapped)
    return "disqualified" if str(status or "").strip().lower() in DISQUALIFIED else "open"


def deal_state(row: Row, known: Known) -> str | None:
    """open, won or lost; by the stage's metadata where the deal does not say, None where that does not either."""
    if row.get("IsWon"):
        return "won"
    if "IsClosed" in row and not row["IsClosed"]:
        return "open"
    if row.get("IsClosed") and "IsWon" in row:
        return "lost"
    meta = known.stages.get(row.get("StageName") or "")
    return meta.state if meta is not None else None


def _category_of_case(row: Row, fields: FieldMap, known: Known) -> str | None:
    """open, pending or closed; by its status where the case itself does not say, None where that does not either."""
    status = row.get("Status")
    is_closed = row["IsClosed"] if "IsClosed" in row else known.closed_statuses.get(str(status))
    if is_closed is None or not (is_closed or "Status" in row):
        return None
    return case_category(status, bool(is_closed), fields)


def case_category(status: Any, is_closed: bool, fields: FieldMap) -> str:
    """open, pending or closed."""
    if is_closed:
        return "closed"
    mapped = fields.mapped("status_category", status)
    return "open" if mapped is None else str(mapped)


def stage_state(row: Row, known: Known) -> str | None:
    """open, won or lost of one row of OpportunityHistory, from the stage's metadata, else from the row itself."""
    meta = known.stages.get(row.get("StageName") or "")
    if meta is not None:
        return meta.state
    if row.get("ForecastCategory") == "Closed":
        return "won"
    if "ForecastCategory" not in row or "Probability" not in row:
        return None
    return "lost" if row["ForecastCategory"] == "Omitted" and not row["Probability"] else "open"


def link(record: Record, row: Row, inputs: Mapping[str, tuple[str, ...]]) -> None:
    """Put the id in each of the fields `inputs` in the column its prefix stands for.

    The other columns are set to None, but for those that a hidden field may fill (its columns in `inputs`).
    """
    hidden = {column for name, columns in inputs.items() if name not in row for column in columns}
    for column in PREFIXES.values():
        if column not in hidden:
            record.setdefault(column, None)
    for name in inputs:
        given = row.get(name)
        if isinstance(given, str) and given[:3] in PREFIXES:
            record[PREFIXES[given[:3]]] = parse.salesforce_id(given)


#: The fields that name what an activity is about, and the columns each may fill.
_ABOUT: Mapping[str, tuple[str, ...]] = {
    "AccountId": ("account_id",),
    "WhatId": ("account_id", "opportunity_id", "ticket_id"),
    "WhoId": ("contact_id", "lead_id"),
}
_MAIL_ABOUT: Mapping[str, tuple[str, ...]] = {"RelatedToId": tuple(PREFIXES.values()), "ParentId": ("ticket_id",)}
_COMMENT_ABOUT: Mapping[str, tuple[str, ...]] = {"ParentId": ("ticket_id",)}


def _finish_task(record: Record, row: Row, fields: FieldMap) -> None:
    link(record, row, _ABOUT)
    if "TaskSubtype" in row:
        _finish_kind(record, row, fields)
    else:
        record.pop("due_at", None)
    if "IsClosed" not in row:
        record.pop("completed_at", None)
        return
    is_closed = bool(row["IsClosed"])
    record["status"] = "completed" if is_closed else "open"
    if not is_closed:
        record["completed_at"] = record["occurred_at"] = None
    elif "completed_at" in record:
        record["completed_at"] = record["occurred_at"] = record["completed_at"] or record.get("created_at")


def _finish_kind(record: Record, row: Row, fields: FieldMap) -> None:
    """What follows from what kind of task it is."""
    subtype = row["TaskSubtype"]
    kind = "call" if subtype == "Call" else "email" if subtype in _EMAILS else "task"
    direction: str | None = "outbound" if kind == "email" else "internal"
    if kind == "call":
        direction = str(row["CallType"] or "Outbound").lower() if "CallType" in row else None
        direction = direction if direction in ("inbound", "outbound", "internal", None) else "outbound"
        if "CallDisposition" in row:
            record["connected"] = _connected(row["CallDisposition"], fields)
    if kind != "task":
        record["due_at"] = None  # a logged call or mail was never due
    record["type"] = kind
    _set(record, "direction", direction)
    if direction is not None:
        record["is_public"] = int(kind != "task" and direction != "internal")


def _finish_event(record: Record, row: Row, known: Known) -> None:
    record["type"], record["direction"], record["is_public"] = "meeting", "two_way", 1
    link(record, row, _ABOUT)
    if "EndDateTime" not in row:
        return
    ends_at = parse.instant_or_none(row["EndDateTime"]) or record.get("occurred_at")
    is_over = bool(ends_at and known.now and ends_at <= known.now)
    record["status"] = "completed" if is_over else "scheduled"
    record["completed_at"] = ends_at if is_over else None
    if ends_at and record.get("occurred_at"):
        record["duration_s"] = (parse.to_ms(ends_at) - parse.to_ms(record["occurred_at"])) // 1000


def _finish_email(record: Record, row: Row, known: Known) -> None:
    record["type"] = "email"
    link(record, row, _MAIL_ABOUT)
    if "bounced" in record:
        record["bounced"] = record["bounced"] or 0
    if "Status" in row:
        is_draft = str(row["Status"] or "") in ("5", "Draft")
        record["status"] = "open" if is_draft else "completed"
        record["is_public"] = int(not is_draft)
    if "Incoming" not in row:
        return
    incoming = bool(row["Incoming"])
    record["direction"] = "inbound" if incoming else "outbound"
    if incoming:
        record["is_automated"], record["owner_id"] = 0, None
    elif "CreatedById" in row:
        record["owner_id"] = _id_or_none(row["CreatedById"])
        if known.has_users:
            record["is_automated"] = int(known.kind_of(row["CreatedById"]) == "integration")


def _finish_comment(record: Record, row: Row, known: Known) -> None:
    record["type"], record["status"] = "note", "completed"
    link(record, row, _COMMENT_ABOUT)
    if "IsPublished" in row:
        record["is_public"] = int(bool(row["IsPublished"]))
    if "CreatedById" not in row or not known.has_users:
        return
    author = _id_or_none(row["CreatedById"])
    outsider = known.is_outsider(author)
    record["is_automated"] = int(known.kind_of(author) == "integration")
    record["owner_id"] = None if outsider else author
    if outsider:
        record["direction"] = "inbound"
    elif "IsPublished" in row:
        record["direction"] = "outbound" if row["IsPublished"] else "internal"


def _finish_invitation(record: Record, row: Row, fields: FieldMap) -> None:
    if record.get("contact_id") is None:
        contact = _contact_in(row.get("ContactId"), row.get("ParticipantId"))
        if contact is not None or ("ContactId" in row and "ParticipantId" in row):
            record["contact_id"] = contact
    if "survey_type" not in fields.lost:
        kind = record.get("survey_type")
        record["survey_type"] = str(kind).strip().lower() if kind else "csat"


def _finish_answer(record: Record, row: Row) -> None:
    """One scored answer of Salesforce's own surveys: which scale it is on follows from the kind of question."""
    if record.get("comment") is not None and record.get("score") is not None and _is_score(record):
        record["comment"] = None  # Salesforce repeats the score as text
    if "Question" in row:
        kind = str((row["Question"] or {}).get("QuestionType") or "").strip().lower()
        survey_type, low, high = _SCALES.get(kind, ("csat", 1.0, 5.0))
        record.setdefault("survey_type", survey_type)
        record.setdefault("scale_min", low)
        record.setdefault("scale_max", high)
    if "Invitation" in row and record.get("contact_id") is None:
        record["contact_id"] = _contact_in((row["Invitation"] or {}).get("ParticipantId"))


def _set(record: Record, column: str, value: Any) -> None:
    """Set a column that is worked out; None: it cannot be, and what is stored of it stays."""
    if value is None:
        record.pop(column, None)
    else:
        record[column] = value


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

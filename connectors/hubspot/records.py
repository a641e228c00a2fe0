"""What a mapped HubSpot record still needs: states, categories, kinds of activity. Pure functions of one object."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors import parse
from connectors.base import Record
from connectors.fields import FieldMap
from connectors.hubspot.fields import DISPOSITIONS, SCALES

Props = Mapping[str, Any]

_CUSTOMER = ("customer", "evangelist")
_PROSPECT = ("subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity")
_CALL_STATUS = {
    "CANCELED": "cancelled",
    "QUEUED": "scheduled",
    "CONNECTING": "scheduled",
    "CALLING_CRM_USER": "scheduled",
    "RINGING": "scheduled",
    "IN_PROGRESS": "scheduled",
}
_UNREACHED = ("NO_ANSWER", "BUSY", "MISSED", "FAILED")
_MAIL_STATUS = {"SCHEDULED": "scheduled", "SENDING": "scheduled", "DRAFT": "open", "FAILED": "cancelled"}
_MEETING_STATUS = {
    "COMPLETED": "completed",
    "NO_SHOW": "no_show",
    "CANCELED": "cancelled",
    "RESCHEDULED": "cancelled",  # the new date is a meeting of its own
    "SCHEDULED": "scheduled",
}
_PAID = ("succeeded", "paid", "partially_refunded")
_MACHINES = ("AUTOMATION", "AUTOMATION_PLATFORM", "SEQUENCES", "BOT")


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a pipeline as its metadata says."""

    label: str
    order: int
    is_closed: bool
    state: str  # deals: open, won, lost; tickets: open, closed; leads: HubSpot's own word, or empty


@dataclass(slots=True)
class Known:
    """What the portal told beside the records: pipelines, and which lead stages count as converted."""

    stages: dict[str, dict[str, Stage]] = field(default_factory=dict)  # object type -> stage id -> Stage
    converted: frozenset[str] = frozenset()
    outcomes: Mapping[str, int] = field(default_factory=lambda: DISPOSITIONS)  # of a call: reached or not
    now: str = ""
    currency: str = ""  # the portal's own, as it says

    def stage(self, object_type: str, stage_id: Any) -> Stage | None:
        return self.stages.get(object_type, {}).get(str(stage_id))


def finish(name: str, record: Record, props: Props, fields: FieldMap, known: Known) -> None:
    """Complete `record`, read from object type `name`, in place.

    A property that is not among `props` was not told (hidden, or gone for a while): what is worked out from it is left
    out, so that what is stored stays. Told and empty is something else.
    """
    if fields.table == "leads":
        if name == "contacts":
            _finish_contact_lead(record, props, fields, known)
        elif "hs_pipeline_stage" in props:
            # By the stage itself: the status column may have been given other values, or another property.
            record["status_category"] = lead_category(props["hs_pipeline_stage"], fields, known)
        return
    match name:
        case "companies":
            if not record.get("kind"):
                record["kind"] = account_kind(props)
                _leave_out(record, props, {"type": ("kind",), "lifecyclestage": ("kind",)})
        case "contacts":
            for flag in ("bounced", "opted_out"):
                if flag in record:
                    record[flag] = record[flag] or 0
        case "deals":
            state = deal_state(props, known)
            if state is not None:
                record["state"] = state
        case "tickets":
            category = _ticket_category_now(props, fields, known)
            if category is not None:
                record["status_category"] = category
        case "calls":
            _finish_call(record, props, fields, known)
        case "emails":
            _finish_email(record, props)
        case "meetings":
            _finish_meeting(record, props, known)
        case "tasks":
            _finish_task(record, props)
        case "notes":
            record |= {"type": "note", "direction": "internal", "status": "completed", "is_public": 0}
        case "feedback_submissions":
            _finish_survey(record, props)
        case "orders":
            if "hs_pipeline_stage" in props:
                record["status"] = order_status(record.get("status"), props, fields, known)
        case "commerce_payments":
            if "hs_latest_status" not in props:
                record.pop("paid_date", None)
            elif str(props["hs_latest_status"] or "succeeded").lower() not in _PAID:
                record["paid_date"] = None  # begun, not (or no longer) paid
    if "home_amount" in record:
        record["home_currency"] = None if record["home_amount"] is None else known.currency or None
    if fields.table == "activities" and "hs_object_source" in props:
        record["is_automated"] = int(props["hs_object_source"] in _MACHINES)


def _leave_out(record: Record, props: Props, made_of: Mapping[str, tuple[str, ...]]) -> None:
    """Take the columns that are worked out from a property (property -> columns) out where it was not told."""
    for theirs, columns in made_of.items():
        if theirs not in props:
            for column in columns:
                record.pop(column, None)


def order_status(read: Any, props: Props, fields: FieldMap, known: Known) -> Any:
    """A word such as "cancelled": the settings' for the stage (id or label), else its label in lower case.

    What the stages of orders are called is all HubSpot says of them; an id would tell no KPI that one is cancelled.
    """
    stage_id = props.get("hs_pipeline_stage")
    stage = known.stage("orders", stage_id)
    if read not in (None, "", stage_id):
        return read
    if stage is not None:
        return fields.mapped("status", stage.label) or stage.label.strip().lower()
    return str(props.get("hs_fulfillment_status") or stage_id or "").lower() or None


def account_kind(props: Props) -> str | None:
    """customer, prospect, partner or other; None where the portal says nothing."""
    kind, lifecycle = str(props.get("type") or "").upper(), str(props.get("lifecyclestage") or "").lower()
    if kind in ("PARTNER", "RESELLER"):
        return "partner"
    if lifecycle in _CUSTOMER:
        return "customer"
    if kind in ("VENDOR", "OTHER") or lifecycle == "other":
        return "other"
    return "prospect" if kind == "PROSPECT" or lifecycle in _PROSPECT else None


def deal_state(props: Props, known: Known) -> str | None:
    """open, won or lost: HubSpot's own flag, else the stage's metadata; None where neither tells."""
    if str(props.get("hs_is_closed_won") or "").lower() == "true":
        return "won"
    stage = known.stage("deals", props.get("dealstage"))
    if stage is not None:
        return stage.state
    if "hs_is_closed_won" not in props or "hs_is_closed" not in props:
        return None
    return "lost" if str(props["hs_is_closed"] or "").lower() == "true" else "open"


def ticket_category(status: Any, fields: FieldMap, known: Known) -> str:
    """open, pending or closed, by the stage's metadata, then by the settings (stage id or label)."""
    stage = known.stage("tickets", status)
    if stage is not None and stage.is_closed:
        return "closed"
    mapped = fields.mapped("status_category", status)
    if stage is not None:
        mapped = fields.mapped("status_category", stage.label) if mapped in (None, "open") else mapped
    return "open" if mapped is None else str(mapped)


def _ticket_category_now(props: Props, fields: FieldMap, known: Known) -> str | None:
    """A ticket's category as it stands; None where nothing tells."""
    if "hs_pipeline_stage" not in props:
        return None
    stage_id = props["hs_pipeline_stage"]
    if known.stage("tickets", stage_id) is None:  # a stage the pipelines no longer name
        if "hs_is_closed" not in props:
            mapped = fields.mapped("status_category", stage_id)
            return None if mapped is None else str(mapped)
        if str(props["hs_is_closed"] or "").lower() == "true":
            return "closed"
    return ticket_category(stage_id, fields, known)


def lead_category(status: Any, fields: FieldMap, known: Known) -> str:
    """open, converted or disqualified."""
    stage = known.stage("leads", status)
    words = {str(status or "").lower(), stage.label.lower() if stage else "", stage.state.lower() if stage else ""}
    if words & known.converted:
        return "converted"
    mapped = fields.mapped("status_category", status)
    if mapped is None and stage is not None:
        mapped = fields.mapped("status_category", stage.label)
    if mapped is not None:
        return str(mapped)
    return "disqualified" if words & {"unqualified", "disqualified"} else "open"


def _finish_contact_lead(record: Record, props: Props, fields: FieldMap, known: Known) -> None:
    names = (props.get("firstname"), props.get("lastname"))
    record["name"] = " ".join(str(name) for name in names if name) or None
    status = str(props.get("lifecyclestage") or "").lower()
    mapped = fields.mapped("status_category", status)
    if mapped is not None:
        category = str(mapped)
    elif status in known.converted:
        category = "converted"
    else:
        category = "disqualified" if str(props.get("hs_lead_status") or "").upper() == "UNQUALIFIED" else "open"
    record["status_category"] = category
    entered = props.get("hs_lifecyclestage_opportunity_date") or props.get("hs_v2_date_entered_opportunity")
    is_converted = category == "converted"
    record["converted_at"] = parse.instant_or_none(entered) if is_converted else None
    record["converted_account_id"] = props.get("associatedcompanyid") or None if is_converted else None
    made_of: dict[str, tuple[str, ...]] = {
        "firstname": ("name",),
        "lastname": ("name",),
        "lifecyclestage": ("status_category", "converted_at", "converted_account_id"),
    }
    if category == "open":
        made_of["hs_lead_status"] = ("status_category",)
    if is_converted:
        made_of["associatedcompanyid"] = ("converted_account_id",)
    if is_converted and not entered:
        made_of["hs_lifecyclestage_opportunity_date"] = ("converted_at",)
    _leave_out(record, props, made_of)


def _finish_call(record: Record, props: Props, fields: FieldMap, known: Known) -> None:
    status = str(props.get("hs_call_status") or "COMPLETED").upper()
    direction = str(props.get("hs_call_direction") or "OUTBOUND").lower()
    disposition = props.get("hs_call_disposition")
    mapped = fields.mapped("connected", disposition)
    reached = known.outcomes.get(str(disposition).lower()) if mapped is None else int(mapped)
    record["type"] = "call"
    record["direction"] = direction if direction in ("inbound", "outbound") else "outbound"
    record["status"] = _CALL_STATUS.get(status, "completed")
    record["connected"] = 0 if status in _UNREACHED else reached
    if "occurred_at" in record:
        record["completed_at"] = record["occurred_at"] if record["status"] == "completed" else None
    record["is_public"] = 1
    made_of = {
        "hs_call_direction": ("direction",),
        "hs_call_disposition": ("connected",) if status not in _UNREACHED else (),
        "hs_call_status": ("status", "connected", "completed_at"),
    }
    _leave_out(record, props, made_of)


def _finish_email(record: Record, props: Props) -> None:
    status = str(props.get("hs_email_status") or "SENT").upper()
    incoming = props.get("hs_email_direction") in ("INCOMING_EMAIL", "FORWARDED_EMAIL")
    record["type"], record["direction"] = "email", "inbound" if incoming else "outbound"
    record["status"] = _MAIL_STATUS.get(status, "completed")
    record["bounced"] = int(status == "BOUNCED")
    if "occurred_at" in record:
        record["completed_at"] = record["occurred_at"] if record["status"] == "completed" else None
    record["is_public"] = int(record["status"] == "completed")
    made_of = {
        "hs_email_direction": ("direction",),
        "hs_email_status": ("status", "bounced", "completed_at", "is_public"),
    }
    _leave_out(record, props, made_of)


def _finish_meeting(record: Record, props: Props, known: Known) -> None:
    if "occurred_at" in record and record["occurred_at"] is None and props.get("hs_timestamp"):
        record["occurred_at"] = record["due_at"] = parse.instant_or_none(props["hs_timestamp"])
    has_times = "occurred_at" in record and "completed_at" in record
    starts, ends = record.get("occurred_at"), record.get("completed_at")
    outcome = props.get("hs_meeting_outcome")
    if outcome in (None, ""):  # nobody said how it went: held once its end has passed
        status = "completed" if known.now and (ends or starts or known.now) < known.now else "scheduled"
    else:
        status = _MEETING_STATUS.get(str(outcome).upper(), "completed")
    record["type"], record["direction"], record["is_public"] = "meeting", "two_way", 1
    record["status"] = status
    record["duration_s"] = (parse.to_ms(ends) - parse.to_ms(starts)) // 1000 if starts and ends else None
    record["completed_at"] = (ends or starts) if status == "completed" else None
    if not has_times:
        del record["duration_s"], record["completed_at"]
        if not outcome:
            del record["status"]
    _leave_out(record, props, {"hs_meeting_outcome": ("status", "completed_at")})


def _finish_task(record: Record, props: Props) -> None:
    done = str(props.get("hs_task_status") or "").upper() == "COMPLETED"
    has_time = "completed_at" in record
    record["type"], record["direction"], record["is_public"] = "task", "internal", 0
    record["status"] = "completed" if done else "open"
    # Before a task is done, its completion date holds the due date.
    record["completed_at"] = (record.get("completed_at") or record.get("updated_at")) if done else None
    record["occurred_at"] = record["completed_at"]
    if done and not has_time:
        del record["completed_at"], record["occurred_at"]
    _leave_out(record, props, {"hs_task_status": ("status", "completed_at", "occurred_at")})


def _finish_survey(record: Record, props: Props) -> None:
    kind = str(props.get("hs_survey_type") or "").lower()
    kind = kind if kind in SCALES else "custom"
    if record.get("score") is None and props.get("hs_response_value"):
        try:
            record["score"] = parse.number(props["hs_response_value"])
        except ValueError:
            record["score"] = None
    elif record.get("score") is None:
        _leave_out(record, props, {"hs_response_value": ("score",)})
    record["survey_type"] = kind
    record["scale_min"], record["scale_max"] = SCALES.get(kind, (None, None))
    if "responded_at" in record:
        record["responded_at"] = record["responded_at"] or record.get("created_at")
    _leave_out(record, props, {"hs_survey_type": ("survey_type", "scale_min", "scale_max")})

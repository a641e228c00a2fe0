"""Calls, mails, meetings, tasks, notes and survey answers as HubSpot properties."""

from syncagent.sandbox.clock import hs_instant
from syncagent.sandbox.hubspot.props import DISPOSITIONS
from syncagent.sandbox.hubspot.values import Props, id_of, text_of
from syncagent.sandbox.model import Activity, Survey


def survey_props(survey: Survey) -> Props:
    return {
        "hs_survey_type": "CSAT",
        "hs_survey_id": "31",
        "hs_survey_name": "After the ticket",
        "hs_survey_channel": "EMAIL",
        "hs_value": text_of(survey.score),
        "hs_response_group": None,
        "hs_sentiment": None,
        "hs_content": survey.comment,
        "hs_submission_timestamp": hs_instant(survey.at),
        "hs_contact_id": id_of(survey.contact),
        "hs_ticket_id": id_of(survey.ticket),
        "hubspot_owner_id": None,
    }


def lacks_outcome(activity: Activity) -> bool:
    """Nobody ever says of this meeting that it took place: its outcome stays empty unless it did not."""
    return activity.kind == "meeting" and activity.key % 2 == 0 and activity.status in ("scheduled", "completed")


def activity_props(activity: Activity) -> tuple[str, Props]:
    base: Props = {
        "hubspot_owner_id": id_of(activity.owner),
        "hs_timestamp": hs_instant(activity.at),
        "hs_object_source": "CRM_UI",
    }
    if activity.kind == "call":
        return "calls", base | {
            "hs_call_title": activity.subject,
            "hs_call_direction": activity.direction.upper(),
            "hs_call_disposition": DISPOSITIONS["Connected" if activity.connected else "No answer"],
            "hs_call_duration": None if activity.seconds is None else str(activity.seconds * 1000),
            "hs_call_status": "COMPLETED" if activity.connected else "NO_ANSWER",
        }
    if activity.kind == "email":
        incoming = activity.direction == "inbound"
        customer = activity.contact.email if activity.contact else None
        ends = (customer, activity.owner.email) if incoming else (activity.owner.email, customer)
        return "emails", base | {
            "hs_email_subject": activity.subject,
            "hs_email_direction": "INCOMING_EMAIL" if incoming else "EMAIL",
            "hs_email_status": "BOUNCED" if activity.bounced else "SENT",
            "hs_email_thread_id": activity.thread,
            "hs_email_message_id": f"<{activity.key}@northwind.example>",
            "hs_email_from_email": ends[0],
            "hs_email_to_email": ends[1],
        }
    if activity.kind == "meeting":
        outcome = {"completed": "COMPLETED", "no_show": "NO_SHOW", "cancelled": "CANCELED"}
        return "meetings", base | {
            "hs_meeting_title": activity.subject,
            "hs_meeting_start_time": hs_instant(activity.at),
            "hs_meeting_end_time": None if activity.seconds is None else hs_instant(activity.at + activity.seconds),
            "hs_meeting_outcome": None if lacks_outcome(activity) else outcome.get(activity.status, "SCHEDULED"),
        }
    if activity.kind == "task":
        return "tasks", base | {
            "hs_timestamp": hs_instant(activity.due if activity.due is not None else activity.at),
            "hs_task_subject": activity.subject,
            "hs_task_status": "COMPLETED" if activity.status == "completed" else "NOT_STARTED",
            "hs_task_priority": "NONE",
            "hs_task_type": "TODO",
            "hs_task_completion_date": hs_instant(activity.completed) if activity.completed is not None else None,
        }
    return "notes", base | {"hs_note_body": activity.subject}

"""The company's activities as Salesforce rows: tasks, events, e-mails, case comments."""

from typing import Any

from syncagent.sandbox.clock import DAY, day_text, local_date, sf_instant
from syncagent.sandbox.model import Activity, Entity

Row = dict[str, Any]
ARCHIVED_AFTER = 365 * DAY


def id_of(entity: Entity | None) -> str | None:
    """A record's Salesforce id; None for none."""
    return entity.sf if entity is not None else None


def is_archived(activity: Activity, now: int) -> bool:
    """Whether Salesforce has put a task or event away: over for more than 365 days, and a task closed besides.

    It is still there, for `queryAll` and by its id, but no `query` finds it. Nothing stamps it.
    """
    if activity.kind == "meeting":
        return activity.at + (activity.seconds or 0) < now - ARCHIVED_AFTER
    over = activity.due if activity.due is not None else activity.at
    return activity.status == "completed" and over < now - ARCHIVED_AFTER


def activity_row(activity: Activity, base: Row, now: int) -> tuple[str, Row]:
    """The object and row of an activity at `now` (epoch seconds); `base` holds its id and stamps."""
    sobject = {"02s": "EmailMessage", "00a": "CaseComment", "00U": "Event"}.get((activity.sf or "")[:3], "Task")
    row = base
    if sobject == "CaseComment":
        return sobject, row | {
            "ParentId": id_of(activity.ticket),
            "IsPublished": activity.public,
            "CommentBody": "We looked into it: please try again.",
        }
    if sobject == "EmailMessage":
        return sobject, row | _email(activity)
    account = activity.account
    what = activity.deal or activity.ticket or account
    links = {
        "WhoId": id_of(activity.lead) or id_of(activity.contact),
        "WhatId": id_of(what) if activity.lead is None else None,
        "AccountId": id_of(account),
        "Subject": activity.subject,
        "OwnerId": id_of(activity.owner),
        "IsArchived": is_archived(activity, now),
    }
    if sobject == "Event":
        ends = activity.at + (activity.seconds or 0)
        return sobject, row | links | {
            "IsAllDayEvent": False,
            "ActivityDateTime": sf_instant(activity.at),
            "ActivityDate": day_text(activity.at // DAY),
            "DurationInMinutes": (activity.seconds or 0) // 60,
            "StartDateTime": sf_instant(activity.at),
            "EndDateTime": sf_instant(ends),
            "IsChild": False,
            "EventSubtype": "Event",
        }
    call = activity.kind == "call"
    return sobject, row | links | {
        "ActivityDate": local_date(activity.due if activity.due is not None else activity.at),
        "Status": "Completed" if activity.status == "completed" else "Not Started",
        "Priority": "Normal",
        "IsHighPriority": False,
        "IsClosed": activity.status == "completed",
        "TaskSubtype": {"call": "Call", "email": "Email"}.get(activity.kind, "Task"),
        "CallDurationInSeconds": activity.seconds if call else None,
        "CallType": activity.direction.capitalize() if call else None,
        "CallDisposition": ("Connected" if activity.connected else "No answer") if call else None,
        "CompletedDateTime": None if activity.completed is None else sf_instant(activity.completed),
    }


def _email(activity: Activity) -> Row:
    incoming = activity.direction == "inbound"
    customer = (activity.contact.email if activity.contact else None) or "customer@unknown.example"
    ours = activity.owner.email
    return {
        "ParentId": id_of(activity.ticket),
        "ActivityId": None,
        "RelatedToId": id_of(activity.ticket or activity.deal or activity.account),
        "Subject": activity.subject,
        "FromAddress": customer if incoming else ours,
        "ToAddress": ours if incoming else customer,
        "Incoming": incoming,
        "Status": "1" if incoming else "3",
        "MessageDate": sf_instant(activity.at),
        "MessageIdentifier": f"<{activity.key}@northwind.example>",
        "ThreadIdentifier": activity.thread,
        "IsBounced": activity.bounced,
        "IsExternallyVisible": True,
    }

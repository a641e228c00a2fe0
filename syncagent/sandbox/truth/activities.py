"""The columns of an activity as a cache must hold them, per CRM."""

from typing import TYPE_CHECKING, Any

from syncagent.sandbox.clock import instant, local_date, local_midnight
from syncagent.sandbox.commerce import days_after
from syncagent.sandbox.hubspot.activities import lacks_outcome
from syncagent.sandbox.merging import is_there
from syncagent.sandbox.model import Activity

if TYPE_CHECKING:
    from syncagent.sandbox.truth.rows import Teller

Columns = dict[str, Any]
_MEETINGS = ("completed", "no_show", "cancelled")
_EMAIL, _COMMENT, _EVENT = "02s", "00a", "00U"  # how their Salesforce ids begin


def in_hubspot(teller: "Teller", activity: Activity) -> Columns:
    """The columns of a HubSpot call, email, meeting, task or note."""
    at, kind = instant(activity.at), activity.kind
    done = activity.status == "completed"
    columns: Columns = {
        "type": kind,
        "owner_id": teller.id_of(activity.owner),
        "occurred_at": at,
        "completed_at": at,
        "status": "completed",
        "is_public": 1,
    }
    if kind not in ("note", "comment"):
        columns["subject"] = activity.subject
    match kind:
        case "call":
            is_inbound = activity.direction == "inbound"
            columns |= {"direction": "inbound" if is_inbound else "outbound", "duration_s": activity.seconds}
            columns["connected"] = int(bool(activity.connected))
        case "email":
            columns |= {
                "direction": "inbound" if activity.direction == "inbound" else "outbound",
                "bounced": int(activity.bounced),
                "message_id": f"<{activity.key}@northwind.example>",
                "thread_id": activity.thread,
            }
        case "meeting":
            ends = activity.at + (activity.seconds or 0)
            status = activity.status if activity.status in _MEETINGS else "scheduled"
            if lacks_outcome(activity):
                status = "completed" if ends < teller.company.now else "scheduled"
            columns |= {
                "direction": "two_way",
                "due_at": at,
                "duration_s": activity.seconds,
                "status": status,
                "completed_at": instant(ends) if status == "completed" else None,
            }
        case "task":
            finished = instant(activity.completed or activity.hs_modified) if done else None
            columns |= {
                "direction": "internal",
                "due_at": instant(activity.at if activity.due is None else activity.due),
                "status": "completed" if done else "open",
                "completed_at": finished,
                "occurred_at": finished,
                "is_public": 0,
            }
        case _:
            columns |= {"type": "note", "direction": "internal", "is_public": 0}
    contacts = [one for one in (activity.contact, *activity.also) if one is not None and one.hs]
    first = min(contacts, key=lambda one: (not is_there(one), int(one.hs or 0)), default=None)
    others: Columns = {} if activity.also and not teller.strict else teller.link(activity, contact_id=first)
    return (
        columns
        | others
        | teller.link(
            activity,
            account_id=activity.account,
            opportunity_id=activity.deal,
            ticket_id=activity.ticket,
            lead_id=activity.lead,
        )
    )


def in_salesforce(teller: "Teller", activity: Activity) -> Columns:
    """The columns of a Salesforce task, event, e-mail or comment on a case; which it is shows in its id."""
    prefix, at = (activity.sf or "")[:3], instant(activity.at)
    author = (None if activity.owner.is_queue else activity.owner.sf) or teller.admin
    is_leads = activity.lead is not None and bool(activity.lead.sf)
    who: Columns = {"lead_id": teller.id_of(activity.lead) if is_leads else None}
    who["contact_id"] = None if is_leads else teller.id_of(activity.contact)
    links = dict.fromkeys(("account_id", "opportunity_id", "ticket_id", "lead_id", "contact_id"))
    about = activity.ticket or activity.deal or activity.account
    if prefix == _COMMENT:
        return {
            "type": "note",
            "direction": "outbound" if activity.public else "internal",
            "status": "completed",
            "is_public": int(activity.public),
            "owner_id": author,
            "occurred_at": instant(activity.created),
            "completed_at": instant(activity.created),
            **links,
            "ticket_id": teller.id_of(activity.ticket),
        }
    if prefix == _EMAIL:
        is_inbound = activity.direction == "inbound"
        column = "ticket_id" if activity.ticket else "opportunity_id" if activity.deal else "account_id"
        return {
            "type": "email",
            "subject": activity.subject,
            "direction": "inbound" if is_inbound else "outbound",
            "status": "completed",
            "is_public": 1,
            "bounced": int(activity.bounced),
            "owner_id": None if is_inbound else author,
            "occurred_at": at,
            "completed_at": at,
            "message_id": f"<{activity.key}@northwind.example>",
            "thread_id": activity.thread,
            **links,
            column: teller.id_of(about),
        }
    links |= {"account_id": teller.id_of(activity.account), **who}
    what = activity.deal or activity.ticket
    if activity.lead is None and what is not None:
        links["opportunity_id" if activity.deal else "ticket_id"] = what.sf
    columns: Columns = {"subject": activity.subject, "owner_id": activity.owner.sf, **links}
    if prefix == _EVENT:
        ends = activity.at + (activity.seconds or 0)
        is_over = ends <= teller.company.now
        return columns | {
            "type": "meeting",
            "direction": "two_way",
            "is_public": 1,
            "occurred_at": at,
            "due_at": at,
            "duration_s": activity.seconds or 0,
            "status": "completed" if is_over else "scheduled",
            "completed_at": instant(ends) if is_over else None,
        }
    kind = activity.kind if activity.kind in ("call", "email") else "task"
    done = activity.status == "completed"
    finished = instant(activity.created if activity.completed is None else activity.completed) if done else None
    due = local_date(activity.at if activity.due is None else activity.due)
    return columns | {
        "type": kind,
        "direction": {"call": activity.direction, "email": "outbound"}.get(kind, "internal"),
        "status": "completed" if done else "open",
        "due_at": instant(local_midnight(days_after(due, 1)) - 1) if kind == "task" else None,
        "occurred_at": finished,
        "completed_at": finished,
        "duration_s": activity.seconds if kind == "call" else None,
        "connected": int(bool(activity.connected)) if kind == "call" else None,
        "is_public": int(kind != "task"),
    }

"""Calls, mails, meetings and the rest, each with the account it belongs to and whether it is a touch."""

from collections.abc import Iterable, Iterator

from scorecards.facts.fact import LIVE, Book, Fact, Row, epoch, table

_ACTIVITIES = f"""
    SELECT a.id, a.occurred_at, a.type, a.direction, a.status, a.is_automated, a.owner_id,
           COALESCE(ll.canonical, a.lead_id),
           COALESCE(lc.canonical, a.contact_id), COALESCE(la.canonical, a.account_id, c.account_id, o.account_id,
           t.account_id), COALESCE(lo.canonical, a.opportunity_id), COALESCE(lt.canonical, a.ticket_id),
           a.duration_s, a.connected, a.bounced, a.is_public, a.wrap_s, a.thread_id, a.due_at, a.completed_at,
           a.subject, a.created_at
    FROM temp.wanted w CROSS JOIN activities a ON a.id = w.id
    LEFT JOIN aliases lc ON lc.id = a.contact_id
    LEFT JOIN aliases ll ON ll.id = a.lead_id
    LEFT JOIN aliases lo ON lo.id = a.opportunity_id
    LEFT JOIN aliases lt ON lt.id = a.ticket_id
    LEFT JOIN contacts c ON c.id = COALESCE(lc.canonical, a.contact_id)
    LEFT JOIN opportunities o ON o.id = COALESCE(lo.canonical, a.opportunity_id)
    LEFT JOIN tickets t ON t.id = COALESCE(lt.canonical, a.ticket_id)
    LEFT JOIN aliases la ON la.id = COALESCE(a.account_id, c.account_id, o.account_id, t.account_id)
    WHERE {LIVE.format("a")}
"""


#: How the subject of an answer no person wrote begins; CRMs do not keep the header that says so.
_AWAY = ("automatic reply", "auto:", "autoreply", "auto-reply", "out of office", "automatische antwort", "abwesen")
#: What reaches somebody; a note and a task are ours alone.
REACHING = ("call", "email", "meeting", "chat")


def _activities(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    for row in rows:
        id_, occurred, kind, direction, status, automated, owner, lead, contact, account, deal, ticket = row[:12]
        duration, connected, bounced, public, wrap, thread, due, completed, subject, created = row[12:]
        is_away = kind == "email" and direction == "inbound" and str(subject or "").lower().startswith(_AWAY)
        is_human = not automated and not is_away
        # A touch is a completed human contact with the customer: what a note or an internal task is not.
        is_touch = (
            status == "completed" and is_human and direction not in (None, "internal") and kind not in ("note", "task")
        )
        is_outreach = direction == "outbound" and status == "completed" and not automated and kind in REACHING
        yield (
            id_, epoch(occurred), kind, direction, status, automated, owner, lead, contact, account, deal, ticket,
            duration, connected, bounced, public, int(is_touch), wrap, thread, epoch(due), epoch(completed),
            contact or lead, int(is_human), int(is_outreach), epoch(created),
        )  # fmt: skip


_COLUMNS = (
    "id", "occurred_at", "type", "direction", "status", "is_automated", "owner_id", "lead_id", "contact_id",
    "account_id", "opportunity_id", "ticket_id", "duration_s", "connected", "bounced", "is_public", "is_touch",
    "wrap_s", "thread_id", "due_at", "completed_at", "person_id", "is_human", "is_outreach", "created_at",
)  # fmt: skip


FACT = Fact(
    kind="activities",
    name="fact_activities",
    columns=_COLUMNS,
    ddl=table(
        "fact_activities",
        _COLUMNS,
        "(id)",
        "(occurred_at, direction, type, is_outreach, created_at)",
        "(due_at, type, status, completed_at) WHERE due_at IS NOT NULL",
        "(owner_id, occurred_at, status, is_automated) WHERE owner_id IS NOT NULL",
    ),
    read=_ACTIVITIES,
    derive=_activities,
    follows={"activities": ("id",)},
    borrows=(
        ("contacts", "contact_id", "account_id"),
        ("opportunities", "opportunity_id", "account_id"),
        ("tickets", "ticket_id", "account_id"),
    ),
    feeds={"touches": "id"},
    anchors=("occurred_at", "due_at"),
    version=5,
)

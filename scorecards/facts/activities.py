"""Calls, mails, meetings and the rest, each with the account it belongs to and whether it is a touch.

One kept in several CRMs is the row that counts; what that leaves empty its copies say.
"""

from collections.abc import Iterable, Iterator

from scorecards.facts.fact import BORN, LIVE, THERE, Book, Fact, Row, epoch, table

_AS_SAID = (
    "id", "occurred_at", "type", "direction", "status", "is_automated", "is_public", "bounced", "due_at",
    "completed_at", "subject", "dup_of",
)  # fmt: skip
#: What a copy says in the stead of a row that does not.
_FILLED = (
    "owner_id", "lead_id", "contact_id", "account_id", "opportunity_id", "ticket_id", "duration_s", "connected",
    "wrap_s", "thread_id",
)  # fmt: skip


def _filled(column: str) -> str:
    """A column of the row that counts (a), else of the first of its copies that has it."""
    return (
        f"COALESCE(a.{column}, CASE WHEN a.cluster_id IS NOT NULL THEN (SELECT d.{column} FROM activities d"
        f" WHERE d.dup_of = a.id AND d.{column} IS NOT NULL AND {THERE.format('d')}"
        f" ORDER BY d.source, d.source_id, d.id LIMIT 1) END) AS {column}"
    )


_BORN = f"CASE WHEN a.cluster_id IS NULL THEN a.created_at ELSE {BORN.format('a', 'activities')} END AS created_at"
_COUNTED = f"""
    SELECT {", ".join(f"a.{column}" for column in _AS_SAID)}, {", ".join(map(_filled, _FILLED))}, {_BORN}
    FROM temp.wanted w CROSS JOIN activities a ON a.id = w.id WHERE {LIVE.format("a")}
"""
_COPIED = f"""
    SELECT {", ".join(f"a.{column}" for column in (*_AS_SAID, *_FILLED))}, a.created_at
    FROM temp.wanted w CROSS JOIN activities a ON a.dup_of = w.id WHERE {THERE.format("a")}
"""


def _read(rows: str, account: str, *joins: str) -> str:
    return f"""
        SELECT a.id, a.occurred_at, a.type, a.direction, a.status, a.is_automated, a.owner_id,
               COALESCE(ll.canonical, a.lead_id), COALESCE(lc.canonical, a.contact_id), {account},
               COALESCE(lo.canonical, a.opportunity_id), COALESCE(lt.canonical, a.ticket_id),
               a.duration_s, a.connected, a.bounced, a.is_public, a.wrap_s, a.thread_id, a.due_at, a.completed_at,
               a.subject, a.created_at, a.dup_of
        FROM ({rows}) a
        LEFT JOIN aliases lc ON lc.id = a.contact_id
        LEFT JOIN aliases ll ON ll.id = a.lead_id
        LEFT JOIN aliases lo ON lo.id = a.opportunity_id
        LEFT JOIN aliases lt ON lt.id = a.ticket_id
        {" ".join(f"LEFT JOIN {join}" for join in joins)}
    """


#: How the subject of an answer no person wrote begins; CRMs do not keep the header that says so.
_AWAY = ("automatic reply", "auto:", "autoreply", "auto-reply", "out of office", "automatische antwort", "abwesen")
#: What reaches somebody; a note and a task are ours alone.
REACHING = ("call", "email", "meeting", "chat")


def _activity(row: Row) -> Row:
    id_, occurred, kind, direction, status, automated, owner, lead, contact, account, deal, ticket = row[:12]
    duration, connected, bounced, public, wrap, thread, due, completed, subject, created = row[12:22]
    is_away = kind == "email" and direction == "inbound" and str(subject or "").lower().startswith(_AWAY)
    is_human = not automated and not is_away
    # A touch is a completed human contact with the customer: what a note or an internal task is not.
    is_touch = (
        status == "completed" and is_human and direction not in (None, "internal") and kind not in ("note", "task")
    )
    is_outreach = direction == "outbound" and status == "completed" and not automated and kind in REACHING
    return (
        id_, epoch(occurred), kind, direction, status, automated, owner, lead, contact, account, deal, ticket,
        duration, connected, bounced, public, int(is_touch), wrap, thread, epoch(due), epoch(completed),
        contact or lead, int(is_human), int(is_outreach), epoch(created),
    )  # fmt: skip


def _activities(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    yield from map(_activity, rows)


def _copies(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    for row in rows:
        yield (*_activity(row), row[22])


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
    read=_read(
        _COUNTED,
        "COALESCE(la.canonical, a.account_id, c.account_id, o.account_id, t.account_id)",
        "contacts c ON c.id = COALESCE(lc.canonical, a.contact_id)",
        "opportunities o ON o.id = COALESCE(lo.canonical, a.opportunity_id)",
        "tickets t ON t.id = COALESCE(lt.canonical, a.ticket_id)",
        "aliases la ON la.id = COALESCE(a.account_id, c.account_id, o.account_id, t.account_id)",
    ),
    derive=_activities,
    follows={"activities": ("id",)},
    borrows=(
        ("contacts", "contact_id", "account_id"),
        ("opportunities", "opportunity_id", "account_id"),
        ("tickets", "ticket_id", "account_id"),
    ),
    feeds={
        "touches": "id",
        "activity_copies": "CASE WHEN EXISTS (SELECT 1 FROM activities d WHERE d.dup_of = fact_activities.id)"
        " THEN id END",
    },
    anchors=("occurred_at", "due_at"),
    version=5,
)


#: What a row of another CRM counts for: the same as its copy has it, for the bridge between CRMs.
COPIES = Fact(
    kind="activity_copies",
    name="fact_activity_copies",
    columns=(*_COLUMNS, "copy_of"),
    ddl=table(
        "fact_activity_copies",
        (*_COLUMNS, "copy_of"),
        "(copy_of)",
        "(occurred_at, direction, type, is_outreach, created_at)",
    ),
    read=_read(
        _COPIED,
        "COALESCE(la.canonical, a.account_id, k.account_id)",
        "aliases la ON la.id = a.account_id",
        "fact_activities k ON k.id = a.dup_of",
    ),
    derive=_copies,
    unit="copy_of",
    follows={"activities": ("dup_of",)},
    anchors=("occurred_at", "due_at"),
)

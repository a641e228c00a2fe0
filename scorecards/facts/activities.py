"""Calls, mails, meetings and the rest, each with the account it belongs to and whether it is a touch."""

from collections.abc import Iterable, Iterator

from scorecards.facts.fact import LIVE, Book, Fact, Row, epoch, table

_ACTIVITIES = f"""
    SELECT a.id, a.occurred_at, a.type, a.direction, a.status, a.is_automated, a.owner_id,
           COALESCE(ll.canonical, a.lead_id),
           COALESCE(lc.canonical, a.contact_id), COALESCE(la.canonical, a.account_id, c.account_id, o.account_id,
           t.account_id), COALESCE(lo.canonical, a.opportunity_id), COALESCE(lt.canonical, a.ticket_id),
            a.duration_s, a.connected, a.bounced, a.is_public
    FROM temp.wanted w CROSS JOIN activities a ON a.id = w.id
    LEFT JOIN aliases lc ON lc.id = a.contact_id
    LEFT JOIN aliases ll ON ll.id = a.lead_id
    LEFT JOIN aliases lo ON lo.id = a.opportunity_id
    LEFT JOIN aliases lt ON lt.id = a.ticket_id
    LEFT JOIN contacts c ON c.id = COALESCE(lc.canonical, a.contact_id)
    LEFT JOIN opportunities o ON o.id = a.opportunity_id
    LEFT JOIN tickets t ON t.id = a.ticket_id
    LEFT JOIN aliases la ON la.id = COALESCE(a.account_id, c.account_id, o.account_id, t.account_id)
    WHERE {LIVE.format("a")}
"""


def _activities(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    for row in rows:
        id_, occurred, kind, direction, status, automated, owner, lead, contact, account = row[:10]
        # A touch is a completed human contact with the customer: what a note or an internal task is not.
        touch = (
            status == "completed"
            and not automated
            and direction not in (None, "internal")
            and kind not in ("note", "task")
        )
        yield (id_, epoch(occurred), kind, direction, status, automated, owner, lead, contact, account, *row[10:],
               int(touch))  # fmt: skip


_COLUMNS = (
    "id", "occurred_at", "type", "direction", "status", "is_automated", "owner_id", "lead_id", "contact_id",
    "account_id", "opportunity_id", "ticket_id", "duration_s", "connected", "bounced", "is_public", "is_touch",
)  # fmt: skip


FACT = Fact(
    kind="activities",
    name="fact_activities",
    columns=_COLUMNS,
    ddl=table(
        "fact_activities",
        _COLUMNS,
        "(id)",
        "(occurred_at, direction, type)",
        "(account_id, occurred_at) WHERE is_touch = 1",
    ),
    read=_ACTIVITIES,
    derive=_activities,
    follows={"activities": ("id",)},
    borrows=(
        ("contacts", "contact_id", "account_id"),
        ("opportunities", "opportunity_id", "account_id"),
        ("tickets", "ticket_id", "account_id"),
    ),
    anchors=("occurred_at",),
    version=2,
)

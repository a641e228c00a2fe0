"""Versions of a ticket by status category, with its times."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from scorecards.facts.fact import ITS_IDS, LIVE, NEIGHBOURS, Book, Fact, Row, epoch, neighboured, table
from scorecards.periods import FOREVER, FOREVER_AGO

#: Activities on a ticket ({0}): those that name it, and those a link says are about it.
_OF_ACTIVITY = "a.occurred_at, a.type, a.direction, a.status, a.connected, a.is_public, a.is_automated"
ON_TICKET = (
    f"SELECT {_OF_ACTIVITY} FROM activities a WHERE a.ticket_id IN ({ITS_IDS.format('{0}')}) AND {LIVE.format('a')}"
    f" UNION ALL SELECT {_OF_ACTIVITY} FROM fact_touches x CROSS JOIN activities a ON a.id = x.id"
    " WHERE x.party_id = {0}.id AND x.object = 'tickets'"
)
#: The first of what people of ours did to its customer, of a kind (SQL over a), since the ticket came.
_FIRST = (
    f"(SELECT MIN(a.occurred_at) FROM ({ON_TICKET.format('t')}) a WHERE a.direction = 'outbound' AND {{0}}"
    " AND a.is_automated = 0 AND a.status = 'completed' AND a.occurred_at >= t.created_at)"
)
_TICKETS = f"""
    SELECT t.id, t.created_at, t.status_category, t.closed_at, t.first_response_at,
           {_FIRST.format("a.is_public = 1")},
           {_FIRST.format("a.type = 'call' AND COALESCE(a.connected, 1) = 1")},
           (SELECT MIN(i.sent_at) FROM survey_invitations i
            WHERE i.ticket_id IN ({ITS_IDS.format("t")}) AND {LIVE.format("i")}),
           t.close_reason, t.priority, t.category, t.owner_id, COALESCE(al.canonical, t.account_id),
           t.is_escalated, t.escalated_at, h.changed_at, h.status_category, h.escalated
    FROM temp.wanted w CROSS JOIN tickets t ON t.id = w.id
    LEFT JOIN aliases al ON al.id = t.account_id
    LEFT JOIN ticket_status_history h ON h.ticket_id = t.id AND h.changed_at IS NOT NULL AND h.is_deleted = 0
    WHERE {LIVE.format("t")}
    ORDER BY t.id, h.changed_at, h.seq, h.id
"""


def _tickets(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    for _, group in groupby(rows, itemgetter(0)):
        yield from neighboured(_ticket_versions(list(group)), _COLUMNS.index("status_category"))


def _ticket_versions(rows: list[Row]) -> Iterator[Row]:
    """Versions of one ticket by status category, with its first and last close and its reopenings so far."""
    id_, created, category, closed_at, native, derived, called, invited, *says = rows[0][:13]
    is_escalated, escalated_at = rows[0][13:15]
    born = epoch(created)
    start = FOREVER_AGO if born is None else born
    # (instant known, instant said, category): what is said to lie before the ticket is known once the ticket is.
    said = [(epoch(row[15]) or start, row[16] or "open") for row in rows if row[15] is not None]
    steps = [(max(at, start), at, then) for at, then in said]
    has_history = int(bool(steps))
    closes = epoch(closed_at)
    unrecorded = not steps or (steps[-1][2] != "closed" and closes is not None and closes >= steps[-1][0])
    if closes is not None and unrecorded and category in (None, "closed"):
        steps.append((max(closes, start), closes, "closed"))  # the close date is all we know of it
    versions: list[tuple[int, int, str]] = []
    if not steps or steps[0][0] > start or steps[0][2] == "closed":
        versions.append((start, start, "open"))  # also where it is closed at once: each ticket comes in one day
    for step in steps or [(start, start, category or "open")]:
        if not versions or versions[-1][2] != step[2]:
            versions.append(step)
    first_closed = last_closed = first_reopened = None
    reopened = 0
    responded = epoch(native if native is not None else derived)
    # The first time its history says so, else the CRM's own date; of a mere flag nobody knows more than the ticket.
    escalated = min((epoch(row[15]) or start for row in rows if row[15] is not None and row[17]), default=None)
    escalated = epoch(escalated_at) if escalated is None else escalated
    is_dated = int(escalated is not None)
    if escalated is None and is_escalated:
        escalated = born
    for index, (known_from, at, then) in enumerate(versions):
        before = versions[index - 1][2] if index else None
        if then == "closed":
            entry = "closed"
            if steps:  # else closed at a moment nobody recorded: it has no times
                last_closed = at
                first_closed = at if first_closed is None else first_closed
        elif before == "closed":
            entry = "reopened"
            reopened += 1
            first_reopened = known_from if first_reopened is None else first_reopened
        else:
            entry = "created" if index == 0 else "continued"
        known_to = versions[index + 1][0] if index + 1 < len(versions) else FOREVER
        yield (
            id_, known_from, known_to, then, int(then == "closed"), entry, born, first_closed, last_closed,
            first_reopened, reopened, responded, *says, has_history, escalated, is_dated, epoch(called), epoch(invited),
        )  # fmt: skip


_COLUMNS = (
    "id", "known_from", "known_to", "status_category", "is_closed", "entry", "created_at", "first_closed_at",
    "last_closed_at", "first_reopened_at", "reopen_count", "first_response_at", "close_reason", "priority",
    "category", "owner_id", "account_id", "has_history", "first_escalated_at", "escalation_is_dated",
    "first_call_at", "first_invited_at", *NEIGHBOURS,
)  # fmt: skip


FACT = Fact(
    kind="tickets",
    name="fact_tickets",
    columns=_COLUMNS,
    ddl=table(
        "fact_tickets",
        _COLUMNS,
        "(id)",
        # Figures, their splits and what moved them are read from the index alone.
        "(created_at, known_from, known_to, first_response_at, close_reason, owner_id, priority, id)",
        "(first_closed_at, known_from, known_to, created_at, close_reason, first_reopened_at, owner_id, priority, id)",
        "(known_to, known_from, id, owner_id, priority, status_category, state_before, state_after, created_at)"
        " WHERE is_closed = 0",
        "(known_from, entry)",
        "(first_escalated_at, known_from, known_to) WHERE first_escalated_at IS NOT NULL",
        "(last_closed_at, known_from, known_to, is_closed, created_at, close_reason) WHERE last_closed_at IS NOT NULL",
    ),
    read=_TICKETS,
    derive=_tickets,
    follows={
        "tickets": ("id",),
        "ticket_status_history": ("ticket_id",),
        "activities": ("ticket_id",),
        "survey_invitations": ("ticket_id",),
    },
    anchors=("created_at", "first_closed_at", "last_closed_at", "first_escalated_at"),
    version=2,
)

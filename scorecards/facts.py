"""What follows from the canonical rows, settled once per record: the fact tables KPIs are counted over.

A deal, lead or ticket has one row per *version*: what was known of it from `known_from` (an instant the event
lies at, exclusive) to `known_to` (inclusive; FOREVER for the newest). Whatever as_of a KPI is asked for, one
version of each record satisfies `known_from < as_of <= known_to`, so history is replayed by a comparison.
Instants are epoch seconds here, dates text. Only live rows are here (docs/definitions.md G3): not deleted, merged,
a duplicate of the other CRM's, or a test.

This module says which rows to read and what follows from them; `syncagent.facts` runs it when rows changed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

from scorecards.definition import Reporting
from scorecards.periods import FOREVER, FOREVER_AGO, midnight

#: A row of a query, its columns in the query's order.
Row = tuple[Any, ...]

#: A record's own id and those merged into it or linked to it: what is filed under them is its own too.
_ITS_IDS = "SELECT {0}.id UNION ALL SELECT m.id FROM aliases m WHERE m.canonical = {0}.id"

LIVE = "{0}.is_deleted = 0 AND {0}.merged_into IS NULL AND {0}.dup_of IS NULL AND {0}.is_test = 0"


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact table: how it is made, and which canonical rows it follows from.

    `read` selects, ordered by record, what `derive` turns into fact rows; it reads the ids in temp.wanted and
    leaves out rows that are not live. `follows` names, per canonical table, the column that holds our record's
    id: a change there makes the record dirty.
    """

    name: str
    columns: tuple[str, ...]
    ddl: tuple[str, ...]
    read: str
    derive: Callable[[Iterable[Row], "Day"], Iterator[Row]]
    follows: Mapping[str, str]
    # What rows of one fact say of each other: `together` recomputes it for the groups in temp.touched, which
    # `group` names before and after the rows of temp.wanted are replaced.
    group: str = ""
    together: str = ""


class Day:
    """Local days of instants in the reporting zone, memoised: facts ask for the same few thousand days."""

    def __init__(self, reporting: Reporting) -> None:
        self.zone = ZoneInfo(reporting.timezone)
        self._of: dict[str, str] = {}
        self._end: dict[str, int] = {}

    def of(self, instant: str) -> str:
        """The local date (text) of a UTC instant (text)."""
        found = self._of.get(instant)
        if found is None:
            moment = datetime.strptime(instant, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
            found = self._of[instant] = moment.astimezone(self.zone).date().isoformat()
        return found

    def last_second(self, day: str) -> int:
        """The last epoch second of a local date: an event "that day" is known once the day is over."""
        found = self._end.get(day)
        if found is None:
            found = self._end[day] = midnight(date.fromisoformat(day) + timedelta(1), self.zone) - 1
        return found


def epoch(instant: str | None) -> int | None:
    """Epoch seconds of our UTC text; None stays None. Twice as fast as strptime, and called a lot."""
    if instant is None:
        return None
    return (
        date(int(instant[:4]), int(instant[5:7]), int(instant[8:10])).toordinal() * 86400
        + int(instant[11:13]) * 3600
        + int(instant[14:16]) * 60
        + int(instant[17:19])
        - 62135683200  # the ordinal's day 0 (0000-12-31) before 1970
    )


# -- deals ----------------------------------------------------------------------------------------------------

_DEALS = f"""
    SELECT o.id, o.created_at, o.state, o.stage, o.close_date, o.amount_minor, o.currency, o.owner_id,
           COALESCE(al.canonical, o.account_id), o.pipeline, o.updated_at, o.close_at,
           h.changed_at, h.state, h.stage, h.amount_minor
    FROM temp.wanted w CROSS JOIN opportunities o ON o.id = w.id
    LEFT JOIN aliases al ON al.id = o.account_id
    LEFT JOIN opportunity_stage_history h ON h.opportunity_id = o.id AND h.changed_at IS NOT NULL AND h.is_deleted = 0
    WHERE {LIVE.format("o")}
    ORDER BY o.id, h.changed_at, h.seq, h.id
"""


def _deals(rows: Iterable[Row], days: Day) -> Iterator[Row]:
    for _, group in groupby(rows, itemgetter(0)):
        yield from _deal_versions(list(group), days)


def _deal_versions(rows: list[Row], days: Day) -> Iterator[Row]:
    """Versions of one deal: open ones by stage and amount, closed ones with their outcome date (G16, A8)."""
    id_, created, state, stage, close_date, amount, currency, owner, account, pipeline, updated = rows[0][:11]
    close_at = rows[0][11]
    close_date = days.of(close_at) if close_at else close_date  # an instant is assigned to its local day (G1)
    born = epoch(created)
    start = FOREVER_AGO if born is None else born
    history = [(row[12], row[13] or "open", row[14], row[15]) for row in rows if row[12] is not None]
    # (instant known, state, stage, amount, local day of the change or None where no history says it)
    steps: list[tuple[int, str, Any, Any, str | None]] = []
    for changed_at, then, stage_then, amount_then in history:
        at = max(epoch(changed_at) or start, start)
        steps.append((at, then, stage_then, amount_then, days.of(changed_at)))
    last = steps[-1][1] if steps else None
    if last != state:
        # The row says what its history does not: closed on its close date, or changed when last edited.
        if state != "open" and close_date:
            steps.append(
                (max(days.last_second(close_date), steps[-1][0] if steps else start), state, stage, amount, None)
            )
        elif steps:
            edited = updated if updated and updated > history[-1][0] else history[-1][0]
            steps.append((max(epoch(edited) or start, steps[-1][0]), state, stage, amount, days.of(edited)))
        elif state != "open":
            # Without history and close date it can be placed nowhere; it is a closed record all the same.
            steps.append((start, state, stage, amount, None))
    versions: list[list[Any]] = []
    if not steps or steps[0][0] > start:
        versions.append([start, "open", steps[0][2] if steps else stage, steps[0][3] if steps else amount, None])
    versions.extend(list(step) for step in steps)
    run_day: str | None = None
    future = state if state != "open" and steps and steps[-1][4] is None else None
    for index, (known_from, then, stage_then, amount_then, day) in enumerate(versions):
        newest = index == len(versions) - 1
        known_to = FOREVER if newest else versions[index + 1][0]
        begins_run = index == 0 or versions[index - 1][1] != then
        if begins_run:
            run_day = day
        outcome = None
        if then == "won":
            outcome = min(filter(None, (close_date, run_day)), default=None)
        elif then == "lost":
            outcome = run_day or close_date
        if known_to <= known_from and not newest:
            continue  # overtaken within the same second
        value = amount if then != "open" or newest else (amount_then if amount_then is not None else amount)
        yield (
            id_, known_from, known_to, then, int(then == "open"), stage_then if not newest else stage, pipeline,
            born, outcome, value, currency, owner, account, future if then == "open" else None,
        )  # fmt: skip


# -- tickets --------------------------------------------------------------------------------------------------

_TICKETS = f"""
    SELECT t.id, t.created_at, t.status_category, t.closed_at, t.first_response_at,
           (SELECT MIN(a.occurred_at) FROM activities a
            WHERE a.ticket_id IN ({_ITS_IDS.format("t")}) AND a.direction = 'outbound'
              AND a.is_public = 1 AND a.is_automated = 0
              AND a.status = 'completed' AND a.is_deleted = 0 AND a.is_test = 0 AND a.dup_of IS NULL
              AND a.occurred_at >= t.created_at),
           t.close_reason, t.priority, t.category, t.owner_id, COALESCE(al.canonical, t.account_id),
           h.changed_at, h.status_category
    FROM temp.wanted w CROSS JOIN tickets t ON t.id = w.id
    LEFT JOIN aliases al ON al.id = t.account_id
    LEFT JOIN ticket_status_history h ON h.ticket_id = t.id AND h.changed_at IS NOT NULL AND h.is_deleted = 0
    WHERE {LIVE.format("t")}
    ORDER BY t.id, h.changed_at, h.seq, h.id
"""


def _tickets(rows: Iterable[Row], days: Day) -> Iterator[Row]:
    for _, group in groupby(rows, itemgetter(0)):
        yield from _ticket_versions(list(group))


def _ticket_versions(rows: list[Row]) -> Iterator[Row]:
    """Versions of one ticket by status category, with its first and last close and its reopenings so far."""
    id_, created, category, closed_at, native, derived, reason, priority, kind, owner, account = rows[0][:11]
    born = epoch(created)
    start = FOREVER_AGO if born is None else born
    # (instant known, instant said, category): what is said to lie before the ticket is known once the ticket is.
    said = [(epoch(row[11]) or start, row[12] or "open") for row in rows if row[11] is not None]
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
            first_reopened, reopened, responded, reason, priority, kind, owner, account, has_history,
        )  # fmt: skip


# -- leads ----------------------------------------------------------------------------------------------------

_LEADS = f"""
    SELECT l.id, l.created_at, l.status_category, l.converted_date, l.converted_at, l.source_channel, l.owner_id,
           l.converted_opportunity_id,
           (SELECT MIN(a.occurred_at) FROM activities a
            WHERE a.lead_id IN ({_ITS_IDS.format("l")}) AND a.direction = 'outbound'
              AND a.is_automated = 0 AND a.status = 'completed'
              AND a.type IN ('call', 'email', 'meeting', 'chat') AND a.is_deleted = 0 AND a.is_test = 0
              AND a.dup_of IS NULL AND a.occurred_at >= l.created_at)
    FROM temp.wanted w CROSS JOIN leads l ON l.id = w.id
    WHERE {LIVE.format("l")}
    ORDER BY l.id
"""


def _leads(rows: Iterable[Row], days: Day) -> Iterator[Row]:
    """Two versions of a lead: open until it converts; a date-only conversion is known when its day is over."""
    for id_, created, category, converted_date, converted_at, channel, owner, deal, touched in rows:
        born = epoch(created)
        start = FOREVER_AGO if born is None else born
        day = converted_date or (days.of(converted_at) if converted_at else None)
        tail = (born, channel, owner, deal, epoch(touched), 0)
        if category != "converted" or day is None:
            yield (id_, start, FOREVER, category or "open", None, *tail)
            continue
        at = max(days.last_second(day) if converted_date else (epoch(converted_at) or start), start)
        if at > start:
            yield (id_, start, at, "open", None, *tail)
        yield (id_, at, FOREVER, "converted", day, *tail)


# -- activities -----------------------------------------------------------------------------------------------

_ACTIVITIES = f"""
    SELECT a.id, a.occurred_at, a.type, a.direction, a.status, a.is_automated, a.owner_id, a.lead_id,
           COALESCE(lc.canonical, a.contact_id), COALESCE(la.canonical, a.account_id, c.account_id, o.account_id,
           t.account_id), a.opportunity_id, a.ticket_id, a.duration_s, a.connected, a.bounced, a.is_public
    FROM temp.wanted w CROSS JOIN activities a ON a.id = w.id
    LEFT JOIN aliases lc ON lc.id = a.contact_id
    LEFT JOIN contacts c ON c.id = COALESCE(lc.canonical, a.contact_id)
    LEFT JOIN opportunities o ON o.id = a.opportunity_id
    LEFT JOIN tickets t ON t.id = a.ticket_id
    LEFT JOIN aliases la ON la.id = COALESCE(a.account_id, c.account_id, o.account_id, t.account_id)
    WHERE {LIVE.format("a")}
"""


def _activities(rows: Iterable[Row], days: Day) -> Iterator[Row]:
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


def _table(name: str, columns: tuple[str, ...], *indexes: str) -> tuple[str, ...]:
    made = [f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(columns)})"]
    for number, index in enumerate(indexes):
        made.append(f"CREATE INDEX IF NOT EXISTS {name}_{number} ON {name}{index}")
    return tuple(made)


_DEAL_COLUMNS = (
    "id", "known_from", "known_to", "state", "is_open", "stage", "pipeline", "created_at", "outcome_date",
    "amount_minor", "currency", "owner_id", "account_id", "future_close",
)  # fmt: skip
_TICKET_COLUMNS = (
    "id", "known_from", "known_to", "status_category", "is_closed", "entry", "created_at", "first_closed_at",
    "last_closed_at", "first_reopened_at", "reopen_count", "first_response_at", "close_reason", "priority",
    "category", "owner_id", "account_id", "has_history",
)  # fmt: skip
_LEAD_COLUMNS = (
    "id", "known_from", "known_to", "status_category", "converted_date", "created_at", "source_channel",
    "owner_id", "converted_opportunity_id", "first_outbound_at", "is_imported",
)  # fmt: skip
_ACTIVITY_COLUMNS = (
    "id", "occurred_at", "type", "direction", "status", "is_automated", "owner_id", "lead_id", "contact_id",
    "account_id", "opportunity_id", "ticket_id", "duration_s", "connected", "bounced", "is_public", "is_touch",
)  # fmt: skip

FACTS: Mapping[str, Fact] = {
    "opportunities": Fact(
        "fact_opportunities",
        _DEAL_COLUMNS,
        _table(
            "fact_opportunities",
            _DEAL_COLUMNS,
            "(id)",
            "(outcome_date, known_from, known_to, state, amount_minor, currency, account_id, id)",
            "(created_at, known_from, known_to)",
            "(known_to, known_from, amount_minor, currency, account_id, id) WHERE is_open = 1",
            "(account_id, known_from, known_to) WHERE is_open = 1",
        ),
        _DEALS,
        _deals,
        {"opportunities": "id", "opportunity_stage_history": "opportunity_id"},
    ),
    "tickets": Fact(
        "fact_tickets",
        _TICKET_COLUMNS,
        _table(
            "fact_tickets",
            _TICKET_COLUMNS,
            "(id)",
            "(created_at, known_from, known_to, first_response_at, close_reason)",
            "(first_closed_at, known_from, known_to, created_at, close_reason, first_reopened_at)",
            "(known_to, known_from, id) WHERE is_closed = 0",
            "(known_from, entry)",
        ),
        _TICKETS,
        _tickets,
        {"tickets": "id", "ticket_status_history": "ticket_id", "activities": "ticket_id"},
    ),
    "leads": Fact(
        "fact_leads",
        _LEAD_COLUMNS,
        _table(
            "fact_leads",
            _LEAD_COLUMNS,
            "(id)",
            "(created_at, known_from, known_to, status_category, converted_date, first_outbound_at)",
            "(converted_date, known_from, known_to)",
            "(created_at / 60, id)",
        ),
        _LEADS,
        _leads,
        {"leads": "id", "activities": "lead_id"},
        group="created_at / 60",
        # More than 50 leads in one clock minute: an import, nobody was waiting for an answer (docs/definitions.md).
        # Counted once a minute, not once a lead: an import may bring tens of thousands in one. The + keeps the index.
        together="""
            UPDATE fact_leads SET is_imported = created_at / 60 IN (SELECT t.grp FROM temp.touched t
                WHERE (SELECT COUNT(*) > 50 FROM (SELECT DISTINCT o.id FROM fact_leads o
                WHERE o.created_at / 60 = +t.grp LIMIT 51)))
            WHERE created_at / 60 IN (SELECT grp FROM temp.touched)
        """,
    ),
    "activities": Fact(
        "fact_activities",
        _ACTIVITY_COLUMNS,
        _table(
            "fact_activities",
            _ACTIVITY_COLUMNS,
            "(id)",
            "(occurred_at, direction, type)",
            "(account_id, occurred_at) WHERE is_touch = 1",
        ),
        _ACTIVITIES,
        _activities,
        {"activities": "id"},
    ),
}

#: A change of these makes the activities that borrow their account dirty: (table, the activity's column).
BORROWED_ACCOUNTS = (
    ("contacts", "contact_id"),
    ("opportunities", "opportunity_id"),
    ("tickets", "ticket_id"),
)

"""Generates a large cache: opportunities and tickets with their histories, straight into the tables."""

import random
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from syncagent.store import transaction

PRESENT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
DAYS = 3 * 365
ACCOUNTS, USERS = 5_000, 60


def text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def fill(
    cache: sqlite3.Connection,
    *,
    opportunities: int,
    tickets: int,
    activities: int | None = None,
    accounts: int = ACCOUNTS,
    days: int = DAYS,
    seed: int = 1,
) -> None:
    """Write the rows of one source `sf` over so many days up to PRESENT, three years unless told."""
    dice = Dice(seed, days, accounts)
    leads = opportunities // 2
    with transaction(cache):
        _insert(cache, "users", _users())
        _insert(cache, "accounts", _accounts(dice))
        _insert(cache, "opportunities", _opportunities(dice, opportunities))
        _insert(cache, "leads", _leads(dice, leads))
        _insert(cache, "contacts", _contacts(dice, accounts * 3))
        _insert(cache, "tickets", _tickets(dice, tickets))
        _insert(cache, "ticket_status_history", _statuses(tickets, days))
        _insert(cache, "activities", _activities(dice, tickets // 2 if activities is None else activities, leads))
        _insert(cache, "survey_responses", _answers(dice, tickets))
        cache.execute(
            "INSERT INTO sync_state (source_name, stream, ok_at) SELECT 'sf', value, ? FROM json_each(?)",
            (text(PRESENT), '["users","accounts","contacts","leads","opportunities","tickets","activities"]'),
        )


Row = dict[str, object]


class Dice(random.Random):
    """Chances, instants within the last so many days, and one of so many accounts."""

    def __init__(self, seed: int, days: int, accounts: int) -> None:
        super().__init__(seed)
        self.days = days
        self.accounts = accounts

    def account(self) -> str:
        return f"sf:accounts:A{self.randrange(self.accounts)}"


def _insert(cache: sqlite3.Connection, table: str, rows: Iterator[Row]) -> None:
    first = next(rows)
    columns = [*first, "id", "source", "source_name", "first_seen_at", "synced_at"]
    more = ("salesforce", "sf", text(PRESENT), text(PRESENT))

    def values() -> Iterator[tuple[object, ...]]:
        for row in (first, *rows):
            yield (*row.values(), f"sf:{table}:{row['source_id']}", *more)

    cache.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", values())


def _created(dice: Dice) -> datetime:
    return PRESENT - timedelta(minutes=dice.randrange(10, dice.days * 1440))


def _ticket_times(number: int, days: int) -> tuple[datetime, datetime]:
    """When a ticket came and was closed (or will be): the same whoever asks."""
    mixed = number * 2_654_435_761 % 2**32
    created = PRESENT - timedelta(minutes=10 + mixed % (days * 1440 - 10))
    return created, created + timedelta(hours=1 + mixed // 7 % 400)


def _users() -> Iterator[Row]:
    for number in range(USERS):
        yield {"source_id": f"U{number}", "name": f"User {number}", "team": f"Team {number % 6}", "is_active": 1}


def _accounts(dice: Dice) -> Iterator[Row]:
    for number in range(dice.accounts):
        yield {
            "source_id": f"A{number}",
            "created_at": text(_created(dice)),
            "name": f"Account {number}",
            "kind": "customer",
            "owner_id": f"sf:users:U{number % USERS}",
        }


def _opportunities(dice: Dice, count: int) -> Iterator[Row]:
    for number in range(count):
        created = _created(dice)
        closed = created + timedelta(days=dice.randrange(5, 120))
        state = dice.choice(("won", "lost", "lost")) if closed < PRESENT else "open"
        yield {
            "source_id": f"D{number}",
            "created_at": text(created),
            "updated_at": text(min(closed, PRESENT)),
            "name": f"Deal {number}",
            "account_id": dice.account(),
            "owner_id": f"sf:users:U{dice.randrange(USERS)}",
            "stage": state,
            "state": state,
            "close_date": closed.date().isoformat(),
            "amount_minor": dice.randrange(100_000, 9_000_000),
            "currency": "EUR",
            "loss_reason": dice.choice(("price", "timing", None)) if state == "lost" else None,
        }


def _leads(dice: Dice, count: int) -> Iterator[Row]:
    for number in range(count):
        created = _created(dice)
        converted = dice.random() < 0.3
        yield {
            "source_id": f"L{number}",
            "created_at": text(created),
            "name": f"Lead {number}",
            "status_category": "converted" if converted else "open",
            "converted_date": (created + timedelta(days=20)).date().isoformat() if converted else None,
            "owner_id": f"sf:users:U{dice.randrange(USERS)}",
        }


def _contacts(dice: Dice, count: int) -> Iterator[Row]:
    for number in range(count):
        yield {
            "source_id": f"C{number}",
            "created_at": text(_created(dice)),
            "email_norm": f"c{number}@example.test",
            "account_id": f"sf:accounts:A{number % dice.accounts}",
            "owner_id": f"sf:users:U{number % USERS}",
        }


def _tickets(dice: Dice, count: int) -> Iterator[Row]:
    for number in range(count):
        created, closed = _ticket_times(number, dice.days)
        is_closed = closed < PRESENT
        yield {
            "source_id": f"T{number}",
            "created_at": text(created),
            "updated_at": text(min(closed, PRESENT)),
            "subject": f"Ticket {number}",
            "account_id": dice.account(),
            "owner_id": f"sf:users:U{dice.randrange(USERS)}",
            "status": "Closed" if is_closed else "New",
            "status_category": "closed" if is_closed else "open",
            "close_reason": "resolved" if is_closed else None,
            "closed_at": text(closed) if is_closed else None,
            "first_response_at": text(created + timedelta(minutes=dice.randrange(5, 600))),
            "priority": dice.choice(("low", "normal", "high")),
        }


def _statuses(count: int, days: int) -> Iterator[Row]:
    for number in range(count):
        for seq, (category, at) in enumerate(zip(("open", "closed"), _ticket_times(number, days), strict=True)):
            if at < PRESENT:
                yield {
                    "source_id": f"H{number}-{seq}",
                    "ticket_id": f"sf:tickets:T{number}",
                    "changed_at": text(at),
                    "status": category,
                    "status_category": category,
                    "seq": seq,
                }


def _activities(dice: Dice, count: int, leads: int) -> Iterator[Row]:
    for number in range(count):
        at = _created(dice)
        yield {
            "source_id": f"E{number}",
            "created_at": text(at),
            "type": dice.choice(("call", "email")),
            "direction": dice.choice(("outbound", "inbound")),
            "occurred_at": text(at),
            "status": "completed",
            "connected": 1,
            "owner_id": f"sf:users:U{dice.randrange(USERS)}",
            "lead_id": f"sf:leads:L{number % leads}",
            "account_id": dice.account(),
        }


def _answers(dice: Dice, tickets: int) -> Iterator[Row]:
    """What one in ten says of its ticket a day after the close."""
    for number in range(0, tickets, 10):
        said = _ticket_times(number, dice.days)[1] + timedelta(days=1)
        if said >= PRESENT:
            continue
        yield {
            "source_id": f"S{number}",
            "survey_type": "csat",
            "score": dice.randrange(1, 11),
            "scale_min": 1,
            "scale_max": 10,
            "responded_at": text(said),
            "ticket_id": f"sf:tickets:T{number}",
        }

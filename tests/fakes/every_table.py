"""Random rows in every table of the cache, made from its schema: whatever a KPI counts, there is some of it.

A new table or column is filled by its type without a word here; `_WORDS` names what KPIs look for in free texts.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from syncagent.schema import TABLES
from syncagent.store import transaction

START = datetime(2025, 6, 1, tzinfo=UTC)
DAYS = 480
#: Late enough for every row, and for whatever follows a year after it.
AS_OF = datetime(2026, 10, 1, tzinfo=UTC)
_ROWS = {"users": 24, "accounts": 60, "fx_rates": 1, "activities": 2500, "email_events": 1200}
_MANY = 160
#: What free texts hold, by "table.column" or by column alone.
_WORDS: Mapping[str, Sequence[Any]] = {
    "currency": ["EUR"],
    "timezone": ["Europe/Berlin"],
    "tickets.category": ["complaint", "installation", "feedback", "question", None],
    "tickets.close_reason": ["resolved", "spam", "solved", None],
    "tickets.priority": ["high", "low", None],
    "tickets.status": ["new", "done"],
    "opportunities.type": ["newbusiness", "existingbusiness", "renewal", "service", None],
    "opportunities.pipeline": ["sales"],
    "opportunity_stage_history.stage": ["s1", "s2", "s3"],
    "stage_defs.object": ["opportunities"],
    "stage_defs.pipeline": ["sales"],
    "stage_defs.stage": ["s1", "s2", "s3"],
    "orders.status": ["activated", "cancelled"],
    "invoices.status": ["open", "paid", "void"],
    "costs.kind": ["call_handling", "sales"],
    "source": ["salesforce", "hubspot"],
    "updated_by_kind": ["human", "integration"],
    "email_norm": ["kim@acme.test", "hans@acme.test", "n/a", None],
    "comment": ["too slow", "thanks", None],
    "sf_opportunity_id": [None],
    "sf_account_id": [None],
    "sf_contact_id": [None],
    "sf_lead_id": [None],
}
_PLACES = ("send_id", "campaign_id")


def fill(conn: sqlite3.Connection, seed: int = 0) -> None:
    """Rows of every table, the same for the same seed; facts are the caller's to refresh."""
    random = Random(seed)
    with transaction(conn):
        for table in TABLES:
            for number in range(_ROWS.get(table, _MANY)):
                row = _row(table, number, random)
                columns, marks = ", ".join(row), ", ".join("?" * len(row))
                conn.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(row.values()))
        for table, row in _book(random):
            if known := [column[1] for column in conn.execute(f"PRAGMA table_info({table})") if column[1] in row]:
                marks = ", ".join("?" * len(known))
                conn.execute(
                    f"INSERT INTO {table} ({', '.join(known)}) VALUES ({marks})", [row[name] for name in known]
                )


def _book(random: Random) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the agent notes itself: runs of a few streams, how these stand, messages sent."""
    yield "sources", {"source_name": "files", "crm": "files"}
    for stream in ("leads", "opportunities", "tickets"):
        yield "sync_state", {"source_name": "files", "stream": stream, "ok_at": _stamp(AS_OF - timedelta(hours=2))}
    for day in range(0, DAYS, 3):
        for stream in ("leads", "opportunities", "tickets"):
            began = START + timedelta(days=day, hours=random.randrange(20))
            seconds = random.randrange(5, 90)
            yield (
                "sync_runs",
                {
                    "source_name": "files",
                    "stream": stream,
                    "started_at": _stamp(began),
                    "ended_at": _stamp(began + timedelta(seconds=seconds)),
                    "ok": int(random.random() < 0.9),
                    "read": random.randrange(900),
                    "changed": random.randrange(1, 300),
                    "seconds": seconds,
                    "error": None,
                },
            )
        due = START + timedelta(days=day, hours=7)
        sent = due + timedelta(seconds=random.randrange(3, 600))
        note = {"scorecard": "weekly", "due_at": _stamp(due), "queued_at": _stamp(due), "delivered_at": _stamp(sent)}
        yield "deliveries", {**note, "state": "sent", "attempts": 1}


def _id(table: str, number: int) -> str:
    """Never of 15 characters, which would be taken for a short id of Salesforce where another row names it."""
    return f"{table}-{number:04d}"


def _row(table: str, number: int, random: Random) -> dict[str, Any]:
    born = START + timedelta(seconds=random.randrange(DAYS * 86400))
    id_ = _id(table, number)
    row: dict[str, Any] = {
        "id": id_,
        "source": "files",
        "source_name": "files",
        "source_instance": "made",
        "source_id": id_,
        "url": f"https://crm.test/{id_}",
        "created_at": _stamp(born),
        "updated_at": _stamp(born + timedelta(days=random.randrange(60))),
        "updated_by_kind": random.choice(_WORDS["updated_by_kind"]),
        "first_seen_at": _stamp(born),
        "synced_at": _stamp(AS_OF),
        "is_deleted": int(random.random() < 0.04),
        "is_test": int(random.random() < 0.04),
    }
    spec = TABLES[table]
    for name, kind in spec.columns.items():
        if name in spec.references:
            target = spec.references[name]
            some = random.randrange(_ROWS.get(target, _MANY))
            row[name] = _id(target, some) if random.random() < 0.9 else None
        elif name in spec.choices:
            row[name] = random.choice(spec.choices[name])
        else:
            row[name] = _value(table, name, kind, born, random, name in spec.flags)
    return row | _made_whole(table, row, random) | _kept_twice(table, number)


def _kept_twice(table: str, number: int) -> dict[str, Any]:
    """Every tenth deal, account and contact is the other CRM's copy of the one before."""
    stored = {"opportunities": "sf_opportunity_id", "accounts": "sf_account_id", "contacts": "sf_contact_id"}.get(table)
    if stored is None:
        return {}
    if number % 10 != 9:
        return {"source": "salesforce", "source_name": "sf", "source_instance": "org"}
    copied = _id(table, number - 1)
    return {"source": "hubspot", "source_name": "hs", "source_instance": "portal", stored: copied}


def _made_whole(table: str, row: Mapping[str, Any], random: Random) -> dict[str, Any]:
    """What belongs together in one row: amounts that are credible, links to what there is."""
    if table == "survey_responses":
        return {"scale_min": 1, "scale_max": 5, "score": random.randrange(1, 6), **_asked_about(row)}
    if table == "survey_invitations":
        return {**_asked_about(row), "sent_at": row["created_at"]}
    if table == "costs":
        return {"month": f"{row['created_at'][:7]}"}
    if table == "activity_links":
        return {"object": "contacts", "object_id": _id("contacts", random.randrange(_MANY))}
    if table == "activities":
        return _spoken(row, random)
    if table == "email_events":
        return _mailed(row, random)
    if table == "stage_defs":
        return {"state": "open", "stage_order": int(row["stage"][1:]), "valid_from": _stamp(START)}
    if table == "opportunity_stage_history":
        return {"stage_order": int(row["stage"][1:])}
    if table == "users":
        return {"is_active": int(row["first_seen_inactive_at"] is None), "is_deleted": 0, "is_test": 0}
    return {}


def _spoken(row: Mapping[str, Any], random: Random) -> dict[str, Any]:
    """Three in a row are about one person: we wrote or called, they answered or not, and something else."""
    about, place = divmod(int(row["id"].rpartition("-")[2]), 3)
    began = START + timedelta(seconds=Random(about).randrange(DAYS * 86400))
    return {
        "status": random.choice(["completed", "completed", "completed", row["status"]]),
        "direction": ("outbound", random.choice(["inbound", "inbound", "outbound"]), row["direction"])[place],
        "type": random.choice(["email", "email", "call", "meeting", row["type"]]),
        "occurred_at": _stamp(began + timedelta(hours=place * random.randrange(1, 200))),
        "thread_id": f"thread-{about % _MANY}",
        "contact_id": _id("contacts", about % _MANY),
    }


def _mailed(row: Mapping[str, Any], random: Random) -> dict[str, Any]:
    """Four in a row are about one mail: sent, arrived or not, opened, clicked."""
    send, place = divmod(int(row["id"].rpartition("-")[2]), 4)
    began = START + timedelta(seconds=Random(send).randrange(DAYS * 86400))
    return {
        "send_id": f"send-{send}",
        "type": ("sent", random.choice(["delivered", "delivered", "bounce"]), "open", "click")[place],
        "link_kind": random.choice(["content", "content", "unsubscribe"]) if place == 3 else None,
        "occurred_at": _stamp(began + timedelta(hours=place * random.randrange(1, 80))),
    }


def _asked_about(row: Mapping[str, Any]) -> dict[str, Any]:
    """Each invitation has an answer of the same number: about one ticket, by one contact."""
    number = int(row["id"].rpartition("-")[2])
    return {"survey_type": "csat", "ticket_id": _id("tickets", number), "contact_id": _id("contacts", number)}


def _value(table: str, name: str, kind: str, born: datetime, random: Random, is_flag: bool) -> Any:
    words = _WORDS.get(f"{table}.{name}", _WORDS.get(name))
    if words is not None:
        return random.choice(words)
    if kind in ("instant", "date"):
        moment = born + timedelta(seconds=random.randrange(40 * 86400))
        if random.random() < 0.2:
            return None
        return _stamp(moment) if kind == "instant" else moment.date().isoformat()
    if kind == "boolean":
        return int(random.random() < 0.1) if is_flag else random.choice([0, 1, None])
    if kind == "money":
        return random.choice([None, *range(10_000, 200_000, 7_001)])
    if kind in ("integer", "number"):
        return random.choice([None, *range(1, 200, 13)])
    if kind == "json":
        return None
    if name in _PLACES:
        return f"{name}-{random.randrange(60)}"
    return random.choice([f"{name} a", f"{name} b", f"{name} c", None])


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

"""States and categories that a CRM's export holds in no single column; pure functions of one row's cells.

They follow what the connectors of the same CRM do with the same object, so a figure does not depend on the way in.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from connectors import parse
from connectors.base import Record

#: A cell of the row by header, stripped; "" where the file has no such column. Compared without regard to case.
Cell = Callable[[str], str]
#: (our column, their text) -> what the admin's `values` say, None where they say nothing.
Mapped = Callable[[str, str], Any]
#: (record, cells, values, now as our instant) -> what to set beside what was mapped; None: not a row of this table.
Derive = Callable[[Record, Cell, Mapped, str], Record | None]

_TRUE = frozenset(("true", "1", "yes", "y", "t"))
#: What the CRMs themselves call the stages of deals that are closed; any other name may mean anything ("Not won").
_CLOSED_STAGES = {
    "closed won": "won", "closedwon": "won", "won": "won",
    "closed lost": "lost", "closedlost": "lost", "lost": "lost",
}  # fmt: skip
_OF_PIPELINE = re.compile(r"\s*\([^()]*\)\s*$")
#: Key beside what is set of a deal: the stage that stood for its state, as no column says it.
GUESSED = "guessed_by"
_CLOSED = re.compile(r"\b(closed|resolved|done|solved)\b", re.IGNORECASE)
_PENDING = re.compile(r"\b(waiting|pending|on hold)\b", re.IGNORECASE)
_DISQUALIFIED = frozenset(("unqualified", "disqualified", "closed - not converted"))
_LEAD_CONVERTED = frozenset(("qualified", "converted"))
_CONTACT_CONVERTED = frozenset(("opportunity", "customer", "evangelist"))
_REACHED = ("connected", "answered", "contacted", "spoke", "reached")
_NOT_REACHED = ("no answer", "not connected", "busy", "voicemail", "voice mail", "wrong number", "left message")
#: The column an id of each prefix belongs in.
_PREFIXES = {"001": "account_id", "003": "contact_id", "00Q": "lead_id", "006": "opportunity_id", "500": "ticket_id"}


def derive_for(crm: str, name: str, table: str) -> Derive | None:
    """The rule of one kind of export; None where its columns say all."""
    return _RULES.get((crm, name)) or _TABLE_RULES.get((crm, table))


def is_true(text: str) -> bool:
    return text.lower() in _TRUE


def _merged(record: Record) -> Record:
    """A record merged away is deleted in Salesforce's eyes; to us it is part of another."""
    return {"is_deleted": 0} if record.get("merged_into") else {}


def _by_label(stage: str) -> str | None:
    """won or lost where a stage bears a CRM's own label; HubSpot adds the pipeline, "Closed won (Sales)"."""
    return _CLOSED_STAGES.get(" ".join(re.sub(r"[-_:]", " ", _OF_PIPELINE.sub("", stage)).casefold().split()))


def _deal(record: Record, cell: Cell, mapped: Mapped, now: str) -> Record:
    """open, won or lost: by the admin's values of the stage, else by what columns say, else by the stage's label."""
    stage = str(record.get("stage") or "")
    ours = mapped("state", stage)
    said = str(ours) if ours is not None else _said_state(record, cell, now)
    if said is not None:
        return {"state": said, **_merged(record)}
    label = _by_label(stage)
    is_not_won = label == "won" and _flag(cell, "IsWon", "Is Closed Won", "Won") is False
    state = "open" if label is None or is_not_won else label
    return {"state": state, GUESSED: stage, **_merged(record)}


def _said_state(record: Record, cell: Cell, now: str) -> str | None:
    """What the columns of a deal say of its state; None where only its stage's name is left to go by."""
    won = _flag(cell, "IsWon", "Is Closed Won", "Won")
    lost = _flag(cell, "Is closed lost")
    closed = _flag(cell, "IsClosed", "Is Deal Closed?", "Is closed", "Closed")
    if won:
        return "won"
    if lost or (closed and won is False):
        return "lost"
    if closed is False or (won is False and lost is False):
        return "open"
    # Both CRMs give a won deal 100 % and a lost one 0 %; so they do stages of open ones, but no past close date.
    chance, day = record.get("probability"), str(record.get("close_at") or record.get("close_date") or "")[:10]
    is_over = closed or (day != "" and day <= now[:10])
    if is_over and chance in (0, 1) and not (chance == 1 and won is False):
        return "won" if chance == 1 else "lost"
    if chance is not None and 0 < chance < 1 and not closed and _by_label(str(record.get("stage") or "")) is None:
        return "open"
    return None


def _flag(cell: Cell, *names: str) -> bool | None:
    """The first of these cells that says anything."""
    text = next(filter(None, map(cell, names)), "")
    return is_true(text) if text else None


def _stage_row(record: Record, cell: Cell, mapped: Mapped, now: str) -> Record:
    """A row of OpportunityHistory holds what stage, forecast category and probability say."""
    stage = str(record.get("stage") or "")
    ours = mapped("state", stage)
    state = str(ours) if ours is not None else _by_label(stage)
    if state is None:
        forecast = cell("ForecastCategory").lower()
        probability = cell("Probability") or "0"
        is_none = probability.strip("0.,% ") == ""
        state = "won" if forecast == "closed" else "lost" if forecast == "omitted" and is_none else "open"
    return {"state": state}


def _ticket_state(record: Record, cell: Cell, mapped: Mapped) -> str:
    status = str(record.get("status") or "")
    ours = mapped("status_category", status)
    closed = cell("IsClosed") or cell("Closed")
    if ours is not None:
        return str(ours)
    if is_true(closed):
        return "closed"
    if closed or not (record.get("closed_at") or _CLOSED.search(status)):
        return "pending" if _PENDING.search(status) else "open"
    return "closed"


def _ticket(record: Record, cell: Cell, mapped: Mapped, now: str) -> Record:
    return {"status_category": _ticket_state(record, cell, mapped), **_merged(record)}


def _status_row(record: Record, cell: Cell, mapped: Mapped, now: str) -> Record | None:
    """A field history also tells of other fields; the first row of a record ("created") names no value."""
    field = cell("Field").lower()
    if field and (field != "status" or not record.get("status")):
        return None
    return {"status_category": _ticket_state({"status": record.get("status")}, lambda name: "", mapped)}


def _lead(record: Record, cell: Cell, mapped: Mapped, now: str) -> Record:
    """open, converted or disqualified; its name, where only the parts of it are there."""
    status = str(record.get("status") or "")
    ours = mapped("status_category", status)
    parts = (cell("FirstName") or cell("First Name"), cell("LastName") or cell("Last Name"))
    name = cell("Name") or cell("Lead Name") or " ".join(part for part in parts if part)
    words = {status.lower(), cell("Lead Status").lower()}
    if is_true(cell("IsConverted") or cell("Converted")):
        category = "converted"
    elif ours is not None:
        category = str(ours)
    elif words & _DISQUALIFIED:
        category = "disqualified"
    else:
        is_contact = bool(cell("Lifecycle Stage"))
        category = "converted" if status.lower() in (_CONTACT_CONVERTED if is_contact else _LEAD_CONVERTED) else "open"
    return {"status_category": category, "name": name or None, **_merged(record)}


def _salesforce_lead(record: Record, cell: Cell, mapped: Mapped, now: str) -> Record:
    """Salesforce says itself whether a lead is converted: a status called "Qualified" is not enough."""
    found = _lead(record, cell, mapped, now)
    if found["status_category"] == "converted" and mapped("status_category", str(record.get("status") or "")) is None:
        found["status_category"] = "converted" if is_true(cell("IsConverted") or cell("Converted")) else "open"
    return found


def _user(record: Record, cell: Cell, mapped: Mapped, now: str) -> Record:
    name = record.get("name") or " ".join(part for part in (cell("FirstName"), cell("LastName")) if part)
    return {"name": name or None}


def _account(record: Record, cell: Cell, mapped: Mapped, now: str) -> Record:
    """HubSpot says what a company is by its type and its lifecycle stage."""
    kind, lifecycle = cell("Type").lower(), cell("Lifecycle Stage").lower()
    ours: str | None = None
    if kind in ("partner", "reseller"):
        ours = "partner"
    elif lifecycle in ("customer", "evangelist"):
        ours = "customer"
    elif kind in ("vendor", "other") or lifecycle == "other":
        ours = "other"
    elif kind == "prospect" or lifecycle:
        ours = "prospect"
    return {"kind": ours}


def _only_merged(record: Record, cell: Cell, mapped: Mapped, now: str) -> Record:
    return _merged(record)


def _links(cell: Cell) -> Record:
    """Salesforce's Who, What and account ids, each in the column its prefix stands for."""
    found: Record = {}
    for name in ("AccountId", "WhatId", "WhoId"):
        if column := _PREFIXES.get(cell(name)[:3]):
            found[column] = parse.salesforce_id(cell(name))
    return found


def _task(record: Record, cell: Cell, mapped: Mapped, now: str) -> Record:
    subtype, status = cell("TaskSubtype") or cell("Type"), cell("Status").lower()
    kind = "call" if subtype == "Call" else "email" if subtype in ("Email", "ListEmail") else "task"
    is_done = is_true(cell("IsClosed")) or (not cell("IsClosed") and status in ("completed", "closed"))
    called = cell("CallType").lower()
    direction = "outbound" if kind == "email" else "internal"
    if kind == "call":
        direction = called if called in ("inbound", "outbound", "internal") else "outbound"
    completed = (record.get("completed_at") or record.get("created_at")) if is_done else None
    outcome = cell("CallDisposition").lower()
    return {
        "type": kind,
        "direction": direction,
        "status": "completed" if is_done else "open",
        "due_at": record.get("due_at") if kind == "task" else None,
        "completed_at": completed,
        "occurred_at": completed,
        "is_public": int(kind != "task" and direction != "internal"),
        **({"connected": _connected(outcome)} if kind == "call" else {}),
        **_links(cell),
    }


def _connected(outcome: str) -> int | None:
    if any(word in outcome for word in _NOT_REACHED):
        return 0
    return 1 if any(word in outcome for word in _REACHED) else None


def _meeting(record: Record, cell: Cell, mapped: Mapped, now: str) -> Record:
    """Held once its end has passed, unless its outcome says otherwise."""
    starts, ends = record.get("occurred_at"), record.get("completed_at")
    outcome = cell("Meeting outcome").lower().replace(" ", "_").replace("-", "_")
    known = {"completed": "completed", "no_show": "no_show", "canceled": "cancelled", "cancelled": "cancelled",
             "rescheduled": "cancelled", "scheduled": "scheduled"}  # fmt: skip
    is_over = bool(ends or starts) and str(ends or starts) <= now
    status = known.get(outcome) or ("completed" if is_over else "scheduled")
    length = (parse.to_ms(ends) - parse.to_ms(starts)) // 1000 if starts and ends else None
    return {
        "type": "meeting",
        "direction": "two_way",
        "is_public": 1,
        "status": status,
        "completed_at": (ends or starts) if status == "completed" else None,
        "duration_s": length,
        **_links(cell),
    }


def _hubspot_call(record: Record, cell: Cell, mapped: Mapped, now: str) -> Record:
    status, outcome = cell("Call status").lower(), cell("Call outcome").lower()
    direction = cell("Call direction").lower()
    is_held = status in ("", "completed", "no answer", "busy", "missed", "failed")
    is_missed = status in ("no answer", "busy", "missed", "failed")
    return {
        "type": "call",
        "direction": direction if direction in ("inbound", "outbound") else "outbound",
        "status": "completed" if is_held else "cancelled" if status.startswith("cancel") else "scheduled",
        "completed_at": record.get("occurred_at") if is_held else None,
        "connected": 0 if is_missed else _connected(outcome),
        "is_public": 1,
    }


def _hubspot_task(record: Record, cell: Cell, mapped: Mapped, now: str) -> Record:
    # Before a task is done, its completion date may hold the due date.
    is_done = cell("Task status").lower() == "completed"
    completed = (record.get("completed_at") or record.get("updated_at")) if is_done else None
    return {
        "type": "task",
        "direction": "internal",
        "is_public": 0,
        "status": "completed" if is_done else "open",
        "completed_at": completed,
        "occurred_at": completed,
    }


_RULES: Mapping[tuple[str, str], Derive] = {
    ("salesforce", "Task"): _task,
    ("salesforce", "Event"): _meeting,
    ("hubspot", "calls"): _hubspot_call,
    ("hubspot", "meetings"): _meeting,
    ("hubspot", "tasks"): _hubspot_task,
}
_TABLE_RULES: Mapping[tuple[str, str], Derive] = {
    ("salesforce", "users"): _user,
    ("salesforce", "accounts"): _only_merged,
    ("salesforce", "contacts"): _only_merged,
    ("salesforce", "leads"): _salesforce_lead,
    ("salesforce", "opportunities"): _deal,
    ("salesforce", "opportunity_stage_history"): _stage_row,
    ("salesforce", "tickets"): _ticket,
    ("salesforce", "ticket_status_history"): _status_row,
    ("hubspot", "accounts"): _account,
    ("hubspot", "leads"): _lead,
    ("hubspot", "opportunities"): _deal,
    ("hubspot", "tickets"): _ticket,
}

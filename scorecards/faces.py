"""What a record is called, where a person finds it, whose it is and what it is worth: its face in a list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scorecards.aliases import standing
from scorecards.relations.column import converted

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator

#: What a record is called, and where a person finds it: (title, url, owner) in SQL over `t` and its owner `u`.
_TITLES = {
    "opportunities": "t.name",
    "accounts": "t.name",
    "leads": "COALESCE(t.name, t.company)",
    "tickets": "t.subject",
    "contacts": "COALESCE(NULLIF(trim(COALESCE(t.first_name, '') || ' ' || COALESCE(t.last_name, '')), ''),"
    " t.email_norm)",
    "activities": "COALESCE(t.subject, t.type)",
    "email_events": "COALESCE((SELECT c.email_norm FROM contacts c WHERE c.id = t.contact_id), 'Mail ' || t.send_id)",
    "users": "t.name",
}
_SURVEYS = (
    "SELECT t.id, COALESCE(k.subject, 'Answer ' || t.source_id), COALESCE(t.url, k.url), u.name, NULL"
    " FROM survey_responses t LEFT JOIN tickets k ON k.id = t.ticket_id"
    f" LEFT JOIN users u ON u.id = {standing('k.owner_id')}"
)
#: Rows of the agent's own book: named by whose they are, found where their source is.
_OWN_FACES = {
    "sync_state": (
        "SELECT t.source_name || ' ' || t.stream AS id, t.source_name || ' ' || t.stream, o.url, NULL, NULL"
        " FROM sync_state t LEFT JOIN sources o ON o.source_name = t.source_name"
    ),
    "sync_runs": (
        "SELECT CAST(t.id AS TEXT) AS id, t.source_name || ' ' || t.stream, o.url, NULL, NULL"
        " FROM sync_runs t LEFT JOIN sources o ON o.source_name = t.source_name"
    ),
    "deliveries": "SELECT CAST(t.id AS TEXT) AS id, t.scorecard, NULL, NULL, NULL FROM deliveries t",
}
#: What several CRMs keep may be a person, a company or a deal.
_OWN_FACES["entity_links"] = " UNION ALL ".join(
    f"SELECT t.id, {_TITLES[name]}, t.url, u.name, NULL"
    f" FROM {name} t LEFT JOIN users u ON u.id = {standing('t.owner_id')}"
    for name in ("contacts", "accounts", "opportunities")
)

#: What contradicts itself may be a record of several tables.
_OWN_FACES["inconsistencies"] = " UNION ALL ".join(
    f"SELECT t.id, {_TITLES.get(name, 't.source_id')}, t.url, u.name, NULL"
    f" FROM {name} t LEFT JOIN users u ON u.id = {standing(owner)}"
    for name, owner in (
        *((name, "t.owner_id") for name in ("opportunities", "accounts", "contacts", "leads", "tickets", "activities")),
        ("orders", "t.owner_id"),
        ("invoices", "NULL"),
    )
)


@dataclass(frozen=True, slots=True)
class Face:
    """A record as lists show it; `amount` in major units of the reporting currency, at the rate of its own day."""

    title: str | None = None
    url: str | None = None
    owner: str | None = None
    amount: float | None = None


def faces(evaluator: "Evaluator", table: str, ids: Sequence[str]) -> Mapping[str, Face]:
    """The faces of records of a table by their ids."""
    marks = ", ".join("?" * len(ids))
    if table == "survey_responses":
        rows = evaluator.conn.execute(f"{_SURVEYS} WHERE t.id IN ({marks})", tuple(ids))
    elif table in _OWN_FACES:
        rows = evaluator.conn.execute(f"SELECT * FROM ({_OWN_FACES[table]}) WHERE id IN ({marks})", tuple(ids))
    else:
        types = evaluator.reporting.tables.get(table, {})
        owner = (
            f"LEFT JOIN users u ON u.id = {standing('t.owner_id')}" if "owner_id" in types else "LEFT JOIN users u ON 0"
        )
        rows = evaluator.conn.execute(
            f"SELECT t.id, {_TITLES.get(table, 't.source_id')}, t.url, u.name, {_amount(types)} FROM {table} t {owner}"
            f" WHERE t.id IN ({marks})",
            tuple(ids),
        )
    return {id_: Face(*shown) for id_, *shown in rows}


def _amount(types: Mapping[str, str]) -> str:
    """What a record of a table with these columns is worth (SQL), converted by the rate of its own day."""
    if "amount_minor" not in types:
        return "NULL"
    day = next((f"t.{name}" for name in ("close_date", "order_date", "issued_date") if name in types), "NULL")
    home = f", {converted('t')}" if "home_amount" in types else ""
    return f"major(t.amount_minor, t.currency, {day}{home})"

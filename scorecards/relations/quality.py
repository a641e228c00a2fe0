"""How good the records are: when a person last saw to one, whether it can be reached, whether anybody needs it."""

from collections.abc import Mapping

from scorecards.facts import LIVE
from scorecards.facts.contacts import LAST_ACTION
from scorecards.facts.seen_to import LAST_WORK
from scorecards.relations.column import OWNER, Column, Relation, Spec, bit, epoch, flag

_DAY = 86400
#: Before anything: what has no time at all is no time ago.
_NEVER = "-9000000000000"


def _known(before: str, looked_up: str) -> str:
    """The newest time a fact knows, where it lies before the slice's instant; else the newest that does."""
    return f"(CASE WHEN {before} < s.at THEN {before} WHEN {before} IS NOT NULL THEN {looked_up} END)"


def _seen_to(created: str, edited: str, acted: str, stored: str) -> dict[str, Column]:
    """Columns of a record by when it was made, last changed by a person, last dealt with, and the latest of these.

    All SQL, in epoch seconds. `stored` is as of now: past the slice's instant the parts are asked.
    """
    parts = (f"(CASE WHEN {edited} < s.at THEN {edited} END)", acted, created)
    newest = f"NULLIF(MAX({', '.join(f'COALESCE({part}, {_NEVER})' for part in parts)}), {_NEVER})"
    newest = f"(CASE WHEN {stored} < s.at THEN {stored} ELSE {newest} END)"
    return {
        "edited_at": Column(edited, "instant", epoch=True),
        "acted_at": Column(acted, "instant", epoch=True),
        "seen_to_at": Column(newest, "instant", epoch=True),
        "age_days": Column(f"((s.at - {newest}) / {_DAY})", "integer"),
        "idle_days": Column(f"((s.at - {acted}) / {_DAY})", "integer"),
        # Changed since the instant asked for: when it had been changed before that, nobody kept.
        "was_edited_since": flag(f"COALESCE({edited} >= s.at, 0)"),
    }


_EARLIER = " AND t.occurred_at < s.at"
_CONTACT_ACTED = _known("f.acted_at", LAST_ACTION.format("f.id", "contacts", _EARLIER))


def _of_fact(name: str, table: str) -> str:
    return f"(SELECT k.{name} FROM fact_seen_to k WHERE k.id = f.id AND k.object = '{table}')"


def _by_fact(table: str, looked_up: str) -> dict[str, Column]:
    acted = _known(_of_fact("acted_at", table), looked_up)
    created, edited, latest = (_of_fact(name, table) for name in ("created_at", "edited_at", "seen_to_at"))
    return _seen_to(created, edited, acted, latest)


#: Sets asked of once a statement, not once a row: they name the slice by its bound values.
_STILL_OPEN = "o.known_from < :s_at AND o.known_to >= :s_at"
_WITH_OPEN_DEAL = f"SELECT o.account_id FROM fact_opportunities o WHERE o.is_open = 1 AND {_STILL_OPEN}"
_WITH_OPEN_TICKET = f"SELECT o.account_id FROM fact_tickets o WHERE o.is_closed = 0 AND {_STILL_OPEN}"
_IN_OPEN_TICKET = (
    "SELECT COALESCE(al.canonical, t.contact_id) FROM fact_tickets o CROSS JOIN tickets t ON t.id = o.id"
    f" LEFT JOIN aliases al ON al.id = t.contact_id WHERE o.is_closed = 0 AND {_STILL_OPEN}"
)
_CUSTOMERS = f"SELECT a.id FROM accounts a WHERE a.kind = 'customer' AND {LIVE.format('a')}"


def _in(column: str, of: str) -> str:
    return f"COALESCE({column} IN ({of}), 0)"


def _double(table: str, key: str) -> dict[str, Column]:
    """Is this a further record of what another of its source stands for, by a key; and whose."""
    extra = f"d.object = '{table}' AND d.key = '{key}' AND d.is_extra = 1"
    return {
        f"{key}_is_double": flag(f"f.id IN (SELECT d.id FROM fact_doubles d WHERE {extra})"),
        f"{key}_double_of": Column(
            f"(SELECT MIN(d.cluster_id) FROM fact_doubles d WHERE d.id = f.id AND {extra})", "text"
        ),
    }


CONTACTS: Mapping[str, Column] = {
    "id": Column("f.id", "text"),
    "account_id": Column("f.account_id", "text"),
    "owner_id": OWNER,
    "created_at": epoch("created_at"),
    "bounced": bit("bounced"),
    "left_company": bit("left_company"),
    **_seen_to("f.created_at", "f.edited_at", _CONTACT_ACTED, "f.seen_to_at"),
    **_double("contacts", "email"),
    **_double("contacts", "phone"),
    "is_reachable": bit("is_reachable"),
    "of_customer": flag(_in("f.account_id", _CUSTOMERS)),
    "has_open_work": flag(
        f"{_in('f.account_id', _WITH_OPEN_DEAL)} OR {_in('f.account_id', _WITH_OPEN_TICKET)}"
        f" OR {_in('f.id', _IN_OPEN_TICKET)}"
    ),
    "is_unattached": flag(f"f.account_id IS NULL AND {_CONTACT_ACTED} IS NULL"),
}
ACCOUNTS: Mapping[str, Column] = {
    **_double("accounts", "domain"),
    **_by_fact("accounts", LAST_ACTION.format("f.id", "accounts", _EARLIER)),
    "has_open_work": flag(f"{_in('f.id', _WITH_OPEN_DEAL)} OR {_in('f.id', _WITH_OPEN_TICKET)}"),
}


def _linked(table: str) -> str:
    """Records of a table that stand for copies another CRM keeps of them."""
    return (
        f"SELECT c.id, '{table}' AS object, 1 AS is_linked, NULL AS evidence, COUNT(*) + 1 AS records,"
        f" MIN(c.created_at) AS created_at FROM {table} d CROSS JOIN aliases al ON al.id = d.id"
        f" CROSS JOIN {table} c ON c.id = al.canonical"
        " WHERE d.dup_of IS NOT NULL AND d.is_deleted = 0 AND d.is_test = 0 AND d.source <> c.source"
        f" AND {LIVE.format('c')} GROUP BY c.id"
    )


def _open(table: str) -> str:
    """Pairs that seem to be one and have not been made so; told apart, they are none.

    One of several such pairs of a record stands for all; it is there since both records of the first are.
    """
    return (
        f"SELECT COALESCE(al.canonical, l.a_id), '{table}', 0, MIN(l.evidence), COUNT(*) + 1,"
        " MIN(MAX(a.created_at, b.created_at))"
        f" FROM entity_links l CROSS JOIN {table} a ON a.id = l.a_id CROSS JOIN {table} b ON b.id = l.b_id"
        " LEFT JOIN aliases al ON al.id = l.a_id"
        f" WHERE l.kind IN ('candidate', 'conflict') AND l.object = '{table}' GROUP BY 1"
    )


_IN_SEVERAL = ("accounts", "contacts", "opportunities")
#: Whom and what several CRMs keep, as far as anything says so: what is one counts as its one row (docs/links.md).
_LINK_CLUSTERS = f"({' UNION ALL '.join(made(table) for made in (_linked, _open) for table in _IN_SEVERAL)})"
_CLUSTER_RELATION = Relation(
    "link_clusters",
    _LINK_CLUSTERS,
    own={
        "id": Column("f.id", "text"),
        "object": Column("f.object", "text"),
        "is_linked": bit("is_linked"),
        "evidence": Column("f.evidence", "text"),
        "records": Column("f.records", "integer"),
        "created_at": Column("f.created_at", "instant"),
    },
    needs_table="entity_links",
)

OPPORTUNITIES: Mapping[str, Column] = _by_fact("opportunities", LAST_ACTION.format("f.id", "opportunities", _EARLIER))
TICKETS: Mapping[str, Column] = _by_fact("tickets", LAST_WORK.format("f", " AND a.occurred_at < s.at_text"))

SPECS: Mapping[str, Spec] = {
    "contacts": Spec(own=CONTACTS, anchor="created_at"),
    "link_clusters": Spec(made=lambda _: _CLUSTER_RELATION),
}

"""Records that contradict themselves or each other: a row for each record and each kind of contradiction.

Read from the records as they are; what a record was like earlier nobody kept.
"""

from collections.abc import Iterator, Mapping

from scorecards.aliases import standing
from scorecards.facts import ITS_IDS, LIVE
from scorecards.relations.column import Column, Relation, Spec, converted

#: What a row refers to, by table: the columns looked at, and the tables they name. Owners are not: few logins may read
#: all users.
_REFERENCES: Mapping[str, Mapping[str, str]] = {
    "opportunities": {"account_id": "accounts", "partner_account_id": "accounts"},
    "contacts": {"account_id": "accounts"},
    "tickets": {"account_id": "accounts", "contact_id": "contacts"},
    "leads": {"converted_account_id": "accounts", "converted_opportunity_id": "opportunities"},
}
#: The column by which another CRM's row names its Salesforce record.
_NAMES_SALESFORCE = {
    "accounts": "sf_account_id",
    "contacts": "sf_contact_id",
    "opportunities": "sf_opportunity_id",
}
_OPEN = {
    "opportunities": "t.state = 'open'",
    "tickets": "t.status_category <> 'closed'",
    "leads": "t.status_category = 'open'",
}
_UNLINKED = " AND ".join(f"{name}_id IS NULL" for name in ("contact", "lead", "account", "opportunity", "ticket"))


def _found(kind: str, table: str, only: str, what: str, owner: str = "t.owner_id") -> str:
    """The live records of a table that are of a kind: `only` says which, `what` (SQL) what is wrong with one."""
    return (
        f"SELECT t.id AS id, '{kind}' AS kind, '{table}' AS object, t.source AS source, {owner} AS owner_id,"
        f" t.created_at AS created_at, {what} AS what FROM {table} t WHERE {LIVE.format('t')} AND {only}"
    )


def _kinds() -> Iterator[str]:
    deals, closed = "opportunities", "t.state IN ('won', 'lost')"
    yield _found("won without amount", deals, "t.state = 'won' AND t.amount_minor IS NULL", "'no amount'")
    yield _found(
        "closed without close date", deals, f"{closed} AND t.close_date IS NULL", "t.state || ', no close date'"
    )
    yield _found(
        "close date before creation",
        deals,
        # No zone is a day ahead of UTC: of nearly all deals the texts say it, and no local day is worked out.
        "t.close_date <= substr(t.created_at, 1, 10) AND t.close_date < local_day(t.created_at)",
        "'closes ' || t.close_date || ', created ' || local_day(t.created_at)",
    )
    yield _found(
        "closed deal with future date",
        deals,
        f"{closed} AND t.close_date > :today",
        "t.state || ', close date ' || t.close_date",
    )
    for table, day, owner in (
        (deals, f"CASE WHEN {closed} THEN COALESCE(t.close_date, :today) ELSE :today END", "t.owner_id"),
        ("orders", "COALESCE(t.order_date, :today)", "t.owner_id"),
        ("invoices", "COALESCE(t.issued_date, :today)", "NULL"),
    ):
        rate = f"rate(t.currency, {day}, {converted('t')})"
        unknown = f"t.amount_minor IS NOT NULL AND t.currency IS NOT NULL AND {rate} IS NULL"
        yield _found("two currencies without rate", table, unknown, f"t.currency || ' on ' || {day}", owner)
    yield _found(
        "ticket closed before created",
        "tickets",
        "t.closed_at < t.created_at",
        "'created ' || local_day(t.created_at) || ', closed ' || local_day(t.closed_at)",
    )
    # The facts of activities are narrow: read by themselves, and only what is linked to nothing looked up.
    yield _found(
        "activity without any link",
        "activities",
        f"t.id IN (SELECT k.id FROM fact_activities k WHERE {_UNLINKED}) AND NOT EXISTS"
        f" (SELECT 1 FROM activity_links l WHERE l.activity_id IN ({ITS_IDS.format('t')}) AND l.is_deleted = 0"
        " AND l.object_id IS NOT NULL)",
        "COALESCE(t.type || ' of ' || local_day(t.occurred_at), t.type, 'linked to nothing')",
    )
    left = f"(SELECT u.name FROM users u WHERE u.id = {standing('t.owner_id')})"
    for table, is_open in _OPEN.items():
        gone = f"{is_open} AND {standing('t.owner_id')} IN (SELECT u.id FROM users u WHERE u.is_active = 0)"
        yield _found("inactive owner with open work", table, gone, f"'open, of ' || COALESCE({left}, 'somebody gone')")
    yield from _orphans()
    yield from _conflicts()
    yield _twice_named()


def _orphans() -> Iterator[str]:
    for table, names in _NAMES_SALESFORCE.items():
        unknown = (
            f"t.{names} IS NOT NULL AND t.source <> 'salesforce'"
            f" AND NOT EXISTS (SELECT 1 FROM link_names n WHERE n.object = '{table}' AND n.copy = t.id)"
            f" AND EXISTS (SELECT 1 FROM {table} o WHERE o.source = 'salesforce')"
        )
        what = f"'{names} = ' || t.{names} || ', which was never synced'"
        yield _found("orphan link", table, unknown, what)
    for table, references in _REFERENCES.items():
        for column, target in references.items():
            # Asked once of each record that is named. Of a kind that is not read at all nothing can be missed.
            missing = (
                f"t.{column} IN (SELECT k.id FROM (SELECT DISTINCT r.{column} AS id FROM {table} r) k"
                f" WHERE EXISTS (SELECT 1 FROM {target}) AND NOT EXISTS (SELECT 1 FROM {target} o"
                f" WHERE o.id = {standing('k.id')} AND (o.is_deleted = 0 OR o.merged_into IS NOT NULL)))"
            )
            named = column.removesuffix("_id").replace("_", " ")
            yield _found("orphan link", table, missing, f"'its {named} is not there'")


def _conflicts() -> Iterator[str]:
    for table in _NAMES_SALESFORCE:
        at_odds = f"FROM entity_links l WHERE l.kind = 'conflict' AND l.object = '{table}'"
        # Said of the record that counts: the one of the pair may be its copy.
        which = standing("l.a_id")
        why = f"(SELECT MIN(l.evidence) {at_odds} AND {which} = t.id)"
        yield _found("link conflict", table, f"t.id IN (SELECT {which} {at_odds})", why)


def _twice_named() -> str:
    """Deals of another CRM that name one opportunity: all are its copies, out of every sum, though one may be new."""
    copies = (
        "SELECT h.name AS name FROM link_names n JOIN opportunities h ON h.id = n.copy JOIN opportunities o"
        " ON o.id = n.original WHERE n.object = 'opportunities' AND n.original {0} AND h.cluster_id = o.cluster_id"
        " AND h.is_deleted = 0 AND h.merged_into IS NULL"
    )
    # Of most opportunities one deal alone tells, which the index says.
    several = "SELECT n.original AS id FROM link_names n WHERE n.object = 'opportunities' GROUP BY n.original"
    only = (
        f"t.id IN (SELECT {standing('k.id')} FROM ({several} HAVING COUNT(*) > 1) k"
        f" WHERE (SELECT COUNT(*) FROM ({copies.format('= k.id')})) > 1)"
    )
    its_ids = ITS_IDS.format("t")
    named = f"SELECT c.name FROM ({copies.format(f'IN ({its_ids})')}) c ORDER BY c.name LIMIT 5"
    what = f"'named by ' || (SELECT group_concat(k.name, ', ') FROM ({named}) k)"
    return _found("two deals of one opportunity", "opportunities", only, what)


#: One record of each kind first, then the second of each: a short list has some of all.
_SOURCE = (
    "(SELECT k.*, ROW_NUMBER() OVER (PARTITION BY k.kind ORDER BY k.created_at DESC, k.id) AS turn"
    f" FROM ({' UNION ALL '.join(_kinds())}) k)"
)
_RELATION = Relation(
    "inconsistencies",
    _SOURCE,
    own={
        **{name: Column(f"f.{name}", "text") for name in ("id", "kind", "object", "source", "what")},
        "owner_id": Column(standing("f.owner_id"), "text"),
        "created_at": Column("f.created_at", "instant"),
        "turn": Column("f.turn", "integer"),
    },
    needs_table="facts_meta",
    stands_for="inconsistencies",
)

SPECS: Mapping[str, Spec] = {"inconsistencies": Spec(made=lambda _: _RELATION, behind="tickets")}

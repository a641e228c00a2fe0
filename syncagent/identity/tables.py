"""Which tables hold records that may be one and the same, what the rules read of them, and what is kept of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from syncagent.identity.alike import ALIKE, ELSEWHERE, MESSAGE, USERS_BY_ADDRESS


@dataclass(frozen=True, slots=True)
class Linked:
    """How records of one table are found to be the same in two CRMs."""

    names: str | None = None  # the column in which a copy names its Salesforce record
    key: str | None = None  # what both CRMs know of one and the same: an address, a domain
    kind: str = ""  # what a link by that key is called
    says: tuple[str, ...] = ()  # columns the rule of the key reads besides: a name, a parent
    written: str = "{0}"  # what of the key is compared, in SQL: how it is written may differ
    #: What a rule leaves open is for nobody to decide, and of very many rows hardly any has a partner.
    is_quiet: bool = False


LINKED: Mapping[str, Linked] = MappingProxyType(
    {
        "accounts": Linked("sf_account_id", "domain_norm", "domain", ("name", "parent_id")),
        "contacts": Linked("sf_contact_id", "email_norm", "email", ("last_name",)),
        "opportunities": Linked("sf_opportunity_id"),
        "users": Linked(key="email", kind="login", says=("is_active",)),
        "activities": Linked(
            key="message_id", kind="message", says=("type",), written=f"({MESSAGE.format('{0}')})", is_quiet=True
        ),
    }
)
#: Tables whose rows can be merged away or stand for each other.
ALIASED = ("accounts", "activities", "contacts", "leads", "opportunities", "tickets", "users")
#: Those facts hold as the rows say it: who stands for them is looked up when a KPI asks.
AS_SAID = ("users",)

#: Raised whenever the rules say something else of unchanged rows: all is linked anew then.
VERSION = 5
#: Links that make two records one; the others are shown to people and change no figure.
COUNTED = ("hard", "manual", "email", "domain", "login", "deal", "message", "moment")

INSTALL = [
    "CREATE TABLE IF NOT EXISTS aliases (id TEXT PRIMARY KEY, canonical TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS aliases_canonical ON aliases(canonical)",
    # What links two records, or was found and does not: a_id < b_id. Of each pair one row.
    """CREATE TABLE IF NOT EXISTS entity_links (
        a_id TEXT NOT NULL,
        b_id TEXT NOT NULL,
        object TEXT NOT NULL,
        kind TEXT NOT NULL,
        score REAL,
        created_at TEXT,
        evidence TEXT NOT NULL,
        said_by TEXT NOT NULL,
        PRIMARY KEY (a_id, b_id)
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS entity_links_b ON entity_links(b_id)",
    "CREATE INDEX IF NOT EXISTS entity_links_kind ON entity_links(kind, object)",
    # Which row names which Salesforce record, in whatever org; and how many pairs each portal has in each org.
    """CREATE TABLE IF NOT EXISTS link_names (
        object TEXT NOT NULL,
        copy TEXT NOT NULL,
        original TEXT NOT NULL,
        portal TEXT NOT NULL,
        org TEXT NOT NULL,
        PRIMARY KEY (object, copy, original)
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS link_names_original ON link_names(object, original)",
    "CREATE TABLE IF NOT EXISTS link_orgs (portal TEXT, org TEXT, pairs INTEGER NOT NULL, PRIMARY KEY (portal, org))"
    " WITHOUT ROWID",
    # The accounts (orgs, portals) rows of a table came from: as long as there is one, keys link nothing.
    "CREATE TABLE IF NOT EXISTS link_sources (object TEXT, source TEXT, source_instance TEXT,"
    " PRIMARY KEY (object, source, source_instance)) WITHOUT ROWID",
    # Keys some row has no longer: whoever shares one is to be looked at. Emptied by the next linking.
    "CREATE TABLE IF NOT EXISTS link_left (object TEXT, key TEXT, PRIMARY KEY (object, key)) WITHOUT ROWID",
    # What people said of two records, in the configuration or by a command; the latter's home is state.db.
    """CREATE TABLE IF NOT EXISTS link_decisions (
        a_id TEXT NOT NULL,
        b_id TEXT NOT NULL,
        origin TEXT NOT NULL,
        verdict TEXT NOT NULL,
        said_by TEXT NOT NULL,
        said_at TEXT,
        note TEXT,
        PRIMARY KEY (a_id, b_id, origin)
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS link_decisions_b ON link_decisions(b_id)",
    *(
        f"CREATE INDEX IF NOT EXISTS {table}_alias ON {table}(id) WHERE merged_into IS NOT NULL OR dup_of IS NOT NULL"
        for table in ALIASED
    ),
    *(f"CREATE INDEX IF NOT EXISTS {table}_dup_of ON {table}(dup_of) WHERE dup_of IS NOT NULL" for table in ALIASED),
    *(
        f"CREATE INDEX IF NOT EXISTS {table}_{one.names} ON {table}({one.names}) WHERE {one.names} IS NOT NULL"
        for table, one in LINKED.items()
        if one.names
    ),
    *(f"DROP INDEX IF EXISTS {table}_source_id" for table in LINKED),
    *(
        f"CREATE INDEX IF NOT EXISTS {table}_salesforce_id ON {table}(source_id) WHERE source = 'salesforce'"
        for table, one in LINKED.items()
        if one.names
    ),
    USERS_BY_ADDRESS,
]


def key_index(table: str) -> str:
    """The index of a table's key. It is made once records of two CRMs are there: its presence says that they are."""
    return f"{table}_link_key"


def key_said(table: str, row: str) -> str:
    """The key of a row (an alias) as it is compared, in SQL."""
    return LINKED[table].written.format(f"{row}.{LINKED[table].key}")


def shares_key(table: str) -> str:
    """Whether a row `t` has the key of one (`o`) of another account of a CRM, in SQL."""
    key = LINKED[table].key
    return (
        f"(t.{key} IS NOT NULL AND EXISTS (SELECT 1 FROM {table} o WHERE o.{key} IS NOT NULL"
        f" AND {key_said(table, 'o')} = {key_said(table, 't')} AND {ELSEWHERE}))"
    )


def looks_like(table: str) -> str:
    """Whether a row `t` looks like one (`o`) of another account of a CRM, in SQL."""
    return f"({ALIKE[table].may} AND EXISTS (SELECT 1 FROM {table} o WHERE {ALIKE[table].partner}))"


def applied(index: str) -> str:
    """Whether the rule is applied that looks records up by an index, in SQL."""
    return f"EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = '{index}')"


def columns_of(table: str) -> list[str]:
    """The columns a change of which may make a row another's, or its own; none for a table that stands for itself."""
    if table not in ALIASED:
        return []
    if table not in LINKED:
        return ["merged_into"]
    one = LINKED[table]
    said = [column for column in (one.names, one.key, *one.says) if column]
    said += ALIKE[table].columns if table in ALIKE else ()
    return ["merged_into", *said, "is_deleted", "is_test", "source", "source_instance", "source_id"]


def key_of(table: str) -> str | None:
    """The column by which records of several CRMs are linked; None where only ids do."""
    return LINKED[table].key if table in LINKED else None


def concerns_new(table: str) -> str:
    """Whether a new row `t` may be linked or merged, in SQL."""
    # Or others were merged into it before it was there.
    found = ["t.merged_into IS NOT NULL", f"EXISTS (SELECT 1 FROM {table} m WHERE m.merged_into = t.id)"]
    if table in LINKED:
        one = LINKED[table]
        if one.names:
            found += [
                f"t.{one.names} IS NOT NULL",
                # The 18 characters of an id begin with its 15, either of which may stand on either side.
                f"(t.source = 'salesforce' AND EXISTS (SELECT 1 FROM {table} h WHERE h.{one.names}"
                " BETWEEN substr(t.source_id, 1, 15) AND substr(t.source_id, 1, 15) || 'ZZZ'))",
            ]
        found += [
            "EXISTS (SELECT 1 FROM link_decisions d WHERE d.a_id = t.id)",
            "EXISTS (SELECT 1 FROM link_decisions d WHERE d.b_id = t.id)",
        ]
        if one.key:
            is_met = shares_key(table) if one.is_quiet else f"t.{one.key} IS NOT NULL"
            found.append(f"({applied(key_index(table))} AND {is_met})")
        if table in ALIKE:
            is_met = looks_like(table) if one.is_quiet else ALIKE[table].may
            found.append(f"({applied(ALIKE[table].index)} AND {is_met})")
        found += [f"(t.{rule.reads[1]} IS NOT NULL AND {applied(rule.index)})" for rule in ALIKE.values()
                  if rule.reads[:1] == (table,)]  # fmt: skip
    return " OR ".join(found)


def note_sources_of(table: str) -> str | None:
    """A statement that notes which accounts of CRMs noted rows `n` up to a rowid are from; None where nobody asks."""
    if table not in LINKED or not LINKED[table].key:
        return None
    return (
        f"INSERT OR IGNORE INTO link_sources SELECT DISTINCT '{table}', t.source, COALESCE(t.source_instance, '')"
        f" FROM changed_{table} n CROSS JOIN {table} t ON t.id = n.id WHERE n.rowid <= ?1 AND n.event = 'new'"
    )

"""What a relation and its columns are, and the ways a column is commonly written. Knows no relation of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from scorecards.aliases import standing
from scorecards.facts import LIVE

#: Spellings of earlier pages that go on working.
SPELLINGS = {
    "owner_name": "owner.name",
    "owner_team": "owner.team",
    "owner_email": "owner.email",
    "account_name": "account.name",
    "email": "email_norm",
    "phone": "phone_norm",
    "domain": "domain_norm",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column in SQL. `epoch`: an instant in epoch seconds; `masked`: null until its own instant is past as_of."""

    sql: str
    type: str  # text integer number instant date boolean money any
    epoch: bool = False
    masked: bool = False
    joins: tuple[str, ...] = ()
    currency: str = ""  # SQL of a money column's currency
    home: str = ""  # SQL of a money column: the whole amount, what the CRM converts it to, and the currency of that
    undated: str = ""  # SQL, true where the event has happened and the row does not say when
    dawns: bool = False  # a date something begins or ends with: it has at the first moment of its day


@dataclass(frozen=True, slots=True)
class Way:
    """A reference of a row to the record it is about: what splits such records splits the row as well."""

    word: str  # what stands before the dot
    table: str
    columns: frozenset[str]  # what can be named of the record, or stands before a dot

    def to(self, column: str) -> str | None:
        """A column of the record as one of the row; None for what follows from facts and cannot be had this way."""
        return f"{self.word}.{column}" if column.partition(".")[0] in self.columns else None


@dataclass(frozen=True, slots=True)
class Relation:
    """Rows that can be counted: FROM `source` AS f, of which `live` holds."""

    name: str
    source: str
    live: str = ""
    turns: tuple[str, ...] = ()  # the instants (SQL) that `live` compares with :known_at
    versioned: bool = False
    state: str = ""  # of versions: the column of `source` that says what state each is of
    states: tuple[str, ...] = ()  # those it may be in, to and fro
    base: str | None = None  # the canonical table behind f, joined as r where one of its columns is wanted
    own: Mapping[str, Column] = field(default_factory=dict)
    anchor: str | None = None
    needs_table: str = ""  # the canonical table that must hold rows, or there is no data
    or_table: str = ""  # another one of which will do
    rests: tuple[str, ...] = ()  # what must be filled beside (scorecards.wanted), or there is no data
    ahead: str = ""  # SQL, true of rows that may lie ahead of the day KPIs are asked for: plans
    amounts_in: str = ""  # the table that holds its amounts, each with its currency, where that is not `needs_table`
    made_of: str = ""  # the one of the sets of `Reporting.customer_spans` its rows are
    looks_back: int = 0  # days before the one asked for that its rows follow from
    party: str = ""  # the column naming the account, contact or lead a row is about, where its own record names nobody
    stands_for: str = ""  # the table whose records its rows' ids are, where that is neither base nor needs_table
    ways: Sequence["Way"] = ()  # the first goes before the next

    @property
    def money_tables(self) -> tuple[str, ...]:
        """The tables whose currencies its amounts are in."""
        return (self.amounts_in,) if self.amounts_in else tuple(filter(None, (self.needs_table, self.or_table)))

    @property
    def records(self) -> str:
        """The table whose records its ids are."""
        return self.stands_for or self.base or self.needs_table

    def split_by(self, tables: Mapping[str, str]) -> str | None:
        """The column a dimension (table -> column) splits these rows by: said of them, or of the table behind them.

        Else what is said of the records they lead to, of the first of which something is.
        """
        said = tables.get(self.name) or tables.get(self.base or "")
        if said:
            return said
        led = (way.to(tables[way.table]) for way in self.ways if way.table in tables)
        return next(filter(None, led), None)


@dataclass(frozen=True, slots=True)
class Options:
    """What a KPI says of the relations that are made by its parameters."""

    customer_model: str = "repurchase"
    lookback_days: int = 365
    purchases: Sequence[str] = ("deals",)
    units: str = "deals"  # or orders: whose lines are the units sold
    pipeline: str = ""  # whose steps are looked at; the one with most deals when empty
    sources: Sequence[str] | None = None  # of what the agent notes: the sources that count; None: all


@dataclass(frozen=True, slots=True)
class Spec:
    """One relation as its area says it: the columns a table or fact gains, or (`made`) the whole of it."""

    own: Mapping[str, Column] = field(default_factory=dict)
    anchor: str | None = None
    current: Mapping[str, Column] = field(default_factory=dict)  # columns of the canonical rows as they are now
    made: Callable[[Options], Relation] | None = None
    ahead: str = ""  # as in Relation
    live: str = ""  # SQL, what a row must be besides live itself: its parent's to say
    behind: str = ""  # of a made one: the canonical table its references are those of
    refers: Mapping[str, str] = field(default_factory=dict)  # references besides: a column of `own` -> table
    states: tuple[str, ...] = ()  # as in Relation
    led: Sequence[str] = ()  # references to what a row is about, as in Relation.ways


def epoch(name: str, masked: bool = False) -> Column:
    """An instant of ours, in epoch seconds."""
    return Column(f"f.{name}", "instant", epoch=True, masked=masked)


def flag(sql: str) -> Column:
    """A claim in SQL, true or false."""
    return Column(f"({sql})", "flag")


def of_live(parent: str, column: str) -> str:
    """Rows (SQL over f) whose parent counts: not deleted, no copy, no test; a merged one's are the survivor's.

    A row whose parent was never synced stays: CRMs allow orphans.
    """
    return (
        f"NOT EXISTS (SELECT 1 FROM {parent} p WHERE p.id = f.{column} AND p.dup_of IS NOT NULL) AND NOT EXISTS"
        f" (SELECT 1 FROM {parent} p WHERE p.id = {standing(f'f.{column}')} AND NOT ({LIVE.format('p')}))"
    )


def bit(name: str) -> Column:
    """A stored 0 or 1."""
    return Column(f"f.{name}", "boolean")


_CONVERTED = ("amount_minor", "home_amount", "home_currency")


def converted(alias: str) -> str:
    """What the CRM makes of the whole amount of a record (an alias in SQL): `Column.home` of its money."""
    return ", ".join(f"{alias}.{name}" for name in _CONVERTED)


def converted_by(id_: str, *tables: str, only: str = "1") -> str:
    """The same of the record (as h) that an id (SQL) names, of one of the tables, where `only` (SQL) holds."""
    found = []
    for name in _CONVERTED:
        looked = [f"(SELECT h.{name} FROM {table} h WHERE h.id = {id_} AND {only})" for table in tables]
        found.append(looked[0] if len(looked) == 1 else f"COALESCE({', '.join(looked)})")
    return ", ".join(found)


#: Whose a row is: one person, however many CRMs know them.
OWNER = Column(standing("f.owner_id"), "text")
MONEY = Column("f.amount_minor", "money", currency="f.currency")


#: In the SQL of a column: the team of the ticket `t`. Nobody's, until teams have calendars (`Language.column`).
TEAM_OF_TICKET = "(NULL /* the team of ticket t */)"

#: Tables whose rows can be merged away, or be another's copy.
_STOOD_FOR = ("accounts", "contacts", "leads", "opportunities", "tickets", "users")


def base_columns(
    types: Mapping[str, str], alias: str, joins: tuple[str, ...] = (), references: Mapping[str, str] | None = None
) -> dict[str, Column]:
    """The columns of a canonical table under an alias; money by its name without _minor.

    `references` (column -> table): what refers to a merged record refers to the one that stands for it (G3).
    """
    columns = {}
    home = converted(alias) if "home_amount" in types else ""
    for name, kind in types.items():
        sql = f"{alias}.{name}"
        if kind == "money":
            # All money of a record by one rate: what a deal cost as what it is worth.
            money = Column(sql, "money", joins=joins, currency=f"{alias}.currency", home=home)
            columns[name.removesuffix("_minor")] = money
        elif kind != "json":
            is_stood_for = (references or {}).get(name) in _STOOD_FOR
            columns[name] = Column(standing(sql) if is_stood_for else sql, kind, joins=joins)
    return columns

"""What a fact table is, and the days and instants facts are made of. Knows no table of its own."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from scorecards.calendar import Clocks
from scorecards.days import Day
from scorecards.definition import Reporting

#: A row of a query, its columns in the query's order.
Row = tuple[Any, ...]

#: A record's own id and those merged into it or linked to it: what is filed under them is its own too.
ITS_IDS = "SELECT {0}.id UNION ALL SELECT m.id FROM aliases m WHERE m.canonical = {0}.id"

#: Of a record kept in several CRMs, since when the first of them has it: {0} the row that counts, {1} its table. NULL
#: where that row does not say (known from the start).
BORN = (
    "MIN({0}.created_at, COALESCE((SELECT MIN(k.created_at) FROM {1} k WHERE k.dup_of = {0}.id AND k.is_deleted = 0"
    " AND k.is_test = 0 AND k.merged_into IS NULL), {0}.created_at))"
)

#: In its own CRM, whether another's row counts for it or not.
THERE = "{0}.is_deleted = 0 AND {0}.merged_into IS NULL AND {0}.is_test = 0"
LIVE = f"{THERE} AND {{0}}.dup_of IS NULL"


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact table: how it is made, and what it follows from.

    A fact is derived a *unit* at a time: a record (unit = "id"), or whatever its rows hang together by (a person,
    an account, a thread). `read` selects, ordered by unit, what `derive` turns into fact rows; it reads the units
    in temp.wanted(id) and leaves out rows that are not live. A unit without rows loses those it had.

    Kept must equal rebuilt, so `derive` may read only canonical tables and facts before its own, and whatever it
    reads must mark its units: a canonical table by `follows`, `borrows`, `through` or `named`, an earlier fact by that
    fact's `feeds` or `passes`.
    """

    kind: str  # the relation it stands behind, and its name in `dirty`
    name: str  # the table
    columns: tuple[str, ...]
    ddl: tuple[str, ...]
    read: str
    derive: Callable[[Iterable[Row], "Book"], Iterator[Row]]
    unit: str = "id"  # our column that holds the unit
    # Canonical table -> its columns that hold a unit (as the row says it: merges are followed later).
    follows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # (canonical table, column of `kind`'s table that names a row of it, column read there): for record facts only.
    borrows: tuple[tuple[str, str, str], ...] = ()
    # The same through rows between: (canonical table, column read there, table of the rows between, its column that
    # names a row of the first, its column that holds a unit).
    through: tuple[tuple[str, str, str, str, str], ...] = ()
    # What a row is looked up by that is no id: (canonical table, its column, SQL of the rows that hold the
    # same, their column, their column that holds a unit).
    named: tuple[tuple[str, str, str, str, str], ...] = ()
    # Kind of a later fact -> SQL over our own row that gives its unit: asked before and after rows are replaced.
    feeds: Mapping[str, str] = field(default_factory=dict)
    # The same through records: (kind of a later fact, SQL over our own row that names a record, table whose rows are
    # units, its column that names such a record).
    passes: tuple[tuple[str, str, str, str], ...] = ()
    anchors: tuple[str, ...] = ()  # columns KPIs place our rows in time by
    uses: tuple[str, ...] = ()  # parts of Reporting besides the time zone that `derive` reads: a change builds anew
    version: int = 1  # raised when `derive` says something else of unchanged rows
    # What rows of one fact say of each other, in the column `told`: `together` recomputes it for the groups in
    # temp.touched, which `group` names before and after the rows of temp.wanted are replaced.
    group: str = ""
    together: str = ""
    told: str = ""

    @property
    def fed(self) -> set[str]:
        """The kinds of later facts its rows are passed on to."""
        return {*self.feeds, *(kind for kind, *_ in self.passes)}

    @property
    def reads(self) -> tuple[tuple[str, str, str, str, str], ...]:
        """All that is read of rows referred to: `borrows` and `through` in the latter's form."""
        return (*((table, read, self.kind, column, "id") for table, column, read in self.borrows), *self.through)


class Book:
    """What facts are settled by: local days in the reporting zone, business hours. Memoised; knows no rows."""

    def __init__(self, reporting: Reporting) -> None:
        self.reporting = reporting
        self._days = Day(reporting)
        self.zone = self._days.zone
        self._clocks: Clocks | None = None

    def day(self, instant: str) -> str:
        """The local date (text) of a UTC instant (text)."""
        return self._days.of(instant)

    def last_second(self, day: str) -> int:
        """The last epoch second of a local date: an event "that day" is known once the day is over."""
        return self._days.last_second(day)

    def business(self, start: int, end: int, team: str | None = None) -> int:
        """A team's opening hours between two instants, in seconds; of none, everybody's.

        A fact that asks says uses = ("hours", "calendars").
        """
        if self._clocks is None:
            self._clocks = Clocks(self.reporting)
        return self._clocks.seconds(start, end, team)


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


#: The columns `neighboured` adds.
NEIGHBOURS = ("state_before", "state_after")


def neighboured(versions: Iterable[Row], state: int) -> Iterator[Row]:
    """Versions of one record in their order, each with the state of the one before it and of the one after it.

    `state`: the place of a version's own. Null where there is none: what came or went in a period is told by its rows
    alone.
    """
    held = list(versions)
    states: list[Any] = [None, *(version[state] for version in held), None]
    for place, version in enumerate(held):
        yield (*version, states[place], states[place + 2])


def table(name: str, columns: tuple[str, ...], *indexes: str) -> tuple[str, ...]:
    """The statements that make a fact table and its indexes."""
    made = [f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(columns)})"]
    for number, index in enumerate(indexes):
        made.append(f"CREATE INDEX IF NOT EXISTS {name}_{number} ON {name}{index}")
    return tuple(made)

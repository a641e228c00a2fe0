"""The contract between the agent and a vendor: what a connector is asked and what it answers.

A connector yields pages of plain records under our column names; it never sees the database. Whatever a page
holds is committed in one transaction together with the page's bookmark, so a kill at any moment neither loses
nor repeats anything that matters.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Protocol, TypedDict

#: One object as a flat dict under our column names. `source_id` (text) names it within its table; references
#: (`account_id`, `owner_id` …) hold the *source_id* of what they refer to; instants are UTC text
#: `YYYY-MM-DDTHH:MM:SSZ`, dates `YYYY-MM-DD`, money integer minor units beside `currency`, booleans 0 or 1;
#: `custom` is a dict. A key that is absent leaves the stored value untouched, a None overwrites it.
Record = dict[str, Any]

#: Where a stream's next sync goes on: JSON-able, made and read by the connector alone. Only `notes`, where there are
#: any, is read by others too: what a person should know of the stream (list of StreamNote) until a later one lacks it.
Bookmark = dict[str, Any]


class StreamNote(TypedDict):
    """What a person should know of a stream although it was read: a word for scripts, a sentence, and what to do."""

    code: str
    message: str
    mend: str


@dataclass(frozen=True, slots=True)
class Stream:
    """One kind of object of one source, and the canonical tables its pages fill.

    `reconciles`: its records can be listed whole, so that what the vendor no longer has can be found out. A log that
    only grows (mail events, exchange rates) cannot.
    """

    name: str  # name of its main table: "opportunities"
    tables: tuple[str, ...]
    reconciles: bool = True


@dataclass(frozen=True, slots=True)
class Tombstone:
    """The vendor deleted this record (deleted_at None: when is not known)."""

    table: str
    source_id: str
    deleted_at: str | None = None


@dataclass(frozen=True, slots=True)
class Merge:
    """The vendor merged `source_id` into `into` (a source_id of the same table)."""

    table: str
    source_id: str
    into: str
    merged_at: str | None = None


@dataclass(frozen=True, slots=True)
class Children:
    """The page holds *all* rows of `table` whose column `parent` is one of `ids`: others are gone.

    `ids` are source_ids where the column refers to another table, else the column's own values (a currency).
    `where`: said only of rows with these values (text, by column), such as the links to one kind of object.

    Said of links and lines, which vanish with no word of it. Never of a history: what happened stays.
    """

    table: str
    parent: str
    ids: Sequence[str]
    where: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that could not be used: where it stands, why, and what it held (for the reject file, never a log)."""

    place: str  # "incidents.csv line 12" or a record id
    reason: str
    content: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """What must be committed together: mapped records by table, deletions, merges and the new bookmark."""

    records: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    tombstones: Sequence[Tombstone] = ()
    merges: Sequence[Merge] = ()
    rejects: Sequence[Reject] = ()
    children: Sequence[Children] = ()
    alive: Sequence[str] = ()  # source_ids of the main table that the vendor has, beyond those in `records`
    read: int = 0  # vendor records seen, for the counts shown
    total: int | None = None  # how many there are in all, where the vendor says so (progress)
    bookmark: Bookmark | None = None  # None: leave the stored one
    anew: bool = False  # of a reading from the beginning: the first sight of an id in it outdoes what is stored
    whole: bool = False  # the last of such a reading: it held every live record, the others are gone


@dataclass(frozen=True, slots=True)
class Sunset:
    """Something we use that the vendor will end, the first day it may be gone, and what to do about it."""

    what: str  # "SOAP login", "API version 66.0"
    ends_on: date
    mend: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who and what a login reached."""

    instance: str  # org id, portal id, or the name of a files source
    account: str = ""  # the login's own name, for `check`
    api_version: str = ""
    timezone: str = ""
    currency: str = ""
    warnings: tuple[str, ...] = ()
    sunsets: tuple[Sunset, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """One field a source offers for a table, and our column it feeds ("" when it feeds none).

    A field that feeds several columns is named once for each. What a record is linked or worked out with stands here
    too, as a field of it, and feeds its columns as long as this login may read it.

    `beside`: the object whose records it is read along with, where it has no position of its own: while it cannot be
    read these come without it.
    """

    name: str
    label: str
    type: str
    column: str = ""
    object: str = ""  # the vendor's object it belongs to ("Case", "deals"); several may feed one table
    beside: str = ""  # ("CaseHistory" is read beside "Case")

    def feeding(self, columns: Iterable[str]) -> "list[FieldInfo]":
        """This field once for each of these columns, once with none where there are none."""
        return [replace(self, column=column) for column in columns] or [self]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a connector has used since it was built, and what the vendor says is left (None: not said)."""

    calls: int = 0
    retries: int = 0
    throttled: int = 0  # answers 429 (or a vendor's equivalent) although we kept to the limit, or through our fault
    foreign_throttled: int = 0  # of those, the ones another user of the same limit caused
    logins: int = 0
    window_share: float | None = None  # share of the short-term limit used over the last minute, 0 to 1
    daily_limit: int | None = None
    daily_used: int | None = None


class Connector(Protocol):
    """One source. Every method may raise a `ConnectorError`; none of them writes anything anywhere.

    Different streams may be read from different threads at once; one stream is read from one thread.
    """

    name: str  # NAME of [source.NAME]
    crm: str  # "salesforce" | "hubspot" | "files": the default of a row's `source` column
    side_by_side: int  # how many streams are best read at once

    def check(self) -> Identity:
        """Log in and say where we are. Raises AuthError when the login is refused."""
        ...

    def streams(self) -> list[Stream]:
        """The streams this source will sync, in an order that reads owners before what they own."""
        ...

    def fetch_pages(
        self, stream: str, bookmark: Bookmark | None, *, full: bool, since: date | None, now: datetime
    ) -> Iterator[Page]:
        """Yield what is new since `bookmark` (everything from the configured start when None or `full`).

        `now` is the agent's clock (aware UTC), used only where the vendor's own clock cannot be had. `since`
        re-reads what changed from that day. The last page's bookmark makes the next call incremental; each
        page's bookmark alone is enough to resume there after a crash.

        With `full` the positions of `bookmark` do not count, but what it says was read before does.

        Raises NotReadable where this login may not read the stream; where that is a part of it that was read before,
        after the rest. A stream that was never read and that the settings ask for by name is a StreamError instead.
        """
        ...

    def reconcile_pages(self, stream: str, bookmark: Bookmark | None, *, now: datetime) -> Iterator[Page]:
        """Yield every live record of the stream as it is now, in no particular order, without its history.

        Finds what no change mark shows: records gone without a trace, values that are worked out, links. Records as
        in `fetch_pages` (full ones, with links and lines, but no history rows), ids of live records that make no
        record (unusable, older than the configured start) in `alive`. `bookmark` is the position within this
        reconciliation (None: begin), each page's bookmark the one to go on from after a crash.
        """
        ...

    def read_ids(self, stream: str, ids: Sequence[str], *, now: datetime) -> Iterator[Page]:
        """Ask the vendor for these records of the stream's main table by id; pages carry no bookmark.

        Records with all that hangs on them for those alive, tombstones for those deleted or unknown to the vendor,
        merges for those that became part of another. About an id of which the vendor's answer leaves room for doubt
        (an object this login may not read now), nothing is said.
        """
        ...

    def count(self, stream: str) -> int | None:
        """How many live records the vendor has that belong in the stream's main table; None where it does not say."""
        ...

    def remember_calls(self, calls: Sequence[tuple[float, int]]) -> None:
        """Calls made before this connector was built: (seconds ago, how many). They count towards the day's share."""
        ...

    def covered_from(self, stream: str) -> date | None:
        """The first day whose changes a stream brings (its configured start); None: all there are."""
        ...

    def fields(self, table: str) -> list[FieldInfo]:
        """What the source offers for one of our tables (`syncagent source fields`)."""
        ...

    @property
    def looks(self) -> int:
        """How often it was found that the source offers otherwise than said: until then `fields` says the same."""
        ...

    def usage(self) -> Usage: ...

    def interrupt(self) -> None:
        """From any thread: end every wait and every call under way at once. The connector is of no further use."""
        ...

    def close(self) -> None: ...


#: Called by a connector before a wait (seconds, why), so that a terminal or log can say what is going on.
OnWait = Callable[[float, str], None]

"""A connector that answers from a script, page by page, and can fail where told."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime

from connectors.base import Bookmark, FieldInfo, Identity, Page, Stream, Usage

#: What a source holds: pages by stream, or what goes wrong in their place.
Script = Mapping[str, Sequence[Page | Exception]]


class ScriptedConnector:
    """Yields the pages given for each stream; an exception among them is raised in its place.

    A page is skipped when the bookmark says it was read: its bookmark is its number.
    """

    name = "sf"
    crm = "salesforce"

    def __init__(
        self,
        pages: Script,
        *,
        login: Exception | None = None,
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.pages = pages
        self.login = login
        self.warnings = warnings
        self.asked: list[tuple[str, Bookmark | None, bool]] = []
        self.calls = 0
        self.is_closed = False

    def check(self) -> Identity:
        self.calls += 1
        if self.login is not None:
            raise self.login
        return Identity("org1", account="agent@acme.test", timezone="UTC", currency="EUR", warnings=self.warnings)

    def streams(self) -> list[Stream]:
        return [Stream(name, (name,)) for name in self.pages]

    def fetch_pages(
        self, stream: str, bookmark: Bookmark | None, *, full: bool, since: date | None, now: datetime
    ) -> Iterator[Page]:
        self.asked.append((stream, bookmark, full))
        done = bookmark["page"] if bookmark else 0
        for page in self.pages[stream][done:]:
            self.calls += 1
            if isinstance(page, Exception):
                raise page
            yield page

    def covered_from(self, stream: str) -> date | None:
        return None

    def fields(self, table: str) -> list[FieldInfo]:
        return [FieldInfo("Name", "Name", "text", "name")]

    def usage(self) -> Usage:
        return Usage(calls=self.calls)

    def close(self) -> None:
        self.is_closed = True

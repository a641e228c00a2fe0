"""A cache in memory that takes pages as the agent does, for the tests of the contract."""

import json
from collections.abc import Generator, Iterator
from copy import deepcopy
from datetime import date
from typing import Any, cast

from connectors.base import Connector, Page
from connectors.errors import NotReadable
from tests.integration.crm_cache import NOW, MemoryCache

Rows = dict[str, dict[str, dict[str, Any]]]


class ContractCache(MemoryCache):
    """Takes pages as the agent does, a snapshot's `anew` and `whole` too; bookmarks pass through JSON."""

    def take(self, stream: str, pages: Iterator[Page], *, at_most: int | None = None) -> int:
        """Commit pages, all or the first few; how many came. What is broken off is closed, as by a kill."""
        seen: set[str] | None = None
        count = 0
        try:
            for page in pages:
                ids = {record["source_id"] for record in page.records.get(stream, ())}
                if page.anew:
                    seen = set() if seen is None else seen
                    for source_id in ids - seen:
                        self.rows.get(stream, {}).get(source_id, {}).pop("updated_at", None)
                before = self.bookmarks.get(stream)
                self.apply(stream, page)
                if page.bookmark is not None:
                    self.bookmarks[stream] = json.loads(json.dumps(page.bookmark, allow_nan=False))
                    assert self.bookmarks[stream] == page.bookmark, "JSON does not keep the bookmark as it is"
                elif before is not None:
                    self.bookmarks[stream] = before
                if seen is not None:
                    seen |= ids | set(page.alive)
                    if page.whole:
                        for source_id in self.live(stream).keys() - seen:
                            self.rows[stream][source_id]["is_deleted"] = 1
                count += 1
                if count == at_most:
                    break
        finally:
            cast(Generator[Page, None, None], pages).close()
        return count

    def fetch(
        self,
        connector: Connector,
        stream: str,
        *,
        full: bool = False,
        since: date | None = None,
        at_most: int | None = None,
    ) -> int:
        """One read of one stream, from where the last one left it."""
        pages = connector.fetch_pages(stream, self.bookmarks.get(stream), full=full, since=since, now=NOW)
        return self.take(stream, pages, at_most=at_most)

    def fetch_all(self, connector: Connector, *, full: bool = False, since: date | None = None) -> None:
        for stream in connector.streams():
            try:
                self.fetch(connector, stream.name, full=full, since=since)
            except NotReadable:  # one that never could be read is left out
                if stream.name in self.bookmarks:
                    raise

    def copy(self) -> Rows:
        return deepcopy(self.rows)

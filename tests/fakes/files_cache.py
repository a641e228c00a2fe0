"""A cache in memory that takes a connector's pages as the contract says, for tests of files without a database."""

import json
from collections.abc import Iterable

from connectors.base import Bookmark, Page, Record, Reject


class PageCache:
    """One table. `rows` are the live ones by source_id; a crash is pages that never came."""

    def __init__(self, table: str) -> None:
        self._table = table
        self.rows: dict[str, Record] = {}
        self.bookmark: Bookmark | None = None
        self.rejects: list[Reject] = []
        self.read = 0

    def take(self, pages: Iterable[Page], *, at_most: int | None = None) -> None:
        """Commit pages one by one, all of them or the first few."""
        seen: set[str] | None = None
        self.read = 0
        self.rejects = []
        for number, page in enumerate(pages):
            if at_most is not None and number >= at_most:
                return
            records = page.records.get(self._table, ())
            if page.anew and seen is None:
                seen = set()
            for record in records:
                self._write(record, outdoes=seen is not None and record["source_id"] not in seen)
            for tombstone in page.tombstones:
                self.rows.pop(tombstone.source_id, None)
            if seen is not None:
                seen |= {record["source_id"] for record in records} | set(page.alive)
            if page.whole:
                assert seen is not None
                self.rows = {key: row for key, row in self.rows.items() if key in seen}
            self.rejects += page.rejects
            self.read += page.read
            if page.bookmark is not None:
                self.bookmark = json.loads(json.dumps(page.bookmark))

    def _write(self, record: Record, *, outdoes: bool) -> None:
        held = self.rows.get(record["source_id"])
        old, new = (held or {}).get("updated_at"), record.get("updated_at")
        if held is None or outdoes or old is None or "updated_at" not in record or new is None or new >= old:
            self.rows[record["source_id"]] = {**(held or {}), **record}

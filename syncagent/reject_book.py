"""Takes rows out of a reject file once they were read again. Nothing of the file is held in memory."""

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from connectors.base import Bookmark, Page, Reject
from syncagent.reject_file import MORE, each_reject, reject_file

log = logging.getLogger(__name__)


class RejectBook:
    """What the reject file of a stream held before a run and what the run adds to it, and which of it was read well.

    A bad row stands in the file until its record, or its whole file, is read once more; if it is still bad then, the
    run has written it anew. One that the run itself finds bad and then reads well is taken out as well. The places are
    kept in a database of SQLite's own temporary files: a full reject file names some hundred thousand.
    """

    def __init__(self, data_dir: Path, source: str, stream: str, run: int) -> None:
        self._path = reject_file(data_dir, source, stream)
        self._run = run
        self._is_any_settled = False
        self._is_closed = False
        self._places: sqlite3.Connection | None = None
        if self._path.exists():
            with self._giving_up():
                self._places = _places_of(self._path)

    def note(self, page: Page, before: Bookmark | None, rejects: Sequence[Reject]) -> None:
        """What a page has read; `before` is the bookmark the run started from."""
        if self._places is None and rejects and not self._is_closed:
            with self._giving_up():
                self._places = _places_of(None)
        if self._places is None:
            return
        refused = {reject.place for reject in rejects}
        read = [f"{table} {record.get('source_id')}" for table, rows in page.records.items() for record in rows]
        well = [(place,) for place in read if place not in refused]
        bad = [(place,) for place in refused]
        names = [(name,) for name in _files_read(before, page.bookmark)]
        with self._giving_up():
            settled = [
                self._places.executemany("UPDATE places SET settled = 1, own = 0 WHERE place = ?", well).rowcount,
                self._places.executemany("UPDATE places SET settled = 1 WHERE place = ?", bad).rowcount,
                self._places.executemany("UPDATE places SET settled = 1 WHERE file = ?", names).rowcount,
            ]
            self._places.executemany("INSERT INTO places VALUES (?, NULL, 1, 1) ON CONFLICT DO UPDATE SET own = 1", bad)
            self._is_any_settled = self._is_any_settled or max(settled) > 0

    def settle(self) -> int:
        """Take out what was read again; a file that is left empty is removed. How many rows of this run went."""
        try:
            if self._places is not None and self._is_any_settled:
                with self._giving_up():
                    return self._rewrite(self._places)
        finally:
            self._close()
        return 0

    def _rewrite(self, places: sqlite3.Connection) -> int:
        draft = self._path.with_suffix(".new")
        fd = os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        is_any_left, taken = False, 0
        with os.fdopen(fd, "wb") as file:
            for row in each_reject(self._path):
                is_of_run = row.get("run") == self._run
                place = str(row.get("place"))
                found = places.execute("SELECT settled, own FROM places WHERE place = ?", (place,)).fetchone()
                if found is not None and MORE not in row:
                    if is_of_run and not found[1]:
                        taken += 1
                        continue
                    if found[0] and not is_of_run:
                        continue
                # The line that counts the rows not listed goes with the last row that is.
                is_any_left = is_any_left or is_of_run or MORE not in row
                file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        if is_any_left:
            draft.replace(self._path)
        else:
            draft.unlink()
            self._path.unlink(missing_ok=True)
        return taken

    @contextlib.contextmanager
    def _giving_up(self) -> Iterator[None]:
        """Rows that cannot be told apart stay where they are: no reason to stop a sync."""
        try:
            yield
        except (sqlite3.Error, UnicodeError) as error:  # half a character in a place is no text
            log.warning("%s is not cleared: %s", self._path.name, error, extra={"action": "rejects.kept"})
            self._close()

    def _close(self) -> None:
        self._is_closed = True
        if self._places is not None:
            self._places.close()
            self._places = None


def _places_of(path: Path | None) -> sqlite3.Connection:
    """The places a reject file names, none of them settled. `own`: the run itself found it bad, and not well since."""
    places = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    try:
        places.execute("BEGIN")
        places.execute(
            "CREATE TABLE places (place TEXT PRIMARY KEY, file TEXT, settled INTEGER, own INTEGER) WITHOUT ROWID"
        )
        rows = (str(row.get("place")) for row in each_reject(path) if MORE not in row) if path else ()
        places.executemany(
            "INSERT OR IGNORE INTO places VALUES (?, ?, 0, 0)",
            ((place, place.rpartition(" line ")[0]) for place in rows),
        )
        places.execute("CREATE INDEX places_by_file ON places (file)")
    except BaseException:
        places.close()
        raise
    return places


def _files_read(before: Bookmark | None, after: Bookmark | None) -> set[str]:
    """Labels (fifth of a file's state) of the files whose content (third) differs between a source's bookmarks.

    A snapshot (known by its "rows") is held by its newest files alone: the older ones are settled with it.
    """
    old, new = (dict((bookmark or {}).get("files") or {}) for bookmark in (before, after))
    changed = [(key, state) for key, state in new.items() if key not in old or old[key][2] != state[2]]
    if after is not None and "rows" in after:
        changed += [(key, state) for key, state in old.items() if key not in new]
    return {str(state[4]) if len(state) > 4 else Path(key.rpartition("|")[0]).name for key, state in changed}

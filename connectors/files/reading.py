"""Reads one stream of files: which of them, in what order, and what the bookmark says afterwards.

`append`: rows of every file, of which the latest of an id counts; what is gone from a file, or with it, stays.
`snapshot`: the newest file of each entry, by its name, is all there is; what it does not hold is gone.
"""

import hashlib
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from fnmatch import fnmatch
from glob import has_magic
from pathlib import Path

from connectors.base import Bookmark, Page, Tombstone
from connectors.errors import ConnectorError, StreamError, TransientError
from connectors.files import inventory, places
from connectors.files.bad_rows import error_of
from connectors.files.failures import Failure, together
from connectors.files.inventory import Book, FileState, Job
from connectors.files.lines import printable
from connectors.files.mapping import Target
from connectors.files.owners import Owners
from connectors.files.pages import Outcome, Pager
from connectors.files.settings import FilesSettings, FilesTable
from connectors.files.touched import Touched, untouched
from connectors.parse import format_instant

log = logging.getLogger(__name__)

#: A snapshot with so many fewer rows than known is believed, or with this share of them fewer: what is more.
BELIEVED_LOSS, BELIEVED_SHARE = 100, 0.2
_NO_ROWS = "holds no rows"


class Reading:
    """One call of `fetch_pages`: `name` is that of the source, `target` the table its files feed."""

    def __init__(
        self,
        name: str,
        settings: FilesSettings,
        target: Target,
        *,
        now: datetime,
        stop: threading.Event,
        page_rows: int,
        users: Target | None = None,
    ) -> None:
        self._owners = Owners(settings, users)
        self._name = name
        self._settings = settings
        self._target = target
        self._entries = [entry for entry in settings.table if entry.table == target.name]
        self._is_event = target.shape.is_event
        self._now = format_instant(now)
        self._stop = stop
        self._page_rows = page_rows
        self._failures: list[Failure] = []
        self._held: dict[str, FileState] = {}  # known files that cannot be looked at now
        self._is_one_file = False

    @property
    def is_snapshot(self) -> bool:
        return self._entries[0].mode == "snapshot"

    def pages(self, bookmark: Bookmark | None, *, full: bool, since: date | None) -> Iterator[Page]:
        """What is new or changed. A file that cannot be read is raised at the end: it does not keep the others out."""
        book = Book.load(bookmark)
        jobs = self._jobs(book, is_first=bookmark is None)
        if self.is_snapshot:
            yield from self._snapshot(book, jobs, full=full, since=since)
        else:
            yield from self._append(book, jobs, full=full, since=since)
        self._raise_failures()

    def everything(self) -> Iterator[Page]:
        """Every row there is now, whatever is known already; for comparing, so nothing is said of bad rows."""
        jobs = self._jobs(Book({}, {}), is_first=True)
        if self._is_event and not self.is_snapshot:
            jobs = [job for job in places.settle(jobs, Book({}, {}), {})[0] if job.is_read]
        pager = self._pager(jobs, anew=False)
        for job in jobs:
            yield from pager.read(job, Outcome())
        yield pager.page()
        self._raise_failures()

    def _raise_failures(self) -> None:
        if self._failures:
            raise together(self._failures)

    def _note_bad(self, files: Mapping[str, FileState]) -> None:
        """Files most of whose rows cannot be used fail their stream, also while they stay as they are."""
        self._failures += [
            (state.label, error_of(state.label, state.bad)) for state in files.values() if state.bad and state.digest
        ]

    # --- append

    def _append(self, book: Book, jobs: Sequence[Job], *, full: bool, since: date | None) -> Iterator[Page]:
        again = full or book.again or any(job.is_remapped for job in jobs)
        dropped: list[FileState] = []
        gone: dict[str, FileState] = {}
        if self._is_event:
            jobs, dropped, gone = places.settle(jobs, book, self._held)
        if again:
            book.guessed.clear()
            # Killed before its end, such a reading begins once more: the first sight of each id outdoes the cache.
            yield Page(bookmark=replace(book, again=True).dump(), anew=True)
        wanted = [again or self._is_wanted(job, since) for job in jobs]
        to_read = [job for job, is_wanted in zip(jobs, wanted, strict=True) if is_wanted]
        pager = self._pager(to_read, anew=again, guessed=book.guessed)
        touched = Touched()
        done: dict[str, FileState] = dict(self._held)
        pager.gone += [one for state in dropped for one in self._lines(state.place, 1, state.last_line)]
        for place, (job, is_wanted) in enumerate(zip(jobs, wanted, strict=True)):
            if not (is_wanted and (job.state.place or not self._is_event)) and not self._is_tied(job, touched):
                done[job.key] = self._kept(job)
                continue
            known = {} if again else untouched(jobs[place:], book, touched)
            told = replace(book, again=True) if again else book.after({**known, **done}, gone)
            outcome = Outcome()
            try:
                yield from pager.read(job, outcome, None if again else told.dump())
            except TransientError:
                raise
            except ConnectorError as error:
                self._failures.append((job.label, error))
                if job.before is not None:
                    done[job.key] = replace(job.before, digest="")
                if not self._is_event and outcome.rows:
                    touched.add(outcome.span)  # what came before the error is written
                continue
            done[job.key] = self._state(job, outcome)
            if not self._is_event:
                touched.add(outcome.span if outcome.rows else ("", ""))
            if job.before is not None and not self._is_event:
                touched.add(job.before.span if job.before.rows or not job.before.label else ("", ""))
            if job.before is not None:
                pager.gone += self._lines(job.state.place, outcome.last_line, job.before.last_line)
            if pager.is_full and not again:
                known = untouched(jobs[place + 1 :], book, touched)
                yield pager.page(book.after({**known, **done}, gone).dump())
        if not self._is_event:  # they could not have the last word now
            done |= {k: replace(one, digest="") for k, one in self._held.items() if touched.meets(one.span)}
        yield pager.page(book.after(done, gone).dump())
        self._note_bad(done)

    def _is_wanted(self, job: Job, since: date | None) -> bool:
        """Whether a file is new, changed, read in another way, or asked for by the day it changed."""
        if since is not None and datetime.fromtimestamp(job.state.mtime_ns / 1e9, UTC).date() >= since:
            return True
        if self._is_event and not self.is_snapshot:
            return job.is_read
        return job.before is None or job.is_remapped or job.before.digest != job.state.digest

    def _is_tied(self, job: Job, touched: "Touched") -> bool:
        """Whether an unchanged file may hold rows just read from an earlier one: the later one has the last word."""
        return not self._is_event and job.before is not None and touched.meets(job.before.span)

    def _kept(self, job: Job) -> FileState:
        """The state of a file that was not read."""
        if job.before is None:
            return job.state
        if self._is_event and not self.is_snapshot:
            return replace(job.state, bad=job.before.bad)
        return replace(job.before, size=job.state.size, mtime_ns=job.state.mtime_ns, label=job.label)

    def _state(self, job: Job, outcome: Outcome) -> FileState:
        """The state of a file just read; one that was written to meanwhile is read again next time."""
        state = replace(
            job.state, last_line=outcome.last_line, label=job.label, rows=outcome.rows, span=outcome.span,
            ends_midway=outcome.ends_midway, bad=outcome.bad.most,
        )  # fmt: skip
        return replace(state, digest="") if outcome.has_moved else state

    def _lines(self, place: str, after: int, until: int) -> list[Tombstone]:
        """Rows named by a place beyond the end of a file that became shorter: their lines moved up, or are no more."""
        return [Tombstone(self._target.name, f"{place}#{line}") for line in range(after + 1, until + 1)]

    # --- snapshot

    def _snapshot(self, book: Book, jobs: Sequence[Job], *, full: bool, since: date | None) -> Iterator[Page]:
        """Every row of the newest files, when any of them changed; `whole` lets those gone from them be deleted."""
        is_same = {job.key for job in jobs} == book.files.keys() and not book.again
        is_asked = full or any(self._is_wanted(job, since) for job in jobs)
        if is_same and not is_asked and not self._failures:
            kept = {job.key: self._kept(job) for job in jobs}
            yield Page(bookmark=replace(book, files=kept).dump())
            self._note_bad(kept)
            return
        mark = hashlib.blake2b("".join(job.state.digest for job in jobs).encode(), digest_size=8).hexdigest()
        refused, _, reason = book.suspect.partition("|")
        if refused == mark and not full:
            raise self._refusal(reason)
        book.guessed.clear()
        book = replace(book, again=True)  # killed or refused, what it wrote is put right by the next one
        yield Page(bookmark=book.dump(), anew=True)
        if not full:
            jobs = [replace(job, is_ended=self._is_ended(job, book)) for job in jobs]
        pager = self._pager(jobs, anew=True, guessed=book.guessed)
        outcomes = []
        for job in jobs:
            outcomes.append(outcome := Outcome())
            try:
                yield from pager.read(job, outcome)
            except TransientError:
                raise
            except ConnectorError as error:
                self._failures.append((job.label, error))
        if self._failures or any(outcome.has_moved for outcome in outcomes):
            yield pager.page()  # read again next time, and nothing deleted by half of what there is
            return
        reason = self._doubt(book, jobs, outcomes)
        is_empty = _NO_ROWS in reason
        if reason and (not full or (is_empty and refused != mark)):  # a file without rows is asked for twice
            yield pager.page(replace(book, suspect=f"{mark}|{reason}").dump())
            raise self._refusal(reason, is_asked=full)
        files = {job.key: self._state(job, outcome) for job, outcome in zip(jobs, outcomes, strict=True)}
        rows = sum(outcome.rows for outcome in outcomes)
        yield pager.page(book.after(files, {}, rows=rows).dump(), whole=True)
        self._note_bad(files)

    def _is_ended(self, job: Job, book: Book) -> bool:
        """Whether the program that writes these files ends their last line: its file before this one says so.

        Some programs never do. Without a file before it the other lines say, which are ended.
        """
        known = [state.ends_midway for key, state in book.files.items() if _is_of(job.entry, key)]
        if not any(one is not None for one in known):
            older = [path for path, _ in inventory.find(job.entry) if path != job.path]
            known = [inventory.ends_midway(older[-1], job.entry)] if older else []
        return True not in known

    def _doubt(self, book: Book, jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> str:
        """Why these files cannot be all there is; "" where they can."""
        found = sum(outcome.rows for outcome in outcomes)
        known = book.rows or sum(state.rows for state in book.files.values())  # read as mode = "append" before
        for job, outcome in zip(jobs, outcomes, strict=True):
            if outcome.is_open:
                return f"{job.label} breaks off in its last line, which has no end and was not loaded"
            if outcome.is_cut:
                return f"{job.label} ends in the middle of a line, as if it were still being written"
            if outcome.nameless:
                rows = "1 row" if outcome.nameless == 1 else f"{outcome.nameless:,} rows"
                return f"{job.label} has {rows} whose id cannot be read (they are in the reject file)"
            before = sum(state.rows for key, state in book.files.items() if _is_of(job.entry, key))
            if not outcome.rows and (before or (known and not found)):
                return f"{job.label} {_NO_ROWS} where there were {before or known:,}"
        if book.rows - found > max(BELIEVED_LOSS, BELIEVED_SHARE * book.rows):
            return f"{jobs[-1].label} holds {found:,} rows where there were {book.rows:,}"
        return ""

    def _refusal(self, reason: str, *, is_asked: bool = False) -> StreamError:
        mend = f"Export it again, or carry it out with `syncagent sync {self._name} --full`."
        if is_asked:
            mend = f"Export it again; if nothing is left there, run `syncagent sync {self._name} --full` once more."
        return StreamError(f"{reason}: nothing was deleted.", mend=mend)

    # --- what there is

    def _jobs(self, book: Book, *, is_first: bool) -> list[Job]:
        """The files of the stream in the order they are read; what cannot be found goes to the failures."""
        found = []
        was_dry, book.dry, book.folders = book.dry, [], []
        for entry in self._entries:
            try:
                there = inventory.survey(entry)
            except StreamError as error:
                self._failures.append((entry.path, error))
                self._held.update((key, book.files[key]) for key in self._keys_of(entry, book))
                continue
            files, lost = there.files, there.newest_lost if self.is_snapshot else there.lost
            book.folders += there.folders
            for name, lost_error in lost:
                self._failures.append((printable(name), lost_error))
                self._held.update((k, one) for k, one in book.files.items() if k.rpartition("|")[0] == printable(name))
            if lost and self.is_snapshot:
                continue  # an older file has not the last word
            if not files and not lost:
                self._miss(entry, book, was_dry, is_first=is_first)
            newest = files[-1:] if self.is_snapshot else files
            found += [(entry, path, status) for path, status in newest]
        found = [one for one in found if self._has_own_name(one[1], [path for _, path, _ in found])]
        names = inventory.labels([(entry, path) for entry, path, _ in found])
        marks = [self._mark(entry) for entry, _, _ in found]
        keys = {inventory.key_of(path, mark) for (_, path, _), mark in zip(found, marks, strict=True)}
        known_keys = {**book.gone, **book.files}  # a file that comes back under its path is the same file
        former = {key.rpartition("|")[0]: key for key in known_keys if key not in keys}
        lengths = places.lengths(book) if self._is_event and not self.is_snapshot else ()
        others = known_keys.keys() - keys - {former.get(printable(str(path)), "") for _, path, _ in found}
        book.several = book.several or len(found) > 1 or bool(self._held) or bool(others)
        self._is_one_file = len(found) == 1 and not book.several
        jobs = []
        for (entry, path, status), label, mark in zip(found, names, marks, strict=True):
            key = inventory.key_of(path, mark)
            known = known_keys.get(key if key in known_keys else former.pop(key.rpartition("|")[0], ""))
            place = self._place(entry) if self.is_snapshot else label
            if known is not None and not known.label:
                known = replace(known, label=label, place=place)  # from before places were noted
            try:
                state, beginnings = inventory.state_of(path, entry, status, known, lengths)
            except ConnectorError as error:
                self._failures.append((label, error))
                if known is not None:
                    self._held[key] = replace(known, digest="")
                continue
            if self.is_snapshot or not self._is_event:
                state = replace(state, label=label, place=place)
            is_remapped = known is not None and key not in known_keys
            jobs.append(Job(entry, path, key, label, state, known, beginnings, is_remapped=is_remapped))
        return jobs

    def _has_own_name(self, path: Path, paths: Sequence[Path]) -> bool:
        """Whether a file can be told from the others once bytes of its name that are no text are written as %E9."""
        name = printable(str(path))
        if name == str(path) or Path(name) not in paths:
            return True
        mend = "Rename one of the two."
        error = StreamError(f"{name} has the same name as another file but for bytes not UTF-8.", mend=mend)
        self._failures.append((name, error))
        return False

    def _miss(self, entry: FilesTable, book: Book, was_dry: Sequence[str], *, is_first: bool) -> None:
        """No file: an error, unless a pattern ran dry because its files were archived once they were loaded."""
        if is_first or self.is_snapshot or not has_magic(entry.path):
            self._failures.append((entry.path, inventory.no_file(entry)))
            return
        pattern = printable(entry.path)
        if pattern in was_dry or self._keys_of(entry, book):
            book.dry.append(pattern)
        if pattern in book.dry and pattern not in was_dry:
            where = {"source": self._name, "stream": self._target.name}
            log.info(
                "%s %s: no file matches %s any more", *where.values(), pattern, extra={"action": "files_gone", **where}
            )

    def _keys_of(self, entry: FilesTable, book: Book) -> list[str]:
        """The files of an entry that the bookmark knows."""
        found = [(key, *key.rpartition("|")) for key in book.files]
        return [
            key for key, path, _, mark in found if mark == self._mark(entry) and fnmatch(path, printable(entry.path))
        ]

    def _mark(self, entry: FilesTable) -> str:
        values = self._settings.value_maps(entry)
        return inventory.mark_of(entry, values, self._target.currency, self._target.timezone)

    def _place(self, entry: FilesTable) -> str:
        """Names the rows of a snapshot that have no id: by the entry, so that line 2 stays line 2 in the next file."""
        return inventory.name_of(entry, self._entries)

    def _pager(self, jobs: Sequence[Job], *, anew: bool, guessed: dict[str, str] | None = None) -> Pager:
        to_read = sum(job.state.size for job in jobs)
        return Pager(
            self._target,
            self._settings,
            anew=anew,
            to_read=to_read,
            now=self._now,
            stop=self._stop,
            page_rows=self._page_rows,
            is_one_file=self._is_one_file,
            owners=self._owners,
            guessed={} if guessed is None else guessed,
        )


def _is_of(entry: FilesTable, key: str) -> bool:
    """Whether a file that the bookmark knows is one of an entry, however it was read."""
    return fnmatch(key.rpartition("|")[0], entry.path)

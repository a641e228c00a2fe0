"""Decides which file of a log holds which rows: what was moved, copied or has grown is known by how it begins.

A log's rows without an id are named by their file's place and their line. A file that begins with all that another
one held is that file, where that one is gone, or a copy of it with more: then only the lines behind are its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from connectors.files.inventory import Beginning, Book, FileState, Job

#: Beginnings of a growing file that are kept beside those its copies need.
_KEPT = 20


def lengths(book: Book) -> set[int]:
    """The lengths at which the content of a new or changed file is compared with what is known."""
    states = (*book.files.values(), *book.gone.values())
    shared = {state.shared[0] for state in states if state.shared is not None}
    return shared | {length for state in states for length in state.beginnings}


def settle(
    jobs: Sequence[Job], book: Book, held: Mapping[str, FileState]
) -> tuple[list[Job], list[FileState], dict[str, FileState]]:
    """Decide for the files of a log what is read and under which place: (jobs, what must go, files gone).

    What must go are the rows of files that became copies of another one. `held` are files that are there but cannot
    be looked at now: nobody gets their place.
    """
    settler = _Settler(jobs, book, held)
    settled = [settler.settle(job) for job in jobs]
    return settler.noted(settled), settler.dropped, settler.gone


@dataclass(frozen=True, slots=True)
class _Holder:
    """Who has a place: how its content begins, how it is read ("": as it was), and what of it another one holds."""

    beginnings: Mapping[int, str]
    mark: str
    shared: int  # bytes

    def has(self, beginning: Beginning, mark: str) -> bool:
        length, digest, _ = beginning
        # By the digest alone: lengths of packed files in old bookmarks are those of the package.
        return self.shared < length and digest in self.beginnings.values() and self.mark in ("", mark)


class _Settler:
    """One settling. `holders` are those that are sure of their place so far."""

    def __init__(self, jobs: Sequence[Job], book: Book, held: Mapping[str, FileState]) -> None:
        paths = {_path(job.key) for job in jobs}
        known = {**book.gone, **book.files}
        self.dropped: list[FileState] = []
        self.gone = {k: one for k, one in known.items() if one.place and k not in held and _path(k) not in paths}
        self._known: dict[tuple[int, str], int] = {}  # beginnings that hold rows, and their last line
        for state in known.values():
            for length, digest, line in (*state.earlier, state.whole):
                if digest and line:
                    self._known[length, digest] = max(line, self._known.get((length, digest), 0))
        self._taken = {state.place for state in (*self.gone.values(), *held.values())}
        self._holders: dict[str, _Holder] = {}
        self._places: dict[str, dict[str, None]] = {}  # digest of a beginning -> places that held it
        for state in (*self.gone.values(), *held.values()):
            if state.place:
                # Of a file that is gone the rows stay; who has all it had takes its place.
                self._note(state.place, _Holder(state.beginnings, "", state.shared[0] if state.shared else 0))
        for job in jobs:
            if job.before is not None and job.before.place:
                self._taken.add(job.before.place)
                if _goes_on(job):
                    self._hold(job, job.before.place, job.before.shared)

    def settle(self, job: Job) -> Job:
        before, mark = job.before, _mark(job.key)
        own = before.place if before is not None else ""
        is_same = _goes_on(job) and before is not None and before.digest == job.state.digest
        copied = self._is_held(_whole(job.state), mark, own, beside_gone=True)
        if own and before is not None and is_same and not copied:
            shared = self._still_shared(before.shared, job, own)
            return self._as(job, own, before.last_line, is_read=shared != before.shared, shared=shared)
        if copied:
            self._drop(before)
            return _placed(job, "", 0, is_read=False)
        former = self._former(job, is_grown=bool(own) and _goes_on(job))
        if former is not None:  # moved, perhaps over another file, whose rows are then no more
            state = self.gone.pop(former)
            self._drop(before)
            shared = self._still_shared(state.shared, job, state.place)
            is_loaded = state.digest == job.state.digest and _mark(former) == mark and shared == state.shared
            return self._as(job, state.place, state.last_line, is_read=not is_loaded, shared=shared, before=state)
        if own and before is not None and _goes_on(job):
            return self._as(job, own, 0, is_read=True, shared=self._still_shared(before.shared, job, own))
        shared = self._part(job, own)
        if own and shared is not None:  # its rows up to there must go, so none of them may be written again
            self._drop(before)
            own = ""
        place = own or self._free(job)
        self._taken.add(place)
        return self._as(job, place, 0, is_read=True, shared=shared)

    def noted(self, jobs: Iterable[Job]) -> list[Job]:
        """The jobs with what is kept of how they begin: all that others share with them, else the latest."""
        jobs = list(jobs)
        needed = {job.state.digest for job in jobs if not job.state.place}
        shared = (state.shared for state in (*(job.state for job in jobs), *self.gone.values()))
        needed |= {beginning[1] for beginning in shared if beginning is not None}
        found = []
        for job in jobs:
            own = sorted(
                (length, digest, self._known[length, digest])
                for length, digest in job.beginnings.items()
                if length < job.state.length and (length, digest) in self._known
            )
            kept = tuple(one for number, one in enumerate(own, 1) if number > len(own) - _KEPT or one[1] in needed)
            found.append(replace(job, state=replace(job.state, earlier=kept if job.state.place else ())))
        return found

    def _hold(self, job: Job, place: str, shared: Beginning | None) -> None:
        self._note(place, _Holder(job.beginnings, _mark(job.key), shared[0] if shared else 0))

    def _note(self, place: str, holder: _Holder) -> None:
        self._holders[place] = holder
        for digest in holder.beginnings.values():
            self._places.setdefault(digest, {})[place] = None

    def _drop(self, state: FileState | None) -> None:
        if state is not None and state.place:
            self.dropped.append(state)
            self._holders.pop(state.place, None)

    def _is_held(self, beginning: Beginning, mark: str, own: str, *, beside_gone: bool = False) -> bool:
        """Whether another file holds the rows of a beginning; `beside_gone`: not one that is gone and had no more."""
        whole = {state.place for state in self.gone.values() if state.digest == beginning[1]} if beside_gone else ()
        return any(
            place != own and place not in whole and place in self._holders and self._holders[place].has(beginning, mark)
            for place in self._places.get(beginning[1], ())
        )

    def _still_shared(self, shared: Beginning | None, job: Job, place: str) -> Beginning | None:
        if shared is None or job.beginnings.get(shared[0]) != shared[1]:
            return None
        return shared if self._is_held(shared, _mark(job.key), place) else None

    def _former(self, job: Job, *, is_grown: bool) -> str | None:
        """The file gone that this one was: it holds the same, or (unless it is itself grown) begins with all of it."""
        same = next((key for key, state in self.gone.items() if state.digest == job.state.digest), None)
        if same is not None or is_grown:
            return same
        begun = [
            key
            for key, state in self.gone.items()
            if state.last_line and state.digest and job.beginnings.get(state.length) == state.digest
        ]
        return max(begun, key=lambda key: self.gone[key].length, default=None)

    def _part(self, job: Job, own: str) -> Beginning | None:
        """The longest beginning of a file whose rows another one holds."""
        for length, digest in sorted(job.beginnings.items(), reverse=True):
            line = self._known.get((length, digest))
            if line and self._is_held((length, digest, line), _mark(job.key), own):
                return length, digest, line
        return None

    def _as(
        self,
        job: Job,
        place: str,
        last_line: int,
        *,
        is_read: bool,
        shared: Beginning | None,
        before: FileState | None = None,
    ) -> Job:
        self._hold(job, place, shared)
        return _placed(job, place, last_line, is_read=is_read, shared=shared, before=before)

    def _free(self, job: Job) -> str:
        """A place no other file has: its label, and a number behind it where that is taken."""
        place, number = job.label, 1
        while place in self._taken:
            number += 1
            place = f"{job.label}~{number}"
        return place


def _placed(
    job: Job,
    place: str,
    last_line: int,
    *,
    is_read: bool,
    shared: Beginning | None = None,
    before: FileState | None = None,
) -> Job:
    state = replace(job.state, label=job.label, place=place, last_line=last_line, shared=shared)
    return replace(job, state=state, is_read=is_read, before=before or job.before)


def _goes_on(job: Job) -> bool:
    """Whether a file holds what it held, and perhaps more behind it, read in the same way."""
    before = job.before
    if before is None or not before.digest or job.is_remapped:
        return False
    return before.digest == job.state.digest or job.beginnings.get(before.length) == before.digest


def _whole(state: FileState) -> Beginning:
    return state.length, state.digest, 0


def _path(key: str) -> str:
    return key.rpartition("|")[0]


def _mark(key: str) -> str:
    return key.rpartition("|")[2]

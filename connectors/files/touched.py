"""From when to when the rows just read were updated, and which files that leaves as they are."""

from collections.abc import Sequence

from connectors.files.inventory import Book, FileState, Job


class Touched:
    """From when to when the rows just read were updated; a later file with rows of that time may hold the same ones."""

    def __init__(self) -> None:
        self._low: str | None = None
        self._high = ""
        self._is_all = False

    def add(self, span: tuple[str, str] | None) -> None:
        """None: some row has no time. Two empty texts: no row at all."""
        if span is None:
            self._is_all = True
        elif span != ("", ""):
            self._low = span[0] if self._low is None else min(self._low, span[0])
            self._high = max(self._high, span[1])

    def meets(self, span: tuple[str, str] | None) -> bool:
        if self._is_all or self._low is None:
            return self._is_all
        return span is None or (span[0] <= self._high and span[1] >= self._low)


def untouched(jobs: Sequence[Job], book: Book, touched: Touched) -> dict[str, FileState]:
    """What is known of the files still to come, without those that must be read once more after what was read."""
    later = {job.key: job.before for job in jobs if job.before is not None and not job.is_remapped}
    return {key: state for key, state in later.items() if not touched.meets(state.span)}

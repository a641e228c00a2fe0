"""Says what is wrong with several files at once: the first in full, of the others what and why in a few words."""

from collections.abc import Sequence

from connectors.errors import ConnectorError, StreamError

#: A file and what keeps it from being read.
Failure = tuple[str, ConnectorError]

_NAMED = 3  # so many are named beside the first
_LONG = 80  # characters of a reason


def together(failures: Sequence[Failure]) -> StreamError:
    """One error for all of them: the mend is that of the first."""
    (_, first), *others = failures
    if not others:
        return StreamError(first.message, mend=first.mend)
    named = ", ".join(f"{label} ({_reason(label, error)})" for label, error in others[:_NAMED])
    rest = f" and {len(others) - _NAMED:,} more" if len(others) > _NAMED else ""
    return StreamError(first.message, mend=f"{first.mend} Also: {named}{rest}.".strip())


def _reason(label: str, error: ConnectorError) -> str:
    """What is said of a file, without its name and in one breath."""
    before, _, after = error.message.rstrip(".").partition(label)
    reason = after.lstrip(" :") or before.strip() or "cannot be read"
    return reason if len(reason) <= _LONG else f"{reason[:_LONG]}…"

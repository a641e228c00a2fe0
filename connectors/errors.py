"""What can go wrong with a source, named by what the caller does next.

ConnectorError
├── TransientError      worth trying again later; the stream stops here for now, its bookmark stands
│   └── RateLimited     the vendor asked for a pause (`retry_after_s`)
├── AuthError           the login was refused: stop this source, tell a person
├── StreamError         this stream cannot be read (missing object, unusable answer); others go on
│   └── NotReadable     this login may not read it, or not all of it: no later try brings it until a person allows it
└── SourceConfigError   the settings cannot work (missing file, unknown column): tell the admin

Messages are one plain sentence with the mend where there is one; never a token, never a vendor's response body.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class ConnectorError(Exception):
    """Root of everything a connector raises on purpose. `mend` says what a person can do about it."""

    def __init__(self, message: str, *, mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.message} {self.mend}".strip()


class TransientError(ConnectorError):
    """It may work later."""


class RateLimited(TransientError):
    """The vendor asked us to wait."""

    def __init__(self, message: str, *, retry_after_s: float | None = None, mend: str = "") -> None:
        super().__init__(message, mend=mend)
        self.retry_after_s = retry_after_s


class AuthError(ConnectorError):
    """The login was refused."""


class StreamError(ConnectorError):
    """This stream cannot be read; the others can."""


class NotReadable(StreamError):
    """This login may not read the stream, or a part of it; or the CRM has no such object (for this login)."""


class SourceConfigError(ConnectorError):
    """The source's settings cannot work."""


@contextmanager
def asked_for(is_asked: bool) -> Iterator[None]:
    """Around a stream being read: one the settings ask for by name is not left out, but fails like any other."""
    try:
        yield
    except NotReadable as error:
        if not is_asked:
            raise
        raise StreamError(error.message, mend=error.mend) from None

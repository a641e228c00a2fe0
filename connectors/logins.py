"""How many vain logins of one kind may be within which time, as its strictest user is set to; knows no vendor."""

import threading
from collections.abc import Sequence

from connectors.errors import AuthError


class LoginLimit:
    """The limit of one login, shared by all sources that use it. Not locked: its owner is."""

    def __init__(self) -> None:
        self._wanted: dict[str, tuple[int, float]] = {}

    def keep_to(self, owner: str, most: int, window_s: float) -> None:
        """`owner` (a source) wants no more than `most` in any `window_s`: of one owner counts what it said last."""
        self._wanted = {**self._wanted, owner: (most, window_s)}

    @property
    def most(self) -> int:
        return min(most for most, _ in self._wanted.values())

    @property
    def window_s(self) -> float:
        return max(window_s for _, window_s in self._wanted.values())

    @property
    def words(self) -> str:
        """`3 times within 15 minutes`."""
        times = "once" if self.most == 1 else f"{self.most} times"
        unit_s, unit = (3600, "hour") if self.window_s % 3600 == 0 else (60, "minute")
        many = self.window_s / unit_s
        return f"{times} within {many:g} {unit}{'' if many == 1 else 's'}"

    def recent(self, instants: Sequence[float], now: float) -> list[float]:
        """Those of `instants` that still count; seconds of a steady clock."""
        return [at for at in instants if now - at < self.window_s]

    def is_reached(self, many: int) -> bool:
        return many >= self.most


class LoginCount:
    """How often of late a login was refused, or what it gave did not last: enough of them lock a user or an app out.

    A login that goes well, and lasts as long as it should, is not counted. Safe to share between threads.
    """

    def __init__(self, mend: str) -> None:
        self._mend = mend
        self._lock = threading.Lock()
        self._refused: list[float] = []
        self._lost: list[float] = []  # sessions and tokens that ended early
        self._limit = LoginLimit()

    def keep_to(self, owner: str, most: int, window_s: float) -> None:
        """`owner` (a source) logs in this way too, and wants no more vain logins than this."""
        with self._lock:
            self._limit.keep_to(owner, most, window_s)

    def check(self, now: float) -> None:
        """Raise AuthError when there were too many; `now` in seconds of a steady clock, as below."""
        with self._lock:
            self._refused = self._limit.recent(self._refused, now)
            self._lost = self._limit.recent(self._lost, now)
            if not self._limit.is_reached(len(self._refused) + len(self._lost)):
                return
            words = self._limit.words
        raise AuthError(f"Logins failed or did not last {words}; no further one is tried.", mend=self._mend)

    def refused(self, now: float) -> None:
        """A login ended refused, however many calls it took."""
        with self._lock:
            self._refused.append(now)

    def lost(self, now: float) -> None:
        """A session or token ended before its time."""
        with self._lock:
            self._lost.append(now)

    def succeeded(self) -> None:
        """A login went through: those refused before lock nobody out. Whether what it gave lasts is to be seen."""
        with self._lock:
            self._refused.clear()

"""How many vain logins of one kind may be within which time, as its strictest user is set to; knows no vendor."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from connectors.errors import AuthError
from connectors.settings import CrmLimits
from connectors.wishes import Wishes

_KEPT_S = 86400.0  # the longest window there may be: who asks for a shorter one is not the last to ask


@dataclass(frozen=True, slots=True)
class Logins:
    """What one source wants: no more than `most` vain logins in any `window_s`."""

    most: int
    window_s: float

    @classmethod
    def of(cls, limits: CrmLimits) -> Self:
        """A wish of its own, by which it can be released."""
        return cls(limits.logins, float(limits.login_window))


class LoginLimit:
    """The limit of one login, shared by all sources that use it. Not locked: its owner is."""

    def __init__(self, first: Logins) -> None:
        """`first` counts until somebody says what it wants."""
        self._wanted = Wishes(first)

    def keep_to(self, owner: str, wish: Logins) -> None:
        """`owner` (a source) wants no more than this."""
        self._wanted.keep(owner, wish)

    def release(self, owner: str, wish: Logins) -> None:
        """`owner` is gone, and what it wanted with it."""
        self._wanted.release(owner, wish)

    @property
    def most(self) -> int:
        return min(one.most for one in self._wanted.all())

    @property
    def window_s(self) -> float:
        return max(one.window_s for one in self._wanted.all())

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

    def __init__(self, mend: str, first: Logins) -> None:
        self._mend = mend
        self._lock = threading.Lock()
        self._refused: list[float] = []
        self._lost: list[float] = []  # sessions and tokens that ended early
        self._limit = LoginLimit(first)

    def keep_to(self, owner: str, wish: Logins) -> None:
        """`owner` (a source) logs in this way too, and wants no more vain logins than this."""
        with self._lock:
            self._limit.keep_to(owner, wish)

    def release(self, owner: str, wish: Logins) -> None:
        """`owner` is gone, and what it wanted with it; the logins that were vain are not."""
        with self._lock:
            self._limit.release(owner, wish)

    def check(self, now: float) -> None:
        """Raise AuthError when there were too many; `now` in seconds of a steady clock, as below."""
        with self._lock:
            self._refused = [at for at in self._refused if now - at < _KEPT_S]
            self._lost = [at for at in self._lost if now - at < _KEPT_S]
            if not self._limit.is_reached(len(self._limit.recent([*self._refused, *self._lost], now))):
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

"""Keeps calls under a vendor's limits: one limiter an account, shared by all threads; knows no vendor's words.

Two kinds of limit: a few seconds long (`Window`) and a day long (`DayShare`). Answers' headers feed both; a header that
makes no sense is not believed.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from connectors.base import OnWait
from connectors.day import DayShare
from connectors.windows import Stop, Window
from connectors.wishes import Wishes

_MOST_SLOTS = 10_000  # a window nobody sells more of


@dataclass(frozen=True, slots=True)
class Most:
    """The most one source wants to use: a share of the day of which `reserve` stays for others, slots by kind of call,
    the seconds a kind's slots are for where they are set, and calls side by side, whatever their kind.
    """

    share: float
    reserve: float
    slots: Mapping[str, int]
    windows_s: Mapping[str, float] = field(default_factory=dict)
    at_once: int | None = None


class Limiter:
    """All limits of one account by kind of call: `kinds["search"]` are the windows a search must pass.

    A vendor that meters searches apart has `{"call": (general,), "search": (searches,)}`: searches take no general
    slot. Should it count them there as well, its headers show them as somebody else's calls and they are yielded to.

    One that meters the calls of each app, but day and searches of all apps together, has a limiter for each app, which
    joins that of the whole account once it is known.
    """

    def __init__(self, kinds: Mapping[str, Sequence[Window]], day: DayShare, *, at_once: Window | None = None) -> None:
        self._kinds = {kind: tuple(windows) for kind, windows in kinds.items()}
        self._made = {kind: (windows[-1].slots, windows[-1].window_s) for kind, windows in kinds.items()}
        self._day = day
        self._at_once = at_once
        self._lock = threading.RLock()  # an account's may be taken within an app's, never the other way round
        self._account: Limiter | None = None
        self._wanted = Wishes[Most]()
        self._allowed: dict[str, tuple[int, float]] = {}
        self.throttled = 0
        self.foreign_throttled = 0

    @property
    def kinds(self) -> dict[str, tuple[Window, ...]]:
        """The windows of each kind of call, those of the whole account where it has some."""
        return self._kinds if self._account is None else {**self._kinds, **self._account._kinds}

    @property
    def day(self) -> DayShare:
        """The share of the day, that of the whole account where it is known."""
        return self._day if self._account is None else self._account._day

    def join(self, account: "Limiter") -> None:
        """These calls are metered with those of others: `account` has the day from now on, and the kinds it knows.

        What was called until now, and who wants what, counts there.
        """
        with self._lock, account._lock:
            if self._account is account:
                return
            for owner, most in self._wanted.items():
                if self._account is not None:
                    self._account.release(owner, most)
                account.keep_to(owner, most)
            if self._account is None:
                account._day.take_over(self._day)
                for kind, windows in account._kinds.items():
                    for window in windows:
                        window.adopt(self._kinds[kind][-1])
            self._account = account

    def keep_to(self, owner: str, most: Most) -> None:
        """`owner` (a source) wants to use no more than this, until it is released.

        Of what all owners want the strictest counts, limit by limit, and of one owner what it said last.
        """
        with self._lock:
            self._wanted.keep(owner, most)
            self._apply()
            if self._account is not None:
                self._account.keep_to(owner, most)

    def release(self, owner: str, most: Most) -> None:
        """`owner` is gone, and what it wanted with it; the calls it made still count."""
        with self._lock:
            if self._wanted.release(owner, most):
                self._apply()
            if self._account is not None:
                self._account.release(owner, most)

    def _apply(self) -> None:
        """Keep to what is wanted now."""
        wanted = self._wanted.all()
        self._day.keep_to(min(one.share for one in wanted), max(one.reserve for one in wanted))
        for kind in self._kinds:
            self._resize(kind)
        lanes = [one.at_once for one in wanted if one.at_once is not None]
        if self._at_once is not None and lanes:
            self._at_once.resize(min(lanes))

    def allow(self, kind: str, slots: int, window_s: float) -> Window:
        """The vendor says how many calls of a kind, of this app, it allows in so many seconds: their window."""
        with self._lock:
            if self._allowed.get(kind) != (slots, window_s):
                self._allowed[kind] = (slots, window_s)
                self._resize(kind)
            return next(one for one in self._kinds[kind] if one.window_s == window_s)

    def _resize(self, kind: str) -> None:
        """A window for each length that somebody names, with the fewest slots named for it; the longest is the first.

        Limits over different times are no stricter or looser than each other, so each holds as it is.
        """
        named = [
            (one.slots[kind], one.windows_s.get(kind, self._made[kind][1]))
            for one in self._wanted.all()
            if kind in one.slots
        ]
        named = named or [self._made[kind]]  # whoever wants something says so before it calls
        named += [self._allowed[kind]] if kind in self._allowed else []
        there = {window.window_s: window for window in self._kinds[kind]}
        windows = []
        for window_s in sorted({window_s for _, window_s in named}, reverse=True):
            slots = min(min(slots for slots, other_s in named if other_s == window_s), _MOST_SLOTS)
            window = there.get(window_s) or self._kinds[kind][-1].beside(slots, window_s)
            window.resize(slots)
            windows.append(window)
        self._kinds[kind] = tuple(windows)

    @contextmanager
    def slot(self, kind: str, stop: Stop | None = None, tell: OnWait | None = None) -> Iterator[None]:
        """One call: waits for every window of its kind, and frees the slots when the call is over.

        `tell` hears of a long wait. Raises RateLimited when the day allows no call, Stopped when `stop` is set while
        waiting.
        """
        with self._counting() as day:
            day.check()
        with ExitStack() as held:
            # Side by side last: who waits for a window must not keep others from calling meanwhile.
            windows = self.kinds[kind]
            for window in windows:
                window.take(stop, tell, begins=False)
                held.callback(window.give_back)
            if self._at_once is not None:
                self._at_once.take(stop, tell)
                held.callback(self._at_once.give_back)
            with self._counting() as day:
                day.count()
            for window in windows:
                window.begin()
            yield

    @contextmanager
    def _counting(self) -> Iterator[DayShare]:
        """The day, while nobody else counts on it."""
        with self._lock, (self._account or self)._lock:
            yield self.day

    def penalise(self, kind: str, wait_s: float) -> None:
        """The vendor refused a call for its rate: rest the shortest window of this kind.

        Told apart: refusals although our own calls cannot have been too many are somebody else's doing.
        """
        windows = self.kinds[kind]
        is_foreign = all(window.kept_to_limit() for window in windows)
        with self._lock:
            self.throttled += 1
            self.foreign_throttled += is_foreign
        windows[-1].penalise(wait_s)

    def remember(self, owner: str, calls: Sequence[tuple[float, int]]) -> None:
        """Calls that `owner` (a source) made in earlier processes: (seconds ago, how many). Heard once from each."""
        with self._counting() as day:
            earlier = day.remember(owner, calls)
        for window in {id(one): one for windows in self.kinds.values() for one in windows}.values():
            window.remember(earlier)

    def window_share(self) -> float | None:
        """Share of the tightest short-term limit used over the last minute, 0 to 1; None where there is none."""
        shares = [share for windows in self.kinds.values() for one in windows if (share := one.share()) is not None]
        return max(shares, default=None)


_LIMITERS: dict[str, Limiter] = {}
_LIMITERS_LOCK = threading.Lock()


def forget(account: str) -> None:
    """Begin anew with an account, as a new process does; whoever has its limiter keeps it."""
    with _LIMITERS_LOCK:
        _LIMITERS.pop(account, None)


def shared(account: str, make: Callable[[], Limiter]) -> Limiter:
    """The limiter of this account, made once a process: limits outlive the connector that uses them."""
    with _LIMITERS_LOCK:
        if account not in _LIMITERS:
            _LIMITERS[account] = make()
        return _LIMITERS[account]


__all__ = ["Limiter", "Most", "Stop", "Window", "forget", "shared"]

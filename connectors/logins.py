"""How many logins of one kind may be tried within which time: as its strictest user is set to; knows no vendor."""

from collections.abc import Sequence


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

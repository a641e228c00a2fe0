"""What those who share something want of it, each for as long as it is there; knows nothing of what is shared."""

from typing import Generic, TypeVar

T = TypeVar("T")


class Wishes(Generic[T]):
    """One wish an owner. Not locked: what it belongs to is."""

    def __init__(self, *first: T) -> None:
        """`first` counts until somebody comes."""
        self._by_owner: dict[str, T] = {}
        self._last = first

    def keep(self, owner: str, wish: T) -> None:
        """Of one owner counts what it said last."""
        self._by_owner[owner] = wish

    def release(self, owner: str, wish: T) -> bool:
        """`owner` is gone, and this very wish with it, unless it said another one since. Whether it was still there."""
        if self._by_owner.get(owner) is not wish:
            return False
        del self._by_owner[owner]
        self._last = (wish,)
        return True

    def items(self) -> list[tuple[str, T]]:
        """Owners and wishes that are there."""
        return list(self._by_owner.items())

    def all(self) -> tuple[T, ...]:
        """What counts now: where nobody is left, what the last one wanted, until somebody comes."""
        return tuple(self._by_owner.values()) or self._last

"""The bridge of a stock: what it was, what came and went, what it is; it balances or is not shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from scorecards.drivers import decimal_of
from scorecards.errors import ScorecardError

#: Counts balance exactly; sums of converted money may differ in the last digits of their rates.
_TOLERANCE = Decimal("1e-9")


@dataclass(frozen=True, slots=True)
class Balance:
    """`moves` by word in the order given, signed: created +3, closed -2."""

    opening: Decimal
    moves: tuple[tuple[str, Decimal], ...]
    closing: Decimal


def balance(opening: float | Decimal, moved: Mapping[str, float | Decimal], closing: float | Decimal) -> Balance:
    """opening + Σ moved = closing, what came above 0 and what went below. Raises ScorecardError otherwise.

    Rows deleted or merged since are restated in every period, so they never are a move.
    """
    start, end = decimal_of(opening), decimal_of(closing)
    moves = [(word, decimal_of(amount)) for word, amount in moved.items()]
    gap = start + sum((amount for _, amount in moves), Decimal(0)) - end
    if abs(gap) > _TOLERANCE * max(Decimal(1), abs(end)):
        raise ScorecardError(f"the bridge does not balance: opening and moves are {float(gap):+g} off the closing")
    return Balance(start, tuple(moves), end)

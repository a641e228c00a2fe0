"""Why a number moved: its change shared out over segments or factors, to the last cent (docs/definitions.md).

Pure: takes what each segment held on both sides, gives effects that add up to the change. Everything is Decimal, so
effects of millions that cancel out still leave the right few euros.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from itertools import combinations
from math import factorial, prod
from typing import Any, Literal

from scorecards.errors import ScorecardError

Form = Literal["sum", "rate", "mean", "factors"]
#: Segments with too few rows go by this name; "(none)" holds the rows without a segment.
OTHER = "Other"
#: As many effects are shown; the rest is said as one figure.
SHOWN = 3
#: Digits the arithmetic carries: enough for sums of 30 digits to stay exact to 1e-20.
DIGITS = 60
#: The most a sum of effects may differ from the change, as a share of it (or of 1).
_TOLERANCE = Decimal("1e-9")
#: A change below this share of where it started is nearly none: shares of it say nothing.
_NET_MIN = Decimal("0.01")
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Part:
    """What one segment holds of one side: a sum (top), or a rate's or mean's sides, from n rows."""

    top: Decimal
    bottom: Decimal = Decimal(1)
    n: int = 0

    def __add__(self, other: "Part") -> "Part":
        return Part(self.top + other.top, self.bottom + other.bottom, self.n + other.n)


_NOTHING = Part(_ZERO, _ZERO, 0)


@dataclass(frozen=True, slots=True)
class Effect:
    """What one segment did to the change. `mix` by its size, `rate` by its own value; both None of sums and factors."""

    segment: str
    effect: Decimal
    mix: Decimal | None = None
    rate: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Drivers:
    """A change and its effects, largest first; their sum is the change."""

    form: Form
    before: Decimal
    after: Decimal
    change: Decimal
    effects: tuple[Effect, ...]
    mix: Decimal | None = None  # of all segments together
    rate: Decimal | None = None
    note: str = ""

    def share(self, effect: Effect) -> Decimal | None:
        """Of the net change (may be over 1 or below 0); None where that is next to nothing."""
        return effect.effect / self.change if abs(self.change) > _NET_MIN * abs(self.before) else None

    def to_json(self, against: str, by: str) -> dict[str, Any]:
        """The public form: the largest effects, and what all others come to."""
        shown = self.effects[:SHOWN]
        with localcontext(prec=DIGITS):
            rest = self.change - sum((e.effect for e in shown), _ZERO)
        items = [
            {
                "segment": e.segment,
                "effect": float(e.effect),
                "mix": _float(e.mix),
                "rate": _float(e.rate),
                "share": _float(self.share(e)),
            }
            for e in shown
        ]
        return {
            "with": against,
            "by": by,
            "change": float(self.change),
            "items": items,
            "rest": float(rest),
            "mix": _float(self.mix),
            "rate": _float(self.rate),
            "form": self.form,
            "note": self.note,
        }

    def in_full(self) -> dict[str, Any]:
        """Both values and every effect: together they are the change."""
        effects = [
            {"segment": e.segment, "effect": float(e.effect), "mix": _float(e.mix), "rate": _float(e.rate)}
            for e in self.effects
        ]
        return {
            "form": self.form,
            "before": float(self.before),
            "after": float(self.after),
            "change": float(self.change),
            "effects": effects,
            "mix": _float(self.mix),
            "rate": _float(self.rate),
            "note": self.note,
        }


def explain_change(
    before: Mapping[str, Part],
    now: Mapping[str, Part],
    form: Literal["sum", "rate", "mean"],
    *,
    n_min: int = 0,
    of_median: bool = False,
    direction: str = "neutral",
) -> Drivers | None:
    """The change from `before` to `now` by segment; None where a rate or mean has nothing to divide by on a side.

    A segment that has rows on a side, but fewer than `n_min`, is pooled in "Other" first: its own rate would be noise.
    `of_median` says that the KPI is a median, which no segments add up to: what is decomposed is the mean.
    Raises ScorecardError should the effects ever not add up.
    """
    with localcontext(prec=DIGITS):
        before, now = pooled(before, now, n_min)
        names = sorted(before.keys() | now.keys())
        if form == "sum":
            effects = [Effect(name, _of(now, name).top - _of(before, name).top) for name in names]
            start, end = (sum((part.top for part in side.values()), _ZERO) for side in (before, now))
            return _drivers("sum", start, end, effects)
        d0, d1 = (sum((part.bottom for part in side.values()), _ZERO) for side in (before, now))
        if not d0 or not d1:
            return None
        start, end = (sum((p.top for p in s.values()), _ZERO) / d for s, d in ((before, d0), (now, d1)))
        middle = (start + end) / 2
        pairs = {name: (_of(before, name), _of(now, name)) for name in names}
        effects = [_mix_and_rate(name, was, part, d0, d1, middle) for name, (was, part) in pairs.items()]
        notes = ["medians do not add up: this is the change of the mean"] if of_median else []
        if said := _all_one_way(list(pairs.values()), end - start, direction):
            notes.append(said)
        return _drivers(form, start, end, effects, "; ".join(notes))


def pooled(before: Mapping[str, Part], now: Mapping[str, Part], n_min: int) -> tuple[dict[str, Part], dict[str, Part]]:
    """Both sides with the segments of too few rows together as "Other"; one without any row on a side is not few."""
    small = {name for side in (before, now) for name, part in side.items() if 0 < part.n < n_min}
    name = OTHER if OTHER in small or OTHER not in before.keys() | now.keys() else f"{OTHER} (few rows)"
    sides = []
    for side in (before, now):
        kept = {segment: part for segment, part in side.items() if segment not in small}
        few = [part for segment, part in side.items() if segment in small]
        if few:
            kept[name] = sum(few[1:], few[0])
        sides.append(kept)
    return sides[0], sides[1]


def chain(before: Mapping[str, Decimal], now: Mapping[str, Decimal]) -> Drivers:
    """The change of a product by its factors (revenue = leads x conversion x value); of a quotient give 1 / divisor.

    With all factors above 0 the logarithmic mean (LMDI) shares it out; a factor of 0 or below has no logarithm, then
    each effect is the mean over all orders the factors could have changed in (Shapley). Both add up exactly.
    """
    if before.keys() != now.keys():
        raise ScorecardError("a product's factors must be the same on both sides")
    with localcontext(prec=DIGITS):
        start, end = prod(before.values(), start=Decimal(1)), prod(now.values(), start=Decimal(1))
        if all(value > 0 for value in (*before.values(), *now.values())):
            mean = start if start == end else (end - start) / (end.ln() - start.ln())
            effects = [Effect(name, mean * (now[name] / before[name]).ln()) for name in before]
        else:
            effects = [Effect(name, _in_any_order(before, now, name)) for name in before]
        return _drivers("factors", start, end, effects)


def decimal_of(value: float | int | Decimal) -> Decimal:
    """A figure as Decimal: a float by the digits it is written with."""
    return value if isinstance(value, Decimal) else Decimal(repr(value) if isinstance(value, float) else value)


def _mix_and_rate(name: str, was: Part, now: Part, d0: Decimal, d1: Decimal, middle: Decimal) -> Effect:
    """rate = (r1 - r0)(w0 + w1)/2, mix = (w1 - w0)((r0 + r1)/2 - R): they add up for any r of an empty side."""
    w0, w1 = was.bottom / d0, now.bottom / d1
    effect = now.top / d1 - was.top / d0 - middle * (w1 - w0)
    r0 = was.top / was.bottom if was.bottom else None
    r1 = now.top / now.bottom if now.bottom else None
    r0, r1 = (r1 if r0 is None else r0), (r0 if r1 is None else r1)
    mix = _ZERO if r0 is None or r1 is None else (w1 - w0) * ((r0 + r1) / 2 - middle)
    return Effect(name, effect, mix, effect - mix)


def _all_one_way(pairs: Sequence[tuple[Part, Part]], change: Decimal, direction: str) -> str:
    """What to say when every segment moved one way and the whole the other (Simpson's paradox)."""
    moves = []
    for was, now in pairs:
        if not was.bottom or not now.bottom:
            return ""  # it came or went: that is mix too, but not every segment moved
        moves.append(now.top / now.bottom - was.top / was.bottom)
    if len(moves) < 2 or not change:
        return ""
    if not all(move > 0 for move in moves) and not all(move < 0 for move in moves):
        return ""
    rose = moves[0] > 0
    if rose == (change > 0):
        return ""
    words = {"up": ("improved", "worsened"), "down": ("worsened", "improved")}.get(direction, ("rose", "fell"))
    return f"all segments {words[0 if rose else 1]}; the mix changed"


def _in_any_order(before: Mapping[str, Decimal], now: Mapping[str, Decimal], name: str) -> Decimal:
    others = [other for other in before if other != name]
    many, found = len(before), _ZERO
    for size in range(len(others) + 1):
        weight = Decimal(factorial(size) * factorial(many - size - 1)) / factorial(many)
        for changed in combinations(others, size):
            rest = prod((now[o] if o in changed else before[o] for o in others), start=Decimal(1))
            found += weight * rest * (now[name] - before[name])
    return found


def _drivers(form: Form, before: Decimal, after: Decimal, effects: Sequence[Effect], note: str = "") -> Drivers:
    """The effects, largest first, once they are seen to add up."""
    change = after - before
    gap = abs(sum((e.effect for e in effects), _ZERO) - change)
    if gap > _TOLERANCE * max(Decimal(1), abs(change)):
        raise ScorecardError(f"the effects miss the change by {float(gap):g}")
    mix = rate = None
    if form in ("rate", "mean"):
        mix = sum((e.mix or _ZERO for e in effects), _ZERO)
        rate = sum((e.rate or _ZERO for e in effects), _ZERO)
    ordered = tuple(sorted(effects, key=lambda e: (-abs(e.effect), e.segment)))
    return Drivers(form, before, after, change, ordered, mix, rate, note)


def _of(side: Mapping[str, Part], name: str) -> Part:
    return side.get(name, _NOTHING)


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)

"""Drivers add up to the change they explain, whatever the numbers."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorecards.drivers import Drivers, Part, chain, explain_change, pooled
from scorecards.errors import ScorecardError

NAMES = st.sampled_from(["EMEA", "AMER", "APAC", "(none)", "Other", "é"])
MONEY = st.decimals("-1e15", "1e15", places=2)
SUMS = st.dictionaries(NAMES, st.builds(Part, MONEY, st.just(Decimal(1)), st.integers(1, 30)))


@st.composite
def sides(draw: st.DrawFn) -> dict[str, Part]:
    """Segments of a rate: so many of so many."""
    names = draw(st.lists(NAMES, unique=True, min_size=1))
    found = {}
    for name in names:
        n = draw(st.integers(1, 10**6))
        found[name] = Part(Decimal(draw(st.integers(0, n))), Decimal(n), n)
    return found


def part(top: float, bottom: float = 1, n: int | None = None) -> Part:
    return Part(Decimal(str(top)), Decimal(str(bottom)), int(bottom) if n is None else n)


def _sum(found: Drivers) -> Fraction:
    return sum((Fraction(e.effect) for e in found.effects), Fraction(0))


@given(before=SUMS, now=SUMS, n_min=st.integers(0, 20))
def test_effects_of_a_sum_are_exactly_its_change(before: dict[str, Part], now: dict[str, Part], n_min: int) -> None:
    """Cents of trillions are not lost, and pooling moves none of them."""
    found = explain_change(before, now, "sum", n_min=n_min)
    assert found is not None
    change = sum(Fraction(p.top) for p in now.values()) - sum(Fraction(p.top) for p in before.values())
    assert Fraction(found.change) == _sum(found) == change


@given(before=sides(), now=sides(), n_min=st.integers(0, 200))
def test_mix_and_rate_add_up_to_the_change_of_a_rate(before: dict[str, Part], now: dict[str, Part], n_min: int) -> None:
    """Held against fractions, which are exact."""
    found = explain_change(before, now, "rate", n_min=n_min)
    assert found is not None
    r0, r1 = (
        Fraction(int(sum(p.top for p in side.values())), int(sum(p.bottom for p in side.values())))
        for side in (before, now)
    )
    assert abs(Fraction(found.change) - (r1 - r0)) < Fraction(1, 10**40)
    assert abs(_sum(found) - (r1 - r0)) < Fraction(1, 10**40)
    assert found.mix is not None
    assert found.rate is not None
    assert abs(Fraction(found.mix) + Fraction(found.rate) - (r1 - r0)) < Fraction(1, 10**40)
    shown = found.to_json("previous", "team")
    assert abs(sum(item["effect"] for item in shown["items"]) + shown["rest"] - shown["change"]) < 1e-9


@given(sides())
def test_what_did_not_change_has_no_drivers(side: dict[str, Part]) -> None:
    """The same rows twice: every effect is nothing."""
    found = explain_change(side, side, "rate")
    assert found is not None
    assert all(abs(e.effect) < Decimal("1e-40") for e in found.effects)


@given(sides(), sides())
def test_a_mirrored_change_has_mirrored_effects(before: dict[str, Part], now: dict[str, Part]) -> None:
    """The way back undoes the way there, segment by segment."""
    there, back = explain_change(before, now, "rate"), explain_change(now, before, "rate")
    assert there is not None
    assert back is not None
    returned = {e.segment: e for e in back.effects}
    for effect in there.effects:
        assert abs(Fraction(effect.effect) + Fraction(returned[effect.segment].effect)) < Fraction(1, 10**40)


FACTORS = st.lists(st.decimals("-1e6", "1e6", places=3), min_size=4, max_size=4)


@given(before=FACTORS, now=FACTORS)
def test_effects_of_factors_add_up(before: list[Decimal], now: list[Decimal]) -> None:
    """With zeros and negatives (any order) as without (logarithmic mean)."""
    found = chain(dict(zip("abcd", before, strict=True)), dict(zip("abcd", now, strict=True)))
    assert abs(_sum(found) - Fraction(found.change)) <= Fraction(1, 10**9) * max(
        Fraction(1), abs(Fraction(found.change))
    )
    still = {e.segment for e in found.effects if e.effect == 0}
    assert {name for name, b, n in zip("abcd", before, now, strict=True) if b == n} <= still


def test_a_rate_worked_by_hand() -> None:
    """0.40 to 0.59: A +0.0915 (mix 0.04275, rate 0.04875), B +0.0985."""
    before = {"A": part(30, 50), "B": part(10, 50)}
    now = {"A": part(54, 80), "B": part(5, 20)}
    found = explain_change(before, now, "rate")
    assert found is not None
    assert found.to_json("previous", "team") == {
        "with": "previous",
        "by": "team",
        "change": pytest.approx(0.19),
        "items": [
            {
                "segment": "B",
                "effect": pytest.approx(0.0985),
                "mix": pytest.approx(0.081),
                "rate": pytest.approx(0.0175),
                "share": pytest.approx(0.0985 / 0.19),
            },
            {
                "segment": "A",
                "effect": pytest.approx(0.0915),
                "mix": pytest.approx(0.04275),
                "rate": pytest.approx(0.04875),
                "share": pytest.approx(0.0915 / 0.19),
            },
        ],
        "rest": 0.0,
        "mix": pytest.approx(0.12375),
        "rate": pytest.approx(0.06625),
        "form": "rate",
        "note": "",
    }


def test_the_three_largest_and_the_rest_add_up() -> None:
    """Five segments: three are named, the other two are one figure."""
    before = {name: part(10) for name in "abcde"}
    now = {"a": part(10.5), "b": part(30), "c": part(1), "d": part(12), "e": part(9.25)}
    found = explain_change(before, now, "sum")
    assert found is not None
    shown = found.to_json("year_ago", "owner")
    assert [(item["segment"], item["effect"]) for item in shown["items"]] == [("b", 20.0), ("c", -9.0), ("d", 2.0)]
    assert (shown["change"], shown["rest"]) == (12.75, -0.25)
    assert shown["items"][0]["mix"] is None


def test_few_rows_go_to_other_and_newcomers_do_not() -> None:
    """A segment of 3 rows now is pooled on both sides; one that has no row at all on a side keeps its name."""
    before = {"A": part(5, 50), "B": part(2, 20), "C": part(1, 4)}
    now = {"A": part(5, 50), "B": part(1, 3), "D": part(9, 30)}
    was, are = pooled(before, now, 10)
    assert was == {"A": part(5, 50), "Other": part(3, 24)}
    assert are == {"A": part(5, 50), "Other": part(1, 3), "D": part(9, 30)}


def test_a_segment_called_other_is_not_mixed_up_with_the_pool() -> None:
    """It keeps its own figures."""
    side = {"Other": part(5, 50), "C": part(1, 4)}
    assert pooled(side, side, 10)[0] == {"Other": part(5, 50), "Other (few rows)": part(1, 4)}


def test_all_better_and_the_whole_worse_is_said() -> None:
    """Simpson's paradox, in the words of what is better."""
    before = {"A": part(72, 80), "B": part(4, 20)}
    now = {"A": part(19, 20), "B": part(24, 80)}
    notes = {}
    for way in ("up", "down", ""):
        found = explain_change(before, now, "rate", direction=way)
        assert found is not None
        notes[way] = found.note
    assert notes == {
        "up": "all segments improved; the mix changed",
        "down": "all segments worsened; the mix changed",
        "": "all segments rose; the mix changed",
    }


def test_a_median_says_that_its_mean_is_explained() -> None:
    """Medians of segments make no median of the whole."""
    found = explain_change({"A": part(30, 10)}, {"A": part(60, 10)}, "mean", of_median=True)
    assert found is not None
    assert (float(found.change), found.note) == (3.0, "medians do not add up: this is the change of the mean")


def test_nothing_to_divide_by_has_no_drivers() -> None:
    """A rate of nothing is no rate."""
    assert explain_change({}, {"A": part(1, 2)}, "rate") is None
    assert explain_change({"A": part(1, 2)}, {}, "mean") is None


def test_no_share_of_next_to_nothing() -> None:
    """+50 and -49 on 1,000: 5,000 % of the net change would be nonsense."""
    found = explain_change({"A": part(500), "B": part(500)}, {"A": part(550), "B": part(451)}, "sum")
    assert found is not None
    assert [item["share"] for item in found.to_json("previous", "team")["items"]] == [None, None]


def test_a_product_worked_by_hand() -> None:
    """Twice the leads at the same rate and value is all leads; a factor gone to nothing is shared in any order."""
    before = {"leads": Decimal(100), "conversion": Decimal("0.2"), "value": Decimal(50)}
    found = chain(before, before | {"leads": Decimal(200)})
    assert {e.segment: e.effect for e in found.effects}["conversion"] == 0
    assert float(found.effects[0].effect) == pytest.approx(1000)
    # 4 x 5 = 20 becomes 0 x 7: a (0 - 4)(5 + 7)/2, b (7 - 5)(4 + 0)/2
    gone = chain({"a": Decimal(4), "b": Decimal(5)}, {"a": Decimal(0), "b": Decimal(7)})
    assert {e.segment: e.effect for e in gone.effects} == {"a": Decimal(-24), "b": Decimal(4)}


def test_a_product_of_other_factors_is_refused() -> None:
    """The two sides are of one KPI."""
    with pytest.raises(ScorecardError, match="same on both sides"):
        chain({"a": Decimal(1)}, {"b": Decimal(1)})

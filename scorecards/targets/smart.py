"""Is a target SMART? Five letters, each ok, warn or fail, with a sentence (docs/definitions.md).

Pure: takes the KPI as it is configured and what is known of its past. What is not known is not judged: `check` knows
no rows, a scorecard does.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from scorecards.definition import Kpi
from scorecards.figures import Figure, is_rate, n_min
from scorecards.targets.slot import Band
from scorecards.values import Signal

LETTERS = {"S": "Specific", "M": "Measurable", "A": "Achievable", "R": "Relevant", "T": "Time-bound"}
_COVERAGE_MIN = 0.90
#: The key of [kpi.NAME] that mends a failure: by what is said of it, else by its letter.
_KEYS = {
    "nobody is named who answers for it": "owner",
    "no objective says what it is for": "objective",
    "it belongs to no perspective": "perspective",
    "nobody receives it": "to in its scorecard",
    "it has no start": "target.start",
    "it says not how often it is looked at": "frequency",
}
_KEY_OF_LETTER = {"S": "target.segments", "M": "n_min", "A": "target", "R": "objective", "T": "target.due"}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beside the KPI itself; None where it is not."""

    today: date
    owner: str = ""  # who answers for it, the KPI's own or the scorecard's
    recipients: bool = True  # anybody gets it
    rivals: int = 0  # further targets of the same KPI and segment
    partner_shown: bool | None = None  # a speed KPI's quality partner is on the scorecard
    recent: Sequence[Figure] = ()  # its last complete periods, newest first
    goal: float | None = None  # the value wanted, of a relative target too
    usual: Signal | None = None
    needed: float | None = None  # per working day (or period) still needed
    best: float | None = None  # the most there ever was of it, in the same unit
    has_baseline: bool | None = None  # a relative target's is stored
    redefined: bool = False  # since the baseline
    segments: Mapping[str, Collection[str]] | None = None  # dimension -> values there are today
    period_days: int = 30
    baseline_ends: date | None = None  # the day after the last of the baseline's own


@dataclass(frozen=True, slots=True)
class Letter:
    """One of the five, with the reasons for anything but ok: the first `fails` of them failures, the rest doubts."""

    result: Literal["ok", "warn", "fail"] = "ok"
    reasons: tuple[str, ...] = ()
    fails: int = 0


_Said = tuple[list[str], list[str]]


def check(kpi: Kpi, known: Known) -> dict[str, Letter] | None:
    """The five letters of the KPI's target; None without a target."""
    if kpi.target is None:
        return None
    checks = {"S": _specific, "M": _measurable, "A": _achievable, "R": _relevant, "T": _timed}
    found = {}
    for letter, look in checks.items():
        fails, warns = look(kpi, known)
        found[letter] = Letter("fail" if fails else "warn" if warns else "ok", (*fails, *warns), len(fails))
    return found


def failures(letters: Mapping[str, Letter]) -> list[str]:
    """What fails, a sentence each with the letter's word and the key that mends it; a doubt is no failure."""
    return [
        f"{LETTERS[name]}: {reason} (set {_KEYS.get(reason) or _KEY_OF_LETTER[name]})"
        for name, letter in letters.items()
        for reason in letter.reasons[: letter.fails]
    ]


def is_smart(letters: Mapping[str, Letter]) -> bool:
    """A doubt is only told, a failure takes the name away."""
    return all(letter.result != "fail" for letter in letters.values())


def to_json(letters: Mapping[str, Letter], *, doubts: bool = False) -> dict[str, dict[str, Any]]:
    """The public form, by letter; with `doubts` it gives the reasons of these only."""
    return {
        name: {"result": letter.result, "reasons": list(letter.reasons[letter.fails if doubts else 0 :])}
        for name, letter in letters.items()
    }


def in_words(letters: Mapping[str, Mapping[str, Any]]) -> str:
    """The five letters of the public form in one line: "S ok · M ok · A warn (no stretch …) · R ok · T ok"."""
    said = []
    for name, letter in letters.items():
        reasons = "; ".join(letter["reasons"])
        said.append(f"{name} {letter['result']}{f' ({reasons})' if reasons else ''}")
    return " · ".join(said)


def _specific(kpi: Kpi, known: Known) -> _Said:
    assert kpi.target is not None  # the caller looked
    fails, warns = [], []
    if not (kpi.owner or known.owner):
        fails.append("nobody is named who answers for it")
    if known.segments is not None:
        for dimension, wanted in kpi.target.segments.items():
            there = known.segments.get(dimension)
            if there is None:
                fails.append(f"there is no dimension {dimension}")
                continue
            empty = sorted(set(wanted) - set(there))
            for name in empty[:]:
                if meant := _meant(name, there):
                    fails.append(f"there is no {dimension} {name}: did you mean {meant}?")
                    empty.remove(name)
            if empty:
                warns.append(f"{dimension} has no rows for {', '.join(empty)} today")
    return fails, warns


def _meant(name: str, there: Collection[str]) -> str:
    """The segment a name is a slip of: its letters in another case, or two of them swapped; empty of any other.

    A letter more, less or other may well be the name of another team.
    """
    for known in there:
        if name.casefold() == known.casefold():
            return known
        swaps = (known[:at] + known[at + 1] + known[at] + known[at + 2 :] for at in range(len(known) - 1))
        if name.casefold() in {swapped.casefold() for swapped in swaps}:
            return known
    return ""


def _measurable(kpi: Kpi, known: Known) -> _Said:
    assert kpi.target is not None  # the caller looked
    fails, warns = [], []
    last = known.recent[:3]
    without = [figure for figure in last if figure.status not in ("ok", "partial")]
    if len(without) >= 2:
        fails.append(f"{len(without)} of its last {len(last)} periods have no value ({without[0].status})")
    elif last and last[0].n < n_min(kpi):
        fails.append(f"it rests on {last[0].n} rows, at least {n_min(kpi)} are needed")
    if kpi.target.change is not None and known.has_baseline is False:
        fails.append("its baseline is not stored")
    if last and last[0].coverage is not None and last[0].coverage < _COVERAGE_MIN:
        warns.append(f"it covers {last[0].coverage:.0%} of the rows")
    if known.redefined:
        warns.append("its definition changed after the baseline")
    return fails, warns


def _achievable(kpi: Kpi, known: Known) -> _Said:
    assert kpi.target is not None  # the caller looked
    fails: list[str] = []
    warns: list[str] = []
    want = kpi.target.want
    single = known.goal if known.goal is not None else kpi.target.value
    goals: tuple[float | None, ...] = want.between if isinstance(want, Band) else (single,)
    goals = (*goals, *(value for wanted in kpi.target.segments.values() for value in wanted.values()))
    for value in goals:
        if value is not None and (said := _impossible(kpi, value)):
            fails.append(said)
    if known.needed is not None and known.best is not None and known.needed > 2 * known.best > 0:
        fails.append(f"it needs {known.needed:g}, the best ever was {known.best:g}")
    wanted, usual = goals[0], known.usual
    if isinstance(want, Band) or wanted is None or usual is None or usual.mean is None:
        return fails, warns
    outside = (usual.upper is not None and want == "up" and wanted > usual.upper) or (
        usual.lower is not None and want == "down" and wanted < usual.lower
    )
    if outside:
        warns.append("this process rarely delivers it: plan a change")
    elif (usual.mean >= wanted) if want == "up" else (usual.mean <= wanted):
        warns.append("no stretch: the usual value meets it already")
    return fails, warns


def _impossible(kpi: Kpi, value: float) -> str:
    can_fall = bool(kpi.operands) or kpi.sql is not None or kpi.agg in ("sum", "avg", "min")
    if is_rate(kpi) and kpi.ratio is None and not 0 <= value <= 1:
        return f"a share of {value:.0%} cannot be"
    if kpi.unit == "score" and kpi.scale is not None and value > kpi.scale:
        return f"{value:g} is more than the scale of {kpi.scale:g} holds"
    if value < 0 and (kpi.duration is not None or not can_fall):
        return f"{value:g} is below zero, where it cannot go"
    return ""


def _relevant(kpi: Kpi, known: Known) -> _Said:
    fails, warns = [], []
    if not kpi.objective:
        fails.append("no objective says what it is for")
    if not kpi.perspective:
        fails.append("it belongs to no perspective")
    if not known.recipients:
        fails.append("nobody receives it")
    if known.rivals:
        warns.append("the same KPI has another target for the same segment")
    if kpi.partner and known.partner_shown is False:
        warns.append(f"a speed without its quality: {kpi.partner[0]} is not beside it")
    return fails, warns


def _timed(kpi: Kpi, known: Known) -> _Said:
    assert kpi.target is not None  # the caller looked
    fails, warns = [], []
    target = kpi.target
    begun = target.start
    if begun is None and target.from_ is not None:
        begun = target.from_.at
    if target.due is None:
        fails.append("it has no deadline")
    if begun is None and (target.from_ is None or target.from_.period is None):
        fails.append("it has no start")
    if not kpi.frequency:
        fails.append("it says not how often it is looked at")
    if target.due is not None:
        # Else it would be due in what it starts from.
        is_inside = known.baseline_ends is not None and target.due < known.baseline_ends
        if is_inside or (begun is not None and target.due <= begun):
            fails.append("its deadline is not after its start")
        left = (target.due - known.today).days + 1
        if left <= 0:
            warns.append(f"its deadline passed on {target.due.isoformat()} and it is not closed")
        elif left < known.period_days:
            fails.append("less than one whole period is left")
    if kpi.review_by is None:
        warns.append("no review_by says when it is looked over")
    return fails, warns

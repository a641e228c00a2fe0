"""What moved a number, in words: the segments behind a change that is news, the bridge of a stock."""

from collections.abc import Sequence

from scorecards.drivers import OTHER
from scorecards.render.clean import clean
from scorecards.render.format import MINUS, Formatter
from scorecards.render.written import bare, written_difference
from scorecards.values import KpiResult

#: What stands at both ends of a bridge; all else moved.
_ENDS = ("opening", "closing")
#: Of a change, the share from which one segment is named as where it mostly comes from.
_MOSTLY = 0.5


def driver_lines(result: KpiResult, fmt: Formatter) -> Sequence[str]:
    """The largest effects with the rest, which add up to the change; of rates and means what was mix. Else empty."""
    drivers = result.drivers
    if drivers is None:
        return ()
    words = fmt.words
    effects = [(_name(item["segment"], fmt), item["effect"]) for item in drivers["items"]]
    written = [(name, written_difference(result, fmt, effect)) for name, effect in effects]
    said = [f"{name}\u00a0{effect}" for name, effect in written if effect is not None]
    rest = written_difference(result, fmt, drivers["rest"])
    if rest is not None:
        said.append(words("rest", effect=rest))
    if not said:
        return ()
    by = drivers["by"].rpartition(".")[2].replace("_", " ")
    key = "moved_mean" if drivers["note"].startswith("medians") else "moved"
    if drivers["form"] == "factors":
        key = "moved_factors"
    change = written_difference(result, fmt, drivers["change"]) or words("no_change")
    lines = [words(key, by=clean(by, 40), effects=" · ".join(said), change=change)]
    mix = None if drivers["mix"] is None else written_difference(result, fmt, drivers["mix"])
    if mix is not None:
        rate = written_difference(result, fmt, drivers["rate"]) or "0"
        mixed = words("mix_mean" if drivers["form"] == "mean" else "mix_rate", rate=rate, mix=mix)
        lines.append(f"{mixed}: {clean(note)}" if (note := _paradox(drivers["note"])) else mixed)
    return lines


def bridge_words(result: KpiResult, fmt: Formatter) -> str:
    """How a stock came from what it was: "126 + 40 created − 35 closed = 131"; empty where nothing came or went.

    Beside a change against a month ago it says since when: it is of the period shown.
    """
    bridge = result.details.get("bridge")
    if not isinstance(bridge, dict) or len(bridge) <= len(_ENDS):
        return ""
    said = [bare(result, fmt, bridge["opening"])]
    for word, amount in bridge.items():
        if word not in _ENDS:
            name = fmt.words(f"mv_{word}") if f"mv_{word}" in fmt.words.texts else clean(word.replace("_", " "), 40)
            said.append(f"{MINUS if amount < 0 else '+'}\u00a0{bare(result, fmt, abs(amount))}\u00a0{name}")
    made = f"{' '.join(said)} =\u00a0{bare(result, fmt, bridge['closing'])}"
    if result.period is None or all(one.against != "month_ago" for one in result.comparisons):
        return made
    return fmt.words("bridge_since", date=fmt.day(result.period.start, year=False), bridge=made)


def left_out(result: KpiResult, fmt: Formatter) -> Sequence[str]:
    """What should stand beside the number and is not said, as its sums were not exact: a sentence each."""
    return [fmt.words(f"no_{what}") for what in result.details.get("left_out", {})]


def mostly(result: KpiResult, fmt: Formatter) -> str | None:
    """The segment a change that is news mostly comes from, with its effect; None where none stands out."""
    drivers = result.drivers
    if drivers is None or not drivers["news"] or not drivers["items"] or drivers["note"].startswith("medians"):
        return None
    first, change = drivers["items"][0], drivers["change"]
    written = written_difference(result, fmt, first["effect"])
    if written is None or first["segment"] == OTHER or first["effect"] * change < _MOSTLY * change * change:
        return None
    return fmt.words("mostly", name=_name(first["segment"], fmt), effect=written)


def _paradox(note: str) -> str:
    """What the notes say of all segments at once (after what they say of medians); else empty."""
    said = note.partition("all segments ")[2].partition(";")[0]
    return f"all {said}" if said else ""


def _name(segment: str, fmt: Formatter) -> str:
    return clean(segment, 40) or fmt.words("none_segment")

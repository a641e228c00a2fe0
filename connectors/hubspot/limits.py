"""HubSpot's limits: what the settings want of them, and what the headers of an answer say."""

from connectors import parse
from connectors.day import DayShare
from connectors.hubspot.settings import HubSpotLimits
from connectors.limiter import Limiter, Most, Window
from connectors.transport import Answer

_SHORTEST_MS, _LONGEST_MS = 1_000, 3_600_000  # intervals that make sense, as those of the settings


def most_of(limits: HubSpotLimits) -> Most:
    """What a source of these limits wants to use at most."""
    slots = {"call": limits.per_10s, "search": limits.search_per_s}
    windows_s = {"call": float(limits.window), "search": float(limits.search_window)}
    return Most(limits.daily_share, limits.daily_reserve, slots, windows_s, limits.at_once)


def make_limiter(limits: HubSpotLimits) -> Limiter:
    """A limiter for the calls of one app."""
    general = Window(limits.per_10s, float(limits.window))
    search = Window(limits.search_per_s, float(limits.search_window))
    day = DayShare(limits.daily_share, limits.daily_reserve)
    return Limiter({"call": (general,), "search": (search,)}, day, at_once=Window(limits.at_once, 0.0))


def make_account(limits: HubSpotLimits) -> Limiter:
    """A limiter for what HubSpot counts by portal, over all its apps: searches, and the day."""
    search = Window(limits.search_per_s, float(limits.search_window))
    return Limiter({"search": (search,)}, DayShare(limits.daily_share, limits.daily_reserve))


def learn(limiter: Limiter, answer: Answer) -> None:
    """Take the limits from the headers of an answer, before its slot is given back (searches carry none)."""
    limit, left = _count(answer, "Daily"), _count(answer, "Daily-Remaining")
    if limit is not None and left is not None:
        limiter.day.see(limit, limit - left)
    maximum, remaining = _count(answer, "Max"), _count(answer, "Remaining")
    interval = _count(answer, "Interval-Milliseconds")
    if maximum and interval is not None and _SHORTEST_MS <= interval <= _LONGEST_MS:
        window = limiter.allow("call", maximum, interval / 1000)
        if remaining is not None:
            window.see_remaining(maximum, remaining)


def _count(answer: Answer, name: str) -> int | None:
    return parse.count(answer.headers.get(f"X-HubSpot-RateLimit-{name}"))

"""What is said of a listed record: the words an action gives, with the record's own columns in them."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator

#: A word in braces: a column, or {age}, {measure}.
WORD = r"{(\w+(?:\.\w+)*)}"
_LATEST = 7_258_118_400  # 2200-01-01: milliseconds are no seconds
#: What is said of a column without a value.
_UNSET = {
    "loss_reason": "no reason given",
    "comment": "no comment",
    "last_outbound_at": "never",
    "last_outreach_at": "never",
    "last_touch_at": "never",
}


def reason_of(template: str, shown: Mapping[str, Any], measure: Any, evaluator: "Evaluator", **words: str) -> str:
    """Fill the words of a row's reason: {age}, {measure}, a column, or one of `words`."""

    def word(found: re.Match[str]) -> str:
        name = found[1]
        if name in words:
            return words[name]
        if name == "age":
            return _age(shown.get("created_at"), int(evaluator.as_of.timestamp()))
        if name == "measure":
            return in_time(measure)
        return said_of(name, shown.get(name), evaluator)

    return re.sub(WORD, word, template)


def told_of(show: Sequence[str]) -> str:
    """The reason of an action that names columns to show instead."""
    return " · ".join(f"{name.replace('_', ' ').replace('.', ' ')}: {{{name}}}" for name in show)


def _age(created: Any, now: int) -> str:
    at = _epoch(created)
    return in_time(now - at) if at is not None else "an unknown time"


def _epoch(value: Any) -> int | None:
    """Epoch seconds of an instant as rows hold them, None of anything else: a custom field may hold what it likes."""
    if isinstance(value, int):
        return value if abs(value) < _LATEST else None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def in_time(seconds: int | None) -> str:
    """A duration in its largest whole unit: "46 days", "3 hours", "12 minutes"."""
    if seconds is None:
        return "an unknown time"
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = round(seconds / size)
            return f"{count} {name}{'' if count == 1 else 's'}"
    return "under a minute"


def said_of(name: str, value: Any, evaluator: "Evaluator") -> str:
    if value is None or value == "":
        return _UNSET.get(name, "not set")
    if name.endswith("_at") and (at := _epoch(value)) is not None:
        return f"{datetime.fromtimestamp(at, evaluator.zone):%-d %b %Y}"
    if name.endswith("_date") and (day := _day(value)) is not None:
        return f"{day:%-d %b %Y}"
    return str(value)


def _day(value: Any) -> date | None:
    try:
        return date.fromisoformat(value)
    except (ValueError, TypeError):
        return None

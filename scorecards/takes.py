"""What a parameter of a KPI takes, as its catalogue says it: a closed list, or a kind of value.

Knows values only. Whether a column a parameter names exists is for `checks` to say: they look at the slot it fills.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from scorecards.slots import Model

Kind = Literal[
    "any", "text", "texts", "text or number", "flag", "days", "days or none", "seconds", "hours", "share", "scale",
    "statistic", "column or count", "table", "filter", "requirements", "seconds by value",
    "days by value",
]  # fmt: skip
#: Kinds of numbers: (whole numbers only, at least, more than, at most).
_NUMBERS: Mapping[str, tuple[bool, float | None, float | None, float | None]] = {
    "days": (True, 1, None, None),
    "days or none": (True, 0, None, None),
    "seconds": (True, 1, None, None),
    "hours": (False, None, 0, None),
    "share": (False, 0, None, 1),
    "scale": (False, None, 0, None),
}
_STATISTIC = re.compile(r"mean|avg|median|min|max|p[1-9][0-9]?")
_BY_VALUE = '{ value = 30, by = "tier", of = { gold = 10 } }'
#: (what is wrong, what to do)
Refusal = tuple[str, str]
#: How each kind is said to a reader.
_WORDS: Mapping[str, str] = {
    "texts": "a list of texts",
    "text or number": "a text or a number",
    "flag": "true or false",
    "days": "days, 1 or more",
    "days or none": "days, 0 or more",
    "seconds": "seconds, 1 or more",
    "hours": "hours, more than 0",
    "share": "a share from 0 to 1",
    "scale": "a number above 0",
    "statistic": "mean, median, min, max or p1 to p99",
    "column or count": "count, or a column of numbers",
    "table": "a table",
    "filter": "a filter",
    "requirements": "columns with their weights",
    "seconds by value": "a time in seconds for each of some values",
    "days by value": f"days, 1 or more; or others for some values, such as {_BY_VALUE}",
}


class Takes(Model):
    """What a parameter takes: one of a closed list (`one_of`), a list of such (`some_of`), else a `kind` of value."""

    kind: Kind = "any"
    one_of: tuple[str, ...] = ()
    some_of: tuple[str, ...] = ()

    def refusal(self, value: Any) -> Refusal | None:
        """Why a value does not do, and the mend; None where it does."""
        if self.one_of:
            return _none_of(value, self.one_of)
        if self.some_of:
            if not isinstance(value, list | tuple) or not value:
                return "not a list", f'Write a list, such as ["{self.some_of[0]}"].'
            return next(filter(None, (_none_of(one, self.some_of) for one in value)), None)
        if self.kind in _NUMBERS:
            return _no_number(value, self.kind)
        return _unlike(value, self.kind)

    def in_words(self) -> str:
        """For a reader: "business or calendar", "days, 1 or more"."""
        if self.one_of:
            return " or ".join(filter(None, (", ".join(self.one_of[:-1]), self.one_of[-1])))
        if self.some_of:
            return f"a list of {' and '.join(self.some_of)}"
        return _WORDS.get(self.kind, f"a {self.kind}")


def _read(said: Any) -> Any:
    """A list is a closed list, a text a kind."""
    if isinstance(said, list | tuple):
        return {"one_of": tuple(said)}
    return {"kind": said} if isinstance(said, str) else said


#: As written: ["count", "amount"], "days", { some_of = ["deals", "orders"] }.
TakesSlot = Annotated[Takes, BeforeValidator(_read)]


def near(name: object, known: tuple[str, ...]) -> str:
    """`Did you mean X?` where a known word is near, else empty."""
    lowered = {word.lower(): word for word in known}
    close = get_close_matches(str(name).lower(), list(lowered), n=1)
    return f"Did you mean {lowered[close[0]]}?" if close else ""


def _none_of(value: Any, known: tuple[str, ...]) -> Refusal | None:
    if isinstance(value, str) and value in known:
        return None
    mend = near(value, known) if isinstance(value, str) else ""
    return f"not one of {', '.join(known)}", mend or f'Write "{known[0]}".'


def _no_number(value: Any, kind: str) -> Refusal | None:
    whole, least, above, most = _NUMBERS[kind]
    unit = kind.partition(" ")[0]
    if not _is_number(value) or (whole and not isinstance(value, int)):
        what = f"not a whole number of {unit}" if whole else "not a number"
        return what, "Write digits only, without quotes." if whole else "Write digits, without quotes."
    if (least is not None and value < least) or (above is not None and value <= above):
        return "too small", f"It must be {f'{least} or more' if least is not None else f'more than {above}'}."
    if most is not None and value > most:
        return "too large", f"It is a share: {most} is all of them."
    return None


def _unlike(value: Any, kind: str) -> Refusal | None:
    match kind:
        case "text" | "table" | "column or count" if not isinstance(value, str):
            return "not a text", "Put it in quotes."
        case "text or number" if not isinstance(value, str) and not _is_number(value):
            return "neither a text nor a number", "Put it in quotes."
        case "texts":
            listed = value if isinstance(value, list | tuple) else [value]
            if not all(isinstance(one, str) and one for one in listed):
                return "not a list of texts", 'Write it like ["a", "b"].'
        case "flag" if not isinstance(value, bool):
            return "neither true nor false", "Write true or false, without quotes."
        case "statistic" if not isinstance(value, str) or not _STATISTIC.fullmatch(value):
            known = ("mean", "median", "min", "max")
            return "no statistic of a time", near(value, known) or "Write mean, median, min, max or p1 to p99."
        case "filter" if not isinstance(value, Mapping):
            return "not a filter", 'Write it like { industry = "Retail" }.'
        case "requirements":
            if not isinstance(value, Mapping) or not value or not all(_is_weight(one) for one in value.values()):
                return "not columns with their weights", "Write it like { amount = 2, close_date = 1 }."
        case "days by value" if isinstance(value, Mapping):
            return _no_days_by_value(value)
        case "days by value" if (refused := _no_number(value, "days")) is not None:
            return refused[0], f"{refused[1]} Or for some values others: {_BY_VALUE}."
        case "seconds by value":
            if not isinstance(value, Mapping) or any(_no_number(one, "seconds") for one in value.values()):
                return "not a table of seconds", "Write it like { high = 3600 }."
    return None


def _no_days_by_value(said: Mapping[str, Any]) -> Refusal | None:
    """Days for all, others for some values of a column: what a comparison takes in place of a number."""
    of = said.get("of")
    if set(said) != {"value", "by", "of"} or not isinstance(said["by"], str) or not isinstance(of, Mapping) or not of:
        return "not days by the values of a column", f"Write {_BY_VALUE}."
    return next(filter(None, (_no_number(one, "days") for one in (said["value"], *of.values()))), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_weight(rule: Any) -> bool:
    """A weight above 0, alone or with the condition it stands under."""
    if isinstance(rule, Mapping):
        if not set(rule) <= {"weight", "where"} or not isinstance(rule.get("where", {}), Mapping):
            return False
        rule = rule.get("weight")
    return _is_number(rule) and rule > 0

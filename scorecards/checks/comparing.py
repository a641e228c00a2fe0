"""What a column can be compared with, and how: a value of its own type, and an order only where it has one."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from scorecards.relations import Column

_ORDERING = ("gt", "gte", "lt", "lte", "between")
_NUMBERS = ("integer", "number", "money")


def unfit(column: Column, value: Any) -> str | None:
    """Why a value cannot be compared with a column; None when it can."""
    if column.type in ("any", "text"):
        fits = isinstance(value, str | int | float | date) or value is None
        return None if fits else "cannot be compared with a table."
    if column.type in ("boolean", "flag"):
        return None if isinstance(value, bool) or value in (0, 1) else f"is {value!r}, the column is true or false."
    if column.type in _NUMBERS:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return None if number else f"is {value!r}, the column holds numbers."
    if isinstance(value, date | datetime) or value == "today":
        return None
    if isinstance(value, str):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            return f"is {value!r}, the column holds dates: write one such as 2026-11-16."
        return None
    return f"is {value!r}, the column holds dates."


def unfit_operator(column: Column, operator: str, value: Any) -> tuple[str, str] | None:
    """Why a column cannot be compared in this way, and the mend; None when it can.

    The types are the closed ones of the tables; of custom columns nobody knows more than what they are compared with.
    """
    values = value if isinstance(value, list | tuple) else [value]
    if operator in _ORDERING and column.type == "text":
        if any(isinstance(one, int | float | Mapping) for one in values):
            return "orders texts by their letters: no number is above or below one.", "Compare a column of numbers."
    elif operator in (*_ORDERING, "before", "after") and column.type in ("boolean", "flag"):
        return "has no order: the column is true or false.", "Write = true or = false."
    if operator in ("before", "after") and column.type in ("text", *_NUMBERS):
        return f"is of dates: the column holds {_held(column)}.", "Write lt or gte, or name a column of dates."
    if operator == "contains":
        if column.type not in ("text", "any"):
            return f"looks into texts: the column holds {_held(column)}.", "Name a column of texts."
        if not isinstance(value, str) or not value:
            return "takes a text.", 'Write contains = "urgent".'
    return None


def is_empty(low: Any, high: Any) -> bool:
    """Is nothing between two edges? Of what has no order nobody knows."""
    try:
        return bool(low > high)
    except TypeError:
        return False


def _held(column: Column) -> str:
    return {"boolean": "true or false", "flag": "true or false", "money": "amounts"}.get(column.type, f"{column.type}s")

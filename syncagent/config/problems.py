"""How a mistake in the configuration is said: one plain sentence with its place, its value and the mend.

Turns what pydantic, tomllib and the models' own checks report into those sentences.
"""

import difflib
import json
import re
import types
import typing
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from typing import Any, Literal

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from syncagent.config.toml import KeyPath

DURATION_MEND = 'Write a number and s, m, h or d, such as "15m".'

#: pydantic's error type -> (sentence, mend); filled from the error's `ctx`.
SENTENCES: Mapping[str, tuple[str, str]] = {
    "string_type": ("not a text", "Put it in quotes."),
    "int_type": ("not a whole number", "Write digits only, without quotes."),
    "int_parsing": ("not a whole number", "Write digits only, without quotes."),
    "int_from_float": ("not a whole number", "Leave out the fraction."),
    "int_parsing_size": ("too large a number", ""),
    "float_type": ("not a number", "Write digits, with a point for the fraction, without quotes."),
    "float_parsing": ("not a number", "Write digits, with a point for the fraction, without quotes."),
    "finite_number": ("not a number we can count with", "Write digits, with a point for the fraction."),
    "decimal_type": ("not a number", "Write digits, with a point for the fraction, without quotes."),
    "decimal_parsing": ("not a number", "Write digits, with a point for the fraction, without quotes."),
    "bool_type": ("neither true nor false", "Write true or false, without quotes."),
    "bool_parsing": ("neither true nor false", "Write true or false, without quotes."),
    "list_type": ("not a list", 'Put it in square brackets, like ["a", "b"].'),
    "tuple_type": ("not a list", 'Put it in square brackets, like ["a", "b"].'),
    "set_type": ("not a list", 'Put it in square brackets, like ["a", "b"].'),
    "frozen_set_type": ("not a list", 'Put it in square brackets, like ["a", "b"].'),
    "dict_type": ("not a table", "Write it as a table, like {{ key = value }}."),
    "mapping_type": ("not a table", "Write it as a table, like {{ key = value }}."),
    "model_type": ("not a table", "Write it as a table, like {{ key = value }}."),
    "model_attributes_type": ("not a table", "Write it as a table, like {{ key = value }}."),
    "dataclass_type": ("not a table", "Write it as a table, like {{ key = value }}."),
    "date_type": ("not a date", "Write it like 2026-12-24, without quotes."),
    "date_parsing": ("not a date", "Write it like 2026-12-24, without quotes."),
    "date_from_datetime_parsing": ("not a date of the calendar", "Write it like 2026-12-24, without quotes."),
    "date_from_datetime_inexact": ("a date without a time is wanted", "Write it like 2026-12-24."),
    "datetime_type": ("not an instant", "Write it like 2026-12-24T08:00:00Z, without quotes."),
    "datetime_parsing": ("not an instant", "Write it like 2026-12-24T08:00:00Z, without quotes."),
    "datetime_from_date_parsing": ("not an instant", "Write it like 2026-12-24T08:00:00Z, without quotes."),
    "time_type": ("not a time of day", "Write it like 09:00:00."),
    "time_parsing": ("not a time of day", "Write it like 09:00:00."),
    "missing": ("missing", "Add it."),
    "literal_error": ("not one of {expected}", ""),
    "enum": ("not one of {expected}", ""),
    "greater_than": ("too small", "It must be more than {gt}."),
    "greater_than_equal": ("too small", "It must be {ge} or more."),
    "less_than": ("too large", "It must be less than {lt}."),
    "less_than_equal": ("too large", "It must be {le} or less."),
    "multiple_of": ("not a multiple of {multiple_of}", ""),
    "string_too_short": ("too short", "Write at least {min_length} characters."),
    "string_too_long": ("too long", "Write at most {max_length} characters."),
    "too_short": ("too few", "Give at least {min_length}."),
    "too_long": ("too many", "Give at most {max_length}."),
    "string_pattern_mismatch": ("not of the form wanted", "It must fit the pattern {pattern}"),
    "string_unicode": ("not a text", "Put it in quotes."),
    "recursion_loop": ("refers to itself", "Break the circle."),
    "none_required": ("not expected here", "Remove it."),
}

#: Start of what tomllib says -> (sentence, mend).
_SYNTAX: Mapping[str, tuple[str, str]] = {
    "Cannot declare": ("this table is written twice", "Give one of them another name, or join the two."),
    "Cannot overwrite": ("this key is written twice", "Keep one of the two."),
    "Duplicate inline table key": ("this key is written twice", "Keep one of the two."),
    "Cannot mutate": ("this table is already complete where it was first written", "Write all its keys there."),
    "Cannot redefine": ("this name is already a table", "Give it another name."),
    "Invalid date": ("there is no such date or time in the calendar", "Write a date like 2026-12-24."),
    "Invalid value": ("not a value TOML knows", 'Put texts in quotes, like "acme"; write true, 12 or 2026-12-24 bare.'),
    "Invalid hex": ("not a value TOML knows", "Put texts in quotes."),
    "Expected '='": ("a key without a value", "Write it like key = value."),
    "Expected ']'": ("the table's name is not closed", "Write it like [source.sf]."),
    "Expected newline": ("something follows where the line should end", "Put texts in quotes, and one key on a line."),
    "Invalid statement": ("not a key and not a table", "Write key = value or [table]."),
    "Invalid initial character": ("not a name TOML knows", "Use letters, digits, _ and - in names."),
    "Unclosed array": ("a list is not closed", "Add the ] that is missing."),
    "Unclosed inline": ("an inline table is not closed", "Add the } that is missing."),
    "Unterminated": ("a text is not closed", "Add the quote that is missing."),
    "Illegal character '\\n'": ("a text is not closed on its line", "Add the quote that is missing."),
    "Illegal character": ("a character TOML does not allow here", "Remove it."),
    "Unescaped": ("a lone \\ in a text", "Write \\\\, or put the text in single quotes."),
}


def syntax_sentence(message: str) -> tuple[str, str]:
    """What a fault tomllib reports means, and its mend."""
    for start, found in _SYNTAX.items():
        if message.startswith(start):
            return found
    plain = re.sub(r" \(at .*\)$", "", message)
    return (plain[:1].lower() + plain[1:], "See https://toml.io for how it is written.")


def sentence(error: ErrorDetails) -> tuple[str, str]:
    """What one pydantic error means, and its mend."""
    kind = error["type"]
    context = error.get("ctx", {})
    if kind in ("value_error", "assertion_error"):
        return own_sentence(str(context.get("error", error["msg"])), error["input"])
    if kind.startswith("union_tag"):
        return ("not one of the kinds there are", "")
    message, mend = SENTENCES.get(kind, (_plain(error["msg"]), ""))
    if kind in ("literal_error", "enum"):
        expected = [word.strip("'\"") for word in re.split(r", | or ", str(context.get("expected", "")))]
        return (f"not one of {', '.join(expected)}", did_you_mean(error["input"], expected))
    plain = {key: int(v) if isinstance(v, float) and v.is_integer() else v for key, v in context.items()}
    return (message.format_map(_Known(plain)), mend.format_map(_Known(plain)))


def own_sentence(text: str, value: object = None) -> tuple[str, str]:
    """Split a model's own sentence into what and mend; drop the value when it opens it (it is shown before)."""
    text = " ".join(text.split())
    if "is not a duration" in text:
        return ("not a duration", DURATION_MEND)
    for opening in (f'"{value}" ', f"'{value}' "):
        if text.startswith(opening) and not text.startswith(f"{opening}and "):
            text = text.removeprefix(opening).removeprefix("is ")
    what, _, mend = text.partition("; ")
    if not mend:
        what, stop, mend = text.partition(". ")
        what += stop.strip() if not mend else ""
    if not mend and re.search(r": (write|use|give|set|name|add|remove)\b", what):
        what, _, mend = what.partition(": ")
    mend = mend.strip()
    if mend and mend[-1] not in ".?!":
        mend += "."
    return (what.strip().rstrip("."), mend[:1].upper() + mend[1:])


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """`Did you mean "x"?` where a known name is near, else empty."""
    names = [word for word in known if word]
    lowered = {word.lower(): word for word in names}
    near = difflib.get_close_matches(str(name).lower(), list(lowered), n=1, cutoff=0.6)
    return f'Did you mean "{lowered[near[0]]}"?' if near else ""


def shown(value: object) -> str:
    """A value as it stands in the file, short; empty for tables, which say nothing in one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        value = re.sub(r"(?<=//)[^/@\s]*@", "***@", value)
        return json.dumps(value if len(value) <= 60 else value[:57] + "...", ensure_ascii=False)
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, list):
        parts = [shown(item) for item in value[:3]]
        return f"[{', '.join(parts)}{', ...' if len(value) > 3 else ''}]" if all(parts) else ""
    return ""


def dotted(path: KeyPath) -> str:
    """A key path as people write it; items of lists are counted from 1: `scorecard.weekly.to[2]`."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key + 1}]"
        else:
            bare = key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)
            text += f".{bare}" if text else bare
    return text


def place_in(tree: Any, where: Iterable[int | str], *, is_missing: bool) -> KeyPath:
    """pydantic's `loc` as a path of the file: without the names of union branches and validators it carries."""
    path: KeyPath = ()
    steps = list(where)
    for index, step in enumerate(steps):
        if has_step(tree, step):
            tree = tree[step]
        elif not (is_missing and index == len(steps) - 1):
            continue
        path = (*path, step)
    return path


def has_step(tree: Any, step: int | str) -> bool:
    """Whether `tree` is a table with that key, or a list with that item."""
    if isinstance(tree, Mapping):
        return step in tree
    return isinstance(tree, (list, tuple)) and isinstance(step, int) and 0 <= step < len(tree)


def keys_at(model: type[BaseModel], path: Iterable[str | int]) -> list[str]:
    """The keys a table at `path` within `model` may have, as written in the file."""
    models: list[type[BaseModel]] = [model]
    for step in path:
        found: list[type[BaseModel]] = []
        for each in models:
            for name, info in each.model_fields.items():
                if step in (name, info.alias):
                    found.extend(_models_in(info.annotation))
        models = found or (models if isinstance(step, int) else [])
    return [info.alias or name for each in models for name, info in each.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) is Literal:
        return []
    parts = typing.get_args(annotation)
    if isinstance(annotation, types.GenericAlias | types.UnionType) or parts:
        return [model for part in parts for model in _models_in(part)]
    return []


def _plain(message: str) -> str:
    message = re.sub(r"^(Value error|Assertion failed), ", "", message).rstrip(".")
    return message[:1].lower() + message[1:]


def _number(value: float) -> str:
    try:
        return str(value)[:40]
    except ValueError:  # an integer of thousands of digits
        return "a very long number"


class _Known(dict[str, Any]):
    """Leaves out what an error's context does not say."""

    def __missing__(self, key: str) -> str:
        return "the limit"

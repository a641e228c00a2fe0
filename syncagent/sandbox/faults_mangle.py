"""Ways to spoil a JSON answer of either CRM: functions from the document to what is sent in its place.

A change that returns bytes replaces the body; anything else is written as JSON. Those that take arguments or
remember something are functions that return a change.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

Change = Callable[[Any], Any]
_LISTS = ("results", "records", "events")

#: Text a record may hold that someone further on may trip over.
HOSTILE: Mapping[str, str] = {
    "script": "<script>alert(1)</script>",
    "crlf": "Ann\r\nBcc: all@example.org",
    "huge": "x" * 10_000_000,
    "nul": "a\x00b",
    "surrogate": "a\ud800b",
    "rtl": "\u202egpj.exe",
    "formula": "=HYPERLINK(1)",
    "emoji": "Zoë 👩‍🚒",
    "quotes": "a\"b'c\nd",
    "blank": "   ",
}
#: Amounts as HubSpot's text; `SF_AMOUNTS` holds those a JSON number can say.
AMOUNTS: Mapping[str, str] = {
    "nan": "NaN", "inf": "Infinity", "minus_inf": "-Infinity", "enormous": "1e308", "two_63": "9223372036854775808",
    "negative": "-12.5", "noise": "8.6000000000000004", "words": "ten", "empty": "", "tiny": "1e-320",
}  # fmt: skip
SF_AMOUNTS: Mapping[str, float | int] = {
    "nan": float("nan"), "inf": float("inf"), "minus_inf": float("-inf"), "enormous": 1e308, "two_63": 2**63,
    "negative": -12.5, "noise": 8.6000000000000004,
}  # fmt: skip


def rows_of(document: Any) -> list[Any]:
    """The list of records in an answer of either CRM (the list itself, not a copy)."""
    for name in _LISTS:
        if isinstance(document, dict) and isinstance(document.get(name), list):
            found: list[Any] = document[name]
            return found
    return document if isinstance(document, list) else []


# -- which answer: for a fault's `when` --------------------------------------------------------------------------------


def has_next(document: Any) -> bool:
    """More pages follow."""
    return bool(document.get("paging") or document.get("nextRecordsUrl") or document.get("hasMore"))


def last_page(document: Any) -> bool:
    """A page of records that none follows."""
    return any(name in document for name in _LISTS) and not has_next(document)


def holds(id_: str) -> Callable[[Any], bool]:
    """An answer with the record of this id."""
    return lambda document: any(id_ in (row.get("id"), row.get("Id")) for row in rows_of(document))


# -- records -----------------------------------------------------------------------------------------------------------


def with_value(name: str, value: Any, *, id_: str | None = None) -> Change:
    """Put a value in a field of every record, or of the one with this id."""

    def change(document: Any) -> Any:
        for row in rows_of(document):
            if id_ is None or id_ in (row.get("id"), row.get("Id")):
                row.get("properties", row)[name] = value
        return document

    return change


def without(name: str) -> Change:
    """Take a key out of every record: `id`, `properties`, a field."""

    def change(document: Any) -> Any:
        for row in rows_of(document):
            row.pop(name, None)
            row.get("properties", {}).pop(name, None)
        return document

    return change


def _doubled(document: Any) -> Any:
    rows = rows_of(document)
    rows += list(rows)
    return document


def _reversed(document: Any) -> Any:
    rows_of(document).reverse()
    return document


# -- pages -------------------------------------------------------------------------------------------------------------


def fewer_rows(number: int) -> Change:
    """A page without its last records; the next page does not bring them."""

    def change(document: Any) -> Any:
        rows = rows_of(document)
        del rows[max(0, len(rows) - number) :]
        return document

    return change


def total_off(by: int) -> Change:
    """A total that is not the number of records."""

    def change(document: Any) -> Any:
        for name in ("total", "totalSize"):
            if name in document:
                document[name] += by
        return document

    return change


def cyclic_token(*tokens: str) -> Change:
    """Every page has a next one, by these tokens in turn, for ever."""
    turn = 0

    def change(document: Any) -> Any:
        nonlocal turn
        token = tokens[turn % len(tokens)]
        turn += 1
        if "records" in document:
            return document | {"done": False, "nextRecordsUrl": token}
        if "events" in document:
            return document | {"hasMore": True, "offset": token}
        return document | {"paging": {"next": {"after": token, "link": f"https://api.hubapi.com/?after={token}"}}}

    return change


def link_to(url: str) -> Change:
    """The next page is said to be at another address."""

    def change(document: Any) -> Any:
        if "nextRecordsUrl" in document:
            document["nextRecordsUrl"] = url
        elif "paging" in document:
            document["paging"]["next"]["link"] = url
        return document

    return change


def repeated_page() -> Change:
    """A page is answered with the page before it, its token too. Use with `times=None` and clear, or `times=2`."""
    before: Any = None

    def change(document: Any) -> Any:
        nonlocal before
        shown = document if before is None else before
        before = document
        return json.loads(json.dumps(shown))

    return change


def _no_more(document: Any) -> Any:
    document.pop("paging", None)
    document.pop("nextRecordsUrl", None)
    return document


def _endless(document: Any) -> Any:
    """Salesforce: not done, and no word of where it goes on."""
    document.pop("nextRecordsUrl", None)
    return document | {"done": False}


def _emptied(document: Any) -> Any:
    rows_of(document).clear()
    return document


def _named(value: Any) -> Change:
    def change(document: Any) -> Any:
        names = [name for name in _LISTS if name in document]
        return {**document, **dict.fromkeys(names, value)} if value is not _GONE else _dropped(document, names)

    return change


_GONE: Any = object()


def _dropped(document: Any, names: list[str]) -> Any:
    return {name: value for name, value in document.items() if name not in names}


def partly(category: str = "INTERNAL_ERROR") -> Change:
    """HubSpot's 207 (give the fault `status=207`): every other record is an error that may be gone a moment later."""

    def change(document: Any) -> Any:
        rows = rows_of(document)
        ids = [row.get("id") or row["from"]["id"] for row in rows[1::2]]
        del rows[1::2]
        message = "Something went wrong while reading these."
        error = {"status": "error", "category": category, "message": message, "context": {"ids": ids}}
        return document | {"numErrors": 1, "errors": [error]}

    return change


#: Changes by name.
MANGLES: Mapping[str, Change] = {
    "no_results": _named(_GONE),
    "null_results": _named(None),
    "results_no_list": _named({"0": {}}),
    "empty_object": lambda _: {},
    "empty_list": lambda _: [],
    "null": lambda _: None,
    "text": lambda _: "ok",
    "empty_page": _emptied,
    "no_more": _no_more,
    "endless": _endless,
    "no_ids": lambda document: without("Id")(without("id")(document)),
    "doubled": _doubled,
    "reversed": _reversed,
    "utf_16": lambda document: json.dumps(document).encode("utf-16"),
    "latin_1": lambda document: json.dumps(document, ensure_ascii=False).encode("latin-1", "replace"),
    "not_utf_8": lambda document: json.dumps(document).encode()[:-1] + b'"\xff\xfe"}',
    "partly": partly(),
}

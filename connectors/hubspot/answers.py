"""Whether an answer is what was asked for, and what it says of the next page; every function takes parsed JSON.

HubSpot (or what stands before it) may answer 200 with something else altogether. A page that is not clearly whole is a
source error: taken for an empty one, it would lose records without a word.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from connectors.errors import TransientError

Json = dict[str, Any]


def check_object(document: Any) -> Json:
    """A JSON object."""
    if not isinstance(document, dict):
        raise TransientError("HubSpot answered with something that is no object.")
    return document


def check_list(document: Any) -> Json:
    """A JSON list (the oldest endpoints answer with one), as `{"results": [...]}`."""
    if isinstance(document, list) and all(isinstance(one, dict) for one in document):
        return {"results": document}
    raise TransientError("HubSpot answered with something that is no list.")


def check_results(document: Any) -> Json:
    """An object whose `results` are objects with an id (or, where they are described by it, a name)."""
    results = document.get("results") if isinstance(document, dict) else None
    try:
        ids = [one["id"] for one in results]  # type: ignore[union-attr]
        is_whole = isinstance(results, list) and all(ids)
    except (KeyError, TypeError):  # those that are described by a name have no id
        is_whole = isinstance(results, list) and all(isinstance(one, dict) and _has_name(one) for one in results)
    if not is_whole:
        raise TransientError("HubSpot answered without results, or with results without ids.")
    checked: Json = document
    return checked


def is_archived(one: Mapping[str, Any]) -> bool:
    """Whether an object says so of itself: a list of archived ones may come with a page of live ones."""
    return bool(one.get("archived") or one.get("archivedAt"))


def check_associations(document: Any) -> Json:
    """The answer to a question for associations: whose they are, and a list of others."""
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, list) or not all(
        isinstance(one, dict)
        and isinstance(one.get("from"), dict)
        and one["from"].get("id")
        and isinstance(one.get("to"), list)
        for one in results
    ):
        raise TransientError("HubSpot answered a question for associations without results.")
    checked: Json = document
    return checked


def check_events(document: Any) -> Json:
    """A page of the log of marketing mail."""
    events = document.get("events") if isinstance(document, dict) else None
    if not isinstance(events, list) or not all(isinstance(one, dict) for one in events):
        raise TransientError("HubSpot answered a question for mail events without events.")
    checked: Json = document
    return checked


def next_after(document: Mapping[str, Any]) -> str | None:
    """The mark of the next page, None on the last one. A page without rows may still have a next one."""
    paging = document.get("paging")
    link = paging.get("next") if isinstance(paging, Mapping) else None
    after = link.get("after") if isinstance(link, Mapping) else None
    return str(after) if after not in (None, "") else None


def total_of(document: Mapping[str, Any]) -> int | None:
    """How many there are in all, where the answer says so."""
    total = document.get("total")
    return total if isinstance(total, int) and not isinstance(total, bool) and total >= 0 else None


def failures(document: Mapping[str, Any]) -> tuple[set[str], set[str], bool]:
    """What a batch that worked in part (HTTP 207) leaves out: (ids that are not there, ids to ask for again, whether
    something failed that names no ids).

    An id that is there but has no associations is in neither: that is an answer.
    """
    missing: set[str] = set()
    failed: set[str] = set()
    given = document.get("errors")
    errors = [error for error in given if isinstance(error, Mapping)] if isinstance(given, list) else []
    is_unclear = False
    named = 0
    for error in errors:
        ids = _ids_of(error.get("context"))
        named += max(len(ids), 1)  # counted by error or by id, whichever HubSpot means
        category = str(error.get("category") or "")
        if not ids:
            is_unclear = True
        elif "NO_ASSOCIATIONS" in _words(error):
            continue
        elif category in ("", "OBJECT_NOT_FOUND", "VALIDATION_ERROR"):
            missing |= ids
        else:
            failed |= ids
    count = document.get("numErrors")
    is_unclear = is_unclear or (isinstance(count, int) and count > named)
    return missing - failed, failed, is_unclear


def _ids_of(context: Any) -> set[str]:
    found: set[str] = set()
    for name in ("ids", "id", "fromObjectId", "objectId"):
        value = context.get(name) if isinstance(context, Mapping) else None
        values: Iterable[Any] = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
        found |= {str(one) for one in values if one not in (None, "")}
    return found


def _words(error: Mapping[str, Any]) -> str:
    return f"{error.get('category') or ''} {error.get('subCategory') or ''}".upper()


def _has_name(one: Mapping[str, Any]) -> bool:
    return bool(one.get("id") or one.get("name"))

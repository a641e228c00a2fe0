"""Pages of a query whose field list does not fit into one call: asked for in parts that are merged by Id.

A row that changed between two parts would be half old and half new. Read in the order of its stamp, it is left out:
its new version stands later in the same order. Read in the order of ids, it is read again until it stands still.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from connectors.errors import TransientError
from connectors.salesforce.answers import QueryPage
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.query import STAMP, Row, Select, by_room, id_list, merge

_ROUNDS = 5


def pages(client: SalesforceClient, select: Select) -> Iterator[QueryPage]:
    """The pages of `select`, with all its fields."""
    first, *others = select.parts(client.limits.room)
    page = client.query(first.soql)
    while True:
        if others and page.records:
            rows = _complete(client, [first, *others], page.records)
            page = replace(page, records=rows, dropped=len(page.records) - len(rows))
        link = page.next_link
        yield page
        if not link:
            return
        del page  # two decoded pages at once, in each stream, are most of a sync's memory
        page = client.query_more(link)


def by_ids(client: SalesforceClient, select: Select, ids: Sequence[str]) -> list[Row]:
    """The rows of these ids as they are now, with all fields of `select`; its conditions are left out."""
    parts = [replace(part, where=()) for part in replace(select, where=()).parts(client.limits.room)]
    whole: dict[str, Row] = {}
    left = list(dict.fromkeys(ids))
    for _ in range(_ROUNDS):
        rows = {row["Id"]: row for row in _of_ids(client, parts[0], left)}
        moved: set[str] = set()
        for part in parts[1:]:
            moved |= _add(rows, {row["Id"]: row for row in _of_ids(client, part, list(rows))})
        whole |= {row_id: row for row_id, row in rows.items() if row_id not in moved}
        left = sorted(moved)
        if not left:
            return list(whole.values())
    raise TransientError(f"Some records of {select.object} change faster than they can be read.")


def _complete(client: SalesforceClient, parts: Sequence[Select], rows: list[Row]) -> list[Row]:
    """`rows` of the first part with the fields of the others, in their order."""
    first = parts[0]
    by_id = {row["Id"]: row for row in rows}
    moved: set[str] = set()
    for part in parts[1:]:
        soql = part.over(rows[0], rows[-1]).soql
        moved |= _add(by_id, {row["Id"]: row for row in client.query_all(soql)})
    if moved and first.by == "Id":
        names = tuple(dict.fromkeys(name for part in parts for name in part.names))
        again = {row["Id"]: row for row in by_ids(client, replace(first, names=names), sorted(moved))}
        by_id |= again
        moved -= set(again)
    return [by_id[row["Id"]] for row in rows if row["Id"] not in moved]


def _add(rows: dict[str, Row], more: dict[str, Row]) -> set[str]:
    """Merge `more` into `rows`; the ids of those it lacks or has in another version."""
    moved = set()
    for row_id, row in rows.items():
        found = more.get(row_id)
        if found is None or found.get(STAMP) != row.get(STAMP):
            moved.add(row_id)
        else:
            merge(row, found)
    return moved


def _of_ids(client: SalesforceClient, part: Select, ids: Sequence[str]) -> Iterator[Row]:
    for group in by_room(ids, part.soql, client.limits.room):
        yield from client.query_ids(lambda some: replace(part, where=(f"Id IN {id_list(some)}",)).soql, group)

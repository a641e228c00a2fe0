"""Rows that belong to the records of a page, read by their parents' ids: history, lines, subjects of surveys."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.query import Row, by_room, id_list

_IDS_A_CALL = 400  # no limit of the vendor: so that a few calls share the work, and none brings too much to hold


def children(
    client: SalesforceClient,
    name: str,
    names: Sequence[str],
    parent: str,
    ids: Iterable[Any],
    *,
    also: str = "",
    by: str = "CreatedDate",
) -> Iterator[Row]:
    """Rows of object `name` whose `parent` is one of `ids`, those of one parent by `by` and Id; a few calls at once."""
    base = f"SELECT {', '.join(names)} FROM {name} WHERE {parent} IN (){also} ORDER BY {parent}, {by}, Id"
    condition = f" AND {also}" if also else ""

    def soql(group: Sequence[str]) -> str:
        where = f"{parent} IN {id_list(group)}{condition}"
        return f"SELECT {', '.join(names)} FROM {name} WHERE {where} ORDER BY {parent} ASC, {by} ASC, Id ASC"

    def read(group: Sequence[str]) -> list[Row]:
        rows = client.query_ids(soql, group)
        # Asked for in this order; but a history put together in another one would tell another story.
        return sorted(rows, key=lambda row: (str(row.get(by) or ""), str(row["Id"])))

    groups = by_room([str(one) for one in ids], base, client.limits.room, at_most=_IDS_A_CALL)
    for rows in client.together(read, groups):
        yield from rows

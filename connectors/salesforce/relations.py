"""Whom else an activity is about: an org with Shared Activities keeps up to 50 people of a task or meeting.

The first one stands in the activity itself (WhoId, WhatId); all of them are rows of TaskRelation and EventRelation, the
people invited to a meeting among them. Adding one need not stamp the activity, so they have feeds of their own.
"""

from collections.abc import Sequence
from typing import NamedTuple

from connectors import parse
from connectors.base import Children, Record, Reject
from connectors.salesforce import fields as data
from connectors.salesforce.children import children
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.errors import UnknownField
from connectors.salesforce.query import Row
from connectors.salesforce.schema import OrgSchema

TABLE = "activity_links"


class Links(NamedTuple):
    """The further links of some activities, and that these are all."""

    records: list[Record]
    whole: Children


def is_wanted(schema: OrgSchema, name: str) -> bool:
    """Whether the relations of an activity object are to be had."""
    theirs = data.RELATIONS.get(name, "")
    if not theirs or not schema.can_read(name) or not schema.can_read(theirs):
        return False
    return all(schema.offer(theirs).has(field) for field in (data.HANGING[theirs], "RelationId"))


def links(
    client: SalesforceClient,
    schema: OrgSchema,
    name: str,
    rows: Sequence[Row],
    records: Sequence[Record],
    rejects: list[Reject],
) -> Links | None:
    """What the activities of `records` (one for each of `rows`) are about beside their own columns; None: not known."""
    if not rows or not is_wanted(schema, name):
        return None
    theirs = data.RELATIONS[name]
    parent = data.HANGING[theirs]
    also = "IsDeleted = false" if schema.offer(theirs).has("IsDeleted") else ""
    fields = schema.map(theirs)
    try:
        names = ("Id", *fields.theirs)
        found = list(children(client, theirs, names, parent, [row["Id"] for row in rows], also=also))
    except UnknownField as error:
        if not schema.forget(theirs, error.field):
            raise
        return None  # hidden since it was described: what is stored stays
    own = {record["source_id"]: record for record in records}
    made: dict[str, Record] = {}
    for row in found:
        activity, other = parse.salesforce_id(row[parent]), str(row.get("RelationId") or "")
        column = data.PREFIXES.get(other[:3])
        record = own.get(activity)
        if column is None or record is None:
            continue  # users and rooms that are invited are no links
        other = parse.salesforce_id(other)
        if record.get(column) == other:
            continue
        table = data.TABLE_OF_COLUMN[column]
        source_id = f"{activity}:{table}:{other}"
        made[source_id] = fields.record(row, source_id, rejects) | {
            "source_id": source_id,
            "source_instance": record["source_instance"],
            "object": table,
        }
    return Links(list(made.values()), Children(TABLE, "activity_id", list(own)))

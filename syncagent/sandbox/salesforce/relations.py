"""Whom a task or meeting of several people is about, as Salesforce rows with stamps of their own."""

from collections.abc import Iterator
from typing import Any

from syncagent.sandbox.clock import sf_instant
from syncagent.sandbox.model import Activity
from syncagent.sandbox.salesforce.activities import id_of
from syncagent.sandbox.salesforce.commerce import native, twin

Row = dict[str, Any]

_PREFIXES = {"Task": "0RT", "Event": "0RE"}


def relation_rows(activity: Activity, sobject: str, row: Row, base: Row) -> Iterator[tuple[str, Row]]:
    """One row for each: the first person and the record it is about too, and who is invited to a meeting.

    `row` is the activity's own, `base` holds its stamps. One set or cut stamps its own row, not the activity.
    """
    if not activity.relations or sobject not in _PREFIXES:
        return
    theirs, parent = f"{sobject}Relation", {f"{sobject}Id": row["Id"]}
    own_id = native(row["Id"], _PREFIXES[sobject])
    first = [("W", "WhoId"), ("X", "WhatId"), *([("Y", "OwnerId")] if sobject == "Event" else [])]
    for letter, name in first:
        if row[name]:
            more = {"Id": twin(own_id, letter), "RelationId": row[name], "IsWhat": name == "WhatId"}
            yield theirs, base | parent | more
    for relation in activity.relations:
        more = {"Id": relation.sf, "RelationId": id_of(relation.contact), "IsWhat": False}
        if not base["IsDeleted"]:
            stamp = sf_instant(relation.at)
            more |= {"IsDeleted": relation.gone, "SystemModstamp": stamp, "LastModifiedDate": stamp}
        yield theirs, base | parent | more

"""When a case was first answered, by Salesforce's own word: the milestone of an entitlement that means it.

A milestone is a row below its case (CaseMilestone), of a type the org names as it likes (MilestoneType). Completing it
need not stamp the case, so it has a feed of its own (`feeds.feeds_of`), which reads the case again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from connectors import parse
from connectors.base import Record
from connectors.salesforce import fields as data
from connectors.salesforce.children import children
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.errors import UnknownField
from connectors.salesforce.query import Row, id_list
from connectors.salesforce.schema import OrgSchema
from connectors.salesforce.settings import SalesforceSettings

COLUMN = "first_response_at"
_MEANT = "first response"
_NAMES = ("CaseId", "CompletionDate", "MilestoneTypeId")


def is_wanted(schema: OrgSchema) -> bool:
    """Whether milestones are to be had, and no field of the case itself feeds the column."""
    name = data.MILESTONES
    if (
        not schema.can_read("Case")
        or not schema.can_read(name)
        or not all(schema.offer(name).has(field) for field in _NAMES)
    ):
        return False
    return not any(COLUMN in columns for columns in schema.map("Case").columns_by_field.values())


def answer_types(types: Iterable[Mapping[str, Any]], settings: SalesforceSettings) -> tuple[str, ...]:
    """The ids of the milestone types that mean a first response.

    `values.tickets.first_response_at` names them (`{ "Initial reply" = true }`), else their name says so.
    """
    chosen = settings.values.get("tickets", {}).get(COLUMN)
    named = {name.strip().lower() for name, counts in (chosen or {}).items() if counts}
    found = []
    for row in types:
        name = str(row.get("Name") or "").strip().lower()
        if name in named if chosen else _MEANT in name:
            found.append(parse.salesforce_id(row["Id"]))
    return tuple(sorted(found))


def warnings(types: Sequence[str]) -> list[str]:
    """What `check` says where there are milestones, and none of them means a first response."""
    if types:
        return []
    told = 'no MilestoneType with "first response" in its name can be read'
    return [f"tickets: {told}, nor one of values.tickets.{COLUMN}; {COLUMN} left empty"]


def fill(
    client: SalesforceClient, schema: OrgSchema, rows: Sequence[Row], records: Sequence[Record], types: Sequence[str]
) -> None:
    """Set the column of `records` (one for each of the Case `rows`): the earliest completion, None while there is none.

    Of the ids of `types`; without one nothing is known of any case.
    """
    if not rows or not types:
        return
    also = f"MilestoneTypeId IN {id_list(types)}"
    if schema.offer(data.MILESTONES).has("IsDeleted"):
        also += " AND IsDeleted = false"
    names = ("Id", "CaseId", "CompletionDate")
    try:
        found = list(children(client, data.MILESTONES, names, "CaseId", [row["Id"] for row in rows], also=also))
    except UnknownField as error:
        if not schema.forget(data.MILESTONES, error.field):
            raise
        return  # hidden since it was described: what is stored of it stays
    answers: dict[str, str] = {}
    for row in found:
        if row.get("CompletionDate"):
            case, at = parse.salesforce_id(row["CaseId"]), parse.instant(row["CompletionDate"])
            answers[case] = min(at, answers.get(case, at))
    for record in records:
        record[COLUMN] = answers.get(record["source_id"])

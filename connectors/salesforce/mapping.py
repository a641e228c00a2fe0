"""Turns rows of one Salesforce object into what a page holds: records, deletions, merges, and what belongs to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from connectors import parse
from connectors.base import Children, Merge, Page, Record, Reject, Tombstone
from connectors.fields import FieldMap
from connectors.salesforce import fields as data
from connectors.salesforce import milestones, relations
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.history import Belongings
from connectors.salesforce.query import STAMP, Row
from connectors.salesforce.records import Known, finish
from connectors.salesforce.schema import OrgSchema


@dataclass(frozen=True, slots=True)
class With:
    """What comes along with the records of a page."""

    history: bool = True
    lines: bool = True


ALL = With()
#: A first read: the lines have a feed of their own, which brings every one of them.
NO_LINES = With(lines=False)
#: A reconciliation: what happened does not change, what belongs together may.
NO_HISTORY = With(history=False)


class Mapper:
    """Maps rows of one org for one stream. Not shared between threads."""

    def __init__(
        self,
        client: SalesforceClient,
        schema: OrgSchema,
        known: Known,
        *,
        instance: str,
        survey_type: str | None = None,
    ) -> None:
        self._client = client
        self._schema = schema
        self._known = known
        self._instance = instance
        self._survey_type = survey_type
        self._belongings = Belongings(client, schema, instance=instance)

    @property
    def answer_types(self) -> tuple[str, ...]:
        """The milestone types that are a first response."""
        return self._known.answer_types

    @property
    def clock(self) -> str:
        """The vendor's clock by which it is told what has come to pass."""
        return self._known.now

    def see_clock(self, clock: str) -> None:
        """From now on tell by this clock: a long read must not tell by the one it began at."""
        self._known.now = clock

    def page(self, name: str, rows: Sequence[Row], cursor: str, along: With = ALL) -> Page:
        """The mapped page, without bookmark."""
        fields = self._schema.map(name)
        records: list[Record] = []
        tombstones: list[Tombstone] = []
        merges: list[Merge] = []
        rejects: list[Reject] = []
        live: list[Row] = []
        for row in rows:
            source_id = parse.salesforce_id(row["Id"])
            if row.get("IsDeleted"):
                # A meeting's end, by which it may be read, is no deletion.
                stamp = parse.instant_or_none(row.get(STAMP)) or parse.instant_or_none(row.get(cursor))
                into = row.get("MasterRecordId")
                if into:
                    merges.append(Merge(fields.table, source_id, parse.salesforce_id(into), stamp))
                else:
                    tombstones.append(Tombstone(fields.table, source_id, stamp))
                continue
            live.append(row)
            records.append(self._record(name, row, source_id, fields, rejects))
            if row.get("ActivityId"):  # the Task that mirrors a mail is the same touch: count it once
                stamp = parse.instant_or_none(row.get(STAMP))
                merges.append(Merge(fields.table, parse.salesforce_id(row["ActivityId"]), source_id, stamp))
        by_table: dict[str, Sequence[Record]] = {fields.table: records}
        gone: list[Children] = []
        if along.history:
            self._belongings.complete(name, live, records)
            by_table |= self._belongings.history(name, live, self._known, rejects)
        if name == "Case":  # what is so now: a comparison brings it too
            milestones.fill(self._client, self._schema, live, records, self._known.answer_types)
        if shared := relations.links(self._client, self._schema, name, live, records, rejects):
            by_table[relations.TABLE] = shared.records
        if along.lines:
            lines, gone = self._belongings.lines(name, live, rejects)
            by_table |= lines
        if shared:
            gone = [*gone, shared.whole]
        return Page(by_table, tombstones, merges, rejects, gone, read=len(rows))

    def _record(self, name: str, row: Row, source_id: str, fields: FieldMap, rejects: list[Reject]) -> Record:
        record = fields.record(row, source_id, rejects)
        record["source_id"] = source_id
        record["source_instance"] = self._instance
        if name not in _WITHOUT_PAGE:
            record["url"] = f"{self._client.instance_url}/lightning/r/{name}/{source_id}/view"
        if "MasterRecordId" in row:
            record["merged_into"] = None  # a merge that was undone: the row is alive again
        finish(name, record, row, fields, self._known)
        if name == self._schema.survey_object:
            self._finish_survey(record, fields)
        elif name == "SurveyInvitation" and self._survey_type:
            record["survey_type"] = self._survey_type
        return record

    def _finish_survey(self, record: dict[str, Any], fields: FieldMap) -> None:
        for column, value in self._schema.survey_constants.items():
            if record.get(column) is None and column not in fields.lost:
                record[column] = value
        if "responded_at" in fields.lost:
            return
        if record.get("responded_at") is None and not self._schema.is_own_survey:
            record["responded_at"] = record.get("created_at")
        record.setdefault("responded_at", record.get("created_at"))


_WITHOUT_PAGE = frozenset({name for name, _, _ in data.LINES.values()} | {data.SURVEY_ANSWERS, "OpportunityHistory"})

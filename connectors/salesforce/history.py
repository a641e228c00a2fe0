"""What hangs on the records of a page and commits with them: stage and status history, lines, conversion times.

Reading it whole for every record that changed keeps it right by itself: no second position that could fall behind.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connectors import parse
from connectors.base import Children, Record, Reject
from connectors.salesforce import fields as data
from connectors.salesforce.children import children
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.errors import UnknownField
from connectors.salesforce.query import Row
from connectors.salesforce.records import Known, case_category, stage_state
from connectors.salesforce.schema import OrgSchema


class Belongings:
    """Reads what belongs to Opportunity, Case, Lead and Order rows; what an org hides or does not keep is left out."""

    def __init__(self, client: SalesforceClient, schema: OrgSchema, *, instance: str) -> None:
        self._client = client
        self._schema = schema
        self._instance = instance

    # -- history ---------------------------------------------------------------------------------------------------

    def history(self, name: str, rows: Sequence[Row], known: Known, rejects: list[Reject]) -> dict[str, list[Record]]:
        """History records by table for live rows; empty for other objects."""
        log = data.HISTORIES.get(name)
        if not rows or log is None or not self._schema.can_read(log):
            return {}
        if name == "Opportunity":
            return {"opportunity_stage_history": self._of_deals(rows, known, rejects)}
        if name == "Case":
            return {"ticket_status_history": self._of_cases(rows, known)}
        return {}

    def _of_deals(self, rows: Sequence[Row], known: Known, rejects: list[Reject]) -> list[Record]:
        changes = self._rows("OpportunityHistory", "OpportunityId", rows)
        fields = self._schema.map("OpportunityHistory")
        currencies = {parse.salesforce_id(row["Id"]): row.get(data.CURRENCY) for row in rows}
        records: list[Record] = []
        seq: dict[str, int] = {}
        for row in changes:
            source_id = parse.salesforce_id(row["Id"])
            if not row.get(data.CURRENCY):
                row = {**row, data.CURRENCY: currencies.get(parse.salesforce_id(row["OpportunityId"]))}
            record = fields.record(row, source_id, rejects)
            parent = record["opportunity_id"]
            seq[parent] = seq.get(parent, 0) + 1
            record |= {"source_id": source_id, "source_instance": self._instance, "seq": seq[parent]}
            if known.stages:
                meta = known.stages.get(row.get("StageName") or "")
                record["stage_order"] = meta.order if meta else None
            if (state := stage_state(row, known)) is not None:
                record["state"] = state
            records.append(record)
        return records

    def _of_cases(self, rows: Sequence[Row], known: Known) -> list[Record]:
        if not all(self._schema.offer("CaseHistory").has(name) for name in ("CaseId", "Field", "OldValue", "NewValue")):
            return []
        for row in rows:  # what CaseStatus did not tell
            if "Status" in row and "IsClosed" in row:
                known.closed_statuses.setdefault(str(row["Status"]), bool(row["IsClosed"]))
        changes: dict[str, list[Row]] = {}
        names = ("Id", "CaseId", "CreatedDate", "Field", "OldValue", "NewValue")
        also = "Field IN ('created', 'Status')"
        for change in children(self._client, "CaseHistory", names, "CaseId", _ids(rows), also=also):
            changes.setdefault(parse.salesforce_id(change["CaseId"]), []).append(change)
        records: list[Record] = []
        for row in rows:
            records.extend(self._of_case(row, changes.get(parse.salesforce_id(row["Id"]), ()), known))
        return records

    def _of_case(self, row: Row, changes: Sequence[Row], known: Known) -> Iterator[Record]:
        """The status the case was created with, where the log goes back so far, then one record a change.

        Salesforce writes a row `created` when it keeps the history of a new case. Where that row is missing the log
        was switched on later, or its beginning has been trimmed (after 18 to 24 months): what was before is not known,
        and what is stored of it stays. So ids and places must not depend on what is left of the log: `seq` only
        orders the changes of one second.
        """
        case_id = parse.salesforce_id(row["Id"])
        moves = [change for change in changes if change.get("Field") == "Status"]
        if len(moves) < len(changes) and (moves or "Status" in row):
            first = moves[0].get("OldValue") if moves else row.get("Status")
            yield self._status(case_id, f"{case_id}:created", row["CreatedDate"], first, 1, known)
        at, seq = "", 1
        for change in moves:
            seq = seq + 1 if change["CreatedDate"] == at else 2
            at = change["CreatedDate"]
            yield self._status(case_id, parse.salesforce_id(change["Id"]), at, change.get("NewValue"), seq, known)

    def _status(self, case_id: str, source_id: str, at: str, status: Any, seq: int, known: Known) -> Record:
        record: Record = {
            "source_id": source_id,
            "source_instance": self._instance,
            "ticket_id": case_id,
            "changed_at": parse.instant(at),
            "status": status,
            "seq": seq,
        }
        is_closed = known.closed_statuses.get(str(status))
        if is_closed is None and self._schema.offer("Case").has("IsClosed"):
            is_closed = str(status).lower().startswith("closed")  # a status that is not in use any more
        if is_closed is not None:
            record["status_category"] = case_category(status, is_closed, self._schema.map("Case"))
        return record

    # -- lines -----------------------------------------------------------------------------------------------------

    def lines(
        self, name: str, rows: Sequence[Row], rejects: list[Reject]
    ) -> tuple[dict[str, list[Record]], list[Children]]:
        """All live lines of deals or orders, and that these are all."""
        theirs, parent, column = data.LINES.get(name, ("", "", ""))
        if not rows or not theirs or not self._schema.can_read(theirs):
            return {}, []
        also = "IsDeleted = false" if self._schema.offer(theirs).has("IsDeleted") else ""
        found = self._rows(theirs, parent, rows, also)
        fields = self._schema.map(theirs)
        records = []
        for row in found:
            source_id = parse.salesforce_id(row["Id"])
            record = fields.record(row, source_id, rejects)
            records.append(record | {"source_id": source_id, "source_instance": self._instance})
        ids = [parse.salesforce_id(row["Id"]) for row in rows]
        return {fields.table: records}, [Children(fields.table, column, ids)]

    def _rows(self, name: str, parent: str, rows: Sequence[Row], also: str = "") -> list[Row]:
        """Rows of object `name` below `rows`, with all its mapped fields; one that has vanished is done without."""
        while True:
            names = self._schema.wanted(name, "CreatedDate")
            try:
                return list(children(self._client, name, names, parent, _ids(rows), also=also))
            except UnknownField as error:
                if not self._schema.forget(name, error.field):
                    raise

    # -- columns that other objects know ---------------------------------------------------------------------------

    def complete(self, name: str, rows: Sequence[Row], records: Sequence[Record]) -> None:
        """Fill columns of `records` (one for each of `rows`) that only a neighbouring object tells."""
        if name == "Lead":
            self._conversions(rows, records)
        elif name == "SurveyInvitation":
            self._subjects(records)

    def _conversions(self, rows: Sequence[Row], records: Sequence[Record]) -> None:
        """converted_at: ConvertedDate has no time of day, the log of lead changes has."""
        converted = {
            record["source_id"]: record for row, record in zip(rows, records, strict=True) if row.get("IsConverted")
        }
        if not converted or not self._schema.can_read("LeadHistory"):
            return
        names, also = ("Id", "LeadId", "CreatedDate"), "Field = 'leadConverted'"
        for change in children(self._client, "LeadHistory", names, "LeadId", converted, also=also):
            record = converted.get(parse.salesforce_id(change["LeadId"]))
            if record is not None:
                record["converted_at"] = parse.instant_or_none(change["CreatedDate"])

    def _subjects(self, records: Sequence[Record]) -> None:
        """The case an invitation is about, unless a field of the org's own says so."""
        open_ones = {record["source_id"]: record for record in records if not record.get("ticket_id")}
        if not open_ones or not self._schema.can_read("SurveySubject"):
            return
        names, also = ("Id", "ParentId", "SubjectId"), "IsDeleted = false"
        for row in children(self._client, "SurveySubject", names, "ParentId", open_ones, also=also):
            record = open_ones.get(parse.salesforce_id(row["ParentId"]))
            if record is not None and str(row.get("SubjectId") or "").startswith(data.ID_PREFIXES["Case"]):
                record["ticket_id"] = parse.salesforce_id(row["SubjectId"])


def _ids(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [row["Id"] for row in rows]

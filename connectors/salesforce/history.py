"""Stage and status history of a page of deals or cases, read by their ids, so that it commits with them.

Reading it whole for every record that changed keeps it right by itself: no second position that could fall behind.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from connectors import parse
from connectors.base import Record, Reject
from connectors.errors import StreamError
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.records import Known, StageMeta, case_category, stage_state
from connectors.salesforce.schema import OrgSchema

_IDS_A_CALL = 400  # 27 characters each when encoded; the whole address may have 16,384

Row = Mapping[str, Any]


class HistoryReader:
    """Reads what belongs to Opportunity and Case rows; an org that keeps no case history has none."""

    def __init__(self, client: SalesforceClient, schema: OrgSchema, *, instance: str) -> None:
        self._client = client
        self._schema = schema
        self._instance = instance
        self._has_case_history: bool | None = None

    def of(self, name: str, rows: Sequence[Row], known: Known, rejects: list[Reject]) -> dict[str, list[Record]]:
        """History records by table for the live rows of a page; empty for other objects."""
        live = [row for row in rows if not row.get("IsDeleted")]
        if name == "Opportunity":
            return {"opportunity_stage_history": self._of_deals(live, known, rejects)}
        if name == "Case":
            return {"ticket_status_history": self._of_cases(live, known)}
        return {}

    def load(self, stream: str, known: Known) -> list[Record]:
        """Fill `known` with what a stream's records need; the stage definitions as records."""
        if stream in ("opportunities", "tickets", "activities", "leads", "contacts", "accounts", "survey_responses"):
            self._load_users(known)
        if stream == "opportunities":
            return self._load_stages(known)
        if stream == "tickets":
            return self._load_statuses(known)
        return []

    def _load_users(self, known: Known) -> None:
        if known.user_types or not self._schema.offer("User").has("UserType"):
            return
        for row in self._client.query_all("SELECT Id, UserType FROM User"):
            known.user_types[row["Id"]] = str(row.get("UserType") or "Standard")

    def _load_stages(self, known: Known) -> list[Record]:
        soql = "SELECT Id, ApiName, MasterLabel, SortOrder, IsClosed, IsWon FROM OpportunityStage"
        records = []
        for row in self._client.query_all(soql):
            state = "won" if row.get("IsWon") else "lost" if row.get("IsClosed") else "open"
            meta = StageMeta(row.get("SortOrder"), state)
            known.stages[str(row["ApiName"])] = meta
            known.stages.setdefault(str(row.get("MasterLabel")), meta)
            records.append(self._definition("opportunities", row, state))
        return records

    def _load_statuses(self, known: Known) -> list[Record]:
        soql = "SELECT Id, ApiName, MasterLabel, SortOrder, IsClosed FROM CaseStatus"
        records: list[Record] = []
        try:
            for row in self._client.query_all(soql):
                is_closed = bool(row.get("IsClosed"))
                for key in ("ApiName", "MasterLabel"):
                    known.closed_statuses[str(row.get(key))] = is_closed
                records.append(self._definition("tickets", row, "closed" if is_closed else "open"))
        except StreamError:
            return []  # not readable for this login: the cases themselves tell which statuses are closed
        return records

    def _definition(self, table: str, row: Row, state: str) -> Record:
        return {
            "source_id": f"{table}:{row['ApiName']}",
            "source_instance": self._instance,
            "object": table,
            "pipeline": None,
            "stage": row["ApiName"],
            "label": row.get("MasterLabel"),
            "stage_order": row.get("SortOrder"),
            "state": state,
            "valid_from": None,
        }

    def _of_deals(self, rows: Sequence[Row], known: Known, rejects: list[Reject]) -> list[Record]:
        fields = self._schema.map("OpportunityHistory")
        names = ", ".join(self._schema.wanted("OpportunityHistory", "CreatedDate"))
        records: list[Record] = []
        seq: dict[str, int] = {}
        for row in self._children("OpportunityHistory", names, "OpportunityId", rows):
            source_id = parse.salesforce_id(row["Id"])
            record = fields.record(row, source_id, rejects)
            parent = record["opportunity_id"]
            seq[parent] = seq.get(parent, 0) + 1
            meta = known.stages.get(row.get("StageName") or "")
            record |= {
                "source_id": source_id,
                "source_instance": self._instance,
                "state": stage_state(row, known),
                "stage_order": meta.order if meta else None,
                "seq": seq[parent],
            }
            records.append(record)
        return records

    def _of_cases(self, rows: Sequence[Row], known: Known) -> list[Record]:
        if not rows or not self._can_read_case_history():
            return []
        for row in rows:  # what CaseStatus did not tell
            known.closed_statuses.setdefault(str(row.get("Status")), bool(row.get("IsClosed")))
        changes: dict[str, list[Row]] = {row["Id"]: [] for row in rows}
        names = "Id, CaseId, CreatedDate, Field, OldValue, NewValue"
        for change in self._children("CaseHistory", names, "CaseId", rows, "Field = 'Status'"):
            changes.setdefault(change["CaseId"], []).append(change)
        records: list[Record] = []
        for row in rows:
            records.extend(self._of_case(row, changes[row["Id"]], known))
        return records

    def _of_case(self, row: Row, changes: Sequence[Row], known: Known) -> Iterator[Record]:
        """The status the case was created with, then one record a change.

        A case that is closed without a recorded change (history is off, or began later) says nothing of its way there:
        its status of today was not the one it was created with.
        """
        was_born_closed = str(row.get("ClosedDate") or "9") <= str(row["CreatedDate"])
        if not changes and row.get("IsClosed") and not was_born_closed:
            return
        case_id = parse.salesforce_id(row["Id"])
        first = changes[0].get("OldValue") if changes else row.get("Status")
        yield self._status(case_id, f"{case_id}:created", row["CreatedDate"], first, 1, known)
        for seq, change in enumerate(changes, start=2):
            source_id = parse.salesforce_id(change["Id"])
            yield self._status(case_id, source_id, change["CreatedDate"], change.get("NewValue"), seq, known)

    def _status(self, case_id: str, source_id: str, at: str, status: Any, seq: int, known: Known) -> Record:
        is_closed = known.closed_statuses.get(str(status), str(status).lower().startswith("closed"))
        return {
            "source_id": source_id,
            "source_instance": self._instance,
            "ticket_id": case_id,
            "changed_at": parse.instant(at),
            "status": status,
            "status_category": case_category(status, is_closed, self._schema.map("Case")),
            "seq": seq,
        }

    def _can_read_case_history(self) -> bool:
        if self._has_case_history is None:
            try:
                offer = self._schema.offer("CaseHistory")
                self._has_case_history = all(offer.has(name) for name in ("CaseId", "Field", "OldValue", "NewValue"))
            except StreamError:
                self._has_case_history = False
        return self._has_case_history

    def _children(
        self, name: str, names: str, parent: str, rows: Iterable[Row], also: str = ""
    ) -> Iterator[dict[str, Any]]:
        """Rows of object `name` that belong to `rows`, oldest first within each parent."""
        ids = [row["Id"] for row in rows]
        condition = f" AND {also}" if also else ""
        for at in range(0, len(ids), _IDS_A_CALL):
            listed = ", ".join(f"'{one}'" for one in ids[at : at + _IDS_A_CALL])
            yield from self._client.query_all(
                f"SELECT {names} FROM {name} WHERE {parent} IN ({listed}){condition}"
                f" ORDER BY {parent} ASC, CreatedDate ASC, Id ASC"
            )

"""Which rows the sandbox's Salesforce shows now: late commits, labels and rates that change, values a test puts in."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from syncagent.sandbox.clock import DAY, sf_instant
from syncagent.sandbox.company import Company
from syncagent.sandbox.model import Deal, Entity
from syncagent.sandbox.salesforce.commerce import currency_rows
from syncagent.sandbox.salesforce.fixed import fixed_rows
from syncagent.sandbox.salesforce.flood import Flood
from syncagent.sandbox.salesforce.rows import Rows as RowMaker
from syncagent.sandbox.salesforce.schema import Schema
from syncagent.sandbox.salesforce.store import Row, Store

STATUS_LISTS = ("OpportunityStage", "CaseStatus", "LeadStatus")


class Shown:
    """The rows of a company that a query finds. `release()` before each look brings what is due.

    `lag`: seconds after its change at which a record becomes visible, asked for each record shown. `stamp_shift_s`:
    how far stamps are ahead of the company's clock in rows shown from now on.
    """

    def __init__(self, company: Company, schema: Schema) -> None:
        self.company = company
        self.rows = Store(schema)
        self.maker = RowMaker(company)
        self.lag: Callable[[Entity], int] | None = None
        self.stamp_shift_s = 0
        self._began = company.start - 300 * DAY
        self._places: dict[int, list[tuple[str, str]]] = {}
        self._late: dict[int, tuple[Entity, int]] = {}
        self._put_in: dict[str, Row] = {}
        self._emptied: set[str] = set()  # ids that went with the recycle bin
        self._status_changes: dict[tuple[str, str], Row] = {}
        self._fixed_ids: dict[str, str] = {}
        self._fixed_state: object = None
        self.release()
        self.refresh(company.everything())

    def refresh(self, entities: Iterable[Entity]) -> None:
        """Show these records as they are now; those that are late stay as they were."""
        for entity in entities:
            if self.lag is not None and entity.key not in self._late:
                self.hide_until(entity, entity.modified + self.lag(entity))
            if entity.key not in self._late:
                self._show(entity)

    def hide_until(self, entity: Entity, at: int) -> None:
        """What happens to the record becomes visible at `at`: until then all reads show it as it was, or not at all."""
        if at > self.company.now:
            self._late[entity.key] = (entity, max(at, self._late.get(entity.key, (entity, 0))[1]))

    def release(self) -> None:
        """Show what has become visible by now."""
        due = [entity for entity, at in self._late.values() if at <= self.company.now]
        for entity in due:
            del self._late[entity.key]
            self._show(entity)
        state = self._state()
        if state != self._fixed_state:
            self._fixed_state = state
            self._show_fixed()

    def _show(self, entity: Entity) -> None:
        for sobject, row_id in self._places.pop(entity.key, ()):
            self.rows.remove(sobject, row_id)
        rows = [
            (sobject, self._finished(row))
            for sobject, row in self.maker.of(entity)
            if not (row.get("IsDeleted") and row["Id"] in self._emptied)
        ]
        for sobject, row in rows:
            self.rows.put(sobject, row)
        if rows:
            self._places[entity.key] = [(sobject, row["Id"]) for sobject, row in rows]

    def _finished(self, row: Row) -> Row:
        if self.stamp_shift_s:
            for name in ("SystemModstamp", "LastModifiedDate"):
                if row.get(name):
                    at = datetime.strptime(row[name], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
                    row = row | {name: sf_instant(int(at) + self.stamp_shift_s)}
        return row | self._put_in.get(row["Id"], {})

    # -- by hand ---------------------------------------------------------------------------------------------------

    def put_in(self, row_id: str, **values: Any) -> None:
        """Let a row hold these values, whatever the company says; they stay when the record changes."""
        found = self.rows.find(row_id)
        if found is None:
            raise KeyError(row_id)
        self._put_in[row_id] = self._put_in.get(row_id, {}) | values
        self.rows.put(found[0], found[1] | values)

    def add_row(self, sobject: str, row: Row) -> None:
        """A row of no record of the company."""
        self.rows.put(sobject, row)

    def flood(self, sobject: str, number: int) -> None:
        """Add so many rows like the object's first one, made as they are read. They are found by conditions on stamps
        and ids, in rising order or none, in bulk and page by page; not by `Id IN (...)`, and not by other orders.
        """
        template = next(row for row in self.rows.tables[sobject].values() if not row.get("IsDeleted"))
        self.rows.floods[sobject] = Flood(template, number, self.company.start - 200 * DAY)

    def empty_bin(self, *, older_than_s: int = 0) -> None:
        """Deleted rows vanish without a trace, as they do after about 15 days, or when an admin empties the bin."""
        newest = sf_instant(self.company.now - older_than_s)
        for sobject, table in self.rows.tables.items():
            gone = [key for key, row in table.items() if row.get("IsDeleted") and row_stamp(row) <= newest]
            self._emptied.update(gone)
            for row_id in gone:
                self.rows.remove(sobject, row_id)

    def change_status(self, sobject: str, api_name: str, **values: Any) -> None:
        """Change a value of a status list: MasterLabel, SortOrder, IsActive, ApiName; `gone=True` takes it away.

        A new ApiName of a stage is what deals carry from then on, with no word of it in their stamps or history.
        """
        known = self._status_changes.setdefault((sobject, api_name), {})
        known.update(values)
        if sobject == "OpportunityStage" and "ApiName" in values:
            self.maker.stage_names[api_name] = values["ApiName"]
            self.refresh(entity for entity in self.company.everything() if isinstance(entity, Deal))
        self.release()

    # -- what belongs to no record ---------------------------------------------------------------------------------

    def _state(self) -> object:
        company = self.company
        labels, removed, teams = company.stage_labels, company.stages_removed, company.team_names
        return (
            tuple(labels.items()), tuple(removed), tuple(teams.items()), tuple(company.rates),
            tuple(company.pipeline_labels.items()), tuple(sorted(company.pipelines_off)), repr(self._status_changes),
        )  # fmt: skip

    def _show_fixed(self) -> None:
        admin = next(user.sf for user in self.company.users if user.sf)
        company = self.company
        rows = [
            *fixed_rows(admin, self._began),
            *currency_rows(company.rates, admin, self._began),
        ]
        before, self._fixed_ids = self._fixed_ids, {}
        for sobject, made in rows:
            row = self._as_changed(sobject, made)
            if row is None:
                continue
            old = self.rows.tables[sobject].get(row["Id"])
            if old is not None and old != row and sobject not in ("CurrencyType", "DatedConversionRate"):
                stamps = {"SystemModstamp", "LastModifiedDate"} & row.keys()
                same = {k: v for k, v in old.items() if k not in stamps} == {
                    k: v for k, v in row.items() if k not in stamps
                }
                row |= {name: old[name] if same else sf_instant(company.now) for name in stamps}
            self.rows.put(sobject, row)
            self._fixed_ids[row["Id"]] = sobject
        for row_id, sobject in before.items():
            if row_id not in self._fixed_ids:
                self.rows.remove(sobject, row_id)

    def _as_changed(self, sobject: str, row: Row) -> Row | None:
        """A fixed row with what has been renamed; None for one that was taken away."""
        if sobject == "UserRole":
            return row | {"Name": self.company.team_names.get(row["Name"], row["Name"])}
        if sobject == "RecordType":
            named = (str(row["SobjectType"]), str(row["Id"]))
            label = self.company.pipeline_labels.get(named, row["Name"])
            return row | {"Name": label, "IsActive": named not in self.company.pipelines_off}
        if sobject not in STATUS_LISTS:
            return row
        key = (sobject, row["ApiName"])
        if key in self.company.stages_removed:
            return None
        changes = dict(self._status_changes.get(key, {}))
        if changes.pop("gone", False):
            return None
        return row | {"MasterLabel": self.company.stage_labels.get(key, row["MasterLabel"])} | changes


def row_stamp(row: Row) -> str:
    """When a row last changed; a row of history, when it was made."""
    return str(row.get("SystemModstamp") or row["CreatedDate"])

"""The rows of the sandbox's Salesforce by object and id, in the orders incremental reads ask for."""

from typing import Any

from syncagent.sandbox.salesforce.flood import Flood
from syncagent.sandbox.salesforce.schema import Schema

Row = dict[str, Any]


class Store:
    """Every row by object and id, with the order incremental reads ask for kept ready."""

    def __init__(self, schema: Schema | None = None) -> None:
        self.schema = schema or Schema()
        self.tables: dict[str, dict[str, Row]] = {name: {} for name in self.schema.every_object}
        self.owner: dict[str, str] = {}  # id -> object
        self.floods: dict[str, Flood] = {}
        self._ordered: dict[tuple[str, str], list[Row]] = {}

    def put(self, sobject: str, row: Row) -> None:
        self.tables[sobject][row["Id"]] = row
        self.owner[row["Id"]] = sobject
        self._forget_order(sobject)

    def remove(self, sobject: str, row_id: str) -> None:
        self.tables[sobject].pop(row_id, None)
        self.owner.pop(row_id, None)
        self._forget_order(sobject)

    def _forget_order(self, sobject: str) -> None:
        for name in [name for name in self._ordered if name[0] == sobject]:
            del self._ordered[name]

    def ordered(self, sobject: str, column: str) -> list[Row]:
        """All rows of an object by (column, Id)."""
        name = (sobject, column)
        if name not in self._ordered:
            self._ordered[name] = sorted(self.tables[sobject].values(), key=lambda row: (row[column] or "", row["Id"]))
        return self._ordered[name]

    def find(self, row_id: str | None) -> tuple[str, Row] | None:
        sobject = self.owner.get(row_id or "")
        return (sobject, self.tables[sobject][row_id]) if sobject and row_id else None

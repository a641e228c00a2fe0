"""Runs a parsed SOQL query over the sandbox's Salesforce rows."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from syncagent.sandbox.clock import DAY, day_text
from syncagent.sandbox.ids import to_18
from syncagent.sandbox.sf_fields import OBJECTS, Field
from syncagent.sandbox.soql import Comparison, Condition, Literal, Query, SoqlError

Row = dict[str, Any]
Get = Callable[[Row], Any]
Test = Callable[[Row], bool]

_LOWER = {name.lower(): name for name in OBJECTS}
_FIELDS = {name: {f.lower(): f for f in fields} for name, fields in OBJECTS.items()}
_RELATIONS = {
    name: {f.relationship.lower(): f for f in fields.values() if f.relationship} for name, fields in OBJECTS.items()
}
_NUMBERS = ("int", "double", "currency", "percent")


class Rows:
    """Every row by object and id, with the order incremental reads ask for kept ready."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Row]] = {name: {} for name in OBJECTS}
        self.owner: dict[str, str] = {}  # id -> object
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


class Plan:
    """A query made ready: `rows()` finds, `shape()` turns a found row into what the API sends."""

    def __init__(self, query: Query, store: Rows, *, include_deleted: bool, now: int, version: str) -> None:
        name = _LOWER.get(query.sobject.lower())
        if name is None:
            raise SoqlError(
                "INVALID_TYPE",
                f"sObject type '{query.sobject}' is not supported. If you are attempting to use a custom object, "
                "be sure to append the '__c' after the entity name. Please reference your WSDL or the describe call "
                "for the appropriate names.",
            )
        self.sobject = name
        self._query = query
        self._store = store
        self._now = now
        self._url = f"/services/data/v{version}/sobjects/"
        self._include_deleted = include_deleted or "IsDeleted" not in OBJECTS[name]
        self._tree = self._select(query.fields)
        self._tests = [] if query.where is None else [self._condition(query.where)]

    # -- finding ---------------------------------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        """The rows asked for, in order, cut to LIMIT and OFFSET."""
        query = self._query
        order = [(*self._field(o.path), o) for o in query.order]
        found: Iterable[Row]
        plain = [o.path.lower() for o in query.order]
        ready = plain[1:] in ([], ["id"]) and plain and not query.order[0].descending and "." not in plain[0]
        if ready and _FIELDS[self.sobject].get(plain[0], "") in ("SystemModstamp", "CreatedDate", "Id"):
            found = self._store.ordered(self.sobject, _FIELDS[self.sobject][plain[0]])
            order = []
        else:
            found = self._store.tables[self.sobject].values()
        if not self._include_deleted:
            found = [row for row in found if not row["IsDeleted"]]
        for test in self._tests:
            found = [row for row in found if test(row)]
        result = list(found)
        for get, field, by in reversed(order):
            result.sort(key=_sort_key(get, field, nulls_high=by.nulls_last ^ by.descending), reverse=by.descending)
        return result[query.offset : None if query.limit is None else query.offset + query.limit]

    def aggregate(self) -> list[Row]:
        """The rows of an aggregate query."""
        query = self._query
        groups: dict[tuple[Any, ...], list[Row]] = {}
        getters = [self._field(path)[0] for path in query.group_by]
        limit, query.limit = query.limit, None
        for row in self.rows():
            groups.setdefault(tuple(get(row) for get in getters), []).append(row)
        query.limit = limit
        if not query.group_by:
            groups = groups or {(): []}
        answer = []
        for values, members in groups.items():
            out: Row = {"attributes": {"type": "AggregateResult"}}
            out |= {path.rsplit(".", 1)[-1]: value for path, value in zip(query.group_by, values, strict=True)}
            for number, (function, path, alias) in enumerate(query.aggregates):
                out[alias or f"expr{number}"] = self._fold(function, path, members)
            answer.append(out)
        return answer[:limit]

    def _fold(self, function: str, path: str | None, rows: list[Row]) -> Any:
        if path is None:
            return len(rows)
        get = self._field(path)[0]
        values = [value for value in map(get, rows) if value is not None]
        if function == "COUNT":
            return len(values)
        if function == "COUNT_DISTINCT":
            return len(set(values))
        if not values:
            return None
        folds: Mapping[str, Callable[[list[Any]], Any]] = {
            "MIN": min, "MAX": max, "SUM": sum, "AVG": lambda v: sum(v) / len(v),
        }  # fmt: skip
        return folds[function](values)

    # -- answering -------------------------------------------------------------------------------------------------

    def shape(self, row: Row) -> Row:
        return self._shape(row, self.sobject, self._tree)

    def _shape(self, row: Row, sobject: str, tree: Mapping[str, Any]) -> Row:
        out: Row = {"attributes": {"type": sobject, "url": f"{self._url}{sobject}/{row['Id']}"}}
        for name, below in tree.items():
            if below is None:
                out[name] = row[name]
                continue
            key, parts = below
            parent = self._store.find(row[key])
            out[name] = None if parent is None else self._parent(parent, parts)
        return out

    def _parent(self, parent: tuple[str, Row], tree: Mapping[str, Any]) -> Row:
        sobject, row = parent
        known = {name: below for name, below in tree.items() if name == "Type" or below or name in row}
        if "Type" in known and "Type" not in row:
            row = row | {"Type": sobject}
        return self._shape(row, sobject, known) | {name: None for name in tree if name not in known}

    def _select(self, paths: list[str]) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for path in paths:
            self._field(path)
            sobject, at = self.sobject, tree
            *parents, last = path.split(".")
            for part in parents:
                relation = _RELATIONS[sobject][part.lower()]
                at = at.setdefault(str(relation.relationship), (relation.name, {}))[1]
                sobject = relation.reference_to[0]
            at[_FIELDS[sobject].get(last.lower(), last)] = None
        return tree

    # -- names and conditions --------------------------------------------------------------------------------------

    def _field(self, path: str) -> tuple[Get, Field]:
        """How to read `A.B.Name` off a row, and what it is. Raises SoqlError for a name nobody has."""
        sobject = self.sobject
        *parents, last = path.split(".")
        keys = []
        for part in parents:
            relation = _RELATIONS[sobject].get(part.lower())
            if relation is None:
                raise SoqlError(
                    "INVALID_FIELD",
                    f"Didn't understand relationship '{part}' in field path. If you are attempting to use a custom "
                    "relationship, be sure to append the '__r' after the custom relationship name. Please reference "
                    "your WSDL or the describe call for the appropriate names.",
                )
            keys.append(relation.name)
            sobject = relation.reference_to[0]
            if len(relation.reference_to) > 1 and last.lower() == "type" and part == parents[-1]:
                return self._type_of(keys), Field("Type", "string")
        name = _FIELDS[sobject].get(last.lower())
        if name is None:
            raise SoqlError(
                "INVALID_FIELD",
                f"No such column '{last}' on entity '{sobject}'. If you are attempting to use a custom field, be sure "
                "to append the '__c' after the custom field name. Please reference your WSDL or the describe call for "
                "the appropriate names.",
            )
        field = OBJECTS[sobject][name]
        if not keys:
            return (lambda row: row[name]), field

        def through(row: Row) -> Any:
            for key in keys:
                parent = self._store.find(row.get(key))
                if parent is None:
                    return None
                row = parent[1]
            return row.get(name)

        return through, field

    def _type_of(self, keys: list[str]) -> Get:
        def get(row: Row) -> Any:
            for key in keys[:-1]:
                parent = self._store.find(row.get(key))
                if parent is None:
                    return None
                row = parent[1]
            found = self._store.find(row.get(keys[-1]))
            return found and found[0]

        return get

    def _condition(self, node: Condition | Comparison) -> Test:
        if isinstance(node, Comparison):
            return self._comparison(node)
        parts = [self._condition(part) for part in node.parts]
        if node.word == "NOT":
            return lambda row: not parts[0](row)
        if node.word == "AND":
            return lambda row: all(part(row) for part in parts)
        return lambda row: any(part(row) for part in parts)

    def _comparison(self, node: Comparison) -> Test:
        get, field = self._field(node.path)
        if field.type == "textarea":
            raise SoqlError("INVALID_FIELD", f"field '{node.path}' can not be filtered in a query call")
        if isinstance(node.value, tuple) and not isinstance(node.value, Literal):
            wanted = {self._value(field, literal) for literal in node.value}
            if node.operator == "NOT IN":
                return lambda row: _fold_case(field, get(row)) not in wanted
            return lambda row: _fold_case(field, get(row)) in wanted
        literal = node.value
        assert isinstance(literal, Literal)
        if node.operator == "LIKE":
            pattern = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in str(literal.value))
            like = re.compile(pattern, re.IGNORECASE | re.DOTALL)
            return lambda row: bool(like.fullmatch(get(row) or ""))
        value = self._value(field, literal)
        if node.operator == "=":
            return lambda row: _fold_case(field, get(row)) == value
        if node.operator == "!=":
            return lambda row: _fold_case(field, get(row)) != value
        return _ordered(get, field, node.operator, value)

    def _value(self, field: Field, literal: Literal) -> Any:
        """A literal in the field's own spelling; a literal of the wrong kind is refused as Salesforce does."""
        kind, value = literal
        if kind == "null":
            return None
        wanted = (
            "datetime" if field.type == "datetime" else "date" if field.type == "date"
            else "boolean" if field.type == "boolean" else "number" if field.type in _NUMBERS else "string"
        )  # fmt: skip
        if kind == "relative" and wanted in ("date", "datetime"):
            day = day_text((self._now // DAY) + _days(value))
            return day if wanted == "date" else f"{day}T00:00:00.000+0000"
        if kind != wanted:
            names = {"datetime": "dateTime", "number": "double"}
            raise SoqlError(
                "INVALID_FIELD",
                f"value of filter criterion for field '{field.name}' must be of type {names.get(wanted, wanted)}"
                + (" and should not be enclosed in quotes" if kind == "string" else ""),
            )
        if kind == "datetime":
            at = datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone(UTC)
            return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}+0000"
        if kind == "string" and field.type in ("id", "reference"):
            return to_18(value) if len(value) == 15 else value
        return _fold_case(field, value)


def _days(word: str) -> int:
    if ":" in word:
        number = int(word.rsplit(":", 1)[1])
        return -number if word.startswith("LAST") else number
    return {"TODAY": 0, "YESTERDAY": -1, "TOMORROW": 1}[word]


def _fold_case(field: Field, value: Any) -> Any:
    """Text compares without case in SOQL, ids with it."""
    if isinstance(value, str) and field.type not in ("id", "reference", "datetime", "date"):
        return value.casefold()
    return value


def _ordered(get: Get, field: Field, operator: str, value: Any) -> Test:
    def test(row: Row) -> bool:
        held = _fold_case(field, get(row))
        if held is None or value is None:
            return False
        if operator == "<":
            return bool(held < value)
        if operator == "<=":
            return bool(held <= value)
        if operator == ">":
            return bool(held > value)
        return bool(held >= value)

    return test


def _sort_key(get: Get, field: Field, *, nulls_high: bool) -> Callable[[Row], tuple[bool, Any]]:
    def key(row: Row) -> tuple[bool, Any]:
        value = get(row)
        if value is None:
            return nulls_high, ""
        return not nulls_high, _fold_case(field, value)

    return key

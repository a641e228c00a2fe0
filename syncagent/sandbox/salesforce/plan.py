"""Runs a parsed SOQL query over the sandbox's Salesforce rows, by the schema the asking user sees now."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from syncagent.sandbox.clock import DAY, day_text
from syncagent.sandbox.ids import to_18
from syncagent.sandbox.salesforce.fields import Field
from syncagent.sandbox.salesforce.flood import Joined
from syncagent.sandbox.salesforce.soql import Comparison, Condition, Literal, Query, SoqlError
from syncagent.sandbox.salesforce.store import Row, Store

Get = Callable[[Row], Any]
Test = Callable[[Row], bool]

_RISING = ("systemmodstamp", "lastmodifieddate", "createddate", "id")  # a flood's rows come in their order
_CUTS = (">", ">=", "<", "<=")
_NUMBERS = ("int", "double", "currency", "percent")


class Plan:
    """A query made ready: `rows()` finds, `shape()` turns a found row into what the API sends."""

    def __init__(self, query: Query, store: Store, *, include_deleted: bool, now: int, version: str) -> None:
        self._schema = store.schema
        name = self._schema.find_object(query.sobject)
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
        self._include_deleted = include_deleted or "IsDeleted" not in self._schema.fields(name)
        self._tree = self._select(query.fields)
        self._tests = [] if query.where is None else [self._condition(query.where)]

    # -- finding ---------------------------------------------------------------------------------------------------

    def rows(self) -> Sequence[Row]:
        """The rows asked for, in order, cut to LIMIT and OFFSET."""
        query = self._query
        found: Sequence[Row] = self._real_rows()
        flood = self._store.floods.get(self.sobject)
        rising = all(o.path.lower() in _RISING and not o.descending for o in query.order)
        if flood is not None and rising and not query.group_by:
            where = query.where
            parts = where.parts if isinstance(where, Condition) and where.word == "AND" else (where,)
            tests = [self._condition(part) for part in parts if part is not None]
            found = Joined(flood, flood.within(tests), found)
        return found[query.offset : None if query.limit is None else query.offset + query.limit]

    def _real_rows(self) -> list[Row]:
        """All rows that are held, in order."""
        query = self._query
        order = [(*self._field(o.path), o) for o in query.order]
        found: Iterable[Row]
        plain = [o.path.lower() for o in query.order]
        ready = plain[1:] in ([], ["id"]) and plain and not query.order[0].descending and "." not in plain[0]
        column = self._schema.find_field(self.sobject, plain[0]) if plain else None
        if ready and column in ("SystemModstamp", "CreatedDate", "Id"):
            found = self._within(self._store.ordered(self.sobject, column), column)
            order = []
        elif (wanted := self._ids_asked_for()) is not None:
            table = self._store.tables[self.sobject]
            found = [table[row_id] for row_id in wanted if row_id in table]
        else:
            found = self._store.tables[self.sobject].values()
        if not self._include_deleted:
            found = [row for row in found if not row["IsDeleted"] and not row.get("IsArchived")]
        for test in self._tests:
            found = [row for row in found if test(row)]
        result = list(found)
        for get, field, by in reversed(order):
            result.sort(key=_sort_key(get, field, nulls_high=by.nulls_last ^ by.descending), reverse=by.descending)
        return result

    def _ands(self) -> list[Comparison]:
        """The comparisons every row found must meet."""
        where = self._query.where
        parts = where.parts if isinstance(where, Condition) and where.word == "AND" else (where,)
        return [part for part in parts if isinstance(part, Comparison)]

    def _ids_asked_for(self) -> list[str] | None:
        """The ids of a query `WHERE Id IN (...)`: no need to look at every row."""
        for part in self._ands():
            if part.path.lower() == "id" and part.operator == "IN" and not isinstance(part.value, Literal):
                field = self._field("Id")[1]
                return list(dict.fromkeys(str(self._value(field, literal)) for literal in part.value))
        return None

    def _within(self, rows: list[Row], column: str) -> list[Row]:
        """The stretch of rows, ordered by a column, that bounds on it leave; the rest of the condition is tested."""
        first, last = 0, len(rows)
        for part in self._ands():
            if part.path.lower() != column.lower() or not isinstance(part.value, Literal) or part.operator not in _CUTS:
                continue
            value = self._value(self._field(column)[1], part.value)
            if isinstance(value, str) and part.operator in (">", ">="):
                first = max(first, bisect_left(rows, value, key=lambda row: row[column] or ""))
            elif isinstance(value, str):
                last = min(last, bisect_right(rows, value, key=lambda row: row[column] or ""))
        return rows[first:last]

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

    def columns(self) -> list[tuple[str, Get, str]]:
        """The fields asked for as (name, how to read it, type): `Owner.Name` is one of them."""
        found = []
        for path in self._query.fields:
            get, field = self._field(path)
            found.append((self._spelled(path), get, field.type))
        return found

    def _spelled(self, path: str) -> str:
        """A path as describe spells it."""
        sobject, names = self.sobject, []
        *parents, last = path.split(".")
        for part in parents:
            relation = self._schema.relation(sobject, part)
            assert relation is not None
            names.append(str(relation.relationship))
            sobject = relation.reference_to[0]
        return ".".join([*names, self._schema.find_field(sobject, last) or last])

    def _shape(self, row: Row, sobject: str, tree: Mapping[str, Any]) -> Row:
        out: Row = {"attributes": {"type": sobject, "url": f"{self._url}{sobject}/{row['Id']}"}}
        for name, below in tree.items():
            if below is None:
                out[name] = row.get(name)
            elif callable(below):
                out[name] = below(row)
            else:
                key, parts = below
                parent = self._store.find(row.get(key))
                out[name] = None if parent is None else self._parent(parent, parts)
        return out

    def _parent(self, parent: tuple[str, Row], tree: Mapping[str, Any]) -> Row:
        sobject, row = parent
        return self._shape(row if "Type" in row else row | {"Type": sobject}, sobject, tree)

    def _select(self, paths: list[str]) -> dict[str, Any]:
        """What `shape` sends: name -> None (as it is held), a function of the row, or (key, the parent's names)."""
        tree: dict[str, Any] = {}
        for path in paths:
            field = self._field(path)[1]
            at, sobject = tree, self.sobject
            *parents, last = path.split(".")
            for part in parents:
                relation = self._schema.relation(sobject, part)
                assert relation is not None
                at = at.setdefault(str(relation.relationship), (relation.name, {}))[1]
                sobject = relation.reference_to[0]
            at[self._schema.find_field(sobject, last) or last] = self._schema.reader(field)
        return tree

    # -- names and conditions --------------------------------------------------------------------------------------

    def _field(self, path: str) -> tuple[Get, Field]:
        """How to read `A.B.Name` off a row, and what it is. Raises SoqlError for a name nobody has."""
        sobject = self.sobject
        *parents, last = path.split(".")
        keys = []
        for part in parents:
            relation = self._schema.relation(sobject, part)
            if relation is None:
                raise SoqlError(
                    "INVALID_FIELD",
                    self._pointer(path)
                    + f"Didn't understand relationship '{part}' in field path. If you are attempting to use a custom "
                    "relationship, be sure to append the '__r' after the custom relationship name. Please reference "
                    "your WSDL or the describe call for the appropriate names.",
                )
            keys.append(relation.name)
            sobject = relation.reference_to[0]
            if len(relation.reference_to) > 1 and last.lower() == "type" and part == parents[-1]:
                return self._type_of(keys), Field("Type", "string")
        name = self._schema.find_field(sobject, last)
        if name is None:
            raise SoqlError(
                "INVALID_FIELD",
                self._pointer(path)
                + f"No such column '{last}' on entity '{sobject}'. If you are attempting to use a custom field, be "
                "sure to append the '__c' after the custom field name. Please reference your WSDL or the describe call "
                "for the appropriate names.",
            )
        field = self._schema.fields(sobject)[name]
        read = self._schema.reader(field) or (lambda row: row.get(name))
        if not keys:
            return read, field

        def through(row: Row) -> Any:
            for key in keys:
                parent = self._store.find(row.get(key))
                if parent is None:
                    return None
                row = parent[1]
            return read(row)

        return through, field

    def _pointer(self, path: str) -> str:
        """The lines Salesforce puts before what it says of a name: the query, a mark under the name, its column."""
        column = self._query.text.find(path) + 1
        return f"\n{self._query.text}\n{' ' * (column - 1)}^\nERROR at Row:1:Column:{column}\n"

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

"""SOQL as the sandbox understands it: one object, its parents' fields, filters, order, limit, simple aggregates.

`parse` turns text into a `Query`; `plan.py` runs it. What the real thing would refuse is refused in its words.
"""

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from syncagent.sandbox.salesforce.errors import Refusal

LONGEST = 100_000  # characters of a query


class SoqlError(Refusal):
    """A query Salesforce answers with status 400: `code` is its errorCode."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(400, code, message)


class Literal(NamedTuple):
    kind: str  # string number boolean null datetime date
    value: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    path: str
    operator: str  # = != < <= > >= LIKE IN NOT IN
    value: Literal | tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    word: str  # AND OR NOT
    parts: "tuple[Condition | Comparison, ...]"


class Aggregate(NamedTuple):
    function: str  # COUNT COUNT_DISTINCT MIN MAX SUM AVG
    path: str | None
    alias: str | None


class Order(NamedTuple):
    path: str
    descending: bool
    nulls_last: bool


@dataclass(slots=True)
class Query:
    sobject: str
    fields: list[str] = field(default_factory=list)
    aggregates: list[Aggregate] = field(default_factory=list)
    where: Condition | Comparison | None = None
    group_by: list[str] = field(default_factory=list)
    order: list[Order] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0
    text: str = ""  # as it was asked

    @property
    def is_count(self) -> bool:
        return len(self.aggregates) == 1 and self.aggregates[0].path is None


_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>[+-]?\d+(?:\.\d+)?)
    | (?P<word>[A-Za-z][\w.]*(?::\d+)?)
    | (?P<sign><=|>=|!=|<>|[=<>(),])
    )""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_FUNCTIONS = ("COUNT", "COUNT_DISTINCT", "MIN", "MAX", "SUM", "AVG")
_OPERATORS = ("=", "!=", "<>", "<", "<=", ">", ">=")


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        place, end = 0, len(text.rstrip())
        while place < end:
            match = _TOKEN.match(text, place)
            if match is None or match.lastgroup is None:
                raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{text[place:].strip()[:20]}'")
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            place = match.end()
        self._next = 0

    def _peek(self, ahead: int = 0) -> tuple[str, str]:
        index = self._next + ahead
        return self._tokens[index] if index < len(self._tokens) else ("end", "<EOF>")

    def _take(self) -> tuple[str, str]:
        token = self._peek()
        self._next += 1
        return token

    def _is(self, *words: str) -> bool:
        return all(self._peek(i)[1].upper() == w and self._peek(i)[0] != "string" for i, w in enumerate(words))

    def _accept(self, *words: str) -> bool:
        if self._is(*words):
            self._next += len(words)
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._accept(word):
            raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{self._peek()[1]}', expected '{word}'")

    def _word(self) -> str:
        kind, text = self._take()
        if kind != "word":
            raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{text}'")
        return text

    def query(self) -> Query:
        self._expect("SELECT")
        query = Query("")
        self._select(query)
        while self._accept(","):
            self._select(query)
        self._expect("FROM")
        query.sobject = self._word()
        if self._accept("WHERE"):
            query.where = self._or()
        if self._accept("GROUP", "BY"):
            query.group_by.append(self._word())
            while self._accept(","):
                query.group_by.append(self._word())
        if self._accept("ORDER", "BY"):
            query.order.append(self._order())
            while self._accept(","):
                query.order.append(self._order())
        if self._accept("LIMIT"):
            query.limit = self._whole()
        if self._accept("OFFSET"):
            query.offset = self._whole()
        if self._peek()[0] != "end":
            raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{self._peek()[1]}'")
        return query

    def _whole(self) -> int:
        kind, text = self._take()
        if kind != "number" or not text.isdigit():
            raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{text}'")
        return int(text)

    def _select(self, query: Query) -> None:
        if self._is("("):
            raise SoqlError("MALFORMED_QUERY", "child subqueries are not served here")
        name = self._word()
        if name.upper() in _FUNCTIONS and self._accept("("):
            path = None if self._is(")") else self._word()
            self._expect(")")
            alias = self._word() if self._peek()[0] == "word" and not self._is("FROM") else None
            query.aggregates.append(Aggregate(name.upper(), path, alias))
        else:
            query.fields.append(name)

    def _order(self) -> Order:
        path = self._word()
        descending = self._accept("DESC")
        if not descending:
            self._accept("ASC")
        nulls_last = False
        if self._accept("NULLS"):
            nulls_last = self._accept("LAST")
            if not nulls_last:
                self._expect("FIRST")
        return Order(path, descending, nulls_last)

    def _or(self) -> Condition | Comparison:
        parts = [self._and()]
        while self._accept("OR"):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else Condition("OR", tuple(parts))

    def _and(self) -> Condition | Comparison:
        parts = [self._term()]
        while self._accept("AND"):
            parts.append(self._term())
        return parts[0] if len(parts) == 1 else Condition("AND", tuple(parts))

    def _term(self) -> Condition | Comparison:
        if self._accept("NOT"):
            return Condition("NOT", (self._term(),))
        if self._accept("("):
            inner = self._or()
            self._expect(")")
            return inner
        path = self._word()
        if self._accept("NOT", "IN"):
            return Comparison(path, "NOT IN", self._list())
        if self._accept("IN"):
            return Comparison(path, "IN", self._list())
        if self._accept("LIKE"):
            return Comparison(path, "LIKE", self._literal())
        sign = self._take()[1]
        if sign not in _OPERATORS:
            raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{sign}'")
        return Comparison(path, "!=" if sign == "<>" else sign, self._literal())

    def _list(self) -> tuple[Literal, ...]:
        self._expect("(")
        values = [self._literal()]
        while self._accept(","):
            values.append(self._literal())
        self._expect(")")
        return tuple(values)

    def _literal(self) -> Literal:
        kind, text = self._take()
        if kind == "string":
            return Literal("string", re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), text[1:-1]))
        if kind == "number":
            return Literal("number", float(text))
        if kind in ("datetime", "date"):
            return Literal(kind, text)
        if kind == "word" and text.upper() in ("TRUE", "FALSE"):
            return Literal("boolean", text.upper() == "TRUE")
        if kind == "word" and text.upper() == "NULL":
            return Literal("null", None)
        if kind == "word" and re.fullmatch(r"TODAY|YESTERDAY|TOMORROW|LAST_N_DAYS:\d+|NEXT_N_DAYS:\d+", text.upper()):
            return Literal("relative", text.upper())
        raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{text}'")


def parse(text: str) -> Query:
    """Read one SOQL query. Raises SoqlError."""
    if len(text) > LONGEST:
        raise SoqlError("MALFORMED_QUERY", f"SOQL statements cannot be longer than {LONGEST} characters.")
    query = _Parser(text).query()
    query.text = text
    return query

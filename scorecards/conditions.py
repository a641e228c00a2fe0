"""`where` tables into SQL: closed operators, bound values, and the same filter in words for a reader."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from scorecards.periods import midnight
from scorecards.relations import Column, Language, Relation

OPERATORS = ("not", "gt", "gte", "lt", "lte", "between", "contains", "set", "before", "after")
#: In a filter, the key that holds several of which one must be passed.
ANY = "any"
#: What one may be compared with instead of a number: it, or another for some values of a column.
CHOICE = ("value", "by", "of")
COMPARING = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "before": "<", "after": ">="}
_WORDS = {
    "gt": "above",
    "gte": "at least",
    "lt": "below",
    "lte": "at most",
    "before": "before",
    "after": "from",
}


@dataclass
class Sql:
    """A statement in the making: bound values by name, and the joins its columns asked for."""

    relation: Relation
    language: Language
    zone: ZoneInfo
    values: dict[str, Any] = field(default_factory=dict)
    joins: dict[str, str] = field(default_factory=dict)
    #: What of a row was compared with as_of: instants in epoch seconds, instants as text, dates.
    turns: dict[str, dict[str, None]] = field(default_factory=lambda: {"at": {}, "text": {}, "day": {}})

    def past(self, moment: str) -> str:
        """True when an instant of the row, in epoch seconds, lies before as_of; it is noted as a turn of the row."""
        self.turns["at"][moment] = None
        return f"{moment} < :known_at"

    def not_past(self, moment: str) -> str:
        """True when it does not: written so that an index serves."""
        self.turns["at"][moment] = None
        return f"{moment} >= :known_at"

    def past_text(self, moment: str) -> str:
        """The same of an instant as UTC text."""
        self.turns["text"][moment] = None
        return f"{moment} < stamp(:known_at)"

    def past_day(self, day: str) -> str:
        """The same of a date: its day is over."""
        self.turns["day"][day] = None
        return f"{day} < :known_day"

    def bind(self, value: Any) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def column(self, name: str) -> Column:
        """A column by its name in the language; KeyError when there is none (the checker has said so before)."""
        found = self.language.column(self.relation, name)
        if found is None:
            raise KeyError(name)
        self._join(found)
        return found

    def _join(self, column: Column) -> None:
        for join in column.joins:
            self.joins.setdefault(join, self.language.join(self.relation, join))

    def value_of(self, name: str) -> str:
        """The column as known at as_of: a masked instant is null until it is past."""
        column = self.column(name)
        return f"(CASE WHEN {self.past(column.sql)} THEN {column.sql} END)" if column.masked else column.sql

    def money(self, column: Column, day: str) -> str:
        """Major units of the reporting currency at the rate of `day` (an SQL expression); null without a rate."""
        return f"major({column.sql}, {column.currency}, {day}{self._home(column)})"

    def rate(self, column: Column, day: str) -> str:
        """What turns a money column into major units of the reporting currency, at the rate of `day`."""
        return f"rate({column.currency}, {day}{self._home(column)})"

    def _home(self, column: Column) -> str:
        """What the CRM converts the amount to itself, as arguments more."""
        if not column.home:
            return ""
        if column.home.startswith("r."):
            self.joins.setdefault("r", self.language.join(self.relation, "r"))
        return f", {column.home}"

    def business_seconds(self, begin: str, end: str) -> str:
        """Opening hours between two instants (epoch seconds, SQL), of the row's team."""
        return f"business_seconds({begin}, {end}{self._team()})"

    def business_deadline(self, begin: str, days: int) -> str:
        """The last second of the so manieth business day after an instant, of the row's team."""
        return f"business_deadline({begin}, {days}{self._team()})"

    def _team(self) -> str:
        """The row's team as one argument more, where teams have calendars of their own."""
        column = self.language.team(self.relation)
        if column is None:
            return ""
        self._join(column)
        return f", {column.sql}"

    def conditions(self, where: Mapping[str, Any]) -> list[str]:
        return [self._any(wanted) if name == ANY else self._condition(name, wanted) for name, wanted in where.items()]

    def _any(self, filters: Sequence[Mapping[str, Any]]) -> str:
        """True where one of several filters is; none of them is nobody's."""
        return f"({' OR '.join(' AND '.join(self.conditions(one)) or '1' for one in filters) or '0'})"

    def _condition(self, name: str, wanted: Any) -> str:
        column = self.column(name)
        sql = self.value_of(name)
        if column.type == "any" and _numbers(wanted):
            sql = f"number({sql})"  # a CRM may hand its numbers over as text: "9" is above 6, "abc" is not
        if column.type == "money" and not (isinstance(wanted, Mapping) and set(wanted) == {"set"}):
            sql = self.money(column, ":today")  # compared in major units; whether it is set needs no rate
        if isinstance(wanted, Mapping):
            return " AND ".join(self._operator(column, sql, op, value) for op, value in wanted.items()) or "1"
        if isinstance(wanted, list | tuple):
            return f"{sql} IN ({', '.join(self.constant(column, v) for v in wanted)})" if wanted else "0"
        if column.type == "flag":
            return sql if wanted else f"NOT COALESCE({sql}, 0)"
        return f"{sql} = {self.constant(column, wanted)}"

    def _operator(self, column: Column, sql: str, operator: str, value: Any) -> str:
        if operator == "set":
            return f"{sql} IS {'NOT ' if value else ''}NULL"
        if operator == "not":
            values = value if isinstance(value, list | tuple) else [value]
            # A row without a value is not one of those ruled out.
            return f"({sql} IS NULL OR {sql} NOT IN ({', '.join(self.constant(column, v) for v in values)}))"
        if operator == "between":
            return f"{sql} BETWEEN {self.constant(column, value[0])} AND {self.constant(column, value[1])}"
        if operator == "contains":
            return f"instr(folded({sql}), {self.bind(str(value).casefold())}) > 0"
        if value == "today" and operator in ("lt", "before"):
            return self._past(column, sql)
        if isinstance(value, Mapping):
            return f"{sql} {COMPARING[operator]} {self.chosen(value['by'], value['of'], value['value'])}"
        return f"{sql} {COMPARING[operator]} {self.constant(column, value)}"

    def _past(self, column: Column, sql: str) -> str:
        if column.type == "date":
            return self.past_day(sql)
        return self.past(sql) if column.epoch else self.past_text(sql)

    def chosen(self, by: str, of: Mapping[str, float], otherwise: float) -> str:
        """The number a column's value stands for."""
        if not of:
            return self.bind(otherwise)
        cases = " ".join(f"WHEN {self.bind(name)} THEN {self.bind(number)}" for name, number in of.items())
        return f"(CASE {self.value_of(by)} {cases} ELSE {self.bind(otherwise)} END)"

    def constant(self, column: Column, value: Any) -> str:
        """A TOML value as the column stores its own: instants, dates, 0 and 1."""
        if isinstance(value, bool):
            return "1" if value else "0"
        if value == "today" and column.type in ("date", "instant"):
            # The day KPIs are asked for: what a date must lie before to have passed.
            return ":today" if column.type == "date" else (":as_of" if column.epoch else "stamp(:as_of)")
        if isinstance(value, str) and column.type == "instant":
            value = datetime.fromisoformat(value) if len(value) > 10 else date.fromisoformat(value)
        if isinstance(value, datetime):
            aware = value if value.tzinfo else value.replace(tzinfo=self.zone)
            if column.type == "date":
                return self.bind(aware.astimezone(self.zone).date().isoformat())
            return self.bind(int(aware.timestamp()) if column.epoch else _text(aware))
        if isinstance(value, date):
            if column.type != "instant":
                return self.bind(value.isoformat())
            return self.bind(midnight(value, self.zone) if column.epoch else _text(start_of(value, self.zone)))
        return self.bind(value)


def _numbers(wanted: Any) -> bool:
    """Is something compared with numbers, and nothing else?"""
    parts = wanted.values() if isinstance(wanted, Mapping) else [wanted]
    parts = [part.get("value") if isinstance(part, Mapping) else part for part in parts]
    values = [v for part in parts for v in (part if isinstance(part, list | tuple) else [part])]
    return bool(values) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def start_of(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def columns_of(where: Mapping[str, Any]) -> Iterator[str]:
    """The columns a filter names, those of its alternatives included."""
    for name, wanted in where.items():
        if name == ANY:
            for one in wanted:
                yield from columns_of(one)
        else:
            yield name
            choices = wanted.values() if isinstance(wanted, Mapping) else ()
            yield from (one["by"] for one in choices if isinstance(one, Mapping) and one.get("of"))


def in_words(where: Mapping[str, Any]) -> list[str]:
    """The filter as short phrases: "state is won", "priority is high or urgent"."""
    return [
        " or ".join(" and ".join(in_words(one)) for one in wanted)
        if name == ANY
        else _phrase(name.replace("_", " "), wanted)
        for name, wanted in where.items()
    ]


def _phrase(name: str, wanted: Any) -> str:
    if isinstance(wanted, Mapping):
        parts = []
        for operator, value in wanted.items():
            if operator == "set":
                parts.append(f"{name} is {'set' if value else 'not set'}")
            elif operator == "not":
                parts.append(f"{name} is not {_listed(value)}")
            elif operator == "between":
                parts.append(f"{name} between {value[0]} and {value[1]}")
            elif operator == "contains":
                parts.append(f"{name} contains {value!r}")
            else:
                parts.append(f"{name} {_WORDS[operator]} {_choice(value)}")
        return " and ".join(parts)
    if wanted is True or wanted is False:
        plain = name.removeprefix("is ")
        return plain if wanted else f"not {plain}"
    return f"{name} is {_listed(wanted)}"


def _choice(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    others = ", ".join(f"{name}: {number}" for name, number in value["of"].items())
    return f"{value['value']} ({others})" if others else str(value["value"])


def _listed(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " or ".join(str(v) for v in value) or "any that are set"
    return str(value) or "what is set"

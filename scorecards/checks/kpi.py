"""What is wrong with a KPI, said before anything is computed: unknown tables, columns, KPIs, impossible values.

Each problem is (path below [kpi.NAME], sentence, mend), so the loader can put file and line in front.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from scorecards.checks import Problem, aims, idle, meant, operands, reads, sql
from scorecards.checks.borrowed import of_others, unknown_words
from scorecards.checks.comparing import is_empty, unfit, unfit_operator
from scorecards.conditions import ANY, CHOICE, COMPARING, OPERATORS
from scorecards.definition import Kpi, Reporting
from scorecards.figures import is_two_sided
from scorecards.reasons import WORD
from scorecards.relations import Column, Language, Relation
from scorecards.slots import Deadline, DurationSlot
from scorecards.split import counted, why_whole
from scorecards.wanted import Wanted, any_of

#: Words of a reason that are no columns.
_OF_A_LIST = {"age", "measure", "gap", "figure", "before", "limit"}
_COUNTING = ("count", "distinct")
#: Why a row may be left out, beside what `out` names.
REASONS = ("null", "no_fx", "open", "negative", "immature", "pending", "void")


def problems(kpi: Kpi, kpis: Mapping[str, Kpi], reporting: Reporting) -> list[Problem]:
    """Everything wrong with one KPI, in the order of its slots."""
    return list(_Check(kpi, kpis, reporting).all())


class _Check:
    def __init__(self, kpi: Kpi, kpis: Mapping[str, Kpi], reporting: Reporting) -> None:
        self._kpi, self._kpis, self._reporting = kpi, kpis, reporting
        self._language = Language(reporting)
        read = self._language.current if kpi.filled is not None else self._language.relation
        self._relation: Relation | None = read(kpi.of) if kpi.of else None

    def all(self) -> Iterator[Problem]:
        kpi = self._kpi
        if kpi.of is not None and self._relation is None:
            names = self._language.names()
            yield "of", f"no table is called {kpi.of!r}.", meant(kpi.of, names)
            return
        yield from idle.problems(kpi)
        if kpi.ratio is not None:
            yield from operands.problems("ratio.top", kpi, kpi.ratio.tops, self._kpis)
            yield from operands.problems("ratio.bottom", kpi, kpi.ratio.bottoms, self._kpis)
        if kpi.calc is not None:
            yield from operands.problems("calc.plus", kpi, kpi.calc.plus, self._kpis)
            yield from operands.problems("calc.minus", kpi, kpi.calc.minus, self._kpis)
        if kpi.operands:
            yield from self._dimensions_of_parts()
        yield from self._others()
        if kpi.sql is not None:
            yield from sql.problems(kpi.sql, self._reporting)
        if self._relation is not None:
            yield from self._slots(self._relation)
        yield from aims.problems(kpi)
        yield from reads.problems(kpi, self._kpis, self._reporting)

    def _slots(self, relation: Relation) -> Iterator[Problem]:
        kpi = self._kpi
        column = None
        if kpi.field is not None:
            column = self._language.column(relation, kpi.field)
            yield from self._known("field", kpi.field)
        if column is not None and kpi.agg not in _COUNTING and column.type not in ("integer", "number", "money", "any"):
            yield "field", f"{kpi.field} holds {column.type}s, {kpi.agg} needs numbers.", "Choose a number or count."
        for slot in ("where", "share"):
            yield from self._filter(slot, getattr(kpi, slot) or {})
        if "month_ago" in kpi.compare and kpi.stock is None and kpi.filled is None:
            yield "compare", "month_ago is of a stock: what is taken at an instant.", 'Write "previous".'
        if kpi.of == "engagements" and not isinstance(kpi.where.get("gap_days"), int):
            said = (
                "engagements are kept once for each pause that ends them: of several, each action counts several times."
            )
            yield "where.gap_days", said, "Name one: where = { gap_days = 14 }."
        yield from self._left_out(kpi)
        yield from self._split_off(kpi)
        if kpi.date is not None:
            yield from self._moment("date", kpi.date)
        elif not (kpi.stock or kpi.filled or kpi.retain):
            for unplaced in ("period", "partial", "window"):
                if getattr(kpi, unplaced) not in (None, "all"):
                    mend = f'Add date = "{relation.anchor or "created_at"}".'
                    yield unplaced, "nothing places a row in time, so it would be ignored.", mend
        if kpi.cohort is not None:
            yield from self._moment("cohort.reaches", kpi.cohort.reaches)
            if kpi.date is None:
                yield "cohort", "needs date, the column that places a row in its cohort.", 'Add date = "created_at".'
            yield from self._filter("cohort.or", kpi.cohort.or_)
        if kpi.mature is not None and kpi.mature.after is not None:
            yield from self._moment("mature.after", kpi.mature.after)
        if kpi.unless is not None:
            yield from self._moment("unless.reaches", kpi.unless.reaches)
        if kpi.deadline is not None:
            yield from self._deadline(kpi.deadline)
        if kpi.duration is not None:
            yield from self._moment("duration.from", kpi.duration.from_)
            yield from self._moment("duration.to", kpi.duration.to)
            yield from self._paused(kpi.duration)
        if kpi.stock is not None:
            yield from self._moment("stock.opens", kpi.stock.opens)
            if kpi.stock.closes is not None:
                yield from self._moment("stock.closes", kpi.stock.closes)
        if kpi.retain is not None:
            yield from self._moment("retain.opens", kpi.retain.opens)
            yield from self._moment("retain.closes", kpi.retain.closes)
            yield from self._account("retain.key", kpi.retain.key)
        if kpi.filled is not None:
            for name, rule in kpi.filled.required.items():
                yield from self._known(f"filled.required.{name}", name)
                if isinstance(rule, Mapping):
                    yield from self._filter(f"filled.required.{name}.where", rule.get("where", {}))
        if isinstance(kpi.also, dict):
            for name, wanted in kpi.also.items():
                if wanted.field is not None:
                    yield from self._known(f"also.{name}.field", wanted.field)
                    if wanted.agg not in _COUNTING:
                        yield from self._number(f"also.{name}.field", wanted.field)
                if wanted.by is not None:
                    other = self._kpis.get(wanted.kpi or "")
                    split = self._language.relation(other.of) if other is not None and other.of else relation
                    yield from self._dimension(f"also.{name}.by", wanted.by, split or relation)
                if wanted.excluded is not None:
                    yield from self._reason(f"also.{name}.excluded", wanted.excluded)
                for slot in ("where", "share"):
                    yield from self._filter(f"also.{name}.{slot}", getattr(wanted, slot) or {})
        if kpi.action is not None and not kpi.action.kpi:
            yield from self._filter("action.where", kpi.action.where)
            if kpi.action.missed and not is_two_sided(kpi):
                yield "action.missed", "is of a share: of this nothing is missed.", "Take it away."
            order = (kpi.action.order or "").lstrip("-")
            if order and order not in ("measure", "gap", "figure"):
                yield from self._known("action.order", order)
            for name in kpi.action.show:
                yield from self._known("action.show", name)
            if kpi.action.per is not None:
                yield from self._known("action.per", kpi.action.per)
            if kpi.action.without is not None:
                yield from self._known("action.without.key", kpi.action.without.key)
            if unknown := list(unknown_words(kpi.action)):
                yield from unknown
            else:
                for name in set(re.findall(WORD, kpi.action.reason)) - _OF_A_LIST:
                    yield from self._known("action.reason", name)
            if kpi.action.amount is not None:
                yield from self._known("action.amount", kpi.action.amount)
                yield from self._number("action.amount", kpi.action.amount)
        yield from self._dimensions(relation)

    def _dimensions(self, relation: Relation) -> Iterator[Problem]:
        for name in self._kpi.by:
            yield from self._dimension("by", name, relation)

    def _dimensions_of_parts(self) -> Iterator[Problem]:
        """Each KPI it is made of must be split by what it is split by."""
        if self._kpi.by and (why := why_whole(self._kpi, self._kpis)):
            yield "by", f"{why}: this KPI has no segments.", "Take by away."
            return
        relations = {part.of: self._language.relation(part.of) for part in counted(self._kpi, self._kpis) if part.of}
        for relation in filter(None, relations.values()):
            yield from self._dimensions(relation)

    def _dimension(self, path: str, name: str, relation: Relation) -> Iterator[Problem]:
        tables = self._reporting.dimensions.get(name)
        if tables is None:
            if self._language.column(relation, name) is None:
                known = list(self._reporting.dimensions)
                mend = meant(name, known) if known else f'Add [dimension] {name} = {{ {relation.name} = "…" }}.'
                yield path, f"no dimension is called {name!r}.", mend
        elif relation.split_by(tables) is None:
            mend = f'Add {relation.name} = "COLUMN" to {name} in [dimension].'
            yield path, f"dimension {name!r} says no column for {relation.name}.", mend

    def _left_out(self, kpi: Kpi) -> Iterator[Problem]:
        for reason, only in kpi.out.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]*", reason):
                yield f"out.{reason}", "is no name for a reason.", "Write small letters, digits and _, such as spam."
            elif reason in REASONS:
                yield f"out.{reason}", "is a reason rows are left out for anyway.", "Give it a name of its own."
            yield from self._filter(f"out.{reason}", only)
        for slot in ("latest_per", "first_per"):
            for name in getattr(kpi, slot):
                yield from self._known(slot, name)

    def _split_off(self, kpi: Kpi) -> Iterator[Problem]:
        """The slots that make one figure of many rows before, or beside, the KPI's own."""
        if kpi.per is not None:
            if kpi.per.field is not None:
                yield from self._known("per.field", kpi.per.field)
            if kpi.per.agg == "sum":
                yield from self._number("per.field", kpi.per.field or "")
            if kpi.date is None:
                yield "per", "needs date, the column that places a row on its day.", 'Add date = "created_at".'
        if kpi.every is not None and kpi.date is None:
            yield "every", "needs date, the column that places a row in its month.", 'Add date = "day".'
        elif kpi.every is not None and (placed := self._column(kpi.date)) is not None and placed.type != "date":
            yield "every", f"needs a date, {kpi.date} holds {placed.type}s.", "Place the rows by a column of dates."
        if kpi.per_distinct is not None:
            yield from self._known("per_distinct", kpi.per_distinct)
        if kpi.weight != "count":
            yield from self._known("weight", kpi.weight)
            yield from self._number("weight", kpi.weight)

    def _column(self, name: str | None) -> Column | None:
        assert self._relation is not None  # only called with one
        return self._language.column(self._relation, name or "")

    def _number(self, path: str, name: str) -> Iterator[Problem]:
        column = self._column(name)
        if column is not None and column.type not in ("integer", "number", "money", "any"):
            yield path, f"{name} holds {column.type}s, a number is needed.", "Choose a column of numbers."

    def _deadline(self, slot: Deadline) -> Iterator[Problem]:
        for key, name in (("from", slot.from_), ("to", slot.to), ("due", slot.due), ("void", slot.void)):
            if name is not None:
                yield from self._moment(f"deadline.{key}", name)
        if slot.grace % 86400 and slot.due is not None:
            ends = [column for name in (slot.due, slot.to) if (column := self._column(name)) is not None]
            if slot.by == "day" or any(column.type == "date" for column in ends):
                yield "deadline.grace", "of a day is of whole days: the rest would be ignored.", 'Write "1d".'
        if slot.within is not None and slot.within.by is not None:
            yield from self._known("deadline.within.by", slot.within.by)

    def _paused(self, slot: DurationSlot) -> Iterator[Problem]:
        """The states a clock is stopped for: of records that go through states, and to the second."""
        assert self._relation is not None  # only called with one
        known, path = self._relation.states, "duration.pause_on"
        ends = [self._column(name) for name in (slot.from_, slot.to)]
        if slot.pause_on and not known:
            mend = "Take it away: tickets and opportunities do."
            yield path, f"{self._relation.name} go through no states.", mend
        elif slot.pause_on and any(end is not None and end.type == "date" for end in ends):
            yield path, "stops a clock, and from day to day none runs.", "Name columns ending in _at."
        else:
            for state in filter(lambda state: state not in known, slot.pause_on):
                yield path, f"{self._relation.name} are never {state!r}.", meant(state, known)

    def _reason(self, path: str, said: str) -> Iterator[Problem]:
        known = (*REASONS, *self._kpi.out)
        if said not in known:
            yield path, f"no row is left out as {said!r}.", meant(said, known)

    def _others(self) -> Iterator[Problem]:
        """What is said of other KPIs and of tables outside the KPI's own."""
        if isinstance(self._kpi.also, dict):
            for name, wanted in self._kpi.also.items():
                if wanted.kpi is not None and wanted.kpi not in self._kpis:
                    path = f"also.{name}.kpi"
                    yield path, f"no KPI is called {wanted.kpi!r}.", meant(wanted.kpi, list(self._kpis))
        yield from self._listed_part()
        for slot in ("requires", "configured_by"):
            for said in getattr(self._kpi, slot):
                for one in any_of(said):
                    yield from self._place(slot, one)

    def _listed_part(self) -> Iterator[Problem]:
        """An action over the rows of another KPI is checked as that one's own; of several each has its own."""
        action = self._kpi.action
        if action is None:
            return
        yield from of_others(action, self._kpis, self._language)
        part = self._kpis.get(action.kpi[0]) if len(action.kpi) == 1 else None
        if part is not None and part.of is not None:
            own = part.model_copy(update={"action": action.model_copy(update={"kpi": ()})})
            for path, said, mend in problems(own, self._kpis, self._reporting):
                if path.startswith("action"):
                    yield path, said, mend

    def _place(self, slot: str, wanted: Wanted) -> Iterator[Problem]:
        table, columns = wanted.table, [name for name, _ in wanted.columns]
        tables = self._reporting.tables
        if slot == "configured_by" and table == "params":
            column = columns[0] if columns else ""
            if column not in self._kpi.template.get("params", {}) and column not in self._kpi.params:
                yield slot, f"no parameter is called {column!r}.", meant(column, list(self._kpi.params))
        elif table not in tables:
            yield slot, f"no table is called {table!r}.", meant(table, list(tables))
        else:
            for column in columns:
                if column not in tables[table]:
                    yield slot, f"{table} have no column {column!r}.", meant(column, list(tables[table]))

    def _known(self, path: str, name: str) -> Iterator[Problem]:
        assert self._relation is not None  # only called with one
        if self._language.column(self._relation, name) is None:
            yield (
                path,
                f"{self._relation.name} have no column {name!r}.",
                self._language.near(self._relation, name),
            )

    def _account(self, path: str, name: str) -> Iterator[Problem]:
        """A column that names an account: who is kept is looked for among them."""
        assert self._relation is not None  # only called with one
        named = {
            f"{head}_id" for head, (to, _) in self._language.references(self._relation).items() if to == "accounts"
        }
        own = {"id"} if self._relation.records == "accounts" else set[str]()
        if self._language.column(self._relation, name) is None:
            yield from self._known(path, name)
        elif name not in named | own | ({"account_id"} & self._relation.own.keys()):
            yield path, f"{name} names no account: only these are kept or lost.", 'Write key = "account_id".'

    def _moment(self, path: str, name: str) -> Iterator[Problem]:
        """A column that can place something in time."""
        assert self._relation is not None  # only called with one
        column = self._language.column(self._relation, name)
        if column is None:
            yield from self._known(path, name)
        elif column.type not in ("instant", "date", "any"):
            yield (
                path,
                f"{name} holds {column.type}s, not a date or an instant.",
                "Name a column ending in _at or _date.",
            )

    def _filter(self, path: str, where: Mapping[str, Any]) -> Iterator[Problem]:
        assert self._relation is not None  # only called with one
        for name, wanted in where.items():
            here = f"{path}.{name}"
            if name == ANY:
                if not isinstance(wanted, list | tuple) or not all(isinstance(one, Mapping) for one in wanted):
                    yield here, "takes a list of filters.", "Write any = [ { COLUMN = VALUE }, { OTHER = VALUE } ]."
                    continue
                for number, one in enumerate(wanted):
                    yield from self._filter(f"{here}.{number}", one)
                continue
            column = self._language.column(self._relation, name)
            if column is None:
                yield here, f"{self._relation.name} have no column {name!r}.", self._language.near(self._relation, name)
                continue
            if not isinstance(wanted, Mapping):
                yield from self._values(here, column, wanted)
                continue
            for operator, value in wanted.items():
                if operator not in OPERATORS:
                    yield f"{here}.{operator}", f"no such comparison: {operator!r}.", meant(operator, OPERATORS)
                elif said := unfit_operator(column, operator, value):
                    yield f"{here}.{operator}", *said
                elif operator == "set":
                    if not isinstance(value, bool):
                        yield f"{here}.set", "is true or false.", "Write set = true or set = false."
                elif operator == "between":
                    if not isinstance(value, list | tuple) or len(value) != 2:
                        yield f"{here}.between", "takes two values.", "Write between = [LOW, HIGH]."
                    elif is_empty(*value):
                        low, high = (f'"{one}"' if isinstance(one, str) else one for one in value)
                        mend = f"Write between = [{high}, {low}]."
                        yield f"{here}.between", "no row lies between: the first is above the second.", mend
                    else:
                        yield from self._values(f"{here}.between", column, value)
                elif isinstance(value, Mapping) and operator in COMPARING:
                    yield from self._choice(f"{here}.{operator}", column, value)
                else:
                    yield from self._values(f"{here}.{operator}", column, value)

    def _choice(self, path: str, column: Column, choice: Mapping[str, Any]) -> Iterator[Problem]:
        """A number, or another for some values of a column."""
        if set(choice) != set(CHOICE) or not isinstance(choice["by"], str) or not isinstance(choice["of"], Mapping):
            mend = 'Write { value = 14400, by = "priority", of = { high = 3600 } }.'
            yield path, "takes a value, or one that another column chooses.", mend
            return
        yield from self._known(f"{path}.by", choice["by"])
        yield from self._values(f"{path}.value", column, choice["value"])
        for name, number in choice["of"].items():
            yield from self._values(f"{path}.of.{name}", column, number)

    def _values(self, path: str, column: Column, wanted: Any) -> Iterator[Problem]:
        for value in wanted if isinstance(wanted, list | tuple) else [wanted]:
            said = unfit(column, value)
            if said:
                yield path, said, ""

"""Compiles one file's header and its settings into a plan that turns rows into records; reads no file itself."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from connectors.base import Record
from connectors.errors import SourceConfigError
from connectors.files import exports
from connectors.files import values as values
from connectors.files.derive import GUESSED, Derive, Mapped
from connectors.files.lines import BAD_CHARACTER
from connectors.files.settings import FilesSettings, FilesTable
from connectors.settings import nearest

#: Columns the agent writes itself; a file cannot set them.
OWN = frozenset(("source_name", "first_seen_at", "synced_at", "custom"))

#: What a reason tells a whole file lacks where it holds for most of its rows.
_MENDS = {
    "set datetime_format": 'Set datetime_format as the file writes it, for example "%d/%m/%Y %H:%M".',
    "is not a date of the form": "Set datetime_format as the file writes it.",
    "is not a number": 'Set decimal as the file writes it: "," or ".".',
    "map it in values": "Map what the file writes in values.",
}
#: So many stages are remembered whose meaning was guessed.
_MOST_STAGES = 200


class TableShape(Protocol):
    """What the connector must know of a table beside its columns' types."""

    @property
    def choices(self) -> Mapping[str, Collection[str]]: ...  # column -> its closed list
    @property
    def flags(self) -> Collection[str]: ...  # booleans that are 0, never null
    @property
    def is_event(self) -> bool: ...  # rows need no id of their own


@dataclass(frozen=True, slots=True)
class Target:
    """One table of ours with what an entry without further words means for it."""

    name: str
    columns: Mapping[str, str]
    shape: TableShape
    currency: str
    timezone: str


class BadRow(ValueError):
    """A row that cannot be used; says which column and why. `column` and `mend` hold nothing of what the row held."""

    def __init__(self, reason: str, *, column: str = "", mend: str = "") -> None:
        super().__init__(reason)
        self.column = column
        self.mend = mend


Step = tuple[str, int, values.Memo]


@dataclass(slots=True)
class Plan:
    """How the cells of one header become a record of one table."""

    steps: list[Step] = field(default_factory=list)
    custom: list[Step] = field(default_factory=list)
    money: list[tuple[str, int, int | None, values.Memo]] = field(default_factory=list)
    constants: Record = field(default_factory=dict)
    fed: list[tuple[str, str]] = field(default_factory=list)  # (header name, our column), for `source fields`
    export: exports.Export | None = None  # the CRM's export the header was recognised as
    rule: "_Rule | None" = None
    guessed: dict[str, str] = field(default_factory=dict)  # stage -> the state it stands for, as no column says it
    names_owners: bool = False  # owner_id holds what an export calls an owner: a name, where it gives no id

    def record(self, cells: Sequence[Any]) -> Record | None:
        """Turn one row into a record; None for a row of an export that belongs in no table of ours. Raises BadRow."""
        try:
            record: Record = {column: memo[cells[index]] for column, index, memo in self.steps}
            if self.custom:
                record["custom"] = {name: memo[cells[index]] for name, index, memo in self.custom}
            for column, index, _, memo in self.money:
                record[column] = memo[cells[index], record.get("currency")]
        except ValueError:
            raise self._bad_row(cells) from None
        if self.constants:
            for column, value in self.constants.items():
                if record.get(column) is None:
                    record[column] = value
        return record if self.rule is None else self.rule.apply(record, cells)

    def source_id(self, cells: Sequence[Any]) -> str | None:
        """The id of a row that makes no record, where it can still be read: the record is there, if unusable."""
        for column, index, memo in self.steps:
            if column == "source_id" and index < len(cells):
                try:
                    source_id = memo[cells[index]] or None
                except ValueError:
                    return None
                return None if source_id is None or BAD_CHARACTER in source_id else str(source_id)
        return None

    def _bad_row(self, cells: Sequence[Any]) -> BadRow:
        """Convert cell by cell to name the column that failed: rare, so its cost does not matter."""
        record: Record = {}
        for column, index, memo in (*self.steps, *self.custom):
            try:
                record[column] = memo[cells[index]]
            except ValueError as error:
                return self._bad_cell(column, error)
        for column, index, _, memo in self.money:
            try:
                memo[cells[index], record.get("currency")]
            except ValueError as error:
                return self._bad_cell(column, error)
        return BadRow("cannot be read")

    def _bad_cell(self, column: str, error: ValueError) -> BadRow:
        named = self._named(column)
        mend = next((mend for said, mend in _MENDS.items() if said in str(error)), "")
        return BadRow(f"{named} {error}", column=named, mend=mend)

    def _named(self, column: str) -> str:
        """Our column, with the file's name of it where that is another one."""
        ours = column.removesuffix("_minor")
        theirs = next((theirs for theirs, fed in self.fed if fed == column), ours)
        return ours if theirs in (ours, column) else f"{ours} (column {values.shown(theirs)})"


@dataclass(frozen=True, slots=True)
class _Rule:
    """What an export's rows still need when their cells are mapped."""

    derive: Derive
    index: Mapping[str, int]  # header, folded -> place
    mapped: Mapped
    kept: frozenset[str]  # columns the admin mapped: not worked out
    now: str
    guessed: dict[str, str]

    def apply(self, record: Record, cells: Sequence[Any]) -> Record | None:
        def cell(name: str) -> str:
            place = self.index.get(name.casefold())
            return "" if place is None else str(cells[place] or "").strip()

        try:
            found = self.derive(record, cell, self.mapped, self.now)
        except ValueError as error:
            raise BadRow(f"cannot be read: {error}") from None
        if found is None:
            return None
        if (stage := found.pop(GUESSED, "")) and "state" not in self.kept and len(self.guessed) < _MOST_STAGES:
            self.guessed[stage] = found["state"]
        record.update((column, value) for column, value in found.items() if column not in self.kept)
        return record


def resolve(name: str, target: Target) -> str | None:
    """Our column for a name as admins write it: `amount` is `amount_minor` in major units. None: we have none."""
    if name in target.columns:
        return None if name in OWN else name
    return f"{name}_minor" if target.columns.get(f"{name}_minor") == "money" else None


def lenient_header(entry: FilesTable, target: Target, keys: Sequence[str]) -> list[str]:
    """The keys of some objects with all that could stand in others: they leave out what is null."""
    export = exports.recognise(target.name, keys, entry.export)
    named = [*entry.columns.values()]
    named += [entry.columns.get(name, name) if resolve(name, target) is None else name for name in entry.extra_types]
    if export is not None:
        named += export.absent.values()
    elif not entry.columns:
        named += [
            name
            for column, kind in target.columns.items()
            for name in ((column.removesuffix("_minor"), column) if kind == "money" else (column,))
            if resolve(name, target) is not None
        ]
    return list(dict.fromkeys([*keys, *named]))


def compile_plan(
    entry: FilesTable, settings: FilesSettings, target: Target, header: Sequence[str], *, now: str = ""
) -> Plan:
    """Fit an entry to the header of one file. Raises SourceConfigError when a column is missing.

    `now` (our instant text) tells meetings held from meetings to come, where an export does not say.
    """
    compiler = _Compiler(entry, settings, target, header)
    return compiler.plan(now)


class _Compiler:
    def __init__(self, entry: FilesTable, settings: FilesSettings, target: Target, header: Sequence[str]) -> None:
        self._entry = entry
        self._target = target
        self._values = settings.value_maps(entry)
        self._header = header
        self._index = {name: place for place, name in reversed(list(enumerate(header))) if name}
        self._export = exports.recognise(target.name, header, entry.export)
        zone = self._export.zone if self._export else None
        self._zone = ZoneInfo(entry.timezone or zone or target.timezone)
        self._agent_zone = ZoneInfo(target.timezone)
        self._moment = values.moment_reader(entry.datetime_format, self._zone)
        self._instant = values.instant_reader(entry.datetime_format, self._zone)
        self._digits = values.number_reader(entry.decimal)

    def plan(self, now: str) -> Plan:
        plan = Plan(export=self._export)
        extra = self._entry.extra_types
        if self._export is None:
            has_ours = bool(self._entry.columns) or any(resolve(name, self._target) for name in self._index)
            exports.refuse(self._target.name, self._header, self._entry.export, has_ours=has_ours)
        columns = self._columns()
        self._check_header((*columns.values(), *(self._theirs(name) for name in extra)))
        for name, theirs in columns.items():
            index = self._index[theirs]
            column = resolve(name, self._target)
            if column is None and name in extra:
                continue
            if column is None:
                raise SourceConfigError(f"{self._target.name} has no column {name}.", mend="Write it under extra.")
            plan.fed.append((theirs, column))
            if column != name:
                plan.money.append((column, index, None, self._money(name)))
            else:
                plan.steps.append((column, index, self._memo(column)))
        for name, kind in extra.items():
            plan.custom.append((name, self._index[self._theirs(name)], self._extra_memo(name, kind)))
        if self._entry.extra == "*":
            used = set(columns.values())
            for theirs, index in sorted(self._index.items(), key=itemgetter(1)):
                if theirs not in used:
                    plan.custom.append((theirs, index, self._extra_memo(theirs, "text")))
        self._settle_id(plan)
        if "currency" in self._target.columns and any(
            self._target.columns[column] == "money"
            for column in (*(s[0] for s in plan.steps), *(m[0] for m in plan.money))
        ):
            plan.constants["currency"] = self._target.currency
        if self._export is not None:
            plan.constants["source"] = self._export.crm
            owner = self._export.columns.get("owner_id")
            plan.names_owners = (
                self._export.kinds.get("owner_id") == "owner" and self._entry.columns.get("owner_id", owner) == owner
            )
            if self._export.derive is not None:
                places = {name.casefold(): place for name, place in reversed(self._index.items())}
                kept = frozenset(filter(None, (resolve(name, self._target) for name in self._entry.columns)))
                plan.rule = _Rule(self._export.derive, places, self._admin_value, kept, now, plan.guessed)
        return plan

    def _admin_value(self, column: str, text: str) -> Any:
        """What the admin's value map makes of a text; None where it says nothing."""
        known = self._values.get(column, {})
        ours = known.get(text, known.get("*"))
        if ours is not None and str(ours) not in self._target.shape.choices.get(column, (str(ours),)):
            raise BadRow(f"{column} cannot be {values.shown(str(ours))}", column=column)
        return ours

    def _columns(self) -> Mapping[str, str]:
        """ours -> theirs; without a mapping those of a CRM's export, else every header that bears a name of ours."""
        if self._export is not None:
            given = {resolve(name, self._target) for name in self._entry.columns}
            own = {ours: theirs for ours, theirs in self._export.columns.items()
                   if resolve(ours, self._target) not in given}  # fmt: skip
            if {"id", "source_id"} & self._entry.columns.keys():
                own.pop("source_id", None)
            return {**own, **self._entry.columns}
        if self._entry.columns:
            return self._entry.columns
        same = {name: name for name in self._index if resolve(name, self._target) is not None}
        if not same:
            raise SourceConfigError(
                f"none of its columns ({listed(self._header)}) bears the name of a column of {self._target.name}.",
                mend='Map them: columns = { ours = "theirs" }.' + self._delimiter_hint(),
            )
        return same

    def _theirs(self, name: str) -> str:
        """Where an extra column comes from: as mapped in columns (a name of its own), else the same name."""
        if resolve(name, self._target) is None:
            return self._entry.columns.get(name, name)
        return name

    def _check_header(self, needed: Iterable[str]) -> None:
        missing = [name for name in dict.fromkeys(needed) if name not in self._index]
        if missing:
            near = nearest(missing[0], list(self._index))
            mend = self._delimiter_hint() or f"{near} The file has: {listed(self._header)}."
            names = ", ".join(f'"{name}"' for name in missing)
            raise SourceConfigError(f"it has no column {names}.", mend=mend.strip())

    def _delimiter_hint(self) -> str:
        """A header that is a single cell was most likely cut at the wrong character."""
        if len(self._header) == 1:
            for mark, word in ((";", ";"), ("\t", "\\t"), ("|", "|"), (",", ",")):
                if mark in self._header[0]:
                    return f' Its columns look separated by "{word}": set delimiter = "{word}".'
        return ""

    def _settle_id(self, plan: Plan) -> None:
        """`id` stands in for `source_id` where a file has only that; a table of things needs one of the two."""
        by_column = {step[0]: step for step in plan.steps}
        if "id" in by_column:
            plan.steps.remove(by_column["id"])
            if "source_id" not in by_column:
                plan.steps.insert(0, ("source_id", *by_column["id"][1:]))
        elif "source_id" not in by_column and not self._target.shape.is_event:
            raise SourceConfigError(
                f"nothing says what identifies a row of {self._target.name}.",
                mend='Map it: columns = { source_id = "their id column" }.',
            )

    def _mapped(self, name: str, convert: values.Convert, absent: Any = None) -> Callable[[Any], Any]:
        return values.mapped(convert, self._values.get(name, {}), self._entry.null, absent)

    def _memo(self, column: str) -> values.Memo:
        """The converter of one of our columns."""
        kind = self._target.columns[column]
        shape = self._target.shape
        theirs = self._export.kinds.get(column) if self._export and column not in self._entry.columns else None
        if theirs is not None:
            convert = _spelled(exports.KINDS[theirs], column)
        elif column in shape.choices:
            convert = values.choice_of(shape.choices[column])
        elif column == "currency":
            convert = values.as_currency
        elif kind == "text":
            convert = values.normal_for(column)
        elif kind == "boolean":
            flag = column in shape.flags or column in ("is_deleted", "is_test")
            return values.Memo(self._mapped(column, lambda text: int(values.as_boolean(text)), 0 if flag else None))
        elif kind == "json":
            convert = values.as_json
        else:  # money under its own name is in minor units already
            convert = self._typed("integer" if kind == "money" else kind)
        return values.Memo(self._mapped(column, convert))

    def _typed(self, kind: str) -> values.Convert:
        moment, digits, zone = self._moment, self._digits, self._agent_zone
        typed: dict[str, values.Convert] = {
            "text": values.as_text,
            "boolean": values.as_boolean,
            "integer": lambda text: values.as_integer(digits(text)),
            "number": lambda text: values.as_number(digits(text)),
            "instant": self._instant,
            "date": lambda text: values.day_of(moment(text), naive=self._zone, local=zone),
        }
        return typed[kind]

    def _extra_memo(self, name: str, kind: str) -> values.Memo:
        return values.Memo(self._mapped(name, self._typed(kind)))

    def _money(self, name: str) -> values.Memo:
        """Amount and currency together, in minor units."""
        digits = self._mapped(name, self._digits)

        def convert(pair: tuple[Any, str | None]) -> int | None:
            amount = digits(pair[0])
            return None if amount is None else values.as_minor(amount, pair[1] or self._target.currency)

        return values.Memo(convert)


def _spelled(convert: values.Convert, column: str) -> values.Convert:
    """A converter of an export, whose reasons follow the column's name like those of our own."""

    def read(text: str) -> Any:
        try:
            return convert(values.as_text(text))
        except ValueError as error:
            raise ValueError(f"{values.shown(text)} is not usable ({error}); map {column} to another column") from None

    return read


def listed(names: Sequence[str], most: int = 12) -> str:
    """Column names for a message, not too many of them."""
    quoted = [values.shown(name) for name in names[:most]]
    return ", ".join(quoted) + (f" and {len(names) - most} more" if len(names) > most else "")

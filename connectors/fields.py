"""From a vendor's fields to our columns: maps as data, compiled once a stream into one fast function.

Knows our column types, no vendor. A field that an org does not offer is dropped and named; a value
that makes no sense becomes null with a `Reject`, the rest of its record stays.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from connectors import parse
from connectors.base import Record, Reject
from connectors.field_words import CONVERTERS, Convert, Custom, Field, Offer
from connectors.settings import ValueMap

#: What a converter raises for a value that makes no sense: of the wrong form, too large, or no plain value at all.
_SENSELESS = (ValueError, ArithmeticError, TypeError, AttributeError)

_MAX = parse.MAX_TEXT


class FieldMap:
    """Turns one vendor object of one table into a record. `theirs` are the fields to ask the vendor for.

    Amounts are in the currency `currency_field` names, without such a field in `currency`; where they may be in several
    (`is_mixed`) they are left out while that field is not offered.
    """

    def __init__(
        self,
        table: str,
        fields: Iterable[Field],
        *,
        columns: Mapping[str, str],
        offer: Offer,
        custom: Custom,
        currency: str,
        currency_field: str | None = None,
        is_mixed: bool = False,
        kinds: Mapping[str, Convert | None] | None = None,
    ) -> None:
        self.table = table
        self._kinds = {**CONVERTERS, **(kinds or {})}
        self._currency = currency
        self._values = {column: _by_lower_case(values) for column, values in custom.values.items()}
        chosen = {field.column: field for field in fields}
        self._custom: list[tuple[str, str, Convert | None]] = []
        self.dropped: list[str] = []
        self.lost: set[str] = set()  # our columns whose field is not there
        for name, theirs in custom.fields.items():
            column = _column_of(name, columns)
            if column is None:
                if self._is_there(offer, theirs):
                    convert = self._kinds.get(offer.kind(theirs))
                    self._custom.append((name.removeprefix("custom."), theirs, convert))
            else:
                kind = chosen[column].kind if column in chosen else _kind_of(columns[column])
                chosen[column] = Field(column, theirs, kind)
        self._steps: list[tuple[str, str, Convert | None]] = []
        self._nested: list[tuple[str, tuple[str, ...], Convert | None]] = []
        self._money: list[tuple[str, str]] = []
        for field in chosen.values():
            if not self._is_there(offer, field.theirs):
                self.lost.add(field.column)
                continue
            if field.kind == "money":
                self._money.append((field.column, field.theirs))
                continue
            convert = self._converter(field)
            if "." in field.theirs:
                self._nested.append((field.column, tuple(field.theirs.split(".")), convert))
            else:
                self._steps.append((field.column, field.theirs, convert))
        self._plain = [(column, theirs) for column, theirs, convert in self._steps if convert is None]
        self._converted = [(column, theirs, convert) for column, theirs, convert in self._steps if convert is not None]
        rest = [one for one in self._custom if one[2] is not None or "." in one[1] or one[0] in self._values]
        self._other_custom, self._plain_custom = rest, [one[:2] for one in self._custom if one not in rest]
        self._is_custom_fast = all(c is not None and "." not in t and n not in self._values for n, t, c in rest)
        self._currency_field = currency_field if currency_field and offer.has(currency_field) else None
        if is_mixed and currency_field and not self._currency_field:  # nobody can tell now which amount is in which
            self.dropped += [currency_field] if self._money else []
            self._money = []
        asked = {theirs: None for _, theirs, _ in (*self._steps, *self._custom)}
        asked |= {theirs: None for _, theirs in self._money}
        asked |= {".".join(path): None for _, path, _ in self._nested}
        if self._currency_field:
            asked[self._currency_field] = None
        self.theirs = tuple(asked)
        self._fed = self._columns_fed()
        named = {theirs: [f"custom.{name}" for name, other, _ in self._custom if other == theirs] for theirs in asked}
        #: All columns of ours each of their fields has a part in: the currency in every amount.
        self.columns_by_field = {
            theirs: tuple([column for column in columns if column != "custom"] + named[theirs])
            for theirs, columns in self._fed.items()
        }
        self._fast = self._compiled()

    def _columns_fed(self) -> dict[str, list[str]]:
        """All columns each of their fields has a part in."""
        fed: dict[str, list[str]] = {}
        nested = ((column, ".".join(path)) for column, path, _ in self._nested)
        extras = (("custom", theirs) for _, theirs, _ in self._custom)
        for column, theirs in (*((c, t) for c, t, _ in self._steps), *self._money, *nested, *extras):
            fed.setdefault(theirs, []).append(column)
        if self._currency_field and self._money:
            fed.setdefault(self._currency_field, []).extend(("currency", *(column for column, _ in self._money)))
        return fed

    def leave_out(self, record: Record, fields: Iterable[str]) -> None:
        """Take from a record, in place, what these of their fields feed: the vendor has not said what is in them."""
        for theirs in fields:
            for column in self._fed.get(theirs, ()):
                record.pop(column, None)

    def _compiled(self) -> Callable[[Callable[[str], Any]], Record]:
        """All fields but those behind a path as one dict display: half the time of a loop over them.

        It raises one of `_SENSELESS` for any value that is not as it should be, and says nothing more of it.
        """
        names: dict[str, Any] = {"_MAX": _MAX, "_odd": _odd, "_minor": parse.minor_units, "_code": parse.currency_code}
        nothing = '(None if v is None or v == "" else _odd())'
        text = "(v if len(v) <= _MAX else _odd()) if (v := get({theirs!r})) else " + nothing
        parts = [f"{column!r}: {text.format(theirs=theirs)}" for column, theirs in self._plain]
        for number, (column, theirs, convert) in enumerate(self._converted):
            names[f"_{number}"] = convert
            parts.append(f"{column!r}: _{number}(v) if (v := get({theirs!r})) else {nothing}")
        if self._money:
            names["_own"] = self._currency
            given = f"get({self._currency_field!r})" if self._currency_field else "None"
            parts.append(f"'currency': (c := _code(v) if (v := {given}) and v != _own else _own)")
            parts += [
                f"{ours!r}: _minor(v, c) if (v := get({theirs!r})) else {nothing}" for ours, theirs in self._money
            ]
        if self._custom and self._is_custom_fast:
            extras = [f"{name!r}: {text.format(theirs=theirs)}" for name, theirs in self._plain_custom]
            for number, (name, theirs, custom) in enumerate(self._other_custom):
                names[f"_c{number}"] = custom
                extras.append(f"{name!r}: _c{number}(v) if (v := get({theirs!r})) else {nothing}")
            parts.append(f"'custom': {{{', '.join(extras)}}}")
        # Built from our own words; the names of fields are in it only as literals made by repr.
        compiled: Callable[[Callable[[str], Any]], Record] = eval(f"lambda get: {{{', '.join(parts)}}}", names)  # noqa: S307
        return compiled

    def _is_there(self, offer: Offer, theirs: str) -> bool:
        if offer.has(theirs):
            return True
        self.dropped.append(theirs)
        return False

    def _converter(self, field: Field) -> Convert | None:
        convert = self._kinds[field.kind]
        if field.column not in self._values:
            return convert
        values = self._values[field.column]
        other = values.get("*")

        def through_values(value: Any) -> Any:
            found = values.get(str(value).strip().lower(), other)
            if found is not None:
                return int(found) if isinstance(found, bool) else found
            return value if convert is None else convert(value)

        return through_values

    def mapped(self, column: str, value: Any) -> Any:
        """What the settings make of a vendor's value in this column, None where they say nothing."""
        values = self._values.get(column)
        if values is None or value is None:
            return None
        return values.get(str(value).strip().lower(), values.get("*"))

    def record(self, row: Mapping[str, Any], source_id: str, rejects: list[Reject]) -> Record:
        """Our columns of one vendor object, without `source_id`; what cannot be read is null and told in `rejects`."""
        try:
            record = self._fast(row.get)
        except _SENSELESS:  # something odd in it: field by field, to tell which
            return self._record(row, source_id, rejects)
        if self._nested:
            self._fill_nested(record, row, source_id, rejects)
        if not self._is_custom_fast:
            record["custom"] = self._extras(row, source_id, rejects)
        return record

    def _record(self, row: Mapping[str, Any], source_id: str, rejects: list[Reject]) -> Record:
        get = row.get
        record: Record = self._texts(self._plain, get, source_id, rejects)
        for column, theirs, convert in self._converted:
            value = get(theirs)
            if not value and (value is None or value == ""):
                record[column] = None
            else:
                try:
                    record[column] = convert(value)
                except _SENSELESS as error:
                    record[column] = None
                    rejects.append(_reject(self.table, source_id, theirs, error, value))
        if self._nested:
            self._fill_nested(record, row, source_id, rejects)
        if self._money:
            self._fill_money(record, row, source_id, rejects)
        if self._custom:
            record["custom"] = self._extras(row, source_id, rejects)
        return record

    def _texts(
        self, pairs: Sequence[tuple[str, str]], get: Callable[[str], Any], source_id: str, rejects: list[Reject]
    ) -> dict[str, Any]:
        """Values taken as they are: empty text is nothing, and none is longer than we keep."""
        told = len(rejects)
        try:
            return {
                column: (value if len(value) <= _MAX else self._cut(value, theirs, source_id, rejects))
                if (value := get(theirs))
                else (None if value == "" else value)
                for column, theirs in pairs
            }
        except TypeError:  # a number or true among them, which has no length
            del rejects[told:]
            return {column: self._cut(get(theirs), theirs, source_id, rejects) for column, theirs in pairs}

    def _fill_nested(self, record: Record, row: Mapping[str, Any], source_id: str, rejects: list[Reject]) -> None:
        for column, path, convert in self._nested:
            value = _behind(row, path)
            record[column] = self._safe(convert, value, source_id, ".".join(path), rejects)

    def _fill_money(self, record: Record, row: Mapping[str, Any], source_id: str, rejects: list[Reject]) -> None:
        given = row.get(self._currency_field) if self._currency_field else None
        currency = self._currency
        if given != currency and given:
            told = self._safe(parse.currency_code, given, source_id, self._currency_field or "", rejects)
            currency = told or currency
        record["currency"] = currency
        for column, theirs in self._money:
            value = row.get(theirs)
            amount = None
            if value is not None and value != "":
                try:
                    amount = parse.minor_units(value, currency)
                except _SENSELESS as error:
                    rejects.append(_reject(self.table, source_id, theirs, error, value))
            record[column] = amount

    def _cut(self, value: Any, theirs: str, source_id: str, rejects: list[Reject]) -> Any:
        """The value, a text of more than 100,000 characters cut to that and told."""
        if isinstance(value, str) and len(value) > _MAX:
            reason = f"{theirs}: a text of {len(value):,} characters, of which the first {_MAX:,} are kept"
            rejects.append(Reject(f"{self.table} {source_id}", reason, value[:200]))
            return value[:_MAX]
        return None if value == "" else value

    def _extras(self, row: Mapping[str, Any], source_id: str, rejects: list[Reject]) -> dict[str, Any]:
        extras = self._texts(self._plain_custom, row.get, source_id, rejects)
        for name, theirs, convert in self._other_custom:
            value = row.get(theirs)
            if value is None and "." in theirs:
                value = _behind(row, theirs.split("."))
            if value is None or value == "":
                extras[name] = None
                continue
            found = self._safe(convert, value, source_id, theirs, rejects)
            if name in self._values:
                mapped = self.mapped(name, found)
                found = found if mapped is None else mapped
            extras[name] = found
        return extras

    def _safe(self, convert: Convert | None, value: Any, source_id: str, theirs: str, rejects: list[Reject]) -> Any:
        if value is None or value == "":
            return None
        if convert is None:
            return self._cut(value, theirs, source_id, rejects)
        try:
            return convert(value)
        except _SENSELESS as error:
            rejects.append(_reject(self.table, source_id, theirs, error, value))
            return None


def _odd() -> Any:
    raise ValueError("not as it should be")


def _behind(row: Any, path: Iterable[str]) -> Any:
    """The value at the end of a path through objects, None where one of them is missing."""
    for name in path:
        row = row.get(name) if isinstance(row, dict) else None
    return row


def _by_lower_case(values: ValueMap) -> ValueMap:
    return {str(theirs).strip().lower(): ours for theirs, ours in values.items()}


def _column_of(name: str, columns: Mapping[str, str]) -> str | None:
    """The column of ours a configured name means, None for one that becomes custom.NAME."""
    return next((column for column in (name, f"{name}_minor") if column in columns), None)


def _kind_of(column_type: str) -> str:
    return "local_day" if column_type == "date" else column_type


def _reject(table: str, source_id: str, theirs: str, error: Exception, value: Any) -> Reject:
    return Reject(f"{table} {source_id}", f"{theirs}: {error}", str(value)[:200])

"""Turns one cell of a file, a text, into a value of ours; knows nothing of files, rows or mappings."""

import json
import math
import re
from collections.abc import Callable, Collection, Hashable, Mapping
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any

from connectors import parse

#: A cell's text to our value. Raises ValueError with the reason, said so that it can follow the column's name.
Convert = Callable[[str], Any]

_LARGEST = 2**63 - 1
_TRUE = frozenset(("true", "1", "yes", "y", "t"))
_FALSE = frozenset(("false", "0", "no", "n", "f"))
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_GROUPS = {".": r",' \u00a0\u202f\u2019", ",": r".' \u00a0\u202f\u2019"}
_NUMERIC = {"d": r"(\d\d?)", "m": r"(\d\d?)", "Y": r"(\d{4})", "H": r"(\d\d?)", "M": r"(\d\d?)", "S": r"(\d\d?)"}
_PARTS = {"Y": 0, "m": 1, "d": 2, "H": 3, "M": 4, "S": 5}


class Memo(dict[Any, Any]):
    """A converter that remembers: files repeat their dates, states and names a lot, and a lookup runs in C.

    Bounded in entries and in the length of what it keeps, so memory does not grow with the file.
    """

    _MOST = 4_000
    _LONGEST = 100

    def __init__(self, convert: Callable[[Any], Any]) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, cell: Hashable) -> Any:
        value = self._convert(cell)
        if not isinstance(cell, str) or len(cell) <= self._LONGEST:
            if len(self) >= self._MOST:
                self.clear()
            self[cell] = value
        return value


def shown(text: str) -> str:
    """A cell as an error may show it: quoted, cut when long, without characters that upset a terminal."""
    plain = "".join(c if c.isprintable() else "?" for c in text[:41])
    return f'"{plain[:40]}…"' if len(text) > 40 else f'"{plain}"'


def as_text(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL byte")
    return text


def as_boolean(text: str) -> bool:
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(f"{shown(text)} is neither true nor false")


def as_json(text: str) -> str:
    try:
        json.loads(text)
    except ValueError:
        raise ValueError(f"{shown(text)} is not JSON") from None
    return text


def number_reader(decimal: str) -> Callable[[str], str]:
    """Make a function that turns a number as people write it into plain digits with a point."""
    point = re.escape(decimal)
    groups = _GROUPS[decimal]
    form = re.compile(rf"[-+]?(?:\d+|\d{{1,3}}(?:[{groups}]\d{{3}})+)?(?:{point}\d*)?(?:[eE][-+]?\d{{1,3}})?", re.ASCII)

    def read(text: str) -> str:
        stripped = text.strip()
        if not form.fullmatch(stripped) or not re.search(r"\d", stripped):
            raise ValueError(f'{shown(text)} is not a number (decimal = "{decimal}")')
        return re.sub(f"[{groups}]", "", stripped).replace(decimal, ".")

    return read


def as_number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{shown(digits)} is too large a number")
    return number


def as_integer(digits: str) -> int:
    number = Decimal(digits)
    if number != number.to_integral_value():
        raise ValueError(f"{shown(digits)} is not a whole number")
    if abs(number) > _LARGEST:
        raise ValueError(f"{shown(digits)} is too large a number")
    return int(number)


def as_minor(digits: str, currency: str) -> int:
    """Major units to integer minor units of the currency, half a unit rounded up."""
    try:
        return parse.minor_units(digits, currency)
    except ValueError:
        raise ValueError(f"{shown(digits)} is too large an amount") from None


def as_currency(text: str) -> str:
    try:
        return parse.currency_code(text)
    except ValueError:
        raise ValueError(f"{shown(text)} is not a currency; three letters such as EUR are expected") from None


def _numeric_reader(form: str, zone: tzinfo) -> Callable[[str], datetime] | None:
    """Read formats made of plain numbers without `strptime`, which is four times slower; None for any other."""
    order = re.findall(r"%(.)", form)
    if len(set(order)) != len(order) or not {"d", "m", "Y"} <= set(order) <= set(_NUMERIC):
        return None
    literal_or_part = re.split(r"%(.)", form)
    pattern = re.compile(
        "".join(_NUMERIC[piece] if i % 2 else re.escape(piece) for i, piece in enumerate(literal_or_part)), re.ASCII
    )
    places = [_PARTS[directive] for directive in order]

    def read(text: str) -> datetime:
        match = pattern.fullmatch(text)
        if match is None:
            raise ValueError
        parts = [0] * 6
        for place, digits in zip(places, match.groups(), strict=True):
            parts[place] = int(digits)
        return datetime(*parts, tzinfo=zone)  # type: ignore[arg-type,misc] # six integers

    return read


def _reader(form: str, zone: tzinfo) -> Callable[[str], datetime]:
    def read(text: str) -> datetime:
        moment = datetime.strptime(text, form)  # noqa: DTZ007 - made aware in the next line
        return moment if moment.tzinfo else moment.replace(tzinfo=zone)

    return _numeric_reader(form, zone) or read


def _date_part(form: str) -> str:
    """The format up to its first time directive: `%d/%m/%Y %H:%M` -> `%d/%m/%Y`."""
    return re.split(r"[^%\w]?%[HIMSfpXzZ]", form, maxsplit=1)[0].rstrip(" T,")


def moment_reader(form: str | None, zone: tzinfo) -> Callable[[str], datetime]:
    """Make a function that turns a text into an aware datetime; a bare date is the start of its local day."""
    if form is None:

        def read_iso(text: str) -> datetime:
            try:
                moment = datetime.fromisoformat(text.strip())
            except ValueError:
                raise ValueError(f"{shown(text)} is not an ISO 8601 date; set datetime_format") from None
            return moment if moment.tzinfo else moment.replace(tzinfo=zone)

        return read_iso
    readers = [_reader(form, zone)]
    if (day_form := _date_part(form)) and day_form != form:
        readers.append(_reader(day_form, zone))

    def read(text: str) -> datetime:
        stripped = text.strip()
        for reader in readers:
            try:
                return reader(stripped)
            except ValueError:
                continue
        raise ValueError(f"{shown(text)} is not a date of the form {form}")

    return read


def as_instant(moment: datetime) -> str:
    """UTC text `YYYY-MM-DDTHH:MM:SSZ`."""
    try:
        return moment.astimezone(UTC).replace(tzinfo=None, microsecond=0).isoformat() + "Z"
    except OverflowError:
        raise ValueError(f"{shown(str(moment))} is beyond the calendar") from None


def instant_reader(form: str | None, zone: tzinfo) -> Convert:
    """Make a function that turns a text into our UTC text; one that is so already is only checked, which is faster."""
    moment = moment_reader(form, zone)

    def read(text: str) -> str:
        if form is None and _INSTANT.fullmatch(text):
            moment(text)
            return text
        return as_instant(moment(text))

    return read


def day_of(moment: datetime, *, naive: tzinfo, local: tzinfo) -> str:
    """The day as `YYYY-MM-DD`: as written for a naive text, the agent's local day for one that names its zone."""
    try:
        return (moment if moment.tzinfo is naive else moment.astimezone(local)).date().isoformat()
    except OverflowError:
        raise ValueError(f"{shown(str(moment))} is beyond the calendar") from None


def normal_for(column: str) -> Convert:
    """How a text column is normalised: addresses, numbers and domains are compared, so they are kept in one form."""
    norms: dict[str, Convert] = {"email_norm": parse.email, "phone_norm": parse.phone, "domain_norm": parse.domain}
    norm = norms.get(column)
    return as_text if norm is None else lambda text: norm(as_text(text))


def choice_of(allowed: Collection[str]) -> Convert:
    """A closed list: anything else is refused."""

    def convert(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"{shown(text)} is none of {', '.join(allowed)}; map it in values")
        return text

    return convert


def mapped(convert: Convert, values: Mapping[str, Any], null: Collection[str], absent: Any) -> Callable[[Any], Any]:
    """Put the admin's value map and null texts in front of a converter; `absent` is what missing becomes."""
    rest = values.get("*")
    known = {theirs: str(ours).lower() if isinstance(ours, bool) else str(ours) for theirs, ours in values.items()}

    def read(text: str | None) -> Any:
        if text is None:
            return absent
        if text in known and text != "*":
            return convert(known[text])
        if text in null:
            return absent
        return convert(text if rest is None else known["*"])

    return read

"""Rows as the CSV of a Bulk API 2.0 result: every value quoted, instants ending in Z, empty for null."""

from collections.abc import Callable, Sequence
from typing import Any

Row = dict[str, Any]
Get = Callable[[Row], Any]

DELIMITERS = {"BACKQUOTE": "`", "CARET": "^", "COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "TAB": "\t"}
ENDINGS = {"LF": "\n", "CRLF": "\r\n"}


def value(held: Any, kind: str) -> str:
    """One value as the vendor writes it; `kind` is the field's type in describe."""
    if held is None:
        return ""
    if isinstance(held, bool):
        return "true" if held else "false"
    if isinstance(held, float):
        return str(int(held)) if kind == "int" else java_double(held)
    text = str(held)
    return text.replace("+0000", "Z") if kind == "datetime" else text


def java_double(number: float) -> str:
    """A double as Java prints it, and so Salesforce: 1.0E7 from ten million on, 1.0E-4 below a thousandth."""
    size = abs(number)
    if number == 0 or 1e-3 <= size < 1e7:
        return repr(float(number))
    digits, _, exponent = f"{number:.17e}".partition("e")
    # The shortest digits that read back as the same number.
    for places in range(1, 18):
        digits, _, exponent = f"{number:.{places}e}".partition("e")
        if float(f"{digits}e{exponent}") == number:
            break
    mantissa = digits.rstrip("0")
    return f"{mantissa}{'0' if mantissa.endswith('.') else ''}E{int(exponent)}"


def header(names: Sequence[str], *, delimiter: str, ending: str) -> str:
    return _line(names, DELIMITERS[delimiter], ENDINGS[ending])


def body(rows: Sequence[Row], columns: Sequence[tuple[Get, str]], *, delimiter: str, ending: str) -> str:
    """The lines of some rows; `columns` are (how to read the value, its type)."""
    between, end = DELIMITERS[delimiter], ENDINGS[ending]
    return "".join(_line([value(get(row), kind) for get, kind in columns], between, end) for row in rows)


def _line(values: Sequence[str], between: str, end: str) -> str:
    return between.join('"' + text.replace('"', '""') + '"' for text in values) + end

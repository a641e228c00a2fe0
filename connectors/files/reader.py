"""Opens one CSV or JSON Lines file and yields its rows with their line numbers; knows no table of ours.

Whatever is wrong with a whole file is a StreamError that names it; what is wrong with a row is a problem beside it.
"""

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import orjson

from connectors.errors import StreamError
from connectors.files.lines import (
    LONGEST_FIELD,
    BadByte,
    Lines,
    WrongEncoding,
    has_bad_bytes,
    is_mostly_other,
    printable,
    without_bad_bytes,
)
from connectors.files.packed import kind_of
from connectors.files.settings import FilesTable

#: How far we look for the end of such a cell (4 bytes a character meanwhile) before we say a quote was left open.
_LONGEST_READ = 16_000_000
_IS_IT_CSV = "Is it a CSV file?"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_JSON_NAMES = (".jsonl", ".ndjson")
#: Single cells below the last blank line that are kept back as a report's footer; more of them are rows after all.
_FOOTER_ROWS = 20


class Row(NamedTuple):
    """One row: where it starts, its cells, and what is wrong with it as a row ("" when nothing is)."""

    line: int
    cells: Sequence[Any]
    problem: str = ""
    text: str = ""  # the whole of it, where its cells are not what stands there


class SourceFile:
    """One file of an entry, opened anew for each pass over it."""

    def __init__(self, path: Path, entry: FilesTable, label: str = "") -> None:
        self.path = path
        self.label = label or printable(path.name)  # names it in what is said
        self.ends_midway = False  # after `rows`: the last line has no end, so it may be half of one
        self.ends_in_value = False  # after `rows`: and nothing says that its last value is whole
        self._plain: IO[bytes] | None = None
        self._entry = entry
        plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
        self._is_json = plain.suffix.lower() in _JSON_NAMES
        self._delimiter = entry.delimiter or ("\t" if plain.suffix.lower() == ".tsv" else ",")
        encoding = codecs.lookup(entry.encoding).name  # by any of its names
        self._encoding = "utf-8-sig" if encoding == "utf-8" else encoding
        # A character of UTF-16 and UTF-32 is no row of bytes that could be kept apart: one slip shifts what follows.
        self._errors = "strict" if re.match(r"utf-(16|32|7)", self._encoding) else "surrogateescape"

    def chunks(self) -> Iterator[bytes]:
        """Its content, unpacked, as bytes. Raises StreamError."""
        with self._spoken(), self._binary() as binary:
            while chunk := binary.read(1 << 20):
                yield chunk

    @property
    def has_header(self) -> bool:
        """Whether the column names stand in the first line, so that looking at them costs nothing."""
        return not self._is_json

    @property
    def position(self) -> int:
        """Bytes of the file read so far, for progress: of the packed ones where it is packed."""
        return 0 if self._plain is None or self._plain.closed else self._plain.tell()

    def header(self, *, most_lines: int | None = None) -> list[str]:
        """Its column names; a repeated one is `name.2`. Raises StreamError.

        Of JSON Lines the keys of every line, or of the first `most_lines` only.
        """
        with self._open() as text:
            lines = self._lines(text)
            names = self._keys(islice(lines, most_lines)) if self._is_json else self._first_row(lines)
        if any("\0" in name for name in names):
            raise self._holds_nul()
        if any(_CONTROL.search(name) for name in names):
            raise StreamError(f"{self.label} is no text: its first line holds control characters.", mend=_IS_IT_CSV)
        return names

    def rows(self, header: Sequence[str]) -> Generator[Row, None, None]:
        """Its rows in order, blank lines left out. Raises StreamError when the file cannot be read to its end."""
        with self._open() as text:
            yield from self._json_rows(text, header) if self._is_json else self._csv_rows(text, header)

    @contextmanager
    def _open(self) -> Iterator[IO[str]]:
        """Open for reading as text, unpacked."""
        with (
            self._spoken(),
            self._binary() as binary,
            io.TextIOWrapper(binary, self._encoding, self._errors, newline="") as text,
        ):
            yield text

    def _lines(self, text: IO[str]) -> Lines:
        return Lines(text, self._encoding.removesuffix("-sig"), self._is_other_encoding)

    def _is_other_encoding(self) -> bool:
        """Look through the whole file, once, for how much of it is text."""
        with self._binary(counted=False) as binary:
            if binary.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):
                return True
            with io.TextIOWrapper(binary, self._encoding, self._errors, newline="") as text:
                return is_mostly_other(text)

    @contextmanager
    def _spoken(self) -> Iterator[None]:
        """Say in one sentence what stands in the way of reading."""
        try:
            yield
        except WrongEncoding as error:
            raise self._wrong_encoding(error.first) from None
        except UnicodeError:
            raise self._wrong_encoding(None) from None
        except (EOFError, zlib.error):
            raise StreamError(f"{self.label} is cut short or damaged (gzip).", mend="Copy it again.") from None
        except gzip.BadGzipFile:
            raise StreamError(f"{self.label} is not a gzip file.", mend="Name it without .gz.") from None
        except OSError as error:
            path = printable(str(self.path))
            if self.path.is_dir():
                raise StreamError(f"{path} is a folder.", mend=f'Name its files: "{path}/*.csv".') from None
            why = error.strerror or type(error).__name__
            raise StreamError(f"{path} cannot be read: {why}.", mend="Check the path and its permissions.") from None

    def _binary(self, *, counted: bool = True) -> "io.BufferedReader[Any]":
        """Its unpacked content; `counted`: what is read of it counts as progress."""
        raw = self.path.open("rb", buffering=0)
        if counted:
            self._plain = raw
        try:
            is_packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
        except BaseException:
            raw.close()
            raise
        if is_packed or self.path.suffix.lower() == ".gz":
            unpacked = gzip.GzipFile(fileobj=raw)
            unpacked.myfileobj = raw  # closed with it
            binary = io.BufferedReader(cast(io.RawIOBase, unpacked), 1 << 18)
        else:
            binary = io.BufferedReader(raw, 1 << 18)
        try:
            kind = kind_of(binary)
        except BaseException:
            binary.close()
            raise
        if kind is not None:
            binary.close()
            raise StreamError(f"{self.label} is {kind.name}, no text.", mend=kind.mend)
        return binary

    def _wrong_encoding(self, first: BadByte | None) -> StreamError:
        with self._binary(counted=False) as binary:
            is_wide = binary.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff")
        place = f" line {first.line}: {first}" if first is not None and not is_wide else ""
        suggestion = self._other_encoding("utf-16" if is_wide else "cp1252")
        return StreamError(
            f"{self.label}{place} is not {self._entry.encoding} text.",
            mend=f'Set the file\'s encoding, for example encoding = "{suggestion}".',
        )

    def _other_encoding(self, suggestion: str) -> str:
        return "utf-8" if suggestion == self._entry.encoding.lower() else suggestion

    def _bad_byte(self, bad: BadByte, line: int) -> str:
        """Why a row that holds a byte that is no text cannot be used, and the mend. `line`: where the row begins."""
        place = f"line {bad.line}: " if bad.line != line else ""
        return (
            f"{place}{bad} is not {self._entry.encoding} text: mend it there, or if the whole file is in another"
            f' encoding set it, for example encoding = "{self._other_encoding("cp1252")}"'
        )

    def _holds_nul(self) -> StreamError:
        return StreamError(f"{self.label} holds NUL bytes.", mend='It may be UTF-16: set encoding = "utf-16".')

    # CSV

    def _first_row(self, lines: Lines) -> list[str]:
        csv.field_size_limit(_LONGEST_READ)
        try:
            cells = next((cells for cells in csv.reader(lines, delimiter=self._delimiter) if cells), None)
        except csv.Error:
            raise StreamError(f"{self.label}: its first line is not a header.", mend=_IS_IT_CSV) from None
        if cells is None:
            raise StreamError(f"{self.label} is empty: it has not even a header.", mend="Export it again.")
        if bad := lines.take_bad():
            raise self._wrong_encoding(bad)  # without its names no row can be read
        seen: dict[str, int] = {}
        names = []
        for cell in cells:
            name = cell.strip().removeprefix("\ufeff")
            seen[name] = seen.get(name, 0) + 1
            names.append(name if seen[name] == 1 else f"{name}.{seen[name]}")
        return names

    def _csv_rows(self, text: IO[str], header: Sequence[str]) -> Iterator[Row]:
        csv.field_size_limit(_LONGEST_READ)
        lines = self._lines(text)
        reader = csv.reader(lines, delimiter=self._delimiter)
        width = len(header)
        end = 0
        cells: list[str] = []
        is_header = True
        is_after_blank = False
        footer: list[Row] = []
        try:
            for cells in reader:
                start, end = end + 1, reader.line_num
                if not cells:
                    is_after_blank = True
                    continue
                if is_header:
                    is_header = False
                    continue
                problem = ""
                if (end > start or lines.take_long()) and max(map(len, cells)) > LONGEST_FIELD:
                    problem = f"a cell has more than {LONGEST_FIELD:,} characters"
                elif len(cells) != width:
                    problem = f"{len(cells)} {'cell' if len(cells) == 1 else 'cells'} where the header has {width}"
                if problem and end > start:
                    problem += f"; the row runs to line {end}: is a quote left open?"
                elif problem and _leaves_quote_open(cells, lines.last):
                    problem = f"a quote is left open, so it has {problem}"
                if bad := lines.take_bad():
                    problem = problem or self._bad_byte(bad, start)
                    cells = [without_bad_bytes(cell) for cell in cells]
                if is_after_blank:
                    # What a report says below its rows (copyright, who made it) is no bad row.
                    if len(cells) == 1 < width and end == start and len(footer) < _FOOTER_ROWS:
                        footer.append(Row(start, cells, problem))
                        continue
                    yield from footer
                    footer.clear()
                    is_after_blank = False
                yield Row(start, cells, problem)
            self.ends_midway = lines.ends_midway
            is_quote_open = bool(cells) and cells[-1].endswith(("\n", "\r"))
            self.ends_in_value = (lines.ends_midway or is_quote_open) and not lines.ends_quoted and not footer
        except csv.Error as error:
            why = "a quote is left open" if "field limit" in str(error) else f"not CSV ({error})"
            raise StreamError(f"{self.label} line {end + 1}: {why}.", mend="Mend the file at that line.") from None

    # JSON Lines

    def _keys(self, text: Iterable[str]) -> list[str]:
        """Every key any of its objects has: writers leave out what is null."""
        keys: dict[str, None] = {}
        is_json, has_lines = False, False
        for line in text:
            has_lines = has_lines or (not line.isspace() and line[-1] in "\r\n")
            if "\0" in line and not is_json:
                raise self._holds_nul()
            try:
                found = orjson.loads(line)
            except orjson.JSONDecodeError:
                # It refuses half a character (\\ud83d alone), which rows are read with: its keys count as well.
                found = _object(line) if "\\u" in line and not has_bad_bytes(line) else None
            if isinstance(found, dict):
                is_json = True
                keys.update(dict.fromkeys(found))
        if has_lines and not is_json:
            raise StreamError(f"{self.label} holds no JSON object.", mend="Is it JSON Lines, one object a line?")
        return [key for key in keys if not has_bad_bytes(key)]

    def _json_rows(self, text: IO[str], header: Sequence[str]) -> Iterator[Row]:
        lines = self._lines(text)
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            bad = lines.take_bad()
            if bad is not None:
                line = without_bad_bytes(line)
            found = _object(line)
            if found is None:
                problem = self._bad_byte(bad, number) if bad is not None else "is not a JSON object on one line"
                yield Row(number, (), problem, line.strip())
                continue
            cells = [_json_cell(found.get(name)) for name in header]
            is_long = len(line) > LONGEST_FIELD and max(len(cell or "") for cell in cells) > LONGEST_FIELD
            problem = f"a value has more than {LONGEST_FIELD:,} characters" if is_long else ""
            if "\\u" in line and any(text and has_bad_bytes(text) for text in (*found, *cells)):
                problem = "holds half a character: the other half of its \\ud… is missing"
                cells = [cell and without_bad_bytes(cell) for cell in cells]
            if bad is not None:
                problem = self._bad_byte(bad, number)
            yield Row(number, cells, problem, line)
        self.ends_midway = lines.ends_midway


def _leaves_quote_open(cells: Sequence[str], line: str) -> bool:
    """Whether a row of one line ends inside quotes, as only the last line of a file can."""
    return cells[-1].endswith(("\n", "\r")) or (line[-1] not in "\r\n" and line.count('"') % 2 == 1)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


#: Numbers stay the text they are: amounts must not pass through binary fractions.
_JSON = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_refuse_constant)


def _object(line: str) -> dict[str, Any] | None:
    """The JSON object of a line; None where it holds none."""
    try:
        found = _JSON.decode(line.strip())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _json_cell(value: Any) -> str | None:
    """A JSON value as the text a CSV cell would hold; None stays None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

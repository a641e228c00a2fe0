"""Opens one CSV or JSON Lines file and yields its rows with their line numbers; knows no table of ours.

Whatever is wrong with a whole file is a StreamError that names it; what is wrong with a row is a problem beside it.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import orjson

from connectors.errors import StreamError
from connectors.files.settings import FilesTable

#: A cell with more characters than this is refused with its row.
LONGEST_FIELD = 1_000_000
#: How far we look for the end of such a cell (4 bytes a character meanwhile) before we say a quote was left open.
_LONGEST_READ = 16_000_000
_JSON_NAMES = (".jsonl", ".ndjson")
#: Single cells below the last blank line that are kept back as a report's footer; more of them are rows after all.
_FOOTER_ROWS = 20


class Row(NamedTuple):
    """One row: where it starts, its cells, and what is wrong with it as a row ("" when nothing is)."""

    line: int
    cells: Sequence[Any]
    problem: str = ""


class SourceFile:
    """One file of an entry, opened anew for each pass over it."""

    def __init__(self, path: Path, entry: FilesTable, label: str = "") -> None:
        self.path = path
        self.label = label or path.name  # names it in what is said
        self.ends_midway = False  # after `rows`: the last line has no end, so it may be half of one
        self._plain: IO[bytes] | None = None
        self._entry = entry
        plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
        self._is_json = plain.suffix.lower() in _JSON_NAMES
        self._delimiter = entry.delimiter or ("\t" if plain.suffix.lower() == ".tsv" else ",")
        self._encoding = (
            "utf-8-sig" if entry.encoding.lower().replace("_", "-") in ("utf-8", "utf8") else entry.encoding
        )

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
            names = self._keys(islice(text, most_lines)) if self._is_json else self._first_row(text)
        if any("\0" in name for name in names):
            raise StreamError(f"{self.label} holds NUL bytes.", mend='It may be UTF-16: set encoding = "utf-16".')
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
            io.TextIOWrapper(binary, self._encoding, newline="") as text,
        ):
            yield text

    @contextmanager
    def _spoken(self) -> Iterator[None]:
        """Say in one sentence what stands in the way of reading."""
        try:
            yield
        except UnicodeError as error:
            raise self._wrong_encoding(error) from None
        except (EOFError, zlib.error):
            raise StreamError(f"{self.label} is cut short or damaged (gzip).", mend="Copy it again.") from None
        except gzip.BadGzipFile:
            raise StreamError(f"{self.label} is not a gzip file.", mend="Name it without .gz.") from None
        except OSError as error:
            if self.path.is_dir():
                raise StreamError(f"{self.path} is a folder.", mend=f'Name its files: "{self.path}/*.csv".') from None
            why = error.strerror or type(error).__name__
            raise StreamError(
                f"{self.path} cannot be read: {why}.", mend="Check the path and its permissions."
            ) from None

    def _binary(self) -> "io.BufferedReader[Any]":
        self._plain = raw = self.path.open("rb", buffering=0)
        try:
            is_packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
        except BaseException:
            raw.close()
            raise
        if is_packed or self.path.suffix.lower() == ".gz":
            unpacked = gzip.GzipFile(fileobj=raw)
            unpacked.myfileobj = raw  # closed with it
            return io.BufferedReader(cast(io.RawIOBase, unpacked), 1 << 18)
        return io.BufferedReader(raw, 1 << 18)

    def _wrong_encoding(self, error: UnicodeError) -> StreamError:
        """Find the line of the first byte that does not fit: the decoder only knows its place in a chunk."""
        place = ""
        suggestion = "cp1252"
        with self._binary() as binary:
            if binary.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):
                suggestion = "utf-16"
            elif not self._encoding.lower().startswith("utf-16"):
                for number, raw in enumerate(binary, 1):
                    try:
                        raw.decode(self._encoding)
                    except UnicodeDecodeError as found:
                        place = f" line {number}: byte 0x{raw[found.start]:02X} at position {found.start + 1}"
                        break
        if suggestion.lower() == self._encoding.lower():
            suggestion = "utf-8"
        return StreamError(
            f"{self.label}{place} is not {self._entry.encoding} text.",
            mend=f'Set the file\'s encoding, for example encoding = "{suggestion}".',
        )

    # CSV

    def _first_row(self, text: IO[str]) -> list[str]:
        csv.field_size_limit(_LONGEST_READ)
        try:
            cells = next((cells for cells in csv.reader(text, delimiter=self._delimiter) if cells), None)
        except csv.Error:
            raise StreamError(f"{self.label}: its first line is not a header.", mend="Is it a CSV file?") from None
        if cells is None:
            raise StreamError(f"{self.label} is empty: it has not even a header.", mend="Export it again.")
        seen: dict[str, int] = {}
        names = []
        for cell in cells:
            name = cell.strip().removeprefix("\ufeff")
            seen[name] = seen.get(name, 0) + 1
            names.append(name if seen[name] == 1 else f"{name}.{seen[name]}")
        return names

    def _csv_rows(self, text: IO[str], header: Sequence[str]) -> Iterator[Row]:
        csv.field_size_limit(_LONGEST_READ)
        lines = _Lines(text)
        reader = csv.reader(lines, delimiter=self._delimiter)
        width = len(header)
        end = 0
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
                    problem = f"{len(cells)} cells where the header has {width}"
                if problem and end > start:
                    problem += f"; the row runs to line {end}: is a quote left open?"
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
        except csv.Error as error:
            why = "a quote is left open" if "field limit" in str(error) else f"not CSV ({error})"
            raise StreamError(f"{self.label} line {end + 1}: {why}.", mend="Mend the file at that line.") from None

    # JSON Lines

    def _keys(self, text: Iterable[str]) -> list[str]:
        """Every key any of its objects has: writers leave out what is null."""
        keys: dict[str, None] = {}
        for line in text:
            try:
                found = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue  # reported as a row
            if isinstance(found, dict):
                keys.update(dict.fromkeys(found))
        return list(keys)

    def _json_rows(self, text: IO[str], header: Sequence[str]) -> Iterator[Row]:
        lines = _Lines(text)
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                found = _JSON.decode(line.strip())
            except (ValueError, RecursionError):
                found = None
            if not isinstance(found, dict):
                yield Row(number, (line.strip(),), "is not a JSON object on one line")
                continue
            cells = [_json_cell(found.get(name)) for name in header]
            is_long = len(line) > LONGEST_FIELD and max(len(cell or "") for cell in cells) > LONGEST_FIELD
            yield Row(number, cells, f"a value has more than {LONGEST_FIELD:,} characters" if is_long else "")
        self.ends_midway = lines.ends_midway


class _Lines:
    """The lines of a text, remembering whether one was so long that a cell of it may be too long."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self._long = False
        self.ends_midway = False

    def __iter__(self) -> Iterator[str]:
        begun = ""
        for line in self._text:
            if begun:
                line = begun + line  # written on while we read
                begun = ""
            if line[-1] not in "\r\n":
                begun = line
                continue
            if len(line) > LONGEST_FIELD:
                self._long = True
            yield line
        if begun:
            self.ends_midway = True
            self._long = len(begun) > LONGEST_FIELD
            yield begun

    def take_long(self) -> bool:
        was_long, self._long = self._long, False
        return was_long


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


#: Numbers stay the text they are: amounts must not pass through binary fractions.
_JSON = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_refuse_constant)


def _json_cell(value: Any) -> str | None:
    """A JSON value as the text a CSV cell would hold; None stays None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

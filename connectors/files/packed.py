"""Tells by its first bytes a file that is no text, as people put where a CSV file belongs: a workbook, an archive."""

import io
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """What a file is, and what to do with it."""

    name: str
    mend: str


_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # the second: one that holds nothing
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
#: What stands near the beginning of a zip file that is a workbook: its first parts, or what it says it is.
_WORKBOOK = (b"[Content_Types].xml", b"xl/", b"_rels/.rels", b"docProps/", b"opendocument.spreadsheet")
_BEGINNING = 4_096

_EXCEL = Kind("an Excel workbook", "Save it as CSV (UTF-8) and give that file.")
_KINDS = {
    _OLE: _EXCEL,
    b"%PDF-": Kind("a PDF file", "Export it as CSV."),
    b"7z\xbc\xaf\x27\x1c": Kind("a 7z archive", "Unpack it and give the file in it."),
    b"Rar!\x1a\x07": Kind("a RAR archive", "Unpack it and give the file in it."),
    b"\x28\xb5\x2f\xfd": Kind("packed with zstd", "Unpack it; packed with gzip it can be read as it is."),
    b"\xfd7zXZ\x00": Kind("packed with xz", "Unpack it; packed with gzip it can be read as it is."),
}


def kind_of(binary: "io.BufferedReader[Any]") -> Kind | None:
    """What a file opened at its beginning is; None where it may be text. Reads nothing of it away."""
    beginning = binary.peek(_BEGINNING)[:_BEGINNING]
    if beginning.startswith(_ZIP):
        if any(part in beginning for part in _WORKBOOK):
            return _EXCEL
        return Kind("a zip file", "Unpack it and give the file in it; packed with gzip it can be read as it is.")
    return next((kind for mark, kind in _KINDS.items() if beginning.startswith(mark)), None)

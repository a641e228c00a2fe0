"""Workbooks and archives where a CSV file belongs are told as what they are, with the mend that helps."""

import gzip
import io
import zipfile
from pathlib import Path

import pytest

from connectors.errors import SourceConfigError, StreamError
from tests.unit.test_files import connector, fetch


def zipped(*names: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, "id,status\n1,open\n")
    return packed.getvalue()


WORKBOOK = zipped("[Content_Types].xml", "_rels/.rels", "xl/workbook.xml")
OLD_WORKBOOK = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
@pytest.mark.parametrize(
    ("content", "kind", "mend"),
    [
        (WORKBOOK, "an Excel workbook", "Save it as CSV (UTF-8) and give that file."),
        (OLD_WORKBOOK, "an Excel workbook", "Save it as CSV (UTF-8) and give that file."),
        (gzip.compress(WORKBOOK), "an Excel workbook", "Save it as CSV (UTF-8) and give that file."),
        (zipped("tickets.csv"), "a zip file", "Unpack it and give the file in it"),
        (zipped(), "a zip file", "Unpack it and give the file in it"),
    ],
)
@pytest.mark.parametrize("name", ["tickets.csv", "tickets.jsonl"])
def test_it_is_named_whatever_encoding_is_set(
    tmp_path: Path, content: bytes, kind: str, mend: str, encoding: str, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    source = connector({"path": str(path), "table": "tickets", "encoding": encoding})
    with pytest.raises(StreamError) as raised:
        fetch(source, "tickets")
    assert raised.value.message == f"{name} is {kind}, no text."
    assert raised.value.mend.startswith(mend)
    with pytest.raises(SourceConfigError) as refused:
        source.check()
    assert refused.value.message == raised.value.message


def test_an_empty_file_and_one_that_only_begins_alike_are_text(tmp_path: Path) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text("PK,status\n1,open\n")
    source = connector({"path": str(path), "table": "tickets", "columns": {"source_id": "PK", "status": "status"}})
    assert source.check().warnings == ()

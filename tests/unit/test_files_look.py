"""What `check` sees: all that a sync will refuse in files small enough to be read to their end."""

import gzip
from pathlib import Path

import pytest

from connectors.errors import SourceConfigError, StreamError
from connectors.files import look
from tests.unit.test_files import connector, fetch

HEAD = b"id,status\n1,a\n"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("lines", [0, 500])
def test_bytes_that_are_no_text_are_seen_wherever_they_stand(tmp_path: Path, lines: int, packed: bool) -> None:
    content = HEAD + b"2,good\n" * lines + b"3,caf\xe9\n" * (4 if lines == 0 else 400)
    path = tmp_path / ("t.csv.gz" if packed else "t.csv")
    path.write_bytes(gzip.compress(content) if packed else content)
    source = connector({"path": str(path), "table": "tickets"})
    with pytest.raises(StreamError) as refused:
        fetch(source, "tickets")
    with pytest.raises(SourceConfigError) as seen:
        source.check()
    assert seen.value.message == refused.value.message


def test_a_damaged_end_of_json_lines_and_a_key_no_line_has_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"id": "1"}\n' * 2_000)
    source = connector({"path": str(path), "table": "tickets", "columns": {"source_id": "id", "status": "state"}})
    with pytest.raises(SourceConfigError, match="has no column"):
        source.check()
    path.write_text('{"id": "1"}\n' * 2_000 + '{"id": "2", "state": "x"}\n')
    assert source.check().warnings == ()


def test_of_a_large_file_only_the_beginning_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(HEAD + b"2,good\n" * (look.WHOLE_BYTES // 7) + b"3,caf\xe9\n" * 40)
    assert connector({"path": str(path), "table": "tickets"}).check().warnings == ()

"""Bytes that are no text: one costs its row, many say that the file is in another encoding, and no crash is one."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import StreamError
from connectors.files.connector import PAGE_ROWS
from connectors.files.lines import is_mostly_other
from tests.unit.test_files import Load, connector, fetch, load, records_of, rejects_of

__all__ = ["load"]  # a fixture
MEND = 'mend it there, or if the whole file is in another encoding set it, for example encoding = "cp1252"'


def test_a_bad_byte_costs_its_row_and_the_rest_loads(load: Load) -> None:
    records, rejects = load("source_id,subject\n1,café\n2,".encode() + b"caf\xe9" + "\n3,été\n".encode())
    assert [(r["source_id"], r["subject"]) for r in records] == [("1", "café"), ("3", "été")]
    assert [(r.place, r.reason, r.content) for r in rejects] == [
        ("export.csv line 3", f"byte 0xE9 at position 6 is not utf-8 text: {MEND}", "2,caf\ufffd")
    ]


def test_it_is_found_far_below_and_in_a_row_of_several_lines(tmp_path: Path) -> None:
    rows = "".join(f"{n},x\n" for n in range(2 * PAGE_ROWS)).encode()
    (tmp_path / "a.csv").write_bytes(b"source_id,status\n" + rows + b'9999999,"caf\n\xe9"\n8888888,y\n')
    pages = fetch(connector({"path": str(tmp_path / "a.csv"), "table": "tickets"}), "tickets")
    assert len(records_of(pages)) == 2 * PAGE_ROWS + 1
    (reject,) = rejects_of(pages)
    assert reject.place == f"a.csv line {2 * PAGE_ROWS + 2}"
    assert reject.reason == f"line {2 * PAGE_ROWS + 3}: byte 0xE9 at position 1 is not utf-8 text: {MEND}"
    assert [alive for page in pages for alive in page.alive] == ["9999999"], "its record is there, if unusable"


def test_in_json_lines_too(load: Load) -> None:
    records, rejects = load(
        b'{"source_id":"1"}\n{"source_id":"2","subject":"\xe9"}\n{\xe9\n{"source_id":"4"}\n{"source_id":"5"}\n',
        name="export.jsonl",
    )
    assert [r["source_id"] for r in records] == ["1", "4", "5"]
    assert [(r.place, r.reason) for r in rejects] == [
        ("export.jsonl line 2", f"byte 0xE9 at position 29 is not utf-8 text: {MEND}"),
        ("export.jsonl line 3", f"byte 0xE9 at position 2 is not utf-8 text: {MEND}"),
    ]


def test_half_a_character_in_json_costs_its_row(load: Load) -> None:
    content = b'{"source_id":"1"}\n{"source_id":"\\udfff"}\n{"source_id":"3","subject":"\\ud83d\\ude00"}\n'
    records, rejects = load(content, name="export.jsonl")
    assert [(r["source_id"], r.get("subject")) for r in records] == [("1", None), ("3", "😀")]
    assert [r.reason for r in rejects] == ["holds half a character: the other half of its \\ud… is missing"]


def test_what_only_lines_with_half_a_character_hold_is_refused_too(load: Load) -> None:
    """A key found nowhere else is a key all the same, and one that is itself half a character is none."""
    content = b'{"source_id":"1","subject":"\\ud83d"}\n{"source_id":"2"}\n{"source_id":"3","\\ud83d":"x"}\n'
    records, rejects = load(content, name="export.jsonl")
    assert [r["source_id"] for r in records] == ["2"]
    assert [(r.place, r.reason) for r in rejects] == [
        (f"export.jsonl line {line}", "holds half a character: the other half of its \\ud… is missing")
        for line in (1, 3)
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-8-sig", "utf_8_sig", "U8", "cp65001"])
def test_by_whatever_name_its_encoding_goes_a_byte_is_told_where_it_is(load: Load, encoding: str) -> None:
    content = b"\xef\xbb\xbfsource_id,subject\n1,caf\xe9\n2," + "é".encode() + b"\n"
    records, rejects = load(content, encoding=encoding)
    assert [(r["source_id"], r["subject"]) for r in records] == [("2", "é")]
    assert rejects[0].reason.startswith("byte 0xE9 at position 6 is not ")


def test_an_id_that_cannot_be_read_is_no_id(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"source_id,status\n1,x\n2\xe9,y\n")
    (tmp_path / "b.jsonl").write_bytes(b'{"source_id":"3"}\n{"source_id":\n')
    for name in ("a.csv", "b.jsonl"):
        pages = fetch(connector({"path": str(tmp_path / name), "table": "tickets"}), "tickets")
        assert [alive for page in pages for alive in page.alive] == []
        assert len(rejects_of(pages)) == 1


def test_the_last_character_of_a_file_that_broke_off_costs_one_row(load: Load) -> None:
    records, rejects = load(b"source_id,subject\n1,a\n2,caf\xc3")
    assert [r["source_id"] for r in records] == ["1"]
    assert [r.place for r in rejects] == ["export.csv line 3"]


def test_other_encodings_have_bad_bytes_as_well(load: Load) -> None:
    records, rejects = load(b"source_id,subject\n1,caf\xe9\n2,\x81\n", encoding="cp1252")
    assert [(r["source_id"], r["subject"]) for r in records] == [("1", "café")]
    assert rejects[0].reason.startswith("byte 0x81 at position 3 is not cp1252 text: ")
    assert rejects[0].reason.endswith('encoding = "utf-8"')


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (
            "a.csv",
            b"source_id,subject\n" + b"1,x\n" * 900 + b"2,caf\xe9\n" * 30,
            "a.csv line 902: byte 0xE9 at position 6 is not utf-8 text. "
            'Set the file\'s encoding, for example encoding = "cp1252".',
        ),
        ("a.csv", b"source_id,caf\xe9\n1,x\n", "a.csv line 1: byte 0xE9 at position 14 is not utf-8 text."),
        ("a.csv", bytes(range(1, 256)) * 9, "a.csv is no text: its first line holds control characters."),
        ("a.jsonl", '{"source_id":"1"}\n'.encode("utf-16"), "a.jsonl is not utf-8 text. Set the file's encoding, for"),
        ("a.jsonl", '{"source_id":"1"}\n'.encode("utf-16-le"), "a.jsonl holds NUL bytes. It may be UTF-16: set"),
        ("a.jsonl", bytes(range(256)) * 9, "a.jsonl holds NUL bytes."),
        ("a.jsonl", b"not json\nat all\n", "a.jsonl holds no JSON object. Is it JSON Lines, one object a"),
    ],
    ids=["cp1252", "header", "binary", "utf-16", "utf-16 bare", "binary json", "no json"],
)
def test_a_file_that_is_no_such_text_is_refused_as_a_whole(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StreamError) as caught:
        fetch(connector({"path": str(tmp_path / name), "table": "tickets"}), "tickets")
    assert str(caught.value).startswith(sentence)


def test_bad_lines_among_more_good_ones_are_slips_however_many() -> None:
    bad, good = "caf\udce9\n", "café\n"
    assert not is_mostly_other([bad] * 3 + ["x\n"] * 4)
    assert is_mostly_other([bad] * 4 + ["x\n"] * 5)
    assert is_mostly_other([bad, "x\n"]), "a header and nothing that is text"
    assert not is_mostly_other([bad] * 100 + [good] * 100)
    assert not is_mostly_other([bad] * 20 + ["x\n"] * 3000)
    assert is_mostly_other([bad] * 21 + ["x\n"] * 300_000), "an English list of names with a few accents"


@given(
    st.lists(st.binary(max_size=12), max_size=8),
    st.sampled_from(["a.csv", "a.jsonl"]),
    st.sampled_from(["utf-8", "cp1252", "shift_jis", "utf-16", "gb18030"]),
)
def test_whatever_bytes_come_what_is_loaded_can_be_stored(
    tmp_path_factory: pytest.TempPathFactory, cells: list[bytes], name: str, encoding: str
) -> None:
    path = tmp_path_factory.mktemp("bytes") / name
    rows = [b"%d,%s" % (n, cell) for n, cell in enumerate(cells)]
    if name == "a.jsonl":
        rows = [b'{"source_id":"%d","subject":"%s"}' % (n, cell) for n, cell in enumerate(cells)]
    header = b"source_id,subject" if name == "a.csv" else b'{"source_id":"h"}'
    path.write_bytes(b"\n".join([header, *rows, b""]))
    try:
        pages = fetch(connector({"path": str(path), "table": "tickets", "encoding": encoding}), "tickets")
    except StreamError:
        return
    texts = [value for record in records_of(pages) for value in record.values() if isinstance(value, str)]
    texts += [text for reject in rejects_of(pages) for text in (reject.place, reject.reason, reject.content)]
    texts += [alive for page in pages for alive in page.alive]
    conn = sqlite3.connect(":memory:")
    for text in texts:
        assert conn.execute("SELECT ?", (text,)).fetchone() == (text,)
    conn.close()

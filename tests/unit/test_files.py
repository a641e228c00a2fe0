"""The files connector end to end: files on disk in, pages of records out."""

import csv
import gzip
import json
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Bookmark, Page, Record, Reject
from connectors.errors import SourceConfigError, StreamError
from connectors.files.connector import PAGE_ROWS, FilesConnector, FilesSettings
from syncagent.schema import TABLES, column_types

NOW = datetime(2026, 11, 1, tzinfo=UTC)
TICKETS = {"source_id": "number", "status_category": "state"}


def connector(*entries: dict[str, Any], timezone: str = "UTC", **source: Any) -> FilesConnector:
    settings = FilesSettings.model_validate({"type": "files", "table": list(entries), **source})
    columns = {table: column_types(table) for table in TABLES}
    return FilesConnector("desk", settings, columns=columns, tables=TABLES, currency="EUR", timezone=timezone)


def fetch(
    source: FilesConnector, stream: str, bookmark: Bookmark | None = None, *, full: bool = False, since: Any = None
) -> list[Page]:
    return list(source.fetch_pages(stream, bookmark, full=full, since=since, now=NOW))


def records_of(pages: list[Page]) -> list[Record]:
    return [record for page in pages for records in page.records.values() for record in records]


def rejects_of(pages: list[Page]) -> list[Reject]:
    return [reject for page in pages for reject in page.rejects]


Load = Callable[..., tuple[list[Record], list[Reject]]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write one file, read it as one entry: (records, rejects)."""

    def write_and_read(
        content: str | bytes, table: str = "tickets", name: str = "export.csv", timezone: str = "UTC", **entry: Any
    ) -> tuple[list[Record], list[Reject]]:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        pages = fetch(connector({"path": str(path), "table": table, **entry}, timezone=timezone), table)
        return records_of(pages), rejects_of(pages)

    return write_and_read


# --- what is read


def test_columns_map_ours_to_theirs_and_one_of_theirs_may_feed_several_of_ours(load: Load) -> None:
    records, rejects = load(
        "number,state\n1,New\n2,Closed\n",
        columns={**TICKETS, "status": "state"},
        values={"status_category": {"Closed": "closed", "*": "open"}},
    )
    assert records == [
        {"source_id": "1", "status_category": "open", "status": "New"},
        {"source_id": "2", "status_category": "closed", "status": "Closed"},
    ]
    assert rejects == []


def test_without_a_mapping_headers_of_our_names_are_taken_and_id_stands_in_for_source_id(load: Load) -> None:
    records, _ = load("id,priority,what else\n7,high,x\n")
    assert records == [{"source_id": "7", "priority": "high"}]


def test_a_file_may_carry_the_bookkeeping_columns(load: Load) -> None:
    records, _ = load("id,source,source_id,is_deleted,is_test,merged_into\nx,salesforce,500,1,,501\n")
    assert records == [
        {"source": "salesforce", "source_id": "500", "is_deleted": 1, "is_test": 0, "merged_into": "501"}
    ]


def test_amounts_are_major_units_of_the_rows_currency_or_the_agents(load: Load) -> None:
    records, rejects = load(
        "source_id,amount,cost,currency\n1,10.125,2,USD\n2,1500,,JPY\n3,1.5,,\n4,,,EUR\n5,1,,Euro\n",
        table="opportunities",
    )
    assert [(r["amount_minor"], r["cost_minor"], r["currency"]) for r in records] == [
        (1013, 200, "USD"),
        (1500, None, "JPY"),
        (150, None, "EUR"),
        (None, None, "EUR"),
    ]
    assert [reject.reason for reject in rejects] == [
        'currency "Euro" is not a currency; three letters such as EUR are expected'
    ]


def test_the_agents_currency_is_written_where_no_currency_is_mapped(load: Load) -> None:
    records, _ = load(
        "nr;Betrag\n1;1.234,50\n", table="opportunities", delimiter=";", decimal=",",
        columns={"source_id": "nr", "amount": "Betrag"},
    )  # fmt: skip
    assert records == [{"source_id": "1", "amount_minor": 123450, "currency": "EUR"}]


def test_null_texts_mean_missing_and_a_missing_created_at_is_kept_as_such(load: Load) -> None:
    records, _ = load(
        "number,opened,by\n1,?,\n", null=["", "?"],
        columns={"source_id": "number", "created_at": "opened", "owner_id": "by"},
    )  # fmt: skip
    assert records == [{"source_id": "1", "created_at": None, "owner_id": None}]


def test_a_repeated_header_is_name_2(load: Load) -> None:
    records, _ = load(
        "source_id,category,category\n1,a,b\n", columns={"source_id": "source_id", "category": "category.2"}
    )
    assert records == [{"source_id": "1", "category": "b"}]


def test_extra_columns_go_into_custom_with_their_types_under_our_name(load: Load) -> None:
    records, _ = load(
        "number,at,day,n,rate,ok,word\n1,1/3/2016 10:00,2/3/2016,3,0.5,yes,x\n",
        columns={"source_id": "number", "resolved_at": "at"},
        datetime_format="%d/%m/%Y %H:%M",
        extra={
            "resolved_at": "instant", "day": "date", "n": "integer", "rate": "number", "ok": "boolean", "word": "text",
        },
        timezone="Europe/Paris",
    )  # fmt: skip
    assert records[0]["custom"] == {
        "resolved_at": "2016-03-01T09:00:00Z",
        "day": "2016-03-02",
        "n": 3,
        "rate": 0.5,
        "ok": True,
        "word": "x",
    }


def test_extra_may_be_a_list_of_texts_or_everything_not_mapped(load: Load) -> None:
    listed, _ = load("number,a,b\n1,2,3\n", columns={"source_id": "number"}, extra=["b"])
    everything, _ = load("number,a,b\n1,2,3\n", columns={"source_id": "number"}, extra="*")
    assert [listed[0]["custom"], everything[0]["custom"]] == [{"b": "3"}, {"a": "2", "b": "3"}]


def test_dates_are_iso_by_default_and_naive_times_are_in_the_entrys_zone_else_the_agents(load: Load) -> None:
    content = "source_id,created_at,close_date\n1,2026-07-01 10:00,2026-07-01\n2,2026-07-01T10:00:00+02:00,2026-07-01\n"
    own, _ = load(content, table="opportunities", timezone="America/New_York")
    assert [(r["created_at"], r["close_date"]) for r in own] == [
        ("2026-07-01T14:00:00Z", "2026-07-01"),
        ("2026-07-01T08:00:00Z", "2026-07-01"),
    ]


def test_a_bare_date_in_an_instant_is_the_start_of_its_local_day(load: Load) -> None:
    records, _ = load("source_id,created_at\n1,2016-10-20\n", timezone="Europe/Paris")
    assert records[0]["created_at"] == "2016-10-19T22:00:00Z"


def test_an_aware_time_in_a_date_column_is_the_agents_local_day(load: Load) -> None:
    records, _ = load(
        "source_id,close_date\n1,2026-01-01T23:30:00Z\n2,2026-01-01 23:30\n", "opportunities", timezone="Europe/Paris"
    )
    assert [r["close_date"] for r in records] == ["2026-01-02", "2026-01-01"]


def test_several_rows_of_an_id_leave_the_latest_updated_at_and_ties_go_by_place(load: Load) -> None:
    records, _ = load(
        "source_id,updated_at,status\n1,2026-01-02,b\n1,2026-01-01,a\n1,2026-01-02,c\n2,,x\n2,2026-01-01,y\n"
    )
    assert {r["source_id"]: r["status"] for r in records} == {"1": "c", "2": "y"}
    assert sum(r["source_id"] == "1" for r in records) == 1


def test_rows_of_a_log_need_no_id_and_keep_one_that_stands_for_their_place(load: Load, tmp_path: Path) -> None:
    content = "number,at\n1,2026-01-01\n1,2026-01-01\n"
    mapping = {"ticket_id": "number", "changed_at": "at"}
    first, _ = load(content, "ticket_status_history", columns=mapping)
    again, _ = load(content + "1,2026-01-02\n", "ticket_status_history", columns=mapping)
    assert [r["source_id"] for r in first] == ["export.csv#2", "export.csv#3"]
    assert [r["source_id"] for r in again] == ["export.csv#2", "export.csv#3", "export.csv#4"]


def test_a_log_that_became_shorter_keeps_no_row_twice(tmp_path: Path) -> None:
    path = tmp_path / "costs.csv"
    path.write_text("month,kind,amount\n2026-01,sales,1\n2026-02,sales,2\n2026-03,sales,3\n")
    source = connector({"path": str(path), "table": "costs"})
    bookmark = json.loads(json.dumps(fetch(source, "costs")[-1].bookmark))
    path.write_text("month,kind,amount\n2026-02,sales,2\n2026-03,sales,3\n")
    pages = fetch(source, "costs", bookmark)
    assert [(r["source_id"], r["month"]) for r in records_of(pages)] == [
        ("costs.csv#2", "2026-02"), ("costs.csv#3", "2026-03"),
    ]  # fmt: skip
    assert [(one.table, one.source_id) for page in pages for one in page.tombstones] == [("costs", "costs.csv#4")]
    again = fetch(source, "costs", json.loads(json.dumps(pages[-1].bookmark)))
    assert sum(page.read + len(page.tombstones) for page in again) == 0


def test_gzip_and_byte_order_marks_and_tabs_are_understood(load: Load) -> None:
    packed, _ = load(gzip.compress(b"source_id\n1\n"), name="a.csv.gz")
    marked, _ = load(b"\xef\xbb\xbfsource_id\n1\n")
    wide, _ = load("source_id\n1\n".encode("utf-16"), encoding="utf-16")
    tabs, _ = load("source_id\tstatus\n1\tx\n", name="a.tsv")
    assert [packed, marked, wide] == [[{"source_id": "1"}]] * 3
    assert tabs == [{"source_id": "1", "status": "x"}]


def test_json_lines_keep_exact_numbers_and_rows_may_leave_keys_out(load: Load) -> None:
    content = '{"id": 5, "amount": 0.1, "won": true}\n\n{"id": "6", "close": null}\n[1]\n{"id": 7,\n'
    records, rejects = load(
        content, "opportunities", name="deals.ndjson",
        columns={"source_id": "id", "amount": "amount"}, extra={"won": "boolean", "close": "date"},
    )  # fmt: skip
    assert records == [
        {"source_id": "5", "amount_minor": 10, "currency": "EUR", "custom": {"won": True, "close": None}},
        {"source_id": "6", "amount_minor": None, "currency": "EUR", "custom": {"won": None, "close": None}},
    ]
    assert [(r.place, r.reason) for r in rejects] == [
        ("deals.ndjson line 4", "is not a JSON object on one line"),
        ("deals.ndjson line 5", "is not a JSON object on one line"),
    ]


def test_packed_json_lines_without_a_line_are_no_rows(load: Load) -> None:
    assert load(gzip.compress(b""), name="none.jsonl.gz") == ([], [])


def test_the_sources_own_value_maps_serve_every_file_and_an_entry_overrides_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("number,state\n1,Done\n")
    source = connector(
        {"path": str(tmp_path / "a.csv"), "table": "tickets", "columns": TICKETS},
        values={"tickets": {"status_category": {"Done": "closed"}}},
    )
    assert records_of(fetch(source, "tickets")) == [{"source_id": "1", "status_category": "closed"}]


@given(
    cells=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20), min_size=1, max_size=9
    )
)
def test_any_text_a_csv_writer_wrote_is_read_back_unchanged(cells: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "any.csv")
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["source_id", "subject"], *([n, cell] for n, cell in enumerate(cells))])
        pages = fetch(connector({"path": str(path), "table": "tickets"}), "tickets")
    assert [record["subject"] for record in records_of(pages)] == [cell or None for cell in cells]


# --- what a row may get wrong: the rest loads


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2,31/02/2026,1,open", 'created_at "31/02/2026" is not a date of the form %d/%m/%Y'),
        ("2,01/02/2026,one,open", 'probability "one" is not a number (decimal = ".")'),
        ("2,01/02/2026,1e999,open", 'probability "1e999" is too large a number'),
        ("2,01/02/2026,1,pending", 'state "pending" is none of open, won, lost; map it in values'),
        ("2,01/02/2026,1", "3 cells where the header has 4"),
        ("2,01/02/2026,1,open,", "5 cells where the header has 4"),
        (",01/02/2026,1,open", "source_id is missing"),
        ("2\0,01/02/2026,1,open", "source_id holds a NUL byte"),
        ('"2\n2",01/02/2026', "2 cells where the header has 4; the row runs to line 4: is a quote left open?"),
    ],
)
def test_a_bad_row_is_rejected_with_its_line_and_reason_and_the_rest_loads(load: Load, row: str, reason: str) -> None:
    records, rejects = load(
        f"source_id,created_at,probability,state\n1,01/02/2026,0.5,won\n{row}\n3,01/02/2026,,lost\n",
        table="opportunities",
        datetime_format="%d/%m/%Y",
    )
    assert [record["source_id"] for record in records] == ["1", "3"]
    assert [(reject.place, reject.reason) for reject in rejects] == [("export.csv line 3", reason)]
    assert rejects[0].content.startswith(row.split(",")[0].strip('"'))


def test_the_line_of_a_bad_row_counts_the_lines_within_cells(load: Load) -> None:
    _, rejects = load('source_id,subject,created_at\n1,"two\nlines",2026-01-01\n\n2,x,soon\n')
    assert [(r.place, r.reason) for r in rejects] == [
        ("export.csv line 5", 'created_at "soon" is not an ISO 8601 date; set datetime_format')
    ]


@pytest.mark.parametrize("cell", ["x" * 5_000_000, '"' + "line\n" * 1_000_000 + '"'])
def test_a_row_with_a_field_of_five_megabytes_is_rejected_and_the_rest_loads(load: Load, cell: str) -> None:
    records, rejects = load(f"source_id,subject,other\n1,a,b\n2,c,{cell}\n3,d,e\n")
    assert [record["source_id"] for record in records] == ["1", "3"]
    assert [reject.reason.partition(";")[0] for reject in rejects] == ["a cell has more than 1,000,000 characters"]
    assert len(rejects[0].content) <= 1_000


def test_formula_text_is_kept_as_the_text_it_is(load: Load) -> None:
    records, _ = load("source_id,subject\n1,=cmd|' /C calc'!A0\n")
    assert records[0]["subject"] == "=cmd|' /C calc'!A0"


# --- what a file may get wrong: one sentence with the mend


@pytest.mark.parametrize(
    ("content", "entry", "sentence"),
    [
        (b"", {}, "export.csv is empty: it has not even a header. Export it again."),
        (
            b"nmuber,state\n",
            {"columns": {"source_id": "number"}},
            'export.csv: it has no column "number". Did you mean "nmuber"? The file has: "nmuber", "state".',
        ),
        (
            b"number;state\n1;New\n",
            {"columns": {"source_id": "number"}},
            'export.csv: it has no column "number". Its columns look separated by ";": set delimiter = ";".',
        ),
        (b"a,b\n", {}, 'export.csv: none of its columns ("a", "b") bears the name of a column of tickets. '
                       'Map them: columns = { ours = "theirs" }.'),
        (b"status\n", {}, 'export.csv: nothing says what identifies a row of tickets. '
                          'Map it: columns = { source_id = "their id column" }.'),
        (
            b"source_id,subject\n1,ok\n" + b"2,caf\xe9\n" * 4,
            {},
            "export.csv line 3: byte 0xE9 at position 6 is not utf-8 text. "
            'Set the file\'s encoding, for example encoding = "cp1252".',
        ),
        (
            "source_id\n1\n".encode("utf-16"),
            {},
            'export.csv is not utf-8 text. Set the file\'s encoding, for example encoding = "utf-16".',
        ),
        (
            "source_id\n1\n".encode("utf-16-le"),
            {},
            'export.csv holds NUL bytes. It may be UTF-16: set encoding = "utf-16".',
        ),
        (gzip.compress(b"source_id\n" + b"1\n" * 9000)[:-12], {},
         "export.csv is cut short or damaged (gzip). Copy it again."),
        (b"source_id\n" + b'"' + b"x" * 17_000_000, {},
         "export.csv line 2: a quote is left open. Mend the file at that line."),
    ],
    ids=["empty", "column", "delimiter", "names", "id", "encoding", "utf-16", "utf-16 bare", "gzip", "quote"],
)  # fmt: skip
def test_a_bad_file_is_one_sentence_with_the_mend(
    load: Load, content: bytes, entry: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(StreamError) as caught:
        load(content, **entry)
    assert str(caught.value) == sentence


def test_a_plain_file_named_gz_and_a_folder_are_one_sentence(load: Load, tmp_path: Path) -> None:
    with pytest.raises(StreamError, match=r"^a\.csv\.gz is not a gzip file\. Name it without \.gz\.$"):
        load("source_id\n1\n", name="a.csv.gz")
    with pytest.raises(StreamError, match=r"is a folder, not a file\. Name its files: \".*/\*\.csv\"\.$"):
        fetch(connector({"path": str(tmp_path), "table": "tickets"}), "tickets")


def test_a_missing_file_and_a_glob_without_a_match_say_so(tmp_path: Path) -> None:
    missing = {"path": str(tmp_path / "gone.csv"), "table": "tickets"}
    unmatched = {"path": str(tmp_path / "x-*.csv"), "table": "users"}
    with pytest.raises(StreamError, match=r"there is no file .*gone\.csv\. Paths are relative"):
        fetch(connector(missing), "tickets")
    with pytest.raises(StreamError, match=r"no file matches .*x-\*\.csv"):
        fetch(connector(unmatched), "users")


def test_checking_names_what_cannot_be_read_and_fails_when_that_is_everything(tmp_path: Path) -> None:
    entry = {"path": str(tmp_path / "a.csv"), "table": "tickets"}
    glob = {"path": str(tmp_path / "x-*.csv"), "table": "users"}
    with pytest.raises(SourceConfigError, match=r"there is no file .*a\.csv\. Paths are relative"):
        connector(entry).check()
    (tmp_path / "a.csv").write_text("sauce_id,status\n")
    with pytest.raises(SourceConfigError, match=r"^a\.csv: nothing says what identifies a row of tickets"):
        connector(entry).check()
    both = connector(entry, glob).check()
    assert [warning.partition(" ")[0] for warning in both.warnings] == ["a.csv:", "no"]
    (tmp_path / "a.csv").write_text("source_id\n1\n")
    sound = connector(entry).check()
    assert (sound.instance, sound.account, sound.warnings) == ("desk", "1 file", ())


def test_checking_names_the_files_that_a_sync_will_refuse(tmp_path: Path) -> None:
    entry = {"path": str(tmp_path / "t-*.csv"), "table": "tickets"}
    for number in range(1, 61):
        (tmp_path / f"t-{number}.csv").write_text("source_id\n1\n")
    (tmp_path / "t-5.csv").write_bytes(b"\0\1\n")  # too old to be looked at
    (tmp_path / "t-20.csv").write_bytes(b"\0\1\n")
    (tmp_path / "t-30.csv").write_text("sauce_id,status\n")
    (warning,) = connector(entry).check().warnings
    assert warning.startswith("t-30.csv: nothing says what identifies a row of tickets. Map it:")
    assert warning.endswith(" Also: t-20.csv (holds NUL bytes).")


def test_checking_looks_at_the_newest_file_of_a_snapshot_alone(tmp_path: Path) -> None:
    entry = {"path": str(tmp_path / "t-*.csv"), "table": "tickets", "mode": "snapshot"}
    (tmp_path / "t-1.csv").write_bytes(b"\0\1\n")
    (tmp_path / "t-2.csv").write_text("source_id\n1\n")
    assert connector(entry).check().warnings == ()
    (tmp_path / "t-3.csv").write_bytes(b"\0\1\n")
    with pytest.raises(SourceConfigError, match=r"t-3\.csv holds NUL bytes"):
        connector(entry).check()


def test_an_unreadable_file_does_not_keep_the_others_from_loading(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"")
    (tmp_path / "b.csv").write_text("source_id\n2\n")
    pages = connector({"path": str(tmp_path / "*.csv"), "table": "tickets"}).fetch_pages(
        "tickets", None, full=False, since=None, now=NOW
    )
    loaded = [next(pages)]
    with pytest.raises(StreamError, match=r"a\.csv is empty"):
        next(pages)
    assert records_of(loaded) == [{"source_id": "2", "updated_at": None}]


def test_two_files_of_one_name_give_rows_and_bad_rows_places_of_their_own(tmp_path: Path) -> None:
    entries = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "costs.csv").write_text(f"month,kind,amount\n2026-01,{folder},5\nx,y\n")
        entries.append({"path": str(tmp_path / folder / "costs.csv"), "table": "costs"})
    pages = fetch(connector(*entries), "costs")
    assert [(r["source_id"], r["kind"]) for r in records_of(pages)] == [("costs.csv#2", "a"), ("b/costs.csv#2", "b")]
    assert [r.place for r in rejects_of(pages)] == ["costs.csv line 3", "b/costs.csv line 3"]


# --- what is read again


def test_an_unchanged_file_is_not_read_again_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("source_id\n1\n")
    source = connector({"path": str(path), "table": "tickets"})
    bookmark = json.loads(json.dumps(fetch(source, "tickets")[-1].bookmark))
    today = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
    assert [sum(page.read for page in fetch(source, "tickets", bookmark, **ask)) for ask in (
        {}, {"full": True}, {"since": today}, {"since": date(2999, 1, 1)}
    )] == [0, 1, 1, 0]  # fmt: skip
    path.write_text("source_id\n1\n")  # the same content, newer
    assert sum(page.read for page in fetch(source, "tickets", bookmark)) == 0
    path.write_text("source_id\n1\n2\n")
    assert [r["source_id"] for r in records_of(fetch(source, "tickets", bookmark))] == ["1", "2"]


def test_a_changed_mapping_reads_the_file_again(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("source_id,x\n1,low\n")
    entry = {"path": str(tmp_path / "a.csv"), "table": "tickets"}
    bookmark = fetch(connector(entry), "tickets")[-1].bookmark
    mapped = connector({**entry, "columns": {"source_id": "source_id", "priority": "x"}})
    assert records_of(fetch(mapped, "tickets", bookmark)) == [{"source_id": "1", "priority": "low"}]


def test_a_glob_takes_new_files_and_rereads_those_after_a_changed_one(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.csv").write_text(f"source_id,status\n1,{name}\n")
    source = connector({"path": str(tmp_path / "*.csv"), "table": "tickets"})
    bookmark = fetch(source, "tickets")[-1].bookmark
    (tmp_path / "b.csv").write_text("source_id,status\n1,B\n")
    (tmp_path / "d.csv").write_text("source_id,status\n2,d\n")
    again = fetch(source, "tickets", bookmark)
    assert [(r["source_id"], r["status"]) for r in records_of(again)] == [("1", "c"), ("2", "d")]
    for name in ("a", "b", "c", "d"):
        (tmp_path / f"{name}.csv").unlink()
    assert [page.read for page in fetch(source, "tickets", again[-1].bookmark)] == [0]


def test_pages_are_bounded_and_a_bookmark_covers_only_files_read_to_their_end(tmp_path: Path) -> None:
    lines = [f"{n}\n" for n in range(2 * PAGE_ROWS)]
    (tmp_path / "a.csv").write_text("source_id\n" + "".join(lines[:10]))
    (tmp_path / "b.csv").write_text("source_id\n" + "".join(lines[10:]))
    pages = fetch(connector({"path": str(tmp_path / "*.csv"), "table": "tickets"}), "tickets")
    covered = [sorted(Path(key).name[0] for key in (page.bookmark or {}).get("files", ())) for page in pages]
    assert [(page.read, page.total) for page in pages] == [(PAGE_ROWS, ANY), (PAGE_ROWS, 2 * PAGE_ROWS), (0, ANY)]
    assert covered == [["a"], ["a", "b"], ["a", "b"]]
    assert len(records_of(pages)) == 2 * PAGE_ROWS


def test_a_file_written_to_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("source_id\n" + "".join(f"{n}\n" for n in range(PAGE_ROWS + 1)))
    source = connector({"path": str(path), "table": "tickets"})
    pages = source.fetch_pages("tickets", None, full=False, since=None, now=NOW)
    next(pages)
    with path.open("a") as file:
        file.write("late\n")
    bookmark = list(pages)[-1].bookmark
    assert records_of(fetch(source, "tickets", bookmark))[-1] == {"source_id": "late"}


# --- what is told


def test_streams_are_our_tables_owners_first_and_fields_say_what_feeds_what(tmp_path: Path) -> None:
    (tmp_path / "deals.csv").write_text("id,stage,note,other\n")
    deals = {
        "path": str(tmp_path / "deals.csv"), "table": "opportunities", "extra": ["note"],
        "columns": {"source_id": "id", "stage": "stage", "state": "stage"},
    }  # fmt: skip
    source = connector(deals, {"path": str(tmp_path / "users.csv"), "table": "users"})
    assert [stream.name for stream in source.streams()] == ["users", "opportunities"]
    assert [(f.name, f.column) for f in source.fields("opportunities")] == [
        ("id", "source_id"),
        ("stage", "stage"),
        ("stage", "state"),
        ("note", "custom.note"),
        ("other", ""),
    ]

"""A file most of whose rows cannot be used fails its stream, and goes on failing it while it stays as it is."""

from pathlib import Path
from typing import Any

import pytest

from connectors.base import Bookmark, Page
from connectors.errors import SourceConfigError, StreamError
from connectors.files.connector import FilesConnector
from tests.unit.test_files import NOW, connector, records_of

COLUMNS = {"source_id": "number", "created_at": "opened"}
DATES = ["13/10/2026"] * 3


def tickets(folder: Path, *opened: str, name: str = "tickets.csv") -> None:
    rows = [f"{number},{day}" for number, day in enumerate(opened, 1)]
    (folder / name).write_text("\n".join(["number,opened", *rows]) + "\n")


def source(folder: Path, path: str = "tickets.csv", **entry: Any) -> FilesConnector:
    return connector({"path": str(folder / path), "table": "tickets", "columns": COLUMNS, **entry})


def read(
    source: FilesConnector, bookmark: Bookmark | None = None, stream: str = "tickets"
) -> tuple[list[Page], str | None]:
    """The pages, and what was raised behind them."""
    pages = []
    try:
        for page in source.fetch_pages(stream, bookmark, full=False, since=None, now=NOW):
            pages.append(page)
    except StreamError as error:
        return pages, str(error)
    return pages, None


@pytest.mark.parametrize("mode", ["append", "snapshot"])
def test_a_file_without_a_usable_row_fails_until_it_is_mended_and_is_not_read_again_meanwhile(
    tmp_path: Path, mode: str
) -> None:
    tickets(tmp_path, *DATES)
    pages, said = read(source(tmp_path, mode=mode))
    assert said == (
        'tickets.csv: none of its 3 rows can be used, for their created_at (column "opened").'
        ' Set datetime_format as the file writes it, for example "%d/%m/%Y %H:%M".'
    )
    pages, again = read(source(tmp_path, mode=mode), pages[-1].bookmark)
    assert (again, sum(page.read for page in pages)) == (said, 0)
    mended = source(tmp_path, mode=mode, datetime_format="%d/%m/%Y")
    pages, said = read(mended, pages[-1].bookmark)
    assert (said, len(records_of(pages))) == (None, 3)


@pytest.mark.parametrize(("good", "bad", "fails"), [(5, 5, False), (4, 6, True), (1, 8, False), (0, 1, True)])
def test_all_rows_have_to_be_bad_or_most_of_ten_but_the_good_ones_load(
    tmp_path: Path, good: int, bad: int, fails: bool
) -> None:
    tickets(tmp_path, *["2026-10-13"] * good, *["13/10/2026"] * bad)
    pages, said = read(source(tmp_path))
    assert (said is not None) == fails
    assert len(records_of(pages)) == good


def test_a_log_goes_on_failing_too_and_the_other_files_load(tmp_path: Path) -> None:
    (tmp_path / "costs-1.csv").write_text("paid_date,amount\n13/10/2026,5\n")
    (tmp_path / "costs-2.csv").write_text("paid_date,amount\n2026-10-13,5\n")
    entry = connector({"path": str(tmp_path / "costs-*.csv"), "table": "payments"})
    pages, said = read(entry, stream="payments")
    assert said is not None
    assert said.startswith("costs-1.csv: its only row cannot be used, for its paid_date.")
    assert len(records_of(pages)) == 1
    (tmp_path / "costs-1.csv").touch()
    assert read(entry, pages[-1].bookmark, "payments")[1] == said
    (tmp_path / "costs-1.csv").write_text("paid_date,amount\n2026-10-12,5\n")
    assert read(entry, pages[-1].bookmark, "payments")[1] is None


def test_check_sees_it_in_the_first_rows(tmp_path: Path) -> None:
    tickets(tmp_path, *DATES)
    with pytest.raises(SourceConfigError, match=r"tickets\.csv: none of the first 3 rows can be used, for their cre"):
        source(tmp_path).check()
    tickets(tmp_path, "2026-10-13", *DATES[:1])
    assert source(tmp_path).check().warnings == ()

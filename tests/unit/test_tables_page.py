"""docs/tables.md says what the code says."""

from tests.tables_page import PAGE, page


def test_the_page_of_tables_is_true() -> None:
    """Written anew it is the same: `python -m tests.tables_page`."""
    assert PAGE.read_text(encoding="utf-8") == page()

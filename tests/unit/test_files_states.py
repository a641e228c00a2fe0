"""Won, lost or open: what an export's columns say of a deal, what its stage's label says, and what is only guessed."""

from pathlib import Path
from typing import Any

import pytest

from connectors.base import Page
from tests.unit.test_files import connector, fetch, records_of

HEADER = "Record ID,Deal Name,Deal Stage"


def read(folder: Path, header: str, *rows: str, **entry: Any) -> list[Page]:
    (folder / "deals.csv").write_text("\n".join([header, *rows]) + "\n")
    return fetch(connector({"path": str(folder / "deals.csv"), "table": "opportunities", **entry}), "opportunities")


def notes_of(pages: list[Page]) -> list[Any]:
    return [*(pages[-1].bookmark or {}).get("notes", [])]


@pytest.mark.parametrize(
    ("stage", "state"),
    [
        ("Closed Won", "won"), ("closedwon", "won"), ("Won", "won"), ("Closed - Lost", "lost"), ("LOST", "lost"),
        ("Closed won (Sales Pipeline)", "won"), ("Closed Lost (Renewals)", "lost"),
        ("Not won", "open"), ("Verbally won", "open"), ("Won back?", "open"), ("Lost contact, retry", "open"),
        ("Gewonnen", "open"),
    ],
)  # fmt: skip
def test_only_a_crms_own_labels_stand_for_won_and_lost_and_whatever_is_guessed_is_told(
    tmp_path: Path, stage: str, state: str
) -> None:
    pages = read(tmp_path, HEADER, f'1,Big,"{stage}"')
    assert [record["state"] for record in records_of(pages)] == [state]
    (note,) = notes_of(pages)
    assert note["code"] == "states_guessed"
    assert note["message"].endswith(f'{state} "{stage}"')


@pytest.mark.parametrize(
    ("columns", "cells", "state"),
    [
        ("Is Closed Won,Is Deal Closed?", "true,true", "won"),
        ("Is Closed Won,Is Deal Closed?", "false,true", "lost"),
        ("Is Deal Closed?", "false", "open"),
        ("Is Closed Won,Is closed lost", "false,false", "open"),
        ("Is closed lost", "true", "lost"),
        ("Deal probability,Close Date", "1,2026-10-01 10:00", "won"),
        ("Deal probability,Close Date", "0,2026-10-01 10:00", "lost"),
        ("Deal probability,Is Deal Closed?", "0,true", "lost"),
        ("Deal probability,Close Date", "0.4,2026-10-01 10:00", "open"),
    ],
)
def test_what_columns_say_outdoes_a_name_and_is_no_guess(tmp_path: Path, columns: str, cells: str, state: str) -> None:
    pages = read(tmp_path, f"{HEADER},{columns}", f"1,Big,Verbally won,{cells}")
    assert [record["state"] for record in records_of(pages)] == [state]
    assert notes_of(pages) == []


def test_a_deal_that_is_said_not_to_be_won_is_not_won_whatever_its_stage_is_called(tmp_path: Path) -> None:
    pages = read(tmp_path, f"{HEADER},Is Closed Won", "1,Big,Closed Won,false")
    assert [record["state"] for record in records_of(pages)] == ["open"]


def test_a_probability_alone_says_nothing_of_a_deal_still_to_be_closed(tmp_path: Path) -> None:
    pages = read(tmp_path, f"{HEADER},Deal probability,Close Date", "1,Big,Verbally won,1,2026-12-24 10:00")
    assert [record["state"] for record in records_of(pages)] == ["open"]
    assert len(notes_of(pages)) == 1


def test_guesses_stand_until_the_admin_says_what_the_stages_mean(tmp_path: Path) -> None:
    rows = ("1,A,Not won", "2,B,Closed Won", "3,C,Gewonnen")
    pages = read(tmp_path, HEADER, *rows)
    (note,) = notes_of(pages)
    assert note["message"] == (
        "no column says which deals are won or lost, so stages were taken for it:"
        ' won "Closed Won"; open "Gewonnen", "Not won"'
    )
    assert note["mend"] == 'Say what they mean, "*" for all others: values = { state = { "Gewonnen" = "lost" } }.'
    bookmark = pages[-1].bookmark
    (tmp_path / "deals.csv").write_text("\n".join([HEADER, *rows, "4,D,Verloren"]) + "\n")
    source = connector({"path": str(tmp_path / "deals.csv"), "table": "opportunities"})
    bookmark = fetch(source, "opportunities", bookmark)[-1].bookmark
    again = fetch(source, "opportunities", bookmark)[-1].bookmark or {}
    assert '"Gewonnen", "Not won", "Verloren"' in again["notes"][0]["message"]
    values = {"state": {"Closed Won": "won", "Gewonnen": "won", "*": "lost"}}
    mended = connector({"path": str(tmp_path / "deals.csv"), "table": "opportunities", "values": values})
    pages = fetch(mended, "opportunities", again)
    assert notes_of(pages) == []
    assert [record["state"] for record in records_of(pages)] == ["lost", "won", "won", "lost"]

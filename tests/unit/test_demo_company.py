"""The company of a sandbox's folder is the same one every time, and only moves on."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from syncagent.demo import company_of
from syncagent.errors import UsageError
from syncagent.sandbox import Sandbox

NOW = datetime(2026, 11, 21, 9, 30, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def test_it_begins_now_and_stands_still(tmp_path: Path) -> None:
    began, spans = company_of(tmp_path / "box", seed=7, advance=None, now=NOW)
    assert (began, spans) == (NOW.replace(second=0), [])
    assert company_of(tmp_path / "box", seed=7, advance=None, now=NOW + 3 * DAY) == (began, [])


def test_each_advance_is_added_to_those_before(tmp_path: Path) -> None:
    began, _ = company_of(tmp_path, seed=7, advance=None, now=NOW)
    assert company_of(tmp_path, seed=7, advance=DAY, now=NOW) == (began, [DAY])
    assert company_of(tmp_path, seed=7, advance=2 * DAY, now=NOW + DAY) == (began, [DAY, 2 * DAY])


def test_what_was_there_before_an_advance_is_there_after_it(tmp_path: Path) -> None:
    boxes = []
    for advance in (None, DAY):
        began, spans = company_of(tmp_path, seed=7, advance=advance, now=NOW)
        box = Sandbox(tmp_path / "box", seed=7, as_of=began)
        for span in spans:
            box.advance(span)
        boxes.append(box)
    first, second = (({lead.sf or lead.hs for lead in box.company.leads}) for box in boxes)
    assert first < second
    assert boxes[1].now - boxes[0].now == DAY


def test_another_company_is_refused(tmp_path: Path) -> None:
    company_of(tmp_path, seed=7, advance=None, now=NOW)
    with pytest.raises(UsageError, match="holds another company"):
        company_of(tmp_path, seed=8, advance=None, now=NOW)


def test_a_damaged_note_is_named(tmp_path: Path) -> None:
    (tmp_path / "company.json").write_text('{"seed": 7')
    with pytest.raises(UsageError, match="is damaged"):
        company_of(tmp_path, seed=7, advance=None, now=NOW)

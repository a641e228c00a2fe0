"""A HubSpot meeting of which nobody said how it went is held once its end has passed, which changes nothing in it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from syncagent.sandbox import Sandbox
from syncagent.sandbox.change import records
from syncagent.sandbox.company import Company
from syncagent.sandbox.hubspot.activities import lacks_outcome
from syncagent.sandbox.model import Activity
from syncagent.store import open_cache
from syncagent.sync import sync_source
from tests.fakes import one_box
from tests.fakes.truth_check import differences
from tests.integration import crm_cache


@pytest.fixture(scope="module", autouse=True)
def _servers() -> Iterator[None]:
    yield
    one_box.stop()


@pytest.fixture
def box() -> Sandbox:
    return one_box.fresh_box(5)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(one_box.fresh_cache(tmp_path))) as cache:
        yield cache


def sync(cache: sqlite3.Connection, box: Sandbox) -> int:
    """One plain sync; how many activities it read."""
    with closing(crm_cache.hubspot(box)) as connector:
        reports = sync_source(connector, cache, clock=lambda: box.now, due=lambda _last, _now: False)
    assert [report.error for report in reports if report.error] == []
    return next(report.read for report in reports if report.stream == "activities")


def planned(box: Sandbox) -> list[Activity]:
    """New meetings of half an hour that begin in an hour: some with an outcome of "scheduled", some with none."""
    deal = next(one for one in box.company.deals if one.hs and not one.sf and one.deleted is None)
    return [box.apply(records.new_activity, "meeting", deal) for _ in range(4)]


def without_end(company: Company, meeting: Activity, *, at: int) -> None:
    meeting.seconds, meeting.at = None, meeting.at + 3600
    company.touch(meeting, at)


def status_of(cache: sqlite3.Connection, meeting: Activity) -> str:
    row = cache.execute("SELECT status FROM activities WHERE id = ?", (f"hs:activities:{meeting.hs}",)).fetchone()
    return str(row[0])


@pytest.mark.parametrize("lacks_end", [False, True])
def test_a_meeting_without_an_outcome_is_held_when_its_end_has_passed(
    box: Sandbox, cache: sqlite3.Connection, lacks_end: bool
) -> None:
    meetings = planned(box)
    if lacks_end:
        for meeting in meetings:
            box.apply(without_end, meeting)
    assert {lacks_outcome(one) for one in meetings} == {True, False}
    for seconds in (120, 4000, 600):  # by then all that was changed has been read for the last time
        box.pass_time(seconds)
        sync(cache, box)
        assert {status_of(cache, one) for one in meetings} == {"scheduled"}
    box.pass_time(3600)
    sync(cache, box)
    assert {(lacks_outcome(one), status_of(cache, one)) for one in meetings} == {
        (False, "scheduled"),
        (True, "completed"),
    }
    assert differences(cache, box.truth(), "hs", "hubspot") == []


def test_ends_that_have_passed_are_asked_for_once(box: Sandbox, cache: sqlite3.Connection) -> None:
    planned(box)
    box.pass_time(120)
    sync(cache, box)
    for _ in range(5):  # until all that changed before is read for the last time
        box.pass_time(4000)
        sync(cache, box)
    box.pass_time(900)
    assert sync(cache, box) == 0

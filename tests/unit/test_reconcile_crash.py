"""A comparison with the CRM killed before any of its statements, and one lived through in random histories."""

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from syncagent.reconcile import always
from syncagent.store import open_cache
from tests.fakes.connector import Vendor, VendorConnector
from tests.unit.test_reconcile import DAY, NOW, Failing, held, is_clean, run, state, truth, vendor_of

# --- killed anywhere --------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The end of the process, at a named statement."""


class Mortal(sqlite3.Connection):
    """Dies before the statement of that number; from then on nothing reaches the file."""

    deadly = 0
    count = 0

    def _step(self) -> None:
        self.count += 1
        if self.deadly and self.count >= self.deadly:
            raise Killed

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        self._step()
        return super().execute(*arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        self._step()
        return super().executemany(*arguments)


def mortal(folder: Path, deadly: int) -> Mortal:
    conn = sqlite3.connect(folder / "cache.db", isolation_level=None, factory=Mortal)
    conn.row_factory = sqlite3.Row
    conn.deadly = deadly
    return conn


def change(vendor: Vendor) -> None:
    vendor.remove("00")
    vendor.remove("11")
    vendor.merge("01", "02")
    vendor.put("03", "formula", announced=False)
    vendor.put("04", "announced")
    vendor.put("20", "unannounced", announced=False)


@pytest.mark.parametrize(
    "options",
    [pytest.param({"due": always}, id="list"), pytest.param({"full": True}, id="full", marks=pytest.mark.slow)],
)
def test_killed_before_any_statement_it_ends_with_the_right_rows(tmp_path: Path, options: dict[str, Any]) -> None:
    vendor = vendor_of(*(f"{n:02}" for n in range(12)))
    first = tmp_path / "first"
    with closing(open_cache(first)) as cache:
        run(cache, VendorConnector(vendor, page_size=5))
        cache.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    change(vendor)
    deaths = 0
    for deadly in range(1, 1000):
        folder = tmp_path / f"{deadly}"
        folder.mkdir()
        shutil.copy(first / "cache.db", folder)
        with closing(mortal(folder, deadly)) as conn:
            try:
                run(conn, VendorConnector(vendor, page_size=5), NOW + DAY, **options)
                was_killed = False
            except Killed:
                was_killed = True
        with closing(open_cache(folder)) as cache:
            if was_killed:
                deaths += 1
                run(cache, VendorConnector(vendor, page_size=5), NOW + DAY)
                if deadly % 2:  # a person asks again, or the daemon goes on
                    run(cache, VendorConnector(vendor, page_size=5), NOW + DAY, **options)
            assert held(cache) == truth(vendor), deadly
            assert is_clean(cache), deadly
            assert state(cache)["reconciled_at"] == "2026-03-02T00:00:00Z", deadly
        shutil.rmtree(folder)
        if not was_killed:
            break
    assert deaths > 40


@pytest.mark.slow
def test_killed_anywhere_it_tells_all_it_found(tmp_path: Path) -> None:
    """What a comparison found before it was killed is told by the run that ends it."""
    vendor = vendor_of(*(f"{n:02}" for n in range(12)))
    first = tmp_path / "first"
    with closing(open_cache(first)) as cache:
        run(cache, VendorConnector(vendor, page_size=5))
        cache.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    change(vendor)
    ended = 0
    for deadly in range(1, 1000):
        folder = tmp_path / f"{deadly}"
        folder.mkdir()
        shutil.copy(first / "cache.db", folder)
        with closing(mortal(folder, deadly)) as conn:
            try:
                run(conn, VendorConnector(vendor, page_size=5), NOW + DAY, due=always)
                break
            except Killed:
                pass
        with closing(open_cache(folder)) as cache:
            report = run(cache, VendorConnector(vendor, page_size=5), NOW + DAY)
        if report.reconciled:
            ended += 1
            # 20 was missing here; 00, 11 and 01 are gone there.
            assert (report.found_missing, report.found_gone, report.compared) == (1, 3, 10), deadly
            assert report.is_counted
        shutil.rmtree(folder)
    assert ended > 20


# --- against a model --------------------------------------------------------------------------------------------

IDS = [f"{n:02}" for n in range(14)]
STEP = st.one_of(
    st.tuples(st.sampled_from(["put", "mutter", "remove", "hide", "show"]), st.sampled_from(IDS)),
    st.tuples(st.just("merge"), st.sampled_from(IDS), st.sampled_from(IDS)),
    st.tuples(st.sampled_from(["sync", "compare", "full"]), st.integers(0, 14)),
)


HISTORY = {
    "steps": st.lists(STEP, max_size=25),
    "page_size": st.integers(1, 6),
    "start": st.sets(st.sampled_from(IDS)),
}


@settings(max_examples=25)
@example(  # merged, and put back as an older version before anybody saw it
    steps=[("put", "00"), ("put", "01"), ("sync", 0), ("merge", "00", "01"), ("mutter", "00")], page_size=1, start=set()
)
@given(**HISTORY)
def test_whatever_happened_the_cache_ends_as_the_vendor_is(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any], page_size: int, start: set[str]
) -> None:
    """Random histories with syncs, comparisons and full reads between them that may end with a fault anywhere."""
    check(tmp_path_factory.mktemp("model"), steps, page_size, start)


@pytest.mark.slow
@pytest.mark.timeout(400)
@settings(max_examples=500)
@given(**HISTORY)
def test_whatever_happened_in_five_hundred_histories(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any], page_size: int, start: set[str]
) -> None:
    check(tmp_path_factory.mktemp("model"), steps, page_size, start)


def check(folder: Path, steps: list[Any], page_size: int, start: set[str]) -> None:
    """Live it, let it come to rest, compare."""
    with closing(open_cache(folder)) as cache:
        vendor = vendor_of(*sorted(start))
        play(cache, vendor, steps, page_size)
        for _ in range(2):  # the first may only end a comparison that began before the last changes
            report = run(cache, VendorConnector(vendor, page_size=page_size), NOW + 2 * DAY, due=always)
            assert report.error is None
        assert report.reconciled
        assert held(cache) == truth(vendor)
        stored = {row[0]: row[1] for row in cache.execute("SELECT source_id, updated_at FROM leads")}
        assert {id_: stored[id_] for id_ in vendor.live} == {i: r["updated_at"] for i, r in vendor.live.items()}
        assert is_clean(cache)


def play(cache: sqlite3.Connection, vendor: Vendor, steps: list[Any], page_size: int) -> None:
    hidden: set[str] = set()
    actions: dict[str, Callable[[str], object]] = {
        "put": lambda id_: vendor.put(id_, f"{id_} {vendor.version}"),
        "mutter": lambda id_: vendor.put(id_, f"{id_} {random.random()}", announced=False),
        "remove": vendor.remove,
        "hide": hidden.add,
        "show": hidden.discard,
    }
    for number, step in enumerate(steps):
        match step:
            case ("merge", loser, winner):
                if loser != winner and loser in vendor.live and winner in vendor.live:
                    vendor.merge(loser, winner)
            case ("sync" | "compare" | "full", deadly):
                connector = Failing(vendor, page_size=page_size)
                connector.deadly, connector.hidden = deadly, hidden
                how: dict[str, Any] = {"due": always if step[0] == "compare" else lambda *_: False}
                run(cache, connector, NOW + timedelta(minutes=number), full=step[0] == "full", **how)
            case (what, id_):
                actions[what](id_)

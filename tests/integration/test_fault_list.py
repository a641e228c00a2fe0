"""Every fault on the list, struck while a source is read: nothing is lost, doubled or made up; the end is the truth.

Each case loads a small company, lets things happen, syncs while the fault is in force, and compares the cache with
the sandbox's truth once the fault is gone: first after two plain syncs, so that no comparison puts right what the
reading itself lost, and again, strictly, after a comparison. What a fault may cost meanwhile is said beside it: the
errors that are told, how often the vendor is asked, and what must go on.
"""

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import lru_cache
from pathlib import Path

import pytest

from connectors.base import Connector
from connectors.transport import Timeouts
from syncagent import reconcile
from syncagent.sandbox import Sandbox
from syncagent.store import open_cache
from syncagent.sync import StreamReport, sync_source
from tests.fakes import one_box
from tests.fakes.truth_check import differences
from tests.integration import crm_cache
from tests.integration.fault_cases import GROUPS, Case

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SETTLED_S = 90 * 60
PAUSE_S = 15 * 60  # between two syncs
SEED = 5
#: Short enough for a test, long enough for a busy machine.
QUICK = Timeouts(connect_s=1.0, read_s=0.4, total_s=1.2)

#: What strikes a first read otherwise than a later one is struck in both, and in a comparison too.
CASES = [
    pytest.param(case, strikes, id=f"{case.id}-{strikes.replace(' ', '-')}")
    for group, cases in GROUPS.items()
    for case in cases()
    for strikes in (
        ("incremental",) if group in ("statuses", "limits", "data") else ("backfill", "incremental and comparison")
    )
]


@pytest.fixture(scope="module", autouse=True)
def _stopped() -> Iterator[None]:
    yield
    one_box.stop()


def _connector(box: Sandbox, case: Case) -> Connector:
    build = crm_cache.hubspot if case.crm == "hubspot" else crm_cache.salesforce
    return build(box, timeouts=QUICK, **case.more)


def _sync(cache: sqlite3.Connection, box: Sandbox, case: Case, *, compares: bool) -> list[StreamReport]:
    due = reconcile.always if compares else (lambda _last, _now: False)
    with closing(_connector(box, case)) as connector:
        return sync_source(connector, cache, clock=lambda: box.now, due=due, recounts=True)


def _strike(cache: sqlite3.Connection, box: Sandbox, case: Case, *, compares: bool) -> None:
    """A sync while the fault is in force, and what it may cost; the fault is gone afterwards, and an hour and more."""
    logins = box.salesforce.login.count
    case.make(box)
    try:
        reports = _sync(cache, box, case, compares=compares)
    finally:
        getattr(box.faults, case.crm).clear()
        case.mend(box)
    assert box.salesforce.login.count - logins <= 3
    if case.spares:
        failed = [report.stream for report in reports if report.error is not None]
        assert len(failed) <= 2 < len(reports), f"a fault of one object stopped {failed}"
    box.pass_time(SETTLED_S)
    cache.execute("UPDATE sources SET failures = 0, rests_until = NULL")


def _sync_well(cache: sqlite3.Connection, box: Sandbox, case: Case, *, compares: bool = False) -> None:
    reports = _sync(cache, box, case, compares=compares)
    assert [f"{report.stream}: {report.error}" for report in reports if report.error] == []


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """What a first load of a CRM leaves, made once: the company is the same in every case."""

    @lru_cache
    def load(crm: str) -> Path:
        folder = tmp_path_factory.mktemp(crm)
        with closing(open_cache(one_box.fresh_cache(folder))) as cache:
            _sync_well(cache, one_box.fresh_box(SEED), Case(crm, "none", None))
        return folder / "data"

    return load


@pytest.mark.parametrize(("case", "strikes"), CASES)
def test_a_fault_ends_in_the_truth(case: Case, strikes: str, loaded: Callable[[str], Path], tmp_path: Path) -> None:
    is_first = strikes == "backfill"
    name = "hs" if case.crm == "hubspot" else "sf"
    if not is_first:
        shutil.copytree(loaded(case.crm), tmp_path / "data")
    box = one_box.fresh_box(SEED)
    rng = random.Random(f"{case.id}{is_first}")
    with closing(open_cache(one_box.fresh_cache(tmp_path) if is_first else tmp_path / "data")) as cache:
        if not is_first:
            for _ in range(25):
                box.change(rng)
            box.pass_time(20)
        _strike(cache, box, case, compares=False)
        for _ in range(2):
            _sync_well(cache, box, case)
            box.pass_time(PAUSE_S)
        assert differences(cache, box.truth(), name, case.crm) == [], "after two plain syncs"
        if strikes == "incremental and comparison":
            _strike(cache, box, case, compares=True)
            assert differences(cache, box.truth(), name, case.crm) == [], "undone by a comparison"
        _sync_well(cache, box, case, compares=True)
        assert differences(cache, box.truth(strict=True), name, case.crm) == [], "after a comparison"
        assert cache.execute("PRAGMA integrity_check").fetchone()[0] == "ok"

"""Days that are not like others: clocks that go forward or back, a leap day. What happens then is here as it was."""

import random
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncagent import reconcile
from syncagent.store import open_cache
from syncagent.sync import sync_source
from tests.fakes import one_box
from tests.fakes.truth_check import differences
from tests.integration import crm_cache

pytestmark = pytest.mark.slow

#: A little before the moment, which the syncs then pass. The company lives in Berlin.
BEFORE = {
    "clocks go forward": datetime(2027, 3, 28, 0, 10, tzinfo=UTC),
    "clocks go back": datetime(2026, 10, 25, 0, 10, tzinfo=UTC),
    "a local day of 25 hours begins": datetime(2026, 10, 24, 21, 10, tzinfo=UTC),
    "a leap day begins": datetime(2028, 2, 28, 22, 10, tzinfo=UTC),
    "a leap day ends": datetime(2028, 2, 29, 22, 10, tzinfo=UTC),
    "a year ends": datetime(2026, 12, 31, 22, 10, tzinfo=UTC),
}


@pytest.fixture(scope="module", autouse=True)
def _stopped() -> Iterator[None]:
    yield
    one_box.stop()


@pytest.mark.parametrize("crm", ["salesforce", "hubspot"])
@pytest.mark.parametrize("day", BEFORE)
def test_what_happens_around_an_odd_moment_is_here_as_it_was(crm: str, day: str, tmp_path: Path) -> None:
    box = one_box.fresh_box(1)
    box.reset(seed=11, as_of=BEFORE[day], size="tiny")
    rng = random.Random(f"{crm}{day}")
    name, build = ("sf", crm_cache.salesforce) if crm == "salesforce" else ("hs", crm_cache.hubspot)
    with closing(open_cache(one_box.fresh_cache(tmp_path))) as cache:

        def sync(*, compares: bool = False) -> None:
            due = reconcile.always if compares else (lambda _last, _now: False)
            with closing(build(box)) as connector:
                reports = sync_source(connector, cache, clock=lambda: box.now, due=due)
            assert [report.error for report in reports if report.error] == []

        sync()
        for _ in range(4):
            for _ in range(8):
                box.pass_time(3 * 60)
                box.change(rng)
            sync()
        box.pass_time(90 * 60)
        sync()
        assert differences(cache, box.truth(), name, crm) == []
        sync(compares=True)
        assert differences(cache, box.truth(strict=True), name, crm) == []

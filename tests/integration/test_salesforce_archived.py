"""Activities Salesforce has archived: hidden from `query`, shown by `queryAll`, and here like any other."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncagent.sandbox import Sandbox
from syncagent.sandbox.change import fates
from syncagent.sandbox.clock import DAY
from syncagent.sandbox.company import Company
from syncagent.sandbox.model import Activity
from tests.integration.crm_cache import NOW, MemoryCache, differences, salesforce
from tests.integration.salesforce_calls import Caller

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox"), as_of=AS_OF, limits=False, size="tiny") as made:
        for kind in ("call", "task", "meeting"):
            over = (one for one in made.company.activities if one.kind == kind and one.status == "completed" and one.sf)
            for one in list(over)[:1]:
                made.apply(grow_old, one)
        made.pass_time(60)
        yield made


def grow_old(company: Company, activity: Activity, *, at: int) -> None:
    """As if it had been 400 days earlier; the small company has nothing that old."""
    activity.created -= 400 * DAY
    activity.at -= 400 * DAY
    if activity.due is not None:
        activity.due -= 400 * DAY
    if activity.completed is not None:
        activity.completed -= 400 * DAY
    company.touch(activity, at)


def archived(box: Sandbox) -> set[str]:
    tables = box.salesforce.rows.tables
    return {key for name in ("Task", "Event") for key, row in tables[name].items() if row["IsArchived"]}


def synced(box: Sandbox, **more: Any) -> MemoryCache:
    connector, cache = salesforce(box, **more), MemoryCache()
    cache.sync(connector)
    connector.close()
    return cache


@pytest.mark.parametrize("sobject", ["Task", "Event"])
def test_the_sandbox_hides_them_from_query(box: Sandbox, sobject: str) -> None:
    caller = Caller(box.salesforce)
    soql = f"SELECT Id, IsArchived, IsDeleted, ActivityDate FROM {sobject}"
    everything = {row["Id"]: row for row in caller.rows(soql)}
    plain = {row["Id"]: row for row in caller.rows(soql, everything=False)}
    hidden = {key for key, row in everything.items() if row["IsArchived"]}
    assert hidden
    assert plain.keys() == {key for key, row in everything.items() if not row["IsArchived"] and not row["IsDeleted"]}
    year_ago = (AS_OF - timedelta(days=364)).date().isoformat()
    assert all(everything[key]["ActivityDate"] < year_ago for key in hidden)


@pytest.mark.parametrize("how", [{}, {"bulk_from": 1}], ids=["rest", "bulk"])
def test_a_first_load_holds_them(box: Sandbox, how: dict[str, Any]) -> None:
    cache = synced(box, **how)
    live = cache.live("activities").keys()
    there = archived(box)
    assert there
    assert there - live <= {one.sf for one in box.company.activities if one.deleted is not None}
    assert there & live
    assert differences(cache, box.truth(), "salesforce") == []


def test_they_are_counted_compared_and_read_by_id(box: Sandbox) -> None:
    cache = synced(box)
    before = cache.live("activities").keys()
    connector = salesforce(box)
    assert connector.count("activities") == len(before)
    cache.reconcile(connector)
    assert cache.live("activities").keys() == before
    one = next(iter(archived(box) & before))
    found = [row for page in connector.read_ids("activities", [one], now=NOW) for row in page.records["activities"]]
    assert [row["source_id"] for row in found] == [one]
    connector.close()


def test_one_deleted_goes_like_any_other(box: Sandbox) -> None:
    cache = synced(box)
    gone = next(one for one in box.company.activities if one.sf in archived(box) and one.deleted is None)
    box.apply(fates.delete, gone)
    box.pass_time(60)
    connector = salesforce(box)
    cache.sync(connector)
    connector.close()
    assert gone.sf not in cache.live("activities")

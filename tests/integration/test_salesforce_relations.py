"""Whom a task or meeting of several people is about, in an org with Shared Activities; one without loses only that."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.errors import NotReadable
from syncagent.sandbox import Sandbox
from syncagent.sandbox.change import fates, links
from syncagent.sandbox.clock import DAY
from syncagent.sandbox.company import Company
from syncagent.sandbox.model import Activity, Contact, Relation
from tests.integration.crm_cache import MemoryCache, differences, salesforce

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE = 60


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox"), as_of=AS_OF, limits=False, size="tiny") as box:
        yield box


@pytest.fixture
def box(sandbox: Sandbox) -> Sandbox:
    sandbox.reset(seed=11, as_of=AS_OF)
    sandbox.salesforce.schema.turn_on("shared_activities")
    return sandbox


def sync(box: Sandbox, cache: MemoryCache, **more: Any) -> None:
    with closing(salesforce(box, streams=["activities"], **more)) as connector:
        cache.sync(connector)


def wrong(box: Sandbox, cache: MemoryCache) -> list[str]:
    return [one for one in differences(cache, box.truth(), "salesforce") if one.startswith("activit")]


def shared(box: Sandbox, prefix: str) -> tuple[Activity, list[Contact]]:
    """A task (00T) or meeting (00U), and the contacts it is not about."""
    activity = next(one for one in box.company.activities if (one.sf or "")[:3] == prefix and one.deleted is None)
    others = [one for one in box.company.contacts if one.sf and one is not activity.contact and one.deleted is None]
    return activity, others


def linked(cache: MemoryCache, activity: Activity) -> set[tuple[str, str]]:
    rows = cache.live("activity_links").values()
    return {(row["object"], row["object_id"]) for row in rows if row["activity_id"] == activity.sf}


@pytest.mark.parametrize("prefix", ["00T", "00U"])
@pytest.mark.parametrize("more", [{}, {"bulk_from": 1}], ids=["by page", "by job"])
def test_further_people_are_links_and_the_first_one_is_not(box: Sandbox, prefix: str, more: dict[str, Any]) -> None:
    activity, others = shared(box, prefix)
    for contact in others[:2]:
        box.apply(links.relate, activity, contact)
    cache = MemoryCache()
    sync(box, cache, **more)
    assert linked(cache, activity) == {("contacts", str(one.sf)) for one in others[:2]}
    assert wrong(box, cache) == []


@pytest.mark.parametrize("prefix", ["00T", "00U"])
@pytest.mark.parametrize("late_min", [0, 59])
def test_a_person_who_comes_or_goes_without_a_stamp_is_found(box: Sandbox, prefix: str, late_min: int) -> None:
    activity, others = shared(box, prefix)
    cache = MemoryCache()
    sync(box, cache)
    box.pass_time(DAY)
    sync(box, cache)
    stamp = activity.modified
    box.apply(links.relate, activity, others[0], late_s=late_min * MINUTE)
    for _ in range(1 + late_min // 5):
        box.pass_time(10 * MINUTE)
        sync(box, cache)
    assert linked(cache, activity) == {("contacts", str(others[0].sf))}
    box.apply(links.unrelate, activity, others[0])
    sync(box, cache)
    assert linked(cache, activity) == set()
    assert activity.modified == stamp
    assert wrong(box, cache) == []


def test_a_comparison_finds_a_person_nothing_told_of(box: Sandbox) -> None:
    activity, others = shared(box, "00T")
    cache = MemoryCache()
    box.apply(links.relate, activity, others[0])
    sync(box, cache)

    def unseen(company: Company, *, at: int) -> None:
        activity.relations = [Relation(company.ids.sf("TaskRelation"), others[1], at - DAY)]
        company.touched[activity.key] = activity

    box.pass_time(DAY)
    sync(box, cache)
    box.apply(unseen)
    sync(box, cache)
    assert wrong(box, cache) != []
    with closing(salesforce(box, streams=["activities"])) as connector:
        cache.reconcile(connector)
    assert linked(cache, activity) == {("contacts", str(others[1].sf))}
    assert wrong(box, cache) == []


def test_an_activity_that_is_deleted_and_restored_has_its_people_again(box: Sandbox) -> None:
    activity, others = shared(box, "00T")
    box.apply(links.relate, activity, others[0])
    cache = MemoryCache()
    sync(box, cache)
    box.apply(fates.delete, activity)
    sync(box, cache)
    box.apply(fates.undelete, activity)
    sync(box, cache)
    assert linked(cache, activity) == {("contacts", str(others[0].sf))}


@pytest.mark.parametrize("names", [("TaskRelation", "EventRelation"), ("TaskRelation",), ("Task",)])
def test_without_shared_activities_only_further_people_are_missing_and_it_is_named(
    box: Sandbox, names: tuple[str, ...]
) -> None:
    activity, others = shared(box, "00T")
    box.apply(links.relate, activity, others[0])
    box.salesforce.schema.hide(*names)
    cache = MemoryCache()
    try:
        with closing(salesforce(box)) as connector:
            warnings = connector.check().warnings
            cache.sync(connector)
    finally:
        box.salesforce.schema.show(*names)
    assert all(any(name in warning for warning in warnings) for name in names)
    assert linked(cache, activity) == set()
    assert cache.live("activities")


def test_what_was_known_stays_when_relations_are_hidden(box: Sandbox) -> None:
    activity, others = shared(box, "00T")
    box.apply(links.relate, activity, others[0])
    cache = MemoryCache()
    sync(box, cache)
    box.salesforce.schema.turn_off("shared_activities")
    box.apply(links.link_contact, activity, None)
    with pytest.raises(NotReadable, match="TaskRelation"):  # once the rest was read
        sync(box, cache)
    assert linked(cache, activity) == {("contacts", str(others[0].sf))}

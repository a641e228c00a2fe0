"""When a case was first answered, by the milestones of an org with entitlements; without them only that is lost."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.errors import NotReadable
from syncagent.sandbox import Sandbox
from syncagent.sandbox.change import records
from syncagent.sandbox.clock import DAY, instant, moment
from syncagent.sandbox.company import Company
from syncagent.sandbox.model import Milestone, Ticket
from tests.integration.crm_cache import NOW, MemoryCache, differences, salesforce

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE = 60


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox"), as_of=AS_OF, limits=False, size="tiny") as box:
        yield box


@pytest.fixture
def box(sandbox: Sandbox) -> Sandbox:
    sandbox.reset(seed=11, as_of=AS_OF)
    sandbox.salesforce.schema.turn_on("entitlements")
    return sandbox


def sync(box: Sandbox, cache: MemoryCache, **more: Any) -> None:
    with closing(salesforce(box, streams=["tickets"], **more)) as connector:
        cache.sync(connector)


def wrong(box: Sandbox, cache: MemoryCache) -> list[str]:
    return [one for one in differences(cache, box.truth(), "salesforce") if one.startswith("ticket")]


def case(box: Sandbox) -> Ticket:
    return next(one for one in box.company.tickets if one.sf and one.deleted is None and one.merged_into is None)


def answered(cache: MemoryCache, ticket: Ticket) -> Any:
    return cache.live("tickets")[str(ticket.sf)]["first_response_at"]


@pytest.mark.parametrize("more", [{}, {"bulk_from": 1}], ids=["by page", "by job"])
def test_the_milestone_of_the_first_response_fills_its_column_alone(box: Sandbox, more: dict[str, Any]) -> None:
    cache, unanswered = MemoryCache(), case(box)
    box.apply(records.set_milestone, unanswered, None)
    sync(box, cache, **more)
    assert wrong(box, cache) == []
    assert answered(cache, unanswered) is None
    assert any(row["first_response_at"] for row in cache.live("tickets").values())
    closed = next(one for one in box.company.tickets if one.sf and one.status == "closed" and one.deleted is None)
    assert answered(cache, closed) != instant(closed.history[-1].at), "which the other milestone says"


@pytest.mark.parametrize("late_min", [0, 4, 59])
def test_a_milestone_that_stamps_no_case_is_found(box: Sandbox, late_min: int) -> None:
    cache, ticket = MemoryCache(), case(box)
    sync(box, cache)
    stamp = ticket.modified
    box.pass_time(DAY)
    sync(box, cache)
    done = box.company.now - 5
    box.apply(records.set_milestone, ticket, done, late_s=late_min * MINUTE)
    for _ in range(1 + late_min // 5):
        box.pass_time(10 * MINUTE)
        sync(box, cache)
    assert answered(cache, ticket) == instant(done)
    assert ticket.modified == stamp
    box.apply(records.set_milestone, ticket, None)
    sync(box, cache)
    assert answered(cache, ticket) is None
    assert wrong(box, cache) == []


def test_a_comparison_finds_a_milestone_that_nothing_told_of(box: Sandbox) -> None:
    cache, ticket = MemoryCache(), case(box)
    sync(box, cache)
    box.pass_time(DAY)
    sync(box, cache)

    def unseen(company: Company, *, at: int) -> None:
        ticket.milestone = Milestone(at - DAY, ticket.created)
        company.touched[ticket.key] = ticket

    box.apply(unseen)
    sync(box, cache)
    assert wrong(box, cache) != []
    with closing(salesforce(box, streams=["tickets"])) as connector:
        cache.reconcile(connector)
    assert wrong(box, cache) == []


def test_a_milestone_brings_no_case_older_than_the_start(box: Sandbox) -> None:
    old = min((one for one in box.company.tickets if one.sf), key=lambda one: one.modified)
    start = (moment(old.modified) + timedelta(days=1)).date()
    cache = MemoryCache()
    sync(box, cache, start=start)
    box.apply(records.set_milestone, old, old.created)
    sync(box, cache, start=start)
    assert cache.live("tickets")
    assert old.sf not in cache.rows["tickets"]


def test_settings_name_the_type_that_is_a_first_response(box: Sandbox) -> None:
    cache, closed = MemoryCache(), next(one for one in box.company.tickets if one.sf and one.status == "closed")
    values = {"tickets": {"first_response_at": {"resolution time": True, "First Response": False}}}
    with closing(salesforce(box, streams=["tickets"], values=values)) as connector:
        cache.sync(connector)
    assert answered(cache, closed) == instant(closed.history[-1].at)


@pytest.mark.parametrize("names", [("CaseMilestone", "MilestoneType"), ("CaseMilestone",), ("MilestoneType",)])
def test_without_entitlements_only_the_first_response_is_missing_and_it_is_named(
    box: Sandbox, names: tuple[str, ...]
) -> None:
    box.salesforce.schema.hide(*names)
    cache = MemoryCache()
    try:
        with closing(salesforce(box)) as connector:
            warnings = connector.check().warnings
            cache.sync(connector)
            fed = [field.column for field in connector.fields("tickets") if field.column == "first_response_at"]
            comes = list(connector.reconcile_pages("tickets", None, now=NOW))
    finally:
        box.salesforce.schema.show(*names)
    assert any("Milestone" in warning for warning in warnings)
    assert fed == []
    assert comes
    assert not any("first_response_at" in row for page in comes for row in page.records["tickets"])
    assert cache.live("tickets")
    assert cache.live("ticket_status_history")
    assert all("first_response_at" in one for one in wrong(box, cache))


def test_entitlements_turned_off_leave_what_was_known(box: Sandbox) -> None:
    cache = MemoryCache()
    sync(box, cache)
    before = {key: row["first_response_at"] for key, row in cache.live("tickets").items()}
    box.salesforce.schema.turn_off("entitlements")
    ticket = case(box)
    box.apply(records.rename, ticket, "Still there")
    with pytest.raises(NotReadable, match="CaseMilestone"):  # once the rest was read
        sync(box, cache)
    assert {key: row["first_response_at"] for key, row in cache.live("tickets").items()} == before
    assert cache.live("tickets")[str(ticket.sf)]["subject"] == "Still there"


def test_a_field_of_the_case_that_is_mapped_goes_before(box: Sandbox) -> None:
    with closing(
        salesforce(box, streams=["tickets"], fields={"tickets": {"first_response_at": "ClosedDate"}})
    ) as connector:
        cache = MemoryCache()
        cache.sync(connector)
    closed = next(one for one in box.company.tickets if one.sf and one.status == "closed" and one.deleted is None)
    assert answered(cache, closed) == instant(closed.history[-1].at)

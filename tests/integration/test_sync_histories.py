"""Any history of a CRM, interleaved with syncs that fail and crash anywhere, ends in a cache that equals the CRM.

Hypothesis makes up what happens in the company, what goes wrong during a sync (on the wire, with logins, limits, jobs
and permissions) and where the agent dies; at the end the faults stop, an hour and a half passes, and every stream,
mapped field, tombstone, alias, link, line and history is compared with the sandbox's truth: once after a plain sync
(two, where an object was hidden), and strictly after a reconciliation.
"""

import os
import random
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from connectors.base import Connector
from syncagent import reconcile
from syncagent.sandbox.hubspot import gate as hs_gate
from syncagent.store import open_cache
from syncagent.sync import StreamReport, sync_source
from tests.fakes import one_box
from tests.fakes.truth_check import differences
from tests.integration import crm_cache

#: 500 in all; a sync of Salesforce takes a third of the time. `SYNCAGENT_EXAMPLES` is for a shorter or a longer look.
EXAMPLES = {"salesforce": 370, "hubspot": 130}
OAUTH: dict[str, Any] = {
    "access_token": None,
    "client_id": hs_gate.CLIENT_ID,
    "client_secret": hs_gate.CLIENT_SECRET,
    "refresh_token": hs_gate.REFRESH_TOKEN,
}
#: Longer than the vendors' indexes ever lag (59 minutes), and than what is read twice because of it.
SETTLED_S = 90 * 60
DAY_S = 25 * 3600

#: Where the agent may die: at the n-th statement that begins so.
STEPS = (
    "BEGIN IMMEDIATE",
    "COMMIT",
    "INSERT INTO sync_runs",
    "INSERT INTO opportunities",
    "INSERT INTO activities",
    "INSERT INTO tickets",
    "INSERT INTO opportunity_stage_history",
    "INSERT INTO activity_links",
    "UPDATE sync_state SET bookmark",
    "UPDATE sync_state SET sweep",
    "INSERT OR IGNORE INTO sweep_seen",
    "DELETE FROM sweep_seen",
    "UPDATE sync_runs",
    "SELECT source_id",
)

#: What may go wrong on the wire of either CRM for a while.
FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("status", {"status": 503}),
    ("status", {"status": 502}),
    ("html", {}),
    ("truncate", {}),
    ("cut", {}),
    ("reset", {}),
    ("drop", {}),
)

#: What else may befall one sync of either CRM: a method of the machine makes it, and returns what ends it.
TROUBLES = ("session_ends", "too_many_calls", "day_nearly_over", "object_hidden")
_RETRY_AFTER = ("0.05", "0", None, "soon")
_HIDDEN = {
    "hubspot": ("deals", "tickets", "contacts", "calls", "invoices", "line_items"),
    "salesforce": (
        "Opportunity",
        "Case",
        "Contact",
        "Task",
        "OpportunityLineItem",
        "CaseHistory",
        "TaskRelation",
        "EventRelation",
        "CaseMilestone",
    ),
}


class Died(BaseException):
    """The process ends here."""


class Mortal:
    """A connection on which the agent dies at a named step; afterwards nothing more can be written."""

    def __init__(self, conn: sqlite3.Connection, step: str, countdown: int) -> None:
        self._conn, self._step, self._countdown = conn, step, countdown
        self.is_dead = False

    def _pass(self, sql: str) -> None:
        if self.is_dead:
            raise Died
        if sql.lstrip().startswith(self._step):
            self._countdown -= 1
            if self._countdown < 0:
                self.is_dead = True
                raise Died

    def execute(self, sql: str, *more: Any) -> sqlite3.Cursor:
        self._pass(sql)
        return self._conn.execute(sql, *more)

    def executemany(self, sql: str, *more: Any) -> sqlite3.Cursor:
        self._pass(sql)
        return self._conn.executemany(sql, *more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conn, name)


@pytest.fixture(scope="module", autouse=True)
def _stopped() -> Iterator[None]:
    yield
    one_box.stop()


class Histories(RuleBasedStateMachine):
    """One CRM, one source, one cache; what happens to them."""

    crm: ClassVar[str]
    name: ClassVar[str]
    troubles: ClassVar[tuple[str, ...]] = TROUBLES
    changes = Bundle("changes")

    @initialize(seed=st.integers(0, 2**32), variant=st.integers(0, 3))
    def begin(self, seed: int, variant: int) -> None:
        self.box = one_box.fresh_box(seed % 40)
        self.variant = variant
        self.rng = random.Random(seed)
        self.folder = one_box.fresh_cache(Path(tempfile.mkdtemp()))
        self.told: list[str] = []
        self.was_hidden = False

    def connector(self) -> Connector:
        raise NotImplementedError

    def clock(self) -> datetime:
        return self.box.now

    # -- what happens ------------------------------------------------------------------------------------------------

    @rule(count=st.integers(1, 4), late_s=st.sampled_from((0, 0, 0, 45, 600, 3500)))
    def something_happens(self, count: int, late_s: int) -> None:
        for _ in range(count):
            self.told.append(f"{self.box.now:%H:%M:%S} {self.box.change(self.rng, late_s=late_s)} (late {late_s})")

    @rule(seconds=st.sampled_from((1, 30, 400, 4000, DAY_S)))
    def time_passes(self, seconds: int) -> None:
        self.box.pass_time(seconds)
        self.told.append(f"{seconds} s pass")

    @rule(full=st.booleans())
    def sync(self, full: bool) -> None:
        with closing(open_cache(self.folder)) as cache:
            self._sync(cache, full=full)

    @rule(data=st.data(), after=st.integers(0, 25), compares=st.booleans(), full=st.booleans())
    def sync_in_trouble(self, data: st.DataObject, after: int, compares: bool, full: bool) -> None:
        kind = data.draw(st.sampled_from(("wire_broken", "wire_broken", *self.troubles)))
        self.told.append(f"in trouble: {kind} after {after}")
        end = getattr(self, kind)(data, after)
        try:
            with closing(open_cache(self.folder)) as cache:
                self._sync(cache, full=full, compares=compares)
        finally:
            getattr(self.box.faults, self.crm).clear()
            end()

    def wire_broken(self, data: st.DataObject, after: int) -> Callable[[], object]:
        """Some answers of the sync are broken or refused."""
        kind, more = data.draw(st.sampled_from(FAULTS))
        getattr(self.box.faults, self.crm).add(kind, after=after, times=data.draw(st.sampled_from((1, 2, 40))), **more)
        return _nothing

    def session_ends(self, data: st.DataObject, after: int) -> Callable[[], object]:
        """A call in the middle is answered with 401, of any shape."""
        shape = data.draw(st.sampled_from(("list", "object", "empty")))
        getattr(self.box.faults, self.crm).unauthorized(shape, after=after)
        return _nothing

    def too_many_calls(self, data: st.DataObject, after: int) -> Callable[[], object]:
        """Some calls in the middle are refused for their rate."""
        raise NotImplementedError

    def day_nearly_over(self, data: st.DataObject, after: int) -> Callable[[], object]:
        """The day's calls end in the middle of the sync, and are many again afterwards."""
        raise NotImplementedError

    def object_hidden(self, data: st.DataObject, after: int) -> Callable[[], object]:
        """The login may not read one object, for this sync alone."""
        name = data.draw(st.sampled_from(_HIDDEN[self.crm]))
        self.told.append(f"... hidden: {name}")
        self.was_hidden = True
        return self.hide(name)

    def hide(self, name: str) -> Callable[[], object]:
        raise NotImplementedError

    @rule(step=st.sampled_from(STEPS), countdown=st.integers(0, 12), compares=st.booleans(), full=st.booleans())
    def sync_and_die(self, step: str, countdown: int, compares: bool, full: bool) -> None:
        with closing(open_cache(self.folder)) as cache:
            mortal = Mortal(cache, step, countdown)
            try:
                self._sync(mortal, full=full, compares=compares)  # type: ignore[arg-type]
            except Died:
                self.told.append(f"... and died at {step} {countdown}")
            if cache.in_transaction:
                cache.rollback()

    @rule()
    def login_ends(self) -> None:
        self.end_sessions()

    def end_sessions(self) -> None:
        """Every session of the CRM ends."""

    # -- how it ends -------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        try:
            self._settle()
        finally:
            shutil.rmtree(self.folder.parent, ignore_errors=True)

    def _settle(self) -> None:
        self.box.faults.clear()
        self.box.pass_time(SETTLED_S)
        with closing(open_cache(self.folder)) as cache:
            cache.execute("UPDATE sources SET failures = 0, rests_until = NULL")
            self._whole(self._sync(cache))
            if self.was_hidden:  # that it can be read again is seen by this sync; the next one reads it from the start
                self._whole(self._sync(cache))
            self._equal(cache, strict=False)
            self._whole(self._sync(cache, compares=True))
            self._equal(cache, strict=True)
            reports = self._sync(cache)
            self._whole(reports)
            assert sum(report.changed + report.deleted for report in reports) == 0, self._story()
            assert cache.execute("SELECT count(*) FROM sweep_seen").fetchone()[0] == 0, self._story()
            for report in reports:
                assert report.crm_count is None or report.crm_count == report.cache_count, (report, self._story())
        assert threading.active_count() < 60, [thread.name for thread in threading.enumerate()]

    def _sync(self, cache: sqlite3.Connection, *, full: bool = False, compares: bool = False) -> list[StreamReport]:
        self.told.append(f"{self.box.now:%H:%M:%S} sync {'full ' * full}{'comparing' * compares}")
        with closing(self.connector()) as connector:
            return sync_source(
                connector,
                cache,
                clock=self.clock,
                full=full,
                due=reconcile.always if compares else _never,
                recounts=True,
            )

    def _whole(self, reports: list[StreamReport]) -> None:
        failed = [f"{report.stream}: {report.error}" for report in reports if report.error]
        assert not failed, (failed, self._story())

    def _equal(self, cache: sqlite3.Connection, *, strict: bool) -> None:
        found = differences(cache, self.box.truth(strict=strict), self.name, self.crm)
        assert not found, f"strict {strict}:\n" + "\n".join(found[:20]) + f"\nafter {self._story()}"

    def _story(self) -> str:
        return "\n" + "\n".join(self.told)


def _nothing() -> None:
    """What ends of itself."""


def _never(_last: datetime | None, _now: datetime) -> bool:
    return False


class SalesforceHistories(Histories):
    crm, name = "salesforce", "sf"
    troubles = (*TROUBLES, "job_lost")

    def connector(self) -> Connector:
        more: dict[str, Any] = {"bulk_from": 3} if self.variant % 2 else {}
        return crm_cache.salesforce(self.box, **more)

    def too_many_calls(self, data: st.DataObject, after: int) -> Callable[[], object]:
        name = data.draw(st.sampled_from(("concurrent", "daily", "lock", "unavailable", "metering", "query_timeout")))
        self.box.salesforce.refuse(name, path="/query", after=after, times=data.draw(st.sampled_from((1, 3))))
        return _nothing

    def day_nearly_over(self, data: st.DataObject, after: int) -> Callable[[], object]:
        limits = self.box.salesforce.limits
        many, limits.daily_limit = limits.daily_limit, limits.used + 25 + after
        return lambda: setattr(limits, "daily_limit", many)

    def hide(self, name: str) -> Callable[[], object]:
        schema = self.box.salesforce.schema
        schema.hide(name)
        return lambda: schema.show(name)

    def job_lost(self, data: st.DataObject, after: int) -> Callable[[], object]:
        """One Bulk job fails, is aborted, or is forgotten before its results are read."""
        kind = data.draw(st.sampled_from(("failed", "aborted", "partial", "expired", "short", "limit")))
        self.box.salesforce.bulk.fault(kind, after=after % 2)
        return self.box.salesforce.bulk.clear_faults

    def end_sessions(self) -> None:
        self.box.salesforce.expire_tokens()

    @rule()
    def cursors_die(self) -> None:
        self.box.salesforce.expire_cursors()


class HubSpotHistories(Histories):
    crm, name = "hubspot", "hs"

    def connector(self) -> Connector:
        self.box.hubspot.ids_as_text = self.variant % 2 == 1
        self.box.hubspot.scrambled = self.variant >= 2
        more: dict[str, Any] = OAUTH if self.variant in (1, 2) else {}
        return crm_cache.hubspot(self.box, **more)

    def end_sessions(self) -> None:
        self.box.hubspot.expire_tokens()

    def too_many_calls(self, data: st.DataObject, after: int) -> Callable[[], object]:
        policy = data.draw(st.sampled_from(("SECONDLY", "TEN_SECONDLY", "DAILY")))
        # Without a hint the ten seconds' limit is waited for: ten seconds.
        hint = data.draw(st.sampled_from(_RETRY_AFTER if policy == "DAILY" else _RETRY_AFTER[:2]))
        path = "/search" if policy == "SECONDLY" else ".*"
        self.box.faults.hubspot.too_many(
            policy=policy, retry_after=hint, named=data.draw(st.booleans()), path=path, after=after % 6, times=2
        )
        return _nothing

    def day_nearly_over(self, data: st.DataObject, after: int) -> Callable[[], object]:
        hubspot = self.box.hubspot
        many, hubspot.daily_limit = hubspot.daily_limit, hubspot.rate.daily_used + 5 + after
        return lambda: setattr(hubspot, "daily_limit", many)

    def hide(self, name: str) -> Callable[[], object]:
        schema = self.box.hubspot.schema
        schema.disable(name)
        return lambda: schema.enable(name)


def _settings(crm: str) -> settings:
    return settings(
        max_examples=int(os.environ.get("SYNCAGENT_EXAMPLES", EXAMPLES[crm])),
        stateful_step_count=9,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


TestSalesforceHistories = pytest.mark.slow(pytest.mark.timeout(2400)(SalesforceHistories.TestCase))
TestSalesforceHistories.settings = _settings("salesforce")
TestHubSpotHistories = pytest.mark.slow(pytest.mark.timeout(2400)(HubSpotHistories.TestCase))
TestHubSpotHistories.settings = _settings("hubspot")

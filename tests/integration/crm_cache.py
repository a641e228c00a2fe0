"""A cache in memory for tests of connectors: applies pages as the agent does, and compares with a sandbox's truth."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from connectors.base import Bookmark, Connector, Page
from connectors.hubspot.connector import HubSpotConnector, HubSpotSettings
from connectors.retry import Patience, Retry
from connectors.salesforce.connector import SalesforceConnector, SalesforceSettings
from connectors.transport import Timeouts
from syncagent.sandbox import Sandbox
from syncagent.sandbox import hs_gate as sandbox_hubspot
from syncagent.sandbox import salesforce as sandbox_salesforce
from syncagent.sandbox.truth import Truth
from syncagent.schema import TABLES, column_types

COLUMNS: Mapping[str, Mapping[str, str]] = {table: column_types(table) for table in TABLES}
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
_OWN_LIMITER = itertools.count()  # limiters are shared by what they limit: each test begins with a fresh one
QUICK = Timeouts(connect_s=1.0, read_s=0.5, total_s=5.0)


def quick_retry() -> Retry:
    """The policy with waits of a few milliseconds; what a vendor asks for is still waited."""
    return Retry(patience=Patience(first_s=0.005, cap_s=0.01, budget_s=4.0))


def salesforce_settings(box: Sandbox, **more: Any) -> SalesforceSettings:
    """The settings that go with a sandbox's Salesforce."""
    given: dict[str, Any] = {
        "type": "salesforce",
        "instance_url": "https://northwind.my.salesforce.com",
        "client_id": sandbox_salesforce.CLIENT_ID,
        "client_secret": box.salesforce.client_secret,
        "base_url": box.salesforce_url,
        "fields": {
            "accounts": {"tier": "Tier__c", "region": "Region__c", "customer_since": "Customer_Since__c"},
            "tickets": {"close_reason": "Close_Reason__c"},
            "survey_responses": {
                "object": "Survey_Response__c",
                "score": "Score__c",
                "scale_max": "Scale_Max__c",
                "responded_at": "Responded_At__c",
                "comment": "Comment__c",
                "ticket_id": "Case__c",
                "contact_id": "Contact__c",
            },
        },
        "values": {
            "tickets": {
                "status_category": {"Waiting on Customer": "pending"},
                "close_reason": {"No response": "no_response"},
            },
        },
    }
    return SalesforceSettings(**{**given, **more})


def salesforce(box: Sandbox, *, timeouts: Timeouts = QUICK, **more: Any) -> SalesforceConnector:
    """A connector to a sandbox's Salesforce."""
    settings = salesforce_settings(box, **more)
    return SalesforceConnector(
        "sf", settings, currency="EUR", timezone="UTC", columns=COLUMNS, retry=quick_retry(), timeouts=timeouts
    )


def hubspot_settings(box: Sandbox, **more: Any) -> HubSpotSettings:
    """The settings that go with a sandbox's HubSpot."""
    given: dict[str, Any] = {
        "type": "hubspot",
        "access_token": sandbox_hubspot.ACCESS_TOKEN,
        "base_url": box.hubspot_url,
        "limits": {"per_10s": 5000 + next(_OWN_LIMITER), "search_per_s": 100},
        "fields": {"accounts": {"kind": "lifecyclestage", "tier": "tier"}, "tickets": {"close_reason": "close_reason"}},
        "values": {"tickets": {"status_category": {"Waiting on contact": "pending"}}},
    }
    return HubSpotSettings(**{**given, **more})


def hubspot(box: Sandbox, *, timeouts: Timeouts = QUICK, **more: Any) -> HubSpotConnector:
    """A connector to a sandbox's HubSpot."""
    settings = hubspot_settings(box, **more)
    return HubSpotConnector(
        "hs", settings, currency="EUR", timezone="UTC", columns=COLUMNS, retry=quick_retry(), timeouts=timeouts
    )


@dataclass
class MemoryCache:
    """Rows by table and source id, bookmarks by stream."""

    rows: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    bookmarks: dict[str, Bookmark] = field(default_factory=dict)
    rejects: list[Any] = field(default_factory=list)
    read: int = 0

    def apply(self, stream: str, page: Page) -> None:
        for table, records in page.records.items():
            for record in records:
                assert set(record) <= set(COLUMNS[table]), set(record) - set(COLUMNS[table])
                row = self.rows.setdefault(table, {}).setdefault(record["source_id"], {})
                if (row.get("updated_at") or "") <= (record.get("updated_at") or "9"):
                    row |= record
                    row["is_deleted"] = 0
        for tombstone in page.tombstones:
            if tombstone.source_id in self.rows.get(tombstone.table, {}):
                self.rows[tombstone.table][tombstone.source_id]["is_deleted"] = 1
        for merge in page.merges:
            self.rows.setdefault(merge.table, {}).setdefault(merge.source_id, {})["merged_into"] = merge.into
        self.rejects.extend(page.rejects)
        self.read += page.read
        if page.bookmark is not None:
            self.bookmarks[stream] = page.bookmark

    def sync(
        self, connector: Connector, *, full: bool = False, since: date | None = None, stop_after: int | None = None
    ) -> int:
        """One pass over all streams; the pages seen. With `stop_after`: broken off after that many pages a stream."""
        pages = 0
        for stream in connector.streams():
            seen = 0
            found = connector.fetch_pages(stream.name, self.bookmarks.get(stream.name), full=full, since=since, now=NOW)
            for page in found:
                assert set(page.records) <= set(stream.tables)
                self.apply(stream.name, page)
                pages, seen = pages + 1, seen + 1
                if seen == stop_after:
                    break
        return pages

    def live(self, table: str) -> dict[str, dict[str, Any]]:
        return {
            key: row
            for key, row in self.rows.get(table, {}).items()
            if not row.get("is_deleted") and not row.get("merged_into")
        }


def differences(cache: MemoryCache, truth: Truth, crm: str, *, erased: bool = False) -> list[str]:
    """Where the cache differs from what the CRM shows, one line each. `erased`: what left no trace counts too."""
    found: list[str] = []
    for (name, table), expected in truth.tables.items():
        if name != crm:
            continue
        live = cache.live(table)
        gone = set(expected.erased) if not erased else set()
        found += [f"{table} {one} is missing" for one in sorted(expected.live - set(live))[:5]]
        found += [f"{table} {one} is too many" for one in sorted(set(live) - expected.live - gone)[:5]]
        for source_id, columns in expected.rows.items():
            row = live.get(source_id, {})
            for column, value in columns.items():
                if row and row.get(column) != value:
                    found.append(f"{table} {source_id} {column}: {row.get(column)!r} is not {value!r}")
        for loser, winner in expected.merged.items():
            if loser in cache.rows.get(table, {}) and _end(cache, table, loser) != winner:
                found.append(f"{table} {loser} is not merged into {winner}")
    stages = ("opportunity_stage_history", "opportunity_id", "stage", "state")
    found += _compare_history(cache, *stages, crm, truth.stage_history)
    statuses = ("ticket_status_history", "ticket_id", "status", "status_category")
    found += _compare_history(cache, *statuses, crm, truth.status_history)
    return found


def _end(cache: MemoryCache, table: str, source_id: str) -> str:
    for _ in range(10):
        into = cache.rows[table].get(source_id, {}).get("merged_into")
        if not into:
            break
        source_id = into
    return source_id


def _compare_history(
    cache: MemoryCache,
    table: str,
    parent: str,
    value: str,
    state: str,
    crm: str,
    expected: Mapping[tuple[str, str], tuple[tuple[str, str, str], ...]],
) -> list[str]:
    by_parent: dict[str, list[dict[str, Any]]] = {}
    for row in cache.rows.get(table, {}).values():
        by_parent.setdefault(row[parent], []).append(row)
    found = []
    for (name, source_id), history in expected.items():
        if name != crm:
            continue
        rows: list[tuple[str, str, str]] = []
        for row in sorted(by_parent.get(source_id, ()), key=lambda one: (one["changed_at"], one["seq"])):
            if not rows or rows[-1][1] != row[value]:
                rows.append((row["changed_at"], row[value], row[state]))
        if tuple(rows) != history:
            found.append(f"{table} of {source_id}: {rows} is not {history}")
    return found

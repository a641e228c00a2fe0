"""A cache in memory for tests of connectors: applies pages as the agent does, and compares with a sandbox's truth."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from connectors.base import Bookmark, Connector, Page
from connectors.errors import NotReadable
from connectors.hubspot import login as hubspot_login
from connectors.hubspot.connector import HubSpotConnector, HubSpotSettings
from connectors.limiter import forget
from connectors.retry import Patience, Retry
from connectors.salesforce import login as salesforce_login
from connectors.salesforce.connector import SalesforceConnector, SalesforceSettings
from connectors.transport import Timeouts
from syncagent.sandbox import Sandbox
from syncagent.sandbox.config_text import config_text
from syncagent.sandbox.hubspot import gate as sandbox_hubspot
from syncagent.sandbox.salesforce import server as sandbox_salesforce
from syncagent.sandbox.truth import Truth
from syncagent.schema import TABLES, column_types
from tests.fakes.truth_check import compare_rows, is_live

COLUMNS: Mapping[str, Mapping[str, str]] = {table: column_types(table) for table in TABLES}
#: Our clock, ahead of every sandbox's: tests let days pass there.
NOW = datetime(2027, 11, 21, 9, 0, tzinfo=UTC)
QUICK = Timeouts(connect_s=1.0, read_s=0.5, total_s=5.0)


def quick_retry() -> Retry:
    """The policy with waits of a few milliseconds; what a vendor asks for is still waited."""
    return Retry(patience=Patience(first_s=0.005, cap_s=0.01, budget_s=4.0))


def _mapping(name: str) -> dict[str, Any]:
    """Which of the CRM's fields and values are which of ours: as in the configuration a sandbox writes."""
    text = config_text(
        sf_url="", hs_url="", smtp_port=1, sf_client_id="", sf_username="", hs_client_id="", start=date(2020, 1, 1)
    )
    source = tomllib.loads(text)["source"][name]
    return {"fields": source["fields"], "values": source["values"]}


def salesforce_settings(box: Sandbox, *, same_login: bool = False, **more: Any) -> SalesforceSettings:
    """The settings that go with a sandbox's Salesforce, with a fresh count of logins, unless it is to go on."""
    given: dict[str, Any] = {
        "type": "salesforce",
        "instance_url": "https://northwind.my.salesforce.com",
        "client_id": sandbox_salesforce.CLIENT_ID,
        "client_secret": box.salesforce.client_secret,
        "base_url": box.salesforce_url,
        **_mapping("sf"),
    }
    settings = SalesforceSettings(**{**given, **more})
    if not same_login:
        salesforce_login.forget(settings)
    return settings


def salesforce(box: Sandbox, *, timeouts: Timeouts = QUICK, currency: str = "EUR", **more: Any) -> SalesforceConnector:
    """A connector to a sandbox's Salesforce, with a limiter that knows of no other."""
    settings = salesforce_settings(box, **more)
    forget(salesforce_login.account_of(settings))
    return SalesforceConnector(
        "sf", settings, currency=currency, timezone="UTC", columns=COLUMNS, retry=quick_retry(), timeouts=timeouts
    )


def hubspot_settings(box: Sandbox, *, same_login: bool = False, **more: Any) -> HubSpotSettings:
    """The settings that go with a sandbox's HubSpot, with a fresh login, unless it is to be the same."""
    given: dict[str, Any] = {
        "type": "hubspot",
        "access_token": sandbox_hubspot.ACCESS_TOKEN,
        "base_url": box.hubspot_url,
        "limits": {"per_10s": 5000, "search_per_s": 100},
        "converted": {"stages": ["qualified-stage-id"]},
        **_mapping("hs"),
    }
    settings = HubSpotSettings(**{**given, **more})
    if not same_login:
        hubspot_login.forget(settings)
    return settings


def hubspot(box: Sandbox, *, timeouts: Timeouts = QUICK, currency: str = "EUR", **more: Any) -> HubSpotConnector:
    """A connector to a sandbox's HubSpot, with a limiter that knows of no other."""
    settings = hubspot_settings(box, **more)
    forget(hubspot_login.account_of(settings))
    forget(hubspot_login.portal_of(settings, str(sandbox_hubspot.PORTAL_ID)))
    return HubSpotConnector(
        "hs", settings, currency=currency, timezone="UTC", columns=COLUMNS, retry=quick_retry(), timeouts=timeouts
    )


@dataclass
class MemoryCache:
    """Rows by table and source id, bookmarks by stream."""

    rows: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    bookmarks: dict[str, Bookmark] = field(default_factory=dict)
    rejects: list[Any] = field(default_factory=list)
    alive: dict[str, set[str]] = field(default_factory=dict)  # by stream: ids the vendor has without a usable record
    read: int = 0

    def apply(self, stream: str, page: Page) -> None:
        """What the agent does with a page, in its order."""
        for table, records in page.records.items():
            for record in records:
                assert set(record) <= set(COLUMNS[table]), set(record) - set(COLUMNS[table])
                row = self.rows.setdefault(table, {}).setdefault(record["source_id"], {})
                if (row.get("updated_at") or "") <= (record.get("updated_at") or "9"):
                    row |= record
                    row["is_deleted"] = 0
        for children in page.children:
            sent = {record["source_id"] for record in page.records.get(children.table, ())}
            for source_id, row in self.rows.get(children.table, {}).items():
                is_meant = all(row.get(column) == value for column, value in children.where.items())
                if is_meant and row.get(children.parent) in children.ids and source_id not in sent:
                    row["is_deleted"] = 1
        for tombstone in page.tombstones:
            self.rows.setdefault(tombstone.table, {}).setdefault(tombstone.source_id, {})["is_deleted"] = 1
        for merge in page.merges:
            self.rows.setdefault(merge.table, {}).setdefault(merge.source_id, {})["merged_into"] = merge.into
        self.alive.setdefault(stream, set()).update(page.alive)
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
            before = self.bookmarks.get(stream.name)
            found = connector.fetch_pages(stream.name, before, full=full, since=since, now=NOW)
            try:
                for page in found:
                    assert set(page.records) <= set(stream.tables)
                    self.apply(stream.name, page)
                    pages, seen = pages + 1, seen + 1
                    if seen == stop_after:
                        break
            except NotReadable:  # one that never could be read is left out
                if before is not None:
                    raise
        return pages

    def reconcile(self, connector: Connector) -> None:
        """One reconciliation of every stream that can be: what `sync` does with its pages, in memory."""
        for stream in connector.streams():
            if not stream.reconciles:
                continue
            sweep = f"reconciliation of {stream.name}"  # with a position of its own
            seen: set[str] = set()
            unsure: set[str] = set()  # new to us, back, or of another version: read by id, with their histories
            for page in connector.reconcile_pages(stream.name, None, now=NOW):
                held = self.rows.get(stream.name, {})
                for record in page.records.get(stream.name, ()):
                    before = held.get(record["source_id"], {})
                    if not is_live(before) or before.get("updated_at") != record.get("updated_at"):
                        unsure.add(record["source_id"])
                    seen.add(record["source_id"])
                seen |= set(page.alive)
                self.apply(sweep, page)
            wanted = sorted(unsure | (set(self.live(stream.name)) - seen))
            if wanted:
                for page in connector.read_ids(stream.name, wanted, now=NOW):
                    self.apply(sweep, page)

    def live(self, table: str) -> dict[str, dict[str, Any]]:
        return {key: row for key, row in self.rows.get(table, {}).items() if row and is_live(row)}


def compare(truth: Truth, cache: MemoryCache, crm: str) -> list[str]:
    """Where a cache is not what the CRM shows: table, id, column, what was expected and what was found."""
    return compare_rows(dict(cache.rows), truth, crm)


def differences(cache: MemoryCache, truth: Truth, crm: str) -> list[str]:
    """The same, the cache first."""
    return compare(truth, cache, crm)

"""Vendors in: speaks HTTP and a vendor's words; knows nothing of SQLite, KPIs or mail."""

import threading
from collections.abc import Mapping
from typing import Any

from connectors.base import Connector, OnWait
from connectors.errors import SourceConfigError


def build(
    name: str,
    settings: Any,
    *,
    currency: str,
    timezone: str,
    columns: Mapping[str, Mapping[str, str]],
    tables: Mapping[str, Any] | None = None,
    on_wait: OnWait | None = None,
    stop: threading.Event | None = None,
    ca_file: str | None = None,
    proxy: str | None = None,
) -> Connector:
    """The connector of `[source.NAME]`; its vendor's package is imported only now.

    `columns` are our tables' column types, `tables` the tables themselves (used by files). `currency` and `timezone`
    are the agent's, for sources that name none. `stop` interrupts waits. `ca_file` and `proxy` are the agent's.
    """
    kind = getattr(settings, "type", None)
    if kind == "files":
        from connectors.files.connector import FilesConnector

        return FilesConnector(
            name, settings, columns=columns, tables=tables or {}, currency=currency, timezone=timezone
        )
    from connectors.retry import Retry, StopSignal

    retry = Retry(stop=StopSignal(stop), on_wait=on_wait)
    common: dict[str, Any] = {
        "currency": currency,
        "timezone": timezone,
        "columns": columns,
        "retry": retry,
        "ca_file": ca_file,
        "proxy": proxy,
    }
    if kind == "salesforce":
        from connectors.salesforce.connector import SalesforceConnector

        return SalesforceConnector(name, settings, **common)
    if kind == "hubspot":
        from connectors.hubspot.connector import HubSpotConnector

        return HubSpotConnector(name, settings, **common)
    raise SourceConfigError(f"There is no kind of source called {kind!r}.", mend="Use salesforce, hubspot or files.")

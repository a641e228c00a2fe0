"""A small configured agent on disk: one files source, two deals, one weekly scorecard with two readers."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scorecards.values import instant
from syncagent.config import Config, load_config
from syncagent.store import open_cache, open_state, read_cache
from syncagent.sync import sync_source
from syncagent.wiring import build_connector

#: Monday 8 o'clock in Berlin.
DUE = datetime(2026, 11, 2, 7, tzinfo=UTC)
SYNCED = datetime(2026, 11, 2, 6, 30, tzinfo=UTC)

_CONFIG = """
[agent]
name = "Acme"
timezone = "Europe/Berlin"
[source.desk]
type = "files"
every = "1h"
[[source.desk.table]]
path = "deals.csv"
table = "opportunities"
[mail]
host = "127.0.0.1"
port = {port}
security = "none"
from = "Acme <scores@acme.test>"
allowed_domains = ["acme.test"]
[kpi.broken]
name = "Broken"
sql = "SELECT abs(-9223372036854775807 - 1) AS value"
[scorecard.sales]
title = "Sales scorecard"
owner = "owner@acme.test"
send = "monday 08:00"
kpis = ["won_revenue", "lost_opportunities"]
to = ["Kim Doe <kim@acme.test>", {{ address = "hans@acme.test", locale = "de-DE", timezone = "Europe/Vienna" }}]
max_age = "6h"
"""
_DEALS = """source_id,name,created_at,close_date,close_at,state,amount,currency,stage,updated_at
1,Alpha,2026-09-01T00:00:00Z,2026-10-28,2026-10-28T10:00:00Z,won,1000,EUR,Won,2026-10-28T10:00:00Z
2,Beta,2026-09-01T00:00:00Z,2026-10-29,2026-10-29T10:00:00Z,lost,500,EUR,Lost,2026-10-29T10:00:00Z
"""


@dataclass(frozen=True)
class Desk:
    """The configuration, and connections to its two databases."""

    config: Config
    cache: sqlite3.Connection
    state: sqlite3.Connection

    @property
    def data_dir(self) -> Path:
        return self.config.agent.data_dir

    def with_card(self, **changes: Any) -> "Desk":
        """The same desk with another `[scorecard.sales]`."""
        card = self.config.scorecards["sales"].model_copy(update=changes)
        return replace(self, config=replace(self.config, scorecards={"sales": card}))

    def synced_at(self, moment: datetime) -> None:
        """Pretend that the last complete sync ended then."""
        with closing(open_cache(self.data_dir)) as writer:
            writer.execute("UPDATE sync_state SET ok_at = ?", (instant(moment),))


@contextmanager
def desk_in(folder: Path, port: int = 2525) -> Iterator[Desk]:
    """Write the files, load them into the cache, open everything."""
    (folder / "config.toml").write_text(_CONFIG.format(port=port))
    (folder / "deals.csv").write_text(_DEALS)
    config = load_config(folder / "config.toml")
    with closing(open_cache(config.agent.data_dir)) as cache, closing(build_connector(config, "desk")) as connector:
        sync_source(connector, cache, clock=lambda: SYNCED, reporting=config.reporting())
    with closing(read_cache(config.agent.data_dir)) as cache, closing(open_state(config.agent.data_dir)) as state:
        yield Desk(config, cache, state)

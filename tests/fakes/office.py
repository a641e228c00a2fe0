"""A small office: one CSV of deals, a mail server, and a configuration that joins them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

DEALS = """\
source_id,name,state,close_date,amount,created_at
1,One,won,2026-10-27,1000,2026-08-01T00:00:00Z
2,Two,lost,2026-10-28,500,2026-08-01T00:00:00Z
3,Three,open,,700,2026-08-01T00:00:00Z
4,Four,won,2026-10-29,900,2026-08-01T00:00:00Z
"""

CONFIG = """\
[agent]
name = "Acme"
timezone = "Europe/Berlin"

[source.desk]
type = "files"
every = "{every}"
[[source.desk.table]]
path = "deals.csv"
table = "opportunities"

[mail]
host = "127.0.0.1"
port = {port}
security = "none"
from = "Acme Scorecards <scores@acme.test>"

[scorecard.weekly]
title = "Weekly"
owner = "owner@acme.test"
send = "monday 08:00"
kpis = ["won_revenue", "lost_opportunities"]
to = ["vp@acme.test", "kim@acme.test"]
"""

#: 08:00 in Berlin on a Monday.
DUE = datetime(2026, 11, 2, 7, tzinfo=UTC)


@dataclass
class Office:
    """The folder of an office; `config` is its configuration file."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    def write(self, *, port: int = 9, every: str = "1h", more: str = "") -> Path:
        (self.folder / "deals.csv").write_text(DEALS)
        self.config.write_text(CONFIG.format(port=port, every=every) + more)
        return self.config


def clock_from(start: datetime) -> Callable[[], datetime]:
    """A clock that shows `start` now and runs at the usual speed."""
    offset: timedelta = start - datetime.now(UTC)
    return lambda: datetime.now(UTC) + offset

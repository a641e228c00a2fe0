"""Makes what the configuration names: its connectors; and keeps its secrets out of what is said."""

from collections.abc import Callable

import connectors
from connectors.base import Connector
from syncagent import logs, memory
from syncagent.config import Config
from syncagent.config.secrets import UNSET
from syncagent.schema import TABLES, column_types
from syncagent.stopping import StopEvent


def register_config_secrets(config: Config) -> None:
    """Keep every secret of the configuration out of everything said from now on."""
    found = [*logs.secrets_in(dict(config.sources)), *logs.secrets_in(config.mail)]
    logs.register_secrets([text for text in found if text != UNSET])


def build_connector(
    config: Config,
    name: str,
    *,
    on_wait: Callable[[float, str], None] | None = None,
    stop: StopEvent | None = None,
) -> Connector:
    """The connector of `[source.NAME]`. `on_wait` hears of waits, `stop` ends them."""
    memory.give_back_what_is_freed()
    return connectors.build(
        name,
        config.sources[name],
        currency=config.agent.currency,
        timezone=config.agent.timezone,
        columns={table: column_types(table) for table in TABLES},
        tables=TABLES,
        on_wait=on_wait,
        # Its own event: closing a connector sets it, which must stop nothing else.
        stop=stop.child() if stop is not None else None,
        ca_file=config.agent.ca_file,
        proxy=config.agent.proxy,
    )

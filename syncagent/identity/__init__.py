"""Which rows are one and the same: merge chains, and records kept in several CRMs (docs/links.md).

`link` writes `entity_links`, `dup_of` and `cluster_id`; `refresh_aliases` every merged or duplicate id with the id that
stands for it. Both follow what changed (`dirty` of kind identity), in the writer's transaction, before the facts.
"""

from syncagent.identity.aliases import MAX_HOPS, refresh_aliases
from syncagent.identity.decisions import adopt_config
from syncagent.identity.link import link, link_filed, note_sources, start_anew
from syncagent.identity.named import to_18
from syncagent.identity.tables import (
    ALIASED,
    AS_SAID,
    INSTALL,
    LINKED,
    VERSION,
    columns_of,
    concerns_new,
    key_of,
    key_said,
    note_sources_of,
)

__all__ = [
    "ALIASED",
    "AS_SAID",
    "INSTALL",
    "LINKED",
    "MAX_HOPS",
    "VERSION",
    "adopt_config",
    "columns_of",
    "concerns_new",
    "key_of",
    "key_said",
    "link",
    "link_filed",
    "note_sources",
    "note_sources_of",
    "refresh_aliases",
    "start_anew",
    "to_18",
]

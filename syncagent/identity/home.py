"""What people said of records has its home in state.db; here the cache gets its copy: a new one, or an older one."""

import contextlib
import sqlite3
from pathlib import Path

from syncagent.errors import StoreError
from syncagent.identity import decisions
from syncagent.store import has_state, read_state, transaction


def adopt_said(cache: sqlite3.Connection, data_dir: Path) -> None:
    """Hold in the cache what state.db holds of what commands said; nothing is written where it does already."""
    # A state.db that cannot be read, or is of an earlier version, is told of by whoever needs it.
    with contextlib.suppress(StoreError, sqlite3.DatabaseError):
        if not has_state(data_dir):
            return
        with contextlib.closing(read_state(data_dir)) as state:
            said = decisions.commanded(state)
        if not decisions.is_held(cache, said):
            with transaction(cache):
                decisions.adopt_commands(cache, said)

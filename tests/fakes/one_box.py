"""One sandbox a process, used by one small test after the other, and an empty cache to copy: both take a while."""

import shutil
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from syncagent.sandbox import Sandbox
from syncagent.store import open_cache

PRESENT = datetime(2026, 11, 16, 9, 0, tzinfo=UTC)


@cache
def servers() -> Sandbox:
    """The running servers. `stop` them at the end of the module."""
    return Sandbox(Path(tempfile.mkdtemp()), seed=1, as_of=PRESENT, limits=False, size="tiny").start()


@cache
def _empty_cache() -> Path:
    folder = Path(tempfile.mkdtemp()) / "data"
    open_cache(folder).close()
    return folder


def fresh_box(seed: int) -> Sandbox:
    """The servers with a tiny company of this seed, nothing broken, and no daily limit."""
    box = servers()
    box.reset(seed=seed, as_of=PRESENT, size="tiny")
    box.salesforce.limits.daily_limit = box.hubspot.daily_limit = 1_000_000_000
    return box


def fresh_cache(folder: Path) -> Path:
    """An empty cache in `folder`/data."""
    shutil.copytree(_empty_cache(), folder / "data")
    return folder / "data"


def stop() -> None:
    """Stop the servers, if they run."""
    if servers.cache_info().currsize:
        servers().stop()
        shutil.rmtree(servers().dir, ignore_errors=True)
        servers.cache_clear()

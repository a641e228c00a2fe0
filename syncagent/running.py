"""Which configuration the running daemon has read: it leaves a note in the data folder, and `status` compares.

The note counts only while the process that wrote it holds the folder, so one left by a kill means nothing.
"""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from scorecards.values import instant
from syncagent.config.file import content_of
from syncagent.config.result import Config
from syncagent.store import LOCK_NAME

NOTE = "daemon.json"


@dataclass(frozen=True, slots=True)
class Note:
    """What the daemon said of itself: its process, and the content of the configuration it uses."""

    process: int
    config: str
    content: str
    read_at: str


def write_note(config: Config, now: datetime) -> None:
    """Say which configuration this process uses from now on. A folder that is full must not stop the daemon."""
    note = {
        "process": os.getpid(),
        "config": str(config.path.absolute()),
        "content": config.content,
        "read_at": instant(now),
    }
    draft = config.agent.data_dir / f".{NOTE}"
    with suppress(OSError):
        draft.write_text(json.dumps(note), encoding="utf-8")
        draft.chmod(0o600)
        draft.replace(config.agent.data_dir / NOTE)


def remove_note(data_dir: Path) -> None:
    with suppress(OSError):
        (data_dir / NOTE).unlink(missing_ok=True)


def read_note(data_dir: Path) -> Note | None:
    """The note of the process that holds the folder; None when there is none."""
    try:
        note = Note(**json.loads((data_dir / NOTE).read_text(encoding="utf-8")))
        holder = int((data_dir / LOCK_NAME).read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, TypeError, IndexError):
        return None
    return note if note.process == holder else None


class ConfigWatch:
    """Looks whether a configuration file still is what was loaded; the content is read only when its times differ."""

    def __init__(self, config: Config) -> None:
        self._path = config.path
        self._content = self._loaded = config.content
        self._seen: tuple[int, int, int] | None = None

    def has_changed(self) -> bool:
        """Whether the file now holds something that was neither loaded nor told of before: True once per change."""
        try:
            seen = _mark(self._path)
            if seen is None or seen == self._seen:
                return False
            self._seen = seen
            content = content_of(self._path.read_bytes().decode("utf-8-sig", "replace"))
        except OSError:
            return False  # in the middle of being replaced, or gone: nothing that could be used instead
        is_new = content != self._content
        self._content = content
        return is_new

    def is_as_loaded(self) -> bool:
        """Whether the file says what was loaded, as far as was looked."""
        return self._content == self._loaded


class SecretWatch:
    """Looks whether the files that hold secrets still are those that were loaded."""

    def __init__(self, config: Config) -> None:
        self._seen = {path: _mark(path) for path in config.secret_files}

    def has_changed(self) -> bool:
        """Whether one of them is another now: True once per change. One that is gone just now is being replaced."""
        now = {path: mark for path in self._seen if (mark := _mark(path)) is not None}
        changed = any(self._seen[path] != mark for path, mark in now.items())
        self._seen |= now
        return changed


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns

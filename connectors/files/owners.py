"""Says which user of a source's own users files an owner is that an export only names."""

import logging
from contextlib import closing

from connectors.errors import ConnectorError
from connectors.files import inventory
from connectors.files.mapping import BadRow, Target, compile_plan
from connectors.files.reader import SourceFile
from connectors.files.settings import FilesSettings, FilesTable

log = logging.getLogger(__name__)


class Owners:
    """The users that files give, read when the first owner is asked for. `target`: the users table; None: no file."""

    def __init__(self, settings: FilesSettings, target: Target | None) -> None:
        self._settings = settings
        self._target = target
        self._ids: set[str] = set()
        self._by_name: dict[str, set[str]] = {}
        self._is_read = target is None

    def find(self, owner: str) -> str | None:
        """The source_id of the one user with this id or name; None where no file gives it, or several have it."""
        if not self._is_read:
            self._read()
        if owner in self._ids:
            return owner
        found = self._by_name.get(_folded(owner), set())
        return next(iter(found)) if len(found) == 1 else None

    def _read(self) -> None:
        self._is_read = True
        for entry in self._settings.table:
            if entry.table == "users":
                try:
                    self._read_entry(entry)
                except ConnectorError as error:  # the stream of users says so itself
                    log.debug("users cannot be looked up: %s", error, extra={"action": "owners_unknown"})

    def _read_entry(self, entry: FilesTable) -> None:
        assert self._target is not None
        files = inventory.find(entry)
        for path, _ in files[-1:] if entry.mode == "snapshot" else files:
            source = SourceFile(path, entry)
            header = source.header()
            plan = compile_plan(entry, self._settings, self._target, header)
            with closing(source.rows(header)) as rows:
                for row in rows:
                    try:
                        user = None if row.problem else plan.record(row.cells)
                    except BadRow:
                        continue
                    if user is not None and user.get("source_id"):
                        self._ids.add(user["source_id"])
                        if user.get("name"):
                            self._by_name.setdefault(_folded(user["name"]), set()).add(user["source_id"])


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()

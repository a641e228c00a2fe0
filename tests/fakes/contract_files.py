"""The worlds of files: CSV that is appended to, CSV snapshots, JSON Lines."""

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from connectors.base import Connector
from connectors.errors import StreamError
from connectors.files.connector import FilesConnector, FilesSettings
from syncagent.schema import TABLES
from tests.fakes.contract_cache import ContractCache
from tests.fakes.contract_worlds import World
from tests.fakes.truth_check import is_live
from tests.integration.crm_cache import COLUMNS

Table = dict[str, dict[str, Any]]
_TICKET = {
    "source_id": "number", "subject": "title", "account_id": "customer", "status": "state", "created_at": "opened",
    "updated_at": "changed", "handling_seconds": "spent", "is_escalated": "urgent",
}  # fmt: skip
_ACCOUNT = {"source_id": "id", "name": "name", "customer_since": "since"}
_NO_TEXT = b"\xff\xff\xff\n" * 1000
_DEAL = {"source_id": "id", "name": "name", "account_id": "customer", "amount": "amount", "currency": "currency"}


class FilesWorld(World):
    """Tickets, accounts and deals in a folder; a page holds two rows. An appended file says nothing of what is gone."""

    name, crm = "desk", "files"
    wide = "tickets"
    uncounted: ClassVar[frozenset[str]] = frozenset({"tickets", "accounts", "opportunities"})
    fault_error = StreamError  # there is nothing to wait for: a file that cannot be read is one for a person
    has_server = False
    tells_erased = ""
    own_id = re.compile(r"[TAD]-\d+")
    mode: ClassVar[str] = "append"
    ending: ClassVar[str] = ".csv"
    parts: ClassVar[int] = 3  # files of tickets

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.page_rows = 2
        self.minute = 0
        self.gone: set[str] = set()
        self.accounts: Table = {f"A-{n}": {"name": f"Firm {n}", "since": f"2026-0{n + 1}-01"} for n in range(4)}
        self.deals: Table = {
            f"D-{n}": {"name": f"Deal {n}", "customer": f"A-{n % 4}", "amount": f"{n}12.50", "currency": "USD"}
            for n in range(5)
        }
        self.tickets: Table = {}
        for _ in range(11):
            self.create()

    def connector(self, **more: Any) -> Connector:
        columns = {"tickets": _TICKET, "accounts": _ACCOUNT, "opportunities": _DEAL}
        pattern = f"tickets-*{self.ending}" if self.parts > 1 else f"tickets-0{self.ending}"
        names = {"tickets": pattern, "accounts": f"accounts{self.ending}", "opportunities": f"deals{self.ending}"}
        entries = [
            {
                "path": str(self.folder / names[table]),
                "table": table,
                "columns": columns[table],
                "mode": self.mode,
                "extra": {"mood": "text"} if table == "tickets" else {},
            }
            for table in names
        ]
        settings = FilesSettings.model_validate({"type": "files", "table": entries, **more})
        return FilesConnector(
            self.name,
            settings,
            columns=COLUMNS,
            tables=TABLES,
            currency="EUR",
            timezone="Europe/Berlin",
            page_rows=self.page_rows,
        )

    # -- the files -------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        self._write_one("accounts", self.accounts, "id")
        self._write_one("deals", self.deals, "id")
        for part in range(self.parts):
            own = {key: row for key, row in self.tickets.items() if int(key[2:]) % self.parts == part}
            self._write_one(f"tickets-{part}", own, "number")

    def _write_one(self, name: str, rows: Table, key: str) -> None:
        path = self.folder / f"{name}{self.ending}"
        whole = [{key: source_id, **row} for source_id, row in rows.items()]
        with path.open("w", encoding="utf-8", newline="") as file:
            if self.ending == ".jsonl":
                file.writelines(json.dumps(row) + "\n" for row in whole)
            else:
                writer = csv.DictWriter(file, list(whole[0]))
                writer.writeheader()
                writer.writerows(whole)

    def _now(self) -> str:
        self.minute += 1
        return f"2026-10-{1 + self.minute // 1440:02}T{self.minute // 60 % 24:02}:{self.minute % 60:02}:00Z"

    def _new(self) -> str:
        source_id, now = f"T-{len(self.tickets) + len(self.gone)}", self._now()
        self.tickets[source_id] = {
            "title": f"Ticket {source_id}", "customer": f"A-{len(self.tickets) % 4}", "state": "open", "opened": now,
            "changed": now, "spent": str(self.minute), "urgent": "true", "mood": "calm",
        }  # fmt: skip
        return source_id

    # -- what happens ----------------------------------------------------------------------------------------------

    def create(self) -> str:
        source_id = self._new()
        if len(self.tickets) >= self.parts:
            self._write()
        return source_id

    def edit(self, source_id: str, title: str) -> None:
        self.tickets[source_id] |= {"title": title, "changed": self._now()}
        self._write()

    def delete(self, source_id: str) -> None:
        del self.tickets[source_id]
        self.gone.add(source_id)
        self._write()

    def erase(self, source_id: str) -> None:
        self.delete(source_id)

    def relink(self, source_id: str) -> str:
        """In a file a reference is a cell; the row is not stamped."""
        other = next(key for key in self.accounts if key != self.tickets[source_id]["customer"])
        self.tickets[source_id]["customer"] = other
        self._write()
        return other

    def many(self, count: int) -> str:
        self.page_rows = count // 7
        for _ in range(count):
            self._new()
        self._write()
        return "tickets"

    # -- what breaks -----------------------------------------------------------------------------------------------

    def places(self, stream: str) -> list[int]:
        assert stream == "tickets"
        return list(range(self.parts))

    def break_at(self, stream: str, place: int) -> None:
        """A file of text that is none: a single bad line would cost only itself."""
        path = self.folder / f"{stream}-{place}{self.ending}"
        path.write_bytes(path.read_bytes() + _NO_TEXT)

    def lose(self, stream: str) -> str:
        for path in self.folder.glob(f"{stream}-*"):
            path.write_bytes(_NO_TEXT + path.read_bytes())
        return f"{stream}-"

    def lose_part(self) -> set[str]:
        self.break_at("tickets", 0)
        return {key for key in self.tickets if int(key[2:]) % self.parts == 0}

    def mend(self) -> None:
        self._write()

    # -- what is true ----------------------------------------------------------------------------------------------

    def live(self, stream: str) -> set[str]:
        return set({"tickets": self.tickets, "accounts": self.accounts, "opportunities": self.deals}[stream])

    def never(self) -> str:
        return "T-999999"

    def wrong(self, cache: ContractCache, *, strict: bool = False) -> list[str]:
        found = []
        for table in ("tickets", "accounts", "opportunities"):
            live = set(cache.live(table))
            found += [f"{table} {key}: expected live" for key in self.live(table) - live]
            kept = self.gone if self.mode == "append" and table == "tickets" else set()
            found += [f"{table} {key}: expected gone" for key in live - self.live(table) - kept]
        for key, row in cache.rows.get("tickets", {}).items():
            if key in self.tickets and is_live(row):
                theirs = self.tickets[key]
                expected = {
                    "subject": theirs["title"], "account_id": theirs["customer"], "updated_at": theirs["changed"],
                    "handling_seconds": int(theirs["spent"]), "is_escalated": 1, "custom": {"mood": "calm"},
                }  # fmt: skip
                found += [
                    f"tickets {key}.{column}: expected {value!r}, found {row.get(column)!r}"
                    for column, value in expected.items()
                    if row.get(column) != value
                ]
        for key, row in cache.live("opportunities").items():
            if row.get("amount_minor") != int(key[2:]) * 10_000 + 1250 or row["currency"] != "USD":
                found.append(f"opportunities {key}: wrong amount")
        return found

    def mapped(self) -> Mapping[str, Mapping[str, str]]:
        deals = {"amount_minor" if ours == "amount" else ours: theirs for ours, theirs in _DEAL.items()}
        return {"tickets": {**_TICKET, "custom.mood": "mood"}, "accounts": _ACCOUNT, "opportunities": deals}


class SnapshotWorld(FilesWorld):
    """What is not in the file is gone."""

    mode = "snapshot"
    parts = 1
    tells_erased = "read"


class JsonLinesWorld(FilesWorld):
    """The same rows, one JSON object a line."""

    ending = ".jsonl"

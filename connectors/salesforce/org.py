"""What one org is beside its records: its name and zone, who its users are, what its stages and statuses mean.

Read once and kept for a while, for all streams together. Safe to share between threads.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from connectors import parse
from connectors.base import Record
from connectors.errors import NotReadable, StreamError
from connectors.salesforce import fields as data
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.errors import TooMuch, UnknownField
from connectors.salesforce.records import Known, StageMeta

log = logging.getLogger(__name__)

_USERS_KEEP_S = 600.0
_USERS_A_PIECE = 2_000
#: The fields of the small objects that others are worked out with.
_SETTINGS: Mapping[str, str] = {
    "OpportunityStage": "Id, ApiName, MasterLabel, SortOrder, IsClosed, IsWon",
    "CaseStatus": "Id, ApiName, MasterLabel, SortOrder, IsClosed",
    "MilestoneType": "Id, Name",
}
_ORG_FIELDS = ("Name", "TimeZoneSidKey", "DefaultCurrencyIsoCode", "CurrencyIsoCode")


class Org:
    """One org's own facts."""

    def __init__(self, client: SalesforceClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._row_lock = threading.Lock()
        self._users_lock = threading.Lock()
        self._settings_lock = threading.RLock()
        self._row: dict[str, Any] | None = None
        self._user_types: dict[str, str] = {}
        self._users_at = float("-inf")
        self._settings: dict[str, list[dict[str, Any]]] = {}  # rows of small objects, by query
        self.untold: dict[str, StreamError] = {}  # objects that were asked for help and cannot be read, and why
        self.looks = 0  # how often what could be read was found not to be, or the other way round

    def row(self) -> dict[str, Any]:
        """The Organization row, read once."""
        with self._row_lock:
            if self._row is None:
                there = {field["name"] for field in self._client.describe("Organization")["fields"]}
                names = ", ".join(("Id", *(name for name in _ORG_FIELDS if name in there)))
                page = self._client.query(f"SELECT {names} FROM Organization")
                if not page.records:
                    raise StreamError("Salesforce shows no Organization to this login.", mend="Allow it to read setup.")
                self._row = {**page.records[0], "Id": parse.salesforce_id(page.records[0]["Id"])}
            return self._row

    @property
    def instance(self) -> str:
        return str(self.row()["Id"])

    @property
    def zone_name(self) -> str:
        return str(self.row().get("TimeZoneSidKey") or "")

    @property
    def currency(self) -> str:
        """The org's (or its corporate) currency, empty where it does not say."""
        row = self.row()
        if "corporate" not in row:
            given = row.get("DefaultCurrencyIsoCode") or row.get("CurrencyIsoCode")
            rows = [] if given else self._settings_rows("CurrencyType", "Id, IsoCode", " WHERE IsCorporate = true")
            row["corporate"] = str(given or (rows[0].get("IsoCode") if rows else "") or "")
        return str(row["corporate"])

    def user_types(self) -> dict[str, str]:
        """UserType of every user by id; empty where this login may not read users.

        Raises TooMuch where Salesforce cannot answer now: records without it would never be given it later.
        """
        with self._users_lock:
            if self._clock() - self._users_at > _USERS_KEEP_S:
                try:
                    rows = self._read_users()
                except (NotReadable, UnknownField) as error:
                    # Then who changed a record is not known; what was refused is not asked for again for as long.
                    log.info("who the users are is not known: %s", error, extra={"action": "users_unknown"})
                    self._note("User", error)
                    rows = []
                else:
                    self._note("User", None)
                types = {parse.salesforce_id(row["Id"]): str(row.get("UserType") or "Standard") for row in rows}
                self._user_types, self._users_at = types, self._clock()
            return self._user_types

    def _read_users(self) -> list[dict[str, Any]]:
        """Every user; piece by piece where all at once are too much to be answered in time."""
        try:
            return self._client.query_whole("SELECT Id, UserType FROM User")
        except TooMuch as error:
            log.info("reading the users in pieces: %s", error, extra={"action": "users_in_pieces"})
        rows: list[dict[str, Any]] = []
        place = ""
        while True:
            soql = f"SELECT Id, UserType FROM User{place} ORDER BY Id ASC LIMIT {_USERS_A_PIECE}"
            piece = self._client.query_whole(soql)
            rows += piece
            if len(piece) < _USERS_A_PIECE:
                return rows
            place = f" WHERE Id > '{parse.salesforce_id(piece[-1]['Id'])}'"

    def load_stages(self, known: Known) -> list[Record]:
        """Fill `known` with what deal stages mean; their definitions as records, none where they are not readable."""
        records = []
        for row in self._settings_rows("OpportunityStage", _SETTINGS["OpportunityStage"]):
            state = "won" if row.get("IsWon") else "lost" if row.get("IsClosed") else "open"
            meta = StageMeta(row.get("SortOrder"), state)
            known.stages[str(row.get("ApiName"))] = meta
            known.stages.setdefault(str(row.get("MasterLabel")), meta)
            records.append(self._definition("opportunities", row, state))
        return records

    def load_statuses(self, known: Known) -> list[Record]:
        """The same for case statuses: without them the cases themselves tell which are closed."""
        records = []
        for row in self._settings_rows("CaseStatus", _SETTINGS["CaseStatus"]):
            is_closed = bool(row.get("IsClosed"))
            for key in ("ApiName", "MasterLabel"):
                known.closed_statuses[str(row.get(key))] = is_closed
            records.append(self._definition("tickets", row, "closed" if is_closed else "open"))
        return records

    def pipelines(self, table: str, name: str) -> list[Record]:
        """The record types of an object as records: each is the pipeline of its records. None where not readable."""
        rows = self._settings_rows("RecordType", "Id, Name, IsActive", f" WHERE SobjectType = '{name}'")
        return [
            {
                "source_id": f"{table}:{parse.salesforce_id(row['Id'])}",
                "source_instance": self.instance,
                "object": table,
                "pipeline": parse.salesforce_id(row["Id"]),
                "label": row.get("Name"),
                "display_order": None,  # record types have none
                "is_active": int(bool(row.get("IsActive"))),
                "valid_from": None,
            }
            for row in rows
        ]

    def milestone_types(self) -> list[dict[str, Any]]:
        """Id and name of every type of milestone; none where they are not readable."""
        return self._settings_rows("MilestoneType", _SETTINGS["MilestoneType"])

    def help_with(self, name: str) -> Mapping[str, tuple[str, ...]]:
        """The columns fields of an object feed with the help of other objects, as far as these can be read."""
        fed: dict[str, tuple[str, ...]] = {}
        for helper, objects in data.WITH_HELP.items():
            own = objects.get(name, objects.get("*", {}))
            if own and self.can_ask(helper):
                for field, column in own.items():
                    fed[field] = (*fed.get(field, ()), column)
        return fed

    def can_ask(self, helper: str) -> bool:
        """Whether one of the objects that others are worked out with can be read: it is, and kept."""
        if helper == "User":
            self.user_types()
        else:
            self._settings_rows(helper, _SETTINGS[helper])
        return helper not in self.untold

    def is_told(self, helper: str) -> bool:
        """Whether one of the small ones among them was asked for and read."""
        return helper in self._settings and helper not in self.untold

    def require(self, helper: str) -> None:
        """Raises NotReadable where one of them was asked for and cannot be read."""
        error = self.untold.get(helper)
        if error is not None:
            raise NotReadable(f"{helper} cannot be read. {error.message}", mend=error.mend)

    def _settings_rows(self, name: str, fields: str, where: str = "") -> list[dict[str, Any]]:
        """Rows of a small object, read once; none where it is not readable."""
        with self._settings_lock:
            if name + where not in self._settings:
                try:
                    rows = self._client.query_whole(f"SELECT {fields} FROM {name}{where}")
                except NotReadable as error:
                    self._note(name, error)
                    rows = []
                self._settings[name + where] = rows
            return self._settings[name + where]

    def _note(self, name: str, error: StreamError | None) -> None:
        if (error is None) == (name not in self.untold):
            return
        self.looks += 1
        if error is None:
            del self.untold[name]
        else:
            self.untold[name] = error

    def _definition(self, table: str, row: Mapping[str, Any], state: str) -> Record:
        return {
            "source_id": f"{table}:{row.get('ApiName')}",
            "source_instance": self.instance,
            "object": table,
            "pipeline": None,
            "stage": row.get("ApiName"),
            "label": row.get("MasterLabel"),
            "stage_order": row.get("SortOrder"),
            "state": state,
            "valid_from": None,
        }

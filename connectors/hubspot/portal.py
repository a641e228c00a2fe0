"""What is read once and shared by all streams of a portal: its details, properties, pipelines, call outcomes, owners.

Every one is fetched by the first thread that needs it while the others wait. A failed fetch is not kept.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from connectors import parse
from connectors.base import Record
from connectors.errors import StreamError, TransientError
from connectors.field_words import Offer, custom_of
from connectors.fields import FieldMap
from connectors.hubspot.answers import next_after
from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.fields import DISPOSITIONS, LINE_ITEMS, Lines, ObjectType
from connectors.hubspot.records import Known, Stage
from connectors.hubspot.settings import HubSpotSettings
from connectors.retry import Patience, trying

log = logging.getLogger(__name__)

T = TypeVar("T")
Json = dict[str, Any]

_TYPES = {"bool": "boolean", "number": "number", "datetime": "instant", "date": "day"}
#: Object type -> our table, for those whose pipelines are read.
_PIPELINES = {"leads": "leads", "deals": "opportunities", "tickets": "tickets", "orders": "orders"}
_CONTACT_STAGES = frozenset({"opportunity", "customer", "evangelist"})
_NOT_REACHED = ("no answer", "busy", "voicemail", "voice mail", "wrong number", "message", "not reached", "unreached")
#: The list of call outcomes is an old endpoint and not worth a long wait.
_SHORT = Patience(tries=3, budget_s=30.0)


class Portal:
    """One portal. Safe to share between threads."""

    def __init__(
        self,
        client: HubSpotClient,
        settings: HubSpotSettings,
        *,
        currency: str,
        timezone: str,
        columns: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._client = client
        self._settings = settings
        self._agent_currency = currency
        self._agent_timezone = timezone
        self._columns = columns
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._kept: dict[str, Any] = {}
        self._unreadable: dict[str, StreamError] = {}
        self._doubted: set[str] = set()
        self.looks = 0  # how often the portal was found to offer otherwise than said

    # -- the account ---------------------------------------------------------------------------------------------------

    @property
    def details(self) -> Json:
        """The portal's id, zone and currency."""
        return self._once("details", self._read_details)

    @property
    def instance(self) -> str:
        return str(self.details["portalId"])

    @property
    def zone(self) -> ZoneInfo:
        return parse.zone_of(self.details.get("timeZone"), self._agent_timezone)

    @property
    def currency(self) -> str:
        return str(self.details.get("companyCurrency") or self._agent_currency)

    @property
    def app_host(self) -> str:
        return self._settings.app_host

    def _read_details(self) -> Json:
        details = self._client.get("account", "/details")
        if not details.get("portalId"):
            raise StreamError("HubSpot does not say which portal this token belongs to.")
        self._client.belong_to(str(details["portalId"]))
        self._client.zone = parse.zone_of(details.get("timeZone"), self._agent_timezone)
        return details

    # -- properties ----------------------------------------------------------------------------------------------------

    def properties(self, name: str) -> list[Json]:
        """The properties of an object type. Raises StreamError where this login may not read it."""
        return self._once(f"properties {name}", lambda: self._read_properties(name))

    def look_again(self, name: str) -> set[str]:
        """Read the properties of a type anew; the names that are no longer among them."""
        before = {str(one["name"]) for one in self.properties(name)}
        fresh = self._read_properties(name)
        with self._lock:
            self._kept[f"properties {name}"] = fresh
            self.looks += 1
        return before - {str(one["name"]) for one in fresh}

    def _read_properties(self, name: str) -> list[Json]:
        found: list[Json] = self._client.results("properties", f"/{name}")["results"]
        return found

    def map_of(self, kind: ObjectType) -> FieldMap:
        """The field map of a type, for the properties this portal has now."""
        return self._map(kind.table, kind, currency_field=kind.currency)

    def map_of_lines(self, lines: Lines) -> FieldMap:
        """The field map of line items. One without a currency of its own is given its deal's or order's."""
        kind = replace(LINE_ITEMS, table=lines.table, fields=lines.fields)
        return self._map(lines.table, kind, currency_field=lines.currency, is_given=True)

    def _map(self, table: str, kind: ObjectType, *, currency_field: str | None, is_given: bool = False) -> FieldMap:
        types = {str(p["name"]): _TYPES.get(str(p.get("type")), "text") for p in self.properties(kind.name)}
        offer = Offer(types | ({currency_field: "text"} if currency_field and is_given else {}))
        local_day = parse.day_in_zone(self.zone)
        return FieldMap(
            table,
            kind.fields,
            columns=self._columns[table],
            offer=offer,
            custom=custom_of(table, self._settings.fields, self._settings.values),
            currency=self.currency,
            currency_field=currency_field,
            is_mixed=bool(self.details.get("additionalCurrencies")),
            kinds={
                "local_day": local_day,
                "date": local_day,
                "none": lambda _value: None,
                "present": lambda _value: 1,
                "money_text": None,
            },
        )

    def wanted(self, kind: ObjectType, fields: FieldMap) -> list[str]:
        """The properties to ask for: those of the map, and those a record is worked out from."""
        there = {str(one["name"]) for one in self.properties(kind.name)}
        asked = dict.fromkeys((*fields.theirs, kind.cursor))
        return list(asked | dict.fromkeys(name for name in kind.extra if name in there))

    def reason_unreadable(self, name: str) -> StreamError | None:
        """Why an object type cannot be read (the missing scope, where HubSpot names it); None where it can."""
        with self._lock:
            known = self._unreadable.get(name)
        if known is not None:
            return known
        try:
            self.properties(name)
        except StreamError as error:
            with self._lock:
                self._unreadable[name] = error  # asked again by the next run
                self.looks += 1
            return error
        return None

    def doubt(self, name: str) -> None:
        """Associations with an object type were refused: look, once, whether the type itself can still be read."""
        with self._lock:
            if name in self._unreadable or name in self._doubted:
                return
        try:
            self._read_properties(name)
        except StreamError as error:
            with self._lock:
                self._unreadable[name] = error
                self.looks += 1
        self._doubted.add(name)

    # -- pipelines and outcomes ----------------------------------------------------------------------------------------

    def known(self, kind: ObjectType) -> tuple[Known, dict[str, list[Record]]]:
        """What a type's records are worked out with, and its pipelines and their stages as records by table."""
        settings = self._settings
        is_default = "converted" not in settings.model_fields_set
        stages = frozenset(stage.lower() for stage in settings.converted.stages)
        if kind.table == "leads" and kind.name == "contacts":
            return Known(converted=_CONTACT_STAGES if is_default else stages), {}
        known = Known(converted=stages, currency=str(self.details.get("companyCurrency") or ""))
        if kind.name == "calls":
            known.outcomes = self._once("outcomes", self._read_outcomes)
        if kind.name not in _PIPELINES:
            return known, {}
        try:
            pipelines: list[Json] = self._once(
                f"pipelines {kind.name}", lambda: self._client.results("pipelines", f"/{kind.name}")["results"]
            )
        except StreamError as error:
            if kind.name != "orders":
                raise
            # Only what its stages are called: the orders themselves are whole without.
            log.info("stages of orders: %s", error, extra={"action": "object_skipped"})
            return known, {}
        known.stages[kind.name] = {
            str(stage["id"]): _stage(kind.name, stage) for pipeline in pipelines for stage in _stages_of(pipeline)
        }
        table = _PIPELINES[kind.name]
        records = [
            _stage_def(table, self.instance, str(pipeline["id"]), str(stage["id"]), _stage(kind.name, stage))
            for pipeline in pipelines
            for stage in _stages_of(pipeline)
        ]
        return known, {"stage_defs": records, "pipelines": [_pipeline(table, self.instance, one) for one in pipelines]}

    def _read_outcomes(self) -> Mapping[str, int]:
        """Call outcomes by id: reached or not; HubSpot's own where the portal's cannot be read."""
        try:
            with trying(_SHORT):
                found = self._client.dispositions()
        except (StreamError, TransientError) as error:
            log.info("call outcomes: %s; HubSpot's own are used", error, extra={"action": "object_skipped"})
            return DISPOSITIONS
        named = {str(one.get("id")).lower(): _reached(one.get("label")) for one in found}
        return {**{one: reached for one, reached in named.items() if reached is not None}, **DISPOSITIONS}

    # -- owners --------------------------------------------------------------------------------------------------------

    def owners(self) -> list[Record]:
        """All owners, archived ones too, as users: a small list that is read whole each time."""
        records: dict[str, Record] = {}
        for archived in ("true", "false"):  # the live row last: an owner that was restored counts as live
            after: str | None = None
            seen: set[str] = set()
            while True:
                query: dict[str, Any] = {"limit": self._client.limits.list_page, "archived": archived}
                query |= {"after": after} if after else {}
                document = self._client.results("owners", "", query)
                for owner in document["results"]:
                    is_gone = bool(owner.get("archived", archived == "true"))
                    records[str(owner["id"])] = user_of(owner, self.instance, is_active=not is_gone)
                after = next_after(document)
                if after is None:
                    break
                if after in seen:
                    raise TransientError("HubSpot's pages of owners lead in a circle.")
                seen.add(after)
        return list(records.values())

    # -- once ----------------------------------------------------------------------------------------------------------

    def _once(self, key: str, make: Callable[[], T]) -> T:
        with self._lock:
            own = self._locks.setdefault(key, threading.Lock())
        with own:
            with self._lock:
                if key in self._kept:
                    found: T = self._kept[key]
                    return found
            made = make()
            with self._lock:
                self._kept[key] = made
            return made


def _stages_of(pipeline: Mapping[str, Any]) -> list[Json]:
    stages = pipeline.get("stages")
    return [one for one in stages if isinstance(one, dict) and one.get("id")] if isinstance(stages, list) else []


def _stage(name: str, stage: Mapping[str, Any]) -> Stage:
    metadata = stage.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    closed = str(metadata.get("isClosed") or "").lower() == "true" or metadata.get("ticketState") == "CLOSED"
    order = stage.get("displayOrder")
    number = order if isinstance(order, int) else 0
    return Stage(str(stage.get("label") or stage["id"]), number, closed, _state(name, metadata, closed=closed))


def _state(name: str, metadata: Mapping[str, Any], *, closed: bool) -> str:
    """A stage's state in our words: deals open, won, lost; tickets open, closed; leads HubSpot's own."""
    if name == "leads":
        return str(metadata.get("leadState") or "").lower()
    if name != "deals":
        return "closed" if closed else "open"
    if not closed:
        return "open"
    try:
        return "won" if float(metadata.get("probability") or 0) >= 1 else "lost"
    except (TypeError, ValueError):
        return "lost"


def _stage_def(table: str, instance: str, pipeline: str, stage_id: str, stage: Stage) -> Record:
    return {
        "source_id": f"{table}:{pipeline}:{stage_id}",
        "source_instance": instance,
        "object": table,
        "pipeline": pipeline,
        "stage": stage_id,
        "label": stage.label,
        "stage_order": stage.order,
        "state": stage.state,
        "valid_from": None,
    }


def _pipeline(table: str, instance: str, pipeline: Mapping[str, Any]) -> Record:
    order = pipeline.get("displayOrder")
    return {
        "source_id": f"{table}:{pipeline['id']}",
        "source_instance": instance,
        "object": table,
        "pipeline": str(pipeline["id"]),
        "label": str(pipeline.get("label") or pipeline["id"]),
        "display_order": order if isinstance(order, int) else None,
        "is_active": int(not pipeline.get("archived")),
        "valid_from": None,
    }


def _reached(label: Any) -> int | None:
    """Whether an outcome of the portal's own means that somebody was spoken to; None where its name does not tell."""
    words = str(label or "").strip().lower()
    if words in ("connected", "reached", "answered", "spoke", "conversation"):
        return 1
    return 0 if any(word in words for word in _NOT_REACHED) else None


def user_of(owner: Mapping[str, Any], instance: str, *, is_active: bool) -> Record:
    """An owner as a user."""
    names = (owner.get("firstName"), owner.get("lastName"))
    given = owner.get("teams")
    teams = [team for team in given if isinstance(team, Mapping)] if isinstance(given, list) else []
    primary = next((team for team in teams if team.get("primary")), teams[0] if teams else {})
    email = owner.get("email")
    user: Record = {
        "source_id": str(owner["id"]),
        "source_instance": instance,
        "created_at": parse.instant_or_none(owner.get("createdAt")),
        "updated_at": parse.instant_or_none(owner.get("updatedAt")),
        "name": " ".join(str(name) for name in names if name) or email,
        "email": parse.email(email) if email else None,
        "is_active": int(is_active),
    }
    if teams or is_active:  # HubSpot takes one who leaves out of the teams; the work done there stays the team's
        user["team"] = primary.get("name")
    return user

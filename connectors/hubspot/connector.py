"""The HubSpot connector: one portal's streams as pages of our records."""

import logging
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from connectors import parse
from connectors.base import Bookmark, FieldInfo, Identity, Page, Record, Stream, Usage
from connectors.errors import SourceConfigError, StreamError
from connectors.fields import FieldMap, Offer, check_custom, custom_of
from connectors.hubspot import fields as data
from connectors.hubspot.settings import OFFERED, HubSpotSettings
from connectors.retry import Retry
from connectors.settings import begin_of
from connectors.transport import Timeouts

log = logging.getLogger(__name__)

__all__ = ["HubSpotConnector", "HubSpotSettings"]

_SIDE_TABLES = {
    "leads": ("stage_defs",),
    "opportunities": ("opportunity_stage_history", "stage_defs"),
    "tickets": ("ticket_status_history", "stage_defs"),
    "activities": ("activity_links",),
}
_TYPES = {"bool": "boolean", "number": "number", "datetime": "instant", "date": "day"}
_PIPELINES = {
    "leads": ("leads", "leads"),
    "opportunities": ("deals", "opportunities"),
    "tickets": ("tickets", "tickets"),
}
_CONTACT_STAGES = frozenset({"opportunity", "customer", "evangelist"})


class HubSpotConnector:
    """One `[source.NAME]` of type hubspot. Use it from one thread at a time."""

    crm = "hubspot"

    def __init__(
        self,
        name: str,
        settings: HubSpotSettings,
        *,
        currency: str,
        timezone: str,
        columns: Mapping[str, Mapping[str, str]],
        retry: Retry | None = None,
        timeouts: Timeouts | None = None,
        ca_file: str | None = None,
        proxy: str | None = None,
    ) -> None:
        from connectors.hubspot.client import HubSpotClient
        from connectors.hubspot.fetch import Fetcher

        self.name = name
        self._settings = settings
        self._currency = currency
        self._timezone = timezone
        self._columns = columns
        self._client = HubSpotClient(settings, retry=retry or Retry(), timeouts=timeouts, ca_file=ca_file, proxy=proxy)
        self._fetcher = Fetcher(self._client)
        self._portal_details: dict[str, Any] | None = None
        self._properties: dict[str, list[dict[str, Any]]] = {}
        for table in {*settings.fields, *settings.values}:
            check_custom(table, custom_of(table, settings.fields, settings.values), columns[table])

    def check(self) -> Identity:
        """Say which portal the token reaches; properties it lacks are named as warnings."""
        details = self._details()
        warnings = []
        for stream in self.streams():
            for kind in self._kinds(stream.name):
                try:
                    missing = self._map(kind).dropped
                except StreamError as error:
                    warnings.append(f"{stream.name}: {kind.name} cannot be read. {error}")
                    continue
                if missing:
                    warnings.append(f"{stream.name}: {kind.name} has no {', '.join(missing)}; left empty")
        return Identity(
            instance=str(details["portalId"]),
            account=str(details.get("uiDomain") or ""),
            api_version=self._settings.api_path,
            timezone=str(details.get("timeZone") or ""),
            currency=str(details.get("companyCurrency") or ""),
            warnings=(*self._client.warnings, *warnings),
        )

    def streams(self) -> list[Stream]:
        """The streams of the settings (default: all), owners before what they own."""
        wanted = self._settings.streams or OFFERED
        return [Stream(name, (name, *_SIDE_TABLES.get(name, ()))) for name in OFFERED if name in wanted]

    def fetch_pages(
        self, stream: str, bookmark: Bookmark | None, *, full: bool, since: date | None, now: datetime
    ) -> Iterator[Page]:
        """Pages of one stream; see `base.Connector`."""
        if stream not in {known.name for known in self.streams()}:
            raise SourceConfigError(f"{self.name} has no stream {stream!r}.")
        if stream == "users":
            yield self._owners()
            return
        from connectors.hubspot.reader import Portal, Reader

        details = self._details()
        portal = Portal(
            instance=str(details["portalId"]),
            app_host=self._settings.app_host,
            zone=parse.zone_of(details.get("timeZone"), self._timezone),
            currency=str(details.get("companyCurrency") or self._currency),
        )
        marks: dict[str, Any] = {} if full else dict((bookmark or {}).get("objects") or {})
        kinds = self._readable(stream, marks)
        if not kinds:
            return
        known, definitions = self._known(stream)
        if definitions:
            yield Page({"stage_defs": definitions}, read=len(definitions))
        # Unfinished ones first: a read that is killed again and again still comes to its end.
        for kind in sorted(kinds, key=lambda kind: bool(marks.get(kind.name, {}).get("done"))):
            fields = self._map(kind)
            reader = Reader(
                self._client,
                self._fetcher,
                portal,
                kind,
                fields,
                known,
                properties=self._wanted(kind, fields),
                start=begin_of(self._settings.start, stream),
            )
            yield from reader.read(marks, full=full, since=since, now=now)

    def covered_from(self, stream: str) -> date | None:
        """The configured start; what others refer to is read whole."""
        return begin_of(self._settings.start, stream)

    def fields(self, table: str) -> list[FieldInfo]:
        """What the portal offers for one of our tables, with the column each property feeds."""
        found = []
        for kind in self._kinds(table):
            columns = self._map(kind).columns_by_field
            for one in self._describe(kind):
                own = str(one["name"])
                label = str(one.get("label") or own)
                found.append(FieldInfo(own, label, str(one.get("type")), columns.get(own, "")))
        return found

    def usage(self) -> Usage:
        return self._client.usage()

    def interrupt(self) -> None:
        """Called from another thread at shutdown: end waits at once. The connector is of no further use."""
        self._client.interrupt()

    def close(self) -> None:
        self._client.close()
        self._fetcher.close()

    def _kinds(self, stream: str) -> list[data.ObjectType]:
        if stream == "leads" and self._settings.leads == "contacts":
            return [data.LEADS_FROM_CONTACTS]
        return [data.TYPES[name] for name in data.STREAMS.get(stream, ())]

    def _readable(self, stream: str, marks: Mapping[str, Any]) -> list[data.ObjectType]:
        """The object types of a stream this login may read.

        One that never could be read is skipped with a warning (a portal without leads or surveys) unless the stream
        was asked for by name; one that could before is an error.
        """
        readable = []
        for kind in self._kinds(stream):
            try:
                self._describe(kind)
            except StreamError as error:
                if kind.name in marks or (self._settings.streams is not None and len(self._kinds(stream)) == 1):
                    raise
                log.warning("%s: %s is left out: %s", self.name, kind.name, error, extra={"action": "object_skipped"})
                continue
            readable.append(kind)
        return readable

    def _details(self) -> dict[str, Any]:
        """The portal's id, zone and currency, read once."""
        if self._portal_details is None:
            details = self._client.get("account", "/details")
            if not details.get("portalId"):
                raise StreamError("HubSpot does not say which portal this token belongs to.")
            self._portal_details = details
        return self._portal_details

    def _describe(self, kind: data.ObjectType) -> list[dict[str, Any]]:
        """The properties of an object type, read once."""
        if kind.name not in self._properties:
            self._properties[kind.name] = self._client.results("properties", f"/{kind.name}")["results"]
        return self._properties[kind.name]

    def _map(self, kind: data.ObjectType) -> FieldMap:
        """The field map of a type, for the properties this portal has."""
        details = self._details()
        zone = parse.zone_of(details.get("timeZone"), self._timezone)
        offer = Offer({str(one["name"]): _TYPES.get(str(one.get("type")), "text") for one in self._describe(kind)})
        local_day = parse.day_in_zone(zone)
        return FieldMap(
            kind.table,
            kind.fields,
            columns=self._columns[kind.table],
            offer=offer,
            custom=custom_of(kind.table, self._settings.fields, self._settings.values),
            currency=str(details.get("companyCurrency") or self._currency),
            currency_field="deal_currency_code",
            kinds={
                "local_day": local_day,
                "date": local_day,
                "none": lambda _value: None,
                "present": lambda _value: 1,
                "money_text": None,
            },
        )

    def _wanted(self, kind: data.ObjectType, fields: FieldMap) -> list[str]:
        """The properties to ask for: those of the map, and those a record is worked out from."""
        there = {str(one["name"]) for one in self._describe(kind)}
        asked = dict.fromkeys((*fields.theirs, kind.cursor))
        return list(asked | dict.fromkeys(name for name in kind.extra if name in there))

    def _known(self, stream: str) -> tuple[Any, list[Record]]:
        """What the portal's pipelines say, and their stages as records."""
        from connectors.hubspot.records import Known, Stage

        stages = tuple(stage.lower() for stage in self._settings.converted.stages)
        is_default = "converted" not in self._settings.model_fields_set
        converted = frozenset(stages)
        if stream == "leads" and self._settings.leads == "contacts":
            return Known(converted=_CONTACT_STAGES if is_default else converted), []
        known = Known(converted=converted)
        if stream not in _PIPELINES:
            return known, []
        name, table = _PIPELINES[stream]
        records: list[Record] = []
        known.stages[name] = {}
        for pipeline in self._client.results("pipelines", f"/{name}")["results"]:
            for stage in pipeline.get("stages") or ():
                metadata = stage.get("metadata") or {}
                order = int(stage.get("displayOrder") or 0)
                closed = str(metadata.get("isClosed") or "").lower() == "true"
                closed = closed or metadata.get("ticketState") == "CLOSED"
                state = _state(name, metadata, closed)
                made = Stage(str(stage.get("label") or stage["id"]), order, closed, state)
                known.stages[name][str(stage["id"])] = made
                records.append(
                    {
                        "source_id": f"{table}:{pipeline['id']}:{stage['id']}",
                        "source_instance": str(self._details()["portalId"]),
                        "object": table,
                        "pipeline": str(pipeline["id"]),
                        "stage": str(stage["id"]),
                        "label": made.label,
                        "stage_order": order,
                        "state": state,
                        "valid_from": None,
                    }
                )
        return known, records

    def _owners(self) -> Page:
        """All owners, archived ones too, as users: a small list that is read whole each time."""
        from connectors.hubspot.client import next_after

        instance = str(self._details()["portalId"])
        records: dict[str, Record] = {}
        for archived in ("true", "false"):  # the live row last: an owner that was restored counts as live
            after: str | None = None
            while True:
                query = {"limit": 100, "archived": archived} | ({"after": after} if after else {})
                document = self._client.results("owners", "", query)
                for owner in document["results"]:
                    records[str(owner["id"])] = _user(owner, instance, is_active=archived == "false")
                after = next_after(document)
                if after is None:
                    break
        return Page({"users": list(records.values())}, read=len(records), total=len(records), bookmark={"objects": {}})


def _state(name: str, metadata: Mapping[str, Any], closed: bool) -> str:
    """A stage's state in our words: deals open, won, lost; tickets open, closed; leads HubSpot's own."""
    if name == "leads":
        return str(metadata.get("leadState") or "").lower()
    if name == "tickets":
        return "closed" if closed else "open"
    if not closed:
        return "open"
    try:
        return "won" if float(metadata.get("probability") or 0) >= 1 else "lost"
    except ValueError:
        return "lost"


def _user(owner: Mapping[str, Any], instance: str, *, is_active: bool) -> Record:
    names = (owner.get("firstName"), owner.get("lastName"))
    teams = [team for team in owner.get("teams") or () if isinstance(team, Mapping)]
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

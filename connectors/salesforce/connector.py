"""The Salesforce connector: one org's streams as pages of our records."""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from connectors import parse
from connectors.base import Bookmark, FieldInfo, Identity, Page, Record, Stream, Usage
from connectors.errors import NotReadable, SourceConfigError, StreamError, asked_for
from connectors.retry import Retry
from connectors.salesforce import fields as data
from connectors.salesforce.settings import OFFERED, SalesforceSettings
from connectors.settings import begin_of
from connectors.transport import Timeouts

if TYPE_CHECKING:
    from connectors.salesforce.mapping import Mapper
    from connectors.salesforce.org import Org
    from connectors.salesforce.reconcile import Census
    from connectors.salesforce.schema import OrgSchema

log = logging.getLogger(__name__)

__all__ = ["SalesforceConnector", "SalesforceSettings"]

#: Streams whose records are worked out with the help of who made or changed them.
_WITH_USERS = frozenset(OFFERED) - {"users", "fx_rates"}


class SalesforceConnector:
    """One `[source.NAME]` of type salesforce. Different streams may be read from different threads at once."""

    crm = "salesforce"
    side_by_side = 4

    def __init__(
        self,
        name: str,
        settings: SalesforceSettings,
        *,
        currency: str,
        timezone: str,
        columns: Mapping[str, Mapping[str, str]],
        retry: Retry | None = None,
        timeouts: Timeouts | None = None,
        ca_file: str | None = None,
        proxy: str | None = None,
    ) -> None:
        from connectors.salesforce.client import SalesforceClient

        self.name = name
        self._settings = settings
        self._currency = currency
        self._timezone = timezone
        self._columns = columns
        self._client = SalesforceClient(
            settings, retry=retry or Retry(), timeouts=timeouts, ca_file=ca_file, proxy=proxy, owner=name
        )
        self._lock = threading.Lock()
        self._made: tuple[Org, OrgSchema] | None = None

    def check(self) -> Identity:
        """Log in and say where we are; what the org lacks, or this login may not read, is named as warnings.

        What was known of the org is forgotten: a check begins a new look at it.
        """
        from connectors.salesforce import login, milestones
        from connectors.salesforce.feeds import BESIDE, objects_of

        with self._lock:
            self._made = None
        org, schema = self._org_and_schema()
        wanted = self._settings.streams or OFFERED
        objects = {stream: (*objects_of(stream, schema), *BESIDE.get(stream, ())) for stream in wanted}
        names = list(dict.fromkeys(name for found in objects.values() for name in found))
        for _ in self._client.together(schema.can_read, names):  # describes them, a few at a time
            pass
        warnings = login.warnings(self._settings)
        for stream, found in objects.items():
            for name in found:
                try:
                    missing = schema.missing(name) if name in data.MAPS or name == schema.survey_object else []
                    schema.describe(name)
                except StreamError as error:
                    warnings.append(f"{stream}: {error.message}")
                    continue
                if missing:
                    warnings.append(f"{stream}: {name} has no {', '.join(missing)}; left empty")
        if "tickets" in wanted and milestones.is_wanted(schema):
            warnings += milestones.warnings(milestones.answer_types(org.milestone_types(), self._settings))
        return Identity(
            instance=org.instance,
            account=self._account(),
            api_version=self._settings.api_version,
            timezone=org.zone_name,
            currency=org.currency,
            warnings=tuple(warnings),
            sunsets=login.sunsets(self._settings),
        )

    def streams(self) -> list[Stream]:
        """The streams of the settings (default: all), owners before what they own.

        Those too that this login may not read now: only a bookmark tells whether one of them was read before.
        """
        from connectors.salesforce.feeds import SIDE_TABLES

        wanted = self._settings.streams or OFFERED
        return [
            Stream(name, (name, *SIDE_TABLES.get(name, ())), reconciles=name != "fx_rates")
            for name in OFFERED
            if name in wanted
        ]

    def fetch_pages(
        self, stream: str, bookmark: Bookmark | None, *, full: bool, since: date | None, now: datetime
    ) -> Iterator[Page]:
        """Pages of one stream; see `base.Connector`."""
        with asked_for(self._settings.streams is not None and bookmark is None):
            yield from self._read(stream, bookmark, full=full, since=since, now=now)

    def _read(
        self, stream: str, bookmark: Bookmark | None, *, full: bool, since: date | None, now: datetime
    ) -> Iterator[Page]:
        from connectors.salesforce.feeds import feeds_of
        from connectors.salesforce.jobs import JobReader
        from connectors.salesforce.rates import Rates
        from connectors.salesforce.reader import Reader

        self._require(stream)
        org, schema = self._org_and_schema()
        before = (bookmark or {}).get("feeds") or {}
        self._require_readable(stream, schema)
        if stream == "fx_rates":
            rates = Rates(self._client, schema, currency=self._currency, instance=org.instance)
            yield from rates.pages(bookmark, full=full, now=now)
            return
        mapper, definitions = self._mapper(stream, now)
        name = data.PIPELINED.get(stream, "")
        if name and schema.can_read(name) and schema.offer(name).has("RecordTypeId"):
            definitions["pipelines"] = org.pipelines(stream, name)
        marks: dict[str, Any] = {name: dict(mark) for name, mark in before.items()}
        if any(definitions.values()):
            yield Page(definitions, read=sum(map(len, definitions.values())))
        every = feeds_of(stream, schema, mapper.answer_types)
        feeds = [feed for feed in every if self._is_readable(schema, feed.object)]
        lost = self._lost(stream, before, org, schema)
        if full:
            for name, mark in marks.items():
                JobReader(self._client).forget(name, mark.get("job") or mark.get("over") or {})
            marks = {name: {} for name in lost}  # read before, and to be read from the beginning
        marks |= {name: {} for name in self._read_along(stream, org, schema)}
        reader = Reader(self._client, schema, mapper, self._settings.bulk_from, self._begin(stream))
        for feed in feeds:
            if feed.begins_now and not marks.get(feed.name):
                marks[feed.name] = reader.beginning(feed)
        # Unfinished ones first: a read that is killed again and again still comes to its end.
        for feed in sorted(feeds, key=lambda feed: bool(marks.get(feed.name, {}).get("done"))):
            yield from reader.read(feed, marks, since=since, now=now)
        for error in lost.values():  # was read before: the rest is up to date, this is not
            raise error

    def reconcile_pages(self, stream: str, bookmark: Bookmark | None, *, now: datetime) -> Iterator[Page]:
        """Every live record of a stream; see `base.Connector`."""
        _, schema = self._org_and_schema()
        if self._is_left_out(stream, schema):
            return  # nothing is said of it: by ids neither
        mapper, _ = self._mapper(stream, now)
        yield from self._census(stream).pages(mapper, bookmark, now=now)

    def read_ids(self, stream: str, ids: Sequence[str], *, now: datetime) -> Iterator[Page]:
        """Records by id; see `base.Connector`."""
        mapper, _ = self._mapper(stream, now)
        for page in self._census(stream).of_ids(mapper, ids):
            yield replace(page, bookmark=None)

    def count(self, stream: str) -> int | None:
        """Live records of a stream's main table; None for what cannot be read, and exchange rates are no records."""
        _, schema = self._org_and_schema()
        if stream == "fx_rates" or self._is_left_out(stream, schema):
            return None
        return self._census(stream).count()

    def remember_calls(self, calls: Sequence[tuple[float, int]]) -> None:
        """Calls of earlier processes: (seconds ago, how many)."""
        self._client.remember_calls(calls)

    def covered_from(self, stream: str) -> date | None:
        """The configured start; what others refer to is read whole."""
        return self._begin(stream)

    def fields(self, table: str) -> list[FieldInfo]:
        """What the org offers for one of our tables, with the column each field feeds."""
        org, schema = self._org_and_schema()
        found: list[FieldInfo] = []
        objects = [name for name, known in data.TABLES.items() if known == table]
        if table == "survey_responses":
            objects = [schema.survey_object]
        for name in objects:
            is_asked_for = len(objects) == 1 and table in (self._settings.streams or ())
            if not is_asked_for and not self._is_readable(schema, name):
                continue
            found += _field_infos(name, schema.describe(name), schema.feeds(name), org.help_with(name))
        log_of_changes, feeds = data.LOGS.get(table, ("", {}))
        if log_of_changes and (found or not objects) and schema.can_read(log_of_changes):
            told = org.help_with(log_of_changes)
            found += _field_infos(log_of_changes, schema.describe(log_of_changes), feeds, told)
        return found

    @property
    def looks(self) -> int:
        """How often it was found that the org offers otherwise than said."""
        org, schema = self._org_and_schema()
        return org.looks + schema.looks

    def usage(self) -> Usage:
        return self._client.usage()

    def interrupt(self) -> None:
        """Called from another thread at shutdown: end waits and calls at once. The connector is of no further use."""
        self._client.interrupt()

    def close(self) -> None:
        self._client.close()

    # -- what reading needs ----------------------------------------------------------------------------------------

    def _require(self, stream: str) -> None:
        if stream not in (self._settings.streams or OFFERED):
            raise SourceConfigError(f"{self.name} has no stream {stream!r}.")

    def _begin(self, stream: str) -> date | None:
        return None if stream == "fx_rates" else begin_of(self._settings.start, stream)

    def _org_and_schema(self) -> "tuple[Org, OrgSchema]":
        """What is known of the org, made once for all threads."""
        from connectors.salesforce.org import Org
        from connectors.salesforce.schema import OrgSchema
        from connectors.salesforce.versions import told_apart

        with self._lock:
            if self._made is None:
                org = Org(self._client)
                with told_apart(self._client, self._settings.api_version):
                    org.row()
                schema = OrgSchema(
                    self._client,
                    self._settings,
                    columns=self._columns,
                    zone=parse.zone_of(org.zone_name, self._timezone),
                    currency=org.currency or self._currency,
                )
                self._made = org, schema
            return self._made

    def _mapper(self, stream: str, now: datetime) -> "tuple[Mapper, dict[str, list[Record]]]":
        """A mapper that knows what a stream's records need, and the definitions of the stream's stages by table."""
        from connectors.salesforce import milestones
        from connectors.salesforce.mapping import Mapper
        from connectors.salesforce.records import Known
        from connectors.salesforce.schema import invitation_type

        self._require(stream)
        org, schema = self._org_and_schema()
        known = Known(user_types=org.user_types() if stream in _WITH_USERS else {})
        definitions: dict[str, list[Record]] = {}
        if stream == "opportunities":
            definitions["stage_defs"] = org.load_stages(known)
        elif stream == "tickets":
            definitions["stage_defs"] = org.load_statuses(known)
            if milestones.is_wanted(schema):
                known.answer_types = milestones.answer_types(org.milestone_types(), self._settings)
        known.now = parse.format_instant(self._client.vendor_now(now))
        survey_type = invitation_type(self._settings)
        return Mapper(self._client, schema, known, instance=org.instance, survey_type=survey_type), definitions

    def _census(self, stream: str) -> "Census":
        from connectors.salesforce.reconcile import Census

        self._require(stream)
        _, schema = self._org_and_schema()
        return Census(self._client, schema, stream, self._settings.bulk_from, self._begin(stream))

    def _require_readable(self, stream: str, schema: "OrgSchema") -> None:
        """Raises NotReadable where this login may read no object of a stream."""
        from connectors.salesforce.feeds import objects_of

        self._require(stream)
        objects = objects_of(stream, schema)
        if not any(map(schema.can_read, objects)):
            schema.describe(objects[0])  # says why not

    def _read_along(self, stream: str, org: "Org", schema: "OrgSchema") -> Iterator[str]:
        """What is read with a stream's records now, at no position of its own: a mark says that it was."""
        from connectors.salesforce.feeds import HELPERS, along_of

        yield from filter(schema.can_read, along_of(stream))
        yield from filter(org.is_told, HELPERS.get(stream, ()))

    def _lost(self, stream: str, before: Mapping[str, Any], org: "Org", schema: "OrgSchema") -> dict[str, NotReadable]:
        """What was read before, by its mark, and cannot be read now, and why."""
        from connectors.salesforce.feeds import BESIDE, HELPERS, objects_of

        helpers = HELPERS.get(stream, ())
        wanted = {*objects_of(stream, schema), *BESIDE.get(stream, ())}
        lost = {}
        for mark in before:
            name = mark.partition(":")[0]
            try:
                if name in helpers:
                    org.require(name)
                elif name in wanted:
                    schema.describe(name)
            except NotReadable as error:
                lost[mark] = error
        return lost

    def _is_left_out(self, stream: str, schema: "OrgSchema") -> bool:
        """Whether this login may read no object of a stream. Raises StreamError where the settings ask for it."""
        try:
            with asked_for(self._settings.streams is not None):
                self._require_readable(stream, schema)
        except NotReadable:
            return True
        return False

    def _is_readable(self, schema: "OrgSchema", name: str) -> bool:
        if schema.can_read(name):
            return True
        log.info("%s: %s is not there for this login", self.name, name, extra={"action": "object_skipped"})
        return False

    def _account(self) -> str:
        """The name this login goes by, where the login told who it is."""
        if self._settings.username:
            return self._settings.username
        if not self._client.user_id.isalnum():
            return ""
        try:
            page = self._client.query(f"SELECT Id, Username FROM User WHERE Id = '{self._client.user_id}'")
        except StreamError:
            return ""
        return str(page.records[0].get("Username") or "") if page.records else ""


def _field_infos(
    name: str,
    described: Sequence[Mapping[str, Any]],
    feeds: Mapping[str, Sequence[str]],
    helped: Mapping[str, Sequence[str]],
) -> list[FieldInfo]:
    """Each field of an object, once for each column it feeds."""
    found = []
    for field in described:
        own = str(field["name"])
        label, kind = str(field.get("label") or own), str(field.get("type"))
        info = FieldInfo(own, label, kind, object=name, beside=data.BESIDE_OF.get(name, ""))
        found += info.feeding(dict.fromkeys((*feeds.get(own, ()), *helped.get(own, ()))))
    return found

"""The HubSpot connector: one portal's streams as pages of our records."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from connectors.base import Bookmark, FieldInfo, Identity, Page, Stream, Usage
from connectors.errors import RateLimited, SourceConfigError, StreamError, TransientError, asked_for
from connectors.field_words import check_custom, custom_of
from connectors.hubspot import fields as data
from connectors.hubspot.paths import sunsets
from connectors.hubspot.settings import OFFERED, HubSpotSettings
from connectors.retry import BRIEF, Retry, trying
from connectors.settings import begin_of
from connectors.transport import Timeouts

if TYPE_CHECKING:
    from connectors.hubspot.pages import Mapper

log = logging.getLogger(__name__)

__all__ = ["HubSpotConnector", "HubSpotSettings"]

_SIDE_TABLES = {
    "leads": ("stage_defs", "pipelines"),
    "opportunities": ("opportunity_stage_history", "opportunity_lines", "stage_defs", "pipelines"),
    "tickets": ("ticket_status_history", "stage_defs", "pipelines"),
    "activities": ("activity_links",),
    "orders": ("order_lines", "stage_defs", "pipelines"),
}
#: Logs that only grow.
_LOGS = ("email_events", "fx_rates")


class HubSpotConnector:
    """One `[source.NAME]` of type hubspot. Different streams may be read from different threads at once."""

    crm = "hubspot"
    side_by_side = 6

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
        from connectors.hubspot.portal import Portal

        self.name = name
        self._settings = settings
        self._reporting = currency
        self._client = HubSpotClient(
            settings, retry=retry or Retry(), timeouts=timeouts, ca_file=ca_file, proxy=proxy, owner=name
        )
        self._fetcher = Fetcher(self._client, settings.limits)
        self._portal = Portal(self._client, settings, currency=currency, timezone=timezone, columns=columns)
        for table in {*settings.fields, *settings.values}:
            check_custom(table, custom_of(table, settings.fields, settings.values), columns[table])

    # -- what there is -------------------------------------------------------------------------------------------------

    def check(self) -> Identity:
        """Say which portal the token reaches; objects and properties it lacks are named as warnings."""
        details = self._portal.details
        warnings: list[str] = []
        try:
            with trying(BRIEF):
                for stream in self.streams():
                    warnings += self._missing(stream.name)
        except RateLimited:
            raise
        except TransientError as error:  # one endpoint in trouble: its own stream will tell, the others are read
            log.info("%s: not all was checked: %s", self.name, error, extra={"action": "check_cut_short"})
        names = {stream.name for stream in self.streams()}
        numbered = self._client.numbered_families
        return Identity(
            instance=self._portal.instance,
            account=str(details.get("uiDomain") or ""),
            api_version=self._settings.api_path,
            timezone=str(details.get("timeZone") or ""),
            currency=str(details.get("companyCurrency") or ""),
            warnings=(*self._client.warnings, *warnings),
            sunsets=sunsets(self._settings, numbered, mail="email_events" in names, calls="activities" in names),
        )

    def streams(self) -> list[Stream]:
        """The streams of the settings (default: all), owners before what they own."""
        wanted = self._settings.streams or OFFERED
        return [
            Stream(name, (name, *_SIDE_TABLES.get(name, ())), reconciles=name not in _LOGS)
            for name in OFFERED
            if name in wanted
        ]

    def covered_from(self, stream: str) -> date | None:
        """The configured start; what others refer to is read whole."""
        return begin_of(self._settings.start, stream)

    def fields(self, table: str) -> list[FieldInfo]:
        """What the portal offers for one of our tables, with the columns each property or association feeds."""
        found: list[FieldInfo] = []
        lost = []
        for kind in self._kinds(table):
            error = self._portal.reason_unreadable(kind.name)
            if error is not None:  # the table's other kinds can be described all the same
                lost.append(error)
                continue
            mapped = self._portal.map_of(kind).columns_by_field
            made = {name: (*mapped.get(name, ()), *columns) for name, columns in kind.extra.items()}
            for one in self._portal.properties(kind.name):
                found += _field_infos(one, kind.name, {**mapped, **made})
            found += self._link_infos(kind, {column for fed in mapped.values() for column in fed})
        whole = next((kind for kind in data.TYPES.values() if kind.lines and kind.lines.table == table), None)
        if whole is not None and whole.lines is not None:
            lines = whole.lines
            if (error := self._portal.reason_unreadable(lines.name)) is not None:
                raise error
            columns = self._portal.map_of_lines(lines).columns_by_field
            for one in self._portal.properties(lines.name):
                found += _field_infos(one, lines.name, columns, beside=whole.name)
        if table == "email_events":
            info = FieldInfo("recipient", "Contact of the recipient", "association", object=table)
            found += info.feeding(("contact_id",) if self._can_find_contacts() else ())
        if lost and not found:
            raise lost[0]
        return found

    def count(self, stream: str) -> int | None:
        """Live objects in HubSpot, as its search counts them; None for what cannot be searched."""
        from connectors.hubspot.reader import counted

        self._check_name(stream)
        if stream == "users":
            return len(self._portal.owners())
        start = begin_of(self._settings.start, stream)
        from_ms = None if start is None else (start - date(1970, 1, 1)).days * 86_400_000
        counts = [
            counted(self._client, kind, from_ms)[0]
            for kind in self._kinds(stream)
            if self._portal.reason_unreadable(kind.name) is None
        ]
        return sum(one for one in counts if one is not None) if counts and None not in counts else None

    # -- pages ---------------------------------------------------------------------------------------------------------

    def fetch_pages(
        self, stream: str, bookmark: Bookmark | None, *, full: bool, since: date | None, now: datetime
    ) -> Iterator[Page]:
        """Pages of one stream; see `base.Connector`."""
        from connectors.hubspot.errors import not_readable

        self._check_name(stream)
        with asked_for(self._settings.streams is not None and bookmark is None):
            if stream == "users":
                yield self._owners()
                return
            if stream in _LOGS:
                try:
                    yield from self._log_pages(stream, None if full else bookmark, since=since, now=now)
                except StreamError as error:
                    raise not_readable(stream, error) from None
                return
            yield from self._read_objects(stream, bookmark or {}, full=full, since=since, now=now)

    def reconcile_pages(self, stream: str, bookmark: Bookmark | None, *, now: datetime) -> Iterator[Page]:
        """Every live record of a stream; see `base.Connector`."""
        from connectors.hubspot.reconcile import reconcile

        self._check_name(stream)
        if stream in _LOGS:
            return
        if stream == "users":
            yield self._owners()
            return
        mappers = [self._mapper(stream, kind, history=False) for kind in self._readable(stream)[0]]
        yield from reconcile(self._client, self._fetcher, mappers, bookmark, now)

    def read_ids(self, stream: str, ids: Sequence[str], *, now: datetime) -> Iterator[Page]:
        """Records of a stream by id; see `base.Connector`."""
        from connectors.hubspot.reconcile import read_ids

        self._check_name(stream)
        if stream in _LOGS or not ids:
            return
        if stream == "users":
            yield self._owners(ids)
            return
        kinds, lost = self._readable(stream)
        mappers = [self._mapper(stream, kind) for kind in kinds]
        yield from read_ids(self._client, self._fetcher, mappers, ids, now, is_whole=bool(kinds) and not lost)

    # -- what it uses, and its end -------------------------------------------------------------------------------------

    def remember_calls(self, calls: Sequence[tuple[float, int]]) -> None:
        """Calls made before: (seconds ago, how many)."""
        self._client.remember_calls(calls)

    @property
    def looks(self) -> int:
        """How often it was found that the portal offers otherwise than said."""
        return self._portal.looks

    def usage(self) -> Usage:
        return self._client.usage()

    def interrupt(self) -> None:
        """From any thread: end every wait and every call under way. The connector is of no further use."""
        self._client.interrupt()

    def close(self) -> None:
        self._client.close()
        self._fetcher.close()

    # -- pieces --------------------------------------------------------------------------------------------------------

    def _read_objects(
        self, stream: str, bookmark: Mapping[str, Any], *, full: bool, since: date | None, now: datetime
    ) -> Iterator[Page]:
        from connectors.hubspot.errors import not_readable
        from connectors.hubspot.reader import Reader, counted

        marks: dict[str, Any] = dict(bookmark.get("objects") or {})
        kinds, lost = self._readable(stream)
        gone = self._gone(kinds, lost, marks)
        if full:  # what was read before and cannot be now is to be read from the beginning; lines, from where they were
            marks = {name: marks[name] if name == data.LINE_ITEMS.name else {"phase": "list"} for name in gone}
        if not kinds and lost:
            raise not_readable(*next(iter(lost.items())))
        listed = [kind for kind in kinds if marks.get(kind.name, {}).get("phase", "list") == "list"]
        counts = {kind.name: counted(self._client, kind) for kind in listed}
        left = [there - int(marks.get(name, {}).get("read") or 0) for name, (there, _) in counts.items() if there]
        # Unfinished ones first: a read that is killed again and again still comes to its end.
        for kind in sorted(kinds, key=lambda kind: bool(marks.get(kind.name, {}).get("done"))):
            mapper = self._mapper(stream, kind)
            if any(mapper.definitions.values()):
                yield Page(mapper.definitions, read=sum(map(len, mapper.definitions.values())))
            reader = Reader(self._client, self._fetcher, self._portal, mapper)
            yield from reader.read(
                marks,
                full=full,
                since=since,
                now=now,
                counted=counts.get(kind.name, (None, None)),
                total=max(sum(left), 0) if left else None,
            )
        if gone:  # could be read before: the rest of the stream is up to date, this is not
            raise not_readable(*next(iter(gone.items())))

    def _gone(
        self, kinds: Sequence[data.ObjectType], lost: Mapping[str, StreamError], marks: Mapping[str, Any]
    ) -> dict[str, StreamError]:
        """What was read before, as `marks` say, and cannot be now; lines are known by their list of archived ones."""
        gone = {name: error for name, error in lost.items() if name in marks}
        for lines in (kind.lines for kind in kinds if kind.lines is not None):
            error = self._portal.reason_unreadable(lines.name)
            if error is not None and "swept_ms" in marks.get(lines.name, {}):
                gone[lines.name] = error
        return gone

    def _log_pages(
        self, stream: str, bookmark: Bookmark | None, *, since: date | None, now: datetime
    ) -> Iterator[Page]:
        if stream == "fx_rates":
            from connectors.hubspot.rates import rate_pages

            return rate_pages(self._client, self._portal, self._reporting, bookmark)
        from connectors.hubspot.mail import MailLog

        mail = MailLog(self._client, self._fetcher, self._portal, begin_of(self._settings.start, stream))
        return mail.pages(bookmark, since=since, now=now)

    def _mapper(self, stream: str, kind: data.ObjectType, *, history: bool = True) -> "Mapper":
        from connectors.hubspot.pages import Mapper

        start = begin_of(self._settings.start, stream)
        return Mapper(self._fetcher, self._portal, kind, start=start, history=history)

    def _owners(self, ids: Sequence[str] | None = None) -> Page:
        """All owners (or these) as users; one that HubSpot no longer lists is gone."""
        from connectors.base import Tombstone

        records = self._portal.owners()
        if ids is None:
            return Page({"users": records}, read=len(records), total=len(records), bookmark={"objects": {}})
        by_id = {record["source_id"]: record for record in records}
        gone = [Tombstone("users", one) for one in ids if one not in by_id]
        return Page({"users": [by_id[one] for one in ids if one in by_id]}, gone, read=len(ids))

    def _kinds(self, stream: str) -> list[data.ObjectType]:
        if stream == "leads" and self._settings.leads == "contacts":
            return [data.LEADS_FROM_CONTACTS]
        return [data.TYPES[name] for name in data.STREAMS.get(stream, ())]

    def _readable(self, stream: str) -> tuple[list[data.ObjectType], dict[str, StreamError]]:
        """The object types of a stream this login may read, and why it may not read the others (a portal without
        leads or surveys; a missing scope): those alone are left out.
        """
        readable, lost = [], {}
        for kind in self._kinds(stream):
            error = self._portal.reason_unreadable(kind.name)
            if error is None:
                readable.append(kind)
            else:
                lost[kind.name] = error
                log.info("%s: %s is left out: %s", self.name, kind.name, error, extra={"action": "object_skipped"})
        return readable, lost

    def _can_find_contacts(self) -> bool:
        """Whether the contact behind a mail address can be looked up."""
        if self._portal.reason_unreadable("contacts") is not None:
            return False
        return any(one["name"] == "email" for one in self._portal.properties("contacts"))

    def _link_infos(self, kind: data.ObjectType, fed: Collection[str]) -> Iterator[FieldInfo]:
        """The associations of a type whose columns no property feeds (`fed`): they feed them as long as the other
        type may be read, without which HubSpot tells no association with it.
        """
        for target in kind.links:
            column = data.LINKS[target][0]
            column = f"converted_{column}" if kind.table == "leads" else column
            if column not in fed:
                label = f"Associated {target}"
                info = FieldInfo(f"associations.{target}", label, "association", object=kind.name)
                yield from info.feeding((column,) if self._portal.reason_unreadable(target) is None else ())

    def _missing(self, stream: str) -> Iterator[str]:
        """One sentence for each object of a stream that cannot be read, and for each that lacks properties."""
        try:
            if stream == "users":
                self._portal.owners()
            elif stream == "email_events":
                self._client.mail_events({"limit": 1})
            elif stream == "fx_rates":
                self._client.results("currencies", "/exchange-rates", {"limit": 1})
        except StreamError as problem:
            yield f"{stream} cannot be read. {problem}"
        for kind in self._kinds(stream):
            error = self._portal.reason_unreadable(kind.name)
            if error is not None:
                yield f"{stream}: {kind.name} cannot be read. {error}"
                continue
            missing = self._portal.map_of(kind).dropped
            if missing:
                yield f"{stream}: {kind.name} has no {', '.join(missing)}; left empty"
            if kind.lines is not None and (error := self._portal.reason_unreadable(kind.lines.name)) is not None:
                yield f"{stream}: {kind.lines.name} cannot be read. {error}"

    def _check_name(self, stream: str) -> None:
        if stream not in {known.name for known in self.streams()}:
            raise SourceConfigError(f"{self.name} has no stream {stream!r}.")


def _field_infos(
    one: Mapping[str, Any], object_name: str, columns: Mapping[str, Sequence[str]], *, beside: str = ""
) -> list[FieldInfo]:
    own = str(one.get("name") or one.get("id"))
    info = FieldInfo(own, str(one.get("label") or own), str(one.get("type")), object=object_name, beside=beside)
    return info.feeding(dict.fromkeys(columns.get(own, ())))

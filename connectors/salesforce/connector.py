"""The Salesforce connector: one org's streams as pages of our records."""

import logging
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from connectors import parse
from connectors.base import Bookmark, FieldInfo, Identity, Page, Record, Stream, Usage
from connectors.errors import SourceConfigError, StreamError
from connectors.retry import Retry
from connectors.salesforce import fields as data
from connectors.salesforce.settings import OFFERED, SalesforceSettings
from connectors.settings import begin_of
from connectors.transport import Timeouts

log = logging.getLogger(__name__)

__all__ = ["SalesforceConnector", "SalesforceSettings"]

_SIDE_TABLES = {
    "opportunities": ("opportunity_stage_history", "stage_defs"),
    "tickets": ("ticket_status_history", "stage_defs"),
}


class SalesforceConnector:
    """One `[source.NAME]` of type salesforce. Use it from one thread at a time."""

    crm = "salesforce"

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
        from connectors.salesforce.schema import check_settings

        check_settings(settings)
        self.name = name
        self._settings = settings
        self._currency = currency
        self._timezone = timezone
        self._columns = columns
        self._client = SalesforceClient(
            settings, retry=retry or Retry(), timeouts=timeouts, ca_file=ca_file, proxy=proxy
        )
        self._org: dict[str, Any] | None = None
        self._schema_made: Any = None
        self._user_types: dict[str, str] = {}

    def check(self) -> Identity:
        """Log in and say where we are; fields the org lacks are named as warnings."""
        org = self._read_org()
        warnings = []
        for stream in self.streams():
            for name in self._objects_of(stream.name):
                try:
                    missing = self._schema().missing(name)
                except StreamError as error:
                    warnings.append(f"{stream.name}: {name} cannot be read. {error.message}")
                    continue
                if missing:
                    warnings.append(f"{stream.name}: {name} has no {', '.join(missing)}; left empty")
        return Identity(
            instance=str(org["Id"]),
            account=self._account(),
            api_version=self._settings.api_version,
            timezone=str(org.get("TimeZoneSidKey") or ""),
            currency=self._org_currency(org),
            warnings=tuple(warnings),
        )

    def streams(self) -> list[Stream]:
        """The streams of the settings (default: all), owners before what they own."""
        wanted = self._settings.streams or OFFERED
        has_survey = bool(self._settings.fields.get("survey_responses", {}).get("object"))
        return [
            Stream(name, (name, *_SIDE_TABLES.get(name, ())))
            for name in OFFERED
            if name in wanted and (name != "survey_responses" or has_survey)
        ]

    def fetch_pages(
        self, stream: str, bookmark: Bookmark | None, *, full: bool, since: date | None, now: datetime
    ) -> Iterator[Page]:
        """Pages of one stream; see `base.Connector`."""
        from connectors.salesforce.history import HistoryReader
        from connectors.salesforce.reader import Reader, feeds_of
        from connectors.salesforce.records import Known

        if stream not in {known.name for known in self.streams()}:
            raise SourceConfigError(f"{self.name} has no stream {stream!r}.")
        schema = self._schema()
        instance = str(self._read_org()["Id"])
        history = HistoryReader(self._client, schema, instance=instance)
        reader = Reader(self._client, schema, history, instance=instance, start=begin_of(self._settings.start, stream))
        known = Known(user_types=self._user_types)
        definitions = history.load(stream, known)
        marks: dict[str, Any] = dict((bookmark or {}).get("feeds") or {})
        if definitions:
            yield Page({"stage_defs": definitions}, read=len(definitions))
        finish_survey = self._finish_survey if stream == "survey_responses" else None
        feeds = feeds_of(stream, schema.survey_object)
        # Unfinished ones first: a read that is killed again and again still comes to its end.
        for feed in sorted(feeds, key=lambda feed: bool(marks.get(feed.name, {}).get("done"))):
            try:
                schema.offer(feed.object)
            except StreamError as error:
                if stream != "activities" or feed.object == "Task":
                    raise
                log.info("%s: %s is not there: %s", self.name, feed.object, error, extra={"action": "object_skipped"})
                continue
            if full:
                marks.pop(feed.name, None)
            yield from reader.read(feed, marks, known, full=full, since=since, now=now, finish_record=finish_survey)

    def covered_from(self, stream: str) -> date | None:
        """The configured start; what others refer to is read whole."""
        return begin_of(self._settings.start, stream)

    def fields(self, table: str) -> list[FieldInfo]:
        """What the org offers for one of our tables, with the column each field feeds."""
        schema = self._schema()
        found = []
        for name in self._objects_of(table):
            columns = schema.map(name).columns_by_field
            for field in schema.describe(name):
                own = field["name"]
                found.append(
                    FieldInfo(own, str(field.get("label") or own), str(field.get("type")), columns.get(own, ""))
                )
        return found

    def usage(self) -> Usage:
        return self._client.usage()

    def interrupt(self) -> None:
        """Called from another thread at shutdown: end waits at once. The connector is of no further use."""
        self._client.interrupt()

    def close(self) -> None:
        self._client.close()

    def _objects_of(self, table: str) -> list[str]:
        survey = self._settings.fields.get("survey_responses", {}).get("object")
        if table == "survey_responses":
            return [survey] if survey else []
        return [name for name, known in data.TABLES.items() if known == table]

    def _read_org(self) -> dict[str, Any]:
        """The Organization row, read once."""
        if self._org is None:
            wanted = ("Name", "TimeZoneSidKey", "DefaultCurrencyIsoCode", "CurrencyIsoCode")
            there = {field["name"] for field in self._client.describe("Organization")}
            names = ", ".join(("Id", *(name for name in wanted if name in there)))
            page = self._client.query(f"SELECT {names} FROM Organization")
            if not page.records:
                raise StreamError("Salesforce shows no Organization to this login.", mend="Allow it to read setup.")
            self._org = {**page.records[0], "Id": parse.salesforce_id(page.records[0]["Id"])}
        return self._org

    def _org_currency(self, org: Mapping[str, Any]) -> str:
        return str(org.get("DefaultCurrencyIsoCode") or org.get("CurrencyIsoCode") or "")

    def _account(self) -> str:
        """The name this login goes by, where the login told who it is."""
        if self._settings.username:
            return self._settings.username
        if not self._client.user_id.isalnum():
            return ""
        page = self._client.query(f"SELECT Id, Username FROM User WHERE Id = '{self._client.user_id}'")
        return str(page.records[0].get("Username") or "") if page.records else ""

    def _schema(self) -> Any:
        from connectors.salesforce.schema import OrgSchema

        if self._schema_made is None:
            org = self._read_org()
            self._schema_made = OrgSchema(
                self._client,
                self._settings,
                columns=self._columns,
                zone=parse.zone_of(org.get("TimeZoneSidKey"), self._timezone),
                currency=self._org_currency(org) or self._currency,
            )
        return self._schema_made

    def _finish_survey(self, record: Record, _row: Mapping[str, Any]) -> None:
        for column, value in self._schema().survey_constants.items():
            if record.get(column) is None:
                record[column] = value
        record.setdefault("responded_at", record.get("created_at"))

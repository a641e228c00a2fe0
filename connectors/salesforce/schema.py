"""What one Salesforce org offers of each object, and the field maps that follow from it."""

import logging
import threading
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from connectors import parse
from connectors.errors import SourceConfigError
from connectors.fields import CHOICES, Convert, FieldMap, Offer, check_custom, custom_of, read_map
from connectors.salesforce import fields as data
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.settings import SalesforceSettings

log = logging.getLogger(__name__)

_TYPES = {
    "boolean": "boolean",
    "date": "day",
    "datetime": "instant",
    "int": "integer",
    "double": "number",
    "currency": "number",
    "percent": "number",
    "long": "integer",
}
_SURVEY_KEYS = ("object",)
_CONSTANTS = ("survey_type", "scale_min", "scale_max")


class OrgSchema:
    """Describes objects once, and answers which of our fields they have. Safe to share between threads."""

    def __init__(
        self,
        client: SalesforceClient,
        settings: SalesforceSettings,
        *,
        columns: Mapping[str, Mapping[str, str]],
        zone: ZoneInfo,
        currency: str,
    ) -> None:
        self._client = client
        self._settings = settings
        self._columns = columns
        self._currency = currency
        self._lock = threading.RLock()
        self._described: dict[str, list[dict[str, Any]]] = {}
        self._offers: dict[str, Offer] = {}
        self._maps: dict[str, FieldMap] = {}
        self.zone = zone
        survey = settings.fields.get("survey_responses", {})
        self.survey_object = survey.get("object", "")
        self.survey_constants = _survey_constants(survey)

    def table(self, name: str) -> str:
        return "survey_responses" if name == self.survey_object else data.TABLES[name]

    def describe(self, name: str) -> list[dict[str, Any]]:
        """The fields of an object as Salesforce describes them. Raises StreamError where it is not to be had."""
        with self._lock:
            if name not in self._described:
                self._described[name] = self._client.describe(name)
            return self._described[name]

    def offer(self, name: str) -> Offer:
        """The fields of an object, paths to a name behind a reference included."""
        with self._lock:
            if name not in self._offers:
                types: dict[str, str] = {}
                for field in self.describe(name):
                    types[field["name"]] = _TYPES.get(str(field.get("type")), "text")
                    if field.get("relationshipName"):
                        types[f"{field['relationshipName']}.Name"] = "text"
                self._offers[name] = Offer(types)
            return self._offers[name]

    def map(self, name: str) -> FieldMap:
        """The field map of an object, for the fields this org has."""
        with self._lock:
            if name not in self._maps:
                self._maps[name] = self._make_map(name)
            return self._maps[name]

    def wanted(self, name: str, cursor: str) -> list[str]:
        """The fields to ask for, Id and cursor first."""
        offer = self.offer(name)
        extra = ("IsDeleted", "LastModifiedById", *data.EXTRA.get(name, ()))
        asked = dict.fromkeys(("Id", cursor, *self.map(name).theirs))
        asked |= dict.fromkeys(field for field in extra if offer.has(field))
        return list(asked)

    def forget(self, name: str, field: str) -> bool:
        """The org refused this field although it described it: go on without. False when that changes nothing."""
        with self._lock:
            types = dict(self.offer(name).types or {})
            gone = [known for known in types if known == field or known.split(".")[0] == field.split(".")[0]]
            if not field or not gone:
                return False
            for known in gone:
                del types[known]
            log.warning("%s.%s is not there any more; going on without", name, field, extra={"action": "field_gone"})
            self._offers[name] = Offer(types)
            self._maps.pop(name, None)
            return True

    def missing(self, name: str) -> list[str]:
        """Fields of ours this org's object lacks or hides."""
        return self.map(name).dropped

    def _make_map(self, name: str) -> FieldMap:
        table = self.table(name)
        skip = (*_SURVEY_KEYS, *self.survey_constants) if table == "survey_responses" else ()
        custom = custom_of(table, self._settings.fields, self._settings.values, skip)
        check_custom(table, custom, self._columns[table])
        fields = data.MAPS.get(name) or read_map("created_at=CreatedDate:instant updated_at=SystemModstamp:instant")
        kinds: dict[str, Convert | None] = {
            "local_day": parse.day_in_zone(self.zone),
            "due": parse.end_of_day(self.zone),
            "date": parse.day_in_zone(self.zone),
            "account_kind": lambda value: data.ACCOUNT_KINDS.get(str(value).strip().lower(), "other"),
            "deal_type": lambda value: data.DEAL_TYPES.get(str(value).strip().lower(), str(value).strip().lower()),
        }
        return FieldMap(
            table,
            fields,
            columns=self._columns[table],
            offer=self.offer(name),
            custom=custom,
            currency=self._currency,
            currency_field="CurrencyIsoCode",
            kinds=kinds,
        )


def _survey_constants(survey: Mapping[str, str]) -> dict[str, Any]:
    """What is the same for every answer: `survey_type` of our list, `scale_min`, `scale_max` written as numbers."""
    constants: dict[str, Any] = {"survey_type": "csat", "scale_min": 1.0}
    for name in _CONSTANTS:
        given = survey.get(name)
        if given is None:
            continue
        if name == "survey_type" and given.lower() in CHOICES["survey_responses", "survey_type"]:
            constants[name] = given.lower()
        elif name != "survey_type" and given.replace(".", "", 1).isdigit():
            constants[name] = float(given)
        else:
            constants.pop(name, None)  # a field of theirs
    return constants


def check_settings(settings: SalesforceSettings) -> None:
    """Raise SourceConfigError for what cannot work, before anything is called."""
    if settings.auth == "password":
        raise SourceConfigError('auth = "password" is not built yet.', mend='Use "client_credentials" or "jwt".')
    if "survey_responses" in (settings.streams or ()) and "object" not in settings.fields.get("survey_responses", {}):
        raise SourceConfigError(
            "The stream survey_responses needs the name of the org's survey object.",
            mend='Set fields.survey_responses.object, like "Survey_Response__c".',
        )

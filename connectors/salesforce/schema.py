"""What one Salesforce org offers of each object, and the field maps that follow from it."""

import logging
import threading
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from connectors import parse
from connectors.errors import NotReadable
from connectors.field_words import CHOICES, Convert, Field, Offer, check_custom, custom_of, read_map
from connectors.fields import FieldMap
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
        self._describing: dict[str, threading.Lock] = {}
        self._described: dict[str, dict[str, Any] | NotReadable] = {}
        self._refused: dict[str, set[str]] = {}
        self._offers: dict[str, Offer] = {}
        self._maps: dict[str, FieldMap] = {}
        self.looks = 0  # how often a description was found to be out of date
        self.zone = zone
        survey = settings.fields.get("survey_responses", {})
        self.survey_object = survey.get("object", "") or data.SURVEY_ANSWERS
        self.is_own_survey = bool(survey.get("object"))
        self.survey_constants = _survey_constants(survey, is_own=self.is_own_survey)

    def table(self, name: str) -> str:
        return "survey_responses" if name == self.survey_object else data.TABLES[name]

    def describe(self, name: str) -> list[dict[str, Any]]:
        """The fields of an object as Salesforce describes them. Raises NotReadable where it is not to be had."""
        fields: list[dict[str, Any]] = self._document(name)["fields"]
        return fields

    def feeds(self, name: str) -> Mapping[str, tuple[str, ...]]:
        """The columns of ours each described field has a part in, those included that queries are refused now.

        A reference has a part in what is read behind it (UserRoleId in UserRole.Name).
        """
        fields = self.describe(name)
        mapped = self._make_map(name, _offer_of(name, fields), _types_of(fields)).columns_by_field
        references = {str(one["relationshipName"]): str(one["name"]) for one in fields if one.get("relationshipName")}
        fed: dict[str, tuple[str, ...]] = {}
        for theirs, columns in (*mapped.items(), *data.EXTRA.get(name, {}).items()):
            head, _, path = theirs.partition(".")
            own = references.get(head, theirs) if path else theirs
            fed[own] = tuple(dict.fromkeys((*fed.get(own, ()), *columns)))
        return fed

    def can_read(self, name: str) -> bool:
        """Whether this login may read an object at all."""
        try:
            self._document(name)
        except NotReadable:
            return False
        return True

    def prefix(self, name: str) -> str:
        """The three characters ids of an object begin with, empty where Salesforce does not say."""
        return str(self._document(name).get("keyPrefix") or data.ID_PREFIXES.get(name, ""))

    def types(self, name: str) -> dict[str, str]:
        """Salesforce's own word for the type of each field of an object that may be asked for."""
        return _types_of(self._usable(name))

    def offer(self, name: str) -> Offer:
        """The fields of an object, paths to fields behind a reference included."""
        fields = self._usable(name)
        with self._lock:
            if name not in self._offers:
                self._offers[name] = _offer_of(name, fields)
            return self._offers[name]

    def map(self, name: str) -> FieldMap:
        """The field map of an object, for the fields this org has."""
        self.offer(name)
        with self._lock:
            if name not in self._maps:
                self._maps[name] = self._make_map(name, self.offer(name), self.types(name))
            return self._maps[name]

    def wanted(self, name: str, cursor: str) -> tuple[str, ...]:
        """The fields to ask for, Id and cursor first."""
        offer = self.offer(name)
        extra = ("SystemModstamp", "IsDeleted", "LastModifiedById", *data.EXTRA.get(name, ()))
        mapped = (data.HANGING[name],) if name in data.HANGING else self.map(name).theirs
        asked = dict.fromkeys(("Id", cursor, *(one for one in mapped if offer.has(one))))
        asked |= dict.fromkeys(field for field in extra if offer.has(field))
        return tuple(asked)

    def forget(self, name: str, field: str) -> bool:
        """The org refused a field it described: describe again and go on without it. False when nothing changes.

        `field` is empty where the refusal does not name it: then only what is described anew can tell. What is
        described all the same is only not asked for any more; what the org offers is what it describes.
        """
        before = self.types(name)
        with self._lock:
            self._described.pop(name, None)
            self._offers.pop(name, None)
            self._maps.pop(name, None)
            self.looks += 1
        head = field.split(".")[0]
        if field:
            named = {
                str(one["name"]) for one in self.describe(name) if head in (one["name"], one.get("relationshipName"))
            }
            with self._lock:
                self._refused.setdefault(name, set()).update(named)
        gone = before.keys() - self.types(name).keys()
        if not gone:
            return False
        fields = ", ".join(sorted(gone))
        log.warning("%s: %s not there any more; going on without", name, fields, extra={"action": "field_gone"})
        return True

    def missing(self, name: str) -> list[str]:
        """Fields of ours this org's object lacks or hides."""
        return self.map(name).dropped

    def _usable(self, name: str) -> list[dict[str, Any]]:
        refused = self._refused.get(name, ())
        return [field for field in self.describe(name) if field["name"] not in refused]

    def _document(self, name: str) -> dict[str, Any]:
        with self._lock:
            found = self._described.get(name)
            if found is None:
                one_at_a_time = self._describing.setdefault(name, threading.Lock())
        if found is None:
            with one_at_a_time:
                found = self._described.get(name)
                if found is None:
                    try:
                        found = self._client.describe(name)
                    except NotReadable as error:
                        found = error
                    with self._lock:
                        self._described[name] = found
        if isinstance(found, NotReadable):
            raise NotReadable(f"{name} cannot be read. {found.message}", mend=found.mend)
        return found

    def _make_map(self, name: str, offer: Offer, kinds_there: Mapping[str, str]) -> FieldMap:
        table = self.table(name)
        skip = (*_SURVEY_KEYS, *self.survey_constants) if table == "survey_responses" else ()
        if table == "survey_invitations":
            skip = (*skip, *_invitation_constants(self._settings.fields.get(table, {})))
        custom = custom_of(table, self._settings.fields, self._settings.values, skip)
        check_custom(table, custom, self._columns[table])
        if name in data.IN_PARENTS_CURRENCY:
            offer = Offer({**(offer.types or {}), data.CURRENCY: "text"})
        fields = data.MAPS.get(name) or read_map("created_at=CreatedDate:instant updated_at=SystemModstamp:instant")
        own_links = [
            Field(column, theirs, "sfid")
            for column, theirs in custom.fields.items()
            if column in self._columns[table] and kinds_there.get(theirs) in ("reference", "id")
        ]
        kinds: dict[str, Convert | None] = {
            "local_day": parse.day_in_zone(self.zone),
            "due": parse.end_of_day(self.zone),
            "date": parse.day_in_zone(self.zone),
            "account_kind": lambda value: data.ACCOUNT_KINDS.get(str(value).strip().lower(), "other"),
            "day_after": parse_day_after,
            "deal_type": lambda value: data.DEAL_TYPES.get(str(value).strip().lower(), str(value).strip().lower()),
        }
        return FieldMap(
            table,
            (*fields, *own_links),
            columns=self._columns[table],
            offer=offer,
            custom=custom,
            currency=self._currency,
            currency_field=data.CURRENCY,
            kinds=kinds,
        )


def _types_of(fields: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {str(field["name"]): str(field.get("type")) for field in fields}


def _offer_of(name: str, fields: Iterable[Mapping[str, Any]]) -> Offer:
    """The fields of an object with our word for their types, paths to fields behind a reference included."""
    types: dict[str, str] = {}
    for field in fields:
        types[field["name"]] = _TYPES.get(str(field.get("type")), "text")
        if relation := field.get("relationshipName"):
            types[f"{relation}.Name"] = "text"
            for path in data.PATHS.get(name, ()):
                if path.startswith(f"{relation}."):
                    types[path] = "text"
    return Offer(types)


def parse_day_after(value: Any) -> str:
    """The day after: Salesforce's EndDate is the last day a contract holds, ours the first it does not."""
    return (date.fromisoformat(parse.day(value)) + timedelta(days=1)).isoformat()


def _survey_constants(survey: Mapping[str, str], *, is_own: bool) -> dict[str, Any]:
    """What is the same for every answer: `survey_type` of our list, `scale_min`, `scale_max` written as numbers."""
    constants: dict[str, Any] = {"survey_type": "csat", "scale_min": 1.0} if is_own else {}
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


def _invitation_constants(given: Mapping[str, str]) -> dict[str, Any]:
    kind = given.get("survey_type", "").lower()
    return {"survey_type": kind} if kind in CHOICES["survey_responses", "survey_type"] else {}


def invitation_type(settings: SalesforceSettings) -> str | None:
    """What kind of survey every invitation is for, where the settings say so."""
    return _invitation_constants(settings.fields.get("survey_invitations", {})).get("survey_type")

"""What the sandbox's HubSpot says of the account: owners, pipelines, properties, rates, and the log of its mailings."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from syncagent.sandbox.clock import hs_instant, local_midnight
from syncagent.sandbox.hubspot.gate import PORTAL_ID, HubSpotGate, Json, Refusal, missing_scopes
from syncagent.sandbox.hubspot.props import DISPOSITIONS, PROPERTIES, SINGULAR, TYPE_IDS
from syncagent.sandbox.hubspot.schema import Schema
from syncagent.sandbox.model import MailEvent

_MAIL_TYPES = {"unsubscribe": "STATUSCHANGE", "spam": "SPAMREPORT"}
_SITE = "https://www.northwind.example"
_LINKS = {
    "content": f"{_SITE}/offers?utm_source=hs_email",
    "unsubscribe": f"{_SITE}/hs/manage-preferences/unsubscribe-all?d=1",
    "preferences": f"{_SITE}/hs/manage-preferences/unsubscribe?d=1",
}
APP_ID = 113


class AccountPages(HubSpotGate):
    """The calls that are not about CRM objects.

    `late_mail`: mail events, by id, that are written down only when the company's clock says so.
    """

    schema: Schema

    def forget(self) -> None:
        super().forget()
        self.late_mail: dict[str, int] = {}
        self._sends: tuple[int, dict[str, int]] = (-1, {})

    def kind_in(self, request: Request, name: str = "kind") -> str:
        """The object a path names, by its plural, singular or type id. Raises Refusal."""
        given = str(request.path_params[name])
        kind = SINGULAR.get(given, TYPE_IDS.get(given, given))
        if kind not in PROPERTIES or kind in self.schema.absent:
            raise Refusal(400, "VALIDATION_ERROR", f"Unable to infer object type from: {given}")
        self.allowed(kind)
        return kind

    def allowed(self, kind: str) -> None:
        if kind in self.schema.disabled:
            raise missing_scopes(kind)

    def details(self, request: Request, body: Json) -> Json:
        return {
            "portalId": PORTAL_ID,
            "accountType": "STANDARD",
            "timeZone": "Europe/Berlin",
            "companyCurrency": "EUR",
            "additionalCurrencies": self.schema.currencies,
            "utcOffset": "+01:00",
            "utcOffsetMilliseconds": 3_600_000,
            "uiDomain": "app-eu1.hubspot.com",
            "dataHostingLocation": "eu1",
        }

    def usage(self, request: Request, body: Json) -> Json:
        usage = {
            "name": "private-apps-api-calls-daily",
            "usageLimit": self.daily_limit,
            "currentUsage": self.daily_used,
        }
        return {"results": [usage]}

    def dispositions(self, request: Request, body: Json) -> Response:
        return self.json([{"id": id_, "label": label, "deleted": False} for label, id_ in DISPOSITIONS.items()])

    def owners(self, request: Request, body: Json) -> Json:
        self.allowed("owners")
        archived = request.query_params.get("archived") == "true"
        limit = whole(request.query_params.get("limit", "100"), 1, 500)
        after = int(request.query_params.get("after") or 0)
        teams = sorted({user.team for user in self._company.users})
        users = [u for u in self._company.users if u.hs and u.active is not archived and int(u.hs) > after]
        email = request.query_params.get("email")
        users = [u for u in users if email is None or u.email == email]
        results: list[Json] = []
        for user in users[:limit]:
            results.append(
                {
                    "id": user.hs,
                    "email": user.email,
                    "type": "PERSON",
                    "firstName": user.first,
                    "lastName": user.last,
                    "userId": None if archived else int(user.hs_user),
                    "userIdIncludingInactive": int(user.hs_user),
                    "createdAt": hs_instant(user.created),
                    "updatedAt": hs_instant(user.hs_modified),
                    "archived": archived,
                }
            )
            if not archived:
                name = self._company.team_names.get(user.team, user.team)
                results[-1]["teams"] = [{"id": str(41 + teams.index(user.team)), "name": name, "primary": True}]
        return paged(results, str(results[-1]["id"]) if len(users) > limit else None)

    def pipelines(self, request: Request, body: Json) -> Json:
        return {"results": self.schema.pipelines(self.kind_in(request))}

    def properties(self, request: Request, body: Json) -> Json:
        if request.query_params.get("archived") == "true":
            return {"results": []}
        return {"results": self.schema.property_list(self.kind_in(request))}

    # -- currencies ------------------------------------------------------------------------------------------------

    def rates(self, request: Request, body: Json) -> Json:
        """Every rate there ever was, oldest first: what one unit of a currency is worth in the account's own."""
        self.allowed("currencies")
        limit = whole(request.query_params.get("limit", "100"), 1, 100)
        after = int(request.query_params.get("after") or 0)
        found = []
        for number, rate in enumerate(self._company.rates, 1):
            stamp = hs_instant(local_midnight(rate.valid_from))
            found.append(
                {
                    "id": str(number),
                    "fromCurrencyCode": rate.currency,
                    "toCurrencyCode": "EUR",
                    "conversionRate": round(1 / rate.per_eur, 6),
                    "effectiveAt": stamp,
                    "visibleInUI": True,
                    "createdAt": stamp,
                    "updatedAt": stamp,
                }
            )
        return paged(found[after : after + limit], str(after + limit) if after + limit < len(found) else None)

    # -- mailings --------------------------------------------------------------------------------------------------

    def mail_events(self, request: Request, body: Json) -> Json:
        """The log of marketing mails, newest first, by time, campaign, type and recipient."""
        self.allowed("email_events")
        query = request.query_params
        limit = whole(query.get("limit", "10"), 1, 1000)
        try:
            offset = int(query.get("offset") or "0", 36)
            start, end = int(query.get("startTimestamp") or 0), int(query.get("endTimestamp") or 2**62)
        except ValueError:
            raise Refusal(400, "VALIDATION_ERROR", "Invalid offset or timestamp") from None
        late, now = self.late_mail, self._company.now
        known = (event for event in reversed(self._company.mail_events) if late.get(event.id, 0) <= now)
        found = [event for event in known if start <= event.at * 1000 <= end]
        for name, value in (
            ("campaignId", lambda event: event.campaign),
            ("eventType", _type_of),
            ("recipient", lambda event: event.recipient),
        ):
            if name in query:
                found = [event for event in found if value(event) == query[name]]
        if query.get("excludeFilteredEvents") == "true":
            found = [event for event in found if not event.filtered]
        page = [_mail_event(event, self._sent_at) for event in found[offset : offset + limit]]
        # The token is opaque, and lives only as long as the same question is asked.
        return {"hasMore": offset + limit < len(found), "offset": _base36(offset + len(page)), "events": page}

    def campaign(self, request: Request, body: Json) -> Json:
        self.allowed("email_events")
        id_ = str(request.path_params["id"])
        if all(event.campaign != id_ for event in self._company.mail_events):
            raise Refusal(404, "OBJECT_NOT_FOUND", "resource not found")
        return {"id": int(id_), "appId": APP_ID, "appName": "Batch", "name": f"Newsletter {id_}", "type": "BATCH_EMAIL"}

    @property
    def _sent_at(self) -> Mapping[str, int]:
        """When each mail was sent, by the id of the event that says so."""
        events = self._company.mail_events
        if self._sends[0] != len(events):
            self._sends = len(events), {event.id: event.at for event in events if event.type == "sent"}
        return self._sends[1]


def _type_of(event: MailEvent) -> str:
    return _MAIL_TYPES.get(event.type, event.type.upper())


def _mail_event(event: MailEvent, sent_at: Mapping[str, int]) -> Json:
    shown: Json = {
        "id": event.id,
        "created": event.at * 1000,
        "type": _type_of(event),
        "recipient": event.recipient,
        "portalId": PORTAL_ID,
        "appId": APP_ID,
        "appName": "Batch",
        "emailCampaignId": int(event.campaign),
    }
    if event.type != "sent":
        shown["sentBy"] = {"id": event.send, "created": sent_at.get(event.send, event.at) * 1000}
    if event.type in ("open", "click"):
        shown["filteredEvent"] = event.filtered
    if event.link is not None:
        shown["url"] = _LINKS[event.link]
    if event.type == "unsubscribe":
        shown |= {"portalSubscriptionStatus": "UNSUBSCRIBED", "source": "SOURCE_RECIPIENT", "requestedBy": "RECIPIENT"}
    if event.type == "bounce":
        shown |= {"category": "UNKNOWN_USER", "response": "550 5.1.1 user unknown", "status": "5.1.1"}
    return shown


def _base36(number: int) -> str:
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
        if not number:
            return digits


def whole(value: object, low: int, high: int) -> int:
    """A limit within bounds. Raises Refusal."""
    try:
        number = int(str(value))
    except ValueError:
        raise Refusal(400, "VALIDATION_ERROR", f"{value} is not a valid limit") from None
    if not low <= number <= high:
        raise Refusal(400, "VALIDATION_ERROR", f"limit must be between {low} and {high}")
    return number


def paged(results: list[Json], after: str | None, path: str = "") -> Json:
    """A list's document, with the way to the next page when there is one."""
    if after is None:
        return {"results": results}
    link = f"https://api.hubapi.com{path}?after={after}"
    return {"results": results, "paging": {"next": {"after": after, "link": link}}}

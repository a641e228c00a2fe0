"""The sandbox's HubSpot: objects by list, search and batch read, and associations, over one company.

Every path is served in its numbered form and in its dated one; the limits are the real ones, enforced.
"""

import random
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from zlib import crc32

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from syncagent.sandbox.clock import hs_instant
from syncagent.sandbox.company import Company
from syncagent.sandbox.hubspot.account import AccountPages, paged, whole
from syncagent.sandbox.hubspot.gate import Json, Refusal, missing_scopes
from syncagent.sandbox.hubspot.limits import ROLLING
from syncagent.sandbox.hubspot.links import ASSOCIATIONS
from syncagent.sandbox.hubspot.props import (
    ALWAYS,
    DEFAULTS,
    NOT_IN_SEARCH,
    PROPERTIES,
    SINGULAR,
    TYPE_IDS,
    created_property,
    modified_property,
)
from syncagent.sandbox.hubspot.records import Record
from syncagent.sandbox.hubspot.schema import Schema
from syncagent.sandbox.hubspot.search import read_filters, sort_of
from syncagent.sandbox.hubspot.store import Store, scramble
from syncagent.sandbox.model import Entity

SEARCH_CAP = 10_000


class HubSpotServer(AccountPages):
    """HubSpot on loopback over one company.

    `limits`, `dated`, `windows`: see `HubSpotGate`. `ids_as_text`: sort `hs_object_id` as text in searches instead of
    as a number. `scrambled`: searches give rows slightly out of order. `below_ms`: and some that lie so many
    milliseconds below the lower bound asked for. `short_pages`, `empty_pages`: the share of pages of lists and searches
    with fewer rows than asked for, or none, though more follow; nothing is left out. `opaque_tokens`: the lists' tokens
    are not the last id of the page, as they are today, but something no client can make.
    """

    def __init__(
        self,
        company: Company,
        *,
        limits: bool = True,
        dated: bool = True,
        ids_as_text: bool = False,
        windows: Sequence[str] = (ROLLING,),
    ) -> None:
        self._text_order = ids_as_text
        self.store = Store(company)
        self.schema = Schema(company)
        super().__init__(company, self._routes(), limits=limits, dated=dated, windows=windows)

    def forget(self) -> None:
        super().forget()
        self.ids_as_text = self._text_order
        self.scrambled, self.below_ms, self.opaque_tokens = False, 0, False
        self.short_pages = self.empty_pages = 0.0
        self._habits = random.Random(11)  # noqa: S311
        self._found: dict[bytes, list[Record | None]] = {}
        self._found_at = (-1, -1)

    def reset(self, company: Company) -> None:
        """Another company at the same address; everything else as if the server had just been made."""
        with company.lock:
            self._company = company
            self.store, self.schema = Store(company), Schema(company)
            self.forget()

    @property
    def objects(self) -> dict[str, dict[str, Record]]:
        return self.store.objects

    def refresh(self, entities: Iterable[Entity]) -> None:
        """Show these records as they are now; searches too, unless something holds them back."""
        with self._company.lock:
            self.store.refresh(entities)

    def refresh_fixed(self) -> None:
        """Stages, teams, rates and mail events are read from the company at each call: nothing to bring up to date."""

    def hide_until(self, entity: Entity, at: int) -> None:
        """Searches show a record as it is known to them now until the company's clock says `at`."""
        with self._company.lock:
            self.store.hide_until(entity, at)

    def release(self) -> None:
        """Company time has passed: searches find what was held back until now."""
        with self._company.lock:
            self.store.settled()

    def lag(self, seconds_for: Callable[[Entity], int] | None) -> None:
        """From now on every change is held back from searches for so many seconds of the company's clock."""
        self.store.lag = seconds_for

    def burst(self, entities: Iterable[Entity], ms: int = 0) -> None:
        """These records' stamps lie at the same millisecond of their second."""
        with self._company.lock:
            self.store.burst(entities, ms)

    # -- plumbing --------------------------------------------------------------------------------------------------

    def _routes(self) -> Starlette:
        guard = self._guard
        info, mail = "/account-info/{date}", "/email/public/v1"
        routes = [
            Route("/oauth/v1/token", self._token, methods=["POST"]),
            Route("/oauth/v3/token", self._token, methods=["POST"]),
            Route("/oauth/{date}/token", self._token, methods=["POST"]),
            Route(info + "/details", guard(self.details, "account-info")),
            Route(info + "/api-usage/daily/private-apps", guard(self.usage, "account-info")),
            Route("/calling/v1/dispositions", guard(self.dispositions)),
            Route(mail + "/events", guard(self.mail_events)),
            Route(mail + "/campaigns/{id}", guard(self.campaign)),
            Route("/settings/v3/currencies/exchange-rates", guard(self.rates)),
            Route("/settings/currencies/{date}/exchange-rates", guard(self.rates, "currencies")),
        ]
        for base in ("/crm/v4/associations", "/crm/associations/{date}"):
            path = base + "/{a}/{b}/batch/read"
            routes.append(Route(path, guard(self._associations, "associations"), methods=["POST"]))
        for base in ("/crm/v3/objects", "/crm/objects/{date}"):
            routes += [
                Route(base + "/{kind}/search", guard(self._search, "objects", search=True), methods=["POST"]),
                Route(base + "/{kind}/batch/read", guard(self._batch, "objects"), methods=["POST"]),
                Route(base + "/{kind}/{id}", guard(self._one, "objects")),
                Route(base + "/{kind}", guard(self._list, "objects")),
            ]
        for name, handler in (("pipelines", self.pipelines), ("properties", self.properties)):
            routes += [
                Route(f"/crm/v3/{name}/{{kind}}", guard(handler, name)),
                Route(f"/crm/{name}/{{date}}/{{kind}}", guard(handler, name)),
            ]
        for path in ("/crm/v3/owners", "/crm/v3/owners/", "/crm/owners/{date}", "/crm/owners/{date}/"):
            routes.append(Route(path, guard(self.owners, "owners")))
        routes.append(Route("/{path:path}", self._nowhere, methods=["GET", "POST"]))
        return Starlette(routes=routes)

    async def _nowhere(self, request: Request) -> Response:
        return self.json(Refusal(404, "OBJECT_NOT_FOUND", "resource not found").body, 404)

    # -- objects ---------------------------------------------------------------------------------------------------

    def _list(self, request: Request, body: Json) -> Json:
        kind, query = self.kind_in(request), request.query_params
        history = _names(query.getlist("propertiesWithHistory"))
        limit = whole(query.get("limit", "10"), 1, 50 if history else 100)
        after = query.get("after", "0")
        rows = self.store.listed(kind, query.get("archived") == "true", _position(after), limit + 1)
        wanted = self._wanted(kind, _names(query.getlist("properties")))
        linked = _names(query.getlist("associations"))
        path = str(request.url.path)
        if len(rows) > 1 and self._habits.random() < self.empty_pages:
            # The ids between the last row and the next one are those of objects this token does not see.
            token = str(rows[0].number - 1)
            return paged([], self._token_for(token if token != after else "0" + token), path)
        if limit > 1 and self._habits.random() < self.short_pages:
            limit = self._habits.randrange(1, limit)
        page = rows[:limit]
        results = [self._shape(record, wanted, history, linked) for record in page]
        return paged(results, self._token_for(page[-1].id) if len(rows) > limit else None, path)

    def _token_for(self, id_: str) -> str:
        return urlsafe_b64encode(id_.encode()).decode() if self.opaque_tokens else id_

    def _one(self, request: Request, body: Json) -> Json:
        kind, query = self.kind_in(request), request.query_params
        given = str(request.path_params["id"])
        record = self.store.find(kind, given)
        if record is None or (record.archived is not None) is not (query.get("archived") == "true"):
            raise Refusal(404, "OBJECT_NOT_FOUND", f"Object not found.  objectId are usually numeric. {given}")
        wanted = self._wanted(kind, _names(query.getlist("properties")))
        history = _names(query.getlist("propertiesWithHistory"))
        return self._shape(record, wanted, history, _names(query.getlist("associations")))

    def _batch(self, request: Request, body: Json) -> Json | Response:
        kind = self.kind_in(request)
        inputs = [str(item.get("id")) for item in body.get("inputs") or []]
        history = [str(name) for name in body.get("propertiesWithHistory") or []]
        most = 50 if history else 100
        if not inputs or len(inputs) > most:
            reason = f"The maximum number of inputs supported in a batch request is {most}. {len(inputs)} were given"
            raise Refusal(400, "VALIDATION_ERROR", reason)
        archived = request.query_params.get("archived") == "true"
        wanted = self._wanted(kind, [str(name) for name in body.get("properties") or []])
        by_email = self._by_email(kind, body.get("idProperty"))
        found, missing = [], []
        for id_ in dict.fromkeys(inputs):
            record = self.store.find(kind, id_) if by_email is None else by_email.get(id_.lower())
            if record is None or (record.archived is not None) is not archived:
                missing.append(id_)
            else:
                found.append(self._shape(record, wanted, history, []))
        answer: Json = {"status": "COMPLETE", "results": found, **self._stamps()}
        if not missing:
            return answer
        message = (
            f"Could not get some {kind.upper()} objects, they may be deleted or not exist. Check that ids are valid."
        )
        error = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": message, "context": {"ids": missing}}
        return self.json(answer | {"numErrors": 1, "errors": [error]}, 207)

    def _by_email(self, kind: str, id_property: object) -> dict[str, Record] | None:
        """Contacts by address, where a batch asks for them so; None where it asks by id."""
        if id_property in (None, "hs_object_id"):
            return None
        if (kind, id_property) != ("contacts", "email"):
            raise Refusal(400, "VALIDATION_ERROR", f"{id_property} is not a unique property")
        rows = self.store.ordered(kind, False)
        return {email.lower(): record for record in reversed(rows) if (email := record.props.get("email"))}

    def _search(self, request: Request, body: Json) -> Json:
        kind = self.kind_in(request)
        limit = whole(body.get("limit", 10), 0, 200)
        after = int(body.get("after") or 0)
        if after + limit > SEARCH_CAP:
            raise Refusal(400, "VALIDATION_ERROR", "The maximum number of search results is 10000.")
        rows = self._hits(kind, body, limit)
        wanted = self._wanted(kind, [str(name) for name in body.get("properties") or []])
        page = [record for record in rows[after : after + limit] if record is not None]
        results = [self._shape(record, wanted, [], []) for record in page]
        for result in results:
            for name in NOT_IN_SEARCH:
                if name in result["properties"]:
                    result["properties"][name] = None
        more = str(after + limit) if after + limit < len(rows) else None
        total = sum(record is not None for record in rows)
        if kind in self.store.padding and self.store.padding[kind].model in rows:
            total += self.store.padding[kind].count
        return {"total": total, **paged(results, more)}

    def _hits(self, kind: str, body: Json, limit: int) -> list[Record | None]:
        """Everything a search finds in the index, in order; None stands where a page comes out short."""
        state = (self.store.settled(), self.schema.changes)
        if state != self._found_at:
            self._found.clear()
            self._found_at = state
        asked = [body.get(name) for name in ("filterGroups", "filters", "sorts")]
        habits = [self.scrambled, self.below_ms, self.ids_as_text, self.short_pages, self.empty_pages]
        question = orjson.dumps([kind, asked, habits, limit])
        if question not in self._found:
            groups = read_filters(self.schema, kind, body, below_ms=self.below_ms)
            key, descending = sort_of(self.schema, kind, body, ids_as_text=self.ids_as_text)
            index = self.store.indexed(kind)
            rows = [r for r in index if not groups or any(all(test(r) for test in group) for group in groups)]
            rows.sort(key=key, reverse=descending)
            if self.scrambled:
                scramble(rows, seed=crc32(question))
            if len(self._found) > 8:
                self._found.clear()
            self._found[question] = self._with_gaps(rows, limit)
        return self._found[question]

    def _with_gaps(self, rows: list[Record], limit: int) -> list[Record | None]:
        """Rows with places between them where the index has an object the token does not see."""
        if limit < 1 or not (self.short_pages or self.empty_pages):
            return list(rows)
        out: list[Record | None] = []
        for start in range(0, len(rows), limit):
            if self._habits.random() < self.empty_pages:
                out += [None] * (-len(out) % limit + limit)
            if self._habits.random() < self.short_pages:
                out += [None] * self._habits.randrange(1, limit + 1)
            out += rows[start : start + limit]
        return out

    def _wanted(self, kind: str, asked: list[str]) -> list[str]:
        """The properties an answer holds: those asked for that exist, and the ones always there."""
        known = self.schema.types[kind]
        if not asked:
            return [name for name in DEFAULTS.get(kind, ALWAYS) if name in known]
        names = [name for name in asked if name in known or name.startswith("hs_v2_date_entered_")]
        return [*dict.fromkeys((*names, created_property(kind), modified_property(kind), "hs_object_id"))]

    def _shape(self, record: Record, wanted: list[str], history: list[str], linked: list[str]) -> Json:
        value = self.schema.value
        out: Json = {
            "id": record.id,
            "properties": {name: value(record, name) for name in wanted},
            "createdAt": record.stamp(record.created),
            "updatedAt": record.stamp(record.modified),
            "archived": record.archived is not None,
        }
        if record.archived is not None:
            out["archivedAt"] = record.stamp(record.archived)
        if history:
            known = self.schema.types[record.kind]
            out["propertiesWithHistory"] = {n: record.history[n] for n in history if n in record.history and n in known}
        if linked:
            out["associations"] = self._inline(record, linked)
        return out

    # -- associations ----------------------------------------------------------------------------------------------

    def _inline(self, record: Record, names: list[str]) -> Json:
        out: Json = {}
        for name in names:
            kind = SINGULAR.get(name, TYPE_IDS.get(name, name))
            self._may_link(record.kind, kind)
            ids = self.store.linked(record.kind, kind, record.id) if kind in PROPERTIES else []
            if not ids:
                continue
            label = f"{record.kind.rstrip('s')}_to_{kind.rstrip('s')}"
            results = [{"id": id_, "type": label} for id_ in ids]
            if len(ASSOCIATIONS.get((record.kind, kind), ())) > 1:
                results += [{"id": id_, "type": label + "_unlabeled"} for id_ in ids]
            out[kind] = {"results": results[:500]}
        return out

    def _may_link(self, kind: str, other: str) -> None:
        self.allowed(other)
        if (kind, other) in self.schema.forbidden:
            raise missing_scopes(other)

    def _associations(self, request: Request, body: Json) -> Json | Response:
        kind, other = self.kind_in(request, "a"), self.kind_in(request, "b")
        self._may_link(kind, other)
        inputs = body.get("inputs") or []
        if not inputs or len(inputs) > 1000:
            raise Refusal(400, "VALIDATION_ERROR", "The number of inputs must be between 1 and 1000.")
        types = ASSOCIATIONS.get((kind, other), ((999, None),))
        results, errors = [], []
        for item in inputs:
            id_, after = str(item.get("id")), int(item.get("after") or 0)
            ids = self.store.linked(kind, other, id_)
            if not ids:
                errors.append(
                    {
                        "status": "error",
                        "category": "OBJECT_NOT_FOUND",
                        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
                        "message": f"No {other.rstrip('s')} is associated with {kind.rstrip('s')} {id_}.",
                        "context": {"fromObjectId": [id_], "fromObjectType": [kind], "toObjectType": [other]},
                    }
                )
                continue
            to = [
                {
                    "toObjectId": int(target),
                    "associationTypes": [
                        {"category": "HUBSPOT_DEFINED", "typeId": type_id, "label": label} for type_id, label in types
                    ],
                }
                for target in ids[after : after + 500]
            ]
            result: Json = {"from": {"id": id_}, "to": to}
            if after + 500 < len(ids):
                result["paging"] = {"next": {"after": str(after + 500), "link": ""}}
            results.append(result)
        answer: Json = {"status": "COMPLETE", "results": results, **self._stamps()}
        if not errors:
            return answer
        return self.json(answer | {"numErrors": len(errors), "errors": errors}, 207)

    def _stamps(self) -> Mapping[str, str]:
        stamp = hs_instant(self.server_now)
        return {"startedAt": stamp, "completedAt": stamp}


def _position(token: str) -> int:
    """The id after which a list goes on. Raises Refusal."""
    try:
        return int(token if token.isdigit() else urlsafe_b64decode(token))
    except ValueError:
        raise Refusal(400, "VALIDATION_ERROR", "Invalid paging cursor") from None


def _names(values: list[str]) -> list[str]:
    """Property names given once with commas, or many times."""
    return [name for value in values for name in value.split(",") if name]

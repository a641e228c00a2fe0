"""The sandbox's HubSpot: objects by list, search and batch read, owners, pipelines, properties, associations.

Every path is served in its numbered form and in its dated one; the limits are the real ones, enforced.
"""

from collections.abc import Iterable, Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from syncagent.sandbox.clock import hs_instant
from syncagent.sandbox.company import Company
from syncagent.sandbox.hs_gate import PORTAL_ID, HubSpotGate, Json, Refusal
from syncagent.sandbox.hs_props import (
    ALWAYS,
    ASSOCIATIONS,
    DEFAULTS,
    DISPOSITIONS,
    NOT_IN_SEARCH,
    PROPERTIES,
    SINGULAR,
    TYPE_IDS,
    created_property,
    modified_property,
    pipelines,
    property_list,
)
from syncagent.sandbox.hs_records import Record, kind_of, record_of
from syncagent.sandbox.hs_search import read_filters, sort_of
from syncagent.sandbox.model import Entity

SEARCH_CAP = 10_000


class HubSpotServer(HubSpotGate):
    """HubSpot on loopback over one company.

    `limits`: enforce 190 calls per rolling 10 s and 5 searches per rolling second. `dated`: serve dated paths.
    `ids_as_text`: sort `hs_object_id` as text in searches instead of as a number.
    """

    def __init__(self, company: Company, *, limits: bool = True, dated: bool = True, ids_as_text: bool = False) -> None:
        self.ids_as_text = ids_as_text
        self.objects: dict[str, dict[str, Record]] = {kind: {} for kind in PROPERTIES}
        self.survivors: dict[str, dict[str, str]] = {kind: {} for kind in PROPERTIES}  # merged-away id -> survivor
        self._sorted: dict[tuple[str, bool], list[Record]] = {}
        self._incoming: dict[tuple[str, str], dict[str, list[str]]] = {}
        super().__init__(company, self._routes(), limits=limits, dated=dated)
        self.refresh(company.everything())

    def refresh(self, entities: Iterable[Entity]) -> None:
        """Show these records as they are now."""
        with self._company.lock:
            for entity in entities:
                kind = kind_of(entity)
                if entity.hs is None or kind is None:
                    continue
                record = record_of(entity)
                if record is not None:
                    self.objects[kind][entity.hs] = record
                    continue
                self.objects[kind].pop(entity.hs, None)
                winner = entity.merged_into
                while winner is not None and winner.merged_into is not None:
                    winner = winner.merged_into
                if winner is not None and winner.hs:
                    self.survivors[kind][entity.hs] = winner.hs
            self._sorted.clear()
            self._incoming.clear()

    # -- plumbing --------------------------------------------------------------------------------------------------

    def _routes(self) -> Starlette:
        routes = [
            Route("/oauth/v1/token", self._token, methods=["POST"]),
            Route("/oauth/v3/token", self._token, methods=["POST"]),
            Route("/oauth/{date}/token", self._token, methods=["POST"]),
            Route("/account-info/{date}/details", self._guard(self._details)),
            Route("/account-info/{date}/api-usage/daily/private-apps", self._guard(self._usage)),
            Route("/calling/v1/dispositions", self._guard(self._dispositions)),
            Route("/crm/v4/associations/{a}/{b}/batch/read", self._guard(self._associations), methods=["POST"]),
            Route("/crm/associations/{date}/{a}/{b}/batch/read", self._guard(self._associations), methods=["POST"]),
        ]
        for base in ("/crm/v3/objects", "/crm/objects/{date}"):
            routes += [
                Route(base + "/{kind}/search", self._guard(self._search, search=True), methods=["POST"]),
                Route(base + "/{kind}/batch/read", self._guard(self._batch), methods=["POST"]),
                Route(base + "/{kind}/{id}", self._guard(self._one)),
                Route(base + "/{kind}", self._guard(self._list)),
            ]
        for name, handler in (("pipelines", self._pipelines), ("properties", self._properties)):
            routes += [
                Route(f"/crm/v3/{name}/{{kind}}", self._guard(handler)),
                Route(f"/crm/{name}/{{date}}/{{kind}}", self._guard(handler)),
            ]
        for path in ("/crm/v3/owners", "/crm/v3/owners/", "/crm/owners/{date}", "/crm/owners/{date}/"):
            routes.append(Route(path, self._guard(self._owners)))
        routes.append(Route("/{path:path}", self._nowhere, methods=["GET", "POST"]))
        return Starlette(routes=routes)

    async def _nowhere(self, request: Request) -> Response:
        return self.json(Refusal(404, "OBJECT_NOT_FOUND", "resource not found").body, 404)

    # -- account ---------------------------------------------------------------------------------------------------

    def _details(self, request: Request, body: Json) -> Json:
        return {
            "portalId": PORTAL_ID,
            "accountType": "STANDARD",
            "timeZone": "Europe/Berlin",
            "companyCurrency": "EUR",
            "additionalCurrencies": [],
            "utcOffset": "+01:00",
            "utcOffsetMilliseconds": 3_600_000,
            "uiDomain": "app-eu1.hubspot.com",
            "dataHostingLocation": "eu1",
        }

    def _usage(self, request: Request, body: Json) -> Json:
        usage = {
            "name": "private-apps-api-calls-daily",
            "usageLimit": self.daily_limit,
            "currentUsage": self.daily_used,
        }
        return {"results": [usage]}

    def _dispositions(self, request: Request, body: Json) -> Response:
        return self.json([{"id": id_, "label": label, "deleted": False} for label, id_ in DISPOSITIONS.items()])

    def _owners(self, request: Request, body: Json) -> Json:
        archived = request.query_params.get("archived") == "true"
        limit = _whole(request.query_params.get("limit", "100"), 1, 500)
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
                    "updatedAt": hs_instant(user.modified),
                    "archived": archived,
                }
            )
            if not archived:
                results[-1]["teams"] = [{"id": str(41 + teams.index(user.team)), "name": user.team, "primary": True}]
        return _paged(results, str(results[-1]["id"]) if len(users) > limit else None)

    def _pipelines(self, request: Request, body: Json) -> Json:
        return {"results": pipelines(self._kind(request))}

    def _properties(self, request: Request, body: Json) -> Json:
        return {"results": property_list(self._kind(request))}

    # -- objects ---------------------------------------------------------------------------------------------------

    def _kind(self, request: Request, name: str = "kind") -> str:
        given = str(request.path_params[name])
        kind = SINGULAR.get(given, TYPE_IDS.get(given, given))
        if kind not in PROPERTIES:
            raise Refusal(400, "VALIDATION_ERROR", f"Unable to infer object type from: {given}")
        return kind

    def ordered(self, kind: str, archived: bool) -> list[Record]:
        """All objects of a kind by id."""
        if (kind, archived) not in self._sorted:
            rows = [r for r in self.objects[kind].values() if (r.archived is not None) is archived]
            self._sorted[kind, archived] = sorted(rows, key=lambda record: record.number)
        return self._sorted[kind, archived]

    def _list(self, request: Request, body: Json) -> Json:
        kind, query = self._kind(request), request.query_params
        history = _names(query.getlist("propertiesWithHistory"))
        limit = _whole(query.get("limit", "10"), 1, 50 if history else 100)
        rows = self.ordered(kind, query.get("archived") == "true")
        after = query.get("after")
        if after:
            if not after.isdigit():
                raise Refusal(400, "VALIDATION_ERROR", "Invalid paging cursor")
            rows = rows[_first_after(rows, int(after)) :]
        wanted = self._wanted(kind, _names(query.getlist("properties")))
        linked = _names(query.getlist("associations"))
        page = rows[:limit]
        results = [self._shape(record, wanted, history, linked) for record in page]
        return _paged(results, page[-1].id if len(rows) > limit else None, str(request.url.path))

    def _one(self, request: Request, body: Json) -> Json:
        kind, query = self._kind(request), request.query_params
        given = str(request.path_params["id"])
        record = self.objects[kind].get(self.survivors[kind].get(given, given))
        if record is None or (record.archived is not None) is not (query.get("archived") == "true"):
            raise Refusal(404, "OBJECT_NOT_FOUND", f"Object not found.  objectId are usually numeric. {given}")
        wanted = self._wanted(kind, _names(query.getlist("properties")))
        history = _names(query.getlist("propertiesWithHistory"))
        return self._shape(record, wanted, history, _names(query.getlist("associations")))

    def _batch(self, request: Request, body: Json) -> Json | Response:
        kind = self._kind(request)
        inputs = [str(item.get("id")) for item in body.get("inputs") or []]
        history = [str(name) for name in body.get("propertiesWithHistory") or []]
        most = 50 if history else 100
        if not inputs or len(inputs) > most:
            reason = f"The maximum number of inputs supported in a batch request is {most}. {len(inputs)} were given"
            raise Refusal(400, "VALIDATION_ERROR", reason)
        archived = request.query_params.get("archived") == "true"
        wanted = self._wanted(kind, [str(name) for name in body.get("properties") or []])
        found, missing = [], []
        for id_ in dict.fromkeys(inputs):
            record = self.objects[kind].get(self.survivors[kind].get(id_, id_))
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

    def _search(self, request: Request, body: Json) -> Json:
        kind = self._kind(request)
        limit = _whole(body.get("limit", 10), 0, 200)
        after = int(body.get("after") or 0)
        if after + limit > SEARCH_CAP:
            raise Refusal(400, "VALIDATION_ERROR", "The maximum number of search results is 10000.")
        groups = read_filters(kind, body)
        key, descending = sort_of(kind, body, ids_as_text=self.ids_as_text)
        rows = [r for r in self.ordered(kind, False) if not groups or any(all(t(r) for t in g) for g in groups)]
        rows.sort(key=key, reverse=descending)
        wanted = self._wanted(kind, [str(name) for name in body.get("properties") or []])
        results = [self._shape(record, wanted, [], []) for record in rows[after : after + limit]]
        for result in results:
            for name in NOT_IN_SEARCH:
                if name in result["properties"]:
                    result["properties"][name] = None
        more = str(after + limit) if after + limit < len(rows) else None
        return {"total": len(rows), **_paged(results, more)}

    def _wanted(self, kind: str, asked: list[str]) -> list[str]:
        known = PROPERTIES[kind]
        if not asked:
            return [name for name in DEFAULTS.get(kind, ALWAYS) if name in known]
        names = [name for name in asked if name in known or name.startswith("hs_v2_date_entered_")]
        return [*dict.fromkeys((*names, created_property(kind), modified_property(kind), "hs_object_id"))]

    def _shape(self, record: Record, wanted: list[str], history: list[str], linked: list[str]) -> Json:
        props = record.props
        out: Json = {
            "id": record.id,
            "properties": {name: props.get(name) for name in wanted},
            "createdAt": record.stamp(record.created),
            "updatedAt": record.stamp(record.modified),
            "archived": record.archived is not None,
        }
        if record.archived is not None:
            out["archivedAt"] = record.stamp(record.archived)
        if history:
            out["propertiesWithHistory"] = {n: record.history[n] for n in history if n in record.history}
        if linked:
            out["associations"] = self._inline(record, linked)
        return out

    # -- associations ----------------------------------------------------------------------------------------------

    def linked(self, kind: str, other: str, id_: str) -> list[str]:
        """Ids of `other` a live object is linked to, in either direction."""
        record = self.objects[kind].get(id_)
        if record is None or record.archived is not None:
            return []
        if (kind, other) not in self._incoming:
            index: dict[str, list[str]] = {}
            for row in self.ordered(other, False):
                for target in row.links.get(kind, ()):
                    index.setdefault(target, []).append(row.id)
            self._incoming[kind, other] = index
        ids = [*record.links.get(other, ()), *self._incoming[kind, other].get(id_, ())]
        objects = self.objects[other]
        return [i for i in dict.fromkeys(ids) if i in objects and objects[i].archived is None]

    def _inline(self, record: Record, names: list[str]) -> Json:
        out: Json = {}
        for name in names:
            kind = SINGULAR.get(name, TYPE_IDS.get(name, name))
            ids = self.linked(record.kind, kind, record.id) if kind in PROPERTIES else []
            if not ids:
                continue
            label = f"{record.kind.rstrip('s')}_to_{kind.rstrip('s')}"
            results = [{"id": id_, "type": label} for id_ in ids]
            if len(ASSOCIATIONS.get((record.kind, kind), ())) > 1:
                results += [{"id": id_, "type": label + "_unlabeled"} for id_ in ids]
            out[kind] = {"results": results[:500]}
        return out

    def _associations(self, request: Request, body: Json) -> Json | Response:
        kind, other = self._kind(request, "a"), self._kind(request, "b")
        inputs = body.get("inputs") or []
        if not inputs or len(inputs) > 1000:
            raise Refusal(400, "VALIDATION_ERROR", "The number of inputs must be between 1 and 1000.")
        types = ASSOCIATIONS.get((kind, other), ((999, None),))
        results, errors = [], []
        for item in inputs:
            id_, after = str(item.get("id")), int(item.get("after") or 0)
            ids = self.linked(kind, other, id_)
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
        stamp = hs_instant(self._company.now)
        return {"startedAt": stamp, "completedAt": stamp}


def _names(values: list[str]) -> list[str]:
    """Property names given once with commas, or many times."""
    return [name for value in values for name in value.split(",") if name]


def _whole(value: object, low: int, high: int) -> int:
    try:
        number = int(str(value))
    except ValueError:
        raise Refusal(400, "VALIDATION_ERROR", f"{value} is not a valid limit") from None
    if not low <= number <= high:
        raise Refusal(400, "VALIDATION_ERROR", f"limit must be between {low} and {high}")
    return number


def _first_after(rows: list[Record], number: int) -> int:
    low, high = 0, len(rows)
    while low < high:
        middle = (low + high) // 2
        if rows[middle].number <= number:
            low = middle + 1
        else:
            high = middle
    return low


def _paged(results: list[Json], after: str | None, path: str = "") -> Json:
    if after is None:
        return {"results": results}
    link = f"https://api.hubapi.com{path}?after={after}"
    return {"results": results, "paging": {"next": {"after": after, "link": link}}}

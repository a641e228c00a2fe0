"""A plain client of one sandbox HubSpot server, for tests of the server itself."""

from typing import Any

import requests

from syncagent.sandbox.hubspot.gate import ACCESS_TOKEN
from syncagent.sandbox.hubspot.server import HubSpotServer

Row = dict[str, Any]


class Portal:
    """Calls `server` with its private token; `get` and `post` return the response as it is."""

    def __init__(self, server: HubSpotServer) -> None:
        self.server = server
        self.session = requests.Session()
        self.session.headers["Authorization"] = "Bearer " + ACCESS_TOKEN

    def __enter__(self) -> "Portal":
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def get(self, path: str, **params: Any) -> requests.Response:
        return self.session.get(self.server.url + path, params=params, timeout=10, allow_redirects=False)

    def post(self, path: str, body: object, **params: Any) -> requests.Response:
        return self.session.post(self.server.url + path, json=body, params=params, timeout=10)

    def all(self, kind: str, **params: Any) -> list[Row]:
        """Every object of a kind, by the list's pages."""
        return [row for page in self.pages(kind, **params) for row in page]

    def pages(self, kind: str, limit: int = 100, **params: Any) -> list[list[Row]]:
        found: list[list[Row]] = []
        while True:
            page = self.get(f"/crm/v3/objects/{kind}", limit=limit, **params).json()
            found.append(page["results"])
            if "paging" not in page:
                return found
            params["after"] = page["paging"]["next"]["after"]

    def search(self, kind: str, **body: Any) -> dict[str, Any]:
        """One page of a search."""
        answer: dict[str, Any] = self.post(f"/crm/v3/objects/{kind}/search", body).json()
        return answer

    def search_all(self, kind: str, limit: int = 200, **body: Any) -> list[Row]:
        """Every row of a search, by its pages, as far as the vendor's cap."""
        rows: list[Row] = []
        after: dict[str, str] = {}
        while True:
            page = self.search(kind, limit=limit, **body, **after)
            rows += page["results"]
            if "paging" not in page or int(page["paging"]["next"]["after"]) + limit > 10_000:
                return rows
            after = {"after": page["paging"]["next"]["after"]}

    def read(self, kind: str, ids: list[str], *properties: str, **more: Any) -> requests.Response:
        """A batch read."""
        body = {"inputs": [{"id": one} for one in ids], "properties": list(properties), **more}
        return self.post(f"/crm/v3/objects/{kind}/batch/read", body)

    def links(self, kind: str, other: str, ids: list[str]) -> dict[str, list[str]]:
        """What each id is linked to."""
        path = f"/crm/associations/2026-09/{kind}/{other}/batch/read"
        answer = self.post(path, {"inputs": [{"id": one} for one in ids]}).json()
        return {row["from"]["id"]: [str(to["toObjectId"]) for to in row["to"]] for row in answer["results"]}

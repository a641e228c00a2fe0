"""Reads HubSpot objects in bulk: lists, searches for ids, batch reads, associations; several calls side by side.

Positions and mapping are the reader's; this module only knows how to get objects, and how to get round HubSpot's
limits of 100 (50 with history) a batch, 1,000 ids a question for associations and 10,000 rows a search.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from connectors import parse
from connectors.errors import StreamError, TransientError
from connectors.hubspot.client import HubSpotClient, next_after
from connectors.hubspot.fields import PRIMARY, ObjectType

log = logging.getLogger(__name__)

Object = dict[str, Any]

LIST_LIMIT = 100
SEARCH_LIMIT = 200
_BATCH = 100
_BATCH_WITH_HISTORY = 50
_LINK_BATCH = 1_000
_LARGEST_ID = 2**53
BLOCK = 500


class Fetcher:
    """Gets objects of one portal. Use it from one thread; it uses several itself."""

    def __init__(self, client: HubSpotClient, *, workers: int = 8) -> None:
        self._client = client
        self._workers = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="hubspot")
        self._no_links: set[tuple[str, str]] = set()

    def close(self) -> None:
        self._workers.shutdown(wait=True, cancel_futures=True)

    def list_blocks(
        self, name: str, properties: Sequence[str], after: str | None, *, archived: bool = False
    ) -> Iterator[tuple[list[Object], str | None]]:
        """All objects of a type in blocks of about 500, each with the mark the next block begins at.

        The next page is on its way while a block is worked on.
        """
        query = {"limit": LIST_LIMIT, "properties": ",".join(properties), "archived": str(archived).lower()}

        def page(mark: str | None) -> dict[str, Any]:
            return self._client.results("objects", f"/{name}", {**query, "after": mark} if mark else query)

        seen = {after}
        coming = self._workers.submit(page, after)
        block: list[Object] = []
        while True:
            document = coming.result()
            mark = next_after(document)
            if mark is not None:
                if mark in seen:
                    raise TransientError(f"HubSpot's pages of {name} lead in a circle.")
                seen.add(mark)
                coming = self._workers.submit(page, mark)
            block.extend(document["results"])
            if mark is None or len(block) >= BLOCK:
                yield block, mark
                block = []
            if mark is None:
                return

    def changed(self, kind: ObjectType, from_ms: int) -> Iterator[tuple[list[str], int]]:
        """Ids changed at `from_ms` or later, oldest change first, in blocks with the last change's milliseconds.

        Each block is a search of its own that begins where the last one ended: an object edited meanwhile moves to the
        end, and places in one long result would then be of other objects.
        """
        floor = from_ms
        seen: set[tuple[str, int]] = set()
        while True:
            top, is_more = floor, False
            for found, going_on in self._search_pages(kind, floor):
                is_more = going_on
                stamped = [(str(one["id"]), max(_changed_ms(one, kind.cursor) or floor, floor)) for one in found]
                top = stamped[-1][1] if stamped else top
                fresh = [entry for entry in stamped if entry not in seen]
                seen.update(fresh)
                if fresh:
                    yield [one for one, _ in fresh], top
                if found:
                    break
            if not is_more:
                return
            if top == floor:  # more in one millisecond than a page holds
                for found in self._in_one_ms(kind, floor, 0, _LARGEST_ID):
                    fresh = [(str(one["id"]), floor) for one in found if (str(one["id"]), floor) not in seen]
                    yield [one for one, _ in fresh], floor
                top = floor + 1
            floor = top
            seen = {entry for entry in seen if entry[1] >= floor}

    def _search_pages(self, kind: ObjectType, floor: int) -> Iterator[tuple[list[Object], bool]]:
        """Pages of what changed at `floor` or later, each with whether there is more; some may be empty."""
        body = _search_body(kind, kind.cursor, [("GTE", kind.cursor, floor)])
        marks: set[str | None] = set()
        while True:
            document = self._client.search(kind.name, body)
            after = next_after(document)
            yield document["results"], after is not None
            if after is None:
                return
            if after in marks:
                raise TransientError(f"HubSpot's search of {kind.name} leads in a circle.")
            marks.add(after)
            body["after"] = after

    def _in_one_ms(self, kind: ObjectType, ms: int, low: int, high: int) -> Iterator[list[Object]]:
        """All that changed in one millisecond with an id in (low, high], whichever way HubSpot sorts ids."""
        filters = [("EQ", kind.cursor, ms), ("GT", "hs_object_id", low), ("LTE", "hs_object_id", high)]
        document = self._client.search(kind.name, _search_body(kind, "hs_object_id", filters))
        if next_after(document) is None or high - low < 2:
            yield document["results"]
            return
        middle = (low + high) // 2
        yield from self._in_one_ms(kind, ms, low, middle)
        yield from self._in_one_ms(kind, ms, middle, high)

    def read(self, name: str, ids: Sequence[str], properties: Sequence[str], history: Sequence[str]) -> list[Object]:
        """Objects by id, with the histories asked for; ids that are gone are left out."""
        size = _BATCH_WITH_HISTORY if history else _BATCH

        def batch(part: Sequence[str]) -> list[Object]:
            body: dict[str, Any] = {"inputs": [{"id": one} for one in part], "properties": list(properties)}
            if history:
                body["propertiesWithHistory"] = list(history)
            found: list[Object] = self._client.results("objects", f"/{name}/batch/read", body=body)["results"]
            return found

        parts = [ids[at : at + size] for at in range(0, len(ids), size)]
        return [one for found in self._workers.map(batch, parts) for one in found]

    def links(self, name: str, targets: Sequence[str], ids: Sequence[str]) -> dict[str, dict[str, list[str]]]:
        """Per target type and id: the ids it is associated with, the primary one first, then in number order.

        A target this login may not read is left out of the answer.
        """
        wanted = [
            (target, ids[at : at + _LINK_BATCH])
            for target in targets
            if (name, target) not in self._no_links
            for at in range(0, len(ids), _LINK_BATCH)
        ]

        def ask(job: tuple[str, Sequence[str]]) -> tuple[str, dict[str, list[str]] | None]:
            target, part = job
            try:
                return target, self._links_of(name, target, part)
            except StreamError as error:
                log.warning("%s to %s: %s", name, target, error, extra={"action": "links_skipped"})
                return target, None

        answer: dict[str, dict[str, list[str]]] = {}
        for target, found in self._workers.map(ask, wanted):
            if found is None:
                self._no_links.add((name, target))
                answer.pop(target, None)
            elif (name, target) not in self._no_links:
                answer.setdefault(target, {}).update(found)
        return answer

    def _links_of(self, name: str, target: str, ids: Sequence[str]) -> dict[str, list[str]]:
        inputs: list[dict[str, str]] = [{"id": one} for one in ids]
        ranked: dict[str, list[tuple[bool, int, str]]] = {}
        while inputs:
            going_on = []
            for result in self._client.associations(name, target, inputs):
                own = str(result["from"].get("id"))
                ranked.setdefault(own, []).extend(_rank(one) for one in result["to"] if isinstance(one, Mapping))
                after = next_after(result)
                if after is not None:
                    going_on.append({"id": own, "after": after})
            inputs = going_on if going_on != inputs else []
        return {own: [one for *_, one in sorted(set(found))] for own, found in ranked.items()}


def _search_body(kind: ObjectType, sort: str, filters: Sequence[tuple[str, str, int]]) -> dict[str, Any]:
    listed = [{"propertyName": name, "operator": operator, "value": str(value)} for operator, name, value in filters]
    return {
        "filterGroups": [{"filters": listed}],
        "sorts": [{"propertyName": sort, "direction": "ASCENDING"}],
        "properties": [kind.cursor],
        "limit": SEARCH_LIMIT,
    }


def _rank(link: Mapping[str, Any]) -> tuple[bool, int, str]:
    """(is not the primary one, number, id): the order in which one of several is chosen."""
    other = str(link.get("toObjectId") or link.get("id") or "")
    kinds = link.get("associationTypes")
    own = [kind for kind in kinds if isinstance(kind, Mapping)] if isinstance(kinds, list) else []
    types = {kind.get("typeId") for kind in own if kind.get("category") != "USER_DEFINED"}  # those count from 1 too
    return not types & PRIMARY, int(other) if other.isdigit() else 0, other


def _changed_ms(one: Object, cursor: str) -> int | None:
    """When an object last changed, in milliseconds; None where it does not say."""
    properties = one.get("properties")
    value = (properties.get(cursor) if isinstance(properties, Mapping) else None) or one.get("updatedAt")
    if not value:
        return None
    try:
        plain = str(value)
        return int(plain) if plain.isdigit() else round(parse.to_datetime(plain).timestamp() * 1000)
    except ValueError:
        return None

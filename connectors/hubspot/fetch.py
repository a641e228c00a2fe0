"""Reads HubSpot objects by id, with what they are associated with, several calls side by side.

Positions and mapping are the reader's; this module only knows how to get objects, and how to get round HubSpot's
limits of a batch (`limits.batch`, fewer with history) and of a question for associations (`limits.links_batch`).
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, TypeVar

from connectors.errors import StreamError
from connectors.hubspot.answers import next_after
from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.errors import NotThere
from connectors.hubspot.fields import PRIMARY
from connectors.hubspot.settings import HubSpotLimits
from connectors.tally import carried

log = logging.getLogger(__name__)

Object = dict[str, Any]
A = TypeVar("A")
B = TypeVar("B")

#: Types whose objects can be merged: an id may come back under another one.
MERGING = frozenset({"contacts", "companies", "deals", "tickets"})
_EXTRA_BLOCKS = 10
_DONE: Any = object()


@dataclass(slots=True)
class Found:
    """What a question by ids brought: objects, ids that are not there, ids that became part of another (id -> id)."""

    objects: list[Object] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    merged: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Links:
    """What objects of one type are associated with in another: per id the others, the primary one first, then in
    number order (an id without any may be left out), and the ids of which HubSpot said nothing.
    """

    by_id: dict[str, list[str]] = field(default_factory=dict)
    unsaid: set[str] = field(default_factory=set)


class Fetcher:
    """Gets objects of one portal. Safe to share between threads; all of them share its workers, as many as calls may
    run at once: the limiter, not the workers, keeps the pace.
    """

    def __init__(self, client: HubSpotClient, limits: HubSpotLimits) -> None:
        self._client = client
        self.limits = limits
        self._here = threading.local()
        self._workers = ThreadPoolExecutor(limits.at_once, thread_name_prefix="hubspot", initializer=self._mark_worker)
        self._no_links: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()
        #: Seconds of the processor all workers have used for what they have ended.
        self.worked_s = 0.0
        #: Blocks of lists that may be under way beyond one a stream: what bounds the memory of a first load.
        self.extra_blocks = threading.BoundedSemaphore(_EXTRA_BLOCKS)

    def close(self) -> None:
        self._workers.shutdown(wait=True, cancel_futures=True)

    def list_page(self, name: str, query: Mapping[str, Any]) -> dict[str, Any]:
        """One page of the list of a type."""
        return self._client.results("objects", f"/{name}", query)

    def size(self, most: int, *, with_history: bool) -> int:
        """How many objects one call may bring: `most`, fewer with their history."""
        return min(most, self.limits.batch_with_history) if with_history else most

    def start(self, work: Callable[[], B]) -> "Future[B]":
        """Have `work` done by a worker; its calls count where this thread's do."""
        return self._workers.submit(carried(lambda: self._timed(work)))

    def each(self, work: Callable[[A], B], items: Sequence[A]) -> list[B]:
        """`work` of each item, side by side; one after the other where a worker asks (it would wait for itself)."""
        if len(items) < 2 or getattr(self._here, "is_worker", False):
            return [work(item) for item in items]
        futures = [self._workers.submit(carried(work), item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            settle(futures)

    def ahead(self, items: Iterator[A]) -> Iterator[A]:
        """The same items; the next one is being made while one is worked on."""
        coming = self.start(lambda: next(items, _DONE))
        try:
            while (item := coming.result()) is not _DONE:
                coming = self.start(lambda: next(items, _DONE))
                yield item
        finally:
            settle([coming])

    def read(
        self,
        name: str,
        ids: Sequence[str],
        properties: Sequence[str],
        history: Sequence[str] = (),
        *,
        archived: bool = False,
    ) -> Found:
        """Objects by id, with the histories asked for."""
        size = self.size(self.limits.batch, with_history=bool(history))
        more: dict[str, Any] = {"properties": list(properties)}
        if history:
            more["propertiesWithHistory"] = list(history)
        query = {"archived": "true"} if archived else None

        def batch(part: Sequence[str]) -> Found:
            objects, missing = self._client.batch(name, part, more, query)
            found = Found(objects, missing)
            if not archived:
                self._account_for(name, part, found, more)
            return found

        parts = [ids[at : at + size] for at in range(0, len(ids), size)]
        whole = Found()
        for found in self.each(batch, parts):
            whole.objects += found.objects
            whole.missing |= found.missing
            whole.merged |= found.merged
        # A survivor asked for beside one that was merged into it comes twice.
        whole.objects = list({str(one["id"]): one for one in whole.objects}.values())
        return whole

    def _account_for(self, name: str, ids: Sequence[str], found: Found, more: Mapping[str, Any]) -> None:
        """Find out about ids the answer says nothing of: merged (asked for, the survivor comes, by its own id), gone,
        or left out by mistake.
        """
        asked = set(ids)
        by_id = {str(one["id"]): one for one in found.objects}
        left = asked - by_id.keys() - found.missing
        found.missing -= by_id.keys()
        if not left:
            return
        for own, one in by_id.items():
            for loser in merged_ids(one) & left:
                found.merged[loser] = own
        unread: set[str] = set()
        left -= found.merged.keys()
        if name not in MERGING and left:
            objects, _ = self._client.batch(name, sorted(left), more)
            found.objects += objects
            found.missing |= left - {str(one["id"]) for one in objects}
            return
        for asked_id in sorted(left):
            try:
                document = self._client.get("objects", f"/{name}/{asked_id}", {"properties": "hs_object_id"})
            except NotThere:
                found.missing.add(asked_id)
                continue
            own = str(document.get("id") or "")
            if own and own != asked_id:
                found.merged[asked_id] = own
            if own and own not in by_id:
                unread.add(own)
        if unread:
            objects, _ = self._client.batch(name, sorted(unread), more)
            found.objects += objects

    def links(self, name: str, targets: Sequence[str], ids: Sequence[str]) -> dict[str, Links]:
        """Per target type: what each id is associated with.

        A target this login may not read is left out of the answer.
        """
        wanted = [
            (target, ids[at : at + self.limits.links_batch])
            for target in targets
            if (name, target) not in self._no_links
            for at in range(0, len(ids), self.limits.links_batch)
        ]

        def ask(job: tuple[str, Sequence[str]]) -> tuple[str, Links | None]:
            target, part = job
            try:
                return target, self._links_of(name, target, part)
            except StreamError as error:
                if self._no_links.setdefault((name, target), str(error)) == str(error):
                    log.info("%s to %s: %s", name, target, error, extra={"action": "links_skipped"})
                return target, None

        answer: dict[str, Links] = {}
        broken: set[str] = set()
        for target, found in self.each(ask, wanted):
            if found is None:
                broken.add(target)
            else:
                whole = answer.setdefault(target, Links())
                whole.by_id.update(found.by_id)
                whole.unsaid |= found.unsaid
        return {target: found for target, found in answer.items() if target not in broken}

    def _links_of(self, name: str, target: str, ids: Sequence[str]) -> Links:
        inputs: list[dict[str, str]] = [{"id": one} for one in ids]
        ranked: dict[str, set[tuple[bool, int, str]]] = {}
        unsaid: set[str] = set()
        while inputs:
            going_on = []
            results, missing = self._client.associations(name, target, inputs)
            unsaid |= missing
            for result in results:
                own = str(result["from"].get("id"))
                known = ranked.setdefault(own, set())
                before = len(known)
                known.update(_rank(one) for one in result["to"] if isinstance(one, Mapping))
                after = next_after(result)
                if after is not None and len(known) > before:  # a page that brings nothing new leads nowhere
                    going_on.append({"id": own, "after": after})
            inputs = going_on
        return Links(
            {
                own: list(dict.fromkeys(one for *_, one in sorted(found) if one))
                for own, found in ranked.items()
                if own not in unsaid
            },
            unsaid,
        )

    def _timed(self, work: Callable[[], B]) -> B:
        began = time.thread_time()
        try:
            return work()
        finally:
            with self._lock:
                self.worked_s += time.thread_time() - began

    def _mark_worker(self) -> None:
        self._here.is_worker = True


def settle(futures: Sequence["Future[Any]"]) -> None:
    """Let nothing of ours run on: cancel what has not begun, wait for what has."""
    for future in futures:
        future.cancel()
    wait(futures)


def merged_ids(one: Object) -> set[str]:
    """The ids that became part of this object."""
    properties = one.get("properties")
    if not isinstance(properties, Mapping):
        return set()
    own = str(one.get("id"))
    found = {part.strip() for part in str(properties.get("hs_merged_object_ids") or "").split(";")}
    # contacts: "id:milliseconds;id:milliseconds", not always whole
    vids = str(properties.get("hs_calculated_merged_vids") or "").split(";")
    found |= {part.split(":", 1)[0].strip() for part in vids}
    return found - {"", own}


def _rank(link: Mapping[str, Any]) -> tuple[bool, int, str]:
    """(is not the primary one, number, id): the order in which one of several is chosen."""
    other = str(link.get("toObjectId") or link.get("id") or "")
    kinds = link.get("associationTypes")
    own = [kind for kind in kinds if isinstance(kind, Mapping)] if isinstance(kinds, list) else []
    types = {kind.get("typeId") for kind in own if kind.get("category") != "USER_DEFINED"}  # those count from 1 too
    return not types & PRIMARY, int(other) if other.isdigit() else 0, other

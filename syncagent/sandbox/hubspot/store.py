"""What the sandbox's HubSpot holds: objects with their links, and apart from them the index its searches look into."""

import random
from bisect import bisect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice

from syncagent.sandbox.company import Company
from syncagent.sandbox.hubspot.props import PROPERTIES
from syncagent.sandbox.hubspot.records import Record, kind_of, product_records, records_of
from syncagent.sandbox.model import Entity

Place = tuple[str, str]  # kind, id


class Padding:
    """Copies of a record under the ids that follow its own, made as they are looked at: a million cost no memory."""

    def __init__(self, model: Record, count: int) -> None:
        self.model = model
        self.count = count

    def get(self, id_: str) -> Record | None:
        """The copy with this id, if there is one."""
        number = int(id_) - self.model.number if id_.isascii() and id_.isdigit() else 0
        return self.copy(number) if 1 <= number <= self.count else None

    def copy(self, number: int) -> Record:
        """The copy of this number, counted from 1."""
        made = replace(self.model, number=self.model.number + number, id=str(self.model.number + number))
        made.props = dict(made.props)
        made.restamp()
        return made

    def after(self, number: int) -> Iterable[Record]:
        """Copies with ids above `number`, in order."""
        return map(self.copy, range(max(1, number - self.model.number + 1), self.count + 1))


class Store:
    """The objects by kind and id, as lists and reads show them, and the index, which may lag behind.

    `lag`: for a record that changes, how many seconds later searches will know of it.
    """

    def __init__(self, company: Company) -> None:
        self._company = company
        self.objects: dict[str, dict[str, Record]] = {kind: {} for kind in PROPERTIES}
        self.survivors: dict[str, dict[str, str]] = {
            kind: {} for kind in PROPERTIES
        }  # merged-away id -> what took it in
        self.lag: Callable[[Entity], int] | None = None
        self.changes = 0  # grows with every change of the index: what was found before it is stale
        self._index: dict[str, dict[str, Record]] = {kind: {} for kind in PROPERTIES}
        self._late: dict[Place, list[tuple[int, Record | None]]] = {}  # what the index will show, from when on
        self.padding: dict[str, Padding] = {}
        self._hidden: dict[int, int] = {}
        self._same_ms: dict[int, int] = {}
        self._places: dict[int, set[Place]] = {}
        self._keeper: dict[Place, int] = {}
        self._sorted: dict[tuple[str, bool], list[Record]] = {}
        self._incoming: dict[tuple[str, str], dict[str, list[str]]] = {}
        for record in product_records(company):
            self.objects["products"][record.id] = self._index["products"][record.id] = record
        self._new = True
        self.refresh(company.everything())
        self._new = False

    # -- changes ---------------------------------------------------------------------------------------------------

    def refresh(self, entities: Iterable[Entity]) -> None:
        """Show these records as they are now."""
        for entity in entities:
            if entity.hs is None or (kind := kind_of(entity)) is None:
                continue
            visible_at = self._hidden.get(entity.key, 0)
            if self.lag is not None and not self._new:
                visible_at = max(visible_at, self._company.now + self.lag(entity))
            places = set()
            for record in records_of(self._company, entity):
                if entity.key in self._same_ms:
                    record.modified += self._same_ms[entity.key] - record.modified % 1000
                    record.restamp()
                place = (record.kind, record.id)
                places.add(place)
                self._keeper[place] = entity.key
                self.objects[record.kind][record.id] = record
                self._show(place, record if record.archived is None else None, visible_at)
            for place in self._places.get(entity.key, set()) - places:
                if self._keeper[place] == entity.key:
                    self.objects[place[0]].pop(place[1], None)
                    self._show(place, None, visible_at)
            self._places[entity.key] = places
            if entity.merged_into is not None and entity.merged_into.hs:
                self.survivors[kind][entity.hs] = entity.merged_into.hs
        self._sorted.clear()
        self._incoming.clear()
        self.changes += 1

    def hide_until(self, entity: Entity, at: int) -> None:
        """What happens to the record from now on, its making too, is held back from searches until `at`.

        What is being held back already waits as long. Reads and lists show everything at once.
        """
        self._hidden[entity.key] = at
        for place in self._places.get(entity.key, ()):
            if place in self._late:
                self._late[place] = [(max(at, due), shown) for due, shown in self._late[place]]

    def burst(self, entities: Iterable[Entity], ms: int) -> None:
        """Give the stamps of these records the same millisecond within their second, now and later."""
        entities = list(entities)
        self._same_ms |= {entity.key: ms for entity in entities}
        self.refresh(entities)

    def pad(self, kind: str, count: int) -> None:
        """Add `count` copies of the newest object of a kind. Lists and reads have them; searches only count them."""
        self.padding[kind] = Padding(self.ordered(kind, False)[-1], count)
        self.changes += 1

    def fill(self, kind: str, count: int, *, per_ms: int) -> None:
        """Add `count` copies of the newest object of a kind that searches find too, edited just now, `per_ms` at once.

        They stay until the store is made anew, whatever becomes of their model.
        """
        model = self.ordered(kind, False)[-1]
        made = Padding(model, count)
        for number in range(1, count + 1):
            record = made.copy(number)
            record.modified = self._company.now * 1000 - (number - 1) // per_ms
            record.restamp()
            self.objects[kind][record.id] = self._index[kind][record.id] = record
        self._sorted.clear()
        self.changes += 1

    def _show(self, place: Place, record: Record | None, visible_at: int) -> None:
        if visible_at > self._company.now:
            self._late.setdefault(place, []).append((visible_at, record))
            return
        self._late.pop(place, None)
        self._set(place, record)

    def _set(self, place: Place, record: Record | None) -> None:
        if record is None:
            self._index[place[0]].pop(place[1], None)
        else:
            self._index[place[0]][place[1]] = record

    def _settle(self) -> None:
        """What was held back until now becomes visible."""
        for place, versions in list(self._late.items()):
            due = [number for number, (at, _) in enumerate(versions) if at <= self._company.now]
            if not due:
                continue
            self._set(place, versions[due[-1]][1])
            self._late[place] = versions[due[-1] + 1 :]
            if not self._late[place]:
                del self._late[place]
            self.changes += 1

    # -- looks -----------------------------------------------------------------------------------------------------

    def indexed(self, kind: str) -> Iterable[Record]:
        """Every object of a kind that searches know of, as they know it."""
        self._settle()
        return self._index[kind].values()

    def settled(self) -> int:
        """The index's state, as a number that changes with it."""
        self._settle()
        return self.changes

    def find(self, kind: str, id_: str) -> Record | None:
        """The object of an id, or of what it was merged into."""
        while id_ in self.survivors[kind]:
            id_ = self.survivors[kind][id_]
        found = self.objects[kind].get(id_)
        return self.padding[kind].get(id_) if found is None and kind in self.padding else found

    def listed(self, kind: str, archived: bool, after: int, limit: int) -> Sequence[Record]:
        """At most `limit` objects with ids above `after`, in order."""
        rows = self.ordered(kind, archived)
        start = bisect(rows, after, key=lambda record: record.number)
        page = rows[start : start + limit]
        if len(page) < limit and kind in self.padding and not archived:
            page += islice(self.padding[kind].after(max(after, self.padding[kind].model.number)), limit - len(page))
        return page

    def ordered(self, kind: str, archived: bool) -> list[Record]:
        """All objects of a kind by id."""
        if (kind, archived) not in self._sorted:
            rows = [r for r in self.objects[kind].values() if (r.archived is not None) is archived]
            self._sorted[kind, archived] = sorted(rows, key=lambda record: record.number)
        return self._sorted[kind, archived]

    def linked(self, kind: str, other: str, id_: str) -> list[str]:
        """Ids of `other` a live object is linked to, in either direction."""
        record = self.objects[kind].get(id_)
        if record is None and kind in self.padding:
            record = self.padding[kind].get(id_)
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


def scramble(rows: list[Record], *, seed: int) -> None:
    """Put rows slightly out of order: each ends up within six places of where it belongs, the same way every time."""
    rng = random.Random(seed)  # noqa: S311
    for start in range(3, len(rows), 7):
        some = rows[start : start + 7]
        rng.shuffle(some)
        rows[start : start + 7] = some

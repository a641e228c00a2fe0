"""What changed is found whole by searches, whatever moves, however many share a moment and however ids are sorted."""

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.errors import TransientError
from connectors.hubspot.fields import TYPES
from connectors.hubspot.search import Changes

DEALS = TYPES["deals"]
BEGIN = 1_790_000_000_000


class Index:
    """Objects by id with the milliseconds of their last change, searched as HubSpot does."""

    def __init__(self, changed: dict[int, int], *, ids_as_text: bool = False) -> None:
        self.changed = changed
        self.calls = 0
        self.empty_first = False
        self.before_call: Callable[[int], None] = lambda _call: None
        self._ids_as_text = ids_as_text

    def search(self, _name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self.before_call(self.calls)
        self.calls += 1
        after, limit = int(body.get("after") or 0), int(body["limit"])
        assert after + limit <= 10_000
        if self.empty_first and "after" not in body:
            return {"results": [], "paging": {"next": {"after": "0"}}}
        rows = list(self.changed.items())
        for one in body["filterGroups"][0]["filters"]:
            place, bound = (0 if one["propertyName"] == "hs_object_id" else 1), int(one["value"])
            high = int(one.get("highValue", 0))
            low, end = {"GTE": (bound, 2**62), "LT": (0, bound - 1), "BETWEEN": (bound, high)}[one["operator"]]
            rows = [row for row in rows if low <= row[place] <= end]
        by_id = body["sorts"][0]["propertyName"] == "hs_object_id"
        text: Callable[[tuple[int, int]], Any] = lambda row: str(row[0])  # noqa: E731
        number: Callable[[tuple[int, int]], Any] = lambda row: (row[0],) if by_id else (row[1], row[0])  # noqa: E731
        rows.sort(key=text if by_id and self._ids_as_text else number)
        page = [{"id": str(id_), "properties": {DEALS.cursor: str(ms)}} for id_, ms in rows[after : after + limit]]
        more = {"paging": {"next": {"after": str(after + limit)}}} if after + limit < len(rows) else {}
        return {"total": len(rows), "results": page, **more}


def found(index: Index, from_ms: int = BEGIN, *, page: int = 200) -> list[int]:
    return [int(one) for ids, _ in Changes(index, DEALS, from_ms, page=page).blocks() for one in ids]


def test_an_object_edited_between_two_pages_hides_no_other() -> None:
    index = Index({number: BEGIN + number for number in range(1, 1001)})

    def edit(call: int) -> None:
        if call:
            index.changed[call] = BEGIN + 10_000 + call  # one that was read already goes to the end

    index.before_call = edit
    assert set(found(index)) == set(range(1, 1001))


def test_every_object_comes_once_when_nothing_moves() -> None:
    ids = found(Index({number: BEGIN + number // 7 for number in range(1, 1001)}))
    assert sorted(ids) == list(range(1, 1001))


@pytest.mark.parametrize("ids_as_text", [False, True])
def test_more_in_one_millisecond_than_a_search_may_show(ids_as_text: bool) -> None:
    crowd = dict.fromkeys(range(500, 11_500), BEGIN + 5)
    index = Index({1: BEGIN, **crowd, 99_999: BEGIN + 6}, ids_as_text=ids_as_text)
    assert sorted(found(index)) == [1, *range(500, 11_500), 99_999]


def test_more_than_ten_thousand_changes() -> None:
    assert len(set(found(Index({number: BEGIN + number for number in range(10_001)})))) == 10_001


def test_nothing_and_what_lies_below_the_beginning() -> None:
    assert found(Index({})) == []
    assert found(Index({1: BEGIN - 1, 2: BEGIN})) == [2]


def test_an_empty_page_with_a_next_one_is_not_the_end() -> None:
    index = Index({1: BEGIN})
    index.empty_first = True
    assert found(index) == [1]


class Odd(Index):
    """An index with bad habits: rows out of order, below the bound, short pages, parts of a millisecond."""

    def __init__(self, changed: dict[int, int], *, habit: str) -> None:
        super().__init__(changed)
        self.habit = habit
        self._dice = random.Random(3)

    def search(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer = super().search(name, body)
        rows = answer["results"]
        if self.habit == "scrambled":
            self._dice.shuffle(rows)
        if self.habit == "other page":  # sorted as it should be, but not the first of all
            self.calls -= 1
            everything = super().search(name, {**body, "limit": 10_000})["results"]
            chosen = set(self._dice.sample(range(len(everything)), min(len(everything), len(rows))))
            answer["results"] = [one for at, one in enumerate(everything) if at in chosen]
        if self.habit == "short" and "paging" in answer:
            del rows[1 + self.calls % 3 :]
        if self.habit == "below":
            for one in rows[::3]:
                one["properties"][DEALS.cursor] = str(int(one["properties"][DEALS.cursor]) - 1)
        if self.habit == "iso":
            for one in rows:
                ms = int(one["properties"][DEALS.cursor])
                moment = datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
                one["properties"][DEALS.cursor] = f"{moment}.{ms % 1000:03}Z"
        return answer


@pytest.mark.parametrize("habit", ["scrambled", "other page", "short", "below", "iso"])
@pytest.mark.parametrize("spread", [1, 40, 3_000])
def test_bad_habits_of_the_index_hide_nothing(habit: str, spread: int) -> None:
    changed = {number * 13: BEGIN + number // spread for number in range(1, 1_200)}
    index = Odd(changed, habit=habit)
    assert set(found(index)) == set(changed)


def test_deletions_between_two_searches_cost_a_search_and_hide_nothing() -> None:
    index = Index({number: BEGIN + number for number in range(1, 1001)})

    def delete(call: int) -> None:
        if call:
            index.changed.pop(call * 2, None)  # what was shown, and what was not yet

    index.before_call = delete
    ids = set(found(index))
    assert set(index.changed) <= ids


def test_a_window_with_an_end_leaves_what_came_later() -> None:
    index = Index({number: BEGIN + number for number in range(1, 1001)})
    ids = [int(one) for ids, _ in Changes(index, DEALS, BEGIN, BEGIN + 500, page=200).blocks() for one in ids]
    assert sorted(ids) == list(range(1, 501))


def test_each_block_says_up_to_when_all_is_found() -> None:
    index = Index({number: BEGIN + number // 3 for number in range(1, 2_000)})
    told: set[str] = set()
    for ids, top in Changes(index, DEALS, BEGIN, page=200).blocks():
        told |= set(ids)
        assert {str(one) for one, ms in index.changed.items() if ms < top} <= told


@pytest.mark.parametrize(
    "answer",
    [
        {"results": [], "paging": {"next": {"after": "200"}}},
        {"results": [{"id": "1", "properties": {}}], "paging": {"next": {"after": "200"}}},
        {"total": 5, "results": [{"id": "1", "properties": {DEALS.cursor: "5"}}], "paging": {"next": {"after": "1"}}},
    ],
)
def test_a_search_that_never_ends_is_an_error(answer: dict[str, Any]) -> None:
    class Endless(Index):
        def search(self, _name: str, _body: Mapping[str, Any]) -> dict[str, Any]:
            self.calls += 1
            return answer

    index = Endless({})
    with pytest.raises(TransientError):
        found(index)
    assert index.calls < 300

"""What changed is found whole by searches, whatever moves, however many share a moment and however ids are sorted."""

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, cast

import pytest

from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.fetch import Fetcher
from connectors.hubspot.fields import TYPES

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
            holds = {"GTE": int.__ge__, "GT": int.__gt__, "LTE": int.__le__, "EQ": int.__eq__}[one["operator"]]
            rows = [row for row in rows if holds(row[place], bound)]
        by_id = body["sorts"][0]["propertyName"] == "hs_object_id"
        text: Callable[[tuple[int, int]], Any] = lambda row: str(row[0])  # noqa: E731
        number: Callable[[tuple[int, int]], Any] = lambda row: (row[0],) if by_id else (row[1], row[0])  # noqa: E731
        rows.sort(key=text if by_id and self._ids_as_text else number)
        page = [{"id": str(id_), "properties": {DEALS.cursor: str(ms)}} for id_, ms in rows[after : after + limit]]
        more = {"paging": {"next": {"after": str(after + limit)}}} if after + limit < len(rows) else {}
        return {"total": len(rows), "results": page, **more}


def found(index: Index, from_ms: int = BEGIN) -> list[int]:
    with closing(Fetcher(cast(HubSpotClient, index))) as fetcher:
        return [int(one) for ids, _ in fetcher.changed(DEALS, from_ms) for one in ids]


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

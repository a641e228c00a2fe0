"""A list is read whole: in parallel ranges, in one chain, broken off anywhere, and never for ever."""

import bisect
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, cast

import pytest

from connectors.base import Page, Tombstone
from connectors.errors import TransientError
from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.fetch import Fetcher
from connectors.hubspot.listing import RANGES, Listing
from connectors.hubspot.pages import joined
from connectors.hubspot.settings import HubSpotLimits
from connectors.hubspot.width import Width

PAGE = 100


class Portal:
    """Ids in a list, shown as HubSpot does: a page's mark is its last id (or as `token` makes it)."""

    def __init__(self, ids: Sequence[int], *, token: Callable[[int], str] = str) -> None:
        self.ids = sorted(ids)
        self.token = token
        self.calls = 0
        self.highest = 0  # calls under way at once
        self._running = 0
        self._lock = threading.Lock()
        self.before_answer: Callable[[int], dict[str, Any] | None] = lambda _call: None

    def ask(self, mark: str | None) -> dict[str, Any]:
        with self._lock:
            call = self.calls
            self.calls += 1
            self._running += 1
            self.highest = max(self.highest, self._running)
        try:
            given = self.before_answer(call)
            return given if given is not None else self.page(mark)
        finally:
            with self._lock:
                self._running -= 1

    def page(self, mark: str | None) -> dict[str, Any]:
        after = self.place(mark) if mark else 0
        found = self.ids[bisect.bisect_right(self.ids, after) :]
        document: dict[str, Any] = {"results": [{"id": str(one)} for one in found[:PAGE]]}
        if len(found) > PAGE:
            document["paging"] = {"next": {"after": self.token(found[PAGE - 1])}}
        return document

    def place(self, mark: str) -> int:
        return int(mark) if mark.isdigit() else int(mark.removeprefix("t"))


@contextmanager
def listing(
    portal: Portal,
    *,
    total: int | None = None,
    top: int | None = None,
    width: Callable[[], int] | None = lambda: RANGES,
) -> Iterator[Listing[list[int]]]:
    with closing(Fetcher(cast(HubSpotClient, None), HubSpotLimits())) as fetcher:
        ids = portal.ids
        yield Listing(
            fetcher,
            "deals",
            portal.ask,
            lambda objects: [int(one["id"]) for one in objects],
            total=len(ids) if total is None else total,
            top=(ids[-1] if ids else None) if top is None else top,
            is_there=lambda one: one in set(ids),
            width=width,
        )


def read(portal: Portal, position: Any = None, **more: Any) -> list[int]:
    with listing(portal, **more) as made:
        return [one for ids, _, _ in made.blocks(position) for one in ids]


#: Ids as portals have them: a few old ones, a gap, a crowd, a far-off cluster.
UNEVEN = [*range(1, 700), *range(5_000_000, 5_020_000, 7), *range(90_000_000_000, 90_000_004_000)]


@pytest.mark.parametrize("ids", [[], [5], range(1, 101), range(1, 102), range(10, 8_000), UNEVEN])
def test_every_object_comes_once(ids: Sequence[int]) -> None:
    assert sorted(read(Portal(ids))) == list(ids)


@pytest.mark.parametrize("shift", [0, 1])
def test_a_mark_may_be_the_last_id_or_one_more(shift: int) -> None:
    class Other(Portal):
        def place(self, mark: str) -> int:
            return int(mark) - shift  # "from here on"

    assert sorted(read(Other(range(10, 5_000), token=lambda one: str(one + shift)))) == list(range(10, 5_000))


def test_however_many_workers_it_is_worth_while_every_object_comes_once() -> None:
    portal = Portal(UNEVEN)
    portal.before_answer = lambda _call: time.sleep(0.005)
    assert sorted(read(portal, width=None)) == UNEVEN
    assert portal.highest > 1  # it waits for the wire: others begin


def test_a_large_list_is_read_in_several_places_at_once() -> None:
    portal = Portal(UNEVEN)
    gate = threading.Barrier(6, timeout=5)

    def meet(call: int) -> None:
        if 20 <= call < 26:
            gate.wait()

    portal.before_answer = meet
    assert sorted(read(portal)) == UNEVEN  # six calls met at the gate: it would have broken otherwise
    assert not gate.broken
    assert portal.calls < len(UNEVEN) / PAGE * 2


@pytest.mark.parametrize("total", [2_500, 10_000_000])
@pytest.mark.parametrize("top", [600, 90_000_003_999, 10**15])
def test_a_wrong_count_or_a_wrong_highest_id_costs_only_calls(total: int, top: int) -> None:
    portal = Portal(UNEVEN)
    assert sorted(read(portal, total=total, top=top)) == UNEVEN
    assert portal.calls < 600


def test_broken_off_after_each_block_it_goes_on_where_it_was() -> None:
    portal = Portal(UNEVEN)
    position, found, rounds = None, [], 0
    while True:
        rounds += 1
        with listing(portal) as made:
            ids, _, position = next(iter(made.blocks(position)))
        found += ids
        if position is None:
            break
    assert sorted(found) == UNEVEN  # what was under way and not taken is read again, nothing taken is
    assert rounds > 5


def test_marks_no_client_can_make_lead_along_one_chain() -> None:
    portal = Portal(range(1, 3_001), token=lambda one: f"t{one}")
    assert read(portal) == list(range(1, 3_001))
    with listing(portal) as made:
        first, _, position = next(iter(made.blocks(None)))
    assert position == {"after": "t500", "chain": True}
    assert first + read(portal, position) == list(range(1, 3_001))


def test_a_list_out_of_order_is_read_in_one_chain() -> None:
    class Backwards(Portal):
        def page(self, mark: str | None) -> dict[str, Any]:
            found = [one for one in reversed(self.ids) if mark is None or one < int(mark)]
            document: dict[str, Any] = {"results": [{"id": str(one)} for one in found[:PAGE]]}
            return document | ({"paging": {"next": {"after": str(found[99])}}} if len(found) > PAGE else {})

    assert sorted(set(read(Backwards(range(1, 3_001))))) == list(range(1, 3_001))


def test_empty_and_short_pages_with_a_next_one_are_not_the_end() -> None:
    class Gaps(Portal):
        def page(self, mark: str | None) -> dict[str, Any]:
            document = super().page(mark)
            if self.calls % 3 == 0 and "paging" in document:
                kept = document["results"][: self.calls % 7]
                after = kept[-1]["id"] if kept else str(int(document["results"][0]["id"]) - 1)
                return {"results": kept, "paging": {"next": {"after": after}}}
            return document

    ids = range(1_000, 30_000, 5)
    assert sorted(read(Gaps(ids))) == list(ids)


@pytest.mark.parametrize(
    "document",
    [
        {"results": [], "paging": {"next": {"after": "7"}}},
        {"results": [{"id": "1"}], "paging": {"next": {"after": "1"}}},
        {"results": [{"id": "2"}, {"id": "1"}], "paging": {"next": {"after": "x"}}},
    ],
)
def test_pages_that_lead_nowhere_end_in_an_error(document: dict[str, Any]) -> None:
    portal = Portal(range(1, 3_001))
    portal.before_answer = lambda _call: document
    with pytest.raises(TransientError):
        read(portal)
    assert portal.calls < 100


def test_a_page_shown_twice_is_an_error_and_hides_nothing() -> None:
    portal = Portal(range(1, 5_001), token=lambda one: f"t{one}")
    first = portal.page(None)
    portal.before_answer = lambda call: {**first, "paging": {"next": {"after": "t300"}}} if call == 3 else None
    with pytest.raises(TransientError, match="same page again"):
        read(portal)


@pytest.mark.parametrize("call", [0, 20, 60, 150])
@pytest.mark.parametrize("token", [str, "t{}".format])
def test_one_empty_answer_is_not_taken_for_the_end(call: int, token: Callable[[int], str]) -> None:
    portal = Portal(range(1, 20_001), token=token)
    portal.before_answer = lambda now: {"results": []} if now == call else None
    assert sorted(read(portal)) == portal.ids


@pytest.mark.parametrize("token", [str, "t{}".format])
@pytest.mark.parametrize("many", [50, 500])
def test_empty_answers_are_not_believed_while_the_highest_object_is_there(
    many: int, token: Callable[[int], str]
) -> None:
    portal = Portal(range(1, many), token=token)
    portal.before_answer = lambda now: {"results": []} if now < 4 else None
    with pytest.raises(TransientError, match="ends before its highest ids"):
        read(portal)


def test_a_chain_that_goes_on_needs_not_show_the_highest_object_again() -> None:
    portal = Portal(range(1, 300), token="t{}".format)
    portal.page = lambda mark: {"results": [{"id": "5"}]}  # type: ignore[method-assign]
    assert read(portal, {"after": "t250", "chain": True}) == [5]


@pytest.mark.parametrize("token", [str, "t{}".format])
def test_a_list_whose_highest_objects_have_gone_since_they_were_counted_is_whole(token: Callable[[int], str]) -> None:
    portal = Portal(range(1, 300), token=token)
    assert sorted(read(portal, total=500, top=800)) == portal.ids


def test_what_was_read_is_handed_over_before_what_broke_the_reading_off() -> None:
    """Small pages are gathered; a source that breaks off again and again would otherwise never get on."""

    def pages() -> Iterator[Page]:
        for number in range(3):
            yield Page({"contacts": [{"source_id": str(number)}]}, bookmark={"place": number}, read=1)
        raise TransientError("down")

    found: list[Page] = []
    with pytest.raises(TransientError, match="down"):
        found.extend(joined(pages()))
    assert [(page.bookmark, page.read, len(page.records["contacts"])) for page in found] == [({"place": 2}, 3, 3)]


def test_pages_are_gathered_until_they_are_worth_writing() -> None:
    moments = iter(range(0, 1000, 2))
    small = [Page({"contacts": [{"source_id": str(one)}] * 800}, bookmark={"place": one}) for one in range(5)]
    gone = Page({"contacts": []}, [Tombstone("contacts", "9", None)], bookmark={"place": 5})
    found = list(joined([*small, gone], clock=lambda: 0.0))
    assert [(page.bookmark, len(page.records["contacts"])) for page in found] == [
        ({"place": 2}, 2400),
        ({"place": 4}, 1600),
        ({"place": 5}, 0),
    ]
    few = [Page({"contacts": [{"source_id": str(one)}]}, bookmark={"place": one}) for one in range(6)]
    assert [page.bookmark for page in joined(few, clock=lambda: float(next(moments)))] == [{"place": 2}, {"place": 5}]


def widths(*spent: float, most: int = 8) -> list[int]:
    """The width after each tenth of a second in which the workers were that busy."""
    now, worked = 0.0, 0.0
    width = Width(lambda: worked, most, clock=lambda: now)
    found = []
    for one in spent:
        now += 0.125
        worked += one * 0.125
        found.append(width.now())
    return found


def test_workers_that_wait_for_the_wire_all_begin_at_once() -> None:
    assert widths(0.01) == [8]


def test_workers_are_added_while_there_is_something_to_wait_for_and_taken_away_when_they_are_in_their_own_way() -> None:
    assert widths(0.3, 0.3, 0.4, 0.4, 0.6, 0.6, 0.6, 0.3) == [2, 3, 3, 3, 2, 1, 1, 2]


def test_there_are_never_more_workers_than_asked_for() -> None:
    assert widths(0.3, 0.3, 0.3, most=2) == [2, 2, 2]


def test_a_moment_is_too_short_to_judge_by() -> None:
    now = 0.0
    width = Width(lambda: 0.0, 8, clock=lambda: now)
    now = 0.01
    assert width.now() == 1


def test_what_workers_spend_is_counted_and_what_they_wait_is_not() -> None:
    with closing(Fetcher(cast(HubSpotClient, None), HubSpotLimits())) as fetcher:
        fetcher.start(lambda: time.sleep(0.3)).result()
        waited_s = fetcher.worked_s
        fetcher.start(lambda: sum(range(3_000_000))).result()
        assert waited_s < 0.1
        assert fetcher.worked_s > waited_s

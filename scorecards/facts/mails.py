"""Mails of ours to people, and when they were answered: each answer is credited to one mail.

An answer belongs to the latest earlier mail of its thread; where the thread has none, to the latest earlier one to
its sender. The thread's part is settled first (`thread_mails`), the person's after it (`sent_mails`).
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from scorecards.facts.fact import Book, Fact, Row, table
from scorecards.facts.touches import MAIL

_IN_THREAD = f"""
    SELECT w.id, t.id, t.party_id, t.occurred_at, t.is_approach
    FROM temp.wanted w CROSS JOIN fact_touches t ON t.thread_id = w.id
    WHERE {MAIL} AND t.occurred_at IS NOT NULL
    ORDER BY w.id, t.occurred_at, t.id
"""
_TO_PERSON = f"""
    SELECT w.id, t.id, t.object, t.occurred_at, t.is_approach, t.is_main, t.is_alone, t.thread_id, x.answered_at,
           x.is_credited
    FROM temp.wanted w CROSS JOIN fact_touches t ON t.party_id = w.id
    LEFT JOIN fact_thread_mails x ON x.id = t.id AND x.person_id = t.party_id
    WHERE {MAIL} AND t.occurred_at IS NOT NULL
    ORDER BY w.id, t.occurred_at, t.id
"""


def _credited(sent: list[tuple[int, str]], at: int) -> str | None:
    """The latest of our mails (in order of time) that is earlier than an answer."""
    place = bisect_left(sent, (at, ""))
    return sent[place - 1][1] if place else None


def _in_threads(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    for thread, group in groupby(rows, itemgetter(0)):
        mails = list(group)
        sent = sorted({(row[3], row[1]) for row in mails if row[4]})
        answered: dict[str, int] = {}
        for _, _, _, at, is_ours in mails:
            mail = None if is_ours else _credited(sent, at)
            if mail is not None:
                answered.setdefault(mail, at)
        for _, id_, person, at, is_ours in mails:
            is_credited = not is_ours and _credited(sent, at) is not None
            yield thread, id_, person, answered.get(id_), int(is_credited)


def _to_persons(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    for person, group in groupby(rows, itemgetter(0)):
        mails = list(group)
        sent = [(row[3], row[1]) for row in mails if row[4]]
        answered: dict[str, int] = {}
        for _, _, _, at, is_ours, is_main, _, _, _, is_credited in mails:
            if is_ours or is_credited or not is_main:
                continue  # an answer has one sender: who else was told of it did not answer
            mail = _credited(sent, at)
            if mail is not None:
                answered.setdefault(mail, at)
        for _, id_, kind, at, is_ours, is_main, is_alone, thread, in_thread, _ in mails:
            if is_ours:
                first = min(filter(None, (in_thread, answered.get(id_))), default=None)
                yield person, id_, kind, at, first, is_main, is_alone, thread


_THREAD_COLUMNS = ("thread_id", "id", "person_id", "answered_at", "is_credited")
_COLUMNS = ("person_id", "id", "object", "occurred_at", "answered_at", "is_main", "is_alone", "thread_id")


THREADS = Fact(
    kind="thread_mails",
    name="fact_thread_mails",
    columns=_THREAD_COLUMNS,
    ddl=table("fact_thread_mails", _THREAD_COLUMNS, "(thread_id)", "(id, person_id)"),
    read=_IN_THREAD,
    derive=_in_threads,
    unit="thread_id",
    feeds={"sent_mails": "person_id"},
)

FACT = Fact(
    kind="sent_mails",
    name="fact_sent_mails",
    columns=_COLUMNS,
    ddl=table(
        "fact_sent_mails",
        _COLUMNS,
        "(person_id)",
        "(id, answered_at)",
        "(occurred_at, answered_at, is_alone, person_id, id) WHERE is_main = 1",
    ),
    read=_TO_PERSON,
    derive=_to_persons,
    unit="person_id",
    anchors=("occurred_at",),
)

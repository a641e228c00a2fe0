"""Each time we got in touch with a person: how long they had been quiet, and when they talked back."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from scorecards.facts.fact import Book, Fact, Row, table

_APPROACHES = """
    SELECT w.id, t.id, t.occurred_at, t.type, t.is_approach, t.is_inbound, t.is_reply, t.is_connected
    FROM temp.wanted w CROSS JOIN fact_touches t ON t.party_id = w.id
    WHERE t.is_person = 1 AND t.object <> 'nobody' AND t.occurred_at IS NOT NULL
      AND (t.is_approach = 1 OR t.is_reply = 1)
    ORDER BY w.id, t.occurred_at, t.id
"""


def _approaches(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    for person, group in groupby(rows, itemgetter(0)):
        contacts = list(group)
        heard = [row[2] for row in contacts if row[5]]
        talked = [row[2] for row in contacts if row[6]]
        for _, id_, at, kind, is_approach, _, _, is_connected in contacts:
            if is_approach:
                before, after = bisect_left(heard, at), bisect_right(talked, at)
                quiet = at - heard[before - 1] if before else None
                replied = talked[after] if after < len(talked) else None
                yield person, id_, at, kind, quiet, replied, is_connected


_COLUMNS = ("person_id", "id", "occurred_at", "channel", "quiet_s", "replied_at", "is_connected")


FACT = Fact(
    kind="approaches",
    name="fact_approaches",
    columns=_COLUMNS,
    ddl=table(
        "fact_approaches",
        _COLUMNS,
        "(person_id)",
        "(occurred_at, person_id, quiet_s, replied_at, is_connected, id)",
    ),
    read=_APPROACHES,
    derive=_approaches,
    unit="person_id",
    anchors=("occurred_at",),
)

"""Runs of actions with one account (else contact, else lead), with no pause longer than so many days.

A pause of exactly that length continues a run. One set of rows for each length a KPI asks for. A run that goes on
after an as_of was open then as well: inside it no pause is too long, so no versions are needed.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from scorecards.facts.fact import Book, Fact, Row, table

_DAY = 86400
_ACTIONS = """
    SELECT w.id, t.id, t.object, t.type, t.occurred_at
    FROM temp.wanted w CROSS JOIN fact_touches t ON t.party_id = w.id
    WHERE t.is_party = 1 AND t.is_action = 1 AND t.occurred_at IS NOT NULL
    ORDER BY w.id, t.occurred_at, t.id
"""


def _engagements(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    for party, group in groupby(rows, itemgetter(0)):
        actions = list(group)
        for days in book.reporting.gap_days:
            yield from _runs(party, actions, days)


def _runs(party: str, actions: list[Row], days: int) -> Iterator[Row]:
    first, last, count = actions[0], actions[0], 0
    for action in actions:
        if action[4] - last[4] > days * _DAY:
            yield party, days, *first[1:4], first[4], last[4], count
            first, count = action, 0
        last = action
        count += 1
    yield party, days, *first[1:4], first[4], last[4], count


_COLUMNS = ("party_id", "gap_days", "id", "object", "channel", "started_at", "ended_at", "actions")


FACT = Fact(
    kind="engagements",
    name="fact_engagements",
    columns=_COLUMNS,
    ddl=table("fact_engagements", _COLUMNS, "(party_id)", "(gap_days, started_at, ended_at, actions, id)"),
    read=_ACTIONS,
    derive=_engagements,
    unit="party_id",
    uses=("gap_days",),
    anchors=("started_at",),
)

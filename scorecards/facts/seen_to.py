"""When a person last saw to an account, a deal or a ticket: changed it, or dealt with whom it is about."""

from collections.abc import Iterable, Iterator

from scorecards.facts.contacts import LAST_ACTION, edited_by_people, newest
from scorecards.facts.fact import BORN, LIVE, Book, Fact, Row, epoch, table
from scorecards.facts.tickets import ON_TICKET

#: Of a ticket any work a person completed, a note too: it is worked on more than it is talked about.
LAST_WORK = (
    f"(SELECT CAST(strftime('%s', MAX(a.occurred_at)) AS INTEGER) FROM ({ON_TICKET}) a"
    " WHERE a.status = 'completed' AND a.is_automated = 0{1})"
)


def _selected(name: str, acted: str) -> str:
    return (
        f"SELECT r.id, '{name}', {BORN.format('r', name)}, r.updated_at, r.updated_by_kind, {acted}"
        f" FROM temp.wanted w CROSS JOIN {name} r ON r.id = w.id WHERE {LIVE.format('r')}"
    )


_RECORDS = " UNION ALL ".join(
    (
        *(_selected(name, LAST_ACTION.format("r.id", name, "")) for name in ("accounts", "opportunities")),
        _selected("tickets", LAST_WORK.format("r", "")),
    )
)


def _seen_to(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    for id_, name, created, updated, by, acted in rows:
        born, edited = epoch(created), edited_by_people(updated, by)
        yield id_, name, born, edited, acted, newest(born, edited, acted)


_COLUMNS = ("id", "object", "created_at", "edited_at", "acted_at", "seen_to_at")


FACT = Fact(
    kind="seen_to",
    name="fact_seen_to",
    columns=_COLUMNS,
    ddl=table("fact_seen_to", _COLUMNS, "(id, object, seen_to_at, edited_at, acted_at, created_at)"),
    read=f"{_RECORDS} ORDER BY 1",
    derive=_seen_to,
    follows={"accounts": ("id",), "opportunities": ("id",), "tickets": ("id",), "activities": ("ticket_id",)},
    version=2,
)

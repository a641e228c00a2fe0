"""Versions of a lead: open until it converts, and when we first got in touch with it, or with whom it became."""

from collections.abc import Iterable, Iterator

from scorecards.facts.fact import LIVE, NEIGHBOURS, Book, Fact, Row, epoch, neighboured, table
from scorecards.periods import FOREVER, FOREVER_AGO

#: The first outreach to a party (SQL) since the lead came: each looked up on its own, for it ends with the first found.
_FIRST = (
    "SELECT MIN(t.occurred_at) AS at FROM fact_touches t WHERE t.party_id = {0} AND t.is_outreach = 1"
    " AND t.occurred_at >= CAST(strftime('%s', l.created_at) AS INTEGER)"
)
#: The same of calls, the first that somebody answered.
_FIRST_CALL = (
    "SELECT MIN(t.occurred_at) AS at FROM fact_touches t"
    " WHERE t.party_id = {0} AND t.is_outreach = 1 AND t.is_answered = 1"
    " AND t.occurred_at >= CAST(strftime('%s', l.created_at) AS INTEGER)"
)
#: A lead, and the contact it became: a CRM moves what was said to the one over to the other.
_PARTIES = ("l.id", "COALESCE(lc.canonical, l.converted_contact_id)")


def _of_either(first: str) -> str:
    return f"(SELECT MIN(at) FROM ({' UNION ALL '.join(map(first.format, _PARTIES))}))"


_LEADS = f"""
    SELECT l.id, l.created_at, l.status_category, l.converted_date, l.converted_at, l.source_channel, l.owner_id,
           l.converted_opportunity_id, {_of_either(_FIRST)}, {_of_either(_FIRST_CALL)}
    FROM temp.wanted w CROSS JOIN leads l ON l.id = w.id
    LEFT JOIN aliases lc ON lc.id = l.converted_contact_id
    WHERE {LIVE.format("l")}
    ORDER BY l.id
"""


def _leads(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    for row in rows:
        yield from neighboured(_lead_versions(row, book), _COLUMNS.index("status_category"))


def _lead_versions(row: Row, book: Book) -> Iterator[Row]:
    """Two versions of a lead: open until it converts; a date-only conversion is known when its day is over."""
    id_, created, category, converted_date, converted_at, channel, owner, deal, touched, called = row
    born = epoch(created)
    start = FOREVER_AGO if born is None else born
    day = converted_date or (book.day(converted_at) if converted_at else None)
    tail = (born, channel, owner, deal, touched, called, 0)
    if category != "converted" or day is None:
        yield (id_, start, FOREVER, category or "open", None, *tail)
        return
    at = max(book.last_second(day) if converted_date else (epoch(converted_at) or start), start)
    if at > start:
        yield (id_, start, at, "open", None, *tail)
    yield (id_, at, FOREVER, "converted", day, *tail)


_COLUMNS = (
    "id", "known_from", "known_to", "status_category", "converted_date", "created_at", "source_channel",
    "owner_id", "converted_opportunity_id", "first_outbound_at", "first_call_at", "is_imported",
    *NEIGHBOURS,
)  # fmt: skip


FACT = Fact(
    kind="leads",
    name="fact_leads",
    columns=_COLUMNS,
    ddl=table(
        "fact_leads",
        _COLUMNS,
        "(id)",
        "(created_at, known_from, known_to, status_category, converted_date, first_outbound_at, is_imported, id)",
        "(converted_date, known_from, known_to)",
        "(created_at / 60, id)",
        "(status_category, known_to, known_from, created_at, id)",
    ),
    read=_LEADS,
    derive=_leads,
    follows={"leads": ("id",)},
    anchors=("created_at", "converted_date"),
    group="created_at / 60",
    told="is_imported",
    # More than 50 leads in one clock minute: an import, nobody was waiting for an answer (docs/definitions.md).
    # Counted once a minute, not once a lead: an import may bring tens of thousands in one. The + keeps the index.
    together="""
        UPDATE fact_leads SET is_imported = created_at / 60 IN (SELECT t.grp FROM temp.touched t
            WHERE (SELECT COUNT(*) > 50 FROM (SELECT DISTINCT o.id FROM fact_leads o
            WHERE o.created_at / 60 = +t.grp LIMIT 51)))
        WHERE created_at / 60 IN (SELECT grp FROM temp.touched)
    """,
    version=2,
)

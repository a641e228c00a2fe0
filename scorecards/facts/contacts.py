"""What data quality asks of a contact: when a person last saw to it, whether it can be reached."""

import re
from collections.abc import Iterable, Iterator

from scorecards.facts.fact import BORN, LIVE, Book, Fact, Row, epoch, table

#: The newest contact with a party, of the one table (`object`) its id is in: a look at the end of an index.
LAST_ACTION = (
    "(SELECT t.occurred_at FROM fact_touches t WHERE t.party_id = {0} AND t.object = '{1}' AND t.is_action = 1{2}"
    " ORDER BY t.occurred_at DESC LIMIT 1)"
)
_CONTACTS = f"""
    SELECT c.id, {BORN.format("c", "contacts")}, c.updated_at, c.updated_by_kind,
           COALESCE(al.canonical, c.account_id), c.owner_id, c.email_norm, c.phone_norm,
           c.bounced, c.opted_out, c.dnc, c.left_company,
           {LAST_ACTION.format("c.id", "contacts", "")}
    FROM temp.wanted w CROSS JOIN contacts c ON c.id = w.id
    LEFT JOIN aliases al ON al.id = c.account_id
    WHERE {LIVE.format("c")}
    ORDER BY c.id
"""
_ADDRESS = re.compile(r"[^\s@,;<>()]+@[^\s@.,;<>()]+(\.[^\s@.,;<>()]+)+")
#: Fewer digits are no telephone number.
_DIGITS = 7


def edited_by_people(updated: str | None, by: str | None) -> int | None:
    """When a person last changed a record, in epoch seconds; an editor nobody knows counts as a person (A27)."""
    return None if by == "integration" else epoch(updated)


def newest(*moments: int | None) -> int | None:
    """The latest of some moments, of which any may be unknown."""
    return max((moment for moment in moments if moment is not None), default=None)


def is_address(text: str | None) -> bool:
    """Is this written like a mail address?"""
    return text is not None and _ADDRESS.fullmatch(text.strip()) is not None and ".." not in text


def is_number(text: str | None) -> bool:
    """Has this enough digits for a telephone number?"""
    return text is not None and sum(character.isdigit() for character in text) >= _DIGITS


def _contacts(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    for id_, created, updated, by, account, owner, email, phone, bounced, opted_out, dnc, left, acted in rows:
        is_reachable = (is_address(email) and not bounced and not opted_out) or (is_number(phone) and not dnc)
        born, edited = epoch(created), edited_by_people(updated, by)
        yield (
            id_, born, edited, acted, newest(born, edited, acted), account, owner, int(is_reachable),
            int(bool(bounced)), int(bool(left)),
        )  # fmt: skip


_COLUMNS = (
    "id", "created_at", "edited_at", "acted_at", "seen_to_at", "account_id", "owner_id", "is_reachable", "bounced",
    "left_company",
)  # fmt: skip


FACT = Fact(
    kind="contacts",
    name="fact_contacts",
    columns=_COLUMNS,
    ddl=table("fact_contacts", _COLUMNS, "(id)"),
    read=_CONTACTS,
    derive=_contacts,
    follows={"contacts": ("id",)},
    anchors=("created_at",),
    version=2,
)

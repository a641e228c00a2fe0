"""What two records of one thing have in common: a contact's address and number, a company's domain."""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from scorecards.facts.contacts import is_number
from scorecards.facts.fact import Book, Fact, Row, table

#: Copies of another CRM's records too: that they are linked makes them no fewer in their own source.
_THERE = "{0}.merged_into IS NULL AND {0}.is_deleted = 0 AND {0}.is_test = 0"
_RECORDS = f"""
    SELECT c.id, 'contacts', c.source_name, c.dup_of IS NOT NULL, c.email_norm, c.phone_norm, NULL, NULL
    FROM temp.wanted w CROSS JOIN contacts c ON c.id = w.id WHERE {_THERE.format("c")}
    UNION ALL
    SELECT a.id, 'accounts', a.source_name, a.dup_of IS NOT NULL, NULL, NULL, a.domain_norm, a.name
    FROM temp.wanted w CROSS JOIN accounts a ON a.id = w.id WHERE {_THERE.format("a")}
    ORDER BY 1, 2
"""


def _record_keys(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    """A row for each key of a record. What is no address, number or domain is no key, so nothing never matches.

    A domain anybody may have an address at is one too: companies of one are told apart by what they are called.
    """
    for id_, name, source_name, is_copy, email, phone, domain, called in rows:
        found = []
        if email is not None and "@" in email:
            found.append(("email", email.strip().lower()))
        if is_number(phone):
            found.append(("phone", "".join(character for character in phone if character.isdigit())))
        if domain is not None and "." in domain:
            found.append(("domain", domain.strip().lower()))
        for key, value in found:
            yield id_, name, key, _group(name, key, value), is_copy, source_name, called


def _group(table: str, key: str, value: str) -> str:
    """Who shares a key, in few letters: millions of these are an index, which should stay in memory."""
    digest = blake2b(f"{table} {key} {value}".encode(), digest_size=9).digest()
    return b64encode(digest).decode()


#: Most records share nothing with another: only groups of several are looked at, as they are and as they were.
_SHARED = (
    "CASE WHEN EXISTS (SELECT 1 FROM fact_record_keys o WHERE o.grp = fact_record_keys.grp"
    " AND o.rowid <> fact_record_keys.rowid) THEN grp END"
)
_COLUMNS = ("id", "object", "key", "grp", "is_copy", "source_name", "name")


FACT = Fact(
    kind="record_keys",
    name="fact_record_keys",
    columns=_COLUMNS,
    ddl=table("fact_record_keys", _COLUMNS, "(id)", "(grp)"),
    read=_RECORDS,
    derive=_record_keys,
    follows={"contacts": ("id",), "accounts": ("id",)},
    feeds={"doubles": _SHARED},
)

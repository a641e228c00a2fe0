"""What two records of one thing have in common: a contact's address and number, a company's domain."""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from scorecards.facts.contacts import is_number
from scorecards.facts.fact import LIVE, Book, Fact, Row, table

_RECORDS = f"""
    SELECT c.id, 'contacts', c.source_name, c.source, c.email_norm, c.phone_norm, NULL, NULL
    FROM temp.wanted w CROSS JOIN contacts c ON c.id = w.id WHERE {LIVE.format("c")}
    UNION ALL
    SELECT a.id, 'accounts', a.source_name, a.source, NULL, NULL, a.domain_norm, a.name
    FROM temp.wanted w CROSS JOIN accounts a ON a.id = w.id WHERE {LIVE.format("a")}
    ORDER BY 1, 2
"""
#: Whose domain says nothing of the company: anybody may have an address there.
_ANYBODYS = frozenset(
    ("aol.com", "bluewin.ch", "free.fr", "gmail.com", "gmx.at", "gmx.ch", "gmx.de", "gmx.net", "googlemail.com",
     "hotmail.com", "icloud.com", "laposte.net", "live.com", "mail.com", "mail.ru", "me.com", "msn.com", "orange.fr",
     "outlook.com", "proton.me", "protonmail.com", "t-online.de", "web.de", "yahoo.com", "yandex.ru")
)  # fmt: skip


def _record_keys(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    """A row for each key of a record. What is no address, number or domain is no key, so nothing never matches.

    `tells`: whether records of several CRMs with this key seem to be one: people of one address do, and companies of
    a domain of their own; a telephone may be an office's.
    """
    for id_, name, source_name, source, email, phone, domain, called in rows:
        found = []
        if email is not None and "@" in email:
            found.append(("email", email.strip().lower(), 1))
        if is_number(phone):
            found.append(("phone", "".join(character for character in phone if character.isdigit()), 0))
        if domain is not None and "." in domain:
            site = domain.strip().lower()
            found.append(("domain", site, int(site not in _ANYBODYS)))
        for key, value, tells in found:
            yield id_, name, key, _group(name, key, value), tells, source_name, source, called


def _group(table: str, key: str, value: str) -> str:
    """Who shares a key, in few letters: millions of these are an index, which should stay in memory."""
    digest = blake2b(f"{table} {key} {value}".encode(), digest_size=9).digest()
    return b64encode(digest).decode()


#: Most records share nothing with another: only groups of several are looked at, as they are and as they were.
_SHARED = (
    "CASE WHEN EXISTS (SELECT 1 FROM fact_record_keys o WHERE o.grp = fact_record_keys.grp"
    " AND o.rowid <> fact_record_keys.rowid) THEN grp END"
)
_COLUMNS = ("id", "object", "key", "grp", "tells", "source_name", "source", "name")


FACT = Fact(
    kind="record_keys",
    name="fact_record_keys",
    columns=_COLUMNS,
    ddl=table("fact_record_keys", _COLUMNS, "(id)", "(grp)"),
    read=_RECORDS,
    derive=_record_keys,
    follows={"contacts": ("id",), "accounts": ("id",)},
    feeds={"doubles": _SHARED, "matches": _SHARED},
)

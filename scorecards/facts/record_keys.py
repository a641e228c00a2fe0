"""What two records of one thing have in common: a contact's address and number, a company's domain."""

from collections.abc import Iterable, Iterator

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
    """A row for each key of a record: (id, object, key, group within its source, group across sources, source, name).

    What is no address, number or domain is no key, so nothing never matches. Across sources people are told by
    their address and companies by a domain of their own alone.
    """
    for id_, name, source_name, source, email, phone, domain, called in rows:
        found = []
        if email is not None and "@" in email:
            address = email.strip().lower()
            found.append(("email", address, address))
        if is_number(phone):
            found.append(("phone", "".join(character for character in phone if character.isdigit()), None))
        if domain is not None and "." in domain:
            site = domain.strip().lower()
            found.append(("domain", site, None if site in _ANYBODYS else site))
        for key, value, across in found:
            match = None if across is None else f"{name} {key} {across}"
            yield id_, name, key, f"{name} {key} {source_name} {value}", match, source, called


_COLUMNS = ("id", "object", "key", "grp", "match", "source", "name")


FACT = Fact(
    kind="record_keys",
    name="fact_record_keys",
    columns=_COLUMNS,
    ddl=table("fact_record_keys", _COLUMNS, "(id)", "(grp, id)", "(match, source, id) WHERE match IS NOT NULL"),
    read=_RECORDS,
    derive=_record_keys,
    follows={"contacts": ("id",), "accounts": ("id",)},
    feeds={"doubles": "grp", "matches": "match"},
)

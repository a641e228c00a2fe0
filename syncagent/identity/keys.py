"""Pairs of records that know the same address or the same domain, and how sure that makes them one."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncagent.identity.clusters import Row

#: More live records than this with one key: it tells nobody from anybody, and nothing follows from it.
MOST = 20
SIMILAR = 0.9


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Mailboxes of a function, not of a person.
ROLES = _words("""
    abuse accounting accounts admin administrator billing bookings buchhaltung careers contact customerservice
    enquiries feedback finance hello help helpdesk hostmaster hr info invoice invoices it jobs kontakt legal mail
    mailbox marketing media news newsletter no-reply noreply office orders postmaster press privacy purchasing rechnung
    reception root sales security service services shop support team vertrieb webmaster
""")
#: Where everybody has an address or a page: no company's own domain.
SHARED = _words("""
    126.com 163.com aol.com azurewebsites.net blogspot.com bluewin.ch facebook.com fastmail.com free.fr freenet.de
    github.io gmail.com gmx.at gmx.ch gmx.de gmx.net googlemail.com herokuapp.com hotmail.co.uk hotmail.com hotmail.de
    hotmail.fr icloud.com instagram.com laposte.net libero.it linkedin.com live.com mac.com mail.com mail.ru me.com
    msn.com myshopify.com naver.com netlify.app orange.fr outlook.com outlook.de pm.me posteo.de proton.me
    protonmail.com qq.com rocketmail.com t-online.de twitter.com vercel.app web.de weebly.com wix.com wixsite.com
    wordpress.com x.com yahoo.co.jp yahoo.co.uk yahoo.com yahoo.de yahoo.fr yandex.ru ymail.com youtube.com zoho.com
""")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two records with one key. `is_sure`: enough to make them one; else a candidate for people to decide."""

    a: str
    b: str
    is_sure: bool
    evidence: str
    score: float


def pairs_of(kind: str, rows: Iterable["Row"]) -> list[Pair]:
    """Every pair of live records of different accounts of CRMs with one key, in an order of its own."""
    judge = _JUDGES.get(kind)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.key:
            groups.setdefault(row.key, []).append(row)
    if judge is None:
        return []
    return [
        pair
        for key in sorted(groups)
        if 1 < len(groups[key]) <= MOST
        for pair in judge(key, sorted(groups[key], key=lambda row: row.place))
    ]


def _by_address(address: str, group: Sequence["Row"]) -> list[Pair]:
    is_role = address.partition("@")[0] in ROLES
    found = []
    for a, b in _across(group):
        names = {_plain(row.said[0]) for row in (a, b)} - {""}
        if is_role:
            found.append(Pair(a.id, b.id, False, "the same address, but it is no person's", 0.5))
        elif len(names) > 1:
            found.append(Pair(a.id, b.id, False, "the same address, but other last names", 0.5))
        else:
            found.append(Pair(a.id, b.id, True, "the same e-mail address", 1.0))
    return found


def _by_domain(domain: str, group: Sequence["Row"]) -> list[Pair]:
    if domain in SHARED:
        return []
    ids = {row.id for row in group}
    group = [row for row in group if row.said[1] not in ids]  # a subsidiary with its parent's domain is its parent's
    several = {row.account for row in group if sum(other.account == row.account for other in group) > 1}
    found = []
    for a, b in _across(group):
        alike = _likeness(a.said[0], b.said[0])
        if not {a.account, b.account} & several:
            found.append(Pair(a.id, b.id, True, "the same domain", 1.0))
        elif alike >= SIMILAR:
            found.append(Pair(a.id, b.id, True, "the same domain and name", round(alike, 3)))
        else:
            what = "the same domain, but several accounts of one CRM have it"
            found.append(Pair(a.id, b.id, False, what, round(alike, 3)))
    return found


def _by_login(address: str, group: Sequence["Row"]) -> list[Pair]:
    """One person's users. Of several in one CRM the one in use is meant: who comes back may get a new one."""
    meant: dict[tuple[str, str], str] = {}
    for account in {row.account for row in group}:
        own = [row for row in group if row.account == account]
        own = [row for row in own if row.said[0] != 0] if len(own) > 1 else own
        if len(own) == 1:
            meant[account] = own[0].id
    found = []
    for a, b in _across(group):
        if (meant.get(a.account), meant.get(b.account)) == (a.id, b.id):
            found.append(Pair(a.id, b.id, True, "the same e-mail address", 1.0))
        elif not {a.account, b.account} <= meant.keys():
            what = "the same e-mail address, but several users of one CRM have it"
            found.append(Pair(a.id, b.id, False, what, 0.5))
    return found


def _by_message(message: str, group: Sequence["Row"]) -> list[Pair]:
    return [Pair(a.id, b.id, True, "the same message", 1.0) for a, b in _across(group) if a.said == b.said]


_JUDGES: dict[str, Callable[[str, Sequence["Row"]], list[Pair]]] = {
    "email": _by_address,
    "domain": _by_domain,
    "login": _by_login,
    "message": _by_message,
}


def _across(group: Sequence["Row"]) -> list[tuple["Row", "Row"]]:
    return [(a, b) for a, b in combinations(group, 2) if a.account != b.account]


def _likeness(one: str | None, other: str | None) -> float:
    """How alike two names are, 0 to 1; case, blanks and punctuation do not matter."""
    a, b = sorted((_plain(one), _plain(other)))
    return SequenceMatcher(None, a, b, autojunk=False).ratio() if a and b else 0.0


def _plain(name: str | None) -> str:
    return "".join(letter for letter in (name or "").casefold() if letter.isalnum())

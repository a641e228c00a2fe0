"""Who the company knows: its own users, and the accounts and contacts it sells to."""

import unicodedata
from collections.abc import Sequence

from syncagent.sandbox import clock, names
from syncagent.sandbox.company import Company
from syncagent.sandbox.model import Account, Contact, User

ACCOUNTS = 500


def make_users(company: Company, people: Sequence[tuple[str, str, str, bool, str]] = names.USERS) -> None:
    for first, last, team, active, home in people:
        user = User(
            key=company.key(),
            created=company.start - 200 * clock.DAY,
            modified=company.start - 100 * clock.DAY,
            first=first,
            last=last,
            email=f"{_mailbox(first)}.{_mailbox(last)}@northwind.example",
            team=team,
            active=active,
        )
        company.place(user, "User" if home in ("both", "sf") else None, "owners" if home in ("both", "hs") else None)
        user.hs_user = company.ids.hs("users") if user.hs else ""
        if not active:
            user.modified = company.start + 500 * clock.DAY
        company.users.append(user)
    leaders = {user.team: user for user in reversed(company.users)}
    for user in company.users:
        leader = leaders[user.team]
        user.manager = leader if leader is not user else None
    company.queue = User(
        key=company.key(),
        created=company.start,
        modified=company.start,
        first="Inbound",
        last="Queue",
        email="inbound@northwind.example",
        team="",
        is_queue=True,
    )
    company.place(company.queue, "Group", None)


def _mailbox(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return "".join(letter for letter in plain if letter.isalnum()) or "x"


def make_account(
    company: Company, at: int, number: int, *, home: str | None = None, people: int | None = None
) -> Account:
    """A firm with its two to four contacts (or `people`), in Salesforce (55 %), HubSpot (20 %) or both (or `home`)."""
    rng = company.rng
    odd = names.ODD_FIRMS[number // 40 % len(names.ODD_FIRMS)] if number % 40 == 7 else None
    name = odd or f"{company.pick(names.FIRM_A)} {company.pick(names.FIRM_B)} {company.pick(names.FIRM_C)}"
    region = company.pick(tuple(names.COUNTRIES))
    place = rng.random()
    in_sf, in_hs = (place < 0.8, place >= 0.55) if home is None else (home != "hs", home != "sf")
    team = "Sales DACH" if region == "DACH" else "Sales International"
    account = Account(
        key=company.key(),
        created=at,
        modified=at,
        name=name,
        domain=f"{_mailbox(name)[:18]}{number}.example",
        kind="prospect",
        industry=company.pick(names.INDUSTRIES),
        region=region,
        country=names.COUNTRIES[region],
        tier=rng.choices(("A", "B", "C"), (1, 3, 6))[0],
        owner=company.person(team, "sf" if in_sf else "hs"),
        employees=int(rng.lognormvariate(4.6, 1.1)) + 3,
    )
    company.place(account, "Account" if in_sf else None, "companies" if in_hs else None)
    account.short_link = in_sf and in_hs and company.chance(0.2)
    if in_sf and not in_hs and company.chance(0.05):
        account.kind = "partner" if company.chance(0.6) else "other"
    if company.accounts and company.chance(0.06):
        parent = company.pick(company.accounts)
        if bool(parent.sf) >= in_sf and bool(parent.hs) >= in_hs and parent.parent is None:
            account.parent = parent
    company.accounts.append(account)
    company.contacts_of[account.key] = []
    for _ in range(2 + int(rng.random() * 2.6) if people is None else people):
        make_contact(company, at + int(rng.random() * 40 * clock.DAY), account)
    company.touch(account, at)
    return account


def make_contact(
    company: Company, at: int, account: Account | None, *, email: str | None = None, hubspot: bool = False
) -> Contact:
    """A person at a firm, in the CRMs the firm is in; with `hubspot` a lone person there."""
    rng = company.rng
    at = min(at, company.now - 1)
    first, last = company.pick(names.FIRST), company.pick(names.LAST)
    if email is None and account is not None and not company.chance(0.06):
        email = f"{_mailbox(first)}.{_mailbox(last)}{len(company.contacts_of[account.key])}@{account.domain}"
    contact = Contact(
        key=company.key(),
        created=at,
        modified=at,
        first=first,
        last=last,
        email=email,
        phone=f"+49 30 {rng.randrange(10**6, 10**8)}" if company.chance(0.7) else None,
        title=rng.choices((company.pick(names.TITLES), None, "n/a"), (8, 1.5, 0.5))[0],
        account=account,
        owner=account.owner if account else None,
        bounced=company.chance(0.02),
        opted_out=company.chance(0.03),
    )
    in_sf = bool(account and account.sf) and not hubspot
    in_hs = hubspot or bool(account and account.hs)
    company.place(contact, "Contact" if in_sf else None, "contacts" if in_hs else None)
    company.contacts.append(contact)
    if account is not None:
        company.contacts_of[account.key].append(contact)
    company.touch(contact, at)
    return contact


def make_accounts(company: Company) -> None:
    span = company.now - company.start
    for number in range(ACCOUNTS):
        if company.chance(0.6):  # known since before the history begins
            at = company.start - int((5 + 340 * company.rng.random()) * clock.DAY)
        else:
            at = company.start + int(span * company.rng.random() * 0.97)
        make_account(company, at, number)

"""The generated company's own records, before any CRM's spelling of them. Instants are epoch seconds.

`sf` and `hs` say under which id a record lives in either CRM; a record may live in one or in both.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

OPEN_STAGES = ("qualification", "discovery", "proposal", "negotiation")
WON, LOST = "won", "lost"


class Step(NamedTuple):
    """A deal from `at` on: its stage (one of OPEN_STAGES, won, lost), amount and close date as the seller has them."""

    at: int
    stage: str
    amount: int | None  # minor units
    close: str  # YYYY-MM-DD
    sf: str = ""


class Change(NamedTuple):
    """A ticket or lead from `at` on."""

    at: int
    status: str
    sf: str = ""


class Owned(NamedTuple):
    """A record from `at` on: whose it is. `sf`: the id of the row of history Salesforce keeps of it."""

    at: int
    owner: "User"
    sf: str = ""


class Milestone(NamedTuple):
    """What is to be done by a time (Salesforce CaseMilestone): when it was (None: not yet), and its own stamp."""

    completed: int | None
    at: int


class Line(NamedTuple):
    """One product on a deal or an order: `amount` minor units in all, in the currency of what it is on.

    `sf` and `hs` are its own ids, empty in a CRM that does not have it. `at`: when it was last changed (0: with what
    it is on).
    """

    sf: str
    hs: str
    product: str
    quantity: float
    amount: int
    at: int = 0


class Relation(NamedTuple):
    """One more person a Salesforce task or meeting is about, and when that was set (or cut, where it is `gone`)."""

    sf: str
    contact: "Contact"
    at: int
    gone: bool = False


class Rate(NamedTuple):
    """Units of a currency for one euro, from a day on."""

    currency: str
    valid_from: str  # YYYY-MM-DD
    per_eur: float


@dataclass(slots=True, eq=False, kw_only=True)
class Entity:
    """What both CRMs know of a record. `modified` is the stamp both show; HubSpot goes on showing `hs_stamp` where
    only Salesforce took notice of what happened last. `hs_drift`: when something last happened to the record there
    that moved no stamp at all (a link set or cut, a value worked out anew).
    """

    key: int
    created: int
    modified: int
    sf: str | None = None
    hs: str | None = None
    deleted: int | None = None
    merged_into: "Entity | None" = None
    merged: "list[Entity]" = field(default_factory=list)  # on the survivor
    restored: bool = False  # was deleted once
    is_test: bool = False
    erased: bool = False  # gone without a trace: hard delete, GDPR delete
    hs_stamp: int | None = None
    hs_drift: int | None = None
    sf_drift: int | None = None

    @property
    def hs_modified(self) -> int:
        """The stamp HubSpot shows."""
        return self.modified if self.hs_stamp is None else self.hs_stamp


@dataclass(slots=True, eq=False, kw_only=True)
class User(Entity):
    first: str
    last: str
    email: str
    team: str
    active: bool = True
    manager: "User | None" = None
    hs_user: str = ""
    is_queue: bool = False

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}".strip()


@dataclass(slots=True, eq=False, kw_only=True)
class Account(Entity):
    name: str
    domain: str
    kind: str  # customer prospect partner other
    industry: str
    region: str
    country: str
    tier: str
    owner: User
    employees: int
    parent: "Account | None" = None
    customer_since: str | None = None
    short_link: bool = False  # the HubSpot copy stores the 15-character id
    is_person: bool = False  # a Salesforce person account: `person` is the contact row it has too
    person: "Contact | None" = None


@dataclass(slots=True, eq=False, kw_only=True)
class Contact(Entity):
    first: str
    last: str
    email: str | None
    phone: str | None
    title: str | None
    account: Account | None
    owner: User | None
    lifecycle: str = "lead"
    bounced: bool = False
    opted_out: bool = False


@dataclass(slots=True, eq=False, kw_only=True)
class Lead(Entity):
    first: str
    last: str
    company: str
    email: str
    source: str
    status: str  # new working converted disqualified
    owner: User
    history: list[Change] = field(default_factory=list)
    contact: Contact | None = None  # HubSpot ties each lead to a contact
    converted_at: int | None = None
    deal: "Deal | None" = None
    account: Account | None = None
    person: Contact | None = None  # contact made by the conversion
    first_response: int | None = None
    owners: list[Owned] = field(default_factory=list)  # empty: always `owner`

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"


@dataclass(slots=True, eq=False, kw_only=True)
class Deal(Entity):
    name: str
    account: Account | None
    contact: Contact | None
    owner: User
    kind: str  # newbusiness existingbusiness renewal
    source: str
    steps: list[Step] = field(default_factory=list)
    loss_reason: str | None = None
    pipeline: str = "default"  # HubSpot: default | renewals
    lines: list[Line] = field(default_factory=list)
    removed_lines: list[Line] = field(default_factory=list)  # `at`: when they were removed
    currency: str = "EUR"
    health: str | None = None  # green amber red: worked out by a formula, so it changes without a stamp
    owners: list[Owned] = field(default_factory=list)  # empty: always `owner`
    short_link: bool = False
    orphan_link: str | None = None  # a Salesforce id that never existed
    sf_deleted: int | None = None  # deleted in Salesforce alone

    @property
    def stage(self) -> str:
        return self.steps[-1].stage

    @property
    def state(self) -> str:
        stage = self.steps[-1].stage
        return stage if stage in (WON, LOST) else "open"

    @property
    def amount(self) -> int | None:
        return self.steps[-1].amount


@dataclass(slots=True, eq=False, kw_only=True)
class Ticket(Entity):
    number: str
    subject: str
    account: Account | None
    contact: Contact | None
    owner: User
    priority: str  # low medium high urgent
    category: str  # question problem complaint idea
    origin: str  # email phone web chat
    history: list[Change] = field(default_factory=list)  # new working waiting escalated closed
    close_reason: str | None = None
    escalated: bool = False
    first_response: int | None = None
    milestone: Milestone | None = None  # of a Salesforce case: what its entitlement says of the first response
    owners: list[Owned] = field(default_factory=list)  # empty: always `owner`

    @property
    def status(self) -> str:
        return self.history[-1].status


@dataclass(slots=True, eq=False, kw_only=True)
class Activity(Entity):
    kind: str  # call email meeting task note comment
    direction: str  # outbound inbound two_way internal
    subject: str
    at: int
    owner: User
    status: str = "completed"  # scheduled open completed cancelled no_show
    due: int | None = None
    completed: int | None = None
    seconds: int | None = None
    connected: bool | None = None
    public: bool = False
    bounced: bool = False
    thread: str | None = None
    account: Account | None = None
    contact: Contact | None = None
    lead: Lead | None = None
    deal: Deal | None = None
    ticket: Ticket | None = None
    also: list[Contact] = field(default_factory=list)  # HubSpot: further contacts it is about
    relations: list[Relation] = field(default_factory=list)  # Salesforce: the same


@dataclass(slots=True, eq=False, kw_only=True)
class Survey(Entity):
    score: int | None
    scale: int
    at: int
    comment: str | None
    ticket: Ticket | None
    contact: Contact | None


@dataclass(slots=True, eq=False, kw_only=True)
class Invitation(Entity):
    """A survey sent out (Salesforce SurveyInvitation)."""

    kind: str  # csat nps
    sent: int
    ticket: Ticket | None
    contact: Contact | None


@dataclass(slots=True, eq=False, kw_only=True)
class Order(Entity):
    account: Account
    owner: User
    status: str  # draft activated delivered cancelled
    ordered: str  # days: YYYY-MM-DD
    promised: str | None
    delivered: str | None = None
    cancelled: str | None = None
    currency: str = "EUR"
    lines: list[Line] = field(default_factory=list)
    removed_lines: list[Line] = field(default_factory=list)  # `at`: when they were removed

    @property
    def amount(self) -> int:
        return sum(line.amount for line in self.lines)


@dataclass(slots=True, eq=False, kw_only=True)
class Invoice(Entity):
    """A HubSpot invoice; days are YYYY-MM-DD."""

    account: Account
    number: str
    issued: str
    due: str
    amount: int  # minor units
    currency: str
    status: str  # draft open paid voided


@dataclass(slots=True, eq=False, kw_only=True)
class Payment(Entity):
    """A HubSpot payment (commerce_payments)."""

    invoice: Invoice
    paid: str  # YYYY-MM-DD
    amount: int  # minor units
    currency: str


@dataclass(slots=True, eq=False, kw_only=True)
class Contract(Entity):
    """A Salesforce contract; `end` is the last day it holds, None where it goes on."""

    account: Account
    number: str
    start: str  # YYYY-MM-DD
    end: str | None


class MailEvent(NamedTuple):
    """One thing that befell a marketing mail in HubSpot: a log's row, never changed."""

    id: str
    campaign: str
    send: str  # the id of the "sent" event of this mail to this address
    contact: Contact  # whose address it went to then
    recipient: str
    type: str  # sent delivered open click bounce unsubscribe spam
    at: int
    filtered: bool  # a machine's doing (a scanner's click, a proxy's open)
    link: str | None = None  # of a click: content unsubscribe preferences

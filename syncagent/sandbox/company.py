"""One generated B2B company: its people, customers, deals and tickets over two years, in two CRMs.

Everything follows from a seed and an as-of instant; nothing looks at the clock.
"""

import random
import threading
from bisect import bisect
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import accumulate
from typing import TypeVar

from syncagent.sandbox import clock
from syncagent.sandbox.ids import Ids
from syncagent.sandbox.model import (
    Account,
    Activity,
    Contact,
    Contract,
    Deal,
    Entity,
    Invitation,
    Invoice,
    Lead,
    MailEvent,
    Order,
    Owned,
    Payment,
    Rate,
    Survey,
    Ticket,
    User,
)

HISTORY_DAYS = 730
_MONTH_WEIGHT = (0.9, 1.0, 1.2, 0.95, 0.95, 1.15, 0.85, 0.7, 1.2, 1.05, 1.1, 1.0)
T = TypeVar("T")


class Company:
    """The company and its clock (`now`, epoch seconds). Hold `lock` while reading or changing it."""

    def __init__(self, seed: int, as_of: datetime, size: str = "full") -> None:
        self.seed = seed
        self.size = size  # full | tiny
        self.rng = random.Random(seed)  # noqa: S311  (a company, not a secret)
        self.side = random.Random(seed + 1)  # noqa: S311  (what was added later, so that the rest stays as it was)
        self.ids = Ids()
        self.now = clock.epoch(as_of)
        self.start = self.now - HISTORY_DAYS * clock.DAY
        self.lock = threading.RLock()
        self.queue: User
        self.users: list[User] = []
        self.accounts: list[Account] = []
        self.contacts: list[Contact] = []
        self.leads: list[Lead] = []
        self.deals: list[Deal] = []
        self.tickets: list[Ticket] = []
        self.activities: list[Activity] = []
        self.surveys: list[Survey] = []
        self.invitations: list[Invitation] = []
        self.orders: list[Order] = []
        self.invoices: list[Invoice] = []
        self.payments: list[Payment] = []
        self.contracts: list[Contract] = []
        self.mail_events: list[MailEvent] = []  # oldest first
        self.rates: list[Rate] = []
        #: New labels and stages taken away, by (HubSpot kind or Salesforce object, HubSpot stage id or API name):
        #: ("deals", "closedwon"), ("OpportunityStage", "Closed Won"), ("CaseStatus", "Working") ...
        self.stage_labels: dict[tuple[str, str], str] = {}
        self.stages_removed: dict[tuple[str, str], int] = {}
        #: The same of pipelines, by ("deals", "default") ... and, for record types, ("Opportunity", id) ...
        self.pipeline_labels: dict[tuple[str, str], str] = {}
        self.pipelines_off: set[tuple[str, str]] = set()  # record types out of use
        self.team_names: dict[str, str] = {}  # roles and teams that were renamed: User.team -> what it is called now
        self.touched: dict[int, Entity] = {}
        self.contacts_of: dict[int, list[Contact]] = {}
        self._keys = 0
        self._days: list[int] = []
        self._weights: dict[str, list[float]] = {}
        self._people: dict[tuple[str, str], list[User]] = {}

    # -- what the builders use ---------------------------------------------------------------------------------

    def key(self) -> int:
        self._keys += 1
        return self._keys

    def place(self, entity: Entity, sobject: str | None, kind: str | None) -> None:
        """Give a record its ids: in Salesforce under an object's prefix, in HubSpot under a kind, or in both."""
        if sobject:
            entity.sf = self.ids.sf(sobject)
        if kind:
            entity.hs = self.ids.hs(kind)

    def touch(self, entity: Entity, at: int) -> None:
        """A record changed: its modification stamp moves, and the servers show it anew."""
        entity.modified = max(entity.modified, at)
        entity.hs_stamp = entity.hs_drift = entity.sf_drift = None
        self.touched[entity.key] = entity

    def touch_sf(self, entity: Entity, at: int) -> None:
        """A link changed: Salesforce stamps it, a HubSpot record keeps its stamp."""
        if entity.hs is not None:
            entity.hs_stamp, entity.hs_drift = entity.hs_modified, at
        entity.modified, entity.sf_drift = max(entity.modified, at), None
        self.touched[entity.key] = entity

    def drift(self, entity: Entity, at: int) -> None:
        """A value that is worked out changed: no stamp moves anywhere."""
        entity.hs_drift = entity.sf_drift = at
        self.touched[entity.key] = entity

    def give(self, entity: Deal | Lead | Ticket, owner: User, at: int) -> None:
        """A record gets another owner."""
        if owner is entity.owner:
            return
        sobject = {Deal: "OpportunityFieldHistory", Lead: "LeadHistory", Ticket: "CaseHistory"}[type(entity)]
        if not entity.owners:
            entity.owners.append(Owned(entity.created, entity.owner))
        entity.owners.append(Owned(at, owner, self.ids.sf(sobject) if entity.sf else ""))
        entity.owner = owner
        self.touch(entity, at)

    def pick(self, choices: Sequence[T]) -> T:
        return choices[int(self.rng.random() * len(choices))]

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def minutes(self, median: float, spread: float = 1.0) -> float:
        """A skewed waiting time."""
        return float(median * self.rng.lognormvariate(0.0, spread))

    def office_instant(self, weekend: float = 0.0) -> int:
        """A moment of the history: mostly office hours, with seasons, growth and (share) weekends."""
        day = self._office_day(weekend)
        second = int(self.rng.triangular(8.3 * 3600, 18.7 * 3600, 11 * 3600))
        if weekend and self.chance(0.12):
            second = int(self.rng.random() * clock.DAY)
        at = clock.local_second(day, second)
        return min(max(at, self.start), self.now - 1 - int(self.rng.random() * 3600))

    def _office_day(self, weekend: float) -> int:
        name = str(weekend)
        if name not in self._weights:
            first = self.start // clock.DAY
            self._days = list(range(first, self.now // clock.DAY + 1))
            weights = []
            for day in self._days:
                month = int(clock.day_text(day)[5:7])
                growth = 1 + 0.45 * (day - first) / HISTORY_DAYS
                weights.append(_MONTH_WEIGHT[month - 1] * growth * (1.0 if clock.is_workday(day) else weekend))
            self._weights[name] = list(accumulate(weights))
        sums = self._weights[name]
        return self._days[min(bisect(sums, self.rng.random() * sums[-1]), len(self._days) - 1)]

    def person(self, team: str, crm: str) -> User:
        """Someone of a team with a seat in a CRM ("sf" or "hs"), weighted towards the first."""
        name = (team, crm)
        if name not in self._people:
            self._people[name] = [u for u in self.users if u.team.startswith(team) and (u.sf if crm == "sf" else u.hs)]
        people = self._people[name]
        return people[int(len(people) * self.rng.random() ** 1.3)]

    def everything(self) -> Iterator[Entity]:
        """Every record there ever was."""
        yield self.queue
        groups: tuple[Sequence[Entity], ...] = (
            self.users, self.accounts, self.contacts, self.leads, self.deals, self.tickets, self.activities,
            self.surveys, self.invitations, self.orders, self.invoices, self.payments, self.contracts,
        )  # fmt: skip
        for group in groups:
            yield from group

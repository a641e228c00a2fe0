"""Choosing what happens next: which record, and to what. Everything follows from one generator of random numbers."""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from syncagent.sandbox.company import Company
from syncagent.sandbox.merging import is_there
from syncagent.sandbox.model import Account, Entity, User

E = TypeVar("E", bound=Entity)
#: A sentence and the records it is about; None: not possible in this company now.
Done = tuple[str, list[Entity]] | None


def who(entity: Entity) -> str:
    """A record in words: "deal 006… / 9999999401"."""
    return f"{type(entity).__name__.lower()} {' / '.join(one for one in (entity.sf, entity.hs) if one)}"


class Chooser:
    """Picks records at random."""

    def __init__(self, rng: random.Random, company: Company) -> None:
        self.rng, self.company = rng, company

    def one(self, entities: Sequence[E], wanted: Callable[[E], bool] = lambda _: True) -> E | None:
        """A live record that meets a condition."""
        able = [entity for entity in entities if is_there(entity) and wanted(entity)]
        return self.rng.choice(able) if able else None

    def two(self, entities: Sequence[E], crm: str, wanted: Callable[[E], bool] = lambda _: True) -> tuple[E, E] | None:
        """Two different live records that are in one CRM alone."""
        able = [e for e in entities if is_there(e) and not e.is_test and wanted(e) and home(e) == crm]
        if len(able) < 2:
            return None
        first, second = self.rng.sample(able, 2)
        return first, second

    def account(self, crm: str) -> Account | None:
        return self.one(self.company.accounts, lambda a: bool(a.sf if crm == "sf" else a.hs) and not a.is_person)

    def owner(self, *entities: Entity) -> User | None:
        """Someone active with a seat wherever the records are."""
        crms = {crm for entity in entities for crm in ("sf", "hs") if getattr(entity, crm)}
        return self.one(self.company.users, lambda user: user.active and all(getattr(user, crm) for crm in crms))


def home(entity: Entity) -> str:
    """sf, hs or both."""
    return "both" if entity.sf and entity.hs else "sf" if entity.sf else "hs"

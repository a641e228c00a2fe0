"""Random changes of what becomes of records, and of what stands around them."""

from collections.abc import Sequence

from syncagent.sandbox.change import fates, office, records
from syncagent.sandbox.change.pick import Chooser, Done, home, who
from syncagent.sandbox.hubspot.props import DEAL_STAGES, PIPELINES, TICKET_STAGES
from syncagent.sandbox.merging import is_there
from syncagent.sandbox.model import OPEN_STAGES, Account, Contact, Deal, Entity, Lead, Ticket
from syncagent.sandbox.salesforce.fixed import CASE_STATUS, RECORD_TYPES, STAGES


def _groups(c: Chooser) -> tuple[Sequence[Entity], ...]:
    company = c.company
    return (
        company.accounts, company.contacts, company.leads, company.deals, company.tickets, company.activities,
        company.surveys, company.orders, company.invoices, company.payments, company.contracts, company.invitations,
    )  # fmt: skip


def _is_person(entity: Entity) -> bool:
    """Half of a person account: Salesforce deletes and merges those together."""
    account = entity.account if isinstance(entity, Contact) else entity
    return isinstance(account, Account) and account.is_person


def delete(c: Chooser, at: int) -> Done:
    entity = c.one(c.rng.choice(_groups(c)), lambda e: not _is_person(e))
    if entity is None:
        return None
    if isinstance(entity, Deal) and home(entity) == "both" and entity.sf_deleted is None and c.rng.random() < 0.5:
        fates.delete_in_salesforce(c.company, entity, at=at)
        return f"{who(entity)} is deleted in Salesforce alone", [entity]
    fates.delete(c.company, entity, at=at)
    return f"{who(entity)} is deleted", [entity]


def undelete(c: Chooser, at: int) -> Done:
    deal = c.one(c.company.deals, lambda d: d.sf_deleted is not None)
    if deal is not None and c.rng.random() < 0.5:
        fates.undelete_in_salesforce(c.company, deal, at=at)
        return f"{who(deal)} is brought back in Salesforce", [deal]
    binned = [
        entity
        for group in _groups(c)
        for entity in group
        if entity.deleted is not None and entity.merged_into is None and not entity.erased
    ]
    if not binned:
        return None
    entity = c.rng.choice(binned)
    fates.undelete(c.company, entity, at=at)
    return f"{who(entity)} is brought back", [entity]


def erase(c: Chooser, at: int) -> Done:
    entity = c.one(c.rng.choice(_groups(c)), lambda e: not _is_person(e))
    if entity is None:
        return None
    fates.erase(c.company, entity, at=at)
    return f"{who(entity)} is gone without a trace", [entity]


def merge(c: Chooser, at: int) -> Done:
    kind = c.rng.choice(("accounts", "contacts", "deals", "tickets", "leads"))
    company = c.company
    pair: tuple[Entity, Entity] | None
    if kind == "deals":
        pair = c.two(company.deals, "hs")
    elif kind == "leads":
        pair = c.two(company.leads, "sf", lambda lead: lead.converted_at is None)
    elif kind == "tickets":
        pair = c.two(company.tickets, c.rng.choice(("sf", "hs")))
    elif kind == "accounts":
        pair = c.two(company.accounts, c.rng.choice(("sf", "hs")), lambda account: not account.is_person)
    else:
        pair = c.two(company.contacts, c.rng.choice(("sf", "hs")), lambda contact: not _is_person(contact))
    if pair is None:
        return None
    made = fates.merge(company, pair[0], pair[1], at=at)
    more = f" as {who(made)}" if made not in pair else ""
    return f"{who(pair[1])} is merged into {who(pair[0])}{more}", [*pair, made]


# -- around the records ----------------------------------------------------------------------------------------------


def rename_user(c: Chooser, at: int) -> Done:
    user = c.one(c.company.users)
    if user is None:
        return None
    last = records.random_name(c.company).split()[-1]
    office.rename_user(c.company, user, last, at=at)
    return f"{who(user)} is called {user.name!r}", [user]


def rename_team(c: Chooser, at: int) -> Done:
    user = c.one(c.company.users)
    if user is None:
        return None
    name = f"{user.team} {c.rng.randrange(100)}"
    office.rename_team(c.company, user.team, name, at=at)
    return f"team {user.team!r} is called {name!r}", [user]


def deactivate(c: Chooser, at: int) -> Done:
    user = c.one(c.company.users, lambda one: one.active)
    # Somebody must be left whom records can be given to, and the first one is the one who logs in.
    if user is None or user is c.company.users[0] or sum(one.active for one in c.company.users) < 3:
        return None
    office.deactivate(c.company, user, at=at)
    return f"{who(user)} leaves", [user]


def label_stage(c: Chooser, at: int) -> Done:
    kind, stage = c.rng.choice(
        [("deals", stage[0]) for stages in DEAL_STAGES.values() for stage in stages.values()]
        + [("tickets", stage[0]) for key, stage in TICKET_STAGES.items() if key != "waiting"]
        + [("OpportunityStage", stage[0]) for stage in STAGES.values()]
        + [("CaseStatus", status) for key, status in CASE_STATUS.items() if key != "waiting"]
    )
    label = f"Label {c.rng.randrange(1000)}"
    office.label_stage(c.company, kind, stage, label)
    return f"stage {stage} of {kind} is called {label!r}", []


def label_pipeline(c: Chooser, at: int) -> Done:
    types = [(sobject, type_id) for sobject, own in RECORD_TYPES.items() for type_id in own.values()]
    kind, pipeline = c.rng.choice(types + [(kind, pipeline) for kind, own in PIPELINES.items() for pipeline in own])
    if (kind, pipeline) in types and c.rng.random() < 0.4:
        on = (kind, pipeline) in c.company.pipelines_off
        office.switch_record_type(c.company, kind, pipeline, on=on)
        return f"record type {pipeline} is {'in' if on else 'out of'} use", []
    label = f"Pipeline {c.rng.randrange(1000)}"
    office.label_pipeline(c.company, kind, pipeline, label)
    return f"pipeline {pipeline} of {kind} is called {label!r}", []


def remove_stage(c: Chooser, at: int) -> Done:
    """An open stage no deal is in, nor ever was, leaves its pipeline."""
    used = {(deal.pipeline, step.stage) for deal in c.company.deals for step in deal.steps}
    free = [
        ("deals", stages[stage][0])
        for pipeline, stages in DEAL_STAGES.items()
        for stage in OPEN_STAGES[1:]  # new deals begin in the first
        if (pipeline, stage) not in used and ("deals", stages[stage][0]) not in c.company.stages_removed
    ]
    if not free:
        return None
    kind, stage = c.rng.choice(free)
    office.remove_stage(c.company, kind, stage, at=at)
    return f"stage {stage} of {kind} is taken away", []


def set_rate(c: Chooser, at: int) -> Done:
    currency = c.rng.choice(("USD", "GBP"))
    rate = office.set_rate(c.company, currency, c.rng.choice((0.5, 0.64, 0.8, 1.0, 1.25, 1.28, 2.0)), at=at)
    return f"a euro is {rate.per_eur} {currency} from {rate.valid_from} on", []


def burst(c: Chooser, at: int) -> Done:
    group = [entity for entity in c.rng.choice(_groups(c)) if is_there(entity)]
    if not group:
        return None
    some = c.rng.sample(group, c.rng.randrange(1, len(group) + 1))
    office.burst(c.company, some, at=at)
    return f"{len(some)} {type(some[0]).__name__.lower()}s are stamped alike", some


def stamp_ahead(c: Chooser, at: int) -> Done:
    groups: tuple[Sequence[Contact | Deal | Ticket | Lead], ...] = (
        c.company.contacts, c.company.deals, c.company.tickets, c.company.leads,
    )  # fmt: skip
    entity = c.one(c.rng.choice(groups))
    if entity is None:
        return None
    ahead = c.rng.randrange(1, 600)
    office.stamp_ahead(c.company, entity, at=at, ahead_s=ahead)
    return f"{who(entity)} is stamped {ahead} s ahead", [entity]

"""What a cache must hold once it has read the whole sandbox: per CRM and table, straight from the company's model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from syncagent.sandbox.company import Company
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
    Order,
    Payment,
    Survey,
    Ticket,
    User,
)
from syncagent.sandbox.truth.rows import Teller, hs_close_date
from syncagent.sandbox.truth.sides import (
    DealStep,
    SideTruth,
    deal_steps,
    lines,
    links,
    mails,
    pipelines,
    plain_steps,
    rates,
    relations,
    stage_steps,
    stages,
    status_steps,
)

__all__ = ["CRMS", "DealStep", "SideTruth", "TableTruth", "Truth", "hs_close_date", "plain_steps", "truth"]


@dataclass(slots=True)
class TableTruth:
    """One canonical table of one CRM. All keys are source ids.

    `rows`: the columns of each live row. `deleted`: rows the CRM says are deleted; a cache may hold them as
    deleted or not at all. `merged`: loser -> the row that stands for it now, at the end of its chain. `erased`:
    must not be live, and no row of the CRM says so.
    """

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    merged: dict[str, str] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)

    @property
    def live(self) -> set[str]:
        return set(self.rows)


@dataclass(frozen=True, slots=True)
class Truth:
    """Everything by (crm, table), and by (crm, source id) the histories of live deals and tickets.

    A history is oldest first, one entry per real change: rows of a cache that repeat what was before are to be left
    out of the comparison. `strict`: it is what a cache holds after a reconciliation; else after incremental syncs
    alone, and what those cannot know is left out.
    """

    tables: Mapping[tuple[str, str], TableTruth]
    stage_history: Mapping[tuple[str, str], tuple[tuple[str, str, str], ...]]
    status_history: Mapping[tuple[str, str], tuple[tuple[str, str, str], ...]]
    deal_history: Mapping[tuple[str, str], tuple[DealStep, ...]] = field(default_factory=dict)
    sides: Mapping[tuple[str, str], SideTruth] = field(default_factory=dict)
    strict: bool = False


_TABLES: dict[type[Entity], str] = {
    User: "users", Account: "accounts", Contact: "contacts", Lead: "leads", Deal: "opportunities",
    Ticket: "tickets", Activity: "activities", Survey: "survey_responses", Invitation: "survey_invitations",
    Order: "orders", Invoice: "invoices", Payment: "payments", Contract: "contracts",
}  # fmt: skip
CRMS = ("salesforce", "hubspot")


def truth(company: Company, *, strict: bool = False) -> Truth:
    """The company as both CRMs show it now."""
    tables = {(crm, table): TableTruth() for crm in CRMS for table in _TABLES.values()}
    sides: dict[tuple[str, str], SideTruth] = {}
    stage_history, status_history, deal_history = {}, {}, {}
    for crm in CRMS:
        teller = Teller(company, crm, strict=strict)
        for entity in company.everything():
            source_id = teller.id_of(entity)
            if source_id is None:
                continue
            table = tables[crm, _TABLES[type(entity)]]
            _put(table, source_id, entity, teller)
            if source_id not in table.rows:
                continue
            if isinstance(entity, Deal):
                stage_history[crm, source_id] = stage_steps(entity, crm)
                deal_history[crm, source_id] = deal_steps(entity, crm, has_places=not company.stages_removed)
            elif isinstance(entity, Ticket):
                status_history[crm, source_id] = status_steps(entity, crm)
        for name, side in lines(company, crm, teller, strict=strict).items():
            sides[crm, name] = side
        sides[crm, "stage_defs"] = stages(company, crm)
        sides[crm, "pipelines"] = pipelines(company, crm)
        sides[crm, "fx_rates"] = rates(company)
        if crm == "hubspot":
            sides[crm, "activity_links"] = links(company, teller, strict=strict)
            sides[crm, "email_events"] = mails(company)
        else:
            sides[crm, "activity_links"] = relations(company, teller)
    return Truth(tables, stage_history, status_history, deal_history, sides, strict)


def _put(table: TableTruth, source_id: str, entity: Entity, teller: Teller) -> None:
    """What has become of one record."""
    end = _end(entity)
    if entity.erased or end.erased:
        table.erased.add(source_id)
    elif end.deleted is not None or teller.is_gone(entity):
        table.deleted.add(source_id)
    elif end is not entity:
        table.merged[source_id] = teller.id_of(end) or ""
    else:
        table.rows[source_id] = teller.columns(entity)


def _end(entity: Entity) -> Entity:
    """What stands for a record now: itself, or the end of its chain of mergers."""
    while entity.merged_into is not None:
        entity = entity.merged_into
    return entity

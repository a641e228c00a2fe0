"""What a cache must hold once it has read the whole sandbox: per CRM and table, straight from the company's model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from syncagent.sandbox import hs_records, sf_fixed
from syncagent.sandbox.clock import instant, local_date
from syncagent.sandbox.company import Company
from syncagent.sandbox.hs_props import DEAL_STAGES, LEAD_STAGES, PIPELINE_IDS, TICKET_STAGES
from syncagent.sandbox.model import Account, Activity, Contact, Deal, Entity, Lead, Survey, Ticket, User

CATEGORY = {"new": "open", "working": "open", "escalated": "open", "waiting": "pending", "closed": "closed"}
LEAD_CATEGORY = {"new": "open", "working": "open", "converted": "converted", "disqualified": "disqualified"}


@dataclass(slots=True)
class TableTruth:
    """One canonical table of one CRM. All keys are source ids.

    `rows`: the main columns of each live row. `deleted`: rows the CRM says are deleted; a cache may hold them as
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
    """Everything by (crm, table), with each live deal's stages and each live ticket's statuses.

    A history is (instant, value, state) tuples, oldest first, one per real change: rows of a cache that repeat the
    value before are to be left out of the comparison.
    """

    tables: Mapping[tuple[str, str], TableTruth]
    stage_history: Mapping[tuple[str, str], tuple[tuple[str, str, str], ...]]
    status_history: Mapping[tuple[str, str], tuple[tuple[str, str, str], ...]]


_TABLES = {
    User: "users", Account: "accounts", Contact: "contacts", Lead: "leads", Deal: "opportunities",
    Ticket: "tickets", Activity: "activities", Survey: "survey_responses",
}  # fmt: skip
#: Where a CRM has no such kind, what it is kept as.
_ACTIVITY_TYPES = {("salesforce", "comment"): "note", ("salesforce", "note"): "task"}
CRMS = ("salesforce", "hubspot")


def truth(company: Company) -> Truth:
    """The company as both CRMs show it now."""
    tables = {(crm, table): TableTruth() for crm in CRMS for table in _TABLES.values()}
    stages: dict[tuple[str, str], tuple[tuple[str, str, str], ...]] = {}
    statuses: dict[tuple[str, str], tuple[tuple[str, str, str], ...]] = {}
    for entity in company.everything():
        for crm in CRMS:
            source_id = entity.sf if crm == "salesforce" else entity.hs
            if source_id is None:
                continue
            table = tables[crm, _TABLES[type(entity)]]
            winner = _winner(entity)
            gone = isinstance(entity, Deal) and crm == "salesforce" and entity.sf_deleted is not None
            if entity.erased:
                table.erased.add(source_id)
            elif winner is not None:
                table.merged[source_id] = (winner.sf if crm == "salesforce" else winner.hs) or ""
            elif entity.deleted is not None or gone:
                table.deleted.add(source_id)
            else:
                table.rows[source_id] = _columns(entity, crm)
                if isinstance(entity, Deal):
                    stages[crm, source_id] = _stage_history(entity, crm)
                elif isinstance(entity, Ticket):
                    statuses[crm, source_id] = _status_history(entity, crm)
    return Truth(tables, stages, statuses)


def _winner(entity: Entity) -> Entity | None:
    winner = entity.merged_into
    while winner is not None and winner.merged_into is not None:
        winner = winner.merged_into
    return winner


def _columns(entity: Entity, crm: str) -> dict[str, Any]:
    """The main columns of a live row, in the cache's spelling; references are source ids."""
    sf = crm == "salesforce"

    def ref(other: Entity | None) -> str | None:
        return None if other is None else other.sf if sf else other.hs

    def link(column: str, other: Entity | None) -> dict[str, str | None]:
        """A reference HubSpot keeps as an association. It goes when the record it names does, and nothing shows
        when it went: such a column is not compared."""
        if not sf and other is not None and (other.deleted is not None or other.erased or other.restored):
            return {}
        return {column: ref(other)}

    columns: dict[str, Any] = {"created_at": instant(entity.created), "updated_at": instant(entity.modified)}
    match entity:
        case User():
            columns = {"name": entity.name, "email": entity.email, "is_active": int(entity.active)}
        case Account():
            columns |= {"name": entity.name, "kind": entity.kind, "owner_id": ref(entity.owner), "tier": entity.tier}
            columns["domain_norm"] = entity.domain
        case Contact():
            columns |= {"email_norm": entity.email, "account_id": ref(entity.account), "job_title": entity.title}
        case Lead():
            converted = entity.converted_at
            columns |= {
                "status": sf_fixed.LEAD_STATUS[entity.status] if sf else LEAD_STAGES[entity.status][0],
                "status_category": LEAD_CATEGORY[entity.status],
                "converted_date": None if converted is None else local_date(converted),
                "owner_id": ref(entity.owner),
                "email_norm": entity.email,
                **link("converted_opportunity_id", entity.deal),
            }
        case Deal():
            columns |= {
                "name": entity.name,
                "account_id": ref(entity.account),
                "owner_id": ref(entity.owner),
                "state": entity.state,
                "stage": _stage(entity, entity.stage, sf),
                "amount_minor": entity.amount,
                "close_date": entity.steps[-1].close if sf else hs_close_date(entity),
                "loss_reason": entity.loss_reason,
            }
            if not sf:
                columns["pipeline"] = PIPELINE_IDS[entity.pipeline]
                columns["sf_opportunity_id"] = entity.orphan_link or entity.sf
        case Ticket():
            closed = entity.status == "closed"
            columns |= {
                "subject": entity.subject,
                "account_id": ref(entity.account),
                "contact_id": ref(entity.contact),
                "owner_id": ref(entity.owner),
                "status": sf_fixed.CASE_STATUS[entity.status] if sf else TICKET_STAGES[entity.status][0],
                "status_category": CATEGORY[entity.status],
                "priority": entity.priority,
                "close_reason": entity.close_reason,
                "closed_at": instant(entity.history[-1].at) if closed else None,
            }
        case Activity():
            columns |= {"type": _ACTIVITY_TYPES.get((crm, entity.kind), entity.kind), "direction": entity.direction}
            columns |= link("ticket_id", entity.ticket) | link("lead_id", entity.lead)
            if entity.kind == "comment":
                columns["direction"] = "outbound" if entity.public else "internal"
        case Survey():
            columns |= {"score": entity.score, "scale_max": entity.scale, "responded_at": instant(entity.at)}
            columns |= {"ticket_id": ref(entity.ticket), "contact_id": ref(entity.contact), "comment": entity.comment}
    return columns


def hs_close_date(deal: Deal) -> str:
    """The local day of HubSpot's closedate."""
    return local_date(hs_records.close_at(deal, len(deal.steps) - 1))


def _stage(deal: Deal, stage: str, sf: bool) -> str:
    return sf_fixed.STAGES[stage][0] if sf else DEAL_STAGES[deal.pipeline][stage][0]


def _stage_history(deal: Deal, crm: str) -> tuple[tuple[str, str, str], ...]:
    rows: list[tuple[str, str, str]] = []
    for step in deal.steps:
        name = _stage(deal, step.stage, crm == "salesforce")
        state = step.stage if step.stage in ("won", "lost") else "open"
        if not rows or rows[-1][1] != name:
            rows.append((instant(step.at), name, state))
    return tuple(rows)


def _status_history(ticket: Ticket, crm: str) -> tuple[tuple[str, str, str], ...]:
    rows: list[tuple[str, str, str]] = []
    for change in ticket.history:
        name = sf_fixed.CASE_STATUS[change.status] if crm == "salesforce" else TICKET_STAGES[change.status][0]
        if not rows or rows[-1][1] != name:
            rows.append((instant(change.at), name, CATEGORY[change.status]))
    return tuple(rows)

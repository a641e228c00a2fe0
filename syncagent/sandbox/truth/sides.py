"""What a cache must hold beside the records: lines, histories, links, stages, rates, mail events."""

from dataclasses import dataclass, field
from typing import Any

from syncagent.sandbox.clock import instant, local_date
from syncagent.sandbox.company import Company
from syncagent.sandbox.hubspot import records as hs_records
from syncagent.sandbox.hubspot.props import (
    DEAL_STAGES,
    LEAD_PIPELINE,
    LEAD_STAGES,
    PIPELINE_IDS,
    PIPELINES,
    TICKET_STAGES,
)
from syncagent.sandbox.merging import is_there
from syncagent.sandbox.model import LOST, WON, Activity, Deal, Order, Ticket
from syncagent.sandbox.salesforce import fixed as sf_fixed
from syncagent.sandbox.truth.rows import CATEGORY, Teller, stage_name

Row = dict[str, Any]
#: A deal from an instant on: stage, state, amount in minor units, close date, currency, the stage's place (None: any).
DealStep = tuple[str, str, str, int | None, str, str, int | None]


@dataclass(slots=True)
class SideTruth:
    """Rows without a life of their own, by the values of the columns `key`.

    `parent`: the column and table of the record they hang on; rows of one that is not live do not matter, nor do those
    of the parents in `unsure` (their rows changed and nothing told of it).
    """

    key: tuple[str, ...]
    parent: tuple[str, str] | None = None
    rows: dict[tuple[Any, ...], Row] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)


def lines(company: Company, crm: str, teller: Teller, *, strict: bool) -> dict[str, SideTruth]:
    """The lines of live deals and orders."""
    deals = SideTruth(("source_id",), ("opportunity_id", "opportunities"))
    orders = SideTruth(("source_id",), ("order_id", "orders"))
    of_deals: list[Deal | Order] = [deal for deal in company.deals if crm == "hubspot" or deal.sf_deleted is None]
    for side, records in ((deals, of_deals), (orders, list(company.orders))):
        for record in records:
            parent = teller.id_of(record)
            if parent is not None and not strict and (record.erased or teller.has_drifted(record)):
                side.unsure.add(parent)
            if parent is None or not is_there(record):
                continue
            for line in record.lines:
                line_id = line.sf if crm == "salesforce" else line.hs
                if line_id:
                    changed = line.at or (record.modified if crm == "salesforce" else record.hs_modified)
                    row: Row = {"created_at": instant(record.created), "updated_at": instant(changed)}
                    row |= {"product": line.product, "quantity": line.quantity}
                    if isinstance(record, Deal):
                        row |= {"opportunity_id": parent, "amount_minor": line.amount, "currency": record.currency}
                    else:
                        row["order_id"] = parent
                    side.rows[line_id,] = row
    return {"opportunity_lines": deals, "order_lines": orders}


def links(company: Company, teller: Teller, *, strict: bool) -> SideTruth:
    """HubSpot: what an activity is about besides the first contact, deal …"""
    side = SideTruth(("activity_id", "object", "object_id"), ("activity_id", "activities"))
    for activity in company.activities:
        if activity.hs is None:
            continue
        if not strict and (activity.erased or teller.has_drifted(activity) or _unsure(activity)):
            side.unsure.add(activity.hs)
        if not is_there(activity):
            continue
        contacts = {
            one.hs for one in (activity.contact, *activity.also) if one is not None and is_there(one) and one.hs
        }
        for other in sorted(contacts, key=int)[1:]:
            side.rows[activity.hs, "contacts", other] = {}
    return side


def relations(company: Company, teller: Teller) -> SideTruth:
    """Salesforce: whom a task or meeting is about besides the first one."""
    side = SideTruth(("activity_id", "object", "object_id"), ("activity_id", "activities"))
    for activity in company.activities:
        if not activity.sf or not is_there(activity):
            continue
        held = teller.columns(activity).get("contact_id")
        for one in activity.relations:
            if not one.gone and one.contact.sf and one.contact.sf != held:
                side.rows[activity.sf, "contacts", one.contact.sf] = {}
    return side


def _unsure(activity: Activity) -> bool:
    """A contact it is about went or came back, which stamps nothing."""
    contacts = [one for one in (activity.contact, *activity.also) if one is not None]
    return any(not is_there(one) or one.restored for one in contacts)


def stages(company: Company, crm: str) -> SideTruth:
    """Every stage there is now, with its label and state. Those taken away do not matter."""
    side = SideTruth(("object", "pipeline", "stage"))
    places: dict[tuple[str, str | None], list[str]] = {}

    def put(table: str, kind: str, pipeline: str | None, stage: str, label: str, state: str | None) -> None:
        is_there_now = (kind, stage) not in company.stages_removed
        # Salesforce keeps the numbers of the others when a stage goes, HubSpot counts anew.
        own = places.setdefault((table, pipeline), [])
        if is_there_now or crm == "salesforce":
            own.append(stage)
        if is_there_now:
            order = len(own) - (0 if crm == "salesforce" else 1)
            row: Row = {"label": company.stage_labels.get((kind, stage), label), "stage_order": order}
            side.rows[table, pipeline, stage] = row if state is None else row | {"state": state}

    if crm == "salesforce":
        for stage, (name, *_) in sf_fixed.STAGES.items():
            put("opportunities", "OpportunityStage", None, name, name, stage if stage in (WON, LOST) else "open")
        for status, name in sf_fixed.CASE_STATUS.items():
            put("tickets", "CaseStatus", None, name, name, "closed" if status == "closed" else "open")
        return side
    for pipeline, own in DEAL_STAGES.items():
        for stage, (name, label, _) in own.items():
            state = stage if stage in (WON, LOST) else "open"
            put("opportunities", "deals", PIPELINE_IDS[pipeline], name, label, state)
    for status, (name, label) in TICKET_STAGES.items():
        put("tickets", "tickets", "0", name, label, "closed" if status == "closed" else "open")
    for name, label, _ in LEAD_STAGES.values():
        put("leads", "leads", LEAD_PIPELINE, name, label, None)
    return side


def pipelines(company: Company, crm: str) -> SideTruth:
    """Every pipeline there is now: Salesforce's record types, which have no order, and HubSpot's pipelines."""
    side = SideTruth(("object", "pipeline"))

    def put(table: str, kind: str, pipeline: str, label: str, place: int | None) -> None:
        side.rows[table, pipeline] = {
            "label": company.pipeline_labels.get((kind, pipeline), label),
            "display_order": place,
            "is_active": int((kind, pipeline) not in company.pipelines_off),
        }

    if crm == "salesforce":
        for table, kind in (("opportunities", "Opportunity"), ("tickets", "Case")):
            for label, type_id in sf_fixed.RECORD_TYPES[kind].items():
                put(table, kind, type_id, label, None)
        return side
    for table, kind in (("opportunities", "deals"), ("tickets", "tickets"), ("leads", "leads"), ("orders", "orders")):
        for place, (pipeline, label) in enumerate(PIPELINES[kind].items()):
            put(table, kind, pipeline, label, place)
    return side


def rates(company: Company) -> SideTruth:
    """What one unit of a currency is worth in euro, from a day on."""
    side = SideTruth(("currency", "valid_from"))
    for rate in company.rates:
        side.rows[rate.currency, rate.valid_from] = {"rate_to_reporting": 1 / rate.per_eur}
    return side


def mails(company: Company) -> SideTruth:
    """HubSpot: every event of a marketing mail. Whose it was is compared while the address leads to one contact."""
    side = SideTruth(("source_id",))
    for event in company.mail_events:
        row: Row = {
            "campaign_id": event.campaign,
            "send_id": event.send,
            "type": event.type,
            "occurred_at": instant(event.at),
            "is_filtered": int(event.filtered),
            "link_kind": event.link,
        }
        contact = event.contact
        same = [one for one in company.contacts if one.hs and one.email == event.recipient]
        if same == [contact] and is_there(contact) and not contact.merged and not contact.restored:
            row["contact_id"] = contact.hs
        side.rows[event.id,] = row
    return side


# -- histories -------------------------------------------------------------------------------------------------------


def deal_steps(deal: Deal, crm: str, *, has_places: bool = True) -> tuple[DealStep, ...]:
    """Everything that changed a deal's stage, amount or close date, oldest first; of one moment the last.

    `has_places`: no stage was taken away, which moves the others in what is read from then on.
    """
    rows: dict[str, DealStep] = {}
    for number, step in enumerate(deal.steps):
        state = step.stage if step.stage in (WON, LOST) else "open"
        close = step.close if crm == "salesforce" else local_date(hs_records.close_at(deal, number))
        at = instant(step.at)
        number_of = list(DEAL_STAGES[deal.pipeline]).index(step.stage) + (1 if crm == "salesforce" else 0)
        place = number_of if has_places else None
        rows[at] = (at, stage_name(deal, step.stage, crm), state, step.amount, close, deal.currency, place)
    return plain_steps(list(rows.values()))


def plain_steps(rows: list[DealStep]) -> tuple[DealStep, ...]:
    """Steps without those that change nothing."""
    kept: list[DealStep] = []
    for row in rows:
        if not kept or kept[-1][1:] != row[1:]:
            kept.append(row)
    return tuple(kept)


def stage_steps(deal: Deal, crm: str) -> tuple[tuple[str, str, str], ...]:
    """(instant, stage, state) of every real change of stage, oldest first."""
    rows: list[tuple[str, str, str]] = []
    for at, stage, state, *_ in deal_steps(deal, crm):
        if not rows or rows[-1][1] != stage:
            rows.append((at, stage, state))
    return tuple(rows)


def status_steps(ticket: Ticket, crm: str) -> tuple[tuple[str, str, str], ...]:
    """(instant, status, category) of every real change of status, oldest first."""
    by_moment: dict[str, tuple[str, str, str]] = {}
    for change in ticket.history:
        name = sf_fixed.CASE_STATUS[change.status] if crm == "salesforce" else TICKET_STAGES[change.status][0]
        by_moment[instant(change.at)] = (instant(change.at), name, CATEGORY[change.status])
    rows: list[tuple[str, str, str]] = []
    for row in by_moment.values():
        if not rows or rows[-1][1] != row[1]:
            rows.append(row)
    return tuple(rows)

"""The sixteen built-in KPIs worked out from the company's model in plain loops: the check of what SQL comes to.

Nothing here is shared with the engine. Definitions are those the KPIs document; a deal kept in both CRMs counts
once, as Salesforce has it. Money in major units, durations in seconds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from statistics import fmean, median
from typing import Any
from zoneinfo import ZoneInfo

import holidays

from syncagent.sandbox.clock import DAY, epoch
from syncagent.sandbox.company import Company
from syncagent.sandbox.hubspot.activities import lacks_outcome
from syncagent.sandbox.model import Deal, Entity, Step, Ticket
from syncagent.sandbox.truth import hs_close_date

KPIS = (
    "won_revenue", "win_rate", "lost_opportunities", "pipeline_open_value", "sales_growth", "lead_conversion_rate",
    "unconverted_leads", "lead_response_time", "ticket_backlog", "first_response_time", "mean_time_to_resolution",
    "full_resolution_rate", "csat_score", "customer_retention_rate", "relationship_freshness", "dq_completeness",
)  # fmt: skip
_RESOLVED = ("resolved", "workaround")
_UNCOUNTED = ("spam", "duplicate")
_PLACEHOLDERS = ("", "n/a", "na", "none", "unknown", "-", "test", "tbd")


def survivor(entity: Entity) -> Entity:
    """Who stands for a record at the end of its merges."""
    while entity.merged_into is not None:
        entity = entity.merged_into
    return entity


@dataclass(frozen=True, slots=True)
class KpiTruth:
    """A KPI's right value, before any minimum number of rows is asked for; None: nothing to divide or average."""

    value: float | None
    n: int
    numerator: float | None = None
    denominator: float | None = None
    coverage: float = 1.0
    details: dict[str, Any] = field(default_factory=dict)


def kpi_truth(
    company: Company, kpi: str, *, as_of: datetime, timezone: str, start: date | None = None, end: date | None = None
) -> KpiTruth:
    """The right answer of one built-in over local days [start, end), or at as_of for a stock without a period."""
    book = _Book(company, as_of, ZoneInfo(timezone), start, end)
    answer: KpiTruth = getattr(book, kpi)()
    return answer


def _share(numerator: int, denominator: int, **details: Any) -> KpiTruth:
    value = numerator / denominator if denominator else None
    return KpiTruth(value, denominator, numerator, denominator, details=details)


class _Book:
    def __init__(self, company: Company, as_of: datetime, zone: ZoneInfo, start: date | None, end: date | None) -> None:
        self.company = company
        self.at = epoch(as_of)
        self.zone = zone
        self.today = as_of.astimezone(zone).date().isoformat()
        self.first = start.isoformat() if start else "0000-00-00"
        self.last = end.isoformat() if end else "9999-99-99"
        self.stock_at = self.at if end is None else min(self.at, self.midnight(end))
        self.start, self.end = start, end

    # -- days and rows ---------------------------------------------------------------------------------------------

    def midnight(self, day: date) -> int:
        return int(datetime(day.year, day.month, day.day, tzinfo=self.zone).timestamp())

    def day(self, at: int) -> str:
        return datetime.fromtimestamp(at, self.zone).date().isoformat()

    def in_window(self, at: int) -> bool:
        return at < self.at and self.first <= self.day(at) < self.last

    def known(self, entity: Entity) -> bool:
        live = entity.deleted is None and entity.merged_into is None and not entity.erased and not entity.is_test
        return live and entity.created < self.at

    def deals(self) -> Iterator[Deal]:
        for deal in self.company.deals:
            if self.known(deal) and deal.sf_deleted is None:
                yield deal

    def steps(self, deal: Deal, before: int) -> list[Step]:
        return [step for step in deal.steps if step.at < before]

    def outcome(self, deal: Deal) -> tuple[str, str] | None:
        """(won or lost, local day) of a deal as known at as_of; None while it is open."""
        steps = self.steps(deal, self.at)
        state = steps[-1].stage if steps else "open"
        if state not in ("won", "lost"):
            return None
        changed = steps[-1].at
        for step in reversed(steps):
            if step.stage != state:
                break
            changed = step.at
        day = self.day(changed)
        if state == "won":
            closes = deal.steps[-1].close if deal.sf else hs_close_date(deal)
            day = min(day, closes)
        return (state, day) if day < self.today else None

    def settled(self, state: str, first: str, last: str) -> list[tuple[Deal, str]]:
        """Deals won or lost in [first, last), each with its day."""
        found = []
        for deal in self.deals():
            outcome = self.outcome(deal)
            if outcome is not None and outcome[0] == state and first <= outcome[1] < last:
                found.append((deal, outcome[1]))
        return found

    def worth(self, deal: Deal, minor: int, day: str) -> float:
        """Euro of an amount in the deal's currency, at the rate of a day: the latest one valid from then or before."""
        rates = [r for r in self.company.rates if r.currency == deal.currency and r.valid_from <= day]
        return minor / 100 / (max(rates, key=lambda rate: rate.valid_from).per_eur if rates else 1.0)

    def work_seconds(self, begin: int, finish: int) -> int:
        """Seconds of Mon-Fri 9-18 local, holidays of Bavaria out, between two instants."""
        total = 0
        day = datetime.fromtimestamp(begin, self.zone).date()
        final = datetime.fromtimestamp(finish, self.zone).date()
        years = range(day.year, final.year + 1)
        off = holidays.country_holidays("DE", subdiv="BY", years=years)
        while day <= final:
            if day.weekday() < 5 and day not in off:
                opens = int(datetime(day.year, day.month, day.day, 9, tzinfo=self.zone).timestamp())
                shuts = int(datetime(day.year, day.month, day.day, 18, tzinfo=self.zone).timestamp())
                total += max(0, min(finish, shuts) - max(begin, opens))
            day += timedelta(1)
        return total

    # -- sales -----------------------------------------------------------------------------------------------------

    def won_revenue(self) -> KpiTruth:
        return self._revenue(self.first, self.last)

    def _revenue(self, first: str, last: str) -> KpiTruth:
        won = self.settled("won", first, last)
        amounts = [self.worth(deal, deal.amount, day) for deal, day in won if deal.amount is not None]
        coverage = len(amounts) / len(won) if won else 1.0
        value = sum(amounts) if amounts or not won else None
        copies = sum(1 for deal, _ in won if deal.sf and deal.hs)
        return KpiTruth(value, len(amounts), coverage=coverage, details={"in_both": copies})

    def win_rate(self) -> KpiTruth:
        won = len(self.settled("won", self.first, self.last))
        return _share(won, won + len(self.settled("lost", self.first, self.last)))

    def lost_opportunities(self) -> KpiTruth:
        lost = len(self.settled("lost", self.first, self.last))
        return KpiTruth(lost, lost)

    def pipeline_open_value(self) -> KpiTruth:
        total, used, rows = 0.0, 0, 0
        for deal in self.deals():
            steps = self.steps(deal, self.stock_at)
            if not steps or steps[-1].stage in ("won", "lost"):
                continue
            rows += 1
            if steps[-1].amount is not None:
                total += self.worth(deal, steps[-1].amount, self.day(self.stock_at))
                used += 1
        return KpiTruth(total if used or not rows else None, used, coverage=used / rows if rows else 1.0)

    def sales_growth(self) -> KpiTruth:
        """Against the same days a year before."""
        assert self.start is not None
        assert self.end is not None
        before = [day.replace(year=day.year - 1) for day in (self.start, self.end)]
        now, then = self._revenue(self.first, self.last), self._revenue(*(day.isoformat() for day in before))
        value = None if not then.value or now.value is None else (now.value - then.value) / then.value
        return KpiTruth(value, now.n + then.n, coverage=min(now.coverage, then.coverage), details={"base": then.value})

    # -- leads -----------------------------------------------------------------------------------------------------

    def lead_conversion_rate(self, horizon: int = 90) -> KpiTruth:
        converted = mature = immature = 0
        for lead in self.company.leads:
            if not self.known(lead) or not self.in_window(lead.created):
                continue
            if lead.created + horizon * DAY > self.at:
                immature += 1
                continue
            mature += 1
            limit = (date.fromisoformat(self.day(lead.created)) + timedelta(horizon)).isoformat()
            if lead.converted_at is not None and self.day(lead.converted_at) <= limit:
                converted += self.day(lead.converted_at) < self.today
        return _share(converted, mature, immature=immature)

    def unconverted_leads(self) -> KpiTruth:
        rows = [lead for lead in self.company.leads if self.known(lead) and self.in_window(lead.created)]
        left = [x for x in rows if x.converted_at is None or self.day(x.converted_at) >= self.today]
        dropped = sum(1 for lead in left if lead.status == "disqualified")
        details = {"open": len(left) - dropped, "disqualified": dropped}
        return KpiTruth(len(left), len(rows), len(left), len(rows), details=details)

    def lead_response_time(self) -> KpiTruth:
        """What was said to the lead, or since it was converted to the contact it became."""
        reached: dict[int, list[int]] = {}
        for activity in self.company.activities:
            if activity.direction != "outbound" or activity.at >= self.at or not self.known(activity):
                continue
            if activity.kind in ("call", "email"):
                related = (relation.contact for relation in activity.relations if not relation.gone)
                for party in filter(None, (activity.lead, activity.contact, *activity.also, *related)):
                    reached.setdefault(id(survivor(party)), []).append(activity.at)
        waits, unanswered = [], 0
        for lead in self.company.leads:
            if not self.known(lead) or not self.in_window(lead.created):
                continue
            became = (lead.person if lead.sf else lead.contact) if lead.converted_at is not None else None
            parties = [lead] if became is None else [lead, survivor(became)]
            heard = [at for party in parties for at in reached.get(id(party), ()) if at >= lead.created]
            if heard:
                waits.append(self.work_seconds(lead.created, min(heard)))
            else:
                unanswered += 1
        return KpiTruth(median(waits) if waits else None, len(waits), details={"unanswered": unanswered})

    # -- service ---------------------------------------------------------------------------------------------------

    def tickets(self) -> Iterator[Ticket]:
        for ticket in self.company.tickets:
            if self.known(ticket):
                yield ticket

    def closes(self, ticket: Ticket) -> tuple[int | None, int | None]:
        """First close, and first reopening after it, as known at as_of."""
        closed = reopened = None
        for change in ticket.history:
            if change.at >= self.at:
                break
            if change.status == "closed":
                closed = change.at if closed is None else closed
            elif closed is not None and reopened is None:
                reopened = change.at
        return closed, reopened

    def ticket_backlog(self) -> KpiTruth:
        open_ = 0
        for ticket in self.tickets():
            changes = [change for change in ticket.history if change.at < self.stock_at]
            open_ += bool(changes) and changes[-1].status != "closed"
        return KpiTruth(open_, open_)

    def first_response_time(self) -> KpiTruth:
        first: dict[int, int] = {}
        for activity in self.company.activities:
            ticket = activity.ticket
            public = activity.public and activity.direction == "outbound"
            if ticket is not None and public and self.known(activity) and activity.at >= ticket.created:
                first[ticket.key] = min(activity.at, first.get(ticket.key, activity.at))
        waits, plain, unanswered = [], [], 0
        for ticket in self.tickets():
            if not self.in_window(ticket.created) or ticket.close_reason in _UNCOUNTED:
                continue
            # Both keep the moment themselves; where they do not, it follows from the answers.
            native = ticket.milestone.completed if ticket.milestone else ticket.first_response
            at = first.get(ticket.key) if native is None else native
            if at is None or at >= self.at:
                unanswered += 1
            else:
                waits.append(self.work_seconds(ticket.created, at))
                plain.append(at - ticket.created)
        details = {"unanswered": unanswered, "calendar_median": median(plain) if plain else None}
        return KpiTruth(median(waits) if waits else None, len(waits), details=details)

    def mean_time_to_resolution(self) -> KpiTruth:
        spans, work = [], []
        for ticket in self.tickets():
            closed, _ = self.closes(ticket)
            if closed is not None and self.in_window(closed) and ticket.close_reason not in _UNCOUNTED:
                spans.append(closed - ticket.created)
                work.append(self.work_seconds(ticket.created, closed))
        if not spans:
            return KpiTruth(None, 0)
        return KpiTruth(fmean(spans), len(spans), details={"median": median(spans), "business_mean": fmean(work)})

    def full_resolution_rate(self) -> KpiTruth:
        resolved = mature = immature = 0
        for ticket in self.tickets():
            closed, reopened = self.closes(ticket)
            if closed is None or not self.in_window(closed) or ticket.close_reason in _UNCOUNTED:
                continue
            if closed + 7 * DAY > self.at:
                immature += 1
                continue
            mature += 1
            back = reopened is not None and reopened <= closed + 7 * DAY
            resolved += ticket.close_reason in _RESOLVED and not back
        return _share(resolved, mature, immature=immature)

    # -- customers -------------------------------------------------------------------------------------------------

    def csat_score(self) -> KpiTruth:
        latest: dict[tuple[int, int], tuple[int, float]] = {}
        for survey in self.company.surveys:
            if not self.known(survey) or survey.score is None or not self.in_window(survey.at):
                continue
            ticket = survey.ticket.key if survey.ticket else 0
            contact = survey.contact.key if survey.contact else 0
            name = (ticket, contact) if ticket or contact else (-survey.key, 0)
            if name not in latest or latest[name][0] < survey.at:
                latest[name] = (survey.at, survey.score / survey.scale * 10)
        scores = [score for _, score in latest.values()]
        return KpiTruth(fmean(scores) if scores else None, len(scores))

    def customer_retention_rate(self, lookback: int = 365) -> KpiTruth:
        assert self.start is not None
        assert self.end is not None
        bought: dict[int, list[str]] = {}
        for deal in self.deals():
            outcome = self.outcome(deal)
            if outcome is not None and outcome[0] == "won" and deal.account is not None and self.known(deal.account):
                bought.setdefault(deal.account.key, []).append(outcome[1])

        def active(day: date) -> set[int]:
            low, high = (day - timedelta(lookback)).isoformat(), day.isoformat()
            return {account for account, days in bought.items() if any(low <= d < high for d in days)}

        before, after = active(self.start), active(min(self.end, date.fromisoformat(self.today)))
        return _share(len(before & after), len(before), new=len(after - before))

    def relationship_freshness(self, fresh_days: int = 30) -> KpiTruth:
        at = self.stock_at
        wanted = set()
        for deal in self.deals():
            steps = self.steps(deal, at)
            if deal.account is not None and steps and steps[-1].stage not in ("won", "lost"):
                wanted.add(deal.account.key)
        touched: dict[int, int] = {}
        for activity in self.company.activities:
            if not self.known(activity) or activity.kind in ("task", "note", "comment") or activity.at >= at:
                continue
            if activity.account is None or not self.happened(activity.kind, activity.status, activity):
                continue
            key = activity.account.key
            touched[key] = max(activity.at, touched.get(key, 0))
        scope = [
            account
            for account in self.company.accounts
            if self.known(account) and account.created < at and (account.kind == "customer" or account.key in wanted)
        ]
        fresh = sum(1 for a in scope if a.key in touched and (at - touched[a.key]) // DAY <= fresh_days)
        never = sum(1 for a in scope if a.key not in touched)
        return _share(fresh, len(scope), never_touched=never)

    def happened(self, kind: str, status: str, activity: Any) -> bool:
        """A meeting without an outcome (in Salesforce any) took place once its end is past. Else the status says it."""
        if kind == "meeting" and (activity.sf or lacks_outcome(activity)):
            return bool(activity.at + (activity.seconds or 0) <= self.company.now)
        return status == "completed"

    def dq_completeness(self) -> KpiTruth:
        """Contacts: e-mail (weight 2), phone, account, job title."""
        filled = rows = full = 0
        for contact in self.company.contacts:
            if not self.known(contact) or contact.created >= self.stock_at:
                continue
            rows += 1
            held: Sequence[tuple[int, object]] = (
                (2, contact.email), (1, contact.phone), (1, contact.account), (1, contact.title),
            )  # fmt: skip
            score = sum(w for w, v in held if v is not None and str(v).strip().lower() not in _PLACEHOLDERS)
            filled += score
            full += score == 5
        return KpiTruth(filled / (5 * rows) if rows else None, rows, filled, 5 * rows, details={"full": full})

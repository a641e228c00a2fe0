"""What a configuration comes to once it has been checked: frozen, with every path absolute."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from connectors.files.settings import FilesSettings
from connectors.hubspot.settings import HubSpotSettings
from connectors.salesforce.settings import SalesforceSettings
from scorecards.definition import Customers, Hours, Kpi, Reporting, Scorecard, TestRows
from scorecards.facts.spans import made_of
from syncagent.config.models import DAY_NAMES, Agent, Calendar, Identity, TeamCalendar, holiday_dates
from syncagent.errors import Problem
from syncagent.mailer import MailSettings
from syncagent.schema import TABLES, column_types

SourceSettings = SalesforceSettings | HubSpotSettings | FilesSettings
#: Years for which the public holidays of a country are worked out: all that a CRM may remember or a card may ask.
_FIRST_YEAR, _LAST_YEAR = 1995, 2045


@dataclass(frozen=True)
class AgentSettings:
    """`[agent]`, with its paths absolute. `retention` in seconds."""

    name: str
    data_dir: Path
    timezone: str
    currency: str
    locale: str
    retention: int
    ca_file: str | None
    proxy: str | None = None


@dataclass(frozen=True)
class Config:
    """A configuration that can be used. `hash` names what it says, secrets left out; `content` the text of its file.

    `unset` are the secrets that could not be had, by path, where that was allowed; `secret_files` the files "file:"
    names.
    """

    path: Path
    agent: AgentSettings
    calendar: Calendar
    calendars: Mapping[str, TeamCalendar]
    sources: Mapping[str, SourceSettings]
    mail: MailSettings | None
    dimensions: Mapping[str, Mapping[str, str]]
    kpis: Mapping[str, Kpi]
    scorecards: Mapping[str, Scorecard]
    identity: Identity
    customers: Customers
    test_rows: TestRows
    hash: str
    warnings: tuple[Problem, ...] = field(default=(), compare=False)
    content: str = field(default="", compare=False)
    unset: tuple[Problem, ...] = field(default=(), compare=False)
    secret_files: tuple[Path, ...] = field(default=(), compare=False)

    def unset_of(self, *sections: str) -> tuple[Problem, ...]:
        """The missing secrets below these tables, like "source.sf" or "mail"."""
        return tuple(p for p in self.unset if any(p.path == s or p.path.startswith(f"{s}.") for s in sections))

    def reporting(self) -> Reporting:
        """What every KPI is computed under."""
        return self._reporting

    @cached_property
    def holidays(self) -> frozenset[date]:
        """Days off of `[calendar]`."""
        return holiday_dates(self.calendar.holidays, _FIRST_YEAR, _LAST_YEAR)

    @cached_property
    def _reporting(self) -> Reporting:
        made = make_reporting(
            self.agent, self.calendar, self.holidays, self.dimensions, self.identity, self.customers, self.test_rows
        )
        kpis = self.kpis.values()
        more = {"gap_days": gaps_of(kpis), "customer_spans": spans_of(kpis, self.customers)}
        more["sources"] = tuple(sorted(self.sources))
        return made.model_copy(update={**more, "calendars": self._hours_by_team(made.hours)})

    def _hours_by_team(self, shared: Hours) -> dict[str, Hours]:
        """Every team that has a calendar of its own, with its hours: what that does not say is as for all."""
        found: dict[str, Hours] = {}
        for name, calendar in self.calendars.items():
            own: dict[str, Any] = {"timezone": calendar.timezone or shared.timezone}
            if calendar.business_hours is not None:
                own["weekly"] = calendar.business_hours.by_weekday()
            if calendar.holidays is not None:
                own["holidays"] = holiday_dates(calendar.holidays, _FIRST_YEAR, _LAST_YEAR)
            found |= dict.fromkeys(calendar.teams or (name,), shared.model_copy(update=own))
        return found


def gaps_of(kpis: Iterable[Kpi]) -> tuple[int, ...]:
    """The lengths of the pauses that end an engagement, as KPIs ask for them: each is a set of facts of its own."""
    found: set[int] = set()
    for kpi in kpis:
        said = kpi.where.get("gap_days") if kpi.of == "engagements" else None
        found |= {days for days in (said if isinstance(said, list | tuple) else [said]) if isinstance(days, int)}
    return tuple(sorted(found))


def spans_of(kpis: Iterable[Kpi], customers: Customers) -> tuple[str, ...]:
    """The lookbacks and kinds of purchases KPIs ask customers by: each is a set of facts of its own."""
    asked = {
        (kpi.params.get("lookback_days") or customers.lookback_days, tuple(kpi.params.get("purchases") or ("deals",)))
        for kpi in kpis
        if kpi.of == "customer_spans" or "lookback_days" in kpi.params
    }
    return tuple(sorted({made_of(int(days), kinds) for days, kinds in asked}))


def make_reporting(
    agent: Agent | AgentSettings,
    calendar: Calendar,
    holidays: frozenset[date],
    dimensions: Mapping[str, Mapping[str, str]],
    identity: Identity,
    customers: Customers,
    test_rows: TestRows,
) -> Reporting:
    """The part of a configuration that numbers depend on, in the form `scorecards` takes it."""
    return Reporting(
        timezone=agent.timezone,
        currency=agent.currency,
        week_starts=DAY_NAMES.index(calendar.week_starts),
        fiscal_year_starts=calendar.fiscal_year_starts,
        hours=Hours(weekly=calendar.business_hours.by_weekday(), holidays=holidays, timezone=agent.timezone),
        dimensions={name: dict(columns) for name, columns in dimensions.items()},
        customers=customers,
        test_rows=test_rows,
        system_of_record=identity.system_of_record,
        links=identity.link,
        never_links=identity.never_link,
        deals_alike=identity.deal_heuristic == "auto",
        tables={table: column_types(table) for table in TABLES},
        references={table: dict(TABLES[table].references) for table in TABLES},
    )

"""How often a scorecard comes, and a KPI is looked at."""

import re
from collections.abc import Iterable
from typing import Literal, cast

from scorecards.definition import Kpi, Scorecard
from syncagent import due

CardPeriod = Literal["day", "week", "month", "quarter", "year", "fiscal_quarter", "fiscal_year"]

#: Days of a period, the shortest there are of months and quarters.
_DAYS: dict[CardPeriod, int] = {
    "day": 1,
    "week": 7,
    "month": 28,
    "quarter": 90,
    "fiscal_quarter": 90,
    "year": 365,
    "fiscal_year": 365,
}
#: What a KPI's `frequency`, a free text, may say: "weekly", "every quarter", "once a year".
_FREQUENCIES: tuple[tuple[re.Pattern[str], CardPeriod], ...] = (
    (re.compile(r"\b(daily|days?)\b", re.IGNORECASE), "day"),
    (re.compile(r"\bweek(ly|s)?\b", re.IGNORECASE), "week"),
    (re.compile(r"\bmonth(ly|s)?\b", re.IGNORECASE), "month"),
    (re.compile(r"\bquarter(ly|s)?\b", re.IGNORECASE), "quarter"),
    (re.compile(r"\b(year(ly|s)?|annual(ly)?)\b", re.IGNORECASE), "year"),
)


def schedule_of(card: Scorecard) -> due.Schedule | None:
    """When the scorecard is due; None when only by hand."""
    if card.send is not None:
        return due.parse_send(card.send)
    return due.parse_cron(card.cron) if card.cron is not None else None


def granularity_of(card: Scorecard) -> CardPeriod:
    """The period the scorecard shows: its own, else as its schedule goes."""
    if card.period is not None:
        return card.period
    schedule = schedule_of(card)
    return cast(CardPeriod, schedule.default_period) if schedule is not None else "week"


def reporting_days(kpi: Kpi, cards: Iterable[Scorecard]) -> int:
    """Days of the period a KPI is reported in: as often as its `frequency` says, else as its scorecards come.

    What it fills meanwhile (a year, to date) is another matter.
    """
    said = next((period for pattern, period in _FREQUENCIES if pattern.search(kpi.frequency)), None)
    periods = [said] if said is not None else [granularity_of(card) for card in cards]
    return min((_DAYS[period] for period in periods), default=_DAYS["month"])

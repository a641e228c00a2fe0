"""A period and an instant as the public sees them: local dates, half-open, and UTC text."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Period:
    """Local days [start, end) in a time zone; complete when its last day is over at as_of."""

    start: date
    end: date
    timezone: str
    complete: bool = True


def period_json(period: Period | None) -> dict[str, Any] | None:
    """A period's public form: local dates, half-open."""
    if period is None:
        return None
    return {
        "start": period.start.isoformat(),
        "end": period.end.isoformat(),
        "timezone": period.timezone,
        "complete": period.complete,
    }


def instant_of(epoch: int) -> str:
    """Epoch seconds as our UTC text, of any year."""
    return (datetime(1970, 1, 1) + timedelta(seconds=epoch)).isoformat() + "Z"  # noqa: DTZ001


def instant(moment: datetime) -> str:
    """An aware datetime as our UTC text `YYYY-MM-DDTHH:MM:SSZ`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""Instants of the generated company: whole epoch seconds, their vendor spellings, and a plain working day."""

from datetime import UTC, date, datetime
from functools import cache
from zoneinfo import ZoneInfo

#: Where the company works; its CRMs are set to this zone.
ZONE = ZoneInfo("Europe/Berlin")
DAY = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
_OPEN, _SHUT = 9 * 3600, 18 * 3600


def epoch(moment: datetime) -> int:
    """An aware datetime as whole epoch seconds."""
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return int(moment.timestamp())


def moment(at: int) -> datetime:
    """Epoch seconds as an aware UTC datetime."""
    return datetime.fromtimestamp(at, UTC)


@cache
def day_text(day: int) -> str:
    """Days since 1970 as `YYYY-MM-DD`."""
    return date.fromordinal(_EPOCH + day).isoformat()


def instant(at: int) -> str:
    """`YYYY-MM-DDTHH:MM:SSZ`, the cache's form."""
    day, second = divmod(at, DAY)
    return f"{day_text(day)}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z"


def sf_instant(at: int) -> str:
    """Salesforce's REST form: `2026-11-01T09:30:00.000+0000`."""
    return instant(at)[:-1] + ".000+0000"


def hs_instant(at: int, ms: int = 0) -> str:
    """HubSpot's form: `2026-11-01T09:30:00.000Z`."""
    return f"{instant(at)[:-1]}.{ms:03d}Z"


@cache
def _offset(day: int) -> int:
    """Seconds the company's zone is ahead of UTC at noon of a day."""
    offset = datetime.fromtimestamp(day * DAY + DAY // 2, ZONE).utcoffset()
    return int(offset.total_seconds()) if offset else 0


def local_date(at: int, zone: ZoneInfo = ZONE) -> str:
    """The local day of an instant as `YYYY-MM-DD`."""
    return datetime.fromtimestamp(at, zone).date().isoformat()


def local_midnight(day: str) -> int:
    """The instant a local day begins."""
    return int(datetime.combine(date.fromisoformat(day), datetime.min.time(), ZONE).timestamp())


def local_second(day: int, second: int) -> int:
    """The instant of a local second of a day (days since 1970)."""
    return day * DAY + second - _offset(day)


def is_workday(day: int) -> bool:
    return (day + 3) % 7 < 5  # 1970-01-01 was a Thursday


def work_after(at: int, minutes: float) -> int:
    """The instant `minutes` of office time (Mon-Fri 9-18, local) after another."""
    local = at + _offset(at // DAY)
    day, second = divmod(local, DAY)
    left = int(minutes * 60)
    while True:
        if is_workday(day) and second < _SHUT:
            second = max(second, _OPEN)
            if second + left < _SHUT:
                return max(local_second(day, second + left), at + 1)
            left -= _SHUT - second
        day, second = day + 1, 0

"""Whether the wall clock can be trusted right now: it is compared with the clock that only counts. Times as read."""

import logging
from datetime import datetime
from zoneinfo import ZoneInfo

log = logging.getLogger(__name__)

#: A step this large forwards is held back: a wrong battery clock must not send a year of mail.
FORWARD_S, BACKWARD_S = 3600, 60
STABLE_TICKS = 2


def local_time(moment: datetime | str | None, zone_name: str) -> str:
    """An instant as people in that zone read it: "Sun 2026-11-22 02:44 CET"."""
    if moment is None:
        return "never"
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.astimezone(ZoneInfo(zone_name)).strftime("%a %Y-%m-%d %H:%M %Z")


class ClockGuard:
    """Remembers the last tick. A long sleep of the machine looks like a step forwards and costs two ticks."""

    def __init__(self) -> None:
        self._last: tuple[datetime, float] | None = None
        self._waiting = 0

    def is_trusted(self, wall: datetime, monotonic: float) -> bool:
        """False for two ticks after a step of more than an hour forwards. A step back is only logged: due times that
        were written down are not due again, and the next ones come when the clock reaches them."""
        last, self._last = self._last, (wall, monotonic)
        if last is None:
            return True
        step = (wall - last[0]).total_seconds() - (monotonic - last[1])
        if step > FORWARD_S:
            log.warning("the clock went %d s forwards, nothing is due yet", step, extra={"action": "clock.held"})
            self._waiting = STABLE_TICKS
        elif step < -BACKWARD_S:
            log.warning("the clock went %d s back", -step, extra={"action": "clock.back"})
            self._waiting = 0
        if self._waiting > 0:
            self._waiting -= 1
            return False
        return True

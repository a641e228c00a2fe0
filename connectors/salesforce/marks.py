"""What the mark of a feed holds is believed only as far as the vendor's clock of now allows."""

from datetime import datetime, timedelta
from typing import Any

from connectors import parse
from connectors.salesforce.client import SKEW
from connectors.salesforce.settings import SalesforceLimits

Mark = dict[str, Any]

#: How long an object is read by REST after bulk jobs failed.
REST_FOR = timedelta(days=1)
_JITTER = timedelta(minutes=1)  # by how much two of the vendor's servers may differ


def renewed(mark: Mark | None, limits: SalesforceLimits) -> Mark:
    """A mark as it is written now: earlier ones held the clock itself in `at`, and no far."""
    if not mark or "far" in mark:
        return dict(mark or {})
    moment = parse.to_datetime(str(mark["at"]))
    far = parse.format_instant(moment - limits.late)
    if mark.get("done"):
        return {**mark, "at": parse.format_instant(moment - 2 * limits.unsettled), "far": far}
    return {**mark, "hi": parse.format_instant(moment + limits.unsettled), "far": far}


def grounded(mark: Mark, clock: datetime, late: timedelta) -> Mark:
    """A mark without positions beyond `clock`: they were set while a clock was wrong, and hide what changes until then.

    Such a position goes back by as much as clocks may differ and as a row may be `late`.
    """
    if not mark:
        return {}
    found = dict(mark)
    restart = parse.format_instant(clock - SKEW - late)
    now, settled = parse.format_instant(clock), parse.format_instant(clock - late + _JITTER)
    if found.get("done") and found["at"] > now:
        found |= {"at": restart, "id": ""}
    if str(found.get("hi") or "") > now:
        found["hi"] = restart
    for key in ("far", "far_to", "far_hi"):
        if str(found.get(key) or "") > settled:
            found[key] = restart
    longest = parse.format_instant(clock + REST_FOR)
    if str(found.get("rest_until") or "") > longest:
        found["rest_until"] = longest
    return found


def grounded_passing(mark: Mark, clock: datetime, late: timedelta) -> Mark:
    """The same for the mark of what comes to pass, which holds the clock itself."""
    if str(mark["at"]) <= parse.format_instant(clock):
        return mark
    return {"at": parse.format_instant(clock - SKEW - late), "id": "", "done": True}

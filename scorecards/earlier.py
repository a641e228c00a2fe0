"""What a KPI whose past nobody can work out is compared with: the value of it that was kept about then.

How full or needed records were earlier nobody kept, but what a scorecard said of it stays as it was sent
(`syncagent.told`). Nothing is made up: where no scorecard carried the KPI about then, that is said.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from scorecards.definition import Kpi
from scorecards.plan import moment_before
from scorecards.signal.history import keeps_no_past
from scorecards.slots import Granularity
from scorecards.told import Kept, Sent
from scorecards.values import Comparison, KpiResult

#: A value kept further from the instant wanted than this part of the way there, or these days, is of another time.
_NEAR, _NEAREST = 3, timedelta(days=10)
_WORDS = {"previous": "the period before", "month_ago": "a month ago", "year_ago": "a year ago"}


def none_kept(kpi: str, first: datetime, last: datetime) -> Sequence[Sent]:
    """Where nothing was ever sent."""
    return ()


def with_earlier(
    kpi: Kpi, result: KpiResult, grain: Granularity, zone: ZoneInfo, *, definition: str, kept: Kept
) -> KpiResult:
    """The result with what its definition compares it with, taken from the values kept; unchanged where it has a past.

    A comparison without a value says why.
    """
    if not keeps_no_past(kpi):
        return result
    found = []
    for against in kpi.compare:
        wanted = moment_before(against, result.as_of, grain, zone)
        near = min((result.as_of - wanted) / _NEAR, _NEAREST)
        all_kept = kept(kpi.id, wanted - near, wanted + near)
        same = [one for one in all_kept if one.definition == definition]
        if not same:
            why = ", only one of another definition" if all_kept else ""
            reason = f"no value kept from {_WORDS[against]}{why}"
            found.append(Comparison(against, None, None, None, "no_data", reason=reason))
            continue
        nearest = min(same, key=lambda one: (abs(one.at - wanted), one.at))
        change = None if result.value is None else result.value - nearest.value
        found.append(Comparison(against, nearest.value, change, None, kept_at=nearest.at))
    return replace(result, comparisons=tuple(found))

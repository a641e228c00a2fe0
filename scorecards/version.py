"""Which version of its definition a KPI's value is of: what it depends on beside the records, as a short hash."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from scorecards.definition import Kpi, Reporting

#: What of a definition changes no value.
_ASIDE = {
    *(
        "name",
        "about",
        "hidden",
        "builtin",
        "by",
        "target",
        "compare",
        "signal",
        "changes",
        "action",
        "also",
        "format",
        "direction",
    ),
    *("perspective", "group", "needs", "maps", "additivity", "segments", "partner", "information", "gathered_by"),
    *("process", "source", "frequency", "recipients", "owner", "objective", "review_by", "touchpoint", "usual_period"),
    *("history", "remarks"),
}
_REPORTING = ("timezone", "currency", "customers", "test_rows", "system_of_record", "week_starts")
#: What asks for opening hours; of all other KPIs a new holiday changes nothing.
_IN_BUSINESS_TIME = re.compile(r'"business"|business_s|"business_days": \d')

#: The relations that hold rows of the sources that are configured.
_OF_SOURCES = ("streams", "sync_runs")


def definition_of(kpi: Kpi, kpis: Mapping[str, Kpi], reporting: Reporting) -> str:
    """What a KPI's value depends on beside the records, as a short hash: equal hashes, comparable values."""
    return short_hash(_definition(kpi, kpis, reporting))


def measure_of(kpi: Kpi, kpis: Mapping[str, Kpi], reporting: Reporting) -> str:
    """The same whatever it is called and from how many rows on it is told: equal hashes, one KPI under two names."""
    said = _definition(kpi, kpis, reporting)
    first, *others = said["kpis"]
    own = {key: value for key, value in first.items() if key not in ("id", "n_min", "n_min_kind")}
    return short_hash(said | {"kpis": [own, *others]})


def _definition(kpi: Kpi, kpis: Mapping[str, Kpi], reporting: Reporting) -> dict[str, Any]:
    parts = [part.model_dump(mode="json", exclude=_ASIDE) for part in (kpi, *_operands(kpi, kpis, {kpi.id}))]
    said: dict[str, Any] = {"kpis": parts}
    leans_on = set(_REPORTING)
    if _IN_BUSINESS_TIME.search(json.dumps(parts)):
        leans_on |= {"hours", "calendars"}
        said["team"] = reporting.dimensions.get("team") if reporting.calendars else None
    if any(part["of"] in _OF_SOURCES for part in parts):
        leans_on.add("sources")
    return said | {"reporting": reporting.model_dump(mode="json", include=leans_on)}


def short_hash(said: Any) -> str:
    """Twelve hex digits of what can be written as JSON; the order of keys is no matter."""
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _operands(kpi: Kpi, kpis: Mapping[str, Kpi], seen: set[str]) -> Iterator[Kpi]:
    for said in kpi.operands:
        name = said.partition(".")[0]
        if name in kpis and name not in seen:
            seen.add(name)
            yield kpis[name]
            yield from _operands(kpis[name], kpis, seen)

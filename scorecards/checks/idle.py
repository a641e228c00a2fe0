"""Slots that would do nothing beside the others: what a shape does not read is refused, never ignored.

Knows what each shape of a KPI reads, no rows. The columns that are named are `kpi`'s to look up.
"""

from collections.abc import Iterator, Mapping

from scorecards.alsoslot import Also
from scorecards.checks import Problem
from scorecards.definition import Kpi
from scorecards.figures import is_two_sided
from scorecards.sqlslot import has_periods

#: What says which rows count, and what is made of them.
_OF_ROWS = frozenset(
    [
        "where",
        "out",
        "latest_per",
        "first_per",
        "per",
        "per_distinct",
        "nothing",
        "date",
        "mature",
        "unless",
        "headline",
        "weight",
        "field",
    ]
)
_PICKED = frozenset(("where", "out", "latest_per", "first_per", "date", "mature", "window"))
#: What a shape reads of these, and of `window`; who says more is told that it would be ignored.
_READ: Mapping[str, frozenset[str]] = {
    "plain": _PICKED | {"per", "per_distinct", "nothing", "field"},
    "share": _PICKED | {"unless", "headline", "weight", "field"},
    "cohort": _PICKED,
    "duration": _PICKED | {"nothing"},
    "deadline": _PICKED,
    "stock": _PICKED - {"date", "window"} | {"field", "nothing"},
    "retain": frozenset(("where", "window")),
    "filled": frozenset(("where", "latest_per", "first_per")),
    "ratio": frozenset(("window",)),
    "calc": frozenset(("window",)),
    "sql": frozenset(("window",)),
}
_IN_WORDS = {
    "plain": "a KPI without a shape",
    "filled": "filled",
    "calc": "a sum of KPIs",
    "retain": "retain",
    "sql": "an sql KPI",
}
#: Why, where a word more helps.
_WHY = {
    ("stock", "window"): "a stock is taken at an instant: it has no window",
    ("stock", "date"): "a stock is placed by opens and closes, not by date",
    ("ratio", "where"): "a ratio counts no rows of its own: its parts do",
    ("calc", "where"): "a sum of KPIs counts no rows of its own: its parts do",
    ("sql", "where"): "an sql KPI counts what its statement says",
}
_AGGS = 'agg = "median" (or avg, p90, max)'


def problems(kpi: Kpi) -> Iterator[Problem]:
    """Every slot that is set and not read."""
    shape = kpi.shape
    read = _READ[shape]
    if shape == "stock" and kpi.share is not None:
        read = read | {"unless", "headline", "weight"}
    if kpi.latest_per or kpi.first_per or kpi.mature is not None or kpi.unless is not None:
        read = read | {"date"}  # which of several rows is the first, and from when one is old enough
    for slot in sorted(_OF_ROWS | {"window"}):
        if slot in read or getattr(kpi, slot) == Kpi.model_fields[slot].get_default():
            continue
        why = _WHY.get((shape, slot)) or f"{_IN_WORDS.get(shape, f'a {shape}')} does not look at {slot}"
        yield slot, f"would be ignored: {why}.", "Take it away."
    yield from _aggregate(kpi)
    yield from _in_time(kpi)
    if kpi.headline == "count" and kpi.share is not None and kpi.weight != "count":
        mend = f'Take weight away, or write agg = "sum" with field = "{kpi.weight}", and what share says in where.'
        yield "headline", "of a weighted share is no count: it would be a sum.", mend
    if kpi.scale is not None and (is_two_sided(kpi) or shape == "duration"):
        yield "scale", "would be ignored: neither a share nor a time is on a scale.", "Take it away."
    if kpi.params_of and not kpi.builtin:
        yield "params_of", "would be ignored: only a built-in takes parameters of another.", "Take it away."
    if kpi.sql is not None and kpi.by:
        mend = "Take it away; let the statement return a column named segment."
        yield "by", "would be ignored: an sql KPI is split by its statement.", mend
    if kpi.action is not None and kpi.of is None and not kpi.action.kpi:
        mend = 'Name the KPI whose rows are listed: kpi = "NAME".' if kpi.operands else "Take it away."
        yield "action", f"would be ignored: {_IN_WORDS.get(shape, f'a {shape}')} has no rows of its own.", mend
    if kpi.cohort is not None and kpi.mature is not None and kpi.mature.after is None:
        yield "mature", "would be ignored: a cohort waits for its within.", "Take it away."
    yield from _beside(kpi)


def _in_time(kpi: Kpi) -> Iterator[Problem]:
    """What a window does not go with, and comparisons with what nobody kept."""
    if kpi.window is not None and kpi.period == "all":
        said = "would be ignored: all of time has no end for it to be counted back from."
        yield "window", said, 'Take period away, or write period = "day": the window up to yesterday.'
    elif kpi.window is not None and kpi.partial == "to_date":
        said = "ends with its period: of a running period it would hold fewer days."
        yield "window", said, 'Take partial away; period = "day" has the window up to yesterday.'
    if kpi.compare and "compare" in kpi.template and not kpi.builtin:
        if kpi.sql is not None and not has_periods(kpi.sql):
            said = "would be ignored: the statement asks for no period, so it says nothing of an earlier one."
            yield "compare", said, "Let it ask for :start and :end, or take compare away."
        elif kpi.is_only_now:
            yield (
                "compare",
                "would be ignored: it says how rows are, as they are now.",
                "Take it away.",
            )


def _aggregate(kpi: Kpi) -> Iterator[Problem]:
    """What is made of the rows of a shape, and of which column."""
    shape = kpi.shape
    if shape == "duration":
        if kpi.agg in ("count", "distinct"):
            yield "duration", f"would be ignored: agg = {kpi.agg!r} looks at no time.", f"Add {_AGGS}."
        return
    if kpi.share is not None and kpi.agg != "count":
        mend = 'Write agg = "sum" with a field for a share of that sum, or take agg away.'
        if kpi.agg == "distinct":
            mend = f'Write first_per = ["{kpi.field}"] for a share of different ones, and take agg and field away.'
        yield "agg", f"of a share there is no {kpi.agg}: it counts rows.", mend
    elif shape not in ("plain", "stock") and kpi.agg != "count":
        yield (
            "agg",
            f"would be ignored: {_IN_WORDS.get(shape, f'a {shape}')} has its own way to count.",
            "Take it away.",
        )
    elif kpi.agg == "count" and kpi.field is not None and (shape in ("plain", "stock", "share")):
        mend = f'Choose agg = "distinct" or "sum", or write where = {{ {kpi.field} = {{ set = true }} }}.'
        yield "field", "would be ignored: a count counts rows.", mend
    elif kpi.nothing != "zero" and kpi.agg != "sum" and shape in ("plain", "stock"):
        yield "nothing", "would be ignored: it says of a sum what no rows come to.", "Take it away."


def _beside(kpi: Kpi) -> Iterator[Problem]:
    """Figures beside the value that have nothing to be made of."""
    if isinstance(kpi.also, tuple):
        for name in kpi.also:
            if why := _unmade(kpi, Also(agg=name)):
                yield "also", f"{name} would be ignored: {why}.", "Take it away, or give the figure a name and a field."
        return
    for name, wanted in kpi.also.items():
        if kpi.of is None and wanted.kpi is None:
            said = f"would be ignored: {_IN_WORDS.get(kpi.shape, f'a {kpi.shape}')} has no rows of its own."
            yield f"also.{name}", said, 'Name another KPI: kpi = "NAME".'
        elif why := _beyond(kpi, wanted):
            yield f"also.{name}", f"would be ignored: {why}.", "Take it away, or make it a KPI of its own."
        elif why := _unmade(kpi, wanted):
            yield f"also.{name}", f"would be ignored: {why}.", "Add a field, or take it away."
        elif wanted.share is not None and (
            wanted.agg != "count" or wanted.field is not None or wanted.scale is not None
        ):
            yield f"also.{name}", "is a share: of this agg, field and scale would be ignored.", "Take these away."
        elif wanted.clock is not None and kpi.duration is None:
            yield f"also.{name}.clock", "would be ignored: only a duration has a clock.", "Take it away."
        elif wanted.part != "value" and (wanted.kpi is None or wanted.by is not None):
            yield f"also.{name}.part", "would be ignored: it is a part of another KPI.", 'Add kpi = "NAME".'


def _beyond(kpi: Kpi, wanted: Also) -> str:
    """Why a figure cannot be made beside the ways to count that are their own; empty where it can."""
    if wanted.kpi is not None or wanted.by is not None or wanted.excluded is not None or wanted.own:
        return ""
    if kpi.retain is not None:
        if wanted.agg == "sum" and not (wanted.where or wanted.share or wanted.clock or wanted.scale is not None):
            return ""
        return "beside retain stands what came in and went, its share of a sum (agg, field), and figures of other KPIs"
    if kpi.filled is not None and (wanted.agg != "count" or wanted.share is not None):
        return "beside filled rows are only counted"
    return ""


def _unmade(kpi: Kpi, wanted: Also) -> str:
    """Why an aggregate beside the value has nothing to be made of; empty where it has."""
    if wanted.agg == "count" or wanted.kpi is not None or wanted.by is not None or wanted.excluded is not None:
        return ""
    has_values = kpi.duration is not None or kpi.per is not None
    if wanted.field is not None or wanted.share is not None or has_values:
        return ""
    if kpi.of is None:
        return "this KPI has no rows of its own"
    if kpi.field is None or is_two_sided(kpi):
        return "it needs a field, and this KPI counts rows"
    return ""

"""Which parameters a KPI knows, and whether what is given them will do; what it does not know is refused by name."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from scorecards.checks import Problem
from scorecards.conditions import columns_of
from scorecards.definition import Kpi, laid_out, substituted
from scorecards.takes import Takes, near

_ANY = Takes()
_KNOWN: Mapping[str, Takes] = {
    "customer_model": Takes(one_of=("contractual", "repurchase")),
    "lookback_days": Takes(kind="days or none"),
    "purchases": Takes(some_of=("deals", "orders")),
    "units": Takes(one_of=("deals", "orders")),
    "pipeline": Takes(kind="text"),
    "placeholders": Takes(kind="texts"),
    "compare": Takes(one_of=("auto", "previous", "previous_period", "year_ago")),
    "like_for_like": Takes(kind="flag"),
    "coverage_min": Takes(kind="share"),
    "unanswered_max": Takes(kind="share"),
}


def parameters_of(kpi: Kpi, kpis: Mapping[str, Kpi]) -> dict[str, Takes]:
    """The parameters a KPI knows with what each takes: its own, its hidden parts', and those it is computed by."""
    found = {name: _KNOWN[name] for name in _computed_by(kpi)}
    for part in _parts(kpi, kpis):
        declared = {name: _KNOWN.get(name, _ANY) for name in part.template.get("params", {})} | part.takes
        found |= {name: declared[name] for name in part.template.get("params", {})}
    if not kpi.builtin:
        found |= dict.fromkeys(_named(kpi.params, {**kpi.template, "params": None}), _ANY)
        found |= dict.fromkeys((said.removeprefix("params.") for said in kpi.configured_by if "params." in said), _ANY)
    return found | kpi.takes


def problems(kpi: Kpi, given: Mapping[str, Any], kpis: Mapping[str, Kpi], tables: Iterable[str]) -> Iterator[Problem]:
    """What is wrong with the parameters `given` to a KPI: (name, what, mend) of each. `tables`: those there are."""
    known = parameters_of(kpi, kpis)
    for name, value in given.items():
        if name not in known:
            mend = f"It knows {', '.join(sorted(known))}." if known else "It knows none: take params away."
            yield name, "there is no such parameter", " ".join(filter(None, (near(name, tuple(known)), mend)))
        elif not _is_default(kpi, name, value) and (refused := known[name].refusal(value)):
            yield name, *refused
        elif known[name].kind == "table" and value not in (names := tuple(tables)):
            yield name, f"no table is called {value!r}", near(value, names) or f"Tables are {', '.join(names)}."
        elif name in kpi.takes and not _is_used(kpi, name, given):
            yield name, "has no effect beside the other parameters", "Take it away."


def lacking(kpi: Kpi, given: Mapping[str, Any]) -> tuple[str, ...]:
    """The parameters a built-in must be given when it is laid out by those `given`: nothing says them otherwise."""
    template = {**kpi.template, "params": {**kpi.template.get("params", {}), **given}}
    table = laid_out(template)
    named = _named(kpi.takes, {**table, "params": None, "takes": None})
    return tuple(name for name in named if name not in table["params"])


def _is_used(kpi: Kpi, name: str, given: Mapping[str, Any]) -> bool:
    """Would another value of a parameter make another KPI, the rest being as given?"""
    takes = kpi.takes[name]
    others = (True, False) if takes.kind == "flag" else takes.one_of or ("\0", "\0\0")
    made = []
    for other in others:
        params = {**kpi.template.get("params", {}), **given, name: other}
        table = substituted({**kpi.template, "params": params})
        made.append({key: value for key, value in table.items() if key != "params"})
    return any(table != made[0] for table in made[1:])


def filled_by(kpi: Kpi, slot: str, given: Mapping[str, Any]) -> str:
    """The parameter among those `given` that fills a slot of a built-in; empty where none does."""
    template = kpi.template
    variants = [table for choices in template.get("variants", {}).values() for table in choices.values()]
    return next(iter(_named(given, [table.get(slot) for table in (template, *variants)])), "")


def _is_default(kpi: Kpi, name: str, value: Any) -> bool:
    """What the catalogue says itself will do, such as "" for what nobody has set."""
    own = kpi.template.get("params", {}).get(name) if kpi.builtin else None
    return type(value) is type(own) and value == own


def _computed_by(kpi: Kpi) -> Iterator[str]:
    """Parameters the engine itself looks at, whoever wrote the KPI."""
    filters = (kpi.where, kpi.share or {}, *kpi.out.values())
    if kpi.of == "customer_spans" or any("was_customer" in columns_of(one) for one in filters):
        yield from ("customer_model", "lookback_days", "purchases")
    if kpi.of == "purchases":
        yield "purchases"
    if kpi.of == "units_sold":
        yield "units"
    if kpi.of == "funnel_steps":
        yield "pipeline"
    if kpi.filled is not None:
        yield "placeholders"
    suffixes = {operand.partition(".")[2] for operand in kpi.operands}
    if suffixes & {"base", "change"}:
        yield "compare"
    if suffixes & {"base", "change", "previous"}:
        yield "like_for_like"
    if kpi.of is not None:
        yield "coverage_min"
    if "unanswered" in kpi.also:
        yield "unanswered_max"


def _parts(kpi: Kpi, kpis: Mapping[str, Kpi]) -> Iterator[Kpi]:
    """The hidden KPIs it is made of or shows: these take its parameters."""
    also = kpi.also.values() if isinstance(kpi.also, dict) else ()
    names = [*kpi.operands, *(one.kpi for one in also if one.kpi)]
    for choices in kpi.template.get("variants", {}).values():
        sides = [side for table in choices.values() for side in (table.get("ratio") or {}).values()]
        names += [side for side in sides if isinstance(side, str)]
    listed = (kpi.template.get("action") or {}).get("kpi", ())
    names += [listed] if isinstance(listed, str) else listed
    for said in dict.fromkeys(name.partition(".")[0] for name in names):
        if said in kpis and kpis[said].hidden:
            yield kpis[said]


def _named(names: Iterable[str], value: Any) -> list[str]:
    """Those of the names that stand anywhere in a table as a parameter: "$name", alone or within a text."""
    texts = list(_texts(value))
    return [name for name in names if any(f"${name}" in text for text in texts)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str) and "$" in value:
        yield value

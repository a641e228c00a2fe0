"""Writes docs/kpis.md from the catalogue, its examples computed by the engine: `python -m tests.kpis_page`."""

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from scorecards.catalogue import BUILTINS
from scorecards.checks.parameters import parameters_of
from scorecards.compiler import Compiler
from scorecards.definition import Kpi, override
from scorecards.evaluate import Evaluator
from scorecards.figures import n_min
from scorecards.needs import NOTED, how_to_map
from scorecards.reading import unit_of
from scorecards.render.format import get
from scorecards.render.written import written_value
from scorecards.split import usual_splits
from scorecards.uses import tables_beside
from scorecards.values import KpiResult
from scorecards.wording import filters, formula
from syncagent import facts
from syncagent.computable import PERSPECTIVES
from syncagent.records import RECORD
from syncagent.schema import TABLES
from syncagent.store import open_cache
from tests.kpi_cases import canonical_rows, cases_of, evaluate_case, kpi_of, reporting_of, span_of
from tests.unit.facts.frame import REPORTING

PAGE = Path(__file__).parents[1] / "docs" / "kpis.md"
CASES = Path(__file__).parent / "data" / "kpi-cases"
#: An example of more rows than this is none.
MOST_ROWS = 28
_HEAD = """# The built-in KPIs

Every built-in: what it is made of, what it needs and where that is mapped, and an example. Made from the catalogue;
`python -m tests.kpis_page` writes it anew. [definitions.md](definitions.md) has the conventions all of them follow,
[tables.md](tables.md) the tables and columns. `syncagent kpi list` says which of them your data can give,
`syncagent kpi explain NAME` shows the records behind a value.

The name is what a scorecard lists in `kpis`; `[kpi.NAME]` changes its parameters, target or period. What a parameter
may be stands behind it; what else is refused. Those that count rows also know `coverage_min`, the share of rows with a
value (0.9) below which a figure is partial. "×" and "÷" stand between figures, each computed by itself.
*Worth splitting by* are columns all the rows of a KPI have, as `by` and `kpi show --by` take them; say in `[dimension]`
which of yours means a team, a region or a group of customers.

- What several products hang on (a deal, an order, a customer) is of the product `(several)`: segments add up. Units
  sold are counted by line, each of its own product. A customer's product is what it had bought by the first day of the
  period, or when it became a customer if later.
- `churn_reason` is the loss reason of the last deal lost with a customer since it became one; `first_lead_source` the
  lead source of the first deal won with it. `new_or_returning` says whether a deal was won with the account on
  an earlier day; a lead of no account is new.
- Not held by any table, so nothing can be split by it: the competitor a deal was lost to, the campaign of a call or a
  one-to-one mail (campaign mails have `campaign_id`), how a survey was sent (its ticket's `touchpoint` is known), the
  product or team of a monthly cost. Where a field of your CRM holds one, map it and split by `custom.NAME`.

The examples are the engine's own: it was given the rows of the tables, and what stands below is what it answered.
"""
COMPILER = Compiler(REPORTING, as_of=0, today="2026-01-01", one_rate=lambda table: None)
_DIRECTIONS = {"up": "higher is better", "down": "lower is better", "neutral": "neither way is better"}
_ADDS = {
    "A": "adds up over segments and time",
    "S": "adds up over segments, not over time",
    "N": "worked out anew for every segment and period",
}
#: Parameters nearly every KPI knows.
_OF_MANY = {"coverage_min"}
_COMPARED = {"previous": "the period before", "year_ago": "a year ago", "month_ago": "a month ago"}
_UNITS = {"per_100": "per 100", "money": "money", "ratio": "%"}


def page() -> str:
    """The whole page as Markdown."""
    return page_of({kpi.id: entry(kpi) for kpi in _shown()})


def page_of(entries: Mapping[str, str]) -> str:
    """The page made of the entry of each KPI, by perspective and group."""
    parts = [_HEAD]
    for perspective in PERSPECTIVES:
        here = [kpi for kpi in _shown() if kpi.perspective == perspective]
        parts.append(f"\n## {perspective}\n")
        for group in dict.fromkeys(kpi.group for kpi in here):
            parts.append(f"\n### {group}\n")
            parts += [entries[kpi.id] for kpi in here if kpi.group == group]
    return "".join(parts)


def _shown() -> list[Kpi]:
    return [kpi for kpi in BUILTINS.values() if not kpi.hidden]


def entry(kpi: Kpi) -> str:
    """One KPI: its attributes as a list, and its example."""
    lines = "".join(f"- *{label}*: {text}\n" for label, text in _attributes(kpi) if text)
    return f"\n#### {kpi.name} (`{kpi.id}`)\n\n{kpi.about}\n\n{lines}{_example(kpi)}"


def _attributes(kpi: Kpi) -> Iterator[tuple[str, str]]:
    yield "Formula", formula(kpi, BUILTINS)
    yield "Counted", "; ".join(filters(kpi))
    yield "Reads as", f"{_unit(kpi)}, {_DIRECTIONS[kpi.direction or 'neutral']}; {_ADDS[kpi.additivity or 'N']}"
    yield "Too few below", f"{n_min(kpi)}" if n_min(kpi) > 1 else ""
    compared = f", compared with {' and '.join(_COMPARED[word] for word in kpi.compare)}" if kpi.compare else ""
    yield "Window", f"{_window(kpi)}{compared}"
    splits = usual_splits(kpi, BUILTINS, COMPILER.language, {})
    yield "Worth splitting by", ", ".join(f"`{name}`" for name in splits)
    yield "Parameters", "; ".join(_parameters(kpi))
    yield from _variants(kpi, kpi.template.get("variants", {}), {})
    yield "Beside it", ", ".join(f"`{name}`" for name in kpi.also)
    yield "Shown with", " or ".join(f"`{name}`" for name in kpi.partner)
    yield "Needs", re.sub(r"(\[+source\.NAME[\w.]*\]+)", r"`\1`", f"{kpi.needs}. {kpi.maps or _mapped(kpi)}")
    if kpi.action is not None:
        yield "Records to act on", kpi.action.label
    yield "Record", "; ".join(f"{field.replace('_', ' ')}: {said}" for field, said in _record(kpi))


def _variants(kpi: Kpi, variants: Mapping[str, Any], given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What a KPI is with each value of a parameter that makes another of it, beside the values `given`."""
    for param, choices in variants.items():
        for choice, changes in choices.items():
            said = {**given, param: choice}
            if "about" in changes:
                about = changes["about"] if choice == "*" else override(kpi, {"params": said}).about
                shown = ", ".join(f"{name} = {_toml(_flag(value))}" for name, value in said.items())
                yield f"With `{param}` set" if choice == "*" else f"With `{shown}`", str(about).replace("$", "")
            yield from _variants(kpi, changes.get("variants", {}), said)


def _flag(word: str) -> str | bool:
    return word == "true" if word in ("true", "false") else word


def _parameters(kpi: Kpi) -> Iterator[str]:
    """Each parameter with what it is and what else it may be."""
    known = parameters_of(kpi, BUILTINS)
    for name, value in kpi.params.items():
        yield f"`{name} = {_toml(value)}` ({known[name].in_words()})"
    for name in sorted(known.keys() - kpi.params.keys() - _OF_MANY):
        yield f"`{name}` ({known[name].in_words()})"


def _record(kpi: Kpi) -> Iterator[tuple[str, str]]:
    yield from ((field, str(getattr(kpi, field))) for field in RECORD if getattr(kpi, field))
    yield "aspect", str(kpi.aspect)


def _mapped(kpi: Kpi) -> str:
    if kpi.requires:
        return " ".join(dict.fromkeys(map(how_to_map, kpi.requires)))
    tables = sorted(_tables(kpi) & TABLES.keys())
    if not tables:
        return NOTED
    return how_to_map(tables[0]) if len(tables) == 1 else f"Tables: {', '.join(f'`{name}`' for name in tables)}."


def _tables(kpi: Kpi) -> set[str]:
    parts = [_tables(BUILTINS[name.partition(".")[0]]) for name in kpi.operands]
    own = {COMPILER.relation(kpi).needs_table} | tables_beside(kpi) if kpi.of is not None else set()
    return own.union(*parts)


def _unit(kpi: Kpi) -> str:
    unit = unit_of(kpi, BUILTINS, COMPILER)
    return _UNITS.get(unit, unit)


def _window(kpi: Kpi) -> str:
    if kpi.window is not None:
        return f"the {kpi.window // 86400} days before the end of the period"
    if kpi.stock is not None or kpi.filled is not None:
        return "as it stands at the end of the period"
    grain = kpi.period or kpi.usual_period
    mature = " that is old enough to be judged" if kpi.cohort is not None or kpi.mature is not None else ""
    return f"the last complete {grain}{mature}"


# --- the examples -----------------------------------------------------------------------------------------------------


def example_of(kpi: Kpi) -> Mapping[str, Any] | None:
    """The case that shows a KPI best: one marked so, else the smallest of the usual form that gives a value."""
    found = [case for case in _cases() if case["kpi"] == kpi.id and _size(case) <= MOST_ROWS]
    found = [case for case in found if case["expected"].get("value") or case.get("example")]
    return min(found, key=lambda case: _rank(kpi, case), default=None)


@cache
def _cases() -> Sequence[Mapping[str, Any]]:
    return cases_of(CASES)


def _rank(kpi: Kpi, case: Mapping[str, Any]) -> tuple[Any, ...]:
    changed = [
        name
        for name in kpi.template.get("variants", {})
        if case["config"].get(name, kpi.params.get(name)) != kpi.params.get(name)
    ]
    return (
        not case.get("example"),
        bool(changed),
        case["expected"].get("status") != "ok",
        _size(case) < 3,
        _size(case),
        case["id"],
    )


def _size(case: Mapping[str, Any]) -> int:
    return sum(map(len, case["rows"].values()))


def computed(case: Mapping[str, Any]) -> tuple[KpiResult, Mapping[str, Any]]:
    """What the engine says of a case, and how it explains that."""
    with tempfile.TemporaryDirectory() as folder:
        conn = open_cache(Path(folder))
        try:
            reporting = reporting_of(case)
            for table, row in canonical_rows(case, reporting.currency):
                columns, marks = ", ".join(row), ", ".join("?" * len(row))
                conn.execute(f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})", tuple(row.values()))
            facts.refresh(conn, reporting)
            result = evaluate_case(conn, case, reporting)
            kpi = kpi_of(case)
            evaluator = Evaluator(conn, {**BUILTINS, kpi.id: kpi}, reporting, as_of=result.as_of)
            return result, evaluator.explain(kpi, period=span_of(case))
        finally:
            conn.close()


def _example(kpi: Kpi) -> str:
    case = example_of(kpi)
    if case is None:
        return ""
    result, told = computed(case)
    tables = "".join(f"\n{_table(name, rows)}" for name, rows in case["rows"].items() if rows)
    asked = [f"{name} = {_toml(value)}" for name, value in case["config"].items() if not isinstance(value, dict)]
    window = case["window"]
    period = f"`--period {window['start']}..{window['end']}` " if window else ""
    settings = f" with `{'`, `'.join(asked)}`" if asked else ""
    return (
        f"\n<details><summary>Example: {_answer(case, result)}</summary>\n{tables}\n"
        f"{period}`--as-of {case['as_of']}` in {case['timezone']}{settings}: **{_answer(case, result)}**"
        f"{_sides(result)}. {case['why']}\n\n{_parts(told)}\n\n</details>\n"
    )


def _answer(case: Mapping[str, Any], result: KpiResult) -> str:
    reporting = reporting_of(case)
    written = written_value(result, get("en-GB", reporting.currency, reporting.timezone))
    return (written or result.status.replace("_", " ")).replace("\u00a0", " ").replace("\u202f", " ")


def _sides(result: KpiResult) -> str:
    said = []
    if result.denominator is not None:
        said.append(f"{_number(result.numerator)} over {_number(result.denominator)}")
    said.append(f"n = {result.n}")
    if result.status != "ok":
        said.append(f"{result.status.replace('_', ' ')}: {result.reason}")
    said += [f"`{name}` {_number(value)}" for name, value in result.details.items() if isinstance(value, int) and value]
    return f" ({'; '.join(said)})"


def _parts(told: Mapping[str, Any]) -> str:
    """The records by the part they play, those of each KPI it is made of apart."""
    if "of" in told:
        return "  \n".join(
            f"{one['kpi']} {one['period']} = {_number(one['value'])}: {_parts(one)}" for one in told["of"]
        )
    is_shared = any(record["role"] in ("both", "denominator") for record in told["records"])
    words = {
        "both": "on both sides",
        "denominator": "below the line only",
        "numerator": "counted",
        "excluded": "left out",
    }
    said = []
    for role, word in words.items():
        here = [_record_of(record, is_shared) for record in told["records"] if record["role"] == role]
        if here:
            said.append(f"{word} {', '.join(here)}")
    return "; ".join(said) or "no record"


def _record_of(record: Mapping[str, Any], is_shared: bool) -> str:
    if record["reason"]:
        return f"`{record['id']}` ({record['reason']})"
    measure = record.get("measure")
    weighs = isinstance(measure, int | float) and (measure != 1 or is_shared)
    return f"`{record['id']}` ({_number(measure)})" if weighs else f"`{record['id']}`"


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    columns = [
        column
        for column in dict.fromkeys(column for row in rows for column in row)
        if any(row.get(column) not in (None, 0) for row in rows)
    ]
    head = f"| {name}: {' | '.join(columns)} |\n|{'---|' * len(columns)}\n"
    return head + "".join(f"| {' | '.join(_cell(row.get(column)) for column in columns)} |\n" for row in rows)


def _cell(value: Any) -> str:
    return "" if value is None else str(value).replace("|", "\\|")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{round(value, 6):,.10g}" if not float(value).is_integer() else f"{value:,.0f}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f" {key} = {_toml(item)}" for key, item in value.items()) + " }" if value else "{}"
    return str(value)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

"""Behind a number: every record that makes it, with the part it plays, and the filters in words."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from scorecards.bridges import bridge_of, has_bridge
from scorecards.change import all_drivers
from scorecards.definition import Kpi
from scorecards.errors import ScorecardError
from scorecards.figures import is_two_sided, scaled
from scorecards.periods import Slice
from scorecards.plan import Plan
from scorecards.ratios import Part, parts_of
from scorecards.tally import number, records
from scorecards.wording import filters, formula

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator

_REASONS = {
    "null": "needs a value",
    "no_fx": "no exchange rate",
    "open": "not finished",
    "negative": "ends before it begins",
    "immature": "too young to be judged",
    "pending": "not due yet",
    "void": "ended before it was due",
    "new": "new in the period",
    "reactivated": "came back in the period",
}
#: So many ids are looked up at once.
_AT_ONCE = 500


def explained(evaluator: "Evaluator", kpi: Kpi, slice_: Slice) -> dict[str, Any]:
    """`kpi explain`: the filters in words, the statement, its values, and every record with its part in it.

    Of what is made of other KPIs `parts` gives each of their values, `of` each of them explained, and `records` theirs.
    """
    figure = evaluator.figures(kpi, [slice_])[0]
    found: dict[str, Any] = {
        "kpi": kpi.id,
        "value": figure.value,
        "status": figure.status,
        "reason": figure.reason,
        "formula": formula(kpi, evaluator.kpis),
        "filters": filters(kpi),
        "sql": kpi.sql or "",
        "parameters": dict(kpi.params),
        "records": [],
        "sources": [],
    }
    if kpi.operands:
        return found | _of_parts(evaluator, kpi, slice_)
    if kpi.sql is not None:
        found["parameters"] |= evaluator.asked.values(slice_)
        found["records"] = evaluator.asked.records(kpi, slice_)
        return found
    rows = evaluator.rows(kpi, movements=True)
    found["sql"] = " ".join(rows.sql.split())
    found["parameters"] |= rows.of(slice_)
    found["records"] = [_record(kpi, row) for row in records(evaluator.conn, rows, slice_)]
    urls = _urls(evaluator, kpi, {record["id"] for record in found["records"]})
    for record in found["records"]:
        record["url"] = urls.get(record["id"])
    return found


def moved(evaluator: "Evaluator", kpi: Kpi, chosen: Plan) -> dict[str, Any]:
    """What moved the value, each part with its exact sum: `drivers` of the change, `bridge` of a stock; else None.

    `left_out` says why one of them is not there, where its sums were not exact.
    """
    found: dict[str, Any] = {"drivers": None, "bridge": None, "left_out": {}}
    ways: dict[str, Callable[[], dict[str, Any] | None]] = {"drivers": lambda: all_drivers(evaluator, kpi, chosen)}
    if has_bridge(kpi):
        ways["bridge"] = lambda: bridge_of(evaluator, kpi, chosen.main)
    for what, way in ways.items():
        try:
            found[what] = way()
        except ScorecardError as error:
            found["left_out"][what] = str(error)
    return found


def _of_parts(evaluator: "Evaluator", kpi: Kpi, slice_: Slice) -> dict[str, Any]:
    """What a ratio or a sum is made of: each part's value, every KPI asked explained, and their records together."""
    parts = parts_of(evaluator, kpi, slice_)
    asked = dict.fromkeys((side.id, over) for part in parts for side, over in part.sides)
    kpis = {side.id: side for part in parts for side, _ in part.sides}
    of = {}
    for name, over in asked:
        of[name, over] = explained(evaluator, kpis[name], over) | {"period": f"{over.day_start}..{over.day_end}"}
    found = []
    for (name, over), told in of.items():
        here = [part for part in parts if any((side.id, at) == (name, over) for side, at in part.sides)]
        found += [_in_part(record, told, _role(kpi, here)) for record in told["records"]]
    return {
        "filters": list(dict.fromkeys(f"{told['kpi']}: {text}" for told in of.values() for text in told["filters"])),
        "sql": ";\n".join(f"-- {told['kpi']} {told['period']}\n{told['sql']}" for told in of.values()),
        "parts": [
            {
                "part": part.said,
                "side": "numerator" if part.is_top or kpi.calc is not None else "denominator",
                "sign": 1 if part.is_top or kpi.ratio is not None else -1,
                "value": part.value,
            }
            for part in parts
        ],
        "of": list(of.values()),
        "records": found,
    }


def _role(kpi: Kpi, parts: Collection[Part]) -> str:
    """Where the records of what these parts are made of stand: above the line, below it, on both sides of it."""
    if kpi.calc is not None:
        return "numerator"  # a sum has no line; `parts` says what is taken away
    sides = {part.is_top for part in parts}
    return "both" if len(sides) > 1 else "numerator" if True in sides else "denominator"


def _in_part(record: Mapping[str, Any], told: Mapping[str, Any], role: str) -> dict[str, Any]:
    """A record of a part: left out of the part it is left out of the whole."""
    role = "excluded" if record["role"] == "excluded" else role
    return {**record, "role": role, "kpi": told["kpi"], "period": told["period"]}


def _record(kpi: Kpi, row: Mapping[str, Any]) -> dict[str, Any]:
    """One row of the statement: its part, and what it weighs where that is more than 1."""
    two_sided = is_two_sided(kpi) and kpi.filled is None
    is_lost = kpi.retain is not None and kpi.retain.headline == "lost"
    if row["why"] is not None:
        role = "excluded"
    elif not two_sided:
        role = "both" if kpi.filled is not None else "numerator"
    else:
        role = "both" if bool(row["hit"]) != is_lost else "denominator"
    reason = _REASONS.get(row["why"], row["why"].replace("_", " ")) if row["why"] else None
    record: dict[str, Any] = {"id": row["id"], "url": None, "role": role, "reason": reason}
    if not two_sided or kpi.weight != "count":
        record["measure"] = measured(kpi, row)
    if kpi.filled is not None:
        record["required"] = row["y"]
    for name in ("day", "key"):
        if name in row:
            record[name] = row[name]
    return record


def measured(kpi: Kpi, row: Mapping[str, Any]) -> Any:
    """A record's part in the value, in the value's own unit: converted money, answers on their scale."""
    if row["x"] is None or isinstance(row["x"], str):
        return row["x"]
    return scaled(kpi, row["x"] if row["rate"] is None else number(Decimal(row["x"]) * Decimal(row["rate"])))


def _urls(evaluator: "Evaluator", kpi: Kpi, ids: Collection[str]) -> Mapping[str, str]:
    """Where a person finds each record: ids of a relation may be those of several tables, or of another one."""
    relation = evaluator.compiler.relation(kpi, evaluator.customer_model(kpi))
    likely = ["accounts"] if kpi.retain is not None else [relation.records, relation.needs_table]
    found: dict[str, str] = {}
    for table in dict.fromkeys([*likely, *sorted(evaluator.tables(kpi)), *evaluator.reporting.tables]):
        if not (missing := [id_ for id_ in ids if id_ not in found]):
            break
        found |= dict(_urls_in(evaluator, table, missing))
    return found


def _urls_in(evaluator: "Evaluator", table: str | None, ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    if table is None or "url" not in evaluator.reporting.tables.get(table, {}):
        return
    for first in range(0, len(ids), _AT_ONCE):
        some = ids[first : first + _AT_ONCE]
        statement = f"SELECT id, url FROM {table} WHERE url IS NOT NULL AND id IN ({', '.join('?' * len(some))})"
        yield from evaluator.conn.execute(statement, some)

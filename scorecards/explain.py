"""Behind a number: every record that makes it, with the part it plays, and the filters in words."""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from scorecards.actions import in_time
from scorecards.conditions import in_words
from scorecards.definition import Kpi
from scorecards.figures import is_two_sided, scaled
from scorecards.periods import Slice
from scorecards.ratios import sides_of
from scorecards.tally import number, records

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


def explained(evaluator: "Evaluator", kpi: Kpi, slice_: Slice) -> dict[str, Any]:
    """`kpi explain`: the filters in words, the statement, its values, and every record with its part in it."""
    figure = evaluator.figures(kpi, [slice_])[0]
    found: dict[str, Any] = {
        "kpi": kpi.id,
        "value": figure.value,
        "status": figure.status,
        "filters": words(kpi),
        "sql": kpi.sql or "",
        "parameters": dict(kpi.params),
        "records": [],
        "sources": [],
    }
    if kpi.operands:
        found["of"] = [
            explained(evaluator, evaluator.part(kpi, name), side) | {"period": f"{side.day_start}..{side.day_end}"}
            for name, side in sides_of(evaluator, kpi, slice_)
        ]
        return found
    if kpi.sql is not None:
        return found
    rows = evaluator.rows(kpi, movements=True)
    relation = evaluator.compiler.relation(kpi, evaluator.customer_model(kpi))
    table = "accounts" if relation.name == "customer_spans" else relation.base or relation.needs_table
    urls = dict(evaluator.conn.execute(f"SELECT id, url FROM {table} WHERE url IS NOT NULL").fetchall())
    found["sql"] = " ".join(rows.sql.split())
    found["parameters"] |= rows.of(slice_)
    two_sided = is_two_sided(kpi) and kpi.filled is None
    is_lost = kpi.retain is not None and kpi.retain.headline == "lost"
    for row in records(evaluator.conn, rows, slice_):
        if row["why"] is not None:
            role = "excluded"
        elif not two_sided:
            role = "both" if kpi.filled is not None else "numerator"
        else:
            role = "both" if bool(row["hit"]) != is_lost else "denominator"
        reason = _REASONS.get(row["why"], row["why"].replace("_", " ")) if row["why"] else None
        record = {"id": row["id"], "url": urls.get(row["id"]), "role": role, "reason": reason}
        if not two_sided or kpi.weight != "count":
            record["measure"] = _measured(kpi, row)
        if kpi.filled is not None:
            record["required"] = row["y"]
        found["records"].append(record)
    return found


def _measured(kpi: Kpi, row: Mapping[str, Any]) -> Any:
    """A record's part in the value, in the value's own unit: converted money, answers on their scale."""
    if row["x"] is None or isinstance(row["x"], str):
        return row["x"]
    return scaled(kpi, row["x"] if row["rate"] is None else number(Decimal(row["x"]) * Decimal(row["rate"])))


def words(kpi: Kpi) -> list[str]:
    """What is counted and how it is narrowed, as short phrases."""
    said = [f"{kpi.agg} of {kpi.field.replace('_', ' ')}" if kpi.field else kpi.agg]
    if kpi.of:
        said.append(f"over {kpi.of.replace('_', ' ')} that are not deleted, merged, duplicates or tests")
    said += in_words(kpi.where)
    if kpi.date:
        said.append(f"placed by {kpi.date.replace('_', ' ')}")
    if kpi.share:
        said.append(f"counted on top: {' and '.join(in_words(kpi.share))}")
    if kpi.cohort:
        said.append(f"reaching {kpi.cohort.reaches.replace('_', ' ')} within {kpi.cohort.within // 86400} days")
    if kpi.cohort and kpi.cohort.or_:
        said.append(f"or at once: {' and '.join(in_words(kpi.cohort.or_))}")
    if kpi.deadline:
        limit = kpi.deadline
        began = f"by {limit.due}" if limit.due else f"in time from {limit.from_}, {limit.clock} clock"
        said.append(f"{limit.to} {began}".replace("_", " "))
    said += [f"left out as {name}: {' and '.join(in_words(only))}".replace("_", " ") for name, only in kpi.out.items()]
    for name, chosen in (("latest", kpi.latest_per), ("first", kpi.first_per)):
        if chosen:
            said.append(f"the {name} of each {' and '.join(chosen)}".replace("_", " "))
    if kpi.unless:
        said.append(f"without {kpi.unless.reaches.replace('_', ' ')} within {kpi.unless.within // 86400} days")
    if kpi.duration:
        slot = kpi.duration
        said.append(f"time from {slot.from_} to {slot.to}, {slot.clock} clock".replace("_", " "))
        if slot.within is not None:
            said.append(f"ends within {in_time(slot.within)}")
    if kpi.ratio:
        said = [f"{' times '.join(kpi.ratio.tops)} over {' times '.join(kpi.ratio.bottoms)}"]
    if kpi.calc:
        said = [" less ".join([" plus ".join(kpi.calc.plus), *kpi.calc.minus])]
    if kpi.sql:
        said = ["as the statement says"]
    return said

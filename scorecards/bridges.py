"""What moved a number: the bridge of a stock, the movements of customers."""

from dataclasses import replace
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from scorecards.balance import balance
from scorecards.crms import between_crms
from scorecards.definition import Kpi
from scorecards.drivers import decimal_of
from scorecards.errors import ScorecardError
from scorecards.figures import is_two_sided
from scorecards.periods import Slice
from scorecards.tally import Tally, number, records, together

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator

#: The words of a bridge in their order; states records leave for (won, lost, closed) stand where they come up.
_FIRST = ("created", "came_in", "reopened", "moved_in", "increased", "decreased")
_LAST = ("moved_out", "left", "rates")
#: Ids named of the records at the end.
_IDS = 200


def extras(evaluator: "Evaluator", kpi: Kpi, slice_: Slice, tally: Tally) -> dict[str, Any]:
    """Figures that belong to one form or relation: bridges of stocks, movements of customers, linked pairs."""
    if kpi.retain is not None:
        rows = evaluator.rows(kpi, movements=True)
        moved = together(evaluator.parts(kpi, rows, [slice_], singly=False)[0]).excluded
        return {
            "retention": tally.hits / tally.n if tally.n else None,
            "attrition": (tally.n - tally.hits) / tally.n if tally.n else None,
            "active_end": tally.hits + moved.get("new", 0) + moved.get("reactivated", 0),
            "new": moved.get("new", 0),
            "reactivated": moved.get("reactivated", 0),
        }
    if kpi.filled is not None:
        return {"fully_complete": tally.hits / tally.n if tally.n else None}
    found = between_crms(evaluator, kpi, slice_)
    bridge = None
    if has_bridge(kpi):
        try:
            bridge = bridge_of(evaluator, kpi, slice_)
        except ScorecardError as error:  # one that does not balance is not shown; the value stands
            found["left_out"] = {"bridge": str(error)}
    if bridge is not None:
        found["bridge"] = bridge
    if kpi.of == "tickets" and kpi.stock is not None and kpi.share is None and kpi.agg == "count":
        if bridge is not None:
            found |= {word: bridge.get(word, 0) for word in ("opening", "created", "closed", "reopened")}
            found["closed"] = -found["closed"]
        listed = evaluator.answers.listed(evaluator.rows(kpi), slice_, only="1", order="id", limit=_IDS)
        found["ids"] = sorted(row["id"] for row in listed)
    return found


def has_bridge(kpi: Kpi) -> bool:
    """Is it a stock of earlier instants too, whose records add up to it?"""
    return (
        kpi.stock is not None
        and not kpi.is_only_now
        and not is_two_sided(kpi)
        and kpi.agg in ("count", "sum")
        and not (kpi.latest_per or kpi.first_per or kpi.per or kpi.per_distinct or kpi.duration)
    )


def bridge_of(evaluator: "Evaluator", kpi: Kpi, slice_: Slice) -> dict[str, float | int] | None:
    """opening, what came and went during the slice, signed and by word, closing; they add up to the closing.

    A record that came and went within the slice is in both. Money is converted at the rates of the closing day; what
    that alone makes of the opening is `rates`. None where one of both ends has no value, or a condition looks at the
    instant itself, so that records come and go without a change. ScorecardError where it does not add up.
    """
    start = replace(slice_, at=slice_.since, at_day=slice_.day_start)
    first, last = evaluator.figures(kpi, [start, slice_])
    opening, closing = first.value, last.value
    if opening is None or closing is None:
        return None
    relation = evaluator.compiler.relation(kpi, evaluator.customer_model(kpi))

    def moved() -> dict[str, Any]:
        of_versions = relation.versioned
        moves, many = _of_versions(evaluator, kpi, slice_) if of_versions else _of_rows(evaluator, kpi, start, slice_)
        return {"moves": [(word, str(amount)) for word, amount in moves.items()], "many": many}

    rows = evaluator.rows(kpi)
    # Of versions that are in the stock at neither end nobody noted what they compare with as_of.
    lasts = rows.rests is not None and not rows.rests.turns
    said = evaluator.answers.recalled(rows, slice_, f"moves {kpi.agg} {kpi.scale}", moved) if lasts else moved()
    moves, many = {word: Decimal(amount) for word, amount in said["moves"]}, said["many"]
    if many is not None and many != first.n:
        return None
    rates = Decimal(0) if many is None else moves.pop("", Decimal(0)) - decimal_of(opening)
    if abs(rates) > Decimal("1e-9") * max(Decimal(1), abs(decimal_of(opening))):
        if not evaluator.rows(kpi).rated:
            return None
        moves["rates"] = rates
    words = [*_FIRST, *sorted(moves.keys() - {*_FIRST, *_LAST}), *_LAST]
    came = {word: moves[word] for word in words if moves.get(word)}
    made = balance(opening, came, closing)
    return {"opening": opening, **{word: number(amount) for word, amount in made.moves}, "closing": closing}


def _of_versions(evaluator: "Evaluator", kpi: Kpi, slice_: Slice) -> tuple[dict[str, Decimal], int | None]:
    """Moves by word, and under "" what there was at the start, of how many: from the versions that are in the stock.

    None for how many where those that stay all along were left out, for they weigh the same at both ends.
    """
    found: dict[str, Decimal] = {}
    many = 0

    def add(word: str, amount: Decimal) -> None:
        found[word] = found.get(word, Decimal(0)) + amount

    order = "id, begins, ends"
    rows = evaluator.rows(kpi, moving=True)
    for _, group in groupby(records(evaluator.conn, rows, slice_, order=order), itemgetter("id")):
        versions = list(group)
        for place, version in enumerate(versions):
            amount = _amount(kpi, version)
            before = versions[place - 1] if place else None
            after = versions[place + 1] if place + 1 < len(versions) else None
            state_before, state_after = version["came_from"], version["went_to"]
            if before is not None and _follows(version, before):
                change = amount - _amount(kpi, before)
                add("increased" if change > 0 else "decreased", change)
            elif version["begins"] < slice_.since:
                add("", amount)
                many += version["why"] is None
            elif state_before is None:
                add("created", amount)
            else:
                add("reopened" if state_before != version["state"] else "moved_in", amount)
            goes_on = after is not None and _follows(after, version)
            if version["ends"] < slice_.at and not goes_on:
                add(state_after if state_after and state_after != version["state"] else "moved_out", -amount)
    if rows.stays_out:
        found.pop("", None)
        return found, None
    return found, many


def _of_rows(evaluator: "Evaluator", kpi: Kpi, start: Slice, end: Slice) -> tuple[dict[str, Decimal], int]:
    """The same of records without versions, from those that are in the stock at both ends."""
    sides: list[dict[str, Decimal]] = []
    many = 0
    for slice_ in (start, end):
        held: dict[str, Decimal] = {}
        for row in records(evaluator.conn, evaluator.rows(kpi), slice_):
            held[row["id"]] = held.get(row["id"], Decimal(0)) + _amount(kpi, row)
            many += slice_ is start and row["why"] is None
        sides.append(held)
    before, now = sides
    changes = {id_: now.get(id_, Decimal(0)) - before.get(id_, Decimal(0)) for id_ in {*before, *now}}
    found = {"": sum(before.values(), Decimal(0))}
    for id_, change in changes.items():
        stayed = "increased" if change > 0 else "decreased"
        word = "came_in" if id_ not in before else "left" if id_ not in now else stayed
        found[word] = found.get(word, Decimal(0)) + change
    return found, many


def _amount(kpi: Kpi, row: dict[str, Any]) -> Decimal:
    """What a record adds to the stock; nothing where it is left out for want of a value."""
    if row["why"] is not None:
        return Decimal(0)
    if kpi.agg == "count":
        return Decimal(1)
    amount = decimal_of(row["x"]) * (Decimal(row["rate"]) if row["rate"] is not None else 1)
    return amount if kpi.scale is None else amount * decimal_of(kpi.scale)


def _follows(version: dict[str, Any], before: dict[str, Any]) -> bool:
    """Does one version of a record follow the other, with none between them, were it for no second?"""
    return bool(before["ends"] == version["begins"] and before["state"] == version["came_from"])

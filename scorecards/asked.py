"""KPIs that an admin's own SELECT answers: their figures, segments and records, from one run for all periods."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scorecards.definition import Kpi
from scorecards.figures import Figure
from scorecards.periods import Slice
from scorecards.sqlslot import Answer, SqlSlotError, ask
from scorecards.values import SegmentValue, instant_of

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator


class Asked:
    """What statements answered at one as_of; a period is asked for once."""

    def __init__(self, evaluator: "Evaluator") -> None:
        self._evaluator = evaluator
        self._known: dict[tuple[str, Slice], list[Answer]] = {}

    def figures(self, kpi: Kpi, slices: Sequence[Slice]) -> list[Figure]:
        """The total of each slice. Raises SqlSlotError."""
        return [_total(rows) for rows in self._rows(kpi, slices)]

    def segments(self, kpi: Kpi, slice_: Slice) -> list[SegmentValue]:
        """What the statement said of each segment. Raises SqlSlotError."""
        return [
            SegmentValue(
                row.segment,
                row.value,
                row.numerator,
                row.denominator,
                row.n,
                "ok" if row.value is not None else "no_denominator",
            )
            for row in self._rows(kpi, [slice_])[0]
            if row.segment is not None
        ]

    def records(self, kpi: Kpi, slice_: Slice) -> list[dict[str, Any]]:
        """The records the statement names, as `kpi explain` lists them. Raises SqlSlotError."""
        rows = [row for row in self._ask(kpi, [slice_], records=True)[0] if row.record_id is not None]
        urls = self._urls([row.record_id for row in rows if row.record_id is not None])
        return [
            {
                "id": row.record_id,
                "url": urls.get(row.record_id or ""),
                "role": _role(row),
                "reason": None,
                "measure": row.value,
            }
            for row in rows
        ]

    def values(self, slice_: Slice) -> dict[str, Any]:
        """What the statement sees as :start, :end and so on."""
        return {
            "start": instant_of(slice_.since),
            "end": instant_of(slice_.until),
            "start_date": slice_.day_start.isoformat(),
            "end_date": slice_.day_end.isoformat(),
            "as_of": instant_of(int(self._evaluator.as_of.timestamp())),
            "as_of_date": self._evaluator.today.isoformat(),
        }

    def _rows(self, kpi: Kpi, slices: Sequence[Slice]) -> list[list[Answer]]:
        assert kpi.sql is not None  # only called with one
        missing = [slice_ for slice_ in dict.fromkeys(slices) if (kpi.sql, slice_) not in self._known]
        if missing:
            for slice_, rows in zip(missing, self._ask(kpi, missing), strict=True):
                self._known[kpi.sql, slice_] = rows
        return [self._known[kpi.sql, slice_] for slice_ in slices]

    def _ask(self, kpi: Kpi, slices: Sequence[Slice], *, records: bool = False) -> list[list[Answer]]:
        evaluator = self._evaluator
        periods = [self.values(slice_) for slice_ in slices]
        try:
            return ask(evaluator.conn, kpi.sql or "", periods, evaluator.reporting, records=records)
        except SqlSlotError as error:
            raise SqlSlotError(f"sql of [kpi.{kpi.id}] {error}") from error

    def _urls(self, ids: Sequence[str]) -> Mapping[str, str]:
        found: dict[str, str] = {}
        by_table: dict[str, list[str]] = {}
        for id_ in ids:
            table = table_of(id_)
            if "url" in self._evaluator.reporting.tables.get(table, {}):
                by_table.setdefault(table, []).append(id_)
        for table, own in by_table.items():
            statement = f"SELECT id, url FROM {table} WHERE id = ? AND url IS NOT NULL"
            for id_ in own:
                found |= dict(self._evaluator.conn.execute(statement, (id_,)).fetchall())
        return found


def table_of(id_: str) -> str:
    """The table of a record's id, `NAME:table:source_id`; "" where it says none."""
    return id_.split(":")[1] if id_.count(":") >= 2 else ""


def _total(rows: Sequence[Answer]) -> Figure:
    for row in rows:
        if row.segment is None and row.record_id is None:
            status = "ok" if row.value is not None else "no_denominator"
            reason = None if row.value is not None else "the statement found nothing to count"
            return Figure(row.value, row.numerator, row.denominator, row.n or 0, status, reason)
    return Figure(None, None, None, 0, "no_denominator", "the statement returned no total")


def _role(row: Answer) -> str:
    """On which side of a rate a record counts; a statement that says no sides counts what it names."""
    if row.denominator is None:
        return "numerator"
    if not row.denominator:
        return "excluded"
    return "both" if row.numerator else "denominator"

"""A KPI at an instant: (read-only connection, Kpi, as_of) -> KpiResult, honest about what it rests on.

Reads no clock: everything follows from as_of and the rows known before it.
"""

import copy
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from scorecards import provenance, uses
from scorecards.actions import actions_of
from scorecards.answers import Answers
from scorecards.asked import Asked
from scorecards.beside import said_beside
from scorecards.change import with_drivers
from scorecards.compiler import Compiler, Rows
from scorecards.definition import Kpi, Reporting, override
from scorecards.details import details_of
from scorecards.earlier import with_earlier
from scorecards.errors import ScorecardError
from scorecards.exchange import rates_of
from scorecards.explain import explained, moved
from scorecards.figures import Figure, figure
from scorecards.functions import register
from scorecards.kept import Keeper
from scorecards.monthly import with_gaps
from scorecards.needs import before_history, lack_of, lack_of_rows, lack_of_settings
from scorecards.periods import Slice, Span, local_day
from scorecards.plan import Plan, plan
from scorecards.question import question_of
from scorecards.ratios import calc_figures, ratio_figures
from scorecards.reading import direction_of, is_money, stat_of, unit_of
from scorecards.retention import retained
from scorecards.segments import Split, segments_of
from scorecards.signal.history import newest_signal
from scorecards.slots import Granularity
from scorecards.tally import Tally, needs_values, together
from scorecards.targets.pace import Pledges
from scorecards.targets.result import against_target
from scorecards.told import Kept
from scorecards.values import SHOWN, Comparison, KpiResult, Point, instant, period_json
from scorecards.version import definition_of
from scorecards.wanted import Wanted


def evaluate(
    conn: sqlite3.Connection,
    kpi: Kpi,
    kpis: Mapping[str, Kpi],
    reporting: Reporting,
    *,
    as_of: datetime,
    period: Span | None = None,
    granularity: Granularity | None = None,
    by: Sequence[str] | None = None,
    max_age_s: float | None = None,
) -> KpiResult:
    """One KPI. Use an `Evaluator` for several at the same as_of. Never raises for what a KPI's data may hold."""
    evaluator = Evaluator(conn, kpis, reporting, as_of=as_of)
    return evaluator.evaluate(kpi, period=period, granularity=granularity, by=by, max_age_s=max_age_s)


class Evaluator:
    """Computes KPIs of one cache at one as_of; `kpis` are all KPIs by name, for ratios of them.

    `pledges` are the baselines and outcomes of targets that were kept; without them all are worked out anew.
    """

    def __init__(
        self,
        conn: sqlite3.Connection,
        kpis: Mapping[str, Kpi],
        reporting: Reporting,
        *,
        as_of: datetime,
        pledges: Pledges | None = None,
        keeper: Keeper | None = None,
        kept: Kept | None = None,
    ) -> None:
        """`keeper` gives the answers it has kept of complete periods, and is told of those that were computed.

        `kept` gives values as they were sent, of KPIs whose past cannot be computed; None: they are not asked for.
        """
        self.conn = conn
        self.kpis = kpis
        self.reporting = reporting
        self.as_of = as_of
        self.pledges = pledges or Pledges()
        self.kept = kept
        self.zone = ZoneInfo(reporting.timezone)
        self.today = local_day(as_of, self.zone)
        self.compiler = Compiler(
            reporting, as_of=int(as_of.timestamp()), today=self.today.isoformat(), one_rate=self.one_rate
        )
        self.rates = register(conn, reporting)
        self.asked = Asked(self)
        self.answers = Answers(conn, keeper)
        self._model: str | None = None
        self._are_whole: bool | None = None
        self._holds: dict[str, bool] = {}
        self._has: dict[tuple[Wanted, bool], bool] = {}
        self._one_rates: dict[str, str | None] = {}
        self._segment: tuple[Split, str] | None = None

    # -- the whole result -------------------------------------------------------------------------------------

    def explain(
        self, kpi: Kpi, *, period: Span | None = None, granularity: Granularity | None = None
    ) -> dict[str, Any]:
        """`kpi explain`: the records behind the number, with the part each plays in it."""
        chosen = plan(kpi, self.reporting, as_of=self.as_of, period=period, granularity=granularity)
        found = explained(self, kpi, chosen.main) | moved(self, kpi, chosen)
        shown = chosen.main.period(self.reporting.timezone) if chosen.shows_period else None
        found["period"] = period_json(shown)
        found["sources"] = [
            {"source": age.source, "synced_at": instant(age.synced_at) if age.synced_at else None}
            for age in provenance.freshness(self.conn, self.tables(kpi), self.reporting.sources)
        ]
        return found

    def evaluate(
        self,
        kpi: Kpi,
        *,
        period: Span | None = None,
        granularity: Granularity | None = None,
        by: Sequence[str] | None = None,
        max_age_s: float | None = None,
    ) -> KpiResult:
        """The KPI with comparisons, target, signal, series and segments; status error when it cannot be computed."""
        chosen = plan(kpi, self.reporting, as_of=self.as_of, period=period, granularity=granularity)
        try:
            result = self._result(kpi, chosen, by if by is not None else kpi.by, max_age_s)
            return result if period is not None else self._with_earlier(kpi, result, granularity)
        except (sqlite3.Error, ScorecardError, KeyError, ValueError) as error:
            said = f"no such column or KPI: {error}" if isinstance(error, KeyError) else str(error)
            blank = self._blank(kpi, chosen)
            return replace(blank, status="error", reason=f"could not be computed: {said}")

    def _with_earlier(self, kpi: Kpi, result: KpiResult, granularity: Granularity | None) -> KpiResult:
        """The result of what is known only as it is now, beside what was sent of it."""
        if self.kept is None:
            return result
        grain, definition = kpi.period or granularity or kpi.usual_period, definition_of(kpi, self.kpis, self.reporting)
        return with_earlier(kpi, result, grain, self.zone, definition=definition, kept=self.kept)

    def _blank(self, kpi: Kpi, chosen: Plan) -> KpiResult:
        zone = self.reporting.timezone
        return KpiResult(
            kpi=kpi.id,
            title=kpi.title,
            as_of=self.as_of,
            period=chosen.main.period(zone) if chosen.shows_period else None,
            value=None,
            unit=unit_of(kpi, self.kpis, self.compiler),
            status="no_data",
            about=kpi.about,
            direction=direction_of(kpi),
            perspective=kpi.perspective,
            group=kpi.group,
            stat=stat_of(kpi),
            clock=kpi.duration.clock if kpi.duration else "",
            scale=kpi.scale if kpi.unit == "score" else None,
            currency=self.reporting.currency if is_money(kpi, self.kpis, self.compiler) else None,
            shown_in="months" if kpi.format == "months" else "",
            granularity=chosen.granularity,
        )

    def _result(self, kpi: Kpi, chosen: Plan, by: Sequence[str], max_age_s: float | None) -> KpiResult:
        blank = self._blank(kpi, chosen)
        slices = chosen.slices()
        tallied = self._tallied(kpi, slices)
        made = None if tallied is None else [figure(kpi, tally) for tally in tallied]
        figures = dict(zip(slices, self._figures(kpi, slices, made), strict=True))
        main = figures[chosen.main]
        ages = provenance.freshness(self.conn, self.tables(kpi), self.reporting.sources)
        status, reason = main.status, main.reason
        if status in ("ok", "partial") and (late := provenance.late(ages, self.as_of, max_age_s)):
            status, reason = "stale", late
        value = main.value if status in SHOWN else None
        series = tuple(self._points(chosen, figures))
        comparisons = tuple(self._compared(chosen, figures, value))
        judged = value if status in ("ok", "partial") else None
        verdict = against_target(self, kpi, chosen, judged, is_stale=status == "stale")
        # Of what nobody knows no part is known either: no list of those who did not, no split.
        lack = lack_of(self, kpi) if status in ("no_data", "not_configured") else None
        is_known, reason = lack is None, reason if lack is None else lack.sentence
        details = details_of(self, kpi, chosen.main, tallied[0] if tallied else None) if is_known else {}
        news = newest_signal(self, kpi, chosen, figures)
        drivers, details = with_drivers(self, kpi, chosen, by, comparisons, news, details)
        return replace(
            blank,
            value=value,
            status=status,
            reason=reason,
            numerator=main.numerator,
            denominator=main.denominator,
            n=None if kpi.sql is not None and main.value and not main.n else main.n,  # a statement need not say it
            coverage=main.coverage,
            details={**details, **verdict.details},
            comparisons=comparisons,
            target=verdict.target,
            verdict=verdict.verdict if verdict.is_final else _quality_capped(kpi, verdict.verdict, main, details),
            remarks=tuple(
                one.said for one in kpi.remarks if value is not None and one.holds({**details, "value": value})
            ),
            beside=said_beside(self, kpi, details) if value is not None else (),
            unjudged=verdict.unjudged,
            signal=news,
            series=series,
            segments=tuple(segments_of(self, kpi, chosen, by)) if is_known else (),
            drivers=drivers,
            freshness=tuple(ages),
            rates=rates_of(self, kpi, chosen.main),
            actions=actions_of(self, kpi, chosen.main, tallied[0] if tallied else None) if is_known else None,
        )

    # -- figures ----------------------------------------------------------------------------------------------

    def figures(self, kpi: Kpi, slices: Sequence[Slice]) -> list[Figure]:
        """The figure of each slice; of complete periods, the one that is kept."""
        if not self._counts(kpi):
            return self._figures(kpi, slices, None)
        if self._segment is not None or kpi.retain is not None:
            return self._figures(kpi, slices, [figure(kpi, tally) for tally in self.tally(kpi, slices)])
        return self._figures(kpi, slices, self.answers.figures(kpi, self.rows(kpi), slices))

    def _tallied(self, kpi: Kpi, slices: Sequence[Slice]) -> list[Tally] | None:
        """The tallies behind the figures; None where the figures do not come from rows of one relation."""
        return self.tally(kpi, slices) if self._counts(kpi) else None

    def _counts(self, kpi: Kpi) -> bool:
        """Does it count rows of one relation, and are there any?"""
        return kpi.of is not None and self.holds(self.needed_table(kpi)) and self.are_facts_whole

    def _figures(self, kpi: Kpi, slices: Sequence[Slice], made: Sequence[Figure] | None) -> list[Figure]:
        if kpi.sql is not None:
            return self.asked.figures(kpi, slices)
        if (unset := lack_of_settings(self, kpi)) is not None:
            return [Figure(None, None, None, 0, unset.status, unset.sentence)] * len(slices)
        if kpi.ratio is not None:
            return ratio_figures(self, kpi, slices)
        if kpi.calc is not None:
            return calc_figures(self, kpi, slices)
        if (lacking := lack_of_rows(self, kpi)) is not None or made is None:
            said = lacking.sentence if lacking is not None else None
            return [Figure(None, None, None, 0, "no_data", said)] * len(slices)
        begins = max(filter(None, (provenance.history_begins(self.conn, t) for t in self.tables(kpi))), default=None)
        found = []
        for slice_, whole in zip(slices, made, strict=True):
            said = before_history(self, kpi, slice_, begins) if begins is not None else ""
            shown = Figure(None, None, None, whole.n, "no_data", f"no data: {said}") if said else None
            found.append(shown or with_gaps(self, kpi, slice_, whole))
        return found

    @property
    def are_facts_whole(self) -> bool:
        """False while the fact tables are being built."""
        if self._are_whole is None:
            self._are_whole = provenance.facts_are_whole(self.conn)
        return self._are_whole

    def needed_table(self, kpi: Kpi) -> str:
        """The table without a row of which a KPI's relation has none; of two that will do, the one that has some."""
        relation = self.compiler.relation(kpi, self.customer_model(kpi))
        is_other = relation.or_table and not self.holds(relation.needs_table) and self.holds(relation.or_table)
        return relation.or_table if is_other else relation.needs_table

    def tally(self, kpi: Kpi, slices: Sequence[Slice]) -> list[Tally]:
        """The rows of each slice, tallied as a whole; of a segment where only its rows are looked at."""
        if self._segment is not None:
            split, name = self._segment
            return [parts.get(name, Tally()) for parts in split.tallies(kpi, slices)]
        if kpi.retain is not None:
            return retained(self, kpi, slices)
        return [together(part) for part in self.parts(kpi, self.rows(kpi), slices)]

    def parts(
        self, kpi: Kpi, rows: Rows, slices: Sequence[Slice], *, singly: bool | None = None
    ) -> list[dict[str, Tally]]:
        """Per slice, the tally of each segment; `singly`: with every value, by default where the KPI's figure asks."""
        return self.answers.parts(rows, slices, singly=needs_values(kpi.agg) if singly is None else singly)

    def within(self, split: Split, segment: str) -> "Evaluator":
        """One that looks at the rows of a segment alone."""
        narrowed = copy.copy(self)
        narrowed._segment = split, segment
        return narrowed

    def rows(self, kpi: Kpi, by: str | None = None, *, movements: bool = False, moving: bool = False) -> Rows:
        relation = self.compiler.relation(kpi, self.customer_model(kpi))
        return self.compiler.rows(kpi, relation, question_of(kpi), by=by, movements=movements, moving=moving)

    def one_rate(self, table: str) -> str | None:
        """What turns minor units into major ones, when no row of a table is in a foreign currency."""
        if table not in self._one_rates:
            own = self.reporting.currency
            foreign = None
            if any(row[1] == "currency" for row in self.conn.execute(f"PRAGMA table_info({table})")):
                other = "currency < ?1 OR currency > ?1"  # by an index, where <> would read every row
                foreign = self.conn.execute(f"SELECT 1 FROM {table} WHERE {other} LIMIT 1", (own,)).fetchone()
            self._one_rates[table] = None if foreign else self.rates.factor(own, None)
        return self._one_rates[table]

    def customer_model(self, kpi: Kpi) -> str:
        """Contractual where contracts exist, else repurchase, unless configured (docs/definitions.md)."""
        said = kpi.params.get("customer_model") or self.reporting.customers.model
        if said:
            return str(said)
        if self._model is None:
            self._model = "contractual" if self.holds("contracts") else "repurchase"
        return self._model

    def holds(self, table: str) -> bool:
        """Is there any row of this table at all?"""
        if table not in self._holds:
            self._holds[table] = self.conn.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None
        return self._holds[table]

    def has(self, wanted: Wanted, *, ever: bool = False) -> bool:
        """`provenance.has`, asked of the cache once: where there is none, every row is looked at."""
        if (wanted, ever) not in self._has:
            self._has[wanted, ever] = provenance.has(self.conn, wanted, ever=ever)
        return self._has[wanted, ever]

    def part(self, kpi: Kpi, name: str) -> Kpi:
        """A KPI that another is made of: a hidden one takes the parameters of what it is part of."""
        found = self.kpis[name]
        said = {key: kpi.params[key] for key in found.template.get("params", {}) if key in kpi.params}
        return override(found, {"params": said}) if found.hidden and said else found

    def keeps_history(self, table: str) -> bool:
        """Does any record say what became of it? Without that nobody knows what came undone (A8)."""
        if table != "tickets":
            return True
        return self.conn.execute("SELECT 1 FROM fact_tickets WHERE has_history = 1 LIMIT 1").fetchone() is not None

    def tables(self, kpi: Kpi) -> set[str]:
        """The canonical tables a KPI rests on."""
        if kpi.operands:
            names = [operand.partition(".")[0] for operand in kpi.operands]
            return set().union(*(self.tables(self.kpis[name]) for name in names if name in self.kpis))
        if kpi.of is None:
            return set()
        relation = self.compiler.relation(kpi, self.customer_model(kpi))
        return {*filter(None, (relation.needs_table, relation.or_table))} | uses.tables_beside(kpi)

    def _points(self, chosen: Plan, figures: Mapping[Slice, Figure]) -> list[Point]:
        found = []
        for slice_ in chosen.series:
            part = figures[slice_]
            found.append(Point(slice_.span.start, slice_.span.end, part.value, part.n, part.status))
        return found

    def _compared(self, chosen: Plan, figures: Mapping[Slice, Figure], value: float | None) -> list[Comparison]:
        found = []
        for against, slice_ in chosen.compared:
            other = figures[slice_]
            change = value - other.value if value is not None and other.value is not None else None
            period = slice_.period(self.reporting.timezone)
            found.append(Comparison(against, other.value, change, period, other.status))
        return found


def _quality_capped(kpi: Kpi, verdict: str | None, main: Figure, details: Mapping[str, Any]) -> str | None:
    """Not green while too many are still unanswered: a median over answers alone flatters (docs/definitions.md)."""
    limit, waiting = kpi.params.get("unanswered_max"), details.get("unanswered")
    if verdict != "green" or limit is None or not waiting:
        return verdict
    return "amber" if waiting / (waiting + main.n) > float(limit) else verdict

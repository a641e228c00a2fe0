"""What holds of every KPI whatever the rows: their order, two companies in one, another clock, a day before all."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from math import isclose
from pathlib import Path
from random import Random
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi, Reporting
from scorecards.evaluate import Evaluator
from scorecards.periods import cut, parse_period
from scorecards.question import question_of
from scorecards.values import KpiResult
from syncagent import facts
from syncagent.schema import TABLES
from syncagent.store import open_cache, transaction
from tests.fakes.every_table import AS_OF, START, fill
from tests.unit.facts import frame
from tests.unit.test_explain import PERIODS, SHOWN, asked

Row = dict[str, Any]
Company = dict[str, list[Row]]
#: What there is once, however large the company is.
_ONCE = ("stage_defs", "pipelines", "fx_rates")
#: Columns that hold the id of a row, or of what rows have in common, without being references of the schema.
_NAMES = ("id", "source_id", "thread_id", "send_id", "campaign_id", "object_id", "cluster_id", "dup_of", "merged_into")
_STORED_IDS = ("sf_opportunity_id", "sf_account_id", "sf_contact_id", "sf_lead_id")
_AHEAD = timedelta(hours=14)


def _in(zone: str) -> Reporting:
    hours = frame.REPORTING.hours.model_copy(update={"timezone": zone})
    return frame.REPORTING.model_copy(update={"timezone": zone, "hours": hours})


REPORTING, KIRITIMATI = _in("UTC"), _in("Pacific/Kiritimati")


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """Every row of every table."""
    with closing(open_cache(tmp_path_factory.mktemp("made"))) as cache:
        fill(cache)
        book = ("sources", "sync_state", "sync_runs", "deliveries")
        return {table: [dict(row) for row in cache.execute(f"SELECT * FROM {table}")] for table in (*TABLES, *book)}


def cached(folder: Path, company: Mapping[str, Sequence[Row]], reporting: Reporting = REPORTING) -> sqlite3.Connection:
    cache = open_cache(folder)
    with transaction(cache):
        for table, rows in company.items():
            for row in rows:
                marks = ", ".join("?" * len(row))
                cache.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
    facts.refresh(cache, reporting)
    return cache


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, company: Company) -> Iterator[sqlite3.Connection]:
    with closing(cached(tmp_path_factory.mktemp("plain"), company)) as cache:
        yield cache


def value(
    cache: sqlite3.Connection, kpi: Kpi, period: str, reporting: Reporting = REPORTING, as_of: datetime = AS_OF
) -> KpiResult:
    result = Evaluator(cache, {**BUILTINS, kpi.id: kpi}, reporting, as_of=as_of).evaluate(
        kpi, period=parse_period(period)
    )
    assert result.status != "error", result.reason
    return result


def told(result: KpiResult) -> tuple[Any, ...]:
    return result.status, result.value, result.n, result.numerator, result.denominator


def same(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return all(
        isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) if isinstance(a, float) and isinstance(b, int | float) else a == b
        for a, b in zip(one, other, strict=True)
    )


# --- the order of rows ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory: pytest.TempPathFactory, company: Company) -> Iterator[sqlite3.Connection]:
    dice = Random(3)
    with closing(
        cached(tmp_path_factory.mktemp("shuffled"), {t: dice.sample(rows, len(rows)) for t, rows in company.items()})
    ) as cache:
        yield cache


@pytest.mark.slow
@pytest.mark.parametrize("name", SHOWN)
def test_the_order_of_rows_does_not_matter(plain: sqlite3.Connection, shuffled: sqlite3.Connection, name: str) -> None:
    for period in PERIODS:
        assert same(told(value(plain, asked(name), period)), told(value(shuffled, asked(name), period)))


# --- two companies of one kind ----------------------------------------------------------------------------------


def _twin(table: str, row: Row) -> Row:
    """The same of another company: nothing in it is anything of the first one's."""
    references = {*TABLES[table].references, *_NAMES, *_STORED_IDS}
    made = {name: f"{text}'" if name in references and text is not None else text for name, text in row.items()}
    for name in ("email_norm", "phone_norm", "domain_norm"):
        if made.get(name) is not None:
            made[name] = f"twin{made[name]}"
    return made


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory, company: Company) -> Iterator[sqlite3.Connection]:
    both = {
        table: rows + [_twin(table, row) for row in rows] if table in TABLES and table not in _ONCE else rows
        for table, rows in company.items()
    }
    with closing(cached(tmp_path_factory.mktemp("twice"), both)) as cache:
        yield cache


def _doubles(kpi: Kpi) -> bool:
    """A count or a sum, also of what is no sum over time: not one of them over another."""
    return kpi.additivity != "N" or kpi.agg == "distinct" or kpi.per is not None


@pytest.mark.parametrize("name", SHOWN)
def test_twice_the_rows_give_twice_the_sum_and_the_same_rate(
    plain: sqlite3.Connection, twice: sqlite3.Connection, name: str
) -> None:
    kpi = asked(name)
    for period in PERIODS:
        one, two = value(plain, kpi, period), value(twice, kpi, period)
        if one.value is not None:
            assert two.value is not None
            factor = 2 if _doubles(kpi) else 1
            assert isclose(two.value, factor * one.value, rel_tol=1e-9, abs_tol=1e-9), (one.value, two.value)


# --- the clock of the place -------------------------------------------------------------------------------------


def _moved(rows: Sequence[Row], by: timedelta) -> list[Row]:
    return [{name: _earlier(text, by) for name, text in row.items()} for row in rows]


def _earlier(text: Any, by: timedelta) -> Any:
    if isinstance(text, str) and len(text) == 20 and text[10] == "T" and text[-1] == "Z":
        return (datetime.fromisoformat(text) - by).strftime("%Y-%m-%dT%H:%M:%SZ")
    return text


@pytest.fixture(scope="module")
def ahead(tmp_path_factory: pytest.TempPathFactory, company: Company) -> Iterator[sqlite3.Connection]:
    """The same company on Kiritimati, where it is 14 hours later: all instants are so much earlier."""
    rows = {table: _moved(found, _AHEAD) for table, found in company.items()}
    with closing(cached(tmp_path_factory.mktemp("ahead"), rows, KIRITIMATI)) as cache:
        yield cache


@pytest.mark.slow
@pytest.mark.parametrize("name", SHOWN)
def test_what_day_it_is_is_the_places_own(plain: sqlite3.Connection, ahead: sqlite3.Connection, name: str) -> None:
    for period in PERIODS:
        here = value(plain, asked(name), period)
        there = value(ahead, asked(name), period, KIRITIMATI, AS_OF - _AHEAD)
        assert same(told(here), told(there))


# --- lists ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(name for name in SHOWN if BUILTINS[name].of is not None))
def test_what_a_list_shows_is_that_of_the_rows_listed(plain: sqlite3.Connection, name: str) -> None:
    """Looked up of the few rows that are listed, or of all there are: also where several rows have one id."""
    kpi = asked(name)
    evaluator = Evaluator(plain, BUILTINS, REPORTING, as_of=AS_OF)
    relation = evaluator.compiler.relation(kpi, evaluator.customer_model(kpi))
    show = [name for name, column in relation.own.items() if name != "id" and column.type != "money"][:6]
    wide, narrow = (evaluator.compiler.rows(kpi, relation, question_of(kpi), show=some) for some in (show, show[:1]))
    order = "c0 IS NULL, c0 DESC, id"
    for period in PERIODS:
        span = parse_period(period)
        assert span is not None
        slice_ = cut(span, AS_OF, evaluator.zone)
        all_of_them = evaluator.answers.listed(wide, slice_, only="1", order=order, limit=-1)
        for limit in (1, 3, 40):
            found = evaluator.answers.listed(wide, slice_, only="1", order=order, limit=limit, narrow=narrow)
            assert [row["id"] for row in found] == [row["id"] for row in all_of_them[:limit]]
            assert all(row in all_of_them for row in found)


# --- before anything was there ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHOWN)
def test_before_the_first_row_there_is_nothing(plain: sqlite3.Connection, name: str) -> None:
    as_of = START - timedelta(days=400)
    result = value(plain, asked(name), "2024-03", as_of=as_of)
    assert not result.value, "nothing, or no value at all"
    assert result.unit != "ratio" or result.value is None, "a rate of nothing is no rate"


# --- what belongs together --------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", ["2026-Q2", "2026-Q3"])
def test_who_stays_and_who_leaves_are_all(plain: sqlite3.Connection, period: str) -> None:
    stay, leave = (value(plain, asked(f"customer_{name}_rate"), period) for name in ("retention", "attrition"))
    assert stay.value is not None
    assert leave.value is not None
    assert isclose(stay.value + leave.value, 1.0)
    assert stay.value > 0


@pytest.mark.parametrize("name", [name for name in SHOWN if BUILTINS[name].additivity == "A" and BUILTINS[name].of])
def test_a_sum_is_that_of_its_months(plain: sqlite3.Connection, name: str) -> None:
    whole = value(plain, asked(name), "2026-04-01..2026-07-01")
    parts = [value(plain, asked(name), month) for month in ("2026-04", "2026-05", "2026-06")]
    assert isclose(whole.value or 0, sum(part.value or 0 for part in parts), rel_tol=1e-9)

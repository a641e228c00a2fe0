"""What a statement says of as_of: read right, or told to be unreadable. A form that was misread would keep an answer
past the moment it changes."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.compiler import Rows
from scorecards.definition import build, override
from scorecards.evaluate import Evaluator
from scorecards.facts import FACTS
from scorecards.kept import beside, grounds, may_be_kept, watched
from scorecards.relations import Language
from syncagent import kept
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
#: Settings under which relations are made another way.
PARAMS = (
    {"purchases": ["orders"]},
    {"purchases": ["deals", "orders"]},
    {"customer_model": "contractual"},
    {"units": "orders"},
)
LOOKED_UP = "SELECT 1 FROM deals f WHERE EXISTS (SELECT 1 FROM fact_touches t WHERE t.party_id = f.id AND {})"
_LIMIT = re.compile(r"stamp\(:as_of\)|:as_of\b|:today\b")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rows]:
    """The row statement of every built-in KPI, and one that asks for each column of each relation."""
    conn = open_cache(tmp_path_factory.mktemp("cache"))
    asks, language = Evaluator(conn, BUILTINS, REPORTING, as_of=NOW), Language(REPORTING)
    kpis = [kpi for kpi in BUILTINS.values() if kpi.of is not None]
    kpis += [override(kpi, {"params": params}) for kpi in kpis for params in PARAMS]
    for name in language.names():
        relation = language.relation(name)
        assert relation is not None
        for column in relation.own:
            kpis.append(build(f"{name}.{column}", {"of": name, "where": {column: {"set": True}}}))
    found = {f"{kpi.id} {kpi.params}": asks.rows(kpi) for kpi in kpis}
    conn.close()
    return found


@pytest.fixture(scope="module")
def statements(asked: dict[str, Rows]) -> dict[str, str]:
    return {name: rows.sql for name, rows in asked.items()}


@pytest.fixture
def columns(tmp_path: Path) -> Iterator[dict[str, set[str]]]:
    """The columns of every table of a cache."""
    conn = open_cache(tmp_path)
    tables = [row[1] for row in conn.execute("PRAGMA table_list")]
    yield {table: {row[1] for row in conn.execute(f"PRAGMA table_info({table})")} for table in tables}
    conn.close()


def test_every_turn_that_is_told_is_a_column_of_a_table(
    statements: dict[str, str], columns: dict[str, set[str]]
) -> None:
    """One name for rows of two tables would say columns that are not there."""
    told = {(name, table, column) for name, sql in statements.items() for _, table, column in beside(sql) or ()}

    assert len({place[1:] for place in told}) > 10
    assert sorted(place for place in told if place[2] not in columns[place[1]]) == []


def test_what_is_taken_for_kept_is_what_the_keeper_takes(asked: dict[str, Rows], columns: dict[str, set[str]]) -> None:
    """How far back a KPI is judged rests on it, and is the same whether anybody keeps answers or not."""
    noted = watched(REPORTING)
    assert noted == {*kept.WATCHED, *(fact.name for fact in FACTS.values())}
    taken = {name for name, rows in asked.items() if grounds(rows, noted, set(columns) - noted) is not None}

    assert {name for name, rows in asked.items() if may_be_kept(rows, REPORTING)} == taken
    assert "won_revenue {}" in taken
    assert {"rows_stored {}", "data_sync_lag {}", "report_latency {}"}.isdisjoint(taken)


@pytest.mark.parametrize("wrapped", ["{0} - 60", "{0} || 'Z'", "{0} * 1", "{0} COLLATE nocase", "-{0}", "({0})"])
def test_of_no_statement_is_a_limit_misread_that_is_part_of_more(statements: dict[str, str], wrapped: str) -> None:
    """Every comparison with as_of there is, one at a time, with the limit moved."""
    told = {sql for sql in statements.values() if beside(sql)}
    assert len(told) > 50
    for sql in told:
        for limit in _LIMIT.finditer(sql):
            other = sql[: limit.start()] + wrapped.format(limit[0]) + sql[limit.end() :]
            assert beside(other) is None, other


@pytest.mark.parametrize("before", ["60 + ", "-", "t.weight * ", "'x' || ", "t.at = "])
def test_of_no_statement_is_a_column_misread_that_is_part_of_more(statements: dict[str, str], before: str) -> None:
    compared = re.compile(r"\w+\.\w+ (?:<|>=) (?=:as_of\b|:today\b|stamp\(:as_of\))")
    for sql in {sql for sql in statements.values() if beside(sql)}:
        for column in compared.finditer(sql):
            other = sql[: column.start()] + before + sql[column.start() :]
            assert beside(other) is None, other


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("t.at < :as_of", ("at", "fact_touches", "at")),
        ("t.at >= :as_of AND 1", ("at", "fact_touches", "at")),
        ("+t.at < :as_of", ("at", "fact_touches", "at")),
        ("(t.at < stamp(:as_of) OR 0)", ("text", "fact_touches", "at")),
        ("CASE WHEN t.day < :today THEN 1 END", ("day", "fact_touches", "day")),
        ("NOT t.at < :as_of", ("at", "fact_touches", "at")),
    ],
)
def test_a_plain_comparison_is_told(condition: str, told: tuple[str, str, str]) -> None:
    assert beside(LOOKED_UP.format(condition)) == (told,)


@pytest.mark.parametrize(
    "condition",
    [
        "t.at < :as_of - 60",
        "t.at < :as_of\n - 60",
        "t.at < :as_of-60",
        "t.at - 60 < :as_of",
        "60 + t.at < :as_of",
        "t.at + t.at < :as_of",
        "t.at <= :as_of",
        "t.at > :as_of",
        "t.at = :as_of",
        "t.at BETWEEN :as_of AND 1",
        ":as_of > t.at",
        "t.at < epoch(:today)",
        "t.at < stamp(:as_of) || 'Z'",
        "t.at < date(:today, '-1 day')",
        "t.at < COALESCE(:today, 1)",
        "MAX(t.at, 0) < :as_of",
        "at < :as_of",
        "x.at < :as_of",
        "t.at < :as_of AND t.end < :as_of - 1",
    ],
)
def test_any_other_form_is_told_to_be_unreadable(condition: str) -> None:
    assert beside(LOOKED_UP.format(condition)) is None

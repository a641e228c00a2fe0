"""What `kpi explain` says is enough to work every value out again: by hand from its records, and from its ids alone."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date
from itertools import groupby
from math import floor, fsum, isclose, prod
from pathlib import Path
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi, override
from scorecards.evaluate import Evaluator
from scorecards.periods import parse_period
from syncagent import facts
from syncagent.cli import run_cli
from syncagent.schema import TABLES
from syncagent.store import open_cache
from tests.fakes.every_table import AS_OF, fill
from tests.fakes.office import Office
from tests.unit.facts.frame import REPORTING

SHOWN = sorted(name for name, kpi in BUILTINS.items() if not kpi.hidden and kpi.sql is None)
#: Of these a setting says what is counted.
SETTINGS: dict[str, Any] = {
    "types": ["service"],
    "survey": "csat",
    "categories": ["question"],
    "object": "contacts",
}
#: One old enough for what takes a year to be judged, one with a year before it.
PERIODS = ("2025-07-01..2025-10-01", "2026-06-01..2026-09-01")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path_factory.mktemp("explain"))) as cache:
        fill(cache)
        facts.refresh(cache, REPORTING)
        yield cache


def asked(name: str) -> Kpi:
    """The built-in with the settings it must have, however few rows it has."""
    kpi = BUILTINS[name]
    words = [said.removeprefix("params.") for said in kpi.configured_by if said.startswith("params.")]
    return override(kpi, {"n_min": 1, "params": {word: SETTINGS[word] for word in words}})


def explained(cache: sqlite3.Connection, kpi: Kpi, period: str) -> dict[str, Any]:
    evaluator = Evaluator(cache, {**BUILTINS, kpi.id: kpi}, REPORTING, as_of=AS_OF)
    told = evaluator.explain(kpi, period=parse_period(period))
    shown = evaluator.evaluate(kpi, period=parse_period(period))
    assert shown.status != "error", shown.reason
    assert told["value"] == shown.value
    return told


@pytest.mark.parametrize("name", SHOWN)
@pytest.mark.parametrize("period", PERIODS)
def test_the_records_give_the_value(cache: sqlite3.Connection, name: str, period: str) -> None:
    """Naive Python over nothing but what explain gave."""
    told = explained(cache, asked(name), period)
    if told["value"] is not None:
        assert isclose(told["value"], again(asked(name), told), rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize("name", SHOWN)
def test_there_is_a_value_to_work_out_again(cache: sqlite3.Connection, name: str) -> None:
    """So that the test above is one of every KPI."""
    assert any(explained(cache, asked(name), period)["value"] is not None for period in PERIODS)


@pytest.mark.parametrize("name", [name for name in SHOWN if BUILTINS[name].of is not None])
@pytest.mark.parametrize("period", PERIODS)
def test_the_ids_alone_give_the_value(cache: sqlite3.Connection, name: str, period: str) -> None:
    """Asked of no other rows than those with a part in it, the engine says the same; without them it says nothing."""
    kpi = asked(name)
    told = explained(cache, kpi, period)
    ids = [record["id"] for record in told["records"] if record["role"] != "excluded"]
    if kpi.retain is not None or told["value"] is None:
        return
    only = kpi.model_copy(update={"where": {**kpi.where, "id": ids}})
    assert explained(cache, only, period)["value"] == pytest.approx(told["value"])
    if kpi.first_per or kpi.latest_per:
        return  # the next one takes its place
    others = kpi.model_copy(update={"where": {**kpi.where, "id": {"not": ids}}})
    assert explained(cache, others, period)["value"] in (None, 0)


@pytest.mark.parametrize("name", SHOWN)
def test_every_record_is_one_of_a_table_and_has_its_link(cache: sqlite3.Connection, name: str) -> None:
    told = explained(cache, asked(name), PERIODS[1])
    evaluator = Evaluator(cache, BUILTINS, REPORTING, as_of=AS_OF)
    is_own = evaluator.tables(asked(name)).isdisjoint(TABLES)  # the agent's own book has no links
    for record in told["records"]:
        found = [
            row[0]
            for table in TABLES
            for row in cache.execute(f"SELECT url FROM {table} WHERE id = ?", (record["id"],)).fetchall()
        ]
        assert found == [record["url"]] or (is_own and record["url"] is None)
        assert record["role"] in ("numerator", "denominator", "both", "excluded")
        assert (record["reason"] is not None) == (record["role"] == "excluded")


@pytest.mark.parametrize("name", SHOWN)
def test_it_says_how(cache: sqlite3.Connection, name: str) -> None:
    """The filters, a statement that runs with the parameters beside it, and the sources with their age."""
    kpi = asked(name)
    told = explained(cache, kpi, PERIODS[1])
    assert told["formula"]
    assert told["filters"]
    for one in told.get("of", [told]):
        assert one.get("of") or len(cache.execute(one["sql"], one["parameters"]).fetchall()) == len(one["records"])
    assert told["sql"].count("SELECT") >= len(told.get("of", [told]))
    cache.execute("SAVEPOINT synced")
    cache.execute("INSERT INTO sync_state (source_name, stream, ok_at) SELECT 'crm', name, '2026-09-30T06:00:00Z'"
                  " FROM sqlite_master WHERE type = 'table'")  # fmt: skip
    try:
        told = explained(cache, kpi, PERIODS[1])
    finally:
        cache.execute("ROLLBACK TO synced")
        cache.execute("RELEASE synced")
    assert {"source": "crm", "synced_at": "2026-09-30T06:00:00Z"} in told["sources"]


@pytest.mark.usefixtures("logs_given_back")
def test_people_read_each_part_with_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYNCAGENT_CONFIG", raising=False)
    own = '[kpi.share_won]\nratio = { top = "won", bottom = "deals" }\nn_min = 1\n[kpi.deals]\nof = "opportunities"\n'
    Office(tmp_path).write(more=f'{own}[kpi.won]\nof = "opportunities"\nwhere = {{ is_won = true }}\n')
    run_cli(["sync"])
    capsys.readouterr()
    assert run_cli(["kpi", "explain", "share_won", "--period", "all", "--limit", "5"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("share_won = 0.5\n  = Won ÷ Deals\n    won = 2\n    deals = 4\n")
    assert "  won: over opportunities that are not deleted, merged, duplicates or tests\n  won: won\n" in out
    assert "\n  synced: desk 2" in out
    rows = [line.split() for line in out.splitlines() if line.startswith("desk:opportunities:")]
    assert [(row[1], row[2]) for row in rows] == [("numerator", "won")] * 2 + [("denominator", "deals")] * 3
    assert "... and 1 more (--limit, --json)" in out


# --- the value again, in plain Python ---------------------------------------------------------------------------------


def again(kpi: Kpi, told: Mapping[str, Any]) -> float:
    """The value from what explain gave, without the engine."""
    if kpi.operands:
        return _of_parts(kpi, told)
    used = [record for record in told["records"] if record["role"] != "excluded"]
    on_top = [record for record in used if record["role"] == "both"]
    if kpi.filled is not None:
        return fsum(record["measure"] for record in used) / fsum(record["required"] for record in used)
    if any(record["role"] != "numerator" for record in used):
        if kpi.headline == "count" and kpi.share is not None:
            return len(on_top)
        if kpi.weight != "count":
            return fsum(record["measure"] for record in on_top) / fsum(record["measure"] for record in used)
        return len(on_top) / len(used)
    measures = [record["measure"] for record in used]
    if kpi.per is not None:
        measures = _by_day(kpi.per.agg, used, told["period"])
    if kpi.per_distinct is not None:
        return fsum(measures) / len({record["key"] for record in used})
    return _aggregate(kpi.agg, measures)


def _aggregate(agg: str, measures: Sequence[Any]) -> float:
    if agg in ("count", "distinct"):
        return len(measures) if agg == "count" else len(set(measures))
    if agg in ("sum", "avg"):
        return fsum(measures) / (1 if agg == "sum" else len(measures))
    if agg in ("min", "max"):
        return float(min(measures) if agg == "min" else max(measures))
    ordered = sorted(measures)
    place = (len(ordered) - 1) * (0.5 if agg == "median" else int(agg[1:]) / 100)
    low = floor(place)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (place - low) * (ordered[high] - ordered[low]))


def _by_day(agg: str, used: Sequence[Mapping[str, Any]], period: Mapping[str, Any]) -> list[float]:
    """A figure for each day of the period, 0 where nothing is."""
    by_day = sorted(used, key=lambda record: str(record["day"]))
    days = [[record["measure"] for record in group] for _, group in groupby(by_day, lambda record: record["day"])]
    length = (date.fromisoformat(period["end"]) - date.fromisoformat(period["start"])).days
    return [*(_aggregate(agg, values) for values in days), *[0.0] * (length - len(days))]


def _of_parts(kpi: Kpi, told: Mapping[str, Any]) -> float:
    """Every part worked out again from the KPIs it was asked of, then put together."""
    values = {part["part"]: _part(part, told) for part in told["parts"]}
    for part in told["parts"]:
        assert part["value"] == pytest.approx(values[part["part"]])
    if kpi.calc is not None:
        return fsum(part["sign"] * values[part["part"]] for part in told["parts"])
    assert kpi.ratio is not None
    first, _, last = told["of"][-1]["period"].partition("..")
    days = (date.fromisoformat(last) - date.fromisoformat(first)).days
    times = days if kpi.ratio.times == "period_days" else kpi.ratio.times
    return prod(values[name] for name in kpi.ratio.tops) / prod(values[name] for name in kpi.ratio.bottoms) * times


def _part(part: Mapping[str, Any], told: Mapping[str, Any]) -> float:
    """A value, the mean of two, or the difference of two, of the KPI a part names."""
    name, _, suffix = part["part"].partition(".")
    values = []
    for one in told["of"]:
        if one["kpi"] == name:
            values.append(0.0 if one["value"] is None else again(BUILTINS[name], one))
            assert one["value"] is None or one["value"] == pytest.approx(values[-1])
    if suffix in ("", "value", "previous", "opening"):
        return values[0]
    if suffix == "mean":
        return (values[0] + values[1]) / 2
    now, then = values
    return now - then if suffix == "change" else then

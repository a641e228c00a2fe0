"""A person who is a user of two CRMs is one user in every KPI (docs/links.md)."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi
from scorecards.evaluate import evaluate
from scorecards.periods import parse_period
from scorecards.values import KpiResult
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

AS_OF = datetime(2026, 11, 5, tzinfo=UTC)
_DIMENSIONS = {"owner": {"activities": "owner.name"}, "team": {"activities": "owner.team", "users": "team"}}


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def user(conn: sqlite3.Connection, id_: str, source: str, email: str | None = "kim@acme.com", **values: Any) -> None:
    at = {"source": source, "source_instance": source, "created_at": "2026-01-01T00:00:00Z"}
    put(conn, "users", id_, **{**at, "email": email, "name": id_, "is_active": 1, **values})


def call(conn: sqlite3.Connection, id_: str, owner: str, **values: Any) -> None:
    told = {"type": "call", "direction": "outbound", "status": "completed", "occurred_at": "2026-10-05T09:00:00Z"}
    put(conn, "activities", id_, **{**told, "owner_id": owner, "is_automated": 0, **values})


def shown(conn: sqlite3.Connection, kpi: Kpi | str, record_system: str = "salesforce", **asked: Any) -> KpiResult:
    reporting = REPORTING.model_copy(update={"system_of_record": record_system, "dimensions": _DIMENSIONS})
    facts.refresh(conn, reporting)
    kpi = BUILTINS[kpi].model_copy(update={"n_min": 1}) if isinstance(kpi, str) else kpi
    return evaluate(conn, kpi, BUILTINS, reporting, as_of=AS_OF, period=parse_period("2026-10"), **asked)


def kinds(conn: sqlite3.Connection) -> dict[tuple[str, str], str]:
    return {(a, b): kind for a, b, kind in conn.execute("SELECT a_id, b_id, kind FROM entity_links")}


def test_adoption_counts_a_person_once_whichever_crm_they_work_in(cache: sqlite3.Connection) -> None:
    user(cache, "S kim", "salesforce")
    user(cache, "H kim", "hubspot")
    user(cache, "S lee", "salesforce", "lee@acme.com")
    call(cache, "c", "H kim", source="hubspot")
    result = shown(cache, "crm_adoption_rate")
    assert (result.numerator, result.denominator) == (1, 2)
    user(cache, "H kim", "hubspot", "other@acme.com")
    result = shown(cache, "crm_adoption_rate")
    assert (result.numerator, result.denominator) == (1, 3)


def test_turnover_is_what_the_system_of_record_says(cache: sqlite3.Connection) -> None:
    gone = {"is_active": 0, "first_seen_inactive_at": "2026-10-09T00:00:00Z"}
    for number in range(4):
        user(cache, f"S {number}", "salesforce", f"{number}@acme.com", **(gone if number == 0 else {}))
        user(cache, f"H {number}", "hubspot", f"{number}@acme.com")
    assert shown(cache, "staff_turnover_rate").value == pytest.approx(1 / 3.5)
    assert shown(cache, "staff_turnover_rate", "hubspot").value == 0


def test_a_split_by_owner_knows_one_of_them(cache: sqlite3.Connection) -> None:
    """By name, by team and by id, of rows that are split as they are read."""
    user(cache, "S kim", "salesforce", team="North")
    user(cache, "H kim", "hubspot", team="Nord")
    call(cache, "a", "S kim")
    call(cache, "b", "H kim", source="hubspot")
    own = Kpi.model_validate({"id": "own", "of": "activities", "agg": "count", "n_min": 1, "date": "occurred_at"})
    for by, said in (("owner", "S kim"), ("team", "North"), ("owner_id", "S kim")):
        segments = shown(cache, own.model_copy(update={"by": (by,)})).segments
        assert [(one.segment, one.value) for one in segments] == [(said, 2)]


def test_of_several_users_with_an_address_the_one_in_use_is_meant(cache: sqlite3.Connection) -> None:
    user(cache, "S old", "salesforce", is_active=0)
    user(cache, "S new", "salesforce")
    user(cache, "H", "hubspot")
    facts.refresh(cache, REPORTING)
    assert kinds(cache) == {("H", "S new"): "login"}
    user(cache, "S old", "salesforce", is_active=1)
    facts.refresh(cache, REPORTING)
    assert kinds(cache) == {("H", "S new"): "candidate", ("H", "S old"): "candidate"}
    cache.execute("DELETE FROM users WHERE id = 'S old'")
    facts.refresh(cache, REPORTING)
    assert kinds(cache) == {("H", "S new"): "login"}

"""A figure of deals comes from those of each CRM: all of each, less what both hold (docs/links.md)."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi
from scorecards.evaluate import evaluate
from scorecards.periods import parse_period
from scorecards.render.format import get
from scorecards.render.rows import crm_words
from scorecards.values import KpiResult
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

AS_OF = datetime(2026, 11, 5, tzinfo=UTC)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def deal(conn: sqlite3.Connection, id_: str, source: str, amount: int, **values: Any) -> None:
    put(
        conn, "opportunities", id_, **{"source": source, "source_instance": source, "state": "won",
        "created_at": "2026-01-01T00:00:00Z", "close_date": "2026-10-10", "amount_minor": amount * 100,
        "currency": "EUR"} | values,
    )  # fmt: skip


def shown(conn: sqlite3.Connection, kpi: Kpi, record_system: str = "salesforce") -> KpiResult:
    reporting = REPORTING.model_copy(update={"system_of_record": record_system})
    facts.refresh(conn, reporting)
    return evaluate(conn, kpi, BUILTINS, reporting, as_of=AS_OF, period=parse_period("2026-10"))


def own(**said: Any) -> Kpi:
    return Kpi.model_validate({"id": "own", "of": "opportunities", "n_min": 1, **said})


def test_won_revenue_says_what_each_crm_holds(cache: sqlite3.Connection) -> None:
    """Each CRM's own amounts; another month's copies are another month's."""
    deal(cache, "S1", "salesforce", 1000)
    deal(cache, "S2", "salesforce", 500)
    deal(cache, "H1", "hubspot", 1100, sf_opportunity_id="S1")
    deal(cache, "H2", "hubspot", 40)
    deal(cache, "S3", "salesforce", 7, close_date="2026-09-10")
    deal(cache, "H3", "hubspot", 7, close_date="2026-09-10", sf_opportunity_id="S3")
    result = shown(cache, BUILTINS["won_revenue"])
    assert result.value == 1540
    bridge = {"salesforce": 1500, "hubspot": 1140, "linked": -1100, "total": 1540}
    assert result.details["crm_bridge"] == bridge
    assert result.details["linked_pairs"] == 2
    said = crm_words(result, get("en-GB", "EUR", "Europe/Berlin"))
    assert said == "HubSpot €1,140 + Salesforce €1,500 − €1,100 in both"
    bridge = {"salesforce": 1500, "hubspot": 1140, "linked": -1000, "total": 1640}
    assert shown(cache, BUILTINS["won_revenue"], "hubspot").details["crm_bridge"] == bridge


def test_every_count_and_sum_of_deals_has_one(cache: sqlite3.Connection) -> None:
    """Also of filtered ones and of stocks; a rate has none, nor has what nobody keeps twice."""
    deal(cache, "S1", "salesforce", 1000)
    assert "crm_bridge" not in shown(cache, BUILTINS["won_revenue"]).details
    deal(cache, "H1", "hubspot", 1000, sf_opportunity_id="S1")
    deal(cache, "S2", "salesforce", 300, state="open", stage="Offer", close_date=None)
    deal(cache, "H2", "hubspot", 200, state="open", stage="Offer", close_date=None, sf_opportunity_id="S2")
    won = own(agg="count", where={"is_won": True, "amount": {"gt": 500}}, date="outcome_date")
    assert shown(cache, won).details["crm_bridge"] == {"hubspot": 1, "salesforce": 1, "linked": -1, "total": 1}
    open_value = shown(cache, BUILTINS["pipeline_open_value"])
    assert open_value.details["crm_bridge"] == {"hubspot": 200, "salesforce": 300, "linked": -200, "total": 300}
    assert "crm_bridge" not in shown(cache, BUILTINS["win_rate"]).details


_deals = st.lists(
    st.tuples(
        st.integers(1, 6),
        st.sampled_from(["salesforce", "hubspot"]),
        st.integers(0, 900),
        st.sampled_from([None, None, 1, 2, 3]),
        st.sampled_from(["won", "won", "lost"]),
        st.sampled_from([0, 0, 0, 1]),
    ),
    min_size=2,
    max_size=12,
)


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deals=_deals, record_system=st.sampled_from(["salesforce", "hubspot"]))
def test_what_counts_is_all_of_each_crm_less_what_is_linked(
    tmp_path_factory: pytest.TempPathFactory, deals: list[tuple[Any, ...]], record_system: str
) -> None:
    """Counted naively from the rows: live won deals of each CRM, and those among them another row stands for."""
    with closing(open_cache(tmp_path_factory.mktemp("cache"))) as conn:
        for number, source, amount, names, state, deleted in deals:
            named = None if names is None or source == "salesforce" else f"salesforce {names}"
            deal(conn, f"{source} {number}", source, amount, sf_opportunity_id=named, state=state, is_deleted=deleted)
        before = conn.execute("SELECT COUNT(*), SUM(amount_minor) FROM opportunities").fetchone()[:]
        result = shown(conn, own(agg="sum", field="amount", where={"is_won": True}, date="outcome_date"), record_system)
        assert conn.execute("SELECT COUNT(*), SUM(amount_minor) FROM opportunities").fetchone()[:] == before
        rows = conn.execute(
            "SELECT source, amount_minor / 100, dup_of IS NOT NULL FROM opportunities WHERE state = 'won'"
            " AND is_deleted = 0"
        ).fetchall()
        of_each = {crm: sum(r[1] for r in rows if r[0] == crm) for crm in {r[0] for r in rows}}
        linked = [r[1] for r in rows if r[2]]
        assert (result.value or 0) == sum(of_each.values()) - sum(linked)
        if linked:
            found = dict(result.details["crm_bridge"])
            assert found.pop("total") == sum(of_each.values()) - sum(linked)
            assert found.pop("linked") == -sum(linked)
            assert found == of_each
        else:
            assert "crm_bridge" not in result.details


@pytest.mark.parametrize("kept", ["006R00000024gDt", "006R00000024gDtIAI"])
@pytest.mark.parametrize("named", ["006R00000024gDt", "006R00000024gDtIAI"])
@pytest.mark.parametrize("first", ["salesforce", "hubspot"])
def test_an_id_of_15_characters_is_that_of_18(cache: sqlite3.Connection, kept: str, named: str, first: str) -> None:
    """Reports print Salesforce's ids in 15 characters: on either side, and whichever comes first (K§7.2)."""
    for source in sorted(["salesforce", "hubspot"], reverse=first == "salesforce"):
        if source == "salesforce":
            deal(cache, "S", source, 1000, source_id=kept)
        else:
            deal(cache, "H", source, 1000, sf_opportunity_id=named)
        facts.refresh(cache, REPORTING)
    assert shown(cache, BUILTINS["won_revenue"]).value == 1000
    links = cache.execute("SELECT a_id, b_id, kind FROM entity_links").fetchall()
    assert [tuple(link) for link in links] == [("H", "S", "hard")]

"""A CRM whose schema changes is synced on; each change is told once, with the KPIs and scorecards it touches."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Connector
from syncagent import drift
from syncagent.config import Config, load_config
from syncagent.sandbox import Sandbox
from syncagent.sandbox.change import office as change_office
from syncagent.sandbox.hubspot.props import PIPELINE_IDS
from syncagent.sandbox.salesforce.fixed import RECORD_TYPES
from syncagent.status import status
from syncagent.store import open_cache
from syncagent.sync import StreamReport, sync_source
from tests.fakes.truth_check import differences
from tests.integration import crm_cache

PRESENT = datetime(2026, 11, 16, 9, 0, tzinfo=UTC)
CARD = """
[mail]
host = "127.0.0.1"
port = 9
security = "none"
from = "Acme <scores@acme.test>"

[scorecard.weekly]
title = "Weekly"
owner = "owner@acme.test"
send = "monday 08:00"
kpis = ["won_revenue", "ticket_backlog", "leads_created"]
to = ["vp@acme.test"]
"""


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(tmp_path / "box", seed=3, as_of=PRESENT, limits=False, size="tiny") as box:
        yield box


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "config.toml").write_text(
        '[source.hs]\ntype = "hubspot"\naccess_token = "x"\n[source.sf]\ntype = "salesforce"\n'
        'instance_url = "https://a.my.salesforce.com"\nclient_id = "a"\nclient_secret = "b"\n' + CARD
    )
    return load_config(tmp_path / "config.toml")


def sync(box: Sandbox, config: Config, crm: str, **more: Any) -> list[StreamReport]:
    build: Any = crm_cache.hubspot if crm == "hubspot" else crm_cache.salesforce
    connector: Connector = build(box)
    with closing(open_cache(config.agent.data_dir)) as cache, closing(connector):
        return sync_source(connector, cache, clock=lambda: box.now, **more)


def told(config: Config, box: Sandbox) -> list[str]:
    """What is told now, and nothing of it twice."""
    with closing(open_cache(config.agent.data_dir)) as cache:
        found = drift.tell(cache, config, box.now)
        assert drift.tell(cache, config, box.now) == []
    return [f"{change.sentence} {touches.sentence}" for change, touches in found]


def test_a_hidden_property_costs_its_column_alone(box: Sandbox, config: Config) -> None:
    sync(box, config, "hubspot")
    box.hubspot.schema.hide("deals", "amount")
    box.pass_time(600)
    assert [report.error for report in sync(box, config, "hubspot") if report.error] == []
    (line,) = told(config, box)
    assert line.startswith("hs: deals.amount is gone, or hidden from this login. It feeds ")
    assert "won_revenue" in line
    assert line.endswith("on weekly.")
    problems = [one for one in status(config, box.now)["problems"] if one["code"] == "schema_changed"]
    assert [one["severity"] for one in problems] == ["warning"]
    sync(box, config, "hubspot")
    assert told(config, box) == []


def test_a_retyped_field_is_named_with_both_types(box: Sandbox, config: Config) -> None:
    sync(box, config, "salesforce")
    box.salesforce.schema.retype_field("Opportunity", "Amount", "string", str)
    box.pass_time(600)
    assert [report.error for report in sync(box, config, "salesforce") if report.error] == []
    (line,) = told(config, box)
    assert line.startswith("sf: Opportunity.Amount changed its type (currency to string). It feeds ")


def test_a_field_nobody_maps_is_no_news(box: Sandbox, config: Config) -> None:
    sync(box, config, "salesforce")
    box.salesforce.schema.add_field("Opportunity", "Mood__c", "string", "good")
    sync(box, config, "salesforce")
    assert told(config, box) == []


@pytest.mark.parametrize("crm", ["hubspot", "salesforce"])
def test_a_renamed_stage_is_told_and_its_history_stays_one(box: Sandbox, config: Config, crm: str) -> None:
    sync(box, config, crm)
    with closing(open_cache(config.agent.data_dir)) as cache:
        before = cache.execute(
            "SELECT id, stage, state FROM opportunity_stage_history WHERE is_deleted = 0 ORDER BY id"
        ).fetchall()
        stage = cache.execute(
            "SELECT stage FROM stage_defs WHERE object = 'opportunities' AND state = 'open' ORDER BY stage"
        ).fetchone()[0]
    place = ("deals", stage) if crm == "hubspot" else ("OpportunityStage", stage)
    box.apply(change_office.label_stage, *place, "Called otherwise")
    box.pass_time(600)
    sync(box, config, crm)
    with closing(open_cache(config.agent.data_dir)) as cache:
        after = cache.execute(
            "SELECT id, stage, state FROM opportunity_stage_history WHERE is_deleted = 0 ORDER BY id"
        ).fetchall()
        labels = cache.execute(
            "SELECT label, valid_from IS NULL FROM stage_defs WHERE object = 'opportunities' AND stage = ?"
            " ORDER BY valid_from",
            (stage,),
        ).fetchall()
    assert [tuple(row) for row in after] == [tuple(row) for row in before]
    assert [row[1] for row in labels] == [1, 0], "what it was called before stays, and since when it is called anew"
    assert labels[-1][0] == "Called otherwise"
    (line,) = told(config, box)
    assert "is called Called otherwise now; its history stays one. It feeds won_revenue on weekly." in line


@pytest.mark.parametrize(("crm", "name"), [("hubspot", "hs"), ("salesforce", "sf")])
def test_a_schema_that_comes_back_leaves_no_trace_in_the_rows(
    box: Sandbox, config: Config, crm: str, name: str
) -> None:
    sync(box, config, crm)
    if crm == "hubspot":
        box.hubspot.schema.hide("tickets", "subject")
    else:
        box.salesforce.schema.hide("Case.Subject")
    box.pass_time(600)
    sync(box, config, crm)
    if crm == "hubspot":
        box.hubspot.schema.show("tickets", "subject")
    else:
        box.salesforce.schema.show("Case.Subject")
    box.pass_time(600)
    sync(box, config, crm, due=lambda _last, _now: True)
    with closing(open_cache(config.agent.data_dir)) as cache:
        assert differences(cache, box.truth(strict=True), name, crm) == []
    gone, back = told(config, box)
    field = "tickets.subject" if crm == "hubspot" else "Case.Subject"
    assert gone.startswith(f"{name}: {field} is gone, or hidden from this login.")
    assert back.startswith(f"{name}: {field} is new")


def test_an_object_the_login_may_not_read_hides_no_change_of_the_others(box: Sandbox, config: Config) -> None:
    box.hubspot.schema.disable("emails")
    sync(box, config, "hubspot")
    box.hubspot.schema.hide("calls", "hs_call_duration")
    box.pass_time(600)
    sync(box, config, "hubspot")
    with closing(open_cache(config.agent.data_dir)) as cache:
        assert [change.sentence for change in drift.changes(cache)] == [
            "hs: calls.hs_call_duration is gone, or hidden from this login."
        ]


# -- pipelines -------------------------------------------------------------------------------------------------------

BY_PIPELINE = """
[kpi.enterprise]
name = "Won in the enterprise pipeline"
of = "opportunities"
agg = "count"
where = { pipeline = "default", state = "won" }
"""


def pipelines(config: Config, table: str) -> list[tuple[str, int, int]]:
    """Label, whether in use, whether it holds since ever: of each version of each live pipeline."""
    with closing(open_cache(config.agent.data_dir)) as cache:
        rows = cache.execute(
            "SELECT label, is_active, valid_from IS NULL FROM pipelines WHERE object = ? AND is_deleted = 0"
            " ORDER BY source_id",
            (table,),
        )
        return [tuple(row) for row in rows]


@pytest.mark.parametrize("crm", ["hubspot", "salesforce"])
def test_a_renamed_pipeline_is_told_with_what_counts_by_it(
    box: Sandbox, config: Config, tmp_path: Path, crm: str
) -> None:
    text = (tmp_path / "config.toml").read_text() + BY_PIPELINE
    (tmp_path / "config.toml").write_text(text.replace('"leads_created"', '"leads_created", "enterprise"'))
    config = load_config(tmp_path / "config.toml")
    sync(box, config, crm)
    place = ("deals", "default")
    if crm == "salesforce":
        place = ("Opportunity", RECORD_TYPES["Opportunity"]["New Business"])
    before = pipelines(config, "opportunities")
    assert {row[1:] for row in before} == {(1, 1)}
    box.apply(change_office.label_pipeline, *place, "Enterprise")
    box.pass_time(600)
    sync(box, config, crm)
    assert ("Enterprise", 1, 0) in pipelines(config, "opportunities")
    assert set(pipelines(config, "opportunities")) > set(before), "what it was called before stays"
    (line,) = told(config, box)
    assert "of opportunities is called Enterprise now; its records stay in it. It feeds enterprise on weekly." in line


def test_a_record_type_out_of_use_is_told_once(box: Sandbox, config: Config) -> None:
    sync(box, config, "salesforce")
    type_id = RECORD_TYPES["Case"]["Support"]
    for on in (False, True):
        box.apply(change_office.switch_record_type, "Case", type_id, on=on)
        box.pass_time(600)
        sync(box, config, "salesforce")
        (line,) = told(config, box)
        assert f"pipeline {type_id} of tickets is {'in' if on else 'out of'} use now." in line
    assert [row[1] for row in pipelines(config, "tickets")] == [1, 0, 1]


def test_a_pipeline_hubspot_no_longer_lists_is_told_with_its_stages(box: Sandbox, config: Config) -> None:
    sync(box, config, "hubspot")
    box.hubspot.schema.delete_pipeline("deals", PIPELINE_IDS["renewals"])
    box.pass_time(600)
    sync(box, config, "hubspot")
    lines = told(config, box)
    assert sum("pipeline Renewals of opportunities was removed." in line for line in lines) == 1
    assert all("of opportunities was removed." in line for line in lines)
    assert [row[0] for row in pipelines(config, "opportunities")] == ["Sales pipeline"]


@pytest.mark.parametrize("hidden", [("RecordType",), ("Opportunity.RecordTypeId", "Case.RecordTypeId")])
def test_without_record_types_only_their_names_are_missing(
    box: Sandbox, config: Config, hidden: tuple[str, ...]
) -> None:
    box.salesforce.schema.hide(*hidden)
    assert [report.error for report in sync(box, config, "salesforce") if report.error] == []
    assert pipelines(config, "opportunities") == []
    box.salesforce.schema.show(*hidden)
    for _ in range(2):
        box.pass_time(600)
        sync(box, config, "salesforce")
    with closing(open_cache(config.agent.data_dir)) as cache:
        assert differences(cache, box.truth(), "sf", "salesforce") == []


def test_a_deal_and_its_record_type_meet_however_ids_are_written(box: Sandbox, config: Config) -> None:
    box.salesforce.schema.shorten_ids()
    sync(box, config, "salesforce")
    with closing(open_cache(config.agent.data_dir)) as cache:
        found = cache.execute(
            "SELECT DISTINCT p.label FROM opportunities o LEFT JOIN pipelines p"
            " ON p.object = 'opportunities' AND p.pipeline = o.pipeline AND p.source_name = o.source_name"
            " WHERE o.is_deleted = 0 AND o.merged_into IS NULL"
        )
        labels = {row[0] for row in found}
    assert labels
    assert None not in labels

"""What a KPI lacks: said of every built-in before and after there is data, and of sources that could give it."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi, build, override
from scorecards.evaluate import Evaluator
from scorecards.needs import lack_of
from scorecards.periods import parse_period
from syncagent import facts
from syncagent.cli import run_cli
from syncagent.computable import verdicts
from syncagent.config import load_config
from syncagent.store import open_cache
from tests.fakes.every_table import AS_OF, fill
from tests.fakes.office import Office
from tests.unit.facts.frame import REPORTING, put

SHOWN = sorted(name for name, kpi in BUILTINS.items() if not kpi.hidden)
#: Of these a setting says what is counted: without it there is nothing to compute.
SETTINGS: dict[str, Any] = {
    "types": ["service"],
    "survey": "csat",
    "categories": ["question"],
    "object": "contacts",
}
CRM = """
[source.{name}]
type = "{kind}"
{login}
{more}
"""
SALESFORCE = 'instance_url = "https://a.my.salesforce.com"\nclient_id = "i"\nclient_secret = "s"'


def evaluator(cache: sqlite3.Connection, kpis: dict[str, Kpi] | None = None) -> Evaluator:
    return Evaluator(cache, {**BUILTINS, **(kpis or {})}, REPORTING, as_of=AS_OF)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path_factory.mktemp("empty"))) as cache:
        facts.refresh(cache, REPORTING)
        yield cache


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path_factory.mktemp("full"))) as cache:
        fill(cache)
        facts.refresh(cache, REPORTING)
        yield cache


@pytest.mark.parametrize("name", SHOWN)
def test_without_a_row_what_is_lacking_is_what_the_value_says(empty: sqlite3.Connection, name: str) -> None:
    """The list and the scorecard name the same thing, for every built-in."""
    asked = evaluator(empty)
    lack = lack_of(asked, BUILTINS[name])
    result = asked.evaluate(BUILTINS[name], period=parse_period("2026-05"))
    assert lack is not None
    assert (result.value, result.status) == (None, lack.status)
    assert lack.needs
    assert lack.maps, "where to map it"
    assert result.reason
    if not BUILTINS[name].operands:
        assert result.reason == lack.sentence


@pytest.mark.parametrize("name", SHOWN)
def test_with_rows_of_everything_nothing_is_lacking(full: sqlite3.Connection, name: str) -> None:
    kpi = BUILTINS[name]
    words = [said.removeprefix("params.") for said in kpi.configured_by if said.startswith("params.")]
    kpi = override(kpi, {"params": {word: SETTINGS[word] for word in words}}) if words else kpi
    asked = evaluator(full, {name: kpi})
    assert lack_of(asked, kpi) is None
    assert asked.evaluate(kpi, period=parse_period("2026-01-01..2026-07-01")).status not in (
        "no_data",
        "not_configured",
        "error",
    )


@pytest.mark.parametrize("name", ["email_response_rate", "customer_response_time"])
def test_calls_that_come_in_are_no_mails_that_come_in(empty: sqlite3.Connection, name: str, tmp_path: Path) -> None:
    """A CRM that logs its callers and not its post: nobody knows who answered, rather than nobody did."""
    with closing(open_cache(tmp_path)) as cache:
        for number in range(30):
            place = {"contact_id": f"C{number}", "occurred_at": "2026-05-04T10:00:00Z", "status": "completed"}
            put(cache, "activities", f"M{number}", type="email", direction="outbound", **place)
            put(cache, "activities", f"A{number}", type="call", direction="inbound", **place)
        facts.refresh(cache, REPORTING)
        found = evaluator(cache).evaluate(BUILTINS[name], period=parse_period("2026-05"))
        assert (found.value, found.status) == (None, "no_data")
        assert found.reason is not None
        assert found.reason.startswith("no data: needs 1:1 e-mail in both directions")


def test_a_sum_of_kpis_needs_one_of_what_is_added(full: sqlite3.Connection) -> None:
    kpis = {
        "nothing": build("nothing", {"of": "business_calendars", "needs": "calendars"}),
        "deals": build("deals", {"of": "opportunities"}),
        "some": build("some", {"calc": {"plus": ["nothing", "deals"]}}),
        "less": build("less", {"calc": {"plus": ["deals"], "minus": ["nothing"]}}),
        "none": build("none", {"calc": {"plus": ["nothing"]}, "needs": "anything"}),
        "over": build("over", {"ratio": {"top": "deals", "bottom": "nothing"}}),
    }
    full.execute("DELETE FROM business_calendars")
    asked = evaluator(full, kpis)
    said = {name: lack.needs if (lack := lack_of(asked, kpi)) else None for name, kpi in kpis.items()}
    assert said == {
        "nothing": "calendars", "deals": None, "some": None, "less": "calendars", "none": "anything",
        "over": "calendars",
    }  # fmt: skip


def test_a_statement_of_ones_own_needs_a_row_of_a_table_it_names(
    full: sqlite3.Connection, empty: sqlite3.Connection
) -> None:
    kpi = build("mine", {"sql": "SELECT count(*) AS value FROM tickets JOIN leads"})
    assert lack_of(evaluator(full, {"mine": kpi}), kpi) is None
    lack = lack_of(evaluator(empty, {"mine": kpi}), kpi)
    assert lack is not None
    assert lack.sentence.startswith("no data: needs leads or tickets. Read leads from a CRM")


def configured(folder: Path, more: str) -> Any:
    """The verdicts of an office whose configuration says `more`, after a sync that brought nothing."""
    office = Office(folder)
    office.write(more=more)
    config = load_config(office.config, environ={})
    with closing(open_cache(office.data_dir)) as cache:
        for source in config.sources:
            cache.execute(
                "INSERT INTO sync_state (source_name, stream, ok_at) VALUES (?, 'leads', ?)", (source, "2026-01-01")
            )
        facts.refresh(cache, config.reporting())
        return verdicts(config, cache, as_of=datetime(2026, 6, 1, tzinfo=UTC))


def test_a_table_no_source_gives_is_read_from_a_file(tmp_path: Path) -> None:
    found = configured(tmp_path, "")
    said = 'No source gives tickets: read them from a file, [[source.NAME.table]] table = "tickets".'
    assert found["ticket_backlog"].mend == said
    assert found["net_profit"].mend.startswith("Read them from a file: [[source.NAME.table]] table = ")
    assert found["complaints_count"].mend.startswith(f"{said} Map them: [source.NAME.values.tickets] category")


def test_a_stream_left_out_is_to_be_read_again(tmp_path: Path) -> None:
    crm = CRM.format(name="sf", kind="salesforce", login=SALESFORCE, more='streams = ["leads"]')
    found = configured(tmp_path, crm)
    assert found["ticket_backlog"].mend == 'Add "tickets" to streams of [source.sf].'
    assert found["lead_conversion_rate"].mend == "sf has no leads."


def test_where_to_map_names_the_source_that_gives_the_table(tmp_path: Path) -> None:
    crm = CRM.format(name="sf", kind="salesforce", login=SALESFORCE, more="")
    found = configured(tmp_path, crm)
    assert "[source.sf.fields.orders] promised_date" in found["on_time_delivery_rate"].mend
    assert "[source.NAME.fields.opportunities]" in found["partner_revenue_share"].mend  # a file gives deals as well


def test_a_file_maps_by_its_columns(tmp_path: Path) -> None:
    assert "columns of [[source.desk.table]]: cost" in configured(tmp_path, "")["profit_per_customer"].mend


def test_of_two_tables_that_will_do_one_that_is_read_may_be_enough(tmp_path: Path) -> None:
    """A source of calls alone may know the busiest day: before a first sync nobody says it cannot."""
    calls = '\n[source.phones]\ntype = "files"\n[[source.phones.table]]\npath = "calls.csv"\ntable = "activities"\n'
    office = Office(tmp_path)
    office.write(more=calls)
    found = verdicts(load_config(office.config, environ={}), None, as_of=AS_OF)
    assert found["peak_customer_capacity"].can_compute is None
    assert found["ticket_backlog"].can_compute is False


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs_given_back: None) -> Office:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYNCAGENT_CONFIG", raising=False)
    office = Office(tmp_path)
    office.write(more='\n[kpi.mine]\nof = "opportunities"\n')
    return office


def test_the_list_before_the_first_sync_and_after_it(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    """Old keys keep their meaning; the new ones say what can be computed."""
    assert run_cli(["kpi", "list"]) == 0
    before = capsys.readouterr().out
    assert "Front office: 0 of" in before
    assert "needs a first sync" in before
    run_cli(["sync"])
    capsys.readouterr()
    assert run_cli(["kpi", "list"]) == 0
    after = capsys.readouterr().out
    headings = [line.partition(":")[0] for line in after.splitlines() if line.endswith("can be computed")]
    assert headings == ["Front office", "Back office", "Business associations", "Analysis", "Your own"]
    assert "won_revenue *" in after
    assert "csat_satisfied_rate, csat_score: needs satisfaction survey responses\n  No source gives" in after


def test_the_list_as_json_keeps_its_old_form(office: Office, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    run_cli(["sync"])
    capsysbinary.readouterr()
    run_cli(["kpi", "list", "--json"])
    rows = json.loads(capsysbinary.readouterr().out)
    assert [row["kpi"] for row in rows] == sorted([*SHOWN, "mine"])
    by = {row["kpi"]: row for row in rows}
    old = {"kpi": "won_revenue", "title": "Won revenue", "of": "opportunities", "on_scorecards": ["weekly"]}
    assert by["won_revenue"].items() >= {**old, "has_target": False, "can_compute": True, "lacks": None}.items()
    assert (by["mine"]["perspective"], by["mine"]["builtin"], by["mine"]["can_compute"]) == ("Your own", False, True)
    assert (by["csat_score"]["can_compute"], by["csat_score"]["status"]) == (False, "no_data")
    assert by["survey_rating"]["status"] == "not_configured"


@pytest.mark.parametrize("command", [["kpi", "show"], ["kpi", "explain"]])
def test_who_reads_files_alone_is_told_of_columns_wherever_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """`kpi show` says what `kpi list` does: a files source has no [source.NAME.fields.TABLE]."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYNCAGENT_CONFIG", raising=False)
    Office(tmp_path).write()
    run_cli(["sync"])
    capsys.readouterr()
    run_cli([*command, "profit_per_customer"])
    said = capsys.readouterr().out
    assert "columns of [[source.desk.table]]: cost" in said
    assert ".fields." not in said


def test_the_agent_notes_its_own_book_alone(empty: sqlite3.Connection) -> None:
    """That two CRMs have records in common is none of its notes."""
    for name in ("sync_success_rate", "report_latency"):
        lack = lack_of(evaluator(empty), BUILTINS[name])
        assert lack is not None
        assert "The agent notes it itself" in lack.sentence
    for kpi in (BUILTINS["dq_consolidation_rate"], build("mine", {"of": "link_clusters"})):
        lack = lack_of(evaluator(empty, {kpi.id: kpi}), kpi)
        assert lack is not None
        assert "notes" not in lack.sentence
        assert "[source.NAME]" in lack.maps


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (
            {"pipeline": "Nope"},
            "no pipeline is called 'Nope'. There are Direct sales, partners. Correct",
        ),
        ({"step": "Nope"}, "no step is called 'Nope'. There are 1 Talk, 2 Offer. Correct params.step."),
        ({"step": 9}, "no step is called '9'."),
        ({"step": 1, "pipeline": "partners"}, "no step is called '1'. There is none."),
        ({"step": "Offer", "pipeline": "Direct sales"}, None),
        ({"step": 2, "pipeline": "direct"}, None),
        ({"pipeline": "partners"}, None),
    ],
)
def test_a_pipeline_or_step_no_deal_was_in_is_named(tmp_path: Path, params: dict[str, Any], said: str | None) -> None:
    """With those there are: a name misspelt is no funnel without deals."""
    with closing(open_cache(tmp_path)) as cache:
        put(cache, "pipelines", "P", object="opportunities", pipeline="direct", label="Direct sales")
        for id_, pipeline in (("A", "direct"), ("B", "direct"), ("C", "partners")):
            row = {"pipeline": pipeline, "state": "open", "stage": "Offer" if id_ == "A" else None}
            put(cache, "opportunities", id_, created_at="2026-01-01T00:00:00Z", **row)
        for number, stage in enumerate(("Talk", "Offer")):
            moved = {"opportunity_id": "A", "stage": stage, "state": "open", "stage_order": number + 1}
            moved["changed_at"] = f"2026-01-0{number + 2}T00:00:00Z"
            put(cache, "opportunity_stage_history", f"H{number}", **moved)
        facts.refresh(cache, REPORTING)
        kpi = override(BUILTINS["funnel_dropout_rate"], {"params": params})
        lack = lack_of(evaluator(cache, {kpi.id: kpi}), kpi)
        assert (lack is None) == (said is None)
        if lack is not None and said is not None:
            assert (lack.status, said in lack.sentence) == ("not_configured", True), lack.sentence
            assert evaluator(cache, {kpi.id: kpi}).evaluate(kpi).reason == lack.sentence

"""Which columns a KPI reads: every form of the language names them, and a derived column those it is made of."""

from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import Reporting, build
from scorecards.uses import OWN_BOOK, columns_used, tables_beside
from syncagent.schema import TABLES, column_types

REPORTING = Reporting(
    timezone="UTC",
    currency="EUR",
    tables={table: column_types(table) for table in TABLES},
    references={table: dict(TABLES[table].references) for table in TABLES},
    dimensions={"team": {"opportunities": "owner.team"}},
)


def used(**kpi: Any) -> set[str]:
    made = build("own", kpi)
    return {f"{table}.{column}" for table, column in columns_used(made, {**BUILTINS, "own": made}, REPORTING)}


@pytest.mark.parametrize(
    ("kpi", "columns"),
    [
        ({"of": "opportunities", "agg": "sum", "field": "amount"}, {"amount_minor", "currency"}),
        ({"of": "opportunities", "date": "outcome_date"}, {"close_date", "state", "stage"}),
        ({"of": "opportunities", "where": {"custom.health": {"above": 3}}}, {"custom.health"}),
        ({"of": "opportunities", "where": {"owner_team": "EMEA"}}, {"owner_id", "users.team"}),
        ({"of": "opportunities", "by": ["team"]}, {"owner_id", "users.team"}),
        ({"of": "opportunities", "share": {"is_won": True}}, {"state", "stage"}),
        ({"of": "opportunities", "action": {"where": {}, "order": "-amount", "show": ["name"]}}, {"name", "currency"}),
        ({"of": "opportunities", "filled": {"required": {"loss_reason": 1.0}}}, {"loss_reason"}),
    ],
)
def test_what_a_slot_names_is_used(kpi: dict[str, Any], columns: set[str]) -> None:
    assert {c if "." in c and not c.startswith("custom") else f"opportunities.{c}" for c in columns} <= used(**kpi)


def test_a_list_uses_what_the_kpis_it_names_use() -> None:
    listed = used(of="tickets", action={"kpi": "missed_calls", "without": {"kpi": "upsells_of_a_year", "by": "id"}})
    assert {"activities.direction", "activities.connected", "opportunities.type"} <= listed
    assert {"contracts.mrr_minor", "opportunities.amount_minor"} <= used(
        of="customer_spans",
        retain={"opens": "start_date", "closes": "end_date", "key": "account_id"},
        action={"order": "-yearly_revenue"},
    )


def test_what_no_slot_names_is_not_used() -> None:
    assert "opportunities.amount_minor" not in used(of="opportunities", date="created_at")


def test_times_of_a_ticket_come_from_its_history_too() -> None:
    places = used(of="tickets", duration={"from": "created_at", "to": "first_closed_at"}, agg="median")
    assert {"tickets.created_at", "tickets.closed_at", "ticket_status_history.status"} <= places


def test_an_amount_is_made_of_what_converts_it() -> None:
    """What the CRM makes of a deal in its own currency is read wherever the deal's money is."""
    home = {"opportunities.home_amount", "opportunities.home_currency", "opportunities.currency"}
    for field in ("amount", "profit", "cost"):
        assert home < used(of="opportunities", agg="sum", field=field)
    for field in ("amount", "worth"):
        assert home < used(of="purchases", agg="sum", field=field)
    assert home < used(of="customer_spans", agg="sum", field="yearly_revenue")


def test_a_clock_that_stops_reads_the_states_it_stops_for() -> None:
    slot = {"from": "created_at", "to": "first_response_at"}
    assert "tickets.status_category" not in used(of="tickets", agg="avg", duration=slot)
    assert "tickets.status_category" in used(of="tickets", agg="avg", duration={**slot, "pause_on": ["pending"]})


def test_a_first_answer_is_a_public_one_of_ours() -> None:
    answered = {f"activities.{name}" for name in ("occurred_at", "direction", "status", "is_public", "is_automated")}
    assert answered < used(of="tickets", duration={"from": "created_at", "to": "first_response_at"})
    assert answered < used(of="survey_responses", agg="avg", field="ticket_response_s")


def test_an_answered_mail_is_made_of_activities() -> None:
    """Relations that are no table stand for the columns they are made of."""
    places = used(of="sent_mails", date="occurred_at", cohort={"reaches": "answered_at", "within": "7d"})
    assert {"activities.occurred_at", "activities.thread_id", "activities.contact_id"} <= places
    sends = used(of="campaign_sends", date="sent_at", share={"bounced_at": {"set": False}})
    assert {"email_events.type", "email_events.send_id"} <= sends


def test_a_ratio_uses_what_its_parts_use_and_sql_what_it_names() -> None:
    assert "opportunities.amount_minor" in used(ratio={"top": "won_revenue", "bottom": "leads_created"})
    assert used(sql="SELECT count(priority) AS value FROM tickets") == {"tickets.priority"}


@pytest.mark.parametrize("name", sorted(BUILTINS))
def test_every_built_in_reads_columns_that_exist(name: str) -> None:
    places = columns_used(BUILTINS[name], BUILTINS, REPORTING)
    made_of = {name, *(operand.partition(".")[0] for operand in BUILTINS[name].operands)}
    assert places or OWN_BOOK & {BUILTINS[part].of for part in made_of}
    assert all(column in column_types(table) for table, column in places)


def test_an_answer_given_in_time_is_as_fresh_as_the_activities_it_is_seen_in() -> None:
    """And what a filter compares with by another column is read from that column too."""
    assert tables_beside(BUILTINS["fast_but_dissatisfied_rate"]) == {"tickets", "activities"}
    limit = {"value": 9, "by": "ticket.priority", "of": {"high": 3}}
    assert "tickets.priority" in used(of="survey_responses", where={"ticket_response_s": {"lte": limit}})

"""The attributes of every built-in KPI, row by row: which way is better, how many rows make a figure, what adds up."""

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi
from scorecards.figures import n_min
from syncagent.computable import PERSPECTIVES
from syncagent.records import RECORD

SHOWN = [kpi for kpi in BUILTINS.values() if not kpi.hidden]

#: (KPI, perspective, direction, the rows that make a figure, what it adds up over: A all, S segments, N nothing).
ATTRIBUTES = [
    ("actions_per_engagement", "Front office", "neutral", "20", "N"),
    ("active_customers", "Front office", "up", "-", "S"),
    ("average_call_length", "Front office", "neutral", "D5", "N"),
    ("average_collection_period", "Back office", "down", "-", "N"),
    ("average_handling_time", "Front office", "down", "D5", "N"),
    ("average_retention_period", "Front office", "up", "5", "N"),
    ("calls_handled", "Front office", "neutral", "-", "A"),
    ("complaining_customers", "Front office", "down", "-", "N"),
    ("complaints_count", "Front office", "down", "-", "A"),
    ("contactability_rate", "Analysis", "up", "20", "N"),
    ("conversation_rate", "Front office", "up", "R20", "N"),
    ("cost_per_call", "Front office", "down", "20", "N"),
    ("crm_adoption_rate", "Analysis", "up", "R20", "N"),
    ("csat_satisfied_rate", "Front office", "up", "S10", "N"),
    ("csat_score", "Front office", "up", "S10", "N"),
    ("customer_attrition_rate", "Front office", "down", "R20", "N"),
    ("customer_lifetime_value", "Front office", "up", "5", "N"),
    ("customer_response_time", "Front office", "down", "D5", "N"),
    ("customer_retention_rate", "Front office", "up", "R20", "N"),
    ("data_sync_lag", "Analysis", "down", "-", "N"),
    ("detractor_followup_rate", "Front office", "up", "5", "N"),
    ("dq_completeness", "Analysis", "up", "20", "N"),
    ("dq_consolidation_rate", "Analysis", "up", "20", "N"),
    ("dq_duplicate_rate", "Analysis", "down", "20", "N"),
    ("dq_inconsistencies", "Analysis", "down", "-", "S"),
    ("dq_relevance", "Analysis", "up", "20", "N"),
    ("dq_timeliness", "Analysis", "up", "20", "N"),
    ("email_click_through_rate", "Front office", "up", "R20", "N"),
    ("email_delivery_rate", "Front office", "up", "R20", "N"),
    ("email_response_rate", "Front office", "up", "R20", "N"),
    ("escalations_count", "Front office", "down", "-", "A"),
    ("fast_but_dissatisfied_rate", "Front office", "down", "S10", "N"),
    ("first_call_response_time", "Front office", "down", "D5", "N"),
    ("first_purchase_retention_rate", "Front office", "up", "R20", "N"),
    ("first_response_sla_rate", "Front office", "up", "R20", "N"),
    ("first_response_time", "Front office", "down", "D5", "N"),
    ("follow_up_on_time_rate", "Front office", "up", "R20", "N"),
    ("full_resolution_rate", "Front office", "up", "R20", "N"),
    ("funnel_dropout_rate", "Front office", "down", "R20", "N"),
    ("installation_problems_per_unit", "Back office", "down", "20", "N"),
    ("lead_conversion_rate", "Front office", "up", "R20", "N"),
    ("lead_response_time", "Front office", "down", "D5", "N"),
    ("lead_to_sale_rate", "Front office", "up", "R20", "N"),
    ("lost_opportunities", "Front office", "down", "-", "A"),
    ("mean_time_to_resolution", "Front office", "down", "D5", "N"),
    ("net_profit", "Back office", "up", "-", "A"),
    ("new_customers", "Front office", "up", "-", "A"),
    ("on_time_delivery_rate", "Back office", "up", "R20", "N"),
    ("outreach_volume", "Front office", "neutral", "-", "A"),
    ("partner_relationship_freshness", "Business associations", "up", "5", "N"),
    ("partner_revenue_share", "Business associations", "neutral", "R20", "N"),
    ("peak_customer_capacity", "Front office", "up", "30", "N"),
    ("pipeline_open_value", "Front office", "neutral", "-", "S"),
    ("post_sales_per_unit_sold", "Back office", "up", "20", "N"),
    ("processing_rate", "Analysis", "up", "5", "N"),
    ("profit_per_customer", "Front office", "up", "10", "N"),
    ("relationship_freshness", "Front office", "up", "R20", "N"),
    ("reopen_rate", "Front office", "down", "R20", "N"),
    ("report_latency", "Analysis", "down", "5", "N"),
    ("return_client_rate", "Front office", "neutral", "R20", "N"),
    ("sales_growth", "Front office", "up", "G5", "N"),
    ("service_rating", "Front office", "up", "S10", "N"),
    ("source_coverage_rate", "Analysis", "up", "-", "N"),
    ("staff_turnover_rate", "Back office", "down", "10", "N"),
    ("survey_coverage_rate", "Front office", "up", "R20", "N"),
    ("survey_rating", "Front office", "up", "S10", "N"),
    ("survey_response_rate", "Front office", "up", "R20", "N"),
    ("sync_success_rate", "Analysis", "up", "5", "N"),
    ("ticket_backlog", "Front office", "down", "-", "S"),
    ("time_since_last_followup", "Front office", "down", "D5", "N"),
    ("time_to_complete_resolution", "Front office", "down", "D5", "N"),
    ("unconverted_leads", "Front office", "down", "-", "A"),
    ("upsell_revenue", "Front office", "up", "-", "A"),
    ("voc_comment_count", "Front office", "up", "-", "A"),
    ("win_rate", "Front office", "up", "R20", "N"),
    ("won_revenue", "Front office", "up", "-", "A"),
]


@pytest.mark.parametrize(("name", "perspective", "direction", "kind", "additivity"), ATTRIBUTES)
def test_a_kpi_is_what_the_catalogue_says(
    name: str, perspective: str, direction: str, kind: str, additivity: str
) -> None:
    kpi = BUILTINS[name]
    assert (kpi.perspective, kpi.direction, kpi.n_min_kind, kpi.additivity) == (
        perspective,
        direction,
        kind,
        additivity,
    )
    assert n_min(kpi) == int(kind.lstrip("RDSG-") or 0)
    assert kpi.about
    assert kpi.needs
    assert kpi.group
    assert kpi.segments or name in ("cost_per_call", "net_profit")  # costs are of the whole company


def test_every_kpi_is_in_the_table() -> None:
    assert sorted(name for name, kpi in BUILTINS.items() if not kpi.hidden) == [row[0] for row in ATTRIBUTES]


def test_a_speed_names_the_quality_it_is_bought_with() -> None:
    """No time is shown without what became of those it was short for."""
    speeds = [kpi for kpi in SHOWN if is_speed(kpi)]
    assert len(speeds) >= 10
    lacking = [kpi.id for kpi in speeds if not kpi.partner]
    assert lacking == []
    assert {name for kpi in SHOWN for name in kpi.partner if BUILTINS[name].hidden or is_speed(BUILTINS[name])} == set()


def is_speed(kpi: Kpi) -> bool:
    """A time somebody took or waited, or whether it was within a target; how money comes in is no matter of quality."""
    is_time = kpi.duration is not None or kpi.unit in ("seconds", "days")
    is_target = kpi.deadline is not None and kpi.deadline.clock == "business"
    is_wanted_short = kpi.aspect != "financial" and kpi.perspective != "Analysis" and kpi.direction != "up"
    return (is_time and is_wanted_short) or is_target


@pytest.mark.parametrize("kpi", SHOWN, ids=lambda kpi: kpi.id)
def test_a_record_says_all_that_can_be_known_of_a_builtin(kpi: Kpi) -> None:
    """Who answers for it, what it is for and when it is looked over only the organisation can say."""
    assert [field for field in RECORD if not getattr(kpi, field)] == ["owner", "objective", "review_by"]
    assert kpi.aspect is not None
    assert kpi.perspective in PERSPECTIVES

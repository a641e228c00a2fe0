"""The attributes of every built-in KPI, row by row: which way is better, how many rows make a figure, what adds up."""

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.figures import n_min

#: (KPI, perspective, direction, the rows that make a figure, what it adds up over: A all, S segments, N nothing).
ATTRIBUTES = [
    ("actions_per_engagement", "Front office", "neutral", "20", "N"),
    ("average_call_length", "Front office", "neutral", "D5", "N"),
    ("average_collection_period", "Back office", "down", "-", "N"),
    ("average_handling_time", "Front office", "down", "D5", "N"),
    ("calls_handled", "Front office", "neutral", "-", "A"),
    ("complaining_customers", "Front office", "down", "-", "N"),
    ("complaints_count", "Front office", "down", "-", "A"),
    ("conversation_rate", "Front office", "up", "R20", "N"),
    ("cost_per_call", "Front office", "down", "20", "N"),
    ("crm_adoption_rate", "Analysis", "up", "R20", "N"),
    ("csat_satisfied_rate", "Front office", "up", "S10", "N"),
    ("csat_score", "Front office", "up", "S10", "N"),
    ("customer_attrition_rate", "Front office", "down", "R20", "N"),
    ("customer_response_time", "Front office", "down", "D5", "N"),
    ("customer_retention_rate", "Front office", "up", "R20", "N"),
    ("detractor_followup_rate", "Front office", "up", "5", "N"),
    ("dq_completeness", "Analysis", "up", "20", "N"),
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
    ("installation_problems_per_unit", "Back office", "down", "20", "N"),
    ("lead_conversion_rate", "Front office", "up", "R20", "N"),
    ("lead_response_time", "Front office", "down", "D5", "N"),
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
    ("profit_per_customer", "Front office", "up", "10", "N"),
    ("relationship_freshness", "Front office", "up", "R20", "N"),
    ("reopen_rate", "Front office", "down", "R20", "N"),
    ("return_client_rate", "Front office", "neutral", "R20", "N"),
    ("sales_growth", "Front office", "up", "G5", "N"),
    ("service_rating", "Front office", "up", "S10", "N"),
    ("staff_turnover_rate", "Back office", "down", "10", "N"),
    ("survey_coverage_rate", "Front office", "up", "R20", "N"),
    ("survey_rating", "Front office", "up", "S10", "N"),
    ("survey_response_rate", "Front office", "up", "R20", "N"),
    ("ticket_backlog", "Front office", "down", "-", "S"),
    ("time_since_last_followup", "Front office", "down", "D5", "N"),
    ("time_to_complete_resolution", "Front office", "down", "D5", "N"),
    ("unconverted_leads", "Front office", "down", "-", "A"),
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
    assert kpi.segments


def test_every_kpi_is_in_the_table() -> None:
    assert sorted(name for name, kpi in BUILTINS.items() if not kpi.hidden) == [row[0] for row in ATTRIBUTES]


def test_a_speed_names_the_quality_it_is_bought_with() -> None:
    """No time is shown without what became of those it was short for."""
    speeds = [kpi for kpi in BUILTINS.values() if kpi.duration is not None and not kpi.hidden]
    assert len(speeds) >= 4
    assert all(kpi.partner in BUILTINS for kpi in speeds)

"""What stands in the row of each built-in KPI: unit, direction, n, window, what it is compared with, what places it."""

from datetime import UTC, datetime

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.compiler import Compiler
from scorecards.definition import Kpi, Reporting
from scorecards.periods import shifted
from scorecards.plan import plan
from scorecards.reading import unit_of
from tests.unit.facts.frame import REPORTING

COMPILER = Compiler(REPORTING, as_of=0, today="2026-01-01", one_rate=lambda table: None)
#: KPI, aspect, unit, direction, the rows that make a figure, window (run: a stock as of the run), what it is compared
#: with, and the columns that place its rows in the window (T: the end of it).
ROWS = """
conversation_rate               customer   ratio    up       R20  month    previous+year_ago  occurred_at
outreach_volume                 process    count    neutral  -    month    previous+year_ago  occurred_at
email_response_rate             customer   ratio    up       R20  month    previous+year_ago  occurred_at
email_delivery_rate             process    ratio    up       R20  month    previous           sent_at
email_click_through_rate        customer   ratio    up       R20  month    previous           delivered_at
customer_response_time          customer   seconds  down     D5   month    previous+year_ago  occurred_at
actions_per_engagement          process    number   neutral  20   quarter  previous           started_at
relationship_freshness          customer   ratio    up       R20  run      month_ago          T
time_since_last_followup        process    days     down     D5   run      month_ago          T
follow_up_on_time_rate          process    ratio    up       R20  month    previous           due_at
lead_conversion_rate            process    ratio    up       R20  month    previous+year_ago  created_at
lead_to_sale_rate               financial  ratio    up       R20  month    year_ago           created_at
unconverted_leads               process    count    down     -    month    previous+year_ago  created_at
lead_response_time              process    seconds  down     D5   month    previous           created_at
funnel_dropout_rate             process    ratio    down     R20  quarter  previous+year_ago  created_at
win_rate                        financial  ratio    up       R20  quarter  previous+year_ago  outcome_date
lost_opportunities              financial  count    down     -    month    previous+year_ago  outcome_date
won_revenue                     financial  money    up       -    month    previous+year_ago  outcome_date
sales_growth                    financial  ratio    up       G5   month    year_ago           outcome_date
upsell_revenue                  financial  money    up       -    month    previous+year_ago  outcome_date
pipeline_open_value             financial  money    neutral  -    run      month_ago          T
new_customers                   customer   count    up       -    month    previous+year_ago  purchase_date
active_customers                customer   count    up       -    run      year_ago           T
customer_retention_rate         customer   ratio    up       R20  quarter  previous+year_ago  T
customer_attrition_rate         customer   ratio    down     R20  quarter  previous+year_ago  T
first_purchase_retention_rate   customer   ratio    up       R20  quarter  year_ago           purchase_date
return_client_rate              customer   ratio    neutral  R20  month    year_ago           purchase_date
average_retention_period        customer   days     up       5    run      year_ago           T
customer_lifetime_value         financial  money    up       5    run      nothing            T+day+purchase_date
profit_per_customer             financial  money    up       10   quarter  year_ago           outcome_date
net_profit                      financial  money    up       -    month    year_ago           day+outcome_date
csat_score                      customer   score    up       S10  month    previous+year_ago  responded_at
csat_satisfied_rate             customer   ratio    up       S10  month    previous+year_ago  responded_at
service_rating                  customer   score    up       S10  month    previous+year_ago  responded_at
survey_rating                   customer   score    up       S10  quarter  previous           responded_at
survey_response_rate            process    ratio    up       R20  month    previous           sent_at
survey_coverage_rate            process    ratio    up       R20  month    previous           first_closed_at
voc_comment_count               customer   count    up       -    month    previous           created_at+responded_at
detractor_followup_rate         customer   ratio    up       5    month    previous           responded_at
fast_but_dissatisfied_rate      customer   ratio    down     S10  quarter  previous           responded_at
first_response_time             process    seconds  down     D5   month    previous+year_ago  created_at
first_response_sla_rate         process    ratio    up       R20  month    previous           created_at
first_call_response_time        process    seconds  down     D5   month    previous           created_at
mean_time_to_resolution         process    seconds  down     D5   month    previous+year_ago  first_closed_at
time_to_complete_resolution     process    seconds  down     D5   month    previous+year_ago  last_closed_at
full_resolution_rate            customer   ratio    up       R20  month    previous           first_closed_at
reopen_rate                     customer   ratio    down     R20  month    previous           first_closed_at
ticket_backlog                  process    count    down     -    run      month_ago          T
complaints_count                customer   count    down     -    month    previous+year_ago  created_at
complaining_customers           customer   count    down     -    month    previous+year_ago  created_at
escalations_count               process    count    down     -    month    previous           first_escalated_at
calls_handled                   process    count    neutral  -    month    previous+year_ago  occurred_at
average_call_length             process    seconds  neutral  D5   month    previous           occurred_at
average_handling_time           process    seconds  down     D5   month    previous           occurred_at
cost_per_call                   financial  money    down     20   month    previous+year_ago  day+occurred_at
peak_customer_capacity          process    count    up       30   90_days  nothing            handled_at
average_collection_period       financial  days     down     -    quarter  year_ago           T+day
on_time_delivery_rate           customer   ratio    up       R20  month    previous+year_ago  due_date
installation_problems_per_unit  customer   per_100  down     20   quarter  previous           created_at+sold_date
post_sales_per_unit_sold        financial  money    up       20   quarter  year_ago           outcome_date+sold_date
staff_turnover_rate             process    ratio    down     10   quarter  year_ago           T+left_at
partner_revenue_share           financial  ratio    neutral  R20  quarter  year_ago           outcome_date
partner_relationship_freshness  customer   ratio    up       5    run      month_ago          T
dq_completeness                 process    ratio    up       20   run      month_ago          T
dq_timeliness                   process    ratio    up       20   run      month_ago          T
dq_relevance                    process    ratio    up       20   run      month_ago          T
dq_duplicate_rate               process    ratio    down     20   run      month_ago          T
dq_consolidation_rate           process    ratio    up       20   run      month_ago          T
contactability_rate             process    ratio    up       20   run      month_ago          T
source_coverage_rate            process    ratio    up       -    run      nothing            T
data_sync_lag                   process    seconds  down     -    run      nothing            T
sync_success_rate               process    ratio    up       5    week     previous           started_at
processing_rate                 process    number   up       5    week     previous           started_at
report_latency                  process    seconds  down     5    month    previous           due_at
crm_adoption_rate               process    ratio    up       R20  month    previous           T
"""
#: Whose window is the latest whose rows have all had their time.
MATURE = {
    "lead_conversion_rate": "month",
    "lead_to_sale_rate": "month",
    "first_purchase_retention_rate": "quarter",
    "full_resolution_rate": "month",
    "reopen_rate": "month",
}


def _window(kpi: Kpi) -> str:
    """What is shown unless somebody asks otherwise: a stock at the run, the last days, a calendar period."""
    asked = plan(kpi, Reporting(), as_of=datetime(2026, 11, 20, 12, tzinfo=UTC))
    if not asked.shows_period:
        return "run"
    if kpi.window is not None:
        return f"{kpi.window // 86400} days"
    return asked.granularity


def _placed(kpi: Kpi) -> set[str]:
    """The columns that place its rows in the window; T: the end of it."""
    if kpi.operands:
        return set().union(*(_placed(BUILTINS[said.partition(".")[0]]) for said in kpi.operands))
    if kpi.stock is not None or kpi.filled is not None or kpi.retain is not None:
        return {"T"}
    return {kpi.date or "-"}


@pytest.mark.parametrize("row", ROWS.strip().splitlines(), ids=lambda row: row.split()[0])
def test_a_row_is_what_the_catalogue_says(row: str) -> None:
    name, aspect, unit, direction, kind, window, compared, placed = row.split()
    kpi = BUILTINS[name]
    assert (kpi.aspect, unit_of(kpi, BUILTINS, COMPILER), kpi.direction) == (aspect, unit, direction)
    assert (kpi.n_min_kind, _window(kpi)) == (kind, window.replace("_", " "))
    assert "+".join(kpi.compare) == (compared if compared != "nothing" else "")
    assert _placed(kpi) == set(placed.split("+"))


def test_every_kpi_has_its_row() -> None:
    """But for the list of records that contradict themselves."""
    shown = {name for name, kpi in BUILTINS.items() if not kpi.hidden}
    assert shown - {row.split()[0] for row in ROWS.strip().splitlines()} == {"dq_inconsistencies"}


@pytest.mark.parametrize(("name", "grain"), MATURE.items())
def test_the_window_is_the_latest_that_is_old_enough(name: str, grain: str) -> None:
    """Two days into a quarter the one just over is too young."""
    kpi, as_of = BUILTINS[name], datetime(2026, 10, 2, tzinfo=UTC)
    wait = kpi.mature.wait if kpi.mature is not None else kpi.cohort.within if kpi.cohort is not None else 0
    asked = plan(kpi, Reporting(), as_of=as_of)
    later = plan(kpi, Reporting(), as_of=as_of, period=shifted(asked.main.span, 1))
    assert asked.granularity == grain
    assert asked.main.until + wait <= as_of.timestamp() < later.main.until + wait

"""What `params` of a KPI may say: a name it does not know and a value that will not do are refused, never ignored."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from scorecards import definition
from scorecards.catalogue import BUILTINS
from scorecards.checks import parameters
from scorecards.definition import Kpi
from scorecards.takes import Takes
from syncagent.config import ConfigError, load_config
from syncagent.config.kpi import mistakes
from syncagent.config.problems import dotted
from tests.kpi_cases import cases_of, kpi_of
from tests.unit.test_config_kpi import REPORTING

CASES = Path(__file__).parents[1] / "data" / "kpi-cases"


def refused(folder: Path, text: str) -> list[str]:
    """Each line that is printed of a configuration, without the file and the number of the line."""
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    try:
        load_config(path, environ={})
    except ConfigError as error:
        return [str(problem).partition(": ")[2] for problem in error.problems]
    return []


#: (KPI, its params, where, what is said, the mend)
WRONG: list[tuple[str, str, str, str, str]] = [
    ("sales_growth", 'compare = "yearago"', "compare", "not one of auto, previous", "Did you mean year_ago?"),
    ("sales_growth", 'like_for_like = "no"', "like_for_like", "neither true nor false", "Write true or false"),
    ("dq_timeliness", 'object = "contact"', "object", "not one of contacts, accounts", "Did you mean contacts?"),
    ("dq_timeliness", 'object = "open_deal"', "object", "not one of", "Did you mean open_deals?"),
    ("dq_timeliness", 'object = "contacts", age_days = "90d"', "age_days", "not a whole number of days", "digits"),
    ("dq_completeness", 'object = "contact"', "object", "no table is called 'contact'", "Did you mean contacts?"),
    ("dq_completeness", 'object = "users"', "", "required is missing", "Say it too"),
    ("dq_completeness", 'object = "contacts", required = {emial = 1}', "required", "no column 'emial'", "mean email"),
    ("dq_completeness", "required = {amount = {where = {}}}", "required", "not columns with", "amount = 2"),
    ("dq_completeness", "required = {amount = -1}", "required", "not columns with their weights", "amount = 2"),
    ("dq_completeness", "placeholders = [1]", "placeholders", "not a list of texts", '["a", "b"]'),
    ("dq_relevance", "target_segment = {industri = 'x'}", "target_segment", "no column 'industri'", ""),
    ("dq_relevance", "target_segment = 'x'", "target_segment", "not a filter", "industry"),
    ("dq_duplicate_rate", 'key = "phon"', "key", "not one of email, phone", "Did you mean phone?"),
    ("dq_duplicate_rate", 'object = "accounts", key = "phone"', "key", "no effect", "Take it away"),
    ("lead_conversion_rate", 'mode = "periods"', "mode", "not one of cohort, period", "Did you mean period?"),
    ("lead_conversion_rate", 'mode = "period", horizon_days = 30', "horizon_days", "no effect", "Take it away"),
    ("lead_conversion_rate", 'exclude_disqualified = "yes"', "exclude_disqualified", "neither true nor", "Write true"),
    ("lead_conversion_rate", "horizon_days = 0", "horizon_days", "too small", "1 or more"),
    ("lead_conversion_rate", "horizon_days = true", "horizon_days", "not a whole number", "digits"),
    ("average_collection_period", 'method = "payed"', "method", "not one of balance, paid", "Did you mean paid?"),
    ("first_call_response_time", 'of = "call"', "of", "not one of tickets, leads, calls", "Did you mean calls?"),
    ("first_call_response_time", 'of = "calls", clock = "calendar"', "clock", "no effect", "Take it away"),
    ("mean_time_to_resolution", 'pause_on = ["waiting"]', "pause_on", "not one of pending", 'Write "pending"'),
    ("mean_time_to_resolution", 'pause_on = "pending"', "pause_on", "not a list", '["pending"]'),
    ("installation_problems_per_unit", "problem_lag_days = -1", "problem_lag_days", "too small", "0 or more"),
    ("net_profit", 'of = "invoice"', "of", "not one of deals, invoices", "Did you mean invoices?"),
    ("profit_per_customer", 'of = "invoices", costs = "monthly"', "costs", "no effect", "Take it away"),
    ("first_response_time", 'stat = "meen"', "stat", "no statistic of a time", "Did you mean mean?"),
    ("first_response_time", 'stat = "sum"', "stat", "no statistic of a time", "mean, median"),
    ("first_response_time", 'clock = "busines"', "clock", "not one of business, calendar", "Did you mean business?"),
    ("relationship_freshness", "fresh_days = {gold = 10}", "fresh_days", "not days by the values", 'by = "tier"'),
    ("relationship_freshness", 'fresh_days = {value = 9, by = "tier", of = {gold = 0}}', "fresh_days", "small", "1 or"),
    ("relationship_freshness", 'fresh_days = "30d"', "fresh_days", "not a whole number of days", "by = "),
    (
        "partner_relationship_freshness",
        'fresh_days = {value = 30, by = "tear", of = {gold = 10}}',
        "fresh_days",
        "no column 'tear'",
        "Did you mean",
    ),
    ("first_response_sla_rate", "target_seconds = 4.5", "target_seconds", "not a whole number of seconds", "digits"),
    ("first_response_sla_rate", 'targets = {high = "1h"}', "targets", "not a table of seconds", "high = 3600"),
    ("installation_problems_per_unit", 'units = "order"', "units", "not one of deals, orders", "Did you mean orders?"),
    ("post_sales_per_unit_sold", 'of = "tickets", categories = 3', "categories", "not a list of texts", '["a", "b"]'),
    ("new_customers", 'purchases = ["dels"]', "purchases", "not one of deals, orders", "Did you mean deals?"),
    ("new_customers", 'purchases = "orders"', "purchases", "not a list", '["deals"]'),
    ("customer_retention_rate", 'customer_model = "contract"', "customer_model", "not one", "mean contractual?"),
    ("customer_retention_rate", "lookback_days = -1", "lookback_days", "too small", "0 or more"),
    ("survey_rating", 'survey = "csta"', "survey", "not one of csat, nps", "Did you mean csat?"),
    ("win_rate", 'weight = "amuont"', "weight", "no column 'amuont'", "Did you mean amount"),
    ("win_rate", 'weight = "name"', "weight", "a number is needed", "Choose a column of numbers"),
    ("win_rate", "weight = 3", "weight", "not a text", "quotes"),
    ("win_rate", 'coverage_min = "most"', "coverage_min", "not a number", "digits"),
    ("csat_score", 'normalise = "min-maks"', "normalise", "not one of proportional", "Did you mean min-max?"),
    ("csat_score", "target_scale = 0", "target_scale", "too small", "more than 0"),
    ("csat_satisfied_rate", "satisfied_min_share = 80", "satisfied_min_share", "too large", "1 is all"),
    ("funnel_dropout_rate", "step = [1]", "step", "neither a text nor a number", "quotes"),
    ("funnel_dropout_rate", "pipeline = 3", "pipeline", "not a text", "quotes"),
    # Names a KPI does not know: those of other KPIs are no better than those of none.
    ("ticket_backlog", 'pipeline = "x"', "pipeline", "there is no such parameter", "It knows coverage_min."),
    ("win_rate", 'pipeline = "Nope"', "pipeline", "there is no such parameter", "It knows coverage_min, weight."),
    ("won_revenue", 'types = ["renewal"]', "types", "there is no such parameter", "It knows"),
    ("voc_comment_count", 'categories = ["idea"]', "categories", "there is no such parameter", "It knows none"),
    ("csat_score", 'survey = "nps"', "survey", "there is no such parameter", "target_scale"),
    ("win_rate", 'wieght = "amount"', "wieght", "there is no such parameter", "Did you mean weight?"),
]  # fmt: skip


@pytest.mark.parametrize(("kpi", "params", "place", "said", "mend"), WRONG, ids=[f"{c[0]}-{c[1][:24]}" for c in WRONG])
def test_what_a_built_in_cannot_use_is_refused_with_place_and_mend(
    tmp_path: Path, kpi: str, params: str, place: str, said: str, mend: str
) -> None:
    found = refused(tmp_path, f"[kpi.{kpi}]\nparams = {{ {params} }}\n")
    assert len(found) == 1, found
    assert found[0].startswith(".".join(filter(None, ["kpi", kpi, "params", place])))
    assert said in found[0]
    assert mend in found[0]


RIGHT = [
    ("sales_growth", 'compare = "year_ago", like_for_like = false'),
    ("dq_timeliness", 'object = "open_deals", age_days = 45'),
    ("dq_completeness", 'object = "contacts"'),
    ("dq_completeness", "object = 'contacts', required = {job_title = {weight = 2, where = {email = {set = true}}}}"),
    ("dq_completeness", "object = 'users', required = {name = 1}"),
    ("dq_relevance", 'object = "accounts", target_segment = {industry = "Retail"}'),
    ("installation_problems_per_unit", 'problem_lag_days = 30, units = "orders"'),
    ("lead_conversion_rate", 'mode = "period"'),
    ("net_profit", 'of = "invoices"'),
    ("profit_per_customer", 'costs = "monthly"'),
    ("lead_conversion_rate", 'mode = "period", exclude_disqualified = true'),
    ("lead_to_sale_rate", "horizon_days = 90, exclude_disqualified = true"),
    ("first_response_time", 'stat = "p90", clock = "calendar", excluded_reasons = [], unanswered_max = 0.2'),
    ("time_to_complete_resolution", 'pause_on = ["pending"], clock = "business"'),
    ("mean_time_to_resolution", 'stat = "avg", excluded_reasons = "spam"'),
    ("first_response_sla_rate", "targets = {high = 3600, urgent = 900}"),
    ("first_call_response_time", 'of = "leads", stat = "mean"'),
    ("post_sales_per_unit_sold", 'of = "tickets", categories = ["service"], units = "orders"'),
    ("customer_retention_rate", 'customer_model = "repurchase", lookback_days = 200, purchases = ["orders", "deals"]'),
    ("average_retention_period", "lookback_days = 0"),
    ("relationship_freshness", 'fresh_days = {value = 30, by = "tier", of = {gold = 10}}'),
    ("survey_rating", 'survey = "nps"'),
    ("win_rate", 'weight = "custom.margin", coverage_min = 0.5'),
    ("funnel_dropout_rate", 'step = 2, pipeline = "New business"'),
    ("average_collection_period", 'method = "paid"'),
]  # fmt: skip


@pytest.mark.parametrize(("kpi", "params"), RIGHT)
def test_what_a_built_in_can_use_is_taken(tmp_path: Path, kpi: str, params: str) -> None:
    assert refused(tmp_path, f"[kpi.{kpi}]\nparams = {{ {params} }}\n") == []


def test_one_wrong_parameter_does_not_hide_another(tmp_path: Path) -> None:
    found = refused(tmp_path, '[kpi.first_response_time]\nparams = { clock = "sun", stat = "x" }\nby = ["teem"]\n')
    assert [line.split(" ")[0].rstrip(":") for line in found] == [
        "kpi.first_response_time.params.clock",
        "kpi.first_response_time.params.stat",
        "kpi.first_response_time.by",
    ]


def said(table: dict[str, Any]) -> list[str]:
    kpi = definition.build("mine", table)
    return [
        f"{dotted(path)}: {message}" for path, message, _ in mistakes(kpi, table, {**BUILTINS, "mine": kpi}, REPORTING)
    ]


def test_a_parameter_of_ones_own_kpi_is_one_it_names_or_is_computed_by() -> None:
    spans = {"of": "customer_spans", "params": {"lookback_days": 90}}
    named = {"of": "tickets", "where": {"priority": "$which"}, "params": {"which": ["high"]}}
    assert said(spans) == said(named) == []
    assert said({**spans, "params": {"lookbck_days": 90}}) == ["params.lookbck_days: there is no such parameter"]
    assert said({**spans, "params": {"lookback_days": "90d"}}) == ["params.lookback_days: not a whole number of days"]
    assert said({**named, "of": "tickets", "where": {}}) == ["params.which: there is no such parameter"]


@pytest.mark.parametrize("kpi", BUILTINS.values(), ids=lambda kpi: kpi.id)
def test_the_catalogue_says_of_every_parameter_what_it_takes(kpi: Kpi) -> None:
    """And takes what it says itself, alone and with each variant."""
    known = parameters.parameters_of(kpi, BUILTINS)
    variants = [table for choices in kpi.template.get("variants", {}).values() for table in choices.values()]
    declared = set().union(*(table.get("params", {}) for table in (kpi.template, *variants)))
    assert [name for name in sorted(declared) if known.get(name, Takes()) == Takes()] == []
    assert [name for name in kpi.takes if not declared >= {name} and name != "required"] == []
    own = kpi.template.get("params", {})
    assert list(parameters.problems(kpi, own, BUILTINS, REPORTING.tables)) == []


def _choices(kpi: Kpi) -> list[dict[str, str]]:
    """Every way to choose from the closed lists of a KPI's parameters."""
    lists = [[(name, one) for one in takes.one_of] for name, takes in kpi.takes.items() if takes.one_of]
    return [dict(pairs) for pairs in itertools.product(*lists) if pairs]


CHOICES = [(kpi, params) for kpi in BUILTINS.values() for params in _choices(kpi)]


@pytest.mark.parametrize(("kpi", "params"), CHOICES, ids=lambda v: v.id if isinstance(v, Kpi) else "-".join(v.values()))
def test_every_choice_of_the_catalogue_makes_a_kpi(kpi: Kpi, params: dict[str, str]) -> None:
    """Whatever of the closed lists is chosen together."""
    made = definition.override(kpi, {"params": params})
    found = [message for _, message, _ in mistakes(made, {"params": params}, {**BUILTINS, kpi.id: made}, REPORTING)]
    assert set(found) <= {"has no effect beside the other parameters"}


def test_the_worked_cases_ask_for_nothing_that_is_refused() -> None:
    for case in itertools.chain.from_iterable(map(cases_of, sorted(CASES.glob("*.json")))):
        if case["kpi"] in BUILTINS:
            given = kpi_of(case).template["params"]
            own = {name: value for name, value in given.items() if value != BUILTINS[case["kpi"]].params.get(name)}
            assert list(parameters.problems(BUILTINS[case["kpi"]], own, BUILTINS, REPORTING.tables)) == [], case["id"]

"""After any changes, seen late or at once, the sandbox's Salesforce shows the company as it is."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncagent.sandbox import Sandbox
from syncagent.sandbox.salesforce.schema import Schema
from syncagent.sandbox.salesforce.shown import Shown
from syncagent.sandbox.salesforce.store import Row, Store
from tests.integration.salesforce_calls import AS_OF

#: Objects whose live rows are those of one of our tables.
OBJECTS = {
    "Lead": "leads", "Opportunity": "opportunities", "Case": "tickets", "Account": "accounts", "Contact": "contacts",
    "Order": "orders", "Contract": "contracts", "SurveyInvitation": "survey_invitations",
    "Survey_Response__c": "survey_responses",
}  # fmt: skip
#: They carry the moment at which the server noticed that a label is another.
FIXED = ("UserRole", "OpportunityStage", "CaseStatus", "LeadStatus", "RecordType")
RATES = ("CurrencyType", "DatedConversionRate")  # nobody commits them late


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox"), as_of=AS_OF) as made:
        yield made


def facts(store: Store) -> dict[tuple[str, str], Row]:
    """Every row that can be told from the company alone: a log keeps the name someone had then."""
    return {
        (sobject, key): row
        for sobject, table in store.tables.items()
        if sobject not in FIXED
        for key, row in table.items()
        if not (row.get("Field") == "Owner" and row["DataType"] == "Text")
    }


def records(box: Sandbox) -> dict[tuple[str, str], Row]:
    return {key: row for key, row in facts(box.salesforce.rows).items() if key[0] not in RATES}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_changes_one_by_one_and_a_server_made_anew_show_the_same(box: Sandbox, seed: int) -> None:
    box.reset(seed=seed, as_of=AS_OF)
    rng = random.Random(seed)
    for _ in range(150):
        box.change(rng, late_s=rng.choice((0, 0, 600, 3540)))
        if rng.random() < 0.3:
            box.pass_time(rng.randrange(1, 900))
    box.pass_time(3600)
    shown, truth = facts(box.salesforce.rows), box.truth().tables
    assert shown == facts(Shown(box.company, Schema()).rows)
    for sobject, table in OBJECTS.items():
        live = {key for (name, key), row in shown.items() if name == sobject and not row["IsDeleted"]}
        assert live == truth["salesforce", table].live, sobject


def test_what_is_late_is_not_there_before_its_time(tmp_path: Path) -> None:
    box = Sandbox(tmp_path, as_of=AS_OF)
    box.reset(seed=4, as_of=AS_OF)
    before = records(box)
    rng = random.Random(4)
    began = box.company.now
    for _ in range(40):
        box.change(rng, late_s=3540)
    box.pass_time(began + 3539 - box.company.now)
    assert records(box) == before
    box.pass_time(100)
    assert facts(box.salesforce.rows) == facts(Shown(box.company, Schema()).rows)
    assert records(box) != before

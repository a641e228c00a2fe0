"""What customers are asked and answer, split by what it was about: against a naive reading of random rows."""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.checks.kpi import problems
from scorecards.definition import Reporting, build
from scorecards.evaluate import Evaluator
from scorecards.periods import Span
from scorecards.relations import Language
from scorecards.split import usual_splits
from scorecards.uses import columns_used
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

AS_OF = datetime(2026, 11, 21, 12, tzinfo=UTC)
JUNE = Span(date(2026, 6, 1), date(2026, 7, 1), "month")
TEAM_OF_TICKET = {"team": {"tickets": "owner.team"}}
Row = dict[str, Any]


class World:
    """Random users, accounts, contacts, tickets and answers, some merged into others, some naming what is not there."""

    def __init__(self, conn: sqlite3.Connection, seed: int) -> None:
        self.conn, self.random, self.rows = conn, Random(seed), dict[str, dict[str, Row]]()
        pick = self.random.choice
        for number in range(5):
            self.add("users", number, team=pick(["north", "south", None]), merged_into=None)
        for number in range(5):
            self.add("accounts", number, tier=pick(["gold", "silver", None]), owner_id=self.one("users"))
        for number in range(6):
            self.add("contacts", number, account_id=self.one("accounts"), owner_id=self.one("users"))
        for number in range(8):
            named = {f"{word}_id": self.one(f"{word}s") for word in ("account", "contact")}
            self.add("tickets", number, **named, owner_id=self.one("users"), created_at="2026-05-01T00:00:00Z",
                     priority=pick(["high", "low", None]), touchpoint=pick(["phone", "shop", None]),
                     category=pick(["idea", "question", None]), product=pick(["desk", "lamp", None]))  # fmt: skip
        for number in range(60):
            named = {f"{word}_id": self.one(f"{word}s") for word in ("ticket", "contact", "account")}
            self.add("survey_responses", number, **named, survey_type="csat", score=number % 6, scale_max=5,
                     scale_min=0, comment="so", responded_at=f"2026-06-{1 + number % 28:02d}T12:00:00Z")  # fmt: skip
        facts.refresh(conn, REPORTING)

    def add(self, table: str, number: int, **values: Any) -> None:
        id_ = f"{table} {number}"
        if number == 4 and table != "survey_responses":  # one of the first that was merged into another
            values |= {"merged_into": f"{table} 0", "is_deleted": 1}
        self.rows.setdefault(table, {})[id_] = {"id": id_, **values}
        put(self.conn, table, id_, **values)

    def one(self, table: str) -> str | None:
        return self.random.choice([None, f"{table} gone", *self.rows[table]])

    def get(self, table: str, id_: str | None) -> Row:
        """The record that stands for an id; nothing where there is none."""
        found = self.rows[table].get(id_ or "", {})
        return self.rows[table][found["merged_into"]] if found.get("merged_into") else found

    def stands(self, table: str, id_: str | None) -> str | None:
        return self.get(table, id_).get("id", id_)

    def account(self, answer: Row) -> str | None:
        ticket = self.get("tickets", answer["ticket_id"])
        through = self.get("contacts", ticket.get("contact_id")), self.get("contacts", answer["contact_id"])
        named = (answer["account_id"], ticket.get("account_id"), *(contact.get("account_id") for contact in through))
        return self.stands("accounts", next(filter(None, named), None))

    def owner(self, answer: Row) -> str | None:
        word = next((w for w in ("ticket", "contact", "account") if answer[f"{w}_id"] is not None), "account")
        return self.stands("users", self.get(f"{word}s", answer[f"{word}_id"]).get("owner_id"))

    def team(self, user: str | None) -> str:
        return self.get("users", user).get("team") or "(none)"

    def split(self, name: str, by: str, dimensions: Mapping[str, Mapping[str, str]] | None = None) -> dict[str, Any]:
        reporting = REPORTING.model_copy(update={"dimensions": dimensions or {}})
        made = build("answers", {"of": "survey_responses", "date": "responded_at", "n_min": 0})
        kpi = made if name == "answers" else BUILTINS[name]
        found = Evaluator(self.conn, {**BUILTINS, "answers": made}, reporting, as_of=AS_OF).evaluate(
            kpi, period=JUNE, by=[by]
        )
        assert found.status != "error", found.reason
        if found.value is not None:
            assert sum(part.n or 0 for part in found.segments) == found.n
        return {part.segment: part.n for part in found.segments}


@pytest.fixture(params=range(6))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    conn = open_cache(tmp_path)
    yield World(conn, request.param)
    conn.close()


def test_an_answer_is_of_the_account_of_its_ticket_or_contact(world: World) -> None:
    """Where the answer names none itself; merges are followed at every step."""
    answers = world.rows["survey_responses"].values()
    tiers = Counter(world.get("accounts", world.account(answer)).get("tier") or "(none)" for answer in answers)
    assert world.split("answers", "account.tier") == tiers
    assert world.split("answers", "account_id") == Counter(world.account(answer) or "(none)" for answer in answers)


def test_an_answer_is_of_the_team_that_owns_what_it_was_about(world: World) -> None:
    answers = world.rows["survey_responses"].values()
    assert world.split("answers", "owner.team") == Counter(world.team(world.owner(answer)) for answer in answers)


def test_a_dimension_of_tickets_splits_their_answers(world: World) -> None:
    answers = world.rows["survey_responses"].values()
    owners = [world.get("tickets", answer["ticket_id"]).get("owner_id") for answer in answers]
    teams = Counter(map(world.team, owners))
    assert world.split("answers", "ticket.owner.team") == teams
    assert world.split("answers", "team", TEAM_OF_TICKET) == teams
    assert world.split("answers", "team", {"team": {"survey_responses": "ticket.owner.team"}}) == teams


def test_a_path_leads_on_through_every_reference(world: World) -> None:
    answers = world.rows["survey_responses"].values()

    def account_of_contact(answer: Row) -> Row:
        ticket = world.get("tickets", answer["ticket_id"])
        return world.get("accounts", world.get("contacts", ticket.get("contact_id")).get("account_id"))

    teams = Counter(world.team(account_of_contact(answer).get("owner_id")) for answer in answers)
    assert world.split("answers", "ticket.contact.account.owner.team") == teams


def said_of(name: str) -> tuple[str, ...]:
    """What a KPI is worth splitting by, in words."""
    said = BUILTINS[name].segments
    return (*said, "team") if "SEG-T" in said else tuple(said)


@pytest.mark.parametrize("word", ["priority", "touchpoint", "category", "product"])
def test_an_answer_is_of_what_its_ticket_was(world: World, word: str) -> None:
    answers = world.rows["survey_responses"].values()
    of_ticket = Counter(world.get("tickets", answer["ticket_id"]).get(word) or "(none)" for answer in answers)
    assert world.split("answers", word) == of_ticket


@pytest.mark.parametrize("name", ["csat_score", "service_rating", "voc_comment_count", "detractor_followup_rate",
                                  "fast_but_dissatisfied_rate"])  # fmt: skip
def test_satisfaction_is_split_by_team(world: World, name: str) -> None:
    """By the owner's team with nothing said, and by what is said of tickets."""
    assert world.split(name, "owner.team") is not None
    assert world.split(name, "team", TEAM_OF_TICKET) is not None
    reporting = REPORTING.model_copy(update={"dimensions": TEAM_OF_TICKET})
    splits = list(usual_splits(BUILTINS[name], BUILTINS, Language(reporting), TEAM_OF_TICKET))
    assert "team" in splits
    assert "owner.team" in splits or "team" not in said_of(name)


def test_what_is_said_of_a_derived_column_of_tickets_is_not_said_of_answers() -> None:
    """What follows from facts is of the ticket's own rows; saying it of them leaves the answers whole."""
    dimensions = {"age": {"tickets": "age_band"}, "person": {"tickets": "owner.name"}}
    language = Language(REPORTING.model_copy(update={"dimensions": dimensions}))
    relation = language.relation("survey_responses")
    assert relation is not None
    assert relation.split_by(dimensions["age"]) is None
    assert "person" not in usual_splits(BUILTINS["csat_score"], BUILTINS, language, dimensions)


@pytest.mark.parametrize("wrong", ["owner_taem", "ticket.owner.taem", "ticket.owner_taem", "contact.acount.tier"])
@pytest.mark.parametrize("table", ["survey_responses", "survey_invitations", "payments", "email_events"])
def test_what_is_suggested_is_a_column(table: str, wrong: str) -> None:
    language = Language(REPORTING)
    relation = language.relation(table)
    assert relation is not None
    said = language.near(relation, wrong)
    if said.startswith("Did you mean "):
        names = said.removeprefix("Did you mean ").removesuffix("?").split(" or ")
        assert all(language.column(relation, name) is not None for name in names)


def test_the_team_of_the_owner_is_suggested() -> None:
    language = Language(REPORTING)
    relation = language.relation("survey_responses")
    assert relation is not None
    assert "ticket.owner.team" in language.near(relation, "ticket.owner.taem")


def used(by: str, dimensions: Mapping[str, Mapping[str, str]] | None = None) -> set[str]:
    reporting: Reporting = REPORTING.model_copy(update={"dimensions": dimensions or {}})
    kpi = build("own", {"of": "survey_responses", "by": [by]})
    assert not list(problems(kpi, {**BUILTINS, "own": kpi}, reporting))
    return {f"{table}.{column}" for table, column in columns_used(kpi, {"own": kpi}, reporting)}


def test_every_column_on_the_way_is_used() -> None:
    named = {"survey_responses.ticket_id", "tickets.owner_id", "users.team"}
    assert named <= used("ticket.owner.team")
    assert named <= used("team", TEAM_OF_TICKET)
    assert named | {"contacts.owner_id"} <= used("owner.team")
    assert {"tickets.account_id", "contacts.account_id", "accounts.tier"} <= used("account.tier")

"""What changes around the records: people, teams, stages, rates; stamps in a burst, and stamps from the future."""

from collections.abc import Sequence

from syncagent.sandbox import clock
from syncagent.sandbox.company import Company
from syncagent.sandbox.model import Entity, Rate, User


def rename_user(company: Company, user: User, last: str, *, at: int) -> None:
    """Salesforce stamps the user; whoever reports to them shows the new name without a stamp."""
    user.last = last
    company.touch(user, at)
    for other in company.users:
        if other.manager is user:
            company.drift(other, at)


def deactivate(company: Company, user: User, *, at: int) -> None:
    """Someone leaves: inactive in Salesforce, an archived owner in HubSpot. Their records stay theirs."""
    user.active = False
    company.touch(user, at)


def rename_team(company: Company, team: str, name: str, *, at: int) -> None:
    """A role or team is called something else; no user is stamped."""
    company.team_names[team] = name
    for user in company.users:
        if user.team == team:
            company.drift(user, at)


def label_stage(company: Company, kind: str, stage: str, label: str) -> None:
    """A stage gets another label. `kind`, `stage`: ("deals", "closedwon"), ("OpportunityStage", "Closed Won") ..."""
    company.stage_labels[kind, stage] = label


def label_pipeline(company: Company, kind: str, pipeline: str, label: str) -> None:
    """A pipeline gets another label: of ("deals", "default") ..., or a record type of ("Opportunity", its id) ..."""
    company.pipeline_labels[kind, pipeline] = label


def switch_record_type(company: Company, sobject: str, type_id: str, *, on: bool) -> None:
    """A record type goes out of use, or back into it; records of it keep it."""
    company.pipelines_off.discard((sobject, type_id)) if on else company.pipelines_off.add((sobject, type_id))


def remove_stage(company: Company, kind: str, stage: str, *, at: int) -> None:
    """A stage is taken out of its pipeline (HubSpot) or deactivated (Salesforce); records that were in it keep it."""
    company.stages_removed[kind, stage] = at


def set_rate(company: Company, currency: str, per_eur: float, *, at: int) -> Rate:
    """What a currency is worth from the day of `at` on; replaces a rate of that day."""
    rate = Rate(currency, clock.local_date(at), per_eur)
    company.rates = [r for r in company.rates if r[:2] != rate[:2]] + [rate]
    company.rates.sort()
    return rate


def remove_rate(company: Company, currency: str, day: str = "", *, at: int) -> None:
    """A person deletes what a currency was worth from a day on; without a day all that was ever noted of it.

    Nothing is stamped: the rate is no longer listed.
    """
    company.rates = [r for r in company.rates if r.currency != currency or (day and r.valid_from != day)]


def burst(company: Company, entities: Sequence[Entity], *, at: int) -> None:
    """A mass update: many records stamped alike."""
    for entity in entities:
        company.touch(entity, at)


def stamp_ahead(company: Company, entity: Entity, *, at: int, ahead_s: int) -> None:
    """A record is stamped by a clock that runs `ahead_s` seconds before the others."""
    company.touch(entity, at + ahead_s)

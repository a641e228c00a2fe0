"""From a configured scorecard and a due time to an Issue: its schedule, readers, period and values.

Everything follows from the due time and the cache: a late run shows the numbers it would have shown in time.
"""

import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from scorecards.definition import Kpi, Recipient, Scorecard
from scorecards.errors import ScorecardError
from scorecards.evaluate import Evaluator
from scorecards.kept import Keeper
from scorecards.periods import cut, last_complete
from scorecards.render.message import Issue
from scorecards.restate import with_restated
from scorecards.targets.pace import Pledges
from scorecards.told import Kept, Told
from scorecards.values import Freshness, KpiResult, Period
from scorecards.voice import is_satisfaction, with_voice
from syncagent import compose, freshness, kept, pledges, told
from syncagent.computable import placed
from syncagent.config.result import Config
from syncagent.notices import Owner
from syncagent.rhythm import CardPeriod, granularity_of
from syncagent.smart import of_result

log = logging.getLogger(__name__)


def zone_of(config: Config, card: Scorecard) -> ZoneInfo:
    """The zone its due times are meant in."""
    return ZoneInfo(card.timezone or config.agent.timezone)


def period_of(config: Config, card: Scorecard, as_of: datetime) -> Period:
    """The last complete period before `as_of`, in days of [agent] timezone whatever the card's own zone is.

    What followed from an instant (a deal's outcome day) was settled in those days: one KPI has one value everywhere.
    """
    reporting = config.reporting()
    zone = ZoneInfo(reporting.timezone)
    return cut(last_complete(as_of, granularity_of(card), reporting, zone), as_of, zone).period(reporting.timezone)


def readers(card: Scorecard) -> list[Recipient]:
    """Everybody in `to`, `Name <address>` taken apart."""
    found = []
    for entry in card.to:
        reader = entry if isinstance(entry, Recipient) else Recipient(address=entry)
        name, angle, address = reader.address.rpartition("<")
        if angle:
            update = {"address": address.rstrip("> "), "name": reader.name or name.strip(' "')}
            reader = reader.model_copy(update=update)
        found.append(reader)
    return found


def owners(config: Config) -> dict[str, Owner]:
    """Whom to tell about each scorecard."""
    return {
        name: Owner(card.owner, card.title or name)
        for name, card in config.scorecards.items()
        if card.owner is not None
    }


def values(
    config: Config,
    cache: sqlite3.Connection,
    card: Scorecard,
    as_of: datetime,
    *,
    state: sqlite3.Connection | None = None,
) -> list[KpiResult]:
    """Every KPI of the scorecard at `as_of`; one that fails says so in its row and never stops the others.

    With `state` they also say which values told before they restate, carry what is to be kept of them as told, and
    judge by the baselines that were kept.
    """
    known = told.of_scorecard(state, card.id, as_of) if state is not None else None
    pledged = pledges.known(state, as_of) if state is not None else None
    sent = told.kept_in(state) if state is not None else None
    with _snapshot(cache):
        shelf = kept.Shelf(cache, config.reporting(), as_of)
        found = _values(config, cache, card, as_of, known, pledged, shelf, sent)
    kept.put_away(cache, shelf)
    return found


@contextmanager
def _snapshot(cache: sqlite3.Connection) -> Iterator[None]:
    """All values from one state of the cache, whatever a sync writes meanwhile."""
    if cache.in_transaction:
        yield
        return
    cache.execute("BEGIN")
    try:
        yield
    finally:
        if cache.in_transaction:
            cache.execute("ROLLBACK")


def _values(
    config: Config,
    cache: sqlite3.Connection,
    card: Scorecard,
    as_of: datetime,
    known: Mapping[str, Sequence[Told]] | None,
    pledged: Pledges | None,
    keeper: Keeper,
    sent: Kept | None,
) -> list[KpiResult]:
    granularity = granularity_of(card)
    evaluator = Evaluator(
        cache, config.kpis, config.reporting(), as_of=as_of, pledges=pledged, keeper=keeper, kept=sent
    )
    satisfaction = next((config.kpis[name] for name in card.kpis if is_satisfaction(config.kpis[name])), None)
    results = []
    for name in card.kpis:
        kpi = config.kpis[name]
        try:
            result = placed(config, evaluator.evaluate(kpi, granularity=granularity, max_age_s=card.max_age))
            result = replace(result, smart=of_result(config, card, result, evaluator.today))
            if satisfaction is not None:
                result = with_voice(evaluator, kpi, result, satisfaction, granularity=granularity)
            if known is not None:
                result = _restating(evaluator, kpi, result, known.get(name, ()), granularity)
        except Exception as error:
            log.exception("KPI %s could not be computed", name, extra={"action": "kpi.error", "kpi": name})
            reason = f"could not be computed ({type(error).__name__})"
            result = KpiResult(name, kpi.title, as_of, None, None, "number", "error", reason=reason)
        for what, why in result.details.get("left_out", {}).items():
            log.warning("KPI %s: no %s: %s", name, what, why, extra={"action": "kpi.left_out", "kpi": name})
        results.append(result)
    return results


def _restating(
    evaluator: Evaluator, kpi: Kpi, result: KpiResult, earlier: Sequence[Told], granularity: CardPeriod
) -> KpiResult:
    """The result with what it restates; what became of earlier values never costs the one of today."""
    try:
        return with_restated(evaluator, kpi, result, earlier, granularity=granularity, keep=True)
    except (sqlite3.Error, ScorecardError) as error:
        said = f"{type(error).__name__} while comparing it with what was told"
        log.warning("KPI %s: %s", kpi.id, said, extra={"action": "kpi.restate", "kpi": kpi.id})
        return result


def sources_of(config: Config, cache: sqlite3.Connection | None, card: Scorecard) -> list[Freshness]:
    """When the sources behind the scorecard's KPIs were last synced."""
    return freshness.of_sources(cache, list(config.sources), freshness.tables_of(card.kpis, config.kpis))


def build_issue(
    config: Config,
    name: str,
    results: Sequence[KpiResult],
    sources: Sequence[Freshness],
    *,
    due_at: datetime,
    as_of: datetime,
    reader: Recipient,
    number: int | None = None,
    notes: Sequence[str] = (),
    is_test: bool = False,
) -> Issue:
    """What one reader's message shows."""
    card = config.scorecards[name]
    return Issue(
        name=name,
        title=card.title or name.replace("_", " ").capitalize(),
        agent_name=config.agent.name,
        owner=card.owner or "",
        period=period_of(config, card, as_of),
        granularity=granularity_of(card),
        as_of=as_of,
        due_at=due_at,
        number=number,
        timezone=reader.timezone or card.timezone or config.agent.timezone,
        locale=reader.locale or card.locale or config.agent.locale,
        currency=card.currency or config.agent.currency,
        results=results,
        freshness=sources,
        recipient=reader.address,
        unsubscribe=compose.unsubscribe_address(config.mail, name) if config.mail is not None else None,
        config_hash=config.hash,
        is_test=is_test,
        notes=tuple(notes),
        max_age_s=card.max_age,
    )

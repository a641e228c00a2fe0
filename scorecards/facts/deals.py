"""Versions of a deal: open ones by stage and amount, closed ones with the day of their outcome; and of its copies.

Each says how far the deal had come: `reach`, the highest place in the pipeline among the open stages it was in.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from scorecards.facts.fact import BORN, LIVE, NEIGHBOURS, Book, Fact, Row, epoch, neighboured, table
from scorecards.periods import FOREVER, FOREVER_AGO

#: Where a stage of the deal's pipeline stood at the time, where the history itself does not say.
_PLACE = """
    (SELECT d.stage_order FROM stage_defs d
     WHERE d.object = 'opportunities' AND d.stage = h.stage AND d.source_instance = o.source_instance
       AND (d.pipeline IS NULL OR d.pipeline = o.pipeline) AND (d.valid_from IS NULL OR d.valid_from <= h.changed_at)
     ORDER BY d.pipeline IS NULL, d.valid_from DESC, d.id LIMIT 1)"""
#: The entries it is looked up for: few, and found by an index of their own.
_UNPLACED = "(SELECT opportunity_id, stage FROM opportunity_stage_history WHERE stage_order IS NULL)"
_READ = f"""
    SELECT o.id, {BORN.format("o", "opportunities")}, o.state, o.stage, o.close_date, o.amount_minor,
           o.currency, o.owner_id, COALESCE(al.canonical, o.account_id), o.pipeline, o.updated_at, o.close_at,
           h.changed_at, h.state, h.stage, h.amount_minor, COALESCE(h.stage_order, {_PLACE})
    FROM temp.wanted w CROSS JOIN opportunities o ON o.id = w.id
    LEFT JOIN aliases al ON al.id = o.account_id
    LEFT JOIN opportunity_stage_history h ON h.opportunity_id = o.id AND h.changed_at IS NOT NULL AND h.is_deleted = 0
    WHERE {{which}}
    ORDER BY o.id, h.changed_at, h.seq, h.id
"""


def _deals(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    for _, group in groupby(rows, itemgetter(0)):
        yield from neighboured(_deal_versions(list(group), book), _COLUMNS.index("state"))


def _deal_versions(rows: list[Row], book: Book) -> Iterator[Row]:
    """Versions of one deal: open ones by stage and amount, closed ones with their outcome date (G16, A8)."""
    id_, created, state, stage, close_date, amount, currency, owner, account, pipeline, updated = rows[0][:11]
    close_at = rows[0][11]
    close_date = book.day(close_at) if close_at else close_date  # an instant is assigned to its local day (G1)
    born = epoch(created)
    start = FOREVER_AGO if born is None else born
    history = [(row[12], row[13] or "open", *row[14:17]) for row in rows if row[12] is not None]
    # (instant known, state, stage, amount, local day of the change or None where no history says it, reach, place)
    steps: list[tuple[int, str, Any, Any, str | None, int | None, int | None]] = []
    reach: int | None = None
    for changed_at, then, stage_then, amount_then, place in history:
        at = max(epoch(changed_at) or start, start)
        if then == "open" and place is not None:
            reach = place if reach is None else max(reach, place)
        steps.append((at, then, stage_then, amount_then, book.day(changed_at), reach, place))
    last = steps[-1][1] if steps else None
    if last != state:
        # The row says what its history does not: closed on its close date, or changed when last edited.
        if state != "open" and close_date:
            at = max(book.last_second(close_date), steps[-1][0] if steps else start)
            steps.append((at, state, stage, amount, None, reach, None))
        elif steps:
            edited = updated if updated and updated > history[-1][0] else history[-1][0]
            at = max(epoch(edited) or start, steps[-1][0])
            steps.append((at, state, stage, amount, book.day(edited), reach, None))
        elif state != "open":
            # Without history and close date it can be placed nowhere; it is a closed record all the same.
            steps.append((start, state, stage, amount, None, None, None))
    versions: list[list[Any]] = []
    if not steps or steps[0][0] > start:
        first = steps[0][2:4] if steps else (stage, amount)
        versions.append([start, "open", *first, None, None, None])
    versions.extend(list(step) for step in steps)
    run_day: str | None = None
    stage_since = start
    future = state if state != "open" and steps and steps[-1][4] is None else None
    before_history = len(versions) - len(steps)
    for index, (known_from, then, stage_then, amount_then, day, reached, place) in enumerate(versions):
        newest = index == len(versions) - 1
        known_to = FOREVER if newest else versions[index + 1][0]
        begins_run = index == 0 or versions[index - 1][1] != then
        if begins_run:
            run_day = day
        if index and (begins_run or versions[index - 1][2] != stage_then):
            stage_since = known_from
        outcome = None
        if then == "won":
            outcome = min(filter(None, (close_date, run_day)), default=None)
        elif then == "lost":
            outcome = run_day or close_date
        if known_to <= known_from and not newest:
            continue  # overtaken within the same second
        value = amount if then != "open" or newest else (amount_then if amount_then is not None else amount)
        yield (
            id_, known_from, known_to, then, int(then == "open"), stage_then if not newest else stage, pipeline,
            born, outcome, value, currency, owner, account, future if then == "open" else None,
            reached, place if then == "open" else None, None if stage_since == FOREVER_AGO else stage_since,
            int(bool(history) and index >= before_history), rows[0][4],
        )  # fmt: skip


_FOLLOWS = {"opportunities": ("id",), "opportunity_stage_history": ("opportunity_id",)}
_NAMED = (("stage_defs", "stage", _UNPLACED, "stage", "opportunity_id"),)
_COLUMNS = (
    "id", "known_from", "known_to", "state", "is_open", "stage", "pipeline", "created_at", "outcome_date",
    "amount_minor", "currency", "owner_id", "account_id", "future_close", "reach",
    "place", "stage_since", "has_history", "close_date", *NEIGHBOURS,
)  # fmt: skip


#: What a row of another CRM counts for: the same deal as its copy has it, for the bridge between CRMs.
COPIES = Fact(
    kind="opportunity_copies",
    name="fact_opportunity_copies",
    columns=_COLUMNS,
    ddl=table(
        "fact_opportunity_copies",
        _COLUMNS,
        "(id)",
        "(outcome_date, known_from, known_to)",
        "(created_at, known_from, known_to)",
        "(known_to, known_from) WHERE is_open = 1",
    ),
    read=_READ.format(which="o.dup_of IS NOT NULL AND o.merged_into IS NULL AND o.is_deleted = 0 AND o.is_test = 0"),
    derive=_deals,
    follows=_FOLLOWS,
    named=_NAMED,
    anchors=("created_at", "outcome_date"),
)

FACT = Fact(
    kind="opportunities",
    name="fact_opportunities",
    columns=_COLUMNS,
    ddl=table(
        "fact_opportunities",
        _COLUMNS,
        "(id)",
        # Figures, their splits and what moved them are read from the index alone.
        "(outcome_date, known_from, known_to, state, amount_minor, currency, account_id, owner_id, id)",
        "(created_at, known_from, known_to)",
        "(known_to, known_from, amount_minor, currency, account_id, owner_id, close_date, id, state, state_before,"
        " state_after) WHERE is_open = 1",
        "(known_from)",
        "(account_id, known_from, known_to) WHERE is_open = 1",
        "(account_id, outcome_date, known_from, known_to, id) WHERE state = 'won'",
        f"(pipeline) WHERE known_to = {FOREVER}",
        "(pipeline, place, stage) WHERE place IS NOT NULL",
        "(future_close, known_to, known_from) WHERE future_close IS NOT NULL",
    ),
    read=_READ.format(which=LIVE.format("o")),
    derive=_deals,
    follows=_FOLLOWS,
    named=_NAMED,
    feeds={"customer_spans": "account_id"},
    anchors=("created_at", "outcome_date"),
    version=2,
)

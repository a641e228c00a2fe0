"""The steps of a pipeline, and what became of each deal at each: lost there, gone on, or still there."""

from collections.abc import Mapping

from scorecards.periods import FOREVER
from scorecards.relations.column import Column, Options, Relation, Spec, flag
from scorecards.relations.sales import SPECS as SALES


def _pipeline(options: Options) -> str:
    """The id (SQL) of the pipeline asked for by its id or label; of the one with most deals, when none is."""
    if not options.pipeline:
        return (
            f"(SELECT m.pipeline FROM fact_opportunities m WHERE m.known_to = {FOREVER}"
            " GROUP BY m.pipeline ORDER BY COUNT(*) DESC, m.pipeline LIMIT 1)"
        )
    said = "'" + options.pipeline.replace("'", "''") + "'"
    return (
        f"COALESCE((SELECT p.pipeline FROM pipelines p WHERE p.object = 'opportunities' AND {said} IN (p.pipeline,"
        f" p.label) ORDER BY p.pipeline <> {said}, p.valid_from DESC, p.id LIMIT 1), {said})"
    )


def _steps(pipeline: str) -> str:
    """Every place of an open stage deals were ever in, with the stage's newest name; and once no place: the whole."""
    label = (
        "(SELECT d.label FROM stage_defs d WHERE d.object = 'opportunities' AND d.stage = k.stage"
        f" AND (d.pipeline IS NULL OR d.pipeline IS {pipeline}) ORDER BY d.valid_from DESC, d.id LIMIT 1)"
    )
    places = (
        "SELECT o.place, MAX(o.stage) AS stage FROM fact_opportunities o"
        f" WHERE o.place IS NOT NULL AND o.pipeline IS {pipeline} GROUP BY o.place"
    )
    return (
        f"SELECT NULL AS step, NULL AS step_name UNION ALL SELECT k.place, COALESCE({label}, k.stage) FROM ({places}) k"
    )


def steps_of(pipeline: str) -> str:
    """The steps (SQL: step, step_name) of the pipeline of a name, of the one with most deals where that is empty."""
    return f"SELECT step, step_name FROM ({_steps(_pipeline(Options(pipeline=pipeline)))}) WHERE step IS NOT NULL"


#: A stage skipped counts as passed, one gone back to lowers nothing; a deal without history has come nobody knows how
#: far, and is in every step, for what asks to leave it out.
_AT_STEP = "k.step IS NULL OR d.reach >= k.step OR d.state = 'won' OR d.has_history = 0"
_OUTCOME = """(CASE f.state WHEN 'won' THEN 'advanced' WHEN 'lost' THEN
    CASE WHEN f.reach > f.step THEN 'advanced' ELSE 'dropped' END
    ELSE CASE WHEN f.reach > f.step THEN 'advanced' ELSE 'pending' END END)"""


def _funnel_steps(options: Options) -> Relation:
    pipeline = _pipeline(options)
    own = {
        **SALES["opportunities"].own,
        # A number written as a text ("2") names the step as well: against a cast both are compared as numbers.
        "step": Column("CAST(f.step AS INTEGER)", "any"),
        "step_name": Column("f.step_name", "text"),
        "step_label": Column("(f.step || COALESCE(' ' || f.step_name, ''))", "text"),
        "outcome": Column(_OUTCOME, "text"),
        "is_dropped": flag(f"{_OUTCOME} = 'dropped'"),
    }
    return Relation(
        "funnel_steps",
        f"(SELECT d.*, k.step, k.step_name FROM fact_opportunities d CROSS JOIN ({_steps(pipeline)}) k"
        f" WHERE d.pipeline IS {pipeline} AND ({_AT_STEP}))",
        versioned=True,
        base="opportunities",
        own=own,
        anchor="created_at",
        needs_table="opportunities",
    )


SPECS: Mapping[str, Spec] = {"funnel_steps": Spec(made=_funnel_steps, behind="opportunities")}

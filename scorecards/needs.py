"""Whether a cache holds what a KPI is made of; where not, what is missing. Looks for rows, computes nothing."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from scorecards import provenance
from scorecards.definition import Kpi
from scorecards.periods import Slice
from scorecards.plan import is_stock
from scorecards.relations.funnel import steps_of
from scorecards.rests import rests_on
from scorecards.uses import OWN_BOOK
from scorecards.wanted import any_of

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator

#: Said while the fact tables are being built.
_BEING_BUILT = "what follows from the records is being worked out, and is whole after the next sync"

#: Said of facts no KPI asked for when they were made.
_NEW_SETTINGS = "its settings are new, and what follows from the records by them is there after the next sync"

#: Said of the agent's own book, which no source gives.
NOTED = "The agent notes it itself, with its first sync and the first scorecard it sends."


#: Said of what several sources have in common.
_SECOND = 'Read a second CRM that has some of the same: [source.NAME] type = "salesforce" or "hubspot".'


@dataclass(frozen=True, slots=True)
class Lack:
    """Why a KPI has no value whatever the period: its status, the sentence said, what it needs, where to map that.

    `table` is one of which there is no row at all, where that is the reason.
    """

    status: str
    sentence: str
    needs: str
    maps: str = ""
    table: str | None = None
    is_column: bool = False  # rows there are, and a column nobody fills


def lack_of(evaluator: "Evaluator", kpi: Kpi) -> Lack | None:
    """What is missing for a KPI, and for those it is made of; None where there is something to compute from."""
    if (found := lack_of_settings(evaluator, kpi)) is not None:
        return found
    if kpi.operands:
        return _of_parts(evaluator, kpi)
    if kpi.sql is not None:
        return _of_sql(evaluator, kpi)
    return lack_of_rows(evaluator, kpi)


def lack_of_settings(evaluator: "Evaluator", kpi: Kpi) -> Lack | None:
    """What is missing of that a KPI says it must have: a parameter, a column, a value somewhere."""
    if (unset := provenance.unset(evaluator.has, kpi)) is not None:
        return Lack("not_configured", unset, " or ".join(kpi.configured_by), kpi.maps)
    lacking = [said for said in kpi.requires if not any(map(evaluator.has, any_of(said)))]
    if not lacking:
        return None
    maps = kpi.maps or " ".join(dict.fromkeys(map(how_to_map, lacking)))
    return _no_data(kpi.needs or " and ".join(kpi.requires), maps, _empty_table(evaluator, kpi))


def lack_of_rows(evaluator: "Evaluator", kpi: Kpi) -> Lack | None:
    """What is missing for a KPI that counts rows of a relation: any row at all, facts, a history."""
    table = evaluator.needed_table(kpi)
    if not evaluator.are_facts_whole:
        return Lack("no_data", f"no data: {_BEING_BUILT}", "the next sync")
    if not evaluator.holds(table):
        return _no_rows(kpi, table, table, evaluator.reporting.tables)
    if _are_facts_of_others(evaluator, kpi):
        return Lack("no_data", f"no data: {_NEW_SETTINGS}", "the next sync")
    relation = evaluator.compiler.relation(kpi, evaluator.customer_model(kpi))
    for said in dict.fromkeys(rests_on(kpi, relation, evaluator.reporting)):
        if not any(evaluator.has(one, ever=True) for one in any_of(said)):
            return _unfilled(evaluator, kpi, said)
    if kpi.of == "funnel_steps" and (unknown := _unknown_in_funnel(evaluator, kpi)) is not None:
        return unknown
    if kpi.unless is not None and not evaluator.keeps_history(table):
        return _no_rows(kpi, table, None, evaluator.reporting.tables)
    return None


def before_history(evaluator: "Evaluator", kpi: Kpi, slice_: Slice, begins: date) -> str:
    """Why a slice lies before the day from which its sources are known, or looks back past it; else empty (G17)."""
    if slice_.span.granularity == "all" and not is_stock(kpi):
        return ""
    needed = evaluator.compiler.relation(kpi, evaluator.customer_model(kpi)).looks_back
    if kpi.history is not None:
        needed = max(needed, kpi.history // 86400)
    first = slice_.at_day if is_stock(kpi) else slice_.span.start
    if first.toordinal() - needed >= begins.toordinal():
        return ""
    looks_back = f", and {needed} days before the period are needed" if needed else ""
    return f"history begins {begins.isoformat()}{looks_back}"


def _are_facts_of_others(evaluator: "Evaluator", kpi: Kpi) -> bool:
    """Is a KPI about a set of facts that is configured, and not made yet?"""
    relation = evaluator.compiler.relation(kpi, evaluator.customer_model(kpi))
    asked = {"gap_days": kpi.where.get("gap_days") if kpi.of == "engagements" else None}
    asked["customer_spans"] = relation.made_of or None
    return any(
        one in getattr(evaluator.reporting, part) and provenance.facts_lack(evaluator.conn, part, one)
        for part, one in asked.items()
    )


def _unknown_in_funnel(evaluator: "Evaluator", kpi: Kpi) -> Lack | None:
    """A pipeline or a step that a parameter names and no deal ever was in; those there are, a few of them."""
    said = str(kpi.params.get("pipeline", ""))
    if not said and kpi.params.get("step", "") == "":
        return None
    ids = dict(evaluator.conn.execute("SELECT DISTINCT pipeline, pipeline FROM fact_opportunities"))
    ids.pop(None, None)
    labelled = "SELECT pipeline, label FROM pipelines WHERE object = 'opportunities' ORDER BY valid_from"
    ids |= {pipeline: label for pipeline, label in evaluator.conn.execute(labelled) if label and pipeline is not None}
    if said and said not in {*ids, *ids.values()}:
        return _nowhere("pipeline", said, sorted(ids.values()))
    step = kpi.params.get("step", "")
    steps = evaluator.conn.execute(f"{steps_of(said)} ORDER BY step").fetchall() if step != "" else []
    if step != "" and not any(str(step) in (str(place), name) for place, name in steps):
        return _nowhere("step", str(step), [f"{place} {name or ''}".strip() for place, name in steps])
    return None


def _nowhere(what: str, said: str, known: Sequence[str]) -> Lack:
    there = f"There are {', '.join(known[:8])}{' ...' if len(known) > 8 else ''}." if known else "There is none."
    maps = f"{there} Correct params.{what}."
    return Lack("not_configured", f"not configured: no {what} is called {said!r}. {maps}", f"the {what} {said!r}", maps)


def _no_rows(kpi: Kpi, table: str, empty: str | None, known: Collection[str]) -> Lack:
    needs = kpi.needs or table.replace("_", " ")
    maps = kpi.maps or (how_to_map(table) if table in known else NOTED if table in OWN_BOOK else _SECOND)
    return _no_data(needs, maps, empty)


def _unfilled(evaluator: "Evaluator", kpi: Kpi, said: str) -> Lack:
    """Nobody fills a column the figure is made of: the KPI's own words, and the column where they do not name it."""
    first = any_of(said)[0]
    column = first.columns[0][0] if first.columns else first.table
    empty = first.table if not evaluator.holds(first.table) else None
    own = how_to_map(empty or said)
    shown = column.removesuffix("_minor").removesuffix("_id")
    maps = kpi.maps if re.search(rf"\b{shown}", kpi.maps) else f"{kpi.maps} {own}".strip()
    needs = kpi.needs or f"{column.removesuffix('_minor')} of {first.table}".replace("_", " ")
    return _no_data(needs, maps, empty, is_column=True)


def _no_data(needs: str, maps: str, empty: str | None, *, is_column: bool = False) -> Lack:
    return Lack("no_data", f"no data: needs {needs}. {maps}".removesuffix(". "), needs, maps, empty, is_column)


def how_to_map(wanted: str) -> str:
    """Where what a KPI requires (`scorecards.wanted`) is mapped: the first of what will do."""
    row = any_of(wanted)[0]
    table, values = row.table, [(column, value) for column, value in row.columns if value is not None]
    if values:
        said = ", ".join(f'{column} = {{ "THEIRS" = "{value}" }}' for column, value in values)
        return f"Map it: [source.NAME.values.{table}] {said}."
    if row.columns:
        said = ", ".join(f'{column.removesuffix("_minor")} = "THEIRS"' for column, _ in row.columns)
        return f"Map it: [source.NAME.fields.{table}] {said}."
    words = table.replace("_", " ")
    return f'Read {words} from a CRM that has them, or from a file: [[source.NAME.table]] table = "{table}".'


def _of_parts(evaluator: "Evaluator", kpi: Kpi) -> Lack | None:
    """A ratio needs all it is made of; a sum one of what is added, and all that is taken away."""
    lacking = {name: lack_of(evaluator, evaluator.part(kpi, name.partition(".")[0])) for name in kpi.operands}
    if kpi.calc is None:
        found = next(filter(None, lacking.values()), None)
    else:
        added = [lacking[name] for name in kpi.calc.plus]
        found = next(filter(None, (lacking[name] for name in kpi.calc.minus)), added[0] if all(added) else None)
    if found is None or not kpi.needs:
        return found
    maps = f"{kpi.maps} {found.maps}" if kpi.maps and found.is_column else kpi.maps or found.maps
    sentence = f"no data: needs {kpi.needs}. {maps}" if found.status == "no_data" else found.sentence
    return replace(found, sentence=sentence, needs=kpi.needs, maps=maps)


def _of_sql(evaluator: "Evaluator", kpi: Kpi) -> Lack | None:
    """A statement of one's own needs a row in one of the tables it names, as far as one can tell from its words."""
    named = sorted(set(re.findall(r"\w+", kpi.sql or "")) & evaluator.reporting.tables.keys())
    if not named or any(evaluator.holds(table) for table in named):
        return None
    needs = kpi.needs or " or ".join(named).replace("_", " ")
    maps = kpi.maps or how_to_map(named[0])
    return _no_data(needs, maps, named[0])


def _empty_table(evaluator: "Evaluator", kpi: Kpi) -> str | None:
    """The first table a KPI asks for of which there is nothing."""
    asked = [one.table for said in kpi.requires for one in any_of(said)]
    counted = [evaluator.needed_table(kpi)] if kpi.of is not None else []
    return next((table for table in (*counted, *asked) if not evaluator.holds(table)), None)

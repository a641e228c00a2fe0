"""What a KPI may count: each relation's rows and columns, as SQL over the fact and canonical tables.

A relation is named like its table. Its columns are the canonical ones, the derived ones (docs/definitions.md G16 and
docs/tables.md), `custom.NAME`, and columns of a row referred to (`owner.name`, `account.industry`).
Aliases in the SQL: `f` the relation's own rows, `r` the canonical row behind them, `s` the slice of time.
The modules here say the relations of one area each; this one looks them up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import chain

from scorecards.definition import Reporting
from scorecards.facts import FACTS, LIVE
from scorecards.relations import activity, consistency, customers, funnel, machine, office, quality, sales, service
from scorecards.relations.column import SPELLINGS, TEAM_OF_TICKET, Column, Options, Relation, Spec, Way, base_columns


def _merged(*areas: Mapping[str, Spec]) -> dict[str, Spec]:
    """The relations of all areas by name; one name in two areas is a mistake of ours."""
    found: dict[str, Spec] = {}
    for name, spec in chain.from_iterable(area.items() for area in areas):
        if name in found:
            raise ImportError(f"two relations are called {name!r}")
        found[name] = spec
    return found


SPECS: Mapping[str, Spec] = _merged(
    sales.SPECS,
    funnel.SPECS,
    customers.SPECS,
    activity.SPECS,
    service.SPECS,
    office.SPECS,
    machine.SPECS,
    quality.SPECS,
    consistency.SPECS,
)


class Language:
    """The relations and columns of one cache, resolved by name."""

    def __init__(self, reporting: Reporting) -> None:
        self._reporting = reporting

    def names(self) -> list[str]:
        """Everything `of` may name."""
        return [*self._reporting.tables, *(name for name, spec in SPECS.items() if spec.made is not None)]

    def relation(
        self,
        name: str,
        *,
        customer_model: str = "repurchase",
        lookback_days: int = 365,
        purchases: Sequence[str] = ("deals",),
        units: str = "deals",
        pipeline: str = "",
    ) -> Relation | None:
        """The relation `of` names; None when there is none of that name."""
        spec = SPECS.get(name, Spec())
        if spec.made is not None:
            sources = self._reporting.sources
            made = spec.made(Options(customer_model, lookback_days, purchases, units, pipeline, sources))
            if made.base is None:
                return made
            theirs = self._reporting.references.get(made.base)
            behind = base_columns(self._reporting.tables.get(made.base, {}), "r", ("r",), theirs)
            return replace(made, own={**behind, **made.own})
        types = self._reporting.tables.get(name)
        if types is None:
            return None
        references = self._reporting.references.get(name)
        fact = FACTS.get(name)
        if fact is not None:
            base = base_columns(types, "r", ("r",), references)
            return Relation(
                name,
                fact.name,
                versioned="known_from" in fact.columns,
                state=next((name for name in ("state", "status_category") if name in fact.columns), ""),
                states=spec.states,
                base=name,
                own={**base, **spec.own},
                anchor=spec.anchor,
                needs_table=name,
                ahead=spec.ahead,
            )
        own = {**base_columns(types, "f", references=references), **spec.own}
        return Relation(
            name,
            name,
            live=" AND ".join(filter(None, (LIVE.format("f"), spec.live))),
            own=own,
            anchor=spec.anchor,
            needs_table=name,
            ahead=spec.ahead,
            ways=[self._way(word, (references or {})[f"{word}_id"]) for word in spec.led],
        )

    def _way(self, word: str, table: str) -> Way:
        columns = base_columns(self._reporting.tables.get(table, {}), "")
        heads = (column.removesuffix("_id") for column in self._reporting.references.get(table, {}))
        return Way(word, table, frozenset([*columns, *heads, *SPELLINGS, "custom"]))

    def current(self, name: str) -> Relation | None:
        """A canonical table as it is now, for what has no history; with the flags its own state gives."""
        types = self._reporting.tables.get(name)
        if types is None:
            return None
        spec = SPECS.get(name, Spec())
        own = {**base_columns(types, "f", references=self._reporting.references.get(name)), **spec.current}
        return Relation(name, name, live=LIVE.format("f"), own=own, anchor=spec.anchor, needs_table=name)

    def references(self, relation: Relation) -> dict[str, tuple[str, Column]]:
        """What a row refers to: word before the dot -> (table, our column holding its id)."""
        spec = SPECS.get(relation.name, Spec())
        table = spec.behind or relation.name
        found = {}
        for column, target in {**self._reporting.references.get(table, {}), **spec.refers}.items():
            if column in relation.own:
                found[column.removesuffix("_id")] = (target, relation.own[column])
        return found

    def column(self, relation: Relation, name: str) -> Column | None:
        """Resolve a column name of a KPI; None when there is none of that name."""
        name = name if name in relation.own else SPELLINGS.get(name, name)
        if name in relation.own:
            found = relation.own[name]
            if TEAM_OF_TICKET in found.sql and self._reporting.calendars:
                found = replace(found, sql=found.sql.replace(TEAM_OF_TICKET, self._team_of("tickets", "t.id")))
            return found
        alias, joins = ("r", ("r",)) if relation.base else ("f", ())
        head, _, rest = name.partition(".")
        if head == "custom" and rest:
            return Column(f"json_extract({alias}.custom, '$.\"{_json_key(rest)}\"')", "any", joins=joins)
        reference = self.references(relation).get(head)
        if not rest or reference is None:
            return None
        target, through = reference
        return self._reached(target, head, through.joins, rest)

    def _reached(self, table: str, path: str, joins: tuple[str, ...], name: str) -> Column | None:
        """A column of the record a path of references ("ticket.owner") leads to; it may lead on."""
        alias, joins = _alias(path), (*joins, path)
        if name.startswith("custom."):
            key = _json_key(name.removeprefix("custom."))
            return Column(f"json_extract({alias}.custom, '$.\"{key}\"')", "any", joins=joins)
        known, references = self._reporting.tables.get(table, {}), self._reporting.references.get(table, {})
        name = name if name in known else SPELLINGS.get(name, name)
        columns = base_columns(known, alias, joins, references)
        if name in columns:
            return columns[name]
        head, _, rest = name.partition(".")
        further = references.get(f"{head}_id")
        return self._reached(further, f"{path}.{head}", joins, rest) if rest and further else None

    def team(self, relation: Relation) -> Column | None:
        """Whose calendar a row's hours are by: what `[dimension] team` says, else the team of its owner.

        None where no team has a calendar of its own, and of rows that are nobody's.
        """
        if not self._reporting.calendars:
            return None
        if said := relation.split_by(self._reporting.dimensions.get("team", {})):
            return self.column(relation, said)
        if (owned := self.column(relation, "owner.team")) is not None:
            return owned
        ticket = self.references(relation).get("ticket")
        if ticket is None:
            return None
        return Column(self._team_of("tickets", "ticket.id"), "text", joins=(*ticket[1].joins, "ticket"))

    def _team_of(self, table: str, id_: str) -> str:
        """The team (SQL) of the row of a table that has this id (SQL, not over `f`)."""
        relation = self.current(table)
        column = self.team(relation) if relation is not None else None
        if relation is None or column is None:
            return "NULL"
        joins = " ".join(self.join(relation, name) for name in column.joins)
        return f"(SELECT {column.sql} FROM {table} AS f {joins} WHERE f.id = {id_})"

    def join(self, relation: Relation, name: str) -> str:
        """The LEFT JOIN a column asked for."""
        if name == "r":
            return f"LEFT JOIN {relation.base} AS r ON r.id = f.id"
        first, *further = name.split(".")
        table, through = self.references(relation)[first]
        path, id_ = first, through.sql
        for head in further:
            known, references = self._reporting.tables[table], self._reporting.references[table]
            id_ = base_columns(known, _alias(path), references=references)[f"{head}_id"].sql
            path, table = f"{path}.{head}", references[f"{head}_id"]
        return f"LEFT JOIN {table} AS {_alias(path)} ON {_alias(path)}.id = {id_}"

    def near(self, relation: Relation, name: str) -> str:
        """A sentence naming the nearest known columns."""
        known = [*relation.own, *(spelling for spelling in SPELLINGS if self.column(relation, spelling) is not None)]
        for head, (target, _) in self.references(relation).items():
            known += [f"{head}.{column}" for column in self._reporting.tables.get(target, {})]
            for column, table in self._reporting.references.get(target, {}).items():
                further = column.removesuffix("_id")
                known += [f"{head}.{further}.{one}" for one in self._reporting.tables.get(table, {})]
        close = get_close_matches(name, known, n=3)
        if close:
            return f"Did you mean {' or '.join(close)}?"
        return f"Columns of {relation.name}: {', '.join(sorted(relation.own)[:12])} …, or custom.NAME."


def _alias(path: str) -> str:
    """What the record at the end of a path is called in SQL."""
    return path.replace(".", "__")


def _json_key(name: str) -> str:
    """A custom column's name as it may stand in a JSON path: quotes and controls have no business there."""
    return "".join(c for c in name if c.isprintable() and c not in "\"'\\")


__all__ = ["SPECS", "SPELLINGS", "Column", "Language", "Relation"]

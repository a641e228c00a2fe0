"""What a KPI says must be there, in the words of `requires` and `configured_by`. Knows no rows.

"table", "table.column", "table.column=value"; "… and column=value": the same row; "… or …": any of them will do;
"no table.column=value": there is none, so that nothing of it has to be known.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wanted:
    """A row of a table with columns set: each to a value, or (None) to any; or (`is_none`) that there is none such."""

    table: str
    columns: tuple[tuple[str, str | None], ...] = ()
    is_none: bool = False


def any_of(said: str) -> tuple[Wanted, ...]:
    """The rows of which one will do. Takes any text; whether there are such tables and columns is asked elsewhere."""
    return tuple(map(_row, said.split(" or ")))


def _row(said: str) -> Wanted:
    bare = said.strip().removeprefix("no ")
    first, *more = bare.split(" and ")
    place, has_value, value = first.strip().partition("=")
    table, _, column = place.partition(".")
    own = f"{column}{has_value}{value}"
    return Wanted(table, tuple(_column(one) for one in (own, *more) if one), bare != said.strip())


def _column(said: str) -> tuple[str, str | None]:
    name, has_value, value = said.strip().partition("=")
    return name, value if has_value else None

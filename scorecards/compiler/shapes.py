"""The shapes that are more than a filter and a measure: filled fields, the latest of each, who was kept."""

from collections.abc import Sequence

from scorecards.compiler.statement import SLICE, Rows
from scorecards.conditions import Sql
from scorecards.definition import Kpi

#: What a blank text is made of: spaces, tabs, line ends, hard spaces.
_BLANKS = "char(32, 9, 10, 13, 160)"
PLACEHOLDERS = ("n/a", "na", "none", "unknown", "-", "test", "tbd")


def filled(kpi: Kpi, sql: Sql) -> tuple[str, str]:
    """Weights filled and weights required of a row."""
    assert kpi.filled is not None  # the caller looked
    placeholders = {str(word).strip().lower() for word in kpi.params.get("placeholders", PLACEHOLDERS)}
    listed = ", ".join(sql.bind(word) for word in ["", *sorted(placeholders)])
    filled, wanted = [], []
    for name, rule in kpi.filled.required.items():
        weight, only = (rule, None) if isinstance(rule, int | float) else (rule["weight"], rule.get("where"))
        column = sql.column(name)
        has = f"{column.sql} IS NOT NULL"
        if column.type in ("text", "any"):
            zeros = f"({column.sql} GLOB '000*' AND trim({column.sql}, '0') = '')"
            has = f"COALESCE(lower(trim({column.sql}, {_BLANKS})) NOT IN ({listed}) AND NOT {zeros}, 0)"
        applies = f"COALESCE({' AND '.join(sql.conditions(only))}, 0)" if only else ""
        wanted.append(f"{weight:.12g} * ({applies})" if applies else f"{weight:.12g}")
        filled.append(f"{weight:.12g} * ({applies} AND {has})" if applies else f"{weight:.12g} * ({has})")
    return " + ".join(filled) or "0", " + ".join(wanted) or "0"


def place(kpi: Kpi, sql: Sql) -> str:
    """Which row of its key a row is, from the latest or the first: one of each counts.

    Of `latest_per`, rows whose keys beyond the first are all empty stand alone; of `first_per`, any without a key.
    """
    keys = [sql.column(name).sql for name in kpi.latest_per or kpi.first_per]
    alone = " AND ".join(f"{key} IS NULL" for key in keys[1:]) or "0"
    if kpi.first_per:
        alone = " OR ".join(f"{key} IS NULL" for key in keys)
    moment = sql.column(kpi.date or "created_at").sql
    own, way = sql.column("id").sql, "DESC" if kpi.latest_per else "ASC"
    return (
        f"ROW_NUMBER() OVER (PARTITION BY {', '.join(keys)}, CASE WHEN {alone} THEN {own} END"
        f" ORDER BY {moment} {way}, {own} {way})"
    )


def retained(kpi: Kpi, sql: Sql, movements: bool, segment: str = "", shown: Sequence[str] = ()) -> Rows:
    """Who was in at the start, and whether at the end: hit 1 kept, 0 lost; why new or reactivated for the rest.

    `segment`: SQL of the segment of a span. Who is in by several spans is of the one begun last: of one segment only,
    so that the segments add up. `shown`: columns (SQL) of that span to carry along, as c0, c1 …
    """
    assert kpi.retain is not None  # the caller looked
    relation = sql.relation
    key = sql.column(kpi.retain.key).sql
    live = (
        f"{key} IN (SELECT id FROM accounts WHERE is_deleted = 0 AND merged_into IS NULL AND dup_of IS NULL"
        " AND is_test = 0)"
    )
    where = " AND ".join(filter(None, [relation.live, live, *sql.conditions(kpi.where)]))
    joins = " ".join(sql.joins.values())

    def keys(condition: str) -> str:
        return f"SELECT {key} FROM {relation.source} AS f {joins} WHERE {condition} AND {where}"

    start, end = (_open_on(kpi, sql, day) for day in (":s_day_start", ":s_at_day"))
    who = f"SELECT DISTINCT {key} AS key, '' AS seg FROM {relation.source} AS f {joins} WHERE {start} AND {where}"
    carried = "".join(f", {column} AS c{number}" for number, column in enumerate(shown))
    theirs = ""
    if segment or shown:
        seg, row = segment or "''", "f.rowid" if relation.source.isidentifier() else "NULL"
        newest = f"ROW_NUMBER() OVER (PARTITION BY {key} ORDER BY {sql.column(kpi.retain.opens).sql} DESC, {seg})"
        each = f"SELECT {key} AS key, {seg} AS seg, {newest} AS place, {row} AS row"
        from_all = f" FROM {SLICE} AS s CROSS JOIN {relation.source} AS f {joins} WHERE {start} AND {where}"
        if shown and row == "NULL":
            each, carried = f"{each}{carried}", "".join(f", c{number}" for number in range(len(shown)))
            who = f"SELECT key, seg{carried} FROM ({each}{from_all}) WHERE place = 1"
        else:
            # What is shown of a span is looked up once it is known whose is wanted: of those who left, say.
            who = f"SELECT key, seg, row FROM ({each}{from_all}) WHERE place = 1"
            theirs = f" w CROSS JOIN {SLICE} AS s CROSS JOIN {relation.source} AS f ON f.rowid = w.row {joins}"
    statement = (
        f"SELECT key AS id, seg, NULL AS why, key IN ({keys(end)}) AS hit, 1 AS x, 1 AS y, NULL AS rate{carried}"
        f" FROM ({who}){theirs if shown else ''}"
    )
    if not movements:
        return Rows(statement, sql.values, split=bool(segment))
    before = _opened_before(kpi, sql, ":s_day_start")
    statement += (
        f" UNION ALL SELECT key, '', CASE WHEN key IN ({keys(before)}) THEN 'reactivated' ELSE 'new' END, 1, 1, 1,"
        f" NULL FROM (SELECT DISTINCT {key} AS key FROM {relation.source} AS f {joins} WHERE {end} AND {where})"
        f" WHERE key NOT IN ({keys(start)})"
    )
    return Rows(statement, sql.values, ("new", "reactivated"))


def spans(kpi: Kpi, sql: Sql) -> Rows:
    """Retention's keys with the days they open and close."""
    assert kpi.retain is not None  # the caller looked
    relation = sql.relation
    columns = [sql.column(name).sql for name in (kpi.retain.key, kpi.retain.opens, kpi.retain.closes)]
    where = [relation.live, *(f"{column} IS NOT NULL" for column in columns), *sql.conditions(kpi.where)]
    joins = " ".join(sql.joins.values())
    statement = f"SELECT {', '.join(columns)} FROM {relation.source} AS f {joins}"
    return Rows(f"{statement} WHERE {' AND '.join(filter(None, where))}", sql.values)


def _open_on(kpi: Kpi, sql: Sql, day: str) -> str:
    """True for a span that covers a local day: opened on or before it, not closed by it."""
    assert kpi.retain is not None  # the caller looked
    return f"{sql.column(kpi.retain.opens).sql} <= {day} AND {sql.column(kpi.retain.closes).sql} > {day}"


def _opened_before(kpi: Kpi, sql: Sql, day: str) -> str:
    assert kpi.retain is not None  # the caller looked
    return f"{sql.column(kpi.retain.opens).sql} < {day}"

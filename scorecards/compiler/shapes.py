"""The shapes that are more than a filter and a measure: filled fields, the latest of each, who was kept."""

from collections.abc import Sequence

from scorecards.compiler.statement import SLICE, Rows
from scorecards.compiler.time import instant
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
    Where nothing is to be shown, spans that nobody can place or tell whose they are are there too, as null.
    """
    assert kpi.retain is not None  # the caller looked
    relation = sql.relation
    spell = _Spell(kpi, sql)
    key = spell.key
    live = (
        f"{key} IN (SELECT id FROM accounts WHERE is_deleted = 0 AND merged_into IS NULL AND dup_of IS NULL"
        " AND is_test = 0)"
    )
    known = [relation.live, *_known(sql), *sql.conditions(kpi.where)]
    joins = " ".join(sql.joins.values())
    whole = " AND ".join(filter(None, known)) or "1"
    where = f"{live} AND {whole}"

    def keys(condition: str) -> str:
        return f"SELECT {key} FROM {relation.source} AS f {joins} WHERE {condition} AND {where}"

    start, end = spell.open_at(":s_day_start", ":s_since"), spell.open_at(":s_at_day", ":s_at")
    who = f"SELECT DISTINCT {key} AS key, '' AS seg FROM {relation.source} AS f {joins} WHERE {start} AND {where}"
    carried = "".join(f", {column} AS c{number}" for number, column in enumerate(shown))
    theirs = ""
    if segment or shown:
        seg, row = segment or "''", "f.rowid" if relation.source.isidentifier() else "NULL"
        newest = f"ROW_NUMBER() OVER (PARTITION BY {key} ORDER BY {spell.opens} DESC, {seg})"
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
    reasons: tuple[str, ...] = ()
    if not (shown or relation.made_of):  # what is made of them all is whole
        reasons = ("null",)
        lacks = spell.lacks(":s_day_start", ":s_since")
        statement += (
            f" UNION ALL SELECT {sql.column('id').sql}, {segment or chr(39) * 2}, 'null', 0, 1, 1, NULL"
            f" FROM {SLICE} AS s CROSS JOIN {relation.source} AS f {joins} WHERE {lacks} AND {whole}"
        )
    if not movements:
        return Rows(statement, sql.values, reasons, split=bool(segment))
    before = spell.opened_before(":s_day_start", ":s_since")
    statement += (
        f" UNION ALL SELECT key, '', CASE WHEN key IN ({keys(before)}) THEN 'reactivated' ELSE 'new' END, 1, 1, 1,"
        f" NULL FROM (SELECT DISTINCT {key} AS key FROM {relation.source} AS f {joins} WHERE {end} AND {where})"
        f" WHERE key NOT IN ({keys(start)})"
    )
    return Rows(statement, sql.values, (*reasons, "new", "reactivated"))


def spans(kpi: Kpi, sql: Sql) -> Rows:
    """Retention's keys with when they open and close: days as text, instants as seconds.

    A row nobody can place, or tell whose it is, has no key; one without an end runs on.
    """
    assert kpi.retain is not None  # the caller looked
    relation = sql.relation
    spell = _Spell(kpi, sql)
    where = " AND ".join(filter(None, [relation.live, *_known(sql), *sql.conditions(kpi.where)])) or "1"
    joins = " ".join(sql.joins.values())
    key = spell.key if relation.made_of else f"CASE WHEN NOT ({spell.nobodys}) THEN {spell.key} END"
    return Rows(
        f"SELECT {key}, {spell.opens}, {spell.closes} FROM {relation.source} AS f {joins} WHERE {where}", sql.values
    )


class _Spell:
    """What a retention counts, from one moment to another, in SQL. Each question takes a local day and its instant."""

    def __init__(self, kpi: Kpi, sql: Sql) -> None:
        assert kpi.retain is not None  # the caller looked
        self._is_date: dict[str, bool] = {}
        self.key = sql.column(kpi.retain.key).sql
        self.opens, self.closes = self._moment(sql, kpi.retain.opens), self._moment(sql, kpi.retain.closes)
        if kpi.retain.opens == "created_at":
            self.opens = f"COALESCE({self.opens}, 0)"  # known from the start
        self.nobodys = f"{self.key} IS NULL OR {self.key} NOT IN (SELECT id FROM accounts)"

    def _moment(self, sql: Sql, name: str) -> str:
        is_date = sql.column(name).type == "date"
        found = sql.column(name).sql if is_date else instant(sql, name)
        self._is_date[found] = is_date
        return found

    def open_at(self, day: str, at: str) -> str:
        """True for one that covers the moment: opened by it, not closed by it, if ever."""
        return f"{self._by(self.opens, '<=', day, at)} AND {self._not_closed(day, at)}"

    def opened_before(self, day: str, at: str) -> str:
        return self._by(self.opens, "<", day, at)

    def lacks(self, day: str, at: str) -> str:
        """True for one that may cover the moment and is not in: nobody knows when it opened, or whose it is."""
        may = f"({self.opens} IS NULL OR {self._by(self.opens, '<=', day, at)}) AND {self._not_closed(day, at)}"
        return f"{may} AND ({self.opens} IS NULL OR {self.nobodys})"

    def _not_closed(self, day: str, at: str) -> str:
        return f"({self.closes} IS NULL OR {self._by(self.closes, '>', day, at)})"

    def _by(self, moment: str, how: str, day: str, at: str) -> str:
        return f"{moment} {how} {day if self._is_date.get(moment) else at}"


def _known(sql: Sql) -> list[str]:
    """Rows known at as_of: of versions the one that was, of others those that had been created (G2)."""
    relation = sql.relation
    if relation.versioned:
        return [sql.past("f.known_from"), sql.not_past("f.known_to")]
    if "created_at" not in relation.own:
        return []
    created = sql.column("created_at")
    come = sql.past(created.sql) if created.epoch else sql.past_text(created.sql)
    return [f"({created.sql} IS NULL OR {come})"]

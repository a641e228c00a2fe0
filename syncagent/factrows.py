"""The rows of one fact: those of dirty units derived anew, and put in place of the ones there are.

`temp.wanted` holds the units at hand, in the order and number a transaction takes.
"""

import sqlite3

from scorecards.facts import ITS_IDS, Book, Fact
from syncagent import kept

_BATCH = 5000


def derive(conn: sqlite3.Connection, fact: Fact, book: Book) -> int:
    """Bring the rows of all dirty units of a fact up to date, and note where they changed; returns how many units."""
    derived, last = 0, ""
    while True:
        units, after = _want(conn, fact, last)
        if not units:
            return derived
        # Later facts, and what is kept, read more of a record than our row of it holds: they look again anyway.
        kept.mark(conn, fact)
        feed(conn, fact)
        if _is_other(conn, fact, book):
            _replace(conn, fact, None)
            kept.mark(conn, fact)
        _settle(conn, fact, last, after)
        derived, last = derived + units, after


def build_batch(conn: sqlite3.Connection, fact: Fact, book: Book, after: str) -> tuple[int, str]:
    """The rows of the next dirty units in id order, where all are built: (how many units, the last of them)."""
    units, last = _want(conn, fact, after)
    if units:
        _replace(conn, fact, book)
        _settle(conn, fact, after, last)
    return units, last


def begin_build(conn: sqlite3.Connection, fact: Fact) -> None:
    """Have an empty table filled without the indexes that filling it does not ask for.

    Rows come in the order of their units, and anywhere in other orders: an index that grows with them is written page
    by page again and again, a hundred times its size. Made of all rows in the end it is written once.
    """
    looks_at_its_own = fact.together or any(fact.name in said for said in (fact.read, *fact.feeds.values()))
    if looks_at_its_own or conn.execute(f"SELECT 1 FROM {fact.name} LIMIT 1").fetchone() is not None:
        return
    asked = "SELECT name FROM pragma_index_list(?)"
    for (name,) in map(tuple, conn.execute(asked, (fact.name,)).fetchall()):
        first = conn.execute("SELECT name FROM pragma_index_info(?) WHERE seqno = 0", (name,)).fetchone()[0]
        if first != fact.unit:
            conn.execute(f"DROP INDEX {name}")


def drop_outdated(conn: sqlite3.Connection, fact: Fact) -> None:
    """Drop the indexes that an earlier version made of other columns."""
    wanted = {statement.replace("IF NOT EXISTS ", "") for statement in fact.ddl}
    there = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL"
    for name, sql in map(tuple, conn.execute(there, (fact.name,)).fetchall()):
        if sql not in wanted:
            conn.execute(f"DROP INDEX {name}")


def end_build(conn: sqlite3.Connection, fact: Fact) -> None:
    """Make what is missing of a table and its indexes."""
    for statement in fact.ddl:
        conn.execute(statement)


def feed(conn: sqlite3.Connection, fact: Fact, *, everything: bool = False) -> None:
    """Mark the units of later facts that the wanted units' rows (or all) belong to now."""
    only = "true" if everything else f"{fact.unit} IN (SELECT id FROM temp.wanted)"
    for kind, unit in fact.feeds.items():
        conn.execute(
            f"INSERT INTO dirty SELECT '{kind}', u FROM (SELECT DISTINCT {unit} AS u FROM {fact.name} WHERE {only})"
            " WHERE u IS NOT NULL ON CONFLICT DO NOTHING"
        )
    for kind, named, place, column in fact.passes:
        conn.execute(
            f"INSERT INTO dirty SELECT '{kind}', own.id FROM (SELECT DISTINCT {named} AS id FROM {fact.name}"
            f" WHERE {only}) u CROSS JOIN {place} own ON own.{column} IN ({ITS_IDS.format('u')})"
            " WHERE u.id IS NOT NULL ON CONFLICT DO NOTHING"
        )


def _want(conn: sqlite3.Connection, fact: Fact, after: str) -> tuple[int, str]:
    """The next dirty units in id order into temp.wanted: (how many, the last of them). Memory stays flat."""
    conn.execute("CREATE TEMP TABLE IF NOT EXISTS wanted (id TEXT PRIMARY KEY) WITHOUT ROWID")
    conn.execute("CREATE TEMP TABLE IF NOT EXISTS touched (grp INTEGER PRIMARY KEY)")
    conn.execute("DELETE FROM temp.wanted")
    conn.execute("DELETE FROM temp.touched")
    conn.execute(
        "INSERT INTO temp.wanted SELECT id FROM dirty WHERE kind = ? AND id > ? ORDER BY id LIMIT ?",
        (fact.kind, after, _BATCH),
    )
    last, units = conn.execute("SELECT MAX(id), COUNT(*) FROM temp.wanted").fetchone()
    # Not told how few they are, the planner takes them for a million, and reads a whole table to look up a thousand.
    conn.execute("ANALYZE temp.wanted")
    return units, last if units else after


def _settle(conn: sqlite3.Connection, fact: Fact, after: str, last: str) -> None:
    conn.execute("DELETE FROM dirty WHERE kind = ? AND id > ? AND id <= ?", (fact.kind, after, last))


def _replace(conn: sqlite3.Connection, fact: Fact, book: Book | None) -> None:
    """Derive the rows of the wanted units in place of those there are; without a book, take those in temp.made."""
    _touch(conn, fact)
    feed(conn, fact)
    if book is None:
        _take_made(conn, fact)
    else:
        conn.execute(f"DELETE FROM {fact.name} WHERE {fact.unit} IN (SELECT id FROM temp.wanted)")
        _derived_into(conn, fact.name, fact, book)
    _touch(conn, fact)
    feed(conn, fact)
    if fact.together:
        conn.execute(fact.together)


def _take_made(conn: sqlite3.Connection, fact: Fact) -> None:
    """Make the rows of the wanted units those in temp.made, and write of each no more than what is another.

    An index is written where a column of its own is: a new owner of a deal is no reason to write where it lies in time.
    """
    columns = _compared(fact)
    placed = (
        f"SELECT rowid AS place, {fact.unit} AS unit, ROW_NUMBER() OVER (PARTITION BY {fact.unit} ORDER BY rowid) AS n"
        f" FROM {{}} WHERE {fact.unit} IN (SELECT id FROM temp.wanted)"
    )
    conn.execute("DROP TABLE IF EXISTS temp.pairs")
    conn.execute(
        "CREATE TEMP TABLE pairs AS SELECT own.place AS place, made.place AS made"
        f" FROM ({placed.format(fact.name)}) own JOIN ({placed.format('temp.made')}) made USING (unit, n)"
    )
    conn.execute(
        f"DELETE FROM {fact.name} WHERE {fact.unit} IN (SELECT id FROM temp.wanted)"
        " AND rowid NOT IN (SELECT place FROM temp.pairs)"
    )
    pairs = f"temp.pairs p CROSS JOIN temp.made m ON m.rowid = p.made CROSS JOIN {fact.name} f ON f.rowid = p.place"
    differ = conn.execute(f"SELECT {', '.join(f'MAX(f.{one} IS NOT m.{one})' for one in columns)} FROM {pairs}")
    for column, differs in zip(columns, tuple(differ.fetchone()), strict=True):
        if differs:
            conn.execute(
                f"UPDATE {fact.name} SET {column} = m.{column} FROM temp.pairs p JOIN temp.made m ON m.rowid = p.made"
                f" WHERE {fact.name}.rowid = p.place AND {fact.name}.{column} IS NOT m.{column}"
            )
    conn.execute(
        f"INSERT INTO {fact.name} SELECT * FROM temp.made WHERE {fact.unit} IN (SELECT id FROM temp.wanted)"
        " AND rowid NOT IN (SELECT made FROM temp.pairs)"
    )


def _compared(fact: Fact) -> list[str]:
    """The columns that follow from a unit's own records."""
    return [column for column in fact.columns if column != fact.told]


def _derived_into(conn: sqlite3.Connection, table: str, fact: Fact, book: Book) -> None:
    rows = conn.execute(fact.read)
    rows.row_factory = None
    marks = ", ".join("?" * len(fact.columns))
    # Streamed: a person with a hundred thousand activities is one unit among many.
    conn.executemany(f"INSERT INTO {table} VALUES ({marks})", fact.derive(rows, book))


def _is_other(conn: sqlite3.Connection, fact: Fact, book: Book) -> bool:
    """Derive into temp.made, and strike from temp.wanted the units whose rows stay as they are: are any left?

    Most changes of a record change little of what follows from it, and rows that stay cost no page of the disk.
    """
    columns = ", ".join(_compared(fact))
    there = f"SELECT {columns} FROM {fact.name} WHERE {fact.unit} IN (SELECT id FROM temp.wanted)"
    made = f"SELECT {columns} FROM temp.made"
    conn.execute("DROP TABLE IF EXISTS temp.made")
    conn.execute(f"CREATE TEMP TABLE made ({', '.join(fact.columns)})")
    _derived_into(conn, "temp.made", fact, book)
    number = f"SELECT {fact.unit}, COUNT(*) FROM ({{}}) GROUP BY 1"  # equal rows are told apart by how many there are
    pairs = [(made, there), (number.format(made), number.format(there))]
    changed = " UNION ALL ".join(
        f"SELECT {fact.unit} FROM (SELECT * FROM ({one}) EXCEPT SELECT * FROM ({other}))"
        for pair in pairs
        for one, other in (pair, pair[::-1])
    )
    conn.execute(f"DELETE FROM temp.wanted WHERE id NOT IN ({changed})")
    return conn.execute("SELECT 1 FROM temp.wanted LIMIT 1").fetchone() is not None


def _touch(conn: sqlite3.Connection, fact: Fact) -> None:
    """Note the groups the wanted units are in now."""
    if fact.group:
        conn.execute(
            f"INSERT OR IGNORE INTO temp.touched SELECT {fact.group} FROM {fact.name}"
            f" WHERE {fact.unit} IN (SELECT id FROM temp.wanted) AND {fact.group} IS NOT NULL"
        )

"""The program an admin's own SELECT runs in: a process of its own that may read one database and little else.

Started by `sqlslot` with the path of this file, in isolated mode: it may import nothing but the standard library. One
job as JSON on stdin, one answer as JSON on stdout. Layers, each of which stops what the one before does not:

- the system's: no file can be written, few opened, no process started; a limit on memory and CPU; an alarm that ends
  the process whatever it does, also when nobody waits for it any more;
- SQLite's: opened for reading only, nothing can be attached, an authorizer lets a statement read the job's tables and
  call functions, a limit on SQLite's own memory where the system has none (macOS);
- a look at the clock and at the parent every few thousand steps.

An answer holds nothing of a row but what the statement returned; a failure gives SQLite's own text only where that can
hold nothing of a row.
"""

import contextlib
import json
import math
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

#: The name of the table of periods a statement may read to answer all of them at once.
PERIODS = "periods"
#: What every period says, as :NAME and as a column of PERIODS.
WITHIN_PERIOD = ("start", "end", "start_date", "end_date")
#: What a row may hold beside `value`.
BESIDE = ("segment", "n", "numerator", "denominator")
_MEMORY = 384 << 20  # of SQLite
_ADDRESS_SPACE = 768 << 20  # of the process
_OPEN_FILES = 32
_CONTENT = 4_000_000  # bytes of one text: a giant one would outrun the clock
_TEXT = 200  # characters of a segment or an id
_STEPS = 10_000  # SQLite's instructions between two looks at the clock
_GRACE_S = 2  # the alarm after the clock
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
#: Functions that could reach outside the rows, or fill the memory in one step.
_BANNED = {
    *("load_extension", "zeroblob", "randomblob", "printf", "format", "readfile", "writefile", "edit"),
    *("fts3_tokenizer", "sqlite_log"),
    *("random", "changes", "total_changes", "last_insert_rowid"),  # and what the rows do not say
}
#: What stands before the name of a function that is refused.
FUNCTION = "the function "
_ROWS_OF_JSON = {"json_each", "json_tree"}
_WORDS = {
    sqlite3.SQLITE_ATTACH: "ATTACH",
    sqlite3.SQLITE_DETACH: "DETACH",
    sqlite3.SQLITE_PRAGMA: "PRAGMA",
    sqlite3.SQLITE_TRANSACTION: "a transaction",
    sqlite3.SQLITE_SAVEPOINT: "a savepoint",
    sqlite3.SQLITE_INSERT: "a change of rows",
    sqlite3.SQLITE_UPDATE: "a change of rows",
    sqlite3.SQLITE_DELETE: "a change of rows",
}
#: Texts of SQLite's that name nothing of a row.
_PLAIN = ("integer overflow", "malformed JSON", "too many columns", "LIKE or GLOB pattern too complex")


class Stopped(Exception):
    """The statement cannot be answered: `code` says why, `said` what exactly where that is known."""

    def __init__(self, code: str, said: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.said = said


class Gate:
    """What SQLite asks before it compiles each part of a statement. Keeps what it refused and what it blanked."""

    def __init__(self, conn: sqlite3.Connection, tables: Collection[str], personal: Collection[str]) -> None:
        self._tables = {*tables, PERIODS, *_ROWS_OF_JSON}
        self._personal = {*personal}
        self._others: set[str] = set()
        for known in ("sqlite_master", "pragma_module_list"):
            with contextlib.suppress(sqlite3.OperationalError):  # not every SQLite lists its modules
                self._others.update(name for (name,) in conn.execute(f"SELECT name FROM {known}"))
        self._others -= self._tables
        self.refused = ""
        self.blanked: set[str] = set()
        self.read: set[str] = set()

    def __call__(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_READ:
            table, column = first or "", f"{first}.{second}"
            # Rows that are only counted may be those of the statement's own WITH: any name nobody else has.
            is_own = not second and table not in self._others and not table.startswith(("sqlite_", "pragma_"))
            if table not in self._tables and not is_own:
                return self._refuse(f"the table {table}")
            self.read.add(table)
            if column in self._personal:
                self.blanked.add(column)
                return sqlite3.SQLITE_IGNORE  # read as NULL
        elif action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _BANNED:
            return self._refuse(f"{FUNCTION}{(second or '').lower()}")
        return sqlite3.SQLITE_OK if action in _ALLOWED else self._refuse(_WORDS.get(action, "a change of the database"))

    def _refuse(self, what: str) -> int:
        self.refused = self.refused or what
        return sqlite3.SQLITE_DENY


def prepare(conn: sqlite3.Connection, statement: str, values: Mapping[str, Any], gate: Gate) -> None:
    """Compile a statement without running it. Raises Stopped "refused", or "prepare" with SQLite's text."""
    conn.set_authorizer(gate)
    try:
        conn.execute(f"EXPLAIN {statement}", values).close()
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise Stopped("refused", gate.refused) if gate.refused else Stopped("prepare", str(error)) from error
    finally:
        conn.set_authorizer(None)


def answer(job: Mapping[str, Any]) -> dict[str, Any]:
    """What the statement returned for each period of the job, in order. Raises Stopped."""
    stop_at = time.monotonic() + job["total_s"]
    _set_alarm(job["time_s"] + _GRACE_S, job["cpu_s"])
    conn = sqlite3.connect(f"{job['uri']}?mode=ro", uri=True, isolation_level=None)
    with contextlib.closing(conn):
        periods: Sequence[Mapping[str, Any]] = job["periods"]
        _narrow(conn, periods)
        gate = Gate(conn, job["tables"], job["personal"])
        statement: str = job["statement"]
        prepare(conn, statement, periods[0], gate)
        conn.set_authorizer(gate)
        if PERIODS in gate.read:
            found: list[list[dict[str, Any]]] = [[] for _ in periods]
            for row in _rows(conn, gate, job, periods[0], stop_at):
                period = row.pop("period", None)
                if not isinstance(period, int) or not 0 <= period < len(periods):
                    raise Stopped("period")
                found[period].append(row)
            for rows in found:
                _look_for_doubles(rows)
            return {"answers": found}
        seen: dict[str, list[dict[str, Any]]] = {}
        for values in periods:
            key = json.dumps(values, sort_keys=True)
            if key not in seen:
                seen[key] = list(_rows(conn, gate, job, values, stop_at))
                for row in seen[key]:
                    row.pop("period", None)
                _look_for_doubles(seen[key])
        return {"answers": [seen[json.dumps(values, sort_keys=True)] for values in periods]}


def _narrow(conn: sqlite3.Connection, periods: Sequence[Mapping[str, Any]]) -> None:
    """Take away what a statement has no need of, before the first word of it is read."""
    conn.execute("PRAGMA temp_store = MEMORY")
    conn.execute("PRAGMA mmap_size = 0")
    conn.execute("PRAGMA trusted_schema = OFF")
    conn.execute(f"PRAGMA hard_heap_limit = {_MEMORY}")
    with contextlib.suppress(sqlite3.OperationalError):  # SQLite sets up its tables of JSON when first asked
        conn.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')")
    conn.execute(f"CREATE TEMP TABLE {PERIODS} (period INTEGER PRIMARY KEY, {', '.join(WITHIN_PERIOD)})")
    rows = [(number, *(values[name] for name in WITHIN_PERIOD)) for number, values in enumerate(periods)]
    conn.executemany(f"INSERT INTO {PERIODS} VALUES (?, ?, ?, ?, ?)", rows)
    conn.execute("PRAGMA query_only = 1")
    conn.execute("BEGIN")  # all periods see one state of the cache
    conn.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    conn.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _CONTENT)
    conn.setlimit(sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0)


def _rows(
    conn: sqlite3.Connection, gate: Gate, job: Mapping[str, Any], values: Mapping[str, Any], stop_at: float
) -> Iterator[dict[str, Any]]:
    """The rows of one run. Raises Stopped."""
    share = len(job["periods"]) if PERIODS in gate.read else 1  # how many periods it answers at once
    until = min(stop_at, time.monotonic() + job["time_s"])
    if until <= time.monotonic():
        raise Stopped("total")
    _set_alarm(until - time.monotonic() + _GRACE_S, job["cpu_s"])
    is_late = False

    def look() -> int:
        nonlocal is_late
        if os.getppid() != job["parent"]:
            os._exit(1)  # nobody waits for the answer
        is_late = time.monotonic() > until
        return int(is_late)

    conn.set_progress_handler(look, _STEPS)
    figures = records = 0
    try:
        cursor = conn.execute(job["statement"], values)
        names = [column[0].lower() for column in cursor.description or ()]
        if "value" not in names:
            raise Stopped("no_value")
        for found in cursor:
            row = dict(zip(names, found, strict=True))
            if row.get("record_id") is not None:
                records += 1
                if not job["records"]:
                    continue
            else:
                figures += 1
            if figures > job["rows"] * share or records > job["most_records"]:
                raise Stopped("rows")
            yield _clean(row)
    except MemoryError as error:
        raise Stopped("memory") from error
    except sqlite3.Error as error:
        if is_late:
            raise Stopped("total" if until == stop_at else "time") from error
        said = str(error)
        raise Stopped("run", said if said in _PLAIN or "too big" in said else _name(error)) from error


def _name(error: sqlite3.Error) -> str:
    return str(getattr(error, "sqlite_errorname", "SQLITE_ERROR"))


def _clean(row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns we know, each of its type. Raises Stopped naming the column that is not."""
    found: dict[str, Any] = {"value": _number("value", row["value"])}
    for name in BESIDE:
        if name in row:
            found[name] = row[name] if name == "segment" else _number(name, row[name])
    for name in ("segment", "record_id"):
        if row.get(name) is not None:
            found[name] = str(row[name])[:_TEXT]
    if "period" in row:
        found["period"] = row["period"]
    return found


def _look_for_doubles(rows: Sequence[Mapping[str, Any]]) -> None:
    """One total of a period, and one figure of each segment: of several nobody can say which. Raises Stopped."""
    segments = [row.get("segment") for row in rows if "record_id" not in row]
    if (totals := segments.count(None)) > 1:
        raise Stopped("totals", str(totals))
    if len(set(segments)) < len(segments):
        raise Stopped("segments")


def _number(name: str, value: object) -> int | float | None:
    if value is None or (isinstance(value, int | float) and math.isfinite(value)):
        return value
    raise Stopped("number", name)


def _set_alarm(wall_s: float, cpu_s: int) -> None:
    """The process ends by itself after so long, in the middle of one long step too."""
    import resource
    import signal

    signal.setitimer(signal.ITIMER_REAL, max(wall_s, 0.1))
    spent = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(spent.ru_utime + spent.ru_stime) + cpu_s
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _limit() -> None:
    """Give up what the system can take away; what it cannot (memory on macOS) the other layers hold."""
    import resource
    import signal

    for number in (signal.SIGINT, signal.SIGALRM, signal.SIGXCPU, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)  # end at once, without a word
    limits: list[tuple[str, int]] = [
        ("RLIMIT_CORE", 0),
        ("RLIMIT_FSIZE", 0),
        ("RLIMIT_NPROC", 0),
        ("RLIMIT_NOFILE", _OPEN_FILES),
        ("RLIMIT_AS", _ADDRESS_SPACE),
    ]
    for name, limit in limits:
        kind = getattr(resource, name, None)
        if kind is not None:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(kind, (limit, limit))


def main(read: Callable[[], str] = sys.stdin.read, write: Callable[[str], object] = sys.stdout.write) -> None:
    """Read a job, answer it, end."""
    _limit()
    job = json.loads(read())
    try:
        said = json.dumps(answer(job))
    except Stopped as stop:
        said = json.dumps({"error": stop.code, "said": stop.said})
    except MemoryError:
        said = '{"error": "memory", "said": ""}'
    except sqlite3.Error as error:
        said = json.dumps({"error": "run", "said": _name(error)})
    write(said)


if __name__ == "__main__":
    main()

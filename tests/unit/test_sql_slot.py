"""An admin's own SELECT: what it may read and return, and that whatever it does otherwise ends with one sentence."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from scorecards import sqlchild, sqlslot
from scorecards.catalogue import BUILTINS
from scorecards.checks.sql import problems
from scorecards.definition import build
from scorecards.evaluate import Evaluator
from scorecards.periods import parse_period
from scorecards.values import KpiResult
from syncagent import facts
from syncagent.cli import run_cli
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

AS_OF = "2026-11-21T12:00:00+00:00"
PERIOD = {"start": "2026-10-01T00:00:00Z", "end": "2026-11-01T00:00:00Z"}
PERIOD |= {"start_date": "2026-10-01", "end_date": "2026-11-01", "as_of": "2026-11-21T12:00:00Z"}
PERIOD |= {"as_of_date": "2026-11-21"}
ENDLESS = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT SUM(x) AS value FROM r"


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    conn = open_cache(tmp_path)
    for number, (month, owner) in enumerate((("09", "ann"), ("10", "ann"), ("10", "bob"), ("10", None))):
        values = {"closed_at": f"2026-{month}-05T10:00:00Z", "priority": owner, "url": f"https://crm.test/{number}"}
        put(conn, "tickets", f"sf:tickets:{number}", **values)
    put(conn, "contacts", "c", email_norm="kim@acme.test", first_name="Kim", last_name="Doe")
    facts.refresh(conn, REPORTING)
    yield conn
    conn.close()


def shown(cache: sqlite3.Connection, sql: str, period: str | None = None) -> KpiResult:
    kpi = build("own", {"sql": sql})
    evaluator = Evaluator(cache, {**BUILTINS, "own": kpi}, REPORTING, as_of=datetime.fromisoformat(AS_OF))
    return evaluator.evaluate(kpi, period=parse_period(period) if period else None)


def reason(cache: sqlite3.Connection, sql: str) -> str:
    """Why there is no value: one line that names the place."""
    found = shown(cache, sql)
    said = str(found.reason)
    assert (found.status, found.value) == ("error", None)
    assert said.startswith("could not be computed: sql of [kpi.own] ")
    assert "\n" not in said
    return said.removeprefix("could not be computed: sql of [kpi.own] ")


def test_total_segments_and_series_of_one_statement(cache: sqlite3.Connection) -> None:
    sql = """
        WITH t AS (SELECT priority FROM tickets WHERE closed_at >= :start AND closed_at < :end)
        SELECT NULL AS segment, COUNT(*) AS value, COUNT(*) AS n, 1 AS numerator, 2.5 AS denominator FROM t
        UNION ALL SELECT priority, COUNT(*), COUNT(*), NULL, NULL FROM t WHERE priority IS NOT NULL GROUP BY priority
    """
    found = shown(cache, sql, "2026-10")
    assert (found.value, found.n, found.numerator, found.denominator) == (3, 3, 1, 2.5)
    assert [(part.segment, part.value) for part in found.segments] == [("ann", 1), ("bob", 1)]
    assert [point.value for point in found.series][-2:] == [1, 3]
    assert [(c.against, c.value, c.change) for c in found.comparisons] == [("previous", 1, 2), ("year_ago", 0, 3)]


def test_one_run_over_the_periods_says_what_a_run_for_each_says(cache: sqlite3.Connection) -> None:
    each = "SELECT COUNT(*) AS value FROM tickets WHERE closed_at >= :start AND closed_at < :end"
    whole = """
        SELECT p.period, COUNT(t.id) AS value FROM periods p
        LEFT JOIN tickets t ON t.closed_at >= p.start AND t.closed_at < p.end GROUP BY p.period
    """
    one, other = shown(cache, each, "2026-10"), shown(cache, whole, "2026-10")
    assert one.value == 3
    assert (one.value, one.series, one.comparisons) == (other.value, other.series, other.comparisons)


def test_a_statement_that_asks_for_no_period_has_no_past(cache: sqlite3.Connection) -> None:
    """What it says of today it would say of last year too."""
    found = shown(cache, "SELECT COUNT(*) AS value FROM tickets")
    assert (found.value, found.series, found.comparisons, found.signal) == (4, (), (), None)


def test_all_periods_are_one_process(cache: sqlite3.Connection) -> None:
    """Each process says its own id: one KPI with its series and segments is one of them."""
    periods = [{**PERIOD, "start": f"2026-{month:02d}-01T00:00:00Z"} for month in (1, 2, 2, 3)]
    found = sqlslot.ask(cache, "SELECT CAST(substr(:start, 6, 2) AS INTEGER) AS value", periods, REPORTING)
    assert [rows[0].value for rows in found] == [1, 2, 2, 3]


def test_the_records_behind_a_value_are_explained(cache: sqlite3.Connection) -> None:
    sql = """
        WITH t AS (SELECT id, priority FROM tickets WHERE closed_at >= :start AND closed_at < :end)
        SELECT NULL AS record_id, SUM(priority IS NOT NULL) * 1.0 / COUNT(*) AS value,
            SUM(priority IS NOT NULL) AS numerator, COUNT(*) AS denominator FROM t
        UNION ALL SELECT id, 1, priority IS NOT NULL, 1 FROM t
    """
    kpi = build("own", {"sql": sql})
    evaluator = Evaluator(cache, {"own": kpi}, REPORTING, as_of=datetime.fromisoformat(AS_OF))
    told = evaluator.explain(kpi, period=parse_period("2026-10"))
    roles = [record["role"] for record in told["records"]]
    assert told["value"] == pytest.approx(2 / 3) == roles.count("both") / len(roles)
    assert told["records"][0] == {
        "id": "sf:tickets:1",
        "url": "https://crm.test/1",
        "role": "both",
        "reason": None,
        "measure": 1,
    }
    assert told["parameters"]["start_date"] == "2026-10-01"
    assert evaluator.evaluate(kpi, period=parse_period("2026-10")).value == told["value"]


def test_what_is_kept_as_json_can_be_read(cache: sqlite3.Connection) -> None:
    put(cache, "tickets", "j", custom='{"tags": [1, 2, 4]}')
    sql = "SELECT SUM(e.value) AS value FROM tickets t, json_each(t.custom, '$.tags') e"
    assert sqlslot.ask(cache, sql, [PERIOD], REPORTING)[0][0].value == 7


def test_the_process_knows_no_secret(cache: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it run what lies in the folder or the path of whoever starts the agent."""
    monkeypatch.setenv("CRM_SECRET", "s3cret")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    assert {name for name in sqlslot.environment() if "SECRET" in name or name.startswith("PYTHON")} == set()


def test_what_names_a_person_reads_as_null(cache: sqlite3.Connection) -> None:
    sql = "SELECT COUNT(*) AS n, COUNT(email_norm) + COUNT(first_name) + COUNT(last_name) AS value FROM contacts"
    rows = sqlslot.ask(cache, sql, [PERIOD], REPORTING)[0]
    assert (rows[0].n, rows[0].value) == (1, 0)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("ATTACH '{folder}/new.db' AS other", "ATTACH is refused"),
        ("PRAGMA query_only = 0", "PRAGMA is refused"),
        ("SELECT name AS value FROM pragma_table_info('tickets')", "refused"),
        ("SELECT load_extension('x') AS value", "the function load_extension is refused"),
        ("SELECT length(printf('%.*c', 900000000, 'x')) AS value", "the function printf is refused"),
        ("SELECT length(randomblob(900000000)) AS value", "the function randomblob is refused"),
        ("DELETE FROM tickets", "refused"),
        ("UPDATE tickets SET priority = 'x'", "refused"),
        ("INSERT INTO tickets (id) VALUES ('x')", "refused"),
        ("DROP TABLE tickets", "refused"),
        ("VACUUM INTO '{folder}/copy.db'", "failed while it ran"),
        ("CREATE TEMP TABLE mine (x)", "refused"),
        ("CREATE TABLE mine (x)", "refused"),
        ("BEGIN IMMEDIATE", "refused"),
        ("SELECT COUNT(*) AS value FROM sqlite_master", "the table sqlite_master is refused"),
        ("SELECT COUNT(*) AS value FROM sync_state", "the table sync_state is refused"),
        ("SELECT 1 AS value; SELECT 2 AS value", "one statement at a time"),
        ("SELECT value FROM nowhere", "no such table: nowhere"),
        ("SELECT 1 AS amount", "no column named value"),
        ("SELECT 'many' AS value", "something else than a number or null as value"),
        ("SELECT 1 AS value, 'x' AS n", "something else than a number or null as n"),
        ("SELECT abs(-9223372036854775807 - 1) AS value", "integer overflow"),
        ("SELECT json_extract('{{}}', t.priority) AS value FROM tickets t", "failed while it ran (SQLITE_ERROR)"),
        ("SELECT 1 AS value FROM tickets, tickets, tickets, tickets, tickets, tickets", "more than 2000 rows"),
        ("SELECT COUNT(*) AS value, 99 AS period FROM periods", "does not return its period"),
        ("SELECT COUNT(*) AS value FROM tickets GROUP BY priority", "returns 3 totals of one period: name the column"),
        ("SELECT 1 AS value UNION ALL SELECT NULL", "returns 2 totals of one period"),
        (
            "SELECT p.period, t.number AS value FROM periods p, (SELECT 1 AS number UNION SELECT 2) t",
            "returns 2 totals",
        ),
        (
            "SELECT 1 AS value, 'a' AS segment UNION ALL SELECT 2, 'a' UNION ALL SELECT 3, NULL",
            "returns several rows of one segment: group by it",
        ),
        ("SELECT random() AS value", "the function random is refused: it says something else"),
        ("SELECT COUNT(*) AS value FROM tickets ORDER BY RANDOM()", "the function random is refused"),
        ("SELECT changes() AS value", "the function changes is refused"),
        ("SELECT strftime('%s', 'now') AS value", "strftime('now') is refused: it is the clock's"),
        ("SELECT COUNT(*) AS value FROM tickets WHERE closed_at < datetime('NOW', '-1 day')", "datetime('now')"),
        ("SELECT julianday(t.n) AS value FROM (SELECT 'now' AS n) t", "julianday('now')"),
        ("SELECT julianday(/* today */) AS value", "julianday() is refused"),
        ("SELECT \"julianday\"('now') AS value", "julianday('now')"),
        ("SELECT [julianday]('now') AS value", "julianday('now')"),
        ("SELECT `julianday`() AS value", "julianday() is refused"),
        ("SELECT strftime('%s') AS value", "strftime() is refused"),
        ("SELECT COUNT(*) AS value FROM tickets WHERE closed_at < CURRENT_TIMESTAMP", "current_timestamp is refused"),
        ("SELECT COUNT(*) AS value FROM tickets WHERE closed_at < current_date", "current_date is refused"),
    ],
)
def test_what_a_statement_may_not(cache: sqlite3.Connection, tmp_path: Path, sql: str, said: str) -> None:
    before = sorted(os.listdir(tmp_path))
    text = reason(cache, sql.format(folder=tmp_path))
    assert said in text
    assert cache.execute("SELECT COUNT(*) FROM tickets WHERE priority IS NOT 'x'").fetchone()[0] == 4
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT COUNT(*) AS value FROM tickets WHERE priority IS NOT 'now' -- datetime('now')",
        "SELECT COUNT(*) AS value FROM tickets WHERE date(closed_at) < date(:as_of) /* not 'now' */",
        "SELECT 4 AS value FROM (SELECT strftime('%s', :end) - julianday(:start) AS random)",
    ],
)
def test_what_only_looks_like_the_clock_is_fine(cache: sqlite3.Connection, sql: str) -> None:
    assert sqlslot.ask(cache, sql, [PERIOD], REPORTING)[0][0].value == 4
    assert list(problems(sql, REPORTING)) == []


@pytest.mark.usefixtures("logs_given_back")
def test_what_has_no_segments_cannot_be_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.toml"
    kpis = {"whole": "SELECT 1 AS value", "split": "SELECT 1 AS value, NULL AS segment"}
    path.write_text(
        '[agent]\ndata_dir = "data"\n[dimension]\nteam = { tickets = "owner.team" }\n'
        + "".join(f'[kpi.{name}]\nsql = "{sql}"\n' for name, sql in kpis.items())
    )
    with closing(open_cache(tmp_path / "data")):
        pass
    assert run_cli(["--config", str(path), "kpi", "show", "whole", "--by", "team"]) == 2
    said = capsys.readouterr().err
    assert "--by team: whole has no segments: its statement returns no column named segment. Name one" in said
    assert run_cli(["--config", str(path), "kpi", "show", "split", "--by", "team"]) == 0


def test_no_word_of_a_row_is_in_what_is_said(cache: sqlite3.Connection) -> None:
    """SQLite's own text would quote the path it was given."""
    put(cache, "tickets", "t", subject="Kim Doe is angry")
    text = reason(cache, "SELECT json_extract('{}', subject) AS value FROM tickets WHERE subject IS NOT NULL")
    assert "Kim" not in text


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (ENDLESS, "took longer than"),
        (
            "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r LIMIT 3000)"
            " SELECT COUNT(*) AS value FROM r a, r b, r c, r d",
            "took longer than",
        ),
        (
            "WITH RECURSIVE r(x, y) AS (SELECT 1, 'x' UNION ALL SELECT x + 1, hex(x) || substr(hex(y), 1, 400) FROM r)"
            " SELECT COUNT(*) AS value FROM (SELECT * FROM r ORDER BY y)",
            "needed too much memory",
        ),
    ],
)
def test_what_never_ends_is_ended(cache: sqlite3.Connection, sql: str, said: str) -> None:
    limits = sqlslot.Limits(time_s=20.0 if "memory" in said else 0.3)
    with pytest.raises(sqlslot.SqlSlotError, match=said):
        sqlslot.ask(cache, sql, [PERIOD], REPORTING, limits=limits)


def test_all_periods_together_have_a_limit(cache: sqlite3.Connection) -> None:
    """Each is within its own."""
    slow = (
        "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r LIMIT 400000) SELECT COUNT(*) AS value FROM r"
    )
    periods = [{**PERIOD, "start": str(number)} for number in range(1000)]
    with pytest.raises(sqlslot.SqlSlotError, match="for all its periods and was stopped: select from the table"):
        sqlslot.ask(cache, slow, periods, REPORTING, limits=sqlslot.Limits(time_s=20, total_s=0.5))


@pytest.mark.slow
def test_the_rest_of_a_scorecard_goes_out(cache: sqlite3.Connection) -> None:
    text = reason(cache, ENDLESS)
    assert text == "took longer than 5 s and was stopped: narrow it by :start and :end, or join fewer rows"
    assert shown(cache, "SELECT 1 AS value").value == 1


def job(path: Path, statement: str, **values: Any) -> str:
    told = {"uri": path.as_uri(), "parent": os.getpid(), "statement": statement, "periods": [PERIOD], "tables": []}
    told |= {"personal": [], "records": False, "rows": 10, "most_records": 10, "time_s": 60, "total_s": 60, "cpu_s": 60}
    return json.dumps(told | values)


def started(text: str, tmp_path: Path) -> subprocess.Popen[str]:
    """The program with this job, as `sqlslot` starts it."""
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", sqlchild.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=tmp_path,
    )
    assert child.stdin is not None
    child.stdin.write(text)
    child.stdin.close()
    return child


def test_one_long_step_is_ended_by_the_system(cache: sqlite3.Connection, tmp_path: Path) -> None:
    """A single step never looks at the clock."""
    long = (
        "WITH RECURSIVE r(x) AS (SELECT 'aaaaaaaa' UNION ALL SELECT x || x FROM r LIMIT 18)"
        " SELECT instr(MAX(x) || MAX(x), MAX(x) || 'b') AS value FROM r"
    )
    with started(job(tmp_path / "cache.db", long, time_s=1, cpu_s=1), tmp_path) as child:
        child.wait(30)
    assert child.returncode in (-signal.SIGALRM, -signal.SIGXCPU)


def test_nothing_runs_on_when_nobody_waits(cache: sqlite3.Connection, tmp_path: Path) -> None:
    """The parent is another one than the one that asked: it was killed, and somebody else took its children."""
    with started(job(tmp_path / "cache.db", ENDLESS, parent=1), tmp_path) as child:
        assert child.wait(30) == 1


_ASKS = """
import sqlite3, sys
from scorecards import sqlslot
from scorecards.definition import Reporting
sqlslot.ask(sqlite3.connect(sys.argv[1]), sys.argv[2], [dict.fromkeys({names!r}, "2026-01-01")], Reporting())
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes where Linux shows them")
def test_a_statement_ends_with_the_agent(cache: sqlite3.Connection, tmp_path: Path) -> None:
    script = _ASKS.format(names=(*PERIOD,))
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "cache.db"), ENDLESS])
    try:
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        child = _soon(lambda: children.read_text().split())[0]
    finally:
        parent.kill()
        parent.wait()
    _soon(lambda: not Path(f"/proc/{child}").exists() or "\nState:\tZ" in Path(f"/proc/{child}/status").read_text())


def test_a_process_killed_from_outside_is_told(cache: sqlite3.Connection, tmp_path: Path) -> None:
    script = f"""
import os, signal, sqlite3, sys, threading, time
from pathlib import Path
from scorecards import sqlslot
from scorecards.definition import Reporting

def kill():
    children = Path(f"/proc/{{os.getpid()}}/task/{{os.getpid()}}/children")
    while not (found := children.read_text().split()):
        time.sleep(0.01)
    os.kill(int(found[0]), signal.SIGKILL)

threading.Thread(target=kill).start()
try:
    sqlslot.ask(sqlite3.connect(sys.argv[1]), sys.argv[2], [dict.fromkeys({(*PERIOD,)!r}, "x")], Reporting())
except sqlslot.SqlSlotError as error:
    print(error)
"""
    if not Path("/proc").exists():
        pytest.skip("looks for processes where Linux shows them")
    command = [sys.executable, "-c", script, str(tmp_path / "cache.db"), ENDLESS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "was ended from outside before it answered: the next run tries again\n"


def _soon(look: Any) -> Any:
    for _ in range(600):
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("not within 30 s")


def test_the_process_can_do_little(tmp_path: Path) -> None:
    """What the limits leave, asked of a process that has given it all up."""
    script = (
        "import importlib.util, resource, sys\n"
        "spec = importlib.util.spec_from_file_location('child', sys.argv[1])\n"
        "child = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(child)\n"
        "child._limit()\n"
        "try:\n    open('x', 'wb', 0).write(b'y')\nexcept OSError:\n    print('no file')\n"
        "try:\n    b'x' * (4 << 30)\nexcept MemoryError:\n    print('no memory')\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_NPROC)[0])\n"
    )
    command = [sys.executable, "-I", "-S", "-c", script, sqlchild.__file__]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    said = done.stdout.splitlines()
    assert "no file" in said, done.stderr
    if sys.platform == "linux":
        assert said[1:] == ["no memory", "(0, 0) 0"]

"""The command line: what it prints, where, and with which exit code."""

import json
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from syncagent import facts
from syncagent.cli import cli, run_cli
from syncagent.cli.sync import stop_on_signals
from syncagent.config import load_config
from syncagent.store import lock_data_dir, open_cache, open_state
from tests.fakes.office import DEALS, Office
from tests.fakes.smtp import FaultServer


@dataclass(frozen=True)
class Said:
    """What one command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        return json.loads(self.out)


Run = Callable[..., Said]


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    """A configured folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYNCAGENT_CONFIG", raising=False)
    office = Office(tmp_path)
    office.write()
    return office


@pytest.fixture
def run(capsysbinary: pytest.CaptureFixture[bytes]) -> Iterator[Run]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*arguments: str) -> Said:
        code = run_cli(list(arguments))
        out, err = capsysbinary.readouterr()
        return Said(code, out.decode(), err.decode())

    yield run
    root.handlers[:] = handlers
    root.setLevel(level)


def test_help_is_quick_and_shows_examples(office: Office) -> None:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "syncagent", "--help"], capture_output=True, text=True, check=True, timeout=20
    )
    seconds = time.monotonic() - started
    assert "syncagent scorecard preview weekly" in done.stdout
    assert seconds < 2, "aim: under 0.4 s on an idle machine"


def test_help_imports_nothing_heavy() -> None:
    heavy = ["pydantic", "rich", "structlog", "sqlite_utils", "hubspot", "simple_salesforce", "apscheduler", "jinja2"]
    code = f"import sys, syncagent.cli; print([m for m in sys.modules if m.split('.')[0] in {heavy}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_has_help(run: Run, name: str) -> None:
    said = run(name, "--help")
    assert said.code == 0
    assert said.out.startswith(f"Usage: syncagent {name}")


def _commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{path}{name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path}{name} ")


def test_no_list_of_commands_cuts_a_sentence_or_hides_what_is_not_built() -> None:
    from syncagent.cli.not_built import NOT_BUILT

    short = {path: command.get_short_help_str(60) for path, command in _commands(cli)}
    assert [path for path, text in short.items() if text.endswith("...") or not text] == []
    missing = {path for path, text in short.items() if text.startswith("(not built yet) ")}
    assert missing == {command.name for command in NOT_BUILT} | {
        "scorecard audit", "scorecard correct", "scorecard pause", "scorecard resume",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("kpi show win_ra", "win_rate"),
        ("kpi explain own_", "own_kpi"),
        ("scorecard preview we", "weekly"),
        ("sync d", "desk"),
    ],
)
def test_names_are_completed(office: Office, words: str, wanted: str) -> None:
    office.write(more='[kpi.own_kpi]\nof = "tickets"\nagg = "count"\n')
    *before, last = words.split()
    complete = ShellComplete(cli, {}, "syncagent", "_SYNCAGENT_COMPLETE")
    assert wanted in [item.value for item in complete.get_completions(before, last)]
    office.config.write_text("not a configuration")
    found = [item.value for item in complete.get_completions(before, last)]
    assert found == (["win_rate"] if wanted == "win_rate" else [])


def test_completion_is_offered() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.argv=['syncagent']; from syncagent.cli import cli; cli(prog_name='syncagent')",
        ],
        env={"_SYNCAGENT_COMPLETE": "bash_source", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert "_syncagent_completion" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["alert", "ack", "1"], ["plan", "new.toml"], ["forget", "a@b.test"],
        ["scorecard", "audit", "x"], ["scorecard", "correct", "x"],
        ["scorecard", "pause", "x", "--until", "2026-12-01"], ["scorecard", "resume", "x"],
    ],
)  # fmt: skip
def test_what_is_not_built_says_so(run: Run, arguments: list[str]) -> None:
    said = run(*arguments)
    assert said.code == 2
    assert re.fullmatch(r"syncagent [a-z ]+: this command is not built yet\n", said.err)


def test_without_a_configuration_all_four_places_are_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYNCAGENT_CONFIG", raising=False)
    said = run("sync")
    assert said.code == 2
    for place in ("--config", "$SYNCAGENT_CONFIG", "./config.toml", "/etc/syncagent/config.toml"):
        assert place in said.err


@pytest.mark.parametrize(
    ("arguments", "said_on_stderr"),
    [
        (["nonsense"], "syncagent: No such command 'nonsense'. See `syncagent --help`."),
        (["sync", "--nope"], "No such option '--nope'"),
        (["sync", "dask"], "dask: there is no source of this name. Did you mean desk?"),
        (["sync", "--stream", "oportunities"], "oportunities: there is no stream of this name"),
        (["sync", "--since", "yesterday"], "--since yesterday: not a date. Write it like 2026-11-01."),
        (["kpi", "show", "winrate"], "winrate: there is no KPI of this name. Did you mean win_rate?"),
        (["kpi", "show", "zzz"], "zzz: there is no KPI of this name. `syncagent kpi list` lists them."),
        (["kpi", "show", "win_rate", "--as-of", "noon"], "--as-of noon: not an instant."),
        (["kpi", "show", "win_rate", "--period", "2026-13"], "--period 2026-13:"),
        (["kpi", "show", "win_rate", "--as-of", "2100-01-01"], "--as-of 2100-01-01: what is known then is not known"),
        (["kpi", "show", "win_rate", "--by", "owner.tem"], "--by owner.tem: neither a dimension nor a column of opp"),
        (["kpi", "show", "win_rate", "--by", "owner.tem"], "Did you mean owner.team"),
        (["kpi", "explain", "win_rate", "--limit", "0"], "0 is not in the range x>=1"),
        (["scorecard", "next", "--count", "0"], "0 is not in the range x>=1"),
        (["scorecard", "preview", "wekly"], "Did you mean weekly?"),
        (["outbox", "drop", "x"], "'x' is not a valid integer"),
        (["source", "fields", "desk", "deals"], "deals: there is no table of this name."),
        (["restore", "nowhere"], "nowhere: there is no backup here"),
    ],
)
def test_wrong_usage_is_one_line_and_exits_2(
    run: Run, office: Office, arguments: list[str], said_on_stderr: str
) -> None:
    said = run(*arguments)
    assert (said.code, said.out) == (2, "")
    assert said_on_stderr in said.err
    assert said.err.count("\n") == 1


def test_a_bad_configuration_names_every_problem(run: Run, office: Office) -> None:
    office.config.write_text(office.config.read_text().replace("timezone", "timezon").replace("monday", "moonday"))
    said = run("check", "--offline")
    assert said.code == 2
    assert len(said.err.splitlines()) == 2
    assert all(line.startswith(f"{office.config.name}:") for line in said.err.splitlines())


def test_global_options_may_follow_the_command(run: Run, office: Office) -> None:
    assert run("check", "--offline", "--config", str(office.config)).code == 0
    assert run("--config", str(office.config), "check", "--offline").code == 0
    assert run("check", "--offline", f"--config={office.config}", "-v").code == 0


def test_sync_prints_a_table_and_json_prints_json_alone(run: Run, office: Office) -> None:
    said = run("sync")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[1].split()[:4] == ["desk", "opportunities", "4", "4"]
    said = run("sync", "--full", "--json")
    assert said.err == ""
    assert said.json == {
        "ok": True,
        "stopped": False,
        "streams": [
            {
                "source": "desk", "stream": "opportunities", "read": 4, "changed": 0, "deleted": 0, "rejected": 0,
                "seconds": said.json["streams"][0]["seconds"], "calls": 0, "error": None,  # type: ignore[index]
                "outcome": "ok", "not_readable": None, "withdrawn_at": None,
                "reject_file": None, "reconciled": said.json["streams"][0]["reconciled"],  # type: ignore[index]
                "found_missing": 0, "found_gone": 0, "crm_count": said.json["streams"][0]["crm_count"],  # type: ignore[index]
                "cache_count": said.json["streams"][0]["cache_count"],  # type: ignore[index]
                "rests_until": None, "still_rejected": 0, "suspect": None, "bulk": False,
                "warnings": [], "merged": 0, "notes": [],
                "compared": said.json["streams"][0]["compared"],  # type: ignore[index]
            }
        ],
    }  # fmt: skip


def test_rows_that_could_not_be_used_are_named_until_they_are_read_well(run: Run, office: Office) -> None:
    good = (office.folder / "deals.csv").read_text()
    (office.folder / "deals.csv").write_text(good + "5,Five,won,soon,1,2026-08-01T00:00:00Z\n6,Six,won,,x,\n")
    path = office.data_dir / "rejects" / "desk-opportunities.jsonl"
    said = run("sync")
    assert said.code == 0
    line = said.out.splitlines()[-1]
    assert line.startswith("desk opportunities: 2 rows could not be used; deals.csv line 6: close_date")
    assert line.endswith(f"(all of them: {path.resolve()})")
    assert run("sync", "--full", "--json").json["streams"][0]["reject_file"] == str(path.resolve())  # type: ignore[index]
    for _ in range(2):
        said = run("status", "--json")
        (problem,) = said.json["problems"]  # type: ignore[index]
        assert (said.code, problem["code"], problem["severity"]) == (0, "rejected_rows", "warning")
        assert problem["message"].startswith("2 rows of desk opportunities could not be used: see ")
        said = run("sync")  # the file has not changed, so nothing is read again
        assert (said.code, said.out.splitlines()[-1]) == (
            0, f"desk opportunities: 2 rows of earlier syncs still cannot be used: see {path.resolve()}"
        )  # fmt: skip
    (stream,) = run("sync", "--json").json["streams"]  # type: ignore[index]
    assert (stream["rejected"], stream["still_rejected"], stream["reject_file"]) == (0, 2, str(path.resolve()))
    (office.folder / "deals.csv").write_text(good + "5,Five,won,soon,1,2026-08-01T00:00:00Z\n")
    run("sync")
    assert "- note: 1 row of desk opportunities could not be used" in run("status").out
    (office.folder / "deals.csv").write_text(good)
    run("sync")
    assert not path.exists()
    assert run("status", "--json").json["problems"] == []  # type: ignore[index]


def test_what_is_stored_can_be_looked_at_without_any_secret(run: Run, office: Office) -> None:
    run("sync")
    text = office.config.read_text().replace("[mail]", '[mail]\nusername = "me"\npassword = "env:NOT_SET_PASSWORD"')
    more = '[source.hs]\ntype = "hubspot"\naccess_token = "env:NOT_SET_TOKEN"\n'
    office.config.write_text(text.replace('security = "none"', 'security = "starttls"') + more)
    for command in (
        ["status"], ["kpi", "list"], ["kpi", "show", "won_revenue"], ["kpi", "explain", "won_revenue"],
        ["scorecard", "list"], ["scorecard", "next"], ["scorecard", "ledger"], ["scorecard", "preview", "weekly"],
        ["outbox", "list"], ["source", "list"], ["source", "fields", "desk"], ["sync", "desk"], ["backup", "copy"],
    ):  # fmt: skip
        said = run(*command)
        assert (said.code, said.err) == (1 if command == ["status"] else 0, ""), command
    for command, variable in (
        (["sync"], "TOKEN"), (["sync", "hs"], "TOKEN"), (["source", "fields", "hs"], "TOKEN"),
        (["scorecard", "send", "weekly"], "PASSWORD"),
    ):  # fmt: skip
        said = run(*command)
        assert (said.code, said.err.count("\n")) == (2, 1), command
        assert f"the environment variable NOT_SET_{variable} is not set" in said.err
    for command in (["check", "--offline"], ["run", "--once"]):
        said = run(*command)
        assert (said.code, said.err.count("\n")) == (2, 2), command


def test_a_period_that_lies_ahead_is_not_still_running(run: Run, office: Office) -> None:
    """And nothing is compared with it: as much as before is no news of what has not begun."""
    run("sync")
    show = ("kpi", "show", "won_revenue", "--as-of", "2026-01-15", "--period")
    ahead = run(*show, "2026-02").out
    assert "not begun yet)" in ahead
    assert "no change since" not in ahead
    assert "still running)" in run(*show, "2026-01").out


def test_a_failing_source_exits_1_and_says_what_to_do(run: Run, office: Office) -> None:
    (office.folder / "deals.csv").unlink()
    said = run("sync", "--json")
    assert said.code == 1
    assert said.json["ok"] is False  # type: ignore[index]
    said = run("sync")
    assert said.code == 1
    assert said.err.count("\n") == 1
    assert "desk opportunities:" in said.err


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _letter(path: Path) -> None:
    path.write_bytes(b"This is a letter to my aunt. " * 400)


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("PRAGMA user_version = 999")


@pytest.mark.parametrize("name", ["cache.db", "state.db"])
@pytest.mark.parametrize(
    ("spoil", "code", "sentence"),
    [
        (_empty, 1, "is empty, where a database is expected"),
        (_letter, 1, "is not a database"),
        (_newer, 2, "was written by a later version"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line_and_is_kept(
    run: Run, office: Office, name: str, spoil: Callable[[Path], None], code: int, sentence: str
) -> None:
    assert run("run", "--once").code == 0
    path = office.data_dir / name
    spoil(path)
    before = path.read_bytes()
    said = run("run", "--once")
    assert said.code == code
    assert sentence in said.err
    assert len(said.err.splitlines()) == 1
    assert path.read_bytes() == before


def test_a_second_instance_exits_75(run: Run, office: Office) -> None:
    with lock_data_dir(office.data_dir):
        for command in (["sync"], ["run", "--once"]):
            said = run(*command)
            assert said.code == 75
            assert "another syncagent" in said.err


def test_before_the_first_sync_numbers_are_refused_with_the_mend(run: Run, office: Office) -> None:
    said = run("kpi", "show", "won_revenue")
    assert said.code == 1
    assert said.err.endswith("cache.db: this file does not exist yet. Run `syncagent sync` first.\n")


def test_a_number_is_shown_and_explained(run: Run, office: Office) -> None:
    run("sync")
    said = run("kpi", "show", "won_revenue", "lost_opportunities", "--period", "2026-10", "--json")
    assert said.code == 0
    values = {kpi["kpi"]: (kpi["value"], kpi["status"]) for kpi in said.json}  # type: ignore[attr-defined]
    assert values == {"won_revenue": (1900.0, "ok"), "lost_opportunities": (1, "ok")}
    text = run("kpi", "show", "won_revenue", "--period", "2026-10").out
    assert text.startswith("Won revenue (won_revenue): €1,900")
    otherwise = "shown by month; on scorecard weekly by week"
    assert otherwise not in text  # somebody named the period
    assert otherwise in run("kpi", "show", "won_revenue").out
    assert "on scorecard" not in run("kpi", "show", "outreach_volume").out
    told = run("kpi", "explain", "won_revenue", "--period", "2026-10", "--json").json
    assert set(told) >= {"kpi", "value", "filters", "sql", "parameters", "records", "sources"}  # type: ignore[call-overload]


def test_as_of_is_an_instant_or_a_local_date(run: Run, office: Office) -> None:
    run("sync")
    for given, meant in (
        ("2026-11-05", "2026-11-04T23:00:00Z"),
        ("2026-11-05T00:00:00Z", "2026-11-05T00:00:00Z"),
        ("2026-11-05T08:00:00", "2026-11-05T07:00:00Z"),
    ):
        said = run("kpi", "show", "won_revenue", "--as-of", given, "--json")
        assert said.json[0]["as_of"] == meant  # type: ignore[index]


def test_lists_are_json_too(run: Run, office: Office) -> None:
    run("sync")
    for command in (
        ["kpi", "list"], ["scorecard", "list"], ["scorecard", "next"], ["scorecard", "ledger"], ["outbox", "list"],
        ["source", "list"], ["source", "fields", "desk"], ["config", "schema"], ["status"],
    ):  # fmt: skip
        plain = run(*command)
        said = plain if command == ["config", "schema"] else run(*command, "--json")
        assert plain.code == 0, command
        assert said.err == ""
        json.loads(said.out)


def test_an_empty_list_is_said_in_a_sentence(run: Run, office: Office) -> None:
    assert run("outbox", "list").out == "Nothing is owed.\n"
    assert run("outbox", "list", "--all").out == "No message yet.\n"
    assert run("scorecard", "ledger").out == "Nothing was due yet.\n"
    assert run("scorecard", "ledger", "--since", "2026-11-01").out == "Nothing was due since then.\n"


def test_people_read_local_times_everywhere(run: Run, office: Office) -> None:
    """UTC is for scripts."""
    run("sync")
    run("scorecard", "send", "weekly")
    for command in (
        ["status"], ["source", "list"], ["outbox", "list"], ["scorecard", "ledger"], ["scorecard", "next"],
        ["kpi", "show", "won_revenue"],
    ):  # fmt: skip
        out = run(*command).out
        assert re.search(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d{4}-\d\d-\d\d \d\d:\d\d CES?T\b", out), command
        assert not re.search(r"\d\dT\d\d:|\d\dZ\b", out), command
        assert ".." not in out, command


def test_a_statement_that_fails_is_one_sentence_with_its_place(run: Run, office: Office) -> None:
    office.write(more='[kpi.own]\nsql = "SELECT abs(-9223372036854775807 - 1) AS value"\n')
    run("sync")
    shown = run("kpi", "show", "own", "--json")
    assert (shown.code, shown.json[0]["reason"]) == (  # type: ignore[index]
        1,
        "could not be computed: sql of [kpi.own] failed while it ran (integer overflow): correct what it computes",
    )
    said = run("kpi", "explain", "own")
    assert (said.code, said.out) == (1, "")
    assert said.err.splitlines() == [
        "scorecard: sql of [kpi.own] failed while it ran (integer overflow): correct what it computes"
    ]
    office.write(more='[kpi.own]\nsql = "SELECT COUNT(*) AS value FROM oportunities"\n')
    told = run("check", "--offline")
    assert told.code == 2
    assert "kpi.own.sql" in told.out + told.err
    assert "Did you mean opportunities?" in told.out + told.err


def test_what_was_sent_and_is_different_now_is_shown_with_its_records(run: Run, office: Office) -> None:
    asked = ("kpi", "show", "won_revenue", "--period", "2026-10-26..2026-11-02", "--as-of", "2026-11-05T00:00:00Z")
    run("sync")
    assert run(*asked, "--json").json[0]["restated"] == []  # type: ignore[index]
    run("scorecard", "send", "weekly", "--as-of", "2026-11-02T07:00:00Z")
    with closing(open_cache(office.data_dir)) as cache:
        cache.execute("UPDATE opportunities SET is_deleted = 1 WHERE source_id = '4'")
        facts.refresh(cache, load_config(office.config).reporting())
    shown = run(*asked, "--json").json[0]  # type: ignore[index]
    (restated,) = shown["restated"]
    assert (restated["before"], restated["now"], restated["sent_at"]) == (1900.0, 1000.0, "2026-11-02T07:00:00Z")
    assert [(record["title"], record["change"]) for record in restated["records"]] == [("Four", "gone")]
    assert shown["definition"]["changed_since"] is None
    assert "restated  €1,900 as sent Mon 2026-11-02 08:00 CET, now €1,000" in run(*asked).out
    run("scorecard", "preview", "weekly", "--as-of", "2026-11-09T07:00:00Z")
    preview = (office.folder / "weekly-preview" / "scorecard.txt").read_text()
    assert "was €1,900 as sent 2 Nov 2026, 08:00 CET, now €1,000" in preview
    with closing(open_state(office.data_dir)) as state:
        state.execute("PRAGMA user_version = 1")  # as an earlier version left it
    assert run(*asked, "--json").json[0]["restated"] == []  # type: ignore[index]


def test_a_number_can_be_split_by_dimension_and_by_column(run: Run, office: Office) -> None:
    office.write(more='[dimension]\nteam = { opportunities = "owner.team", tickets = "owner.team" }\n')
    run("sync")
    for name in ("team", "state", "owner.name", "custom.anything"):
        assert run("kpi", "show", "won_revenue", "--by", name).code == 0, name
    assert "Did you mean team?" in run("kpi", "show", "won_revenue", "--by", "tean").err
    said = run("kpi", "show", "unconverted_leads", "--by", "team")
    assert (said.code, "--by team: this dimension says no column for leads." in said.err) == (2, True)


def test_scorecard_next_is_in_its_own_zone(run: Run, office: Office) -> None:
    rows = run("scorecard", "next", "--count", "2", "--json").json
    assert [row["scorecard"] for row in rows] == ["weekly", "weekly"]  # type: ignore[attr-defined]
    assert all(" 08:00 CE" in row["local"] for row in rows)  # type: ignore[attr-defined]


def test_a_preview_is_written_and_nothing_sent(run: Run, office: Office) -> None:
    run("sync")
    said = run("scorecard", "preview", "weekly", "--as-of", "2026-11-02", "--out", "look")
    assert said.code == 0
    names = {Path(line).name for line in said.out.splitlines()}
    assert names >= {"scorecard.html", "scorecard.txt", "scorecard.eml"}
    assert run("outbox", "list", "--all", "--json").json == []


def test_a_scorecard_is_sent_once_unless_again(run: Run, office: Office) -> None:
    with FaultServer() as server:
        office.write(port=server.port)
        run("sync")
        assert run("scorecard", "send", "weekly", "--to", "me@acme.test").code == 0
        said = run("scorecard", "send", "weekly")
        assert said.code == 0
        assert said.out.count("sent to ") == 2
        said = run("scorecard", "send", "weekly")
        assert said.code == 3
        assert said.err.count("\n") == 1
        assert run("scorecard", "send", "weekly", "--again").code == 0
        assert len(server.accepted) == 5
        entries = run("scorecard", "ledger", "--json").json
        assert [entry["state"] for entry in entries] == ["sent"]  # type: ignore[attr-defined]
        shown = run("scorecard", "show", entries[0]["id"])  # type: ignore[index]
        assert shown.out.encode() in [mail.body for mail in server.accepted]
        assert run("scorecard", "show", "nonsense").code == 2


def test_mail_that_cannot_be_sent_waits_in_the_outbox_and_can_be_dropped(run: Run, office: Office) -> None:
    run("sync")
    said = run("scorecard", "send", "weekly")
    assert said.code == 1
    messages = run("outbox", "list", "--json").json
    assert {message["state"] for message in messages} <= {"deferred", "queued"}  # type: ignore[attr-defined]
    first = str(messages[0]["id"])  # type: ignore[index]
    assert run("outbox", "drop", first).code == 0
    assert run("outbox", "retry", "999").code == 2
    assert len(run("outbox", "list", "--json").json) == 1  # type: ignore[arg-type]


def test_status_is_the_health(run: Run, office: Office) -> None:
    said = run("status", "--json")
    assert said.code == 1
    assert said.json["problems"][0]["code"] == "source_never_synced"  # type: ignore[index]
    run("sync")
    assert run("status").code == 0
    (office.folder / "deals.csv").unlink()
    run("sync")
    said = run("status", "--json")
    assert (said.code, said.json["problems"][0]["code"]) == (1, "source_failing")  # type: ignore[index]


@pytest.mark.parametrize(
    ("typo", "said_of_it"),
    [
        ('data_dir = "elsewhere"\nnmae = "Acme"', 'config.toml:3: agent.nmae: unknown key. Did you mean "name"?'),
        ('data_dir = "elsewhere"\nname = Acme', "config.toml:3: agent.name: not a value TOML knows"),
        ('data_dir = "elsewhere"\n[source.x\n', "config.toml:3: "),
    ],
)
def test_status_stays_of_use_while_the_configuration_has_a_mistake(
    run: Run, office: Office, typo: str, said_of_it: str
) -> None:
    whole = office.config.read_text().replace('name = "Acme"', 'data_dir = "elsewhere"', 1)
    office.config.write_text(whole)
    assert run("sync").code == 0
    office.config.write_text(whole.replace('data_dir = "elsewhere"', typo, 1))
    said = run("status")
    assert said.code == 2
    assert said.out.splitlines()[0] == "NOT HEALTHY; not running"
    assert said.out.splitlines()[1].startswith(f"- {said_of_it}")
    assert [line.split()[0] for line in said.out.splitlines() if line.startswith("desk ")] == ["desk"]
    assert "outbox: empty" in said.out
    said = run("status", "--json")
    assert (said.code, said.json["healthy"], said.json["problems"][0]["code"]) == (2, False, "config")  # type: ignore[index]


def test_status_shows_live_records_and_the_crms_count(run: Run, office: Office) -> None:
    assert "here, of CRM" not in run("sync").out, "nobody counts files"
    with closing(open_cache(office.data_dir)) as cache:
        cache.execute("UPDATE opportunities SET is_deleted = 1 WHERE source_id = '1'")

        def shown() -> list[str]:
            lines = run("status").out.splitlines()
            return [" ".join(line.split()[:4]) for line in lines if line.startswith(("source ", "desk "))]

        assert shown()[0] == "source streams here last"
        assert shown()[1].startswith("desk 1 3 ")
        cache.execute("UPDATE sync_state SET crm_count = 12347, cache_count = 12345")
        assert shown()[0] == "source streams here, of"
        lines = [line for line in run("status").out.splitlines() if line.startswith("desk ")]
        assert "12,345 of 12,347" in lines[0]


def test_status_without_a_readable_file_is_the_mistake_alone(run: Run, office: Office) -> None:
    said = run("status", "--config", "nowhere.toml")
    assert (said.code, said.out, said.err.startswith("nowhere.toml: there is no such file")) == (2, "", True)


def test_a_backup_can_be_restored(run: Run, office: Office) -> None:
    run("sync")
    assert run("backup", "copy.tar").code == 0
    (office.data_dir / "cache.db").unlink()
    assert run("restore", "copy.tar").code == 0
    assert run("status").code == 0
    with lock_data_dir(office.data_dir):
        assert run("backup", "copy.tar").code == 3
        assert run("backup", "copy.tar", "--force").code == 0
        assert run("restore", "copy.tar").code == 75


def test_check_says_what_was_reached(run: Run, office: Office) -> None:
    with FaultServer() as server:
        office.write(port=server.port)
        said = run("check")
        assert "source desk: ok" in said.out
        assert f"mail 127.0.0.1:{server.port}: ok" in said.out
        assert said.code == 0
    said = run("check")
    assert said.code == 1
    assert "FAILED" in said.out


def test_check_says_in_one_line_whose_data_is_there(run: Run, office: Office) -> None:
    assert "KPIs: nothing synced yet" in run("check").out
    run("sync")
    said = run("check").out.splitlines()
    assert said[-1] == "KPIs: the data of all 2 is there"
    office.config.write_text(office.config.read_text().replace('"won_revenue"', '"csat_score"'))
    said = run("check").out.splitlines()
    assert said[-2] == "KPIs: the data of 1 of 2 is there"
    assert said[-1].startswith("KPI csat_score: no_data")


def test_without_a_source_every_command_says_how_to_begin(run: Run, office: Office) -> None:
    office.config.write_text("")
    begin = "no source is configured, so there is nothing to do. Add a [source.NAME] table, or begin with"
    said = run("check", "--offline")
    assert (said.code, said.out.count(begin)) == (0, 1)
    assert "no problem found" not in said.out
    said = run("run", "--once")
    assert (said.code, said.err.count(begin)) == (0, 1)
    said = run("sync")
    assert (said.code, said.err.count(begin)) == (2, 1)


def test_check_counts_the_kpis_that_are_listed(run: Run, office: Office) -> None:
    listed = run("kpi", "list", "--json").json
    assert f"{len(listed)} KPIs known" in run("check", "--offline").out  # type: ignore[arg-type]


def test_a_mistake_of_ours_is_one_line_and_a_traceback_only_on_demand(run: Run, office: Office) -> None:
    run("sync")
    with closing(sqlite3.connect(office.data_dir / "cache.db")) as cache:
        cache.execute("DROP TABLE opportunities")
    said = run("source", "fields", "desk")
    assert said.code == 1
    assert "Traceback" not in said.err
    assert said.err.count("\n") == 1
    assert "Traceback" in run("-vv", "source", "fields", "desk").err


def test_how_well_fields_are_filled_counts_live_rows_and_custom_columns(run: Run, office: Office) -> None:
    text = office.config.read_text().replace('table = "opportunities"', 'table = "opportunities"\nextra = ["mood"]')
    office.config.write_text(text)
    deals = [
        f"{line},{mood}" for line, mood in zip(DEALS.splitlines(), ("mood", "fine", "", "bad", "bad"), strict=True)
    ]
    (office.folder / "deals.csv").write_text("\n".join(deals) + "\n")
    run("sync")
    with closing(open_cache(office.data_dir)) as cache:
        cache.execute("UPDATE opportunities SET merged_into = 'desk:opportunities:1' WHERE source_id = '3'")
    filled = {row["column"]: row["filled"] for row in run("source", "fields", "desk", "--json").json}  # type: ignore[attr-defined]
    assert filled["close_date"] == 1.0, "the one without it is merged away"
    assert filled["custom.mood"] == pytest.approx(2 / 3)


def test_a_table_without_fields_is_explained(run: Run, office: Office) -> None:
    assert run("source", "fields", "desk", "leads").out == "desk fills no leads; it fills opportunities.\n"
    assert run("source", "fields", "desk", "leads", "--json").json == []


def test_a_state_that_turns_out_damaged_while_it_is_read_is_said_plainly(run: Run, office: Office) -> None:
    run("sync")
    assert run("scorecard", "send", "weekly").code == 1  # nobody answers there: it waits in the outbox
    path = office.data_dir / "state.db"
    path.write_bytes(path.read_bytes()[:8192].ljust(path.stat().st_size, b"U"))
    said = run("status", "--json")
    assert said.code == 1
    assert "state.db is damaged" in str(said.json).replace(":", "")
    for command in (("scorecard", "ledger"), ("outbox", "list")):
        said = run(*command)
        assert (said.code, said.err.count("\n"), "unexpected" in said.err) == (1, 1, False)
        assert "damaged" in said.err


def test_what_became_of_a_message_is_said_once(run: Run, office: Office) -> None:
    run("sync")
    said = run("scorecard", "send", "weekly")
    assert [line.partition(":")[0] for line in said.err.splitlines()] == ["vp@acme.test", "kim@acme.test"]


def test_a_wrong_option_is_named_as_it_was_written(run: Run, office: Office) -> None:
    assert run("scorecard", "ledger", "--since", "x").err.startswith("--since x: not an instant.")
    assert run("scorecard", "next", "--count", "-1").code == 2


def test_an_unknown_stream_is_answered_with_those_there_are(run: Run, office: Office) -> None:
    run("sync")
    said = run("sync", "--stream", "oportunities")
    assert (said.code, "Did you mean opportunities?" in said.err) == (2, True)


def test_check_says_what_is_wrong_with_the_cache(run: Run, office: Office) -> None:
    run("sync")
    (office.data_dir / "cache.db").write_bytes(b"nonsense " * 1000)
    said = run("check")
    assert said.code == 1
    assert "KPIs: FAILED" in said.out
    assert "is not a database" in said.out
    assert "mail: FAILED: 127.0.0.1:9: " in said.out


def test_init_writes_a_configuration_once(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = run("init", "--yes")
    assert said.code == 0
    assert "Next: syncagent check" in said.out
    assert run("init", "--yes").code == 3


def test_a_reader_that_goes_away_is_no_error_with_a_traceback(office: Office) -> None:
    script = f"{sys.executable} -m syncagent config schema | head -c 10; echo; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["/bin/bash", "-c", script], capture_output=True, text=True, timeout=20, check=False)
    assert "Traceback" not in done.stderr


def test_a_command_told_to_stop_does_not_wait_for_a_silent_source_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncagent.cli.sync.GRACE_S", 1)
    before = signal.getsignal(signal.SIGALRM)
    with stop_on_signals(quietly=True) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(1)
        with pytest.raises(KeyboardInterrupt):
            time.sleep(5)
    assert signal.getsignal(signal.SIGALRM) is before

"""What a person sees of a sync: the table, how far it is, and that nothing hangs."""

import json
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from connectors.errors import AuthError
from scorecards.values import instant
from syncagent import breaker
from syncagent.cli import run_cli
from syncagent.cli.bounded import TookTooLong, bounded
from syncagent.cli.sync import sync_all
from syncagent.cli.sync_progress import Pace, duration
from syncagent.cli.sync_said import show_reports
from syncagent.config import load_config
from syncagent.daemon_jobs import Jobs
from syncagent.sandbox import Sandbox
from syncagent.sandbox.hubspot.gate import ACCESS_TOKEN
from syncagent.stopping import StopEvent
from syncagent.store import open_cache
from syncagent.sync import STOPPED, Progress, StreamReport
from tests.fakes.office import DUE, Office

HUBSPOT = '[source.hs]\ntype = "hubspot"\naccess_token = "file:token"\nbase_url = "http://127.0.0.1:{port}"\n'


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    monkeypatch.chdir(tmp_path)
    office = Office(tmp_path)
    office.write()
    return office


def test_the_table_fits_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    show_reports(
        [
            StreamReport(
                "sf", "opportunities", 12_000, 345, 2, seconds=61.2, calls=9, crm_count=12_347, cache_count=12_345,
                reconciled=True, found_missing=2, found_gone=1,
            ),
            StreamReport(
                "hs", "survey_invitations", 1_234_567, 1_234_567, 0, seconds=3000, crm_count=412, cache_count=412
            ),
            StreamReport("hs", "leads", error="no access. Give the login access."),
        ],
        "UTC",
    )  # fmt: skip
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "source  stream                   read    changed  deleted      here, of CRM    took",
        "sf      opportunities          12,000        345        2  12,345 of 12,347    61 s",
        "hs      survey_invitations  1,234,567  1,234,567        0           all 412  50 min",
        "hs      leads                       0          0        0                     0.0 s",
        "sf opportunities: compared with the CRM: 2 were missing here, 1 are gone there; put right",
    ]
    assert said.err == "hs leads: no access. Give the login access.\n"


def test_a_field_that_is_mapped_and_not_there_is_told(
    office: Office, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Its column stays empty: that is to be seen without `check`. What is there in one object of a stream is there."""
    with Sandbox(office.folder / "box", as_of=DUE, limits=False, size="tiny") as sandbox:
        (office.folder / "token").write_text(ACCESS_TOKEN)
        (office.folder / "token").chmod(0o600)
        mapped = (
            "limits = { per_10s = 10000, search_per_s = 1000 }\n"
            '[source.hs.fields.opportunities]\nbudget = "nope_c"\nnext = "dealname"\n'
            '[source.hs.fields.activities]\nlength = "hs_call_duration"\n'
        )
        office.write(more=HUBSPOT.format(port=sandbox.hubspot.port) + mapped)
        assert run_cli(["sync", "hs"]) == 0
        said = capsysbinary.readouterr().out.decode()
        assert run_cli(["sync", "hs", "--json"]) == 0
        told = json.loads(capsysbinary.readouterr().out)["streams"]
    assert [line for line in said.splitlines() if "no field" in line] == [
        "hs opportunities: there is no field nope_c, so budget of opportunities stays empty;"
        " `syncagent source fields hs opportunities` lists what there is"
    ]
    assert any("nope_c" in warning for report in told for warning in report["warnings"])


def test_quietly_only_what_failed_is_said(office: Office, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run_cli(["-q", "sync"]) == 0
    assert capsysbinary.readouterr() == (b"", b"")
    (office.folder / "deals.csv").unlink()
    assert run_cli(["-q", "sync"]) == 1
    said = capsysbinary.readouterr()
    assert said.out == b""
    assert said.err.startswith(b"desk opportunities: ")
    assert said.err.count(b"\n") == 1


def test_at_its_most_talkative_a_sync_tells_each_page(
    office: Office, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run_cli(["-v", "sync"]) == 0
    assert b"a page written" not in capsysbinary.readouterr().err
    assert run_cli(["-vv", "sync", "--full"]) == 0
    assert b"desk opportunities: a page written: 4 read, " in capsysbinary.readouterr().err


def said_of(capsys: pytest.CaptureFixture[str], *reports: StreamReport) -> list[str]:
    """The lines after the table."""
    show_reports(reports, "UTC")
    return capsys.readouterr().out.splitlines()[1 + len(reports) :]


def test_a_plain_difference_of_the_counts_is_told_with_its_mend(capsys: pytest.CaptureFixture[str]) -> None:
    few = StreamReport("sf", "leads", crm_count=1000, cache_count=990)
    many = replace(few, cache_count=989)
    said = "sf leads: the CRM has 1,000 records, 989 are here. "
    assert said_of(capsys, few) == said_of(capsys, replace(many, error="down")) == []
    assert said_of(capsys, many) == [f"{said}Compare them: `syncagent sync sf --stream leads --reconcile`."]
    compared = said_of(capsys, replace(many, reconciled=True, compared=989))
    assert compared[0] == f"{said}They were compared just now: the CRM's count and its list differ; count again later."
    assert said_of(capsys, replace(many, suspect=(500, 989))) == [
        "sf leads: 500 of 989 records were not in the CRM's own list; nothing was deleted here."
        " If they are gone there: `syncagent sync sf --stream leads --full`."
    ]


def test_a_comparison_that_finds_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    clean = [StreamReport("sf", name, reconciled=True, compared=1500) for name in ("leads", "tickets")]
    assert said_of(capsys, clean[0]) == [
        "sf: compared with the CRM: 1,500 records in leads, none missing here, none gone there"
    ]
    found = StreamReport("sf", "orders", reconciled=True, compared=7, found_missing=1)
    assert said_of(capsys, *clean, found, StreamReport("hs", "leads")) == [
        "sf orders: compared with the CRM: 1 were missing here, 0 are gone there; put right",
        "sf: compared with the CRM: 3,000 records in 2 streams, none missing here, none gone there",
    ]


def test_of_a_comparison_not_counted_from_its_beginning_none_is_not_said(capsys: pytest.CaptureFixture[str]) -> None:
    report = StreamReport("sf", "leads", reconciled=True, compared=1500, is_counted=False)
    assert said_of(capsys, report) == ["sf: compared with the CRM: 1,500 records in leads"]


def test_what_bulk_jobs_read_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    reports = [StreamReport("sf", "leads", bulk=True), StreamReport("sf", "users"), StreamReport("sf", "x", bulk=True)]
    assert said_of(capsys, *reports) == ["sf: read by bulk jobs: leads, x"]


def test_a_misspelt_stream_is_refused_before_anything_is_read(
    office: Office, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The settings say what there is: nothing need be read to know it."""
    assert run_cli(["sync", "--stream", "opportunities", "--stream", "oportunities"]) == 2
    said = capsysbinary.readouterr()
    assert said.err == b"oportunities: there is no stream of this name. Did you mean opportunities?\n"
    assert said.out == b""
    assert not (office.data_dir / "cache.db").exists()


def test_a_stream_of_another_source_is_refused_by_the_names_of_both(
    office: Office, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    (office.folder / "token").write_text("pat-canary-123")
    (office.folder / "token").chmod(0o600)
    office.write(more=HUBSPOT.format(port=9))
    assert run_cli(["sync", "desk", "--stream", "opportunities", "--stream", "invoices"]) == 2
    assert capsysbinary.readouterr().err == b"desk has no stream invoices. hs has it.\n"
    assert not (office.data_dir / "cache.db").exists()


def test_a_refused_login_is_a_line_and_no_table(office: Office, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """What the daemon makes of it is said once, in words, and not by a line of a log."""
    with Sandbox(office.folder / "box", as_of=DUE, size="tiny") as sandbox:
        (office.folder / "token").write_text("wrong-token")
        (office.folder / "token").chmod(0o600)
        office.write(more=HUBSPOT.format(port=sandbox.hubspot.port))
        assert run_cli(["sync", "hs"]) == 1
        said = capsysbinary.readouterr()
        with closing(open_cache(office.data_dir)) as cache:
            breaker.wake(cache, "hs")
        Jobs(load_config(office.config), clock=lambda: DUE, stop=StopEvent()).sync("hs")
    assert said.out == b""
    refused, rests = said.err.decode().splitlines()
    assert refused.startswith("hs login: HubSpot refuses the access token")
    assert rests.startswith("hs: the daemon leaves it alone until ")
    assert rests.endswith("; sooner once `syncagent check` finds its login in order")
    log = capsysbinary.readouterr().err.decode()
    assert "source hs rests until 2026-11-02T07:30+00:00 because its login was refused: HubSpot" in log


def test_a_line_says_phase_records_rate_time_left_and_shares() -> None:
    now = 100.0
    pace = Pace(clock=lambda: now)

    def at(seconds: float, read: int, total: int | None = None, **more: object) -> str:
        nonlocal now
        now = 100.0 + seconds
        return pace.line(Progress("sf", "leads", read, total, False, **more))  # type: ignore[arg-type]

    assert at(0, 0) == "reading 0"
    assert at(1, 2000) == "reading 2,000, 2,000/s"
    assert at(4, 8000, 200_000) == "reading 8,000 of 200,000, 2,000/s, 2 min left"
    assert at(4, 8000, limit_share=0.97, daily_share=0.4) == "reading 8,000, 2,000/s, limit 97%, day 40%"
    assert at(4, 8001, 8000) == "reading 8,001, 2,000/s", "a total that is passed was one of a part"
    assert at(5, 0, 8000, phase="comparing") == "comparing 0 of 8,000"
    assert at(8, 6000, 8000, phase="comparing") == "comparing 6,000 of 8,000, 2,000/s, 1 s left"
    assert at(18, 6010, 8000, phase="comparing") == "comparing 6,010 of 8,000, 462/s, 4 s left"
    assert at(30, 6130, 8000, phase="comparing") == "comparing 6,130 of 8,000, 6/s, 5 min left", "as of late"
    assert [duration(s) for s in (0.2, 89, 100, 5399, 9000)] == ["1 s", "89 s", "2 min", "90 min", "2.5 h"]


def test_every_record_is_compared_when_asked(office: Office, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run_cli(["sync", "--reconcile"]) == 0
    assert run_cli(["sync", "--reconcile", "--since", "2026-01-01"]) == 2
    assert b"Give one of the two." in capsysbinary.readouterr().err


def test_a_part_and_everything_at_once_is_refused(office: Office, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run_cli(["sync", "--full", "--since", "2026-01-01"]) == 2
    said = b"--since reads a part, --full reads everything: the two do not go together. Give one of the two.\n"
    assert capsysbinary.readouterr().err == said
    assert not (office.data_dir / "cache.db").exists(), "nothing was begun"


def test_a_day_that_lies_ahead_is_refused(office: Office, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    today = datetime.now(ZoneInfo("Europe/Berlin")).date()
    ahead = today + timedelta(days=2)
    assert run_cli(["sync", "--since", str(ahead)]) == 2
    line = capsysbinary.readouterr().err.decode()
    assert line == f"--since {ahead}: this day lies ahead. Give today, {today}, or a day before it.\n"
    assert run_cli(["sync", "--since", str(today)]) == 0


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def silent(office: Office, port: int) -> None:
    (office.folder / "token").write_text("pat-canary-123")
    (office.folder / "token").chmod(0o600)
    office.write(more=HUBSPOT.format(port=port))


def test_check_does_not_wait_for_a_silent_source(
    office: Office, silent_port: int, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    silent(office, silent_port)
    monkeypatch.setattr("syncagent.cli.setup.CHECK_S", 0.5)
    before = time.monotonic()
    assert run_cli(["check"]) == 1
    assert time.monotonic() - before < 6
    out = capsysbinary.readouterr().out.decode()
    assert "source desk: ok" in out
    assert "source hs: FAILED: no answer within 0 s" in out


def test_check_wakes_a_source_whose_login_works(office: Office, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    with closing(open_cache(office.data_dir)) as cache:
        for hours in range(3):
            breaker.note_failure(cache, "desk", AuthError("refused"), DUE + timedelta(hours=hours))
        run_cli(["check"])
        assert breaker.last_rest(cache, "desk") is None
        later = DUE + timedelta(days=1)
        rest = breaker.note_failure(cache, "desk", AuthError("refused"), later)
        assert rest is not None
        assert rest.until == later + breaker.FIRST_REST, "what is refused anew begins anew"


def test_a_call_that_ends_in_time_is_what_it_is() -> None:
    assert bounded(lambda: 7, limit_s=5, interrupt=lambda: None) == 7
    with pytest.raises(ZeroDivisionError):
        bounded(lambda: 1 // 0, limit_s=5, interrupt=lambda: None)
    gate = threading.Event()
    with pytest.raises(TookTooLong):
        bounded(lambda: gate.wait(10), limit_s=0.05, interrupt=gate.set)
    assert gate.is_set()


def on_terminal(office: Office, *arguments: str, until: bytes | None = None, code: str = "") -> str:
    """What a command (or this code) shows on a terminal; it is ended once that holds `until`."""
    import os
    import pty
    import subprocess

    program = ["-c", code] if code else ["-m", "syncagent"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, *program, *arguments], cwd=office.folder, stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as process:  # fmt: skip
        os.close(theirs)
        said = b""
        try:
            while piece := os.read(ours, 65536):
                said += piece
                if until is not None and until in said:
                    process.terminate()
        except OSError:
            pass  # the other end is closed
        os.close(ours)
        ended = process.wait(30)
    assert until is not None or ended == 0
    return said.decode()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a pseudo-terminal")
def test_a_terminal_shows_how_far_it_is(office: Office) -> None:
    """The line comes and goes; what stays is the table."""
    rows = "".join(f"{n},Deal {n},won,2026-10-27,1000,2026-08-01T00:00:00Z\n" for n in range(30_000))
    (office.folder / "deals.csv").write_text("source_id,name,state,close_date,amount,created_at\n" + rows)
    text = on_terminal(office, "sync")
    assert "reading" in text
    assert "30,000" in text


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a pseudo-terminal")
def test_a_terminal_is_told_of_a_wait_for_the_limit(office: Office) -> None:
    """The calls of a moment ago, by an earlier process, have used it up: nothing moves before the first stream."""
    with Sandbox(office.folder / "box", as_of=DUE, size="tiny") as sandbox:
        token = office.folder / "token"
        token.write_text(ACCESS_TOKEN)
        token.chmod(0o600)
        office.write(more=HUBSPOT.format(port=sandbox.hubspot.port) + "limits = { per_10s = 20 }\n")
        with closing(open_cache(office.data_dir)) as cache:
            cache.execute(
                "INSERT INTO sync_runs (source_name, stream, started_at, calls) VALUES ('hs', 'leads', ?, 100)",
                (instant(datetime.now(UTC)),),
            )
        text = on_terminal(office, "sync", "hs", "--stream", "users", until=b"used up")
    assert re.search(r"hs: waiting \d+ s: the limit of 20 calls in 10 s is used up", text)


LOGGED = """
import logging
from syncagent import logs
from syncagent.cli.sync_progress import progress_shown
from syncagent.sync_report import Progress
logs.setup()
with progress_shown(False) as tell:
    tell(Progress("sf", "leads", 5, 100, False))
    logging.getLogger("x").warning("an object is left out")
logging.getLogger("x").warning("that was all")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a pseudo-terminal")
def test_a_log_line_stands_above_the_progress_and_not_in_it(office: Office) -> None:
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", on_terminal(office, code=LOGGED))
    assert re.search(r"[\r\n]\S+Z warning an object is left out", text)
    assert re.search(r"[\r\n]\S+Z warning that was all", text)


MORE_FILES = '[source.more]\ntype = "files"\n[[source.more.table]]\npath = "deals.csv"\ntable = "accounts"\n'


def test_a_stop_between_two_sources_is_said_of_those_not_read(office: Office) -> None:
    office.write(more=MORE_FILES)
    stop = StopEvent()
    reports = sync_all(
        load_config(office.config), ["desk", "more"], clock=lambda: DUE, stop=stop, tell=lambda _: stop.set()
    )
    assert (reports[-1].source, reports[-1].stream, reports[-1].error) == ("more", "login", STOPPED)


def test_a_source_that_cannot_be_built_stops_no_other(office: Office) -> None:
    (office.folder / "ca.pem").write_text("no certificate")
    office.write(more='[source.broken]\ntype = "hubspot"\naccess_token = "x"\n')
    office.config.write_text(office.config.read_text().replace("[agent]\n", '[agent]\nca_file = "ca.pem"\n', 1))
    config = load_config(office.config)
    broken, *rest = sync_all(config, ["broken", "desk"], clock=lambda: DUE)
    assert (broken.stream, bool(broken.error)) == ("login", True)
    assert [(report.source, report.error) for report in rest] == [("desk", None)]
    assert Jobs(config, clock=lambda: DUE, stop=StopEvent()).run_once() == 1
    with closing(open_cache(office.data_dir)) as cache:
        assert cache.execute("SELECT count(*) FROM sync_runs WHERE source_name = 'desk'").fetchone()[0] == 2

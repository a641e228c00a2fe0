"""The daemon on a real folder, with a real mail server: schedules, stops, reloads, refuses."""

import logging
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from syncagent import ledger
from syncagent.config import load_config
from syncagent.daemon import Daemon
from syncagent.daemon_jobs import Jobs
from syncagent.errors import AlreadyRunning
from syncagent.running import read_note
from syncagent.sandbox import Sandbox
from syncagent.sandbox.hubspot.gate import ACCESS_TOKEN
from syncagent.stopping import StopEvent
from syncagent.store import lock_data_dir, open_cache, open_state, read_cache, read_state
from syncagent.sync import sync_source
from syncagent.wiring import build_connector
from tests.fakes.office import DUE, Office, clock_from
from tests.fakes.smtp import FaultServer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


@contextmanager
def when(condition: Callable[[], bool], act: Callable[[], None], *, limit_s: float = 20) -> Iterator[None]:
    """While the block runs: once `condition` holds (or the time is up), act."""
    met: list[bool] = []

    def wait() -> None:
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if condition():
                met.append(True)
                break
            time.sleep(0.02)
        act()

    waiter = threading.Thread(target=wait)
    waiter.start()
    try:
        yield
    finally:
        waiter.join()
    assert met, "it did not happen in time"


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def run_until(
    office: Office, start: datetime, condition: Callable[[], bool], act: Callable[[], None] = terminate
) -> int:
    daemon = Daemon(load_config(office.config), clock=clock_from(start), tick_s=0.1)
    with when(condition, act):
        return daemon.run()


def runs(office: Office) -> list[tuple[str, str]]:
    if not (office.data_dir / "state.db").exists():
        return []
    with closing(read_state(office.data_dir)) as state:
        return [(run["due_at"], run["state"]) for run in ledger.list_runs(state)]


def deals(office: Office) -> int:
    if not (office.data_dir / "cache.db").exists():
        return 0
    with closing(read_cache(office.data_dir)) as cache:
        return int(cache.execute("SELECT count(*) FROM opportunities").fetchone()[0])


def test_it_syncs_and_sends_at_the_due_time_and_never_twice(office: Office) -> None:
    with FaultServer() as server:
        office.write(port=server.port)
        code = run_until(office, DUE - timedelta(seconds=1), lambda: runs(office) == [("2026-11-02T07:00:00Z", "sent")])
        assert (code, deals(office)) == (0, 4)
        assert sorted(mail.recipient for mail in server.accepted) == ["kim@acme.test", "vp@acme.test"]
        before = time.monotonic()
        assert run_until(office, DUE + timedelta(minutes=5), lambda: time.monotonic() - before > 0.6) == 0
        assert len(server.accepted) == 2


def test_what_became_due_while_it_was_down_is_sent_once_after_the_start(office: Office) -> None:
    with FaultServer() as server:
        office.write(port=server.port)
        assert run_until(office, DUE - timedelta(days=1), lambda: deals(office) == 4) == 0
        assert run_until(office, DUE + timedelta(hours=3), lambda: len(server.accepted) == 2) == 0
        assert [state for _, state in runs(office)] in (["sent"], ["due"])


def test_what_became_due_while_it_was_down_shows_what_was_read_since(office: Office) -> None:
    with FaultServer() as server:
        office.write(port=server.port)
        assert run_until(office, DUE - timedelta(days=1), lambda: deals(office) == 4) == 0
        with (office.folder / "deals.csv").open("a") as file:
            file.write("5,Five,won,2026-10-30,5000,2026-08-01T00:00:00Z\n")
        assert run_until(office, DUE + timedelta(hours=3), lambda: len(server.accepted) == 2) == 0
    with closing(read_state(office.data_dir)) as state:
        shown = state.execute("SELECT value FROM kpi_snapshots WHERE kpi = 'won_revenue'").fetchone()["value"]
    assert shown == 1000 + 900 + 5000


def test_rows_read_before_a_kill_count_though_nothing_is_read_again(office: Office) -> None:
    """Between the last page and its facts a process may end; the next sync may be hours away."""
    with FaultServer() as server:
        office.write(port=server.port)
        config = load_config(office.config)
        with closing(open_cache(office.data_dir)) as cache, closing(build_connector(config, "desk")) as desk:
            sync_source(desk, cache, clock=lambda: DUE - timedelta(minutes=1))
        assert run_until(office, DUE - timedelta(seconds=1), lambda: len(server.accepted) == 2) == 0
    with closing(read_state(office.data_dir)) as state:
        assert state.execute("SELECT value FROM kpi_snapshots WHERE kpi = 'won_revenue'").fetchone()["value"] == 1900


def test_a_source_that_was_taken_out_is_not_waited_for(office: Office) -> None:
    office.write()
    jobs = Jobs(load_config(office.config), clock=clock_from(DUE), stop=StopEvent())
    open_cache(office.data_dir).close()
    jobs.await_sources()
    assert not jobs.is_read()
    jobs.config = replace(jobs.config, sources={})
    assert jobs.is_read()


def test_a_complaint_that_stays_the_same_is_said_once(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    office.write()
    jobs = Jobs(load_config(office.config), clock=clock_from(DUE), stop=StopEvent())
    jobs.tick()
    for expected in (1, 2):
        (office.data_dir / "cache.db").unlink()
        for _ in range(3):
            jobs.tick()
        assert [record.levelname for record in caplog.records] == ["ERROR"] * expected
        open_cache(office.data_dir).close()
        jobs.tick()  # it works again: the next complaint is a new one


def test_a_mail_server_that_is_down_is_tried_again(office: Office) -> None:
    with FaultServer() as server:
        office.write(port=server.port)
        gone = server.port
    office.write(port=gone)
    assert run_until(office, DUE - timedelta(seconds=1), lambda: len(runs(office)) == 1) == 0
    with FaultServer() as server:
        office.write(port=server.port)
        assert run_until(office, DUE + timedelta(minutes=3), lambda: len(server.accepted) == 2) == 0


def test_run_once_does_what_is_due_and_ends(office: Office) -> None:
    with FaultServer() as server:
        office.write(port=server.port)
        config = load_config(office.config)
        assert Daemon(config, clock=clock_from(DUE - timedelta(days=1))).run(once=True) == 0
        assert Daemon(config, clock=clock_from(DUE + timedelta(minutes=1))).run(once=True) == 0
        assert Daemon(config, clock=clock_from(DUE + timedelta(minutes=2))).run(once=True) == 0
        assert len(server.accepted) == 2
    with closing(read_cache(office.data_dir)) as cache:
        told = cache.execute("SELECT state, delivered_at >= due_at FROM deliveries").fetchall()
    assert [tuple(row) for row in told] == [("sent", 1)] * 2


def test_run_once_says_by_its_code_that_a_source_failed(office: Office) -> None:
    office.write()
    (office.folder / "deals.csv").unlink()
    assert Daemon(load_config(office.config), clock=clock_from(DUE)).run(once=True) == 1


def test_a_source_is_read_at_its_interval(office: Office) -> None:
    office.write(every="1s")

    def syncs() -> int:
        if not (office.data_dir / "cache.db").exists():
            return 0
        with closing(read_cache(office.data_dir)) as cache:
            return int(cache.execute("SELECT count(*) FROM sync_runs").fetchone()[0])

    assert run_until(office, DUE + timedelta(days=1), lambda: syncs() >= 3) == 0


def test_a_restart_does_not_read_before_the_interval_is_over(office: Office) -> None:
    office.write(every="1h")
    assert run_until(office, DUE, lambda: deals(office) == 4) == 0
    before = time.monotonic()
    assert run_until(office, DUE + timedelta(minutes=1), lambda: time.monotonic() - before > 0.6) == 0
    with closing(read_cache(office.data_dir)) as cache:
        assert cache.execute("SELECT count(*) FROM sync_runs").fetchone()[0] == 1


def test_a_bad_configuration_on_sighup_changes_nothing_but_the_log(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.write()

    def spoil_and_reload() -> None:
        office.config.write_text(office.config.read_text().replace("monday", "moonday"))
        os.kill(os.getpid(), signal.SIGHUP)

    def act() -> None:
        spoil_and_reload()
        wait_for(lambda: "not reloaded" in caplog.text)
        terminate()

    with caplog.at_level(logging.INFO):
        assert run_until(office, DUE, lambda: deals(office) == 4, act) == 0
    assert "moonday" in caplog.text
    assert "configuration read again" not in caplog.text


def test_a_good_configuration_on_sighup_is_taken(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    office.write()
    (office.folder / "more.csv").write_text("source_id,name\nL1,Ann\n")
    more = '[source.more]\ntype = "files"\nevery = "1h"\n[[source.more.table]]\npath = "more.csv"\ntable = "leads"\n'

    def leads() -> int:
        with closing(read_cache(office.data_dir)) as cache:
            return int(cache.execute("SELECT count(*) FROM leads").fetchone()[0])

    def act() -> None:
        office.config.write_text(office.config.read_text() + more)
        os.kill(os.getpid(), signal.SIGHUP)
        wait_for(lambda: leads() == 1)
        terminate()

    with caplog.at_level(logging.INFO):
        assert run_until(office, DUE, lambda: deals(office) == 4, act) == 0
    assert leads() == 1


def test_a_changed_configuration_is_told_and_taken_on_sighup_at_once(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    """What the new schedule makes due right after the reload is not lost by a stop."""
    office.write()

    def cursors() -> list[tuple[str, str]]:
        with closing(read_state(office.data_dir)) as state:
            return [tuple(row) for row in state.execute("SELECT schedule, enumerated_until FROM schedules")]

    def act() -> None:
        assert read_note(office.data_dir) is not None
        office.config.write_text(office.config.read_text().replace("monday 08:00", "monday 08:01"))
        wait_for(lambda: "has changed" in caplog.text)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGHUP)
        wait_for(lambda: "configuration read again" in caplog.text)
        assert cursors()[0][0] == "monday 08:01|Europe/Berlin"
        terminate()

    with caplog.at_level(logging.INFO):
        assert run_until(office, DUE, lambda: deals(office) == 4, act) == 0
    assert caplog.text.count("the configuration file has changed; send SIGHUP (systemctl reload) to use it") == 1
    assert not (office.data_dir / "daemon.json").exists()


def test_a_secret_that_is_renewed_in_its_file_is_used_at_once(
    office: Office, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody has to tell the daemon as well: it was refused, and rests for a quarter of an hour."""
    with Sandbox(tmp_path / "sandbox", as_of=DUE, limits=False, size="tiny") as box:
        address = f'base_url = "{box.hubspot_url}"\nlimits = {{ per_10s = 10000, search_per_s = 1000 }}\n'
        token = office.folder / "token"
        token.write_text("a token that was revoked\n")
        office.write(more=f'[source.hs]\ntype = "hubspot"\naccess_token = "file:token"\n{address}')

        def contacts() -> int:
            with closing(read_cache(office.data_dir)) as cache:
                return int(cache.execute("SELECT count(*) FROM contacts").fetchone()[0])

        def act() -> None:
            renewed = office.folder / "renewed"
            renewed.write_text(ACCESS_TOKEN)
            renewed.replace(token)
            wait_for(lambda: contacts() > 0)
            terminate()

        with caplog.at_level(logging.INFO):
            assert run_until(office, box.now, lambda: "source hs rests" in caplog.text, act) == 0
    assert contacts() > 0
    assert "a secret's file has changed" in caplog.text
    assert ACCESS_TOKEN not in caplog.text


def wait_for(condition: Callable[[], bool], limit_s: float = 10) -> None:
    deadline = time.monotonic() + limit_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


def test_a_second_instance_is_turned_away(office: Office) -> None:
    office.write()
    config = load_config(office.config)
    with lock_data_dir(office.data_dir), pytest.raises(AlreadyRunning):
        Daemon(config, clock=clock_from(DUE)).run()


@pytest.mark.parametrize("name", ["cache.db", "state.db"])
def test_a_database_that_vanishes_ends_the_daemon(office: Office, name: str, caplog: pytest.LogCaptureFixture) -> None:
    office.write()
    assert run_until(office, DUE, lambda: deals(office) == 4, (office.data_dir / name).unlink) == 1
    # A job may have made a new one before the watch looked.
    assert re.search(rf"{name} (is gone; put it back|was replaced while running)", caplog.text)


def test_a_new_file_in_the_place_of_a_database_is_noticed_whatever_number_it_has(office: Office) -> None:
    """File systems give a new file the number of one that has just gone."""
    office.write()
    config = load_config(office.config)
    for _ in range(5):
        open_cache(office.data_dir).close()
        open_state(office.data_dir).close()
        jobs = Jobs(config, clock=clock_from(DUE), stop=StopEvent())
        with jobs.watching_files():
            assert jobs.files_changed() is None
            (office.data_dir / "state.db").unlink()
            open_state(office.data_dir).close()
            assert "was replaced" in str(jobs.files_changed())


def test_a_failing_tick_does_not_end_the_daemon(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    office.write()

    def spoil() -> None:
        with closing(sqlite3.connect(office.data_dir / "state.db")) as state:
            state.execute("DROP TABLE schedules")
        wait_for(lambda: "tick" in caplog.text)
        terminate()

    assert run_until(office, DUE, lambda: deals(office) == 4, spoil) == 0
    assert "schedules" in caplog.text


def test_systemd_is_told_ready_and_stopping(
    office: Office, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    office.write()

    def act() -> None:
        time.sleep(0.6)
        terminate()

    address = tmp_path_factory.mktemp("n") / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        assert run_until(office, DUE, lambda: deals(office) == 4, act) == 0
        told: list[str] = []
        while not told or told[-1] != "STOPPING=1":
            told.append(listener.recv(200).decode())
    assert told[0] == "READY=1"
    assert "WATCHDOG=1" in told


@pytest.fixture
def silent_server() -> Iterator[int]:
    """Accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def start(office: Office) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "syncagent", "--config", str(office.config), "run", "--tick", "0.2"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_sigterm_ends_it_within_20_s_even_while_a_source_hangs(office: Office, silent_server: int) -> None:
    more = (
        '[source.hs]\ntype = "hubspot"\naccess_token = "file:token"\n'
        f'base_url = "http://127.0.0.1:{silent_server}"\nevery = "1h"\n'
    )
    (office.folder / "token").write_text("pat-canary-123")
    (office.folder / "token").chmod(0o600)
    office.write(more=more)
    with start(office) as process:
        wait_for(lambda: deals(office) == 4, 30)
        time.sleep(1)
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
        assert (process.returncode, time.monotonic() - asked < 20) == (0, True)
    assert "Traceback" not in said
    assert "canary" not in said


@pytest.mark.slow
def test_a_second_sigterm_ends_it_at_once(office: Office, silent_server: int) -> None:
    office.write(port=silent_server)
    with start(office) as process:
        wait_for(lambda: deals(office) == 4, 30)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=5)

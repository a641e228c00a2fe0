"""A sync that is told to stop: what was read stands in its table, it says so, and it exits with 1 at any moment."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from connectors.base import Page, Stream
from syncagent.cli import run_cli
from syncagent.cli.sync_said import show_reports
from syncagent.store import open_cache
from syncagent.sync import STOPPED, StreamReport, sync_source
from tests.fakes.connector import ScriptedConnector
from tests.fakes.office import DUE, Office

HUBSPOT = '[source.hs]\ntype = "hubspot"\naccess_token = "file:token"\nbase_url = "http://127.0.0.1:{port}"\n'


@pytest.fixture
def silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    """An office whose second source accepts connections and never says a word."""
    monkeypatch.chdir(tmp_path)
    office = Office(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        (tmp_path / "token").write_text("pat-canary-123")
        (tmp_path / "token").chmod(0o600)
        office.write(more=HUBSPOT.format(port=listener.getsockname()[1]))
        yield office


def page(number: int, *ids: str) -> Page:
    records = [{"source_id": name, "created_at": "2026-01-01T00:00:00Z"} for name in ids]
    return Page(records={"leads": records}, bookmark={"page": number})


def catches_sigterm(process: "subprocess.Popen[str]") -> bool:
    caught = 0
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            caught = int(line.split()[1], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("later_s", [0.0, 0.15, 0.5, 2.5])
def test_at_any_moment_it_says_so_and_exits_1(silent: Office, later_s: float) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "syncagent", "sync"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    ) as process:
        began = time.monotonic()
        while not catches_sigterm(process):
            assert process.poll() is None, "it ended by itself"
            time.sleep(0.002)
        assert time.monotonic() - began < 60
        time.sleep(later_s)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=40)
    assert process.returncode == 1, said
    assert "stopped" in said
    assert "the next sync goes on" in said
    assert "login" not in said
    assert "Traceback" not in said


def test_python_has_hardly_begun_when_the_signal_is_caught() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import syncagent.__main__"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    names = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines()]
    assert "syncagent.stopping" in names
    assert not {"click", "pydantic", "syncagent.cli"} & set(names)


def test_a_stop_between_login_and_the_first_stream_is_no_success(tmp_path: Path) -> None:
    stop = threading.Event()

    class Late(ScriptedConnector):
        def streams(self) -> list[Stream]:
            stop.set()
            return super().streams()

    with closing(open_cache(tmp_path)) as cache:
        reports = sync_source(Late({"leads": [page(1, "a")]}), cache, clock=lambda: DUE, stop=stop)
    assert [report.error for report in reports] == [STOPPED]


def test_what_is_told_of_a_source_that_was_not_begun_is_no_login(capsys: pytest.CaptureFixture[str]) -> None:
    show_reports([StreamReport("sf", "leads", 3, 2), StreamReport("hs", "login", error=STOPPED)], "UTC")
    said = capsys.readouterr()
    assert said.out.splitlines()[1].split()[:4] == ["sf", "leads", "3", "2"]
    assert said.err == "hs: stopped before any of it was read; the next sync goes on there\n"


def test_a_second_signal_ends_it_with_the_table_so_far(tmp_path: Path) -> None:
    """What KeyboardInterrupt stands for: press again, or the grace is over."""
    stop, never = threading.Event(), threading.Event()
    connector = ScriptedConnector({})
    connector.pages = {"leads": [page(1, "a"), connector.wait(never), page(2, "b")], "users": []}

    def press_twice(_: object) -> None:
        if not stop.is_set():
            stop.set()
            raise KeyboardInterrupt

    with closing(open_cache(tmp_path)) as cache:
        reports = sync_source(connector, cache, clock=lambda: DUE, stop=stop, on_progress=press_twice)
        assert cache.execute("SELECT count(*) FROM leads").fetchone()[0] in (0, 1)
    assert [(report.stream, report.error) for report in reports] == [("leads", STOPPED)]


def test_a_second_signal_while_no_stop_was_asked_goes_on_to_the_caller(tmp_path: Path) -> None:
    connector = ScriptedConnector({"leads": [page(1, "a")]})

    def press(_: object) -> None:
        raise KeyboardInterrupt

    with closing(open_cache(tmp_path)) as cache, pytest.raises(KeyboardInterrupt):
        sync_source(connector, cache, clock=lambda: DUE, on_progress=press)


def test_json_says_that_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    Office(tmp_path).write()
    assert run_cli(["sync", "--json"]) == 0
    assert orjson.loads(capsysbinary.readouterr().out)["stopped"] is False

"""kill -9 before every single statement on state.db, from the due time to the stored reply."""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.fakes.smtp import FaultServer

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_no_kill_loses_or_doubles_a_scorecard(tmp_path: Path) -> None:
    """Twice is allowed only under one Message-ID, and only for the statement that stores the reply."""
    with FaultServer() as server:
        command = [sys.executable, "-m", "tests.fakes.kill_everywhere", str(tmp_path), str(server.port), "1"]
        done = subprocess.run(command, cwd=ROOT, timeout=110, check=True, capture_output=True, text=True)
    rounds = [json.loads(line) for line in done.stdout.splitlines()]
    ids = defaultdict(list)
    for message in server.accepted:
        ids[message.recipient].append(message.header("Message-ID"))
    assert len(rounds) > 40
    assert [one["killed"] for one in rounds] == [True] * (len(rounds) - 1) + [False]
    assert {tuple(one["states"]) for one in rounds} == {("sent",)}
    assert {len(set(ids[one["reader"]])) for one in rounds} == {1}
    doubled = [one["reader"] for one in rounds if len(ids[one["reader"]]) == 2]
    assert max(len(found) for found in ids.values()) <= 2
    assert len(doubled) <= 8

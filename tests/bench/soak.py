"""`make soak`: the real daemon against the bundled servers for half an hour, while everything that can go wrong does.

SOAK_MINUTES (30), SOAK_SEED (1). Things happen in the company all the time; the wire breaks, answers are 429 and 500,
logins are refused, the mail server is down, and in the first third the daemon is killed again and again; then it lives
on, so that what it holds on to would show. Afterwards the cache must equal the sandbox's truth, and every mail owed
must have gone out once. Prints a table; exits 1 where something is not as it should be.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from syncagent.config import load_config
from syncagent.sandbox import Sandbox
from syncagent.store import read_cache, read_state
from tests.fakes.truth_check import differences

MINUTES = float(os.environ.get("SOAK_MINUTES", "30"))
SEED = int(os.environ.get("SOAK_SEED", "1"))

_STOP_S = 25.0  # from a SIGTERM to the end; the daemon allows itself 17
_KILLS = 1 / 3  # of the time; then it lives on
_SETTLED_S = 130.0  # of a life: by then all it needs has been loaded, and every source was read twice
_MORE_MB, _MORE_FILES, _MORE_THREADS = 15.0, 12, 6
_SOURCES = {"salesforce": "sf", "hubspot": "hs"}


@dataclass(frozen=True, slots=True)
class Sample:
    """What the daemon holds at one moment."""

    at: float
    mb: float
    files: int
    threads: int


class Soak:
    """The sandbox, the daemon, and what was seen of both."""

    def __init__(self, sandbox: Sandbox, folder: Path, dice: random.Random) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.dice = dice
        self.wrong: list[str] = []
        self.done: Counter[str] = Counter()
        self.life: list[Sample] = []  # of the daemon that runs now
        self.config = sandbox.write_config(folder / "config.toml")
        text = self.config.read_text(encoding="utf-8")  # its sources are read every minute
        self.config.write_text(text.replace('send  = "monday 08:00"', 'cron = "* * * * *"\nperiod = "week"'))
        self.data_dir = load_config(self.config).agent.data_dir
        self.log = (folder / "log.txt").open("a")
        self.daemon = self._start()

    # -- what happens ------------------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """All of it, for so long."""
        began = time.monotonic()
        kill_at = began + 5
        acts = (self._break_wire, self._refuse_calls, self._mail_down, self._reload, self._restart, self._refuse_login)
        while (passed := time.monotonic() - began) < seconds:
            self._keep_time()
            for _ in range(self.dice.randrange(4)):
                self.sandbox.change(self.dice)
                self.done["changes"] += 1
            may_end = passed < seconds * _KILLS
            if may_end and (late := time.monotonic() - kill_at) > 0 and (late > 60 or self._is_writing()):
                self._kill()
                kill_at = time.monotonic() + self.dice.uniform(1, 60)
            elif self.dice.random() < 0.15:
                self.dice.choice(acts if may_end else acts[:4])()
            self._look()
            time.sleep(self.dice.uniform(0.2, 2))
        self.sandbox.faults.clear()

    def _keep_time(self) -> None:
        """The company's clock, which its CRMs tell in their answers, goes with the machine's."""
        behind = int((datetime.now(UTC) - self.sandbox.now).total_seconds())
        if behind > 0:
            self.sandbox.pass_time(behind)

    def _break_wire(self) -> None:
        faults = self.dice.choice((self.sandbox.faults.salesforce, self.sandbox.faults.hubspot))
        kind = self.dice.choice(("reset", "drop", "cut", "truncate", "half_gzip", "html"))
        faults.add(kind, times=self.dice.randrange(1, 8))
        self.done["wire broken"] += 1

    def _refuse_calls(self) -> None:
        times = self.dice.randrange(1, 8)
        if self.dice.random() < 0.5:
            code, name = self.dice.choice(
                ((500, "UNKNOWN_EXCEPTION"), (503, "SERVER_UNAVAILABLE"), (403, "REQUEST_LIMIT_EXCEEDED"))
            )
            # The day's calls are used up: that is known for an hour. Once is enough for half an hour.
            times = 1 if code == 403 else times
            if code != 403 or not self.done["day used up"]:
                self.done["day used up"] += code == 403
                self.sandbox.faults.salesforce.salesforce_error(code, name, times=times)
        else:
            code, name = self.dice.choice(((500, "INTERNAL_ERROR"), (502, "BAD_GATEWAY"), (429, "RATE_LIMITS")))
            self.sandbox.faults.hubspot.hubspot_error(code, name, times=times)
        self.done["calls refused"] += 1

    def _mail_down(self) -> None:
        port = self.sandbox.smtp.port
        self.sandbox.smtp.stop()
        time.sleep(self.dice.uniform(1, 20))
        self.sandbox.smtp.start(port)
        self.done["mail server down"] += 1

    def _reload(self) -> None:
        self.daemon.send_signal(signal.SIGHUP)
        self.done["reloads"] += 1

    def _refuse_login(self) -> None:
        """A refused login makes the source rest; what a person does then: mend it, and sync by hand."""
        faults = self.sandbox.faults.hubspot
        faults.unauthorized(times=None)
        time.sleep(self.dice.uniform(3, 8))
        faults.clear()
        self._stop()
        self._command("sync", "hs")
        self.daemon = self._start()
        self.done["logins refused"] += 1

    # -- the daemon --------------------------------------------------------------------------------------------------

    def _start(self) -> "subprocess.Popen[bytes]":
        self.life = []
        command = [sys.executable, "-m", "syncagent", "--config", str(self.config), "run", "--tick", "1"]
        return subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def _kill(self) -> None:
        self.daemon.kill()
        self.daemon.wait()
        self.daemon = self._start()
        self.done["kills"] += 1

    def _is_writing(self) -> bool:
        """Whether one of its databases has just been written: a kill is then in the middle of something."""
        logs = (self.data_dir / name for name in ("cache.db-wal", "state.db-wal"))
        return any(log.exists() and time.time() - log.stat().st_mtime < 1 for log in logs)

    def _restart(self) -> None:
        self._stop()
        self.daemon = self._start()
        self.done["restarts"] += 1

    def _stop(self) -> None:
        """End it as a service manager does; it must do so in time, and without an error."""
        # One that has only just begun does not listen to signals yet.
        deadline = time.monotonic() + 10
        while self.daemon.poll() is None and not self._is_listening() and time.monotonic() < deadline:
            time.sleep(0.1)
        self.daemon.terminate()
        try:
            code = self.daemon.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()
            self.wrong.append("the daemon did not end after SIGTERM")
            return
        if code:
            self.wrong.append(f"the daemon ended with {code} after SIGTERM")

    def _is_listening(self) -> bool:
        """Whether it catches SIGTERM by now."""
        try:
            lines = Path(f"/proc/{self.daemon.pid}/status").read_text().splitlines()
        except OSError:
            return False
        caught = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt")), 0)
        return bool(caught >> (signal.SIGTERM - 1) & 1)

    def _command(self, *words: str) -> None:
        """A command that must succeed."""
        command = [sys.executable, "-m", "syncagent", "--config", str(self.config), *words]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            self.wrong.append(
                f"`{' '.join(words)}` ended with {done.returncode}: {(done.stderr or done.stdout)[-600:]}"
            )

    def _look(self) -> None:
        """Note what it holds; it must be alive."""
        if (code := self.daemon.poll()) is not None:
            self.wrong.append(f"the daemon ended by itself with {code}")
            self.daemon = self._start()
            return
        process = Path(f"/proc/{self.daemon.pid}")
        try:
            lines = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
            mb = int(lines["VmRSS"].split()[0]) * 1024 / 1e6
            files = len(list((process / "fd").iterdir()))
            self.life.append(Sample(time.monotonic(), mb, files, int(lines["Threads"])))
        except (OSError, KeyError):
            return

    # -- in the end --------------------------------------------------------------------------------------------------

    def judge(self) -> None:
        """Let it come to rest, and compare."""
        self._judge_life()
        self._keep_time()
        self._stop()
        self.sandbox.pass_time(3700)  # whatever was to become visible late does now
        self._command("sync", "--full")
        self._send_the_rest()
        with closing(read_cache(self.data_dir)) as cache:
            for crm, name in _SOURCES.items():
                found = differences(cache, self.sandbox.truth(strict=True), name, crm)
                self.wrong += [f"{name}: {one}" for one in found[:5]]
                self.done["rows that differ"] += len(found)
        self._judge_mails()

    def _judge_life(self) -> None:
        if not self.life:
            return
        first, last = self.life[0].at, self.life[-1].at
        late = [one for one in self.life if one.at >= first + _SETTLED_S]
        if not late:
            _say("too short to see whether memory, files and threads stay flat")
            return
        third = max(1, len(late) // 3)
        for name, more in (("mb", _MORE_MB), ("files", _MORE_FILES), ("threads", _MORE_THREADS)):
            early, final = (max(getattr(one, name) for one in part) for part in (late[:third], late[-third:]))
            _say(f"{f'{name}, early and late':<28}{early:>10.0f}{final:>8.0f}   in {last - first:.0f} s")
            if final > early + more:
                self.wrong.append(f"{name} grew from {early:.0f} to {final:.0f}")

    def _send_the_rest(self) -> None:
        """What waits for its next attempt is sent now, as a person would have it."""
        for _ in range(3):
            with closing(read_state(self.data_dir)) as state:
                owed = state.execute("SELECT id FROM outbox WHERE state NOT IN ('sent', 'dropped')").fetchall()
            if not owed:
                return
            for row in owed:
                self._command("outbox", "retry", str(row["id"]))
            self._command("run", "--once")

    def _judge_mails(self) -> None:
        """Each message that is owed was accepted once; twice only where the answer to it was lost by a kill."""
        accepted = Counter(str(mail.message["Message-ID"]) for mail in self.sandbox.mails)
        with closing(read_state(self.data_dir)) as state:
            owed = state.execute("SELECT message_id, state, resends, recipient, due_at FROM outbox").fetchall()
            missed = state.execute("SELECT count(*) FROM due_runs WHERE state = 'failed'").fetchone()[0]
        for row in owed:
            times = accepted.pop(row["message_id"], 0)
            if row["state"] != "sent" or not 1 <= times <= 1 + row["resends"]:
                what = f"{row['recipient']} of {row['due_at']}: {row['state']}, accepted {times} times"
                self.wrong.append(f"{what}, resent {row['resends']} times")
        self.wrong += [f"a mail nobody owed: {message_id}" for message_id in accepted]
        if missed:
            self.wrong.append(f"{missed} due times failed")
        self.done["mails"] = len(owed)
        self.done["mails resent"] = sum(row["resends"] for row in owed)

    def close(self) -> None:
        if self.daemon.poll() is None:
            self.daemon.kill()
            self.daemon.wait()
        self.log.close()


def main() -> int:
    """The exit code."""
    folder = Path(tempfile.mkdtemp(prefix="syncagent-soak-"))
    with Sandbox(folder / "sandbox", as_of=datetime.now(UTC).replace(microsecond=0), size="tiny") as sandbox:
        soak = Soak(sandbox, folder, random.Random(SEED))
        try:
            soak.run(MINUTES * 60)
            soak.judge()
        finally:
            soak.close()
    for name, count in soak.done.items():
        _say(f"{name:<28}{count:>10,}")
    for one in soak.wrong:
        _say(f"WRONG: {one}")
    _say(f"{'all is well' if not soak.wrong else 'NOT WELL'}; log, cache and mails: {folder}")
    return 1 if soak.wrong else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

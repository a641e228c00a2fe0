"""Who holds a claimed row: a name for this process that dies with it, across kills and reboots."""

import os
from functools import cache
from pathlib import Path


def worker_id() -> str:
    """This process, as `BOOT:PID:START`: the same number after a reboot, or given anew, is another worker."""
    return f"{_boot_id()}:{os.getpid()}:{_started(os.getpid())}"


def is_alive(worker: str) -> bool:
    """Whether the process that made this name still runs."""
    boot, _, rest = worker.partition(":")
    pid, _, started = rest.partition(":")
    if boot != _boot_id() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs, as another user
    return _started(int(pid)) == started


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "boot"


def _started(pid: int) -> str:
    """When the process started, in clock ticks since boot; empty where the system does not tell."""
    try:
        # The command name stands in brackets and may hold anything; the 20th field after it is the start time.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""

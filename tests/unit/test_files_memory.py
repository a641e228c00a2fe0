"""What a reading costs in memory does not grow with the file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import json, re, sys, time
from pathlib import Path
from datetime import UTC, datetime
from connectors.files.connector import FilesConnector, FilesSettings
from syncagent.schema import TABLES, column_types

def peak_mb():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

path, mode = sys.argv[1:]
entry = {"path": path, "table": "opportunities", "mode": mode}
settings = FilesSettings.model_validate({"type": "files", "table": [entry]})
columns = {table: column_types(table) for table in TABLES}
source = FilesConnector("desk", settings, columns=columns, tables=TABLES, currency="EUR", timezone="UTC")
base, began, read = peak_mb(), time.process_time(), 0
for page in source.fetch_pages("opportunities", None, full=False, since=None, now=datetime.now(UTC)):
    read += page.read
print(json.dumps({"read": read, "base": base, "peak": peak_mb(), "seconds": time.process_time() - began}))
"""


def measure(path: Path, mode: str = "append") -> dict[str, float]:
    """Read a file in a process of its own: rows read, MB before and at the peak, seconds of processor."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(path), mode], capture_output=True, text=True, timeout=300, check=True
    )
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def write_deals(path: Path, rows: int) -> None:
    """Deals of thirteen columns, every one different."""
    columns = ("source_id", "name", "created_at", "updated_at", "close_date", "state", "stage", "amount", "currency",
               "owner_id", "account_id", "type", "lead_source")  # fmt: skip
    with path.open("w", encoding="utf-8") as file:
        if path.suffix == ".csv":
            file.write(",".join(columns) + "\n")
        for n in range(rows):
            at = f"2026-{n % 12 + 1:02}-{n % 28 + 1:02}T{n % 24:02}:{n % 60:02}:{n * 7 % 60:02}Z"
            values = (f"006{n:015}", f"Deal number {n} of a customer", at, at, at[:10], ("open", "won", "lost")[n % 3],
                      f"Stage {n % 7}", f"{n}.{n % 100:02}", "EUR", f"005{n % 500:015}", f"001{n % 90_000:015}",
                      "newbusiness", f"source {n % 9}")  # fmt: skip
            if path.suffix == ".csv":
                file.write(",".join(values) + "\n")
            else:
                file.write(json.dumps(dict(zip(columns, values, strict=True))) + "\n")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("ending", "mode"), [("csv", "append"), ("jsonl", "append"), ("csv", "snapshot")])
def test_the_peak_does_not_grow_with_the_rows(tmp_path: Path, ending: str, mode: str) -> None:
    peaks = []
    for rows in (50_000, 300_000):
        path = tmp_path / f"{rows}.{ending}"
        write_deals(path, rows)
        measured = measure(path, mode)
        assert measured["read"] == rows
        peaks.append(measured["peak"])
    assert peaks[1] < peaks[0] + 5
    assert peaks[1] < 150

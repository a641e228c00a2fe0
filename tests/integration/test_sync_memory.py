"""What a sync needs of memory: as much for many records as for few, through the whole of `sync_source`."""

from pathlib import Path

import pytest

from tests.bench.crm import serving
from tests.bench.large import apart

FEW, MANY = 60_000, 240_000
#: Of what is asked of the machine once, some part comes late: far less than a fraction of the rows would take.
MORE_MB = 10.0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_four_times_the_rows_take_no_more_memory(tmp_path: Path) -> None:
    """A Bulk read into an empty cache; the servers and each sync in a process of their own."""
    peaks = []
    for rows in (FEW, MANY):
        with serving(tmp_path / str(rows), limits=False) as server:
            server.ask(f"flood Lead {rows}")
            took = apart(server.config, "sf:leads", facts=False)
        assert took.read >= rows
        peaks.append(took.read_mb)
    assert peaks[1] - peaks[0] < MORE_MB, peaks

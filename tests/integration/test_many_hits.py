"""More changes at once than one HubSpot search shows, through the whole of `sync_source`: each is found."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from syncagent.sandbox.hubspot.server import SEARCH_CAP
from syncagent.store import open_cache
from syncagent.sync import sync_source
from tests.fakes import one_box
from tests.integration import crm_cache

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", autouse=True)
def _stopped() -> Iterator[None]:
    yield
    one_box.stop()


@pytest.mark.parametrize(
    ("many", "per_ms", "as_text"),
    [
        pytest.param(SEARCH_CAP, 7, False, id="as many as are shown"),
        pytest.param(SEARCH_CAP + 1, 7, False, id="one more"),
        pytest.param(SEARCH_CAP + 600, SEARCH_CAP + 600, False, id="more of one millisecond"),
        pytest.param(SEARCH_CAP + 600, SEARCH_CAP + 600, True, id="more of one millisecond, ids sorted as text"),
    ],
)
def test_an_import_of_many_is_found_whole(many: int, per_ms: int, as_text: bool, tmp_path: Path) -> None:
    box = one_box.fresh_box(4)
    box.hubspot.ids_as_text = as_text
    with closing(open_cache(one_box.fresh_cache(tmp_path))) as cache:
        for imports in (0, many):
            box.pass_time(4 * 3600)  # nothing else lies in what is searched
            if imports:
                box.hubspot.store.fill("contacts", imports, per_ms=per_ms)
                box.pass_time(60)
            with closing(crm_cache.hubspot(box, streams=["contacts"])) as connector:
                (report,) = sync_source(connector, cache, clock=lambda: box.now, due=lambda _last, _now: False)
            assert report.error is None
        held = {row[0] for row in cache.execute("SELECT source_id FROM contacts WHERE NOT is_deleted")}
    there = {id_ for id_, record in box.hubspot.objects["contacts"].items() if record.archived is None}
    assert len(there) > many
    assert there - held == set()

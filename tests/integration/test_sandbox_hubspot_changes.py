"""The sandbox's HubSpot after many changes, and with very many objects."""

import random
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

from syncagent.sandbox import Sandbox
from syncagent.sandbox.generate import generate
from syncagent.sandbox.hubspot.server import HubSpotServer
from syncagent.sandbox.hubspot.store import Store
from tests.fakes.portal import Portal

AS_OF = datetime(2026, 11, 16, 6, 0, tzinfo=UTC)
#: Follow another record or a rate; HubSpot writes them anew only when something happens to the object itself.
FOLLOWING = (
    "company",
    "amount_in_home_currency",
    "hs_homecurrency_amount",
    "hs_amount_billed_in_company_currency",
)


def test_a_server_told_of_every_change_is_as_a_new_one(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path, as_of=AS_OF, limits=False, size="tiny")
    for seed in range(6):
        sandbox.reset(seed=seed, as_of=AS_OF)
        rng = random.Random(seed)
        for _ in range(60):
            sandbox.change(rng, late_s=rng.choice((0, 0, 30, 3000)))
        sandbox.pass_time(3600)
        told, new = sandbox.hubspot.store, Store(sandbox.company)
        assert told.survivors == new.survivors
        for kind, objects in new.objects.items():
            for record in (*objects.values(), *told.objects[kind].values()):
                for name in FOLLOWING:
                    record.props.pop(name, None)
            assert told.objects[kind] == objects
            found = {record.id: record for record in told.indexed(kind)}
            assert found == {id_: record for id_, record in objects.items() if record.archived is None}


def test_what_was_merged_twice_is_found_under_its_first_id(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path, as_of=AS_OF, limits=False)
    chains = 0
    for entity in sandbox.company.everything():
        if entity.hs and entity.merged_into is not None and entity.merged_into.merged_into is not None:
            chains += 1
            kind = next(k for k, known in sandbox.hubspot.store.survivors.items() if entity.hs in known)
            found = sandbox.hubspot.store.find(kind, entity.hs)
            last = entity.merged_into.merged_into
            while last.merged_into is not None:
                last = last.merged_into
            assert found is None if last.erased else (found is not None and found.id == last.hs)
    assert chains


def test_very_many_objects_cost_no_memory() -> None:
    server = HubSpotServer(generate(7, AS_OF, "tiny"), limits=False)
    real = len(server.store.ordered("contacts", False))
    server.store.pad("contacts", 1_000_000)
    server.start()
    tracemalloc.start()
    try:
        with Portal(server) as portal:
            assert portal.search("contacts", limit=0)["total"] == real + 1_000_000
            last = str(server.store.ordered("contacts", False)[-1].number + 999_950)
            page = portal.get("/crm/v3/objects/contacts", limit=100, after=last).json()
            assert (len(page["results"]), "paging" in page) == (50, False)
            first = portal.pages("contacts", limit=100, after=str(int(last) - 150))
            assert [len(rows) for rows in first] == [100, 100]
            ids = [row["id"] for row in page["results"]]
            assert [row["id"] for row in portal.read("contacts", ids).json()["results"]] == ids
            assert portal.read("contacts", [str(int(ids[-1]) + 1)]).json()["numErrors"] == 1
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
        server.stop()

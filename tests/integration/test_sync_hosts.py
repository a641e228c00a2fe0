"""Names that are not found, and addresses of the other kind, in the middle of a sync: it ends in the truth."""

import random
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from syncagent.sandbox import Sandbox
from syncagent.store import open_cache
from syncagent.sync import StreamReport, sync_source
from tests.fakes import one_box
from tests.fakes.truth_check import differences
from tests.integration import crm_cache

NAMES = {"salesforce": "sf", "hubspot": "hs"}


@pytest.fixture(scope="module", autouse=True)
def _stopped() -> Iterator[None]:
    yield
    one_box.stop()


@pytest.fixture
def box() -> Sandbox:
    return one_box.fresh_box(8)


def _sync(cache: Any, box: Sandbox, crm: str, address: str) -> list[StreamReport]:
    build: Callable[..., Any] = getattr(crm_cache, crm)
    with closing(build(box, base_url=address)) as connector:
        return sync_source(connector, cache, clock=lambda: box.now, due=lambda _last, _now: False)


def _by_name(box: Sandbox, crm: str) -> str:
    return str(getattr(box, f"{crm}_url")).replace("127.0.0.1", "localhost")


@pytest.mark.parametrize("after", [0, 5])
@pytest.mark.parametrize("crm", ["salesforce", "hubspot"])
def test_a_name_that_is_lost_while_reading_loses_no_record(
    crm: str, after: int, box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name service fails after so many answers and connections are lost: what is left is read the next time."""
    real, asked = socket.getaddrinfo, [0]

    def resolve(host: Any, *args: Any, **more: Any) -> Any:
        asked[0] += host == "localhost"
        if host == "localhost" and asked[0] > after:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return real("127.0.0.1" if host == "localhost" else host, *args, **more)

    with closing(open_cache(one_box.fresh_cache(tmp_path))) as cache:
        with monkeypatch.context() as patched:
            patched.setattr(socket, "getaddrinfo", resolve)
            getattr(box.faults, crm).add("drop", r"/objects/|/query", after=4, times=None)
            said = [report.error for report in _sync(cache, box, crm, _by_name(box, crm)) if report.error]
            getattr(box.faults, crm).clear()
        assert asked[0] > after
        assert any("host name is not known" in one for one in said)
        rng = random.Random(after)
        for _ in range(10):
            box.change(rng)
        box.pass_time(90 * 60)
        cache.execute("UPDATE sources SET failures = 0, rests_until = NULL")
        assert [one.error for one in _sync(cache, box, crm, _by_name(box, crm)) if one.error] == []
        assert differences(cache, box.truth(), NAMES[crm], crm) == []


@pytest.mark.parametrize("crm", ["salesforce", "hubspot"])
def test_a_server_that_has_only_ipv6_is_read_whole(crm: str, box: Sandbox, tmp_path: Path) -> None:
    port = int(str(getattr(box, f"{crm}_url")).rpartition(":")[2])
    try:
        relay = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    is_over = threading.Event()
    server = threading.Thread(target=_relay, args=(relay, port, is_over))
    server.start()
    try:
        with closing(open_cache(one_box.fresh_cache(tmp_path))) as cache:
            reports = _sync(cache, box, crm, f"http://[::1]:{relay.getsockname()[1]}")
            assert [one.error for one in reports if one.error] == []
            assert differences(cache, box.truth(), NAMES[crm], crm) == []
    finally:
        is_over.set()
        server.join()


def _relay(listener: socket.socket, port: int, is_over: threading.Event) -> None:
    """Hand every byte on to a port of 127.0.0.1 and back, until it is over."""
    ends: dict[socket.socket, socket.socket] = {}
    with closing(listener):
        while not is_over.is_set():
            for one in select.select([listener, *ends], [], [], 0.05)[0]:
                if one is listener:
                    near, far = listener.accept()[0], socket.create_connection(("127.0.0.1", port))
                    ends |= {near: far, far: near}
                elif one in ends:
                    piece = b""
                    with suppress(OSError):
                        piece = one.recv(65536)
                    if piece:
                        ends[one].sendall(piece)
                    else:
                        other = ends.pop(one)
                        ends.pop(other)
                        one.close()
                        other.close()
    for one in ends:
        one.close()

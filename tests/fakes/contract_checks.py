"""What the contract's tests do again and again: read, compare, wait; and what a record must be like."""

import gc
import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

import pytest

from connectors.base import Connector, Page, Record
from connectors.errors import ConnectorError
from syncagent.schema import TABLES
from tests.fakes.contract_cache import ContractCache
from tests.fakes.contract_worlds import World
from tests.integration.crm_cache import COLUMNS, NOW

Rows = dict[str, dict[str, dict[str, Any]]]
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_SURROGATE = re.compile("[\ud800-\udfff]")


@contextmanager
def opened(world: World, **more: Any) -> Iterator[Connector]:
    connector = world.connector(**more)
    try:
        yield connector
    finally:
        world.hear(connector)
        connector.close()


@contextmanager
def refused(world: World, error: type[ConnectorError] = ConnectorError) -> Iterator[None]:
    """The body raises this error, which is kept to be looked through for secrets."""
    try:
        yield
    except error as caught:
        world.hear(caught)
        if not str(caught).strip():
            pytest.fail("the error says nothing")
    else:
        pytest.fail(f"no {error.__name__} was raised")


def loaded(world: World) -> ContractCache:
    """A cache that has read everything once."""
    cache = ContractCache()
    with opened(world) as connector:
        cache.fetch_all(connector)
    assert world.wrong(cache) == []
    return cache


def names(connector: Connector) -> list[str]:
    return [stream.name for stream in connector.streams()]


def source_ids(pages: list[Page], table: str) -> list[str]:
    return [record["source_id"] for page in pages for record in page.records.get(table, ())]


def all_of(connector: Connector, stream: str, bookmark: Any = None, **more: Any) -> list[Page]:
    asked = {"full": False, "since": None, **more}
    return list(connector.fetch_pages(stream, bookmark, now=NOW, **asked))


def is_swept(world: World, connector: Connector) -> list[str]:
    """The streams whose records can be listed whole: a connector says so, and files can in any case."""
    return [one.name for one in connector.streams() if one.reconciles or world.crm == "files"]


def settles(find: Callable[[], Any], expected: Any) -> Any:
    """What is found once it is as expected, or two seconds have passed."""
    until = time.monotonic() + 2.0
    while (found := find()) != expected and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)
    return found


def at_rest(find: Callable[[], int]) -> int:
    """A number once it stays the same for a while: the server closes its ends when it comes to it."""
    found: list[int] = []
    while len(found) < 5 or len({*found[-5:]}) > 1:
        time.sleep(0.01)
        found.append(find())
    return found[-1]


def interrupted(world: World, connector: Connector, ask: Callable[[], object]) -> object:
    """What a call that waits ends with once the connector is interrupted: within two seconds."""
    ended: list[object] = []

    def run() -> None:
        try:
            ended.append(ask())
        except BaseException as error:
            ended.append(error)

    caller = threading.Thread(target=run)
    caller.start()
    time.sleep(0.2)
    assert caller.is_alive(), f"it does not wait: {ended}"
    connector.interrupt()
    caller.join(2.0)
    is_over = not caller.is_alive()
    connector.close()
    caller.join(10.0)
    world.hear(*ended)
    assert is_over
    return ended[0]


def listed(pages: list[Page], stream: str) -> set[str]:
    return {*source_ids(pages, stream), *(one for page in pages for one in page.alive)}


def unbroken(connector: Connector, stream: str) -> ContractCache:
    cache = ContractCache()
    cache.fetch(connector, stream)
    return cache


def is_right(kind: str, value: Any) -> bool:
    """Whether a value may stand in a column of this type."""
    match kind:
        case "text":
            return isinstance(value, str) and "\0" not in value and not _SURROGATE.search(value)
        case "integer" | "money":
            return type(value) is int and abs(value) < 2**63
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        case "boolean":
            return type(value) is int and value in (0, 1)
        case "instant":
            if not isinstance(value, str) or not _INSTANT.fullmatch(value):
                return False
            return bool(datetime.fromisoformat(value))
        case "date":
            return isinstance(value, str) and len(value) == 10 and date.fromisoformat(value).isoformat() == value
    return kind == "json" and isinstance(value, dict) and bool(json.dumps(value, allow_nan=False))


def faults_of(world: World, table: str, record: Record) -> Iterator[str]:
    """What is not as the contract has it in one record."""
    place = f"{table} {record.get('source_id')}"
    if not isinstance(record.get("source_id"), str) or not record["source_id"]:
        yield f"{place}: source_id"
    shape = TABLES[table]
    for column, value in record.items():
        if column not in COLUMNS[table]:
            yield f"{place}.{column}: no such column"
        elif value is None:
            if column in shape.flags:
                yield f"{place}.{column}: a flag is never null"
        elif not is_right(COLUMNS[table][column], value):
            yield f"{place}.{column}: {value!r} is no {COLUMNS[table][column]}"
        elif column in shape.references and not world.own_id.fullmatch(value):
            yield f"{place}.{column}: {value!r} is no bare source_id"
        elif column in shape.choices and value not in shape.choices[column]:
            yield f"{place}.{column}: {value!r} is none of {shape.choices[column]}"
        elif COLUMNS[table][column] == "money" and not record.get("currency"):
            yield f"{place}.{column}: an amount without a currency"

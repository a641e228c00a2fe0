"""The JSON Schema for editors describes the files the loader takes."""

import json
import re
import tomllib
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest

from syncagent.config.schema import json_schema

TEXT = (Path(__file__).parents[2] / "config.example.toml").read_text(encoding="utf-8")
DEFAULTS = re.sub(r"^#(\w+ *= )", r"\1", TEXT, flags=re.MULTILINE)
SCHEMA = json_schema()


def faults(value: Any, schema: Any, path: str = "") -> Iterator[str]:
    """What of `value` the schema does not allow: the part of the standard that our schema uses."""
    if schema is True or schema == {}:
        return
    if "$ref" in schema:
        yield from faults(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], path)
    for key in ("anyOf", "oneOf"):
        if key in schema and all(any(True for _ in faults(value, each, path)) for each in schema[key]):
            yield f"{path}: none of {key}"
    if "type" in schema and not is_a(value, schema["type"]):
        yield f"{path}: not {schema['type']}"
    if ("enum" in schema and value not in schema["enum"]) or ("const" in schema and value != schema["const"]):
        yield f"{path}: not allowed"
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        yield f"{path}: not {schema['pattern']}"
    if isinstance(value, dict):
        yield from (f"{path}: lacks {key}" for key in schema.get("required", ()) if key not in value)
        for key, item in value.items():
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties", True))
            if inner is False:
                yield f"{path}.{key}: unknown"
            else:
                yield from faults(item, inner, f"{path}.{key}")
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from faults(item, schema["items"], f"{path}[{index}]")


def is_a(value: Any, kind: str) -> bool:
    kinds: dict[str, Any] = {
        "object": dict, "array": list, "string": (str, date, datetime, time), "boolean": bool, "null": type(None),
        "integer": int, "number": (int, float),
    }  # fmt: skip
    return isinstance(value, kinds[kind]) and not (kind in ("integer", "number") and isinstance(value, bool))


def test_it_is_json() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


@pytest.mark.parametrize("text", [TEXT, DEFAULTS], ids=["as it is", "with every default"])
def test_the_example_fits_it(text: str) -> None:
    assert list(faults(tomllib.loads(text), SCHEMA)) == []


@pytest.mark.parametrize(
    "text",
    [
        "[agnet]\n",
        "[agent]\nnmae = 'x'\n",
        "[agent]\nretention = 5\n",
        "[test_rows]\nrecord_types = ['Test']\n",
        "[source.x]\ntype = 'salesfroce'\n",
        "[source.x]\ntype = 'hubspot'\nevery = '10x'\n",
        "[mail]\nhost = 'x'\nfrom = 'y@z'\nport = '587'\n",
        "[kpi.x]\nof = 'tickets'\nid = 'x'\n",
        "[scorecard.x]\nkpis = ['y']\nper = 'owner'\n",
        "[scorecard.x]\nto = ['y@z']\n",
        "[web]\n",
    ],
)
def test_what_the_loader_refuses_does_not_fit_it(text: str) -> None:
    assert list(faults(tomllib.loads(text), SCHEMA)) != []


def test_every_reference_leads_somewhere() -> None:
    named = set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(SCHEMA)))
    assert named <= SCHEMA["$defs"].keys()

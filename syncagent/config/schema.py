"""The configuration as a JSON Schema, so that editors complete it and mark mistakes while it is written."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from scorecards.definition import Customers, Kpi, Scorecard, TestRows
from syncagent.config.build import OURS, SOURCES
from syncagent.config.models import Agent, Calendar, Identity, TeamCalendar
from syncagent.config.not_built import NOT_BUILT
from syncagent.mailer import MailSettings

_DIMENSION = {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": {"type": "string"}}}


def json_schema() -> dict[str, Any]:
    """The whole configuration, draft 2020-12."""
    definitions: dict[str, Any] = {}
    properties: dict[str, Any] = {
        "agent": _schema(Agent, definitions),
        "calendar": _schema(Calendar, definitions),
        "source": _named(
            {
                "type": "object",
                "required": ["type"],
                "properties": {"type": {"enum": list(SOURCES)}},
                "oneOf": [_schema(model, definitions) for model in SOURCES.values()],
            }
        ),
        "mail": _schema(MailSettings, definitions),
        "dimension": _DIMENSION,
        "kpi": _named({"anyOf": [_schema(Kpi, definitions)]}),
        "scorecard": _named({"anyOf": [_schema(Scorecard, definitions)]}),
        "test_rows": _schema(TestRows, definitions),
        "identity": _schema(Identity, definitions),
        "customers": _schema(Customers, definitions),
    }
    for section, model in (("kpi", Kpi), ("scorecard", Scorecard)):
        for key in OURS[section]:
            definitions[model.__name__]["properties"].pop(key, None)
    definitions["Calendar"]["additionalProperties"] = _schema(TeamCalendar, definitions)
    _leave_out_not_built(definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "syncagent configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "$defs": definitions,
    }


def _schema(model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    """A reference to the model's schema, which is put into `definitions` with all it needs."""
    made = model.model_json_schema(ref_template="#/$defs/{model}", mode="validation")
    definitions.update({name: _as_written(part) for name, part in made.pop("$defs", {}).items()})
    definitions[model.__name__] = _as_written(made)
    return {"$ref": f"#/$defs/{model.__name__}"}


def _named(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "propertyNames": {"pattern": "^[A-Za-z0-9_-]{1,64}$"}, "additionalProperties": schema}


def _as_written(node: Any, key: str = "") -> Any:
    """As the file says it: durations and times of day are texts there, secrets are plain texts."""
    if isinstance(node, list):
        return [_as_written(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {name: _as_written(part, name) for name, part in node.items()}
    if key in DURATIONS and (node.get("type") in ("integer", "number") or "anyOf" in node):
        shown = {name: node[name] for name in ("title", "description") if name in node}
        return {**shown, "type": "string", "pattern": r"^\d+[smhdwy]$", "examples": ["15m", "6h", "90d"]}
    if node.get("format") == "password":
        node.pop("writeOnly", None)
        node.pop("format")
    return node


#: Keys whose value is seconds once read, and text such as "15m" in the file.
DURATIONS = frozenset(
    {"every", "retention", "give_up", "max_age", "hold_max", "within", "window", "mature"}
    | {"lag", "lookback", "login_window", "search_window"}
)


def _leave_out_not_built(definitions: dict[str, Any]) -> None:
    """An editor should not offer what the loader refuses."""
    owners = {"agent": ["Agent"], "source": ["SalesforceSettings", "HubSpotSettings"], "mail": ["MailSettings"]}
    owners |= {"scorecard": ["Scorecard"], "identity": ["Identity"], "test_rows": ["TestRows"]}
    for entry in NOT_BUILT:
        section, _, key = entry.path.rpartition(".")
        section = section.partition(".")[0]
        if entry.when is None:
            for owner in owners.get(section, []):
                definitions[owner]["properties"].pop(key, None)

"""config.example.toml is true: it loads, shows every option once, and its stated defaults are the defaults."""

import re
import typing
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from connectors.files.settings import FilesSettings
from connectors.hubspot.settings import HubSpotSettings
from connectors.salesforce.settings import SalesforceSettings
from scorecards import definition
from syncagent.config import Config, ConfigError, load_config
from syncagent.config.build import OURS, SECTIONS
from syncagent.config.models import Agent, Calendar, Identity, TeamCalendar
from syncagent.config.not_built import NOT_BUILT
from syncagent.mailer import MailSettings

EXAMPLE = Path(__file__).parents[1] / "config.example.toml"
TEXT = EXAMPLE.read_text(encoding="utf-8")
ENVIRON = dict.fromkeys(("SF_CLIENT_ID", "SF_CLIENT_SECRET", "HUBSPOT_TOKEN", "SMTP_PASSWORD"), "a-secret")

#: The part of the example (by the headers that open it) in which the keys of each model are shown.
SHOWN: list[tuple[str, type[BaseModel]]] = [
    ("agent", Agent),
    ("calendar", Calendar),
    ("calendar.NAME", TeamCalendar),
    ("source.sf", SalesforceSettings),
    ("source.hs", HubSpotSettings),
    ("source.desk", FilesSettings),
    ("mail", MailSettings),
    ("test_rows", definition.TestRows),
    ("identity", Identity),
    ("customers", definition.Customers),
    ("kpi", definition.Kpi),
    ("scorecard", definition.Scorecard),
]


def part(name: str) -> str:
    """What stands below the headers `[name...]`, commented lines without their mark."""
    found, is_in = [], False
    for line in TEXT.splitlines():
        header = re.match(r"(?:# )?\[+([a-z_.A-Z]+)\]+", line)
        if header:
            is_in = header[1] == name or header[1].startswith(f"{name}.")
        if is_in:
            found.append(re.sub(r"^# ?", "", line))
    return "\n".join(found)


def keys_of(model: type[BaseModel], section: str) -> Iterator[str]:
    """The keys a model and the models within it may have."""
    for name, info in model.model_fields.items():
        if name in OURS.get(section, ()):
            continue
        yield info.alias or name
        for inner in models_in(info.annotation):
            yield from keys_of(inner, "")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for piece in typing.get_args(annotation):
        yield from models_in(piece)


@pytest.mark.parametrize(("section", "model"), SHOWN, ids=[section for section, _ in SHOWN])
def test_every_option_is_shown(section: str, model: type[BaseModel]) -> None:
    text = part(section)
    missing = [
        key
        for key in keys_of(model, section)
        if not re.search(rf"(^|[{{,\s]){key} *= ", text) and f"[{section}.{key}" not in text and f".{key}]" not in text
    ]
    assert missing == []


def test_every_section_is_shown() -> None:
    assert [name for name in SECTIONS if not re.search(rf"^(# )?\[+{name}[\].]", TEXT, re.MULTILINE)] == []


def test_no_option_is_shown_twice() -> None:
    """Once live and once as a default would be one too many."""
    for block in re.split(r"^(?:# )?\[", TEXT, flags=re.MULTILINE):
        live = re.findall(r"^(\w+) *= ", block, flags=re.MULTILINE)
        default = re.findall(r"^#(\w+) *= ", block, flags=re.MULTILINE)
        assert sorted(set(live + default)) == sorted(live + default)


def test_only_its_secrets_are_missing() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(EXAMPLE, environ={})
    assert [problem.message for problem in caught.value.problems] == [
        f"the environment variable {name} is not set" for name in ENVIRON
    ]


def loaded(folder: Path, text: str) -> Config:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, environ=ENVIRON)


def test_it_loads_without_a_warning_once_the_secrets_are_set() -> None:
    assert load_config(EXAMPLE, environ=ENVIRON).warnings == ()


def test_the_stated_defaults_are_the_defaults(tmp_path: Path) -> None:
    stated = re.sub(r"^#(\w+ *= )", r"\1", TEXT, flags=re.MULTILINE)
    assert len(re.findall(r"^#\w+ *= ", TEXT, flags=re.MULTILINE)) > 50
    plain, explicit = loaded(tmp_path, TEXT), loaded(tmp_path, stated)
    for field in fields(Config):
        if field.name not in ("hash", "warnings", "content"):
            assert comparable(getattr(plain, field.name)) == comparable(getattr(explicit, field.name))


def comparable(value: Any) -> Any:
    """Models as what they hold; a KPI's template is how it was written, not what it means."""
    if isinstance(value, BaseModel):
        return value.model_dump()
    return {key: comparable(item) for key, item in value.items()} if isinstance(value, dict) else value


def test_what_is_not_built_is_marked_so() -> None:
    for entry in NOT_BUILT:
        key = entry.path.rpartition(".")[2]
        shown = re.search(rf"^#.*\[?{key}\b.*$", TEXT, re.MULTILINE)
        assert shown, entry.path
        lines = [line for line in TEXT.splitlines() if re.search(rf"\b{key}\b", line)]
        assert any("not built yet" in line for line in lines), entry.path


def test_nothing_shown_is_unknown(tmp_path: Path) -> None:
    """Every commented line, taken alone, is a key the loader knows: it may be refused, but not as unknown."""
    lines = TEXT.splitlines()
    for number, line in enumerate(lines[: lines.index(next(line for line in lines if line.startswith("# [web]")))]):
        if not (option := re.match(r"^# ?(\w+ *= .*)$", line)):
            continue
        shown = [*lines[:number], option[1], *lines[number + 1 :]]
        above = next(place for place in range(number, -1, -1) if not re.match(r"# ?\w", lines[place]))
        if header := re.match(r"# (\[[\w.]+\])", lines[above]):
            shown[above] = header[1]  # of a table that is not there otherwise
        try:
            loaded(tmp_path, "\n".join(shown))
        except ConfigError as error:
            said = [problem.message for problem in error.problems]
            assert "unknown key" not in said, line

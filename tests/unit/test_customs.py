"""A `custom.NAME` that no source fills is empty for ever: misspelt it is a mistake, else a warning."""

from pathlib import Path

import pytest

from syncagent.config import ConfigError, load_config

SOURCES = """
[source.sf]
type = "salesforce"
instance_url = "https://acme.my.salesforce.com"
client_id = "id"
client_secret = "secret"
[source.sf.fields.tickets]
health = "Health__c"
[source.sf.fields.users]
manager_code = "Code__c"
[source.desk]
type = "files"
[[source.desk.table]]
path = "deals.csv"
table = "opportunities"
extra = { margin = "number" }
[[source.desk.table]]
path = "people.csv"
table = "contacts"
extra = "*"
"""


def told(folder: Path, text: str) -> tuple[list[str], list[str]]:
    """(mistakes, warnings) about custom columns, without the file and the number of the line."""
    path = folder / "config.toml"
    path.write_text(SOURCES + text, encoding="utf-8")
    try:
        config = load_config(path, environ={})
    except ConfigError as error:
        return [str(problem).partition(": ")[2] for problem in error.problems], []
    return [], [line for line in (str(one).partition(": ")[2] for one in config.warnings) if "custom." in line]


@pytest.mark.parametrize(
    ("text", "place", "mend"),
    [
        (
            '[kpi.x]\nof = "tickets"\nwhere = { "custom.helth" = "red" }\n',
            'kpi.x.where."custom.helth"',
            "custom.health",
        ),
        ('[kpi.x]\nof = "opportunities"\nagg = "sum"\nfield = "custom.margn"\n', "kpi.x.field", "custom.margin"),
        ('[kpi.x]\nof = "purchases"\nagg = "sum"\nfield = "custom.margn"\n', "kpi.x.field", "custom.margin"),
        ('[kpi.x]\nof = "tickets"\nby = ["owner.custom.managr_code"]\n', "kpi.x.by[1]", "owner.custom.manager_code"),
        ('[dimension]\nstate = { tickets = "custom.helth" }\n', "dimension.state.tickets", "custom.health"),
        ('[kpi.win_rate]\naction = { show = ["custom.margn"] }\n', "kpi.win_rate.action.show[1]", "custom.margin"),
    ],
)
def test_a_misspelt_one_is_refused_with_what_was_meant(tmp_path: Path, text: str, place: str, mend: str) -> None:
    found, _ = told(tmp_path, text)
    assert len(found) == 1, found
    assert found[0].startswith(f"{place} ")
    assert "no source fills custom." in found[0]
    assert f"Did you mean {mend}?" in found[0]


def test_one_that_is_like_none_is_warned_of(tmp_path: Path) -> None:
    found, warned = told(tmp_path, '[kpi.x]\nof = "tickets"\nwhere = { "custom.region" = "x" }\n')
    assert found == []
    assert len(warned) == 1
    assert "no source fills custom.region of tickets" in warned[0]
    assert '[source.NAME.fields.tickets] region = "THEIRS"' in warned[0]


@pytest.mark.parametrize(
    "text",
    [
        '[kpi.x]\nof = "tickets"\nwhere = { "custom.health" = "red", "owner.custom.manager_code" = "a" }\n',
        '[kpi.x]\nof = "contacts"\nwhere = { "custom.anything" = "red" }\n',
        '[kpi.x]\nof = "opportunities"\nagg = "sum"\nfield = "custom.margin"\nabout = "custom.made of margins"\n',
        '[kpi.leavers_gone]\nratio = { top = "won_revenue", bottom = "win_rate" }\n'
        'action = { kpi = "won_revenue", show = ["custom.margin"] }\n',
    ],
)
def test_one_that_is_filled_is_fine(tmp_path: Path, text: str) -> None:
    assert told(tmp_path, text) == ([], [])


def test_of_a_source_with_a_mistake_nobody_knows_what_it_fills(tmp_path: Path) -> None:
    text = '[source.hs]\ntype = "hubspit"\n[kpi.x]\nof = "tickets"\nwhere = { "custom.helth" = "red" }\n'
    found, _ = told(tmp_path, text)
    assert [line.partition(" ")[0] for line in found] == ["source.hs.type"]

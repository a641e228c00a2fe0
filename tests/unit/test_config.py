"""A configuration becomes frozen models; what is wrong, secret or missing is told apart."""

import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from connectors.hubspot.settings import HubSpotSettings
from connectors.salesforce.settings import SalesforceSettings
from scorecards.catalogue import BUILTINS
from scorecards.wording import formula
from syncagent.config import Config, ConfigError, find_config, load_config

BASE = """
[agent]
name = "Acme"
timezone = "Europe/Berlin"

[source.sf]
type = "salesforce"
instance_url = "https://acme.my.salesforce.com"
client_id = "id"
client_secret = "env:SF_SECRET"
every = "20m"

[mail]
host = "smtp.acme.test"
from = "Acme <scorecards@acme.test>"
allowed_domains = ["acme.test"]

[dimension]
team = { opportunities = "owner.team", tickets = "owner_team" }

[kpi.win_rate]
n_min = 3
[kpi.urgent]
of = "tickets"
stock = { opens = "created_at", closes = "closed_at" }
where = { priority = ["high", "urgent"] }
by = ["team"]

[scorecard.weekly]
send = "monday 08:00"
kpis = ["urgent", "win_rate"]
to = ["vp@acme.test", { address = "lee@acme.test", locale = "de-DE", timezone = "Europe/Vienna" }]
"""
ENVIRON = {"SF_SECRET": "hunter2hunter2"}


def load(folder: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, environ=ENVIRON if environ is None else environ)


def problems(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, text, environ)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


@pytest.mark.parametrize(
    "table",
    [
        'of = "tickets"\nagg = "count"\nshare = { "custom.reopen_count" = { gt = 0 } }',
        'calc = { plus = ["won_revenue"] }',
        'sql = "SELECT 1 AS value"',
    ],
)
def test_a_kpi_that_says_what_it_counts_is_no_change_of_the_built_in_of_that_name(tmp_path: Path, table: str) -> None:
    """A later version's built-in may have any name; a file that was right stays right, and means what it meant."""
    config = load(tmp_path, f"{BASE}\n[kpi.reopen_rate]\n{table}\n")
    kpi = config.kpis["reopen_rate"]
    assert not kpi.builtin
    assert (kpi.cohort, kpi.mature, kpi.action) == (None, None, None)
    assert any("in place of the built-in of this name" in str(one) for one in config.warnings)


@pytest.mark.parametrize("helper", sorted(name for name, kpi in BUILTINS.items() if kpi.hidden))
def test_a_kpi_named_like_a_helper_of_the_catalogue_is_ones_own(tmp_path: Path, helper: str) -> None:
    """Neither is it merged into the helper, nor does it change what is worked out from that."""
    users = [kpi for kpi in BUILTINS.values() if helper in {one.partition(".")[0] for one in kpi.operands}]
    of = BUILTINS[helper].of or "leads"
    text = f'\n[kpi.{helper}]\nof = "{of}"\nname = "Mine"\nn_min = 7\n'
    config = load(tmp_path, f'{BASE}{text}\n[kpi.lead_conversion_rate.params]\nmode = "period"\n')
    own = config.kpis[helper]
    assert (own.hidden, own.builtin, own.title, own.date, own.field) == (False, False, "Mine", None, None)
    assert not [one for one in config.warnings if helper in str(one)]
    for kpi in [config.kpis[user.id] for user in users] + [config.kpis["lead_conversion_rate"]]:
        assert helper not in {one.partition(".")[0] for one in kpi.operands}
        parts = [config.kpis[one.partition(".")[0]] for one in kpi.operands]
        assert not [part.id for part in parts if part.n_min == 7]
        assert formula(kpi, config.kpis)
    assert set(config.kpis) - set(BUILTINS) == {f"built-in:{helper}", "urgent"}
    assert config.kpis[f"built-in:{helper}"].hidden


def test_a_built_in_whose_rows_are_named_once_more_is_still_the_built_in(tmp_path: Path) -> None:
    config = load(tmp_path, BASE + '\n[kpi.won_revenue]\nof = "opportunities"\nn_min = 3\n')
    kpi = config.kpis["won_revenue"]
    assert (kpi.builtin, kpi.field, kpi.n_min) == (True, "amount", 3)
    config = load(tmp_path, BASE + '\n[kpi.won_revenue]\nof = "tickets"\n')
    said = [str(one) for one in config.warnings if "won_revenue" in str(one)]
    assert len(said) == 1
    assert "sales_growth" in said[0]
    assert "worked out from it" in said[0]


def test_a_target_of_answers_in_time_is_that_of_quick_ones(tmp_path: Path) -> None:
    """Said once, it holds for both; said of the other as well, each keeps its own."""
    said = (
        '\n[kpi.first_response_sla_rate]\nparams = { target_seconds = 3600, clock = "calendar", targets.high = 60 }\n'
    )
    quick = load(tmp_path, BASE + said).kpis["fast_but_dissatisfied_rate"]
    limit = {"value": 3600, "by": "ticket.priority", "of": {"high": 60}}
    assert quick.where["ticket_response_s"] == {"lte": limit}
    own = said + "[kpi.fast_but_dissatisfied_rate]\nparams = { target_seconds = 90 }\n"
    quick = load(tmp_path, BASE + own).kpis["fast_but_dissatisfied_rate"]
    assert quick.where["ticket_response_s"] == {"lte": {**limit, "value": 90}}


def test_a_whole_configuration(tmp_path: Path) -> None:
    config = load(tmp_path, BASE)
    sf = config.sources["sf"]
    assert isinstance(sf, SalesforceSettings)
    assert sf.every == 1200
    assert sf.client_secret is not None
    assert sf.client_secret.get_secret_value() == "hunter2hunter2"
    assert config.agent.data_dir == tmp_path / "data"
    assert config.kpis["win_rate"].n_min == 3
    assert config.kpis["win_rate"].builtin
    assert config.kpis["urgent"].id == "urgent"
    assert config.scorecards["weekly"].id == "weekly"
    assert "won_revenue" in config.kpis
    assert config.mail is not None
    assert config.mail.port == 587
    assert re.fullmatch(r"[0-9a-f]{12}", config.hash)


def test_what_is_said_of_records_names_its_sources(tmp_path: Path) -> None:
    """A pair of a source there is not any more links nothing, and is told of; it stops nothing."""
    text = BASE + '\n[identity]\nlink = [["sf2:accounts:1", "sf:accounts:2"]]\n'
    config = load(tmp_path, text)
    assert config.reporting().links == (("sf2:accounts:1", "sf:accounts:2"),)
    (warning,) = [one for one in config.warnings if one.path.startswith("identity")]
    assert str(warning).endswith('there is no source sf2. Did you mean "sf"?')


def test_what_numbers_depend_on(tmp_path: Path) -> None:
    text = (
        BASE
        + """
[calendar]
week_starts = "sunday"
fiscal_year_starts = 4
holidays = "DE-BY"
business_hours = { weekly = { mon = ["08:00", "18:00"], fri = [["08:00", "12:00"], ["13:00", "24:00"]] } }
[customers]
lookback_days = 90
[test_rows]
names = ["*test*"]
[identity]
system_of_record = "hubspot"
"""
    )
    reporting = load(tmp_path, text).reporting()
    assert reporting.timezone == "Europe/Berlin"
    assert (reporting.week_starts, reporting.fiscal_year_starts) == (6, 4)
    assert reporting.hours.weekly == {0: ((480, 1080),), 4: ((480, 720), (780, 1440))}
    assert date(2026, 11, 1) in reporting.hours.holidays  # All Saints, a holiday in Bavaria
    assert date(2026, 10, 31) not in reporting.hours.holidays  # Reformation, not one there
    assert reporting.customers.lookback_days == 90
    assert reporting.test_rows.names == ("*test*",)
    assert reporting.system_of_record == "hubspot"
    assert reporting.tables["tickets"]["priority"] == "text"
    assert reporting.references["tickets"]["owner_id"] == "users"
    assert reporting.sources == ("sf",)


def test_an_empty_file_is_a_configuration_of_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, "")
    assert (config.sources, config.scorecards, config.mail) == ({}, {}, None)
    assert config.reporting().hours.weekly == dict.fromkeys(range(5), ((540, 1080),))


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    text = BASE.replace('"20m"', '"20x"').replace('"Acme"', "5").replace('"monday 08:00"', '"monday"')
    assert [line.split(": ")[1].split(" ")[0] for line in problems(tmp_path, text, {})] == [
        "agent.name", "source.sf.client_secret", "source.sf.every", "scorecard.weekly.send",
    ]  # fmt: skip


def test_a_wrong_key_does_not_hide_a_missing_login(tmp_path: Path) -> None:
    text = BASE.replace('"20m"', '"20x"').replace('client_id = "id"', "")
    assert problems(tmp_path, text) == [
        'config.toml:6: source.sf: auth = "client_credentials" needs client_id',
        'config.toml:11: source.sf.every = "20x": not a duration. Write a number and s, m, h or d, such as "15m".',
    ]


def test_no_secret_is_ever_shown(tmp_path: Path) -> None:
    text = (
        BASE.replace('client_id = "id"', 'client_id = "env:SF_SECRET"\nclient_secrt = "hunter2hunter2"')
        .replace('type = "salesforce"', 'type = "salesforce"\nstart = "env:SF_SECRET"\npassword = 12345678')
        .replace('host = "smtp.acme.test"', 'host = "smtp.acme.test"\npassword = ["correct horse"]')
    )
    text += '[source.x]\ntype = "env:SF_SECRET"\n[source.y]\ntype = "hubspot"\naccess_token = "t"\n'
    text += 'base_url = "https://me:opensesame@example.com"\n'
    said = "\n".join(problems(tmp_path, text))
    assert not re.search("hunter2|12345678|correct horse|opensesame", said)
    assert "source.x.type" in said


def test_the_hash_names_the_content_without_its_secrets(tmp_path: Path) -> None:
    config = load(tmp_path, BASE)
    assert config.hash == load(tmp_path, "# a comment\n" + BASE, {"SF_SECRET": "another"}).hash
    assert config.hash != load(tmp_path, BASE.replace("20m", "21m")).hash
    in_the_open = [BASE.replace("env:SF_SECRET", secret) for secret in ("one", "two")]
    assert load(tmp_path, in_the_open[0]).hash == load(tmp_path, in_the_open[1]).hash


def test_a_configuration_cannot_be_changed(tmp_path: Path) -> None:
    config = load(tmp_path, BASE)
    with pytest.raises(AttributeError):
        config.hash = "x"  # type: ignore[misc]


def test_the_agents_certificates_serve_where_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    (tmp_path / "own.pem").write_text("x")
    text = BASE.replace("[agent]", '[agent]\nca_file = "ca.pem"')
    text += '[source.hs]\ntype = "hubspot"\naccess_token = "env:SF_SECRET"\nca_file = "own.pem"\n'
    config = load(tmp_path, text)
    sf, hs = config.sources["sf"], config.sources["hs"]
    assert isinstance(sf, SalesforceSettings)
    assert isinstance(hs, HubSpotSettings)
    assert [sf.ca_file, hs.ca_file] == [str(tmp_path / "ca.pem"), str(tmp_path / "own.pem")]
    assert config.mail is not None
    assert config.mail.ca_file == str(tmp_path / "ca.pem")


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    said = problems(tmp_path, BASE.replace("[agent]", '[agent]\nca_file = "ca.pem"'))
    assert said == [
        f'config.toml:3: agent.ca_file = "ca.pem": there is no file {tmp_path}/ca.pem. '
        "Correct the path; it is relative to this file."
    ]


def test_what_works_but_should_be_seen_to(tmp_path: Path) -> None:
    text = BASE.replace("env:SF_SECRET", "in-the-open").replace('send = "monday 08:00"\n', "")
    text = text.replace('"urgent", "win_rate"', '"urgent", "first_response_time"')
    said = [str(warning).removeprefix(f"{tmp_path}/config.toml:") for warning in load(tmp_path, text).warnings]
    assert (
        said[0] == '10: source.sf.client_secret: a secret stands in the open. Write "env:NAME" or "file:PATH" instead.'
    )
    assert said[1] == '29: scorecard.weekly: never due. Add send = "monday 08:00", or send it by hand.'
    assert "30: scorecard.weekly.kpis[2]" in said[2]
    assert "a speed without its quality: service_rating is not on this scorecard" in said[2]


def test_one_of_several_partners_is_enough(tmp_path: Path) -> None:
    for beside, said in (("service_rating", 0), ("csat_score", 0), ("won_revenue", 1)):
        text = BASE.replace('"urgent", "win_rate"', f'"first_response_time", "{beside}"')
        assert len([one for one in load(tmp_path, text).warnings if "speed" in one.message]) == said


def test_more_kpis_than_are_read(tmp_path: Path) -> None:
    names = [name for name, kpi in load(tmp_path, BASE).kpis.items() if not kpi.hidden][:13]
    config = load(tmp_path, BASE.replace('["urgent", "win_rate"]', str(names).replace("'", '"')))
    assert any("13 KPIs on one scorecard" in warning.message for warning in config.warnings)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[agent]\nname = "\xff"\n', "2: not UTF-8 text. Save it as UTF-8."),
        (b"a = " + b"9" * 5000, " a number in it is too long to be read. Shorten it."),
        (b"a = " + b"[" * 20000, " lists or tables in it are nested too deeply. Flatten them."),
    ],
    ids=["not UTF-8", "endless number", "too deep"],
)
def test_files_that_are_not_ours_to_read(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(path, environ={})
    assert str(caught.value) == f"{path}:{said}"


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf[agent]\r\nname = 'x'\r\n")
    assert load_config(path, environ={}).agent.name == "x"


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "no.toml", "there is no such file"), (tmp_path, "cannot be read: Is a directory")):
        with pytest.raises(ConfigError, match=said):
            load_config(path, environ={})


def test_the_configuration_is_looked_for_in_four_places(tmp_path: Path) -> None:
    here = tmp_path / "config.toml"
    assert find_config("given.toml", {"SYNCAGENT_CONFIG": "/x"}, tmp_path) == Path("given.toml")
    assert find_config(None, {"SYNCAGENT_CONFIG": "/x"}, tmp_path) == Path("/x")
    with pytest.raises(ConfigError) as caught:
        find_config(None, {}, tmp_path)
    for place in ("--config", "$SYNCAGENT_CONFIG", "./config.toml", "/etc/syncagent/config.toml"):
        assert place in str(caught.value)
    here.write_text("")
    assert find_config(None, {}, tmp_path) == here


def test_importing_it_loads_no_vendor(tmp_path: Path) -> None:
    heavy = "hubspot simple_salesforce babel holidays email_validator jinja2 apscheduler sqlite_utils requests"
    code = f"import sys, syncagent.config; print([m for m in {heavy.split()} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert found.stdout.strip() == "[]"

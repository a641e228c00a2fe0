"""The first configuration: asked or by default, commented, and fit to be loaded."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from syncagent import init
from syncagent.config import Config, ConfigError, load_config
from syncagent.errors import AgentError, Refused
from syncagent.init import Answers


def never(question: str, default: str) -> str:
    raise AssertionError(question)


def saying(answers: dict[str, list[str]]) -> Callable[[str, str], str]:
    """A person who answers questions that begin with a key (the last line of them), and else takes the default."""

    def prompt(question: str, default: str) -> str:
        last = question.splitlines()[-1]
        for start, lines in answers.items():
            if last.startswith(start) and lines:
                return lines.pop(0)
        return default

    return prompt


def loaded(path: Path, answers: Answers) -> Config:
    return load_config(path, environ=dict.fromkeys(answers.secrets, "a-secret"))


def test_the_defaults_load_once_the_secrets_are_set(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    answers = init.run(path, yes=True, prompt=never, environ={"TZ": "Europe/Paris"})
    config = loaded(path, answers)
    assert config.warnings == ()
    assert list(config.sources) == ["salesforce", "hubspot"]
    assert config.agent.timezone == "Europe/Paris"
    with pytest.raises(ConfigError) as caught:
        load_config(path, environ={})
    assert len(caught.value.problems) == len(answers.secrets) == 4


def test_the_ways_in_are_called_as_the_readme_calls_them() -> None:
    text = init.text_of(Answers())
    assert ("External Client App" in text, "service key" in text) == (True, True)
    assert ("connected app" in text, "private app" in text) == (False, False)


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    init.write_config(path, Answers())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("mine")
    with pytest.raises(Refused, match="there is a file already"):
        init.run(path, yes=True, prompt=never)
    assert path.read_text() == "mine"


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="cannot be written: No such file"):
        init.run(tmp_path / "no" / "config.toml", yes=True, prompt=never)


def test_what_was_answered_is_written(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    prompt = saying(
        {
            "Name": ['The "Quoted" Ünternehmen \\ Co'],
            "Time zone": ["Mars/Olympus", "Europe/Vienna"],
            "Currency": ["euro", "CHF"],
            "Address of your Salesforce": ["http://insecure", "none"],
            "Read a HubSpot": ["maybe", "no"],
            "CSV files": ["data/*.csv"],
            "Address the scorecard": ["nobody", "cards@acme.test"],
            "Address of its first": ["lee@readers.test"],
        }
    )
    answers = init.run(path, yes=False, prompt=prompt)
    config = loaded(path, answers)
    assert config.agent.name == 'The "Quoted" Ünternehmen \\ Co'
    assert (config.agent.timezone, config.agent.currency) == ("Europe/Vienna", "CHF")
    assert list(config.sources) == ["files"]
    assert config.mail is not None
    assert config.mail.allowed_domains == ("readers.test", "acme.test")
    assert "won_revenue" not in config.scorecards["weekly"].kpis
    assert answers.secrets == ["SMTP_PASSWORD"]


def test_what_cannot_be_is_asked_again_with_the_reason() -> None:
    asked: list[str] = []

    def prompt(question: str, default: str) -> str:
        asked.append(question)
        return "Europe/Berln" if question.startswith("Time zone") else default

    init.ask(Answers(timezone="UTC"), prompt)
    assert 'Europe/Berln: not a time zone. Did you mean "Europe/Berlin"?\nTime zone of your days and weeks' in asked


@pytest.mark.parametrize("zone", ["Europe/Paris", ":America/New_York"])
def test_the_zone_of_the_machine(zone: str) -> None:
    assert init.system_timezone({"TZ": zone}) == zone.lstrip(":")


def test_a_zone_the_machine_does_not_know_is_passed_over() -> None:
    assert init.system_timezone({"TZ": "Nowhere/Land"}) == init.system_timezone({})


def test_without_a_mail_server_there_is_no_mail_section(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    asked: list[str] = []

    def prompt(question: str, default: str) -> str:
        asked.append(question)
        return "none" if question.startswith("Mail server") else default

    answers = init.run(path, yes=False, prompt=prompt)
    config = loaded(path, answers)
    assert (config.mail, dict(config.scorecards)) == (None, {})
    assert "SMTP_PASSWORD" not in answers.secrets
    assert not any("reader" in question for question in asked)
    text = path.read_text()
    assert "# [scorecard.weekly]" in text

"""Log lines: their form, and what they never hold."""

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest
from pydantic import BaseModel, SecretStr

from syncagent import logs

log = logging.getLogger("syncagent.test_logs")


@pytest.fixture
def lines() -> Iterator[Callable[..., list[str]]]:
    """Set logging up on a buffer, run something, give back the lines; put everything back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def capture(act: Callable[[], None], **options: object) -> list[str]:
        stream = io.StringIO()
        logs.setup(stream=stream, **options)  # type: ignore[arg-type]
        act()
        return stream.getvalue().splitlines()

    yield capture
    root.handlers[:] = handlers
    root.setLevel(level)


def test_text_is_a_sentence_an_action_and_fields(lines: Callable[..., list[str]]) -> None:
    (line,) = lines(
        lambda: log.warning("sf leads: %d read", 3, extra={"action": "synced", "source": "sf", "note": "a b"})
    )
    assert line.endswith('warning sf leads: 3 read  action=synced source=sf note="a b"')


def test_json_is_one_object_a_line(lines: Callable[..., list[str]]) -> None:
    (line,) = lines(lambda: log.info("done", extra={"action": "synced", "calls": 2}), verbosity=1, form="json")
    event = json.loads(line)
    assert event.pop("at").endswith("Z")
    assert event == {
        "level": "info",
        "message": "done",
        "action": "synced",
        "calls": 2,
        "logger": "syncagent.test_logs",
    }


@pytest.mark.parametrize(
    ("verbosity", "is_service", "shown"),
    [(-1, False, "E"), (0, False, "EW"), (0, True, "EWI"), (1, False, "EWI"), (2, False, "EWID")],
)
def test_verbosity(lines: Callable[..., list[str]], verbosity: int, is_service: bool, shown: str) -> None:
    def act() -> None:
        for level, letter in ((40, "E"), (30, "W"), (20, "I"), (10, "D")):
            log.log(level, letter)

    said = lines(act, verbosity=verbosity, is_service=is_service)
    assert "".join(line.split()[-1] for line in said) == shown


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_are_cut_out_of_messages_fields_errors_and_tracebacks(
    lines: Callable[..., list[str]], form: str
) -> None:
    logs.register_secrets(["s3cr3t/canary"])

    def act() -> None:
        child = logging.getLogger("connectors.anything.below")
        child.warning("calling with %s", "s3cr3t/canary", extra={"action": "x", "url": "https://a/?k=s3cr3t%2Fcanary"})
        try:
            raise RuntimeError("server said s3cr3t/canary")
        except RuntimeError:
            child.exception("failed")

    said = "\n".join(lines(act, verbosity=2, form=form))
    assert "canary" not in said
    assert said.count("***") >= 4
    assert "Traceback" in said


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdef123456",
        '{"access_token": "abcdef123456", "x": 1}',
        "grant_type=x&client_secret=abcdef123456&y",
        "'password': 'abcdef123456'",
        "got Bearer abcdef123456 here",
        "sid=abcdef123456",
    ],
)
def test_what_looks_like_a_secret_is_cut_out_too(text: str) -> None:
    assert "abcdef123456" not in logs.redact(text)


@pytest.mark.parametrize("name", ["secrets/hs_access_token", "hs_access_token", "/run/client_secret"])
def test_the_path_of_a_secret_is_none(name: str) -> None:
    text = f'config.toml:9: source.hs.access_token = "file:{name}": /etc/syncagent/{name} is empty. Put it there.'
    assert logs.redact(text) == text


def test_ordinary_words_stay() -> None:
    text = "the token of [source.hs] was refused. Renew it; the password policy: see side=left"
    assert logs.redact(text) == text


def test_no_traceback_unless_asked_for(lines: Callable[..., list[str]]) -> None:
    def act() -> None:
        try:
            raise ValueError("bad")
        except ValueError:
            log.exception("failed")

    (line,) = lines(act)
    assert line.endswith('failed  error="ValueError: bad"')


def test_what_comes_from_outside_cannot_write_lines(lines: Callable[..., list[str]]) -> None:
    assert len(lines(lambda: log.warning("a\nb", extra={"name_given": "c\r\nd"}))) == 1


def test_secrets_are_found_in_settings() -> None:
    class Inner(BaseModel):
        token: SecretStr = SecretStr("inner")

    class Settings(BaseModel):
        name: str = "shown"
        password: SecretStr = SecretStr("outer")
        parts: tuple[Inner, ...] = (Inner(),)

    assert logs.secrets_in({"a": Settings(), "b": None}) == ["outer", "inner"]

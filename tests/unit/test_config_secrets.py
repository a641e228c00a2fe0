"""Secrets come from the environment or from files, and what is wrong with them is said without them."""

import os
from pathlib import Path
from typing import Any

import pytest

from syncagent.config.secrets import UNSET, Secrets, is_secret, masked
from syncagent.config.toml import KeyPath


class Noted:
    """What was reported, in order."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def problem(self, path: KeyPath, value: str, message: str, mend: str) -> None:
        self.problems.append(f"{path[-1]} {value}: {message}")

    def warning(self, path: KeyPath, value: str, message: str, mend: str) -> None:
        self.warnings.append(f"{path[-1]}: {message}")


def filled(tree: Any, folder: Path, **environ: str) -> tuple[Any, Noted]:
    noted = Noted()
    return Secrets(folder, environ, noted.problem, noted.warning).fill(tree), noted


def test_references_are_filled_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    (tmp_path / "secret").chmod(0o600)
    tree = {"a": {"password": "env:PW", "list": ["env:PW", 5, "text"]}, "token": "file:secret"}
    found, noted = filled(tree, tmp_path, PW="from outside\n")
    assert found == {"a": {"password": "from outside", "list": ["from outside", 5, "text"]}, "token": "from a file"}
    assert (noted.problems, noted.warnings) == ([], [])


def test_line_ends_after_it_are_taken_away(tmp_path: Path) -> None:
    for content, expected in (("x\n\n", "x"), ("x\r\n", "x"), (" x ", " x ")):
        (tmp_path / "s").write_bytes(content.encode())
        (tmp_path / "s").chmod(0o600)
        assert filled({"token": "file:s"}, tmp_path)[0] == {"token": expected}


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("env:NOT_SET", "the environment variable NOT_SET is not set"),
        ("env:EMPTY", "the environment variable EMPTY is empty"),
        ("env:", "not the name of a variable"),
        ("env:A B", "not the name of a variable"),
        ("file:", "no file is named"),
        ("file:missing", "there is no file {folder}/missing"),
        ("file:folder", "{folder}/folder cannot be read: Is a directory"),
        ("file:blank", "{folder}/blank is empty"),
        ("file:binary", "{folder}/binary does not hold text"),
        ("file:two", "{folder}/two holds more than one line"),
        ("env:TWO", "the environment variable TWO holds more than one line"),
        ("file:a\0b", "{folder}/a\0b cannot be read: its name cannot be used"),
    ],
)
def test_a_secret_that_cannot_be_had_is_named(tmp_path: Path, reference: str, said: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "blank").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "two").write_text("# of the portal\npat-canary\n")
    found, noted = filled({"token": reference}, tmp_path, EMPTY=" ", TWO="a\rb")
    assert found == {"token": UNSET}
    assert noted.problems == [f'token "{reference}": ' + said.format(folder=tmp_path)]


def test_a_key_in_pem_has_lines(tmp_path: Path) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n"
    (tmp_path / "key").write_text(key)
    (tmp_path / "key").chmod(0o600)
    found, noted = filled({"private_key": "file:key"}, tmp_path)
    assert (found, noted.problems) == ({"private_key": key.rstrip()}, [])


def test_a_file_others_can_read_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("x")
    (tmp_path / "s").chmod(0o644)
    assert filled({"token": "file:s"}, tmp_path)[1].warnings == [
        f"token: {tmp_path}/s can be read by others than its owner"
    ]


def test_credentials_of_systemd_are_guarded_by_their_folder(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("x")
    (tmp_path / "s").chmod(0o444)
    for spelling in ("$CREDENTIALS_DIRECTORY", "${CREDENTIALS_DIRECTORY}"):
        found, noted = filled({"token": f"file:{spelling}/s"}, Path("/"), CREDENTIALS_DIRECTORY=str(tmp_path))
        assert (found, noted.problems, noted.warnings) == ({"token": "x"}, [], [])


def test_the_home_folder_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "HOME", str(tmp_path))
    (tmp_path / "s").write_text("x")
    assert filled({"token": "file:~/s"}, Path("/"))[0] == {"token": "x"}


def test_a_secret_in_the_open_is_warned_of(tmp_path: Path) -> None:
    assert filled({"password": "x", "name": "y"}, tmp_path)[1].warnings == ["password: a secret stands in the open"]


def test_which_keys_hold_secrets() -> None:
    secret = ["password", "client_secret", "access_token", "security_token", "session_id", "pasword_secret", "Token"]
    open_ = ["username", "token_url", "private_key_file", "client_id", "host"]
    assert [name for name in secret + open_ if is_secret(("source", "x", name))] == secret


def test_what_may_be_stored_of_them() -> None:
    tree = {"a": [{"password": "x", "token": "env:T", "name": "n"}], 1: 2}
    assert masked(tree) == {"a": [{"password": "***", "token": "env:T", "name": "n"}], "1": 2}

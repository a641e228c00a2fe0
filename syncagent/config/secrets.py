"""Secrets of the configuration: fetched from the environment or from files, and kept out of messages.

Any text `"env:NAME"` or `"file:PATH"` stands for what the variable or the file holds.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syncagent.config.toml import KeyPath

#: (path, value as it may be shown, what is wrong, what to do)
Report = Callable[[KeyPath, str, str, str], None]

#: Keys whose value is never shown and should not stand in the file; `private_key_file` is a path, not a secret.
_SECRET_KEY = re.compile(r"(secret|passw|passwd|pwd|token|session_id|api_?key|credential)", re.IGNORECASE)
_NOT_SECRET = frozenset({"token_url", "token_command"})

#: No secret is longer, in characters.
_MOST = 65536

#: What a secret that could not be had is replaced by, so that the rest can still be checked.
UNSET = "unset"


def is_secret(path: KeyPath) -> bool:
    """Whether what stands at `path` must never be shown."""
    return any(isinstance(key, str) and _SECRET_KEY.search(key) and key not in _NOT_SECRET for key in path)


def walk(tree: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every value of a tree of tables and lists that is neither, with its path."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from walk(value, (*path, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from walk(value, (*path, index))
    else:
        yield path, tree


@dataclass(slots=True)
class Secrets:
    """Fetches what `env:` and `file:` stand for. `missing` are the places that could not be filled."""

    folder: Path  # relative files are found from here
    environ: Mapping[str, str]
    problem: Report
    warning: Report
    missing: set[KeyPath] = field(default_factory=set)
    files: list[Path] = field(default_factory=list)  # those that were named, there or not

    def fill(self, tree: Any, path: KeyPath = ()) -> Any:
        """The tree with every reference replaced by what it stands for."""
        if isinstance(tree, Mapping):
            return {key: self.fill(value, (*path, key)) for key, value in tree.items()}
        if isinstance(tree, list):
            return [self.fill(value, (*path, index)) for index, value in enumerate(tree)]
        if not isinstance(tree, str):
            return tree
        if tree.startswith("env:"):
            return self._from_environment(tree, path)
        if tree.startswith("file:"):
            return self._from_file(tree, path)
        if tree and is_secret(path):
            self.warning(path, "", "a secret stands in the open", 'Write "env:NAME" or "file:PATH" instead.')
        return tree

    def _from_environment(self, given: str, path: KeyPath) -> str:
        name = given.removeprefix("env:")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            return self._lack(path, given, "not the name of a variable", 'Write it like "env:SF_CLIENT_SECRET".')
        if name not in self.environ:
            return self._lack(path, given, f"the environment variable {name} is not set", "Set it and try again.")
        if not self.environ[name].strip():
            return self._lack(path, given, f"the environment variable {name} is empty", "Set it and try again.")
        return self._one_line(self.environ[name], path, given, f"the environment variable {name}")

    def _from_file(self, given: str, path: KeyPath) -> str:
        name = given.removeprefix("file:")
        if not name:
            return self._lack(path, given, "no file is named", 'Write it like "file:/run/secrets/smtp-password".')
        credentials = self.environ.get("CREDENTIALS_DIRECTORY", "")
        for spelling in ("${CREDENTIALS_DIRECTORY}", "$CREDENTIALS_DIRECTORY"):
            name = name.replace(spelling, credentials)
        place = self.folder / os.path.expanduser(name)
        self.files.append(place)
        try:
            with place.open(encoding="utf-8", newline="") as file:
                content = file.read(_MOST)
                mode = os.fstat(file.fileno()).st_mode
        except FileNotFoundError:
            return self._lack(path, given, f"there is no file {place}", "Create it, readable by this user only.")
        except UnicodeDecodeError:
            return self._lack(path, given, f"{place} does not hold text", "Put the secret there as one line of text.")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "its name cannot be used"
            return self._lack(path, given, f"{place} cannot be read: {reason}", "Make it readable by this user.")
        if not content.strip():
            return self._lack(path, given, f"{place} is empty", "Put the secret there as one line of text.")
        if mode & (stat.S_IRWXG | stat.S_IRWXO) and not self._is_credential(place):
            self.warning(path, given, f"{place} can be read by others than its owner", f"Run: chmod 600 {place}")
        return self._one_line(content, path, given, str(place))

    def _one_line(self, content: str, path: KeyPath, given: str, place: str) -> str:
        """The secret without the line end after it. A second line would go into a header or a login as it is."""
        secret = content.rstrip("\r\n")
        if ("\n" in secret or "\r" in secret) and not secret.lstrip().startswith("-----BEGIN "):
            return self._lack(path, given, f"{place} holds more than one line", "Leave only the line with the secret.")
        return secret

    def _is_credential(self, place: Path) -> bool:
        """systemd guards its credentials by the folder, whatever the mode of the file."""
        folder = self.environ.get("CREDENTIALS_DIRECTORY", "")
        return bool(folder) and place.resolve().is_relative_to(Path(folder).resolve())

    def _lack(self, path: KeyPath, given: str, message: str, mend: str) -> str:
        self.missing.add(path)
        self.problem(path, f'"{given}"', message, mend)
        return UNSET


def masked(tree: Any, path: KeyPath = ()) -> Any:
    """The tree as it may be stored or compared: references stay, secrets in the open become `***`."""
    if isinstance(tree, Mapping):
        return {str(key): masked(value, (*path, key)) for key, value in tree.items()}
    if isinstance(tree, list):
        return [masked(value, (*path, index)) for index, value in enumerate(tree)]
    if isinstance(tree, str) and is_secret(path) and not tree.startswith(("env:", "file:")):
        return "***"
    return tree

"""Where things stand in a TOML file: tomllib says what a file means, not on which line it says it.

Knows TOML's outer form only. It is lenient: a file tomllib refuses still gives the positions up to the fault.
"""

import contextlib
from collections.abc import Mapping
from typing import NamedTuple

#: A place in the file: names of tables and keys, numbers of list items (from 0).
KeyPath = tuple[str | int, ...]

_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}


class Positions(NamedTuple):
    """Lines (from 1) of every key, table and list item; `repeated`: first and second line of what is written twice."""

    lines: Mapping[KeyPath, int]
    repeated: Mapping[KeyPath, tuple[int, int]]

    def line_of(self, path: KeyPath) -> int:
        """The line of `path`, or of the nearest thing around it that is in the file (1 at worst)."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return 1

    def deepest_on(self, line: int) -> KeyPath:
        """What is written on `line`: the longest path there, () for none."""
        return max((path for path, at in self.lines.items() if at == line), key=len, default=())


def find_positions(text: str) -> Positions:
    """Read `text` and say where everything stands. Never raises: stops at the first fault."""
    scanner = _Scanner(text.replace("\r\n", "\n"))
    with contextlib.suppress(_Fault, RecursionError):  # what was found before the fault is still true
        scanner.document()
    return Positions({**scanner.implied, **scanner.stated}, scanner.repeated)


class _Fault(Exception):
    """The text is not TOML here."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.implied: dict[KeyPath, int] = {}  # `a` of `[a.b]`
        self.stated: dict[KeyPath, int] = {}
        self.repeated: dict[KeyPath, tuple[int, int]] = {}
        self.headers: dict[KeyPath, int] = {}
        self.items: dict[KeyPath, int] = {}  # [[arrays of tables]]: how many so far

    def document(self) -> None:
        table: KeyPath = ()
        while True:
            self.skip(newlines=True)
            here = self.peek()
            if not here:
                return
            if here == "[":
                table = self.header()
            else:
                self.pair(table)
            self.skip(newlines=False)
            if self.peek() not in ("\n", ""):
                raise _Fault

    # characters

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def move(self, count: int = 1) -> None:
        self.line += self.text.count("\n", self.at, self.at + count)
        self.at += count

    def expect(self, what: str) -> None:
        if not self.text.startswith(what, self.at):
            raise _Fault
        self.move(len(what))

    def skip(self, *, newlines: bool) -> None:
        """Pass over blanks and comments, and line ends if asked."""
        while (here := self.peek()) and (here in " \t#" or (newlines and here == "\n")):
            if here == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                self.move()

    # parts

    def header(self) -> KeyPath:
        line = self.line
        is_array = self.text.startswith("[[", self.at)
        self.move(2 if is_array else 1)
        keys = self.dotted()
        self.expect("]]" if is_array else "]")
        path: KeyPath = ()
        for depth, key in enumerate(keys):
            path = (*path, key)
            is_last = depth == len(keys) - 1
            if not is_last:
                self.implied.setdefault(path, line)
            if is_last and is_array:
                self.items[path] = self.items.get(path, 0) + 1
                self.stated.setdefault(path, line)
            if path in self.items:
                path = (*path, self.items[path] - 1)
        if path in self.headers:
            self.repeated.setdefault(path, (self.headers[path], line))
        self.headers.setdefault(path, line)
        self.stated.setdefault(path, line)
        return path

    def pair(self, table: KeyPath) -> None:
        line = self.line
        path = table
        for key in self.dotted():
            if path != table:
                self.implied.setdefault(path, line)
            path = (*path, key)
        if path in self.stated:
            self.repeated.setdefault(path, (self.stated[path], line))
        self.stated.setdefault(path, line)
        self.expect("=")
        self.skip(newlines=False)
        self.value(path)

    def dotted(self) -> list[str]:
        keys = []
        while True:
            self.skip(newlines=False)
            keys.append(self.key())
            self.skip(newlines=False)
            if self.peek() != ".":
                return keys
            self.move()

    def key(self) -> str:
        if self.peek() in ('"', "'") and self.peek():
            return self.string()
        start = self.at
        while self.peek() in _BARE:
            self.at += 1
        if start == self.at:
            raise _Fault
        return self.text[start : self.at]

    def value(self, path: KeyPath) -> None:
        here = self.peek()
        if here and here in "\"'":
            self.string()
        elif here == "[":
            self.sequence(path, "]")
        elif here == "{":
            self.sequence(path, "}")
        else:
            start = self.at
            while (char := self.peek()) and char not in ",]}\n#":
                self.at += 1
            if start == self.at:
                raise _Fault

    def sequence(self, path: KeyPath, close: str) -> None:
        """A list, whose items are numbered, or an inline table, whose pairs are named."""
        self.move()
        index = 0
        while True:
            self.skip(newlines=True)
            if self.peek() == close:
                self.move()
                return
            if close == "]":
                self.stated.setdefault((*path, index), self.line)
                self.value((*path, index))
            else:
                self.pair(path)
            index += 1
            self.skip(newlines=True)
            if self.peek() == ",":
                self.move()
            elif self.peek() != close:
                raise _Fault

    def string(self) -> str:
        quote = self.peek()
        is_long = self.text.startswith(quote * 3, self.at)
        end_mark = quote * (3 if is_long else 1)
        self.move(len(end_mark))
        found: list[str] = []
        while not self.text.startswith(end_mark, self.at):
            here = self.peek()
            if not here or (here == "\n" and not is_long):
                raise _Fault
            if here == "\\" and quote == '"':
                found.append(self.escape())
            else:
                found.append(here)
                self.move()
        self.move(len(end_mark))
        while is_long and self.peek() == quote:  # up to two quotes may touch the closing ones
            found.append(quote)
            self.move()
        return "".join(found)

    def escape(self) -> str:
        kind = self.text[self.at + 1 : self.at + 2]
        digits = {"u": 4, "U": 8}.get(kind, 0)
        code = self.text[self.at + 2 : self.at + 2 + digits]
        self.move(2 + digits)
        if not digits:
            return _ESCAPES.get(kind, kind)
        try:
            return chr(int(code, 16))
        except (ValueError, OverflowError):
            raise _Fault from None

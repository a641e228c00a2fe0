"""The lines of a text file, and the bytes in them that are no text: they cost their row, or tell of a wrong encoding.

Bytes that fit no character are read as lone surrogates (Python's `surrogateescape`), which no text holds.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

#: A cell with more characters than this is refused with its row.
LONGEST_FIELD = 1_000_000
#: So many bad lines are no proof that the whole file is in another encoding.
_FEW = 3
#: So many are, if no more good ones speak against it; in between one in a hundred lines decides.
_MANY = 20
#: Stands for a bad byte in what is shown of a row.
BAD_CHARACTER = "\ufffd"
_ESCAPED = re.compile("[\ud800-\udfff]")


class BadByte(NamedTuple):
    """The first byte of a line that is no text: `line` and `position` count from 1."""

    line: int
    byte: int
    position: int

    def __str__(self) -> str:
        return f"byte 0x{self.byte:02X} at position {self.position}"


class WrongEncoding(Exception):
    """So much of a file is no text in its encoding that it must be written in another one."""

    def __init__(self, first: BadByte) -> None:
        super().__init__(str(first))
        self.first = first


class Lines:
    """The lines of a text, remembering what was wrong with those read last.

    `is_other` is asked once, at the first bad line, whether the file is in another encoding altogether; then
    iterating raises WrongEncoding.
    """

    def __init__(self, text: Iterable[str], encoding: str, is_other: Callable[[], bool]) -> None:
        self._text = text
        self._encoding = encoding
        self._is_other = is_other
        self._is_judged = False
        self._long = False
        self._bad: BadByte | None = None
        self.last = ""  # the line read last
        self.ends_midway = False
        self.ends_quoted = False  # the last line closes with a quote, so its last value is whole

    def __iter__(self) -> Iterator[str]:
        begun = line = ""
        number = 0
        for line in self._text:
            if begun:
                line = begun + line  # written on while we read
                begun = ""
            if line[-1] not in "\r\n":
                begun = line
                continue
            number += 1
            self._look(line, number)
            self.last = line
            yield line
        if begun:
            self.ends_midway = True
            self._look(begun, number + 1)
            self.last = begun
            yield begun
        self.ends_quoted = (begun or line).rstrip("\r\n").endswith('"')

    def take_long(self) -> bool:
        """Whether a line since the last call was so long that a cell of it may be too long."""
        was_long, self._long = self._long, False
        return was_long

    def take_bad(self) -> BadByte | None:
        """The first bad byte since the last call."""
        bad, self._bad = self._bad, None
        return bad

    def _look(self, line: str, number: int) -> None:
        if len(line) > LONGEST_FIELD:
            self._long = True
        if line.isascii() or self._bad is not None:
            return
        found = _ESCAPED.search(line)
        if found is None:
            return
        before = line[: found.start()].encode(self._encoding, "surrogateescape")
        self._bad = BadByte(number, ord(found[0]) & 0xFF, len(before) + 1)
        if not self._is_judged:
            self._is_judged = True
            if self._is_other():
                raise WrongEncoding(self._bad)


def is_mostly_other(text: Iterable[str]) -> bool:
    """Whether a text decoded with `surrogateescape` was written in another encoding: many bad lines, few good ones.

    Only lines beyond ASCII can tell. Text in another encoding is hardly ever right by chance, and a slip of a writer
    is rare among lines that are right.
    """
    bad = good = lines = 0
    for line in text:
        lines += 1
        if line.isascii():
            continue
        if _ESCAPED.search(line) is None:
            good += 1
        elif line[-1] in "\r\n":  # a file that broke off may end within a character
            bad += 1
    return bad > good and (bad * 2 >= lines or bad > min(max(_FEW, lines // 100), _MANY))


def has_bad_bytes(text: str) -> bool:
    return not text.isascii() and _ESCAPED.search(text) is not None


def without_bad_bytes(text: str) -> str:
    """A text that can be stored."""
    return text if text.isascii() else _ESCAPED.sub(BAD_CHARACTER, text)


def printable(name: str) -> str:
    """A file's name as it can be written down: bytes of it that are no UTF-8 as %E9."""
    return name if name.isascii() else _ESCAPED.sub(lambda one: f"%{ord(one[0]) & 0xFF:02X}", name)

"""The file of a stream's rows that could not be used: one JSON object a line, of bounded size."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import orjson

from connectors.base import Reject

MAX_REJECT_BYTES = 50_000_000
#: Key of the line that stands for the rows a full reject file does not list, and no such line is longer.
MORE, _LINE_OF_MORE = "more", 256


def reject_file(data_dir: Path, source: str, stream: str) -> Path:
    return data_dir / "rejects" / f"{source}-{stream}.jsonl"


def append_rejects(
    data_dir: Path, source: str, stream: str, rejects: Iterable[Reject], *, run: int, most: int | None = None
) -> None:
    """Add to the reject file, readable by its owner alone.

    From `most` bytes on (None: MAX_REJECT_BYTES) rows are only counted: its last line says how many more there are.
    """
    path, most = reject_file(data_dir, source, stream), MAX_REJECT_BYTES if most is None else most
    path.parent.mkdir(mode=0o700, exist_ok=True)
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "r+b") as file:
        more, size = _uncounted(file)
        file.seek(size)
        for reject in rejects:
            if size > most:
                more += 1
                continue
            row = {"place": reject.place, "reason": reject.reason, "content": reject.content, "run": run}
            size += file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE, default=str))
        if more:
            what = {"place": "", "reason": f"{more:,} more rows are not listed: the file is full.", MORE: more}
            file.write(orjson.dumps({**what, "run": run}, option=orjson.OPT_APPEND_NEWLINE))
        file.truncate()


def _uncounted(file: IO[bytes]) -> tuple[int, int]:
    """How many more rows the last line of a reject file speaks of, and where that line begins, or the file ends."""
    end = file.seek(0, os.SEEK_END)
    begin = file.seek(max(0, end - _LINE_OF_MORE))
    tail = file.read()
    start = tail.rfind(b"\n", 0, -1) + 1
    with contextlib.suppress(orjson.JSONDecodeError, AttributeError):
        if more := orjson.loads(tail[start:]).get(MORE):
            return int(more), begin + start
    return 0, end


def each_reject(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a reject file one by one, none where there is no such file. A line a kill cut short is left out."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            with contextlib.suppress(orjson.JSONDecodeError):
                row = orjson.loads(line)
                if isinstance(row, dict):
                    yield row


def read_rejects(path: Path) -> list[dict[str, Any]]:
    """All rows of a reject file."""
    return list(each_reject(path))


def count_rejects(path: Path) -> int:
    """How many rows a reject file stands for, those it does not list included."""
    try:
        with path.open("rb") as file:
            more, _ = _uncounted(file)
            file.seek(0)
            lines = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except FileNotFoundError:
        return 0
    return lines - 1 + more if more else lines

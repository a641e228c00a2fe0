"""What a person should know of a stream that was read well; its bookmark carries it until it is mended."""

from collections.abc import Mapping, Sequence

from connectors.base import StreamNote
from connectors.files.values import shown

#: So many stages are named.
_NAMED = 8


def of_bookmark(guessed: Mapping[str, str], dry: Sequence[str] = (), folders: Sequence[str] = ()) -> list[StreamNote]:
    """The notes of a stream: its `guessed` stages, patterns that ran `dry`, `folders` that match a pattern of files."""
    found = [*map(files_gone, dry), *([folders_skipped(folders)] if folders else ())]
    return [*found, *([states_guessed(guessed)] if guessed else ())]


def sentence(note: StreamNote) -> str:
    return f"{note['message']}. {note['mend']}"


def files_gone(pattern: str) -> StreamNote:
    """A pattern matched files once and matches none any more."""
    return {
        "code": "files_gone",
        "message": f"no file matches {pattern} any more; the rows loaded stay",
        "mend": "If its files were moved, mend path; if the entry has had its day, take it out.",
    }


def folders_skipped(folders: Sequence[str]) -> StreamNote:
    """What matches a pattern and is a folder."""
    more = f" (and {len(folders) - 1:,} more)" if len(folders) > 1 else ""
    return {
        "code": "folders_skipped",
        "message": f"{folders[0]}{more} is a folder, so nothing in it is read",
        "mend": f'If its files are meant, name them: "{folders[0]}/*.csv".',
    }


def states_guessed(guessed: Mapping[str, str]) -> StreamNote:
    """Which stages (stage -> state) were taken for what, and how to say what they mean."""
    parts = []
    for state in ("won", "lost", "open"):
        stages = sorted(stage for stage, ours in guessed.items() if ours == state)
        more = f" and {len(stages) - _NAMED} more" if len(stages) > _NAMED else ""
        if stages:
            parts.append(f"{state} {', '.join(map(shown, stages[:_NAMED]))}{more}")
    example = min(guessed, key=lambda stage: (guessed[stage] != "open", stage))
    return {
        "code": "states_guessed",
        "message": f"no column says which deals are won or lost, so stages were taken for it: {'; '.join(parts)}",
        "mend": f'Say what they mean, "*" for all others: values = {{ state = {{ {_quoted(example)} = "lost" }} }}.',
    }


def _quoted(text: str) -> str:
    """A text as a key of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04X}" for c in escaped) + '"'

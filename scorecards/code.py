"""Which code this is: a hash of a package's own modules, wherever it was installed."""

import hashlib
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

#: A module as it is shipped: its source, or where that is left out, what it was compiled to.
_MODULE = (".py", ".pyc")


def code_hash(package: str) -> str:
    """The same for the same modules, in a folder or in a zip; another one when any of them says anything else."""
    said = hashlib.blake2b(digest_size=16)
    for place, text in _modules(files(package), ""):
        said.update(f"{place} {len(text)}\n".encode())
        said.update(text)
    return said.hexdigest()


def _modules(folder: Traversable, above: str) -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        place = f"{above}/{entry.name}"
        if entry.is_dir():
            if entry.name != "__pycache__":  # follows from the sources beside it
                yield from _modules(entry, place)
        elif entry.name.endswith(_MODULE):
            yield place, entry.read_bytes()

"""Small lists that are read whole, of which what is missing is gone: when to believe it."""

import hashlib
from collections.abc import Iterable

from connectors.base import Bookmark

#: More than so many missing, and more than this share, are not believed at once.
BELIEVED_LOSS, BELIEVED_SHARE = 5, 0.2


class Whole:
    """One reading of such a list, held against the last one.

    An empty answer, or the loss of a page, looks like a list of which much was deleted. So it is believed when the
    next reading is the very same, or when there is no `before`: a first reading, or one a person asked for. `doubt`
    says why not, "" where it is believed; `bookmark` is to be among the keys of the stream's. `may_go_on`: nothing
    shows that the list was at its end, so anything missing may only not have been given.
    """

    def __init__(self, before: Bookmark | None, names: Iterable[str], *, may_go_on: bool = False) -> None:
        found = sorted(set(names))
        mark = hashlib.blake2b("\n".join(found).encode(), digest_size=8).hexdigest()
        known = (before or {}).get("held")  # not there in a bookmark of before this was looked at
        held = int(known or 0)
        missing = held - len(found)
        is_much = (
            missing > max(BELIEVED_LOSS, BELIEVED_SHARE * held)
            or (not found and known != 0)
            or (may_go_on and missing > 0)
        )
        is_doubted = before is not None and is_much and before.get("doubted") != mark
        said = f"{missing:,} of {held:,} are missing" if found else "the list is empty"
        self.doubt = said if is_doubted else ""
        self.bookmark: Bookmark = {"held": held, "doubted": mark} if is_doubted else {"held": len(found)}

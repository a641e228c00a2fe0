"""What is wrong with a KPI as it is written, said when the configuration loads: before any row is read.

`kpi` asks everything of one KPI and goes to the others for their part: `idle` (slots that would do nothing),
`operands` (the KPIs a ratio is made of), `comparing` (values a column cannot be compared with), `reads` (unit and
format), `aims` (the target), `borrowed` (other KPIs an action list names) and `sql` (an admin's own SELECT).
`parameters` holds what a file gives a built-in against what it takes. What they find is a `Problem`.

These modules judge and compute nothing: what computes a KPI imports none of them.
"""

from collections.abc import Iterable
from difflib import get_close_matches

#: (path below [kpi.NAME] or a parameter's name, what is wrong, what to do): the loader puts file and line in front.
Problem = tuple[str, str, str]


def meant(name: str, known: Iterable[str]) -> str:
    """The mend of a name nobody knows: those that are nearly the same, else all."""
    known = list(known)
    close = get_close_matches(name, known, n=3)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"Known: {', '.join(sorted(known))}."

"""What in an admin's own SELECT would say something else each time it is asked, though no row has changed.

A KPI is what it was as_of, whenever it is asked: the clock is no part of a statement.
"""

import re

#: SQLite's functions of time; without a time, or of 'now', each reads the clock.
_TIMES = ("date", "time", "datetime", "julianday", "unixepoch", "strftime", "timediff")
_CLOCKS = ("current_timestamp", "current_date", "current_time")
#: Its functions that answer by chance, or by what the connection did.
CHANGING = ("random", "changes", "total_changes", "last_insert_rowid")
MEND = "Write :as_of for the instant, :as_of_date for the day."

_WORDS = re.compile(
    r"--[^\n]*|/\*.*?(?:\*/|$)|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^\]]*\]|[:@$]?\w+|[^\s\w]", re.DOTALL
)


def clock_of(statement: str) -> str:
    """What in a statement reads the clock, such as "julianday('now')"; empty where nothing does.

    'now' anywhere beside a function of time is taken for one that is handed to it; put together from parts, or read
    from a row, it is not seen.
    """
    words: list[str] = [word.lower() for word in _WORDS.findall(statement) if not word.startswith(("--", "/*"))]
    called = ""
    for place, word in enumerate(words):
        if word in _CLOCKS and words[place - 1 : place] != ["."]:
            return word
        name = word.strip('"`[]')  # a function's name may be quoted as any other
        if name in _TIMES and words[place + 1 : place + 2] == ["("]:
            called = called or name
            # strftime takes a format first: with nothing behind it, it has no time.
            rest = words[place + (3 if name == "strftime" else 2) :]
            if rest[:1] == [")"]:
                return f"{name}()"
    return f"{called}('now')" if called and ("'now'" in words or '"now"' in words) else ""

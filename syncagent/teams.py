"""Whether the teams of `[calendar.NAME]` are teams somebody is in. Knows the configuration and the cache."""

import sqlite3
from collections.abc import Iterator

from scorecards.relations import Language
from syncagent.config.problems import did_you_mean
from syncagent.config.result import Config

#: So many teams are named where none is near.
_MOST_NAMED = 8


def strangers(config: Config, cache: sqlite3.Connection) -> Iterator[str]:
    """A sentence for every calendar no team uses and every team nobody has; none before users were read."""
    if not config.calendars or cache.execute("SELECT 1 FROM users LIMIT 1").fetchone() is None:
        return
    known = _teams(config, cache)
    for name, calendar in config.calendars.items():
        teams = calendar.teams or (name,)
        missing = [team for team in teams if team not in known]
        if len(missing) == len(teams):
            yield f"[calendar.{name}]: no team uses it. {_mend(missing[0], known)}"
            continue
        for team in missing:
            yield f"[calendar.{name}] teams: nobody is in {team}. {_mend(team, known)}"


def _mend(team: str, known: set[str]) -> str:
    if not known:
        return 'Nobody is in a team: map one, [source.NAME.fields.users] team = "FIELD".'
    some = sorted(known)[:_MOST_NAMED]
    return (
        did_you_mean(team, sorted(known)) or f"Teams are {', '.join(some)}{' ...' if len(known) > len(some) else '.'}"
    )


def _teams(config: Config, cache: sqlite3.Connection) -> set[str]:
    """Every team of a user, and all that `[dimension] team` finds in the rows it splits."""
    found = {row[0] for row in cache.execute("SELECT DISTINCT team FROM users WHERE is_deleted = 0")}
    language = Language(config.reporting())
    for table, name in config.dimensions.get("team", {}).items():
        relation = language.current(table) or language.relation(table)
        column = language.column(relation, name) if relation is not None else None
        if relation is None or column is None or column.sql == "owner.team":
            continue
        joins = " ".join(language.join(relation, join) for join in column.joins)
        found |= {row[0] for row in cache.execute(f"SELECT DISTINCT {column.sql} FROM {relation.source} AS f {joins}")}
    return {str(team) for team in found if team not in (None, "")}

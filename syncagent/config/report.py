"""Collects what is wrong with one configuration file, each with its line, and validates its tables on the way."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from syncagent.config.problems import SENTENCES, did_you_mean, dotted, has_step, keys_at, place_in, sentence, shown
from syncagent.config.secrets import is_secret
from syncagent.config.toml import KeyPath, Positions
from syncagent.errors import Problem

M = TypeVar("M", bound=BaseModel)

#: Keys people know from elsewhere -> what to write here.
ELSEWHERE: Mapping[str, str] = {
    "calendar.timezone": "The time zone is set in [agent].",
    "kpi.min_n": "Write n_min.",
    "kpi.expression": "Write of, agg and where, or sql.",
    "scorecard.recipients": "Write to.",
    "scorecard.schedule": "Write send or cron.",
    "scorecard.currency": "The currency is set in [agent].",
    "source.limits.at_once": "Salesforce's is called concurrent.",
    "source.limits.concurrent": "HubSpot's is called at_once.",
    "source.limits.page": "HubSpot's are called search_page, list_page and mail_page.",
    "source.api_path": "Only HubSpot has it; Salesforce's is called api_version.",
    "source.api_version": "Only Salesforce has it; HubSpot's are called api_path and numbered.",
    "source.numbered": "Only HubSpot has it; Salesforce's version is set by api_version.",
    "source.oauth_version": "Only HubSpot has it; Salesforce's logins are set by auth and soap_version.",
    "source.soap_version": "Only Salesforce has it; HubSpot's is called oauth_version.",
    "source.bulk_from": "Only Salesforce has bulk jobs.",
    "report": "Write [scorecard.NAME].",
    "email": "Write [mail].",
    "smtp": "Write [mail].",
    "reporting": "Time zone and currency are set in [agent].",
    "salesforce": 'Write [source.NAME] with type = "salesforce".',
    "hubspot": 'Write [source.NAME] with type = "hubspot".',
    "files": 'Write [source.NAME] with type = "files".',
}
#: So many keys of a table are listed where none is near: enough for any source and its limits.
_MOST_LISTED = 24


class Report:
    """The problems and warnings of `file`, whose TOML is `tree` (before secrets were filled in)."""

    def __init__(self, file: str, tree: Mapping[str, Any], positions: Positions) -> None:
        self.file = file
        self.tree = tree
        self.positions = positions
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.unset: list[Problem] = []  # secrets that could not be had, where that is no mistake
        self.hidden: set[str] = set()  # values of secrets, never to be repeated
        self.unusable: set[KeyPath] = set()  # places already reported: nothing more is said of them
        self.refused: set[KeyPath] = set()  # keys taken out as not built: what follows from that is no mistake

    def problem(self, path: KeyPath, message: str, mend: str = "", *, value: str | None = None) -> None:
        """Note a mistake. `value` is shown instead of what stands at `path`; "" shows none."""
        if any(path[: len(bad)] == bad for bad in self.unusable):
            return
        made = self._made(path, message, mend, value)
        if made not in self.problems:
            self.problems.append(made)

    def warning(self, path: KeyPath, message: str, mend: str = "", *, value: str | None = None) -> None:
        """Note what works but should be seen to."""
        made = self._made(path, message, mend, value)
        if made not in self.warnings:
            self.warnings.append(made)

    def lacking(self, path: KeyPath, message: str, mend: str, *, value: str) -> None:
        """Note a secret that could not be had and is not needed now."""
        self.unset.append(self._made(path, message, mend, value))

    def unknown(self, path: KeyPath, known: Iterable[str]) -> None:
        """Note a key we do not know, with the nearest one."""
        names = list(dict.fromkeys(known))
        kind = ".".join(str(step) for step in path[:1] + path[2:]) if len(path) > 2 else dotted(path)
        mend = ELSEWHERE.get(kind) or did_you_mean(path[-1], names)
        if not mend and names:
            mend = f"Known here: {', '.join(sorted(names))}." if len(names) <= _MOST_LISTED else "It may be misspelt."
        self.problem(path, "unknown key", mend, value="")
        self.unusable.add(path)

    def value_at(self, path: KeyPath) -> Any:
        """What stands in the file at `path`; None when nothing does."""
        value: Any = self.tree
        for step in path:
            if not has_step(value, step):
                return None
            value = value[step]
        return value

    def table(self, parent: Any, path: KeyPath) -> Mapping[str, Any]:
        """The table at `path` (last step a key of `parent`): empty when absent, or when it is no table (noted)."""
        value = parent.get(path[-1], {})
        if isinstance(value, Mapping):
            return value
        name = dotted(path)
        self.problem(path, "not a table", f"Write [{name}] and its keys below.")
        self.unusable.add(path)
        return {}

    def validate(
        self,
        model: type[M],
        table: Mapping[str, Any],
        path: KeyPath,
        *,
        make: Callable[[Mapping[str, Any]], M] | None = None,
    ) -> M | None:
        """`table` as a `model`, every mistake noted; None when what is left without the mistakes makes none.

        Keys that are wrong are left out and the rest is tried again, so that one mistake does not hide another.
        `make` builds the model where that takes more than itself.
        """
        build = make or model.model_validate
        rest = dict(table)
        removed: set[str] = set()
        made: M | None = None
        for _ in range(4):
            try:
                made = build(rest)
                break
            except ValidationError as error:
                wrong = self._note(error, model, rest, path, removed)
                if not wrong & rest.keys():
                    break
                removed |= wrong
                rest = {key: value for key, value in rest.items() if key not in removed}
        for place, kind in _loosely_typed(model, table, path):
            self.problem(place, *SENTENCES[kind])
        self.unusable |= {(*path, key) for key in removed}
        return made

    def _note(
        self, error: ValidationError, model: type[BaseModel], table: Mapping[str, Any], path: KeyPath, removed: set[str]
    ) -> set[str]:
        """Note each mistake of one round; returns the keys of `table` it touched."""
        wrong: set[str] = set()
        found = [
            (place_in(table, detail["loc"], is_missing=detail["type"] in ("missing", "extra_forbidden")), detail)
            for detail in error.errors(include_url=False)
        ]
        places = {place for place, _ in found}
        for place, detail in found:
            if place and any(other[: len(place)] == place for other in places - {place}):
                continue  # another form was tried here, and came further
            message, mend = sentence(detail)
            if not place:
                inner = re.match(r"([\w.-]+): ", message)
                if inner and inner[1].split(".")[0] in table:
                    place = tuple(inner[1].split("."))
                    message = message[inner.end() :]
                elif self._follows(message, path, removed):
                    continue
            if place and place[0] in removed:
                continue
            if detail["type"] == "extra_forbidden":
                self.unknown((*path, *place), keys_at(model, place[:-1]))
            else:
                self.problem((*path, *place), message, mend)
            if place:
                wrong.add(str(place[0]))
                self.unusable.add((*path, *place))
        return wrong

    def _follows(self, message: str, path: KeyPath, removed: set[str]) -> bool:
        """Whether a mistake of a table as a whole only follows from keys that were taken out of it."""
        taken = {str(place[-1]) for place in self.refused if place[:-1] == path}
        return "auth" in taken or any(re.search(rf"\b{re.escape(key)}\b", message) for key in taken | removed)

    def _made(self, path: KeyPath, message: str, mend: str, value: str | None) -> Problem:
        if value is None:
            value = "" if is_secret(path) else shown(self.value_at(path))
        return Problem(
            file=self.file,
            line=self.positions.line_of(path),
            path=dotted(path),
            value=self._scrubbed(value),
            message=self._scrubbed(message).rstrip("."),
            mend=self._scrubbed(mend),
        )

    def _scrubbed(self, text: str) -> str:
        for secret in self.hidden:
            if len(secret) >= 4:
                text = text.replace(secret, "***")
        return text


_PLAIN: Mapping[type, str] = {bool: "bool_type", float: "float_type", int: "int_type"}


def _loosely_typed(model: type[BaseModel], table: Mapping[str, Any], path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Places of texts that stand for numbers or truths, and of truths that stand for numbers, with what is wanted.

    Models may read them as such, but the file should say it plainly.
    """
    for name, info in model.model_fields.items():
        key = info.alias or name
        value = table.get(key)
        kinds = _parts(info.annotation) - {type(None)}
        if isinstance(value, Mapping) and len(kinds) == 1 and issubclass(only := next(iter(kinds)), BaseModel):
            yield from _loosely_typed(only, value, (*path, key))
        is_plain = bool(kinds) and kinds <= _PLAIN.keys() and not any(hasattr(part, "func") for part in info.metadata)
        if is_plain and isinstance(value, str if bool in kinds else (str, bool)):
            yield (*path, key), next(name for kind, name in _PLAIN.items() if kind in kinds)


def _parts(annotation: Any) -> set[type]:
    """The plain classes an annotation is made of; empty when it is made of anything else."""
    if isinstance(annotation, type):
        return {annotation}
    parts = [_parts(part) for part in getattr(annotation, "__args__", ())]
    is_union = type(annotation).__name__ in ("UnionType", "Union", "_UnionGenericAlias")
    return set().union(*parts) if is_union and all(parts) else set()

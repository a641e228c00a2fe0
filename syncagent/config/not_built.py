"""What the configuration's language has but this version does not do yet: refused by name, never ignored.

One table; whoever builds one of these removes its line.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from syncagent.config.report import Report
from syncagent.config.toml import KeyPath


class NotBuilt(NamedTuple):
    """`path`: where it stands, `*` for any name or item. `when`: only for such values, given the whole file."""

    path: str
    mend: str
    when: Callable[[Any, Mapping[str, Any]], bool] | None = None


def _is(*refused: str) -> Callable[[Any, Mapping[str, Any]], bool]:
    return lambda value, tree: value in refused


def _other_currency(value: Any, tree: Mapping[str, Any]) -> bool:
    agent = tree.get("agent")
    return bool(value != (agent.get("currency", "EUR") if isinstance(agent, Mapping) else "EUR"))


NOT_BUILT: tuple[NotBuilt, ...] = (
    NotBuilt("web", "Remove it; `syncagent status` and `scorecard show` tell the same."),
    NotBuilt("watch", "Remove it; let your monitoring run `syncagent status`, whose exit code is the health."),
    NotBuilt("mail.auth", "Remove it and use username and password, or a relay without login.", _is("xoauth2")),
    NotBuilt("mail.token_url", "Remove it; only username and password are known."),
    NotBuilt("mail.token_command", "Remove it; only username and password are known."),
    NotBuilt("mail.client_id", "Remove it; only username and password are known."),
    NotBuilt("mail.client_secret", "Remove it; only username and password are known."),
    NotBuilt("mail.scope", "Remove it; only username and password are known."),
    NotBuilt("test_rows.record_types", "Remove it; mark test records by domains, names, owners or pipelines."),
    NotBuilt("scorecard.*.per", "Remove it, or write one scorecard for each reader."),
    NotBuilt("scorecard.*.per_to", "Remove it, or write one scorecard for each reader."),
    NotBuilt("scorecard.*.attach", "Remove it; `syncagent kpi show --json` gives the numbers."),
    NotBuilt("scorecard.*.currency", "Remove it; scorecards are in the currency of [agent].", _other_currency),
)


def refuse_not_built(tree: dict[str, Any], report: Report) -> dict[str, Any]:
    """Note everything in `tree` that is not built; returns the tree without it."""
    for entry in NOT_BUILT:
        for path in _matches(tree, tuple(entry.path.split(".")), ()):
            value = report.value_at(path)
            if entry.when is not None and not entry.when(value, tree):
                continue
            report.problem(path, "not built yet", entry.mend)
            report.unusable.add(path)
            report.refused.add(path)
            tree = _without(tree, path)
    return tree


def _matches(node: Any, pattern: tuple[str, ...], path: KeyPath) -> list[KeyPath]:
    if not pattern:
        return [path]
    head, *rest = pattern
    steps: list[tuple[str | int, Any]] = []
    if isinstance(node, Mapping):
        steps = [(key, value) for key, value in node.items() if head in ("*", key)]
    elif isinstance(node, list) and head == "*":
        steps = list(enumerate(node))
    return [found for step, value in steps for found in _matches(value, tuple(rest), (*path, step))]


def _without(node: Any, path: KeyPath) -> Any:
    step, *rest = path
    if isinstance(node, list):
        return [_without(item, tuple(rest)) if index == step and rest else item for index, item in enumerate(node)]
    if not rest:
        return {key: value for key, value in node.items() if key != step}
    return {key: _without(value, tuple(rest)) if key == step else value for key, value in node.items()}

"""Whose files our four top-level packages are: another project may have installed over them, and pip says nothing."""

from collections.abc import Mapping, Sequence

OURS = ("syncagent", "connectors", "scorecards", "templates")


def strangers(installed: Mapping[str, Sequence[str]]) -> list[str]:
    """A sentence for each package of ours that another distribution ships too.

    `installed` is package -> distributions, as `importlib.metadata.packages_distributions()` says; an editable
    install is not in it, which is fine.
    """
    found = []
    for package in OURS:
        others = sorted(set(installed.get(package, ())) - {"syncagent"})
        if others:
            found.append(
                f"the package {package} is also installed by {', '.join(others)}."
                " Install syncagent into an environment of its own."
            )
    return found

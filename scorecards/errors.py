"""What can go wrong with a number or a message.

ScorecardError
├── DefinitionError   a KPI or scorecard says something that cannot be computed; `problems` names each one
└── RenderError       a message could not be made
"""

from collections.abc import Sequence


class ScorecardError(Exception):
    """Root of everything `scorecards` raises on purpose."""


class DefinitionError(ScorecardError):
    """A definition cannot be computed. Each problem is (path within the definition, sentence, mend)."""

    def __init__(self, problems: Sequence[tuple[str, str, str]]) -> None:
        super().__init__("; ".join(f"{path}: {sentence}" for path, sentence, _ in problems))
        self.problems = tuple(problems)


class RenderError(ScorecardError):
    """A message could not be made from its values."""

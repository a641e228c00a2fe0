"""What the definition records of the KPIs on scorecards lack, and which are due to be looked over."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING

from scorecards.definition import Kpi, Scorecard

if TYPE_CHECKING:
    from syncagent.config import Config

#: A definition record: which information, gathered by whom, how, where from, how often, for whom; who answers for the
#: KPI, what it is for, when it is looked over.
RECORD = (
    "information", "gathered_by", "process", "source", "frequency", "recipients", "owner", "objective", "review_by",
)  # fmt: skip
#: So many KPIs are named one by one.
_NAMED = 2


def gaps(config: "Config", today: date) -> Iterator[str]:
    """At most two sentences a scorecard: what its KPIs' records lack, and whose review is overdue on this local day."""
    for name, card in config.scorecards.items():
        kpis = [config.kpis[kpi] for kpi in card.kpis]
        lacking = {field: [kpi.id for kpi in kpis if not _says(kpi, card, field)] for field in RECORD}
        said = [f"{field} ({_whose(names, len(kpis))})" for field, names in lacking.items() if names]
        if said:
            yield f"scorecard {name}: the records of its KPIs lack {', '.join(said)}. Say them in [kpi.NAME]."
        overdue = [f"{kpi.id} ({kpi.review_by})" for kpi in kpis if isinstance(kpi.review_by, date)
                   if kpi.review_by < today]  # fmt: skip
        if overdue:
            yield f"scorecard {name}: to be looked over since {', '.join(overdue)}. Set review_by anew when it is done."


def _says(kpi: Kpi, card: Scorecard, field: str) -> bool:
    """Whether a KPI's record says this; who owns a scorecard answers for what stands on it."""
    return bool(getattr(kpi, field)) or (field == "owner" and bool(card.owner))


def _whose(names: Sequence[str], of: int) -> str:
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"all {of}" if len(names) == of else f"{len(names)} of {of}"

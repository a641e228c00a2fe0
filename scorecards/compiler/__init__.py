"""KPIs into SQL: nothing else writes KPI SQL. One row statement a KPI (`rows`), which everything above reads."""

from scorecards.compiler.rows import Compiler
from scorecards.compiler.statement import KNOWN, Rests, Rows

__all__ = ["KNOWN", "Compiler", "Rests", "Rows"]

"""Numbers of a KPI as its readers see them: in its unit, their locale."""

from scorecards.render.format import Formatter
from scorecards.values import KpiResult

#: The mean month of four years.
DAYS_A_MONTH = 30.4375


def written_value(result: KpiResult, fmt: Formatter, value: float | None = None) -> str | None:
    """`value` (the result's own by default) in the KPI's unit."""
    number = result.value if value is None else value
    if number is None:
        return None
    number, unit = as_shown(result, number)
    return fmt.value(number, unit, scale=result.scale, clock=result.clock, currency=result.currency)


def written_difference(result: KpiResult, fmt: Formatter, change: float) -> str | None:
    """A signed change in the KPI's unit; None where it is too little to be written."""
    shown, unit = as_shown(result, change)
    return fmt.change(shown, unit, scale=result.scale, clock=result.clock, currency=result.currency)


def as_shown(result: KpiResult, number: float) -> tuple[float, str]:
    """A number and its unit as readers see them: long times in months."""
    if result.shown_in == "months" and result.unit == "days":
        return number / DAYS_A_MONTH, "months"
    return number, result.unit


def bare(result: KpiResult, fmt: Formatter, value: float) -> str:
    """A value beside the KPI's own, whose unit is said already."""
    value, unit = as_shown(result, value)
    return fmt.value(value, unit, scale=result.scale, clock=result.clock, currency=result.currency, bare=True)

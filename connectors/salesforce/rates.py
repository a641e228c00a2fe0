"""Exchange rates of a multi-currency org towards the agent's currency, from CurrencyType and DatedConversionRate.

Salesforce's rates are units of a currency for one unit of the corporate one; ours turn an amount into the agent's.
They are few: when anything changed they are read anew, a currency at a time, and a currency's page holds all of it.
"""

import logging
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import groupby
from typing import Any

from connectors import parse
from connectors.base import Bookmark, Children, Page, Record
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.schema import OrgSchema
from connectors.whole import Whole

log = logging.getLogger(__name__)

#: Where a rate has no first day of its own: before every row of ours.
ALWAYS = "1900-01-01"
Series = list[tuple[str, float]]


class Rates:
    """Rates of one org towards `currency`."""

    def __init__(self, client: SalesforceClient, schema: OrgSchema, *, currency: str, instance: str) -> None:
        self._client = client
        self._schema = schema
        self._currency = currency
        self._instance = instance

    def pages(self, bookmark: Bookmark | None, *, full: bool, now: datetime) -> Iterator[Page]:
        """Every rate where one changed since `bookmark` (or `full`), a page a currency; nothing new: one without.

        Raises NotReadable where rates by day were read before and cannot be now.
        """
        has_dated = self._schema.can_read("DatedConversionRate")
        types = self._client.query_whole("SELECT Id, IsoCode, ConversionRate, SystemModstamp FROM CurrencyType")
        seen = {
            "types": sorted(f"{row.get('IsoCode')}={row.get('ConversionRate')}" for row in types),
            "dated": self._client.count("SELECT COUNT() FROM DatedConversionRate") if has_dated else 0,
            "currency": self._currency,
        }
        before = dict(bookmark or {})
        if before.get("dated") and not has_dated:
            self._schema.describe("DatedConversionRate")  # says why not: what is known by day is not to be flattened
        at = parse.format_instant(self._client.vendor_now(now))
        since = min(before["at"], at) if before.get("at") else None  # a place beyond the clock hides what changes
        is_same = not full and {key: before.get(key) for key in seen} == seen
        if is_same and since and not (has_dated and self._has_changed(since)):
            yield Page(bookmark={**seen, "at": at, "held": before.get("held") or 0})
            return
        rows = self._dated() if has_dated else []
        names = [str(row.get("IsoCode")) for row in types] + [f"{r.get('IsoCode')}:{r.get('StartDate')}" for r in rows]
        whole = Whole(bookmark, names)
        if whole.doubt:
            log.warning(
                "Salesforce's exchange rates: %s; left as they are", whole.doubt, extra={"action": "rates_doubt"}
            )
            yield Page(bookmark={**before, **whole.bookmark})  # the next reading tells
            return
        fixed = {str(row.get("IsoCode")): _rate(row) for row in types}
        ours = self._own_series(fixed, has_dated)  # empty: no rate towards it is known, and those we had are gone
        left, dated = dict(fixed), set[str]()
        for code, group in groupby(rows, key=lambda row: str(row.get("IsoCode"))):
            left.pop(code, None)
            dated.add(code)
            if code != self._currency:
                yield self._page(code, _series(group), ours)
        for code, rate in left.items():
            if code != self._currency:
                yield self._page(code, [(ALWAYS, rate)] if rate else [], ours)
        former = {str(one).partition("=")[0] for one in before.get("types") or ()}
        for code in sorted(
            {self._currency, *(former - left.keys() - dated)}
        ):  # ours: from when reports were in another one
            yield self._page(code, [], ours)
        yield Page(bookmark={**seen, "at": at, **whole.bookmark})

    def _dated(self) -> list[dict[str, Any]]:
        return self._client.query_whole(
            "SELECT Id, IsoCode, StartDate, ConversionRate FROM DatedConversionRate"
            " ORDER BY IsoCode ASC, StartDate ASC, Id ASC"
        )

    def _own_series(self, fixed: Mapping[str, float], has_dated: bool) -> Series:
        """What one unit of the corporate currency is in the agent's, by day; empty where the org does not know it."""
        if has_dated:
            code = parse.currency_code(self._currency)
            rows = self._client.query_whole(
                "SELECT Id, StartDate, ConversionRate FROM DatedConversionRate"
                f" WHERE IsoCode = '{code}' ORDER BY StartDate ASC, Id ASC"
            )
            if series := _series(rows):
                return series
        rate = fixed.get(self._currency)
        return [(ALWAYS, rate)] if rate else []

    def _has_changed(self, since: str) -> bool:
        """Whether a dated rate changed since then, or since so long before that it may have become visible late."""
        begin = parse.format_instant(parse.to_datetime(since) - self._client.limits.late)
        soql = f"SELECT COUNT() FROM DatedConversionRate WHERE SystemModstamp >= {begin}"
        return self._client.count(soql) > 0

    def _page(self, code: str, theirs: Series, ours: Series) -> Page:
        """The rates of one currency: on each day either side's rate changes, the quotient of both."""
        records: list[Record] = []
        days = sorted({day for day, _ in theirs} | {day for day, _ in ours if theirs and day > theirs[0][0]})
        for day in days:
            own, other = _at(ours, day), _at(theirs, day)
            if own and other:
                records.append(
                    {
                        "source_id": f"{code}:{day}",
                        "source_instance": self._instance,
                        "currency": code,
                        "valid_from": day,
                        "rate_to_reporting": own / other,
                    }
                )
        children = [Children("fx_rates", "currency", [code])]
        return Page({"fx_rates": records}, children=children, read=len(records))


def _series(rows: Any) -> Series:
    """(first day, rate) in order of days; the last one of a day counts."""
    found: dict[str, float] = {}
    for row in rows:
        if rate := _rate(row):
            day = str(row.get("StartDate") or ALWAYS)[:10]
            found[max(day, ALWAYS)] = rate
    return sorted(found.items())


def _rate(row: Mapping[str, Any]) -> float:
    """The rate, 0.0 for what is none."""
    try:
        rate = parse.number(row.get("ConversionRate"))
    except (TypeError, ValueError):
        return 0.0
    return rate if rate > 0 else 0.0


def _at(series: Series, day: str) -> float:
    """The rate valid on a day: the last that began by then; before the first one that one."""
    place = bisect_right(series, (day, float("inf")))
    return series[max(0, place - 1)][1] if series else 0.0

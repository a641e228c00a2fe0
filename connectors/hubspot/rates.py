"""Exchange rates of a portal as fx_rates: towards the agent's currency, from the day each is valid.

HubSpot keeps rates from each currency to the portal's own. Where the agent reports in another one, they are carried on
by what that one is worth on the day. A rate deleted there is only missing from the list, which is read
whole each time: what it does not hold is gone.
"""

import logging
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any

from connectors import parse
from connectors.base import Bookmark, Children, Page, Record, Reject
from connectors.errors import TransientError
from connectors.hubspot.answers import next_after, total_of
from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.portal import Portal
from connectors.whole import Whole

log = logging.getLogger(__name__)

#: currency -> day -> what one unit is worth in the portal's currency.
Rates = dict[str, dict[str, float]]


def rate_pages(
    client: HubSpotClient, portal: Portal, reporting: str, bookmark: Bookmark | None = None
) -> Iterator[Page]:
    """All rates, a small list that is read whole each time. `reporting`: amount * rate is in this currency.

    Where much is missing that was there at the last reading (`bookmark`; None: a person asked for everything), nothing
    is called gone until the next one says the same.
    """
    rejects: list[Reject] = []
    rates: Rates = {}
    stamps: dict[tuple[str, str], str] = {}
    local_day = parse.day_in_zone(portal.zone)
    read = 0
    for row in _rows(client):
        read += 1
        try:
            currency, rate = _towards(row, portal.currency)
            effective = parse.instant(row.get("effectiveAt") or row.get("createdAt"))
            day = local_day(effective)
        except (ValueError, TypeError, OverflowError) as error:
            rejects.append(Reject(f"fx_rates {row.get('id')}", str(error), str(row)[:200]))
            continue
        if effective >= stamps.get((currency, day), ""):  # two on one day: the later one is in force at its end
            stamps[currency, day] = effective
            rates.setdefault(currency, {})[day] = rate
    records = list(towards(rates, portal.currency, reporting, portal.instance))
    if rates and not records:
        log.warning(
            "HubSpot has no exchange rate for %s, the currency reports are in", reporting, extra={"action": "no_rate"}
        )
    names = (f"{currency}:{day}" for currency, own in rates.items() for day in own)
    whole = Whole(bookmark, names, may_go_on=read > 0 and read % client.limits.list_page == 0)
    if whole.doubt:
        log.warning(
            "HubSpot's exchange rates: %s; none is taken for gone yet", whole.doubt, extra={"action": "rates_doubt"}
        )
    # A rate that cannot be read is there all the same, and may be one we hold.
    is_all = not rejects and not whole.doubt
    everything = [Children("fx_rates", "source_instance", [portal.instance])] if is_all else []
    mark = {"objects": {}, **whole.bookmark}
    yield Page({"fx_rates": records}, rejects=rejects, children=everything, read=read, total=read, bookmark=mark)


def _rows(client: HubSpotClient) -> Iterator[Mapping[str, Any]]:
    seen: set[str] = set()
    mark: str | None = None
    given = 0
    while True:
        query = {"limit": client.limits.list_page} | ({"after": mark} if mark else {})
        document = client.results("currencies", "/exchange-rates", query)
        given += len(document["results"])
        yield from document["results"]
        mark = next_after(document)
        if mark is None:
            total = total_of(document)
            if total is not None and total > given:
                raise TransientError(f"HubSpot's list of exchange rates ended after {given} of {total}.")
            return
        if mark in seen:
            raise TransientError("HubSpot's pages of exchange rates lead in a circle.")
        seen.add(mark)


def _towards(row: Mapping[str, Any], portal_currency: str) -> tuple[str, float]:
    """The foreign currency of a row and what one unit of it is worth in the portal's. Raises ValueError."""
    source, target = parse.currency_code(row.get("fromCurrencyCode")), parse.currency_code(row.get("toCurrencyCode"))
    rate = parse.number(row.get("conversionRate"))
    if rate <= 0:
        raise ValueError("a rate that is not above zero")
    if target == portal_currency and source != portal_currency:
        return source, rate
    if source == portal_currency and target != portal_currency:
        return target, 1 / rate
    raise ValueError(f"a rate that has nothing to do with {portal_currency}")


def towards(rates: Rates, portal_currency: str, reporting: str, instance: str) -> Iterator[Record]:
    """One record a currency and day on which its worth in `reporting` changed."""
    if reporting == portal_currency:
        worth = rates
    else:
        base = rates.get(reporting, {})
        known = {**rates, portal_currency: dict.fromkeys(["1900-01-01"], 1.0)}
        worth = {
            currency: {
                day: rate / against
                for day in sorted({*own, *base})
                if (rate := _at(own, day)) is not None and (against := _at(base, day)) is not None
            }
            for currency, own in known.items()
            if currency != reporting
        }
    for currency, own in sorted(worth.items()):
        for day, rate in sorted(own.items()):
            yield {
                "source_id": f"{currency}:{day}",
                "source_instance": instance,
                "currency": currency,
                "valid_from": day,
                "rate_to_reporting": rate,
            }


def _at(rates: Mapping[str, float], day: str) -> float | None:
    """The rate in force on a day."""
    days = sorted(rates)
    place = bisect_right(days, day)
    return rates[days[place - 1]] if place else None

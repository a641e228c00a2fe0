"""Marketing mail's log as email_events: slices of time, oldest first, each read whole; nothing in it ever changes.

The log is asked for by time of event and answers newest first. An event may be written down late, so there are two
cursors as for objects: `ms` close behind, `far_ms` reads all once more when it is over an hour old.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from connectors import parse
from connectors.base import Bookmark, Page, Record, Reject
from connectors.errors import StreamError, TransientError
from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.fetch import Fetcher
from connectors.hubspot.portal import Portal
from connectors.hubspot.reader import in_time

log = logging.getLogger(__name__)

_DAY_MS = 86_400_000
_SLICE_MS = 7 * _DAY_MS
_LONGEST_SLICE_MS = 1_000 * _DAY_MS
_FIRST_MS = int(datetime(2006, 6, 1, tzinfo=UTC).timestamp() * 1000)  # HubSpot's own beginning
_MOST_ADDRESSES = 50_000

_KINDS: Mapping[str, str] = {
    "SENT": "sent",
    "DELIVERED": "delivered",
    "BOUNCE": "bounce",
    "OPEN": "open",
    "CLICK": "click",
    "SPAMREPORT": "spam",
}


class MailLog:
    """The log of one portal, read from one thread."""

    def __init__(self, client: HubSpotClient, fetcher: Fetcher, portal: Portal, start: date | None) -> None:
        self._client = client
        self._limits = client.limits
        self._fetcher = fetcher
        self._portal = portal
        self._start_ms = _FIRST_MS if start is None else max(_FIRST_MS, _ms_of(start))
        self._contacts: OrderedDict[str, str | None] = OrderedDict()  # address -> contact's id
        self._can_read_contacts = True

    def pages(self, bookmark: Bookmark | None, *, since: date | None, now: datetime) -> Iterator[Page]:
        """What is new since the bookmark; see `base.Connector`."""
        now_ms = self._client.now_ms(now)
        mark = in_time(bookmark or {}, now_ms, self._limits.lag_ms)
        ms = int(mark.get("ms") or self._start_ms)
        far_ms = int(mark.get("far_ms") or ms)
        begin = max(ms - (self._limits.lookback_ms if mark.get("done") else 0), self._start_ms)
        if since is not None:
            begin = min(begin, max(_ms_of(since), self._start_ms))
        settled_ms = now_ms - self._limits.lag_ms
        if begin <= settled_ms:
            begin = min(begin, far_ms)
        elif far_ms < settled_ms:
            for end, events, is_last in self._slices(far_ms, settled_ms):
                page = self._page(events)
                yield page if not is_last else _with(page, mark | {"far_ms": end})
                mark |= {"far_ms": end} if is_last else {}
            far_ms = settled_ms
        for end, events, is_last in self._slices(begin, now_ms + 1):
            if is_last:
                mark |= {"ms": end, "far_ms": max(far_ms, min(end, settled_ms)), "done": end > now_ms}
            yield _with(self._page(events), mark) if is_last else self._page(events)

    def _slices(self, begin: int, end: int) -> Iterator[tuple[int, list[dict[str, Any]], bool]]:
        """Events of [begin, end), slice by slice: (the slice's end, a page of its events, whether it is the last)."""
        width = _SLICE_MS
        while begin < end:
            upto = min(begin + width, end)
            pages = self._slice(begin, upto)
            events, is_last = next(pages)
            if not is_last and upto - begin > _DAY_MS:  # too much for one go: each slice is a place to go on from
                width = max((upto - begin) // 4, _DAY_MS)
                continue
            read = len(events)
            yield upto, events, is_last
            for events, is_last in pages:
                read += len(events)
                yield upto, events, is_last
            width = min(width * 2, _LONGEST_SLICE_MS) if read < self._limits.mail_page else _SLICE_MS
            begin = upto

    def _slice(self, begin: int, end: int) -> Iterator[tuple[list[dict[str, Any]], bool]]:
        query: dict[str, Any] = {"startTimestamp": begin, "endTimestamp": end, "limit": self._limits.mail_page}
        seen: set[str] = set()
        while True:
            document = self._client.mail_events(query)
            offset = str(document.get("offset") or "")
            has_more = document.get("hasMore") is True
            yield document["events"], not has_more
            if not has_more:
                return
            if not offset or offset in seen:
                raise TransientError("HubSpot's pages of mail events lead in a circle.")
            seen.add(offset)
            query["offset"] = offset

    def _page(self, events: Sequence[Mapping[str, Any]]) -> Page:
        records: list[Record] = []
        rejects: list[Reject] = []
        kept = [(event, kind) for event in events if (kind := kind_of(event)) is not None]
        contacts = self._ids_of({parse.email(event.get("recipient") or "") or "" for event, _ in kept} - {""})
        instance = self._portal.instance
        for event, kind in kept:
            event_id = str(event.get("id") or "")
            try:
                occurred_at = parse.instant(event.get("created"))
            except (ValueError, OverflowError) as error:
                rejects.append(Reject(f"email_events {event_id}", f"created: {error}", str(event)[:200]))
                continue
            if not event_id:
                rejects.append(Reject("email_events", "an event without an id", str(event)[:200]))
                continue
            sent_by = event.get("sentBy")
            send_id = sent_by.get("id") if isinstance(sent_by, Mapping) else None
            campaign = event.get("emailCampaignId")
            record: Record = {
                "source_id": event_id,
                "source_instance": instance,
                "created_at": occurred_at,
                "campaign_id": str(campaign) if campaign not in (None, "") else None,
                "send_id": event_id if kind == "sent" else str(send_id) if send_id else None,
                "type": kind,
                "occurred_at": occurred_at,
                "is_filtered": int(event.get("filteredEvent") is True),
                "link_kind": link_kind(event.get("url")) if kind == "click" else None,
            }
            if self._can_read_contacts:
                record["contact_id"] = contacts.get(parse.email(event.get("recipient") or "") or "")
            records.append(record)
        return Page({"email_events": records}, rejects=rejects, read=len(events))

    def _ids_of(self, addresses: set[str]) -> Mapping[str, str | None]:
        """The contact behind each address, None where there is none."""
        unknown = sorted(addresses - self._contacts.keys())
        if unknown and self._can_read_contacts:
            size = self._limits.batch
            parts = [unknown[at : at + size] for at in range(0, len(unknown), size)]
            try:
                answers = self._fetcher.each(self._look_up, parts)
            except StreamError as error:
                log.warning("contacts of mail events: %s", error, extra={"action": "object_skipped"})
                self._can_read_contacts = False
                self._portal.doubt("contacts")
                return {}
            self._contacts |= dict.fromkeys(unknown)
            for found in answers:
                self._contacts |= found
        known = {one: self._contacts.get(one) for one in addresses}
        while len(self._contacts) > _MOST_ADDRESSES:
            self._contacts.popitem(last=False)
        return known

    def _look_up(self, addresses: Sequence[str]) -> dict[str, str | None]:
        asked = set(addresses)
        names = ["email", "hs_additional_emails"]
        found: dict[str, str | None] = {}
        objects, _ = self._client.batch("contacts", addresses, {"idProperty": "email", "properties": names})
        for one in objects:
            properties = one.get("properties")
            given = properties if isinstance(properties, Mapping) else {}
            own = f"{given.get('email') or ''};{given.get('hs_additional_emails') or ''}".split(";")
            found |= {text: str(one["id"]) for word in own if (text := word.strip().lower()) in asked}
        return found


def kind_of(event: Mapping[str, Any]) -> str | None:
    """Our word for an event's type; None for those that tell a reader nothing (processed, deferred, dropped …)."""
    kind = str(event.get("type") or "").upper()
    if kind != "STATUSCHANGE":
        return _KINDS.get(kind)
    statuses = [event.get("portalSubscriptionStatus")]
    subscriptions = event.get("subscriptions")
    for one in subscriptions if isinstance(subscriptions, list) else ():
        statuses.append(one.get("status") if isinstance(one, Mapping) else None)
    return "unsubscribe" if "UNSUBSCRIBED" in [str(status).upper() for status in statuses] else None


def link_kind(url: Any) -> str:
    """What a click went to: content, the unsubscribe link, or the page of preferences."""
    text = str(url or "").lower()
    if "unsubscribe-all" in text:
        return "unsubscribe"
    if "manage-preferences" in text:  # HubSpot's page of preferences is …/hs/manage-preferences/unsubscribe
        return "preferences"
    if "unsubscribe" in text or "optout" in text or "opt-out" in text:
        return "unsubscribe"
    return "preferences" if "preference" in text or "subscription" in text else "content"


def _with(page: Page, bookmark: Bookmark) -> Page:
    return Page(page.records, rejects=page.rejects, read=page.read, bookmark=dict(bookmark))


def _ms_of(day: date) -> int:
    return (day - date(1970, 1, 1)) // timedelta(milliseconds=1)

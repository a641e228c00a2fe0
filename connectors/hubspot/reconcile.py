"""Looks at what no change mark shows: every live record of a stream, or some of them by id.

Records gone without a trace, values HubSpot works out anew, associations that came and went: none of them moves a
record's last change.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from connectors import parse
from connectors.base import Bookmark, Merge, Page, Tombstone
from connectors.errors import StreamError
from connectors.hubspot.answers import is_archived
from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.fetch import Fetcher, merged_ids
from connectors.hubspot.listing import BLOCK, Listing
from connectors.hubspot.pages import Mapper
from connectors.hubspot.reader import counted

log = logging.getLogger(__name__)


def reconcile(
    client: HubSpotClient, fetcher: Fetcher, mappers: Sequence[Mapper], bookmark: Bookmark | None, now: datetime
) -> Iterator[Page]:
    """Every live record of these types as it is now, without its history."""
    marks: dict[str, Any] = dict((bookmark or {}).get("objects") or {})
    open_kinds = [mapper for mapper in mappers if not marks.get(mapper.kind.name, {}).get("done")]
    counts = {mapper.kind.name: counted(client, mapper.kind) for mapper in open_kinds}
    totals = [there for there, _ in counts.values() if there is not None]
    for mapper in open_kinds:
        name = mapper.kind.name
        mapper.known.now = parse.from_ms(client.now_ms(now))
        there, top = counts[name]
        listing = Listing(fetcher, name, mapper.ask_page, mapper.from_list, total=there, top=top)
        for page, size, position in listing.blocks(marks.get(name)):
            marks[name] = {"done": True} if position is None else position
            copied = {"objects": {one: dict(mark) for one, mark in marks.items()}}
            yield replace(page, read=size, total=sum(totals) if totals else None, bookmark=copied)


def read_ids(
    client: HubSpotClient,
    fetcher: Fetcher,
    mappers: Sequence[Mapper],
    ids: Sequence[str],
    now: datetime,
    *,
    is_whole: bool,
) -> Iterator[Page]:
    """These records as they are now. `is_whole`: all types the ids may belong to can be read; where they cannot,
    nothing is said of an id that no readable type knows.
    """
    for mapper in mappers:
        mapper.known.now = parse.from_ms(client.now_ms(now))
    for at in range(0, len(ids), BLOCK):
        yield from _read_some(fetcher, mappers, ids[at : at + BLOCK], is_whole=is_whole)


def _read_some(fetcher: Fetcher, mappers: Sequence[Mapper], ids: Sequence[str], *, is_whole: bool) -> Iterator[Page]:
    left = [one for one in dict.fromkeys(ids) if one.isdigit()]
    never = [one for one in dict.fromkeys(ids) if not one.isdigit()]  # no id of HubSpot's: nothing is there
    table = mappers[0].kind.table if mappers else ""
    for mapper in mappers:
        if not left:
            break
        try:
            page, found = mapper.read(left)
        except StreamError as error:
            log.warning("%s: %s", mapper.kind.name, error, extra={"action": "object_skipped"})
            is_whole = False
            continue
        told = {str(one["id"]) for one in found.objects} | found.merged.keys()
        for one in found.objects:
            told |= merged_ids(one)
        left = [one for one in left if one not in told]
        merged = (Merge(table, loser, into) for loser, into in sorted(found.merged.items()))
        merges = list(dict.fromkeys((*page.merges, *merged)))
        if found.objects or merges:
            yield replace(page, merges=merges, read=len(found.objects))
    tombstones: list[Tombstone] = []
    for mapper in mappers:
        if not left:
            break
        try:
            archived = fetcher.read(mapper.kind.name, left, ("hs_object_id",), archived=True).objects
        except StreamError:
            continue  # this type has no archived objects to ask for
        dates = {str(one["id"]): parse.instant_or_none(one.get("archivedAt")) for one in archived if is_archived(one)}
        tombstones += [Tombstone(table, one, dates[one]) for one in left if one in dates]
        left = [one for one in left if one not in dates]
    if is_whole:
        tombstones += [Tombstone(table, one) for one in (*left, *never)]
    if tombstones:
        yield Page(tombstones=tombstones, read=len(tombstones))

"""A campaign's mail to one recipient: when it was sent, arrived or came back, was opened and clicked."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from scorecards.facts.fact import LIVE, Book, Fact, Row, epoch, table

_EVENTS = f"""
    SELECT w.id, e.source_name, e.id, e.type, e.occurred_at, e.is_filtered, e.link_kind, e.campaign_id,
           COALESCE(al.canonical, e.contact_id)
    FROM temp.wanted w CROSS JOIN email_events e ON e.send_id = w.id
    LEFT JOIN aliases al ON al.id = e.contact_id
    WHERE {LIVE.format("e")} AND e.occurred_at IS NOT NULL
    ORDER BY w.id, e.source_name, e.occurred_at, e.id
"""


def _sends(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    for (send, _), group in groupby(rows, itemgetter(0, 1)):
        yield _send(send, list(group))


def _send(send: str, events: list[Row]) -> Row:
    first: dict[str, int] = {}
    for _, _, _, kind, at, is_filtered, _, _, _ in events:
        if not (is_filtered and kind in ("open", "click")):  # a machine looked at it
            first.setdefault(kind, epoch(at) or 0)
    delivered = first.get("delivered")
    clicks = (
        epoch(at)
        for _, _, _, kind, at, is_filtered, link, _, _ in events
        if kind == "click" and not is_filtered and link == "content"
    )
    clicked = next((at for at in clicks if at is not None and (delivered is None or at >= delivered)), None)
    began = min(epoch(row[4]) or 0 for row in events)
    campaign = next((row[7] for row in events if row[7] is not None), None)
    contact = next((row[8] for row in events if row[8] is not None), None)
    return (send, events[0][2], campaign, contact, first.get("sent", began), delivered, first.get("bounce"),
            first.get("open"), clicked)  # fmt: skip


_COLUMNS = (
    "send_id", "id", "campaign_id", "contact_id", "sent_at", "delivered_at", "bounced_at", "opened_at", "clicked_at",
)  # fmt: skip


FACT = Fact(
    kind="campaign_sends",
    name="fact_campaign_sends",
    columns=_COLUMNS,
    ddl=(
        *table(
            "fact_campaign_sends",
            _COLUMNS,
            "(send_id)",
            "(sent_at, delivered_at, bounced_at, id)",
            "(delivered_at, clicked_at, opened_at, id)",
        ),
        "CREATE INDEX IF NOT EXISTS email_events_by_send ON email_events(send_id) WHERE send_id IS NOT NULL",
    ),
    read=_EVENTS,
    derive=_sends,
    unit="send_id",
    follows={"email_events": ("send_id",)},
    anchors=("sent_at", "delivered_at"),
)

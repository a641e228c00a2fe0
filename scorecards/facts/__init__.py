"""What follows from the canonical rows, settled once per record: the fact tables KPIs are counted over.

A deal, lead or ticket has one row per *version*: what was known of it from `known_from` (an instant the event
lies at, exclusive) to `known_to` (inclusive; FOREVER for the newest). Whatever as_of a KPI is asked for, one
version of each record satisfies `known_from < as_of <= known_to`, so history is replayed by a comparison.
Instants are epoch seconds here, dates text. Only live rows are here (docs/definitions.md G3): not deleted, merged,
a duplicate of the other CRM's, or a test.

Each module here says which rows to read and what follows from them; `syncagent.facts` runs it when rows changed.
"""

from collections.abc import Iterable, Mapping

from scorecards.facts import (
    activities,
    approaches,
    contacts,
    deals,
    doubles,
    engagements,
    invoices,
    leads,
    mails,
    record_keys,
    seen_to,
    sends,
    spans,
    tickets,
    touches,
)
from scorecards.facts.fact import BORN, ITS_IDS, LIVE, Book, Fact, epoch


def in_order(facts: Iterable[Fact]) -> dict[str, Fact]:
    """Facts by kind, in the order they are derived. ImportError where one feeds a fact that is not after it."""
    found: dict[str, Fact] = {}
    for fact in facts:
        if fact.kind in found:
            raise ImportError(f"two facts are called {fact.kind!r}")
        found[fact.kind] = fact
    kinds = list(found)
    for place, fact in enumerate(found.values()):
        if not fact.fed <= set(kinds[place + 1 :]):
            raise ImportError(f"{fact.kind} feeds {', '.join(sorted(fact.fed))}, which must be derived after it")
    return found


#: Every fact by the relation it stands behind, in the order in which they are derived.
FACTS: Mapping[str, Fact] = in_order(
    (
        deals.FACT,
        deals.COPIES,
        activities.FACT,
        activities.COPIES,
        touches.FACT,
        leads.FACT,
        tickets.FACT,
        approaches.FACT,
        mails.THREADS,
        mails.FACT,
        engagements.FACT,
        sends.FACT,
        invoices.FACT,
        spans.FACT,
        contacts.FACT,
        seen_to.FACT,
        record_keys.FACT,
        doubles.FACT,
    )
)

__all__ = ["BORN", "FACTS", "ITS_IDS", "LIVE", "Book", "Fact", "epoch", "in_order"]

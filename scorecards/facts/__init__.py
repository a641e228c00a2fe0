"""What follows from the canonical rows, settled once per record: the fact tables KPIs are counted over.

A deal, lead or ticket has one row per *version*: what was known of it from `known_from` (an instant the event
lies at, exclusive) to `known_to` (inclusive; FOREVER for the newest). Whatever as_of a KPI is asked for, one
version of each record satisfies `known_from < as_of <= known_to`, so history is replayed by a comparison.
Instants are epoch seconds here, dates text. Only live rows are here (docs/definitions.md G3): not deleted, merged,
a duplicate of the other CRM's, or a test.

Each module here says which rows to read and what follows from them; `syncagent.facts` runs it when rows changed.
"""

from collections.abc import Mapping

from scorecards.facts import activities, deals, leads, tickets
from scorecards.facts.activities import BORROWED_ACCOUNTS
from scorecards.facts.fact import LIVE, Day, Fact, epoch

#: Every fact by the relation it stands behind, in the order in which they are derived.
FACTS: Mapping[str, Fact] = {
    "opportunities": deals.FACT,
    "tickets": tickets.FACT,
    "leads": leads.FACT,
    "activities": activities.FACT,
}

__all__ = ["BORROWED_ACCOUNTS", "FACTS", "LIVE", "Day", "Fact", "epoch"]

"""What a case is owed by its entitlement, as Salesforce rows: milestones with a stamp of their own."""

from collections.abc import Iterator
from typing import Any

from syncagent.sandbox.clock import sf_instant
from syncagent.sandbox.model import Ticket
from syncagent.sandbox.salesforce.commerce import native
from syncagent.sandbox.salesforce.fixed import MILESTONES

Row = dict[str, Any]

_MINUTES = {"First Response": 240, "Resolution Time": 2880}


def milestone_rows(ticket: Ticket, base: Row) -> Iterator[tuple[str, Row]]:
    """The milestones of a case: its first response, and the solution. They go and come back with their case.

    `base` holds the case's own stamps: completing a milestone moves none of them.
    """
    if ticket.milestone is None or ticket.sf is None:
        return
    closed = ticket.history[-1].at if ticket.status == "closed" else None
    kinds = (("First Response", "555", ticket.milestone.completed), ("Resolution Time", "55a", closed))
    for name, prefix, completed in kinds:
        target = ticket.created + _MINUTES[name] * 60
        row = base | {
            "Id": native(ticket.sf, prefix),
            "CaseId": ticket.sf,
            "MilestoneTypeId": MILESTONES[name],
            "StartDate": sf_instant(ticket.created),
            "TargetDate": sf_instant(target),
            "CompletionDate": None if completed is None else sf_instant(completed),
            "IsCompleted": completed is not None,
            "IsViolated": completed is not None and completed > target,
            "TargetResponseInMins": _MINUTES[name],
        }
        if prefix == "555" and not base["IsDeleted"]:
            row["SystemModstamp"] = row["LastModifiedDate"] = sf_instant(ticket.milestone.at)
        yield "CaseMilestone", row

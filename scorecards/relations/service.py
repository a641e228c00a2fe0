"""Tickets, and what customers answer when asked."""

from collections.abc import Mapping

from scorecards.aliases import filed_under, standing
from scorecards.facts import LIVE
from scorecards.relations import quality
from scorecards.relations.belongs import ASKED
from scorecards.relations.column import (
    OWNER,
    TEAM_OF_TICKET,
    Column,
    Options,
    Relation,
    Spec,
    bit,
    epoch,
    flag,
)

#: Whose what customers are asked is, beside the ticket, contact and account it names.
_ASKED_OF = {"owner_id": "users"}
_ANSWERED = "(f.score IS NOT NULL AND f.scale_max > COALESCE(f.scale_min, 0))"

#: An answer to an invitation: same survey, ticket and contact, given since it was sent; an empty one is none.
_AN_ANSWER = (
    "SELECT MIN(r.responded_at) FROM survey_responses r WHERE {0} AND r.survey_type = f.survey_type"
    f" AND r.score IS NOT NULL AND {LIVE.format('r')}"
    " AND r.responded_at >= f.sent_at AND r.responded_at < stamp(:as_of)"
)
_ANSWERED_AT = (
    "(CASE WHEN f.ticket_id IS NOT NULL THEN ("
    + _AN_ANSWER.format(
        f"r.ticket_id IN {filed_under('f.ticket_id')} AND {standing('r.contact_id')} IS {standing('f.contact_id')}"
    )
    + ") WHEN f.contact_id IS NOT NULL THEN ("
    + _AN_ANSWER.format(f"r.contact_id IN {filed_under('f.contact_id')} AND r.ticket_id IS NULL")
    + ") END)"
)
#: The first time a person of ours got in touch with the contact after the answer, or the CRM says somebody did.
_FOLLOWED_AT = (
    "(SELECT MIN(at) FROM (SELECT MIN(t.occurred_at) AS at FROM fact_touches t"
    f" WHERE t.party_id = {standing('f.contact_id')} AND t.is_outreach = 1 AND t.occurred_at > epoch(f.responded_at)"
    " UNION ALL SELECT epoch(f.followed_up_at) WHERE f.followed_up_at >= f.responded_at))"
)
#: How long the ticket answered for waited for us, where it got a first response.
_TICKET_WAITED = (
    f"(SELECT {{0}} FROM fact_tickets t WHERE t.id = {standing('f.ticket_id')} AND t.known_from < :as_of"
    " AND t.known_to >= :as_of AND t.first_response_at >= t.created_at AND t.first_response_at < :as_of)"
)
#: Whom a ticket without an account is for: its contact's account, else its contact.
_OF_CONTACT = (
    f"(SELECT COALESCE((SELECT {standing('c.account_id')} FROM contacts c WHERE c.id = {standing('k.contact_id')}),"
    f" {standing('k.contact_id')}) FROM tickets k WHERE k.id = t.id)"
)
#: A ticket on the day of its first close and a call on its own, each with when it came and the customer it was for.
_HANDLED = f"""(
    SELECT t.id, t.first_closed_at AS handled_at, t.created_at AS arrived_at, 'ticket' AS kind, t.owner_id,
           COALESCE(t.account_id, {_OF_CONTACT}) AS customer
    FROM fact_tickets t WHERE t.known_from < :as_of AND t.known_to >= :as_of
    UNION ALL
    SELECT a.id, a.occurred_at, a.occurred_at, 'call', a.owner_id, COALESCE(a.account_id, a.contact_id)
    FROM fact_activities a WHERE a.type = 'call' AND a.status = 'completed' AND COALESCE(a.connected, 1) = 1)"""

#: How old an open ticket is, in whole days.
_DAYS_OPEN = "(s.at - f.created_at) / 86400"
_AGE_BAND = (
    f"(CASE WHEN f.created_at IS NULL OR f.is_closed = 1 THEN NULL WHEN {_DAYS_OPEN} <= 2 THEN '0-2 days'"
    f" WHEN {_DAYS_OPEN} <= 7 THEN '3-7 days' WHEN {_DAYS_OPEN} <= 30 THEN '8-30 days' ELSE 'over 30 days' END)"
)


def _handled(options: Options) -> Relation:
    own = {name: Column(f"f.{name}", "text") for name in ("id", "kind", "customer")}
    own["owner_id"] = OWNER
    own["handled_at"] = epoch("handled_at")
    own["arrived_at"] = epoch("arrived_at")
    own["handled_date"] = Column("local_day(f.handled_at)", "date")
    return Relation(
        "handled",
        _HANDLED,
        own=own,
        anchor="handled_at",
        needs_table="tickets",
        or_table="activities",
        ahead="f.kind = 'ticket'",  # it has come, though its close lies ahead
    )


SPECS: Mapping[str, Spec] = {
    "tickets": Spec(
        own={
            **quality.TICKETS,
            "id": Column("f.id", "text"),
            "created_at": epoch("created_at"),
            "status_category": Column("f.status_category", "text"),
            "is_closed": bit("is_closed"),
            "first_closed_at": epoch("first_closed_at"),
            "last_closed_at": epoch("last_closed_at"),
            "first_reopened_at": epoch("first_reopened_at"),
            "reopen_count": Column("f.reopen_count", "integer"),
            "first_response_at": epoch("first_response_at", masked=True),
            "close_reason": Column("f.close_reason", "text"),
            "priority": Column("f.priority", "text"),
            "category": Column("f.category", "text"),
            "owner_id": OWNER,
            "account_id": Column("f.account_id", "text"),
            "has_history": bit("has_history"),
            "age_band": Column(_AGE_BAND, "text"),
            "is_invited": flag("f.first_invited_at < :as_of"),
            "first_call_at": epoch("first_call_at", masked=True),
            "first_escalated_at": epoch("first_escalated_at", masked=True),
            "escalation_is_dated": bit("escalation_is_dated"),
        },
        anchor="created_at",
        states=("open", "pending", "closed"),
        current={"is_closed": flag("f.status_category = 'closed'")},
    ),
    "survey_responses": Spec(
        own={
            **ASKED,
            "has_comment": flag("trim(COALESCE(f.comment, '')) <> ''"),
            # Promoters less detractors is the mean of these; on the usual scale of 0 to 10.
            "nps_points": Column(
                "(CASE WHEN f.score >= 9 THEN 100 WHEN f.score <= 6 THEN -100 WHEN f.score IS NOT NULL THEN 0 END)",
                "number",
            ),
            "score_proportional": Column(f"(CASE WHEN {_ANSWERED} THEN f.score * 1.0 / f.scale_max END)", "number"),
            "score_min_max": Column(
                f"(CASE WHEN {_ANSWERED} THEN (f.score - COALESCE(f.scale_min, 0)) * 1.0"
                " / (f.scale_max - COALESCE(f.scale_min, 0)) END)",
                "number",
            ),
            "followed_at": Column(_FOLLOWED_AT, "instant", epoch=True),
            "ticket_response_s": Column(_TICKET_WAITED.format("t.first_response_at - t.created_at"), "integer"),
            "ticket_response_business_s": Column(
                _TICKET_WAITED.format(f"business_seconds(t.created_at, t.first_response_at, {TEAM_OF_TICKET})"),
                "integer",
            ),
        },
        anchor="responded_at",
        refers=_ASKED_OF,
        led=("ticket", "contact", "account"),
    ),
    "handled": Spec(made=_handled, behind="tickets"),
    "survey_invitations": Spec(
        own={**ASKED, "answered_at": Column(_ANSWERED_AT, "instant")},
        anchor="sent_at",
        refers=_ASKED_OF,
        led=("ticket", "contact", "account"),
    ),
}

"""Calls, mails and meetings, the people they were with and the accounts they keep warm."""

from collections.abc import Mapping

from scorecards.aliases import standing
from scorecards.facts import BORN, ITS_IDS
from scorecards.relations import quality
from scorecards.relations.belongs import account_of_contact
from scorecards.relations.bought import new_or_returning
from scorecards.relations.column import OWNER, Column, Relation, Spec, bit, epoch, flag


def _text(*names: str) -> dict[str, Column]:
    return {name: Column(f"f.{name}", "text") for name in names}


def _party(table: str) -> Column:
    """The party of a row where it is one of a table's."""
    return Column(f"(CASE WHEN f.object = '{table}' THEN f.party_id END)", "text")


_PARTY = {"account_id": _party("accounts"), "contact_id": _party("contacts"), "lead_id": _party("leads")}


def _of_lead(lead: str) -> str:
    """The account (SQL) a lead, itself SQL, became one of."""
    return f"(SELECT {standing('l.converted_account_id')} FROM leads l WHERE l.id = {lead})"


#: The account of a person reached, else the one the activity belongs to.
_OF_PERSON = (
    f"COALESCE({account_of_contact('f.person_id')}, {_of_lead('f.person_id')},"
    " (SELECT a.account_id FROM fact_activities a WHERE a.id = f.id))"
)
#: A lead that belongs to no account has bought nothing yet.
_NEW_LEAD = "(SELECT 'new' FROM leads l WHERE l.id = {})"


def _whose(account: str, occurred: str, otherwise: str = "NULL") -> dict[str, Column]:
    """The account (SQL) of a row, and whether it had bought before an instant of it (SQL)."""
    return {
        "account_id": Column(account, "text"),
        "new_or_returning": new_or_returning(account, f"local_day({occurred})", otherwise),
    }


def _last(parties: str, kind: str) -> str:
    """When one of some parties (SQL) was last touched in a way, before the slice's instant: a look into an index."""
    return (
        f"(SELECT MAX(t.occurred_at) FROM fact_touches t WHERE t.party_id = {parties} AND t.{kind} = 1"
        " AND t.occurred_at < s.at)"
    )


_TOUCHED = _last("f.id", "is_touch")
_HAS_OPEN_DEAL = (
    "EXISTS (SELECT 1 FROM fact_opportunities o WHERE o.account_id = f.id AND o.is_open = 1"
    " AND o.known_from < s.at AND o.known_to >= s.at)"
)
#: We last got in touch over a deal, or with its account.
LAST_OUTBOUND = (
    f"(SELECT MAX(at) FROM (SELECT {_last('f.id', 'is_outreach')} AS at"
    f" UNION ALL SELECT {_last('f.account_id', 'is_outreach')}))"
)
_PER_DAY = "86400.0"
_REACHED = _last("f.id", "is_outreach")
#: The first call of ours to who had called in vain.
_CALLED_BACK = (
    "(SELECT MIN(t.occurred_at) FROM fact_touches t WHERE t.party_id = COALESCE(f.person_id, f.account_id)"
    " AND t.type = 'call' AND t.is_outreach = 1 AND t.occurred_at > f.occurred_at AND t.occurred_at < :as_of)"
)

_TOUCHES = Relation(
    "touches",
    "fact_touches",
    live="f.object <> 'tickets'",
    base="activities",
    own={
        **_text("id", "type", "direction", "object", "party_id", "thread_id"),
        **_PARTY,
        "opportunity_id": _party("opportunities"),
        "created_at": epoch("created_at"),
        "occurred_at": epoch("occurred_at"),
        "is_touch": bit("is_touch"),
        "is_outreach": bit("is_outreach"),
        "is_answer": bit("is_inbound"),
    },
    anchor="occurred_at",
    needs_table="activities",
)
_APPROACHES = Relation(
    "approaches",
    "fact_approaches",
    base="activities",
    own={
        **_text("id", "person_id", "channel"),
        **_whose(_OF_PERSON, "f.occurred_at", _NEW_LEAD.format("f.person_id")),
        "occurred_at": epoch("occurred_at"),
        # Never heard of before: quiet for longer than anybody asks.
        "quiet_days": Column(f"(COALESCE(f.quiet_s, 1e12) / {_PER_DAY})", "number"),
        "replied_at": epoch("replied_at", masked=True),
        "is_connected": bit("is_connected"),
    },
    anchor="occurred_at",
    needs_table="activities",
    party="person_id",
)
#: Of a mail to several people the first who answers counts.
_ANSWERED = (
    "(CASE WHEN f.is_alone = 1 THEN f.answered_at"
    " ELSE (SELECT MIN(o.answered_at) FROM fact_sent_mails o WHERE o.id = f.id) END)"
)
_SENT_MAILS = Relation(
    "sent_mails",
    "fact_sent_mails",
    live="f.is_main = 1",
    base="activities",
    own={
        **_text("id", "thread_id"),
        **_whose(_OF_PERSON, "f.occurred_at", _NEW_LEAD.format("f.person_id")),
        "person_id": Column("(CASE WHEN f.object <> 'nobody' THEN f.person_id END)", "text"),
        "occurred_at": epoch("occurred_at"),
        "answered_at": Column(_ANSWERED, "instant", epoch=True, masked=True),
        "answer_days": Column(
            f"(CASE WHEN {_ANSWERED} < :as_of THEN ({_ANSWERED} - f.occurred_at) / {_PER_DAY} END)", "number"
        ),
    },
    anchor="occurred_at",
    needs_table="activities",
)
_ENGAGEMENTS = Relation(
    "engagements",
    "fact_engagements",
    base="activities",
    own={
        **_text("id", "party_id", "object", "channel"),
        **_PARTY,
        "new_or_returning": new_or_returning(
            f"COALESCE({_PARTY['account_id'].sql}, {account_of_contact('f.party_id')}, {_of_lead('f.party_id')})",
            "local_day(f.started_at)",
            _NEW_LEAD.format("f.party_id"),
        ),
        "started_at": epoch("started_at"),
        "ended_at": epoch("ended_at"),
        "actions": Column("f.actions", "integer"),
        "gap_days": Column("f.gap_days", "integer"),
    },
    anchor="started_at",
    needs_table="activities",
    party="party_id",
)
_CAMPAIGN_SENDS = Relation(
    "campaign_sends",
    "fact_campaign_sends",
    base="email_events",
    own={
        **_text("id", "send_id", "campaign_id", "contact_id"),
        **_whose(account_of_contact("f.contact_id"), "COALESCE(f.sent_at, f.delivered_at)"),
        "sent_at": epoch("sent_at"),
        **{name: epoch(name, masked=True) for name in ("delivered_at", "bounced_at", "opened_at", "clicked_at")},
        "click_days": Column(
            f"(CASE WHEN f.clicked_at < :as_of THEN (f.clicked_at - f.delivered_at) / {_PER_DAY} END)", "number"
        ),
    },
    anchor="sent_at",
    needs_table="email_events",
)

#: We have seen them inactive, and not from the start: of who was gone when we came nobody knows when they left.
_LEFT_AT = "(CASE WHEN f.first_seen_inactive_at <> f.first_seen_at THEN f.first_seen_inactive_at END)"

_ACTIVITY = {
    **_text("id", "type", "direction", "status", "lead_id", "contact_id", "account_id"),
    **_text("opportunity_id", "ticket_id", "person_id", "thread_id"),
    "new_or_returning": new_or_returning(
        f"COALESCE(f.account_id, {_of_lead('f.lead_id')})",
        "local_day(f.occurred_at)",
        _NEW_LEAD.format("f.lead_id"),
    ),
    "owner_id": OWNER,
    **{name: epoch(name) for name in ("created_at", "occurred_at", "due_at", "completed_at")},
    "duration_s": Column("f.duration_s", "integer"),
    "is_touch": bit("is_touch"),
    "is_automated": bit("is_automated"),
    "is_public": bit("is_public"),
    "bounced": bit("bounced"),
    "connected": Column("f.connected", "boolean"),
    "is_human": bit("is_human"),
    # We reached out, whether it arrived or not; a task or a note is nobody's contact.
    "is_outreach": bit("is_outreach"),
    "called_back_at": Column(_CALLED_BACK, "instant", epoch=True),
    "is_handled_call": flag("f.type = 'call' AND f.status = 'completed' AND COALESCE(f.connected, 1) = 1"),
    # A call of no length was not measured.
    "call_s": Column("NULLIF(f.duration_s, 0)", "integer"),
    "wrap_s": Column("f.wrap_s", "integer"),
    "handle_s": Column("(NULLIF(f.duration_s, 0) + COALESCE(f.wrap_s, 0))", "integer"),
}
#: Of a plan nobody knows yet whether it will be.
_AHEAD = "COALESCE(f.status, '') <> 'completed'"
#: Rows another CRM's row counts for, each as it is in its own CRM.
_COPIES = Relation(
    "activity_copies",
    "fact_activity_copies",
    base="activities",
    own=_ACTIVITY,
    anchor="occurred_at",
    needs_table="activities",
    ahead=_AHEAD,
)

SPECS: Mapping[str, Spec] = {
    "activities": Spec(own=_ACTIVITY, anchor="occurred_at", ahead=_AHEAD),
    "activity_copies": Spec(made=lambda _: _COPIES, behind="activities"),
    "accounts": Spec(
        own={
            **quality.ACCOUNTS,
            "last_touch_at": Column(_TOUCHED, "instant", epoch=True),
            "has_open_opportunity": flag(_HAS_OPEN_DEAL),
            "last_outreach_at": Column(_REACHED, "instant", epoch=True),
            "days_since_outreach": Column(f"((s.at - COALESCE({_REACHED}, epoch(f.created_at))) / 86400)", "integer"),
            "is_partner": flag(
                "f.kind = 'partner' OR f.id IN (SELECT o.partner_account_id FROM opportunities o"
                " WHERE o.is_deleted = 0 AND o.partner_account_id IS NOT NULL)"
            ),
            "in_relationship": flag(f"f.kind = 'customer' OR {_HAS_OPEN_DEAL}"),
            "days_since_contact": Column(f"((s.at - {_TOUCHED}) / 86400)", "integer"),
            "days_since_touch": Column(
                # Never touched: since the day it became a customer, by local dates (A4).
                f"COALESCE((s.at - {_TOUCHED}) / 86400,"
                " CAST(julianday(s.at_day) - julianday(f.customer_since) AS INTEGER),"
                f" (s.at - epoch({BORN.format('f', 'accounts')})) / 86400)",
                "integer",
            ),
        },
    ),
    "users": Spec(
        own={
            "left_at": Column(_LEFT_AT, "instant"),
            "was_ever_active": flag(f"COALESCE(f.is_active, 1) = 1 OR {_LEFT_AT} IS NOT NULL"),
            "was_active": flag("COALESCE(f.is_active, 1) = 1 OR epoch(f.first_seen_inactive_at) >= s.at"),
            "was_there_before": flag("f.created_at IS NULL OR f.created_at < s.since_text"),
            # What somebody logged counts, a note or a task as well; who edited a record, few CRMs say.
            "worked_in_period": flag(
                f"EXISTS (SELECT 1 FROM fact_activities a WHERE a.owner_id IN ({ITS_IDS.format('f')})"
                " AND a.occurred_at >= s.since"
                " AND a.occurred_at < s.until AND a.status = 'completed' AND a.is_automated = 0)"
            ),
        },
    ),
    "touches": Spec(made=lambda _: _TOUCHES, behind="activities"),
    "approaches": Spec(made=lambda _: _APPROACHES, behind="activities"),
    "sent_mails": Spec(made=lambda _: _SENT_MAILS, behind="activities"),
    "engagements": Spec(made=lambda _: _ENGAGEMENTS, behind="activities"),
    "campaign_sends": Spec(made=lambda _: _CAMPAIGN_SENDS, behind="email_events", refers={"account_id": "accounts"}),
}

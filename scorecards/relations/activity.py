"""Calls, mails and meetings, and the accounts they keep warm."""

from collections.abc import Mapping

from scorecards.relations.column import Column, Spec, bit, epoch, flag

SPECS: Mapping[str, Spec] = {
    "activities": Spec(
        own={
            **{
                name: Column(f"f.{name}", "text")
                for name in ("id", "type", "direction", "status", "owner_id", "lead_id", "contact_id", "account_id")
            },
            "occurred_at": epoch("occurred_at"),
            "opportunity_id": Column("f.opportunity_id", "text"),
            "ticket_id": Column("f.ticket_id", "text"),
            "duration_s": Column("f.duration_s", "integer"),
            "is_touch": bit("is_touch"),
            "is_automated": bit("is_automated"),
            "is_public": bit("is_public"),
            "bounced": bit("bounced"),
            "connected": Column("f.connected", "boolean"),
            # We reached out, whether it arrived or not; a task or a note is nobody's contact.
            "is_outreach": flag(
                "f.direction = 'outbound' AND f.status = 'completed' AND f.is_automated = 0"
                " AND f.type IN ('call', 'email', 'meeting', 'chat')"
            ),
            "is_handled_call": flag("f.type = 'call' AND f.status = 'completed' AND COALESCE(f.connected, 1) = 1"),
            # A call of no length was not measured.
            "call_s": Column("NULLIF(f.duration_s, 0)", "integer"),
            "handle_s": Column("(NULLIF(f.duration_s, 0) + COALESCE(r.wrap_s, 0))", "integer", joins=("r",)),
        },
        anchor="occurred_at",
        ahead="COALESCE(f.status, '') <> 'completed'",
    ),
    "accounts": Spec(
        own={
            "last_touch_at": Column(
                "(SELECT MAX(a.occurred_at) FROM fact_activities a WHERE a.account_id = f.id AND a.is_touch = 1"
                " AND a.occurred_at < s.at)",
                "instant",
                epoch=True,
            ),
            "has_open_opportunity": flag(
                "EXISTS (SELECT 1 FROM fact_opportunities o WHERE o.account_id = f.id AND o.is_open = 1"
                " AND o.known_from < s.at AND o.known_to >= s.at)"
            ),
            "in_relationship": flag(
                "f.kind = 'customer' OR EXISTS (SELECT 1 FROM fact_opportunities o WHERE o.account_id = f.id"
                " AND o.is_open = 1 AND o.known_from < s.at AND o.known_to >= s.at)"
            ),
            "days_since_contact": Column(
                "((s.at - (SELECT MAX(a.occurred_at) FROM fact_activities a WHERE a.account_id = f.id"
                " AND a.is_touch = 1 AND a.occurred_at < s.at)) / 86400)",
                "integer",
            ),
            "days_since_touch": Column(
                # Never touched: since the day it became a customer, by local dates (A4).
                "COALESCE((s.at - (SELECT MAX(a.occurred_at) FROM fact_activities a WHERE a.account_id = f.id"
                " AND a.is_touch = 1 AND a.occurred_at < s.at)) / 86400,"
                " CAST(julianday(s.at_day) - julianday(f.customer_since) AS INTEGER),"
                " (s.at - epoch(f.created_at)) / 86400)",
                "integer",
            ),
        },
    ),
}

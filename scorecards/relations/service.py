"""Tickets, and what customers answer when asked."""

from collections.abc import Mapping

from scorecards.relations.column import Column, Spec, bit, epoch, flag

_ANSWERED = "(f.score IS NOT NULL AND f.scale_max > COALESCE(f.scale_min, 0))"

SPECS: Mapping[str, Spec] = {
    "tickets": Spec(
        own={
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
            "owner_id": Column("f.owner_id", "text"),
            "account_id": Column("f.account_id", "text"),
            "has_history": bit("has_history"),
        },
        anchor="created_at",
        current={"is_closed": flag("f.status_category = 'closed'")},
    ),
    "survey_responses": Spec(
        own={
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
        },
        anchor="responded_at",
    ),
    "survey_invitations": Spec(anchor="sent_at"),
}

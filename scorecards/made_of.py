"""What derived columns of the language are made of: columns of the canonical tables, by relation."""

from collections.abc import Mapping

Place = tuple[str, str]  # (table, column); a custom field is ("opportunities", "custom.health")

_DONE_BY_US: tuple[Place, ...] = (("activities", "type"), ("activities", "direction"), ("activities", "status"))
#: A public answer of ours on a ticket.
_ANSWERED: tuple[Place, ...] = tuple(
    ("activities", name) for name in ("occurred_at", "direction", "status", "is_public", "is_automated")
)
_EDITED: tuple[str, ...] = ("created_at", "updated_at", "updated_by_kind")
_PERSON: tuple[Place, ...] = (("activities", "contact_id"), ("activities", "lead_id"))


def _seen_to(table: str, named_by: str) -> dict[str, tuple[Place, ...]]:
    """Columns made of when a record was changed, and of the activities that name it."""
    acted: tuple[Place, ...] = (("activities", "occurred_at"), ("activities", named_by))
    edited = tuple((table, column) for column in _EDITED)
    return {
        **dict.fromkeys(("acted_at", "idle_days"), acted),
        **dict.fromkeys(("edited_at", "was_edited_since"), edited),
        **dict.fromkeys(("seen_to_at", "age_days"), (*edited, *acted)),
    }


_BOUGHT: tuple[Place, ...] = tuple(("opportunities", column) for column in ("account_id", "state", "close_date"))
_LINES: tuple[Place, ...] = (("opportunity_lines", "product"), ("opportunity_lines", "opportunity_id"))
#: What an amount of a deal in the reporting currency is made of.
_AMOUNT: tuple[Place, ...] = tuple(
    ("opportunities", column) for column in ("amount_minor", "currency", "home_amount", "home_currency")
)
_OF_PERSON: tuple[Place, ...] = (*_PERSON, ("contacts", "account_id"), ("leads", "converted_account_id"))
#: What records contradict each other in.
_AT_ODDS: tuple[Place, ...] = (
    *_AMOUNT,
    *(("opportunities", name) for name in ("state", "close_date", "created_at", "owner_id")),
    *(("tickets", name) for name in ("created_at", "closed_at", "status_category", "owner_id", "account_id")),
    ("users", "is_active"),
    ("contacts", "account_id"),
    ("activities", "contact_id"),
)
_OPEN_WORK: tuple[Place, ...] = (("opportunities", "state"), ("tickets", "status_category"))
_ASKED: Mapping[str, tuple[Place, ...]] = {
    "account_id": (
        *((table, "account_id") for table in ("tickets", "contacts")),
        ("tickets", "contact_id"),
    ),
    "owner_id": tuple((table, "owner_id") for table in ("tickets", "contacts", "accounts")),
    **{name: (("tickets", name),) for name in ("priority", "touchpoint", "category", "product")},
}


def _asked(table: str) -> dict[str, tuple[Place, ...]]:
    """Whose a question and its answer are, by what they name."""
    named = tuple((table, column) for column in ("ticket_id", "contact_id", "account_id"))
    return {column: (*named, *places) for column, places in _ASKED.items()}


#: What a column of the language is made of, where that is not the column of its own name.
MADE_OF: Mapping[str, Mapping[str, tuple[Place, ...]]] = {
    "contacts": {
        **_seen_to("contacts", "contact_id"),
        "is_reachable": tuple(
            ("contacts", column) for column in ("email_norm", "phone_norm", "bounced", "opted_out", "dnc")
        ),
        "of_customer": (("accounts", "kind"), ("contacts", "account_id")),
        "has_open_work": _OPEN_WORK,
        "is_unattached": (("contacts", "account_id"), ("activities", "contact_id")),
        **dict.fromkeys(("email_is_double", "email_double_of"), (("contacts", "email_norm"),)),
        **dict.fromkeys(("phone_is_double", "phone_double_of"), (("contacts", "phone_norm"),)),
        "is_linked": (
            *(("contacts", column) for column in ("sf_contact_id", "email_norm")),
            *(("accounts", column) for column in ("sf_account_id", "domain_norm")),
            ("opportunities", "sf_opportunity_id"),
        ),
    },
    "opportunities": {
        **_seen_to("opportunities", "opportunity_id"),
        "outcome_date": (("opportunities", "close_date"), ("opportunities", "state"), ("opportunities", "stage")),
        "is_won": (("opportunities", "state"), ("opportunities", "stage")),
        "is_lost": (("opportunities", "state"), ("opportunities", "stage")),
        "is_closed": (("opportunities", "state"), ("opportunities", "stage")),
        "is_open": (("opportunities", "state"), ("opportunities", "stage")),
        "state": (("opportunities", "state"), ("opportunities", "stage")),
        "future_close": (("opportunities", "close_date"),),
        **dict.fromkeys(("worth", "profit"), (*_AMOUNT, ("opportunities", "cost_minor"))),
        "worth_is": (("opportunities", "cost_minor"),),
        "days_ago": (("opportunities", "close_date"),),
        "spoken_since_at": (("activities", "occurred_at"), ("activities", "account_id")),
        **dict.fromkeys(("kind", "what"), _AT_ODDS),
        **dict.fromkeys(
            ("reach", "has_history", "stage_entered_at", "step", "step_name", "step_label", "outcome", "is_dropped"),
            (
                ("opportunities", "state"),
                ("opportunities", "stage"),
                ("opportunity_stage_history", "stage"),
                ("opportunity_stage_history", "stage_order"),
            ),
        ),
        **dict.fromkeys(("is_repeat", "new_or_returning"), _BOUGHT),
        "product": _LINES,
        "with_partner": (("opportunities", "partner_account_id"),),
        "first_lead_source": (*_BOUGHT, ("opportunities", "lead_source")),
        **dict.fromkeys(
            ("last_outbound_at", "wait_days"), (("activities", "occurred_at"), ("activities", "opportunity_id"))
        ),
    },
    "tickets": {
        **_seen_to("tickets", "ticket_id"),
        "is_closed": (("tickets", "status_category"), ("tickets", "status"), ("tickets", "closed_at")),
        "status_category": (("tickets", "status_category"), ("tickets", "status")),
        **dict.fromkeys(
            ("closed_at", "first_closed_at", "last_closed_at", "first_reopened_at", "reopen_count"),
            (("tickets", "closed_at"), ("tickets", "status"), ("ticket_status_history", "status")),
        ),
        "first_response_at": (
            ("tickets", "first_response_at"),
            *_ANSWERED,
            ("activity_links", "object_id"),
        ),
        "has_history": (("ticket_status_history", "status"),),
        "age_band": (("tickets", "created_at"),),
        "first_call_at": (
            ("activities", "occurred_at"),
            ("activities", "ticket_id"),
            ("activity_links", "object_id"),
        ),
        **dict.fromkeys(
            ("first_escalated_at", "escalation_is_dated"),
            (("tickets", "is_escalated"), ("tickets", "escalated_at"), ("ticket_status_history", "escalated")),
        ),
        "is_invited": (("survey_invitations", "sent_at"), ("survey_invitations", "ticket_id")),
    },
    "leads": {
        "is_converted": (("leads", "status_category"), ("leads", "status")),
        "status_category": (("leads", "status_category"), ("leads", "status")),
        "converted_date": (("leads", "converted_date"), ("leads", "status")),
        **dict.fromkeys(
            ("first_outbound_at", "first_call_at"),
            (
                ("activities", "occurred_at"),
                ("activities", "lead_id"),
                ("activities", "contact_id"),
                ("activity_links", "object_id"),
                ("leads", "converted_contact_id"),
            ),
        ),
        "is_imported": (("leads", "created_at"),),
        **dict.fromkeys(
            ("sold_date", "has_open_deal"),
            (
                ("leads", "converted_opportunity_id"),
                ("leads", "converted_account_id"),
                ("opportunities", "state"),
                ("opportunities", "close_date"),
            ),
        ),
    },
    "activities": {
        **dict.fromkeys(("is_touch", "is_outreach", "is_human"), _DONE_BY_US),
        "is_answer": _DONE_BY_US,
        "person_id": _PERSON,
        "new_or_returning": (*_BOUGHT, *_OF_PERSON, ("activities", "occurred_at")),
        "party_id": (("activities", "account_id"), *_PERSON, ("activity_links", "object_id")),
        **dict.fromkeys(("quiet_days", "replied_at"), (("activities", "occurred_at"), *_DONE_BY_US, *_PERSON)),
        **dict.fromkeys(
            ("answered_at", "answer_days"), (("activities", "occurred_at"), ("activities", "thread_id"), *_PERSON)
        ),
        **dict.fromkeys(
            ("started_at", "ended_at", "actions"), (("activities", "occurred_at"), ("activities", "account_id"))
        ),
        "is_connected": (("activities", "connected"),),
        "channel": (("activities", "type"),),
        "is_handled_call": (("activities", "type"), ("activities", "connected")),
        "called_back_at": (("activities", "occurred_at"), *_DONE_BY_US, *_PERSON),
        "call_s": (("activities", "duration_s"),),
        "handle_s": (("activities", "duration_s"), ("activities", "wrap_s")),
    },
    "email_events": {
        **dict.fromkeys(
            ("sent_at", "delivered_at", "bounced_at", "opened_at", "clicked_at", "click_days"),
            (("email_events", "type"), ("email_events", "occurred_at"), ("email_events", "send_id")),
        ),
        "account_id": (("email_events", "contact_id"), ("contacts", "account_id")),
        "new_or_returning": (("email_events", "contact_id"), ("contacts", "account_id"), *_BOUGHT),
    },
    "users": {
        **dict.fromkeys(
            ("was_active", "left_at", "was_ever_active"),
            (("users", "is_active"), ("users", "first_seen_inactive_at")),
        ),
        "was_there_before": (("users", "created_at"),),
        "worked_in_period": (("activities", "owner_id"), ("activities", "occurred_at")),
    },
    "accounts": {
        **_seen_to("accounts", "account_id"),
        **dict.fromkeys(("domain_is_double", "domain_double_of"), (("accounts", "domain_norm"), ("accounts", "name"))),
        "has_open_work": _OPEN_WORK,
        **dict.fromkeys(
            ("last_touch_at", "days_since_contact", "days_since_touch", "last_outreach_at", "days_since_outreach"),
            (("activities", "occurred_at"), ("activities", "account_id")),
        ),
        "has_open_opportunity": (("opportunities", "state"), ("opportunities", "account_id")),
        "is_partner": (("accounts", "kind"), ("opportunities", "partner_account_id")),
        "in_relationship": (("accounts", "kind"), ("opportunities", "state")),
    },
    "survey_responses": {
        **_asked("survey_responses"),
        **dict.fromkeys(
            ("score_proportional", "score_min_max"), (("survey_responses", "score"), ("survey_responses", "scale_max"))
        ),
        "followed_at": (
            ("survey_responses", "followed_up_at"),
            ("activities", "occurred_at"),
            ("activities", "contact_id"),
            ("activity_links", "object_id"),
        ),
        **dict.fromkeys(
            ("ticket_response_s", "ticket_response_business_s"),
            (("tickets", "created_at"), ("tickets", "first_response_at"), *_ANSWERED),
        ),
    },
    "contracts": {
        **dict.fromkeys(
            ("has_left", "tenure_days", "days_left", "day", "days_in_period"),
            (("contracts", "start_date"), ("contracts", "end_date")),
        ),
        **dict.fromkeys(
            ("yearly_revenue", "revenue_at_start"),
            (("contracts", "mrr_minor"), ("contracts", "currency"), *_AMOUNT, ("opportunities", "close_date")),
        ),
        "product": (*_BOUGHT, *_LINES),
        "first_lead_source": (*_BOUGHT, ("opportunities", "lead_source")),
        "churn_reason": (*_BOUGHT, ("opportunities", "loss_reason")),
    },
    "orders": {"product": (("order_lines", "product"), ("order_lines", "order_id"))},
    "invoices": {
        "day": (("invoices", "issued_date"), ("payments", "paid_date")),
        **dict.fromkeys(
            ("is_owed", "owed", "is_main"),
            (
                *(
                    ("invoices", name)
                    for name in ("status", "amount_minor", "currency", "home_amount", "home_currency")
                ),
                ("payments", "amount_minor"),
            ),
        ),
        "paid_date": (("payments", "paid_date"), ("payments", "amount_minor")),
    },
    "opportunity_lines": {
        "sold_date": (("opportunities", "close_date"), ("opportunities", "state"), ("opportunities", "stage"))
    },
    "costs": {"day": (("costs", "month"),), "cost": (("costs", "amount_minor"), ("costs", "currency"))},
    "survey_invitations": {
        **_asked("survey_invitations"),
        "answered_at": (("survey_responses", "responded_at"), ("survey_responses", "score")),
    },
}

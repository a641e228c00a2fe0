"""The canonical tables of cache.db: their columns, types and references, as data.

Meanings are public (people query the cache with any SQLite tool); knows nothing of vendors or files.
Types: text · integer · number · instant (UTC `YYYY-MM-DDTHH:MM:SSZ`) · date (`YYYY-MM-DD`) ·
boolean (0/1) · money (INTEGER minor units, beside a `currency` column) · json.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

#: SQLite's storage class for each of our types.
STORAGE: Mapping[str, str] = MappingProxyType(
    {
        "text": "TEXT",
        "integer": "INTEGER",
        "number": "REAL",
        "instant": "TEXT",
        "date": "TEXT",
        "boolean": "INTEGER",
        "money": "INTEGER",
        "json": "TEXT",
    }
)

#: On every synced table. `id` is `NAME:table:source_id` with NAME of `[source.NAME]`.
COMMON: Mapping[str, str] = MappingProxyType(
    {
        "id": "text",
        "source": "text",
        "source_name": "text",
        "source_instance": "text",
        "source_id": "text",
        "url": "text",
        "created_at": "instant",
        "updated_at": "instant",
        "updated_by_kind": "text",
        "first_seen_at": "instant",
        "synced_at": "instant",
        "is_deleted": "boolean",
        "deleted_at": "instant",
        "merged_into": "text",
        "dup_of": "text",
        "cluster_id": "text",
        "is_test": "boolean",
        "custom": "json",
    }
)


@dataclass(frozen=True, slots=True)
class Table:
    """One canonical table: own columns beside COMMON, what they refer to, and what they may hold."""

    columns: Mapping[str, str]
    references: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    flags: tuple[str, ...] = ()  # booleans that are 0, never null, when absent
    is_event: bool = False  # rows of a log: no id of their own is needed, nothing is collapsed


def _columns(text: str) -> dict[str, str]:
    """Read `name:type` pairs; a bare name gets its type from its ending."""
    columns = {}
    for word in text.split():
        name, _, given = word.partition(":")
        endings = {"_at": "instant", "_date": "date", "_minor": "money", "_s": "integer"}
        by_ending = next((kind for end, kind in endings.items() if name.endswith(end)), "text")
        columns[name] = given or by_ending
    return columns


_DEAL_REFS = {"account_id": "accounts", "owner_id": "users", "partner_account_id": "accounts"}
_PERSON_REFS = {"account_id": "accounts", "contact_id": "contacts", "ticket_id": "tickets"}

TABLES: Mapping[str, Table] = MappingProxyType(
    {
        "users": Table(_columns("email name team manager is_active:boolean first_seen_inactive_at")),
        "accounts": Table(
            _columns("name domain_norm kind tier industry region customer_since:date owner_id parent_id sf_account_id"),
            {"owner_id": "users", "parent_id": "accounts"},
            {"kind": ("customer", "prospect", "partner", "other")},
        ),
        "contacts": Table(
            _columns(
                "email_norm phone_norm first_name last_name job_title account_id owner_id lifecycle bounced:boolean"
                " opted_out:boolean dnc:boolean left_company:boolean sf_contact_id sf_lead_id"
            ),
            {"account_id": "accounts", "owner_id": "users"},
            flags=("bounced", "opted_out", "dnc"),
        ),
        "leads": Table(
            _columns(
                "name email_norm company source_channel status status_category converted_date converted_at"
                " converted_opportunity_id converted_account_id converted_contact_id owner_id"
            ),
            {
                "owner_id": "users",
                "converted_opportunity_id": "opportunities",
                "converted_account_id": "accounts",
                "converted_contact_id": "contacts",
            },
            {"status_category": ("open", "converted", "disqualified")},
        ),
        "opportunities": Table(
            _columns(
                "name account_id owner_id pipeline stage state close_date close_at amount_minor currency type"
                " probability:number loss_reason lead_source partner_account_id cost_minor sf_opportunity_id"
                " home_amount:number home_currency"
            ),
            _DEAL_REFS,
            {"state": ("open", "won", "lost")},
        ),
        "opportunity_lines": Table(
            _columns("opportunity_id product quantity:number amount_minor currency"),
            {"opportunity_id": "opportunities"},
            is_event=True,
        ),
        "stage_defs": Table(
            _columns("object pipeline stage label stage_order:integer state valid_from:instant"), is_event=True
        ),
        "pipelines": Table(
            _columns("object pipeline label display_order:integer is_active:boolean valid_from:instant"), is_event=True
        ),
        "opportunity_stage_history": Table(
            _columns(
                "opportunity_id changed_at stage stage_order:integer state amount_minor currency close_date seq:integer"
            ),
            {"opportunity_id": "opportunities"},
            {"state": ("open", "won", "lost")},
            is_event=True,
        ),
        "tickets": Table(
            _columns(
                "subject account_id contact_id owner_id pipeline status status_category category priority touchpoint"
                " product close_reason closed_at first_response_at is_escalated:boolean escalated_at"
                " handling_seconds:integer"
            ),
            {"account_id": "accounts", "contact_id": "contacts", "owner_id": "users"},
            {"status_category": ("open", "pending", "closed")},
        ),
        "ticket_status_history": Table(
            _columns("ticket_id changed_at status status_category escalated:boolean seq:integer"),
            {"ticket_id": "tickets"},
            {"status_category": ("open", "pending", "closed")},
            is_event=True,
        ),
        "activities": Table(
            _columns(
                "subject type direction occurred_at due_at completed_at status is_automated:boolean is_public:boolean"
                " connected:boolean bounced:boolean duration_s wrap_s wait_s message_id thread_id owner_id contact_id"
                " lead_id account_id opportunity_id ticket_id"
            ),
            {
                "owner_id": "users",
                "contact_id": "contacts",
                "lead_id": "leads",
                "account_id": "accounts",
                "opportunity_id": "opportunities",
                "ticket_id": "tickets",
            },
            {
                "type": ("call", "email", "meeting", "task", "note", "chat"),
                "direction": ("outbound", "inbound", "two_way", "internal"),
                "status": ("scheduled", "open", "completed", "cancelled", "no_show"),
            },
            flags=("is_automated", "is_public", "bounced"),
        ),
        "activity_links": Table(_columns("activity_id object object_id"), {"activity_id": "activities"}, is_event=True),
        "survey_invitations": Table(_columns("survey_type sent_at ticket_id contact_id account_id"), _PERSON_REFS),
        "survey_responses": Table(
            _columns(
                "survey_type score:number scale_min:number scale_max:number responded_at comment ticket_id contact_id"
                " account_id followed_up_at"
            ),
            _PERSON_REFS,
            {"survey_type": ("csat", "nps", "ces", "custom")},
        ),
        "email_events": Table(
            _columns("campaign_id send_id contact_id type occurred_at is_filtered:boolean link_kind"),
            {"contact_id": "contacts"},
            {
                "type": ("sent", "delivered", "bounce", "open", "click", "unsubscribe", "spam"),
                "link_kind": ("content", "unsubscribe", "preferences"),
            },
            flags=("is_filtered",),
            is_event=True,
        ),
        "orders": Table(
            _columns(
                "account_id owner_id status order_date promised_date original_promised_date delivered_date"
                " cancelled_date amount_minor currency cost_minor home_amount:number home_currency"
            ),
            {"account_id": "accounts", "owner_id": "users"},
        ),
        "order_lines": Table(_columns("order_id product quantity:number"), {"order_id": "orders"}, is_event=True),
        "invoices": Table(
            _columns("account_id issued_date due_date amount_minor currency status home_amount:number home_currency"),
            {"account_id": "accounts"},
        ),
        "payments": Table(
            _columns("invoice_id paid_date amount_minor currency"), {"invoice_id": "invoices"}, is_event=True
        ),
        "contracts": Table(_columns("account_id start_date end_date mrr_minor currency"), {"account_id": "accounts"}),
        "costs": Table(_columns("month kind amount_minor currency"), is_event=True),
        "fx_rates": Table(_columns("currency valid_from:date rate_to_reporting:number"), is_event=True),
        "business_calendars": Table(_columns("name timezone weekly:json holidays:json")),
    }
)


def column_types(table: str) -> dict[str, str]:
    """Every column of a canonical table with its type: COMMON first, then its own."""
    return {**COMMON, **TABLES[table].columns}

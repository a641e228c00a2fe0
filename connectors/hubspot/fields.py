"""HubSpot's objects and properties for each of our tables, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.field_words import Field, read_made, read_map

_EDITABLE = "created_at=createdate:instant updated_at=hs_lastmodifieddate:instant owner_id=hubspot_owner_id"
_PLAIN = "created_at=hs_createdate:instant updated_at=hs_lastmodifieddate:instant owner_id=hubspot_owner_id"


@dataclass(frozen=True, slots=True)
class Lines:
    """What an object type is made up of (line items): our table, its reference to the whole, and its fields."""

    table: str
    parent: str
    fields: tuple[Field, ...]
    name: str = "line_items"
    currency: str = "hs_line_item_currency_code"


@dataclass(frozen=True, slots=True)
class ObjectType:
    """One HubSpot object type: our table, what to read of it, and what hangs on it."""

    name: str
    table: str
    fields: tuple[Field, ...]
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # properties columns are worked out from
    type_id: str = ""  # in the address of a record's page
    cursor: str = "hs_lastmodifieddate"
    history: tuple[str, ...] = ()  # properties read with their history
    links: tuple[str, ...] = ()  # object types it is associated with
    currency: str | None = None  # the property that names the currency of its amounts
    lines: Lines | None = None
    ends: tuple[str, ...] = ()  # when it is over, which stamps nothing: this property, else the next one


_STAMPS = "created_at=hs_createdate:instant updated_at=hs_lastmodifieddate:instant"

_LINKED = ("contacts", "companies", "deals", "tickets", "leads")

_LEADS = ObjectType(
    "leads",
    "leads",
    read_map(
        f"{_PLAIN} name=hs_lead_name email_norm=hs_associated_contact_email:email company=hs_associated_company_name"
        " source_channel=hs_lead_source status=hs_pipeline_stage"
    ),
    read_made("hs_pipeline= hs_pipeline_stage=status_category hs_merged_object_ids=merged_into"),
    "0-136",
    links=("contacts", "companies", "deals"),
)

#: leads = "contacts": every contact is read as a lead, by its lifecycle.
LEADS_FROM_CONTACTS = ObjectType(
    "contacts",
    "leads",
    read_map(
        "created_at=createdate:instant updated_at=lastmodifieddate:instant owner_id=hubspot_owner_id"
        " email_norm=email:email company=company source_channel=hs_analytics_source status=lifecyclestage"
    ),
    read_made(
        "firstname=name lastname=name lifecyclestage=status_category,converted_at,converted_account_id"
        " hs_lead_status=status_category hs_lifecyclestage_opportunity_date=converted_at"
        " hs_v2_date_entered_opportunity=converted_at associatedcompanyid=converted_account_id"
        " hs_merged_object_ids=merged_into"
    ),
    "0-1",
    cursor="lastmodifieddate",
    links=("deals",),
)

TYPES: Mapping[str, ObjectType] = {
    kind.name: kind
    for kind in (
        ObjectType(
            "companies",
            "accounts",
            read_map(
                f"{_EDITABLE} name=name domain_norm=domain:domain kind=type:none industry=industry region=country"
                " parent_id=hs_parent_company_id sf_account_id=salesforceaccountid:sfid"
            ),
            read_made("lifecyclestage=kind type=kind hs_merged_object_ids=merged_into"),
            "0-2",
        ),
        ObjectType(
            "contacts",
            "contacts",
            read_map(
                "created_at=createdate:instant updated_at=lastmodifieddate:instant owner_id=hubspot_owner_id"
                " email_norm=email:email phone_norm=phone:phone first_name=firstname last_name=lastname"
                " job_title=jobtitle lifecycle=lifecyclestage opted_out=hs_email_optout:boolean"
                " bounced=hs_email_hard_bounce_reason_enum:present account_id=associatedcompanyid"
                " sf_contact_id=salesforcecontactid:sfid sf_lead_id=salesforceleadid:sfid"
            ),
            read_made("hs_merged_object_ids=merged_into"),
            "0-1",
            cursor="lastmodifieddate",
            links=("companies",),
        ),
        _LEADS,
        ObjectType(
            "deals",
            "opportunities",
            read_map(
                f"{_EDITABLE} name=dealname pipeline=pipeline stage=dealstage close_at=closedate:instant"
                " close_date=closedate:local_day amount_minor=amount:money type=dealtype:lower"
                " probability=hs_deal_stage_probability:number loss_reason=closed_lost_reason"
                " lead_source=hs_analytics_source sf_opportunity_id=hs_salesforceopportunityid:sfid"
                " home_amount=amount_in_home_currency:number"
            ),
            read_made(
                "dealstage=state hs_is_closed_won=state hs_is_closed=state hs_merged_object_ids=merged_into"
                " amount_in_home_currency=home_currency"
            ),
            "0-3",
            history=("dealstage", "pipeline", "amount", "closedate"),
            links=("companies",),
            currency="deal_currency_code",
            lines=Lines(
                "opportunity_lines",
                "opportunity_id",
                read_map(f"{_STAMPS} product=name quantity=quantity:number amount_minor=amount:money"),
            ),
        ),
        ObjectType(
            "tickets",
            "tickets",
            read_map(
                f"{_EDITABLE} subject=subject pipeline=hs_pipeline status=hs_pipeline_stage"
                " category=hs_ticket_category:lower priority=hs_ticket_priority:lower touchpoint=source_type:lower"
                " close_reason=hs_resolution:lower closed_at=closed_date:instant"
                " first_response_at=first_agent_reply_date:instant"
            ),
            read_made(
                "hs_pipeline_stage=status_category hs_is_closed=status_category hs_merged_object_ids=merged_into"
            ),
            "0-5",
            history=("hs_pipeline_stage", "hs_pipeline"),
            links=("companies", "contacts"),
        ),
        ObjectType(
            "calls",
            "activities",
            read_map(f"{_PLAIN} subject=hs_call_title occurred_at=hs_timestamp:instant duration_s=hs_call_duration:ms"),
            read_made(
                "hs_call_direction=direction hs_call_disposition=connected hs_call_status=status,connected,completed_at"
                " hs_object_source=is_automated"
            ),
            "0-48",
            links=_LINKED,
        ),
        ObjectType(
            "emails",
            "activities",
            read_map(
                f"{_PLAIN} subject=hs_email_subject occurred_at=hs_timestamp:instant message_id=hs_email_message_id"
                " thread_id=hs_email_thread_id"
            ),
            read_made(
                "hs_email_direction=direction hs_email_status=status,bounced,completed_at,is_public"
                " hs_object_source=is_automated"
            ),
            "0-49",
            links=_LINKED,
        ),
        ObjectType(
            "meetings",
            "activities",
            read_map(
                f"{_PLAIN} subject=hs_meeting_title occurred_at=hs_meeting_start_time:instant"
                " due_at=hs_meeting_start_time:instant completed_at=hs_meeting_end_time:instant"
            ),
            read_made(
                "hs_meeting_outcome=status,completed_at hs_timestamp=occurred_at,due_at hs_object_source=is_automated"
            ),
            "0-47",
            links=_LINKED,
            ends=("hs_meeting_end_time", "hs_meeting_start_time"),
        ),
        ObjectType(
            "tasks",
            "activities",
            read_map(
                f"{_PLAIN} subject=hs_task_subject due_at=hs_timestamp:instant"
                " completed_at=hs_task_completion_date:instant"
            ),
            read_made("hs_task_status=status,completed_at,occurred_at hs_object_source=is_automated"),
            "0-27",
            links=_LINKED,
        ),
        ObjectType(
            "notes",
            "activities",
            read_map(f"{_PLAIN} occurred_at=hs_timestamp:instant completed_at=hs_timestamp:instant"),
            read_made("hs_object_source=is_automated"),
            "0-46",
            links=_LINKED,
        ),
        ObjectType(
            "feedback_submissions",
            "survey_responses",
            read_map(
                "created_at=hs_createdate:instant updated_at=hs_lastmodifieddate:instant score=hs_value:number"
                " responded_at=hs_submission_timestamp:instant comment=hs_content contact_id=hs_contact_id"
                " ticket_id=hs_ticket_id"
            ),
            read_made("hs_survey_type=survey_type,scale_min,scale_max hs_response_value=score"),
            "0-19",
        ),
        ObjectType(
            "orders",
            "orders",
            read_map(
                f"{_PLAIN} status=hs_pipeline_stage order_date=hs_processed_date:local_day"
                " amount_minor=hs_total_price:money home_amount=hs_homecurrency_amount:number"
            ),
            read_made("hs_pipeline_stage=status hs_fulfillment_status=status hs_homecurrency_amount=home_currency"),
            "0-123",
            links=("companies",),
            currency="hs_currency_code",
            lines=Lines("order_lines", "order_id", read_map(f"{_STAMPS} product=name quantity=quantity:number")),
        ),
        ObjectType(
            "invoices",
            "invoices",
            read_map(
                f"{_STAMPS} issued_date=hs_invoice_date:local_day due_date=hs_due_date:local_day"
                " amount_minor=hs_amount_billed:money status=hs_invoice_status:lower"
                " home_amount=hs_amount_billed_in_company_currency:number"
            ),
            read_made("hs_amount_billed_in_company_currency=home_currency"),
            "0-53",
            links=("companies",),
            currency="hs_currency",
        ),
        ObjectType(
            "commerce_payments",
            "payments",
            read_map(f"{_STAMPS} paid_date=hs_initiated_date:local_day amount_minor=hs_initial_amount:money"),
            read_made("hs_latest_status=paid_date"),
            "0-101",
            links=("invoices",),
            currency="hs_currency_code",
        ),
    )
}

#: Line items have no stream of their own: one that changed has its deal or order read again.
LINE_ITEMS = ObjectType("line_items", "", ())

#: The object types behind each stream, in reading order.
STREAMS: Mapping[str, tuple[str, ...]] = {
    "accounts": ("companies",),
    "contacts": ("contacts",),
    "leads": ("leads",),
    "opportunities": ("deals",),
    "tickets": ("tickets",),
    "activities": ("calls", "emails", "meetings", "tasks", "notes"),
    "survey_responses": ("feedback_submissions",),
    "orders": ("orders",),
    "invoices": ("invoices",),
    "payments": ("commerce_payments",),
}

#: Our column and table for what an object is associated with.
LINKS: Mapping[str, tuple[str, str]] = {
    "contacts": ("contact_id", "contacts"),
    "companies": ("account_id", "accounts"),
    "deals": ("opportunity_id", "opportunities"),
    "tickets": ("ticket_id", "tickets"),
    "leads": ("lead_id", "leads"),
    "invoices": ("invoice_id", "invoices"),
}

#: Association types that mean the primary one (contact, deal and ticket to company; lead to contact).
PRIMARY = frozenset({1, 5, 26, 578})

#: HubSpot's ids of the default call outcomes: reached or not.
DISPOSITIONS: Mapping[str, int] = {
    "f240bbac-87c9-4f6e-bf70-924b57d47db7": 1,  # connected
    "a4c4c377-d246-4b32-a13b-75a56a4cd0ff": 0,  # left live message
    "b2cf5968-551e-4856-9783-52b3da59a7d0": 0,  # left voicemail
    "73a0d17f-1163-4015-bdd5-ec830791da20": 0,  # no answer
    "9d9162e7-6cf3-4944-bf63-4dff82258764": 0,  # busy
    "17b47fee-58de-441e-a44c-c6300d46f273": 0,  # wrong number
}

#: Lowest and highest score of each kind of survey.
SCALES: Mapping[str, tuple[float, float]] = {"csat": (1.0, 5.0), "nps": (0.0, 10.0), "ces": (1.0, 7.0)}

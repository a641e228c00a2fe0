"""What the sandbox's HubSpot knows when it is new: object types, their properties, and pipeline stages."""

#: object type id -> name used in paths; both are accepted.
TYPE_IDS = {
    "0-1": "contacts",
    "0-2": "companies",
    "0-3": "deals",
    "0-5": "tickets",
    "0-136": "leads",
    "0-48": "calls",
    "0-49": "emails",
    "0-47": "meetings",
    "0-27": "tasks",
    "0-46": "notes",
    "0-19": "feedback_submissions",
    "0-7": "products",
    "0-8": "line_items",
    "0-123": "orders",
    "0-53": "invoices",
    "0-101": "commerce_payments",
}
SINGULAR = {
    "contact": "contacts", "company": "companies", "deal": "deals", "ticket": "tickets", "lead": "leads",
    "call": "calls", "email": "emails", "meeting": "meetings", "task": "tasks", "note": "notes",
    "feedback_submission": "feedback_submissions", "product": "products", "line_item": "line_items", "order": "orders",
    "invoice": "invoices", "commerce_payment": "commerce_payments",
}  # fmt: skip

_COMMON = "hs_object_id:number hs_createdate:datetime hs_lastmodifieddate:datetime hubspot_owner_id:enumeration"
_ACTIVITY = f"{_COMMON} hs_timestamp:datetime hs_object_source:enumeration"
_TEXT = {
    "contacts": "hs_object_id:number createdate:datetime lastmodifieddate:datetime hubspot_owner_id:enumeration"
    " firstname:string lastname:string email:string phone:string jobtitle:string company:string"
    " lifecyclestage:enumeration hs_lead_status:enumeration associatedcompanyid:number hs_email_optout:bool"
    " hs_email_hard_bounce_reason_enum:enumeration hs_email_bounce:number hs_analytics_source:enumeration"
    " hs_merged_object_ids:enumeration hs_calculated_merged_vids:enumeration salesforcecontactid:string"
    " salesforceleadid:string salesforceaccountid:string hs_sa_first_engagement_date:datetime",
    "companies": f"{_COMMON} createdate:datetime name:string domain:string website:string industry:enumeration"
    " numberofemployees:number annualrevenue:number country:string type:enumeration lifecyclestage:enumeration"
    " hs_parent_company_id:number hs_additional_domains:enumeration hs_merged_object_ids:enumeration"
    " salesforceaccountid:string tier:enumeration region:enumeration customer_since:date",
    "deals": f"{_COMMON} createdate:datetime dealname:string pipeline:enumeration dealstage:enumeration amount:number"
    " deal_currency_code:enumeration amount_in_home_currency:number closedate:datetime hs_is_closed:bool"
    " hs_is_closed_won:bool hs_is_closed_lost:bool hs_deal_stage_probability:number closed_lost_reason:string"
    " dealtype:enumeration hs_analytics_source:enumeration hs_manual_forecast_category:enumeration"
    " hs_projected_amount:number days_to_close:number hs_merged_object_ids:enumeration"
    " hs_salesforceopportunityid:string salesforcelastsynctime:datetime deal_health:enumeration",
    "tickets": f"{_COMMON} createdate:datetime subject:string hs_ticket_id:number hs_pipeline:enumeration"
    " hs_pipeline_stage:enumeration hs_ticket_priority:enumeration hs_ticket_category:enumeration"
    " source_type:enumeration closed_date:datetime hs_last_closed_date:datetime hs_is_closed:bool"
    " first_agent_reply_date:datetime time_to_first_agent_reply:number time_to_close:number"
    " hs_ticket_reopened_at:datetime hs_merged_object_ids:enumeration hs_last_csat_rating:number"
    " close_reason:enumeration escalated:bool",
    "leads": f"{_COMMON} hs_lead_name:string hs_pipeline:enumeration hs_pipeline_stage:enumeration"
    " hs_lead_type:enumeration hs_lead_label:enumeration hs_lead_source:enumeration"
    " hs_associated_contact_email:string hs_associated_company_name:string hs_primary_contact_id:number",
    "calls": f"{_ACTIVITY} hs_call_title:string hs_call_direction:enumeration hs_call_disposition:enumeration"
    " hs_call_duration:number hs_call_status:enumeration",
    "emails": f"{_ACTIVITY} hs_email_subject:string hs_email_direction:enumeration hs_email_status:enumeration"
    " hs_email_thread_id:string hs_email_message_id:string hs_email_from_email:string hs_email_to_email:string",
    "meetings": f"{_ACTIVITY} hs_meeting_title:string hs_meeting_start_time:datetime hs_meeting_end_time:datetime"
    " hs_meeting_outcome:enumeration",
    "tasks": f"{_ACTIVITY} hs_task_subject:string hs_task_status:enumeration hs_task_priority:enumeration"
    " hs_task_type:enumeration hs_task_completion_date:datetime",
    "notes": f"{_ACTIVITY} hs_note_body:string",
    "feedback_submissions": f"{_COMMON} hs_survey_type:enumeration hs_survey_id:number hs_survey_name:string"
    " hs_survey_channel:enumeration hs_value:number hs_response_group:enumeration hs_sentiment:enumeration"
    " hs_content:string hs_submission_timestamp:datetime hs_contact_id:number hs_ticket_id:number",
    "products": f"{_COMMON} createdate:datetime name:string description:string price:number hs_sku:string",
    "line_items": f"{_COMMON} createdate:datetime name:string quantity:number price:number amount:number"
    " hs_product_id:number hs_sku:string hs_line_item_currency_code:enumeration",
    "orders": f"{_COMMON} hs_order_name:string hs_pipeline:enumeration hs_pipeline_stage:enumeration"
    " hs_currency_code:enumeration hs_total_price:number hs_homecurrency_amount:number hs_processed_date:datetime"
    " hs_external_order_id:string"
    " promised_date:date delivered_date:date cancelled_date:date",
    "invoices": f"{_COMMON} hs_number:string hs_invoice_status:enumeration hs_invoice_date:datetime"
    " hs_due_date:datetime hs_currency:enumeration hs_amount_billed:number"
    " hs_amount_billed_in_company_currency:number hs_balance_due:number",
    "commerce_payments": f"{_COMMON} hs_initial_amount:number hs_net_amount:number hs_currency_code:enumeration"
    " hs_initiated_date:datetime hs_latest_status:enumeration hs_payment_method_type:enumeration",
}

#: object -> property -> type.
PROPERTIES: dict[str, dict[str, str]] = {
    kind: dict(word.split(":") for word in text.split()) for kind, text in _TEXT.items()
}
#: What a list or read returns when no properties are asked for.
DEFAULTS = {
    "contacts": ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"),
    "companies": ("createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"),
    "deals": (
        "amount", "closedate", "createdate", "dealname", "dealstage", "hs_lastmodifieddate", "hs_object_id", "pipeline",
    ),
    "tickets": (
        "content", "createdate", "hs_lastmodifieddate", "hs_object_id", "hs_pipeline", "hs_pipeline_stage",
        "hs_ticket_category", "hs_ticket_priority", "subject",
    ),
}  # fmt: skip
ALWAYS = ("hs_createdate", "hs_lastmodifieddate", "hs_object_id")
CALCULATED = ("time_to_first_agent_reply", "time_to_close", "days_to_close", "hs_projected_amount", "deal_health")
#: Properties the company made itself.
CUSTOM = (
    "tier", "region", "customer_since", "close_reason", "escalated", "deal_health", "promised_date", "delivered_date",
    "cancelled_date",
)  # fmt: skip
#: Calculated values the search index does not hold: null there, filled in a batch read.
NOT_IN_SEARCH = ("time_to_first_agent_reply", "time_to_close")


def modified_property(kind: str) -> str:
    return "lastmodifieddate" if kind == "contacts" else "hs_lastmodifieddate"


def created_property(kind: str) -> str:
    return "createdate" if "createdate" in PROPERTIES[kind] else "hs_createdate"


#: our stage -> id, label, probability; the second pipeline's ids are numbers, as those made by hand are.
DEAL_STAGES = {
    "default": {
        "qualification": ("appointmentscheduled", "Appointment scheduled", 0.2),
        "discovery": ("qualifiedtobuy", "Qualified to buy", 0.4),
        "proposal": ("presentationscheduled", "Offer sent", 0.6),
        "negotiation": ("contractsent", "Contract sent", 0.9),
        "won": ("closedwon", "Closed won", 1.0),
        "lost": ("closedlost", "Closed lost", 0.0),
    },
    "renewals": {
        "qualification": ("61820041", "Due", 0.3),
        "discovery": ("61820042", "Contacted", 0.5),
        "proposal": ("61820043", "Offer sent", 0.7),
        "negotiation": ("61820044", "Verbal yes", 0.9),
        "won": ("61820045", "Renewed", 1.0),
        "lost": ("61820046", "Left", 0.0),
    },
}
PIPELINE_IDS = {"default": "default", "renewals": "27015903"}
TICKET_STAGES = {
    "new": ("1", "New"),
    "waiting": ("2", "Waiting on contact"),
    "working": ("3", "Waiting on us"),
    "escalated": ("996120", "Escalated"),
    "closed": ("4", "Closed"),
}
LEAD_STAGES = {
    "new": ("new-stage-id", "New", "NEW"),
    "working": ("attempting-stage-id", "Attempting", "IN_PROGRESS"),
    "converted": ("qualified-stage-id", "Qualified", "QUALIFIED"),
    "disqualified": ("unqualified-stage-id", "Unqualified", "UNQUALIFIED"),
}
LEAD_PIPELINE = "lead-pipeline-id"
#: HubSpot's own ids of the default order pipeline. Nothing the company does makes an order "Shipped".
ORDER_PIPELINE = "14a2e10e-5471-408a-906e-c51f3b04369e"
ORDER_STAGES = {
    "draft": ("4b27b500-f031-4927-9811-68a0b525cbae", "Open"),
    "activated": ("937ea84d-0a4f-4dcf-9028-3f9c2aafbf03", "Processed"),
    "shipped": ("aa99e8d0-c1d5-4071-b915-d240bbb1aed9", "Shipped"),
    "delivered": ("3725360f-519b-4b18-a593-494d60a29c9f", "Delivered"),
    "cancelled": ("3c85a297-e9ce-400b-b42e-9f16853d69d6", "Cancelled"),
}

#: kind -> id and label of each pipeline, in the portal's order.
PIPELINES = {
    "deals": {PIPELINE_IDS["default"]: "Sales pipeline", PIPELINE_IDS["renewals"]: "Renewals"},
    "tickets": {"0": "Support pipeline"},
    "leads": {LEAD_PIPELINE: "Lead pipeline"},
    "orders": {ORDER_PIPELINE: "Order pipeline"},
}

#: HubSpot's own ids of the default call outcomes.
DISPOSITIONS = {
    "Connected": "f240bbac-87c9-4f6e-bf70-924b57d47db7",
    "No answer": "73a0d17f-1163-4015-bdd5-ec830791da20",
    "Busy": "9d9162e7-6cf3-4944-bf63-4dff82258764",
    "Left voicemail": "b2cf5968-551e-4856-9783-52b3da59a7d0",
}

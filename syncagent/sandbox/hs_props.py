"""The sandbox's HubSpot schema: object types, properties, pipelines and association types."""

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
}
SINGULAR = {
    "contact": "contacts", "company": "companies", "deal": "deals", "ticket": "tickets", "lead": "leads",
    "call": "calls", "email": "emails", "meeting": "meetings", "task": "tasks", "note": "notes",
    "feedback_submission": "feedback_submissions",
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
    " hs_salesforceopportunityid:string salesforcelastsynctime:datetime",
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
CALCULATED = ("time_to_first_agent_reply", "time_to_close", "days_to_close", "hs_projected_amount")
#: Calculated values the search index does not hold: null there, filled in a batch read.
NOT_IN_SEARCH = ("time_to_first_agent_reply", "time_to_close")


def modified_property(kind: str) -> str:
    return "lastmodifieddate" if kind == "contacts" else "hs_lastmodifieddate"


def created_property(kind: str) -> str:
    return "createdate" if kind in ("contacts", "companies", "deals", "tickets") else "hs_createdate"


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

#: (from, to) -> (type id, label) pairs a link carries; the first is the primary one where there is such a thing.
ASSOCIATIONS: dict[tuple[str, str], tuple[tuple[int, str | None], ...]] = {
    ("contacts", "companies"): ((1, "Primary"), (279, None)),
    ("companies", "contacts"): ((2, "Primary"), (280, None)),
    ("deals", "companies"): ((5, "Primary"), (341, None)),
    ("companies", "deals"): ((6, "Primary"), (342, None)),
    ("deals", "contacts"): ((3, None),),
    ("contacts", "deals"): ((4, None),),
    ("tickets", "companies"): ((26, "Primary"), (339, None)),
    ("companies", "tickets"): ((25, "Primary"), (340, None)),
    ("tickets", "contacts"): ((16, None),),
    ("contacts", "tickets"): ((15, None),),
    ("leads", "contacts"): ((578, "Primary"), (608, None)),
    ("contacts", "leads"): ((579, "Primary"), (609, None)),
    ("leads", "companies"): ((610, None),),
    ("companies", "leads"): ((611, None),),
    ("leads", "deals"): ((583, None),),
    ("deals", "leads"): ((584, None),),
    ("feedback_submissions", "contacts"): ((98, None),),
    ("feedback_submissions", "tickets"): ((97, None),),
    ("contacts", "feedback_submissions"): ((99, None),),
    ("tickets", "feedback_submissions"): ((100, None),),
}
for _number, (_kind, _ids) in enumerate(
    {
        "calls": (194, 182, 206, 220, 596),
        "emails": (198, 186, 210, 224, 598),
        "meetings": (200, 188, 212, 226, 600),
        "notes": (202, 190, 214, 228, 602),
        "tasks": (204, 192, 216, 230, 604),
    }.items()
):
    for _target, _id in zip(("contacts", "companies", "deals", "tickets", "leads"), _ids, strict=True):
        ASSOCIATIONS[_kind, _target] = ((_id, None),)
        ASSOCIATIONS[_target, _kind] = ((_id - 1, None),)

#: HubSpot's own ids of the default call outcomes.
DISPOSITIONS = {
    "Connected": "f240bbac-87c9-4f6e-bf70-924b57d47db7",
    "No answer": "73a0d17f-1163-4015-bdd5-ec830791da20",
    "Busy": "9d9162e7-6cf3-4944-bf63-4dff82258764",
    "Left voicemail": "b2cf5968-551e-4856-9783-52b3da59a7d0",
}


def property_list(kind: str) -> list[dict[str, object]]:
    """The body entries of the properties endpoint."""
    known = PROPERTIES[kind]
    return [
        {
            "name": name,
            "label": name.replace("hs_", "").replace("_", " ").capitalize(),
            "type": type_,
            "fieldType": {"bool": "booleancheckbox", "datetime": "date", "enumeration": "select"}.get(type_, "text"),
            "groupName": f"{kind}_information",
            "description": "",
            "options": [],
            "displayOrder": -1,
            "calculated": name in CALCULATED,
            "externalOptions": False,
            "hasUniqueValue": False,
            "hidden": False,
            "hubspotDefined": name not in ("tier", "region", "customer_since", "close_reason", "escalated"),
            "archived": False,
            "modificationMetadata": {"archivable": False, "readOnlyDefinition": True, "readOnlyValue": False},
        }
        for name, type_ in known.items()
    ]


def pipelines(kind: str) -> list[dict[str, object]]:
    """The body entries of the pipelines endpoint."""
    if kind == "deals":
        return [
            _pipeline(
                PIPELINE_IDS[name],
                {"default": "Sales pipeline", "renewals": "Renewals"}[name],
                [
                    (id_, label, {"isClosed": str(chance in (0.0, 1.0)).lower(), "probability": str(chance)})
                    for id_, label, chance in stages.values()
                ],
            )
            for name, stages in DEAL_STAGES.items()
        ]
    if kind == "tickets":
        stages = [
            (
                id_,
                label,
                {"isClosed": str(key == "closed").lower(), "ticketState": "CLOSED" if key == "closed" else "OPEN"},
            )
            for key, (id_, label) in TICKET_STAGES.items()
        ]
        return [_pipeline("0", "Support pipeline", stages)]
    if kind == "leads":
        steps = [
            (id_, label, {"isClosed": str(state in ("QUALIFIED", "UNQUALIFIED")).lower(), "leadState": state})
            for id_, label, state in LEAD_STAGES.values()
        ]
        return [_pipeline(LEAD_PIPELINE, "Lead pipeline", steps)]
    return []


def _pipeline(id_: str, label: str, stages: list[tuple[str, str, dict[str, str]]]) -> dict[str, object]:
    stamp = "2023-01-10T09:00:00.000Z"
    return {
        "id": id_,
        "label": label,
        "displayOrder": 0,
        "createdAt": stamp,
        "updatedAt": stamp,
        "archived": False,
        "stages": [
            {
                "id": stage_id,
                "label": stage_label,
                "displayOrder": order,
                "metadata": metadata,
                "createdAt": stamp,
                "updatedAt": stamp,
                "archived": False,
                "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
            }
            for order, (stage_id, stage_label, metadata) in enumerate(stages)
        ],
    }

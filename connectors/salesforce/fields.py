"""Salesforce's objects and fields for each of our tables, as data."""

from collections.abc import Mapping

from connectors.field_words import Field, read_made, read_map

_DATES = "created_at=CreatedDate:instant updated_at=SystemModstamp:instant"

#: Our columns of each Salesforce object; `kind` words are those of `fields.CONVERTERS`, `local_day` and `due`.
MAPS: Mapping[str, tuple[Field, ...]] = {
    name: read_map(text)
    for name, text in {
        "User": (
            f"{_DATES} name=Name email=Email:email is_active=IsActive:boolean team=UserRole.Name manager=Manager.Name"
        ),
        "Group": f"{_DATES} name=Name email=Email:email",
        "Account": (
            f"{_DATES} name=Name domain_norm=Website:domain kind=Type:account_kind industry=Industry"
            " region=BillingCountry owner_id=OwnerId:sfid parent_id=ParentId:sfid"
        ),
        "Contact": (
            f"{_DATES} first_name=FirstName last_name=LastName email_norm=Email:email phone_norm=Phone:phone"
            " job_title=Title account_id=AccountId:sfid owner_id=OwnerId:sfid opted_out=HasOptedOutOfEmail:boolean"
            " dnc=DoNotCall:boolean bounced=IsEmailBounced:boolean"
        ),
        "Lead": (
            f"{_DATES} name=Name email_norm=Email:email company=Company source_channel=LeadSource status=Status"
            " converted_date=ConvertedDate:day owner_id=OwnerId:sfid"
            " converted_opportunity_id=ConvertedOpportunityId:sfid converted_account_id=ConvertedAccountId:sfid"
            " converted_contact_id=ConvertedContactId:sfid"
        ),
        "Opportunity": (
            f"{_DATES} name=Name account_id=AccountId:sfid owner_id=OwnerId:sfid pipeline=RecordTypeId:sfid"
            " stage=StageName close_date=CloseDate:day amount_minor=Amount:money type=Type:deal_type"
            " probability=Probability:percent loss_reason=Loss_Reason__c lead_source=LeadSource"
        ),
        "OpportunityHistory": (
            "changed_at=CreatedDate:instant opportunity_id=OpportunityId:sfid stage=StageName amount_minor=Amount:money"
            " close_date=CloseDate:day"
        ),
        "Case": (
            f"{_DATES} subject=Subject account_id=AccountId:sfid contact_id=ContactId:sfid owner_id=OwnerId:sfid"
            " pipeline=RecordTypeId:sfid status=Status category=Type:lower priority=Priority:lower"
            " touchpoint=Origin:lower close_reason=Reason:lower closed_at=ClosedDate:instant"
            " is_escalated=IsEscalated:boolean"
        ),
        "Task": (
            f"{_DATES} subject=Subject owner_id=OwnerId:sfid due_at=ActivityDate:due"
            " completed_at=CompletedDateTime:instant duration_s=CallDurationInSeconds:integer"
        ),
        "Event": (
            f"{_DATES} subject=Subject owner_id=OwnerId:sfid occurred_at=StartDateTime:instant"
            " due_at=StartDateTime:instant"
        ),
        "EmailMessage": (
            f"{_DATES} subject=Subject occurred_at=MessageDate:instant completed_at=MessageDate:instant"
            " bounced=IsBounced:boolean message_id=MessageIdentifier thread_id=ThreadIdentifier"
        ),
        "OpportunityLineItem": (
            f"{_DATES} opportunity_id=OpportunityId:sfid product=Product2.Name quantity=Quantity:number"
            " amount_minor=TotalPrice:money"
        ),
        "Order": (
            f"{_DATES} account_id=AccountId:sfid owner_id=OwnerId:sfid status=Status order_date=EffectiveDate:day"
            " amount_minor=TotalAmount:money"
        ),
        "OrderItem": f"{_DATES} order_id=OrderId:sfid product=Product2.Name quantity=Quantity:number",
        "Contract": (f"{_DATES} account_id=AccountId:sfid start_date=StartDate:day end_date=EndDate:day_after"),
        "SurveyInvitation": f"{_DATES} sent_at=CreatedDate:instant",
        "SurveyQuestionResponse": (
            f"{_DATES} score=NumberValue:number responded_at=CreatedDate:instant comment=ResponseValue"
        ),
        "TaskRelation": "activity_id=TaskId:sfid object_id=RelationId:sfid",
        "EventRelation": "activity_id=EventId:sfid object_id=RelationId:sfid",
        "CaseComment": f"{_DATES} occurred_at=CreatedDate:instant completed_at=CreatedDate:instant",
    }.items()
}

#: Fields asked for beside those of the maps, and the columns that are worked out from them.
EXTRA: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    name: read_made(text)
    for name, text in {
        "Account": "MasterRecordId=merged_into",
        "Contact": "MasterRecordId=merged_into",
        "Lead": "Status=status_category IsConverted=status_category,converted_at MasterRecordId=merged_into",
        "Opportunity": "StageName=state IsClosed=state IsWon=state",
        "OpportunityHistory": "StageName=state Probability=state ForecastCategory=state",
        "Case": "Status=status_category IsClosed=status_category MasterRecordId=merged_into",
        "Task": (
            "Status= IsClosed=status,completed_at,occurred_at TaskSubtype=type,direction,is_public,due_at,connected"
            " CallType=direction,is_public CallDisposition=connected AccountId=account_id WhoId=contact_id,lead_id"
            " WhatId=account_id,opportunity_id,ticket_id"
        ),
        "Event": (
            "EndDateTime=status,completed_at,duration_s AccountId=account_id WhoId=contact_id,lead_id"
            " WhatId=account_id,opportunity_id,ticket_id"
        ),
        "EmailMessage": (
            "Incoming=direction,owner_id,is_automated ParentId=ticket_id"
            " RelatedToId=account_id,contact_id,lead_id,opportunity_id,ticket_id Status=status,is_public"
            " CreatedById=owner_id ActivityId=merged_into"  # the task that mirrors a mail is merged into it
        ),
        "CaseComment": "ParentId=ticket_id IsPublished=is_public,direction CreatedById=owner_id,direction",
        "SurveyInvitation": "ContactId=contact_id ParticipantId=contact_id",
        "SurveyQuestionResponse": (
            "Datatype= Question.QuestionType=survey_type,scale_min,scale_max Invitation.ParticipantId=contact_id"
        ),
    }.items()
}

#: Paths behind references that are asked for beside names.
PATHS: Mapping[str, tuple[str, ...]] = {
    "SurveyQuestionResponse": ("Question.QuestionType", "Invitation.ParticipantId"),
}

#: Salesforce's own surveys keep their answers here, where no object of the org's own is named.
SURVEY_ANSWERS = "SurveyQuestionResponse"

#: The field that names the currency of a record's amounts, in an org with several.
CURRENCY = "CurrencyIsoCode"
#: Logs whose rows are given the currency of the record they belong to where they have none of their own.
IN_PARENTS_CURRENCY = ("OpportunityHistory",)

#: The object of each stream whose records have a record type, which is their pipeline.
PIPELINED: Mapping[str, str] = {"opportunities": "Opportunity", "tickets": "Case"}
#: Where the changes of an object's fields are logged.
HISTORIES: Mapping[str, str] = {"Opportunity": "OpportunityHistory", "Case": "CaseHistory", "Lead": "LeadHistory"}
#: Where an org with entitlements keeps when a case was first answered.
MILESTONES = "CaseMilestone"
#: Whom else an activity is about, in an org with Shared Activities.
RELATIONS: Mapping[str, str] = {"Task": "TaskRelation", "Event": "EventRelation"}
#: Objects that are read for the changes of those they hang on: the field that names these.
HANGING: Mapping[str, str] = {MILESTONES: "CaseId", "TaskRelation": "TaskId", "EventRelation": "EventId"}
#: Logs of field changes, and rows below a record, that feed a table without a map of their own:
#: table -> log -> field -> our column.
LOGS: Mapping[str, tuple[str, Mapping[str, tuple[str, ...]]]] = {
    "ticket_status_history": (
        "CaseHistory",
        read_made("CaseId=ticket_id CreatedDate=changed_at Field=status OldValue=status NewValue=status"),
    ),
    "leads": ("LeadHistory", read_made("LeadId=converted_at CreatedDate=converted_at Field=converted_at")),
    "tickets": (MILESTONES, {}),  # see WITH_HELP
    "survey_invitations": ("SurveySubject", read_made("ParentId=ticket_id SubjectId=ticket_id")),
}
#: What is read along with the records of another object, and has no position of its own: that one.
BESIDE_OF: Mapping[str, str] = {
    **{log: name for name, log in HISTORIES.items()},
    **{own: name for name, own in RELATIONS.items()},
    MILESTONES: "Case",
    "SurveySubject": "SurveyInvitation",
}
#: What fields feed with the help of another object: that one -> object (else "*") -> field -> our column.
WITH_HELP: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "User": {
        "User": {},
        "Group": {},
        "EmailMessage": {"LastModifiedById": "updated_by_kind", "CreatedById": "is_automated"},
        "CaseComment": {"LastModifiedById": "updated_by_kind", "CreatedById": "is_automated"},
        "*": {"LastModifiedById": "updated_by_kind"},
    },
    "OpportunityStage": {"OpportunityHistory": {"StageName": "stage_order"}, "Opportunity": {"StageName": "state"}},
    "CaseStatus": {"CaseHistory": {"NewValue": "status_category"}, "Case": {"Status": "status_category"}},
    "MilestoneType": {
        MILESTONES: dict.fromkeys(("CaseId", "CompletionDate", "MilestoneTypeId"), "first_response_at"),
    },
}

#: Lines of an object: theirs, the field and the column that name their parent.
LINES: Mapping[str, tuple[str, str, str]] = {
    "Opportunity": ("OpportunityLineItem", "OpportunityId", "opportunity_id"),
    "Order": ("OrderItem", "OrderId", "order_id"),
}

#: Our table of each object.
TABLES: Mapping[str, str] = {
    "User": "users",
    "Group": "users",
    "Account": "accounts",
    "Contact": "contacts",
    "Lead": "leads",
    "Opportunity": "opportunities",
    "OpportunityHistory": "opportunity_stage_history",
    "Case": "tickets",
    "Task": "activities",
    "Event": "activities",
    "EmailMessage": "activities",
    "CaseComment": "activities",
    "TaskRelation": "activity_links",
    "EventRelation": "activity_links",
    "OpportunityLineItem": "opportunity_lines",
    "Order": "orders",
    "OrderItem": "order_lines",
    "Contract": "contracts",
    "SurveyInvitation": "survey_invitations",
    "SurveyQuestionResponse": "survey_responses",
}

#: What ids of each object begin with, should describe not say so.
ID_PREFIXES: Mapping[str, str] = {
    "User": "005",
    "Group": "00G",
    "Account": "001",
    "Contact": "003",
    "Lead": "00Q",
    "Opportunity": "006",
    "Case": "500",
    "Task": "00T",
    "Event": "00U",
    "EmailMessage": "02s",
    "CaseComment": "00a",
    "Order": "801",
    "Contract": "800",
    "SurveyInvitation": "0Ki",
}

ACCOUNT_KINDS: Mapping[str, str] = {
    "customer": "customer",
    "customer - direct": "customer",
    "customer - channel": "customer",
    "prospect": "prospect",
    "partner": "partner",
    "channel partner / reseller": "partner",
    "technology partner": "partner",
    "installation partner": "partner",
    "reseller": "partner",
}

DEAL_TYPES: Mapping[str, str] = {
    "new business": "newbusiness",
    "new customer": "newbusiness",
    "existing business": "existingbusiness",
    "existing customer - upgrade": "upsell",
    "existing customer - replacement": "existingbusiness",
    "existing customer - downgrade": "existingbusiness",
}

#: Lead statuses that mean nobody goes on with it.
DISQUALIFIED = frozenset({"unqualified", "disqualified", "closed - not converted"})

#: The column an id of each prefix belongs in.
PREFIXES: Mapping[str, str] = {
    "001": "account_id",
    "003": "contact_id",
    "00Q": "lead_id",
    "006": "opportunity_id",
    "500": "ticket_id",
}

#: The table the ids of such a column belong to.
TABLE_OF_COLUMN: Mapping[str, str] = {
    "account_id": "accounts",
    "contact_id": "contacts",
    "lead_id": "leads",
    "opportunity_id": "opportunities",
    "ticket_id": "tickets",
}

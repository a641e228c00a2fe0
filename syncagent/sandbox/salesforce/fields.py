"""The objects and fields of the sandbox's Salesforce with all features on; `sf_schema.py` says what is seen of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Field:
    """One field as `describe` tells of it. `make` works its value out of a row; without, the row holds it by name."""

    name: str
    type: str
    reference_to: tuple[str, ...] = ()
    relationship: str | None = None
    calculated: bool = False
    make: Callable[[dict[str, Any]], Any] | None = None


_ID = ("Id:id", "IsDeleted:boolean")
_STAMPS = (
    "CreatedDate:datetime CreatedById:reference>User LastModifiedDate:datetime LastModifiedById:reference>User "
    "SystemModstamp:datetime"
)
_FULL = f"Id:id IsDeleted:boolean {_STAMPS}"
_STAGE = "Id:id MasterLabel:string ApiName:string IsActive:boolean SortOrder:int SystemModstamp:datetime"
_HISTORY = (
    "Id:id IsDeleted:boolean CreatedById:reference>User CreatedDate:datetime Field:picklist DataType:picklist "
    "OldValue:anyType NewValue:anyType"
)

#: `Name:type`, `>Object` for a reference, `=` for a calculated field. History objects carry no SystemModstamp.
_TEXT = {
    "Organization": "Id:id Name:string OrganizationType:picklist InstanceName:string IsSandbox:boolean"
    " TimeZoneSidKey:picklist DefaultLocaleSidKey:picklist FiscalYearStartMonth:int CreatedDate:datetime"
    " SystemModstamp:datetime",
    "UserRole": "Id:id Name:string ParentRoleId:reference>UserRole DeveloperName:string SystemModstamp:datetime",
    "User": "Id:id Username:string FirstName:string LastName:string Name:string Email:email IsActive:boolean"
    " UserRoleId:reference>UserRole ManagerId:reference>User Department:string Title:string UserType:picklist"
    f" TimeZoneSidKey:picklist {_STAMPS}",
    "Group": "Id:id Name:string DeveloperName:string Type:picklist Email:email CreatedDate:datetime"
    " LastModifiedDate:datetime SystemModstamp:datetime",
    "Account": f"{_FULL} MasterRecordId:reference>Account Name:string Type:picklist ParentId:reference>Account"
    " BillingCountry:string Phone:phone Website:url Industry:picklist AnnualRevenue:currency NumberOfEmployees:int"
    " OwnerId:reference>User Tier__c:picklist Region__c:picklist Customer_Since__c:date BillingAddress:address"
    " IsPersonAccount:boolean PersonContactId:reference>Contact PersonEmail:email FirstName:string LastName:string",
    "Contact": f"{_FULL} MasterRecordId:reference>Contact AccountId:reference>Account LastName:string FirstName:string"
    " Name:string Phone:phone Email:email Title:string OwnerId:reference>User HasOptedOutOfEmail:boolean"
    " DoNotCall:boolean EmailBouncedReason:string EmailBouncedDate:datetime IsEmailBounced:boolean"
    " LeadSource:picklist IsPersonAccount:boolean",
    "Lead": f"{_FULL} MasterRecordId:reference>Lead LastName:string FirstName:string Name:string Title:string"
    " Company:string Phone:phone Email:email LeadSource:picklist Status:picklist Rating:picklist"
    " OwnerId:reference>User,Group IsConverted:boolean ConvertedDate:date ConvertedAccountId:reference>Account"
    " ConvertedContactId:reference>Contact ConvertedOpportunityId:reference>Opportunity",
    "Opportunity": f"{_FULL} AccountId:reference>Account ContactId:reference>Contact Name:string StageName:picklist"
    " Amount:currency Probability:percent ExpectedRevenue:currency= CloseDate:date Type:picklist NextStep:string"
    " LeadSource:picklist IsClosed:boolean IsWon:boolean ForecastCategory:picklist ForecastCategoryName:picklist"
    " OwnerId:reference>User LastStageChangeDate:datetime HasOpportunityLineItem:boolean Loss_Reason__c:picklist"
    " Health__c:string= RecordTypeId:reference>RecordType",
    "RecordType": f"Id:id {_STAMPS} Name:string DeveloperName:string SobjectType:picklist IsActive:boolean",
    "OpportunityHistory": "Id:id IsDeleted:boolean OpportunityId:reference>Opportunity CreatedById:reference>User"
    " CreatedDate:datetime StageName:picklist Amount:currency ExpectedRevenue:currency CloseDate:date"
    " Probability:percent ForecastCategory:picklist PrevAmount:currency PrevCloseDate:date SystemModstamp:datetime",
    "OpportunityStage": f"{_STAGE} IsClosed:boolean IsWon:boolean ForecastCategory:picklist"
    " ForecastCategoryName:picklist DefaultProbability:percent",
    "OpportunityLineItem": f"{_FULL} OpportunityId:reference>Opportunity Product2Id:reference>Product2"
    " ProductCode:string Name:string Quantity:double UnitPrice:currency TotalPrice:currency",
    "Product2": f"{_FULL} Name:string ProductCode:string IsActive:boolean",
    "Case": f"{_FULL} MasterRecordId:reference>Case CaseNumber:string ContactId:reference>Contact"
    " AccountId:reference>Account Type:picklist Status:picklist Reason:picklist Origin:picklist Subject:string"
    " Priority:picklist IsClosed:boolean ClosedDate:datetime IsEscalated:boolean OwnerId:reference>User,Group"
    " Close_Reason__c:picklist RecordTypeId:reference>RecordType",
    "CaseStatus": f"{_STAGE} IsClosed:boolean IsDefault:boolean",
    "LeadStatus": f"{_STAGE} IsConverted:boolean IsDefault:boolean",
    "OpportunityFieldHistory": f"{_HISTORY} OpportunityId:reference>Opportunity",
    "CaseHistory": f"{_HISTORY} CaseId:reference>Case",
    "LeadHistory": f"{_HISTORY} LeadId:reference>Lead",
    "MilestoneType": f"Id:id {_STAMPS} Name:string Description:string RecurrenceType:picklist",
    "CaseMilestone": f"{_FULL} CaseId:reference>Case MilestoneTypeId:reference>MilestoneType StartDate:datetime"
    " TargetDate:datetime CompletionDate:datetime IsCompleted:boolean= IsViolated:boolean= TargetResponseInMins:int",
    "CaseComment": f"{_FULL} ParentId:reference>Case IsPublished:boolean CommentBody:textarea",
    "EmailMessage": f"{_FULL} ParentId:reference>Case ActivityId:reference>Task"
    " RelatedToId:reference>Opportunity,Account"
    " Subject:string FromAddress:email ToAddress:string Incoming:boolean Status:picklist MessageDate:datetime"
    " MessageIdentifier:string ThreadIdentifier:string IsBounced:boolean IsExternallyVisible:boolean",
    "Task": f"{_FULL} WhoId:reference>Contact,Lead WhatId:reference>Account,Opportunity,Case"
    " AccountId:reference>Account"
    " Subject:combobox ActivityDate:date Status:picklist Priority:picklist IsHighPriority:boolean"
    " OwnerId:reference>User,Group IsClosed:boolean IsArchived:boolean TaskSubtype:picklist"
    " CallDurationInSeconds:int CallType:picklist CallDisposition:string CompletedDateTime:datetime",
    "Event": f"{_FULL} WhoId:reference>Contact,Lead WhatId:reference>Account,Opportunity,Case"
    " AccountId:reference>Account Subject:combobox IsAllDayEvent:boolean ActivityDateTime:datetime ActivityDate:date"
    " DurationInMinutes:int StartDateTime:datetime EndDateTime:datetime OwnerId:reference>User IsArchived:boolean"
    " IsChild:boolean EventSubtype:picklist",
    "TaskRelation": f"{_FULL} TaskId:reference>Task RelationId:reference>Contact,Lead,Account,Opportunity,Case"
    " IsWhat:boolean AccountId:reference>Account",
    "EventRelation": f"{_FULL} EventId:reference>Event RelationId:reference>Contact,Lead,Account,Opportunity,Case,User"
    " IsWhat:boolean IsParent:boolean IsInvitee:boolean Status:picklist AccountId:reference>Account",
    "Survey_Response__c": f"{_FULL} Name:string OwnerId:reference>User Score__c:double Scale_Max__c:double"
    " Responded_At__c:datetime Comment__c:textarea Case__c:reference>Case Contact__c:reference>Contact",
    "Order": f"{_FULL} OrderNumber:string AccountId:reference>Account OwnerId:reference>User,Group Status:picklist"
    " StatusCode:picklist EffectiveDate:date EndDate:date TotalAmount:currency ActivatedDate:datetime"
    " Promised_Date__c:date Delivered_Date__c:date Cancelled_Date__c:date",
    "OrderItem": f"{_FULL} OrderId:reference>Order Product2Id:reference>Product2 OrderItemNumber:string"
    " Quantity:double UnitPrice:currency TotalPrice:currency",
    "OrderStatus": f"{_STAGE} StatusCode:picklist IsDefault:boolean",
    "Contract": f"{_FULL} ContractNumber:string AccountId:reference>Account OwnerId:reference>User Status:picklist"
    " StatusCode:picklist StartDate:date EndDate:date ContractTerm:int",
    "SurveyInvitation": f"{_FULL} Name:string OwnerId:reference>User ParticipantId:reference>Contact,User"
    " ContactId:reference>Contact ResponseStatus:picklist InviteExpiryDateTime:datetime Survey_Type__c:picklist"
    " Case__c:reference>Case",
    "SurveySubject": f"{_FULL} Name:string ParentId:reference>SurveyInvitation,SurveyResponse"
    " SurveyInvitationId:reference>SurveyInvitation SubjectId:reference>Case,Contact SubjectEntityType:string",
    "SurveyResponse": f"{_FULL} Name:string InvitationId:reference>SurveyInvitation SubmitterId:reference>Contact,User"
    " CompletionDateTime:datetime Status:picklist",
    "SurveyQuestionResponse": f"{_FULL} Name:string ResponseId:reference>SurveyResponse"
    " InvitationId:reference>SurveyInvitation QuestionId:reference>SurveyQuestion Datatype:picklist"
    " NumberValue:double ResponseShortText:string ResponseValue:textarea",
    "SurveyQuestion": f"{_FULL} Name:string QuestionType:picklist QuestionOrder:int",
    "CurrencyType": f"Id:id {_STAMPS} IsoCode:picklist ConversionRate:double DecimalPlaces:int IsActive:boolean"
    " IsCorporate:boolean",
    "DatedConversionRate": f"Id:id {_STAMPS} IsoCode:picklist StartDate:date NextStartDate:date ConversionRate:double",
}


def _read(text: str) -> dict[str, Field]:
    fields = {}
    for word in text.split():
        name, _, kind = word.partition(":")
        kind, _, targets = kind.partition(">")
        calculated, kind = kind.endswith("="), kind.rstrip("=")
        relationship = None
        if targets:
            relationship = name[:-3] + "__r" if name.endswith("__c") else name.removesuffix("Id")
        fields[name] = Field(name, kind, tuple(targets.split(",")) if targets else (), relationship, calculated)
    return fields


#: object -> field name -> Field, in describe order.
OBJECTS: dict[str, dict[str, Field]] = {name: _read(text) for name, text in _TEXT.items()}

#: What an org has or has not: feature -> objects and fields (`Object.Field`) that are there only with it.
FEATURES: dict[str, tuple[str, ...]] = {
    "multi_currency": (
        "CurrencyType",
        "DatedConversionRate",
        *(f"{name}.CurrencyIsoCode" for name in (
            "Account", "Contact", "Lead", "Opportunity", "OpportunityHistory", "OpportunityLineItem", "Product2",
            "Order", "OrderItem", "Contract", "User",
        )),
    ),
    "dated_rates": ("DatedConversionRate",),
    "person_accounts": (
        "Account.IsPersonAccount", "Account.PersonContactId", "Account.PersonEmail", "Account.FirstName",
        "Account.LastName", "Contact.IsPersonAccount",
    ),
    "surveys": ("SurveyInvitation", "SurveySubject", "SurveyResponse", "SurveyQuestionResponse", "SurveyQuestion"),
    "orders": ("Order", "OrderItem", "OrderStatus"),
    "contracts": ("Contract",),
    "shared_activities": ("TaskRelation", "EventRelation"),
    "record_types": ("RecordType", "Opportunity.RecordTypeId", "Case.RecordTypeId"),
    "entitlements": ("CaseMilestone", "MilestoneType"),
    "field_history": ("OpportunityFieldHistory", "CaseHistory", "LeadHistory"),
}  # fmt: skip
for _name in (name for name in FEATURES["multi_currency"] if "." in name):
    OBJECTS[_name.partition(".")[0]]["CurrencyIsoCode"] = Field(
        "CurrencyIsoCode", "picklist", make=lambda row: row.get("CurrencyIsoCode") or "EUR"
    )

"""The sandbox's Salesforce schema: what `describe` says of each object. Single-currency org, no person accounts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    type: str
    reference_to: tuple[str, ...] = ()
    relationship: str | None = None
    calculated: bool = False


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
    " OwnerId:reference>User Tier__c:picklist Region__c:picklist Customer_Since__c:date",
    "Contact": f"{_FULL} MasterRecordId:reference>Contact AccountId:reference>Account LastName:string FirstName:string"
    " Name:string Phone:phone Email:email Title:string OwnerId:reference>User HasOptedOutOfEmail:boolean"
    " DoNotCall:boolean EmailBouncedReason:string EmailBouncedDate:datetime IsEmailBounced:boolean"
    " LeadSource:picklist",
    "Lead": f"{_FULL} MasterRecordId:reference>Lead LastName:string FirstName:string Name:string Title:string"
    " Company:string Phone:phone Email:email LeadSource:picklist Status:picklist Rating:picklist"
    " OwnerId:reference>User,Group IsConverted:boolean ConvertedDate:date ConvertedAccountId:reference>Account"
    " ConvertedContactId:reference>Contact ConvertedOpportunityId:reference>Opportunity",
    "Opportunity": f"{_FULL} AccountId:reference>Account ContactId:reference>Contact Name:string StageName:picklist"
    " Amount:currency Probability:percent ExpectedRevenue:currency= CloseDate:date Type:picklist NextStep:string"
    " LeadSource:picklist IsClosed:boolean IsWon:boolean ForecastCategory:picklist ForecastCategoryName:picklist"
    " OwnerId:reference>User LastStageChangeDate:datetime HasOpportunityLineItem:boolean Loss_Reason__c:picklist",
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
    " Close_Reason__c:picklist",
    "CaseStatus": f"{_STAGE} IsClosed:boolean IsDefault:boolean",
    "LeadStatus": f"{_STAGE} IsConverted:boolean IsDefault:boolean",
    "CaseHistory": f"{_HISTORY} CaseId:reference>Case",
    "LeadHistory": f"{_HISTORY} LeadId:reference>Lead",
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
    "Survey_Response__c": f"{_FULL} Name:string OwnerId:reference>User Score__c:double Scale_Max__c:double"
    " Responded_At__c:datetime Comment__c:textarea Case__c:reference>Case Contact__c:reference>Contact",
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

_SOAP = {
    "boolean": "xsd:boolean", "date": "xsd:date", "datetime": "xsd:dateTime", "double": "xsd:double",
    "currency": "xsd:double", "percent": "xsd:double", "int": "xsd:int", "id": "tns:ID", "reference": "tns:ID",
}  # fmt: skip
_LABELS = {
    "Survey_Response__c": ("Survey Response", "Survey Responses"),
    "Opportunity": ("Opportunity", "Opportunities"),
}


def describe(sobject: str) -> dict[str, object]:
    """The body of `/sobjects/X/describe`, with the keys clients read."""
    label, plural = _LABELS.get(sobject, (sobject, sobject + "s"))
    return {
        **summary(sobject),
        "label": label,
        "labelPlural": plural,
        "fields": [_describe_field(field) for field in OBJECTS[sobject].values()],
        "childRelationships": [],
        "recordTypeInfos": [],
    }


def summary(sobject: str) -> dict[str, object]:
    """One entry of the global describe."""
    return {
        "name": sobject,
        "label": sobject,
        "keyPrefix": None,
        "custom": sobject.endswith("__c"),
        "queryable": True,
        "retrieveable": True,
        "searchable": True,
        "createable": False,
        "updateable": False,
        "deletable": False,
        "replicateable": "SystemModstamp" in OBJECTS[sobject],
        "urls": {"sobject": f"/services/data/v66.0/sobjects/{sobject}"},
    }


def _describe_field(field: Field) -> dict[str, object]:
    return {
        "name": field.name,
        "label": field.name.removesuffix("__c").replace("_", " "),
        "type": field.type,
        "soapType": _SOAP.get(field.type, "xsd:string"),
        "custom": field.name.endswith("__c"),
        "calculated": field.calculated,
        "nillable": field.type != "boolean" and field.name != "Id",
        "filterable": field.type != "textarea",
        "sortable": field.type != "textarea",
        "length": {"id": 18, "reference": 18, "textarea": 4000, "boolean": 0}.get(field.type, 255),
        "referenceTo": list(field.reference_to),
        "relationshipName": field.relationship,
        "picklistValues": [],
    }

"""What never changes in the sandbox's Salesforce: the org, roles, products, and the values of its pick lists."""

from collections.abc import Iterator
from typing import Any

from syncagent.sandbox import names
from syncagent.sandbox.clock import sf_instant
from syncagent.sandbox.ids import to_18
from syncagent.sandbox.model import LOST, WON, Deal

Row = dict[str, Any]

#: our stage -> API name, label, probability, forecast category (API name, label).
STAGES = {
    "qualification": ("Qualification", 10.0, "Pipeline", "Pipeline"),
    "discovery": ("Needs Analysis", 25.0, "Pipeline", "Pipeline"),
    "proposal": ("Proposal/Price Quote", 60.0, "BestCase", "Best Case"),
    "negotiation": ("Negotiation/Review", 80.0, "Forecast", "Commit"),
    WON: ("Closed Won", 100.0, "Closed", "Closed"),
    LOST: ("Closed Lost", 0.0, "Omitted", "Omitted"),
}
CASE_STATUS = {
    "new": "New",
    "working": "Working",
    "waiting": "Waiting on Customer",
    "escalated": "Escalated",
    "closed": "Closed",
}
LEAD_STATUS = {
    "new": "Open - Not Contacted",
    "working": "Working - Contacted",
    "converted": "Closed - Converted",
    "disqualified": "Closed - Not Converted",
}
#: our status -> (status, status code) of an order.
ORDER_STATUS = {
    "draft": ("Draft", "Draft"),
    "activated": ("Activated", "Activated"),
    "delivered": ("Delivered", "Activated"),
    "cancelled": ("Cancelled", "Canceled"),
}
ACCOUNT_TYPE = {
    "customer": "Customer - Direct",
    "prospect": "Prospect",
    "partner": "Channel Partner / Reseller",
    "other": "Other",
}
DEAL_TYPE = {"newbusiness": "New Business", "existingbusiness": "Existing Business", "renewal": "Renewal"}
CASE_TYPE = {"question": "Question", "problem": "Problem", "complaint": "Complaint", "idea": "Feature Request"}
CLOSE_REASON = {
    "resolved": "Resolved",
    "workaround": "Workaround",
    "no_response": "No response",
    "spam": "Spam",
    "duplicate": "Duplicate",
}


def record_type(deal: Deal) -> str:
    """The id of a deal's record type."""
    return RECORD_TYPES["Opportunity"]["Renewal" if deal.kind == "renewal" else "New Business"]


ORG_ID = to_18("00DJ800000000MX")
_TEAMS = sorted({team for _, _, team, _, _ in names.USERS})
ROLES = {team: to_18(f"00EJ8000000{number:04d}") for number, team in enumerate(_TEAMS)}
#: Question types of Salesforce Surveys -> id of the one question of that type.
QUESTIONS = {"CSAT": to_18("0KuJ80000000001"), "NPS": to_18("0KuJ80000000002")}
#: object -> name of each record type -> id.
RECORD_TYPES = {
    "Opportunity": {"New Business": to_18("012J80000000001"), "Renewal": to_18("012J80000000002")},
    "Case": {"Support": to_18("012J80000000003")},
}
#: Types of milestones -> id.
MILESTONES = {"First Response": to_18("557J80000000001"), "Resolution Time": to_18("557J80000000002")}
PRODUCTS = {name: to_18(f"01tJ8000000{number:04d}") for number, name in enumerate(names.PRODUCTS)}


def fixed_rows(admin_id: str, began: int) -> Iterator[tuple[str, Row]]:
    """The org, its roles, products, and the values of its status lists."""
    stamp = sf_instant(began)
    admin = {"CreatedById": admin_id, "LastModifiedById": admin_id}
    dates = {"CreatedDate": stamp, "LastModifiedDate": stamp, "SystemModstamp": stamp}
    org = {"Id": ORG_ID, "Name": "Northwind Trading", "OrganizationType": "Enterprise Edition"}
    yield (
        "Organization",
        org
        | {
            "InstanceName": "LOOP1",
            "IsSandbox": True,
            "TimeZoneSidKey": "Europe/Berlin",
            "DefaultLocaleSidKey": "en_GB",
            "FiscalYearStartMonth": 1,
            "CreatedDate": stamp,
            "SystemModstamp": stamp,
        },
    )
    for team, role_id in ROLES.items():
        developer = team.replace(" ", "_")
        yield (
            "UserRole",
            {
                "Id": role_id,
                "Name": team,
                "ParentRoleId": None,
                "DeveloperName": developer,
                "SystemModstamp": stamp,
            },
        )
    for name, product_id in PRODUCTS.items():
        code = name.upper().replace(" ", "-")
        yield (
            "Product2",
            {
                "Id": product_id,
                "IsDeleted": False,
                **admin,
                **dates,
                "Name": name,
                "ProductCode": code,
                "IsActive": True,
            },
        )
    for sobject, types in RECORD_TYPES.items():
        for name, type_id in types.items():
            more = {"Name": name, "DeveloperName": name.replace(" ", "_"), "SobjectType": sobject, "IsActive": True}
            yield "RecordType", {"Id": type_id, **admin, **dates, **more}
    for name, type_id in MILESTONES.items():
        yield "MilestoneType", {"Id": type_id, **admin, **dates, "Name": name, "RecurrenceType": "none"}
    for kind, question_id in QUESTIONS.items():
        more = {"Name": f"{kind} question", "QuestionType": kind, "QuestionOrder": 1}
        yield "SurveyQuestion", {"Id": question_id, "IsDeleted": False, **admin, **dates, **more}
    number = 0
    for order, (stage, (api_name, probability, category, label)) in enumerate(STAGES.items(), 1):
        number += 1
        yield (
            "OpportunityStage",
            _status(number, api_name, order, stamp)
            | {
                "IsClosed": stage in (WON, LOST),
                "IsWon": stage == WON,
                "ForecastCategory": category,
                "ForecastCategoryName": label,
                "DefaultProbability": probability,
            },
        )
    for order, (status, api_name) in enumerate(CASE_STATUS.items(), 1):
        number += 1
        more = {"IsClosed": status == "closed", "IsDefault": status == "new"}
        yield "CaseStatus", _status(number, api_name, order, stamp) | more
    for order, (status, api_name) in enumerate(LEAD_STATUS.items(), 1):
        number += 1
        more = {"IsConverted": status == "converted", "IsDefault": status == "new"}
        yield "LeadStatus", _status(number, api_name, order, stamp) | more
    for order, (api_name, code) in enumerate(ORDER_STATUS.values(), 1):
        number += 1
        more = {"StatusCode": code, "IsDefault": order == 1}
        yield "OrderStatus", _status(number, api_name, order, stamp) | more


def _status(number: int, api_name: str, order: int, stamp: str) -> Row:
    return {
        "Id": to_18(f"01JJ8000000{number:04d}"),
        "MasterLabel": api_name,
        "ApiName": api_name,
        "IsActive": True,
        "SortOrder": order,
        "SystemModstamp": stamp,
    }

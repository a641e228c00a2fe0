"""Record ids as the vendors make them: Salesforce 15/18 characters with checksum, HubSpot numbers."""

from collections import defaultdict

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"

#: The three characters every id of a Salesforce object begins with.
PREFIXES = {
    "Account": "001",
    "Contact": "003",
    "User": "005",
    "Opportunity": "006",
    "OpportunityHistory": "008",
    "Group": "00G",
    "Organization": "00D",
    "UserRole": "00E",
    "OpportunityLineItem": "00k",
    "Lead": "00Q",
    "Task": "00T",
    "Event": "00U",
    "CaseComment": "00a",
    "CaseHistory": "017",
    "LeadHistory": "019",
    "Product2": "01t",
    "OpportunityStage": "01J",
    "CaseStatus": "01J",
    "LeadStatus": "01J",
    "EmailMessage": "02s",
    "Case": "500",
    "Survey_Response__c": "a00",
    "Contract": "800",
    "Order": "801",
    "OrderItem": "802",
    "OpportunityFieldHistory": "017",
    "SurveyInvitation": "0Ki",
    "CurrencyType": "01L",
    "DatedConversionRate": "04w",
    "RecordType": "012",
    "TaskRelation": "0RT",
    "EventRelation": "0RE",
    "MilestoneType": "557",
    "CaseMilestone": "555",
}

#: First HubSpot id of each kind. Contacts and tickets cross a power of ten, where text order and number order part.
_HS_STARTS = {
    "contacts": 951,
    "companies": 15_200_000_101,
    "deals": 9_999_999_401,
    "tickets": 999_900,
    "leads": 392_010_001,
    "calls": 41_000_000_001,
    "emails": 42_000_000_001,
    "meetings": 43_000_000_001,
    "tasks": 44_000_000_001,
    "notes": 45_000_000_001,
    "feedback_submissions": 5_500_001,
    "line_items": 8_800_000_101,
    "products": 1_700_001,
    "orders": 6_600_001,
    "invoices": 4_400_001,
    "commerce_payments": 3_300_001,
    "owners": 78_100_011,
    "users": 9_586_500,
}


def to_18(short: str) -> str:
    """The 18-character form of a 15-character id: five-character chunks, one bit per capital letter."""
    suffix = ""
    for start in (0, 5, 10):
        chunk = short[start : start + 5]
        suffix += _SUFFIX[sum(1 << place for place, letter in enumerate(chunk) if "A" <= letter <= "Z")]
    return short + suffix


class Ids:
    """Hands out ids in a fixed order, so that one seed always makes one company."""

    def __init__(self) -> None:
        self._sf: dict[str, int] = defaultdict(lambda: 3_500)
        self._hs = {kind: start - 1 for kind, start in _HS_STARTS.items()}

    def sf(self, sobject: str) -> str:
        prefix = PREFIXES[sobject]
        self._sf[prefix] += 1
        number, text = self._sf[prefix], ""
        for _ in range(6):
            number, digit = divmod(number, 62)
            text = _BASE62[digit] + text
        return to_18(f"{prefix}J80000{text}"[:15])

    def hs(self, kind: str) -> str:
        self._hs[kind] += 1
        return str(self._hs[kind])

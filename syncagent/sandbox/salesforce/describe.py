"""What `describe` says: an object with its fields, one field, one entry of the list of all objects."""

from collections.abc import Mapping

from syncagent.sandbox.ids import PREFIXES
from syncagent.sandbox.salesforce.fields import Field

_SOAP = {
    "boolean": "xsd:boolean", "date": "xsd:date", "datetime": "xsd:dateTime", "double": "xsd:double",
    "currency": "xsd:double", "percent": "xsd:double", "int": "xsd:int", "id": "tns:ID", "reference": "tns:ID",
}  # fmt: skip
_LABELS = {
    "Survey_Response__c": ("Survey Response", "Survey Responses"),
    "Opportunity": ("Opportunity", "Opportunities"),
}


def describe(sobject: str, fields: Mapping[str, Field]) -> dict[str, object]:
    """The body of `/sobjects/X/describe`, with the keys clients read."""
    label, plural = _LABELS.get(sobject, (sobject, sobject + "s"))
    return {
        **summary(sobject, fields),
        "label": label,
        "labelPlural": plural,
        "fields": [_describe_field(field) for field in fields.values()],
        "childRelationships": [],
        "recordTypeInfos": [],
    }


def summary(sobject: str, fields: Mapping[str, Field]) -> dict[str, object]:
    """One entry of the global describe."""
    return {
        "name": sobject,
        "label": sobject,
        "keyPrefix": PREFIXES.get(sobject),
        "custom": sobject.endswith("__c"),
        "queryable": True,
        "retrieveable": True,
        "searchable": True,
        "createable": False,
        "updateable": False,
        "deletable": False,
        "replicateable": "SystemModstamp" in fields,
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

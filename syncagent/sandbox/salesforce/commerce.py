"""Lines, orders, contracts, survey invitations and answers, currencies and their rates as Salesforce rows."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from syncagent.sandbox.clock import DAY, local_midnight, sf_instant
from syncagent.sandbox.ids import to_18
from syncagent.sandbox.model import Contract, Deal, Invitation, Line, Order, Owned, Rate, Survey
from syncagent.sandbox.salesforce.activities import id_of
from syncagent.sandbox.salesforce.fixed import ORDER_STATUS, PRODUCTS, QUESTIONS

Row = dict[str, Any]

_DECIMALS = 2


def twin(sf_id: str, letter: str = "K") -> str:
    """The id of a second row that stands beside one: the same number from another pod."""
    return to_18(sf_id[:3] + letter + sf_id[4:15])


def native(sf_id: str, prefix: str) -> str:
    """The id of a row of another object that tells of the same record."""
    return to_18(prefix + sf_id[3:15])


def lines_of(parent: Deal | Order, base: Row, gone: bool) -> Iterator[tuple[str, Row]]:
    """Every line there is or was: a removed one is in the recycle bin under the moment it went."""
    is_order = isinstance(parent, Order)
    both = [*((line, gone) for line in parent.lines), *((line, True) for line in parent.removed_lines)]
    for line, is_deleted in both:
        if line.sf:
            row = base | _line(line) | {"IsDeleted": is_deleted, "CurrencyIsoCode": parent.currency}
            if line.at:
                row["SystemModstamp"] = row["LastModifiedDate"] = sf_instant(line.at)
            if is_order:
                yield "OrderItem", row | {"OrderId": parent.sf, "OrderItemNumber": f"{line.sf[9:15]}"}
            else:
                name = {"Name": line.product, "ProductCode": _code(line.product)}
                yield "OpportunityLineItem", row | name | {"OpportunityId": parent.sf}


def _line(line: Line) -> Row:
    return {
        "Id": line.sf,
        "Product2Id": PRODUCTS[line.product],
        "Quantity": line.quantity,
        "UnitPrice": round(line.amount / 100 / line.quantity, _DECIMALS) if line.quantity else 0.0,
        "TotalPrice": line.amount / 100,
    }


def _code(product: str) -> str:
    return product.upper().replace(" ", "-")


def order_rows(order: Order, base: Row) -> Iterator[tuple[str, Row]]:
    """The order and its lines; `base` holds its id and stamps."""
    status, code = ORDER_STATUS[order.status]
    number = (order.sf or "")[9:15]
    yield (
        "Order",
        base
        | {
            "OrderNumber": number,
            "AccountId": id_of(order.account),
            "OwnerId": id_of(order.owner) or base["CreatedById"],
            "Status": status,
            "StatusCode": code,
            "EffectiveDate": order.ordered,
            "EndDate": None,
            "TotalAmount": order.amount / 100,
            "ActivatedDate": None if order.status == "draft" else base["LastModifiedDate"],
            "Promised_Date__c": order.promised,
            "Delivered_Date__c": order.delivered,
            "Cancelled_Date__c": order.cancelled,
            "CurrencyIsoCode": order.currency,
        },
    )
    yield from lines_of(order, base, order.deleted is not None)


def contract_row(contract: Contract, base: Row) -> Row:
    months = None
    if contract.end is not None:
        months = (
            (int(contract.end[:4]) - int(contract.start[:4])) * 12 + int(contract.end[5:7]) - int(contract.start[5:7])
        )
    return base | {
        "ContractNumber": contract.number,
        "AccountId": id_of(contract.account),
        "OwnerId": base["CreatedById"],
        "Status": "Activated",
        "StatusCode": "Activated",
        "StartDate": contract.start,
        "EndDate": contract.end,
        "ContractTerm": months,
    }


def invitation_rows(invitation: Invitation, base: Row) -> Iterator[tuple[str, Row]]:
    """The invitation, and the subject that ties it to a case."""
    yield (
        "SurveyInvitation",
        base
        | {
            "Name": f"SI-{invitation.key:06d}",
            "OwnerId": base["CreatedById"],
            "ParticipantId": id_of(invitation.contact),
            "ContactId": id_of(invitation.contact),
            "ResponseStatus": "NotStarted",
            "InviteExpiryDateTime": sf_instant(invitation.sent + 30 * DAY),
            "Survey_Type__c": invitation.kind.upper(),
            "Case__c": id_of(invitation.ticket),
        },
    )
    if invitation.ticket is not None and invitation.ticket.sf:
        yield (
            "SurveySubject",
            base
            | {
                "Id": native(str(invitation.sf), "0Kt"),
                "Name": f"SS-{invitation.key:06d}",
                "ParentId": invitation.sf,
                "SurveyInvitationId": invitation.sf,
                "SubjectId": id_of(invitation.ticket),
                "SubjectEntityType": "Case",
            },
        )


def answer_rows(survey: Survey, base: Row, invitation_id: str | None) -> Iterator[tuple[str, Row]]:
    """A survey's answer as Salesforce Surveys keeps it: the response and its one scored question."""
    response = native(str(survey.sf), "0Kr")
    yield (
        "SurveyResponse",
        base
        | {
            "Id": response,
            "Name": f"R-{survey.key:06d}",
            "InvitationId": invitation_id,
            "SubmitterId": id_of(survey.contact),
            "CompletionDateTime": sf_instant(survey.at),
            "Status": "Completed",
        },
    )
    yield (
        "SurveyQuestionResponse",
        base
        | {
            "Id": native(str(survey.sf), "0Kq"),
            "Name": f"Q-{survey.key:06d}",
            "ResponseId": response,
            "InvitationId": invitation_id,
            "QuestionId": QUESTIONS["NPS" if survey.scale == 10 else "CSAT"],
            "Datatype": "Number",
            "NumberValue": None if survey.score is None else float(survey.score),
            "ResponseShortText": None if survey.score is None else str(survey.score),
            "ResponseValue": survey.comment,
        },
    )


def currency_rows(rates: Iterable[Rate], admin_id: str, began: int) -> Iterator[tuple[str, Row]]:
    """The org's currencies (euro is the corporate one) and, for each other one, its rates by day."""
    by = {"CreatedById": admin_id, "LastModifiedById": admin_id}
    current: dict[str, float] = {"EUR": 1.0}
    days: dict[str, list[Rate]] = {}
    for rate in sorted(rates, key=lambda rate: (rate.currency, rate.valid_from)):
        current[rate.currency] = rate.per_eur
        days.setdefault(rate.currency, []).append(rate)
    for number, (currency, per_eur) in enumerate(current.items(), 1):
        last = max([began, *(local_midnight(rate.valid_from) for rate in days.get(currency, ()))])
        yield (
            "CurrencyType",
            by
            | _stamps(began, last)
            | {
                "Id": to_18(f"01LJ8000000{number:04d}"),
                "IsoCode": currency,
                "ConversionRate": per_eur,
                "DecimalPlaces": _DECIMALS,
                "IsActive": True,
                "IsCorporate": currency == "EUR",
            },
        )
    number = 0
    for currency, dated in days.items():
        for place, rate in enumerate(dated):
            number += 1
            at = local_midnight(rate.valid_from)
            following = dated[place + 1].valid_from if place + 1 < len(dated) else None
            changed = local_midnight(following) if following else at
            yield (
                "DatedConversionRate",
                by
                | _stamps(at, changed)
                | {
                    "Id": to_18(f"04wJ8000000{number:04d}"),
                    "IsoCode": currency,
                    "StartDate": rate.valid_from,
                    "NextStartDate": following or "9999-12-31",
                    "ConversionRate": rate.per_eur,
                },
            )


def _stamps(created: int, changed: int) -> Row:
    stamp = sf_instant(changed)
    return {"CreatedDate": sf_instant(created), "LastModifiedDate": stamp, "SystemModstamp": stamp}


def owner_history(entity_id: str, owners: list[Owned], *, parent: str, by: str, is_deleted: bool) -> Iterator[Row]:
    """Each change of owner: two rows of the same moment, one with names and one with ids, as Salesforce writes them."""
    for before, after in pairwise(owners):
        if not after.sf:
            continue
        row = {
            "IsDeleted": is_deleted,
            parent: entity_id,
            "CreatedById": by,
            "CreatedDate": sf_instant(after.at),
            "Field": "Owner",
        }
        old, new = before.owner, after.owner
        yield row | {"Id": twin(after.sf), "DataType": "Text", "OldValue": old.name, "NewValue": new.name}
        yield row | {"Id": after.sf, "DataType": "EntityId", "OldValue": old.sf, "NewValue": new.sf}

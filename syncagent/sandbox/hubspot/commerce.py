"""Products, lines, orders, invoices and payments as HubSpot properties."""

from collections.abc import Mapping

from syncagent.sandbox.clock import hs_instant, local_midnight
from syncagent.sandbox.hubspot.props import ORDER_PIPELINE, ORDER_STAGES
from syncagent.sandbox.hubspot.values import History, Props, id_of, midnight, money, number_text, versions
from syncagent.sandbox.model import Invoice, Line, Order, Payment
from syncagent.sandbox.names import PRODUCTS

#: What the company sells, by HubSpot id: the same in every company.
PRODUCT_IDS: Mapping[str, str] = {name: str(1_700_001 + place) for place, name in enumerate(PRODUCTS)}


def product_props(name: str) -> Props:
    return {"name": name, "description": f"Northwind {name}", "price": "49", "hs_sku": _sku(name)}


def _sku(product: str) -> str:
    return product.upper().replace(" ", "-")


def line_props(line: Line, currency: str) -> Props:
    """A line item: `amount` is the whole line's, `price` one unit's."""
    return {
        "name": line.product,
        "quantity": number_text(line.quantity),
        "price": number_text(line.amount / 100 / line.quantity) if line.quantity else None,
        "amount": money(line.amount),
        "hs_product_id": PRODUCT_IDS.get(line.product),
        "hs_sku": _sku(line.product),
        "hs_line_item_currency_code": currency,
        "hubspot_owner_id": None,
    }


def order_props(order: Order, per_eur: float) -> Props:
    return {
        "hs_order_name": f"Order {order.key}",
        "hs_pipeline": ORDER_PIPELINE,
        "hs_pipeline_stage": ORDER_STAGES[order.status][0],
        "hs_currency_code": order.currency,
        "hs_total_price": money(order.amount),
        "hs_homecurrency_amount": money(round(order.amount / per_eur)),
        "hs_processed_date": midnight(order.ordered),
        "hs_external_order_id": f"NW-{order.key}",
        "promised_date": order.promised,
        "delivered_date": order.delivered,
        "cancelled_date": order.cancelled,
        "hubspot_owner_id": id_of(order.owner),
    }


def order_history(order: Order, ms: int) -> History:
    """Only where an order stands now: the company keeps no diary of its orders."""
    stage = ORDER_STAGES[order.status][0]
    return {
        "hs_pipeline_stage": versions([(order.hs_modified, stage)], ms),
        "promised_date": versions([(order.created, order.promised)], ms),
    }


def invoice_props(invoice: Invoice, per_eur: float) -> Props:
    return {
        "hs_number": invoice.number,
        "hs_invoice_status": invoice.status,
        "hs_invoice_date": midnight(invoice.issued),
        "hs_due_date": midnight(invoice.due),
        "hs_currency": invoice.currency,
        "hs_amount_billed": money(invoice.amount),
        "hs_amount_billed_in_company_currency": money(round(invoice.amount / per_eur)),
        "hs_balance_due": "0" if invoice.status in ("paid", "voided") else money(invoice.amount),
        "hubspot_owner_id": None,
    }


def payment_props(payment: Payment) -> Props:
    return {
        "hs_initial_amount": money(payment.amount),
        "hs_net_amount": money(payment.amount),
        "hs_currency_code": payment.currency,
        "hs_initiated_date": hs_instant(local_midnight(payment.paid) + 10 * 3600),
        "hs_latest_status": "succeeded",
        "hs_payment_method_type": "bank_transfer",
        "hubspot_owner_id": None,
    }

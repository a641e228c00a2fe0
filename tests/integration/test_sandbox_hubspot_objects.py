"""What the sandbox's HubSpot shows beyond the main objects: commerce, mailings, rates; and schemas that change."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from syncagent.sandbox.clock import local_date
from syncagent.sandbox.commerce import move_order, pay
from syncagent.sandbox.company import Company
from syncagent.sandbox.generate import generate
from syncagent.sandbox.hubspot.commerce import PRODUCT_IDS
from syncagent.sandbox.hubspot.server import HubSpotServer
from syncagent.sandbox.model import Deal
from tests.fakes.portal import Portal

AS_OF = datetime(2026, 11, 16, 6, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def served() -> Iterator[HubSpotServer]:
    server = HubSpotServer(generate(7, AS_OF), limits=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def portal(served: HubSpotServer) -> Iterator[Portal]:
    """The server as if just made, over the same company."""
    served.reset(served._company)
    served.limits = False
    with Portal(served) as portal:
        yield portal


@pytest.fixture
def company(portal: Portal) -> Company:
    return portal.server._company


# -- commerce ----------------------------------------------------------------------------------------------------------


def _with_lines(company: Company) -> Deal:
    """A live deal with two or more lines in HubSpot."""
    live = (d for d in company.deals if d.hs and d.deleted is None and d.merged_into is None)
    return next(d for d in live if sum(bool(line.hs) for line in d.lines) > 1)


def test_lines_hang_on_deals_and_orders(portal: Portal, company: Company) -> None:
    deal = _with_lines(company)
    ids = [line.hs for line in deal.lines]
    assert portal.links("deals", "line_items", [deal.hs or ""]) == {deal.hs: ids}
    assert portal.links("0-8", "deals", ids) == {one: [deal.hs] for one in ids}
    rows = portal.read("line_items", ids[:1], "name", "quantity", "amount", "hs_product_id").json()["results"]
    line, props = deal.lines[0], rows[0]["properties"]
    assert (props["name"], float(props["quantity"])) == (line.product, line.quantity)
    assert round(float(props["amount"]) * 100) == line.amount
    product = portal.get(f"/crm/v3/objects/products/{props['hs_product_id']}", properties="name").json()
    assert product["properties"]["name"] == line.product
    order = next(o for o in company.orders if o.hs and o.deleted is None)
    assert portal.links("orders", "line_items", [order.hs or ""]) == {order.hs: [line.hs for line in order.lines]}


def test_a_removed_line_is_archived_and_no_longer_linked(portal: Portal, company: Company) -> None:
    deal = _with_lines(company)
    line, deal.lines = deal.lines[0], deal.lines[1:]
    deal.removed_lines.append(line._replace(at=company.now))
    portal.server.refresh([deal])
    assert line.hs not in portal.links("deals", "line_items", [deal.hs or ""])[deal.hs or ""]
    assert line.hs in {row["id"] for row in portal.all("line_items", archived="true")}
    assert line.hs not in {row["id"] for row in portal.all("line_items")}


def test_orders_invoices_and_payments(portal: Portal, company: Company) -> None:
    for kind, entities in (("0-123", company.orders), ("invoices", company.invoices), ("0-101", company.payments)):
        live = {e.hs for e in entities if e.hs and e.deleted is None and not e.erased}
        assert {row["id"] for row in portal.all(kind)} == live
    invoice = next(i for i in company.invoices if i.status == "open")
    payment = pay(company, invoice, company.now)
    portal.server.refresh([payment, invoice])
    row = portal.read("invoices", [invoice.hs or ""], "hs_invoice_status", "hs_due_date", "hs_amount_billed").json()
    props = row["results"][0]["properties"]
    due = datetime.fromisoformat(props["hs_due_date"])
    # As a datetime it is the evening before in UTC: who cuts it there is a day off.
    assert (due.date().isoformat() < invoice.due, local_date(int(due.timestamp()))) == (True, invoice.due)
    assert (props["hs_invoice_status"], round(float(props["hs_amount_billed"]) * 100)) == ("paid", invoice.amount)
    assert payment.hs in portal.links("invoices", "commerce_payments", [invoice.hs or ""])[invoice.hs or ""]
    assert portal.links("commerce_payments", "invoices", [payment.hs or ""]) == {payment.hs: [invoice.hs]}


def test_an_order_moves_through_its_pipeline(portal: Portal, company: Company) -> None:
    order = next(o for o in company.orders if o.hs and o.status in ("draft", "activated"))
    move_order(company, order, company.now, "delivered")
    portal.server.refresh([order])
    props = portal.read("orders", [order.hs or ""], "hs_pipeline_stage", "delivered_date").json()["results"][0]
    stages = portal.get("/crm/pipelines/2026-09/orders").json()["results"][0]["stages"]
    labels = {stage["id"]: stage["label"] for stage in stages}
    assert labels[props["properties"]["hs_pipeline_stage"]] == "Delivered"
    assert props["properties"]["delivered_date"] == order.delivered


def test_contacts_by_address(portal: Portal, company: Company) -> None:
    contact = next(c for c in company.contacts if c.hs and c.email and c.deleted is None and c.merged_into is None)
    wanted = [(contact.email or "").upper(), "nobody@example.org"]
    answer = portal.read("contacts", wanted, "email", idProperty="email")
    assert answer.status_code == 207
    assert [row["id"] for row in answer.json()["results"]] == [contact.hs]
    assert answer.json()["errors"][0]["context"]["ids"] == ["nobody@example.org"]
    assert portal.read("deals", ["x"], idProperty="dealname").status_code == 400


# -- mailings, rates ---------------------------------------------------------------------------------------------------


def test_mail_events_newest_first_and_all_of_them(portal: Portal, company: Company) -> None:
    start = company.mail_events[len(company.mail_events) // 2].at * 1000
    events: list[dict[str, Any]] = []
    offset: dict[str, str] = {}
    while True:
        page = portal.get("/email/public/v1/events", startTimestamp=start, limit=300, **offset).json()
        events += page["events"]
        if not page["hasMore"]:
            break
        offset = {"offset": page["offset"]}
    expected = [event for event in company.mail_events if event.at * 1000 >= start]
    assert sorted(e["id"] for e in events) == sorted(e.id for e in expected)
    assert [e["created"] for e in events] == sorted((e["created"] for e in events), reverse=True)
    kinds = {e["type"] for e in events}
    assert {"SENT", "DELIVERED", "OPEN", "CLICK", "STATUSCHANGE"} <= kinds
    by_id = {e["id"]: e for e in events}
    click = next(e for e in events if e["type"] == "CLICK" and e["sentBy"]["id"] in by_id)
    assert by_id[click["sentBy"]["id"]]["created"] == click["sentBy"]["created"]
    assert isinstance(click["filteredEvent"], bool)
    some = portal.get("/email/public/v1/events", limit=1000, campaignId=click["emailCampaignId"]).json()["events"]
    assert {e["emailCampaignId"] for e in some} == {click["emailCampaignId"]}
    assert portal.get("/email/public/v1/events", limit=1001).status_code == 400
    assert portal.get(f"/email/public/v1/campaigns/{click['emailCampaignId']}").json()["name"]


def test_a_mail_event_may_be_written_down_late(portal: Portal, company: Company) -> None:
    newest = company.mail_events[-1]
    portal.server.late_mail[newest.id] = company.now + 60
    asked = {"startTimestamp": newest.at * 1000, "limit": 1000}
    assert newest.id not in {e["id"] for e in portal.get("/email/public/v1/events", **asked).json()["events"]}
    company.now += 60
    assert newest.id in {e["id"] for e in portal.get("/email/public/v1/events", **asked).json()["events"]}


def test_rates_are_worth_in_the_companys_currency(portal: Portal, company: Company) -> None:
    for path in ("/settings/v3/currencies/exchange-rates", "/settings/currencies/2026-09/exchange-rates"):
        rows = portal.get(path).json()["results"]
        assert len(rows) == len(company.rates)
    for row, rate in zip(rows, company.rates, strict=True):
        assert (row["fromCurrencyCode"], row["toCurrencyCode"]) == (rate.currency, "EUR")
        assert row["conversionRate"] == pytest.approx(1 / rate.per_eur)
        day = local_date(int(datetime.fromisoformat(row["effectiveAt"]).timestamp()))
        assert day == rate.valid_from
    assert portal.get("/account-info/2026-09/details").json()["additionalCurrencies"] == portal.server.schema.currencies
    portal.server.schema.add_currency("CHF", 0.8)
    try:
        assert "CHF" in portal.get("/account-info/v3/details").json()["additionalCurrencies"]
        assert portal.get(path).json()["results"][-1]["conversionRate"] == 1.25
    finally:
        company.rates.pop()


def test_a_formula_moves_no_stamp(portal: Portal, company: Company) -> None:
    deal = next(d for d in company.deals if d.hs and d.deleted is None and d.merged_into is None)
    before = portal.read("deals", [deal.hs or ""], "deal_health").json()["results"][0]
    deal.health = "red" if deal.health != "red" else "green"
    company.drift(deal, company.now)
    portal.server.refresh([deal])
    after = portal.read("deals", [deal.hs or ""], "deal_health").json()["results"][0]
    assert after["properties"]["deal_health"] == deal.health != before["properties"]["deal_health"]
    assert after["updatedAt"] == before["updatedAt"]
    kinds = {p["name"]: p for p in portal.get("/crm/v3/properties/deals").json()["results"]}
    assert (kinds["deal_health"]["calculated"], kinds["deal_health"]["hubspotDefined"]) == (True, False)


def test_owner_history(portal: Portal, company: Company) -> None:
    deal = next(d for d in company.deals if d.hs and d.deleted is None and d.merged_into is None)
    other = next(u for u in company.users if u.hs and u is not deal.owner)
    company.give(deal, other, company.now)
    portal.server.refresh([deal])
    row = portal.read("deals", [deal.hs or ""], propertiesWithHistory=["hubspot_owner_id"]).json()["results"][0]
    versions = row["propertiesWithHistory"]["hubspot_owner_id"]
    assert (versions[0]["value"], len(versions)) == (other.hs, len(deal.owners))


# -- the schema changes ------------------------------------------------------------------------------------------------


def test_a_hidden_property_is_ignored_in_lists_and_refused_in_searches(portal: Portal) -> None:
    schema = portal.server.schema
    schema.hide("deals", "amount")
    names = {item["name"] for item in portal.get("/crm/v3/properties/deals").json()["results"]}
    row = portal.all("deals", properties="amount,dealname")[0]
    assert "amount" not in names
    assert ("amount" in row["properties"], "dealname" in row["properties"]) == (False, True)
    filters = [{"propertyName": "amount", "operator": "GT", "value": "1"}]
    body = {"filterGroups": [{"filters": filters}]}
    refused = portal.post("/crm/v3/objects/deals/search", body)
    assert (refused.status_code, refused.json()["category"]) == (400, "VALIDATION_ERROR")
    schema.show("deals", "amount")
    assert portal.post("/crm/v3/objects/deals/search", body).status_code == 200


def test_properties_come_and_change_their_type(portal: Portal) -> None:
    schema = portal.server.schema
    schema.add("deals", "colour", "enumeration", lambda record: f"c{record.number % 3}")
    schema.retype("deals", "amount", "string", lambda text: text and f"EUR {text}")
    schema.remove("deals", "dealtype")
    types = {item["name"]: item["type"] for item in portal.get("/crm/v3/properties/deals").json()["results"]}
    assert (types["colour"], types["amount"], "dealtype" in types) == ("enumeration", "string", False)
    rows = portal.all("deals", properties="colour,amount")
    assert {row["properties"]["colour"] for row in rows} == {"c0", "c1", "c2"}
    assert any((row["properties"]["amount"] or "").startswith("EUR ") for row in rows)


def test_a_kind_that_may_not_be_read(portal: Portal) -> None:
    schema = portal.server.schema
    schema.disable("tickets")
    for answer in (
        portal.get("/crm/v3/objects/tickets"),
        portal.post("/crm/objects/2026-09/0-5/search", {}),
        portal.get("/crm/v3/pipelines/tickets"),
        portal.get("/crm/v3/objects/deals", associations="tickets"),
    ):
        assert (answer.status_code, answer.json()["category"]) == (403, "MISSING_SCOPES")
        assert answer.json()["errors"][0]["context"]["requiredScopes"] == ["tickets"]
    assert portal.get("/crm/v3/objects/deals").status_code == 200
    schema.enable("tickets")
    assert portal.get("/crm/v3/objects/tickets").status_code == 200
    for kind, path in (
        ("owners", "/crm/v3/owners"),
        ("email_events", "/email/public/v1/events"),
        ("currencies", "/settings/v3/currencies/exchange-rates"),
    ):
        schema.disable(kind)
        assert portal.get(path).status_code == 403


def test_a_portal_without_a_kind(portal: Portal) -> None:
    portal.server.schema.absent.add("leads")
    for answer in (portal.get("/crm/v3/objects/leads"), portal.get("/crm/v3/properties/0-136")):
        assert (answer.status_code, answer.json()["message"][:27]) == (400, "Unable to infer object type")


def test_links_that_may_not_be_read(portal: Portal, company: Company) -> None:
    portal.server.schema.forbid_links("deals", "contacts")
    body = {"inputs": [{"id": "1"}]}
    assert portal.post("/crm/v4/associations/deals/contacts/batch/read", body).status_code == 403
    assert portal.post("/crm/v4/associations/contacts/deals/batch/read", body).status_code == 207
    portal.server.schema.allow_links("deals", "contacts")
    assert portal.post("/crm/v4/associations/deals/contacts/batch/read", body).status_code == 207


def test_stages_are_renamed_removed_and_reordered(portal: Portal, company: Company) -> None:
    schema = portal.server.schema

    def stages() -> dict[str, str]:
        found = portal.get("/crm/v3/pipelines/deals").json()["results"]
        return {stage["id"]: stage["label"] for stage in found[0]["stages"]}

    before = stages()
    try:
        schema.rename_stage("deals", "closedwon", "Signed")
        schema.remove_stage("deals", "qualifiedtobuy")
        schema.reorder_stages("deals", "default", ["contractsent", "closedlost"])
        after = stages()
    finally:
        company.stage_labels.clear()
        company.stages_removed.clear()
    assert list(after)[:2] == ["contractsent", "closedlost"]
    assert (after["closedwon"], before.keys() - after.keys()) == ("Signed", {"qualifiedtobuy"})
    schema.delete_pipeline("deals", "27015903")
    assert [p["id"] for p in portal.get("/crm/v3/pipelines/deals").json()["results"]] == ["default"]


def test_every_product_is_listed(portal: Portal) -> None:
    assert {row["properties"]["name"] for row in portal.all("products", properties="name")} == set(PRODUCT_IDS)


# -- versions of paths, another company --------------------------------------------------------------------------------


def test_dated_paths_are_missing_for_some_families(portal: Portal) -> None:
    portal.server.undated = {"objects", "owners"}
    assert portal.get("/crm/objects/2026-09/deals").status_code == 404
    assert portal.get("/crm/owners/2026-09").status_code == 404
    assert portal.get("/crm/properties/2026-09/deals").status_code == 200
    assert portal.get("/crm/objects/2027-03/deals").status_code == 404
    assert portal.get("/crm/v3/objects/deals").status_code == 200
    portal.server.undated = {"oauth"}
    assert portal.post("/oauth/2026-09/token", {}).status_code == 404
    assert portal.post("/oauth/v1/token", {}).status_code == 400
    portal.server.undated = set()
    portal.server.faults.dated_404()
    assert [portal.get("/crm/objects/2026-09/deals").status_code for _ in range(2)] == [404, 200]


def test_another_company_finds_a_new_server(portal: Portal) -> None:
    server = portal.server
    first = server._company
    url = server.url
    server.limits, server.skew_s = True, 60
    server.per_10s = 1
    server.faults.hubspot_error(500, "OOPS", times=None)
    server.schema.disable("deals")
    small = generate(8, AS_OF, "tiny")
    server.reset(small)
    try:
        assert (server.url, server.skew_s, server.per_10s, server.calls.total()) == (url, 0, 100_000, 0)
        live = {d.hs for d in small.deals if d.hs and d.deleted is None and d.merged_into is None}
        assert {row["id"] for row in portal.all("deals")} == live
    finally:
        server.reset(first)

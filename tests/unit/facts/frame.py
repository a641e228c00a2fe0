"""What the tests of facts share: rows put into a cache, facts kept and built anew, and whatever may change."""

import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from scorecards.definition import Reporting
from scorecards.facts import FACTS, Fact
from syncagent import facts
from syncagent.schema import TABLES, column_types

#: A change: (table, id, values).
Change = tuple[str, str, Mapping[str, Any]]

REPORTING = Reporting(
    timezone="Europe/Berlin",
    customer_spans=("deals 365", "deals+orders 30", "deals+orders 365"),
    tables={name: column_types(name) for name in TABLES},
    references={name: dict(table.references) for name, table in TABLES.items()},
)
START = datetime(2026, 1, 1, tzinfo=UTC)


def put(conn: sqlite3.Connection, table: str, id_: str, **values: Any) -> None:
    """Insert a row or change the given columns of it."""
    row = {"id": id_, "source": "salesforce", "source_name": "sf", "source_instance": "o", "source_id": id_}
    row |= {"first_seen_at": "2026-01-01T00:00:00Z", "synced_at": "2026-01-01T00:00:00Z", **values}
    sets = ", ".join(f"{name} = excluded.{name}" for name in values) or "id = excluded.id"
    conn.execute(
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
        f" ON CONFLICT (id) DO UPDATE SET {sets}",
        tuple(row.values()),
    )


def snapshot(conn: sqlite3.Connection, kept: Mapping[str, Fact] = FACTS) -> dict[str, list[tuple[Any, ...]]]:
    """Every fact row, in a fixed order."""
    return {
        fact.name: sorted((tuple(r) for r in conn.execute(f"SELECT * FROM {fact.name}")), key=repr)
        for fact in kept.values()
    }


def rebuilt(conn: sqlite3.Connection, kept: Mapping[str, Fact] = FACTS) -> dict[str, list[tuple[Any, ...]]]:
    """The facts as they are when nothing of them is kept."""
    conn.execute("DELETE FROM facts_meta")
    facts.refresh(conn, REPORTING, facts=kept)
    return snapshot(conn, kept)


moments = st.integers(0, 300 * 24).map(lambda h: (START + timedelta(hours=h)).strftime("%Y-%m-%dT%H:%M:%SZ"))
days = st.integers(0, 300).map(lambda d: (START + timedelta(days=d)).date().isoformat())
few = st.sampled_from("abc")


def deal() -> st.SearchStrategy[Change]:
    values = {
        "state": st.sampled_from(["open", "won", "lost"]),
        "close_date": st.none() | days,
        "created_at": st.none() | moments,
        "amount_minor": st.none() | st.integers(0, 10**6),
        "is_deleted": st.sampled_from([0, 0, 0, 1]),
        "account_id": st.sampled_from(["A a", "A b", "A c"]),
        "sf_opportunity_id": st.sampled_from([None, None, "D a", "D b"]),
        "source": st.sampled_from(["salesforce", "hubspot"]),
    }
    return st.tuples(st.just("opportunities"), few.map("D {}".format), st.fixed_dictionaries(values))


def history() -> st.SearchStrategy[Change]:
    values = {
        "opportunity_id": few.map("D {}".format),
        "changed_at": moments,
        "state": st.sampled_from(["open", "won", "lost"]),
        "stage": st.sampled_from([None, "s a", "s b"]),
        "stage_order": st.sampled_from([None, None, 1, 2]),
        "seq": st.integers(0, 3),
    }
    return st.tuples(st.just("opportunity_stage_history"), few.map("H {}".format), st.fixed_dictionaries(values))


def stage() -> st.SearchStrategy[Change]:
    """Where a stage stands, which histories that do not say so are looked up by."""
    values = {
        "object": st.sampled_from(["opportunities", "opportunities", "tickets"]),
        "stage": st.sampled_from([None, "s a", "s b"]),
        "stage_order": st.none() | st.integers(0, 3),
        "valid_from": st.none() | moments,
    }
    return st.tuples(st.just("stage_defs"), st.sampled_from(["G a", "G b"]), st.fixed_dictionaries(values))


def ticket() -> st.SearchStrategy[Change]:
    values = {
        "created_at": moments,
        "closed_at": st.none() | moments,
        "status_category": st.sampled_from([None, "open", "pending", "closed"]),
        "account_id": st.sampled_from(["A a", "A b"]),
        "merged_into": st.sampled_from([None, None, None, "T c"]),
        "is_escalated": st.sampled_from([None, 0, 1]),
        "escalated_at": st.none() | moments,
    }
    return st.tuples(st.just("tickets"), st.sampled_from(["T a", "T b"]), st.fixed_dictionaries(values))


def status() -> st.SearchStrategy[Change]:
    values = {
        "ticket_id": st.sampled_from(["T a", "T b"]),
        "changed_at": moments,
        "status_category": st.sampled_from(["open", "pending", "closed"]),
        "escalated": st.sampled_from([None, 0, 1]),
    }
    return st.tuples(st.just("ticket_status_history"), few.map("S {}".format), st.fixed_dictionaries(values))


def activity() -> st.SearchStrategy[Change]:
    values = {
        "type": st.sampled_from(["email", "email", "call", "meeting", "note"]),
        "direction": st.sampled_from(["outbound", "inbound"]),
        "status": st.sampled_from(["completed", "completed", "open"]),
        "is_public": st.sampled_from([0, 1]),
        "connected": st.sampled_from([None, 0, 1]),
        "occurred_at": moments,
        "thread_id": st.sampled_from([None, "t a", "t b"]),
        "account_id": st.sampled_from([None, None, "A a", "A b"]),
        "ticket_id": st.sampled_from([None, "T a", "T b"]),
        "lead_id": st.sampled_from([None, "L a"]),
        "contact_id": st.sampled_from([None, "C a", "C b", "C c"]),
        "opportunity_id": st.sampled_from([None, None, "D a", "D b"]),
        "source": st.sampled_from(["salesforce", "hubspot"]),
        "message_id": st.sampled_from([None, "<m@acme.test>", "m@acme.test"]),
        "created_at": st.none() | moments,
        "is_deleted": st.sampled_from([0, 0, 1]),
        "is_test": st.sampled_from([0, 0, 0, 1]),
    }
    return st.tuples(st.just("activities"), few.map("X {}".format), st.fixed_dictionaries(values))


def link() -> st.SearchStrategy[Change]:
    """An activity's further parties."""
    named = [("contacts", "C a"), ("contacts", "C b"), ("contacts", "C c"), ("accounts", "A b"), ("leads", "L a")]
    named += [("opportunities", "D a"), ("tickets", "T a"), ("tickets", "T b")]
    made = st.tuples(few, st.sampled_from(named), st.sampled_from([0, 0, 1])).map(
        lambda of: {"activity_id": f"X {of[0]}", "object": of[1][0], "object_id": of[1][1], "is_deleted": of[2]}
    )
    return st.tuples(st.just("activity_links"), few.map("N {}".format), made)


def mail_event() -> st.SearchStrategy[Change]:
    values = {
        "send_id": st.sampled_from([None, "s a", "s b"]),
        "type": st.sampled_from(["sent", "delivered", "bounce", "open", "click"]),
        "occurred_at": moments,
        "is_filtered": st.sampled_from([0, 0, 1]),
        "link_kind": st.sampled_from([None, "content", "unsubscribe"]),
        "contact_id": st.sampled_from([None, "C a", "C b"]),
        "is_deleted": st.sampled_from([0, 0, 1]),
    }
    return st.tuples(st.just("email_events"), few.map("E {}".format), st.fixed_dictionaries(values))


def others() -> st.SearchStrategy[Change]:
    account = {"merged_into": st.sampled_from([None, None, "A c"]), "updated_at": moments}
    account |= {
        "name": st.sampled_from([None, "Acme", "ACME Inc", "Acme, Inc."]),
        "source": st.sampled_from(["salesforce", "hubspot"]),
    }
    account |= {"domain_norm": st.sampled_from([None, "acme.test", "gmail.com"])}
    account |= {"sf_account_id": st.sampled_from([None, None, "A a", "A b"])}
    contact = {
        "updated_at": st.none() | moments,
        "updated_by_kind": st.sampled_from([None, "human", "integration"]),
        "email_norm": st.sampled_from([None, "a@acme.test", " A@acme.test", "n/a"]),
        "phone_norm": st.sampled_from([None, "030 1234567", "110"]),
        "source_name": st.sampled_from(["sf", "sf", "hs"]),
        "bounced": st.sampled_from([0, 0, 1]),
        "sf_contact_id": st.sampled_from([None, None, "C a", "C b"]),
        "source": st.sampled_from(["salesforce", "hubspot"]),
        "is_test": st.sampled_from([0, 0, 0, 1]),
        "account_id": st.sampled_from([None, "A a", "A b"]),
        "is_deleted": st.sampled_from([0, 1]),
        "merged_into": st.sampled_from([None, None, None, "C b", "C c"]),
    }
    lead = {
        "created_at": moments,
        "status_category": st.sampled_from(["open", "converted"]),
        "converted_date": st.none() | days,
        "converted_contact_id": st.sampled_from([None, "C a", "C b", "C c"]),
    }
    return st.one_of(
        st.tuples(st.just("accounts"), st.sampled_from(["A a", "A b"]), st.fixed_dictionaries(account)),
        st.tuples(st.just("contacts"), few.map("C {}".format), st.fixed_dictionaries(contact)),
        st.tuples(st.just("leads"), st.just("L a"), st.fixed_dictionaries(lead)),
    )


def answer() -> st.SearchStrategy[Change]:
    values = {
        "responded_at": moments,
        "contact_id": st.sampled_from([None, "C a", "C b", "C c"]),
        "is_deleted": st.sampled_from([0, 0, 1]),
    }
    return st.tuples(st.just("survey_responses"), few.map("R {}".format), st.fixed_dictionaries(values))


def invitation() -> st.SearchStrategy[Change]:
    values = {
        "sent_at": moments,
        "ticket_id": st.sampled_from([None, "T a", "T b", "T c"]),
        "is_deleted": st.sampled_from([0, 0, 1]),
    }
    return st.tuples(st.just("survey_invitations"), few.map("I {}".format), st.fixed_dictionaries(values))


def money() -> st.SearchStrategy[Change]:
    invoice = {
        "issued_date": st.none() | days,
        "amount_minor": st.none() | st.integers(0, 500),
        "currency": st.sampled_from([None, "EUR"]),
        "status": st.sampled_from([None, "open", "voided"]),
        "account_id": st.sampled_from([None, "A a", "A b"]),
        "is_deleted": st.sampled_from([0, 0, 1]),
    }
    payment = {
        "invoice_id": few.map("V {}".format),
        "paid_date": st.none() | days,
        "amount_minor": st.none() | st.integers(0, 300),
        "currency": st.sampled_from([None, "EUR", "USD"]),
        "is_deleted": st.sampled_from([0, 0, 1]),
    }
    return st.one_of(
        st.tuples(st.just("invoices"), st.sampled_from(["V a", "V b"]), st.fixed_dictionaries(invoice)),
        st.tuples(st.just("payments"), few.map("P {}".format), st.fixed_dictionaries(payment)),
    )


def customer() -> st.SearchStrategy[Change]:
    """What makes a customer for a time: contracts, and orders beside won deals."""
    contract = {
        "account_id": st.sampled_from([None, "A a", "A b"]),
        "start_date": st.none() | days,
        "end_date": st.none() | days,
        "created_at": st.none() | moments,
        "is_deleted": st.sampled_from([0, 0, 0, 1]),
    }
    order = {
        "account_id": st.sampled_from([None, "A a", "A b"]),
        "order_date": st.none() | days,
        "created_at": st.none() | moments,
        "status": st.sampled_from([None, "shipped", "Cancelled"]),
        "cancelled_date": st.none() | days,
        "is_deleted": st.sampled_from([0, 0, 0, 1]),
    }
    return st.one_of(
        st.tuples(st.just("contracts"), few.map("K {}".format), st.fixed_dictionaries(contract)),
        st.tuples(st.just("orders"), few.map("O {}".format), st.fixed_dictionaries(order)),
    )


changes = st.one_of(
    st.one_of(
        deal(), history(), history(), stage(), ticket(), status(), activity(), activity(), link(), link(), mail_event()
    ),
    st.one_of(answer(), invitation(), money(), customer(), customer(), others()),
)

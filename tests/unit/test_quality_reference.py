"""Data quality against a naive reading of random records: who can be reached, what is stale, what nobody needs."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.checks.kpi import problems
from scorecards.definition import build, override
from scorecards.evaluate import Evaluator
from scorecards.facts.doubles import clusters_by_name
from scorecards.values import KpiResult
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

START = datetime(2026, 6, 1, tzinfo=UTC)
#: A third of the random companies is enough for every day.
SEEDS = [pytest.param(seed, marks=[pytest.mark.slow] if seed > 3 else []) for seed in range(12)]
Row = dict[str, Any]


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class World:
    """Random contacts, accounts, deals, tickets and activities, changed once more after a first look."""

    def __init__(self, conn: sqlite3.Connection, seed: int) -> None:
        self.conn, self.random = conn, Random(seed)
        self.rows: dict[str, dict[str, Row]] = {}
        for _ in range(2):
            self.fill()
            facts.refresh(conn, REPORTING)
        self.as_of = START + timedelta(days=self.random.randrange(60, 130), hours=self.random.randrange(24))

    def moment(self) -> str:
        return stamp(START + timedelta(hours=self.random.randrange(120 * 24)))

    def fill(self) -> None:
        pick, some = self.random.choice, self.random.randrange
        for n in range(12):
            common = {"created_at": pick([None, self.moment()]), "updated_at": pick([None, self.moment()]),
                      "updated_by_kind": pick([None, "human", "integration"])}  # fmt: skip
            gone = {"is_deleted": pick([0, 0, 0, 1])}
            account = pick([None, f"A{some(5)}"])
            if n < 5:
                self.add("accounts", f"A{n}", kind=pick(["customer", "prospect"]), **common, is_deleted=0)
            self.add("contacts", f"C{n}", **common, **gone, account_id=account, bounced=pick([0, 0, 1]),
                     email_norm=pick([None, "a@acme.test", "b@acme.test", "n/a"]), opted_out=pick([0, 0, 1]),
                     phone_norm=pick([None, "0301234567", "12"]), dnc=pick([0, 1]),
                     left_company=pick([None, 0, 1]))  # fmt: skip
            self.add("opportunities", f"D{n}", **common, **gone, account_id=account,
                     state=pick(["open", "open", "won"]), close_date=self.moment()[:10])  # fmt: skip
            closed = pick([None, None, self.moment()])
            self.add("tickets", f"T{n}", **{**common, "created_at": stamp(START)}, **gone, account_id=account,
                     contact_id=pick([None, f"C{some(12)}"]), closed_at=closed,
                     status_category="closed" if closed else "open")  # fmt: skip
        for n in range(25):
            kind = pick(["contact_id", "account_id", "opportunity_id", "ticket_id"])
            to = {"contact_id": "C", "account_id": "A", "opportunity_id": "D", "ticket_id": "T"}
            named: Row = dict.fromkeys(to)
            named[kind] = f"{to[kind]}{some(5 if kind == 'account_id' else 12)}"
            named |= {"status": pick(["completed", "completed", "open"]), "is_automated": pick([0, 0, 1])}
            named |= {"type": pick(["email", "call"]), "direction": "inbound", "occurred_at": self.moment()}
            self.add("activities", f"X{n}", **named)

    def add(self, table: str, id_: str, **values: Any) -> None:
        self.rows.setdefault(table, {})[id_] = {"id": id_, **values}
        put(self.conn, table, id_, **values)

    # -- the naive reading -------------------------------------------------------------------------------------

    def live(self, table: str) -> list[Row]:
        now = stamp(self.as_of)
        return [r for r in self.rows[table].values() if not r["is_deleted"] and (r["created_at"] or "") < now]

    def acted(self, table: str, id_: str) -> list[str]:
        """When people dealt with a record: themselves, or (of an account) with its contacts, deals and tickets."""
        found = []
        for act in self.rows["activities"].values():
            if act["status"] != "completed" or act["is_automated"] or act["occurred_at"] >= stamp(self.as_of):
                continue
            named = {"contacts": act["contact_id"], "opportunities": act["opportunity_id"], "tickets": act["ticket_id"]}
            own = act["account_id"]
            for place in named:
                if own is None and named[place] is not None:
                    own = self.rows[place][named[place]]["account_id"]
            if {**named, "accounts": own}[table] == id_:
                found.append(act["occurred_at"])
        return found

    def age(self, table: str, row: Row) -> int | None:
        """Whole days; None where it was edited since."""
        edited = row["updated_at"] if row["updated_by_kind"] != "integration" else None
        if edited is not None and edited >= stamp(self.as_of):
            return None
        times = [t for t in (edited, row["created_at"], *self.acted(table, row["id"])) if t is not None]
        return (self.as_of - datetime.fromisoformat(max(times))).days if times else 10**6

    def told(self, name: str, **params: Any) -> KpiResult:
        kpi = override(BUILTINS[name], {"n_min": 0, "params": params})
        found = Evaluator(self.conn, BUILTINS, REPORTING, as_of=self.as_of).evaluate(kpi)
        assert found.status != "error", found.reason
        return found


@pytest.fixture(params=range(20))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with closing(open_cache(tmp_path)) as conn:
        yield World(conn, request.param)


def _reachable(row: Row) -> bool:
    by_mail = "@" in (row["email_norm"] or "") and not row["bounced"] and not row["opted_out"]
    return by_mail or (len(row["phone_norm"] or "") >= 7 and not row["dnc"])


def test_who_can_be_reached(world: World) -> None:
    contacts = world.live("contacts")
    result = world.told("contactability_rate")
    assert (result.numerator, result.denominator) == (sum(map(_reachable, contacts)), len(contacts))


@pytest.mark.parametrize(
    ("kind", "table", "limit"),
    [("contacts", "contacts", 40), ("accounts", "accounts", 40), ("open_deals", "opportunities", 30),
     ("open_tickets", "tickets", 20)],
)  # fmt: skip
def test_what_was_seen_to(world: World, kind: str, table: str, limit: int) -> None:
    rows = world.live(table)
    if kind == "accounts":
        rows = [row for row in rows if row["kind"] == "customer"]
    if kind == "open_deals":
        rows = [r for r in rows if r["state"] == "open" or r["close_date"] >= _local_day(world)]
    if kind == "open_tickets":
        rows = [r for r in rows if r["closed_at"] is None or r["closed_at"] >= stamp(world.as_of)]
    ages = [world.age(table, row) for row in rows]
    known = [age for age in ages if age is not None]
    result = world.told("dq_timeliness", object=kind, age_days=limit)
    assert (result.numerator, result.denominator) == (sum(age <= limit for age in known), len(known))
    assert result.details["excluded_edited_since"] == len(ages) - len(known)


def _local_day(world: World) -> str:
    return Evaluator(world.conn, {}, REPORTING, as_of=world.as_of).today.isoformat()


def test_who_is_needed(world: World) -> None:
    contacts = world.live("contacts")
    today, now = _local_day(world), stamp(world.as_of)
    customers = {a for a, row in world.rows["accounts"].items() if row["kind"] == "customer"}
    busy = {d["account_id"] for d in world.live("opportunities") if d["state"] == "open" or d["close_date"] >= today}
    open_tickets = [t for t in world.live("tickets") if t["closed_at"] is None or t["closed_at"] >= now]
    busy |= {t["account_id"] for t in open_tickets}
    asking = {t["contact_id"] for t in open_tickets}
    since = stamp(world.as_of - timedelta(days=41))
    kept = 0
    for row in contacts:
        acted, account = world.acted("contacts", row["id"]), row["account_id"]
        wanted = account in customers or (account is not None and account in busy) or row["id"] in asking
        wanted |= any(at > since for at in acted)
        unattached = account is None and not acted
        kept += wanted and not row["bounced"] and not row["left_company"] and not unattached
    result = world.told("dq_relevance", active_days=40)
    assert (result.numerator, result.denominator) == (kept, len(contacts))
    assert result.actions is not None
    assert result.actions.total == len(contacts) - kept


def test_of_earlier_nothing_is_said(world: World) -> None:
    """What the records were like then, nobody kept."""
    result = world.told("contactability_rate")
    assert (result.series, result.comparisons) == ((), ())


def test_only_a_share_misses_anything() -> None:
    kpi = build("all", {"of": "contacts", "action": {"missed": True}})
    assert [path for path, _, _ in problems(kpi, {}, REPORTING)] == ["action.missed"]


# -- one thing twice --------------------------------------------------------------------------------------------


def _twins(conn: sqlite3.Connection, seed: int) -> dict[str, Row]:
    """Random contacts of two sources, some changed once more after the facts were made."""
    random = Random(seed)
    rows: dict[str, Row] = {}
    for n in [*range(30), *(random.randrange(30) for _ in range(15))]:
        rows[f"C{n}"] = {
            "source_name": random.choice(["sf", "hs"]),
            "email_norm": random.choice(
                [None, "", "n/a", "a@x.test", " A@x.test", "b@x.test", "c@x.test", f"{n}@x.test"]
            ),
            "phone_norm": random.choice([None, "12", "0301234567", "030 1234567", "0301234568"]),
            "is_deleted": random.choice([0, 0, 0, 1]),
        }
        put(conn, "contacts", f"C{n}", **rows[f"C{n}"])
        if n == 20:
            facts.refresh(conn, REPORTING)
    facts.refresh(conn, REPORTING)
    return rows


@pytest.mark.parametrize("key", ["email", "phone"])
@pytest.mark.parametrize("seed", SEEDS)
def test_duplicates_are_rows_less_clusters(tmp_path: Path, seed: int, key: str) -> None:
    with closing(open_cache(tmp_path)) as conn:
        rows = {id_: row for id_, row in _twins(conn, seed).items() if not row["is_deleted"]}
        clusters = set()
        for id_, row in rows.items():
            email = (row["email_norm"] or "").strip().lower()
            number = "".join(filter(str.isdigit, row["phone_norm"] or ""))
            value = email if key == "email" else number
            has_one = "@" in value if key == "email" else len(value) >= 7
            clusters.add((row["source_name"], value) if has_one else id_)
        kpi = override(BUILTINS["dq_duplicate_rate"], {"n_min": 0, "params": {"key": key}})
        evaluator = Evaluator(conn, BUILTINS, REPORTING, as_of=START)
        result = evaluator.evaluate(kpi)
        assert (result.numerator, result.denominator) == (len(rows) - len(clusters), len(rows))
        assert result.details["clusters"] == len(clusters)
        assert result.actions is not None
        assert result.actions.total == len(rows) - len(clusters)


@pytest.mark.parametrize(
    ("names", "clusters"),
    [
        (["Acme", "ACME.", "Bolt"], [["0", "1"], ["2"]]),
        ([None, None, "", "  "], [["0"], ["1"], ["2"], ["3"]]),
        (["Acme Holding A", "Acme Holding B", "Acme Holding AB"], [["0", "1", "2"]]),
        (["Acme", "Acme Holding"], [["0"], ["1"]]),
        (["Acme"] * 60 + ["Bolt"], [[str(n) for n in range(60)], ["60"]]),
    ],
)
def test_companies_called_alike(names: list[str | None], clusters: list[list[str]]) -> None:
    assert clusters_by_name([str(n) for n in range(len(names))], names) == clusters


# -- one thing in two CRMs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_what_two_crms_keep(tmp_path: Path, seed: int) -> None:
    """Linked, or only alike; a link made or taken away moves it to the other side."""
    random = Random(seed)
    rows: dict[str, Row] = {}
    with closing(open_cache(tmp_path)) as conn:
        for step in range(60):
            n = random.randrange(12)
            crm = random.choice(["salesforce", "hubspot"])
            id_ = f"{crm[0].upper()}{n}"
            said = {
                "source": crm,
                "email_norm": random.choice([None, "a@x.test", "b@x.test", f"{n}@x.test"]),
                "is_deleted": random.choice([0, 0, 0, 1]),
                "sf_contact_id": random.choice([None, f"S{n}"]) if crm == "hubspot" else None,
            }
            rows[id_] = said
            put(conn, "contacts", id_, **said, source_instance="p" if crm == "hubspot" else "o")
            if step % 20 == 19:
                facts.refresh(conn, REPORTING)
        stands = dict(conn.execute("SELECT id, dup_of FROM contacts WHERE dup_of IS NOT NULL").fetchall())
        linked = {to for id_, to in stands.items() if not rows[id_]["is_deleted"] and not rows[to]["is_deleted"]}
        found = conn.execute("SELECT a_id, kind FROM entity_links").fetchall()
        candidates = len({stands.get(a, a) for a, kind in found if kind in ("candidate", "conflict")})
        kpi = override(BUILTINS["dq_consolidation_rate"], {"n_min": 0})
        result = Evaluator(conn, BUILTINS, REPORTING, as_of=START).evaluate(kpi)
        assert (result.details.get("linked", 0), result.details.get("candidates", 0)) == (len(linked), candidates)
        assert result.actions is None or result.actions.total == candidates


def test_what_to_link_has_a_face(tmp_path: Path) -> None:
    with closing(open_cache(tmp_path)) as conn:
        for id_, crm in (("A", "salesforce"), ("B", "hubspot"), ("C", "hubspot")):
            url = f"https://{crm}.test/{id_}"
            names = {"name": f"Acme {id_}", "domain_norm": "acme.test"}
            put(conn, "accounts", id_, source=crm, source_instance=crm, url=url, **names)
        facts.refresh(conn, REPORTING)
        result = Evaluator(conn, BUILTINS, REPORTING, as_of=START).evaluate(BUILTINS["dq_consolidation_rate"])
        assert result.actions is not None
        (row,) = result.actions.rows
        assert (row.title, row.url) == ("Acme A", "https://salesforce.test/A")
        assert row.reason == ("3 accounts of several CRMs: the same domain, but several accounts of one CRM have it")

"""Facts of data quality: kept equal to rebuilt after each single change to records, their keys and what is done."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorecards.facts import FACTS
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, Change, put, rebuilt, snapshot

_moments = st.integers(0, 23).map("2026-01-01T{:02d}:00:00Z".format)
_IN_TWO = {
    "source": st.sampled_from(["salesforce", "hubspot"]),
    "source_name": st.sampled_from(["sf", "hs"]),
    "is_deleted": st.sampled_from([0, 0, 0, 1]),
    "updated_at": st.none() | _moments,
    "updated_by_kind": st.sampled_from([None, "integration"]),
}


def _contact() -> st.SearchStrategy[Change]:
    values = {
        **_IN_TWO,
        "email_norm": st.sampled_from([None, "a@x.test", "A@x.test ", "b@x.test", "n/a"]),
        "phone_norm": st.sampled_from([None, "0301234567", "030-1234567", "12"]),
        "account_id": st.sampled_from([None, "A a", "A b"]),
        "merged_into": st.sampled_from([None, None, None, "C a"]),
        "sf_contact_id": st.sampled_from([None, None, "C b"]),
        "dnc": st.sampled_from([0, 1]),
        "left_company": st.sampled_from([None, 1]),
    }
    return st.tuples(st.just("contacts"), st.sampled_from("abcde").map("C {}".format), st.fixed_dictionaries(values))


def _account() -> st.SearchStrategy[Change]:
    values = {
        **_IN_TWO,
        "domain_norm": st.sampled_from([None, "x.test", "gmail.com"]),
        "name": st.sampled_from([None, "Acme", "ACME!", "Bolt"]),
        "sf_account_id": st.sampled_from([None, None, "A a"]),
    }
    return st.tuples(st.just("accounts"), st.sampled_from("abcd").map("A {}".format), st.fixed_dictionaries(values))


def _done() -> st.SearchStrategy[Change]:
    values = {
        "type": st.sampled_from(["email", "note"]),
        "direction": st.just("inbound"),
        "status": st.sampled_from(["completed", "completed", "completed", "open"]),
        "occurred_at": _moments,
        "contact_id": st.sampled_from([None, "C a", "C b"]),
        "ticket_id": st.sampled_from(["T a", "T b"]),
        "opportunity_id": st.sampled_from([None, "D a"]),
        "is_automated": st.sampled_from([0, 0, 0, 1]),
    }
    return st.tuples(st.just("activities"), st.sampled_from("abc").map("X {}".format), st.fixed_dictionaries(values))


def _worked_on() -> st.SearchStrategy[Change]:
    ticket = {**_IN_TWO, "merged_into": st.sampled_from([None, None, "T a"])}
    return st.one_of(
        st.tuples(st.just("tickets"), st.sampled_from(["T a", "T b"]), st.fixed_dictionaries(ticket)),
        st.tuples(st.just("opportunities"), st.just("D a"), st.fixed_dictionaries(_IN_TWO)),
    )


_changes = st.one_of(_contact(), _contact(), _account(), _done(), _done(), _worked_on())

#: These facts and those that feed them: no others are derived, or there would be time for few changes.
_KINDS = ("activities", "touches", "contacts", "seen_to", "record_keys", "doubles")
_KEPT = {
    kind: replace(FACTS[kind], feeds={to: unit for to, unit in FACTS[kind].feeds.items() if to in _KINDS})
    for kind in _KINDS
}


_CHANGED: dict[str, Any] = {
    "before": st.lists(_changes, min_size=8, max_size=16),
    "then": st.lists(_changes, min_size=3, max_size=6),
}


@settings(max_examples=10)
@given(**_CHANGED)
def test_one_change_reaches_all_it_concerns(
    tmp_path_factory: pytest.TempPathFactory, before: list[Change], then: list[Change]
) -> None:
    change(tmp_path_factory.mktemp("cache"), before, then)


@pytest.mark.slow
@pytest.mark.timeout(400)
@settings(max_examples=100)
@given(**_CHANGED)
def test_one_change_reaches_all_it_concerns_in_a_hundred_histories(
    tmp_path_factory: pytest.TempPathFactory, before: list[Change], then: list[Change]
) -> None:
    change(tmp_path_factory.mktemp("cache"), before, then)


def change(folder: Path, before: list[Change], then: list[Change]) -> None:
    """Change rows one by one, each followed by the facts, and compare each time."""
    with closing(open_cache(folder)) as conn:
        for table, id_, values in before:
            put(conn, table, id_, **values)
        facts.install(conn, _KEPT)
        facts.refresh(conn, REPORTING, facts=_KEPT)
        for table, id_, values in then:
            put(conn, table, id_, **values)
            facts.refresh(conn, REPORTING, facts=_KEPT)
            kept = snapshot(conn, _KEPT)
            assert kept == rebuilt(conn, _KEPT)

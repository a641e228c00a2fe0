"""The comparison with the truth finds every kind of difference, and none where there is none."""

import random
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from syncagent.sandbox.change import random_change
from syncagent.sandbox.generate import generate
from syncagent.sandbox.truth import CRMS, Truth, truth
from tests.fakes.truth_check import compare_rows

AS_OF = datetime(2026, 11, 16, 6, 0, tzinfo=UTC)
Rows = dict[str, dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def told() -> Truth:
    company, rng = generate(11, AS_OF, "tiny"), random.Random(11)
    for kinds in ((),) * 40 + (("link_activity",), ("merge",), ("delete",), ("erase",), ("line",)) * 4:
        company.now += 5
        random_change(rng, company, company.now - 1, kinds)
    return truth(company, strict=True)


def rows_of(told: Truth, crm: str) -> Rows:
    """A cache that is right in everything."""
    rows: Rows = {}
    for (name, table), expected in told.tables.items():
        if name != crm:
            continue
        own = rows.setdefault(table, {})
        for source_id, columns in expected.rows.items():
            plain = {column: value for column, value in columns.items() if not column.startswith("custom.")}
            extra = {column[7:]: value for column, value in columns.items() if column.startswith("custom.")}
            own[source_id] = {**plain, "custom": extra}
        own |= {source_id: {"is_deleted": 1} for source_id in expected.deleted}
        own |= {loser: {"merged_into": winner} for loser, winner in expected.merged.items()}
    for (name, table), side in told.sides.items():
        if name == crm:
            for number, (key, columns) in enumerate(side.rows.items()):
                row = {**dict(zip(side.key, key, strict=True)), **columns}
                rows.setdefault(table, {})[str(row.pop("source_id", number))] = row
    for (name, deal), steps in told.deal_history.items():
        if name == crm:
            for seq, (at, stage, state, amount, close, currency, place) in enumerate(steps):
                rows.setdefault("opportunity_stage_history", {})[f"{deal}-{seq}"] = {
                    "opportunity_id": deal, "changed_at": at, "stage": stage, "state": state, "amount_minor": amount,
                    "close_date": close, "currency": currency, "stage_order": place, "seq": seq,
                }  # fmt: skip
    for (name, ticket), statuses in told.status_history.items():
        if name == crm:
            for seq, (at, status, category) in enumerate(statuses):
                rows.setdefault("ticket_status_history", {})[f"{ticket}-{seq}"] = {
                    "ticket_id": ticket, "changed_at": at, "status": status, "status_category": category, "seq": seq,
                }  # fmt: skip
    return rows


@pytest.mark.parametrize("crm", CRMS)
def test_a_right_cache_has_no_differences(told: Truth, crm: str) -> None:
    assert compare_rows(rows_of(told, crm), told, crm) == []


@pytest.mark.parametrize("crm", CRMS)
def test_every_wrong_value_of_every_table_is_named(told: Truth, crm: str) -> None:
    right = rows_of(told, crm)
    for (name, table), expected in told.tables.items():
        if name != crm:
            continue
        for source_id, columns in expected.rows.items():
            for column in columns:
                wrong = deepcopy(right[table][source_id])
                if column.startswith("custom."):
                    wrong["custom"][column[7:]] = "wrong"
                else:
                    wrong[column] = "wrong"
                found = compare_rows({**right, table: {**right[table], source_id: wrong}}, told, crm)
                assert any(line.startswith(f"{table} {source_id}.{column}: ") for line in found), (table, column)
            break  # one record of each table holds every column


@pytest.mark.parametrize("crm", CRMS)
def test_what_is_missing_or_too_many_is_named(told: Truth, crm: str) -> None:
    right = rows_of(told, crm)
    for table in [table for (name, table) in told.tables if name == crm and right[table]]:
        live = next(iter(told.tables[crm, table].live), None)
        if live is not None:
            without = {key: row for key, row in right[table].items() if key != live}
            assert f"{table} {live}: expected live, found nothing" in compare_rows({**right, table: without}, told, crm)
            deleted = {**right[table], live: {**right[table][live], "is_deleted": 1}}
            assert f"{table} {live}: expected live, found deleted" in compare_rows({**right, table: deleted}, told, crm)
        more = {**right[table], "stranger": {"is_deleted": 0}}
        assert f"{table} stranger: expected gone, found live" in compare_rows({**right, table: more}, told, crm)
        for gone in told.tables[crm, table].deleted:
            back = {**right[table], gone: {"is_deleted": 0}}
            assert f"{table} {gone}: expected deleted, found live" in compare_rows({**right, table: back}, told, crm)
        for loser in told.tables[crm, table].merged:
            lost = {key: row for key, row in right[table].items() if key != loser}
            assert any(
                f"{table} {loser}: expected to be merged" in x for x in compare_rows({**right, table: lost}, told, crm)
            )


@pytest.mark.parametrize("crm", CRMS)
def test_side_rows_and_histories_are_compared(told: Truth, crm: str) -> None:
    right = rows_of(told, crm)
    tables = [table for (name, table), side in told.sides.items() if name == crm and side.rows]
    assert {"opportunity_lines", "order_lines", "stage_defs", "pipelines", "fx_rates"} <= set(tables)
    for table in [*tables, "opportunity_stage_history", "ticket_status_history"]:
        first = next(iter(right[table]))
        without = {key: row for key, row in right[table].items() if key != first}
        assert any(line.startswith(table) for line in compare_rows({**right, table: without}, told, crm)), table
        if table not in ("stage_defs", "pipelines", "fx_rates"):
            more = {**right[table], "again": {**right[table][first], "changed_at": "2026-12-01T00:00:00Z", "seq": 99}}
            more["again"]["object_id"] = more["again"]["status"] = more["again"]["stage"] = "other"
            assert any(line.startswith(table) for line in compare_rows({**right, table: more}, told, crm)), table


def test_an_incremental_cache_is_not_blamed_for_what_left_no_trace(told: Truth) -> None:
    lax = Truth(
        told.tables, told.stage_history, told.status_history, told.deal_history, told.sides, strict=False
    )  # fmt: skip
    erased = {(crm, table): one.erased for (crm, table), one in told.tables.items() if one.erased}
    assert erased
    for (crm, table), ids in erased.items():
        rows = rows_of(told, crm)
        rows[table] |= {one: {"is_deleted": 0} for one in ids}
        found = compare_rows(rows, lax, crm)
        assert not [line for line in found if "found live" in line]
        assert len([line for line in compare_rows(rows, told, crm) if "found live" in line]) == len(ids)

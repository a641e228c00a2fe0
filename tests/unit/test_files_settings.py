"""What `[source.NAME]` of type "files" may say, and what is wrong with it, each as a plain sentence."""

from typing import Any

import pytest
from pydantic import ValidationError

from connectors.files.check import check_tables
from connectors.files.settings import FilesSettings
from syncagent.schema import TABLES, column_types

COLUMNS = {table: column_types(table) for table in TABLES}


def settings(*entries: dict[str, Any], **source: Any) -> FilesSettings:
    return FilesSettings.model_validate({"type": "files", "table": list(entries), **source})


def problems(*entries: dict[str, Any], **source: Any) -> list[tuple[str, str, str]]:
    found = check_tables(settings(*entries, **source), COLUMNS, TABLES)
    return [(".".join(map(str, place)), sentence, mend) for place, sentence, mend in found]


def test_the_documented_entry_is_understood() -> None:
    made = settings(
        {
            "path": "exports/incidents-*.csv",
            "table": "tickets",
            "columns": {"source_id": "number", "created_at": "opened_at", "closed_at": "closed_at"},
            "values": {"status_category": {"New": "open", "Closed": "closed", "*": "open"}},
            "null": ["", "?"],
            "extra": {"resolved_at": "instant", "reopen_count": "integer"},
            "datetime_format": "%d/%m/%Y %H:%M",
            "timezone": "Europe/Paris",
            "mode": "append",
        },
        every="5m",
    )
    assert (made.every, made.table[0].null) == (300, ("", "?"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"encoding": "uft-8"}, 'there is no encoding "uft-8"; common ones are "utf-8", "cp1252" and "utf-16"'),
        ({"encoding": "base64"}, 'there is no encoding "base64"; common ones are "utf-8", "cp1252" and "utf-16"'),
        ({"delimiter": ";;"}, 'the delimiter is one character, such as "," ";" "|" or "\\t", not \';;\''),
        ({"timezone": "Europe/Pari"}, 'there is no time zone "Europe/Pari"; write it like "Europe/Paris" or "UTC"'),
        ({"datetime_format": "%H:%M"}, '"%H:%M" names no day; a datetime_format is written like "%d/%m/%Y %H:%M"'),
        ({"datetime_format": "%d/%m/%Q"}, '"%Q" means nothing in a datetime_format'),
        (
            {"extra": {"n": "float"}},
            '"float" of n is not a type; use one of text, integer, number, instant, date, boolean',
        ),
    ],
)
def test_a_wrong_value_is_one_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings({"path": "a.csv", "table": "tickets", **change})
    assert [error["msg"] for error in caught.value.errors()] == [f"Value error, {sentence}"]


@pytest.mark.parametrize("change", [{"colums": {}}, {"decimal": ";"}, {"mode": "replace"}, {"path": ""}])
def test_unknown_keys_and_values_are_errors(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings({"path": "a.csv", "table": "tickets", **change})


def test_a_source_without_files_or_with_values_for_another_table_is_an_error() -> None:
    with pytest.raises(ValidationError, match="table names no file"):
        settings()
    with pytest.raises(ValidationError, match="values are given for users, which no file of this source feeds"):
        settings({"path": "a", "table": "tickets"}, values={"users": {}})


def test_a_table_is_fed_by_files_of_one_mode() -> None:
    with pytest.raises(ValidationError, match="tickets is fed by files of both modes"):
        settings({"path": "a", "table": "tickets"}, {"path": "b", "table": "tickets", "mode": "snapshot"})
    settings({"path": "a", "table": "tickets"}, {"path": "b", "table": "users", "mode": "snapshot"})


def test_columns_of_a_crms_export_may_be_mapped_alone() -> None:
    assert problems(
        {"path": "a", "table": "opportunities", "columns": {"loss_reason": "Why__c"}},
        {"path": "b", "table": "opportunities", "columns": {"stage": "Deal Stage"}, "values": {"state": {"W": "won"}}},
        {"path": "c", "table": "opportunities", "columns": {"tier": "x"}, "export": "hubspot", "extra": ["tier"]},
    ) == []  # fmt: skip
    assert [place for place, _, _ in problems(
        {"path": "a", "table": "opportunities", "columns": {"loss_reason": "Why__c"}, "export": "none"},
    )] == ["table.0.columns"]  # fmt: skip


def test_a_tab_may_be_written_as_people_write_it() -> None:
    assert settings({"path": "a", "table": "tickets", "delimiter": "\\t"}).table[0].delimiter == "\t"


def test_every_disagreement_with_our_tables_is_named_at_once() -> None:
    assert problems(
        {"path": "a", "table": "ticket"},
        {
            "path": "b",
            "table": "opportunities",
            "columns": {"creatd_at": "x", "synced_at": "y", "amount": "a", "amount_minor": "b"},
            "values": {"state": {"Won": "wonn"}, "stge": {}},
        },
        values={"opportunities": {"state": {"Lost": "gone"}}},
    ) == [
        ("table.0.table", 'there is no table "ticket"', 'Did you mean "tickets"?'),
        (
            "table.1.columns.creatd_at",
            "opportunities has no column creatd_at",
            'Did you mean "created_at"? To keep it as custom.creatd_at, name it under extra too.',
        ),
        ("table.1.columns.synced_at", "synced_at is written by the agent itself", "Take it out."),
        ("table.1.columns.amount_minor", "amount and amount_minor are the same column", "Keep one of them."),
        (
            "table.1.columns",
            "nothing says what identifies a row of opportunities",
            'Map source_id = "their id column".',
        ),
        ("table.1.values.state", "state is in neither columns nor extra", "Map it there, or take it out."),
        ("table.1.values.state.Won", 'state cannot be "wonn"', "It is one of open, won, lost."),
        ("table.1.values.stge", "stge is in neither columns nor extra", "Map it there, or take it out."),
        ("values.opportunities.state.Lost", 'state cannot be "gone"', "It is one of open, won, lost."),
    ]


def test_a_sound_entry_has_no_problems() -> None:
    assert (
        problems(
            {"path": "a", "table": "tickets"},
            {
                "path": "b",
                "table": "users",
                "columns": {"source_id": "n", "start": "s"},
                "extra": {"start": "date"},
            },
            {"path": "c", "table": "costs", "columns": {"amount": "x"}},
        )
        == []
    )

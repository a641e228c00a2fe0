"""What `[source.NAME]` of type "files" may say; knows nothing of the files themselves nor of our tables' columns."""

import codecs
import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from connectors.settings import Duration, ValueMap

#: Types an extra column may have; they decide how its text is read and what `custom.NAME` holds.
EXTRA_TYPES = ("text", "integer", "number", "instant", "date", "boolean")

#: our column -> their value -> our value
ValueMaps = dict[str, ValueMap]


class FilesTable(BaseModel):
    """One `[[source.NAME.table]]`: which files feed which of our tables, and how they are read."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str = Field(min_length=1)  # may be a glob; the config makes it absolute
    table: str = Field(min_length=1)
    columns: dict[str, str] = Field(default_factory=dict)  # ours = theirs; empty: same names
    values: ValueMaps = Field(default_factory=dict)
    null: Annotated[tuple[str, ...], Field(strict=False)] = ("",)
    encoding: str = "utf-8"
    delimiter: str | None = None  # None: a comma, a tab for .tsv
    decimal: Literal[".", ","] = "."
    extra: dict[str, str] | list[str] | Literal["*"] = Field(default_factory=dict)
    datetime_format: str | None = None  # None: ISO 8601
    timezone: str | None = None  # of naive times; None: the agent's
    mode: Literal["append", "snapshot"] = "append"  # snapshot: what is not in the newest file is deleted
    export: Literal["auto", "salesforce", "hubspot", "none"] = "auto"  # whose export it may be recognised as

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, value: str) -> str:
        try:
            known = codecs.lookup(value)
        except (LookupError, ValueError):
            known = None
        if known is None or not getattr(known, "_is_text_encoding", True):
            raise ValueError(f'there is no encoding "{value}"; common ones are "utf-8", "cp1252" and "utf-16"')
        return value

    @field_validator("delimiter")
    @classmethod
    def _delimiter_is_one_character(cls, value: str | None) -> str | None:
        if value in ("tab", "\\t"):
            return "\t"
        if value is not None and (len(value) != 1 or value in '"\r\n\0'):
            raise ValueError(f'the delimiter is one character, such as "," ";" "|" or "\\t", not {value!r}')
        return value

    @field_validator("timezone")
    @classmethod
    def _timezone_is_known(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ZoneInfo(value)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError(f'there is no time zone "{value}"; write it like "Europe/Paris" or "UTC"') from None
        return value

    @field_validator("datetime_format")
    @classmethod
    def _format_places_a_day(cls, value: str | None) -> str | None:
        if value is None:
            return None
        directives = set(re.findall(r"%(.)", value.replace("%%", "")))
        unknown = directives - set("aAwdbBmyYHIpMSfzZjUWcxXGuV")
        if unknown:
            raise ValueError(f'"%{min(unknown)}" means nothing in a datetime_format')
        if not (directives & set("cx") or (directives & set("yYG") and directives & set("dju"))):
            raise ValueError(f'"{value}" names no day; a datetime_format is written like "%d/%m/%Y %H:%M"')
        return value

    @field_validator("extra")
    @classmethod
    def _extra_types_are_known(cls, value: dict[str, str] | list[str] | str) -> dict[str, str] | list[str] | str:
        for name, kind in value.items() if isinstance(value, dict) else ():
            if kind not in EXTRA_TYPES:
                raise ValueError(f'"{kind}" of {name} is not a type; use one of {", ".join(EXTRA_TYPES)}')
        return value

    @property
    def extra_types(self) -> Mapping[str, str]:
        """The extra columns that are named one by one, with their types."""
        if isinstance(self.extra, dict):
            return self.extra
        return {} if self.extra == "*" else dict.fromkeys(self.extra, "text")


class FilesSettings(BaseModel):
    """`[source.NAME]` with type = "files"."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type: Literal["files"]
    every: Duration = 900  # seconds between looks at the files
    table: Annotated[tuple[FilesTable, ...], Field(strict=False)]
    values: dict[str, ValueMaps] = Field(default_factory=dict)  # table -> column -> theirs -> ours, for all its files

    @model_validator(mode="after")
    def _table_and_values_agree(self) -> Self:
        if not self.table:
            raise ValueError("table names no file; add a [[source.NAME.table]] with path and table")
        fed = {entry.table for entry in self.table}
        for table in sorted(fed):
            if len({entry.mode for entry in self.table if entry.table == table}) > 1:
                raise ValueError(
                    f'{table} is fed by files of both modes; "snapshot" would delete what only the others hold: '
                    "give all its entries one mode"
                )
        for table in self.values:
            if table not in fed:
                raise ValueError(f"values are given for {table}, which no file of this source feeds")
        return self

    @property
    def stream_names(self) -> tuple[str, ...]:
        """The streams this source has: a table each."""
        return tuple(dict.fromkeys(entry.table for entry in self.table))

    def value_maps(self, entry: FilesTable) -> ValueMaps:
        """The value maps of one entry: the source's for that table, overridden column by column by its own."""
        return {**self.values.get(entry.table, {}), **entry.values}

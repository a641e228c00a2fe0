"""What `[source.NAME]` of type "hubspot" may hold; imports no vendor package."""

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from connectors.settings import CrmLimits, CrmSettings, Duration, Part, WrittenLike, require, within

OFFERED = (
    "users",
    "accounts",
    "contacts",
    "leads",
    "opportunities",
    "tickets",
    "activities",
    "survey_responses",
    "orders",
    "invoices",
    "payments",
    "email_events",
    "fx_rates",
)


class HubSpotLimits(CrmLimits):
    """`limits`: calls and searches in their windows, calls at once, and how much one call may ask for."""

    daily_reserve: float = Field(default=0.05, ge=0, lt=1)
    per_10s: int = Field(default=190, ge=1, le=10_000)
    window: Annotated[Duration, within("1s", "1h")] = 10  # of per_10s, should it be counted over another time
    search_per_s: int = Field(default=5, ge=1, le=1_000)
    search_window: Annotated[Duration, within("1s", "1h")] = 1
    at_once: int = Field(default=14, ge=1, le=100)  # enough for 190 calls in ten seconds at half a second each
    search_page: int = Field(default=200, ge=10, le=10_000)
    list_page: int = Field(default=100, ge=1, le=10_000)
    batch: int = Field(default=100, ge=1, le=10_000)  # objects read by id in one call
    batch_with_history: int = Field(default=50, ge=1, le=10_000)  # by id or from a list
    links_batch: int = Field(default=1_000, ge=1, le=10_000)
    mail_page: int = Field(default=1_000, ge=10, le=10_000)
    address: int = Field(default=6_000, ge=100, le=100_000)  # characters of property names in one address

    @property
    def lookback_ms(self) -> int:
        return self.lookback * 1000

    @property
    def lag_ms(self) -> int:
        return self.lag * 1000


Numbered = Annotated[str, WrittenLike(r"v[1-9]\d?", 'write the number of a version, like "v3"')]


class NumberedPaths(Part):
    """`numbered`: the version of each family of paths where it is read by number: as there is no dated one."""

    objects: Numbered = "v3"
    associations: Numbered = "v4"
    owners: Numbered = "v3"
    pipelines: Numbered = "v3"
    properties: Numbered = "v3"
    account: Numbered = "v3"
    currencies: Numbered = "v3"
    calling: Numbered = "v1"
    mail: Numbered = "v1"
    oauth: Numbered = "v1"


class Converted(Part):
    """`converted`: the stages (labels or ids, without regard to case) in which a lead counts as converted."""

    stages: tuple[str, ...] = ("qualified",)


class HubSpotSettings(CrmSettings):
    """One HubSpot portal and the token to read it with."""

    type: Literal["hubspot"]
    every: Duration = 600
    access_token: SecretStr | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    refresh_token: SecretStr | None = None
    api_path: Annotated[
        str, WrittenLike(r"(v3|20\d\d-(03|09))", 'write "v3", or year and month of a version, like "2026-09"')
    ] = "2026-09"
    oauth_version: Annotated[
        str, WrittenLike(r"(v[1-9]\d?|20\d\d-(03|09))", 'write "v1", or year and month of a version, like "2026-03"')
    ] = "2026-03"
    numbered: NumberedPaths = NumberedPaths()
    limits: HubSpotLimits = HubSpotLimits()
    leads: Literal["leads", "contacts"] = "leads"
    converted: Converted = Converted()
    app_host: str = "app.hubspot.com"

    @classmethod
    def offered(cls) -> tuple[str, ...]:
        return OFFERED

    @classmethod
    def side_tables(cls) -> tuple[str, ...]:
        return (*super().side_tables(), "opportunity_lines", "order_lines")

    @field_validator("app_host", mode="after")
    @classmethod
    def _check_app_host(cls, value: str) -> str:
        if not value or "/" in value or ":" in value or not value.isascii():
            raise ValueError('app_host is a host name only, like "app-eu1.hubspot.com"')
        return value

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        oauth = (self.client_id, self.client_secret, self.refresh_token)
        if self.access_token is not None:
            if any(value is not None for value in oauth):
                raise ValueError("give either access_token, or client_id, client_secret and refresh_token: not both")
        elif all(value is None for value in oauth):
            raise ValueError("a login is missing: give access_token, or client_id, client_secret and refresh_token")
        else:
            require(self, ("client_id", "client_secret", "refresh_token"), "a login without access_token")
        return self

"""What `[source.NAME]` of type "hubspot" may hold; imports no vendor package."""

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from connectors.settings import CrmSettings, Duration, Part, WrittenLike, require

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


class HubSpotLimits(Part):
    """`limits`: calls in any ten seconds, searches in any second, and our share of the daily calls."""

    per_10s: int = Field(default=190, ge=1, le=10_000)
    search_per_s: int = Field(default=5, ge=1, le=1_000)
    daily_share: float = Field(default=0.5, gt=0, le=1)


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

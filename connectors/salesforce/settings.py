"""What `[source.NAME]` of type "salesforce" may hold; imports no vendor package."""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from connectors.settings import CrmLimits, CrmSettings, Duration, WrittenLike, check_address, require, within

OFFERED = (
    "users",
    "accounts",
    "contacts",
    "leads",
    "opportunities",
    "tickets",
    "activities",
    "survey_invitations",
    "survey_responses",
    "orders",
    "contracts",
    "fx_rates",
)


Version = Annotated[str, WrittenLike(r"\d{2,3}\.0", 'write the version with its ".0", like "66.0"')]


class SalesforceLimits(CrmLimits):
    """`limits`: how many calls run side by side, rows a page, and bytes of a call's address and headers together."""

    lookback: Annotated[Duration, within("1s", "1d")] = 300
    concurrent: int = Field(default=8, ge=1, le=100)
    page: int = Field(default=2_000, ge=200, le=100_000)  # Salesforce takes no fewer than 200
    address: int = Field(default=16_384, ge=4_096, le=1_048_576)

    @property
    def unsettled(self) -> timedelta:
        """The newest time, never taken as final."""
        return timedelta(seconds=self.lookback)

    @property
    def late(self) -> timedelta:
        """Older than this, everything is visible."""
        return timedelta(seconds=self.lag)

    @property
    def room(self) -> int:
        """Bytes of an address a query may have: 2,500 stay for host, path and headers."""
        return self.address - 2_500


class SalesforceSettings(CrmSettings):
    """One Salesforce org and the login to read it with."""

    type: Literal["salesforce"]
    auth: Literal["client_credentials", "jwt", "session", "password"] = "client_credentials"
    instance_url: str
    client_id: str | None = None
    client_secret: SecretStr | None = None
    username: str | None = None
    private_key_file: str | None = None
    session_id: SecretStr | None = None
    password: SecretStr | None = None
    security_token: SecretStr | None = None
    api_version: Version = "66.0"
    soap_version: Version = "64.0"  # the last that has SOAP login()
    limits: SalesforceLimits = SalesforceLimits()
    bulk_from: int = Field(default=10_000, ge=1)

    @classmethod
    def offered(cls) -> tuple[str, ...]:
        return OFFERED

    @classmethod
    def side_tables(cls) -> tuple[str, ...]:
        return (*super().side_tables(), "opportunity_lines", "order_lines")

    @field_validator("instance_url", mode="after")
    @classmethod
    def _check_instance_url(cls, value: str) -> str:
        if not value.startswith("https://"):
            raise ValueError('instance_url must start with https://, like "https://acme.my.salesforce.com"')
        return check_address(value, key="instance_url") or value

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        needed = {
            "client_credentials": ("client_id", "client_secret"),
            "jwt": ("client_id", "username", "private_key_file"),
            "session": ("session_id",),
            "password": ("username", "password"),
        }
        require(self, needed[self.auth], f'auth = "{self.auth}"')
        return self

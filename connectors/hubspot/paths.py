"""Where HubSpot's endpoints live: by release date, and in the numbered versions; and when each of them ends.

HubSpot releases its API each March and September under a path with that date and keeps each release for 18 months.
The numbered paths before them end in 2027: v4 on 30 March, v1 to v3 in September.
"""

from collections.abc import Collection, Mapping
from datetime import date

from connectors.base import Sunset

#: Each family of paths: by date, and in the numbered version it falls back to.
PATHS: Mapping[str, tuple[str, str]] = {
    "objects": ("/crm/objects/{v}", "/crm/v3/objects"),
    "associations": ("/crm/associations/{v}", "/crm/v4/associations"),
    "owners": ("/crm/owners/{v}", "/crm/v3/owners"),
    "pipelines": ("/crm/pipelines/{v}", "/crm/v3/pipelines"),
    "properties": ("/crm/properties/{v}", "/crm/v3/properties"),
    "account": ("/account-info/{v}", "/account-info/v3"),
    "currencies": ("/settings/currencies/{v}", "/settings/v3/currencies"),
    "calling": ("", "/calling/v1"),
    "mail": ("", "/email/public/v1"),
}

#: Token endpoints, newest first.
TOKEN_PATHS = ("/oauth/2026-03/token", "/oauth/v1/token")

_SUPPORT_MONTHS = 18
_V4_ENDS = date(2027, 3, 30)
_OLDER_ENDS = date(2027, 9, 1)
_MEND = "Update syncagent and set api_path to a newer release in time."


def ends_of_release(version: str) -> date:
    """The first day the paths of a dated release (`2026-09`) may be gone."""
    year, month = (int(part) for part in version.split("-"))
    months = year * 12 + month - 1 + _SUPPORT_MONTHS
    return date(months // 12, months % 12 + 1, 1)


def sunsets(version: str, numbered: Collection[str], *, mail: bool, calls: bool) -> tuple[Sunset, ...]:
    """What we use and HubSpot will end: `version` of the settings, families read by `numbered` paths, old endpoints."""
    found = []
    if version != "v3":
        found.append(Sunset(f"HubSpot API release {version}", ends_of_release(version), _MEND))
    if "associations" in numbered:
        found.append(Sunset("HubSpot associations v4", _V4_ENDS, _MEND))
    if set(numbered) - {"associations"}:
        found.append(Sunset("HubSpot numbered paths (v3)", _OLDER_ENDS, _MEND))
    if mail:
        mend = "HubSpot has named no successor yet; without it the stream email_events ends."
        found.append(Sunset("HubSpot mail events v1", _OLDER_ENDS, mend))
    if calls:
        mend = "Afterwards only HubSpot's default call outcomes are known; map others with values.activities.connected."
        found.append(Sunset("HubSpot call dispositions v1", _OLDER_ENDS, mend))
    return tuple(found)

"""Where HubSpot's endpoints live: by release date, and in the numbered versions; and when each of them ends.

HubSpot releases its API each March and September under a path with that date and keeps each release for 18 months.
The numbered paths before them end in 2027: v4 on 30 March, v1 to v3 in September. Which version is asked for the
settings say; only the words around it, and the days HubSpot has announced so far, are here.
"""

from collections.abc import Collection, Mapping
from datetime import date

from connectors.base import Sunset
from connectors.hubspot.settings import HubSpotSettings

#: Each family of paths: by date, and in the numbered version it falls back to.
PATHS: Mapping[str, tuple[str, str]] = {
    "objects": ("/crm/objects/{v}", "/crm/{v}/objects"),
    "associations": ("/crm/associations/{v}", "/crm/{v}/associations"),
    "owners": ("/crm/owners/{v}", "/crm/{v}/owners"),
    "pipelines": ("/crm/pipelines/{v}", "/crm/{v}/pipelines"),
    "properties": ("/crm/properties/{v}", "/crm/{v}/properties"),
    "account": ("/account-info/{v}", "/account-info/{v}"),
    "currencies": ("/settings/currencies/{v}", "/settings/{v}/currencies"),
    "calling": ("", "/calling/{v}"),
    "mail": ("", "/email/public/{v}"),
}

_SUPPORT_MONTHS = 18
_NUMBERED_END = {**dict.fromkeys(("v1", "v2", "v3"), date(2027, 9, 1)), "v4": date(2027, 3, 30)}
_MEND = "Update syncagent and set api_path to a newer release in time."


def ends_of_release(version: str) -> date:
    """The first day the paths of a dated release (`2026-09`) may be gone."""
    year, month = (int(part) for part in version.split("-"))
    months = year * 12 + month - 1 + _SUPPORT_MONTHS
    return date(months // 12, months % 12 + 1, 1)


def paths_of(family: str, settings: HubSpotSettings) -> tuple[str, str]:
    """The dated prefix of a family ("" where it is to be read by number) and the numbered one."""
    dated, numbered = PATHS[family]
    if settings.api_path == "v3":
        dated = ""
    return dated.format(v=settings.api_path), numbered.format(v=getattr(settings.numbered, family))


def token_paths(settings: HubSpotSettings) -> tuple[str, ...]:
    """The token endpoints to try, newest first."""
    return tuple(dict.fromkeys(f"/oauth/{one}/token" for one in (settings.oauth_version, settings.numbered.oauth)))


def sunsets(settings: HubSpotSettings, numbered: Collection[str], *, mail: bool, calls: bool) -> tuple[Sunset, ...]:
    """What we use and HubSpot will end: the version of the settings, families read by `numbered` paths, old endpoints.

    A numbered version of which no end is known has none.
    """
    version, numbers = settings.api_path, settings.numbered
    used = []
    if "associations" in numbered:
        used.append(("HubSpot associations {}", numbers.associations, _MEND))
    older = {getattr(numbers, family) for family in set(numbered) - {"associations"}}
    used += [("HubSpot numbered paths ({})", one, _MEND) for one in sorted(older)]
    if mail:
        mend = "HubSpot has named no successor yet; without it the stream email_events ends."
        used.append(("HubSpot mail events {}", numbers.mail, mend))
    if calls:
        mend = "Afterwards only HubSpot's default call outcomes are known; map others with values.activities.connected."
        used.append(("HubSpot call dispositions {}", numbers.calling, mend))
    found = [] if version == "v3" else [Sunset(f"HubSpot API release {version}", ends_of_release(version), _MEND)]
    found += [Sunset(what.format(one), _NUMBERED_END[one], mend) for what, one, mend in used if one in _NUMBERED_END]
    return tuple(found)

"""Which versions of the API an org has: asked only where the one that is set does not answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from connectors.errors import ConnectorError, NotReadable, SourceConfigError
from connectors.salesforce.client import SalesforceClient


@contextmanager
def told_apart(client: SalesforceClient, version: str) -> Iterator[None]:
    """Around the first calls to an org. Raises SourceConfigError where they fail for a version that it has not.

    An org answers a version it has not (yet) like an object that this login may not see: NOT_FOUND. It lists those it
    has at /services/data, without a login.
    """
    try:
        yield
    except NotReadable:
        there = _versions(client)
        if not there or version in there:
            raise
        mend = f"Set api_version to one of its own: {there[0]} to {there[-1]}."
        raise SourceConfigError(f"Salesforce has no API version {version} in this org.", mend=mend) from None


def _versions(client: SalesforceClient) -> list[str]:
    """The versions of the org, oldest first; none where it does not say."""

    def ask(sdk: Any) -> object:
        document: object = sdk.session.get(f"https://{sdk.sf_instance}/services/data").json()
        return document

    try:
        listed = client.call(ask)
    except (ConnectorError, ValueError):
        return []
    rows = listed if isinstance(listed, list) else []
    said = (str(row.get("version")) for row in rows if isinstance(row, dict))
    return sorted({version for version in said if _is_version(version)}, key=float)


def _is_version(text: str) -> bool:
    whole, _, rest = text.partition(".")
    return whole.isascii() and whole.isdigit() and rest == "0" and len(whole) <= 3

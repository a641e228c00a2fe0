"""What Salesforce's answers must look like, and what their headers say; anything else is worth another try."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.errors import TransientError

_USAGE = re.compile(r"(per-app-)?api-usage=(\d{1,12})/(\d{1,12})")


@dataclass(frozen=True, slots=True)
class QueryPage:
    """Records of one page, how many the whole query has, and the link to the next page (empty: the last one).

    `dropped`: records that changed while they were read in parts, and are found again by their new version.
    """

    records: list[dict[str, Any]]
    total: int
    next_link: str
    dropped: int = 0


def check_page(document: Any) -> QueryPage:
    """A query's answer of the right shape; anything else is a broken answer, worth another try."""
    records = document.get("records") if isinstance(document, dict) else None
    if not isinstance(records, list) or not all(isinstance(r, dict) and r.get("Id") for r in records):
        raise TransientError("Salesforce answered a query without records, or records without ids.")
    link = document.get("nextRecordsUrl") or ""
    if document.get("done") is not True and not link:
        raise TransientError("Salesforce says that a query goes on, but not where.")
    total = document.get("totalSize")
    return QueryPage(records, total if isinstance(total, int) else len(records), str(link))


def usage_of(headers: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """(limit, used) of the org's calls a day under "", of the app's own allowance under "per-app-"."""
    found = _USAGE.findall(headers.get("Sforce-Limit-Info", ""))
    return {app: (int(limit), int(used)) for app, used, limit in found}

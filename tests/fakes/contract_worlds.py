"""What the contract's tests need of a source: how to reach it, to make things happen in it, to break it; and the truth.

A `World` is one way of connecting to one kind of source. The CRMs' worlds stand on a sandbox; `contract_files` holds
the files' ones.
"""

import re
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from connectors import parse
from connectors.base import Connector
from connectors.errors import ConnectorError, TransientError
from connectors.hubspot.connector import HubSpotConnector
from connectors.retry import Patience, Retry
from connectors.salesforce.connector import SalesforceConnector
from connectors.transport import Timeouts
from syncagent.sandbox import Sandbox
from syncagent.sandbox.change import fates, links, records
from syncagent.sandbox.company import Company
from syncagent.sandbox.hubspot import gate as hs_gate
from syncagent.sandbox.model import Account, Ticket
from tests.fakes.contract_cache import ContractCache
from tests.integration.crm_cache import (
    COLUMNS,
    QUICK,
    differences,
    hubspot_settings,
    salesforce_settings,
)

_FAR_OFF = 1_000_000


class World:
    """One way of connecting to one kind of source. Things happen in `stream`; `wide` has the most pages."""

    name: str  # of the source
    crm: str
    stream: ClassVar[str] = "tickets"
    wide: ClassVar[str] = "activities"
    #: Streams whose records cannot be counted.
    uncounted: ClassVar[frozenset[str]] = frozenset({"fx_rates", "email_events"})
    fault_error: ClassVar[type[ConnectorError]] = TransientError
    has_server: ClassVar[bool] = True
    #: What tells of a record that went without a trace: an ordinary "read", a "reconciliation", or nothing ("").
    tells_erased: ClassVar[str] = "reconciliation"
    secrets: tuple[str, ...] = ()
    own_id: ClassVar[re.Pattern[str]]

    def __init__(self) -> None:
        self.heard: list[str] = []

    def hear(self, *said: object) -> None:
        """What was said to anyone: looked through for secrets in the end."""
        for one in said:
            self.heard.append(
                "".join(traceback.format_exception(one)) if isinstance(one, BaseException) else f"{one!r}\n{one}"
            )

    def connector(self, **more: Any) -> Connector:
        raise NotImplementedError

    @property
    def requests(self) -> int:
        """How many requests the other side has seen."""
        return 0

    # -- what happens ----------------------------------------------------------------------------------------------

    def create(self) -> str:
        """A new record of `stream`; its id."""
        raise NotImplementedError

    def edit(self, source_id: str, title: str) -> None:
        """Its subject becomes another."""
        raise NotImplementedError

    def delete(self, source_id: str) -> None:
        raise NotImplementedError

    def erase(self, source_id: str) -> None:
        """Gone without a word of it."""
        raise NotImplementedError

    def merge(self, winner: str, loser: str) -> bool:
        """Whether this source knows mergers: then the two are one now."""
        return False

    def relink(self, source_id: str) -> str:
        """Its account becomes another; the id of that."""
        raise NotImplementedError

    def many(self, count: int) -> str:
        """So many new records; the stream they are in."""
        raise NotImplementedError

    # -- what breaks -----------------------------------------------------------------------------------------------

    def places(self, stream: str) -> list[int]:
        """Where a first read of a stream can be broken: first, middle, last."""
        raise NotImplementedError

    def break_at(self, stream: str, place: int) -> None:
        raise NotImplementedError

    def lose(self, stream: str) -> str:
        """The login may not read this any more; a word by which a check names it."""
        raise NotImplementedError

    def lose_part(self) -> set[str]:
        """Part of `wide` cannot be read any more; the ids of that part."""
        raise NotImplementedError

    def silence(self) -> None:
        """Whoever asks for data is not answered."""

    def silence_all(self) -> None:
        """Whoever asks for anything is not answered."""

    def ask_to_wait(self) -> None:
        """Whoever asks is told to come back in a minute."""

    def mend(self) -> None:
        """What was broken or taken away is as before."""

    # -- what is true ----------------------------------------------------------------------------------------------

    def live(self, stream: str) -> set[str]:
        raise NotImplementedError

    def never(self) -> str:
        """A well-formed id that no record of `stream` has ever had."""
        raise NotImplementedError

    def wrong(self, cache: ContractCache, *, strict: bool = False) -> list[str]:
        """What a cache holds that is not so. `strict`: after a reconciliation."""
        raise NotImplementedError

    def mapped(self) -> Mapping[str, Mapping[str, str]]:
        """What the settings map: table -> our column or extra field -> their field."""
        raise NotImplementedError


def _make_many(company: Company, account: Account, count: int, *, at: int) -> None:
    for _ in range(count):
        records.new_contact(company, account, at=at)


class CrmWorld(World):
    """A CRM of a sandbox."""

    home: ClassVar[str]  # the attribute of an entity that holds its id there
    data: ClassVar[str]  # requests for data

    def __init__(self, box: Sandbox) -> None:
        super().__init__()
        self.box = box
        self.faults = box.salesforce.faults if self.home == "sf" else box.hubspot.faults
        self.server = box.salesforce if self.home == "sf" else box.hubspot

    @property
    def requests(self) -> int:
        return sum(self.server.calls.values())

    def _accounts(self) -> Sequence[Account]:
        """Those in this CRM alone."""
        other = "hs" if self.home == "sf" else "sf"
        return [
            one
            for one in self.box.company.accounts
            if getattr(one, self.home) and not getattr(one, other) and not one.is_person
        ]

    def _ticket(self, source_id: str) -> Ticket:
        return next(one for one in self.box.company.tickets if getattr(one, self.home) == source_id)

    def create(self) -> str:
        return str(getattr(self.box.apply(records.new_ticket, self._accounts()[0]), self.home))

    def edit(self, source_id: str, title: str) -> None:
        self.box.apply(records.rename, self._ticket(source_id), title)

    def delete(self, source_id: str) -> None:
        self.box.apply(fates.delete, self._ticket(source_id))

    def erase(self, source_id: str) -> None:
        self.box.erase(self._ticket(source_id))

    def merge(self, winner: str, loser: str) -> bool:
        self.box.apply(fates.merge, self._ticket(winner), self._ticket(loser))
        return True

    def relink(self, source_id: str) -> str:
        ticket = self._ticket(source_id)
        other = next(
            one
            for one in self.box.company.accounts
            if getattr(one, self.home) and not one.is_person and one is not ticket.account
        )
        self.box.apply(links.link_account, ticket, other)
        return str(getattr(other, self.home))

    def many(self, count: int) -> str:
        self.box.apply(_make_many, self._accounts()[0], count)
        return "contacts"

    def places(self, stream: str) -> list[int]:
        counter = self.faults.add("status", self.data, after=_FAR_OFF, status=503)
        connector = self.connector()
        connector.check()
        before = counter.after
        ContractCache().fetch(connector, stream)
        connector.close()
        self.mend()
        last = before - counter.after - 1
        return sorted({0, last // 2, last})

    def break_at(self, stream: str, place: int) -> None:
        self.faults.add("status", self.data, after=place, times=None, status=503)

    def silence(self) -> None:
        self.faults.black_hole(self.data, times=None)

    def silence_all(self) -> None:
        self.faults.black_hole(times=None)

    def ask_to_wait(self) -> None:
        self.faults.add("status", self.data, times=None, status=503, headers={"retry-after": "60"})

    def mend(self) -> None:
        self.faults.clear()

    def live(self, stream: str) -> set[str]:
        return self.box.truth(strict=True).tables[self.crm, stream].live

    def wrong(self, cache: ContractCache, *, strict: bool = False) -> list[str]:
        return differences(cache, self.box.truth(strict=strict), self.crm)


class SalesforceWorld(CrmWorld):
    """Two rows a page."""

    name, crm, home = "sf", "salesforce", "sf"
    data = r"GET /services/data/v[0-9.]+/query"
    own_id = re.compile(r"[0-9A-Za-z]{18}")
    bulk_from = 10_000

    def __init__(self, box: Sandbox) -> None:
        super().__init__(box)
        box.salesforce.limits.page_rows = 2
        box.salesforce.bulk.page_rows = 2
        self.secrets = (box.salesforce.client_secret,)

    def connector(self, *, timeouts: Timeouts = QUICK, retry: Retry | None = None, **more: Any) -> Connector:
        settings = salesforce_settings(self.box, bulk_from=self.bulk_from, **more)
        self.hear(settings)
        return SalesforceConnector(
            self.name,
            settings,
            currency="EUR",
            timezone="UTC",
            columns=COLUMNS,
            retry=retry or _retry(),
            timeouts=timeouts,
        )

    def many(self, count: int) -> str:
        self.box.salesforce.limits.page_rows = self.box.salesforce.bulk.page_rows = count // 3
        return super().many(count)

    def lose(self, stream: str) -> str:
        assert stream == "tickets"
        self.box.salesforce.schema.hide("Case")
        return "Case"

    def lose_part(self) -> set[str]:
        self.box.salesforce.schema.hide("Task")
        return {one for one in self.live(self.wide) if one.startswith("00T")}

    def mend(self) -> None:
        super().mend()
        self.box.salesforce.schema.show("Case")
        self.box.salesforce.schema.show("Task")

    def never(self) -> str:
        return parse.salesforce_id("500J8000000zzzz")

    def mapped(self) -> Mapping[str, Mapping[str, str]]:
        fields = {table: dict(own) for table, own in salesforce_settings(self.box).fields.items()}
        del fields["survey_responses"]["object"]  # names an object, not a field
        return fields


class BulkWorld(SalesforceWorld):
    """Everything by Bulk 2.0 jobs."""

    bulk_from = 1
    data = r"GET /services/data/v[0-9.]+/jobs/query/[^/?]+/results"


class HubSpotWorld(CrmWorld):
    """A private app's token on dated paths."""

    name, crm, home = "hs", "hubspot", "hs"
    data = r"(GET|POST) /crm/(v\d/)?(objects|associations)"
    own_id = re.compile(r"\d+")
    login: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, box: Sandbox) -> None:
        super().__init__(box)
        self.secrets = (hs_gate.ACCESS_TOKEN, hs_gate.CLIENT_SECRET, hs_gate.REFRESH_TOKEN)

    def connector(self, *, timeouts: Timeouts = QUICK, retry: Retry | None = None, **more: Any) -> Connector:
        settings = hubspot_settings(self.box, **{**self.login, **more})
        self.hear(settings)
        return HubSpotConnector(
            self.name,
            settings,
            currency="EUR",
            timezone="UTC",
            columns=COLUMNS,
            retry=retry or _retry(),
            timeouts=timeouts,
        )

    def lose(self, stream: str) -> str:
        self.box.hubspot.schema.disable(stream)
        return stream

    def lose_part(self) -> set[str]:
        self.box.hubspot.schema.disable("calls")
        return {str(one.hs) for one in self.box.company.activities if one.hs and one.kind == "call"} & self.live(
            self.wide
        )

    def mend(self) -> None:
        super().mend()
        self.box.hubspot.schema.disabled.clear()

    def never(self) -> str:
        return "987654321987"

    def mapped(self) -> Mapping[str, Mapping[str, str]]:
        return hubspot_settings(self.box, **self.login).fields


class HubSpotOAuthWorld(HubSpotWorld):
    """An app's refresh token on numbered paths; what it is given out is a secret too."""

    login: ClassVar[Mapping[str, Any]] = {
        "api_path": "v3",
        "access_token": None,
        "client_id": hs_gate.CLIENT_ID,
        "client_secret": hs_gate.CLIENT_SECRET,
        "refresh_token": hs_gate.REFRESH_TOKEN,
    }

    def __init__(self, box: Sandbox) -> None:
        super().__init__(box)
        self.secrets = (*self.secrets, "CNsandbox")


def _retry() -> Retry:
    """Three tries, at once."""
    return Retry(patience=Patience(tries=3, first_s=0.002, cap_s=0.004, budget_s=2.0))

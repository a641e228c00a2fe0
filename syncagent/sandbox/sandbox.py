"""The sandbox as one thing: a company, its two CRMs and a mail server, started and stopped together."""

import inspect
import random
from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from syncagent.sandbox.advance import advance
from syncagent.sandbox.change import Change, random_change
from syncagent.sandbox.change import fates as change_fates
from syncagent.sandbox.clock import moment
from syncagent.sandbox.company import Company
from syncagent.sandbox.config_text import config_text, with_addresses
from syncagent.sandbox.generate import generate
from syncagent.sandbox.hubspot import gate as hs_gate
from syncagent.sandbox.hubspot.server import HubSpotServer
from syncagent.sandbox.model import Entity
from syncagent.sandbox.salesforce import server as salesforce
from syncagent.sandbox.salesforce.server import SalesforceServer
from syncagent.sandbox.smtp import Mail, MailServer
from syncagent.sandbox.truth import Truth, truth
from syncagent.sandbox.truth.kpis import KpiTruth, kpi_truth

TIMEZONE = "Europe/Berlin"
T = TypeVar("T")


class Faults:
    """Where to break what: `salesforce`, `hubspot` (requests) and `smtp` (commands)."""

    def __init__(self, sf: SalesforceServer, hs: HubSpotServer, smtp: MailServer) -> None:
        self.salesforce = sf.faults
        self.hubspot = hs.faults
        self.smtp = smtp.faults

    def clear(self) -> None:
        for faults in (self.salesforce, self.hubspot, self.smtp):
            faults.clear()


class Sandbox:
    """Loopback Salesforce, HubSpot and SMTP over one generated company.

    `dir` receives the mails (`mails/*.eml`), the login key and what `write_config` writes. `as_of` (aware) is the
    company's present; it moves only by `advance`, `pass_time` and (a second each) `apply` and `change`. `limits=False`
    lifts HubSpot's rate limits for measurements. `size`: "full", or "tiny" for a company of a few records of each kind.
    """

    def __init__(
        self, dir: Path | str, *, seed: int = 7, as_of: datetime, limits: bool = True, size: str = "full"
    ) -> None:
        self.dir = Path(dir)
        self.company: Company = generate(seed, as_of, size)
        self.public_key, self._private_key = _key_pair()
        self.salesforce = SalesforceServer(self.company, public_key=self.public_key)
        self.hubspot = HubSpotServer(self.company, limits=limits)
        self.smtp = MailServer(self.dir / "mails")
        self.faults = Faults(self.salesforce, self.hubspot, self.smtp)

    def start(self) -> Self:
        self.dir.mkdir(parents=True, exist_ok=True)
        try:
            self.salesforce.start()
            self.hubspot.start()
            self.smtp.start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        for server in (self.salesforce, self.hubspot, self.smtp):
            server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def salesforce_url(self) -> str:
        return self.salesforce.url

    @property
    def hubspot_url(self) -> str:
        return self.hubspot.url

    @property
    def smtp_port(self) -> int:
        return self.smtp.port

    @property
    def mails(self) -> list[Mail]:
        """Every accepted message, oldest first."""
        return self.smtp.mails

    @property
    def now(self) -> datetime:
        """The company's present."""
        return moment(self.company.now)

    def advance(self, span: timedelta) -> int:
        """Let `span` pass in the company; both CRMs show it at once. Returns how many records changed."""
        with self.company.lock:
            changed = advance(self.company, span)
            for server in (self.salesforce, self.hubspot):
                server.refresh(changed)
                server.release()
        return len(changed)

    def erase(self, entity: Entity) -> None:
        """Remove a record without a trace (hard delete, GDPR delete): only a look at all ids can tell."""
        self.apply(change_fates.erase, entity, at=self.company.now)

    # -- one thing at a time -----------------------------------------------------------------------------------------

    def apply(self, verb: Callable[..., T], *args: Any, at: int | None = None, late_s: int = 0, **more: Any) -> T:
        """Let one thing happen: a verb of `change.records`, `.links`, `.fates` or `.office`.

        The company comes first of its arguments, `args` after it. `at`: its stamp in epoch seconds; without one it
        happens now and a second passes. `late_s`: it becomes visible only so many seconds of company time later, in
        HubSpot to searches, in Salesforce to anyone. Returns what the verb does.
        """
        with self.company.lock:
            stamp = self._begin(at)
            known = {"at": stamp} if "at" in inspect.signature(verb).parameters else {}
            result = verb(self.company, *args, **known, **more)
            self._show(late_s)
        return result

    def change(
        self, rng: random.Random, *, at: int | None = None, late_s: int = 0, kinds: tuple[str, ...] = ()
    ) -> Change:
        """Let something happen that is possible now, chosen by `rng` (among `kinds` of `change.KINDS`): see `apply`."""
        with self.company.lock:
            done = random_change(rng, self.company, self._begin(at), kinds)
            self._show(late_s)
        return done

    def late(self, entity: Entity, seconds: int) -> None:
        """The next thing that happens to a record is not seen before `seconds` have passed: see `apply`."""
        with self.company.lock:
            for server in (self.salesforce, self.hubspot):
                server.hide_until(entity, self.company.now + seconds)

    def pass_time(self, seconds: int) -> None:
        """Let company time pass without anything happening; what had not become visible by then does now."""
        with self.company.lock:
            self.company.now += seconds
            self.salesforce.release()
            self.hubspot.release()

    def _begin(self, at: int | None) -> int:
        self.company.touched.clear()
        if at is None:
            self.company.now += 1
            return self.company.now - 1
        return at

    def _show(self, late_s: int) -> None:
        changed = list(self.company.touched.values())
        self.company.touched.clear()
        for server in (self.salesforce, self.hubspot):
            if late_s:
                for entity in changed:
                    server.hide_until(entity, self.company.now + late_s)
            server.refresh(changed)
            server.refresh_fixed()
            server.release()

    def reset(self, *, seed: int, as_of: datetime, size: str = "tiny") -> None:
        """Another company on the running servers, which forget everything: state, logins, cursors, faults, mails."""
        company = generate(seed, as_of, size)
        before = self.company
        with before.lock, company.lock:
            self.faults.clear()
            self.salesforce.reset(company)
            self.hubspot.reset(company)
            self.company = company
        self.smtp.mails.clear()

    # -- what is true ------------------------------------------------------------------------------------------------

    def truth(self, *, strict: bool = False) -> Truth:
        """What a cache must hold once it has read everything: see `Truth`. `strict`: once it has reconciled too."""
        with self.company.lock:
            return truth(self.company, strict=strict)

    def kpi_truth(
        self, kpi: str, *, as_of: datetime, timezone: str = TIMEZONE, start: date | None = None, end: date | None = None
    ) -> KpiTruth:
        """The right value of a built-in KPI over local days [start, end), or at as_of for a stock."""
        with self.company.lock:
            return kpi_truth(self.company, kpi, as_of=as_of, timezone=timezone, start=start, end=end)

    def write_config(self, path: Path | str) -> Path:
        """Write a ready configuration and the secret files it names beside it; returns the path.

        One that is there already may have been edited: only the addresses of the servers change in it.
        """
        path = Path(path)
        secrets = path.parent / "secrets"
        secrets.mkdir(parents=True, exist_ok=True)
        secrets.chmod(0o700)
        for name, content in (
            ("sf_client_secret", self.salesforce.client_secret.encode()),
            ("sf_private_key.pem", self._private_key),
            ("sf_password", salesforce.PASSWORD.encode()),
            ("sf_security_token", salesforce.SECURITY_TOKEN.encode()),
            ("hs_access_token", hs_gate.ACCESS_TOKEN.encode()),
            ("hs_client_secret", hs_gate.CLIENT_SECRET.encode()),
            ("hs_refresh_token", hs_gate.REFRESH_TOKEN.encode()),
        ):
            file = secrets / name
            file.write_bytes(content)
            file.chmod(0o600)
        start = date.fromtimestamp(self.company.start) - timedelta(days=400)  # noqa: DTZ012  (far before any row)
        text = (
            with_addresses(
                path.read_text(encoding="utf-8"),
                sf_url=self.salesforce_url,
                hs_url=self.hubspot_url,
                smtp_port=self.smtp_port,
            )
            if path.exists()
            else config_text(
                sf_url=self.salesforce_url,
                hs_url=self.hubspot_url,
                smtp_port=self.smtp_port,
                sf_client_id=salesforce.CLIENT_ID,
                sf_username=salesforce.USERNAME,
                hs_client_id=hs_gate.CLIENT_ID,
                start=start,
            )
        )
        path.write_text(text, encoding="utf-8")
        return path


@cache
def _key_pair() -> tuple[bytes, bytes]:
    """A fresh RSA key for the JWT login: public and private PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return public, private

"""The access token of one portal: fixed, or fetched with a refresh token; one thread fetches, the others wait.

Tokens live for 30 minutes and are renewed at 80 % of that. They are shared by all connectors of a process that use the
same login, so that a login refused for good is tried a few times (`limits.logins`) however often it is needed; one that
goes well is renewed for ever.
"""

import hashlib
import threading
import time
from collections.abc import Callable
from typing import Any

import requests

from connectors.errors import AuthError, TransientError
from connectors.hubspot.errors import NotThere
from connectors.hubspot.paths import token_paths
from connectors.hubspot.settings import HubSpotSettings
from connectors.logins import LoginCount, Logins
from connectors.transport import Answer
from connectors.transport_requests import TransportAdapter

_LIFE_S = 1800.0
_SHORTEST_LIFE_S = 60.0  # what is said to end sooner is used until HubSpot refuses it, and then counts as vain
_RENEW_AT = 0.8

#: Sends a prepared request and raises for what is no success.
Exchange = Callable[[requests.PreparedRequest], Answer]


class Login:
    """One login. Safe to share between threads."""

    def __init__(self, settings: HubSpotSettings, host: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._host = host
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = float("inf")
        self._count = LoginCount("Check the app and its scopes.", Logins.of(settings.limits))

    def keep_to(self, owner: str, wish: Logins) -> None:
        """`owner` (a source) shares this login, and wants no more vain logins than this, until it is released."""
        self._count.keep_to(owner, wish)

    def release(self, owner: str, wish: Logins) -> None:
        """`owner` is gone, and what it wanted with it."""
        self._count.release(owner, wish)

    @property
    def can_refresh(self) -> bool:
        return self._settings.access_token is None

    def token(self, exchange: Exchange) -> tuple[str, int]:
        """A token and how many logins it took (0 or 1). Raises AuthError when refused, or after too many vain ones."""
        if self._settings.access_token is not None:
            return self._settings.access_token.get_secret_value(), 0
        with self._lock:
            if self._token and self._clock() < self._renew_at:
                return self._token, 0
            self._token = self._fetch(exchange)
            return self._token, 1

    def forget(self, token: str) -> None:
        """HubSpot refused this token: the next call fetches another, unless a thread has done so already."""
        with self._lock:
            if self._token == token:
                self._token = ""
                if (now := self._clock()) < self._renew_at:
                    self._count.lost(now)

    def _fetch(self, exchange: Exchange) -> str:
        now = self._clock()
        self._count.check(now)
        try:
            reply = self._ask(exchange)
        except AuthError:
            self._count.refused(now)
            raise
        token, life_s = reply.get("access_token"), reply.get("expires_in")
        if not isinstance(token, str) or not token:
            raise TransientError("HubSpot's login answered without a token.")
        self._count.succeeded()
        is_number = isinstance(life_s, (int, float)) and not isinstance(life_s, bool) and life_s > 0
        lives_s = max(float(life_s), _SHORTEST_LIFE_S) if is_number and life_s is not None else _LIFE_S
        self._renew_at = now + _RENEW_AT * lives_s
        return token

    def _ask(self, exchange: Exchange) -> dict[str, Any]:
        *newer, oldest = token_paths(self._settings)
        for path in newer:
            try:
                return self._refresh(path, exchange)
            except NotThere:
                continue
        return self._refresh(oldest, exchange)

    def _refresh(self, path: str, exchange: Exchange) -> dict[str, Any]:
        from authlib.integrations.base_client import OAuthError
        from authlib.integrations.requests_client import OAuth2Session

        def secret(value: Any) -> str:
            return value.get_secret_value() if value is not None else ""

        settings = self._settings
        with OAuth2Session(
            settings.client_id,
            secret(settings.client_secret),
            token_endpoint_auth_method="client_secret_post",  # noqa: S106 - the name of a method
        ) as session:
            session.trust_env = False
            session.mount("https://", TransportAdapter(exchange))
            try:
                token = secret(settings.refresh_token)
                return dict(session.refresh_token(f"https://{self._host}{path}", refresh_token=token))
            except (OAuthError, KeyError, TypeError, ValueError) as error:
                raise TransientError("HubSpot's login answered with something that is not a token.") from error


def account_of(settings: HubSpotSettings) -> str:
    """A name for what shares an app's limit: the same address, app and token, whatever limits are set. Holds no
    secret.
    """
    secret = settings.access_token or settings.refresh_token
    who = secret.get_secret_value() if secret is not None else ""
    place = f"{settings.base_url or ''}|{settings.client_id}|{who}"
    return "hubspot:" + hashlib.sha256(place.encode()).hexdigest()


def portal_of(settings: HubSpotSettings, portal_id: str) -> str:
    """A name for what shares a portal's limits: the same address and portal, whichever app."""
    place = f"{settings.base_url or ''}|{portal_id}"
    return "hubspot portal:" + hashlib.sha256(place.encode()).hexdigest()


_LOGINS: dict[str, Login] = {}
_LOGINS_LOCK = threading.Lock()


def shared_login(settings: HubSpotSettings, host: str, clock: Callable[[], float]) -> Login:
    """The login of these settings, one a process."""
    with _LOGINS_LOCK:
        return _LOGINS.setdefault(_key_of(settings), Login(settings, host, clock=clock))


def forget(settings: HubSpotSettings) -> None:
    """Begin anew with this login, as a new process does; whoever has it keeps it."""
    with _LOGINS_LOCK:
        _LOGINS.pop(_key_of(settings), None)


def _key_of(settings: HubSpotSettings) -> str:
    """A name for what is one login: other token endpoints are another one. Holds no secret."""
    secret = settings.client_secret.get_secret_value() if settings.client_secret is not None else ""
    return hashlib.sha256(f"{account_of(settings)}|{token_paths(settings)}|{secret}".encode()).hexdigest()

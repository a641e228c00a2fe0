"""The ways into the sandbox's Salesforce: OAuth client credentials, signed assertion (JWT), SOAP login()."""

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import parse_qsl, unquote

import orjson
from starlette.requests import Request
from starlette.responses import Response

from syncagent.sandbox.company import Company
from syncagent.sandbox.salesforce import soap
from syncagent.sandbox.salesforce.fixed import ORG_ID

CLIENT_ID, CLIENT_SECRET = "3MVGsandboxclient", "sandbox-client-secret"
USERNAME = "integration@northwind.example"
PASSWORD, SECURITY_TOKEN = "sandbox & pass<word>", "SandboxSecurityToken24ch"
#: The org's address. Nobody answers there: clients are pointed at the loopback server by their `base_url`.
INSTANCE_URL = "https://northwind.my.salesforce.com"
_AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
_SESSION_S = 7200


class Login:
    """Who may log in, and the sessions given out.

    `soap_enabled`: an admin has switched SOAP login() on (new orgs have it off). `trusted_network`: the caller's
    address is on the org's list, so that the password alone is enough. `fresh_sessions_die`: every session is dead
    when it is given out, as under a policy that the login cannot meet. `clock`: the time by which a signed
    assertion is judged (epoch seconds; the machine's own, unless a test says that the vendor's clock is another).
    """

    def __init__(self, company: Company, *, public_key: bytes | None) -> None:
        self._company = company
        self.public_key = public_key
        self.client_id, self.client_secret = CLIENT_ID, CLIENT_SECRET
        self.username, self.password, self.security_token = USERNAME, PASSWORD, SECURITY_TOKEN
        self.instance_url = INSTANCE_URL
        self.soap_enabled = True
        self.trusted_network = False
        self.fresh_sessions_die = False
        self.clock: Callable[[], float] = lambda: datetime.now(UTC).timestamp()
        self.count = 0
        self.refused = 0
        self._tokens: set[str] = set()

    def knows(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        return scheme in ("Bearer", "OAuth") and token in self._tokens

    def expire(self) -> None:
        self._tokens.clear()

    @property
    def admin_id(self) -> str:
        return next(user.sf for user in self._company.users if user.sf)

    def _open(self) -> str:
        self.count += 1
        digest = hashlib.sha256(f"{self._company.seed}-{self.count}-{id(self)}".encode()).hexdigest()
        token = f"{ORG_ID[:15]}!AQ.{digest}"
        if not self.fresh_sessions_die:
            self._tokens.add(token)
        return token

    # -- OAuth -----------------------------------------------------------------------------------------------------

    async def token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        grant = form.get("grant_type", "")
        if grant == "client_credentials":
            problem = self._check_client(request, form)
        elif grant == "urn:ietf:params:oauth:grant-type:jwt-bearer":
            problem = self._check_jwt(form.get("assertion", ""))
        else:
            problem = ("unsupported_grant_type", "grant type not supported")
        if problem is not None:
            self.refused += 1
            body = {"error": problem[0], "error_description": problem[1]}
            return Response(orjson.dumps(body), 400, media_type="application/json")
        token = self._open()
        identity = f"https://login.salesforce.com/id/{ORG_ID}/{self.admin_id}"
        issued = str(self._company.now * 1000)
        body = {
            "access_token": token,
            "signature": base64.b64encode(hashlib.sha256(f"{identity}{issued}".encode()).digest()).decode(),
            "scope": "api",
            "instance_url": self.instance_url,
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued,
            "api_instance_url": "https://api.salesforce.com",
        }
        return Response(orjson.dumps(body), media_type="application/json;charset=UTF-8")

    def _check_client(self, request: Request, form: dict[str, str]) -> tuple[str, str] | None:
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
            except ValueError:
                return "invalid_client", "invalid client credentials"
            client_id, secret = unquote(client_id), unquote(secret)
        else:
            client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        if client_id != self.client_id:
            return "invalid_client_id", "client identifier invalid"
        if secret != self.client_secret:
            return "invalid_client", "invalid client credentials"
        return None

    def _check_jwt(self, assertion: str) -> tuple[str, str] | None:
        """Check a JWT bearer grant as the vendor does: signature, audience, issuer, user, five minutes at most."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import padding, rsa
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            head, body, signature = assertion.split(".")
            claims = json.loads(_unpad(body))
            algorithm = json.loads(_unpad(head))["alg"]
        except (ValueError, KeyError):
            return "invalid_grant", "invalid assertion"
        if claims.get("iss") != self.client_id:
            return "invalid_client_id", "client identifier invalid"
        if self.public_key is None or algorithm != "RS256":
            return "invalid_grant", "invalid assertion"
        key = load_pem_public_key(self.public_key)
        assert isinstance(key, rsa.RSAPublicKey)
        try:
            key.verify(_unpad(signature), f"{head}.{body}".encode(), padding.PKCS1v15(), SHA256())
        except InvalidSignature:
            return "invalid_grant", "invalid assertion"
        if str(claims.get("aud", "")).rstrip("/") not in (*_AUDIENCES, self.instance_url):
            return "invalid_grant", "audience is invalid"
        if claims.get("sub") != self.username:
            return "invalid_grant", "user hasn't approved this consumer"
        left = float(claims.get("exp", 0)) - self.clock()
        if not 0 < left <= 330:
            return "invalid_grant", "expired authorization code"
        return None

    # -- SOAP ------------------------------------------------------------------------------------------------------

    async def soap_login(self, request: Request) -> Response:
        """POST /services/Soap/u/{version}: the body is a login envelope, the answer XML; faults have status 500."""
        asked = soap.read_login(await request.body())
        problem = self._check_soap(str(request.path_params["version"]), asked)
        if problem is not None:
            self.refused += 1
            return Response(soap.fault(problem), 500, media_type="text/xml;charset=UTF-8")
        version = request.path_params["version"]
        body = soap.answer(
            session=self._open(),
            server_url=f"{self.instance_url}/services/Soap/u/{version}/{ORG_ID[:15]}",
            user=self.admin_id,
            organization=ORG_ID,
            email=self.username,
            valid_s=_SESSION_S,
        )
        return Response(body, media_type="text/xml;charset=UTF-8")

    def _check_soap(self, version: str, asked: soap.SoapLogin | None) -> soap.SoapFault | None:
        number = int(version.partition(".")[0]) if version.partition(".")[0].isdigit() else 0
        if number < 31:
            return soap.RETIRED
        if number > soap.NEWEST_WITH_LOGIN:
            return soap.UNSUPPORTED
        if not self.soap_enabled:
            return soap.DISABLED
        if asked is None or asked.username != self.username:
            return soap.INVALID_LOGIN
        if asked.password == self.password + self.security_token:
            return None
        if asked.password != self.password:
            return soap.INVALID_LOGIN
        return None if self.trusted_network else soap.NEEDS_TOKEN


def _unpad(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

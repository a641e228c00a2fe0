"""SOAP `login()` as Salesforce answers it: the request read, the good answer and the faults written.

The call exists in API versions 31 to 64 until Summer '27 and is gone from 65 on (Salesforce Help 005132110).
"""

import re
from html import escape, unescape
from typing import NamedTuple

NEWEST_WITH_LOGIN = 64
_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_SCHEMA = "http://www.w3.org/2001/XMLSchema-instance"


class SoapLogin(NamedTuple):
    username: str
    password: str  # with the security token behind it, as the caller sends it
    organization: str  # empty: not given


class SoapFault(NamedTuple):
    code: str
    message: str
    kind: str = "LoginFault"  # element of the fault's detail


INVALID_LOGIN = SoapFault("INVALID_LOGIN", "Invalid username, password, security token; or user locked out.")
NEEDS_TOKEN = SoapFault(
    "LOGIN_MUST_USE_SECURITY_TOKEN",
    "Invalid username, password, security token; or user locked out. Are you at a new location? When accessing "
    "Salesforce--either via a desktop client or the API--from outside of your company’s trusted networks, you must add "
    "a security token to your password to log in.",
)
DISABLED = SoapFault(
    "INVALID_OPERATION", "SOAP API login() is disabled by default in this org.", "UnexpectedErrorFault"
)
UNSUPPORTED = SoapFault(
    "UNSUPPORTED_API_VERSION", "SOAP API login() is not supported in this API version.", "UnexpectedErrorFault"
)
RETIRED = SoapFault("UNSUPPORTED_API_VERSION", "Invalid Api version specified on URL", "UnexpectedErrorFault")


def read_login(body: bytes) -> SoapLogin | None:
    """The user and password of a login envelope; None when it is none. Prefixes are the caller's choice."""
    text = body.decode("utf-8", "replace")

    def element(name: str) -> str | None:
        found = re.search(rf"<(?:\w+:)?{name}(?:\s[^>]*)?>(.*?)</(?:\w+:)?{name}>", text, re.DOTALL)
        return unescape(found[1]) if found else None

    username, password = element("username"), element("password")
    if username is None or password is None or element("login") is None:
        return None
    return SoapLogin(username, password, element("organizationId") or "")


def answer(*, session: str, server_url: str, user: str, organization: str, email: str, valid_s: int) -> bytes:
    """The answer to a good login; `valid_s` is the session's life in seconds."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="{_ENVELOPE}" '
        f'xmlns="urn:partner.soap.sforce.com" xmlns:xsi="{_SCHEMA}"><soapenv:Body><loginResponse><result>'
        f"<metadataServerUrl>{escape(server_url.replace('/u/', '/m/'))}</metadataServerUrl>"
        f"<passwordExpired>false</passwordExpired><sandbox>true</sandbox><serverUrl>{escape(server_url)}</serverUrl>"
        f"<sessionId>{session}</sessionId><userId>{user}</userId><userInfo>"
        f"<organizationId>{organization}</organizationId><sessionSecondsValid>{valid_s}</sessionSecondsValid>"
        f"<userEmail>{escape(email)}</userEmail><userTimeZone>Europe/Berlin</userTimeZone></userInfo>"
        "</result></loginResponse></soapenv:Body></soapenv:Envelope>"
    ).encode()


def fault(problem: SoapFault) -> bytes:
    """A fault, sent with status 500."""
    text = f"{problem.code}: {escape(problem.message)}"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="{_ENVELOPE}" '
        f'xmlns:sf="urn:fault.partner.soap.sforce.com" xmlns:xsi="{_SCHEMA}"><soapenv:Body><soapenv:Fault>'
        f"<faultcode>sf:{problem.code}</faultcode><faultstring>{text}</faultstring><detail>"
        f'<sf:{problem.kind} xsi:type="sf:{problem.kind}"><sf:exceptionCode>{problem.code}</sf:exceptionCode>'
        f"<sf:exceptionMessage>{escape(problem.message)}</sf:exceptionMessage></sf:{problem.kind}></detail>"
        "</soapenv:Fault></soapenv:Body></soapenv:Envelope>"
    ).encode()

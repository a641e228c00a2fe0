"""What Salesforce refuses, in its own words: `[{"message", "errorCode", "fields"?}]`, and with which status."""

from typing import Any


class Refusal(Exception):
    """A call Salesforce answers with an error: HTTP `status`, its errorCode and its message."""

    def __init__(self, status: int, code: str, message: str, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields

    def body(self) -> list[dict[str, Any]]:
        one: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        return [one | {"fields": list(self.fields)}] if self.fields else [one]


#: name -> (status, errorCode, message). `SalesforceServer.refuse(name)` answers with it.
#: The same 401 and 403 stand for what a client mends by itself and for what only a person can mend.
ERRORS: dict[str, tuple[int, str, str]] = {
    "session": (401, "INVALID_SESSION_ID", "Session expired or invalid"),
    "high_assurance": (401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API"),
    "daily": (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    "concurrent": (403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded."),
    "query_timeout": (400, "QUERY_TIMEOUT", "Your query request was running for too long."),
    "too_large": (400, "OPERATION_TOO_LARGE", "exceeded 100000 distinct who/what's"),
    "lock": (400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record or 1 records"),
    "unavailable": (503, "SERVER_UNAVAILABLE", "Server temporarily unavailable. Please try again."),
    "unknown": (500, "UNKNOWN_EXCEPTION", "An unexpected error occurred."),
    "api_disabled": (403, "API_DISABLED_FOR_ORG", "API is not enabled for this Organization or Partner"),
    "api_down": (403, "API_CURRENTLY_DISABLED", "API is temporarily disabled"),
    "metering": (403, "TXN_SECURITY_METERING_ERROR", "We can't complete the action because enabled transaction security"
                 " policies took too long to complete."),
    "no_access": (400, "INSUFFICIENT_ACCESS", "insufficient access rights on cross-reference id"),
    "retired": (410, "UNSUPPORTED_API_VERSION", "This API version is retired and no longer supported."),
    "lost_cursor": (400, "INVALID_QUERY_LOCATOR", "invalid query locator"),
    "job_limit": (400, "LIMIT_EXCEEDED", "Exceeded the limit of 10000 Bulk API 2.0 query jobs per 24 hours."),
    "bulk_unsupported": (400, "INVALIDENTITY", "Entity is not supported by the Bulk API."),
}  # fmt: skip


def refusal(name: str, message: str = "") -> Refusal:
    """One of ERRORS, ready to raise."""
    status, code, text = ERRORS[name]
    return Refusal(status, code, message or text)

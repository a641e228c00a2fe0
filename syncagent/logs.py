"""Log lines: a sentence, an action and its fields, as text or JSON on stderr, with every known secret cut out.

Modules log through `logging.getLogger(__name__)` with `extra={"action": ...}`; how that looks is decided here
alone. Redaction is done on the finished line, so that no logger, field or traceback can get around it.
"""

import json
import logging
import re
import sys
import threading
from collections.abc import Iterable
from typing import IO, Any
from urllib.parse import quote

from pydantic import BaseModel, SecretStr
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level
from structlog.typing import EventDict

REDACTED = "***"
#: Shorter secrets would blank ordinary words.
_SHORTEST = 4
#: `token=...`, `"password": "..."`, `Authorization: Bearer ...` of secrets nobody told us; the name of a file is none.
_LOOKS_SECRET = re.compile(
    r"(?i)(authorization[\"']?\s*[:=]\s*[\"']?(?:bearer|basic)\s+"
    r"|(?<![\w/-])(?<!file:)(?<!env:)[\w-]*(?:access_token|refresh_token|client_secret|password|passwd|session_id|api_key|hapikey|sid)"
    r"[\"']?\s*[:=]\s*[\"']?)(?!env:|file:)([^\s\"',;&]{6,})"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/_.=!-]{8,}")

#: Libraries that tell what we tell already, or tell it with bodies in it.
_NOISY = ("apscheduler", "urllib3", "hubspot", "simple_salesforce", "uvicorn", "mail.log", "asyncio", "authlib")

_secrets: set[str] = set()
_secrets_lock = threading.Lock()


def setup(*, verbosity: int = 0, form: str = "text", stream: IO[str] | None = None, is_service: bool = False) -> None:
    """Send every log line to `stream` (stderr). verbosity: -1 errors, 0 warnings (a service: what it does), 1, 2.

    Tracebacks are shown from 2 on.
    """
    level = {-1: logging.ERROR, 0: logging.INFO if is_service else logging.WARNING, 1: logging.INFO}.get(
        verbosity, logging.DEBUG if verbosity > 0 else logging.ERROR
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_formatter(form, with_traceback=verbosity >= 2))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING if verbosity >= 2 else logging.ERROR))
    # A closed stderr must not end the daemon with a page of text nobody sees.
    logging.raiseExceptions = verbosity >= 2


def register_secrets(values: Iterable[str]) -> None:
    """Cut these out of every line from now on, as they are and as they stand in a URL."""
    with _secrets_lock:
        for value in values:
            if len(value) >= _SHORTEST:
                _secrets.update((value, quote(value, safe="")))


def secrets_in(settings: Any) -> list[str]:
    """Every secret a settings model holds, those of models within it included."""
    if isinstance(settings, SecretStr):
        return [settings.get_secret_value()]
    if isinstance(settings, BaseModel):
        return [secret for name in type(settings).model_fields for secret in secrets_in(getattr(settings, name))]
    if isinstance(settings, dict):
        return [secret for value in settings.values() for secret in secrets_in(value)]
    if isinstance(settings, (list, tuple)):
        return [secret for value in settings for secret in secrets_in(value)]
    return []


def redact(line: str) -> str:
    """The line without anything secret."""
    with _secrets_lock:
        known = sorted(_secrets, key=len, reverse=True)
    for secret in known:
        line = line.replace(secret, REDACTED)
    line = _LOOKS_SECRET.sub(rf"\1{REDACTED}", line)
    return _BEARER.sub(rf"\1 {REDACTED}", line)


class _RedactingFormatter(ProcessorFormatter):
    """structlog's formatter with the last word."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def _formatter(form: str, *, with_traceback: bool) -> logging.Formatter:
    def error_only(_: Any, __: str, event: EventDict) -> EventDict:
        """Keep of an exception what a person can use; its traceback only when asked for."""
        info = event.pop("exc_info", None)
        if info is True:
            info = sys.exc_info()
        if isinstance(info, BaseException):
            info = (type(info), info, info.__traceback__)
        if isinstance(info, tuple) and info[1] is not None:
            event["error"] = f"{type(info[1]).__name__}: {info[1]}"
            if with_traceback:
                event["exception"] = logging.Formatter().formatException(info)
        event.pop("stack_info", None)
        return event

    return _RedactingFormatter(
        foreign_pre_chain=[add_log_level, ExtraAdder(), _add_time],
        processors=[error_only, ProcessorFormatter.remove_processors_meta, _as_json if form == "json" else _as_text],
        use_get_message=True,
    )


def _add_time(_: Any, __: str, event: EventDict) -> EventDict:
    """The record's own time, so that a line written late still says when it happened."""
    record = event.get("_record")
    event["at"] = _utc(record.created if record is not None else None)
    if record is not None:
        event["logger"] = record.name
    return event


def _utc(seconds: float | None) -> str:
    from datetime import UTC, datetime

    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _as_json(_: Any, __: str, event: EventDict) -> str:
    first = {"at": event.pop("at", None), "level": event.pop("level", None), "message": event.pop("event", "")}
    return json.dumps({**first, **event}, default=str, ensure_ascii=False)


def _as_text(_: Any, __: str, event: EventDict) -> str:
    at, level, message = event.pop("at", ""), str(event.pop("level", "")), str(event.pop("event", ""))
    exception = event.pop("exception", None)
    event.pop("logger", None)
    fields = "".join(f" {name}={_field(value)}" for name, value in event.items() if value is not None)
    # One event, one line: what comes from outside must not be able to write lines of its own.
    line = f"{at} {level:<7} {_flat(message)}{'  ' if fields else ''}{fields.lstrip()}"
    return f"{line}\n{exception}" if exception else line


def _flat(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _field(value: Any) -> str:
    text = _flat(str(value))
    return f'"{text}"' if " " in text else text

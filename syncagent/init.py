"""Writes a first configuration: a few questions, then a commented file that needs only its secrets."""

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from syncagent.config.models import check_currency, check_timezone
from syncagent.config.problems import own_sentence
from syncagent.errors import AgentError, Refused

#: Asks for one text: (question, default) -> answer. `click.prompt(text, default=default)` is one.
Prompt = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Answers:
    """What the first configuration is made of; empty leaves that part out."""

    name: str = "Acme"
    timezone: str = "UTC"
    currency: str = "EUR"
    salesforce_url: str = "https://acme.my.salesforce.com"
    hubspot: bool = True
    files: str = ""  # pattern of CSV files with tickets
    mail_host: str = "smtp.acme.com"
    mail_from: str = "scorecards@acme.com"
    reader: str = "you@acme.com"

    @property
    def secrets(self) -> list[str]:
        """The environment variables the configuration reads."""
        names = ["SF_CLIENT_ID", "SF_CLIENT_SECRET"] if self.salesforce_url else []
        names += ["HUBSPOT_TOKEN"] if self.hubspot else []
        return [*names, "SMTP_PASSWORD"] if self.mail_host else names


def run(path: Path, *, yes: bool, prompt: Prompt, environ: Mapping[str, str] = os.environ) -> Answers:
    """Ask (or take the defaults with `yes`) and write `path`.

    Raises Refused when the file is there already, AgentError when it cannot be written.
    """
    if path.exists():
        raise Refused("there is a file already", place=str(path), mend="Name another path, or move that one away.")
    answers = replace(Answers(), timezone=system_timezone(environ))
    if not yes:
        answers = ask(answers, prompt)
    write_config(path, answers)
    return answers


def ask(start: Answers, prompt: Prompt) -> Answers:
    """The questions, each with the answer of `start` as default; what cannot be is asked again."""
    name = prompt("Name of your company, as on the scorecard", start.name)
    timezone = _asked(prompt, "Time zone of your days and weeks", start.timezone, check_timezone)
    currency = _asked(prompt, "Currency", start.currency, check_currency)
    salesforce = _asked(prompt, "Address of your Salesforce ('none' without)", start.salesforce_url, _check_url)
    hubspot = _asked(prompt, "Read a HubSpot portal? (yes, no)", "yes", _check_choice).lower().startswith("y")
    without_crm = salesforce == "none" and not hubspot
    files = "exports/tickets-*.csv" if without_crm else "none"
    files = prompt("CSV files with tickets ('none' without)", files)
    host = prompt("Mail server ('none' without)", start.mail_host).strip() or start.mail_host
    host = "" if host == "none" else host
    sender, reader = start.mail_from, start.reader
    if host:
        sender = _asked(prompt, "Address the scorecard comes from", sender, _check_address)
        reader = _asked(prompt, "Address of its first reader", reader, _check_address)
    return Answers(
        name=name.strip() or start.name,
        timezone=timezone,
        currency=currency,
        salesforce_url="" if salesforce == "none" else salesforce,
        hubspot=hubspot,
        files="" if files.strip() in ("", "none") else files.strip(),
        mail_host=host,
        mail_from=sender,
        reader=reader,
    )


def write_config(path: Path, answers: Answers) -> None:
    """Write the file, readable by its owner only; never over another. Raises AgentError."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        mend = "Create its folder first, or name another path."
        raise AgentError(f"cannot be written: {error.strerror}", place=str(path), mend=mend) from None
    with open(handle, "w", encoding="utf-8", errors="replace") as file:
        file.write(text_of(answers))


def text_of(answers: Answers) -> str:
    """The configuration these answers make."""
    parts = [_AGENT.format(name=_quoted(answers.name), timezone=answers.timezone, currency=answers.currency)]
    if answers.salesforce_url:
        parts.append(_SALESFORCE.format(url=_quoted(answers.salesforce_url)))
    if answers.hubspot:
        parts.append(_HUBSPOT)
    if answers.files:
        parts.append(_FILES.format(path=_quoted(answers.files)))
    if answers.mail_host:
        parts.append(_mail(answers))
    parts.append(_DIMENSION)
    sales = ["won_revenue", "win_rate", "pipeline_open_value", "lead_conversion_rate"]
    service = ["ticket_backlog", "mean_time_to_resolution", "full_resolution_rate", "csat_score"]
    kpis = [*(sales if answers.salesforce_url or answers.hubspot else []), *service]
    card = _SCORECARD.format(reader=_quoted(answers.reader), kpis=", ".join(_quoted(kpi) for kpi in kpis))
    parts.append(card if answers.mail_host else _set_aside(card))
    return "\n".join(parts)


def _set_aside(card: str) -> str:
    """A scorecard as comments: without a mail server there is nobody it could be for."""
    head, table, rest = card.partition("[scorecard.")
    lines = "".join(f"# {line}\n" for line in (table + rest).splitlines())
    return f"{head}# A scorecard is mailed: add [mail] (config.example.toml shows it), then uncomment this.\n{lines}"


def _mail(answers: Answers) -> str:
    domains = dict.fromkeys(address.rpartition("@")[2].lower() for address in (answers.reader, answers.mail_from))
    return _MAIL.format(
        host=_quoted(answers.mail_host),
        sender=_quoted(answers.mail_from),
        domains=", ".join(_quoted(domain) for domain in domains),
    )


def system_timezone(environ: Mapping[str, str] = os.environ) -> str:
    """The zone this machine lives in, UTC where it does not say."""
    candidates = [environ.get("TZ", "").lstrip(":")]
    with contextlib.suppress(OSError, UnicodeDecodeError):
        candidates.append(Path("/etc/timezone").read_text(encoding="utf-8").strip())
    candidates.append(os.path.realpath("/etc/localtime").partition("/zoneinfo/")[2])
    for name in filter(None, candidates):
        with contextlib.suppress(ValueError):
            return "UTC" if name in ("Etc/UTC", "Etc/UCT") else check_timezone(name)
    return "UTC"


def _asked(prompt: Prompt, question: str, default: str, check: Callable[[str], object]) -> str:
    hint = ""
    while True:
        answer = prompt(f"{hint}{question}", default).strip()
        try:
            check(answer)
        except ValueError as error:
            what, mend = own_sentence(str(error), answer)
            hint = f"{answer}: {what}. {mend}\n"
        else:
            return answer


def _check_url(answer: str) -> None:
    from connectors.settings import check_address

    if answer != "none":
        check_address(answer, key="the address")
        if not answer.startswith("https://"):
            raise ValueError("not an https address; write it like https://acme.my.salesforce.com")


def _check_choice(answer: str) -> None:
    if answer.lower() not in ("y", "yes", "n", "no"):
        raise ValueError("neither yes nor no; write one of them")


def _check_address(answer: str) -> None:
    from syncagent.config.check import address_refusal

    if reason := address_refusal(answer):
        raise ValueError(f'not a mail address ({reason}); write it like "name@example.com"')


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


_AGENT = """\
# Configuration of syncagent. `syncagent check` names every mistake in it; config.example.toml shows every option.
# Secrets stay outside: "env:NAME" is a variable of the environment, "file:PATH" the content of a file.

[agent]
name     = {name}   # on the scorecard
data_dir = "data"   # cache.db and state.db; relative to this file
timezone = "{timezone}"   # of days, weeks and months
currency = "{currency}"

[calendar]
business_hours = {{ days = ["mon", "tue", "wed", "thu", "fri"], from = 09:00:00, to = 18:00:00 }}
# holidays = "DE-BY"   # country, or country and region
"""
_SALESFORCE = """\
[source.salesforce]
type          = "salesforce"
auth          = "client_credentials"   # of an External Client App; or "jwt"
instance_url  = {url}
client_id     = "env:SF_CLIENT_ID"
client_secret = "env:SF_CLIENT_SECRET"
every         = "15m"
"""
_HUBSPOT = """\
[source.hubspot]
type         = "hubspot"
access_token = "env:HUBSPOT_TOKEN"   # a service key
every        = "10m"
"""
_FILES = """\
[source.files]
type  = "files"
every = "15m"
[[source.files.table]]
path  = {path}
table = "tickets"
# Our columns have the same names in the file unless you map them: ours = theirs
# columns = {{ source_id = "number", created_at = "opened_at", closed_at = "closed_at" }}
# values  = {{ status_category = {{ New = "open", Closed = "closed", "*" = "open" }} }}
"""
_MAIL = """\
[mail]
host     = {host}
port     = 587
security = "starttls"
username = {sender}
password = "env:SMTP_PASSWORD"
from     = {sender}
allowed_domains = [{domains}]   # nobody else ever gets a mail
"""
_DIMENSION = """\
[dimension]
owner = { leads = "owner.name", opportunities = "owner.name", tickets = "owner.name" }
team  = { leads = "owner.team", opportunities = "owner.team", tickets = "owner.team" }
"""
_SCORECARD = """\
# Built-in KPIs need no more than their name (`syncagent kpi list`); a target gives them a colour:
# [kpi.win_rate.target]
# want  = "up"
# value = 0.30

[scorecard.weekly]
title = "Weekly scorecard"
owner = {reader}   # told when something holds it up
send  = "monday 08:00"
to    = [{reader}]
kpis  = [{kpis}]
"""

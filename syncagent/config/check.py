"""What no single section can know: whether sources, KPIs, scorecards, people and mail fit each other."""

import re
from collections.abc import Callable, Mapping, Sequence
from email.utils import parseaddr
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from connectors.files.check import check_tables
from connectors.files.settings import FilesSettings, FilesTable
from connectors.settings import CrmSettings, nearest
from scorecards.apart import is_helper
from scorecards.catalogue import BUILTINS
from scorecards.checks import parameters
from scorecards.definition import Kpi, Recipient, Reporting, Scorecard
from syncagent.config.kpi import mistakes
from syncagent.config.models import Calendar, Identity, TeamCalendar, check_currency, check_locale, check_timezone
from syncagent.config.problems import did_you_mean, own_sentence
from syncagent.config.report import Report
from syncagent.config.toml import KeyPath
from syncagent.due import parse_cron, parse_send
from syncagent.mailer import MailSettings
from syncagent.schema import TABLES, column_types

#: docs/definitions.md: more than this many KPIs on one scorecard are not read.
MOST_KPIS = 12
#: Columns a file or field mapping may name beside those stored: money is mapped in major units.
_MONEY = {"amount_minor": "amount", "cost_minor": "cost", "mrr_minor": "mrr"}


def check_name(report: Report, path: KeyPath, what: str) -> bool:
    """Whether the last step of `path` will do as the name of a source, KPI, dimension or scorecard."""
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", str(path[-1])):
        return True
    report.problem(path, f"not a name for a {what}", "Use letters, digits, _ and -.", value="")
    return False


def check_mapping(
    report: Report, table: str, path: KeyPath, columns: Mapping[str, Any], values: Mapping[str, Any]
) -> None:
    """`values` below `path` may only map to what the column's closed list holds. `columns`: those mapped beside."""
    for column, pairs in values.items():
        choices = TABLES[table].choices.get(column)
        here = (*path, column)
        if choices is None:
            known = [*column_types(table), *_MONEY.values()]
            if column not in known and not column.startswith("custom.") and column not in columns:
                mend = did_you_mean(column, known) or f"Say under fields.{table} which field of theirs it is."
                report.problem(here, f"{table} has no column {column}", mend)
            continue
        for theirs, ours in pairs.items():
            if ours not in choices:
                mend = did_you_mean(ours, choices)
                report.problem((*here, theirs), f"not one of {', '.join(choices)}", mend)


def check_values(report: Report, source: KeyPath, settings: CrmSettings) -> None:
    """Tables, columns and closed lists named in `[source.NAME.values]`."""
    for table, values in settings.values.items():
        path = (*source, "values", table)
        if check_table(report, path, table):
            check_mapping(report, table, path, _mapped(report, source, table), values)


def _mapped(report: Report, source: KeyPath, table: str) -> Mapping[str, Any]:
    """What the file maps to columns of a table; a table of fields that is none of ours may be meant for it."""
    given = report.value_at((*source, "fields"))
    tables = given if isinstance(given, Mapping) else {}
    meant = [fields for name, fields in tables.items() if name == table or name not in TABLES]
    return {column: theirs for fields in meant if isinstance(fields, Mapping) for column, theirs in fields.items()}


def check_files(report: Report, source: KeyPath, settings: FilesSettings) -> None:
    """Tables, columns and closed lists a files source names."""
    columns = {table: column_types(table) for table in TABLES}
    for place, message, mend in check_tables(settings, columns, TABLES):
        _files_mistake(report, source, place, message, mend)


def _files_mistake(report: Report, source: KeyPath, place: KeyPath, message: str, mend: str) -> None:
    is_idle = len(place) == 4 and place[2] == "values"  # a map of a column that is not read does no harm
    (report.warning if is_idle else report.problem)((*source, *place), message, mend)


def check_files_table(report: Report, source: KeyPath, index: int, entry: Any) -> None:
    """One `[[source.NAME.table]]` alone, so that a mistake in another one does not hide what is wrong here."""
    try:
        table = FilesTable.model_validate(entry)
    except ValidationError:
        return  # said where the whole source is read
    columns = {name: column_types(name) for name in TABLES}
    alone = FilesSettings.model_construct(type="files", table=(table,), values={})
    for place, message, mend in check_tables(alone, columns, TABLES):
        _files_mistake(report, source, ("table", index, *place[2:]), message, mend)


def check_table(report: Report, path: KeyPath, table: str) -> bool:
    """Whether `table` is one of the cache's."""
    if table in TABLES:
        return True
    mend = nearest(table, list(TABLES)).strip() or f"Tables are {', '.join(TABLES)}."
    report.problem(path, f"there is no table {table}", mend)
    return False


def check_links(report: Report, identity: Identity, sources: Mapping[str, Any]) -> None:
    """What is said of records of a source there is not links nothing; it may be one that was taken out."""
    for word, pairs in (("link", identity.link), ("never_link", identity.never_link)):
        for number, pair in enumerate(pairs):
            for name in {id_.partition(":")[0] for id_ in pair} - sources.keys():
                mend = did_you_mean(name, sources) or "An id begins with the NAME of its [source.NAME]."
                report.warning(("identity", word, number), f"there is no source {name}", mend)


def is_team_calendar(name: str, value: Any) -> bool:
    """Whether what stands below `[calendar]` is a team's own, rather than a key of it or one misspelt."""
    if name in Calendar.model_fields or not isinstance(value, Mapping):
        return False
    return not value or bool(value.keys() & TeamCalendar.model_fields.keys())


def check_calendars(report: Report, calendars: Mapping[str, TeamCalendar]) -> None:
    """A team works by one calendar."""
    whose: dict[str, str] = {}
    for name, calendar in calendars.items():
        for number, team in enumerate(calendar.teams or (name,)):
            place: KeyPath = ("calendar", name, "teams", number) if calendar.teams else ("calendar", name)
            if team in whose:
                also = "twice" if whose[team] == name else f"also for [calendar.{whose[team]}]"
                report.problem(place, f"team {team} is named {also}", "Keep one of the two.", value="")
            whose[team] = name


def check_file(report: Report, path: KeyPath, place: str | None) -> None:
    """A file the configuration names must be there."""
    if place is not None and not Path(place).is_file():
        report.problem(path, f"there is no file {place}", "Correct the path; it is relative to this file.")


def check_text(report: Report, path: KeyPath, value: str | None, check: Callable[[str], object]) -> None:
    """Note what `check` raises as ValueError about a text."""
    if value is None:
        return
    try:
        check(value)
    except ValueError as error:
        report.problem(path, *own_sentence(str(error), value))


def check_address(report: Report, path: KeyPath, given: str, domains: Sequence[str]) -> str:
    """The bare address of `Name <address>`; notes what is not one, or lies outside the allowed domains."""
    _, address = parseaddr(given)
    if "@" not in address or ("<" not in given and address != given.strip()) or "\n" in given or "\r" in given:
        report.problem(
            path, "not a mail address", 'Write "name@example.com" or "Name <name@example.com>".', value=_quoted(given)
        )
        return ""
    if reason := address_refusal(address):
        report.problem(path, f"not a mail address: {reason}", "Correct it.", value=_quoted(given))
        return ""
    domain = address.rpartition("@")[2].lower()
    if domains and domain not in domains:
        mend = f"Allowed are {', '.join(domains)}; add {domain} to allowed_domains of [mail], or remove the address."
        report.problem(path, "outside the allowed domains", mend, value=_quoted(given))
    return address.lower()


def address_refusal(address: str) -> str:
    """Why an address is none; empty when it is one. Nothing is looked up in the network."""
    from email_validator import EmailNotValidError, validate_email

    # Reserved names such as .test are fine here, for tests and sandboxes: what stands below one is judged by its form.
    for form in (address, f"{address}.com"):
        try:
            validate_email(form, check_deliverability=False)
        except EmailNotValidError as error:
            reason = str(error).rstrip(".")
            if "special-use" not in reason:
                return reason[:1].lower() + reason[1:]
        else:
            return ""
    return ""


def _quoted(text: str) -> str:
    return f'"{" ".join(text.split())[:80]}"'


def check_mail(report: Report, mail: MailSettings) -> None:
    """Addresses of `[mail]`; the sender itself may live elsewhere than the readers."""
    check_address(report, ("mail", "from"), mail.from_, ())
    if mail.reply_to is not None:
        check_address(report, ("mail", "reply_to"), mail.reply_to, ())


def check_scorecard(
    report: Report, name: str, card: Scorecard, kpis: Mapping[str, Kpi], known: Sequence[str], domains: Sequence[str]
) -> None:
    """`known` are all names of KPIs, those with mistakes of their own included; no `domains` allow all."""
    path: KeyPath = ("scorecard", name)
    _check_kpis(report, path, card, kpis, known)
    if not card.to:
        report.problem((*path, "to"), "nobody to send it to", 'Add to = ["name@example.com"].', value="")
    seen: dict[str, int] = {}
    for index, recipient in enumerate(card.to):
        place: KeyPath = (*path, "to", index)
        person = recipient if isinstance(recipient, Recipient) else Recipient(address=recipient)
        within: KeyPath = (*place, "address") if isinstance(recipient, Recipient) else place
        address = check_address(report, within, person.address, domains)
        if address and address in seen:
            report.problem(within, "named twice", "Keep one of the two.")
        seen[address] = index
        check_text(report, (*place, "timezone"), person.timezone, check_timezone)
        check_text(report, (*place, "locale"), person.locale, check_locale)
    if card.owner is not None:
        check_address(report, (*path, "owner"), card.owner, domains)
    check_text(report, (*path, "send"), card.send, parse_send)
    check_text(report, (*path, "cron"), card.cron, parse_cron)
    check_text(report, (*path, "timezone"), card.timezone, check_timezone)
    check_text(report, (*path, "locale"), card.locale, check_locale)
    check_text(report, (*path, "currency"), card.currency, check_currency)
    if card.send is None and card.cron is None:
        report.warning(path, "never due", 'Add send = "monday 08:00", or send it by hand.', value="")


def _check_kpis(report: Report, path: KeyPath, card: Scorecard, kpis: Mapping[str, Kpi], known: Sequence[str]) -> None:
    for index, kpi in enumerate(card.kpis):
        place = (*path, "kpis", index)
        if kpi not in known:
            mend = did_you_mean(kpi, known) or "`syncagent kpi list` names them all."
            report.problem(place, "unknown KPI", mend)
        elif kpi in card.kpis[:index]:
            report.problem(place, "named twice", "Keep one of the two.")
        partner = kpis[kpi].partner_missing_from(card.kpis) if kpi in kpis else ""
        if partner:
            report.warning(place, f"a speed without its quality: {partner} is not on this scorecard", f"Add {partner}.")
    if len(card.kpis) > MOST_KPIS:
        mend = f"Keep the {MOST_KPIS} that lead to decisions."
        report.warning((*path, "kpis"), f"{len(card.kpis)} KPIs on one scorecard", mend, value="")


def check_place(report: Report, name: str, kpis: Mapping[str, Kpi]) -> None:
    """An admin's own KPI that has the name of a built-in stands in its place everywhere."""
    if name not in BUILTINS or kpis[name].builtin or is_helper(name):
        return
    made_of = {one.id: {part.partition(".")[0] for part in one.operands} for one in kpis.values() if one.builtin}
    others = [other for other, parts in made_of.items() if name in parts]
    worked = f"; {', '.join(others)} {'is' if len(others) == 1 else 'are'} worked out from it" if others else ""
    message = f"one of your own in place of the built-in of this name{worked}"
    report.warning(("kpi", name), message, "Give it a name of its own if that is not meant.", value="")


def without_unfit_parameters(report: Report, name: str, written: Mapping[str, Any], builtin: Kpi) -> Mapping[str, Any]:
    """The table of a built-in without the parameters that will not do, each noted: a KPI cannot be made with them."""
    params = written.get("params", {})
    unfit = dict.fromkeys(params, False)
    for param, message, mend in parameters.problems(builtin, params, BUILTINS, TABLES):
        report.problem(("kpi", name, "params", param), message, mend)
        unfit[param] = True
    fit = {param: value for param, value in params.items() if not unfit[param]}
    for param in parameters.lacking(builtin, fit):
        mend = f"Say it too: nothing follows for {param} from the other parameters."
        report.problem(("kpi", name, "params"), f"{param} is missing", mend, value="")
        fit = {}
    return {**written, "params": fit} if params else written


def check_kpi(
    report: Report, name: str, written: Mapping[str, Any], kpis: Mapping[str, Kpi], reporting: Reporting
) -> None:
    """Tables, columns, segments and other KPIs a KPI names."""
    for inner, message, mend in mistakes(kpis[name], written, kpis, reporting):
        report.problem(("kpi", name, *inner), message, mend)

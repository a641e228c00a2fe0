"""One pass over one configuration file: each section to its model, then what they say of each other."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from connectors.files.settings import FilesSettings
from connectors.hubspot.settings import HubSpotSettings
from connectors.salesforce.settings import SalesforceSettings
from scorecards.apart import is_helper, set_apart
from scorecards.catalogue import BUILTINS
from scorecards.definition import (
    SHAPES,
    Customers,
    Kpi,
    Reporting,
    Scorecard,
    TestRows,
    build,
    override,
    with_shared_params,
)
from scorecards.relations import Language
from syncagent.config import check
from syncagent.config.customs import check_customs
from syncagent.config.models import Agent, Calendar, Identity, TeamCalendar
from syncagent.config.not_built import refuse_not_built
from syncagent.config.problems import did_you_mean
from syncagent.config.report import Report
from syncagent.config.result import AgentSettings, Config, SourceSettings, make_reporting
from syncagent.config.secrets import Secrets, is_secret, masked, walk
from syncagent.config.toml import KeyPath
from syncagent.mailer import MailSettings

M = TypeVar("M", bound=BaseModel)

SOURCES: Mapping[str, type[SalesforceSettings] | type[HubSpotSettings] | type[FilesSettings]] = {
    "salesforce": SalesforceSettings,
    "hubspot": HubSpotSettings,
    "files": FilesSettings,
}
SECTIONS = (
    "agent", "calendar", "source", "mail", "dimension", "kpi", "scorecard", "test_rows", "identity", "customers",
    "web", "watch",
)  # fmt: skip
#: Texts that name a file or folder, made absolute from the folder of the configuration.
_PATHS = (
    ("agent", "data_dir"), ("agent", "ca_file"), ("mail", "ca_file"), ("source", "*", "ca_file"),
    ("source", "*", "private_key_file"), ("source", "*", "table", "*", "path"),
)  # fmt: skip
#: Sections whose secrets are for logging in: whoever only looks at what is stored does without them.
_LOGINS = frozenset({"source", "mail", "web", "watch"})
#: A KPI needs one of these; one that has another of them than `of` is not worked out from rows as a built-in is.
BEGINNINGS = frozenset({"of", "ratio", "calc", "sql"})
#: Keys of the models that only the loader sets.
OURS = {"kpi": ("id", "builtin", "template", "usual_period", "variants", "takes"), "scorecard": ("id",)}


class Loader:
    """One pass over one file: each section to its model, then what they say of each other."""

    def __init__(
        self,
        path: Path,
        tree: dict[str, Any],
        report: Report,
        environ: Mapping[str, str],
        *,
        needs_secrets: bool = True,
    ) -> None:
        self.path = path
        self._needs_secrets = needs_secrets
        self.report = report
        self.hash = hashlib.sha256(json.dumps(masked(tree), sort_keys=True, default=str).encode()).hexdigest()[:12]
        built = refuse_not_built(tree, report)
        secrets = Secrets(path.absolute().parent, environ, self._missing, self._open)
        self.tree: dict[str, Any] = secrets.fill(built)
        self.secret_files = tuple(dict.fromkeys(secrets.files))
        for place, value in walk(self.tree):
            written = report.value_at(place)
            if isinstance(value, str) and (value != written or is_secret(place)) and place not in secrets.missing:
                report.hidden.add(value)
        report.unusable |= secrets.missing
        self._make_absolute()

    def _missing(self, place: KeyPath, value: str, message: str, mend: str) -> None:
        if self._needs_secrets or place[0] not in _LOGINS:
            self.report.problem(place, message, mend, value=value)
        else:
            self.report.lacking(place, message, mend, value=value)

    def _open(self, place: KeyPath, value: str, message: str, mend: str) -> None:
        self.report.warning(place, message, mend, value=value)

    def _make_absolute(self) -> None:
        folder = self.path.absolute().parent
        for pattern in _PATHS:
            for node, key in _places(self.tree, pattern):
                if isinstance(node[key], str) and node[key]:
                    node[key] = str(folder / os.path.expanduser(node[key]))

    def load(self, *, despite_mistakes: bool = False) -> Config | None:
        """The whole; None when anything is wrong. `despite_mistakes`: what is left without that, for a look at it."""
        report = self.report
        for name in self.tree:
            if name not in SECTIONS:
                report.unknown((name,), SECTIONS)
        agent = self._section(Agent, "agent") or Agent()
        calendar, calendars = self._calendars()
        identity = self._section(Identity, "identity") or Identity()
        customers = self._section(Customers, "customers") or Customers()
        test_rows = self._section(TestRows, "test_rows") or TestRows()
        check.check_file(report, ("agent", "ca_file"), agent.ca_file)
        dimensions = self._dimensions()
        sources = dict(self._sources(agent))
        check.check_links(report, identity, sources)
        mail = self._mail(agent)
        reporting = make_reporting(agent, calendar, frozenset(), dimensions, identity, customers, test_rows)
        kpis = self._kpis(reporting)
        check_customs(report, self.tree, kpis, sources, reporting)
        scorecards = dict(self._scorecards(kpis, mail))
        if report.problems and not despite_mistakes:
            return None
        wrong = {tuple(problem.path.split(".")[:2]) for problem in report.problems}
        scorecards = {name: card for name, card in scorecards.items() if ("scorecard", name) not in wrong}
        settings = {**agent.model_dump(), "data_dir": self.path.absolute().parent / agent.data_dir}
        return Config(
            path=self.path,
            agent=AgentSettings(**settings),
            calendar=calendar,
            calendars=calendars,
            sources=sources,
            mail=mail,
            dimensions=dimensions,
            kpis=kpis,
            scorecards=scorecards,
            identity=identity,
            customers=customers,
            test_rows=test_rows,
            hash=self.hash,
            unset=tuple(report.unset),
            secret_files=self.secret_files,
            warnings=tuple(sorted(report.warnings, key=lambda problem: problem.line)),
        )

    def _section(self, model: type[M], name: str) -> M | None:
        return self.report.validate(model, self.report.table(self.tree, (name,)), (name,))

    def _calendars(self) -> tuple[Calendar, dict[str, TeamCalendar]]:
        """`[calendar]`, and the tables `[calendar.NAME]` of single teams."""
        tree = self.report.table(self.tree, ("calendar",))
        theirs = {name: table for name, table in tree.items() if check.is_team_calendar(name, table)}
        shared = {name: value for name, value in tree.items() if name not in theirs}
        calendar = self.report.validate(Calendar, shared, ("calendar",)) or Calendar()
        found = {}
        for name, table in theirs.items():
            made = self.report.validate(TeamCalendar, table, ("calendar", name))
            if made is not None:
                found[name] = made
        check.check_calendars(self.report, found)
        return calendar, found

    def _tables(self, section: str, what: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The tables `[section.NAME]`, those with an unusable name noted and left out."""
        tables = self.report.table(self.tree, (section,))
        for name in tables:
            if check.check_name(self.report, (section, name), what):
                table = self.report.table(tables, (section, name))
                if (section, name) not in self.report.unusable:
                    yield name, table

    def _dimensions(self) -> dict[str, dict[str, str]]:
        report = self.report
        language = Language(make_reporting(Agent(), Calendar(), frozenset(), {}, Identity(), Customers(), TestRows()))
        names = language.names()
        tables = f"Tables are {', '.join(names)}."
        found: dict[str, dict[str, str]] = {}
        for name, columns in self._tables("dimension", "dimension"):
            found[name] = {}
            for table, column in columns.items():
                place: KeyPath = ("dimension", name, table)
                relation = language.relation(table)
                if relation is None:
                    report.problem(place, "there is no such table", did_you_mean(table, names) or tables)
                elif not isinstance(column, str):
                    report.problem(place, "not the name of a column", 'Write it like "owner.team".')
                elif language.column(relation, column) is None:
                    report.problem(place, f"{table} has no such column", language.near(relation, column))
                else:
                    found[name][table] = column
        return found

    def _sources(self, agent: Agent) -> Iterator[tuple[str, SourceSettings]]:
        report = self.report
        for name, table in self._tables("source", "source"):
            path: KeyPath = ("source", name)
            kind = table.get("type")
            model = SOURCES.get(kind) if isinstance(kind, str) else None
            if model is None:
                mend = did_you_mean(kind, SOURCES) or f"Write one of {', '.join(SOURCES)}."
                report.problem((*path, "type"), "missing" if kind is None else "not a type of source", mend)
                continue
            entries = table.get("table") if model is FilesSettings else None
            for index, entry in enumerate(entries if isinstance(entries, list) else ()):
                check.check_files_table(report, path, index, entry)
            settings = report.validate(model, table, path)
            if settings is None:
                continue
            if isinstance(settings, FilesSettings):
                check.check_files(report, path, settings)
            else:
                check.check_values(report, path, settings)
            for key in ("ca_file", "private_key_file"):
                check.check_file(report, (*path, key), getattr(settings, key, None))
            if agent.ca_file and not isinstance(settings, FilesSettings) and settings.ca_file is None:
                settings = settings.model_copy(update={"ca_file": agent.ca_file})
            yield name, settings

    def _mail(self, agent: Agent) -> MailSettings | None:
        if "mail" not in self.tree:
            return None
        mail = self._section(MailSettings, "mail")
        if mail is None:
            return None
        check.check_mail(self.report, mail)
        check.check_file(self.report, ("mail", "ca_file"), mail.ca_file)
        return mail.model_copy(update={"ca_file": agent.ca_file}) if agent.ca_file and mail.ca_file is None else mail

    def _kpis(self, reporting: Reporting) -> dict[str, Kpi]:
        """The built-ins, overridden where `[kpi.NAME]` says so, and the admin's own."""
        kpis: dict[str, Kpi] = dict(BUILTINS)
        written: dict[str, Mapping[str, Any]] = {}
        for name, table in self._tables("kpi", "KPI"):
            self._refuse_ours("kpi", name, table)
            table = {key: value for key, value in table.items() if key not in OURS["kpi"]}
            builtin = BUILTINS.get(name)
            if builtin is not None and _stands_alone(table, builtin):
                builtin = None
            elif builtin is None and not table.keys() & BEGINNINGS:
                mend = (
                    did_you_mean(name, {*BUILTINS, *self.tree["kpi"]} - {name})
                    or "One of your own needs of, ratio, calc or sql."
                )
                self.report.problem(("kpi", name), "unknown KPI", mend)
                continue
            if not isinstance(table.get("params", {}), Mapping):
                self.report.problem(("kpi", name, "params"), "not a table", 'Write it like { weight = "count" }.')
                table = {key: value for key, value in table.items() if key != "params"}
            if builtin is not None:
                table = check.without_unfit_parameters(self.report, name, table, builtin)
            make = partial(override, builtin) if builtin is not None else partial(build, name)
            kpi = self.report.validate(Kpi, table, ("kpi", name), make=make)
            if kpi is not None:
                kpis[name] = kpi.model_copy(update={"id": name})
                written[name] = table
        kpis = set_apart(kpis, [name for name in written if is_helper(name) and not kpis[name].builtin])
        kpis |= with_shared_params(kpis, written)
        for name, table in written.items():
            check.check_kpi(self.report, name, table, kpis, reporting)
            check.check_place(self.report, name, kpis)
        return kpis

    def _scorecards(self, kpis: Mapping[str, Kpi], mail: MailSettings | None) -> Iterator[tuple[str, Scorecard]]:
        report = self.report
        known = [*kpis, *(name for name in report.table(self.tree, ("kpi",)) if name not in kpis)]
        is_mail_missed = "mail" not in report.tree
        domains = mail.allowed_domains if mail else ()
        for name, table in self._tables("scorecard", "scorecard"):
            self._refuse_ours("scorecard", name, table)
            table = {key: value for key, value in table.items() if key not in OURS["scorecard"]}
            card = report.validate(Scorecard, table, ("scorecard", name))
            if card is None:
                continue
            check.check_scorecard(report, name, card, kpis, known, domains)
            if is_mail_missed and card.to:
                report.problem(("scorecard", name, "to"), "there are readers, but no [mail]", "Add [mail].", value="")
            yield name, card.model_copy(update={"id": name})

    def _refuse_ours(self, section: str, name: str, table: Mapping[str, Any]) -> None:
        for key in OURS[section]:
            if key in table:
                self.report.unknown((section, name, key), ())


def _stands_alone(table: Mapping[str, Any], builtin: Kpi) -> bool:
    """Whether a table counts other rows than the built-in of its name, or counts them in another way.

    A later version's built-in may have any name: a file that was right stays right, and means what it meant.
    """
    if "of" not in table or builtin.hidden:  # nobody who names a KPI of their own knows of our helpers
        return bool(table.keys() & BEGINNINGS)
    return table["of"] != builtin.of or bool(table.keys() & {"agg", "field", *SHAPES})


def _places(tree: Any, pattern: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
    """(table, key) of everything `pattern` names."""
    head, *rest = pattern
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree))) if isinstance(tree, list) else []
    for key in keys:
        if head in ("*", key):
            if rest:
                yield from _places(tree[key], tuple(rest))
            else:
                yield tree, key

"""Recognises a CRM's own export by its header and says how it is read; knows no file and no row."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from connectors import parse
from connectors.errors import SourceConfigError
from connectors.files import exports_hubspot, exports_salesforce
from connectors.files.derive import Derive, derive_for

#: Part of what makes a file be read again: raised when a map below or a rule of `derive` changes.
VERSION = 3

#: Whose exports are known.
CRMS = {"salesforce": "Salesforce", "hubspot": "HubSpot"}
#: Names other programs write too: in another case than Salesforce's own, one of them alone tells nothing.
_EVERYONES = frozenset(
    (
        "isactive", "accountid", "ownerid", "parentid", "createddate", "startdate", "enddate", "ordernumber",
        "contractnumber", "closedate", "closeddate", "opportunityid", "caseid", "productcode",
    )
)  # fmt: skip
_NAMES_OF_PEOPLE = frozenset(("firstname", "lastname"))
#: Fields every object of Salesforce has that feed no column of ours.
_SYSTEM = frozenset(("createdbyid", "lastmodifiedbyid", "userroleid", "profileid", "recordtypeid", "lastvieweddate"))
_COMPOUND = re.compile(r"[a-z][A-Z]|__c$")
_LINE = re.compile(r"\s*(\S+)\s*=\s*(.+?)\s*")
_ACCOUNT_KINDS = {"customer": "customer", "prospect": "prospect", "partner": "partner", "reseller": "partner"}
_DEAL_TYPES = {
    "new business": "newbusiness",
    "new customer": "newbusiness",
    "existing business": "existingbusiness",
    "existing customer - upgrade": "upsell",
    "existing customer - replacement": "existingbusiness",
    "existing customer - downgrade": "existingbusiness",
}


def _share(text: str) -> float:
    """`0.4` and `40%` are both four tenths."""
    return parse.number(text.strip().removesuffix("%")) / (100 if text.strip().endswith("%") else 1)


def _account_kind(text: str) -> str | None:
    """customer, prospect, partner or other, of a Type such as "Customer - Direct"."""
    word = text.strip().lower()
    return next((ours for theirs, ours in _ACCOUNT_KINDS.items() if theirs in word), "other" if word else None)


def _owner(text: str) -> str:
    """A CRM's id in its long form, anything else (a name) as it stands."""
    try:
        return parse.salesforce_id(text)
    except ValueError:
        return text.strip()


#: How the cells of some columns become ours, by the word a map uses. Raise ValueError with a reason or none.
KINDS: Mapping[str, Callable[[str], Any]] = {
    "sfid": parse.salesforce_id,
    "lower": lambda text: text.strip().lower() or None,
    "email": parse.email,
    "phone": parse.phone,
    "domain": parse.domain,
    "percent": lambda text: parse.share_of_percent(text.strip().removesuffix("%")),
    "share": _share,
    "first": lambda text: text.partition(";")[0].strip() or None,
    "present": lambda text: int(bool(text.strip())),
    "ms": lambda text: parse.seconds_of_ms(text.strip()),
    "deal_type": lambda text: _DEAL_TYPES.get(text.strip().lower(), text.strip().lower()),
    "account_kind": _account_kind,
    "owner": _owner,
}


@dataclass(frozen=True, slots=True)
class Export:
    """One kind of export as found in one header."""

    crm: str  # what the rows' `source` becomes
    object: str  # "Salesforce Opportunity", for people
    columns: Mapping[str, str]  # our column = the header that feeds it
    kinds: Mapping[str, str]  # our column = how its cells are read, where our type alone does not say
    zone: str | None  # of naive times; None: the entry's or the agent's
    derive: Derive | None  # states and categories that no column holds
    absent: Mapping[str, str]  # our column = the header that would feed it
    is_report: bool  # of Salesforce: totals and words stand below its rows


@dataclass(frozen=True, slots=True)
class _Form:
    crm: str
    label: str
    needed: tuple[tuple[str, ...], ...]
    columns: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]  # ours -> ((header, kind), ...)
    exact: bool
    zone: str | None
    object: str

    @property
    def names(self) -> Collection[str]:
        """Every header it knows."""
        return {name for one in self.needed for name in one} | {n for _, options in self.columns for n, _ in options}


def recognise(table: str, header: Sequence[str], wanted: str = "auto") -> Export | None:
    """The export a header belongs to, among those that feed `table`; None for any other file.

    `wanted` is what the entry says: "auto", one CRM's name, or "none". Salesforce takes the API names of its fields in
    any case, and Data Loader writes them in capitals: then "auto" needs one that no other program would write.
    """
    if wanted == "none":
        return None
    exact = {name: name for name in header if name}
    folded = {_fold(name): name for name in reversed(header) if name}
    forms = [form for form in _forms(table) if wanted in ("auto", form.crm)]
    for form in forms:
        if _has_needed(form, exact if form.exact else folded):
            return _export(form, table, {**folded, **exact})
    for form in forms:
        in_any_case = {one: folded[_fold(one)] for one in form.names if _fold(one) in folded}
        if form.exact and _has_needed(form, in_any_case) and (wanted != "auto" or _is_salesforces(form, folded)):
            return _export(form, table, {**folded, **in_any_case})
    return None


def refuse(table: str, header: Sequence[str], wanted: str, *, has_ours: bool) -> None:
    """Raise SourceConfigError for what is no export of `table` although the entry says so, or one of another table.

    `has_ours`: the file can be read without being an export, by a mapping or columns of our names.
    """
    if (wanted in CRMS or not has_ours) and (other := _elsewhere(header, wanted)):
        label, tables = other
        message = f"it is a {label} export, which feeds {' and '.join(tables)}, not {table}."
        raise SourceConfigError(message, mend=f'Set table = "{tables[0]}".')
    if wanted in CRMS:
        raise SourceConfigError(
            f"it is no {CRMS[wanted]} export that feeds {table}.",
            mend='Export it again with the CRM\'s own column names, or set export = "none" and map its columns.',
        )


def _elsewhere(header: Sequence[str], wanted: str) -> tuple[str, list[str]] | None:
    """What export a header belongs to whatever our table, and the tables it feeds: the one it feeds most columns of."""
    feeds = [one[1] for one in (*exports_salesforce.API, *exports_salesforce.LABELS, *exports_hubspot.LABELS)]
    found = [(export, table) for table in dict.fromkeys(feeds) if (export := recognise(table, header, wanted))]
    if not found:
        return None
    best, _ = max(found, key=lambda one: len(one[0].columns))
    return best.object, [table for export, table in found if export.object == best.object]


def _has_needed(form: "_Form", names: Collection[str]) -> bool:
    return all(any(name in names for name in one) for one in form.needed)


def _is_salesforces(form: "_Form", folded: Collection[str]) -> bool:
    """Whether names in another case are Salesforce's all the same: one only it has, or two that others have too."""
    found = {_fold(name) for name in form.names if _COMPOUND.search(name)} & set(folded) - _NAMES_OF_PEOPLE
    is_own = bool(found - _EVERYONES or _SYSTEM & set(folded) or any(name.endswith("__c") for name in folded))
    return is_own or len(found) > 1


def _export(form: "_Form", table: str, names: Mapping[str, str]) -> Export:
    """`names`: each header as the form writes it -> as the file does."""
    chosen = {ours: found for ours, options in form.columns if (found := _first(options, names))}
    return Export(
        form.crm,
        form.label,
        {ours: names[name] for ours, (name, _) in chosen.items()},
        {ours: kind for ours, (_, kind) in chosen.items() if kind},
        form.zone,
        derive_for(form.crm, form.object, table),
        {ours: options[0][0] for ours, options in form.columns if options and ours not in chosen},
        is_report=form.crm == "salesforce" and not form.exact,
    )


def may_be_export(table: str, theirs: Sequence[str]) -> bool:
    """Whether columns mapped to these headers may be meant to override single ones of an export."""
    known = {name for form in _forms(table) for _, options in form.columns for name, _ in options}
    folded = {_fold(name) for name in known}
    return any(_fold(name).endswith("__c") or _fold(name) in folded for name in theirs)


def _first(options: Sequence[tuple[str, str]], names: Mapping[str, str]) -> tuple[str, str] | None:
    return next(((name, kind) for name, kind in options if name in names), None)


@lru_cache(maxsize=64)
def _forms(table: str) -> tuple[_Form, ...]:
    """The exports that feed a table, as compiled from the data modules."""
    forms = [
        _Form(
            "salesforce",
            f"Salesforce {name}",
            tuple(tuple(word.split("/")) for word in needed.split()),
            _columns(exports_salesforce.API_COMMON + columns, exact=True),
            exact=True,
            zone="UTC",
            object=name,
        )
        for name, feeds, needed, columns in exports_salesforce.API
        if feeds == table
    ]
    for crm, labels in (("salesforce", exports_salesforce.LABELS), ("hubspot", exports_hubspot.LABELS)):
        forms += [
            _Form(
                crm,
                f"{CRMS[crm]} {name}",
                tuple(tuple(_fold(word) for word in one.split("/")) for one in needed.split(";")),
                _columns(columns, exact=False),
                exact=False,
                zone=None,
                object=name,
            )
            for name, feeds, needed, columns in labels
            if feeds == table
        ]
    return tuple(forms)


def _columns(text: str, *, exact: bool) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """The lines `ours = Header : kind | Header` of a map; a later line of the same column replaces an earlier one."""
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    for line in text.splitlines():
        if match := _LINE.fullmatch(line):
            options = [option.partition(" : ") for option in match[2].split(" | ")]
            default = "owner" if match[1] == "owner_id" else ""
            found[match[1]] = tuple(
                (name.strip() if exact else _fold(name), kind.strip() or default) for name, _, kind in options
            )
    return tuple(found.items())


def _fold(name: str) -> str:
    return " ".join(name.split()).casefold()

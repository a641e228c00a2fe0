"""The faults of the list: how each is made on a sandbox, and what it may cost."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from syncagent.sandbox import Sandbox
from syncagent.sandbox.faults import NOT_NOW, RETRY_AFTER, UNAUTHORIZED, http_date
from syncagent.sandbox.faults_mangle import (
    AMOUNTS,
    HOSTILE,
    SF_AMOUNTS,
    cyclic_token,
    fewer_rows,
    link_to,
    partly,
    repeated_page,
    total_off,
    with_value,
)
from syncagent.sandbox.hubspot import gate as hs_gate

#: Breaks, or mends, a sandbox: `(box) -> object`.
Break = Any


@dataclass(frozen=True)
class Case:
    """A fault: how it is made, and what it may cost. `more`: settings of the source."""

    crm: str
    name: str
    make: Break
    more: dict[str, Any] = field(default_factory=dict)
    spares: bool = False  # strikes one object: the other streams are read
    mend: Break = lambda _: None  # what clearing the faults does not undo

    @property
    def id(self) -> str:
        return f"{self.crm}-{self.name}".replace(" ", "-")


def _hs(name: str, make: Break, **more: Any) -> Case:
    return Case("hubspot", name, make, **more)


def _sf(name: str, make: Break, **more: Any) -> Case:
    return Case("salesforce", name, make, **more)


def _fault(crm: str, kind: str, path: str = ".*", **more: Any) -> Break:
    """A fault of the wire on a CRM's server."""
    return lambda box: getattr(box.faults, crm).add(kind, path, **more)


def _mangle(crm: str, change: Any, path: str, **more: Any) -> Break:
    return lambda box: getattr(box.faults, crm).mangle(change, path, **more)


OAUTH = {
    "access_token": None,
    "client_id": hs_gate.CLIENT_ID,
    "client_secret": hs_gate.CLIENT_SECRET,
    "refresh_token": hs_gate.REFRESH_TOKEN,
}
BULK = {"bulk_from": 3}
READS = {"hubspot": r"/crm/(objects|associations)/", "salesforce": r"/query"}
LISTS = {"hubspot": r"GET /crm/objects/", "salesforce": r"/query"}
CRMS = ("hubspot", "salesforce")


def _network() -> Iterator[Case]:
    """Broken connections and broken bodies, once and for as long as the sync lasts, on an early and a late call."""
    kinds: dict[str, dict[str, Any]] = {
        "reset": {}, "drop": {}, "cut": {}, "chunk": {}, "wrong_length": {}, "bad_gzip": {}, "half_gzip": {},
        "truncate": {}, "html": {}, "hang": {"seconds": 3.0}, "drip": {"seconds": 0.3},
        "bomb": {"size": 200_000_000}, "flood": {"size": 200_000_000},
    }  # fmt: skip
    for crm in CRMS:
        make = _hs if crm == "hubspot" else _sf
        for kind, more in kinds.items():
            yield make(f"{kind} once", _fault(crm, kind, READS[crm], after=3, **more))
            if kind not in ("bomb", "flood", "drip", "hang"):
                yield make(f"{kind} for long", _fault(crm, kind, READS[crm], after=6, times=None, **more))
        yield make("black hole for long", _fault(crm, "hang", READS[crm], after=9, times=None, seconds=3.0))
        yield make(
            "nobody there",
            lambda box, crm=crm: getattr(box, crm).pause(),
            mend=lambda box, crm=crm: getattr(box, crm).resume(),
        )
        for to in ("https://evil.example/x", "http://169.254.169.254/latest", "file:///etc/passwd"):
            yield make(
                f"redirect to {to.partition(':')[0]} {len(to)}",
                lambda box, crm=crm, to=to: getattr(box.faults, crm).redirect(to, READS[crm], after=4, times=2),
            )


def _statuses() -> Iterator[Case]:
    for status in NOT_NOW:
        wait = {"headers": {"retry-after": "1"}} if status == 477 else {}
        for crm in CRMS:
            make = _hs if crm == "hubspot" else _sf
            yield make(f"{status} once", _fault(crm, "status", READS[crm], after=5, status=status, **wait))
            yield make(
                f"{status} for long", _fault(crm, "status", READS[crm], after=5, times=None, status=status, **wait)
            )
    for crm in CRMS:
        make = _hs if crm == "hubspot" else _sf
        yield make("304", _fault(crm, "status", READS[crm], after=2, times=3, status=304))


def _logins() -> Iterator[Case]:
    for shape in UNAUTHORIZED:
        for crm in CRMS:
            make = _hs if crm == "hubspot" else _sf
            more = {"more": OAUTH} if crm == "hubspot" else {}
            for after in (0, 7):
                yield make(
                    f"401 {shape} once after {after}",
                    lambda box, crm=crm, shape=shape, after=after: getattr(box.faults, crm).unauthorized(
                        shape, READS[crm], after=after
                    ),
                    **more,
                )
            yield make(
                f"401 {shape} for ever",
                lambda box, crm=crm, shape=shape: getattr(box.faults, crm).unauthorized(shape, READS[crm], times=None),
                **more,
            )
    yield _hs("token endpoint 500", _fault("hubspot", "status", "/oauth/", status=500), more=OAUTH)
    yield _hs("token endpoint hangs", _fault("hubspot", "hang", "/oauth/", seconds=3.0), more=OAUTH)
    yield _hs("all tokens revoked", lambda box: box.hubspot.revoke(), more=OAUTH)
    yield _sf("all sessions end", lambda box: box.salesforce.expire_tokens())
    yield _sf("token endpoint 500", _fault("salesforce", "status", "/oauth2/token", status=500))
    yield _sf("token endpoint hangs", _fault("salesforce", "hang", "/oauth2/token", seconds=3.0))
    for name in ("high_assurance", "api_disabled"):
        yield _sf(name, lambda box, name=name: box.salesforce.refuse(name, times=None))


def _limits() -> Iterator[Case]:
    long = {"absent", "seconds"}  # a wait of ten seconds and more each: waited for with one policy
    longest = {"milliseconds", "huge"}  # the longest hold, half a minute: "huge" of searches waits for all of them
    for policy in ("SECONDLY", "TEN_SECONDLY"):
        for name, text in {**RETRY_AFTER, "date": "by the vendor's clock"}.items():
            if name in longest and (policy, name) != ("SECONDLY", "huge"):
                continue
            if name in long and policy == "TEN_SECONDLY":
                continue

            def refuse(box: Sandbox, policy: str = policy, name: str = name, text: str | None = text) -> None:
                if name == "date":
                    text = http_date(box.now.timestamp() + 2)
                box.faults.hubspot.too_many(
                    policy=policy, retry_after=text, named=policy != "SECONDLY", path="/search", after=1
                )

            yield _hs(f"429 {policy} {name}", refuse)
    yield _hs("429 DAILY", lambda box: box.faults.hubspot.too_many(policy="DAILY", after=12, times=None))
    for name in ("daily", "concurrent", "lock", "unavailable", "unknown", "metering", "query_timeout", "too_large"):
        for times in (1, 3):
            yield _sf(
                f"{name} {times}",
                lambda box, name=name, times=times: box.salesforce.refuse(name, path="/query", after=6, times=times),
            )
    yield _sf("daily for long", lambda box: box.salesforce.refuse("daily", after=8, times=None))
    for info in ("nonsense", "api-usage=/", "api-usage=-3/x", None):
        yield _sf(f"limit header {info}", lambda box, info=info: setattr(box.salesforce.limits, "info", info))


def _repeat_pages(box: Sandbox) -> None:
    """Each list is split over many pages, and answers with its own page before the one asked for."""
    box.hubspot.short_pages = 1.0
    for kind in box.hubspot.objects:
        box.faults.hubspot.mangle(repeated_page(), rf"GET /crm/objects/[^/]+/{kind}\b", times=None)


def _answers() -> Iterator[Case]:
    """Whole answers that make no sense: pages, totals and shapes."""
    for crm in CRMS:
        make = _hs if crm == "hubspot" else _sf
        for change in ("no_results", "null_results", "results_no_list", "empty_object", "empty_list", "null", "text"):
            yield make(f"answer {change}", _mangle(crm, change, READS[crm], after=4, times=3))
            yield make(f"answer {change} for long", _mangle(crm, change, READS[crm], after=4, times=None))
        for change in ("utf_16", "not_utf_8", "no_ids"):
            yield make(f"answer {change}", _mangle(crm, change, LISTS[crm], after=2, times=2))
        for change in ("doubled", "reversed"):
            yield make(f"answer {change}", _mangle(crm, change, READS[crm], times=None))
        yield make("total too high", _mangle(crm, total_off(3), READS[crm], after=3, times=2))
        yield make("page cut", _mangle(crm, fewer_rows(1), READS[crm], after=3, times=2))
        yield make("wrong content type", _fault(crm, "mangle", READS[crm], after=3, times=2, change=lambda d: d,
                                                headers={"content-type": "text/plain"}))  # fmt: skip
    yield _hs("empty pages with a next", _mangle("hubspot", "empty_page", LISTS["hubspot"], times=2))
    yield _hs("cyclic tokens", _mangle("hubspot", cyclic_token("3", "7"), LISTS["hubspot"], times=None))
    yield _hs("repeated page", _repeat_pages, mend=lambda box: setattr(box.hubspot, "short_pages", 0.0))
    yield _hs("partial batch", _mangle("hubspot", partly(), "/batch/read", times=2, status=207))
    yield _hs("partial batch for long", _mangle("hubspot", partly(), "/batch/read", times=None, status=207))
    yield _hs("one 404 on a dated path", lambda box: box.faults.hubspot.dated_404(after=6))
    yield _hs("no dated paths", lambda box: setattr(box.hubspot, "dated", False),
              mend=lambda box: setattr(box.hubspot, "dated", True))  # fmt: skip
    yield _sf("next page elsewhere", _mangle("salesforce", link_to("https://evil.example/q"), "/query", times=None))
    yield _sf("no word of the next page", _mangle("salesforce", "endless", "/query", after=5, times=2))
    yield _sf("locators die", lambda box: box.salesforce.refuse("lost_cursor", path="/query/", times=3))


def _bulk() -> Iterator[Case]:
    kinds = ("failed", "aborted", "stuck", "partial", "count_wrong", "count_missing", "short", "expired", "limit")
    for kind in (*kinds, "unsupported", "unauthorised"):
        for times in (1, None):
            if kind == "stuck" and times is None:
                continue  # waits for the end of a job's patience with every object
            yield _sf(
                f"bulk {kind} {times}",
                lambda box, kind=kind, times=times: box.salesforce.bulk.fault(kind, times=times, after=0),
                more=BULK,
                mend=lambda box: box.salesforce.bulk.clear_faults(),
            )


def _data() -> Iterator[Case]:
    """Values no schema promises, in every record of an object for a while."""
    for name, text in HOSTILE.items():
        yield _hs(f"text {name}", _mangle("hubspot", with_value("dealname", text), r"/objects/[^/]+/deals", times=None))
        yield _sf(f"text {name}", _mangle("salesforce", with_value("Name", text), r"FROM.Opportunity\b", times=None))
    for name, text in AMOUNTS.items():
        yield _hs(f"amount {name}", _mangle("hubspot", with_value("amount", text), r"/objects/[^/]+/deals", times=None))
    for name, number in SF_AMOUNTS.items():
        yield _sf(
            f"amount {name}", _mangle("salesforce", with_value("Amount", number), r"FROM.Opportunity\b", times=None)
        )
    for name, text in {"ms": "1763280000000", "words": "yesterday", "year 0": "0000-00-00T00:00:00Z"}.items():
        yield _hs(
            f"date {name}", _mangle("hubspot", with_value("closedate", text), r"/objects/[^/]+/deals", times=None)
        )
        yield _sf(
            f"date {name}", _mangle("salesforce", with_value("CloseDate", text), r"FROM.Opportunity\b", times=None)
        )
    yield _hs(
        "unknown currency",
        _mangle("hubspot", with_value("deal_currency_code", "XXQ"), r"/objects/[^/]+/deals", times=None),
    )
    yield _hs(
        "missing owner", _mangle("hubspot", with_value("hubspot_owner_id", "404"), r"/objects/[^/]+/deals", times=None)
    )
    yield _hs(
        "unknown stage", _mangle("hubspot", with_value("dealstage", "nowhere"), r"/objects/[^/]+/deals", times=None)
    )


def _one_object() -> Iterator[Case]:
    """What one object suffers for as long as the sync lasts: the other streams do not."""
    lasting: dict[str, dict[str, Any]] = {
        "500": {"kind": "status", "status": 500},
        "html": {"kind": "html"},
        "reset": {"kind": "reset"},
        "hang": {"kind": "hang", "seconds": 3.0},
        "403": {"kind": "status", "status": 403, "body": b"{}", "headers": {"content-type": "application/json"}},
    }
    for name, more in lasting.items():
        kind = str(more["kind"])
        rest = {key: value for key, value in more.items() if key != "kind"}
        yield _hs(f"deals {name}", _fault("hubspot", kind, r"/objects/[^/]+/deals", times=None, **rest), spares=True)
        yield _sf(f"Case {name}", _fault("salesforce", kind, r"FROM.Case\b", times=None, **rest), spares=True)


def _schema() -> Iterator[Case]:
    """What a schema may do while a source is read; afterwards it is as before."""
    for kind, name in (("deals", "amount"), ("tickets", "subject"), ("contacts", "email")):
        yield _hs(f"{name} hidden", lambda box, k=kind, n=name: box.hubspot.schema.hide(k, n),
                  mend=lambda box, k=kind, n=name: box.hubspot.schema.show(k, n))  # fmt: skip
    for kind in ("tickets", "leads", "calls", "feedback_submissions", "invoices"):
        yield _hs(f"{kind} disabled", lambda box, k=kind: box.hubspot.schema.disable(k),
                  mend=lambda box, k=kind: box.hubspot.schema.enable(k))  # fmt: skip
    for name in ("Amount", "LeadSource"):
        yield _sf(f"{name} hidden", lambda box, n=name: box.salesforce.schema.hide(f"Opportunity.{n}"),
                  mend=lambda box, n=name: box.salesforce.schema.show(f"Opportunity.{n}"))  # fmt: skip
    logs = ("CaseHistory", "CaseMilestone", "TaskRelation", "OpportunityLineItem")
    for name in ("Case", "Lead", "Order", "Contract", *logs):
        yield _sf(f"{name} hidden", lambda box, n=name: box.salesforce.schema.hide(n),
                  mend=lambda box, n=name: box.salesforce.schema.show(n))  # fmt: skip


def _clocks() -> Iterator[Case]:
    for crm in CRMS:
        make = _hs if crm == "hubspot" else _sf
        for skew in (-600, 600):
            yield make(
                f"clock {skew:+d} s",
                lambda box, crm=crm, skew=skew: setattr(getattr(box, crm), "skew_s", skew),
                mend=lambda box, crm=crm: setattr(getattr(box, crm), "skew_s", 0),
            )


#: Groups of faults by name.
GROUPS: Mapping[str, Callable[[], Iterator[Case]]] = {
    "network": _network,
    "statuses": _statuses,
    "logins": _logins,
    "limits": _limits,
    "answers": _answers,
    "bulk": _bulk,
    "data": _data,
    "one object": _one_object,
    "schema": _schema,
    "clocks": _clocks,
}

"""Scorecard issues to render: a normal week, hostile CRM text, nothing to show, and twelve KPIs with long names."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from scorecards.render.message import Issue
from scorecards.told import ChangedRecord, Restated
from scorecards.values import (
    ActionList,
    ActionRow,
    Comparison,
    Freshness,
    KpiResult,
    Period,
    Point,
    SegmentValue,
    Signal,
    TargetResult,
)

AS_OF = datetime(2026, 11, 15, 23, 0, tzinfo=UTC)
WEEK = Period(date(2026, 11, 9), date(2026, 11, 16), "Europe/Berlin")
BEFORE = Period(date(2026, 11, 2), date(2026, 11, 9), "Europe/Berlin")
SYNCED = datetime(2026, 11, 16, 5, 42, tzinfo=UTC)


def points(values: Sequence[float | None], *, end: date = WEEK.end, days: int = 7) -> tuple[Point, ...]:
    """A series of weeks that ends with the scorecard's period."""
    first = end - timedelta(days=days * len(values))
    return tuple(
        Point(
            first + timedelta(days=days * i),
            first + timedelta(days=days * (i + 1)),
            value,
            None if value is None else 40,
            "no_data" if value is None else "ok",
        )
        for i, value in enumerate(values)
    )


def result(kpi: str, title: str, unit: str, values: Sequence[float | None], **more: Any) -> KpiResult:
    """A KPI whose last value is shown, compared with the one before."""
    value = values[-1]
    before = values[-2] if len(values) > 1 else None
    change = None if value is None or before is None else value - before
    made = KpiResult(
        kpi=kpi,
        title=title,
        as_of=AS_OF,
        period=WEEK,
        value=value,
        unit=unit,
        status="ok" if value is not None else "no_data",
        series=points(values),
        comparisons=(Comparison("previous", before, change, BEFORE),),
        granularity="week",
        freshness=(Freshness("crm", SYNCED),),
        currency="EUR" if unit == "money" else None,
    )
    return replace(made, **more)


def goal(want: str, value: float, now: float, **more: Any) -> TargetResult:
    """A goal and how far `now` is from it."""
    return TargetResult(want, value, value, now - value, **more)


def action(number: int, title: str, reason: str, owner: str | None, amount: float | None = None) -> ActionRow:
    return ActionRow(
        f"crm:opportunities:{number}", title, f"https://acme.example.com/o/{number}", owner, reason, amount
    )


def restated(number: int, title: str, change: str, before: float | None, now: float | None) -> ChangedRecord:
    return ChangedRecord(
        f"crm:opportunities:{number}", title, f"https://acme.example.com/o/{number}", change, before, now
    )


#: The week before was told otherwise: two deals closed late.
RESTATED = Restated(
    BEFORE,
    None,
    None,
    412e3,
    449.7e3,
    datetime(2026, 11, 9, 7, 0, tzinfo=UTC),
    (restated(11, "Late close", "added", None, 30e3), restated(12, "Raised", "changed", 10e3, 17.7e3)),
    2,
)


def normal_results() -> list[KpiResult]:
    """Eight KPIs in all four states and one without a goal, with segments, signals, records, one value restated."""
    return [
        result(
            "won_revenue",
            "Won revenue",
            "money",
            [402e3, 415e3, 388e3, 431e3, 442e3, 428e3, 451e3, 447e3, 462e3, 455e3, 449.8e3, 449.7e3, 486.2e3],
            direction="up",
            group="Sales",
            verdict="green",
            target=goal("up", 450e3, 486.2e3),
            signal=Signal("none", mean=442e3, lower=389e3, upper=496e3, points=13),
            about="sum of won deals by close date, in EUR",
            n=38,
            restated=(RESTATED,),
        ),
        result(
            "win_rate",
            "Win rate",
            "ratio",
            [0.262, 0.258, 0.255, 0.261, 0.249, 0.252, 0.241, 0.238, 0.244, 0.236, 0.229, 0.213, 0.182],
            direction="up",
            group="Sales",
            verdict="red",
            target=goal("up", 0.24, 0.182),
            signal=Signal("signal", (1, 2), mean=0.247, lower=0.198, upper=0.274, points=13, direction="below"),
            about="won ÷ (won + lost), by outcome date",
            numerator=41,
            denominator=225,
            n=225,
            segments=(
                SegmentValue("EMEA", 0.214, 24, 112, 112, "ok", "amber", by="team"),
                SegmentValue("Nordics", 0.121, 8, 66, 66, "ok", "red", by="team"),
                SegmentValue("DACH", 0.255, 9, 35, 35, "ok", "green", by="team"),
                SegmentValue("(none)", None, 0, 12, 12, "too_few", by="team"),
            ),
            actions=ActionList(
                "Lost deals by amount",
                (
                    action(1, "Globex renewal 2027", "lost: price", "Priya Nair", 184_000),
                    action(2, "Müller & Söhne “Bestand”", "lost: no decision, open 131 days", "Tomás Rivera", 96_500),
                    action(3, "Initech R&D <phase 2>", "lost: competitor", "Priya Nair", 71_000),
                    action(4, "شركة النور للتجارة", "lost: price", "Jonas Weber", 58_250),
                    replace(action(5, "Umbrella Logistics", "lost without a reason", None, 41_900), url=None),
                ),
                14,
            ),
        ),
        result(
            "pipeline_open_value",
            "Open pipeline",
            "money",
            [1.31e6, 1.33e6, 1.29e6, 1.26e6, 1.28e6, 1.22e6, 1.25e6, 1.21e6, 1.19e6, 1.2e6, 1.17e6, 1.16e6, 1.142e6],
            direction="up",
            group="Sales",
            period=None,
            verdict="amber",
            target=goal("up", 1.2e6, 1.142e6),
            signal=Signal("none", mean=1.23e6, lower=1.12e6, upper=1.34e6, points=13),
            about="open deals at the end of the period, unweighted",
            n=143,
        ),
        result(
            "lead_conversion_rate",
            "Lead conversion",
            "ratio",
            [0.131, 0.128, 0.133, 0.139, 0.137, None, None, 0.136, 0.141, 0.14, 0.138, 0.141, 0.147],
            direction="up",
            group="Sales",
            verdict="green",
            target=goal("up", 0.14, 0.147),
            period=Period(date(2026, 8, 3), date(2026, 8, 10), "Europe/Berlin"),
            signal=Signal("none", mean=0.137, lower=0.122, upper=0.153, points=11),
            status="partial",
            coverage=0.67,
            about="leads converted within 90 days of creation",
            numerator=57,
            denominator=388,
            n=388,
        ),
        result(
            "customer_retention_rate",
            "Customer retention",
            "ratio",
            [None],
            direction="up",
            group="Customers",
            status="too_few",
            series=(),
            target=goal("up", 0.95, 0.95),
            numerator=2,
            denominator=3,
            n=3,
            about="customers of the start still active at the end",
        ),
        result(
            "csat_score",
            "Satisfaction",
            "score",
            [8.4, 8.3, 8.5, 8.4, 8.2, 8.3, 8.1, 8.2, 8.3, 8.2, 8.1, 8.2, 8.1],
            direction="up",
            group="Customers",
            scale=10,
            verdict="amber",
            target=goal("up", 8.5, 8.1),
            signal=Signal("none", mean=8.3, lower=7.9, upper=8.7, points=13),
            about="mean of answers, on a scale of 10",
            n=212,
        ),
        result(
            "first_response_time",
            "First response",
            "seconds",
            [9900, 9300, 9600, 9000, 8820, 8700, 8100, 7800, 8100, 7500, 7200, 6900, 5040],
            direction="down",
            group="Service",
            verdict="green",
            stat="median",
            clock="business",
            details={"median": 5040.0, "p90": 19_800.0},
            target=goal("down", 7200, 5040),
            signal=Signal("signal", (1,), mean=8300, lower=6300, upper=10_300, points=13, direction="below"),
            about="from ticket created to first public reply, business hours",
            n=188,
        ),
        result(
            "ticket_backlog",
            "Ticket backlog",
            "count",
            [212, 230, 221, 219, 240, 251, 238, 229, 233, 241, 236, 228, 231],
            direction="down",
            group="Service",
            period=None,
            signal=Signal("none", mean=231, lower=196, upper=266, points=13),
            about="tickets open at the end of the period",
            n=231,
            actions=ActionList(
                "Oldest open tickets",
                (
                    action(6, "Export to example.com fails", "open 46 days", "Mei Lindqvist"),
                    action(7, "Login loop after update", "open 31 days", "Jonas Weber"),
                ),
                9,
            ),
        ),
        result(
            "mean_time_to_resolution",
            "Time to resolution",
            "seconds",
            [None],
            direction="down",
            group="Service",
            stat="mean",
            clock="calendar",
            reason="desk has not been synced since 15 Nov 2026",
            series=points([90e3, 86e3, 88e3, 79e3, 81e3, 76e3, 74e3, 70e3, 72e3, 69e3, 68e3, 66e3, None]),
            target=goal("down", 72_000, 72_000),
            about="from created to last close",
        ),
    ]


def issue(results: Sequence[KpiResult] | None = None, **more: Any) -> Issue:
    """One issue for a reader in Berlin; anything may be replaced by name."""
    made = Issue(
        name="sales_weekly",
        title="Sales scorecard",
        agent_name="Northwind Traders",
        owner="revops@acme.example",
        period=WEEK,
        granularity="week",
        as_of=AS_OF,
        due_at=datetime(2026, 11, 16, 7, 0, tzinfo=UTC),
        number=46,
        timezone="Europe/Berlin",
        locale="en-GB",
        currency="EUR",
        results=normal_results() if results is None else results,
        freshness=(
            Freshness("crm", SYNCED),
            Freshness(
                "desk",
                datetime(2026, 11, 15, 1, 10, tzinfo=UTC),
                "the server answered 503",
                datetime(2026, 11, 15, 1, 25, tzinfo=UTC),
            ),
        ),
        recipient="vp@acme.example",
        unsubscribe="mailto:scorecards@acme.example?subject=stop",
        config_hash="8f3c2a1db04e",
        max_age_s=21_600,
        crm_url="https://acme.example.com/",
    )
    return replace(made, **more)


#: None of these may appear in the HTML as written, nor may its effect.
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "evil\u202egpj.exe\u2066\u0000\u0007\u200b",
    "http://evil.test/pay now at evil.com or mail bad@evil.com",
    "line one\r\nBcc: everybody@evil.test\u2028line two",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033da\u0310lgo " + "W" * 400,
    "<!-- --> </td></table><style>*{display:none}</style>",
)


def hostile_issue() -> Issue:
    """Everything a CRM or a config may smuggle in, in every text there is."""
    bad = HOSTILE
    rows = tuple(
        ActionRow(text, text, url, text, text, 5.0)
        for text, url in zip(
            bad,
            (
                "javascript:alert(1)",
                "http://127.0.0.1:8080/o/1",
                'https://crm.example.com/"onmouseover="x',
                "https://user:pw@crm.example.com/",
                "https://crm.example.com/o?id=1&x=2",
                "data:text/html,x",
                "https://crm.example.com/\r\nx",
                None,
            ),
            strict=True,
        )
    )
    results = [
        replace(
            base,
            title=text,
            group=bad[(i + 1) % len(bad)],
            about=bad[(i + 2) % len(bad)],
            reason=bad[(i + 3) % len(bad)],
            stat=bad[(i + 4) % len(bad)],
            segments=tuple(SegmentValue(t, 0.1, 1, 10, 10, "ok", by=t) for t in bad[:2]),
            actions=ActionList(bad[(i + 5) % len(bad)], rows, 8),
            restated=(
                replace(
                    RESTATED,
                    by=text,
                    segment=text,
                    records=tuple(ChangedRecord(row.id, row.title, row.url, "gone", 1.0, None) for row in rows),
                    total=8,
                ),
            ),
            redefined=SYNCED,
        )
        for i, (base, text) in enumerate(zip(normal_results(), bad, strict=False))
    ]
    return issue(
        results,
        title=bad[0],
        agent_name=bad[1],
        owner=bad[4],
        notes=bad[:3],
        freshness=tuple(Freshness(t, SYNCED, t, SYNCED) for t in bad[:3]),
        unsubscribe="javascript:alert(1)",
        crm_url="http://127.0.0.1:9/",
        config_hash=bad[0],
    )


def missing_issue() -> Issue:
    """No KPI has a value, each for another reason, and no source ever synced."""
    statuses = ("too_few", "no_denominator", "no_data", "not_configured", "error", "no_data", "no_data", "no_data")
    results = [
        replace(
            base,
            value=None,
            status=status,
            verdict=None,
            reason=None if i % 2 else f"needs the field number {i}",
            numerator=2.0,
            denominator=3.0,
            n=3,
            segments=(),
            actions=None,
            signal=None,
            comparisons=(),
            series=points([None] * 13) if i % 2 else (),
        )
        for i, (base, status) in enumerate(zip(normal_results(), statuses, strict=False))
    ]
    return issue(results, freshness=(Freshness("crm", None), Freshness("desk", None)), number=None)


def long_issue() -> Issue:
    """Twelve KPIs with long names, segments and full record lists: the largest message we expect."""
    base = normal_results()
    results = []
    for i in range(12):
        long = f"{base[i % 8].title} of enterprise customers in the extended Central and Eastern European region {i}"
        results.append(
            replace(
                base[i % 8],
                kpi=f"kpi_{i}",
                title=long,
                about=f"{long}, counted by the day the record was created and without test rows",
                segments=tuple(
                    SegmentValue(
                        f"Segment number {s} with a name", 0.1 + s / 100, 10, 100, 100, "ok", "red", by="group"
                    )
                    for s in range(9)
                ),
                actions=ActionList(
                    f"Records of {long}",
                    tuple(
                        action(n, f"Record {n} {long}", "open 46 days without an answer", "Mei Lindqvist", 12_345.0)
                        for n in range(5)
                    ),
                    1234,
                ),
            )
        )
    return issue(results)

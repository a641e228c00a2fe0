"""The message of an issue: what a row says in each status, links, marks, sizes, equality of both parts."""

import re
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser
from importlib import resources
from typing import Any

import pytest

from scorecards.errors import RenderError
from scorecards.render import HTML_MAX, preview_html, render
from scorecards.render.format import get
from scorecards.render.message import Issue
from scorecards.render.rows import signal_sentence, written_change
from scorecards.render.written import written_value
from scorecards.targets.pace import Progress
from scorecards.values import (
    ActionList,
    ActionRow,
    Comparison,
    ExchangeRate,
    Freshness,
    KpiResult,
    Period,
    RatesOf,
    SegmentValue,
    Signal,
    TargetResult,
)
from tests.fakes.issue import (
    AS_OF,
    RESTATED,
    SYNCED,
    goal,
    hostile_issue,
    issue,
    long_issue,
    missing_issue,
    normal_results,
    result,
)

FIXTURES = [issue(), hostile_issue(), missing_issue(), long_issue()]


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.links: list[str] = []
        self._skip = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._skip = tag in ("style", "title")
        self.links += [value or "" for name, value in attrs if name == "href"]
        if tag in ("div", "td", "th", "caption", "h1", "h2", "p"):
            self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._skip:
            self.parts.append(data)


def seen(html: str) -> str:
    """What a reader sees of the HTML, with plain single spaces."""
    parser = _Text()
    parser.feed(html)
    return " ".join("".join(parser.parts).split())


def links(html: str) -> list[str]:
    parser = _Text()
    parser.feed(html)
    return parser.links


def plain(text: str) -> str:
    return " ".join(text.split())


def both(made: Issue) -> tuple[str, str]:
    rendered = render(made)
    return seen(rendered.html), plain(rendered.text)


DUE = date(2026, 12, 31)
#: A rate on its way through 2026, and (in a rate's clothes) a total.
WAY = Progress(
    date(2026, 1, 1), date(2027, 1, 1), date(2026, 11, 1), "running", 0.4, 0.3, 0.4, "red", needed_per_period=0.05
)
TOTAL = replace(
    WAY,
    goal=0.6,
    value=0.44,
    expected=0.48,
    verdict="amber",
    projected=0.55,
    needed_rate=0.002,
    needed_per_period=None,
    accrues=True,
)


LEADS = {"mature": 41, "of": 58, "rows": "leads", "seconds": 90 * 86400}
VOICE = {
    "by": "ticket",
    "n": 1200,
    "rho": -0.051,
    "tracks": False,
    "sentence": "this KPI does not track what customers say",
}


def one(**changes: Any) -> KpiResult:
    """A KPI on target with the usual trimmings, changed as a test needs it."""
    made = result("x", "Win rate", "ratio", [0.25, 0.3], direction="up", verdict="green", target=goal("up", 0.24, 0.3))
    return replace(made, **{"numerator": 60.0, "denominator": 200.0, "n": 200, **changes})


def said(kpi: KpiResult, **more: Any) -> str:
    """What the HTML says of one KPI and below; the text part is held equal by a test of its own."""
    html, _ = both(issue([kpi], freshness=(), **more))
    return html[html.index("No data", html.index("Off target")) :]  # after the counts


def test_the_letters_of_each_target_are_in_the_footer() -> None:
    """Their reasons are for who sets them; a KPI without a target has none."""
    letters = {"S": {"result": "ok", "reasons": []}, "T": {"result": "fail", "reasons": ["it has no start", "late"]}}
    html, text = both(issue([one(smart=letters), one(target=None, verdict=None)], freshness=()))
    asked = "Are the targets specific, measurable, achievable, relevant, time-bound?"
    assert f"{asked} Win rate: S ok · T fail" in html
    assert f"{asked.upper()} Win rate: S ok · T fail" in text
    assert html.count("S ok") == text.count("S ok") == 1
    assert "it has no start" not in html + text


def test_a_total_is_told_with_its_deadline() -> None:
    """Not the good month it had, but what it has come to."""
    html, _ = both(issue([one(verdict="red", target=TargetResult("up", 0.2, 0.2, 0.1, DUE, progress=TOTAL))]))
    assert "Win rate is 44.0% since 1 Jan 2026 (goal ≥ 60.0% by 31 Dec 2026)." in html
    html, _ = both(issue([one(verdict="green", target=TargetResult("up", 0.2, 0.2, 0.1, DUE, progress=TOTAL))]))
    assert "The goal is on track." in html


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "✓ On target goal ≥ 24.0% 30.0% +5.0 pp better 60 of 200"),
        ({"verdict": "amber"}, "! At risk goal ≥ 24.0%"),
        ({"verdict": "red"}, "✕ Off target goal ≥ 24.0%"),
        ({"direction": "down"}, "+5.0 pp worse"),
        ({"direction": "neutral"}, "30.0% +5.0 pp 60 of 200"),
        ({"comparisons": ()}, "30.0% 60 of 200"),
        ({"comparisons": (Comparison("previous", 0.3, 0.0),)}, "30.0% no change"),
        ({"comparisons": (Comparison("year_ago", 0.2, 0.1),)}, "60 of 200 · +10.0 pp on a year ago"),
        ({"status": "partial", "coverage": 0.67, "reason": None}, "! covers 67% of the rows"),
        ({"status": "partial", "coverage": 0.67, "reason": "covers 67 % of deals"}, "! covers 67 % of deals"),
        ({"signal": Signal("none", (), 0.3, 0.28, 0.55, 13)}, "usual range 28.0–55.0%"),
        ({"signal": Signal("too_few_points", points=3)}, "too few periods for a usual range"),
        (
            {"signal": Signal("too_few_points", points=30, days_between=69.7)},
            "too rare for a usual range: one in 70 days",
        ),
        ({"signal": Signal("possible", (1,), 0.2, 0.1, 0.6, 7, "below")}, "possibly more of a move than usual"),
        ({"signal": Signal("possible", (1,), 0.5, 0.4, 0.6, 7, "below")}, "possibly below the usual range 40.0–60.0%"),
        (
            {"signal": Signal("signal", (1,), 0.5, 0.4, 0.6, 13, "below")},
            "↓ below the usual range 40.0–60.0%: look for a cause",
        ),
        (
            {"signal": Signal("signal", (2,), 0.2, 0.1, 0.6, 20, "above")},
            "↑ 8 weeks in a row above the old average: the process has shifted",
        ),
        ({"signal": Signal("signal", (3,), 0.2, 0.1, 0.6, 20, "above")}, "↑ 3 of the last 4 far above the average"),
        ({"signal": Signal("signal", (1,), 0.3, 0.1, 0.6, 20)}, "moved more than usual from the period before"),
        ({"details": {"immature": 17, "unanswered": 0}}, "60 of 200 · 17 too young to be judged"),
        ({"details": {"immature": 17, "maturity": LEADS}}, "60 of 200 · 41 of 58 leads have had 90 days Lines"),
        ({"details": {"immature": 0, "maturity": {**LEADS, "mature": 58}}}, "60 of 200 Lines"),
        ({"details": {"maturity": {**LEADS, "mature": 1, "seconds": 86400}}}, "1 of 58 leads has had 1 day Lines"),
        ({"details": {"maturity": {**LEADS, "seconds": 21600}}}, "41 of 58 leads have had 6 h Lines"),
        (
            {"details": {"maturity": {"mature": 9, "of": 12, "rows": "answers", "business_days": 5}}},
            "9 of 12 answers have had 5 business days Lines",
        ),
        (
            {"value": None, "status": "too_few", "details": {"maturity": {**LEADS, "mature": 0}}},
            "0 of 58 leads have had 90 days",
        ),
        ({"target": None, "verdict": None}, "Win rate 60 of 200 30.0% +5.0 pp better"),
        (
            {"details": {"voc_alignment": VOICE}},
            "60 of 200 · this KPI does not track what customers say (rank correlation −0.05 over 1,200 tickets)",
        ),
        ({"details": {"voc_alignment": {**VOICE, "tracks": True}}}, "30.0% +5.0 pp better 60 of 200 Lines"),
        ({"details": {"voc_alignment": {**VOICE, "tracks": None, "rho": None, "sentence": None}}}, "60 of 200 Lines"),
        (
            {"target": TargetResult("between", None, None, 0.0, low=0.2, high=0.4)},
            "✓ On target goal 20.0–40.0%",
        ),
        (
            {"target": TargetResult("up", 0.2, 0.2, 0.1, needed_rate=-0.1)},
            "30.0% +5.0 pp better 60 of 200",
        ),
        (
            {"target": TargetResult("up", 0.4, 0.28, 0.02, due=date(2027, 1, 1), needed_rate=0.001)},
            "goal ≥ 40.0% 30.0% +5.0 pp better goal by 1 Jan 2027 · expected by now 28.0% · needs 0.1% per working day",
        ),
        (
            {"target": TargetResult("up", 0.4, 0.4, -0.1, DUE, progress=WAY)},
            "30.0% +5.0 pp better goal by 31 Dec 2026 · needs +5.0 pp each week · 60 of 200",
        ),
        (
            {"target": TargetResult("down", 0.2, 0.2, 0.1, DUE, progress=replace(WAY, needed_per_period=-0.05))},
            "goal by 31 Dec 2026 · needs −5.0 pp each week",
        ),
        (
            {"target": TargetResult("down", 0.4, 0.4, -0.1, DUE, progress=WAY)},
            "better goal by 31 Dec 2026 · 60 of 200",
        ),
        (
            {"target": TargetResult("up", 0.4, 0.4, -0.1, progress=TOTAL)},
            "goal ≥ 60.0% 30.0% +5.0 pp better 44.0% since 1 Jan 2026, goal 60.0% by 31 Dec 2026: slightly behind"
            " · expected by now 48.0% · at this pace 55.0% in the end · needs 0.2% per working day",
        ),
        (
            {"target": TargetResult("up", 0.4, 0.4, -0.1, progress=replace(TOTAL, verdict="green", projected=None))},
            "better 44.0% since 1 Jan 2026, goal 60.0% by 31 Dec 2026: on track · expected by now 48.0% · needs",
        ),
        (
            {"target": TargetResult("down", 0.4, 0.4, -0.1, progress=replace(TOTAL, verdict="red"))},
            "55.0% in the end · room for 0.2% per working day",
        ),
        (
            {"target": TargetResult("up", 0.4, 0.4, -0.1, progress=replace(TOTAL, state="missed"))},
            "goal ≥ 60.0% 30.0% +5.0 pp better goal of 31 Dec 2026 missed with 44.0% 60 of 200",
        ),
        (
            {"target": TargetResult("up", 0.4, 0.4, -0.1, progress=replace(TOTAL, state="met"))},
            "better goal of 31 Dec 2026 met with 44.0% 60 of 200",
        ),
        (
            {"target": TargetResult("up", 0.4, 0.4, -0.1, progress=replace(TOTAL, state="not judged"))},
            "better goal of 31 Dec 2026 could not be judged 60 of 200",
        ),
    ],
)
def test_a_row_says_what_its_result_is(changes: dict[str, Any], words: str) -> None:
    assert words in said(one(**changes))


@pytest.mark.parametrize(
    ("status", "more", "words"),
    [
        ("too_few", {"numerator": 2.0, "denominator": 3.0}, "2 of 3: too few to rate"),
        ("too_few", {"unit": "seconds", "n": 3}, "only 3: too few to rate"),
        ("no_denominator", {"reason": "n/a (no closed deals)"}, "n/a (no closed deals)"),
        ("no_denominator", {}, "nothing to divide by"),
        (
            "no_data",
            {"reason": "no data: needs ticket history"},
            "– No data goal ≥ 24.0% — not available needs ticket history",
        ),
        ("not_configured", {}, "not set up yet"),
        ("error", {}, "could not be computed"),
    ],
)
def test_a_missing_value_says_why_and_is_neither_zero_nor_green(status: str, more: dict[str, Any], words: str) -> None:
    shown = said(one(status=status, value=None, verdict=None, comparisons=(), **more))
    assert "– No data goal ≥" in shown
    assert "— not available" in shown
    assert words in shown
    assert "✓" not in shown


def test_stale_data_shows_its_time_and_no_verdict() -> None:
    old = one(status="stale", verdict=None, freshness=(Freshness("crm", datetime(2026, 11, 14, 9, 0, tzinfo=UTC)),))
    html, _ = both(issue([old]))
    assert "! data of 14 Nov 2026, 10:00 CET" in html
    assert "1 KPI not judged" in html
    assert "✓ On target goal" not in html


def test_arrows_and_colour_come_only_with_a_signal() -> None:
    calm = render(issue([one(signal=Signal("none", (), 0.3, 0.2, 0.4, 13))], freshness=())).html
    assert not re.search("[↑↓]", calm)
    lines = '<div class="{}"'
    news = render(issue([one(signal=Signal("signal", (1,), 0.2, 0.1, 0.25, 13, "above"))], freshness=())).html
    assert lines.format("on") in news
    bad = render(issue([one(direction="down", signal=Signal("signal", (1,), 0.2, 0.1, 0.25, 13, "above"))])).html
    assert lines.format("off") in bad
    neutral = render(issue([one(direction="neutral", signal=Signal("signal", (1,), 0.2, 0.1, 0.25, 13, "above"))])).html
    assert "↑" in neutral
    assert lines.format("on") not in neutral


def test_times_name_statistic_and_clock_with_the_other_statistics_beside() -> None:
    html, text = both(issue())
    for shown in (html, text):
        assert "median, business hours · p90 5 h 30 min · n = 188" in shown


def test_a_kpi_of_another_period_says_so() -> None:
    month = one(period=Period(date(2026, 11, 1), date(2026, 12, 1), "UTC", complete=False), granularity="month")
    assert "for November 2026 so far" in said(month)
    assert "at 13 Nov 2026, 12:00 CET" in said(one(period=None, as_of=datetime(2026, 11, 13, 11, tzinfo=UTC)))
    assert " at " not in said(one(period=None)).split("Lines show")[0]


def test_segments_are_worst_first_and_capped() -> None:
    parts = [SegmentValue(f"S{i}", i / 10, i, 10, 10, "ok", by="sales_team") for i in range(8)]
    parts.insert(0, SegmentValue("(none)", None, 1, 3, 3, "too_few", by="sales_team"))
    up = said(one(segments=tuple(parts)))
    assert "By sales team: S0 0.0% · S1 10.0%" in up
    assert "S5 50.0% · 3 more" in up
    assert "By sales team: S7 70.0% · S6 60.0%" in said(one(direction="down", segments=tuple(parts)))
    assert "(none) only 3: too few to rate" in said(one(segments=tuple(parts[:3])))


def test_records_are_linked_only_over_https_and_counted_in_full() -> None:
    rows = (
        ActionRow("1", "Safe deal", "https://crm.example.com/1?a=1&b=2", "Priya", "open 46 days", 1234.5),
        ActionRow("2", "Sandbox deal", "http://127.0.0.1:8080/2", None, "no next step", None),
    )
    rendered = render(issue([one(actions=ActionList("Stalled deals", rows, 14))]))
    html, text = seen(rendered.html), plain(rendered.text)
    assert "Stalled deals 2 of 14 Safe deal open 46 days €1,235 Priya Sandbox deal no next step" in html
    assert "Stalled deals (2 of 14) - Safe deal, €1,235, open 46 days, Priya https://crm.example.com/1?a=1&b=2" in text
    assert "https://crm.example.com/1?a=1&b=2" in links(rendered.html)
    assert "127.0.0.1" not in rendered.html + rendered.text


def test_the_first_list_shows_five_two_more_three_and_the_rest_are_named() -> None:
    rows = tuple(ActionRow(str(i), f"Deal {i}", None, None, "old") for i in range(9))
    kpis = [replace(one(), kpi=f"k{i}", actions=ActionList(f"List {i}", rows, 9)) for i in range(6)]
    html, text = both(issue(kpis))
    assert html.count("5 of 9") == text.count("5 of 9") == 1
    assert html.count("3 of 9") == text.count("3 of 9") == 2
    assert "Also waiting: List 3 9, List 4 9, List 5 9." in html


def test_a_value_told_before_is_restated_with_its_records() -> None:
    html, text = both(issue())
    for part in (html, text):
        assert "was €412K as sent 9 Nov 2026, 08:00 CET, now €449.7K" in part
        assert "2 records changed" in part
        assert "Late close" in part
        assert "€10,000 → €17,700" in part
    assert "https://acme.example.com/o/11" in links(render(issue()).html)


def test_what_amounts_were_converted_by_is_in_the_footer() -> None:
    dollars = RatesOf("USD", (ExchangeRate(Decimal("0.92"), "2026-11-01", "salesforce"),), (date(2026, 10, 3),))
    html, text = both(issue([one(rates=(dollars,))]))
    for part in (html, text):
        foot = part[part.upper().index("EXCHANGE RATES") :]
        assert "USD at 0.92 (Salesforce, 1 Nov 2026)" in foot
        assert "3 Oct 2026" in foot
    assert "EXCHANGE RATES" not in both(issue([one()]))[1]


def test_few_restated_values_are_shown_and_all_counted() -> None:
    many = [replace(kpi, restated=(replace(RESTATED, records=None, total=None),)) for kpi in normal_results()[:8]]
    html, text = both(issue(many))
    for part in (html, text):
        assert part.count("the records behind it are not kept") == 5
        assert "3 more" in part


def test_segments_are_restated_where_the_whole_is_not() -> None:
    segment = replace(RESTATED, by="team", segment="EMEA", before=None)
    whole, alone = one(restated=(RESTATED, segment)), one(restated=(segment,))
    assert "EMEA" not in both(issue([whole]))[1]
    assert "EMEA: was no value as sent" in both(issue([alone]))[1]


def test_a_changed_definition_is_said() -> None:
    html, text = both(issue([one(redefined=AS_OF)]))
    for part in (html, text):
        assert (
            "is defined otherwise than when it was sent 16 Nov 2026, 00:00 CET: its earlier values are not compared."
            in part
        )


def test_two_kpis_with_one_list_show_it_once() -> None:
    rows = tuple(ActionRow(str(i), f"Deal {i}", None, None, "lost") for i in range(2))
    kpis = [replace(one(), kpi=f"k{i}", actions=ActionList("lost deals", rows, 2)) for i in range(2)]
    html, text = both(issue(kpis))
    assert html.count("Lost deals") == text.count("Lost deals") == 1


def test_sources_say_when_they_were_synced_and_what_fails() -> None:
    since = datetime(2026, 11, 15, 1, 10, tzinfo=UTC)
    fresh = (
        Freshness("crm", SYNCED),
        Freshness("old", datetime(2026, 11, 15, 1, 0, tzinfo=UTC)),
        Freshness("desk", since, "the server answered 503.", since),
        Freshness("new", None),
    )
    html, text = both(issue(freshness=fresh))
    for shown in (html, text):
        assert "✓ crm synced 16 Nov 2026, 06:42 CET" in shown
        assert "! old late: last synced 15 Nov 2026, 02:00 CET" in shown
        assert (
            "✕ desk failing since 15 Nov 2026, 02:10 CET, last synced 15 Nov 2026, 02:10 CET: the server answered 503"
            in shown
        )
        assert "✕ new never synced" in shown  # fmt: skip


def test_the_first_line_tells_scorecard_days_and_zone() -> None:
    first = "Sales scorecard, 9–15 Nov 2026 against 2–8 Nov, times in Europe/Berlin"
    assert render(issue()).text.splitlines()[0] == first
    elsewhere = render(issue(timezone="Europe/Vienna")).text.splitlines()[0]
    assert elsewhere.endswith(", days of Europe/Berlin, times in Europe/Vienna")
    running = Period(date(2026, 11, 1), date(2026, 12, 1), "Europe/Berlin", complete=False)
    assert render(issue(period=running)).text.startswith("Sales scorecard, 1–30 Nov 2026 so far, times in")
    assert render(issue(period=None)).text.startswith("Sales scorecard, as of 16 Nov 2026, 00:00 CET")


def test_tests_and_notes_are_marked_on_top() -> None:
    html, text = both(issue(is_test=True, notes=("Week 45 was not sent.",)))
    for shown in (html, text):
        assert shown.index("! This is a test.") < shown.index("! Week 45 was not sent.") < shown.index("Changed")


def test_the_footer_says_why_how_to_stop_and_what_made_it() -> None:
    rendered = render(issue())
    for shown in (seen(rendered.html), plain(rendered.text)):
        assert "As of 16 Nov 2026, 00:00 CET, issue 46, configuration 8f3c2a1db04e" in shown
        assert "You receive this because vp@acme.example is on the list of “Sales scorecard”" in shown
        assert "Win rate: won ÷ (won + lost), by outcome date" in shown
        assert "Stop these mails" in shown
    assert "mailto:scorecards@acme.example?subject=stop" in links(rendered.html)


@pytest.mark.parametrize("made", FIXTURES, ids=["normal", "hostile", "missing", "long"])
def test_the_text_part_has_every_value_of_the_html(made: Issue) -> None:
    html, text = both(made)
    values = re.findall(r"[+−]?[€]?\d[\d.,:]*(?:[ \u00a0]?(?:%|pp|min|of \d+))?", html)
    missing = {value for value in values if value.rstrip(".,:") not in text}
    assert not missing


@pytest.mark.parametrize("made", FIXTURES, ids=["normal", "hostile", "missing", "long"])
def test_messages_stay_under_the_size_gmail_cuts(made: Issue) -> None:
    assert len(render(made).html.encode()) < HTML_MAX


def test_a_huge_message_says_less_and_counts_all() -> None:
    rendered = render(long_issue())
    assert rendered.text.count("of 1,234)") < 4
    assert rendered.text.count("Win rate of enterprise") >= 2
    assert "Also waiting: " in rendered.text


@pytest.mark.parametrize("locale", ["de-DE", "fr-FR", "it-IT", "ja-JP", "hi-IN", "ar-EG"])
def test_numbers_follow_the_reader_and_words_stay_english(locale: str) -> None:
    rendered = render(issue(locale=locale))
    assert '<html lang="en" dir="ltr"' in rendered.html
    shown = re.sub(r"\b20\d\d\b|/\w+/[\w/]+|20\d\d年", "", seen(rendered.html))
    assert not re.search(r"(?<![\da-f])\d{4,}(?![\da-f])", shown.replace("8f3c2a1db04e", ""))
    if locale == "de-DE":
        assert "486.200 € +36.500 € better" in shown
        assert "18,2 %" in shown


def test_the_same_issue_gives_the_same_message() -> None:
    assert render(issue()) == render(issue())


def test_the_preview_refers_to_files_and_the_mail_to_parts() -> None:
    rendered = render(issue())
    shown = preview_html(rendered)
    assert "cid:" not in shown
    for cid in rendered.images:
        assert f'src="cid:{cid}"' in rendered.html
        assert f'src="{cid}"' in shown


def test_an_empty_scorecard_is_still_a_message() -> None:
    rendered = render(issue([], freshness=(), notes=(), unsubscribe=None, crm_url=None, owner="", number=None))
    assert rendered.subject == "No KPIs on this scorecard – Sales scorecard, week 46"
    assert rendered.images == {}


def test_an_unknown_locale_is_refused() -> None:
    with pytest.raises(RenderError, match="locale"):
        render(issue(locale="tlh-KX"))


def test_templates_escape_everything_and_name_only_known_classes() -> None:
    folder = resources.files("templates").joinpath("email")
    texts = {f.name: f.read_text() for f in folder.iterdir() if f.name.endswith((".j2", ".css"))}
    known = set(re.findall(r"\.([a-z][\w-]*)", texts["_light.css"]))
    for name, text in texts.items():
        assert not re.search(r"\|\s*safe|autoescape", text), name
        if name.endswith(".html.j2"):
            for classes in re.findall(r'class="([^"{]+)', text):
                assert set(classes.split()) <= known, name
    assert set(re.findall(r"\.([a-z][\w-]*)", texts["_dark.css"])) <= known


def test_eight_kpis_take_less_than_100_ms_once_warm() -> None:
    made = replace(issue(), results=normal_results()[:8])
    render(made)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        render(made)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.1


def test_as_of_is_said_in_the_readers_zone() -> None:
    assert "As of Nov 15, 2026, 6:00 PM EST" in plain(render(issue(timezone="America/New_York", locale="en-US")).text)


@pytest.mark.parametrize(
    ("signal", "sentence"),
    [
        (Signal("none", (), 0.3, 0.28, 0.55, 13), "is within the usual range 28.0–55.0%. Nothing to explain."),
        (Signal("signal", (1,), 0.5, 0.4, 0.6, 13, "below"), "below the usual range 40.0–60.0%: look for a cause"),
        (Signal("signal", (2,), 0.2, 0.1, 0.6, 20, "above"), "in a row above the old average: the process has shifted"),
        (Signal("too_few_points", points=3), ""),
    ],
)
def test_the_signal_in_a_sentence(signal: Signal, sentence: str) -> None:
    """What `kpi show` says of the newest period: within its range is worth saying too."""
    found = signal_sentence(one(signal=signal), get("en", "EUR", "UTC"))
    assert found.endswith(sentence)
    assert bool(found) == bool(sentence)


def test_long_times_are_told_in_months() -> None:
    """Days in the JSON, months of 30.4375 of them to readers: values and changes alike."""
    span = Period(date(2026, 9, 1), date(2026, 10, 1), "UTC", complete=True)
    earlier = Comparison("previous", 365.25, 365.25, span, "ok")
    shown = result("stay", "Stay", "days", [730.5], shown_in="months", comparisons=(earlier,))
    assert written_value(shown, get("en-GB", "EUR", "UTC")) == "24.0\u00a0mo"
    assert written_change(shown, get("en-GB", "EUR", "UTC")) == "+12.0\u00a0mo"
    assert shown.to_json()["value"] == 730.5
    assert shown.to_json()["unit"] == "days"

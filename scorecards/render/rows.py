"""What is said of one KPI beside its name and number: goal, change, signal, coverage, reason, counts."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from scorecards.render import headline
from scorecards.render.clean import clean
from scorecards.render.format import Formatter
from scorecards.render.goals import in_time
from scorecards.render.message import Issue
from scorecards.render.view import Line
from scorecards.render.written import bare, written_difference, written_value
from scorecards.values import SHIFTED, Comparison, KpiResult, Period

#: Rates valid from a day up to this one are valid always.
_NO_DAY = "1900-01-01"
_STATS = ("median", "mean", "p90")
#: How the CRMs write themselves; what files say they are from is written as they say it.
_CRMS = {"salesforce": "Salesforce", "hubspot": "HubSpot"}


def written_goal(result: KpiResult, fmt: Formatter, *, full: bool = False) -> str | None:
    """The goal with its sign ("≥ 24.0%") or as a range; None without one. `full`: a total's with its deadline."""
    target = result.target
    if target is None:
        return None
    if target.want == "between":
        if target.low is None or target.high is None:
            return None
        return fmt.span(bare(result, fmt, target.low), bare(result, fmt, target.high))
    wanted = target.value if target.value is not None else target.expected
    if target.progress is not None and (target.progress.accrues or target.progress.state != "running"):
        wanted = target.progress.goal  # of the whole way
    if wanted is None:
        return None
    said = f"{'≤' if target.want == 'down' else '≥'}\u00a0{bare(result, fmt, wanted)}"
    if full and target.progress is not None and target.progress.accrues:
        return f"{said} {fmt.words('by_date', date=fmt.day(target.progress.end - timedelta(1)))}"
    return said


def written_change(result: KpiResult, fmt: Formatter, against: str = "") -> str | None:
    """The signed change against the period before (of a stock: a month ago) or another one; None where there is none.

    None too where it is too little to be written.
    """
    compared = headline.compared(result, against)
    return written_difference(result, fmt, compared.change) if compared and compared.change is not None else None


def kept_words(comparison: Comparison, fmt: Formatter) -> str:
    """ "kept 22 Oct 2026": of a value nobody can work out any more; else empty."""
    at = comparison.kept_at
    return "" if at is None else fmt.words("kept", date=fmt.day(at.astimezone(fmt.timezone).date()))


def compared_word(result: KpiResult, fmt: Formatter) -> str:
    """Whether the change against the period before went the wanted way; "" where that cannot be said."""
    compared = headline.compared(result)
    if compared is None or compared.change is None:
        return ""
    change = compared.change
    if written_difference(result, fmt, change) is None:
        return fmt.words("no_change")
    if result.direction not in ("up", "down"):
        return ""
    return fmt.words("better" if (change > 0) == (result.direction == "up") else "worse")


def usual_range(result: KpiResult, fmt: Formatter) -> str | None:
    """The limits of the usual range; None where they are not known."""
    signal = result.signal
    if signal is None or signal.lower is None or signal.upper is None:
        return None
    if result.unit == "count":
        return fmt.span(fmt.number(signal.lower), fmt.number(signal.upper))
    return fmt.span(bare(result, fmt, signal.lower), bare(result, fmt, signal.upper))


def usual_words(result: KpiResult, fmt: Formatter) -> str:
    """ "usual range 28–55", with since when and why where that is not the whole past, or why there is none."""
    words, signal, span = fmt.words, result.signal, usual_range(result, fmt)
    if signal is None:
        return ""
    if span and signal.because and signal.since is not None:
        reason = words("shifted") if signal.because == SHIFTED else clean(signal.because, 60)
        return words("usual_since", range=span, date=fmt.day(signal.since), reason=reason)
    if span and headline.still_runs(result):
        return words("usual_whole", range=span, periods=headline.period_word(result, words, 2))
    if span:
        return words("usual", range=span)
    if signal.days_between is not None:
        return words("sig_rare", days=fmt.number(round(signal.days_between)))
    return words("sig_too_few") if signal.result == "too_few_points" else ""


def stat_words(result: KpiResult, fmt: Formatter) -> str:
    """ "median, business hours": what the number is, where the title does not say it already."""
    said = [clean(result.stat, 24)] if result.stat and result.stat.lower() not in result.title.lower() else []
    if result.clock in ("business", "calendar"):
        said.append(fmt.words(result.clock))
    return ", ".join(said)


def note_lines(result: KpiResult, fmt: Formatter) -> list[Line]:
    """What limits or judges the number: why it is missing, how old it is, what it covers, whether it is news."""
    words = fmt.words
    if not headline.has_value(result):
        return [Line(_missing(result, fmt)), *(Line(text) for text in [maturity_words(result, fmt)] if text)]
    lines = []
    if result.status == "stale":
        synced = [f.synced_at for f in result.freshness if f.synced_at is not None]
        text = words("data_of", when=fmt.instant(min(synced))) if synced else words("stale")
        lines.append(Line(text, "risk", "!"))
    if result.status == "partial":
        text = clean(result.reason, 160)
        if result.coverage is not None and "%" not in text:
            share = words("covers", share=fmt.percent(result.coverage, 0))
            text = f"{share}: {text}" if text else share
        lines.append(Line(text or words("stale"), "risk", "!"))
    signal = _signal(result, fmt)
    if signal is not None:
        lines.append(signal)
    return lines


def reason_of(result: KpiResult, cap: int = 200) -> str:
    """The reason as the KPI gives it, without the "no data" its badge says already."""
    return clean(result.reason, cap).removeprefix("no data: ")


def _missing(result: KpiResult, fmt: Formatter) -> str:
    words = fmt.words
    if result.reason:
        return reason_of(result)
    if result.status == "too_few":
        if result.numerator is not None and result.denominator is not None and result.unit == "ratio":
            return words("too_few", a=_count(result.numerator, fmt), b=_count(result.denominator, fmt))
        if result.n is not None:
            return words("too_few_n", n=fmt.number(result.n))
    return words(
        result.status if result.status in ("no_denominator", "no_data", "not_configured", "error") else "no_reason"
    )


def _signal(result: KpiResult, fmt: Formatter) -> Line | None:
    """The sentence of the signal, which names the period it is of where that is not the one shown."""
    said = _news(result, fmt)
    if said is None or not headline.still_runs(result):
        return said
    period = headline.period_word(result, fmt.words)
    return replace(said, text=fmt.words("sig_then", period=period, said=said.text))


def _news(result: KpiResult, fmt: Formatter) -> Line | None:
    """Arrow and colour only where there is a signal."""
    words, signal = fmt.words, result.signal
    if signal is None or signal.result not in ("signal", "possible"):
        return None
    kind, span, where = headline.news_of(result), usual_range(result, fmt) or "", headline.where_of(result, words)
    if signal.result == "possible":
        return Line(words("sig_possible" if kind == "outside" else "sig_possible_move", where=where, range=span))
    tone = ""
    if result.direction in ("up", "down") and where:
        tone = "off" if headline.is_bad(result) else "on"
    mark = {"above": "↑", "below": "↓"}.get(signal.direction or "", "")
    text = words(f"sig_{kind}", where=where, range=span, run=headline.run_of(result, words))
    return Line(text, tone, mark)


def signal_sentence(result: KpiResult, fmt: Formatter) -> str:
    """What the signal says of the newest whole period, as a sentence; empty where nothing can be said."""
    said, span = _signal(result, fmt), usual_range(result, fmt)
    if said is not None:
        return said.text
    if result.signal is None or result.signal.result != "none" or span is None or not result.series:
        return ""
    newest = result.series[-1]
    value = written_value(result, fmt, newest.value) or ""
    return fmt.words("sig_none", value=value, period=fmt.dates(Period(newest.start, newest.end, "UTC")), range=span)


def meta_lines(result: KpiResult, issue: Issue, fmt: Formatter) -> list[Line]:
    """One grey line of what else belongs to the number."""
    if not headline.has_value(result):
        return []
    words, said = fmt.words, []
    own = _own_period(result, issue, fmt)
    if own:
        said.append(own)
    target = result.target
    progress = target.progress if target is not None else None
    said += [clean(remark, 120) for remark in result.remarks]
    if result.unjudged:
        said.append(clean(result.unjudged, 120))
    said += in_time(result, fmt)
    if target is not None and (progress is None or not progress.accrues):
        if target.expected is not None and target.value is not None and target.expected != target.value:
            said.append(words("expected", value=bare(result, fmt, target.expected)))
        if target.needed_rate is not None and target.want == "up" and target.needed_rate > 0:
            said.append(words("needed", value=bare(result, fmt, target.needed_rate)))
        if target.projected is not None:
            said.append(words("w_projected", value=bare(result, fmt, target.projected)))
    said += [text for text in (stat_words(result, fmt), *_other_stats(result, fmt), _base(result, fmt)) if text]
    said += beside_words(result, fmt)
    mature = maturity_words(result, fmt)
    said += [mature] if mature else []
    for key in ("unanswered", "pending") if mature else ("immature", "unanswered", "pending"):
        left = result.details.get(key)
        if isinstance(left, int | float) and left > 0:
            said.append(words(key, n=fmt.number(left)))
    said += filter(None, [crm_words(result, fmt)])
    if (result.details.get("voc_alignment") or {}).get("tracks") is False:
        said.append(voice_words(result, fmt))
    if result.signal is not None:
        said += [
            text for text in [usual_words(result, fmt)] if result.signal.result in ("none", "too_few_points") and text
        ]
    said += _compared_with(result, fmt)
    return [Line(" · ".join(said))] if said else []


def _compared_with(result: KpiResult, fmt: Formatter) -> list[str]:
    """The change on a year ago; what the change told is against, where that is not the period before."""
    words, main = fmt.words, headline.compared(result)
    said = []
    if main is not None and main.kept_at is not None:
        is_month = main.against == "month_ago"
        against = words("against_month_ago") if is_month else words("against_previous")
        said.append(f"{against} ({kept_words(main, fmt)})")
    elif main is not None and main.change is not None and main.against == "month_ago":
        said.append(words("against_month_ago"))
    elif main is not None:
        said += filter(None, [clean(main.reason, 120)])
    year = headline.compared(result, "year_ago")
    change = written_change(result, fmt, "year_ago")
    if year is not None and change:
        kept = kept_words(year, fmt)
        said.append(words("year_ago", change=change) + (f" ({kept})" if kept else ""))
    return said


def beside_words(result: KpiResult, fmt: Formatter) -> list[str]:
    """Further figures, as the KPI's definition says them: "4.2 per 100 customers"; what a growth is against."""
    base = result.details.get("grows_from")
    against = []
    if isinstance(base, dict) and result.value is not None:
        days = Period(date.fromisoformat(base["start"]), date.fromisoformat(base["end"]), "UTC")
        against.append(fmt.words("against", period=fmt.dates(days)))
    return against + [
        clean(one.said, 80).replace("{value}", fmt.value(one.value, one.unit, clock=one.clock, currency=one.currency))
        for one in result.beside
    ]


def maturity_words(result: KpiResult, fmt: Formatter) -> str:
    """How many rows have had the time they are judged by: "41 of 58 leads have had 90 days"; empty where all have."""
    found = result.details.get("maturity")
    if not isinstance(found, dict) or found["mature"] == found["of"]:
        return ""
    days = found.get("business_days")
    if days is not None:
        time = fmt.words("business_days", days, n=fmt.number(days))
    else:
        days, rest = divmod(found["seconds"], 86400)
        name = fmt.words("period_day", days)
        time = fmt.duration(found["seconds"]) if rest or not days else f"{fmt.number(days)} {name}"
    mature, whole = fmt.number(found["mature"]), fmt.number(found["of"])
    return fmt.words("mature", found["mature"], a=mature, b=whole, rows=clean(found["rows"], 40), time=time)


def crm_words(result: KpiResult, fmt: Formatter) -> str:
    """How the number comes from those of several CRMs: "HubSpot 900 + Salesforce 1,500 − 600 in both"; else empty."""
    bridge = result.details.get("crm_bridge")
    if not isinstance(bridge, dict):
        return ""
    parts = [
        f"{_CRMS.get(name, clean(name))} {bare(result, fmt, amount)}"
        for name, amount in bridge.items()
        if name not in ("linked", "total")
    ]
    return fmt.words("crms", parts=" + ".join(parts), linked=bare(result, fmt, -bridge["linked"]))


def rate_words(result: KpiResult, fmt: Formatter) -> list[str]:
    """What foreign amounts were converted by: "USD at 0.92 (Salesforce, 1 Sept 2026)"; and days without a rate."""
    said = []
    for of in result.rates:
        if of.rates:
            newest = of.rates[-1]
            low, high = (pick(one.rate for one in of.rates) for pick in (min, max))
            source = _CRMS.get(newest.source, clean(newest.source))
            is_dated = newest.valid_from > _NO_DAY
            since = fmt.words("rate_since", date=fmt.day(date.fromisoformat(newest.valid_from))) if is_dated else ""
            rate = _rate(low, fmt) if low == high else fmt.span(_rate(low, fmt), _rate(high, fmt))
            said.append(fmt.words("rate", currency=clean(of.currency), rate=rate, source=f"{source}{since}"))
        if of.is_by_crm:
            said.append(fmt.words("rate_by_crm", currency=clean(of.currency)))
        if of.missing:
            first, last = fmt.day(of.missing[0]), fmt.day(of.missing[-1])
            days = first if first == last else fmt.span(first, last)
            said.append(fmt.words("no_rate", currency=clean(of.currency), days=days))
    return said


def _rate(rate: Decimal, fmt: Formatter) -> str:
    """With up to five digits that count, however small a unit of the currency is."""
    written = f"{Decimal(f'{rate:.5g}').normalize():f}"
    return fmt.number(float(written), len(written.partition(".")[2]))


def voice_words(result: KpiResult, fmt: Formatter) -> str:
    """How it goes with what customers say, with the correlation and what that was taken over; else empty."""
    voice = result.details.get("voc_alignment")
    if not isinstance(voice, dict) or voice["sentence"] is None:
        return ""
    over = fmt.words(f"voc_{voice['by']}", n=fmt.number(voice["n"]))
    return fmt.words("voc", sentence=clean(voice["sentence"], 120), rho=fmt.number(voice["rho"], 2), over=over)


def _own_period(result: KpiResult, issue: Issue, fmt: Formatter) -> str:
    """The KPI's period, where it is not the scorecard's."""
    period, words = result.period, fmt.words
    if period is None:
        # A stock: at the end of the scorecard's period nothing needs saying.
        end = result.as_of.astimezone(fmt.timezone)
        at_end = issue.period is not None and (end.date(), end.hour, end.minute) == (issue.period.end, 0, 0)
        known = at_end or (issue.period is None and result.as_of == issue.as_of)
        return "" if known else words("as_at", date=fmt.instant(result.as_of))
    if issue.period is not None and (period.start, period.end) == (issue.period.start, issue.period.end):
        return ""
    name = fmt.period(period, result.granularity)
    return words("for_period", period=name if period.complete else f"{name} {words('so_far')}")


def _base(result: KpiResult, fmt: Formatter) -> str:
    """How many rows are behind a rate, an average or a score."""
    words = fmt.words
    # Money over money has amounts here, not counts of rows.
    counted = result.unit == "ratio" and result.numerator is not None and result.n == result.denominator
    if counted and result.numerator is not None and result.denominator is not None:
        return words("n_of", a=_count(result.numerator, fmt), b=_count(result.denominator, fmt))
    if result.n is not None and (result.unit in ("ratio", "score", "seconds", "days", "months", "per_100")):
        return words("n", n=fmt.number(result.n))
    return ""


def _other_stats(result: KpiResult, fmt: Formatter) -> list[str]:
    """Mean, median and 90th percentile of a duration beside the one in the headline: times are skewed."""
    if result.unit not in ("seconds", "days") or not result.stat:
        return []
    said = []
    for stat in _STATS:
        number = result.details.get(stat)
        if stat != result.stat and isinstance(number, int | float) and not isinstance(number, bool):
            said.append(f"{stat} {bare(result, fmt, number)}")
    return said


def _count(number: float, fmt: Formatter) -> str:
    return fmt.number(number, 0 if number == int(number) else 1)

"""Every word a reader sees that does not come from a KPI, a record or babel, in one place.

English is the only language so far. Another one is one more `Words`: the same keys, `lang` and `direction` set, and
an entry in `for_locale`. Numbers, dates and money never appear here: they follow the recipient's locale through
`scorecards.render.format`, whatever the language of the words.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Words:
    """Texts by key; a text with a plural is a pair (one, other), chosen by `count`."""

    lang: str
    direction: str
    texts: Mapping[str, str | tuple[str, str]]
    #: Symbols of durations where babel's own short forms are longer than needed; empty: babel's.
    duration: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, key: str, /, count: float | None = None, **values: object) -> str:
        """The text of `key` with its values put in; an unknown key is a KeyError, never an empty text."""
        text = self.texts[key]
        if isinstance(text, tuple):
            text = text[0] if count == 1 else text[1]
        return text.format(**values)


ENGLISH = Words(
    lang="en",
    direction="ltr",
    duration={"day": "d", "hour": "h", "minute": "min", "second": "s", "month": "mo"},
    texts={
        # the four states: shape and word
        "on": "On target",
        "risk": "At risk",
        "off": "Off target",
        "none": "No data",
        # headline and subject
        "h_off": "{name} is off target",
        "h_risk": "{name} is at risk",
        "h_more_off": "{n} more off target",
        "h_n_risk": "{n} at risk",
        "h_more_risk": "{n} more at risk",
        "h_n_none": "{n} without data",
        "h_all_on": ("{n} KPI, and it is on target", "All {n} KPIs are on target"),
        "h_some_on": "{n} of {total} KPIs on target",
        "h_no_data": ("No data for the KPI", "No data for any of the {n} KPIs"),
        "h_outside": "{name} is {where} its usual range",
        "h_run": "{name} has shifted",
        "h_near": "{name} may be shifting",
        "h_move": "{name} moved more than usual",
        "h_more_signals": "{n} more changed",
        "h_calm": ("{n} KPI, no signal", "{n} KPIs, no signal"),
        "h_figures": ("{n} KPI", "{n} KPIs"),
        "h_empty": "No KPIs on this scorecard",
        "above": "above",
        "below": "below",
        "subject": "{finding} – {title}, {period}",
        "subject_short": "{finding} – {period}",
        "test_prefix": "Test: ",
        # the three lines on top
        "b_changed": "Changed",
        "b_real": "Real?",
        "b_next": "Next",
        "b_what": "{name} is {value} (goal\u00a0{goal}){change}.",
        "b_what_plain": "{name} is {value}{change}.",
        "b_change": ", {change} against the period before{mostly}",
        "b_met": ("The goal is met.", "All {n} goals are met."),
        "b_on_track": ("The goal is on track.", "All {n} goals are met or on track."),
        "b_goalless": (
            "{n} of {total} KPIs has a value; no goal is set for it.",
            "{n} of {total} KPIs have a value; no goals are set for them.",
        ),
        "b_calm": "Nothing left its usual range.",
        "b_no_values": "No value could be computed.",
        "b_outside": "Yes: it is {where} its usual range {range}.",
        "b_run": "Yes: {run} in a row {where} the old average, the process has shifted.",
        "b_near": "Perhaps: 3 of the last 4 are far {where} the average.",
        "b_move": "Yes: it moved more from one period to the next than it usually does.",
        "b_noise": "Not by itself: it is within its usual range {range}.",
        "b_possible": "Possibly: it is {where} its usual range {range}, known from {n} points only.",
        "b_possible_move": "Possibly: it moved more than usual, as far as {n} points tell.",
        "b_too_few": "Cannot be told yet: too few periods for a usual range.",
        "b_untested": "Not tested: there is no usual range to compare it with.",
        "b_untold": "Cannot be told without values.",
        "b_also": "Also news: {names}.",
        "b_but": "News elsewhere: {names}.",
        "b_source": "Get {names} syncing again; until then its figures are old or missing.",
        "b_sources": "Get {names} syncing again; until then their figures are old or missing.",
        "b_records": ("Look at the {n} record under “{label}”.", "Start with the {n} records under “{label}”."),
        "b_cause": "Look for the cause of {name}; the record lists below are where to start.",
        "b_cause_bare": "Look for the cause of {name}.",
        "b_missing": "Find out why {name} has no data: {reason}.",
        "b_nothing": "Nothing to do.",
        # rows
        "goal": "goal\u00a0{goal}",
        "by_date": "by {date}",
        "expected": "expected by now {value}",
        "needed": "needs {value} per working day",
        # a target on its way, and at its end
        "w_so_far": "{value} since {start}, goal\u00a0{goal} by {date}",
        "w_since": "{value} since {start}",
        "way_green": "on track",
        "way_amber": "slightly behind",
        "way_red": "behind",
        "w_projected": "at this pace {value} in the end",
        "w_room": "room for {value} per working day",
        "w_step": "needs {change} each {period}",
        "way_met": "goal of {date} met with {value}",
        "way_missed": "goal of {date} missed with {value}",
        "w_not_judged": "goal of {date} could not be judged",
        "w_redefined": "defined otherwise since its baseline was kept on {when}",
        "better": "better",
        "worse": "worse",
        "no_change": "no change",
        "year_ago": "{change} on a year ago",
        "usual": "usual range {range}",
        "sig_none": "{value} in {period} is within the usual range {range}. Nothing to explain.",
        "sig_outside": "{where} the usual range {range}: look for a cause",
        "sig_run": "{run} in a row {where} the old average: the process has shifted",
        "sig_near": "3 of the last 4 far {where} the average: the process may be shifting",
        "sig_move": "moved more than usual from the period before: look for a cause",
        "sig_possible": "possibly {where} the usual range {range}",
        "sig_possible_move": "possibly more of a move than usual",
        "sig_too_few": "too few periods for a usual range",
        "run": "8 {periods}",
        # what moved a number
        "moved": "By {by}: {effects}",
        "moved_mean": "By {by} (mean {change}): {effects}",
        "rest": "rest {effect}",
        "mix_rate": "Own rates {rate}, mix {mix}",
        "mix_mean": "Own averages {rate}, mix {mix}",
        "mostly": ", mostly {name} ({effect})",
        "n_of": "{a} of {b}",
        "n": "n = {n}",
        "too_few": "{a} of {b}: too few to rate",
        "too_few_n": "only {n}: too few to rate",
        "covers": "covers {share} of the rows",
        "data_of": "data of {when}",
        "stale": "Data is old",
        "so_far": "so far",
        "as_at": "at {date}",
        "for_period": "for {period}",
        "out_of": "{value} of {scale}",
        "per_100": "{value} per 100",
        "pp": "pp",
        "immature": "{n} too young to be judged",
        "unanswered": "{n} still unanswered",
        "pending": "{n} still pending",
        "voc": "{sentence} (rank correlation {rho} over {over})",
        "voc_ticket": "{n} tickets",
        "voc_period": "{n} periods",
        "crms": "{parts} − {linked} in both",
        "rate": "{currency} at {rate} ({source})",
        "rate_since": ", {date}",
        "no_rate": "no rate for {currency} on {days}",
        "below_unit": "< {value}",
        "no_reason": "no value could be had",
        "not_available": "not available",
        "no_denominator": "nothing to divide by",
        "no_data": "no data",
        "not_configured": "not set up yet",
        "error": "could not be computed",
        "business": "business hours",
        "calendar": "calendar time",
        "uncounted": ("{n} KPI without a goal", "{n} KPIs without a goal"),
        "unjudged": ("{n} KPI not judged", "{n} KPIs not judged"),
        "more": "{n} more",
        "segments_by": "By {by}",
        "none_segment": "(none)",
        "all_kpis": "KPIs",
        "other_kpis": "Other",
        "lines": "Lines show up to {n} {periods}, oldest first; a break is a period without a value. "
        "The dashed rule is the goal.",
        # sparklines
        "rising": "Rising",
        "falling": "Falling",
        "level": "Level",
        "alt": "{trend} over {n} {periods}, {first} to {last}",
        "alt_one": "Level, one known {period} of {n}: {last}",
        "alt_none": "No data over {n} {periods}",
        "alt_gaps": (", {n} gap", ", {n} gaps"),
        "spark_range": "min {low}, max {high}, last {last}",
        "periods": "periods of its KPI",
        "period_day": ("day", "days"),
        "period_week": ("week", "weeks"),
        "period_month": ("month", "months"),
        "period_quarter": ("quarter", "quarters"),
        "period_year": ("year", "years"),
        "week": "week {n}",
        # records
        "attention": "Needs attention",
        "shown_of": "{a} of {b}",
        "also_lists": "Also waiting: {lists}.",
        "list_count": "{label} {n}",
        "no_name": "(no name)",
        # values told before that are different now
        "restated": "Restated",
        "was_now": "was {before} as sent {when}, now {now}",
        "no_value": "no value",
        "r_count": ("{n} record changed", "{n} records changed"),
        "r_unnamed": "the records behind it are not kept",
        "r_added": "counts now, did not then",
        "r_gone": "counted then, does not now",
        "r_changed": "counts otherwise than then",
        "redefined": "{name} is defined otherwise than when it was sent {when}: its earlier values are not compared.",
        "open_crm": "Open the CRM",
        # notes, freshness, footer
        "test_banner": "This is a test. It does not count as this period's scorecard.",
        "against": "against {period}",
        "zone": "times in {zone}",
        "zones": "days of {days}, times in {zone}",
        "synced": "synced {when}",
        "late": "late: last synced {when}",
        "failing": "failing since {when}",
        "failing_bare": "sync failing",
        "last_synced": "last synced {when}",
        "never": "never synced",
        "withdrawn": "{last}, no longer read: {streams}",
        "sources": "Sources",
        "definitions": "What the KPIs mean",
        "rates": "Exchange rates",
        "smart": "Are the targets specific, measurable, achievable, relevant, time-bound?",
        "as_of": "As of {when}",
        "as_of_title": "as of {when}",
        "issue": "issue {n}",
        "config": "configuration {hash}",
        "why": "You receive this because {recipient} is on the list of “{title}” of {agent}.",
        "contact": "Questions: {owner}",
        "stop": "Stop these mails",
    },
)


def for_locale(locale: str) -> Words:
    """The words for a recipient's locale: English for every one so far."""
    return ENGLISH

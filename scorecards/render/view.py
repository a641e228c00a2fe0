"""The words and small flags a template shows, and nothing else: both templates (HTML and text) read the same view, so
neither can say more than the other. Made by `render.build`; templates decide on looks only.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Detail:
    """How much of the lists a message shows; `render` steps down when a message grows too large."""

    rows: int  # records per list
    lists: int
    segments: int  # segments per KPI


@dataclass(frozen=True, slots=True)
class Badge:
    """A state as shape and word; its key is the colour's class."""

    key: str
    shape: str
    word: str


@dataclass(frozen=True, slots=True)
class Line:
    """A small line under a KPI. `tone`: "" grey, "ink", or a state's class (on, risk, off); `mark` stands before it."""

    text: str
    tone: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Spark:
    """A sparkline: content id, words for those who do not see it, blocks for the text part."""

    cid: str
    alt: str
    blocks: str
    range: str


@dataclass(frozen=True, slots=True)
class Part:
    """One segment of a KPI."""

    name: str
    value: str
    badge: Badge | None
    is_known: bool


@dataclass(frozen=True, slots=True)
class Parts:
    """The segments of one dimension, the worst first."""

    label: str
    items: tuple[Part, ...]
    more: str


@dataclass(frozen=True, slots=True)
class Row:
    """One KPI."""

    title: str
    badge: Badge | None
    goal: str
    value: str
    change: str
    compared: str  # better, worse, no change; "not available" without a value
    lines: tuple[Line, ...]
    spark: Spark | None
    parts: tuple[Parts, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """A section of KPIs."""

    name: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """One record that needs a hand."""

    title: str
    url: str | None
    reason: str
    owner: str
    amount: str


@dataclass(frozen=True, slots=True)
class Records:
    """A KPI's records that need a hand."""

    label: str
    shown: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """A value told before that is another one now, and the records that made it so."""

    label: str
    said: str
    cause: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class SourceLine:
    """How fresh a source is: shape, class, name and what is to be said."""

    badge: str
    shape: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class View:
    """Everything a scorecard message says."""

    lang: str
    direction: str
    agent: str
    title: str
    finding: str
    preheader: str
    when: str
    about_line: str
    banners: tuple[str, ...]
    is_test: bool
    summary: tuple[tuple[str, str], ...]
    counts: tuple[tuple[int, Badge], ...]
    uncounted: str
    groups: tuple[Group, ...]
    legend: str
    records: tuple[Records, ...]
    also: str
    restated: tuple[Changed, ...]
    restated_more: str
    redefined: tuple[str, ...]
    crm_url: str | None
    sources: tuple[SourceLine, ...]
    provenance: str
    definitions: tuple[tuple[str, str], ...]  # name and one line of each KPI
    rates: tuple[tuple[str, str], ...]  # name of each KPI, and what its foreign amounts were converted by
    smart: tuple[tuple[str, str], ...]  # name and letters of each target
    owners: str  # that owners and teams are today's, where anything is split by them
    why: str
    contact: str
    stop: str | None

"""Which Salesforce objects stand behind each of our streams, in the order they are read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from connectors.salesforce import fields as data
from connectors.salesforce import relations
from connectors.salesforce.query import id_list
from connectors.salesforce.schema import OrgSchema


@dataclass(frozen=True, slots=True)
class Feed:
    """One object to read, under the name its position is stored by."""

    object: str
    cursor: str = ""  # empty: the best the object has
    also: tuple[str, ...] = ()  # further conditions
    until_now: bool = False  # read only what the cursor has passed by now, and nothing on the first read
    parent: str = ""  # the object whose rows come in place of these, which hang on them: what changed since is read

    @property
    def name(self) -> str:
        return f"{self.object}:{self.cursor}" if self.cursor else self.object

    @property
    def begins_now(self) -> bool:
        """Whether other feeds bring on the first read what this one shows changes of."""
        return self.until_now or bool(self.parent)


QUEUES = ("Type = 'Queue'",)
SCORED = ("NumberValue != null",)

#: Tables filled beside a stream's main one.
SIDE_TABLES = {
    "opportunities": ("opportunity_stage_history", "stage_defs", "pipelines", "opportunity_lines"),
    "tickets": ("ticket_status_history", "stage_defs", "pipelines"),
    "activities": ("activity_links",),
    "orders": ("order_lines",),
}
#: The objects of a stream's own records; the first one must be readable for the stream to be offered.
OBJECTS = {
    "users": ("User", "Group"),
    "accounts": ("Account",),
    "contacts": ("Contact",),
    "leads": ("Lead",),
    "opportunities": ("Opportunity",),
    "tickets": ("Case",),
    "activities": ("Task", "Event", "EmailMessage", "CaseComment"),
    "survey_invitations": ("SurveyInvitation",),
    "orders": ("Order",),
    "contracts": ("Contract",),
    "fx_rates": ("CurrencyType",),
}
#: What is read beside them: a login that may not read one of these loses only it.
BESIDE = {
    "leads": ("LeadHistory",),
    "opportunities": ("OpportunityHistory", "OpportunityLineItem"),
    "tickets": ("CaseHistory", data.MILESTONES),
    "activities": tuple(data.RELATIONS.values()),
    "survey_invitations": ("SurveySubject",),
    "orders": ("OrderItem",),
    "fx_rates": ("DatedConversionRate",),
}
#: What a stream's records are worked out with, beside who the users are: read whole with each sync.
HELPERS = {"opportunities": ("OpportunityStage",), "tickets": ("CaseStatus", "MilestoneType")}


def along_of(stream: str) -> tuple[str, ...]:
    """The logs that are read along with a stream's records and have no position of their own."""
    return tuple(name for name in BESIDE.get(stream, ()) if name in data.BESIDE_OF and name not in data.HANGING)


def objects_of(stream: str, schema: OrgSchema) -> tuple[str, ...]:
    """The objects whose live rows are the live records of a stream's main table."""
    return (schema.survey_object,) if stream == "survey_responses" else OBJECTS[stream]


def main_feeds(stream: str, schema: OrgSchema) -> list[Feed]:
    """One feed for each of those objects."""
    return [Feed(name, also=_condition(name, schema)) for name in objects_of(stream, schema)]


def feeds_of(stream: str, schema: OrgSchema, answer_types: Sequence[str] = ()) -> Iterable[Feed]:
    """All feeds of a stream, in reading order; `answer_types`: ids of the milestones that are a first response."""
    feeds = main_feeds(stream, schema)
    if stream == "activities":
        # A meeting is held when its end has passed, which changes nothing in it.
        feeds.insert(2, Feed("Event", cursor="EndDateTime", until_now=True))
        shared = [(name, own) for name, own in data.RELATIONS.items() if relations.is_wanted(schema, name)]
        feeds += [Feed(own, parent=name) for name, own in shared]
    lines = data.LINES.get(feeds[0].object)
    if lines is not None:
        feeds.append(Feed(lines[0]))
    if stream == "tickets" and answer_types:
        feeds.append(Feed(data.MILESTONES, also=(f"MilestoneTypeId IN {id_list(answer_types)}",), parent="Case"))
    return feeds


def _condition(name: str, schema: OrgSchema) -> tuple[str, ...]:
    if name == "Group":
        return QUEUES
    return SCORED if name == data.SURVEY_ANSWERS and not schema.is_own_survey else ()

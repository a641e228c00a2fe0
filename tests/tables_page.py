"""Writes docs/tables.md from the code that decides it: `python -m tests.tables_page`."""

from pathlib import Path

from scorecards.definition import Reporting
from scorecards.relations import SPELLINGS, Language
from syncagent.schema import COMMON, TABLES, column_types

PAGE = Path(__file__).parents[1] / "docs" / "tables.md"
_HEAD = """# Tables and columns

What a `files` source may fill (`columns = {{ OURS = "theirs" }}`), what `fields` may map, and what a KPI may name in
`where`, `field`, `by`, `date` and the rest. Made from the code; `python -m tests.tables_page` writes it anew.

Types: instants are UTC text `YYYY-MM-DDTHH:MM:SSZ`, dates `YYYY-MM-DD`, booleans 0 or 1. Money is stored as integer
minor units (`amount_minor` beside `currency`) and is *named without `_minor`* everywhere you write it: `amount`, in
major units, converted to the agent's currency where KPIs read it. A reference holds the other row's id; in a KPI
`owner.name`, `account.industry` or `owner.custom.NAME` are columns of the row referred to, `ticket.owner.team` of the
row that one refers to, and so on. `custom.NAME` is what
`extra` (files) or an unknown name in `fields` (CRMs) brought. Accepted spellings: {spellings}.

Every table also has: {common}.
"""
_DERIVED = """
## Derived relations

`of` may also name these. `purchases`: won deals by account (`params.purchases` adds orders). `customer_spans`: the
unbroken stretches in which an account is a customer, from contracts or from purchases and a lookback (`[customers]`),
with `start_date`, `end_date`, `has_left`, `tenure_days`, `days_in_period`, `days_left`, `has_live_account`,
`revenue_at_start` (what it paid a year as the period began: by its contracts, or bought in the 365 days before).
`handled`: tickets on the day of their first close and answered calls, each with its customer and `arrived_at`.
`receivables`: invoices on the day they were issued (`is_owed = false`), and what is still owed of each (`is_owed =
true`). `units_sold`: lines of won deals, or of orders (`params.units`). Purchases and customers have `product` and
`first_lead_source`, customers `churn_reason`, purchases `new_or_returning`, and `lead_source`, `pipeline`, `type`,
`with_partner` and `source` of their deal; [kpis.md](kpis.md) says how they count. `opportunity_copies`,
`activity_copies`: deals and activities another CRM's row counts for, each as its own CRM has it, with the columns of
opportunities and activities.
"""
#: Relations made of deals, activities and mail events: what a row is.
_MADE = {
    "funnel_steps": "a deal at each step it came to: an open stage's place in the pipeline (that of `params.pipeline`,"
    " else the one with most deals), with its `outcome` there; once without a step, for the pipeline as a whole",
    "touches": "what somebody did and one it was with: account, contact, lead or deal (`object`), links included",
    "approaches": "an activity of ours that reached a person; `quiet_days` since they last wrote or called",
    "sent_mails": "a mail of ours that arrived; each answer is credited to one mail of its thread, else to its sender",
    "engagements": "a run of actions with an account (else contact, lead), ended by `gap_days` of silence",
    "campaign_sends": "a campaign's mail to one recipient, with what became of it",
}
#: Relations of the agent's own book, and of records of any table.
_OWN = {
    "inconsistencies": "a record and a way in which it cannot be as it says (`kind`), with what (`what`)",
    "link_clusters": "a person, company or deal several CRMs keep: linked, or not settled yet",
    "streams": "a kind of records of a configured source as it stood: when it was last read whole, if it can be read",
    "sync_runs": "one run of a stream of a configured source; runs are kept for 90 days",
    "deliveries": "a scorecard's message to one reader (not named): when it was due, when the mail server took it",
}
#: How what is said of one table splits the rows of another.
_SAID = """
What a `[dimension]` says of `activities` or `email_events` splits these as well.

Of `survey_responses` and `survey_invitations`, `account_id` is the one named, else that of the ticket, of the ticket's
contact, or of the contact; `owner_id` is the owner of the ticket, of the contact where no ticket is named, of the
account where neither is; `priority`, `touchpoint`, `category` and `product` are the ticket's. What a `[dimension]` says
of `tickets`, `contacts` or `accounts` (the first of these it names) splits them too, by way of the record they name; a
column of their own is written `survey_responses = "ticket.owner.team"`.
"""


def page() -> str:
    """The whole page as Markdown."""
    tables = {name: column_types(name) for name in TABLES}
    references = {name: dict(table.references) for name, table in TABLES.items()}
    language = Language(Reporting(tables=tables, references=references))
    spellings = ", ".join(f"`{short}` = `{long}`" for short, long in SPELLINGS.items())
    common = ", ".join(f"`{name}`" for name in COMMON)
    parts = [_HEAD.format(spellings=spellings, common=common)]
    for name, table in TABLES.items():
        relation = language.relation(name)
        assert relation is not None  # every table is a relation
        parts.append(f"\n## {name}\n\n| column | type | |\n|---|---|---|\n")
        for column, kind in table.columns.items():
            said = column.removesuffix("_minor") if kind == "money" else column
            note = f"refers to {table.references[column]}" if column in table.references else ""
            if column in table.choices:
                note = "one of " + ", ".join(table.choices[column])
            parts.append(f"| `{said}` | {kind} | {note} |\n")
        own = {c.removesuffix("_minor") for c in table.columns} | set(COMMON)
        derived = [f"`{column}`" for column in relation.own if column not in own]
        if derived:
            parts.append(f"\nDerived, for KPIs only: {', '.join(derived)}.\n")
    parts.append(_DERIVED)
    for name, what in _MADE.items():
        relation = language.relation(name)
        assert relation is not None  # listed above
        columns = ", ".join(f"`{column}`" for column, said in relation.own.items() if "r" not in said.joins)
        parts.append(f"\n`{name}`: {what}. Columns: {columns}; all of {relation.base} too.\n")
    for name, what in _OWN.items():
        relation = language.relation(name)
        assert relation is not None  # listed above
        parts.append(f"\n`{name}`: {what}. Columns: {', '.join(f'`{column}`' for column in relation.own)}.\n")
    parts.append(_SAID)
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

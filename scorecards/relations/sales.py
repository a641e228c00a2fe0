"""Deals and leads: the columns that follow from their facts."""

from collections.abc import Mapping
from dataclasses import replace

from scorecards.aliases import filed_under, standing
from scorecards.facts import LIVE
from scorecards.relations import quality
from scorecards.relations.activity import LAST_OUTBOUND
from scorecards.relations.bought import new_or_returning, product_of_deal, won
from scorecards.relations.column import (
    MONEY,
    OWNER,
    Column,
    Relation,
    Spec,
    bit,
    converted,
    converted_by,
    epoch,
    flag,
    of_live,
)

#: The deal a lead became: the one it names, else the first its account began after it came.
_ITS_DEAL = (
    f"COALESCE({standing('f.converted_opportunity_id')}, (SELECT o.id FROM opportunities o"
    f" WHERE o.account_id IN {filed_under('r.converted_account_id')} AND {LIVE.format('o')}"
    " AND o.created_at > stamp(f.created_at) AND o.created_at < stamp(:as_of) ORDER BY +o.created_at, o.id LIMIT 1))"
)


def _its_deal(what: str, only: str) -> str:
    """Something of the deal a lead became, as it is known to be (SQL): first the deal, then its version."""
    return (
        f"(SELECT {what} FROM (SELECT {_ITS_DEAL} AS deal) k CROSS JOIN fact_opportunities d"
        f" WHERE d.id = k.deal AND +d.known_from < :as_of AND +d.known_to >= :as_of AND {only})"
    )


#: A deal of an account that had won one on an earlier day, as far as is known: a customer already.
_IS_REPEAT = (
    f"EXISTS (SELECT 1 FROM fact_opportunities p WHERE p.account_id = f.account_id AND {won('p')}"
    " AND p.outcome_date < COALESCE(f.outcome_date, :today))"
)

_DEAL = {
    "id": Column("f.id", "text"),
    "created_at": epoch("created_at"),
    "state": Column("f.state", "text"),
    "stage": Column("f.stage", "text"),
    "pipeline": Column("f.pipeline", "text"),
    "outcome_date": Column("f.outcome_date", "date"),
    "close_date": Column("f.close_date", "date"),  # what it is planned for, as the deal says today
    "is_won": flag("f.state = 'won'"),
    "is_lost": flag("f.state = 'lost'"),
    "is_closed": flag("f.state <> 'open'"),
    "is_open": bit("is_open"),
    # What a deal was worth before is converted as what it is worth now.
    "amount": replace(MONEY, home=converted("r")),
    "currency": Column("f.currency", "text"),
    "owner_id": OWNER,
    "account_id": Column("f.account_id", "text"),
    "future_close": Column("f.future_close", "text"),
    "is_repeat": flag(_IS_REPEAT),
    "reach": Column("f.reach", "integer"),
    "has_history": bit("has_history"),
    "stage_entered_at": epoch("stage_since"),
    "last_outbound_at": Column(LAST_OUTBOUND, "instant", epoch=True),
    # Never: since the deal is there.
    "wait_days": Column(f"((s.at - COALESCE({LAST_OUTBOUND}, f.created_at)) / 86400.0)", "number"),
    "product": Column(product_of_deal("f"), "text"),
    "with_partner": Column("(CASE WHEN r.partner_account_id IS NULL THEN 'no' ELSE 'yes' END)", "text", joins=("r",)),
    "new_or_returning": new_or_returning("f.account_id", "COALESCE(f.outcome_date, :today)"),
    "profit": Column(
        "(f.amount_minor - r.cost_minor)", "money", joins=("r",), currency="f.currency", home=converted("r")
    ),
}

#: A line is converted as the deal it is on, whose currency it is in.
_AS_ITS_DEAL = converted_by("f.opportunity_id", "opportunities", only="h.currency = f.currency")

#: Rows another CRM's row counts for, each as it is in its own CRM.
_COPIES = Relation(
    "opportunity_copies",
    "fact_opportunity_copies",
    versioned=True,
    base="opportunities",
    own=_DEAL,
    anchor="created_at",
    needs_table="opportunities",
)

SPECS: Mapping[str, Spec] = {
    "opportunity_copies": Spec(made=lambda _: _COPIES, behind="opportunities"),
    "opportunity_lines": Spec(
        own={"amount": replace(MONEY, home=_AS_ITS_DEAL)}, live=of_live("opportunities", "opportunity_id")
    ),
    "opportunities": Spec(
        own={**quality.OPPORTUNITIES, **_DEAL},
        anchor="created_at",
        states=("open", "won", "lost"),
        current={
            "is_won": flag("f.state = 'won'"),
            "is_lost": flag("f.state = 'lost'"),
            "is_closed": flag("f.state <> 'open'"),
            "is_open": flag("f.state = 'open'"),
        },
    ),
    "leads": Spec(
        own={
            "id": Column("f.id", "text"),
            "created_at": epoch("created_at"),
            "status_category": Column("f.status_category", "text"),
            "is_converted": flag("f.status_category = 'converted'"),
            "converted_date": Column(
                "f.converted_date", "date", undated="f.status_category = 'converted' AND f.converted_date IS NULL"
            ),
            "source_channel": Column("f.source_channel", "text"),
            "owner_id": OWNER,
            "converted_opportunity_id": Column("f.converted_opportunity_id", "text"),
            "sold_date": Column(
                _its_deal("d.outcome_date", "+d.state = 'won' AND +d.outcome_date < :today"),
                "date",
                joins=("r",),
                undated=_its_deal("1", "+d.state = 'won' AND +d.outcome_date IS NULL") + " IS NOT NULL",
            ),
            "has_open_deal": Column(f"({_its_deal('1', '+d.is_open = 1')} IS NOT NULL)", "flag", joins=("r",)),
            "first_outbound_at": epoch("first_outbound_at", masked=True),
            "first_call_at": epoch("first_call_at", masked=True),
            "is_imported": bit("is_imported"),
        },
        anchor="created_at",
        current={"is_converted": flag("f.status_category = 'converted'")},
    ),
}

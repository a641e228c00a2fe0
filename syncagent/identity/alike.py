"""Records no key ties together, but what they say does: won deals that look alike. As data, in SQL.

Read under `t`, a row, and `o`, its partner in another account of a CRM. Accounts and persons are those that stand for
the ones rows name, so what is filed under them is linked once they are.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from types import MappingProxyType
from typing import Any

from scorecards.aliases import filed_under
from syncagent.identity.keys import Pair

_THERE = "{0}.is_deleted = 0 AND {0}.is_test = 0 AND {0}.merged_into IS NULL"
_ELSEWHERE = "(o.source <> t.source OR COALESCE(o.source_instance, '') <> COALESCE(t.source_instance, ''))"


#: What is read of a pair that looks alike: its two ids, and what the rule told of it.
Edge = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Alike:
    """How records of one table are found to be one by what they say."""

    kind: str  # what such a link is called
    index: str  # partners are found by it; its presence says that the rule is applied
    ddl: str
    columns: tuple[str, ...]  # a change of which may make or undo a pair
    filed: tuple[str, ...]  # those that name a record which others may stand for
    may: str  # whether a row may have a partner at all
    partner: str  # whether `o` is one
    told: str  # what `judge` reads of a pair, beside the two ids
    judge: Callable[[Iterable[Edge], Set[str]], list[Pair]]  # of edges, and the rows another stands for already


def in_major(minor: int, currency: str | None) -> str:
    """An amount in minor units as people write it: 1200.00 EUR."""
    from scorecards.exchange import digits  # with all that knows currencies, which a list of tables needs not

    places = digits(currency) if currency else 2
    return f"{Decimal(minor).scaleb(-places):.{places}f} {currency or ''}".rstrip()


def double_count(amount: int, currency: str | None, day: str, other_amount: int, other_day: str) -> str:
    """Why two won deals of one account may be one."""
    double = in_major(min(amount, other_amount), currency)
    return f"possible double count of {double}: {_said(amount, currency, day, other_amount, other_day)}"


def _said(amount: int, currency: str | None, day: str, other_amount: int, other_day: str) -> str:
    return (
        f"one account, won on {day} for {in_major(amount, currency)}"
        f" and on {other_day} for {in_major(other_amount, currency)}"
    )


# -- won deals ------------------------------------------------------------------------------------------------

#: The close date as figures read it (G1): where the CRM keeps an instant, its local day. Calls on `day_of_close`.
CLOSE_DAY = "CASE WHEN {0}.close_at IS NULL THEN {0}.close_date ELSE day_of_close({0}.close_at) END"
#: Whether two won deals of one account look alike: one percent, seven days. The only place that says so.
LOOKS_ALIKE = """{o}.currency IS {t}.currency AND {t}.amount_minor <> 0
    AND ABS({o}.amount_minor - {t}.amount_minor) * 100 <= MAX(ABS({o}.amount_minor), ABS({t}.amount_minor))
    AND {o_day} BETWEEN date({t_day}, '-7 days') AND date({t_day}, '+7 days')"""
#: Nearly that day, but known without a time zone: for the index.
_ABOUT = "COALESCE(substr({0}.close_at, 1, 10), {0}.close_date)"
_WON = f"{{0}}.state = 'won' AND {{0}}.account_id IS NOT NULL AND {_THERE}"


def _deals(edges: Iterable[Edge], out: Set[str]) -> list[Pair]:
    """Of deals that count: sure where either is the only one the other looks like; the rest is for people to decide."""
    edges = sorted(edge for edge in edges if out.isdisjoint(edge[:2]))
    several = Counter(chain.from_iterable(edge[:2] for edge in edges))
    return [
        Pair(a, b, True, _said(*told), 0.9)
        if several[a] == several[b] == 1
        else Pair(a, b, False, f"{double_count(*told)}; not the only ones", 0.5)
        for a, b, *told in edges
    ]


DEALS = Alike(
    kind="deal",
    index="opportunities_link_won",
    ddl=f"CREATE INDEX IF NOT EXISTS opportunities_link_won ON opportunities(account_id, {_ABOUT.replace('{0}.', '')})"
    " WHERE state = 'won'",
    columns=("account_id", "state", "amount_minor", "currency", "close_date", "close_at"),
    filed=("account_id",),
    may="t.state = 'won' AND t.account_id IS NOT NULL",
    partner=f"""{_WON.format("t")} AND o.account_id IN {filed_under("t.account_id")} AND {_WON.format("o")}
        AND {_ELSEWHERE} AND {_ABOUT.format("o")} BETWEEN date({_ABOUT.format("t")}, '-9 days')
            AND date({_ABOUT.format("t")}, '+9 days')
        AND {LOOKS_ALIKE.format(t="t", o="o", t_day=CLOSE_DAY.format("t"), o_day=CLOSE_DAY.format("o"))}""",
    told=f"t.amount_minor, t.currency, {CLOSE_DAY.format('t')}, o.amount_minor, {CLOSE_DAY.format('o')}",
    judge=_deals,
)

ALIKE: Mapping[str, Alike] = MappingProxyType({"opportunities": DEALS})

"""Records no key ties together, but what they say does: won deals and activities that look alike. As data, in SQL.

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
#: `o` is of another account of a CRM than `t`.
ELSEWHERE = "(o.source <> t.source OR COALESCE(o.source_instance, '') <> COALESCE(t.source_instance, ''))"


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
    #: What is read of a record rows name: (its table, the column there, the column that names it).
    reads: tuple[str, ...] = ()


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
        AND {ELSEWHERE} AND {_ABOUT.format("o")} BETWEEN date({_ABOUT.format("t")}, '-9 days')
            AND date({_ABOUT.format("t")}, '+9 days')
        AND {LOOKS_ALIKE.format(t="t", o="o", t_day=CLOSE_DAY.format("t"), o_day=CLOSE_DAY.format("o"))}""",
    told=f"t.amount_minor, t.currency, {CLOSE_DAY.format('t')}, o.amount_minor, {CLOSE_DAY.format('o')}",
    judge=_deals,
)


# -- activities -----------------------------------------------------------------------------------------------

#: A message's id as it is compared: CRMs keep it with its brackets or without, in the case it came in or in small.
MESSAGE = "NULLIF(lower(trim({0}, ' <>')), '')"
_ADDRESS = "NULLIF(lower(trim({0}.email)), '')"
#: The users with one e-mail address. Not who is linked as a user: what somebody did stays theirs when they leave.
USERS_BY_ADDRESS = f"CREATE INDEX IF NOT EXISTS users_link_address ON users({_ADDRESS.replace('{0}.', '')})"
#: Whom it was with: a contact, else a lead.
_PERSON = "COALESCE({0}.contact_id, {0}.lead_id)"
_SECONDS = 120
_AT = "strftime('%Y-%m-%dT%H:%M:%SZ', t.occurred_at, '{0:+} seconds')"


def _moments(edges: Iterable[Edge], out: Set[str]) -> list[Pair]:
    """The nearest in time first: who is taken leaves the others to each other."""
    return [
        Pair(a, b, True, f"the same kind, owner and person, {count_of_seconds(apart)} apart", 0.9)
        for apart, a, b in sorted((apart, a, b) for a, b, apart in edges)
    ]


def count_of_seconds(seconds: int) -> str:
    """A number of seconds in words."""
    return "1 second" if seconds == 1 else f"{seconds} seconds"


#: Two that name a message each are told apart by that alone.
ACTIVITIES = Alike(
    kind="moment",
    index="activities_link_moment",
    ddl="CREATE INDEX IF NOT EXISTS activities_link_moment"
    f" ON activities(owner_id, {_PERSON.replace('{0}.', '')}, occurred_at) WHERE owner_id IS NOT NULL",
    columns=("owner_id", "contact_id", "lead_id", "occurred_at"),
    filed=("contact_id", "lead_id"),
    may=f"t.owner_id IS NOT NULL AND t.occurred_at IS NOT NULL AND {_PERSON.format('t')} IS NOT NULL",
    # In just this order: owners, persons and the moment are what the index has, and + keeps all else from misleading.
    partner=f"""{_THERE.format("t")} AND o.rowid IN (
        SELECT x.rowid FROM users u CROSS JOIN users v ON {_ADDRESS.format("v")} = {_ADDRESS.format("u")}
        CROSS JOIN {filed_under(_PERSON.format("t"))} p
        CROSS JOIN activities x ON x.owner_id = v.id AND {_PERSON.format("x")} = p.id
            AND x.occurred_at BETWEEN {_AT.format(-_SECONDS)} AND {_AT.format(_SECONDS)}
        WHERE u.id = t.owner_id AND +x.type = t.type AND {_THERE.replace("{0}", "+x")}
        AND ({MESSAGE.format("x.message_id")} IS NULL OR {MESSAGE.format("t.message_id")} IS NULL)
    ) AND {ELSEWHERE}""",
    told="ABS(strftime('%s', o.occurred_at) - strftime('%s', t.occurred_at))",
    judge=_moments,
    reads=("users", "email", "owner_id"),
)

ALIKE: Mapping[str, Alike] = MappingProxyType({"opportunities": DEALS, "activities": ACTIVITIES})

"""Which records are one: from what is known of a handful of rows to clusters, links and the row that counts.

Pure: rows, names and sayings in, links out. Order (docs/links.md): merges, what people said, stored ids, then keys.
Nothing joins two records people keep apart; a key or a likeness joins neither two live records of one
account of a CRM, nor two Salesforce ids.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from syncagent.identity.alike import Alike, Edge
from syncagent.identity.keys import Pair, pairs_of


@dataclass(frozen=True, slots=True)
class Row:
    """What linking reads of one record. `names`: the Salesforce id it stores; `said`: what its table's rule reads."""

    id: str
    source: str
    instance: str
    source_id: str
    source_name: str
    names: str | None
    key: str | None
    said: tuple[Any, ...]
    is_deleted: bool
    is_test: bool
    merged_into: str | None
    synced_at: str | None

    @property
    def is_live(self) -> bool:
        return not (self.is_deleted or self.is_test or self.merged_into)

    @property
    def account(self) -> tuple[str, str]:
        """The account of a CRM (org, portal, folder of files) it is from."""
        return self.source, self.instance

    @property
    def place(self) -> tuple[str, str, str, str]:
        """Records in an order that nothing but themselves decides."""
        return self.source, self.source_id, self.instance, self.id


@dataclass(frozen=True, slots=True)
class Saying:
    """What somebody said of two records: `verdict` link or never."""

    verdict: str
    said_by: str
    said_at: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """Two records and what was found of them; `a` < `b`. `created_at` is for the first time it is found."""

    a: str
    b: str
    kind: str  # hard manual email domain login deal message moment | candidate conflict never
    evidence: str
    said_by: str
    score: float | None = None
    created_at: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Resolved:
    """Links by pair; and for every row that is one with others of another row's: (dup_of, cluster)."""

    links: Mapping[tuple[str, str], Link]
    stands: Mapping[str, tuple[str | None, str]]


def resolve(
    rows: Mapping[str, Row],
    named: Iterable[tuple[str, str]],
    sayings: Mapping[tuple[str, str], Saying],
    *,
    system_of_record: str,
    orgs: Mapping[str, str],
    kind: str = "",
    column: str = "",
    edges: Iterable[Edge] = (),
    alike: Alike | None = None,
    is_quiet: bool = False,
) -> Resolved:
    """The links among `rows`: all rows that any evidence ties together, so that nothing outside can matter.

    `named`: (copy, original) by stored id. `orgs`: portal -> its org. `kind`: what a link by `key` is called.
    `column`: the column that holds the stored id. `edges`: pairs that look alike, by the rule `alike`. `is_quiet`: of
    what a key or a likeness leaves open nothing is told.
    """
    work = _Work(rows, sayings, orgs)
    for row in rows.values():
        if row.merged_into is not None and row.merged_into in rows:
            work.join(row.id, row.merged_into)
    work.link_said()
    for copy, original in sorted(named, key=lambda pair: (rows[pair[0]].place, rows[pair[1]].place)):
        if orgs.get(rows[copy].instance) == rows[original].instance:
            work.link(copy, original, "hard", f"{column} holds the other's id", rows[copy].source_name)
    work.keep_apart()
    pairs = pairs_of(kind, [row for row in rows.values() if row.key is not None and row.is_live])
    work.link_by_key(pairs, kind, is_quiet)
    if alike:
        out = {id_ for id_, (dup_of, _) in work.stands(system_of_record).items() if dup_of}
        pairs = alike.judge([edge for edge in edges if not work.is_apart(*edge[:2])], out)
        work.link_by_key(pairs, alike.kind, is_quiet)
    return Resolved(work.links, work.stands(system_of_record))


class _Work:
    """Union-find over the rows, each cluster with what it holds."""

    def __init__(
        self,
        rows: Mapping[str, Row],
        sayings: Mapping[tuple[str, str], Saying],
        orgs: Mapping[str, str],
    ) -> None:
        self.rows, self.sayings, self.orgs = rows, sayings, orgs
        self.links: dict[tuple[str, str], Link] = {}
        self._of = {id_: id_ for id_ in rows}
        self._members: dict[str, list[str]] = {id_: [id_] for id_ in rows}
        self._apart: dict[str, set[str]] = {}
        for (a, b), said in sayings.items():
            if said.verdict == "never" and a in rows and b in rows:
                self._apart.setdefault(a, set()).add(b)
                self._apart.setdefault(b, set()).add(a)

    def join(self, a: str, b: str) -> None:
        into, from_ = self._of[a], self._of[b]
        if into == from_:
            return
        if len(self._members[into]) < len(self._members[from_]):
            into, from_ = from_, into
        for id_ in self._members[from_]:
            self._of[id_] = into
        self._members[into] += self._members.pop(from_)

    def is_one(self, a: str, b: str) -> bool:
        return self._of[a] == self._of[b]

    def is_apart(self, a: str, b: str) -> bool:
        return b in self._apart.get(a, ())

    def link(self, a: str, b: str, kind: str, evidence: str, said_by: str, **more: Any) -> None:
        """Make two records one, unless people keep them or others of theirs apart."""
        pair = (a, b) if a < b else (b, a)
        if pair in self.links or self.is_apart(a, b):
            return
        if self._is_forbidden(a, b):
            self.note(pair, "conflict", f"{evidence}; but others they are one with are to stay apart", said_by, **more)
            return
        self.join(a, b)
        self.note(pair, kind, evidence, said_by, **more)

    def note(self, pair: tuple[str, str], kind: str, evidence: str, said_by: str, **more: Any) -> None:
        more.setdefault("created_at", max((self.rows[id_].synced_at or "" for id_ in pair), default="") or None)
        self.links[pair] = Link(*pair, kind, evidence, said_by, **more)

    def link_said(self) -> None:
        """The earlier word goes first: what contradicts it later is a conflict."""
        for (a, b), said in sorted(self.sayings.items(), key=lambda one: (one[1].said_at or "", one[0])):
            if said.verdict == "link" and a in self.rows and b in self.rows:
                self.link(a, b, "manual", said.note or "said to be the same", said.said_by, **_when(said))

    def keep_apart(self) -> None:
        for (a, b), said in self.sayings.items():
            if said.verdict == "never" and a in self.rows and b in self.rows:
                what = said.note or "said not to be the same"
                if self.is_one(a, b):
                    what += "; but merges in the CRM make them one"
                self.note((a, b), "never", what, said.said_by, **_when(said))

    def link_by_key(self, pairs: Sequence[Pair], kind: str, is_quiet: bool) -> None:
        """Sure pairs first; what they leave open is shown, not counted."""
        left: list[tuple[Pair, str, str]] = []
        for pair in pairs:
            if not pair.is_sure:
                left.append((pair, "candidate", pair.evidence))
                continue
            if self.is_one(pair.a, pair.b):
                continue
            reason = self._contradiction(pair.a, pair.b)
            if reason is None:
                self.link(pair.a, pair.b, kind, pair.evidence, "syncagent", score=pair.score)
            else:
                left.append((pair, "conflict", f"{pair.evidence}; {reason}"))
        for pair, found, evidence in () if is_quiet else left:
            both = (pair.a, pair.b) if pair.a < pair.b else (pair.b, pair.a)
            if both not in self.links and not self.is_one(*both):
                self.note(both, found, evidence, "syncagent", score=pair.score)

    def stands(self, system_of_record: str) -> dict[str, tuple[str | None, str]]:
        """For rows that are one with others: what they are a duplicate of, and their cluster's row that counts."""

        def rank(row: Row) -> tuple[Any, ...]:
            crm = 0 if row.source == system_of_record else 1 if row.source in ("salesforce", "hubspot") else 2
            return crm, row.is_deleted, row.is_test, row.place

        found: dict[str, tuple[str | None, str]] = {}
        for members in self._members.values():
            standing = [self.rows[id_] for id_ in members if self.rows[id_].merged_into is None]
            if len(standing) < 2:
                continue
            first = min(standing, key=rank).id
            found |= {row.id: (None if row.id == first else first, first) for row in standing}
        return found

    def _is_forbidden(self, a: str, b: str) -> bool:
        one, other = self._members[self._of[a]], self._members[self._of[b]]
        if len(one) > len(other):
            one, other = other, one
        return not self.is_one(a, b) and any(not self._apart.get(id_, set()).isdisjoint(other) for id_ in one)

    def _contradiction(self, a: str, b: str) -> str | None:
        """Why a key cannot make two clusters one."""
        one, other = (self._members[self._of[id_]] for id_ in (a, b))
        if self._accounts(one) & self._accounts(other):
            return "that would make two live records of one CRM the same"
        mine, theirs = self._salesforce_ids(one), self._salesforce_ids(other)
        if any(not mine[org] & theirs[org] for org in mine.keys() & theirs.keys()):
            return "they belong to two different Salesforce ids"
        return None

    def _accounts(self, members: Iterable[str]) -> set[tuple[str, str]]:
        return {self.rows[id_].account for id_ in members if self.rows[id_].is_live}

    def _salesforce_ids(self, members: Iterable[str]) -> dict[str | None, set[str]]:
        found: dict[str | None, set[str]] = {}
        for row in (self.rows[id_] for id_ in members):
            if row.source == "salesforce":
                found.setdefault(row.instance, set()).add(row.source_id)
            elif row.names is not None and row.merged_into is None:
                found.setdefault(self.orgs.get(row.instance), set()).add(row.names)
        return found


def _when(said: Saying) -> dict[str, Any]:
    return {"created_at": said.said_at} if said.said_at else {}

"""Records that are one thing twice within one source, by the same key."""

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import combinations, groupby
from operator import itemgetter

from scorecards.facts.fact import Book, Fact, Row, table

#: How much alike two companies of one domain are called (docs/definitions.md).
ALIKE = 0.9
#: Of more companies in one domain (a host of web sites) only those called the same are compared.
_MOST_COMPARED = 50


def _doubles(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    """Every member of a cluster of two or more of one source, with the one that comes first standing for all.

    What stands for another CRM's record, or has one standing for it, comes first: the others are the ones too many.
    """
    for group, found in groupby(rows, itemgetter(0)):
        for _, of_source in groupby(sorted(found, key=itemgetter(4, 5, 1)), itemgetter(4)):
            members = list(of_source)
            of, key = members[0][2:4]
            ids = [row[1] for row in members]
            clusters = clusters_by_name(ids, [row[6] for row in members]) if of == "accounts" else [ids]
            for cluster in clusters:
                for id_ in cluster:
                    if len(cluster) > 1:
                        yield group, id_, of, key, cluster[0], int(id_ != cluster[0])


def clusters_by_name(ids: Sequence[str], names: Sequence[str | None]) -> list[list[str]]:
    """Ids whose names are alike, whatever their case, blanks and signs: in groups, each in the order given.

    What has no name is like nothing.
    """
    plain = [re.sub(r"[\W_]+", " ", name or "").strip().casefold() for name in names]
    first = list(range(len(ids)))  # union-find: who comes first of all it is like

    def root(at: int) -> int:
        while first[at] != at:
            at = first[at]
        return at

    for one, other in combinations(range(len(ids)), 2) if len(ids) <= _MOST_COMPARED else _called_the_same(plain):
        if plain[one] and plain[other] and _are_alike(plain[one], plain[other]):
            low, high = sorted((root(one), root(other)))
            first[high] = low
    found: dict[int, list[str]] = {}
    for at, id_ in enumerate(ids):
        found.setdefault(root(at), []).append(id_)
    return list(found.values())


def _called_the_same(plain: Sequence[str]) -> Iterator[tuple[int, int]]:
    last: dict[str, int] = {}
    for at, name in enumerate(plain):
        if name in last:
            yield last[name], at
        last[name] = at


def _are_alike(one: str, other: str) -> bool:
    low, high = sorted((one, other))  # the ratio is not the same the other way round
    return low == high or SequenceMatcher(None, low, high).ratio() >= ALIKE


_COLUMNS = ("grp", "id", "object", "key", "cluster_id", "is_extra")

_SHARERS = (
    "SELECT w.id, k.id, k.object, k.key, COALESCE(k.source_name, ''), 1 - k.is_copy, k.name"
    " FROM temp.wanted w CROSS JOIN fact_record_keys k ON k.grp = w.id ORDER BY w.id, k.id"
)


FACT = Fact(
    kind="doubles",
    name="fact_doubles",
    columns=_COLUMNS,
    ddl=table("fact_doubles", _COLUMNS, "(grp)", "(object, key, is_extra, id, cluster_id)"),
    read=_SHARERS,
    derive=_doubles,
    unit="grp",
)

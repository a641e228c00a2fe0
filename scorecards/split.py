"""By what a KPI can be split: its own rows', or those of all the KPIs it is made of."""

from collections.abc import Iterator, Mapping

from scorecards.definition import Kpi
from scorecards.relations import Language, Relation

#: `[dimension]`: name -> column by table.
Dimensions = Mapping[str, Mapping[str, str]]
#: What is said of a KPI for the whole alone: a goal has no segments.
_WHOLE = ("target", "gap")


def counted(kpi: Kpi, kpis: Mapping[str, Kpi], seen: frozenset[str] = frozenset()) -> Iterator[Kpi]:
    """The KPIs that count rows behind one: itself, or those it is made of. Those that are not there are left out."""
    if not kpi.operands:
        yield kpi
        return
    for said in kpi.operands:
        name = said.partition(".")[0]
        if name in kpis and name not in seen:
            yield from counted(kpis[name], kpis, seen | {kpi.id, name})


def why_whole(kpi: Kpi, kpis: Mapping[str, Kpi], seen: frozenset[str] = frozenset()) -> str:
    """Why a KPI cannot be split by a dimension; empty where it can."""
    if kpi.sql is not None:
        return "its own statement says its segments"
    for said in kpi.operands:
        name, _, suffix = said.partition(".")
        if suffix in _WHOLE:
            return f"{said} is set for the whole"
        if name in kpis and name not in seen and (why := why_whole(kpis[name], kpis, seen | {kpi.id, name})):
            return why if kpis[name].operands else f"{name}: {why}"
    return ""


#: What the catalogue's short words for lists of segments stand for.
_LISTS: Mapping[str, tuple[str, ...]] = {
    "SEG-S": (
        "team", "lead source", "pipeline", "deal type", "region", "customer group", "with a partner", "source",
    ),
    "SEG-T": ("team", "priority", "touchpoint", "category", "product", "customer group"),
    "SEG-O": ("channel", "team", "campaign", "customer group", "new or returning"),
}  # fmt: skip
#: The columns that say what a word means, where that is not the column of its name.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "team": ("owner.team",),
    "lead source": ("lead_source", "source_channel"),
    "deal type": ("type",),
    "with a partner": ("with_partner",),
    "partner": ("partner_account.name",),
    "channel": ("channel", "type", "touchpoint"),
    "campaign": ("campaign_id",),
    "survey": ("survey_type",),
    **{word: (word, f"ticket.{word}") for word in ("priority", "touchpoint", "category", "product")},
    "region": ("region", "account.region"),
    **dict.fromkeys(("tier", "customer group", "group", "partner tier"), ("tier", "account.tier")),
    "kind": ("kind", "account.kind"),
}
#: Columns that are a person: numbers are split by these only where somebody asks for it.
_PEOPLE = ("owner.name", "owner.email", "owner_id", "owner_name", "owner_email", "manager", "owner.manager")


def words_of(kpi: Kpi) -> list[str]:
    """What a KPI's catalogue says it is worth splitting by, lists by their words."""
    return [word for said in kpi.segments for word in _LISTS.get(said, (said,))]


def columns_of(word: str) -> tuple[str, ...]:
    """The dimension or columns a word of the catalogue may mean, the first that rows have being the one."""
    return (word, *_COLUMNS.get(word, (word.replace(" ", "_"),)))


def usual_splits(kpi: Kpi, kpis: Mapping[str, Kpi], language: Language, dimensions: Dimensions) -> Iterator[str]:
    """Dimensions and columns a KPI is worth splitting by, the first first: what its catalogue says, then `dimensions`.

    Each is one that all the rows behind the KPI have. Dimensions go before columns of the same meaning.
    """
    if why_whole(kpi, kpis):
        return
    read = language.current if kpi.filled is not None else language.relation
    relations = [relation for part in counted(kpi, kpis) if part.of and (relation := read(part.of))]

    def can(name: str) -> bool:
        return bool(relations) and all(_splits(name, relation, language, dimensions) for relation in relations)

    found: dict[str, None] = {}
    for word in words_of(kpi):
        had = [name for name in columns_of(word) if can(name)]
        found |= dict.fromkeys(name for name in had if name in dimensions)
        found |= dict.fromkeys([name for name in had if name not in dimensions][:1])
    yield from found | dict.fromkeys(name for name in dimensions if can(name))


def is_by_owner(name: str, kpi: Kpi, kpis: Mapping[str, Kpi], language: Language, dimensions: Dimensions) -> bool:
    """Does it split by who a record belongs to? Nobody keeps who that was before: it is today's owner (G15)."""
    relations = [relation for part in counted(kpi, kpis) if part.of and (relation := language.relation(part.of))]
    columns = {relation.split_by(dimensions.get(name, {})) or name for relation in relations}
    return any(column.startswith("owner") or ".owner" in column for column in columns)


def is_person(column: str) -> bool:
    """Is a column a person of ours, also one of what a row leads to?"""
    return any(column == person or column.endswith(f".{person}") for person in _PEOPLE)


def _splits(name: str, relation: Relation, language: Language, dimensions: Dimensions) -> bool:
    if name in dimensions:
        column = relation.split_by(dimensions[name])
        return column is not None and not is_person(column)
    return language.column(relation, name) is not None

"""Values as HubSpot spells them: everything is text or null."""

from collections.abc import Iterable

from syncagent.sandbox.clock import hs_instant, local_midnight
from syncagent.sandbox.model import Entity, Owned, User

Props = dict[str, str | None]
History = dict[str, list[dict[str, str]]]
Links = dict[str, list[str]]  # kind -> ids


def text_of(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def number_text(value: float) -> str:
    """A number without a needless `.0`."""
    return str(int(value)) if value == int(value) else repr(value)


def money(minor: int | None) -> str | None:
    """Minor units as decimal text without trailing zeros."""
    if minor is None:
        return None
    return str(minor // 100) if minor % 100 == 0 else f"{minor / 100:.2f}".rstrip("0")


def midnight(day: str | None) -> str | None:
    """A day as HubSpot's datetime properties hold it: the portal's local midnight."""
    return None if day is None else hs_instant(local_midnight(day))


def id_of(entity: Entity | None) -> str | None:
    return entity.hs if entity is not None else None


def links_to(**targets: Entity | Iterable[Entity | None] | None) -> Links:
    """Links by kind, in the given order and each once."""
    found: Links = {}
    for kind, target in targets.items():
        several = [target] if isinstance(target, Entity) or target is None else list(target)
        ids = [entity.hs for entity in several if entity is not None and entity.hs]
        if ids:
            found[kind] = list(dict.fromkeys(ids))
    return found


def owner_versions(owners: list[Owned], owner: User, created: int) -> list[tuple[int, str | None]]:
    """Whose a record was, since when; oldest first."""
    return [(one.at, id_of(one.owner)) for one in owners] or [(created, id_of(owner))]


def versions(values: Iterable[tuple[int, str | None]], ms: int) -> list[dict[str, str]]:
    """The history of a property, newest first; a value that did not change makes no version."""
    out: list[dict[str, str]] = []
    before: str | None = None
    for at, value in values:
        if out and value == before:
            continue
        out.append(
            {
                "value": value or "",
                "timestamp": hs_instant(at, ms),
                "sourceType": "CRM_UI",
                "sourceId": "userId:9586501",
            }
        )
        before = value
    return out[::-1]

"""HubSpot's schema as it is now: properties, who may read what, pipelines; and how it changes under a client's feet."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from syncagent.sandbox.clock import hs_instant, local_date
from syncagent.sandbox.company import Company
from syncagent.sandbox.hubspot.props import (
    CALCULATED,
    CUSTOM,
    DEAL_STAGES,
    LEAD_PIPELINE,
    LEAD_STAGES,
    ORDER_PIPELINE,
    ORDER_STAGES,
    PIPELINE_IDS,
    PIPELINES,
    PROPERTIES,
    TICKET_STAGES,
)
from syncagent.sandbox.hubspot.records import Record
from syncagent.sandbox.model import Rate

_FIELD_TYPES = {"bool": "booleancheckbox", "datetime": "date", "enumeration": "select"}
#: The scope a call needs where it is not `crm.objects.KIND.read`.
_SCOPES = {
    "tickets": "tickets", "emails": "sales-email-read", "email_events": "content", "currencies": "multi-currency-read",
    **dict.fromkeys(("calls", "meetings", "tasks", "notes"), "crm.objects.contacts.read"),
}  # fmt: skip
_OLD = "2023-01-10T09:00:00.000Z"
Stage = tuple[str, str, Mapping[str, str]]


def scope_of(kind: str) -> str:
    """The scope that lets a token read a kind (an object, `owners`, `email_events`, `currencies`)."""
    return _SCOPES.get(kind, f"crm.objects.{kind}.read")


class Schema:
    """One portal's schema. Kinds are the names used in paths ("deals"). Changes hold at once, for every call.

    Stages renamed and removed are written down in the company, whose truth tells of them.
    """

    def __init__(self, company: Company) -> None:
        self._company = company
        self.types = {kind: dict(types) for kind, types in PROPERTIES.items()}
        self.disabled: set[str] = set()
        self.absent: set[str] = set()  # kinds this portal has never heard of: 400
        self.forbidden: set[tuple[str, str]] = set()
        self.changes = 0  # grows with each change: what was worked out before it is stale
        self._out_of_sight: dict[tuple[str, str], str] = {}
        self._values: dict[tuple[str, str], Callable[[Record], str | None]] = {}
        self._orders: dict[tuple[str, str], list[str]] = {}
        self._gone: set[tuple[str, str]] = set()
        self._edited: dict[tuple[str, str], str] = {}

    # -- properties ------------------------------------------------------------------------------------------------

    def add(
        self, kind: str, name: str, type_: str = "string", value: Callable[[Record], str | None] | None = None
    ) -> None:
        """A new property; `value` says what each record holds (nothing without it)."""
        self.types[kind][name] = type_
        if value is not None:
            self._values[kind, name] = value
        self.changes += 1

    def remove(self, kind: str, name: str) -> None:
        """The property is deleted."""
        del self.types[kind][name]
        self.changes += 1

    def hide(self, kind: str, name: str) -> None:
        """The token may no longer see the property: from outside, the same as deleted. `show` brings it back."""
        self._out_of_sight[kind, name] = self.types[kind].pop(name)
        self.changes += 1

    def show(self, kind: str, name: str) -> None:
        self.types[kind][name] = self._out_of_sight.pop((kind, name))
        self.changes += 1

    def retype(
        self, kind: str, name: str, type_: str, convert: Callable[[str | None], str | None] | None = None
    ) -> None:
        """Another type; `convert` says what becomes of the text a record held."""
        self.types[kind][name] = type_
        if convert is not None:
            change = convert
            self._values[kind, name] = lambda record: change(record.props.get(name))
        self.changes += 1

    def value(self, record: Record, name: str) -> str | None:
        """What a record holds in a property."""
        made = self._values.get((record.kind, name)) if self._values else None
        return record.props.get(name) if made is None else made(record)

    def property_list(self, kind: str) -> list[dict[str, object]]:
        """The body entries of the properties endpoint."""
        return [
            {
                "name": name,
                "label": name.replace("hs_", "").replace("_", " ").capitalize(),
                "type": type_,
                "fieldType": _FIELD_TYPES.get(type_, "text"),
                "groupName": f"{kind}_information",
                "description": "",
                "options": [],
                "displayOrder": -1,
                "calculated": name in CALCULATED,
                "externalOptions": False,
                "hasUniqueValue": False,
                "hidden": False,
                "hubspotDefined": name in PROPERTIES[kind] and name not in CUSTOM,
                "archived": False,
                "modificationMetadata": {"archivable": False, "readOnlyDefinition": True, "readOnlyValue": False},
            }
            for name, type_ in self.types[kind].items()
        ]

    # -- who may read what -----------------------------------------------------------------------------------------

    def disable(self, kind: str) -> None:
        """Every call about this kind (an object, `owners`, `email_events`, `currencies`) is 403 MISSING_SCOPES."""
        self.disabled.add(kind)

    def enable(self, kind: str) -> None:
        self.disabled.discard(kind)

    def forbid_links(self, kind: str, other: str) -> None:
        """Reading the links from one kind to another, in this direction, is 403 MISSING_SCOPES."""
        self.forbidden.add((kind, other))

    def allow_links(self, kind: str, other: str) -> None:
        self.forbidden.discard((kind, other))

    # -- currencies ------------------------------------------------------------------------------------------------

    @property
    def currencies(self) -> list[str]:
        """Currencies besides the company's."""
        return list(dict.fromkeys(rate.currency for rate in self._company.rates))

    def add_currency(self, code: str, per_eur: float) -> None:
        """A currency with its first rate (units for one euro), from today on."""
        self._company.rates.append(Rate(code, local_date(self._company.now), per_eur))

    # -- pipelines -------------------------------------------------------------------------------------------------

    def rename_stage(self, kind: str, stage: str, label: str) -> None:
        """A stage keeps its id and gets another label."""
        self._company.stage_labels[kind, stage] = label
        self._edited[kind, stage] = hs_instant(self._company.now)

    def remove_stage(self, kind: str, stage: str) -> None:
        """A stage is no longer listed; records and histories go on naming it."""
        self._company.stages_removed[kind, stage] = self._company.now

    def reorder_stages(self, kind: str, pipeline: str, ids: Sequence[str]) -> None:
        """The stages of a pipeline in another order; those not named come last."""
        self._orders[kind, pipeline] = list(ids)

    def delete_pipeline(self, kind: str, pipeline: str) -> None:
        self._gone.add((kind, pipeline))

    def pipelines(self, kind: str) -> list[dict[str, object]]:
        """The body entries of the pipelines endpoint, as they are now."""
        found = [(id_, label, stages) for id_, label, stages in _pipelines(kind) if (kind, id_) not in self._gone]
        return [self._pipeline(kind, id_, label, stages, place) for place, (id_, label, stages) in enumerate(found)]

    def _pipeline(self, kind: str, id_: str, label: str, stages: list[Stage], place: int) -> dict[str, object]:
        order = self._orders.get((kind, id_), [])
        live = [stage for stage in stages if (kind, stage[0]) not in self._company.stages_removed]
        live.sort(key=lambda stage: order.index(stage[0]) if stage[0] in order else len(order))
        rows: list[dict[str, Any]] = [
            {
                "id": stage,
                "label": self._company.stage_labels.get((kind, stage), stage_label),
                "displayOrder": number,
                "metadata": metadata,
                "createdAt": _OLD,
                "updatedAt": self._edited.get((kind, stage), _OLD),
                "archived": False,
                "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
            }
            for number, (stage, stage_label, metadata) in enumerate(live)
        ]
        return {
            "id": id_,
            "label": self._company.pipeline_labels.get((kind, id_), label),
            "displayOrder": place,
            "createdAt": _OLD,
            "updatedAt": max([_OLD, *(row["updatedAt"] for row in rows)]),
            "archived": False,
            "stages": rows,
        }


def _pipelines(kind: str) -> list[tuple[str, str, list[Stage]]]:
    """A kind's pipelines when the portal is new: id, label, stages with their metadata."""
    if kind == "deals":
        return [
            (
                PIPELINE_IDS[name],
                PIPELINES["deals"][PIPELINE_IDS[name]],
                [(id_, label, _metadata(chance in (0.0, 1.0), probability=str(chance))) for id_, label, chance in rows],
            )
            for name, rows in ((name, stages.values()) for name, stages in DEAL_STAGES.items())
        ]
    if kind == "tickets":
        stages = [
            (id_, label, _metadata(key == "closed", ticketState="CLOSED" if key == "closed" else "OPEN"))
            for key, (id_, label) in TICKET_STAGES.items()
        ]
        return [("0", PIPELINES["tickets"]["0"], stages)]
    if kind == "leads":
        steps = [
            (id_, label, _metadata(state in ("QUALIFIED", "UNQUALIFIED"), leadState=state))
            for id_, label, state in LEAD_STAGES.values()
        ]
        return [(LEAD_PIPELINE, PIPELINES["leads"][LEAD_PIPELINE], steps)]
    if kind == "orders":
        ends = ("delivered", "cancelled")
        moves = [(id_, label, _metadata(key in ends)) for key, (id_, label) in ORDER_STAGES.items()]
        return [(ORDER_PIPELINE, PIPELINES["orders"][ORDER_PIPELINE], moves)]
    return []


def _metadata(closed: bool, **more: str) -> Mapping[str, str]:
    return {"isClosed": str(closed).lower(), **more}

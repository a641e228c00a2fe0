"""What is said of a refused call where the settings ask HubSpot for more at once than is documented."""

from connectors.errors import ConnectorError
from connectors.hubspot.errors import Invalid
from connectors.hubspot.settings import HubSpotLimits

#: How much one call may ask for. The other limits are about how often: too many calls are answered otherwise.
_SIZES = ("search_page", "list_page", "batch", "batch_with_history", "links_batch", "mail_page", "address")


def explained(error: ConnectorError, limits: HubSpotLimits) -> ConnectorError:
    """The error of a call; one HubSpot does not understand with the limits that are above what it documents."""
    if isinstance(error, Invalid) and not error.mend:
        error.mend = _mend(limits)
    return error


def _mend(limits: HubSpotLimits) -> str:
    documented = {name: HubSpotLimits.model_fields[name].default for name in _SIZES}
    raised = [
        f"limits.{name} to {given} ({documented[name]} is documented)"
        for name in _SIZES
        if (given := getattr(limits, name)) > documented[name]
    ]
    return (
        f"The settings raise {', '.join(raised)}: take {'it' if len(raised) == 1 else 'them'} back." if raised else ""
    )

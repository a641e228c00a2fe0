"""Whose a row is where it does not say so itself: the account and the owner of what it was about."""

from scorecards.aliases import standing
from scorecards.relations.column import Column


def account_of_contact(contact: str) -> str:
    """The account (SQL) of a contact, itself SQL."""
    return f"(SELECT {standing('c.account_id')} FROM contacts c WHERE c.id = {standing(contact)})"


def _of(table: str, id_: str, what: str) -> str:
    """Something of the record a reference (SQL) names, as the record that stands for it has it."""
    return f"(SELECT {what} FROM {table} k WHERE k.id = {standing(id_)})"


#: The account asked: the one a row names, else its ticket's, else the account of the ticket's contact or its own.
_ACCOUNT_ASKED = (
    f"COALESCE({standing('f.account_id')}, {_of('tickets', 'f.ticket_id', standing('k.account_id'))},"
    f" {_of('tickets', 'f.ticket_id', account_of_contact('k.contact_id'))}, {account_of_contact('f.contact_id')})"
)
#: Who answers for it: the owner of the first of ticket, contact and account that a row names.
_OWNER_ASKED = (
    f"(CASE WHEN f.ticket_id IS NOT NULL THEN {_of('tickets', 'f.ticket_id', standing('k.owner_id'))}"
    f" WHEN f.contact_id IS NOT NULL THEN {_of('contacts', 'f.contact_id', standing('k.owner_id'))}"
    f" ELSE {_of('accounts', 'f.account_id', standing('k.owner_id'))} END)"
)
#: Columns of what a customer is asked and answers.
ASKED = {
    "account_id": Column(_ACCOUNT_ASKED, "text"),
    "owner_id": Column(_OWNER_ASKED, "text"),
    # What it was about, as the ticket says.
    **{
        name: Column(_of("tickets", "f.ticket_id", f"k.{name}"), "text")
        for name in ("priority", "touchpoint", "category", "product")
    },
}

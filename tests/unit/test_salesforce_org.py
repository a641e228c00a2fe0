"""What is known of an org beside its records: asked for once, and not again and again where it is refused."""

from typing import Any, cast

import pytest

from connectors.errors import NotReadable
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.errors import TooMuch, UnknownField
from connectors.salesforce.org import Org

USER = {"Id": "0058d000001AAAAAA0", "UserType": "Standard"}


class Client:
    """Answers as told, and counts how often it was asked."""

    def __init__(self, answer: Exception | list[dict[str, Any]]) -> None:
        self.answer = answer
        self.asked = 0

    def query_whole(self, _soql: str) -> list[dict[str, Any]]:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("error", [NotReadable("no"), UnknownField("no")])
def test_a_refusal_to_show_users_is_remembered_for_ten_minutes(error: Exception) -> None:
    client, now = Client(error), 0.0
    org = Org(cast(SalesforceClient, client), clock=lambda: now)
    assert [org.user_types() for _ in range(3)] == [{}, {}, {}]
    assert (client.asked, org.can_ask("User")) == (1, False)
    client.answer = [USER]
    now = 601.0
    assert list(org.user_types().values()) == ["Standard"]
    assert org.can_ask("User")


def test_users_that_are_too_many_at_once_are_read_in_pieces() -> None:
    ids = [f"0058d{number:010d}" for number in range(4_001)]

    class Slow(Client):
        def query_whole(self, soql: str) -> list[dict[str, Any]]:
            self.asked += 1
            if "LIMIT" not in soql:
                raise TooMuch("not at once")
            after = soql.partition("Id > '")[2][:15]
            left = [one for one in ids if one > after][:2_000]
            return [{"Id": one, "UserType": "Standard"} for one in left]

    client = Slow([])
    assert len(Org(cast(SalesforceClient, client)).user_types()) == 4_001
    assert client.asked == 4


def test_a_question_that_cannot_be_answered_now_is_an_error_and_no_answer() -> None:
    client = Client(TooMuch("not at once"))
    org = Org(cast(SalesforceClient, client))
    with pytest.raises(TooMuch):
        org.user_types()
    assert (org.untold, org.looks) == ({}, 0)
    client.answer = [USER]
    assert list(org.user_types().values()) == ["Standard"]

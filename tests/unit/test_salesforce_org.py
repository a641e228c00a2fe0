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


@pytest.mark.parametrize(
    ("error", "asked"), [(NotReadable("no"), 1), (UnknownField("no"), 1), (TooMuch("not at once"), 3)]
)
def test_a_refusal_to_show_users_is_remembered_for_ten_minutes(error: Exception, asked: int) -> None:
    client, now = Client(error), 0.0
    org = Org(cast(SalesforceClient, client), clock=lambda: now)
    assert [org.user_types() for _ in range(3)] == [{}, {}, {}]
    assert client.asked == asked
    client.answer = [USER]
    now = 601.0
    assert list(org.user_types().values()) == ["Standard"]

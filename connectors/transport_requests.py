"""Lets packages that speak `requests` send through our `Transport`: an adapter to mount on a session."""

from collections.abc import Callable
from typing import Any

import requests
from requests.adapters import BaseAdapter

from connectors import parse
from connectors.errors import TransientError
from connectors.transport import Answer


class WholeResponse(requests.Response):
    """A response whose body is here already; its JSON is read by the fast parser."""

    def __init__(self, answer: Answer, request: requests.PreparedRequest) -> None:
        super().__init__()
        self.status_code = answer.status
        self.headers.update(answer.headers)
        self.url = request.url or ""
        self.request = request
        self.encoding = "utf-8"
        self._content = answer.body
        self._content_consumed = True

    def json(self, **_kwargs: Any) -> Any:
        """The document. Raises TransientError where it is none, so that the call is tried again."""
        try:
            return parse.decode_json(self.content)
        except ValueError:
            raise TransientError("The vendor answered with something that is not whole JSON.") from None


class TransportAdapter(BaseAdapter):
    """Mounted on https://: `exchange` sends the prepared request and raises for what is no success."""

    def __init__(self, exchange: Callable[[requests.PreparedRequest], Answer]) -> None:
        super().__init__()
        self._exchange = exchange

    def send(self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any) -> requests.Response:
        return WholeResponse(self._exchange(request), request)

    def close(self) -> None:
        """The transport is closed by its owner."""

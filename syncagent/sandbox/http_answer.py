"""An answer on its way to the client, and how a fault spoils it: nothing here knows a vendor."""

import asyncio
import gzip
import json
import socket
import struct
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from email.utils import formatdate
from typing import Any, Protocol

from starlette.types import Message, Receive, Send

from syncagent.sandbox.faults import HTML_PAGE, Fault

#: Kinds that do not look at what the app would have said: it is not asked.
NEEDS_NO_ANSWER = ("status", "html", "drop", "bomb", "flood")
_BLOCK = b" " * 1_048_576  # white space between two JSON tokens: the document stays valid however long it gets
_JSON = {"content-type": "application/json;charset=utf-8"}
Wait = Callable[[float], Awaitable[bool]]


class Travel(Protocol):
    async def __call__(self, *, up: bool = False) -> None: ...


class Answer:
    """What the app answers, on its way to the client: dated, counted, delayed, or kept to be spoiled."""

    def __init__(self, send: Send, now: int, statuses: Counter[int], travel: Travel) -> None:
        self.send = send
        self._date = formatdate(now, usegmt=True)
        self._statuses = statuses
        self._travel = travel
        self.status = 200
        self.headers: dict[str, str] = {}
        self._body = bytearray()

    @property
    def body(self) -> bytes:
        return bytes(self._body)

    @property
    def wire(self) -> Any:
        """The connection under an ASGI `send`: uvicorn binds it to the request's cycle, which holds the transport."""
        return self.send.__self__.transport  # type: ignore[attr-defined]

    def fits(self, when: Callable[[Any], bool]) -> bool:
        """Whether the kept answer is a document a fault waits for."""
        try:
            return when(json.loads(self.body))
        except (ValueError, LookupError, TypeError, AttributeError):
            return False

    async def pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._travel()
            self._statuses[message["status"]] += 1
            message["headers"] = [*message["headers"], (b"date", self._date.encode())]
        await self.send(message)

    async def keep(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in message["headers"]}
        else:
            self._body += message.get("body", b"")

    async def begin(self, status: int, headers: dict[str, str], length: int | None) -> None:
        """Send the head; without a length the body goes in chunks."""
        await self._travel()
        self._statuses[status] += 1
        pairs = {"date": self._date} | {k: v for k, v in headers.items() if k.lower() != "content-length"}
        if length is not None:
            pairs["content-length"] = str(length)
        head = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in pairs.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": head})

    async def piece(self, body: bytes, *, more: bool = True) -> None:
        await self.send({"type": "http.response.body", "body": body, "more_body": more})

    async def whole(self, status: int, headers: dict[str, str], body: bytes) -> None:
        await self.begin(status, headers, len(body))
        await self.piece(body, more=False)

    async def raw(self, framing: str, body: bytes) -> None:
        """Write the kept answer past the HTTP library, which would refuse the framing, and hang up."""
        await self._travel()
        self._statuses[self.status] += 1
        pairs = {k: v for k, v in self.headers.items() if k.lower() != "content-length"} | {"date": self._date}
        head = "".join(f"{name}: {value}\r\n" for name, value in pairs.items())
        self.wire.write(f"HTTP/1.1 {self.status} X\r\n{head}{framing}\r\n\r\n".encode("latin-1") + body)
        self.wire.close()


async def misbehave(fault: Fault, answer: Answer, receive: Receive, wait: Wait) -> None:
    """Carry a fault out. `answer` has been kept unless the kind needs none."""
    body = answer.body
    match fault.kind:
        case "drop":
            answer.wire.close()
            await _until_gone(receive)
        case "status":
            await _drain(receive)
            await answer.whole(fault.status, dict(fault.headers), fault.body)
        case "html":
            await _drain(receive)
            await answer.whole(fault.status, {"content-type": "text/html; charset=utf-8"}, fault.body or HTML_PAGE)
        case "hang":
            await wait(fault.seconds)
            await answer.whole(answer.status, answer.headers, body)
        case "truncate":
            await answer.whole(answer.status, answer.headers, body[: len(body) // 2])
        case "mangle":
            status = fault.status if fault.status != 200 else answer.status
            await answer.whole(status, answer.headers | dict(fault.headers), mangled(fault, body))
        case "drip":
            await answer.begin(answer.status, answer.headers, len(body))
            for place in range(len(body)):
                await answer.piece(body[place : place + 1])
                if await wait(fault.seconds) or answer.wire.is_closing():
                    return
            await answer.piece(b"", more=False)
        case "wrong_length":  # promises half of what it sends
            await answer.raw(f"content-length: {len(body) // 2}", body)
            await _until_gone(receive)
        case "chunk":  # the last chunk is shorter than announced, and no closing chunk follows
            half = len(body) // 2
            await answer.raw("transfer-encoding: chunked", b"%x\r\n" % len(body) + body[:half])
            await _until_gone(receive)
        case "bad_gzip":
            packed = gzip.compress(body)  # after the ten bytes of its head, a block of a kind there is not
            spoiled = packed[:10] + b"\xff" + packed[11:]
            await answer.whole(answer.status, answer.headers | {"content-encoding": "gzip"}, spoiled)
        case "half_gzip":  # urllib3 says nothing of a stream without an end
            packed = gzip.compress(body)
            await answer.whole(answer.status, answer.headers | {"content-encoding": "gzip"}, packed[: len(packed) // 2])
        case "bomb":
            await _drain(receive)
            await _stream(answer, _JSON | {"content-encoding": "gzip"}, _bomb(fault.size))
        case "flood":
            await _drain(receive)
            await _stream(answer, dict(_JSON), _flood(fault.size))
        case "cut" | "reset":
            await _break_off(fault.kind, answer, receive, body)
        case _:
            raise ValueError(f"no such fault: {fault.kind}")


async def _break_off(kind: str, answer: Answer, receive: Receive, body: bytes) -> None:
    """Half the promised body, then the end of the connection: orderly or by a TCP reset."""
    await answer.begin(answer.status, answer.headers, len(body))
    await answer.piece(body[: len(body) // 2])
    if kind == "reset":
        await asyncio.sleep(0.02)  # let the half body leave before the reset overtakes it
        wire = answer.wire.get_extra_info("socket")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        answer.wire.abort()
    else:
        answer.wire.close()
    await _until_gone(receive)


def mangled(fault: Fault, body: bytes) -> bytes:
    """A JSON body after the fault's change. What the change returns as bytes is sent as it is.

    Written with the standard library, which spells out NaN and lone surrogates where a stricter one refuses.
    """
    if fault.change is None:
        return body
    changed = fault.change(json.loads(body) if body else None)
    return changed if isinstance(changed, bytes) else json.dumps(changed).encode()


async def _stream(answer: Answer, headers: dict[str, str], pieces: Iterator[bytes]) -> None:
    await answer.begin(200, headers, None)
    for piece in pieces:
        if answer.wire.is_closing():
            return
        await answer.piece(piece)
        await asyncio.sleep(0)
    await answer.piece(b"", more=False)


def _flood(size: int) -> Iterator[bytes]:
    """A valid document of about `size` bytes, made as it is sent."""
    yield b'{"results": [], "records": []'
    for _ in range(size // len(_BLOCK)):
        yield _BLOCK
    yield b"}"


def _bomb(size: int) -> Iterator[bytes]:
    """The same document gzipped, a thousandth as long. Every block is compressed alike, so it is compressed once."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head, tail = b'{"results": [], "records": []', b"}"
    first = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(_BLOCK) + packer.flush(zlib.Z_FULL_FLUSH)
    yield b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff" + first
    check, blocks = zlib.crc32(head), size // len(_BLOCK)
    for _ in range(blocks):
        check = zlib.crc32(_BLOCK, check)
        yield block
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    length = len(head) + blocks * len(_BLOCK) + len(tail)
    yield packer.compress(tail) + packer.flush() + struct.pack("<II", zlib.crc32(tail, check), length & 0xFFFFFFFF)


async def _drain(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            return


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

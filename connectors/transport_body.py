"""Reads the whole body of an answer: unpacked, of bounded size, and known to be whole; knows no vendor's words."""

import zlib
from typing import Any

from connectors.errors import StreamError, TransientError

_CHUNK = 64 * 1024
_PIECE = 256 * 1024  # unpacked at a time
_FREE_BYTES = 8 * 1024 * 1024  # below this, how well an answer packs does not matter
_LONGEST_NUMBER = 18  # digits of a length
_MOST_PACKED = 300  # JSON and CSV of records pack 5 to 60 times; a bomb 1,000 times


def whole_body(response: Any, *, place: str, max_bytes: int) -> bytes:
    """The unpacked body of a urllib3 response. Raises StreamError for too much, TransientError for less than all.

    Memory stays within `max_bytes`, counted unpacked, however small the answer is on the wire. We ask for gzip only.
    """
    declared = response.headers.get("Content-Length", "")
    is_declared = declared.isascii() and declared.isdigit()
    if is_declared and (len(declared) > _LONGEST_NUMBER or int(declared) > max_bytes):
        raise _too_much(place, max_bytes)
    packing = response.headers.get("Content-Encoding", "").strip().lower()
    if packing in ("", "identity"):
        if is_declared and not response.chunked:  # as long as it says and no longer: http.client sees to that
            body: bytes = response.read(decode_content=False)
            return body
        return _plain(response, place, max_bytes)
    if packing not in ("gzip", "x-gzip", "deflate"):
        raise TransientError(f"{place}: the answer was compressed in a way that was not asked for.")
    return _unpacked(response, place, max_bytes)


def _plain(response: Any, place: str, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    for chunk in response.stream(_CHUNK, decode_content=False):
        size += len(chunk)
        if size > max_bytes:
            raise _too_much(place, max_bytes)
        pieces.append(chunk)
    return b"".join(pieces)


def _unpacked(response: Any, place: str, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size = packed = 0
    unpacker = zlib.decompressobj(32 + zlib.MAX_WBITS)  # gzip or zlib, as its first bytes say
    try:
        for chunk in response.stream(_CHUNK, decode_content=False):
            packed += len(chunk)
            rest = chunk
            while rest:
                if unpacker.eof:
                    if rest[0] != 0x1F:
                        break  # padding after the end, which others accept as well
                    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)  # another member of the same gzip
                piece = unpacker.decompress(rest, _PIECE)
                size += len(piece)
                if size > max_bytes:
                    raise _too_much(place, max_bytes)
                if size > _FREE_BYTES and size > _MOST_PACKED * packed:
                    raise StreamError(f"{place}: the answer unpacks to more than {_MOST_PACKED} times its size.")
                pieces.append(piece)
                rest = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    except zlib.error as error:
        raise TransientError(f"{place}: the answer was compressed wrongly.") from error
    if packed and not unpacker.eof:
        raise TransientError(f"{place}: the answer was cut short.")
    return b"".join(pieces)


def _too_much(place: str, max_bytes: int) -> StreamError:
    return StreamError(f"{place} answered with more than {max_bytes // 1024 // 1024} MB.")

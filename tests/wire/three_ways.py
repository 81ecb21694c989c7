"""Runs a scanner three ways: on the whole, on every prefix, and with other bytes before and behind.

A prefix is either too short, and then the answer is None, or it says what the whole says: the same head, or the same
error. So no test needs to repeat itself for split input. `read_*` return what was scanned; `refused_*` the error.
Source of the idea: the helper `tr` of h11's tests.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import pytest

from steelyard.errors import Kind, ProtocolError
from steelyard.wire.chunked import ChunkScanner
from steelyard.wire.fields import Head
from steelyard.wire.http1 import (
    RequestHead,
    ResponseHead,
    Trailers,
    scan_request,
    scan_response,
    scan_trailers,
)

MAX_BYTES: Final = 32 * 1024
MAX_FIELDS: Final = 100

# What may lie behind a head: nothing of it may be looked at, so it is what a scanner would choke on.
_BEHIND: Final = (b"\0", b"\n", b"\r\n\r\n", b" folded", b"GET /smuggled HTTP/1.1\r\n\r\n", b"\xff" * 100)
_BEFORE: Final = b"\0:\r\n\n"

_COMMON: Final = (
    *("end", "minor", "content_length", "chunked"),
    *("close", "keep_alive", "names_upgrade", "upgrade", "options", "runs"),
)
_REQUEST: Final = (
    *("trusted", "method", "target", "host", "authority", "expects_continue", "te_trailers"),
    *("forwarded_for", "has_forwarded_proto", "has_forwarded_host"),
)
_RESPONSE: Final = ("status", "line")

H = TypeVar("H", bound=Head)
Scan = Callable[[bytes, int], H | None]


def seen(head: Head) -> dict[str, Any]:
    """Everything that a scan found out, by attribute."""
    own = _REQUEST if isinstance(head, RequestHead) else _RESPONSE if isinstance(head, ResponseHead) else ()
    return {name: getattr(head, name) for name in (*_COMMON, *own)}


def _outcome(scan: Scan[H], data: bytes, start: int = 0) -> H | ProtocolError | None:
    try:
        return scan(data, start)
    except ProtocolError as exc:
        return exc


def _said(outcome: Head | ProtocolError | None) -> object:
    """An outcome in a form that can be compared."""
    if isinstance(outcome, ProtocolError):
        return (outcome.kind, outcome.detail)
    return None if outcome is None else seen(outcome)


def _cuts(size: int) -> Iterable[int]:
    """Where to cut a message: everywhere, or at many places if it is long."""
    if size <= 700:
        return range(size)
    return sorted({*range(0, size, size // 100), *range(100), *range(size - 100, size)})


def three_ways(scan: Scan[H], data: bytes) -> H | ProtocolError | None:
    """What the scan of data comes to; fails when the same bytes in another setting come to something else."""
    whole = _outcome(scan, data)
    said = _said(whole)
    for cut in _cuts(len(data)):
        part = _said(_outcome(scan, data[:cut]))
        if isinstance(whole, Head) and cut < whole.end:
            assert part is None, f"after {cut} bytes"
        elif isinstance(whole, Head):
            assert said == part, f"after {cut} bytes"
        else:
            assert part is None or said == part, f"after {cut} bytes"
    if whole is not None:
        for behind in _BEHIND:
            assert said == _said(_outcome(scan, data + behind)), f"with {behind!r} behind"
    moved = _outcome(scan, _BEFORE + data, len(_BEFORE))
    if isinstance(moved, Head):
        moved.end -= len(_BEFORE)
    assert said == _said(moved), "at another place of the buffer"
    return whole


def _read(scan: Scan[H], data: bytes) -> H:
    outcome = three_ways(scan, data)
    if isinstance(outcome, ProtocolError):
        raise outcome
    assert outcome is not None, "the head has not all come"
    return outcome


def _refused(scan: Scan[Any], data: bytes) -> ProtocolError:
    outcome = three_ways(scan, data)
    assert isinstance(outcome, ProtocolError), f"not refused: {data!r}"
    return outcome


@dataclass(frozen=True)
class Limits:
    """The arguments of scan_request beside the bytes."""

    max_bytes: int = MAX_BYTES
    max_fields: int = MAX_FIELDS
    trusted: bool = False
    underscores: bool = False

    def request(self, data: bytes, start: int) -> RequestHead | None:
        return scan_request(data, start, self.max_bytes, self.max_fields, self.trusted, self.underscores)

    def response(self, data: bytes, start: int) -> ResponseHead | None:
        return scan_response(data, start, self.max_bytes, self.max_fields)

    def trailers(self, data: bytes, start: int) -> Trailers | None:
        return scan_trailers(data, start, self.max_bytes, self.max_fields)


def lines(*fields: bytes) -> bytes:
    """Field lines and the blank line."""
    return b"".join(line + b"\r\n" for line in fields) + b"\r\n"


def get(*fields: bytes) -> bytes:
    """A GET with a Host and these field lines."""
    return b"GET / HTTP/1.1\r\nHost: a\r\n" + lines(*fields)


def read_request(data: bytes, **limits: Any) -> RequestHead:
    return _read(Limits(**limits).request, data)


def refused_request(data: bytes, **limits: Any) -> Kind:
    return _refused(Limits(**limits).request, data).kind


def read_response(data: bytes, **limits: Any) -> ResponseHead:
    return _read(Limits(**limits).response, data)


def refused_response(data: bytes, **limits: Any) -> Kind:
    return _refused(Limits(**limits).response, data).kind


def read_trailers(data: bytes, **limits: Any) -> Trailers:
    return _read(Limits(**limits).trailers, data)


def refused_trailers(data: bytes, **limits: Any) -> Kind:
    return _refused(Limits(**limits).trailers, data).kind


@dataclass
class Body:
    """What came of feeding a chunked body to the scanner.

    sent: what is passed on, in the end; pieces: after which read. used: how many bytes belong to the body.
    payload: decoded, if that was asked. data_bytes: how many the scanner counted.
    """

    sent: bytes = b""
    used: int = 0
    done: bool = False
    payload: bytes | None = None
    error: tuple[Kind, str] | None = None
    pieces: list[bytes] = field(default_factory=list)
    data_bytes: int = 0


def feed(pieces: Iterable[bytes], decode: bool = False) -> Body:
    """Feed the pieces until the body is done, the way a connection does."""
    scanner = ChunkScanner(decode)
    body = Body(payload=b"" if decode else None)
    for piece in pieces:
        try:
            stop = scanner.feed(piece, 0)
        except ProtocolError as exc:
            body.error = (exc.kind, exc.detail)
            return body
        assert 0 <= scanner.passed <= stop <= len(piece)
        assert scanner.done or stop == len(piece)
        body.used += stop
        body.data_bytes = scanner.data_bytes
        body.pieces.append(piece[: scanner.passed])
        body.sent += piece[: scanner.passed]
        if decode:
            assert scanner.payload is not None
            assert body.payload is not None
            body.payload += b"".join(scanner.payload)
            assert len(body.payload) == scanner.data_bytes
        else:
            assert scanner.payload is None
        if scanner.done:
            body.done = True
            body.sent += scanner.tail
            break
        assert b"" == scanner.tail
    return body


def agree(one: Body, other: Body) -> bool:
    """Whether two ways of cutting one body came to the same. Only how much went out before an error may differ."""
    if one.error or other.error:
        shorter, longer = sorted((one.sent, other.sent), key=len)
        return one.error == other.error and longer.startswith(shorter)
    return (one.sent, one.used, one.done, one.payload) == (other.sent, other.used, other.done, other.payload)


def read_body(data: bytes, decode: bool = False) -> Body:
    """A chunked body, whole, byte by byte, in two parts, and with bytes behind it."""
    whole = feed([data], decode)
    assert agree(whole, feed([data[i : i + 1] for i in range(len(data))], decode)), "byte by byte"
    for cut in _cuts(len(data)):
        assert agree(whole, feed([data[:cut], data[cut:]], decode)), f"cut at {cut}"
    if whole.done or whole.error:
        for behind in _BEHIND:
            assert agree(whole, feed([data + behind], decode)), f"with {behind!r} behind"
    if whole.done:
        for cut in range(whole.used):
            assert not feed([data[:cut]], decode).done, f"done after {cut} bytes"
    return whole


def refused_body(data: bytes) -> Kind:
    body = read_body(data)
    if body.error is None:
        pytest.fail(f"not refused: {data!r}")
    return body.error[0]

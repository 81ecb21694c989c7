"""The chunk scanner, held against a decoder that shares nothing with it, and against h11.

The decoder here is regular expressions over the whole body, and says what RFC 9112 section 7.1 and the limits in
wire/chunked.py say: so the two must agree on every byte, on what is refused as well.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import h11

from tests.fuzz.builds import Build
from tests.fuzz.target import BEHIND, Target, cuts, some

MAX_EXTENSION_BYTES: Final = 4096
MAX_TRAILER_BYTES: Final = 8192
MAX_TRAILER_FIELDS: Final = 50

_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;([\t\x20-\x7e\x80-\xff]*))?\r\n")
# Every prefix of such a line: what may still become one.
_SIZE_BEGUN: Final = re.compile(rb"(?:[0-9A-Fa-f]{1,15}(?:;([\t\x20-\x7e\x80-\xff]*))?\r?)?")
_TRAILER: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,255}:[\t\x20-\x7e\x80-\xff]*\r\n")
_TRAILER_BEGUN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]*(?<!^)(?::[\t\x20-\x7e\x80-\xff]*\r?)?|\r?")


@dataclass
class Fed:
    """What came of feeding a body. sent: what is passed on; used: how many bytes are the body's."""

    sent: bytes = b""
    used: int = 0
    done: bool = False
    payload: bytes = b""
    error: str | None = None


def feed(build: Build, pieces: Iterable[bytes], decode: bool = False, start: int = 0) -> Fed:
    """Feed the pieces as a connection does. start: where each begins in its buffer."""
    scanner = build.chunked.ChunkScanner(decode)
    fed = Fed()
    for piece in pieces:
        stop = status = 0
        try:
            stop = scanner.feed(b"\xff" * start + piece, start) - start
        except build.errors.ProtocolError as exc:
            status = exc.kind.status
            fed.error = exc.detail
        if fed.error is not None:
            assert status in (400, 431)
            return fed
        passed = scanner.passed - start
        assert 0 <= passed <= stop <= len(piece)
        assert scanner.done or stop == len(piece)
        fed.used += stop
        fed.sent += piece[:passed]
        if decode:
            fed.payload += b"".join(scanner.payload)
            assert len(fed.payload) == scanner.data_bytes
        if scanner.done:
            fed.done = True
            fed.sent += scanner.tail
            break
        assert b"" == scanner.tail
    return fed


def _alike(whole: Fed, other: Fed) -> bool:
    """Whether two ways of cutting one body came to the same. How much went out before an error may differ."""
    if whole.error or other.error:
        short, long = sorted((whole.sent, other.sent), key=len)
        return whole.error == other.error and long.startswith(short)
    return whole == other


def _seen(build: Build, data: bytes) -> object:
    whole = feed(build, [data], True)
    for cut in cuts(build, data):
        assert _alike(whole, feed(build, [data[:cut], data[cut:]], True)), f"cut at {cut}"
    step = 1 if build.compiled or len(data) < 64 else 7
    assert _alike(whole, feed(build, _pieces(data, step), True)), f"in pieces of {step}"
    assert _alike(whole, feed(build, _pieces(data, 3), True, start=2)), "in pieces of 3, at another place"
    if whole.done or whole.error:
        for behind in some(BEHIND, data):
            assert _alike(whole, feed(build, [data + behind], True)), f"with {behind!r} behind"
    plain = feed(build, [data])
    plain.payload = whole.payload
    assert _alike(whole, plain), "without decoding"
    # Of a body that is refused only the word counts: how much of it was decoded before is the buffer's business.
    return (whole.error,) if whole.error else whole


def _pieces(data: bytes, size: int) -> Sequence[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def decoded(data: bytes) -> tuple[bytes, int] | str:
    """The payload and the index behind the body; "more" when it has not all come; "bad" when it can never be one."""
    payload = b""
    at = extensions = 0
    while True:
        line = _SIZE_LINE.match(data, at)
        begun = line or _SIZE_BEGUN.fullmatch(data, at)
        if begun is None:
            return "bad"
        extensions += len((begun[2] if line else begun[1]) or b"")
        if extensions > MAX_EXTENSION_BYTES + len(payload):
            return "bad"
        if line is None:
            return "more"
        at = line.end()
        size = int(line[1], 16)
        if size == 0:
            return _behind_last(data, at, payload)
        payload += data[at : at + size]
        at += size
        if not b"\r\n".startswith(data[at : at + 2]):
            return "bad"
        if at + 2 > len(data):
            return "more"
        at += 2


def _behind_last(data: bytes, at: int, payload: bytes) -> tuple[bytes, int] | str:
    """The trailer section."""
    start = at
    for count in range(MAX_TRAILER_FIELDS + 1):
        if data[at : at + 2] == b"\r\n":
            return (payload, at + 2) if at + 2 - start <= MAX_TRAILER_BYTES else "bad"
        line = _TRAILER.match(data, at)
        if line is None:
            begun = data[at:]
            name = begun.partition(b":")[0]
            hopeful = _TRAILER_BEGUN.fullmatch(begun) and (b":" not in begun or 1 <= len(name) <= 255)
            return "bad" if not hopeful or len(data) - start >= MAX_TRAILER_BYTES else "more"
        if count == MAX_TRAILER_FIELDS:
            return "bad"
        at = line.end()
    raise AssertionError("not reached")


def _judge(build: Build, data: bytes) -> None:
    got = feed(build, [data], True)
    expected = decoded(data)
    if isinstance(expected, str):
        assert (expected == "bad", False) == (got.error is not None, got.done), (expected, got)
    else:
        assert (got.payload, got.used) == expected
        assert got.error is None
        assert got.done
        again = decoded(got.sent)
        assert (got.payload, len(got.sent)) == again, "what is passed on is another body"
    _judge_by_h11(got, data)


def _judge_by_h11(got: Fed, data: bytes) -> None:
    """We may refuse what h11 takes (bare LF, long sizes); never the other way round, and never another end."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert isinstance(server.next_event(), h11.Request)
    if data:  # none at all would mean to h11 that the connection has ended
        server.receive_data(data)
    payload = b""
    event: object
    try:
        while isinstance(event := server.next_event(), h11.Data):
            payload += event.data
    except h11.RemoteProtocolError as exc:
        event = exc
    if isinstance(event, h11.RemoteProtocolError):
        # h11 judges the framing fields among the trailers; we leave them out, so that nobody can.
        assert got.error is not None or "Transfer-Encoding" in str(event) or "Content-Length" in str(event), event
    elif got.done:
        assert isinstance(event, h11.EndOfMessage)
        assert (payload, data[got.used :]) == (got.payload, server.trailing_data[0])
    elif got.error is None:
        assert event is h11.NEED_DATA


def _scan(build: Build, data: bytes) -> object:
    return feed(build, [data])


CHUNKED: Final = Target("chunked", _seen, _judge, _scan, weight=3)

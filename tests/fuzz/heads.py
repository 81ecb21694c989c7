"""The head scanners: requests, answers, trailers.

Beside what every target holds: what is accepted, h11 accepts too (it is strict; where we are deliberately laxer is said
at OURS_ALONE), and h11 and llhttp see the same end of it; what we send of it means the same to all three.
"""

import zlib
from functools import partial
from ipaddress import ip_network
from typing import Any, Final

from tests.fuzz.bodies import Fed, feed
from tests.fuzz.builds import Build
from tests.fuzz.lines import fields, kept_in_order, one_meaning
from tests.fuzz.target import MAX_BYTES, MAX_FIELDS, Target, said_alike, some
from tests.wire.oracles import (
    LLHTTP_MISREADS,
    Meaning,
    Refused,
    request_by_h11,
    request_by_httptools,
    response_by_h11,
    response_by_httptools,
)

# Empty lines before a request: RFC 9112 section 2.2 has them ignored, and h11 does not.
OURS_ALONE: Final = ("no request line received", "illegal request line")
# llhttp knows a list of methods, writes targets its own way, and wants tokens in chunk extensions, which RFC 9112
# section 7.1.1 has everybody ignore. It refuses, so nothing can mean two things.
LLHTTP_ALONE: Final = ("InvalidMethod", "InvalidURL", "chunk extension")
REFUSALS: Final = frozenset({400, 405, 414, 431, 501, 505, 508})
LOCAL: Final = "192.0.2.1:80"
MAX_HOPS: Final = 16  # of wire/http1.py: compiled, it is nobody else's to see


def _limits(data: bytes) -> tuple[int, int]:
    """Limits that cut into it somewhere, the same for the same bytes."""
    chance = zlib.crc32(data)
    return 16 + chance % 256, 1 + (chance >> 8) % 7


def _seen_request(build: Build, data: bytes) -> object:
    def scan(max_bytes: int, max_fields: int, trusted: bool, data: bytes, start: int) -> Any:
        return build.http1.scan_request(data, start, max_bytes, max_fields, trusted, trusted)

    ways = ((MAX_BYTES, MAX_FIELDS, False), (MAX_BYTES, MAX_FIELDS, True), (*_limits(data), False))
    return [said_alike(build, partial(scan, *limits), data) for limits in some(ways, data)]


def _taken_request(build: Build, data: bytes, trusted: bool = False) -> Any:
    """The head as it is understood; None when it is refused, or more of it is wanted."""
    try:
        return build.http1.scan_request(data, 0, MAX_BYTES, MAX_FIELDS, trusted, trusted)
    except build.errors.ProtocolError as exc:
        status = exc.kind.status
    assert status in REFUSALS
    return None


def _body_of(build: Build, head: Any, data: bytes) -> Fed | None:
    """The body behind a head whose framing says where it ends; None when it has not all come, or is refused."""
    rest = data[head.end :]
    if head.chunked:
        body = feed(build, [rest], decode=True)
        return body if body.done else None
    length = max(head.content_length, 0)
    return Fed(rest[:length], length, True, rest[:length]) if len(rest) >= length else None


def _judge_request(build: Build, data: bytes) -> None:
    for address in ("203.0.113.9", "10.0.0.1"):
        peer = build.peer.Peer(address, "http", [ip_network("10.0.0.0/8")], LOCAL)
        head = _taken_request(build, data, peer.trusted)
        if head is not None:
            _judge_sent_request(build, data, head, peer)
    head = _taken_request(build, data)
    if head is None:
        return
    for name, value in fields(b"\r\n" + b"".join(head.runs) + b"\r\n"):
        assert value in head.values(name)
    body = _body_of(build, head, data)
    if body is None and head.chunked and feed(build, [data[head.end :]]).error is not None:
        return
    end = None if body is None else head.end + body.used
    for meaning in (request_by_h11(data), request_by_httptools(data)):
        if isinstance(meaning, Refused) or (meaning.end is None and LLHTTP_MISREADS.search(data)):
            continue
        assert meaning.head_done
        assert (head.method, end) == (meaning.method, meaning.end)
        assert body is None or body.payload == meaning.payload
    # Its head alone: h11 judges framing fields among the trailers too, which we leave out.
    judged = request_by_h11(data[: head.end])
    assert isinstance(judged, Meaning) or (data.startswith(b"\r\n") and judged.why in OURS_ALONE), judged


def _judge_sent_request(build: Build, data: bytes, head: Any, peer: Any) -> None:
    """What a backend gets: clean, with one meaning, and that is the one we understood."""
    sent = build.headers.request_bytes(head, peer)
    lines = fields(sent)
    one_meaning(lines)
    assert b"".join([head.method, b" ", head.target, b" HTTP/1.1"]) == sent.partition(b"\r\n")[0]
    kept_in_order(b"".join(head.runs).splitlines(keepends=True), data)
    again = None
    try:
        again = build.http1.scan_request(sent, 0, len(sent) + 1, 2 * MAX_FIELDS, False, True)
    except build.errors.ProtocolError:
        if head.hops < MAX_HOPS:
            raise
    if head.hops == MAX_HOPS:
        assert again is None, "our own Via is one more than the next of us should take"
        return
    assert again is not None
    assert len(sent) == again.end
    host = LOCAL.encode() if head.host is None else head.host
    assert (head.method, head.target, host, 1) == (again.method, again.target, again.host, again.minor)
    assert (head.chunked, head.content_length, head.upgrade) == (again.chunked, again.content_length, again.upgrade)
    assert not again.close
    body = _body_of(build, head, data)
    if body is None:
        return
    whole = sent + body.sent
    for meaning in (request_by_h11(whole), request_by_httptools(whole)):
        if isinstance(meaning, Refused):
            assert any(word in meaning.why for word in LLHTTP_ALONE), (meaning, whole)
            continue
        assert (head.method, head.target) == (meaning.method, meaning.target)
        assert (body.payload, len(whole)) == (meaning.payload, meaning.end)
        assert lines == meaning.fields


def _scan_request(build: Build, data: bytes) -> object:
    head = _taken_request(build, data, True)
    return None if head is None else (head.get(b"cookie"), head.values(b"x"))


def _seen_response(build: Build, data: bytes) -> object:
    def scan(max_bytes: int, max_fields: int, data: bytes, start: int) -> Any:
        return build.http1.scan_response(data, start, max_bytes, max_fields)

    return [said_alike(build, partial(scan, *limits), data) for limits in ((MAX_BYTES, MAX_FIELDS), _limits(data))]


def _taken_response(build: Build, data: bytes) -> Any:
    try:
        return build.http1.scan_response(data, 0, MAX_BYTES, MAX_FIELDS)
    except build.errors.ProtocolError:
        return None


def _judge_response(build: Build, data: bytes) -> None:
    head = _taken_response(build, data)
    if head is None:
        return
    framing = build.framing
    for to_head in (False, True):
        how = build.http1.response_framing(head, to_head)
        sent = b"".join(build.headers.response_pieces(head, how, b"Connection: close\r\n"))
        lines = fields(sent)
        one_meaning([line for line in lines if line[0] in (b"content-length", b"transfer-encoding", b"connection")])
        kept_in_order(b"".join(head.runs).splitlines(keepends=True), data)
        again = build.http1.scan_response(sent, 0, len(sent) + 1, 2 * MAX_FIELDS)
        assert again is not None
        assert (len(sent), head.status, head.line, True) == (again.end, again.status, again.line, again.close)
        assert (head.chunked and how == framing.CHUNKED) == again.chunked
        if how == framing.LENGTH:
            assert head.content_length == again.content_length
        if head.status < 200 or head.status == 204:
            assert -1 == again.content_length
    how = build.http1.response_framing(head, False)
    if how not in (framing.LENGTH, framing.CHUNKED) or head.names_upgrade:
        return
    body = _body_of(build, head, data)
    if body is None and head.chunked and feed(build, [data[head.end :]]).error is not None:
        return
    end = None if body is None else head.end + body.used
    alone = response_by_h11(data[: head.end])
    assert isinstance(alone, Meaning), alone
    for meaning in (response_by_h11(data), response_by_httptools(data)):
        if isinstance(meaning, Meaning) and not (meaning.end is None and LLHTTP_MISREADS.search(data)):
            assert (head.status, end) == (meaning.status, meaning.end)


def _seen_trailers(build: Build, data: bytes) -> object:
    def scan(max_bytes: int, max_fields: int, data: bytes, start: int) -> Any:
        return build.http1.scan_trailers(data, start, max_bytes, max_fields)

    return [said_alike(build, partial(scan, *limits), data) for limits in ((8192, 50), _limits(data))]


# RFC 9110 section 6.5.1: a recipient that merges trailers would believe these.
NEVER_TRAILERS: Final = frozenset(
    b"host content-length transfer-encoding connection upgrade expect te keep-alive proxy-connection proxy "
    b"proxy-authorization x-forwarded-for x-forwarded-proto x-forwarded-host forwarded x-real-ip".split()
)


def _judge_trailers(build: Build, data: bytes) -> None:
    try:
        section = build.http1.scan_trailers(data, 0, 8192, 50)
    except build.errors.ProtocolError:
        return
    if section is None:
        return
    kept = b"".join(section.runs)
    for name, _ in fields(b"\r\n" + kept + b"\r\n"):
        assert name not in NEVER_TRAILERS
        assert b"_" not in name
        assert not name.startswith(b"x-forwarded-")
    kept_in_order(kept.splitlines(keepends=True), b"\r\n" + data)
    again = build.http1.scan_trailers(kept + b"\r\n", 0, 8192, 50)
    assert (kept, len(kept) + 2) == (b"".join(again.runs), again.end)


REQUEST: Final = Target("request", _seen_request, _judge_request, _scan_request, weight=4)
RESPONSE: Final = Target("response", _seen_response, _judge_response, _taken_response, weight=2)
TRAILERS: Final = Target("trailers", _seen_trailers, _judge_trailers, _seen_trailers)

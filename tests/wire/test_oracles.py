"""wire as a whole, held against h11 and httptools: what we send means to them what it meant to us.

Three properties. A valid message is understood, and what we send of it is accepted by both and means the same. A
damaged message is refused with a ProtocolError or understood, never anything else. And where we and they both take a
message, all see the same end of head and body: without such a disagreement nothing can be smuggled between us.
"""

import pytest
from hypothesis import example, given

from steelyard.errors import ProtocolError
from steelyard.wire import framing
from steelyard.wire.headers import request_bytes, response_pieces
from steelyard.wire.http1 import (
    RequestHead,
    ResponseHead,
    response_framing,
    scan_request,
    scan_response,
)
from steelyard.wire.peer import Peer
from tests.wire.messages import Message, damaged, requests, responses
from tests.wire.oracles import (
    LLHTTP_MISREADS,
    Meaning,
    Refused,
    request_by_h11,
    request_by_httptools,
    response_by_h11,
    response_by_httptools,
)
from tests.wire.three_ways import MAX_BYTES, MAX_FIELDS, Body, feed, read_request, read_response

STRANGER = Peer("203.0.113.9", "http", [], "192.0.2.1:80")


def body_of(head: RequestHead | ResponseHead, data: bytes) -> Body | None:
    """The body behind a head whose framing says where it ends; None when it has not all come."""
    rest = data[head.end :]
    if head.chunked:
        body = feed([rest], decode=True)
        if body.error is not None:
            raise ProtocolError(*body.error)
        return body if body.done else None
    length = max(head.content_length, 0)
    return Body(rest[:length], length, True, rest[:length]) if len(rest) >= length else None


def expected_fields(message: Message) -> list[tuple[bytes, bytes]]:
    """The fields of a request as a backend must get them from a stranger."""
    fields = [(b"host", message.host), (b"x-forwarded-host", message.host), *message.fields]
    fields += [(b"x-forwarded-for", b"203.0.113.9"), (b"x-real-ip", b"203.0.113.9"), (b"x-forwarded-proto", b"http")]
    if message.chunked:
        fields.append((b"transfer-encoding", b"chunked"))
    elif message.length >= 0:
        fields.append((b"content-length", b"%d" % message.length))
    return [*fields, (b"via", b"1.%d steelyard" % message.minor)]


@given(requests())
def test_a_valid_request_is_understood(message: Message) -> None:
    head = read_request(message.data)
    assert (message.method, message.target, message.host) == (head.method, head.target, head.host)
    assert (message.head, message.minor) == (head.end, head.minor)
    assert (message.length, message.chunked) == (head.content_length, head.chunked)
    body = body_of(head, message.data)
    assert body is not None
    assert (message.payload, len(message.data)) == (body.payload, head.end + body.used)


@given(requests())
def test_what_we_send_of_a_valid_request_means_the_same_to_others(message: Message) -> None:
    head = read_request(message.data)
    body = feed([message.data[head.end :]]).sent if head.chunked else message.data[head.end :]
    sent = request_bytes(head, STRANGER) + body
    for meaning in (request_by_h11(sent), request_by_httptools(sent)):
        assert isinstance(meaning, Meaning), meaning
        assert (message.method, message.target) == (meaning.method, meaning.target)
        assert expected_fields(message) == meaning.fields
        assert (message.payload, len(sent)) == (meaning.payload, meaning.end)


@given(responses())
def test_a_valid_answer_is_understood(message: Message) -> None:
    head = read_response(message.data)
    assert (message.status, message.head) == (head.status, head.end)
    assert (message.length, message.chunked) == (head.content_length, head.chunked)
    assert (framing.CHUNKED if message.chunked else framing.LENGTH) == response_framing(head, False)
    assert framing.NO_BODY == response_framing(head, True)
    body = body_of(head, message.data)
    assert body is not None
    assert (message.payload, len(message.data)) == (body.payload, head.end + body.used)


@given(responses())
def test_what_we_send_of_a_valid_answer_means_the_same_to_others(message: Message) -> None:
    head = read_response(message.data)
    body = feed([message.data[head.end :]]).sent if head.chunked else message.data[head.end :]
    sent = b"".join(response_pieces(head, response_framing(head, False), b"")) + body
    framed = (b"transfer-encoding", b"chunked") if message.chunked else (b"content-length", b"%d" % message.length)
    for meaning in (response_by_h11(sent), response_by_httptools(sent)):
        assert isinstance(meaning, Meaning), meaning
        assert message.status == meaning.status
        assert [*message.fields, framed] == meaning.fields
        assert (message.payload, len(sent)) == (meaning.payload, meaning.end)


@given(responses())
def test_what_we_send_of_an_answer_to_head_has_no_body_for_others(message: Message) -> None:
    head = read_response(message.data)
    sent = b"".join(response_pieces(head, response_framing(head, True), b""))
    meaning = response_by_h11(sent, b"HEAD")
    assert isinstance(meaning, Meaning), meaning
    assert (b"", len(sent)) == (meaning.payload, meaning.end)


@given(responses())
def test_an_answer_whose_framing_is_gone_ends_for_others_when_the_connection_does(message: Message) -> None:
    """As we send it to a client of HTTP/1.0 that knows no chunks."""
    head = read_response(message.data)
    sent = b"".join(response_pieces(head, framing.UNKNOWN, b"Connection: close\r\n")) + message.payload
    meaning = response_by_h11(sent, closed=True)
    assert isinstance(meaning, Meaning), meaning
    assert (message.payload, len(sent)) == (meaning.payload, meaning.end)


def taken(data: bytes) -> tuple[RequestHead, Body | None] | None:
    """The request as we understand it; None when we refuse it, or want more of its head."""
    try:
        head = scan_request(data, 0, MAX_BYTES, MAX_FIELDS, False, False)
        return None if head is None else (head, body_of(head, data))
    except ProtocolError as exc:
        status = exc.kind.status
    assert status in (400, 405, 414, 431, 501, 505)
    return None


# Why h11 refuses what we take, each harmless since we write it anew or since the two of us agree on the end:
# it wants no empty lines before a request.
H11_IS_STRICTER = ("no request line received", "illegal request line")


@given(damaged(requests()))
@example(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
def test_a_damaged_request_that_we_take_ends_for_others_where_it_ends_for_us(data: bytes) -> None:
    ours = taken(data)
    if ours is None:
        return
    head, body = ours
    end = None if body is None else head.end + body.used
    for meaning in (request_by_h11(data), request_by_httptools(data)):
        if isinstance(meaning, Refused):
            continue
        if meaning.end is None and LLHTTP_MISREADS.search(data):
            continue
        assert meaning.head_done
        assert (head.method, end) == (meaning.method, meaning.end)
        if body is not None:
            assert body.payload == meaning.payload
    judged = request_by_h11(data)
    if isinstance(judged, Refused):
        assert data.startswith((b"\r\n", b"\n")), judged
        assert judged.why in H11_IS_STRICTER


@given(damaged(requests()))
def test_what_we_send_of_a_damaged_request_is_clean(data: bytes) -> None:
    """Both others accept it and agree with us on its meaning, whatever we let through."""
    ours = taken(data)
    if ours is None or ours[1] is None:
        return
    head, body = ours
    assert body is not None
    sent = request_bytes(head, STRANGER)
    sent += feed([data[head.end : head.end + body.used]]).sent if head.chunked else body.sent
    for meaning in (request_by_h11(sent), request_by_httptools(sent)):
        if isinstance(meaning, Refused):  # llhttp knows its list of methods, and no other
            assert "InvalidMethod" in meaning.why or "InvalidURL" in meaning.why, (meaning, sent)
            continue
        assert (head.method, head.target) == (meaning.method, meaning.target)
        assert (body.payload, len(sent)) == (meaning.payload, meaning.end)
        names = [name for name, _ in meaning.fields]
        for name in (b"host", b"content-length", b"transfer-encoding", b"connection", b"x-forwarded-for", b"x-real-ip"):
            assert names.count(name) <= 1
        assert not [line for line in meaning.fields if set(b"\r\n\0") & set(line[0] + line[1])]


@given(damaged(responses()))
def test_a_damaged_answer_that_we_take_ends_for_others_where_it_ends_for_us(data: bytes) -> None:
    try:
        head = scan_response(data, 0, MAX_BYTES, MAX_FIELDS)
        if head is None:
            return
        how = response_framing(head, False)
        if how not in (framing.LENGTH, framing.CHUNKED) or head.names_upgrade:
            return
        body = body_of(head, data)
    except ProtocolError:
        return
    end = None if body is None else head.end + body.used
    strict = response_by_h11(data)
    assert isinstance(strict, Meaning), strict
    assert (head.status, end) == (strict.status, strict.end)
    lenient = response_by_httptools(data)
    if isinstance(lenient, Meaning) and not LLHTTP_MISREADS.search(data):
        assert (head.status, end) == (lenient.status, lenient.end)


@pytest.mark.parametrize(
    "data",
    [
        # h11 takes all of these, each in its own repaired form; we refuse, and so cannot disagree with a backend.
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n",
        b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
        b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_we_refuse_what_h11_repairs(data: bytes) -> None:
    assert isinstance(request_by_h11(data), Meaning)
    assert taken(data) is None

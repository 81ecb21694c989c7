"""wire/chunked.py: where a chunked body ends."""

from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard import errors
from steelyard.wire.chunked import ChunkScanner
from tests.wire.three_ways import Body, agree, feed, lines, read_body, refused_body

# The limits of wire/chunked.py, which its compiled form keeps to itself.
MAX_EXTENSION_BYTES = 4096
MAX_TRAILER_BYTES = 8192
MAX_TRAILER_FIELDS = 50


@pytest.mark.parametrize(
    ("body", "payload"),
    [
        (b"0\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5\r\nhello\r\n1\r\n!\r\n000\r\n\r\n", b"hello!"),
        (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
        (b"000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (b"7\r\n0\r\n\r\nXX\r\n0\r\n\r\n", b"0\r\n\r\nXX"),
        (b'1;name=value;other="quoted"\r\nx\r\n0;last\t\xe4\r\n\r\n', b"x"),
        (b"1;\r\nx\r\n0;\r\n\r\n", b"x"),
    ],
)
def test_a_body_is_passed_on_as_it_came_and_decoded_when_asked(body: bytes, payload: bytes) -> None:
    plain = read_body(body)
    assert (body, len(body), True, None) == (plain.sent, plain.used, plain.done, plain.error)
    decoded = read_body(body, decode=True)
    assert (payload, len(body), True, None) == (decoded.payload, decoded.used, decoded.done, decoded.error)


def test_every_byte_in_the_place_of_a_digit_is_a_digit_or_refused() -> None:
    for c in range(256):
        body = b"%c\r\n" % c
        if chr(c) in "0123456789abcdefABCDEF":
            size = int(chr(c), 16)
            whole = body + (b"x" * size + b"\r\n0\r\n\r\n" if size else b"\r\n")
            assert b"x" * size == read_body(whole, decode=True).payload
        else:
            assert errors.BAD_REQUEST == refused_body(body)
            assert c in b";\r" or errors.BAD_REQUEST == refused_body(b"1" + body)


def test_every_byte_in_an_extension_is_text_or_refused() -> None:
    for c in range(256):
        body = b"1;a%cb\r\nx\r\n0\r\n\r\n" % c
        if c == 9 or (c >= 32 and c != 127):
            assert body == read_body(body).sent
        else:
            assert errors.BAD_REQUEST == refused_body(body)


def test_a_size_has_at_most_15_digits() -> None:
    assert not read_body(b"f" * 15 + b"\r\nxyz").done
    assert errors.BAD_REQUEST == refused_body(b"0" * 16)
    assert errors.BAD_REQUEST == refused_body(b"1" + b"0" * 15)


def test_the_extensions_of_a_body_may_be_as_long_as_its_data_and_a_bit() -> None:
    """Who signs every chunk is let through; who sends extensions alone is not."""
    signed = b"40;chunk-signature=" + b"a" * 40 + b"\r\n" + b"d" * 64 + b"\r\n"
    assert feed([signed * 1000 + b"0\r\n\r\n"]).done
    most = b"1;" + b"x" * (MAX_EXTENSION_BYTES - 1) + b"\r\ny\r\n0;xx\r\n\r\n"
    assert feed([most]).done
    body = feed([most.replace(b"0;xx", b"0;xxx")])
    assert body.error is not None
    assert errors.BAD_REQUEST == body.error[0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"5",
        b"5\r",
        b"5\r\n",
        b"5\r\nhello",
        b"5\r\nhello\r",
        b"5\r\nhello\r\n",
        b"5\r\nhello\r\n0\r\n",
        b"5\r\nhello\r\n0\r\n\r",
        b"0\r\nX: y\r\n",
        b"0\r\nX: y\r\n\r",
    ],
)
def test_a_body_that_breaks_off_is_never_done(body: bytes) -> None:
    got = read_body(body)
    assert (False, None, len(body)) == (got.done, got.error, got.used)


def test_trailers_are_held_until_they_are_whole_and_then_sent_without_the_dangerous_ones() -> None:
    body = b"1\r\nx\r\n0\r\n" + lines(b"X-Sum: 1", b"Content-Length: 5", b"Grpc-Status: 0")
    got = read_body(body)
    assert (b"1\r\nx\r\n0\r\n" + lines(b"X-Sum: 1", b"Grpc-Status: 0"), len(body), True) == (
        got.sent,
        got.used,
        got.done,
    )
    assert [b"1\r\nx\r\n0\r\n", b"", b""] == feed([body[:14], body[14:20], body[20:]]).pieces


def test_trailers_that_are_all_left_out_leave_the_empty_line() -> None:
    assert b"0\r\n\r\n" == read_body(b"0\r\n" + lines(b"Host: b")).sent


def test_trailers_have_limits() -> None:
    fields = [b"x: y"] * MAX_TRAILER_FIELDS
    assert feed([b"0\r\n" + lines(*fields)]).done
    too_many = feed([b"0\r\n" + lines(*fields, b"x: y")])
    assert too_many.error is not None
    assert errors.HEAD_TOO_LARGE == too_many.error[0]
    value = b"x" * (MAX_TRAILER_BYTES - 7)
    assert feed([b"0\r\n" + lines(b"x: " + value)]).done
    too_long = feed([b"0\r\n", *[lines(b"x: x" + value)[i : i + 100] for i in range(0, 8200, 100)]])
    assert too_long.error is not None
    assert errors.HEAD_TOO_LARGE == too_long.error[0]


def test_a_scan_may_begin_in_the_middle_of_a_buffer() -> None:
    scanner = ChunkScanner()
    data = b"GET / HTTP/1.1\r\n\r\n1\r\nx\r\n0\r\n\r\nGET"
    assert data.index(b"GET", 1) == scanner.feed(data, 18) == scanner.passed
    assert scanner.done


def test_the_payload_is_that_of_the_last_feed_alone() -> None:
    scanner = ChunkScanner(True)
    assert [] == scanner.payload
    scanner.feed(b"3\r\nab", 0)
    assert [b"ab"] == scanner.payload
    scanner.feed(b"c\r\n", 0)
    assert [b"c"] == scanner.payload
    scanner.feed(b"0\r\n\r\n", 0)
    assert [] == scanner.payload


sizes = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        st.just(n), st.sampled_from(["%x", "%X", "00%x", "%x;a=b", "%x;"]), st.binary(min_size=n, max_size=n)
    )
)
trailers = st.lists(
    st.sampled_from(
        [b"X-Sum: 7", b"Grpc-Status: 0", b"Content-Length: 3", b"Transfer-Encoding: chunked", b"A_b: c", b"E:"]
    ),
    max_size=4,
)
KEPT = (b"X-Sum: 7", b"Grpc-Status: 0", b"E:")


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    """A chunked body, what is sent on of it, and what it means."""
    chunks = draw(st.lists(sizes, max_size=6))
    fields = draw(trailers)
    frames = b"".join((form % size).encode() + b"\r\n" + data + b"\r\n" for size, form, data in chunks) + b"0\r\n"
    kept = [line for line in fields if line in KEPT]
    return frames + lines(*fields), frames + lines(*kept), b"".join(data for _, _, data in chunks)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    marks = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(marks)]


cut_lists = st.lists(st.integers(0, 300), max_size=8)


@given(bodies(), cut_lists, st.binary(max_size=10), st.booleans())
def test_any_split_of_a_body_comes_to_the_same(
    body: tuple[bytes, bytes, bytes], cuts: list[int], behind: bytes, decode: bool
) -> None:
    came, sent, payload = body
    got = feed(split(came + behind, cuts), decode)
    assert Body(sent, len(came), True, payload if decode else None, None, got.pieces, len(payload)) == got


@given(bodies(), st.data(), cut_lists)
def test_any_split_of_a_damaged_body_comes_to_the_same(
    body: tuple[bytes, bytes, bytes], draw: st.DataObject, cuts: list[int]
) -> None:
    came = body[0]
    place = draw.draw(st.integers(0, len(came)))
    gone = draw.draw(st.integers(0, 3))
    new = draw.draw(st.lists(st.sampled_from(list(b"\r\n0159aF;x \t\0+-_\x80")), max_size=3).map(bytes))
    damaged = came[:place] + new + came[place + gone :]
    assert agree(feed([damaged]), feed(split(damaged, cuts)))


@given(bodies(), st.data())
def test_a_damaged_body_means_to_us_what_it_means_to_h11_or_is_refused(
    body: tuple[bytes, bytes, bytes], draw: st.DataObject
) -> None:
    """We may refuse what h11 takes (bare LF, long sizes); never the other way round, and never another end."""
    came = body[0]
    place = draw.draw(st.integers(0, len(came)))
    gone = draw.draw(st.integers(0, 3))
    new = draw.draw(st.lists(st.sampled_from(list(b"\r\n0159aF;x \t\0+-_\x80")), max_size=3).map(bytes))
    damaged = came[:place] + new + came[place + gone :]
    got = feed([damaged], decode=True)
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert isinstance(server.next_event(), h11.Request)
    server.receive_data(damaged)
    payload = b""
    event: object
    try:
        while isinstance(event := server.next_event(), h11.Data):
            payload += event.data
    except h11.RemoteProtocolError as exc:
        event = exc
    if isinstance(event, h11.RemoteProtocolError):
        # h11 judges the framing fields among the trailers; we leave them out, so that nobody can.
        assert got.error is not None or "Transfer-Encoding" in str(event) or "Content-Length" in str(event)
        return
    if got.done:
        assert isinstance(event, h11.EndOfMessage)
        assert (payload, damaged[got.used :]) == (got.payload, server.trailing_data[0])
    elif got.error is None:
        assert event is h11.NEED_DATA

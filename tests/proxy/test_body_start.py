"""proxy/body_start.py: what a pool may see of a body."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.proxy.body_start import MAX_BYTES, MAX_FRAMED_BYTES, BodyStart
from steelyard.wire.chunked import ChunkScanner
from steelyard.wire.http1 import scan_request
from tests.fakes import chunks, request

JSON = "Content-Type: application/json"


def a_start(*fields: str) -> BodyStart:
    head = scan_request(request("POST / HTTP/1.1", *fields), 0, 65536, 100, False, False)
    assert head is not None
    return BodyStart(head)


def of_length(size: int) -> BodyStart:
    return a_start(JSON, f"Content-Length: {size}")


def test_a_field_is_there_when_the_body_is_whole_and_not_before() -> None:
    start = of_length(10)
    start.take(b'{"a":')
    start.take(b' "b"}')
    assert (True, None) == (start.wanted, start.value("a"))
    start.end()
    assert (False, "b", None) == (start.wanted, start.value("a"), start.value("b"))


@pytest.mark.parametrize(
    "fields",
    [
        (JSON,),  # no body
        (JSON, "Content-Length: 0"),
        (JSON, f"Content-Length: {MAX_BYTES + 1}"),
        ("Content-Length: 8",),
        ("Content-Type: text/plain", "Content-Length: 8"),
        (JSON, "Content-Encoding: gzip", "Content-Length: 8"),
        (JSON, "Content-Encoding: identity, br", "Transfer-Encoding: chunked"),
        (JSON, JSON, "Content-Length: 8"),
    ],
)
def test_for_a_body_that_could_not_be_read_nobody_needs_to_wait(fields: tuple[str, ...]) -> None:
    start = a_start(*fields)
    assert not start.wanted
    start.take(b'{"a": 1}')
    start.end()
    assert start.value("a") is None


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_a_coding_that_is_none_is_none(coding: str) -> None:
    start = a_start(JSON, f"Content-Encoding: {coding}", "Content-Length: 8")
    start.take(b'{"a": 1}')
    start.end()
    assert "1" == start.value("a")


def padded(size: int) -> bytes:
    return b'{"a": "x"' + b" " * (size - 10) + b"}"


def test_a_body_of_the_largest_length_is_read() -> None:
    start = of_length(MAX_BYTES)
    start.take(padded(MAX_BYTES))
    assert start.wanted
    start.end()
    assert "x" == start.value("a")


def test_a_chunked_one_too_and_one_byte_more_is_too_much() -> None:
    exact, longer = a_start(JSON, "Transfer-Encoding: chunked"), a_start(JSON, "Transfer-Encoding: chunked")
    exact.take(chunks(padded(MAX_BYTES)))
    assert exact.wanted
    exact.end()
    longer.take(chunks(padded(MAX_BYTES + 1), end=False))
    assert not longer.wanted
    longer.take(b"0\r\n\r\n")
    longer.end()
    assert ("x", None) == (exact.value("a"), longer.value("a"))


def test_framing_is_held_within_a_bound_too() -> None:
    """A byte a chunk, with an extension: the data alone would let twenty times as much be held."""
    start = a_start(JSON, "Transfer-Encoding: chunked")
    piece = b"1;x\r\na\r\n"
    for _ in range(MAX_FRAMED_BYTES // len(piece)):
        start.take(piece)
    assert start.wanted
    start.take(piece)
    assert not start.wanted


@given(st.lists(st.integers(0, 80), max_size=6), st.booleans())
def test_however_a_chunked_body_is_cut_it_is_the_same(cuts: list[int], trailers: bool) -> None:
    """As the client's connection tells it: with held trailers in a piece of their own."""
    body = chunks(b'{"a"', b': "', b'bc"}', end=False) + (b"0\r\nX: y\r\n\r\n" if trailers else b"0\r\n\r\n")
    start = a_start(JSON, "Transfer-Encoding: chunked")
    scanner = ChunkScanner()
    edges = [0, *sorted(cut for cut in cuts if cut < len(body)), len(body)]
    for at, end in pairwise(edges):
        data = body[at:end]
        scanner.feed(data, 0)
        if scanner.passed:
            start.take(data[: scanner.passed])
        if scanner.tail:
            start.take(scanner.tail)
    assert scanner.done
    start.end()
    assert "bc" == start.value("a")

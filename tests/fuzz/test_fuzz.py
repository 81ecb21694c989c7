"""tests/fuzz: what judges the parsers is judged itself, and what is found is made small."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fuzz.bodies import decoded
from tests.fuzz.builds import imported
from tests.fuzz.corpus import minimised, needed
from tests.fuzz.lines import fields, kept_in_order, one_meaning
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"0\r\n\r\n", (b"", 5)),
        (b"3;x\r\nabc\r\n0\r\nA: b\r\n\r\nGET", (b"abc", 21)),
        (b"", "more"),
        (b"3\r\nab", "more"),
        (b"0\r\nA: b\r\n", "more"),
        (b"0x3\r\nabc\r\n", "bad"),
        (b"3\r\nabcd", "bad"),
        (b"3;a\nb", "bad"),
        (b"0\r\n: b\r\n", "bad"),
        (b"1" * 16, "bad"),
        (b"1;" + b"a" * 4097, "bad"),
        (b"0\r\n" + b"A: b\r\n" * 51, "bad"),
    ],
)
def test_the_independent_decoder_knows_chunks(body: bytes, expected: Any) -> None:
    assert expected == decoded(body)


def test_a_build_that_is_wrong_about_anything_is_found() -> None:
    good = imported()
    wrong = dataclasses.replace(good, query=SimpleNamespace(query_value=lambda target, name: "x"))
    TARGETS["query"].run([good], b"a=1")
    with pytest.raises(AssertionError):
        TARGETS["query"].run([wrong], b"a=1")


def test_builds_that_differ_are_found() -> None:
    good = imported()

    class Scanner(good.chunked.ChunkScanner):  # type: ignore[misc, name-defined]
        def __init__(self, decode: bool = False) -> None:
            raise good.errors.ProtocolError(good.errors.BAD_REQUEST, "always")

    other = dataclasses.replace(good, name="other", chunked=SimpleNamespace(ChunkScanner=good.chunked.ChunkScanner))
    TARGETS["chunked"].run([good, other], b"0\r\n\r\n")
    other = dataclasses.replace(other, chunked=SimpleNamespace(ChunkScanner=Scanner))
    with pytest.raises(good.errors.ProtocolError):
        TARGETS["chunked"].run([good, other], b"0\r\n\r\n")


@pytest.mark.parametrize("line", [b"A : b", b": b", b"A: b\0", b"A b", b" folded", b"A: b\nC: d"])
def test_a_line_that_is_no_field_is_found(line: bytes) -> None:
    with pytest.raises(AssertionError, match="no field"):
        fields(b"GET / HTTP/1.1\r\n" + line + b"\r\n\r\n")


def test_a_field_that_is_there_twice_and_two_framings_are_found() -> None:
    one_meaning([(b"host", b"a"), (b"x", b"1"), (b"x", b"2"), (b"content-length", b"1")])
    with pytest.raises(AssertionError, match="twice"):
        one_meaning([(b"host", b"a"), (b"host", b"b")])
    with pytest.raises(AssertionError, match="two framings"):
        one_meaning([(b"content-length", b"1"), (b"transfer-encoding", b"chunked")])


def test_a_line_that_nobody_sent_or_in_another_order_is_found() -> None:
    data = b"GET / HTTP/1.1\r\nA: b\r\nC: d\r\n\r\n"
    kept_in_order([b"A: b\r\n", b"C: d\r\n"], data)
    for kept in ([b"C: d\r\n", b"A: b\r\n"], [b"A: bC: d\r\n"]):
        with pytest.raises(AssertionError):
            kept_in_order(kept, data)


def test_what_was_found_is_made_small_and_plain() -> None:
    assert b"xy" == minimised(b"0123456789xy0123456789", lambda data: b"xy" in data, 1000)
    assert b"xaay" == minimised(b"x01y", lambda data: len(data) == 4 and data[0] == 120 and data[3] == 121, 1000)


def test_of_many_inputs_the_short_ones_that_reach_something_new_are_needed() -> None:
    def run(data: bytes) -> object:
        return imported().paths.readings("/" + data.decode("latin-1"))

    assert [b"", b"%61"] == needed([b"a", b"", b"aaa", b"%61", b"%62"], run)

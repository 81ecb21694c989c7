"""Framing and smuggling: cases 1 to 15 of what a proxy must get right. What it does then is tested in tests/proxy.

The numbers are names, by which tests of several rooms refer to the same case; the source of each stands with it.
"""

import pytest

from steelyard import errors
from steelyard.wire.headers import request_bytes
from steelyard.wire.peer import Peer
from tests.wire.three_ways import (
    feed,
    get,
    lines,
    read_body,
    read_request,
    refused_body,
    refused_request,
    refused_response,
)

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "fields",
    [
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 0"],
        [b"transfer-encoding: CHUNKED", b"content-length: 5"],
        [b"Content-Length: 5", b"Connection: Content-Length", b"Transfer-Encoding: chunked"],
        [b"Content-Length: 5", b"Connection: Transfer-Encoding", b"Transfer-Encoding: chunked"],
    ],
)
def test_case_01_length_and_coding_together_are_refused(fields: list[bytes]) -> None:
    """RFC 9112 section 6.1."""
    assert errors.BAD_REQUEST == refused_request(get(*fields))
    assert errors.BAD_REQUEST == refused_response(OK + lines(*fields))


@pytest.mark.parametrize(
    "fields",
    [
        [b"Content-Length: 5", b"Content-Length: 6"],
        [b"Content-Length: 5", b"Content-Length: 5"],
        [b"Content-Length: 5", b"X: y", b"content-length: 05"],
        [b"Content-Length: 5, 6"],
        [b"Content-Length: 5,5"],
        [b"Content-Length: 5,"],
        [b"Content-Length: ,5"],
    ],
)
def test_case_02_two_lengths_are_refused_even_if_they_agree(fields: list[bytes]) -> None:
    """RFC 9112 section 6.3."""
    assert errors.BAD_REQUEST == refused_request(get(*fields))
    assert errors.BAD_REQUEST == refused_response(OK + lines(*fields))


@pytest.mark.parametrize(
    "length",
    [
        b"+5",
        b"-5",
        b"-0",
        b"0_5",
        b"0x5",
        b"5h",
        b"5.0",
        b"5e0",
        b"five",
        b"5 5",
        b"5\t5",
        b"5;x",
        b'"5"',
        b"",
        b" ",
        b"\xd9\xa5",  # ARABIC-INDIC DIGIT FIVE
        b"\xef\xbc\x95",  # FULLWIDTH DIGIT FIVE
        b"\xb2",  # SUPERSCRIPT TWO
        b"\xa05",  # NO-BREAK SPACE
        b"5\xa0",
        b"5\x0b",
        b"\x0b5",
        b"5\x0c",
        b"\x0c5",
        b"5\x1c",
        b"\x1c5",
        b"5\x85",
        b"5\0",
        b"\x005",
        b"5\x7f",
    ],
)
def test_case_03_a_length_is_digits_and_nothing_else(length: bytes) -> None:
    """RFC 9110 section 8.6; Python's int() and str.strip() take nearly all of these."""
    assert errors.BAD_REQUEST == refused_request(get(b"Content-Length: " + length))
    assert errors.BAD_REQUEST == refused_response(OK + lines(b"Content-Length: " + length))


@pytest.mark.parametrize(
    "length", [b"18446744073709551621", b"9223372036854775808", b"1" + b"0" * 18, b"9" * 40, b"0" * 19]
)
def test_case_04_a_length_that_no_body_has_is_refused(length: bytes) -> None:
    """RFC 9110 section 8.6; 2^64 + 5 would wrap around to 5."""
    assert errors.BAD_REQUEST == refused_request(get(b"Content-Length: " + length))
    assert errors.BAD_REQUEST == refused_response(OK + lines(b"Content-Length: " + length))
    assert 10**18 - 1 == read_request(get(b"Content-Length: " + b"9" * 18)).content_length
    assert 5 == read_request(get(b"Content-Length: 000000000000000005")).content_length


@pytest.mark.parametrize(
    "coding",
    [
        b"xchunked",
        b"chunkedx",
        b"chunke",
        b'"chunked"',
        b"chunked;q=1",
        b"chunked;",
        b"chunked, identity",
        b"identity, chunked",
        b"gzip, chunked",
        b"chunked, chunked",
        b"chunked,",
        b",chunked",
        b"identity",
        b"gzip",
        b"chun ked",
        b"c\tunked",
        b"chunked\x80",
        b"\xe7hunked",
        b"",
        b"1",
    ],
)
def test_case_05_another_coding_is_not_implemented(coding: bytes) -> None:
    """RFC 9112 section 6.1; CVE-2022-32213."""
    assert errors.CODING_UNKNOWN == refused_request(get(b"Transfer-Encoding: " + coding))
    assert errors.CODING_UNKNOWN == refused_response(OK + lines(b"Transfer-Encoding: " + coding))


@pytest.mark.parametrize(
    "coding", [b"\0chunked", b"chunked\0", b"\x0bchunked", b"chunked\x0b", b"chunked\x0c", b"\x7fchunked"]
)
def test_case_05_a_coding_with_control_characters_is_refused(coding: bytes) -> None:
    assert errors.BAD_REQUEST == refused_request(get(b"Transfer-Encoding: " + coding))


def test_case_05_two_codings_in_two_fields_are_refused() -> None:
    assert errors.BAD_REQUEST == refused_request(get(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"))
    assert errors.CODING_UNKNOWN == refused_request(get(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"))
    assert errors.BAD_REQUEST == refused_request(get(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"))


@pytest.mark.parametrize("coding", [b"chunked", b"CHUNKED", b"ChUnKeD", b"\t chunked \t"])
def test_case_05_chunked_is_known_in_any_case(coding: bytes) -> None:
    assert read_request(get(b"Transfer-Encoding:" + coding)).chunked


@pytest.mark.parametrize(
    "line",
    [
        b"Transfer-Encoding: chunked\r\n , identity",
        b"X: y\r\n Transfer-Encoding: chunked",
        b"X: y\rTransfer-Encoding: chunked",
        b"X: y\nTransfer-Encoding: chunked",
        b"X: y\r\rTransfer-Encoding: chunked",
        b"X: y\n\rTransfer-Encoding: chunked",
        b"\rTransfer-Encoding: chunked",
        b"\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r",
        b"Transfer-Encoding: chunked\n",
        b"Transfer-Encoding\r\n: chunked",
        b"Transfer-Encoding: chunked\n\nGET /smuggled HTTP/1.1",
        b"Transfer-Encoding: chunked\r\rGET /smuggled HTTP/1.1",
    ],
)
def test_case_06_a_folded_line_and_a_bare_cr_or_lf_are_refused(line: bytes) -> None:
    """RFC 9112 sections 5.2 and 2.2; CVE-2022-32215, CVE-2023-30589."""
    assert errors.BAD_REQUEST == refused_request(get(line))
    assert errors.BAD_REQUEST == refused_response(OK + lines(line))


@pytest.mark.parametrize("space", [b" ", b"\t"])
def test_case_06_a_coding_that_would_follow_on_a_folded_line_is_missing(space: bytes) -> None:
    assert errors.CODING_UNKNOWN == refused_request(get(b"Transfer-Encoding:\r\n%bchunked" % space))


@pytest.mark.parametrize("space", [b" ", b"\t", b"  ", b"\x0b", b"\x0c", b"\xa0", b"\0"])
@pytest.mark.parametrize("name", [b"Transfer-Encoding", b"Content-Length", b"Host", b"X"])
def test_case_07_space_before_the_colon_is_refused(name: bytes, space: bytes) -> None:
    """RFC 9112 section 5.1; CVE-2021-22959."""
    assert errors.BAD_REQUEST == refused_request(get(name + space + b": 5"))
    assert errors.BAD_REQUEST == refused_response(OK + lines(name + space + b": 5"))


@pytest.mark.parametrize(
    "size",
    [
        b"0x5",
        b"0X5",
        b"x5",
        b"+5",
        b"-5",
        b"-0",
        b"5_0",
        b"0_5",
        b" 5",
        b"5 ",
        b"5\t",
        b"\t5",
        b"",
        b" ",
        b"5.",
        b"5,5",
        b"5h",
        b"g",
        b"\xef\xbc\x95",
        b"\xb2",
        b"5\0",
        b"\x0b5",
        b"10000000000000005",  # 2^64 + 5
        b"fffffffffffffffff",
        b"ffffffffffffffff",
        b"8000000000000000",
        b"0000000000000005",
        b";x",
    ],
)
def test_case_08_a_chunk_size_is_hexadecimal_digits_and_nothing_else(size: bytes) -> None:
    """RFC 9112 section 7.1; CVE-2023-47627."""
    assert errors.BAD_REQUEST == refused_body(size + b"\r\nhello\r\n0\r\n\r\n")
    assert errors.BAD_REQUEST == refused_body(b"1\r\nx\r\n" + size + b"\r\nhello\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello\rX0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\rXhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\rhello\r\n0\r\n\r\n",
        b"0\n\n",
        b"0\n\r\n",
        b"0\r\n\n",
        b"0\r\n\rX",
        b"0\r\n\r\r\n",
        b"0\rX",
    ],
)
def test_case_09_a_chunk_ends_where_its_size_says_and_in_crlf(body: bytes) -> None:
    """RFC 9112 section 7.1; CVE-2025-43859."""
    assert errors.BAD_REQUEST == refused_body(body)


@pytest.mark.parametrize(
    "extension", [b";\n", b";a\n", b";a=b\n\r", b';a="\n"', b";a\r", b";\rb", b";a\0", b";a\x7f", b";\x0b"]
)
def test_case_10_a_bare_lf_or_any_control_character_in_a_chunk_extension_is_refused(extension: bytes) -> None:
    """CVE-2025-22871 (Go), CVE-2025-55315 (Kestrel), CVE-2024-52304 (aiohttp)."""
    for size in (b"0", b"5"):
        assert errors.BAD_REQUEST == refused_body(size + extension + b"\r\nhello\r\n0\r\n\r\n")


def test_case_11_chunks_in_http_1_0_are_refused() -> None:
    """RFC 9112 section 6.1; CVE-2026-2835 (Pingora)."""
    assert errors.BAD_REQUEST == refused_request(
        b"POST / HTTP/1.0\r\n" + lines(b"Host: a", b"Transfer-Encoding: chunked")
    )
    assert errors.BAD_REQUEST == refused_response(b"HTTP/1.0 200 OK\r\n" + lines(b"Transfer-Encoding: chunked"))
    assert errors.CODING_UNKNOWN == refused_request(b"POST / HTTP/1.0\r\n" + lines(b"Transfer-Encoding: identity"))


@pytest.mark.parametrize("line", [b": x", b":", b":: x", b" : x", b": chunked"])
def test_case_12_a_field_without_a_name_is_refused(line: bytes) -> None:
    """CVE-2023-25725 (HAProxy)."""
    assert errors.BAD_REQUEST == refused_request(get(line, b"Content-Length: 5"))
    assert errors.BAD_REQUEST == refused_response(OK + lines(line, b"Content-Length: 5"))


@pytest.mark.parametrize("length", [256, 257, 270, 65536 + 14])
def test_case_13_a_name_that_would_overflow_a_byte_is_refused(length: int) -> None:
    """CVE-2021-40346 (HAProxy): its length modulo 256 made Content-Length of it."""
    name = b"Content-Length0".ljust(length, b"a")
    assert errors.BAD_REQUEST == refused_request(get(name + b":", b"Content-Length: 60"), max_bytes=1 << 20)


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nhel",
        b"5\r\nhello\r\n",
        b"5\r\nhello\r\n0",
        b"5\r\nhello\r\n0\r\n",
        b"5\r\nhello\r\n0\r\n\r",
        b"0\r\nX: y\r\n",
    ],
)
def test_case_14_a_body_that_is_cut_off_is_never_complete(body: bytes) -> None:
    """RFC 9112 section 8: whoever sees the connection end asks the scanner whether the body is done."""
    got = read_body(body)
    assert (False, None) == (got.done, got.error)


@pytest.mark.parametrize("second", [b"GET / HTTP/1.1\r\n\r\n", b"\0", b"GET / HTTP/9.9\r\n\r\n", b"GET /\n\n"])
def test_case_15_a_malformed_second_request_does_not_touch_the_first(second: bytes) -> None:
    """RFC 9112 section 9.3.2: the first is whole, the second is refused by itself."""
    first = get(b"X: y")
    head = read_request(first + second)
    assert len(first) == head.end
    refused_request(second)
    body = b"5\r\nhello\r\n0\r\n\r\n"
    assert (body, len(body), True) == ((got := feed([body + second])).sent, got.used, got.done)


def test_nothing_that_frames_a_message_is_ever_passed_on_as_the_client_wrote_it() -> None:
    peer = Peer("203.0.113.9", "http", [], "192.0.2.1:80")
    sent = request_bytes(read_request(get(b"cOnTeNt-LeNgTh:\t0007 ")), peer)
    assert b"Content-Length: 7\r\n" in sent
    assert b"cOnTeNt" not in sent

"""A. Framing and smuggling: where two programs in a row could read a message's end differently, it is refused.

docs/cases.md 1 to 15. Nothing is repaired (docs/design/005-strict-heads.md): every "400, or ..." of an RFC is a 400.
"""

import pytest

from tests.cases.scene import CHUNKED, GET, POST, faulty, never_whole, refused, see_refusal, seen
from tests.real.client import chunked, request
from tests.real.support import until

FIVE = b"\r\n\r\nhello"
LENGTH = b"Content-Length: 5\r\n"
CODING = b"Transfer-Encoding: chunked\r\n"
HELLO = chunked(b"hello")


@pytest.mark.parametrize("body", [HELLO, b"hello", b"0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n"])
@pytest.mark.parametrize("fields", [LENGTH + CODING, CODING + LENGTH, LENGTH + b"X: y\r\n" + CODING])
async def test_case_01_length_and_coding_together_are_refused(fields: bytes, body: bytes) -> None:
    """RFC 9112 6.1: the oldest way of smuggling; the RFC also allows "the coding alone, and close", which we do not."""
    await refused(POST + fields + b"\r\n" + body)


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: 5\r\nContent-Length: 5",
        b"Content-Length: 5\r\nX: y\r\ncontent-length: 0",
        b"Content-Length: 5, 6",
        b"Content-Length: 5, 5",
        b"Content-Length: 5,",
    ],
)
async def test_case_02_more_than_one_length_is_refused(fields: bytes) -> None:
    """RFC 9112 6.3: different ones must be; equal ones, which it lets a recipient join, are as well."""
    await refused(POST + fields + FIVE)


@pytest.mark.parametrize(
    "value",
    [
        b"+5",
        b"-5",
        b"-0",
        b"0_5",
        b"0x5",
        b"5.0",
        b"5e0",
        b"1 5",
        b"'5'",
        "\u0665".encode(),
        b"\xb2",
        b"\xa05",
        b"\x0b5",
        b"\x0c5",
        b"5\x0c",
        b"\x1c5",
        b"\x005",
        b"",
        b" ",
    ],
)
async def test_case_03_a_length_that_is_not_plain_digits_is_refused(value: bytes) -> None:
    """RFC 9110 8.6; HTTP Garden 10, 12, 16, 41: Python's int() and strip() accept nearly all of these."""
    await refused(POST + b"Content-Length: " + value + FIVE)


@pytest.mark.parametrize(
    "value", [b"18446744073709551621", b"9223372036854775808", b"1" * 19, b"5" * 40, b"0" * 40 + b"5"]
)
async def test_case_04_a_length_of_more_than_18_digits_is_refused(value: bytes) -> None:
    """RFC 9110 8.6: 2^64 + 5 is 5 to whoever counts in 64 bits."""
    await refused(POST + b"Content-Length: " + value + FIVE)


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (b"xchunked", 501),
        (b"chunkedx", 501),
        (b'"chunked"', 501),
        (b"chunked;q=1", 501),
        (b"chunked, identity", 501),
        (b"identity, chunked", 501),
        (b"chunked, chunked", 501),
        (b",chunked", 501),
        (b"gzip", 501),
        (b"identity", 501),
        (b"", 501),
        (b"\x00chunked", 400),
        (b"chunked\x00", 400),
        (b"\x0bchunked", 400),
        (b"chunked\x0b", 400),
        (b"\xffchunked", 501),
    ],
)
async def test_case_05_a_coding_that_is_not_just_chunked_is_refused(value: bytes, status: int) -> None:
    """RFC 9112 6.1, CVE-2022-32213: 501 for what is well formed and unknown, 400 for control characters."""
    await refused(POST + b"Transfer-Encoding: " + value + b"\r\n\r\n" + HELLO, status)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"Transfer-Encoding:\r\n chunked", 501),
        (b"Transfer-Encoding: chunked\r\n , identity", 400),
        (b"X: y\r\n Transfer-Encoding: chunked", 400),
        (b"X: y\r\n\tTransfer-Encoding: chunked", 400),
        (b"X: y\rTransfer-Encoding: chunked", 400),
        (b"X: y\nTransfer-Encoding: chunked", 400),
        (b"X: y\r\r\nTransfer-Encoding: chunked", 400),
        (b"X: y\n\r\nTransfer-Encoding: chunked", 400),
        (b"\nTransfer-Encoding: chunked", 400),
        (b"Transfer-Encoding: chunked\r", 400),
    ],
)
async def test_case_06_a_coding_that_hides_behind_line_ends_is_refused(fields: bytes, status: int) -> None:
    """RFC 9112 5.2 and 2.2; CVE-2022-32215, CVE-2023-30589: a fold, a bare CR, a bare LF are never a line's end."""
    await refused(POST + fields + b"\r\n\r\n" + HELLO, status)


@pytest.mark.parametrize(
    "line",
    [b"Content-Length : 5", b"Content-Length\t: 5", b"Transfer-Encoding : chunked", b" Content-Length: 5", b"X : y"],
)
async def test_case_07_a_space_before_the_colon_is_refused(line: bytes) -> None:
    """RFC 9112 5.1 (a MUST), CVE-2021-22959: to some it is another name, to others the same."""
    await refused(POST + line + FIVE)


SIZES = [b"0x5", b"+5", b"-5", b"0_5", b"", b" 5", b"5 ", b"5\t;a", b"g", b"\xef\xbc\x95", b"5.", b"10000000000000005"]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("size", SIZES)
async def test_case_08_a_chunk_size_that_is_not_plain_hex_is_refused(size: bytes, late: bool) -> None:
    """RFC 9112 7.1, CVE-2023-47627: signs, prefixes, underscores, nothing, other digits, 65 bits."""
    bad = size + b"\r\nhello\r\n0\r\n\r\n"
    if late:
        await never_whole(CHUNKED + b"3\r\nabc\r\n", bad)
    else:
        await refused(CHUNKED + bad)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "bad",
    [
        b"5\r\nhello!!\r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello\rX0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\rhello\r\n0\r\n\r\n",
        b"0\r\n\rX",
        b"0\r\n\n",
    ],
)
async def test_case_09_what_ends_a_chunk_is_cr_lf_and_nothing_else(bad: bytes, late: bool) -> None:
    """RFC 9112 7.1, CVE-2025-43859: h11 before 0.16 skipped two bytes behind the data without a look."""
    if late:
        await never_whole(CHUNKED + b"3\r\nabc\r\n", bad)
    else:
        await refused(CHUNKED + bad)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("extension", [b"a\nb", b"\n", b"a=\n", b"a\rb", b"a\x00b", b'a="\n"', b'a="\r"'])
async def test_case_10_a_line_end_in_a_chunk_extension_is_refused(extension: bytes, late: bool) -> None:
    """CVE-2025-22871, CVE-2025-55315, CVE-2024-52304; nginx 1.22 and HAProxy 2.6 accept a bare LF there."""
    bad = b"5;" + extension + b"\r\nhello\r\n0\r\n\r\n"
    if late:
        await never_whole(CHUNKED + b"3\r\nabc\r\n", bad)
    else:
        await refused(CHUNKED + bad)


@pytest.mark.parametrize(
    ("fields", "status"),
    [(CODING, 400), (CODING + b"Connection: keep-alive\r\n", 400), (b"Transfer-Encoding: identity\r\n", 501)],
)
async def test_case_11_a_coding_in_http_1_0_is_refused(fields: bytes, status: int) -> None:
    """RFC 9112 6.1: its framing is faulty by definition; CVE-2026-2835. HAProxy 2.6 forwards it."""
    await refused(b"POST / HTTP/1.0\r\nHost: a\r\n" + fields + b"\r\n" + HELLO, status)


@pytest.mark.parametrize("line", [b": x", b":", b":x: y", b"nonsense"])
async def test_case_12_a_field_without_a_name_is_refused(line: bytes) -> None:
    """CVE-2023-25725: HAProxy took an empty name for the head's end, and dropped the fields behind it."""
    await refused(POST + line + b"\r\nContent-Length: 5" + FIVE)


@pytest.mark.parametrize("size", [256, 270, 4096])
async def test_case_13_a_name_of_256_bytes_is_refused(size: int) -> None:
    """CVE-2021-40346: its length overflowed into a length of 0, and its beginning is that of a Content-Length."""
    name = b"Content-Length0".ljust(size, b"a")
    await refused(POST + name + b": 5\r\nContent-Length: 5" + FIVE)


async def test_case_13_a_name_of_255_bytes_is_passed_on() -> None:
    """The limit is a limit, and no less."""
    name = "content-length0".ljust(255, "a")
    assert "5" == (await seen(request("POST", "/", f"{name}: 5", body=b"hello"))).get(name)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    "part",
    [
        b"Content-Length: 10\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n",
    ],
)
async def test_case_14_a_body_that_breaks_off_is_no_request(part: bytes, reset: bool) -> None:
    """RFC 9112 8: the backend's connection is closed, so that it cannot be taken for a complete one."""
    async with faulty() as (lb, (one,)):
        client = await lb.client()
        client.send(POST + part)
        await until(lambda: one.requests and one.requests[0].body)
        client.reset() if reset else client.eof()
        await until(lambda: one.open == 0)
        assert [False] == [seen.whole for seen in one.requests]
        assert ["client_gone"] == lb.words()


async def test_case_14_a_head_that_breaks_off_reaches_nobody() -> None:
    """RFC 9112 8: a head is sent on when all of it is there."""
    async with faulty() as (lb, (one,)):
        client = await lb.client()
        client.send(POST + b"Content-Length: 0\r\n")
        client.eof()
        assert b"" == await client.rest()
        assert 200 == (await lb.ask("/after")).status
        assert ["/after"] == [seen.target for seen in one.requests]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(
    "second", [b"GARBAGE\r\n\r\n", GET + b"\r\n", CHUNKED + b"xyz\r\n", b"\x00" * 10 + b"\r\n\r\n", b"GET /a b\r\n\r\n"]
)
async def test_case_15_behind_a_good_request_a_bad_one_is_refused(second: bytes, together: bool) -> None:
    """RFC 9112 9.3.2: the answers come in order, then the connection ends; what stands behind is never read."""
    async with faulty() as (lb, (one,)):
        client = await lb.client()
        first = request("GET", "/first")
        client.send(first + second + request("GET", "/third") if together else first)
        assert b"one" == (await client.answer()).body
        if not together:
            client.send(second + request("GET", "/third"))
        await see_refusal(client, 400)
        assert ["/first"] == [seen.target for seen in one.requests]

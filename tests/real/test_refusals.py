"""Requests that break the rules: the right status and a close that lets it be read, and nothing reaches a backend.

Each row of the tables is a case of docs/cases.md A, B or H (its number comes first), sent to a balancer whose backend
records every connection. Where a request breaks the rules only within its body, its head may have gone out; then
what the backend sees is a connection that ends, never a request that is whole.
"""

from typing import Final

import pytest

from tests.real.backends import Talk, backend
from tests.real.client import Client, chunked, request
from tests.real.support import one_pool, running, until

GET: Final = b"GET / HTTP/1.1\r\n"
POST: Final = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED_POST: Final = POST + b"Transfer-Encoding: chunked\r\n\r\n"
FIVE: Final = b"\r\n\r\nhello"


def length(value: bytes) -> bytes:
    return POST + b"Content-Length: " + value + FIVE


def coding(value: bytes) -> bytes:
    return POST + b"Transfer-Encoding: " + value + b"\r\n\r\n" + chunked(b"hello")


def field(line: bytes) -> bytes:
    return GET + b"Host: a\r\n" + line + b"\r\n\r\n"


HEADS: Final[dict[str, tuple[int, bytes]]] = {
    # A: framing and smuggling
    "1 length and coding": (400, POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"hello")),
    "1 coding and length": (400, POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + chunked(b"hello")),
    "2 two lengths": (400, POST + b"Content-Length: 5\r\nContent-Length: 6" + FIVE),
    "2 two equal lengths": (400, POST + b"Content-Length: 5\r\nContent-Length: 5" + FIVE),
    "2 a list of lengths": (400, length(b"5, 6")),
    "2 a list of equal lengths": (400, length(b"5, 5")),
    "3 plus": (400, length(b"+5")),
    "3 minus": (400, length(b"-5")),
    "3 underscore": (400, length(b"0_5")),
    "3 hexadecimal": (400, length(b"0x5")),
    "3 arabic digit": (400, length("\u0665".encode())),
    "3 no-break space": (400, length(b"\xa05")),
    "3 vertical tab": (400, length(b"\x0b5")),
    "3 form feed": (400, length(b"5\x0c")),
    "3 file separator": (400, length(b"\x1c5")),
    "3 empty": (400, length(b"")),
    "3 space within": (400, length(b"1 5")),
    "3 fraction": (400, length(b"5.0")),
    "4 2^64 + 5": (400, length(b"18446744073709551621")),
    "4 forty digits": (400, length(b"5" * 40)),
    "4 forty zeros and a five": (400, length(b"0" * 40 + b"5")),
    "5 xchunked": (501, coding(b"xchunked")),
    "5 quoted": (501, coding(b'"chunked"')),
    "5 parameter": (501, coding(b"chunked;q=1")),
    "5 chunked, identity": (501, coding(b"chunked, identity")),
    "5 chunked twice": (501, coding(b"chunked, chunked")),
    "5 gzip": (501, coding(b"gzip, chunked")),
    "5 identity": (501, coding(b"identity")),
    "5 empty": (501, coding(b"")),
    "5 two fields": (
        400,
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"hello"),
    ),
    "5 NUL before": (400, coding(b"\x00chunked")),
    "5 vertical tab before": (400, coding(b"\x0bchunked")),
    "5 vertical tab behind": (400, coding(b"chunked\x0b")),
    "6 folded": (501, coding(b"\r\n chunked")),
    "6 folded behind another": (400, field(b"X: a\r\n Transfer-Encoding: chunked")),
    "6 behind a bare CR": (400, field(b"X: a\rTransfer-Encoding: chunked")),
    "6 behind a bare LF": (400, field(b"X: a\nTransfer-Encoding: chunked")),
    "6 lines that end in LF alone": (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    "6 a head that ends in LF alone": (400, GET + b"Host: a\r\n\n"),
    "7 space before the colon": (400, POST + b"Content-Length : 5" + FIVE),
    "7 tab before the colon": (400, POST + b"Transfer-Encoding\t: chunked\r\n\r\n" + chunked(b"hello")),
    "7 space before the name": (400, GET + b" Host: a\r\n\r\n"),
    "11 coding in HTTP/1.0": (400, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"hello")),
    "12 empty name": (400, field(b": x")),
    "12 a line without a colon": (400, field(b"nonsense")),
    "13 a name of 270 bytes": (400, field(b"Content-Length0" + b"a" * 255 + b": 5")),
    # B: header fields and request lines
    "16 no Host": (400, GET + b"\r\n"),
    "16 two Hosts": (400, GET + b"Host: a\r\nHost: a\r\n\r\n"),
    "16 a list of Hosts": (400, GET + b"Host: a, b\r\n\r\n"),
    "16 a Host with a path": (400, GET + b"Host: a/b\r\n\r\n"),
    "16 a Host with a user": (400, GET + b"Host: a@b\r\n\r\n"),
    "16 a Host with a space": (400, GET + b"Host: a b\r\n\r\n"),
    "17 an authority with a user": (400, b"GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n"),
    "17 no authority": (400, b"GET http:///x HTTP/1.1\r\nHost: b\r\n\r\n"),
    "17 another scheme": (400, b"GET ftp://b/ HTTP/1.1\r\nHost: b\r\n\r\n"),
    "18 a fragment": (400, b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    "19 NUL in a value": (400, field(b"X: a\x00b")),
    "19 CR in a value": (400, field(b"X: a\rb")),
    "19 LF in a value": (400, field(b"X: a\nb")),
    "19 DEL in a value": (400, field(b"X: a\x7fb")),
    "19 NUL in a name": (400, field(b"X\x00: a")),
    "19 NUL in the target": (400, b"GET /a\x00b HTTP/1.1\r\nHost: a\r\n\r\n"),
    "19 a space in the target": (400, b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    "19 bytes over 127 in the target": (400, "GET /ä HTTP/1.1\r\nHost: a\r\n\r\n".encode()),
    "19 a NUL in the method": (400, b"G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "27 TRACE": (405, b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "27 CONNECT": (405, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    "27 a star that is not for OPTIONS": (400, b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    "HTTP/0.9": (400, b"GET /\r\n"),
    "HTTP/2's preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/1.2": (505, b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    "lower-case version": (400, b"GET / http/1.1\r\nHost: a\r\n\r\n"),
    "two spaces": (400, b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a TLS hello": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x55" * 32),
    # limits
    "75 20,000 fields": (431, GET + b"Host: a\r\n" + b"".join(b"x%d: y\r\n" % i for i in range(20_000)) + b"\r\n"),
    "101 fields": (431, GET + b"Host: a\r\n" + b"x: y\r\n" * 100 + b"\r\n"),
    "a field of 40 KiB": (431, field(b"X: " + b"y" * 40_960)),
    "88 17 Via lines": (508, field(b"\r\n".join([b"Via: 1.1 steelyard"] * 17))),
    "a target of 40 KiB": (414, b"GET /" + b"y" * 40_960 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
}

CHUNKS: Final[dict[str, bytes]] = {
    "8 hexadecimal prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "8 plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "8 minus": b"-5\r\nhello\r\n0\r\n\r\n",
    "8 underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "8 empty": b"\r\nhello\r\n0\r\n\r\n",
    "8 65 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "8 space before": b" 5\r\nhello\r\n0\r\n\r\n",
    "8 space behind": b"5 \r\nhello\r\n0\r\n\r\n",
    "9 longer than its size": b"5\r\nhello!!\r\n0\r\n\r\n",
    "9 two bytes in place of CRLF": b"5\r\nhelloXX0\r\n\r\n",
    "9 CR without LF": b"5\r\nhello\rX0\r\n\r\n",
    "9 LF alone behind the size": b"5\nhello\r\n0\r\n\r\n",
    "9 LF alone behind the data": b"5\r\nhello\n0\r\n\r\n",
    "10 bare LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "10 bare CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "10 NUL in an extension": b"5;a\x00b\r\nhello\r\n0\r\n\r\n",
    "75 an extension of 64 KiB": b"5;" + b"a" * 65_536 + b"\r\nhello\r\n0\r\n\r\n",
    "a trailer without a colon": b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n",
    "a folded trailer": b"5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n",
    "trailers that end in LF": b"5\r\nhello\r\n0\r\nX: a\n\r\n",
}


@pytest.mark.parametrize("name", HEADS)
async def test_a_head_that_breaks_the_rules_is_refused_and_reaches_nobody(name: str) -> None:
    """A status, `Connection: close`, nothing more, a FIN; the next client's request is the first one that arrives."""
    status, raw = HEADS[name]
    async with backend() as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(raw)
        await see_refusal(client, status)
        assert [] == behind.talks
        assert 200 == (await lb.ask("/after")).status
        assert ["/after"] == [seen.target for seen in behind.requests]


@pytest.mark.parametrize("name", CHUNKS)
async def test_a_chunked_body_that_breaks_the_rules_with_its_head_reaches_nobody(name: str) -> None:
    """What came together with the head is judged before any of it is sent on."""
    async with backend() as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(CHUNKED_POST + CHUNKS[name])
        await see_refusal(client, 400)
        if len(CHUNKS[name]) < 16_384:  # more than that comes in several reads, and the head goes out with the first
            assert [] == behind.talks
        assert 200 == (await lb.ask("/after")).status
        assert ["/after"] == [seen.target for seen in behind.requests]


@pytest.mark.parametrize("name", CHUNKS)
async def test_a_chunked_body_that_breaks_the_rules_later_never_becomes_a_whole_request(name: str) -> None:
    """Its head and first chunk are with the backend already: they are all that it ever gets."""
    async with backend(read_all) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(CHUNKED_POST + b"3\r\nabc\r\n")
        await until(lambda: behind.talks and b"abc\r\n" in behind.talks[0].received)
        client.send(CHUNKS[name])
        await see_refusal(client, 400)
        await until(lambda: behind.talks[0].how != "open")
        assert behind.talks[0].received.endswith(b"\r\n\r\n3\r\nabc\r\n") or name.startswith("75")
        assert b"0\r\n\r\n" not in behind.talks[0].received
        assert 1 == len(behind.talks)
        assert ["bad_request"] == lb.words()


@pytest.mark.parametrize(
    "rest", [b"Content-Length: 10\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"]
)
async def test_a_body_that_breaks_off_ends_the_backends_connection(rest: bytes) -> None:
    """Case 14: half a body and a FIN are no request."""
    async with backend(read_all) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(POST + rest)
        await until(lambda: behind.talks and b"hello" in behind.talks[0].received)
        client.eof()
        assert b"" == await client.rest()
        await until(lambda: behind.talks[0].how != "open")
        assert behind.talks[0].received.endswith(rest.partition(b"\r\n\r\n")[2])
        assert ["client_gone"] == lb.words()


@pytest.mark.parametrize("second", [b"GARBAGE\r\n\r\n", GET + b"\r\n", CHUNKED_POST + b"xyz\r\n"])
async def test_behind_a_good_request_a_bad_one_is_refused_after_the_first_answer(second: bytes) -> None:
    """Case 15: both came in one read; the answers come in order, then the connection ends."""
    async with backend() as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(request("GET", "/first") + second + request("GET", "/third"))
        first = await client.answer()
        assert (200, b"one") == (first.status, first.body)
        await see_refusal(client, 400)
        assert ["/first"] == [seen.target for seen in behind.requests]


async def test_the_refusal_is_readable_while_the_client_still_sends() -> None:
    """A close that resets would take the answer with it: what still comes is read and thrown away (RFC 9112 9.6)."""
    async with backend() as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(POST + b"Content-Length: 5000000\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(50):
            client.send(b"x" * 100_000)
        await see_refusal(client, 400)
        assert [] == behind.talks


async def test_a_head_is_refused_as_soon_as_it_cannot_become_good() -> None:
    """No blank line is waited for: a limit that only counts at the end is none."""
    async with backend() as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(GET + b"Host: a\r\nX: " + b"y" * 33_000)
        await see_refusal(client, 431)
        assert [] == behind.talks


async def test_many_tiny_chunks_cost_little() -> None:
    """Case 75: 200,000 chunks of one byte are passed on as they came, in no more than a few reads' time."""
    body = b"1\r\nx\r\n" * 200_000 + b"0\r\n\r\n"

    async def script(talk: Talk) -> None:
        await talk.head()
        before = len(talk.received)
        while len(talk.received) < before + len(body):
            await talk.read()
        assert talk.received.endswith(b"\r\n\r\n" + body)
        talk.answer(b"thanks")

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        await client.send_all(CHUNKED_POST + body)
        assert b"thanks" == (await client.answer()).body


async def read_all(talk: Talk) -> None:
    """Record whatever comes, and answer nothing."""
    await talk.ended()


async def see_refusal(client: Client, status: int) -> None:
    """The status, a word of its end, nothing behind it, and a FIN, for a reset would raise here."""
    answer = await client.answer()
    assert status == answer.status
    assert "close" == answer.get("connection")
    assert b"" == await client.rest()

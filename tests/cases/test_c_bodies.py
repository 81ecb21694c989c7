"""C. Bodies, trailers, interim answers, upgrades: where one message ends, and what comes before and beside it.

docs/cases.md 28 to 39.
"""

import asyncio
from typing import Any

import pytest

from steelyard.testing import faults
from steelyard.testing.faults import Answer, Fault
from steelyard.testing.talk import Talk
from tests.cases.scene import faulty, seen
from tests.real.backends import Talk as Raw
from tests.real.backends import backend
from tests.real.client import Answer as Got
from tests.real.client import Client, chunked, request
from tests.real.kernel import in_kernel
from tests.real.support import one_pool, running, until

EXPECT = request("POST", "/", "Expect: 100-continue", "Content-Length: 5")
ASK = request("GET", "/", "Connection: Upgrade", "Upgrade: raw")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n"


async def test_case_28_the_backend_answers_an_expectation_and_the_body_is_sent_once() -> None:
    """RFC 9110 10.1.1: passed on, since it is the backend that decides; one 100, and then the answer."""
    async with faulty() as (lb, (one,)):
        client = await lb.client()
        for _ in range(2):
            client.send(EXPECT)
            assert 100 == (await client.head()).status
            client.send(b"hello")
            assert (200, b"one") == ((answer := await client.head()).status, await body_of(client, answer))
        assert [b"hello", b"hello"] == [seen.body for seen in one.requests]
        assert ["100-continue"] * 2 == [seen.get("expect") for seen in one.requests]


async def test_case_28_a_client_that_does_not_wait_is_not_asked_to() -> None:
    """RFC 9110 10.1.1: its body comes with the head; it is sent on once, and no second request is made of it."""
    async with faulty() as (lb, (one,)):
        client = await lb.client()
        client.send(EXPECT + b"hello" + request("GET", "/next"))
        assert [200, 200] == [(await client.answer()).status for _ in range(2)]
        assert [("/", b"hello"), ("/next", b"")] == [(seen.target, seen.body) for seen in one.requests]


@pytest.mark.parametrize("end", [faults.Reset(), faults.Close()])
async def test_case_28_after_a_100_the_body_is_not_sent_to_another_backend(end: Fault) -> None:
    """RFC 9110 10.1.1: something of an answer was passed on, so it is a 502, though PUT could be repeated."""
    async with faulty("one", "two") as (lb, (one, two)):
        one.fault = end
        client = await lb.client()
        client.send(request("PUT", "/", "Expect: 100-continue", "Content-Length: 5"))
        assert 100 == (await client.head()).status
        client.send(b"hello")
        assert 502 == (await client.answer()).status
        assert ([b"hello"], []) == ([seen.body for seen in one.requests], two.requests)


@pytest.mark.parametrize("status", [417, 413, 401])
async def test_case_29_a_refused_expectation_is_passed_on_and_the_connection_ends(status: int) -> None:
    """RFC 9110 10.1.1: whether the body still comes cannot be known, so nothing behind it is read as a request."""
    async with faulty() as (lb, (one,)):
        one.fault = Answer(status, body=b"no", early=True)
        client = await lb.client()
        client.send(EXPECT)
        answer = await client.answer()
        assert (status, b"no", "close") == (answer.status, answer.body, answer.get("connection"))
        client.send(request("GET", "/smuggled"))
        assert b"" == await client.rest()
        await until(lambda: one.open == 0)
        assert [b""] == [seen.body for seen in one.requests]


@pytest.mark.parametrize("statuses", [(100,), (102,), (103,), (103, 103, 102), (199,)])
async def test_case_30_interim_answers_that_nobody_asked_for_leave_the_final_one_whole(statuses: Any) -> None:
    """RFC 9110 15.2: they are passed on. nginx 1.22 delivered nothing in 3 s."""
    async with faulty() as (lb, (one,)):
        one.fault = faults.Interim(statuses, {"Link": "</a>"})
        client = await lb.client()
        for _ in range(2):
            client.get()
            for status in statuses:
                early = await client.head()
                assert (status, "</a>") == (early.status, early.get("link"))
            answer = await client.answer()
            assert (200, b"one", None) == (answer.status, answer.body, answer.get("link"))
        assert 1 == one.connections


async def test_case_30_a_client_of_http_1_0_sees_none() -> None:
    """RFC 9110 15.2: HTTP/1.0 knows no interim answers (a MUST NOT)."""
    async with faulty() as (lb, (one,)):
        one.fault = faults.Interim((100, 103))
        client = await lb.client()
        client.send(request("GET", "/", version="1.0"))
        assert (await client.rest()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("stray", [b"", b"evil", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"])
@pytest.mark.parametrize("length", [b"", b"Content-Length: 4\r\n", b"Transfer-Encoding: chunked\r\n"])
@pytest.mark.parametrize(("method", "status"), [("GET", b"204 No"), ("GET", b"304 No"), ("HEAD", b"200 OK")])
async def test_case_31_an_answer_without_a_body_stays_one(
    method: str, status: bytes, length: bytes, stray: bytes
) -> None:
    """RFC 9110 6.4.1: whatever its head says and whatever stands behind it, the next exchange is clean."""
    async with faulty() as (lb, (one,)):
        one.script([faults.Raw(b"HTTP/1.1 " + status + b"\r\n" + length + b"\r\n" + stray)])
        client = await lb.client()
        assert int(status[:3]) == (await client.ask(method=method)).status
        assert b"one" == (await client.ask()).body
        assert ["-", "-"] == lb.words()
        if stray:
            assert 2 == one.connections


@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
async def test_case_32_a_client_of_http_1_0_gets_a_plain_body_and_a_close(framing: Any) -> None:
    """RFC 9112 6.1: it knows no chunks. HAProxy 2.6 sends them."""
    async with faulty() as (lb, (one,)):
        one.fault = Answer(body=b"hello world", framing=framing)
        client = await lb.client()
        client.send(request("GET", "/", version="1.0"))
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
        assert b"hello world" == body
        assert b"transfer-encoding" not in head.lower()


@pytest.mark.parametrize(
    "evil",
    ["Content-Length: 9", "Transfer-Encoding: x", "Host: evil", "X-Forwarded-For: 9.9.9.9", "Connection: close"],
)
async def test_case_33_request_trailers_are_passed_on_as_trailers(evil: str) -> None:
    """RFC 9110 6.5.1: never merged into the head, and without those that frame, route or vouch."""
    async with backend() as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        trailers = f"X-Sum: 1\r\n{evil}\r\n\r\n".encode()
        client.send(request("POST", "/", "Transfer-Encoding: chunked") + b"2\r\nab\r\n0\r\n" + trailers)
        assert 200 == (await client.answer()).status
        (got,) = behind.requests
        assert b"2\r\nab\r\n0\r\nX-Sum: 1\r\n\r\n" == got.framed
        assert (None, "example.org") == (got.get("x-sum"), got.get("host"))


async def test_case_34_answer_trailers_arrive() -> None:
    """RFC 9110 6.5: gRPC-web has its status there. Those that frame go no further."""
    async with faulty() as (lb, (one,)):
        one.fault = faults.Raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: grpc-status\r\n\r\n"
            b"5\r\nhello\r\n0\r\ngrpc-status: 0\r\nContent-Length: 9\r\ngrpc-message: fine\r\n\r\n"
        )
        client = await lb.client()
        for _ in range(2):
            answer = await client.ask("/", "TE: trailers")
            assert (b"hello", [b"grpc-status: 0", b"grpc-message: fine"]) == (answer.body, answer.trailers)
        assert ["trailers"] * 2 == [seen.get("te") for seen in one.requests]


@pytest.mark.parametrize("coding", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
async def test_case_35_an_answer_that_comes_during_the_upload_is_delivered_at_once(coding: str) -> None:
    """RFC 9110 7.5: and the backend's connection is not used again, where the rest would be the next request."""
    async with faulty() as (lb, (one,)):
        one.script([Answer(403, body=b"enough", early=True)])
        client = await lb.client()
        client.send(request("POST", "/", coding) + (b"x" * 1000 if "Length" in coding else b"5\r\nhello\r\n"))
        answer = await client.answer()
        assert (403, b"enough", "close") == (answer.status, answer.body, answer.get("connection"))
        client.send(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"" == await client.rest()
        assert b"one" == (await lb.ask()).body
        assert (2, ["/", "/"]) == (one.connections, [seen.target for seen in one.requests])
        await until(lambda: one.open == 1)


async def test_case_36_a_101_that_nobody_asked_for_is_a_502() -> None:
    """RFC 9110 15.2.2 (a MUST NOT)."""
    async with faulty() as (lb, (one,)):
        one.script([faults.Raw(SWITCH)])
        client = await lb.client()
        assert [502, 200] == [(await client.ask()).status for _ in range(2)]
        assert ["bad_answer", "-"] == lb.words()


async def test_case_36_bytes_behind_an_upgrade_request_wait_for_the_101() -> None:
    """CVE-2026-2833: were it refused, they would be a request, read by our rules and not by the backend's."""
    early: list[bytes] = []

    async def script(talk: Raw) -> None:
        await talk.request()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                early.append(await talk.read())
        talk.send(SWITCH)
        await talk.ended()

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(ASK + b"early")
        assert 101 == (await client.head()).status
        client.send(b" late")
        client.eof()
        await until(lambda: behind.talks[0].how != "open")
        assert [] == early
        assert behind.talks[0].received.endswith(b"\r\n\r\nearly late")


async def test_case_36_what_stands_behind_the_101_arrives_and_so_does_all_that_waited_for_it() -> None:
    """CVE-2026-2833: a megabyte that came early, more than may wait here, is held back and then passed on."""

    async def script(talk: Raw) -> None:
        await talk.request()
        talk.send(SWITCH + b"hello")
        await talk.ended()

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(ASK + b"e" * 1_000_000)
        client.eof()
        assert 101 == (await client.head()).status
        assert b"hello" == await client.rest()
        assert behind.talks[0].received.endswith(b"\r\n\r\n" + b"e" * 1_000_000)


@pytest.mark.parametrize(
    "fields",
    [
        ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"],
        ["Connection: Upgrade", "Upgrade: H2C"],
        ["Connection: Upgrade", "Upgrade: websocket, h2c"],
        ["Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket"],
        ["Upgrade: websocket"],
    ],
)
async def test_case_37_h2c_and_what_connection_does_not_name_is_not_passed_on(fields: list[str]) -> None:
    """RFC 9113 3.1: behind an upgrade to h2c nothing would be checked. HAProxy 2.6 forwards it."""
    got = await seen(request("GET", "/", *fields))
    assert [None] * 3 == [got.get(name) for name in ("upgrade", "connection", "http2-settings")]


class Pour(Fault):
    """A large answer, and how much of it has left."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.poured = 0

    async def play(self, talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self.size)
        while self.poured < self.size:
            await talk.send(bytes(16_384))
            self.poured += 16_384


@pytest.mark.slow
async def test_case_38_who_reads_slowly_holds_the_backend_back() -> None:
    """A GiB of an answer (the case has 10) for a reader that takes 1 KiB at a time, 64 times: what lies in the balancer
    stays below 256 KiB; the rest that was sent is in the kernel's buffers, which /proc/net/tcp counts."""
    async with faulty() as (lb, (one,)):
        pour = one.fault = Pour(2**30)
        client = await lb.client(receive_buffer=4096)
        client.get()
        await client.head()
        before = -1
        for _ in range(64):
            await client.reader.readexactly(1024)
            await asyncio.sleep(0.01)
        while before != pour.poured:
            before = pour.poured
            await asyncio.sleep(0.2)
        assert pour.poured < 2**26
        assert pour.poured - in_kernel(lb.port, one.port) < 256 * 1024


class Events(Fault):
    """Server-sent events, each of them when the one before was read."""

    def __init__(self) -> None:
        self.read = asyncio.Event()

    async def play(self, talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(20):
            await talk.send(chunked(b"data: %d\n\n" % number)[:-5])
            await self.read.wait()
            self.read.clear()
        await talk.send(b"0\r\n\r\n")


async def test_case_39_each_event_of_a_stream_comes_as_it_is_sent() -> None:
    """HTML 9.2: an event that waited in a buffer would wait for ever here, since the next one is sent when it was read.
    (That it takes less than 50 ms is for a machine that is not shared: tests/real/test_bodies.py takes the median.)"""
    async with faulty() as (lb, (one,)):
        events = one.fault = Events()
        client = await lb.client()
        client.get()
        await client.head()
        for number in range(20):
            event = (await client.reader.readuntil(b"\n\n\r\n")).partition(b"\r\n")[2]
            assert b"data: %d\n\n\r\n" % number == event
            events.read.set()
        assert b"0\r\n\r\n" == await client.reader.readexactly(5)


async def body_of(client: Client, answer: Got) -> bytes:
    """The body of an answer whose head was read."""
    length = answer.get("content-length")
    assert length is not None
    return await client.reader.readexactly(int(length))

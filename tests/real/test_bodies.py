"""Bodies and trailers, whole, in pieces and streamed: docs/cases.md C 31 to 34 and 39."""

import asyncio

import pytest

from tests.real.backends import Talk, backend
from tests.real.client import chunked, request
from tests.real.support import one_pool, running


@pytest.mark.parametrize(
    ("method", "status"), [("GET", "204 No Content"), ("GET", "304 Not Modified"), ("HEAD", "200 OK")]
)
async def test_an_answer_without_a_body_stays_one(method: str, status: str) -> None:
    """Case 31: with a length in its head, and even with stray bytes behind it, the next exchange is clean."""

    async def script(talk: Talk) -> None:
        while True:
            asked = await talk.request()
            if asked.target == "/stray":
                talk.send(f"HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\n\r\nevil".encode())
            else:
                talk.answer(b"clean")

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        bare = await client.ask("/stray", method=method)
        assert int(status[:3]) == bare.status
        assert b"clean" == (await client.ask()).body
        assert 2 == len(behind.talks)


@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
async def test_an_http_1_0_client_gets_a_plain_body_and_a_close(framing: str) -> None:
    """Case 32: it knows no chunks; HAProxy 2.6 sends them all the same."""

    async def script(talk: Talk) -> None:
        await talk.request()
        if framing == "chunked":
            talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"hello ", b"world"))
        elif framing == "close":
            talk.send(b"HTTP/1.1 200 OK\r\n\r\nhello world")
        else:
            talk.answer(b"hello world")

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(request("GET", "/", version="1.0"))
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
        assert b"hello world" == body
        assert b"transfer-encoding" not in head.lower()


async def test_an_http_1_0_client_that_asks_for_it_keeps_its_connection() -> None:
    """As ab -k does."""
    async with backend() as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        for _ in range(2):
            client.send(request("GET", "/", "Connection: keep-alive", version="1.0"))
            answer = await client.answer()
            assert (b"one", "keep-alive") == (answer.body, answer.get("connection"))


async def test_an_http_1_0_backends_answer_ends_where_its_connection_does() -> None:
    """For an HTTP/1.1 client it is chunked, so that the client's connection can be kept."""

    async def script(talk: Talk) -> None:
        await talk.request()
        talk.send(b"HTTP/1.0 200 OK\r\n\r\nhello")

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        for _ in range(2):
            answer = await client.ask()
            assert (b"hello", "chunked", True) == (answer.body, answer.get("transfer-encoding"), answer.whole)


async def test_trailers_pass_as_trailers_without_those_that_frame_or_vouch() -> None:
    """Cases 33 and 34: never merged into a head, and gRPC-web's arrive."""
    trailers = b"X-Sum: 1\r\nContent-Length: 9\r\nHost: evil\r\nX-Forwarded-For: 9.9.9.9\r\n"

    async def script(talk: Talk) -> None:
        await talk.request()
        talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\ngrpc-status: 0\r\n\r\n")

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(
            request("POST", "/", "TE: trailers", "Transfer-Encoding: chunked")
            + b"2\r\nab\r\n0\r\n"
            + trailers
            + b"\r\n"
        )
        answer = await client.answer()
        assert (b"hello", [b"grpc-status: 0"]) == (answer.body, answer.trailers)
        assert b"2\r\nab\r\n0\r\nX-Sum: 1\r\n\r\n" == behind.requests[0].framed
        assert "trailers" == behind.requests[0].get("te")


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_537, 3_000_000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_bodies_of_any_size_pass_unchanged_both_ways(size: int, framing: str) -> None:
    """What was sent is what arrives, byte for byte, and the connection is good for the next request."""
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]

    async def script(talk: Talk) -> None:
        while True:
            asked = await talk.request()
            if framing == "length":
                talk.answer(asked.body)
            else:
                pieces = [asked.body[at : at + 70_001] for at in range(0, size, 70_001)]
                talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(*pieces))

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        for _ in range(2):
            if framing == "length":
                raw = request("POST", "/", f"Content-Length: {size}") + body
            else:
                raw = request("POST", "/", "Transfer-Encoding: chunked") + chunked(*([body] if size else []))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(client.send_all(raw))
                got = tasks.create_task(client.answer())
            answer = got.result()
            assert (True, size) == (answer.whole, len(answer.body))
            assert body == answer.body
        assert 1 == len(behind.talks)


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Fast and slow ones, with and without bodies, sent in one write."""

    async def script(talk: Talk) -> None:
        while True:
            asked = await talk.request()
            await asyncio.sleep(0.02 if asked.target.endswith("0") else 0.0)
            talk.answer(asked.target.encode() + asked.body)

    paths = [f"/{number}" for number in range(30)]
    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(
            b"".join(
                request("POST" if n % 3 == 0 else "GET", path, body=b"!" if n % 3 == 0 else b"")
                for n, path in enumerate(paths)
            )
        )
        got = [(await client.answer()).body.decode() for _ in paths]
        assert [path + ("!" if n % 3 == 0 else "") for n, path in enumerate(paths)] == got


async def test_events_of_a_stream_come_one_by_one() -> None:
    """Case 39: the next event is sent only when the client has read the one before, so none can wait in a buffer."""
    read = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.request()
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(20):
            data = b"data: %d\n\n" % number
            talk.send(b"%x\r\n%b\r\n" % (len(data), data))
            await read.wait()
            read.clear()
        talk.send(b"0\r\n\r\n")

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.get()
        await client.head()
        loop = asyncio.get_running_loop()
        waits = []
        for number in range(20):
            began = loop.time()
            assert b"data: %d\n\n\r\n" % number == (await client.reader.readuntil(b"\n\n\r\n")).partition(b"\r\n")[2]
            waits.append(loop.time() - began)
            read.set()
        assert b"0\r\n\r\n" == await client.reader.readexactly(5)
        assert sorted(waits)[10] < 0.05


async def test_the_head_of_an_answer_does_not_wait_for_its_body() -> None:
    """A client that is to see 200 at once (a download's page, an event stream) does."""
    seen = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.request()
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        await seen.wait()
        talk.send(b"hello")

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.get()
        assert 200 == (await client.head()).status
        seen.set()
        assert b"hello" == await client.reader.readexactly(5)


async def test_a_route_limits_the_size_of_a_body() -> None:
    """413 for a length that says so, and for chunks as soon as they are too many; the backend gets no whole request."""
    routes = [{"pool": "web", "max_body": "1KiB"}]
    async with backend() as behind, running(one_pool(behind.port, listener={"routes": routes})) as lb:
        for raw in (
            request("POST", "/", "Content-Length: 1025"),
            request("POST", "/", "Transfer-Encoding: chunked") + chunked(b"x" * 700, b"x" * 700),
        ):
            client = await lb.client()
            client.send(raw)
            answer = await client.answer()
            assert (413, "close") == (answer.status, answer.get("connection"))
            assert b"" == await client.rest()
        assert [] == behind.requests
        client = await lb.client()
        client.send(request("POST", "/", body=b"x" * 1024))
        assert 200 == (await client.answer()).status

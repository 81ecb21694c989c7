"""Timeouts and slow clients: docs/cases.md D with short deadlines, and each with a close that says what happened.

Deadlines are met up to a tick (50 ms) late and never early; a machine that stands still may add seconds to that, so
lower bounds are exact and upper ones are wide. Where a time-out must not end yet, the clock is in the test's hand.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from time import monotonic
from typing import Final

from tests.real.backends import Talk, backend
from tests.real.client import HOST, Client, request
from tests.real.support import HandClock, free_port, one_pool, running, until

# Longer than a machine stands still, and shorter than the time-outs that are not meant: 15 s at least.
SLACK_S: Final = 10.0


def timeouts(**given: str) -> dict[str, object]:
    return {"timeouts": given}


@asynccontextmanager
async def taking(at_least_s: float) -> AsyncIterator[None]:
    """What is within takes this long, and not much longer."""
    began = monotonic()
    yield
    took_s = monotonic() - began
    assert at_least_s <= took_s < at_least_s + SLACK_S


async def silence(talk: Talk) -> None:
    """Read, and never answer."""
    await talk.ended()


async def test_a_head_that_dribbles_is_refused_at_the_total_deadline() -> None:
    """Case 40: each byte comes well within the deadline; the head as a whole does not."""
    async with backend() as behind, running(one_pool(behind.port, listener=timeouts(head="400ms"))) as lb:
        client = await lb.client()
        async with taking(0.4):
            dribble = asyncio.get_running_loop().create_task(_dribble(client))
            answer = await client.answer()
        dribble.cancel()
        assert (408, "close") == (answer.status, answer.get("connection"))
        assert b"" == await client.rest()
        assert [] == behind.talks


async def _dribble(client: Client) -> None:
    for byte in request("GET", "/" + "x" * 1000):
        client.send(bytes([byte]))
        await asyncio.sleep(0.03)


async def test_a_body_that_stops_coming_is_refused() -> None:
    """Case 41: 408, and the backend gets its connection ended, not a request."""
    async with backend(silence) as behind, running(one_pool(behind.port, listener=timeouts(body="300ms"))) as lb:
        client = await lb.client()
        client.send(request("POST", "/", "Content-Length: 100") + b"x")
        async with taking(0.3):
            answer = await client.answer()
        assert (408, "close") == (answer.status, answer.get("connection"))
        await until(lambda: behind.talks[0].how != "open")
        assert ["request_timeout"] == lb.words()


async def test_a_client_that_does_not_read_loses_its_connection_and_the_backend_is_let_go() -> None:
    """Case 42: the slot at the backend is free again, and the record says whose fault it was."""

    async def script(talk: Talk) -> None:
        await talk.request()
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while talk.how == "open":
            talk.send(b"x" * 100_000)
            await talk.writer.drain()

    async with backend(script) as behind, running(one_pool(behind.port, listener=timeouts(write="400ms"))) as lb:
        client = await lb.client(receive_buffer=4096)
        client.get()
        await until(lambda: lb.records)
        assert ["client_too_slow"] == lb.words()
        assert 0 == lb.in_flight()


async def test_a_client_that_reads_slowly_keeps_its_connection() -> None:
    """Case 42: the deadline is for standing still, not for being slow: five minutes, and never one without a byte."""
    clock = HandClock()

    async def script(talk: Talk) -> None:
        await talk.request()
        talk.answer(b"x" * 6_000_000)
        await talk.writer.drain()
        await talk.ended()

    async with backend(script) as behind, running(one_pool(behind.port, listener=timeouts(write="60s")), clock) as lb:
        client = await lb.client(receive_buffer=65_536)
        client.get()
        await client.head()
        got = 0
        while got < 6_000_000:
            before = got
            while got < min(before + 600_000, 6_000_000):
                got += len(await client.reader.read(400_000))
            clock.turn(30.0)
        assert 6_000_000 == got
        await until(lambda: lb.records)
        assert ["-"] == lb.words()


async def test_slow_clients_take_nothing_from_others() -> None:
    """Case 43: beside 100 idle and 50 dribbling connections a request is answered as always."""
    async with backend() as behind, running(one_pool(behind.port)) as lb:
        slow = [await lb.client() for _ in range(150)]
        for client in slow[:50]:
            client.send(b"GET / HT")
        for _ in range(20):
            for client in slow[:50]:
                client.send(b"x")
            assert 200 == (await lb.ask()).status


async def test_a_silent_backend_is_a_504_at_its_time() -> None:
    """Case 44: one try, since the work may still be going on over there."""
    pool = timeouts(response="500ms")
    async with backend(silence) as one, backend(silence) as two, running(one_pool(one.port, two.port, pool=pool)) as lb:
        async with taking(0.5):
            assert 504 == (await lb.ask()).status
        assert 1 == len(one.talks) + len(two.talks)
        assert ["response_timeout"] == lb.words()


async def test_an_answer_that_stops_is_a_truncation() -> None:
    """Case 44, later: 200 was said, so the missing rest must be seen as missing."""
    clock = HandClock()

    async def script(talk: Talk) -> None:
        await talk.request()
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        await talk.ended()

    async with backend(script) as behind, running(one_pool(behind.port, pool=timeouts(response="60s")), clock) as lb:
        client = await lb.client()
        client.get()
        assert 200 == (await client.head()).status
        assert b"hello" == await client.reader.readexactly(5)
        clock.turn(59.9)
        assert [] == lb.words()
        clock.turn(0.2)
        with suppress(ConnectionResetError):  # as good an end as a FIN
            assert b"" == await client.rest()
        assert ["truncated"] == lb.words()


async def test_a_backend_that_dribbles_is_ended_by_the_total_timeout() -> None:
    """Every read comes in time; the exchange as a whole does not."""

    async def script(talk: Talk) -> None:
        await talk.request()
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while talk.how == "open" and not talk.writer.is_closing():
            talk.send(b"x")
            await asyncio.sleep(0.02)

    pool = timeouts(response="60s", total="600ms")
    async with backend(script) as behind, running(one_pool(behind.port, pool=pool)) as lb:
        async with taking(0.6):
            answer = await lb.ask()
        assert not answer.whole
        assert ["total_timeout"] == lb.words()


async def test_a_black_hole_is_left_for_the_next_backend_after_the_connect_timeout() -> None:
    """Case 45: a listen queue that is full swallows the SYN; nothing of the request was sent, so POST moves too."""
    with closing(socket.socket()) as hole:
        hole.bind((HOST, 0))
        hole.listen(0)
        stuck = [socket.socket() for _ in range(4)]
        try:
            for sock in stuck:  # fill the queue
                sock.setblocking(False)
                sock.connect_ex(hole.getsockname())
            pool = timeouts(connect="400ms")
            async with backend() as behind, running(one_pool(hole.getsockname()[1], behind.port, pool=pool)) as lb:
                client = await lb.client()
                async with taking(0.4):
                    client.send(request("POST", "/", body=b"hello"))
                    answer = await client.answer()
                assert (200, 2) == (answer.status, lb.records[0].tries)
        finally:
            for sock in stuck:
                sock.close()


async def test_without_another_backend_a_black_hole_is_a_504() -> None:
    """Case 45, and the connection that was being opened is given up."""
    with closing(socket.socket()) as hole:
        hole.bind((HOST, 0))
        hole.listen(0)
        stuck = [socket.socket() for _ in range(4)]
        try:
            for sock in stuck:
                sock.setblocking(False)
                sock.connect_ex(hole.getsockname())
            async with running(one_pool(hole.getsockname()[1], pool=timeouts(connect="300ms"))) as lb:
                assert 504 == (await lb.ask()).status
                assert ["connect_timeout"] == lb.words()
        finally:
            for sock in stuck:
                sock.close()


async def test_an_idle_client_is_closed_with_a_fin() -> None:
    """Case 46: a reset would look like a fault."""
    clock = HandClock()
    async with backend() as behind, running(one_pool(behind.port, listener=timeouts(idle="60s")), clock) as lb:
        client = await lb.client()
        for _ in range(3):
            assert 200 == (await client.ask()).status
            clock.turn(59.9)
        clock.turn(0.2)
        assert b"" == await client.rest()


async def test_a_client_that_never_asks_is_closed_too() -> None:
    """Case 46: an open connection is not a request."""
    async with running(one_pool(free_port(), listener=timeouts(idle="300ms"))) as lb:
        client = await lb.client()
        assert b"" == await client.rest()
        assert [] == lb.records


async def test_a_kept_backend_connection_is_closed_at_its_idle_timeout() -> None:
    """Before the backend's own timeout closes it in the very moment of its next use."""
    clock = HandClock()
    async with backend() as behind, running(one_pool(behind.port, pool=timeouts(idle="20s")), clock) as lb:
        for _ in range(3):
            assert 200 == (await lb.ask()).status
            clock.turn(19.9)
        assert 1 == len(behind.talks)
        clock.turn(0.2)
        await until(lambda: behind.talks[0].how != "open")

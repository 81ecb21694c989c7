"""Upgraded connections: docs/cases.md 36, 37, 85 and 86, with the `websockets` package and with raw bytes."""

import asyncio
import random
from contextlib import suppress
from typing import Final

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.real.backends import Talk, backend
from tests.real.client import HOST, Client, request
from tests.real.support import HandClock, one_pool, running, until

ASK: Final = request("GET", "/", "Connection: Upgrade", "Upgrade: raw")
SWITCH: Final = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n"


async def switched(client: Client) -> None:
    """Ask for a tunnel and see it open."""
    client.send(ASK)
    head = await client.head()
    assert (101, "Upgrade", "raw") == (head.status, head.get("connection"), head.get("upgrade"))


async def to_tunnel(talk: Talk) -> None:
    asked = await talk.request()
    assert ("Upgrade", "raw") == (asked.get("connection"), asked.get("upgrade"))
    talk.send(SWITCH)


async def echo(talk: Talk) -> None:
    """A tunnel that sends back what comes, and ends when that ends."""
    await to_tunnel(talk)
    while data := await talk.read():
        talk.send(data)
        await talk.writer.drain()
    talk.send(b"bye")


async def test_a_websocket_echoes_pings_and_closes_with_its_code() -> None:
    """Case 85: text, ten random megabytes, a ping, and the server's close code and reason."""
    blob = random.Random(85).randbytes(10_000_000)

    async def handler(connection: ServerConnection) -> None:
        async for message in connection:
            if message == "close":
                await connection.close(4001, "as you wish")
                return
            await connection.send(message)

    async with serve(handler, HOST, 0, max_size=None, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with running(one_pool(port)) as lb:
            url = f"ws://{HOST}:{lb.port}/chat"
            async with connect(url, max_size=None, compression=None) as socket:
                await socket.send("hello")
                assert "hello" == await socket.recv()
                await socket.send(blob)
                assert blob == await socket.recv()
                await (await socket.ping())
                await socket.send("close")
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.recv()
            assert closed.value.rcvd is not None
            assert (4001, "as you wish") == (closed.value.rcvd.code, closed.value.rcvd.reason)
            await until(lambda: lb.records)
            assert [(101, "-")] == [(record.status, record.word) for record in lb.records]


async def test_many_websockets_at_once_keep_apart() -> None:
    """Each says its own name a hundred times, all at the same time."""

    async def handler(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(handler, HOST, 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with running(one_pool(port)) as lb:

            async def talk(name: int) -> None:
                async with connect(f"ws://{HOST}:{lb.port}/") as socket:
                    for number in range(100):
                        await socket.send(f"{name} {number}")
                        assert f"{name} {number}" == await socket.recv()

            async with asyncio.TaskGroup() as tasks:
                for name in range(20):
                    tasks.create_task(talk(name))


async def test_bytes_pass_a_tunnel_unchanged_one_by_one_and_by_the_megabyte() -> None:
    """Case 85."""
    chance = random.Random(85)
    small, large = chance.randbytes(300), chance.randbytes(10_000_000)
    async with backend(echo) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        await switched(client)
        for byte in small:
            client.send(bytes([byte]))
            assert bytes([byte]) == await client.reader.readexactly(1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.send_all(large))
            got = tasks.create_task(client.reader.readexactly(len(large)))
        assert large == got.result()


async def test_a_client_that_has_said_all_still_hears_the_backend() -> None:
    """Case 85: its half-close goes through, and what the backend says after it comes back."""
    async with backend(echo) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        await switched(client)
        client.send(b"x" * 100_000)
        client.eof()
        assert b"x" * 100_000 + b"bye" == await client.rest()
        await until(lambda: lb.records)
        assert "eof" == behind.talks[0].how


async def test_a_backend_that_has_said_all_still_hears_the_client() -> None:
    """Case 85, the other way round."""

    async def script(talk: Talk) -> None:
        await to_tunnel(talk)
        talk.send(b"all I have")
        talk.writer.write_eof()
        await talk.ended()

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        await switched(client)
        assert b"all I have" == await client.rest()
        await client.send_all(b"y" * 3_000_000)
        client.eof()
        await until(lambda: behind.talks[0].how == "eof")
        assert behind.talks[0].received.endswith(b"y" * 3_000_000)
        assert ["-"] == lb.words()


async def test_bytes_behind_an_upgrade_request_wait_for_the_101() -> None:
    """Case 36, CVE-2026-2833: were it refused, they would be a request, read by our rules and not by the backend's."""
    seen: list[bytes] = []

    async def script(talk: Talk) -> None:
        await talk.request()
        try:
            async with asyncio.timeout(0.1):
                seen.append(await talk.read())
        except TimeoutError:
            seen.append(b"")
        talk.send(SWITCH)
        await talk.ended()

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(ASK + b"early")
        assert 101 == (await client.head()).status
        client.send(b" late")
        client.eof()
        await until(lambda: behind.talks[0].how != "open")
        assert [b""] == seen
        assert behind.talks[0].received.endswith(b"\r\n\r\nearly late")


@pytest.mark.parametrize("status", ["426 Upgrade Required", "200 OK"])
async def test_after_a_failed_upgrade_the_connection_speaks_http(status: str) -> None:
    """Case 86: what follows is parsed, and refused if it is no request."""

    async def script(talk: Talk) -> None:
        while True:
            await talk.request()
            talk.answer(b"no", status=status)

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(ASK + request("GET", "/next") + b"\x81\x05hello\r\n\r\n")
        assert [int(status[:3])] * 2 + [400] == [(await client.answer()).status for _ in range(3)]
        assert b"" == await client.rest()
        assert ["/", "/next"] == [seen.target for seen in behind.requests]


@pytest.mark.parametrize(
    "fields",
    [
        ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"],
        ["Connection: Upgrade", "Upgrade: websocket, h2c"],
        ["Upgrade: websocket"],
        ["Connection: Upgrade", "Upgrade: websocket", "Content-Length: 5"],
    ],
)
async def test_upgrades_that_would_pass_our_rules_by_are_not_passed_on(fields: list[str]) -> None:
    """Case 37: never h2c, nothing that Connection does not name, nothing with a body."""
    async with backend() as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(request("GET", "/", *fields) + b"hello" * ("Content-Length: 5" in fields))
        assert 200 == (await client.answer()).status
        got = behind.requests[0]
        assert (None, None, None) == (got.get("upgrade"), got.get("connection"), got.get("http2-settings"))


async def test_a_tunnel_without_a_byte_ends_at_its_own_timeout() -> None:
    """Case 85: not at the shorter ones for requests and answers."""
    clock = HandClock()
    pool = {"timeouts": {"response": "10s", "tunnel": "80s"}}
    listener = {"timeouts": {"head": "10s", "idle": "10s"}}
    async with backend(echo) as behind, running(one_pool(behind.port, pool=pool, listener=listener), clock) as lb:
        client = await lb.client()
        await switched(client)
        for _ in range(3):
            clock.turn(79.9)
            client.send(b"x")
            assert b"x" == await client.reader.readexactly(1)
        clock.turn(79.9)
        assert [] == lb.words()
        clock.turn(0.2)
        assert b"" == await client.rest()
        await until(lambda: behind.talks[0].how != "open")


@pytest.mark.parametrize("who", ["client", "backend"])
async def test_a_tunnel_whose_one_end_is_reset_ends_at_the_other(who: str) -> None:
    """Nothing is left open or in flight."""

    async def script(talk: Talk) -> None:
        await to_tunnel(talk)
        await talk.read()
        if who == "backend":
            talk.reset()
        else:
            await talk.ended()

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        await switched(client)
        client.send(b"x")
        await until(lambda: behind.talks[0].received.endswith(b"x"))
        if who == "client":
            client.reset()
            await until(lambda: behind.talks[0].how != "open")
        else:
            with suppress(ConnectionResetError):  # as good an end as a FIN
                assert b"" == await client.rest()
        await until(lambda: lb.records)

"""Clients that go away: their backend requests go with them. docs/cases.md F 61."""

import asyncio
import socket

import pytest

from tests.real.backends import Talk, echo_name
from tests.real.client import HOST, request
from tests.real.stage import stage
from tests.real.support import until


async def test_a_client_that_leaves_takes_its_backend_request_with_it() -> None:
    """While the answer is awaited, and in the midst of it: the backend's connection ends and is not kept (case 61)."""

    async def script(talk: Talk) -> None:
        asked = await talk.request()
        if asked.target == "/begun":
            talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
        await talk.ended()

    async with stage(script) as (lb, (one,)):
        for number, path in enumerate(["/waiting", "/begun"]):
            for leave in ("close", "reset"):
                client = await lb.client()
                client.get(path)
                count = 2 * number + (leave == "reset") + 1
                await until(lambda count=count: len(one.requests) == count)  # type: ignore[misc]
                if path == "/begun":
                    await client.head()
                client.close() if leave == "close" else client.reset()
                await until(lambda count=count: one.talks[count - 1].how != "open")  # type: ignore[misc]
        assert ["client_gone"] * 4 == lb.words()
        assert 4 == len(one.talks)


async def test_a_client_that_leaves_while_its_backend_is_dialled_leaves_nothing_behind() -> None:
    """Whatever moment it is: 40 clients go away a little later each."""
    async with stage(echo_name) as (lb, (one,)):
        for steps in range(40):
            client = await lb.client()
            client.get()
            for _ in range(steps % 8):
                await asyncio.sleep(0)
            client.reset()
        await until(lambda: lb.in_flight() == 0)
        assert 200 == (await lb.ask()).status
        assert len(one.talks) <= 41


@pytest.mark.parametrize("steps", range(6))
async def test_a_client_that_leaves_in_the_moment_of_its_refusal_raises_nothing(steps: int) -> None:
    """The backend's end is handled first, and the client's is there already: to close our half then fails."""
    client = socket.socket()

    async def script(talk: Talk) -> None:
        await talk.head()
        talk.writer.write_eof()
        for _ in range(steps):  # so many rounds of the loop; with one of them both ends come in the same
            await asyncio.sleep(0)
        client.close()
        await talk.ended()

    with client:
        async with stage(script) as (lb, _):
            client.connect((HOST, lb.port))
            client.sendall(request("POST", "/", "Content-Length: 1000") + b"x")
            await until(lambda: lb.records)
    assert lb.words()[0] in ("closed_early", "client_gone")

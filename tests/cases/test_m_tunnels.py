"""M. Tunnels: after a 101 no byte is ours.

docs/cases.md 85 to 87. Case 87 is held by an upgraded connection, and by one of a TCP listener, where a reset is passed
on as a reset. tests/real/test_tunnels.py has WebSockets by somebody else's implementation.
"""

import asyncio
import random
from contextlib import suppress

import pytest

from steelyard.testing import faults
from steelyard.testing.faults import Answer
from tests.cases.clock import Clock
from tests.cases.scene import faulty, see_refusal
from tests.real.backends import Backend, Talk, backend
from tests.real.client import Client, request
from tests.real.support import Running, one_pool, running, until

ASK = request("GET", "/", "Connection: Upgrade", "Upgrade: raw")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n"


async def to_tunnel(talk: Talk) -> None:
    asked = await talk.request()
    assert ("Upgrade", "raw") == (asked.get("connection"), asked.get("upgrade"))
    talk.send(SWITCH)


async def echo(talk: Talk) -> None:
    """A tunnel that sends back what comes, says bye when that ends, and ends."""
    await to_tunnel(talk)
    while data := await talk.read():
        talk.send(data)
        await talk.writer.drain()
    talk.send(b"bye")


async def listen(talk: Talk) -> None:
    """A tunnel that says nothing."""
    await to_tunnel(talk)
    await talk.ended()


async def switched(lb: Running) -> Client:
    """A client whose tunnel is open."""
    client = await lb.client()
    client.send(ASK)
    head = await client.head()
    assert (101, "Upgrade", "raw") == (head.status, head.get("connection"), head.get("upgrade"))
    return client


async def test_case_85_any_bytes_pass_unchanged_both_ways() -> None:
    """RFC 9110 7.8: 300 one by one, then ten random megabytes at once."""
    chance = random.Random(85)
    small, large = chance.randbytes(300), chance.randbytes(10_000_000)
    async with backend(echo) as behind, running(one_pool(behind.port)) as lb:
        client = await switched(lb)
        for byte in small:
            client.send(bytes([byte]))
            assert bytes([byte]) == await client.reader.readexactly(1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.send_all(large))
            got = tasks.create_task(client.reader.readexactly(len(large)))
        assert large == got.result()


async def test_case_85_a_tunnel_has_an_idle_timeout_of_its_own(clock: Clock) -> None:
    """Not the shorter ones for requests and answers, which pass twice meanwhile; and a byte begins it anew."""
    timeouts = {"response": "100ms", "tunnel": "800ms"}

    async def script(talk: Talk) -> None:
        await (echo(talk) if talk is talk.backend.talks[0] else talk.ended())

    async with backend(script) as behind, running(one_pool(behind.port, pool={"timeouts": timeouts})) as lb:
        client = await switched(lb)
        assert [504, 504] == [(await lb.ask()).status for _ in range(2)]
        began = clock()
        client.send(b"x")
        assert b"x" == await client.reader.readexactly(1)
        assert b"" == await client.rest()
        assert 0.8 <= clock() - began
        await until(lambda: behind.talks[0].how != "open")


async def test_case_85_a_tunnel_lives_through_a_reload_that_removes_its_backend() -> None:
    """And through one that changes its pool; requests go to the new backend meanwhile."""
    async with backend(echo) as old, backend(name="new") as new, running(one_pool(old.port)) as lb:
        client = await switched(lb)
        for config in (one_pool(old.port, new.port), one_pool(new.port)):
            await lb.balancer.reload(config)
            client.send(b"still there?")
            assert b"still there?" == await client.reader.readexactly(12)
        assert b"new" == (await lb.ask()).body
        client.eof()
        assert b"bye" == await client.rest()


@pytest.mark.parametrize("status", [426, 200, 404])
async def test_case_86_after_an_upgrade_that_fails_the_connection_speaks_http(status: int) -> None:
    """RFC 9110 7.8: what follows is read as requests, and refused where it is none."""
    async with faulty() as (lb, (one,)):
        one.fault = Answer(status, {"Upgrade": "raw", "Connection": "Upgrade"} if status == 426 else {})
        client = await lb.client()
        client.send(ASK + request("GET", "/next") + b"\x81\x05hello\r\n\r\n")
        assert [status, status] == [(await client.answer()).status for _ in range(2)]
        await see_refusal(client, 400)
        assert ["/", "/next"] == [seen.target for seen in one.requests]


async def test_case_86_a_backend_that_dies_in_place_of_a_101_is_a_502() -> None:
    """RFC 9110 15.6.3; and the bytes that waited for the 101 are a request again, and refused."""
    async with faulty() as (lb, (one,)):
        one.fault = faults.Reset("in head")
        client = await lb.client()
        client.send(ASK + b"early\r\n\r\n")
        assert 502 == (await client.answer()).status
        await see_refusal(client, 400)


@pytest.mark.parametrize("size", [0, 100_000, 3_000_000])
async def test_case_87_after_the_clients_fin_the_backend_can_still_send(size: int) -> None:
    """RFC 9293 3.6: what stands before the FIN arrives, then the FIN, and what is said after it comes back."""
    async with backend(echo) as behind, running(one_pool(behind.port)) as lb:
        client = await switched(lb)

        async def say() -> None:
            await client.send_all(b"x" * size)
            client.eof()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(say())
            got = tasks.create_task(client.rest())
        assert b"x" * size + b"bye" == got.result()
        assert "eof" == behind.talks[0].how
        await until(lambda: lb.records)
        assert ["-"] == lb.words()


async def test_case_87_after_the_backends_fin_the_client_can_still_send() -> None:
    """RFC 9293 3.6, the other way round; three megabytes behind the FIN are not lost."""

    async def script(talk: Talk) -> None:
        await to_tunnel(talk)
        talk.send(b"all I have")
        talk.writer.write_eof()
        await talk.ended()

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await switched(lb)
        assert b"all I have" == await client.rest()
        await client.send_all(b"y" * 3_000_000)
        client.eof()
        await until(lambda: behind.talks[0].how == "eof")
        assert behind.talks[0].received.endswith(b"y" * 3_000_000)
        assert ["-"] == lb.words()


@pytest.mark.parametrize("half_closed", [False, True])
async def test_case_87_a_reset_of_the_client_ends_the_backends_side(half_closed: bool) -> None:
    """RFC 9293 3.10.7: also where the backend has said all before."""

    async def script(talk: Talk) -> None:
        await to_tunnel(talk)
        if half_closed:
            talk.writer.write_eof()
        await talk.ended()

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await switched(lb)
        if half_closed:
            assert b"" == await client.rest()
        client.send(b"x")
        await heard(behind, b"x")
        client.reset()
        await until(lambda: behind.talks[0].how != "open")
        await until(lambda: lb.records)


async def test_case_87_a_reset_of_the_backend_ends_the_clients_side() -> None:
    """RFC 9293 3.10.7."""

    async def script(talk: Talk) -> None:
        await to_tunnel(talk)
        await talk.read()
        talk.reset()

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await switched(lb)
        client.send(b"x")
        with suppress(ConnectionResetError):
            assert b"" == await client.rest()
        await until(lambda: lb.records)
        assert behind.talks[0].received.endswith(b"x")


TCP = {"protocol": "tcp"}


async def plain_echo(talk: Talk) -> None:
    """Sends back what comes, says bye when that ends, and ends."""
    while data := await talk.read():
        talk.send(data)
        await talk.writer.drain()
    talk.send(b"bye")


@pytest.mark.parametrize("size", [0, 100_000, 3_000_000])
async def test_case_87_tcp_after_the_clients_fin_the_backend_can_still_send(size: int) -> None:
    """RFC 9293 3.6: what stands before the FIN arrives, then the FIN, and what is said after it comes back."""
    async with backend(plain_echo) as behind, running(one_pool(behind.port, listener=TCP)) as lb:
        client = await lb.client()

        async def say() -> None:
            await client.send_all(b"x" * size)
            client.eof()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(say())
            got = tasks.create_task(client.rest())
        assert b"x" * size + b"bye" == got.result()
        await until(lambda: behind.talks[0].how == "eof")
        await until(lambda: lb.records)
        assert ["-"] == lb.words()


async def test_case_87_tcp_after_the_backends_fin_the_client_can_still_send() -> None:
    """RFC 9293 3.6, the other way round; three megabytes behind the FIN are not lost."""

    async def script(talk: Talk) -> None:
        talk.send(b"all I have")
        talk.writer.write_eof()
        await talk.ended()

    async with backend(script) as behind, running(one_pool(behind.port, listener=TCP)) as lb:
        client = await lb.client()
        assert b"all I have" == await client.rest()
        await client.send_all(b"y" * 3_000_000)
        client.eof()
        await until(lambda: behind.talks[0].how == "eof")
        assert b"y" * 3_000_000 == behind.talks[0].received
        await until(lambda: lb.records)
        assert ["-"] == lb.words()


@pytest.mark.parametrize("by_client", [True, False])
async def test_case_87_tcp_a_reset_is_passed_on_as_one(by_client: bool) -> None:
    """RFC 9293 3.10.7."""

    async def script(talk: Talk) -> None:
        await talk.read()
        if not by_client:
            talk.reset()
        await talk.ended()

    async with backend(script) as behind, running(one_pool(behind.port, listener=TCP)) as lb:
        client = await lb.client()
        client.send(b"x")
        await until(lambda: behind.talks and behind.talks[0].received)
        if by_client:
            client.reset()
            await until(lambda: behind.talks[0].how == "reset")
        else:
            with pytest.raises(ConnectionResetError):
                await client.reader.read()
        await until(lambda: lb.records)


async def heard(behind: Backend, data: bytes) -> None:
    await until(lambda: behind.talks[0].received.endswith(data))

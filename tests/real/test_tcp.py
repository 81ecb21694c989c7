"""TCP listeners on real sockets: bytes, ends and resets pass; every policy chooses; unix sockets on both sides."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from steelyard.core import policies as _built_in  # noqa: F401 (registers them)
from steelyard.core.policy import names
from steelyard.embed import LoadBalancer
from tests.real.backends import Talk, backend
from tests.real.client import HOST, Client, reset
from tests.real.programs import output
from tests.real.support import ON_UVLOOP, Config, Running, free_ports, one_pool, running, until

POLICIES: Final = [name for name in names() if ":" not in name]


def tcp(*backends: Any, pool: dict[str, Any] | None = None, **listener: Any) -> Config:
    return one_pool(*backends, listener={"protocol": "tcp", **listener}, pool=pool)


async def echo(talk: Talk) -> None:
    """Sends back what comes; at its end says bye, and ends."""
    while data := await talk.read():
        talk.send(data)
        await talk.writer.drain()
    talk.send(b"bye")


async def say_name(talk: Talk) -> None:
    """Says its name, and then what comes."""
    talk.send(talk.backend.name.encode() + b"\n")
    await echo(talk)


@asynccontextmanager
async def two_backends() -> AsyncIterator[tuple[int, int]]:
    """The ports of `one` and `two`, which say their names."""
    async with backend(say_name, name="one") as one, backend(say_name, name="two") as two:
        yield one.port, two.port


async def name_of(lb: Running) -> str:
    """Which backend a new connection comes to."""
    client = await lb.client()
    name = (await client.reader.readline()).decode().strip()
    client.close()
    return name


@contextmanager
def black_hole() -> Iterator[int]:
    """A port where connecting comes to no end: its listener's queue is full, which swallows the SYN."""
    with ExitStack() as sockets:
        hole = sockets.enter_context(socket.socket())
        hole.bind((HOST, 0))
        hole.listen(0)
        for _ in range(4):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        yield hole.getsockname()[1]


async def test_ten_random_megabytes_pass_both_ways_and_the_end_behind_them() -> None:
    blob = random.Random(6).randbytes(10_000_000)
    async with backend(echo) as behind, running(tcp(behind.port)) as lb:
        client = await lb.client()

        async def send() -> None:
            await client.send_all(blob)
            client.eof()

        sending = asyncio.get_running_loop().create_task(send())
        assert blob + b"bye" == await client.rest()
        await sending
        await until(lambda: lb.records)
        (record,) = lb.records
        assert ("-", len(blob), len(blob) + 3) == (record.word, record.received, record.sent)


async def test_many_connections_at_once_keep_apart() -> None:
    async with two_backends() as (one, two), running(tcp(one, two)) as lb:

        async def talk(number: int) -> str:
            client = await lb.client()
            name = (await client.reader.readline()).decode().strip()
            mine = b"%d " % number * 2000
            for _ in range(5):
                await client.send_all(mine)
                assert mine == await client.reader.readexactly(len(mine))
            client.eof()
            assert b"bye" == await client.rest()
            return name

        async with asyncio.TaskGroup() as tasks:
            all_of_them = [tasks.create_task(talk(number)) for number in range(60)]
        assert ["one"] * 30 + ["two"] * 30 == sorted(task.result() for task in all_of_them)


async def test_a_reset_is_a_reset_on_the_other_side() -> None:
    ends: list[str] = []

    async def listen(talk: Talk) -> None:
        ends.append(await talk.ended())

    async def rude(talk: Talk) -> None:
        await talk.read()
        talk.send(b"half")
        await talk.writer.drain()
        talk.reset()

    async with backend(listen) as quiet, backend(rude) as breaks:
        async with running(tcp(quiet.port)) as lb:
            client = await lb.client()
            client.send(b"x")
            await until(lambda: lb.in_flight() == 1)
            reset(client.writer)
            await until(lambda: ends)
            assert ["reset"] == ends
        async with running(tcp(breaks.port)) as lb:
            client = await lb.client()
            client.send(b"x")
            assert b"half" == await client.reader.readexactly(4)
            with pytest.raises(ConnectionResetError):
                await client.reader.read()
            assert ["truncated"] == lb.words()


@pytest.mark.parametrize("ends", [False, True])
async def test_a_client_that_resets_while_we_connect_keeps_no_place_whatever_it_has_sent(ends: bool) -> None:
    with black_hole() as port:
        async with running(tcp(port, pool={"timeouts": {"connect": "1h"}})) as lb:
            client = await lb.client()
            client.send(b"early")
            if ends:
                client.eof()
            await until(lambda: lb.in_flight() == 1)
            await asyncio.sleep(0.05)  # it has been read by now, and is read no more
            reset(client.writer)
            await until(lambda: lb.in_flight() == 0)
            assert ["client_gone"] == lb.words()


async def test_a_client_that_has_only_said_all_waits_for_its_backend_like_any_other() -> None:
    with black_hole() as port:
        async with running(tcp(port, pool={"timeouts": {"connect": "1500ms"}})) as lb:
            client = await lb.client()
            client.send(b"all of it")
            client.eof()
            with pytest.raises(ConnectionResetError):
                await client.reader.read()
            assert ["connect_timeout"] == lb.words()


async def test_a_dead_backend_is_passed_over_and_none_at_all_is_a_reset() -> None:
    dead, other = free_ports(2)
    async with backend(say_name, name="one") as one, running(tcp(dead, one.port)) as lb:
        assert ["one"] * 3 == [await name_of(lb) for _ in range(3)], "three retries are always in the budget"
        await until(lambda: 3 == len(lb.records))
        assert {2} == {record.tries for record in lb.records}
    async with running(tcp(dead, other)) as lb:
        client = await lb.client()
        with pytest.raises(ConnectionResetError):
            await client.reader.read()
        assert ["connect_failed"] == lb.words()


@pytest.mark.parametrize("policy", POLICIES)
@ON_UVLOOP
async def test_every_policy_serves_connections(policy: str) -> None:
    async with two_backends() as (one, two), running(tcp(one, two, pool={"policy": policy})) as lb:
        found = [await name_of(lb) for _ in range(12)]
        if policy == "round_robin":
            assert ["one", "two"] * 6 == found
        elif lb.balancer.pool("web").key or policy in ("sticky_round_robin", "first"):
            assert 1 == len(set(found)), "one client, one backend"
        else:
            assert {"one", "two"} >= set(found)


async def test_least_connections_counts_open_connections() -> None:
    async with two_backends() as (one, two), running(tcp(one, two, pool={"policy": "least_connections"})) as lb:
        held = [await lb.client() for _ in range(6)]
        seen = [(await client.reader.readline()).decode().strip() for client in held]
        assert (3, 3) == (seen.count("one"), seen.count("two"))
        for client, name in zip(held, seen, strict=True):
            if name == "one":
                client.close()
        await until(lambda: lb.in_flight() == 3)
        assert "one" == await name_of(lb)


async def test_a_pool_that_is_full_resets_and_a_listener_that_is_full_lets_wait() -> None:
    async with backend(say_name, name="one") as one:
        full = {"address": f"127.0.0.1:{one.port}", "max_connections": 1}
        async with running(tcp(full)) as lb:
            first = await lb.client()
            assert b"one\n" == await first.reader.readline()
            second = await lb.client()
            with pytest.raises(ConnectionResetError):
                await second.reader.read()
            assert ["full"] == lb.words()
        async with running(tcp(one.port, max_connections=1)) as lb:
            first = await lb.client()
            assert b"one\n" == await first.reader.readline()
            second = await lb.client()
            waiting = asyncio.get_running_loop().create_task(second.reader.readline())
            await asyncio.sleep(0.1)
            assert not waiting.done()
            first.close()
            assert b"one\n" == await waiting


async def test_a_reload_keeps_connections_and_takes_another_protocol_for_new_ones() -> None:
    async with backend(say_name, name="one") as one, backend(name="two") as two, running(tcp(one.port)) as lb:
        held = await lb.client()
        assert b"one\n" == await held.reader.readline()
        await lb.balancer.reload(one_pool(two.port))
        assert b"two" == (await lb.ask()).body
        held.send(b"still")
        assert b"still" == await held.reader.readexactly(5)
        held.eof()
        assert b"bye" == await held.rest()


async def test_unix_sockets_on_both_sides(tmp_path: Path) -> None:
    front, behind = tmp_path / "front.sock", tmp_path / "behind.sock"
    server = await asyncio.start_unix_server(_echo_stream, behind)
    try:
        async with running(tcp(f"unix:{behind}", pool={"health_check": {"interval": "2s", "timeout": "2s"}})) as lb:
            client = await lb.client()
            client.send(b"hello")
            client.eof()
            assert b"hello" == await client.rest()
            await until(lambda: [f"unix:{behind}"] == [record.backend for record in lb.records])
            assert lb.balancer.pool("web").backends[0].healthy
        both = one_pool(f"unix:{behind}", listener={"protocol": "tcp", "bind": f"unix:{front}"})
        async with LoadBalancer(both):
            reader, writer = await asyncio.open_unix_connection(front)
            writer.write(b"by paths")
            writer.write_eof()
            assert b"by paths" == await reader.read()
            writer.close()
    finally:
        server.close()


async def _echo_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(2**16):
        writer.write(data)
    writer.close()


@pytest.mark.needs("curl")
async def test_http_goes_to_a_unix_socket_with_checks_and_kept_connections(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    seen: list[bytes] = []
    made = 0

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                seen.append(head)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_unix_server(app, path)
    try:
        async with running(one_pool(f"unix:{path}")) as lb:
            assert "okok" == await output("curl", "-s", *[f"http://127.0.0.1:{lb.port}/{n}" for n in range(2)])
            assert 1 == made, "the connection is kept"
        check = {"kind": "http", "path": "/health", "interval": "2s", "timeout": "2s"}
        async with running(one_pool(f"unix:{path}", pool={"health_check": check})) as lb:
            await until(lambda: any(b"GET /health" in head for head in seen))
            assert any(b"Host: localhost\r\n" in head for head in seen if b"/health" in head)
            assert lb.balancer.pool("web").backends[0].healthy
    finally:
        server.close()


async def test_a_path_that_nobody_listens_on_is_a_refused_connect(tmp_path: Path) -> None:
    async with running(one_pool(f"unix:{tmp_path}/nobody.sock")) as lb:
        answer = await lb.ask()
        assert 502 == answer.status
        assert ["connect_failed"] == lb.words()


async def test_clients_of_http_and_of_tcp_share_a_pool() -> None:
    async with backend(name="one") as one:
        config = one_pool(one.port)
        config["listeners"]["raw"] = {"bind": "127.0.0.1:0", "protocol": "tcp", "pool": "web"}
        async with running(config) as lb:
            assert b"one" == (await lb.ask()).body
            client = await Client.open(lb.balancer.address("raw").port)
            assert b"one" == (await client.ask()).body
            client.close()
            await until(lambda: 2 == len(lb.records))
            assert ["web", "raw"] == [record.listener for record in lb.records]

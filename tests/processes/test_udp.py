"""Datagrams through several workers: dealt out by the kernel, counted as one, through reloads, deaths and upgrades."""

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.processes.balancer import Balancer, alive, balancing, eventually, supervisors
from tests.real.client import HOST
from tests.real.datagrams import callers, datagrams, servers, silent, unused_port
from tests.real.support import Config, until

pytestmark = pytest.mark.real

MANY = 60  # that one of two workers gets none of so many is one chance in 10^18


def of_workers(workers: int, *ports: int, listener: dict[str, Any] | None = None, **pool: Any) -> Config:
    """A configuration for so many workers."""
    return {**datagrams(*ports, listener=listener, **pool), "workers": workers}


async def ended(lb: Balancer) -> None:
    """Stop it: sessions that are owed nothing end within a second."""
    lb.signal(signal.SIGTERM)
    assert 0 == await lb.program.ended()


async def counters(lb: Balancer) -> dict[str, int]:
    found: dict[str, int] = (await lb.status())["counters"]
    return found


async def test_two_workers_serve_as_one(tmp_path: Path) -> None:
    """Round robin is exact over both, each has its share, and each client has its own answers."""
    async with servers(3) as backends, balancing(tmp_path, of_workers(2, *[b.port for b in backends])) as lb:
        async with callers(lb.port, MANY) as clients:
            assert {str(n): MANY // 3 for n in range(3)} == Counter([await client.name() for client in clients])
            for n, client in enumerate(clients):
                (answer,) = await client.ask(b"%d" % n)
                assert b"%d" % n == answer.partition(b":")[2]
            assert MANY == await lb.in_flight()
        await ended(lb)


async def test_sessions_are_limited_over_all_workers(tmp_path: Path) -> None:
    async with servers(1) as (backend,):
        config = of_workers(2, backend.port, listener={"max_sessions": 10})
        async with balancing(tmp_path, config) as lb, callers(lb.port, 30) as clients:
            for client in clients:
                client.send(b"?")

            async def all_are_seen() -> bool:
                return len(backend.asked) + (await counters(lb))["overloaded"] == 30

            await eventually(all_are_seen, "each datagram is passed on or dropped")
            assert 10 == len(backend.asked)
            await ended(lb)


async def test_a_reload_changes_nothing_for_sessions(tmp_path: Path) -> None:
    async with (
        servers(2) as (one, other),
        balancing(tmp_path, of_workers(2, one.port)) as lb,
        callers(lb.port, 10) as clients,
    ):
        assert {"0"} == {await client.name() for client in clients}
        await lb.reload(of_workers(2, other.port))
        assert {"0"} == {await client.name() for client in clients}
        async with callers(lb.port, 10) as others:
            assert {"1"} == {await client.name() for client in others}
        await ended(lb)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_listener_that_comes_back_while_its_sessions_go_on_serves_at_once_and_their_answers_go_out(
    tmp_path: Path, workers: int
) -> None:
    async with servers(1, silent) as (backend,):
        config = of_workers(workers, backend.port, listener={"answers": 1, "bind": f"{HOST}:{unused_port()}"})
        other = of_workers(workers, backend.port, listener={"bind": f"{HOST}:{unused_port()}"})
        async with balancing(tmp_path, config) as lb, callers(lb.port, MANY) as clients:
            for client in clients:
                client.send(b"before")
            await until(lambda: len(backend.asked) == MANY)
            await lb.reload(other)
            await lb.reload(config)
            for client in clients:
                client.send(b"after")
            await until(lambda: len(backend.asked) == 2 * MANY, "no datagram comes to sockets that nobody reads")
            for asked, place in backend.asked:
                backend.transport.sendto(asked, place)
            await until(lambda: all(sorted(client.got) == [b"after", b"before"] for client in clients))
            await ended(lb)


async def test_a_worker_that_is_killed_leaves_no_session_in_flight_and_its_clients_are_served_on(
    tmp_path: Path,
) -> None:
    async with (
        servers(1) as (backend,),
        balancing(tmp_path, of_workers(2, backend.port)) as lb,
        callers(lb.port, 20) as clients,
    ):
        for client in clients:
            assert "0" == await client.name()
        for pid in await lb.workers():
            os.kill(pid, signal.SIGKILL)
        for client in clients:
            assert "0" == await client.name()
        assert 20 == await lb.in_flight()
        await ended(lb)


async def test_what_is_owed_is_passed_on_after_a_stop(tmp_path: Path) -> None:
    async with servers(1, silent) as (backend,):
        config = of_workers(2, backend.port, listener={"answers": 1})
        async with balancing(tmp_path, config) as lb, callers(lb.port, 10) as clients:
            for client in clients:
                client.send(b"?")
            await until(lambda: len(backend.asked) == 10)
            lb.signal(signal.SIGTERM)
            await lb.says("stopping")
            for _, place in backend.asked:
                backend.transport.sendto(b"late", place)
            await until(lambda: all(client.got == [b"late"] for client in clients))
            assert 0 == await lb.program.ended()


@pytest.mark.slow
async def test_an_upgrade_keeps_the_sockets_and_what_is_owed_is_passed_on(tmp_path: Path) -> None:
    async with servers(1, silent) as (backend,):
        config = of_workers(2, backend.port, listener={"answers": 1})
        async with balancing(tmp_path, config) as lb, callers(lb.port, 10) as clients:
            for client in clients:
                client.send(b"old")
            await until(lambda: len(backend.asked) == 10)
            answer = await lb.ask("upgrade")
            assert "failed" not in answer, answer
            for client in clients:  # whose sessions the new program does not know
                client.send(b"new")
            await until(lambda: len(backend.asked) == 20)
            for asked, place in backend.asked:
                backend.transport.sendto(asked, place)
            await until(lambda: all(len(client.got) == 2 for client in clients))
            assert {(b"new", b"old")} == {tuple(sorted(client.got)) for client in clients}
            old = lb.pid
            await until(lambda: not alive(old), "the old program has ended")
            (lb.pid,) = supervisors(tmp_path)


async def test_a_port_that_somebody_has_is_named_with_what_shows_who(tmp_path: Path) -> None:
    async with servers(2) as (backend, other):
        config = of_workers(2, backend.port)
        async with balancing(tmp_path, config) as lb:
            config["listeners"]["more"] = {"bind": f"{HOST}:{other.port}", "protocol": "udp", "pool": "web"}
            lb.write(config)
            answer = await lb.ask("reload")
            assert f"{HOST}:{other.port}: the port is in use" in answer["failed"]
            assert f"ss -lunp sport = :{other.port}" in answer["failed"]


async def test_a_listener_of_connections_may_have_the_same_port(tmp_path: Path) -> None:
    port = unused_port()
    async with servers(1) as (backend,):
        config = of_workers(2, backend.port, listener={"bind": f"{HOST}:{port}"})
        config["listeners"]["page"] = {"bind": f"{HOST}:{port}", "routes": [{"respond": {"body": "page"}}]}
        async with balancing(tmp_path, config) as lb, callers(port) as (client,):
            assert "0" == await client.name()
            lb.port = port
            assert "page" == await lb.name()
            await ended(lb)

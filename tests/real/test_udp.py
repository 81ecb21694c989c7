"""Datagrams through a balancer on real sockets: every policy, every number of answers, reloads, a crowd."""

import asyncio
import select
import socket
from collections import Counter
from typing import Any

import pytest

import steelyard.core.policies  # noqa: F401 (registers them)
from steelyard.core.policy import names
from steelyard.embed import LoadBalancer
from tests.real.client import HOST
from tests.real.datagrams import Caller, datagrams, named, passing, serve, servers, silent, unused_port
from tests.real.support import ON_UVLOOP, HandClock, until


def clients_of(lb: LoadBalancer) -> int:
    assert lb._worker is not None
    return lb._worker.clients()


def has_one(sock: socket.socket) -> bool:
    """Whether a datagram has come, an empty one included."""
    return bool(select.select([sock], [], [], 0)[0])


@pytest.mark.parametrize("policy", names())
async def test_each_policy_gives_each_client_a_backend_which_it_keeps(policy: str) -> None:
    async with (
        servers(3) as backends,
        passing(datagrams(*[b.port for b in backends], policy=policy), 12) as (lb, clients),
    ):
        first = await asyncio.gather(*[client.name() for client in clients])
        assert first == await asyncio.gather(*[client.name() for client in clients])
        assert 12 == lb.in_flight()
        assert 12 == sum(len({place for _, place in backend.asked}) for backend in backends)
        for pool in lb.balancer.spec.pools:
            assert policy == pool.policy.name


async def test_round_robin_is_exact_and_least_connections_counts_sessions() -> None:
    for policy in ("round_robin", "least_connections"):
        async with (
            servers(3) as backends,
            passing(datagrams(*[b.port for b in backends], policy=policy), 30) as (_lb, clients),
        ):
            found = Counter([await client.name() for client in clients])
            assert {"0": 10, "1": 10, "2": 10} == found


async def test_a_client_s_address_is_the_key_whatever_its_port() -> None:
    policy = {"name": "consistent_hash", "key": "client_ip"}
    async with (
        servers(3) as backends,
        passing(datagrams(*[b.port for b in backends], policy=policy), 10) as (_lb, clients),
    ):
        assert 1 == len({await client.name() for client in clients})


@pytest.mark.parametrize("answers", [1, 2, 7])
async def test_a_session_is_over_with_the_last_answer_that_is_expected(answers: int) -> None:
    def some(name: str, datagram: bytes) -> list[bytes]:
        return [b"%s:%d" % (name.encode(), n) for n in range(answers)]

    async with servers(2, some) as backends:
        config = datagrams(*[b.port for b in backends], listener={"answers": answers})
        async with passing(config, 1) as (lb, (client,)):
            for n in range(4):
                expected = [b"%d:%d" % (n % 2, one) for one in range(answers)]
                assert expected == await client.ask(b"?", answers)
                await until(lambda: lb.in_flight() == 0)
        assert ["-"] * 4 == lb.words()


async def test_without_answers_each_datagram_is_balanced_and_none_comes_back() -> None:
    async with servers(2) as backends:
        config = datagrams(*[b.port for b in backends], listener={"answers": 0})
        async with passing(config, 1) as (lb, (client,)):
            for n in range(10):
                client.send(b"%d" % n)
            await until(lambda: sum(len(b.asked) for b in backends) == 10)
            assert [5, 5] == [len(backend.asked) for backend in backends]
            await until(lambda: lb.balancer.counters()["datagrams_dropped"] == 10)
            assert ([], 0) == (client.got, lb.in_flight())


async def test_a_quiet_session_ends_after_its_time() -> None:
    async with servers(2) as backends:
        clock = HandClock()
        config = datagrams(*[b.port for b in backends], listener={"session_timeout": "30s"})
        async with passing(config, 1, clock) as (lb, (client,)):
            for _ in range(3):
                assert "0" == await client.name()
                clock.turn(29.9)
            clock.turn(0.2)
            await until(lambda: clients_of(lb.balancer) == 0)
            assert "1" == await client.name()
            assert ["-"] == lb.words()


async def test_an_answer_that_never_comes_is_a_failure_of_its_own_kind() -> None:
    async with servers(1, silent) as (backend,):
        config = datagrams(backend.port, listener={"session_timeout": "200ms", "answers": 1})
        async with passing(config, 1) as (lb, (client,)):
            client.send(b"?")
            await until(lambda: lb.words())
            assert ["response_timeout"] == lb.words()
            assert 1 == lb.balancer.pool("web").backends[0].failures


async def test_a_backend_that_is_not_there_is_left_for_another_one() -> None:
    dead = unused_port()
    async with servers(1) as (backend,), passing(datagrams(dead, backend.port), 3) as (lb, clients):
        assert ["0"] * 3 == [await client.name() for client in clients]
        assert 1 <= lb.balancer.counters()["retries"] <= 3


async def test_a_backend_that_refuses_again_and_again_is_ejected() -> None:
    dead = unused_port()
    async with servers(1) as (backend,):
        config = datagrams(dead, backend.port, listener={"answers": 1}, ejection={"errors": 2})
        async with passing(config, 1) as (lb, (client,)):
            for _ in range(12):
                assert "0" == await client.name()
            assert 2 == lb.balancer.counters()["retries"]


async def test_a_backend_that_is_back_serves_new_sessions() -> None:
    port = unused_port()
    config = datagrams(port, listener={"answers": 1}, ejection=False)
    async with passing(config, 1) as (lb, (client,)):
        client.send(b"?")
        await until(lambda: lb.words() == ["connect_failed"])
        backend = await serve("back", port=port)
        assert "back" == await client.name()
        backend.close()


async def test_localhost_is_whichever_of_its_addresses_answers() -> None:
    async with servers(1) as (backend,), passing(datagrams(f"localhost:{backend.port}"), 3) as (_lb, clients):
        assert ["0"] * 3 == [await client.name() for client in clients]


@pytest.mark.parametrize("size", [0, 1, 1472, 65_507])
async def test_datagrams_of_any_length_come_whole(size: int) -> None:
    """Over sockets of the test's own: an event loop may take an empty datagram for nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as backend:
        backend.bind((HOST, 0))
        backend.setblocking(False)
        async with passing(datagrams(backend.getsockname()[1]), 0) as (lb, _):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.setblocking(False)
                client.connect((HOST, lb.port))
                client.send(b"\xff" * size)
                await until(lambda: has_one(backend))
                asked, place = backend.recvfrom(70_000)
                backend.sendto(asked, place)
                await until(lambda: has_one(client))
                assert b"\xff" * size == client.recv(70_000)


async def test_ipv6_and_ipv4_clients_of_one_listener_are_answered() -> None:
    loop = asyncio.get_running_loop()
    async with servers(1) as (backend,):
        config = datagrams(backend.port, listener={"bind": "[::]:0", "answers": 1})
        async with passing(config, 0) as (lb, _):
            for host in ("::1", HOST, "127.0.0.2"):
                _, client = await loop.create_datagram_endpoint(Caller, remote_addr=(host, lb.port))
                assert "0" == await client.name()
                client.transport.close()
            assert ["::1", HOST, HOST] == [record.client for record in lb.records]


async def test_a_reload_leaves_sessions_at_their_backend_and_moves_new_ones() -> None:
    async with servers(2) as (one, other), passing(datagrams(one.port), 2) as (lb, (old, new)):
        assert "0" == await old.name()
        await lb.balancer.reload(datagrams(other.port, policy="least_connections"))
        assert ("0", "1") == (await old.name(), await new.name())
        await lb.balancer.reload(datagrams(other.port, listener={"answers": 1}))
        assert ("0", "1") == (await old.name(), await new.name())
        assert 2 == clients_of(lb.balancer)


async def test_a_pool_that_is_gone_is_in_flight_no_more_when_its_sessions_have_ended() -> None:
    async with servers(1) as (backend,), passing(datagrams(backend.port), 1) as (lb, (client,)):
        assert "0" == await client.name()
        other = datagrams(backend.port)
        other["pools"]["new"] = other["pools"].pop("web")
        other["listeners"]["web"]["pool"] = "new"
        await lb.balancer.reload(other)
        assert "0" == await client.name()
        assert 1 == lb.in_flight()


async def test_a_listener_that_is_gone_passes_on_the_answers_that_are_owed() -> None:
    async with servers(1, silent) as (backend,):
        config = datagrams(backend.port, listener={"answers": 1})
        other = datagrams(backend.port)
        other["listeners"]["web"]["bind"] = f"{HOST}:{unused_port()}"
        async with passing(config, 1) as (lb, (client,)):
            client.send(b"?")
            await until(lambda: backend.asked)
            await lb.balancer.reload(other)
            backend.transport.sendto(b"late", backend.asked[0][1])
            await until(lambda: client.got == [b"late"])
            await until(lambda: lb.words() == ["-"])
            client.send(b"?")
            await until(lambda: client.errors, "nobody is there any more")


async def test_one_that_comes_back_while_its_sessions_go_on_serves_at_once_and_their_answers_go_out() -> None:
    async with servers(1, silent) as (backend,):
        port = unused_port()
        config = datagrams(backend.port, listener={"answers": 1, "bind": f"{HOST}:{port}"})
        other = datagrams(backend.port, listener={"bind": f"{HOST}:{unused_port()}"})
        async with passing(config, 1) as (lb, (client,)):
            client.send(b"?")
            await until(lambda: backend.asked)
            for times in (1, 2):  # of those before, too, while two others have come and gone
                await lb.balancer.reload(other)
                await lb.balancer.reload(config)
                client.send(b"!")
                await until(lambda: len(backend.asked) == 1 + times)  # noqa: B023
            for _, place in backend.asked:
                backend.transport.sendto(b"late", place)
            await until(lambda: client.got == [b"late"] * 3)
            await until(lambda: lb.words() == ["-"] * 3)


async def test_one_that_comes_back_at_another_free_port_leaves_the_first_one_its_answers() -> None:
    async with servers(1, silent) as (backend,):
        config = datagrams(backend.port, listener={"answers": 1})
        other = datagrams(backend.port, listener={"bind": f"{HOST}:{unused_port()}"})
        async with passing(config, 1) as (lb, (client,)):
            client.send(b"?")
            await until(lambda: backend.asked)
            await lb.balancer.reload(other)
            await lb.balancer.reload(config)
            assert lb.port != lb.balancer.address("web").port
            backend.transport.sendto(b"late", backend.asked[0][1])
            await until(lambda: client.got == [b"late"])


async def test_a_client_too_many_gets_nothing_until_there_is_room() -> None:
    async with servers(1) as (backend,):
        clock = HandClock()
        config = datagrams(backend.port, listener={"max_sessions": 2})
        async with passing(config, 3, clock) as (lb, (one, two, three)):
            assert ["0", "0"] == [await one.name(), await two.name()]
            three.send(b"?")
            await until(lambda: lb.balancer.counters()["overloaded"] == 1)
            assert [] == three.got
            clock.turn(61.0)
            await until(lambda: clients_of(lb.balancer) == 0)
            assert "0" == await three.name()


async def test_a_stop_waits_for_what_is_owed_and_no_longer_than_it_may() -> None:
    async with (
        servers(1, silent) as (backend,),
        passing(datagrams(backend.port, listener={"answers": 1}), 2) as (lb, (one, two)),
    ):
        for client in (one, two):
            client.send(b"?")
        await until(lambda: len(backend.asked) == 2)
        stopping = asyncio.create_task(lb.balancer.stop(0.5))
        backend.transport.sendto(b"late", backend.asked[0][1])
        await until(lambda: one.got == [b"late"])
        await stopping
        assert ["-", "stopping"] == sorted(lb.words())


async def test_a_unix_socket_beside_it_and_tcp_on_the_same_port_are_other_listeners() -> None:
    port = unused_port()
    async with servers(1) as (backend,):
        config: dict[str, Any] = datagrams(backend.port, listener={"bind": f"{HOST}:{port}"})
        config["listeners"]["page"] = {"bind": f"{HOST}:{port}", "routes": [{"respond": {"body": "page"}}]}
        async with passing(config, 1) as (lb, (client,)):
            assert "0" == await client.name()
            assert b"page" == (await lb.ask()).body


@ON_UVLOOP
@pytest.mark.slow
@pytest.mark.parametrize("answers", [1, "off"])
async def test_a_thousand_clients_at_once_each_get_their_own_answers(answers: object) -> None:
    async with servers(3, named) as backends:
        config = datagrams(*[b.port for b in backends], listener={"answers": answers})
        async with passing(config, 1000) as (lb, clients):
            for turn in range(5):
                for first in range(0, 1000, 100):
                    for n in range(first, first + 100):
                        clients[n].send(b"%d/%d" % (n, turn))
                    await asyncio.sleep(0)
                await until(lambda: all(len(client.got) == turn + 1 for client in clients))  # noqa: B023
            for n, client in enumerate(clients):
                assert [b"%d/%d" % (n, turn) for turn in range(5)] == [got.partition(b":")[2] for got in client.got]
            counted = lb.balancer.counters()
            assert (0, 0) == (counted["datagrams_dropped"], counted["datagrams_lost"])

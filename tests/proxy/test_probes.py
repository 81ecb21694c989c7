"""proxy/probes.py: who is asked, how much at once, and what an answer's fields say. Its sockets: tests/real."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from steelyard.core.policies.prequal import UNKNOWN, Prequal
from steelyard.core.policy import UNKNOWN_S, Pick
from steelyard.core.pool import Pool
from steelyard.core.rows import PoolRows
from steelyard.core.spec import BackendSpec, PolicySpec, PoolSpec, ProbeSpec
from steelyard.proxy.clock import Wheel
from steelyard.proxy.connections import PoolConnections
from steelyard.proxy.probes import AT_ONCE, Probes, in_flight_of, latency_s_of, probes_of
from steelyard.wire.http1 import ResponseHead, scan_response
from tests.fakes_core import a_pool, a_table, seeded


def prequal(path: str | None = None, **options: Any) -> PolicySpec:
    return PolicySpec("prequal", probe=ProbeSpec(path, **options))


def made(pool: Pool) -> Probes:
    loop = asyncio.get_running_loop()
    probes = probes_of(loop, Wheel(loop), pool)
    assert probes is not None
    return probes


def head(*fields: str) -> ResponseHead:
    text = "\r\n".join(["HTTP/1.1 200 OK", *fields, "", ""])
    scanned = scan_response(text.encode("latin-1"), 0, 1000, 10)
    assert scanned is not None
    return scanned


async def test_other_policies_need_none() -> None:
    loop = asyncio.get_running_loop()
    assert probes_of(loop, Wheel(loop), a_pool()) is None
    connections = PoolConnections(loop, Wheel(loop), a_pool(), None)
    assert connections.probes is None
    connections.close()


async def test_a_pools_connections_have_its_probes_and_close_them() -> None:
    loop = asyncio.get_running_loop()
    connections = PoolConnections(loop, Wheel(loop), a_pool(policy=prequal()), None)
    assert isinstance(connections.probes, Probes)
    connections.close()
    assert connections.probes.closed


async def test_every_tier_is_asked_for_itself() -> None:
    backends = tuple(BackendSpec(f"10.0.0.{n}", 80, backup=n == 3) for n in range(1, 4))
    spec = PoolSpec("web", backends, prequal())
    pool = Pool(spec, a_table(Pool.rows_needed(spec)), 0)
    probes = made(pool)
    assert [tier.policy for tier in pool.tiers] == probes.policies
    request = Pick(seeded(1), now=5.0)
    for tier in pool.tiers:
        tier.policy.began(request, tier.backends[0])
    probes.wake(5.0)
    heard = [{entry.seat.backend.host for entry in policy.pool} for policy in probes.policies]  # type: ignore[union-attr]
    assert [{"10.0.0.1", "10.0.0.2"}, {"10.0.0.3"}] == heard


async def test_without_a_path_our_own_numbers_are_the_answer_at_once() -> None:
    pool = a_pool(policy=prequal())
    probes = made(pool)
    chosen = pool.acquire(Pick(seeded(1), now=7.0))
    probes.wake(7.0)
    assert {} == probes.running
    (policy,) = probes.policies
    assert {backend: int(backend is chosen) for backend in pool.backends} == {
        entry.seat.backend: entry.in_flight for entry in policy.pool
    }
    assert {7.0} == {entry.at for entry in policy.pool}
    probes.wake(8.0)
    assert {7.0} == {entry.at for entry in policy.pool}


class Unanswered(Probes):
    """Whose probes go on until they are cancelled."""

    async def ask(self, policy: Prequal, backend: Any, path: str) -> None:
        await asyncio.Event().wait()


async def test_no_more_than_so_many_go_on_at_a_time_and_one_to_a_backend() -> None:
    loop = asyncio.get_running_loop()
    pool = a_pool(100, policy=prequal("/load", per_request=60.0))
    (policy,) = [tier.policy for tier in pool.tiers]
    assert isinstance(policy, Prequal)
    probes = Unanswered(loop, Wheel(loop), pool, [policy])
    few = a_pool(2, policy=prequal("/load", per_request=60.0))
    (other,) = [tier.policy for tier in few.tiers]
    assert isinstance(other, Prequal)
    same = Unanswered(loop, Wheel(loop), few, [other])
    for _ in range(3):
        pool.acquire(Pick(seeded(1)))
        probes.wake(0.0)
        few.acquire(Pick(seeded(1)))
        same.wake(0.0)
    assert AT_ONCE == len(probes.running)
    assert set(few.backends) == set(same.running)
    assert [] == policy.targets()  # what cannot be asked now is not asked later
    tasks = [*probes.running.values(), *same.running.values()]
    probes.close()
    same.close()
    assert all(isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True))


async def test_after_the_close_nobody_is_asked() -> None:
    pool = a_pool(policy=prequal("/load"))
    probes = made(pool)
    probes.close()
    pool.acquire(Pick(seeded(1)))
    probes.wake(0.0)
    assert {} == probes.running


# Another configuration.


class Line:
    """A connection that has its answer already, and is closed or not. both: its halves."""

    def __init__(self) -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(b"HTTP/1.1 204 No Content\r\n\r\n")
        self.both: Any = (reader, self)
        self.closed = False
        self.transport = self

    def write(self, data: bytes) -> None:
        assert data.startswith(b"GET ")

    def abort(self) -> None:
        self.closed = True


def take(connections: PoolConnections, *hosts: str, policy: PolicySpec) -> None:
    """Another configuration; the backends' rows are where their hosts are in the alphabet."""
    pool = connections.pool
    backends = tuple(BackendSpec(host, 80) for host in hosts)
    rows = PoolRows((0,), tuple(ord(host) - ord("a") + 1 for host in hosts))
    draft = pool.draft(replace(pool.spec, backends=backends, policy=policy), rows)
    while draft.advance(9):
        pass
    pool.adopt(draft)
    connections.adopt()


def probed(*hosts: str, policy: PolicySpec) -> PoolConnections:
    loop = asyncio.get_running_loop()
    empty = Pool(PoolSpec("web", (), policy), a_table(9), PoolRows((0,), ()))
    connections = PoolConnections(loop, Wheel(loop), empty, None)
    take(connections, *hosts, policy=policy)
    return connections


def probes_at(connections: PoolConnections) -> Probes:
    """Those that it must have."""
    assert connections.probes is not None
    return connections.probes


async def test_what_is_kept_for_probes_of_a_backend_that_has_left_is_closed() -> None:
    connections = probed("a", "b", policy=prequal("/load"))
    probes = probes_at(connections)
    lines = {backend: Line() for backend in connections.pool.backends}
    for backend, line in lines.items():
        probes.keep(backend, line.both)
    take(connections, "b", "c", policy=prequal("/load"))
    assert probes is connections.probes
    assert [True, False] == [line.closed for line in lines.values()]
    connections.close()
    assert [True, True] == [line.closed for line in lines.values()]


async def test_a_probe_that_ends_after_its_backend_has_left_keeps_no_connection() -> None:
    connections = probed("a", "b", policy=prequal("/load"))
    probes = probes_at(connections)
    a, b = connections.pool.backends
    take(connections, "b", policy=prequal("/load"))
    for backend, kept in ((a, False), (b, True)):
        line = Line()
        await probes.converse(backend, line.both, b"GET / HTTP/1.1\r\n\r\n")
        assert (kept, not kept) == (backend in probes.kept, line.closed)
    connections.close()


async def test_another_policy_has_probes_of_its_own_or_none() -> None:
    connections = probed("a", policy=prequal("/load"))
    first = probes_at(connections)
    take(connections, "a", policy=prequal("/other"))
    second = probes_at(connections)
    assert (True, False, "/other") == (first.closed, second.closed, second.path)
    take(connections, "a", policy=PolicySpec())
    assert (True, None) == (second.closed, connections.probes)
    take(connections, "a", policy=prequal("/load"))
    assert connections.probes is not None
    connections.close()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0),
        ("17", 17),
        ("007", 7),
        ("999999999", 999_999_999),
        ("9999999999", UNKNOWN),
        ("-1", UNKNOWN),
        ("+1", UNKNOWN),
        ("1.0", UNKNOWN),
        ("1_0", UNKNOWN),
        ("0x10", UNKNOWN),
        ("\u00b2", UNKNOWN),
        ("1 2", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_requests_in_flight_are_digits_and_nothing_else(value: str, expected: int) -> None:
    assert expected == in_flight_of(head(f"X-Requests-In-Flight: {value}"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        ("12", 0.012),
        ("12.5", 0.0125),
        ("0.001", 0.000001),
        (".5", UNKNOWN_S),
        ("5.", UNKNOWN_S),
        ("-1", UNKNOWN_S),
        ("1e3", UNKNOWN_S),
        ("nan", UNKNOWN_S),
        ("inf", UNKNOWN_S),
        ("1,5", UNKNOWN_S),
        ("12ms", UNKNOWN_S),
        ("9999999999", UNKNOWN_S),
        ("", UNKNOWN_S),
    ],
)
def test_milliseconds_are_a_decimal_number_and_nothing_else(value: str, expected: float) -> None:
    assert pytest.approx(expected) == latency_s_of(head(f"X-Latency-Ms: {value}"))


def test_fields_that_are_missing_or_there_twice_say_nothing() -> None:
    assert (UNKNOWN, UNKNOWN_S) == (in_flight_of(head()), latency_s_of(head()))
    twice = head("X-Requests-In-Flight: 1", "X-Requests-In-Flight: 2", "X-Latency-Ms: 1", "X-Latency-Ms: 2")
    assert (UNKNOWN, UNKNOWN_S) == (in_flight_of(twice), latency_s_of(twice))

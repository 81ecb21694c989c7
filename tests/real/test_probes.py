"""Prequal asks its backends over real connections, beside the requests: what they say decides, and nothing else breaks.

The configuration's words for probes are not needed here: the specification is made by hand.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from steelyard.core.backend import Backend as Upstream
from steelyard.core.policies.prequal import Prequal
from steelyard.core.policy import Pick
from steelyard.core.pool import Pool
from steelyard.core.spec import BackendSpec, PolicySpec, PoolSpec, ProbeSpec
from steelyard.core.table import Table
from steelyard.proxy.clock import Wheel
from steelyard.proxy.probes import BODY_BYTES, KEPT, Probes, probes_of
from tests.fakes_core import seeded
from tests.real.backends import Backend, Script, Talk, backend, echo_name
from tests.real.client import HOST
from tests.real.stage import stage
from tests.real.support import free_port, until

PATH = "/load?brief=1"


def says(*fields: str, body: bytes = b"", status: str = "200 OK") -> Script:
    """A backend that answers every probe so."""

    async def script(talk: Talk) -> None:
        while True:
            await talk.request()
            talk.answer(body, *fields, status=status)

    return script


def raw(answer: bytes) -> Script:
    async def script(talk: Talk) -> None:
        await talk.request()
        talk.send(answer)
        await talk.ended()

    return script


class Asking:
    """A pool whose backends are asked. faults: what the event loop was told of."""

    def __init__(self, ports: list[int], quantile: float = 0.84, **probe: Any) -> None:
        loop = asyncio.get_running_loop()
        self.faults: list[Any] = []
        loop.set_exception_handler(lambda _, context: self.faults.append(context))
        options = {"timeout_s": 60.0, "max_age_s": 600.0, **probe}
        policy = PolicySpec("prequal", quantile=quantile, probe=ProbeSpec(PATH, **options))
        spec = PoolSpec("web", tuple(BackendSpec(HOST, port) for port in ports), policy)
        rows = Pool.rows_needed(spec)
        self.pool = Pool(spec, Table(bytearray(Table.size_bytes(rows, 1)), rows), 0)
        self.wheel = Wheel(loop)
        probes = probes_of(loop, self.wheel, self.pool)
        assert probes is not None
        self.probes: Probes = probes
        self.policy: Prequal = probes.policies[0]
        self.below = seeded(1)

    def request(self) -> int:
        """One request comes and goes; the port it was sent to."""
        pick = Pick(self.below, now=self.wheel.now())
        chosen = self.pool.acquire(pick)
        assert isinstance(chosen, Upstream)
        self.probes.wake(pick.now)
        self.pool.release(pick, chosen, False, self.wheel.now(), 0.001)
        return chosen.port

    async def asked(self, times: int = 1) -> Counter[int]:
        """So many requests, each with all of its probes over; which ports they were sent to."""
        found: Counter[int] = Counter()
        for _ in range(times):
            found[self.request()] += 1
            await until(lambda: not self.probes.running, "every probe ends")
        return found

    def heard(self) -> dict[int, tuple[int, float]]:
        """What each port said last: requests in flight, and milliseconds."""
        return {
            entry.seat.backend.port: (entry.in_flight, round(entry.latency_s * 1000, 6))
            for entry in self.policy.pool
            if entry.seat.backend is not None
        }


@asynccontextmanager
async def asking(*scripts: Script, **probe: Any) -> AsyncIterator[tuple[Asking, list[Backend]]]:
    """Prequal in front of a backend for each script; afterwards nothing of it is left, and nothing was reported."""
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(backend(script, str(n))) for n, script in enumerate(scripts)]
        asks = Asking([one.port for one in made], **probe)
        try:
            yield asks, made
        finally:
            tasks = list(asks.probes.running.values())
            asks.probes.close()
            await asyncio.gather(*tasks, return_exceptions=True)
            asyncio.get_running_loop().set_exception_handler(None)
        assert [] == asks.faults
        assert {} == asks.probes.kept


async def test_what_backends_say_of_themselves_is_heard() -> None:
    async with asking(
        says("X-Requests-In-Flight: 3", "X-Latency-Ms: 12.5"),
        says("x-latency-ms: 7", "x-requests-in-flight: 0", body=b"hello"),
    ) as (asks, (one, two)):
        await asks.asked()
        assert {one.port: (3, 12.5), two.port: (0, 7.0)} == asks.heard()
        (request,) = one.requests
        assert ("GET", PATH, "HTTP/1.1") == (request.method, request.target, request.version)
        assert [("host", f"{HOST}:{one.port}"), ("user-agent", "steelyard-probe")] == request.fields


async def test_requests_go_where_the_answers_say() -> None:
    """Of three the quick one, though nothing of our own speaks for it; then, when it says that it is busy, another."""
    load = [(0, 30), (0, 10), (0, 20)]

    def script(index: int) -> Script:
        async def answer(talk: Talk) -> None:
            while True:
                await talk.request()
                in_flight, ms = load[index]
                talk.answer(b"", f"X-Requests-In-Flight: {in_flight}", f"X-Latency-Ms: {ms}")

        return answer

    async with asking(script(0), script(1), script(2), quantile=0.5) as (asks, (_, quick, other)):
        await asks.asked()
        assert 28 <= (await asks.asked(30))[quick.port]  # but for the floor, once
        load[1] = (50, 10)
        await asks.asked(128)  # the quantile is of as many answers
        assert 28 <= (await asks.asked(30))[other.port]


async def test_one_connection_serves_many_probes() -> None:
    async with asking(
        says("X-Latency-Ms: 1", body=b"x" * BODY_BYTES), says("X-Latency-Ms: 1", status="204 No Content")
    ) as (
        asks,
        made,
    ):
        await asks.asked(20)
        assert [20, 20] == [len(one.requests) for one in made]
        assert [1, 1] == [len(one.talks) for one in made]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\nX-Latency-Ms: 1\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nX-Latency-Ms: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Latency-Ms: 1\r\n\r\nuntil I close",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Latency-Ms: 1\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Latency-Ms: 1\r\n\r\n" % (BODY_BYTES + 1),
    ],
)
async def test_an_answer_whose_end_is_not_worth_waiting_for_is_heard_and_its_connection_closed(answer: bytes) -> None:
    async with asking(raw(answer)) as (asks, (one,)):
        await asks.asked(2)
        assert {one.port: (0, 1.0)} == asks.heard()
        await until(lambda: all(talk.how != "open" for talk in one.talks))
        assert 2 == len(one.talks)


async def test_interim_answers_are_passed_over() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nX-Latency-Ms: 99\r\n\r\n"
    async with asking(raw(early * 2 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Latency-Ms: 1\r\n\r\n")) as (
        asks,
        (one,),
    ):
        await asks.asked()
        assert {one.port: (0, 1.0)} == asks.heard()


async def test_a_kept_connection_that_the_backend_closed_is_replaced() -> None:
    async def once(talk: Talk) -> None:
        await talk.request()
        talk.answer(b"", "X-Latency-Ms: 1")

    async with asking(once) as (asks, (one,)):
        await asks.asked(5)
        assert 5 == len(one.requests) == len(one.talks)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nX-Latency-Ms: 1\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\nLocation: /\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Latency-Ms: 1\x00\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\r\n\r\n",
    ],
)
async def test_what_is_no_good_answer_is_no_answer(answer: bytes) -> None:
    """And no error, and no failure of the backend. The last one ends in the midst of its body."""

    async def script(talk: Talk) -> None:
        await talk.request()
        talk.send(answer)
        await talk.writer.drain()

    async with asking(script) as (asks, (one,)):
        await asks.asked(2)
        assert {} == asks.heard()
        assert [0] == [each.failures for each in asks.pool.backends]
        assert 2 == len(one.talks)


async def test_who_does_not_answer_in_time_is_not_heard() -> None:
    async def silent(talk: Talk) -> None:
        await talk.request()
        await talk.ended()

    async with asking(silent, says("X-Latency-Ms: 1"), timeout_s=0.5) as (asks, (one, two)):
        await asks.asked()
        assert [two.port] == list(asks.heard())
        await until(lambda: [talk.how for talk in one.talks] != ["open"])
        assert [1] == [len(one.talks)]


async def test_who_cannot_be_reached_is_not_heard() -> None:
    asks = Asking([free_port()])
    await asks.asked(3)
    assert {} == asks.heard()
    assert [] == asks.faults
    asks.probes.close()


async def test_a_bug_is_told_to_the_loop_and_the_next_probe_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asking(says("X-Latency-Ms: 1")) as (asks, (one,)):
        real: Callable[..., Awaitable[Any]] = asks.probes.exchange

        async def broken(*args: Any) -> Any:
            raise ZeroDivisionError

        monkeypatch.setattr(asks.probes, "exchange", broken)
        await asks.asked()
        assert [ZeroDivisionError] == [type(fault["exception"]) for fault in asks.faults]
        asks.faults.clear()
        monkeypatch.setattr(asks.probes, "exchange", real)
        await asks.asked()
        assert [one.port] == list(asks.heard())


async def test_closing_ends_probes_in_the_midst_and_the_connections_that_are_kept() -> None:
    async def silent(talk: Talk) -> None:
        await talk.request()
        await talk.ended()

    async with asking(silent, says("X-Latency-Ms: 1")) as (asks, (one, two)):
        asks.request()
        await until(lambda: one.requests and asks.heard())
        assert 1 == len(asks.probes.running)
        asks.probes.close()
        await until(lambda: not asks.probes.running)
        await until(lambda: all(talk.how != "open" for talk in [*one.talks, *two.talks]))


async def test_the_balancer_asks_and_listens_for_every_request() -> None:
    """Named in a configuration, without a path: by our own numbers. The backends hear of requests alone."""
    policy = {"name": "prequal", "probe": {"max_age": "60s"}}  # however slow the machine is
    async with stage(echo_name, echo_name, policy=policy) as (lb, made):
        client = await lb.client()
        for _ in range(40):
            assert 200 == (await client.ask()).status
        (tier,) = lb.balancer.pool("web").tiers
        assert isinstance(tier.policy, Prequal)
        assert 2 == len(tier.policy.pool)
        assert [] == tier.policy.wanted
        assert 39 <= tier.policy.together.answers <= 40  # of the last one the end may not have been seen yet
        assert 40 == sum(len(one.requests) for one in made)


async def test_no_more_than_so_many_connections_are_kept() -> None:
    """The one that waits longest is closed. One server stands for all."""
    async with backend(says("X-Latency-Ms: 1")) as one:
        asks = Asking([one.port])
        table = Table(bytearray(Table.size_bytes(KEPT + 3, 1)), KEPT + 3)
        many = tuple(BackendSpec(f"127.0.0.{n + 1}", one.port) for n in range(KEPT + 2))
        made = Pool(PoolSpec("web", many, asks.pool.spec.policy), table, 0)
        for each in made.backends:
            asks.probes.keep(each, await asyncio.open_connection(HOST, one.port))
        assert KEPT == len(asks.probes.kept)
        assert list(made.backends[2:]) == list(asks.probes.kept)
        asks.probes.close()
        assert [] == asks.faults

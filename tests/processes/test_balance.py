"""Several workers balance as one: turns, loads, limits, clients' homes and health are those of the whole balancer."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.processes.balancer import Balancer, at, balancing, with_workers
from tests.real.backends import Backend, Script, Talk, backend, echo_name
from tests.real.client import HOST, Client
from tests.real.support import until

pytestmark = pytest.mark.real

WORKERS: Final = 4


@asynccontextmanager
async def stage(
    home: Path, *scripts: Script | None, workers: int = WORKERS, **pool: Any
) -> AsyncIterator[tuple[Balancer, list[Backend]]]:
    """A balancer before a backend for each script (None: it tells its name), called a, b, c ..."""
    async with AsyncExitStack() as stack:
        made = []
        for name, script in zip("abcdef", scripts, strict=False):
            made.append(await stack.enter_async_context(backend(script or echo_name, name)))
        config = with_workers(workers, *[one.port for one in made], **pool)
        yield await stack.enter_async_context(balancing(home, config)), made


class Holding:
    """A script that answers nobody before `finish`."""

    def __init__(self) -> None:
        self.finish = asyncio.Event()
        self.now = self.most = 0

    async def __call__(self, talk: Talk) -> None:
        while True:
            await talk.request()
            self.now += 1
            self.most = max(self.most, self.now)
            await self.finish.wait()
            self.now -= 1
            talk.answer(talk.backend.name.encode())


async def test_round_robin_takes_turns_over_all_workers(tmp_path: Path) -> None:
    """1-2-3-1-2-3, over connections that the kernel deals out to four workers; and more than one of them had some."""
    async with stage(tmp_path, None, None, None) as (lb, _):
        found = []
        clients = []
        for _ in range(30):
            client = await lb.client()
            found.append((await client.ask()).body.decode())
            clients.append(client)  # kept open: each is one that its worker counts
        assert list("abc") * 10 == found
        shares = await _clients_of_workers(lb, 30)
        assert sum(share > 0 for share in shares) > 1, shares
        for client in clients:
            client.close()


async def _clients_of_workers(lb: Balancer, count: int) -> list[int]:
    """How many each has, once all have said so (which they do once a second)."""
    while True:
        shares = [worker["clients"] for worker in (await lb.status())["workers"]]
        if sum(shares) == count:
            return shares
        await asyncio.sleep(0.05)


async def test_weights_hold_over_all_workers(tmp_path: Path) -> None:
    async with (
        backend(name="a") as a,
        backend(name="b") as b,
        balancing(tmp_path, with_workers(WORKERS, at(a.port, weight=3), at(b.port))) as lb,
    ):
        assert {"a": 30, "b": 10} == Counter([await lb.name() for _ in range(40)])
        await lb.reload(with_workers(WORKERS, at(a.port), at(b.port, weight=4)))
        assert {"a": 8, "b": 32} == Counter([await lb.name() for _ in range(40)])


async def test_least_connections_sees_the_connections_of_all_workers(tmp_path: Path) -> None:
    """Requests that are held are spread evenly, whichever workers they came to."""
    holds = [Holding() for _ in range(3)]
    async with stage(tmp_path, *holds, policy="least_connections") as (lb, behind):
        clients = []
        for count in range(1, 25):
            client = await lb.client()
            client.get()
            clients.append(client)
            await until(lambda count=count: count == sum(len(one.requests) for one in behind))  # type: ignore[misc]
        assert [8, 8, 8] == [len(one.requests) for one in behind]
        assert [8, 8, 8] == [found["in_flight"] for found in await lb.backends()]
        await _let_go(holds, clients)


async def _let_go(holds: list[Holding], clients: list[Client]) -> None:
    for hold in holds:
        hold.finish.set()
    for client in clients:
        assert 200 == (await client.answer()).status
        client.close()


class Paced:
    """A script whose answers come after so many rounds. asked: when each of those that wait was, by round."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.now = 0
        self.asked: list[tuple[int, asyncio.Event]] = []

    async def __call__(self, talk: Talk) -> None:
        while True:
            await talk.request()
            go_on = asyncio.Event()
            self.asked.append((self.now, go_on))
            await go_on.wait()
            talk.answer(b"done")

    def next_round(self) -> None:
        """Answer those whose time has come."""
        self.now += 1
        for since, go_on in self.asked:
            if self.now - since >= self.rounds:
                go_on.set()
        self.asked = [(since, go_on) for since, go_on in self.asked if not go_on.is_set()]


@pytest.mark.slow
async def test_least_connections_spreads_as_one_worker_does(tmp_path: Path) -> None:
    """Beside two fast backends, a slow one gets the same share of 12 busy clients' requests, within 5 %.

    Time is told in rounds: the next one comes when all clients wait for their answers.
    """
    shares = []
    for workers in (1, WORKERS):
        home = tmp_path / str(workers)
        home.mkdir()
        paced = [Paced(5), Paced(1), Paced(1)]
        async with stage(home, *paced, workers=workers, policy="least_connections") as (lb, behind):
            asking = [asyncio.ensure_future(_ask_often(lb, 60)) for _ in range(12)]
            while left := sum(not client.done() for client in asking):
                if sum(len(one.asked) for one in paced) == left:
                    for one in paced:
                        one.next_round()
                await asyncio.sleep(0.001)
            await asyncio.gather(*asking)
            asked = [len(one.requests) for one in behind]
            assert 720 == sum(asked)
            shares.append([count / 720 for count in asked])
    print(shares)
    assert all(abs(one - many) < 0.05 for one, many in zip(*shares, strict=True)), shares


async def _ask_often(lb: Balancer, times: int) -> None:
    client = await lb.client()
    for _ in range(times):
        assert 200 == (await client.ask()).status
    client.close()


async def test_a_sticky_client_keeps_its_home_over_workers_a_reload_and_a_death(tmp_path: Path) -> None:
    """`sticky_round_robin`: new clients take turns, known ones return, whoever accepts them."""
    policy = {"name": "sticky_round_robin", "key": "header:X-Client"}
    async with stage(tmp_path, None, None, None, policy=policy) as (lb, behind):

        async def homes() -> list[str]:
            return [await lb.name("/", f"X-Client: {n}") for n in range(12)]

        assert list("abc") * 4 == await homes()
        for _ in range(3):
            assert list("abc") * 4 == await homes()
        await lb.reload(with_workers(WORKERS, *[one.port for one in behind], policy=policy, max_idle=7))
        assert list("abc") * 4 == await homes()
        pids = await lb.workers()
        os.kill(pids[0], signal.SIGKILL)
        assert list("abc") * 4 == await homes()
        os.kill(lb.control(), signal.SIGKILL)
        assert list("abc") * 4 == await homes()


async def test_max_connections_is_one_limit_for_all_workers(tmp_path: Path) -> None:
    """At most one more for each other worker, which may choose at the same time; the rest are refused, or wait."""
    holds = [Holding(), Holding()]
    async with backend(holds[0]) as a, backend(holds[1]) as b:
        entries = [at(one.port, max_connections=5) for one in (a, b)]
        async with balancing(tmp_path, with_workers(WORKERS, *entries)) as lb:
            clients = [await lb.client() for _ in range(40)]
            for client in clients:
                client.get()
            answers = [asyncio.ensure_future(client.answer()) for client in clients]
            await until(lambda: sum(hold.now for hold in holds) + sum(map(asyncio.Future.done, answers)) == 40)
            for hold in holds:
                assert 5 <= hold.most <= 5 + WORKERS - 1
                hold.finish.set()
            statuses = Counter(answer.status for answer in await asyncio.gather(*answers))
            assert sum(hold.most for hold in holds) == statuses[200]
            assert {200, 503} == set(statuses)
            for client in clients:
                client.close()


async def test_max_connections_is_exact_where_requests_come_one_after_the_other(tmp_path: Path) -> None:
    hold = Holding()
    async with backend(hold) as a, backend(name="b") as b:
        entries = [at(a.port, max_connections=5), at(b.port)]
        async with balancing(tmp_path, with_workers(WORKERS, *entries, policy="first")) as lb:
            clients = []
            for count in range(1, 6):
                client = await lb.client()
                client.get()
                clients.append(client)
                await until(lambda count=count: count == hold.now)  # type: ignore[misc]
            assert ["b"] * 12 == [await lb.name() for _ in range(12)]
            await _let_go([hold], clients)


async def test_a_backend_that_is_down_is_down_for_all_workers(tmp_path: Path) -> None:
    """And up for all when it is back: one process checks for all."""
    # Whose port is closed is down at once; a check of less time would be for a machine that never stands still.
    checks = {"interval": "500ms", "timeout": "500ms", "fall": 1, "rise": 1}
    async with stage(tmp_path, None, None, health_check=checks, panic_threshold="off") as (lb, (a, _)):
        assert ["a", "b"] * 6 == [await lb.name() for _ in range(12)]
        await a.stop()
        await lb.says(f"{HOST}:{a.port} [down]")
        assert ["b"] * 16 == [await lb.name() for _ in range(16)]
        assert ["silent", "up"] == [found["state"] for found in await lb.backends()]
        await a.start(port=a.port)
        await lb.says(f"{HOST}:{a.port} [up]")
        assert {"a": 8, "b": 8} == Counter([await lb.name() for _ in range(16)])
        assert 1 == lb.program.complained.count(f"{HOST}:{a.port} [up]")


async def test_what_one_worker_finds_out_the_others_know(tmp_path: Path) -> None:
    """`mark_down`: the first request that cannot be served takes the backend out for all of them."""
    pool: dict[str, Any] = {"retry": {"mark_down": True}, "panic_threshold": "off", "health_check": {"interval": "1h"}}
    async with stage(tmp_path, None, None, **pool) as (lb, (a, b)):
        await until(lambda: a.talks and b.talks, "both were checked, and will not be for an hour")
        await a.stop()
        assert ["b"] * 16 == [await lb.name() for _ in range(16)]
        found = await lb.backends()
        assert (0, 16) == (found[0]["requests"] - found[0]["failures"], len(b.requests))
        assert 1 == found[0]["failures"], "one worker has tried it, once"

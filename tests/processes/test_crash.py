"""A process is killed: what it had in its hands is lost, nothing else, and another one takes its place."""

import asyncio
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from steelyard.processes.channel import Channel
from steelyard.processes.children import Child
from steelyard.supervisor import Supervisor
from tests.processes.balancer import (
    Balancer,
    Callers,
    alive,
    balancing,
    children,
    cpu_s,
    eventually,
    title,
    with_workers,
)
from tests.real.backends import Talk, backend
from tests.real.client import HOST, Client
from tests.real.programs import refusing
from tests.real.support import until

pytestmark = pytest.mark.real

CALLERS: Final = 16
WAITING: Final = 24


async def replaced(lb: Balancer, number: int, pid: int) -> int:
    """Wait until another process is the worker of this number; its process id."""
    while True:
        workers: list[dict[str, int]] = (await lb.status())["workers"]
        new = {worker["number"]: worker["pid"] for worker in workers}.get(number, pid)
        if new != pid:
            return new
        await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_a_killed_worker_costs_its_own_connections_and_no_other(tmp_path: Path) -> None:
    """Case 68, under load: at most one connection of each client is lost, none is refused, and all counts come back
    to 0."""
    async with backend() as one, balancing(tmp_path, with_workers(2, one.port)) as lb:
        async with Callers(lb.port, CALLERS) as callers:
            for turn in range(4):
                await callers.more(200)
                number = turn % 2
                pid = (await lb.workers())[number]
                os.kill(pid, signal.SIGKILL)
                await replaced(lb, number, pid)
            await callers.more(200)
        print(callers.outcomes)
        assert {"answered", "lost"} >= set(callers.outcomes)
        assert callers.outcomes["lost"] <= 4 * CALLERS
        await lb.nothing_in_flight()
        status = await lb.status()
        assert [2, 2] == [worker["replaced"] for worker in status["workers"]]
        assert 4 == status["workers_lost"]
        lb.program.complained.index("ended: SIGKILL; another one is started")


async def test_who_waits_to_be_accepted_waits_for_the_successor(tmp_path: Path) -> None:
    """The queue of a killed worker is not lost, and the new one answers it within a second of CPU time, two where the
    machine is slow."""
    async with backend() as one, balancing(tmp_path, with_workers(2, one.port)) as lb:
        first = (await lb.workers())[0]
        os.kill(first, signal.SIGSTOP)  # it accepts no more; the kernel goes on to put connections into its queue
        clients = [await lb.client() for _ in range(WAITING)]
        for client in clients:
            client.get()
        answers = [asyncio.ensure_future(client.answer()) for client in clients]
        await until(lambda: sum(map(asyncio.Future.done, answers)) > 0)
        await asyncio.sleep(0.2)  # for the others, which never come
        waiting = [future for future in answers if not future.done()]
        assert waiting, "the kernel gave all to one worker"
        os.kill(first, signal.SIGKILL)
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        new = await replaced(lb, 0, first)
        cost_s = cpu_s(new)
        assert [200] * WAITING == [answer.status for answer in await asyncio.gather(*answers)]
        print(f"{len(waiting)} of {WAITING} waited; the new worker had {cost_s:.2f} s of CPU time at the first answer")
        assert cost_s < 2.0
        for client in clients:
            client.close()


async def test_what_is_lost_is_exactly_what_the_worker_had_accepted(tmp_path: Path) -> None:
    """Held requests are spread over both workers; those of the killed one end, those of the other are answered."""
    finish = asyncio.Event()

    async def slow(talk: Talk) -> None:
        while True:
            await talk.request()
            await finish.wait()
            talk.answer(b"done")

    async with backend(slow) as one, balancing(tmp_path, with_workers(2, one.port)) as lb:
        clients = [await lb.client() for _ in range(WAITING)]
        for client in clients:
            client.get()
        await until(lambda: WAITING == len(one.requests))
        assert WAITING == await lb.in_flight()

        async def all_said() -> bool:
            return bool(WAITING == sum(worker["clients"] for worker in (await lb.status())["workers"]))

        await eventually(all_said, "each worker has said how many clients it has")
        had = [worker["clients"] for worker in (await lb.status())["workers"]]
        pids = await lb.workers()
        os.kill(pids[0], signal.SIGKILL)
        await replaced(lb, 0, pids[0])
        assert had[1] == await lb.in_flight()
        finish.set()
        outcomes = [await _answered(client) for client in clients]
        print(f"had {had}")
        assert had == [outcomes.count(False), outcomes.count(True)]
        assert [False, True] == sorted(set(outcomes))
        for client in clients:
            client.close()


async def _answered(client: Client) -> bool:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        return (await client.answer()).body == b"done"
    return False


async def test_traffic_goes_on_without_a_control_process(tmp_path: Path) -> None:
    """Nothing is lost, and its successor goes on with the checks, the states and the reloads."""
    # Whose port is closed is down at once; a check of less time would be for a machine that never stands still.
    checks = {"interval": "500ms", "timeout": "500ms", "fall": 1, "rise": 1}
    async with backend() as one, backend(name="two") as two:
        config = with_workers(2, one.port, two.port, health_check=checks, panic_threshold="off")
        async with balancing(tmp_path, config) as lb:
            assert {"one", "two"} == {await lb.name() for _ in range(4)}
            pids = lb.all()
            await two.stop()
            await lb.says(f"{HOST}:{two.port} [down]")
            before = await lb.status()
            async with Callers(lb.port, 8) as callers:
                await callers.more(50)
                control = lb.control()
                os.kill(control, signal.SIGKILL)
                await until(lambda: not alive(control) and _control_of(lb) not in (None, control))
                await lb.says("the control process goes on with configuration 1")
                await callers.more(50)
            assert {"answered"} == set(callers.outcomes)
            assert {"one"} == set(callers.names)
            after = await lb.status()
            assert ["up", "silent"] == [found["state"] for found in after["pools"]["web"]]
            assert after["pools"]["web"][0]["requests"] >= before["pools"]["web"][0]["requests"] + 100
            assert [pid for pid in pids if pid != control] == [pid for pid in lb.all() if pid != lb.control()]
            await two.start(port=two.port)
            await lb.says(f"{HOST}:{two.port} [up]")
            assert {"one", "two"} == {await lb.name() for _ in range(4)}
            await lb.reload(with_workers(2, two.port))
            assert {"two"} == {await lb.name() for _ in range(4)}
            assert 2 == (await lb.status())["configuration"]


def _control_of(lb: Balancer) -> int | None:
    return next((pid for pid in children(lb.pid) if title(pid).startswith("steelyard: control")), None)


async def test_without_a_supervisor_the_others_finish_and_leave_the_port(tmp_path: Path) -> None:
    """Case 69: no orphan holds the port; what was in flight is answered."""
    finish = asyncio.Event()

    async def slow(talk: Talk) -> None:
        while True:
            await talk.request()
            await finish.wait()
            talk.answer(b"done")

    async with backend(slow) as one, balancing(tmp_path, with_workers(2, one.port)) as lb:
        others = children(lb.pid)
        assert 3 == len(others)
        client = await lb.client()
        client.get()
        await until(lambda: one.requests)
        lb.signal(signal.SIGKILL)
        await until(lambda: sum(map(alive, others)) == 1, "the one with a request in flight is left")
        await refusing(lb.port)  # that the others have ended does not say that this one has heard of it
        again = with_workers(2, one.port)
        again["listeners"]["web"]["bind"] = f"{HOST}:{lb.port}"
        place = tmp_path / "again"
        place.mkdir()
        finish.set()
        answer = await client.answer()
        assert (b"done", "close") == (answer.body, answer.get("connection"))
        await until(lambda: not any(map(alive, others)))
        async with balancing(place, again) as second:
            assert (second.port, "done") == (lb.port, await second.name())
        client.close()


@pytest.mark.slow
async def test_a_worker_that_keeps_dying_is_replaced_later_and_later_and_the_rest_serve(tmp_path: Path) -> None:
    """At once, then after 0.25 s, 0.5 s ...; meanwhile those that wait in its queue wait, and the others are served."""
    async with backend() as one, balancing(tmp_path, with_workers(2, one.port)) as lb:
        pid = (await lb.workers())[0]
        async with Callers(lb.port, 8) as callers:
            for _ in range(3):
                os.kill(pid, signal.SIGKILL)
                pid = await replaced(lb, 0, pid)
            await callers.more(100)
        pauses = [line.rpartition("started")[2] for line in lb.program.complained.splitlines() if "SIGKILL" in line]
        assert ["", " in 0.25 s", " in 0.5 s"] == pauses
        assert {"answered", "lost"} >= set(callers.outcomes)
        assert callers.outcomes["lost"] <= 3 * 8
        assert 3 == (await lb.status())["workers_lost"]


async def test_a_worker_that_dies_during_a_reload_is_replaced_by_one_that_knows_it(tmp_path: Path) -> None:
    """It is stopped, so that the reload waits for it; then killed."""
    async with backend() as one, backend(name="two") as two, balancing(tmp_path, with_workers(2, one.port)) as lb:
        pid = (await lb.workers())[0]
        os.kill(pid, signal.SIGSTOP)
        lb.write(with_workers(2, two.port))
        async with asyncio.TaskGroup() as group:
            reload = group.create_task(lb.ask("reload"))
            await asyncio.sleep(0.2)
            assert not reload.done()
            os.kill(pid, signal.SIGKILL)
        assert "failed" not in reload.result()
        await replaced(lb, 0, pid)
        assert {"two"} == {await lb.name() for _ in range(16)}


def test_what_a_child_said_is_no_news_when_it_was_reaped_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A select may tell of the signal first, and of the end of the channel of who has died after it."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    ours, theirs = socket.socketpair()
    supervisor = Supervisor({})
    with supervisor.selector, supervisor.commands or theirs, subprocess.Popen([sys.executable, "-c", ""]) as process:
        child = Child(0, process, Channel(ours))
        supervisor.selector.register(ours, selectors.EVENT_READ, child)
        theirs.close()
        for _ in range(2):
            supervisor._talk(child, selectors.EVENT_READ)
        assert child.channel.closed


async def test_all_workers_at_once_are_replaced(tmp_path: Path) -> None:
    async with backend() as one, balancing(tmp_path, with_workers(4, one.port)) as lb:
        pids = await lb.workers()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for number, pid in enumerate(pids):
            await replaced(lb, number, pid)
        assert ["one"] * 16 == [await lb.name() for _ in range(16)]
        assert 4 == (await lb.status())["workers_lost"]


async def test_a_process_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    """The machine has no room for it, here none for its channel; the others serve meanwhile."""
    async with backend() as one, balancing(tmp_path, with_workers(2, one.port)) as lb:
        before = resource.prlimit(lb.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(lb.pid, resource.RLIMIT_NOFILE, (3, before[1]))
        pids = [(await lb.workers())[0], lb.control()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        await lb.says("worker 0 cannot be started: [Errno 24] Too many open files; another")
        await lb.says("the control process cannot be started: [Errno 24] Too many open files; another")
        assert alive(lb.pid)
        resource.prlimit(lb.pid, resource.RLIMIT_NOFILE, before)
        await lb.says("the control process goes on with configuration 1")
        await replaced(lb, 0, pids[0])
        assert ["one"] * 16 == [await lb.name() for _ in range(16)]

"""How it ends: what is in flight is answered, who waits is let in, and the exit status is 0 (docs/cases.md G)."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.processes.balancer import (
    COMMAND,
    Balancer,
    alive,
    balancing,
    environment,
    status_field,
    supervisors,
    with_workers,
    write,
)
from tests.real.backends import Talk, backend
from tests.real.client import Client
from tests.real.programs import program
from tests.real.support import until

pytestmark = pytest.mark.real

WAITING = 12


async def test_what_is_in_flight_at_every_worker_is_answered_as_the_last(tmp_path: Path) -> None:
    """Case 66. A second SIGTERM, as an init system may send it, changes nothing."""
    finish = asyncio.Event()

    async def slow(talk: Talk) -> None:
        while True:
            await talk.request()
            await finish.wait()
            talk.answer(b"done")

    async with backend(slow) as one, balancing(tmp_path, with_workers(3, one.port)) as lb:
        others = lb.all()
        clients = [await lb.client() for _ in range(WAITING)]
        for client in clients:
            client.get()
        await until(lambda: WAITING == len(one.requests))
        for _ in range(2):
            lb.signal(signal.SIGTERM)
        await lb.says("stopping")
        with pytest.raises(ConnectionRefusedError):
            await _refused(lb)
        finish.set()
        for client in clients:
            answer = await client.answer()
            assert (200, b"done", "close") == (answer.status, answer.body, answer.get("connection"))
            assert b"" == await client.rest()
            client.close()
        assert 0 == await lb.program.ended()
        await until(lambda: not any(map(alive, others)))
        assert [] == supervisors(tmp_path)


async def _refused(lb: Balancer) -> None:
    """Connect until that is refused: the workers close their sockets a little later than the supervisor says so."""
    while True:
        client = await lb.client()
        client.close()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("late", [False, True])
async def test_who_waits_to_be_accepted_is_served(tmp_path: Path, late: bool) -> None:
    """The workers are stopped, so that connections pile up in the kernel, before the balancer is told to end or after:
    what is accepted in the very round in which a worker hears of the end counts, too."""
    async with backend() as one, balancing(tmp_path, with_workers(2, one.port)) as lb:
        workers = await lb.workers()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        clients = [] if late else [await lb.client() for _ in range(WAITING)]
        lb.signal(signal.SIGTERM)
        await lb.says("stopping")
        clients = clients or [await lb.client() for _ in range(WAITING)]
        for client in clients:
            client.get()
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        for client in clients:
            answer = await client.answer()
            assert (200, b"one", "close") == (answer.status, answer.body, answer.get("connection"))
            client.close()
        assert 0 == await lb.program.ended()


async def test_a_request_that_never_ends_is_cut_after_the_drain(tmp_path: Path) -> None:
    async def never(talk: Talk) -> None:
        await talk.request()
        await talk.ended()

    async with (
        backend(never) as one,
        balancing(tmp_path, {**with_workers(2, one.port), "drain_timeout": "300ms"}) as lb,
    ):
        client = await lb.client()
        client.get()
        await until(lambda: one.requests)
        lb.signal(signal.SIGTERM)
        assert 0 == await lb.program.ended()
        client.close()


async def test_a_second_interrupt_ends_all_processes_at_once(tmp_path: Path) -> None:
    async def never(talk: Talk) -> None:
        await talk.request()
        await talk.ended()

    async with backend(never) as one, balancing(tmp_path, with_workers(3, one.port)) as lb:
        pids = lb.all()
        clients = [await lb.client() for _ in range(WAITING)]
        for client in clients:
            client.get()
        await until(lambda: WAITING == len(one.requests))
        lb.signal(signal.SIGINT)
        await lb.says("stopping: requests in flight have 30 s to finish; Ctrl-C again stops at once")
        lb.signal(signal.SIGINT)
        assert 0 == await lb.program.ended()
        assert not any(map(alive, pids))
        for client in clients:
            client.close()


async def test_a_worker_that_does_not_end_is_killed_after_the_drain(tmp_path: Path) -> None:
    """It is stopped, and so hears nothing of it."""
    async with backend() as one, balancing(tmp_path, {**with_workers(2, one.port), "drain_timeout": "0ms"}) as lb:
        pid = (await lb.workers())[0]
        os.kill(pid, signal.SIGSTOP)
        lb.signal(signal.SIGTERM)
        assert 0 == await lb.program.ended()
        await until(lambda: not alive(pid))


async def test_it_can_be_ended_before_it_serves(tmp_path: Path) -> None:
    """Nothing of it is left, and no traceback is said."""
    write(tmp_path / "balancer.yaml", with_workers(2, 1))
    run = (*COMMAND, "run", "-c", str(tmp_path / "balancer.yaml"))
    for number in (signal.SIGTERM, signal.SIGINT):
        async with program(*run, environ=environment(tmp_path)) as started:
            socket = tmp_path / f"{started.process.pid}.sock"
            await until(lambda socket=socket: socket.exists())  # type: ignore[misc]
            # Its socket is there a little before its handlers, without which a signal would just end it.
            await until(lambda pid=started.process.pid: handles(pid, signal.SIGCHLD))  # type: ignore[misc]
            started.process.send_signal(number)
            assert 0 == await started.ended()
            assert "Traceback" not in started.complained
            assert not socket.exists()


def handles(pid: int, number: int) -> bool:
    """proc(5), SigCgt: whether it has a handler for this signal."""
    return bool(int(status_field(pid, "SigCgt")[0], 16) >> (number - 1) & 1)


async def test_idle_clients_are_hung_up_on(tmp_path: Path) -> None:
    async with backend() as one, balancing(tmp_path, with_workers(2, one.port)) as lb:
        clients: list[Client] = [await lb.client() for _ in range(WAITING)]
        for client in clients:
            assert 200 == (await client.ask()).status
        lb.signal(signal.SIGTERM)
        for client in clients:
            assert b"" == await client.rest()
            client.close()
        assert 0 == await lb.program.ended()

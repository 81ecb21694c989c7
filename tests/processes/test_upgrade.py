"""A new program takes over the sockets while requests come in; one that does not come up changes nothing."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes.balancer import Balancer, Callers, alive, balancing, eventually, supervisors, with_workers, wrk
from tests.real.backends import Talk, backend
from tests.real.programs import nginx
from tests.real.support import free_port, until

pytestmark = pytest.mark.real


async def taken_over(lb: Balancer) -> int:
    """Wait until the new program serves, and the old one has ended; the process id of the old one."""
    old = lb.pid
    await until(lambda: "handed over" in lb.program.complained)
    await until(lambda: not alive(old), "the old one has ended")
    (lb.pid,) = supervisors(lb.home)
    return old


@pytest.mark.slow
async def test_an_upgrade_under_load_loses_nothing(tmp_path: Path) -> None:
    """Case 70: by the command and by the signal, three times in all; clients that connect anew for each request."""
    async with backend() as one, balancing(tmp_path, with_workers(2, one.port)) as lb:
        async with Callers(lb.port, 8) as callers:
            await callers.more(50)
            status, said, complained = await lb.run("upgrade")
            assert (0, "") == (status, complained)
            assert said.startswith("the new program serves (pid ")
            first = await taken_over(lb)
            assert f"(pid {lb.pid})" in said
            await callers.more(50)
            lb.signal(signal.SIGUSR2)
            second = lb.pid
            await until(lambda: not alive(second), "the second one has ended")
            (lb.pid,) = supervisors(tmp_path)
            await callers.more(50)
        assert 3 == len({first, second, lb.pid})
        assert {"answered"} == set(callers.outcomes), callers.outcomes
        assert 0 == await lb.program.process.wait()


@pytest.mark.slow
@pytest.mark.needs("nginx", "wrk")
async def test_kept_connections_move_to_the_new_program_without_an_error(tmp_path: Path) -> None:
    """The old one ends each after an answer that says so, and never where a request may be on its way."""
    port = free_port()
    async with nginx(tmp_path / "a", "a", port), balancing(tmp_path, with_workers(2, port)) as lb, wrk(lb.port):
        answer = await lb.ask("upgrade")
        assert "failed" not in answer
        await taken_over(lb)
        assert answer["pid"] == lb.pid


async def test_what_is_in_flight_is_finished_by_the_old_program(tmp_path: Path) -> None:
    finish = asyncio.Event()

    async def slow(talk: Talk) -> None:
        while True:
            if (await talk.request()).target == "/slow":
                await finish.wait()
            talk.answer(b"done")

    async with backend(slow) as one, balancing(tmp_path, with_workers(1, one.port)) as lb:
        client, idle = await lb.client(), await lb.client()
        assert b"done" == (await idle.ask()).body
        client.get("/slow")
        await until(lambda: len(one.requests) == 2)
        new = (await lb.ask("upgrade"))["pid"]
        assert new != lb.pid
        assert alive(lb.pid)
        for _ in range(8):
            assert "done" == await lb.name()
        # The answer to `upgrade` came before the old worker was told; that it hangs up says that it has heard of it.
        assert b"" == await idle.rest()
        idle.close()
        finish.set()
        answer = await client.answer()
        assert (b"done", "close") == (answer.body, answer.get("connection"))
        await taken_over(lb)
        client.close()


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1)])
async def test_the_number_of_workers_may_change(tmp_path: Path, before: int, after: int) -> None:
    """No socket is left that nobody accepts on, and what a reload refuses is in force."""
    async with backend() as one, balancing(tmp_path, with_workers(before, one.port)) as lb:
        lb.write(with_workers(after, one.port))
        async with Callers(lb.port, 4) as callers:
            await callers.more(20)
            assert "failed" not in await lb.ask("upgrade")
            await taken_over(lb)
            await callers.more(20)
        assert {"answered"} == set(callers.outcomes), callers.outcomes
        assert after == len(await lb.workers())
        assert ["one"] * 24 == [await lb.name() for _ in range(24)]


async def test_a_new_program_that_does_not_come_up_changes_nothing(tmp_path: Path) -> None:
    """Exit status 1, and the log says why; a second try is possible, and a good one succeeds."""
    pid_file = tmp_path / "balancer.pid"
    async with backend() as one:
        config: dict[str, Any] = {**with_workers(2, one.port), "pid_file": str(pid_file)}
        async with balancing(tmp_path, config) as lb:
            pids = lb.all()
            lb.file.write_text("listeners: 7\n")
            for _ in range(2):
                status, said, complained = await lb.run("upgrade")
                assert (1, "") == (status, said)
                assert "the new program did not come up" in complained
                assert 1 == len(complained.splitlines())
            assert f"{lb.file}" in lb.program.complained
            assert pids == lb.all()
            assert [lb.pid] == supervisors(tmp_path)
            assert f"{lb.pid}\n" == pid_file.read_text()
            assert ["one"] * 8 == [await lb.name() for _ in range(8)]
            lb.write(config)
            assert "failed" not in await lb.ask("upgrade")
            await taken_over(lb)
            assert "one" == await lb.name()


async def test_a_program_that_is_not_there_any_more_changes_nothing(tmp_path: Path) -> None:
    """Its Python was moved away; when that is back, an upgrade succeeds."""
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    how: dict[str, Any] = {
        "command": (str(python), "-m", "steelyard"),
        "environ": {"PYTHONPATH": os.pathsep.join(sys.path)},
    }
    async with backend() as one, balancing(tmp_path, with_workers(2, one.port), **how) as lb:
        python.rename(tmp_path / "away")
        answer = await lb.ask("upgrade")
        assert "the new program cannot be started: " in answer["failed"]
        assert str(python) in answer["failed"]
        assert ["one"] * 4 == [await lb.name() for _ in range(4)]
        (tmp_path / "away").rename(python)
        assert "failed" not in await lb.ask("upgrade")
        await taken_over(lb)
        assert "one" == await lb.name()


async def test_the_pid_file_is_handed_over_and_is_gone_at_the_end(tmp_path: Path) -> None:
    pid_file = tmp_path / "balancer.pid"
    async with backend() as one:
        async with balancing(tmp_path, {**with_workers(2, one.port), "pid_file": str(pid_file)}) as lb:
            assert f"{lb.pid}\n" == pid_file.read_text()
            assert "failed" not in await lb.ask("upgrade")
            await taken_over(lb)
            assert f"{lb.pid}\n" == pid_file.read_text()
        assert not pid_file.exists()


async def test_two_upgrades_at_a_time_are_one(tmp_path: Path) -> None:
    async with backend() as one, balancing(tmp_path, with_workers(1, one.port)) as lb:
        answers = await asyncio.gather(*[lb.ask("upgrade") for _ in range(3)])
        assert 1 == sum("pid" in answer for answer in answers)
        assert 2 == sum("an upgrade goes on already" in answer.get("failed", "") for answer in answers)
        await taken_over(lb)
        assert "one" == await lb.name()


async def test_a_listener_that_the_new_file_does_not_have_is_closed(tmp_path: Path) -> None:
    extra = free_port()
    async with backend() as one:
        with_extra = with_workers(2, one.port)
        with_extra["listeners"]["extra"] = {"bind": f"127.0.0.1:{extra}", "pool": "web"}
        async with balancing(tmp_path, with_extra) as lb:

            async def said() -> bool:  # the listeners' lines are printed one by one
                return extra in _ports(lb)

            await eventually(said, "the extra listener is said to listen")
            lb.write(with_workers(2, one.port))
            assert "failed" not in await lb.ask("upgrade")
            await taken_over(lb)

            async def closed() -> bool:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", extra)
                except ConnectionRefusedError:
                    return True
                writer.close()
                return False

            await eventually(closed, "nobody listens there any more")
            assert "one" == await lb.name()


def _ports(lb: Balancer) -> list[int]:
    return [int(line.partition(" -> ")[0].rpartition(":")[2]) for line in lb.program.said.splitlines()]

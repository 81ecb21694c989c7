"""G. Draining, reload and death under load, with real processes, in small forms: tests/processes has them at length.

docs/cases.md 63 to 70.
"""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from steelyard.testing import FaultyBackend
from steelyard.testing.faults import Fault
from steelyard.testing.talk import Talk
from tests.processes.balancer import (
    Callers,
    alive,
    at,
    balancing,
    children,
    eventually,
    supervisors,
    with_workers,
)
from tests.real.client import HOST
from tests.real.programs import refusing
from tests.real.support import until


class Held(Fault):
    """Answers when it is told to, with the backend's name."""

    def __init__(self) -> None:
        self.finish = asyncio.Event()

    async def play(self, talk: Talk) -> None:
        await self.finish.wait()
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(talk.name), talk.name.encode()))


def held_on(path: str, held: Held) -> Any:
    return lambda seen: held if seen.target == path else None


@pytest.mark.slow
async def test_case_63_reloads_under_load_lose_nothing(tmp_path: Path) -> None:
    """HAProxy 1.8's promise, with 8 clients that connect anew for each request, and 5 reloads (the case has 20 in 60 s
    with 500 connections a second): none is refused, reset or answered wrongly."""
    async with (
        FaultyBackend("one") as one,
        FaultyBackend("two") as two,
        balancing(tmp_path, with_workers(2, one.port, two.port)) as lb,
        Callers(lb.port, 8) as callers,
    ):
        for turn in range(5):
            await callers.more(40)
            weights = [at(one.port, weight=1 + turn % 3), at(two.port)]
            await lb.reload(with_workers(2, *weights[: 1 + turn % 2]))
        await callers.more(40)
        assert {"answered"} == set(callers.outcomes), callers.outcomes
        assert {"one", "two"} == set(callers.names)
        assert 5 == (await lb.status())["reloads"]


async def test_case_64_an_answer_that_takes_longer_than_a_reload_is_finished(tmp_path: Path) -> None:
    """nginx HUP replaces its workers, and the old ones end then. Here none is replaced (docs/design/016): who was there
    before is there after it."""
    held = Held()
    async with FaultyBackend("one") as one, balancing(tmp_path, with_workers(2, one.port)) as lb:
        one.fault = held_on("/slow", held)
        before = lb.all()
        client = await lb.client()
        client.get("/slow")
        await until(lambda: one.requests)
        for weight in (2, 3):
            await lb.reload(with_workers(2, at(one.port, weight=weight)))
        assert {"one"} == {await lb.name() for _ in range(4)}
        held.finish.set()
        assert b"one" == (await client.answer()).body
        assert before == lb.all()
        client.close()


@pytest.mark.parametrize("bad", ["listeners: {web: {bnid: ':80'}}\n", "{{{\n", ""])
async def test_case_65_an_invalid_configuration_changes_nothing_and_says_why(tmp_path: Path, bad: str) -> None:
    """nginx: the one in force serves on; the command's exit status and the log say that, and why."""
    async with FaultyBackend("one") as one, balancing(tmp_path, with_workers(2, one.port)) as lb:
        lb.file.write_text(bad)
        status, said, complained = await lb.run("reload")
        assert (1, "") == (status, said)
        assert str(lb.file) in complained
        await lb.says(str(lb.file))
        assert {"one"} == {await lb.name() for _ in range(4)}
        assert 1 == (await lb.status())["configuration"]


async def test_case_66_after_sigterm_what_is_in_flight_is_answered_as_the_last(tmp_path: Path) -> None:
    """Envoy's drain: no connection is accepted, answers say Connection: close, and the exit status is 0. (GOAWAY is for
    HTTP/2, which is not there yet.)"""
    held = Held()
    async with FaultyBackend("one") as one, balancing(tmp_path, with_workers(2, one.port)) as lb:
        one.fault = held
        clients = [await lb.client() for _ in range(6)]
        for client in clients:
            client.get()
        await until(lambda: len(one.requests) == 6)
        lb.signal(signal.SIGTERM)
        await lb.says("stopping")

        async def refused() -> bool:
            try:
                late = await lb.client()
            except ConnectionRefusedError:
                return True
            late.close()
            return False

        await eventually(refused, "nobody accepts any more")
        held.finish.set()
        for client in clients:
            answer = await client.answer()
            assert (200, b"one", "close") == (answer.status, answer.body, answer.get("connection"))
            assert b"" == await client.rest()
            client.close()
        assert 0 == await lb.program.ended()


async def test_case_66_what_does_not_end_is_cut_after_the_drain(tmp_path: Path) -> None:
    """Envoy: the drain time is a limit; here half a second."""
    async with FaultyBackend("one") as one:
        config = {**with_workers(1, one.port), "drain_timeout": "500ms"}
        async with balancing(tmp_path, config) as lb:
            one.fault = Held()
            client = await lb.client()
            client.get()
            await until(lambda: one.requests)
            lb.signal(signal.SIGTERM)
            with suppress(ConnectionResetError):
                assert b"" == await client.rest()
            await lb.program.ended()
            client.close()


async def test_case_67_a_backend_that_is_removed_finishes_what_it_has_and_gets_nothing_new(tmp_path: Path) -> None:
    """AWS's deregistration delay: here it is as long as the requests take."""
    held = Held()
    async with (
        FaultyBackend("old") as old,
        FaultyBackend("new") as new,
        balancing(tmp_path, with_workers(2, old.port)) as lb,
    ):
        old.fault = held_on("/slow", held)
        client = await lb.client()
        client.get("/slow")
        await until(lambda: old.requests)
        await lb.reload(with_workers(2, new.port))
        assert {"new"} == {await lb.name() for _ in range(6)}
        assert [f"{HOST}:{new.port}"] == [found["address"] for found in await lb.backends()]
        held.finish.set()
        assert b"old" == (await client.answer()).body
        assert ["/slow"] == [seen.target for seen in old.requests]
        client.close()


async def test_case_68_a_killed_worker_loses_its_own_connections_and_not_its_queue(tmp_path: Path) -> None:
    """A SO_REUSEPORT queue is lost with its last descriptor, and the supervisor keeps one: who waits to be accepted
    waits for the successor. No one is refused, and counts come back to 0."""
    async with FaultyBackend("one") as one, balancing(tmp_path, with_workers(2, one.port)) as lb:
        first = (await lb.workers())[0]
        os.kill(first, signal.SIGSTOP)
        clients = [await lb.client() for _ in range(24)]
        for client in clients:
            client.get()
        answers = [asyncio.ensure_future(client.answer()) for client in clients]
        await until(lambda: any(answer.done() for answer in answers))
        os.kill(first, signal.SIGKILL)
        assert [200] * 24 == [answer.status for answer in await asyncio.gather(*answers)]
        assert 1 == (await lb.status())["workers_lost"]
        for client in clients:
            client.close()


async def test_case_69_after_the_supervisors_death_nobody_holds_the_port(tmp_path: Path) -> None:
    """Workers finish what they have and end; the port is free for the next one."""
    held = Held()
    async with FaultyBackend("one") as one, balancing(tmp_path, with_workers(2, one.port)) as lb:
        one.fault = held
        others = children(lb.pid)
        client = await lb.client()
        client.get()
        await until(lambda: one.requests)
        lb.signal(signal.SIGKILL)
        await until(lambda: sum(map(alive, others)) == 1, "the one with a request in flight is left")
        await refusing(lb.port)  # that the others have ended does not say that this one has heard of it
        held.finish.set()
        assert b"one" == (await client.answer()).body
        await until(lambda: not any(map(alive, others)))
        client.close()
        again = with_workers(1, one.port)
        again["listeners"]["web"]["bind"] = f"{HOST}:{lb.port}"
        place = tmp_path / "again"
        place.mkdir()
        async with balancing(place, again) as second:
            assert (lb.port, "one") == (second.port, await second.name())


@pytest.mark.slow
async def test_case_70_an_upgrade_under_load_refuses_nobody(tmp_path: Path) -> None:
    """nginx USR2, HAProxy -x: the listening sockets are handed over; 8 clients that connect anew for each request."""
    async with FaultyBackend("one") as one, balancing(tmp_path, with_workers(2, one.port)) as lb:
        async with Callers(lb.port, 8) as callers:
            await callers.more(40)
            old = lb.pid
            assert "failed" not in await lb.ask("upgrade")
            await until(lambda: not alive(old), "the old one has ended")
            (lb.pid,) = supervisors(tmp_path)
            await callers.more(40)
        assert {"answered"} == set(callers.outcomes), callers.outcomes
        assert old != lb.pid

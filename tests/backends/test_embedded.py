"""Local backends in somebody's event loop: real processes, of this very program."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from steelyard.control.local import NotReady
from steelyard.embed import LoadBalancer
from steelyard.errors import ConfigError
from tests.processes.balancer import alive
from tests.real.support import Config, Running, running, until

pytestmark = pytest.mark.real

SERVER: Final = Path(__file__).parent.parent / "processes" / "local_server.py"
AT_PORT: Final = f"{sys.executable} {SERVER} {{port}}"


def a_config(*entries: Any, **pool: Any) -> Config:
    return {
        "listeners": {"web": {"bind": "127.0.0.1:0", "pool": "web"}},
        "pools": {"web": {"backends": list(entries), **pool}},
        "drain_timeout": "2s",
    }


def reports(lb: LoadBalancer) -> list[dict[str, Any]]:
    assert lb._own is not None
    return lb._own.owner.reports()


def pids(lb: LoadBalancer) -> list[int]:
    return [report["pid"] for report in reports(lb)]


@asynccontextmanager
async def embedded(config: Config) -> AsyncIterator[Running]:
    """A balancer none of whose processes is left afterwards."""
    seen: list[int] = []
    async with running(config) as on:
        seen += pids(on.balancer)
        yield on
        seen += pids(on.balancer)
    assert not [pid for pid in seen if pid and alive(pid)]


async def all_up(lb: LoadBalancer, count: int = 2) -> list[int]:
    await until(
        lambda: (
            [True] * count == [backend.healthy for backend in lb.pool("web").backends]
            and ["ready"] * count == [report["state"] for report in reports(lb)]
        )
    )
    return pids(lb)


@pytest.mark.parametrize("place", ["{port}", "{socket}"])
async def test_they_serve_from_the_first_request_on(place: str) -> None:
    async with embedded(a_config({"run": AT_PORT.replace("{port}", place), "processes": 2})) as on:
        bodies = {(await on.ask()).body.decode() for _ in range(2)}
        assert set(map(str, pids(on.balancer))) == bodies


@pytest.mark.parametrize("check", [False, {"interval": "60s", "timeout": "60s"}], ids=["unchecked", "checked"])
async def test_one_that_is_killed_is_down_at_once_and_another_one_comes(check: Any) -> None:
    async with embedded(a_config({"run": AT_PORT, "processes": 2}, health_check=check)) as on:
        first = await all_up(on.balancer)
        os.kill(first[0], signal.SIGKILL)
        await until(lambda: first[0] != pids(on.balancer)[0], "it is noticed")
        assert [200] * 4 == [(await on.ask()).status for _ in range(4)]
        second = await all_up(on.balancer)
        assert (True, first[1]) == (first[0] != second[0], second[1])
        assert set(map(str, second)) == {(await on.ask()).body.decode() for _ in range(2)}


async def test_a_reload_keeps_what_stays_and_refuses_what_does_not_come_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with embedded(a_config({"run": AT_PORT, "processes": 2})) as on:
        first = await all_up(on.balancer)
        with pytest.raises(
            NotReady, match=r"configuration: pools.web.backends\[0\].run: .* exit status 3, before"
        ) as no:
            await on.balancer.reload(a_config({"run": f"{AT_PORT} --exit 3"}))
        assert "last words" in str(no.value)
        assert first == await all_up(on.balancer)
        await on.balancer.reload(a_config({"run": AT_PORT, "processes": 1}))
        assert first[:1] == await all_up(on.balancer, 1)
        await until(lambda: not alive(first[1]), "the other one ends")
        await on.balancer.reload(on.balancer.spec)
        assert first[:1] == pids(on.balancer)


async def test_a_start_goes_on_without_those_that_do_not_come_up(caplog: pytest.LogCaptureFixture) -> None:
    async with embedded(a_config({"run": AT_PORT}, {"run": "no-such-program {port}", "processes": 3})) as on:
        assert [True, False, False, False] == [backend.healthy for backend in on.balancer.pool("web").backends]
        assert [200] * 3 == [(await on.ask()).status for _ in range(3)]
        said = [message for message in caplog.messages if "backends[1].run: local backend web/1 ended" in message]
        assert (1, True) == (len(said), "no-such-program cannot be run: no such file or directory" in said[0])


async def test_a_start_that_fails_leaves_no_process() -> None:
    config = a_config({"run": AT_PORT})
    balancer = LoadBalancer({**config, "access_log": "/no/such/directory/log"})
    with pytest.raises(ConfigError):
        await balancer.start()
    assert balancer._own is None


async def test_one_that_has_served_enough_is_recycled(caplog: pytest.LogCaptureFixture) -> None:
    async with embedded(a_config({"run": AT_PORT, "processes": 2, "recycle_after": 5})) as on:
        first = await all_up(on.balancer)
        answers = []

        async def ask_until_recycled() -> None:
            while any(report["restarts"] == 0 for report in reports(on.balancer)):
                answers.append((await on.ask()).status)

        await ask_until_recycled()
        assert {200} == set(answers)
        assert set(first).isdisjoint(await all_up(on.balancer))

"""Reloads of a balancer that is embedded: nobody who is served notices, and what fails changes nothing."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from steelyard.embed import LoadBalancer
from steelyard.errors import ConfigError, ListenError, SteelyardError
from tests.real.backends import Backend, Talk, backend
from tests.real.client import HOST, Client, request
from tests.real.support import Config, Running, free_port, free_ports, one_pool, running, until
from tests.real.test_tunnels import echo, switched


def config(*backends: int, listeners: dict[str, Any] | None = None, **pool: Any) -> Config:
    """A listener `web` on a free port, whose pool `web` has these backends, and other listeners."""
    made = one_pool(*backends, pool=pool)
    made["listeners"].update(listeners or {})
    return made


async def waits(talk: Talk) -> None:
    """Answer what is asked for `/late` only when the test says so; all else at once, with the backend's name."""
    while True:
        asked = await talk.request()
        if asked.target == "/late":
            await until(lambda: getattr(talk.backend, "go", False))
        talk.answer(talk.backend.name.encode())


@asynccontextmanager
async def two() -> AsyncIterator[tuple[Running, Backend, Backend]]:
    """A balancer over the first of two backends."""
    async with backend(waits, "one") as one, backend(name="two") as other, running(config(one.port)) as lb:
        yield lb, one, other


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_who_is_served_notices_nothing_while_everything_around_changes() -> None:
    """A request in flight and an open tunnel end at the backend that has left; a kept connection goes on elsewhere."""
    async with two() as (lb, one, other), backend(echo, "echo") as tunnelled:
        await lb.balancer.reload(config(tunnelled.port))
        tunnel = await lb.client()
        await switched(tunnel)
        await lb.balancer.reload(config(one.port))
        late, kept = await lb.client(), await lb.client()
        late.get("/late")
        assert b"one" == (await kept.ask()).body
        await until(lambda: len(one.talks) == 2)
        await lb.balancer.reload(
            {
                "listeners": {
                    "web": {"bind": f"{HOST}:0", "routes": [{"path": "/x", "respond": {"body": "x"}}, {"pool": "new"}]},
                    "more": {"bind": f"{HOST}:0", "pool": "new"},
                },
                "pools": {
                    "new": {
                        "backends": [f"{HOST}:{other.port}"],
                        "policy": "least_connections",
                        "health_check": {"interval": "1h"},
                    }
                },
                "drain_timeout": "1s",
            }
        )
        assert lb.port == lb.balancer.address("web").port
        assert [b"two", b"x"] == [(await kept.ask(path)).body for path in ("/", "/x")]
        for number in range(3):
            tunnel.send(b"%d" % number)
            assert b"%d" % number == await tunnel.reader.readexactly(1)
        one.go = True  # type: ignore[attr-defined]
        assert b"one" == (await late.answer()).body
        assert b"two" == (await late.ask()).body
        more = await Client.open(lb.balancer.address("more").port)
        assert b"two" == (await more.ask()).body
        more.close()
        with pytest.raises(KeyError):
            lb.balancer.pool("web")


async def test_requests_that_never_stop_coming_are_all_answered_through_many_reloads() -> None:
    async with backend(name="one") as one, backend(name="two") as other, running(config(one.port)) as lb:
        over = False
        answers: list[tuple[int, bytes]] = []

        async def asking() -> None:
            client = await lb.client()
            while not over:
                answer = await client.ask()
                answers.append((answer.status, answer.body))

        policies = ["round_robin", "least_connections", "prequal", "peak_ewma", "maglev", "sticky_round_robin"]
        sticky = {"cookie": "lb", "secret": "0123456789abcdef"}
        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(asking())
            for turn in range(30):
                ports = [[one.port], [one.port, other.port], [other.port]][turn % 3]
                extra = {"sticky": sticky} if turn % 4 == 0 else {}
                seen = len(answers)
                await lb.balancer.reload(config(*ports, policy=policies[turn % 6], **extra))
                await until(lambda seen=seen: len(answers) > seen + 8)  # type: ignore[misc]
            over = True
        assert {200} == {status for status, _ in answers}
        assert {b"one", b"two"} == {body for _, body in answers}


async def test_kept_connections_to_backends_that_stay_are_used_on() -> None:
    async with two() as (lb, one, other):
        client = await lb.client()
        assert b"one" == (await client.ask()).body
        await lb.balancer.reload(config(one.port, other.port))
        assert {b"one", b"two"} == {(await client.ask()).body for _ in range(4)}
        assert [1, 1] == [len(behind.talks) for behind in (one, other)]
        await lb.balancer.reload(config(other.port))
        await until(lambda: one.talks[0].writer.is_closing() or one.talks[0].how != "open")


async def test_a_listener_that_goes_lets_its_clients_finish_and_may_come_back() -> None:
    async with two() as (lb, one, _):
        port = free_port()
        extra = {"extra": {"bind": f"{HOST}:{port}", "pool": "web"}}
        await lb.balancer.reload(config(one.port, listeners=extra))
        busy, idle = await Client.open(port), await Client.open(port)
        busy.get("/late")
        await until(lambda: one.requests)
        assert 200 == (await idle.ask()).status
        await lb.balancer.reload(config(one.port))
        assert b"" == await idle.rest()
        with pytest.raises(ConnectionRefusedError):
            await Client.open(port)
        await lb.balancer.reload(config(one.port, listeners=extra))
        again = await Client.open(port)
        one.go = True  # type: ignore[attr-defined]
        answers = [await busy.answer(), await again.ask()]
        assert [(200, "close"), (200, None)] == [(answer.status, answer.get("connection")) for answer in answers]
        for client in (busy, idle, again):
            client.close()


async def test_a_unix_socket_comes_and_goes_with_its_listener(tmp_path: Path) -> None:
    path = tmp_path / "lb.sock"
    async with two() as (lb, one, _):
        for _ in range(2):
            await lb.balancer.reload(config(one.port, listeners={"unix": {"bind": f"unix:{path}", "pool": "web"}}))
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(request("GET", "/", "Connection: close"))
            assert (await reader.read()).endswith(b"one")
            writer.close()
            await lb.balancer.reload(config(one.port))
            assert not path.exists()


# What fails changes nothing.


async def test_a_configuration_that_is_wrong_changes_nothing() -> None:
    async with two() as (lb, _, other):
        spec = lb.balancer.spec
        with pytest.raises(ConfigError, match="did you mean"):
            await lb.balancer.reload({**config(other.port), "poools": {}})
        with pytest.raises(ConfigError, match="access_log"):
            await lb.balancer.reload({**config(other.port), "access_log": "/nowhere/at/all"})
        assert b"one" == (await lb.ask()).body
        assert spec is lb.balancer.spec


async def test_an_address_in_use_changes_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    free, taken = free_ports(2)
    path, log = tmp_path / "lb.sock", tmp_path / "access.log"
    with socket.create_server((HOST, taken)):
        async with two() as (lb, one, other):
            assert b"one" == (await lb.ask()).body
            listeners = {
                "free": {"bind": f"{HOST}:{free}", "pool": "web"},
                "unix": {"bind": f"unix:{path}", "pool": "web"},
                "taken": {"bind": f"{HOST}:{taken}", "pool": "web"},
            }
            bad = {**config(other.port, listeners=listeners), "access_log": str(log)}
            counts = []
            for _ in range(4):
                with pytest.raises(ListenError, match=r"listeners.taken.bind: .*in use"):
                    await lb.balancer.reload(bad)
                counts.append(open_files())
                assert not path.exists()
            assert counts[1:] == counts[1:2] * 3
            assert b"one" == (await lb.ask()).body
            with pytest.raises(KeyError):
                lb.balancer.address("free")
            await lb.balancer.reload(config(one.port, listeners={"free": listeners["free"]}))
            assert free == lb.balancer.address("free").port


async def test_reloads_leave_no_descriptor_open(tmp_path: Path) -> None:
    async with two() as (lb, one, other):
        counts = []
        for turn in range(6):
            ports = [[one.port, other.port], [other.port]][turn % 2]
            listeners = {"more": {"bind": f"{HOST}:0", "pool": "web"}} if turn % 2 else {}
            made = config(*ports, listeners=listeners, policy={"name": "prequal", "probe": {"path": "/load"}})
            await lb.balancer.reload({**made, "access_log": str(tmp_path / f"{turn}.log")})
            client = await lb.client()
            for _ in range(4):
                assert 200 == (await client.ask()).status
            client.close()
            await client.writer.wait_closed()
            await until(lambda: lb.balancer._running().clients() == 0)
            counts.append(open_files())
        assert max(counts[4:]) <= max(counts[:4])


# Several at once, and the end.


async def test_reloads_that_come_at_once_are_taken_one_after_the_other() -> None:
    async with two() as (lb, one, other):
        await asyncio.gather(*(lb.balancer.reload(config(port)) for port in (other.port, one.port, other.port)))
        assert b"two" == (await lb.ask()).body


@pytest.mark.parametrize("rounds", range(12))
async def test_a_reload_that_is_cancelled_has_happened_or_has_not(rounds: int) -> None:
    """Whenever it is: nothing is half done, and the next one works."""
    async with two() as (lb, one, other):
        before = lb.balancer.spec
        listeners = {"more": {"bind": f"{HOST}:0", "pool": "web"}}
        reload = asyncio.get_running_loop().create_task(lb.balancer.reload(config(other.port, listeners=listeners)))
        for _ in range(rounds):
            await asyncio.sleep(0)
        reload.cancel()
        await asyncio.wait([reload])
        happened = lb.balancer.spec is not before
        assert (b"two" if happened else b"one") == (await lb.ask()).body
        if happened:
            assert lb.balancer.address("more").port
        else:
            with pytest.raises(KeyError):
                lb.balancer.address("more")
        await lb.balancer.reload(config(one.port))
        assert b"one" == (await lb.ask()).body


@pytest.mark.parametrize("rounds", range(8))
async def test_a_stop_in_the_midst_of_a_reload_leaves_nothing_running(rounds: int) -> None:
    checked = {"health_check": {"interval": "1h"}}
    one, other = free_ports(2)
    balancer = LoadBalancer(config(one, **checked))
    await balancer.start()
    listeners = {"more": {"bind": f"{HOST}:0", "pool": "web"}}
    loop = asyncio.get_running_loop()
    reload = loop.create_task(balancer.reload(config(other, listeners=listeners, **checked)))
    for _ in range(rounds):
        await asyncio.sleep(0)
    await balancer.stop(0)
    with suppress(SteelyardError):  # it came too late, and is told that nothing runs
        await reload
    assert balancer._checks is not None
    assert {} == balancer._checks.probers
    await until(lambda: not [task for task in asyncio.all_tasks() if "/steelyard/" in repr(task)])


# Checks.


async def test_checks_may_be_switched_off_and_on() -> None:
    (nobody,) = free_ports(1)
    checks = {"health_check": {"interval": "20ms", "timeout": "20ms", "fall": 1, "rise": 1}}
    async with backend() as one, running(config(one.port, nobody, **checks)) as lb:

        def healthy() -> list[bool]:
            return [found.healthy for found in lb.balancer.pool("web").backends]

        await until(lambda: healthy() == [True, False])
        await lb.balancer.reload(config(one.port, nobody))
        assert [True, True] == healthy()
        await lb.balancer.reload(config(nobody, one.port, **checks))
        await until(lambda: healthy() == [False, True])


# watch: true.


def written(path: Path, port: int, watch: bool = True) -> None:
    text = (
        f"listeners: {{web: {{bind: '{HOST}:0', pool: web}}}}\n"
        f"pools: {{web: {{backends: ['{HOST}:{port}'], health_check: false}}}}\nwatch: {str(watch).lower()}\n"
    )
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.rename(path)


async def body_of(lb: LoadBalancer) -> bytes:
    client = await Client.open(lb.address("web").port)
    answer = await client.ask()
    client.close()
    return answer.body


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at every few milliseconds."""
    monkeypatch.setattr("steelyard.control.watch.LOOK_S", 0.005)


@pytest.mark.usefixtures("soon")
async def test_a_file_that_changes_is_loaded_and_one_that_is_wrong_is_said_and_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "lb.yaml"
    async with backend(name="one") as one, backend(name="two") as other:
        written(path, one.port)
        async with LoadBalancer(path) as lb:
            assert b"one" == await body_of(lb)
            port = lb.address("web").port
            path.write_text("listenres: {}\n")
            await until(lambda: "nothing has changed" in caplog.text)
            assert b"one" == await body_of(lb)
            before = lb.spec
            written(path, other.port)
            await until(lambda: lb.spec is not before)
            assert (b"two", port) == (await body_of(lb), lb.address("web").port)


@pytest.mark.usefixtures("soon")
async def test_a_change_between_the_reading_and_the_start_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "lb.yaml"
    async with backend(name="one") as one, backend(name="two") as other:
        written(path, one.port)
        lb = LoadBalancer(path)
        written(path, other.port)
        async with lb:
            before = lb.spec
            await until(lambda: lb.spec is not before)
            assert b"two" == await body_of(lb)


@pytest.mark.usefixtures("soon")
async def test_whether_and_which_file_is_watched_is_as_the_configuration_in_force_says(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "lb.yaml", tmp_path / "other.yaml"
    async with backend(name="one") as one, backend(name="two") as other:
        written(path, one.port)
        async with LoadBalancer(path) as lb:
            written(path, one.port, watch=False)
            await until(lambda: not lb.spec.watch)
            assert lb._watching is None
            written(elsewhere, one.port)
            await lb.reload(elsewhere)
            before = lb.spec
            written(path, one.port)
            written(elsewhere, other.port)
            await until(lambda: lb.spec is not before)
            assert b"two" == await body_of(lb)
            await lb.reload(config(one.port))
            assert lb._watching is None

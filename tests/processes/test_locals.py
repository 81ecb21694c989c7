"""Local backends of a balancer of several real processes: killed, hanging, useless, reloaded, upgraded and stopped."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.processes.anyone import ANYONE, NOBODY, Anyone
from tests.processes.balancer import Balancer, Callers, alive, balancing, children, eventually, status_field
from tests.real.support import Config, free_ports, until

pytestmark = pytest.mark.real

SERVER: Final = Path(__file__).with_name("local_server.py")
AT_PORT: Final = f"{sys.executable} {SERVER} {{port}}"
AT_SOCKET: Final = f"{sys.executable} {SERVER} {{socket}}"
# A process that was just started is checked at once and often. Later only a test that looks for one that hangs needs to
# be quick: where the machine stands still, each looks so.
CHECKED: Final = {"kind": "http", "path": "/health", "interval": "60s", "timeout": "60s"}


def a_config(*entries: Any, workers: int = 1, more: Config | None = None, **pool: Any) -> Config:
    """One listener, and a pool `web` with these entries."""
    pools = {"web": {"backends": list(entries), **pool}, **(more or {})}
    routes = [{"path": f"/{name}", "pool": name} for name in (more or {})]
    return {
        "listeners": {"web": {"bind": "127.0.0.1:0", "routes": [*routes, {"pool": "web"}]}},
        "pools": pools,
        "workers": workers,
        "drain_timeout": "5s",
    }


def run(command: str = AT_PORT, processes: int = 2, **more: Any) -> dict[str, Any]:
    return {"run": command, "processes": processes, **more}


def places(home: Path) -> list[str]:
    """Directories for unix sockets of local backends."""
    return [path.name for path in home.glob("*.local")]


async def status_of(lb: Balancer, path: str = "/") -> int:
    """Of an answer to a request on a connection of its own."""
    client = await lb.client()
    answer = await client.ask(path)
    client.close()
    return answer.status


def line_of(lb: Balancer, words: str) -> int:
    """In which line of the configuration these words stand."""
    (line,) = [at for at, line in enumerate(lb.file.read_text().splitlines(), 1) if words in line]
    return line


async def local(lb: Balancer) -> list[dict[str, Any]]:
    """What the status says of the processes."""
    found: list[dict[str, Any]] = (await lb.status())["locals"]
    return found


async def pids(lb: Balancer) -> list[int]:
    return [one["pid"] for one in await local(lb)]


async def all_up(lb: Balancer, count: int = 2) -> list[int]:
    """Wait until so many processes are ready, and up; their process ids."""

    async def so() -> bool:
        found = await local(lb)
        states = [backend["state"] for backend in await lb.backends()]
        return ["ready"] * count == [one["state"] for one in found] and ["up"] * count == states

    await eventually(so, "all are up")
    return await pids(lb)


async def another(lb: Balancer, at: int, pid: int) -> int:
    """Wait until another process is ready in that one's place, and is up."""

    async def so() -> bool:
        one = (await local(lb))[at]
        return bool(one["state"] == "ready" and one["pid"] != pid and (await lb.backends())[at]["state"] == "up")

    await eventually(so, f"another process in place of {pid}")
    return (await pids(lb))[at]


@pytest.mark.parametrize("command", [AT_PORT, AT_SOCKET], ids=["port", "socket"])
async def test_they_serve_from_the_first_request_on(tmp_path: Path, command: str) -> None:
    async with balancing(tmp_path, a_config(run(command), workers=2)) as lb:
        names = [await lb.name() for _ in range(4)]
        assert names[:2] == names[2:]
        assert {str(pid) for pid in await pids(lb)} == set(names)
        await lb.says(f"[web/0] started as {(await pids(lb))[0]} in {tmp_path}")
        assert "starting 2 local backends: web/0, web/1" in lb.program.complained


@pytest.mark.slow
@pytest.mark.parametrize("checked", [True, False], ids=["checked", "unchecked"])
async def test_one_that_is_killed_under_load_costs_no_request(tmp_path: Path, checked: bool) -> None:
    config = a_config(run(processes=3), workers=2, health_check=CHECKED if checked else False)
    async with balancing(tmp_path, config) as lb:
        first = await all_up(lb, 3)
        async with Callers(lb.port, 16) as callers:
            for turn in range(3):
                await callers.more(200)
                os.kill(first[turn], signal.SIGKILL)
                new = await another(lb, turn, first[turn])
                await until(lambda new=new: str(new) in callers.names, f"{new} serves")  # type: ignore[misc]
            await callers.more(200)
        assert {"answered"} == set(callers.outcomes)
        assert [1, 1, 1] == [one["restarts"] for one in await local(lb)]
        assert 3 == lb.program.complained.count("ended: SIGKILL; another one is started")


async def test_one_that_hangs_is_started_anew(tmp_path: Path) -> None:
    check = {**CHECKED, "interval": "1s", "timeout": "1s"}
    async with balancing(tmp_path, a_config(run(), health_check=check)) as lb:
        first = await all_up(lb)
        os.kill(first[1], signal.SIGSTOP)
        await another(lb, 1, first[1])
        await until(lambda: not alive(first[1]))
        await lb.says(f"local backend web/1 (pid {first[1]}) hangs: 3 health checks in a row have failed, the last one")
        assert first[0] == (await pids(lb))[0]


async def test_one_whose_checks_fail_from_the_start_is_down_and_said_once(tmp_path: Path) -> None:
    sick = tmp_path / "sick"
    sick.touch()
    entry = run(f"{AT_PORT} --sick {sick}", processes=1, ready_timeout="4s")
    # A first check may take the time of one, if that is longer than ready_timeout.
    async with balancing(tmp_path, a_config(entry, health_check={**CHECKED, "timeout": "1s"})) as lb:
        assert ["silent"] == [one["state"] for one in await lb.backends()]
        assert 503 == await status_of(lb)
        where = f"{tmp_path}/balancer.yaml:{line_of(lb, '--sick')}: pools.web.backends[0].run: local backend web/0"
        await lb.says(f"{where} accepts connections, but its health check fails: status 500 (got {entry['run']})")
        (pid,) = await pids(lb)
        sick.unlink()
        assert [pid] == await all_up(lb, 1)


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (
            "no-such-program {port}",
            "ended: exit status 127, before it was ready (got no-such-program {port}); it said last",
        ),
        (f"{AT_PORT} --exit 3", "ended: exit status 3, before it was ready"),
        (f"{AT_PORT} --deaf", "has not accepted a connection at 127.0.0.1:"),
    ],
    ids=["missing", "exits", "deaf"],
)
async def test_one_that_cannot_serve_is_said_once_and_the_others_serve(tmp_path: Path, command: str, what: str) -> None:
    # Only for one that never accepts is it the clock that says so: a busy machine may need longer to start a Python.
    ready_timeout = "500ms" if "--deaf" in command else "10s"
    config = a_config(run(), more={"bad": {"backends": [run(command, ready_timeout=ready_timeout)]}})
    async with balancing(tmp_path, config) as lb:
        assert {await lb.name() for _ in range(2)} == {str(pid) for pid in (await pids(lb))[:2]}
        assert 503 == await status_of(lb, "/bad")

        async def tried_again() -> bool:
            return all(one["restarts"] >= 3 for one in (await local(lb))[2:])

        await eventually(tried_again, "it is tried again and again")
        said = re.findall(r".*pools\.bad\.backends\[0\]\.run: .*", lb.program.complained)
        assert 1 == len(said), lb.program.complained
        assert f"{tmp_path}/balancer.yaml:{line_of(lb, json.dumps(command))}: " in said[0]
        assert what in said[0]
        if "--exit" in command:
            assert "    no database\n    last words\n" in lb.program.complained


async def test_a_crash_loop_is_said_once_until_it_is_well_again(tmp_path: Path) -> None:
    async with balancing(tmp_path, a_config(run())) as lb:
        (pid, other) = await all_up(lb)
        for _ in range(4):
            os.kill(pid, signal.SIGKILL)
            pid = await another(lb, 0, pid)
        assert 1 == lb.program.complained.count("local backend web/0 (pid")
        assert 1 == lb.program.complained.count("is started again and again")
        assert 1 == lb.program.complained.count("[down] (pool web)")
        assert [4, 0] == [one["restarts"] for one in await local(lb)]
        await lb.says(f"local backend web/0 (pid {pid}) is well again")
        assert other == (await pids(lb))[1]


async def test_a_reload_keeps_processes_and_starts_and_ends_others(tmp_path: Path) -> None:
    config = a_config(run(), health_check=CHECKED)
    async with balancing(tmp_path, config) as lb:
        first = await all_up(lb)
        async with Callers(lb.port, 8) as callers:
            await lb.reload(a_config(run(processes=3, weight=2, stop_timeout="1s"), health_check=CHECKED))
            second = await all_up(lb, 3)
            assert first == second[:2]
            await lb.reload(a_config(run(AT_SOCKET), health_check=CHECKED))
            third = await all_up(lb)
            assert set(second).isdisjoint(third)
            await until(lambda: not any(map(alive, second)), "those that are gone end")
            await lb.reload(a_config(run(AT_SOCKET, processes=1), health_check=CHECKED))
            assert third[:1] == await all_up(lb, 1)
            await until(lambda: not alive(third[1]), "the other one ends")
            await callers.more(20)
        assert {"answered"} == set(callers.outcomes)


@pytest.mark.parametrize("flag", ["--exit 3", "--deaf"])
async def test_a_reload_whose_processes_do_not_come_up_is_refused_and_leaves_nothing(tmp_path: Path, flag: str) -> None:
    async with balancing(tmp_path, a_config(run())) as lb:
        first = await all_up(lb)
        lb.write(a_config(run(), run(f"{AT_PORT} {flag}", ready_timeout="300ms")))
        answer = await lb.ask("reload")
        assert f"{tmp_path}/balancer.yaml:" in answer["failed"]
        assert "pools.web.backends[1].run: local backend web/2" in answer["failed"]
        assert first == await all_up(lb)

        async def only_ours() -> bool:
            return len(children(lb.pid)) == 2 + len(first)

        await eventually(only_ours, "no process is left of it")
        await lb.reload(a_config(run()))
        assert first == await pids(lb)


async def test_a_request_in_flight_at_one_that_a_reload_removes_is_finished(tmp_path: Path) -> None:
    async with balancing(tmp_path, a_config(run(f"{AT_PORT} --slow 1", processes=1))) as lb:
        (pid,) = await pids(lb)
        client = await lb.client()
        client.get()
        await lb.says("[web/0] asked")
        await lb.reload(a_config(run(processes=1)))
        answer = await client.answer()
        assert (200, str(pid)) == (answer.status, answer.body.decode())
        client.close()
        await until(lambda: not alive(pid), "it ends after that")


async def test_the_same_change_is_shown_before_it_is_made(tmp_path: Path) -> None:
    async with balancing(tmp_path, a_config(run(processes=2))) as lb:
        text = (tmp_path / "balancer.yaml").read_text().replace('"processes": 2', '"processes": 3, "weight": 5')
        found = (await lb.ask("diff", text=text, file=str(lb.file)))["changes"]
        key = f"pools.web.backends[run {AT_PORT}]"
        assert [
            ["changed", f"{key}.weight", "1", "5", True],
            ["changed", f"{key}.processes", "2", "3", True],
        ] == found


async def test_one_is_recycled_after_so_many_requests_and_none_is_lost(tmp_path: Path) -> None:
    async with balancing(tmp_path, a_config(run(recycle_after=50), workers=2, health_check=CHECKED)) as lb:
        first = await all_up(lb)
        async with Callers(lb.port, 4) as callers:

            async def both() -> bool:
                return all(one["restarts"] >= 1 for one in await local(lb))

            await eventually(both, "both were recycled")
        assert {"answered"} == set(callers.outcomes)
        assert set(first).isdisjoint(await all_up(lb))
        await lb.says(f"local backend web/0 (pid {first[0]}) is recycled after ")


async def test_a_stop_ends_them_after_the_drain_with_all_that_they_have_started(tmp_path: Path) -> None:
    config = a_config(run(f"{AT_SOCKET} --child"))
    async with balancing(tmp_path, config) as lb:
        first = await all_up(lb)
        await lb.says("its child is", 2)
        theirs = [int(pid) for pid in re.findall(r"its child is (\d+)", lb.program.complained)]
        assert all(map(alive, (*first, *theirs)))
        lb.signal(signal.SIGTERM)
        assert 0 == await lb.program.ended()
        await until(lambda: not any(map(alive, (*first, *theirs))))
        assert [] == places(tmp_path)


async def test_none_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    async with balancing(tmp_path, a_config(run())) as lb:
        first = await all_up(lb)
        lb.signal(signal.SIGKILL)
        await until(lambda: not any(map(alive, first)), "all have ended")


async def test_what_a_supervisor_has_left_that_was_killed_is_removed_by_the_next_one(tmp_path: Path) -> None:
    config = a_config(run(AT_SOCKET))
    async with balancing(tmp_path, config) as living, balancing(tmp_path, config) as killed:
        killed.signal(signal.SIGKILL)
        await killed.program.ended()
        assert sorted(f"{lb.pid}.local" for lb in (living, killed)) == sorted(places(tmp_path))
        async with balancing(tmp_path, config) as lb:
            assert sorted(f"{lb.pid}.local" for lb in (living, lb)) == sorted(places(tmp_path))
            assert {await living.name() for _ in range(2)} == {str(pid) for pid in await pids(living)}
    assert ["balancer.yaml"] == os.listdir(tmp_path)


async def test_they_run_on_without_the_control_process_and_the_next_one_knows_them(tmp_path: Path) -> None:
    async with balancing(tmp_path, a_config(run(), health_check=False)) as lb:
        first = await all_up(lb)
        os.kill(lb.control(), signal.SIGKILL)
        os.kill(first[0], signal.SIGKILL)
        new = await another(lb, 0, first[0])
        assert {str(new), str(first[1])} == {await lb.name() for _ in range(4)}
        os.kill(first[1], signal.SIGKILL)
        await another(lb, 1, first[1])


async def test_a_new_program_starts_its_own_and_the_old_ones_end(tmp_path: Path) -> None:
    async with balancing(tmp_path, a_config(run(AT_SOCKET), health_check=CHECKED)) as lb:
        first = await all_up(lb)
        async with Callers(lb.port, 8) as callers:
            await callers.more(20)
            answer = await lb.ask("upgrade")
            assert "failed" not in answer, answer
            old, lb.pid = lb.pid, answer["pid"]
            await until(lambda: not alive(old), "the old one has drained")
            await callers.more(20)
        assert {"answered"} == set(callers.outcomes)
        assert set(first).isdisjoint(await all_up(lb))
        await until(lambda: not any(map(alive, first)))


@ANYONE
async def test_they_are_the_user_that_the_workers_are(roots: Anyone) -> None:
    command = AT_SOCKET.replace(sys.executable, roots.python)
    async with balancing(roots.home, {**a_config(run(command)), "user": NOBODY}, **roots.how(None)) as lb:
        first = await all_up(lb)
        assert [status_field(lb.control(), "Uid")] * 2 == [status_field(pid, "Uid") for pid in first]
        assert {str(pid) for pid in first} == {await lb.name() for _ in range(2)}


async def test_a_person_is_shown_them(tmp_path: Path) -> None:
    async with balancing(tmp_path, a_config(run())) as lb:
        first = await all_up(lb)
        status, said, complained = await lb.run("status")
        assert (0, "") == (status, complained)
        assert re.search(rf"web/0 +{first[0]} +ready +\S+ +0 +127\.0\.0\.1:\d+", said), said


async def test_a_start_that_is_given_up_leaves_no_process(tmp_path: Path) -> None:
    """A port that is taken is found after the processes have been started."""
    async with balancing(tmp_path, a_config(run())) as lb:
        taken = lb.port
        beside = tmp_path / "beside"
        beside.mkdir()
        config = a_config(run(AT_SOCKET))
        config["listeners"]["web"]["bind"] = f"127.0.0.1:{taken}"
        with pytest.raises(AssertionError, match="in use"):
            async with balancing(beside, config):
                pass
        assert [] == places(beside)


async def test_a_second_interrupt_ends_those_that_do_not_want_to(tmp_path: Path) -> None:
    entry = run(f"{AT_PORT} --stubborn", processes=1, stop_timeout="60s")
    async with balancing(tmp_path, a_config(entry, health_check=False)) as lb:
        (pid,) = await pids(lb)
        lb.signal(signal.SIGINT)
        await lb.says("stopping")
        await until(lambda: not children(lb.pid)[1:], "the others have ended")
        assert alive(pid)
        lb.signal(signal.SIGINT)
        assert 0 == await lb.program.ended()
        await until(lambda: not alive(pid))


async def test_a_directory_and_an_environment_are_given(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    text = "import os, time; print(os.getcwd(), os.environ['WHO'], flush=True); time.sleep(60)"
    entry = run(f'{sys.executable} -c "{text}" {{socket}}', directory="app", environment={"WHO": "number {index}"})
    async with balancing(tmp_path, a_config({**entry, "ready_timeout": "3s"})) as lb:
        await lb.says(f"[web/1] {tmp_path}/app number 1")


async def asked(port: int) -> str:
    """Who answers a datagram from an address of its own; empty where nobody does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(("127.0.0.1", port))
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, b"who?")
        try:
            async with asyncio.timeout(15.0):
                return (await loop.sock_recv(sock, 100)).decode()
        except (TimeoutError, ConnectionRefusedError):
            return ""


async def test_servers_of_datagrams_are_ready_when_their_port_is_bound(tmp_path: Path) -> None:
    (port,) = free_ports(1, udp=True)
    config = a_config(run(f"{AT_PORT} --udp"))
    config["listeners"]["web"] = {
        "bind": f"127.0.0.1:{port}",
        "protocol": "udp",
        "answers": 1,
        "session_timeout": "10s",
        "pool": "web",
    }
    async with balancing(tmp_path, config) as lb:
        first = await all_up(lb)
        assert set(map(str, first)) == {await asked(port) for _ in range(4)}
        os.kill(first[0], signal.SIGKILL)
        new = await another(lb, 0, first[0])

        async def both() -> bool:
            return {str(new), str(first[1])} == {await asked(port) for _ in range(2)}

        await eventually(both, "both answer")

"""What cannot be: said in one line that names the key and the mend, exit status 1; at a reload nothing changes."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.processes.anyone import ANYONE, Anyone
from tests.processes.balancer import COMMAND, balancing, environment, supervisors, with_workers, write
from tests.real.backends import backend
from tests.real.client import HOST
from tests.real.programs import program
from tests.real.support import Config

pytestmark = pytest.mark.real

Change = Callable[[Config], None]


def too_many_backends(config: Config) -> None:
    config["pools"]["web"]["backends"] = [f"{HOST}:{port}" for port in range(1000, 1040)]


def no_such_log(config: Config) -> None:
    config["access_log"] = "/nowhere/access.log"


def no_such_address(config: Config) -> None:
    config["listeners"]["web"]["bind"] = "192.0.2.1:0"


def no_such_policy(config: Config) -> None:
    config["pools"]["web"]["policy"] = "nowhere_to_be_found:pick"


def no_such_certain_user(config: Config) -> None:
    config["user"] = "nobody-at-all"


# What is changed, and words that the one line has: the key, the value, the mend.
CASES: Final[dict[str, tuple[Change, list[str]]]] = {
    "too many backends": (too_many_backends, ["max_backends", "40", "20"]),
    "a log that cannot be written": (no_such_log, ["access_log", "/nowhere/access.log", "No such file", "or off"]),
    "another machine's address": (no_such_address, ["listeners.web.bind", "192.0.2.1", "bind 0.0.0.0"]),
    "a policy that is not there": (no_such_policy, ["policy", "nowhere_to_be_found"]),
}


@pytest.mark.parametrize("what", CASES)
async def test_it_starts_nothing_and_changes_nothing(tmp_path: Path, what: str) -> None:
    change, expected = CASES[what]
    async with backend() as one:
        good = {**with_workers(2, one.port), "max_backends": 20}
        bad = {**with_workers(2, one.port), "max_backends": 20}
        change(bad)
        await _starts_nothing(tmp_path, bad, expected)
        async with balancing(tmp_path, good) as lb:
            pids = lb.all()
            lb.write(bad)
            status, said, complained = await lb.run("reload")
            assert (1, "") == (status, said)
            _one_line(complained, expected)
            assert pids == lb.all()
            assert (1, 1) == ((await lb.status())["configuration"], (await lb.status())["refused"])
            assert ["one"] * 4 == [await lb.name() for _ in range(4)]


def _one_line(complained: str, expected: list[str]) -> None:
    assert 1 == len(complained.splitlines()), complained
    assert [] == [words for words in expected if words not in complained], complained


async def _starts_nothing(home: Path, config: Config | None, expected: list[str], **how: Any) -> None:
    if config is not None:
        write(home / "balancer.yaml", config)
    command = how.pop("command", COMMAND)
    environ = {**environment(home), **how.pop("environ", {})}
    async with program(*command, "run", "-c", str(home / "balancer.yaml"), environ=environ, **how) as started:
        assert 1 == await started.ended()
        assert "" == started.said
        _one_line(started.complained, expected)
    assert [] == supervisors(home)


async def test_a_port_in_use(tmp_path: Path) -> None:
    """Also where the other program shares it: two balancers on one port would serve by turns."""
    for shared in (False, True):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
            taken.bind((HOST, 0))
            taken.listen()
            port = taken.getsockname()[1]
            config = with_workers(2, 1)
            config["listeners"]["web"]["bind"] = f"{HOST}:{port}"
            await _starts_nothing(
                tmp_path, config, ["listeners.web.bind", f"{HOST}:{port}", "the port is in use", "ss -"]
            )


async def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    await _starts_nothing(tmp_path, None, ["balancer.yaml", "cannot be read"])
    (tmp_path / "balancer.yaml").mkdir()
    await _starts_nothing(tmp_path, None, ["balancer.yaml", "cannot be read"])


async def test_a_user_that_does_not_exist(tmp_path: Path) -> None:
    config = {**with_workers(2, 1), "user": "nobody-at-all"}
    await _starts_nothing(tmp_path, config, ["user", "nobody-at-all", "no such user", "create it"])


async def test_a_command_without_a_balancer(tmp_path: Path) -> None:
    """And one that names another process than it has."""
    for command in ("reload", "status", "upgrade"):
        async with program(*COMMAND, command, environ=environment(tmp_path)) as ran:
            assert 1 == await ran.ended()
            _one_line(ran.complained, ["no balancer of this user is running", str(tmp_path), "steelyard run"])
    async with program(*COMMAND, "status", "--pid", str(os.getpid()), environ=environment(tmp_path)) as ran:
        assert 1 == await ran.ended()
        _one_line(ran.complained, [f"process id {os.getpid()}"])


async def test_what_is_no_command_is_answered_and_harms_nobody(tmp_path: Path) -> None:
    async with backend() as one, balancing(tmp_path, with_workers(1, one.port)) as lb:
        for said in (
            b"\n",
            b"{}\n",
            b"[1, 2]\n",
            b'{"do": "nothing"}\n',
            b'{"do": ["reload"]}\n',
            b"\xff\xfe\n",
            b"5\n",
        ):
            reader, writer = await asyncio.open_unix_connection(tmp_path / f"{lb.pid}.sock")
            writer.write(said)
            assert b"no such command" in await reader.readline()
            writer.close()
        assert "one" == await lb.name()


# As somebody who is not root.


@ANYONE
async def test_a_port_that_only_root_may_bind(anyone: Anyone) -> None:
    async with backend() as one:
        config = with_workers(2, one.port)
        config["listeners"]["web"]["bind"] = f"{HOST}:81"
        await _starts_nothing(
            anyone.home, config, ["listeners.web.bind", "port 81", "bind 8080", "setcap"], **anyone.how()
        )
        async with balancing(anyone.home, with_workers(2, one.port), **anyone.how()) as lb:
            lb.write(config)
            answer = await lb.ask("reload")
            _one_line(answer["failed"], ["listeners.web.bind", "port 81", "bind 8080"])
            assert "one" == await lb.name()


@ANYONE
async def test_a_file_that_is_not_for_this_user(anyone: Anyone) -> None:
    write(anyone.home / "balancer.yaml", with_workers(2, 1))
    (anyone.home / "balancer.yaml").chmod(0o600)
    await _starts_nothing(anyone.home, None, ["balancer.yaml", "cannot be read", "Permission"], **anyone.how())


@ANYONE
async def test_only_root_becomes_another(anyone: Anyone) -> None:
    config = {**with_workers(2, 1), "user": "root"}
    await _starts_nothing(anyone.home, config, ["user", "only root becomes another", "start as root"], **anyone.how())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to have a program that another user may not run")
async def test_a_python_that_the_user_may_not_run(tmp_path: Path) -> None:
    """Such as one below /root."""
    python = tmp_path / "python"
    python.symlink_to(sys.executable)  # pytest's directories are for their user alone
    config = {**with_workers(2, 1), "user": "nobody"}
    how = {"command": (str(python), "-m", "steelyard"), "environ": {"PYTHONPATH": os.pathsep.join(sys.path)}}
    await _starts_nothing(tmp_path, config, ["user", str(python), "Permission denied"], **how)

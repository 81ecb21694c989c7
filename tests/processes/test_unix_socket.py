"""A listener on a unix socket, which all workers share: its file, and who may take it."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from tests.processes.balancer import COMMAND, alive, balancing, environment, supervisors, with_workers, write
from tests.real.backends import backend
from tests.real.client import Client
from tests.real.programs import program
from tests.real.support import Config, until

pytestmark = pytest.mark.real


def on_path(path: Path, port: int) -> Config:
    config = with_workers(2, port)
    config["listeners"]["web"]["bind"] = f"unix:{path}"
    return config


async def name(path: Path) -> bytes:
    """Who answers there."""
    client = Client(*await asyncio.open_unix_connection(path))
    answer = await client.ask()
    client.close()
    return answer.body


async def test_all_workers_serve_on_it_and_it_is_gone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "web"
    async with backend() as one:
        async with balancing(tmp_path, on_path(path, one.port)) as lb:
            assert [b"one"] * 8 == [await name(path) for _ in range(8)]
            for pid in await lb.workers():  # each of them alone
                os.kill(pid, signal.SIGSTOP)
                assert [b"one"] * 4 == [await name(path) for _ in range(4)]
                os.kill(pid, signal.SIGCONT)
            await lb.reload()
            assert b"one" == await name(path)
        assert not path.exists()


async def test_an_upgrade_keeps_the_file(tmp_path: Path) -> None:
    path = tmp_path / "web"
    async with backend() as one:
        async with balancing(tmp_path, on_path(path, one.port)) as lb:
            inode = path.stat().st_ino
            old, new = lb.pid, (await lb.ask("upgrade"))["pid"]
            await until(lambda: not alive(old))
            assert inode == path.stat().st_ino
            assert [b"one"] * 4 == [await name(path) for _ in range(4)]
            lb.pid = new
        assert not path.exists()


async def test_a_file_that_a_killed_balancer_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "web"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    async with backend() as one:
        async with balancing(tmp_path, on_path(path, one.port)) as lb:
            assert b"one" == await name(path)
            pids = lb.all()
            lb.signal(signal.SIGKILL)
            await until(lambda: not any(map(alive, pids)))
            assert path.is_socket()
        async with balancing(tmp_path, on_path(path, one.port)):
            assert b"one" == await name(path)


async def test_a_file_that_is_in_use_or_no_socket_is_an_error(tmp_path: Path) -> None:
    """One line with the mend, exit status 1, and what is there stays."""
    used, plain = tmp_path / "used", tmp_path / "plain"
    plain.write_text("a diary")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(used))
        sock.listen()
        for path, expected in (
            (used, "the socket is in use"),
            (plain, "there is a file at this path that is no socket"),
        ):
            write(tmp_path / "balancer.yaml", on_path(path, 1))
            run = (*COMMAND, "run", "-c", str(tmp_path / "balancer.yaml"))
            async with program(*run, environ=environment(tmp_path)) as started:
                assert 1 == await started.ended()
                assert expected in started.complained
                assert 1 == len(started.complained.splitlines())
        assert used.is_socket()
        assert "a diary" == plain.read_text()
        assert [] == supervisors(tmp_path)

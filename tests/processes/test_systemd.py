"""What systemd gives and is told: readiness, the main process, the watchdog, and sockets that it has bound."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from steelyard.processes.notify import notify
from tests.processes.balancer import COMMAND, Balancer, alive, balancing, supervisors, with_workers
from tests.real.backends import backend
from tests.real.client import HOST
from tests.real.support import until

pytestmark = pytest.mark.real

# As systemd does: the sockets are descriptors from 3 on, and LISTEN_PID is who is to take them.
ACTIVATE: Final = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


class Heard:
    """The socket that a unit is told by, and the lines that came."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.lines: list[str] = []

    def __call__(self, line: str, times: int = 1) -> bool:
        """Whether it has been told so often."""
        while True:
            try:
                self.lines += self.sock.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.lines.count(line) >= times


@contextmanager
def told(home: Path) -> Iterator[Heard]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(home / "notify"))
        sock.setblocking(False)
        yield Heard(sock)


async def test_it_says_when_it_serves_who_it_is_and_when_it_stops(tmp_path: Path) -> None:
    """Type=notify: READY=1 not before requests are served, MAINPID on an upgrade, STOPPING=1 at the end alone."""
    with told(tmp_path) as heard:
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        async with backend() as one, balancing(tmp_path, with_workers(2, one.port), environ=environ) as lb:
            await until(lambda: heard("READY=1"))
            assert f"MAINPID={lb.pid}" in heard.lines
            assert "one" == await lb.name()
            old = lb.pid
            new = (await lb.ask("upgrade"))["pid"]
            await until(lambda: heard(f"MAINPID={new}"))
            await until(lambda: supervisors(tmp_path) == [new])
            assert old != new
            assert not heard("STOPPING=1")
            # What is said last is what systemd goes by.
            assert f"MAINPID={new}" == [line for line in heard.lines if line.startswith("MAINPID=")][-1]
            lb.pid = new
            lb.signal(signal.SIGTERM)
            await until(lambda: heard("STOPPING=1"))
            await until(lambda: not alive(new))


async def test_it_feeds_the_watchdog(tmp_path: Path) -> None:
    with told(tmp_path) as heard:
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
        async with backend() as one, balancing(tmp_path, with_workers(1, one.port), environ=environ):
            await until(lambda: heard("WATCHDOG=1", 3))


def test_a_reader_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    """The kernel keeps a few messages for it, and then makes the sender wait: the supervisor must go on."""
    with told(tmp_path) as heard, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as others:
        others.setblocking(False)
        others.connect(str(tmp_path / "notify"))
        with suppress(BlockingIOError):
            while True:
                others.send(b"STATUS=full")
        notify("WATCHDOG=1", environ={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert not heard("WATCHDOG=1")
        notify("WATCHDOG=1", environ={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert heard("WATCHDOG=1")


async def test_it_serves_on_a_socket_that_systemd_has_bound(tmp_path: Path) -> None:
    """By the name that the socket unit gives it; two workers share it, and it outlives a reload and an upgrade."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        sock.listen(64)
        port = sock.getsockname()[1]
        activate = (sys.executable, "-c", ACTIVATE, str(sock.fileno()), *COMMAND)
        environ = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}
        how: dict[str, Any] = {"environ": environ, "pass_fds": (sock.fileno(),), "command": activate}
        async with backend() as one, balancing(tmp_path, _bound_to(port, one.port), **how) as lb:
            sock.close()
            assert port == lb.port
            assert ["one"] * 12 == [await lb.name() for _ in range(12)]
            await lb.reload()
            for pid in await lb.workers():
                os.kill(pid, signal.SIGKILL)
                assert "one" == await lb.name()
            new = (await lb.ask("upgrade"))["pid"]
            await until(lambda: supervisors(tmp_path) == [new])
            lb.pid = new
            assert ["one"] * 12 == [await lb.name() for _ in range(12)]
            await _reloads(lb)


def _bound_to(port: int, behind: int) -> dict[str, object]:
    config = with_workers(2, behind)
    config["listeners"]["web"]["bind"] = f"{HOST}:{port}"
    return config


async def _reloads(lb: Balancer) -> None:
    await lb.reload()
    assert "one" == await lb.name()

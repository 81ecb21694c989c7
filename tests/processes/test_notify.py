"""systemd is told what it wants to know, and what it hands over is taken; without it nothing happens."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from steelyard.processes.notify import FIRST_DESCRIPTOR, Watchdog, activated, notify, watchdog_s


@pytest.fixture(params=["a file", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """A NOTIFY_SOCKET that is listened at, and the environment that says where."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        address = str(tmp_path / "notify") if request.param == "a file" else f"\0steelyard-test-{os.getpid()}"
        sock.bind(address)
        sock.setblocking(False)
        yield sock, {"NOTIFY_SOCKET": address.replace("\0", "@")}


def test_lines_are_sent_as_one(systemd: tuple[socket.socket, dict[str, str]]) -> None:
    sock, environ = systemd
    notify("READY=1", "STATUS=serving", environ=environ)
    assert b"READY=1\nSTATUS=serving" == sock.recv(99)


@pytest.mark.parametrize("address", [None, "", "relative", "/no/such/socket"])
def test_where_nobody_listens_it_is_lost(address: str | None) -> None:
    notify("READY=1", environ={} if address is None else {"NOTIFY_SOCKET": address})


@pytest.mark.parametrize(
    ("expected", "environ"),
    [
        (None, {}),
        (None, {"WATCHDOG_USEC": "0"}),
        (None, {"WATCHDOG_USEC": "soon"}),
        (None, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}),
        (15.0, {"WATCHDOG_USEC": "30000000"}),
        (15.0, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}),
    ],
)
def test_a_watchdog_is_heard_twice_in_its_time(expected: float | None, environ: dict[str, str]) -> None:
    assert expected == watchdog_s(environ)


def test_the_watchdog_hears_of_us_when_it_is_time(systemd: tuple[socket.socket, dict[str, str]]) -> None:
    sock, environ = systemd
    watchdog = Watchdog({**environ, "WATCHDOG_USEC": "20000000"})
    heard = []
    for tick in range(21):
        watchdog.tick(1000.0 + tick)
        with suppress(BlockingIOError):
            heard.append((tick, sock.recv(99)))
    assert [(at, b"WATCHDOG=1") for at in (0, 10, 20)] == heard


def test_without_a_watchdog_nothing_is_said(systemd: tuple[socket.socket, dict[str, str]]) -> None:
    sock, environ = systemd
    Watchdog(environ).tick(1000.0)
    with pytest.raises(BlockingIOError):
        sock.recv(99)


def test_sockets_that_are_another_process_s_are_not_ours() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web", "PATH": "/bin"}
    assert ([], {"PATH": "/bin"}) == (activated(environ), environ)


@pytest.mark.parametrize("count", [{}, {"LISTEN_FDS": "many"}, {"LISTEN_FDS": "0"}])
def test_without_sockets_there_are_none(count: dict[str, str]) -> None:
    assert [] == activated({"LISTEN_PID": str(os.getpid()), **count})


@pytest.mark.real
@pytest.mark.parametrize(("names", "expected"), [("web:api", ["web", "api"]), ("web", ["web", ""]), (None, ["", ""])])
def test_the_sockets_that_a_process_starts_with_are_taken_and_go_to_none_of_its_children(
    names: str | None, expected: list[str]
) -> None:
    program = (
        "import os; from steelyard.processes.notify import activated\n"
        "os.environ['LISTEN_PID'] = str(os.getpid())\n"
        "found = activated()\n"
        "print([name for name, _ in found], [fd for _, fd in found], [os.get_inheritable(fd) for _, fd in found],\n"
        "      [key for key in os.environ if key.startswith('LISTEN_')])\n"
    )
    environ = {**os.environ, "LISTEN_FDS": "2", **({} if names is None else {"LISTEN_FDNAMES": names})}
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        # As systemd does: from 3 on.
        shell = f'exec "$0" -c "$1" 3<&{one.fileno()} 4<&{other.fileno()}'
        done = subprocess.run(
            ["bash", "-c", shell, sys.executable, program],
            pass_fds=(one.fileno(), other.fileno()),
            env=environ,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    assert f"{expected} [{FIRST_DESCRIPTOR}, {FIRST_DESCRIPTOR + 1}] [False, False] []\n" == done.stdout

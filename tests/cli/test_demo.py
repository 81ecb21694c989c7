"""`steelyard demo` as it is used: in a script, at a terminal, and where it cannot run."""

import http.client
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic

import pytest
from typer.testing import CliRunner

from steelyard.cli import demo
from steelyard.cli.main import app

HOST = "127.0.0.1"
PATIENCE_S = 60.0
ANY_PORTS = ("--port", "0", "--server-port", "0")
# The demo, whose last act does not come to its end: however late a Ctrl-C is, it is in the midst.
WITHOUT_END = """
from asyncio import Event
from steelyard.cli.demo_show import Show
from steelyard.cli.main import main
Show._return = lambda *_: Event().wait()
main()
"""


@pytest.mark.real
def test_without_a_terminal_it_shows_everything_and_ends_with_0() -> None:
    command = [sys.executable, "-m", "steelyard", "demo", *ANY_PORTS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (0, "") == (done.returncode, done.stderr), done.stdout
    rows = [re.sub(r"[│ ]+", " ", line).strip() for line in done.stdout.splitlines() if line.startswith("│")]
    assert [str(number) for number in range(1, 10)] == [row.split()[0] for row in rows[:9]]
    columns = [line.index("●") for line in done.stdout.splitlines() if "●" in line]
    assert sorted(set(columns)) * 3 == columns, "the marks go 1, 2, 3, 1, 2, 3, 1, 2, 3"
    assert re.fullmatch(r"Server 2 \d+ 0", rows[10]), rows
    assert "errors 0" == rows[12]
    assert "60 requests, 60 good answers: nobody noticed." in done.stdout
    assert "Server 2 comes back" in done.stdout
    # Whatever turns the kill has cost: the commands of the README, tried next, begin with Server 1.
    assert "six requests: " + "Server 1  Server 2  Server 3  " * 2 in done.stdout
    assert "Try next" not in done.stdout


class Terminal:
    """The demo in a terminal. how: what Python is to run."""

    def __init__(self, *options: str, how: tuple[str, ...] = ("-m", "steelyard")) -> None:
        self.screen, theirs = pty.openpty()
        environ = {**os.environ, "TERM": "dumb", "COLUMNS": "200"}
        command = [sys.executable, *how, "demo", *ANY_PORTS, *options]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ)
        os.close(theirs)
        self.said = b""

    def until(self, pattern: str | None) -> re.Match[str] | None:
        """Read until the pattern is found; None: until all has closed the terminal."""
        give_up = monotonic() + PATIENCE_S
        while pattern is None or not (found := re.search(pattern, self.text)):
            assert select.select([self.screen], [], [], max(0.0, give_up - monotonic()))[0], self.text
            try:
                self.said += os.read(self.screen, 65536)
            except OSError:  # Linux says so when nobody holds the other side
                assert pattern is None, self.text
                return None
        return found

    def number(self, pattern: str) -> int:
        found = self.until(pattern)
        assert found is not None
        return int(found[1])

    @property
    def text(self) -> str:
        return self.said.decode(errors="ignore").replace("\r\n", "\n")


@contextmanager
def terminal(*options: str, **how: tuple[str, ...]) -> Iterator[Terminal]:
    shown = Terminal(*options, **how)
    try:
        yield shown
    finally:
        shown.process.kill()
        shown.process.wait()
        os.close(shown.screen)


def servers(shown: Terminal) -> list[int]:
    """The ports of its servers."""
    return [shown.number(rf"Server {number} +http://127\.0\.0\.1:(\d+)") for number in (1, 2, 3)]


def refused(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((HOST, port)) != 0


def ask(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=PATIENCE_S) as answer:
        return str(answer.read().decode())


def kill_in_their_midst(victim: int, port: int, paths: list[str]) -> set[str]:
    """Kill a server while one of these requests is with it, or on the way to it; who answered them."""
    connections = [http.client.HTTPConnection(HOST, port, timeout=PATIENCE_S) for _ in paths]
    os.kill(victim, signal.SIGSTOP)  # else it might have answered, and its death been noticed, before it is asked
    for connection, path in zip(connections, paths, strict=True):
        connection.request("GET", path)
    os.kill(victim, signal.SIGKILL)
    names = {connection.getresponse().read().decode() for connection in connections}
    for connection in connections:
        connection.close()
    return names


@pytest.mark.real
def test_at_a_terminal_it_says_what_to_try_and_shows_each_request_until_ctrl_c() -> None:
    with terminal() as shown:
        port = shown.number(r"Steelyard +http://127\.0\.0\.1:(\d+)")
        shown.until(r"time +client +method +path +backend +status +ms\n")
        assert f"curl -s localhost:{port}" in shown.text
        victim = shown.number(r"kill -9 (\d+)\n[^\n]*\n[^\n]* run ")
        who = ask(port, "/some/path?a=1")
        shown.until(rf"\d\d:\d\d:\d\d  127\.0\.0\.1 +GET +/some/path\?a=1 +{who} :\d+ +200 +\d+\.\d")
        midst = kill_in_their_midst(victim, port, [f"/midst/{number}" for number in range(3)])
        after = {ask(port, f"/after/{number}") for number in range(6)}
        assert [{"Server 1", "Server 2"}] * 2 == [midst, after]
        shown.until(r"/midst/\d .* after 2 tries\n")
        shown.process.send_signal(signal.SIGINT)
        shown.until(None)
        assert 0 == shown.process.wait(PATIENCE_S)
        assert "Traceback" not in shown.text
        assert all(refused(each) for each in [port, *servers(shown)])


@pytest.mark.real
def test_with_once_it_ends_by_itself_at_a_terminal_too() -> None:
    with terminal("--once") as shown:
        shown.until(None)
        assert 0 == shown.process.wait(PATIENCE_S)
        assert "Ctrl-C" not in shown.text


@pytest.mark.real
@pytest.mark.parametrize(("options", "status"), [((), 0), (("--once",), 1)])
def test_ctrl_c_in_the_midst_ends_it_cleanly(options: tuple[str, ...], status: int) -> None:
    """With 1 where the whole show was asked for and did not come."""
    with terminal(*options, how=("-c", WITHOUT_END)) as shown:
        shown.until("Three servers")
        shown.process.send_signal(signal.SIGINT)
        shown.until(None)
        assert status == shown.process.wait(PATIENCE_S)
        assert "The demo ends" in shown.text
        assert "Traceback" not in shown.text


@pytest.mark.real
def test_its_servers_end_with_it_even_when_it_is_killed() -> None:
    with terminal() as shown:
        shown.until(r"time +client")
        ports = servers(shown)
        assert not any(refused(port) for port in ports)
        shown.process.kill()
        shown.until(None)  # the servers hold the terminal as long as they live
        # A process that ends closes one descriptor after the other, and its socket after its terminal.
        give_up = monotonic() + PATIENCE_S
        while not all(refused(port) for port in ports):
            assert monotonic() < give_up


def test_taken_ports_are_said_all_at_once_with_a_command_that_works() -> None:
    with ExitStack() as stack:
        taken = []
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.bind((HOST, 0))
            sock.listen()
            taken.append(sock.getsockname()[1])
        port, server_port = min(taken), max(taken)  # of four, so the balancer's is none of the three servers'
        result = CliRunner().invoke(app, ["demo", "--port", str(port), "--server-port", str(server_port)])
    assert (1, "") == (result.exit_code, result.stdout)
    lines = result.stderr.splitlines()
    assert f"port {port}, for the balancer: taken by another program (ss -ltnp 'sport = :{port}' shows it)" == lines[0]
    assert f"port {server_port}, for Server 1: taken by another" in lines[1]
    assert re.fullmatch(r"Move the demo: .+ demo --port \d+ --server-port \d+   or: make demo ARGS='.*'", lines[-1])


def test_one_port_for_two_is_a_usage_error() -> None:
    result = CliRunner().invoke(app, ["demo", "--port", "8001"])
    assert 2 == result.exit_code
    assert "8001 is Server 2's" in result.stderr


@pytest.mark.parametrize(
    ("called", "on_path", "expected"),
    [
        ("/x/steelyard/__main__.py", True, "python -m steelyard"),
        (".venv/bin/steelyard", True, "steelyard"),
        (".venv/bin/steelyard", False, ".venv/bin/steelyard"),
    ],
)
def test_hints_call_the_program_as_the_user_can(
    monkeypatch: pytest.MonkeyPatch, called: str, on_path: bool, expected: str
) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if on_path else None)
    assert expected == demo.program()

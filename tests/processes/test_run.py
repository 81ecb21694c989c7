"""`steelyard run` as people see it: it says where it is, ends with 0, and with one line and 1 where it cannot run."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.real.programs import accepting
from tests.real.support import free_ports
from tests.systems.programs import HOST, PATIENCE_S, get

pytestmark = pytest.mark.real


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where its socket for commands is: nobody else's."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    return tmp_path / "run"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "steelyard", *arguments]


def started(*arguments: str) -> "subprocess.Popen[str]":
    run = command("run", "--workers", "2", *arguments)
    return subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_ends_with_0(number: int, place: Path) -> None:
    with started("127.0.0.1:1", "--listen", "127.0.0.1:0", "--policy", "least_connections") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        said = re.fullmatch(
            r"listening on http://127\.0\.0\.1:(\d+) -> pool web \(least_connections\): 127\.0\.0\.1:1\n", line
        )
        assert said, line
        with socket.create_connection(("127.0.0.1", int(said[1])), timeout=50.0) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert client.makefile("rb").readline().startswith(b"HTTP/1.1 50")
        assert [f"{process.pid}.sock"] == [path.name for path in place.iterdir()]
        # The control process says so, and may not have come to its first check when a worker answers already.
        assert process.stderr is not None
        while "[down]" not in (line := process.stderr.readline()):
            assert line
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert 0 == process.returncode
    assert "stopping: requests in flight have 30 s to finish; Ctrl-C again stops at once\n" in errors
    assert "Traceback" not in errors
    assert [] == list(place.iterdir())


def test_a_hangup_without_a_terminal_reloads_and_closes_no_connection(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("listeners: {web: {bind: '127.0.0.1:0', routes: [{respond: {body: one}}]}}\n")
    with started("-c", str(file)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        port = int(process.stdout.readline().partition(" -> ")[0].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=50.0) as client:
            answers = client.makefile("rb")
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert answers.readline().startswith(b"HTTP/1.1 200")
            file.write_text(file.read_text().replace("one", "two"))
            process.send_signal(signal.SIGHUP)
            while "configuration 2 is in force" not in (line := process.stderr.readline()):
                assert line
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert b"two" in answers.read()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert (0, False) == (process.returncode, "Traceback" in errors)


def test_a_port_in_use_is_one_line_and_ends_with_1(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with started("127.0.0.1:1", "--listen", address) as process:
            said, errors = process.communicate(timeout=30)
    assert (1, "", 1) == (process.returncode, said, len(errors.splitlines()))
    assert errors.startswith(f"--listen: {address}: ")
    assert [] == list(place.iterdir())


def test_a_file_that_cannot_run_is_a_line_for_each_problem_and_ends_with_1(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("listeners: {web: {bind: ':1', pol: app}}\nnonsense: 1\n")
    with started("-c", str(file)) as process:
        said, errors = process.communicate(timeout=30)
    assert (1, "") == (process.returncode, said)
    assert [f"{file}:1", f"{file}:2"] == sorted({":".join(line.split(":")[:2]) for line in errors.splitlines()})


def test_where_there_is_no_place_for_its_socket_it_says_so_and_serves_without(place: Path) -> None:
    """A container may have nowhere to write to."""
    place.mkdir()
    place.chmod(0o777)
    with started("127.0.0.1:1", "--listen", "127.0.0.1:0") as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().partition(" -> ")[0].rpartition(":")[2])
        assert get(port).status in (502, 503)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert 0 == process.returncode
    assert f"{place} is not a directory that only this user may write to" in errors.splitlines()[0]
    assert errors.splitlines()[0].endswith("; signals work all the same")


def test_it_does_not_wait_for_whoever_should_read_what_it_says() -> None:
    """`2>&1 | less`: the pipe is full, yet requests are answered and a signal ends it."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    with suppress(BlockingIOError):
        while os.write(writes, 4096 * b"a"):
            pass
    os.set_blocking(writes, True)
    (port,) = free_ports(1)
    run = command("run", "127.0.0.1:1", "--listen", f"{HOST}:{port}", "--access-log", "-", "--workers", "2")
    process = subprocess.Popen(run, stdout=writes, stderr=writes)
    try:
        asyncio.run(asyncio.wait_for(accepting(port), PATIENCE_S))
        for _ in range(5):  # the backend is down, which is logged
            assert get(port).status in (502, 503)
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(PATIENCE_S)
    finally:
        process.kill()
        process.wait()
        os.close(reads)
        os.close(writes)

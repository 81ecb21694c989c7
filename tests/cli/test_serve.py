"""A balancer runs until a signal: the first one drains, a second Ctrl-C ends it at once."""

import asyncio
import logging
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, ClassVar

import pytest

from steelyard.cli import serve
from steelyard.control import config
from steelyard.core.spec import Spec
from steelyard.errors import ListenError
from steelyard.proxy.bind import Address
from tests.real.programs import accepting
from tests.real.support import free_ports
from tests.systems.programs import HOST, PATIENCE_S, get

SPEC = config.from_mapping(
    {
        "listeners": {
            "web": {"bind": ":80", "pool": "a"},
            "api": {"bind": ":81", "routes": [{"path": "/x", "pool": "b"}, {"path": "/y", "pool": "b"}, {"pool": "a"}]},
            "up": {"bind": ":82", "routes": [{"respond": {}}]},
        },
        "pools": {
            "b": {"backends": ["c:1"], "policy": "random"},
            "a": {"backends": [f"h:{port}" for port in range(1, 12)]},
        },
        "drain_timeout": "5s",
    }
)


class FakeBalancer:
    """Says what it is asked to do; sends this process signals when it starts and when it stops."""

    calls: ClassVar[list[Any]] = []
    on_start: ClassVar[list[int]] = []
    on_stop: ClassVar[list[int]] = []
    drains_for_ever = False
    refuses = False

    def __init__(self, spec: Spec) -> None:
        self.calls.append(spec)

    async def start(self) -> None:
        if self.refuses:
            raise ListenError("web", "in use")
        self.calls.append("start")
        for number in self.on_start:
            os.kill(os.getpid(), number)

    async def stop(self, drain_s: float | None = None) -> None:
        self.calls.append(("stop", drain_s))
        for number in self.on_stop:
            os.kill(os.getpid(), number)
        if self.drains_for_ever and drain_s is None:
            await asyncio.Event().wait()

    def address(self, name: str) -> Address:
        return Address(f"{name}.example.org", 80)


@pytest.fixture
def balancer(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeBalancer]]:
    class Fresh(FakeBalancer):
        calls: ClassVar[list[Any]] = []

    monkeypatch.setattr(serve, "LoadBalancer", Fresh)
    logger = logging.getLogger("steelyard")
    before = logger.handlers, logger.level, logger.propagate
    yield Fresh
    logger.handlers, logger.level, logger.propagate = before


LINES = """\
listening on http://web.example.org:80 -> pool a (round_robin): h:1, h:2, h:3, h:4, h:5, h:6, h:7, h:8 and 3 more
listening on http://api.example.org:80 -> pool b (random): c:1; pool a (round_robin): h:1, h:2, h:3, h:4, h:5, h:6, \
h:7, h:8 and 3 more
listening on http://up.example.org:80 -> fixed answers
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_drains_and_ends(
    number: int, balancer: type[FakeBalancer], capsys: pytest.CaptureFixture[str]
) -> None:
    balancer.on_start = [number]
    serve.serve(SPEC)
    assert [SPEC, "start", ("stop", None)] == balancer.calls
    said = capsys.readouterr()
    assert LINES == said.out
    assert "stopping: requests in flight have 5 s to finish; Ctrl-C again stops at once\n" == said.err


def test_a_second_interrupt_ends_at_once(balancer: type[FakeBalancer]) -> None:
    balancer.on_start, balancer.on_stop, balancer.drains_for_ever = [signal.SIGTERM], [signal.SIGINT], True
    serve.serve(SPEC)
    assert [SPEC, "start", ("stop", None), ("stop", 0)] == balancer.calls


def test_a_second_terminate_goes_on_draining(balancer: type[FakeBalancer]) -> None:
    balancer.on_start, balancer.on_stop = [signal.SIGTERM], [signal.SIGTERM]
    serve.serve(SPEC)
    assert [SPEC, "start", ("stop", None)] == balancer.calls


def test_a_hangup_is_ignored_where_whoever_started_us_said_so(balancer: type[FakeBalancer]) -> None:
    """As nohup does."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        balancer.on_start, balancer.on_stop = [signal.SIGHUP, signal.SIGTERM], [signal.SIGHUP]
        serve.serve(SPEC)
        assert signal.SIG_IGN is signal.getsignal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert [SPEC, "start", ("stop", None)] == balancer.calls


def test_an_address_in_use_is_passed_on(balancer: type[FakeBalancer], capsys: pytest.CaptureFixture[str]) -> None:
    balancer.refuses = True
    with pytest.raises(ListenError, match="in use"):
        serve.serve(SPEC)
    assert "" == capsys.readouterr().out


def test_what_goes_on_is_logged_with_its_time_on_standard_error(
    balancer: type[FakeBalancer], capsys: pytest.CaptureFixture[str]
) -> None:
    balancer.on_start = [signal.SIGINT]
    serve.serve(SPEC)
    logging.getLogger("steelyard").info("http://localhost:8000 [down]")
    assert re.search(
        r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} http://localhost:8000 \[down\]$", capsys.readouterr().err, re.M
    )


def started(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "steelyard", "run", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.real
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_real_balancer_says_where_it_is_and_ends_with_0(number: int) -> None:
    with started("127.0.0.1:1", "--listen", "127.0.0.1:0", "--policy", "least_connections") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        said = re.fullmatch(
            r"listening on http://127\.0\.0\.1:(\d+) -> pool web \(least_connections\): 127\.0\.0\.1:1\n", line
        )
        assert said, line
        with socket.create_connection(("127.0.0.1", int(said[1])), timeout=10) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert client.makefile("rb").readline().startswith(b"HTTP/1.1 50")
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert 0 == process.returncode
    assert "[down]" in errors
    assert "Traceback" not in errors


@pytest.mark.real
def test_a_real_port_in_use_is_one_line_and_ends_with_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with started("127.0.0.1:1", "--listen", address) as process:
            said, errors = process.communicate(timeout=30)
    assert (1, "", 1) == (process.returncode, said, len(errors.splitlines()))
    assert errors.startswith(f"--listen: {address}: ")


@pytest.mark.real
def test_a_real_balancer_does_not_wait_for_whoever_should_read_what_it_says() -> None:
    """`2>&1 | less`: the pipe is full, yet requests are answered and a signal ends it."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    with suppress(BlockingIOError):
        while os.write(writes, 4096 * b"a"):
            pass
    os.set_blocking(writes, True)
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "steelyard", "run", "127.0.0.1:1", "--listen", f"{HOST}:{port}"]
    process = subprocess.Popen([*command, "--access-log", "-"], stdout=writes, stderr=writes)
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

"""A new program says that it serves, or it is known not to."""

import json
import os
import selectors
import socket
import sys
from collections.abc import Iterator

import pytest

from steelyard.processes.succession import READY_FD, SUPERVISOR, Successor, command, report_ready

pytestmark = pytest.mark.real
READY = "from steelyard.processes.succession import report_ready; report_ready(); report_ready()\n"


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    with selectors.DefaultSelector() as selector:
        yield selector


def started(selector: selectors.BaseSelector, program: str, **environ: str) -> tuple[Successor, list[bool]]:
    said: list[bool] = []
    return Successor(selector, [sys.executable, "-c", program], environ, [], said.append), said


def heard(selector: selectors.BaseSelector) -> None:
    """Until the successor has said something, or has ended."""
    ((key, _),) = selector.select(30)
    key.data()


def test_one_that_says_so_has_come_up(selector: selectors.BaseSelector) -> None:
    successor, said = started(selector, READY + "input()")
    heard(selector)
    assert ([True], True, None) == (said, successor.decided, successor.process.poll())
    successor.give_up()  # too late for that
    assert {} == dict(selector.get_map())
    successor.process.kill()
    successor.process.wait()


def test_one_that_ends_has_not(selector: selectors.BaseSelector) -> None:
    successor, said = started(selector, "raise SystemExit(1)")
    heard(selector)
    assert ([False], True, {}) == (said, successor.decided, dict(selector.get_map()))
    assert successor.process.returncode is not None


def test_one_that_is_given_up_has_not(selector: selectors.BaseSelector) -> None:
    successor, said = started(selector, "import signal; signal.pause()")
    successor.give_up()
    heard(selector)
    assert ([False], -9) == (said, successor.process.returncode)


def test_it_inherits_the_sockets_and_what_it_is_told_of_them(selector: selectors.BaseSelector) -> None:
    said: list[bool] = []
    with socket.create_server(("127.0.0.1", 0)) as sock:
        program = (
            f"import os, socket; assert socket.socket(fileno={sock.fileno()}).getsockname()[1] == int(os.environ['P'])"
        )
        program += "; assert 'WATCHDOG_PID' not in os.environ; " + READY
        environ = {"P": str(sock.getsockname()[1])}
        os.environ["WATCHDOG_PID"] = str(os.getpid())  # whose number the new one has not
        try:
            successor = Successor(selector, [sys.executable, "-c", program], environ, [sock.fileno()], said.append)
        finally:
            del os.environ["WATCHDOG_PID"]
        heard(selector)
    assert ([True], 0) == (said, successor.process.wait(30))


def test_where_it_cannot_be_started_nothing_is_left_open(selector: selectors.BaseSelector) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        Successor(selector, ["/no/such/program"], {}, [], lambda came_up: None)
    assert (before, {}) == (os.listdir("/proc/self/fd"), dict(selector.get_map()))


def test_without_a_program_before_us_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(READY_FD, raising=False)
    report_ready()


def test_a_supervisor_is_started_with_its_words() -> None:
    words = {"file": "ü.yaml", "overrides": {"workers": None}}
    *start, text = command(SUPERVISOR, words)
    assert ([sys.executable, "-P", "-m", "steelyard.supervisor"], words) == (start, json.loads(text))

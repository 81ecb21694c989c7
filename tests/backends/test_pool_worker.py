"""pool_worker.py: the loop of a worker, and what it says of what functions do. As a process: test_local_pool.py."""

import ctypes
import os
import pickle
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from steelyard.backends import pool_wire as wire
from steelyard.backends import pool_worker
from steelyard.backends.pool_worker import Raised, Setup, describe, next_permit, serve
from steelyard.backends.pool_worker import work as do_work
from steelyard.backends.results import CANNOT_SAY
from tests.backends import work


def done(function: Any, task: Any) -> tuple[int, Any]:
    kind, body = do_work(function, pickle.dumps(task))
    return kind, pickle.loads(body)


def test_a_value_comes_back() -> None:
    assert (wire.VALUE, 8) == done(work.plus_one, 7)


def test_what_a_function_raises_comes_back_with_its_own_traceback_alone() -> None:
    kind, raised = done(work.do, ("raise", "a reason"))
    assert (wire.RAISED, "ValueError", "a reason") == (kind, raised.kind, raised.text)
    assert raised.trace.endswith("raise ValueError(text)\nValueError: a reason\n")
    assert "pool_worker.py" not in raised.trace
    again = pickle.loads(raised.pickled)
    assert (ValueError, "a reason") == (type(again), str(again))


def test_a_function_that_exits_has_raised() -> None:
    kind, raised = done(work.do, ("exit", 3))
    assert (wire.RAISED, "SystemExit", "3") == (kind, raised.kind, raised.text)


def test_a_value_that_cannot_be_pickled_is_called_by_its_type() -> None:
    kind, raised = done(work.do, ("socket",))
    assert (wire.UNPICKLABLE, "lock") == (kind, raised.kind)
    assert "cannot pickle" in raised.text


def test_a_task_that_cannot_be_unpickled_is_not_begun() -> None:
    kind, body = do_work(work.plus_one, b"no pickle")
    assert (wire.UNREADABLE, "UnpicklingError") == (kind, pickle.loads(body).kind)


def test_an_exception_that_says_nothing_can_be_told_of_all_the_same() -> None:
    raised = describe(work.Unspeakable())
    assert Raised("Unspeakable", CANNOT_SAY, raised.trace, None) == raised
    assert "Unspeakable" in raised.trace


class Far:
    """The parent's ends of the sockets, and the thread in which the loop runs."""

    def __init__(self) -> None:
        self.sock, theirs = socket.socketpair()
        self.permits, permitted = socket.socketpair()
        self.theirs = theirs, permitted
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        self.sock.settimeout(20)

    def run(self) -> None:
        with suppress(ConnectionResetError):
            serve(*self.theirs)

    def setup(self, function: str) -> None:
        words = tuple(Setup("image-0", function, ["prog", "-x"], None))
        self.sock.sendall(wire.frame(wire.SETUP, pickle.dumps(words)))

    def send(self, number: int, task: object) -> None:
        self.sock.sendall(wire.frame(wire.TASK, wire.NUMBER.pack(number) + pickle.dumps(task)))

    def permit(self, *numbers: int) -> None:
        self.permits.sendall(b"".join(map(wire.NUMBER.pack, numbers)))

    def hear(self, count: int) -> list[wire.Frame]:
        frames = wire.Frames()
        found: list[wire.Frame] = []
        while len(found) < count:
            found += frames.feed(self.sock.recv(1000))
        return found

    def values(self, count: int) -> list[object]:
        return [pickle.loads(body) for _, _, body in self.hear(count)]


class Spoiled:
    """A standard output that cannot be flushed."""

    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    def flush(self) -> None:
        raise self.error


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    """The loop in a thread of ours; it leaves our arguments and our main module as they are."""
    monkeypatch.setattr(sys, "argv", [*sys.argv])
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setitem(sys.modules, "setproctitle", None)  # it is about the process
    one = Far()
    yield one
    one.sock.close()
    one.permits.close()
    one.thread.join(20)
    for sock in one.theirs:
        sock.close()
    assert not one.thread.is_alive()


def test_answers_come_in_the_order_of_tasks_and_say_how_long_they_took(far: Far) -> None:
    far.setup("tests.backends.work:plus_one")
    assert [(wire.READY, 0.0, b"")] == far.hear(1)
    for number in range(5):
        far.send(number, number)
    far.permit(*range(5))
    answers = far.hear(5)
    assert [1, 2, 3, 4, 5] == [pickle.loads(body) for _, _, body in answers]
    assert all(0.0 < took_s < 20.0 for _, took_s, _ in answers)
    assert ["prog", "-x"] == sys.argv


def test_no_task_is_begun_without_a_permit_and_one_that_is_passed_over_never(far: Far) -> None:
    far.setup("tests.backends.work:plus_one")
    far.hear(1)
    for number in range(4):
        far.send(number, number * 10)
    far.permit(0)
    assert [1] == far.values(1)
    far.permit(3)
    assert [31] == far.values(1)


def test_a_permit_may_come_before_its_task(far: Far) -> None:
    far.setup("tests.backends.work:plus_one")
    far.hear(1)
    far.permit(0, 1)
    far.send(0, 10)
    assert [11] == far.values(1)
    far.send(1, 20)
    assert [21] == far.values(1)


@pytest.mark.parametrize(
    "stream", [None, Spoiled(ValueError), Spoiled(BrokenPipeError)], ids=["none", "closed", "full"]
)
def test_a_function_that_spoils_standard_output_does_not_end_it(
    far: Far, stream: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    far.setup("tests.backends.work:plus_one")
    far.hear(1)
    monkeypatch.setattr(sys, "stdout", stream)
    for number in range(2):
        far.send(number, number)
        far.permit(number)
        assert [number + 1] == far.values(1)


def test_it_ends_with_its_permits_after_what_was_permitted(far: Far) -> None:
    far.setup("tests.backends.work:plus_one")
    far.hear(1)
    far.send(0, 10)
    far.permit(0)
    far.permits.shutdown(socket.SHUT_WR)
    assert [11] == far.values(1)
    far.thread.join(20)
    assert not far.thread.is_alive()


def test_it_ends_with_its_socket(far: Far) -> None:
    far.setup("tests.backends.work:plus_one")
    far.hear(1)
    far.permit(0)
    far.sock.close()
    far.thread.join(20)
    assert not far.thread.is_alive()


def test_a_function_that_is_not_there_is_said_and_the_worker_ends(far: Far) -> None:
    far.setup("tests.backends.work:no_such")
    ((kind, _, body),) = far.hear(1)
    far.thread.join(20)
    assert (wire.BROKEN, "AttributeError") == (kind, pickle.loads(body).kind)
    assert not far.thread.is_alive()


def test_a_permit_that_is_taken_back_is_no_permit() -> None:
    ours, permitted = socket.socketpair()
    with ours, permitted:
        ours.sendall(b"".join(map(wire.NUMBER.pack, (1, 2, 3))))
        assert 1 == next_permit(permitted)
        assert 16 == len(permitted.recv(1000))
        ours.shutdown(socket.SHUT_WR)
        assert next_permit(permitted) is None


def test_it_does_not_stay_where_its_parent_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[int] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Deaf())
    monkeypatch.setattr(os, "_exit", said.append)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    pool_worker.die_with(1)
    assert [] == said
    pool_worker.die_with(2)
    assert [1] == said


class Deaf:
    """In place of the C library: this process is not to be killed with its parent."""

    def prctl(self, *_: int) -> int:
        return 0

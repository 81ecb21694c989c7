"""backends/task_thread.py: one task after the other, beside a loop that goes on."""

import asyncio
import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from steelyard.backends import task_thread
from steelyard.backends.function import Answer, Function
from steelyard.backends.task import Task
from steelyard.backends.task_thread import Client, TaskThread
from steelyard.errors import TaskRefused
from tests.real.support import until

FOREVER_S = 1000.0


class Asker:
    """One who has given a task. answers: what it got."""

    def __init__(self) -> None:
        self.gone = False
        self.answers: list[Answer] = []

    def on_answer(self, answer: Answer) -> None:
        self.answers.append(answer)


class Owner:
    """Whose thread it is. idle: how often all was done."""

    def __init__(self) -> None:
        self.stuck: list[Client] = []
        self.idle = 0

    def on_stuck(self, client: Client) -> None:
        self.stuck.append(client)

    def on_idle(self) -> None:
        self.idle += 1


@contextmanager
def running(function: Function, timeout_s: float = FOREVER_S) -> Iterator[tuple[TaskThread, Owner]]:
    owner = Owner()
    thread = TaskThread(asyncio.get_running_loop(), function, timeout_s, owner)
    thread.start()
    try:
        yield thread, owner
    finally:
        thread.stop()


class Clock:
    """In place of `monotonic`: a thread that is not let run for a while has not run for too long."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(task_thread, "monotonic", made)
    # The watchdog has a clock of its own, and what it ends is the process of the tests.
    monkeypatch.setattr(task_thread, "WATCHDOG_S", FOREVER_S)
    return made


async def test_tasks_are_done_in_their_order_in_one_other_thread() -> None:
    threads = set()

    def function(task: Task) -> bytes:
        threads.add(threading.get_ident())
        return task.body

    askers = [Asker() for _ in range(200)]
    with running(function) as (thread, owner):
        for number, asker in enumerate(askers):
            thread.submit(Task(b"%d" % number), asker)
        await until(lambda: not thread.busy)
    assert [[b"%d" % number] for number in range(200)] == [[one.body for one in asker.answers] for asker in askers]
    assert 1 == len(threads)
    assert threading.get_ident() not in threads
    assert owner.idle >= 1
    assert [] == owner.stuck


async def test_a_task_whose_client_has_left_is_not_begun() -> None:
    begun = []
    go_on = threading.Event()

    def function(task: Task) -> bytes:
        begun.append(task.path)
        go_on.wait()
        return b""

    first, second, third = Asker(), Asker(), Asker()
    with running(function) as (thread, _):
        for path, asker in (("/1", first), ("/2", second), ("/3", third)):
            thread.submit(Task(b"", path=path), asker)
        await until(lambda: begun)
        first.gone = second.gone = True
        go_on.set()
        await until(lambda: not thread.busy)
    assert ["/1", "/3"] == begun
    assert [0, 0, 1] == [len(asker.answers) for asker in (first, second, third)]


async def test_whatever_is_raised_is_a_500_and_its_traceback_is_said_once(capfd: pytest.CaptureFixture[str]) -> None:
    def function(task: Task) -> bytes:
        if task.path == "/exit":
            raise SystemExit("secret 1")
        raise RuntimeError("secret 2")

    asker = Asker()
    with running(function) as (thread, _):
        thread.submit(Task(b"", path="/exit"), asker)
        thread.submit(Task(b"", path="/raise"), asker)
        await until(lambda: not thread.busy)
    assert [(500, b"The function failed.\n")] * 2 == [(one.status, one.body) for one in asker.answers]
    said = capfd.readouterr().err
    assert 2 == said.count("Traceback (most recent call last)")
    assert "POST /exit: the function failed\n" in said
    assert "RuntimeError: secret 2\n" in said
    assert "/task_thread.py" not in said


async def test_what_cannot_be_sent_is_a_500_and_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    asker = Asker()
    with running(lambda task: {"a": 1}) as (thread, _):
        thread.submit(Task(b"", path="/p"), asker)
        await until(lambda: not thread.busy)
    assert [500] == [one.status for one in asker.answers]
    line = "POST /p: the function returned a dict; return bytes, a str, or (bytes or str, content type)\n"
    assert line == capfd.readouterr().err


async def test_a_task_that_runs_too_long_is_told_of_with_its_stack(
    clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def deep_down() -> None:
        begun.set()
        go_on.wait()

    def function(task: Task) -> bytes:
        if task.path == "/stuck":
            deep_down()
        return b""

    well, stuck = Asker(), Asker()
    with running(function, timeout_s=0.05) as (thread, owner):
        thread.submit(Task(b"", path="/well"), well)
        await until(lambda: well.answers)
        thread.submit(Task(b"", path="/stuck"), stuck)
        await until(begun.is_set)
        clock.now += 0.06
        await until(lambda: owner.stuck)
        go_on.set()
        await until(lambda: not thread.busy)
    assert [stuck] == owner.stuck
    said = capfd.readouterr().err
    assert said.startswith("POST /stuck: the function has run for more than 0.05 s; it is in\n")
    assert "in deep_down\n" in said
    assert "/task_thread.py" not in said


async def test_many_short_tasks_that_take_long_together_are_not_stuck(clock: Clock) -> None:
    turn = threading.Event()

    def function(task: Task) -> bytes:
        clock.now += 0.03
        turn.wait(0.01)  # so that it is looked at, now and then
        return b""

    asker = Asker()
    with running(function, timeout_s=0.05) as (thread, owner):
        for _ in range(40):
            thread.submit(Task(b""), asker)
        await until(lambda: not thread.busy)
    assert ([], 40) == (owner.stuck, len(asker.answers))


class Evil(str):
    """What it is cannot be had."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        raise RuntimeError("no bytes")


def returns_evil(_: Task) -> str:
    return Evil("x")


def refuses_evil(_: Task) -> str:
    raise TaskRefused(Speechless())  # type: ignore[arg-type]


class Speechless:
    def __format__(self, _: str) -> str:
        raise RuntimeError("no text")


def takes_away_stderr(_: Task) -> str:
    sys.stderr = None
    raise RuntimeError("in vain")


def closes_stderr(_: Task) -> str:
    sys.stderr.close()
    raise RuntimeError("in vain")


@pytest.mark.parametrize("function", [returns_evil, refuses_evil, takes_away_stderr, closes_stderr])
async def test_whatever_a_function_does_to_us_is_a_500_and_the_next_task_is_done(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    asker, other = Asker(), Asker()

    def first_that(task: Task) -> object:
        return function(task) if task.path == "/evil" else b"done"

    with running(first_that) as (thread, _):
        thread.submit(Task(b"", path="/evil"), asker)
        thread.submit(Task(b""), other)
        await until(lambda: not thread.busy)
    assert ([500], [b"done"]) == ([one.status for one in asker.answers], [one.body for one in other.answers])


async def test_a_function_that_forks_and_comes_back_twice_has_answered_once() -> None:
    children = []

    def function(_: Task) -> bytes:
        child = os.fork()
        if child:
            children.append(child)
        return b"child" if child == 0 else b"parent"

    asker = Asker()
    with running(function) as (thread, _):
        thread.submit(Task(b""), asker)
        await until(lambda: not thread.busy)
    assert [b"parent"] == [one.body for one in asker.answers]
    assert (children[0], 0) == await asyncio.to_thread(os.waitpid, children[0], 0)

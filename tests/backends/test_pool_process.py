"""pool_process.py: the times of tasks, with a clock that is turned, and what does not fit into a socket at once.

What real processes do is in test_local_pool.py.
"""

import asyncio
import os
import pickle
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pytest

from steelyard.backends import pool_process
from steelyard.backends import pool_wire as wire
from steelyard.backends.dispatch import Job
from steelyard.backends.pool_process import PoolProcess, describe_status
from steelyard.backends.pool_worker import Setup
from steelyard.backends.results import PoolError, TaskTimeout
from steelyard.errors import SteelyardError

FAR: list[socket.socket] = []
SETUP: Final = Setup("read-3", "library:read", [], None)


class Clock:
    """In place of an event loop: readers and writers are called by the test, and so are timers."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []
        self.readers: dict[int, Callable[[], None]] = {}
        self.writers: dict[int, Callable[[], None]] = {}

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> "Timer":
        self.timers.append(Timer(when, call))
        return self.timers[-1]

    def add_reader(self, fd: int, call: Callable[[], None]) -> None:
        self.readers[fd] = call

    def add_writer(self, fd: int, call: Callable[[], None]) -> None:
        self.writers[fd] = call

    def remove_reader(self, fd: int) -> None:
        self.readers.pop(fd, None)

    def remove_writer(self, fd: int) -> None:
        self.writers.pop(fd, None)

    def turn(self, seconds: float) -> None:
        self.now += seconds
        for timer in [one for one in self.timers if one.at <= self.now]:
            self.timers.remove(timer)
            if not timer.cancelled:
                timer.call()


class Timer:
    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at = at
        self.call = call
        self.cancelled = False

    def when(self) -> float:
        return self.at

    def cancel(self) -> None:
        self.cancelled = True


class Popen:
    """A process that is none."""

    pid = 7

    def __init__(self, descriptor: int, _: int) -> None:
        FAR.append(socket.socket(fileno=os.dup(descriptor)))
        self.killed = 0

    def kill(self) -> None:
        self.killed += 1

    def wait(self) -> int:
        return -signal.SIGKILL


class Stage:
    """A PoolProcess, the far end of its socket, and what its owner was told."""

    def __init__(self, start_timeout_s: float | None = None, ready: bool = True) -> None:
        self.clock = Clock()
        self.told: list[Any] = []
        self.unbegun: Sequence[Job] = []
        loop: Any = self.clock
        self.process = PoolProcess(loop, self, 3, SETUP, start_timeout_s)
        self.process.ready = ready
        self.far = FAR.pop()
        self.frames = wire.Frames()

    def answered(self, process: PoolProcess, frames: Sequence[wire.Frame]) -> None:
        for kind, _, body in frames:
            if kind == wire.READY:
                process.ready = True
                continue
            process.jobs.popleft()
            process.answers += 1
            self.told.append(pickle.loads(body))
        process.begin_first()

    def returned(self, process: PoolProcess, unbegun: Sequence[Job]) -> None:
        self.told.append("returned")
        self.unbegun = unbegun

    def ending(self, process: PoolProcess) -> None:
        self.told.append("ending")

    def ended(self, process: PoolProcess, unbegun: Sequence[Job], why: SteelyardError) -> None:
        self.told.append(why)
        self.unbegun = unbegun

    def send(self, *timeouts_s: float | None) -> None:
        self.process.send([Job(lambda n: 0, "task", b"x" * 100, timeout_s, None, None) for timeout_s in timeouts_s])

    def begin(self) -> int:
        """Take the next permit, as the worker does."""
        number: int = wire.NUMBER.unpack(self.process._permitted.recv(wire.NUMBER.size))[0]
        return number

    def answer(self, value: object, heard: bool = True) -> None:
        self.far.sendall(wire.frame(wire.VALUE, pickle.dumps(value), 0.1))
        if heard:
            self.clock.readers[self.process.sock.fileno()]()

    def say_ready(self, heard: bool = True) -> None:
        self.far.sendall(wire.frame(wire.READY, b""))
        if heard:
            self.clock.readers[self.process.sock.fileno()]()

    @property
    def killed(self) -> int:
        process: Any = self.process.process
        return int(process.killed)


@contextmanager
def a_stage(**how: Any) -> Iterator[Stage]:
    one = Stage(**how)
    yield one
    one.far.close()
    one.process.kill_and_wait()


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_process, "_start", Popen)
    monkeypatch.setattr(pool_process, "_pidfd", lambda _: None)


@pytest.fixture
def stage(no_process: None) -> Iterator[Stage]:
    with a_stage() as one:
        yield one


@pytest.fixture
def starting(no_process: None) -> Iterator[Stage]:
    with a_stage(start_timeout_s=60.0, ready=False) as one:
        yield one


def test_one_that_is_not_ready_in_time_is_killed(starting: Stage) -> None:
    starting.clock.turn(59.9)
    assert 0 == starting.killed
    starting.clock.turn(0.2)
    assert (1, ["ending"]) == (starting.killed, starting.told)
    starting.say_ready()  # too late
    starting.far.close()
    starting.clock.readers[starting.process.sock.fileno()]()
    *_, why = starting.told
    assert (PoolError, False) == (type(why), starting.process.ready)
    assert str(why).startswith("library:read was not imported within 60 s, and the worker was killed for it; ")


def test_one_that_is_ready_though_nobody_had_time_to_hear_it_is_not_killed(starting: Stage) -> None:
    starting.say_ready(heard=False)
    starting.clock.turn(100.0)
    assert (True, 0) == (starting.process.ready, starting.killed)


def test_once_it_is_ready_its_time_is_that_of_its_tasks(starting: Stage) -> None:
    starting.say_ready()
    starting.send(None, 2.0)
    starting.begin()
    starting.clock.turn(100.0)
    starting.answer(1)
    starting.begin()
    starting.clock.turn(1.9)
    assert 0 == starting.killed
    starting.clock.turn(0.2)
    assert 1 == starting.killed


def test_what_it_said_of_its_import_is_not_replaced_by_that_its_time_is_over(starting: Stage) -> None:
    starting.process.kill(PoolError("no disk"))
    starting.clock.turn(100.0)
    starting.far.close()
    starting.clock.readers[starting.process.sock.fileno()]()
    assert "no disk" == str(starting.told[-1])


def test_a_task_has_its_time_and_no_more(stage: Stage) -> None:
    stage.send(2.0)
    stage.begin()
    stage.clock.turn(1.9)
    assert 0 == stage.killed
    stage.clock.turn(0.2)
    assert 1 == stage.killed
    assert ["ending", "returned"] == stage.told


def test_the_time_of_a_task_begins_with_its_turn(stage: Stage) -> None:
    stage.send(None, 2.0, 0.5)
    stage.begin()
    stage.clock.turn(100.0)
    stage.answer(1)
    stage.begin()
    stage.clock.turn(1.9)
    stage.answer(2)
    stage.begin()
    stage.clock.turn(0.4)
    assert 0 == stage.killed
    stage.clock.turn(0.2)
    assert 1 == stage.killed


def test_a_task_that_ended_in_time_ends_its_time(stage: Stage) -> None:
    stage.send(2.0)
    stage.answer(1)
    stage.clock.turn(100.0)
    assert ([1], 0) == (stage.told, stage.killed)


def test_an_answer_that_has_come_counts_though_nobody_had_time_to_hear_it(stage: Stage) -> None:
    stage.send(2.0, 2.0)
    stage.begin()
    stage.answer(1, heard=False)
    stage.begin()
    stage.clock.turn(3.0)
    assert ([1], 0) == (stage.told, stage.killed)
    stage.clock.turn(1.9)
    assert 0 == stage.killed
    stage.clock.turn(0.2)
    assert 1 == stage.killed


def test_many_tasks_take_one_timer(stage: Stage) -> None:
    for number in range(100):
        stage.send(2.0)
        stage.answer(number)
    assert 1 == len(stage.clock.timers)
    stage.clock.turn(2.0)
    assert (0, 0) == (len(stage.clock.timers), stage.killed)


def test_a_task_with_less_time_than_the_one_before_has_no_more_than_that(stage: Stage) -> None:
    stage.send(50.0, 0.5)
    stage.begin()
    stage.answer(1)
    stage.begin()
    stage.clock.turn(0.6)
    assert 1 == stage.killed


def test_what_one_says_that_is_killed_for_its_time_is_not_heard(stage: Stage) -> None:
    stage.send(0.5, 0.5)
    late, other = stage.process.jobs
    stage.begin()
    stage.clock.turn(0.6)
    assert ([late], [other]) == ([*stage.process.jobs], stage.unbegun)
    stage.answer("late")
    stage.far.close()
    stage.clock.readers[stage.process.sock.fileno()]()
    assert ([late], []) == ([*stage.process.jobs], stage.unbegun)
    *_, why = stage.told
    assert "late" not in stage.told
    assert (TaskTimeout, "it took longer than 0.5 s, and the worker was killed for it") == (type(why), str(why))


def test_one_that_does_not_come_to_its_task_is_spared_once_and_ended_the_second_time(stage: Stage) -> None:
    stage.send(0.5)
    (job,) = stage.process.jobs
    stage.clock.turn(0.5)
    assert (["returned"], [job], 0) == (stage.told, stage.unbegun, stage.killed)
    stage.send(0.5)
    stage.clock.turn(0.5)
    assert (1, 0) == (stage.killed, len(stage.process.jobs))


def test_one_that_answers_while_it_is_judged_is_spared(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has just begun the next one, and what it has not begun is given back, for it has no permit any more."""
    stage.send(0.5, 0.5, 0.5)
    *_, last = stage.process.jobs
    stage.begin()
    take_back = stage.process.take_back

    def late() -> list[Job]:
        stage.answer(1, heard=False)
        stage.begin()
        return take_back()

    monkeypatch.setattr(stage.process, "take_back", late)
    stage.clock.turn(0.5)
    assert ([1, "returned"], [last], 0) == (stage.told, stage.unbegun, stage.killed)
    monkeypatch.undo()
    monkeypatch.setattr(pool_process, "_pidfd", lambda _: None)
    stage.clock.turn(0.5)
    assert 1 == stage.killed


def test_what_it_said_before_it_ended_is_heard(stage: Stage) -> None:
    stage.send(None, None, None)
    assert [0, 1] == [stage.begin(), stage.begin()]
    stage.answer(1, heard=False)
    last = stage.process.jobs[-1]
    stage.far.close()
    for _ in range(2):
        stage.clock.readers[stage.process.sock.fileno()]()
        if "ending" in stage.told:
            break
    assert 1 == stage.told[0]
    assert [last] == stage.unbegun
    assert "the worker was killed by SIGKILL" == str(stage.told[-1])


def test_when_it_ends_it_is_known_what_it_was_at_and_what_not(stage: Stage) -> None:
    stage.send(None, None, None)
    first, *others = stage.process.jobs
    stage.begin()
    stage.far.close()
    stage.clock.readers[stage.process.sock.fileno()]()
    assert ([first], others) == ([*stage.process.jobs], stage.unbegun)


def test_one_that_ends_before_it_has_begun_was_at_nothing(stage: Stage) -> None:
    stage.send(None)
    stage.far.close()
    stage.clock.readers[stage.process.sock.fileno()]()
    assert (0, 1) == (len(stage.process.jobs), len(stage.unbegun))


def test_what_is_not_begun_can_be_taken_back_and_what_follows_has_other_numbers(stage: Stage) -> None:
    stage.send(None, None, None)
    first, *others = stage.process.jobs
    assert 0 == stage.begin()
    assert others == stage.process.take_back()
    assert [] == stage.process.take_back()
    assert first is stage.process.catch_up()
    stage.answer("first")
    assert stage.process.catch_up() is None
    stage.send(None)
    assert 3 == stage.begin()


def test_what_does_not_fit_into_the_socket_goes_out_when_there_is_room_in_order(stage: Stage) -> None:
    large = os.urandom(3_000_000)
    number_bytes = wire.NUMBER.size
    for part in (large[:1_000_000], large[1_000_000:]):
        job = Job(lambda n: 0, "task", part, None, None, None)
        stage.process.send([job])
    fd = stage.process.sock.fileno()
    found: list[wire.Frame] = []
    while len(found) < 3:
        found += stage.frames.feed(stage.far.recv(100_000))
        if fd in stage.clock.writers:
            stage.clock.writers[fd]()
    assert {} == stage.clock.writers
    assert [pickle.dumps(tuple(SETUP), wire.PROTOCOL), large] == [
        found[0][2],
        found[1][2][number_bytes:] + found[2][2][number_bytes:],
    ]


def test_what_is_sent_to_one_that_is_gone_is_no_error(stage: Stage) -> None:
    stage.far.close()
    stage.send(None)
    assert 1 == len(stage.process.jobs)


async def test_one_that_cannot_be_started_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> Any:
        raise BlockingIOError("no room for a process")

    monkeypatch.setattr(pool_process, "_start", full)
    before = os.listdir("/proc/self/fd")
    owner: Any = None
    with pytest.raises(BlockingIOError):
        PoolProcess(asyncio.get_running_loop(), owner, 0, SETUP, None)
    assert len(before) == len(os.listdir("/proc/self/fd"))


def test_how_one_has_ended_is_said_in_words() -> None:
    said = [describe_status(status) for status in (0, 7, -9, -63)]
    assert [
        "ended with status 0",
        "ended with status 7",
        "was killed by SIGKILL",
        "was killed by signal 63",
    ] == said

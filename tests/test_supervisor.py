"""The supervisor starts, replaces and ends the others, and passes on what they say; here those are fakes."""

import errno
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from mmap import mmap
from pathlib import Path
from typing import Any

import pytest

from steelyard import supervisor as module
from steelyard.backends.knock import Knock
from steelyard.backends.wanted import Wanted
from steelyard.core import table as cells
from steelyard.core.spec import ListenerSpec
from steelyard.core.table import Table
from steelyard.processes import runtime, terminal
from steelyard.processes.channel import Channel, Message
from steelyard.processes.children import CONTROL, Child, Children, Words
from steelyard.processes.sockets import words_of
from steelyard.processes.succession import UPGRADE_S
from steelyard.supervisor import KILL_AFTER_S, Supervisor
from tests.backends.fakes import a_wanted

WORKERS, ROWS = 2, 4
HOST = "127.0.0.1"
WEB, API = (words_of(ListenerSpec(name, HOST, 0, ())) for name in ("web", "api"))
WEB_KEY, API_KEY = f"web={HOST}:0", f"api={HOST}:0"
pytestmark = pytest.mark.real


class FakeProcess:
    """In place of a Popen. returncode: None while it lives."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.killed = 0

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        self.killed += 1


class Other:
    """A process that the supervisor has started, as that would see itself."""

    def __init__(self, child: Child, theirs: socket.socket, words: Sequence[object]) -> None:
        self.child = child
        self.channel = Channel(theirs)
        self.words = words
        self.process: Any = child.process
        self.descriptors = 0

    def heard(self) -> list[tuple[str, Any]]:
        """What it was told since the last look: names, and what matters of the words."""
        return [(message.name, self._of(message)) for message in self.channel.receive()]

    def _of(self, message: Message) -> Any:
        for fd in message.descriptors:
            self.descriptors += 1
            os.close(fd)
        return message.words.get("keys", message.blob.decode() or message.words.get("answers", message.words))

    def answers(self, **words: Any) -> None:
        """Answer everything that was asked since the last look."""
        for message in self.channel.receive():
            self._of(message)
            if "id" in message.words:
                self.channel.send("answer", {"id": message.words["id"], **words})

    def ends(self, code: int = -9) -> None:
        self.channel.close()
        self.process.returncode = code


class FakeChildren(Children):
    """Starts nobody. started: all that would have been, in their order."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        super().__init__(selector)
        self.started: list[Other] = []
        self.refuses = 0

    def start(self, number: int, module: str, words: Sequence[object], descriptors: Sequence[int] = ()) -> Child:
        if self.refuses:
            self.refuses -= 1
            raise BlockingIOError(11, "Resource temporarily unavailable")
        ours, theirs = socket.socketpair()
        process: Any = FakeProcess(1000 + len(self.started))
        child = Child(number, process, Channel(ours, lambda: self.selector.unregister(ours)))
        self._all.add(child)
        self.selector.register(ours, selectors.EVENT_READ, child)
        self.started.append(Other(child, theirs, words))
        return child


class Clock:
    """In place of the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Stage:
    """A supervisor over fakes. control, workers: those that run now."""

    def __init__(self, clock: Clock, source: Words) -> None:
        self.clock = clock
        self.supervisor = Supervisor(source)
        self.children = FakeChildren(self.supervisor.selector)
        self.supervisor.children = self.children
        self.notified: list[str] = []
        self.place = Path()

    def begin(self) -> None:
        self.supervisor._start_control()

    @property
    def control(self) -> Other:
        return next(one for one in reversed(self.children.started) if one.child.number == CONTROL)

    def worker(self, number: int) -> Other:
        return next(one for one in reversed(self.children.started) if one.child.number == number)

    def numbers(self) -> list[int]:
        """Of all that were ever started."""
        return [one.child.number for one in self.children.started]

    def turn(self) -> None:
        """Until nothing is left to do."""
        self.supervisor.turn(0)
        while select.select([self.supervisor.selector], [], [], 0)[0]:
            self.supervisor.turn(0)

    def wait(self, seconds: float) -> None:
        """Time passes; all loops come round."""
        for _ in range(max(1, int(seconds))):
            self.clock.now += seconds / max(1, int(seconds))
            if self.supervisor.table is not None:
                for number in range(WORKERS):
                    self.view(number).set_mine(cells.BALANCER, cells.BEAT, int(self.clock.now * 1000))
            self.turn()

    def view(self, number: int) -> Table:
        """The table as a worker sees it."""
        return Table(mmap(self.supervisor.memory, 0), ROWS, WORKERS, number)

    def ask(self, name: str, blob: bytes = b"", **words: Any) -> None:
        """The control process says this to the supervisor."""
        self.control.channel.send(name, {"id": 1, **words}, blob)
        self.turn()

    def signal(self, *numbers: int) -> None:
        self.supervisor._on_signals(bytes(numbers))
        self.turn()

    def dies(self, one: Other, code: int = -9) -> None:
        one.ends(code)
        self.signal(signal.SIGCHLD)

    def open(self) -> None:
        self.begin()
        size = Table.size_bytes(ROWS, WORKERS)
        self.ask("open", workers=WORKERS, rows=ROWS, table_bytes=size, user={}, pid_file="")

    def prepare(self, blob: bytes = b"one", *listeners: Words) -> None:
        self.ask("prepare", blob, listeners=list(listeners) or [WEB])

    def commit(self, **words: Any) -> None:
        self.ask("commit", drain_s=30.0, lines=["listening"], locals=[], **words)

    def everybody_answers(self) -> None:
        for number in range(WORKERS):
            self.worker(number).answers(pause_s=number)
        self.turn()

    def serve(self) -> None:
        """All has come up and serves, and nobody has anything left to hear."""
        self.open()
        self.prepare()
        self.everybody_answers()
        self.commit()
        self.everybody_answers()
        assert self.supervisor.serving
        self.control.heard()

    def heard_by_workers(self) -> list[list[tuple[str, Any]]]:
        return [self.worker(number).heard() for number in range(WORKERS)]

    def close(self) -> None:
        self.supervisor.sockets.close(files_too=True)
        for one in self.children.started:
            self.children.forget(one.child)
            one.channel.close()
        assert self.supervisor.commands is not None
        self.supervisor.commands.close()
        self.supervisor.selector.close()
        if self.supervisor.memory >= 0:
            os.close(self.supervisor.memory)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    clock = Clock()
    for name in ("steelyard.supervisor", "steelyard.processes.children", "steelyard.processes.later"):
        monkeypatch.setattr(sys.modules[name], "time", clock)
    monkeypatch.setattr(terminal, "has_terminal", lambda: False)
    stage = Stage(clock, {"file": "a.yaml", "title": "a.yaml"})
    stage.place = tmp_path / "run"
    monkeypatch.setattr(module, "notify", lambda *lines: stage.notified.extend(lines))
    yield stage
    stage.close()


# Starting.


def test_the_control_process_comes_first_and_says_how_many_the_others_are(stage: Stage) -> None:
    stage.begin()
    assert ([CONTROL], [("begin", {"source": stage.supervisor.source})]) == (stage.numbers(), stage.control.heard())
    stage.ask("open", workers=2, rows=ROWS, table_bytes=Table.size_bytes(ROWS, 2), user={}, pid_file="")
    assert [CONTROL, 0, 1] == stage.numbers()
    assert [2, ROWS, "a.yaml"] == stage.worker(1).words
    place = {"place": f"{stage.place}/{os.getpid()}.local", "locals": []}
    assert ([("answer", [place])], 1) == (stage.control.heard(), stage.control.descriptors)
    assert [[], []] == stage.heard_by_workers()


def test_it_says_that_it_serves_when_all_workers_do(
    stage: Stage, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stage.open()
    stage.supervisor.pid_file = str(tmp_path / "pid")
    stage.prepare(b"one", WEB, API)
    assert [[("sockets", [WEB_KEY, API_KEY]), ("prepare", "one")]] * 2 == stage.heard_by_workers()
    for number in range(WORKERS):
        stage.worker(number).channel.send("answer", {"id": 1})
    stage.turn()
    answers = stage.control.heard()[-1][1]
    assert {WEB_KEY, API_KEY} == answers[0]["addresses"].keys()
    stage.commit()
    stage.worker(0).answers()
    stage.turn()
    assert ("", []) == (capsys.readouterr().out, stage.notified)
    stage.worker(1).answers()
    stage.turn()
    assert "listening\n" == capsys.readouterr().out
    assert ["READY=1", f"MAINPID={os.getpid()}", "STATUS=serving"] == stage.notified
    assert f"{os.getpid()}\n" == (tmp_path / "pid").read_text()


def test_a_control_process_that_says_what_is_wrong_ends_all_with_1(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.begin()
    stage.dies(stage.control, 1)
    assert (1, []) == (stage.supervisor.status, caplog.messages)


def test_whoever_ends_before_all_serve_ends_all(stage: Stage, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    path = str(tmp_path / "a.sock")
    stage.open()
    stage.prepare(b"one", words_of(ListenerSpec("u", "", 0, (), path=path)))
    stage.dies(stage.worker(1), 3)
    assert (1, ["worker 1 (pid 1002) ended: exit status 3; nothing was served yet"]) == (
        stage.supervisor.status,
        caplog.messages,
    )
    assert [1, 1] == [stage.control.process.killed, stage.worker(0).process.killed]
    assert not os.path.exists(path)


def test_a_port_in_use_is_told_to_the_control_process(stage: Stage) -> None:
    stage.open()
    stage.control.heard()
    with socket.create_server((HOST, 0)) as taken:
        stage.prepare(b"one", words_of(ListenerSpec("web", HOST, taken.getsockname()[1], ())))
    ((_, (answer,)),) = stage.control.heard()
    assert ("web", True) == (answer["listener"], "in use" in answer["failed"])
    assert [[], []] == stage.heard_by_workers()


def test_where_there_is_no_room_for_a_process_there_is_no_start(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.children.refuses = 1
    stage.begin()
    assert 1 == stage.supervisor.status
    assert [
        "the control process cannot be started: [Errno 11] Resource temporarily unavailable; nothing was served yet"
    ] == (caplog.messages)


# Another configuration.


def test_a_reload_is_prepared_everywhere_and_then_put_into_force_everywhere(stage: Stage) -> None:
    stage.serve()
    stage.signal(signal.SIGHUP)
    assert [("reload", {})] == stage.control.heard()
    stage.prepare(b"two", API)
    assert [[("sockets", [API_KEY]), ("prepare", "two")]] * 2 == stage.heard_by_workers()
    stage.commit()
    stage.everybody_answers()
    assert ({API_KEY}, b"two") == (stage.supervisor.sockets.keys(), stage.supervisor.snapshot)
    assert [{API_KEY}] * 2 == [stage.worker(number).child.given for number in range(WORKERS)]


def test_what_is_dropped_leaves_no_sockets_and_may_be_prepared_again(stage: Stage) -> None:
    stage.serve()
    stage.prepare(b"two", WEB, API)
    stage.heard_by_workers()
    stage.ask("drop")
    assert [[("drop", {})]] * 2 == stage.heard_by_workers()
    assert ({WEB_KEY}, b"one") == (stage.supervisor.sockets.keys(), stage.supervisor.snapshot)
    stage.prepare(b"two", WEB, API)
    assert [[("sockets", [API_KEY]), ("prepare", "two")]] * 2 == stage.heard_by_workers()


def test_a_worker_that_dies_while_it_prepares_is_not_waited_for(stage: Stage) -> None:
    stage.serve()
    stage.prepare(b"two")
    stage.worker(0).answers()
    stage.turn()
    assert [] == stage.control.heard()
    stage.dies(stage.worker(1))
    ((_, answers),) = stage.control.heard()
    assert [0] == [answer["worker"] for answer in answers[1:]]


def test_a_worker_born_between_prepare_and_commit_has_both_and_the_new_sockets_for_the_second(stage: Stage) -> None:
    stage.serve()
    stage.prepare(b"two", WEB, API)
    stage.everybody_answers()
    stage.dies(stage.worker(1))
    born = stage.worker(1)
    assert [("sockets", [WEB_KEY]), ("prepare", "one")] == [*born.heard()][:2]
    stage.commit()
    assert [("sockets", [API_KEY]), ("prepare", "two")] == [*born.heard()][:2]
    assert ["commit"] == [name for name, _ in stage.worker(0).heard()]


def test_a_control_process_that_dies_between_prepare_and_commit_leaves_nothing_behind(stage: Stage) -> None:
    """Else a port would be bound at which nobody accepts."""
    stage.serve()
    stage.prepare(b"two", WEB, API)
    stage.heard_by_workers()
    before = stage.control
    stage.dies(before)
    assert [[("drop", {})]] * 2 == stage.heard_by_workers()
    assert {WEB_KEY} == stage.supervisor.sockets.keys()
    assert before is not stage.control
    ((name, blob),) = stage.control.heard()
    assert ("resume", "one", 1) == (name, blob, stage.control.descriptors)


def test_an_answer_to_a_control_process_that_is_gone_goes_to_nobody(stage: Stage) -> None:
    stage.serve()
    stage.ask("ask", parts=[])
    stage.dies(stage.control)
    stage.control.heard()
    stage.everybody_answers()
    assert [] == stage.control.heard()


def test_a_question_is_put_to_every_worker(stage: Stage) -> None:
    stage.serve()
    stage.ask("ask", parts=["path"])
    stage.worker(0).answers(seen=[0])
    stage.worker(1).answers(seen=[1])
    stage.turn()
    ((_, answers),) = stage.control.heard()
    assert [[0], [1]] == [answer["seen"] for answer in answers]


def test_what_a_worker_says_unasked_is_logged_when_it_failed(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.serve()
    stage.worker(0).channel.send("answer", {"id": 99, "failed": "no such module"})
    stage.worker(0).channel.send("answer", {"id": 99})
    stage.turn()
    assert ["worker 0 (pid 1001): no such module"] == caplog.messages


def test_the_report_says_who_runs_since_when(stage: Stage) -> None:
    stage.serve()
    stage.wait(60.0)
    stage.dies(stage.worker(1))
    stage.ask("report")
    ((_, (report,)),) = stage.control.heard()
    assert (os.getpid(), 60.0) == (report["pid"], report["age_s"])
    assert [
        {"number": 0, "pid": 1001, "age_s": 60.0, "replaced": 0},
        {"number": 1, "pid": 1003, "age_s": 0.0, "replaced": 1},
    ] == report["workers"]


# Death.


def test_a_worker_that_dies_is_replaced_at_once_and_its_column_is_zeroed(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.serve()
    for number in range(WORKERS):
        stage.view(number).set_mine(1, cells.IN_FLIGHT, 5)
    table = stage.view(0)
    table.set(cells.BALANCER, cells.ROWS_USED, 2)
    stage.wait(60.0)
    stage.dies(stage.worker(1))
    assert [CONTROL, 0, 1, 1] == stage.numbers()
    assert [5, 0] == [table.of_worker(1, number, cells.IN_FLIGHT) for number in range(WORKERS)]
    assert 1 == table.get(cells.BALANCER, cells.WORKERS_LOST)
    heard = stage.worker(1).heard()
    assert [("sockets", [WEB_KEY]), ("prepare", "one")] == heard[:2]
    assert ["commit"] == [name for name, _ in heard[2:]]
    assert ["worker 1 (pid 1002) ended: SIGKILL; another one is started"] == caplog.messages


def test_what_is_due_and_fails_ends_nobody(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    done: list[bool] = []

    def cannot() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    stage.supervisor.later.calls += [(0.0, cannot), (0.0, lambda: done.append(True))]
    stage.turn()
    assert [True] == done
    assert "what was due could not be done" in caplog.text


def test_one_that_keeps_dying_is_replaced_later_and_later(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.serve()
    stage.dies(stage.worker(1))
    stage.dies(stage.worker(1))
    assert 4 == len(stage.numbers())
    stage.wait(0.2)
    assert 4 == len(stage.numbers())
    stage.wait(0.1)
    assert [1, 1, 1] == [number for number in stage.numbers() if number == 1]
    assert "another one is started in 0.25 s" in caplog.messages[-1]
    stage.ask("ask", parts=[])
    assert ["ask"] == [name for name, _ in stage.worker(0).heard()]


def test_one_that_cannot_be_started_for_want_of_room_is_tried_again(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.serve()
    stage.children.refuses = 2
    stage.dies(stage.worker(1))
    stage.wait(0.3)
    assert (3, None) == (len(stage.numbers()), stage.supervisor.status)
    stage.wait(0.5)
    assert [CONTROL, 0, 1, 1] == stage.numbers()
    assert (
        "worker 1 cannot be started: [Errno 11] Resource temporarily unavailable; another one is started"
        in caplog.messages[1]
    )


def test_all_may_die_in_one_round(stage: Stage) -> None:
    """Then the end of some is seen twice: at their channel, and by the signal."""
    stage.serve()
    for one in (stage.worker(0), stage.worker(1), stage.control):
        one.ends()
    read, write = socket.socketpair()
    with read, write:
        stage.supervisor.selector.register(read, selectors.EVENT_READ, lambda: stage.signal(*read.recv(9)))
        write.send(bytes([signal.SIGCHLD]))
        stage.turn()
        stage.supervisor.selector.unregister(read)
    assert [CONTROL, 0, 1, 0, 1, CONTROL] == stage.numbers()


def test_what_a_control_process_said_last_is_done_although_its_end_came_with_it(stage: Stage) -> None:
    """The new workers' sockets get the number that the channel had."""
    stage.begin()
    size = Table.size_bytes(ROWS, WORKERS)
    words = {"id": 1, "workers": WORKERS, "rows": ROWS, "table_bytes": size, "user": {}, "pid_file": ""}
    stage.control.channel.send("open", words)
    stage.control.channel.close()
    stage.turn()
    assert [CONTROL, 0, 1] == stage.numbers()


def test_one_that_is_sent_to_after_its_end_is_replaced_all_the_same(stage: Stage) -> None:
    stage.serve()
    stage.worker(1).ends()
    stage.control.ends()
    stage.signal(signal.SIGHUP)
    stage.supervisor._ask("ask", {}, lambda answers: None)
    stage.signal(signal.SIGCHLD)
    assert [CONTROL, 0, 1, 1, CONTROL] == stage.numbers()


def test_one_whose_loop_does_not_come_round_is_killed(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.serve()
    for _ in range(32):
        stage.clock.now += 1.0
        stage.view(0).set_mine(cells.BALANCER, cells.BEAT, int(stage.clock.now * 1000))
        stage.turn()
    assert [0, 1] == [stage.worker(number).process.killed for number in range(WORKERS)]
    assert ["worker 1 (pid 1002) hangs: its loop has not come round for 30 s; it is killed"] == caplog.messages


def test_a_reload_without_a_control_process_is_said_to_be_lost(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.serve()
    stage.dies(stage.control)
    stage.dies(stage.control)
    stage.signal(signal.SIGHUP)
    assert "no reload: the control process is being replaced; ask again" == caplog.messages[-1]


# Ending.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends(number: int, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.serve()
    capsys.readouterr()
    stage.signal(number)
    assert [[("stop", {"drain_s": 30.0})]] * 2 == stage.heard_by_workers()
    assert "stopping: requests in flight have 30 s to finish; Ctrl-C again stops at once\n" == capsys.readouterr().err
    assert "STOPPING=1" in stage.notified
    assert set() == stage.supervisor.sockets.keys()
    stage.dies(stage.worker(0), 0)
    assert (None, 0) == (stage.supervisor.status, stage.control.process.killed)
    stage.dies(stage.worker(1), 0)
    assert (0, 1) == (stage.supervisor.status, stage.control.process.killed)
    assert 3 == len(stage.numbers())


def test_a_second_interrupt_ends_at_once(stage: Stage) -> None:
    stage.serve()
    stage.signal(signal.SIGTERM)
    stage.heard_by_workers()
    stage.signal(signal.SIGINT)
    assert [[("stop", {"drain_s": 0.0})]] * 2 == stage.heard_by_workers()
    stage.wait(KILL_AFTER_S + 1)
    assert [1, 1] == [stage.worker(number).process.killed for number in range(WORKERS)]


def test_a_second_terminate_goes_on_draining(stage: Stage) -> None:
    stage.serve()
    stage.signal(signal.SIGTERM)
    stage.heard_by_workers()
    stage.signal(signal.SIGTERM)
    assert [[], []] == stage.heard_by_workers()
    stage.wait(30.0)
    assert [0, 0] == [stage.worker(number).process.killed for number in range(WORKERS)]
    stage.wait(KILL_AFTER_S + 1)
    assert [1, 1] == [stage.worker(number).process.killed for number in range(WORKERS)]


def test_who_waits_to_be_replaced_when_all_is_to_end_is_not(stage: Stage) -> None:
    stage.serve()
    stage.dies(stage.worker(1))
    stage.dies(stage.worker(1))
    before = len(stage.numbers())
    stage.signal(signal.SIGTERM)
    stage.wait(2.0)
    assert before == len(stage.numbers())
    stage.dies(stage.worker(0), 0)
    assert 0 == stage.supervisor.status


def test_a_control_process_that_dies_while_all_drain_is_not_replaced(stage: Stage) -> None:
    stage.serve()
    stage.signal(signal.SIGTERM)
    stage.dies(stage.control)
    assert (3, None) == (len(stage.numbers()), stage.supervisor.status)


def test_a_signal_before_there_are_workers_ends_at_once(stage: Stage) -> None:
    stage.begin()
    stage.signal(signal.SIGTERM)
    assert (0, 1) == (stage.supervisor.status, stage.control.process.killed)


def test_a_signal_while_all_prepare_ends_when_they_have_ended(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.open()
    stage.prepare()
    stage.signal(signal.SIGTERM)
    for number in range(WORKERS):
        stage.dies(stage.worker(number), 0)
    assert (0, "") == (stage.supervisor.status, capsys.readouterr().out)


def test_a_terminal_that_is_closed_ends_it(stage: Stage) -> None:
    """Which nobody means as a reload."""
    stage.serve()
    stage.supervisor.terminal.had = True
    stage.signal(signal.SIGHUP)
    assert ([], True) == (stage.control.heard(), stage.supervisor.stopping)


def test_a_hangup_long_after_the_terminal_has_gone_is_a_reload(stage: Stage) -> None:
    """Started from a session that has ended since: what comes now is somebody's."""
    stage.serve()
    stage.supervisor.terminal.had = True
    for _ in range(3):
        stage.wait(terminal.MOMENT_S)
    stage.signal(signal.SIGHUP)
    assert ([("reload", {})], False) == (stage.control.heard(), stage.supervisor.stopping)


def test_what_the_control_process_says_out_of_turn_is_not_done(stage: Stage) -> None:
    """It may be another user's by then: nobody is started as root because of it."""
    stage.serve()
    before = (stage.supervisor.count, stage.supervisor.children.user, stage.numbers())
    stage.ask("open")
    stage.ask("commit")
    assert before == (stage.supervisor.count, stage.supervisor.children.user, stage.numbers())
    assert None is stage.supervisor.status


# Local backends.


class FakeRunning:
    """In place of a Process that runs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.exit_fd, self.exit_write = os.pipe()
        self.output_fd, self.output_write = os.pipe()
        os.set_blocking(self.output_fd, False)
        self.signals: list[int] = []

    def read(self) -> bytes | None:
        try:
            return os.read(self.output_fd, 1000)
        except BlockingIOError:
            return None

    def signal(self, number: int) -> None:
        self.signals.append(number)
        if number in (signal.SIGTERM, signal.SIGKILL):
            self.ends()

    def ends(self) -> None:
        if self.exit_write >= 0:
            os.close(self.exit_write)
            self.exit_write = -1

    def finish(self) -> int:
        self.ends()
        for fd in (self.exit_fd, self.output_fd, self.output_write):
            os.close(fd)
        self.exit_fd = -1
        return -9


@pytest.fixture
def local(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeRunning]]:
    """The processes of local backends that were started; somebody is there as soon as one knocks."""
    started: list[FakeRunning] = []

    def launch(wanted: Wanted, user: object) -> FakeRunning:
        started.append(FakeRunning(5000 + len(started)))
        return started[-1]

    monkeypatch.setattr(Knock, "answered", lambda knock, age_s: True)
    stage.supervisor.locals._start = launch
    yield started
    for process in started:
        if process.exit_fd >= 0:
            process.finish()


ONE, TWO = (a_wanted(f"web/{number}") for number in range(2))


def want(stage: Stage, *wanted: Wanted) -> None:
    stage.ask("locals", locals=[one.words() for one in wanted])
    stage.wait(0.1)


def states(words: Any) -> list[tuple[str, str]]:
    return [(one["name"], one["state"]) for one in words]


def test_local_backends_are_started_when_they_are_asked_for_and_answered_when_they_are_ready(
    stage: Stage, local: list[FakeRunning]
) -> None:
    stage.open()
    stage.control.heard()
    stage.ask("locals", locals=[ONE.words(), TWO.words()])
    assert (2, []) == (len(local), stage.control.heard())
    stage.wait(0.1)
    told = stage.control.heard()
    assert ["local", "local", "answer"] == [name for name, _ in told]
    assert [("web/0", "ready"), ("web/1", "ready")] == states(told[-1][1])


def test_the_control_process_hears_of_their_end_and_its_successor_who_runs(
    stage: Stage, local: list[FakeRunning], caplog: pytest.LogCaptureFixture
) -> None:
    stage.serve()
    want(stage, ONE)
    stage.supervisor.locals.keep([ONE.key], 30.0)
    stage.control.heard()
    local[0].ends()
    stage.turn()
    assert [("web/0", "waiting")] == states([words for name, words in stage.control.heard() if name == "local"])
    stage.wait(0.1)
    stage.dies(stage.control)
    stage.turn()
    ((name, _),) = stage.control.heard()
    assert ("resume", 2) == (name, len(local))
    assert [("web/0", "ready")] == states(stage.supervisor._report()["locals"])


def test_what_was_wanted_and_not_put_into_force_ends_with_who_wanted_it(stage: Stage, local: list[FakeRunning]) -> None:
    stage.serve()
    want(stage, ONE)
    stage.dies(stage.control)
    assert [signal.SIGTERM] == local[0].signals
    want(stage, TWO)
    stage.ask("drop")
    assert ([signal.SIGTERM], []) == (local[1].signals, stage.supervisor.locals.reports())


def test_what_came_into_force_stays_though_the_control_process_dies_before_all_have_switched(
    stage: Stage, local: list[FakeRunning]
) -> None:
    stage.serve()
    want(stage, ONE)
    stage.prepare(b"two", WEB)
    stage.ask("commit", drain_s=30.0, lines=[], locals=[ONE.key])
    stage.dies(stage.control)
    stage.everybody_answers()
    assert ([], ["web/0"]) == (local[0].signals, [one["name"] for one in stage.supervisor.locals.reports()])


def test_those_that_left_the_configuration_end_when_all_have_switched_and_nothing_is_in_flight(
    stage: Stage, local: list[FakeRunning]
) -> None:
    stage.serve()
    want(stage, ONE, TWO)
    stage.supervisor.locals.keep([ONE.key, TWO.key], 30.0)
    want(stage, TWO)
    stage.prepare(b"two", WEB)
    stage.ask("commit", drain_s=30.0, lines=[], locals=[TWO.key])
    stage.ask("end", keys=[ONE.key])
    assert [] == local[0].signals
    stage.everybody_answers()
    stage.ask("end", keys=[ONE.key])
    assert ([signal.SIGTERM], []) == (local[0].signals, local[1].signals)


def test_they_are_started_anew_when_the_control_process_says_so(stage: Stage, local: list[FakeRunning]) -> None:
    stage.serve()
    want(stage, ONE)
    stage.ask("restart", key=ONE.key, pid=local[0].pid, why="")
    stage.wait(0.1)
    assert ([signal.SIGTERM], 2) == (local[0].signals, len(local))


def test_they_end_after_the_workers_and_then_all_ends(stage: Stage, local: list[FakeRunning]) -> None:
    stage.serve()
    want(stage, ONE)
    stage.signal(signal.SIGTERM)
    stage.dies(stage.worker(0), 0)
    assert ([], None) == (local[0].signals, stage.supervisor.status)
    stage.dies(stage.worker(1), 0)
    assert ([signal.SIGTERM], 0) == (local[0].signals, stage.supervisor.status)


def test_a_start_that_fails_ends_them_at_once(stage: Stage, local: list[FakeRunning]) -> None:
    stage.open()
    want(stage, ONE)
    stage.dies(stage.control, 1)
    assert (1, True) == (stage.supervisor.status, signal.SIGKILL in local[0].signals)


# A new program.


class FakeSuccessor:
    """In place of a Successor: a test says whether it came up."""

    def __init__(self, selector: Any, command: Any, environ: Any, sockets: Any, then: Any) -> None:
        self.environ = environ
        self.then = then
        self.process = FakeProcess(4711)
        self.decided = False

    def decide(self, came_up: bool) -> None:
        self.decided = True
        self.then(came_up)

    def give_up(self) -> None:
        if not self.decided:
            self.process.kill()


@pytest.fixture
def successor(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The successor that is being tried, once there is one."""
    monkeypatch.setattr(module, "Successor", FakeSuccessor)
    return lambda: stage.supervisor.successor


def test_when_the_new_program_serves_this_one_drains(stage: Stage, successor: Any) -> None:
    stage.serve()
    stage.ask("upgrade")
    assert ([], [WEB_KEY]) == (stage.control.heard(), list(json.loads(successor().environ["STEELYARD_SOCKETS"])))
    assert [os.getpid()] == runtime.alive()
    stage.notified.clear()
    successor().decide(True)
    assert [("answer", [{"pid": 4711}])] == stage.control.heard()
    assert [[("stop", {"drain_s": 30.0})]] * 2 == stage.heard_by_workers()
    assert ["MAINPID=4711"] == stage.notified
    assert [] == runtime.alive()  # commands are for the new one


def test_when_it_does_not_come_up_this_one_goes_on(
    stage: Stage, successor: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stage.serve()
    stage.ask("upgrade")
    successor().decide(False)
    ((_, (answer,)),) = stage.control.heard()
    assert "the new program did not come up" in answer["failed"]
    assert (False, [[], []]) == (stage.supervisor.stopping, stage.heard_by_workers())
    stage.signal(signal.SIGUSR2)
    assert not successor().decided


def test_it_has_its_time_and_no_more(stage: Stage, successor: Any) -> None:
    stage.serve()
    stage.signal(signal.SIGUSR2)
    stage.wait(UPGRADE_S - 1)
    assert 0 == successor().process.killed
    stage.wait(2.0)
    assert 1 == successor().process.killed


def test_whoever_ends_us_meanwhile_means_the_new_one_too(stage: Stage, successor: Any) -> None:
    stage.serve()
    stage.signal(signal.SIGUSR2)
    stage.signal(signal.SIGTERM)
    assert 1 == successor().process.killed


def test_process_1_is_not_upgraded(stage: Stage, successor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container ends with it."""
    stage.serve()
    monkeypatch.setattr(os, "getpid", lambda: 1)
    stage.ask("upgrade")
    ((_, (answer,)),) = stage.control.heard()
    assert "this is process 1 of a container" in answer["failed"]
    assert successor() is None


def test_no_upgrade_goes_on_beside_another_or_before_there_is_service(stage: Stage, successor: Any) -> None:
    stage.open()
    stage.control.heard()
    stage.ask("upgrade")
    assert [("answer", [{"failed": "this balancer is starting or stopping"}])] == stage.control.heard()
    stage.prepare()
    stage.everybody_answers()
    stage.commit()
    stage.everybody_answers()
    stage.control.heard()
    stage.ask("upgrade")
    stage.ask("upgrade")
    assert [("answer", [{"failed": "an upgrade goes on already (pid 4711)"}])] == stage.control.heard()


def test_a_new_program_that_cannot_be_started_is_said(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stage.serve()
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    stage.ask("upgrade")
    expected = "the new program cannot be started: [Errno 2] No such file or directory: '/no/such/python'"
    assert [("answer", [{"failed": expected}])] == stage.control.heard()
    assert [f"no upgrade: {expected}"] == caplog.messages


# What it is made of.


def test_it_can_be_read_in_one_sitting() -> None:
    assert module.__file__ is not None
    assert len(Path(module.__file__).read_text().splitlines()) <= 400


def test_it_needs_the_standard_library_alone() -> None:
    """And neither an event loop nor anything of the proxy's but how to bind."""
    program = (
        "import sys; import steelyard.supervisor\n"
        "names = {name for name in sys.modules if not name.startswith(('cython_runtime', '_cython_'))}\n"
        "tops = {name.partition('.')[0] for name in names}\n"
        "print(sorted(tops - set(sys.stdlib_module_names) - {'steelyard', '__main__'}))\n"
        "print('asyncio' in names, sorted(n for n in names if n.startswith(('steelyard.proxy.', 'steelyard.wire.'))))\n"
    )
    # Without site-packages, and whatever their .pth files would import.
    source = str(Path(module.__file__ or "").parents[1])
    start = f"import sys; sys.path.insert(0, {source!r})\n"
    command = [sys.executable, "-I", "-S", "-c", start + program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert "[]\nFalse ['steelyard.proxy.bind']\n" == done.stdout

"""One local backend over fakes: when it is started, when it is ready, what is said of it, and how it ends."""

import logging
import signal
from subprocess import SubprocessError

import pytest

from steelyard.backends import local as module
from steelyard.backends.local import KNOCK_S, LAST_READS, Local, State
from steelyard.backends.restarts import FIRST_PAUSE_S, LONGEST_PAUSE_S, YOUNG_S, Restarts
from tests.backends.fakes import FakeLaunch, FakeProcess, FakeReactor, a_wanted


class FakeKnock:
    """Somebody is there as soon as the stage says so."""

    open = False

    def __init__(self, wanted: object) -> None:
        pass

    def answered(self, age_s: float) -> bool:
        return FakeKnock.open

    def close(self) -> None:
        pass


class Stage:
    """One local backend that was started. changes: its states, as those are told that watch it."""

    def __init__(self) -> None:
        FakeKnock.open = False
        self.reactor = FakeReactor()
        self.launch = FakeLaunch(self.reactor)
        self.changes: list[State] = []
        self.lines: list[str] = []
        self.local = Local(
            a_wanted(),
            self.reactor,
            self.launch,
            Restarts(),
            self.reactor.clock,
            lambda local: self.changes.append(local.state),
            self.lines.append,
        )

    @property
    def process(self) -> FakeProcess:
        return self.launch.last

    def accepts(self, accepts: bool = True) -> None:
        """Its process accepts connections from now on, or none does."""
        FakeKnock.open = accepts
        self.reactor.wait(KNOCK_S)

    def well(self) -> None:
        """It is ready, and has been for a while."""
        self.accepts()
        self.reactor.wait(YOUNG_S)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Stage:
    monkeypatch.setattr(module, "Knock", FakeKnock)
    caplog.set_level(logging.INFO)
    stage = Stage()
    stage.local.start()
    return stage


def test_it_is_ready_when_it_accepts_connections(stage: Stage) -> None:
    stage.reactor.wait(5.0)
    assert (State.STARTING, []) == (stage.local.state, stage.changes)
    stage.accepts()
    assert (State.READY, [State.READY], True, "") == (
        stage.local.state,
        stage.changes,
        stage.local.settled,
        stage.local.why,
    )
    assert 1 == stage.local.report()["pid"]


def test_what_it_says_is_passed_on_with_its_name(stage: Stage) -> None:
    stage.process.says(b"one\ntw")
    stage.process.says(b"o\nthree")
    stage.process.ends(0)
    assert ["[web/0] one", "[web/0] two", "[web/0] three"] == stage.lines


def test_one_that_was_well_is_started_again_at_once(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.well()
    stage.process.ends(-9)
    stage.reactor.wait()
    assert ([State.READY, State.WAITING], 2) == (stage.changes, len(stage.launch.started))
    assert ["local backend web/0 (pid 1) ended: SIGKILL; another one is started"] == caplog.messages
    assert (2, 1) == (stage.local.pid, stage.local.report()["restarts"])


def test_a_crash_loop_backs_off_and_is_said_once(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Ten minutes of a server that ends each time a moment after it was ready."""
    stage.accepts()
    begun = stage.reactor.now
    while stage.reactor.now < begun + 600:
        if stage.local.state is State.READY:
            stage.process.says(b"no database\n")
            stage.process.ends(3)
        stage.reactor.wait(KNOCK_S)
    assert len(stage.launch.started) < 600 / LONGEST_PAUSE_S + 12
    assert [
        "local backend web/0 (pid 1) ended: exit status 3; another one is started; it said last:\n    no database",
        "app.yaml:7: pools.web.backends[0].run: local backend web/0 ended: exit status 3, and is started again and "
        "again, up to 10 s later, until it is well (got serve {port}); it said last:\n    no database",
    ] == caplog.messages
    caplog.clear()
    stage.reactor.wait(LONGEST_PAUSE_S + YOUNG_S + 1.0)
    assert [f"local backend web/0 (pid {stage.local.pid}) is well again"] == caplog.messages


def test_what_one_says_that_keeps_ending_is_passed_on_when_it_is_well_again(stage: Stage) -> None:
    stage.process.says(b"first\n")
    stage.process.ends(1)
    stage.reactor.wait(FIRST_PAUSE_S)
    stage.process.says(b"second\n")
    stage.process.ends(1)
    stage.reactor.wait(2 * FIRST_PAUSE_S)
    stage.process.says(b"third\n")
    stage.accepts()
    stage.process.says(b"fourth\n")
    assert ["[web/0] first"] == stage.lines
    stage.reactor.wait(YOUNG_S)
    stage.process.says(b"fifth\n")
    assert ["[web/0] first", "[web/0] third", "[web/0] fourth", "[web/0] fifth"] == stage.lines


def test_one_that_ends_before_it_is_ready_has_failed_and_who_waits_says_so(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.process.says(b"Traceback\nModuleNotFoundError: No module named 'app'\n")
    stage.process.ends(1)
    assert [State.WAITING] == stage.changes
    assert (
        "app.yaml:7: pools.web.backends[0].run: local backend web/0 ended: exit status 1, before it was ready "
        "(got serve {port}); it said last:\n    Traceback\n    ModuleNotFoundError: No module named 'app'"
    ) == stage.local.why
    stage.reactor.wait(FIRST_PAUSE_S)
    stage.process.ends(1)
    stage.reactor.wait(60)
    assert [] == caplog.messages


def test_one_that_is_never_ready_is_ended_and_tried_again(stage: Stage) -> None:
    stage.reactor.wait(30.0)
    assert "has not accepted a connection at 127.0.0.1:1 within 30 s" in stage.local.why
    assert "it said nothing" in stage.local.why
    assert [signal.SIGTERM] == stage.process.signals
    stage.reactor.wait(FIRST_PAUSE_S)
    assert 2 == len(stage.launch.started)


def test_where_no_process_can_be_started_it_is_tried_again(stage: Stage) -> None:
    stage.well()
    stage.launch.refuses = 2
    stage.process.ends(0)
    stage.reactor.wait(2.0)
    assert 2 == len(stage.launch.started)


def test_one_that_hangs_is_started_anew_and_killed_where_it_does_not_end(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.process.obedient = False
    stage.well()
    stage.local.restart(1, "hangs: 3 health checks in a row have failed")
    assert [State.READY, State.STOPPING] == stage.changes
    stage.reactor.wait(1.0)
    assert [signal.SIGTERM, signal.SIGKILL] == stage.launch.started[0].signals
    assert 2 == len(stage.launch.started)
    assert 1 == len(caplog.messages)
    assert "web/0 (pid 1) hangs: 3 health checks in a row have failed; another one is started" in caplog.messages[0]


def test_one_that_is_recycled_has_its_time_to_end_and_nothing_is_complained_of(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.process.obedient = False
    stage.well()
    stage.local.restart(1)
    stage.reactor.wait(9.0)
    assert [signal.SIGTERM] == stage.process.signals
    stage.process.ends(0)
    stage.accepts()
    assert (2, State.READY, 1, []) == (
        len(stage.launch.started),
        stage.local.state,
        stage.local.report()["restarts"],
        caplog.messages,
    )


def test_a_restart_of_a_process_that_is_gone_already_does_nothing(stage: Stage) -> None:
    stage.well()
    stage.process.ends(-9)
    stage.reactor.wait()
    stage.local.restart(1, "hangs")
    assert (State.STARTING, []) == (stage.local.state, stage.process.signals)


@pytest.mark.parametrize("obedient", [True, False])
def test_it_ends_for_good_when_it_is_told_to(stage: Stage, obedient: bool) -> None:
    stage.process.obedient = obedient
    stage.well()
    gone: list[bool] = []
    stage.local.stop(lambda: gone.append(True))
    stage.reactor.wait(9.0)
    assert obedient == bool(gone)
    stage.reactor.wait(60.0)
    assert ([True], State.GONE, 1) == (gone, stage.local.state, len(stage.launch.started))
    assert {} == stage.reactor.readers


def test_one_that_waits_for_its_next_start_is_gone_at_once(stage: Stage) -> None:
    stage.process.ends(1)
    gone: list[bool] = []
    stage.local.stop(lambda: gone.append(True))
    stage.reactor.wait(60.0)
    assert ([True], 1) == (gone, len(stage.launch.started))


def test_one_that_closes_its_output_runs_on(stage: Stage) -> None:
    stage.well()
    stage.process.code = 0  # as its output looks then
    stage.reactor.readers[stage.process.output_fd]()
    assert [stage.process.exit_fd] == list(stage.reactor.readers)


def test_who_goes_on_writing_to_the_pipe_of_one_that_has_ended_holds_up_nobody(stage: Stage) -> None:
    stage.well()
    process = stage.process
    process.read = lambda: b"more\n"  # type: ignore[method-assign]
    process.ends(1)
    assert process.finished
    assert LAST_READS == stage.lines.count("[web/0] more")


@pytest.mark.parametrize("exc", [ValueError("embedded null byte"), SubprocessError("no such thing")])
def test_words_that_no_program_can_be_given_are_said(stage: Stage, exc: Exception) -> None:
    stage.well()

    def cannot(wanted: object) -> FakeProcess:
        raise exc

    stage.local.launch = cannot
    stage.process.ends(1)
    stage.reactor.wait(FIRST_PAUSE_S)
    assert State.WAITING is stage.local.state


@pytest.mark.parametrize("stops", [True, False], ids=["for good", "anew"])
def test_output_that_is_told_behind_its_end_is_no_news(stage: Stage, stops: bool) -> None:
    """A selector tells both at once, in any order: its end, at which all was read, and that there is more to read."""
    stage.accepts()
    listen = stage.reactor.readers[stage.process.output_fd]
    stage.process.output.append(b"bye\n")
    if stops:
        stage.local.stop(lambda: None)
        stage.reactor.wait()
    else:
        stage.process.ends(1)
    listen()
    assert ["[web/0] bye"] == stage.lines

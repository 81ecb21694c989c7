"""One local backend: a process that is started, watched, and started anew when it ends.

    WAITING -> STARTING -> READY -> (ended) -> WAITING -> ...     STOPPING: told to end, for good or for a new start

Whoever drives it brings a clock, three calls (`Reactor`) and the start of a process, so that it runs in a selector of
the supervisor, in an event loop of asyncio, and in a test without either.

What goes wrong is said once: with the place of its key in the configuration, and the last lines of the process. One
that keeps ending is started again and again, ever later, and said no more until it is well; nor is what it says.
"""

import logging
import signal
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from subprocess import SubprocessError
from typing import Any, Final, Protocol

from steelyard.backends.knock import Knock
from steelyard.backends.output import Lines
from steelyard.backends.restarts import FIRST_PAUSE_S, LONGEST_PAUSE_S, YOUNG_S, Restarts, how_ended
from steelyard.backends.wanted import Wanted
from steelyard.core.spec import UDP

KNOCK_S: Final = 0.05  # so much later than it could be, a new process is used; a knock costs some 20 microseconds
HANG_STOP_S: Final = 1.0  # who hangs will hardly end by itself, and its successor waits for that
SHOWN_BYTES: Final = 240  # of a line in a message
LAST_READS: Final = 256  # 1 MiB, the most that a pipe holds (pipe(7)); somebody else may still write, and without end
HELD: Final = 200  # lines of one that keeps ending; more than that says nothing new

_log = logging.getLogger("steelyard")


class Reactor(Protocol):
    """What drives local backends."""

    def after(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call it once, so much later."""

    def add_reader(self, fd: int, call: Callable[[], None]) -> None:
        """Call it whenever the descriptor is readable."""

    def remove_reader(self, fd: int) -> None:
        """No more."""


class Running(Protocol):
    """A process, as in launch.py."""

    pid: int
    exit_fd: int
    output_fd: int

    def read(self) -> bytes | None:
        """Some of its output; empty at its end, None when there is nothing now."""

    def signal(self, number: int) -> None:
        """Send it a signal."""

    def finish(self) -> int:
        """Reap it; its return code."""


class State(Enum):
    """Where a local backend stands."""

    WAITING = "waiting"  # no process; one is to be started, at once or later
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    GONE = "gone"


class _Trouble(Enum):
    """What has been said of it."""

    NONE = "none"
    ENDED = "ended"  # once, after it was ready; may be an accident
    SAID = "said"  # it keeps ending, or does not come up: nothing more until it is well


class Local:
    """One local backend.

    on_change: called when it became ready, when it is so no more, and when a first start has come to nothing.
    pass_on: called with each line that it says. started: whether it ever had a process. settled: whether it was ready
    once, or has failed to be; why: then why.
    """

    def __init__(
        self,
        wanted: Wanted,
        reactor: Reactor,
        launch: Callable[[Wanted], Running],
        restarts: Restarts,
        clock: Callable[[], float],
        on_change: "Callable[[Local], None]",
        pass_on: Callable[[str], None],
    ) -> None:
        self.wanted = wanted
        self.reactor = reactor
        self.launch = launch
        self.restarts = restarts
        self.clock = clock
        self.on_change = on_change
        self.pass_on = pass_on
        self.state = State.WAITING
        self.process: Running | None = None
        self.started = self.settled = False
        self.why = ""
        self._turn = 0  # counts the processes: a timer of an older one does nothing
        self._lines = Lines()
        self._held: deque[str] = deque(maxlen=HELD)
        self._knock = Knock(wanted)
        self._born_s = 0.0
        self._ready_at_s: float | None = None
        self._told_why = ""  # why we have told it to end, where that is its own fault
        self._trouble = _Trouble.NONE
        self._gone: Callable[[], None] | None = None

    @property
    def pid(self) -> int:
        """Of the process that there is now; 0 for none."""
        return 0 if self.process is None else self.process.pid

    def report(self) -> dict[str, Any]:
        """What `steelyard status` says of it. restarts: how often it was started anew. troubled: it keeps ending, which
        was said, and no more is said until it is well."""
        return {
            "key": self.wanted.key,
            "name": self.wanted.name,
            "address": self.wanted.address,
            "pid": self.pid,
            "state": self.state.value,
            "age_s": self.clock() - self._born_s if self.process is not None else 0.0,
            "restarts": self.restarts.replaced.get(self.wanted.key, 0),
            "troubled": self._trouble is _Trouble.SAID,
        }

    def start(self) -> None:
        """Start its process, where there is none."""
        if self.state is not State.WAITING:
            return
        self._turn += 1
        self._told_why, self._ready_at_s, self._lines = "", None, Lines()
        self._held.clear()
        self._born_s = self.clock()
        try:
            process = self.launch(self.wanted)
        except OSError as exc:
            self._failed(f"cannot be started: {exc.strerror or exc}{f': {exc.filename}' if exc.filename else ''}")
            return
        except (ValueError, SubprocessError) as exc:  # words that no program can be given
            self._failed(f"cannot be started: {exc}")
            return
        self.process = process
        self.started = True
        self.state = State.STARTING
        self._knock = Knock(self.wanted)
        self.reactor.add_reader(process.output_fd, self._listen)
        self.reactor.add_reader(process.exit_fd, self._ended)
        self._later(KNOCK_S, self._ask)
        self._later(self.wanted.ready_timeout_s, self._give_up)

    def restart(self, pid: int, why: str = "") -> None:
        """Have another process in place of this one. why: what is wrong with it; else nothing is, and it may finish."""
        if pid != self.pid or self.state not in (State.STARTING, State.READY):
            return  # it has ended meanwhile
        self._told_why = why
        self._end(min(HANG_STOP_S, self.wanted.stop_timeout_s) if why else self.wanted.stop_timeout_s)

    def stop(self, gone: Callable[[], None]) -> None:
        """End it for good. gone: called when it has."""
        self._gone = gone
        if self.process is None:
            self.state = State.GONE
            gone()
        elif self.state is not State.STOPPING:
            self._end(self.wanted.stop_timeout_s)

    def kill(self) -> None:
        """End it now."""
        if self.process is not None:
            self.process.signal(signal.SIGKILL)

    # Up to ready.

    def _ask(self) -> None:
        """Is it there?"""
        if self.state is not State.STARTING:
            return
        if not self._knock.answered(self.clock() - self._born_s):
            self._later(KNOCK_S, self._ask)
            return
        self.state = State.READY
        self.settled = True
        self._ready_at_s = self.clock()
        self._later(YOUNG_S, self._well)
        self.on_change(self)

    def _give_up(self) -> None:
        """It has had its time to become ready."""
        if self.state is State.STARTING:
            where = (
                "bound its port" if self.wanted.protocol == UDP else f"accepted a connection at {self.wanted.address}"
            )
            self.restart(self.pid, f"has not {where} within {self.wanted.ready_timeout_s:g} s")

    def _well(self) -> None:
        """It has run for a while."""
        if self.state is State.READY:
            if self._trouble is _Trouble.SAID:
                _log.info("%s", f"local backend {self.wanted.name} (pid {self.pid}) is well again")
            self._trouble = _Trouble.NONE
            held = list(self._held)
            self._held.clear()
            self._pass_on(held)

    # Its end.

    def _end(self, patience_s: float) -> None:
        """Tell it to end, and see to it that it does."""
        assert self.process is not None
        was_ready, self.state = self.state is State.READY, State.STOPPING
        self._later(patience_s, self.kill)
        self.process.signal(signal.SIGTERM)
        if was_ready:
            self.on_change(self)

    def _ended(self) -> None:
        """Its process has ended, by itself or not."""
        process = self.process
        assert process is not None
        for _ in range(LAST_READS):  # what it said last
            if not self._hear(process.read()):
                break
        self._pass_on(self._lines.end())
        self._knock.close()
        self.reactor.remove_reader(process.exit_fd)
        self.reactor.remove_reader(process.output_fd)
        code = process.finish()
        told, self.state = self.state is State.STOPPING, State.WAITING
        pid, self.process = process.pid, None
        if self._gone is not None:
            self.state = State.GONE
            self._gone()
        elif told and not self._told_why:
            self.restarts.replaced[self.wanted.key] = self.restarts.replaced.get(self.wanted.key, 0) + 1
            self.start()
        elif told:
            self._failed(self._told_why, pid)
        else:
            self._failed(f"ended: {how_ended(code)}", pid, quiet=code < 0)

    def _failed(self, what: str, pid: int = 0, quiet: bool = False) -> None:
        """There is no process any more that was to be one; another one follows. quiet: its last lines say nothing."""
        was_ready = self._ready_at_s is not None
        age_s = self.clock() - self._ready_at_s if self._ready_at_s is not None else 0.0
        pause_s = self.restarts.pause_s(self.wanted.key, age_s)
        if not was_ready:  # hurry is for those that can serve
            pause_s = max(pause_s, FIRST_PAUSE_S)
        if not self.settled:
            self.settled = True  # who waits for it says it
            self.why = self._message(f"{what}, before it was ready" if pid and what.startswith("ended") else what)
            self._trouble = _Trouble.SAID
        elif self._trouble is _Trouble.NONE and was_ready:
            said = f"local backend {self.wanted.name} (pid {pid}) {what}; another one is started"
            _log.warning("%s", said if quiet else said + self._last_words())
            self._trouble = _Trouble.ENDED
        elif self._trouble is not _Trouble.SAID:
            often = f"and is started again and again, up to {LONGEST_PAUSE_S:g} s later"
            _log.warning("%s", self._message(f"{what}, {often}, until it is well"))
            self._trouble = _Trouble.SAID
        self.on_change(self)
        self._later(pause_s, self.start)

    def _message(self, what: str) -> str:
        """What is wrong, where that can be mended, and what it said."""
        shown = f" (got {self.wanted.value})" if self.wanted.value else ""
        return f"{self.wanted.where}: local backend {self.wanted.name} {what}{shown}{self._last_words()}"

    def _last_words(self) -> str:
        last = [line if len(line) <= SHOWN_BYTES else f"{line[:SHOWN_BYTES]}..." for line in self._lines.last]
        if not last:
            return "; it said nothing"
        return "; it said last:" + "".join(f"\n    {line}" for line in last)

    # What it says.

    def _listen(self) -> None:
        """Some output has come. Not more than one read: others wait for their turn."""
        if self.process is None:  # it has ended in the same look of the reactor, and was read to its end
            return
        data = self.process.read()
        if not self._hear(data) and data is not None:
            self.reactor.remove_reader(self.process.output_fd)  # it has closed both streams, and may run on

    def _hear(self, data: bytes | None) -> bool:
        """Pass on what it said; whether there was something."""
        if data:
            self._pass_on(self._lines.feed(data))
        return bool(data)

    def _pass_on(self, lines: Sequence[str]) -> None:
        if self._trouble is _Trouble.SAID:
            self._held.extend(lines)
            return
        for line in lines:
            self.pass_on(f"[{self.wanted.name}] {line}")

    def _later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call it then, if that is still about the same process, or the same want of one."""
        turn = self._turn
        self.reactor.after(delay_s, lambda: call() if turn == self._turn else None)

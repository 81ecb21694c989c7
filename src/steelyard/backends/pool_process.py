"""One worker of a pool as its parent sees it: the process, the socket to it, and the jobs that it has.

The first of the jobs is the one that it works at. Its time runs from when we see that it can have begun: so a parent
that was busy itself gives more time, never less. A worker whose time is over, for its start or for a task, is killed;
what it still says is not heard. That the process has ended is learnt from its pidfd (pidfd_open(2)), for the socket may
live on in a child of the child; where there is none, from the socket. What it had sent before is read first.
"""

import os
import pickle
import signal
import subprocess
import sys
from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from socket import MSG_DONTWAIT, SHUT_WR, socketpair
from typing import Final, Protocol

from steelyard.backends import pool_wire as wire
from steelyard.backends.dispatch import Job
from steelyard.backends.pool_worker import Setup
from steelyard.backends.results import PoolError, TaskTimeout, WorkerDied
from steelyard.errors import SteelyardError

# Where to import from comes first of all: a worker must find this very package, and all else where its parent does.
BOOT: Final = "import sys; sys.path[:] = {path!r}; from steelyard.backends.pool_worker import main; main()"

ENDED: Final = 0
NOTHING: Final = -1


class Owner(Protocol):
    """Who is told."""

    def answered(self, process: "PoolProcess", frames: Sequence[wire.Frame]) -> None:
        """It has said something."""

    def returned(self, process: "PoolProcess", unbegun: Sequence[Job]) -> None:
        """These it has not begun, and has no more."""

    def ending(self, process: "PoolProcess") -> None:
        """It is about to be no more, and must get nothing new."""

    def ended(self, process: "PoolProcess", unbegun: Sequence[Job], why: SteelyardError) -> None:
        """It is no more. `jobs` is the one that it was at, or none."""


class PoolProcess:
    """number: which worker of the pool it is. setup: what it is told first. Raises OSError without room.

    start_timeout_s: how long it may take to become ready; None: any time.
    ready: it has its function. answers: how many it has given. born_at: when it was started, or became ready.
    """

    def __init__(
        self, loop: AbstractEventLoop, owner: Owner, number: int, setup: Setup, start_timeout_s: float | None
    ) -> None:
        self.loop = loop
        self.owner = owner
        self.number = number
        self.jobs: deque[Job] = deque()
        self.ready = False
        self.answers = 0
        self.born_at = loop.time()
        self._function = setup.function
        self._start_timeout_s = start_timeout_s
        self._frames = wire.Frames()
        self._out: deque[memoryview] = deque()
        self._deadline: float | None = None
        self._timer: TimerHandle | None = None
        self._why: SteelyardError | None = None
        self._sent = 0
        self._spared = -1
        self.sock, theirs = socketpair()
        # Both ends stay ours: through the one permits are given, through the other they are taken back.
        self._permits, self._permitted = socketpair()
        try:
            self.process = _start(theirs.fileno(), self._permitted.fileno())
        except BaseException:
            self._close()
            raise
        finally:
            theirs.close()
        self.pid = self.process.pid
        self.sock.setblocking(False)
        loop.add_reader(self.sock.fileno(), self._readable)
        self._pidfd = _pidfd(self.pid)
        if self._pidfd is not None:
            loop.add_reader(self._pidfd, self._gone)
        self._write(wire.frame(wire.SETUP, pickle.dumps(tuple(setup), wire.PROTOCOL)))
        self._give_time(start_timeout_s)

    def send(self, jobs: Sequence[Job]) -> None:
        """Give it more to do."""
        idle = not self.jobs
        self.jobs.extend(jobs)
        numbers = [wire.NUMBER.pack(number) for number in range(self._sent, self._sent + len(jobs))]
        self._sent += len(jobs)
        self._write(
            b"".join([wire.frame(wire.TASK, number + job.blob) for number, job in zip(numbers, jobs, strict=True)])
        )
        with suppress(OSError):  # that it is gone is learnt elsewhere
            self._permits.sendall(b"".join(numbers))
        if idle:
            self.begin_first()

    def take_back(self) -> list[Job]:
        """The jobs that it has not begun, in their order. It has them no more, and will not begin them."""
        count = 0
        with suppress(BlockingIOError):
            while read := self._permitted.recv(wire.READ_BYTES, MSG_DONTWAIT):
                count += len(read) // wire.NUMBER.size
        return [self.jobs.pop() for _ in range(count)][::-1]

    def catch_up(self) -> Job | None:
        """Hear all that it has said until now. Returns the job that it is at; None: it has none."""
        self._read_all()
        return self.jobs[0] if self.jobs else None

    def begin_first(self) -> None:
        """It works at the first of its jobs from now on: see to its time."""
        self._give_time(self.jobs[0].timeout_s if self.jobs else None)

    def end(self) -> None:
        """Let it finish what it has, and end."""
        self._permits.shutdown(SHUT_WR)

    def kill(self, why: SteelyardError) -> None:
        """End it at once; what it still says is not listened to. why: what becomes of its first job."""
        self._why = why
        self.owner.ending(self)
        self.process.kill()

    def kill_and_wait(self) -> None:
        """End it at once, and be done with it; nobody is told."""
        self.process.kill()
        self._let_go()

    def _write(self, data: bytes) -> None:
        if self._out:
            self._out.append(memoryview(data))
            return
        left = self._try_to_send(memoryview(data))
        if left:
            self._out.append(left)
            self.loop.add_writer(self.sock.fileno(), self._writable)

    def _try_to_send(self, data: memoryview) -> memoryview:
        """Returns what did not go out. To one that is gone all goes: that it is gone is learnt elsewhere."""
        try:
            return data[self.sock.send(data) :]
        except BlockingIOError:
            return data
        except OSError:
            return data[:0]

    def _writable(self) -> None:
        while self._out:
            left = self._try_to_send(self._out[0])
            if left:
                self._out[0] = left
                return
            self._out.popleft()
        self.loop.remove_writer(self.sock.fileno())

    def _readable(self) -> None:
        if self._read() == ENDED:
            self.loop.remove_reader(self.sock.fileno())
            self.owner.ending(self)
            self.process.kill()  # without its socket it is of no use
            if self._pidfd is None:
                self._gone()

    def _read(self) -> int:
        """Hear what it says, once. Returns how many bytes that were, NOTHING, or ENDED when no more will come."""
        try:
            data = self.sock.recv(wire.READ_BYTES)
        except BlockingIOError:
            return NOTHING
        except OSError:
            return ENDED
        if self._why is None:
            frames = self._frames.feed(data)
            if frames:
                self.owner.answered(self, frames)
        return len(data)

    def _read_all(self) -> None:
        """Hear all that it has said until now."""
        while self._read() > 0:
            pass

    def _give_time(self, timeout_s: float | None) -> None:
        """It has so long from now on, for its start or its first job."""
        if timeout_s is None:
            self._deadline = None
            return
        self._deadline = self.loop.time() + timeout_s
        # A timer that goes off too early looks again: most tasks end long before, and need none of their own.
        if self._timer is not None and self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self.loop.call_at(self._deadline, self._look_at_time)

    def _look_at_time(self) -> None:
        self._timer = None
        self._read_all()  # if we were busy it may have answered long ago
        if self._why is not None or self._deadline is None or (self.ready and not self.jobs):
            return
        if self._deadline > self.loop.time():
            if self._timer is None:
                self._timer = self.loop.call_at(self._deadline, self._look_at_time)
            return
        if not self.ready:
            what = f"{self._function} was not imported within {self._start_timeout_s:g} s"
            self.kill(PoolError(f"{what}, and the worker was killed for it; start_timeout= gives it longer"))
            return
        late = self.jobs[0]
        unbegun = self.take_back()
        self._read_all()  # if it has begun another one just now, it has answered this one before
        if self.jobs and self.jobs[0] is late:
            self.kill(TaskTimeout(f"it took longer than {late.timeout_s:g} s, and the worker was killed for it"))
        elif not self.jobs and self._spared == self.answers:
            self.kill(TaskTimeout(f"it began nothing for {late.timeout_s:g} s, twice, and was killed for it"))
        else:  # on a machine with more to do than it can, a worker may not have come to it
            self._spared = self.answers
        self.owner.returned(self, unbegun)

    def _gone(self) -> None:
        self.owner.ending(self)
        self.process.kill()  # it has ended, and with it is to end what it has started
        self.process.wait()
        self._read_all()
        unbegun = self.take_back()
        status = self._let_go()
        self.owner.ended(self, unbegun, self._why or WorkerDied(f"the worker {describe_status(status)}"))

    def _let_go(self) -> int:
        """Wait for the process, which has ended or is killed, and close what belongs to it. Returns its status."""
        self.loop.remove_reader(self.sock.fileno())
        self.loop.remove_writer(self.sock.fileno())
        self._close()
        if self._timer is not None:
            self._timer.cancel()
        if self._pidfd is not None:
            self.loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        return self.process.wait()

    def _close(self) -> None:
        self.sock.close()
        self._permits.close()
        self._permitted.close()


def describe_status(status: int) -> str:
    """How a process has ended, in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


class Group(subprocess.Popen[bytes]):
    """A process that leads a group of its own."""

    def kill(self) -> None:
        """End it, and what it has started, as far as that has stayed in its group."""
        if self.returncode is None:  # not reaped: nobody else can have the number of its group
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


def _start(*descriptors: int) -> Group:
    boot = BOOT.format(path=[entry or os.getcwd() for entry in sys.path])
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # what multiprocessing passes on
    return Group(
        [sys.executable, *flags, "-P", "-c", boot, *map(str, descriptors), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        pass_fds=descriptors,
        process_group=0,  # Ctrl-C at a terminal is for us alone
    )


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError:  # Linux before 5.3, or a sandbox
        return None

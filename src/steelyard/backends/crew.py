"""The workers of a pool: started, given work, listened to, replaced, ended. It has the event loop; what it
decides it asks of dispatch.py.

A worker is replaced as soon as it is gone. One that cannot be started is tried again, later each time, and given up at
last: a task for which no worker is left is failed, and does not wait for ever.
"""

import asyncio
import logging
import pickle
import sys
from collections.abc import Sequence
from typing import Any, Final

from steelyard.backends import answers
from steelyard.backends import pool_wire as wire
from steelyard.backends.dispatch import Dispatch, Job
from steelyard.backends.entrance import Entrance
from steelyard.backends.importable import MAIN, MAIN_AGAIN, is_importing, main_source
from steelyard.backends.pool_process import PoolProcess
from steelyard.backends.pool_worker import Raised, Setup
from steelyard.backends.results import PoolClosed, PoolError, Result, TaskFailed, said
from steelyard.errors import SteelyardError

# How much work a worker may have before it, and how many tasks that can be: so much that it need not wait for us.
AHEAD_S: Final = 0.005
MOST_AHEAD: Final = 64
# What a worker has not begun is taken back from one that is at the same task for so long, or twice as long.
STUCK_S: Final = 0.02
WEIGHT: Final = 0.2  # of the latest answers in what a task is thought to take
# A worker that does not live so long, and does nothing, has not really started.
SHORT_LIFE_S: Final = 1.0
START_TRIES: Final = 5
RESTART_S: Final = 0.1  # before the second try, and twice as long before each one after that
EXIT_S: Final = 5.0  # for what functions have left running: atexit, threads

_log = logging.getLogger("steelyard")


class Member:
    """One worker, through all its processes. mean_s: what a task takes it, of late; 0.0: nothing known.

    failed_starts: in a row.
    """

    def __init__(self, number: int, name: str, function: str) -> None:
        self.number = number
        self.name = name
        self.function = function
        self.process: PoolProcess | None = None
        self.restart: asyncio.TimerHandle | None = None
        self.failed_starts = 0
        self.mean_s = 0.0
        self.window = MOST_AHEAD  # until it is known what a task takes: so turns are kept from the first one on

    def paced(self, took_s: float, count: int) -> int:
        """So many tasks took so long. Returns how many it may hold: 1, 2, 4... up to MOST_AHEAD."""
        latest_s = took_s / count
        self.mean_s += (latest_s - self.mean_s) * (WEIGHT if self.mean_s else 1.0)
        fits = min(int(AHEAD_S / self.mean_s), MOST_AHEAD) if self.mean_s > 0.0 else MOST_AHEAD
        return 1 << (fits.bit_length() - 1) if fits > 1 else 1


class Crew:
    """names, functions: of each worker. start_timeout_s: of each process; None: any time. loop: None before `start`.

    not_done: the tasks that had not ended when all were ended, the oldest first.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        entrance: Entrance,
        names: Sequence[str],
        functions: Sequence[str],
        start_timeout_s: float | None,
    ) -> None:
        self.start_timeout_s = start_timeout_s
        self.dispatch = dispatch
        self.entrance = entrance
        self.loop: asyncio.AbstractEventLoop | None = None
        self.members = [
            Member(number, name, function) for number, (name, function) in enumerate(zip(names, functions, strict=True))
        ]
        self.not_done: list[Any] = []
        self._started: asyncio.Future[None] | None = None
        self._changed = asyncio.Event()
        self._looking: asyncio.TimerHandle | None = None
        self._is_ending = False
        self._is_over = False
        self._assigning = False

    def pids(self) -> dict[str, int]:
        """The processes that run now."""
        return {member.name: member.process.pid for member in self.members if member.process is not None}

    async def start(self) -> None:
        """Start all, and wait until they are ready."""
        if self.loop is not None or self._is_over:
            raise PoolError("this pool was started before; make another one")
        if is_importing():
            raise PoolError(
                "a pool cannot be started while a worker imports the program: "
                'put what starts it under `if __name__ == "__main__":`, or into a function'
            )
        self.loop = asyncio.get_running_loop()
        # What a worker pickles of the main module comes back under this name.
        sys.modules.setdefault(MAIN_AGAIN, sys.modules[MAIN])
        started = self._started = self.loop.create_future()
        try:
            for member in self.members:
                self._start(member)
            await started
        except BaseException:
            self.end_now()
            raise
        finally:
            self._started = None

    def assign_soon(self) -> None:
        """Give out what waits when the loop comes round: many tasks at once."""
        if not self._assigning and self.loop is not None:
            self._assigning = True
            self.loop.call_soon(self._assign)

    def withdraw(self, job: Job) -> None:
        """Nobody waits for this one any more: if it has not been begun, it will not be."""
        process = self.members[job.worker].process if job.worker >= 0 else None
        if process is None or job not in process.jobs:
            self.dispatch.withdraw(job, with_worker=False)
        else:
            self.dispatch.withdraw(job, with_worker=True)
            self.dispatch.taken_back(process.take_back(), self._now())
            self.assign_soon()
        self.entrance.admit()
        self._changed.set()

    async def close(self, at_once: bool) -> list[Any]:
        """End all, when everything is done or at once. Returns `not_done`."""
        self.entrance.close()
        if at_once or self.loop is None:
            self.end_now()
            return self.not_done
        try:
            await self._until(lambda: self.dispatch.pending == 0)
            self._is_ending = True
            for member in self.members:
                if member.process is not None and member.process.ready:
                    member.process.end()
            async with asyncio.timeout(EXIT_S):
                await self._until(lambda: not self.pids())
        except TimeoutError:
            _log.warning("pool: %s did not end within %g s, and are killed", ", ".join(self.pids()), EXIT_S)
        finally:
            self.end_now()
        return self.not_done

    def end_now(self) -> None:
        """Kill all; what is not done has failed."""
        self.entrance.close()
        self._is_ending = self._is_over = True
        jobs: list[Job] = []
        if self._looking is not None:
            self._looking.cancel()
        processes = [member.process for member in self.members if member.process is not None]
        for process in processes:
            process.process.kill()
        for member in self.members:
            if member.restart is not None:
                member.restart.cancel()
            if member.process is not None:
                member.process.kill_and_wait()
                held, member.process = member.process.jobs, None
                self.dispatch.abandon(held, self._now())
                jobs += [job for job in held if not job.withdrawn]
        jobs += self.dispatch.drop_all()
        jobs.sort(key=lambda job: job.turn)
        for job in jobs:
            self._fail(job, PoolClosed("the pool was closed before it was done"))
        self.not_done += [job.task for job in jobs]
        self._changed.set()

    def answered(self, process: PoolProcess, frames: Sequence[wire.Frame]) -> None:
        """A worker has said something."""
        member = self.members[process.number]
        now = self._now()
        took = 0.0
        answered = 0
        for kind, took_s, body in frames:
            if kind >= wire.VALUE:
                took += took_s
                answered += 1
                self._settle(member.name, process.jobs.popleft(), kind, body, now)
            elif kind == wire.READY:
                self._ready(member, process, now)
            else:
                self._broken(member, pickle.loads(body))
        if answered:
            process.answers += answered
            process.begin_first()
            member.failed_starts = 0
            self._set_window(member, member.paced(took, answered))
            self._assign()

    def ending(self, process: PoolProcess) -> None:
        """A worker gets nothing new any more."""
        self.dispatch.down(process.number, self._now())

    def returned(self, process: PoolProcess, unbegun: Sequence[Job]) -> None:
        """These are to wait again."""
        self.dispatch.taken_back(unbegun, self._now())
        self._changed.set()
        self._assign()

    def ended(self, process: PoolProcess, unbegun: Sequence[Job], why: SteelyardError) -> None:
        """A worker is gone: what it had goes to others, and another one comes."""
        member = self.members[process.number]
        member.process = None
        self.dispatch.taken_back(unbegun, self._now())
        jobs = list(process.jobs)
        for job in jobs:
            if self.dispatch.lost(job, self._now()):
                self._fail(job, why)
        self._changed.set()
        if self._is_ending:
            return
        lived_s = self._now() - process.born_at
        if not process.ready or (process.answers == 0 and lived_s < SHORT_LIFE_S and not jobs):
            self._start_failed(member, why)
        else:
            _log.warning("pool: %s (pid %d): %s; another one is started", member.name, process.pid, why)
            self._start(member)
        self._assign()

    def _start(self, member: Member) -> None:
        member.restart = None
        assert self.loop is not None
        setup = Setup(member.name, member.function, sys.argv, main_source())
        try:
            member.process = PoolProcess(self.loop, self, member.number, setup, self.start_timeout_s)
        except OSError as exc:
            self._start_failed(member, PoolError(f"no process could be started: {said(exc)}"))

    def _ready(self, member: Member, process: PoolProcess, now: float) -> None:
        process.ready = True
        process.born_at = now
        self.dispatch.up(member.number, now)
        started = self._started
        everybody = all(one.process is not None and one.process.ready for one in self.members)
        if started is not None and everybody and not started.done():
            started.set_result(None)
        if self._is_ending:
            process.end()
        self._assign()

    def _broken(self, member: Member, why: Raised) -> None:
        process = member.process
        assert process is not None
        cause = PoolError(f"{member.function} cannot be imported by a worker: {why.kind}: {why.text}\n{why.trace}")
        process.kill(cause)

    def _start_failed(self, member: Member, why: SteelyardError) -> None:
        """One that did not come to work: at the very start that is an error, later it is tried again."""
        if self._started is not None:
            if not self._started.done():
                self._started.set_exception(PoolError(f"worker {member.name} did not become ready: {why}"))
            return
        assert self.loop is not None
        member.failed_starts += 1
        if member.failed_starts >= START_TRIES:
            _log.error("pool: %s failed to start %d times, and is given up: %s", member.name, START_TRIES, why)
            for job in self.dispatch.give_up(member.number):
                self._fail(job, PoolError(f"no worker is left that could do it; the last one: {why}"))
            self._changed.set()
            return
        wait_s = RESTART_S * 2 ** (member.failed_starts - 1)
        _log.warning("pool: %s did not start: %s; tried again in %g s", member.name, why, wait_s)
        member.restart = self.loop.call_later(wait_s, self._start, member)

    def _settle(self, name: str, job: Job, kind: int, body: bytes, now: float) -> None:
        value, cause = answers.read(kind, body)
        self.dispatch.ended(job, cause is None, now)
        if cause is None:
            job.answer.give(job, Result(name, job.task, value))
        else:
            job.answer.fail(job, TaskFailed(job.task, name, cause))
        if self.dispatch.pending == 0:
            self._changed.set()

    def _fail(self, job: Job, why: BaseException) -> None:
        name = self.members[job.worker].name if job.worker >= 0 else None
        job.answer.fail(job, TaskFailed(job.task, name, why))

    def _assign(self) -> None:
        """Give out what waits, as far as workers have room; then there may be room in the queue."""
        self._assigning = False
        given: dict[int, list[Job]] = {}
        now = self._now()
        while (job := self.dispatch.next(now)) is not None:
            given.setdefault(job.worker, []).append(job)
        for number, jobs in given.items():
            process = self.members[number].process
            assert process is not None, f"a task for {self.members[number].name}, which is not there"
            process.send(jobs)
            if len(process.jobs) > 1:
                self._look_soon()
        self.entrance.admit()

    def _look_soon(self) -> None:
        """See to it that `_look` comes, where there are others who could do what waits."""
        if self._looking is None and self.loop is not None and len(self.members) > 1:
            at = [(one.process, one.process.jobs[0]) for one in self.members if one.process and one.process.jobs]
            self._looking = self.loop.call_later(STUCK_S, self._look, at)

    def _look(self, before: Sequence[tuple[PoolProcess, Job]]) -> None:
        """Take back what waits behind a task that a worker is still at. before: who was at what, at the last look."""
        self._looking = None
        for process, job in before:
            member = self.members[process.number]
            if member.process is process and process.catch_up() is job and len(process.jobs) > 1:
                self.dispatch.taken_back(process.take_back(), self._now())
                self._set_window(member, member.paced(max(self._now() - job.sent_at, STUCK_S), 1))
        self._changed.set()
        self._assign()
        if any(member.process and len(member.process.jobs) > 1 for member in self.members):
            self._look_soon()

    def _set_window(self, member: Member, window: int) -> None:
        if window != member.window:
            member.window = window
            self.dispatch.set_window(member.number, window)

    async def _until(self, holds: Any) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    def _now(self) -> float:
        return 0.0 if self.loop is None else self.loop.time()

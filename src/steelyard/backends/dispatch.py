"""Which task goes to which worker and when, and what is counted: the queue of a pool, without processes or sockets.

The core chooses. Each worker is a backend of a pool over a table of its own, and the window of tasks that a worker may
hold is its `max_connections`: a task waits here until a worker has room. There is a lane for what any worker may do,
and one for each function that is asked for by itself; all are pools over the same rows of the table, so each sees what
the others have sent.

A job is submitted once and ends once, as done or as failed: `submitted == done + failed + pending`, always.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from steelyard.backends.results import PoolError
from steelyard.core import policies as _built_in  # noqa: F401 (registers them)
from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, names, registered
from steelyard.core.pool import Pool
from steelyard.core.rows import PoolRows
from steelyard.core.spec import BackendSpec, PolicySpec, PoolSpec
from steelyard.core.table import Table

TRIES: Final = 2
# Those that need nothing of a request: a task has no address and no path, and nobody probes a worker.
NEEDLESS: Final = {"key", "clients", "probe"}


def policies() -> tuple[str, ...]:
    """The policies that can choose a worker."""
    return tuple(name for name in names() if registered(name).ours and not NEEDLESS & set(registered(name).options))


class Job(Pick):
    """One task on its way. It is the `Pick` of the core, too.

    blob: the pickled task. timeout_s: of each try, None: any time. answer: told once what came of it.
    lane: the function that is asked for, None: any. tries: how often a worker has begun it and has not ended it.
    worker: where it is, or was last; -1 before. sent_at: when that was, monotonic seconds.
    withdrawn: nobody waits for it any more.
    """

    __slots__ = ("answer", "blob", "lane", "sent_at", "task", "timeout_s", "tries", "turn", "withdrawn", "worker")

    def __init__(
        self,
        below: Callable[[int], int],
        task: Any,
        blob: bytes,
        timeout_s: float | None,
        lane: int | None,
        answer: Any,
    ) -> None:
        super().__init__(below)
        self.task = task
        self.blob = blob
        self.timeout_s = timeout_s
        self.lane = lane
        self.answer = answer
        self.turn = 0
        self.tries = 0
        self.worker = -1
        self.sent_at = 0.0
        self.withdrawn = False


class Lane:
    """Tasks that the same workers may do, first come first served. again: those that are tried once more go before."""

    def __init__(self, pool: Pool, workers: Sequence[int]) -> None:
        self.pool = pool
        self.workers = set(workers)  # those that are not given up
        self.backends = dict(zip(workers, pool.backends, strict=True))
        self.numbers = {backend: number for number, backend in self.backends.items()}
        self.waiting: deque[Job] = deque()
        self.again: deque[Job] = deque()

    def turn(self) -> int | None:
        """When its first one came; None: nobody waits. Drops those that were withdrawn."""
        for line in (self.again, self.waiting):
            while line and line[0].withdrawn:
                line.popleft()
            if line:
                return line[0].turn
        return None

    def take(self, now: float) -> tuple[Job, Backend] | None:
        """The first one for whom there is a worker, and which; None: no worker has room."""
        for at, job in enumerate(self.again):
            if job.withdrawn:
                continue
            job.tried = [self.backends[job.worker]] if self._has_other(job.worker) else None
            backend = self._acquire(job, now)
            if backend is not None:
                del self.again[at]
                return job, backend
        while self.waiting and self.waiting[0].withdrawn:
            self.waiting.popleft()
        if not self.waiting:
            return None
        backend = self._acquire(self.waiting[0], now)
        return None if backend is None else (self.waiting.popleft(), backend)

    def _acquire(self, job: Job, now: float) -> Backend | None:
        job.now = now
        found = self.pool.acquire(job)
        return found if isinstance(found, Backend) else None

    def _has_other(self, worker: int) -> bool:
        return any(backend.healthy for number, backend in self.backends.items() if number != worker)


class Dispatch:
    """names: of the workers. functions: which one each runs, as a number. below: chance, as the core wants it.

    most_waiting: the queue's size. workers: how many there are; they are down until `up`. window: how many tasks one
    holds at first.
    submitted, done, failed: ever; waiting: here now, for a worker with room.
    Raises PoolError for a policy that cannot choose a worker.
    """

    def __init__(
        self,
        names: Sequence[str],
        functions: Sequence[int],
        policy: str,
        most_waiting: int,
        below: Callable[[int], int],
        window: int = 1,
    ) -> None:
        if policy not in policies():
            raise PoolError(f"policy {policy!r} cannot choose a worker; take one of {', '.join(policies())}")
        self.most_waiting = most_waiting
        self.below = below
        self.submitted = self.done = self.failed = self.waiting = 0
        count = self.workers = len(names)
        kinds = sorted(set(functions))
        rows = 1 + count + len(kinds)
        self.table = Table(bytearray(Table.size_bytes(rows, 1)), rows)
        self.lanes: dict[int | None, Lane] = {}
        for at, kind in enumerate([None, *kinds]):
            members = [number for number in range(count) if kind is None or functions[number] == kind]
            backends = tuple(BackendSpec(names[number], 0, 1, window) for number in members)
            spec = PoolSpec(
                "all" if kind is None else names[members[0]],
                backends,
                PolicySpec(policy),
                health_check=None,
                ejection=None,
            )
            own_row = 0 if kind is None else count + at
            in_table = PoolRows((own_row,), tuple(1 + number for number in members))
            self.lanes[kind] = Lane(Pool(spec, self.table, in_table, fresh=kind is None), members)
        for number in range(count):
            self.down(number, 0.0)

    @property
    def pending(self) -> int:
        """Submitted, and neither done nor failed."""
        return self.submitted - self.done - self.failed

    @property
    def room(self) -> int:
        """How many tasks more can be taken: each worker is at one, and `most_waiting` wait, here or with a worker."""
        return max(self.most_waiting + self.workers - self.pending, 0)

    def in_flight(self, worker: int) -> int:
        """How many tasks a worker holds."""
        return self.lanes[None].backends[worker].in_flight

    def put(self, job: Job) -> None:
        """Take a job into the queue. Raises PoolError where no worker is left for it."""
        lane = self.lanes[job.lane]
        if not lane.workers:
            raise PoolError("no worker is left that could do it: none of them could be started")
        self.submitted += 1
        self.waiting += 1
        job.turn = self.submitted
        lane.waiting.append(job)

    def refuse(self) -> None:
        """Count a job that failed before it could wait."""
        self.submitted += 1
        self.failed += 1

    def next(self, now: float) -> Job | None:
        """The next job that a worker has room for; it is that worker's from now on. None: none for now."""
        if self.waiting == 0:
            return None
        for lane in self._by_age():
            found = lane.take(now)
            if found is not None:
                job, backend = found
                self.waiting -= 1
                job.worker = lane.numbers[backend]
                job.sent_at = now
                return job
        return None

    def ended(self, job: Job, done: bool, now: float) -> None:
        """A worker has answered: the job is done, or its function raised."""
        self._release(job, False, now, now - job.sent_at)
        if done:
            self.done += 1
        else:
            self.failed += 1

    def lost(self, job: Job, now: float) -> bool:
        """A worker is gone that was at this job. `down` comes before. Whether that was the end of the job.

        Else it is tried once more, elsewhere if there is an elsewhere.
        """
        self._release(job, True, now)
        job.tries += 1
        if job.withdrawn or job.tries >= TRIES:
            self.failed += 1
            return True
        self.waiting += 1
        self.lanes[job.lane].again.append(job)
        return False

    def taken_back(self, jobs: Sequence[Job], now: float) -> None:
        """A worker had these, and has not begun them: they wait again, before the others and in this order.

        Those that nobody waits for have failed.
        """
        for job in reversed(jobs):
            self._release(job, False, now)
            if job.withdrawn:
                self.failed += 1
                continue
            self.waiting += 1
            lane = self.lanes[job.lane]
            if job.tries:
                lane.again.appendleft(job)
            else:
                lane.waiting.appendleft(job)

    def abandon(self, jobs: Iterable[Job], now: float) -> None:
        """A worker was ended with these: they have failed."""
        for job in jobs:
            self._release(job, False, now)
            self.failed += 1

    def withdraw(self, job: Job, with_worker: bool) -> None:
        """Nobody waits for it any more. One that waits has failed; one that a worker has is ended by that."""
        job.withdrawn = True
        if not with_worker:
            self.waiting -= 1
            self.failed += 1
            job.blob = b""

    def up(self, worker: int, now: float) -> None:
        """A worker is ready for tasks."""
        self._set_healthy(worker, True, now)

    def down(self, worker: int, now: float) -> None:
        """A worker takes no tasks."""
        self._set_healthy(worker, False, now)

    def give_up(self, worker: int) -> list[Job]:
        """A worker will not come back. Returns the jobs that nobody is left for; they have failed."""
        stranded: list[Job] = []
        for lane in self.lanes.values():
            lane.workers.discard(worker)
            if not lane.workers:
                stranded += self._drop(lane)
        return stranded

    def drop_all(self) -> list[Job]:
        """Nothing that waits will be done: all of it has failed. Returns it, by age."""
        return sorted((job for lane in self.lanes.values() for job in self._drop(lane)), key=lambda job: job.turn)

    def set_window(self, worker: int, window: int) -> None:
        """Let a worker hold so many tasks from now on."""
        for lane in self._of(worker):
            backend = lane.backends[worker]
            backend.adopt(replace(backend.spec, max_connections=window), backend.tier)

    def _drop(self, lane: Lane) -> list[Job]:
        dropped = [job for job in (*lane.again, *lane.waiting) if not job.withdrawn]
        lane.again.clear()
        lane.waiting.clear()
        self.waiting -= len(dropped)
        self.failed += len(dropped)
        return dropped

    def _by_age(self) -> Iterable[Lane]:
        """The lanes in which somebody waits, who came first first."""
        aged = [(turn, lane) for lane in self.lanes.values() if (turn := lane.turn()) is not None]
        if len(aged) > 1:
            aged.sort(key=lambda one: one[0])
        return [lane for _, lane in aged]

    def _release(self, job: Job, failed: bool, now: float, latency_s: float = -1.0) -> None:
        lane = self.lanes[job.lane]
        lane.pool.release(job, lane.backends[job.worker], failed, now, latency_s)

    def _set_healthy(self, worker: int, healthy: bool, now: float) -> None:
        first, *others = [lane.backends[worker] for lane in self._of(worker)]
        first.set_healthy(healthy, now)
        for backend in others:  # the same row: what is left is to tell the others' policies
            backend.announce()

    def _of(self, worker: int) -> list[Lane]:
        return [lane for lane in self.lanes.values() if worker in lane.backends]

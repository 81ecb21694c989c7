"""Many tasks, and what becomes of them as it comes: the heart of `map`, of both faces of the pool.

No task of asyncio's for each one, and as many results at once as there are. It never has more tasks out than `most`,
those that are done and not yet asked for included: who takes results slowly is sent no more.
"""

from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from steelyard.backends.dispatch import Job
from steelyard.backends.entrance import Entrance
from steelyard.backends.results import PoolClosed, Result, TaskFailed

Found = Result[Any, Any] | TaskFailed


class Mapping:
    """put: submits a task, and says who is told of it; withdraw: what is not begun need not be any more."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        entrance: Entrance,
        put: Callable[[Any, "Mapping"], Job | None],
        withdraw: Callable[[Job], None],
        most: int,
    ) -> None:
        self.loop = loop
        self.entrance = entrance
        self.most = most
        self._put = put
        self._withdraw = withdraw
        self._jobs: dict[int, Job] = {}
        self._next: deque[Any] = deque()
        self._found: list[Found] = []
        self._waiter: Future[None] | None = None
        self._queued = False
        self._called = False

    @property
    def wanted(self) -> int:
        """How many tasks it could take now."""
        return max(self.most - len(self._jobs) - len(self._next) - len(self._found), 0)

    def give(self, job: Job | None, result: Result[Any, Any]) -> None:
        """A task is done."""
        self._end(job, result)

    def fail(self, job: Job | None, failure: TaskFailed) -> None:
        """A task has failed; one without a job before it was one."""
        self._end(job, failure)

    async def step(self, tasks: Iterable[Any]) -> list[Found]:
        """Take these tasks as well, and wait until something has come. Nothing comes when all is over.

        Raises PoolClosed when the pool was closed before all could be submitted, after what came of those that were.
        """
        self._next.extend(tasks)
        while True:
            self._feed()
            if self._found:
                found, self._found = self._found, []
                return found
            if not self._jobs and self._next and not self.entrance.is_open:
                raise PoolClosed(f"the pool was closed: {len(self._next)} tasks or more were not submitted")
            if not self._jobs and not self._next:
                return []
            await self._something()

    def withdraw(self) -> None:
        """Nobody asks for the rest any more."""
        self._next.clear()
        if self._queued:
            self._queued = False
            self.entrance.leave(self._call)
        for job in list(self._jobs.values()):
            self._withdraw(job)
        self._jobs.clear()

    def _feed(self) -> None:
        while self._next and self.entrance.is_open and self.entrance.has_room():
            job = self._put(self._next.popleft(), self)
            if job is not None:
                self._jobs[job.turn] = job

    def _end(self, job: Job | None, found: Found) -> None:
        if job is not None and self._jobs.pop(job.turn, None) is None:
            return  # withdrawn
        self._found.append(found)
        self._wake()

    async def _something(self) -> None:
        """Wait for an end, or for room where that is what is needed."""
        if self._next and not self._queued and self.entrance.is_open:
            self._queued = True
            self.entrance.join(self._call)
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        except BaseException:
            if self._is_called():
                self.entrance.admit()
            raise
        self._is_called()

    def _is_called(self) -> bool:
        """It waits no longer. Whether it was called since there is room, which is its own until somebody else asks."""
        self._waiter = None
        called, self._called = self._called, False
        if called:
            self.entrance.come()
        return called

    def _call(self) -> None:
        """There is room: for the step that waits for it, or else for somebody else."""
        self._queued = False
        if self._waiter is None:
            self.entrance.come()
        else:
            self._called = True
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

"""LocalPool: several processes of this machine share the work that is put into one queue.

    async with LocalPool([image_processing, text_processing], processes=4) as pool:
        result = await pool.submit(task)
        async for result in pool.map(tasks):
            print(result.worker, result.task, result.value)

No task is lost without a word. A worker that dies or hangs is replaced, its task tried once more by another one and
then reported as failed; what it had not begun goes to others and is no try. A function that raises has answered.
Source: concurrent.futures and multiprocessing.Pool (what is usual), the core of Steelyard (who gets what).
"""

import asyncio
import os
import pickle
import random
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Any, Final, Generic, Literal, Self, TypeGuard, overload

from steelyard.backends import pool_wire as wire
from steelyard.backends.answers import unsendable
from steelyard.backends.crew import MOST_AHEAD, Crew
from steelyard.backends.dispatch import Dispatch, Job
from steelyard.backends.entrance import Entrance
from steelyard.backends.importable import name_of
from steelyard.backends.mapping import Mapping
from steelyard.backends.results import PoolClosed, PoolError, QueueFull, Result, Task, TaskFailed, Value

ELSEWHERE: Final = "the pool runs in another event loop; SyncLocalPool can be used from anywhere"
QUEUE_SIZE: Final = 1000  # enough that no worker waits for who fills it; a list of a million is not pickled at once
MOST_PROCESSES: Final = 1024  # as of an entry of local backends: more is a slip, and takes the machine
START_TIMEOUT_S: Final = 60.0  # some libraries take ten seconds to be imported, where many do it at once


class LocalPool(Generic[Task, Value]):
    """Worker i of `processes` runs `functions[i % len(functions)]` on the tasks that it gets, one after the other.

    functions: each takes a task and returns a value; both must be picklable, and the functions importable.
    processes: None: one a core that we may use, and one a function at least. policy: how a worker is chosen, by the
    names of `steelyard policies`. queue_size: how many tasks may wait while each worker is at one.
    timeout: seconds that a worker may be at a task, where `submit` says nothing else; None: any time.
    start_timeout: seconds that a worker may take to become ready (to import its function), each time; None: any time.
    Raises PoolError for what cannot run. It runs in the event loop that it is started in, and belongs to that one.
    """

    def __init__(
        self,
        functions: Sequence[Callable[[Task], Value]],
        *,
        processes: int | None = None,
        policy: str = "round_robin",
        queue_size: int = QUEUE_SIZE,
        timeout: float | None = None,
        start_timeout: float | None = START_TIMEOUT_S,
    ) -> None:
        if callable(functions) or not functions:
            raise PoolError(f"functions: a list of one or more (got {functions!r})")
        if processes is None:
            processes = max(len(os.sched_getaffinity(0)), len(functions))
        counts: tuple[object, ...] = (processes, queue_size)
        if not all(isinstance(count, int) for count in counts):
            raise PoolError(f"processes and queue_size: whole numbers (got {processes!r} and {queue_size!r})")
        if processes < len(functions):
            raise PoolError(f"processes: at least as many as functions, {len(functions)} (got {processes})")
        if processes > MOST_PROCESSES:
            raise PoolError(f"processes: at most {MOST_PROCESSES} (got {processes})")
        if queue_size < 1:
            raise PoolError(f"queue_size: at least 1 (got {queue_size})")
        self._functions = list(functions)
        self._timeout_s = _checked_timeout(timeout)
        start_timeout_s = _checked_timeout(start_timeout, "start_timeout")
        kinds = [number % len(functions) for number in range(processes)]
        found = [name_of(function) for function in functions]
        names = [f"{found[kind].rpartition(':')[2].rpartition('.')[2]}-{number}" for number, kind in enumerate(kinds)]
        self._dispatch = Dispatch(names, kinds, policy, queue_size, _below(random.Random()), MOST_AHEAD)
        self._entrance = Entrance(self._dispatch)
        functions_of = [found[kind] for kind in kinds]
        self._crew = Crew(self._dispatch, self._entrance, names, functions_of, start_timeout_s)

    @property
    def submitted(self) -> int:
        """Tasks that were ever taken. Always `done + failed + pending`."""
        return self._dispatch.submitted

    @property
    def done(self) -> int:
        """Tasks that gave a value."""
        return self._dispatch.done

    @property
    def failed(self) -> int:
        """Tasks that will give none: TaskFailed says why; those too that were cancelled before a worker began them."""
        return self._dispatch.failed

    @property
    def pending(self) -> int:
        """Tasks that wait, or are with a worker. 0 after `close`."""
        return self._dispatch.pending

    @property
    def pids(self) -> dict[str, int]:
        """The workers that run now: name -> number of the process."""
        return self._crew.pids()

    @property
    def not_done(self) -> list[Task]:
        """The tasks that had not ended when the pool was closed at once, the oldest first."""
        return self._crew.not_done

    async def start(self) -> None:
        """Start the workers, and wait until they are ready. Raises PoolError when one cannot be; then none is left."""
        await self._crew.start()

    async def submit(
        self,
        task: Task,
        *,
        function: Callable[[Task], Value] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 (a worker's time, not ours)
        queue_timeout: float | None = None,
    ) -> Result[Task, Value]:
        """Have a task done: its Result. Waits for room in the queue first, for queue_timeout seconds at most.

        function: only by a worker that runs this one. timeout: seconds that a worker may be at it, each time.
        Raises TaskFailed, QueueFull, or PoolClosed. Cancelled, a task that no worker has begun is not done.
        """
        self._check()
        if queue_timeout is not None and not _is_number(queue_timeout):
            raise PoolError(f"queue_timeout: seconds (got {queue_timeout!r})")
        if not self._entrance.has_room():
            await self._entrance.wait(queue_timeout)
        return await self.submit_nowait(task, function=function, timeout=timeout)

    def submit_nowait(
        self, task: Task, *, function: Callable[[Task], Value] | None = None, timeout: float | None = None
    ) -> "asyncio.Future[Result[Task, Value]]":
        """As `submit`, without waiting for room: raises QueueFull when there is none. Its Result comes as a future."""
        loop = self._check()
        if not self._entrance.has_room():
            raise QueueFull(f"the queue is full: {self._dispatch.most_waiting} tasks wait in it")
        awaited: Awaited[Task, Value] = Awaited(loop, self._crew.withdraw)
        awaited.job = self._put(task, awaited, self._lane(function), self._timeout(timeout))
        return awaited

    @overload
    def map(
        self,
        tasks: Iterable[Task],
        *,
        function: Callable[[Task], Value] | None = None,
        timeout: float | None = None,
        return_failures: Literal[False] = False,
    ) -> AsyncGenerator[Result[Task, Value], None]: ...

    @overload
    def map(
        self,
        tasks: Iterable[Task],
        *,
        function: Callable[[Task], Value] | None = None,
        timeout: float | None = None,
        return_failures: Literal[True],
    ) -> AsyncGenerator[Result[Task, Value] | TaskFailed, None]: ...

    async def map(
        self,
        tasks: Iterable[Task],
        *,
        function: Callable[[Task], Value] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 (a worker's time, not ours)
        return_failures: bool = False,
    ) -> AsyncGenerator[Result[Task, Value] | TaskFailed, None]:
        """Have all tasks done, and give each Result as it comes, in whatever order.

        Tasks are taken as there is room for them: it may be a generator, and an endless one. The first TaskFailed is
        raised, and what no worker has begun is not done; with return_failures they are given in place of results.
        """
        mapping = self.mapping(function, timeout)
        source = iter(tasks)
        try:
            while found := await mapping.step(islice(source, mapping.wanted)):
                for one in found:
                    if isinstance(one, TaskFailed) and not return_failures:
                        raise one
                    yield one
        finally:
            mapping.withdraw()

    async def close(self, *, at_once: bool = False) -> list[Task]:
        """Take no more tasks, finish those there are, and end the workers.

        at_once: end the workers now. Whoever waits for a task that is not done gets TaskFailed with PoolClosed.
        Returns the tasks that were not done, the oldest first. A closing that is cancelled ends the workers at once;
        `not_done` has the tasks then.
        """
        loop = self._crew.loop
        if loop is not None and loop.is_running() and loop is not asyncio.get_running_loop():
            raise PoolError(ELSEWHERE)
        return await self._crew.close(at_once)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; at once where the block has raised, and the exception gets a note of how many tasks were not done."""
        left = await self.close(at_once=exc is not None)
        if exc is not None and left:
            exc.add_note(f"LocalPool: {len(left)} tasks were not done, as its block was left by this exception")

    def mapping(self, function: Callable[[Task], Value] | None, timeout: float | None) -> Mapping:
        """What `map` is made of, for another face of the pool."""
        loop = self._check()
        lane, timeout_s = self._lane(function), self._timeout(timeout)
        put = partial(self._put, lane=lane, timeout_s=timeout_s)
        most = self._dispatch.most_waiting + self._dispatch.workers
        return Mapping(loop, self._entrance, put, self._crew.withdraw, most)

    def _put(self, task: Task, answer: Any, lane: int | None, timeout_s: float | None) -> Job | None:
        """Put a task into the queue; None where it has failed already."""
        dispatch = self._dispatch
        try:
            blob = pickle.dumps(task, wire.PROTOCOL)
        except Exception as exc:
            dispatch.refuse()
            answer.fail(None, TaskFailed(task, None, unsendable(task, exc)))
            return None
        job = Job(dispatch.below, task, blob, timeout_s, lane, answer)
        dispatch.put(job)
        self._crew.assign_soon()
        return job

    def _lane(self, function: Callable[[Task], Value] | None) -> int | None:
        if function is None:
            return None
        try:
            return self._functions.index(function)
        except ValueError:
            raise PoolError(f"function: {function!r} is none of this pool's") from None

    def _timeout(self, timeout: float | None) -> float | None:
        return self._timeout_s if timeout is None else _checked_timeout(timeout)

    def _check(self) -> asyncio.AbstractEventLoop:
        """Whether tasks can be submitted here and now; the loop."""
        loop = self._crew.loop
        if not self._entrance.is_open:
            raise PoolClosed("the pool is closed; tasks are submitted before that")
        if loop is None:
            raise PoolError("the pool does not run; use `async with`, or await start() first")
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:  # a thread without one
            here = None
        if here is not loop:
            raise PoolError(ELSEWHERE)
        return loop


class Awaited(asyncio.Future[Result[Task, Value]]):
    """The future of one task. Cancelling it withdraws the task, whoever does it and however."""

    def __init__(self, loop: asyncio.AbstractEventLoop, withdraw: Callable[[Job], None]) -> None:
        super().__init__(loop=loop)
        self.job: Job | None = None
        self._withdraw = withdraw

    def give(self, job: Job | None, result: Result[Task, Value]) -> None:
        """The task is done."""
        self.job = None
        if not self.done():
            self.set_result(result)

    def fail(self, job: Job | None, failure: TaskFailed) -> None:
        """The task has failed."""
        self.job = None
        if not self.done():
            self.set_exception(failure)
            if isinstance(failure.cause, PoolClosed):
                self.exception()  # `close` has said it, so nobody need be warned of it

    def cancel(self, msg: Any | None = None) -> bool:
        """See asyncio.Future."""
        cancelled = super().cancel(msg=msg)
        if cancelled and self.job is not None:
            self._withdraw(self.job)
            self.job = None
        return cancelled


def _checked_timeout(timeout: object, name: str = "timeout") -> float | None:
    if timeout is None:
        return None
    if not _is_number(timeout) or not timeout > 0:
        raise PoolError(f"{name}: seconds, more than 0 (got {timeout!r})")
    return timeout


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and value == value  # a NaN is none


def _below(source: random.Random) -> Callable[[int], int]:
    draw = source.random
    return lambda n: int(draw() * n)

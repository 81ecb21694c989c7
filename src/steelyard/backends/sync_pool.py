"""SyncLocalPool: LocalPool for programs without an event loop, with the same words.

    with SyncLocalPool([image_processing, text_processing], processes=4) as pool:
        result = pool.submit(task)
        for result in pool.map(tasks):
            print(result.worker, result.task, result.value)

The pool runs in the event loop of a thread of its own, so it may be used by several threads at once, and also by one
that has an event loop (which stands still meanwhile).
"""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from concurrent.futures import Future
from itertools import islice
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, overload

from steelyard.backends.local_pool import QUEUE_SIZE, START_TIMEOUT_S, LocalPool
from steelyard.backends.mapping import Mapping
from steelyard.backends.results import PoolClosed, PoolError, Result, Task, TaskFailed, Value

Answer = TypeVar("Answer")


class SyncLocalPool(Generic[Task, Value]):
    """See LocalPool: the arguments are the same, and so are counters, errors, and what becomes of a task."""

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
        self._pool = LocalPool(
            functions,
            processes=processes,
            policy=policy,
            queue_size=queue_size,
            timeout=timeout,
            start_timeout=start_timeout,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0  # in which process that is
        # Within it the loop stays: what is given to it is done. A map may be finalized within it, by the same thread.
        self._lock = threading.RLock()

    @property
    def submitted(self) -> int:
        """See LocalPool; and so the next ones."""
        return self._pool.submitted

    @property
    def done(self) -> int:
        """Tasks that gave a value."""
        return self._pool.done

    @property
    def failed(self) -> int:
        """Tasks that will give none."""
        return self._pool.failed

    @property
    def pending(self) -> int:
        """Tasks that wait, or are with a worker."""
        return self._pool.pending

    @property
    def pids(self) -> dict[str, int]:
        """The workers that run now: name -> number of the process."""
        return self._pool.pids

    def start(self) -> None:
        """Start the workers, and wait until they are ready. Raises PoolError when one cannot be; then none is left."""
        if self._thread is not None:
            raise PoolError("this pool was started before; make another one")
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        # No worker outlives this thread: it is their parent.
        self._thread = threading.Thread(target=self._loop.run_forever, name="SyncLocalPool", daemon=True)
        self._thread.start()
        try:
            self._run(self._pool.start())
        except BaseException:
            self.close(at_once=True)
            raise

    def submit(
        self,
        task: Task,
        *,
        function: Callable[[Task], Value] | None = None,
        timeout: float | None = None,
        queue_timeout: float | None = None,
    ) -> Result[Task, Value]:
        """Have a task done, and wait for its Result. Raises TaskFailed, QueueFull, or PoolClosed."""
        submitting = self._pool.submit(task, function=function, timeout=timeout, queue_timeout=queue_timeout)
        return self._run(submitting)

    def submit_nowait(
        self, task: Task, *, function: Callable[[Task], Value] | None = None, timeout: float | None = None
    ) -> "Future[Result[Task, Value]]":
        """Submit a task; its Result comes as a future. Raises QueueFull when there is no room in the queue.

        A callback of such a future may do so, too. It runs in the pool's thread, and can wait for nothing there.
        """
        answer: Future[Result[Task, Value]] = Future()

        def submit() -> None:
            inner = self._pool.submit_nowait(task, function=function, timeout=timeout)
            answer.add_done_callback(lambda _: loop.call_soon_threadsafe(_cancel_with, inner, answer))
            inner.add_done_callback(lambda _: _pass_on(inner, answer))

        async def submit_there() -> None:
            submit()

        loop = self._running()
        if self._is_here():
            submit()
        else:
            self._run(submit_there())
        return answer

    @overload
    def map(
        self,
        tasks: Iterable[Task],
        *,
        function: Callable[[Task], Value] | None = None,
        timeout: float | None = None,
        return_failures: Literal[False] = False,
    ) -> Generator[Result[Task, Value], None, None]: ...

    @overload
    def map(
        self,
        tasks: Iterable[Task],
        *,
        function: Callable[[Task], Value] | None = None,
        timeout: float | None = None,
        return_failures: Literal[True],
    ) -> Generator[Result[Task, Value] | TaskFailed, None, None]: ...

    def map(
        self,
        tasks: Iterable[Task],
        *,
        function: Callable[[Task], Value] | None = None,
        timeout: float | None = None,
        return_failures: bool = False,
    ) -> Generator[Result[Task, Value] | TaskFailed, None, None]:
        """Have all tasks done, and give each Result as it comes; see LocalPool. Tasks are taken in our own thread."""

        async def begin() -> Mapping:
            return self._pool.mapping(function, timeout)

        mapping = self._run(begin())
        source = iter(tasks)
        try:
            while found := self._run(mapping.step(list(islice(source, mapping.wanted)))):
                for one in found:
                    if isinstance(one, TaskFailed) and not return_failures:
                        raise one
                    yield one
        finally:
            if self._pid == os.getpid():
                with self._lock:
                    if self._loop is not None:
                        self._loop.call_soon_threadsafe(mapping.withdraw)

    def close(self, *, at_once: bool = False) -> list[Task]:
        """Take no more tasks, finish those there are or end at once; see LocalPool. Returns what was not done."""
        self._check_caller()
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return self._pool.not_done
        closing = asyncio.run_coroutine_threadsafe(self._pool.close(at_once=at_once), loop)
        try:
            return closing.result()
        except BaseException:  # Ctrl-C while all is finished
            asyncio.run_coroutine_threadsafe(self._pool.close(at_once=True), loop).result()
            raise
        finally:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            loop.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; at once where the block has raised, and the exception gets a note of how many tasks were not done."""
        left = self.close(at_once=exc is not None)
        if exc is not None and left:
            exc.add_note(f"SyncLocalPool: {len(left)} tasks were not done, as its block was left by this exception")

    def _is_here(self) -> bool:
        """Whether we are in the pool's own thread."""
        return threading.current_thread() is self._thread

    def _check_caller(self) -> None:
        """Whether who calls can wait for the pool."""
        self._check_process()
        if self._is_here():
            raise PoolError("a callback of a future runs in the pool's own thread and cannot wait; use submit_nowait")

    def _check_process(self) -> None:
        """A process that was forked from ours has no thread that would do anything."""
        if self._pid not in (0, os.getpid()):
            raise PoolError(f"the pool runs in process {self._pid}, of which this one is a fork; make another one here")

    def _running(self) -> asyncio.AbstractEventLoop:
        self._check_process()
        if self._loop is None:
            if self._thread is not None:
                raise PoolClosed("the pool is closed; tasks are submitted before that")
            raise PoolError("the pool does not run; use `with`, or start() first")
        return self._loop

    def _run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Have it done in the loop's thread, and wait for it; given up when we are interrupted."""
        try:
            self._check_caller()
            with self._lock:
                running = asyncio.run_coroutine_threadsafe(work, self._running())
        except BaseException:
            work.close()
            raise
        try:
            return running.result()
        except BaseException:
            running.cancel()
            raise


def _cancel_with(inner: "asyncio.Future[Any]", answer: "Future[Any]") -> None:
    if answer.cancelled():
        inner.cancel()


def _pass_on(inner: "asyncio.Future[Any]", answer: "Future[Any]") -> None:
    if not answer.set_running_or_notify_cancel() or inner.cancelled():
        return
    failure = inner.exception()
    if failure is None:
        answer.set_result(inner.result())
    else:
        answer.set_exception(failure)

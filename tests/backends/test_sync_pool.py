"""sync_pool.py, with real workers: the same pool for programs without an event loop."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from steelyard import Result, SyncLocalPool, TaskFailed
from steelyard.backends.results import PoolClosed, PoolError, QueueFull
from tests.backends import work
from tests.backends.test_local_pool import left, what_we_have
from tests.real.client import PATIENCE_S

pytestmark = pytest.mark.real


@contextmanager
def a_pool(**options: Any) -> Iterator[SyncLocalPool[Any, Any]]:
    """A pool that leaves nothing behind, and has counted every task once."""
    before = what_we_have()
    with SyncLocalPool([work.do], **{"processes": 2, **options}) as pool:
        yield pool
    assert pool.submitted == pool.done + pool.failed
    assert (0, {}) == (pool.pending, pool.pids)
    assert not left(before)


def wait_until(holds: Callable[[], bool]) -> None:
    give_up = monotonic() + PATIENCE_S
    while not holds():
        assert monotonic() < give_up
        threading.Event().wait(0.01)


def test_submit_waits_for_the_result() -> None:
    with a_pool() as pool:
        assert Result("do-0", ("echo", 1), 1) == pool.submit(("echo", 1))
        assert {"do-0", "do-1"} == {*pool.pids}
        with pytest.raises(TaskFailed, match="ValueError: a reason"):
            pool.submit(("raise", "a reason"))
        with pytest.raises(TaskFailed, match="longer than"):
            pool.submit(("hang",), timeout=0.2)
    assert (3, 1, 2) == (pool.submitted, pool.done, pool.failed)


def test_map_takes_tasks_in_the_callers_own_thread_and_gives_each_result_once() -> None:
    callers = set()

    def tasks() -> Iterator[tuple[str, int]]:
        for number in range(3000):
            callers.add(threading.current_thread())
            yield "echo", number

    with a_pool(queue_size=20) as pool:
        assert list(range(3000)) == sorted(result.value for result in pool.map(tasks()))
    assert {threading.current_thread()} == callers


def test_failures_of_a_map_are_raised_or_given() -> None:
    tasks = [("echo", 1), ("raise", "a reason"), ("die",)]
    with a_pool() as pool:
        found = list(pool.map(tasks, return_failures=True))
        assert 2 == sum(isinstance(one, TaskFailed) for one in found)
        with pytest.raises(TaskFailed):
            list(pool.map(tasks))


def test_a_future_is_one_of_concurrent_futures(tmp_path: Path) -> None:
    with a_pool() as pool:
        good: Future[Any] = pool.submit_nowait(("echo", 1))
        bad = pool.submit_nowait(("raise", "a reason"))
        wait([good, bad], PATIENCE_S)
        assert 1 == good.result().value
        assert isinstance(bad.exception(), TaskFailed)
    assert (2, 1, 1) == (pool.submitted, pool.done, pool.failed)


def test_a_future_can_be_cancelled_and_a_full_queue_gives_none(tmp_path: Path) -> None:
    with a_pool(processes=1, queue_size=2) as pool:
        busy = pool.submit_nowait(("wait", str(tmp_path / "go")))
        waiting = [pool.submit_nowait(("note", str(tmp_path / "notes"), number, False)) for number in range(2)]
        with pytest.raises(QueueFull):
            pool.submit_nowait(("echo", 1))
        assert waiting[0].cancel()
        with pytest.raises(CancelledError):
            waiting[0].result()
        wait_until(lambda: pool.failed == 1)
        (tmp_path / "go").touch()
        wait([busy, *waiting], PATIENCE_S)
    assert ["1"] == (tmp_path / "notes").read_text().split()
    assert (3, 2, 1) == (pool.submitted, pool.done, pool.failed)


def test_a_callback_of_a_future_may_submit_and_is_told_that_it_cannot_wait(tmp_path: Path) -> None:
    followed: list[Future[Any]] = []
    told: list[str] = []

    def follow(_: Future[Any]) -> None:
        followed.append(pool.submit_nowait(("echo", 2)))
        for wait_here in (lambda: pool.submit(("echo", 3)), lambda: next(pool.map([("echo", 4)])), pool.close):
            with pytest.raises(PoolError) as caught:
                wait_here()
            told.append(str(caught.value))

    with a_pool() as pool:
        first = pool.submit_nowait(("wait", str(tmp_path / "go")))
        first.add_done_callback(follow)
        (tmp_path / "go").touch()
        wait_until(lambda: len(told) == 3)
        assert 2 == followed[0].result(PATIENCE_S).value
    assert all("use submit_nowait" in text for text in told)
    assert (2, 2) == (pool.submitted, pool.done)


def test_many_threads_may_use_it_at_once() -> None:
    with a_pool(queue_size=5) as pool, ThreadPoolExecutor(8) as executor:
        found = list(executor.map(lambda number: pool.submit(("echo", number)).value, range(400)))
    assert list(range(400)) == found


def test_closing_at_once_says_what_was_not_done(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with a_pool(processes=1) as pool:
        futures = [pool.submit_nowait(task) for task in (("hang", str(begun)), ("echo", 1))]
        wait_until(begun.exists)
        assert [("hang", str(begun)), ("echo", 1)] == pool.close(at_once=True)
        for future in futures:
            assert isinstance(future.exception(PATIENCE_S), TaskFailed)
        with pytest.raises(PoolClosed, match="the pool is closed"):
            pool.submit(("echo", 1))
        assert 2 == len(pool.close())


def test_a_block_that_raises_ends_everything(tmp_path: Path) -> None:
    def leave() -> None:
        with a_pool(processes=1) as pool:
            pool.submit_nowait(("hang", str(tmp_path / "begun")))
            wait_until((tmp_path / "begun").exists)
            raise KeyError("a mistake")

    with pytest.raises(KeyError) as caught:
        leave()
    assert ["SyncLocalPool: 1 tasks were not done, as its block was left by this exception"] == caught.value.__notes__


def test_a_submit_that_is_interrupted_is_withdrawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Ctrl-C does it, in the middle of the waiting."""
    with a_pool(processes=1) as pool:

        def interrupted(self: Future[Any], timeout: float | None = None) -> Any:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Future, "result", interrupted)
            with pytest.raises(KeyboardInterrupt):
                pool.submit(("hang",), timeout=0.1)
        assert 1 == pool.submit(("echo", 1)).value


def test_a_closing_that_is_interrupted_ends_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_pool(processes=1) as pool:
        pool.submit_nowait(("hang", str(tmp_path / "begun")))
        wait_until((tmp_path / "begun").exists)
        result = Future.result
        calls = []

        def interrupted(self: Future[Any], timeout: float | None = None) -> Any:
            calls.append(self)
            if len(calls) == 1:
                raise KeyboardInterrupt
            return result(self, timeout)

        with monkeypatch.context() as patch:
            patch.setattr(Future, "result", interrupted)
            with pytest.raises(KeyboardInterrupt):
                pool.close()
        assert [("hang", str(tmp_path / "begun"))] == pool.close()


def test_what_is_given_to_it_while_it_closes_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread closes it just when a task is handed over to its loop."""
    give = asyncio.run_coroutine_threadsafe
    closing = threading.Thread(target=lambda: pool.close(at_once=True))

    def late(*words: Any) -> Any:
        if not closing.is_alive() and threading.current_thread() is not closing:
            closing.start()
            closing.join(0.2)
        return give(*words)

    with a_pool(processes=1) as pool:
        monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", late)
        with suppress(PoolClosed, TaskFailed):  # or it is done
            pool.submit(("echo", 1))
        monkeypatch.undo()
        closing.join()


def test_a_fork_that_has_no_thread_for_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_pool(processes=1) as pool:
        mapping = pool.map([("echo", 1), ("echo", 2)])
        next(mapping)
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)
            for use in (lambda: pool.submit(("echo", 1)), lambda: pool.submit_nowait(("echo", 1)), pool.close):
                with pytest.raises(PoolError, match="of which this one is a fork; make another one here"):
                    use()
            mapping.close()
        assert 1 == pool.submit(("echo", 1)).value


async def test_it_can_be_used_where_an_event_loop_runs() -> None:
    with a_pool() as pool:
        assert 1 == pool.submit(("echo", 1)).value
        found = await asyncio.gather(*[asyncio.to_thread(pool.submit, ("echo", number)) for number in range(10)])
    assert list(range(10)) == [result.value for result in found]


def test_a_pool_that_cannot_start_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    before = what_we_have()
    pool = SyncLocalPool([work.do], processes=1)
    with pytest.raises(PoolError, match="use `with`, or start"):
        pool.submit(("echo", 1))
    with monkeypatch.context() as patch:
        patch.setattr("steelyard.backends.pool_process.Group", no_room)
        with pytest.raises(PoolError, match="no process could be started: OSError: no room"):
            pool.start()
    assert not left(before)
    with pytest.raises(PoolError, match="started before"):
        pool.start()


def test_a_pool_whose_worker_hangs_at_its_start_gives_up_in_time() -> None:
    before = what_we_have()
    with pytest.raises(PoolError, match=r"work:do was not imported within 1e-06 s"):
        SyncLocalPool([work.do], processes=1, start_timeout=1e-6).start()
    assert not left(before)


def no_room(*_: Any, **__: Any) -> Any:
    raise OSError("no room")

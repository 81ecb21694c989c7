"""local_pool.py, with real workers: what becomes of tasks, whatever becomes of workers."""

import asyncio
import math
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
import uvloop

from steelyard import LocalPool, Result, TaskFailed
from steelyard.backends import crew
from steelyard.backends.dispatch import policies
from steelyard.backends.importable import importing
from steelyard.backends.results import (
    NotPicklable,
    PoolClosed,
    PoolError,
    QueueFull,
    TaskTimeout,
    WorkerDied,
)
from steelyard.errors import SteelyardError
from tests.backends import work
from tests.real.client import PATIENCE_S
from tests.real.support import until

pytestmark = pytest.mark.real

HANGS: Final = "import time; time.sleep(3600)\n"


def what_we_have() -> Counter[str]:
    """What this process has open, its children, and the threads of pools."""
    fds = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd_is_open(fd)]
    threads = [thread.name for thread in threading.enumerate() if thread.name == "SyncLocalPool"]
    return Counter([*fds, *(f"child {pid}" for pid in children()), *threads])


def left(before: Counter[str]) -> Counter[str]:
    """What has come since. (Something may have gone: what an earlier test forgot is collected at any time.)"""
    return what_we_have() - before


def fd_is_open(fd: str) -> bool:
    """The one that lists is gone by then."""
    return os.path.lexists(f"/proc/self/fd/{fd}")


def children() -> set[int]:
    """The processes of which this one is the parent, also those that have ended and nobody has asked for."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has ended meanwhile: what it had is another one's by now
            found.update(map(int, (task / "children").read_text().split()))
    return found


def a_function(name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Callable[[Any], Any], Path]:
    """A function of a module of its own, and that module's file: what stands there now is what workers import."""
    module = place / f"{name}.py"
    module.write_text("def function(task): return task\n")
    monkeypatch.syspath_prepend(place)
    return __import__(name).function, module


@asynccontextmanager
async def a_pool(
    functions: list[Callable[[Any], Any]] | None = None, processes: int = 2, **options: Any
) -> AsyncIterator[LocalPool[Any, Any]]:
    """A pool that leaves nothing behind, and has counted every task once."""
    before = what_we_have()
    async with LocalPool(functions or [work.do], processes=processes, **options) as pool:
        yield pool
    assert pool.submitted == pool.done + pool.failed
    assert (0, {}) == (pool.pending, pool.pids)
    assert not left(before)


async def test_a_result_says_who_did_which_task_and_what_came_of_it() -> None:
    async with a_pool([work.plus_one, work.other], 2) as pool:
        found = {await pool.submit(number) for number in (1, 2)}
    assert {Result("plus_one-0", 1, 2), Result("other-1", 2, "other 2")} == found
    assert (2, 2, 0) == (pool.submitted, pool.done, pool.failed)


async def test_worker_i_runs_function_i_modulo_their_number_each_in_a_process_of_its_own() -> None:
    async with a_pool([work.who, work.do], 5) as pool:
        assert ["who-0", "do-1", "who-2", "do-3", "who-4"] == list(pool.pids)
        assert {0, 2, 4} == {int(name[-1]) for name in pool.pids if name.startswith("who")}
        assert 5 == len({*pool.pids.values(), os.getpid()}) - 1
        seen = {(await pool.submit(1, function=work.who))[::2] for _ in range(6)}
        assert {(name, pid) for name, pid in pool.pids.items() if name.startswith("who")} == seen


async def test_in_turn_means_in_turn_one_by_one_and_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # A machine may be so busy that a worker seems to be stuck, or its tasks to be long.
    monkeypatch.setattr(crew, "STUCK_S", PATIENCE_S)
    monkeypatch.setattr(crew, "AHEAD_S", PATIENCE_S)
    async with a_pool([work.plus_one], 3) as pool:
        found = [(await pool.submit(number)).worker for number in range(6)]
        assert ["plus_one-0", "plus_one-1", "plus_one-2"] * 2 == found
        at_once = Counter([result.worker async for result in pool.map(range(60))])
    assert {"plus_one-0": 20, "plus_one-1": 20, "plus_one-2": 20} == at_once


async def test_with_least_connections_nobody_waits_behind_the_busy_one(tmp_path: Path) -> None:
    async with a_pool(policy="least_connections") as pool:
        busy = pool.submit_nowait(("wait", str(tmp_path / "go")))
        found = [await pool.submit(("echo", number)) for number in range(20)]
        assert 1 == len({result.worker for result in found})
        (tmp_path / "go").touch()
        assert {(await busy).worker, found[0].worker} == {"do-0", "do-1"}


@pytest.mark.parametrize("policy", ["round_robin", "least_connections"])
async def test_nobody_waits_behind_a_slow_task_while_another_worker_is_free(tmp_path: Path, policy: str) -> None:
    """Whose workers hold dozens of tasks, for they were all quick until now."""
    go = tmp_path / "go"
    async with a_pool(policy=policy) as pool:
        await asyncio.gather(*[pool.submit(("echo", number)) for number in range(900)])
        slow = pool.submit_nowait(("wait", str(go)))
        quick = [pool.submit_nowait(("echo", number)) for number in range(100)]
        await asyncio.gather(*quick)
        assert not slow.done()
        go.touch()
        await slow
    assert (1001, 1001) == (pool.submitted, pool.done)


async def test_map_gives_every_result_once_and_takes_tasks_as_there_is_room() -> None:
    taken = 0

    def tasks() -> Iterator[int]:
        nonlocal taken
        while taken < 5000:
            taken += 1
            yield taken

    async with a_pool([work.plus_one], queue_size=10) as pool:
        found = []
        async for result in pool.map(tasks()):
            found.append(result.task)
            assert result.value == result.task + 1
            assert taken <= len(found) + 10 + 2
    assert list(range(1, 5001)) == sorted(found)
    assert (5000, 5000) == (pool.submitted, pool.done)


async def test_results_come_as_they_are_done_not_as_they_were_sent(tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with a_pool() as pool:
        order = []
        async for result in pool.map([("wait", str(go), "slow"), ("echo", "quick")]):
            order.append(result.value)
            go.touch()
    assert ["quick", "slow"] == order


async def test_leaving_a_map_early_withdraws_what_nobody_has_begun() -> None:
    async with a_pool(processes=1, queue_size=100) as pool:
        mapping = pool.map([("echo", number) for number in range(5000)])
        async for _ in mapping:
            break
        await mapping.aclose()
        assert pool.submitted < 500
        assert 1 == (await pool.submit(("echo", 1))).value
        assert 0 == pool.pending


async def test_the_first_failure_ends_a_map_unless_failures_are_asked_for() -> None:
    tasks = [("echo", 1), ("raise", "a reason"), ("echo", 2)]
    async with a_pool(processes=1) as pool:
        with pytest.raises(TaskFailed, match=r"at do-0: ValueError: a reason"):
            async for _ in pool.map(tasks):
                pass
        found = [one async for one in pool.map(tasks, return_failures=True)]
    assert [1, 2] == [one.value for one in found if isinstance(one, Result)]
    (failure,) = [one for one in found if isinstance(one, TaskFailed)]
    assert (tasks[1], "do-0", ValueError) == (failure.task, failure.worker, type(failure.cause))


async def test_a_function_that_raises_has_answered_and_is_not_asked_again(tmp_path: Path) -> None:
    async with a_pool() as pool:
        with pytest.raises(TaskFailed) as caught:
            await pool.submit(("raise", "a reason"))
        assert isinstance(caught.value.cause, ValueError)
        assert "in _raise" in caught.value.cause.__notes__[0]
        with pytest.raises(TaskFailed, match="SystemExit: 3"):
            await pool.submit(("exit", 3))
        before = pool.pids
        assert 1 == (await pool.submit(("echo", 1))).value
        assert before == pool.pids
    assert (3, 1, 2) == (pool.submitted, pool.done, pool.failed)


async def test_what_cannot_be_pickled_spoils_nothing_else() -> None:
    async with a_pool() as pool:
        for task in (work.Unpicklable(), work.LoadsElsewhere(), ("socket",), ("unloadable",)):
            with pytest.raises(TaskFailed) as caught:
                await pool.submit(task)
            assert isinstance(caught.value.cause, NotPicklable)
        before = pool.pids
        found = [one async for one in pool.map([("echo", 1), work.Unpicklable(), ("echo", 2)], return_failures=True)]
        assert {1, 2} == {one.value for one in found if isinstance(one, Result)}
        assert 1 == sum(isinstance(one, TaskFailed) for one in found)
        assert before == pool.pids
    assert (7, 2, 5) == (pool.submitted, pool.done, pool.failed)


async def test_large_tasks_and_values_come_through() -> None:
    large = os.urandom(3_000_000)
    async with a_pool() as pool:
        results = await asyncio.gather(*[pool.submit(("echo", large)) for _ in range(6)])
    assert all(large == result.value for result in results)


async def test_a_worker_that_dies_once_costs_nothing_and_is_replaced(tmp_path: Path) -> None:
    async with a_pool() as pool:
        before = pool.pids
        result = await pool.submit(("die_once", str(tmp_path / "died")))
        assert "survived" == result.value
        other = ({*before} - {result.worker}).pop()
        await until(lambda: pool.pids.get(other) not in (None, before[other]))
        assert before[result.worker] == pool.pids[result.worker]
        assert {*before} == {(await pool.submit(("echo", 1), timeout=60)).worker for _ in range(100)} | {*before}
    assert (0, pool.submitted) == (pool.failed, pool.done)


@pytest.mark.parametrize(
    ("task", "why"),
    [
        (("die",), "the worker was killed by SIGKILL"),
        (("die", signal.SIGSEGV), "the worker was killed by SIGSEGV"),
        (("end", 7), "the worker ended with status 7"),
    ],
)
@pytest.mark.parametrize("processes", [1, 2])
async def test_a_task_that_kills_two_workers_has_failed(task: Any, why: str, processes: int) -> None:
    async with a_pool(processes=processes) as pool:
        with pytest.raises(TaskFailed) as caught:
            await pool.submit(task)
        assert (WorkerDied, why) == (type(caught.value.cause), str(caught.value.cause))
        assert 1 == (await pool.submit(("echo", 1))).value
    assert (2, 1, 1) == (pool.submitted, pool.done, pool.failed)


async def test_a_task_that_takes_too_long_twice_has_failed_and_its_workers_are_gone(tmp_path: Path) -> None:
    async with a_pool() as pool:
        before = pool.pids
        with pytest.raises(TaskFailed, match=r"it took longer than 0\.3 s, and the worker was killed") as caught:
            await pool.submit(("hang",), timeout=0.3)
        assert isinstance(caught.value.cause, TaskTimeout)
        await until(lambda: len(pool.pids) == 2)
        assert not {*before.values()} & {*pool.pids.values()}
    assert (1, 0, 1) == (pool.submitted, pool.done, pool.failed)


async def test_what_waited_behind_a_task_whose_time_is_over_is_not_lost_when_all_ends_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pool is closed between the kill and the moment in which that is noticed."""
    async with a_pool(processes=1) as pool:
        process = pool._crew.members[0].process
        assert process is not None
        killed = asyncio.Event()
        kill = process.kill

        def told(why: SteelyardError) -> None:
            kill(why)
            killed.set()

        monkeypatch.setattr(process, "kill", told)
        tasks = [("hang",), *[("echo", number) for number in range(5)]]
        answers = [pool.submit_nowait(task, timeout=0.1) for task in tasks]
        await killed.wait()
        assert tasks == await pool.close(at_once=True)
        assert all(isinstance(answer.exception(), TaskFailed) for answer in answers)
    assert (6, 0, 6) == (pool.submitted, pool.done, pool.failed)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["round_robin", "least_connections"])
async def test_workers_killed_in_the_middle_of_thousands_cost_no_task(policy: str) -> None:
    """Each one is killed from outside while it has a window full; what it was at is done by another."""
    count = 20_000
    async with a_pool([work.plus_one], 2, policy=policy) as pool:
        found: Counter[int] = Counter()
        async for one in pool.map(range(count), return_failures=True):
            found[one.task] += 1
            assert pool.submitted == pool.done + pool.failed + pool.pending
            if len(found) % 3000 == 0:
                pids = sorted(pool.pids.values())
                os.kill(pids[len(found) // 3000 % len(pids)], signal.SIGKILL)
    assert count == len(found) == sum(found.values()) == pool.submitted
    # A task is only lost for good if it was begun by two workers that were killed.
    assert 0 == pool.failed


@pytest.mark.slow
async def test_nothing_is_begun_more_than_twice_and_the_innocent_are_done(tmp_path: Path) -> None:
    """Every hundredth task kills its worker."""
    notes = tmp_path / "notes"
    notes.touch()
    tasks = [("note", str(notes), number, number % 100 == 50) for number in range(400)]
    async with a_pool(processes=2, queue_size=50) as pool:
        found = [one async for one in pool.map(tasks, return_failures=True)]
    begun = Counter(map(int, notes.read_text().split()))
    failed = {one.task[2] for one in found if isinstance(one, TaskFailed)}
    assert {*range(50, 400, 100)} == failed
    assert {*range(400)} == {*begun}
    assert all((2 if number in failed else 1) == times for number, times in begun.items())
    assert (400, 396, 4) == (pool.submitted, pool.done, pool.failed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_to_tasks_and_workers_each_task_ends_once_and_as_it_must(seed: int) -> None:
    """Clients of every kind, while workers are killed at random."""
    chance = random.Random(seed)
    orders: list[tuple[Any, type[BaseException] | None]] = [
        (("raise", "a reason"), ValueError),
        (("die",), WorkerDied),
        (("hang",), TaskTimeout),
        (("socket",), NotPicklable),
        (work.Unpicklable(), NotPicklable),
        *[(("echo", os.urandom(chance.randrange(300_000))), None) for _ in range(5)],
        *[(("echo", number), None) for number in range(190)],
    ]
    ended = cancelled = 0
    options = {"policy": chance.choice(policies()), "queue_size": chance.choice([1, 3, 1000])}

    async def client(pool: LocalPool[Any, Any], mine: list[tuple[Any, type[BaseException] | None]]) -> None:
        nonlocal ended, cancelled
        for order, cause in mine:
            try:
                async with asyncio.timeout(chance.random() * 0.01 if chance.random() < 0.05 else None):
                    result = await pool.submit(order, timeout=2.0 if cause is TaskTimeout else None)
            except TimeoutError:
                cancelled += 1
            except TaskFailed as failure:
                # A worker that is killed may be one that was at any task, and the second one too.
                assert type(failure.cause) in (cause, WorkerDied), failure  # noqa: PT017 (one of several ends)
                ended += 1
            else:
                assert cause is None
                assert order[1] == result.value
                ended += 1
            if (ended + cancelled) % 100 == 0 and pool.pids:
                os.kill(chance.choice([*pool.pids.values()]), signal.SIGKILL)

    async with a_pool([work.do], 3, **options) as pool, asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(client(pool, chance.sample(orders, len(orders))))
    assert 5 * len(orders) == ended + cancelled
    assert 0 < pool.failed <= ended


async def test_a_worker_that_is_stopped_and_begins_nothing_is_spared_once_then_replaced() -> None:
    """And its task has not been tried, so nothing is lost: the successor does it."""
    async with a_pool(processes=1) as pool:
        await pool.submit(("echo", 1))
        stopped = pool.pids["do-0"]
        os.kill(stopped, signal.SIGSTOP)
        assert 2 == (await pool.submit(("echo", 2), timeout=0.3)).value
        assert stopped != pool.pids["do-0"]
    assert (2, 2, 0) == (pool.submitted, pool.done, pool.failed)


async def test_what_a_worker_leaves_behind_does_not_hide_that_it_died(tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with a_pool(processes=1) as pool:
        with pytest.raises(TaskFailed, match="SIGKILL"):
            await pool.submit(("fork", str(go)))
        go.touch()
        pid = int((tmp_path / "go.pid").read_text())
        await until(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text())


@pytest.mark.parametrize("order", ["start_and_hang", "start_and_die"])
async def test_what_a_function_has_started_ends_with_a_worker_that_is_killed_or_dies(
    order: str, tmp_path: Path
) -> None:
    """A program that a function runs does not go on with a task that is tried once more elsewhere."""
    notes = tmp_path / "notes"
    notes.touch()

    def started() -> list[int]:
        return [int(line) for line in notes.read_text().splitlines()]

    async with a_pool(processes=1) as pool:
        answer = pool.submit_nowait((order, str(notes)))
        for number in (1, 2) if order == "start_and_hang" else ():
            await until(lambda number=number: len(started()) == number)  # type: ignore[misc]
            process = pool._crew.members[0].process
            assert process is not None
            process.kill(TaskTimeout("as when its time is over; but however long that start took"))
        with pytest.raises(TaskFailed):
            await answer
        assert 2 == len(started())
        await until(lambda: not any(runs(pid) for pid in started()))


def runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except FileNotFoundError:
        return False


async def test_a_function_that_forks_and_comes_back_twice_has_answered_once() -> None:
    async with LocalPool([work.do], processes=1) as pool:
        results = [result async for result in pool.map([("fork_and_return",), *[("echo", n) for n in range(50)]])]
        assert ["parent", *range(50)] == [result.value for result in results]
        assert (51, 51, 0) == (pool.submitted, pool.done, pool.failed)


async def test_without_pidfds_it_is_the_socket_that_says_that_a_worker_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: int) -> int:
        raise OSError("no such call")

    monkeypatch.setattr(os, "pidfd_open", none)
    async with a_pool() as pool:
        with pytest.raises(TaskFailed, match="SIGKILL"):
            await pool.submit(("die",))
        with pytest.raises(TaskFailed, match="longer than"):
            await pool.submit(("hang",), timeout=0.2)
        assert 1 == (await pool.submit(("echo", 1))).value


async def test_a_full_queue_pushes_back(tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with a_pool(processes=1, queue_size=2) as pool:
        answers = [pool.submit_nowait(("wait", str(go), 0))]
        answers += [pool.submit_nowait(("echo", number)) for number in (1, 2)]
        with pytest.raises(QueueFull, match="the queue is full: 2 tasks wait in it"):
            pool.submit_nowait(("echo", 3))
        with pytest.raises(QueueFull, match=r"the queue was full for 0\.01 s"):
            await pool.submit(("echo", 3), queue_timeout=0.01)
        async with asyncio.TaskGroup() as group:
            patient = group.create_task(pool.submit(("echo", 3), queue_timeout=60))
            await asyncio.sleep(0)
            assert 3 == pool.submitted
            go.touch()
        assert [0, 1, 2] == [(await answer).value for answer in answers]
        assert 3 == patient.result().value


async def test_a_cancelled_submit_that_no_worker_has_is_not_done(tmp_path: Path) -> None:
    go, notes = tmp_path / "go", tmp_path / "notes"
    async with a_pool(processes=1, queue_size=2) as pool:
        busy = pool.submit_nowait(("wait", str(go)))
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(pool.submit(("note", str(notes), 1, False)))
            future = pool.submit_nowait(("note", str(notes), 2, False))
            await until(lambda: pool.submitted == 3)
            outside = group.create_task(pool.submit(("note", str(notes), 3, False)))
            await asyncio.sleep(0)
            outside.cancel()
            await asyncio.sleep(0)
            waiting.cancel()
            future.cancel()
        await until(lambda: pool.failed == 2)
        assert (3, 0, 1) == (pool.submitted, pool.done, pool.pending)
        go.touch()
        await busy
    assert not notes.exists()
    assert (3, 1, 2) == (pool.submitted, pool.done, pool.failed)


async def test_a_cancelled_submit_that_a_worker_has_is_finished_and_counted_by_what_came_of_it(tmp_path: Path) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    async with a_pool(processes=1) as pool:
        submitting = asyncio.get_running_loop().create_task(pool.submit(("wait", str(go), 0, str(tmp_path / "has it"))))
        await until((tmp_path / "has it").exists)  # until then it would be withdrawn, and have failed
        submitting.cancel()
        await asyncio.wait([submitting])
        assert submitting.cancelled()
        assert (1, 0, 0) == (pool.submitted, pool.done, pool.failed)
        hanging = pool.submit_nowait(("hang", str(begun)))
        go.touch()
        await until(begun.exists)
        hanging.cancel()
        os.kill(pool.pids["do-0"], signal.SIGKILL)
        await until(lambda: pool.failed == 1)
        assert 1 == (await pool.submit(("echo", 1))).value
    assert (3, 2, 1) == (pool.submitted, pool.done, pool.failed)


async def test_closing_finishes_everything_and_takes_nothing_new(tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with a_pool(processes=1) as pool:
        answers = [pool.submit_nowait(("wait", str(go), number)) for number in range(50)]
        async with asyncio.TaskGroup() as group:
            closing = group.create_task(pool.close())
            await asyncio.sleep(0)
            with pytest.raises(PoolClosed, match="the pool is closed"):
                pool.submit_nowait(("echo", 1))
            go.touch()
        assert [] == closing.result()
        assert list(range(50)) == [answer.result().value for answer in answers]


async def test_closing_at_once_says_what_was_not_done(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    async with a_pool(processes=1) as pool:
        tasks = [("hang", str(begun)), *[("echo", number) for number in range(5)]]
        answers = [pool.submit_nowait(task) for task in tasks]
        answers.pop(3).cancel()
        await until(begun.exists)
        del tasks[3]
        assert tasks == await pool.close(at_once=True)
        assert tasks == pool.not_done
        for answer in answers:
            with pytest.raises(TaskFailed, match="the pool was closed before it was done"):
                await answer
    assert (6, 0, 6) == (pool.submitted, pool.done, pool.failed)


async def test_a_closing_that_is_cut_short_ends_everything(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    async with a_pool(processes=1) as pool:
        pool.submit_nowait(("hang", str(begun)))
        await until(begun.exists)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await pool.close()
        assert {} == pool.pids
        assert [("hang", str(begun))] == await pool.close()


async def test_a_block_that_raises_ends_everything_and_the_exception_says_how_much_that_was(tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    async def leave() -> None:
        async with a_pool(processes=1) as pool:
            for task in (("hang", str(begun)), ("echo", 1)):
                pool.submit_nowait(task)
            await until(begun.exists)
            raise KeyError("a mistake")

    with pytest.raises(KeyError) as caught:
        await leave()
    assert ["LocalPool: 2 tasks were not done, as its block was left by this exception"] == caught.value.__notes__


async def test_who_waits_for_room_when_it_closes_is_told(tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with a_pool(processes=1, queue_size=1) as pool:
        pool.submit_nowait(("wait", str(go)))
        pool.submit_nowait(("echo", 1))

        async def go_through() -> None:
            async for _ in pool.map([("echo", 2), ("echo", 3)]):
                pass

        tasks = [asyncio.get_running_loop().create_task(one) for one in (pool.submit(("echo", 4)), go_through())]
        await until(lambda: len(pool._entrance._waiting) == 2)
        go.touch()
        await pool.close()
        found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [PoolClosed, PoolClosed] == [type(one) for one in found]
    assert pool.submitted == pool.done


async def test_a_worker_that_does_not_end_is_ended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(crew, "EXIT_S", 0.2)
    async with a_pool(processes=1) as pool:
        await pool.submit(("linger",))
    assert "do-0 did not end within 0.2 s, and are killed" in caplog.text


async def test_two_pools_at_once_know_nothing_of_each_other() -> None:
    before = what_we_have()
    async with LocalPool([work.plus_one], processes=1) as one, LocalPool([work.other], processes=1) as two:
        assert {2} == {(await one.submit(1)).value}
        with pytest.raises(PoolError, match="is none of this pool's"):
            await one.submit(1, function=work.other)  # type: ignore[arg-type]
        assert "other 1" == (await two.submit(1)).value
        await one.close()
        assert "other 2" == (await two.submit(2)).value
    assert not left(before)


async def test_a_worker_may_have_a_pool_of_its_own() -> None:
    async with a_pool(processes=1) as pool:
        assert [2, 3, 4] == (await pool.submit(("nested", [1, 2, 3]))).value


async def test_workers_import_from_where_their_parent_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    async with a_pool(processes=1) as pool:
        path = (await pool.submit(("path",))).value
    assert [str(tmp_path), str(tmp_path)] == path[:2]


async def test_a_worker_that_cannot_import_its_function_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, module = a_function("a_module_that_goes", tmp_path, monkeypatch)
    module.write_text("raise OSError('no disk')\n")
    before = what_we_have()
    pool = LocalPool([function], processes=2)
    with pytest.raises(PoolError, match="a_module_that_goes:function cannot be imported by a worker: OSError: no disk"):
        await pool.start()
    assert not left(before)
    module.write_text("import os; os._exit(3)\n")
    with pytest.raises(PoolError, match=r"worker function-. did not become ready: the worker ended with status 3"):
        await LocalPool([function], processes=2).start()
    assert not left(before)


async def test_a_worker_that_hangs_at_import_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, module = a_function("a_module_that_hangs", tmp_path, monkeypatch)
    module.write_text(HANGS)
    before = what_we_have()
    said = "a_module_that_hangs:function was not imported within 0.5 s, and the worker was killed for it"
    with pytest.raises(PoolError, match=rf"worker function-. did not become ready: {said}"):
        await LocalPool([function], processes=2, start_timeout=0.5).start()
    assert not left(before)


async def test_a_worker_that_hangs_when_it_is_started_again_is_tried_then_given_up_and_its_tasks_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(crew, "RESTART_S", 0.01)
    monkeypatch.setattr(crew, "START_TRIES", 2)
    function, module = a_function("a_module_that_hangs_later", tmp_path, monkeypatch)
    async with a_pool([function, work.do], 2) as pool:
        pool._crew.start_timeout_s = 0.5  # for those from now on: the first ones have all the time that they take
        module.write_text(HANGS)
        os.kill(pool.pids["function-0"], signal.SIGKILL)
        with pytest.raises(
            TaskFailed, match=r"no worker is left .*: a_module_that_hangs_later:function was not imported"
        ):
            await pool.submit(1, function=function)
        assert 1 == (await pool.submit(("echo", 1))).value
    assert "function-0 failed to start 2 times, and is given up" in caplog.text


async def test_a_worker_that_cannot_be_started_again_is_tried_then_given_up_and_its_tasks_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(crew, "RESTART_S", 0.01)
    monkeypatch.setattr(crew, "START_TRIES", 3)
    function, module = a_function("a_module_that_breaks", tmp_path, monkeypatch)
    async with a_pool([function, work.do], 2) as pool:
        module.write_text("raise OSError('no disk')\n")
        os.kill(pool.pids["function-0"], signal.SIGKILL)
        with pytest.raises(TaskFailed, match=r"no worker is left that could do it; the last one: .*OSError: no disk"):
            await pool.submit(1, function=function)
        with pytest.raises(PoolError, match="no worker is left"):
            await pool.submit(1, function=function)
        assert 1 == (await pool.submit(("echo", 1))).value
    assert 2 == caplog.text.count("tried again in")
    assert 1 == caplog.text.count("function-0 failed to start 3 times, and is given up")


async def test_a_worker_that_dies_without_work_is_not_started_again_and_again_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(crew, "RESTART_S", 0.01)
    monkeypatch.setattr(crew, "SHORT_LIFE_S", math.inf)  # however long it is until its end is noticed
    async with a_pool(processes=1) as pool:
        before = pool.pids["do-0"]
        os.kill(before, signal.SIGKILL)
        await until(lambda: pool.pids.get("do-0") not in (None, before))
        assert 1 == (await pool.submit(("echo", 1))).value
    assert "do-0 did not start: the worker was killed by SIGKILL; tried again in 0.01 s" in caplog.text


def test_wrong_arguments_are_one_clear_error_each() -> None:
    for wrong, said in (
        ({"functions": []}, "functions: a list of one or more"),
        ({"functions": work.do}, "functions: a list of one or more"),
        ({"functions": [lambda _: 1]}, "define it with `def` at the top level"),
        ({"processes": 0}, "processes: at least as many as functions, 1 "),
        ({"processes": 100_000}, "processes: at most 1024 "),
        ({"queue_size": 0}, "queue_size: at least 1"),
        ({"processes": 1.5}, "processes and queue_size: whole numbers"),
        ({"queue_size": math.inf}, "processes and queue_size: whole numbers"),
        ({"timeout": 0}, "timeout: seconds, more than 0"),
        ({"timeout": math.nan}, "timeout: seconds, more than 0"),
        ({"timeout": "1"}, "timeout: seconds, more than 0"),
        ({"start_timeout": 0}, "start_timeout: seconds, more than 0"),
        ({"policy": "maglev"}, "policy 'maglev' cannot choose a worker"),
    ):
        with pytest.raises(PoolError, match=said):
            LocalPool(**{"functions": [work.do], **wrong})  # type: ignore[arg-type]


async def test_a_time_to_wait_that_is_none_is_an_error_also_where_nobody_has_to_wait() -> None:
    async with LocalPool([work.do], processes=1) as pool:
        for wrong in ("1s", math.nan):
            with pytest.raises(PoolError, match="queue_timeout: seconds "):
                await pool.submit("ok", queue_timeout=wrong)  # type: ignore[arg-type]
        assert 0 == pool.submitted


async def test_a_pool_that_does_not_run_says_so() -> None:
    pool: LocalPool[Any, Any] = LocalPool([work.do], processes=1)
    with pytest.raises(PoolError, match="does not run; use `async with`"):
        await pool.submit(1)
    assert [] == await pool.close()
    with pytest.raises(PoolError, match="was started before"):
        await pool.start()
    with importing(), pytest.raises(PoolError, match="put what starts it under `if __name__"):
        await LocalPool([work.do], processes=1).start()


async def test_it_belongs_to_the_loop_that_it_was_started_in() -> None:
    async with a_pool(processes=1) as pool:

        async def elsewhere() -> None:
            pool.submit_nowait(("echo", 1))

        with pytest.raises(PoolError, match="runs in another event loop; SyncLocalPool can be used"):
            await asyncio.to_thread(asyncio.run, elsewhere())
        with pytest.raises(PoolError, match="runs in another event loop"):
            await asyncio.to_thread(asyncio.run, pool.close())
        with pytest.raises(PoolError, match="runs in another event loop"):
            await asyncio.to_thread(pool.submit_nowait, ("echo", 1))
        assert 1 == (await pool.submit(("echo", 1))).value


def test_it_runs_in_uvloop() -> None:
    async def run() -> None:
        async with a_pool(queue_size=50) as pool:
            found = [one async for one in pool.map([("echo", number) for number in range(2000)])]
            assert 2000 == len(found)
            with pytest.raises(TaskFailed, match="SIGKILL"):
                await pool.submit(("die",))
            with pytest.raises(TaskFailed, match="longer than"):
                await pool.submit(("hang",), timeout=0.2)
            large = os.urandom(2_000_000)
            assert large == (await pool.submit(("echo", large))).value

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())

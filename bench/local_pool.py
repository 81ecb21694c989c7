"""How many tiny tasks LocalPool does a second: 100,000 of them on two processes, each of which adds one to a number.

That is what a task costs besides its work: two pickles each way, the choice, the queue, the counters. The clock is the
wall's, and all processes may use every core; the CPU time of the parent alone is beside it. In `killed`, one
worker is killed every 20,000 results, and nothing may be lost; a started worker costs some 50 ms of CPU.

    python -m bench.local_pool      this alone, in a few seconds
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.failure import BenchError
from bench.lifecycle import Figure
from steelyard import LocalPool, SyncLocalPool

TASKS: Final = 100_000
PROCESSES: Final = 2
GOAL: Final = 15_000
GOAL_US: Final = 67  # the same, said as a time
KILL_EVERY: Final = 20_000
ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class Rate:
    """One way to submit tasks. cpu_us: of the parent, a task."""

    way: str
    tasks: int
    per_s: float
    cpu_us: float


def add_one(number: int) -> int:
    """The tiny task."""
    return number + 1


async def by_map(tasks: int) -> None:
    """All through `map`."""
    await _map(tasks, kill_every=None)


async def killed(tasks: int) -> None:
    """All through `map`, while workers are killed."""
    await _map(tasks, KILL_EVERY)


async def by_submit(tasks: int) -> None:
    """Each with a task of asyncio's own that waits for its result."""
    async with LocalPool([add_one], processes=PROCESSES) as pool:
        results = await asyncio.gather(*[pool.submit(number) for number in range(tasks)])
    _check(tasks, sum(result.value for result in results))


async def one_by_one(tasks: int) -> None:
    """Each when the one before is done: the way there and back."""
    async with LocalPool([add_one], processes=PROCESSES) as pool:
        _check(tasks, sum([(await pool.submit(number)).value for number in range(tasks)]))


async def synchronous(tasks: int) -> None:
    """All through the `map` of SyncLocalPool."""
    with SyncLocalPool([add_one], processes=PROCESSES) as pool:
        _check(tasks, sum(result.value for result in pool.map(range(tasks))))


# How many of all tasks are done each way.
WAYS: Final[dict[str, tuple[Callable[[int], object], int]]] = {
    "map": (by_map, 1),
    "map, workers killed": (killed, 1),
    "submit, gathered": (by_submit, 1),
    "submit, one by one": (one_by_one, 50),
    "SyncLocalPool.map": (synchronous, 1),
}


async def _map(tasks: int, kill_every: int | None) -> None:
    total = count = 0
    async with LocalPool([add_one], processes=PROCESSES) as pool:
        async for result in pool.map(range(tasks)):
            total += result.value
            count += 1
            if kill_every is not None and count % kill_every == 0:
                os.kill(next(iter(pool.pids.values())), signal.SIGKILL)
    if (pool.submitted, pool.done, pool.failed) != (tasks, tasks, 0):
        raise BenchError(f"of {tasks} tasks {pool.done} were done and {pool.failed} failed")
    _check(tasks, total)


def _check(tasks: int, total: int) -> None:
    if total != tasks * (tasks + 1) // 2:
        raise BenchError(f"the results of {tasks} tasks add up to {total}")


def measure(rounds: int = ROUNDS, tasks: int = TASKS) -> Iterator[Rate]:
    """Each way so many times, one after the other. The start and the end of the workers are in the time."""
    for _ in range(rounds):
        for way, (run, share) in WAYS.items():
            yield _measured(way, run, tasks // share)


def _measured(way: str, run: Callable[[int], object], tasks: int) -> Rate:
    began, cpu = time.perf_counter(), time.process_time()
    asyncio.run(run(tasks))  # type: ignore[arg-type]  # all of them are coroutines
    return Rate(way, tasks, tasks / (time.perf_counter() - began), (time.process_time() - cpu) / tasks * 1e6)


def figure(rounds: int, cores: Sequence[int]) -> Figure:
    """For the table of `make bench`: what a tiny task takes, on these cores. Raises BenchError when one was lost."""
    with _on(cores):
        rates = [_measured("map", by_map, TASKS) for _ in range(rounds)]
    return Figure(
        "a tiny task through LocalPool, two processes, wall", 1e6 / median(one.per_s for one in rates), "µs", GOAL_US
    )


@contextmanager
def _on(cores: Sequence[int]) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def table(rates: Sequence[Rate]) -> Table:
    """Medians of the rounds, for rich."""
    made = Table("tiny tasks on two processes", "tasks", "tasks/s", "CPU µs of the parent", "goal", title="LocalPool")
    for way in WAYS:
        own = [rate for rate in rates if rate.way == way]
        per_s = median(rate.per_s for rate in own)
        goal = (
            f"≥ {GOAL:,}: {'met' if per_s >= GOAL else 'missed'}"
            if own[0].tasks == max(rate.tasks for rate in rates)
            else ""
        )
        cpu_us = median(rate.cpu_us for rate in own)
        made.add_row(way, f"{own[0].tasks:,}", f"{per_s:,.0f}", f"{cpu_us:.1f}", goal)
    return made


def main() -> int:
    """Measure, and show."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        console.print(table(list(measure())))
    except BenchError as error:
        console.print(f"bench: {error}", style="red", markup=False, highlight=False)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""CPU time and memory are read from the whole process tree, and lost time is an error."""

import os
import threading
import time
from pathlib import Path

import pytest

from bench.accounting import NS_PER_TICK, core_busy_ns, cpu_ns, lifetime_ns, memory_bytes, spent_ns, tree
from bench.failure import BenchError


def process(
    proc: Path, pid: int, parent: int, *, threads_ns: tuple[int, ...] = (0,), anon_kb: int = 0, file_kb: int = 0
) -> None:
    """A process as /proc shows it."""
    own = proc / str(pid)
    for number, ns in enumerate(threads_ns):
        thread = own / "task" / str(pid + number)
        thread.mkdir(parents=True)
        (thread / "schedstat").write_text(f"{ns} 77 5\n")
    (own / "stat").write_text(f"{pid} (a (odd) name) S {parent} 1 1 0 -1\n")
    own_pages = f"Pss: 9999 kB\nPss_Anon: {anon_kb} kB\nPss_Shmem: 1 kB\n"
    (own / "smaps_rollup").write_text(f"00-ff ---p 0 00:00 0 [rollup]\nRss: 9999 kB\n{own_pages}")
    (own / "status").write_text(f"Name:\todd name kB\nRssAnon:\t 9999 kB\nRssFile:\t {file_kb} kB\nThreads:\t1\n")


def test_a_tree_has_every_descendant_and_nobody_else(tmp_path: Path) -> None:
    for pid, parent in [(10, 1), (11, 10), (12, 11), (13, 10), (20, 1)]:
        process(tmp_path, pid, parent)
    (tmp_path / "self").mkdir()
    assert [10, 11, 13, 12] == tree(10, tmp_path)


def test_run_time_adds_up_the_threads_of_each_process(tmp_path: Path) -> None:
    process(tmp_path, 10, 1, threads_ns=(100, 20))
    process(tmp_path, 30, 10, threads_ns=(7,))
    assert {10: 120, 30: 7} == cpu_ns(10, tmp_path)


def test_memory_is_what_the_tree_has_written_and_its_program_once(tmp_path: Path) -> None:
    process(tmp_path, 10, 1, anon_kb=100, file_kb=5000)
    process(tmp_path, 11, 10, anon_kb=30, file_kb=6000)
    assert (100 + 1 + 30 + 1 + 6000) * 1024 == memory_bytes(10, tmp_path)


def test_a_process_that_came_in_between_counts_in_full() -> None:
    assert 5 + 9 == spent_ns({1: 100}, {1: 105, 2: 9})


def test_a_process_that_ended_in_between_is_an_error() -> None:
    with pytest.raises(BenchError, match="process 2 of the balancer ended"):
        spent_ns({1: 100, 2: 9}, {1: 105})


def test_a_core_is_busy_with_all_but_idling_and_waiting(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text(
        "cpu  9 9 9 9 9 9 9 9 0 0\ncpu1 1 2 4 1000 1000 8 16 32 0 0\ncpu11 5 5 5 5 5 5 5 5 0 0\n"
    )
    assert (1 + 2 + 4 + 8 + 16 + 32) * NS_PER_TICK == core_busy_ns(1, tmp_path)


@pytest.mark.real
def test_the_time_of_threads_that_have_ended_counts() -> None:
    """Of a thread that is over, the scheduler's book of living ones knows nothing more."""
    pid = os.getpid()
    before, process_before = lifetime_ns(pid)[pid], time.process_time_ns()
    worker = threading.Thread(target=lambda: sum(number * number for number in range(300_000)))
    worker.start()
    worker.join()
    process_ns = time.process_time_ns() - process_before
    assert process_ns <= lifetime_ns(pid)[pid] - before
    assert process_ns > 0

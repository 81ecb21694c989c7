"""core/table.py: shared cells, own columns, sums, and an atomic add."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE

import pytest
from hypothesis import given
from hypothesis import strategies as st

import steelyard
from steelyard.core import table as cells
from steelyard.core.table import CURSOR, FAILURES, IN_FLIGHT, REQUESTS, STATUS, UP, WEIGHT, Table

ADDITIONS = 4_000_000  # long enough that two of the three run side by side


def test_zeroed_memory_says_that_all_is_well() -> None:
    table = Table(bytearray(Table.size_bytes(2, 3)), 2, 3)
    assert UP == table.get(1, STATUS)
    assert 0 == table.total(1, IN_FLIGHT)


def test_a_table_knows_its_measures() -> None:
    table = Table(bytearray(Table.size_bytes(2, 3)), 2, 3, 1)
    assert (2, 3, 1) == (table.rows, table.workers, table.worker)
    assert 2 * 5 * 64 == Table.size_bytes(2, 3)  # for each row two cache lines, and one a worker


def test_a_buffer_that_is_too_short_is_refused_with_the_length_it_needs() -> None:
    with pytest.raises(ValueError, match="383 bytes for 2 rows and 1 workers; needs 384"):
        Table(bytearray(383), 2)


@pytest.mark.parametrize("worker", [-1, 2])
def test_a_worker_that_the_table_has_no_column_for_is_refused(worker: int) -> None:
    with pytest.raises(ValueError, match=f"worker {worker} of a table for 2; count from 0"):
        Table(bytearray(Table.size_bytes(1, 2)), 1, 2, worker)


def test_a_longer_buffer_is_welcome_and_its_numbers_survive() -> None:
    """A mapping has whole pages, and a reload looks at the cells that were there before."""
    buffer = bytearray(4096)
    Table(buffer, 3).set(2, WEIGHT, 7)
    assert 7 == Table(buffer, 3).get(2, WEIGHT)


def test_a_row_outside_the_table_is_an_error_and_not_somebody_elses_memory() -> None:
    table = Table(bytearray(4096), 3)
    with pytest.raises(IndexError):
        table.get(3, STATUS)
    with pytest.raises(IndexError):
        table.fetch_add(3, CURSOR, 1)


def test_fetch_add_returns_what_was_there_before() -> None:
    table = Table(bytearray(Table.size_bytes(2, 1)), 2)
    assert 0 == table.fetch_add(1, CURSOR, 5)
    assert 5 == table.fetch_add(1, CURSOR, -2)
    assert 3 == table.get(1, CURSOR)
    assert 0 == table.get(0, CURSOR)


def test_a_worker_writes_its_own_column_and_reads_everyones() -> None:
    buffer = bytearray(Table.size_bytes(2, 3))
    workers = [Table(buffer, 2, 3, worker) for worker in range(3)]
    for n, table in enumerate(workers):
        assert n + 1 == table.add_mine(1, IN_FLIGHT, n + 1)
        table.add_mine(1, REQUESTS, 10)
    assert [1, 2, 3] == [table.mine(1, IN_FLIGHT) for table in workers]
    assert [6, 6, 6] == [table.total(1, IN_FLIGHT) for table in workers]
    assert 30 == workers[0].total(1, REQUESTS)
    assert 0 == workers[0].total(0, IN_FLIGHT)
    assert 0 == workers[0].total(1, FAILURES)


def test_clearing_a_dead_workers_column_leaves_the_others_and_the_shared_cells() -> None:
    buffer = bytearray(Table.size_bytes(2, 2))
    first, second = Table(buffer, 2, 2, 0), Table(buffer, 2, 2, 1)
    for row in range(2):
        first.add_mine(row, IN_FLIGHT, 4)
        second.add_mine(row, IN_FLIGHT, 3)
        first.set(row, WEIGHT, 9)
    first.clear_column(1)
    assert [4, 4] == [first.total(row, IN_FLIGHT) for row in range(2)]
    assert [9, 9] == [first.get(row, WEIGHT) for row in range(2)]
    assert [0, 0] == [second.mine(row, IN_FLIGHT) for row in range(2)]


def test_clearing_a_column_can_be_kept_to_the_rows_that_were_ever_used() -> None:
    table = Table(bytearray(Table.size_bytes(3, 1)), 3)
    for row in range(3):
        table.add_mine(row, IN_FLIGHT, 4)
    table.clear_column(0, 2)
    assert [0, 0, 4] == [table.total(row, IN_FLIGHT) for row in range(3)]


def test_a_row_that_is_cleared_is_as_new_and_the_others_are_not() -> None:
    buffer = bytearray(b"\1" * Table.size_bytes(3, 2))
    table = Table(buffer, 3, 2)
    table.clear_row(1)
    third = len(buffer) // 3
    assert b"\1" * third + bytes(third) + b"\1" * third == bytes(buffer)


def test_a_swap_stores_only_over_what_was_expected() -> None:
    table = Table(bytearray(Table.size_bytes(2, 1)), 2)
    assert table.swap(1, STATUS, 0, 5)
    assert not table.swap(1, STATUS, 0, 6)
    assert (5, 0) == (table.get(1, STATUS), table.get(0, STATUS))
    assert table.swap(1, STATUS, 5, -6)
    assert -6 == table.get(1, STATUS)


def test_a_workers_own_cell_can_be_set_and_be_read_by_all() -> None:
    buffer = bytearray(Table.size_bytes(2, 3))
    workers = [Table(buffer, 2, 3, worker) for worker in range(3)]
    workers[1].set_mine(0, REQUESTS, 7)
    assert [0, 7, 0] == [workers[2].of_worker(0, worker, REQUESTS) for worker in range(3)]
    assert (7, 7) == (workers[1].mine(0, REQUESTS), workers[0].total(0, REQUESTS))
    workers[1].set_mine(0, REQUESTS, 2)
    assert (2, 0) == (workers[0].total(0, REQUESTS), workers[0].total(1, REQUESTS))


@pytest.mark.parametrize("more", [0, 7, 8, 20])
def test_behind_the_rows_lie_whole_cells_for_whoever_is_given_them(more: int) -> None:
    buffer = bytearray(Table.size_bytes(2, 1) + more)
    table = Table(buffer, 2)
    assert more // 8 == len(table.rest)
    for at in range(more // 8):
        table.rest[at] = -1
    assert bytes(Table.size_bytes(2, 1)) == bytes(buffer[: Table.size_bytes(2, 1)])


CELLS = (STATUS, WEIGHT, CURSOR)
COUNTERS = (IN_FLIGHT, REQUESTS, FAILURES)


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from(COUNTERS), st.integers(-9, 9)), max_size=60
    ),
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(CELLS), st.integers(-9, 9)), max_size=30),
)
def test_no_cell_overlaps_another(adds: list[tuple[int, int, int, int]], stores: list[tuple[int, int, int]]) -> None:
    buffer = bytearray(Table.size_bytes(3, 3))
    workers = [Table(buffer, 3, 3, worker) for worker in range(3)]
    counters: dict[tuple[int, int, int], int] = {}
    cells: dict[tuple[int, int], int] = {}
    for worker, row, counter, n in adds:
        workers[worker].add_mine(row, counter, n)
        counters[worker, row, counter] = counters.get((worker, row, counter), 0) + n
    for row, cell, value in stores:
        workers[row].set(row, cell, value)
        cells[row, cell] = value
    for row in range(3):
        for counter in COUNTERS:
            own = [counters.get((worker, row, counter), 0) for worker in range(3)]
            assert own == [table.mine(row, counter) for table in workers]
            assert sum(own) == workers[0].total(row, counter)
        for cell in CELLS:
            assert cells.get((row, cell), 0) == workers[2].get(row, cell)


ADDER = f"""
import mmap, os, sys
cores = sorted(os.sched_getaffinity(0))
os.sched_setaffinity(0, [cores[int(sys.argv[2]) % len(cores)]])  # or they may take turns on one
from steelyard.core.table import CURSOR, Table
table = Table(mmap.mmap(int(sys.argv[1]), 4096), 2)
print("ready", flush=True)
sys.stdin.read(1)  # all begin together
for _ in range({ADDITIONS}):
    table.fetch_add(1, CURSOR, 1)
"""


@pytest.mark.compiled
@pytest.mark.real
def test_three_processes_that_add_at_once_lose_nothing() -> None:
    """With a plain load and store in its place, this loses some every time."""
    shared = os.memfd_create("table")
    os.ftruncate(shared, 4096)
    paths = os.pathsep.join([str(Path(str(steelyard.__file__)).parents[1]), *sys.path])
    command = [sys.executable, "-c", ADDER, str(shared)]
    environ = {**os.environ, "PYTHONPATH": paths}
    with ExitStack() as ended:
        adders = [
            ended.enter_context(
                subprocess.Popen([*command, str(index)], stdin=PIPE, stdout=PIPE, pass_fds=[shared], env=environ)
            )
            for index in range(3)
        ]
        for adder in adders:
            assert adder.stdout is not None
            assert b"ready\n" == adder.stdout.readline()
        for adder in adders:
            assert adder.stdin is not None
            adder.stdin.write(b"!")
            adder.stdin.flush()
        assert [0, 0, 0] == [adder.wait() for adder in adders]
    row = bytearray(os.pread(shared, Table.size_bytes(2, 1), 0))
    os.close(shared)
    assert 3 * ADDITIONS == Table(row, 2).get(1, CURSOR)


def test_no_number_means_two_things_in_one_row() -> None:
    """A backend's cells and a tier's may share numbers, for no row is both."""
    both: tuple[int, ...] = (cells.IN_A_ROW, cells.RATES_SINCE, cells.RATES_FROM, cells.SLOW_FROM)
    backend: tuple[int, ...] = (
        cells.STATUS,
        cells.DRAINING,
        cells.WEIGHT,
        cells.SHARE,
        cells.UP_SINCE,
        cells.EJECTED,
        cells.CIRCUIT,
    )
    backend += (cells.PENALTIES, cells.WINDOW_FROM, cells.EARLIER_FROM, *both)
    tier: tuple[int, ...] = (cells.GENERATION, cells.LOT, cells.LOT_CELLS, cells.CURSOR, cells.POOL_CIRCUIT)
    tier += (cells.WINDOW, cells.FLOOR, cells.BASE, cells.PROBED_AT, cells.LIMIT, cells.ADAPTED_AT, *both)
    columns: tuple[int, ...] = (
        cells.IN_FLIGHT,
        cells.REQUESTS,
        cells.FAILURES,
        cells.OUTCOMES,
        cells.SLOW,
        cells.UNJUDGED,
    )
    columns += (cells.EJECTIONS, cells.TRIPS)
    for of_row, most in ((backend, cells.SHARED_CELLS), (tier, cells.SHARED_CELLS), (columns, cells.WORKER_CELLS)):
        assert len(of_row) == len(set(of_row))
        assert max(of_row) < most


def test_what_every_pick_reads_of_a_backend_is_in_one_cache_line() -> None:
    assert max(cells.STATUS, cells.DRAINING, cells.WEIGHT, cells.SHARE, cells.EJECTED, cells.CIRCUIT) < 8

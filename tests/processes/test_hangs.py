"""A worker whose loop does not come round is killed; one that slept with the whole machine is not."""

from types import SimpleNamespace
from typing import Any

import pytest

from steelyard.core import table as cells
from steelyard.core.table import Table
from steelyard.processes.hangs import HANG_S, Hangs

ROWS, WORKERS = 2, 2


@pytest.fixture
def memory() -> bytearray:
    return bytearray(Table.size_bytes(ROWS, WORKERS))


class Child:
    """A worker that was born at 0 and whose loop came round at these seconds."""

    def __init__(self, memory: bytearray, beat_s: float, number: int = 0) -> None:
        self.number = number
        self.name = f"worker {number}"
        self.born = 0.0
        self.ending = False
        self.killed = 0
        self.process = SimpleNamespace(kill=self._kill)
        self.view = Table(memory, ROWS, WORKERS, number)
        self.beat(beat_s)

    def _kill(self) -> None:
        self.killed += 1

    def beat(self, at_s: float) -> None:
        self.view.set_mine(cells.BALANCER, cells.BEAT, int(at_s * 1000))


def turned(hangs: Hangs, table: Table | None, workers: list[Any], start: float, end: float) -> None:
    """Time passes from start to end, a second at a time."""
    now = start
    while now <= end:
        hangs.end(now, table, workers)
        now += 1.0


def test_one_that_does_not_come_round_is_killed_once(memory: bytearray) -> None:
    table = Table(memory, ROWS, WORKERS)
    hung, well = Child(memory, 1.0), Child(memory, 1000.0, number=1)
    turned(hangs := Hangs(0.0), table, [hung, well], 0.0, 1.0 + HANG_S)
    assert (0, 0) == (hung.killed, well.killed)
    turned(hangs, table, [hung, well], 32.0, 40.0)
    assert (1, 0) == (hung.killed, well.killed)


def test_one_that_has_just_started_has_its_time(memory: bytearray) -> None:
    table = Table(memory, ROWS, WORKERS)
    child = Child(memory, 0.0)
    child.born = 100.0
    turned(hangs := Hangs(0.0), table, [child], 0.0, 129.0)
    assert 0 == child.killed
    turned(hangs, table, [child], 130.0, 132.0)
    assert 1 == child.killed


def test_one_that_is_to_end_may_take_longer(memory: bytearray) -> None:
    table = Table(memory, ROWS, WORKERS)
    child = Child(memory, 0.0)
    child.ending = True
    turned(Hangs(0.0), table, [child], 0.0, 100.0)
    assert 0 == child.killed


def test_after_a_sleep_of_the_machine_all_have_time_to_come_round(memory: bytearray) -> None:
    """Whoever was stopped with us needs more than our next tick for its next beat."""
    table = Table(memory, ROWS, WORKERS)
    child = Child(memory, 10.0)
    turned(hangs := Hangs(0.0), table, [child], 0.0, 10.0)
    turned(hangs, table, [child], 1000.0, 1029.0)
    assert 0 == child.killed
    turned(hangs, table, [child], 1030.0, 1032.0)
    assert 1 == child.killed


def test_before_there_is_a_table_nobody_hangs() -> None:
    turned(Hangs(0.0), None, [], 0.0, 100.0)

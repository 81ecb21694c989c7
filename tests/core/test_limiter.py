"""core/limiter.py: GCRA over shared cells, against an exact one in fractions."""

import os
import subprocess
import sys
from array import array
from collections.abc import Callable
from contextlib import ExitStack
from fractions import Fraction
from math import floor
from pathlib import Path
from subprocess import PIPE

import pytest
from hypothesis import given
from hypothesis import strategies as st

import steelyard
from steelyard.core.limiter import CROWD, MOST_BURST, MOST_RATE, SLACK_S, Limiter, limiter_cells, mark_of
from steelyard.core.stable import mix, stable_hash

# As the module's own, which compiled are C's alone.
INTERVAL = 64
SPAN = 1 << 40
HOUR = 1 / 3600
KEY = stable_hash("client")


def a_limiter(rate: float, burst: int, keys: int = 1) -> Limiter:
    needed = limiter_cells(keys)
    return Limiter(array("q", bytes(8 * needed)), 0, needed, rate, burst)


class Exact:
    """The generic cell rate algorithm in fractions, for one key. Times are rounded down to 64ths of the interval."""

    def __init__(self, rate: float, burst: int) -> None:
        self.interval = 1 / Fraction(rate)
        self.burst = burst
        self.tat = Fraction(-(10**30))

    def take(self, now: float) -> bool:
        # As a double, in which the limiter multiplies.
        at = Fraction(floor(now * (1 / float(self.interval)) * INTERVAL), INTERVAL) * self.interval
        after = max(self.tat, at) + self.interval
        if after - at > self.burst * self.interval:
            return False
        self.tat = after
        return True


RATES = st.sampled_from([HOUR, 0.1, 1.0, 7.0, 100.0, 4096.0, MOST_RATE])
# Arrivals in intervals: now and then a long while.
GAPS = st.lists(st.one_of(st.just(0.0), st.floats(0, 3), st.floats(0, 200)), min_size=1, max_size=200)


@given(st.sampled_from([0.25, 1.0, 8.0, 128.0, 4096.0]), st.integers(1, 50), GAPS, st.integers(0, 1 << 22))
def test_any_arrivals_are_admitted_as_exact_gcra_admits_them(
    rate: float, burst: int, gaps: list[float], begin: int
) -> None:
    """Rates whose multiples are exact as doubles, so that both round the same way."""
    limiter, exact = a_limiter(rate, burst), Exact(rate, burst)
    now = float(begin)
    for gap in gaps:
        now += gap / rate
        wait = limiter.take(KEY, now)
        assert exact.take(now) == (wait == 0.0)


@given(RATES, st.integers(1, 50), GAPS, st.floats(0, 1e9))
def test_never_more_than_the_burst_and_the_rate_in_any_stretch_and_as_many_where_all_press(
    rate: float, burst: int, gaps: list[float], begin: float
) -> None:
    limiter = a_limiter(rate, burst)
    now = begin
    admitted = []
    for gap in gaps:
        now += gap / rate
        if limiter.take(KEY, now) == 0.0:
            admitted.append(now)
    # The clock's own doubles are not finer than this, in intervals.
    blur = (1 + 4 * abs(now) * rate * INTERVAL * 2**-52) * 2 / INTERVAL
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= burst + (admitted[last] - admitted[first]) * rate + blur


@pytest.mark.parametrize("rate", [HOUR, 0.5, 3.0, 100.0, 12345.0, MOST_RATE])
@pytest.mark.parametrize("burst", [1, 50, 1000])
@pytest.mark.parametrize("begin", [0.0, 12345.678, 1e9])
def test_who_presses_all_the_time_gets_the_burst_and_then_the_rate(rate: float, burst: int, begin: float) -> None:
    limiter = a_limiter(rate, burst)
    steps = 8 * 200
    count = sum(limiter.take(KEY, begin + step / (8 * rate)) == 0.0 for step in range(steps) for _ in range(8))
    count += sum(limiter.take(KEY, begin + steps / (8 * rate)) == 0.0 for _ in range(burst))
    # With a burst of one, each arrival that rounding makes an eighth late is lost time. At 1e9 s a double is coarser
    # than a tick of the highest rate.
    assert abs(burst + 200 - count) <= (25 if begin * rate > 1e12 else 4 if burst == 1 else 1)


@given(RATES, st.integers(1, 50), st.floats(0, 1e6))
def test_who_waits_as_long_as_it_is_told_is_admitted_and_a_little_sooner_is_not(
    rate: float, burst: int, begin: float
) -> None:
    limiter = a_limiter(rate, burst)
    while limiter.take(KEY, begin) == 0.0:
        pass
    wait = limiter.take(KEY, begin)
    assert 0.0 < wait <= 1.01 / rate + 1e-6
    # No double near the end of the wait is finer than this.
    blur = 4 * (begin + wait + 1) * 2**-52
    if wait > 0.02 / rate + 4 * blur:
        assert limiter.take(KEY, begin + wait - 0.017 / rate - blur) > 0.0
    assert 0.0 == limiter.take(KEY, begin + wait + blur)


@pytest.mark.parametrize("now", [0.0, 1e9, 1e12, 1e15])
@pytest.mark.parametrize("rate", [HOUR, 1.0, MOST_RATE])
def test_no_time_is_too_late(now: float, rate: float) -> None:
    limiter = a_limiter(rate, 5)
    assert [0.0] * 5 == [limiter.take(KEY, now) for _ in range(5)]
    assert limiter.take(KEY, now) > 0.0


def test_after_the_modulus_the_past_is_the_past() -> None:
    """2^40 ticks on, what was may look like what is to be, for as long as the burst lasts; else it is believed past."""
    limiter = a_limiter(MOST_RATE, 10)
    turn_s = SPAN / INTERVAL / MOST_RATE
    for _ in range(10):
        limiter.take(KEY, 100.0)
    for later in (turn_s / 2, turn_s - 2 * SLACK_S, turn_s + SLACK_S):
        assert 0.0 == limiter.take(KEY, 100.0 + later)


def test_a_clock_that_was_read_a_moment_ago_gives_nobody_a_second_burst() -> None:
    limiter = a_limiter(1000.0, 10)
    assert [0.0] * 10 == [limiter.take(KEY, 100.0) for _ in range(10)]
    assert limiter.take(KEY, 100.0 - SLACK_S / 2) > SLACK_S / 2
    assert limiter.take(KEY, 100.0) > 0.0


def test_every_key_has_its_own() -> None:
    limiter = a_limiter(1.0, 1, 100)
    keys = [stable_hash(str(number)) for number in range(50)]
    assert [0.0] * 50 == [limiter.take(key, 5.0) for key in keys]
    assert all(limiter.take(key, 5.0) > 0.0 for key in keys)


def test_who_is_past_makes_room_and_of_those_who_are_not_the_one_that_is_so_first() -> None:
    limiter = a_limiter(1.0, 100)
    for number in range(1, 9):  # the first one has pressed least
        for _ in range(number):
            assert 0.0 == limiter.take(number << 40, 0.0)
    assert 0.0 == limiter.take(9 << 40, 1.5)  # the first one is past by now
    for _ in range(99):
        assert 0.0 == limiter.take(2 << 40, 1.5)  # half an interval is left of two, and 99 more fit
    assert 0.0 < limiter.take(2 << 40, 1.5)
    assert 0.0 == limiter.take(10 << 40, 1.5)  # of 9, 3, 4, ..., 8 number 9 has pressed least
    for number in range(3, 9):
        free = 100 - number + 1
        assert [0.0] * free == [limiter.take(number << 40, 1.5) for _ in range(free)]
        assert 0.0 < limiter.take(number << 40, 1.5)


def test_no_other_cells_are_touched() -> None:
    cells = array("q", [-7] * 40)
    cells[8:24] = array("q", bytes(8 * 16))
    limiter = Limiter(cells, 8, 16, 1.0, 5)
    for number in range(500):
        limiter.take(stable_hash(str(number)), number / 100)
    assert [-7] * 8 == list(cells[:8])
    assert [-7] * 16 == list(cells[24:])


def test_what_cannot_be_is_refused() -> None:
    cells = array("q", bytes(8 * 16))
    for first, length in ((-1, 8), (0, 0), (9, 8)):
        with pytest.raises(ValueError, match="an entry takes one"):
            Limiter(cells, first, length, 1.0, 1)
    for rate, burst in ((0.0, 1), (2 * MOST_RATE, 1), (1.0, 0), (1.0, MOST_BURST + 1)):
        with pytest.raises(ValueError, match="at once and"):
            Limiter(cells, 0, 16, rate, burst)
    assert 0.0 == Limiter(cells, 0, 16, MOST_RATE, MOST_BURST).take(KEY, 1.0)


def test_marks_are_never_nobodys() -> None:
    assert 1 == mark_of(1 << 63)
    assert [-(1 << 23), (1 << 23) - 1] == [mark_of(0), mark_of((1 << 64) - 1)]


def test_two_views_of_the_same_cells_are_one_limit() -> None:
    cells = array("q", bytes(64))
    here, there = Limiter(cells, 0, 8, 10.0, 7), Limiter(memoryview(cells), 0, 8, 10.0, 7)
    admitted = [(here, there)[number % 2].take(KEY, 3.0) == 0.0 for number in range(10)]
    assert [True] * 7 + [False] * 3 == admitted


@pytest.mark.interpreted
def test_of_two_workers_at_one_entry_one_is_told_to_look_again() -> None:
    """Whatever the moment: both are counted."""

    class Meanwhile:
        """Cells where something happens just before the nth look."""

        def __init__(self, cells: "memoryview[int]", nth: int, happens: Callable[[], object]) -> None:
            self.cells, self.left, self.happens = cells, nth, happens

        def __getitem__(self, at: int) -> int:
            if self.left == 0:
                self.happens()
            self.left -= 1
            return self.cells[at]

        def __setitem__(self, at: int, value: int) -> None:
            self.cells[at] = value

    for nth in range(9):
        cells = array("q", bytes(64))
        here, there = Limiter(cells, 0, 8, 1.0, 3), Limiter(cells, 0, 8, 1.0, 3)
        here.cells = Meanwhile(memoryview(cells), nth, lambda there=there: there.take(KEY, 0.0))  # type: ignore[misc,assignment]
        assert 0.0 == here.take(KEY, 0.0)
        assert [True, False] == [there.take(KEY, 0.0) == 0.0 for _ in range(2)], f"at its look number {nth}"


def test_how_many_keys_are_remembered() -> None:
    """As many as asked for, but for those few in sets where chance has put more than eight."""
    assert [8, 8, 40] == [limiter_cells(keys) for keys in (1, 8, 9)]
    assert 2 == CROWD
    for keys in (1000, 100_000):
        limiter = a_limiter(1.0, 1, keys)
        made = [mix(number, 7) for number in range(keys)]
        for key in made:
            limiter.take(key, 1.0)
        forgotten = sum(limiter.take(key, 1.0) == 0.0 for key in made)
        assert forgotten <= 0.001 * keys


@pytest.mark.compiled
@pytest.mark.slow
def test_a_million_keys_take_thirty_mib_and_all_but_few_are_remembered() -> None:
    keys = 1_000_000
    assert 8 * limiter_cells(keys) < 31 * 2**20
    limiter = a_limiter(1.0, 1, keys)
    made = [mix(number, 7) for number in range(keys)]
    for key in made:
        limiter.take(key, 1.0)
    forgotten = sum(limiter.take(key, 1.0) == 0.0 for key in made)
    assert forgotten < 0.0005 * keys


TAKER = """
import mmap, os, sys
me = int(sys.argv[2])
cores = sorted(os.sched_getaffinity(0))
os.sched_setaffinity(0, [cores[me % len(cores)]])
from steelyard.core.limiter import Limiter
limiter = Limiter(memoryview(mmap.mmap(int(sys.argv[1]), 4096)).cast("q"), 0, 8, 1000.0, 5000)
print("ready", flush=True)
sys.stdin.read(1)
admitted = 0
for number in range(1_000_000):
    admitted += limiter.take(7 << 40, number / 1e6) == 0.0
print(admitted)
"""


@pytest.mark.compiled
@pytest.mark.real
def test_three_processes_at_once_admit_exactly_what_one_would() -> None:
    """A clock of their own, one second of it: the burst and a thousand, and what the clocks are apart by at the end."""
    shared = os.memfd_create("limits")
    os.ftruncate(shared, 4096)
    paths = os.pathsep.join([str(Path(str(steelyard.__file__)).parents[1]), *sys.path])
    with ExitStack() as ended:
        takers = [
            ended.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", TAKER, str(shared), str(index)],
                    stdin=PIPE,
                    stdout=PIPE,
                    pass_fds=[shared],
                    env={**os.environ, "PYTHONPATH": paths},
                )
            )
            for index in range(3)
        ]
        for taker in takers:
            assert taker.stdout is not None
            assert b"ready\n" == taker.stdout.readline()
        for taker in takers:
            assert taker.stdin is not None
            taker.stdin.write(b"!")
            taker.stdin.flush()
        admitted = []
        for taker in takers:
            assert taker.stdout is not None
            admitted.append(int(taker.stdout.read()))
            assert 0 == taker.wait()
    os.close(shared)
    assert abs(5000 + 1000 - sum(admitted)) <= 1

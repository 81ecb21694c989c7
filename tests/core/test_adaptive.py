"""A limit that finds itself: tried on a server of known capacity, whose answers take longer when requests wait."""

import pytest

from steelyard.core.adaptive import MIN_SAMPLES, PROBE_S, START, AdaptiveLimit
from steelyard.core.spec import AdaptiveSpec
from steelyard.core.table import LIMIT, Table

SPEC = AdaptiveSpec(least=5, most=500)


def a_table() -> Table:
    return Table(bytearray(Table.size_bytes(1, 1)), 1)


def run(limit: AdaptiveLimit, servers: int, windows: int, service_s: float = 0.1, now: float = 100.0) -> float:
    """Keep the limit used up for so many windows at a pool that works on `servers` requests at once; the time after."""
    for _ in range(windows):
        in_flight = limit.current()
        latency_s = service_s * max(1.0, in_flight / servers)
        for _ in range(MIN_SAMPLES):
            now += SPEC.window_s / MIN_SAMPLES
            limit.answered(latency_s, in_flight, now)
    return now


def test_it_begins_somewhere_within_its_bounds() -> None:
    assert START == AdaptiveLimit(SPEC, a_table(), 0).current()
    assert 7 == AdaptiveLimit(AdaptiveSpec(least=1, most=7), a_table(), 0).current()
    assert 30 == AdaptiveLimit(AdaptiveSpec(least=30), a_table(), 0).current()


def test_it_rises_to_what_the_pool_can_do_and_not_far_beyond() -> None:
    limit = AdaptiveLimit(SPEC, a_table(), 0)
    run(limit, servers=100, windows=300)
    assert 100 <= limit.current() <= 200


def test_it_falls_when_the_pool_can_do_less() -> None:
    limit = AdaptiveLimit(SPEC, a_table(), 0)
    now = run(limit, servers=100, windows=300)
    run(limit, servers=25, windows=40, now=now)
    assert limit.current() <= 75


def test_it_comes_back_when_the_pool_does() -> None:
    limit = AdaptiveLimit(SPEC, a_table(), 0)
    now = run(limit, servers=100, windows=300)
    now = run(limit, servers=25, windows=100, now=now)
    run(limit, servers=100, windows=300, now=now)
    assert 100 <= limit.current()


def test_it_keeps_to_its_bounds() -> None:
    limit = AdaptiveLimit(AdaptiveSpec(least=5, most=40), a_table(), 0)
    now = run(limit, servers=1000, windows=300)
    assert 40 == limit.current()
    for _ in range(400):
        now = run(limit, servers=1, windows=1, service_s=0.1, now=now)
    assert 5 <= limit.current() <= 40


def test_an_idle_night_raises_nothing() -> None:
    """Less than half of it is used: quick answers say nothing about what would be if it were all used."""
    limit = AdaptiveLimit(SPEC, a_table(), 0)
    now = 100.0
    for _ in range(1000):
        now += 0.1
        limit.answered(0.1, 2, now)
    assert START == limit.current()


def test_a_pool_that_is_never_idle_is_measured_at_half_of_its_limit_now_and_then() -> None:
    limit = AdaptiveLimit(SPEC, a_table(), 0)
    now = run(limit, servers=100, windows=10)
    seen = []
    for _ in range(int(2 * PROBE_S / SPEC.window_s)):
        now = run(limit, servers=100, windows=1, now=now)
        seen.append(limit.current())
    halved = [at for at in range(1, len(seen)) if seen[at] <= seen[at - 1] * 0.6]
    assert 1 <= len(halved) <= 3


def test_a_pool_whose_work_has_become_longer_gets_its_limit_back() -> None:
    """Not its queue is longer but every answer: the next measured base says so."""
    limit = AdaptiveLimit(SPEC, a_table(), 0)
    now = run(limit, servers=100, windows=300)
    run(limit, servers=100, windows=300, service_s=0.3, now=now)
    assert 90 <= limit.current()


def test_answers_that_take_no_time_raise_it() -> None:
    limit = AdaptiveLimit(SPEC, a_table(), 0)
    run(limit, servers=1, windows=6, service_s=0.0)
    assert START < limit.current()


def test_all_workers_have_one_and_each_window_is_one_of_theirs() -> None:
    table = a_table()
    first, second = AdaptiveLimit(SPEC, table, 0), AdaptiveLimit(SPEC, table, 0)
    now = 100.0
    for _ in range(5):
        now += SPEC.window_s
        for _ in range(MIN_SAMPLES):
            first.answered(0.1, START, now)
    moved = table.get(0, LIMIT)
    assert first.current() == second.current()
    now += SPEC.window_s / 2
    for _ in range(MIN_SAMPLES):  # within the same window
        second.answered(0.1, START, now)
    assert moved == table.get(0, LIMIT)


@pytest.mark.interpreted
def test_who_sees_too_late_that_the_window_is_over_leaves_it_to_the_other() -> None:
    class Slow(Table):
        """Another worker moves the limit just before us."""

        def swap(self, row: int, cell: int, before: int, value: int) -> bool:
            return False

    table = Slow(bytearray(Table.size_bytes(1, 1)), 1)
    limit = AdaptiveLimit(SPEC, table, 0)
    for _ in range(MIN_SAMPLES):
        limit.answered(0.1, START, 100.0)
    assert 0 == table.get(0, LIMIT)
    assert 0 == limit.samples


def test_other_bounds_hold_at_once() -> None:
    limit = AdaptiveLimit(SPEC, a_table(), 0)
    run(limit, servers=100, windows=300)
    limit.adopt(AdaptiveSpec(least=5, most=50))
    assert 50 == limit.current()

"""The histogram of times: exact where it says so, within 0.05 % elsewhere, whatever comes in."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.simulate.latencies import Latencies

ERROR = 0.00051
LEAST, BINS = 1e-6, 35_000  # as the module has them


def filled(values: list[float]) -> Latencies:
    times = Latencies()
    for value in values:
        times.add(value)
    return times


def test_of_nothing_everything_is_0() -> None:
    times = Latencies()
    assert (0, 0.0, 0.0, []) == (times.count, times.mean(), times.quantile(0.99), times.above())


@given(st.lists(st.floats(1e-5, 1e8), min_size=1, max_size=60), st.floats(0.0, 1.0))
def test_a_percentile_is_the_value_of_its_rank(values: list[float], share: float) -> None:
    times = filled(values)
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    assert exact == pytest.approx(times.quantile(share), rel=ERROR)
    assert (max(values), len(values)) == (times.largest, times.count)
    assert sum(values) / len(values) == pytest.approx(times.mean())


@given(st.lists(st.floats(1e-5, 1e8), min_size=1, max_size=60))
def test_the_curve_says_how_many_took_longer(values: list[float]) -> None:
    points = filled(values).above()
    assert points == sorted(points, key=lambda point: (point[0], -point[1]))
    assert 0.0 == points[-1][1]
    for time, above in points:
        # A value of the same bin may lie on either side.
        longer = sum(value > time * (1 + 2 * ERROR) for value in values) / len(values)
        at_least = sum(value >= time * (1 - 2 * ERROR) for value in values) / len(values)
        assert longer <= above + 1e-9
        assert above <= at_least + 1e-9


def test_what_is_below_or_beyond_the_bins_is_counted_in_the_outer_ones() -> None:
    times = filled([0.0, LEAST / 2, 1e12])
    assert 0.0 == times.quantile(0.5)
    assert times.quantile(1.0) == pytest.approx(LEAST * math.exp((BINS - 1.5) / 1000))
    assert (3, 1e12) == (times.count, times.largest)


def test_no_percentile_is_above_the_largest() -> None:
    assert 1.0 == filled([1.0]).quantile(0.999) or filled([1.0]).quantile(0.999) < 1.0
    assert filled([3.0] * 10).quantile(1.0) <= 3.0

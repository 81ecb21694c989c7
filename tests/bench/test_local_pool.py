"""What LocalPool is measured by: each way does all its tasks, and one that loses some is an error."""

import pytest

from bench.failure import BenchError
from bench.local_pool import GOAL, WAYS, Rate, _check, figure, measure, table
from bench.table import lifecycle_cells


@pytest.mark.real
def test_each_way_is_measured_once_a_round() -> None:
    rates = list(measure(1, tasks=500))
    assert [*WAYS] == [rate.way for rate in rates]
    assert [500, 500, 500, 10, 500] == [rate.tasks for rate in rates]
    assert all(rate.per_s > 0 and rate.cpu_us > 0 for rate in rates)
    assert len(WAYS) == table(rates).row_count


def test_the_median_of_the_rounds_meets_the_goal_or_not() -> None:
    for per_s, word in ((GOAL, "met"), (GOAL - 1, "missed")):
        rates = [Rate(way, 100, found, 5.0) for way in WAYS for found in (1.0, per_s, 1e9)]
        cells = list(table(rates).columns[-1].cells)
        assert [f"≥ 15,000: {word}"] * len(WAYS) == cells


def test_a_lost_result_is_an_error() -> None:
    _check(3, 6)
    with pytest.raises(BenchError, match="the results of 3 tasks add up to 5"):
        _check(3, 5)


@pytest.mark.real
@pytest.mark.slow
def test_it_is_a_row_of_the_table_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.local_pool.TASKS", 200)
    ((name, value, goal),) = lifecycle_cells([figure(1, (0,))])
    assert "a tiny task through LocalPool, two processes, wall" == name
    assert value.endswith(" µs")
    assert goal.startswith("≤ 67 µs: ")

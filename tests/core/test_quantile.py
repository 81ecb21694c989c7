"""A quantile of the latest response times."""

import random

import pytest

from steelyard.core.quantile import ENOUGH, EVERY, KEPT, UNKNOWN, Quantile


def test_nothing_is_said_before_there_are_enough() -> None:
    quantile = Quantile(0.95)
    for _ in range(ENOUGH - 1):
        quantile.add(1.0)
    assert UNKNOWN == quantile.value
    quantile.add(1.0)
    assert 1.0 == quantile.value


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_it_is_that_of_the_latest_ones(share: float) -> None:
    times = [random.Random(3).random() for _ in range(4 * KEPT)]
    quantile = Quantile(share)
    for seconds in times:
        quantile.add(seconds)
    assert sorted(times[-KEPT:])[int(share * KEPT)] == quantile.value


def test_what_is_long_ago_is_forgotten() -> None:
    quantile = Quantile(0.95)
    for _ in range(KEPT):
        quantile.add(9.0)
    for _ in range(KEPT):
        quantile.add(1.0)
    assert 1.0 == quantile.value


def test_it_is_looked_up_anew_after_some_answers_only() -> None:
    quantile = Quantile(0.5)
    for _ in range(ENOUGH):
        quantile.add(1.0)
    for _ in range(EVERY - 1):
        quantile.add(5.0)
    assert 1.0 == quantile.value
    quantile.add(5.0)
    assert 5.0 == quantile.value


def test_the_share_of_all_is_the_slowest() -> None:
    quantile = Quantile(0.9999)
    for number in range(ENOUGH):
        quantile.add(float(number))
    assert ENOUGH - 1 == quantile.value

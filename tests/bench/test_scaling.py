"""bench/scaling.py: several workers are compared with one, round by round."""

from pathlib import Path

import pytest

from bench.balancers import BALANCERS, FLOOR
from bench.rounds import Stage
from bench.scaling import Scaling, measured, ratio, with_workers

STAGE = Stage((*BALANCERS, FLOOR), (1, 2, 3), Path(), 0, 1, rounds=4, seconds=3)


def test_the_number_of_workers_is_said_to_steelyard() -> None:
    assert ("--workers", "2") == with_workers(2).command[-2:]


def test_it_is_measured_only_where_steelyard_is() -> None:
    without = Stage((BALANCERS[0],), (1, 2, 3), Path(), 0, 1, rounds=1, seconds=1)
    assert [True, False] == [measured(stage) for stage in (STAGE, without)]


def test_the_ratio_is_made_within_the_rounds() -> None:
    """A machine that got twice as slow between two rounds changes nothing."""
    slow = [Scaling(2, 1, 10, 40.0), Scaling(2, 2, 10, 41.0)]
    quick = [Scaling(1, 1, 10, 20.0), Scaling(1, 2, 10, 20.5)]
    assert pytest.approx(1.025) == ratio([*slow, *quick])
    assert None is ratio([Scaling(1, 1, 10, 20.0)])

"""bench/picks.py: what is measured is what was asked for, and every built-in policy is."""

import pytest

from bench.picks import GOALS_US, PickCost, count, measure_one
from steelyard.core.policy import names, registered

OURS = [name for name in names() if registered(name).ours]


@pytest.mark.parametrize("name", OURS)
def test_every_policy_can_be_measured(name: str) -> None:
    cost = measure_one(name, 10, rounds=1, picks=160)
    assert (name, 10, None) == (cost.policy, cost.backends, cost.rebuild_ms)
    assert 0.0 <= cost.pick_us < 1000.0


def test_a_rebuild_is_measured_where_there_are_many_backends() -> None:
    cost = measure_one("round_robin", 10_000, rounds=1, picks=16)
    assert cost.rebuild_ms is not None
    assert cost.rebuild_ms > 0.0


def test_a_figure_for_every_policy_and_size_is_announced() -> None:
    assert len(OURS) * len(GOALS_US) == count()


def test_goals_are_met_up_to_their_limit() -> None:
    assert [True, False] == [PickCost("random", 10, cost_us, None).met for cost_us in (1.0, 1.01)]
    assert [True, False] == [PickCost("random", 10_000, 2.0, ms).met for ms in (100.0, 100.1)]
    assert PickCost("maglev", 10_000, 2.0, 500.0).met

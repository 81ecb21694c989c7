"""bench/lifecycle.py: figures with goals, and the configuration that a reload is measured with."""

from bench.lifecycle import BACKENDS, Figure, all_met
from bench.lifecycle import _many as many
from steelyard.control import config


def test_a_figure_meets_its_goal_up_to_the_limit() -> None:
    assert [True, False, None] == [Figure("a", value, "s", goal).met for value, goal in ((1, 1), (1.1, 1), (9, None))]


def test_one_missed_goal_is_enough() -> None:
    good, missed = Figure("a", 1, "s", 1), Figure("b", 2, "s", 1)
    assert [True, False] == [all_met([good, Figure("c", 5, "s")]), all_met([good, missed])]


def test_the_large_configuration_is_right_and_only_its_first_backend_is_ever_asked() -> None:
    spec = config.loads(many(8080, 9000, 3))
    (pool,) = spec.pools
    assert BACKENDS == len(pool.backends)
    assert [0] == [backend.port - 9000 for backend in pool.backends if backend.tier == 0]
    assert {3} == {backend.weight for backend in pool.backends[1:]}

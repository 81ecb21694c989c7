"""core/policies/random.py: unbiased draws, and the less loaded of a few."""

from collections import Counter
from itertools import combinations
from math import sqrt

import pytest

from steelyard.core.policies.random import MISSES
from steelyard.core.policy import Pick
from tests.fakes_core import a_policy, scripted, seeded, served

DRAWS = 4_000


def near(expected: float, counted: int, draws: int = DRAWS) -> bool:
    """Within 5 standard deviations of a binomial: one false alarm in a million, and these draws are seeded."""
    return abs(counted - expected * draws) <= 5 * sqrt(draws * expected * (1 - expected))


def test_random_follows_the_weights() -> None:
    policy, _ = a_policy("random", [5, 3, 0, 2])
    counted = Counter(served(policy, Pick(seeded(1)), DRAWS))
    assert {"0", "1", "3"} == set(counted)
    assert near(0.5, counted["0"])
    assert near(0.3, counted["1"])
    assert near(0.2, counted["3"])


def test_each_point_of_the_weights_laid_end_to_end_is_its_owners() -> None:
    policy, _ = a_policy("random", [2, 1, 3])
    assert list("001222") == served(policy, Pick(scripted(0, 1, 2, 3, 4, 5)), 6)


@pytest.mark.parametrize("dead", [1, 29])
def test_random_among_the_available_follows_their_weights(dead: int) -> None:
    """By drawing again, and (with 29 of 32 dead) by drawing among the available ones."""
    policy, backends = a_policy("random", [1] * dead + [5, 3, 2])
    for backend in backends[:dead]:
        backend.set_healthy(False)
    counted = Counter(served(policy, Pick(seeded(2)), DRAWS))
    assert near(0.5, counted[str(dead)])
    assert near(0.3, counted[str(dead + 1)])
    assert near(0.2, counted[str(dead + 2)])


def test_too_many_misses_end_in_a_draw_among_the_available_ones() -> None:
    policy, backends = a_policy("random", [9, 2, 1])
    backends[0].set_healthy(False)
    assert ["2"] == served(policy, Pick(scripted(*[0] * MISSES, 2)), 1)


@pytest.mark.parametrize("choices", [1, 2, 3, 7])
@pytest.mark.parametrize("dead", [0, 2, 30])
def test_all_alike_every_available_one_has_the_same_chance(choices: int, dead: int) -> None:
    policy, backends = a_policy("power_of_two", [1] * (5 + dead), choices=choices)
    for backend in backends[5:]:
        backend.set_healthy(False)
    counted = Counter(served(policy, Pick(seeded(3)), DRAWS))
    assert {"0", "1", "2", "3", "4"} == set(counted)
    assert all(near(0.2, count) for count in counted.values())


@pytest.mark.parametrize("dead", [0, 3, 40])
def test_two_distinct_ones_are_drawn_all_pairs_alike(dead: int) -> None:
    """Loads 0, 1, 2, 3: the winner of a pair tells how often it was drawn. 3 of 6 pairs, 2 of 6, 1 of 6, none."""
    policy, backends = a_policy("power_of_two", [1] * (4 + dead))
    for load, backend in enumerate(backends[:4]):
        for _ in range(load):
            backend.begin()
    for backend in backends[4:]:
        backend.set_healthy(False)
    counted = Counter(served(policy, Pick(seeded(4)), DRAWS))
    wins = Counter(str(min(pair)) for pair in combinations(range(4), 2))
    for host in "0123":
        assert near(wins[host] / 6, counted[host])


def test_as_many_choices_as_backends_finds_the_least_loaded() -> None:
    policy, backends = a_policy("power_of_two", [1, 1, 1, 1], choices=4)
    for backend in (backends[0], backends[1], backends[3]):
        backend.begin()
    assert ["2"] * 20 == served(policy, Pick(seeded(5)), 20)


def test_load_is_in_flight_per_weight() -> None:
    policy, backends = a_policy("power_of_two", [1, 3])
    backends[0].begin()
    backends[1].begin()
    backends[1].begin()
    assert ["1"] * 20 == served(policy, Pick(seeded(6)), 20)
    backends[1].begin()
    backends[1].begin()
    assert ["0"] * 20 == served(policy, Pick(seeded(6)), 20)


def test_ties_go_to_the_one_that_has_had_fewer_requests_per_weight() -> None:
    """So an idle pool follows the weights, though nobody is ever loaded."""
    policy, backends = a_policy("power_of_two", [3, 1])
    pick = Pick(seeded(7))
    for _ in range(400):
        backend = policy.pick(pick)
        assert backend is not None
        backend.begin()
        backend.finish(False)
    assert abs(300 - backends[0].requests) <= 2


def test_the_longest_queue_is_far_shorter_than_by_pure_chance() -> None:
    """n balls into n bins: about ln n / ln ln n by chance, about ln ln n / ln 2 by two choices (here 3.6 and 2.8)."""
    longest = {}
    for name in ("random", "power_of_two"):
        policy, backends = a_policy(name, [1] * 1000)
        pick = Pick(seeded(8))
        for _ in range(1000):
            backend = policy.pick(pick)
            assert backend is not None
            backend.begin()
        longest[name] = max(backend.in_flight for backend in backends)
    assert longest["power_of_two"] <= 3
    assert longest["random"] >= 5

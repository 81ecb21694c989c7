"""core/policies/random.py: unbiased draws, and the less loaded of a few."""

from collections import Counter
from itertools import combinations
from math import log, sqrt

import pytest

from steelyard.core.policies.random import MISSES
from steelyard.core.policy import Pick
from steelyard.core.table import REQUESTS
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


def test_random_keeps_many_different_weights_by_chi_square() -> None:
    """100 weights, 20,000 draws: chi-square has mean 99 and a standard deviation of 14; 5 of them are 170.

    All alike instead of by weight would make it some 5000.
    """
    weights = [at % 7 + 1 for at in range(100)]
    policy, _ = a_policy("random", weights)
    counted = Counter(served(policy, Pick(seeded(9)), 20_000))
    expected = [20_000 * weight / sum(weights) for weight in weights]
    chi_square = sum((counted[str(at)] - expected[at]) ** 2 / expected[at] for at in range(100))
    assert chi_square <= 99 + 5 * sqrt(2 * 99)


@pytest.mark.parametrize("gone", [1, 29])
@pytest.mark.parametrize("how", ["dead", "full"])
def test_random_among_the_available_follows_their_weights(gone: int, how: str) -> None:
    """The dead are not drawn; full ones are drawn again, and (29 of 32) at last those alone that are not full."""
    policy, backends = a_policy("random", [1] * gone + [5, 3, 2], limit=1)
    for backend in backends[:gone]:
        if how == "dead":
            backend.set_healthy(False)
        else:
            backend.begin()
    counted = Counter(served(policy, Pick(seeded(2)), DRAWS))
    assert near(0.5, counted[str(gone)])
    assert near(0.3, counted[str(gone + 1)])
    assert near(0.2, counted[str(gone + 2)])


def test_the_dead_are_not_drawn_and_come_back_when_they_are_up() -> None:
    policy, backends = a_policy("random", [9, 2, 1])
    backends[0].set_healthy(False)
    assert list("112") == served(policy, Pick(scripted(0, 1, 2)), 3)
    backends[0].set_healthy(True)
    assert list("012") == served(policy, Pick(scripted(8, 9, 11)), 3)


def test_too_many_misses_end_in_a_draw_among_the_available_ones() -> None:
    policy, backends = a_policy("random", [9, 2, 1], limit=1)
    backends[0].begin()
    assert ["2"] == served(policy, Pick(scripted(*[0] * MISSES, 2)), 1)
    backends[1].begin()
    backends[2].begin()
    assert policy.pick(Pick(scripted(*[0] * MISSES))) is None


def test_a_large_pool_draws_longer_before_it_looks_at_everyone() -> None:
    """A 16th of 320 are 20 draws; the twentieth one hits."""
    policy, backends = a_policy("random", [1] * 320, limit=1)
    backends[0].begin()
    assert ["7"] == served(policy, Pick(scripted(*[0] * 19, 7)), 1)
    assert ["8"] == served(policy, Pick(scripted(*[0] * 20, 7)), 1)  # of the 319 others the eighth


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


def test_load_comes_before_the_number_of_requests() -> None:
    """The busy one has had one request, the idle one ten."""
    policy, backends = a_policy("power_of_two", [1, 1])
    backends[0].begin()
    for _ in range(10):
        backends[1].begin()
        backends[1].finish(False)
    assert ["1"] * 20 == served(policy, Pick(seeded(12)), 20)


def test_one_good_draw_is_not_two() -> None:
    """Nine misses after it: then two are drawn of those that may be taken, and the other one is the less loaded."""
    policy, backends = a_policy("power_of_two", [1] * 40, limit=2)
    for backend in backends[:38] * 2 + [backends[38]]:
        backend.begin()
    assert ["39"] == served(policy, Pick(scripted(38, *[0] * (MISSES + 1), 0, 0)), 1)


@pytest.mark.parametrize("name", ["random", "power_of_two"])
def test_after_a_rebuild_the_new_ones_are_drawn(name: str) -> None:
    policy, backends = a_policy(name, [1, 1, 1])
    served(policy, Pick(seeded(13)), 1)
    policy.rebuild(backends[2:])
    assert ["2"] * 9 == served(policy, Pick(seeded(13)), 9)
    policy.rebuild(backends)
    assert {"0", "1", "2"} == set(served(policy, Pick(seeded(13)), 99))


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


def test_full_and_tried_ones_are_drawn_again() -> None:
    policy, backends = a_policy("power_of_two", [1] * 40, limit=1)
    for backend in backends[:37]:
        backend.begin()
    counted = Counter(served(policy, Pick(seeded(10), tried=[backends[37]]), DRAWS))
    assert {"38", "39"} == set(counted)
    assert near(0.5, counted["38"])


def test_the_dead_are_not_drawn_by_power_of_two_either() -> None:
    """Of 100 two are up: two draws find both."""
    policy, backends = a_policy("power_of_two", [1] * 100)
    for backend in backends[2:]:
        backend.set_healthy(False)
    backends[0].begin()
    assert ["1"] == served(policy, Pick(scripted(0, 0)), 1)


def test_requests_of_years_are_compared_by_weight() -> None:
    """10^13 requests times a share of 10^6 do not fit into 63 bits: 3 x 10^13 of weight 1000 are the fewer."""
    policy, backends = a_policy("power_of_two", [1000, 100])
    served(policy, Pick(seeded(11)), 1)  # from here on they are counted
    for backend, requests in zip(backends, (3 * 10**13, 10**13), strict=True):
        policy.table.add_mine(backend.row, REQUESTS, requests)
    assert ["0"] * 20 == served(policy, Pick(seeded(11)), 20)


def test_one_that_was_away_has_nothing_to_catch_up_on() -> None:
    """Two idle ones, of which one missed a thousand requests: back again, it gets every other one."""
    policy, backends = a_policy("power_of_two", [1, 1])
    pick = Pick(seeded(12))

    def ask(times: int) -> Counter[str]:
        got = Counter[str]()
        for _ in range(times):
            backend = policy.pick(pick)
            assert backend is not None
            backend.begin()
            backend.finish(False)
            got[backend.host] += 1
        return got

    backends[0].set_healthy(False)
    assert Counter({"1": 1000}) == ask(1000)
    backends[0].set_healthy(True)
    assert Counter({"0": 50, "1": 50}) == ask(100)


BALLS = 10_000


def thrown(name: str, choices: int) -> list[int]:
    """So many balls into as many bins: how many bins have at least 0, 1, 2... of them."""
    policy, backends = a_policy(name, [1] * BALLS, choices=choices)
    request = Pick(seeded(8))
    for _ in range(BALLS):
        backend = policy.pick(request)
        assert backend is not None
        backend.begin()
    counted = Counter(backend.in_flight for backend in backends)
    return [sum(counted[more] for more in range(load, max(counted) + 1)) for load in range(max(counted) + 1)]


def in_the_limit(choices: int) -> list[float]:
    """The share of bins with at least 0, 1... 6 balls, for bins without number: s_i' = s_(i-1)^d - s_i^d, for one
    unit of time (Mitzenmacher 2001, 3.2; d = 1 is the Poisson distribution). In steps of 1/4096: exact to 0.001.
    """
    shares = [1.0] + [0.0] * 6
    for _ in range(4096):
        flows = [share**choices for share in shares]
        shares = [1.0] + [shares[load] + (flows[load - 1] - flows[load]) / 4096 for load in range(1, 7)]
    return shares


@pytest.mark.parametrize(
    ("name", "choices"), [("random", 1), ("power_of_two", 1), ("power_of_two", 2), ("power_of_two", 3)]
)
def test_balls_into_bins_fill_them_as_the_theory_says(name: str, choices: int) -> None:
    """Each count within 5 standard deviations of a binomial one (the bins hinder each other, so it is even less)."""
    bins = thrown(name, choices)
    for load, share in enumerate(in_the_limit(choices)):
        there = bins[load] if load < len(bins) else 0
        assert abs(there - share * BALLS) <= 5 * sqrt(BALLS * share * (1 - share)) + 0.001 * BALLS * share + 1


def test_the_longest_queue_of_one_choice_is_about_ln_n_by_ln_ln_n() -> None:
    """4.15 for 10,000, the leading term; 36 bins or so have 5, and the chance of a bin with 12 is 1 in 100,000."""
    assert log(BALLS) / log(log(BALLS)) < len(thrown("random", 1)) - 1 < 12


@pytest.mark.parametrize("choices", [2, 3])
def test_the_longest_queue_of_d_choices_is_about_ln_ln_n_by_ln_d(choices: int) -> None:
    """3.2 and 2.0 for 10,000, give or take one: what the theory leaves open is O(1)."""
    assert abs(len(thrown("power_of_two", choices)) - 1 - log(log(BALLS)) / log(choices)) <= 1

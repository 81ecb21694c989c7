"""The simulator against the published theory: the supermarket model, M/M/1, and M/M/n as the bound below all.

Mitzenmacher 2001: n queues with Poisson arrivals at rate lambda n and exponential service of mean 1, of which each
request joins the shortest of d drawn ones, have for n to infinity the mean time sum over i >= 1 of
lambda^((d^i - d) / (d - 1)). At n = 1000 it is less than 0.1 % above that at 0.9, and some 1 % at 0.99.

Bounds: the mean moves with the load that chance really made, whose relative standard deviation over N requests is
sqrt(2 / N) (arrivals and work); so the mean's is sqrt(2 / N) x lambda T'(lambda) / T(lambda). Below, N is chosen so
that what is allowed (3 %, and 10 % at 0.99) is at least three of them.
"""

import math

import pytest

from steelyard.core.spec import PolicySpec
from tests.simulate.worlds import ran

pytestmark = [pytest.mark.slow, pytest.mark.compiled]


def supermarket(load: float, choices: int) -> float:
    """The mean time in the system, in mean service times."""
    if choices == 1:
        return 1.0 / (1.0 - load)
    powers: list[int] = [(choices**i - choices) // (choices - 1) for i in range(1, 30)]
    return math.fsum(math.pow(load, power) for power in powers)


def erlang_c(servers: int, load: float) -> float:
    """The mean time in the system of M/M/n: one queue for all servers, so that none idles while a request waits."""
    offered = servers * load
    blocked = 1.0  # Erlang's B by its recursion, from no server on
    for count in range(1, servers + 1):
        blocked = offered * blocked / (count + offered * blocked)
    waits = blocked / (1.0 - load * (1.0 - blocked))
    return 1.0 + waits / (servers * (1.0 - load))


def policy(choices: int) -> PolicySpec:
    return PolicySpec("random") if choices == 1 else PolicySpec("power_of_two", choices=choices)


@pytest.mark.parametrize(
    ("load", "choices", "published"),
    [
        *((0.5, 1, 2.0), (0.5, 2, 1.2657), (0.5, 3, 1.1252)),
        *((0.7, 1, 3.333), (0.7, 2, 1.6145), (0.7, 3, 1.3568)),
        *((0.9, 1, 10.00), (0.9, 2, 2.6141), (0.9, 3, 2.0279)),
        *((0.99, 1, 100.0), (0.99, 2, 5.4320), (0.99, 3, 3.8578)),
    ],
)
def test_the_formula_gives_the_published_table(load: float, choices: int, published: float) -> None:
    assert published == pytest.approx(supermarket(load, choices), rel=2e-4)


@pytest.mark.parametrize("choices", [1, 2, 3])
@pytest.mark.parametrize(("load", "requests"), [(0.5, 1_000_000), (0.7, 1_000_000), (0.9, 2_000_000)])
def test_a_thousand_queues_are_within_3_percent_of_the_published_mean(load: float, choices: int, requests: int) -> None:
    engine = ran(policy(choices), backends=1000, requests=requests, load=load)
    assert supermarket(load, choices) == pytest.approx(engine.latencies.mean(), rel=0.03)


@pytest.mark.parametrize("choices", [2, 3])
def test_near_saturation_they_are_within_10_percent(choices: int) -> None:
    """The longest of the thousand queues is then about 10 and 7: after 600 units of time that has settled."""
    engine = ran(policy(choices), backends=1000, requests=3_000_000, load=0.99, warmup=0.2)
    assert supermarket(0.99, choices) == pytest.approx(engine.latencies.mean(), rel=0.1)


def test_one_choice_near_saturation_is_within_10_percent() -> None:
    """With one choice the queues know nothing of each other, and ten of them have the mean of a thousand.

    Such a queue forgets in 1 / (1 - sqrt(0.99))^2 = 40,000 units of time how it began: a thousand of them would need
    100 million requests; ten need 4 million for the warmup, a tenth. The mean over N requests of an M/M/1 queue has a
    relative standard deviation of 2 / ((1 - load) sqrt N): 3.3 %.
    """
    engine = ran(policy(1), backends=10, requests=40_000_000, load=0.99, warmup=0.1)
    assert 100.0 == pytest.approx(engine.latencies.mean(), rel=0.1)


def test_a_hundred_queues_are_as_far_above_the_limit_as_is_known() -> None:
    """About 0.1 % at 0.5 and 9 % at 0.99 (d = 2); the last with a standard deviation of 2 %."""
    low = ran(policy(2), backends=100, requests=2_000_000, load=0.5)
    high = ran(policy(2), backends=100, requests=3_000_000, load=0.99, warmup=0.2)
    assert 1.001 == pytest.approx(low.latencies.mean() / supermarket(0.5, 2), abs=0.005)
    assert 1.09 == pytest.approx(high.latencies.mean() / supermarket(0.99, 2), abs=0.06)


def test_join_the_shortest_queue_beats_two_choices_and_one_queue_for_all_bounds_both() -> None:
    shortest, two = (
        ran(name, backends=100, requests=500_000, load=0.9).latencies.mean()
        for name in ("least_connections", "power_of_two")
    )
    bound = erlang_c(100, 0.9)
    assert 1.022 == pytest.approx(bound, abs=0.001)
    assert bound < shortest < 1.1 * bound
    assert 2 * shortest < two


def test_one_server_is_the_mm1_queue_in_all_percentiles() -> None:
    """Its times are exponential with mean 1 / (1 - load): p50 is ln 2 of it, p99 ln 100, p99.9 ln 1000."""
    engine = ran(policy(1), backends=1, requests=4_000_000, load=0.7)
    for share in (0.5, 0.9, 0.99, 0.999):
        assert -math.log(1 - share) / 0.3 == pytest.approx(engine.latencies.quantile(share), rel=0.05)


def test_erlangs_formula_is_right_where_it_can_be_done_by_hand() -> None:
    """One server is M/M/1; of two at load 1/2 a third of the requests waits (C = 1/3)."""
    assert 1 / (1 - 0.7) == pytest.approx(erlang_c(1, 0.7))
    assert 1 + (1 / 3) / (2 * 0.5) == pytest.approx(erlang_c(2, 0.5))

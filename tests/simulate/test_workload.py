"""The requests: drawn from the named laws, the same for every policy, or as a trace has them."""

import math
from array import array
from typing import Any, NamedTuple

import pytest

from steelyard.simulate.scenario import Service
from steelyard.simulate.trace import Trace
from steelyard.simulate.workload import Workload
from tests.simulate.worlds import a_scenario

DRAWS = 20_000


class Drawn(NamedTuple):
    at: float
    service: float
    luck: int
    key: int
    worker: int


def drawn(**more: Any) -> list[Drawn]:
    workload = Workload(a_scenario(**{"requests": DRAWS, **more}))
    found = []
    while True:
        found.append(Drawn(workload.at, workload.service, workload.luck, workload.key, workload.worker))
        if not workload.draw():
            return found


def a_trace(starts: list[float], durations: list[float] | None = None) -> Trace:
    count = len(starts)
    return Trace(
        "trace",
        array("d", starts),
        None if durations is None else array("d", durations),
        [f"10.0.0.{at}" for at in range(count)],
        ["host"] * count,
        ["POST"] * count,
        [f"/{at}?user=u{at}&user=x" for at in range(count)],
    )


def test_poisson_arrivals_come_at_the_load_that_was_asked_for() -> None:
    """Capacity 4, load 0.8: 3.2 a unit of time; gaps without memory have a standard deviation of their mean."""
    found = drawn(load=0.8)
    assert DRAWS == len(found)
    gaps = [later.at - earlier.at for earlier, later in zip([Drawn(0, 0, 0, 0, 0), *found], found, strict=False)]
    assert abs(found[-1].at / DRAWS * 3.2 - 1) <= 5 / math.sqrt(DRAWS)
    spread = sum((gap * 3.2 - 1) ** 2 for gap in gaps) / DRAWS
    assert abs(spread - 1) <= 5 * math.sqrt(8 / DRAWS)  # fourth central moment 9: the variance of (x - 1)^2 is 8


def test_uniform_arrivals_are_evenly_spaced() -> None:
    assert [0.625, 1.25, 1.875, 2.5] == pytest.approx(
        [one.at for one in drawn(load=0.4, arrivals="uniform", requests=4)]
    )


@pytest.mark.parametrize(
    ("service", "variance"),
    # Bimodal: 90 % take 1/1.9 and 10 % take 10/1.9, so that the mean of the squares is (0.9 + 10) / 1.9^2.
    [(Service("exponential"), 1.0), (Service("fixed"), 0.0), (Service("bimodal"), 10.9 / 1.9**2 - 1)],
)
def test_service_times_have_mean_1_and_the_variance_of_their_law(service: Service, variance: float) -> None:
    found = [one.service for one in drawn(service=service)]
    assert abs(sum(found) / DRAWS - 1) <= 5 * math.sqrt(variance / DRAWS)
    # The variance of a square of these is at most 8: its mean is within 5 x sqrt(8 / 20,000) = 0.1.
    assert variance == pytest.approx(sum((one - 1) ** 2 for one in found) / DRAWS, abs=0.1)


def test_bimodal_means_this_many_times_as_long_for_that_share() -> None:
    found = {round(one.service, 9) for one in drawn(service=Service("bimodal", 21.0, 0.05))}
    assert {0.5, 10.5} == found
    long = sum(one.service > 1 for one in drawn(service=Service("bimodal", 21.0, 0.05)))
    assert abs(long - 0.05 * DRAWS) <= 5 * math.sqrt(0.05 * 0.95 * DRAWS)


def test_a_stream_depends_on_nothing_but_the_seed() -> None:
    """So that all policies, and runs of another load or service, meet requests that are comparable."""
    usual, other = drawn(seed=1), drawn(seed=2)
    faster, fixed = drawn(seed=1, load=0.4), drawn(seed=1, service=Service("fixed"), keys=5)
    assert usual == drawn(seed=1)
    assert all(one.at != two.at and one.luck != two.luck for one, two in zip(usual, other, strict=True))
    assert [one[1:] for one in usual] == [one[1:] for one in faster]
    assert [(one.at, one.luck) for one in usual] == [(one.at, one.luck) for one in fixed]


def test_keys_are_all_alike_without_zipf() -> None:
    counts = [0] * 8
    for one in drawn(keys=8):
        counts[one.key] += 1
    assert max(abs(count - DRAWS / 8) for count in counts) <= 5 * math.sqrt(DRAWS / 8)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_keys_follow_zipfs_law(exponent: float) -> None:
    counts = [0] * 20
    for one in drawn(keys=20, zipf=exponent):
        counts[one.key] += 1
    weights = [1 / rank**exponent for rank in range(1, 21)]
    for count, weight in zip(counts, weights, strict=True):
        share = weight / sum(weights)
        assert abs(count - DRAWS * share) <= 5 * math.sqrt(DRAWS * share)


def test_workers_get_requests_by_chance() -> None:
    counts = [0] * 4
    for one in drawn(workers=4):
        counts[one.worker] += 1
    assert max(abs(count - DRAWS / 4) for count in counts) <= 5 * math.sqrt(DRAWS / 4)
    assert {0} == {one.worker for one in drawn(requests=10)}


RECORDED = {"arrivals": "trace", "service": Service("trace")}


def test_a_trace_keeps_its_own_times_in_the_unit_of_its_mean_service() -> None:
    trace = a_trace([0.0, 1.0, 4.0], [0.1, 0.2, 0.3])
    found = drawn(**RECORDED, trace=trace, requests=3, load=None, service_s=0.2)
    assert [(0.0, 0.5), (5.0, 1.0), (20.0, 1.5)] == [pytest.approx((one.at, one.service)) for one in found]
    assert [0, 1, 2] == [one.key for one in found]


def test_a_trace_is_stretched_to_the_load_that_was_asked_for() -> None:
    """Three requests, and the next after 6 s: 0.5 a second. Load 0.8 of 4 is 3.2 a unit of time."""
    found = drawn(**RECORDED, trace=a_trace([0.0, 1.0, 4.0], [0.1, 0.2, 0.3]), requests=3, load=0.8)
    assert [0.0, 0.5 / 3.2, 2.0 / 3.2] == pytest.approx([one.at for one in found])


def test_a_trace_that_is_too_short_begins_anew() -> None:
    found = drawn(**RECORDED, trace=a_trace([0.0, 1.0], [0.1, 0.1]), requests=5, load=None, service_s=0.1)
    assert [0.0, 10.0, 20.0, 30.0, 40.0] == pytest.approx([one.at for one in found])
    assert [0, 1, 0, 1, 0] == [one.key for one in found]


def test_a_trace_can_give_the_clients_alone() -> None:
    found = drawn(trace=a_trace([0.0, 1.0]), requests=3)
    assert [0, 1, 0] == [one.key for one in found]
    assert [one.at for one in drawn(requests=3)] == [one.at for one in found]


def test_what_a_policy_may_ask_about_a_recorded_request() -> None:
    workload = Workload(a_scenario(trace=a_trace([0.0, 1.0])))
    names = ("client_ip", "path", "url", "host", "method", "query:user", "query:none", "header:X")
    expected = ["10.0.0.1", "/1?user=u1&user=x", "/1?user=u1&user=x", "host", "POST", "u1", None, None]
    assert expected == [workload.text(name, 1) for name in names]


def test_what_a_policy_may_ask_about_a_drawn_request() -> None:
    workload = Workload(a_scenario(keys=1 << 20))
    names = ("client_ip", "path", "url", "host", "method", "header:X-User")
    expected = ["10.1.2.3", "/66051", "/66051", "simulated", "GET", "66051"]
    assert expected == [workload.text(name, 0x010203) for name in names]

"""core/policies/latency.py: soonest first, without starving anybody, and without falling for quick failures."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from steelyard.core.backend import Backend
from steelyard.core.learning import FLOOR_EVERY
from steelyard.core.policies.latency import LeastResponseTime
from steelyard.core.policy import Pick, Policy
from steelyard.core.spec import PolicySpec
from tests.core.policies.arrivals import MEAN_S, Scene, quick
from tests.fakes_core import a_policy, seeded, served

BOTH = pytest.mark.parametrize("name", ["least_response_time", "peak_ewma"])
# And prequal, which must not have the two failures either.
ALL = pytest.mark.parametrize("name", ["least_response_time", "peak_ewma", "prequal"])
RATE = 200.0  # of 500 that five servers of 10 ms can do
FAIR = 0.2


class Naive(Policy):
    """What these policies are not: the mean of the last answers, whatever they were, and nothing else."""

    def __init__(self, spec: PolicySpec, table: Any, row: int) -> None:
        super().__init__(spec, table, row)
        self.latency_s: dict[Backend, float] = {}

    def pick(self, request: Pick) -> Backend | None:
        return min(self.candidates(request), key=lambda one: self.latency_s.get(one, MEAN_S) * (one.in_flight + 1))

    def ended(self, request: Pick, backend: Backend, failed: bool, latency_s: float, now: float) -> None:
        before = self.latency_s.get(backend, latency_s)
        self.latency_s[backend] = 0.7 * before + 0.3 * latency_s


def five(name: str) -> Scene:
    policy, backends = a_policy("least_response_time" if name == "naive" else name, [1] * 5)
    if name == "naive":
        policy = Naive(policy.spec, policy.table, 0)
        policy.rebuild(backends)
    return Scene(policy, backends, RATE)


def first_is_slow(scene: Scene) -> None:
    """The first answer of server 0 takes 2 s, all others are alike: 1500 requests."""
    taken: list[float] = []

    def serve(index: int, now: float, chance: Random) -> tuple[float, bool]:
        if index == 0 and not taken:
            taken.append(now)
            return 2.0, False
        return quick(index, now, chance)

    scene.run(1500 / RATE, serve)


def fails_fast(index: int, now: float, chance: Random) -> tuple[float, bool]:
    return (0.0001, True) if index == 0 else quick(index, now, chance)


def answers(policy: Policy, backend: Backend, latency_s: float, times: int = 1000, failed: bool = False) -> None:
    for _ in range(times):
        policy.ended(Pick(seeded(0)), backend, failed, latency_s, 0.0)


def learnt_only(policy: Policy, picks: int = FLOOR_EVERY - 1) -> Counter[str]:
    """Picks in a row between two turns of the floor: what was learnt alone."""
    policy.table.fetch_add(policy.row, 5, -policy.table.get(policy.row, 5))
    pick = Pick(seeded(1))
    return Counter(backend.host for _ in range(picks) if (backend := policy.pick(pick)) is not None)


# Starvation.


def test_a_naive_policy_starves_a_server_for_one_slow_answer() -> None:
    """The failure itself: a handful of 1500 requests, and then none for ever."""
    scene = five("naive")
    first_is_slow(scene)
    assert 10 >= scene.share(0) * len(scene.picked)
    scene.run(60.0)
    assert 0.0 == scene.share(0, 10.0)


@ALL
def test_one_slow_answer_does_not_keep_a_server_out(name: str) -> None:
    """At least half of the floor while it is remembered; after 40 s it is one of five again.

    Nearly equal servers do not share evenly, over short times: whichever was a little quicker of late gets more. Over
    a minute each had between 0.14 and 0.27 of all, when that was written.
    """
    scene = five(name)
    first_is_slow(scene)
    assert FAIR / FLOOR_EVERY / 2 <= scene.share(0)
    scene.run(40.0)
    well = scene.now
    scene.run(60.0)
    assert FAIR / 2 <= scene.share(0, well) <= 2 * FAIR


@BOTH
def test_a_server_that_is_slow_for_good_keeps_the_floor_and_little_more(name: str) -> None:
    """Ten times slower than the others: least_response_time gives it between half the floor and twice it."""
    scene = five(name)

    def serve(index: int, now: float, chance: Random) -> tuple[float, bool]:
        takes, failed = quick(index, now, chance)
        return (10 * takes, failed) if index == 0 else (takes, failed)

    scene.run(20.0, serve)
    began = scene.now
    scene.run(60.0, serve)
    share = scene.share(0, began)
    assert FAIR / FLOOR_EVERY / 2 <= share
    # The heaviest queues of the others make it worth a look now and then.
    assert share <= (2 if name == "least_response_time" else 3) * FAIR / FLOOR_EVERY


def test_a_server_that_hangs_takes_no_more_than_its_share_with_it() -> None:
    """It never answers: of 2,000 requests one waits there, or two."""
    scene = five("least_response_time")
    scene.run(10.0, lambda index, now, chance: (1e6, False) if index == 0 else quick(index, now, chance))
    assert 2 >= scene.backends[0].in_flight


# The black hole.


def test_a_naive_policy_sends_most_requests_to_a_server_that_fails_fast() -> None:
    scene = five("naive")
    scene.run(60.0, fails_fast)
    assert 0.5 < scene.share(0)


@ALL
def test_a_server_that_fails_fast_keeps_the_floor_and_little_more_and_comes_back_when_it_is_well(name: str) -> None:
    """Its floor is 1 in 160; it may have three times that, since its failures are forgiven in time like all else."""
    scene = five(name)
    scene.run(10.0, fails_fast)
    sick = scene.now
    scene.run(60.0, fails_fast)
    assert FAIR / FLOOR_EVERY / 2 <= scene.share(0, sick) <= 3 * FAIR / FLOOR_EVERY
    scene.run(40.0)
    well = scene.now
    scene.run(60.0)
    assert FAIR / 2 <= scene.share(0, well) <= 2 * FAIR


@BOTH
def test_failures_weigh_by_their_share(name: str) -> None:
    """Alike but for every second request failing: with one more in flight the other is as good."""
    policy, backends = a_policy(name, [1, 1])
    for backend in backends:
        answers(policy, backend, MEAN_S)
    answers(policy, backends[0], MEAN_S, failed=True)
    assert {"1"} == set(learnt_only(policy))
    backends[1].begin()
    backends[1].begin()
    assert {"0"} == set(learnt_only(policy))


# The formula.


@BOTH
def test_the_quicker_is_the_better(name: str) -> None:
    policy, backends = a_policy(name, [1, 1])
    answers(policy, backends[0], 0.020)
    answers(policy, backends[1], 0.010)
    assert {"1"} == set(learnt_only(policy))
    answers(policy, backends[0], 0.001, 20_000)
    answers(policy, backends[1], 0.5)
    assert {"0"} == set(learnt_only(policy))


@BOTH
def test_requests_in_flight_multiply_the_time(name: str) -> None:
    """10 ms with two in flight are 30: more than 25 ms idle; with one in flight 20, less."""
    policy, backends = a_policy(name, [1, 1])
    answers(policy, backends[0], 0.025)
    answers(policy, backends[1], 0.010)
    backends[1].begin()
    assert {"1"} == set(learnt_only(policy))
    backends[1].begin()
    assert {"0"} == set(learnt_only(policy))


@BOTH
def test_a_weight_divides_it(name: str) -> None:
    """Of weight 3 with 25 ms: 8.3 a unit, less than 10; with one in flight 16.7, more."""
    policy, backends = a_policy(name, [1, 3])
    answers(policy, backends[0], 0.010)
    answers(policy, backends[1], 0.025)
    assert {"1"} == set(learnt_only(policy))
    backends[1].begin()
    assert {"0"} == set(learnt_only(policy))


@BOTH
def test_held_requests_spread_by_weight(name: str) -> None:
    """All alike quick, 300 requests that do not end: by weight, but for the floor (1 in 32) and a pair's luck."""
    policy, backends = a_policy(name, [5, 3, 2])
    pick = Pick(seeded(3))
    for _ in range(300):
        backend = policy.pick(pick)
        assert backend is not None
        backend.begin()
    for backend, expected in zip(backends, (150, 90, 60), strict=True):
        assert abs(backend.in_flight - expected) <= 6


@BOTH
def test_an_idle_pool_of_which_nothing_is_known_shares_evenly(name: str) -> None:
    policy, backends = a_policy(name, [1] * 5)
    pick = Pick(seeded(4))
    for _ in range(500):
        backend = policy.pick(pick)
        assert backend is not None
        backend.begin()
        backend.finish(False)
    assert all(abs(backend.requests - 100) <= 5 for backend in backends)


def test_where_nothing_tells_them_apart_they_rotate() -> None:
    """Nobody counts these requests: without a rotation the first would get all."""
    policy, _ = a_policy("least_response_time", [1] * 5)
    assert list("0123401234") == served(policy, Pick(seeded(1)), 10)


@pytest.mark.parametrize("size", [64, 65])
def test_up_to_64_backends_every_one_is_looked_at_and_of_more_three(size: int) -> None:
    """One of them is quick. Of 65, 3 are drawn: it is among them in 3 of 65 picks (5 standard deviations)."""
    policy, backends = a_policy("least_response_time", [1] * size)
    for backend in backends:
        answers(policy, backend, 0.001 if backend is backends[40] else 1.0, 100)
    picks = 4_000 if size == 64 else 12_000
    found = learnt_only(policy, picks)["40"]
    if size == 64:
        assert picks * (1 - 1 / FLOOR_EVERY) <= found
    else:
        expected = picks * ((1 - 1 / FLOOR_EVERY) * 3 / size + 1 / FLOOR_EVERY / size)
        assert abs(found - expected) <= 5 * expected**0.5


def test_peak_ewma_compares_two_distinct_ones() -> None:
    """Times 1, 2, 3, 4: the quickest wins 3 of 6 pairs, the next 2, then 1, then none (but for the floor)."""
    policy, backends = a_policy("peak_ewma", [1] * 4)
    for backend, latency_s in zip(backends, (1.0, 2.0, 3.0, 4.0), strict=True):
        answers(policy, backend, latency_s, 10)
    picks = 6400
    found = learnt_only(policy, picks)
    for index, part in enumerate((3 / 6, 2 / 6, 1 / 6, 0)):
        expected = picks * ((1 - 1 / FLOOR_EVERY) * part + 1 / FLOOR_EVERY / 4)
        assert abs(found[str(index)] - expected) <= 5 * (picks * 0.25) ** 0.5


def test_peak_ewma_shuns_a_server_after_one_slow_answer_and_comes_back() -> None:
    """One answer of 1 s among a thousand of 10 ms: for the mean hardly news, for the peak all that counts."""
    shares = {}
    for name in ("least_response_time", "peak_ewma"):
        policy, backends = a_policy(name, [1, 1])
        for backend in backends:
            answers(policy, backend, MEAN_S)
        policy.ended(Pick(seeded(0)), backends[0], False, 1.0, 0.0)
        for _ in range(5):
            backends[1].begin()
        shares[name] = set(learnt_only(policy))
    assert {"least_response_time": {"0"}, "peak_ewma": {"1"}} == shares


@pytest.mark.parametrize(("decay_s", "found"), [(1000.0, "1"), (0.1, "0")])
def test_the_time_of_decay_is_an_option(decay_s: float, found: str) -> None:
    """After 2 s of one nothing is left of a slow past, and the idle one is the better; of the other nearly all."""
    made, backends = a_policy("least_response_time", [1, 1])
    policy = LeastResponseTime(PolicySpec("least_response_time", decay_s=decay_s), made.table, 0)
    policy.rebuild(backends)
    answers(policy, backends[0], 1.0, 10)
    answers(policy, backends[1], 0.010, 10)
    backends[1].begin()
    backend = policy.pick(Pick(seeded(1), now=2.0))
    assert backend is not None
    assert found == backend.host

"""core/learning.py: what is remembered, whose turn the floor is, and the cheapest of some backends."""

from collections import Counter

import pytest

from steelyard.core.backend import Backend
from steelyard.core.learning import FLOOR_EVERY, Learning
from steelyard.core.policy import UNKNOWN_S, Pick, Policy
from steelyard.core.table import IN_FLIGHT
from tests.fakes_core import a_policy, seeded

# The three that learn; what they share is tested through them.
EVERY = pytest.mark.parametrize("name", ["least_response_time", "peak_ewma", "prequal"])


def lapse(
    policy: Policy, backends: list[Backend], index: int, latency_s: float, times: int = 50, now: float = 0.0
) -> None:
    """So many answers that took so long."""
    for _ in range(times):
        policy.ended(Pick(seeded(0), now=now), backends[index], False, latency_s, now)


def index_of(backend: Backend | None) -> int:
    assert backend is not None
    return int(backend.host)


def turns(policy: Policy, backends: list[Backend], laps: int) -> list[int]:
    """Whom the floor's picks went to, one a lap, when by what was learnt nobody but the last would get any."""
    for index in range(len(backends) - 1):
        lapse(policy, backends, index, 1000.0)
    lapse(policy, backends, len(backends) - 1, 0.001)
    pick = Pick(seeded(1))
    found = [policy.pick(pick) for _ in range(laps * FLOOR_EVERY)]
    return [index_of(backend) for backend in found[FLOOR_EVERY - 1 :: FLOOR_EVERY]]


@pytest.mark.parametrize("size", [2, 5, 13])
def test_one_in_32_picks_goes_in_turn_and_nobody_waits_for_three_rounds(size: int) -> None:
    """Steps of the golden section: within 3 n turns each has had one, and over 40 rounds each has 40, give or take 3.

    (Three-distance theorem: n steps leave no gap of more than 2.6 / n of the line.)
    """
    policy, backends = a_policy("least_response_time", [1] * size)
    whose = turns(policy, backends, 40 * size)
    for start in range(0, len(whose) - 3 * size, size):
        assert size == len(set(whose[start : start + 3 * size]))
    counted = Counter(whose)
    assert all(37 <= counted[index] <= 43 for index in range(size))


def test_all_other_picks_follow_what_was_learnt() -> None:
    policy, backends = a_policy("least_response_time", [1] * 5)
    turns(policy, backends, 1)
    pick = Pick(seeded(1))
    found = Counter(policy.pick(pick) for _ in range(10 * FLOOR_EVERY))
    assert 10 * (FLOOR_EVERY - 1) <= found[backends[4]]


def test_the_floor_follows_the_weights() -> None:
    policy, backends = a_policy("least_response_time", [5, 3, 0, 2])
    counted = Counter(turns(policy, backends, 200))
    assert {0, 1, 3} == set(counted)
    for index, expected in ((0, 100), (1, 60), (3, 40)):
        assert abs(counted[index] - expected) <= 4


@EVERY
def test_every_policy_that_learns_has_the_floor(name: str) -> None:
    """20 laps over 4 backends: 5 turns each, within 2; what was learnt alone would give the slow ones none."""
    policy, backends = a_policy(name, [1] * 4)
    counted = Counter(turns(policy, backends, 20))
    assert all(3 <= counted[index] for index in range(3))


@EVERY
def test_the_floor_never_picks_one_that_may_not_be_taken(name: str) -> None:
    policy, backends = a_policy(name, [1] * 4)
    backends[1].set_healthy(False)
    assert {0, 2, 3} >= set(turns(policy, backends, 40))
    pick = Pick(seeded(1), tried=[backends[3]])
    assert {backends[0], backends[2]} == {policy.pick(pick) for _ in range(10 * FLOOR_EVERY)}


def test_one_that_holds_its_share_of_what_is_in_flight_is_owed_nothing() -> None:
    """It hangs: each request to it is one lost. Two of 2 in flight are more than a quarter of (2 + 1)."""
    policy, backends = a_policy("least_response_time", [1] * 4)
    for _ in range(2):
        backends[0].begin()
        policy.table.add_mine(0, IN_FLIGHT, 1)
    assert 0 not in turns(policy, backends, 40)
    for _ in range(6):
        policy.table.add_mine(0, IN_FLIGHT, 1)
    assert 0 in turns(policy, backends, 10)


def test_by_weight_its_share_is_larger() -> None:
    policy, backends = a_policy("least_response_time", [6, 1, 1])
    for _ in range(2):
        backends[0].begin()
        policy.table.add_mine(0, IN_FLIGHT, 1)
    assert 0 in turns(policy, backends, 10)


def test_the_cursor_of_all_workers_says_whose_turn_it_is() -> None:
    policy, backends = a_policy("least_response_time", [1] * 4)
    alone = turns(policy, backends, 20)
    again, others = a_policy("least_response_time", [1] * 4)
    twin = type(again)(again.spec, again.table, 0)
    twin.rebuild(others)
    for each in (again, twin):
        for index in range(4):
            lapse(each, others, index, 0.001 if index == 3 else 1000.0)
    pick = Pick(seeded(1))
    together = [(twin if turn % 2 else again).pick(pick) for turn in range(20 * FLOOR_EVERY)]
    assert alone == [index_of(backend) for backend in together[FLOOR_EVERY - 1 :: FLOOR_EVERY]]


@EVERY
def test_what_was_learnt_about_those_that_stay_is_kept(name: str) -> None:
    policy, backends = a_policy(name, [1] * 4)
    assert isinstance(policy, Learning)
    lapse(policy, backends, 1, 7.0)
    mean_s = policy.together.mean_s()
    policy.rebuild(backends[1:3])
    assert [backends[1], backends[2]] == [seat.backend for seat in policy.seats]
    assert 6.0 < policy.seat_of[backends[1]].cost_s(mean_s, 0.0)
    assert 50.0 == policy.seat_of[backends[1]].answers
    assert 0.0 == policy.seat_of[backends[2]].answers
    assert backends[0] not in policy.seat_of


@EVERY
def test_a_new_backend_begins_at_the_mean(name: str) -> None:
    policy, backends = a_policy(name, [1] * 3)
    assert isinstance(policy, Learning)
    policy.rebuild(backends[:2])
    lapse(policy, backends, 0, 1.0)
    lapse(policy, backends, 1, 3.0)
    policy.rebuild(backends)
    assert pytest.approx(2.0) == policy.together.mean_s()
    assert pytest.approx(2.0) == policy.seat_of[backends[2]].cost_s(policy.together.mean_s(), 0.0)


@EVERY
def test_answers_of_those_that_are_gone_teach_nothing(name: str) -> None:
    policy, backends = a_policy(name, [1] * 3)
    assert isinstance(policy, Learning)
    policy.rebuild(backends[:2])
    lapse(policy, backends, 2, 9.0)
    assert 0.0 == policy.together.answers


@EVERY
def test_failures_are_learnt_with_and_without_an_answer(name: str) -> None:
    policy, backends = a_policy(name, [1] * 3)
    assert isinstance(policy, Learning)
    policy.ended(Pick(seeded(0)), backends[0], True, UNKNOWN_S, 0.0)
    policy.ended(Pick(seeded(0)), backends[0], True, 0.001, 0.0)
    assert pytest.approx(1 / 3) == policy.seats[0].success(0.0)
    assert pytest.approx(1 / 3) == policy.together.success(0.0)
    assert 1.0 == policy.together.mean_s()


@EVERY
def test_a_client_that_leaves_says_only_that_the_answer_takes_longer(name: str) -> None:
    """Nothing when it left soon; and the mean of all is made of answers alone."""
    policy, backends = a_policy(name, [1] * 3)
    assert isinstance(policy, Learning)
    lapse(policy, backends, 1, 1.0, now=5.0)
    left = Pick(seeded(0), now=5.0)
    policy.ended(left, backends[0], False, UNKNOWN_S, 5.5)
    assert 0.0 == policy.seats[0].answers
    policy.ended(left, backends[0], False, UNKNOWN_S, 8.0)
    assert 1.0 == policy.seats[0].answers
    assert 1.4 < policy.seats[0].cost_s(1.0, 8.0)
    assert 1.0 == policy.seats[0].success(8.0)
    assert pytest.approx(1.0) == policy.together.mean_s()

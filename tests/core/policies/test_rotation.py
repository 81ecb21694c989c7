"""core/policies/rotation.py: exact turns, one cursor, and smoothness."""

from collections import Counter
from itertools import accumulate
from math import gcd, log2

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from steelyard.core.backend import Backend
from steelyard.core.policies.rotation import MIN_PATIENCE, SMOOTH_STEPS, golden_step, smooth_order
from steelyard.core.policy import Pick, create
from steelyard.core.spec import BackendSpec, PolicySpec
from steelyard.core.table import CURSOR, Table
from tests.fakes_core import a_policy, no_chance, served

PICK = Pick(no_chance)
WEIGHTS = st.lists(st.integers(1, 30), min_size=1, max_size=8)


def test_one_two_three_one_two_three() -> None:
    policy, _ = a_policy("round_robin", [1, 1, 1])
    assert list("012012012") == served(policy, PICK, 9)


def test_equal_weights_are_strict_rotation_whatever_they_are() -> None:
    policy, _ = a_policy("round_robin", [500, 500, 500])
    assert list("012012") == served(policy, PICK, 6)
    policy, backends = a_policy("round_robin", [1000] * 100)
    assert [backend.host for backend in backends] == served(policy, PICK, 100)


def test_five_one_one_is_nginxs_order() -> None:
    policy, _ = a_policy("round_robin", [5, 1, 1])
    assert list("0010200" * 2) == served(policy, PICK, 14)


def test_a_common_divisor_changes_nothing() -> None:
    policy, _ = a_policy("round_robin", [50, 10, 10])
    assert list("0010200") == served(policy, PICK, 7)


def test_a_dead_one_is_skipped_and_the_rotation_goes_on_from_the_one_found() -> None:
    policy, backends = a_policy("round_robin", [1, 1, 1])
    backends[1].set_healthy(False)
    assert list("0202") == served(policy, PICK, 4)
    backends[1].set_healthy(True)
    assert list("012") == served(policy, PICK, 3)


def test_a_tried_one_is_skipped() -> None:
    policy, backends = a_policy("round_robin", [1, 1, 1])
    assert list("202") == served(policy, Pick(no_chance, tried=backends[:1] + backends[1:2]), 1) + served(
        policy, Pick(no_chance, tried=backends[1:2]), 2
    )


def test_weight_0_gets_no_turn() -> None:
    policy, _ = a_policy("round_robin", [1, 0, 2])
    assert list("202202") == served(policy, PICK, 6)


def test_several_workers_rotate_as_one() -> None:
    buffer = bytearray(Table.size_bytes(4, 2))
    policies = []
    for worker in range(2):
        table = Table(buffer, 4, 2, worker)
        policy = create(PolicySpec("round_robin"), table, 0)
        policy.rebuild([Backend(BackendSpec(str(index), 80), table, index + 1) for index in range(3)])
        policies.append(policy)
    assert list("012012") == [served(policies[turn % 2], PICK, 1)[0] for turn in range(6)]


def test_a_weight_that_changes_counts_from_the_next_rebuild() -> None:
    policy, backends = a_policy("round_robin", [1, 1])
    heavier = [Backend(BackendSpec("0", 80, 3), policy.table, 1), backends[1]]
    policy.rebuild(heavier)
    assert Counter({"0": 6, "1": 2}) == Counter(served(policy, PICK, 8))


@given(WEIGHTS)
def test_every_round_honours_the_weights_exactly_and_nobody_is_more_than_one_turn_ahead(weights: list[int]) -> None:
    """Ahead: a backend that is chosen has a positive credit, so that after paying it owes less than one round."""
    order = smooth_order(weights)
    total = sum(weights)
    assert weights == [order.count(index) for index in range(len(weights))]
    had = [0] * len(weights)
    for turn, index in enumerate(order, 1):
        had[index] += 1
        assert had[index] * total < turn * weights[index] + total


@given(WEIGHTS, st.data())
def test_with_some_of_them_dead_the_others_keep_their_weights(weights: list[int], data: st.DataObject) -> None:
    """Exactly so over a round: each turn of a dead one goes to the next, and no turn of a live one is lost."""
    alive = data.draw(st.sets(st.integers(0, len(weights) - 1), min_size=1))
    policy, backends = a_policy("round_robin", weights)
    for index, backend in enumerate(backends):
        backend.set_healthy(index in alive)
    unit = gcd(*weights)
    picks = sum(weights[index] for index in alive) // unit
    # Any gap of dead turns is shorter than the patience here: at most 7 x 30 of them.
    assert {str(index): weights[index] // unit for index in alive} == Counter(served(policy, PICK, picks))


def test_a_long_row_of_dead_ones_of_equal_weight_still_keeps_the_order() -> None:
    policy, backends = a_policy("round_robin", [1] * (2 * MIN_PATIENCE))
    for backend in backends:
        backend.set_healthy(backend in (backends[0], backends[5], backends[-1]))
    assert ["0", "5", backends[-1].host] * 2 == served(policy, PICK, 6)


def test_beyond_its_patience_the_turn_goes_round_the_available_ones_by_weight() -> None:
    policy, backends = a_policy("round_robin", [2000, 3, 1])
    backends[0].set_healthy(False)
    assert {"1", "2"} == set(served(policy, PICK, 40))
    counted = Counter(served(policy, PICK, 400))
    assert 2.5 < counted["1"] / counted["2"] < 3.5


def test_where_nobody_is_available_a_pick_ends() -> None:
    policy, backends = a_policy("round_robin", [2000, 3, 1])
    for backend in backends:
        backend.set_healthy(False)
    assert policy.pick(PICK) is None


def test_the_limit_of_written_orders_is_where_it_is_said_to_be() -> None:
    """Two backends: 32768 turns are still written down, and smooth."""
    half = SMOOTH_STEPS // 2
    policy, _ = a_policy("round_robin", [half - 1, 1])
    assert ["0"] * 9 == served(policy, PICK, 9)
    policy.table.set(0, CURSOR, half // 2 - 1)  # the middle: there the smooth order has the light one
    assert 1 == served(policy, PICK, 3).count("1")


@pytest.mark.parametrize("weights", [[97, 1] * 150 + [3], [100, 99, 7] * 60, list(range(1, 200))])
def test_large_pools_honour_their_weights_exactly_and_stay_near_them_all_the_way(weights: list[int]) -> None:
    """Orders too long to write down: exact over a round, within log2(turns) of the share at any moment."""
    turns = sum(weights)
    assert turns * len(weights) > SMOOTH_STEPS
    policy, _ = a_policy("round_robin", weights)
    watched = {0, len(weights) // 2, len(weights) - 1}
    had = Counter[str]()
    for turn, host in enumerate(served(policy, PICK, turns), 1):
        had[host] += 1
        if int(host) in watched:
            assert abs(had[host] - turn * weights[int(host)] / turns) <= log2(turns)
    assert {str(index): weight for index, weight in enumerate(weights)} == had


@given(st.integers(257, 10_000_000))
@example(9_931_299)  # the step next to the golden section would stand nearly still for 3843 turns
@example(3_884_455)
def test_golden_steps_meet_every_point_and_soon_fall_everywhere(turns: int) -> None:
    """Coprime: every point once a round. Even: among the first n points no gap is wider than a few turns / n."""
    step = golden_step(turns)
    assert 1 == gcd(step, turns)
    assert 0 < step < turns
    n = min(turns, 3000)
    points = sorted(turn * step % turns for turn in range(n))
    gaps = [after - before for before, after in zip(points, [*points[1:], turns], strict=True)]
    assert max(gaps) <= 20 * turns / n + 1


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=6), st.integers(0, 10**12))
def test_turns_far_along_the_cursor_are_the_same_turns(weights: list[int], rounds: int) -> None:
    policy, _ = a_policy("round_robin", weights)
    turns = list(accumulate(weights))[-1] // gcd(*weights)
    assume(turns * rounds < 2**62)
    at_first = served(policy, PICK, 5)
    policy.table.set(0, CURSOR, turns * rounds)
    assert at_first == served(policy, PICK, 5)

"""core/turns.py: exact turns, one cursor, and smoothness."""

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from math import gcd, log2

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from steelyard.core.backend import Backend
from steelyard.core.policy import Pick
from steelyard.core.spec import BackendSpec
from steelyard.core.table import CURSOR, Table
from steelyard.core.turns import MAX_TURNS, MIN_PATIENCE, SMOOTH_STEPS, Turns, coarse, golden_step, smooth_order
from tests.fakes_core import a_table, no_chance

PICK = Pick(no_chance)
WEIGHTS = st.lists(st.integers(1, 30), min_size=1, max_size=8)


def a_rotation(shares: Sequence[int], limit: int | None = None) -> tuple[Turns, list[Backend], Table]:
    """Turns over backends `0`, `1`, ... of these shares, in thousandths of a weight."""
    table = a_table(len(shares) + 1)
    backends = [Backend(BackendSpec(str(index), 80, 1, limit), table, index + 1, 0) for index in range(len(shares))]
    for backend, share in zip(backends, shares, strict=True):
        backend.set_share(share)
    turns = Turns(table, 0)
    turns.lay(backends)
    return turns, backends, table


def taken(turns: Turns, count: int, request: Pick = PICK) -> list[str]:
    """The hosts of so many turns."""
    hosts = []
    for _ in range(count):
        backend = turns.next(request)
        assert backend is not None
        hosts.append(backend.host)
    return hosts


class Counting(Pick):
    """A request that counts how many backends were looked at for it."""

    looks = 0

    def may_take(self, backend: Backend) -> bool:
        self.looks += 1
        return super().may_take(backend)


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


def test_without_backends_or_shares_nobody_has_a_turn() -> None:
    for shares in ([], [0, 0]):
        turns, _, _ = a_rotation(shares)
        assert turns.next(PICK) is None


@pytest.mark.parametrize("others", [3, 200])
def test_a_slow_start_is_right_and_smooth(others: int) -> None:
    """A share of 350 and one of 1000 beside many of 5000: exact over a round, written down or walked.

    Written (3 others): nobody more than one turn ahead. Walked: within log2(turns), as always there.
    """
    shares = [350, 1000] + [5000] * others
    turns, _, _ = a_rotation(shares)
    a_round = sum(shares) // 50
    assert (a_round * len(shares) > SMOOTH_STEPS) is (others == 200)
    had = Counter[str]()
    ahead = log2(a_round) if others == 200 else 1
    for turn, host in enumerate(taken(turns, a_round), 1):
        had[host] += 1
        assert had[host] - turn * shares[int(host)] / sum(shares) < ahead
    assert {str(index): share // 50 for index, share in enumerate(shares)} == had


def test_the_share_counts_and_not_the_weight() -> None:
    turns, backends, _ = a_rotation([1000, 1000])
    backends[1].set_share(3000)
    turns.lay(backends)
    assert Counter({"0": 2, "1": 6}) == Counter(taken(turns, 8))


@given(WEIGHTS, st.data())
def test_with_some_of_them_dead_the_others_keep_their_weights(weights: list[int], data: st.DataObject) -> None:
    """Exactly so over a round: each turn of a dead one goes to the next, and no turn of a live one is lost."""
    alive = data.draw(st.sets(st.integers(0, len(weights) - 1), min_size=1))
    turns, backends, _ = a_rotation(weights)
    for index, backend in enumerate(backends):
        backend.set_healthy(index in alive)
    unit = gcd(*weights)
    picks = sum(weights[index] for index in alive) // unit
    assert {str(index): weights[index] // unit for index in alive} == Counter(taken(turns, picks))


@given(WEIGHTS, st.data())
def test_the_order_is_the_written_one_without_the_dead(weights: list[int], data: st.DataObject) -> None:
    """Also when they die and come back along the way: each turn goes on from the one before."""
    turns, backends, _ = a_rotation(weights)
    unit = gcd(*weights)
    order = smooth_order([weight // unit for weight in weights])
    if len(set(weights)) == 1:
        order = list(range(len(weights)))
    at = 0
    for _ in range(4):
        alive = data.draw(st.sets(st.integers(0, len(weights) - 1), min_size=1))
        for index, backend in enumerate(backends):
            backend.set_healthy(index in alive)
        for _ in range(data.draw(st.integers(1, 5))):
            while order[at % len(order)] not in alive:
                at += 1
            assert [str(order[at % len(order)])] == taken(turns, 1)
            at += 1


@pytest.mark.parametrize("light", [1, 3])
def test_the_dead_cost_no_looks(light: int) -> None:
    """Written down (all alike) or walked: where one of a thousand is alive, it is the first one looked at."""
    turns, backends, _ = a_rotation([light] + [1] * 998 + [light])
    for backend in backends[:-1]:
        backend.set_healthy(False)
    request = Counting(no_chance)
    assert ["999"] * 5 == taken(turns, 5, request)
    assert 5 == request.looks


@pytest.mark.parametrize("shares", [[1, 1, 1], [2000, 3, 1], [70_000, 3, 1]])
def test_where_nobody_may_be_taken_a_turn_ends(shares: list[int]) -> None:
    """Dead or full, the order written or walked."""
    turns, backends, _ = a_rotation(shares, limit=1)
    for backend in backends:
        backend.set_healthy(False)
    assert turns.next(PICK) is None
    for backend in backends:
        backend.set_healthy(True)
        backend.begin()
    assert turns.next(PICK) is None


def test_in_panic_those_count_as_up_that_answer() -> None:
    turns, backends, _ = a_rotation([1, 1, 1])
    for backend, status in zip(backends, (1, 2, 1), strict=True):  # DOWN, SILENT, DOWN
        backend.set_status(status, 0.0)
    assert turns.next(PICK) is None
    panic = Pick(no_chance)
    panic.panic = True
    assert list("0202") == taken(turns, 4, panic)
    assert turns.next(PICK) is None


@pytest.mark.parametrize("size", [3, 2 * MIN_PATIENCE])
def test_full_ones_of_equal_weight_keep_the_order(size: int) -> None:
    turns, backends, _ = a_rotation([1] * size, limit=1)
    free = {0, size // 2, size - 1}
    for index, backend in enumerate(backends):
        if index not in free:
            backend.begin()
    assert [str(index) for index in sorted(free)] * 2 == taken(turns, 2 * len(free))


@pytest.mark.parametrize("heavy", [2000, 300_000])
def test_beyond_its_patience_the_turn_goes_round_the_available_ones_by_weight(heavy: int) -> None:
    """One full backend has nearly all turns, written down or walked: the others share by weight what passes it."""
    turns, backends, _ = a_rotation([heavy, 3, 1], limit=1)
    backends[0].begin()
    counted = Counter(taken(turns, 400))
    assert {"1", "2"} == set(counted)
    assert 2.5 < counted["1"] / counted["2"] < 3.5


def test_the_limit_of_written_orders_is_where_it_is_said_to_be() -> None:
    """Two backends: 32768 turns are still written down, and smooth."""
    half = SMOOTH_STEPS // 2
    turns, _, table = a_rotation([half - 1, 1])
    assert ["0"] * 9 == taken(turns, 9)
    table.set(0, CURSOR, half // 2 - 1)  # the middle: there the smooth order has the light one
    assert 1 == taken(turns, 3).count("1")


@pytest.mark.parametrize("weights", [[97, 1] * 150 + [3], [100, 99, 7] * 60, list(range(1, 200))])
def test_large_pools_honour_their_weights_exactly_and_stay_near_them_all_the_way(weights: list[int]) -> None:
    """Orders too long to write down: exact over a round, within log2(turns) of the share at any moment."""
    a_round = sum(weights)
    assert a_round * len(weights) > SMOOTH_STEPS
    turns, _, _ = a_rotation(weights)
    watched = {0, len(weights) // 2, len(weights) - 1}
    had = Counter[str]()
    for turn, host in enumerate(taken(turns, a_round), 1):
        had[host] += 1
        if int(host) in watched:
            assert abs(had[host] - turn * weights[int(host)] / a_round) <= log2(a_round)
    assert {str(index): weight for index, weight in enumerate(weights)} == had


def test_the_walk_goes_round_the_living_alone_and_exactly_by_weight() -> None:
    weights = list(range(1, 300))
    turns, backends, _ = a_rotation(weights)
    for backend in backends[::2]:
        backend.set_healthy(False)
    alive = {backend.host: weights[int(backend.host)] for backend in backends[1::2]}
    unit = gcd(*alive.values())
    assert {host: weight // unit for host, weight in alive.items()} == Counter(
        taken(turns, sum(alive.values()) // unit)
    )


def test_a_line_too_long_to_be_counted_in_its_own_unit_is_walked_all_the_same() -> None:
    """Shares that add up to 2^35 or so without a common divisor: turn x step would not fit into 63 bits."""
    shares = [9_999_999_967, 10_000_000_019, 4_999_999_999, 10_000_000_033, 7]
    assert sum(shares) > 8 * MAX_TURNS
    turns, _, table = a_rotation(shares)
    for begin in (0, 2**62):
        table.set(0, CURSOR, begin)
        had = Counter[str]()
        for turn, host in enumerate(taken(turns, 5000), 1):
            had[host] += 1
            assert abs(had[host] - turn * shares[int(host)] / sum(shares)) <= log2(MAX_TURNS)
        assert had["4"] <= 1


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=50))
def test_a_larger_unit_moves_nobodys_share_and_forgets_nobody(shares: list[int]) -> None:
    """By more than one turn of MAX_TURNS, and what rounding up the lightest ones adds: one each."""
    counted = coarse(shares)
    assert min(counted) >= 1
    assert sum(counted) <= MAX_TURNS + len(shares)
    for share, count in zip(shares, counted, strict=True):
        assert abs(share / sum(shares) - count / sum(counted)) <= (1 + len(shares)) / MAX_TURNS
    if sum(shares) // gcd(*shares) <= MAX_TURNS:
        assert [share // gcd(*shares) for share in shares] == counted


@given(st.integers(1, 10_000_000))
@example(9_931_299)  # the step next to the golden section would stand nearly still for 3843 turns
@example(3_884_455)
@example(1)
@example(2)
def test_golden_steps_meet_every_point_and_soon_fall_everywhere(turns: int) -> None:
    """Coprime: every point once a round. Even: among the first n points no gap is wider than a few turns / n."""
    step = golden_step(turns)
    assert 1 == gcd(step, turns)
    assert 0 <= step < max(turns, 2)
    n = min(turns, 3000)
    points = sorted(turn * step % turns for turn in range(n))
    gaps = [after - before for before, after in zip(points, [*points[1:], turns], strict=True)]
    assert max(gaps) <= 20 * turns / n + 1


def test_without_anybody_alive_the_walk_has_a_step_all_the_same() -> None:
    assert 1 == golden_step(0)


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=6), st.integers(0, 10**12))
def test_turns_far_along_the_cursor_are_the_same_turns(weights: list[int], rounds: int) -> None:
    turns, _, table = a_rotation(weights)
    a_round = list(accumulate(weights))[-1] // gcd(*weights)
    assume(a_round * rounds < 2**62)
    at_first = taken(turns, 5)
    table.set(0, CURSOR, a_round * rounds)
    assert at_first == taken(turns, 5)

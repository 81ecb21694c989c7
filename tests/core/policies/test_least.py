"""core/policies/least.py: the smallest (in flight + 1) / weight, ties in rotation."""

import random
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, create
from steelyard.core.spec import BackendSpec, PolicySpec
from steelyard.core.table import IN_FLIGHT, Table
from tests.fakes_core import a_policy, no_chance, served

PICK = Pick(no_chance)


def test_idle_backends_rotate() -> None:
    policy, _ = a_policy("least_connections", [1, 1, 1])
    assert list("012012") == served(policy, PICK, 6)


def test_ties_rotate_evenly_among_the_tied_ones() -> None:
    """A look that began at cursor mod n would give the first of them three turns of four."""
    policy, backends = a_policy("least_connections", [1, 1, 1, 1])
    backends[2].begin()
    backends[3].begin()
    assert Counter({"0": 20, "1": 20}) == Counter(served(policy, PICK, 40))


def test_the_least_loaded_is_taken() -> None:
    policy, backends = a_policy("least_connections", [1, 1, 1])
    for backend in (backends[0], backends[0], backends[1]):
        backend.begin()
    assert ["2"] == served(policy, PICK, 1)
    backends[2].begin()
    backends[2].begin()
    assert ["1"] == served(policy, PICK, 1)


def test_the_request_to_come_counts_too() -> None:
    """Idle, the heavier is the better: 1/3 against 1/1; with two in flight they are alike."""
    policy, backends = a_policy("least_connections", [1, 3])
    assert list("11") == served(policy, PICK, 2)
    backends[1].begin()
    backends[1].begin()
    assert Counter({"0": 5, "1": 5}) == Counter(served(policy, PICK, 10))


def test_other_workers_requests_count() -> None:
    buffer = bytearray(Table.size_bytes(3, 2))
    here, there = Table(buffer, 3, 2, 0), Table(buffer, 3, 2, 1)
    Backend(BackendSpec("0", 80), there, 1, 0).begin()
    policy = create(PolicySpec("least_connections"), here, 0)
    policy.rebuild([Backend(BackendSpec(str(index), 80), here, index + 1, 0) for index in range(2)])
    assert list("11") == served(policy, PICK, 2)


def test_held_requests_spread_by_weight() -> None:
    policy, backends = a_policy("least_connections", [5, 3, 2])
    for _ in range(100):
        backend = policy.pick(PICK)
        assert backend is not None
        backend.begin()
    assert [50, 30, 20] == [backend.in_flight for backend in backends]


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5), st.booleans()), min_size=1, max_size=12))
def test_nobody_available_is_less_loaded_than_the_one_picked(backends: list[tuple[int, int, bool]]) -> None:
    policy, made = a_policy("least_connections", [weight for weight, _, _ in backends])
    for backend, (_, in_flight, up) in zip(made, backends, strict=True):
        backend.set_healthy(up)
        for _ in range(in_flight):
            backend.begin()
    loads = [Fraction(in_flight + 1, weight) for weight, in_flight, _ in backends]
    up_loads = [load for load, (_, _, up) in zip(loads, backends, strict=True) if up]
    for _ in range(3):
        found = policy.pick(PICK)
        if up_loads:
            assert found is not None
            assert min(up_loads) == loads[int(found.host)]
        else:
            assert found is None


@pytest.mark.parametrize("size", [50, 500])
def test_idle_backends_rotate_however_many_there_are(size: int) -> None:
    """Each once a round and in their order, by a look at each and by the tournament."""
    policy, backends = a_policy("least_connections", [1] * size)
    assert [backend.host for backend in backends] * 2 == served(policy, PICK, 2 * size)


def test_ties_rotate_evenly_among_the_tied_ones_of_many() -> None:
    """The heavier half of 200, idle; the lighter ones get nothing."""
    policy, _ = a_policy("least_connections", [1, 2] * 100)
    assert {str(at): 3 for at in range(1, 200, 2)} == Counter(served(policy, PICK, 300))


def test_many_workers_rotate_as_one() -> None:
    """200 idle backends, 4 workers in any order: still everyone once a round."""
    rng = random.Random(1)
    buffer = bytearray(Table.size_bytes(201, 4))
    policies = []
    for worker in range(4):
        table = Table(buffer, 201, 4, worker)
        policy = create(PolicySpec("least_connections"), table, 0)
        policy.rebuild([Backend(BackendSpec(str(at), 80), table, at + 1, 0) for at in range(200)])
        policies.append(policy)
    assert [str(at) for at in range(200)] * 2 == [served(rng.choice(policies), PICK, 1)[0] for _ in range(400)]


@given(st.lists(st.integers(1, 1000), min_size=65, max_size=90), st.lists(st.integers(0, 10**6), max_size=200))
def test_many_backends_are_picked_by_the_literal_rule(weights: list[int], ends: list[int]) -> None:
    """In exact fractions: of those with the smallest (in flight + 1) / weight the next one behind the last pick."""
    policy, backends = a_policy("least_connections", weights)
    held: list[Backend] = []
    behind = 0
    for number in ends:
        loads = [Fraction(backend.in_flight + 1, backend.weight) for backend in backends]
        least = min(loads)
        expected = min(
            (at for at in range(len(loads)) if loads[at] == least), key=lambda at: (at - behind) % len(loads)
        )
        found = policy.pick(PICK)
        assert backends[expected] is found
        behind = expected + 1
        found.begin()
        policy.table.add_mine(0, IN_FLIGHT, 1)
        policy.began(PICK, found)
        held.append(found)
        if number % 2:
            over = held.pop(number % len(held))
            over.finish(False)
            policy.table.add_mine(0, IN_FLIGHT, -1)
            policy.ended(PICK, over, False, 0.01, 0.0)


def test_held_requests_of_many_spread_by_weight() -> None:
    """5, 3, 2 times a hundred: a thousand requests are exactly their weights."""
    policy, backends = a_policy("least_connections", [5, 3, 2] * 100)
    for _ in range(1000):
        backend = policy.pick(PICK)
        assert backend is not None
        backend.begin()
        policy.began(PICK, backend)
    assert [5, 3, 2] * 100 == [backend.in_flight for backend in backends]


def test_quotients_that_are_equal_tie_and_others_do_not() -> None:
    """1/3 = 2/6 = 333/999, and 334/999 is more: a rounded quotient must tell neither apart nor together."""
    policy, backends = a_policy("least_connections", [3, 6, 999, 999])
    for backend, in_flight in zip(backends, (0, 1, 332, 333), strict=True):
        for _ in range(in_flight):
            backend.begin()
    assert list("012012") == served(policy, PICK, 6)


def test_a_slow_starter_gets_what_its_share_says() -> None:
    """A share of 350 beside two of 1000: 35 of 235 held."""
    policy, backends = a_policy("least_connections", [1, 1, 1])
    backends[0].set_share(350)
    policy.rebuild(backends)
    for _ in range(235):
        backend = policy.pick(PICK)
        assert backend is not None
        backend.begin()
    assert [35, 100, 100] == [backend.in_flight for backend in backends]

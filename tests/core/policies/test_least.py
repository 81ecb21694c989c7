"""core/policies/least.py: the smallest (in flight + 1) / weight, ties in rotation."""

from collections import Counter
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, create
from steelyard.core.spec import BackendSpec, PolicySpec
from steelyard.core.table import Table
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
    Backend(BackendSpec("0", 80), there, 1).begin()
    policy = create(PolicySpec("least_connections"), here, 0)
    policy.rebuild([Backend(BackendSpec(str(index), 80), here, index + 1) for index in range(2)])
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

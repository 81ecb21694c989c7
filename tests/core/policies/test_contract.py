"""What every registered policy owes: the rules in the head of core/policy.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, names
from tests.fakes_core import a_policy, no_chance, seeded

EVERY = pytest.mark.parametrize("name", names())


@EVERY
def test_without_backends_nobody_is_picked(name: str) -> None:
    policy, _ = a_policy(name, [])
    assert policy.pick(Pick(no_chance)) is None


@EVERY
def test_where_all_weights_are_0_nobody_is_picked(name: str) -> None:
    policy, _ = a_policy(name, [0, 0])
    assert policy.pick(Pick(seeded(1))) is None


@EVERY
@pytest.mark.parametrize("size", [1, 3, 40, 300])
def test_the_one_that_is_left_is_always_found(name: str, size: int) -> None:
    """Also where a policy that draws would have to be very lucky."""
    policy, backends = a_policy(name, [1] * size)
    below = seeded(2)
    for left in {0, size // 2, size - 1}:
        for backend in backends:
            backend.set_healthy(backend is backends[left])
        for key in range(8):
            assert backends[left] is policy.pick(Pick(below, key=key))


@EVERY
def test_nobody_starves(name: str) -> None:
    """All alike, released at once: over many keys everyone gets requests."""
    policy, backends = a_policy(name, [1] * 5)
    below = seeded(3)
    for key in range(1, 301):
        backend = policy.pick(Pick(below, key=key))
        assert backend is not None
        backend.begin()
        backend.finish(False)
    assert min(backend.requests for backend in backends) >= 30  # of 60 expected


@EVERY
def test_rebuilding_forgets_who_is_gone_and_finds_who_is_new(name: str) -> None:
    policy, backends = a_policy(name, [1, 2, 3, 4])
    policy.rebuild(backends[:2])
    below = seeded(4)
    assert set(backends[:2]) == {policy.pick(Pick(below, key=key)) for key in range(1, 100)} or (
        name == "least_connections"  # idle: the heavier one is the better
    )
    policy.rebuild(backends[3:])
    assert backends[3] is policy.pick(Pick(below, key=1))


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[int], list[int], list[bool], list[bool], list[bool]]:
    size = draw(st.integers(0, 20))

    def flags() -> list[bool]:
        return draw(st.lists(st.booleans(), min_size=size, max_size=size))

    weights = draw(st.lists(st.integers(0, 1000), min_size=size, max_size=size))
    in_flight = draw(st.lists(st.integers(0, 2), min_size=size, max_size=size))
    return weights, in_flight, flags(), flags(), flags()


@EVERY
@given(situations(), st.integers(0, 2**64 - 1), st.integers(1, 5), st.integers(0, 9))
def test_it_picks_somebody_lawful_if_there_is_one(
    name: str,
    situation: tuple[list[int], list[int], list[bool], list[bool], list[bool]],
    key: int,
    choices: int,
    seed: int,
) -> None:
    """Never one that is down, draining, full, of weight 0, or tried; and never nobody where there is one."""
    weights, in_flight, down, draining, tried = situation
    policy, backends = a_policy(name, weights, choices=choices, limit=2)
    for index, backend in enumerate(backends):
        backend.set_healthy(not down[index])
        backend.set_draining(draining[index])
        for _ in range(in_flight[index]):
            backend.begin()
    lawful = {
        backend
        for index, backend in enumerate(backends)
        if weights[index] and in_flight[index] < 2 and not (down[index] or draining[index] or tried[index])
    }
    were_there = [backend for index, backend in enumerate(backends) if tried[index]]
    below = seeded(seed)
    for _ in range(5):
        found: Backend | None = policy.pick(Pick(below, key=key, tried=were_there))
        assert found in lawful if lawful else found is None

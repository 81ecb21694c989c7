"""What every registered policy owes: the conformance kit over all of them, and any situation by Hypothesis.

A policy that is registered is tested here without being named; NATURES says what it promises beyond the rules.
"""

from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

import steelyard.core.policies  # noqa: F401 - registers them
from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, Policy, names, registered
from steelyard.core.spec import PolicySpec
from steelyard.core.stable import mix, unit
from steelyard.testing import PolicyConformance
from tests.fakes_core import a_policy, seeded

OURS: Final = tuple(name for name in names() if registered(name).ours)

KEYED: Final = {"keyed": True, "tolerance": 0.5}  # 160 points of a ring are off by 8 %, and by 40 % in the worst case

# Whatever a policy of which nothing is said here promises: to spread by weight, and by the key if it reads one.
NATURES: Final[dict[str, dict[str, Any]]] = {
    # Nearly all keys move.
    "hash": {**KEYED, "moves_few": False},
    # It remembers what it did in turn: another balancer's turns are others.
    "sticky_round_robin": {"keyed": True, "agrees": False, "moves_few": True, "tolerance": 0.1},
    "least_connections": {"counts_load": True},
    "power_of_two": {"counts_load": True},
    # They keep a floor of traffic to every backend, so that they learn when one is well again.
    "least_response_time": {"counts_load": True, "least_share": 0.5, "tolerance": 0.5, "spreads_when_idle": False},
    "peak_ewma": {"counts_load": True, "least_share": 0.5, "tolerance": 0.5},
    # Hot is who is above most others: of few backends that are alike but for their load, none need be. Weights bend
    # its rule and do not fix shares.
    "prequal": {"tolerance": 0.5, "honours_weights": False},
    "first": {"spreads": False, "honours_weights": False},
}

# Options under which the same holds; for a policy that is not there they are for nobody.
VARIANTS: Final[list[tuple[str, dict[str, Any]]]] = [
    ("power_of_two", {"choices": 3}),
    ("hash", {"bound": 1.25}),
    ("consistent_hash", {"bound": 1.25}),
    ("maglev", {"bound": 1.25}),
    ("maglev", {"table_size": 2039}),
    ("rendezvous", {"bound": 1.25}),
]


class Conformance(PolicyConformance):
    """The kit, with answers for those that ask backends for their load."""

    def between_requests(self, policy: Policy, now: float) -> None:
        targets, heard = getattr(policy, "targets", None), getattr(policy, "heard", None)
        if targets is not None and heard is not None:
            for backend in targets():
                heard(backend, backend.in_flight, 0.009 + 0.002 * unit(mix(backend.key, int(now * 1000))), now)


def kit(name: str, options: Mapping[str, Any]) -> type[PolicyConformance]:
    """A test class for one policy."""
    nature = NATURES.get(name, KEYED if "key" in registered(name).options else {})
    title = "".join(word.capitalize() for word in name.split("_"))
    label = "".join(f"With{key.title().replace('_', '')}{value}".replace(".", "_") for key, value in options.items())
    body = {"policy": PolicySpec(name, **options), **nature, "__module__": __name__}
    return type(f"Test{title}{label}", (Conformance,), body)


def readable(name: str, options: Mapping[str, Any]) -> bool:
    return name in OURS and set(options) <= set(registered(name).options)


globals().update(
    (made.__name__, made)
    for made in (
        kit(name, options)
        for name, options in [*((name, dict[str, Any]()) for name in OURS), *VARIANTS]
        if readable(name, options)
    )
)

EVERY = pytest.mark.parametrize("name", OURS)


@EVERY
def test_it_is_tested_by_the_kit(name: str) -> None:
    assert any(
        isinstance(test, type)
        and issubclass(test, PolicyConformance)
        and test.__dict__.get("policy") == PolicySpec(name)
        for test in globals().values()
    )


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

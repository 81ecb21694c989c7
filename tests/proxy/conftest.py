"""Worlds for the protocol tests: after each test everything is ended, and nothing may be left over."""

from collections.abc import Callable, Iterator

import pytest

from steelyard.core import policy
from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, Policy
from tests.fakes import World
from tests.proxy.datagrams import Datagrams


@pytest.fixture
def make() -> Iterator[Callable[..., World]]:
    """Makes a World of given settings, which is checked when the test has passed."""
    made: list[World] = []

    def build(*args: object, **settings: object) -> World:
        made.append(World(*args, **settings))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for world in made:
        world.over()


@pytest.fixture
def world(make: Callable[..., World]) -> World:
    """A World with one backend and every default."""
    return make()


@pytest.fixture
def datagrams() -> Iterator[Callable[..., Datagrams]]:
    """Makes a UDP listener of given settings, which is checked when the test is over."""
    made: list[Datagrams] = []

    def build(*args: object, **settings: object) -> Datagrams:
        made.append(Datagrams(*args, **settings))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for stage in made:
        stage.over()


class TooLate(Policy):
    """The first backend; and no other, as if other workers had filled it just now."""

    def pick(self, request: Pick) -> Backend | None:
        return None if request.tried else self.backends[0]


@pytest.fixture
def too_late() -> Iterator[str]:
    """The name of a policy that finds nobody for a second try; other tests know nothing of it."""
    name = "tests:too_late"
    policy.register(name, TooLate, "of a test")
    yield name
    del policy._REGISTER[name]

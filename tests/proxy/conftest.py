"""Worlds for the protocol tests: after each test everything is ended, and nothing may be left over."""

from collections.abc import Callable, Iterator

import pytest

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

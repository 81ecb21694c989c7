"""core/watch.py: what was made of the last look is kept until something has changed."""

from collections.abc import Callable

import pytest

from steelyard.core.backend import Backend
from steelyard.core.spec import BackendSpec
from steelyard.core.table import Table
from steelyard.core.watch import Watch
from tests.fakes_core import a_table


def test_the_first_look_is_always_needed_and_no_second_one() -> None:
    watch = Watch(a_table(2), 0)
    assert [True, False, False] == [watch.stale(False) for _ in range(3)]


@pytest.mark.parametrize(
    "change",
    [
        lambda backend: backend.set_healthy(False),
        lambda backend: backend.set_draining(True),
        lambda backend: backend.set_weight(3),
        lambda backend: backend.set_share(500),
    ],
    ids=["health", "draining", "weight", "share"],
)
def test_a_change_of_a_backend_asks_for_one_look(change: Callable[[Backend], None]) -> None:
    """Also one that another worker made."""
    buffer = bytearray(Table.size_bytes(2, 2))
    here, there = Table(buffer, 2, 2, 0), Table(buffer, 2, 2, 1)
    watch = Watch(here, 0)
    watch.stale(False)
    change(Backend(BackendSpec("0", 80), there, 1, 0))
    assert [True, False] == [watch.stale(False) for _ in range(2)]


def test_requests_that_begin_and_end_are_no_change() -> None:
    table = a_table(2)
    watch = Watch(table, 0)
    watch.stale(False)
    backend = Backend(BackendSpec("0", 80, 1, 1), table, 1, 0)
    backend.begin()
    assert not watch.stale(False)
    backend.finish(True)
    assert not watch.stale(False)


def test_panic_is_another_question() -> None:
    watch = Watch(a_table(2), 0)
    assert [True, True, False, True] == [watch.stale(panic) for panic in (False, True, True, False)]
    assert not watch.panic


def test_two_readers_remember_apart() -> None:
    table = a_table(2)
    one, other = Watch(table, 0), Watch(table, 0)
    assert one.stale(False)
    assert other.stale(False)


def test_what_is_forgotten_is_asked_for_again() -> None:
    watch = Watch(a_table(2), 0)
    watch.stale(False)
    watch.forget()
    assert [True, False] == [watch.stale(False) for _ in range(2)]

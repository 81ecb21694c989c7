"""core/backend.py: live numbers as a view of a table's row."""

from math import inf

import pytest

from steelyard.core.backend import Backend
from steelyard.core.spec import BackendSpec
from steelyard.core.table import Table
from tests.fakes_core import a_table


def a_backend(weight: int = 1, max_connections: int | None = None) -> Backend:
    return Backend(BackendSpec("::1", 80, weight, max_connections), a_table(2), 1)


def test_a_backend_is_called_by_its_address() -> None:
    backend = a_backend()
    assert ("::1", 80, "[::1]:80", "[::1]:80") == (backend.host, backend.port, backend.address, backend.label)
    assert "<Backend [::1]:80>" == repr(backend)
    assert 1 == backend.row
    assert BackendSpec("::1", 80) == backend.spec
    assert backend.max_connections is None


def test_a_new_backend_is_available_and_idle() -> None:
    backend = a_backend()
    assert backend.available
    assert backend.healthy
    assert not backend.draining
    assert not backend.full
    assert (0, 0, 0) == (backend.in_flight, backend.requests, backend.failures)


def test_making_a_view_again_keeps_the_live_numbers() -> None:
    table = a_table(2)
    before = Backend(BackendSpec("a", 80), table, 1)
    before.begin()
    before.set_healthy(False)
    after = Backend(BackendSpec("a", 80, 5), table, 1)
    assert (1, False, 5) == (after.in_flight, after.healthy, after.weight)


def test_in_flight_counts_all_workers() -> None:
    buffer = bytearray(Table.size_bytes(1, 2))
    views = [Backend(BackendSpec("a", 80), Table(buffer, 1, 2, worker), 0) for worker in range(2)]
    for view in views:
        view.begin()
    assert [2, 2] == [view.in_flight for view in views]
    assert [2, 2] == [view.requests for view in views]


def test_what_begins_ends_and_failures_are_counted() -> None:
    backend = a_backend()
    backend.begin()
    backend.begin()
    backend.finish(False)
    backend.finish(True)
    assert (0, 2, 1) == (backend.in_flight, backend.requests, backend.failures)


def test_an_end_without_a_beginning_is_a_bug_and_said_so() -> None:
    with pytest.raises(AssertionError, match=r"\[::1\]:80: a request ended that had not begun"):
        a_backend().finish(False)


def test_full_is_at_its_limit_and_not_before() -> None:
    backend = a_backend(max_connections=2)
    backend.begin()
    assert backend.available
    backend.begin()
    assert backend.full
    assert not backend.available
    assert backend.takes_requests()
    backend.finish(False)
    assert backend.available


def test_down_draining_or_of_weight_0_is_not_available() -> None:
    backend = a_backend()
    backend.set_healthy(False)
    assert (False, False) == (backend.available, backend.healthy)
    backend.set_healthy(True)
    backend.set_draining(True)
    assert (False, True) == (backend.available, backend.draining)
    backend.set_draining(False)
    assert backend.available
    assert not a_backend(weight=0).available


def test_load_is_what_it_would_carry_with_one_more_per_weight() -> None:
    backend = a_backend(weight=2)
    assert 0.5 == backend.load()
    backend.begin()
    assert 1.0 == backend.load()
    assert inf == a_backend(weight=0).load()

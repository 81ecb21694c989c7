"""A datagram that was refused: what the pool hears of it, and who is asked next."""

from errno import EADDRNOTAVAIL, EAGAIN, ECONNREFUSED, EMFILE, ENETUNREACH, ENFILE

import pytest

from steelyard.core.backend import Backend
from steelyard.core.spec import HealthCheckSpec, RetrySpec
from steelyard.errors import CONNECT_FAILED, NO_FILES, OVERLOADED, Kind
from steelyard.proxy.call import Call
from steelyard.proxy.refused import acquire_other, hold_against, no_socket
from tests.proxy.datagrams import Datagrams, Make


def call() -> Call:
    return Call("10.0.0.9", lambda n: 0, 0.0)


def acquired(stage: Datagrams, request: Call) -> Backend:
    backend = stage.pool.acquire(request)
    assert isinstance(backend, Backend)
    return backend


def given_back(stage: Datagrams, request: Call, backend: Backend) -> None:
    stage.pool.release(request, backend, True, 0.0)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (EMFILE, NO_FILES),
        (ENFILE, NO_FILES),
        (EAGAIN, OVERLOADED),
        (EADDRNOTAVAIL, OVERLOADED),
        (ECONNREFUSED, None),
        (ENETUNREACH, None),
    ],
)
def test_a_want_of_our_own_is_told_from_a_backends_failure(number: int, kind: Kind | None) -> None:
    assert kind == no_socket(OSError(number, "why"))


def test_what_has_no_number_is_the_backends() -> None:
    assert no_socket(OSError("unknown name")) is None


def test_where_there_are_checks_a_refusal_counts_as_a_failed_one(datagrams: Make) -> None:
    stage = datagrams(2, health_check=HealthCheckSpec(fall=2))
    backend = stage.pool.backends[0]
    stage.pool.answered(backend, 0.5)
    hold_against(stage.connections, backend, "refused", 1.0)
    assert [] == stage.changes
    hold_against(stage.connections, backend, "refused", 1.1)
    assert [(backend.label, False)] == stage.changes


def test_the_next_one_is_another_one_and_counted_as_in_flight(datagrams: Make) -> None:
    stage = datagrams(3)
    request = call()
    first = acquired(stage, request)
    second = acquire_other(stage.connections, request, first, CONNECT_FAILED, 1.0, stage.counters)
    assert second is not None
    third = acquire_other(stage.connections, request, second, CONNECT_FAILED, 1.0, stage.counters)
    assert third is not None
    assert 3 == len({first, second, third})
    assert [1, 1, 1] == stage.in_flight()
    assert acquire_other(stage.connections, request, third, CONNECT_FAILED, 1.0, stage.counters) is None
    for backend in (first, second, third):
        given_back(stage, request, backend)


def test_without_a_budget_nobody_else_is_asked_and_that_is_counted(datagrams: Make) -> None:
    stage = datagrams(2, retry=RetrySpec(budget=0.0, budget_floor=0))
    request = call()
    first = acquired(stage, request)
    assert acquire_other(stage.connections, request, first, CONNECT_FAILED, 1.0, stage.counters) is None
    assert {"retries_refused": 1} == stage.counted()
    assert 1 == sum(stage.in_flight())
    given_back(stage, request, first)


def test_one_for_which_nobody_has_room_any_more_costs_the_budget_nothing(datagrams: Make, too_late: str) -> None:
    stage = datagrams(2, policy=too_late, retry=RetrySpec(budget=0.0, budget_floor=1))
    request = call()
    first = acquired(stage, request)
    assert acquire_other(stage.connections, request, first, CONNECT_FAILED, 1.0, stage.counters) is None
    assert stage.pool.retry.withdraw(1.0)
    given_back(stage, request, first)

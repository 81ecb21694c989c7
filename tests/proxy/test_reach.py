"""Reaching a backend for a connection: who is asked, in which order, and what it costs. Seen through TCP."""

from collections.abc import Callable

import pytest

from steelyard.core.spec import HealthCheckSpec, PoolTimeouts, RetrySpec
from tests.fakes import World
from tests.proxy.test_tcp import connect, linked

Make = Callable[..., World]


def test_another_backend_is_asked_where_one_refuses(make: Make) -> None:
    world = make("abc")
    client = connect(world)
    client >> b"hello"
    world.refuse("a")
    world.refuse("b")
    world.accept("c") << b"hello"
    assert {"c": 1} == world.in_flight
    client.reset()
    assert ["c:80"] == [record.backend for record in world.records]
    assert [3] == [record.tries for record in world.records]


def test_where_all_refuse_the_client_is_reset(make: Make) -> None:
    world = make("abcd")
    client = connect(world)
    for host in "abc":  # three tries
        world.refuse(host)
    assert ([], "reset") == (world.dialled, client.end)
    assert [(0, "connect_failed")] == world.outcomes


def test_retries_cost_from_the_budget(make: Make) -> None:
    world = make("ab", retry=RetrySpec(budget=0.0, budget_floor=0))
    client = connect(world)
    world.refuse("a")
    assert ([], "reset") == (world.dialled, client.end)
    assert 1 == world.counters.read()["retries_refused"]


def test_a_retry_for_which_nobody_has_room_any_more_costs_nothing(make: Make, too_late: str) -> None:
    world = make("ab", policy=too_late, retry=RetrySpec(budget=0.0, budget_floor=1))
    client = connect(world)
    world.refuse("a")
    assert ([], "reset") == (world.dialled, client.end)
    assert world.pool.retry.withdraw(world.loop.clock)


def test_mark_down_takes_a_backend_out_until_a_check(make: Make) -> None:
    world = make("ab", retry=RetrySpec(mark_down=True), check=HealthCheckSpec())
    client = connect(world)
    world.refuse("a")
    world.refuse("b")
    assert "reset" == client.end
    assert [("a", False), ("b", False)] == world.changes
    assert [(0, "none_up")] == world.outcomes
    connect(world)
    assert [(0, "none_up")] * 2 == world.outcomes


def test_a_backend_that_does_not_accept_in_time_is_left_for_another(make: Make) -> None:
    world = make("ab", timeouts=PoolTimeouts(connect_s=2.0))
    connect(world)
    assert ["a"] == world.dialled
    world.turn(2.1)
    assert ["b"] == world.dialled
    world.accept("b")


def test_the_time_of_an_answer_begins_with_what_the_client_says(world: World) -> None:
    client, backend = linked(world)
    world.turn(30.0)
    client >> b"ask"
    backend << b"ask"
    world.turn(0.25)
    backend >> b"answer"
    client << b"answer"
    assert 0.25 == pytest.approx(client.transport.protocol.latency_s, abs=0.01)

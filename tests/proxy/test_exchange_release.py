"""What a policy is told of each try: it began, it ended, whether it failed, and when its answer's head came.

A policy of the tests' own writes it down. Every path of an exchange ends here, and each `began` has one `ended`.
"""

from collections.abc import Callable, Iterator
from errno import EMFILE
from typing import Any

import pytest

from steelyard import errors
from steelyard.core import policy as register
from steelyard.core.backend import Backend
from steelyard.core.health import State
from steelyard.core.policy import UNKNOWN_S, Pick, Policy, Registered
from steelyard.core.spec import (
    After,
    BreakerSpec,
    EjectionSpec,
    HealthCheckSpec,
    HedgeSpec,
    PoolTimeouts,
    RetrySpec,
    RouteSpec,
)
from tests.fakes import Peer, World, answer, chunks, forwarded, head, ok, refused, request

Make = Callable[..., World]

GET = request()
WISH = ("Connection: Upgrade", "Upgrade: raw")


class Spy(Policy):
    """The first backend that may be taken, and a diary. told: host, failed, latency."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.flying: list[tuple[Pick, Backend]] = []
        self.told: list[tuple[str, bool, float]] = []

    def pick(self, request: Pick) -> Backend | None:
        candidates = self.candidates(request)
        return candidates[0] if candidates else None

    def began(self, request: Pick, backend: Backend) -> None:
        self.flying.append((request, backend))
        assert backend.in_flight >= 1, "counted before the policy is told"

    def ended(self, request: Pick, backend: Backend, failed: bool, latency_s: float, now: float) -> None:
        self.flying.remove((request, backend))
        self.told.append((backend.host, failed, round(latency_s, 1)))


@pytest.fixture
def spied(make: Make, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[World, Spy]]]:
    """Worlds with a spy in each."""
    monkeypatch.setitem(register._REGISTER, "spy", Registered(Spy, "", (), True))
    spies: list[Spy] = []

    def build(hosts: str = "a", **settings: Any) -> tuple[World, Spy]:
        world = make(hosts, policy="spy", **settings)
        spy: Any = world.pool.policy
        spies.append(spy)
        return world, spy

    yield build
    for spy in spies:
        assert [] == spy.flying, "a try began and never ended"


Spied = Callable[..., tuple[World, Spy]]


def asked(world: World, sent: bytes = GET) -> tuple[Peer, Peer]:
    client = world.client()
    client >> sent
    world.turn(1.0)  # dialled for a second: that is the backend's time too
    backend = world.accept("a")
    backend.take()
    return client, backend


@pytest.mark.parametrize(
    ("status", "failed"),
    [
        ("200 OK", False),
        ("404 No", False),
        ("499 ?", False),
        ("500 Oh", True),
        ("501 ?", False),
        ("503 Oh", True),
        ("505 ?", False),
    ],
)
def test_an_answer_tells_when_its_head_came_and_an_error_of_the_backend_is_a_failure(
    spied: Spied, status: str, failed: bool
) -> None:
    world, spy = spied()
    client, backend = asked(world)
    world.turn(2.0)
    backend >> answer(f"HTTP/1.1 {status}", "Content-Length: 2")
    world.turn(4.0)
    backend >> b"ok"
    client.take()
    assert [("a", failed, 3.0)] == spy.told
    assert [int(failed)] == [backend.failures for backend in world.pool.backends]


@pytest.mark.parametrize(("status", "state"), [("499 ?", State.UP), ("500 Oh", State.FALLING)])
def test_only_what_is_no_error_of_the_backend_forgives_its_failed_checks(
    spied: Spied, status: str, state: State
) -> None:
    """Or one that answers its checks wrongly would stay in for as long as it is asked for more of the same."""
    world, _ = spied(check=HealthCheckSpec(fall=3))
    world.pool.probed(world.pool.backends[0], True, 0.0)
    world.pool.probed(world.pool.backends[0], False, 0.0, True)
    client, backend = asked(world)
    backend >> answer(f"HTTP/1.1 {status}", "Content-Length: 0")
    client.take()
    assert state is world.pool.health_of(world.pool.backends[0])


def test_an_interim_head_is_no_answer(spied: Spied) -> None:
    world, spy = spied()
    client, backend = asked(world)
    backend >> answer("HTTP/1.1 103 Early Hints")
    world.turn(2.0)
    backend >> ok()
    client.take()
    assert [("a", False, 3.0)] == spy.told


def test_an_error_that_is_tried_elsewhere_has_its_own_time_and_the_next_try_its_own(spied: Spied) -> None:
    world, spy = spied("ab", retry=RetrySpec(on_status=(503,)))
    client, backend = asked(world)
    backend >> answer("HTTP/1.1 503 Busy", "Content-Length: 0")
    world.turn(2.0)
    other = world.accept("b")
    other.take()
    other >> ok()
    client << ok()
    assert [("a", True, 1.0), ("b", False, 2.0)] == spy.told


def test_the_time_of_one_try_is_not_that_of_the_next(spied: Spied) -> None:
    world, spy = spied("ab", retry=RetrySpec(on_status=(503,)))
    client, backend = asked(world)
    backend >> answer("HTTP/1.1 503 Busy", "Content-Length: 0")
    world.refuse("b")
    client << refused(errors.CONNECT_FAILED)
    assert [("a", True, 1.0), ("b", True, UNKNOWN_S)] == spy.told


def test_a_failure_of_ours_is_not_the_backends(spied: Spied) -> None:
    """Though the client gets a 503 for it."""
    world, spy = spied()
    client = world.client()
    client >> GET
    world.loop.dials[0].end(OSError(EMFILE, "Too many open files"))
    world.loop.settle()
    client << refused(errors.NO_FILES)
    assert [("a", False, UNKNOWN_S)] == spy.told


def test_a_try_that_failed_before_its_answer_has_no_time(spied: Spied) -> None:
    world, spy = spied("abc")
    client = world.client()
    client >> GET
    world.turn(1.0)
    world.refuse("a")
    backend = world.accept("b")
    backend.take()
    backend.reset()
    world.turn(1.0)
    last = world.accept("c")
    last.take()
    last >> answer("HTTP/1.1 200 OK", "Content-Length: +1")
    client << refused(errors.BAD_ANSWER)
    assert [("a", True, UNKNOWN_S), ("b", True, UNKNOWN_S), ("c", True, UNKNOWN_S)] == spy.told


def test_tries_at_the_same_backend_are_one(spied: Spied) -> None:
    """Also one on a kept connection that turned out to be stale."""
    world, spy = spied(retry=RetrySpec(same_backend=1, delay_s=1.0))
    client = world.client()
    client >> GET
    world.refuse("a")
    assert 1 == len(spy.flying)
    world.turn(1.1)
    backend = world.accept("a")
    backend.take()
    backend >> ok()
    client << ok()
    client >> GET
    backend.take()
    backend.eof()
    fresh = world.accept("a")
    fresh.take()
    fresh >> ok()
    client << ok()
    assert [("a", False, 1.1), ("a", False, 0.0)] == spy.told


def test_a_try_has_failed_also_where_its_client_does_not_wait_for_the_next_one_at_the_same_backend(
    spied: Spied,
) -> None:
    world, spy = spied(retry=RetrySpec(same_backend=1, delay_s=1.0), check=HealthCheckSpec(fall=1))
    world.pool.probed(world.pool.backends[0], True, 0.0)
    client = world.client()
    client >> GET
    world.refuse("a")
    assert ([], []) == (spy.told, world.changes)
    client.reset()
    assert [("a", True, UNKNOWN_S)] == spy.told
    assert [("a", False)] == world.changes


def test_a_next_try_at_the_same_backend_that_is_under_way_is_what_counts(spied: Spied) -> None:
    world, spy = spied(retry=RetrySpec(same_backend=1, delay_s=1.0), check=HealthCheckSpec(fall=1))
    client = world.client()
    client >> GET
    world.refuse("a")
    world.turn(1.6)
    assert ["a"] == world.dialled
    client.reset()
    assert [("a", False, UNKNOWN_S)] == spy.told
    assert [] == world.changes


def test_a_backend_that_is_too_slow_has_failed_without_a_time(spied: Spied) -> None:
    world, spy = spied(timeouts=PoolTimeouts(response_s=10.0))
    client, _ = asked(world)
    world.turn(10.1)
    client << refused(errors.RESPONSE_TIMEOUT)
    assert [("a", True, UNKNOWN_S)] == spy.told


@pytest.mark.parametrize("begun", [False, True])
def test_the_total_timeout_is_the_backends_failure_until_it_has_begun_to_answer(spied: Spied, begun: bool) -> None:
    world, spy = spied(timeouts=PoolTimeouts(total_s=5.0))
    client, backend = asked(world)
    if begun:
        backend >> answer("HTTP/1.1 200 OK", "Content-Length: 2")
    world.turn(5.0)
    client.take()
    assert [("a", not begun, 1.0 if begun else UNKNOWN_S)] == spy.told


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("status", ["200 OK", "500 Oh"])
def test_a_client_that_goes_speaks_not_against_its_backend_but_an_error_does(
    spied: Spied, begun: bool, status: str
) -> None:
    world, spy = spied()
    client, backend = asked(world)
    if begun:
        backend >> answer(f"HTTP/1.1 {status}", "Content-Length: 2", body=b"o")
    client.reset()
    client.take()
    assert [("a", begun and status == "500 Oh", 1.0 if begun else UNKNOWN_S)] == spy.told


def test_an_answer_that_breaks_off_has_failed_and_had_its_time(spied: Spied) -> None:
    world, spy = spied()
    client, backend = asked(world)
    backend >> answer("HTTP/1.1 200 OK", "Content-Length: 2", body=b"o")
    backend.reset()
    client.take()
    assert [("a", True, 1.0)] == spy.told


def test_a_body_that_grows_too_large_is_the_clients_fault(spied: Spied) -> None:
    world, spy = spied(routes=(RouteSpec(pool="web", max_body_bytes=5),))
    client, _ = asked(world, request("POST / HTTP/1.1", "Transfer-Encoding: chunked"))
    client >> chunks(b"hello!")
    client << refused(errors.BODY_TOO_LARGE, close=True)
    assert [("a", False, UNKNOWN_S)] == spy.told


def test_a_tunnel_ends_when_it_ends_and_had_its_time_at_the_switch(spied: Spied) -> None:
    world, spy = spied()
    client, backend = asked(world, request("GET / HTTP/1.1", *WISH))
    backend >> head("HTTP/1.1 101 Switch", *WISH)
    client << head("HTTP/1.1 101 Switch", *WISH)
    world.turn(100.0)
    assert 1 == len(spy.flying)
    client.eof()
    backend.eof()
    assert [("a", False, 1.0)] == spy.told


def test_a_tunnel_that_the_backend_breaks_has_failed(spied: Spied) -> None:
    world, spy = spied()
    client, backend = asked(world, request("GET / HTTP/1.1", *WISH))
    backend >> head("HTTP/1.1 101 Switch", *WISH)
    backend.reset()
    client.take()
    assert [("a", True, 1.0)] == spy.told


def test_a_switch_that_nobody_asked_for_has_failed(spied: Spied) -> None:
    world, spy = spied()
    client, backend = asked(world)
    backend >> head("HTTP/1.1 101 Switch", *WISH)
    client << refused(errors.BAD_ANSWER)
    assert [("a", True, UNKNOWN_S)] == spy.told


def test_backends_that_are_marked_down_have_failed(spied: Spied) -> None:
    world, spy = spied("a", retry=RetrySpec(mark_down=True), check=HealthCheckSpec())
    client = world.client()
    client >> GET
    world.refuse("a")
    client << refused(errors.NONE_UP, retry_after_s=2)
    assert [("a", True, UNKNOWN_S)] == spy.told


def test_the_time_that_a_client_takes_for_its_body_is_not_the_backends(spied: Spied) -> None:
    """Where the pool waits for it."""
    world, spy = spied(key="body:a")
    client = world.client()
    client >> request("POST / HTTP/1.1", "Content-Type: application/json", "Content-Length: 2", body=b"{")
    world.turn(7.0)
    assert [] == spy.flying
    client >> b"}"
    backend = world.accept("a")
    backend << forwarded("POST / HTTP/1.1", "Content-Length: 2", kept=("Content-Type: application/json",), body=b"{}")
    world.turn(2.0)
    backend >> ok()
    client << ok()
    assert [("a", False, 2.0)] == spy.told


# What the pool is told besides: the status, by which it tells an application's errors from a gateway's.

GATEWAY = EjectionSpec(errors=None, gateway_errors=1)


def ejected(world: World) -> list[str]:
    return [backend.host for backend in world.pool.backends if backend.ejections]


@pytest.mark.parametrize(("status", "gone"), [("200 OK", []), ("500 Oh", []), ("501 Oh", []), ("503 Oh", ["a"])])
def test_the_status_of_an_answer_reaches_the_pool(spied: Spied, status: str, gone: list[str]) -> None:
    world, _ = spied("ab", ejection=GATEWAY)
    client, backend = asked(world)
    backend >> answer(f"HTTP/1.1 {status}", "Content-Length: 0")
    client.take()
    assert gone == ejected(world)


def test_an_answer_that_is_tried_elsewhere_counts_with_its_own_status(spied: Spied) -> None:
    world, _ = spied("ab", ejection=GATEWAY, retry=RetrySpec(on_status=(503,)))
    client, backend = asked(world)
    backend >> answer("HTTP/1.1 503 Oh", "Content-Length: 0")
    other = world.accept("b")
    other.take()
    other >> ok()
    client.take()
    assert ["a"] == ejected(world)


def test_no_answer_is_a_gateway_s_error_and_a_client_that_left_is_none(spied: Spied) -> None:
    world, _ = spied("ab", ejection=GATEWAY)
    client, _ = asked(world)
    client.vanish()
    assert [] == ejected(world)
    client, backend = asked(world)
    backend.reset()
    other = world.accept("b")
    other.take()
    other >> ok()
    client.take()
    assert ["a"] == ejected(world)


# What a client causes speaks not against the backend.

UPLOAD = request("POST / HTTP/1.1", "Content-Length: 6", body=b"abc")


def test_the_time_that_a_client_takes_to_send_its_body_is_not_the_backends(spied: Spied) -> None:
    world, spy = spied()
    client, backend = asked(world, UPLOAD)
    world.turn(9.0)
    client >> b"def"
    backend.take()
    world.turn(0.5)
    backend >> ok()
    client << ok()
    assert [("a", False, 0.5)] == spy.told


def test_a_backend_that_gives_up_on_a_body_that_does_not_end_has_not_failed(spied: Spied) -> None:
    world, spy = spied()
    client, backend = asked(world, UPLOAD)
    backend.reset()
    client << refused(errors.CLOSED_EARLY, close=True)
    assert [("a", False, UNKNOWN_S)] == spy.told


def test_a_backend_that_gives_up_on_a_client_that_does_not_read_has_not_failed(spied: Spied) -> None:
    world, spy = spied()
    client, backend = asked(world)
    client.stop_reading()
    backend >> answer("HTTP/1.1 200 OK", "Content-Length: 99", body=b"x" * 9)
    backend.reset()
    client.read()
    client.take()
    assert [("a", False, 1.0)] == spy.told


def test_a_first_try_that_a_hedge_has_overtaken_took_at_least_so_long(spied: Spied) -> None:
    world, spy = spied("ab", hedge=HedgeSpec(After(2.0, None)))
    client = world.client()
    client >> GET
    world.accept("a").take()
    world.turn(2.0)
    second = world.accept("b")
    second.take()
    world.turn(0.5)
    second >> ok()
    client << ok()
    assert [("a", False, 2.5), ("b", False, 0.5)] == spy.told


def test_a_tunnel_decides_its_trial_when_it_opens_and_not_when_it_ends(make: Make) -> None:
    world = make("a", circuit_breaker=BreakerSpec(1, None, open_for_s=5.0))
    client, backend = asked(world)
    backend.reset()
    client << refused(errors.CLOSED_EARLY)
    assert 0 != world.pool.backends[0].circuit()
    world.turn(5.1)
    client >> request("GET / HTTP/1.1", *WISH)
    backend = world.accept("a")
    backend.take()
    backend >> head("HTTP/1.1 101 Switching Protocols", *WISH)
    client.take()
    assert 0 == world.pool.backends[0].circuit()
    assert {"a": 1} == world.in_flight

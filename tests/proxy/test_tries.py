"""The time of one try, and the pauses between tries."""

from collections.abc import Callable

import pytest

from steelyard import errors
from steelyard.core.spec import PoolTimeouts, RetrySpec
from tests.fakes import World, answer, forwarded, ok, refused, request

Make = Callable[..., World]

GET = request()
GOT = forwarded()
POST = request("POST / HTTP/1.1", "Content-Length: 5", body=b"hello")
POSTED = forwarded("POST / HTTP/1.1", "Content-Length: 5", body=b"hello")
QUICK = RetrySpec(try_timeout_s=1.0)


def test_a_try_that_takes_too_long_is_repeated_elsewhere(make: Make) -> None:
    world = make("ab", retry=QUICK)
    client = world.client()
    client >> GET
    first = world.accept("a")
    first << GOT
    world.turn(0.99)
    assert [] == world.dialled
    world.turn(0.02)
    assert "aborted" == first.end
    second = world.accept("b")
    second << GOT
    second >> ok()
    client << ok()
    assert [1, 0] == [backend.failures for backend in world.pool.backends]
    assert 1 == world.counters.read()["retries"]


def test_of_a_method_that_may_not_run_twice_it_is_the_end(make: Make) -> None:
    world = make("ab", retry=QUICK)
    client = world.client()
    client >> POST
    world.accept("a") << POSTED
    world.turn(1.01)
    client << refused(errors.TRY_TIMEOUT)
    assert [(504, "try_timeout")] == world.outcomes


def test_a_dial_is_part_of_its_try(make: Make) -> None:
    world = make("ab", retry=QUICK)
    client = world.client()
    client >> GET
    world.turn(1.01)
    second = world.accept("b")
    second << GOT
    second >> ok()
    client << ok()


def test_each_try_has_the_whole_time(make: Make) -> None:
    world = make("ab", retry=QUICK)
    client = world.client()
    client >> GET
    world.accept("a") << GOT
    world.turn(1.01)
    second = world.accept("b")
    second << GOT
    world.turn(0.95)
    second >> ok()
    client << ok()


def test_an_answer_that_has_begun_may_take_longer(make: Make) -> None:
    world = make("a", retry=QUICK)
    client = world.client()
    client >> GET
    backend = world.accept("a")
    backend << GOT
    head = answer("HTTP/1.1 200 OK", "Content-Length: 2")
    backend >> head
    client << head
    world.turn(5.0)
    backend >> b"ok"
    client << b"ok"


def test_the_time_that_a_client_takes_to_send_is_not_the_backends(make: Make) -> None:
    world = make("a", retry=QUICK)
    client = world.client()
    client >> POST[:-1]
    backend = world.accept("a")
    backend << POSTED[:-1]
    world.turn(5.0)
    client >> b"o"
    backend << b"o"
    world.turn(0.9)
    backend >> ok()
    client << ok()


def test_a_third_backend_is_asked_after_a_pause_and_a_fourth_after_twice_as_long(make: Make) -> None:
    world = make("abcd", retry=RetrySpec(tries=4, delay_s=1.0, max_delay_s=9.0))
    client = world.client()
    client >> GET
    world.refuse("a")
    world.refuse("b")
    world.turn(0.99)
    assert [] == world.dialled
    assert {"c": 1} == world.in_flight  # it has its place there already
    world.turn(0.52)
    world.refuse("c")
    world.turn(1.99)
    assert [] == world.dialled
    world.turn(1.02)
    backend = world.accept("d")
    backend << GOT
    backend >> ok()
    client << ok()
    assert world.records[0].duration_s < 4.6


def test_a_client_that_leaves_in_the_pause_ends_it(make: Make) -> None:
    world = make("abc", retry=RetrySpec(delay_s=1.0, max_delay_s=9.0))
    client = world.client()
    client >> GET
    world.refuse("a")
    world.refuse("b")
    client.eof()
    assert {} == world.in_flight
    world.turn(2.0)
    assert [] == world.dialled


def test_a_pause_is_at_most_so_long(make: Make) -> None:
    world = make("abcd", retry=RetrySpec(tries=4, delay_s=1.0, max_delay_s=0.2))
    client = world.client()
    client >> GET
    world.refuse("a")
    world.refuse("b")
    world.turn(0.31)
    world.refuse("c")
    world.turn(0.31)
    world.refuse("d")
    client << refused(errors.CONNECT_FAILED)


def test_what_the_budget_does_not_bear_is_counted(make: Make) -> None:
    world = make("ab", retry=RetrySpec(budget=0.0, budget_floor=0))
    client = world.client()
    client >> GET
    world.refuse("a")
    client << refused(errors.CONNECT_FAILED)
    assert 1 == world.counters.read()["retries_refused"]


def test_a_retry_for_which_nobody_has_room_any_more_costs_the_budget_nothing(make: Make, too_late: str) -> None:
    world = make("ab", policy=too_late, retry=RetrySpec(budget=0.0, budget_floor=1))
    client = world.client()
    client >> GET
    world.refuse("a")
    client << refused(errors.CONNECT_FAILED)
    assert world.pool.retry.withdraw(world.loop.clock)


def test_a_stale_connection_is_no_retry_and_counted_as_saved(make: Make) -> None:
    world = make("a")
    client = world.client()
    client >> GET
    backend = world.accept("a")
    backend << GOT
    backend >> ok()
    client << ok()
    client >> GET
    backend << GOT
    backend.eof()
    fresh = world.accept("a")
    fresh << GOT
    fresh >> ok()
    client << ok()
    read = world.counters.read()
    assert (1, 0) == (read["stale_saved"], read["retries"])


def test_nor_is_it_another_one_where_it_happens_to_a_retry(make: Make) -> None:
    world = make("ab")
    client = world.client()
    client >> GET
    closing = world.accept("a")
    closing << GOT
    closing >> ok(b"ok", "Connection: close")
    client << ok()
    client >> GET
    kept = world.accept("b")
    kept << GOT
    kept >> ok()
    client << ok()
    client >> GET
    failing = world.accept("a")
    failing << GOT
    failing.eof()
    kept << GOT
    kept.eof()
    fresh = world.accept("b")
    fresh << GOT
    fresh >> ok()
    client << ok()
    read = world.counters.read()
    assert (1, 1, 2) == (read["stale_saved"], read["retries"], world.records[-1].tries)


def test_a_connection_whose_end_is_seen_before_it_is_used_again_is_counted(make: Make) -> None:
    world = make("a")
    client = world.client()
    client >> GET
    backend = world.accept("a")
    backend << GOT
    backend >> ok()
    client << ok()
    backend.transport.sock.in_kernel = b""
    client >> GET
    fresh = world.accept("a")
    fresh << GOT
    fresh >> ok()
    client << ok()
    assert 1 == world.counters.read()["stale_noticed"]


def test_an_answer_that_began_before_the_request_was_whole_may_take_longer(make: Make) -> None:
    world = make("a", retry=QUICK)
    client = world.client()
    client >> POST[:-1]
    backend = world.accept("a")
    backend << POSTED[:-1]
    head = answer("HTTP/1.1 200 OK", "Content-Length: 2")
    backend >> head
    client << answer("HTTP/1.1 200 OK", "Content-Length: 2", "Connection: close")
    client >> b"o"
    backend << b"o"
    world.turn(5.0)
    backend >> b"ok"
    client << b"ok"


def test_who_was_to_be_asked_after_a_pause_is_not_to_blame_for_what_happens_in_it(make: Make) -> None:
    world = make("abc", retry=RetrySpec(delay_s=1.0, max_delay_s=9.0), timeouts=PoolTimeouts(total_s=0.3))
    client = world.client()
    client >> GET
    world.refuse("a")
    world.refuse("b")
    world.turn(0.4)
    client << refused(errors.TOTAL_TIMEOUT)
    assert [1, 1, 0] == [backend.failures for backend in world.pool.backends]


def test_a_stale_connection_under_a_retry_is_no_further_retry(make: Make) -> None:
    world = make("ab", policy="first")
    world.pool.backends[0].set_draining(True)
    client = world.client()
    client >> GET
    kept = world.accept("b")
    kept << GOT
    kept >> ok()
    client << ok()
    world.pool.backends[0].set_draining(False)
    client >> GET
    world.refuse("a")
    kept << GOT
    kept.eof()
    fresh = world.accept("b")
    fresh << GOT
    fresh >> ok()
    client << ok()
    read = world.counters.read()
    assert (1, 1) == (read["retries"], read["stale_saved"])
    assert [1, 2] == [record.tries for record in world.records]


def test_a_stale_connection_says_nothing_of_its_backend_whatever_the_method(make: Make) -> None:
    world = make("a")
    client = world.client()
    client >> GET
    backend = world.accept("a")
    backend << GOT
    backend >> ok()
    client << ok()
    client >> POST
    backend << POSTED
    backend.eof()
    client << refused(errors.STALE)
    assert 0 == world.pool.backends[0].failures


@pytest.mark.parametrize("same_backend", [0, 1])
def test_a_try_that_a_client_did_not_wait_for_is_not_counted(make: Make, same_backend: int) -> None:
    """Before a third backend, and before the same one again, there is a pause."""
    world = make("abc", retry=RetrySpec(same_backend=same_backend, delay_s=1.0, max_delay_s=9.0))
    client = world.client()
    client >> GET
    world.refuse("a")
    if not same_backend:
        world.refuse("b")
    assert [] == world.dialled
    client.reset()
    begun = sum(record.tries - 1 for record in world.records)
    assert (1 - same_backend, begun) == (begun, world.counters.read()["retries"])

"""A second try beside a slow first one: whose head comes first counts, and nothing is left of the other."""

from collections.abc import Callable
from errno import EMFILE

from steelyard import errors
from steelyard.core.quantile import ENOUGH
from steelyard.core.spec import After, EjectionSpec, HedgeSpec, PoolTimeouts, RetrySpec
from tests.fakes import Peer, World, answer, forwarded, ok, refused, request

Make = Callable[..., World]

GET = request()
GOT = forwarded()
HEDGE = HedgeSpec(After(0.1, None))


def raced(world: World) -> tuple[Peer, Peer, Peer]:
    """A client, and the two backends that are asked for it."""
    client = world.client()
    client >> GET
    first = world.accept("a")
    first << GOT
    world.turn(0.11)
    second = world.accept("b")
    second << GOT
    return client, first, second


def counted(world: World, *names: str) -> list[int]:
    read = world.counters.read()
    return [read[name] for name in names]


def test_a_quick_answer_needs_no_second_try(make: Make) -> None:
    world = make("ab", hedge=HEDGE)
    client = world.client()
    client >> GET
    first = world.accept("a")
    first << GOT
    world.turn(0.09)
    first >> ok()
    client << ok()
    world.turn(1.0)
    assert [] == world.dialled
    assert [0, 0] == counted(world, "hedges", "hedges_won")


def test_the_second_is_answered_first_and_the_first_connection_is_closed(make: Make) -> None:
    world = make("ab", hedge=HEDGE)
    client, first, second = raced(world)
    assert {"a": 1, "b": 1} == world.in_flight
    second >> ok(b"second")
    client << ok(b"second")
    assert "aborted" == first.end
    assert {} == world.in_flight
    assert ["b"] == world.idle
    (record,) = world.records
    assert ("b:80", 2) == (record.backend, record.tries)
    assert [1, 1] == counted(world, "hedges", "hedges_won")
    assert [0, 0] == [backend.failures for backend in world.pool.backends]


def test_the_first_is_answered_after_all_and_the_second_connection_is_closed(make: Make) -> None:
    world = make("ab", hedge=HEDGE)
    client, first, second = raced(world)
    first >> ok(b"first")
    client << ok(b"first")
    assert "aborted" == second.end
    assert ["a"] == world.idle
    assert [1, 0] == counted(world, "hedges", "hedges_won")
    assert [0, 0] == [backend.failures for backend in world.pool.backends]


def test_an_answer_of_the_second_is_passed_on_piece_by_piece(make: Make) -> None:
    world = make("ab", hedge=HEDGE)
    client, _, second = raced(world)
    whole = answer("HTTP/1.1 200 OK", "Content-Length: 10", body=b"0123")
    second >> whole
    client << whole
    second >> b"456"
    client << b"456"
    client.stop_reading()
    second >> b"78"
    assert not second.transport.reading
    client.read()
    client << b"78"
    assert second.transport.reading
    second >> b"9"
    client << b"9"
    assert ["b"] == world.idle


def test_an_error_of_the_second_is_not_taken(make: Make) -> None:
    world = make("ab", hedge=HEDGE)
    client, first, second = raced(world)
    second >> answer("HTTP/1.1 503 Busy", "Content-Length: 0")
    assert "aborted" == second.end
    assert {"a": 1} == world.in_flight
    first >> ok(b"first")
    client << ok(b"first")
    assert [0, 1] == [backend.failures for backend in world.pool.backends]


def test_a_status_that_speaks_of_the_request_is_not_held_against_the_second(make: Make) -> None:
    world = make("ab", hedge=HEDGE)
    client, first, second = raced(world)
    second >> answer("HTTP/1.1 501 Not Implemented", "Content-Length: 0")
    first >> ok(b"first")
    client << ok(b"first")
    assert [0, 0] == [backend.failures for backend in world.pool.backends]


def test_a_second_that_fails_leaves_the_first_alone(make: Make) -> None:
    world = make("ab", hedge=HEDGE)
    client, first, second = raced(world)
    second.reset()
    assert {"a": 1} == world.in_flight
    first >> ok(b"first")
    client << ok(b"first")


def test_a_second_that_cannot_be_reached_leaves_the_first_alone(make: Make) -> None:
    world = make("ab", hedge=HEDGE)
    client = world.client()
    client >> GET
    first = world.accept("a")
    first << GOT
    world.turn(0.11)
    world.refuse("b")
    first >> ok(b"first")
    client << ok(b"first")


def test_a_first_that_fails_leaves_it_to_the_second(make: Make) -> None:
    world = make("ab", hedge=HEDGE)
    client, first, second = raced(world)
    first.reset()
    assert {"b": 1} == world.in_flight
    second >> ok(b"second")
    client << ok(b"second")
    assert [1, 0] == [backend.failures for backend in world.pool.backends]
    (record,) = world.records
    assert ("b:80", 2) == (record.backend, record.tries)


def test_a_first_that_fails_leaves_it_to_a_second_that_is_still_dialled(make: Make) -> None:
    world = make("ab", hedge=HEDGE)
    client = world.client()
    client >> GET
    first = world.accept("a")
    first << GOT
    world.turn(0.11)
    first.reset()
    second = world.accept("b")
    second << GOT
    second >> ok(b"second")
    client << ok(b"second")


def test_when_both_fail_the_client_hears_of_it_or_a_third_is_asked(make: Make) -> None:
    world = make("abc", hedge=HEDGE)
    client, first, second = raced(world)
    first.reset()
    second.reset()
    world.turn(0.02)
    third = world.accept("c")
    third << GOT
    third >> ok()
    client << ok()
    world = make("ab", hedge=HEDGE)
    client, first, second = raced(world)
    second.reset()
    first.reset()
    client << refused(errors.CLOSED_EARLY)


def test_a_listed_error_of_the_first_leaves_it_to_the_second(make: Make) -> None:
    world = make("ab", hedge=HEDGE, retry=RetrySpec(on_status=(503,)))
    client, first, second = raced(world)
    first >> answer("HTTP/1.1 503 Busy", "Content-Length: 0")
    assert "aborted" == first.end
    second >> ok(b"second")
    client << ok(b"second")


def test_a_client_that_leaves_ends_both(make: Make) -> None:
    world = make("ab", hedge=HEDGE)
    client, first, second = raced(world)
    client.reset()
    assert ["aborted", "aborted"] == [first.end, second.end]
    assert {} == world.in_flight


def test_a_client_that_leaves_while_the_second_is_dialled_ends_both(make: Make) -> None:
    world = make("ab", hedge=HEDGE)
    client = world.client()
    client >> GET
    first = world.accept("a")
    first << GOT
    world.turn(0.11)
    client.reset()
    assert [] == world.dialled
    assert {} == world.in_flight


def test_the_total_timeout_ends_both(make: Make) -> None:
    world = make("ab", hedge=HEDGE, timeouts=PoolTimeouts(total_s=1.0))
    client, first, second = raced(world)
    world.turn(1.1)
    client << refused(errors.TOTAL_TIMEOUT)
    assert ["aborted", "aborted"] == [first.end, second.end]


def test_only_safe_methods_are_hedged(make: Make) -> None:
    world = make("ab", hedge=HEDGE)
    client = world.client()
    client >> request("PUT / HTTP/1.1", "Content-Length: 0")
    world.accept("a").take()
    world.turn(0.5)
    assert [] == world.dialled


def test_what_asks_for_an_upgrade_is_not_hedged(make: Make) -> None:
    world = make("ab", hedge=HEDGE)
    client = world.client()
    client >> request("GET / HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket")
    world.accept("a").take()
    world.turn(0.5)
    assert [] == world.dialled


def test_a_request_whose_body_is_still_coming_is_not_hedged(make: Make) -> None:
    world = make("ab", hedge=HEDGE)
    client = world.client()
    client >> request("GET / HTTP/1.1", "Content-Length: 5", body=b"he")
    world.accept("a").take()
    world.turn(0.5)
    assert [] == world.dialled


def test_a_held_body_goes_to_both(make: Make) -> None:
    world = make("ab", hedge=HEDGE)
    client = world.client()
    client >> request("GET / HTTP/1.1", "Content-Length: 5", body=b"hello")
    world.accept("a") << forwarded("GET / HTTP/1.1", "Content-Length: 5", body=b"hello")
    world.turn(0.11)
    second = world.accept("b")
    second << forwarded("GET / HTTP/1.1", "Content-Length: 5", body=b"hello")
    second >> ok()
    client << ok()


def test_each_is_paid_for_from_the_budget(make: Make) -> None:
    world = make("ab", hedge=HEDGE, retry=RetrySpec(budget=0.2, budget_floor=1))
    raced(world)[2] >> ok()
    world.clients[0] << ok()
    client = world.client()
    client >> GET
    world.turn(0.5)
    assert 1 == counted(world, "hedges")[0]
    assert 1 == counted(world, "retries_refused")[0]
    world.peers[1].take()


def test_one_for_which_nobody_has_room_any_more_costs_the_budget_nothing(make: Make, too_late: str) -> None:
    world = make("ab", hedge=HEDGE, policy=too_late, retry=RetrySpec(budget=0.0, budget_floor=1))
    client = world.client()
    client >> GET
    first = world.accept("a")
    first << GOT
    world.turn(0.5)
    assert [] == world.dialled
    assert world.pool.retry.withdraw(world.loop.clock)
    first >> ok()
    client << ok()


def test_where_there_is_no_other_backend_nothing_is_asked(make: Make) -> None:
    world = make("a", hedge=HEDGE)
    client = world.client()
    client >> GET
    first = world.accept("a")
    first << GOT
    world.turn(0.5)
    assert [] == world.dialled
    first >> ok()
    client << ok()


def test_with_one_try_there_is_no_second(make: Make) -> None:
    world = make("ab", hedge=HEDGE, retry=RetrySpec(tries=1))
    client = world.client()
    client >> GET
    world.accept("a") << GOT
    world.turn(0.5)
    assert [] == world.dialled


def test_the_time_is_a_quantile_of_what_answers_take(make: Make) -> None:
    world = make("ab", hedge=HedgeSpec(After(None, 0.95)))
    client = world.client()
    peers: dict[str, Peer] = {}
    for number in range(ENOUGH):  # before as many there is no second try
        client >> GET
        host = "ab"[number % 2]
        peers.setdefault(host, world.accept(host) if host not in peers else peers.get(host, client))
        peers[host] << GOT
        world.turn(0.2)
        peers[host] >> ok()
        client << ok()
    assert 0.19 < world.connections.hedge_s < 0.21
    client >> GET
    peers["a"] << GOT
    world.turn(0.19)
    peers["b"] << b""
    world.turn(0.02)
    peers["b"] << GOT
    peers["b"] >> ok()
    client << ok()


def test_a_reload_ends_it_and_begins_it(make: Make) -> None:
    world = make("ab", hedge=HedgeSpec(After(None, 0.95)))
    world.reload("ab", hedge=HEDGE)
    assert 0.1 == world.connections.hedge_s
    world.reload("ab", hedge=None)
    assert world.connections.hedge_s < 0


def kept_by_both(world: World) -> tuple[Peer, Peer]:
    """A kept connection to each backend."""
    clients = [world.client(), world.client()]
    for client in clients:
        client >> GET
    backends = world.accept("a"), world.accept("b")
    for client, backend in zip(clients, backends, strict=True):
        backend << GOT
        backend >> ok()
        client << ok()
    return backends


def test_a_second_over_a_kept_connection_that_was_closed_is_sent_over_a_fresh_one(make: Make) -> None:
    world = make("ab", hedge=HEDGE)
    first, kept = kept_by_both(world)
    client = world.client()
    client >> GET
    first << GOT
    world.turn(0.11)
    kept << GOT
    kept.eof()
    assert {"a": 1, "b": 1} == world.in_flight
    second = world.accept("b")
    second << GOT
    second >> ok(b"second")
    client << ok(b"second")
    assert [0, 0] == [backend.failures for backend in world.pool.backends]
    assert [1, 1] == counted(world, "hedges_won", "stale_saved")


def test_a_second_that_is_dropped_while_it_is_dialled_anew_leaves_nothing(make: Make) -> None:
    world = make("ab", hedge=HEDGE)
    first, kept = kept_by_both(world)
    client = world.client()
    client >> GET
    first << GOT
    world.turn(0.11)
    kept << GOT
    kept.eof()
    first >> ok(b"first")
    client << ok(b"first")
    assert [] == world.dialled


def test_want_of_descriptors_is_not_the_second_backends_fault(make: Make) -> None:
    world = make("ab", hedge=HEDGE)
    client = world.client()
    client >> GET
    first = world.accept("a")
    first << GOT
    world.turn(0.11)
    world.loop.dials[0].end(OSError(EMFILE, "Too many open files"))
    world.loop.settle()
    assert {"a": 1} == world.in_flight
    assert [0, 0] == [backend.failures for backend in world.pool.backends]
    first >> ok()
    client << ok()


def test_where_the_pool_is_at_its_limit_nobody_gets_two_places(make: Make) -> None:
    world = make("ab", hedge=HEDGE, max_in_flight=1)
    client = world.client()
    client >> GET
    first = world.accept("a")
    first << GOT
    world.turn(0.5)
    assert {"a": 1} == world.in_flight
    first >> ok()
    client << ok()


def test_a_second_that_asks_to_be_left_alone_is(make: Make) -> None:
    world = make("ab", hedge=HEDGE, retry=RetrySpec(on_status=(503,)), ejection=EjectionSpec())
    client, first, second = raced(world)
    second >> answer("HTTP/1.1 503 Busy", "Retry-After: 9", "Content-Length: 0")
    first >> ok(b"first")
    client << ok(b"first")
    assert [True, False] == [backend.available for backend in world.pool.backends]


def test_a_first_try_whose_kept_connection_had_ended_is_hedged_like_any_other(make: Make) -> None:
    world = make("ab", hedge=HEDGE)
    kept, second = kept_by_both(world)
    client = world.client()
    client >> GET
    kept << GOT
    kept.eof()
    world.accept("a") << GOT
    world.turn(0.11)
    second << GOT
    second >> ok(b"second")
    client << ok(b"second")
    assert [1, 1, 1] == counted(world, "hedges", "hedges_won", "stale_saved")

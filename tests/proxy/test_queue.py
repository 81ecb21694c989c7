"""Requests wait for a place in a full pool: in order, for a limited time, and never after their client has left."""

from collections.abc import Callable

from steelyard import errors
from steelyard.core.firsts import NOBODY, Firsts, rank_of
from steelyard.core.spec import QueueSpec, RetrySpec, RouteSpec
from steelyard.core.table import Table
from tests.fakes import Peer, World, answer, forwarded, ok, refused, request

Make = Callable[..., World]

GET = request()
GOT = forwarded()
QUEUE = QueueSpec(size=2, timeout_s=1.0)


def taken(world: World) -> tuple[Peer, Peer]:
    """A client whose request takes the only place, and its backend."""
    client = world.client()
    client >> GET
    backend = world.accept("a")
    backend << GOT
    return client, backend


def a_full(make: Make, **settings: object) -> World:
    return make("a", **{"max_in_flight": 1, "queue": QUEUE, **settings})


def asks(world: World, target: str = "/") -> Peer:
    client = world.client()
    client >> request(f"GET {target} HTTP/1.1")
    return client


def test_without_a_queue_a_full_pool_refuses_at_once(make: Make) -> None:
    world = make("a", max_in_flight=1)
    taken(world)
    asks(world) << refused(errors.FULL)


def test_who_waits_is_served_when_a_place_is_free(make: Make) -> None:
    world = a_full(make)
    client, backend = taken(world)
    second = asks(world)
    world.turn(0.5)
    second << b""
    assert {"a": 1} == world.in_flight
    backend >> ok(b"first")
    client << ok(b"first")
    backend << GOT
    backend >> ok(b"second")
    second << ok(b"second")
    assert 1 == world.counters.read()["queued"]
    assert 0.5 <= world.records[1].duration_s < 0.6


def test_a_limit_of_a_backend_fills_a_pool_too(make: Make) -> None:
    world = make("a", max_connections=1, queue=QUEUE)
    client, backend = taken(world)
    second = asks(world)
    backend >> ok(b"first")
    client << ok(b"first")
    backend << GOT
    backend >> ok(b"second")
    second << ok(b"second")


def test_who_has_waited_too_long_is_refused(make: Make) -> None:
    world = a_full(make)
    client, backend = taken(world)
    second = asks(world)
    world.turn(0.95)
    second << b""
    world.turn(0.15)
    second << refused(errors.QUEUE_TIMEOUT)
    assert "open" == second.end
    backend >> ok()
    client << ok()
    assert [(503, "queue_timeout"), (200, "-")] == world.outcomes


def test_a_full_queue_refuses_at_once(make: Make) -> None:
    world = a_full(make)
    taken(world)
    waiting = [asks(world), asks(world)]
    asks(world) << refused(errors.FULL)
    for client in waiting:
        client << b""
        client.reset()


def test_who_leaves_while_it_waits_is_never_served(make: Make) -> None:
    world = a_full(make)
    client, backend = taken(world)
    second = asks(world)
    second.eof()
    backend >> ok()
    client << ok()
    backend << b""
    assert [(0, "client_gone"), (200, "-")] == world.outcomes
    assert 1 == world.pool.backends[0].requests


def test_nobody_overtakes(make: Make) -> None:
    """Also not when a place is free that those who wait have not been given yet."""
    world = a_full(make)
    client, backend = taken(world)
    second = asks(world, "/second")
    client >> request("GET /third HTTP/1.1")  # pipelined: it begins in the very moment that the first one ends
    backend >> ok(b"first")
    client << ok(b"first")
    backend << forwarded("GET /second HTTP/1.1")
    backend >> ok(b"second")
    second << ok(b"second")
    backend << forwarded("GET /third HTTP/1.1")
    backend >> ok(b"third")
    client << ok(b"third")


def test_a_better_priority_goes_first_and_takes_the_place_of_a_worse_one(make: Make) -> None:
    routes = (
        RouteSpec(path="/urgent", pool="web", priority=0),
        RouteSpec(path="/idle", pool="web", priority=9),
        RouteSpec(pool="web"),
    )
    world = a_full(make, routes=routes)
    client, backend = taken(world)
    idle = asks(world, "/idle")
    usual = asks(world, "/usual")
    urgent = asks(world, "/urgent")
    idle << refused(errors.QUEUE_TIMEOUT)
    backend >> ok()
    client << ok()
    backend << forwarded("GET /urgent HTTP/1.1")
    backend >> ok(b"urgent")
    urgent << ok(b"urgent")
    backend << forwarded("GET /usual HTTP/1.1")
    backend >> ok(b"usual")
    usual << ok(b"usual")


def test_a_body_that_comes_while_its_request_waits_is_not_lost(make: Make) -> None:
    world = a_full(make)
    client, backend = taken(world)
    second = world.client()
    second >> request("POST / HTTP/1.1", "Content-Length: 10", body=b"01234")
    assert second.transport.reading
    second >> b"56789"
    backend >> ok()
    client << ok()
    backend << forwarded("POST / HTTP/1.1", "Content-Length: 10", body=b"01234") + b"56789"
    backend >> ok(b"second")
    second << ok(b"second")


def test_a_pool_that_has_nobody_left_refuses_who_waits(make: Make) -> None:
    world = a_full(make)
    _, backend = taken(world)
    second = asks(world)
    world.reload("", queue=QUEUE, max_in_flight=1)
    world.turn(0.1)
    second << refused(errors.NONE_UP)
    backend.take()


def test_a_place_that_another_worker_gave_back_is_seen_within_a_tick(make: Make) -> None:
    world = a_full(make)
    other = world.pool.backends[0]
    other.begin()  # by somebody who tells nobody
    world.pool.table.add_mine(other.home, 0, 1)
    client = asks(world)
    client << b""
    other.finish(False)
    world.pool.table.add_mine(other.home, 0, -1)
    assert [] == world.dialled
    world.turn(0.11)
    backend = world.accept("a")
    backend << GOT
    backend >> ok()
    client << ok()


def test_a_reload_that_takes_the_queue_away_serves_who_waits_and_takes_nobody_in(make: Make) -> None:
    world = a_full(make)
    client, backend = taken(world)
    second = asks(world)
    world.reload("a", queue=None, max_in_flight=1)
    asks(world) << refused(errors.FULL)
    backend >> ok()
    client << ok()
    backend << GOT
    backend >> ok(b"second")
    second << ok(b"second")


def test_a_reload_that_lifts_the_limit_serves_at_once_who_waits_and_who_comes(make: Make) -> None:
    world = a_full(make)
    taken(world)
    second = asks(world)
    world.reload("a", queue=None, max_in_flight=None)
    world.loop.settle()
    third = asks(world)
    for client in (second, third):
        backend = world.accept("a")
        backend << GOT
        backend >> ok()
        client << ok()


def test_a_reload_to_a_smaller_queue_sends_nobody_away(make: Make) -> None:
    routes = (RouteSpec(path="/urgent", pool="web", priority=0), RouteSpec(pool="web"))
    world = a_full(make, routes=routes, queue=QueueSpec(size=3, timeout_s=1.0))
    taken(world)
    waiting = [asks(world) for _ in range(3)]
    world.reload("a", queue=QueueSpec(size=2, timeout_s=1.0))
    asks(world, "/urgent") << refused(errors.FULL)
    for client in waiting:
        client << b""
        client.reset()


def test_a_reload_that_adds_a_queue_lets_wait(make: Make) -> None:
    world = make("a", max_in_flight=1)
    client, backend = taken(world)
    world.reload("a", queue=QUEUE, max_in_flight=1)
    second = asks(world)
    second << b""
    backend >> ok()
    client << ok()
    backend << GOT
    backend >> ok(b"second")
    second << ok(b"second")


def test_a_request_that_is_tried_elsewhere_keeps_its_place(make: Make) -> None:
    """It has begun: the limit is not asked again for it."""
    world = make("ab", max_in_flight=1, queue=QUEUE)
    client = world.client()
    client >> GET
    second = asks(world)
    world.refuse("a")
    backend = world.accept("b")
    backend << GOT
    backend >> answer("HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close")
    client << answer("HTTP/1.1 200 OK", "Content-Length: 0")
    second.reset()


def test_who_leaves_before_its_body_is_whole_is_never_served(make: Make) -> None:
    world = a_full(make)
    client, backend = taken(world)
    second = world.client()
    second >> request("POST / HTTP/1.1", "Content-Length: 10", body=b"01234")
    second.reset()
    assert [(0, "client_gone")] == world.outcomes
    backend >> ok()
    client << ok()
    backend << b""


def test_a_body_that_is_too_long_to_be_held_waits_at_its_client(make: Make) -> None:
    world = a_full(make, retry=RetrySpec(hold_body_bytes=1000))
    taken(world)
    second = world.client()
    second >> request("POST / HTTP/1.1", "Content-Length: 5000", body=b"x" * 900)
    assert second.transport.reading
    second >> b"x" * 200
    assert not second.transport.reading


def test_whoever_makes_room_does_not_take_that_room_with_its_next_request(make: Make) -> None:
    routes = (RouteSpec(path="/urgent", pool="web", priority=0), RouteSpec(pool="web", priority=9))
    world = a_full(make, routes=routes, queue=QueueSpec(size=1, timeout_s=1.0))
    client, backend = taken(world)
    idle = world.client()
    idle >> request("GET /idle1 HTTP/1.1") + request("GET /idle2 HTTP/1.1")
    urgent = asks(world, "/urgent")
    idle << refused(errors.QUEUE_TIMEOUT) + refused(errors.FULL)
    backend >> ok()
    client << ok()
    backend << forwarded("GET /urgent HTTP/1.1")
    backend >> ok(b"urgent")
    urgent << ok(b"urgent")


def test_one_that_is_late_is_not_served_in_the_moment_before_the_tick(make: Make) -> None:
    world = a_full(make, queue=QueueSpec(size=2, timeout_s=0.21))
    client, backend = taken(world)
    second = asks(world)
    world.loop.clock += 0.22  # no timer has come up yet
    backend >> ok()
    client << ok()
    second << refused(errors.QUEUE_TIMEOUT)
    backend << b""


def test_however_many_come_who_has_waited_too_long_is_refused(make: Make) -> None:
    world = a_full(make)
    taken(world)
    first = asks(world)
    for _ in range(40):  # more often than it is looked who is late
        world.turn(0.03)
        asks(world).reset()
    first << refused(errors.QUEUE_TIMEOUT)


def test_however_many_come_a_place_that_another_worker_gave_back_is_seen(make: Make) -> None:
    world = a_full(make)
    world.pool.table.add_mine(world.pool.backends[0].home, 0, 1)  # by somebody who tells nobody
    client = asks(world)
    world.turn(0.03)
    world.pool.table.add_mine(world.pool.backends[0].home, 0, -1)
    for _ in range(3):
        asks(world).reset()
        world.turn(0.03)
    backend = world.accept("a")
    backend << GOT
    backend >> ok()
    client << ok()


def another(world: World) -> Firsts:
    """The view of a second worker, on who waits first with it."""
    return Firsts(Table(world.memory, world.pool.table.rows, 2, 1), world.pool.tiers[0].row)


def test_a_place_is_left_to_one_who_has_waited_longer_with_another_worker(make: Make) -> None:
    world = a_full(make, workers=2)
    client, backend = taken(world)
    firsts = another(world)
    world.turn(0.5)
    firsts.say(rank_of(5, world.loop.time() + 0.6), world.loop.time())
    second = asks(world)
    backend >> ok()
    client << ok()
    backend << b""
    third = asks(world)  # nor is it for one that comes now
    assert {} == world.in_flight
    firsts.say(NOBODY, world.loop.time())
    world.turn(0.006)
    backend << GOT
    backend >> ok()
    second << ok()
    backend << GOT
    backend >> ok()
    third << ok()
    assert 2 == world.counters.read()["queued"]


def test_who_comes_alone_waits_behind_who_waits_with_another_worker(make: Make) -> None:
    world = a_full(make, workers=2)
    another(world).say(rank_of(5, world.loop.time() + 0.5), world.loop.time())
    client = asks(world)
    assert [] == world.dialled
    world.turn(0.3)  # the other one says nothing more
    backend = world.accept("a")
    backend << GOT
    backend >> ok()
    client << ok()


def test_without_room_to_wait_nobody_waits_for_another_worker(make: Make) -> None:
    world = a_full(make, workers=2)
    world.reload("a", queue=None, max_in_flight=1)
    another(world).say(rank_of(5, world.loop.time() + 0.5), world.loop.time())
    client, backend = taken(world)
    backend >> ok()
    client << ok()


def test_other_workers_hear_who_waits_first(make: Make) -> None:
    world = a_full(make, workers=2)
    taken(world)
    firsts = another(world)
    client = asks(world)
    deadline = world.loop.time() + 1.0
    world.turn(0.006)
    assert firsts.is_anothers_turn(rank_of(5, deadline + 0.1), world.loop.time())
    assert not firsts.is_anothers_turn(rank_of(5, deadline), world.loop.time())
    client.reset()
    world.turn(0.006)
    assert not firsts.is_anothers_turn(rank_of(9, deadline + 9.0), world.loop.time())


def test_a_place_that_another_worker_gave_back_is_seen_within_milliseconds(make: Make) -> None:
    world = a_full(make, workers=2)
    table = another(world).table
    table.add_mine(world.pool.tiers[0].row, 0, 1)
    client = asks(world)
    table.add_mine(world.pool.tiers[0].row, 0, -1)
    world.turn(0.006)
    backend = world.accept("a")
    backend << GOT
    backend >> ok()
    client << ok()

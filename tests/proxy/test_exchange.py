"""One request's whole life: tries and failures, deadlines, back-pressure, and that nothing is left over or mixed up."""

from collections.abc import Callable

import pytest

from steelyard import errors
from steelyard.core.spec import HealthCheckSpec, ListenerTimeouts, PoolTimeouts, RespondSpec, RetrySpec, RouteSpec
from tests.fakes import READ_BYTES, Peer, World, answer, chunks, forwarded, ok, refused, request

Make = Callable[..., World]

GET = request()
POST = request("POST / HTTP/1.1", "Content-Length: 5", body=b"hello")
PUT = request("PUT / HTTP/1.1", "Content-Length: 5", body=b"hello")
GOT = forwarded()
POSTED = forwarded("POST / HTTP/1.1", "Content-Length: 5", body=b"hello")
HAVE_PUT = forwarded("PUT / HTTP/1.1", "Content-Length: 5", body=b"hello")


def kept(world: World, host: str = "a") -> tuple[Peer, Peer]:
    """A client and a backend with a connection that is idle."""
    client = world.client()
    client >> GET
    backend = world.accept(host)
    backend << GOT
    backend >> ok()
    client << ok()
    world.turn(1.0)
    return client, backend


def test_a_request_goes_to_a_backend_and_its_answer_comes_back(world: World) -> None:
    client = world.client()
    client >> GET
    assert ["a"] == world.dialled
    assert {"a": 1} == world.in_flight
    backend = world.accept("a")
    backend << GOT
    world.turn(0.5)
    backend >> ok(b"hello")
    client << ok(b"hello")
    assert {} == world.in_flight
    (record,) = world.records
    assert ("192.0.2.7", "front", "GET", "site", "/") == record[1:6]
    assert (200, "-", "web", "a:80", 1) == record[6:11]
    assert (0, 5) == record[12:14]
    assert 0.5 <= record.duration_s < 0.6


def test_the_next_request_takes_the_kept_connection(world: World) -> None:
    client, backend = kept(world)
    client >> GET
    assert [] == world.dialled
    backend << GOT
    backend >> ok()
    client << ok()


def test_requests_go_round(make: Make) -> None:
    world = make("abc")
    for host in "abca":
        client = world.client()
        client >> GET
        backend = world.accept(host) if host not in world.idle else None
        if backend is not None:
            backend << GOT
            backend >> answer("HTTP/1.1 200 OK", "Connection: close", "Content-Length: 0")
            client << ok(b"")


# Failover: nothing of the request has left.


@pytest.mark.parametrize(("sent", "got"), [(GET, GOT), (POST, POSTED), (PUT, HAVE_PUT)])
def test_a_refused_connect_is_tried_elsewhere_whatever_the_method(make: Make, sent: bytes, got: bytes) -> None:
    world = make("ab")
    client = world.client()
    client >> sent
    world.refuse("a")
    assert {"b": 1} == world.in_flight
    backend = world.accept("b")
    backend << got
    backend >> ok()
    client << ok()
    assert [2] == [record.tries for record in world.records]
    assert [1, 0] == [backend.failures for backend in world.pool.backends]


def test_so_many_backends_are_tried_and_no_more(make: Make) -> None:
    world = make("abcd", retry=RetrySpec(tries=3))
    client = world.client()
    client >> GET
    world.refuse("a")
    world.refuse("b")
    world.turn(0.02)  # before a third one there is a pause
    world.refuse("c")
    assert [] == world.dialled
    client << refused(errors.CONNECT_FAILED)
    assert "open" == client.end
    assert [(502, "connect_failed")] == world.outcomes


def test_no_backend_is_tried_twice(make: Make) -> None:
    world = make("ab", retry=RetrySpec(tries=9))
    client = world.client()
    client >> GET
    world.refuse("a")
    world.refuse("b")
    client << refused(errors.CONNECT_FAILED)


def test_a_connect_that_takes_too_long_is_tried_elsewhere(make: Make) -> None:
    world = make("ab", timeouts=PoolTimeouts(connect_s=3.0))
    client = world.client()
    client >> POST
    world.turn(2.9)
    assert ["a"] == world.dialled
    world.turn(0.2)
    assert ["b"] == world.dialled
    world.turn(3.1)
    client << refused(errors.CONNECT_TIMEOUT)
    assert [(504, "connect_timeout")] == world.outcomes


def test_failed_connects_take_a_backend_out_of_a_pool_with_checks(make: Make) -> None:
    world = make("ab", check=HealthCheckSpec())
    client = world.client()
    client >> GET
    world.refuse("a")
    assert [("a", False)] == world.changes
    backend = world.accept("b")
    backend << GOT
    backend >> ok()
    client << ok()
    client >> GET
    backend << GOT
    backend >> ok()
    client << ok()


def test_when_all_are_down_the_answer_is_immediate(make: Make) -> None:
    world = make("a", check=HealthCheckSpec(interval_s=19.5))
    client = world.client()
    client >> GET
    world.refuse("a")
    client << refused(errors.CONNECT_FAILED)
    client >> GET
    client << refused(errors.NONE_UP, retry_after_s=20)  # before the next check nobody comes back
    assert "open" == client.end
    assert [] == world.dialled


def test_a_full_backend_is_not_asked(make: Make) -> None:
    world = make("a", max_connections=1)
    first, second = world.client(), world.client()
    first >> GET
    second >> GET
    second << refused(errors.FULL)
    backend = world.accept("a")
    backend << GOT
    backend >> ok()
    first << ok()
    second >> GET
    backend << GOT
    backend >> ok()
    second << ok()


# Failover: the request was sent.


@pytest.mark.parametrize("rudely", [False, True])
@pytest.mark.parametrize(("sent", "got"), [(GET, GOT), (PUT, HAVE_PUT)])
def test_an_idempotent_request_is_tried_elsewhere_when_the_backend_closes(
    make: Make, sent: bytes, got: bytes, rudely: bool
) -> None:
    world = make("ab")
    client = world.client()
    client >> sent
    first = world.accept("a")
    first << got
    first.reset() if rudely else first.eof()
    backend = world.accept("b")
    backend << got
    backend >> ok()
    client << ok()
    assert [(200, "-")] == world.outcomes


@pytest.mark.parametrize("method", ["POST", "PATCH", "LOCK", "get"])
def test_any_other_is_never_sent_twice(make: Make, method: str) -> None:
    world = make("ab")
    client = world.client()
    client >> request(f"{method} / HTTP/1.1")
    backend = world.accept("a")
    backend << forwarded(f"{method} / HTTP/1.1")
    backend.eof()
    client << refused(errors.CLOSED_EARLY)
    assert [] == world.dialled
    assert [(502, "closed_early")] == world.outcomes


def test_a_response_timeout_is_not_retried(make: Make) -> None:
    world = make("ab")
    client = world.client()
    client >> GET
    world.accept("a") << GOT
    world.turn(60.1)
    client << refused(errors.RESPONSE_TIMEOUT)
    assert [] == world.dialled


@pytest.mark.parametrize("rudely", [False, True])
def test_a_stale_connection_is_replaced_by_a_fresh_one_to_the_same_backend(make: Make, rudely: bool) -> None:
    """It is no failure of the backend and costs nothing of the budget."""
    world = make("ab", retry=RetrySpec(tries=1, budget=0.0, budget_floor=0))
    client, old = kept(world)
    world.pool.backends[1].set_healthy(False)
    client >> PUT
    old << HAVE_PUT
    old.reset() if rudely else old.eof()
    fresh = world.accept("a")
    fresh << HAVE_PUT
    fresh >> ok()
    client << ok()
    assert [1, 1] == [record.tries for record in world.records]
    assert 0 == world.pool.backends[0].failures


def test_a_stale_connection_is_replaced_once(make: Make) -> None:
    world = make()
    client, old = kept(world)
    client >> GET
    old << GOT
    old.eof()
    fresh = world.accept("a")
    fresh << GOT
    fresh.eof()
    client << refused(errors.CLOSED_EARLY)


def test_what_was_sent_on_a_stale_connection_is_not_sent_again_when_that_could_do_harm(make: Make) -> None:
    world = make()
    client, old = kept(world)
    client >> POST
    old << POSTED
    old.eof()
    assert [] == world.dialled
    client << refused(errors.STALE)
    assert [(200, "-"), (502, "stale")] == world.outcomes


@pytest.mark.parametrize("in_kernel", [b"", b"x", ConnectionResetError(104, "reset")], ids=["closed", "bytes", "reset"])
def test_a_kept_connection_that_is_seen_to_be_unfit_is_not_used(world: World, in_kernel: bytes | OSError) -> None:
    """So that a POST finds a fresh one."""
    client, old = kept(world)
    old.transport.protocol.sock.in_kernel = in_kernel
    client >> POST
    old << b""
    fresh = world.accept("a")
    fresh << POSTED
    fresh >> ok()
    client << ok()


def test_a_stale_connection_in_the_middle_of_an_upload_gets_the_held_part_again(world: World) -> None:
    client, old = kept(world)
    client >> request("PUT / HTTP/1.1", "Content-Length: 5", body=b"he")
    old << forwarded("PUT / HTTP/1.1", "Content-Length: 5", body=b"he")
    old.eof()
    client >> b"l"
    fresh = world.accept("a")
    client >> b"lo"
    fresh << HAVE_PUT
    fresh >> ok()
    client << ok()


def test_a_body_that_is_longer_than_what_is_held_is_sent_once(make: Make) -> None:
    world = make("ab", retry=RetrySpec(hold_body_bytes=4))
    client = world.client()
    client >> PUT
    backend = world.accept("a")
    backend << HAVE_PUT
    backend.eof()
    client << refused(errors.CLOSED_EARLY)
    assert [] == world.dialled


def test_one_that_fits_is_sent_again(make: Make) -> None:
    world = make("ab", retry=RetrySpec(hold_body_bytes=5))
    client = world.client()
    client >> request("PUT / HTTP/1.1", "Content-Length: 5", body=b"hel")
    backend = world.accept("a")
    client >> b"lo"
    backend << HAVE_PUT
    backend.eof()
    other = world.accept("b")
    other << HAVE_PUT
    other >> ok()
    client << ok()


def test_a_long_body_is_tried_elsewhere_as_long_as_nothing_of_it_was_sent(make: Make) -> None:
    world = make("ab", retry=RetrySpec(hold_body_bytes=4))
    client = world.client()
    client >> PUT
    world.refuse("a")
    backend = world.accept("b")
    backend << HAVE_PUT
    backend >> ok()
    client << ok()


def test_the_body_waits_with_the_client_while_a_backend_is_dialled(world: World) -> None:
    client = world.client()
    client >> request("POST / HTTP/1.1", "Content-Length: 300", body=b"a" * 100)
    client >> b"b" * 100 >> b"c" * 100
    assert client.unread >= 100
    backend = world.accept("a")
    backend << forwarded("POST / HTTP/1.1", "Content-Length: 300", body=b"a" * 100 + b"b" * 100 + b"c" * 100)
    backend >> ok()
    client << ok()


@pytest.mark.parametrize("begun", [
    answer("HTTP/1.1 200 OK", "Content-Length: 5", body=b"hel"),
    answer("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=chunks(b"hel", end=False)),
    answer("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=b"5\r\nhel"),
    answer("HTTP/1.1 200 OK", "Content-Length: 5"),
])  # fmt: skip
@pytest.mark.parametrize("rudely", [False, True])
def test_an_answer_that_breaks_off_is_not_retried_and_the_client_can_see_it(
    make: Make, begun: bytes, rudely: bool
) -> None:
    world = make("ab")
    client = world.client()
    client >> GET
    backend = world.accept("a")
    backend << GOT
    backend >> begun
    backend.reset() if rudely else backend.eof()
    client << begun
    assert "closed" == client.end
    assert [] == world.dialled
    assert [(200, "truncated")] == world.outcomes
    assert [1, 0] == [backend.failures for backend in world.pool.backends]


def test_a_reset_of_an_answer_without_length_is_no_end_of_it(world: World) -> None:
    client = world.client()
    client >> GET
    backend = world.accept("a")
    backend << GOT
    backend >> answer("HTTP/1.1 200 OK", body=b"hel")
    backend.reset()
    client << answer("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=chunks(b"hel", end=False))
    assert "closed" == client.end
    assert [(200, "truncated")] == world.outcomes


# Failover: the answer is an error.


def test_an_answer_of_a_listed_status_is_tried_elsewhere(make: Make) -> None:
    world = make("ab", retry=RetrySpec(on_status=(503,)))
    client = world.client()
    client >> PUT
    first = world.accept("a")
    first << HAVE_PUT
    first >> answer("HTTP/1.1 503 Busy", "Content-Length: 10", body=b"go")
    assert "aborted" == first.end
    client << b""
    backend = world.accept("b")
    backend << HAVE_PUT
    backend >> ok()
    client << ok()
    assert [1, 0] == [backend.failures for backend in world.pool.backends]


@pytest.mark.parametrize(("status", "method"), [("503", "POST"), ("500", "GET")])
def test_an_answer_is_an_answer_otherwise(make: Make, status: str, method: str) -> None:
    world = make("ab", retry=RetrySpec(on_status=(503,)))
    client = world.client()
    client >> request(f"{method} / HTTP/1.1")
    backend = world.accept("a")
    backend << forwarded(f"{method} / HTTP/1.1")
    bad = answer(f"HTTP/1.1 {status} Oh", "Content-Length: 2", body=b"no")
    backend >> bad
    client << bad
    assert ["a"] == world.idle


def test_when_nobody_answers_better_the_client_gets_the_last_answer(make: Make) -> None:
    world = make("ab", retry=RetrySpec(on_status=(503,)))
    client = world.client()
    client >> GET
    for host in "ab":
        backend = world.accept(host)
        backend << GOT
        backend >> answer("HTTP/1.1 503 Busy", f"Server: {host}", "Content-Length: 0")
    client << answer("HTTP/1.1 503 Busy", "Server: b", "Content-Length: 0")
    assert [(503, "-")] == world.outcomes


# Failover: the little balancer, system 5 of the README's table.

LITTLE = RetrySpec(tries=3, same_backend=3, delay_s=0.010, mark_down=True, budget=None)


def test_the_same_backend_is_tried_again_before_it_is_marked_down_and_another_one_is_asked(make: Make) -> None:
    world = make("abc", retry=LITTLE, check=HealthCheckSpec(fall=99))
    world.pool.probed(world.pool.backends[0], True, 0.0)
    client = world.client()
    client >> POST
    for pause_s in (0.010, 0.020, 0.040):
        world.refuse("a")
        assert [] == world.dialled
        world.turn(pause_s - 0.001)
        assert [] == world.dialled
        world.turn(pause_s / 2 + 0.002)  # up to half as long again by chance
    assert [] == world.changes
    world.refuse("a")
    assert [("a", False)] == world.changes
    backend = world.accept("b")
    backend << POSTED
    backend >> ok()
    client << ok()
    (record,) = world.records
    assert (5, "b:80") == (record.tries, record.backend)


@pytest.mark.parametrize(("sent", "got", "kind", "down"), [
    (POST, POSTED, errors.CLOSED_EARLY, []),
    (PUT, HAVE_PUT, errors.NONE_UP, [("a", False)]),
])  # fmt: skip
def test_only_a_backend_whose_tries_could_be_repeated_is_marked_down(
    make: Make, sent: bytes, got: bytes, kind: errors.Kind, down: list[tuple[str, bool]]
) -> None:
    world = make("a", retry=LITTLE, check=HealthCheckSpec())
    client = world.client()
    client >> sent
    for _ in range(4 if down else 1):
        backend = world.accept("a")
        backend << got
        backend.reset()
        world.turn(0.07)
    client << refused(kind, retry_after_s=2)
    assert [] == world.dialled
    assert down == world.changes


def test_each_backend_may_have_a_stale_connection(make: Make) -> None:
    world = make("ab", retry=RetrySpec(budget=None))
    clients = [world.client(), world.client()]
    backends = {}
    for client, host in zip(clients, "ab", strict=True):
        client >> GET
        backends[host] = world.accept(host)
        backends[host] << GOT
        backends[host] >> ok()
        client << ok()
    clients[0] >> GET
    backends["a"] << GOT
    backends["a"].eof()
    fresh = world.accept("a")
    fresh << GOT
    fresh.eof()
    backends["b"] << GOT
    backends["b"].eof()
    fresh = world.accept("b")
    fresh << GOT
    fresh >> ok()
    clients[0] << ok()


def test_when_all_were_marked_down_service_is_not_available(make: Make) -> None:
    world = make("abcd", retry=LITTLE, check=HealthCheckSpec())
    client = world.client()
    client >> GET
    for host in "aaaabbbbcccc":
        world.refuse(host)
        world.turn(0.07)
    assert [] == world.dialled
    client << refused(errors.NONE_UP, retry_after_s=2)
    assert [("a", False), ("b", False), ("c", False)] == world.changes
    assert [(503, "none_up")] == world.outcomes


def test_a_client_that_leaves_in_the_delay_ends_the_tries(make: Make) -> None:
    world = make("ab", retry=LITTLE)
    client = world.client()
    client >> GET
    world.refuse("a")
    assert {"a": 1} == world.in_flight
    client.eof()
    assert {} == world.in_flight
    world.turn(1.0)
    assert [] == world.dialled
    assert [(0, "client_gone")] == world.outcomes


def test_a_body_that_comes_in_the_delay_is_not_lost(make: Make) -> None:
    world = make("a", retry=LITTLE)
    client = world.client()
    client >> request("POST / HTTP/1.1", "Content-Length: 5", body=b"he")
    world.refuse("a")
    client >> b"ll" >> b"o"
    world.turn(0.02)
    backend = world.accept("a")
    backend << POSTED
    backend >> ok()
    client << ok()


def test_the_budget_bounds_the_tries_of_a_failing_pool(make: Make) -> None:
    world = make("ab", retry=RetrySpec(budget=0.2, budget_floor=3))
    client = world.client()
    dials = 0
    for _ in range(100):
        client >> GET
        while world.dialled:
            dials += 1
            world.refuse(world.dialled[0])
        client << refused(errors.CONNECT_FAILED)
    assert 100 + 20 <= dials <= 100 + 20 + 3


# The client goes.


@pytest.mark.parametrize("rudely", [False, True])
@pytest.mark.parametrize("stage", ["dialling", "uploading", "waiting", "streaming", "chunks", "open end"])
def test_a_client_that_goes_takes_its_backend_request_with_it(world: World, stage: str, rudely: bool) -> None:
    client = world.client()
    client >> (request("POST / HTTP/1.1", "Content-Length: 5", body=b"he") if stage == "uploading" else GET)
    backend = None
    if stage != "dialling":
        backend = world.accept("a")
        backend.take()
    if backend is not None and stage in ("streaming", "chunks", "open end"):
        framing = {"streaming": "Content-Length: 9", "chunks": "Transfer-Encoding: chunked", "open end": "X: y"}[stage]
        backend >> answer("HTTP/1.1 200 OK", framing, body=b"5\r\nhello")
        assert b"hello" in client.take()
    client.reset() if rudely else client.eof()
    assert [] == world.dialled
    assert {} == world.in_flight
    assert [] == world.idle
    assert backend is None or "aborted" == backend.end
    status = 200 if stage in ("streaming", "chunks", "open end") else 0
    assert [(status, "client_gone")] == world.outcomes
    assert [0] == [backend.failures for backend in world.pool.backends]


def test_a_client_that_goes_between_requests_leaves_no_record(world: World) -> None:
    client, _ = kept(world)
    client.eof()
    assert "closed" == client.end
    assert [(200, "-")] == world.outcomes
    assert ["a"] == world.idle


def test_a_truncated_upload_is_never_a_whole_request(world: World) -> None:
    client = world.client()
    client >> request("PUT / HTTP/1.1", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n")
    backend = world.accept("a")
    backend << forwarded("PUT / HTTP/1.1", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n")
    client.eof()
    backend << b""
    assert "aborted" == backend.end


# The total timeout.


@pytest.mark.parametrize("stage", ["dialling", "uploading", "waiting", "delay"])
def test_the_whole_exchange_has_its_time(make: Make, stage: str) -> None:
    world = make(
        "a",
        timeouts=PoolTimeouts(total_s=5.0, connect_s=100.0),
        retry=RetrySpec(same_backend=1, delay_s=100.0),
    )
    client = world.client()
    client >> (request("POST / HTTP/1.1", "Content-Length: 5") if stage == "uploading" else GET)
    backend = None
    if stage == "delay":
        world.refuse("a")
    elif stage != "dialling":
        backend = world.accept("a")
        backend.take()
    world.turn(4.9)
    client << b""
    world.turn(0.2)
    client << refused(errors.TOTAL_TIMEOUT, close=stage == "uploading")
    assert backend is None or "aborted" == backend.end
    assert {} == world.in_flight
    assert [] == world.dialled
    assert [(504, "total_timeout")] == world.outcomes


def test_an_answer_that_lasts_longer_than_the_whole_exchange_may_is_broken_off(make: Make) -> None:
    world = make(timeouts=PoolTimeouts(total_s=5.0))
    client = world.client()
    client >> GET
    backend = world.accept("a")
    backend << GOT
    backend >> answer("HTTP/1.1 200 OK", "Content-Length: 9")
    for _ in range(4):
        world.turn(1.0)
        backend >> b"x"
    world.turn(1.1)
    client << answer("HTTP/1.1 200 OK", "Content-Length: 9", body=b"xxxx")
    assert "closed" == client.end
    assert "aborted" == backend.end
    assert [(200, "total_timeout")] == world.outcomes


def test_two_timeouts_in_the_same_turn_of_a_late_loop_end_an_exchange_once(make: Make) -> None:
    world = make(timeouts=PoolTimeouts(total_s=10.5, response_s=10.0))
    client = world.client()
    client >> GET
    world.accept("a") << GOT
    world.loop.clock += 30.0
    world.turn(1.0)
    client << refused(errors.RESPONSE_TIMEOUT)
    assert [(504, "response_timeout")] == world.outcomes


# Back-pressure.

MIB = 1024 * 1024


def test_a_client_that_does_not_read_holds_the_backend_back(make: Make) -> None:
    world = make()
    client = world.client()
    client >> GET
    backend = world.accept("a")
    backend << GOT
    client.stop_reading(1000)
    sent = ok(bytes(range(256)) * (MIB // 256))
    backend >> sent
    assert client.transport.most_held <= READ_BYTES
    assert MIB - READ_BYTES - 1000 <= backend.unread
    for _ in range(3):
        client.read(1000)
        assert client.transport.most_held <= READ_BYTES
    client.read()
    client << sent
    assert ["a"] == world.idle


@pytest.mark.parametrize("framing", ["Transfer-Encoding: chunked", "X: open end"])
def test_however_its_answer_is_framed(world: World, framing: str) -> None:
    client = world.client()
    client >> GET
    backend = world.accept("a")
    backend << GOT
    client.stop_reading()
    backend >> answer("HTTP/1.1 200 OK", framing)
    for _ in range(5):
        backend >> chunks(b"x" * (READ_BYTES - 10), end=False)
    assert client.transport.most_held <= READ_BYTES + 1000
    assert 3 * READ_BYTES <= backend.unread
    client.read()
    assert 0 == backend.unread
    assert 5 * (READ_BYTES - 10) <= len(client.take())


def test_a_backend_that_does_not_read_holds_the_client_back(make: Make) -> None:
    world = make()
    client = world.client()
    client >> request("POST / HTTP/1.1", f"Content-Length: {MIB}")
    backend = world.accept("a")
    backend << forwarded("POST / HTTP/1.1", f"Content-Length: {MIB}")
    backend.stop_reading(1000)
    body = bytes(range(256)) * (MIB // 256)
    client >> body
    assert backend.transport.most_held <= READ_BYTES
    assert MIB - READ_BYTES - 1000 <= client.unread
    backend.read()
    backend << body
    backend >> ok()
    client << ok()
    client >> GET
    backend << GOT
    backend >> ok()
    client << ok()


def test_a_backend_that_answers_before_it_has_read_is_not_kept(world: World) -> None:
    """The next upload would meet a full connection that holds nobody back."""
    client = world.client()
    client >> POST
    backend = world.accept("a")
    backend << POSTED
    backend >> ok()
    client << ok()
    backend.stop_reading()
    client >> POST
    backend >> ok()
    client << ok()
    assert "aborted" == backend.end
    client >> GET
    second = world.accept("a")
    second << GOT
    second >> ok()
    client << ok()


def test_a_client_that_was_slow_to_read_holds_back_the_next_backend_too(make: Make) -> None:
    world = make("ab", retry=RetrySpec(on_status=(503,)))
    client = world.client()
    client >> GET
    client.stop_reading()
    first = world.accept("a")
    first << GOT
    hints = answer("HTTP/1.1 103 Early Hints", "Link: x")
    first >> hints + answer("HTTP/1.1 503 Busy", "Content-Length: 0")
    second = world.accept("b")
    second << GOT
    second >> ok()
    assert len(ok()) == second.unread
    client.read()
    client << hints + ok()


def test_a_client_that_reads_an_early_answer_slowly_has_its_time_for_the_body_again(make: Make) -> None:
    world = make(client_timeouts=ListenerTimeouts(body_s=10.0, write_s=100.0))
    client = world.client()
    client >> request("POST / HTTP/1.1", "Content-Length: 9")
    backend = world.accept("a")
    backend << forwarded("POST / HTTP/1.1", "Content-Length: 9")
    client.stop_reading()
    begun = answer("HTTP/1.1 200 OK", "Content-Length: 9", "Connection: close", body=b"begun")
    backend >> answer("HTTP/1.1 200 OK", "Content-Length: 9", body=b"begun")
    world.turn(50.0)
    client.read()
    client << begun
    world.turn(9.9)
    assert "open" == client.end
    world.turn(0.2)
    assert ("closed", "aborted") == (client.end, backend.end)
    assert [(200, "request_timeout")] == world.outcomes


def test_a_client_that_reads_nothing_is_let_go_in_time_and_one_that_reads_a_little_is_not(make: Make) -> None:
    world = make(client_timeouts=ListenerTimeouts(write_s=10.0))
    client = world.client()
    client >> GET
    backend = world.accept("a")
    backend << GOT
    client.stop_reading(500)
    backend >> ok(b"x" * 2000)
    for _ in range(3):
        world.turn(9.0)
        client.read(100)
    world.turn(9.0)
    assert "open" == client.end
    world.turn(20.1)
    assert "reset" == client.end
    assert 800 == len(client.take())


def test_a_client_that_stops_reading_takes_its_backend_request_with_it(make: Make) -> None:
    world = make(client_timeouts=ListenerTimeouts(write_s=10.0))
    client = world.client()
    client >> GET
    backend = world.accept("a")
    backend << GOT
    client.stop_reading()
    backend >> answer("HTTP/1.1 200 OK", "Content-Length: 5", body=b"hel")
    world.turn(10.1)
    assert ("reset", "aborted") == (client.end, backend.end)
    assert [(200, "client_too_slow")] == world.outcomes
    assert [0] == [backend.failures for backend in world.pool.backends]


# Early answers.


@pytest.mark.parametrize("framing", [("Content-Length: 20",), ("Transfer-Encoding: chunked",)])
def test_an_answer_before_the_requests_end_is_delivered_and_both_connections_end(
    world: World, framing: tuple[str, ...]
) -> None:
    client = world.client()
    client >> request("POST / HTTP/1.1", *framing, body=b"5\r\nhello\r\n")
    backend = world.accept("a")
    backend << forwarded("POST / HTTP/1.1", *framing, body=b"5\r\nhello\r\n")
    no = answer("HTTP/1.1 413 No", "Content-Length: 2", body=b"no")
    backend >> no
    client << answer("HTTP/1.1 413 No", "Content-Length: 2", "Connection: close", body=b"no")
    assert ("aborted", "eof") == (backend.end, client.end)
    client >> b"the rest" >> GET
    client.eof()
    assert "closed" == client.end
    assert [(413, "-")] == world.outcomes


def test_an_early_answer_to_a_client_that_is_gone_ends_in_peace(world: World) -> None:
    client = world.client()
    client >> request("POST / HTTP/1.1", "Content-Length: 20")
    backend = world.accept("a")
    backend << forwarded("POST / HTTP/1.1", "Content-Length: 20")
    client.vanish()
    backend >> ok()
    world.turn(1.0)
    assert (True, True) == (client.transport.lost, backend.transport.lost)
    assert [(200, "-")] == world.outcomes


def test_what_a_client_goes_on_sending_is_thrown_away_for_a_while(world: World) -> None:
    client = world.client()
    client >> request("POST / HTTP/1.1", "Content-Length: 9999")
    backend = world.accept("a")
    backend << forwarded("POST / HTTP/1.1", "Content-Length: 9999")
    backend >> ok()
    client << answer("HTTP/1.1 200 OK", "Content-Length: 2", "Connection: close", body=b"ok")
    for _ in range(4):
        world.turn(1.0)
        client >> b"x" * 1000
        assert 0 == client.unread
    assert "eof" == client.end
    world.turn(1.1)
    assert client.transport.lost


def test_an_answer_that_began_early_but_ended_after_the_request_leaves_the_backend_usable(world: World) -> None:
    client = world.client()
    client >> request("POST / HTTP/1.1", "Content-Length: 3", body=b"a")
    backend = world.accept("a")
    backend >> answer("HTTP/1.1 200 OK", "Content-Length: 2", body=b"o")
    client >> b"bc"
    backend << forwarded("POST / HTTP/1.1", "Content-Length: 3", body=b"abc")
    backend >> b"k"
    client << answer("HTTP/1.1 200 OK", "Content-Length: 2", "Connection: close", body=b"ok")
    assert ["a"] == world.idle
    assert "closed" == client.end


# 100-continue.


def test_a_client_that_waits_for_100_gets_the_backends(world: World) -> None:
    client = world.client()
    client >> request("POST / HTTP/1.1", "Expect: 100-continue", "Content-Length: 5")
    backend = world.accept("a")
    backend << forwarded("POST / HTTP/1.1", "Content-Length: 5", kept=("Expect: 100-continue",))
    backend >> answer("HTTP/1.1 100 Continue")
    client << answer("HTTP/1.1 100 Continue")
    client >> b"hello"
    backend << b"hello"
    backend >> ok()
    client << ok()
    assert [(200, "-")] == world.outcomes


def test_a_client_that_does_not_wait_sends_its_body_once(world: World) -> None:
    client = world.client()
    client >> request("POST / HTTP/1.1", "Expect: 100-continue", "Content-Length: 5", body=b"hello")
    backend = world.accept("a")
    backend << forwarded("POST / HTTP/1.1", "Content-Length: 5", kept=("Expect: 100-continue",), body=b"hello")
    backend >> answer("HTTP/1.1 100 Continue") + ok()
    client << answer("HTTP/1.1 100 Continue") + ok()


def test_a_backend_that_refuses_the_expectation_ends_the_connection(world: World) -> None:
    client = world.client()
    client >> request("POST / HTTP/1.1", "Expect: 100-continue", "Content-Length: 5")
    backend = world.accept("a")
    backend << forwarded("POST / HTTP/1.1", "Content-Length: 5", kept=("Expect: 100-continue",))
    backend >> answer("HTTP/1.1 417 Expectation Failed", "Content-Length: 0")
    client << answer("HTTP/1.1 417 Expectation Failed", "Content-Length: 0", "Connection: close")
    assert ("aborted", "eof") == (backend.end, client.end)


# Limits of the body, and routes.

LIMITED = (RouteSpec(pool="web", max_body_bytes=5),)


def test_a_body_that_is_announced_too_large_never_reaches_a_backend(make: Make) -> None:
    world = make(routes=LIMITED)
    client = world.client()
    client >> request("POST / HTTP/1.1", "Content-Length: 6", body=b"hello!")
    client << refused(errors.BODY_TOO_LARGE, close=True)
    assert [] == world.dialled
    assert "eof" == client.end
    assert [(413, "body_too_large")] == world.outcomes


def test_a_body_of_the_largest_size_passes(make: Make) -> None:
    world = make(routes=LIMITED)
    client = world.client()
    client >> POST
    backend = world.accept("a")
    backend << POSTED
    backend >> ok()
    client << ok()


def test_a_chunked_body_of_the_largest_size_passes(make: Make) -> None:
    """The limit is of the body, not of its framing."""
    world = make(routes=LIMITED)
    client = world.client()
    client >> request("POST / HTTP/1.1", "Transfer-Encoding: chunked", body=chunks(b"h", b"ello"))
    backend = world.accept("a")
    backend << forwarded("POST / HTTP/1.1", "Transfer-Encoding: chunked", body=chunks(b"h", b"ello"))
    backend >> ok()
    client << ok()
    assert [5] == [record.received for record in world.records]


def test_a_chunked_body_that_grows_too_large_is_refused_on_its_way(make: Make) -> None:
    world = make(routes=LIMITED)
    client = world.client()
    client >> request("POST / HTTP/1.1", "Transfer-Encoding: chunked")
    backend = world.accept("a")
    backend << forwarded("POST / HTTP/1.1", "Transfer-Encoding: chunked")
    client >> b"20\r\n" + b"x" * 32 + b"\r\n"
    client << refused(errors.BODY_TOO_LARGE, close=True)
    assert b"0\r\n\r\n" not in backend.take()
    assert ("aborted", "eof") == (backend.end, client.end)


def test_a_chunked_body_that_came_whole_and_too_large_never_reaches_a_backend(make: Make) -> None:
    world = make(routes=LIMITED)
    client = world.client()
    client >> request("POST / HTTP/1.1", "Transfer-Encoding: chunked", body=chunks(b"x" * 32))
    client << refused(errors.BODY_TOO_LARGE, close=True)
    assert [] == world.dialled


def test_a_request_that_no_route_takes_is_a_404_and_the_connection_stays(make: Make) -> None:
    world = make(routes=(RouteSpec(path="/here", pool="web"),))
    client = world.client()
    client >> request("GET /there HTTP/1.1")
    client << refused(errors.NO_ROUTE)
    assert "open" == client.end
    client >> request("GET /here HTTP/1.1")
    backend = world.accept("a")
    backend << forwarded("GET /here HTTP/1.1")
    backend >> ok()
    client << ok()
    assert [(404, "no_route"), (200, "-")] == world.outcomes


def test_one_whose_body_is_still_to_come_ends_the_connection(make: Make) -> None:
    world = make(routes=(RouteSpec(path="/here", pool="web"),))
    client = world.client()
    client >> request("POST /there HTTP/1.1", "Content-Length: 5", body=b"he")
    client << refused(errors.NO_ROUTE, close=True)
    client >> b"llo" + GET
    assert "eof" == client.end


def test_a_path_that_means_two_routes_is_refused(make: Make) -> None:
    world = make(routes=(RouteSpec(path="/a/b", respond=RespondSpec(body="one")), RouteSpec(pool="web")))
    client = world.client()
    client >> request("GET /a%2fb HTTP/1.1")
    client << refused(errors.AMBIGUOUS_PATH, close=True)
    assert [] == world.dialled


HEALTH = (RouteSpec(path="/health", respond=RespondSpec(200, "OK", "text/plain")), RouteSpec(pool="web"))
OK = answer("HTTP/1.1 200 OK", "Content-Type: text/plain", "Content-Length: 2", body=b"OK")


def test_a_fixed_answer_asks_no_backend(make: Make) -> None:
    world = make(routes=HEALTH)
    client = world.client()
    client >> request("GET /health HTTP/1.1")
    client << OK
    client >> request("HEAD /health HTTP/1.1")
    client << OK[:-2]
    client >> request("POST /health HTTP/1.1", "Content-Length: 5", body=b"hello")
    client << OK
    client >> request("POST /health HTTP/1.1", "Content-Length: 5", body=b"he")
    client << OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert "eof" == client.end
    assert [] == world.dialled
    assert [(200, "-", "-", "-", 0)] * 4 == [record[6:11] for record in world.records]


def test_a_retry_that_has_nowhere_to_go_costs_the_budget_nothing(make: Make) -> None:
    world = make("a", retry=RetrySpec(on_status=(503,), budget_floor=1))
    client = world.client()
    for _ in range(3):
        client >> GET
        backend = world.accept("a") if world.dialled else world.peers[-1]
        backend << GOT
        backend >> answer("HTTP/1.1 503 Busy", "Content-Length: 0")
        client << answer("HTTP/1.1 503 Busy", "Content-Length: 0")
    assert world.pool.bears_retry(errors.CLOSED_EARLY, world.wheel.now())


def test_a_record_counts_data_and_not_its_framing(world: World) -> None:
    client = world.client()
    client >> request("PUT /x HTTP/1.1", "Transfer-Encoding: chunked", body=chunks(b"hel", b"lo"))
    backend = world.accept("a")
    backend.take()
    backend >> answer("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=chunks(b"wor", b"ld", b"!"))
    client.take()
    (record,) = world.records
    assert (5, 6) == (record.received, record.sent)

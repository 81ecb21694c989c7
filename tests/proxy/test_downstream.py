"""The client's side: requests in, answers out in order, and every way of closing."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from sys import getrefcount

import pytest

from steelyard import errors
from steelyard.core.spec import ListenerTimeouts, RespondSpec, RouteSpec
from steelyard.errors import Kind
from steelyard.proxy.context import ListenerContext
from steelyard.proxy.downstream import Downstream
from tests.fakes import READ_BYTES, Peer, World, answer, chunks, forwarded, head, ok, refused, request

# As the module has them; compiled, they are C numbers that nobody can import.
LINGER_S = 5.0
LINGER_BYTES = 4 * 1024 * 1024
MAX_AHEAD_BYTES = 64 * 1024

Make = Callable[..., World]

HEALTH = (RouteSpec(path="/health", respond=RespondSpec(200, "OK", "text/plain")), RouteSpec(pool="web"))
ASK_HEALTH = request("GET /health HTTP/1.1")
HEALTHY = answer("HTTP/1.1 200 OK", "Content-Type: text/plain", "Content-Length: 2", body=b"OK")
GET = request()
GOT = forwarded()


def told(world: World, line: str, *fields: str) -> tuple[Peer, Peer]:
    """A client and the backend that has its request."""
    client = world.client()
    client >> request(line, *fields)
    backend = world.accept("a")
    backend.take()
    return client, backend


# Requests.


BODIES = {
    "none": (request("GET /x HTTP/1.1", "X-Y: z"), forwarded("GET /x HTTP/1.1", kept=("X-Y: z",))),
    "length": (
        request("POST /x HTTP/1.1", "Content-Length: 5", "X-Y: z", body=b"hello"),
        forwarded("POST /x HTTP/1.1", "Content-Length: 5", kept=("X-Y: z",), body=b"hello"),
    ),
    "empty": (
        request("POST /x HTTP/1.1", "Content-Length: 0"),
        forwarded("POST /x HTTP/1.1", "Content-Length: 0"),
    ),
    "chunked": (
        request("POST /x HTTP/1.1", "Transfer-Encoding: chunked", body=chunks(b"hel", b"lo")),
        forwarded("POST /x HTTP/1.1", "Transfer-Encoding: chunked", body=chunks(b"hel", b"lo")),
    ),
    "trailers": (
        request("POST /x HTTP/1.1", "Transfer-Encoding: chunked", body=b"1\r\nx\r\n0\r\nSum: 1\r\nHost: evil\r\n\r\n"),
        forwarded("POST /x HTTP/1.1", "Transfer-Encoding: chunked", body=b"1\r\nx\r\n0\r\nSum: 1\r\n\r\n"),
    ),
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("step", [1, 2, 5, 11, 10_000])
def test_a_request_passes_however_it_is_split(world: World, body: str, step: int) -> None:
    sent, expected = BODIES[body]
    client = world.client()
    backend = None
    for at in range(0, len(sent), step):
        client >> sent[at : at + step]
        if backend is None and world.dialled:
            backend = world.accept("a")
    assert backend is not None
    backend << expected
    backend >> ok()
    client << ok()
    assert "open" == client.end
    assert ["a"] == world.idle


@pytest.mark.parametrize("body", BODIES)
def test_two_requests_in_one_read_are_two_requests(world: World, body: str) -> None:
    sent, expected = BODIES[body]
    client = world.client()
    client >> sent + sent
    backend = world.accept("a")
    backend << expected
    backend >> ok(b"first")
    client << ok(b"first")
    backend << expected
    backend >> ok(b"second")
    client << ok(b"second")


@pytest.mark.parametrize("body", ["none", "length"])
def test_a_request_that_came_whole_leaves_in_one_write_and_so_does_its_answer(world: World, body: str) -> None:
    client = world.client()
    client >> BODIES[body][0]
    backend = world.accept("a")
    backend << BODIES[body][1]
    backend >> ok()
    client << ok()
    assert (1, 1) == (backend.transport.writes, client.transport.writes)


def test_empty_lines_before_a_request_are_nothing(world: World) -> None:
    client = world.client()
    client >> b"\r\n\r\n" + GET
    world.accept("a") << GOT


def test_pipelined_requests_are_answered_in_order_one_at_a_time(make: Make) -> None:
    world = make("ab", routes=HEALTH)
    client = world.client()
    client >> request("GET /1 HTTP/1.1") + ASK_HEALTH + request("GET /2 HTTP/1.1") + ASK_HEALTH
    first = world.accept("a")
    first << forwarded("GET /1 HTTP/1.1")
    assert [] == world.dialled
    client << b""
    first >> ok(b"one")
    second = world.accept("b")
    second << forwarded("GET /2 HTTP/1.1")
    client << ok(b"one") + HEALTHY
    second >> ok(b"two")
    client << ok(b"two") + HEALTHY
    assert ["/1", "/health", "/2", "/health"] == [record.target for record in world.records]


def test_a_thousand_pipelined_requests_that_are_answered_at_once_are_no_recursion(make: Make) -> None:
    world = make(routes=HEALTH)
    client = world.client()
    client >> ASK_HEALTH * 1000
    client << HEALTHY * 1000
    assert 1000 == len(world.records)


def test_a_thousand_pipelined_requests_behind_one_that_waits_are_neither(make: Make) -> None:
    world = make(routes=HEALTH)
    client = world.client()
    client >> GET + ASK_HEALTH * 1000
    backend = world.accept("a")
    backend << GOT
    backend >> ok()
    client << ok() + HEALTHY * 1000


def test_a_thousand_refused_ones_are_none_either(make: Make) -> None:
    world = make(routes=HEALTH[:1])
    client = world.client()
    client >> GET * 1000
    client << refused(errors.NO_ROUTE) * 1000


def test_a_client_that_asks_ahead_too_much_is_held_back(world: World) -> None:
    client = world.client()
    client >> GET
    world.accept("a") << GOT
    many = GET * (READ_BYTES // len(GET))
    for _ in range(8):
        client >> many
    assert 7 * len(many) - MAX_AHEAD_BYTES <= client.unread


def test_and_read_from_again_when_its_requests_were_answered(make: Make) -> None:
    world = make(routes=HEALTH)
    client = world.client()
    client >> GET
    backend = world.accept("a")
    backend << GOT
    times = 2 * MAX_AHEAD_BYTES // len(ASK_HEALTH)
    client >> ASK_HEALTH * times >> ASK_HEALTH * 10
    assert 10 * len(ASK_HEALTH) == client.unread
    backend >> ok()
    client << ok() + HEALTHY * (times + 10)


def test_a_client_that_asks_on_and_on_but_reads_nothing_is_held_back(make: Make) -> None:
    world = make(routes=HEALTH)
    client = world.client()
    client.stop_reading()
    for _ in range(50):
        client >> ASK_HEALTH * 200
    assert client.unread >= 40 * 200 * len(ASK_HEALTH)
    assert client.transport.most_held <= 2 * len(HEALTHY)
    client.read()
    client << HEALTHY * (50 * 200)
    assert 0 == client.unread


def test_a_client_that_left_before_it_had_read_has_no_further_request_begun(make: Make) -> None:
    """What it is still owed goes out; what waits behind it is nobody's any more."""
    world = make(routes=HEALTH)
    client = world.client()
    client.stop_reading()
    client >> ASK_HEALTH + GET
    client.eof()
    assert "closed" == client.end
    client.read()
    client << HEALTHY
    assert [] == world.dialled
    assert [(200, "-")] == world.outcomes


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", errors.BAD_REQUEST),
        (b"nonsense\r\n\r\n", errors.BAD_REQUEST),
        (b"GET / HTTP/1.1\nHost: site\n\n", errors.BAD_REQUEST),
        (request("GET / HTTP/1.1", "Content-Length: 1", "Transfer-Encoding: chunked"), errors.BAD_REQUEST),
        (request("CONNECT site:443 HTTP/1.1"), errors.METHOD_REFUSED),
        (request("TRACE / HTTP/1.1"), errors.METHOD_REFUSED),
        (b"GET /" + b"a" * 40_000, errors.TARGET_TOO_LONG),
        (request("GET / HTTP/1.1", "X: " + "a" * 40_000), errors.HEAD_TOO_LARGE),
        (request("GET / HTTP/1.1", *["X: y"] * 101), errors.HEAD_TOO_LARGE),
        (request("POST / HTTP/1.1", "Transfer-Encoding: gzip, chunked"), errors.CODING_UNKNOWN),
        (request("GET / HTTP/2.0"), errors.VERSION_UNKNOWN),
        (request("POST / HTTP/1.1", "Transfer-Encoding: chunked", body=b"0x5\r\n"), errors.BAD_REQUEST),
    ],
    ids=["host", "nonsense", "lf", "both", "connect", "trace", "target", "long", "many", "coding", "version", "chunk"],
)
def test_bad_requests_are_refused_with_a_close_and_reach_nobody(world: World, sent: bytes, kind: Kind) -> None:
    client = world.client()
    client >> sent
    client << refused(kind, close=True)
    assert "eof" == client.end
    assert [] == world.dialled
    assert [(kind.status, kind.word)] == world.outcomes
    client >> GET
    client << b""
    client.eof()
    assert "closed" == client.end


def test_a_bad_request_behind_a_good_one_is_refused_in_its_turn(world: World) -> None:
    client = world.client()
    client >> GET + b"GET / HTTP/1.1\r\nHost : site\r\n\r\n" + GET
    backend = world.accept("a")
    backend << GOT
    client << b""
    backend >> ok()
    client << ok() + refused(errors.BAD_REQUEST, close=True)
    backend << b""
    assert "eof" == client.end
    assert [(200, "-"), (400, "bad_request")] == world.outcomes


def test_a_body_that_breaks_the_rules_ends_the_backends_half_of_it(world: World) -> None:
    client = world.client()
    client >> request("PUT / HTTP/1.1", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n")
    backend = world.accept("a")
    backend << forwarded("PUT / HTTP/1.1", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n")
    client >> b"5\r\nhellooo\r\n"
    assert b"\r\n0\r\n" not in backend.take()
    assert "aborted" == backend.end
    client << refused(errors.BAD_REQUEST, close=True)
    assert [(400, "bad_request")] == world.outcomes


def test_and_an_answer_that_has_begun_is_broken_off(world: World) -> None:
    client = world.client()
    client >> request("PUT / HTTP/1.1", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n")
    backend = world.accept("a")
    backend.take()
    backend >> answer("HTTP/1.1 200 OK", "Content-Length: 9", body=b"begun")
    client >> b"x"
    client << answer("HTTP/1.1 200 OK", "Content-Length: 9", "Connection: close", body=b"begun")
    assert ("closed", "aborted") == (client.end, backend.end)


def test_a_body_that_breaks_the_rules_before_a_backend_is_dialled_reaches_nobody(world: World) -> None:
    client = world.client()
    client >> request("PUT / HTTP/1.1", "Transfer-Encoding: chunked", body=b"5\r\nhellooops")
    assert [] == world.dialled
    client << refused(errors.BAD_REQUEST, close=True)
    assert [(400, "bad_request")] == world.outcomes


# Answers.


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ((), True),
        (("Connection: keep-alive",), True),
        (("Connection: close",), False),
        (("Connection: x, Close",), False),
    ],
)
def test_a_client_of_1_1_keeps_its_connection_unless_it_says_close(
    world: World, fields: tuple[str, ...], kept: bool
) -> None:
    client, backend = told(world, "GET / HTTP/1.1", *fields)
    backend >> ok()
    client << (ok() if kept else answer("HTTP/1.1 200 OK", "Content-Length: 2", "Connection: close", body=b"ok"))
    assert ("open" if kept else "closed") == client.end


@pytest.mark.parametrize("fields", [(), ("Connection: keep-alive",)])
def test_a_client_of_1_0_keeps_its_connection_only_if_it_asks_and_hears_so(
    world: World, fields: tuple[str, ...]
) -> None:
    client, backend = told(world, "GET / HTTP/1.0", *fields)
    backend >> ok()
    line = "Connection: keep-alive" if fields else "Connection: close"
    client << answer("HTTP/1.1 200 OK", "Content-Length: 2", line, body=b"ok")
    assert ("open" if fields else "closed") == client.end


def test_a_request_of_1_0_without_host_gets_our_own_address(world: World) -> None:
    client = world.client()
    client >> head("GET / HTTP/1.0")
    backend = world.accept("a")
    assert backend.take().startswith(b"GET / HTTP/1.1\r\nHost: 192.0.2.1:8080\r\n")


@pytest.mark.parametrize("step", [1, 10_000])
def test_chunks_are_unpacked_for_a_client_of_1_0(world: World, step: int) -> None:
    client, backend = told(world, "GET / HTTP/1.0", "Connection: keep-alive")
    sent = answer(
        "HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=b"3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nSum: 1\r\n\r\n"
    )
    for at in range(0, len(sent), step):
        backend >> sent[at : at + step]
    client << answer("HTTP/1.1 200 OK", "Connection: close", body=b"hello")
    assert "closed" == client.end
    assert ["a"] == world.idle


@pytest.mark.parametrize(
    "begun",
    [
        answer("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=chunks(b"hel", end=False)),
        answer("HTTP/1.1 200 OK", body=b"hel"),
    ],
    ids=["chunked", "open end"],
)
def test_a_client_of_1_0_sees_by_a_reset_that_such_an_answer_broke_off(world: World, begun: bytes) -> None:
    """It has no length and no last chunk to miss."""
    client, backend = told(world, "GET / HTTP/1.0")
    backend >> begun
    backend.reset()
    client << answer("HTTP/1.1 200 OK", "Connection: close", body=b"hel")
    assert "reset" == client.end


def test_an_answer_that_ends_with_the_connection_does_so_for_a_client_of_1_0_too(world: World) -> None:
    client, backend = told(world, "GET / HTTP/1.0", "Connection: keep-alive")
    backend >> answer("HTTP/1.1 200 OK", body=b"hel") >> b"lo"
    assert "open" == client.end
    backend.eof()
    client << answer("HTTP/1.1 200 OK", "Connection: close", body=b"hello")
    assert "closed" == client.end


def test_a_client_of_1_0_hears_no_interim_answer(world: World) -> None:
    client, backend = told(world, "GET / HTTP/1.0")
    backend >> answer("HTTP/1.1 103 Early Hints", "Link: x") + ok()
    client << answer("HTTP/1.1 200 OK", "Content-Length: 2", "Connection: close", body=b"ok")


@pytest.mark.parametrize(
    ("method", "sent", "expected"),
    [
        ("HEAD", ok(b"hello")[:-5], ok(b"hello")[:-5]),
        ("HEAD", answer("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), answer("HTTP/1.1 200 OK")),
        ("GET", answer("HTTP/1.1 204 No", "Content-Length: 5"), answer("HTTP/1.1 204 No")),
        ("GET", answer("HTTP/1.1 304 Not", "Transfer-Encoding: chunked"), answer("HTTP/1.1 304 Not")),
    ],
)
def test_an_answer_that_can_have_no_body_has_none(world: World, method: str, sent: bytes, expected: bytes) -> None:
    client, backend = told(world, f"{method} / HTTP/1.1")
    backend >> sent
    client << expected
    assert "open" == client.end
    assert ["a"] == world.idle


def test_each_piece_of_an_answer_leaves_as_it_comes(world: World) -> None:
    """Server-sent events: nothing waits for more."""
    client, backend = told(world, "GET / HTTP/1.1")
    backend >> answer("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")
    client << answer("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")
    for event in (b"data: 1\n\n", b"data: 2\n\n"):
        backend >> chunks(event, end=False)
        client << chunks(event, end=False)
    backend >> b"0\r\n\r\n"
    client << b"0\r\n\r\n"


def test_a_large_first_piece_is_not_copied_but_complete(world: World) -> None:
    client, backend = told(world, "GET / HTTP/1.1")
    backend >> ok(b"x" * 100_000)
    client << ok(b"x" * 100_000)


# Slow clients.


def test_a_head_has_its_time_as_a_whole_and_not_for_each_byte(world: World) -> None:
    client = world.client()
    client >> b"GET / HTTP/1.1\r\nHost: site\r\nX: "
    for _ in range(14):
        world.turn(1.0)
        client >> b"a"
    client << b""
    world.turn(1.1)
    client << refused(errors.REQUEST_TIMEOUT, close=True)
    assert "eof" == client.end
    assert [(408, "request_timeout")] == world.outcomes


def test_so_has_the_second_head_on_a_connection(world: World) -> None:
    client = world.client()
    client >> GET
    backend = world.accept("a")
    backend << GOT
    backend >> ok()
    client << ok()
    world.turn(60.0)
    client >> b"GET / "
    world.turn(15.1)
    client << refused(errors.REQUEST_TIMEOUT, close=True)


def test_so_has_a_head_that_began_behind_another_request(world: World) -> None:
    client = world.client()
    client >> GET + b"GET / "
    backend = world.accept("a")
    backend << GOT
    world.turn(20.0)
    backend >> ok()
    client << ok()
    world.turn(14.9)
    client << b""
    world.turn(0.2)
    client << refused(errors.REQUEST_TIMEOUT, close=True)


def test_a_body_has_its_time_between_two_reads(make: Make) -> None:
    world = make(listener={"min_body_rate": None})
    client = world.client()
    client >> request("POST / HTTP/1.1", "Content-Length: 9")
    backend = world.accept("a")
    for _ in range(3):
        world.turn(59.0)
        client >> b"x"
    backend << forwarded("POST / HTTP/1.1", "Content-Length: 9", body=b"xxx")
    world.turn(60.1)
    client << refused(errors.REQUEST_TIMEOUT, close=True)
    assert ("aborted", "eof") == (backend.end, client.end)
    assert [(408, "request_timeout")] == world.outcomes
    assert [0] == [backend.failures for backend in world.pool.backends]


def test_time_in_which_we_hold_the_client_back_is_not_the_clients(make: Make) -> None:
    world = make(client_timeouts=ListenerTimeouts(body_s=10.0))
    client = world.client()
    client >> request("POST / HTTP/1.1", "Content-Length: 9")
    backend = world.accept("a")
    backend << forwarded("POST / HTTP/1.1", "Content-Length: 9")
    backend.stop_reading()
    client >> b"abc"
    world.turn(30.0)
    backend.read()
    backend << b"abc"
    world.turn(9.9)
    client >> b"defghi"
    backend << b"defghi"
    backend >> ok()
    client << ok()


def test_an_idle_client_is_closed_politely_when_its_time_is_up(world: World) -> None:
    client = world.client()
    client >> GET
    backend = world.accept("a")
    backend << GOT
    backend >> ok()
    client << ok()
    world.turn(74.9)
    assert "open" == client.end
    world.turn(0.2)
    assert "closed" == client.end
    assert 1 == len(world.records)


def test_so_is_one_that_never_asked(world: World) -> None:
    client = world.client()
    world.turn(75.1)
    assert "closed" == client.end
    assert [] == world.records


def test_a_client_that_never_reads_a_last_answer_is_let_go(make: Make) -> None:
    world = make(routes=HEALTH, client_timeouts=ListenerTimeouts(write_s=10.0))
    client = world.client()
    client.stop_reading()
    client >> request("GET /health HTTP/1.1", "Connection: close")
    assert not client.transport.lost
    world.turn(10.1)
    assert client.transport.lost


def test_a_refused_client_that_goes_on_sending_is_cut_off_after_a_while(world: World) -> None:
    client = world.client()
    client >> b"nonsense\r\n\r\n"
    client << refused(errors.BAD_REQUEST, close=True)
    world.turn(LINGER_S - 0.1)
    client >> b"more"
    assert "eof" == client.end
    world.turn(0.2)
    assert client.transport.lost


def test_of_a_refused_client_that_sends_without_end_only_so_much_is_read(world: World) -> None:
    client = world.client()
    client >> b"nonsense\r\n\r\n"
    client << refused(errors.BAD_REQUEST, close=True)
    client >> b"x" * LINGER_BYTES
    assert ("eof", 0) == (client.end, client.unread)
    client >> b"x" * (2 * READ_BYTES)
    assert (True, READ_BYTES) == (client.transport.lost, client.unread)
    assert [(400, "bad_request")] == world.outcomes


def test_the_rest_of_a_body_whose_request_was_refused_is_read_only_so_far(make: Make) -> None:
    world = make(routes=(RouteSpec(pool="web", max_body_bytes=10),))
    client = world.client()
    client >> request("POST / HTTP/1.1", f"Content-Length: {10**9}")
    client << refused(errors.BODY_TOO_LARGE, close=True)
    client >> b"x" * LINGER_BYTES
    assert "eof" == client.end
    client >> b"x"
    assert client.transport.lost


def test_a_refused_client_that_does_not_read_gets_its_answer_when_it_does(world: World) -> None:
    client = world.client()
    client.stop_reading()
    client >> b"nonsense\r\n\r\n"
    world.turn(30.0)
    client.read()
    client << refused(errors.BAD_REQUEST, close=True)
    world.turn(LINGER_S + 0.1)
    assert client.transport.lost


# Stopping.


def stop(world: World) -> None:
    """What the listener does."""
    world.context.stopping = True
    for downstream in list(world.context.downstreams):
        downstream.retire(world.wheel.now())
    world.loop.settle()


def test_a_stopping_balancer_closes_idle_clients_and_lets_busy_ones_finish(world: World) -> None:
    idle = world.client()
    client, backend = told(world, "GET / HTTP/1.1")
    stop(world)
    assert ("closed", "open") == (idle.end, client.end)
    backend >> ok()
    client << answer("HTTP/1.1 200 OK", "Content-Length: 2", "Connection: close", body=b"ok")
    assert "closed" == client.end


def test_a_head_that_had_begun_is_still_answered(world: World) -> None:
    client = world.client()
    client >> GET[:10]
    stop(world)
    client >> GET[10:]
    backend = world.accept("a")
    backend << GOT
    backend >> ok()
    client << answer("HTTP/1.1 200 OK", "Content-Length: 2", "Connection: close", body=b"ok")
    assert "closed" == client.end


def test_an_answer_that_had_begun_ends_its_connection(world: World) -> None:
    client, backend = told(world, "GET / HTTP/1.1")
    backend >> answer("HTTP/1.1 200 OK", "Content-Length: 2", body=b"o")
    stop(world)
    backend >> b"k"
    client << ok()
    assert "closed" == client.end


@pytest.mark.parametrize("path", ["/health", "/nowhere"])
def test_so_do_fixed_answers_and_refusals(make: Make, path: str) -> None:
    world = make(routes=HEALTH[:1])
    client = world.client()
    client >> request(f"GET {path} HTTP/1.1")[:10]
    stop(world)
    client >> request(f"GET {path} HTTP/1.1")[10:]
    assert b"\r\nConnection: close\r\n" in client.take()
    assert "closed" == client.end or "eof" == client.end


def test_a_tunnel_outlives_the_stop_until_it_is_cut(world: World) -> None:
    client, backend = told(world, "GET / HTTP/1.1", "Connection: upgrade", "Upgrade: websocket")
    switch = head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket")
    backend >> switch
    client << switch
    stop(world)
    backend >> b"still here"
    client << b"still here"
    for downstream in list(world.context.downstreams):
        downstream.cut()
    world.loop.settle()
    assert (True, True) == (client.transport.lost, backend.transport.lost)
    assert 1 == len(world.records)


def test_a_cut_ends_whatever_is_going_on(world: World) -> None:
    client, backend = told(world, "GET / HTTP/1.1")
    idle = world.client()
    dialling = world.client()
    dialling >> GET
    for downstream in list(world.context.downstreams):
        downstream.cut()
    world.loop.settle()
    assert all(peer.transport.lost for peer in (client, backend, idle, dialling))
    assert [(0, "stopping")] * 2 == world.outcomes
    assert [] == world.dialled
    assert {} == world.in_flight


@pytest.mark.parametrize("name", ["", "/run/client.sock"])
def test_a_client_on_a_unix_socket_is_called_unix(world: World, name: str) -> None:
    """Whether it has bound a path of its own or not: that would be no address to anybody else."""
    client = world.client(name, on_unix=True)
    client >> request("GET / HTTP/1.1", "X-Forwarded-For: 10.0.0.1")
    backend = world.accept("a")
    sent = backend.take()
    assert b"X-Forwarded-For: unix:\r\nX-Real-IP: unix:\r\n" in sent
    assert b"10.0.0.1" not in sent
    client.reset()
    assert ["unix:"] == [record.client for record in world.records]


def test_a_peer_without_an_address_is_called_unknown(world: World) -> None:
    """A client that was gone before it was asked for its address."""
    client = world.client("unknown")
    client >> GET
    assert b"X-Forwarded-For: unknown\r\n" in world.accept("a").take()


def test_an_answer_without_a_date_gets_one_and_an_answer_with_one_keeps_it(make: Make) -> None:
    """RFC 9110 section 6.6.1; our own answers say theirs too."""
    world = make(routes=HEALTH)
    router, loop = world.context.router, world.context.loop
    world.context = ListenerContext(
        loop, world.wheel, world.listener, router, (), int, world.records.append, lambda: b"Date: now\r\n"
    )
    client = world.client()
    client >> ASK_HEALTH
    client << HEALTHY.replace(b"\r\n\r\n", b"\r\nDate: now\r\n\r\n")


def test_a_head_as_large_as_its_limit_allows_arrives_however_it_is_split(make: Make) -> None:
    """Also one that is larger than what may wait behind an answer."""
    world = make()
    router, loop, listener = world.context.router, world.context.loop, replace(world.listener, max_head_bytes=2**18)
    world.context = ListenerContext(loop, world.wheel, listener, router, (), int, world.records.append, lambda: b"")
    client = world.client()
    large = request("GET / HTTP/1.1", *[f"X-{number}: {'x' * 2000}" for number in range(60)])
    client >> large[:100_000]
    assert client.transport.reading
    client >> large[100_000:]
    assert len(large) - 100 < len(world.accept("a").take())


def test_nothing_of_a_body_is_kept_when_it_was_passed_on(world: World) -> None:
    client = world.client()
    client >> request("PUT / HTTP/1.1", "Content-Length: 200000")
    backend = world.accept("a")
    backend.take()
    body = b"x" * 200_000
    before = getrefcount(body)
    client >> body
    assert body == backend.take()
    backend >> ok()
    client << ok()
    assert before == getrefcount(body)


def test_a_client_that_asks_on_and_on_for_fixed_answers_lets_the_others_have_their_turn(make: Make) -> None:
    """So many in a row, then the event loop goes round; the client is not read meanwhile."""
    world = make(routes=HEALTH)
    greedy, other = world.client(), world.client()
    greedy.transport.protocol.data_received(ASK_HEALTH * 100)
    assert 32 == len(world.records)
    assert not greedy.transport.reading
    other.transport.protocol.data_received(ASK_HEALTH)
    assert 33 == len(world.records)
    world.loop.settle()
    assert 101 == len(world.records)
    assert greedy.transport.reading
    assert HEALTHY * 100 == greedy.take()
    assert HEALTHY == other.take()


def test_a_greedy_client_that_is_gone_before_its_next_turn_gets_none(make: Make) -> None:
    world = make(routes=HEALTH)
    greedy = world.client()
    greedy.transport.protocol.data_received(ASK_HEALTH * 100)
    greedy.transport.lose(None)
    world.loop.settle()
    assert 32 == len(world.records)
    greedy.take()


# Another configuration.


def test_it_meets_its_peer_again_who_is_the_same_one_for_all_its_connections(world: World) -> None:
    protocols = [one.transport.protocol for one in (world.client("192.0.2.9"), world.client("192.0.2.9"))]
    unix = world.client("", on_unix=True).transport.protocol
    before, nobody = protocols[0].peer, unix.peer
    world.context.adopt(world.listener, world.context.router, (ip_network("192.0.2.0/24"),))
    first, other = (protocol.peer for protocol in protocols)
    assert first is other is not before
    assert ("192.0.2.9", False, True) == (first.address, before.trusted, first.trusted)
    assert (nobody.address, False) == (unix.peer.address, unix.peer.trusted)


def test_one_that_is_not_connected_yet_meets_nobody(world: World) -> None:
    protocol = Downstream(world.context)
    protocol.meet_again()
    assert protocol.peer is None

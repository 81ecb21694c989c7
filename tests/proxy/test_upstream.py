"""The backend's side: how its answers are read, and what becomes of its connection."""

from collections.abc import Callable

import pytest

from steelyard import errors
from steelyard.core.spec import ListenerTimeouts, PoolTimeouts
from tests.fakes import Peer, World, answer, chunks, forwarded, head, ok, refused, request

# As the module has them; compiled, they are C numbers that nobody can import.
MAX_HEAD_BYTES = 64 * 1024
MAX_FIELDS = 200
MAX_INTERIM = 32

Make = Callable[..., World]


def asked(world: World, line: str = "GET / HTTP/1.1", *fields: str) -> tuple[Peer, Peer]:
    """A client whose request is at backend a."""
    client = world.client()
    client >> request(line, *fields)
    backend = world.accept("a")
    backend.take()
    return client, backend


LENGTH = answer("HTTP/1.1 200 OK", "Date: today", "Content-Length: 5", body=b"hello")
CHUNKED = answer("HTTP/1.1 200 OK", "Date: today", "Transfer-Encoding: chunked", body=chunks(b"hel", b"lo"))
CLOSED = answer("HTTP/1.1 200 OK", "Date: today", body=b"hello")
TRAILERS = answer(
    "HTTP/1.1 200 OK",
    "Transfer-Encoding: chunked",
    body=b"5\r\nhello\r\n0\r\nGrpc-Status: 0\r\nContent-Length: 7\r\n\r\n",
)
TRAILERS_KEPT = answer(
    "HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nGrpc-Status: 0\r\n\r\n"
)
INTERIM = answer("HTTP/1.1 103 Early Hints", "Link: </a.css>")


@pytest.mark.parametrize(
    ("sent", "expected", "kept"),
    [
        (LENGTH, LENGTH, True),
        (CHUNKED, CHUNKED, True),
        (TRAILERS, TRAILERS_KEPT, True),
        (INTERIM + INTERIM + LENGTH, INTERIM + INTERIM + LENGTH, True),
        (answer("HTTP/1.1 204 No Content"), answer("HTTP/1.1 204 No Content"), True),
        (
            answer("HTTP/1.1 304 Not Modified", "Content-Length: 9"),
            answer("HTTP/1.1 304 Not Modified", "Content-Length: 9"),
            True,
        ),
        (ok(b""), ok(b""), True),
        (answer("HTTP/1.0 200 OK", "Content-Length: 2", body=b"ok"), ok(), False),
        (answer("HTTP/1.0 200 OK", "Connection: keep-alive", "Content-Length: 2", body=b"ok"), ok(), True),
        (answer("HTTP/1.1 200 OK", "Connection: close", "Content-Length: 2", body=b"ok"), ok(), False),
    ],
    ids=["length", "chunked", "trailers", "interim", "204", "304", "empty", "1.0", "1.0-kept", "close"],
)
@pytest.mark.parametrize("step", [1, 2, 7, 10_000])
def test_an_answer_passes_however_it_is_split(make: Make, sent: bytes, expected: bytes, kept: bool, step: int) -> None:
    world = make()
    client, backend = asked(world)
    for at in range(0, len(sent), step):
        backend >> sent[at : at + step]
    client << expected
    assert (["a"] if kept else []) == world.idle
    assert ("open" if kept else "aborted") == backend.end
    assert "open" == client.end


@pytest.mark.parametrize("step", [1, 3, 10_000])
def test_an_answer_that_ends_with_the_connection_is_chunked_for_a_client_of_1_1(world: World, step: int) -> None:
    client, backend = asked(world)
    for at in range(0, len(CLOSED), step):
        backend >> CLOSED[at : at + step]
    begun = client.take()
    assert begun.startswith(b"HTTP/1.1 200 OK\r\nDate: today\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert "open" == client.end
    backend.eof()
    body = begun.partition(b"\r\n\r\n")[2] + client.take()
    assert body.endswith(b"0\r\n\r\n")
    assert b"hello" == b"".join(body.split(b"\r\n")[1::2])
    assert "open" == client.end
    assert [(200, "-")] == world.outcomes


def test_an_answer_of_neither_length_nor_bytes_ends_with_the_connection_too(world: World) -> None:
    client, backend = asked(world)
    backend >> answer("HTTP/1.1 200 OK")
    client << answer("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")
    backend.eof()
    client << b"0\r\n\r\n"


@pytest.mark.parametrize("start", ["HTTP/1.1 200 OK", "HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified"])
@pytest.mark.parametrize("apart", [False, True])
def test_a_stray_body_behind_an_answer_without_one_reaches_nobody(world: World, start: str, apart: bool) -> None:
    method = "HEAD" if "200" in start else "GET"
    client, backend = asked(world, f"{method} / HTTP/1.1")
    sent = answer(start, "ETag: x")
    if apart:
        backend >> sent >> b"stray"
    else:
        backend >> sent + b"stray"
    client << sent
    assert "aborted" == backend.end
    client >> request()
    other = world.accept("a")
    other << forwarded()
    other >> ok()
    client << ok()


@pytest.mark.parametrize("stray", [b"x", ok(), b"\r\n"])
def test_bytes_on_an_idle_connection_close_it(world: World, stray: bytes) -> None:
    client, backend = asked(world)
    backend >> ok()
    client << ok()
    assert ["a"] == world.idle
    backend >> stray
    assert [] == world.idle
    assert "aborted" == backend.end
    client << b""


def test_a_second_answer_in_the_same_read_is_thrown_away_with_its_connection(world: World) -> None:
    client, backend = asked(world)
    backend >> ok() + ok(b"for nobody")
    client << ok()
    assert "aborted" == backend.end
    assert [] == world.idle


def test_an_idle_connection_that_the_backend_closes_is_forgotten(world: World) -> None:
    client, backend = asked(world)
    backend >> ok()
    client << ok()
    backend.eof()
    assert [] == world.idle
    assert [(200, "-")] == world.outcomes


@pytest.mark.parametrize(
    "garbage",
    [
        b"garbage\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nDate: x\n\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (MAX_FIELDS + 1) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * MAX_HEAD_BYTES,
        INTERIM * (MAX_INTERIM + 1) + ok(),
    ],
    ids=[
        "garbage", "2.0", "20", "999", "lf", "nul", "two-lengths", "both", "gzip", "101", "fields", "long", "interims",
    ],
)  # fmt: skip
def test_nonsense_is_a_502_and_the_end_of_its_connection(world: World, garbage: bytes) -> None:
    client, backend = asked(world)
    backend >> garbage
    interims = MAX_INTERIM if garbage.startswith(b"HTTP/1.1 103") else 0
    client << INTERIM * interims + refused(errors.BAD_ANSWER)
    assert "aborted" == backend.end
    assert "open" == client.end
    assert [(502, "bad_answer")] == world.outcomes


def test_so_many_interim_answers_are_passed_on_and_no_more(world: World) -> None:
    client, backend = asked(world)
    backend >> INTERIM * MAX_INTERIM + ok()
    client << INTERIM * MAX_INTERIM + ok()


def test_a_chunk_that_breaks_the_rules_ends_an_answer_visibly(world: World) -> None:
    client, backend = asked(world)
    begin = answer("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n")
    backend >> begin
    backend >> b"0x5\r\nhello\r\n0\r\n\r\n"
    client << begin
    assert "closed" == client.end
    assert "aborted" == backend.end
    assert [(200, "bad_answer")] == world.outcomes


def test_a_connection_closed_within_the_head_is_a_bad_answer_and_not_retried(make: Make) -> None:
    world = make("ab")
    client, backend = asked(world)
    backend >> b"HTTP/1.1 200"
    backend.eof()
    client << refused(errors.BAD_ANSWER)
    assert [] == world.dialled


def test_a_connection_closed_between_interim_and_final_answer_is_a_bad_answer(world: World) -> None:
    client, backend = asked(world)
    backend >> INTERIM
    backend.eof()
    client << INTERIM + refused(errors.BAD_ANSWER)


# Waiting.


def test_a_silent_backend_is_a_504_when_its_time_is_up_and_not_before(make: Make) -> None:
    world = make(timeouts=PoolTimeouts(response_s=10.0))
    client, backend = asked(world)
    world.turn(9.9)
    client << b""
    world.turn(0.2)
    client << refused(errors.RESPONSE_TIMEOUT)
    assert "aborted" == backend.end
    assert "open" == client.end
    assert [(504, "response_timeout")] == world.outcomes


def test_each_read_gives_the_backend_its_time_anew(make: Make) -> None:
    world = make(timeouts=PoolTimeouts(response_s=10.0))
    client, backend = asked(world)
    sent = ok(b"abcdef")
    for byte in sent:
        world.turn(9.0)
        backend >> bytes([byte])
    client << sent
    assert [(200, "-")] == world.outcomes


def test_an_answer_that_stops_half_way_is_broken_off_visibly(make: Make) -> None:
    world = make(timeouts=PoolTimeouts(response_s=10.0))
    client, backend = asked(world)
    begin = answer("HTTP/1.1 200 OK", "Content-Length: 5", body=b"hel")
    backend >> begin
    world.turn(10.1)
    client << begin
    assert "closed" == client.end
    assert "aborted" == backend.end
    assert [(200, "truncated")] == world.outcomes


def test_the_backends_time_runs_from_the_requests_end(make: Make) -> None:
    """While the client uploads, the backend owes nothing."""
    world = make(timeouts=PoolTimeouts(response_s=10.0))
    client = world.client()
    client >> request("POST / HTTP/1.1", "Content-Length: 3")
    backend = world.accept("a")
    for byte in (b"a", b"b", b"c"):
        world.turn(9.0)
        client >> byte
    backend << forwarded("POST / HTTP/1.1", "Content-Length: 3", body=b"abc")
    world.turn(9.9)
    client << b""
    world.turn(0.2)
    client << refused(errors.RESPONSE_TIMEOUT)


def test_a_backend_waits_for_its_time_also_behind_an_interim_answer_that_the_client_was_slow_to_read(
    make: Make,
) -> None:
    world = make(timeouts=PoolTimeouts(response_s=10.0))
    client, backend = asked(world)
    client.stop_reading()
    backend >> INTERIM
    client.read()
    client << INTERIM
    world.turn(10.1)
    client << refused(errors.RESPONSE_TIMEOUT)
    assert [(504, "response_timeout")] == world.outcomes


def test_the_time_that_the_client_takes_to_read_is_not_the_backends(make: Make) -> None:
    world = make(timeouts=PoolTimeouts(response_s=10.0), client_timeouts=ListenerTimeouts(write_s=100.0))
    client, backend = asked(world)
    client.stop_reading()
    backend >> answer("HTTP/1.1 200 OK", "Content-Length: 6", body=b"abc")
    world.turn(50.0)
    client.read()
    backend >> b"def"
    client << ok(b"abcdef")


def test_the_same_when_the_rest_of_the_request_comes_meanwhile(make: Make) -> None:
    """An early answer, a client that does not read it and ends its upload: the backend is held back by us."""
    world = make(timeouts=PoolTimeouts(response_s=10.0), client_timeouts=ListenerTimeouts(write_s=100.0))
    client = world.client()
    client >> request("POST / HTTP/1.1", "Content-Length: 3")
    backend = world.accept("a")
    client.stop_reading()
    backend >> answer("HTTP/1.1 200 OK", "Content-Length: 6", body=b"abc")
    client >> b"xyz"
    backend << forwarded("POST / HTTP/1.1", "Content-Length: 3", body=b"xyz")
    world.turn(50.0)
    client.read()
    backend >> b"def"
    client << answer("HTTP/1.1 200 OK", "Content-Length: 6", "Connection: close", body=b"abcdef")
    assert [(200, "-")] == world.outcomes


def test_a_backend_that_stops_reading_the_request_is_not_waited_for_for_ever(make: Make) -> None:
    """As nginx's proxy_send_timeout."""
    world = make(timeouts=PoolTimeouts(response_s=10.0))
    client = world.client()
    client >> request("POST / HTTP/1.1", "Content-Length: 10")
    backend = world.accept("a")
    backend.stop_reading()
    client >> b"abc"
    backend << forwarded("POST / HTTP/1.1", "Content-Length: 10")
    world.turn(10.1)
    client << refused(errors.RESPONSE_TIMEOUT, close=True)
    assert "aborted" == backend.end


def test_but_one_that_reads_slowly_is(make: Make) -> None:
    world = make(timeouts=PoolTimeouts(response_s=10.0))
    client = world.client()
    client >> request("POST / HTTP/1.1", "Content-Length: 9")
    backend = world.accept("a")
    backend << forwarded("POST / HTTP/1.1", "Content-Length: 9")
    backend.stop_reading()
    client >> b"abcdefghi"
    for _ in range(8):
        world.turn(9.0)
        backend.read(1)
    world.turn(9.0)
    backend.read()
    backend << b"abcdefghi"
    world.turn(9.0)
    backend >> ok()
    client << ok()


def test_an_idle_connection_is_closed_when_it_grows_old(make: Make) -> None:
    world = make(timeouts=PoolTimeouts(idle_s=10.0))
    client, backend = asked(world)
    backend >> ok()
    client << ok()
    world.turn(9.9)
    assert ["a"] == world.idle
    world.turn(0.2)
    assert [] == world.idle
    assert "aborted" == backend.end


# Upgrades.

WISH = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x")
SWITCH = head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket")


def tunnelled(world: World) -> tuple[Peer, Peer]:
    client, backend = asked(world, "GET /chat HTTP/1.1", *WISH)
    backend >> SWITCH
    client << SWITCH
    return client, backend


def test_an_upgrade_is_asked_for_and_becomes_a_tunnel(world: World) -> None:
    client = world.client()
    client >> request("GET /chat HTTP/1.1", *WISH)
    backend = world.accept("a")
    backend << forwarded(
        "GET /chat HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", kept=("Sec-WebSocket-Key: x",)
    )
    backend >> SWITCH + b"hello"
    client << SWITCH + b"hello"
    client >> b"GET / HTTP/1.1\r\n\x00"
    backend << b"GET / HTTP/1.1\r\n\x00"
    backend >> b"\x81\x00"
    client << b"\x81\x00"
    assert [] == world.records
    client.reset()
    assert "closed" == backend.end
    assert [(101, "-")] == world.outcomes


def test_bytes_behind_an_upgrade_wait_for_the_101(world: World) -> None:
    client = world.client()
    client >> request("GET /chat HTTP/1.1", *WISH) + b"first" >> b" words"
    backend = world.accept("a")
    assert b"words" not in backend.take()
    backend >> SWITCH
    client << SWITCH
    backend << b"first words"


def test_so_do_many_more_than_may_wait_here_in_the_clients_hands(world: World) -> None:
    client, backend = asked(world, "GET /chat HTTP/1.1", *WISH)
    for letter in (b"a", b"b", b"c"):
        client >> letter * 100_000
    assert 200_000 <= client.unread
    backend << b""
    backend >> SWITCH
    client << SWITCH
    backend << b"a" * 100_000 + b"b" * 100_000 + b"c" * 100_000


def test_after_a_refused_upgrade_the_next_bytes_are_a_request(world: World) -> None:
    client = world.client()
    client >> request("GET /chat HTTP/1.1", *WISH) + request("GET /next HTTP/1.1")
    backend = world.accept("a")
    backend.take()
    no = answer("HTTP/1.1 426 Upgrade Required", "Upgrade: other", "Content-Length: 0")
    backend >> no
    client << no
    backend << forwarded("GET /next HTTP/1.1")
    backend >> ok()
    client << ok()


@pytest.mark.parametrize("fields", [(), ("Upgrade: websocket",), ("Connection: upgrade", "Upgrade: h2c")])
def test_a_101_that_was_not_asked_for_is_a_bad_answer(world: World, fields: tuple[str, ...]) -> None:
    client, backend = asked(world, "GET / HTTP/1.1", *fields)
    backend >> SWITCH + b"hello"
    client << refused(errors.BAD_ANSWER)
    assert "aborted" == backend.end


def test_a_101_to_another_protocol_than_the_one_asked_for_is_a_bad_answer(world: World) -> None:
    """RFC 9110 section 7.8: a server must not switch to a protocol that the client did not name."""
    client, backend = asked(world, "GET /chat HTTP/1.1", *WISH)
    backend >> head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: h2c")
    client << refused(errors.BAD_ANSWER)


def test_a_client_that_has_said_all_still_hears_the_rest(world: World) -> None:
    client, backend = tunnelled(world)
    client >> b"last words"
    client.eof()
    backend << b"last words"
    assert ("eof", "open") == (backend.end, client.end)
    backend >> b"answer"
    client << b"answer"
    backend.eof()
    assert ("closed", "closed") == (backend.end, client.end)
    assert [(101, "-")] == world.outcomes


def test_a_backend_that_has_said_all_still_hears_the_rest(world: World) -> None:
    client, backend = tunnelled(world)
    backend >> b"last words"
    backend.eof()
    client << b"last words"
    assert ("open", "eof") == (backend.end, client.end)
    client >> b"answer"
    backend << b"answer"
    client.eof()
    assert ("closed", "closed") == (backend.end, client.end)
    assert [(101, "-")] == world.outcomes


def test_a_backend_that_resets_its_tunnel_closes_the_clients(world: World) -> None:
    client, backend = tunnelled(world)
    backend.reset()
    assert "closed" == client.end
    assert [(101, "truncated")] == world.outcomes


def test_a_tunnel_without_a_byte_either_way_ends(make: Make) -> None:
    world = make(timeouts=PoolTimeouts(tunnel_s=600.0, total_s=5.0))
    client, backend = tunnelled(world)
    world.turn(590.0)
    client >> b"ping"
    backend << b"ping"
    world.turn(590.0)
    backend >> b"pong"
    client << b"pong"
    world.turn(599.0)
    assert ("open", "open") == (backend.end, client.end)
    world.turn(1.1)
    assert ("closed", "closed") == (backend.end, client.end)
    assert [(101, "-")] == world.outcomes


def test_what_was_said_in_a_tunnel_still_goes_out_when_the_client_leaves(make: Make) -> None:
    world = make(timeouts=PoolTimeouts(response_s=10.0))
    client, backend = tunnelled(world)
    backend.stop_reading()
    client >> b"last words"
    client.reset()
    assert "closed" == backend.end
    backend.read()
    backend << b"last words"
    assert backend.transport.lost


def test_but_a_backend_that_never_reads_them_is_let_go(make: Make) -> None:
    world = make(timeouts=PoolTimeouts(response_s=10.0))
    client, backend = tunnelled(world)
    backend.stop_reading()
    client >> b"last words"
    client.reset()
    world.turn(10.1)
    assert backend.transport.lost


def test_back_pressure_holds_in_a_tunnel_both_ways(world: World) -> None:
    client, backend = tunnelled(world)
    backend.stop_reading()
    client >> b"a" * 1000 >> b"b" * 1000 >> b"c" * 1000
    assert 2000 == client.unread
    backend.read()
    backend << b"a" * 1000 + b"b" * 1000 + b"c" * 1000
    client.stop_reading()
    backend >> b"d" * 1000 >> b"e" * 1000
    assert 1000 == backend.unread
    client.read()
    client << b"d" * 1000 + b"e" * 1000


@pytest.mark.parametrize("first", ["client", "backend"])
def test_a_half_close_that_meets_nobody_any_more_ends_the_tunnel_in_peace(world: World, first: str) -> None:
    """The kernel refuses it with an error, and the loop tells the loss soon after."""
    client, backend = tunnelled(world)
    if first == "client":
        backend.vanish()
        client.eof()
    else:
        client.vanish()
        backend.eof()
    world.turn(1.0)
    assert (True, True) == (client.transport.lost, backend.transport.lost)
    assert 1 == len(world.records)

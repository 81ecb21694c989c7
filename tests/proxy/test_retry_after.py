"""A backend that says Retry-After is left alone for as long."""

from collections.abc import Callable

import pytest

from steelyard.core.spec import EjectionSpec, RetrySpec
from steelyard.proxy.retry_after import retry_after_s
from steelyard.wire.http1 import scan_response
from tests.fakes import Peer, World, answer, forwarded, ok, request

Make = Callable[..., World]

GET = request()
GOT = forwarded()
DATE = "Date: Fri, 27 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(("expected", "fields"), [
    (None, ()),
    (7.0, ("Retry-After: 7",)),
    (0.0, ("Retry-After: 0",)),
    (999_999_999.0, ("Retry-After: 9999999999999999999999",)),
    (None, ("Retry-After: soon",)),
    (None, ("Retry-After: -5",)),
    (None, ("Retry-After: 1.5",)),
    (None, ("Retry-After: ",)),
    (30.0, ("Retry-After: Fri, 27 Nov 2026 10:00:30 GMT", DATE)),
    (0.0, ("Retry-After: Fri, 27 Nov 2026 09:00:30 GMT", DATE)),
    (365 * 86_400.0 + 30.0, ("Retry-After: Sat, 27 Nov 2027 10:00:30 GMT", DATE)),
    (None, ("Retry-After: Fri, 27 Nov 2026 10:00:30 GMT",)),
    (None, ("Retry-After: Fri, 27 Nov 2026 10:00:30 GMT", "Date: yesterday")),
    (None, ("Retry-After: Fri, 27 Nov 2026 10:00:30", DATE)),
    (0.0, ("Retry-After: Fri, 27 Nov 0001 00:00:30 +2300", DATE)),
    (None, ("Retry-After: Fri, 27 Nov 99999999999999999999 10:00:30 GMT", DATE)),
])  # fmt: skip
def test_it_is_seconds_or_a_date(expected: float | None, fields: tuple[str, ...]) -> None:
    head = scan_response(answer("HTTP/1.1 503 Busy", *fields), 0, 10_000, 100)
    assert head is not None
    assert expected == retry_after_s(head)


def asked(world: World, peers: dict[str, Peer]) -> str:
    """One more request; the backend that it went to, where it is answered well."""
    client = world.client()
    client >> GET
    for host in world.dialled:
        peers[host] = world.accept(host)
    (host,) = world.in_flight
    peers[host] << GOT
    peers[host] >> ok()
    client << ok()
    return host


def test_a_backend_that_asks_for_it_is_left_alone_for_as_long(make: Make) -> None:
    world = make("ab", retry=RetrySpec(on_status=(503,)), ejection=EjectionSpec())
    said: list[str] = []
    world.pool.tell = lambda backend, what: said.append(f"{backend}: {what}")
    client = world.client()
    client >> GET
    first = world.accept("a")
    first << GOT
    first >> answer("HTTP/1.1 503 Busy", "Retry-After: 20", "Content-Length: 0")
    second = world.accept("b")
    second << GOT
    second >> ok()
    client << ok()
    peers = {"b": second}
    assert "bbbb" == "".join(asked(world, peers) for _ in range(4))
    assert ["<Backend a:80>: left alone for 20 s: it has asked for that"] == said
    world.turn(20.1)
    assert {"a", "b"} == {asked(world, peers) for _ in range(4)}


@pytest.mark.parametrize("longest_s", [100.0, 600.0])
def test_it_is_left_alone_for_the_longest_penalty_at_most(make: Make, longest_s: float) -> None:
    world = make("ab", retry=RetrySpec(on_status=(503,)), ejection=EjectionSpec(max_penalty_s=longest_s))
    said: list[str] = []
    world.pool.tell = lambda backend, what: said.append(what)
    client = world.client()
    client >> GET
    first = world.accept("a")
    first << GOT
    first >> answer("HTTP/1.1 503 Busy", "Retry-After: 86400", "Content-Length: 0")
    second = world.accept("b")
    second << GOT
    second >> ok()
    client << ok()
    assert [f"left alone for {longest_s:g} s: it has asked for that"] == said


def test_the_last_one_is_not_left_alone(make: Make) -> None:
    world = make("a", retry=RetrySpec(on_status=(503,)), ejection=EjectionSpec())
    client = world.client()
    client >> GET
    first = world.accept("a")
    first << GOT
    busy = answer("HTTP/1.1 503 Busy", "Retry-After: 20", "Content-Length: 0")
    first >> busy
    client << busy
    assert "a" == asked(world, {"a": first})


def test_where_the_status_is_an_answer_like_any_other_so_is_its_retry_after(make: Make) -> None:
    world = make("ab", ejection=EjectionSpec())
    client = world.client()
    client >> GET
    first = world.accept("a")
    first << GOT
    busy = answer("HTTP/1.1 503 Busy", "Retry-After: 20", "Content-Length: 0")
    first >> busy
    client << busy
    peers = {"a": first}
    assert {"a", "b"} == {asked(world, peers) for _ in range(2)}

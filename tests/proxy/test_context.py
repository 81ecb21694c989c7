"""What the exchanges of a listener share."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network

from steelyard import errors
from steelyard.core.router import Router
from steelyard.core.spec import ListenerTimeouts, PolicySpec, RespondSpec, RouteSpec
from steelyard.observe.recent import Recent
from tests.fakes import World, forwarded, ok, refused, request

Make = Callable[..., World]


def test_the_limits_and_times_are_those_of_the_specification(world: World) -> None:
    context, spec = world.context, world.listener
    assert (spec.max_head_bytes, spec.max_fields, spec.underscores_in_headers) == (
        context.max_head_bytes,
        context.max_fields,
        context.underscores,
    )
    assert (15.0, 60.0, 75.0, 60.0) == (context.head_s, context.body_s, context.idle_s, context.write_s)
    assert ("front", "192.0.2.1:8080", False, set()) == (
        context.name,
        context.local,
        context.stopping,
        context.downstreams,
    )


def test_it_knows_the_open_client_connections(world: World) -> None:
    clients = [world.client(), world.client()]
    assert {client.transport.protocol for client in clients} == world.context.downstreams
    clients[0].eof()
    assert {clients[1].transport.protocol} == world.context.downstreams


def test_what_backends_are_told_of_a_client_is_shared_by_its_connections_alone(world: World) -> None:
    clients = [world.client("192.0.2.7"), world.client("192.0.2.8"), world.client("192.0.2.7")]
    first, other, again = (client.transport.protocol.peer for client in clients)
    assert first is again
    assert ("192.0.2.7", "192.0.2.8") == (first.address, other.address)


def test_it_is_kept_for_so_many_clients_and_no_more(world: World) -> None:
    first = world.context.peer_of("192.0.2.7")
    for number in range(5000):
        address = f"10.0.{number // 256}.{number % 256}"
        assert address == world.context.peer_of(address).address
    assert first is not world.context.peer_of("192.0.2.7")


def test_new_routes_hold_from_the_next_request_on(world: World) -> None:
    client = world.client()
    client >> request()
    router = Router((RouteSpec(respond=RespondSpec(503, "closed")),))
    router.routes[0].respond = router.routes[0].spec.respond
    world.context.router = router
    backend = world.accept("a")
    backend << forwarded()
    backend >> ok()
    client << ok()
    client >> request()
    assert client.take().startswith(b"HTTP/1.1 503 ")


def test_nobody_need_want_the_records(make: Make) -> None:
    world = make(routes=(RouteSpec(path="/x", respond=RespondSpec()),))
    world.context.on_record = None
    client = world.client()
    client >> request("GET /x HTTP/1.1") + request("GET /y HTTP/1.1") + b"nonsense\r\n\r\n"
    assert 3 == client.take().count(b"HTTP/1.1 ")
    assert [] == world.records


def test_the_key_of_a_policy_is_taken_from_the_request(make: Make) -> None:
    world = make("abcdefgh", policy=PolicySpec("hash").name, key="header:X-User")
    asked = []
    for user in "kkkllkk":
        client = world.client()
        client >> request("GET / HTTP/1.1", f"X-User: {user}")
        asked.append(world.dialled[0])
        client.reset()
    assert {asked[0]} == {asked[index] for index in (0, 1, 2, 5, 6)}
    assert asked[3] == asked[4]


# Another configuration.


def adopt(world: World, *routes: RouteSpec, trusted: tuple[str, ...] = (), **settings: object) -> None:
    """The listener gets other routes, and what else of its specification is another one."""
    spec = replace(world.listener, routes=routes, **settings)  # type: ignore[arg-type]
    router = Router(routes)
    for route in router.routes:
        route.respond = route.spec.respond
        route.pool = None if route.spec.pool is None else world.connections
    world.context.adopt(spec, router, tuple(ip_network(network) for network in trusted))


def test_another_configuration_holds_from_the_next_request_on_also_on_open_connections(world: World) -> None:
    client = world.client()
    client >> request()
    backend = world.accept("a")
    backend << forwarded()
    adopt(world, RouteSpec(respond=RespondSpec(204)), name="other", max_head_bytes=100)
    backend >> ok()
    client << ok()
    client >> request()
    assert client.take().startswith(b"HTTP/1.1 204 ")
    client >> request("GET / HTTP/1.1", f"X: {100 * 'x'}")
    client << refused(errors.HEAD_TOO_LARGE, close=True)
    assert ["other", "other", "other"] == [record.listener for record in world.records]


def test_other_times_hold_from_when_they_are_taken_next(world: World) -> None:
    client = world.client()
    adopt(world, RouteSpec(respond=RespondSpec(204)), timeouts=ListenerTimeouts(idle_s=5.0))
    client >> request()
    client.take()
    world.turn(4.0)
    assert "open" == client.end
    world.turn(2.0)
    assert "closed" == client.end


def test_whom_a_listener_trusts_may_change_under_open_connections(world: World) -> None:
    """What the proxy in front vouches for is believed from the next request on, and no longer than it is trusted."""
    client = world.client()
    client >> request()
    backend = world.accept("a")
    backend << forwarded()
    backend >> ok()
    client << ok()
    believed = []
    for trusted in ((), ("192.0.2.0/24",), ()):
        adopt(world, RouteSpec(pool="web"), trusted=trusted)
        client >> request("GET / HTTP/1.1", "X-Forwarded-For: 203.0.113.9")
        believed.append(b"203.0.113.9" in backend.take())
        backend >> ok()
        client << ok()
    assert [False, True, False] == believed


def test_a_request_that_is_under_way_is_from_whom_it_was(world: World) -> None:
    client = world.client()
    client >> request("GET / HTTP/1.1", "X-Forwarded-For: 203.0.113.9")
    adopt(world, RouteSpec(pool="web"), trusted=("192.0.2.0/24",))
    backend = world.accept("a")
    backend << forwarded()
    backend >> ok()
    client << ok()


# The latest requests.


def test_the_latest_requests_are_remembered_with_where_they_went(make: Make) -> None:
    world = make("a", routes=(RouteSpec("/x", respond=RespondSpec()), RouteSpec("/y", pool="web")))
    recent = world.context.recent = Recent(8)
    client = world.client()
    for path in ("/x", "/y", "/z"):
        client >> request(f"GET {path} HTTP/1.1")
        if world.dialled:
            backend = world.accept("a")
            backend.take()
            backend >> ok()
        client.take()
    assert [("/x", "front", "-", "-"), ("/y", "front", "web", "a:80"), ("/z", "front", "-", "-")] == [
        (request.get("path"), *where) for request, *where in recent.latest()
    ]


def test_of_a_request_that_is_remembered_the_body_is_not(make: Make) -> None:
    """Also where no answer came: a pool that reads bodies held it for the choice."""
    world = make("a", policy="hash", key="body:id")
    recent = world.context.recent = Recent(8)
    client = world.client()
    body = b'{"id": 1}'
    client >> request("POST / HTTP/1.1", "Content-Type: application/json", f"Content-Length: {len(body)}", body=body)
    world.refuse("a")
    client.take()
    half = world.client()
    half >> request("POST / HTTP/1.1", "Content-Type: application/json", f"Content-Length: {len(body)}", body=b"{")
    half.reset()
    assert [None, None] == [request.body for request, *_ in recent.latest()]  # type: ignore[attr-defined]

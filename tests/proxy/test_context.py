"""What the exchanges of a listener share."""

from collections.abc import Callable

from steelyard.core.router import Router
from steelyard.core.spec import PolicySpec, RespondSpec, RouteSpec
from tests.fakes import World, forwarded, ok, request

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

"""Dials: resolve, connect, hand over; and every way in which that does not happen."""

from collections.abc import Callable
from errno import EMFILE, ENFILE
from resource import RLIMIT_NOFILE, getrlimit
from socket import socket
from typing import Any

import pytest

from steelyard import errors
from steelyard.core.spec import PoolTimeouts
from steelyard.proxy import dial
from tests.fakes import FakeTransport, World, forwarded, ok, refused, request

Make = Callable[..., World]

GET = request()


def test_a_name_without_an_address_is_a_failed_connect(make: Make) -> None:
    world = make("ab")
    world.loop.unresolvable.add("a")
    client = world.client()
    client >> GET
    backend = world.accept("b")
    backend << forwarded()
    backend >> ok()
    client << ok()


@pytest.mark.parametrize("host", ["10.0.0.1", "::1"])
def test_an_address_needs_no_resolver(make: Make, host: str) -> None:
    world = make([host])
    world.loop.unresolvable.add(host)
    client = world.client()
    client >> GET
    backend = world.accept(host)
    backend << forwarded()
    backend >> ok()
    client << ok()


def test_a_name_that_resolves_to_nothing_at_all_is_one_too(world: World) -> None:
    world.loop.addresses["a"] = []
    client = world.client()
    client >> GET
    client << refused(errors.CONNECT_FAILED)


def test_each_address_of_a_name_is_tried_in_turn(world: World) -> None:
    world.loop.addresses["a"] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    client = world.client()
    client >> GET
    world.refuse("10.0.0.1")
    world.refuse("10.0.0.2")
    backend = world.accept("10.0.0.3")
    backend << forwarded()
    backend >> ok()
    client << ok()
    assert [1] == [record.tries for record in world.records]


def test_when_none_of_them_accepts_the_backend_has_failed_once(world: World) -> None:
    world.loop.addresses["a"] = ["10.0.0.1", "10.0.0.2"]
    client = world.client()
    client >> GET
    world.refuse("10.0.0.1")
    world.refuse("10.0.0.2")
    client << refused(errors.CONNECT_FAILED)


def test_a_name_is_resolved_anew_for_each_dial(make: Make) -> None:
    world = make(max_idle=0)
    client = world.client()
    for address in ("10.0.0.1", "10.0.0.2"):
        world.loop.addresses["a"] = [address]
        client >> GET
        backend = world.accept(address)
        backend << forwarded()
        backend >> ok()
        client << ok()


def test_all_addresses_together_have_the_time_of_one_connect(make: Make) -> None:
    world = make(timeouts=PoolTimeouts(connect_s=3.0))
    world.loop.addresses["a"] = ["10.0.0.1", "10.0.0.2"]
    client = world.client()
    client >> GET
    world.turn(2.0)
    world.refuse("10.0.0.1")
    world.turn(1.1)
    client << refused(errors.CONNECT_TIMEOUT)
    assert [] == world.dialled


def test_a_client_that_goes_ends_the_dial(world: World) -> None:
    client = world.client()
    client >> GET
    client.eof()
    assert [] == world.dialled
    assert [True] == [task.finished for task in world.loop.tasks]


def test_a_client_that_goes_in_the_very_moment_in_which_the_backend_accepts_leaves_no_connection(world: World) -> None:
    client = world.client()
    client >> GET
    world.loop.dials[0].end()  # the loop has not come round to it
    client.transport.lose(None)
    world.loop.settle()
    assert all(transport.lost for transport in world.loop.made)
    assert {} == world.in_flight


def test_a_backend_that_accepts_in_the_very_moment_in_which_its_time_is_up_is_too_late(world: World) -> None:
    client = world.client()
    client >> GET
    world.loop.dials[0].end()
    world.loop.clock += 5.0
    world.wheel.turn()
    world.loop.settle()
    client << refused(errors.CONNECT_TIMEOUT)
    assert all(transport.lost for transport in world.loop.made)


def test_a_dial_that_breaks_down_on_a_bug_of_ours_ends_its_exchange(world: World) -> None:
    async def broken(_: object, sock: socket) -> None:
        sock.close()  # as event loops do with a socket that they were given
        raise ValueError("a bug")

    world.loop.create_connection = broken  # type: ignore[assignment, method-assign]
    client = world.client()
    client >> GET
    world.loop.dials[0].end()
    world.loop.settle()
    client << refused(errors.INTERNAL)
    assert ["a bug"] == [str(failure["exception"]) for failure in world.loop.failures]
    world.loop.failures.clear()
    assert [(500, "internal")] == world.outcomes


def test_an_error_while_the_connection_is_set_up_is_a_failed_connect(make: Make) -> None:
    world = make("ab")
    whole = world.loop.create_connection

    async def broken(_: object, sock: socket) -> None:
        sock.close()
        world.loop.create_connection = whole  # type: ignore[method-assign]
        raise OSError("Transport endpoint is not connected")

    world.loop.create_connection = broken  # type: ignore[assignment, method-assign]
    client = world.client()
    client >> GET
    world.loop.dials[0].end()
    world.loop.settle()
    backend = world.accept("b")
    backend << forwarded()
    backend >> ok()
    client << ok()


def test_a_backend_that_speaks_before_it_is_asked_is_one_that_cannot_be_connected_to(make: Make) -> None:
    """Its greeting may come before the dial's task is told; nothing was sent, so even a POST goes elsewhere."""
    world = make("ab")
    whole = world.loop.create_connection

    async def greeted(*args: Any, **kwargs: Any) -> tuple[FakeTransport, Any]:
        world.loop.create_connection = whole  # type: ignore[method-assign]
        transport, protocol = await whole(*args, **kwargs)
        transport.arriving.append(b"220 hello\r\n")
        transport.deliver()
        return transport, protocol

    world.loop.create_connection = greeted  # type: ignore[method-assign]
    client = world.client()
    client >> request("POST / HTTP/1.1", "Content-Length: 2", body=b"hi")
    world.loop.dials[0].end()
    world.loop.settle()
    backend = world.accept("b")
    backend << forwarded("POST / HTTP/1.1", "Content-Length: 2", body=b"hi")
    backend >> ok()
    client << ok()
    assert world.loop.made[0].lost


def test_a_dial_without_a_descriptor_is_our_fault_and_is_not_tried_elsewhere(make: Make) -> None:
    world = make("ab")

    async def exhausted(*_: object) -> None:
        raise OSError(EMFILE, "Too many open files")

    world.loop.sock_connect = exhausted  # type: ignore[assignment, method-assign]
    client = world.client()
    client >> GET
    world.loop.settle()
    client << refused(errors.NO_FILES)
    assert [(503, "no_files")] == world.outcomes
    assert [] == world.changes


@pytest.mark.parametrize(
    ("errno", "limit", "mend"),
    [
        (
            EMFILE,
            f"this process may have {getrlimit(RLIMIT_NOFILE)[0]}",
            "raise it with `ulimit -n`, or LimitNOFILE= in its systemd unit",
        ),
        (ENFILE, "the system has no more for anybody", "raise sysctl fs.file-max"),
    ],
)
def test_that_descriptors_have_run_out_is_said_once_a_minute_with_the_mend(
    errno: int, limit: str, mend: str, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dial, "no_files", dial.NoFiles())

    async def exhausted(*_: object) -> None:
        raise OSError(errno, "Too many open files")

    world.loop.sock_connect = exhausted  # type: ignore[assignment, method-assign]
    said = []
    for waits_s in (0.0, 50.0, 9.0, 2.0, 58.0, 3.0):
        world.turn(waits_s)
        client = world.client()
        client >> GET
        world.loop.settle()
        client << refused(errors.NO_FILES)
        said.append(len(caplog.messages))
    assert [1, 1, 1, 2, 2, 3] == said
    assert {f"out of file descriptors: {limit}; requests are refused with 503; {mend}"} == set(caplog.messages)

"""Names and IPv6: where a listener is, and how a backend is found."""

import socket

import pytest

from steelyard.embed import LoadBalancer
from steelyard.errors import ListenError
from tests.real.backends import backend
from tests.real.client import HOST, Client
from tests.real.support import free_port, free_ports, one_pool, running


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")


async def test_a_backend_may_be_a_name() -> None:
    """`localhost` may first be ::1, where this one does not listen: the next address is tried."""
    async with backend() as behind, running(one_pool(f"localhost:{behind.port}")) as lb:
        assert b"one" == (await lb.ask()).body


async def test_a_name_that_does_not_exist_is_a_failed_connection() -> None:
    """502 after one try, and another backend is asked where there is one."""
    async with backend() as behind, running(one_pool("no-such-host.invalid:80", behind.port)) as lb:
        assert b"one" == (await lb.ask()).body
    async with running(one_pool("no-such-host.invalid:80")) as lb:
        assert 502 == (await lb.ask()).status
        assert ["connect_failed"] == lb.words()


@needs_ipv6
async def test_ipv6_on_both_sides() -> None:
    """The backend hears the client's IPv6 address and the Host it asked for."""
    async with (
        backend(host="::1") as behind,
        running(one_pool(f"[::1]:{behind.port}", listener={"bind": "[::1]:0"})) as lb,
    ):
        assert f"[::1]:{lb.port}" == str(lb.balancer.address("web"))
        answer = await lb.ask()
        assert (200, b"one") == (answer.status, answer.body)
        assert ("::1", "::1") == (behind.requests[0].get("x-forwarded-for"), behind.requests[0].get("x-real-ip"))


@needs_ipv6
async def test_a_listener_on_every_ipv6_address_takes_ipv4_too() -> None:
    """[::] is both, as nginx's ipv6only=off."""
    async with backend() as behind, running(one_pool(behind.port, listener={"bind": "[::]:0"})) as lb:
        client = await Client.open(lb.port, HOST)
        assert 200 == (await client.ask()).status
        client.close()
        client = await Client.open(lb.port, "::1")
        assert 200 == (await client.ask()).status
        client.close()


async def test_when_one_of_two_listeners_cannot_be_had_neither_is() -> None:
    """The first was bound already: it is let go again, and the message names the second."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        first, behind = free_ports(2)
        config = one_pool(behind, listener={"bind": f"{HOST}:{first}"})
        config["listeners"]["other"] = {"bind": f"{HOST}:{taken.getsockname()[1]}", "pool": "web"}
        with pytest.raises(ListenError, match=r"listeners\.other\.bind: .*the port is in use"):
            await LoadBalancer(config).start()
    with pytest.raises(ConnectionRefusedError):
        await Client.open(first)


async def test_a_balancer_that_was_stopped_leaves_its_port_free() -> None:
    """The same configuration can start again at once."""
    async with backend() as behind:
        config = one_pool(behind.port, listener={"bind": f"{HOST}:{free_port()}"})
        for _ in range(3):
            async with running(config) as lb:
                assert 200 == (await lb.ask()).status

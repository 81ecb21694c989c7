"""Which of our addresses an answer comes from, and what the kernel has thrown away."""

import logging
import socket
import sys

import pytest

from steelyard.proxy import datagram as datagram_module
from steelyard.proxy.datagram import answer_from, is_ours
from tests.proxy.datagrams import HOST, End, Make

LARGEST = 65_507


# Which address.


@pytest.mark.parametrize(("bind", "client", "to"), [("0.0.0.0", HOST, "127.0.0.2"), ("::", "::1", "::1")])
def test_an_answer_comes_from_the_address_that_was_asked(datagrams: Make, bind: str, client: str, to: str) -> None:
    stage = datagrams(bind=bind)
    end = stage.client(client, to)
    stage.ask(end, b"go")
    stage.echo()
    assert [(b"go", (to, stage.place[1]))] == [(datagram, place[:2]) for datagram, place in end.take()]
    stage.listener.drop()
    assert [client] == [record.client for record in stage.records]


def test_a_client_over_ipv4_has_the_same_name_on_a_socket_for_all(datagrams: Make) -> None:
    stage = datagrams(bind="::")
    client = End(HOST, ("127.0.0.3", stage.place[1]))
    stage.ask(client, b"go")
    stage.echo()
    assert [(b"go", ("127.0.0.3", stage.place[1]))] == client.take()
    client.close()
    stage.listener.drop()
    assert [HOST] == [record.client for record in stage.records]


def test_to_another_address_of_ours_it_is_another_session(datagrams: Make) -> None:
    stage = datagrams(bind="0.0.0.0")
    client = End()
    for host in ("127.0.0.4", "127.0.0.5"):
        client.sock.sendto(host.encode(), (host, stage.place[1]))
    stage.pump()
    stage.echo()
    assert [(host.encode(), (host, stage.place[1])) for host in ("127.0.0.4", "127.0.0.5")] == client.take()
    assert 2 == stage.listener.clients()
    client.close()


# What is lost.


def test_what_the_kernel_had_no_room_for_is_counted(datagrams: Make) -> None:
    stage = datagrams()
    assert stage.listener.socks is not None
    stage.listener.socks[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client = stage.client()
    for _ in range(100):
        client >> bytes(1000)
    stage.turn(2.0)
    passed = len(stage.backends[0].got())
    assert {"datagrams_lost": 100 - passed} == stage.counted()
    assert passed < 100


def test_a_system_that_grants_less_room_is_named_with_the_mend(
    datagrams: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagram_module, "RECEIVE_BYTES", 1 << 30)
    with caplog.at_level(logging.WARNING, "steelyard"):
        datagrams()
    (line,) = caplog.messages
    assert "listener front: the system lets " in line
    assert "raise sysctl net.core.rmem_max" in line


@pytest.mark.parametrize(
    ("address", "ours"),
    [
        (("127.0.0.9", 53), True),
        (("::1", 53, 0, 0), True),
        (("::ffff:127.0.0.9", 53, 0, 0), True),
        (("192.0.2.1", 53), False),
        (("2001:db8::1", 53, 0, 0), False),
    ],
)
def test_an_address_of_another_machine_is_not_ours(address: tuple[object, ...], ours: bool) -> None:
    assert ours == is_ours(address)


def test_every_address_of_this_machine_is_ours() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no other address than loopback's")
        assert is_ours((sock.getsockname()[0], 53))


def test_a_multicast_group_is_no_sender() -> None:
    group, ours = b"\xff\x02" + bytes(13) + b"\x01", b"\xfe\x80" + bytes(13) + b"\x01"
    level, kind = socket.IPPROTO_IPV6, socket.IPV6_PKTINFO
    number = (3).to_bytes(4, sys.byteorder)
    assert [] == answer_from([(level, kind, group + number)])
    assert [(level, kind, ours + number)] == answer_from([(level, kind, ours + number)])
    assert [(level, kind, bytes(15) + b"\x01" + bytes(4))] == answer_from([(level, kind, bytes(15) + b"\x01" + number)])
    assert [] == answer_from([(socket.SOL_SOCKET, 1, b"")])

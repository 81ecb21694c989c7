"""What is sent while a backend has no address yet, and which of several addresses is kept to."""

from steelyard.proxy.names import KEEP_S
from steelyard.proxy.session import AHEAD_BYTES
from tests.proxy.datagrams import HOST, Make

LARGEST = 65_507


def test_datagrams_wait_for_the_backend_s_name(datagrams: Make) -> None:
    stage = datagrams(["a"])
    stage.loop.addresses["a"] = [HOST]
    client = stage.client()
    client >> b"1" >> b"2"
    descriptor = stage.listener.socks[0].fileno()  # type: ignore[index]
    stage.loop.readers[descriptor]()
    assert [] == stage.backends[0].got()
    stage.pump()
    stage.echo()
    assert [b"1", b"2"] == client.got()


def test_no_more_waits_for_a_name_than_there_is_room_for(datagrams: Make) -> None:
    stage = datagrams(["a"])
    stage.loop.addresses["a"] = [HOST]
    client = stage.client()
    for _ in range(10):
        client >> bytes(AHEAD_BYTES // 4)
    descriptor = stage.listener.socks[0].fileno()  # type: ignore[index]
    stage.loop.readers[descriptor]()
    stage.pump()
    assert 4 == len(stage.backends[0].got())
    assert {"datagrams_dropped": 6} == stage.counted()


def test_an_address_of_a_name_that_refuses_is_followed_by_the_next_which_is_kept_to(datagrams: Make) -> None:
    stage = datagrams(["a"])
    stage.loop.addresses["a"] = ["127.0.0.9", HOST]
    for _ in range(2):
        client = stage.client()
        stage.ask(client, b"go")
        stage.echo()
        assert [b"go"] == client.got()
    assert {} == stage.counted()
    assert [HOST, "127.0.0.9"] == [
        place[0] for _, place in stage.listener.names.of("a", stage.backends[0].port, 0.0).places
    ]


def test_a_name_that_nobody_knows_is_a_backend_that_nobody_reaches(datagrams: Make) -> None:
    stage = datagrams(["a", HOST])
    stage.loop.unresolvable.add("a")
    stage.ask(stage.client(), b"go")
    assert [b"go"] == stage.backends[1].got()
    assert {"retries": 1} == stage.counted()


def test_a_name_is_looked_up_again_when_it_is_old(datagrams: Make) -> None:
    stage = datagrams(["a"])
    stage.loop.addresses["a"] = ["127.0.0.9"]
    stage.pump()
    stage.loop.addresses["a"] = [HOST]
    stage.turn(KEEP_S + 1)
    stage.ask(stage.client(), b"lost")
    client = stage.client()
    stage.ask(client, b"go")
    stage.echo()
    assert [b"go"] == client.got()

"""A UDP listener: what is dropped and counted, reloads and stops."""

import logging

import pytest

from steelyard.core.spec import HealthCheckSpec
from steelyard.proxy.bind import bind
from steelyard.proxy.session import FAREWELL_S
from steelyard.proxy.udp import UdpListener
from tests.proxy.datagrams import HOST, Make

LARGEST = 65_507


# What is dropped.


def test_a_client_too_many_is_dropped_counted_and_said_once(datagrams: Make, caplog: pytest.LogCaptureFixture) -> None:
    stage = datagrams(max_sessions=2)
    clients = [stage.client() for _ in range(4)]
    with caplog.at_level(logging.WARNING, "steelyard"):
        for client in clients:
            stage.ask(client, b"go")
    stage.ask(clients[0], b"more")
    assert [b"go", b"go", b"more"] == stage.backends[0].got()
    assert {"overloaded": 2, "datagrams_dropped": 2} == stage.counted()
    (line,) = caplog.messages
    assert "listener front: datagrams of new clients are dropped (overloaded): 2 sessions are open" == line


def test_a_place_that_is_left_is_taken_by_the_next(datagrams: Make) -> None:
    stage = datagrams(max_sessions=1, answers=1)
    for _ in range(3):
        client = stage.client()
        stage.ask(client, b"go")
        stage.echo()
        assert [b"go"] == client.got()


def test_without_descriptors_a_new_client_is_dropped(datagrams: Make) -> None:
    stage = datagrams(most=0)
    stage.ask(stage.client(), b"go")
    assert {"no_files": 1, "datagrams_dropped": 1} == stage.counted()


def test_without_a_backend_a_datagram_is_dropped(datagrams: Make) -> None:
    stage = datagrams(health_check=HealthCheckSpec())
    stage.pool.mark_down(stage.pool.backends[0], 0.0)
    stage.ask(stage.client(), b"go")
    assert {"none_up": 1, "datagrams_dropped": 1} == stage.counted()
    assert [] == stage.records


def test_a_datagram_from_the_listener_s_own_address_is_dropped(datagrams: Make) -> None:
    """Its answer would come back as the next one, for ever."""
    stage = datagrams()
    assert stage.listener.socks is not None
    stage.listener.socks[0].sendto(b"loop", stage.place)
    stage.pump()
    assert ([], {"datagrams_dropped": 1}) == (stage.backends[0].got(), stage.counted())


@pytest.mark.parametrize("bind", ["0.0.0.0", "::"])
def test_so_is_one_from_it_on_a_socket_for_all_addresses(datagrams: Make, bind: str) -> None:
    """Whichever of ours it comes to: the answer comes from there, and would be a client's datagram as well."""
    stage = datagrams(bind=bind)
    sock = stage.listener.socks[0]  # type: ignore[index]
    for host in ("127.0.0.1", "127.0.0.7"):
        sock.sendto(b"loop", (host if bind == "0.0.0.0" else f"::ffff:{host}", stage.place[1]))
    stage.pump()
    assert ([], {"datagrams_dropped": 2}) == (stage.backends[0].got(), stage.counted())


# Reloads and stops.


def test_a_reload_leaves_sessions_where_they_are_and_sends_new_ones_elsewhere(datagrams: Make) -> None:
    stage = datagrams(2)
    client = stage.client()
    stage.ask(client, b"1")
    stage.reload((HOST, stage.backends[1].port))
    stage.ask(client, b"2")
    stage.ask(stage.client(), b"3")
    stage.echo()
    assert [b"1", b"2"] == client.got()
    assert [1] == stage.in_flight()


def test_another_number_of_answers_is_for_new_sessions(datagrams: Make) -> None:
    stage = datagrams()
    old, new = stage.client(), stage.client()
    stage.ask(old, b"1")
    stage.adopt(answers=1)
    stage.ask(new, b"2")
    stage.echo()
    assert 1 == stage.listener.clients()
    stage.ask(old, b"3")
    stage.echo()
    assert [b"1", b"3"] == old.got()


def test_ways_to_backends_that_are_gone_are_closed(datagrams: Make) -> None:
    stage = datagrams(2, answers=0)
    stage.ask(stage.client(), b"1", b"2")
    stage.reload((HOST, stage.backends[1].port))
    assert 1 == len(stage.listener.ways)
    assert 1 == len(stage.listener.hearing)


def test_a_stop_waits_for_the_answers_that_are_owed(datagrams: Make) -> None:
    stage = datagrams(answers=1)
    client = stage.client()
    stage.ask(client, b"go")
    stage.listener.stop_accepting()
    stage.turn(FAREWELL_S * 2)
    assert 1 == stage.listener.clients()
    stage.echo()
    assert [b"go"] == client.got()
    assert 0 == stage.listener.clients()
    assert all(sock.fileno() < 0 for sock in stage.listener.socks or ())


def test_a_stop_ends_soon_what_owes_nothing_and_takes_nothing_new(datagrams: Make) -> None:
    stage = datagrams()
    quiet, busy = stage.client(), stage.client()
    stage.ask(quiet, b"1")
    stage.echo()
    stage.ask(busy, b"2")
    _, place = stage.asked()
    stage.listener.stop_accepting()
    stage.ask(quiet, b"late")
    assert [] == stage.backends[0].got()
    stage.turn(FAREWELL_S + 0.1)
    assert 1 == stage.listener.clients()
    for _ in range(2):
        stage.answer(stage.backends[0], b"well", place)
        stage.turn(FAREWELL_S / 2)
    assert [b"well", b"well"] == busy.got()
    stage.turn(FAREWELL_S)
    assert (0, ["-", "-"]) == (stage.listener.clients(), stage.words())


def test_who_is_owed_an_answer_when_the_drain_is_over_is_cut_off(datagrams: Make) -> None:
    stage = datagrams()
    stage.ask(stage.client(), b"1")
    answered = stage.client()
    stage.ask(answered, b"2")
    stage.answer(stage.backends[0], b"well", stage.backends[0].take()[1][1])
    stage.listener.stop_accepting()
    stage.listener.drop()
    assert ["-", "stopping"] == sorted(stage.words())


def test_a_stop_while_a_name_is_looked_up_leaves_nothing(datagrams: Make) -> None:
    stage = datagrams(["a"])
    stage.loop.addresses["a"] = [HOST]
    client = stage.client()
    client >> b"1"
    descriptor = stage.listener.socks[0].fileno()  # type: ignore[index]
    stage.loop.readers[descriptor]()
    stage.listener.drop()
    stage.pump()
    assert (["stopping"], []) == (stage.words(), stage.backends[0].got())


def test_one_that_never_began_closes_the_sockets_that_were_bound_for_it(datagrams: Make) -> None:
    stage = datagrams()
    socks = bind(stage.spec)
    listener = UdpListener(stage.loop, stage.spec, stage.context, socks)  # type: ignore[arg-type]
    listener.stop_accepting()
    listener.drop()
    assert [-1] == [sock.fileno() for sock in socks]

"""A session: its datagrams, its answers, its time, and backends that refuse."""

import socket
from errno import EAGAIN, EMFILE

import pytest

from steelyard.core.spec import BreakerSpec, HealthCheckSpec, RetrySpec
from steelyard.proxy import session as session_module
from steelyard.proxy.dial import no_files
from steelyard.proxy.session import HELD_BYTES
from tests.fakes import Waiting
from tests.proxy.datagrams import HOST, Datagrams, End, Make

LARGEST = 65_507
BREAKER = BreakerSpec(consecutive_failures=1, open_for_s=5.0)


# Datagrams and answers.


def test_an_answer_goes_to_who_has_asked_and_comes_from_the_listener(datagrams: Make) -> None:
    stage = datagrams()
    first, second = stage.client(), stage.client()
    stage.ask(first, b"one")
    stage.ask(second, b"two")
    stage.echo()
    assert [(b"one", stage.place)] == first.take()
    assert [(b"two", stage.place)] == second.take()
    assert 2 == stage.listener.clients()
    assert [2] == stage.in_flight()


@pytest.mark.parametrize("size", [0, 1, HELD_BYTES + 1, LARGEST])
def test_a_datagram_of_any_length_is_passed_on_whole_both_ways(datagrams: Make, size: int) -> None:
    stage = datagrams()
    client = stage.client()
    for sent in (bytes(size), b"\xff" * size):
        stage.ask(client, sent)
        stage.echo()
        assert [sent] == client.got()
    assert {} == stage.counted()


def test_the_datagrams_of_a_client_go_to_one_backend_from_one_address(datagrams: Make) -> None:
    stage = datagrams(3)
    client = stage.client()
    stage.ask(client, b"1", b"2")
    stage.ask(client, b"3")
    found = stage.backends[0].take()
    assert [b"1", b"2", b"3"] == [datagram for datagram, _ in found]
    assert 1 == len({place for _, place in found})
    assert [1, 0, 0] == stage.in_flight()


def test_any_number_of_answers_follows_a_datagram(datagrams: Make) -> None:
    stage = datagrams()
    client = stage.client()
    stage.ask(client, b"go")
    _, place = stage.asked()
    for _ in range(300):
        stage.backends[0].sock.sendto(b"x", place)
    stage.pump()
    assert [b"x"] * 300 == client.got()
    assert 1 == stage.listener.clients()


def test_somebody_else_than_the_backend_is_not_heard(datagrams: Make) -> None:
    stage = datagrams()
    client = stage.client()
    stage.ask(client, b"go")
    _, place = stage.asked()
    stranger = End()
    stranger.sock.sendto(b"poison", place)
    stage.pump()
    assert [] == client.got()
    stranger.close()


@pytest.mark.parametrize("expected", [1, 2, 5])
def test_a_session_is_over_with_its_last_expected_answer(datagrams: Make, expected: int) -> None:
    stage = datagrams(answers=expected)
    client = stage.client()
    stage.ask(client, b"go")
    _, place = stage.asked()
    for n in range(expected):
        assert [1] == stage.in_flight()
        stage.answer(stage.backends[0], b"%d" % n, place)
    assert [b"%d" % n for n in range(expected)] == client.got()
    assert [0] == stage.in_flight()
    assert 0 == stage.listener.clients()
    assert ["-"] == stage.words()
    stage.backends[0].sock.sendto(b"late", place)
    stage.pump()
    assert [] == client.got()


def test_two_datagrams_at_once_are_owed_twice_the_answers(datagrams: Make) -> None:
    stage = datagrams(answers=1)
    client = stage.client()
    stage.ask(client, b"1", b"2")
    stage.echo()
    assert [b"1", b"2"] == client.got()
    assert ({"answered": 1}, 0) == (stage.counted(), stage.listener.clients())


def test_the_next_datagram_after_the_last_answer_is_balanced_anew(datagrams: Make) -> None:
    stage = datagrams(3, answers=1)
    client = stage.client()
    for n in (0, 1, 2, 0):
        stage.ask(client, b"go")
        stage.answer(stage.backends[n], b"well", stage.asked(n)[1])
        assert [b"well"] == client.got()


def test_a_record_says_how_much_and_for_how_long(datagrams: Make) -> None:
    stage = datagrams(session_timeout_s=5.0)
    client = stage.client()
    stage.ask(client, b"four")
    stage.turn(2.0)
    stage.answer(stage.backends[0], b"seven..", stage.asked()[1])
    stage.turn(6.0)
    (record,) = stage.records
    assert ("front", "web", HOST, "-", 1) == (record.listener, record.pool, record.client, record.word, record.tries)
    assert (4, 7, 0) == (record.received, record.sent, record.status)
    assert f"{HOST}:{stage.backends[0].port}" == record.backend
    assert 2.0 == pytest.approx(record.duration_s, abs=0.01)


# Time.


def test_a_session_without_datagrams_ends_after_its_time_and_not_before(datagrams: Make) -> None:
    stage = datagrams(session_timeout_s=10.0)
    client = stage.client()
    stage.ask(client, b"1")
    stage.turn(9.0)
    stage.ask(client, b"2")  # which gives it 10 s more
    stage.turn(9.0)
    stage.echo()  # and so does an answer
    stage.turn(9.0)
    assert 1 == stage.listener.clients()
    stage.turn(1.1)
    assert (["-"], 0) == (stage.words(), stage.listener.clients())
    assert {"answered": 1} == stage.counted()


def test_an_answer_that_never_comes_is_the_backend_s_failure(datagrams: Make) -> None:
    stage = datagrams(answers=1, session_timeout_s=10.0)
    stage.ask(stage.client(), b"go")
    stage.turn(10.1)
    assert ["response_timeout"] == stage.words()
    assert 1 == stage.pool.backends[0].failures


def test_who_sends_on_does_not_stay_with_a_backend_that_is_silent(datagrams: Make) -> None:
    stage = datagrams(2, answers=1, session_timeout_s=10.0)
    client = stage.client()
    for _ in range(11):
        stage.ask(client, b"again")
        stage.turn(1.0)
    stage.ask(client, b"again")
    assert [b"again"] * 11 == stage.backends[0].got()[:11]
    assert 1 <= len(stage.backends[1].got())
    assert ["response_timeout"] == stage.words()


def test_one_of_two_answers_is_no_failure_of_the_backend(datagrams: Make) -> None:
    stage = datagrams(answers=2, session_timeout_s=10.0)
    stage.ask(stage.client(), b"go")
    stage.echo()
    stage.turn(10.1)
    assert ["response_timeout"] == stage.words()
    assert 0 == stage.pool.backends[0].failures


# Refusals.


def test_a_refused_datagram_goes_to_another_backend(datagrams: Make) -> None:
    stage = datagrams(3)
    stage.backends[0].close()
    client = stage.client()
    stage.ask(client, b"go")
    assert [b"go"] == stage.backends[1].got()
    assert [0, 1, 0] == stage.in_flight()
    assert {"retries": 1} == stage.counted()
    stage.listener.drop()
    assert [(2, len(b"go"))] == [(record.tries, record.received) for record in stage.records]


def test_a_backend_that_refuses_is_taken_down_as_by_a_failed_check(datagrams: Make) -> None:
    stage = datagrams(2, health_check=HealthCheckSpec(fall=2))
    stage.pool.probed(stage.pool.backends[0], True, 0.0)
    stage.pool.probed(stage.pool.backends[1], True, 0.0)
    stage.backends[0].close()
    for _ in range(4):
        stage.ask(stage.client(), b"go")
    assert [(stage.pool.backends[0].label, False)] == stage.changes
    assert [b"go"] * 4 == stage.backends[1].got()


def test_mark_down_takes_it_down_at_once(datagrams: Make) -> None:
    stage = datagrams(2, health_check=HealthCheckSpec(), retry=RetrySpec(mark_down=True))
    stage.backends[0].close()
    stage.ask(stage.client(), b"go")
    assert [(stage.pool.backends[0].label, False)] == stage.changes


def test_when_all_refuse_the_session_ends(datagrams: Make) -> None:
    stage = datagrams(2)
    for backend in stage.backends:
        backend.close()
    stage.ask(stage.client(), b"go")
    assert (["connect_failed"], [0, 0]) == (stage.words(), stage.in_flight())
    assert {"connect_failed": 1, "datagrams_dropped": 1, "retries": 1} == stage.counted()


def test_no_more_backends_are_asked_than_tries_allow(datagrams: Make) -> None:
    stage = datagrams(3, retry=RetrySpec(tries=2))
    for backend in stage.backends[:2]:
        backend.close()
    stage.ask(stage.client(), b"go")
    assert (["connect_failed"], []) == (stage.words(), stage.backends[2].got())


def test_a_budget_that_is_used_up_ends_the_session(datagrams: Make) -> None:
    stage = datagrams(2, retry=RetrySpec(budget=0.0, budget_floor=0))
    stage.backends[0].close()
    stage.ask(stage.client(), b"go")
    assert ["connect_failed"] == stage.words()
    assert 1 == stage.counted()["retries_refused"]


def test_a_datagram_that_is_too_long_to_be_kept_is_not_tried_elsewhere(datagrams: Make) -> None:
    stage = datagrams(2)
    stage.backends[0].close()
    stage.ask(stage.client(), bytes(HELD_BYTES + 1))
    assert (["connect_failed"], []) == (stage.words(), stage.backends[1].got())


def test_the_datagram_that_came_last_is_the_one_that_is_tried_elsewhere(datagrams: Make) -> None:
    """The refusal of the first is heard only when the second is there."""
    stage = datagrams(2, answers=1)
    stage.backends[0].close()
    client = stage.client()
    client >> b"1" >> b"2"
    stage.pump()
    assert b"2" == stage.asked(1)[0]
    stage.ask(client, b"3")
    stage.echo()


def test_a_backend_that_goes_after_an_answer_ends_the_session_and_the_next_datagram_begins_one(
    datagrams: Make,
) -> None:
    stage = datagrams(2)
    client = stage.client()
    stage.ask(client, b"1")
    stage.echo()
    stage.backends[0].close()
    stage.ask(client, b"lost")
    assert ["connect_failed"] == stage.words()
    stage.ask(client, b"2")
    assert [b"2"] == stage.backends[1].got()


def test_the_datagram_at_which_a_refusal_is_heard_goes_into_the_next_session(datagrams: Make) -> None:
    stage = datagrams(2)
    client = stage.client()
    stage.ask(client, b"1")
    stage.echo()
    stage.backends[0].close()
    client >> b"lost" >> b"2"
    descriptor = stage.listener.socks[0].fileno()  # type: ignore[index]
    stage.loop.readers[descriptor]()  # both at once, before anybody looks for answers
    assert [b"2"] == stage.backends[1].got()
    assert ["connect_failed"] == stage.words()


# Trials of a circuit.


def test_an_answer_closes_a_circuit_that_tries(datagrams: Make) -> None:
    stage = datagrams(answers=1, circuit_breaker=BREAKER)
    port = stage.backends[0].port
    stage.backends[0].close()
    stage.ask(stage.client(), b"go")
    assert ["connect_failed"] == stage.words()
    stage.ask(stage.client(), b"go")
    assert 1 == stage.counted()["breaker_open"]
    stage.turn(5.1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
        back.bind((HOST, port))
        client = stage.client()
        stage.ask(client, b"go")
        datagram, place = back.recvfrom(100)
        back.sendto(datagram, place)
        stage.pump()
        assert [b"go"] == client.got()
        assert 0 == stage.pool.backends[0].circuit()


def test_a_trial_that_nobody_answers_does_not_last_as_long_as_its_client_sends(datagrams: Make) -> None:
    """Else the circuit would neither open again nor close."""
    stage = datagrams(session_timeout_s=10.0, circuit_breaker=BREAKER)
    port = stage.backends[0].port
    stage.backends[0].close()
    stage.ask(stage.client(), b"go")
    stage.turn(5.1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
        back.bind((HOST, port))
        client = stage.client()
        for _ in range(11):
            stage.ask(client, b"again")
            stage.turn(1.0)
    assert ["connect_failed", "-"] == stage.words()[:2]


# What our own machine refuses.


def test_a_datagram_that_has_no_room_on_its_way_out_is_dropped_and_the_session_goes_on(datagrams: Make) -> None:
    """An IPv6 datagram may be longer than any over IPv4."""
    stage = datagrams(bind="::1")
    client = stage.client("::1")
    stage.ask(client, bytes(65_527))
    stage.ask(client, b"go")
    stage.echo()
    assert ([b"go"], {"datagrams_dropped": 1}) == (client.got(), stage.counted())


def test_where_no_datagram_has_left_us_no_answer_is_owed_and_the_backend_has_not_failed(datagrams: Make) -> None:
    stage = datagrams(bind="::1", answers=1)
    client = stage.client("::1")
    stage.ask(client, bytes(65_527))
    assert (["-"], [0], {"answered": 1, "datagrams_dropped": 1}) == (stage.words(), stage.in_flight(), stage.counted())
    client >> b"go" >> bytes(65_527)
    stage.pump()
    stage.echo()
    assert ([b"go"], ["-", "-"], 0) == (client.got(), stage.words(), stage.listener.clients())
    assert 0 == stage.pool.backends[0].failures


def test_without_a_descriptor_for_its_socket_there_is_no_session(
    datagrams: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stage = datagrams(2)

    def none(*_: object) -> None:
        raise OSError(EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(session_module, "socket", none)
        patched.setattr(no_files, "next_at", None)
        stage.ask(stage.client(), b"go")
    assert (["no_files"], [0, 0]) == (stage.words(), stage.in_flight())
    assert "out of file descriptors" in caplog.text
    assert 0 == stage.pool.backends[0].failures


def test_without_a_local_port_there_is_no_session_either(
    datagrams: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stage = datagrams(2)

    def none(*_: object) -> None:
        raise OSError(EAGAIN, "Resource temporarily unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(session_module, "socket", none)
        stage.ask(stage.client(), b"go")
    assert ["overloaded"] == stage.words()
    assert "listener front: no port is left for a session" in caplog.text


def test_a_name_that_nobody_answers_for_in_time_is_no_failure_of_the_backend(
    datagrams: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = datagrams(["a"], session_timeout_s=5.0)

    async def never(*_: object, **__: object) -> None:
        await Waiting(("a",))

    stage.listener.names.known.clear()
    monkeypatch.setattr(stage.loop, "getaddrinfo", never)
    stage.ask(stage.client(), b"go")
    stage.turn(5.1)
    assert (["connect_timeout"], 0) == (stage.words(), stage.pool.backends[0].failures)


def two_addresses(datagrams: Make) -> Datagrams:
    """A backend whose name stands for two addresses, of which it listens on the second."""
    stage = datagrams(["a"], answers=1, session_timeout_s=5.0)
    stage.loop.addresses["a"] = ["127.0.0.9", HOST]
    stage.listener.names.known.clear()
    return stage


def test_what_the_first_address_has_swallowed_is_not_owed_an_answer(datagrams: Make) -> None:
    stage = two_addresses(datagrams)
    client = stage.client()
    stage.listener.names.of("a", stage.backends[0].port, 0.0)
    stage.pump()
    stage.ask(client, b"1", b"2")
    stage.echo()
    assert ([b"2"], ["-"], 0) == (client.got(), stage.words(), stage.listener.clients())


def test_one_that_was_too_long_to_be_kept_for_the_second_address_is_counted_and_nobody_s_failure(
    datagrams: Make,
) -> None:
    stage = two_addresses(datagrams)
    client = stage.client()
    stage.ask(client, bytes(HELD_BYTES + 1))
    assert 1 == stage.counted()["datagrams_dropped"]
    stage.turn(5.1)
    assert (["-"], 0) == (stage.words(), stage.pool.backends[0].failures)


def test_the_next_one_goes_to_the_second_address(datagrams: Make) -> None:
    stage = two_addresses(datagrams)
    client = stage.client()
    stage.ask(client, bytes(HELD_BYTES + 1))
    stage.ask(client, b"next")
    stage.echo()
    assert ([b"next"], ["-"]) == (client.got(), stage.words())


def test_what_there_was_no_room_for_while_a_name_was_looked_up_is_not_owed_an_answer(
    datagrams: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = datagrams(["a"], answers=1)
    client = stage.client()
    monkeypatch.setattr(session_module, "AHEAD_BYTES", 3)
    stage.loop.addresses["a"] = [HOST]
    stage.listener.names.known.clear()
    client >> b"1" >> b"2" >> b"34"
    stage.pump()
    stage.echo()
    assert ([b"1", b"2"], ["-"], 1) == (client.got(), stage.words(), stage.counted()["datagrams_dropped"])

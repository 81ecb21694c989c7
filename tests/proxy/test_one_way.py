"""Datagrams without answers: each is balanced by itself, and refusals are heard late."""

from errno import EMFILE

import pytest

from steelyard.core.spec import HealthCheckSpec, RetrySpec
from steelyard.proxy import one_way as one_way_module
from steelyard.proxy.dial import no_files
from tests.proxy.datagrams import HOST, Make

LARGEST = 65_507


def test_without_answers_every_datagram_is_balanced_by_itself(datagrams: Make) -> None:
    stage = datagrams(2, answers=0)
    client = stage.client()
    stage.ask(client, b"1", b"2", b"3")
    assert ([b"1", b"3"], [b"2"]) == (stage.backends[0].got(), stage.backends[1].got())
    assert ([0, 0], 0) == (stage.in_flight(), stage.listener.clients())
    assert ["-"] * 3 == stage.words()
    assert [1, 1, 1] == [record.received for record in stage.records]


def test_an_answer_that_nobody_expects_goes_nowhere(datagrams: Make) -> None:
    stage = datagrams(answers=0)
    client = stage.client()
    stage.ask(client, b"go")
    stage.echo()
    assert ([], {"answered": 1, "datagrams_dropped": 1}) == (client.got(), stage.counted())


def test_a_refusal_that_comes_late_is_held_against_the_next_try_which_goes_elsewhere(datagrams: Make) -> None:
    stage = datagrams(2, answers=0)
    stage.backends[0].close()
    client = stage.client()
    stage.ask(client, b"lost")
    stage.ask(client, b"1")
    stage.ask(client, b"2")
    assert [b"1", b"2"] == stage.backends[1].got()
    assert 1 == stage.pool.backends[0].failures
    assert {"answered": 3, "retries": 1} == stage.counted()


def test_without_answers_and_backends_all_is_dropped(datagrams: Make) -> None:
    stage = datagrams(2, answers=0)
    for backend in stage.backends:
        backend.close()
    for n in range(3):
        stage.ask(stage.client(), b"%d" % n)
    assert 2 == stage.words().count("-")  # gone before anything was known
    assert ["connect_failed"] == stage.words()[2:]


def test_without_answers_datagrams_wait_for_a_name_all_the_same(datagrams: Make) -> None:
    stage = datagrams(["a"], answers=0)
    stage.loop.addresses["a"] = [HOST]
    client = stage.client()
    client >> b"1" >> b"2"
    descriptor = stage.listener.socks[0].fileno()  # type: ignore[index]
    stage.loop.readers[descriptor]()
    stage.pump()
    assert [b"1", b"2"] == stage.backends[0].got()


def test_without_answers_a_name_that_nobody_knows_costs_what_waited_for_it(datagrams: Make) -> None:
    stage = datagrams(["a", HOST], answers=0)
    stage.loop.unresolvable.add("a")
    client = stage.client()
    stage.ask(client, b"lost")
    stage.ask(client, b"1")
    stage.ask(client, b"2")
    assert [b"1", b"2"] == stage.backends[1].got()
    assert 1 == stage.counted()["datagrams_dropped"]


def test_without_a_backend_each_is_dropped_and_none_has_a_record(datagrams: Make) -> None:
    stage = datagrams(answers=0, health_check=HealthCheckSpec())
    stage.pool.mark_down(stage.pool.backends[0], 0.0)
    stage.ask(stage.client(), b"1", b"2")
    assert ({"none_up": 2, "datagrams_dropped": 2}, []) == (stage.counted(), stage.records)


def test_a_datagram_that_cannot_leave_us_says_nothing_of_its_backend(datagrams: Make) -> None:
    stage = datagrams(answers=0, bind="::1")
    stage.ask(stage.client("::1"), bytes(65_527), b"go")
    assert [b"go"] == stage.backends[0].got()
    assert ({"answered": 2, "datagrams_dropped": 1}, 0) == (stage.counted(), stage.pool.backends[0].failures)


def test_without_a_descriptor_for_the_way_it_is_said(
    datagrams: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stage = datagrams(2, answers=0)

    def none(*_: object) -> None:
        raise OSError(EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(one_way_module, "socket", none)
        patched.setattr(no_files, "next_at", None)
        stage.ask(stage.client(), b"go")
    assert ({"no_files": 1, "datagrams_dropped": 1}, ["no_files"]) == (stage.counted(), stage.words())
    assert "datagrams of new clients are dropped" in caplog.text


def test_an_address_of_a_name_that_refuses_is_followed_by_the_next_which_serves_from_then_on(datagrams: Make) -> None:
    stage = datagrams(["a"], answers=0)
    stage.loop.addresses["a"] = ["127.0.0.9", HOST]
    client = stage.client()
    for datagram in (b"lost", b"1", b"2"):
        stage.ask(client, datagram)
    assert [b"1", b"2"] == stage.backends[0].got()
    assert ({"answered": 3}, 0) == (stage.counted(), stage.pool.backends[0].failures)


def test_no_more_backends_are_asked_than_tries_allow(datagrams: Make) -> None:
    stage = datagrams(3, answers=0, retry=RetrySpec(tries=2))
    client = stage.client()
    for backend in stage.backends[:2]:
        backend.close()
    stage.ask(client, b"lost")
    stage.ask(client, b"lost")
    stage.ask(client, b"go")
    stage.ask(client, b"2")
    assert 1 == stage.words().count("connect_failed")
    assert stage.backends[2].got()


def test_a_refusal_that_is_heard_in_sending_is_the_backend_s_too(datagrams: Make) -> None:
    stage = datagrams(2, answers=0)
    stage.backends[0].close()
    client = stage.client()
    for datagram in (b"lost", b"1", b"2"):
        client >> datagram
    stage.loop.readers[stage.listener.socks[0].fileno()]()  # type: ignore[index]
    assert [b"1", b"2"] == stage.backends[1].got()
    assert 1 == stage.pool.backends[0].failures


def test_a_way_that_a_reload_takes_away_while_its_name_is_looked_up_is_closed(datagrams: Make) -> None:
    stage = datagrams(["a"], answers=0)
    stage.loop.addresses["a"] = [HOST]
    stage.client() >> b"1"
    stage.loop.readers[stage.listener.socks[0].fileno()]()  # type: ignore[index]
    stage.reload((HOST, stage.backends[0].port))
    stage.pump()
    assert [b"1"] == stage.backends[0].got()
    assert ({}, {}) == (stage.listener.ways, stage.listener.hearing)


def test_a_stop_while_a_name_is_looked_up_leaves_nothing(datagrams: Make) -> None:
    stage = datagrams(["a"], answers=0)
    stage.loop.addresses["a"] = [HOST]
    client = stage.client()
    client >> b"1"
    stage.loop.readers[stage.listener.socks[0].fileno()]()  # type: ignore[index]
    stage.listener.stop_accepting()
    stage.pump()
    assert [] == stage.backends[0].got()

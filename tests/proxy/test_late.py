"""Sockets of sessions that are over and are owed an answer: it reaches nobody else."""

import socket
from collections.abc import Callable
from errno import EAGAIN
from typing import Any

import pytest

from steelyard.proxy import session as session_module
from tests.proxy.datagrams import HOST, Datagrams, Make, Place


def is_free(place: Place) -> bool:
    """Whether the next session could have this address of ours."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((HOST, place[1]))
        except OSError:
            return False
        return True


def late(stage: Datagrams) -> Place:
    """A client's session is over without its answer. Returns where that would go to."""
    stage.ask(stage.client(), b"go")
    _, place = stage.asked()
    stage.turn(5.1)
    assert 0 == stage.listener.clients()
    return place


@pytest.mark.parametrize("answers", [1, 2, None])
def test_the_port_of_a_session_that_is_owed_an_answer_is_nobody_else_s_for_as_long_again(
    datagrams: Make, answers: int | None
) -> None:
    stage = datagrams(answers=answers, session_timeout_s=5.0)
    place = late(stage)
    assert not is_free(place)
    stage.answer(stage.backends[0], b"late", place)
    assert ([], 1) == (stage.clients[0].got(), stage.counted()["datagrams_dropped"])
    stage.turn(5.1)
    assert is_free(place)


def test_the_port_of_one_that_is_owed_nothing_is_free_at_once(datagrams: Make) -> None:
    stage = datagrams(session_timeout_s=5.0)
    stage.ask(stage.client(), b"go")
    _, place = stage.asked()
    stage.answer(stage.backends[0], b"in time", place)
    stage.turn(5.1)
    assert is_free(place)


def test_where_the_backend_has_gone_nothing_is_waited_for(datagrams: Make) -> None:
    stage = datagrams(answers=1, session_timeout_s=5.0)
    place = late(stage)
    (kept,) = stage.listener.late.held
    stage.backends[0].close()
    kept.sock.send(b"is there anybody?")
    stage.pump()
    assert is_free(place)


def test_a_false_alarm_changes_nothing(datagrams: Make) -> None:
    stage = datagrams(answers=1, session_timeout_s=5.0)
    place = late(stage)
    (kept,) = stage.listener.late.held
    kept.receive(0.0)
    assert not is_free(place)


def test_there_are_a_quarter_as_many_as_sessions_and_the_oldest_goes(datagrams: Make) -> None:
    stage = datagrams(answers=1, session_timeout_s=5.0, max_sessions=8)
    for _ in range(3):
        stage.ask(stage.client(), b"go")
    places = [place for _, place in stage.backends[0].take()]
    stage.turn(5.1)
    assert [False, False, True] == sorted(is_free(place) for place in places)


def test_they_leave_descriptors_to_new_sessions(datagrams: Make) -> None:
    stage = datagrams(answers=1, session_timeout_s=5.0, most=2)
    place = late(stage)
    assert not is_free(place)
    stage.listener.capacity.most = 0
    stage.ask(stage.client(), b"go")
    assert is_free(place)


def test_they_leave_ports_to_new_sessions(datagrams: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = datagrams(answers=1, session_timeout_s=5.0)
    place = late(stage)
    made: Callable[..., Any] = socket.socket

    def none_but_that(*args: object) -> Any:
        if not is_free(place):
            raise OSError(EAGAIN, "Resource temporarily unavailable")
        return made(*args)

    monkeypatch.setattr(session_module, "socket", none_but_that)
    stage.ask(stage.client(), b"go")
    assert b"go" == stage.asked()[0]
    assert is_free(place)


def test_a_stop_does_not_wait_for_them(datagrams: Make) -> None:
    stage = datagrams(answers=1, session_timeout_s=5.0)
    place = late(stage)
    stage.listener.stop_accepting()
    assert is_free(place)

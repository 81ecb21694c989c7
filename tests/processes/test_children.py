"""What several children are asked at once is settled when all have answered that live; none leaves anything behind."""

import os
import selectors
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from steelyard.processes.channel import MOST_DESCRIPTORS, Channel
from steelyard.processes.children import CONTROL, Child, Children, Words


class FakeProcess:
    """In place of a Popen: counts how often it was killed."""

    pid = 4711

    def __init__(self) -> None:
        self.killed = 0

    def kill(self) -> None:
        self.killed += 1


class Stage:
    """Children without processes; `others` are the ends that these would have."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.children = Children(self.selector)
        self.others: list[Channel] = []

    def child(self, number: int) -> Child:
        ours, theirs = socket.socketpair()
        process: Any = FakeProcess()
        child = Child(number, process, Channel(ours, lambda: self.selector.unregister(ours)))
        self.children._all.add(child)
        self.selector.register(ours, selectors.EVENT_READ, child)
        self.others.append(Channel(theirs))
        return child

    def events(self) -> dict[int, int]:
        """What the selector looks for, by a child's number."""
        self.children.watch()
        return {key.data.number: key.events for key in self.selector.get_map().values()}

    def close(self) -> None:
        for child in list(self.children._all):
            self.children.forget(child)
        for other in self.others:
            other.close()
        self.selector.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


def test_they_are_called_what_people_call_them(stage: Stage) -> None:
    assert "the control process (pid 4711)" == stage.child(CONTROL).name
    assert "worker 3 (pid 4711)" == stage.child(3).name


def test_a_question_is_settled_when_all_have_answered(stage: Stage) -> None:
    workers, found = [stage.child(0), stage.child(1)], list[list[Words]]()
    stage.children.ask(7, workers, found.append)
    assert stage.children.answered(workers[1], {"id": 7, "pause_s": 1})
    assert [] == found
    assert stage.children.answered(workers[0], {"id": 7})
    assert [[{"worker": 1, "id": 7, "pause_s": 1}, {"worker": 0, "id": 7}]] == found


def test_one_that_dies_is_not_waited_for(stage: Stage) -> None:
    workers, found = [stage.child(0), stage.child(1)], list[list[Words]]()
    stage.children.ask(7, workers, found.append)
    stage.children.answered(workers[0], {"id": 7})
    stage.children.forget(workers[1])
    assert [[{"worker": 0, "id": 7}]] == found


def test_a_question_to_nobody_is_settled_at_once(stage: Stage) -> None:
    found: list[list[Words]] = []
    stage.children.ask(7, [], found.append)
    assert [[]] == found


def test_an_answer_that_nobody_waits_for_is_not_taken(stage: Stage) -> None:
    one, other, found = stage.child(0), stage.child(1), list[list[Words]]()
    stage.children.ask(7, [one], found.append)
    assert [False, False] == [stage.children.answered(other, {"id": 7}), stage.children.answered(one, {"id": 8})]
    assert stage.children.answered(one, {"id": 7})
    assert not stage.children.answered(one, {"id": 7})
    assert 1 == len(found)


def test_what_follows_may_ask_again(stage: Stage) -> None:
    one, other, found = stage.child(0), stage.child(1), list[list[Words]]()
    stage.children.ask(1, [one, other], lambda answers: stage.children.ask(2, [other], found.append))
    stage.children.answered(other, {"id": 1})
    stage.children.forget(one)
    assert [] == found
    stage.children.answered(other, {"id": 2})
    assert 1 == len(found)


def test_no_number_is_given_twice(stage: Stage) -> None:
    assert [1, 2, 3] == [stage.children.number() for _ in range(3)]


def test_the_selector_tells_when_what_waits_can_go_out(stage: Stage) -> None:
    child = stage.child(0)
    assert {0: selectors.EVENT_READ} == stage.events()
    child.channel.send("prepare", {}, bytes(1 << 22))
    assert {0: selectors.EVENT_READ | selectors.EVENT_WRITE} == stage.events()
    while child.channel.waiting:
        child.channel.flush()
        stage.others[0].receive()
    assert {0: selectors.EVENT_READ} == stage.events()


def test_one_whose_channel_closed_while_sending_leaves_the_selector_too(stage: Stage) -> None:
    """Its number goes to the next descriptor, which could not be registered else."""
    child = stage.child(0)
    stage.others[0].close()
    child.channel.send("drop")
    assert child.channel.closed
    assert {} == stage.events()
    again = stage.child(1)
    assert {1: selectors.EVENT_READ} == stage.events()
    stage.children.forget(child)
    assert not again.channel.closed


def test_each_is_handed_a_socket_once(stage: Stage) -> None:
    child = stage.child(0)
    with socket.socket() as one, socket.socket() as other:
        child.hand([("a", one)])
        child.hand([("a", one), ("b", other), ("b", one)])
        child.hand([("a", one), ("b", other)])
    messages = stage.others[0].receive()
    assert [(["a"], 1), (["b", "b"], 2)] == [(one.words["keys"], len(one.descriptors)) for one in messages]
    assert {"a", "b"} == child.given
    for fd in [fd for message in messages for fd in message.descriptors]:
        os.close(fd)


def test_more_sockets_than_fit_into_a_message_come_in_several(stage: Stage) -> None:
    child = stage.child(0)
    with socket.socket() as one:
        child.hand([(str(at), one) for at in range(MOST_DESCRIPTORS + 1)])
    messages = stage.others[0].receive()
    assert [MOST_DESCRIPTORS, 1] == [len(message.descriptors) for message in messages]
    for fd in [fd for message in messages for fd in message.descriptors]:
        os.close(fd)


def test_all_can_be_ended_at_once(stage: Stage) -> None:
    children: list[Any] = [stage.child(number) for number in (CONTROL, 0)]
    stage.children.kill()
    assert [1, 1] == [child.process.killed for child in children]


def test_where_no_process_can_be_started_nothing_is_left_open(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(sys, "executable", "/no/such/program")
    with pytest.raises(FileNotFoundError):
        stage.children.start(0, "module", [])
    assert before == os.listdir("/proc/self/fd")


@pytest.mark.real
def test_a_module_is_started_with_its_channel_its_descriptors_and_its_words(
    stage: Stage, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with no other descriptor of ours."""
    (tmp_path / "told.py").write_text(
        "import os, socket, sys\n"
        "from steelyard.processes.channel import Channel\n"
        "fds = sorted(map(int, os.listdir('/proc/self/fd')))\n"
        "channel = Channel(socket.socket(fileno=int(sys.argv[2])))\n"
        "given = [fd for fd in fds if fd > 2 and os.path.exists(f'/proc/self/fd/{fd}')]\n"
        "channel.send('answer', {'words': sys.argv[1:2] + sys.argv[4:], 'given': given, 'told': sys.argv[2:4],\n"
        "                        'group': os.getpgrp() == os.getpid()})\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    read, write = os.pipe()
    child = stage.children.start(2, "told", ["a b", 7], [write])
    assert 0 == child.process.wait(30)
    os.close(read)
    os.close(write)
    (message,) = child.channel.receive()
    assert (["2", "a b", "7"], True) == (message.words["words"], message.words["group"])
    assert sorted(map(int, message.words["told"])) == message.words["given"]
    assert child.channel.closed

"""A channel passes words, blobs and descriptors on, whatever pieces they come in; nonsense ends it."""

import os
import socket
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.processes.channel import HEADER, LARGEST_BYTES, MOST_DESCRIPTORS, Channel, Message
from steelyard.processes.description import NAMES

MESSAGES = [
    Message("begin", {"source": {"file": "ü.yaml"}}, b"", []),
    Message("prepare", {"id": 1}, bytes(range(256)) * 9, []),
    Message("commit", {}, b"", []),
]

some_messages = st.lists(
    st.builds(
        Message,
        st.sampled_from(sorted(NAMES)),
        st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3),
        st.binary(max_size=40),
        st.just([]),
    ),
    max_size=4,
)


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel]]:
    one, other = map(Channel, socket.socketpair())
    yield one, other
    one.close()
    other.close()


def exact(messages: list[Message]) -> bytes:
    """The bytes that a channel sends for them."""
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    with theirs:
        for message in messages:
            channel.send(*message)
        channel.close()
        with theirs.makefile("rb") as file:
            return file.read()


def received(pieces: list[bytes]) -> tuple[list[Message], bool]:
    """What a channel finds in bytes that come in these pieces; whether it is closed then."""
    ours, theirs = socket.socketpair()
    channel = Channel(theirs)
    found = []
    with ours:
        for piece in pieces:
            ours.sendall(piece)
            found += channel.receive()
        closed = channel.closed
    channel.close()
    return found, closed


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_messages_come_whole_and_in_their_order() -> None:
    assert (MESSAGES, False) == received([exact(MESSAGES)])


def test_messages_come_byte_by_byte() -> None:
    sent = exact(MESSAGES)
    assert (MESSAGES, False) == received([sent[at : at + 1] for at in range(len(sent))])


@pytest.mark.parametrize("size", [1, HEADER.size - 1, HEADER.size, HEADER.size + 3])
def test_the_beginning_of_the_next_one_waits_for_its_rest(size: int) -> None:
    sent, trailing = exact(MESSAGES), exact(MESSAGES[:1])
    assert (MESSAGES, False) == received([sent + trailing[:size]])
    assert ([*MESSAGES, MESSAGES[0]], False) == received([sent + trailing[:size], trailing[size:]])


@given(some_messages, st.data())
def test_any_split_of_the_bytes_gives_the_same_messages(messages: list[Message], data: st.DataObject) -> None:
    sent = exact(messages)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(sent)), max_size=6)) | {0, len(sent)})
    pieces = [sent[start:end] for start, end in pairwise(cuts)]
    assert (messages, False) == received(pieces)


def test_descriptors_arrive_with_their_message(pair: tuple[Channel, Channel]) -> None:
    one, other = pair
    read, write = os.pipe()
    one.send("drop")
    one.send("sockets", {"keys": ["a", "b"]}, b"", [read, write])
    one.send("ask", {"id": 1}, b"", [write])
    os.close(read)  # they were doubled
    os.close(write)
    first, second, third = other.receive()
    assert ([], 2, 1) == (first.descriptors, len(second.descriptors), len(third.descriptors))
    os.write(third.descriptors[0], b"hello")
    assert b"hello" == os.read(second.descriptors[0], 9)
    assert [False] * 3 == [os.get_inheritable(fd) for fd in (*second.descriptors, *third.descriptors)]
    for fd in (*second.descriptors, *third.descriptors):
        os.close(fd)


def test_as_many_descriptors_as_the_kernel_takes_arrive_together(pair: tuple[Channel, Channel]) -> None:
    one, other = pair
    one.send("sockets", {}, b"", [0] * MOST_DESCRIPTORS)
    (message,) = other.receive()
    assert MOST_DESCRIPTORS == len(message.descriptors)
    for fd in message.descriptors:
        os.close(fd)


def test_descriptors_that_nobody_took_are_closed_with_the_channel() -> None:
    before = open_descriptors()
    one, other = map(Channel, socket.socketpair())
    for _ in range(9):
        one.send("sockets", {}, bytes(1 << 20), [0, 1])  # more than goes out: some wait here, some lie in the other one
    assert [] == other.receive()
    one.close()
    other.close()
    assert before == open_descriptors()


def test_an_end_that_is_gone_is_found_when_receiving(pair: tuple[Channel, Channel]) -> None:
    one, other = pair
    one.send("drop")
    one.close()
    assert ["drop"] == [message.name for message in other.receive()]
    assert other.closed
    assert [] == other.receive()


def test_an_end_that_is_gone_is_found_when_sending_and_takes_nothing(pair: tuple[Channel, Channel]) -> None:
    one, other = pair
    other.close()
    one.send("drop")
    assert one.closed
    before = open_descriptors()
    one.send("sockets", {}, b"a" * 100, [0])
    assert (False, before) == (one.waiting, open_descriptors())


@pytest.mark.parametrize(
    "nonsense",
    [
        HEADER.pack(LARGEST_BYTES, 1, 0),
        HEADER.pack(0, 0, MOST_DESCRIPTORS + 1),
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        HEADER.pack(2, 0, 0) + b"{]",
        HEADER.pack(2, 0, 0) + b"\xff\xfe",
        HEADER.pack(2, 0, 0) + b"[]",
        HEADER.pack(1, 0, 0) + b"7",
        HEADER.pack(11, 0, 1) + b'["drop",{}]',  # without the descriptor
    ],
)
def test_nonsense_closes_it_and_what_came_before_counts(nonsense: bytes) -> None:
    assert (MESSAGES, True) == received([exact(MESSAGES) + nonsense])


def test_whoever_waits_for_the_socket_lets_go_of_it_before_its_number_is_free() -> None:
    ours, theirs = socket.socketpair()
    seen = []
    channel = Channel(ours, lambda: seen.append(ours.fileno()))
    number = ours.fileno()
    theirs.close()
    channel.receive()
    channel.close()
    assert [number] == seen


def test_a_blob_larger_than_the_socket_takes_goes_out_in_pieces(pair: tuple[Channel, Channel]) -> None:
    one, other = pair
    blob = os.urandom(1 << 20) * 3
    one.send("prepare", {"id": 1}, blob)
    one.send("commit", {"id": 2})
    assert one.waiting
    found: list[Message] = []
    rounds = 0
    while len(found) < 2:
        one.flush()
        found += other.receive()
        rounds += 1
    assert (False, [("prepare", blob), ("commit", b"")]) == (one.waiting, [(each.name, each.blob) for each in found])
    assert 1 < rounds


def test_what_is_no_message_of_ours_is_a_bug(pair: tuple[Channel, Channel]) -> None:
    with pytest.raises(AssertionError, match="hello is no message of ours"):
        pair[0].send("hello")
    with pytest.raises(AssertionError, match="201 descriptors"):
        pair[0].send("sockets", {}, b"", [0] * (MOST_DESCRIPTORS + 1))

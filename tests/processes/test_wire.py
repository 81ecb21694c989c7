"""A channel in an event loop: messages come as calls, what waits goes out when it can, and the end is told once."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from steelyard.processes.channel import Channel, Message
from steelyard.processes.wire import Wire


class Stage:
    """One end on the loop, the other one in our hands."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.ends = 0
        self.end = asyncio.Event()
        self.wire = Wire(asyncio.get_running_loop(), ours, self.messages.put_nowait, self._ended)
        self.other = Channel(theirs)

    def _ended(self) -> None:
        self.ends += 1
        self.end.set()

    async def next(self) -> Message:
        return await asyncio.wait_for(self.messages.get(), 50)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    stage.wire.channel.close()
    stage.other.close()


async def test_messages_come_as_calls(stage: Stage) -> None:
    stage.other.send("prepare", {"id": 1}, b"blob")
    stage.other.send("commit", {"id": 2})
    assert [("prepare", b"blob"), ("commit", b"")] == [((one := await stage.next()).name, one.blob) for _ in range(2)]


async def test_what_does_not_go_out_at_once_goes_out_later(stage: Stage) -> None:
    blob = bytes(1 << 22)
    stage.wire.send("prepare", {"id": 1}, blob)
    stage.wire.send("drop")
    assert stage.wire.channel.waiting
    found: list[Message] = []
    while len(found) < 2:
        found += stage.other.receive()
        await asyncio.sleep(0)
    assert [("prepare", blob), ("drop", b"")] == [(one.name, one.blob) for one in found]
    assert not stage.wire.channel.waiting


async def test_the_end_is_told_once_and_after_what_came_before_it(stage: Stage) -> None:
    stage.other.send("drop")
    stage.other.close()
    await asyncio.wait_for(stage.end.wait(), 50)
    assert "drop" == stage.messages.get_nowait().name
    stage.wire.send("drop")
    await asyncio.sleep(0)
    assert 1 == stage.ends


async def test_an_end_that_is_found_when_sending_is_told_too(stage: Stage) -> None:
    stage.other.close()
    stage.wire.send("drop")
    await asyncio.wait_for(stage.end.wait(), 50)
    stage.wire.send("drop")
    assert 1 == stage.ends


async def test_the_loop_has_let_go_of_the_number_when_the_next_socket_gets_it(stage: Stage) -> None:
    number = stage.wire.fd
    stage.other.close()
    stage.wire.send("drop")
    again = Stage()
    assert number in (again.wire.fd, again.other.fileno())
    again.other.send("commit")
    assert "commit" == (await again.next()).name
    again.wire.channel.close()
    again.other.close()


async def test_nonsense_ends_it(stage: Stage) -> None:
    stage.other.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    await asyncio.wait_for(stage.end.wait(), 50)
    assert (1, True) == (stage.ends, stage.messages.empty())

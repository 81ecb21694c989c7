"""A client of the task broker: what is sent, what comes back, and what is counted of that."""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from steelyard.cli import task_client
from steelyard.cli.task_client import Answers, asked, main, said

pytestmark = pytest.mark.real

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def against(talk: Talk, ask: Callable[[int], Awaitable[object]]) -> object:
    """What comes of asking a broker that does this with each connection, and closes it. ask: is given its port."""
    talks: list[asyncio.Task[None]] = []

    async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.append(task)
        try:
            await talk(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async with await asyncio.start_server(whole, "127.0.0.1", 0) as server:
        found = await ask(server.sockets[0].getsockname()[1])
        await asyncio.gather(*talks)
    return found


def test_the_most_frequent_answer_comes_first_and_its_times_are_in_order() -> None:
    answers = Answers()
    for text, time_s, well in (("rare", 1.0, True), ("often", 3.0, True), ("often", 2.0, True)):
        answers.add(text, time_s, well)
    assert [("often", [2.0, 3.0]), ("rare", [1.0])] == answers.by_text()
    assert answers.all_well
    answers.add("ERROR: no", 0.1, False)
    answers.add("often", 0.1, True)
    assert not answers.all_well


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"one\r\n", "one"), (b"a\tb\nc\n", "a\tb\nc"), (b"\xff", "'\\xff'"), (b"\x1b[2J", "'\\x1b[2J'"), (b"", "")],
)
def test_an_answer_is_shown_as_text_where_a_terminal_can_bear_it(data: bytes, text: str) -> None:
    assert text == said(data)


@pytest.mark.parametrize("ends", [True, False])
async def test_its_side_is_closed_only_where_that_is_asked_for(ends: bool) -> None:
    ended: list[bool] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(10)
        try:  # of a side that stays open no end comes, however long it is waited for
            async with asyncio.timeout(None if ends else 0.1):
                ended.append(b"" == await reader.read())
        except TimeoutError:
            ended.append(False)
        writer.write(b"done")

    assert b"done" == await against(talk, lambda port: asked(b"AppID:Long", ends, "127.0.0.1", port))
    assert [ends] == ended


async def test_an_answer_without_end_is_read_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_client, "MOST_BYTES", 1000)
    monkeypatch.setattr(task_client, "PIECE_BYTES", 300)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(2000))
        await reader.read()

    data = await against(talk, lambda port: asked(b"AppID:Long", False, "127.0.0.1", port))
    assert isinstance(data, bytes)
    assert 1000 <= len(data) < 1300


async def test_one_that_never_answers_is_said_in_time_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_client, "PATIENCE_S", 0.3)
    told: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    answers = await against(talk, lambda port: main(b"AppID:Long", False, "127.0.0.1", port, 2, 2, told.append))
    assert isinstance(answers, Answers)
    assert ["[Client] no answer within 0.3 s"] * 2 == told
    assert (False, 2) == (answers.all_well, len(answers.times_s["no answer within 0.3 s"]))


async def test_no_more_than_so_many_are_under_way_at_once() -> None:
    here: set[asyncio.StreamWriter] = set()
    most = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        here.add(writer)
        most = max(most, len(here))
        await reader.readexactly(10)
        here.discard(writer)
        writer.write(b"done")

    answers = await against(talk, lambda port: main(b"AppID:Long", False, "127.0.0.1", port, 20, 3, lambda _: None))
    assert isinstance(answers, Answers)
    assert (True, 20) == (answers.all_well, len(answers.times_s["done"]))
    assert 1 <= most <= 3


async def test_a_broker_that_is_not_there_is_an_answer_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    told: list[str] = []
    answers = await main(b"AppID:Long", False, "127.0.0.1", port, 1, 1, told.append)
    assert told[0].startswith(f"[Client] no answer from 127.0.0.1, port {port}: ")
    assert not answers.all_well


async def test_a_connect_that_the_system_gives_up_is_not_said_to_be_our_patience(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def gives_up(*_: object) -> bytes:
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    monkeypatch.setattr(task_client, "asked", gives_up)
    told: list[str] = []
    await main(b"AppID:Long", False, "h", 1, 1, 1, told.append)
    assert ["[Client] no answer from h, port 1: connection timed out"] == told

"""The show judges what it sees: a missing, a wrong or a late answer is not taken for a good one."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from steelyard.cli import demo_show
from steelyard.cli.demo_show import IN_TURN, Answer, Show, ask
from tests.real.support import free_port

HOST = "127.0.0.1"


@pytest.fixture(autouse=True)
def _logger() -> Iterator[None]:
    """As it was."""
    logger = logging.getLogger("steelyard")
    before = (logger.handlers, logger.level, logger.propagate)
    yield
    logger.handlers, logger.level, logger.propagate = before


def show() -> Show:
    return Show(0, [0, 0, 0], lambda *where: [], stay=False)


def answered(monkeypatch: pytest.MonkeyPatch, texts: Sequence[str], status: int = 200) -> None:
    """Requests are answered with these texts, in turn; an empty one is no answer."""
    waiting = iter(texts)

    async def answer(port: int) -> Answer:
        text = next(waiting)
        return Answer(status if text else 0, text or "no answer", 1.0)

    monkeypatch.setattr(demo_show, "ask", answer)


IN_ORDER = ["Server 1", "Server 2", "Server 3"] * 3


@pytest.mark.parametrize(
    ("texts", "right"),
    [
        (IN_ORDER, True),
        ([*IN_ORDER[1:], "Server 1"], False),
        (["Server 1"] * IN_TURN, False),
        ([*IN_ORDER[:8], ""], False),
    ],
)
async def test_nine_requests_must_be_answered_in_turn(
    monkeypatch: pytest.MonkeyPatch, texts: list[str], right: bool
) -> None:
    answered(monkeypatch, texts)
    assert right is await show()._in_turn()


@pytest.mark.parametrize(("order", "right"), [((1, 2, 3), True), ((1, 3, 2), False)])
def test_each_server_must_answer_with_its_own_name(order: tuple[int, ...], right: bool) -> None:
    assert right is show()._introduce([Answer(200, f"Server {number}", 1.0) for number in order])


@pytest.mark.parametrize(
    ("after", "right"), [(["Server 1", "Server 3"], True), (["Server 2", "Server 1"], False), (["Server 1", ""], False)]
)
async def test_a_killed_server_must_be_missed_by_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], after: list[str], right: bool
) -> None:
    """Neither with an error, nor by an answer of the dead."""
    answered(monkeypatch, ["Server 1"] * demo_show.BEFORE + after * (demo_show.AFTER // 2))
    assert right is await show()._kill_one()
    assert right is ("nobody noticed" in capsys.readouterr().out) or "Server 2" in after


async def test_one_act_that_goes_wrong_makes_the_whole_show_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def well(*arguments: Any) -> bool:
        return True

    async def ill(*arguments: Any) -> bool:
        return False

    it: Any = show()
    monkeypatch.setattr(it, "_introduce", lambda answers: True)
    for name in ("_in_turn", "_kill_one", "_return"):
        monkeypatch.setattr(it, name, well)
    assert await it._acts(None, [])
    assert "" == capsys.readouterr().out
    monkeypatch.setattr(it, "_kill_one", ill)
    assert not await it._acts(None, [])
    assert "did not go right" in capsys.readouterr().out


@asynccontextmanager
async def answering(data: bytes) -> Any:
    """A server that sends this and closes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        writer.close()

    server = await asyncio.start_server(talk, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.real
async def test_an_answer_is_its_status_and_its_body() -> None:
    async with answering(b"HTTP/1.1 503 No\r\nA: b\r\n\r\nsorry") as port:
        assert (503, "sorry") == (await ask(port))[:2]


@pytest.mark.real
@pytest.mark.parametrize("data", [b"", b"what?", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n\xff"])
async def test_what_is_no_answer_is_none(data: bytes) -> None:
    async with answering(data) as port:
        answer = await ask(port)
    assert answer.text.startswith("no answer (")
    assert 200 != answer.status


@pytest.mark.real
async def test_where_nobody_listens_there_is_no_answer() -> None:
    assert 0 == (await ask(free_port())).status

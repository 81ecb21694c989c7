"""The worker of `steelyard task serve`: what it takes for a task, what it answers, and what it survives."""

import asyncio

import pytest

from steelyard.cli import task_worker
from steelyard.cli.task_worker import Worker

ANSWER = b"Response from Worker"


def talk(*pieces: bytes, scale: float = 0.0, ends: bool = False) -> bytes:
    """What a worker says to who sends these pieces, one after the other, up to its close."""

    async def main() -> bytes:
        server = await asyncio.start_server(Worker(7, scale).serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        if ends:
            writer.write_eof()
        async with asyncio.timeout(20.0):
            said = await reader.read()
        writer.close()
        server.close()
        return said

    return asyncio.run(main())


@pytest.mark.parametrize("kind", ["Long", "Short"])
def test_a_task_is_answered_when_it_is_done(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ANSWER == talk(f"AppID:{kind}".encode())
    assert f"[Worker-7] Received: {kind}\n[Worker-7] Done: {kind}\n" == capsys.readouterr().out


def test_it_may_come_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_worker, "PIECES_S", 60.0)
    assert ANSWER == talk(*[bytes([byte]) for byte in b"AppID:Short"])


def test_a_kind_that_it_does_not_know_is_said() -> None:
    assert b"ERROR: worker 7 knows no Nap; known: Long, Short\n" == talk(b"AppID:Nap", ends=True)


def test_what_is_no_task_is_said() -> None:
    assert talk(b"hello", ends=True).startswith(b"ERROR: 'hello' is no request; ")


def test_who_closes_without_a_word_is_let_go() -> None:
    assert b"" == talk(ends=True)


def test_who_sends_nothing_is_let_go_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_worker, "SILENT_S", 0.01)
    assert b"" == talk()


def test_who_stops_within_a_task_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_worker, "PIECES_S", 0.01)
    assert b"ERROR: worker 7 knows no Lo; known: Long, Short\n" == talk(b"AppID:Lo")


def test_a_long_task_takes_five_times_as_long_as_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)

    async def main() -> None:
        worker = Worker(1, 0.5)
        for kind in (b"Long", b"Short"):
            assert ANSWER == await worker.done(b"AppID:" + kind)

    asyncio.run(main())
    assert [2.5, 0.5] == slept

"""A client of the task broker: one connection a task, one write, and whatever comes back up to the close."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from steelyard.proxy.dial import why
from steelyard.wire.task import ERROR, shown

PATIENCE_S: Final = 120.0  # the broker gives its worker 60 s
MOST_BYTES: Final = 16 * 1024 * 1024  # of an answer
PIECE_BYTES: Final = 64 * 1024

Say = Callable[[str], None]


class Answers:
    """What came back. times_s: by text, of each answer, how long it took. all_well: no ERROR, and nothing missing."""

    def __init__(self) -> None:
        self.times_s: dict[str, list[float]] = {}
        self.all_well = True

    def add(self, text: str, time_s: float, well: bool) -> None:
        """One more."""
        self.times_s.setdefault(text, []).append(time_s)
        self.all_well = self.all_well and well

    def by_text(self) -> list[tuple[str, list[float]]]:
        """(text, sorted times), the most frequent first."""
        return sorted(((text, sorted(times)) for text, times in self.times_s.items()), key=lambda one: -len(one[1]))


async def asked(request: bytes, ends: bool, host: str, port: int) -> bytes:
    """Send one task; the answer. ends: close our side behind it. Raises OSError."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(request)
            if ends:
                writer.write_eof()
            data = b""
            while len(data) < MOST_BYTES and (piece := await reader.read(PIECE_BYTES)):
                data += piece
            return data
        finally:
            writer.close()


async def one(request: bytes, ends: bool, host: str, port: int, answers: Answers, say: Say) -> None:
    """Send one task, say what came of it, and note it."""
    began = monotonic()
    well = False
    try:
        data = await asked(request, ends, host, port)
    except OSError as exc:
        ours = isinstance(exc, TimeoutError) and exc.errno is None  # the system's own has a number
        reason = f"within {PATIENCE_S:g} s" if ours else f"from {host}, port {port}: {why(exc)}"
        text = f"no answer {reason}"
        say(f"[Client] {text}")
    else:
        well = bool(data) and not data.startswith(ERROR)
        text = said(data) if data else "no answer: the connection was closed"
        say(f"[Client] Received: {text}" if data else f"[Client] {text}")
    answers.add(text, monotonic() - began, well)


def said(data: bytes) -> str:
    """An answer as text: without the end of its line where it is text; else as a quotation."""
    try:
        text = data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        return shown(data)
    return text if text.replace("\n", "").replace("\t", "").isprintable() else shown(data)


async def main(request: bytes, ends: bool, host: str, port: int, count: int, parallel: int, say: Say) -> Answers:
    """So many tasks, so many at once."""
    answers = Answers()
    left = iter(range(count))

    async def some() -> None:
        for _ in left:
            await one(request, ends, host, port, answers, say)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(count, parallel)):
            group.create_task(some())
    return answers


def run(request: bytes, ends: bool, host: str, port: int, count: int, parallel: int, say: Say) -> Answers:
    """The same, from a program without an event loop. Never raises for what the other side does."""
    return asyncio.run(main(request, ends, host, port, count, parallel, say))

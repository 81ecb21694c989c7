"""A worker of the task broker: each connection brings one task, takes its time, gets its answer, and is closed.

A connection that sends nothing costs nothing: it is closed after a while, or when the other side closes it.
"""

import asyncio
import signal
from typing import Final

from steelyard.errors import ProtocolError
from steelyard.wire.task import MAX_BYTES, Task, error_line, parse

ANSWER: Final = b"Response from Worker"
SECONDS: Final = {"Long": 5.0, "Short": 1.0}
SILENT_S: Final = 60.0  # what a connection may wait before it brings its task
PIECES_S: Final = 1.0  # and between two pieces of it: as long as a lost packet takes
BACKLOG: Final = 1024


class Worker:
    """One worker. scale: times how long tasks take."""

    def __init__(self, number: int, scale: float) -> None:
        self.number = number
        self.scale = scale

    def say(self, what: str) -> None:
        """Print what it does."""
        print(f"[Worker-{self.number}] {what}", flush=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its task to its close."""
        try:
            data = await received(reader)
            if data:
                writer.write(await self.done(data))
                await writer.drain()
        except OSError:  # who asked is gone; TimeoutError is one too: who never asked
            pass
        finally:
            writer.close()

    async def done(self, data: bytes) -> bytes:
        """Do the task that these bytes are; the answer."""
        try:
            kind = parse(data, ()).kind
            if kind not in SECONDS:
                return error_line(f"worker {self.number} knows no {kind}; known: {', '.join(SECONDS)}")
        except ProtocolError as exc:
            self.say(f"Refused: {exc.detail}")
            return error_line(exc.detail)
        self.say(f"Received: {kind}")
        await asyncio.sleep(SECONDS[kind] * self.scale)
        self.say(f"Done: {kind}")
        return ANSWER


async def received(reader: asyncio.StreamReader) -> bytes:
    """The bytes of one task, as far as they come in time; none where the other side closes. Raises OSError."""
    async with asyncio.timeout(SILENT_S):
        data = await reader.read(MAX_BYTES)
    try:
        async with asyncio.timeout(PIECES_S):
            while not is_known(data) and len(data) < MAX_BYTES and (more := await reader.read(MAX_BYTES)):
                data += more
    except TimeoutError:
        pass
    return data


def is_known(data: bytes) -> bool:
    """Whether these bytes are a task that is known: all else may go on."""
    try:
        task: Task = parse(data, ())
    except ProtocolError:
        return False
    return task.kind in SECONDS


async def main(number: int, scale: float, host: str, port: int) -> None:
    """Serve until told to end. Raises OSError where it cannot be listened."""
    worker = Worker(number, scale)
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, ending.set)
    server = await asyncio.start_server(worker.serve, host, port, backlog=BACKLOG)
    worker.say(f"Listening on port {server.sockets[0].getsockname()[1]}...")
    await ending.wait()
    server.close()


def run(number: int, scale: float, host: str, port: int) -> None:
    """Be that worker until a signal ends it. Raises OSError where it cannot be listened."""
    asyncio.run(main(number, scale, host, port))

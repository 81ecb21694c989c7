"""Backends that record every byte and connection, and answer as a test tells them.

A script is a coroutine with a `Talk`: one connection, from its first request to its close. Without one, a backend
answers every request with 200 and its own name. `requests` holds the requests that came whole, so that a test can
say "nothing that could be taken for a request arrived".
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from tests.real.client import HOST, reset

HEAD_LIMIT: Final = 256 * 1024


class Request:
    """A request as a backend reads it. fields: (lower-case name, value) in order; whole: all of its body came."""

    def __init__(self, head: bytes) -> None:
        first, *lines = head.split(b"\r\n")
        self.head = head
        self.method, self.target, self.version = first.decode("latin-1").split(" ")
        self.fields = [
            (name.lower().decode(), value.strip().decode("latin-1"))
            for name, _, value in (x.partition(b":") for x in lines)
        ]
        self.body = b""
        self.framed = b""

    def get(self, name: str) -> str | None:
        """The value of a field that may be there once."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} is there {len(values)} times"
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]


class Talk:
    """One connection to a backend. how: `open`, then `eof` or `reset`: how the balancer ended it."""

    def __init__(self, backend: "Backend", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.backend = backend
        self.reader = reader
        self.writer = writer
        self.received = bytearray()
        self.requests: list[Request] = []
        self.how = "open"

    async def read(self, size: int = 2**16) -> bytes:
        """Some bytes; none when the balancer has closed or reset the connection (`how` says which)."""
        try:
            data = await self.reader.read(size)
        except ConnectionError:
            self.how = "reset"
            return b""
        if not data:
            self.how = "eof"
        self.received += data
        return data

    async def exactly(self, size: int) -> bytes:
        try:
            data = await self.reader.readexactly(size)
        except asyncio.IncompleteReadError as exc:
            self.received += exc.partial
            self.how = "eof"
            raise
        self.received += data
        return data

    async def line(self, end: bytes = b"\r\n") -> bytes:
        try:
            data = await self.reader.readuntil(end)
        except asyncio.IncompleteReadError as exc:
            self.received += exc.partial
            self.how = "eof"
            raise
        self.received += data
        return data

    async def head(self) -> Request:
        """A request's head. Raises IncompleteReadError or ConnectionError when there is no further one."""
        try:
            return Request((await self.line(b"\r\n\r\n"))[:-4])
        except ConnectionError:
            self.how = "reset"
            raise

    async def body(self, request: Request) -> None:
        """The rest of a request; after it, the request counts as one that came whole."""
        length, coding = request.get("content-length"), request.get("transfer-encoding")
        assert length is None or coding is None, "two framings in one request"
        try:
            if length is not None:
                request.body = request.framed = await self.exactly(int(length))
            elif coding is not None:
                assert "chunked" == coding
                while True:
                    line = await self.line()
                    size = int(line.partition(b";")[0], 16)
                    request.framed += line
                    if size == 0:
                        break
                    data = await self.exactly(size + 2)
                    request.framed += data
                    request.body += data[:-2]
                while (line := await self.line()) != b"\r\n":
                    request.framed += line
                request.framed += line
        except ConnectionError:
            self.how = "reset"
            raise
        self.requests.append(request)
        self.backend.requests.append(request)

    async def request(self) -> Request:
        """A whole request."""
        request = await self.head()
        await self.body(request)
        return request

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def answer(self, body: bytes = b"", *fields: str, status: str = "200 OK") -> None:
        """Send a whole answer with a Content-Length."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", ""]
        self.send("\r\n".join(lines).encode("latin-1") + body)

    def reset(self) -> None:
        reset(self.writer)

    async def ended(self) -> str:
        """Wait for the balancer to end the connection; how it did."""
        while await self.read():
            pass
        return self.how


Script = Callable[[Talk], Awaitable[None]]


async def echo_name(talk: Talk) -> None:
    """Answer every request with the backend's name."""
    while True:
        await talk.request()
        talk.answer(talk.backend.name.encode())


class Backend:
    """A listening backend. talks: its connections, in order; requests: those that came whole, of all connections."""

    def __init__(self, script: Script, name: str) -> None:
        self.script = script
        self.name = name
        self.port = 0
        self.talks: list[Talk] = []
        self.requests: list[Request] = []
        self.faults: list[BaseException] = []
        self.running: set[asyncio.Task[object]] = set()
        self.server: asyncio.Server | None = None

    async def start(self, host: str = HOST, port: int = 0) -> None:
        self.server = await asyncio.start_server(self._converse, host, port, limit=HEAD_LIMIT)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.running.add(task)
        talk = Talk(self, reader, writer)
        self.talks.append(talk)
        try:
            await self.script(talk)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the balancer ended it; a test that minds looks at `how`
        except asyncio.CancelledError:
            pass
        except BaseException as exc:
            self.faults.append(exc)
        finally:
            self.running.discard(task)
            writer.close()

    async def stop(self) -> None:
        """Close the port and every connection, as a process that dies does."""
        if self.server is not None:
            self.server.close()
            self.server = None
        for talk in self.talks:
            talk.writer.transport.abort()
        for task in list(self.running):
            task.cancel()
        while self.running:
            await asyncio.wait(list(self.running))


@asynccontextmanager
async def backend(
    script: Script = echo_name, name: str = "one", host: str = HOST, port: int = 0
) -> AsyncIterator[Backend]:
    """A backend that listens until the block ends; then no script of it may have failed."""
    made = Backend(script, name)
    await made.start(host, port)
    try:
        yield made
    finally:
        await made.stop()
    assert [] == made.faults

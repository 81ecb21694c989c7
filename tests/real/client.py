"""A client that sends any bytes and reads answers strictly.

Its reader is written anew here on purpose: a test that reads with the scanner under test sees only what that one sees.
"""

import asyncio
import socket
import struct
from typing import Final, Self

HOST: Final = "127.0.0.1"
# Far more than anything takes, on a slow machine that stands still now and then, too: only a test that is going to fail
# ever waits so long. Less than the 60 s after which the balancer itself ends what hangs.
PATIENCE_S: Final = 50.0


class Answer:
    """One response. fields: (lower-case name, value) in order; framed: the body's bytes as they were sent."""

    def __init__(self, head: bytes) -> None:
        first, *lines = head.split(b"\r\n")
        self.head = head
        self.status = int(first.split(b" ")[1])
        self.fields = [
            (name.lower().decode(), value.strip().decode()) for name, _, value in (x.partition(b":") for x in lines)
        ]
        self.framed = b""
        self.body = b""
        self.whole = True  # False: the connection was closed before the framing said that all had come
        self.trailers: list[bytes] = []

    def get(self, name: str) -> str | None:
        """The value of a field that may be there once."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} is there {len(values)} times"
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]


class Client:
    """A connection to a listener."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int, host: str = HOST, receive_buffer: int | None = None) -> Self:
        """Connect. receive_buffer: bytes that the kernel takes for us while nobody reads."""
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (host, port))
        except BaseException:
            sock.close()
            raise
        limit = 2**16 if receive_buffer is None else receive_buffer
        return cls(*await asyncio.open_connection(sock=sock, limit=limit))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def send_all(self, data: bytes) -> None:
        """As `send`, at the speed of who reads it."""
        self.writer.write(data)
        await self.writer.drain()

    def get(self, path: str = "/", *fields: str, method: str = "GET") -> None:
        """Send a request without a body."""
        self.send(request(method, path, *fields))

    async def ask(self, path: str = "/", *fields: str, method: str = "GET") -> Answer:
        """Send a request without a body and read its answer."""
        self.get(path, *fields, method=method)
        return await self.answer(to_head=method == "HEAD")

    async def head(self) -> Answer:
        """Read one head, interim ones too."""
        async with asyncio.timeout(PATIENCE_S):
            return Answer((await self.reader.readuntil(b"\r\n\r\n"))[:-4])

    async def answer(self, to_head: bool = False) -> Answer:
        """Read one whole final answer; interim ones before it are skipped."""
        async with asyncio.timeout(PATIENCE_S):
            answer = await self.head()
            while answer.status < 200:
                answer = await self.head()
            await self._body(answer, to_head)
            return answer

    async def _body(self, answer: Answer, to_head: bool) -> None:
        length = answer.get("content-length")
        coding = answer.get("transfer-encoding")
        assert length is None or coding is None, "two framings in one answer"
        if to_head or answer.status in (204, 304):
            return
        try:
            if coding is not None:
                assert "chunked" == coding
                await self._chunks(answer)
            elif length is not None:
                answer.body = answer.framed = await self.reader.readexactly(int(length))
            else:
                answer.body = answer.framed = await self.reader.read()
        except asyncio.IncompleteReadError as exc:
            answer.framed += exc.partial
            answer.whole = False
        except ConnectionResetError:
            answer.whole = False

    async def _chunks(self, answer: Answer) -> None:
        while True:
            line = await self.reader.readuntil(b"\r\n")
            answer.framed += line
            size = int(line.partition(b";")[0].strip(), 16)
            if size == 0:
                break
            data = await self.reader.readexactly(size + 2)
            assert data.endswith(b"\r\n")
            answer.framed += data
            answer.body += data[:-2]
        while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
            answer.framed += line
            answer.trailers.append(line[:-2])
        answer.framed += line

    async def rest(self) -> bytes:
        """All that still comes until the connection is closed; a reset is a ConnectionResetError."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    def eof(self) -> None:
        """Send no more."""
        self.writer.write_eof()

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Go away with a RST."""
        reset(self.writer)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection by RST: what was not read by the other side is lost, as when a process dies."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def request(method: str, path: str, *fields: str, body: bytes = b"", version: str = "1.1") -> bytes:
    """A request's bytes. fields: `Name: value`; Host is added, and Content-Length where there is a body."""
    lines = [f"{method} {path} HTTP/{version}", "Host: example.org", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(*pieces: bytes) -> bytes:
    """A body in chunks, with its end."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))

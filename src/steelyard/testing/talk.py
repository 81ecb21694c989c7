"""One connection to a FaultyBackend: what has come on it, and what may be done to it.

It is a bare socket and no stream, since what goes wrong must be exact: bytes that were sent are with the kernel, a
close is a FIN or a RST as is asked for, and nothing is read ahead of a fault that reads nothing. What comes is read as
RFC 9112 has it, one request after the other.
"""

import asyncio
import re
import socket
import struct
from typing import Final

# As much as a test may want to send us; a head of more is taken for one that never ends.
MOST_HEAD: Final = 1024 * 1024
# What a reader needs, in the same loop or on the same machine, to read what came before a reset.
SETTLE_S: Final = 0.01

_DIGITS: Final = re.compile(rb"[0-9]{1,18}")
_HEX: Final = re.compile(rb"[0-9A-Fa-f]{1,15}")


class Malformed(Exception):
    """Something came that is no request."""


class Over(Exception):
    """The other side has closed the connection; or we have, and something was still to be done on it."""


class Request:
    """A request whose head has come.

    headers: (lower-case name, value) in the order in which they came. body: so much of it as was read, without chunks.
    whole: all of it was read. connection: the number of the connection that it came on, from 1.
    """

    __slots__ = ("_body", "connection", "headers", "method", "target", "version", "whole")

    def __init__(self, head: bytes, connection: int) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1.") or not all(":" in line for line in lines):
            raise Malformed(head)
        self.method, self.target, self.version = words
        self.headers = [
            (name.lower(), value.strip(" \t")) for name, _, value in (line.partition(":") for line in lines)
        ]
        self._body = bytearray()
        self.whole = False
        self.connection = connection

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target}>"

    @property
    def body(self) -> bytes:
        return bytes(self._body)

    def get(self, name: str) -> str | None:
        """The first value of a header (its name in lower case), or None."""
        return next((value for key, value in self.headers if key == name), None)


class Talk:
    """One connection. name: the backend's; answered: how many requests were answered on it; request: the present one.

    over: nothing more can be said or heard.
    """

    def __init__(self, sock: socket.socket, name: str, number: int) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._unread = bytearray()
        self.name = name
        self.number = number
        self.request: Request | None = None
        self.answered = 0
        self.over = False

    # What a fault does.

    async def send(self, data: bytes) -> None:
        """Send these bytes, all of them. Raises Over where the connection has ended."""
        if self.over:
            raise Over
        try:
            await self._loop.sock_sendall(self._sock, data)
        except OSError as exc:
            raise Over from exc

    async def gone(self, within_s: float | None = None, keep: bool = True) -> bool:
        """Wait until the other side ends the connection, so many seconds or for ever; whether it has.

        keep: what comes meanwhile is kept for whoever reads next, and not thrown away.
        """
        until = None if within_s is None else self._loop.time() + within_s
        while not self.over:
            left = None if until is None else until - self._loop.time()
            if (left is not None and left <= 0) or not await self._readable(left):
                return False
            try:
                await self._fill()
            except Over:
                return True
            if not keep:
                self._unread.clear()
        return True

    async def quiet(self, within_s: float) -> bool:
        """Whether nothing comes for so many seconds, not even an end."""
        return not self.over and not self._unread and not await self._readable(within_s)

    async def reset(self) -> None:
        """End the connection by RST (SO_LINGER of 0); what was sent before has had its chance to be read."""
        await asyncio.sleep(SETTLE_S)
        self.will_reset()
        self.close()

    def close(self) -> None:
        """End the connection by FIN. (Where something came that nobody has read, the kernel makes it a RST.)"""
        if not self.over:
            self.over = True
            self._sock.close()

    def will_reset(self) -> None:
        """Have its end be a RST, whenever it is."""
        if not self.over:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    # How a request is read.

    async def read_head(self) -> bool:
        """Read the next request's head, unless the connection ends before it. Raises Malformed."""
        while (end := self._unread.find(b"\r\n\r\n")) < 0:
            if len(self._unread) > MOST_HEAD:
                raise Malformed(bytes(self._unread))
            try:
                await self._fill()
            except Over:
                return False
        head = await self._take(end + 4)
        self.request = Request(head[:-4], self.number)
        return True

    async def read_body(self) -> None:
        """Read the rest of the request; who waits for a 100 is told it. Raises Malformed, and Over at an early end."""
        assert self.request is not None
        if self.request.whole:
            return
        if _waits(self.request) and not self._unread:
            await self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await self._read_rest(self.request)

    async def skip_body(self) -> bool:
        """Read what was left of the request when it was answered; whether a next one can be told from it.

        Who waited for a 100 and got an answer may send the body or not (RFC 9110 10.1.1).
        """
        assert self.request is not None
        if self.request.whole:
            return True
        if _waits(self.request):
            return False
        await self._read_rest(self.request)
        return True

    async def _read_rest(self, request: Request) -> None:
        length, coding = request.get("content-length"), request.get("transfer-encoding")
        if length is not None and (coding is not None or not _DIGITS.fullmatch(length.encode("latin-1"))):
            raise Malformed(f"Content-Length: {length}".encode("latin-1"))
        if coding is not None:
            if coding.lower() != "chunked":
                raise Malformed(f"Transfer-Encoding: {coding}".encode("latin-1"))
            await self._read_chunks(request)
        elif length is not None:
            await self._read_counted(request, int(length))
        request.whole = True

    def kept(self) -> bool:
        """Whether the client wants the connection to be kept after this answer (RFC 9112 9.3)."""
        assert self.request is not None
        words = [word.strip().lower() for word in (self.request.get("connection") or "").split(",")]
        return "close" not in words if self.request.version != "HTTP/1.0" else "keep-alive" in words

    async def _read_chunks(self, request: Request) -> None:
        """RFC 9112 7.1."""
        while True:
            size = (await self._line()).partition(b";")[0]
            if not _HEX.fullmatch(size):
                raise Malformed(size)
            if int(size, 16) == 0:
                break
            await self._read_counted(request, int(size, 16))
            if await self._take(2) != b"\r\n":
                raise Malformed(b"a chunk that is longer than its size")
        while await self._line():
            pass  # trailers

    async def _read_counted(self, request: Request, size: int) -> None:
        while size:
            if not self._unread:
                await self._fill()
            piece = await self._take(min(size, len(self._unread)))
            request._body += piece
            size -= len(piece)

    async def _line(self) -> bytes:
        while (end := self._unread.find(b"\r\n")) < 0:
            if len(self._unread) > MOST_HEAD:
                raise Malformed(b"a line without an end")
            await self._fill()
        return (await self._take(end + 2))[:-2]

    async def _take(self, size: int) -> bytes:
        while len(self._unread) < size:
            await self._fill()
        data = bytes(self._unread[:size])
        del self._unread[:size]
        return data

    async def _fill(self) -> None:
        """Wait for some bytes. Raises Over at the other side's end."""
        while not self.over:
            await self._readable(None)
            try:
                data = self._sock.recv(2**16)
            except BlockingIOError:
                continue
            except OSError as exc:
                raise Over from exc
            if not data:
                break
            self._unread += data
            return
        raise Over

    async def _readable(self, within_s: float | None) -> bool:
        """Whether there is something to read, in time. Nothing is read: a reading that is given up would lose it."""
        ready: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._sock, _ready, ready)
        try:
            await asyncio.wait([ready], timeout=within_s)
        finally:
            self._loop.remove_reader(self._sock)
        return ready.done()


def _waits(request: Request) -> bool:
    return (request.get("expect") or "").lower() == "100-continue"


def _ready(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)

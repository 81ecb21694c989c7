"""One connection to a function's process: HTTP/1.1 requests come in one after the other, and each becomes a task.

The scanners are the proxy's own and as strict. The other side is the balancer, on a unix socket that nobody else can
open, so there are no time limits here: it keeps connections for as long as it likes, and closes those of clients that
are too slow. Whoever closes has left, and a task that nobody waits for is not begun (the balancer closes no half).
`OPTIONS *` asks whether the process is alive (RFC 9110 section 9.3.7): it gets a 204, and no function is called.
"""

from asyncio import AbstractEventLoop, BaseTransport, Protocol, Transport
from typing import Final, cast

from steelyard import errors
from steelyard.backends.function import TEXT_TYPE, Answer, text_answer
from steelyard.backends.task import Task
from steelyard.backends.task_thread import TaskThread
from steelyard.errors import ProtocolError
from steelyard.wire.answers import fixed_answer
from steelyard.wire.chunked import ChunkScanner
from steelyard.wire.http1 import RequestHead, scan_request

# What a listener may allow at most, and what the balancer adds; the listener's own limits are asked before.
MAX_HEAD_BYTES: Final = 1024 * 1024 + 64 * 1024
MAX_FIELDS: Final = 10_050
# What may wait behind the request that is being answered.
MAX_AHEAD_BYTES: Final = 64 * 1024
# How long, and how much, is read and thrown away of a request that was refused: the same as the proxy's.
LINGER_S: Final = 5.0
LINGER_BYTES: Final = 4 * 1024 * 1024

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE_LINE: Final = b"Connection: close\r\n"
_KEEP_LINE: Final = b"Connection: keep-alive\r\n"

_HEAD: Final = 0  # before, or within, a request's head
_BODY: Final = 1
_ANSWER: Final = 2  # the request is whole, its answer is not there
_LINGER: Final = 3  # refused: what still comes is thrown away
_CLOSED: Final = 4


class Service:
    """What the connections of a process share.

    name: of the process. max_body: the most bytes of a body that are taken. stopping: no connection is kept any more.
    """

    loop: AbstractEventLoop
    thread: TaskThread

    def __init__(self, name: str, max_body: int) -> None:
        self.name = name
        self.max_body = max_body
        self.connections: set[TaskConnection] = set()
        self.stopping = False

    def on_closed(self, connection: "TaskConnection") -> None:
        """This connection is gone."""
        self.connections.discard(connection)


class TaskConnection(Protocol):
    """One connection. gone: it is closed."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.gone = False
        self.transport: Transport | None = None
        self.state = _HEAD
        self.buffer = b""
        self.head: RequestHead | None = None
        self.scanner: ChunkScanner | None = None
        self.pieces: list[bytes] = []
        self.remaining = 0
        self.full = False
        self.held = False
        self.thrown_away = 0

    @property
    def idle(self) -> bool:
        """Nothing has been asked that is still to be answered."""
        return (self.state == _HEAD and not self.buffer) or self.state == _LINGER

    # What the event loop calls.

    def connection_made(self, transport: BaseTransport) -> None:
        self.transport = cast(Transport, transport)
        self.service.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self.state == _LINGER:
            self.thrown_away += len(data)
            if self.thrown_away > LINGER_BYTES:
                self.close()
            return
        self.buffer = self.buffer + data if self.buffer else data
        if self.state == _ANSWER:
            if len(self.buffer) > MAX_AHEAD_BYTES and not self.held:
                self.held = True
                self.connected().pause_reading()
        else:
            self.read_on()

    def eof_received(self) -> None:
        self.gone = True  # the loop closes what it has told of

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        self.read_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self.state = _CLOSED
        self.buffer = b""
        self.pieces.clear()
        self.service.on_closed(self)

    # Reading.

    def read_on(self) -> None:
        """Work through what has come, up to a request whose answer must be waited for."""
        while self.buffer and self.state in (_HEAD, _BODY) and not self.full:
            data, self.buffer = self.buffer, b""
            try:
                at = self.read_head(data) if self.state == _HEAD else self.read_body(data)
            except ProtocolError as exc:
                self.refuse(text_answer(exc.kind.status, f"{exc.kind.text} ({exc.detail})"))
                return
            if at < 0:
                self.buffer = data
                return
            if self.state != _LINGER:
                self.buffer = data[at:]

    def read_head(self, data: bytes) -> int:
        """Scan a head; the index behind it, -1 for need more. Raises ProtocolError."""
        head = scan_request(data, 0, MAX_HEAD_BYTES, MAX_FIELDS, True, True)
        if head is None:
            return -1
        self.head = head
        self.remaining = max(0, head.content_length)
        self.scanner = ChunkScanner(decode=True) if head.chunked else None
        self.pieces = []
        if self.remaining > self.service.max_body:
            self.refuse_size()
        elif self.scanner is None and self.remaining == 0:
            self.begin(head)
        else:
            self.state = _BODY
            if head.expects_continue:
                self.connected().write(_CONTINUE)
        return head.end

    def read_body(self, data: bytes) -> int:
        """Take a piece of the body; the index behind what belongs to it. Raises ProtocolError."""
        assert self.head is not None
        scanner = self.scanner
        if scanner is None:
            at = min(len(data), self.remaining)
            self.pieces.append(data if at == len(data) else data[:at])
            self.remaining -= at
            done = self.remaining == 0
        else:
            at = scanner.feed(data, 0)
            # Joined at once: a body of tiny chunks would else be as many objects.
            self.pieces.append(b"".join(scanner.payload or ()))
            done = scanner.done
            if scanner.data_bytes > self.service.max_body:
                self.refuse_size()
                return at
        if done:
            self.begin(self.head)
        return at

    def begin(self, head: RequestHead) -> None:
        """The request is whole."""
        pieces, self.pieces = self.pieces, []
        self.state = _ANSWER
        if head.target == b"*":
            self.respond(Answer(204, "", b""))
            return
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.service.thread.submit(task_of(head, body, self.service.name), self)

    # Answering.

    def on_answer(self, answer: Answer) -> None:
        """The function has answered; called only while somebody is there to hear it."""
        if self.state != _ANSWER:
            return  # it was told already that the function takes too long, in the moment in which that ended
        self.respond(answer)
        if self.held and self.state == _HEAD:
            self.held = False
            self.connected().resume_reading()
        self.read_on()

    def respond(self, answer: Answer) -> None:
        """Send it; the connection is kept where both sides will."""
        head = self.head
        assert head is not None
        keep = not self.service.stopping and not head.close and (head.minor == 1 or head.keep_alive)
        line = _CLOSE_LINE if not keep else b"" if head.minor == 1 else _KEEP_LINE
        self.connected().write(fixed_answer(*_parts(answer), line, head.method == b"HEAD"))
        self.head = None
        if keep:
            self.state = _HEAD
        else:
            self.close()

    def refuse(self, answer: Answer) -> None:
        """Answer a request that was not read to its end; what still comes of it must not reset the connection."""
        self.connected().write(fixed_answer(*_parts(answer), _CLOSE_LINE, False))
        self.state = _LINGER
        self.pieces.clear()
        self.service.loop.call_later(LINGER_S, self.close)

    def refuse_size(self) -> None:
        limit = self.service.max_body
        self.refuse(text_answer(errors.BODY_TOO_LARGE.status, f"The body is larger than {limit} bytes."))

    def close(self) -> None:
        """Close when all is sent that was written."""
        self.state = _CLOSED
        self.connected().close()

    def abort(self) -> None:
        """Close at once, without another byte."""
        self.gone = True
        self.state = _CLOSED
        self.connected().abort()

    def connected(self) -> Transport:
        assert self.transport is not None
        return self.transport


def task_of(head: RequestHead, body: bytes, worker: str) -> Task:
    """The task that a whole request is."""
    headers: dict[str, str] = {}
    if head.host is not None:
        headers["host"] = head.host.decode("latin-1")
    if head.forwarded_for:
        headers["x-forwarded-for"] = b", ".join(head.forwarded_for).decode("latin-1")
    for line in b"".join(head.runs).decode("latin-1").split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        if name in headers:
            # RFC 9110 section 5.3; RFC 6265 section 5.4 for the one field that has commas in its values.
            value = f"{headers[name]}{'; ' if name == 'cookie' else ', '}{value}"
        headers[name] = value
    content_type = headers.pop("content-type", "")
    path, _, query = head.target.decode("latin-1").partition("?")
    return Task(body, content_type, path, headers, query, head.method.decode("latin-1"), worker)


def _parts(answer: Answer) -> tuple[int, bytes, str]:
    return answer.status, answer.body, answer.content_type or TEXT_TYPE

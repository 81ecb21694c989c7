"""What other people's parsers make of a message: h11 (strict) and httptools (llhttp, as in Node).

Each answer is where the message ends and what it means, or a word for why it was refused. These are test-only
oracles: nothing of the program asks them.
"""

import re
from dataclasses import dataclass
from typing import Final

import h11
import httptools

Field = tuple[bytes, bytes]

# A tab behind the coding is optional white space (RFC 9112 section 5): llhttp sees another coding there, and reads an
# answer to its connection's end. What we send never has it.
LLHTTP_MISREADS: Final = re.compile(rb"(?i)\ntransfer-encoding:[ \t]*chunked[ \t]*\t[ \t]*\r\n")


@dataclass(frozen=True)
class Meaning:
    """A message as a parser sees it. end: the index behind it in the bytes given; None when it has not all come."""

    method: bytes
    target: bytes
    status: int
    fields: list[Field]
    payload: bytes
    head_done: bool
    end: int | None


@dataclass(frozen=True)
class Refused:
    """The parser will not have it. why: its own words."""

    why: str


def _asked(method: bytes) -> h11.Connection:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    return client


def _by_h11(connection: h11.Connection, data: bytes, closed: bool) -> Meaning | Refused:
    connection.receive_data(data)
    if closed:
        connection.receive_data(b"")
    head: h11.Request | h11.Response | None = None
    payload = b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request | h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                payload += event.data
            elif event is h11.NEED_DATA or isinstance(event, h11.EndOfMessage):
                break
    except h11.RemoteProtocolError as exc:
        return Refused(str(exc))
    end = len(data) - len(connection.trailing_data[0]) if isinstance(event, h11.EndOfMessage) else None
    method = head.method if isinstance(head, h11.Request) else b""
    target = head.target if isinstance(head, h11.Request) else b""
    status = head.status_code if isinstance(head, h11.Response) else 0
    fields = list(head.headers) if head is not None else []
    return Meaning(method, target, status, fields, payload, head is not None, end)


def request_by_h11(data: bytes) -> Meaning | Refused:
    return _by_h11(h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20), data, False)


def response_by_h11(data: bytes, method: bytes = b"GET", closed: bool = False) -> Meaning | Refused:
    """The answer to a request of this method. closed: the backend has closed behind it."""
    return _by_h11(_asked(method), data, closed)


class _Listener:
    """Takes in the callbacks of httptools."""

    def __init__(self) -> None:
        self.target = b""
        self.fields: list[Field] = []
        self.payload = b""
        self.heads = 0
        self.ends = 0

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.heads == 0:  # later ones are trailers
            self.fields.append((name.lower(), value.rstrip(b" \t")))  # it leaves the space behind a value on it

    def on_headers_complete(self) -> None:
        self.heads += 1

    def on_body(self, body: bytes) -> None:
        self.payload += body

    def on_message_complete(self) -> None:
        self.ends += 1


def _by_httptools(kind: type, data: bytes) -> Meaning | Refused:
    """Byte by byte: it does not say how far it has come."""
    listener = _Listener()
    parser = kind(listener)
    end = None
    for i in range(len(data)):
        try:
            parser.feed_data(data[i : i + 1])
        except httptools.HttpParserUpgrade:
            pass  # all that follows is not HTTP
        except httptools.HttpParserError as exc:
            return Refused(f"{type(exc).__name__}: {exc}")
        if listener.ends:
            end = i + 1
            break
    method = parser.get_method() if kind is httptools.HttpRequestParser and listener.heads else b""
    status = parser.get_status_code() if kind is httptools.HttpResponseParser and listener.heads else 0
    return Meaning(method, listener.target, status, listener.fields, listener.payload, listener.heads > 0, end)


def request_by_httptools(data: bytes) -> Meaning | Refused:
    return _by_httptools(httptools.HttpRequestParser, data)


def response_by_httptools(data: bytes) -> Meaning | Refused:
    """The answer to a request that was not HEAD: it cannot be told of that one."""
    return _by_httptools(httptools.HttpResponseParser, data)

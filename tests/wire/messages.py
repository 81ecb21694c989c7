"""Generated HTTP/1.1 messages: valid ones, of which is known what they mean, and damaged ones.

The meaning is written down by the generator, not by a parser: so a test can ask ours, h11 and httptools whether they
see it too.
"""

from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st

Field = tuple[bytes, bytes]

# The methods that llhttp knows; ours takes any token.
METHODS: Final = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"PROPFIND", b"REPORT", b"PURGE")
HOSTS: Final = (b"example.org", b"a", b"localhost:8080", b"127.0.0.1:80", b"[::1]", b"[2001:db8::1]:443")
PATHS: Final = (b"/", b"/a/b?c=d", b"//x", b"/%2f/../;x=1", b"/?", b"/a?b=/c?d", b"/~_-.!$&'()*+,:@")
TOKENS: Final = "abcXYZ019!#$%&'*+-.^`|~"
# Names that ours treats specially, and some that it should not.
NAMES: Final = (b"Accept", b"Cookie", b"X-Hop", b"x-hop", b"ETag", b"Cache-Control", b"X-Custom-Long-Name", b"Hosts")

names = st.sampled_from(NAMES) | st.text(TOKENS, min_size=1, max_size=12).map(lambda s: b"x" + s.encode())
texts = st.lists(st.integers(33, 126) | st.integers(128, 255), min_size=1, max_size=10).map(bytes)
values = st.lists(texts, max_size=3).map(b" ".join) | st.just(b"a\tb") | st.just(b'q="x, y"; z')
spaces = st.sampled_from([b"", b" ", b" ", b"\t", b"  \t"])
# Fields that are between neighbours, and claims about the client: to be left out of what a stranger sent.
DROPPED: Final[tuple[Field, ...]] = (
    (b"Keep-Alive", b"timeout=5"),
    (b"Proxy-Connection", b"keep-alive"),
    (b"Proxy", b"evil"),
    (b"X-Forwarded-For", b"6.6.6.6"),
    (b"X-Forwarded-Proto", b"https"),
    (b"X-Forwarded-Host", b"evil"),
    (b"X-Forwarded-Port", b"1"),
    (b"Forwarded", b"for=6.6.6.6"),
    (b"X-Real-IP", b"6.6.6.6"),
    (b"X_Under", b"score"),
    (b"TE", b"gzip"),
)


@dataclass(frozen=True)
class Message:
    """A message and what it means.

    data: its bytes, the body included. head: how many of them are the head. fields: the end-to-end ones, in order,
    names in lower case. payload: the body, decoded. length: what Content-Length says, or -1.
    """

    data: bytes
    head: int
    fields: list[Field]
    payload: bytes
    length: int
    chunked: bool
    method: bytes = b""
    target: bytes = b""
    host: bytes = b""
    minor: int = 1
    status: int = 0


@st.composite
def chunked_bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A body in chunks, and its payload."""
    parts = draw(st.lists(st.binary(min_size=1, max_size=20), max_size=4))
    form = draw(st.sampled_from(["%x", "%X", "0%x", "%x;a=b"]))
    frames = b"".join((form % len(part)).encode() + b"\r\n" + part + b"\r\n" for part in parts)
    return frames + draw(st.sampled_from([b"0\r\n\r\n", b"0\r\nX-Sum: 1\r\n\r\n", b"00;x\r\n\r\n"])), b"".join(parts)


@st.composite
def _fields(draw: st.DrawFn, drop: tuple[Field, ...]) -> tuple[list[Field], list[Field]]:
    """Field lines with their Connection options, and those of them that are end-to-end."""
    fields = draw(st.lists(st.tuples(names, values), max_size=6))
    fields += draw(st.lists(st.sampled_from(drop), max_size=3)) if drop else []
    options = draw(st.lists(st.sampled_from([b"keep-alive", b"X-Hop", b"Accept", b"x-nothing", b"Host"]), max_size=3))
    gone = {name.lower() for name, _ in drop} | {option.lower() for option in options} | {b"connection"}
    if options:
        fields.append((b"Connection", b", ".join(options)))
    mixed = draw(st.permutations(fields))
    return mixed, [(name.lower(), value) for name, value in mixed if name.lower() not in gone]


def _line(field: Field, before: bytes, behind: bytes) -> bytes:
    return field[0] + b":" + before + field[1] + behind + b"\r\n"


@st.composite
def _framed(draw: st.DrawFn, may_chunk: bool, may_lack: bool) -> tuple[list[Field], bytes, bytes, int, bool]:
    """The framing fields of a body, its bytes, its payload, its length and whether it is chunked."""
    ways = ["length", *(["chunked"] if may_chunk else []), *(["none"] if may_lack else [])]
    way = draw(st.sampled_from(ways))
    if way == "chunked":
        name = draw(st.sampled_from([b"Transfer-Encoding", b"transfer-encoding"]))
        body, payload = draw(chunked_bodies())
        return [(name, draw(st.sampled_from([b"chunked", b"Chunked"])))], body, payload, -1, True
    if way == "none":
        return [], b"", b"", -1, False
    payload = draw(st.binary(max_size=30))
    form = draw(st.sampled_from(["%d", "0%d", "%d"]))
    return [(b"Content-Length", (form % len(payload)).encode())], payload, payload, len(payload), False


@st.composite
def requests(draw: st.DrawFn) -> Message:
    minor = draw(st.sampled_from([1, 1, 1, 0]))
    method = draw(st.sampled_from(METHODS))
    path = draw(st.sampled_from(PATHS))
    host = draw(st.sampled_from(HOSTS))
    named = host
    target = path
    if draw(st.integers(0, 4)) == 0:  # absolute form: Host may say something else, and is not believed
        named = draw(st.sampled_from(HOSTS))
        target = draw(st.sampled_from([b"http://", b"HTTP://"])) + host + path
    fields, kept = draw(_fields(DROPPED))
    framing, body, payload, length, chunked = draw(_framed(minor == 1, True))
    ours = [(draw(st.sampled_from([b"Host", b"host", b"HOST"])), named), *framing]
    lines = [_line(field, draw(spaces), draw(spaces)) for field in draw(_merged(fields, ours))]
    head = b"%b %b HTTP/1.%d\r\n" % (method, target, minor) + b"".join(lines) + b"\r\n"
    return Message(head + body, len(head), kept, payload, length, chunked, method, path, host, minor)


@st.composite
def responses(draw: st.DrawFn) -> Message:
    """An answer to GET whose end is known from its framing."""
    status = draw(st.sampled_from([200, 200, 201, 206, 301, 404, 426, 500, 599]))
    fields, kept = draw(_fields(((b"Keep-Alive", b"timeout=5"), (b"Proxy-Connection", b"close"), (b"TE", b"x"))))
    framing, body, payload, length, chunked = draw(_framed(True, False))
    reason = draw(st.sampled_from([b" OK", b" Not Found", b" ", b"", b" \xe4\xf6!"]))
    lines = [_line(field, draw(spaces), draw(spaces)) for field in draw(_merged(fields, framing))]
    head = b"HTTP/1.1 %d%b\r\n" % (status, reason) + b"".join(lines) + b"\r\n"
    return Message(head + body, len(head), kept, payload, length, chunked, status=status)


@st.composite
def _merged(draw: st.DrawFn, one: list[Field], other: list[Field]) -> list[Field]:
    """The first list in its order, with the fields of the other anywhere between."""
    merged = [*one]
    for field in other:
        merged.insert(draw(st.integers(0, len(merged))), field)
    return merged


# What a smuggler would put somewhere.
SHARP: Final = (
    *(
        b"\r",
        b"\n",
        b"\r\n",
        b"\0",
        b" ",
        b"\t",
        b":",
        b",",
        b";",
        b"#",
        b"/",
        b"@",
        b"_",
        b"\x0b",
        b"\x7f",
        b"\x80",
        b"\xff",
    ),
    *(b"0", b"5", b"+", b"-", b"x", b"\r\n ", b"\r\n\r\n", b"\n\n", b"chunked", b"identity", b"HTTP/1.0", b"HTTP/1.1"),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Host: b\r\n"),
    *(b"Transfer-Encoding : chunked\r\n", b"\r\nTransfer-Encoding:\x0bchunked", b"Connection: close\r\n", b", chunked"),
    *(b"0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"Upgrade: websocket\r\nConnection: upgrade\r\n"),
)


@st.composite
def damaged(draw: st.DrawFn, messages: st.SearchStrategy[Message]) -> bytes:
    """A valid message to which something was done, once or several times, mostly in its head."""
    message = draw(messages)
    data = message.data
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, min(len(data), message.head + 8)))
        gone = draw(st.sampled_from([0, 0, 1, 1, 2, 5]))
        new = draw(st.sampled_from(SHARP) | st.binary(max_size=2) | st.just(data[place : place + 20]))
        data = data[:place] + new + data[place + gone :]
    return data

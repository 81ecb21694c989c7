"""What is read out of values that a stranger wrote: X-Forwarded-For, cookies, the query, a JSON body, the path.

Each is held against a reader that shares nothing with ours.
"""

import json
import re
from ipaddress import ip_address, ip_network
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from tests.fuzz.builds import Build
from tests.fuzz.lines import fields, one_meaning
from tests.fuzz.target import MAX_BYTES, MAX_FIELDS, Target

OUR_PROXIES: Final = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
PROXY: Final = "10.0.0.1"


def _forwarded_head(build: Build, data: bytes) -> Any:
    """The head of a request in which each line of the data is a value of X-Forwarded-For; None if it is refused."""
    lines = b"".join(b"X-Forwarded-For: %b\r\n" % value for value in data.split(b"\n"))
    try:
        request = b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % lines
        return build.http1.scan_request(request, 0, MAX_BYTES, MAX_FIELDS, True, False)
    except build.errors.ProtocolError:
        return None


def _seen_forwarded(build: Build, data: bytes) -> object:
    head = _forwarded_head(build, data)
    peer = build.peer.Peer(PROXY, "http", OUR_PROXIES, "192.0.2.1:80")
    return None if head is None else (peer.client_of(head), build.headers.request_bytes(head, peer), head.forwarded_for)


def _judge_forwarded(build: Build, data: bytes) -> None:
    seen = _seen_forwarded(build, data)
    if not isinstance(seen, tuple):
        return
    client, sent, _ = seen
    lines = fields(sent)
    one_meaning(lines)
    got = dict(lines)
    assert {b"host", b"x-forwarded-host", b"x-forwarded-for", b"x-real-ip", b"x-forwarded-proto", b"via"} == set(got)
    assert client.encode() == got[b"x-real-ip"]
    entries = [entry.strip(b" \t") for value in data.split(b"\n") for entry in value.split(b",")]
    assert [*entries, PROXY.encode()] == [entry.strip(b" \t") for entry in got[b"x-forwarded-for"].split(b",")]
    assert _right_most(entries) == client


def _right_most(entries: list[bytes]) -> str:
    """The right-most address that no trusted proxy vouches away, with the entries told apart by regular expressions."""
    client = PROXY
    for entry in reversed(entries):
        text = entry.decode("latin-1")
        bare = (
            re.sub(r"(?s)^\[([^]]*).*$", r"\1", text)
            if text.startswith("[")
            else re.sub(r"(?s)^([^:]*):[^:]*$", r"\1", text)
        )
        try:
            address = ip_address(bare.split("%")[0])
        except ValueError:
            return client
        address = getattr(address, "ipv4_mapped", None) or address
        client = str(address)
        if not any(address in network for network in OUR_PROXIES):
            return client
    return client


def _seen_cookie(build: Build, data: bytes) -> object:
    """The first line is the name, the others are Cookie fields."""
    name, *crumbs = data.split(b"\n")
    return build.cookies.cookie(crumbs, name)


def _judge_cookie(build: Build, data: bytes) -> None:
    name, *crumbs = data.split(b"\n")
    one_line = b";".join(crumbs)
    assert build.cookies.cookie([one_line], name) == build.cookies.cookie(crumbs, name)
    values = [
        value.strip(b" \t")
        for key, equals, value in (crumb.partition(b"=") for crumb in one_line.split(b";"))
        if equals and key.strip(b" \t") == name
    ]
    assert (values[0] if values else None) == build.cookies.cookie(crumbs, name)


def _seen_query(build: Build, data: bytes) -> object:
    return build.query.query_value(b"/?" + data, "a")


def _judge_query(build: Build, data: bytes) -> None:
    """Against Python's own reader, for what a target may hold: printable ASCII."""
    query = bytes(c for c in data if 33 <= c <= 126 and c != 35)
    pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True)
    for name in {"a", *(name for name, _ in pairs)}:
        if "\ufffd" not in name:  # bytes that are no UTF-8: as text they are one, as bytes they are not
            expected = next((value for key, value in pairs if key == name), None)
            assert expected == build.query.query_value(b"/?" + query, name), name


def _seen_json(build: Build, data: bytes) -> object:
    """The first line is the path, the rest is the body."""
    path, _, body = data.partition(b"\n")
    found = build.json_field.field(build.json_field.parse(body), build.json_field.field_path(path.decode("latin-1")))
    build.json_field.is_json(path)
    return found


def _judge_json(build: Build, data: bytes) -> None:
    body = data.partition(b"\n")[2]
    try:
        document = json.loads(body.decode("utf-8"), parse_int=str, parse_float=str, parse_constant=lambda _: 1 / 0)
    except (ValueError, RecursionError, ZeroDivisionError):
        document = None
    assert document == build.json_field.parse(body)
    found = _seen_json(build, data)
    assert found is None or isinstance(found, str)
    assert found is None or json.loads(json.dumps(found)) == found or "\\u" in ascii(found)


def _seen_path(build: Build, data: bytes) -> object:
    """A target in origin form: the scanner gives no other, and `*`."""
    return build.paths.readings("/" + data.decode("latin-1"))


def _judge_path(build: Build, data: bytes) -> None:
    path = "/" + data.decode("latin-1")
    found = build.paths.readings(path)
    assert len(set(found)) == len(found) <= 4
    assert build.paths.normal(path) == found[0]
    bare = path.partition("?")[0]
    for reading in found:
        assert reading.startswith("/")
        assert "//" not in reading
        assert not {".", ".."} & set(reading.split("/"))
    # Slashes and backslashes apart, the first reading is what Python decodes and RFC 3986's stack of segments leaves.
    if "\\" not in bare and not re.search("(?i)%2f|%5c", bare):
        stack: list[str] = []
        segments = re.split("/+", unquote(bare, errors="surrogateescape"))[1:]
        for segment in segments:
            if segment == "..":
                del stack[-1:]
            elif segment != ".":
                stack.append(segment)
        if segments[-1] in (".", ".."):
            stack.append("")
        assert "/" + "/".join(stack) == found[0]


FORWARDED: Final = Target("forwarded", _seen_forwarded, _judge_forwarded, _seen_forwarded)
COOKIE: Final = Target("cookie", _seen_cookie, _judge_cookie, _seen_cookie, both=False, weight=0.5)
QUERY: Final = Target("query", _seen_query, _judge_query, _seen_query, both=False, weight=0.5)
JSON: Final = Target("json", _seen_json, _judge_json, _seen_json, both=False, weight=0.5)
PATH: Final = Target("path", _seen_path, _judge_path, _seen_path, both=False, weight=0.5)

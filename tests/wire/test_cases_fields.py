"""Fields, bodies and upgrades: cases 16 to 37 as far as the bytes of a head or of a chunked body decide them."""

from ipaddress import ip_network

import pytest

from steelyard import errors
from steelyard.wire import framing
from steelyard.wire.headers import request_bytes, response_pieces
from steelyard.wire.http1 import response_framing
from steelyard.wire.peer import Peer
from tests.wire.three_ways import get, lines, read_body, read_request, read_response, refused_request, refused_response

OK = b"HTTP/1.1 200 OK\r\n"


def to_backend(data: bytes, address: str = "203.0.113.9", underscores: bool = False) -> list[bytes]:
    """The lines that a backend gets for this request; 10.0.0.0/8 are our own proxies."""
    peer = Peer(address, "http", [ip_network("10.0.0.0/8")], "192.0.2.1:80")
    head = read_request(data, trusted=peer.trusted, underscores=underscores)
    return request_bytes(head, peer)[:-4].split(b"\r\n")


def to_client(data: bytes, to_head_request: bool = False) -> bytes:
    """The head that a client gets for this answer, framed as the backend framed it."""
    head = read_response(data)
    return b"".join(response_pieces(head, response_framing(head, to_head_request), b""))


@pytest.mark.parametrize(
    "fields",
    [[], [b"Host: a", b"Host: a"], [b"Host: a", b"Host: b"], [b"Host: a", b"hOST:"], [b"Host:", b"Host:"], [b"Hos: a"]],
)
def test_case_16_http_1_1_has_exactly_one_host(fields: list[bytes]) -> None:
    """RFC 9112 section 3.2; CVE-2026-34525 (aiohttp)."""
    assert errors.BAD_REQUEST == refused_request(b"GET / HTTP/1.1\r\n" + lines(*fields))


def test_case_17_the_authority_of_the_target_wins_over_host() -> None:
    """RFC 9112 section 3.2.2."""
    sent = to_backend(b"GET http://b:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"GET /x?y HTTP/1.1" == sent[0]
    assert [b"Host: b:81", b"X-Forwarded-Host: b:81"] == sent[1:3]
    assert not [line for line in sent[3:] if line.lower().startswith(b"host:")]


@pytest.mark.parametrize("target", [b"/#", b"/x#y", b"#", b"http://a/#x", b"/x?y#z"])
def test_case_18_a_fragment_is_refused(target: bytes) -> None:
    """CVE-2023-45539 (HAProxy)."""
    assert errors.BAD_REQUEST == refused_request(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)


@pytest.mark.parametrize(
    "value", [b"a\0b", b"a\rb", b"a\nb", b"\0", b"a\r", b"a\n", b"\x01", b"a\x1bb", b"\x7f", b"a\x0bb"]
)
@pytest.mark.parametrize("name", [b"X", b"Host", b"Connection", b"X-Forwarded-For", b"Cookie"])
def test_case_19_a_control_character_in_a_value_is_refused(name: bytes, value: bytes) -> None:
    """RFC 9110 section 5.5."""
    request = b"GET / HTTP/1.0\r\n" + lines(name + b": " + value)
    assert errors.BAD_REQUEST == refused_request(request)
    assert errors.BAD_REQUEST == refused_request(request, trusted=True)


def test_case_20_what_connection_names_is_removed_but_never_what_is_ours() -> None:
    """RFC 9110 section 7.6.1."""
    named = (
        b"X-Hop, Keep-Alive, Host, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Real-IP, Content-Length, Via"
    )
    sent = to_backend(
        get(
            b"X-Hop: 1",
            b"x-hop: 2",
            b"Keep-Alive: 5",
            b"Content-Length: 3",
            b"Connection: close, " + named,
            b"X-Stay: 3",
        )
    )
    assert [
        b"GET / HTTP/1.1",
        b"Host: a",
        b"X-Forwarded-Host: a",
        b"X-Stay: 3",
        b"X-Forwarded-For: 203.0.113.9",
        b"X-Real-IP: 203.0.113.9",
        b"X-Forwarded-Proto: http",
        b"Content-Length: 3",
        b"Via: 1.1 steelyard",
    ] == sent


def test_case_21_a_client_is_who_it_is_unless_a_trusted_proxy_says_otherwise() -> None:
    claim = get(b"X-Forwarded-For: 6.6.6.6", b"X-Real-IP: 6.6.6.6")
    sent = to_backend(claim)
    assert b"X-Forwarded-For: 203.0.113.9" in sent
    assert b"X-Real-IP: 203.0.113.9" in sent
    assert not [line for line in sent if b"6.6.6.6" in line]
    sent = to_backend(claim, "10.0.0.1")
    assert b"X-Forwarded-For: 6.6.6.6, 10.0.0.1" in sent
    assert b"X-Real-IP: 6.6.6.6" in sent


def test_case_22_a_field_with_underscores_cannot_pass_for_one_with_hyphens() -> None:
    forged = get(b"X_Forwarded_For: 6.6.6.6", b"X-Forwarded_For: 6.6.6.6", b"X_REAL_IP: 6.6.6.6", b"My_Field: 1")
    assert not [line for line in to_backend(forged) if b"_" in line]
    assert [b"My_Field: 1"] == [line for line in to_backend(forged, underscores=True) if b"_" in line]
    assert [b"My_Field: 1"] == [line for line in to_backend(forged, "10.0.0.1", underscores=True) if b"_" in line]


def test_case_23_proxy_is_dropped() -> None:
    """CVE-2016-5385: CGI makes HTTP_PROXY of it."""
    for name in (b"Proxy", b"PROXY", b"proxy"):
        assert not [line for line in to_backend(get(name + b": http://evil")) if b"evil" in line]
        assert not [line for line in to_backend(get(name + b": http://evil"), "10.0.0.1") if b"evil" in line]


def test_case_24_fields_that_are_repeated_stay_apart_and_in_order() -> None:
    """RFC 9110 section 5.3."""
    cookies = [b"Set-Cookie: a=1, x", b"set-cookie: b=2", b"X: y", b"Set-Cookie: a=3"]
    assert OK + lines(*cookies, b"Content-Length: 0") == to_client(OK + lines(b"Content-Length: 0", *cookies))
    fields = [b"Accept: b", b"Cookie: x", b"accept: a", b"Cookie: x"]
    assert fields == to_backend(get(*fields))[3:7]


@pytest.mark.parametrize(
    "value", [b"a\0b", b"a\rb", b"a\nb", b"a\n\nHTTP/1.1 200 OK", b"a\rSet-Cookie: x", b"\x01", b"\x7f"]
)
def test_case_25_a_control_character_in_an_answer_is_refused(value: bytes) -> None:
    """RFC 9110 section 5.5."""
    assert errors.BAD_REQUEST == refused_response(OK + lines(b"Location: " + value, b"Content-Length: 0"))
    assert errors.BAD_REQUEST == refused_response(b"HTTP/1.1 200 " + value + b"\r\n\r\n")


@pytest.mark.parametrize(
    "path",
    [b"/a%2fb", b"//a", b"/a//b", b"/a/../b", b"/a/./b", b"/%2e%2e/", b"/a;b=c", b"/%", b"/\\", b"/a?%00", b"/{}|^`"],
)
def test_case_26_a_path_is_passed_on_exactly_as_it_came(path: bytes) -> None:
    assert b"GET %b HTTP/1.1" % path == to_backend(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)[0]
    assert b"GET %b HTTP/1.1" % path == to_backend(b"GET http://a%b HTTP/1.1\r\nHost: a\r\n\r\n" % path)[0]


@pytest.mark.parametrize(
    "line", [b"CONNECT a:443", b"CONNECT /", b"TRACE /", b"TRACE *", b"trace /", b"Connect a:443", b"Trace /"]
)
def test_case_27_trace_and_connect_are_refused_in_any_case(line: bytes) -> None:
    """RFC 9110 sections 9.3.6 and 9.3.8; a backend that lowers or raises methods would take `trace` for TRACE."""
    assert errors.METHOD_REFUSED == refused_request(line + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"TRACER" == read_request(b"TRACER / HTTP/1.1\r\nHost: a\r\n\r\n").method


@pytest.mark.parametrize("status", [100, 102, 103, 199])
def test_case_30_an_interim_answer_is_passed_on_without_any_framing(status: int) -> None:
    """RFC 9110 section 15.2: the final answer begins right behind it."""
    interim = b"HTTP/1.1 %d X\r\n" % status + lines(b"Link: </a>", b"Content-Length: 5", b"Connection: close")
    assert b"HTTP/1.1 %d X\r\n" % status + lines(b"Link: </a>") == to_client(interim)
    head = read_response(interim + OK + lines(b"Content-Length: 0"))
    assert len(interim) == head.end
    assert framing.NO_BODY == response_framing(head, False)


@pytest.mark.parametrize(
    ("status", "to_head_request", "said"),
    [(200, True, [b"Content-Length: 5"]), (304, False, [b"Content-Length: 5"]), (204, False, []), (204, True, [])],
)
def test_case_31_an_answer_without_a_body_never_announces_one(
    status: int, to_head_request: bool, said: list[bytes]
) -> None:
    """RFC 9110 section 6.4.1."""
    line = b"HTTP/1.1 %d X\r\n" % status
    assert line + lines(*said) == to_client(line + lines(b"Content-Length: 5"), to_head_request)
    assert line + lines() == to_client(line + lines(b"Transfer-Encoding: chunked"), to_head_request)
    for field in (b"Content-Length: 5", b"Transfer-Encoding: chunked"):
        assert framing.NO_BODY == response_framing(read_response(line + lines(field)), to_head_request)


def test_case_32_chunks_are_taken_apart_for_a_client_that_knows_none() -> None:
    """RFC 9112 section 6.1."""
    body = read_body(b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n", decode=True)
    assert (b"hello!", True) == (body.payload, body.done)
    head = read_response(OK + lines(b"Transfer-Encoding: chunked"))
    assert OK + b"\r\n" == b"".join(response_pieces(head, framing.UNKNOWN, b""))


def test_case_33_trailers_stay_trailers_and_cannot_frame_route_or_vouch() -> None:
    """RFC 9110 section 6.5.1."""
    bad = [
        b"Content-Length: 5",
        b"Host: evil",
        b"Transfer-Encoding: chunked",
        b"X-Forwarded-For: 6.6.6.6",
        b"X_Real_IP: 6.6.6.6",
    ]
    assert b"0\r\n" + lines(b"X-Sum: 1") == read_body(b"0\r\n" + lines(*bad, b"X-Sum: 1", *bad)).sent
    assert errors.BAD_REQUEST == refused_request(b"X-Sum: 1\r\n\r\n")  # nor do they begin a request


def test_case_34_trailers_of_an_answer_survive() -> None:
    """RFC 9110 section 6.5: gRPC-Web needs them. TE: trailers reaches the backend."""
    body = b"5\r\nhello\r\n0\r\n" + lines(b"grpc-status: 0", b"grpc-message: fine")
    assert body == read_body(body).sent
    sent = to_backend(get(b"TE: trailers", b"Connection: TE"))
    assert [b"Connection: TE", b"TE: trailers"] == [line for line in sent if b"TE" in line]
    assert OK + lines(b"Trailer: grpc-status", b"Transfer-Encoding: chunked") == to_client(
        OK + lines(b"Transfer-Encoding: chunked", b"Trailer: grpc-status")
    )


def test_case_36_an_upgrade_is_one_protocol_on_a_request_without_a_body() -> None:
    """CVE-2026-2833: whatever lies behind the head is not part of it, and waits."""
    wish = get(b"Upgrade: websocket", b"Connection: Upgrade")
    assert [b"Connection: Upgrade", b"Upgrade: websocket"] == to_backend(wish)[6:8]
    assert len(wish) == read_request(wish + b"GET /smuggled HTTP/1.1\r\n\r\n").end
    for body in (b"Content-Length: 5", b"Transfer-Encoding: chunked"):
        sent = to_backend(get(b"Upgrade: websocket", b"Connection: Upgrade", body))
        assert not [line for line in sent if b"pgrade" in line]


@pytest.mark.parametrize(
    "protocol", [b"h2c", b"H2C", b"h2c/1", b"HTTP/2.0", b"h2c, websocket", b"websocket, h2c", b",h2c", b" h2c"]
)
def test_case_37_h2c_is_not_passed_on(protocol: bytes) -> None:
    fields = [b"Upgrade: " + protocol, b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABkAAQAAP__"]
    sent = to_backend(get(*fields))
    assert not [line for line in sent if b"h2c" in line.lower() or b"pgrade" in line or b"settings" in line.lower()]

"""wire/http1.py: heads of requests and answers, and trailers. The numbered cases are in test_cases_*.py."""

import pytest

from steelyard import errors
from steelyard.errors import Kind
from steelyard.wire import framing, grammar, http1, known
from steelyard.wire.http1 import response_framing, valid_host
from tests.wire.three_ways import (
    get,
    lines,
    read_request,
    read_response,
    read_trailers,
    refused_request,
    refused_response,
    refused_trailers,
)

OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def all_bytes_but(table: bytes) -> list[int]:
    return [c for c in range(256) if not table[c]]


# The request line.


def test_a_request_is_taken_apart() -> None:
    head = read_request(b"PATCH /a/b?c=d HTTP/1.1\r\nHost: example.org:8080\r\nAccept: */*\r\nX-Empty:\r\n\r\n")
    assert b"PATCH" == head.method
    assert b"/a/b?c=d" == head.target
    assert b"example.org:8080" == head.host
    assert 1 == head.minor
    assert -1 == head.content_length
    flags = (head.chunked, head.close, head.keep_alive, head.expects_continue, head.te_trailers)
    assert (False,) * 5 == flags
    assert head.upgrade is None
    assert [b"Accept: */*\r\nX-Empty:\r\n"] == head.runs


def test_a_head_knows_where_it_ends() -> None:
    head = http1.scan_request(PLAIN + b"body", 0, 1000, 10, False, False)
    assert head is not None
    assert len(PLAIN) == head.end


def test_a_date_is_kept_wherever_it_stands_and_seen_in_an_answer() -> None:
    """RFC 9110 section 6.6.1: an answer without one is given one, and Connection cannot take it away."""
    assert [b"date: x\r\n"] == read_request(get(b"date: x")).runs
    dated = read_response(b"HTTP/1.1 200 OK\r\nDATE: x\r\n\r\n")
    assert dated.has_date
    assert [b"DATE: x\r\n"] == dated.runs
    assert not read_response(b"HTTP/1.1 200 OK\r\nX-Date: x\r\n\r\n").has_date


def test_a_field_that_is_not_passed_on_is_not_found_either() -> None:
    """A route on X-Real-IP must not believe what no backend is told."""
    head = read_request(
        get(b"X-Real-IP: 1.2.3.4", b"X_Key: 1", b"X-Forwarded-User: root", b"Connection: x-hop", b"X-Hop: 1")
    )
    for name in (b"x-real-ip", b"x_key", b"x-forwarded-user", b"x-hop", b"host"):
        assert head.get(name) is None


def test_nothing_is_not_yet_a_request() -> None:
    assert http1.scan_request(b"", 0, 1000, 10, False, False) is None


def test_empty_lines_before_a_request_are_ignored() -> None:
    head = read_request(b"\r\n\r\n" + PLAIN)
    assert 4 + len(PLAIN) == head.end
    assert b"a" == head.host


@pytest.mark.parametrize("before", [b"\n", b"\r", b"\r\r\n", b"\n\r\n", b" \r\n", b"\0", b" ", b"\t", b"\xef\xbb\xbf"])
def test_anything_else_before_a_request_is_refused(before: bytes) -> None:
    assert errors.BAD_REQUEST == refused_request(before + PLAIN)


def test_a_method_is_any_token_and_keeps_its_case() -> None:
    for c in range(256):
        line = b"G%cT / HTTP/1.1\r\nHost: a\r\n\r\n" % c
        if grammar.TOKEN[c]:
            assert b"G%cT" % c == read_request(line).method
        elif c != grammar.SP:
            assert errors.BAD_REQUEST == refused_request(line)


def test_a_target_has_no_byte_that_may_not_stand_there() -> None:
    for c in range(256):
        line = b"GET /%cx HTTP/1.1\r\nHost: a\r\n\r\n" % c
        if grammar.TARGET[c]:
            assert b"/%cx" % c == read_request(line).target
        else:
            assert errors.BAD_REQUEST == refused_request(line)


@pytest.mark.parametrize(
    "line",
    [
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b"GET /\tHTTP/1.1",
        b" GET / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET / HTTP/1.1\t",
        b"GET / HTTP/1.1\0",
        b"GET / HTTP/1.10",
        b"GET / HTTP/01.1",
        b"GET / HTTP/11",
        b"GET / HTTP/1,1",
        b"GET / HTTP/1.",
        b"GET / HTTP/a.b",
        b"GET / HTTP/1.:",
        b"GET / http/1.1",
        b"GET / HTTPS/1.1",
        b"GET / ICY/1.1",
        b"GET / ",
        b"GET /",
        b"GET ",
        b"GET",
        b"GET HTTP/1.1",
        b"/ HTTP/1.1",
        b"/",
        b"GET /a b HTTP/1.1",
        b"GET: / HTTP/1.1",
        b"HTTP/1.1 200 OK",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS ClientHello
    ],
)
def test_a_request_line_of_another_shape_is_refused(line: bytes) -> None:
    assert errors.BAD_REQUEST == refused_request(line + b"\r\nHost: a\r\n\r\n")


def test_a_request_of_http_0_9_is_refused_and_not_waited_for() -> None:
    assert errors.BAD_REQUEST == refused_request(b"GET /\r\n")


@pytest.mark.parametrize("version", [b"0.9", b"1.2", b"1.9", b"2.0", b"3.0", b"9.9", b"0.0"])
def test_another_version_is_not_spoken(version: bytes) -> None:
    assert errors.VERSION_UNKNOWN == refused_request(b"GET / HTTP/%b\r\nHost: a\r\n\r\n" % version)


def test_the_preface_of_http2_is_another_version() -> None:
    assert errors.VERSION_UNKNOWN == refused_request(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\r\n", b"\r\0\n", b"\0\r\n"])
def test_a_request_line_ends_in_crlf_and_nothing_else(end: bytes) -> None:
    assert errors.BAD_REQUEST == refused_request(b"GET / HTTP/1.1" + end + b"Host: a\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "target", "host", "forwarded"),
    [
        (b"GET", b"http://b", b"b", b"/"),
        (b"GET", b"http://b/", b"b", b"/"),
        (b"GET", b"HTTPS://b:1/x?y", b"b:1", b"/x?y"),
        (b"GET", b"http://b?y=/", b"b", b"/?y=/"),
        (b"GET", b"http://[::1]:80/x", b"[::1]:80", b"/x"),
        (b"GET", b"http://b//x", b"b", b"//x"),
        (b"OPTIONS", b"http://b", b"b", b"*"),
        (b"OPTIONS", b"http://b/", b"b", b"/"),
        (b"OPTIONS", b"http://b?q", b"b", b"/?q"),
        (b"OPTIONS", b"*", b"a", b"*"),
        (b"GET", b"//b/x", b"a", b"//b/x"),
        (b"GET", b"/http://b/", b"a", b"/http://b/"),
    ],
)
def test_the_forms_of_a_target(method: bytes, target: bytes, host: bytes, forwarded: bytes) -> None:
    head = read_request(b"%b %b HTTP/1.1\r\nHost: a\r\n\r\n" % (method, target))
    assert (host, forwarded) == (head.host, head.target)


@pytest.mark.parametrize(
    "target",
    [
        b"*",
        b"*/",
        b"b",
        b"b:80",
        b"?x",
        b"x/y",
        b"http:",
        b"http:/b/",
        b"http://",
        b"http:///x",
        b"http://?x",
        b"http://:80/",
        b"http://b:/x:y@z:1",
        b"http://user@b/",
        b"http://user:pw@b/",
        b"http://b:80:90/",
        b"http://b:123456/",
        b"http://b:8x/",
        b"http://b\\c/",
        b"http://[::1/",
        b"http://[::1]x/",
        b"http://b\x80/",
        b"ftp://b/",
        b"ws://b/",
        b"://b/",
        b"httpx://b/",
    ],
)
def test_any_other_form_of_a_target_is_refused(target: bytes) -> None:
    if target == b"http://b:/x:y@z:1":  # a path may have what an authority may not
        assert b"/x:y@z:1" == read_request(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target).target
    else:
        assert errors.BAD_REQUEST == refused_request(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)


# Field lines.


def test_a_field_name_is_a_token() -> None:
    for c in range(256):
        line = get(b"X-%cz: 1" % c)
        if c == grammar.COLON:
            assert b"z: 1" == read_request(line).get(b"x-")
        elif c == grammar.UNDERSCORE:
            assert [] == read_request(line).runs
        elif grammar.TOKEN[c]:
            assert [b"X-%cz: 1\r\n" % c] == read_request(line).runs
        else:
            assert errors.BAD_REQUEST == refused_request(line)


def test_a_field_value_has_no_control_character() -> None:
    for c in range(256):
        line = get(b"X: a%cb" % c)
        if grammar.VALUE[c]:
            assert [b"X: a%cb\r\n" % c] == read_request(line).runs
        else:
            assert errors.BAD_REQUEST == refused_request(line)


@pytest.mark.parametrize(
    "line",
    [
        b": x",
        b":",
        b"X",
        b"X ",
        b"X : x",
        b"X\t: x",
        b" X: x",
        b"\tX: x",
        b"X\r: x",
        b"\0: x",
        b"X: x\n folded",
        b"X: x\r\n folded",
        b"X: x\r\n\tfolded",
        b"X: x\r\n \r\nY: y",
        b"X: x\r",
        b"X: x\n",
        b"X: \r\r",
        b"X: x\nHost: b",
        b"X: x\rHost: b",
        b"\rX: x",
        b"\nX: x",
        b'"X": x',
        b"X(: x",
        b"X\x80: x",
        b"GET / HTTP/1.1",
    ],
)
def test_a_field_line_of_another_shape_is_refused(line: bytes) -> None:
    assert errors.BAD_REQUEST == refused_request(b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % line)
    assert errors.BAD_REQUEST == refused_response(OK + line + b"\r\n\r\n")


def test_space_around_a_value_is_not_part_of_it() -> None:
    head = read_request(b"POST / HTTP/1.1\r\nHost:\t a \t\r\nContent-Length:   7\t\r\nX: \t\r\n\r\n")
    assert (b"a", 7, b"") == (head.host, head.content_length, head.get(b"x"))


def test_names_are_compared_without_regard_to_case() -> None:
    head = read_request(b"POST / HTTP/1.1\r\nhOST: a\r\nCONTENT-length: 7\r\ncOnNeCtIoN: CLOSE\r\n\r\n")
    assert (b"a", 7, True, []) == (head.host, head.content_length, head.close, head.runs)


def test_a_name_of_255_bytes_is_the_longest() -> None:
    assert 1 == len(read_request(get(b"x" * 255 + b": 1")).runs)
    assert errors.BAD_REQUEST == refused_request(get(b"x" * 256 + b": 1"))


KNOWN = (
    *(b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"expect", b"te", b"keep-alive"),
    *(b"proxy-connection", b"proxy-authorization", b"http2-settings", b"proxy", b"x-forwarded-for", b"forwarded"),
    *(b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip"),
)


def test_names_that_nearly_are_known_ones_are_ordinary() -> None:
    names = [name for known in KNOWN for name in (known + b"x", b"x" + known, known[:-1], known.replace(b"-", b"."))]
    names = [name for name in names if name not in KNOWN and not name.startswith(b"x-forwarded-")]
    head = read_request(get(*(name + b": 1" for name in names)))
    assert [lines(*(name + b": 1" for name in names))[:-2]] == head.runs


def test_names_that_fall_into_the_slot_of_a_known_one_are_ordinary() -> None:
    """The hash of a name says where to look, never what it is."""
    slots = {known.slot_of(name) for name in KNOWN}
    twins = [name for name in (b"n%d" % i for i in range(20000)) if known.slot_of(name) in slots]
    assert slots == {known.slot_of(name) for name in twins}
    for twin in twins:
        head = http1.scan_request(get(twin + b": 1"), 0, 1000, 10, False, False)
        assert head is not None
        assert [twin + b": 1\r\n"] == head.runs


def test_the_fields_that_are_left_out_part_the_runs() -> None:
    head = read_request(get(b"A: 1", b"B: 2", b"Keep-Alive: 5", b"C: 3", b"TE: x", b"Proxy: y", b"D: 4", b"Upgrade: z"))
    assert [b"A: 1\r\nB: 2\r\n", b"C: 3\r\n", b"D: 4\r\n"] == head.runs


def test_a_field_is_found_by_its_name_and_several_are_joined() -> None:
    head = read_request(get(b"Accept: a", b"X: 1", b"accept:\tb ", b"Y:"))
    assert b"a, b" == head.get(b"accept")
    assert b"" == head.get(b"y")
    assert head.get(b"z") is None
    assert head.get(b"") is None
    assert read_request(b"GET / HTTP/1.0\r\n\r\n").get(b"host") is None


# Limits.


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"GET /" + b"x" * 200 + b" HTTP/1.1\r\nHost: a\r\n\r\n", errors.TARGET_TOO_LONG),
        (b"G" * 200 + b" / HTTP/1.1\r\nHost: a\r\n\r\n", errors.TARGET_TOO_LONG),
        (get(b"X: " + b"x" * 200), errors.HEAD_TOO_LARGE),
        (get(b"x" * 200 + b": x"), errors.HEAD_TOO_LARGE),
        (get(*[b"X: x"] * 30), errors.HEAD_TOO_LARGE),
        (b"\r\n" * 60 + PLAIN, errors.HEAD_TOO_LARGE),
    ],
)
def test_a_head_over_the_limit_is_refused_by_what_made_it_so(data: bytes, kind: Kind) -> None:
    assert kind == refused_request(data, max_bytes=100)
    assert kind == refused_request(data[:100], max_bytes=100)
    assert len(data) == read_request(data, max_bytes=len(data)).end


def test_a_head_may_be_exactly_as_long_as_the_limit() -> None:
    data = get(b"X: " + b"x" * 50)
    assert len(data) == read_request(data, max_bytes=len(data)).end
    assert errors.HEAD_TOO_LARGE == refused_request(data, max_bytes=len(data) - 1)
    answer = OK + lines(b"X: " + b"x" * 50)
    assert len(answer) == read_response(answer, max_bytes=len(answer)).end
    assert errors.HEAD_TOO_LARGE == refused_response(answer, max_bytes=len(answer) - 1)


def test_there_may_be_exactly_as_many_fields_as_the_limit() -> None:
    assert len(get(*[b"X: x"] * 9)) == read_request(get(*[b"X: x"] * 9), max_fields=10).end
    assert errors.HEAD_TOO_LARGE == refused_request(get(*[b"X: x"] * 10), max_fields=10)
    assert errors.HEAD_TOO_LARGE == refused_response(OK + lines(*[b"X: x"] * 3), max_fields=2)


def test_an_endless_line_of_any_kind_ends_at_the_limit() -> None:
    for flood in (
        b"\r\n" * 500,
        b"G" * 1000,
        b"GET /" + b"x" * 1000,
        get()[:-2] + b"x" * 1000,
        get(b"X: " + b" " * 1000),
    ):
        assert refused_request(flood, max_bytes=512) in (errors.TARGET_TOO_LONG, errors.HEAD_TOO_LARGE)


# What is understood of a request's fields.


@pytest.mark.parametrize(
    ("host", "valid"),
    [
        (b"", True),
        (b"a", True),
        (b"a.example.org.", True),
        (b"a:80", True),
        (b"a:", True),
        (b"a:00080", True),
        (b"127.0.0.1:65535", True),
        (b"[::1]", True),
        (b"[::1]:443", True),
        (b"[::1]:", True),
        (b"xn--bcher-kva.example", True),
        (b"a%20b", True),
        (b"a_b", True),
        (b":", False),
        (b":80", False),
        (b"a:b", False),
        (b"a:80:80", False),
        (b"a:-1", False),
        (b"a:+1", False),
        (b"a:123456", False),
        (b"::1", False),
        (b"[", False),
        (b"]", False),
        (b"[]", False),
        (b"[]:80", False),
        (b"[::1", False),
        (b"::1]", False),
        (b"[[::1]", False),
        (b"[::1]]", False),
        (b"[::1]a", False),
        (b"[::1]80", False),
        (b"[:: 1]", False),
        (b"a[b", False),
        (b"a]b", False),
        (b"u@a", False),
        (b"u:p@a", False),
        (b"a/b", False),
        (b"a?b", False),
        (b"a#b", False),
        (b"a\\b", False),
        (b"a b", False),
        (b"a\tb", False),
        (b"a\0", False),
        (b"\xc3\xa4", False),
        (b'a"', False),
        (b"a<b>", False),
    ],
)
def test_a_host_is_a_name_or_an_address_with_an_optional_port(host: bytes, valid: bool) -> None:
    assert valid == valid_host(host)
    data = b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host
    if valid:
        assert host == read_request(data).host
    else:
        assert errors.BAD_REQUEST == refused_request(data)


def test_http_1_0_needs_no_host() -> None:
    assert read_request(b"GET / HTTP/1.0\r\n\r\n").host is None
    assert b"a" == read_request(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").host
    assert b"b" == read_request(b"GET http://b/ HTTP/1.0\r\n\r\n").host
    assert errors.BAD_REQUEST == refused_request(b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n")


def test_http_1_1_needs_a_host_even_beside_an_absolute_target() -> None:
    assert errors.BAD_REQUEST == refused_request(b"GET http://b/ HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize(
    ("value", "close", "keep_alive", "upgrade", "options"),
    [
        (b"close", True, False, False, None),
        (b"Keep-Alive", False, True, False, None),
        (b"keep-alive, Upgrade", False, True, True, None),
        (b"close,keep-alive", True, True, False, None),
        (b" , ,close,, ", True, False, False, None),
        (b"closed", False, False, False, [b"closed"]),
        (b"x-y, X-Z", False, False, False, [b"x-y", b"x-z"]),
        (b"Host, te, X-Forwarded-For, x-forwarded-new, X-Real-IP, Content-Length", False, False, False, None),
        (b"", False, False, False, None),
        (b'"close"', False, False, False, [b'"close"']),
        (b"close;q=1", False, False, False, [b"close;q=1"]),
    ],
)
def test_the_options_of_connection(
    value: bytes, close: bool, keep_alive: bool, upgrade: bool, options: list[bytes] | None
) -> None:
    for head in (read_request(get(b"Connection: " + value)), read_response(OK + lines(b"Connection: " + value))):
        assert close == head.close
        assert keep_alive == head.keep_alive
        assert upgrade == head.names_upgrade
        assert options == head.options
        assert [] == head.runs


def test_several_connection_fields_count_as_one() -> None:
    head = read_request(
        get(b"Connection: close", b"A: 1", b"Connection: b", b"B: 2", b"C: 3", b"Connection: c, keep-alive")
    )
    assert head.close
    assert head.keep_alive
    assert [b"A: 1\r\n"] == head.runs


def test_thousands_of_connection_options_and_fields_are_still_told_apart() -> None:
    options = b",".join(b"%x" % i for i in range(6000))
    head = read_request(
        get(b"Connection: " + options, *(b"x%d: y" % i for i in range(90)), b"5: 1", b"176f: 2"), max_bytes=1 << 20
    )
    assert [b"x%d: y\r\n" % i for i in range(90)] == head.runs


def test_an_expectation_of_100_continue_is_noted_and_passed_on() -> None:
    head = read_request(get(b"Expect: 100-Continue"))
    assert head.expects_continue
    assert [b"Expect: 100-Continue\r\n"] == head.runs


def test_an_expectation_of_http_1_0_is_ignored() -> None:
    head = read_request(b"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n")
    assert not head.expects_continue
    assert [] == head.runs


def test_another_expectation_is_the_backends_to_refuse() -> None:
    head = read_request(get(b"Expect: magic"))
    assert not head.expects_continue
    assert [b"Expect: magic\r\n"] == head.runs


@pytest.mark.parametrize(
    ("values", "trailers"),
    [
        ([b"trailers"], True),
        ([b"gzip, Trailers ;q=1"], False),
        ([b"gzip;q=1,\tTRAILERS "], True),
        ([b"gzip"], False),
        ([b"trailers", b"gzip"], True),
        ([b"gzip", b"trailers"], True),
        ([b"trailers", b"trailers"], True),
        ([b"xtrailers"], False),
    ],
)
def test_a_client_that_takes_trailers_is_known(values: list[bytes], trailers: bool) -> None:
    head = read_request(get(*(b"TE: " + value for value in values)))
    assert trailers == head.te_trailers
    assert [] == head.runs


@pytest.mark.parametrize(
    ("fields", "upgrade"),
    [
        ([b"Upgrade: websocket", b"Connection: Upgrade"], b"websocket"),
        ([b"Connection: keep-alive, upgrade", b"Upgrade: WebSocket/13"], b"WebSocket/13"),
        ([b"Upgrade: websocket", b"Connection: Upgrade", b"Content-Length: 0"], b"websocket"),
        ([b"Upgrade: websocket"], None),
        ([b"Connection: Upgrade"], None),
        ([b"Upgrade: websocket", b"Connection: keep-alive"], None),
        ([b"Upgrade:", b"Connection: Upgrade"], None),
        ([b"Upgrade: /1", b"Connection: Upgrade"], None),
        ([b"Upgrade: websocket", b"Upgrade: websocket", b"Connection: Upgrade"], None),
        ([b"Upgrade: websocket, other", b"Connection: Upgrade"], None),
        ([b"Upgrade: web socket", b"Connection: Upgrade"], None),
        ([b"Upgrade: \xe4", b"Connection: Upgrade"], None),
        ([b"Upgrade: HTTP/2.0", b"Connection: Upgrade"], None),
        ([b"Upgrade: websocket", b"Connection: Upgrade", b"Content-Length: 1"], None),
        ([b"Upgrade: websocket", b"Connection: Upgrade", b"Transfer-Encoding: chunked"], None),
    ],
)
def test_a_wish_for_another_protocol_is_passed_on_when_it_is_whole(fields: list[bytes], upgrade: bytes | None) -> None:
    head = read_request(get(*fields))
    assert upgrade == head.upgrade
    assert [] == head.runs


def test_http_1_0_cannot_upgrade() -> None:
    assert read_request(b"GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n").upgrade is None


def test_claims_about_the_client_are_kept_from_trusted_proxies_alone() -> None:
    fields = [
        b"X-Forwarded-For: 1.1.1.1",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: b",
        b"X-Forwarded-Port: 443",
        b"X-Forwarded-Prefix: /x",
        b"X-Forwarded-Server: s",
        b"X-Forwarded-Anything: z",
        b"Forwarded: for=1.1.1.1",
        b"X-Real-IP: 1.1.1.1",
        b"X-Forwarded-For: 2.2.2.2",
    ]
    head = read_request(get(*fields))
    assert [] == head.runs
    assert head.forwarded_for is None
    assert not head.has_forwarded_proto
    assert not head.has_forwarded_host
    head = read_request(get(*fields), trusted=True)
    assert [lines(*fields[1:8])[:-2]] == head.runs
    assert [b"1.1.1.1", b"2.2.2.2"] == head.forwarded_for
    assert head.has_forwarded_proto
    assert head.has_forwarded_host


def test_fields_with_underscores_are_passed_on_only_when_that_is_asked_and_they_shadow_no_field_of_ours() -> None:
    fields = [b"A_b: 1", b"X_Forwarded_For: 2", b"X-Real_IP: 3", b"content_length: 4", b"X-Forwarded_New: 5", b"_: 6"]
    assert [] == read_request(get(*fields)).runs
    assert [b"A_b: 1\r\n", b"_: 6\r\n"] == read_request(get(*fields), underscores=True).runs


# Answers.


def test_an_answer_is_taken_apart() -> None:
    head = read_response(b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nX: y\r\nUpgrade: h2\r\nKeep-Alive: 5\r\n\r\n")
    assert 404 == head.status
    assert b"404 Not Found" == head.line
    assert 3 == head.content_length
    assert [b"X: y\r\n"] == head.runs
    assert b"y" == head.get(b"x")


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        (b"HTTP/1.1 200 OK", b"200 OK"),
        (b"HTTP/1.1 200 ", b"200 "),
        (b"HTTP/1.1 200", b"200 "),
        (b"HTTP/1.0 100 Continue", b"100 Continue"),
        (b"HTTP/1.1 599 \xe4\t!", b"599 \xe4\t!"),
        (b"HTTP/1.1 200  two spaces", b"200  two spaces"),
    ],
)
def test_a_status_line_is_passed_on_with_its_reason(line: bytes, sent: bytes) -> None:
    assert sent == read_response(line + b"\r\n\r\n").line


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 200\tOK",
        b"HTTP/1.1 200OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1\t200 OK",
        b"HTTP/1.1 099 Low",
        b"HTTP/1.1 000 Low",
        b"HTTP/1.1 600 High",
        b"HTTP/1.1 999 High",
        b"HTTP/1.1 1000 High",
        b"HTTP/1.1 +20 OK",
        b"HTTP/1.1 -20 OK",
        b"HTTP/1.1 2x0 OK",
        b"HTTP/1.1",
        b"HTTP/1.1 ",
        b"HTTP/2.0 200 OK",
        b"HTTP/1.2 200 OK",
        b"HTTP/0.9 200 OK",
        b"HTTP/1.10 200 OK",
        b"http/1.1 200 OK",
        b" HTTP/1.1 200 OK",
        b"\r\nHTTP/1.1 200 OK",
        b"ICY 200 OK",
        b"<html>",
        b"SSH-2.0-OpenSSH_9.2",
        b"HTTP/1.1 200 O\0K",
        b"HTTP/1.1 200 O\rK",
        b"HTTP/1.1 200 O\nK",
        b"HTTP/1.1 200 OK\r",
        b"HTTP/1.1 200 OK\x7f",
        b"HTTP/1.1 200\0",
        b"HTTP/1.1 200\n",
    ],
)
def test_an_answer_that_begins_otherwise_is_refused(line: bytes) -> None:
    assert errors.BAD_REQUEST == refused_response(line + b"\r\nContent-Length: 0\r\n\r\n")


def test_an_answer_keeps_what_a_client_may_want_to_know_and_loses_what_is_between_neighbours() -> None:
    head = read_response(
        OK
        + lines(
            b"Server: s",
            b"TE: trailers",
            b"Proxy-Connection: x",
            b"Trailer: X-Sum",
            b"Transfer-Encoding: chunked",
            b"X_Y: 1",
            b"content_length: 7",
            b"Set-Cookie: a",
        )
    )
    assert [b"Server: s\r\n", b"Trailer: X-Sum\r\n", b"X_Y: 1\r\n", b"Set-Cookie: a\r\n"] == head.runs
    assert head.chunked


def test_the_upgrade_field_of_a_426_is_passed_on() -> None:
    head = read_response(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
    assert [b"Upgrade: websocket\r\n"] == head.runs


def test_the_upgrade_field_of_a_101_is_noted() -> None:
    head = read_response(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\nX: y\r\n\r\n")
    assert (b"websocket", True, [b"X: y\r\n"]) == (head.upgrade, head.names_upgrade, head.runs)


@pytest.mark.parametrize(
    ("status", "fields", "to_head", "how"),
    [
        (200, [b"Content-Length: 5"], False, framing.LENGTH),
        (200, [b"Content-Length: 0"], False, framing.LENGTH),
        (200, [b"Transfer-Encoding: chunked"], False, framing.CHUNKED),
        (200, [], False, framing.UNKNOWN),
        (205, [], False, framing.UNKNOWN),
        (200, [b"Content-Length: 5"], True, framing.NO_BODY),
        (200, [b"Transfer-Encoding: chunked"], True, framing.NO_BODY),
        (200, [], True, framing.NO_BODY),
        (204, [b"Content-Length: 5"], False, framing.NO_BODY),
        (304, [b"Content-Length: 5"], False, framing.NO_BODY),
        (304, [b"Transfer-Encoding: chunked"], False, framing.NO_BODY),
        (100, [b"Content-Length: 5"], False, framing.NO_BODY),
        (101, [], False, framing.NO_BODY),
        (199, [], False, framing.NO_BODY),
    ],
)
def test_how_the_end_of_an_answer_is_known(status: int, fields: list[bytes], to_head: bool, how: int) -> None:
    assert how == response_framing(read_response(b"HTTP/1.1 %d X\r\n" % status + lines(*fields)), to_head)


# Trailers.


def test_trailers_are_kept_but_for_those_that_frame_route_or_vouch() -> None:
    section = read_trailers(
        lines(
            b"Grpc-Status: 0",
            b"Content-Length: 5",
            b"Transfer-Encoding: chunked",
            b"Host: b",
            b"Connection: Grpc-Status",
            b"X-Forwarded-For: 1.1.1.1",
            b"X-Forwarded-New: 1",
            b"X_Y: 1",
            b"Upgrade: h2c",
            b"Expect: 100-continue",
            b"X-Sum: 7",
        )
    )
    assert [b"Grpc-Status: 0\r\n", b"X-Sum: 7\r\n"] == section.runs


def test_an_empty_trailer_section_is_one_empty_line() -> None:
    section = read_trailers(b"\r\n")
    assert (2, []) == (section.end, section.runs)


@pytest.mark.parametrize("data", [b"\n", b"\r\r", b" x: 1\r\n\r\n", b"x\r\n\r\n", b"x: 1\n\r\n", b"x: \0\r\n\r\n"])
def test_broken_trailers_are_refused(data: bytes) -> None:
    assert errors.BAD_REQUEST == refused_trailers(data)


def test_trailers_have_limits_of_their_own() -> None:
    data = lines(b"A: 1", b"B: 2")
    assert len(data) == read_trailers(data, max_bytes=len(data), max_fields=2).end
    assert errors.HEAD_TOO_LARGE == refused_trailers(data, max_bytes=len(data) - 1)
    assert errors.HEAD_TOO_LARGE == refused_trailers(data, max_fields=1)


def test_a_request_that_came_through_too_many_proxies_is_in_a_loop() -> None:
    """Every proxy adds a Via line; a balancer that is its own backend adds them until somebody says stop."""
    assert 16 == read_request(get(*[b"Via: 1.1 x"] * 16)).hops
    assert errors.LOOP == refused_request(get(*[b"Via: 1.1 x"] * 17))

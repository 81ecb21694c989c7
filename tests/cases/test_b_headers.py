"""B. Header fields: what reaches a backend is what was understood, and what a client claims is a claim.

docs/cases.md 16 to 27.
"""

import pytest

from steelyard.testing import faults
from tests.cases.scene import GET, all_of, faulty, refused, seen
from tests.real.client import HOST, chunked, request


@pytest.mark.parametrize(
    "fields",
    [
        b"",
        b"Host: a\r\nHost: a\r\n",
        b"Host: a\r\nX: y\r\nhost: b\r\n",
        b"Host: a, b\r\n",
        b"Host: a b\r\n",
        b"Host: a/b\r\n",
        b"Host: u@a\r\n",
        b"Host: a:b\r\n",
        b"Host: a\tb\r\n",
    ],
)
async def test_case_16_without_one_good_host_a_request_is_refused(fields: bytes) -> None:
    """RFC 9112 3.2 (a MUST), CVE-2026-34525."""
    await refused(GET + fields + b"\r\n")


@pytest.mark.parametrize(
    ("target", "origin", "host"),
    [
        ("http://right.example/a?b", "/a?b", "right.example"),
        ("http://right.example:81", "/", "right.example:81"),
        ("HTTP://right.example?x", "/?x", "right.example"),
    ],
)
async def test_case_17_the_authority_of_an_absolute_target_wins(target: str, origin: str, host: str) -> None:
    """RFC 9112 3.2.2: Host is ignored, and written anew."""
    got = await seen(f"GET {target} HTTP/1.1\r\nHost: wrong.example\r\n\r\n".encode())
    assert (origin, [host], [host]) == (got.target, all_of(got, "host"), all_of(got, "x-forwarded-host"))
    assert "wrong.example" not in str(got.headers)


@pytest.mark.parametrize("target", [b"http://u@a/", b"http:///a", b"http://", b"ftp://a/", b"a/b", b"*", b"//"])
async def test_case_17_a_target_without_a_plain_authority_is_refused(target: bytes) -> None:
    """RFC 9112 3.2, RFC 9110 4.2.4. (`//` is an origin form whose path is two slashes.)"""
    raw = b"GET " + target + b" HTTP/1.1\r\nHost: b\r\n\r\n"
    if target == b"//":
        assert "//" == (await seen(raw)).target
    else:
        await refused(raw)


@pytest.mark.parametrize("target", [b"/a#b", b"/#", b"/a?b#c", b"http://a/#b", b"/a%23#b"])
async def test_case_18_a_fragment_in_the_target_is_refused(target: bytes) -> None:
    """RFC 9112 3.2, CVE-2023-45539: HAProxy's rules saw what stands behind it as part of the path."""
    await refused(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")


@pytest.mark.parametrize("byte", [0, 10, 13, 1, 27, 127])
@pytest.mark.parametrize("where", [b"X: a%bb", b"X: %b", b"X: a%b", b"X%b: a"])
async def test_case_19_a_control_character_in_a_field_is_refused(byte: int, where: bytes) -> None:
    """RFC 9110 5.5 lets a recipient make a space of NUL, CR and LF; we refuse. HAProxy 2.6 forwards a NUL."""
    await refused(GET + b"Host: a\r\n" + where % bytes([byte]) + b"\r\n\r\n")


@pytest.mark.parametrize("target", [b"/a\x00b", b"/a\rb", b"/a\nb", b"/a b", b"/a\tb", b"/a\x7f", b"/\xff", b""])
async def test_case_19_a_control_character_in_the_target_is_refused(target: bytes) -> None:
    """RFC 9112 3.2: it has no whitespace either."""
    await refused(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")


async def test_case_19_a_tab_and_bytes_over_127_are_a_fields_own() -> None:
    """RFC 9110 5.5 allows both within a value: as obs-text they are passed on."""
    raw = request("GET", "/").replace(b"\r\n\r\n", b"\r\nX: a\tb\xe4\r\n\r\n")
    assert "a\tb\xe4" == (await seen(raw)).get("x")


@pytest.mark.parametrize("named", ["X-Hop", "x-hop", "close, X-Hop", "X-Hop , keep-alive", "foo,\tX-Hop"])
async def test_case_20_what_connection_names_goes_no_further(named: str) -> None:
    """RFC 9110 7.6.1 (a MUST). Neither nginx nor HAProxy removes them."""
    got = await seen(request("GET", "/", f"Connection: {named}", "X-Hop: 1", "X-Kept: 2"))
    assert (None, None, "2") == (got.get("connection"), got.get("x-hop"), got.get("x-kept"))


async def test_case_20_hop_by_hop_fields_go_no_further_unnamed() -> None:
    """RFC 9110 7.6.1: those of old need no naming. Trailer and TE: trailers are passed on, since trailers are."""
    got = await seen(request("GET", "/", "Keep-Alive: 5", "Proxy-Connection: x", "TE: gzip", "Upgrade: x"))
    assert [None] * 4 == [got.get(name) for name in ("keep-alive", "proxy-connection", "te", "upgrade")]


@pytest.mark.parametrize(
    "name",
    ["Host", "X-Forwarded-For", "X-Real-IP", "X-Forwarded-Proto", "X-Forwarded-Host", "Content-Length", "Via"],
)
async def test_case_20_our_own_fields_cannot_be_taken_away_by_naming_them(name: str) -> None:
    """RFC 9110 7.6.1; else Connection: X-Forwarded-For would make every client anonymous."""
    got = await seen(request("POST", "/", f"Connection: {name}", body=b"hello"))
    assert ["example.org", HOST, HOST, "http", "example.org", b"hello"] == [
        *map(got.get, ("host", "x-forwarded-for", "x-real-ip", "x-forwarded-proto", "x-forwarded-host")),
        got.body,
    ]
    assert "steelyard" in (got.get("via") or "")


async def test_case_20_chunks_are_chunks_though_connection_names_their_coding() -> None:
    """RFC 9110 7.6.1, RFC 9112 6.1: a body whose framing was taken away would be the next request."""
    raw = request("POST", "/", "Connection: Transfer-Encoding", "Transfer-Encoding: chunked") + chunked(b"hello")
    got = await seen(raw)
    assert ("chunked", b"hello", True) == (got.get("transfer-encoding"), got.body, got.whole)


async def test_case_20_what_an_answers_connection_names_goes_no_further() -> None:
    """RFC 9110 7.6.1, the other way: and what frames the answer cannot be taken away by naming it."""
    fields = {"Connection": "X-Hop, Content-Length", "X-Hop": "1", "Keep-Alive": "timeout=5", "Upgrade": "x", "X": "2"}
    async with faulty() as (lb, (one,)):
        one.fault = faults.Answer(headers=fields)
        answer = await lb.ask()
        assert [None] * 4 == [answer.get(name) for name in ("connection", "x-hop", "keep-alive", "upgrade")]
        assert ("2", "3", b"one") == (answer.get("x"), answer.get("content-length"), answer.body)


CLAIMS = ["X-Forwarded-For: 1.2.3.4", "X-Real-IP: 1.2.3.4", "Forwarded: for=1.2.3.4", "X-Forwarded-Proto: https"]


async def test_case_21_what_an_unknown_client_claims_of_itself_is_not_passed_on() -> None:
    """RFC 7239 8.1: anyone can write it."""
    got = await seen(request("GET", "/", *CLAIMS, "X-Forwarded-Anything: 1.2.3.4"))
    assert [[HOST], [HOST], ["http"]] == [
        all_of(got, name) for name in ("x-forwarded-for", "x-real-ip", "x-forwarded-proto")
    ]
    assert "1.2.3.4" not in str(got.headers)


@pytest.mark.parametrize(
    ("claimed", "client"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("6.6.6.6, 1.2.3.4", "1.2.3.4"),
        ("6.6.6.6, 1.2.3.4, 127.0.0.9", "1.2.3.4"),
        ("127.0.0.8, 127.0.0.9", "127.0.0.8"),
    ],
)
async def test_case_21_of_a_trusted_proxy_the_right_most_unknown_address_is_the_client(
    claimed: str, client: str
) -> None:
    """RFC 7239 8.1: what stands left of it anyone can have written; the peer is always added as the last."""
    got = await seen(request("GET", "/", f"X-Forwarded-For: {claimed}"), trusted_proxies=["127.0.0.0/8"])
    assert ([f"{claimed}, {HOST}"], client) == (all_of(got, "x-forwarded-for"), got.get("x-real-ip"))


@pytest.mark.parametrize("allowed", [False, True])
async def test_case_22_names_with_underscores_shadow_nothing(allowed: bool) -> None:
    """CGI and WSGI read X_Forwarded_For and X-Forwarded-For as one; where names with underscores pass, those do not."""
    fields = (
        "X_Forwarded_For: 1.2.3.4",
        "X-Forwarded_For: 1.2.3.4",
        "X_Real_IP: 1.2.3.4",
        "Content_Length: 7",
        "X_A: 1",
    )
    got = await seen(request("GET", "/", *fields), underscores_in_headers=allowed)
    assert ["x_a"] * allowed == [name for name, _ in got.headers if "_" in name]


async def test_case_23_proxy_is_dropped() -> None:
    """CVE-2016-5385 (httpoxy): CGI programs read it as HTTP_PROXY."""
    assert (await seen(request("GET", "/", "Proxy: http://evil", "PROXY: http://evil"))).get("proxy") is None


async def test_case_24_repeated_fields_stay_apart_and_in_order() -> None:
    """RFC 9110 5.3, on the way to the backend."""
    got = await seen(request("GET", "/", "X-A: 1", "Cookie: a=1", "x-a: 2", "X-A: 3, 4", "Cookie: b=2"))
    assert (["1", "2", "3, 4"], ["a=1", "b=2"]) == (all_of(got, "x-a"), all_of(got, "cookie"))


async def test_case_24_each_set_cookie_of_an_answer_is_a_field_of_its_own() -> None:
    """RFC 9110 5.3, RFC 6265 3: joined by commas, cookies cannot be told apart."""
    pairs = [("Set-Cookie", "a=1; Expires=Thu, 1 Jan"), ("X", "1"), ("set-cookie", "b=2"), ("X", "2"), ("X", "1")]
    async with faulty() as (lb, (one,)):
        one.fault = faults.Answer(headers=pairs)
        answer = await lb.ask()
        assert (["a=1; Expires=Thu, 1 Jan", "b=2"], ["1", "2", "1"]) == (answer.all("set-cookie"), answer.all("x"))


@pytest.mark.parametrize(
    "line",
    [b"X: a\x00b", b"X: a\rSet-Cookie: evil=1", b"X: a\nSet-Cookie: evil=1", b"X\x00: a", b"X : a", b": a", b" X: a"],
)
async def test_case_25_an_answer_with_a_control_character_is_a_502(line: bytes) -> None:
    """RFC 9110 5.5: response splitting; none of it is passed on, and the client's connection is good for the next."""
    async with faulty() as (lb, (one,)):
        one.script([faults.Raw(b"HTTP/1.1 200 OK\r\n" + line + b"\r\nContent-Length: 0\r\n\r\n")])
        client = await lb.client()
        answer = await client.ask()
        assert (502, None) == (answer.status, answer.get("set-cookie"))
        assert b"evil" not in answer.head + answer.body
        assert b"one" == (await client.ask()).body
        assert (2, ["bad_answer", "-"]) == (one.connections, lb.words())


@pytest.mark.parametrize(
    "target",
    [
        "/a%2fb",
        "//a//b",
        "/a/../b",
        "/a/./b",
        "/%2e%2e/b",
        "/?",
        "/a;b=c?d=//e/../f",
        "/%00",
        "/\\a",
        "/%zz",
        "/a%2F%61",
    ],
)
async def test_case_26_a_path_is_passed_on_as_it_came(target: str) -> None:
    """RFC 3986 6.2 is for comparing: what an application makes of its path is not ours to change."""
    assert target == (await seen(request("GET", target))).target


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/admin/x", 403),
        ("//admin/x", 403),
        ("/a/../admin/x", 403),
        ("/./admin/x", 403),
        ("/%61dmin/x", 403),
        ("/a/%2e%2e/admin/x", 403),
        ("/a%2f../admin/x", 400),
        ("/admin%2fx", 400),
        ("/a/..%2fadmin/x", 400),
    ],
)
async def test_case_26_routes_compare_what_a_backend_would_read(target: str, status: int) -> None:
    """No spelling of a path gets past a route; one that leads to two routes, read in two ways, is refused."""
    routes = [{"path": "/admin/*", "respond": {"status": 403}}, {"pool": "web"}]
    async with faulty(listener={"routes": routes}) as (lb, (one,)):
        assert status == (await lb.ask(target)).status
        assert 0 == one.connections


@pytest.mark.parametrize(
    "raw",
    [
        b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"TRACE * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_case_27_trace_and_connect_are_refused(raw: bytes) -> None:
    """RFC 9110 9.3.6 and 9.3.8: one shows cookies to scripts, the other makes an open proxy."""
    await refused(raw, 405)

"""What of a head is passed on, and what is not: docs/cases.md B, seen from a backend and from a client."""

import pytest

from tests.real.backends import Request, Script, Talk, backend
from tests.real.client import HOST, request
from tests.real.support import one_pool, running


async def seen(raw: bytes, **listener: object) -> Request:
    """The one request that a backend gets when a client sends these bytes."""
    async with backend() as behind, running(one_pool(behind.port, listener=listener)) as lb:
        client = await lb.client()
        client.send(raw)
        assert 200 == (await client.answer()).status
        assert 1 == len(behind.requests)
        return behind.requests[0]


def saying(raw: bytes) -> Script:
    """A backend that answers every request with these bytes."""

    async def script(talk: Talk) -> None:
        while True:
            await talk.request()
            talk.send(raw)

    return script


async def test_the_target_wins_over_host_in_absolute_form() -> None:
    """Case 17: the backend gets the origin form and the target's authority."""
    got = await seen(b"GET http://right.example:81/a?b HTTP/1.1\r\nHost: wrong.example\r\n\r\n")
    assert ("/a?b", ["right.example:81"]) == (got.target, got.all("host"))
    assert "right.example:81" == got.get("x-forwarded-host")


async def test_fields_that_connection_names_go_no_further() -> None:
    """Case 20: hop-by-hop fields are for us."""
    got = await seen(
        request("GET", "/", "Connection: close, X-Hop", "X-Hop: 1", "Keep-Alive: 5", "Proxy-Connection: x", "X-Kept: 2")
    )
    assert [None] * 4 == [got.get(name) for name in ("connection", "x-hop", "keep-alive", "proxy-connection")]
    assert "2" == got.get("x-kept")


@pytest.mark.parametrize("name", ["Host", "X-Forwarded-For", "X-Real-IP", "X-Forwarded-Proto", "Content-Length"])
async def test_a_client_cannot_strip_our_fields_by_naming_them(name: str) -> None:
    """Case 20: Connection: X-Forwarded-For must not make a client anonymous."""
    got = await seen(request("POST", "/", f"Connection: {name}", body=b"hello"))
    assert ("example.org", HOST, HOST) == (got.get("host"), got.get("x-forwarded-for"), got.get("x-real-ip"))
    assert ("http", b"hello") == (got.get("x-forwarded-proto"), got.body)


async def test_what_an_unknown_client_claims_about_itself_is_not_believed() -> None:
    """Case 21: without trusted proxies the peer's address is the whole truth."""
    got = await seen(
        request(
            "GET",
            "/",
            "X-Forwarded-For: 1.2.3.4",
            "X-Real-IP: 1.2.3.4",
            "Forwarded: for=1.2.3.4",
            "X-Forwarded-Proto: https",
        )
    )
    assert ([HOST], [HOST], ["http"]) == (
        got.all("x-forwarded-for"),
        got.all("x-real-ip"),
        got.all("x-forwarded-proto"),
    )
    assert b"1.2.3.4" not in got.head


async def test_a_trusted_proxys_claims_are_passed_on_with_its_own_address() -> None:
    """Case 21: the right-most address that no trusted proxy vouches for is the client."""
    got = await seen(
        request("GET", "/", "X-Forwarded-For: 6.6.6.6, 1.2.3.4, 127.0.0.9", "X-Forwarded-Proto: https"),
        trusted_proxies=["127.0.0.0/8"],
    )
    assert f"6.6.6.6, 1.2.3.4, 127.0.0.9, {HOST}" == got.get("x-forwarded-for")
    assert ("1.2.3.4", "https") == (got.get("x-real-ip"), got.get("x-forwarded-proto"))


async def test_names_with_underscores_are_dropped() -> None:
    """Case 22: CGI reads X_Forwarded_For and X-Forwarded-For as one."""
    got = await seen(request("GET", "/", "X_Forwarded_For: 1.2.3.4", "X_Any: 1"))
    assert b"_" not in got.head


async def test_with_underscores_allowed_those_that_shadow_ours_are_dropped_all_the_same() -> None:
    """Case 22: the switch is for an application's own names."""
    got = await seen(request("GET", "/", "X_Forwarded_For: 1.2.3.4", "X_Any: 1"), underscores_in_headers=True)
    assert ("1", None) == (got.get("x_any"), got.get("x_forwarded_for"))


async def test_proxy_is_dropped() -> None:
    """Case 23, CVE-2016-5385: CGI programs read it as HTTP_PROXY."""
    assert (await seen(request("GET", "/", "Proxy: http://evil"))).get("proxy") is None


async def test_repeated_fields_stay_apart_and_in_order() -> None:
    """Case 24, on the way to the backend."""
    got = await seen(request("GET", "/", "X-A: 1", "Cookie: a=1", "X-A: 2", "x-a: 3"))
    assert (["1", "2", "3"], ["a=1"]) == (got.all("x-a"), got.all("cookie"))


@pytest.mark.parametrize("target", ["/a%2fb", "//a//b", "/a/../b", "/a/%2e%2e/b", "/?", "/a;b=c?d=//e", "/%00", "/\\a"])
async def test_a_path_is_sent_on_as_it_came(target: str) -> None:
    """Case 26: an application's own reading of its path is not ours to change."""
    assert target == (await seen(request("GET", target))).target


@pytest.mark.parametrize(
    ("target", "status"),
    [("/admin/x", 403), ("//admin/x", 403), ("/a/../admin/x", 403), ("/%61dmin/x", 403), ("/a%2f../admin/x", 400)],
)
async def test_routes_compare_what_a_backend_would_read(target: str, status: int) -> None:
    """Case 26: no spelling of a path gets past a route; one that may be read in two ways is refused."""
    routes = [{"path": "/admin/*", "respond": {"status": 403}}, {"pool": "web"}]
    async with backend() as behind, running(one_pool(behind.port, listener={"routes": routes})) as lb:
        assert status == (await lb.ask(target)).status
        assert [] == behind.talks


async def test_each_set_cookie_stays_a_field_of_its_own() -> None:
    """Case 24: joined by commas, cookies cannot be told apart."""
    raw = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX: 1\r\nSet-Cookie: b=2\r\nX: 2\r\nContent-Length: 0\r\n\r\n"
    async with backend(saying(raw)) as behind, running(one_pool(behind.port)) as lb:
        answer = await lb.ask()
    assert (["a=1", "b=2"], ["1", "2"]) == (answer.all("set-cookie"), answer.all("x"))


BAD_ANSWERS = {
    "25 NUL in a value": b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "25 CR in a value": b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n",
    "25 LF in a value": b"HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n",
    "25 LF in the reason": b"HTTP/1.1 200 O\nK\r\nContent-Length: 0\r\n\r\n",
    "53 garbage": b"\x00\x01\x02 garbage\r\n\r\n",
    "53 HTTP/0.9": b"<html>hello</html>",
    "53 status 20": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "53 status 999": b"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
    "53 status 2000": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "53 a head of 1 MiB": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_048_576 + b"\r\n\r\n",
    "53 a thousand fields": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000 + b"\r\n",
    "53 two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "53 length and coding": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "53 an unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab",
    "53 a length of +1": b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
    "53 space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\na",
    "36 a 101 that nobody asked for": b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
async def test_an_answer_that_breaks_the_rules_is_a_502_and_none_of_it_is_passed_on(name: str) -> None:
    """Cases 25 and 53; the backend's connection is given up, the client's is kept."""
    async with backend(saying(BAD_ANSWERS[name])) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        answer = await client.ask()
        assert 502 == answer.status
        assert b"evil" not in answer.head
        assert "bad_answer" in lb.words()[0]
        assert 502 == (await client.ask()).status
        assert 2 == len(behind.talks)


async def test_a_chunked_answer_that_breaks_the_rules_is_cut_off() -> None:
    """Case 53: 200 has been said; what must not happen is that the answer looks whole."""
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0x5\r\nhello\r\n0\r\n\r\n"
    async with backend(saying(raw)) as behind, running(one_pool(behind.port)) as lb:
        answer = await lb.ask()
        assert (200, False) == (answer.status, answer.whole)
        assert b"0x5" not in answer.framed
        assert ["bad_answer"] == lb.words()

"""Stickiness on real sockets: a browser keeps its backend, as long as that serves."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.real.backends import Backend, Talk, backend, echo_name
from tests.real.client import Answer, Client, request
from tests.real.pooled import pooled
from tests.real.support import Running, running

SECRET = "a secret of these tests"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n"


async def serve(talk: Talk) -> None:
    """Its name; a tunnel where one is asked for; a cookie of its own."""
    while True:
        asked = await talk.request()
        if asked.get("upgrade"):
            talk.send(SWITCH + talk.backend.name.encode())
            await talk.ended()
            return
        talk.answer(talk.backend.name.encode(), "Set-Cookie: session=1; Path=/")


@asynccontextmanager
async def stage(names: str = "012", secret: str = SECRET) -> AsyncIterator[tuple[Running, list[Backend]]]:
    async with AsyncExitStack() as stack:
        behind = [await stack.enter_async_context(backend(serve, name)) for name in names]
        sticky = {"cookie": "lb", "secret": secret}
        spec = pooled([one.port for one in behind], {"name": "round_robin"}, sticky=sticky)
        yield await stack.enter_async_context(running(spec)), behind


class Browser:
    """A client that brings back the cookies that it was given, on a new connection each time."""

    def __init__(self) -> None:
        self.jar: dict[str, str] = {}

    async def get(self, lb: Running) -> str:
        """Who answers."""
        fields = ["Cookie: " + "; ".join(f"{name}={value}" for name, value in self.jar.items())] if self.jar else []
        answer = await lb.ask("/", *fields)
        assert 200 == answer.status
        self.keep(answer)
        return answer.body.decode()

    def keep(self, answer: Answer) -> None:
        for line in answer.all("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.jar[name] = value


async def test_a_browser_stays_where_it_was_and_strangers_go_round() -> None:
    async with stage() as (lb, _):
        browsers = [Browser() for _ in range(6)]
        for _ in range(4):
            assert list("012012") == [await browser.get(lb) for browser in browsers]
        assert all({"session", "lb"} == set(browser.jar) for browser in browsers)
        assert 3 == len({browser.jar["lb"] for browser in browsers})


async def test_the_cookie_comes_once() -> None:
    async with stage() as (lb, _):
        first = await lb.ask()
        (line,) = [line for line in first.all("set-cookie") if line.startswith("lb=")]
        again = await lb.ask("/", f"Cookie: {line.partition(';')[0]}")
        assert ["session=1; Path=/"] == again.all("set-cookie")
        assert first.body == again.body


async def test_a_browser_whose_backend_died_moves_and_stays_at_the_new_one() -> None:
    async with stage() as (lb, behind):
        browser = Browser()
        assert "0" == await browser.get(lb)
        before = browser.jar["lb"]
        await behind[0].stop()
        moved = await browser.get(lb)
        assert moved in "12"
        assert before != browser.jar["lb"]
        assert [moved] * 5 == [await browser.get(lb) for _ in range(5)]


async def test_a_browser_of_a_drained_backend_moves() -> None:
    async with stage() as (lb, _):
        browser = Browser()
        assert "0" == await browser.get(lb)
        lb.balancer.pool("web").backends[0].set_draining(True)
        moved = await browser.get(lb)
        assert "0" != moved
        lb.balancer.pool("web").backends[0].set_draining(False)
        assert moved == await browser.get(lb)


@pytest.mark.parametrize("forged", ["", "0", "A" * 22, '"', "\xff\xfe", "x" * 20000, "a; lb=b; lb=c", "=;=;="])
async def test_forged_cookies_are_no_error_and_lead_nowhere(forged: str) -> None:
    async with stage() as (lb, _):
        found = []
        for _ in range(6):
            client = await lb.client()
            answer = await client.ask("/", f"Cookie: lb={forged}")
            assert 2 == len(answer.all("set-cookie"))
            found.append(answer.body)
        assert [b"0", b"1", b"2"] * 2 == found


async def test_two_balancers_with_the_same_secret_agree_and_one_with_another_does_not() -> None:
    async with AsyncExitStack() as stack:
        behind = [await stack.enter_async_context(backend(echo_name, name)) for name in "012"]
        ports = [one.port for one in behind]
        one, same, other = [
            await stack.enter_async_context(running(pooled(order, {}, sticky={"cookie": "lb", "secret": secret})))
            for order, secret in ((ports, SECRET), (ports[::-1], SECRET), (ports, SECRET[::-1]))
        ]
        browser = Browser()
        where = await browser.get(one)
        assert [where] * 4 == [await browser.get(same) for _ in range(4)]
        cookie = f"Cookie: lb={browser.jar['lb']}"
        assert {b"0", b"1", b"2"} == {(await other.ask("/", cookie)).body for _ in range(3)}


async def test_a_tunnel_comes_back_to_where_it_was() -> None:
    async with stage() as (lb, _):
        first: Client = await lb.client()
        first.send(request("GET", "/", "Connection: Upgrade", "Upgrade: raw"))
        head = await first.head()
        assert 101 == head.status
        cookie = head.get("set-cookie")
        assert cookie is not None
        assert b"0" == await first.reader.readexactly(1)
        first.close()
        for _ in range(4):
            assert b"0" == (await lb.ask("/", f"Cookie: {cookie.partition(';')[0]}")).body

"""Each policy on real sockets, reached by its name: what its nature is, a client can see.

`NATURES` has a row for every registered policy; one without a row fails. What exactly each promises, and how well it
keeps that, is the matter of tests/core/policies; here it is that the whole way from its name to its choice is open.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import pytest

import steelyard.core.policies  # noqa: F401 (registers them)
from steelyard.core.policy import names
from tests.real.backends import Backend, Talk, backend, echo_name
from tests.real.client import request
from tests.real.pooled import pooled
from tests.real.support import HandClock, Running, running, until

# That one of three backends gets none of 60 keys, where each is as likely: 3 x (2/3)^60, about 10^-10.
KEYS: Final = [f"k{n}" for n in range(60)]
QUICK_S: Final = 0.002
SLOW_S: Final = 0.2
UNBOUNDED: Final = {"retry": {"budget": "off"}}


class Stage:
    """A balancer and three backends, called 0 to 2. A backend in `held` keeps its requests until it is taken out.

    A request takes QUICK_S, or SLOW_S at one in `slow`, by a clock that nothing else moves on.
    """

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.slow: set[str] = set()
        self.holds = 0
        self.let_go = asyncio.Event()
        self.clock = HandClock()
        self.backends: list[Backend] = []
        self.lb: Running

    async def answer(self, talk: Talk) -> None:
        name = talk.backend.name
        while True:
            await talk.request()
            if name in self.held:
                self.holds += 1
                await self.let_go.wait()
                self.holds -= 1
            self.clock.turn(SLOW_S if name in self.slow else QUICK_S)
            talk.answer(name.encode())

    async def ask(self, sent: bytes) -> str:
        """One request on a connection of its own; the name of who answered."""
        client = await self.lb.client()
        client.send(sent)
        found = await client.answer()
        assert 200 == found.status
        client.close()
        return found.body.decode()

    async def get(self, times: int, *fields: str) -> list[str]:
        """So many requests, one after the other."""
        return [await self.ask(request("GET", "/", *fields)) for _ in range(times)]

    async def hold(self) -> asyncio.Task[str]:
        """A request that a backend keeps."""
        before = self.holds
        task = asyncio.create_task(self.ask(request("GET", "/")))
        await until(lambda: self.holds > before, "a backend holds it")
        return task


@asynccontextmanager
async def staged(policy: Mapping[str, Any], **settings: Any) -> AsyncIterator[Stage]:
    stage = Stage()
    async with AsyncExitStack() as stack:
        for name in "012":
            stage.backends.append(await stack.enter_async_context(backend(stage.answer, name)))
        ports = [one.port for one in stage.backends]
        stage.lb = await stack.enter_async_context(running(pooled(ports, policy, **settings), stage.clock))
        yield stage


# Natures.


async def rotates(name: str) -> None:
    """Everyone in turn, exactly."""
    async with staged({"name": name}) as stage:
        assert list("012012012") == await stage.get(9)


async def keeps_clients(name: str) -> None:
    """A client stays; new ones rotate."""
    async with staged({"name": name}, trusted=True) as stage:
        for _ in range(3):
            found = [(await stage.get(1, f"X-Forwarded-For: 192.0.2.{client}"))[0] for client in range(9)]
            assert list("012012012") == found


async def hashes(name: str) -> None:
    """Equal keys to the same backend, different ones to all."""
    async with staged({"name": name, "key": "header:X-User"}) as stage:
        first = {key: (await stage.get(1, f"X-User: {key}"))[0] for key in KEYS}
        assert set("012") == set(first.values())
        assert first == {key: (await stage.get(1, f"X-User: {key}"))[0] for key in KEYS}


async def is_fair_by_chance(name: str) -> None:
    """300 requests: 100 for each, within five standard deviations of 8.2."""
    async with staged({"name": name}) as stage:
        counts = Counter(await stage.get(300))
    assert all(59 <= counts[one] <= 141 for one in "012")


async def minds_load(name: str) -> None:
    """Who has more in flight than another is not asked, and everyone else is."""
    async with staged({"name": name}) as stage:
        stage.held = set("012")
        tasks = [await stage.hold()]
        (busy,) = [one.name for one in stage.backends if one.talks]
        stage.held = set()
        found = Counter(await stage.get(40))
        assert set("012") - {busy} == set(found)
        stage.let_go.set()
        assert [busy] == await asyncio.gather(*tasks)


async def minds_time(name: str) -> None:
    """Everyone is asked, sooner or later; and a slow one far less than the others.

    Slow is a hundred times what an answer takes else. Of 60 requests one that looks at nothing gives it 20, with a
    standard deviation of 3.7 at most.
    """
    async with staged({"name": name}) as stage:
        await stage.get(300)
        for one in stage.backends:
            assert one.requests, f"{one.name} never got a request"
        stage.slow = {"1"}
        counts = Counter(await stage.get(60))
        assert counts["1"] < 10


async def fills(name: str) -> None:
    """The first, to its limit, then the next; and the first again as soon as there is room."""
    async with staged({"name": name}, each={"max_connections": 2}) as stage:
        assert ["0"] * 5 == await stage.get(5)
        stage.held = set("012")
        tasks = [await stage.hold() for _ in range(5)]
        assert [2, 2, 1] == [backend.in_flight for backend in stage.lb.balancer.pool("web").backends]
        stage.held = set()
        stage.let_go.set()
        assert list("00112") == await asyncio.gather(*tasks)
        assert ["0"] * 3 == await stage.get(3)


NATURES: Final[dict[str, Callable[[str], Awaitable[None]]]] = {
    "round_robin": rotates,
    "sticky_round_robin": keeps_clients,
    "hash": hashes,
    "consistent_hash": hashes,
    "maglev": hashes,
    "rendezvous": hashes,
    "random": is_fair_by_chance,
    "power_of_two": minds_load,
    "least_connections": minds_load,
    "least_response_time": minds_time,
    "peak_ewma": minds_time,
    "prequal": minds_time,
    "first": fills,
}


@pytest.mark.parametrize("name", names())
async def test_a_policy_that_is_named_does_what_its_name_says(name: str) -> None:
    await NATURES[name](name)


@pytest.mark.parametrize("name", names())
async def test_one_that_is_dead_is_gone_round_by_every_policy(name: str) -> None:
    """The request that finds it is tried elsewhere: nobody sees an error."""
    async with staged({"name": name}, pool=UNBOUNDED) as stage:
        await stage.backends[1].stop()
        assert set(await stage.get(12)) <= {"0", "2"}


# Keys.


def by(kind: str, key: str) -> bytes:
    """A request whose part of this kind is the key, and whose other parts are all the same."""
    if kind == "body":
        body = b'{"n": [1, {"user": "%b"}], "same": "x"}' % key.encode()
        return request("POST", "/", "Content-Type: application/json", body=body)
    return {
        "client_ip": request("GET", "/", f"X-Forwarded-For: 192.0.2.{key[1:]}"),
        "path": request("GET", f"/{key}?q=1"),
        "url": request("GET", f"/?q={key}"),
        "header": request("GET", "/", f"X-User: {key}"),
        "cookie": request("GET", "/", f"Cookie: a=b; user={key}"),
        "query": request("GET", f"/?a=b&user={key}"),
    }[kind]


@pytest.mark.parametrize(
    "key",
    ["client_ip", "path", "url", "header:X-User", "cookie:user", "query:user", "body:n.1.user", "body:n.1.user[:4]"],
)
async def test_every_kind_of_key_is_read_from_the_wire(key: str) -> None:
    kind = key.partition(":")[0]
    async with staged({"name": "hash", "key": key}, trusted=True) as stage:
        first = {one: await stage.ask(by(kind, one)) for one in KEYS}
        assert set("012") == set(first.values())
        assert first == {one: await stage.ask(by(kind, one)) for one in KEYS}


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("path", request("GET", "/a?b=1"), request("GET", "/a?b=2")),
        ("query:a", request("GET", "/x?a=b%20c"), request("GET", "/y?z=1&a=b+c&a=d")),
        ("cookie:a", request("GET", "/", "Cookie: a=1; b=2"), request("GET", "/", "Cookie: b=3", "Cookie: a=1; a=9")),
        (
            "body:a[:3]",
            request("POST", "/", "Content-Type: application/json", body=b'{"a": "xyz1"}'),
            request("PUT", "/x", "Content-Type: a/b+json", "X: y", body=b' {"b": {}, "a" : "\\u0078yz2"} '),
        ),
    ],
)
async def test_what_is_no_part_of_the_key_does_not_count(key: str, one: bytes, other: bytes) -> None:
    """Twenty of each: by chance all would meet once in 3^39."""
    async with staged({"name": "hash", "key": key}) as stage:
        assert 1 == len({await stage.ask(sent) for sent in [one, other] * 20})


@pytest.mark.parametrize("key", ["header:X-User", "cookie:user", "query:user", "body:user"])
async def test_requests_without_the_key_are_spread(key: str) -> None:
    async with staged({"name": "hash", "key": key}) as stage:
        assert set("012") == set(await stage.get(60))


async def test_a_policy_is_asked_about_those_that_are_left_by_a_retry() -> None:
    """The key's backend closes without an answer: the same request goes to one of the others."""

    async def closes(talk: Talk) -> None:
        await talk.request()

    async with AsyncExitStack() as stack:
        behind = [await stack.enter_async_context(backend(script, "x")) for script in (closes, echo_name)]
        lb = await stack.enter_async_context(
            running(pooled([one.port for one in behind], {"name": "hash", "key": "path"}, pool=UNBOUNDED))
        )
        for key in KEYS[:8]:
            assert b"x" == (await lb.ask(f"/{key}")).body
        assert 8 == len(behind[1].requests)

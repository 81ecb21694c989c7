"""What the cases share: a balancer in front of faulty backends, and what a refusal looks like from outside."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from steelyard.testing import FaultyBackend
from steelyard.testing.faults import Fault
from steelyard.testing.talk import Request
from tests.real.client import Client
from tests.real.support import Running, one_pool, running, until

GET: Final = b"GET / HTTP/1.1\r\n"
POST: Final = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED: Final = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@asynccontextmanager
async def faulty(
    *names: str, listener: Mapping[str, Any] | None = None, **pool: Any
) -> AsyncIterator[tuple[Running, list[FaultyBackend]]]:
    """A balancer in front of a backend of each name (one without a word), in round robin from the first one on.

    pool: what the pool has beside its backends. Afterwards all counts of the balancer are 0 and no task of it is left.
    """
    async with AsyncExitStack() as stack:
        behind = [await stack.enter_async_context(FaultyBackend(name)) for name in names or ("one",)]
        config = one_pool(*[one.port for one in behind], listener=listener, pool=pool)
        yield await stack.enter_async_context(running(config)), behind


def timeouts(**given: str) -> dict[str, Any]:
    """The `timeouts` of a listener or of a pool."""
    return {"timeouts": given}


async def see_refusal(client: Client, status: int) -> None:
    """The status, a word of its end, nothing behind it, and a FIN, for a reset would raise here."""
    answer = await client.answer()
    assert status == answer.status
    assert "close" == answer.get("connection")
    assert b"" == await client.rest()


async def refused(raw: bytes, status: int = 400, **listener: Any) -> None:
    """These bytes are refused, nothing reaches the backend, and the next client's request is the first one there."""
    async with faulty(listener=listener) as (lb, (one,)):
        client = await lb.client()
        client.send(raw)
        await see_refusal(client, status)
        assert 0 == one.connections
        assert 200 == (await lb.ask("/after")).status
        assert ["/after"] == [seen.target for seen in one.requests]


async def never_whole(first: bytes, then: bytes, status: int = 400) -> None:
    """The first part has gone out when the second one is refused: the backend never has a whole request."""
    async with faulty() as (lb, (one,)):
        client = await lb.client()
        client.send(first)
        await until(lambda: one.requests and one.requests[0].body)
        client.send(then)
        await see_refusal(client, status)
        await until(lambda: one.open == 0)
        assert [False] == [seen.whole for seen in one.requests]
        assert [] == one.malformed, "bytes that break the rules were passed on"


async def seen(raw: bytes, fault: Fault | None = None, **listener: Any) -> Request:
    """The one request that the backend gets when a client sends these bytes, which is answered 200."""
    async with faulty(listener=listener) as (lb, (one,)):
        one.fault = fault
        client = await lb.client()
        client.send(raw)
        assert 200 == (await client.answer()).status
        (request,) = one.requests
        return request


def all_of(request: Request, name: str) -> list[str]:
    """Every value of a header, in order."""
    return [value for key, value in request.headers if key == name]

"""Keys out of JSON bodies on real sockets: the body is read, and passed on as it came."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import pytest

from tests.real.backends import Backend, backend
from tests.real.client import chunked, request
from tests.real.pooled import pooled
from tests.real.support import Running, running, until

JSON: Final = "Content-Type: application/json"
KEY: Final = "messages.0.content[:256]"
TWENTY: Final = range(20)  # by chance they would meet at one of three backends once in 3^19


@asynccontextmanager
async def stage(key: str = KEY) -> AsyncIterator[tuple[Running, list[Backend]]]:
    async with AsyncExitStack() as stack:
        behind = [await stack.enter_async_context(backend(name=name)) for name in "012"]
        spec = pooled([one.port for one in behind], {"name": "hash", "key": f"body:{key}"})
        yield await stack.enter_async_context(running(spec)), behind


def chat(prompt: str, **more: object) -> bytes:
    """What a model server is asked."""
    return json.dumps({"model": "m", **more, "messages": [{"role": "user", "content": prompt}]}).encode()


async def ask(lb: Running, *pieces: bytes) -> str:
    """One request in pieces that the balancer reads one by one; who answered."""
    client = await lb.client()
    for piece in pieces:
        await client.send_all(piece)
        await asyncio.sleep(0)
    answer = await client.answer()
    assert 200 == answer.status
    client.close()
    return answer.body.decode()


def framed(body: bytes, framing: str) -> bytes:
    if framing == "length":
        return request("POST", "/", JSON, body=body)
    return request("POST", "/", JSON, "Transfer-Encoding: chunked") + chunked(body[:9], body[9:])


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_requests_that_begin_alike_meet_at_one_backend(framing: str) -> None:
    """The first 256 characters of a prompt are the key: neither what comes behind them counts, nor any other field."""
    async with stage() as (lb, behind):
        bodies = [chat("system prompt " * 20 + str(n), temperature=n) for n in TWENTY]
        assert 1 == len({await ask(lb, framed(body, framing)) for body in bodies})
        assert bodies == [seen.body for one in behind for seen in one.requests]
        others = [chat(f"{n} system prompt") for n in range(60)]
        assert set("012") == {await ask(lb, framed(body, framing)) for body in others}


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_in_any_pieces_is_the_same_body(framing: str) -> None:
    async with stage() as (lb, behind):
        sent = framed(chat("hello"), framing)
        whole = await ask(lb, sent)
        for size in (1, 7, 50):
            assert whole == await ask(lb, *[sent[at : at + size] for at in range(0, len(sent), size)])
        (one,) = [one for one in behind if one.requests]
        assert [chat("hello")] * 4 == [seen.body for seen in one.requests]
        assert 1 == len({seen.framed for seen in one.requests})


async def test_no_backend_hears_of_a_request_before_its_body_is_whole() -> None:
    async with stage() as (lb, behind):
        client = await lb.client()
        sent = framed(chat("hello"), "length")
        client.send(sent[:-1])
        await lb.ask("/")  # one more request has gone all the way, so the first has been read
        assert 1 == sum(len(one.talks) for one in behind)
        client.send(sent[-1:])
        assert 200 == (await client.answer()).status


async def test_a_client_that_expects_100_is_told_to_go_on_once() -> None:
    """The backends here never say 100."""
    async with stage() as (lb, behind):
        client = await lb.client()
        body = chat("hello")
        client.send(request("POST", "/", JSON, "Expect: 100-continue", f"Content-Length: {len(body)}"))
        assert 100 == (await client.head()).status
        client.send(body)
        assert 200 == (await client.head()).status
        assert [body] == [seen.body for one in behind for seen in one.requests]


@pytest.mark.parametrize(
    "body",
    [
        b"{" + b"[" * 60000,
        b'{"messages": ' + b"9" * 60000 + b"}",
        b'{"messages": [{"content": "\xff"}]}',
        chat("x" * 100_000),
        b"\x00" * 65536,
    ],
    ids=["deep", "huge number", "no text", "too long", "zeros"],
)
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_what_has_no_key_in_it_is_passed_on_as_it_came(framing: str, body: bytes) -> None:
    async with stage() as (lb, behind):
        await ask(lb, framed(body, framing))
        assert [body] == [seen.body for one in behind for seen in one.requests]


async def test_bodies_of_other_kinds_are_passed_on_and_spread() -> None:
    async with stage("user") as (lb, behind):
        body = b'{"user": "same"}'
        kinds = ["Content-Type: text/plain", "Content-Encoding: gzip", "X: y"]
        found = {await ask(lb, request("POST", "/", kinds[n % 3], body=body)) for n in range(60)}
        assert set("012") == found
        assert [body] * 60 == [seen.body for one in behind for seen in one.requests]


async def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing() -> None:
    async with stage() as (lb, behind):
        client = await lb.client()
        client.send(framed(chat("hello"), "length")[:-5])
        await lb.ask("/")
        client.reset()
        await until(lambda: "client_gone" in lb.words())
        assert [[]] * 2 == [one.talks for one in behind if not one.requests]


async def test_many_bodies_on_one_connection_keep_their_order() -> None:
    async with stage() as (lb, _):
        client = await lb.client()
        prompts = [f"prompt {n}" for n in range(12)]
        alone = [await ask(lb, framed(chat(prompt), "length")) for prompt in prompts]
        client.send(
            b"".join(framed(chat(prompt), "chunked" if n % 2 else "length") for n, prompt in enumerate(prompts))
        )
        assert alone == [(await client.answer()).body.decode() for _ in prompts]

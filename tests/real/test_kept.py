"""Kept connections and whose bytes are whose: docs/cases.md F 59 to 61, and keep-alive on both sides."""

import asyncio
import random

from tests.real.backends import Talk, backend
from tests.real.client import request
from tests.real.support import one_pool, running, until


async def test_many_requests_of_many_clients_share_few_connections() -> None:
    """As many connections to the backend as requests were in flight at once, and no more."""
    async with backend() as behind, running(one_pool(behind.port)) as lb:
        for _ in range(20):
            assert 200 == (await lb.ask()).status
        assert 1 == len(behind.talks)


async def test_a_backend_that_closes_after_each_answer_costs_no_request() -> None:
    """Case 59: it does not say so, and closes in the very moment of the next request. Each is tried anew, unseen."""

    async def script(talk: Talk) -> None:
        for _ in range(3):
            await talk.request()
            talk.answer(b"bye")

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        for number in range(300):
            assert 200 == (await client.ask(f"/{number}")).status
        assert {"-"} == set(lb.words())
        assert 300 == len(behind.requests)


async def test_clients_see_no_error_while_backends_time_out_at_random() -> None:
    """Case 59: idle times around the backend's own limit, eight clients at once."""
    chance = random.Random(59)

    async def script(talk: Talk) -> None:
        asked = await talk.request()
        while True:
            talk.answer(asked.target.encode())
            try:
                async with asyncio.timeout(0.005):
                    asked = await talk.request()
            except TimeoutError:
                return

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:

        async def asking(name: int) -> None:
            client = await lb.client()
            for number in range(100):
                path = f"/{name}/{number}"
                answer = await client.ask(path)
                assert (200, path.encode()) == (answer.status, answer.body)
                await asyncio.sleep(chance.uniform(0.003, 0.007))

        async with asyncio.TaskGroup() as tasks:
            for name in range(8):
                tasks.create_task(asking(name))
        assert {"-"} == set(lb.words())
        assert 8 < len(behind.talks)


async def test_bytes_that_nobody_asked_for_reach_nobody() -> None:
    """Case 60: a second answer, at once or later, on an idle connection ends that connection."""

    async def script(talk: Talk) -> None:
        asked = await talk.request()
        talk.answer(asked.target.encode())
        if asked.target.startswith("/later"):
            await talk.writer.drain()
            await asyncio.sleep(0.05)
        talk.answer(b"evil")
        await talk.ended()

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        for number, path in enumerate(["/now", "/later", "/now", "/later", "/end"]):
            assert path.encode() == (await client.ask(path)).body
            await until(lambda number=number: behind.talks[number].how != "open")  # type: ignore[misc]
        assert 5 == len(behind.talks)


async def test_a_stray_answer_behind_a_bare_one_reaches_nobody() -> None:
    """Case 60: what follows a HEAD's head would be taken for the next answer by a careless reader."""

    async def script(talk: Talk) -> None:
        while True:
            asked = await talk.request()
            talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
            talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil" if asked.method == "HEAD" else b"good")

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        for _ in range(10):
            client.send(request("HEAD", "/") + request("GET", "/"))
            assert 200 == (await client.answer(to_head=True)).status
            assert b"good" == (await client.answer()).body


async def test_connection_close_is_kept_on_both_sides() -> None:
    """A backend that says it closes is dialled anew; a client that says it closes gets a close."""

    async def script(talk: Talk) -> None:
        while True:
            asked = await talk.request()
            assert asked.get("connection") is None
            talk.answer(b"x", "Connection: close")

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        for _ in range(3):
            answer = await client.ask()
            assert (200, None) == (answer.status, answer.get("connection"))
        last = await client.ask("/", "Connection: close")
        assert (200, "close") == (last.status, last.get("connection"))
        assert b"" == await client.rest()
        assert 4 == len(behind.talks)


async def test_no_more_connections_are_kept_than_allowed() -> None:
    """Ten at once, two stay."""

    async def script(talk: Talk) -> None:
        while True:
            await talk.request()
            await until(lambda: len(talk.backend.requests) >= 10)
            talk.answer(b"x")

    async with backend(script) as behind, running(one_pool(behind.port, pool={"max_idle": 2})) as lb:
        answers = await asyncio.gather(*[lb.ask() for _ in range(10)])
        assert [200] * 10 == [answer.status for answer in answers]
        await until(lambda: sum(talk.how == "open" for talk in behind.talks) == 2)

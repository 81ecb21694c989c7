"""Answers before the answer, and answers before the request's end: docs/cases.md C 28 to 30 and 35."""

import pytest

from tests.real.backends import Talk, backend
from tests.real.client import request
from tests.real.support import one_pool, running, until

EXPECT = request("POST", "/", "Expect: 100-continue", "Content-Length: 5")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


async def test_a_client_that_expects_100_gets_the_backends_and_sends_its_body_once() -> None:
    """Case 28: the expectation is the backend's to answer."""

    async def script(talk: Talk) -> None:
        asked = await talk.head()
        assert "100-continue" == asked.get("expect")
        talk.send(CONTINUE)
        await talk.body(asked)
        talk.answer(b"thanks")

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(EXPECT)
        assert 100 == (await client.head()).status
        client.send(b"hello")
        assert b"thanks" == (await client.answer()).body
        assert [b"hello"] == [seen.body for seen in behind.requests]
        assert bytes(behind.talks[0].received).endswith(b"\r\n\r\nhello")


@pytest.mark.parametrize("status", ["417 Expectation Failed", "413 Content Too Large"])
async def test_a_refused_expectation_is_passed_on_and_the_connection_ends(status: str) -> None:
    """Case 29: whether the body still comes cannot be known, so no next request is read from there."""

    async def script(talk: Talk) -> None:
        await talk.head()
        talk.answer(b"no", status=status)
        await talk.ended()

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(EXPECT)
        answer = await client.answer()
        assert (int(status[:3]), b"no", "close") == (answer.status, answer.body, answer.get("connection"))
        client.send(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"" == await client.rest()
        await until(lambda: behind.talks[0].how != "open")
        assert b"smuggled" not in behind.talks[0].received


@pytest.mark.parametrize("status", [100, 102, 103])
async def test_interim_answers_nobody_asked_for_leave_the_final_one_whole(status: int) -> None:
    """Case 30: they are passed on, and nginx 1.22's hang is not ours."""

    async def script(talk: Talk) -> None:
        while True:
            await talk.request()
            talk.send(b"HTTP/1.1 %d Early\r\nLink: </a>\r\n\r\n" % status)
            talk.answer(b"final")

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        for _ in range(2):
            client.get()
            early = await client.head()
            assert (status, "</a>") == (early.status, early.get("link"))
            assert b"final" == (await client.answer()).body


async def test_an_http_1_0_client_sees_no_interim_answer() -> None:
    """RFC 9110 15.2: HTTP/1.0 knows none."""

    async def script(talk: Talk) -> None:
        await talk.request()
        talk.send(b"HTTP/1.1 103 Early\r\n\r\n")
        talk.answer(b"final")

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(request("GET", "/", version="1.0"))
        assert (await client.rest()).startswith(b"HTTP/1.1 200 ")


async def test_an_early_answer_is_delivered_at_once_and_its_connection_is_not_reused() -> None:
    """Case 35: the rest of the upload would be read as the next request there."""

    async def script(talk: Talk) -> None:
        asked = await talk.head()
        if asked.method == "POST":
            talk.answer(b"enough", status="403 Forbidden")
            await talk.ended()
        else:
            talk.answer(b"fresh")
            await talk.ended()

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(request("POST", "/", "Content-Length: 1000000") + b"x" * 1000)
        answer = await client.answer()
        assert (403, b"enough", "close") == (answer.status, answer.body, answer.get("connection"))
        client.send(b"y" * 999_000)
        assert b"" == await client.rest()
        assert b"fresh" == (await lb.ask()).body
        assert 2 == len(behind.talks)
        await until(lambda: behind.talks[0].how != "open")

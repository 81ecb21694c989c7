"""Answers that break off: never retried, never made to look whole. docs/cases.md E 49 and 52."""

import asyncio
from typing import Final

import pytest

from tests.real.backends import Talk, echo_name
from tests.real.client import request
from tests.real.stage import stage


async def reset_in_head(talk: Talk) -> None:
    await talk.request()
    talk.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    await talk.writer.drain()
    await asyncio.sleep(0.05)  # a RST takes unread bytes with it: let them be read first
    talk.reset()


HALF: Final = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "within a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhello",
}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("half", HALF)
async def test_an_answer_that_breaks_off_is_never_retried_and_never_looks_whole(half: str, how: str) -> None:
    """CASES 49 and 52: the part that came is delivered, and its end is missing."""

    async def script(talk: Talk) -> None:
        await talk.request()
        talk.send(HALF[half])
        await talk.writer.drain()
        await asyncio.sleep(0.05)
        if how == "reset":
            talk.reset()

    async with stage(script, echo_name) as (lb, behind):
        answer = await lb.ask()
        assert (200, False) == (answer.status, answer.whole)
        assert [] == behind[1].talks
        assert ["truncated"] == lb.words()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_close_delimited_answer_that_is_reset_never_looks_whole(version: str) -> None:
    """CASES 49: to an HTTP/1.1 client the last chunk is missing; to an HTTP/1.0 one only a reset can say it."""

    async def script(talk: Talk) -> None:
        await talk.request()
        talk.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await talk.writer.drain()
        await asyncio.sleep(0.05)
        talk.reset()

    async with stage(script) as (lb, _):
        client = await lb.client()
        client.send(request("GET", "/", version=version))
        if version == "1.1":
            assert not (await client.answer()).whole
        else:
            with pytest.raises(ConnectionResetError):
                await client.rest()
        assert ["truncated"] == lb.words()


async def test_a_reset_within_the_head_is_a_502() -> None:
    """CASES 52: bytes of the answer had come, so it is not asked for again."""
    async with stage(reset_in_head, echo_name) as (lb, behind):
        assert 502 == (await lb.ask()).status
        assert [] == behind[1].talks

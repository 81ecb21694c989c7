"""Answers that break off: never retried, never made to look whole. docs/cases.md E 49 and 52."""

import asyncio
from contextlib import suppress
from typing import Final

import pytest

from tests.real.backends import Talk, echo_name
from tests.real.client import request
from tests.real.kernel import in_kernel
from tests.real.stage import stage
from tests.real.support import until


async def reset_in_head(talk: Talk) -> None:
    await talk.request()
    talk.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    # A RST may take unread bytes with it: let them be read first.
    await until(lambda: not talk.writer.transport.get_write_buffer_size() and not in_kernel(talk.backend.port))
    talk.reset()


# The field that frames the body, and so much of the body as comes.
HALF: Final = {
    "length": ("Content-Length: 100", b"hello"),
    "chunked": ("Transfer-Encoding: chunked", b"5\r\nhello\r\n"),
    "within a chunk": ("Transfer-Encoding: chunked", b"64\r\nhello"),
}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("half", HALF)
async def test_an_answer_that_breaks_off_is_never_retried_and_never_looks_whole(half: str, how: str) -> None:
    """Cases 49 and 52: the part that came is delivered, and its end is missing."""
    field, part = HALF[half]
    name, _, value = field.partition(": ")
    delivered = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.request()
        talk.send(f"HTTP/1.1 200 OK\r\n{field}\r\n\r\n".encode() + part)
        await delivered.wait()
        if how == "reset":
            talk.reset()

    async with stage(script, echo_name) as (lb, behind):
        client = await lb.client()
        client.get()
        head = await client.head()
        assert (200, value) == (head.status, head.get(name.lower()))
        assert part == await client.reader.readexactly(len(part))
        delivered.set()
        with suppress(ConnectionResetError):  # as good an end as a FIN
            assert b"" == await client.rest()
        assert [] == behind[1].talks
        assert ["truncated"] == lb.words()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_close_delimited_answer_that_is_reset_never_looks_whole(version: str) -> None:
    """Case 49: to an HTTP/1.1 client the last chunk is missing; to an HTTP/1.0 one only a reset can say it."""
    delivered = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.request()
        talk.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await delivered.wait()
        talk.reset()

    async with stage(script) as (lb, _):
        client = await lb.client()
        client.send(request("GET", "/", version=version))
        coding, part = ("chunked", b"5\r\nhello\r\n") if version == "1.1" else (None, b"hello")
        head = await client.head()
        assert (coding, None) == (head.get("transfer-encoding"), head.get("content-length"))
        assert part == await client.reader.readexactly(len(part))
        delivered.set()
        if version == "1.1":
            with suppress(ConnectionResetError):
                assert b"" == await client.rest()
        else:
            with pytest.raises(ConnectionResetError):
                await client.rest()
        assert ["truncated"] == lb.words()


async def test_a_reset_within_the_head_is_a_502() -> None:
    """Case 52: bytes of the answer had come, so it is not asked for again."""
    async with stage(reset_in_head, echo_name) as (lb, behind):
        assert 502 == (await lb.ask()).status
        assert [] == behind[1].talks

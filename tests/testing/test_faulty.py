"""A FaultyBackend does what it is told, byte by byte, and leaves nothing behind; its clients here are raw sockets."""

import asyncio
import inspect
import os
import random
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from steelyard.testing import FaultyBackend, faults
from steelyard.testing.faults import Answer, Fault
from steelyard.testing.talk import Talk
from tests.real.client import HOST, PATIENCE_S, Client, chunked, request
from tests.real.support import until

pytestmark = pytest.mark.real

PAGE: Final = Path(__file__).parent.parent.parent / "docs" / "testing.md"
GOOD: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour"
AT: Final = {"before head": b"", "in head": GOOD[:19], "after head": GOOD[:-4], "in body": GOOD[:-2]}


async def asked(backend: FaultyBackend, raw: bytes = request("GET", "/")) -> tuple[bytes, str]:
    """All that comes back on a new connection, and how it ended: `eof` or `reset`."""
    client = await Client.open(backend.port)
    client.send(raw)
    got = b""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while data := await client.reader.read(2**16):
                got += data
        return got, "eof"
    except ConnectionResetError:
        return got, "reset"
    finally:
        client.close()


async def stays(client: Client, within_s: float = 0.1) -> bool:
    """Whether nothing comes, not even an end."""
    try:
        async with asyncio.timeout(within_s):
            return b"never" == await client.reader.read(1)
    except TimeoutError:
        return True


# Without a fault.


async def test_it_answers_with_its_name_and_keeps_the_connection() -> None:
    async with FaultyBackend("four") as backend:
        assert f"{HOST}:{backend.port}" == backend.address
        client = await Client.open(backend.port)
        for path in ("/a", "/b"):
            client.get(path)
            assert GOOD == await client.reader.readexactly(len(GOOD))
        assert ["/a", "/b"] == [seen.target for seen in backend.requests]
        assert (1, 1) == (backend.connections, backend.open)
        client.close()
        await until(lambda: backend.open == 0)
        backend.reset_counts()
        assert (0, [], []) == (backend.connections, backend.requests, backend.malformed)


async def test_what_it_has_seen_is_all_of_a_request() -> None:
    """With a length, in chunks, waiting for a 100, and pipelined."""
    async with FaultyBackend("four") as backend:
        client = await Client.open(backend.port)
        client.send(
            request("POST", "/a", "X-A: 1", "x-a:2", body=b"hello")
            + request("PUT", "/b", "Transfer-Encoding: chunked")
            + chunked(b"hel", b"lo")[:-2]
            + b"Trailer: 1\r\n\r\n"
        )
        for _ in range(2):
            assert 200 == (await client.answer()).status
        client.send(request("POST", "/c", "Expect: 100-continue", "Content-Length: 5"))
        assert 100 == (await client.head()).status
        client.send(b"hello")
        assert 200 == (await client.answer()).status
        assert [("POST", "/a"), ("PUT", "/b"), ("POST", "/c")] == [(x.method, x.target) for x in backend.requests]
        assert [(b"hello", True)] * 3 == [(x.body, x.whole) for x in backend.requests]
        first = backend.requests[0]
        assert [("host", "example.org"), ("x-a", "1"), ("x-a", "2"), ("content-length", "5")] == first.headers
        assert ("1", None, 1) == (first.get("x-a"), first.get("x-b"), first.connection)
        assert "<Request POST /a>" == repr(first)
        client.close()


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (request("GET", "/", "Connection: close"), False),
        (request("GET", "/", version="1.0"), False),
        (request("GET", "/", "Connection: keep-alive", version="1.0"), True),
    ],
)
async def test_it_closes_where_the_client_says_so(raw: bytes, kept: bool) -> None:
    async with FaultyBackend("four") as backend:
        client = await Client.open(backend.port)
        client.send(raw)
        assert GOOD == await client.reader.readexactly(len(GOOD))
        if kept:
            assert await stays(client)
        else:
            assert b"" == await client.rest()
        client.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        request("POST", "/", "Content-Length: +5") + b"hello",
        request("POST", "/", "Content-Length: 5", "Transfer-Encoding: chunked") + chunked(b"hello"),
        request("POST", "/", "Transfer-Encoding: gzip"),
        request("POST", "/", "Transfer-Encoding: chunked") + b"0x5\r\nhello\r\n",
        request("POST", "/", "Transfer-Encoding: chunked") + b"5\r\nhello!!\r\n",
        request("POST", "/", "Transfer-Encoding: chunked") + b"5;" + b"x" * 1_100_000,
        b"x" * 1_100_000,
    ],
)
async def test_what_is_no_request_is_answered_400_and_kept(raw: bytes) -> None:
    async with FaultyBackend("four") as backend:
        client = await Client.open(backend.port)
        client.send(raw)
        assert 400 == (await client.answer()).status
        assert 1 == len(backend.malformed)
        assert not any(seen.whole for seen in backend.requests)
        client.close()


async def test_half_a_request_is_one_that_is_not_whole() -> None:
    async with FaultyBackend("four") as backend:
        client = await Client.open(backend.port)
        client.send(request("POST", "/", "Content-Length: 10") + b"hello")
        client.eof()
        assert b"" == await client.rest()
        assert [(b"hello", False)] == [(seen.body, seen.whole) for seen in backend.requests]
        client.close()


# Answers.


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Answer(503, {"Retry-After": "1"}), b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"),
        (Answer(200, [("Set-Cookie", "a"), ("Set-Cookie", "b")]), b"200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"),
        (Answer(20), b"HTTP/1.1 20 Odd\r\nContent-Length: 4\r\n\r\nfour"),
        (Answer(999), b"HTTP/1.1 999 Odd\r\n"),
        (Answer(204), b"HTTP/1.1 204 No Content\r\n\r\n"),
        (Answer(body=b"other"), b"Content-Length: 5\r\n\r\nother"),
        (Answer(framing="chunked"), b"Transfer-Encoding: chunked\r\n\r\n2\r\nfo\r\n2\r\nur\r\n0\r\n\r\n"),
        (Answer(framing="close"), b"HTTP/1.1 200 OK\r\n\r\nfour"),
        (Answer(body=b"", framing="chunked"), b"\r\n\r\n0\r\n\r\n"),
    ],
)
async def test_any_answer_can_be_given(fault: Fault, said: bytes) -> None:
    async with FaultyBackend("four") as backend:
        backend.fault = fault
        got, how = await asked(backend, request("GET", "/", "Connection: close"))
        assert said in got
        assert "eof" == how


async def test_an_answer_to_head_has_no_body() -> None:
    async with FaultyBackend("four") as backend:
        got, _ = await asked(backend, request("HEAD", "/", "Connection: close"))
        assert GOOD[:-4] == got


@pytest.mark.parametrize("expects", [False, True])
async def test_an_early_answer_does_not_wait_for_the_body(expects: bool) -> None:
    """The rest is read and skipped; where a 100 was waited for, nobody knows whether it comes, and it is closed."""
    async with FaultyBackend("four") as backend:
        backend.fault = Answer(413, early=True)
        client = await Client.open(backend.port)
        client.send(request("POST", "/", "Content-Length: 5", *["Expect: 100-continue"] * expects))
        assert 413 == (await client.head()).status
        assert b"four" == await client.reader.readexactly(4)
        if expects:
            assert b"" == await client.rest()
        else:
            client.send(b"hello" + request("POST", "/", "Content-Length: 0"))
            assert 413 == (await client.answer()).status
        client.close()


# Faults at a point of the answer.


@pytest.mark.parametrize("at", AT)
@pytest.mark.parametrize(("fault", "how"), [(faults.Reset, "reset"), (faults.Close, "eof")])
async def test_an_answer_breaks_off_where_it_is_told_to(fault: type[faults.Reset], how: str, at: Any) -> None:
    async with FaultyBackend("four") as backend:
        backend.fault = fault(at)
        assert (AT[at], how) == await asked(backend, request("POST", "/", body=b"hello"))
        assert [b"hello"] == [seen.body for seen in backend.requests]


@pytest.mark.parametrize(("fault", "how"), [(faults.Reset, "reset"), (faults.Close, "eof")])
async def test_a_connection_may_end_before_there_is_a_request(fault: type[faults.Reset], how: str) -> None:
    async with FaultyBackend() as backend:
        backend.fault = fault("accept")
        assert (b"", how) == await asked(backend, b"")
        assert (1, []) == (backend.connections, backend.requests)


async def test_it_may_end_before_the_body_was_read() -> None:
    async with FaultyBackend() as backend:
        backend.fault = faults.Reset("in request")
        assert (b"", "reset") == await asked(backend, request("POST", "/", "Content-Length: 100"))
        assert [False] == [seen.whole for seen in backend.requests]


@pytest.mark.parametrize("at", ["accept", *AT])
async def test_it_may_fall_silent_and_stay(at: Any) -> None:
    """Until the other side has had enough; then it is closed here, too."""
    async with FaultyBackend("four") as backend:
        backend.fault = faults.Silence(at)
        client = await Client.open(backend.port)
        client.get()
        before = AT.get(at, b"")
        assert before == await client.reader.readexactly(len(before))
        assert await stays(client)
        client.send(b"x" * 1000)
        assert 1 == backend.open
        client.close()
        await until(lambda: backend.open == 0)


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_the_answer_that_breaks_off_may_be_any(framing: Any) -> None:
    async with FaultyBackend("four") as backend:
        whole = Answer(201, framing=framing)
        backend.fault = whole
        all_of_it, _ = await asked(backend, request("GET", "/", "Connection: close"))
        backend.fault = faults.Close("in body", of=whole)
        got, _ = await asked(backend)
        assert all_of_it.startswith(got)
        assert b"HTTP/1.1 201 Created" in got
        assert 0 < len(all_of_it) - len(got)


# Delays.


@pytest.mark.parametrize("at", ["accept", "in request", *AT])
async def test_a_delay_holds_up_what_comes_after_it_and_nothing_before(at: Any) -> None:
    loop = asyncio.get_running_loop()
    async with FaultyBackend("four") as backend:
        backend.fault = faults.Delay(0.1, at)
        began = loop.time()
        client = await Client.open(backend.port)
        for number in range(1, 2 if at == "accept" else 3):
            client.send(request("POST", "/", body=b"hello"))
            assert GOOD == await client.reader.readexactly(len(GOOD))
            assert loop.time() - began > 0.09 * number  # uvloop counts in whole milliseconds
        assert {b"hello"} == {seen.body for seen in backend.requests}
        client.close()
        backend.fault = faults.Delay(30, at)
        client = await Client.open(backend.port)
        client.send(request("POST", "/", body=b"hello"))
        before = AT.get(at, b"")
        assert before == await client.reader.readexactly(len(before))
        assert await stays(client, 0.05)
        client.close()


async def test_on_accept_it_holds_up_the_first_request_alone() -> None:
    async with FaultyBackend("four") as backend:
        backend.script([faults.Delay(0.02, "accept", then=Answer(503)), None])
        client = await Client.open(backend.port)
        assert [503, 200] == [(await client.ask()).status for _ in range(2)]
        backend.fault = faults.Delay(0.02, "accept", then=Answer(503))
        assert 503 == (await client.ask()).status
        client.close()


async def test_after_a_delay_any_fault_may_come() -> None:
    async with FaultyBackend("four") as backend:
        backend.fault = faults.Delay(0.02, then=faults.Close("in head"))
        assert (AT["in head"], "eof") == await asked(backend)
        backend.fault = faults.Delay(0.02, "in body", then=Answer(framing="close"))
        assert (b"HTTP/1.1 200 OK\r\n\r\nfour", "eof") == await asked(backend)


@pytest.mark.parametrize("at", ["before head", "in body"])
async def test_who_leaves_in_a_delay_is_answered_no_more(at: Any) -> None:
    async with FaultyBackend("four") as backend:
        backend.fault = faults.Delay(30, at)
        client = await Client.open(backend.port)
        client.get()
        await until(lambda: backend.requests)
        client.close()
        await until(lambda: backend.open == 0)


async def test_a_drip_comes_piece_by_piece() -> None:
    async with FaultyBackend("four") as backend:
        backend.fault = faults.Drip(0.02, size=20)
        client = await Client.open(backend.port)
        client.get()
        assert GOOD[:20] == await client.reader.read(1000)
        assert GOOD[20:40] == await client.reader.read(1000)
        assert GOOD[40:] == await client.reader.readexactly(len(GOOD) - 40)
        backend.fault = faults.Drip(0.02, part="body", of=Answer(framing="close"))
        client.get()
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert b"f" == await client.reader.read(1000)
        assert (b"HTTP/1.1 200 OK\r\n\r\n", b"our") == (head, await client.rest())
        backend.fault = faults.Drip(30)
        gone = await Client.open(backend.port)
        gone.get()
        assert b"H" == await gone.reader.read(1000)
        gone.close()
        client.close()
        await until(lambda: backend.open == 0)


# Bytes that are wrong.


@pytest.mark.parametrize(
    ("fault", "got"),
    [
        (faults.Raw(b"\x00\x01", close=True), b"\x00\x01"),
        (faults.WrongLength(5), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfour"),
        (faults.WrongLength(-2), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nfour"),
        (
            faults.BadChunk(b"zz\r\n"),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfo\r\nzz\r\n",
        ),
        (faults.Stray(), GOOD + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"),
        (faults.Stray(b"x", after_s=0.02), GOOD + b"x"),
        (faults.Interim((100, 103), {"Link": "</a>"}), b"\r\nLink: </a>\r\n\r\n" + GOOD),
        (faults.Interim((102,), then=Answer(500)), b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 500 "),
    ],
)
async def test_the_wrong_bytes_are_those_that_were_asked_for(fault: Fault, got: bytes) -> None:
    async with FaultyBackend("four") as backend:
        backend.fault = fault
        said, how = await asked(backend, request("GET", "/", "Connection: close"))
        assert got in said
        assert said.startswith(got[:9]) or said.endswith(got)
        assert "eof" == how


async def test_after_bytes_that_end_nothing_the_connection_stays() -> None:
    async with FaultyBackend("four") as backend:
        for fault in (faults.Raw(b"x"), faults.WrongLength(-1), faults.BadChunk(b"x"), faults.Stray(b"x")):
            backend.fault = fault
            client = await Client.open(backend.port)
            client.get()
            await client.reader.readuntil(b"x" if not isinstance(fault, faults.WrongLength) else b"four")
            assert await stays(client, 0.05)
            client.close()


async def test_stray_bytes_are_kept_to_themselves_when_nobody_is_there_any_more() -> None:
    async with FaultyBackend("four") as backend:
        backend.fault = faults.Stray(after_s=30)
        client = await Client.open(backend.port)
        assert 200 == (await client.ask()).status
        client.close()
        await until(lambda: backend.open == 0)


@pytest.mark.parametrize("what", ["head", "line", "body", "chunks"])
async def test_what_is_endless_ends_for_the_sake_of_the_test(what: Any) -> None:
    async with FaultyBackend() as backend:
        backend.fault = faults.Endless(what, most=200_000)
        got, how = await asked(backend)
        assert 200_000 <= len(got) < 300_000
        assert "eof" == how
        assert (what in ("body", "chunks")) == (b"\r\n\r\n" in got)
        assert (what == "head") == (got.count(b"X-Filler") > 1)


async def test_what_is_endless_ends_when_nobody_reads_it_any_more() -> None:
    async with FaultyBackend() as backend:
        backend.fault = faults.Endless("body", most=2**40)
        client = await Client.open(backend.port)
        client.get()
        await client.reader.readexactly(1000)
        client.reset()
        await until(lambda: backend.open == 0)


# Kept connections.


@pytest.mark.parametrize(("reset", "how"), [(False, "eof"), (True, "reset")])
async def test_a_kept_connection_may_end_just_when_it_is_used_again(reset: bool, how: str) -> None:
    async with FaultyBackend("four") as backend:
        backend.fault = faults.CloseKept(reset=reset)
        assert (GOOD, how) == await asked(backend, request("GET", "/") * 2)
        assert 2 == len(backend.requests)


@pytest.mark.parametrize(("reset", "how"), [(False, "eof"), (True, "reset")])
async def test_a_kept_connection_may_end_when_it_was_idle(reset: bool, how: str) -> None:
    async with FaultyBackend("four") as backend:
        backend.fault = faults.CloseKept(0.1, reset=reset)
        assert (GOOD * 3, how) == await asked(backend, request("GET", "/") * 3)
        assert 3 == len(backend.requests)


# The port.


async def refused(port: int) -> bool:
    try:
        client = await Client.open(port)
    except ConnectionRefusedError:
        return True
    client.close()
    return False


async def test_a_port_may_refuse_and_come_back() -> None:
    """Who was connected is reset, as when a process dies; and nobody else can take the port meanwhile."""
    async with FaultyBackend("four") as backend:
        client = await Client.open(backend.port)
        assert 200 == (await client.ask()).status
        backend.fault = faults.Refuse()
        with pytest.raises(ConnectionResetError):
            await client.rest()
        assert await refused(backend.port)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((HOST, backend.port))
        backend.fault = None
        again = await Client.open(backend.port)
        assert 200 == (await again.ask()).status
        assert 2 == backend.connections
        for one in (client, again):
            one.close()


async def test_a_port_may_be_a_black_hole_and_come_back() -> None:
    """A connection is not refused and not made; who was connected is let go."""
    async with FaultyBackend("four") as backend:
        client = await Client.open(backend.port)
        assert 200 == (await client.ask()).status
        backend.fault = faults.BlackHole()
        assert b"" == await client.rest()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await Client.open(backend.port)
        backend.fault = None
        again = await Client.open(backend.port)
        assert 200 == (await again.ask()).status
        assert 2 == backend.connections
        for one in (client, again):
            one.close()


@pytest.mark.parametrize("down", [faults.Refuse(), Answer(503)])
async def test_it_may_flap_by_seconds(down: Fault) -> None:
    async with FaultyBackend("four") as backend:

        async def state() -> str:
            try:
                client = await Client.open(backend.port)
                status = (await client.ask()).status
                client.close()
            except (ConnectionError, asyncio.IncompleteReadError):
                return "down"
            return "up" if status == 200 else "down"

        backend.fault = faults.Flap(0.1, 0.1, down=down)
        seen = ["up"]
        async with asyncio.timeout(PATIENCE_S):
            while len(seen) < 5:
                now = await state()
                if now != seen[-1]:
                    seen.append(now)
        assert ["up", "down", "up", "down", "up"] == seen
        backend.fault = None
        assert "up" == await state()


async def test_a_fault_of_the_port_may_be_there_from_the_start() -> None:
    backend = FaultyBackend("four")
    backend.fault = faults.Refuse()
    async with backend:
        assert await refused(backend.port)
        backend.fault = None
        assert not await refused(backend.port)


async def test_one_fault_of_the_port_may_follow_another() -> None:
    async with FaultyBackend("four") as backend:
        for _ in range(2):
            backend.fault = faults.BlackHole()
            backend.fault = faults.Refuse()
            assert await refused(backend.port)
        backend.fault = Answer(500)
        client = await Client.open(backend.port)
        assert 500 == (await client.ask()).status
        client.close()


# Who meets a fault.


async def statuses(backend: FaultyBackend, count: int) -> list[int]:
    client = await Client.open(backend.port)
    try:
        return [(await client.ask(f"/{number}")).status for number in range(count)]
    finally:
        client.close()


async def test_a_script_is_one_step_a_request_and_then_nothing_or_the_last_of_it() -> None:
    async with FaultyBackend() as backend:
        backend.script([Answer(500), None, Answer(501)])
        assert [500, 200, 501, 200, 200] == await statuses(backend, 5)
        backend.script([Answer(500), Answer(501)], repeat_last=True)
        assert [500, 501, 501, 501] == await statuses(backend, 4)
        backend.script([Answer(500), Answer(501)])
        backend.fault = None
        assert [200] == await statuses(backend, 1)
        backend.script([], repeat_last=True)
        assert [200] == await statuses(backend, 1)


async def test_a_step_on_accept_is_the_next_connections() -> None:
    async with FaultyBackend("four") as backend:
        backend.script([faults.Close("accept"), Answer(500)])
        assert (b"", "eof") == await asked(backend)
        assert [500, 200] == await statuses(backend, 2)


async def test_a_function_of_the_request_may_choose() -> None:
    async with FaultyBackend() as backend:
        backend.fault = lambda seen: Answer(500) if seen.target == "/1" else None
        assert [200, 500, 200] == await statuses(backend, 3)


async def test_requests_meet_a_fault_by_their_number_or_by_chance() -> None:
    async with FaultyBackend() as backend:
        backend.fault = faults.every(3, Answer(500))
        assert [200, 200, 500, 200, 200, 500] == await statuses(backend, 6)
        backend.fault = faults.turns(2, Answer(500))
        assert [200, 200, 500, 500, 200, 200, 500] == await statuses(backend, 7)
        backend.fault = faults.share(0.3, Answer(500), random.Random(1).random)
        first = await statuses(backend, 100)
        assert 15 < first.count(500) < 45
        backend.fault = faults.share(0.3, Answer(500), random.Random(1).random)
        assert first == await statuses(backend, 100)


# What cannot be.


@pytest.mark.parametrize("fault", [faults.Refuse(), faults.Reset("accept"), faults.Flap(1, 1)])
async def test_what_no_request_can_meet_is_not_chosen_by_one(fault: Fault) -> None:
    for make in (
        lambda: faults.every(2, fault),
        lambda: faults.share(0.5, fault, random.random),
        lambda: faults.Delay(1, then=fault),
    ):
        with pytest.raises(ValueError, match="before there is a request"):
            make()
    with pytest.raises(ValueError, match="before there is a request"):  # noqa: PT012
        async with FaultyBackend() as backend:
            backend.fault = lambda _: fault
            await asked(backend)


def test_mistakes_are_said_at_once() -> None:
    for make in (
        lambda: faults.Reset("in the body"),  # type: ignore[arg-type]
        lambda: faults.Delay(1, "nowhere"),  # type: ignore[arg-type]
        lambda: faults.Delay(1, "in body", then=faults.Reset()),
        lambda: FaultyBackend(""),
        lambda: FaultyBackend().script([faults.Refuse()]),
        lambda: Answer(framing="chunk"),  # type: ignore[arg-type]
        lambda: faults.Drip(0.1, part="head"),  # type: ignore[arg-type]
        lambda: faults.Endless("bodies"),  # type: ignore[arg-type]
        lambda: faults.every(0, faults.Reset()),
        lambda: faults.turns(0, faults.Reset()),
        lambda: faults.share(50, faults.Reset(), random.random),
    ):
        said = r"none of|of an Answer|must have a letter|no fault of one request|write 1 or more|is no share"
        with pytest.raises(ValueError, match=said):
            make()


@pytest.mark.parametrize("wrong", [faults.Reset, "reset", 5, [faults.Reset()]])
async def test_what_is_no_fault_is_said_where_it_is_set(wrong: Any) -> None:
    backend = FaultyBackend()
    with pytest.raises(TypeError, match="is no fault; write faults"):
        backend.fault = wrong
    for make in (
        lambda: backend.script([wrong]),
        lambda: faults.every(2, wrong),
        lambda: faults.Delay(1, then=wrong),
    ):
        with pytest.raises(TypeError, match="is no fault; write faults"):
            make()
    with pytest.raises(TypeError, match="is no fault; write faults"):  # noqa: PT012
        async with backend:
            backend.fault = lambda _: wrong
            await asked(backend)


async def test_a_port_that_is_taken_is_an_error() -> None:
    async with FaultyBackend() as backend:
        with pytest.raises(OSError, match="in use"):
            async with FaultyBackend(port=backend.port):
                pass


# One's own.


class Backwards(Fault):
    """Says its answer from the end."""

    async def play(self, talk: Talk) -> None:
        head, body = Answer().parts(talk)
        await talk.send(head + body[::-1])


class Broken(Fault):
    """Has a bug."""


async def test_a_fault_of_ones_own_is_a_class_with_one_method() -> None:
    async with FaultyBackend("four") as backend:
        backend.fault = Backwards()
        got, _ = await asked(backend, request("GET", "/", "Connection: close"))
        assert got.endswith(b"\r\n\r\nruof")


async def test_what_it_raises_is_raised_at_the_end() -> None:
    with pytest.raises(NotImplementedError):  # noqa: PT012
        async with FaultyBackend() as backend:
            backend.fault = Broken()
            assert (b"", "eof") == await asked(backend)


async def test_but_the_tests_own_failure_goes_first() -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with FaultyBackend() as backend:
            backend.fault = Broken()
            await asked(backend)
            raise ZeroDivisionError


# What is left.


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_nothing_is_left_open_and_nothing_goes_on() -> None:
    """Whatever it was doing when the block was left: its connections are reset, its tasks are gone."""
    async with FaultyBackend() as backend:
        await statuses(backend, 1)  # what a loop opens when it is first used
    before, tasks = descriptors(), len(asyncio.all_tasks())
    doing: list[Any] = [
        None,
        faults.Silence("accept"),
        faults.Silence("in body"),
        faults.Delay(30),
        faults.Drip(30),
        faults.Endless("body", most=2**40),
        faults.CloseKept(30),
        faults.Stray(after_s=30),
        faults.BlackHole(),
        faults.Refuse(),
        faults.Flap(30, 30),
    ]
    for fault in doing:
        async with FaultyBackend("four") as backend:
            client = await Client.open(backend.port)
            backend.fault = fault
            late = None
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(0.05):
                    late = await Client.open(backend.port)
            for one in (client, late):
                if one is not None and not one.writer.is_closing():
                    one.get()
            await asyncio.sleep(0.02)
        assert 0 == backend.open
        for one in (client, late):
            if one is not None:
                one.writer.transport.abort()
        await until(lambda: before == descriptors())
        assert tasks == len(asyncio.all_tasks())


async def test_a_block_may_be_entered_again_on_the_same_port() -> None:
    backend = FaultyBackend("four")
    ports = set()
    for _ in range(2):
        async with backend:
            ports.add(backend.port)
            assert [200] == await statuses(backend, 1)
    assert 1 == len(ports)
    assert await refused(backend.port)


def test_each_of_them_is_in_the_table_of_the_documentation() -> None:
    """With all that it can be told."""
    table = PAGE.read_text(encoding="utf-8").partition("## The faults")[2]
    shown = dict(re.findall(r"^\| `(\w+)\((.*?)\)` \|", table, re.MULTILINE))
    assert sorted(faults.__all__) == sorted([*shown, "Fault"])
    for name, arguments in shown.items():
        value = getattr(faults, name)
        assert list(inspect.signature(value).parameters) == [word for word in arguments.split(", ") if word]
        assert not value.__doc__.startswith(f"{name}(")  # as a dataclass without one has it


@pytest.mark.slow
def test_the_example_of_the_documentation_passes(pytester: pytest.Pytester) -> None:
    """As a reader has it: two files, pytest, pytest-asyncio."""
    page = PAGE.read_text(encoding="utf-8")
    files = dict(re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    assert {"shop", "test_shop"} == set(files)
    pytester.makepyfile(**files)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-q")
    result.assert_outcomes(passed=files["test_shop"].count("async def test_"))


async def test_it_listens_on_ipv6_too() -> None:
    async with FaultyBackend("four", host="::1") as backend:
        client = await Client.open(backend.port, "::1")
        assert 200 == (await client.ask()).status
        client.close()

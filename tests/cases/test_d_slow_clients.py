"""D. Timeouts and slow clients: each has its deadline, and nobody else notices.

docs/cases.md 40 to 46. Deadlines are met up to a tick (50 ms) late and never early, by a clock that does not count what
the machine stood still for: lower bounds are exact and upper ones are wide.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import pytest

from steelyard.testing import faults
from tests.cases.clock import Clock
from tests.cases.scene import faulty, see_refusal, timeouts
from tests.real.client import PATIENCE_S, Client, request
from tests.real.support import until

# Deadlines are met up to a tick late; the rest is for what is done then.
SLACK_S: Final = 1.5


@asynccontextmanager
async def taking(clock: Clock, at_least_s: float) -> AsyncIterator[None]:
    """What is within takes this long, and not much longer."""
    began = clock()
    yield
    assert at_least_s <= clock() - began < at_least_s + SLACK_S


@asynccontextmanager
async def dribbling(client: Client, data: bytes, pause_s: float = 0.03) -> AsyncIterator[None]:
    """A client that sends byte after byte, until the block ends."""

    async def dribble() -> None:
        for byte in data:
            client.send(bytes([byte]))
            await asyncio.sleep(pause_s)

    task = asyncio.get_running_loop().create_task(dribble())
    try:
        yield
    finally:
        task.cancel()


@pytest.mark.parametrize("kept", [False, True])
async def test_case_40_a_head_that_dribbles_is_refused_at_the_deadline_of_the_whole(clock: Clock, kept: bool) -> None:
    """RFC 9110 15.5.9: each byte comes well in time, the head as a whole does not; on a kept connection too."""
    async with faulty(listener=timeouts(head="400ms")) as (lb, (one,)):
        client = await lb.client()
        if kept:
            assert 200 == (await client.ask()).status
        async with taking(clock, 0.4), dribbling(client, request("GET", "/" + "x" * 1000)):
            await see_refusal(client, 408)
        assert kept == len(one.requests)
        assert "request_timeout" == lb.words()[-1]


@pytest.mark.parametrize("coding", ["Content-Length: 100", "Transfer-Encoding: chunked"])
async def test_case_41_a_body_that_stops_is_refused_and_lets_the_backend_go(clock: Clock, coding: str) -> None:
    """RFC 9110 15.5.9: at the deadline between two reads; the backend's connection ends, and its slot is free."""
    async with faulty(listener=timeouts(body="300ms")) as (lb, (one,)):
        client = await lb.client()
        client.send(request("POST", "/", coding) + b"5\r\nhel")
        async with taking(clock, 0.3):
            await see_refusal(client, 408)
        await until(lambda: one.open == 0)
        assert ([False], 0) == ([seen.whole for seen in one.requests], lb.in_flight())
        assert ["request_timeout"] == lb.words()


@pytest.mark.parametrize(
    ("rate", "status"), [({}, 408), ({"min_body_rate": "10B/s"}, 200), ({"min_body_rate": "off"}, 200)]
)
async def test_case_41_a_body_that_comes_too_slowly_is_refused_though_it_never_stops(
    clock: Clock, rate: dict[str, str], status: int
) -> None:
    """RFC 9110 15.5.9: a byte every 30 ms meets the deadline between two reads, and would hold a backend for days. It
    is refused when it has had the `body` timeout and a second for each 100 bytes (the default); at a lower rate, or
    with `off`, the same body is taken, though it takes longer than the timeout."""
    async with faulty(listener={**timeouts(body="500ms"), **rate}) as (lb, (one,)):
        client = await lb.client()
        client.send(request("POST", "/", "Content-Length: 40"))
        began = clock()
        async with dribbling(client, b"x" * 40):
            if status == 408:
                await see_refusal(client, 408)
            else:  # its 40 pauses may each be longer than they should
                assert 200 == (await client.answer()).status
        assert clock() - began >= 0.5
        await until(lambda: lb.in_flight() == 0)
        assert [status == 200] == [seen.whole for seen in one.requests]
        assert ["-" if status == 200 else "request_timeout"] == lb.words()


async def test_case_42_a_client_that_does_not_read_is_reset_and_others_notice_nothing() -> None:
    """At the write timeout; the backend's slot is free again, and the record says whose fault it was."""
    async with faulty("one", listener=timeouts(write="400ms")) as (lb, (one,)):
        one.fault = lambda seen: faults.Endless("body", most=2**30) if seen.target == "/large" else None
        client = await lb.client(receive_buffer=4096)
        client.get("/large")
        other = await lb.client()
        async with asyncio.timeout(PATIENCE_S):
            while "client_too_slow" not in lb.words():
                assert b"one" == (await other.ask()).body
        with pytest.raises(ConnectionResetError):
            await client.rest()
        await until(lambda: lb.in_flight() == 0)
        assert ["client_too_slow"] == [word for word in lb.words() if word != "-"]
        await until(lambda: one.open == 1)


async def test_case_42_a_client_that_reads_slowly_keeps_its_connection(clock: Clock) -> None:
    """The deadline is for standing still, not for being slow: the whole takes longer than it."""
    async with faulty(listener=timeouts(write="300ms")) as (lb, (one,)):
        one.fault = faults.Answer(body=b"x" * 6_000_000)
        client = await lb.client(receive_buffer=65_536)
        began = clock()
        client.get()
        await client.head()
        got = 0
        while got < 6_000_000:
            got += len(await client.reader.read(400_000))
            await asyncio.sleep(0.02)
        assert (6_000_000, True) == (got, 0.3 < clock() - began)
        await until(lambda: lb.records)
        assert ["-"] == lb.words()


async def test_case_43_idle_and_slow_clients_take_nothing_from_others() -> None:
    """100 idle and 50 dribbling connections (the case has 1000 and 500): each probe between two of their bytes is
    answered, on a connection of its own and on a kept one, and none of the slow ones reaches a backend."""
    async with faulty() as (lb, (one,)):
        slow = [await lb.client() for _ in range(150)]
        probe = await lb.client()
        for byte in b"GET /slow HTTP/1.1\r\n":
            for client in slow[:50]:
                client.send(bytes([byte]))
            assert [200, 200] == [(await lb.ask("/probe")).status, (await probe.ask("/probe")).status]
        assert {"/probe"} == {seen.target for seen in one.requests}


@pytest.mark.slow
async def test_case_43_slow_clients_end_at_their_deadlines_while_others_are_answered(clock: Clock) -> None:
    """200 clients that send a byte now and then, half of them of a head and half of a body, and 20 that ask as usual
    until the last of those is gone: all of the 20 are answered all the time, and each of the 200 hears 408, not before
    its second is over. No slow head reaches the backend, no slow body is a whole request there. (What that costs the
    others in time: `python -m bench.slow`.)"""
    starts = request("GET", "/slow/" + "x" * 1000), request("POST", "/slow", "Content-Length: 1000") + b"x" * 1000
    async with faulty(listener={**timeouts(head="1s", body="1s"), "min_body_rate": "1KiB/s"}) as (lb, (one,)):
        going = 200

        async def be_slow(raw: bytes, at_once: int) -> None:
            nonlocal going
            client = await lb.client()
            client.send(raw[:at_once])
            began = clock()
            async with dribbling(client, raw[at_once:], pause_s=0.1):
                await see_refusal(client, 408)
            assert clock() - began >= 1.0
            going -= 1

        async def be_usual() -> int:
            client, asked = await lb.client(), 0
            while going:
                assert b"one" == (await client.ask("/usual")).body
                asked += 1
                await asyncio.sleep(0.02)
            return asked

        async with asyncio.TaskGroup() as tasks:
            for raw, at_once in ((starts[0], 10), (starts[1], len(starts[1]) - 1000)):
                for _ in range(100):
                    tasks.create_task(be_slow(raw, at_once))
            usual = [tasks.create_task(be_usual()) for _ in range(20)]
        await until(lambda: lb.in_flight() == 0)
        assert {("/usual", True): sum(task.result() for task in usual), ("/slow", False): 100} == Counter(
            (seen.target, seen.whole) for seen in one.requests
        )
        assert {"-", "request_timeout"} == set(lb.words())


async def test_case_44_a_silent_backend_is_a_504_at_its_time(clock: Clock) -> None:
    """RFC 9110 15.6.5: one try, since the work may still be going on over there."""
    async with faulty("one", "two", **timeouts(response="500ms")) as (lb, behind):
        for one in behind:
            one.fault = faults.Silence()
        async with taking(clock, 0.5):
            assert 504 == (await lb.ask()).status
        assert [1, 0] == [len(one.requests) for one in behind]
        assert ["response_timeout"] == lb.words()
        await until(lambda: behind[0].open == 0)


@pytest.mark.parametrize("at", ["in head", "after head", "in body"])
async def test_case_44_an_answer_that_stops_midway_ends_at_the_same_time(clock: Clock, at: faults.At) -> None:
    """Within its head it is still a 504; later, 200 was said, and the missing rest must be seen as missing."""
    async with faulty(**timeouts(response="300ms")) as (lb, (one,)):
        one.fault = faults.Silence(at)
        async with taking(clock, 0.3):
            answer = await lb.ask()
        if at == "in head":
            assert (504, ["response_timeout"]) == (answer.status, lb.words())
        else:
            assert (200, False, ["truncated"]) == (answer.status, answer.whole, lb.words())


async def test_case_44_an_answer_that_drips_ends_at_the_total_timeout(clock: Clock) -> None:
    """Every read comes in time; the exchange as a whole does not."""
    async with faulty(**timeouts(response="300ms", total="600ms")) as (lb, (one,)):
        one.fault = faults.Drip(0.02, part="body", of=faults.Answer(body=b"x" * 1000))
        async with taking(clock, 0.6):
            assert not (await lb.ask()).whole
        assert ["total_timeout"] == lb.words()


async def test_case_45_a_black_hole_is_left_for_the_next_backend_at_the_connect_timeout(clock: Clock) -> None:
    """A full listen queue swallows the SYN. Nothing of the request was sent, so a POST moves as well."""
    async with faulty("one", "two", **timeouts(connect="400ms")) as (lb, (one, two)):
        one.fault = faults.BlackHole()
        client = await lb.client()
        async with taking(clock, 0.4):
            client.send(request("POST", "/", body=b"hello"))
            assert b"two" == (await client.answer()).body
        assert ([2], [b"hello"]) == ([record.tries for record in lb.records], [seen.body for seen in two.requests])


async def test_case_45_without_another_backend_a_black_hole_is_a_504(clock: Clock) -> None:
    """RFC 9110 15.6.5; and the connection that was being opened is given up."""
    async with faulty(**timeouts(connect="300ms")) as (lb, (one,)):
        one.fault = faults.BlackHole()
        async with taking(clock, 0.3):
            assert 504 == (await lb.ask()).status
        assert (0, ["connect_timeout"]) == (one.connections, lb.words())


async def ask_once(client: Client) -> None:
    assert 200 == (await client.ask()).status


async def ask_never(client: Client) -> None:
    """A client that only connects."""


@pytest.mark.parametrize("before", [ask_once, ask_never])
async def test_case_46_an_idle_client_is_closed_with_a_fin(clock: Clock, before: Callable[[Client], object]) -> None:
    """RFC 9112 9.5: a reset would look like a fault, and could take an answer with it."""
    async with faulty(listener=timeouts(idle="300ms")) as (lb, _), taking(clock, 0.3):
        client = await lb.client()
        await before(client)  # type: ignore[misc]
        assert b"" == await client.rest()

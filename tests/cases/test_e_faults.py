"""E. Faults of backends: nothing is done twice that may not be, and no fault looks like an answer.

docs/cases.md 47 to 58. Checks and deadlines are short, and nothing is measured in seconds: the tests count checks.
"""

import asyncio
import logging
import re
import signal
import sys
from collections.abc import Sequence
from typing import Any, Final

import pytest

from steelyard.testing import FaultyBackend, faults
from steelyard.testing.faults import Answer, Chooser, Fault
from steelyard.testing.talk import Request
from tests.cases.clock import Clock
from tests.cases.scene import faulty
from tests.real.client import PATIENCE_S, request
from tests.real.support import Running, one_pool, running, until

SAFE: Final = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]
UNSAFE: Final = ["POST", "PATCH"]
ENDS: Final = [faults.Reset(), faults.Close(), faults.Reset("accept"), faults.Close("accept")]


def checked(**check: Any) -> dict[str, Any]:
    """A pool's health check, often."""
    return {"health_check": {"interval": "100ms", "timeout": "100ms", "jitter": "0%", **check}}


def by_http(**check: Any) -> dict[str, Any]:
    return checked(kind="http", path="/health", **check)


def checks_only(fault: Fault | Chooser) -> Chooser:
    """A fault that health checks alone meet."""
    return lambda seen: None if seen.target != "/health" else fault if isinstance(fault, Fault) else fault(seen)


def checks(one: FaultyBackend) -> int:
    """How many there were."""
    return sum(seen.target == "/health" for seen in one.requests)


def healthy(lb: Running) -> list[bool]:
    return [one.healthy for one in lb.balancer.pool("web").backends]


async def bodies(lb: Running, count: int = 6) -> set[bytes]:
    """What so many requests are answered."""
    return {(await lb.ask()).body for _ in range(count)}


async def answered_by(lb: Running, names: set[bytes]) -> None:
    """Wait until these answer, and nobody else: a check may find that one of them stands still for a moment."""
    async with asyncio.timeout(PATIENCE_S):
        while await bodies(lb) != names:
            pass


@pytest.mark.parametrize("method", [*SAFE, *UNSAFE])
async def test_case_47_a_refused_connection_is_tried_elsewhere_whatever_the_method(method: str) -> None:
    """RFC 9110 9.2.2: no byte of the request was sent, so nothing can be done twice."""
    async with faulty("one", "two") as (lb, (one, two)):
        one.fault = faults.Refuse()
        client = await lb.client()
        client.send(request(method, "/", body=b"hello"))
        assert 200 == (await client.answer(to_head=method == "HEAD")).status
        assert ([b"hello"], [2]) == ([seen.body for seen in two.requests], [record.tries for record in lb.records])


async def test_case_47_where_all_refuse_the_client_hears_502() -> None:
    """RFC 9110 15.6.3: each of them is asked once."""
    async with faulty("one", "two", "three") as (lb, behind):
        for one in behind:
            one.fault = faults.Refuse()
        assert 502 == (await lb.ask()).status
        assert (3, "connect_failed") == (lb.records[0].tries, lb.records[0].word)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("method", SAFE)
async def test_case_48_a_kept_connection_that_ends_under_a_request_is_replaced(method: str, reset: bool) -> None:
    """RFC 9112 9.3.1: once, at the same backend and on a fresh connection; and it is no failure of the backend."""
    async with faulty() as (lb, (one,)):
        one.fault = faults.CloseKept(reset=reset)
        client = await lb.client()
        for _ in range(2):
            client.send(request(method, "/", body=b"hello"))
            assert 200 == (await client.answer(to_head=method == "HEAD")).status
        assert ([b"hello"] * 3, [1, 1, 2]) == (
            [seen.body for seen in one.requests],
            [seen.connection for seen in one.requests],
        )
        assert (["-", "-"], 0) == (lb.words(), lb.balancer.pool("web").backends[0].failures)


@pytest.mark.parametrize("body", [b"hello", b""])
@pytest.mark.parametrize("method", UNSAFE)
async def test_case_48_what_may_not_run_twice_is_not_sent_twice(method: str, body: bytes) -> None:
    """RFC 9112 9.3.1: it was written, so it may have run: 502."""
    async with faulty() as (lb, (one,)):
        one.fault = faults.CloseKept()
        client = await lb.client()
        assert 200 == (await client.ask("/first")).status
        client.send(request(method, "/second", body=body))
        assert 502 == (await client.answer()).status
        assert ["/first", "/second"] == [seen.target for seen in one.requests]
        assert ["-", "stale"] == lb.words()


async def test_case_48_of_what_was_not_written_a_post_is_sent_on_a_fresh_connection() -> None:
    """RFC 9112 9.3.1: the kept connection had ended before, so nothing was written to it."""
    async with faulty() as (lb, (one,)):
        one.fault = faults.CloseKept(0.02)
        client = await lb.client()
        for number in range(1, 4):
            client.send(request("POST", "/", body=b"hello"))
            assert 200 == (await client.answer()).status
            await until(lambda: one.open == 0)
            assert number == one.connections
        assert {"-"} == set(lb.words())


@pytest.mark.parametrize("end", [faults.Reset, faults.Close])
@pytest.mark.parametrize("at", ["after head", "in body"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_case_49_an_answer_that_breaks_off_is_never_asked_for_again(
    method: str, framing: Any, at: faults.At, end: type[faults.Reset]
) -> None:
    """RFC 9112 8: what came is delivered, and its end is missing: no last chunk, or less than its length."""
    async with faulty("one", "two") as (lb, (one, two)):
        one.fault = end(at, of=Answer(body=b"hello", framing=framing))
        client = await lb.client()
        client.send(request(method, "/"))
        answer = await client.answer()
        assert (200, False, 0) == (answer.status, answer.whole, two.connections)
        assert b"hello".startswith(answer.body)
        assert ["truncated"] == lb.words()


async def test_case_49_a_length_that_is_too_long_is_an_answer_that_breaks_off() -> None:
    """RFC 9112 8."""
    async with faulty("one", "two") as (lb, (one, two)):
        one.fault = faults.WrongLength(5)
        answer = await lb.ask()
        assert ("8", b"one", False, 0) == (
            answer.get("content-length"),
            answer.framed,
            answer.whole,
            two.connections,
        )


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_case_49_an_answer_that_its_connections_end_frames_is_not_whole_after_a_reset(version: str) -> None:
    """RFC 9112 8: to HTTP/1.1 the last chunk is missing; to HTTP/1.0 only a reset can say it."""
    async with faulty() as (lb, (one,)):
        one.fault = faults.Reset("in body", of=Answer(body=b"hello", framing="close"))
        client = await lb.client()
        client.send(request("GET", "/", version=version))
        assert 200 == (await client.head()).status
        got = b""
        try:
            got = await client.rest()
        except ConnectionResetError:
            pass
        else:
            assert "1.1" == version
        assert not got.endswith(b"0\r\n\r\n")
        assert ["truncated"] == lb.words()


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_case_50_an_error_that_is_listed_is_retried_where_it_is_safe(status: int) -> None:
    """RFC 9110 9.2.2: GET and PUT elsewhere, with its body; POST stays where it went; and a status that is not listed
    is an answer."""
    async with faulty("one", "two", retry={"on_status": [status]}) as (lb, (one, two)):
        one.fault = Answer(status)
        client = await lb.client()
        for method in ("GET", "PUT"):
            client.send(request(method, "/", body=b"hello" * (method == "PUT")))
            assert b"two" == (await client.answer()).body
            await lb.ask("/turn")  # so that it is the first one's turn again
        two.fault = Answer(status)
        client.send(request("POST", "/post", body=b"hello"))
        assert status == (await client.answer()).status
        assert ["/post"] == [seen.target for seen in one.requests + two.requests if seen.method == "POST"]
        other = 502 if status != 502 else 503
        one.fault = two.fault = Answer(other)
        before = len(one.requests) + len(two.requests)
        assert other == (await client.ask()).status
        assert before + 1 == len(one.requests) + len(two.requests)


async def test_case_50_a_body_that_is_not_held_any_more_is_not_sent_again() -> None:
    """RFC 9110 9.2.2: safe to repeat, and nothing is left to repeat; the answer of the first one is passed on."""
    async with faulty("one", "two", retry={"on_status": [503], "hold_body": "1KiB"}) as (lb, (one, two)):
        one.fault = Answer(503, {"Retry-After": "7"})
        client = await lb.client()
        client.send(request("PUT", "/", body=b"x" * 100_000))
        answer = await client.answer()
        assert (503, "7", 0) == (answer.status, answer.get("retry-after"), two.connections)


@pytest.mark.parametrize("fault", [faults.Close(), Answer(503)])
async def test_case_50_a_backend_whose_errors_are_hidden_by_retries_is_ejected_all_the_same(fault: Fault) -> None:
    """Each of its failures counts, also those that the client never sees: five in a row, and no more is wasted."""
    async with faulty("one", "two", retry={"on_status": [503]}) as (lb, (one, two)):
        one.fault = fault
        client = await lb.client()
        for _ in range(15):  # earn the retries
            await client.ask()
        one.reset_counts()
        two.reset_counts()
        assert {b"two"} == {(await client.ask()).body for _ in range(20)}
        assert (0, 20) == (len(one.requests), len(two.requests))
        assert [1, 0] == [backend.ejections for backend in lb.balancer.pool("web").backends]


@pytest.mark.parametrize("ejection", [{}, {"ejection": False}, {"ejection": {"max_ejected": "100%"}}])
@pytest.mark.parametrize("fault", [faults.Close(), Answer(503)])
async def test_case_51_where_all_fail_there_is_no_storm_of_retries(fault: Fault, ejection: dict[str, Any]) -> None:
    """Of 200 requests, tries stay at or below 1.2 times as many, and the floor of three (docs/design/003); whoever of
    them is ejected meanwhile, all are asked. (By two workers: tests/real/test_storm.py.)"""
    async with faulty("one", "two", "three", retry={"on_status": [503]}, **ejection) as (lb, behind):
        for one in behind:
            one.fault = fault
        client = await lb.client()
        assert {502 if fault == faults.Close() else 503} == {(await client.ask()).status for _ in range(200)}
        tries = sum(len(one.requests) for one in behind)
        assert 200 < tries <= 200 * 1.2 + 3
        assert tries == sum(record.tries for record in lb.records)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("method", SAFE)
async def test_case_52_a_backend_that_dies_before_its_answer_is_survived_by_safe_methods(
    method: str, end: Fault
) -> None:
    """RFC 9110 9.2.2: another one answers, and the client notices nothing."""
    async with faulty("one", "two") as (lb, (one, two)):
        one.fault = end
        client = await lb.client()
        client.send(request(method, "/", body=b"hello" * (method == "PUT")))
        assert 200 == (await client.answer(to_head=method == "HEAD")).status
        assert [1, 1] == [one.connections, two.connections]


@pytest.mark.parametrize("end", ENDS[:3])
@pytest.mark.parametrize("method", UNSAFE)
async def test_case_52_without_another_try_it_is_a_502(method: str, end: Fault) -> None:
    """RFC 9110 15.6.3: nobody knows what the backend did before it died."""
    async with faulty("one", "two") as (lb, (one, two)):
        one.fault = end
        client = await lb.client()
        client.send(request(method, "/", body=b"hello"))
        assert 502 == (await client.answer()).status
        assert (1, 0) == (one.connections, two.connections)


async def test_case_52_a_connection_that_is_closed_at_once_runs_nothing_twice() -> None:
    """RFC 9110 9.2.2: where its end is seen before a byte was written, a POST goes elsewhere; else it is a 502."""
    async with faulty("one", "two") as (lb, (one, two)):
        one.fault = faults.Close("accept")
        client = await lb.client()
        client.send(request("POST", "/", body=b"hello"))
        status = (await client.answer()).status
        assert ([], (200, 1)) == (one.requests, (status, len(two.requests))) or (502, 0) == (status, len(two.requests))


@pytest.mark.parametrize("end", [faults.Reset("in head"), faults.Close("in head")])
async def test_case_52_a_backend_that_dies_within_the_head_is_a_502(end: Fault) -> None:
    """RFC 9112 8: something of the answer had come, so it is not asked for again."""
    async with faulty("one", "two") as (lb, (one, two)):
        one.fault = end
        client = await lb.client()
        assert [502, 200] == [(await client.ask()).status for _ in range(2)]
        assert (1, 1) == (len(one.requests), len(two.requests))


@pytest.mark.parametrize(
    "fault",
    [
        faults.Raw(),
        faults.Raw(b"\x00\x01\x02 garbage\r\n\r\n"),
        faults.Raw(b"<html>hello</html>", close=True),
        faults.Raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
        faults.Raw(b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
        faults.Raw(b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
        faults.Raw(b"HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n"),
        faults.Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        faults.Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        faults.Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na"),
        faults.Raw(b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na"),
        faults.Raw(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
        faults.Raw(b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 1\r\n\r\na"),
        faults.Raw(b"HTTP/1.1 200 OK\nContent-Length: 1\n\na"),
        faults.Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab"),
        Answer(20),
        Answer(999),
        faults.Endless("head", most=2**20),
        faults.Endless("line", most=2**20),
        faults.Interim([103] * 1000),
    ],
)
async def test_case_53_an_answer_that_is_none_is_a_502(fault: Fault) -> None:
    """RFC 9112 4: garbage, other protocols, odd statuses, a MiB of head; none of it reaches the client (nginx passes
    garbage on), whose connection is kept, and the backend's is given up."""
    async with faulty() as (lb, (one,)):
        one.script([fault])
        client = await lb.client()
        answer = await client.ask()
        assert (502, b"502 Bad Gateway\n") == (answer.status, answer.body[:16])
        assert b"one" == (await client.ask()).body
        assert (["bad_answer", "-"], 2) == (lb.words(), one.connections)
        await until(lambda: one.open == 1)


@pytest.mark.parametrize(
    "rest", [b"0x5\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloXX0\r\n\r\n", b"5;a\nb\r\nhello\r\n0\r\n\r\n"]
)
async def test_case_53_a_chunk_that_breaks_the_rules_cuts_the_answer_off(rest: bytes) -> None:
    """RFC 9112 7.1: 200 was said; what must not happen is that the answer looks whole."""
    async with faulty() as (lb, (one,)):
        one.fault = faults.BadChunk(rest)
        answer = await lb.ask()
        assert (200, False, ["bad_answer"]) == (answer.status, answer.whole, lb.words())
        assert rest[:3] not in answer.framed


SERVER: Final = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"frozen")
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


async def test_case_54_a_process_that_hangs_goes_out_and_comes_back_slowly() -> None:
    """SIGSTOP leaves its port accepting, so that only an HTTP check sees it; after SIGCONT its share grows slowly."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVER, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        pool = {**by_http(rise=1, fall=2), "slow_start": {"window": "1h"}}
        async with FaultyBackend("other") as other, running(one_pool(port, other.port, pool=pool)) as lb:
            await answered_by(lb, {b"frozen", b"other"})
            process.send_signal(signal.SIGSTOP)
            await until(lambda: healthy(lb) == [False, True])
            assert {b"other"} == await bodies(lb)
            process.send_signal(signal.SIGCONT)
            await until(lambda: healthy(lb) == [True, True])
            await bodies(lb)
            frozen, well = (one.share() for one in lb.balancer.pool("web").backends)
            assert frozen < well / 2
    finally:
        process.kill()
        await process.wait()


async def test_case_54_one_that_accepts_and_never_answers_is_out_after_fall_checks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Three by default, each of which takes its timeout; without a process, for the count is exact. (Of connections
    there may be more: who stood still when the time was over asks once more.)"""
    caplog.set_level(logging.INFO, "steelyard")
    async with faulty("one", "two", **by_http(fall=3, interval="200ms", log="all")) as (lb, (one, _)):

        def looks() -> list[str]:
            """What the log says of each."""
            return [line for line in caplog.messages if f":{one.port} [" in line]

        await until(lambda: looks() and looks()[-1].endswith("[up] (pool web)"), "one has passed")
        caplog.clear()
        one.fault = faults.Silence("accept")
        one.reset_counts()
        await until(lambda: healthy(lb) == [False, True])
        failed = [line for line in looks() if "no answer within" in line]
        assert ["up", "up", "down"] == [line.partition("[")[2].partition("]")[0] for line in failed]
        assert one.connections >= 3
        assert {b"two"} == await bodies(lb)
        one.fault = None
        await until(lambda: healthy(lb) == [True, True])
        assert {b"one", b"two"} == await bodies(lb)


async def test_case_54_one_that_hangs_is_ejected_by_its_requests_before_any_check_says_so(clock: Clock) -> None:
    """Five of them run into the response timeout; then it is left alone for its penalty, and asked five times more if
    it still hangs. Checks that pass do not end a penalty: they ask one page, and that one may work."""
    pool = {**by_http(), "timeouts": {"response": "100ms"}, "ejection": {"penalty": "300ms"}}
    async with faulty("one", "two", **pool) as (lb, (one, _)):
        one.fault = lambda seen: faults.Silence() if seen.target == "/" else None

        client = await lb.client()
        for turn in (1, 2):
            statuses: list[int] = []
            while lb.balancer.pool("web").backends[0].ejections < turn:
                statuses.append((await client.ask()).status)
            assert [504] * 5 == [status for status in statuses if status != 200]
            assert 5 * turn == sum(seen.target == "/" for seen in one.requests)
            assert [True, True] == healthy(lb)
        one.fault = None
        while (await client.ask()).body != b"one":
            pass


async def test_case_55_one_of_three_that_is_killed_under_load_costs_no_get() -> None:
    """All its connections are reset at once and its port refuses, as after kill -9: 16 clients with 60 requests each;
    the retry budget has been earned by 300 requests before. (With real processes: tests/real/test_load.py.)"""
    async with faulty("one", "two", "three", **checked(interval="500ms", timeout="500ms", fall=1)) as (lb, behind):
        first = await lb.client()
        assert {200} == {(await first.ask()).status for _ in range(300)}

        async def work() -> set[int]:
            client = await lb.client()
            return {(await client.ask()).status for _ in range(60)}

        tasks = [asyncio.get_running_loop().create_task(work()) for _ in range(16)]
        await until(lambda: len(lb.records) > 500)
        behind[1].fault = faults.Refuse()
        assert {200} == set().union(*await asyncio.gather(*tasks))
        assert {"-"} == set(lb.words())
        await until(lambda: healthy(lb) == [True, False, True])


async def test_case_56_with_all_down_it_is_503_at_once_and_they_come_back_by_themselves() -> None:
    """RFC 9110 15.6.4: nobody is tried, Retry-After says that it is worth asking again, and the checks go on."""
    async with faulty("one", "two", **checked()) as (lb, (one, two)):
        one.fault = two.fault = faults.Refuse()
        await until(lambda: healthy(lb) == [False, False])
        client = await lb.client()
        answer = await client.ask()
        assert (503, "1") == (answer.status, answer.get("retry-after"))
        assert ("none_up", 0) == (lb.records[0].word, lb.records[0].tries)
        two.fault = None
        await until(lambda: healthy(lb) == [False, True])
        assert b"two" == (await client.ask()).body


async def test_case_57_a_backend_that_flaps_is_damped_by_rise_and_fall() -> None:
    """Two bad checks by turns take nobody out (fall is 3), and one good one by turns brings nobody back (rise is 2)."""
    async with faulty("one", **by_http()) as (lb, (one,)):
        await until(lambda: checks(one) >= 2)
        one.fault = checks_only(faults.turns(2, Answer(500)))
        states = await _states(lb, one, 12)
        assert {True} == states
        one.fault = checks_only(Answer(500))
        await until(lambda: healthy(lb) == [False])
        one.fault = checks_only(faults.turns(1, Answer(500)))
        assert {False} == await _states(lb, one, 10)
        one.fault = None
        await until(lambda: healthy(lb) == [True])


async def test_case_57_one_that_flaps_between_its_checks_stays_out_longer_each_time(
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Ten good answers, ten bad ones: five bad ones are an ejection, and the second in a row lasts for two penalties.
    Its checks never fail."""
    pool = {**by_http(), "ejection": {"penalty": "1s"}}
    async with faulty("one", "two", **pool) as (lb, (one, _)):
        number = 0

        def flap(seen: Request) -> Fault | None:
            nonlocal number
            number += seen.target == "/"
            return Answer(500) if seen.target == "/" and number % 20 > 10 else None

        one.fault = flap
        client = await lb.client()
        with caplog.at_level(logging.INFO, "steelyard"):
            while lb.balancer.pool("web").backends[0].ejections < 2:
                await client.ask()
        lasted = [float(one) for one in re.findall(r"ejected for ([\d.]+) s", caplog.text)]
        assert 2 == len(lasted)
        assert all(times <= one <= 1.1 * times for times, one in enumerate(lasted, start=1)), lasted
        assert [True, True] == healthy(lb)


async def _states(lb: Running, one: FaultyBackend, count: int) -> set[bool]:
    """Whether it was up, while so many checks were made."""
    seen: set[bool] = set()
    end = checks(one) + count

    def done() -> bool:
        seen.add(healthy(lb)[0])
        return checks(one) >= end

    await until(done)
    return seen


SICK: Final[Sequence[Fault]] = [
    faults.Silence(),
    faults.Silence("in head"),
    faults.Drip(0.03),
    faults.Close(),
    faults.Reset(),
    faults.Raw(),
    faults.Endless("head", most=2**22),
    faults.Endless("line", most=2**22),
    faults.Interim([103] * 100, then=faults.Silence()),
    Answer(500),
]


@pytest.mark.parametrize("fault", SICK)
async def test_case_58_a_sick_health_page_is_a_failed_check(fault: Fault) -> None:
    """Too slow, without an end, nonsense, nothing: out after its checks, and back when they pass."""
    async with faulty(**by_http(fall=2, rise=1)) as (lb, (one,)):
        one.fault = fault
        await until(lambda: healthy(lb) == [False])
        one.fault = None
        await until(lambda: healthy(lb) == [True])


@pytest.mark.parametrize("what", ["body", "chunks"])
async def test_case_58_an_endless_body_is_not_read(what: Any) -> None:
    """The case says that it fails; here the status is all that is asked for, so it passes, and costs no memory: the
    connection is closed with the body still to come."""
    async with faulty(**by_http()) as (lb, (one,)):
        one.fault = faults.Endless(what, most=2**40)
        await until(lambda: checks(one) >= 4)
        assert [True] == healthy(lb)
        await until(lambda: one.open <= 1)


@pytest.mark.parametrize(("expect", "up"), [("200-399", True), ("2xx", False)])
async def test_case_58_a_redirect_is_a_status_and_is_not_followed(expect: str, up: bool) -> None:
    """The case says that it fails; here `expect` says which statuses are good, and 3xx is among them by default, as in
    HAProxy: many applications answer / with a redirect."""
    async with faulty(**by_http(expect=expect)) as (lb, (one,)):
        one.fault = Answer(302, {"Location": "/elsewhere"})
        await until(lambda: checks(one) >= 2)
        assert [up] == healthy(lb)
        assert {"/health"} == {seen.target for seen in one.requests}

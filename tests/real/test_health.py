"""Active checks with real servers: who is believed to be up, what the log says, and that nobody needs a restart.

docs/cases.md E 54, 56, 57, 58. Intervals are short, and nothing is measured in seconds: the tests count checks.
"""

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pytest

from steelyard.control import config
from steelyard.control.prober import check_once
from steelyard.core.spec import BackendSpec, HealthCheckSpec, Spec
from tests.real.backends import Backend, Script, Talk, backend, echo_name
from tests.real.client import HOST
from tests.real.support import Config, Running, free_port, free_ports, one_pool, running, until

FAST: Final = {"interval": "100ms", "timeout": "100ms"}


def checked(**check: Any) -> dict[str, Any]:
    return {"health_check": {**FAST, **check}}


def http(**check: Any) -> dict[str, Any]:
    return checked(kind="http", path="/health", **check)


def patient(written: Config) -> Spec:
    """A configuration whose checks wait for a machine that stands still. No file may say so: the next one is due."""
    spec = config.from_mapping(written)
    (pool,) = spec.pools
    assert pool.health_check is not None
    return replace(spec, pools=(replace(pool, health_check=replace(pool.health_check, timeout_s=60.0)),))


def healthy(lb: Running) -> list[bool]:
    return [one.healthy for one in lb.balancer.pool("web").backends]


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "steelyard"]


def answering(statuses: list[str]) -> Script:
    """A server that gives these answers to its checks, the last one for ever, and its name to everything else."""

    async def script(talk: Talk) -> None:
        while True:
            asked = await talk.request()
            if asked.target == "/health":
                talk.answer(b"", status=statuses.pop(0) if len(statuses) > 1 else statuses[0])
            else:
                talk.answer(talk.backend.name.encode())

    return script


def checks(one: Backend) -> int:
    return sum(seen.target == "/health" for seen in one.requests)


async def test_a_server_that_goes_and_comes_is_noticed_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """`[down]` with the pool and the reason, then `[up]`; requests go elsewhere meanwhile, and come back."""
    caplog.set_level(logging.INFO, "steelyard")
    async with backend(name="a") as a:
        one = Backend(echo_name, "b")
        await one.start()
        port = one.port
        async with running(patient(one_pool(a.port, port, pool=checked()))) as lb:
            assert {b"a", b"b"} == {(await lb.ask()).body for _ in range(4)}
            await one.stop()
            await until(lambda: healthy(lb) == [True, False])
            assert {b"a"} == {(await lb.ask()).body for _ in range(4)}
            assert {1} == {record.tries for record in lb.records[-4:]}
            again = Backend(echo_name, "b")
            await again.start(port=port)
            await until(lambda: healthy(lb) == [True, True])
            assert {b"a", b"b"} == {(await lb.ask()).body for _ in range(4)}
            await again.stop()
        said = [line for line in lines(caplog) if str(port) in line][:2]
        assert said[0].startswith(f"http://{HOST}:{port} [down] (pool web): ")
        assert said[1] == f"http://{HOST}:{port} [up] (pool web)"


async def test_the_first_result_counts_at_once() -> None:
    """A server that was never there gets no request that could wait for it, whatever `fall` says."""
    async with backend(name="a") as a, running(patient(one_pool(a.port, free_port(), pool=checked(fall=100)))) as lb:
        await until(lambda: healthy(lb) == [True, False])


async def test_fall_and_rise_count_checks_in_a_row() -> None:
    """Three bad checks take a server out and two good ones bring it back; fewer do neither (case 57)."""
    good, bad = "200 OK", "500 Oops"
    # up; two bad are forgiven by a good one; three bad: down; a good one before a bad one is not enough; two good: up
    statuses = [good, bad, bad, good, bad, bad, bad, good, bad, good, good, good]
    seen: list[bool] = []

    async def script(talk: Talk) -> None:
        await talk.request()
        seen.append(healthy(lb)[0])  # what the check before this one left behind
        talk.answer(b"", status=statuses[len(seen) - 1])

    pool = http(rise=2, fall=3, jitter="0%")
    async with backend(script) as one, running(patient(one_pool(one.port, pool=pool))) as lb:
        await until(lambda: len(seen) == len(statuses))
    assert [True] * 7 + [False] * 4 + [True] == seen


@pytest.mark.parametrize(
    ("status", "expect", "up"),
    [
        ("204 No Content", None, True),
        ("302 Found", None, True),
        ("302 Found", "2xx", False),
        ("404 Not Found", None, False),
        ("404 Not Found", [200, 404], True),
        ("500 Oops", "200-499", False),
    ],
)
async def test_an_http_check_expects_a_status(status: str, expect: object, up: bool) -> None:
    """Case 58: a redirect is a status like any other, and is not followed."""
    check = http() if expect is None else http(expect=expect)
    async with backend(answering([status])) as one, running(patient(one_pool(one.port, pool=check))) as lb:
        await until(lambda: checks(one) >= 2)
        assert [up] == healthy(lb)


async def test_a_check_says_who_it_is() -> None:
    """Logs of backends are full of checks: they can be told from traffic."""
    async with backend(answering(["200 OK"])) as one, running(one_pool(one.port, pool=http())):
        await until(lambda: one.requests)
        seen = one.requests[0]
        assert ("GET", "/health", f"{HOST}:{one.port}") == (seen.method, seen.target, seen.get("host"))
        assert "steelyard-health-check" == seen.get("user-agent")


async def slow(talk: Talk) -> None:
    await talk.request()
    await talk.ended()


async def endless(talk: Talk) -> None:
    await talk.request()
    talk.send(b"HTTP/1.1 200 OK\r\n")
    while talk.how == "open" and not talk.writer.is_closing():
        talk.send(b"x: y\r\n" * 1000)
        await talk.writer.drain()


async def garbage(talk: Talk) -> None:
    await talk.request()
    talk.send(b"+OK ready\r\n\r\n")


async def hung_up(talk: Talk) -> None:
    await talk.request()


@pytest.mark.parametrize(
    ("script", "reason"),
    [(slow, "no answer within"), (endless, ""), (garbage, "not an HTTP answer"), (hung_up, "closed without an answer")],
)
async def test_a_sick_health_page_is_a_failed_check(
    script: Script, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Case 58: too slow, without end, nonsense, nothing; the log says which."""
    async with backend(script) as one:
        written = one_pool(one.port, pool=http())
        async with running(written if script is slow else patient(written)) as lb:
            await until(lambda: healthy(lb) == [False])
            assert reason in lines(caplog)[0]


async def test_an_endless_body_does_not_keep_a_check_from_passing() -> None:
    """Case 58: the status is all that is asked for; the body is not read."""

    async def script(talk: Talk) -> None:
        await talk.request()
        talk.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while talk.how == "open" and not talk.writer.is_closing():
            talk.send(b"x" * 10_000)
            await talk.writer.drain()

    async with backend(script) as one, running(patient(one_pool(one.port, pool=http()))) as lb:
        await until(lambda: len(one.talks) >= 5)
        assert [True] == healthy(lb)


@pytest.mark.parametrize(("answers", "failed"), [(True, None), (False, "no answer within 0.1 s")])
async def test_a_time_that_ran_out_while_we_stood_still_says_nothing_of_the_backend(
    answers: bool, failed: str | None
) -> None:
    """As on a machine with more to do than it can, or behind a SIGSTOP. One that gives no answer has failed anyway."""

    async def script(talk: Talk) -> None:
        await talk.request()
        if len(one.talks) == 1:
            time.sleep(0.3)  # noqa: ASYNC251 (all of this process stands still)
        if answers:
            talk.answer(b"ok")
        await talk.ended()

    check = HealthCheckSpec(kind="http", timeout_s=0.1)
    async with backend(script) as one:
        place = BackendSpec(HOST, one.port)
        detail, _ = await check_once(asyncio.get_running_loop(), check, place)
        assert failed == detail


async def test_with_all_down_the_client_hears_503_at_once_and_recovery_needs_no_restart() -> None:
    """Case 56: Retry-After says when it is worth asking again."""
    ports = free_ports(2)
    async with running(one_pool(*ports, pool=checked())) as lb:
        await until(lambda: healthy(lb) == [False, False])
        client = await lb.client()
        answer = await client.ask()
        assert (503, "1") == (answer.status, answer.get("retry-after"))
        assert ("none_up", 0) == (lb.records[0].word, lb.records[0].tries)
        async with backend(port=ports[1]):
            await until(lambda: healthy(lb) == [False, True])
            assert 200 == (await client.ask()).status


async def test_connections_that_fail_under_requests_count_like_checks() -> None:
    """A dead server is out after `fall` requests, long before three checks of the default interval."""
    async with backend(name="a") as a:
        one = Backend(echo_name, "b")
        await one.start()
        async with running(
            one_pool(a.port, one.port, pool={"health_check": {"interval": "1h", "timeout": "1s"}})
        ) as lb:
            await until(lambda: a.talks and one.talks)
            assert {b"a", b"b"} == {(await lb.ask()).body for _ in range(4)}
            await one.stop()
            assert {200} == {(await lb.ask()).status for _ in range(12)}
            assert [True, False] == healthy(lb)


async def test_mark_down_takes_a_server_out_after_one_request_and_a_check_brings_it_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As the little balancer, system 5 of the README's table, wants it."""
    pool: Mapping[str, Any] = {"retry": {"mark_down": True, "tries": 2}, **checked(rise=1)}
    caplog.set_level(logging.INFO, "steelyard")

    async def dies(talk: Talk) -> None:
        if await talk.read():
            talk.reset()

    async with (
        backend(dies, "a") as a,
        backend(name="b") as b,
        running(patient(one_pool(a.port, b.port, pool=pool))) as lb,
    ):
        assert b"b" == (await lb.ask()).body
        assert [f"http://{HOST}:{a.port} [down]"] == [
            line.partition(" (")[0] for line in lines(caplog) if "down" in line
        ]
        await until(lambda: healthy(lb) == [True, True])  # a TCP check finds it well


STOPPED: Final = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


async def test_a_process_that_hangs_is_taken_out_and_comes_back() -> None:
    """Case 54: SIGSTOP leaves its port accepting, so only an HTTP check sees it; SIGCONT brings it back."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", STOPPED, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        check = http(interval="200ms", timeout="150ms", rise=1)
        async with (
            backend(answering(["200 OK"]), "other") as other,
            running(one_pool(port, other.port, pool=check)) as lb,
        ):
            await until(lambda: checks(other) > 1 and healthy(lb) == [True, True])
            process.send_signal(signal.SIGSTOP)
            await until(lambda: healthy(lb) == [False, True])
            assert {b"other"} == {(await lb.ask()).body for _ in range(4)}
            process.send_signal(signal.SIGCONT)
            await until(lambda: healthy(lb) == [True, True])
    finally:
        process.kill()
        await process.wait()

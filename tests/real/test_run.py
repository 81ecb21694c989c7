"""`python -m steelyard run` as a process: how it starts, stops (docs/cases.md G), and what it says when it cannot."""

import asyncio
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.real.backends import Talk, backend
from tests.real.client import HOST, Client, request
from tests.real.programs import interrupt, program, refusing, steelyard_run
from tests.real.support import ON_UVLOOP, until

pytestmark = ON_UVLOOP


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_stops_gracefully(number: signal.Signals) -> None:
    """Case 66: what is in flight ends, idle connections close, nothing new is accepted, the exit status is 0."""
    asked, finish = asyncio.Event(), asyncio.Event()

    async def script(talk: Talk) -> None:
        while True:
            seen = await talk.request()
            if seen.target == "/slow":
                asked.set()
                await finish.wait()
            talk.answer(b"done")

    async with (
        backend(script) as behind,
        steelyard_run(f"{HOST}:{behind.port}", "--listen", f"{HOST}:0") as (ran, port),
    ):
        idle, busy, fresh = [await Client.open(port) for _ in range(3)]
        assert 200 == (await idle.ask()).status
        busy.get("/slow")
        await asked.wait()
        interrupt(ran, number)
        assert b"" == await idle.rest()
        assert b"" == await fresh.rest()
        await refusing(port)
        assert ran.process.returncode is None
        finish.set()
        answer = await busy.answer()
        assert (200, b"done", "close") == (answer.status, answer.body, answer.get("connection"))
        assert b"" == await busy.rest()
        assert 0 == await ran.ended()
        assert "30 s to finish" in ran.complained
        for client in (idle, busy, fresh):
            client.close()


async def test_a_request_that_is_half_read_when_it_stops_is_still_answered() -> None:
    """Its client began to speak before the end was known."""
    async with backend() as behind, steelyard_run(f"{HOST}:{behind.port}", "--listen", f"{HOST}:0") as (ran, port):
        client = await Client.open(port)
        raw = request("POST", "/", body=b"x" * 1000)
        client.send(raw[:900])
        await until(lambda: any(talk.received for talk in behind.talks))  # and not only a check of ours
        interrupt(ran)
        await refusing(port)  # said by the supervisor, done by the worker: only now does it know of the end
        client.send(raw[900:])
        answer = await client.answer()
        assert (200, "close") == (answer.status, answer.get("connection"))
        assert 0 == await ran.ended()
        client.close()


async def test_a_second_interrupt_ends_it_at_once() -> None:
    """Whoever does not want to wait need not kill it."""

    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.ended()

    async with (
        backend(script) as behind,
        steelyard_run(f"{HOST}:{behind.port}", "--listen", f"{HOST}:0") as (ran, port),
    ):
        client = await Client.open(port)
        client.get()
        await until(lambda: behind.requests)
        interrupt(ran, signal.SIGINT)
        await until(lambda: "stopping" in ran.complained)
        interrupt(ran, signal.SIGINT)
        assert 0 == await ran.ended()
        client.close()


async def test_the_drain_has_a_limit(tmp_path: Path) -> None:
    """A request that never ends does not keep it from ending: `drain_timeout`."""

    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.ended()

    async with backend(script) as behind:
        path = tmp_path / "balancer.yaml"
        path.write_text(
            f"listeners: {{web: {{bind: '{HOST}:0', pool: web}}}}\n"
            f"pools: {{web: {{backends: ['{HOST}:{behind.port}']}}}}\n"
            "drain_timeout: 300ms\n"
        )
        async with steelyard_run("-c", str(path)) as (ran, port):
            client = await Client.open(port)
            client.get()
            await until(lambda: behind.requests)
            interrupt(ran)
            with suppress(ConnectionResetError):  # as good an end as a FIN, where no answer had begun
                assert b"" == await client.rest()
            assert 0 == await ran.ended()
            client.close()


async def test_a_port_in_use_is_said_and_nothing_starts() -> None:
    """Exit status 1, one sentence with the option, the address and the mend, and no traceback."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = (sys.executable, "-m", "steelyard", "run", f"{HOST}:1", "--listen", f"{HOST}:{port}")
        async with program(*command) as ran:
            assert 1 == await ran.ended()
            assert "" == ran.said
            assert ran.complained.startswith(f"--listen: {HOST}:{port}: the port is in use; ")
            assert "Traceback" not in ran.complained


async def test_a_configuration_that_cannot_run_starts_nothing(tmp_path: Path) -> None:
    """Exit status 1; file, line, key, value and the mend."""
    path = tmp_path / "balancer.yaml"
    path.write_text(
        "listeners:\n  web: {bind: ':0', pool: web}\n"
        "pools:\n  web:\n    polcy: random\n    backends: ['localhost:8000']\n"
    )
    async with program(sys.executable, "-m", "steelyard", "run", "-c", str(path)) as ran:
        assert 1 == await ran.ended()
        assert "" == ran.said
        assert f"{path}:5: pools.web.polcy" in ran.complained.replace("\n", "")
        assert "policy" in ran.complained


async def test_it_says_where_it_listens_and_where_requests_go() -> None:
    """The first line is all that one needs to try it."""
    async with (
        backend() as behind,
        steelyard_run(f"{HOST}:{behind.port}", "--listen", f"{HOST}:0", "--policy", "random") as (ran, port),
    ):
        assert f"listening on http://{HOST}:{port} -> pool web (random): {HOST}:{behind.port}\n" == ran.said
        client = await Client.open(port)
        assert b"one" == (await client.ask()).body
        client.close()


async def test_the_access_log_has_a_line_for_each_request(tmp_path: Path) -> None:
    """Written at the latest when it stops."""
    log = tmp_path / "access.log"
    async with (
        backend() as behind,
        steelyard_run(f"{HOST}:{behind.port}", "-l", f"{HOST}:0", "--access-log", str(log)) as (ran, port),
    ):
        client = await Client.open(port)
        for number in range(5):
            await client.ask(f"/{number}")
        client.close()
        interrupt(ran)
        assert 0 == await ran.ended()
        lines = log.read_text().splitlines()
        assert 5 == len(lines)
        assert '"target": "/4"' in lines[4]

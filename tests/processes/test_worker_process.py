"""A worker's process does what it is told in its order; one that cannot serve as the others do ends."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from steelyard.control import config
from steelyard.control.ledger import Ledger
from steelyard.core import table as cells
from steelyard.core.spec import Spec
from steelyard.core.table import Table
from steelyard.processes.channel import Channel
from steelyard.processes.snapshot import Snapshot, pack
from steelyard.processes.worker_process import WorkerProcess
from tests.fakes_core import a_table

PATIENCE_S = 50.0
KEY = "web=127.0.0.1:0"
pytestmark = pytest.mark.real


def spec(body: str, bind: str = "127.0.0.1:0") -> Spec:
    return config.loads(f"listeners: {{web: {{bind: '{bind}', routes: [{{respond: {{body: {body}}}}}]}}}}")


class Stage:
    """A worker in this process, and the supervisor's end of its channel."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.table: Table = a_table(20)
        self.ledger = Ledger(self.table)
        self.process = WorkerProcess(0, theirs, self.table)
        self.running = asyncio.get_running_loop().create_task(self.process.run())
        self.channel = Channel(ours)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.last_id = 0

    async def ask(self, name: str, blob: bytes = b"", **words: Any) -> dict[str, Any]:
        """Its answer, without its number."""
        self.last_id += 1
        self.channel.send(name, {"id": self.last_id, **words}, blob)
        async with asyncio.timeout(PATIENCE_S):
            while not (found := self.channel.receive()):  # noqa: ASYNC110 (nothing to wait for)
                await asyncio.sleep(0)
        assert [("answer", self.last_id)] == [(one.name, one.words.pop("id")) for one in found]
        return found[0].words

    def hand(self) -> None:
        self.channel.send("sockets", {"keys": [KEY]}, b"", [self.listening.fileno()])

    async def prepare(self, one: Spec) -> dict[str, Any]:
        return await self.ask("prepare", pack(Snapshot(1, one, self.ledger.plan(one))))

    async def body(self) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
        writer.close()
        await writer.wait_closed()
        return answer.partition(b"\r\n\r\n")[2]

    async def ended(self) -> None:
        await asyncio.wait_for(asyncio.shield(self.running), PATIENCE_S)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    stage.channel.close()
    await stage.ended()
    await stage.process.worker.stop(0.0)
    stage.listening.close()


async def test_it_serves_at_the_sockets_that_it_was_handed(stage: Stage) -> None:
    stage.hand()
    assert {} == await stage.prepare(spec("one"))
    assert ["pause_s"] == list(await stage.ask("commit"))
    assert b"one" == await stage.body()
    assert {} == await stage.prepare(spec("two"))
    assert b"one" == await stage.body()
    await stage.ask("commit")
    assert b"two" == await stage.body()
    assert stage.table.of_worker(cells.BALANCER, 0, cells.BEAT) > 0


async def test_what_was_dropped_is_not_served_and_its_sockets_are_closed(stage: Stage) -> None:
    stage.hand()
    await stage.prepare(spec("one"))
    await stage.ask("drop")
    assert ({}, None) == (stage.process.sockets, stage.process.prepared)


async def test_who_has_prepared_nothing_cannot_commit_and_ends(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    answer = await stage.prepare(Spec((), spec("one").pools, access_log="/no/such/directory/a.log"))
    assert "/no/such/directory" in answer["failed"]
    assert answer == await stage.ask("commit")
    await stage.ended()
    assert "worker 0: cannot serve by the configuration in force: " in caplog.text


async def test_one_that_has_switched_only_in_part_ends(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """As where the sockets of a new listener are missing, and the address is taken."""
    await stage.prepare(spec("one", f"127.0.0.1:{stage.port}"))
    assert "in use" in (await stage.ask("commit"))["failed"]
    await stage.ended()
    assert "cannot serve by the configuration in force: ListenError" in caplog.text


async def test_a_bug_is_answered_and_costs_no_traffic(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.hand()
    await stage.prepare(spec("one"))
    await stage.ask("commit")
    assert "UnpicklingError" in (await stage.ask("prepare", b"nonsense"))["failed"]
    assert "worker 0: prepare failed" in caplog.messages
    assert b"one" == await stage.body()


async def test_its_latest_requests_are_told_with_the_parts_that_are_asked_for(stage: Stage) -> None:
    stage.hand()
    await stage.prepare(spec("one"))
    await stage.ask("commit")
    await stage.body()
    assert {"seen": [["web", "-", "-", {"path": "/"}]]} == await stage.ask("ask", parts=["path"])


async def test_a_stop_ends_it_and_a_second_one_ends_it_at_once(stage: Stage) -> None:
    stage.hand()
    await stage.prepare(spec("one"))
    await stage.ask("commit")
    _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    writer.write(b"GET / HTTP/1.1\r\n")  # a request that does not end
    async with asyncio.timeout(PATIENCE_S):
        while not stage.process.worker.clients():  # noqa: ASYNC110 (nothing to wait for)
            await asyncio.sleep(0)
    stage.channel.send("stop", {"drain_s": 1000.0})
    for _ in range(100):
        await asyncio.sleep(0)
    assert not stage.running.done()
    stage.channel.send("stop", {"drain_s": 0.0})
    await stage.ended()
    writer.close()


async def test_two_stops_that_come_together_end_it(stage: Stage) -> None:
    stage.channel.send("stop", {"drain_s": 1000.0})
    stage.channel.send("stop", {"drain_s": 0.0})
    await stage.ended()


async def test_it_ends_with_its_supervisor(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.channel.close()
    await stage.ended()
    assert ["worker 0: the supervisor is gone; finishing what is in flight"] == caplog.messages

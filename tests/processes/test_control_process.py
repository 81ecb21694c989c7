"""The control process prepares everywhere before it commits; here the supervisor's side is in our hands."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from steelyard.backends import places
from steelyard.control import config, watch
from steelyard.control.ledger import Ledger, table_bytes, table_rows
from steelyard.core import table as cells
from steelyard.core.spec import Spec
from steelyard.core.table import Table
from steelyard.processes import source
from steelyard.processes.channel import Channel, Message
from steelyard.processes.control_process import ControlProcess
from steelyard.processes.snapshot import Snapshot, pack

TEXT = """\
workers: 2
max_backends: 10
listeners: {web: {bind: '127.0.0.1:0', pool: app}}
pools: {app: {backends: [a:1]}}
"""
KEY = "web=127.0.0.1:0"
PATIENCE_S = 50.0
WORKERS = 2
PLACE: dict[str, Any] = {"place": "/run/p", "locals": []}
pytestmark = pytest.mark.real


class Stage:
    """A control process in this one, and the supervisor's end of its channel."""

    def __init__(self, directory: Path) -> None:
        ours, theirs = socket.socketpair()
        self.file = directory / "a.yaml"
        self.file.write_text(TEXT)
        self.source = source.from_file(self.file)
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(directory / "1.sock"))
        sock.listen()
        self.commands = sock
        self.process = ControlProcess(theirs, sock)
        self.running = asyncio.get_running_loop().create_task(self.process.run())
        self.channel = Channel(ours)
        self.waiting: list[Message] = []
        self.rows = table_rows(10)
        size = table_bytes(self.rows, WORKERS)
        self.memory = os.memfd_create("test")
        os.ftruncate(self.memory, size)

    async def hears(self, name: str) -> Message:
        """The next thing that the supervisor is told; it must be this."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.waiting:
                self.waiting += self.channel.receive()
                await asyncio.sleep(0)
        message = self.waiting.pop(0)
        assert name == message.name
        return message

    async def silence(self) -> None:
        """Nothing is said, as far as the loop has come in many rounds."""
        for _ in range(200):
            await asyncio.sleep(0)
            self.waiting += self.channel.receive()
        assert [] == self.waiting

    def answer(self, message: Message, *answers: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
        self.channel.send("answer", {"id": message.words["id"], "answers": list(answers)}, b"", descriptors)

    async def opens(self) -> None:
        self.channel.send("begin", {"source": self.source})
        self.answer(await self.hears("open"), PLACE, descriptors=(self.memory,))

    async def puts_into_force(self) -> Message:
        """Prepare and commit go well; what was committed."""
        self.answer(await self.hears("prepare"), {"addresses": {KEY: "127.0.0.1:80"}}, {"worker": 0})
        message = await self.hears("commit")
        self.answer(message, {"worker": 0, "pause_s": 0.002}, {"worker": 1, "pause_s": 0.001})
        return message

    async def serves(self) -> None:
        await self.opens()
        await self.puts_into_force()
        await self.until_number(1)

    async def until_number(self, number: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.process.number < number or self.process.reloading.locked():  # noqa: ASYNC110 (nothing to wait for)
                await asyncio.sleep(0)

    def cell(self, cell: int) -> int:
        return self.process.ledger.table.get(cells.BALANCER, cell)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.channel.close()
    await asyncio.wait_for(stage.running, PATIENCE_S)
    if (server := stage.process.commands.server) is not None:
        server.close()
        await asyncio.sleep(0)
    stage.commands.close()
    os.close(stage.memory)


async def test_it_opens_prepares_and_commits(stage: Stage) -> None:
    stage.channel.send("begin", {"source": stage.source})
    opened = await stage.hears("open")
    assert (2, stage.rows, {}, "") == tuple(opened.words[key] for key in ("workers", "rows", "user", "pid_file"))
    stage.answer(opened, PLACE, descriptors=(stage.memory,))
    committed = await stage.puts_into_force()
    await stage.until_number(1)
    assert 30.0 == committed.words["drain_s"]
    assert ["listening on http://127.0.0.1:80 -> pool app (round_robin): a:1"] == committed.words["lines"]
    assert (1, 0) == (stage.cell(cells.CONFIGURATION), stage.cell(cells.RELOADS))


async def test_a_file_that_cannot_run_is_told_and_ends_it_with_1(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.file.write_text(TEXT.replace("pool: app", "pol: app"))
    stage.channel.send("begin", {"source": stage.source})
    assert 1 == await asyncio.wait_for(asyncio.shield(stage.running), PATIENCE_S)
    assert f"{stage.file}:3: listeners.web.pol: unknown key" in capsys.readouterr().err


async def test_a_port_in_use_is_told_and_ends_it_with_1(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    await stage.opens()
    stage.answer(await stage.hears("prepare"), {"failed": "127.0.0.1:80: in use", "listener": "web"})
    assert 1 == await asyncio.wait_for(asyncio.shield(stage.running), PATIENCE_S)
    assert "127.0.0.1:80: in use" in capsys.readouterr().err


async def test_a_reload_reads_the_file_anew(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    await stage.serves()
    stage.file.write_text(TEXT.replace("[a:1]", "[a:1, b:2]"))
    stage.channel.send("reload")
    await stage.puts_into_force()
    await stage.until_number(2)
    assert (2, 1, 2) == (
        stage.cell(cells.CONFIGURATION),
        stage.cell(cells.RELOADS),
        len(stage.process.pools["app"].backends),
    )


async def test_what_is_saved_while_it_starts_is_noticed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """`watch: true` compares with the file as it was read, and not as it was when all served."""
    monkeypatch.setattr(watch, "LOOK_S", 0.01)
    stage.file.write_text(TEXT + "watch: true\n")
    await stage.opens()
    prepare = await stage.hears("prepare")
    stage.file.write_text(TEXT.replace("a:1", "b:12") + "watch: true\n")
    stage.answer(prepare, {"addresses": {KEY: "127.0.0.1:80"}}, {"worker": 0})
    stage.answer(await stage.hears("commit"), {"worker": 0}, {"worker": 1})
    await stage.puts_into_force()
    await stage.until_number(2)
    assert ["b:12"] == [backend.address for backend in stage.process.spec.pools[0].backends]


@pytest.mark.parametrize(
    ("expected", "old", "new"),
    [
        ("unknown key", "pool: app", "pol: app"),
        ("workers: cannot be changed from 2 by a reload", "workers: 2", "workers: 3"),
        ("pid_file: cannot be changed from off by a reload", "workers: 2", "workers: 3\npid_file: /a"),
    ],
)
async def test_a_reload_that_is_refused_tells_nobody_to_prepare(
    expected: str, old: str, new: str, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.serves()
    stage.file.write_text(TEXT.replace(old, new))
    stage.channel.send("reload")
    await stage.silence()
    assert expected in caplog.text
    assert (1, 1) == (stage.cell(cells.CONFIGURATION), stage.cell(cells.REFUSED))


async def test_what_a_worker_cannot_prepare_is_dropped_everywhere(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.serves()
    stage.file.write_text(TEXT.replace("[a:1]", "[a:1, b:2]"))
    stage.channel.send("reload")
    free = len(stage.process.ledger.free)
    addresses = {"addresses": {KEY: "127.0.0.1:80"}}
    stage.answer(await stage.hears("prepare"), addresses, {"worker": 1, "failed": "no such module"})
    await stage.hears("drop")
    await stage.until_number(1)
    assert ("no such module" in caplog.text, free + 1) == (True, len(stage.process.ledger.free))


@pytest.mark.parametrize("before", ["open", "prepare"])
async def test_a_reload_that_is_asked_for_during_the_start_waits_for_its_end(before: str, stage: Stage) -> None:
    """Two that put something into force at the same time would plan with the same rows."""
    stage.channel.send("begin", {"source": stage.source})
    message = await stage.hears("open")
    if before == "open":
        stage.channel.send("reload")
        await stage.silence()
    stage.answer(message, PLACE, descriptors=(stage.memory,))
    message = await stage.hears("prepare")
    if before == "prepare":
        stage.channel.send("reload")
        await stage.silence()
    stage.answer(message, {"addresses": {KEY: "127.0.0.1:80"}})
    stage.answer(await stage.hears("commit"), {"worker": 0})
    await stage.puts_into_force()
    await stage.until_number(2)
    assert not stage.running.done()


async def resumed(stage: Stage, blob: bytes) -> None:
    words = {"source": stage.source, "workers": WORKERS, "rows": stage.rows, **PLACE}
    stage.channel.send("resume", words, blob, [stage.memory])


async def test_a_successor_goes_on_with_what_is_in_force(stage: Stage) -> None:
    """Health and weights are where they were: in the table."""
    spec = config.loads(TEXT)
    table = Table(bytearray(table_bytes(stage.rows, WORKERS)), stage.rows, WORKERS)
    await resumed(stage, pack(Snapshot(5, spec, Ledger(table).plan(spec))))
    await stage.until_number(5)
    assert (spec, 5) == (stage.process.spec, stage.cell(cells.CONFIGURATION))
    stage.channel.send("reload")
    await stage.puts_into_force()
    await stage.until_number(6)


async def test_a_successor_that_cannot_go_on_ends_so_that_another_one_tries(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await resumed(stage, b"nonsense")
    assert 3 == await asyncio.wait_for(asyncio.shield(stage.running), PATIENCE_S)
    assert "the control process has a bug" in caplog.text


async def test_it_ends_with_its_supervisor(stage: Stage) -> None:
    await stage.serves()
    stage.channel.close()
    assert 0 == await asyncio.wait_for(asyncio.shield(stage.running), PATIENCE_S)


# Local backends.

LOCAL = TEXT.replace("[a:1]", "[{run: 'serve {socket}', processes: 2}]").replace("a:1]}", "a:1], health_check: off}")


async def wanted(stage: Stage, *why: str) -> list[dict[str, Any]]:
    """The supervisor is asked for processes, and answers why they failed, or that they are ready."""
    message = await stage.hears("locals")
    words: list[dict[str, Any]] = message.words["locals"]
    reports = [
        {
            "key": one["key"],
            "pid": at,
            "state": "waiting" if reason else "ready",
            "age_s": 0.0,
            "new": True,
            "why": reason,
        }
        for at, (one, reason) in enumerate(zip(words, why, strict=True), 1)
    ]
    stage.answer(message, *reports)
    return words


async def test_local_backends_are_ready_before_anything_is_prepared_and_kept_when_it_is_in_force(stage: Stage) -> None:
    stage.file.write_text(LOCAL.replace("}]}", "}], health_check: off}"))
    await stage.opens()
    words = await wanted(stage, "", "")
    assert [("app/0", ["serve", one["path"]], str(stage.file.parent)) for one in words[:1]] == [
        (one["name"], one["argv"], one["directory"]) for one in words[:1]
    ]
    assert all(one["path"].startswith("/run/p/app-") for one in words)
    committed = await stage.puts_into_force()
    await stage.until_number(1)
    assert [one["key"] for one in words] == committed.words["locals"]
    (pool,) = stage.process.pools.values()
    stage.channel.send("local", {"key": words[1]["key"], "pid": 0, "state": "waiting"})
    async with asyncio.timeout(PATIENCE_S):
        while [True, False] != [backend.healthy for backend in pool.backends]:  # noqa: ASYNC110 (nothing to wait for)
            await asyncio.sleep(0)


async def test_a_reload_whose_local_backends_fail_is_dropped(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    await stage.serves()
    stage.file.write_text(LOCAL)
    stage.channel.send("reload")
    await wanted(stage, "a.yaml:4: it has failed", "the same")
    await stage.hears("drop")
    await stage.silence()
    assert ["reload: a.yaml:4: it has failed"] == [line for line in caplog.messages if "failed" in line]
    assert 1 == stage.process.number


async def test_what_a_successor_hears_while_it_begins_is_newer_than_what_it_was_begun_with(stage: Stage) -> None:
    stage.file.write_text(LOCAL.replace("}]}", "}], health_check: off}"))
    spec = places.resolved(source.read(stage.source), Spec((), ()), "/run/p")
    table = Table(bytearray(table_bytes(stage.rows, WORKERS)), stage.rows, WORKERS)
    blob = pack(Snapshot(5, spec, Ledger(table).plan(spec)))
    reports = [{"key": key, "pid": 7, "state": "starting"} for key in places.keys(spec)]
    words = {"source": stage.source, "workers": WORKERS, "rows": stage.rows, **PLACE, "locals": reports}
    stage.channel.send("resume", words, blob, [stage.memory])
    stage.channel.send("local", {**reports[0], "state": "ready"})
    await stage.until_number(5)
    (pool,) = stage.process.pools.values()
    assert [True, False] == [backend.healthy for backend in pool.backends]

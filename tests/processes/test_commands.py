"""What is asked of a running balancer over its socket is done, and whatever goes wrong is an answer too."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from steelyard.control import config
from steelyard.core import table as cells
from steelyard.core.pool import Pool
from steelyard.core.rows import PoolRows, Rows
from steelyard.errors import ConfigError, Problem
from steelyard.processes.commands import Commands, call
from tests.fakes_core import a_table

TEXT = "listeners: {web: {bind: ':8080', pool: app}}\npools: {app: {backends: [a:1, b:2]}}\n"
PATIENCE_S = 50.0
FIRST = cells.FIRST_ROW
pytestmark = pytest.mark.real


RELOADED: dict[str, Any] = {"configuration": 4, "changes": 2, "took_s": 0.25, "pause_s": 0.001}


class FakeProcess:
    """In place of a ControlProcess. answers: of the supervisor, by what is asked of it."""

    def __init__(self) -> None:
        self.spec = config.loads(TEXT)
        self.place = ""
        self.source: dict[str, Any] = {"file": "/etc/a.yaml"}
        self.number = 3
        self.ledger = self  # as far as it has a table
        self.table = a_table(FIRST + 5, workers=2)
        rows = PoolRows((FIRST,), (FIRST + 1, FIRST + 2))
        self.rows = Rows({"app": rows}, {"listener 0.0.0.0:8080": FIRST + 3})
        for row, weight in zip(rows.backends, (1, 3), strict=True):
            self.table.set(row, cells.WEIGHT, weight)
            self.table.set(row, cells.SHARE, weight * cells.WEIGHT_UNIT)
        self.pools = {"app": Pool(self.spec.pools[0], self.table, rows, fresh=False)}
        self.asked: list[tuple[str, Any]] = []
        self.answers: dict[str, list[dict[str, Any]]] = {}
        self.fails: Exception | None = None

    async def reload(self) -> dict[str, Any]:
        if self.fails is not None:
            raise self.fails
        return RELOADED

    async def ask(self, name: str, words: Any = None) -> list[dict[str, Any]]:
        self.asked.append((name, words))
        return self.answers[name]


class Stage:
    """Commands over a fake process, and where they are taken."""

    def __init__(self, path: Path) -> None:
        self.path = path
        process: Any = FakeProcess()
        self.process = process
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path))
        sock.listen()
        sock.setblocking(False)
        self.commands = Commands(process, sock)
        self.commands.start()

    async def call(self, **words: Any) -> Any:
        return await asyncio.to_thread(call, self.path, words, PATIENCE_S)

    async def send(self, line: bytes) -> Any:
        """A line that no command of ours would send."""
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        writer.write(line)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
        writer.close()
        await writer.wait_closed()
        return json.loads(answer)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path / "1.sock")
    yield stage
    assert stage.commands.server is not None
    stage.commands.server.close()
    await asyncio.sleep(0)
    assert stage.commands.sock is not None
    stage.commands.sock.close()


async def test_a_reload_answers_with_what_came_of_it(stage: Stage) -> None:
    assert RELOADED == await stage.call(do="reload")


async def test_a_reload_that_is_refused_answers_with_why(stage: Stage) -> None:
    stage.process.fails = ConfigError([Problem("a.yaml:1", "workers", "is too many", "999")])
    assert {"failed": str(stage.process.fails)} == await stage.call(do="reload")


async def test_a_bug_is_an_answer_and_stands_in_the_log(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.process.fails = ZeroDivisionError("by 0")
    assert {"failed": "a bug: ZeroDivisionError: by 0"} == await stage.call(do="reload")
    assert ["the command reload failed"] == caplog.messages
    stage.process.fails = None
    assert "took_s" in await stage.call(do="reload")


@pytest.mark.parametrize("answer", [{"pid": 4711}, {"failed": "an upgrade goes on already"}])
async def test_an_upgrade_answers_with_what_the_supervisor_says(stage: Stage, answer: dict[str, Any]) -> None:
    stage.process.answers["upgrade"] = [answer]
    assert answer == await stage.call(do="upgrade")
    assert [("upgrade", None)] == stage.process.asked


async def test_a_diff_compares_with_what_is_in_force_and_looks_where_requests_go(stage: Stage) -> None:
    seen = [["web", "app", "a:1", {}]] * 3
    stage.process.answers["ask"] = [{"seen": seen}, {"failed": "it ends"}, {"seen": seen}]
    text = TEXT.replace("[a:1, b:2]", "[b:2, c:3]") + "workers: 3\n"
    found = await stage.call(do="diff", text=text, file="/etc/a.yaml")
    assert ["added", "pools.app.backends[c:3]"] in [one[:2] for one in found["changes"]]
    assert [False] == [one[4] for one in found["changes"] if one[1] == "workers"]
    assert any("6" in line for line in found["moves"])


async def test_what_the_command_line_has_settled_is_no_difference(stage: Stage) -> None:
    """`steelyard run -c a.yaml --workers 2` goes by it, whatever the file says."""
    stage.process.answers["ask"] = []
    stage.process.source["overrides"] = {"workers": stage.process.spec.workers}
    found = await stage.call(do="diff", text=TEXT + "workers: 9\n", file="/etc/a.yaml")
    assert [] == found["changes"]


async def test_a_diff_with_a_configuration_that_cannot_run_says_why(stage: Stage) -> None:
    found = await stage.call(do="diff", text="listeners: {}\nnonsense: 1\n", file="/etc/a.yaml")
    assert "/etc/a.yaml:2: nonsense: unknown key" in found["failed"]


async def test_the_status_says_who_runs_and_how_the_backends_are(stage: Stage) -> None:
    table = stage.process.table
    table.set(cells.BALANCER, cells.RELOADS, 2)
    table.set(cells.BALANCER, cells.REFUSED, 1)
    table.set(FIRST + 1, cells.STATUS, cells.SILENT)
    table.set_mine(cells.BALANCER, cells.CLIENTS, 8)
    table.set_mine(FIRST + 2, cells.REQUESTS, 5)
    table.set_mine(cells.COUNTERS, 0, 4)
    workers = [
        {"number": 0, "pid": 10, "age_s": 5.0, "replaced": 0},
        {"number": 1, "pid": 11, "age_s": 5.0, "replaced": 1},
    ]
    stage.process.answers["report"] = [{"pid": 9, "age_s": 6.0, "workers": workers, "locals": []}]
    found = await stage.call(do="status")
    assert (9, "/etc/a.yaml", 3, 2, 1, 0) == tuple(
        found[key] for key in ("pid", "file", "configuration", "reloads", "refused", "workers_lost")
    )
    assert [8, 0] == [worker["clients"] for worker in found["workers"]]
    counts = {"weight": 1, "in_flight": 0, "requests": 0, "failures": 0}
    shown = {**counts, "ejected_s": 0.0, "ejections": 0, "circuit": "closed", "trips": 0}
    assert [
        {**shown, "address": "a:1", "state": "silent"},
        {**shown, "address": "b:2", "state": "up", "weight": 3, "requests": 5},
    ] == found["pools"]["app"]
    assert {} == found["circuits"]
    assert (4, 0) == (found["counters"]["answered"], found["counters"]["none_up"])


async def test_the_status_says_who_is_left_alone(stage: Stage) -> None:
    table = stage.process.table
    stage.process.answers["report"] = [{"pid": 9, "age_s": 6.0, "workers": [], "locals": []}]
    table.set(FIRST + 1, cells.EJECTED, int(monotonic() * 1000) + 3_600_000)
    table.set(FIRST + 2, cells.EJECTED, 1)
    table.set(FIRST + 2, cells.CIRCUIT, 5 << cells.CIRCUIT_SHIFT | cells.OPEN)
    table.set_mine(FIRST + 1, cells.EJECTIONS, 2)
    table.set_mine(FIRST + 2, cells.TRIPS, 4)
    first, second = (await stage.call(do="status"))["pools"]["app"]
    assert 3000.0 < first["ejected_s"] <= 3600.0
    assert (2, "closed", 0) == (first["ejections"], first["circuit"], first["trips"])
    assert (0.0, 0, "open", 4) == tuple(second[key] for key in ("ejected_s", "ejections", "circuit", "trips"))


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"GET / HTTP/1.1\r\n", b"{}\n", b"[]\n", b'{"do": "dance"}\n', b'{"do": []}\n', b"\xff\n"]
)
async def test_what_is_no_command_is_told_what_there_is(stage: Stage, line: bytes) -> None:
    assert {"failed": "no such command; there are reload, status, diff, upgrade"} == await stage.send(line)


async def test_who_goes_without_waiting_for_the_answer_is_no_matter(stage: Stage) -> None:
    for line in (b"", b'{"do": "reload"}', b'{"do": "reload"}\n'):
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(stage.path))
            caller.sendall(line)
    assert "took_s" in await stage.call(do="reload")


async def test_many_are_answered_at_the_same_time(stage: Stage) -> None:
    answers = await asyncio.gather(*(stage.call(do="reload") for _ in range(9)))
    assert [RELOADED] * 9 == answers


def test_one_that_ends_meanwhile_has_given_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "1.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        sock.settimeout(PATIENCE_S)
        with pytest.raises(TimeoutError):
            call(path, {"do": "status"}, 0.01)
    with pytest.raises(ConnectionRefusedError):
        call(path, {"do": "status"}, PATIENCE_S)

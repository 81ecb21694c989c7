"""A balancer of several real processes, seen from outside: its signals, its commands, its processes, its clients.

`balancing` is the whole stage: afterwards nothing is in flight, no process of it is left, and none has told of a bug.
Each balancer has its own place for the socket of its commands, so that tests can run side by side.
"""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

from tests.real.client import HOST, PATIENCE_S, Client, request
from tests.real.programs import Program, program
from tests.real.support import Config, one_pool, until

TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
COMMAND: Final = (sys.executable, "-m", "steelyard")


class Balancer:
    """A running one. pid: of its supervisor; after an upgrade, set to that of the new one. port: of its listener."""

    def __init__(self, home: Path, started: Program, command: Sequence[str] = COMMAND) -> None:
        self.home = home
        self.program = started
        self.command = command
        self.pid = started.process.pid
        self.port = _port_in(started.said)

    @property
    def file(self) -> Path:
        """Its configuration."""
        return self.home / "balancer.yaml"

    def write(self, config: Config) -> None:
        """Another configuration, in one step."""
        write(self.file, config)

    async def ask(self, do: str, **words: Any) -> dict[str, Any]:
        """What a command would be told."""
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_unix_connection(self.home / f"{self.pid}.sock", limit=2**26)
            writer.write(json.dumps({"do": do, **words}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(await reader.readline())
            writer.close()
        return answer

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        """A command as a person gives it: its exit status, what it said, what it complained of."""
        async with program(*self.command, *arguments, environ=environment(self.home)) as ran:
            status = await ran.ended()
            return status, ran.said, ran.complained

    async def reload(self, config: Config | None = None) -> None:
        """Have it take a configuration (None: the file as it is)."""
        if config is not None:
            self.write(config)
        answer = await self.ask("reload")
        assert "failed" not in answer, answer

    async def status(self) -> dict[str, Any]:
        return await self.ask("status")

    async def backends(self, pool: str = "web") -> list[dict[str, Any]]:
        """The live numbers of each, in the order of the file."""
        found: list[dict[str, Any]] = (await self.status())["pools"][pool]
        return found

    async def in_flight(self) -> int:
        pools = (await self.status())["pools"]
        return sum(backend["in_flight"] for backends in pools.values() for backend in backends)

    async def nothing_in_flight(self) -> None:
        """Wait until that is so."""

        async def so() -> bool:
            return await self.in_flight() == 0

        await eventually(so, "nothing is in flight")

    async def workers(self) -> list[int]:
        """Their process ids, by number."""
        return [worker["pid"] for worker in (await self.status())["workers"]]

    def control(self) -> int:
        """The process id of the control process."""
        (pid,) = [pid for pid in children(self.pid) if title(pid).startswith("steelyard: control")]
        return pid

    def all(self) -> list[int]:
        """The process ids of all that there are, the supervisor first."""
        return [self.pid, *children(self.pid)]

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    async def says(self, what: str, times: int = 1) -> None:
        """Wait until its log has said that so often."""
        await until(lambda: self.program.complained.count(what) >= times, f"{what!r} in {self.program.complained}")

    async def client(self) -> Client:
        return await Client.open(self.port)

    async def name(self, path: str = "/", *fields: str) -> str:
        """Who answers a request on a connection of its own."""
        client = await self.client()
        answer = await client.ask(path, *fields)
        client.close()
        assert 200 == answer.status
        return answer.body.decode().strip()


@asynccontextmanager
async def balancing(
    home: Path, config: Config, *arguments: str, environ: Mapping[str, str] | None = None, **how: Any
) -> AsyncIterator[Balancer]:
    """`steelyard run` of a configuration, in a directory of its own. how: as for subprocess."""
    write(home / "balancer.yaml", config)
    command = how.pop("command", COMMAND)
    run = (*command, "run", "-c", str(home / "balancer.yaml"), *arguments)
    async with program(*run, environ={**environment(home), **(environ or {})}, **how) as started:
        try:
            await until(lambda: "listening on" in started.said or started.process.returncode is not None)
            assert "listening on" in started.said, started.complained
            balancer = Balancer(home, started, command)
            yield balancer
            if alive(balancer.pid):
                await balancer.nothing_in_flight()
        finally:
            await _end(home, started)
        assert "Traceback" not in started.complained, started.complained


async def _end(home: Path, started: Program) -> None:
    """No process of it is left, whoever has taken over from whom."""
    for pid in supervisors(home):
        for other in (*children(pid), pid):
            with suppress(ProcessLookupError):
                os.kill(other, signal.SIGCONT)
        await eventually(lambda pid=pid: _interrupted(pid), f"{pid} ends")  # type: ignore[misc]
    await started.ended()  # all of them hold its standard output


async def _interrupted(pid: int) -> bool:
    """Whether it has ended; else it is interrupted once more.

    The second one does not wait. Both at once could be one: the kernel keeps no count of a signal that is pending.
    """
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
    return not alive(pid)


async def eventually(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """As `until`, where one has to ask."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)


def with_workers(workers: int, *backends: Any, **pool: Any) -> Config:
    """As `one_pool`, for so many workers."""
    return {**one_pool(*backends, pool=pool), "workers": workers}


def at(port: int, **more: Any) -> dict[str, Any]:
    """A backend's entry."""
    return {"address": f"{HOST}:{port}", **more}


def environment(home: Path) -> dict[str, str]:
    """Where this balancer's commands find it."""
    return {"RUNTIME_DIRECTORY": str(home)}


def write(path: Path, config: Config) -> None:
    """A configuration as a file (JSON is YAML), which nobody sees half written."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(config, indent=1))
    beside.rename(path)


def _port_in(said: str) -> int:
    where = said.partition(" -> ")[0].rpartition(":")[2]
    return int(where) if where.isdigit() else 0


# Processes, by what the kernel says of them.


def supervisors(home: Path) -> list[int]:
    """The process ids of those that live, of a test."""
    return [int(path.stem) for path in home.glob("*.sock") if alive(int(path.stem))]


def children(pid: int) -> list[int]:
    """The processes that this one has started."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


def alive(pid: int) -> bool:
    """Whether it runs; one that has ended and was not asked about is dead."""
    try:
        return "Z" != _stat(pid)[0]
    except OSError:
        return False


def cpu_s(pid: int) -> float:
    """The CPU time that it has had."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def _stat(pid: int) -> list[str]:
    """proc(5): the fields of its stat from the third on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def status_field(pid: int, name: str) -> list[str]:
    """Such as VmRSS or Uid of its status."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return line.split()[1:]
    raise AssertionError(f"no {name}")


# Clients.


class Callers:
    """Clients that open a connection for each request, and what became of each.

    answered, refused (no connection), lost (a connection that ended before the whole answer). names: who answered.
    """

    def __init__(self, port: int, count: int) -> None:
        self.port = port
        self.outcomes: Counter[str] = Counter()
        self.names: Counter[str] = Counter()
        self.count = count
        self._going = True
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        for _ in range(self.count):
            self._group.create_task(self._call())
        return self

    async def __aexit__(self, *error: Any) -> None:
        self._going = False
        await self._group.__aexit__(*error)

    async def _call(self) -> None:
        while self._going:
            self.outcomes[await self._one()] += 1

    async def _one(self) -> str:
        try:
            reader, writer = await asyncio.open_connection(HOST, self.port)
        except ConnectionRefusedError:
            return "refused"
        try:
            writer.write(request("GET", "/", "Connection: close"))
            answer = await reader.read(-1)
        except ConnectionError:
            return "lost"
        finally:
            writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 ") or f"content-length: {len(body)}\r\n".encode() not in (
            head.lower() + b"\r\n"
        ):
            return "lost" if not head else head[9:12].decode()
        self.names[body.decode().strip()] += 1
        return "answered"

    async def more(self, count: int) -> None:
        """Wait until so many more were answered."""
        wanted = self.outcomes["answered"] + count
        await until(lambda: self.outcomes["answered"] >= wanted, f"{count} more answers; {self.outcomes}")


@asynccontextmanager
async def wrk(port: int) -> AsyncIterator[Program]:
    """64 kept connections, each with a request after the other, until the block ends; none has failed then."""
    url = f"http://{HOST}:{port}/"
    # Its own limit for an answer is 2 s, which says more of a busy machine than of a balancer.
    async with program("wrk", "-c64", "-t1", "-d10m", "--timeout", "60s", url) as load:
        yield load
        load.process.send_signal(signal.SIGINT)
        await load.ended()
        assert "requests in" in load.said, load.complained
        assert "Socket errors" not in load.said, load.said
        assert "Non-2xx" not in load.said, load.said

"""Real programs around a test: nginx as a backend, `steelyard run`, wrk and ab. Each is ended by its own process id."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.real.client import HOST, PATIENCE_S, Client
from tests.real.support import free_ports, until

ENVIRONMENT: Final = {
    **os.environ,
    "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin",
    "PYTHONUNBUFFERED": "1",
}


class Program:
    """A running program. said, complained: its standard output and error so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""
        self.complained = ""
        self._readers = asyncio.gather(self._follow(process.stdout, "said"), self._follow(process.stderr, "complained"))

    async def _follow(self, stream: asyncio.StreamReader | None, name: str) -> None:
        assert stream is not None
        while data := await stream.read(2**16):
            setattr(self, name, getattr(self, name) + data.decode(errors="replace"))

    async def ended(self) -> int:
        """Wait for its end; the exit status."""
        async with asyncio.timeout(PATIENCE_S):
            await self._readers
            return await self.process.wait()

    def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()


@asynccontextmanager
async def program(*command: str, environ: Mapping[str, str] | None = None, **how: Any) -> AsyncIterator[Program]:
    """Start a program; whatever happens, it is gone afterwards. environ: added; how: as for subprocess."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**ENVIRONMENT, **(environ or {})},
        **how,
    )
    started = Program(process)
    try:
        yield started
    finally:
        started.kill()
        await started.ended()


async def output(*command: str) -> str:
    """What a program says until it ends; it must end well."""
    async with program(*command) as done:
        assert 0 == await done.ended(), done.said + done.complained
        return done.said


@asynccontextmanager
async def steelyard_run(*arguments: str) -> AsyncIterator[tuple[Program, int]]:
    """`steelyard run` with these arguments, and the port of its first listener once it listens."""
    async with program(sys.executable, "-m", "steelyard", "run", *arguments) as started:
        await until(lambda: "listening on" in started.said or started.process.returncode is not None)
        assert "listening on" in started.said, started.complained
        yield started, int(started.said.partition(" -> ")[0].rpartition(":")[2])


NGINX: Final = """
daemon off; master_process off; worker_processes 1; pid {home}/pid; error_log {home}/error crit;
events {{ worker_connections 1024; }}
http {{
    access_log off; keepalive_requests {per_connection}; keepalive_timeout 60s;
    client_body_temp_path {home}; proxy_temp_path {home};
    fastcgi_temp_path {home}; uwsgi_temp_path {home}; scgi_temp_path {home};
    server {{
        listen {host}:{port} backlog=1024;
        location = /served {{ stub_status; }}
        location / {{ default_type text/plain; return 200 "{name}\\n"; }}
    }}
}}
"""


@asynccontextmanager
async def nginx(home: Path, name: str, port: int, per_connection: int = 1000) -> AsyncIterator[Program]:
    """A web server of one process that answers everything but /served with its name, once it accepts connections."""
    written = _written(home, NGINX.format(home=home, host=HOST, port=port, name=name, per_connection=per_connection))
    async with program("nginx", "-c", written, "-p", str(home)) as server:
        await accepting(port)
        yield server


def _written(home: Path, configuration: str) -> str:
    home.mkdir(parents=True, exist_ok=True)
    path = home / "nginx.conf"
    path.write_text(configuration)
    return str(path)


async def accepting(port: int) -> None:
    """Wait until somebody listens on the port."""
    while True:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return


async def refusing(port: int) -> None:
    """Wait until nobody listens on the port any more."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except ConnectionRefusedError:
                return
            writer.close()
            await asyncio.sleep(0.01)


async def served(port: int, count: int) -> None:
    """Wait until the nginx on this port has been sent so many requests by others."""
    asked = 1  # these count, too
    async with asyncio.timeout(PATIENCE_S):
        while await _requests(port) - asked < count:
            asked += 1
            await asyncio.sleep(0.01)


async def _requests(port: int) -> int:
    client = await Client.open(port)
    answer = await client.ask("/served")
    client.close()
    # The third line counts: connections accepted, connections handled, requests.
    return int(answer.body.splitlines()[2].split()[2])


@asynccontextmanager
async def three_nginx(home: Path, per_connection: int = 1000) -> AsyncIterator[Sequence[int]]:
    """Three web servers called a, b, c; their ports."""
    ports = free_ports(3)
    async with (
        nginx(home / "a", "a", ports[0], per_connection),
        nginx(home / "b", "b", ports[1], per_connection),
        nginx(home / "c", "c", ports[2], per_connection),
    ):
        yield ports


def interrupt(started: Program, number: int = signal.SIGTERM) -> None:
    started.process.send_signal(number)

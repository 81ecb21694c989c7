"""What `steelyard reload`, `status`, `diff` and `upgrade` ask of a running balancer, over its own socket.

A caller sends one line of JSON, `{"do": ...}`, and gets one line back: what was asked for, or `{"failed": why}`. Who
may connect is settled by the directory that the socket is in (runtime.py).
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from steelyard.backends import places
from steelyard.control import config
from steelyard.control.changes import changes
from steelyard.control.front import numbers
from steelyard.control.moves import Seen, moves, parts_needed, summary
from steelyard.core import table as cells
from steelyard.errors import SteelyardError
from steelyard.observe.counters import Counters

if TYPE_CHECKING:
    from steelyard.processes.control_process import ControlProcess

Words = dict[str, Any]

# A configuration of a hundred thousand backends, as text.
LONGEST_LINE: Final = 64 * 1024 * 1024

_log = logging.getLogger("steelyard")


class Commands:
    """The socket, and what is done for those who call."""

    def __init__(self, process: "ControlProcess", sock: socket | None) -> None:
        self.process = process
        self.sock = sock
        self.server: asyncio.Server | None = None
        self.starting: asyncio.Task[None] | None = None
        self.done: dict[str, Callable[[Words], Awaitable[Words]]] = {
            "reload": self.reload,
            "status": self.status,
            "diff": self.diff,
            "upgrade": self.upgrade,
        }

    def start(self) -> None:
        """Take calls from now on, where there is a socket for them."""
        if self.sock is None:
            return
        self.starting = asyncio.get_running_loop().create_task(self._serve(self.sock))

    async def _serve(self, sock: socket) -> None:
        # Not start_unix_server: as of Python 3.13 it would remove the file, which is the supervisor's.
        self.server = await asyncio.get_running_loop().create_server(self._protocol, sock=sock)

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(limit=LONGEST_LINE), self._call)

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await self._answer(await reader.readline())
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError):  # the caller has gone, or never said anything that ends
            pass
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Words:
        try:
            words = json.loads(line)
            do = self.done[words["do"]]
        except (ValueError, KeyError, TypeError):
            return {"failed": f"no such command; there are {', '.join(self.done)}"}
        try:
            return await do(words)
        except SteelyardError as exc:
            return {"failed": str(exc)}
        except Exception as exc:
            _log.exception("the command %s failed", words["do"])
            return {"failed": f"a bug: {type(exc).__name__}: {exc}"}

    async def reload(self, words: Words) -> Words:
        """As SIGHUP, but the caller hears what came of it."""
        return await self.process.reload()

    async def upgrade(self, words: Words) -> Words:
        """As SIGUSR2; answers when the new program serves, or does not."""
        (answer,) = await self.process.ask("upgrade")
        return answer

    async def diff(self, words: Words) -> Words:
        """What a reload of this text would change. text, file: of the configuration, and what it is called."""
        new = config.loads(words["text"], words["file"], beside=Path(words["file"]).parent)
        new = replace(new, **self.process.source.get("overrides", {}))  # the command line wins over every file
        old = self.process.spec
        new = places.resolved(new, old, self.process.place)
        answers = await self.process.ask("ask", {"parts": parts_needed(old, new)})
        seen = [Seen(*one) for answer in answers for one in answer.get("seen", [])]
        return {
            "changes": [
                [change.kind, change.key, change.before, change.after, change.reload] for change in changes(old, new)
            ],
            "moves": summary(moves(old, new, seen), len(seen)),
        }

    async def status(self, words: Words) -> Words:
        """Who runs, which configuration is in force, and the live numbers."""
        process = self.process
        (report,) = await process.ask("report")
        table = process.ledger.table
        for worker in report["workers"]:
            number = worker["number"]
            worker["clients"] = table.of_worker(cells.BALANCER, number, cells.CLIENTS)
            worker["beat_s"] = monotonic() - table.of_worker(cells.BALANCER, number, cells.BEAT) / 1000
        return {
            **report,
            "file": process.source.get("file"),
            "configuration": process.number,
            "reloads": table.get(cells.BALANCER, cells.RELOADS),
            "refused": table.get(cells.BALANCER, cells.REFUSED),
            "workers_lost": table.get(cells.BALANCER, cells.WORKERS_LOST),
            "counters": Counters(table).read(),
            "listeners": {
                listener.name: numbers(listener, process.ledger.rows.front, table)
                for listener in process.spec.listeners
            },
            "circuits": {
                name: _circuit(pool.circuit())
                for name, pool in process.pools.items()
                if pool.circuits.whole is not None
            },
            "pools": {name: [_numbers(backend) for backend in pool.backends] for name, pool in process.pools.items()},
        }


def _numbers(backend: Any) -> Words:
    return {
        "address": backend.label,
        "state": ("up", "down", "silent")[backend.health()[0]],
        "weight": backend.weight,
        "in_flight": backend.in_flight,
        "requests": backend.requests,
        "failures": backend.failures,
        "ejected_s": round(max(backend.ejected_until_ms() / 1000 - monotonic(), 0.0), 3),
        "ejections": backend.ejections,
        "circuit": _circuit(backend.circuit()),
        "trips": backend.trips,
    }


def _circuit(cell: int) -> str:
    """A word of a circuit; whether the trial is out says nothing a moment later."""
    return ("closed", "open", "half-open", "half-open")[cell & cells.CIRCUIT_BITS]


def call(path: Path, words: Words, patience_s: float) -> Words:
    """Ask a running balancer; its answer. Raises OSError when it does not answer in time, or is gone."""
    line = json.dumps(words).encode() + b"\n"
    with socket(AF_UNIX, SOCK_STREAM) as sock:
        sock.settimeout(patience_s)
        sock.connect(str(path))
        sock.sendall(line)
        with sock.makefile("rb") as answers:
            answer: Words = json.loads(answers.readline() or b'{"failed": "it ended without an answer"}')
    return answer

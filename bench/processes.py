"""Processes of a run: each pinned to its core, on a free port, and ended by its own process id.

Every server is left through `with`, so that an error or Ctrl-C ends it too. Its output goes to a file in the
run's own directory, and the end of that file into the message when something goes wrong.
"""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.accounting import tree
from bench.failure import BenchError

START_S = 15.0
STOP_S = 10.0
# What the kernel may take to end a killed process, on a machine that has much else to do.
KILL_S = 10.0

# Below the ephemeral range, so that no client connection sits on a port that a server is about to take. Every server
# of a run gets a new one: no two of them can be mixed up.
_ports = iter(range(20_000, 32_000))


def free_port() -> int:
    """A port that nothing listens on, and that this run has not used yet."""
    for port in _ports:
        with socket.socket() as probe:
            # As servers set it: connections of an earlier run that linger in TIME_WAIT do not matter.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise BenchError("no free port is left between 20000 and 32000")


def pinned(command: Sequence[str], core: int | str) -> list[str]:
    """The command, on this core alone, or on these (`0,1`). The process id stays: taskset becomes the command."""
    return ["taskset", "-c", str(core), *command]


@contextmanager
def server(name: str, command: Sequence[str], core: int | str, port: int, directory: Path) -> Iterator[int]:
    """Run a server until the block ends; gives its process id once it answers HTTP on the port.

    Raises BenchError, with the end of its log, when it does not start.
    """
    log = directory / f"{name}.log"
    with log.open("wb") as output:
        # A session of its own: Ctrl-C reaches only the benchmark, which then ends its servers in order.
        process = subprocess.Popen(
            pinned(command, core), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait_until_answering(name, process, port, log)
        yield process.pid
    finally:
        _stop(process)


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, and so the processes started in it."""

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _wait_until_answering(name: str, process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("GET", "/small")
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.02)
    state = "did not answer in time" if process.poll() is None else f"ended with status {process.returncode}"
    raise BenchError(f"{name} {state}; the end of its log:\n{_end_of(log)}")


def _end_of(log: Path) -> str:
    logs = [log, *log.parent.glob("error.log")]
    return "\n".join("\n".join(path.read_text(errors="replace").splitlines()[-8:]) for path in logs)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    # Noted first: the children of a killed parent could no longer be found.
    family = tree(process.pid) if process.poll() is None else []
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    for pid in family:
        with suppress(ProcessLookupError):
            if os.getsid(pid) == process.pid:  # not a foreign process that has got the number since
                os.kill(pid, signal.SIGKILL)
    process.wait(KILL_S)
    deadline = time.monotonic() + KILL_S
    while any(_runs(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    """Whether the process is more than an entry that its new parent has not collected yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"

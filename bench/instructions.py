"""`python -m bench.instructions`: CPU instructions that the parsing of one request takes, counted by valgrind.

A count has no noise: a change of one percent here is a change, on any machine and beside any load, where time
would need many quiet runs to show it. It is no measure of cost as such: instructions differ in theirs, and the kernel
is not in it. Each step runs in two loops of different length, and the difference is divided by the difference in
rounds, so that start-up falls out; what the loop itself takes is subtracted.
"""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec

from rich.console import Console
from rich.table import Table

from bench.failure import BenchError
from bench.workload import CASES, request_head

ROUNDS = (500, 2500)
MODULES = ("steelyard.wire.http1", "steelyard.wire.headers", "steelyard.wire.peer")

ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 95\r\nConnection: keep-alive\r\n\r\n"
)

SETUP = """
import sys
from steelyard.wire import framing, headers, http1
from steelyard.wire.peer import Peer
request, answer = {request!r}, {answer!r}
peer = Peer("127.0.0.1", "http", (), "127.0.0.1:8080")
head = http1.scan_request(request, 0, 32768, 100, False, False)
reply = http1.scan_response(answer, 0, 32768, 100)
"""

STEPS = {
    "scan the request's head (535 bytes, 10 fields)": "http1.scan_request(request, 0, 32768, 100, False, False)",
    "write it anew for the backend": "headers.request_bytes(head, peer)",
    f"scan the answer's head ({len(ANSWER)} bytes, 5 fields)": "http1.scan_response(answer, 0, 32768, 100)",
    "write it anew for the client": "b''.join(headers.response_pieces(reply, framing.LENGTH, b''))",
}


def main() -> int:
    """Count and show; gives the exit status."""
    try:
        loop = per_round("pass")
        counts = {step: per_round(statement) - loop for step, statement in STEPS.items()}
    except BenchError as error:
        Console(stderr=True).print(f"bench: {error}", style="red", markup=False, highlight=False)
        return 1
    table = Table(title="CPU instructions per request", caption="; ".join(built(name) for name in MODULES))
    table.add_column("step")
    table.add_column("instructions", justify="right")
    for step, count in counts.items():
        table.add_row(step, f"{count:,.0f}")
    table.add_row("together", f"{sum(counts.values()):,.0f}", style="bold")
    Console().print(table)
    return 0


def built(module: str) -> str:
    """Whether the module that was counted is the compiled one, in words."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise BenchError(f"{module} is not installed; run `make install` first")
    return f"{module} {'interpreted' if spec.origin.endswith('.py') else 'compiled'}"


def per_round(statement: str) -> float:
    """Instructions of one round of a loop over the statement."""
    few, many = (counted(program(statement, rounds)) for rounds in ROUNDS)
    return (many - few) / (ROUNDS[1] - ROUNDS[0])


def program(statement: str, rounds: int) -> str:
    """The Python program whose instructions are counted."""
    setup = SETUP.format(request=request_head(CASES[0]), answer=ANSWER)
    return f"{setup}\ndef loop():\n    for _ in range({rounds}):\n        {statement}\nloop()\n"


def counted(source: str) -> int:
    """All instructions of a Python program, start and end included. Raises BenchError when it fails."""
    if shutil.which("valgrind") is None:
        raise BenchError("valgrind is not installed; on Debian: apt-get install valgrind")
    tool = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    # Strings hash alike in every run, and so dictionaries are laid out alike.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    command = [*tool, sys.executable, "-c", source]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise BenchError(f"the counted program failed:\n{done.stderr.strip()}")
    return instructions(done.stderr)


def instructions(report: str) -> int:
    """The total in cachegrind's report."""
    found = re.search(r"I\s+refs:\s+([\d,]+)", report)
    if found is None:
        raise BenchError(f"valgrind reported no count:\n{report.strip()}")
    return int(found[1].replace(",", ""))


if __name__ == "__main__":
    sys.exit(main())

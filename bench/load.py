"""The load generators: wrk for kept connections, ab for a new connection a request.

A run with a single socket error, a failed request or answers of the wrong size gives no figure but a BenchError.
Requests are counted by the generator, over the whole of its run.
"""

import csv
import io
import json
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.failure import BenchError
from bench.processes import pinned
from bench.workload import CASES, Case

SCRIPT = Path(__file__).with_name("wrk.lua")
PACED = Path(__file__).with_name("paced.lua")
WARM_UP_S = 0.4
# What wrk counts: `timeout` is an answer that took more than two seconds, `status` one that is neither 2xx nor 3xx.
ERRORS = ("connect", "read", "write", "timeout", "status")
# Longer than any answer's head: what the bytes of a run may exceed their bodies by, per request.
HEAD_BYTES = 1024
MOST_CONNECTIONS = max(case.connections for case in CASES)
# More than ab can make before its time is up; it reserves 40 bytes for each.
AB_REQUESTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """What a generator saw: requests answered, over how long, and the latencies of the closed loop."""

    requests: int
    seconds: float
    p50_us: float
    p99_us: float


def warm_up(case: Case, port: int, core: int | str) -> None:
    """Let the balancer open its connections and touch its memory; nothing is counted."""
    command = pinned(["wrk", "-t1", f"-c{case.connections}", "-d60s", *_fields(case), _url(case, port)], core)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as wrk:
        try:
            time.sleep(WARM_UP_S)
        finally:
            wrk.send_signal(signal.SIGINT)  # wrk takes it as the end of its time


def run(case: Case, port: int, seconds: int, core: int | str, directory: Path) -> Load:
    """One measured run of the case's generator."""
    if case.new_connections:
        table = directory / "ab.csv"
        options = ["-q", "-c", str(case.connections), "-t", str(seconds), "-n", str(AB_REQUESTS), "-e", str(table)]
        output = _output(pinned(["ab", *options, *_fields(case), _url(case, port)], core), seconds)
        return parse_ab(output, table.read_text(), case.body_bytes)
    options = ["-t1", f"-c{case.connections}", f"-d{seconds}s", "-s", str(SCRIPT)]
    output = _output(pinned(["wrk", *options, *_fields(case), _url(case, port)], core), seconds)
    return parse_wrk(output, case.body_bytes)


def run_paced(case: Case, port: int, connections: int, seconds: int, core: int | str) -> Load:
    """One run of wrk over so many kept connections, each of which pauses before each request."""
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(PACED)]
    output = _output(pinned(["wrk", *options, *_fields(case), _url(case, port)], core), seconds)
    return parse_wrk(output, case.body_bytes)


def run_counting(case: Case, port: int, connections: int, seconds: int, core: int | str) -> tuple[Load, int]:
    """One run of wrk over so many kept connections, where errors are a result too: how many there were of any kind."""
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(SCRIPT)]
    return parse_counting(_output(pinned(["wrk", *options, *_fields(case), _url(case, port)], core), seconds))


def parse_counting(output: str) -> tuple[Load, int]:
    """The line that wrk.lua writes, with the number of errors. Raises BenchError where there is none."""
    figures = _figures(output)
    load = Load(figures["requests"], figures["duration_us"] / 1e6, figures["p50_us"], figures["p99_us"])
    return load, sum(figures[name] for name in ERRORS)


def parse_wrk(output: str, body_bytes: int) -> Load:
    """The line that wrk.lua writes. Raises BenchError for any error, or when the bytes do not fit the requests."""
    figures = _figures(output)
    errors = {name: figures[name] for name in ERRORS if figures[name]}
    if errors:
        raise BenchError("wrk met errors: " + ", ".join(f"{name} {number}" for name, number in errors.items()))
    requests, received = figures["requests"], figures["bytes"]
    if requests == 0:
        raise BenchError("wrk got no answer")
    # Above, there may be the answers that were under way at the end: one a connection at most.
    least, most = requests * body_bytes, (requests + MOST_CONNECTIONS) * (body_bytes + HEAD_BYTES)
    if not least <= received <= most:
        raise BenchError(f"{requests} answers of {body_bytes} bytes cannot make the {received} bytes that wrk received")
    return Load(requests, figures["duration_us"] / 1e6, figures["p50_us"], figures["p99_us"])


def _figures(output: str) -> dict[str, int]:
    line = next((line for line in output.splitlines() if line.startswith("{")), None)
    if line is None:
        raise BenchError(f"wrk wrote no figures:\n{output}")
    figures: dict[str, int] = json.loads(line)
    return figures


def parse_ab(output: str, percentiles: str, body_bytes: int) -> Load:
    """ab's report and its CSV file of percentiles (in ms). Raises BenchError for any failed request."""

    def figure(label: str, default: str | None = None) -> float:
        found = re.search(rf"^{re.escape(label)}:\s+([\d.]+)", output, re.MULTILINE)
        if found is None and default is None:
            raise BenchError(f"ab's report has no line {label!r}:\n{output}")
        return float(found[1] if found is not None else default or "")

    for label in ("Failed requests", "Write errors", "Non-2xx responses"):
        if number := figure(label, "0"):
            raise BenchError(f"ab met errors: {label} {number:.0f}")
    if (length := figure("Document Length")) != body_bytes:
        raise BenchError(f"ab got answers of {length:.0f} bytes instead of {body_bytes}")
    requests = int(figure("Complete requests"))
    if requests == 0:
        raise BenchError("ab got no answer")
    times = {row[0]: float(row[1]) * 1000 for row in csv.reader(io.StringIO(percentiles)) if row[0].isdigit()}
    return Load(requests, figure("Time taken for tests"), times["50"], times["99"])


def _output(command: list[str], seconds: int) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 20, check=False)
    except subprocess.TimeoutExpired as exc:
        raise BenchError(f"{command[3]} did not end in time") from exc
    if done.returncode != 0:
        raise BenchError(f"{command[3]} ended with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _fields(case: Case) -> list[str]:
    return [part for name, value in case.fields for part in ("-H", f"{name}: {value}")]


def _url(case: Case, port: int) -> str:
    return f"http://127.0.0.1:{port}{case.path}"

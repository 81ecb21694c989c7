"""Servers get ports of their own, are ended with everything they started, and say why they did not start."""

import signal
import socket
import sys
from pathlib import Path

import pytest

from bench import processes
from bench.accounting import tree
from bench.failure import BenchError

# Answers 200 to everything, has a child, and does not listen to SIGTERM.
STUBBORN = """
import http.server, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import signal; signal.signal(15, signal.SIG_IGN); signal.pause()"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_port_that_is_taken_is_passed_over_and_none_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken, socket.socket() as free:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        free.bind(("127.0.0.1", 0))
        free_port = free.getsockname()[1]
        free.close()
        monkeypatch.setattr(processes, "_ports", iter([taken.getsockname()[1], free_port]))
        assert free_port == processes.free_port()
        with pytest.raises(BenchError, match="no free port"):
            processes.free_port()


def test_a_command_is_pinned_without_a_process_more() -> None:
    assert ["taskset", "-c", "1", "nginx", "-v"] == processes.pinned(["nginx", "-v"], 1)


@pytest.mark.real
@pytest.mark.needs("taskset")
def test_a_server_that_ends_at_once_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such option')"]
    with (
        pytest.raises(BenchError, match="it ended with status 1; the end of its log:\nno such option"),
        processes.server("it", command, 0, processes.free_port(), tmp_path),
    ):
        pass


@pytest.mark.real
@pytest.mark.needs("taskset")
def test_a_server_that_does_not_stop_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_S", 0.5)
    port = processes.free_port()
    with processes.server("it", [sys.executable, "-c", STUBBORN, str(port)], 0, port, tmp_path) as pid:
        family = tree(pid)
        assert 2 == len(family)
    # A killed child may stay a zombie until init collects it, but it runs no more.
    states = [Path(f"/proc/{pid}/stat") for pid in family]
    assert [] == [path for path in states if path.exists() and ") Z" not in path.read_text()]


def test_sigterm_ends_a_run_as_ctrl_c_does_and_only_within_it() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), processes.terminable():
        signal.raise_signal(signal.SIGTERM)
    assert before is signal.getsignal(signal.SIGTERM)

"""backends/callable_server.py: a function as a process, on a real socket."""

import http.client
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

import pytest

from steelyard.backends.callable_server import bound
from tests.systems.programs import PATIENCE_S, Program, program

MODULE = "steelyard.backends.callable_server"
FUNCTIONS = '''
import ctypes, os, sys, threading, time
from steelyard import Task, TaskRefused

def echo(task):
    return task.body, task.content_type or "x/none"

def tell(task):
    return repr(task)

def act(task):
    """Whatever the path says; /wait goes on when the file in the body is there."""
    print("begun", task.path)
    match task.path:
        case "/wait":
            while not os.path.exists(task.body):
                time.sleep(0.005)
            return "waited"
        case "/raise":
            raise RuntimeError("secret")
        case "/refuse":
            raise TaskRefused("an image of no pixels")
        case "/none":
            return None
        case "/exit":
            sys.exit(3)
        case "/spin":
            while True:
                pass
        case "/hold":
            ctypes.PyDLL(None).sleep(1000)
    return "done"
'''


def until(condition: Callable[[], object]) -> None:
    give_up = monotonic() + PATIENCE_S
    while not condition():
        assert monotonic() < give_up, "never came true"
        sleep(0.005)


class Running:
    """A process that listens. path: its socket's."""

    def __init__(self, process: Program, path: Path) -> None:
        self.process = process
        self.path = path
        self.threads: list[threading.Thread] = []
        until(self.listens)

    def listens(self) -> bool:
        assert self.process.process.poll() is None, self.process.rest()
        with suppress(OSError):
            self.connect().close()
            return True
        return False

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE_S)
        try:
            sock.connect(str(self.path))
        except OSError:
            sock.close()
            raise
        return sock

    def opened(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("function")
        connection.sock = self.connect()
        return connection

    def ask(self, path: str, body: bytes = b"", method: str = "POST") -> tuple[int, bytes]:
        return answer_of(self.asked(path, body, method))

    def asked(self, path: str, body: bytes, method: str = "POST") -> http.client.HTTPConnection:
        """A connection that a request was sent on."""
        connection = self.opened()
        connection.request(method, path, body)
        return connection

    def ask_aside(self, path: str, body: bytes = b"") -> list[tuple[int, bytes]]:
        """Ask, and wait for the answer in a thread; the list has it when it is there.

        Not so the asking: a thread may be late, and what is asked next is to come behind this.
        """
        answers: list[tuple[int, bytes]] = []
        connection = self.asked(path, body)
        thread = threading.Thread(target=lambda: answers.append(answer_of(connection)))
        thread.start()
        self.threads.append(thread)
        return answers


def answer_of(connection: http.client.HTTPConnection) -> tuple[int, bytes]:
    """Status and body; it is the connection's last one."""
    try:
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@contextmanager
def serving(directory: Path, function: str, *options: object) -> Iterator[Running]:
    path = directory / "it.sock"
    (directory / "fn.py").write_text(FUNCTIONS)
    words = ["--function", function, "--socket", path, "--name", "images/0", "--directory", directory, *options]
    with program("-m", MODULE, *words) as process:
        on = Running(process, path)
        yield on
    for thread in on.threads:
        thread.join()


@pytest.mark.real
def test_a_function_is_served_over_connections_that_are_kept(tmp_path: Path) -> None:
    with serving(tmp_path, "fn:echo") as on:
        connection = on.opened()
        sock = connection.sock
        for body in (b"one", b"", b"x" * 1_000_000):
            connection.request("POST", "/", body, {"Content-Type": "a/b"})
            answer = connection.getresponse()
            assert (200, "a/b", body) == (answer.status, answer.getheader("Content-Type"), answer.read())
        connection.request("POST", "/", iter([b"in ", b"chunks"]), encode_chunked=True)
        assert b"in chunks" == connection.getresponse().read()
        assert connection.sock is sock
        connection.close()
        assert 0 == on.process.end()
        assert not on.path.exists()
        assert [] == on.process.rest()


@pytest.mark.real
@pytest.mark.needs("curl")
def test_curl_gets_what_the_function_was_told(tmp_path: Path) -> None:
    with serving(tmp_path, "fn:tell") as on:
        options = ["-sS", "--unix-socket", str(on.path), "-H", "Content-Type: text/csv", "-d", "1,2"]
        command = ["curl", *options, "http://a/b?c=d"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith("Task(body=b'1,2', content_type='text/csv', path='/b', headers={'host': 'a', ")
    assert said.endswith("query='c=d', method='POST', worker='images/0')")


@pytest.mark.real
def test_a_connect_and_a_question_for_life_are_answered_while_a_task_runs(tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    with serving(tmp_path, "fn:act") as on:
        waiting = on.ask_aside("/wait", bytes(go_on))
        on.process.until("begun /wait")
        queued = on.ask_aside("/queued")
        on.connect().close()
        assert (204, b"") == on.ask("*", method="OPTIONS")
        assert [] == waiting + queued
        go_on.touch()
        until(lambda: queued)
        assert [(200, b"waited"), (200, b"done")] == waiting + queued


@pytest.mark.real
def test_what_goes_wrong_in_a_function_is_its_client_s_answer_and_no_end(tmp_path: Path) -> None:
    with serving(tmp_path, "fn:act") as on:
        assert (500, b"The function failed.\n") == on.ask("/raise")
        on.process.until("^POST /raise: the function failed$")
        on.process.until("^Traceback")
        on.process.until("^RuntimeError: secret$")
        assert (422, b"an image of no pixels\n") == on.ask("/refuse")
        assert (500, b"The function returned what cannot be sent.\n") == on.ask("/none")
        on.process.until("^POST /none: the function returned None; return bytes, a str, or ")
        assert (500, b"The function failed.\n") == on.ask("/exit")
        assert (200, b"done") == on.ask("/")
        assert 0 == on.process.end()
        assert 2 == sum(line.startswith("Traceback") for line in on.process.rest())


@pytest.mark.real
def test_a_body_over_the_limit_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, "fn:echo", "--max-body", 1000) as on:
        assert (200, b"x" * 1000) == on.ask("/", b"x" * 1000)
        assert (413, b"The body is larger than 1000 bytes.\n") == on.ask("/", b"x" * 1001)


@pytest.mark.real
def test_a_task_that_runs_too_long_ends_the_process_and_costs_the_others_nothing(tmp_path: Path) -> None:
    # Time for us to ask while it is stuck; where we stand still for longer, we find it closed already.
    with serving(tmp_path, "fn:act", "--task-timeout", "1.5") as on, on.connect() as waits:
        stuck = on.ask_aside("/spin")
        on.process.until("begun /spin")
        with suppress(BrokenPipeError):
            waits.sendall(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
        with suppress(ConnectionResetError):  # where it had no time to read this
            assert b"" == waits.recv(100)
        until(lambda: stuck)
        assert [(504, b"The function did not answer in time.\n")] == stuck
        assert 70 == on.process.process.wait(PATIENCE_S)
        on.process.until("^POST /spin: the function has run for more than 1.5 s; it is in$")
        on.process.until("fn.py.* in act$")
        assert not [line for line in on.process.said if "/never" in line]


@pytest.mark.real
@pytest.mark.slow
def test_a_function_that_holds_the_interpreter_is_ended_too(tmp_path: Path) -> None:
    with serving(tmp_path, "fn:act", "--task-timeout", "0.3") as on:
        with on.connect() as waits:
            waits.sendall(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"" == waits.recv(100)
        assert 1 == on.process.process.wait(PATIENCE_S)
        on.process.until("^Timeout ")
        on.process.until("fn.py.* in act$")


@pytest.mark.real
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_finishes_what_it_has(tmp_path: Path, number: int) -> None:
    go_on = tmp_path / "go-on"
    with serving(tmp_path, "fn:act") as on, ExitStack() as held:
        running = on.ask_aside("/wait", bytes(go_on))
        on.process.until("begun /wait")
        queued = on.ask_aside("/queued")
        half = held.enter_context(on.connect())
        half.sendall(b"POST /half HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx")
        idle = held.enter_context(on.connect())
        assert (204, b"") == on.ask("*", method="OPTIONS")  # all of these were accepted before this
        on.process.process.send_signal(number)
        assert b"" == idle.recv(100)
        assert not on.path.exists()
        assert on.process.process.poll() is None
        half.sendall(b"y")
        go_on.touch()
        until(lambda: running and queued)
        assert [(200, b"waited"), (200, b"done")] == running + queued
        answer = half.recv(1000)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Connection: close\r\n" in answer
        assert 0 == on.process.process.wait(PATIENCE_S)


@pytest.mark.real
def test_it_leaves_the_socket_of_a_successor_alone(tmp_path: Path) -> None:
    with serving(tmp_path, "fn:echo") as on:
        on.path.unlink()
        with bound(str(on.path)):
            assert 0 == on.process.end()
            assert on.path.exists()


@pytest.mark.real
@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--function", "fn"], 78, "'fn' names no function; write package.module:function"),
        (["--function", "fn:nothing"], 78, "fn:nothing: fn has no nothing: AttributeError: "),
        (
            ["--function", "absent:x"],
            78,
            "absent:x: cannot import absent: ModuleNotFoundError: No module named 'absent'",
        ),
        (["--socket", "absent/it.sock"], 69, "absent/it.sock: cannot listen on it: No such file or directory"),
        (["--socket", "x" * 120], 69, f"{'x' * 120}: cannot listen on it: AF_UNIX path too long"),
    ],
)
def test_what_cannot_run_is_said_in_one_line(tmp_path: Path, words: list[str], status: int, message: str) -> None:
    (tmp_path / "fn.py").write_text(FUNCTIONS)
    given = ["--function", "fn:echo", "--socket", str(tmp_path / "s"), "--name", "a", "--directory", str(tmp_path)]
    with program("-m", MODULE, *given, *words) as process:
        assert status == process.process.wait(PATIENCE_S)
        process.end()
        (line,) = process.rest()
    assert line.startswith(message)


@pytest.mark.real
@pytest.mark.parametrize("words", [["--task-timeout", "0"], ["--task-timeout", "inf"], ["--max-body", "much"], []])
def test_arguments_that_mean_nothing_are_refused(words: list[str]) -> None:
    with program("-m", MODULE, *(["--function", "a:b", "--socket", "s", "--name", "n", *words] if words else [])) as it:
        assert 2 == it.process.wait(PATIENCE_S)


def test_a_socket_that_a_dead_process_left_is_replaced_and_one_in_use_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    bound(path).close()
    assert os.path.exists(path)
    with bound(path) as sock:
        sock.listen()
        sock.setblocking(True)
        assert 0o600 == os.stat(path).st_mode & 0o777
        with pytest.raises(OSError, match="Address already in use"):
            bound(path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            sock.accept()[0].close()
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(OSError, match="Address already in use"):
        bound(str(file))
    assert "precious" == file.read_text()

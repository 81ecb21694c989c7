"""`steelyard task`: the options of its worker and its client, what they say, and their exit codes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner, Result

from steelyard.cli.main import app

ANSWER = b"Response from Worker"


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["task", *map(str, arguments)], env={"COLUMNS": "200", "NO_COLOR": "1"})


class Broker(threading.Thread):
    """Takes one connection after the other, and answers each with the next of these answers. got: what they sent."""

    def __init__(self, answers: list[bytes]) -> None:
        super().__init__()
        self.answers = answers
        self.got: list[bytes] = []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]

    def run(self) -> None:
        for answer in self.answers:
            sock, _ = self.listening.accept()
            with sock:
                self.got.append(sock.recv(1024))
                sock.sendall(answer)


@contextmanager
def broker(*answers: bytes) -> Iterator[Broker]:
    made = Broker([*answers])
    made.start()
    try:
        yield made
    finally:
        made.join()
        made.listening.close()


def test_it_sends_its_task_in_the_bytes_of_the_protocol_and_prints_the_answer() -> None:
    with broker(ANSWER) as one:
        result = invoke("send", "Long", "--policy", "least_connections", "--port", one.port)
    assert (0, "[Client] Received: Response from Worker\n") == (result.exit_code, result.output)
    assert [b"AppID:Long:least_connections"] == one.got


def test_without_a_policy_the_broker_chooses_by_its_own() -> None:
    with broker(ANSWER) as one:
        assert 0 == invoke("send", "Short", "--port", one.port).exit_code
    assert [b"AppID:Short"] == one.got


def test_a_policy_that_is_not_known_here_is_the_brokers_to_judge() -> None:
    with broker(b"ERROR: unknown approach 'best'; known: hash\n") as one:
        result = invoke("send", "Short", "-p", "best", "--port", one.port)
    assert (1, "[Client] Received: ERROR: unknown approach 'best'; known: hash\n") == (result.exit_code, result.output)
    assert [b"AppID:Short:best"] == one.got


@pytest.mark.parametrize(
    ("answer", "said", "code"),
    [
        (b"", "[Client] no answer: the connection was closed\n", 1),
        (b"two\nlines\n", "[Client] Received: two\nlines\n", 0),
        ("größer\n".encode(), "[Client] Received: größer\n", 0),
        (b"\xff\x00", "[Client] Received: '\\xff\\x00'\n", 0),
        (b"\x1b[31mred", "[Client] Received: '\\x1b[31mred'\n", 0),
    ],
)
def test_what_comes_back_is_said_as_text_that_a_terminal_can_show(answer: bytes, said: str, code: int) -> None:
    with broker(answer) as one:
        result = invoke("send", "Short", "-p", "hash", "--port", one.port)
    assert (code, said) == (result.exit_code, result.output)


def test_a_broker_that_is_not_there_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    result = invoke("send", "Short", "--port", port)
    assert 1 == result.exit_code
    assert f"[Client] no answer from 127.0.0.1, port {port}: connection refused\n" in result.output


def test_many_tasks_are_sent_some_at_once_and_summed_up() -> None:
    with broker(ANSWER, b"ERROR: no worker is up\n", ANSWER, ANSWER) as one:
        result = invoke("send", "Short", "-p", "hash", "--port", one.port, "--count", 4, "--parallel", 2)
    assert 1 == result.exit_code
    assert 4 == result.output.count("[Client] Received: ")
    lines = [line.split() for line in result.output.splitlines() if " s " in line]
    assert [["Response", "from", "Worker", "3"], ["ERROR:", "no", "worker", "is", "up", "1"]] == [
        line[: line.index("s") - 1] for line in lines
    ]
    assert [b"AppID:Short:hash"] * 4 == one.got


@pytest.mark.parametrize(
    "arguments",
    [
        ("send",),
        ("send", "Lo ng"),
        ("send", "Long:hash"),
        ("send", ""),
        ("send", "Größe"),
        ("send", "Long", "--policy", ""),
        ("send", "Long", "--policy", "a\nb"),
        ("send", "k" * 1024),
        ("send", "Long", "--count", "0"),
        ("send", "Long", "--parallel", "0"),
        ("send", "Long", "--port", "65536"),
        ("serve",),
        ("serve", "--id", "0"),
        ("serve", "--id", "60000"),
        ("serve", "--id", "1", "--scale", "-1"),
        ("serve", "--id", "1", "--scale", "nan"),
        ("serve", "--id", "1", "--port", "-1"),
        ("dance",),
    ],
)
def test_wrong_usage_is_two(arguments: tuple[str, ...]) -> None:
    assert 2 == invoke(*arguments).exit_code


def test_a_policy_behind_a_colon_is_told_where_it_belongs() -> None:
    output = " ".join(invoke("send", "Long:hash").output.replace("│", " ").split())
    assert "'Long:hash' is no kind of work; write Long --policy hash" in output


def test_an_empty_policy_is_said_to_be_empty() -> None:
    output = " ".join(invoke("send", "Long", "--policy", "").output.replace("│", " ").split())
    assert "Invalid value for --policy: is empty; write round_robin, or leave it out" in output


def test_a_port_that_is_taken_is_said_with_the_mend() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        result = invoke("serve", "--id", 3, "--port", port)
    assert 1 == result.exit_code
    assert f"worker 3 cannot listen on 127.0.0.1, port {port}: address already in use; write " in result.output
    assert "write another --port" in result.output


def test_without_a_port_worker_1_is_on_9002(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr("steelyard.cli.task_worker.run", lambda *given: asked.append(given))
    assert 0 == invoke("serve", "--id", 1).exit_code
    assert 0 == invoke("serve", "--id", 3, "--scale", 0.01, "--host", "::1").exit_code
    assert [(1, 1.0, "127.0.0.1", 9002), (3, 0.01, "::1", 9004)] == asked


@pytest.mark.parametrize("command", ["serve", "send"])
def test_the_help_has_examples(command: str) -> None:
    assert f"steelyard task {command} " in invoke(command, "--help").output

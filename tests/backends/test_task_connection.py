"""backends/task_connection.py: requests become tasks, and answers leave in their order."""

from asyncio import AbstractEventLoop, Transport
from collections.abc import Callable
from typing import Any, cast

import pytest

from steelyard.backends import task_connection
from steelyard.backends.function import Answer
from steelyard.backends.task import Task
from steelyard.backends.task_connection import MAX_AHEAD_BYTES, Service, TaskConnection
from steelyard.backends.task_thread import TaskThread

OK = Answer(200, "text/plain", b"ok")
OK_BYTES = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
MAX_BODY = 100


class Pipe:
    """The transport: what was sent, and whether it was closed."""

    def __init__(self, connection: TaskConnection) -> None:
        self.connection = connection
        self.sent = b""
        self.closed = False
        self.reading = True

    def write(self, data: bytes) -> None:
        assert not self.closed, f"written behind the close: {data!r}"
        self.sent += data

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.connection.connection_lost(None)

    abort = close


class Stage(Service):
    """One connection, a loop whose timers are called by hand, and a thread that does nothing by itself."""

    def __init__(self) -> None:
        super().__init__("images/0", MAX_BODY)
        self.loop = cast(AbstractEventLoop, self)
        self.thread = cast(TaskThread, self)
        self.timers: list[Callable[[], Any]] = []
        self.tasks: list[Task] = []
        self.connection = TaskConnection(self)
        self.pipe = Pipe(self.connection)
        self.connection.connection_made(cast(Transport, self.pipe))

    def call_later(self, after_s: float, callback: Callable[[], Any]) -> None:
        self.timers.append(callback)

    def submit(self, task: Task, client: TaskConnection) -> None:
        assert client is self.connection
        self.tasks.append(task)

    def receive(self, data: bytes, step: int = 0) -> None:
        """What comes from the balancer: whole, or in steps of so many bytes."""
        for at in range(0, len(data), step or max(1, len(data))):
            self.connection.data_received(data[at : at + step] if step else data)

    def answer(self, answer: Answer = OK) -> bytes:
        """The function is done; what was sent since the last look."""
        self.connection.on_answer(answer)
        return self.look()

    def look(self) -> bytes:
        sent, self.pipe.sent = self.pipe.sent, b""
        return sent


def request(line: str, *fields: str, body: bytes = b"") -> bytes:
    version = "" if "HTTP/" in line else " HTTP/1.1"
    return "\r\n".join([line + version, "Host: shop.example", *fields, "", ""]).encode("latin-1") + body


CASES = [
    (request("GET /"), Task(b"", "", "/", {"host": "shop.example"}, "", "GET", "images/0")),
    (
        request("POST /a%20b?w=10&h=?", "Content-Type: image/png; q=1", "Content-Length: 3", body=b"abc"),
        Task(b"abc", "image/png; q=1", "/a%20b", {"host": "shop.example"}, "w=10&h=?", "POST", "images/0"),
    ),
    (
        request("POST /", "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: 1\r\n\r\n"),
        Task(b"abcde", "", "/", {"host": "shop.example"}, "", "POST", "images/0"),
    ),
    (
        request("PUT /", "Content-Length: 0", "X-Two: a", "x-two:b", "Cookie: a=1", "Cookie: b=2", "X-Latin: \xe9"),
        Task(
            b"",
            "",
            "/",
            {"host": "shop.example", "x-two": "a, b", "cookie": "a=1; b=2", "x-latin": "\xe9"},
            "",
            "PUT",
            "images/0",
        ),
    ),
    (
        request("GET /", "X-Forwarded-For: 1.2.3.4, 5.6.7.8", "X-Forwarded-Proto: https", "Connection: close"),
        Task(
            b"",
            "",
            "/",
            {"host": "shop.example", "x-forwarded-for": "1.2.3.4, 5.6.7.8", "x-forwarded-proto": "https"},
            "",
            "GET",
            "images/0",
        ),
    ),
]


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize(("sent", "expected"), CASES)
def test_a_request_is_a_task_however_its_bytes_come(sent: bytes, expected: Task, step: int) -> None:
    on = Stage()
    on.receive(sent, step)
    assert [expected] == on.tasks
    assert b"" == on.look()
    assert not on.connection.idle


@pytest.mark.parametrize(("sent", "expected"), CASES[:-1])
def test_what_comes_behind_a_request_is_the_next_one(sent: bytes, expected: Task) -> None:
    on = Stage()
    on.receive(sent + sent)
    assert [expected] == on.tasks
    assert OK_BYTES == on.answer()
    assert [expected, expected] == on.tasks
    assert OK_BYTES == on.answer()
    assert on.connection.idle


def test_an_answer_to_head_has_a_length_and_no_body() -> None:
    on = Stage()
    on.receive(request("HEAD /"))
    assert OK_BYTES.removesuffix(b"ok") == on.answer()


@pytest.mark.parametrize(
    ("line", "fields", "says", "closed"),
    [
        ("GET / HTTP/1.1", [], b"", False),
        ("GET / HTTP/1.1", ["Connection: close"], b"Connection: close\r\n", True),
        ("GET / HTTP/1.0", [], b"Connection: close\r\n", True),
        ("GET / HTTP/1.0", ["Connection: keep-alive"], b"Connection: keep-alive\r\n", False),
    ],
)
def test_the_connection_is_kept_where_the_client_keeps_it(
    line: str, fields: list[str], says: bytes, closed: bool
) -> None:
    on = Stage()
    on.receive(request(line, *fields))
    assert OK_BYTES.replace(b"\r\n\r\n", b"\r\n" + says + b"\r\n") == on.answer()
    assert closed == on.pipe.closed
    assert closed == (on.connections == set())


def test_while_the_process_stops_the_answer_is_the_last() -> None:
    on = Stage()
    on.receive(request("GET /"))
    on.stopping = True
    assert b"Connection: close\r\n" in on.answer()
    assert on.pipe.closed


def test_the_process_is_asked_whether_it_lives_without_a_task() -> None:
    on = Stage()
    on.receive(request("OPTIONS *") * 2 + request("GET /"))
    assert b"HTTP/1.1 204 No Content\r\n\r\n" * 2 == on.look()
    assert ["GET"] == [task.method for task in on.tasks]


def test_who_waits_to_be_told_to_go_on_is_told() -> None:
    on = Stage()
    on.receive(request("POST /", "Content-Length: 2", "Expect: 100-continue"))
    assert b"HTTP/1.1 100 Continue\r\n\r\n" == on.look()
    on.receive(b"hi")
    assert [b"hi"] == [task.body for task in on.tasks]


@pytest.mark.parametrize(
    "sent",
    [
        request("POST /", f"Content-Length: {MAX_BODY + 1}", "Expect: 100-continue"),
        request("POST /", "Transfer-Encoding: chunked", body=b"%x\r\n%b\r\n" % (MAX_BODY + 1, b"x" * (MAX_BODY + 1))),
        request("POST /", "Transfer-Encoding: chunked", body=b"1\r\nx\r\n" * (MAX_BODY + 1)),
    ],
)
def test_a_body_over_the_limit_is_a_413_and_the_rest_of_it_is_thrown_away(sent: bytes) -> None:
    on = Stage()
    on.receive(sent)
    said = on.look()
    assert said.startswith(b"HTTP/1.1 413 Request Entity Too Large\r\n")
    assert said.endswith(b"Connection: close\r\n\r\nThe body is larger than 100 bytes.\n")
    on.receive(request("GET /"))
    assert ([], b"", False) == (on.tasks, on.look(), on.pipe.closed)
    (close,) = on.timers
    close()
    assert on.pipe.closed


def test_a_body_of_exactly_the_limit_is_taken() -> None:
    on = Stage()
    on.receive(request("POST /", f"Content-Length: {MAX_BODY}", body=b"x" * MAX_BODY))
    on.answer()
    chunks = b"32\r\n" + b"x" * 50 + b"\r\n"
    on.receive(request("POST /", "Transfer-Encoding: chunked", body=chunks * 2 + b"0\r\n\r\n"))
    assert [MAX_BODY, MAX_BODY] == [len(task.body) for task in on.tasks]


def test_one_that_goes_on_sending_what_was_refused_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_connection, "LINGER_BYTES", 10)
    on = Stage()
    on.receive(request("POST /", "Content-Length: 1000"))
    on.receive(b"x" * 10)
    assert not on.pipe.closed
    on.receive(b"x")
    assert on.pipe.closed


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n", 505),
        (request("CONNECT a:1"), 405),
        (request("POST /", "Content-Length: 1", "Content-Length: 1"), 400),
        (request("POST /", "Content-Length: 1", "Transfer-Encoding: chunked"), 400),
        (request("POST /", "Transfer-Encoding: gzip"), 501),
        (request("POST /", "Transfer-Encoding: chunked", body=b"0x1\r\n"), 400),
        (request("POST /", "Transfer-Encoding: chunked", body=b"1\r\nab\r\n"), 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
    ],
)
def test_bytes_that_break_the_rules_are_refused_and_reach_no_function(sent: bytes, status: int) -> None:
    on = Stage()
    on.receive(sent)
    said = on.look()
    assert said.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close\r\n" in said
    on.receive(request("GET /"))
    assert ([], b"") == (on.tasks, on.look())
    assert on.connection.idle


def test_too_much_that_comes_ahead_is_held_back_until_the_answer() -> None:
    on = Stage()
    on.receive(request("GET /1"))
    on.receive(request("POST /2", "Content-Length: 5"))
    on.receive(b"x" * MAX_AHEAD_BYTES)
    assert not on.pipe.reading
    on.answer()
    assert on.pipe.reading
    assert ["/1", "/2"] == [task.path for task in on.tasks]


def test_who_does_not_read_its_answer_gets_no_other_one_yet() -> None:
    on = Stage()
    on.receive(request("GET /1") + request("GET /2"))
    on.connection.pause_writing()
    on.answer()
    assert ["/1"] == [task.path for task in on.tasks]
    on.connection.resume_writing()
    assert ["/1", "/2"] == [task.path for task in on.tasks]


def test_who_closes_has_left() -> None:
    on = Stage()
    on.receive(request("GET /"))
    assert not on.connection.gone
    on.connection.eof_received()
    assert on.connection.gone
    on.connection.connection_lost(None)
    assert set() == on.connections


def test_who_was_told_that_it_takes_too_long_is_told_nothing_more() -> None:
    stage = Stage()
    stage.receive(request("GET /"))
    stage.stopping = True
    assert stage.answer(Answer(504, "text/plain", b"late")).startswith(b"HTTP/1.1 504 ")
    assert b"" == stage.answer()

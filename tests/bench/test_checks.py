"""A balancer that answers wrongly, or does less than the others, is not measured."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from bench.checks import check_answers, check_work, wrong_fields
from bench.failure import BenchError
from bench.workload import CASES, HOST, body

SEEN = {"host": HOST, "for": "127.0.0.1", "proto": "http", "fhost": HOST, "real": "127.0.0.1", "via": "1.1 steelyard"}
SMALL = CASES[0]


@contextmanager
def answering(answer: Callable[[str], tuple[int, bytes]]) -> Iterator[int]:
    """A server on a free port that answers each path as it is told."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def seen_on(port: int) -> bytes:
    return "".join(f"{key}={value}\n" for key, value in {**SEEN, "port": str(port)}.items()).encode()


def test_right_answers_pass() -> None:
    with answering(lambda _path: (200, body(SMALL.body_bytes))) as port:
        check_answers("it", port, [SMALL])


@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (502, body(95), "GET /small gave status 502"),
        (200, body(95)[:94], "94 bytes instead of 200 and 95"),
        (200, body(95)[:50] + b"x" + body(95)[51:], "differ at byte 50"),
    ],
)
def test_wrong_answers_are_an_error_that_says_what_is_wrong(status: int, content: bytes, message: str) -> None:
    with answering(lambda _path: (status, content)) as port, pytest.raises(BenchError, match=message):
        check_answers("it", port, [SMALL])


def test_nobody_answering_is_an_error() -> None:
    with answering(lambda _path: (200, b"")) as port:
        pass
    with pytest.raises(BenchError, match=f"through port {port} failed"):
        check_answers("it", port, [SMALL])


def test_a_backend_that_is_never_asked_is_an_error() -> None:
    turns = [seen_on(1), seen_on(2), seen_on(1)]
    with (
        answering(lambda _path: (200, turns[0])) as port,
        pytest.raises(BenchError, match="only the backends on ports 1 "),
    ):
        check_work("it", port, [1, 2])

    def in_turn(_path: str) -> tuple[int, bytes]:
        turns.append(turns.pop(0))
        return 200, turns[-1]

    with answering(in_turn) as port:
        check_work("it", port, [1, 2])


def test_the_same_work_is_no_complaint() -> None:
    assert "" == wrong_fields(SEEN)


@pytest.mark.parametrize("field", SEEN)
def test_a_field_that_is_not_added_is_named(field: str) -> None:
    assert wrong_fields({**SEEN, field: ""}).startswith(f"{field} is '' instead of")

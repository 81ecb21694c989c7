"""A server of the demo answers with its name, can be killed and come back on its port, and ends with its parent."""

import http.client
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from steelyard.cli.demo_server import HOST, DemoServer, listening

pytestmark = pytest.mark.real
PATIENCE_S = 50.0


@pytest.fixture
def server() -> Iterator[DemoServer]:
    made = DemoServer("Server 7", 0)
    made.start()
    yield made
    made.kill()


def ask(server: DemoServer, method: str = "GET") -> tuple[int, str | None, str]:
    connection = http.client.HTTPConnection(HOST, server.port, timeout=PATIENCE_S)
    try:
        connection.request(method, "/anything")
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Length"), answer.read().decode()
    finally:
        connection.close()


def test_its_whole_answer_is_its_name(server: DemoServer) -> None:
    assert (200, "8", "Server 7") == ask(server)
    assert (200, "8", "") == ask(server, "HEAD")


def test_it_serves_a_request_that_came_before_it_was_up(server: DemoServer) -> None:
    """`start` does not wait, and nobody is refused: the socket listens before the process runs."""
    assert "Server 7" == ask(server)[2]


def test_killed_it_refuses_and_started_again_it_has_its_port(server: DemoServer) -> None:
    port, pid = server.port, server.pid
    server.kill()
    assert server.pid is None
    with pytest.raises(ConnectionRefusedError):
        ask(server)
    server.kill()  # has no more effect
    server.start()
    assert (port, f"{HOST}:{port}") == (server.port, server.address)
    assert pid != server.pid
    assert "Server 7" == ask(server)[2]


def test_a_port_that_is_taken_is_an_error(server: DemoServer) -> None:
    with pytest.raises(OSError, match="Address already in use"):
        DemoServer("another", server.port).start()


def test_it_ends_when_nobody_holds_its_standard_input() -> None:
    with listening(0) as sock, socket.socket() as client:
        process = subprocess.Popen(
            [sys.executable, "-m", "steelyard.cli.demo_server", "x", str(sock.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[sock.fileno()],
        )
        client.connect(sock.getsockname())
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        handle = os.pidfd_open(process.pid)
        assert not select.select([handle], [], [], 0)[0], "it runs as long as its parent does"
        os.close(handle)
        assert process.stdin is not None
        process.stdin.close()
        assert 0 == process.wait(PATIENCE_S)

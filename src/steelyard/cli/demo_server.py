"""One of the demo's servers: a threaded HTTP server whose whole answer is its name, in a process of its own.

`DemoServer` is the demo's side of it, `main` what runs in the process. The demo listens and hands the socket down,
so the port is surely had before anything starts. The process lives as long as its standard input: a pipe whose
other end the demo alone holds, so that no server outlives it, not even where the demo is killed with -9.
"""

import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

HOST: Final = "127.0.0.1"
BACKLOG: Final = 128
ENDS_S: Final = 5.0  # a process that was killed is gone long before


def listening(port: int) -> socket.socket:
    """A listening socket on a port of this machine, 0 for a free one. Raises OSError."""
    sock = socket.socket()
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((HOST, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


class DemoServer:
    """A server to balance over: can be started, killed and started again on its port.

    port: where it is to listen; 0 takes a free one at the first start and keeps it. pid: of its process, or None.
    """

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Listen and start the process; connections wait until it is up. Raises OSError when the port is taken."""
        with listening(self.port) as sock:
            self.port = sock.getsockname()[1]
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, self.name, str(sock.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[sock.fileno()],
                process_group=0,  # a Ctrl-C is for the demo, which then ends its servers
            )

    def kill(self) -> None:
        """End it at once, as a crash would; without effect when it does not run."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.kill()
            process.stdin.close()
            process.wait(ENDS_S)


class _Handler(BaseHTTPRequestHandler):
    """Answers every GET and HEAD with the server's name."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one packet
    answer = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(self.answer)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the balancer shows every request."""


def _end_with_parent() -> None:
    """Wait until nobody holds the other end of standard input."""
    sys.stdin.buffer.read()
    os._exit(0)


def main(name: str, descriptor: int) -> None:
    """Serve on an inherited listening socket until standard input ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    server = ThreadingHTTPServer((HOST, 0), _Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=descriptor)
    _Handler.answer = name.encode()
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

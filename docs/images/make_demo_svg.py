"""Record `steelyard demo` at work as docs/images/demo.svg: a real run in a real terminal, nothing typed by hand.

    python docs/images/make_demo_svg.py [--port 8080] [--server-port 8000]

Runs the demo in a pseudo-terminal, asks the balancer while it shows requests, kills a server as its hints say, ends
it with Ctrl-C, and has rich draw what the terminal was sent.
"""

import argparse
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from io import StringIO
from pathlib import Path
from typing import Final
from urllib.request import Request, urlopen

from rich.console import Console
from rich.text import Text

HERE: Final = Path(__file__).resolve().parent
COLUMNS: Final = 100
ROWS: Final = 100
WATCHING: Final = "client  "
# The last of each is seen when all are.
REQUESTS: Final = ("/", "/", "/", "/cart?item=7", "/images/beam.png")
AFTER_KILL: Final = ("/", "/", "/", "/checkout")
# What is of no use in a picture: ways to go on that name this machine's process and port numbers.
HINTS: Final = re.compile(r"\n[^\n]*Try next, in another terminal.*?(?=\n[^\n]*Requests as they come)", re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", default="8080")
    parser.add_argument("--server-port", default="8000")
    parser.add_argument("--to", type=Path, default=HERE / "demo.svg")
    chosen = parser.parse_args()
    said = record(chosen.port, chosen.server_port)
    chosen.to.write_text(drawn(said), encoding="utf-8")


def record(port: str, server_port: str) -> str:
    """What the demo sends to a terminal while it is used, with the colours' escape sequences."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    command = [sys.executable, "-m", "steelyard", "demo", "--port", port, "--server-port", server_port]
    environ = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ) as process:
        os.close(theirs)
        try:
            said = read_until(ours, WATCHING)
            for path in REQUESTS:
                get(port, path)
            said += read_until(ours, REQUESTS[-1])
            victim = re.search(rb"Server 3 dies[^\n]*\n[^\n]*kill -9 (\d+)", said)
            assert victim is not None, said
            os.kill(int(victim[1]), signal.SIGKILL)
            for path in AFTER_KILL:
                get(port, path)
            said += read_until(ours, AFTER_KILL[-1])
        finally:
            process.send_signal(signal.SIGINT)
        said += read_until(ours, None)
    os.close(ours)
    return said.decode()


def read_until(terminal: int, mark: str | None) -> bytes:
    """Read until the mark has come, or the other side has closed."""
    said = b""
    while mark is None or mark.encode() not in said:
        try:
            said += os.read(terminal, 65536)
        except OSError:  # Linux says so when the last process has closed the terminal
            break
    return said


def get(port: str, path: str) -> None:
    agent = {"User-Agent": "curl/8.0"}
    with urlopen(Request(f"http://localhost:{port}{path}", headers=agent), timeout=10) as answer:
        answer.read()


def drawn(said: str) -> str:
    """The picture."""
    said = "$ steelyard demo\n" + HINTS.sub("", said.replace("\r\n", "\n")).replace("^C", "").strip() + "\n"
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(said), soft_wrap=True)
    return console.export_svg(title="steelyard demo", unique_id="demo")


if __name__ == "__main__":
    main()

"""A server that a balancer starts: it answers with its process id, and can be told to be of no use.

    python local_server.py PORT|PATH [--exit STATUS] [--deaf] [--sick FILE] [--child] [--slow SECONDS] [--stubborn]
        [--udp]

--exit: says a few lines and ends. --deaf: never listens. --sick: /health is 500 while that file is there. --child:
starts a process of its own, whose number it says. --slow: answers so much later, and says when it was asked.
--stubborn: does not end when it is told to. --udp: answers datagrams.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys


async def answer(given: argparse.Namespace, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All requests of one connection."""
    body = b"%d" % os.getpid()
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if given.slow:
                print("asked", flush=True)
                await asyncio.sleep(given.slow)
            ill = head.startswith(b"GET /health ") and given.sick and os.access(given.sick, os.F_OK)
            status = b"500 No" if ill else b"200 OK"
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


class Datagrams(asyncio.DatagramProtocol):
    """Answers each with the process id."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(b"%d" % os.getpid(), addr)


async def serve(given: argparse.Namespace) -> None:
    """For ever."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(given, reader, writer)

    if given.deaf:
        await asyncio.Event().wait()
    if given.udp:
        await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, ("127.0.0.1", int(given.place)))
        await asyncio.Event().wait()
    if given.place.isdigit():
        server = await asyncio.start_server(connected, "127.0.0.1", int(given.place))
    else:
        server = await asyncio.start_unix_server(connected, given.place)
    await server.serve_forever()


def main() -> None:
    """Do as one is told."""
    parser = argparse.ArgumentParser()
    parser.add_argument("place")
    parser.add_argument("--exit", type=int)
    parser.add_argument("--deaf", action="store_true")
    parser.add_argument("--udp", action="store_true")
    parser.add_argument("--sick")
    parser.add_argument("--child", action="store_true")
    parser.add_argument("--slow", type=float, default=0.0)
    parser.add_argument("--stubborn", action="store_true")
    given = parser.parse_args()
    print(f"started as {os.getpid()} in {os.getcwd()}", flush=True)
    if given.child:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(f"its child is {child.pid}", flush=True)
    if given.exit is not None:
        print("no database\nlast words", file=sys.stderr, flush=True)
        sys.exit(given.exit)
    if given.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    asyncio.run(serve(given))


if __name__ == "__main__":
    main()

"""The manager of GPS sensors: reads their sentences, over TCP or UDP, and answers how far and how fast they went.

    python3 managers/gps.py tcp 9001 sensors/0
    python3 managers/gps.py udp 9002 datagrams/0

A sentence is a line that GPS receivers write: `$GPRMC,time,A,latitude,N,longitude,E,knots,course,date,,*checksum` (NMEA
0183). Over TCP each connection is one journey, and each line is answered with the journey so far; over UDP each
datagram is one, of one or more lines, and its answer is one datagram. An answer is a line of JSON, or `ERROR: ` and the
reason. It listens on 127.0.0.1, for the balancer in front of it. Standard library alone.
"""

import asyncio
import json
import math
import signal
import sys
from asyncio import DatagramTransport, StreamReader, StreamWriter
from functools import reduce
from typing import NamedTuple, cast

EARTH_M = 6_371_008.8  # the mean radius
KNOT_KMH = 1.852
MAX_LINE = 200  # bytes; NMEA's own limit is 82


class Fix(NamedTuple):
    """Where a sensor is: degrees, north and east positive, and how fast it says that it goes."""

    latitude: float
    longitude: float
    speed_kmh: float


def checksum(sentence: str) -> str:
    """Of what stands between `$` and `*`: all bytes, XOR."""
    return f"{reduce(lambda sum_, byte: sum_ ^ byte, sentence.encode(), 0):02X}"


def read(line: bytes) -> Fix:
    """A sentence understood. Raises ValueError, which says what is wrong with it."""
    text = line.decode("ascii", "replace").strip()
    sentence, star, given = text.removeprefix("$").partition("*")
    if not text.startswith("$") or not star:
        raise ValueError("no sentence: it is $GPRMC,...*checksum")
    if given.upper() != checksum(sentence):
        raise ValueError(f"the checksum is {given}, and should be {checksum(sentence)}")
    fields = sentence.split(",")
    if len(fields) < 10 or not fields[0].endswith("RMC"):
        raise ValueError(f"{fields[0]} is no RMC sentence, or too short")
    if fields[2] != "A":
        raise ValueError("the receiver has no fix")
    knots = float(fields[7] or 0)
    if not 0 <= knots < math.inf:
        raise ValueError(f"{fields[7]} is no speed")
    latitude = _degrees(fields[3], fields[4], "NS", 90)
    return Fix(latitude, _degrees(fields[5], fields[6], "EW", 180), knots * KNOT_KMH)


def _degrees(text: str, half: str, halves: str, most: int) -> float:
    """`4807.038`, `N` is 48 degrees and 7.038 minutes north."""
    value = float(text)
    degrees = value // 100 + value % 100 / 60
    if half not in tuple(halves) or not 0 <= degrees <= most:
        raise ValueError(f"{text},{half} is nowhere on Earth")
    return degrees if half == halves[0] else -degrees


def distance_m(a: Fix, b: Fix) -> float:
    """Along a great circle (haversine)."""
    phi, psi = math.radians(a.latitude), math.radians(b.latitude)
    across = math.sin(math.radians(b.longitude - a.longitude) / 2) ** 2
    h = math.sin((psi - phi) / 2) ** 2 + math.cos(phi) * math.cos(psi) * across
    return 2 * EARTH_M * math.asin(min(1.0, math.sqrt(h)))


class Journey:
    """What one sensor has told so far."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.last: Fix | None = None
        self.fixes = 0
        self.distance_m = 0.0

    def add(self, line: bytes) -> None:
        """The next sentence. Raises ValueError."""
        fix = read(line)
        if self.last is not None:
            self.distance_m += distance_m(self.last, fix)
        self.last = fix
        self.fixes += 1

    def answer(self) -> bytes:
        speed = 0.0 if self.last is None else self.last.speed_kmh
        summary = {"fixes": self.fixes, "distance_m": round(self.distance_m, 1), "speed_kmh": round(speed, 1)}
        return json.dumps({"worker": self.worker, **summary}).encode() + b"\n"


def answer_to(datagram: bytes, worker: str) -> bytes:
    """The answer to one datagram."""
    journey = Journey(worker)
    try:
        for line in datagram.splitlines():
            journey.add(line)
    except ValueError as exc:
        return f"ERROR: {exc}\n".encode()
    return journey.answer()


async def follow(reader: StreamReader, writer: StreamWriter, worker: str) -> None:
    """One TCP connection: an answer to each line, until the sensor closes or says what is no sentence."""
    journey = Journey(worker)
    try:
        while line := await reader.readline():
            journey.add(line)
            writer.write(journey.answer())
            await writer.drain()
    except ValueError as exc:  # also a line that is too long
        writer.write(f"ERROR: {exc}\n".encode())
    except OSError:
        pass  # it left
    finally:
        writer.close()


class Datagrams(asyncio.DatagramProtocol):
    """The UDP side."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.transport: DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        assert self.transport is not None
        self.transport.sendto(answer_to(data, self.worker), address)


async def main(protocol: str, port: int, worker: str) -> None:
    """Serve until told to end."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if protocol == "udp":
        await loop.create_datagram_endpoint(lambda: Datagrams(worker), ("127.0.0.1", port))
    else:
        await asyncio.start_server(lambda r, w: follow(r, w, worker), "127.0.0.1", port, limit=MAX_LINE)
    print(f"{worker} listens on {protocol} port {port}", flush=True)
    await ended.wait()


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("tcp", "udp"):
        sys.exit("usage: gps.py tcp|udp PORT NAME")
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))

"""What is asked of every balancer: the cases, the request, the goals.

The request is a browser's: ten header fields, 535 bytes with the request line of the smallest case. All
balancers get the same bytes from the same generator over the same number of connections.
Source of the goals: docs/bench.md, The goals; CPU per request relative to nginx's.
"""

from dataclasses import dataclass
from typing import Final

KIB: Final = 1024
HOST: Final = "www.example.com"

# Host first, as browsers send it. `Connection` comes from connection_field(): it depends on the case.
FIELDS: Final[tuple[tuple[str, str], ...]] = (
    ("Host", HOST),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("Accept-Language", "en-GB,en;q=0.8,de;q=0.5,fr;q=0.3"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Referer", "https://www.example.com/shop/catalogue?page=2"),
    ("Cookie", "session=3f9a1c7e5b2d4860a9c1; theme=light; consent=yes; basket=7711-2040-0917"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Cache-Control", "max-age=0"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of request.

    name: as in the JSON file. title: as in the table. body_bytes: of the answer.
    connections: open at once. goal: Steelyard's CPU per request over nginx's, at most.
    """

    name: str
    title: str
    path: str
    body_bytes: int
    connections: int
    goal: float
    new_connections: bool = False

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """The ten header fields of each request."""
        connection = "close" if self.new_connections else "keep-alive"
        return (*FIELDS, ("Connection", connection))


# 64 connections keep every balancer's core busy (over 90 %) without making it a test of queues. At 1 MiB sixteen do
# that, and fewer answers are under way, uncounted, when the generator stops.
CASES: Final[tuple[Case, ...]] = (
    Case("small", "95 B", "/small", 95, 64, 1.15),
    Case("medium", "10 KiB", "/medium", 10 * KIB, 64, 1.0),
    Case("large", "1 MiB", "/large", 1024 * KIB, 16, 0.7),
    Case("connect", "95 B, new connection", "/small", 95, 64, 1.3, new_connections=True),
)

IDLE_CLIENTS: Final = 5000
IDLE_GOAL_BYTES: Final = 10 * KIB


def request_head(case: Case) -> bytes:
    """The request as it goes over the wire (the generators make the same from the same fields)."""
    version = "1.0" if case.new_connections else "1.1"  # ab speaks HTTP/1.0
    lines = [f"GET {case.path} HTTP/{version}", *(f"{name}: {value}" for name, value in case.fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def body(size: int) -> bytes:
    """An answer's body: printable, and different at every place, so that a shifted or repeated piece is seen."""
    numbered = b"".join(b"%07d " % number for number in range(size // 8 + 1))
    return numbered[: size - 1] + b"\n"

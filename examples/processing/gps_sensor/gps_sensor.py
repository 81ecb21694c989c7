"""A GPS sensor on a round trip: sends what GPS receivers write, over TCP or UDP, and prints the answers.

    python gps_sensor/gps_sensor.py tcp [--fixes 10] [--every 0.5] [localhost:9100]
    python gps_sensor/gps_sensor.py udp ...

Over TCP it keeps one connection and sends a line for each fix; over UDP it sends a datagram with the latest three.
Standard library alone.
"""

import argparse
import math
import socket
import time
from functools import reduce

CENTRE = (48.1374, 11.5755)  # degrees north and east
RADIUS_M = 500.0
SPEED_KNOTS = 19.4
ROUND = 36  # fixes for once round
METRES_A_DEGREE = 111_195.0
PATIENCE_S = 5.0


def sentence(number: int) -> bytes:
    """The NMEA sentence of one fix, as a line."""
    angle = 2 * math.pi * number / ROUND
    north = CENTRE[0] + RADIUS_M * math.sin(angle) / METRES_A_DEGREE
    east = CENTRE[1] + RADIUS_M * math.cos(angle) / METRES_A_DEGREE / math.cos(math.radians(CENTRE[0]))
    clock = f"12{number // 60 % 60:02}{number % 60:02}.00"
    course = (360 - math.degrees(angle)) % 360
    body = f"GPRMC,{clock},A,{_minutes(north, 2)},N,{_minutes(east, 3)},E,{SPEED_KNOTS},{course:.1f},271126,,"
    return f"${body}*{reduce(lambda total, byte: total ^ byte, body.encode(), 0):02X}\r\n".encode()


def _minutes(degrees: float, digits: int) -> str:
    """As NMEA writes an angle: 48.1173 is `4807.0380`."""
    whole = int(degrees)
    return f"{whole:0{digits}}{(degrees - whole) * 60:07.4f}"


def over_tcp(address: tuple[str, int], fixes: int, every_s: float = 0.0) -> list[str]:
    """Send a journey over one connection; the answers. Raises OSError."""
    answers = []
    with socket.create_connection(address, PATIENCE_S) as sock, sock.makefile("rb") as lines:
        for number in range(fixes):
            time.sleep(every_s if number else 0.0)
            sock.sendall(sentence(number))
            answers.append(lines.readline().decode().rstrip())
    return answers


def over_udp(address: tuple[str, int], fixes: int, every_s: float = 0.0) -> list[str]:
    """Send datagrams of three fixes each; the answers. Raises OSError, also where one does not come in time."""
    answers = []
    family, _, _, _, place = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE_S)
        sock.connect(place)
        for number in range(fixes):
            time.sleep(every_s if number else 0.0)
            sock.send(b"".join(sentence(at) for at in range(number, number + 3)))
            answers.append(sock.recv(2048).decode().rstrip())
    return answers


def place_of(text: str) -> tuple[str, int]:
    """`host:port`."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT")
    return host.strip("[]") or "localhost", int(port)


def main() -> None:
    parser = argparse.ArgumentParser(description="Send fixes of a round trip.")
    parser.add_argument("protocol", choices=["tcp", "udp"])
    parser.add_argument("address", nargs="?", type=place_of, default=("localhost", 9100))
    parser.add_argument("--fixes", type=int, default=10)
    parser.add_argument("--every", type=float, default=0.5, metavar="SECONDS")
    options = parser.parse_intermixed_args()  # the address may stand behind the options
    send = over_tcp if options.protocol == "tcp" else over_udp
    try:
        for answer in send(options.address, options.fixes, options.every):
            print(answer)
    except OSError as exc:
        raise SystemExit(f"{options.address[0]}:{options.address[1]}: {exc}") from None


if __name__ == "__main__":
    main()

"""Which of the demo's ports cannot be had, why, and the command that would work instead."""

import errno
import socket
from collections.abc import Sequence
from typing import Final

from steelyard.cli.demo import LAST_PORT
from steelyard.cli.demo_server import HOST

FIRST_UNPRIVILEGED: Final = 1024


def trouble(program: str, port: int, server_ports: Sequence[int]) -> str | None:
    """What keeps the balancer and its servers from their ports, all of it, and the mend; None when nothing does."""
    roles = [(port, "the balancer"), *((number, f"Server {at}") for at, number in enumerate(server_ports, 1))]
    reasons = [(number, role, why) for number, role in roles if (why := refused(number)) is not None]
    if not reasons:
        return None
    numbers = {number for number, _, _ in reasons}
    ours = {port, *server_ports}
    options = []
    if port in numbers:
        port = free_above(port, 1, ours)
        options.append(f"--port {port}")
    if not numbers.isdisjoint(server_ports):
        options.append(f"--server-port {free_above(max(server_ports), len(server_ports), {*ours, port})}")
    moved = " ".join(options)
    return "\n".join(
        [
            *(f"port {number}, for {role}: {why}" for number, role, why in reasons),
            f"Move the demo: {program} demo {moved}   or: make demo ARGS='{moved}'",
        ]
    )


def refused(port: int) -> str | None:
    """Why a port cannot be had, None when it can. What listens on ::1 alone would take `localhost` from us, too."""
    for family, host in ((socket.AF_INET, HOST), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((host, port))
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                return f"taken by another program (ss -ltnp 'sport = :{port}' shows it)"
            if family == socket.AF_INET:
                return f"cannot be listened on ({exc.strerror})"
    return None


def free_above(port: int, count: int, unwanted: set[int]) -> int:
    """The first of `count` free ports in a row above this one, none of them unwanted; 0 (any at all) without such."""
    for first in range(max(port + 1, FIRST_UNPRIVILEGED), LAST_PORT - count + 2):
        wanted = range(first, first + count)
        if unwanted.isdisjoint(wanted) and all(refused(number) is None for number in wanted):
            return first
    return 0

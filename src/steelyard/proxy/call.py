"""What a policy may know of a client that sends no requests: a connection of TCP, a session of UDP, a task.

There is its address, and nothing else: bytes that are not understood have no parts.
"""

from collections.abc import Callable

from steelyard.core.policy import Pick


class Call(Pick):
    """The Pick of one connection, session or task. client: the IP address, or `unix:`."""

    def __init__(self, client: str, below: Callable[[int], int], now: float) -> None:
        self.client = client
        self.below = below
        self.key = 0
        self.now = now
        self.tried = None
        self.panic = False
        self.trials = None
        self.whole = True

    def get(self, name: str) -> str | None:
        """`client_ip`; None for all else."""
        return self.client if name == "client_ip" else None

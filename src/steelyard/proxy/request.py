"""A request as the core may ask about it: parts by name, looked up only when asked for.

This is where bytes become text, so that routing and policies know none.
"""

from collections.abc import Callable

from steelyard.core.policy import Pick
from steelyard.wire.http1 import RequestHead
from steelyard.wire.peer import Peer


class Request(Pick):
    """The Pick of one exchange."""

    def __init__(self, head: RequestHead, peer: Peer, below: Callable[[int], int], now: float) -> None:
        self.head = head
        self.peer = peer
        self.below = below
        self.key = 0
        self.now = now
        self.tried = None

    def get(self, name: str) -> str | None:
        """`path` (as sent, with its query), `host`, `method`, `client_ip`, `content_type`, `header:NAME`."""
        if name == "path":
            return self.head.target.decode("latin-1")
        if name == "host" or name.lower() == "header:host":
            return None if self.head.host is None else self.head.host.decode("latin-1")
        if name == "client_ip":
            return self.peer.client_of(self.head)
        if name == "method":
            return self.head.method.decode("latin-1")
        field = "content-type" if name == "content_type" else name.removeprefix("header:").lower()
        value = self.head.get(field.encode("latin-1", "replace"))
        return None if value is None else value.decode("latin-1")

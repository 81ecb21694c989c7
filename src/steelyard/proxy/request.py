"""A request as the core may ask about it: parts by name, looked up only when asked for.

This is where bytes become text, so that routing and policies know none.
"""

from collections.abc import Callable

from steelyard.core.policy import Pick
from steelyard.proxy.body_start import BodyStart
from steelyard.wire.cookies import cookie
from steelyard.wire.http1 import RequestHead
from steelyard.wire.peer import Peer
from steelyard.wire.query import query_value


class Request(Pick):
    """The Pick of one exchange. body: what its pool may see of its body; None where the pool does not look."""

    def __init__(self, head: RequestHead, peer: Peer, below: Callable[[int], int], now: float) -> None:
        self.head = head
        self.peer = peer
        self.below = below
        self.key = 0
        self.now = now
        self.tried = None
        self.panic = False
        self.trials = None
        self.whole = True
        self.body: BodyStart | None = None
        self.cookies: list[bytes] | None = None

    def get(self, name: str) -> str | None:
        """`path` (as sent, with its query), `host`, `method`, `client_ip`, `content_type`, `header:NAME`, `cookie:NAME`
        (its value as sent), `query:NAME` (decoded), `body:FIELD` (see BodyStart).

        None when the request has it not. Whatever the client sent, it costs a pass over it and raises nothing.
        """
        if name == "path":
            return self.head.target.decode("latin-1")
        if name == "host" or name.lower() == "header:host":
            return None if self.head.host is None else self.head.host.decode("latin-1")
        if name == "client_ip":
            return self.peer.client_of(self.head)
        if name == "method":
            return self.head.method.decode("latin-1")
        if name.startswith("cookie:"):
            if self.cookies is None:  # a sticky pool asks twice
                self.cookies = self.head.values(b"cookie")
            crumb = cookie(self.cookies, name[7:].encode("latin-1", "replace"))
            return None if crumb is None else crumb.decode("latin-1")
        if name.startswith("query:"):
            return query_value(self.head.target, name[6:])
        if name.startswith("body:"):
            return None if self.body is None else self.body.value(name[5:])
        field = "content-type" if name == "content_type" else name.removeprefix("header:").lower()
        value = self.head.get(field.encode("latin-1", "replace"))
        return None if value is None else value.decode("latin-1")

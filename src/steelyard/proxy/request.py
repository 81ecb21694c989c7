"""A request as the core may ask about it: parts by name, looked up only when asked for.

This is where bytes become text, so that routing and policies know none.
"""

from collections.abc import Callable
from itertools import islice

from steelyard.core.policy import Pick
from steelyard.proxy.body_start import BodyStart
from steelyard.wire.cookies import cookie, cookies
from steelyard.wire.http1 import RequestHead
from steelyard.wire.peer import Peer
from steelyard.wire.query import query_value, query_values


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
            crumb = cookie(self.crumbs(), name[7:].encode("latin-1", "replace"))
            return None if crumb is None else crumb.decode("latin-1")
        if name.startswith("query:"):
            return query_value(self.head.target, name[6:])
        if name.startswith("body:"):
            return None if self.body is None else self.body.value(name[5:])
        field = "content-type" if name == "content_type" else name.removeprefix("header:").lower()
        value = self.head.get(field.encode("latin-1", "replace"))
        return None if value is None else value.decode("latin-1")

    def one(self, name: str) -> str | None:
        """As `get`; None too where a field, a cookie or a query's value of that name was sent more than once.

        Which of them a backend takes nobody knows: whoever adds one that changes must not be another client each time.
        """
        if name.startswith("cookie:"):
            found = cookies(self.crumbs(), name[7:].encode("latin-1", "replace"))
            several = len(list(islice(found, 2))) > 1
        elif name.startswith("query:"):
            several = len(list(islice(query_values(self.head.target, name[6:]), 2))) > 1
        elif name.startswith("header:"):
            several = len(self.head.values(name[7:].lower().encode("latin-1", "replace"))) > 1
        else:
            several = False
        return None if several else self.get(name)

    def crumbs(self) -> list[bytes]:
        """The values of its Cookie fields: a sticky pool asks twice."""
        if self.cookies is None:
            self.cookies = self.head.values(b"cookie")
        return self.cookies

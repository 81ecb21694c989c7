"""The side of a client connection that an exchange answers through, whatever protocol the client speaks.

HTTP/1 has one exchange at a time on a connection; a protocol that has many gives each its own `Client`.
"""

from steelyard.core.spec import RespondSpec
from steelyard.errors import Kind
from steelyard.proxy.clock import Timed
from steelyard.wire.http1 import ResponseHead


class Client(Timed):
    """The side of a client connection that an exchange answers through.

    takes_chunks: chunked answers may be told as they came; else they are told as plain data.
    Calls that may end the connection come back as `on_client_gone`.
    """

    def __init__(self) -> None:
        self.untimed()
        self.takes_chunks = True

    def send_interim(self, head: ResponseHead) -> None:
        """Pass on a head of 100 to 199."""
        raise NotImplementedError

    def send_head(self, head: ResponseHead, framing: int) -> None:
        """Begin the answer; what is sent may be held until `flush` or `end`."""
        raise NotImplementedError

    def send_body(self, data: bytes) -> None:
        """A piece of the answer's body, framed as `send_head` was told."""
        raise NotImplementedError

    def flush(self) -> None:
        """Send what is held."""
        raise NotImplementedError

    def end(self, now: float) -> None:
        """The answer is whole; the client may ask again."""
        raise NotImplementedError

    def abort(self, kind: Kind) -> None:
        """The answer will not become whole: the client must be able to see that."""
        raise NotImplementedError

    def respond(self, spec: RespondSpec, now: float) -> None:
        """Give a whole fixed answer."""
        raise NotImplementedError

    def refuse(self, kind: Kind, retry_after_s: int, now: float) -> None:
        """Give the whole answer of a failed exchange. retry_after_s: what a 429 or 503 says of when to come again."""
        raise NotImplementedError

    def switch(self, head: ResponseHead) -> None:
        """Pass on a 101: from here on bytes are passed as they come."""
        raise NotImplementedError

    def send_eof(self) -> None:
        """In a tunnel: the backend will send no more."""
        raise NotImplementedError

    def close(self, now: float) -> None:
        """In a tunnel: both sides are done."""
        raise NotImplementedError

    def pause(self) -> None:
        """Read no more of the request for now."""
        raise NotImplementedError

    def resume(self, now: float) -> None:
        """Read on."""
        raise NotImplementedError

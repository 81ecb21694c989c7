"""Who hears an answer, as an upstream connection sees it.

The upstream knows nothing of exchanges, and so can serve anything that asks a backend.
"""

from steelyard.errors import Kind
from steelyard.proxy.clock import Timed
from steelyard.wire.http1 import ResponseHead


class Receiver(Timed):
    """Who hears an answer: an exchange. Every call may end the exchange and detach it from the connection."""

    def on_interim(self, head: ResponseHead) -> None:
        """A head of 100 to 199 other than 101."""
        raise NotImplementedError

    def on_switch(self, head: ResponseHead, now: float) -> bool:
        """A 101. Whether it was asked for: from here on the connection is a tunnel."""
        raise NotImplementedError

    def on_head(self, head: ResponseHead, framing: int, now: float) -> None:
        """The final head."""
        raise NotImplementedError

    def on_body(self, data: bytes, size: int, now: float) -> None:
        """A piece of the body, framed as `on_head` said; size: its bytes without that framing."""
        raise NotImplementedError

    def on_end(self, reusable: bool, now: float) -> None:
        """The answer is whole. reusable: the backend keeps the connection open."""
        raise NotImplementedError

    def on_pause(self) -> None:
        """All that has come so far was told; it may be flushed."""
        raise NotImplementedError

    def on_failed(self, kind: Kind, detail: str, now: float) -> None:
        """There will be no (further) answer; the connection is closed."""
        raise NotImplementedError

    def on_upstream_full(self) -> None:
        """The backend reads slower than the client sends."""
        raise NotImplementedError

    def on_upstream_ready(self, now: float) -> None:
        """It reads again."""
        raise NotImplementedError

    def on_upstream_eof(self, now: float) -> None:
        """In a tunnel: the backend has sent all it had, and may still read."""
        raise NotImplementedError

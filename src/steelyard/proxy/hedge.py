"""A second try beside a slow first one: whichever is answered first counts, and the other one is dropped.

One slow answer in twenty is often one server's pause, and another server would have answered long ago. To ask it as
well, once the first has taken longer than nineteen of twenty do, costs some five to ten requests in a hundred and cuts
off the tail.
Only for safe methods (RFC 9110 section 9.2.1), since both tries may run; and each hedge is paid for from the retry
budget, so that a pool that is slow as a whole is not asked twice.

    races -- its head comes first ----------> leads: passes everything on to the exchange, whose try it now is
      |  \\-- the first try fails ------------> leads
      |-- the first try is answered ---------> dropped
      \\-- it fails, or answers 500 or above -> dropped; the first one goes on

Source: Dean and Barroso, The Tail at Scale (CACM 2013): hedged requests.
"""

from typing import Any

from steelyard.core.backend import Backend
from steelyard.errors import Kind
from steelyard.proxy.connections import Connections
from steelyard.proxy.dial import Dial
from steelyard.proxy.receiver import Receiver
from steelyard.proxy.upstream import Upstream
from steelyard.wire.http1 import ResponseHead


class Hedge(Receiver):
    """The second try of an exchange. exchange: whose. backend: acquired by it, which also gives it back."""

    def __init__(self, exchange: Any, backend: Backend, now: float) -> None:
        super().__init__()
        self.exchange = exchange
        self.backend = backend
        self.upstream: Upstream | None = None
        self.dial: Dial | None = None
        self.asked_at = now
        self.leads = False

    def start(self, kept: Connections, now: float) -> None:
        """Ask the second backend."""
        upstream = kept.take()
        if upstream is None:
            self.dial_anew(kept)
        else:
            self._send(upstream, now)

    def dial_anew(self, kept: Connections) -> None:
        """Ask it over a connection of its own."""
        self.dial = kept.dial(self._on_dialled)

    def drop(self) -> None:
        """It is not needed any more."""
        if self.dial is not None:
            self.dial.cancel()
            self.dial = None
        if self.upstream is not None:
            self.upstream.close()
            self.upstream = None

    def _on_dialled(self, upstream: Upstream | None, kind: Kind | None, detail: str) -> None:
        self.dial = None
        if self.leads:
            self.exchange.on_dialled(upstream, kind, detail)
        elif upstream is None:
            assert kind is not None
            self.exchange.on_hedge_failed(kind, detail, self.exchange.context.wheel.now())
        else:
            self._send(upstream, self.exchange.context.wheel.now())

    def _send(self, upstream: Upstream, now: float) -> None:
        self.upstream = upstream
        self.exchange.send_to(upstream, self, now)

    # What the connection calls. While it races there is nothing to pass on but a head.

    def on_interim(self, head: ResponseHead) -> None:
        if self.leads:
            self.exchange.on_interim(head)

    def on_switch(self, head: ResponseHead, now: float) -> bool:
        return False  # what asks for an upgrade is not hedged

    def on_head(self, head: ResponseHead, framing: int, now: float) -> None:
        if not self.leads and head.status >= 500:
            self.drop()
            self.exchange.on_hedge_refused(head, now)
            return
        if not self.leads:
            self.exchange.on_hedge_won(now)
        self.exchange.on_head(head, framing, now)

    def on_body(self, data: bytes, size: int, now: float) -> None:
        self.exchange.on_body(data, size, now)

    def on_end(self, reusable: bool, now: float) -> None:
        self.exchange.on_end(reusable, now)

    def on_pause(self) -> None:
        if self.leads:
            self.exchange.on_pause()

    def on_failed(self, kind: Kind, detail: str, now: float) -> None:
        self.upstream = None
        if self.leads:
            self.exchange.on_failed(kind, detail, now)
        else:
            self.exchange.on_hedge_failed(kind, detail, now)

    def on_upstream_full(self) -> None:
        if self.leads:
            self.exchange.on_upstream_full()

    def on_upstream_ready(self, now: float) -> None:
        if self.leads:
            self.exchange.on_upstream_ready(now)

    def on_upstream_eof(self, now: float) -> None:
        """There are no tunnels here."""

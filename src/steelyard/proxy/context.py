"""What all exchanges of one listener share."""

from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any, Final

from steelyard.core.crowd import Crowd
from steelyard.core.door import NO_LIMIT, Door
from steelyard.core.router import Router
from steelyard.core.spec import ListenerSpec
from steelyard.core.table import Table
from steelyard.observe.counters import Counters
from steelyard.observe.recent import Recent
from steelyard.proxy.clock import Wheel
from steelyard.wire.peer import Network, Peer

# A few hundred bytes each; connections keep theirs when the table is emptied.
MAX_PEERS: Final = 4096


class ListenerContext:
    """Routes, limits and timeouts of a listener, and the loop's clock.

    on_record: called with a `Record` for each ended exchange, or None when nobody wants them.
    recent: where the latest requests are remembered, or None. counters: where is counted what happens.
    date_line: the Date line of an answer that is made now.
    below: n -> a random whole number in [0, n). stopping: answers say `Connection: close`.
    downstreams: the open client connections. door: the listener's row of the table, or one that nobody else sees.
    crowd: counts each client's connections, or None. on_leave: called when a connection has closed, or None.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        wheel: Wheel,
        spec: ListenerSpec,
        router: Router,
        networks: tuple[Network, ...],
        below: Callable[[int], int],
        on_record: Any,
        date_line: Callable[[], bytes],
    ) -> None:
        self.loop = loop
        self.wheel = wheel
        self.below = below
        self.on_record = on_record
        self.date_line = date_line
        self.local = f"{spec.host}:{spec.port}"
        self.recent: Recent | None = None
        self.counters = Counters()
        self.peers: dict[str, Peer] = {}
        self.stopping = False
        self.downstreams: set[Any] = set()
        self.door = Door(Table(bytearray(Table.size_bytes(1, 1)), 1), 0)
        self.crowd: Crowd | None = None
        self.on_leave: Callable[[], object] | None = None
        self.adopt(spec, router, networks)

    def adopt(self, spec: ListenerSpec, router: Router, networks: tuple[Network, ...]) -> None:
        """Serve by this specification from the next request on, open connections included."""
        self.name = spec.name
        self.networks = networks
        self.max_head_bytes = spec.max_head_bytes
        self.max_fields = spec.max_fields
        self.underscores = spec.underscores_in_headers
        self.head_s = spec.timeouts.head_s
        self.body_s = spec.timeouts.body_s
        self.idle_s = spec.timeouts.idle_s
        self.write_s = spec.timeouts.write_s
        self.max_in_flight = NO_LIMIT if spec.max_in_flight is None else spec.max_in_flight
        self.door.most_in_flight = self.max_in_flight
        self.body_byte_s = 0.0 if spec.min_body_rate is None else 1.0 / spec.min_body_rate
        self.peers = {}
        for downstream in self.downstreams:
            downstream.meet_again()  # whom we trust may have changed
        self.router = router

    def count_at(self, door: Door) -> None:
        """Count at this row of the table from now on; before the first connection."""
        self.door = door
        door.most_in_flight = self.max_in_flight

    def peer_of(self, address: str) -> Peer:
        """What backends are told of clients from this address: made once, shared by its connections."""
        peer = self.peers.get(address)
        if peer is None:
            if len(self.peers) >= MAX_PEERS:
                self.peers.clear()  # cheaper than knowing who came last, and nobody notices
            peer = Peer(address, "http", self.networks, self.local)
            self.peers[address] = peer
        return peer

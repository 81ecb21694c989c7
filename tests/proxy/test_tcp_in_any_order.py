"""Connections of TCP in any order of events: nothing is lost, mixed up, held in quantity or left behind."""

from collections.abc import Callable
from socket import socket
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from steelyard.core.spec import PoolTimeouts, RetrySpec
from steelyard.proxy.tcp import TcpDownstream
from tests.fakes import READ_BYTES, FakeTransport, Peer, World

WHICH = st.integers(0, 11)
SIZES = st.sampled_from([1, 10, 1000, READ_BYTES, READ_BYTES + 1])
ROOMS = st.sampled_from([0, 1, 5, 999])
SECONDS = st.sampled_from([0.1, 0.1, 1.0, 1.0, 6.0, 61.0])
# What ends things is rarer than what moves them on, or nothing would ever get far.
HALF = st.booleans()
SELDOM = st.sampled_from([False, False, False, False, False, True])


class Side:
    """One end: what it has said, what it was told, and who is at the other end of it."""

    def __init__(self, peer: Peer, mark: bytes) -> None:
        self.peer = peer
        self.mark = mark
        self.said = b""
        self.heard = b""
        self.other: Side | None = None
        self.ended = False
        self.reads = True

    @property
    def open(self) -> bool:
        return not self.peer.transport.lost

    def say(self, size: int) -> None:
        data = (self.mark * size)[:size]
        self.said += data
        self.peer >> data

    def look(self) -> None:
        self.heard += self.peer.take()


class AnyOrder(RuleBasedStateMachine):
    """One listener and three backends; each end says what nobody else says."""

    @initialize(hasty=st.sampled_from([None, b"", b"220 ready;"]), ends=st.booleans(), limit=st.sampled_from([None, 1]))
    def begin(self, hasty: bytes | None, ends: bool, limit: int | None) -> None:
        self.world = World(
            "abc",
            timeouts=PoolTimeouts(connect_s=5.0, tunnel_s=60.0),
            retry=RetrySpec(tries=2),
            max_connections=limit,
        )
        self.sides: list[Side] = []
        self.clients: list[Side] = []
        self.hasty = hasty
        self.hasty_ends = ends
        connected = self.world.loop.create_connection

        async def create_connection(factory: Callable[[], Any], sock: socket) -> tuple[FakeTransport, Any]:
            transport, protocol = await connected(factory, sock)
            if self.hasty:
                protocol.data_received(self.hasty)
            if self.hasty is not None and self.hasty_ends and transport.reading:
                transport.eof_arriving = transport.eof_arrived = True
                assert protocol.eof_received()
            return transport, protocol

        self.world.loop.create_connection = create_connection  # type: ignore[method-assign]

    def side(self, which: int) -> Side | None:
        able = [side for side in self.sides if side.open]
        return able[which % len(able)] if able else None

    @rule()
    @precondition(lambda self: len(self.clients) < 4)
    def connect(self) -> None:
        client = Side(self.world.client(speaks=TcpDownstream), b"client-%d;" % len(self.sides))
        self.world.loop.settle()
        self.sides.append(client)
        self.clients.append(client)

    @rule(which=WHICH, accepts=st.sampled_from([True, True, True, False]))
    def dial_ends(self, which: int, accepts: bool) -> None:
        if not self.world.loop.dials:
            return
        dial = self.world.loop.dials[which % len(self.world.loop.dials)]
        if not accepts:
            dial.end(ConnectionRefusedError(111, "Connection refused"))
            self.world.loop.settle()
            return
        backend = Side(self.world.accept_dial(dial), b"backend-%d;" % len(self.sides))
        backend.said = self.hasty or b""
        backend.ended = backend.peer.transport.eof_arrived
        self.sides.append(backend)
        for client in self.clients:
            upstream = client.peer.transport.protocol.upstream
            if upstream is not None and upstream is backend.peer.transport.protocol:
                client.other, backend.other = backend, client

    @rule(which=WHICH, size=SIZES)
    def say(self, which: int, size: int) -> None:
        side = self.side(which)
        if side is not None and not side.ended:
            side.say(size)

    @rule(which=WHICH, does=HALF)
    def end(self, which: int, does: bool) -> None:
        side = self.side(which)
        if does and side is not None and not side.ended:
            side.ended = True
            side.peer.eof()

    @rule(which=WHICH, does=SELDOM, vanishes=st.booleans())
    def reset(self, which: int, does: bool, vanishes: bool) -> None:
        side = self.side(which)
        if does and side is not None and not side.peer.transport.gone:
            side.look()
            side.ended = True
            if vanishes:
                side.peer.vanish()
            else:
                side.peer.reset()

    @rule(which=WHICH, room=ROOMS)
    def go_deaf(self, which: int, room: int) -> None:
        side = self.side(which)
        if side is not None:
            side.reads = False
            side.peer.stop_reading(room)

    @rule(which=WHICH, room=st.sampled_from([None, 1, 1000]))
    def hear(self, which: int, room: int | None) -> None:
        side = self.side(which)
        if side is not None and not side.peer.transport.gone:
            side.reads = room is None
            side.peer.read(room)

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.world.turn(seconds)

    @rule(which=WHICH, does=SELDOM)
    def cut(self, which: int, does: bool) -> None:
        if does and self.clients:
            self.clients[which % len(self.clients)].peer.transport.protocol.cut()
            self.world.loop.settle()

    @invariant()
    def nobody_hears_what_another_one_was_told(self) -> None:
        for side in self.sides:
            side.look()
            other = side.other
            if other is not None:
                assert other.said.startswith(side.heard)
                if side.peer.end in ("eof", "closed") and not (side.peer.transport.held or side.peer.transport.gone):
                    assert other.said == side.heard, "an end comes behind the last byte"

    @invariant()
    def little_is_held(self) -> None:
        for side in self.sides:
            assert side.peer.transport.most_held <= READ_BYTES

    @invariant()
    def what_is_in_flight_is_what_is_open(self) -> None:
        owners = [client.peer.transport.protocol for client in self.clients]
        assert sum(self.world.in_flight.values()) == sum(owner.backend is not None for owner in owners)
        assert len(self.world.loop.dials) <= sum(owner.dial is not None for owner in owners)
        for owner in owners:
            assert not owner.over or owner.backend is None

    @invariant()
    def who_reads_has_all(self) -> None:
        for side in self.sides:
            other = side.other
            gone = side.peer.transport.gone or other is None or other.peer.transport.gone
            if other is not None and not gone and side.reads and side.peer.end == "open" and other.open:
                assert other.said == side.heard

    @invariant()
    def an_end_is_passed_on(self) -> None:
        for side in self.sides:
            other = side.other
            if other is not None and not (side.peer.transport.gone or side.peer.transport.held):
                assert "open" != side.peer.end or not other.peer.transport.eof_arrived

    def teardown(self) -> None:
        if hasattr(self, "world"):
            for side in self.sides:
                side.peer.take()
            self.world.over()


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=60)
TestAnyOrder = AnyOrder.TestCase

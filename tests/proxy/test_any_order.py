"""Clients, backends and the clock in any order: nothing leaks, nothing is counted twice, no answer goes astray.

Each request carries a token of its own, and all that a backend says in answer to it is made of that token; what a
backend says unasked is made of one that belongs to nobody. docs/cases.md 62: the single most valuable soak test.
"""

import re
from typing import Any

from hypothesis import Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from steelyard.core.door import IN_FLIGHT
from steelyard.core.spec import (
    AdaptiveSpec,
    After,
    BreakerSpec,
    EjectionSpec,
    HealthCheckSpec,
    HedgeSpec,
    ListenerTimeouts,
    PoolTimeouts,
    QueueSpec,
    RespondSpec,
    RetrySpec,
    RouteSpec,
    StickySpec,
)
from steelyard.proxy.body_start import MAX_BYTES
from tests.fakes import Peer, World, answer, chunks, head, request

TOKEN = re.compile(rb"t\d{4};")
NOBODYS = b"t9999;"
UNASKED = answer("HTTP/1.1 200 OK", "Content-Length: 6", body=NOBODYS)
ROUTES = (
    RouteSpec(path="/fixed/*", respond=RespondSpec(200, "fixed")),
    RouteSpec(path="/small/*", pool="web", max_body_bytes=8),
    RouteSpec(path="/any/*", pool="web"),
)
WISH = ("Connection: Upgrade", "Upgrade: websocket")
FEW = st.integers(0, 30)
# Drawn without regard to what is there: deadlines of one moment come in any order, which must not change the draws.
WHICH = st.integers(0, 11)
KINDS = st.sampled_from(
    ["length", "length", "chunked", "open", "204", "503", "100", "close", "101", "101", "101", "bad", "more"]
)
MOSTLY = st.sampled_from([True, True, True, False])
# What ends things is rarer than what moves them on, or nothing would ever get far.
MOODS = st.sampled_from(["deaf", "hears", "hears", "hears", "eof", "reset", "vanish"])


class Client:
    """A client: what it has yet to send, what it was sent, and the tokens of its requests in order."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.unsent = b""
        self.got = b""
        self.tokens: list[bytes] = []
        self.done = False

    def look(self) -> None:
        self.got += self.peer.take()


class Server:
    """One connection of a backend: what it got, what it has yet to say, how many requests it answered."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.unsent = b""
        self.got = b""
        self.answered = 0
        self.ends = False
        self.switched = False  # what comes now is a tunnel's, and no request however it looks
        self.done = False

    def look(self) -> None:
        self.got += self.peer.take()

    @property
    def asked(self) -> list[tuple[bytes, bytes, bytes]]:
        """Method, token and head of each request that it got; bodies are made so that none looks like a head."""
        heads: list[tuple[bytes, bytes, bytes]] = re.findall(
            rb"([A-Z]+) /\w+/(t\d{4};) HTTP/1\.1(\r\n.*?\r\n\r\n)", self.got, re.DOTALL
        )
        return heads[: self.answered] if self.switched else heads


class AnyOrder(RuleBasedStateMachine):
    """One listener and two or three backends under everything that can happen to them."""

    @initialize(
        checked=st.booleans(),
        same=st.integers(0, 1),
        mark_down=st.booleans(),
        hold=st.sampled_from([4, 65536]),
        total=st.sampled_from([None, 15.0]),
        limit=st.sampled_from([None, 1]),
        max_idle=st.sampled_from([0, 1, 256]),
        looks=st.booleans(),
        sticky=st.booleans(),
        hedge=st.sampled_from([None, 0.02, 1.0]),
        queue=st.sampled_from([None, QueueSpec(1, 1.0), QueueSpec(3, 5.0)]),
        full=st.sampled_from([None, 1, 2, "found"]),
        at_the_door=st.sampled_from([None, 2]),
        try_timeout=st.sampled_from([None, 1.0]),
        tries=st.sampled_from([2, 3]),
        ejects=st.booleans(),
        breaks=st.booleans(),
        breaks_whole=st.booleans(),
    )
    def begin(
        self,
        checked: bool,
        same: int,
        mark_down: bool,
        hold: int,
        total: float | None,
        limit: int | None,
        max_idle: int,
        looks: bool,
        sticky: bool,
        hedge: float | None,
        queue: QueueSpec | None,
        full: int | str | None,
        at_the_door: int | None,
        try_timeout: float | None,
        tries: int,
        ejects: bool,
        breaks: bool,
        breaks_whole: bool,
    ) -> None:
        self.world = World(
            "ab" if tries == 2 else "abc",
            routes=ROUTES,
            retry=RetrySpec(
                tries=tries,
                same_backend=same,
                delay_s=0.5,
                max_delay_s=1.0,
                try_timeout_s=try_timeout,
                on_status=(503,),
                mark_down=mark_down,
                hold_body_bytes=hold,
                budget=None,
            ),
            timeouts=PoolTimeouts(3.0, 10.0, total, 30.0, 20.0),
            client_timeouts=ListenerTimeouts(5.0, 8.0, 25.0, 6.0),
            check=HealthCheckSpec() if checked else None,
            max_connections=limit,
            max_idle=max_idle,
            policy="hash" if looks else "round_robin",
            key="body:0" if looks else None,
            sticky=StickySpec("lb", "a secret") if sticky else None,
            hedge=None if hedge is None else HedgeSpec(After(hedge, None)),
            queue=queue,
            max_in_flight=full if isinstance(full, int) else None,
            adaptive_limit=AdaptiveSpec(1, 3) if full == "found" else None,
            ejection=EjectionSpec(errors=1, penalty_s=5.0, max_penalty_s=9.0, max_ejected=0.6) if ejects else None,
            circuit_breaker=BreakerSpec(2, None, open_for_s=3.0, trials=2) if breaks else None,
            pool_circuit_breaker=BreakerSpec(3, None, open_for_s=3.0) if breaks_whole else None,
            listener={"max_in_flight": at_the_door},
        )
        self.clients: list[Client] = []
        self.servers: list[Server] = []
        self.numbers = 0
        for _ in range(3):
            self.connect()

    # Clients.

    @rule()
    def connect(self) -> None:
        if len([client for client in self.clients if not client.done]) < 4:
            self.clients.append(Client(self.world.client()))

    def client(self, which: int) -> Client | None:
        open_ones = [client for client in self.clients if not client.done]
        return open_ones[which % len(open_ones)] if open_ones else None

    @rule(
        which=WHICH,
        method=st.sampled_from(["GET", "HEAD", "POST", "PUT"]),
        route=st.sampled_from(["any", "any", "any", "small", "fixed", "nowhere"]),
        framing=st.sampled_from(
            ["none", "none", "length", "chunked", "wish", "close", "1.0", "bad", "expect", "json", "huge"]
        ),
        size=FEW,
        all_of_it=MOSTLY,
    )
    def ask(self, which: int, method: str, route: str, framing: str, size: int, all_of_it: bool) -> None:
        client = self.client(which)
        if client is None:
            return
        self.numbers += 1
        token = b"t%04d;" % self.numbers
        line = f"{method} /{route}/{token.decode()} HTTP/1.{0 if framing == '1.0' else 1}"
        if framing in ("length", "expect"):
            expect = ("Expect: 100-continue",) if framing == "expect" else ()
            sent = request(line, f"Content-Length: {size}", *expect, body=b"b" * size)
        elif framing in ("json", "huge"):  # what a pool that looks into bodies waits for
            body = b'["%b"]' % (b"b" * (size if framing == "json" else MAX_BYTES))
            fields = ("Content-Type: application/json", "Transfer-Encoding: chunked")
            expect = ("Expect: 100-continue",) if size % 2 else ()
            sent = request(line, *fields, *expect, body=chunks(body[:3], body[3:]))
        elif framing == "chunked":
            sent = request(line, "Transfer-Encoding: chunked", body=chunks(*[b"b" * size] if size else []))
        elif framing == "bad":
            sent = request(line, "Transfer-Encoding: chunked", body=b"2\r\nbb\r\nx")
        elif framing == "wish":
            sent = request(line, *WISH)
        elif framing == "close":
            sent = request(line, "Connection: close")
        else:
            sent = request(line)
        client.tokens.append(token)
        client.unsent += sent
        if all_of_it:
            self.send(client, len(client.unsent))

    @rule(which=WHICH, size=FEW)
    def send_some(self, which: int, size: int) -> None:
        client = self.client(which)
        if client is not None:
            self.send(client, size)

    def send(self, one: Client | Server, size: int) -> None:
        sent, one.unsent = one.unsent[:size], one.unsent[size:]
        if sent:
            one.peer >> sent

    @rule(which=WHICH, how=MOODS, room=FEW)
    def client_does(self, which: int, how: str, room: int) -> None:
        client = self.client(which)
        if client is not None:
            self.behave(client, how, room)

    def behave(self, one: Client | Server, how: str, room: int) -> None:
        if how == "deaf":
            one.peer.stop_reading(room)
        elif how == "hears":
            one.peer.read()
        else:
            one.done = True
            {"eof": one.peer.eof, "reset": one.peer.reset, "vanish": one.peer.vanish}[how]()

    # Backends.

    @rule(which=WHICH, refuse=st.integers(0, 3))
    def accept(self, which: int, refuse: int) -> None:
        dials = self.world.loop.dials
        if not dials:
            return
        dial = dials[which % len(dials)]
        if refuse == 0:
            dial.end(ConnectionRefusedError(111, "Connection refused"))
            self.world.loop.settle()
        else:
            self.servers.append(Server(self.world.accept_dial(dial)))

    def server(self, which: int) -> Server | None:
        open_ones = [server for server in self.servers if not server.done and not server.peer.transport.lost]
        return open_ones[which % len(open_ones)] if open_ones else None

    @rule(
        which=WHICH,
        kind=KINDS,
        times=st.integers(0, 5),
        all_of_it=MOSTLY,
    )
    def reply(self, which: int, kind: str, times: int, all_of_it: bool) -> None:
        server = self.server(which)
        if server is not None:
            self.reply_of(server, kind, times, all_of_it)

    def reply_of(self, server: Server, kind: str, times: int, all_of_it: bool) -> None:
        if server.done or server.peer.transport.lost:
            return
        server.look()
        asked = server.asked
        if server.answered >= len(asked) or server.ends:
            return
        method, token, fields = asked[server.answered]
        server.answered += 1
        server.switched = kind == "101" and b"Upgrade: websocket" in fields
        server.unsent += self.said(method, token, kind, times, b"Upgrade: websocket" in fields)
        server.ends = kind in ("open", "101", "bad", "more")
        if all_of_it:
            self.send(server, len(server.unsent))

    @staticmethod
    def said(method: bytes, token: bytes, kind: str, times: int, wished: bool) -> bytes:
        name = f"X-Token: {token.decode()}"
        body = token * times
        length = f"Content-Length: {len(body)}"
        shown = b"" if method == b"HEAD" else body
        if kind == "101" and wished:
            return head("HTTP/1.1 101 Switch", name, "Connection: Upgrade", "Upgrade: websocket", body=body)
        if kind == "chunked":
            coded = b"" if method == b"HEAD" else chunks(*[token] * times)
            return answer("HTTP/1.1 200 OK", name, "Transfer-Encoding: chunked", body=coded)
        if kind == "open":
            return answer("HTTP/1.1 200 OK", name, body=shown)
        if kind == "204":
            return answer("HTTP/1.1 204 No", name)
        if kind == "503":
            return answer("HTTP/1.1 503 Busy", name, length, body=shown)
        if kind == "100":
            return answer("HTTP/1.1 100 Continue") + answer("HTTP/1.1 200 OK", name, length, body=shown)
        if kind == "close":
            return answer("HTTP/1.1 200 OK", name, length, "Connection: close", body=shown)
        if kind == "more":  # than was asked for, in the same read
            return answer("HTTP/1.1 200 OK", name, length, body=shown) + UNASKED
        if kind == "bad":
            return answer("HTTP/1.1 200 OK", name, "Content-Length: +1", body=token)
        return answer("HTTP/1.1 200 OK", name, length, body=shown)

    @rule(
        which=WHICH,
        method=st.sampled_from(["GET", "HEAD", "POST", "PUT"]),
        framing=st.sampled_from(["none", "length", "chunked", "wish", "wish", "1.0", "json"]),
        kind=KINDS,
        size=st.integers(0, 200),
    )
    def converse(self, which: int, method: str, framing: str, kind: str, size: int) -> None:
        """A whole request, and as much of its answer; single steps alone seldom come so far."""
        self.ask(which, method, "any", framing, 5, True)
        if self.world.dialled:
            self.servers.append(Server(self.world.accept_dial(self.world.loop.dials[0])))
        for server in self.servers:
            if not server.unsent:
                self.reply_of(server, kind, 3, False)
                self.send(server, size)

    @rule(kind=st.sampled_from(["length", "chunked", "204"]))
    def serve_all(self, kind: str) -> None:
        """Every backend accepts and answers at once, as on a good day."""
        for _ in range(len(self.world.dialled)):
            if self.world.dialled:
                self.servers.append(Server(self.world.accept_dial(self.world.loop.dials[0])))
        for which in range(len(self.servers)):
            self.reply_of(self.servers[which], kind, 2, True)

    @rule(which=WHICH, size=FEW)
    def reply_some(self, which: int, size: int) -> None:
        server = self.server(which)
        if server is not None:
            self.send(server, size)

    @rule(which=WHICH, how=MOODS, room=FEW)
    def server_does(self, which: int, how: str, room: int) -> None:
        server = self.server(which)
        if server is not None:
            self.behave(server, how, room)

    @rule(which=WHICH, stray=st.sampled_from([UNASKED, NOBODYS]))
    def speak_unasked(self, which: int, stray: bytes) -> None:
        idle: set[Any] = {up for kept in self.world.connections.of_backend.values() for up in kept.idle}
        servers = [server for server in self.servers if server.peer.transport.protocol in idle and not server.done]
        if servers:
            servers[which % len(servers)].peer >> stray

    @rule(which=WHICH, lies=st.sampled_from([b"", NOBODYS]))
    def close_unseen(self, which: int, lies: bytes) -> None:
        """The close, or a byte, lies in the kernel; the event loop has not come round to it."""
        server = self.server(which)
        if server is not None:
            server.peer.transport.protocol.sock.in_kernel = lies

    # Everything else.

    @rule(seconds=st.sampled_from([0.001, 0.001, 0.02, 0.02, 0.1, 0.1, 1.0, 1.0, 2.0, 5.5, 11.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.world.turn(seconds)

    @rule(seconds=st.sampled_from([4.0, 30.0]), really=st.integers(0, 4))
    def be_late(self, seconds: float, really: int) -> None:
        """The event loop was busy elsewhere: many deadlines are due at once."""
        if really:
            return
        self.world.loop.clock += seconds
        self.world.turn(0.1)

    @rule(really=st.integers(0, 29), cut=st.booleans())
    def stop(self, really: int, cut: bool) -> None:
        if really == 0:
            self.world.context.stopping = True
            for downstream in list(self.world.context.downstreams):
                downstream.cut() if cut else downstream.retire(self.world.wheel.now())
            self.world.loop.settle()

    # What must hold.

    @invariant()
    def what_is_counted_is_what_flies(self) -> None:
        if not hasattr(self, "world"):
            return
        flying: dict[str, int] = {}
        counted = queued = 0
        for client in self.clients:
            exchange = client.peer.transport.protocol.exchange
            if exchange is None:
                continue
            counted += exchange.counted
            queued += exchange.queued
            beside = exchange.hedge is not None and not exchange.hedge.leads
            for backend in (exchange.backend, exchange.hedge.backend if beside else None):
                if backend is not None:
                    flying[backend.host] = flying.get(backend.host, 0) + 1
        assert flying == self.world.in_flight
        door = self.world.context.door
        assert counted == door.table.total(door.row, IN_FLIGHT)
        queue = self.world.connections.queue
        assert queued == (0 if queue is None else queue.room.waiting)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        for client in self.clients:
            client.peer.read()
            client.peer.reset()
        everybody: list[Client | Server] = [*self.clients, *self.servers]
        for one in everybody:
            one.look()
        self.world.over()
        recorded = [token for record in self.world.records for token in TOKEN.findall(record.target.encode())]
        assert len(recorded) == len(set(recorded)), "an exchange made two records"
        seen = {token for server in self.servers for _, token, _ in server.asked}
        for client in self.clients:
            got = TOKEN.findall(client.got)
            note(f"{client.tokens} got {client.got!r}")
            order = [client.tokens.index(token) if token in client.tokens else -1 for token in got]
            assert -1 not in order, "a client was sent what was not for it"
            assert sorted(order) == order, "answers came out of order"
            seen.update(got)
            finals = [status for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", client.got) if status[:1] != b"1"]
            ours = [record for record in self.world.records if record.target.encode()[-6:] in client.tokens]
            unread = [record for record in self.world.records if record.target == "-"]
            assert len(finals) <= len(ours) + len(unread), "an answer without a record"
        assert seen <= set(recorded), "an exchange made no record"


TestAnyOrder = AnyOrder.TestCase
# Not shrunk: that takes minutes here, and the test's time would be over before anybody saw the example.
TestAnyOrder.settings = settings(
    max_examples=300, stateful_step_count=80, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)

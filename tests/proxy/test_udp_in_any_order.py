"""Datagrams, answers, deaths, reloads and the clock in any order: nothing leaks, and no answer goes astray.

Each datagram carries the number of its client, and a backend answers with what it was sent.
"""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from steelyard.core.spec import BreakerSpec, EjectionSpec, HealthCheckSpec, RetrySpec
from tests.proxy.datagrams import HOST, Datagrams, End, Place

WHICH = st.integers(0, 11)


class AnyOrder(RuleBasedStateMachine):
    """A listener, some clients, and three backends of which each may die."""

    def __init__(self) -> None:
        super().__init__()
        self.stage: Any = None
        self.asked: list[tuple[End, bytes, Place]] = []
        self.number = 0

    @initialize(
        answers=st.sampled_from([None, 0, 1, 2]),
        policy=st.sampled_from(["round_robin", "least_connections", "power_of_two", "consistent_hash", "peak_ewma"]),
        checked=st.booleans(),
        broken=st.booleans(),
        mark_down=st.booleans(),
        named=st.booleans(),
    )
    def begin(
        self, answers: int | None, policy: str, checked: bool, broken: bool, mark_down: bool, named: bool
    ) -> None:
        self.stage = Datagrams(
            ["a", HOST, HOST] if named else 3,
            answers=answers,
            policy=policy,
            session_timeout_s=5.0,
            max_sessions=4,
            health_check=HealthCheckSpec(fall=2) if checked else None,
            retry=RetrySpec(mark_down=checked and mark_down),
            ejection=EjectionSpec(errors=2),
            circuit_breaker=BreakerSpec(consecutive_failures=2, open_for_s=2.0) if broken else None,
        )
        self.stage.loop.addresses["a"] = ["127.0.0.9", HOST]
        self.clients = [self.stage.client() for _ in range(6)]

    @rule(which=WHICH, length=st.sampled_from([4, 4, 4, 2000]), look=st.booleans())
    def send(self, which: int, length: int, look: bool) -> None:
        """look: the balancer looks at once, and not only with the next."""
        client = self.clients[which % len(self.clients)]
        self.number += 1
        client >> (b"%d;" % self.clients.index(client)).ljust(length, b".")
        if look:
            self.look()

    @rule()
    def look(self) -> None:
        self.stage.pump()
        for backend in self.stage.backends:
            if backend.sock.fileno() >= 0:
                self.asked += [(backend, datagram, place) for datagram, place in backend.take()]

    @rule(which=WHICH, times=st.integers(1, 3), look=st.booleans())
    def answer(self, which: int, times: int, look: bool) -> None:
        alive = [one for one in self.asked if one[0].sock.fileno() >= 0]
        if alive:
            one = alive[which % len(alive)]
            self.asked.remove(one)
            backend, datagram, place = one
            for _ in range(times):
                backend.sock.sendto(datagram, place)
            if look:
                self.look()

    @rule(which=WHICH)
    def die(self, which: int) -> None:
        self.stage.backends[which % 3].close()

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 6.0]))
    def turn(self, seconds: float) -> None:
        self.stage.turn(seconds)
        self.look()

    @rule(which=st.integers(0, 2), answers=st.sampled_from([None, 0, 1]))
    def reload(self, which: int, answers: int | None) -> None:
        """To two of the backends, and another number of answers."""
        ports = [end.port for at, end in enumerate(self.stage.backends) if at != which]
        self.stage.reload(*[(HOST, port) for port in ports])
        self.stage.adopt(answers=answers)

    @rule()
    def stop(self) -> None:
        """Rarely so early that nothing else is tried."""
        if self.number > 10:
            self.stage.listener.stop_accepting()

    @invariant()
    def each_client_gets_its_own(self) -> None:
        for n, client in enumerate(self.clients if self.stage is not None else ()):
            assert {b"%d" % n} >= {got.partition(b";")[0] for got in client.got()}

    @invariant()
    def in_flight_are_the_sessions(self) -> None:
        if self.stage is None:
            return
        sessions = self.stage.listener.sessions.values()
        at = [session.backend for session in sessions]
        assert all(at)
        assert len(at) == self.stage.context.door.connections() <= 4
        for backend in self.stage.pool.backends:
            assert backend.in_flight == at.count(backend)

    def teardown(self) -> None:
        if self.stage is not None:
            self.stage.over()


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

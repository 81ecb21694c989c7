"""The run: every request ends once, every count returns to 0, and the laws of queues hold."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.core import policy as policies
from steelyard.core.backend import Backend
from steelyard.core.guard import Function
from steelyard.core.policies.prequal import UNKNOWN
from steelyard.core.policy import UNKNOWN_S, Pick, Policy
from steelyard.core.spec import PolicySpec, ProbeSpec
from steelyard.core.table import IN_FLIGHT, Table
from steelyard.simulate.engine import Engine
from steelyard.simulate.scenario import Server, Service, Trouble
from tests.simulate.worlds import an_engine, ran

NAMES = ("round_robin", "random", "power_of_two", "least_connections", "hash")
STORM = (
    Trouble("down", 0.0, (0,), 50.0, 120.0),
    Trouble("down", 0.0, (1, 2), 100.0, 110.0),
    Trouble("fail", 0.3, (1,), 20.0),
    Trouble("fast_fail", 0.5, (2,), 150.0, 200.0),
    Trouble("slow", 4.0, (3,), 30.0, 90.0),
)


def ended(engine: Engine) -> int:
    return engine.latencies.count + engine.failed + engine.refused


def in_flight(engine: Engine) -> list[int]:
    return [pool.table.total(row, IN_FLIGHT) for pool in engine.pools for row in range(pool.table.rows)]


@given(
    policy=st.sampled_from(NAMES),
    troubles=st.lists(st.sampled_from(STORM), unique=True),
    tries=st.integers(1, 4),
    retry_failures=st.booleans(),
    workers=st.integers(1, 3),
    shared_view=st.booleans(),
    checks=st.sampled_from([0.0, 5.0]),
    limit=st.sampled_from([None, 1, 3]),
    concurrency=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60)
def test_every_request_ends_once_and_nothing_stays_in_flight(
    policy: str, troubles: list[Trouble], limit: int | None, concurrency: int, **more: Any
) -> None:
    servers = (Server(concurrency=concurrency, max_connections=limit),) * 4
    engine = ran(policy, servers=servers, requests=600, troubles=tuple(troubles), warmup=0.0, **more)
    assert (600, 600, 0) == (engine.done, ended(engine), engine.inside)
    assert not any(in_flight(engine))
    assert [0] * 4 == [station.here for station in engine.stations]
    assert [0] * 4 == [station.busy for station in engine.stations]


def test_in_pieces_or_in_one_it_is_the_same_run() -> None:
    whole = an_engine("power_of_two", troubles=STORM)
    assert not whole.run(50_000)
    pieces = an_engine("power_of_two", troubles=STORM)
    while pieces.run(7):
        pass
    assert figures(whole) == figures(pieces)
    assert not whole.run(10)


def figures(engine: Engine) -> tuple[object, ...]:
    counts = (engine.failed, engine.refused, engine.retries, engine.ejections, engine.done)
    return (*counts, engine.latencies.mean(), engine.latencies.largest, [station.tries for station in engine.stations])


@pytest.mark.parametrize("policy", NAMES)
def test_the_same_seed_gives_the_same_run_and_another_one_another(policy: str) -> None:
    one, again, other = (ran(policy, troubles=STORM, seed=seed) for seed in (1, 1, 2))
    assert figures(one) == figures(again)
    assert figures(one) != figures(other)


# Moved once: two workers feed one machine of health now, which lies in the table, where each had its own before.
GOLDEN = ((1800, 0, 0, 110, 3), (14.908057351872568, 62.298176471759746, 281.58053299432055))
# The one that fails is asked less, and at this load the others feel that.
GOLDEN_EJECTING = ((1800, 0, 0, 44, 4), (21.714081616810287, 74.14054558155291, 297.26083825340265))


@pytest.mark.parametrize(("ejection", "counts", "times"), [(False, *GOLDEN), (True, *GOLDEN_EJECTING)])
def test_a_small_run_gives_the_very_numbers_it_has_always_given(
    ejection: bool, counts: tuple[int, ...], times: tuple[float, ...]
) -> None:
    """On both builds and every machine; a change of the engine that moves them has to say why."""
    engine = ran(
        "round_robin",
        backends=10,
        requests=2000,
        load=0.9,
        troubles=STORM,
        workers=2,
        retry_failures=True,
        ejection=ejection,
    )
    assert counts == (engine.latencies.count, engine.failed, engine.refused, engine.retries, engine.ejections)
    assert times == pytest.approx((engine.latencies.mean(), engine.latencies.largest, engine.now), rel=1e-12)


def test_one_server_without_chance_is_worked_out_by_hand() -> None:
    """Arrivals at 0.5, 1.0, 1.5, ...; each takes 1: the k-th ends at 1.5 + (k - 1), after waiting (k - 1) / 2."""
    engine = ran(backends=1, requests=10, load=2.0, arrivals="uniform", service=Service("fixed"), warmup=0.0)
    assert 1 + sum(k / 2 for k in range(10)) / 10 == pytest.approx(engine.latencies.mean())
    assert (5.5, 10.5) == pytest.approx((engine.latencies.largest, engine.now))
    # At 5.0 the tenth arrives, when 4 have ended: 5 are left, and itself.
    assert 6 == engine.stations[0].longest


def test_two_at_a_time_and_twice_as_fast_wait_less() -> None:
    for server in (Server(concurrency=2), Server(speed=2.0)):
        engine = ran(servers=(server,), requests=10, load=1.0, arrivals="uniform", service=Service("fixed"), warmup=0.0)
        assert 1 / server.speed == pytest.approx(engine.latencies.mean())


@pytest.mark.slow
@pytest.mark.parametrize("policy", NAMES)
def test_littles_law_holds(policy: str) -> None:
    """Requests in the system = arrivals a unit of time (8) x mean time in it; 36,000 arrivals are within 2.6 %."""
    engine = ran(policy, backends=10, requests=40_000)
    span = engine.measured_to - engine.measured_from
    assert 8.0 * engine.latencies.mean() == pytest.approx(engine.area / span, rel=0.03)


@pytest.mark.slow
def test_a_single_server_is_the_mm1_queue() -> None:
    """M/M/1 at 0.5: mean 2, and a time in the system that is exponential itself."""
    engine = ran(backends=1, requests=100_000, load=0.5)
    # The mean over n requests has a relative standard deviation of about 2 / ((1 - load) sqrt n): 1.3 %.
    assert 2.0 == pytest.approx(engine.latencies.mean(), rel=0.065)
    assert 2.0 * math.log(100) == pytest.approx(engine.latencies.quantile(0.99), rel=0.1)


@pytest.mark.slow
def test_least_connections_is_nearly_one_queue_and_chance_is_not() -> None:
    means = [ran(name, backends=20, requests=40_000, load=0.9).latencies.mean() for name in NAMES[1:4]]
    random, two, least = means
    assert least < two < random
    assert least < 1.7
    assert random > 6.0


def test_the_warmup_is_left_out_of_the_figures() -> None:
    whole, late = ran("random", warmup=0.0), ran("random", warmup=0.25)
    assert (2000, 1500) == (ended(whole), ended(late))
    assert (2000, 1500) == tuple(sum(station.tries for station in engine.stations) for engine in (whole, late))
    assert (2000, 2000) == (whole.done, late.done)


def test_weights_are_the_shares() -> None:
    servers = tuple(Server(speed=float(weight), weight=weight) for weight in (5, 1, 1))
    engine = ran(servers=servers, requests=7000, warmup=0.0)
    assert [5000, 1000, 1000] == [station.tries for station in engine.stations]


# Trouble.


def test_a_backend_that_is_gone_costs_retries_until_it_is_ejected() -> None:
    """Without checks and ejection nobody takes it out, and every fourth request is tried twice while it is away."""
    gone = (Trouble("down", 0.0, (0,), 100.0, 300.0),)
    believed, checked = (
        ran(requests=2000, troubles=gone, checks=checks, warmup=0.0, ejection=False) for checks in (0.0, 10.0)
    )
    arrivals_meanwhile = 200 * 3.2
    assert abs(believed.retries - arrivals_meanwhile / 4) <= 5 * math.sqrt(arrivals_meanwhile)
    assert (0, 1) == (believed.ejections, checked.ejections)
    assert checked.retries <= 10
    assert 0 == checked.failed
    assert checked.stations[0].tries > 2000 / 4 / 2


def test_what_a_backend_had_is_lost_with_it_and_tried_elsewhere() -> None:
    gone = (Trouble("down", 0.0, (0,), 100.0),)
    often, once = (
        ran("least_connections", requests=1000, load=3.0, troubles=gone, tries=tries, warmup=0.0) for tries in (3, 1)
    )
    assert often.retries > 20
    assert 0 == once.retries
    assert once.failed > 20


def test_requests_are_refused_when_there_is_nobody() -> None:
    everyone = (Trouble("down", 0.0, (0, 1, 2, 3), 100.0),)
    engine = ran(requests=2000, troubles=everyone, checks=10.0, warmup=0.0, ejection=False)
    assert engine.refused > 1000
    assert engine.refused + engine.failed > 2000 - 3.2 * 100 - 5 * math.sqrt(320)
    assert 4 == engine.ejections


@pytest.mark.slow
def test_max_connections_refuses_what_would_wait_too_long() -> None:
    engine = ran(servers=(Server(max_connections=3),) * 4, requests=4000, load=2.0, warmup=0.0)
    assert [3] * 4 == [station.longest for station in engine.stations]
    assert 0.4 < engine.refused / 4000 < 0.6
    assert 0 == engine.failed


@pytest.mark.parametrize("kind", ["fail", "fast_fail"])
def test_failed_answers_are_counted_and_not_timed(kind: str) -> None:
    engine = ran(requests=8000, troubles=(Trouble(kind, 0.4, (0, 1)),), checks=0.0, warmup=0.0, ejection=False)
    # Half of the requests, of these 40 %: a fifth.
    assert abs(engine.failed - 1600) <= 5 * math.sqrt(8000 * 0.2 * 0.8)
    assert 8000 == engine.latencies.count + engine.failed
    assert 0 == engine.retries


def test_failing_at_once_takes_no_time_and_failing_late_does() -> None:
    late, soon = (
        ran(requests=2000, load=0.5, troubles=(Trouble(kind, 1.0, (0,)),), checks=0.0) for kind in ("fail", "fast_fail")
    )
    assert 0 == soon.stations[0].longest
    assert late.stations[0].longest > 0


def test_failed_answers_are_tried_elsewhere_when_asked() -> None:
    """A tenth of all fail, which the budget (a fifth) bears; the backend that failed is not asked again."""
    trouble = (Trouble("fast_fail", 0.4, (0,)),)
    usual, again = (
        ran(requests=4000, troubles=trouble, checks=0.0, retry_failures=wanted, warmup=0.0, ejection=False)
        for wanted in (False, True)
    )
    assert (0, 0) == (usual.retries, again.failed)
    for count in (usual.failed, again.retries):
        assert abs(count - 400) <= 5 * math.sqrt(4000 * 0.1 * 0.9)


def test_without_checks_ejection_finds_it_out() -> None:
    """It fails four of ten: five errors among ten requests come soon. Then it is away for 300 of the 600 and more."""
    trouble = (Trouble("fail", 0.4, (0,)),)
    kept, ejected = (ran(requests=2000, troubles=trouble, checks=0.0, ejection=on, warmup=0.0) for on in (False, True))
    assert (0, True) == (kept.ejections, ejected.ejections in (1, 2, 3))
    assert ejected.failed < kept.failed / 3


@pytest.mark.slow
def test_checks_find_a_busy_backend_that_fails_and_bring_it_back() -> None:
    """Out after three checks, 5 apart, with half a request a time: 8 failures. Error answers do not speak for it."""
    trouble = (Trouble("fail", 1.0, (0,), 1000.0, 9000.0),)
    engine = ran(requests=20_000, load=0.5, troubles=trouble, checks=5.0, warmup=0.0, ejection=False)
    assert 1 == engine.ejections
    assert 1 <= engine.failed < 25
    assert engine.stations[0].tries > 600


def test_backends_that_all_answer_wrongly_are_asked_all_the_same_and_silent_ones_are_not() -> None:
    """Panic: what answers, only not as it should, is believed in when most are so."""
    wrong, silent = (
        ran(requests=300, load=0.02, troubles=(Trouble(kind, 1.0, (0, 1, 2, 3)),), checks=5.0)
        for kind in ("fail", "down")
    )
    assert (4, 4) == (wrong.ejections, silent.ejections)
    assert (270, 0) == (wrong.failed, wrong.refused)
    assert (0, 270) == (silent.failed, silent.refused)


def test_a_slow_backend_is_shunned_by_those_who_look() -> None:
    """At load 0.6 round robin's fourth backend would need 1.8 times its time; three others could do its work."""
    slow = (Trouble("slow", 3.0, (3,)),)
    blind, looking = (
        ran(name, requests=4000, load=0.6, troubles=slow) for name in ("round_robin", "least_connections")
    )
    assert blind.stations[3].longest > 5 * looking.stations[3].longest
    assert looking.stations[3].tries < 0.6 * blind.stations[3].tries


# Workers.


@pytest.mark.slow
def test_workers_with_a_shared_view_balance_as_one_and_others_do_not() -> None:
    """Eight workers, ten backends, least connections: separate views see an eighth of the traffic each."""

    def mean(**more: Any) -> float:
        return ran("least_connections", backends=10, requests=40_000, load=0.9, **more).latencies.mean()

    one, shared, separate = mean(), mean(workers=8), mean(workers=8, shared_view=False)
    assert one == pytest.approx(shared, rel=0.05)
    assert separate > 1.5 * shared


def test_round_robin_of_many_workers_is_one_rotation() -> None:
    engine = ran(workers=3, requests=2000, warmup=0.0)
    assert [500] * 4 == [station.tries for station in engine.stations]


def test_an_ejection_by_one_worker_is_seen_by_all() -> None:
    gone = (Trouble("down", 0.0, (0,), 100.0),)
    shared, separate = (
        ran(requests=3000, troubles=gone, workers=4, shared_view=view, checks=50.0, warmup=0.0)
        for view in (True, False)
    )
    assert 4 == separate.ejections
    assert 1 <= shared.ejections < 4
    assert shared.retries < separate.retries


# Policies that ask for more.


class Curious(Policy):
    """Takes the first backend, probes two at each request, and remembers what it hears."""

    def __init__(self, spec: PolicySpec, table: Table, row: int) -> None:
        super().__init__(spec, table, row)
        self.asked: list[Backend] = []
        self.answers: list[tuple[str, int, float, float]] = []

    def pick(self, request: Pick) -> Backend | None:
        self.asked += self.backends[:2]
        found = self.candidates(request)
        return found[0] if found else None

    def targets(self) -> list[Backend]:
        asked, self.asked = self.asked, []
        return asked

    def heard(self, backend: Backend, in_flight: int, latency_s: float, now: float) -> None:
        self.answers.append((backend.host, in_flight, latency_s, now))


class Witness(Policy):
    """Takes the first backend that may be taken, and writes down what it is told."""

    def __init__(self, spec: PolicySpec, table: Table, row: int) -> None:
        super().__init__(spec, table, row)
        self.heard_of: list[tuple[object, ...]] = []

    def pick(self, request: Pick) -> Backend | None:
        found = self.candidates(request)
        return found[0] if found else None

    def began(self, request: Pick, backend: Backend) -> None:
        self.heard_of.append(("began", backend.host, round(request.now, 6)))

    def ended(self, request: Pick, backend: Backend, failed: bool, latency_s: float, now: float) -> None:
        self.heard_of.append(("ended", backend.host, failed, round(latency_s, 6), round(now, 6)))


class Mute(Policy):
    """Has a bug."""

    def pick(self, request: Pick) -> Backend | None:
        raise LookupError("I cannot")


ASKING = PolicySpec("curious", probe=ProbeSpec(path="/p"))


def answers(engine: Engine) -> list[tuple[str, int, float, float]]:
    """What the curious policy has heard."""
    heard: list[tuple[str, int, float, float]] = engine.pools[0].policy.inner.answers  # type: ignore[attr-defined]
    return heard


def last(request: Pick, backends: Sequence[Backend]) -> Backend:
    return backends[-1]


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "_REGISTER", dict(policies._REGISTER))
    policies.register("curious", Curious, "probes", ours=False)
    policies.register("witness", Witness, "tells", ours=True)
    policies.register("mute", Mute, "raises", ours=False)
    policies.register("last", lambda spec, table, row: Function(spec, table, row, last), "the last", ours=False)


@pytest.mark.usefixtures("foreign")
def test_a_policy_that_probes_hears_what_is_true_a_little_later() -> None:
    """Also when it is watched: one first backend serves all at 2 x its rate, so that its queue grows by the rate."""
    engine = an_engine(ASKING, backends=2, requests=100, load=1.0, probe_delay=0.25, arrivals="uniform")
    while engine.run(1):
        pass
    heard = answers(engine)
    assert Counter({"backend-1": 100, "backend-2": 100}) == Counter(host for host, _, _, _ in heard)
    assert all(0 == in_flight and 0.0 == latency_s for host, in_flight, latency_s, _ in heard if host == "backend-2")
    # The k-th arrival is at k / 2, the answer to its probe 0.25 later, in seconds of 0.1.
    assert [pytest.approx((k / 2 + 0.25) * 0.1) for k in range(1, 101)] == [
        now for host, _, _, now in heard if host == "backend-1"
    ]
    first, final = (heard[at] for at in (0, -2))
    assert 1 == first[1]
    assert 30 < final[1] < 70
    assert final[2] > 1.0


def told(**more: Any) -> list[tuple[object, ...]]:
    """What a policy hears of requests at 1, 2, ..., each of them 1 of work, a second long."""
    usual: dict[str, Any] = {
        "backends": 2,
        "load": 0.5,
        "arrivals": "uniform",
        "service": Service("fixed"),
        "service_s": 1.0,
    }
    engine = ran("witness", **usual | {"warmup": 0.0, "checks": 0.0, **more})
    heard: list[tuple[object, ...]] = engine.pools[0].policy.heard_of  # type: ignore[attr-defined]
    return heard


@pytest.mark.usefixtures("foreign")
def test_a_policy_is_told_of_every_try_in_the_order_of_the_exchange() -> None:
    """The new try begins before the old one ends. What is answered has a time of its own try, in seconds."""
    assert [("began", "backend-1", 1.0), ("ended", "backend-1", False, 1.0, 2.0)] == told(requests=1)
    assert [("began", "backend-1", 0.1), ("ended", "backend-1", False, 0.1, 0.2)] == told(requests=1, service_s=0.1)
    assert [
        ("began", "backend-1", 1.0),
        ("began", "backend-2", 1.5),
        ("ended", "backend-1", True, -1.0, 1.5),
        ("ended", "backend-2", False, 1.0, 2.5),
    ] == told(requests=1, troubles=(Trouble("down", 0.0, (0,), 1.5),))
    fails = (Trouble("fail", 1.0, (0,)),)
    assert [("began", "backend-1", 1.0), ("ended", "backend-1", True, 1.0, 2.0)] == told(requests=1, troubles=fails)
    assert [
        ("began", "backend-1", 1.0),
        ("began", "backend-2", 2.0),
        ("ended", "backend-1", True, 1.0, 2.0),
        ("ended", "backend-2", False, 1.0, 3.0),
    ] == told(requests=1, troubles=fails, retry_failures=True)
    soon = (Trouble("fast_fail", 1.0, (0,)),)
    assert [("began", "backend-1", 1.0), ("ended", "backend-1", True, 0.0, 1.0)] == told(requests=1, troubles=soon)
    gone = (Trouble("down", 0.0, (0, 1)),)
    assert [
        ("began", "backend-1", 1.0),
        ("began", "backend-2", 1.0),
        ("ended", "backend-1", True, -1.0, 1.0),
        ("ended", "backend-2", True, -1.0, 1.0),
    ] == told(requests=1, troubles=gone)


def test_the_budget_bounds_what_is_tried_again() -> None:
    """A fifth of the requests, and three in every ten seconds: 2,000 requests at 3.2 in 0.1 s are 62 s."""
    engine = ran(requests=2000, troubles=(Trouble("fast_fail", 1.0, (0, 1, 2, 3)),), retry_failures=True, warmup=0.0)
    assert 2000 == engine.failed
    assert 0.15 * 2000 < engine.retries <= 0.2 * 2000 + 3 * 7


def test_the_table_knows_every_failed_try() -> None:
    trouble = (Trouble("fail", 0.4, (0, 1)), Trouble("down", 0.0, (2,), 100.0, 200.0))
    engine = ran(requests=2000, troubles=trouble, warmup=0.0, checks=0.0)
    backends = engine.pools[0].backends
    assert engine.failed + engine.retries == sum(backend.failures for backend in backends)
    assert 2000 + engine.retries == sum(backend.requests for backend in backends)


@pytest.mark.usefixtures("foreign")
def test_a_backend_that_is_down_answers_no_probe() -> None:
    engine = ran(ASKING, backends=2, requests=100, load=1.0, troubles=(Trouble("down", 0.0, (0,)),), checks=0.0)
    assert {"backend-2"} == {host for host, _, _, _ in answers(engine)}


@pytest.mark.usefixtures("foreign")
def test_without_a_path_a_probe_is_answered_at_once_by_what_we_know_ourselves() -> None:
    engine = ran("curious", backends=2, requests=3, load=1.0, probe_delay=0.25, arrivals="uniform")
    expected: list[Any] = [
        (host, UNKNOWN, UNKNOWN_S, pytest.approx(k / 2 * 0.1)) for k in (1, 2, 3) for host in ("backend-1", "backend-2")
    ]
    assert expected == answers(engine)


@pytest.mark.usefixtures("foreign")
@pytest.mark.parametrize(("timeout_s", "count"), [(0.026, 6), (0.024, 0)])
def test_a_probe_that_takes_longer_than_its_timeout_has_no_answer(timeout_s: float, count: int) -> None:
    """It takes a quarter of a service time of 100 ms."""
    asking = PolicySpec("curious", probe=ProbeSpec(path="/p", timeout_s=timeout_s))
    fixed = Service("fixed")
    engine = ran(asking, backends=2, requests=3, load=0.1, probe_delay=0.25, arrivals="uniform", service=fixed)
    assert count == len(answers(engine))


@pytest.mark.usefixtures("foreign")
def test_a_users_own_function_is_simulated_too() -> None:
    assert [0, 0, 0, 2000] == [station.tries for station in ran("last", warmup=0.0).stations]


@pytest.mark.usefixtures("foreign")
def test_a_policy_that_raises_is_replaced_as_in_the_data_plane_and_said() -> None:
    notes: list[str] = []
    engine = ran("mute", notes, warmup=0.0)
    assert [500] * 4 == [station.tries for station in engine.stations]
    assert "policy mute raised LookupError: I cannot; round_robin answers in its place" == notes[0]


def test_keys_are_hashed_as_the_pool_does_it() -> None:
    """Equal keys meet at one backend; the hash that is kept for later is the one that the pool made."""
    spec = PolicySpec("hash", key="client_ip")
    engine = ran(spec, requests=500, keys=1, warmup=0.0)
    assert [0, 0, 0, 500] == sorted(station.tries for station in engine.stations)
    spread = ran(replace(spec, key="path"), requests=500, keys=50, warmup=0.0)
    assert all(station.tries > 0 for station in spread.stations)


def test_a_piece_is_bounded_though_hardly_anything_arrives() -> None:
    """A check each tenth of a unit, and a hundred units to the next arrival: so many steps, and no more."""
    down = (Trouble("down", 0.0, (0,), 1.0),)
    engine = an_engine(requests=100, load=0.0025, arrivals="uniform", troubles=down, checks=0.1)
    assert engine.run(1000)
    assert (0, True) == (engine.arrived, 20.0 < engine.now < 30.0)


def test_a_clock_that_leaps_is_as_quick_as_any() -> None:
    """One look at the queues for a leap over thousands of millions of times to look, not as many."""
    slow = (Trouble("slow", 1e9, (0,)), Trouble("slow", 1e6, (0,)))
    engine = ran(backends=1, requests=50, troubles=slow)
    assert engine.now > 1e15
    assert (50, True) == (engine.done, len(engine.samples) <= 100)
    times = [time for time, _, _ in engine.samples]
    assert times == sorted(set(times))


def test_the_queues_are_looked_at_often_enough_for_a_picture_and_no_more() -> None:
    engine = ran(requests=20_000)
    assert 300 <= len(engine.samples) <= 450
    times = [time for time, _, _ in engine.samples]
    assert times == sorted(times)
    assert all(mean <= longest for _, longest, mean in engine.samples)
    overloaded = ran(requests=2000, load=50.0)
    assert len(overloaded.samples) <= 1600

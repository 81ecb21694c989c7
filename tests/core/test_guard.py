"""core/guard.py: a foreign policy's faults cost quality, never traffic."""

from asyncio import CancelledError
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from steelyard.core import policy as register
from steelyard.core.backend import Backend
from steelyard.core.guard import OVERRUNS, REPORT_EVERY_S, SWITCHED_OFF_S, Function, Guarded, Outside, make, parts
from steelyard.core.policy import Pick, Policy, Registered
from steelyard.core.pool import Pool
from steelyard.core.spec import BackendSpec, PolicySpec, PoolSpec
from tests.fakes_core import a_table, no_chance

LIMIT_S = 0.005


class World:
    """A guarded policy over three backends, and what is outside: a clock that is turned, and a log."""

    def __init__(self) -> None:
        self.clock = 0.0
        self.said: list[str] = []
        self.outside = Outside(lambda: self.clock, self.said.append)
        self.table = a_table(4)
        self.backends = [Backend(BackendSpec(str(n), 80), self.table, n + 1, 0) for n in range(3)]

    def guard(self, spec: PolicySpec) -> Guarded:
        policy = make(spec, self.table, 0, self.outside)
        assert type(policy) is Guarded
        policy.rebuild(self.backends)
        return policy


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch, world: World) -> Callable[..., Guarded]:
    """Makes a guarded policy out of a function `pick(request, backends)`, or of a class."""

    def build(what: Any, spec: PolicySpec | None = None) -> Guarded:
        factory: Any = what if isinstance(what, type) else lambda spec, table, row: Function(spec, table, row, what)
        monkeypatch.setitem(register._REGISTER, "mine:pick", Registered(factory, "", (), False))
        return world.guard(spec or PolicySpec("mine:pick", fallback="round_robin", time_limit_s=LIMIT_S))

    return build


def pick(policy: Policy, now: float = 0.0, **settings: Any) -> str | None:
    found = policy.pick(Pick(no_chance, now=now, **settings))
    return None if found is None else found.host


def last(request: Pick, backends: list[Backend]) -> Backend:
    return backends[-1]


def broken(request: Pick, backends: list[Backend]) -> Backend:
    raise KeyError("model")


def nobody(request: Pick, backends: list[Backend]) -> None:
    return None


def test_what_it_says_is_done(foreign: Callable[..., Guarded], world: World) -> None:
    policy = foreign(last)
    assert ["2", "2"] == [pick(policy) for _ in range(2)]
    assert (0, []) == (policy.faults, world.said)


def test_a_function_is_asked_about_those_that_may_be_picked_and_never_about_none(
    foreign: Callable[..., Guarded], world: World
) -> None:
    asked: list[list[str]] = []

    def note(request: Pick, backends: list[Backend]) -> Backend:
        asked.append([backend.host for backend in backends])
        return backends[0]

    policy = foreign(note)
    world.backends[0].set_healthy(False)
    assert "1" == pick(policy)
    assert "2" == pick(policy, tried=[world.backends[1]])
    assert pick(policy, tried=world.backends) is None
    assert [["1", "2"], ["2"]] == asked


def test_no_opinion_is_no_fault_and_the_fallback_answers(foreign: Callable[..., Guarded], world: World) -> None:
    policy = foreign(nobody)
    assert ["0", "1", "2", "0"] == [pick(policy) for _ in range(4)]
    assert (0, []) == (policy.faults, world.said)


@pytest.mark.parametrize("exc", [KeyError("model"), RecursionError(), StopIteration()])
def test_an_exception_is_counted_and_answered_by_the_fallback(
    foreign: Callable[..., Guarded], world: World, exc: Exception
) -> None:
    def fail(request: Pick, backends: list[Backend]) -> Backend:
        raise exc

    policy = foreign(fail)
    assert ["0", "1", "2"] == [pick(policy) for _ in range(3)]
    assert 3 == policy.faults
    described = "KeyError: 'model'" if isinstance(exc, KeyError) else type(exc).__name__
    assert [f"policy mine:pick raised {described}; round_robin answers in its place"] == world.said


def test_it_is_said_once_a_minute_with_how_many_more_there_were(foreign: Callable[..., Guarded], world: World) -> None:
    policy = foreign(broken)
    for second in range(125):
        pick(policy, 1000.0 + second)
    assert 125 == policy.faults
    more = " (59 more since the last report)"
    assert ["", more, more] == [
        said.removeprefix("policy mine:pick raised KeyError: 'model'; round_robin answers in its place")
        for said in world.said
    ]
    assert 60.0 == REPORT_EVERY_S


@pytest.mark.parametrize("answer", ["a", 0, True, object(), [], Pick, lambda: None])
def test_what_is_no_backend_is_a_fault(foreign: Callable[..., Guarded], world: World, answer: object) -> None:
    policy = foreign(lambda request, backends: answer)
    assert "0" == pick(policy)
    assert (1, 1) == (policy.faults, len(world.said))
    assert f"picked a {type(answer).__name__}, which is no backend" in world.said[0]


class Forger:
    """Says that it is a backend, and does not say anything else."""

    @property  # type: ignore[misc] # on purpose
    def __class__(self) -> Any:
        raise ValueError("no")

    def __repr__(self) -> str:
        raise ValueError("no")


def test_what_cannot_even_be_looked_at_is_a_fault(foreign: Callable[..., Guarded], world: World) -> None:
    policy = foreign(lambda request, backends: Forger())
    assert "0" == pick(policy)
    assert "picked a Forger, which is no backend" in world.said[0]


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


@pytest.mark.parametrize("exc", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), CancelledError(), Unspeakable()])
@pytest.mark.parametrize("where", ["pick", "began", "ended", "rebuild"])
def test_nothing_that_it_raises_gets_out(
    foreign: Callable[..., Guarded], world: World, exc: BaseException, where: str
) -> None:
    """A policy that calls exit() means itself, and one that is cancelled nobody's request."""

    class Raises(Policy):
        def pick(self, request: Pick) -> Backend | None:
            self.fail("pick")
            return self.backends[-1]

        def began(self, request: Pick, backend: Backend) -> None:
            self.fail("began")

        def ended(self, request: Pick, backend: Backend, failed: bool, latency_s: float, now: float) -> None:
            self.fail("ended")

        def rebuild(self, backends: Sequence[Backend]) -> None:
            super().rebuild(backends)
            self.fail("rebuild")

        def fail(self, here: str) -> None:
            if here == where:
                raise exc

    policy = foreign(Raises)
    assert pick(policy) is not None
    policy.began(Pick(no_chance), world.backends[0])
    policy.ended(Pick(no_chance), world.backends[0], False, 0.1, 1.0)
    assert 1 == policy.faults
    assert f"policy mine:pick raised {type(exc).__name__}" in world.said[0]


def test_what_it_says_stays_on_its_line_and_short(foreign: Callable[..., Guarded], world: World) -> None:
    """The text may be a client's."""

    def fail(request: Pick, backends: list[Backend]) -> Backend:
        raise ValueError("unknown tenant x\nhttp://10.0.0.1 [down]\x1b[2J" + "y" * 10_000)

    pick(foreign(fail))
    assert "raised ValueError: unknown tenant x?http://10.0.0.1 [down]?[2Jyy" in world.said[0]
    assert len(world.said[0]) < 300


@pytest.mark.parametrize("where", ["began", "ended", "rebuild"])
def test_what_holds_up_the_loop_elsewhere_is_a_fault_too(
    foreign: Callable[..., Guarded], world: World, where: str
) -> None:
    class Slow(Policy):
        def pick(self, request: Pick) -> Backend | None:
            return self.backends[0]

        def began(self, request: Pick, backend: Backend) -> None:
            self.dawdle("began")

        def ended(self, request: Pick, backend: Backend, failed: bool, latency_s: float, now: float) -> None:
            self.dawdle("ended")

        def rebuild(self, backends: Sequence[Backend]) -> None:
            super().rebuild(backends)
            self.dawdle("rebuild")

        def dawdle(self, here: str) -> None:
            world.clock += 2 * LIMIT_S * (here == where)

    policy = foreign(Slow)
    assert "0" == pick(policy)
    policy.began(Pick(no_chance), world.backends[0])
    policy.ended(Pick(no_chance), world.backends[0], False, 0.1, 1.0)
    assert 1 == policy.faults
    assert f" ms in {where}; " in world.said[0]


def test_a_rebuild_that_fails_again_is_said_again_a_minute_later(foreign: Callable[..., Guarded], world: World) -> None:
    class Raises(Policy):
        def pick(self, request: Pick) -> Backend | None:
            return None

        def rebuild(self, backends: Sequence[Backend]) -> None:
            raise LookupError

    policy = foreign(Raises)
    for now in (1000.0, 1030.0, 1070.0):
        pick(policy, now)
        policy.rebuild(world.backends)
    assert (4, 3) == (policy.faults, len(world.said))


def test_its_parts_are_itself_and_its_fallback(foreign: Callable[..., Guarded], world: World) -> None:
    policy = foreign(last)
    assert (policy.inner, policy.fallback) == parts(policy)
    assert (policy.fallback,) == parts(policy.fallback)


@pytest.mark.parametrize("why", ["down", "draining", "weight 0", "full", "tried", "another pool's"])
def test_a_backend_that_may_not_be_picked_is_a_fault(foreign: Callable[..., Guarded], world: World, why: str) -> None:
    spec = BackendSpec("0", 80, max_connections=1)
    first = Backend(spec, world.table, 1, 0)
    chosen = Backend(BackendSpec("0", 80), a_table(1), 0, 0) if why == "another pool's" else first
    world.backends[0] = first
    policy = foreign(lambda request, backends: chosen)
    assert "0" == pick(policy) if why != "another pool's" else True
    changes: dict[str, Callable[[], object]] = {
        "down": lambda: first.set_healthy(False),
        "draining": lambda: first.set_draining(True),
        "weight 0": lambda: first.set_weight(0),
        "full": first.begin,
    }
    changes.get(why, lambda: None)()
    assert "1" == pick(policy, tried=[first])
    assert 1 == policy.faults


def test_one_that_takes_too_long_is_answered_by_the_fallback(foreign: Callable[..., Guarded], world: World) -> None:
    def slow(request: Pick, backends: list[Backend]) -> Backend:
        world.clock += took[0]
        return backends[-1]

    took = [LIMIT_S / 2]
    policy = foreign(slow)
    assert "2" == pick(policy)
    took = [LIMIT_S * 1.1]
    assert "0" == pick(policy)
    assert 1 == policy.faults
    assert ["policy mine:pick took 5.5 ms of 5 ms; round_robin answers in its place"] == world.said


def test_overruns_in_a_row_switch_it_off_for_a_while(foreign: Callable[..., Guarded], world: World) -> None:
    asked: list[float] = []

    def slow(request: Pick, backends: list[Backend]) -> Backend:
        asked.append(request.now)
        world.clock += 1.0
        return backends[-1]

    policy = foreign(slow)
    for second in range(100):
        pick(policy, float(second))
    assert (3, 30.0) == (OVERRUNS, SWITCHED_OFF_S)
    assert [0, 1, 2, 32, 33, 34, 64, 65, 66, 96, 97, 98] == asked
    assert 12 == policy.faults
    assert "3 times in a row: not asked for 30 s" not in world.said[0]


def test_that_it_is_switched_off_is_said_when_the_minute_allows(foreign: Callable[..., Guarded], world: World) -> None:
    def slow(request: Pick, backends: list[Backend]) -> Backend:
        world.clock += 1.0
        return backends[-1]

    policy = foreign(slow)
    for now in (0.0, 1.0, 61.0):
        pick(policy, now)
    assert (
        "policy mine:pick took 1000.0 ms of 5 ms, 3 times in a row: not asked for 30 s; "
        "round_robin answers in its place (1 more since the last report)" == world.said[1]
    )


def test_one_that_waits_long_and_then_raises_is_switched_off_too(foreign: Callable[..., Guarded], world: World) -> None:
    asked: list[float] = []

    def waits(request: Pick, backends: list[Backend]) -> Backend:
        asked.append(request.now)
        world.clock += 1.0
        raise TimeoutError

    policy = foreign(waits)
    for second in range(10):
        pick(policy, float(second))
    assert ([0, 1, 2], 3) == (asked, policy.faults)
    assert "took 1000.0 ms of 5 ms and raised TimeoutError; round_robin answers" in world.said[0]


def test_a_pick_in_time_makes_the_overruns_before_it_forgotten(foreign: Callable[..., Guarded], world: World) -> None:
    took = iter([1.0, 1.0, 0.0] * 5)

    def uneven(request: Pick, backends: list[Backend]) -> Backend:
        world.clock += next(took)
        return backends[-1]

    policy = foreign(uneven)
    assert list("012202122012") == [pick(policy, float(second)) for second in range(12)]
    assert 8 == policy.faults


class Hooked(Policy):
    """One that listens; broken: the hook that raises."""

    broken = ""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.heard: list[tuple[object, ...]] = []

    def note(self, name: str, *what: object) -> None:
        self.heard.append((name, *what))
        if self.broken == name:
            raise RuntimeError("no")

    def rebuild(self, backends: Sequence[Backend]) -> None:
        self.backends = list(backends)
        self.note("rebuild", len(backends))

    def pick(self, request: Pick) -> Backend | None:
        self.note("pick")
        return self.backends[0]

    def began(self, request: Pick, backend: Backend) -> None:
        self.note("began", backend.host)

    def ended(self, request: Pick, backend: Backend, failed: bool, latency_s: float, now: float) -> None:
        self.note("ended", backend.host, failed, latency_s, now)


@pytest.mark.parametrize("broken", ["", "rebuild", "began", "ended", "pick"])
def test_both_policies_hear_everything_whatever_becomes_of_it(
    foreign: Callable[..., Guarded], world: World, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hooked, "broken", broken)
    monkeypatch.setitem(register._REGISTER, "spare", Registered(Hooked, "", (), True))
    if broken:
        monkeypatch.setattr(Hooked, "broken", "")
    policy = foreign(Hooked, PolicySpec("mine:pick", fallback="spare"))
    inner, fallback = policy.inner, policy.fallback
    assert isinstance(inner, Hooked)
    assert isinstance(fallback, Hooked)
    monkeypatch.setattr(inner, "broken", broken)
    policy.rebuild(world.backends[:2])
    request = Pick(no_chance, now=7.0)
    assert policy.pick(request) is world.backends[0]
    policy.began(request, world.backends[0])
    policy.ended(request, world.backends[0], True, 0.5, 8.0)
    heard: list[tuple[object, ...]] = [("rebuild", 3), ("rebuild", 2), ("pick",), ("began", "0")]
    heard.append(("ended", "0", True, 0.5, 8.0))
    assert heard == inner.heard
    assert [one for one in heard if one[0] != "pick" or broken == "pick"] == fallback.heard
    assert policy.faults == bool(broken)
    if broken:
        place = "" if broken == "pick" else f" in {broken}"
        assert [f"policy mine:pick raised RuntimeError: no{place}; spare answers in its place"] == world.said


def test_the_fallback_is_told_the_options_too(foreign: Callable[..., Guarded]) -> None:
    policy = foreign(last, PolicySpec("mine:pick", choices=3, fallback="power_of_two"))
    assert ("power_of_two", 3) == (policy.fallback.spec.name, policy.fallback.spec.choices)


def test_only_a_foreign_policy_is_watched_and_only_where_there_is_an_outside(
    foreign: Callable[..., Guarded], world: World
) -> None:
    foreign(last)
    assert type(make(PolicySpec(), world.table, 0, world.outside)) is not Guarded
    assert type(make(PolicySpec("mine:pick"), world.table, 0, None)) is Function


@pytest.mark.parametrize("reads", [True, False])
def test_a_policy_that_reads_bodies_says_so_through_its_guard(foreign: Callable[..., Guarded], reads: bool) -> None:
    def by_user(request: Pick, backends: list[Backend]) -> Backend:
        return backends[0]

    if reads:
        by_user.reads_body = True  # type: ignore[attr-defined]
    assert reads is foreign(by_user).reads_body


def test_a_pool_with_a_broken_policy_serves(foreign: Callable[..., Guarded], world: World) -> None:
    foreign(broken)
    spec = PoolSpec("web", tuple(BackendSpec(str(n), 80) for n in range(3)), PolicySpec("mine:pick"))
    pool = Pool(spec, a_table(Pool.rows_needed(spec)), 0, world.outside)
    found: list[Any] = [pool.acquire(Pick(no_chance)) for _ in range(4)]
    assert ["0", "1", "2", "0"] == [backend.host for backend in found]
    for backend in found:
        pool.release(Pick(no_chance), backend, False, 0.0)

"""The wheel: one timer for all deadlines, never early, at most a tick late."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.proxy.clock import Timed, Wheel
from tests.fakes import CALLBACK_S, FakeLoop

# As the module has them; compiled, they are C numbers that nobody can import.
TICK_S = 0.05
HORIZON_S = 120.0

LATE_S = TICK_S + 100 * CALLBACK_S


class Bell(Timed):
    """Notes when it rang."""

    def __init__(self, loop: FakeLoop) -> None:
        super().__init__()
        self.loop = loop
        self.rang: list[float] = []

    def on_deadline(self, now: float) -> None:
        self.rang.append(self.loop.clock)


def a_wheel() -> tuple[FakeLoop, Wheel]:
    loop = FakeLoop()
    return loop, Wheel(loop, loop.time)  # type: ignore[arg-type]


def test_a_deadline_is_met_up_to_a_tick_late_and_never_early() -> None:
    loop, wheel = a_wheel()
    bell = Bell(loop)
    wheel.expect(bell, loop.clock + 3.0)
    loop.turn(2.99)
    assert [] == bell.rang
    loop.turn(0.01 + LATE_S)
    assert 1 == len(bell.rang)
    assert inf == bell.deadline


def test_a_deadline_moved_later_by_assignment_is_met_at_its_new_time() -> None:
    loop, wheel = a_wheel()
    bell = Bell(loop)
    wheel.expect(bell, loop.clock + 1.0)
    loop.turn(0.9)
    bell.deadline = loop.clock + 5.0
    loop.turn(4.9)
    assert [] == bell.rang
    loop.turn(0.2)
    assert 1 == len(bell.rang)


def test_a_deadline_moved_earlier_is_met_at_its_new_time() -> None:
    loop, wheel = a_wheel()
    bell = Bell(loop)
    wheel.expect(bell, loop.clock + 60.0)
    wheel.expect(bell, loop.clock + 1.0)
    loop.turn(1.0 + LATE_S)
    assert 1 == len(bell.rang)
    loop.turn(100.0)
    assert 1 == len(bell.rang)


def test_what_is_forgotten_never_rings() -> None:
    loop, wheel = a_wheel()
    bell = Bell(loop)
    wheel.expect(bell, loop.clock + 1.0)
    wheel.forget(bell)
    wheel.forget(bell)
    loop.turn(10.0)
    assert [] == bell.rang


def test_a_deadline_of_inf_is_none() -> None:
    loop, wheel = a_wheel()
    bell = Bell(loop)
    wheel.expect(bell, loop.clock + 1.0)
    bell.deadline = inf
    loop.turn(10.0)
    assert [] == bell.rang


def test_a_deadline_beyond_the_horizon_is_met_all_the_same() -> None:
    loop, wheel = a_wheel()
    bell = Bell(loop)
    wheel.expect(bell, loop.clock + 10 * HORIZON_S)
    loop.turn(10 * HORIZON_S - 0.1)
    assert [] == bell.rang
    loop.turn(0.1 + LATE_S)
    assert 1 == len(bell.rang)


def test_an_idle_wheel_holds_no_timer_and_a_busy_one_a_single_one() -> None:
    loop, wheel = a_wheel()
    for seconds in (5.0, 1.0, 3.0, 1.0):
        wheel.expect(Bell(loop), loop.clock + seconds)
    assert 1 == len([timer for timer in loop.timers if not timer.cancelled])
    loop.turn(10.0)
    assert [] == loop.timers


def test_one_deadline_that_fails_stops_nobody_elses() -> None:
    class Broken(Timed):
        def on_deadline(self, now: float) -> None:
            raise ValueError("a bug")

    loop, wheel = a_wheel()
    bells = [Bell(loop) for _ in range(3)]
    for timed in (bells[0], Broken(), bells[1], Broken(), bells[2]):
        wheel.expect(timed, loop.clock + 1.0)
    loop.turn(2.0)
    assert [1, 1, 1] == [len(bell.rang) for bell in bells]
    assert ["a bug", "a bug"] == [str(failure["exception"]) for failure in loop.failures]


class Meddler(Timed):
    """Forgets another, or gives it more time, when its own deadline comes."""

    def __init__(self, wheel: Wheel, other: Timed, more_s: float | None) -> None:
        super().__init__()
        self.wheel = wheel
        self.other = other
        self.more_s = more_s

    def on_deadline(self, now: float) -> None:
        if self.more_s is None:
            self.wheel.forget(self.other)
        else:
            self.wheel.expect(self.other, now + self.more_s)


@pytest.mark.parametrize("more_s", [None, 10.0])
def test_one_due_in_the_same_turn_that_is_put_off_by_another_does_not_ring(more_s: float | None) -> None:
    """A late loop has several deadlines due at once; the first may have ended what the second was for."""
    loop, wheel = a_wheel()
    bell = Bell(loop)
    wheel.expect(Meddler(wheel, bell, more_s), loop.clock + 1.0)
    wheel.expect(bell, loop.clock + 1.5)
    loop.clock += 5.0  # the loop was busy
    loop.turn(1.0)
    assert [] == bell.rang
    loop.turn(20.0)
    assert (0 if more_s is None else 1) == len(bell.rang)


def test_a_deadline_may_set_its_next_one() -> None:
    class Again(Bell):
        def on_deadline(self, now: float) -> None:
            super().on_deadline(now)
            wheel.expect(self, now + 1.0)

    loop, wheel = a_wheel()
    bell = Again(loop)
    wheel.expect(bell, loop.clock + 1.0)
    loop.turn(10.0)
    assert 9 <= len(bell.rang) <= 10


def test_a_stopped_wheel_rings_no_more() -> None:
    loop, wheel = a_wheel()
    bell = Bell(loop)
    wheel.expect(bell, loop.clock + 1.0)
    wheel.stop()
    wheel.stop()
    loop.turn(10.0)
    assert [] == bell.rang


@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 3.0),
            st.integers(0, 3),
            st.sampled_from(["expect", "later", "forget"]),
            st.floats(0.0, 300.0),
        ),
        max_size=30,
    )
)
def test_whatever_is_set_and_moved_every_deadline_is_met_once_and_in_time(
    steps: list[tuple[float, int, str, float]],
) -> None:
    """Against a model that remembers for each bell when it should ring."""
    loop, wheel = a_wheel()
    bells = [Bell(loop) for _ in range(4)]
    due: list[list[float]] = [[] for _ in bells]
    wanted = [inf] * 4
    for pause, which, action, seconds in steps:
        loop.turn(pause)
        for index, bell in enumerate(bells):
            if len(bell.rang) > len(due[index]):
                due[index].append(wanted[index])
                wanted[index] = inf
        bell = bells[which]
        if action == "forget":
            wheel.forget(bell)
            wanted[which] = inf
        elif action == "expect":
            wanted[which] = loop.clock + seconds
            wheel.expect(bell, wanted[which])
        elif wanted[which] != inf:
            wanted[which] += seconds
            bell.deadline = wanted[which]
    loop.turn(2000.0)
    for bell, times, last in zip(bells, due, wanted, strict=True):
        if last != inf:
            times.append(last)
        assert len(times) == len(bell.rang)
        for expected, got in zip(times, bell.rang, strict=True):
            assert expected <= got <= expected + TICK_S + 0.001
    assert [] == loop.timers


def test_a_deadline_beyond_all_time_is_as_good_as_none() -> None:
    """A slot's number must fit into a C long."""
    loop, wheel = a_wheel()
    bell = Bell(loop)
    wheel.expect(bell, 1e300)
    loop.turn(1000.0)
    assert [] == bell.rang

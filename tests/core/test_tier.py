"""core/tier.py: whom a tier believes, how a backend that came back gets its share, and when its policy is told."""

from collections.abc import Sequence
from itertools import pairwise

import pytest

from steelyard.core.backend import Backend
from steelyard.core.policy import Pick, Policy
from steelyard.core.spec import BackendSpec, PolicySpec, PoolSpec, SlowStartSpec
from steelyard.core.table import (
    CIRCUIT,
    CIRCUIT_SHIFT,
    DOWN,
    EJECTED,
    GENERATION,
    HALF_OPEN,
    OPEN,
    SILENT,
    STATUS,
    TRYING,
    UP,
    Table,
)
from steelyard.core.tier import STEPS, Tier
from tests.fakes_core import no_chance

HOME = 0


class Diary(Policy):
    """The first one that may be taken. rebuilds: the shares that it was told, each time."""

    def __init__(self, table: Table) -> None:
        super().__init__(PolicySpec(), table, HOME)
        self.rebuilds: list[list[int]] = []

    def rebuild(self, backends: Sequence[Backend]) -> None:
        self.backends = list(backends)
        self.rebuilds.append([backend.share() for backend in backends])

    def pick(self, request: Pick) -> Backend | None:
        return next(iter(self.candidates(request)), None)


class View:
    """What one worker sees of a tier: backends `0`, `1`... of these weights, over a buffer that others may share."""

    def __init__(
        self,
        weights: Sequence[int] = (1, 1, 1, 1),
        *,
        threshold: float = 0.5,
        slow_start: SlowStartSpec | None = None,
        buffer: bytearray | None = None,
        worker: int = 0,
    ) -> None:
        rows, workers = len(weights) + 1, 2
        self.buffer = buffer if buffer is not None else bytearray(Table.size_bytes(rows, workers))
        self.table = Table(self.buffer, rows, workers, worker)
        specs = tuple(BackendSpec(str(index), 80, weight) for index, weight in enumerate(weights))
        self.backends = [Backend(spec, self.table, index + 1, HOME) for index, spec in enumerate(specs)]
        self.diary = Diary(self.table)
        spec = PoolSpec("web", specs, panic_threshold=threshold, slow_start=slow_start)
        self.tier = Tier(spec, self.table, HOME, self.backends, self.diary)

    def pick(self, now: float = 0.0) -> str | None:
        found = self.tier.pick(Pick(no_chance, now=now))
        return None if found is None else found.host

    def shares(self, now: float) -> list[int]:
        """After a request at that time."""
        self.pick(now)
        return [backend.share() for backend in self.backends]

    @property
    def generation(self) -> int:
        return self.table.get(HOME, GENERATION)


# Panic.


@pytest.mark.parametrize(
    ("size", "threshold", "least"),
    [(4, 0.5, 2), (3, 0.5, 2), (5, 0.5, 3), (1, 0.5, 1), (10, 0.25, 3), (4, 0.0, 0), (4, 1.0, 4), (3, 1 / 3, 1)],
)
def test_a_tier_panics_below_the_threshold_and_not_at_it(size: int, threshold: float, least: int) -> None:
    for healthy in range(size + 1):
        view = View([1] * size, threshold=threshold)
        for backend in view.backends[healthy:]:
            backend.set_status(DOWN, 0.0)
        view.pick()
        assert (healthy < least, healthy) == (view.tier.panicking, view.tier.healthy)


def test_in_panic_wrong_answers_are_better_than_none_and_silence_is_not() -> None:
    view = View([1, 1, 1])
    first, second, third = view.backends
    first.set_status(SILENT, 0.0)
    second.set_status(DOWN, 0.0)
    third.set_status(DOWN, 0.0)
    assert "1" == view.pick()
    second.set_status(SILENT, 0.0)
    assert "2" == view.pick()
    third.set_status(SILENT, 0.0)
    assert view.pick() is None


def test_without_panic_one_that_answers_wrongly_is_left_alone() -> None:
    view = View([1, 1])
    view.backends[0].set_status(DOWN, 0.0)
    assert "1" == view.pick()


def test_panic_ends_with_the_first_request_after_enough_came_back() -> None:
    view = View([1, 1, 1, 1])
    for backend in view.backends[:3]:
        backend.set_status(DOWN, 0.0)
    assert "0" == view.pick()
    view.backends[2].set_status(UP, 0.0)
    assert "2" == view.pick()


def test_whoever_takes_no_requests_counts_neither_way() -> None:
    """Two of four are drained or of weight 0: one healthy of the other two is half of them."""
    view = View([1, 1, 1, 0])
    view.backends[0].set_status(DOWN, 0.0)
    view.backends[1].set_draining(True)
    assert "2" == view.pick()
    assert (False, 1) == (view.tier.panicking, view.tier.healthy)
    view.backends[2].set_status(DOWN, 0.0)
    assert "0" == view.pick()


def test_a_tier_without_backends_is_calm_and_has_nobody() -> None:
    view = View([])
    assert view.pick() is None
    assert not view.tier.panicking
    assert not view.tier.has_healthy(0.0)


# Panic, with another tier behind it.


def in_a_row(*views: View) -> None:
    for view, spare in pairwise(views):
        view.tier.spare = spare.tier


def test_a_tier_with_nobody_healthy_leaves_it_to_one_that_has_somebody() -> None:
    first, second, third = View([1, 1]), View([1]), View([1])
    in_a_row(first, second, third)
    for view in (first, second):
        for backend in view.backends:
            backend.set_status(DOWN, 0.0)
    assert [None, None, "0"] == [view.pick() for view in (first, second, third)]
    third.backends[0].set_status(SILENT, 0.0)
    assert ["0", "0", None] == [view.pick() for view in (first, second, third)]


def test_one_with_a_few_healthy_panics_as_ever() -> None:
    first, second = View([1, 1, 1]), View([1])
    in_a_row(first, second)
    for backend in first.backends[:2]:
        backend.set_status(DOWN, 0.0)
    assert "0" == first.pick()


# What is noticed, and when.


def test_a_tier_looks_only_when_something_was_announced() -> None:
    """Its members are many, its requests more: the one cell is all that a request looks at."""
    view = View([1, 1])
    view.pick()
    view.table.set(view.backends[0].row, STATUS, DOWN)
    view.pick()
    assert 2 == view.tier.healthy
    view.backends[0].announce()
    view.pick()
    assert 1 == view.tier.healthy


@pytest.mark.parametrize("change", ["status", "weight", "draining"])
def test_every_change_is_seen_by_every_worker_with_its_next_request(change: str) -> None:
    one = View([1, 1])
    other = View([1, 1], buffer=one.buffer, worker=1)
    assert ["0", "0"] == [one.pick(), other.pick()]
    backend = one.backends[0]
    if change == "status":
        backend.set_status(SILENT, 0.0)
    elif change == "weight":
        backend.set_weight(0)
    else:
        backend.set_draining(True)
    assert ["1", "1"] == [one.pick(), other.pick()]
    assert [1, 1] == [one.tier.healthy, other.tier.healthy]


def test_the_policy_is_told_at_first_and_when_a_share_changes_and_never_else() -> None:
    view = View([1, 2])
    assert [[1000, 2000]] == view.diary.rebuilds
    view.pick()
    view.backends[0].set_status(DOWN, 0.0)
    view.pick()
    view.backends[0].set_draining(True)
    view.pick()
    view.backends[1].set_weight(2)
    view.pick()
    assert 1 == len(view.diary.rebuilds)
    view.backends[1].set_weight(5)
    view.pick()
    view.pick()
    assert [[1000, 2000], [1000, 5000]] == view.diary.rebuilds


def test_a_weight_that_changed_before_the_first_request_is_told_too() -> None:
    view = View([1, 2])
    view.backends[0].set_weight(7)
    view.pick()
    assert [[1000, 2000], [7000, 2000]] == view.diary.rebuilds


# Slow start.

WINDOW_S = 20.0  # a second a step


def came_back(weights: Sequence[int] = (1, 1), aggression: float = 1.0, at: float = 100.0) -> View:
    view = View(weights, slow_start=SlowStartSpec(WINDOW_S, aggression))
    view.pick(at - 1.0)
    view.backends[0].set_status(SILENT, at - 1.0)
    view.pick(at - 1.0)
    view.backends[0].set_status(UP, at)
    return view


@pytest.mark.parametrize("aggression", [0.5, 1.0, 2.0])
def test_a_backend_that_came_back_gets_its_share_by_the_formula_in_steps(aggression: float) -> None:
    """Weight x max(0.1, (t/T)^(1/a)), with t cut to whole steps of T/20; the others keep theirs."""
    view = came_back([10, 3], aggression)
    for tenths in range(210):
        t = tenths / 10 + 0.001
        part = min(1.0, max(0.1, (int(t) / 20) ** (1 / aggression)))
        share, other = view.shares(100.0 + t)
        assert 3000 == other
        assert abs(10_000 * part - share) <= 1


def test_steps_without_requests_are_not_made_up_for() -> None:
    """What counts is the time, not how often somebody looked."""
    view = came_back()
    assert [100, 1000] == view.shares(100.0)
    assert [500, 1000] == view.shares(110.001)
    assert [1000, 1000] == view.shares(1000.0)


def test_the_policy_is_told_once_a_step() -> None:
    view = came_back()
    before = len(view.diary.rebuilds)
    for hundredths in range(2500):
        view.pick(100.0 + hundredths / 100 + 0.001)
    # 10 % at once, which is also what steps 1 and 2 are worth; then 15 % to 95 %, and all.
    assert [100, *range(150, 1001, 50)] == [shares[0] for shares in view.diary.rebuilds[before:]]


def test_when_it_is_over_nothing_is_left_of_it() -> None:
    view = came_back()
    view.pick(100.0)
    assert 100.0 == view.backends[0].up_since_s()
    view.pick(119.9)
    assert (100.0, 950) == (view.backends[0].up_since_s(), view.backends[0].share())
    view.pick(120.1)
    assert (0.0, 1000) == (view.backends[0].up_since_s(), view.backends[0].share())
    generation = view.generation
    view.pick(500.0)
    assert generation == view.generation


def test_without_a_slow_start_a_backend_has_its_whole_share_at_once() -> None:
    view = View([4, 1])
    view.backends[0].set_status(DOWN, 100.0)
    view.backends[0].set_status(UP, 100.0)
    assert [4000, 1000] == view.shares(100.0)
    assert 0.0 == view.backends[0].up_since_s()
    assert 1 == len(view.diary.rebuilds)


def test_at_the_start_of_the_program_all_are_alike() -> None:
    view = View([1, 1], slow_start=SlowStartSpec(WINDOW_S))
    view.backends[0].set_status(UP, 100.0)
    assert [1000, 1000] == view.shares(100.0)


def test_a_weight_that_changes_on_the_way_counts_from_there() -> None:
    view = came_back([10, 1])
    assert 5000 == view.shares(110.001)[0]
    view.backends[0].set_weight(20)
    assert 10_000 == view.shares(110.002)[0]
    view.backends[0].set_weight(0)
    assert 0 == view.shares(110.003)[0]
    view.backends[0].set_weight(10)
    assert 5500 == view.shares(111.001)[0]
    assert 10_000 == view.shares(121.0)[0]


def test_one_that_goes_again_begins_anew() -> None:
    view = came_back()
    assert 500 == view.shares(110.001)[0]
    view.backends[0].set_status(DOWN, 111.0)
    view.backends[0].set_status(UP, 115.0)
    assert 100 == view.shares(115.001)[0]
    assert 500 == view.shares(125.001)[0]


def test_a_share_is_never_nothing_while_the_weight_is_something() -> None:
    """A backend that nobody asks would never warm up."""
    view = came_back([1, 1], aggression=0.1)
    assert 100 == view.shares(100.001)[0]
    assert 1 <= min(view.shares(100.0 + t / 7)[0] for t in range(200))


def test_a_worker_that_begins_in_the_middle_of_it_goes_on_where_the_others_are() -> None:
    """Making its view of the backends writes whole weights, which its first request takes back."""
    one = came_back()
    assert [500, 1000] == one.shares(110.001)
    other = View([1, 1], slow_start=SlowStartSpec(WINDOW_S), buffer=one.buffer, worker=1)
    assert [500, 1000] == other.shares(110.002)
    assert [500, 1000] == other.diary.rebuilds[-1]
    assert [500, 1000] == one.shares(110.003)


@pytest.mark.parametrize("skew", [0.0, 0.05, 0.9])
def test_workers_whose_clocks_differ_a_little_do_not_take_turns_at_undoing_each_other(skew: float) -> None:
    """Each step is announced once: what one worker has set, the others leave as it is."""
    one = came_back([10, 1])
    other = View([10, 1], slow_start=SlowStartSpec(WINDOW_S), buffer=one.buffer, worker=1)
    for view in (one, other):
        view.pick(100.001 + skew)
    before = one.generation
    changes = 0
    share = one.backends[0].share()
    for milliseconds in range(1, 22_000, 10):
        for view, behind in ((one, 0.0), (other, skew)):
            view.pick(100.001 + skew + milliseconds / 1000 - behind)
            assert share <= view.backends[0].share(), "what came later is never less"
            changes += share != view.backends[0].share()
            share = view.backends[0].share()
    assert 10_000 == share
    assert STEPS - 2 == changes == one.generation - before
    assert one.diary.rebuilds[-1] == other.diary.rebuilds[-1] == [10_000, 1000]


def test_two_that_came_back_at_different_times_each_have_their_own_steps() -> None:
    view = View([1, 1, 1], slow_start=SlowStartSpec(WINDOW_S))
    for at, backend in zip((100.0, 100.5), view.backends, strict=False):
        backend.set_status(SILENT, 99.0)
        backend.set_status(UP, at)
    for tenths in range(5, 220):
        t = tenths / 10 + 0.01
        expected = [min(1000, max(100, int(t - at) * 50)) for at in (0.0, 0.5)]
        assert [*expected, 1000] == view.shares(100.0 + t)


def test_a_request_from_before_it_came_back_is_its_first_step() -> None:
    """A request's clock is that of its own event loop, and the one who saw the backend come back had a later one."""
    view = came_back([10, 1], aggression=2.0)
    assert [1000, 1000] == view.shares(98.0)
    assert [1000, 1000] == view.shares(100.1)
    assert 2236 == view.shares(101.1)[0]


def test_what_it_has_changed_itself_is_no_news() -> None:
    view = came_back()
    view.pick(105.0)
    view.table.set(view.backends[1].row, STATUS, DOWN)
    view.pick(105.1)
    assert 2 == view.tier.healthy
    view.pick(106.1)
    assert 1 == view.tier.healthy


def test_a_tier_at_rest_has_nothing_to_look_forward_to() -> None:
    """Infinitely late requests change nothing."""
    view = View([1, 1], slow_start=SlowStartSpec(WINDOW_S))
    view.pick(0.0)
    view.table.set(view.backends[0].row, STATUS, DOWN)
    view.pick(1e18)
    assert 2 == view.tier.healthy


# Ejections and circuits, which are for a time.


def test_who_is_ejected_counts_as_not_healthy_and_is_asked_in_panic() -> None:
    view = View([1, 1, 1])
    for backend in view.backends[:2]:
        view.table.set(backend.row, EJECTED, 9_000)
        backend.announce()
    assert ["0", True, 1] == [view.pick(1.0), view.tier.panicking, view.tier.healthy]
    view = View([1, 1, 1], threshold=0.0)
    view.table.set(view.backends[0].row, EJECTED, 9_000)
    assert "1" == view.pick(1.0)


def test_the_first_request_after_the_time_of_an_ejection_finds_it_back() -> None:
    """Also when nothing is announced, and the earliest of several first."""
    view = View([1, 1, 1], threshold=0.0)
    told: list[str] = []
    view.tier.tell = lambda backend, what: told.append(f"{backend.host} {what}")
    for backend, until in zip(view.backends, (9_000, 7_000), strict=False):
        view.table.set(backend.row, EJECTED, until)
        backend.announce()
    assert ["2", "2", "1", "1", "0"] == [view.pick(now) for now in (1.0, 6.999, 7.0, 8.999, 9.0)]
    assert ["1 back after ejection", "0 back after ejection"] == told
    generation = view.generation
    view.pick(100.0)
    assert generation == view.generation


def test_one_that_comes_back_starts_slowly() -> None:
    view = View([1, 1], slow_start=SlowStartSpec(WINDOW_S))
    view.table.set(view.backends[0].row, EJECTED, 100_000)
    view.backends[0].announce()
    assert [1000, 1000] == view.shares(50.0)
    assert [100, 1000] == view.shares(100.0)
    assert [500, 1000] == view.shares(110.001)


def test_a_circuit_may_be_tried_when_its_time_is_over_for_all_workers() -> None:
    one = View([1, 1])
    other = View([1, 1], buffer=one.buffer, worker=1)
    told: list[str] = []
    for view in (one, other):
        view.tier.tell = lambda backend, what: told.append(f"{backend.host} {what}")
    backend = one.backends[0]
    for state, said in ((OPEN, "0 circuit half-open"), (TRYING, "0 circuit half-open: the trial was lost")):
        one.table.set(backend.row, CIRCUIT, 9_000 << CIRCUIT_SHIFT | state)
        backend.announce()
        assert ["1", "1"] == [view.pick(8.999) for view in (one, other)]
        assert ["0", "0"] == [view.pick(9.0) for view in (one, other)]
        assert [said] == told
        assert HALF_OPEN == backend.circuit()
        told.clear()


# Another configuration.


def test_another_configuration_changes_who_is_there_and_tells_the_policy_once() -> None:
    view = View([1, 2])
    view.pick()
    spec = PoolSpec("web", (), panic_threshold=0.9)
    view.tier.adopt(spec, view.backends[1:])
    assert "1" == view.pick()
    assert ([[1000, 2000], [2000]], 1) == (view.diary.rebuilds, view.tier.healthy)
    view.tier.adopt(spec, [])
    assert view.pick() is None
    assert ([], False) == (view.diary.rebuilds[-1], view.tier.panicking)


def test_another_panic_threshold_holds_from_the_next_request_on() -> None:
    view = View([1, 1, 1], threshold=0.0)
    for backend in view.backends[1:]:
        backend.set_status(DOWN, 0.0)
    view.pick()
    assert not view.tier.panicking
    view.tier.adopt(PoolSpec("web", (), panic_threshold=0.5), view.backends)
    view.pick()
    assert view.tier.panicking


def test_a_slow_start_goes_on_through_another_configuration() -> None:
    """Also when nothing is announced any more."""
    view = came_back([10, 1])
    assert 5000 == view.shares(110.001)[0]
    view.tier.adopt(PoolSpec("web", (), slow_start=SlowStartSpec(WINDOW_S)), view.backends)
    assert 5000 == view.backends[0].share()
    assert 6000 == view.shares(112.001)[0]
    assert 10_000 == view.shares(120.001)[0]


def test_a_slow_start_that_is_configured_no_more_is_over() -> None:
    view = came_back([10, 1])
    assert 5000 == view.shares(110.001)[0]
    view.tier.adopt(PoolSpec("web", ()), view.backends)
    assert (10_000, 0.0) == (view.shares(110.002)[0], view.backends[0].up_since_s())

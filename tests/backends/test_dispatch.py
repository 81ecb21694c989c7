"""dispatch.py: who gets what, and that every job submitted ends once."""

from collections import Counter

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from steelyard.backends.dispatch import Dispatch, Job, policies
from steelyard.backends.results import PoolError

NAMES = ["image-0", "text-1", "image-2", "text-3"]
KINDS = [0, 1, 0, 1]


def a_dispatch(
    policy: str = "round_robin", workers: int = 4, most_waiting: int = 100, window: int = 1, up: bool = True
) -> Dispatch:
    dispatch = Dispatch(NAMES[:workers], KINDS[:workers], policy, most_waiting, lambda n: n // 2, window)
    for worker in range(workers if up else 0):
        dispatch.up(worker, 0.0)
    return dispatch


def a_job(dispatch: Dispatch, lane: int | None = None) -> Job:
    job = Job(dispatch.below, "task", b"blob", None, lane, None)
    dispatch.put(job)
    return job


def jobs(dispatch: Dispatch, count: int, lane: int | None = None) -> list[Job]:
    return [a_job(dispatch, lane) for _ in range(count)]


def given_out(dispatch: Dispatch) -> list[Job]:
    found = []
    while (job := dispatch.next(1.0)) is not None:
        found.append(job)
    return found


def lose(dispatch: Dispatch, held: list[Job]) -> None:
    """A worker is gone that had these, and was at the first of them."""
    dispatch.taken_back(held[1:], 1.0)
    assert not dispatch.lost(held[0], 1.0)


def test_only_policies_that_need_no_request_can_choose_a_worker() -> None:
    expected = {
        "first",
        "least_connections",
        "least_response_time",
        "peak_ewma",
        "power_of_two",
        "random",
        "round_robin",
    }
    assert expected == set(policies())
    for name in ("hash", "round_robbin", "mymodule:pick"):
        with pytest.raises(PoolError, match=f"policy '{name}' cannot choose a worker; take one of first, "):
            a_dispatch(name)


def test_in_turn_each_worker_gets_one() -> None:
    dispatch = a_dispatch()
    jobs(dispatch, 4)
    assert [0, 1, 2, 3] == [job.worker for job in given_out(dispatch)]


def test_who_came_first_goes_first() -> None:
    dispatch = a_dispatch()
    waiting = jobs(dispatch, 3)
    assert waiting == given_out(dispatch)


def test_no_worker_gets_more_than_its_window() -> None:
    dispatch = a_dispatch(window=2)
    jobs(dispatch, 20)
    assert {0: 2, 1: 2, 2: 2, 3: 2} == Counter(job.worker for job in given_out(dispatch))
    dispatch.set_window(2, 5)
    assert [2, 2, 2] == [job.worker for job in given_out(dispatch)]
    assert 9 == dispatch.waiting


@pytest.mark.parametrize("policy", policies())
def test_with_every_policy_all_that_is_put_in_comes_out_and_nothing_stays_in_flight(policy: str) -> None:
    dispatch = a_dispatch(policy, window=3)
    jobs(dispatch, 50)
    ended = 0
    while dispatch.pending:
        for job in given_out(dispatch):
            dispatch.ended(job, True, 2.0)
            ended += 1
    assert (50, 50) == (ended, dispatch.done)
    assert [0, 0, 0, 0] == [dispatch.in_flight(worker) for worker in range(4)]


def test_least_connections_gives_to_the_worker_with_the_fewest() -> None:
    dispatch = a_dispatch("least_connections", workers=2, window=10)
    held = jobs(dispatch, 6)
    given_out(dispatch)
    for job in held:
        if job.worker == 1:
            dispatch.ended(job, True, 2.0)
    jobs(dispatch, 3)
    assert [1, 1, 1] == [job.worker for job in given_out(dispatch)]


def test_a_function_that_is_asked_for_is_run_by_its_own_workers_alone() -> None:
    dispatch = a_dispatch(window=5)
    jobs(dispatch, 6, lane=1)
    assert {1: 3, 3: 3} == Counter(job.worker for job in given_out(dispatch))


def test_what_one_lane_sends_the_other_sees() -> None:
    dispatch = a_dispatch("least_connections", window=10)
    jobs(dispatch, 8, lane=0)
    given_out(dispatch)
    jobs(dispatch, 8)
    assert {1: 4, 3: 4} == Counter(job.worker for job in given_out(dispatch))


def test_a_lane_that_has_to_wait_does_not_hold_up_the_others() -> None:
    dispatch = a_dispatch(workers=2)
    jobs(dispatch, 2, lane=0)
    (late,) = jobs(dispatch, 1, lane=1)
    assert late in given_out(dispatch)
    assert 1 == dispatch.waiting


def test_a_worker_that_is_down_gets_nothing() -> None:
    dispatch = a_dispatch(workers=2, window=3, up=False)
    jobs(dispatch, 9)
    assert [] == given_out(dispatch)
    dispatch.up(1, 1.0)
    assert [1, 1, 1] == [job.worker for job in given_out(dispatch)]
    dispatch.down(1, 1.0)
    dispatch.up(0, 1.0)
    assert [0, 0, 0] == [job.worker for job in given_out(dispatch)]


def test_a_worker_that_goes_down_gets_nothing_by_its_own_lane_either() -> None:
    dispatch = a_dispatch(workers=2, window=3)
    dispatch.down(1, 1.0)
    jobs(dispatch, 1, lane=1)
    assert [] == given_out(dispatch)
    dispatch.up(1, 1.0)
    assert 1 == len(given_out(dispatch))


def test_of_a_lost_worker_only_what_it_was_at_is_tried() -> None:
    dispatch = a_dispatch(workers=2, window=3)
    jobs(dispatch, 6)
    held = [job for job in given_out(dispatch) if job.worker == 0]
    dispatch.down(0, 1.0)
    lose(dispatch, held)
    assert [1, 0, 0] == [job.tries for job in held]
    assert (3, 0, 0) == (dispatch.waiting, dispatch.in_flight(0), dispatch.failed)


def test_what_was_lost_goes_before_what_waits_and_in_its_order() -> None:
    dispatch = a_dispatch(workers=1, window=3)
    first = jobs(dispatch, 3)
    behind = jobs(dispatch, 2)
    given_out(dispatch)
    dispatch.down(0, 1.0)
    lose(dispatch, first)
    dispatch.up(0, 1.0)
    dispatch.set_window(0, 9)
    assert [*first, *behind] == given_out(dispatch)


def test_the_second_try_is_elsewhere_if_there_is_an_elsewhere() -> None:
    dispatch = a_dispatch(workers=2)
    (job,) = jobs(dispatch, 1)
    dispatch.next(1.0)
    assert 0 == job.worker
    dispatch.down(0, 1.0)
    assert not dispatch.lost(job, 1.0)
    dispatch.up(0, 1.0)
    busy = a_job(dispatch)
    assert [1, 0] == [one.worker for one in given_out(dispatch)]
    assert (1, 0) == (job.worker, busy.worker)


def test_where_there_is_no_other_worker_the_second_try_is_by_the_successor() -> None:
    dispatch = a_dispatch(workers=1)
    (job,) = jobs(dispatch, 1)
    dispatch.next(1.0)
    dispatch.down(0, 1.0)
    assert not dispatch.lost(job, 1.0)
    assert [] == given_out(dispatch)
    dispatch.up(0, 1.0)
    assert [job] == given_out(dispatch)


def test_the_second_loss_is_the_last() -> None:
    dispatch = a_dispatch(workers=1)
    (job,) = jobs(dispatch, 1)
    for over in (False, True):
        dispatch.up(0, 1.0)
        assert job is dispatch.next(1.0)
        dispatch.down(0, 1.0)
        assert over is dispatch.lost(job, 1.0)
    assert (1, 0, 1, 0) == (dispatch.submitted, dispatch.done, dispatch.failed, dispatch.waiting)


def test_one_that_is_withdrawn_while_it_waits_makes_room_at_once_and_is_never_given_out() -> None:
    dispatch = a_dispatch(workers=1, most_waiting=2)
    first, second, third = jobs(dispatch, 3)
    assert 0 == dispatch.room
    dispatch.withdraw(second, with_worker=False)
    assert (1, 1) == (dispatch.room, dispatch.failed)
    assert [first] == given_out(dispatch)
    dispatch.ended(first, True, 2.0)
    assert [third] == given_out(dispatch)


def test_there_is_room_for_one_task_a_worker_and_as_many_as_may_wait_whoever_holds_them() -> None:
    dispatch = a_dispatch(workers=2, most_waiting=3, window=5)
    assert 5 == dispatch.room
    held = jobs(dispatch, 5)
    assert 0 == dispatch.room
    given_out(dispatch)
    assert (0, 0) == (dispatch.room, dispatch.waiting)
    dispatch.ended(held[0], True, 2.0)
    assert 1 == dispatch.room


def test_what_is_withdrawn_makes_no_other_lane_wait() -> None:
    dispatch = a_dispatch(workers=2)
    for job in jobs(dispatch, 2):
        dispatch.withdraw(job, with_worker=False)
    text = a_job(dispatch, lane=1)
    assert [text] == given_out(dispatch)


def test_one_that_is_withdrawn_behind_another_that_is_to_be_tried_again_is_not_given_out() -> None:
    dispatch = a_dispatch(workers=3)
    first, second, third = jobs(dispatch, 3)
    given_out(dispatch)
    for job in (first, second):
        dispatch.down(job.worker, 1.0)
        assert not dispatch.lost(job, 1.0)
    dispatch.withdraw(second, with_worker=False)
    dispatch.up(first.worker, 1.0)
    assert [] == given_out(dispatch)  # the first one is to be tried elsewhere, where nobody has room
    dispatch.ended(third, True, 2.0)
    assert [first] == given_out(dispatch)
    assert (0, 1, 1) == (dispatch.waiting, dispatch.failed, dispatch.pending)


def test_of_what_is_taken_back_only_what_somebody_waits_for_is_given_out_again() -> None:
    dispatch = a_dispatch(workers=1, window=3)
    held = jobs(dispatch, 3)
    given_out(dispatch)
    dispatch.withdraw(held[1], with_worker=True)
    dispatch.taken_back(held[1:], 1.0)
    assert (1, 1) == (dispatch.waiting, dispatch.failed)
    assert [held[2]] == given_out(dispatch)


def test_one_that_is_withdrawn_at_its_worker_is_not_tried_again() -> None:
    dispatch = a_dispatch(workers=1)
    (job,) = jobs(dispatch, 1)
    dispatch.next(1.0)
    dispatch.withdraw(job, with_worker=True)
    dispatch.down(0, 1.0)
    assert dispatch.lost(job, 1.0)
    assert (0, 1, 0) == (dispatch.waiting, dispatch.failed, dispatch.pending)


def test_when_the_last_worker_of_a_lane_is_given_up_its_jobs_are_handed_back() -> None:
    dispatch = a_dispatch(workers=2, up=False)
    anybody = a_job(dispatch)
    text = a_job(dispatch, lane=1)
    assert [text] == dispatch.give_up(1)
    with pytest.raises(PoolError, match="no worker is left"):
        a_job(dispatch, lane=1)
    assert [anybody] == dispatch.give_up(0)
    assert (2, 2, 0) == (dispatch.submitted, dispatch.failed, dispatch.waiting)


class Life(RuleBasedStateMachine):
    """Anything may happen to workers and jobs; what was submitted is done, failed, waiting, or with one worker."""

    def __init__(self) -> None:
        super().__init__()
        self.dispatch = a_dispatch("least_connections", most_waiting=20, window=3, up=False)
        self.held: list[list[Job]] = [[] for _ in NAMES]
        self.up: set[int] = set()
        self.given_up: set[int] = set()
        self.begun: Counter[Job] = Counter()
        self.ended: set[Job] = set()
        self.waiting: set[Job] = set()

    @rule(lane=st.sampled_from([None, 0, 1]))
    def put(self, lane: int | None) -> None:
        job = Job(self.dispatch.below, "task", b"", None, lane, None)
        try:
            self.dispatch.put(job)
        except PoolError:
            assert {number for number in range(4) if lane in (None, KINDS[number])} <= self.given_up
        else:
            self.waiting.add(job)

    @rule()
    def give_out(self) -> None:
        for job in given_out(self.dispatch):
            assert job.worker in self.up
            assert job.lane in (None, KINDS[job.worker])
            assert job not in self.ended
            assert len(self.held[job.worker]) < 3
            self.waiting.remove(job)
            self.held[job.worker].append(job)

    @rule(worker=st.integers(0, 3), done=st.booleans())
    def answer(self, worker: int, done: bool) -> None:
        if self.held[worker]:
            job = self.held[worker].pop(0)
            self.begun[job] += 1
            self.dispatch.ended(job, done, 2.0)
            self.end(job)

    @rule(worker=st.integers(0, 3))
    def come(self, worker: int) -> None:
        if worker not in self.given_up:
            self.up.add(worker)
            self.dispatch.up(worker, 2.0)

    @rule(worker=st.integers(0, 3), at_work=st.booleans())
    def take_back(self, worker: int, at_work: bool) -> None:
        """What it has not begun; it may not have begun any."""
        held = self.held[worker]
        back = held[at_work:]
        del held[at_work:]
        self.dispatch.taken_back(back, 2.0)
        for job in back:
            if job.withdrawn:
                self.end(job)
            else:
                self.waiting.add(job)

    @rule(worker=st.integers(0, 3), for_good=st.booleans(), at_work=st.booleans())
    def go(self, worker: int, for_good: bool, at_work: bool) -> None:
        self.up.discard(worker)
        self.dispatch.down(worker, 2.0)
        self.take_back(worker, at_work)
        if self.held[worker]:
            job = self.held[worker].pop()
            self.begun[job] += 1
            if self.dispatch.lost(job, 2.0):
                self.end(job)
            else:
                self.waiting.add(job)
        if for_good and worker not in self.given_up:
            self.given_up.add(worker)
            for job in self.dispatch.give_up(worker):
                self.waiting.remove(job)
                self.end(job)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def withdraw_waiting(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.waiting, key=lambda one: one.turn)))
        self.dispatch.withdraw(job, with_worker=False)
        self.waiting.remove(job)
        self.end(job)

    @rule(worker=st.integers(0, 3))
    def withdraw_held(self, worker: int) -> None:
        if self.held[worker]:
            self.dispatch.withdraw(self.held[worker][-1], with_worker=True)

    @rule()
    def drop_all(self) -> None:
        for job in self.dispatch.drop_all():
            self.waiting.remove(job)
            self.end(job)

    def end(self, job: Job) -> None:
        assert job not in self.ended
        self.ended.add(job)

    @invariant()
    def nothing_is_lost(self) -> None:
        dispatch = self.dispatch
        assert len(self.ended) == dispatch.done + dispatch.failed
        assert len(self.waiting) == dispatch.waiting
        assert dispatch.pending == len(self.waiting) + sum(map(len, self.held))
        assert [len(held) for held in self.held] == [dispatch.in_flight(worker) for worker in range(4)]
        assert all(times <= 2 for times in self.begun.values())


TestLife = Life.TestCase

"""core/learnt.py: decaying averages of times and outcomes, and a cost that peaks."""

from math import e

import pytest

from steelyard.core.learnt import Learnt, Peak, fade
from steelyard.core.policy import UNKNOWN_S

MEAN_S = 0.010


def learnt(*answers: tuple[float, float], decay_s: float = 10.0) -> Learnt:
    """Of good answers: (when, how long it took)."""
    made = Learnt(None, decay_s)
    for now, latency_s in answers:
        made.add(False, latency_s, MEAN_S, now)
    return made


def peak(*answers: tuple[float, float], mean_s: float = 0.0) -> Peak:
    made = Peak(None, 10.0)
    for now, latency_s in answers:
        made.add(False, latency_s, mean_s, now)
    return made


def test_something_fades_by_e_in_its_time() -> None:
    assert 1.0 == fade(0.0, 10.0)
    assert 1 / e == pytest.approx(fade(10.0, 10.0))
    assert 1 / e**2 == pytest.approx(fade(6.0, 3.0))


def test_a_clock_that_goes_back_changes_nothing() -> None:
    assert 1.0 == fade(-5.0, 10.0)
    both = learnt((7.0, 0.1), (3.0, 0.3))
    assert 7.0 == both.at
    assert 0.2 == pytest.approx(both.mean_s())


def test_before_any_answer_a_backend_is_like_all_others() -> None:
    for nothing in (Learnt(None, 10.0), Peak(None, 10.0)):
        for now in (0.0, 5.0, 1e9):
            assert pytest.approx(MEAN_S) == nothing.cost_s(MEAN_S, now)
            assert 1.0 == nothing.success(now)


def test_the_mean_is_a_guess_before_the_first_good_answer_and_then_the_mean() -> None:
    all_of_them = Learnt(None, 10.0)
    assert 1.0 == all_of_them.mean_s()
    all_of_them.add(True, UNKNOWN_S, 1.0, 0.0)
    assert 1.0 == all_of_them.mean_s()
    all_of_them.add(False, 0.2, 1.0, 0.0)
    assert pytest.approx(0.2) == all_of_them.mean_s()
    all_of_them.add(False, 0.4, 1.0, 0.0)
    assert pytest.approx(0.3) == all_of_them.mean_s()


def test_answers_count_alike_when_they_come_and_1_in_e_after_the_time_of_decay() -> None:
    assert pytest.approx((1.0 / e + 4.0) / (1.0 / e + 1.0)) == learnt((0.0, 1.0), (10.0, 4.0)).mean_s()
    assert pytest.approx((1.0 / e + 4.0) / (1.0 / e + 1.0)) == learnt((0.0, 1.0), (3.0, 4.0), decay_s=3.0).mean_s()


def test_the_expected_time_is_that_of_the_answers_and_one_like_the_mean() -> None:
    four = learnt((0.0, 0.1), (0.0, 0.1), (0.0, 0.1), (0.0, 0.3))
    assert pytest.approx((0.6 + MEAN_S) / 5) == four.response_s(MEAN_S, 0.0)
    assert pytest.approx((0.6 / e + MEAN_S) / (4 / e + 1)) == four.response_s(MEAN_S, 10.0)


def test_one_terrible_answer_is_not_held_against_it_for_ever() -> None:
    """30 s where 10 ms are usual: twice the mean after ln(3000) times of decay, within 1 % of it 5 later."""
    slow = learnt((0.0, 30.0))
    assert 1000 * MEAN_S < slow.response_s(MEAN_S, 0.0)
    assert 2.1 * MEAN_S > slow.response_s(MEAN_S, 81.0)
    assert pytest.approx(MEAN_S, rel=0.01) == slow.response_s(MEAN_S, 131.0)


def test_failures_are_counted_and_not_timed() -> None:
    failing = learnt((0.0, 0.1), (0.0, 0.1))
    for _ in range(3):
        failing.add(True, 1e-4, MEAN_S, 0.0)
    assert pytest.approx((0.2 + MEAN_S) / 3) == failing.response_s(MEAN_S, 0.0)
    assert pytest.approx(3 / 6) == failing.success(0.0)
    assert pytest.approx(2 * (0.2 + MEAN_S) / 3) == failing.cost_s(MEAN_S, 0.0)


def test_failures_are_forgiven_in_time() -> None:
    failing = Learnt(None, 10.0)
    for _ in range(9):
        failing.add(True, UNKNOWN_S, MEAN_S, 0.0)
    assert pytest.approx(1 / 10) == failing.success(0.0)
    assert pytest.approx(1 / (9 / e + 1)) == failing.success(10.0)
    assert pytest.approx(1.0, rel=0.01) == failing.success(70.0)


def test_an_answer_in_no_time_at_all_took_some() -> None:
    """Else nothing would count against a backend that a coarse clock calls free of cost."""
    assert 0.0 < learnt((0.0, 0.0)).mean_s()
    assert 0.0 < peak((0.0, 0.0)).cost_s(0.0, 0.0)


def test_a_slow_answer_is_the_cost_at_once() -> None:
    assert pytest.approx(0.5) == peak((0.0, 0.1), (0.0, 0.5)).cost_s(MEAN_S, 0.0)
    assert pytest.approx(0.5) == peak((0.0, 0.1), (100.0, 0.5)).cost_s(MEAN_S, 100.0)


def test_quick_answers_lower_the_cost_by_e_in_the_time_of_decay() -> None:
    """However many they are: the excess over them is a third after it, and a twentieth after three of them."""
    for count in (1, 10, 1000):
        costly = peak((0.0, 5.0), *[(10.0 * (turn + 1) / count, 0.010) for turn in range(count)])
        assert pytest.approx(0.010 + 4.99 / e) == costly.cost_s(MEAN_S, 10.0)


def test_without_answers_the_cost_fades_to_the_mean_by_e_in_the_time_of_decay() -> None:
    assert pytest.approx(MEAN_S + (5.0 - MEAN_S) / e) == peak((0.0, 5.0)).cost_s(MEAN_S, 10.0)
    assert pytest.approx(MEAN_S + (0.001 - MEAN_S) / e) == peak((0.0, 0.001)).cost_s(MEAN_S, 10.0)


def test_a_failure_costs_no_less_than_the_mean_and_is_divided_by_the_success() -> None:
    """A backend's only answer was a failure in no time: half of (it and the one that nobody gave) were good."""
    failing = Peak(None, 10.0)
    failing.add(True, 1e-4, MEAN_S, 0.0)
    assert pytest.approx(2 * MEAN_S) == failing.cost_s(MEAN_S, 0.0)
    failing.add(True, 0.7, MEAN_S, 0.0)
    assert pytest.approx(3 * 0.7) == failing.cost_s(MEAN_S, 0.0)
    failing.add(False, 0.1, MEAN_S, 0.0)
    assert pytest.approx(2 / 4) == failing.success(0.0)

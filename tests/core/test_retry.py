"""core/retry.py: which tries may be repeated, and how many."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard import errors
from steelyard.core.retry import IDEMPOTENT, JITTER_STEPS, SAFE, TOKEN, WINDOW_S, RetryBudget, backoff_s, may_retry
from steelyard.core.table import Table
from steelyard.errors import KINDS, Kind
from tests.fakes_core import a_table

# Nothing was sent yet; or it was, and doing it twice does no harm. All other kinds are never repeated.
ALWAYS = {errors.CONNECT_FAILED, errors.CONNECT_TIMEOUT}
IF_SAFE = {errors.STALE, errors.CLOSED_EARLY, errors.STATUS, errors.TRY_TIMEOUT}


def a_budget(share: float | None, floor: int, table: Table | None = None) -> RetryBudget:
    return RetryBudget(share, floor, table or a_table(1), 0)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.word)
def test_every_kind_in_every_case(kind: Kind) -> None:
    for idempotent, held, begun in product((False, True), repeat=3):
        expected = held and not begun and (kind in ALWAYS or (kind in IF_SAFE and idempotent))
        assert expected == may_retry(kind, idempotent, held, begun)


def test_the_safe_methods_are_those_of_the_standard() -> None:
    """RFC 9110 section 9.2.1."""
    assert {"GET", "HEAD", "OPTIONS", "TRACE"} == SAFE
    assert SAFE < IDEMPOTENT


@pytest.mark.parametrize(("number", "shortest"), [(0, 1.0), (1, 2.0), (2, 4.0), (3, 5.0), (60, 5.0), (10_000, 5.0)])
def test_a_pause_doubles_up_to_a_limit_and_is_up_to_half_as_long_again_by_chance(number: int, shortest: float) -> None:
    assert shortest == backoff_s(1.0, 5.0, number, lambda n: 0)
    longest = backoff_s(1.0, 5.0, number, lambda n: n - 1)
    assert shortest * (1.5 - 1 / JITTER_STEPS) <= longest < 1.5 * shortest


def test_without_a_delay_there_is_no_pause() -> None:
    assert 0.0 == backoff_s(0.0, 5.0, 3, lambda n: n - 1)


def test_the_idempotent_methods_are_those_of_the_standard() -> None:
    assert {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"} == IDEMPOTENT


def test_without_a_share_every_retry_is_allowed() -> None:
    budget = a_budget(None, 0)
    budget.deposit(0.0)
    assert all(budget.withdraw(0.0) for _ in range(100))
    assert (None, 0) == (budget.share, budget.floor)


def test_five_requests_earn_one_retry() -> None:
    budget = a_budget(0.2, 0)
    for _ in range(4):
        budget.deposit(0.0)
    assert not budget.withdraw(0.0)
    budget.deposit(0.0)
    assert [True, False] == [budget.withdraw(0.0) for _ in range(2)]


def test_a_quiet_pool_has_its_floor_in_every_window() -> None:
    budget = a_budget(0.2, 3)
    assert [True, True, True, False] == [budget.withdraw(100.0) for _ in range(4)]
    assert not budget.withdraw(100.0 + WINDOW_S - 0.001)
    assert [True, True, True, False] == [budget.withdraw(100.0 + WINDOW_S) for _ in range(4)]


def test_what_was_earned_is_spent_before_the_floor() -> None:
    budget = a_budget(1.0, 1)
    budget.deposit(0.0)
    assert [True, True, False] == [budget.withdraw(0.0) for _ in range(3)]


def test_earnings_last_through_the_next_window_and_no_longer() -> None:
    budget = a_budget(1.0, 0)
    for _ in range(10):
        budget.deposit(5.0)
    assert budget.withdraw(15.0)  # the next window
    assert not budget.withdraw(25.0)  # one window later: the last window earned nothing


def test_a_busy_day_saves_no_more_than_its_last_window_earned() -> None:
    budget = a_budget(1.0, 0)
    for window in range(5):
        for _ in range(10):
            budget.deposit(window * WINDOW_S)
    allowed = [budget.withdraw(5 * WINDOW_S) for _ in range(100)]
    assert 10 == sum(allowed)


@pytest.mark.parametrize("later", [23.0, 1000.0])
def test_after_a_window_without_anybody_the_balance_is_gone(later: float) -> None:
    budget = a_budget(1.0, 0)
    for _ in range(10):
        budget.deposit(3.0)
    assert not budget.withdraw(later)


def test_windows_follow_each_other_whenever_they_are_looked_at() -> None:
    budget = a_budget(0.2, 1)
    assert [True, True, False, True] == [budget.withdraw(now) for now in (5.0, 15.0, 24.9, 25.0)]


def test_a_share_is_exact_over_many_requests() -> None:
    """Sums of 0.1 in floats would come out a retry short."""
    budget = a_budget(0.1, 0)
    for _ in range(1000):
        budget.deposit(0.0)
    assert 100 == sum(budget.withdraw(0.0) for _ in range(1000))
    assert 1_000_000 == TOKEN


@given(
    st.floats(0.0, 1.0),
    st.integers(0, 5),
    st.lists(st.tuples(st.floats(0.0, 30.0), st.integers(0, 12), st.integers(0, 12)), max_size=25),
)
def test_a_storm_never_passes_its_bound(share: float, floor: int, story: list[tuple[float, int, int]]) -> None:
    """In any span: retries <= share x requests + the balance at its beginning + floor x windows begun in it."""
    budget = a_budget(share, floor)
    now, requests, retries = 1000.0, 0, 0
    for pause_s, first_tries, wanted in story:
        now += pause_s
        for _ in range(first_tries):
            budget.deposit(now)
        requests += first_tries
        retries += sum(budget.withdraw(now) for _ in range(wanted))
        windows = 1 + int((now - 1000.0) / WINDOW_S)
        assert retries <= (share + 1e-6) * requests + floor * windows


def test_the_floor_is_one_for_all_workers() -> None:
    buffer = bytearray(Table.size_bytes(1, 2))
    first, second = (a_budget(0.2, 3, Table(buffer, 1, 2, number)) for number in range(2))
    assert [True, True, True] == [budget.withdraw(100.0) for budget in (first, second, first)]
    assert [False, False] == [budget.withdraw(100.0) for budget in (first, second)]


def raced() -> Table:
    """A table of one worker; the first swap, or the next one once `lost` is False, is won by another worker."""

    class Raced(Table):
        lost = False

        def swap(self, row: int, cell: int, before: int, value: int) -> bool:
            if not self.lost:
                self.lost = True
                super().swap(row, cell, before, value)
                return False
            return super().swap(row, cell, before, value)

    return Raced(bytearray(Table.size_bytes(1, 1)), 1)


@pytest.mark.interpreted
def test_who_loses_the_race_for_a_free_one_looks_again() -> None:
    budget = a_budget(0.2, 3, raced())
    assert [True, True, False] == [budget.withdraw(100.0) for _ in range(3)]


@pytest.mark.parametrize(("share", "floor"), [(None, 0), (1.0, 0), (1.0, 2), (0.0, 2)])
def test_a_retry_that_is_not_made_costs_nothing_wherever_it_was_taken_from(share: float | None, floor: int) -> None:
    budget, spared = a_budget(share, floor), a_budget(share, floor)
    for one in (budget, spared):
        one.deposit(100.0)
    for _ in range(3):
        for _ in range(2):
            if spared.withdraw(100.0):
                spared.put_back()
        assert budget.withdraw(100.0) == spared.withdraw(100.0)


def test_a_free_one_is_put_back_for_all_workers_but_not_into_a_window_that_another_one_has_begun() -> None:
    buffer = bytearray(Table.size_bytes(1, 2))
    first, second = (a_budget(0.2, 1, Table(buffer, 1, 2, number)) for number in range(2))
    assert first.withdraw(100.0)
    assert not second.withdraw(100.0)
    first.put_back()
    assert second.withdraw(100.0)
    assert first.withdraw(100.0 + WINDOW_S)
    assert second.withdraw(100.0 + 2 * WINDOW_S)
    first.put_back()
    assert not first.withdraw(100.0 + 2 * WINDOW_S)


@pytest.mark.interpreted
def test_who_loses_the_race_to_put_one_back_looks_again() -> None:
    table: Any = raced()
    table.lost = True
    budget = a_budget(0.2, 3, table)
    assert [True] * 3 == [budget.withdraw(100.0) for _ in range(3)]
    table.lost = False  # another worker puts back one of its own
    budget.put_back()
    assert [True, True, False] == [budget.withdraw(100.0) for _ in range(3)]

"""core/tally.py: two counts in one cell, and what came between two looks at them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.backend import Backend
from steelyard.core.spec import BackendSpec
from steelyard.core.table import Table
from steelyard.core.tally import before_it, ended_since, failed_since, pack, tally

COUNTS = st.integers(0, 2**62)
FEW = st.integers(0, 2**30 - 1)


@given(COUNTS, COUNTS, FEW, FEW)
def test_a_difference_is_exact_however_far_the_counters_have_gone(
    ended: int, failed: int, more: int, failed_more: int
) -> None:
    then, now = pack(ended, failed), pack(ended + more, failed + failed_more)
    assert (more, failed_more) == (ended_since(now, then), failed_since(now, then))


@given(COUNTS, COUNTS)
def test_it_fits_into_a_cell_and_is_not_below_0(ended: int, failed: int) -> None:
    assert 0 <= pack(ended, failed) < 2**63


@given(st.integers(1, 2**40), st.integers(1, 2**40))
def test_a_counter_that_has_gone_down_says_nothing(ended: int, failed: int) -> None:
    """All that a worker has counted is forgotten when it dies."""
    now, then = pack(0, 0), pack(min(ended, 2**30), min(failed, 2**30))
    assert (0, 0) == (ended_since(now, then), failed_since(now, then))


@pytest.mark.parametrize(("ended", "failed"), [(1, 0), (1, 1), (2**32, 5), (2**32, 2**31)])
def test_the_tally_before_the_latest_one(ended: int, failed: int) -> None:
    counted = pack(ended, failed)
    for it in (False, True):
        if failed >= it:
            before = before_it(counted, it)
            assert (1, it) == (ended_since(counted, before), failed_since(counted, before))


def test_what_is_in_flight_and_what_says_nothing_is_left_out() -> None:
    buffer = bytearray(Table.size_bytes(2, 2))
    one, other = (Backend(BackendSpec("a", 1), Table(buffer, 2, 2, worker), 1, 0) for worker in range(2))
    for backend in (one, one, one, other, other):
        backend.begin()
    one.finish(True)
    one.finish(False)
    other.finish(False)
    other.leave_unjudged()
    assert pack(2, 1) == tally(one.table, 1)

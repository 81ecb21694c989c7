"""core/rows.py: how many rows a pool has, and in which order its tiers are."""

import pickle

import pytest

from steelyard.core.rows import PoolRows, Rows, in_order, rank_of, ranks_of, rows_needed
from steelyard.core.spec import BackendSpec, PoolSpec

A, B = BackendSpec("a", 1), BackendSpec("b", 1)
LATER = BackendSpec("c", 1, tier=7)
BACKUP = BackendSpec("d", 1, backup=True, tier=-5)


def test_lower_tiers_come_first_and_backups_after_all_that_are_none() -> None:
    assert [(False, 0), (False, 7), (True, -5)] == sorted(map(rank_of, (BACKUP, LATER, A)))


@pytest.mark.parametrize(
    ("backends", "ranks"),
    [
        ((BACKUP, LATER, B, A), [(False, 0), (False, 7), (True, -5)]),
        ((A, B), [(False, 0)]),
        ((BACKUP,), [(True, -5)]),
        ((), [(False, 0)]),
    ],
)
def test_backends_of_one_rank_are_one_tier_and_a_pool_without_any_has_one(
    backends: tuple[BackendSpec, ...], ranks: list[tuple[bool, int]]
) -> None:
    spec = PoolSpec("web", backends)
    assert ranks == ranks_of(spec)
    assert len(ranks) + len(backends) == rows_needed(spec)


def test_in_order_the_tiers_rows_come_before_the_backends_and_none_twice() -> None:
    assert PoolRows((5, 6, 7), (8, 9, 10)) == in_order(PoolSpec("web", (BACKUP, LATER, A)), 5)
    assert PoolRows((0,), ()) == in_order(PoolSpec("web", ()), 0)


def test_the_rows_of_a_configuration_are_those_of_its_pools_and_of_its_front_door() -> None:
    rows = Rows({"web": PoolRows((5,), (6, 7))}, {"listener a:1": 8})
    assert [5, 6, 7, 8] == list(rows.all())
    assert ({}, {}, []) == (Rows(), Rows().front, list(Rows().all()))


def test_they_travel_whole() -> None:
    """From process to process, pickled."""
    rows = Rows({"web": PoolRows((5,), (6, 7))}, {"listener a:1": 8})
    there = pickle.loads(pickle.dumps(rows))
    assert (rows, rows.front, Rows) == (there, there.front, type(there))

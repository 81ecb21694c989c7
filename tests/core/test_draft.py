"""core/draft.py: a pool's next configuration, built beside the one that serves."""

from collections.abc import Sequence

import pytest

from steelyard.core.draft import Draft
from steelyard.core.pool import Pool
from steelyard.core.rows import PoolRows
from steelyard.core.spec import BackendSpec, PolicySpec, PoolSpec, StickySpec
from steelyard.core.table import WEIGHT, WEIGHT_UNIT
from tests.fakes_core import a_table

A, B, C = (BackendSpec(host, 1) for host in "abc")
BACKUP = BackendSpec("b", 1, backup=True)
STICKY = StickySpec("lb", "a secret")
HOME, SPARE, OTHER = 0, 1, 2


def a_pool(*backends: BackendSpec, policy: str = "round_robin", sticky: StickySpec | None = None) -> Pool:
    """Rows 0, 1 and 2 are for tiers, and each backend's is 10 and more."""
    spec = PoolSpec("web", backends, PolicySpec(policy), sticky=sticky)
    return Pool(spec, a_table(30), rows_of(spec))


def rows_of(spec: PoolSpec, tiers: Sequence[int] = (HOME, SPARE, OTHER)) -> PoolRows:
    ranks = {(backend.backup, backend.tier) for backend in spec.backends} or {(False, 0)}
    return PoolRows(tuple(tiers[: len(ranks)]), tuple(10 + ord(one.host) - ord("a") for one in spec.backends))


def drafted(pool: Pool, spec: PoolSpec, rows: PoolRows | None = None) -> Draft:
    """A draft that is done."""
    draft = pool.draft(spec, rows or rows_of(spec))
    while draft.advance(1):
        pass
    return draft


@pytest.mark.parametrize(("sticky", "steps"), [(None, 3), (STICKY, 3)])
def test_it_is_built_in_steps_of_so_many_backends_then_a_tier_at_a_time_then_the_cookies(
    sticky: StickySpec | None, steps: int
) -> None:
    pool = a_pool(A)
    spec = PoolSpec("web", (A, C, BACKUP), sticky=sticky)
    draft = pool.draft(spec, rows_of(spec))
    built = []
    while draft.advance(2):
        built.append((len(draft.backends), len(draft.tiers)))
    assert [(2, 0), (3, 0), (3, 1), (3, 2)] == built
    assert (sticky is not None) is (draft.sticky is not None)
    assert not draft.advance(2)
    assert ([0, 0, 1], [["a", "c"], ["b"]]) == (
        draft.ranks,
        [[backend.host for backend in members] for members in draft.of_tier],
    )


def test_while_it_is_built_the_pool_serves_as_before() -> None:
    pool = a_pool(A, B)
    drafted(pool, PoolSpec("web", (C,), PolicySpec("random")))
    assert ["a", "b"] == [backend.host for backend in pool.backends]
    assert ["a", "b"] == [backend.host for backend in pool.policy.backends]
    assert "round_robin" == pool.policy.spec.name


def test_a_backend_that_stays_is_the_same_one_and_another_is_made_new() -> None:
    pool = a_pool(A, B)
    draft = drafted(pool, PoolSpec("web", (C, B)))
    assert pool.backends[1] is draft.backends[1]
    assert ("c", 12, HOME) == (draft.backends[0].host, draft.backends[0].row, draft.backends[0].home)


def test_a_backend_whose_row_is_another_one_is_made_new() -> None:
    """It had left in between, and a request to it may still go on at the old one."""
    pool = a_pool(A)
    draft = drafted(pool, pool.spec, PoolRows((HOME,), (20,)))
    assert (10, 20) == (pool.backends[0].row, draft.backends[0].row)


def test_a_backend_that_moves_to_another_tier_is_made_new_over_the_same_row() -> None:
    pool = a_pool(A, B)
    pool.backends[1].begin()
    draft = drafted(pool, PoolSpec("web", (A, BACKUP)))
    moved = draft.backends[1]
    assert moved is not pool.backends[1]
    assert (11, SPARE, 1, 1) == (moved.row, moved.home, moved.tier, moved.in_flight)


def test_weights_are_in_the_table_already_and_are_left_as_they_are() -> None:
    pool = a_pool(A)
    pool.table.set(12, WEIGHT, 7)
    draft = drafted(pool, PoolSpec("web", (BackendSpec("a", 1, 5), BackendSpec("c", 1, 5))))
    assert [1, 7] == [backend.weight for backend in draft.backends]
    fresh = a_pool(BackendSpec("a", 1, 5)).backends[0]
    assert (5, 5 * WEIGHT_UNIT) == (fresh.weight, fresh.share())


def test_a_tier_is_kept_with_its_policy_as_long_as_that_is_the_same() -> None:
    pool = a_pool(A)
    kept = drafted(pool, PoolSpec("web", (A, C, BACKUP)))
    assert pool.tiers[0] is kept.tiers[0]
    assert {pool.tiers[0]} == kept.kept
    for policy in (PolicySpec("random"), PolicySpec(key="path")):
        other = drafted(pool, PoolSpec("web", (A,), policy))
        assert pool.tiers[0] is not other.tiers[0]
        assert set() == other.kept
        assert policy == other.tiers[0].policy.spec


def test_a_tier_keeps_its_policy_where_it_is_the_first_no_longer() -> None:
    pool = a_pool(A)
    draft = drafted(pool, PoolSpec("web", (A, BackendSpec("b", 1, tier=-1))), PoolRows((OTHER, HOME), (10, 11)))
    assert pool.tiers[0] is draft.tiers[1]


def test_cookies_of_backends_that_stay_are_the_same_ones() -> None:
    pool = a_pool(A, sticky=STICKY)
    draft = drafted(pool, PoolSpec("web", (A, C), sticky=STICKY))
    assert pool.sticky is not None
    assert draft.sticky is not None
    assert pool.sticky.codes[pool.backends[0]] is draft.sticky.codes[pool.backends[0]]
    assert drafted(pool, PoolSpec("web", (A,))).sticky is None

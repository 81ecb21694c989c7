"""A pool's limit of requests in flight, given or found, over all workers."""

from dataclasses import replace

from steelyard import errors
from steelyard.core.backend import Backend
from steelyard.core.policy import Pick
from steelyard.core.pool import Pool, Refusal
from steelyard.core.rows import in_order
from steelyard.core.spec import AdaptiveSpec, BackendSpec, HealthCheckSpec, PoolSpec
from steelyard.core.table import Table
from tests.fakes_core import no_chance

BACKENDS = (BackendSpec("a", 80), BackendSpec("b", 80), BackendSpec("c", 80, backup=True))


def workers(count: int, **settings: object) -> list[Pool]:
    spec = PoolSpec("web", BACKENDS, **settings)  # type: ignore[arg-type]
    rows = Pool.rows_needed(spec)
    buffer = bytearray(Table.size_bytes(rows, count))
    return [Pool(spec, Table(buffer, rows, count, number), 0) for number in range(count)]


def begin(pool: Pool, count: int) -> list[tuple[Pick, Backend]]:
    begun = []
    for _ in range(count):
        request = Pick(no_chance)
        backend = pool.acquire(request)
        assert isinstance(backend, Backend)
        begun.append((request, backend))
    return begun


def refused(pool: Pool, request: Pick | None = None) -> Refusal:
    answer = pool.acquire(request or Pick(no_chance))
    assert isinstance(answer, Refusal)
    return answer


def test_without_a_limit_there_is_none() -> None:
    (pool,) = workers(1)
    assert -1 == pool.limit()
    begin(pool, 1000)
    assert 1000 == pool.count_in_flight()


def test_a_pool_at_its_limit_is_full_until_one_ends() -> None:
    (pool,) = workers(1, max_in_flight=3)
    begun = begin(pool, 3)
    assert pool.full is refused(pool)
    request, backend = begun[0]
    pool.release(request, backend, False, 0.0)
    begin(pool, 1)
    assert pool.full is refused(pool)


def test_the_limit_is_one_for_all_workers() -> None:
    first, second = workers(2, max_in_flight=3)
    begin(first, 2)
    begin(second, 1)
    assert errors.FULL is refused(first).kind is refused(second).kind


def test_a_request_that_is_tried_elsewhere_has_begun() -> None:
    (pool,) = workers(1, max_in_flight=1)
    ((request, backend),) = begin(pool, 1)
    request.tried = [backend]
    assert isinstance(pool.acquire(request), Backend)


def test_backups_count_too() -> None:
    (pool,) = workers(1, max_in_flight=2)
    pool.backends[0].set_draining(True)
    pool.backends[1].set_draining(True)
    assert ["c", "c"] == [backend.host for _, backend in begin(pool, 2)]
    assert pool.full is refused(pool)


def test_a_pool_that_is_full_and_has_nobody_up_says_that_nobody_is() -> None:
    (pool,) = workers(1, max_in_flight=1, health_check=HealthCheckSpec(fall=1))
    begin(pool, 1)
    for backend in pool.backends:
        pool.probed(backend, False, 0.0)
    assert errors.NONE_UP is refused(pool).kind


def test_an_adaptive_limit_moves_with_the_times_of_answers() -> None:
    (pool,) = workers(1, adaptive_limit=AdaptiveSpec(least=4, most=100))
    before = pool.limit()
    now = 100.0
    for _ in range(100):
        begun = begin(pool, pool.limit())
        now += 0.6
        for request, backend in begun:
            pool.release(request, backend, False, now, 0.1)
    assert 100 == pool.limit() > before
    begin(pool, 100)
    assert pool.full is refused(pool)


def test_what_was_not_answered_says_nothing_of_times() -> None:
    (pool,) = workers(1, adaptive_limit=AdaptiveSpec(least=4, most=100), ejection=None)
    before = pool.limit()
    for number in range(1000):
        ((request, backend),) = begin(pool, 1)
        pool.release(request, backend, True, 100.0 + number)
    assert before == pool.limit()


def reload(pool: Pool, **settings: object) -> None:
    draft = pool.draft(replace(pool.spec, **settings), in_order(pool.spec, 0))  # type: ignore[arg-type]
    while draft.advance(10):
        pass
    pool.adopt(draft)


def test_a_reload_changes_the_limit_and_keeps_what_was_found() -> None:
    (pool,) = workers(1, max_in_flight=3)
    reload(pool, max_in_flight=1)
    begin(pool, 1)
    assert pool.full is refused(pool)
    reload(pool, max_in_flight=None, adaptive_limit=AdaptiveSpec(least=4, most=100))
    assert pool.adaptive is not None
    found = pool.adaptive
    reload(pool, adaptive_limit=AdaptiveSpec(least=4, most=9))
    assert found is pool.adaptive
    assert 9 == pool.limit()
    reload(pool, adaptive_limit=None)
    assert -1 == pool.limit()


def test_who_fails_fast_is_not_at_leisure() -> None:
    (pool,) = workers(1, adaptive_limit=AdaptiveSpec(least=4, most=100), ejection=None)
    before = pool.limit()
    for number in range(1000):
        ((request, backend),) = begin(pool, 1)
        pool.release(request, backend, True, 100.0 + number, 0.001, 500)
    assert before == pool.limit()

"""core/pool.py: acquire, release, refuse, believe and doubt."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from steelyard import errors
from steelyard.core.backend import Backend
from steelyard.core.health import State
from steelyard.core.policy import Pick, stable_hash
from steelyard.core.pool import Pool, Refusal
from steelyard.core.spec import BackendSpec, HealthCheckSpec, PolicySpec, PoolSpec, RetrySpec
from steelyard.errors import FULL, NONE_UP
from tests.fakes_core import Ask, a_pool, a_table, no_chance, scripted


def taken(pool: Pool, request: Pick | None = None) -> Backend:
    """The backend that must be got."""
    backend = pool.acquire(request or Pick(no_chance))
    assert type(backend) is Backend
    return backend


def refused(pool: Pool, request: Pick | None = None) -> Refusal:
    """The refusal that must be got."""
    refusal = pool.acquire(request or Pick(no_chance))
    assert type(refusal) is Refusal
    return refusal


def test_a_pool_counts_what_it_hands_out_and_gets_back() -> None:
    pool = a_pool()
    backend = taken(pool)
    assert (1, 1, 0) == (backend.in_flight, backend.requests, backend.failures)
    pool.release(backend, True, 0.0)
    assert (0, 1, 1) == (backend.in_flight, backend.requests, backend.failures)


def test_a_second_release_is_a_bug_and_said_so() -> None:
    pool = a_pool()
    backend = taken(pool)
    pool.release(backend, False, 0.0)
    with pytest.raises(AssertionError, match=r"10\.0\.0\.1:80: a request ended that had not begun"):
        pool.release(backend, False, 0.0)


def test_two_pools_in_one_table_keep_to_their_rows() -> None:
    specs = [PoolSpec(name, (BackendSpec(name, 1), BackendSpec(name, 2))) for name in ("a", "b")]
    rows = [Pool.rows_needed(spec) for spec in specs]
    assert [3, 3] == rows
    table = a_table(sum(rows))
    first, second = Pool(specs[0], table, 0), Pool(specs[1], table, rows[0])
    assert [("a", 1), ("a", 2), ("b", 1)] == [(b.host, b.port) for b in (taken(first), taken(first), taken(second))]
    assert [1, 1, 1, 0] == [backend.in_flight for pool in (first, second) for backend in pool.backends]
    second.mark_down(second.backends[0], 0.0)
    assert [True, True, False, True] == [backend.healthy for pool in (first, second) for backend in pool.backends]


def test_a_pool_says_what_it_is() -> None:
    pool = a_pool(2, policy=PolicySpec("hash", "client_ip"))
    assert ("web", "web", "hash", "client_ip") == (pool.name, pool.spec.name, pool.policy.spec.name, pool.key)
    assert 2 == len(pool.backends)


# Refusals.


def test_with_every_backend_down_none_is_up_and_asking_again_is_worth_it_after_the_next_check() -> None:
    pool = a_pool(2, check=HealthCheckSpec(interval_s=2.5))
    for backend in pool.backends:
        pool.mark_down(backend, 0.0)
    refusal = refused(pool)
    assert (NONE_UP, 3) == (refusal.kind, refusal.retry_after_s)
    assert "<Refusal none_up>" == repr(refusal)


def test_with_every_healthy_backend_at_its_limit_the_pool_is_full() -> None:
    pool = a_pool(2, limit=1)
    pool.mark_down(pool.backends[0], 0.0)
    backend = taken(pool)
    refusal = refused(pool)
    assert (FULL, 1) == (refusal.kind, refusal.retry_after_s)
    pool.release(backend, False, 0.0)
    assert backend is taken(pool)


def test_a_backend_that_is_full_but_takes_no_new_requests_anyway_does_not_make_it_full() -> None:
    pool = a_pool(1, limit=1)
    backend = taken(pool)
    backend.set_draining(True)
    assert NONE_UP is refused(pool).kind


def test_when_all_have_been_tried_none_is_left() -> None:
    pool = a_pool(2)
    assert NONE_UP is refused(pool, Pick(no_chance, tried=list(pool.backends))).kind


def test_a_pool_without_backends_refuses() -> None:
    assert (NONE_UP, 1) == (refused(a_pool(0, check=None)).kind, refused(a_pool(0, check=None)).retry_after_s)


# Keys.


def test_the_key_is_hashed_once_a_request() -> None:
    pool = a_pool(3, policy=PolicySpec("hash", "client_ip"))
    ask = Ask({"client_ip": "10.9.8.7"})
    expected = stable_hash("10.9.8.7")
    first = taken(pool, ask)
    assert expected == ask.key
    assert pool.backends[expected % 3] is first
    ask.tried = [first]
    taken(pool, ask)
    assert ["client_ip"] == ask.asked


def test_a_path_is_a_key_without_its_query() -> None:
    pool = a_pool(3, policy=PolicySpec("hash", "path"))
    asks = [Ask({"path": path}) for path in ("/a?b=1", "/a?b=2", "/a")]
    for ask in asks:
        taken(pool, ask)
    assert {stable_hash("/a")} == {ask.key for ask in asks}


@pytest.mark.parametrize("parts", [{}, {"header:x": ""}])
def test_requests_without_the_keys_field_are_spread_by_chance(parts: dict[str, str]) -> None:
    pool = a_pool(3, policy=PolicySpec("hash", "header:x"))
    assert pool.backends[2] is taken(pool, Ask(parts, scripted(2)))


def test_a_pool_without_a_key_asks_the_request_for_nothing() -> None:
    ask = Ask({})
    taken(a_pool(), ask)
    assert ([], 0) == (ask.asked, ask.key)


# The retry budget.


def test_first_tries_earn_retries_and_further_ones_do_not() -> None:
    pool = a_pool(2, retry=RetrySpec(budget=0.5, budget_floor=0))
    taken(pool, Pick(no_chance, now=1.0))
    taken(pool, Pick(no_chance, now=1.0, tried=[pool.backends[0]]))
    assert not pool.retry.withdraw(1.0)
    taken(pool, Pick(no_chance, now=1.0, tried=[]))
    assert [True, False] == [pool.retry.withdraw(1.0) for _ in range(2)]


@pytest.mark.parametrize("kind", [errors.CONNECT_FAILED, errors.CONNECT_TIMEOUT])
def test_a_failed_connect_draws_on_the_budget_only_where_no_check_counts_it(kind: errors.Kind) -> None:
    """Where there are checks, it is a failed one, and soon nobody asks there any more."""
    empty = RetrySpec(budget=0.2, budget_floor=0)
    assert a_pool(retry=empty).bears_retry(kind, 1.0)
    assert not a_pool(retry=empty, check=None).bears_retry(kind, 1.0)


@pytest.mark.parametrize("check", [HealthCheckSpec(), None])
def test_any_other_failure_draws_on_the_budget(check: HealthCheckSpec | None) -> None:
    pool = a_pool(retry=RetrySpec(budget=0.2, budget_floor=2), check=check)
    assert [True, True, False] == [pool.bears_retry(errors.CLOSED_EARLY, 1.0) for _ in range(3)]


def test_the_budget_is_the_specified_one() -> None:
    budget = a_pool(retry=RetrySpec(budget=None, budget_floor=7)).retry
    assert (None, 7) == (budget.share, budget.floor)


# Health.


def test_backends_are_believed_in_until_the_first_check_which_counts_at_once() -> None:
    pool = a_pool(2)
    assert [True, True] == [backend.healthy for backend in pool.backends]
    assert pool.probed(pool.backends[1], False, 0.0)
    assert [True, False] == [backend.healthy for backend in pool.backends]
    assert [State.NEW, State.DOWN] == [machine.state for machine in pool.health]


def test_a_backend_goes_down_and_comes_back_by_fall_and_rise() -> None:
    pool = a_pool(1, check=HealthCheckSpec(rise=2, fall=3))
    (backend,) = pool.backends
    assert not pool.probed(backend, True, 0.0)
    assert [False, False, True] == [pool.probed(backend, False, 0.0) for _ in range(3)]
    assert NONE_UP is refused(pool).kind
    assert [False, True] == [pool.probed(backend, True, 0.0) for _ in range(2)]
    assert backend is taken(pool)


def test_failed_connects_count_like_failed_checks_and_an_answer_forgives_them() -> None:
    pool = a_pool(1, check=HealthCheckSpec(fall=3))
    (backend,) = pool.backends
    assert not pool.answered(backend, 0.0)
    assert [False, False] == [pool.connect_failed(backend, 0.0) for _ in range(2)]
    assert not pool.answered(backend, 0.0)
    assert [False, False, True] == [pool.connect_failed(backend, 0.0) for _ in range(3)]
    assert not backend.healthy


def test_an_answer_on_an_old_connection_brings_nobody_back() -> None:
    pool = a_pool(1)
    (backend,) = pool.backends
    assert [True, False] == [pool.mark_down(backend, 0.0) for _ in range(2)]
    assert not pool.answered(backend, 0.0)
    assert not backend.healthy


def test_without_checks_traffic_takes_nobody_out() -> None:
    """Nobody would bring it up again."""
    pool = a_pool(1, check=None)
    (backend,) = pool.backends
    assert () == pool.health
    assert [False] * 3 == [
        pool.connect_failed(backend, 0.0),
        pool.answered(backend, 0.0),
        pool.mark_down(backend, 0.0),
    ]
    assert backend.available


def test_a_check_of_a_pool_that_has_none_is_a_bug() -> None:
    pool = a_pool(1, check=None)
    with pytest.raises(AssertionError, match="pool web: a check that nobody asked for"):
        pool.probed(pool.backends[0], True, 0.0)


class Life(RuleBasedStateMachine):
    """A pool under any sequence of requests, checks and orders, against a model that keeps lists."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = a_pool(4, check=HealthCheckSpec(rise=2, fall=2), limit=3)
        self.flying: list[Backend] = []
        self.begun = 0
        self.failed = 0

    @rule(data=st.data())
    def acquire(self, data: st.DataObject) -> None:
        tried = data.draw(st.lists(st.sampled_from(self.pool.backends), unique=True, max_size=4))
        lawful = {b for b in self.pool.backends if b.available and b not in tried}
        found = self.pool.acquire(Pick(no_chance, tried=tried))
        if isinstance(found, Backend):
            assert found in lawful
            self.flying.append(found)
            self.begun += 1
        else:
            assert not lawful
            full = any(b.healthy and not b.draining and b not in tried for b in self.pool.backends)
            assert (FULL if full else NONE_UP) is found.kind

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), failed=st.booleans())
    def release(self, data: st.DataObject, failed: bool) -> None:
        backend = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        self.failed += failed
        self.pool.release(backend, failed, 0.0)

    @rule(at=st.integers(0, 3), event=st.sampled_from(["passed", "failed", "connect_failed", "answered", "mark_down"]))
    def hear(self, at: int, event: str) -> None:
        backend = self.pool.backends[at]
        before = backend.healthy
        if event in ("passed", "failed"):
            changed = self.pool.probed(backend, event == "passed", 0.0)
        else:
            changed = getattr(self.pool, event)(backend, 0.0)
        assert changed == (before != backend.healthy)
        if event in ("answered", "passed"):
            assert backend.healthy >= before
        else:
            assert backend.healthy <= before

    @rule(at=st.integers(0, 3), draining=st.booleans())
    def drain(self, at: int, draining: bool) -> None:
        self.pool.backends[at].set_draining(draining)

    @invariant()
    def what_is_counted_is_what_flies(self) -> None:
        for backend, machine in zip(self.pool.backends, self.pool.health, strict=True):
            assert self.flying.count(backend) == backend.in_flight <= 3
            assert machine.healthy == backend.healthy

    def teardown(self) -> None:
        for backend in self.flying:
            self.pool.release(backend, False, 0.0)
        assert 0 == sum(backend.in_flight for backend in self.pool.backends)
        assert self.begun == sum(backend.requests for backend in self.pool.backends)
        assert self.failed == sum(backend.failures for backend in self.pool.backends)


TestLife = Life.TestCase

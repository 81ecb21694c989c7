"""core/pool.py: acquire, release, refuse, believe and doubt."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from steelyard import errors
from steelyard.core import policy as register
from steelyard.core.backend import Backend
from steelyard.core.guard import Outside
from steelyard.core.health import HEALTHY, State
from steelyard.core.policy import UNKNOWN_S, Pick, Policy, Registered
from steelyard.core.pool import Pool, Refusal
from steelyard.core.spec import (
    BackendSpec,
    HealthCheckSpec,
    PolicySpec,
    PoolSpec,
    RetrySpec,
    SlowStartSpec,
    StickySpec,
)
from steelyard.core.stable import stable_hash
from steelyard.core.table import DOWN, IN_FLIGHT, SILENT, UP, Table
from steelyard.errors import FULL, NONE_UP
from tests.fakes_core import Ask, a_pool, a_table, no_chance, scripted

PICK = Pick(no_chance)


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
    pool.release(PICK, backend, True, 0.0)
    assert (0, 1, 1) == (backend.in_flight, backend.requests, backend.failures)


def test_a_second_release_is_a_bug_and_said_so() -> None:
    pool = a_pool()
    backend = taken(pool)
    pool.release(PICK, backend, False, 0.0)
    with pytest.raises(AssertionError, match=r"10\.0\.0\.1:80: a request ended that had not begun"):
        pool.release(PICK, backend, False, 0.0)


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
    pool.release(PICK, backend, False, 0.0)
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


def test_a_url_is_a_key_with_its_query_and_any_other_part_is_taken_as_it_is() -> None:
    for name, part, text in (
        ("url", "path", "/a?b=1"),
        ("body:model", "body:model", "m?x"),
        ("cookie:x", "cookie:x", "1"),
    ):
        ask = Ask({part: text})
        taken(a_pool(3, policy=PolicySpec("hash", name)), ask)
        assert stable_hash(text) == ask.key


class Spy(Policy):
    """The first one that may be taken, and a diary of what it was told."""

    made: list["Spy"]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.flying: list[str] = []
        self.told: list[tuple[str, bool, float, float]] = []
        Spy.made.append(self)

    def pick(self, request: Pick) -> Backend | None:
        candidates = self.candidates(request)
        return candidates[0] if candidates else None

    def began(self, request: Pick, backend: Backend) -> None:
        assert backend in self.backends, "told of another tier's"
        assert backend.in_flight == self.flying.count(backend.host) + 1
        self.flying.append(backend.host)

    def ended(self, request: Pick, backend: Backend, failed: bool, latency_s: float, now: float) -> None:
        self.flying.remove(backend.host)
        assert backend.in_flight == self.flying.count(backend.host)
        self.told.append((backend.host, failed, latency_s, now))


@pytest.fixture
def spies(monkeypatch: pytest.MonkeyPatch) -> list[Spy]:
    """The policy `spy` is registered; one of it for each tier that is made."""
    Spy.made = []
    monkeypatch.setitem(register._REGISTER, "spy", Registered(Spy, "", (), True))
    return Spy.made


@pytest.mark.parametrize(("key", "reads"), [(None, False), ("path", False), ("header:body:", False), ("body:a", True)])
def test_a_pool_reads_bodies_when_its_key_or_its_policy_does(
    spies: list[Spy], monkeypatch: pytest.MonkeyPatch, key: str | None, reads: bool
) -> None:
    assert reads is a_pool(1, policy=PolicySpec("spy", key)).reads_body
    monkeypatch.setattr(Spy, "reads_body", True)
    assert a_pool(1, policy=PolicySpec("spy", key)).reads_body


# Tiers.


def tiered(*backends: BackendSpec, policy: str = "round_robin", **settings: Any) -> Pool:
    spec = PoolSpec("web", backends, PolicySpec(policy), **settings)
    return Pool(spec, a_table(Pool.rows_needed(spec)), 0)


def hosts(pool: Pool, picks: int, **settings: Any) -> str:
    """Where so many requests go that do not end."""
    return "".join(taken(pool, Pick(no_chance, **settings)).host for _ in range(picks))


A, B = BackendSpec("a", 1), BackendSpec("b", 1)
LATER = BackendSpec("c", 1, tier=7)
BACKUP = BackendSpec("d", 1, backup=True, tier=-5)


def test_tiers_serve_in_their_order_and_backups_after_all_that_are_none() -> None:
    pool = tiered(BACKUP, LATER, B, A)
    assert 7 == Pool.rows_needed(pool.spec)
    assert [2, 1, 0, 0] == [backend.tier for backend in pool.backends]
    assert "baba" == hosts(pool, 4)
    for backend in pool.backends[2:]:
        backend.set_healthy(False)
    assert "cc" == hosts(pool, 2)
    pool.backends[1].set_healthy(False)
    assert "dd" == hosts(pool, 2)
    pool.backends[2].set_healthy(True)
    assert "bb" == hosts(pool, 2)
    for backend in pool.backends:
        backend.set_healthy(False)
    assert NONE_UP is refused(pool).kind


def test_backends_of_one_rank_are_one_tier_whatever_their_number() -> None:
    pool = tiered(BackendSpec("a", 1, tier=3), BackendSpec("b", 1, tier=3), BackendSpec("c", 1, tier=3, backup=True))
    assert [[0, 1], [2]] == [[pool.backends.index(backend) for backend in tier.backends] for tier in pool.tiers]


def test_what_a_tier_cannot_hold_spills_over_and_comes_back() -> None:
    pool = tiered(BackendSpec("a", 1, 1, 2), BackendSpec("b", 1, 1, 1, backup=True))
    assert "aab" == hosts(pool, 3)
    assert FULL is refused(pool).kind
    pool.release(PICK, pool.backends[0], False, 0.0)
    assert "a" == hosts(pool, 1)


def test_a_retry_goes_to_the_next_tier_when_its_own_has_nobody_else() -> None:
    pool = tiered(A, BACKUP)
    request = Pick(no_chance, tried=[pool.backends[0]])
    assert pool.has_other(request)
    assert pool.backends[1] is taken(pool, request)
    request = Pick(no_chance, tried=list(pool.backends))
    assert not pool.has_other(request)


def test_there_is_another_one_also_where_only_panic_makes_it_one() -> None:
    pool = tiered(A, B, BACKUP, health_check=HealthCheckSpec())
    for backend in pool.backends[1:]:
        pool.probed(backend, False, 0.0, answers=True)
    tried = [pool.backends[0]]
    assert not pool.has_other(Pick(no_chance, tried=[*tried, pool.backends[2]]))
    assert pool.has_other(Pick(no_chance, tried=tried))
    pool.backends[0].set_healthy(False)
    assert pool.has_other(Pick(no_chance, tried=[*tried, pool.backends[2]]))


def test_a_backup_serves_before_those_that_answer_their_checks_wrongly() -> None:
    """They are all down, and a backup is what the operator has for that."""
    pool = tiered(A, B, BACKUP, health_check=HealthCheckSpec())
    for backend in pool.backends[:2]:
        pool.probed(backend, False, 0.0, answers=True)
    assert "dd" == hosts(pool, 2)
    pool.probed(pool.backends[2], False, 0.0, answers=True)
    assert "abab" == hosts(pool, 4)


def test_what_answers_a_check_wrongly_is_asked_in_panic_and_what_is_silent_is_not() -> None:
    pool = tiered(A, B, LATER, health_check=HealthCheckSpec(rise=2))
    for backend, answers in zip(pool.backends, (True, False, False), strict=True):
        pool.probed(backend, False, 0.0, answers)
    assert [DOWN, SILENT, SILENT] == [backend.health()[0] for backend in pool.backends]
    assert "aa" == hosts(pool, 2)
    pool.connect_failed(pool.backends[0], 0.0)
    assert NONE_UP is refused(pool).kind
    pool.probed(pool.backends[1], True, 0.0)  # the first of two that bring it back: it answers
    assert "b" == hosts(pool, 1)


def test_full_is_said_only_where_somebody_would_serve_if_he_were_not() -> None:
    pool = tiered(BackendSpec("a", 1, 1, 1), BACKUP)
    assert "a" == hosts(pool, 1)
    pool.backends[1].set_healthy(False)
    assert FULL is refused(pool).kind
    assert NONE_UP is refused(pool, Pick(no_chance, tried=[pool.backends[0]])).kind


def test_in_flight_of_a_tier_is_that_of_its_backends() -> None:
    pool = tiered(BackendSpec("a", 1, 1, 1), B, BACKUP)
    rows = [tier.row for tier in pool.tiers]
    assert "abb" == hosts(pool, 3)
    pool.backends[1].set_healthy(False)
    assert "d" == hosts(pool, 1)
    assert [3, 1] == [pool.table.total(row, IN_FLIGHT) for row in rows]
    for backend in (pool.backends[0], pool.backends[2], pool.backends[1], pool.backends[1]):
        pool.release(PICK, backend, True, 0.0)
    assert [0, 0] == [pool.table.total(row, IN_FLIGHT) for row in rows]


# Weights.


def test_a_weight_that_is_set_counts_from_the_next_request_on_for_all_workers() -> None:
    spec = PoolSpec("web", (A, B))
    rows = Pool.rows_needed(spec)
    buffer = bytearray(Table.size_bytes(rows, 2))
    one, other = (Pool(spec, Table(buffer, rows, 2, worker), 0) for worker in range(2))
    assert "ab" == hosts(one, 1) + hosts(other, 1)
    one.set_weight(one.backends[0], 3)
    both = [taken(pool, None).host for _ in range(20) for pool in (one, other)]
    assert (30, 10) == (both.count("a"), both.count("b"))
    other.set_weight(other.backends[0], 0)
    assert "bbb" == hosts(one, 3)
    with pytest.raises(ValueError, match="a:1: weight -1 is below 0"):
        one.set_weight(one.backends[0], -1)
    assert (0, 1) == (one.backends[0].weight, one.backends[1].weight)


def test_the_first_request_after_a_slow_start_ended_sees_whole_weights() -> None:
    pool = tiered(A, B, slow_start=SlowStartSpec(20.0), health_check=HealthCheckSpec(rise=1))
    pool.probed(pool.backends[0], False, 1.0)
    pool.probed(pool.backends[0], True, 2.0)
    slow = hosts(pool, 110, now=2.0)
    assert 10 == slow.count("a")
    assert 50 == hosts(pool, 100, now=22.1).count("a")


# What a policy is told.


def test_each_tier_has_a_policy_that_hears_of_its_own_backends(spies: list[Spy]) -> None:
    pool = tiered(BackendSpec("a", 1, 1, 1), BackendSpec("d", 1, backup=True), policy="spy")
    assert "add" == hosts(pool, 3)
    assert [["a"], ["d", "d"]] == [spy.flying for spy in spies]
    pool.release(PICK, pool.backends[1], True, 9.0, 0.25)
    pool.release(PICK, pool.backends[0], False, 10.0)
    pool.release(PICK, pool.backends[1], False, 11.0, 0.0)
    assert [[("a", False, UNKNOWN_S, 10.0)], [("d", True, 0.25, 9.0), ("d", False, 0.0, 11.0)]] == [
        spy.told for spy in spies
    ]


def test_a_policy_hears_of_requests_that_a_cookie_led_past_it(spies: list[Spy]) -> None:
    pool = tiered(A, B, policy="spy", sticky=StickySpec("lb", "s"))
    found = taken(pool, cookied(pool, 1))
    assert ["b"] == spies[0].flying
    pool.release(PICK, found, False, 1.0, 0.5)
    assert [("b", False, 0.5, 1.0)] == spies[0].told


def test_a_refused_request_is_none_that_a_policy_hears_of(spies: list[Spy]) -> None:
    pool = tiered(A, policy="spy")
    pool.backends[0].set_healthy(False)
    refused(pool)
    assert ([], []) == (spies[0].flying, spies[0].told)


# Stickiness.


def cookied(pool: Pool, at: int, tried: Sequence[Backend] = ()) -> Ask:
    """A request with the cookie of that backend."""
    sticky = pool.sticky
    assert sticky is not None
    value = sticky.lines[pool.backends[at]].partition("=")[2].partition(";")[0]
    ask = Ask({"cookie:lb": value})
    ask.tried = list(tried)
    return ask


def sticking(*backends: BackendSpec, **settings: Any) -> Pool:
    return tiered(*backends, sticky=StickySpec("lb", "a secret"), **settings)


def test_a_cookie_leads_to_its_backend_and_does_not_turn_the_rotation() -> None:
    pool = sticking(A, B)
    assert ["b", "b", "b"] == [taken(pool, cookied(pool, 1)).host for _ in range(3)]
    assert "ab" == hosts(pool, 2)


def test_a_cookie_keeps_a_client_at_a_backup_as_long_as_that_serves() -> None:
    pool = sticking(A, BACKUP)
    assert "d" == taken(pool, cookied(pool, 1)).host


@pytest.mark.parametrize("why", ["down", "draining", "weight 0", "full", "tried"])
def test_a_backend_that_cannot_be_picked_is_not_picked_for_a_cookie_either(why: str) -> None:
    pool = sticking(A, BackendSpec("b", 1, 1, 1))
    b = pool.backends[1]
    if why == "down":
        b.set_healthy(False)
    elif why == "draining":
        b.set_draining(True)
    elif why == "weight 0":
        pool.set_weight(b, 0)
    elif why == "full":
        b.begin()
    assert "a" == taken(pool, cookied(pool, 1, [b] if why == "tried" else [])).host


def test_clients_with_cookies_alone_still_let_the_pool_see_that_a_panic_is_over() -> None:
    """Nobody asks the policy then, so the tier is not looked at by its pick."""
    pool = sticking(A, B, BackendSpec("c", 1), health_check=HealthCheckSpec(rise=1, fall=1))
    for backend in pool.backends[1:]:
        pool.probed(backend, False, 0.0, answers=True)
    assert "c" == taken(pool, cookied(pool, 2)).host
    pool.probed(pool.backends[1], True, 0.0)
    assert "c" != taken(pool, cookied(pool, 2)).host


# Policies of somebody else's.


def test_the_faults_of_a_foreign_policy_are_counted_over_the_tiers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Raises(Policy):
        def pick(self, request: Pick) -> Backend | None:
            raise LookupError

    monkeypatch.setitem(register._REGISTER, "mine:pick", Registered(Raises, "", (), False))
    specs = (BackendSpec("a", 80), BackendSpec("b", 80, tier=1))
    spec = PoolSpec("web", specs, PolicySpec("mine:pick"))
    said: list[str] = []
    pool = Pool(spec, a_table(Pool.rows_needed(spec)), 0, Outside(lambda: 0.0, said.append))
    taken(pool)
    pool.backends[0].set_draining(True)
    taken(pool)
    assert (3, 0) == (pool.policy_faults(), a_pool().policy_faults())


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
    assert [State.NEW, State.DOWN] == [pool.health_of(backend) for backend in pool.backends]


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
    assert not pool.checked
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


LIMIT = 3
LIFE = (
    BackendSpec("a", 1, 2, LIMIT),
    BackendSpec("b", 1, 1, LIMIT),
    BackendSpec("c", 1, 1, LIMIT, tier=1),
    BackendSpec("d", 1, 1, LIMIT, backup=True),
    BackendSpec("e", 1, 3, LIMIT, backup=True),
)
AT = st.integers(0, len(LIFE) - 1)


class Life(RuleBasedStateMachine):
    """A pool under any sequence of requests, checks and orders, against a model that keeps lists.

    The model knows the rules: members, panic, tiers in their order, cookies. What it takes from the pool is only
    the state of health and the weights, which `hear` and `weigh` hold against what was said.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pool = sticking(
            *LIFE, health_check=HealthCheckSpec(rise=2, fall=2), slow_start=SlowStartSpec(20.0), panic_threshold=0.6
        )
        self.backends: list[Backend] = list(self.pool.backends)
        self.flying: list[Backend] = []
        self.weights = [spec.weight for spec in LIFE]
        self.draining = [False] * len(LIFE)
        self.begun = 0
        self.failed = 0
        self.now = 100.0

    def status(self, backend: Backend) -> int:
        return backend.health()[0]

    def members(self, tier: int) -> list[Backend]:
        of_tier = [at for at, backend in enumerate(self.backends) if backend.tier == tier]
        return [self.backends[at] for at in of_tier if self.weights[at] > 0 and not self.draining[at]]

    def takers(self, tier: int) -> list[Backend]:
        """Who of a tier would take a request if he were not full."""
        members = self.members(tier)
        healthy = [one for one in members if self.status(one) == UP]
        behind = [one for later in range(tier + 1, 3) for one in self.members(later) if self.status(one) == UP]
        panic = len(healthy) < 0.6 * len(members) and (bool(healthy) or not behind)
        return [one for one in members if self.status(one) == UP or (panic and self.status(one) == DOWN)]

    @rule(tried=st.lists(AT, unique=True, max_size=5), cookie=st.none() | AT)
    def acquire(self, tried: list[int], cookie: int | None) -> None:
        were_there = [self.backends[at] for at in tried]
        request: Pick = Pick(no_chance) if cookie is None else cookied(self.pool, cookie)
        request.tried, request.now = were_there, self.now
        free = [
            [one for one in self.takers(tier) if self.flying.count(one) < LIMIT and one not in were_there]
            for tier in range(3)
        ]
        lawful = next((ones for ones in free if ones), [])
        kept = None if cookie is None else self.backends[cookie]
        if kept is not None and kept in free[kept.tier]:
            lawful = [kept]
        assert self.pool.has_other(request) == bool(lawful)
        found = self.pool.acquire(request)
        if isinstance(found, Backend):
            assert found in lawful
            self.flying.append(found)
            self.begun += 1
        else:
            assert not lawful
            full = any(one not in were_there for tier in range(3) for one in self.takers(tier))
            assert (FULL if full else NONE_UP) is found.kind

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), failed=st.booleans())
    def release(self, data: st.DataObject, failed: bool) -> None:
        backend = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        self.failed += failed
        self.pool.release(PICK, backend, failed, self.now)

    @rule(
        at=AT,
        event=st.sampled_from(["passed", "passed", "wrong", "failed", "connect_failed", "answered", "mark_down"]),
    )
    def hear(self, at: int, event: str) -> None:
        backend = self.backends[at]
        before, was_healthy = self.status(backend), backend.healthy
        if event in ("passed", "wrong", "failed"):
            changed = self.pool.probed(backend, event == "passed", self.now, event == "wrong")
        else:
            changed = getattr(self.pool, event)(backend, self.now)
        assert changed == (was_healthy != backend.healthy)
        if event in ("answered", "passed"):
            assert backend.healthy >= was_healthy
        else:
            assert backend.healthy <= was_healthy
        if not backend.healthy:
            expected = {"passed": DOWN, "wrong": DOWN, "answered": before}.get(event, SILENT)
            assert expected == self.status(backend)

    @rule(at=AT, draining=st.booleans())
    def drain(self, at: int, draining: bool) -> None:
        self.backends[at].set_draining(draining)
        self.draining[at] = draining

    @rule(at=AT, weight=st.integers(0, 4))
    def weigh(self, at: int, weight: int) -> None:
        self.pool.set_weight(self.backends[at], weight)
        self.weights[at] = weight

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def what_is_counted_is_what_flies(self) -> None:
        for at, backend in enumerate(self.backends):
            assert self.flying.count(backend) == backend.in_flight <= LIMIT
            believed = self.pool.health_of(backend) in HEALTHY
            assert believed == backend.healthy == (self.status(backend) == UP)
            assert self.weights[at] == backend.weight
            assert (0 < backend.share()) == (0 < self.weights[at])
            assert backend.share() <= 1000 * self.weights[at]
        for rank, tier in enumerate(self.pool.tiers):
            of_tier = [backend for backend in self.flying if backend.tier == rank]
            assert len(of_tier) == self.pool.table.total(tier.row, IN_FLIGHT)

    def teardown(self) -> None:
        for backend in self.flying:
            self.pool.release(PICK, backend, False, self.now)
        assert 0 == sum(backend.in_flight for backend in self.backends)
        assert self.begun == sum(backend.requests for backend in self.backends)
        assert self.failed == sum(backend.failures for backend in self.backends)
        assert [0, 0, 0] == [self.pool.table.total(tier.row, IN_FLIGHT) for tier in self.pool.tiers]


TestLife = Life.TestCase

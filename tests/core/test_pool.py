"""core/pool.py: acquire, release, refuse, believe and doubt."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from steelyard import errors
from steelyard.control.ledger import Ledger, Plan
from steelyard.core import policy as register
from steelyard.core import table as cells
from steelyard.core.backend import Backend
from steelyard.core.breaker import Breaker, ends_at_s
from steelyard.core.draft import Draft
from steelyard.core.guard import Outside
from steelyard.core.health import HEALTHY, HealthMachine, State
from steelyard.core.policy import UNKNOWN_S, Pick, Policy, Registered
from steelyard.core.pool import Pool, Refusal
from steelyard.core.spec import (
    TASK,
    BackendSpec,
    BreakerSpec,
    EjectionSpec,
    HealthCheckSpec,
    PolicySpec,
    PoolSpec,
    PoolTimeouts,
    RetrySpec,
    SlowStartSpec,
    Spec,
    StickySpec,
)
from steelyard.core.stable import stable_hash
from steelyard.core.table import (
    CIRCUIT_BITS,
    DOWN,
    HALF_OPEN,
    IN_FLIGHT,
    OPEN,
    OUTCOMES,
    PENALTIES,
    POOL_CIRCUIT,
    REQUESTS,
    SILENT,
    STOPS,
    TRYING,
    UNJUDGED,
    UP,
    Table,
)
from steelyard.errors import BREAKER_OPEN, FULL, NONE_UP
from tests.fakes_core import Ask, a_pool, a_table, no_chance, scripted, seeded

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
    of_tasks = replace(a_pool(retry=empty, check=None).spec, protocols=(TASK,))
    assert Pool(of_tasks, a_table(Pool.rows_needed(of_tasks)), 0).bears_retry(kind, 1.0)


@pytest.mark.parametrize("check", [HealthCheckSpec(), None])
def test_any_other_failure_draws_on_the_budget(check: HealthCheckSpec | None) -> None:
    pool = a_pool(retry=RetrySpec(budget=0.2, budget_floor=2), check=check)
    assert [True, True, False] == [pool.bears_retry(errors.CLOSED_EARLY, 1.0) for _ in range(3)]


@pytest.mark.parametrize("check", [HealthCheckSpec(), None])
@pytest.mark.parametrize("kind", [errors.CONNECT_FAILED, errors.CLOSED_EARLY])
def test_a_retry_that_is_not_made_is_as_if_it_had_not_been_asked_for(
    check: HealthCheckSpec | None, kind: errors.Kind
) -> None:
    pool = a_pool(retry=RetrySpec(budget=0.2, budget_floor=2), check=check)
    assert pool.retry.withdraw(1.0)
    assert pool.bears_retry(kind, 1.0)
    pool.spared_retry(kind)
    assert [True, False] == [pool.retry.withdraw(1.0) for _ in range(2)]


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


@pytest.mark.parametrize("check", [None, HealthCheckSpec(rise=5)])
def test_a_backend_whose_process_has_ended_is_down_and_its_next_one_up_at_once(check: HealthCheckSpec | None) -> None:
    pool = a_pool(2, check=check)
    backend = pool.backends[0]
    assert [True, False] == [pool.ended(backend, 0.0) for _ in range(2)]
    assert {pool.backends[1]} == {taken(pool) for _ in range(4)}
    assert [True, False] == [pool.returned(backend, 1.0) for _ in range(2)]
    assert {*pool.backends} == {taken(pool) for _ in range(4)}


def test_what_a_process_has_done_is_not_held_against_the_next_one() -> None:
    pool = a_pool(2)
    backend = pool.backends[0]
    pool.table.set(backend.row, cells.EJECTED, 10**9)
    pool.table.set(backend.row, cells.CIRCUIT, cells.STOPS)
    pool.ended(backend, 0.0)
    pool.returned(backend, 0.0)
    assert (0, 0, True) == (backend.ejected_until_ms(), backend.circuit(), backend.available)


def test_a_check_of_a_pool_that_has_none_is_a_bug() -> None:
    pool = a_pool(1, check=None)
    with pytest.raises(AssertionError, match="pool web: a check that nobody asked for"):
        pool.probed(pool.backends[0], True, 0.0)


def two_workers(**settings: Any) -> tuple[Pool, Pool]:
    """The same pool as two workers see it."""
    spec = PoolSpec("web", (A, B), health_check=HealthCheckSpec(**settings))
    rows = Pool.rows_needed(spec)
    buffer = bytearray(Table.size_bytes(rows, 2))
    one, other = (Pool(spec, Table(buffer, rows, 2, worker), 0) for worker in range(2))
    return one, other


def test_what_two_workers_notice_of_a_backend_moves_one_machine() -> None:
    one, other = two_workers(rise=2, fall=3)
    one.probed(one.backends[0], True, 0.0)
    assert [False, False, True, False] == [
        pool.connect_failed(pool.backends[0], 1.0) for pool in (one, other, one, other)
    ]
    assert [State.DOWN, State.DOWN] == [pool.health_of(pool.backends[0]) for pool in (one, other)]
    assert [False, True] == [pool.probed(pool.backends[0], True, 2.0) for pool in (one, other)]
    assert [State.UP, State.UP] == [pool.health_of(pool.backends[0]) for pool in (one, other)]


def test_of_two_workers_that_notice_at_once_one_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both failures count: none is written over by one that had seen the backend before it."""
    one, other = two_workers(fall=3)
    one.probed(one.backends[0], True, 0.0)
    failed = HealthMachine.failed
    others = [other.backends[0]]

    def failed_meanwhile(machine: HealthMachine) -> bool:
        found = failed(machine)
        if others:
            assert not other.connect_failed(others.pop(), 1.0)
        return found

    monkeypatch.setattr(HealthMachine, "failed", failed_meanwhile)
    assert not one.connect_failed(one.backends[0], 1.0)
    assert one.connect_failed(one.backends[0], 1.0)
    assert State.DOWN is other.health_of(other.backends[0])


# Another configuration.


class Reloaded:
    """A pool whose configuration changes; its rows are given out as for any balancer."""

    def __init__(self, *backends: BackendSpec, policy: str = "round_robin", **settings: Any) -> None:
        spec = PoolSpec("web", backends, PolicySpec(policy), **settings)
        self.ledger = Ledger(a_table(100))
        plan = self.ledger.plan(Spec((), (spec,)))
        self.pool = Pool(spec, self.ledger.table, plan["web"], fresh=False)
        self.ledger.settle(Spec((), (spec,)), plan)

    def plan(self, spec: PoolSpec) -> tuple[Draft, Plan]:
        """Begin another configuration."""
        plan = self.ledger.plan(Spec((), (spec,)))
        return self.pool.draft(spec, plan["web"]), plan

    def switch(self, draft: Draft, plan: Plan) -> None:
        """Put it into force."""
        while draft.advance(1):
            pass
        self.pool.adopt(draft)
        self.ledger.settle(Spec((), (draft.spec,)), plan)

    def reload(self, *backends: BackendSpec, **settings: Any) -> None:
        """The same pool with these backends, and what else is another one."""
        self.switch(*self.plan(replace(self.pool.spec, backends=backends, **settings)))

    def total(self, cell: int = IN_FLIGHT) -> int:
        """Over all rows that were ever used."""
        return sum(self.ledger.table.total(row, cell) for row in range(self.ledger.used))


def test_a_backend_that_stays_keeps_what_is_known_of_it() -> None:
    made = Reloaded(A, B, health_check=HealthCheckSpec(fall=2))
    pool = made.pool
    a, b = pool.backends
    assert "ab" == hosts(pool, 2)
    pool.probed(b, True, 0.0)
    pool.connect_failed(b, 0.0)
    made.reload(B, BackendSpec("c", 1), BackendSpec("a", 1, 1, 5))
    assert ["b", "c", "a"] == [backend.host for backend in pool.backends]
    assert (a, b) == (pool.backends[2], pool.backends[0])
    assert (1, 1, 5, 5) == (a.in_flight, b.in_flight, a.max_connections, a.spec.max_connections)
    assert (State.FALLING, State.NEW) == (pool.health_of(b), pool.health_of(a))
    assert "abcabc" == hosts(pool, 6)


@pytest.mark.parametrize("policy", ["round_robin", "least_connections", "peak_ewma", "prequal", "maglev"])
def test_what_is_in_flight_at_a_backend_that_has_left_ends_as_ever(policy: str) -> None:
    made = Reloaded(A, B, policy=policy)
    pool = made.pool
    request = Pick(Random(1).randrange)
    flying = [taken(pool, request) for _ in range(4)]
    gone = pool.backends[0]
    left = flying.count(gone)
    made.reload(B)
    assert left == gone.in_flight
    assert {"b"} == {taken(pool, request).host for _ in range(4)}
    for backend in flying:
        pool.release(request, backend, False, 1.0, 0.1)
    assert (0, 4) == (gone.in_flight, pool.table.total(pool.tiers[0].row, IN_FLIGHT))


def test_what_is_in_flight_in_a_tier_that_has_gone_ends_as_ever(spies: list[Spy]) -> None:
    made = Reloaded(A, BACKUP, policy="spy")
    pool = made.pool
    flying = [taken(pool), taken(pool, Pick(no_chance, tried=[pool.backends[0]]))]
    made.reload(BackendSpec("e", 1))
    assert 4 == made.total()
    for backend in flying:
        pool.release(PICK, backend, True, 1.0)
    assert 0 == made.total()
    assert [["a"], []] == [[host for host, *_ in spy.told] for spy in spies]


def test_a_backend_that_moves_to_another_tier_takes_its_numbers_along() -> None:
    made = Reloaded(A, B, health_check=HealthCheckSpec(rise=1, fall=1))
    pool = made.pool
    was = taken(pool)
    pool.probed(pool.backends[1], False, 0.0)
    made.reload(A, B, LATER)
    made.reload(BackendSpec("a", 1, backup=True), B, LATER)
    moved = pool.backends[0]
    assert moved is not was
    assert ("a", 1, 2) == (moved.host, moved.in_flight, moved.tier)
    assert [1, 0, 0] == [pool.table.total(tier.row, IN_FLIGHT) for tier in pool.tiers]
    assert "c" == hosts(pool, 1)
    pool.release(PICK, was, False, 1.0)
    assert (0, 1) == (moved.in_flight, made.ledger.table.total(pool.tiers[1].row, IN_FLIGHT))


@pytest.mark.parametrize(
    "policy", ["round_robin", "least_connections", "random", "peak_ewma", "maglev", "consistent_hash"]
)
def test_a_backend_that_was_tried_before_a_reload_moved_it_is_not_another_one(policy: str) -> None:
    made = Reloaded(A, B, policy=policy)
    pool = made.pool
    request = Pick(seeded(1), 7)
    first = taken(pool, request)
    request.tried = [first]
    made.reload(*(replace(one.spec, tier=1) for one in pool.backends))
    made.reload(*(replace(one.spec, tier=0 if one is pool.backends[0] else 2) for one in pool.backends))
    assert first not in pool.backends
    other = taken(pool, request)
    assert other.host != first.host
    request.tried.append(other)
    assert not pool.has_other(request)
    refused(pool, request)
    for backend in (first, other):
        pool.release(request, backend, False, 1.0)


def test_what_is_noticed_of_a_backend_in_its_old_tier_is_news_in_the_new_one() -> None:
    """A request that was in flight when it moved cannot connect: whoever looks to the tier must see that it is down."""
    made = Reloaded(A, B, health_check=HealthCheckSpec(fall=1))
    pool = made.pool
    was = taken(pool)
    made.reload(BackendSpec("a", 1, backup=True), B)
    assert pool.tiers[1].has_healthy(0.0)
    assert pool.connect_failed(was, 0.0)
    assert not pool.tiers[1].has_healthy(0.0)


def test_a_draft_changes_nothing_until_it_is_adopted() -> None:
    made = Reloaded(A, B)
    draft, plan = made.plan(replace(made.pool.spec, backends=(LATER,), policy=PolicySpec("random")))
    while draft.advance(5):
        pass
    assert "abab" == hosts(made.pool, 4)
    made.ledger.drop(plan)
    assert "abab" == hosts(made.pool, 4)


def test_a_policy_that_stays_goes_on_and_another_one_begins(spies: list[Spy]) -> None:
    made = Reloaded(A, B)
    assert "a" == hosts(made.pool, 1)
    made.reload(A, B, panic_threshold=0.0)
    assert "b" == hosts(made.pool, 1)
    for backend in made.pool.backends:
        made.pool.release(PICK, backend, False, 0.0)
    made.reload(A, B, policy=PolicySpec("spy", "path"))
    assert "aa" == "".join(taken(made.pool, Ask({})).host for _ in range(2))
    assert ("path", ["a", "a"]) == (made.pool.key, spies[0].flying)


def test_a_pool_may_lose_all_its_backends_and_get_others() -> None:
    made = Reloaded(A, BACKUP, policy="least_connections", sticky=StickySpec("lb", "s"))
    found = taken(made.pool)
    made.reload(sticky=None)
    assert NONE_UP is refused(made.pool).kind
    assert not made.pool.has_other(Pick(no_chance))
    made.pool.release(PICK, found, False, 0.0)
    made.reload(B)
    assert "b" == hosts(made.pool, 1)
    assert 2 == made.total()  # the one that is in flight, at its backend and in its tier


def test_the_budget_for_retries_is_another_one_only_where_it_is_configured_so() -> None:
    made = Reloaded(A)
    budget = made.pool.retry
    made.reload(A, B)
    assert budget is made.pool.retry
    made.reload(A, B, retry=RetrySpec(budget=None))
    assert (None, False) == (made.pool.retry.share, budget is made.pool.retry)


def test_checks_may_go_and_come_and_what_they_found_is_forgotten_with_them() -> None:
    made = Reloaded(A, B, health_check=HealthCheckSpec(interval_s=5.0))
    pool = made.pool
    for backend in pool.backends:
        pool.probed(backend, False, 0.0)
    assert 5 == refused(pool).retry_after_s
    made.reload(A, B, health_check=None)
    assert not pool.checked
    assert "ab" == hosts(pool, 2)
    assert not pool.connect_failed(pool.backends[0], 0.0)
    made.reload(A, B, health_check=HealthCheckSpec(fall=1))
    assert [State.NEW, State.NEW] == [pool.health_of(backend) for backend in pool.backends]
    assert pool.connect_failed(pool.backends[0], 0.0)


def test_another_rise_and_fall_count_from_where_a_backend_stands() -> None:
    made = Reloaded(A, health_check=HealthCheckSpec(fall=5))
    pool = made.pool
    pool.probed(pool.backends[0], True, 0.0)
    assert [False] * 3 == [pool.connect_failed(pool.backends[0], 0.0) for _ in range(3)]
    made.reload(A, health_check=HealthCheckSpec(fall=4))
    assert pool.connect_failed(pool.backends[0], 0.0)


def test_a_cookie_follows_its_backend_to_another_tier_and_is_stale_without_it() -> None:
    made = Reloaded(A, B, sticky=StickySpec("lb", "s"))
    pool = made.pool
    to_a, to_b = cookied(pool, 0), cookied(pool, 1)
    made.reload(A, BackendSpec("b", 1, backup=True))
    assert (1, "b") == (pool.backends[1].tier, taken(pool, to_b).host)
    made.reload(B)
    assert "b" == taken(pool, to_a).host


def test_a_tier_that_comes_to_stand_behind_another_is_what_that_one_spares_for() -> None:
    made = Reloaded(A, B, health_check=HealthCheckSpec())
    pool = made.pool
    for backend in pool.backends:
        pool.probed(backend, False, 0.0, answers=True)
    assert "ab" == hosts(pool, 2)
    made.reload(A, B, BACKUP)
    assert "dd" == hosts(pool, 2)
    made.reload(A, B)
    assert pool.tiers[0].spare is None
    assert "ab" == hosts(pool, 2)


# Ejection and circuit breakers.

EAGER = EjectionSpec(errors=2, penalty_s=10.0, max_ejected=1.0)
C = BackendSpec("c", 1)


def zero(n: int) -> int:
    """Draws nothing but the least: no jitter."""
    return 0


class Failing:
    """A pool of a, b and c as so many workers see it, with a diary of what it told. now: turned by hand."""

    def __init__(self, workers: int = 1, backends: Sequence[BackendSpec] = (A, B, C), **settings: Any) -> None:
        settings = {"ejection": None, "health_check": None, **settings}
        spec = PoolSpec("web", tuple(backends), **settings)
        rows = Pool.rows_needed(spec)
        self.buffer = bytearray(Table.size_bytes(rows, workers))
        self.pools = [Pool(spec, Table(self.buffer, rows, workers, worker), 0) for worker in range(workers)]
        self.pool = self.pools[0]
        self.told: list[str] = []
        for pool in self.pools:
            pool.tell = lambda backend, what: self.told.append(f"{'pool' if backend is None else backend.host} {what}")
        self.now = 100.0

    def ask(self, worker: int = 0, tried: list[Backend] | None = None) -> tuple[Pick, Backend]:
        request = Pick(zero, now=self.now, tried=tried)
        return request, taken(self.pools[worker], request)

    def refused(self, worker: int = 0) -> Refusal:
        return refused(self.pools[worker], Pick(zero, now=self.now))

    def end(self, asked: tuple[Pick, Backend], ill: bool = False, worker: int = 0, status: int = 0) -> None:
        """It was answered, or failed without an answer."""
        self.pools[worker].release(*asked, ill, self.now, UNKNOWN_S if ill else 0.01, status)

    def leave(self, asked: tuple[Pick, Backend], worker: int = 0) -> None:
        """Its client has gone."""
        self.pools[worker].release(*asked, False, self.now)

    def serve(self, bad: str, requests: int, worker: int = 0) -> str:
        """Where so many requests go, of which those to `bad` fail."""
        went = ""
        for _ in range(requests):
            asked = self.ask(worker)
            went += asked[1].host
            self.end(asked, asked[1].host in bad, worker)
        return went


def test_who_fails_in_a_row_is_left_alone_for_its_penalty_and_then_served_again() -> None:
    made = Failing(ejection=EAGER)
    assert "abcabc" + "acacac" == made.serve("b", 12)
    assert ["b ejected for 10 s: 2 errors in a row"] == made.told
    made.now = 109.9
    assert "acac" == made.serve("", 4)
    made.now = 110.0
    assert "abcabc" == made.serve("", 6)
    assert ["b ejected for 10 s: 2 errors in a row", "b back after ejection"] == made.told
    assert [0, 1, 0] == [backend.ejections for backend in made.pool.backends]


def test_an_ejection_is_seen_by_all_workers_and_so_is_its_end_which_one_of_them_tells() -> None:
    made = Failing(2, ejection=EAGER)
    made.serve("b", 6)
    assert "acac" == made.serve("", 4, worker=1)
    made.now = 110.0
    assert {"a", "b", "c"} == set(made.serve("", 6, worker=1)) == set(made.serve("", 6))
    assert 1 == made.told.count("b back after ejection")


def test_one_that_comes_back_is_not_held_to_what_was_before() -> None:
    """Also not by a worker that did not eject it, and had seen it fail."""
    made = Failing(2, ejection=EAGER)
    asked = [made.ask(1) for _ in range(3)]
    made.end(asked[1], True, 1)
    made.serve("b", 6)
    assert 1 == made.pool.backends[1].ejections
    made.serve("", 2, worker=1)
    made.now = 110.0
    assert "b" in made.serve("b", 3, worker=1)
    assert 1 == made.pool.backends[1].ejections


def test_one_that_comes_back_starts_slowly_where_that_is_configured() -> None:
    made = Failing(ejection=EAGER, slow_start=SlowStartSpec(20.0))
    made.serve("b", 6)
    made.now = 110.0
    assert 10 >= made.serve("", 200).count("b")
    made.now = 140.0
    assert 20 == made.serve("", 60).count("b")


def test_one_that_checks_have_taken_out_as_well_does_not_come_back_by_time() -> None:
    made = Failing(ejection=EAGER, slow_start=SlowStartSpec(20.0), health_check=HealthCheckSpec(rise=1, fall=1))
    made.serve("b", 6)
    made.pool.probed(made.pool.backends[1], False, 105.0)
    made.now = 120.0
    assert "b" not in made.serve("", 6)
    assert 0.0 == made.pool.backends[1].up_since_s()


def test_the_last_one_is_kept_however_it_fails() -> None:
    made = Failing(ejection=EAGER, panic_threshold=0.0)
    made.serve("abc", 60)
    assert 2 == sum(backend.ejected_until_ms() > 0 for backend in made.pool.backends)
    assert "".join(sorted(set(made.serve("", 9)))) in "abc"


def test_in_panic_who_was_ejected_is_asked_and_serves_at_once_when_all_is_well_again() -> None:
    made = Failing(ejection=EAGER, health_check=HealthCheckSpec())
    made.serve("abc", 60)
    assert 2 == sum(backend.ejected_until_ms() > 0 for backend in made.pool.backends)
    assert {"a", "b", "c"} == set(made.serve("", 9))
    made.pool.backends[0].set_status(SILENT, made.now)
    assert {"b", "c"} == set(made.serve("", 9))


def test_a_client_that_left_says_nothing_of_its_backend() -> None:
    made = Failing(ejection=EAGER, circuit_breaker=BreakerSpec(2, None))
    for leaves in (False, True, True, False):
        asked = [made.ask() for _ in range(3)]
        if leaves:
            made.leave(asked[1])
        else:
            made.end(asked[1], True)
        made.end(asked[0])
        made.end(asked[2])
    assert ["b circuit open for 30 s: 2 failures in a row"] == made.told
    row = made.pool.backends[1].row
    assert [4, 0, 2] == [made.pool.table.total(row, cell) for cell in (REQUESTS, IN_FLIGHT, UNJUDGED)]


def test_gateway_errors_are_told_by_the_status() -> None:
    made = Failing(ejection=EjectionSpec(errors=None, gateway_errors=2))
    for status in (500, 500, 503, 503):
        asked = [made.ask() for _ in range(3)]
        for at, one in enumerate(asked):
            made.end(one, at == 1, status=status if at == 1 else 200)
    assert ["b ejected for 30 s: 2 gateway errors in a row"] == made.told


def test_a_backend_that_asks_to_be_left_alone_is() -> None:
    made = Failing(ejection=EAGER)
    a, b, c = made.pool.backends
    assert made.pool.hold(b, 120.0, made.now)
    assert "acac" == made.serve("", 4)
    assert [True, True, False] == [made.pool.hold(one, 130.0, made.now) for one in (b, a, c)]
    assert ["b left alone for 20 s: it has asked for that", "a left alone for 30 s: it has asked for that"] == made.told
    made.now = 130.0
    assert {"a", "b", "c"} == set(made.serve("", 3))
    assert 0 == b.ejections
    assert not Failing().pool.hold(b, 120.0, 100.0)


def test_with_ejection_off_nobody_is_ejected() -> None:
    assert "abc" * 20 == Failing().serve("b", 60)


def test_ejection_that_is_turned_off_is_lifted() -> None:
    made = Reloaded(A, B, C, ejection=EAGER, health_check=None)
    told: list[str] = []
    made.pool.tell = lambda backend, what: told.append(what)
    for _ in range(6):
        request = Pick(zero, now=100.0)
        found = taken(made.pool, request)
        made.pool.release(request, found, found.host == "b", 100.0, 0.01)
    assert not made.pool.backends[1].available
    made.reload(A, B, C, ejection=replace(EAGER, errors=3))
    assert not made.pool.backends[1].available
    made.pool.backends[0].table.set_mine(made.pool.backends[0].row, OUTCOMES, 1)
    made.reload(A, B, C, ejection=None)
    assert {"a", "b", "c"} == set(hosts(made.pool, 3, now=101.0))
    assert [0, 0] == [made.total(OUTCOMES), made.ledger.table.get(made.pool.backends[1].row, PENALTIES)]
    assert ["ejected for 10 s: 2 errors in a row", "back: nobody is ejected any more"] == told


def test_another_limit_counts_from_the_next_error_on() -> None:
    made = Reloaded(A, B, C, ejection=replace(EAGER, errors=20), health_check=None)
    bad = made.pool.backends[0]
    for number in range(7):
        if number == 6:
            made.reload(A, B, C, ejection=replace(EAGER, errors=7))
        bad.begin()
        made.pool.table.add_mine(bad.home, IN_FLIGHT, 1)
        made.pool.release(Pick(zero), bad, True, 100.0)
    assert bad.ejected_until_ms() > 0


TRIPPY = BreakerSpec(2, None, open_for_s=10.0)
QUICK = PoolTimeouts(connect_s=1.0, response_s=1.0)  # so that a lost trial is given up after open_for


def test_an_open_circuit_keeps_requests_away_until_one_of_them_may_try() -> None:
    made = Failing(circuit_breaker=TRIPPY)
    assert "abcabc" + "acac" == made.serve("b", 10)
    made.now = 110.0
    asked = [made.ask() for _ in range(6)]
    assert 1 == [backend.host for _, backend in asked].count("b")
    for one in asked:
        made.end(one)
    assert {"a", "b", "c"} == set(made.serve("", 3))
    assert [
        "b circuit open for 10 s: 2 failures in a row",
        "b circuit half-open",
        "b circuit closed",
    ] == made.told
    assert 1 == made.pool.backends[1].trips


def test_a_trial_that_fails_opens_the_circuit_for_all_workers() -> None:
    made = Failing(2, circuit_breaker=TRIPPY)
    made.serve("b", 6)
    made.now = 110.0
    assert 1 == made.serve("b", 9, worker=1).count("b")
    assert 0 == made.serve("b", 9).count("b")
    made.now = 120.0
    assert 1 == made.serve("b", 9).count("b")


def test_a_client_that_leaves_a_trial_lets_another_one_try() -> None:
    made = Failing(circuit_breaker=TRIPPY)
    made.serve("b", 6)
    made.now = 110.0
    for expected in (1, 1):
        asked = [made.ask() for _ in range(3)]
        assert expected == [backend.host for _, backend in asked].count("b")
        for one in asked:
            made.leave(one)


def test_a_trial_that_is_lost_with_its_worker_is_tried_again_after_a_while() -> None:
    made = Failing(2, circuit_breaker=TRIPPY, timeouts=QUICK)
    made.serve("b", 6)
    made.now = 110.0
    lost = [made.ask(1) for _ in range(3)]
    assert "b" in [backend.host for _, backend in lost]
    assert "b" not in made.serve("", 6)
    made.now = 120.0
    assert "b" in made.serve("", 6)
    assert "b circuit half-open: the trial was lost" in made.told
    assert "b circuit closed" == made.told[-1]


@pytest.mark.parametrize(("settings", "longest_s"), [
    ({}, 69.0),
    ({"retry": RetrySpec(tries=1, same_backend=1), "timeouts": PoolTimeouts(2.0, 20.0)}, 24.0),
    ({"retry": RetrySpec(tries=2, try_timeout_s=8.0)}, 16.0),
])  # fmt: skip
def test_a_trial_is_not_lost_as_long_as_it_may_be_answered(settings: dict[str, Any], longest_s: float) -> None:
    """A backend that is slower than the time that its circuit is open has one trial at a time all the same."""
    made = Failing(circuit_breaker=TRIPPY, backends=(A,), **settings)
    made.serve("a", 2)
    made.now = 110.0
    trial = made.ask()
    made.now = 110.0 + longest_s - 0.5
    assert (BREAKER_OPEN, 1) == (made.refused().kind, made.refused().retry_after_s)
    made.now = 111.0
    assert (BREAKER_OPEN, 10) == (made.refused().kind, made.refused().retry_after_s)  # not until it is given up
    made.now = 110.0 + longest_s - 0.5
    made.end(trial)
    assert "a circuit closed" == made.told[-1]


def test_a_request_that_is_at_two_backends_decides_for_each_by_itself() -> None:
    made = Failing(circuit_breaker=TRIPPY)
    made.serve("ab", 10)
    made.pool.backends[2].set_healthy(False)
    made.now = 110.0
    request, first = made.ask()
    request.tried = [first]
    second = taken(made.pool, request)
    assert {"a", "b"} == {first.host, second.host}
    assert request.trials is not None
    assert 2 == len(request.trials)
    made.end((request, second))
    assert 1 == len(request.trials)
    made.end((request, first), True)
    assert request.trials is None
    assert [f"{second.host} circuit closed", f"{first.host} circuit open for 10 s: the trial failed"] == made.told[-2:]


def test_with_all_circuits_open_the_refusal_says_so_and_when_one_will_be_tried() -> None:
    made = Failing(circuit_breaker=TRIPPY)
    made.serve("ab", 10)
    made.now = 103.0
    made.serve("c", 2)
    refusal = made.refused()
    assert (BREAKER_OPEN, 7) == (refusal.kind, refusal.retry_after_s)
    made.now = 110.0
    asked = [made.ask(), made.ask()]
    assert {"a", "b"} == {backend.host for _, backend in asked}
    assert (BREAKER_OPEN, 3) == (made.refused().kind, made.refused().retry_after_s)
    made.pool.backends[2].set_draining(True)
    assert (BREAKER_OPEN, 10) == (made.refused().kind, made.refused().retry_after_s)


def test_a_circuit_that_is_open_is_no_reason_where_checks_have_taken_the_backend_out() -> None:
    made = Failing(circuit_breaker=TRIPPY, health_check=HealthCheckSpec(), backends=(A,))
    made.serve("a", 2)
    assert BREAKER_OPEN is made.refused().kind
    made.pool.mark_down(made.pool.backends[0], made.now)
    assert NONE_UP is made.refused().kind


def test_panic_does_not_close_a_circuit() -> None:
    made = Failing(circuit_breaker=TRIPPY, health_check=HealthCheckSpec(rise=1, fall=1))
    made.serve("b", 6)
    for backend in made.pool.backends:
        made.pool.probed(backend, False, made.now, answers=True)
    assert "acac" == made.serve("", 4)
    made.pool.backends[0].set_healthy(False)
    made.pool.backends[2].set_healthy(False)
    assert BREAKER_OPEN is made.refused().kind


def test_a_cookie_does_not_lead_to_an_open_circuit_and_may_bring_the_trial() -> None:
    made = Failing(circuit_breaker=TRIPPY, sticky=StickySpec("lb", "a secret"), backends=(A, B))
    for _ in range(2):
        ask = cookied(made.pool, 1)
        ask.now = made.now
        made.end((ask, taken(made.pool, ask)), True)
    ask = cookied(made.pool, 1)
    ask.now = 105.0
    assert "a" == taken(made.pool, ask).host
    both = [cookied(made.pool, 1) for _ in range(2)]
    for ask in both:
        ask.now = 110.0
    assert ["b", "a"] == [taken(made.pool, ask).host for ask in both]


@pytest.mark.interpreted
def test_who_loses_the_trial_to_another_worker_is_sent_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Failing(2, circuit_breaker=TRIPPY, backends=(A, B))
    made.serve("a", 4)
    made.now = 110.0
    admit = Breaker.admit

    def after_another(breaker: Breaker, row: int, now: float) -> int:
        monkeypatch.undo()
        assert "a" in [made.ask(1)[1].host for _ in range(2)]
        return admit(breaker, row, now)

    monkeypatch.setattr(Breaker, "admit", after_another)
    assert ["b", "b"] == [made.ask()[1].host for _ in range(2)]


@pytest.mark.interpreted
def test_a_policy_that_insists_on_a_circuit_that_stops_is_not_asked_for_ever(spies: list[Spy]) -> None:
    made = Failing(circuit_breaker=TRIPPY, backends=(A, B), policy=PolicySpec("spy"))
    made.serve("a", 4)
    spies[0].pick = lambda request: made.pool.backends[0]  # type: ignore[method-assign]
    assert FULL is made.refused().kind


def test_a_breaker_that_is_taken_out_closes_its_circuits_and_forgets_their_trials() -> None:
    made = Reloaded(A, B, circuit_breaker=TRIPPY, pool_circuit_breaker=BreakerSpec(3, None), health_check=None)
    told: list[str] = []
    made.pool.tell = lambda backend, what: told.append(f"{'pool' if backend is None else backend.host} {what}")
    for _ in range(3):
        request = Pick(zero, now=100.0)
        made.pool.release(request, taken(made.pool, request), True, 100.0)
    assert BREAKER_OPEN is refused(made.pool, Pick(zero, now=101.0)).kind
    trial = Pick(zero, now=130.0)
    made.pool.backends[1].set_draining(True)
    flying = taken(made.pool, trial)
    made.pool.backends[1].set_draining(False)
    assert 2 == len(trial.trials or []), "the pool's and the backend's"
    made.reload(A, B, circuit_breaker=None, pool_circuit_breaker=None)
    made.pool.release(trial, flying, True, 131.0)
    assert 0 == made.pool.circuit() == sum(backend.circuit() for backend in made.pool.backends)
    assert {"a", "b"} == set(hosts(made.pool, 2, now=131.0))
    assert told[-2:] == [
        "a circuit closed: there is no breaker any more",
        "pool circuit closed: there is no breaker any more",
    ]
    assert trial.trials is None
    made.reload(A, B, max_idle=3)
    assert 6 == len(told), "what is over is told once"


def test_failures_that_a_breaker_had_seen_are_forgotten_with_it() -> None:
    made = Reloaded(A, circuit_breaker=TRIPPY, health_check=None)
    for breaker in (None, TRIPPY):
        request = Pick(zero, now=100.0)
        made.pool.release(request, taken(made.pool, request), True, 100.0)
        made.reload(A, circuit_breaker=breaker)
    assert 0 == made.pool.backends[0].circuit()


# The breaker of a whole pool.


def test_a_pool_whose_circuit_is_open_refuses_and_says_when_it_tries_again() -> None:
    made = Failing(2, pool_circuit_breaker=TRIPPY)
    made.serve("ab", 2)
    for worker in range(2):
        assert (BREAKER_OPEN, 10) == (made.refused(worker).kind, made.refused(worker).retry_after_s)
    assert not made.pool.has_other(Pick(zero, now=made.now))
    made.now = 109.5
    assert 1 == made.refused().retry_after_s
    made.now = 110.0
    assert made.pool.has_other(Pick(zero, now=made.now))
    asked = made.ask(1)
    assert BREAKER_OPEN is made.refused().kind
    made.end(asked, worker=1)
    assert "abc" == "".join(sorted(made.serve("", 3)))
    assert [
        "pool circuit open for 10 s: 2 failures in a row",
        "pool circuit half-open",
        "pool circuit closed",
    ] == made.told


def test_the_last_one_of_a_tier_is_not_ejected_for_the_sake_of_a_backup() -> None:
    """Backups are for servers that are down: one client's page that always fails must not bring them in."""
    made = Failing(backends=(A, BackendSpec("b", 1, backup=True)), ejection=EjectionSpec())
    for _ in range(20):
        made.end(made.ask(), True)
    assert [] == made.told
    assert "a" == made.ask()[1].host


@pytest.mark.parametrize(("failed", "said"), [(True, "open for 10 s: the trial failed"), (False, "closed")])
def test_the_trial_of_a_pool_is_tried_elsewhere_like_any_request_and_the_last_try_decides(
    failed: bool, said: str
) -> None:
    made = Failing(pool_circuit_breaker=TRIPPY)
    made.serve("ab", 2)
    made.now = 110.0
    request, first = made.ask()
    request.tried = [first]
    assert made.pool.has_other(request)
    second = taken(made.pool, request)
    made.pool.release(request, first, True, made.now, final=False)
    assert BREAKER_OPEN is made.refused().kind
    made.end((request, second), failed)
    assert f"pool circuit {said}" == made.told[-1]


def test_a_request_that_is_saved_by_a_retry_is_no_failure_of_the_pool() -> None:
    made = Failing(pool_circuit_breaker=TRIPPY)
    for _ in range(9):
        request, first = made.ask()
        request.tried = [first]
        second = taken(made.pool, request)
        made.pool.release(request, first, True, made.now, final=False)
        made.end((request, second))
    assert [] == [one for one in made.told if "pool" in one]


def test_the_head_of_an_answer_decides_a_trial_whatever_the_client_does_then() -> None:
    made = Failing(
        circuit_breaker=replace(TRIPPY, consecutive_failures=1), pool_circuit_breaker=TRIPPY, backends=(A, B)
    )
    made.serve("ab", 2)
    made.now = 110.0
    request, backend = made.ask()
    made.pool.answered_head(request, backend, False, 0.1, made.now)
    assert request.trials is None
    assert 0 == made.pool.circuit() == backend.circuit()
    made.pool.release(request, backend, False, made.now)
    assert 0 == made.pool.circuit() == backend.circuit()


def test_a_bad_head_decides_for_its_backend_and_the_last_try_for_the_pool() -> None:
    made = Failing(
        circuit_breaker=replace(TRIPPY, consecutive_failures=1), pool_circuit_breaker=TRIPPY, backends=(A, B)
    )
    made.serve("ab", 2)
    made.now = 110.0
    request, backend = made.ask()
    made.pool.answered_head(request, backend, True, 0.1, made.now)
    assert OPEN == backend.circuit() & CIRCUIT_BITS
    assert TRYING == made.pool.circuit() & CIRCUIT_BITS
    made.pool.release(request, backend, True, made.now, 0.1, 500)
    assert OPEN == made.pool.circuit() & CIRCUIT_BITS


def test_a_request_that_is_not_whole_is_no_trial() -> None:
    made = Failing(circuit_breaker=TRIPPY)
    made.serve("a", 6)
    made.now = 110.0
    for _ in range(6):
        request = Pick(zero, now=made.now)
        request.whole = False
        found = taken(made.pool, request)
        assert "a" != found.host
        assert request.tried is None
        assert request.trials is None
        made.end((request, found))
    assert HALF_OPEN == made.pool.backends[0].circuit()
    for backend in made.pool.backends[1:]:
        backend.set_draining(True)
    request = Pick(zero, now=made.now)
    request.whole = False
    assert (BREAKER_OPEN, 1) == (refused(made.pool, request).kind, refused(made.pool, request).retry_after_s)


def test_who_has_no_breaker_is_full_whatever_another_worker_has_made_of_its_circuit() -> None:
    """A reload takes the breaker away, and one worker hears of it a moment before the other."""
    made = Failing(backends=[replace(A, max_connections=1)])
    (found,) = made.pool.backends
    found.table.set(found.row, cells.CIRCUIT, HALF_OPEN)
    made.ask()
    request = Pick(zero, now=made.now)
    request.whole = False
    assert FULL is refused(made.pool, request).kind


def test_a_request_that_is_not_whole_is_no_trial_of_a_pool_either() -> None:
    made = Failing(pool_circuit_breaker=TRIPPY)
    made.serve("ab", 2)
    made.now = 110.0
    request = Pick(zero, now=made.now)
    request.whole = False
    assert BREAKER_OPEN is refused(made.pool, request).kind
    assert "a" == made.ask()[1].host or made.told


def test_who_is_overtaken_again_and_again_is_left_alone() -> None:
    """A backend that never answers is hidden by hedges: to be overtaken counts as an error, though not as a failure."""
    made = Failing(circuit_breaker=replace(TRIPPY, consecutive_failures=5, error_rate=None))
    for _ in range(5):
        request, backend = Pick(zero, now=made.now), made.pool.backends[0]
        backend.begin()
        made.pool.table.add_mine(backend.home, IN_FLIGHT, 1)
        made.pool.release(request, backend, False, made.now, 0.3, -1, False)
    assert 0 == made.pool.backends[0].failures
    assert OPEN == made.pool.backends[0].circuit() & CIRCUIT_BITS


def test_a_trial_of_a_pool_that_finds_nobody_leaves_room_for_another() -> None:
    made = Failing(pool_circuit_breaker=TRIPPY, backends=(A,))
    made.serve("a", 2)
    made.now = 110.0
    made.pool.backends[0].set_draining(True)
    assert [NONE_UP, NONE_UP] == [made.refused().kind, made.refused().kind]
    made.pool.backends[0].set_draining(False)
    made.end(made.ask())
    assert "pool circuit closed" == made.told[-1]


def test_a_trial_of_a_pool_that_was_lost_is_tried_again_after_a_while() -> None:
    made = Failing(pool_circuit_breaker=TRIPPY, timeouts=QUICK)
    made.serve("ab", 2)
    made.now = 110.0
    made.ask()
    made.now = 119.9
    assert (BREAKER_OPEN, 1) == (made.refused().kind, made.refused().retry_after_s)
    made.now = 120.0
    made.end(made.ask())
    assert 1 == made.told.count("pool circuit half-open")


@pytest.mark.interpreted
def test_a_request_that_comes_while_another_worker_closes_it_is_sent_away_for_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Failing(pool_circuit_breaker=TRIPPY)
    made.serve("ab", 2)
    made.now = 110.0

    def closed_meanwhile(breaker: Breaker, row: int, now: float) -> int:
        breaker.table.set(row, POOL_CIRCUIT, 0)
        return 0

    monkeypatch.setattr(Breaker, "admit", closed_meanwhile)
    refusal = made.refused()
    assert (BREAKER_OPEN, 1) == (refusal.kind, refusal.retry_after_s)


def test_a_request_may_try_both_the_pool_and_the_backend() -> None:
    made = Failing(circuit_breaker=TRIPPY, pool_circuit_breaker=TRIPPY, backends=(A,))
    made.serve("a", 2)
    assert 2 == len(made.told)
    made.now = 110.0
    made.end(made.ask())
    assert {"pool circuit closed", "a circuit closed"} == set(made.told[-2:])


def test_a_pool_counts_the_rates_of_all_its_tiers() -> None:
    made = Failing(pool_circuit_breaker=BreakerSpec(None, 0.5, min_requests=4), backends=(A, BACKUP))
    made.serve("a", 2)
    made.pool.backends[0].set_healthy(False)
    made.end(made.ask())
    made.end(made.ask(), True)
    assert ["pool circuit open for 30 s: 3 of 4 requests failed"] == made.told


LIMIT = 3
NAMES = "abcdef"
AT = st.integers(0, 1000)
BACKENDS = st.lists(
    st.builds(
        BackendSpec,
        st.sampled_from(NAMES),
        st.just(1),
        st.integers(0, 3),
        st.just(LIMIT),
        st.integers(0, 1),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda spec: spec.host,
)
POLICIES = st.sampled_from(
    ["round_robin", "least_connections", "random", "peak_ewma", "prequal", "maglev", "sticky_round_robin"]
)


HASTY = EjectionSpec(errors=2, penalty_s=10.0, max_penalty_s=20.0, max_ejected=0.5)
WARY = BreakerSpec(3, None, open_for_s=5.0)


class Life(RuleBasedStateMachine):
    """A pool under any sequence of requests, checks, orders and configurations, against a model that keeps lists.

    The model knows the rules: members, panic, tiers in their order, cookies, who stays. What it takes from the pool is
    only the state of health, ejections, circuits and the weights, which `hear`, `release` and `weigh` hold against what
    was said. It counts by row of the table, as requests to backends that have left go on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.made = Reloaded(
            BackendSpec("a", 1, 2, LIMIT),
            BackendSpec("b", 1, 1, LIMIT),
            BackendSpec("c", 1, 1, LIMIT, tier=1),
            BackendSpec("d", 1, 1, LIMIT, backup=True),
            BackendSpec("e", 1, 3, LIMIT, backup=True),
            sticky=StickySpec("lb", "a secret"),
            health_check=HealthCheckSpec(rise=2, fall=2),
            slow_start=SlowStartSpec(20.0),
            panic_threshold=0.6,
            ejection=HASTY,
            circuit_breaker=WARY,
        )
        self.pool = self.made.pool
        self.flying: list[Backend] = []
        self.requests: list[Pick] = []  # of those
        self.weights = {backend.row: backend.spec.weight for backend in self.pool.backends}
        self.draining: set[int] = set()
        self.begun: Counter[int] = Counter()
        self.failed: Counter[int] = Counter()
        self.coming: tuple[Draft, Plan] | None = None
        self.chance = Random(7).randrange
        self.now = 100.0

    def nth(self, at: int) -> Backend:
        return self.pool.backends[at % len(self.pool.backends)]

    def status(self, backend: Backend) -> int:
        return backend.health()[0]

    def away(self, backend: Backend) -> bool:
        """Ejected, and its time is not over."""
        return self.now < backend.ejected_until_ms() / 1000

    def stopped(self, backend: Backend) -> bool:
        """Its circuit is open, or its trial out, and the time for that is not over."""
        return backend.circuit() & STOPS != 0 and self.now < ends_at_s(backend.circuit())

    def flying_at(self, backend: Backend) -> int:
        """Also those that began when it was in another tier."""
        return sum(other.row == backend.row for other in self.flying)

    def members(self, tier: int) -> list[Backend]:
        of_tier = [backend for backend in self.pool.backends if backend.tier == tier]
        return [one for one in of_tier if self.weights[one.row] > 0 and one.row not in self.draining]

    def healthy(self, backend: Backend) -> bool:
        return self.status(backend) == UP and not self.away(backend)

    def takers(self, tier: int, whatever_the_circuit: bool = False) -> list[Backend]:
        """Who of a tier would take a request if he were not full."""
        members = self.members(tier)
        healthy = [one for one in members if self.healthy(one)]
        behind = [one for later in range(tier + 1, 4) for one in self.members(later) if self.healthy(one)]
        panic = len(healthy) < 0.6 * len(members) and (bool(healthy) or not behind)
        takers = [one for one in members if self.healthy(one) or (panic and self.status(one) != SILENT)]
        return [one for one in takers if whatever_the_circuit or not self.stopped(one)]

    @rule(tried=st.lists(AT, max_size=5), cookie=st.none() | AT, gone=st.booleans())
    def acquire(self, tried: list[int], cookie: int | None, gone: bool) -> None:
        were_there = [self.nth(at) for at in tried] + self.flying[:1] * gone
        there = {one.address for one in were_there}  # a reload may have made it anew since
        request = Pick(no_chance) if cookie is None else cookied(self.pool, cookie % len(self.pool.backends))
        request.below, request.tried, request.now = self.chance, were_there, self.now
        free = [
            [one for one in self.takers(tier) if self.flying_at(one) < LIMIT and one.address not in there]
            for tier in range(4)
        ]
        lawful = next((ones for ones in free if ones), [])
        kept = None if cookie is None else self.nth(cookie)
        if kept is not None and kept in free[kept.tier]:
            lawful = [kept]
        # Whether somebody would serve is asked before `acquire`, which takes trials.
        full = any(one.address not in there for tier in range(4) for one in self.takers(tier))
        open_only = any(one.address not in there for tier in range(4) for one in self.takers(tier, True))
        assert self.pool.has_other(request) == bool(lawful)
        circuits = {one: one.circuit() for one in self.pool.backends}
        found = self.pool.acquire(request)
        if isinstance(found, Backend):
            assert found in lawful
            self.flying.append(found)
            self.requests.append(request)
            self.begun[found.row] += 1
            assert (TRYING if circuits[found] else 0) == found.circuit() & CIRCUIT_BITS
            assert (circuits[found] != 0) == (request.trials is not None)
        else:
            assert not lawful
            assert (FULL if full else BREAKER_OPEN if open_only else NONE_UP) is found.kind

    @precondition(lambda self: self.flying)
    @rule(at=AT, outcome=st.sampled_from(["answered", "failed", "failed", "left"]), status=st.sampled_from([500, 503]))
    def release(self, at: int, outcome: str, status: int) -> None:
        backend = self.flying.pop(at % len(self.flying))
        request = self.requests.pop(at % (len(self.requests)))
        failed = outcome == "failed"
        self.failed[backend.row] += failed
        request.below = self.chance
        before = {one: (one.ejected_until_ms(), one.circuit()) for one in self.pool.backends}
        members = [one for tier in range(4) for one in self.members(tier)]
        latency_s = UNKNOWN_S if outcome == "left" else 0.1
        self.pool.release(request, backend, failed, self.now, latency_s, status if failed else 200)
        gone = [one for one in self.pool.backends if one.ejected_until_ms() != 0 and before[one][0] == 0]
        if gone:
            assert failed
            assert [backend.row] == [one.row for one in gone]
            assert any(one.takes_requests(False) for one in self.pool.backends)
            ejected = sum(one.ejected_until_ms() != 0 for one in self.pool.backends)
            assert ejected <= max(1, len(members) // 2)
        for one in self.pool.backends:
            if one.circuit() != before[one][1]:
                assert one.row == backend.row
                was, now = before[one][1] & CIRCUIT_BITS, one.circuit() & CIRCUIT_BITS
                assert (was, now) in {(0, OPEN), (TRYING, OPEN), (TRYING, HALF_OPEN), (TRYING, 0)}
                assert failed == (now == OPEN)
        assert request.trials is None

    @rule(at=AT, event=st.sampled_from(["passed", "passed", "wrong", "failed"]))
    @precondition(lambda self: self.pool.checked)
    def check(self, at: int, event: str) -> None:
        self.hear(self.nth(at), event)

    @rule(at=AT, gone=st.booleans(), event=st.sampled_from(["connect_failed", "answered", "mark_down"]))
    def traffic(self, at: int, gone: bool, event: str) -> None:
        self.hear(self.flying[0] if gone and self.flying else self.nth(at), event)

    def hear(self, backend: Backend, event: str) -> None:
        before, was_healthy = self.status(backend), backend.healthy
        if event in ("passed", "wrong", "failed"):
            changed = self.pool.probed(backend, event == "passed", self.now, event == "wrong")
        else:
            changed = getattr(self.pool, event)(backend, self.now)
        assert changed == (was_healthy != backend.healthy)
        if event in ("answered", "passed") or not self.pool.checked:
            assert backend.healthy >= was_healthy
        else:
            assert backend.healthy <= was_healthy
        if not backend.healthy and self.pool.checked:
            expected = {"passed": DOWN, "wrong": DOWN, "answered": before}.get(event, SILENT)
            assert expected == self.status(backend)

    @rule(at=AT, draining=st.booleans())
    def drain(self, at: int, draining: bool) -> None:
        backend = self.nth(at)
        backend.set_draining(draining)
        self.draining.discard(backend.row)
        if draining:
            self.draining.add(backend.row)

    @rule(at=AT, weight=st.integers(0, 4))
    def weigh(self, at: int, weight: int) -> None:
        backend = self.nth(at)
        self.pool.set_weight(backend, weight)
        self.weights[backend.row] = weight

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.coming is None)
    @rule(
        backends=BACKENDS,
        policy=POLICIES,
        checked=st.booleans(),
        steps=st.integers(0, 9),
        ejection=st.sampled_from([HASTY, HASTY, None]),
        breaker=st.sampled_from([WARY, WARY, None]),
    )
    def prepare(
        self,
        backends: list[BackendSpec],
        policy: str,
        checked: bool,
        steps: int,
        ejection: EjectionSpec | None,
        breaker: BreakerSpec | None,
    ) -> None:
        """Another configuration is begun beside the one that serves."""
        before = {backend.row for backend in self.pool.backends}
        check = HealthCheckSpec(rise=2, fall=2) if checked else None
        spec = replace(
            self.pool.spec,
            backends=tuple(backends),
            policy=PolicySpec(policy),
            health_check=check,
            ejection=ejection,
            circuit_breaker=breaker,
        )
        self.coming = draft, plan = self.made.plan(spec)
        for row in {*plan["web"].tiers, *plan["web"].backends} - before:
            flies = [one for one in self.flying if row in (one.row, one.home)]
            assert not flies or row in [tier.row for tier in self.pool.tiers], "a row in flight was given out"
        for one, row in zip(backends, plan["web"].backends, strict=True):
            if row not in before:
                self.weights[row] = one.weight
                self.begun[row] = self.failed[row] = 0
                self.draining.discard(row)
        for _ in range(steps):
            draft.advance(2)

    @precondition(lambda self: self.coming is not None)
    @rule()
    def give_up(self) -> None:
        """It could not be prepared elsewhere."""
        assert self.coming is not None
        self.made.ledger.drop(self.coming[1])
        self.coming = None

    @precondition(lambda self: self.coming is not None)
    @rule()
    def reload(self) -> None:
        """It comes into force, whatever is in flight."""
        assert self.coming is not None
        before = {backend.address: backend for backend in self.pool.backends}
        was = {address: (backend.spec.weight, self.status(backend)) for address, backend in before.items()}
        was_checked = self.pool.checked
        self.made.switch(*self.coming)
        self.coming = None
        for backend in self.pool.backends:
            assert self.pool.outliers is not None or backend.ejected_until_ms() == 0
            assert self.pool.circuits.each is not None or backend.circuit() == 0
            if backend.address not in before:
                assert (0, UP) == (backend.in_flight, self.status(backend))
                assert (0, 0, 0) == (backend.ejected_until_ms(), backend.circuit(), backend.ejections)
                continue
            assert before[backend.address].row == backend.row
            configured, status = was[backend.address]
            if configured != backend.spec.weight:
                self.weights[backend.row] = backend.spec.weight
            forgotten = was_checked and not self.pool.checked
            assert (UP if forgotten else status) == self.status(backend)

    @invariant()
    def what_is_counted_is_what_flies(self) -> None:
        table = self.pool.table
        for backend in self.pool.backends:
            assert self.flying_at(backend) == backend.in_flight <= LIMIT
            assert (self.begun[backend.row], self.failed[backend.row]) == (backend.requests, backend.failures)
            believed = self.pool.health_of(backend) in HEALTHY
            assert believed == backend.healthy == (self.status(backend) == UP)
            assert self.weights[backend.row] == backend.weight
            assert (0 < backend.share()) == (0 < self.weights[backend.row])
            assert backend.share() <= 1000 * self.weights[backend.row]
        counted = Counter(one.row for one in self.flying) + Counter(one.home for one in self.flying)
        assert counted == Counter({row: n for row in range(table.rows) if (n := table.total(row, IN_FLIGHT))})

    def teardown(self) -> None:
        for request, backend in zip(self.requests, self.flying, strict=True):
            self.pool.release(request, backend, False, self.now)
        assert 0 == self.made.total()


TestLife = Life.TestCase

SIZE = 4


class Storm(RuleBasedStateMachine):
    """Two workers over one table, whose backends fail as they like, with everything on that keeps requests away."""

    def __init__(self) -> None:
        super().__init__()
        spec = PoolSpec(
            "web",
            tuple(BackendSpec(name, 1) for name in "abcd"),
            health_check=None,
            panic_threshold=0.0,
            ejection=replace(HASTY, max_ejected=1.0),
            circuit_breaker=replace(WARY, trials=2),
            pool_circuit_breaker=BreakerSpec(4, 0.5, min_requests=6, open_for_s=3.0),
        )
        rows = Pool.rows_needed(spec)
        buffer = bytearray(Table.size_bytes(rows, 2))
        self.pools = [Pool(spec, Table(buffer, rows, 2, worker), 0) for worker in range(2)]
        self.backends = self.pools[0].backends
        self.flying: list[tuple[int, Pick, Backend]] = []
        self.chance = Random(7).randrange
        self.now = 100.0

    def circuits(self) -> dict[int, int]:
        """By the row that they lie in."""
        return {self.pools[0].tiers[0].row: self.pools[0].circuit()} | {one.row: one.circuit() for one in self.backends}

    @rule(worker=st.integers(0, 1), again=st.booleans(), at=AT)
    def acquire(self, worker: int, again: bool, at: int) -> None:
        """A new request; or the next try of one that is at a backend, as when it is hedged."""
        request = Pick(self.chance, now=self.now)
        if again and self.flying:
            worker, request, first = self.flying[at % len(self.flying)]
            request.now, request.tried = self.now, [*(request.tried or []), first]
        before = self.circuits()
        held = list(request.trials or [])
        found = self.pools[worker].acquire(request)
        if isinstance(found, Refusal):
            assert held == (request.trials or []), "a trial of nobody"
            return
        self.flying.append((worker, request, found))
        whole = self.pools[0].tiers[0].row
        new = [row for _, row, _ in request.trials or [] if row not in [one[1] for one in held]]
        for row in (whole, found.row):
            if row == whole and whole in [one[1] for one in held]:
                assert row not in new, "a second trial of the pool"
                continue
            over = self.now >= ends_at_s(before[row])
            assert before[row] & STOPS == 0 or over, "a request where none may go"
            assert (before[row] != 0) == (row in new)

    @precondition(lambda self: self.flying)
    @rule(at=AT, outcome=st.sampled_from(["answered", "failed", "failed", "left"]))
    def release(self, at: int, outcome: str) -> None:
        worker, request, backend = self.flying.pop(at % len(self.flying))
        latency_s = 0.1 if outcome == "answered" else UNKNOWN_S
        final = all(other is not request for _, other, _ in self.flying)
        self.pools[worker].release(request, backend, outcome == "failed", self.now, latency_s, final=final)
        assert all(one[0] is not backend for one in request.trials or [])
        assert not final or request.trials is None

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(at=st.integers(0, SIZE - 1), worker=st.integers(0, 1), seconds=st.sampled_from([0.0, 2.0, 50.0]))
    def hold(self, at: int, worker: int, seconds: float) -> None:
        backend = self.pools[worker].backends[at]
        before = backend.ejected_until_ms()
        held = self.pools[worker].hold(backend, self.now + seconds, self.now)
        assert held == (backend.ejected_until_ms() >= int((self.now + min(seconds, 20.0)) * 1000)) or not seconds
        assert before <= backend.ejected_until_ms()

    @invariant()
    def what_flies_is_counted(self) -> None:
        for backend in self.backends:
            assert backend.in_flight == sum(one.row == backend.row for _, _, one in self.flying)

    @invariant()
    def the_last_one_is_never_ejected(self) -> None:
        assert any(one.ejected_until_ms() == 0 for one in self.backends)

    @invariant()
    def no_circuit_has_two_trials_out(self) -> None:
        circuits = self.circuits()
        out = Counter(
            row
            for request in {id(request): request for _, request, _ in self.flying}.values()
            for _, row, trial in request.trials or []
            if circuits[row] == trial
        )
        assert all(count == 1 for count in out.values())
        assert set(out) == {row for row, circuit in circuits.items() if circuit & CIRCUIT_BITS == TRYING}

    def teardown(self) -> None:
        for worker, request, backend in self.flying:
            self.pools[worker].release(request, backend, False, self.now)
        table = self.pools[0].table
        assert not any(table.total(row, IN_FLIGHT) for row in range(table.rows))
        assert not any(circuit & CIRCUIT_BITS == TRYING for circuit in self.circuits().values())


TestStorm = Storm.TestCase

"""core/approaches.py: a request names its policy; all count together, and those that go in turn do so exactly."""

from collections import Counter
from random import Random

import pytest

from steelyard.core import policies as _built_in  # noqa: F401 (registers them)
from steelyard.core.approaches import APPROACH, Approaches, known, names_of, own
from steelyard.core.backend import Backend
from steelyard.core.guard import Guarded, Outside
from steelyard.core.policies.prequal import Prequal
from steelyard.core.policies.rotation import RoundRobin
from steelyard.core.policy import _REGISTER, Pick, Policy, names, register
from steelyard.core.pool import Pool, Refusal
from steelyard.core.rows import in_order
from steelyard.core.spec import HTTP, TASK, BackendSpec, PolicySpec, PoolSpec
from steelyard.core.stable import stable_hash
from steelyard.core.table import FIRST_ROW, SHARE, WEIGHT, WEIGHT_UNIT, Table

ROWS = FIRST_ROW + 32
CHANCE = Random(3)


class Wish(Pick):
    """A request that names its approach. client: its key."""

    def __init__(self, approach: str | None = None, now: float = 0.0, client: str = "192.0.2.7") -> None:
        super().__init__(CHANCE.randrange, stable_hash(client), now)
        self.approach = approach

    def get(self, name: str) -> str | None:
        return self.approach if name == APPROACH else None


def spec(policy: str = "round_robin", hosts: str = "abc", approaches: bool = True) -> PoolSpec:
    backends = tuple(BackendSpec(host, 80) for host in hosts)
    return PoolSpec(
        "workers", backends, PolicySpec(policy), None, ejection=None, protocols=(TASK,) if approaches else (HTTP,)
    )


def pools(workers: int = 1, policy: str = "round_robin", hosts: str = "abc") -> list[Pool]:
    """The same pool, as each of so many workers sees it."""
    buffer = bytearray(Table.size_bytes(ROWS, workers))
    return [
        Pool(spec(policy, hosts), Table(buffer, ROWS, workers, worker), FIRST_ROW, fresh=worker == 0)
        for worker in range(workers)
    ]


def taken(pool: Pool, request: Wish) -> Backend:
    chosen = pool.acquire(request)
    assert not isinstance(chosen, Refusal)
    return chosen


def done(pool: Pool, request: Wish) -> str:
    """One request, from begin to end; who had it."""
    backend = taken(pool, request)
    pool.release(request, backend, False, request.now + 1.0, 1.0)
    return backend.host


@pytest.mark.parametrize("name", sorted(known(PolicySpec())))
def test_every_built_in_policy_can_be_named(name: str) -> None:
    (pool,) = pools()
    found = {done(pool, Wish(name, now=float(step))) for step in range(30)}
    assert found <= set("abc")
    assert 0 == pool.count_in_flight()


def test_all_of_ours_are_known_and_the_pools_own() -> None:
    assert {"least_connections", "round_robin", "sticky_round_robin", "maglev"} <= known(PolicySpec())
    assert known(PolicySpec()) <= set(names())
    assert "mine:pick" in known(PolicySpec("mine:pick"))


def test_a_name_that_is_not_known_is_a_key_error() -> None:
    (pool,) = pools()
    with pytest.raises(KeyError):
        pool.acquire(Wish("best"))


@pytest.mark.parametrize("own_name", ["round_robin", "least_connections"])
def test_turns_are_exact_whatever_else_is_asked_for_in_between(own_name: str) -> None:
    one, other = pools(2, own_name)
    chance = Random(5)
    turns = []
    for step in range(90):
        pool = one if step % 2 else other
        turns.append(done(pool, Wish("round_robin", now=float(step))))
        for name in chance.sample(["least_connections", "random", "prequal", "sticky_round_robin", "peak_ewma"], 2):
            done(chance.choice([one, other]), Wish(name, now=float(step), client=str(step)))
    assert list("abc" * 30) == turns


def test_the_pools_own_in_turn_and_a_request_that_names_it_share_their_turns() -> None:
    (pool,) = pools()
    assert list("abcabc") == [done(pool, Wish(None if step % 2 else "round_robin")) for step in range(6)]


def test_least_connections_counts_what_others_have_chosen_in_all_workers() -> None:
    one, other = pools(2)
    for name in ("round_robin", "random", "hash", None, "first", "least_connections"):
        for pool in (one, other):
            taken(pool, Wish(name))
    for _ in range(60):  # evens out whatever chance has begun
        taken(one, Wish("least_connections"))
        taken(other, Wish("least_connections"))
    counts = [backend.in_flight for backend in one.backends]
    assert 132 == sum(counts)
    assert [44, 44, 44] == counts


def test_a_client_stays_where_its_address_hashes_to() -> None:
    (pool,) = pools()
    for name in ("hash", "consistent_hash", "maglev", "rendezvous", "sticky_round_robin"):
        homes = {client: {done(pool, Wish(name, client=client)) for _ in range(4)} for client in map(str, range(12))}
        assert all(1 == len(found) for found in homes.values()), name
        assert 1 < len({host for found in homes.values() for host in found}), name


def test_a_policy_that_learns_does_so_from_every_request_since_it_was_named() -> None:
    (pool,) = pools()
    done(pool, Wish("least_response_time"))
    for step in range(60):
        request = Wish("round_robin", now=float(step))
        backend = taken(pool, request)
        pool.release(request, backend, False, step + 0.5, 5.0 if backend.host == "a" else 0.01)
    asked = Counter(done(pool, Wish("least_response_time", now=60.0)) for _ in range(60))
    assert asked["a"] < 10


def test_prequal_hears_of_backends_from_our_own_numbers() -> None:
    (pool,) = pools()
    for step in range(8):
        done(pool, Wish("prequal", now=float(step)))
    policy = pool.policy
    assert isinstance(policy, Approaches)
    prequal = policy.named["prequal"]
    assert isinstance(prequal, Prequal)
    assert [] == prequal.wanted
    assert prequal.pool


def test_who_is_down_is_passed_over_by_all_and_comes_back_to_all() -> None:
    (pool,) = pools()
    for name in known(PolicySpec()):
        done(pool, Wish(name))
    pool.backends[1].set_healthy(False)
    for name in known(PolicySpec()):
        assert "b" not in {done(pool, Wish(name)) for _ in range(12)}, name
    pool.backends[1].set_healthy(True)
    assert "b" in {done(pool, Wish("round_robin")) for _ in range(3)}
    assert "b" in {done(pool, Wish("least_connections")) for _ in range(3)}


def reloaded(pool: Pool, new: PoolSpec) -> None:
    draft = pool.draft(new, in_order(new, FIRST_ROW))
    while draft.advance(10):
        pass
    pool.adopt(draft)


def test_a_reload_with_other_backends_tells_all_of_them() -> None:
    (pool,) = pools(hosts="ab")
    for name in known(PolicySpec()):
        done(pool, Wish(name))
    before = pool.policy
    new_row = FIRST_ROW + 3
    pool.table.set(new_row, WEIGHT, 1)
    pool.table.set(new_row, SHARE, WEIGHT_UNIT)
    reloaded(pool, spec(hosts="abc"))
    assert pool.policy is before
    for name in ("round_robin", "least_connections", "random", "prequal"):
        found = {done(pool, Wish(name, client=str(step))) for step in range(3 if name == "round_robin" else 90)}
        assert {"a", "b", "c"} == found, name


def test_a_pool_whose_listener_becomes_one_of_tasks_has_approaches_from_then_on() -> None:
    buffer = bytearray(Table.size_bytes(ROWS, 1))
    pool = Pool(spec(approaches=False), Table(buffer, ROWS), FIRST_ROW)
    assert isinstance(pool.policy, RoundRobin)
    reloaded(pool, spec())
    assert isinstance(pool.policy, Approaches)
    reloaded(pool, spec(approaches=False))
    assert isinstance(pool.policy, RoundRobin)


def test_the_pools_own_is_watched_where_it_is_somebody_elses() -> None:
    class Broken(Policy):
        def pick(self, request: Pick) -> Backend | None:
            raise ZeroDivisionError

    register("broken", Broken, "fails")
    try:
        said: list[str] = []
        table = Table(bytearray(Table.size_bytes(ROWS, 1)), ROWS)
        pool = Pool(spec("broken"), table, FIRST_ROW, Outside(lambda: 0.0, said.append))
        assert "a" == done(pool, Wish())
        assert "b" == done(pool, Wish("broken"))
        assert 2 == pool.policy_faults()
        assert isinstance(own(pool.policy), Guarded)
        assert "a" == done(pool, Wish("round_robin"))
        assert 2 == pool.policy_faults()
    finally:
        del _REGISTER["broken"]


def test_a_pool_of_one_policy_has_no_names() -> None:
    (pool,) = pools()
    assert known(PolicySpec()) == names_of(pool.policy)
    assert frozenset() == names_of(own(pool.policy))

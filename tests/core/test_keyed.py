"""core/keyed.py: what all policies that hash promise, whatever it is that they hash into."""

from collections import Counter
from fractions import Fraction
from math import ceil, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.backend import Backend
from steelyard.core.keyed import SMALL, Keyed, in_order, rings_at
from steelyard.core.policy import Pick
from steelyard.core.pool import Pool, Refusal
from steelyard.core.spec import BackendSpec, PolicySpec, PoolSpec
from steelyard.core.stable import mix
from steelyard.core.table import DOWN, IN_FLIGHT, Table
from tests.core.keys import CONSISTENT, HASHING, keyed, keyed_pool, owner, owners, shares, some_keys
from tests.fakes_core import a_table, no_chance, seeded, served

EVERY = pytest.mark.parametrize("name", HASHING)
ALL_CONSISTENT = pytest.mark.parametrize("name", CONSISTENT)
SIZES = pytest.mark.parametrize("size", [7, 150])  # with a look at everyone, and without


def near(expected: float, counted: int, draws: int) -> bool:
    """Within 5 standard deviations of a binomial."""
    return abs(counted - expected * draws) <= 5 * sqrt(draws * expected * (1 - expected))


def test_a_policy_must_say_whose_a_key_is() -> None:
    with pytest.raises(NotImplementedError, match="Keyed must say whose a key is"):
        Keyed(PolicySpec(), a_table(1), 0).find(Pick(no_chance), 1)


@EVERY
@SIZES
def test_equal_keys_go_to_one_backend_and_many_keys_to_all(name: str, size: int) -> None:
    policy, _ = keyed(name, [1] * size)
    keys = some_keys(20 * size)
    assert owners(policy, keys) == owners(policy, keys)
    assert size == len(set(owners(policy, keys)))


@ALL_CONSISTENT
@SIZES
def test_the_order_of_the_pool_does_not_matter(name: str, size: int) -> None:
    """Two balancers whose lists were written, or discovered, in another order agree on every key."""
    hosts = [f"10.0.0.{index}" for index in range(size)]
    weights = [1 + index % 3 for index in range(size)]
    one, _ = keyed(name, weights, hosts=hosts)
    other, _ = keyed(name, weights[::-1], hosts=hosts[::-1])
    keys = some_keys(1000)
    assert owners(one, keys) == owners(other, keys)


@ALL_CONSISTENT
@SIZES
@pytest.mark.parametrize("weight", [1, 4])
def test_an_unavailable_ones_keys_move_and_no_others_and_they_come_back(name: str, size: int, weight: int) -> None:
    policy, backends = keyed(name, [weight] + [1] * (size - 1))
    keys = some_keys(3000)
    before = owners(policy, keys)
    backends[0].set_healthy(False)
    down = owners(policy, keys)
    assert "0" not in down
    assert [host for host in before if host != "0"] == [
        now for host, now in zip(before, down, strict=True) if host != "0"
    ]
    backends[0].set_healthy(True)
    assert before == owners(policy, keys)
    backends[0].set_draining(True)
    assert down == owners(policy, keys)


@EVERY
@SIZES
def test_a_full_or_tried_ones_keys_move_and_no_others(name: str, size: int) -> None:
    policy, backends = keyed(name, [1] * size, limit=1)
    keys = some_keys(1000)
    before = owners(policy, keys)
    tried = [owner(policy, key, tried=backends[:1]) for key in keys]
    backends[0].begin()
    assert tried == owners(policy, keys)
    assert "0" not in tried
    assert [host for host in before if host != "0"] == [
        now for host, now in zip(before, tried, strict=True) if host != "0"
    ]


@EVERY
def test_what_one_hands_on_is_spread_over_all_the_others_by_weight(name: str) -> None:
    """Some 2000 keys of one of 10, over weights of 1 and 3; a ring's 160 points have neighbours by chance."""
    weights = [2, *[1] * 4, *[3] * 4]
    policy, backends = keyed(name, weights)
    keys = [key for key in some_keys(18_000) if owner(policy, key) == "0"]
    handed_on = Counter(owner(policy, key, tried=backends[:1]) for key in keys)
    for index in range(1, 9):
        due = len(keys) * weights[index] / 16
        points = 320 * weights[index] / 16  # of the 320 which one of its own follows
        of_points = due * sqrt(2 / points) if name == "consistent_hash" else 0.0
        assert abs(handed_on[str(index)] - due) <= 5 * sqrt(of_points**2 + due)


@EVERY
@SIZES
@pytest.mark.parametrize("left", [1, 2, 5])
def test_where_nearly_all_are_unavailable_a_key_still_has_its_backend(name: str, size: int, left: int) -> None:
    policy, backends = keyed(name, [1] * size)
    for backend in backends[left:]:
        backend.set_healthy(False)
    keys = some_keys(200)
    found = owners(policy, keys)
    assert found == owners(policy, keys)
    assert {str(index) for index in range(left)} == set(found)


@EVERY
@SIZES
def test_where_nearly_all_are_full_the_others_are_found(name: str, size: int) -> None:
    """And in a pool where a look at everyone is cheap, a key still has its backend."""
    policy, backends = keyed(name, [1] * size, limit=1)
    for backend in backends[2:]:
        backend.begin()
    below = seeded(4) if size > SMALL else no_chance
    keys = some_keys(200)
    found = [policy.pick(Pick(below, key=key)) for key in keys]
    assert set(backends[:2]) == set(found)
    assert size > SMALL or found == [policy.pick(Pick(below, key=key)) for key in keys]
    backends[0].begin()
    backends[1].begin()
    assert policy.pick(Pick(below, key=1)) is None


@EVERY
def test_weights_are_honoured(name: str) -> None:
    """4 : 3 : 2 : 1 of 20,000 keys, within 5 standard deviations: of a binomial, and for the ring of its points too."""
    weights = [4, 3, 2, 1, 0]
    policy, _ = keyed(name, weights)
    counted = shares(policy, some_keys(20_000))
    for index, weight in enumerate(weights):
        due = 2000 * weight
        of_points = due / sqrt(160 * weight) if weight and name == "consistent_hash" else 0.0
        of_keys = sqrt(due * (1 - weight / 10))
        assert abs(counted[str(index)] - due) <= 5 * sqrt(of_points**2 + of_keys**2)


@EVERY
@SIZES
def test_when_most_are_down_by_their_checks_those_count_as_up(name: str, size: int) -> None:
    policy, backends = keyed(name, [1] * size)
    for backend in backends[1:]:
        backend.set_status(DOWN, 1.0)
    request = Pick(no_chance)
    request.panic = True
    found = set()
    for request.key in some_keys(20 * size):
        found.add(policy.pick(request))
    assert set(backends) == found
    assert {"0"} == set(owners(policy, some_keys(50)))  # without panic


# Requests without a key.


@EVERY
@pytest.mark.parametrize("dead", [0, 90])
def test_requests_without_a_key_go_to_anyone_available_by_weight(name: str, dead: int) -> None:
    policy, backends = keyed(name, [5, 3, 2] + [1] * dead)
    for backend in backends[3:]:
        backend.set_healthy(False)
    counted = Counter(served(policy, Pick(seeded(1)), 2000))
    assert {"0", "1", "2"} == set(counted)
    assert near(0.5, counted["0"], 2000)
    assert near(0.3, counted["1"], 2000)
    assert near(0.2, counted["2"], 2000)


def test_so_do_they_where_nearly_all_are_full() -> None:
    """Draws that find full ones alone end in a draw among the others, by weight too."""
    policy, backends = keyed("maglev", [3, 1] + [1000] * 60, limit=1)
    for backend in backends[2:]:
        backend.begin()
    counted = Counter(served(policy, Pick(seeded(2)), 2000))
    assert {"0", "1"} == set(counted)
    assert near(0.75, counted["0"], 2000)
    for backend in backends[:2]:
        backend.begin()
    assert policy.pick(Pick(seeded(3))) is None


# Bounded loads.


def capacity(c: str, in_flight: int, weight: int, weights: int) -> int:
    """How much a backend may have, with the request to come; in exact numbers."""
    return ceil(Fraction(c) * (in_flight + 1) * weight / weights)


@EVERY
@SIZES
@pytest.mark.parametrize("c", ["1", "1.1", "1.25", "3"])
def test_one_hot_key_fills_its_backend_just_to_the_bound(name: str, size: int, c: str) -> None:
    """It stays while it has room, goes elsewhere when not, and comes back as soon as the average has risen."""
    pool = keyed_pool(name, [1] * size, bound=float(c))
    home = pool.acquire(Pick(no_chance, key=12345))
    for in_flight in range(1, 2 * size):
        assert isinstance(home, Backend)
        has_room = home.in_flight < capacity(c, in_flight, 1, size)
        found = pool.acquire(Pick(seeded(1), key=12345))
        assert isinstance(found, Backend)
        assert has_room == (found is home)
        assert found.in_flight <= capacity(c, in_flight, 1, size)


@EVERY
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=6),
    st.sampled_from(["1", "1.1", "1.25", "2"]),
    st.lists(st.tuples(st.sampled_from("bbbekdw"), st.integers(0, 1000)), max_size=60),
)
def test_no_load_is_ever_above_c_times_the_average(
    name: str, weights: list[int], c: str, steps: list[tuple[str, int]]
) -> None:
    """Whatever begins and ends in which order, and while backends go, come and change their weights."""
    pool = keyed_pool(name, weights, bound=float(c))
    going: list[tuple[Pick, Backend]] = []
    for step, number in steps:
        backend = pool.backends[number % len(pool.backends)]
        if step == "b":
            request = Pick(seeded(number), key=number % 5)  # few keys: all are hot, and one is none
            takers = [taker for taker in pool.backends if taker.available]
            room = {
                taker: capacity(c, len(going), taker.share(), sum(other.share() for other in takers))
                for taker in takers
            }
            found = pool.acquire(request)
            if isinstance(found, Refusal):
                assert not takers
                continue
            going.append((request, found))
            assert found.in_flight <= room[found]
        elif step == "e" and going:
            request, ended = going.pop(number % len(going))
            pool.release(request, ended, False, 1.0)
        elif step == "k":
            backend.set_healthy(not backend.healthy)
        elif step == "d":
            backend.set_draining(not backend.draining)
        elif step == "w":
            backend.set_weight(number % 4)
    for request, ended in going:
        pool.release(request, ended, False, 1.0)
    assert 0 == sum(backend.in_flight for backend in pool.backends)


@EVERY
def test_the_bound_holds_in_a_large_pool_under_few_hot_keys(name: str) -> None:
    """Of 200 backends, under 4 keys and none, nobody ever has more than 1.25 times the average, rounded up."""
    pool = keyed_pool(name, [1 + index % 2 for index in range(200)], bound=1.25)
    below = seeded(5)
    going: list[tuple[Pick, Backend]] = []
    for number in range(1500):
        request = Pick(below, key=number % 5)
        found = pool.acquire(request)
        assert isinstance(found, Backend)
        assert found.in_flight <= capacity("1.25", len(going), found.weight, 300)
        going.append((request, found))
        if number % 3 == 2:
            pool.release(*going.pop(below(len(going))), False, 1.0)


@EVERY
def test_the_requests_of_other_workers_count(name: str) -> None:
    """In the average as in the load: one worker's hot key stays where it has room by what both have in flight."""
    specs = tuple(BackendSpec(str(index), 80) for index in range(4))
    spec = PoolSpec("web", specs, PolicySpec(name, bound=1.0, table_size=1021))
    rows = Pool.rows_needed(spec)
    cells = bytearray(Table.size_bytes(rows, 2))
    ours, theirs = [Pool(spec, Table(cells, rows, 2, worker), 0) for worker in range(2)]
    home = ours.policy.pick(Pick(no_chance, key=9))
    assert home is not None
    for key in range(1, 31):
        assert not isinstance(theirs.acquire(Pick(no_chance, key=key)), Refusal)
    stayed = 0
    for in_flight in range(30, 50):
        has_room = home.in_flight < capacity("1", in_flight, 1, 4)
        assert has_room == (ours.acquire(Pick(no_chance, key=9)) is home)
        stayed += has_room
    assert stayed >= 5
    assert 50 == sum(backend.in_flight for backend in ours.backends)


@EVERY
def test_where_all_with_room_were_tried_the_average_is_that_of_the_rest(name: str) -> None:
    pool = keyed_pool(name, [1, 1, 1, 1], bound=1.0)
    for backend, load in zip(pool.backends, [3, 3, 7, 6], strict=True):
        for _ in range(load):
            backend.begin()
            pool.table.add_mine(pool.policy.row, IN_FLIGHT, 1)
    for key in range(1, 20):
        found = pool.policy.pick(Pick(no_chance, key=key, tried=list(pool.backends[:2])))
        assert pool.backends[3] is found  # 13 in flight of the two: with one more, 7 each


def test_a_bound_below_1_is_1_since_otherwise_nobody_need_have_room() -> None:
    pool = keyed_pool("maglev", [1, 1], bound=0.25)
    hosts = [pool.acquire(Pick(no_chance, key=3)) for _ in range(6)]
    assert {3} == {hosts.count(backend) for backend in pool.backends}


# A pool too large to be looked through for each request.


@EVERY
def test_in_a_large_pool_the_keys_of_some_full_ones_leave_nothing_to_chance(name: str) -> None:
    """They jump, and a tenth of 150 being full, all find somebody so."""
    policy, backends = keyed(name, [1] * 150, limit=1)
    for backend in backends[::10]:
        backend.begin()
    keys = some_keys(500)
    assert owners(policy, keys) == owners(policy, keys)


@EVERY
def test_the_hottest_key_of_a_large_pool_is_left_to_chance_and_nobody_is_overfilled(name: str) -> None:
    """It fills all that it finds first, then goes by chance, and at last somebody has to be looked for."""
    policy, backends = keyed(name, [1] * 300, limit=1)
    draw = seeded(7)
    drawn: list[int] = []

    def below(n: int) -> int:
        drawn.append(n)
        return draw(n)

    request = Pick(below, key=77)
    home = policy.pick(request)
    assert home is not None
    home.begin()
    filled = 1
    while not drawn:
        found = policy.pick(request)
        assert found is not None
        found.begin()
        filled += 1
    assert 5 <= filled <= 30  # some 8, and those that come to the front as these fill up
    for _ in range(300 - filled):
        found = policy.pick(request)
        assert found is not None
        found.begin()
    assert [1] * 300 == [backend.in_flight for backend in backends]
    assert policy.pick(request) is None


# The parts.


def test_alarms_ring_in_the_proportion_of_their_rates() -> None:
    first = Counter(
        min((rings_at(mix(key, 1), 1.0), "one"), (rings_at(mix(key, 2), 3.0), "three"))[1] for key in range(4000)
    )
    assert near(0.75, first["three"], 4000)
    assert 0.9 < sum(rings_at(mix(key, 3), 2.0) for key in range(4000)) / 2000 < 1.1  # 6 standard deviations


def test_an_alarm_without_a_rate_never_rings() -> None:
    assert float("inf") == rings_at(1, 0.0)


def test_backends_are_ordered_by_their_keys_without_those_of_share_0() -> None:
    _, backends = keyed("hash", [1, 0, 1, 1])
    members, keys = in_order(backends)
    assert sorted(backend.key for backend in backends if backend is not backends[1]) == keys
    assert [backend.key for backend in members] == keys


@ALL_CONSISTENT
@SIZES
def test_one_that_is_there_twice_has_two_shares(name: str, size: int) -> None:
    policy, backends = keyed(name, [1] * size, hosts=["twin", "twin", *[str(index) for index in range(2, size)]])
    assert size == len(set(in_order(backends)[1]))
    found = {policy.pick(Pick(no_chance, key=key)) for key in some_keys(20 * size)}
    assert set(backends) == found

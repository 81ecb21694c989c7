"""core/policies/ring.py: points on a ring, held against a plain one made with `sorted` and `bisect`."""

from bisect import bisect_left
from math import sqrt

from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.backend import Backend
from steelyard.core.policies.ring import FEW, MOST, how_many
from steelyard.core.policy import Pick
from steelyard.core.stable import mix
from tests.core.keys import keyed, owners, shares, some_keys
from tests.fakes_core import no_chance


def plain_ring(backends: list[Backend]) -> list[tuple[int, Backend]]:
    """(place, owner) of 160 points a unit of weight; the upper 40 bits tell the place."""
    made = [(mix(backend.key, n) >> 24, backend) for backend in backends for n in range(160 * backend.weight)]
    return sorted(made, key=lambda point: point[0])


def behind(ring: list[tuple[int, Backend]], key: int, steps: int) -> list[Backend]:
    """The owners of the next points behind the key."""
    at = bisect_left(ring, mix(key, 0) >> 24, key=lambda point: point[0])
    return [ring[(at + step) % len(ring)][1] for step in range(steps)]


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=5),
    st.lists(st.integers(1, 2**64 - 1), min_size=1, max_size=20),
    st.data(),
)
def test_a_key_belongs_to_the_first_point_behind_it_whose_owner_may_be_taken(
    weights: list[int], keys: list[int], data: st.DataObject
) -> None:
    """Of 16 points; where all of them are dead ones', to anybody."""
    policy, backends = keyed("consistent_hash", weights)
    ring = plain_ring(backends)
    alive = data.draw(st.sets(st.sampled_from(backends), min_size=1))
    for backend in backends:
        backend.set_healthy(backend in alive)
    for key in keys:
        found = policy.pick(Pick(no_chance, key=key))
        expected = [backend for backend in behind(ring, key, 16) if backend in alive]
        assert found in (expected[:1] or alive)


def test_behind_the_last_point_the_ring_begins_again() -> None:
    policy, backends = keyed("consistent_hash", [1, 1, 1])
    ring = plain_ring(backends)
    behind_all = [key for key in some_keys(30_000) if mix(key, 0) >> 24 > ring[-1][0]]
    assert len(behind_all) >= 10
    assert {ring[0][1].host} == set(owners(policy, behind_all))


def test_a_key_just_on_a_point_belongs_to_it() -> None:
    """The key of a backend itself is one: its first point."""
    policy, backends = keyed("consistent_hash", [1] * 20)
    assert [backend.host for backend in backends] == owners(policy, [backend.key for backend in backends])


def test_160_points_share_within_a_twelfth_of_what_is_due() -> None:
    """100 backends, 200 keys each: one standard deviation is 1 / sqrt(160) of points and 1 / sqrt(200) of keys: 10.6 %.

    With 100 of them that is known to 7 %; a ring of 16 points would have 26 %, one of 1600 7.5 %.
    """
    policy, _ = keyed("consistent_hash", [1] * 100)
    counted = shares(policy, some_keys(20_000))
    deviation = sqrt(sum((count / 200 - 1) ** 2 for count in counted.values()) / 100)
    assert 0.085 < deviation < 0.13
    assert max(abs(count / 200 - 1) for count in counted.values()) < 5 * 0.106


def test_removing_one_moves_its_keys_alone_and_adding_one_takes_only_what_it_gets() -> None:
    policy, backends = keyed("consistent_hash", [2] * 20)
    keys = some_keys(10_000)
    before = owners(policy, keys)
    policy.rebuild(backends[1:])
    after = owners(policy, keys)
    moved = [old for old, new in zip(before, after, strict=True) if old != new]
    assert {"0"} == set(moved)
    assert abs(len(moved) - 500) <= 5 * 500 * sqrt(1 / 320 + 1 / 500)
    policy.rebuild(backends)
    assert before == owners(policy, keys)


def test_a_weight_that_rises_takes_from_all_and_gives_up_nothing() -> None:
    """Also step by step, during a slow start."""
    policy, backends = keyed("consistent_hash", [1] * 6)
    keys = some_keys(5000)
    before = owners(policy, keys)
    for share in (1100, 1500, 4000):
        backends[0].set_share(share)
        policy.rebuild(backends)
        after = owners(policy, keys)
        assert {"0"} == {new for old, new in zip(before, after, strict=True) if old != new}
        assert before.count("0") < after.count("0")
        before = after


def numbers(weights: list[int]) -> list[int]:
    return how_many(keyed("hash", weights)[1])


def test_everyone_has_160_points_a_unit_of_weight() -> None:
    assert [160, 320, 1600] == numbers([1, 2, 10])


def test_very_heavy_weights_have_fewer_points_in_the_same_proportion() -> None:
    assert [20_000, 10_000, 20] == numbers([1000, 500, 1])
    assert FEW >= sum(numbers([1000] * 7))
    assert [2500] * 7 == numbers([1000] * 7)


def test_everybody_has_a_point() -> None:
    """In the first step of a slow start, and beside very many that are very heavy."""
    _, [light, heavy] = keyed("hash", [1, 1000])
    assert 1 == how_many([light] + [heavy] * 2500)[0]
    light.set_share(1)
    assert [1] == how_many([light])


def test_the_largest_pools_have_fewer_points_and_never_more_than_the_most() -> None:
    assert [160] == list(set(numbers([1] * 2000)))
    _, [backend] = keyed("hash", [1])
    assert [160] * 13_107 == how_many([backend] * 13_107)
    assert [80] * 13_108 == how_many([backend] * 13_108)
    assert MOST // 2 < sum(how_many([backend] * 100_000)) <= MOST


def test_a_slow_start_changes_nobody_elses_points() -> None:
    _, backends = keyed("hash", [300, 300])
    before = how_many(backends)
    backends[0].set_share(30_000)
    assert [before[0] // 10, before[1]] == how_many(backends)


def test_a_key_whose_next_points_are_all_of_dead_ones_jumps_and_stays_where_it_lands() -> None:
    """95 of 100 are down: of 16 points all are dead for 44 % of the keys. The five that live share evenly."""
    policy, backends = keyed("consistent_hash", [1] * 100)
    for backend in backends[5:]:
        backend.set_healthy(False)
    keys = some_keys(4000)
    counted = shares(policy, keys)
    assert owners(policy, keys) == owners(policy, keys)
    assert 5 == len(counted)
    assert max(abs(count / 800 - 1) for count in counted.values()) < 5 * sqrt(1 / 160 + 1 / 800)

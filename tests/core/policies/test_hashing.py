"""core/policies/hashing.py: key mod n over the available ones."""

from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.policy import Pick
from steelyard.core.stable import stable_hash
from tests.core.keys import keyed, owner, owners, some_keys
from tests.fakes_core import a_policy, no_chance, scripted, served


@given(st.integers(1, 2**64 - 1), st.integers(1, 9), st.data())
def test_the_key_modulo_the_number_of_available_ones_in_their_order(key: int, size: int, data: st.DataObject) -> None:
    policy, backends = a_policy("hash", [1] * size)
    dead = data.draw(st.sets(st.integers(0, size - 1), max_size=size - 1))
    for index in dead:
        backends[index].set_healthy(False)
    alive = [str(index) for index in range(size) if index not in dead]
    assert [alive[key % len(alive)]] * 2 == served(policy, Pick(no_chance, key=key), 2)


@given(st.integers(1, 2**64 - 1), st.integers(1, 9), st.data())
def test_full_and_tried_ones_hand_their_keys_to_the_others_in_their_order(
    key: int, size: int, data: st.DataObject
) -> None:
    """Key mod n finds one of all that take requests; if that one cannot take this, then one of those that can."""
    policy, backends = keyed("hash", [1] * size, limit=1)
    full = data.draw(st.sets(st.integers(0, size - 1), max_size=size - 1))
    for index in full:
        backends[index].begin()
    tried = data.draw(st.sets(st.integers(0, size - 1), max_size=size - 1))
    left = [str(index) for index in range(size) if index not in full | tried]
    first = key % size
    expected = None if not left else str(first) if str(first) in left else left[key % len(left)]
    found = policy.pick(Pick(no_chance, key=key, tried=[backends[index] for index in tried]))
    assert expected == (None if found is None else found.host)


def test_a_tried_one_hands_its_keys_to_the_others() -> None:
    policy, backends = a_policy("hash", [1, 1, 1])
    assert ["0"] == served(policy, Pick(no_chance, key=6), 1)
    assert ["1"] == served(policy, Pick(no_chance, key=6, tried=[backends[0]]), 1)


def test_each_point_of_the_weights_laid_end_to_end_is_its_owners() -> None:
    """Key mod the sum of the weights; 0 has no point, and common divisors do not count."""
    policy, backends = keyed("hash", [20, 10, 0, 30])
    assert list("001333001") == owners(policy, range(6, 15))
    backends[3].set_healthy(False)
    assert list("001001") == owners(policy, range(6, 12))


def test_a_weight_that_is_changed_counts_from_then_on() -> None:
    policy, backends = keyed("hash", [1, 1])
    assert list("0101") == owners(policy, range(4, 8))
    backends[1].set_weight(3)
    assert list("0111") == owners(policy, range(4, 8))


def test_of_many_backends_a_full_ones_keys_jump_by_weight() -> None:
    """Backend 0 of 100 is full: its keys go all over the others, with no look at everyone."""
    policy, backends = keyed("hash", [1] * 100, limit=1)
    backends[0].begin()
    keys = [key - key % 100 for key in some_keys(2000) if key > 100]
    found = owners(policy, keys)
    assert 99 == len(set(found))
    assert "0" not in found


def test_requests_without_a_key_are_spread_by_chance() -> None:
    policy, _ = a_policy("hash", [1, 1, 1])
    assert list("201") == served(policy, Pick(scripted(2, 0, 1)), 3)


def test_client_addresses_spread_evenly() -> None:
    """4096 addresses over 8 backends: 512 each, and none more than 5 standard deviations (21) away."""
    policy, _ = a_policy("hash", [1] * 8)
    keys = [stable_hash(f"10.0.{high}.{low}") for high in range(16) for low in range(256)]
    hosts = [owner(policy, key) for key in keys]
    counts = [hosts.count(str(index)) for index in range(8)]
    assert max(abs(count - 512) for count in counts) <= 105

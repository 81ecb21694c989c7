"""core/policies/hashing.py: key mod n over the available ones."""

from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.policy import Pick
from steelyard.core.stable import stable_hash
from tests.fakes_core import a_policy, no_chance, scripted, served


@given(st.integers(1, 2**64 - 1), st.integers(1, 9), st.data())
def test_the_key_modulo_the_number_of_available_ones_in_their_order(key: int, size: int, data: st.DataObject) -> None:
    policy, backends = a_policy("hash", [1] * size)
    dead = data.draw(st.sets(st.integers(0, size - 1), max_size=size - 1))
    for index in dead:
        backends[index].set_healthy(False)
    alive = [str(index) for index in range(size) if index not in dead]
    assert [alive[key % len(alive)]] * 2 == served(policy, Pick(no_chance, key=key), 2)


def test_a_tried_one_hands_its_keys_to_the_others() -> None:
    policy, backends = a_policy("hash", [1, 1, 1])
    assert ["0"] == served(policy, Pick(no_chance, key=6), 1)
    assert ["1"] == served(policy, Pick(no_chance, key=6, tried=[backends[0]]), 1)


def test_requests_without_a_key_are_spread_by_chance() -> None:
    policy, _ = a_policy("hash", [1, 1, 1])
    assert list("201") == served(policy, Pick(scripted(2, 0, 1)), 3)


def test_client_addresses_spread_evenly() -> None:
    """4096 addresses over 8 backends: 512 each, and none more than 5 standard deviations (21) away."""
    policy, _ = a_policy("hash", [1] * 8)
    keys = [stable_hash(f"10.0.{high}.{low}") for high in range(16) for low in range(256)]
    hosts = [served(policy, Pick(no_chance, key=key), 1)[0] for key in keys]
    counts = [hosts.count(str(index)) for index in range(8)]
    assert max(abs(count - 512) for count in counts) <= 105

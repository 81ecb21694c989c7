"""core/stable.py: hashes for good, and numbers that depend on every bit."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.stable import mix, stable_hash, unit

BITS = st.integers(0, 2**64 - 1)


def test_the_hash_is_the_same_on_every_machine_for_good() -> None:
    """Two balancers must send a key to the same backend. The figures are those of `b2sum -l 64`."""
    assert 0x538EF646E14D03E6 == stable_hash("10.0.0.1") == stable_hash(b"10.0.0.1")
    assert 0xE4A6A0577479B2B4 == stable_hash("")


@given(st.text())
def test_any_text_has_a_64_bit_hash_that_is_not_0(text: str) -> None:
    assert 0 < stable_hash(text) < 2**64


def test_mixing_gives_splitmix64() -> None:
    """The first three outputs of SplitMix64 seeded with 0, which its authors publish."""
    assert 0xE220A8397B1DCDAF == mix(0, 0)
    assert 0x6E789E6AA1B965F4 == mix(0, 1)
    assert 0x06C45D188009454F == mix(0, 2)


@given(BITS, BITS, st.integers(0, 63), st.booleans())
def test_each_bit_of_either_number_changes_many_bits_of_the_result(
    one: int, other: int, bit: int, second: bool
) -> None:
    flipped = mix(one, other ^ (1 << bit)) if second else mix(one ^ (1 << bit), other)
    assert 5 <= (mix(one, other) ^ flipped).bit_count() <= 59  # of 64: 6.7 standard deviations around 32


@given(BITS)
def test_bits_as_a_number_lie_strictly_between_0_and_1(bits: int) -> None:
    assert 0.0 < unit(bits) < 1.0


def test_mixed_numbers_are_spread_evenly() -> None:
    counted = Counter(int(unit(mix(7, n)) * 10) for n in range(10_000))
    assert all(abs(counted[tenth] - 1000) < 150 for tenth in range(10))  # 5 standard deviations

"""Chance: the known generator, without bias, the same on every machine and build."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.simulate.chance import Chance, ln

MASK = (1 << 64) - 1


def reference(state: list[int], count: int) -> list[int]:
    """xoshiro256++ as its authors describe it, step by step."""
    drawn = []
    for _ in range(count):
        s0, s1, s2, s3 = state
        added = (s0 + s3) & MASK
        drawn.append((((added << 23) | (added >> 41)) + s0) & MASK)
        shifted = (s1 << 17) & MASK
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= shifted
        s3 = ((s3 << 45) | (s3 >> 19)) & MASK
        state = [s0, s1, s2, s3]
    return drawn


def splitmix(start: int, count: int) -> list[int]:
    """SplitMix64, which fills the state."""
    filled = []
    for _ in range(count):
        start = (start + 0x9E3779B97F4A7C15) & MASK
        bits = ((start ^ (start >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & MASK
        filled.append(bits ^ (bits >> 31))
    return filled


def test_the_bits_are_those_of_the_published_generator() -> None:
    seed, stream = 7, 3
    start = splitmix((seed + stream * 0x9E3779B97F4A7C15) & MASK, 1)[0]
    # The four words are SplitMix64's outputs from the second on: `mix(start, k)` is its output k + 1.
    state = splitmix(start, 5)[1:]
    chance = Chance(seed, stream)
    assert reference(state, 100) == [chance.bits() for _ in range(100)]


def test_equal_seeds_draw_equally_and_every_stream_is_another() -> None:
    def drawn(seed: int, stream: int) -> tuple[int, ...]:
        chance = Chance(seed, stream)
        return tuple(chance.bits() for _ in range(4))

    assert drawn(1, 2) == drawn(1, 2)
    assert 30 == len({drawn(seed, stream) for seed in (-1, 0, 1, 2, 1 << 40) for stream in range(6)})


@given(st.integers(1, (1 << 63) - 1), st.integers(0, 1 << 70))
def test_what_is_drawn_is_below(n: int, seed: int) -> None:
    chance = Chance(seed)
    assert all(0 <= chance.below(n) < n for _ in range(20))


@pytest.mark.parametrize("n", [1, 2, 3, 7, 1000])
def test_all_numbers_below_are_equally_likely(n: int) -> None:
    chance = Chance(11)
    draws = 20_000
    counts = [0] * n
    for _ in range(draws):
        counts[chance.below(n)] += 1
    expected = draws / n
    # Each count is binomial: five standard deviations, of which a thousand counts together pass one in 1,700 times.
    assert max(abs(count - expected) for count in counts) <= 5 * math.sqrt(expected)


@pytest.mark.parametrize("n", [3 << 30, 3 << 61])
def test_a_large_span_is_not_cut_unevenly(n: int) -> None:
    """With a plain remainder the lower third of 3/4 of all numbers would come twice as often as it should."""
    chance = Chance(5)
    draws = 9_000
    lower = sum(chance.below(n) < n // 3 for _ in range(draws))
    assert abs(lower - draws / 3) <= 5 * math.sqrt(draws * 2 / 9)


@pytest.mark.parametrize("n", [0, -1])
def test_below_nothing_there_is_nothing(n: int) -> None:
    with pytest.raises(ValueError, match="nothing can be drawn below"):
        Chance(1).below(n)


def test_waiting_times_have_mean_1_and_no_memory() -> None:
    chance = Chance(3)
    draws = [chance.exponential() for _ in range(40_000)]
    assert min(draws) > 0.0
    assert abs(sum(draws) / len(draws) - 1.0) <= 5 / math.sqrt(len(draws))
    for time in (0.5, 1.0, 3.0):
        above = math.exp(-time)
        found = sum(draw > time for draw in draws) / len(draws)
        assert abs(found - above) <= 5 * math.sqrt(above * (1 - above) / len(draws))


def test_a_unit_is_above_0_and_below_1() -> None:
    chance = Chance(9)
    draws = [chance.unit() for _ in range(10_000)]
    assert 0.0 < min(draws) < 0.001
    assert 0.999 < max(draws) < 1.0


def test_the_logarithm_is_that_of_the_library() -> None:
    assert [math.log(x) for x in (1e-300, 0.3, 1.0, 7e200)] == [ln(x) for x in (1e-300, 0.3, 1.0, 7e200)]

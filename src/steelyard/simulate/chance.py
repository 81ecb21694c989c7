"""Chance that can be repeated: a fast generator, of which every stream of every seed is the same on every machine.

xoshiro256++ makes the bits; its state is filled by SplitMix64, as its authors advise. `below` draws whole numbers
without bias: Lemire's multiplication in place of a division, and a draw anew in the rare case that would favour some.
Each thing that is drawn has a stream of its own, so that one more draw of this changes nothing of that.
Source: Blackman and Vigna, "Scrambled linear pseudorandom number generators" (2021); Lemire 2019, arXiv 1805.10941.
"""

from math import log
from typing import Final

from steelyard.core.stable import mix, unit

COMPILED: Final = not __file__.endswith(".py")

# Of our own, which chance.pxd makes C integers.
MASK: Final = 0xFFFF_FFFF_FFFF_FFFF
WORD: Final = 1 << 32
LOW: Final = WORD - 1


def ln(x: float) -> float:
    """The natural logarithm of a number above 0; compiled, without the way through Python's."""
    if COMPILED:  # pragma: no cover (coverage sees only the interpreted run)
        return c_log(x)  # type: ignore[name-defined,no-any-return] # noqa: F821 (chance.pxd)
    return log(x)


class Chance:
    """One stream of random numbers. seed, stream: whole numbers; equal ones give equal draws."""

    def __init__(self, seed: int, stream: int = 0) -> None:
        start = mix(seed & MASK, stream & MASK)
        self.s0 = mix(start, 1)
        self.s1 = mix(start, 2)
        self.s2 = mix(start, 3)
        self.s3 = mix(start, 4)

    def bits(self) -> int:
        """64 random bits."""
        s0, s1, s2, s3 = self.s0, self.s1, self.s2, self.s3
        added = (s0 + s3) & MASK
        drawn = (((added << 23) & MASK | added >> 41) + s0) & MASK
        shifted = (s1 << 17) & MASK
        s2 ^= s0
        s3 ^= s1
        self.s1 = s1 ^ s2
        self.s0 = s0 ^ s3
        self.s2 = s2 ^ shifted
        self.s3 = (s3 << 45) & MASK | s3 >> 19
        return drawn

    def unit(self) -> float:
        """A number above 0 and below 1."""
        return unit(self.bits())

    def exponential(self) -> float:
        """A waiting time of mean 1 without memory."""
        return -ln(unit(self.bits()))

    def below(self, n: int) -> int:
        """A whole number from 0 to n - 1, all equally likely. Raises ValueError for n below 1."""
        if n < 1:
            raise ValueError(f"nothing can be drawn below {n}")
        span = n
        if span <= WORD:
            product = (self.bits() >> 32) * span
            if (product & LOW) < span:
                spare = WORD % span
                while (product & LOW) < spare:
                    product = (self.bits() >> 32) * span
            return product >> 32
        drawn = self.bits()
        limit = MASK - MASK % span
        while drawn >= limit:
            drawn = self.bits()
        return drawn % span

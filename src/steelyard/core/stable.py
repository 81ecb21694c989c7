"""Hashes that are the same in every process, on every machine, today and tomorrow.

`stable_hash` turns text into 64 bits with BLAKE2b; `mix` turns two such numbers into a third in a few
instructions, which is what a policy needs when it asks once for each of many backends. Python's own `hash` is
neither: it is seeded anew in each process.
Source: the finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014, with Stafford's constants).
"""

from hashlib import blake2b
from typing import Final

KEY_BYTES: Final = 8

# Of our own, which stable.pxd makes C integers.
MASK: Final = 0xFFFF_FFFF_FFFF_FFFF
GOLDEN: Final = 0x9E37_79B9_7F4A_7C15
FIRST: Final = 0xBF58_476D_1CE4_E5B9
SECOND: Final = 0x94D0_49BB_1331_11EB
PER_UNIT: Final = 1.0 / (1 << 52)


def stable_hash(value: bytes | str) -> int:
    """A 64-bit hash of text or bytes. Never 0, which stands for "no key"."""
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return int.from_bytes(blake2b(raw, digest_size=KEY_BYTES).digest(), "big") or 1


def mix(one: int, other: int) -> int:
    """64 bits that depend on every bit of both numbers (64 bits each); `mix(a, b)` is not `mix(b, a)`."""
    bits = (one + (other * GOLDEN & MASK) + GOLDEN) & MASK
    bits = (bits ^ (bits >> 30)) * FIRST & MASK
    bits = (bits ^ (bits >> 27)) * SECOND & MASK
    return bits ^ (bits >> 31)


def unit(bits: int) -> float:
    """64 random bits as a number above 0 and below 1, all alike."""
    return ((bits >> 12) + 0.5) * PER_UNIT

"""The built-in policies; importing this package registers them."""

from steelyard.core.policies import (
    first,
    hashing,
    latency,
    least,
    maglev,
    prequal,
    random,
    rendezvous,
    ring,
    rotation,
    sticky,
)

__all__ = [
    "first",
    "hashing",
    "latency",
    "least",
    "maglev",
    "prequal",
    "random",
    "rendezvous",
    "ring",
    "rotation",
    "sticky",
]

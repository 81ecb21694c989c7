"""Maglev: a table of keys that the backends fill in turn, each in an order of its own, until no entry is free.

offset = h1 mod M, skip = h2 mod (M - 1) + 1, and a backend's order is offset, offset + skip, offset + 2 skip... mod M,
which meets every entry as M is a prime. In each round every backend takes its next free entry, so all have the same
number of entries, give or take one: shares are within 1 % where M > 100 n. When one goes, about 1/n of the keys move
and a few more, since who comes earlier may now take what another had; a ring moves no more than it must, but shares
worse. A key's entry is found in one step.
Weights: one of half the largest weight takes an entry in every second round, and so on; everybody in the first.
Backends are in the order of their keys, so the pool's order does not matter. One that is unavailable keeps its entries,
and its keys alone look for another (see core/keyed.py).

M is `table_size`, or the next prime where that is none. Where it has not one entry for each backend, M is instead the
first prime from ENTRIES_EACH entries a backend on: nearly all keys move when a pool grows past that.
Source: Eisenbud et al., NSDI 2016, section 3.4; the weights: Envoy.
"""

from array import array
from math import isqrt
from typing import Final

from steelyard.core.backend import Backend
from steelyard.core.keyed import Keyed, in_order
from steelyard.core.policy import Pick, register
from steelyard.core.spec import PolicySpec
from steelyard.core.stable import mix
from steelyard.core.table import Table

OFFSET: Final = 1  # what a backend's key is mixed with for h1
SKIP: Final = 2  # and for h2
ENTRIES_EACH: Final = 10  # shares within a tenth; 100,000 backends take 4 MB
FREE: Final = -1


class Maglev(Keyed):
    """`maglev`. entries: whose each is, as an index of members."""

    def __init__(self, spec: PolicySpec, table: Table, row: int) -> None:
        super().__init__(spec, table, row)
        self.table_size = spec.table_size
        self.members: list[Backend] = []
        self.entries = array("i")
        self.size = 0

    def arrange(self) -> int:
        """Fill the table. Returns 0."""
        self.members, keys = in_order(self.backends)
        count = len(keys)
        if count == 0:
            self.size = 0
            return 0
        self.size = next_prime(self.table_size if count <= self.table_size else ENTRIES_EACH * count)
        self.entries = array("i", [FREE]) * self.size
        self.fill(
            array("q", [mix(key, OFFSET) % self.size for key in keys]),
            array("q", [mix(key, SKIP) % (self.size - 1) + 1 for key in keys]),
            array("q", [backend.share() for backend in self.members]),
            array("q", [0]) * count,
        )
        return 0

    def fill(self, places: "array[int]", skips: "array[int]", shares: "array[int]", credits: "array[int]") -> int:
        """Let the members take entries until none is free; all arrays are as long as members. Returns 0.

        places: where each looks next. credits: what each has to have before its next turn; all begin with 0.
        """
        entries = self.entries
        size = self.size
        count = len(shares)
        heaviest = 0
        for index in range(count):
            heaviest = max(heaviest, shares[index])
        taken = turn = 0
        while taken < size:
            turn += 1
            for index in range(count):
                if turn * shares[index] < credits[index]:
                    continue
                credits[index] += heaviest
                at = places[index]
                while entries[at] != FREE:
                    at += skips[index]
                    if at >= size:
                        at -= size
                entries[at] = index
                places[index] = at
                taken += 1
                if taken == size:
                    break
        return 0

    def find(self, request: Pick, key: int) -> Backend | None:
        """The owner of the key's entry."""
        if self.size == 0:
            return None
        backend = self.members[self.entries[key % self.size]]
        return backend if self.accepts(request, backend) else None


def next_prime(at_least: int) -> int:
    """The smallest prime that is not below that."""
    candidate = max(at_least, 2)
    while any(candidate % divisor == 0 for divisor in range(2, isqrt(candidate) + 1)):
        candidate += 1
    return candidate


register(
    "maglev",
    Maglev,
    "a table that all fill in turn: even shares, and few keys move",
    ("key", "bound", "table_size"),
    ours=True,
)
